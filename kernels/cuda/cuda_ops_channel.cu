/* SPDX-License-Identifier: MIT */
/* Over channels: a factor each, parts of them. s: the bytes of an activation. */
extern "C" {
#include "base/rn_error.h"
#include "kernels/cuda/cuda_ops.h"
#include "op/rn_op_check.h"
}
#include "kernels/cuda/cuda_rows.h"

/* ---- factors ---- */

/* 2 s bytes an element, 3 s with a residual. */
template <typename T> struct scale_body {
    const T *x, *s, *res;
    T *y;
    int c;
    float floor; /* 0, or minus infinity where there is no ReLU; a NaN is below neither */
    enum { SUMS = 0, UNROLL = 4 };

    template <int V> struct lane {
        float s[V];

        __device__ lane(const scale_body &b, int64_t image, int ch)
        {
            rn_load<T, V>(b.s + image * b.c + ch, s);
        }
        template <int U> __device__ void rows(const scale_body &b, const rn_rows_at &p, double (&)[1][V])
        {
            float v[U][V], r[U][V];
            RN_UNROLL
            for (int u = 0; u < U; u++) {
                rn_load<T, V>(b.x + p[u], v[u]);
                if (b.res)
                    rn_load<T, V>(b.res + p[u], r[u]);
            }
            RN_UNROLL
            for (int u = 0; u < U; u++) {
                RN_UNROLL
                for (int k = 0; k < V; k++) {
                    const float y = fmaf(v[u][k], s[k], b.res ? r[u][k] : 0);
                    v[u][k] = y < b.floor ? b.floor : y;
                }
                rn_store<T, V>(b.y + p[u], v[u]);
            }
        }
    };
};

template <typename T> static int scale_fwd(const rn_op_scale *a, void *stream)
{
    const scale_body<T> b = {(const T *)a->x,        (const T *)a->s, (const T *)a->res, (T *)a->y, a->c,
                             a->relu ? 0 : -INFINITY};
    return rn_rows<T>(b, a->mb, a->hw, a->c, rn_rows_wide<T>(a->c, a->x, a->s, a->res, a->y), stream);
}

int rn_cuda_scale_fwd(struct rn_backend *be, const rn_op_scale *a, void *stream)
{
    (void)be;
    RN_TRY(rn_op_check_scale(a));
    RN_CUDA_BY_TYPE(a->dtype, T, scale_fwd<T>(a, stream));
}

/* v added to what is there, or put in its place. */
template <typename T, int V> static __device__ inline void put_or_add(T *to, int beta, const float (&v)[V])
{
    float sum[V];
    if (!beta) {
        rn_store<T, V>(to, v);
        return;
    }
    rn_load<T, V>(to, sum);
    RN_UNROLL
    for (int k = 0; k < V; k++)
        sum[k] += v[k];
    rn_store<T, V>(to, sum);
}

/* s bytes an element for each tensor that is named; a gradient that is added to counts twice. Needs an image in one slice. */
template <typename T> struct scale_bwd_body {
    rn_op_scale_bwd a;
    enum { SUMS = 1, UNROLL = 4 };

    template <int V> struct lane {
        float s[V];

        __device__ lane(const scale_bwd_body &b, int64_t image, int ch)
        {
            rn_load<T, V>((const T *)b.a.s + image * b.a.c + ch, s);
        }
        template <int U> __device__ void rows(const scale_bwd_body &b, const rn_rows_at &p, double (&sum)[1][V])
        {
            float g[U][V], x[U][V], gate[V], t[V] = {};
            RN_UNROLL
            for (int u = 0; u < U; u++) {
                rn_load<T, V>((const T *)b.a.dy + p[u], g[u]);
                rn_load<T, V>((const T *)b.a.x + p[u], x[u]);
                if (b.a.relu) {
                    rn_load<T, V>((const T *)b.a.y + p[u], gate);
                    RN_UNROLL
                    for (int k = 0; k < V; k++)
                        g[u][k] = gate[k] > 0 ? g[u][k] : 0;
                }
            }
            RN_UNROLL
            for (int u = 0; u < U; u++) {
                RN_UNROLL
                for (int k = 0; k < V; k++) {
                    t[k] = fmaf(g[u][k], x[u][k], t[k]);
                    x[u][k] = g[u][k] * s[k];
                }
                if (b.a.dx)
                    put_or_add((T *)b.a.dx + p[u], b.a.dx_beta, x[u]);
                if (b.a.dres) /* after dx, which may be the same memory */
                    put_or_add((T *)b.a.dres + p[u], b.a.dres_beta, g[u]);
            }
            RN_UNROLL
            for (int k = 0; k < V; k++)
                sum[0][k] += (double)t[k];
        }
    };

    __device__ void put(int64_t image, int, int ch, double sum) const
    {
        T *to = (T *)a.ds + image * a.c + ch;
        if (a.ds)
            rn_store1(to, a.ds_beta ? rn_load1(to) + (float)sum : (float)sum);
    }
};

template <typename T, int V> static int scale_bwd(const rn_op_scale_bwd *a, void *stream)
{
    rn_rows_cut cut = rn_rows_cut_of(a->mb, a->hw, a->c, V, scale_bwd_body<T>::UNROLL, true);
    cut.slices = 1;
    cut.slice = a->hw;
    return rn_rows_launch<V>(scale_bwd_body<T>{*a}, cut, stream);
}

template <typename T> static int scale_bwd_as(const rn_op_scale_bwd *a, void *stream)
{
    if (rn_rows_wide<T>(a->c, a->x, a->s, a->relu ? a->y : NULL, a->dy, a->dx, a->dres))
        return scale_bwd<T, rn_vec<T>::N>(a, stream);
    return scale_bwd<T, 1>(a, stream);
}

int rn_cuda_scale_bwd(struct rn_backend *be, const rn_op_scale_bwd *a, void *stream)
{
    (void)be;
    RN_TRY(rn_op_check_scale_bwd(a));
    RN_CUDA_BY_TYPE(a->dtype, T, scale_bwd_as<T>(a, stream));
}

/* ---- parts ---- */

/* 2 s bytes of each of the c channels (3 s where they are added), s of those that are cleared. */
template <typename T> struct part_body {
    const T *src;
    T *dst;
    int c, src_c, src_at, dst_c, dst_at, from; /* from: the first of dst's channels that is written */
    int beta;
    enum { SUMS = 0, UNROLL = 4 };

    template <int V> struct lane {
        int ch;
        bool copied;

        __device__ lane(const part_body &b, int64_t, int channel) : ch(b.from + channel)
        {
            copied = ch >= b.dst_at && ch < b.dst_at + b.c;
        }
        template <int U> __device__ void rows(const part_body &b, const rn_rows_at &p, double (&)[1][V])
        {
            float v[U][V] = {};
            RN_UNROLL
            for (int u = 0; u < U; u++)
                if (copied)
                    rn_load<T, V>(b.src + (p.row + u * p.rows) * b.src_c + b.src_at + ch - b.dst_at, v[u]);
            RN_UNROLL
            for (int u = 0; u < U; u++)
                put_or_add(b.dst + (p.row + u * p.rows) * b.dst_c + ch, b.beta, v[u]);
        }
    };
};

template <typename T> static int part(const rn_op_part *a, void *stream)
{
    enum { V = rn_vec<T>::N };
    const part_body<T> b = {(const T *)a->src,        (T *)a->dst, a->c, a->src_c, a->src_at, a->dst_c, a->dst_at,
                            a->clear ? 0 : a->dst_at, a->beta};
    const bool wide = a->c % V == 0 && a->src_c % V == 0 && a->src_at % V == 0 && a->dst_c % V == 0 &&
                      a->dst_at % V == 0 && rn_aligned(16, a->src, a->dst);
    return rn_rows<T>(b, 1, a->rows, a->clear ? a->dst_c : a->c, wide, stream);
}

int rn_cuda_part(struct rn_backend *be, const rn_op_part *a, void *stream)
{
    (void)be;
    RN_TRY(rn_op_check_part(a));
    RN_CUDA_BY_TYPE(a->dtype, T, part<T>(a, stream));
}
