/* SPDX-License-Identifier: MIT */
/* What joins values: a bias to rows, two values element by element. */
extern "C" {
#include "base/rn_error.h"
#include "kernels/cuda/cuda_ops.h"
#include "op/rn_op_check.h"
}
#include "kernels/cuda/cuda_rows.h"

/* ---- bias ---- */

/* 2 s bytes an element. */
template <typename T> struct bias_body {
    const T *x;
    const float *bias;
    T *y;
    float floor; /* 0, or minus infinity where there is no ReLU; a NaN is below neither */
    enum { SUMS = 0, UNROLL = 4 };

    template <int V> struct lane {
        float bias[V];

        __device__ lane(const bias_body &b, int64_t, int ch)
        {
            rn_load<float, V>(b.bias + ch, bias);
        }
        template <int U> __device__ void rows(const bias_body &b, const rn_rows_at &p, double (&)[1][V])
        {
            float v[U][V];
            RN_UNROLL
            for (int u = 0; u < U; u++)
                rn_load<T, V>(b.x + p[u], v[u]);
            RN_UNROLL
            for (int u = 0; u < U; u++) {
                RN_UNROLL
                for (int k = 0; k < V; k++) {
                    v[u][k] += bias[k];
                    v[u][k] = v[u][k] < b.floor ? b.floor : v[u][k];
                }
                rn_store<T, V>(b.y + p[u], v[u]);
            }
        }
    };
};

template <typename T> static int bias_fwd(const rn_op_bias *a, void *stream)
{
    const bias_body<T> b = {(const T *)a->x, a->b, (T *)a->y, a->relu ? 0 : -INFINITY};
    return rn_rows<T>(b, 1, a->rows, a->c, rn_rows_wide<T>(a->c, a->x, a->b, a->y), stream);
}

int rn_cuda_bias_fwd(struct rn_backend *be, const rn_op_bias *a, void *stream)
{
    (void)be;
    RN_TRY(rn_op_check_bias(a));
    RN_CUDA_BY_TYPE(a->dtype, T, bias_fwd<T>(a, stream));
}

/* s bytes an element for dy, s for y where there is a ReLU, s for dx where it is wanted. */
template <typename T, bool RELU> struct bias_bwd_body {
    const T *y, *dy;
    T *dx;
    double *parts;
    int c;
    enum { SUMS = 1, UNROLL = 8 };

    template <int V> struct lane {
        __device__ lane(const bias_bwd_body &, int64_t, int) {}
        template <int U> __device__ void rows(const bias_bwd_body &b, const rn_rows_at &p, double (&sum)[1][V])
        {
            float g[U][V], gate[V], s[V] = {};
            RN_UNROLL
            for (int u = 0; u < U; u++) {
                rn_load<T, V>(b.dy + p[u], g[u]);
                if (RELU) {
                    rn_load<T, V>(b.y + p[u], gate);
                    RN_UNROLL
                    for (int k = 0; k < V; k++)
                        g[u][k] = gate[k] > 0 ? g[u][k] : 0;
                }
            }
            RN_UNROLL
            for (int u = 0; u < U; u++) {
                RN_UNROLL
                for (int k = 0; k < V; k++)
                    s[k] += g[u][k];
                if (b.dx)
                    rn_store<T, V>(b.dx + p[u], g[u]);
            }
            RN_UNROLL
            for (int k = 0; k < V; k++)
                sum[0][k] += s[k];
        }
    };

    __device__ void put(int64_t part, int, int ch, double sum) const
    {
        parts[part * c + ch] = sum;
    }
};

struct bias_sums {
    float *db;
    __device__ void channel(int ch, const double (&sum)[1]) const
    {
        db[ch] = (float)sum[0];
    }
};

template <typename T, bool RELU, int V>
static int bias_bwd(struct rn_backend *be, const rn_op_bias_bwd *a, void *stream)
{
    bias_bwd_body<T, RELU> b = {(const T *)a->y, (const T *)a->dy, (T *)a->dx, NULL, a->c};
    const rn_rows_cut cut = rn_rows_cut_of(1, a->rows, a->c, V, b.UNROLL, true);
    void *room;
    RN_TRY(rn_cuda_scratch(be, (size_t)cut.slices * (size_t)a->c * sizeof(double), &room));
    b.parts = (double *)room;
    RN_TRY(rn_rows_launch<V>(b, cut, stream));
    return rn_join<1>(bias_sums{a->db}, b.parts, cut.slices, a->c, stream);
}

template <typename T> static int bias_bwd_as(struct rn_backend *be, const rn_op_bias_bwd *a, void *stream)
{
    enum { V = rn_vec<T>::N };
    if (!rn_rows_wide<T>(a->c, a->dy, a->dx, a->relu ? a->y : NULL))
        return a->relu ? bias_bwd<T, true, 1>(be, a, stream) : bias_bwd<T, false, 1>(be, a, stream);
    return a->relu ? bias_bwd<T, true, V>(be, a, stream) : bias_bwd<T, false, V>(be, a, stream);
}

int rn_cuda_bias_bwd(struct rn_backend *be, const rn_op_bias_bwd *a, void *stream)
{
    RN_TRY(rn_op_check_bias_bwd(a));
    RN_CUDA_BY_TYPE(a->dtype, T, bias_bwd_as<T>(be, a, stream));
}

/* ---- two values ---- */

static __device__ inline bool first_wins(float p, float q)
{
    return isnan(p) || p > q;
}

/* 3 s bytes an element. */
template <typename T> struct eltwise_body {
    const T *a, *b;
    T *y;
    enum rn_eltwise_kind kind;
    float ca, cb, floor; /* floor: as of a bias */

    __device__ float joined(float p, float q) const
    {
        if (kind == RN_ELTWISE_SUM)
            return fmaf(ca, p, cb * q);
        return kind == RN_ELTWISE_PRODUCT ? p * q : first_wins(p, q) ? p : q; /* a NaN q is taken as not smaller */
    }
    template <int V> __device__ void at(int64_t i) const
    {
        float p[V], q[V];
        rn_load<T, V>(a + i, p);
        rn_load<T, V>(b + i, q);
        RN_UNROLL
        for (int k = 0; k < V; k++) {
            p[k] = joined(p[k], q[k]);
            p[k] = p[k] < floor ? floor : p[k];
        }
        rn_store<T, V>(y + i, p);
    }
};

template <typename T> static int eltwise_fwd(const rn_op_eltwise *a, void *stream)
{
    const eltwise_body<T> b = {(const T *)a->a, (const T *)a->b,        (T *)a->y, a->kind, a->ca,
                               a->cb,           a->relu ? 0 : -INFINITY};
    return rn_point<rn_vec<T>::N>(b, a->n, rn_aligned(16, a->a, a->b, a->y), stream);
}

int rn_cuda_eltwise_fwd(struct rn_backend *be, const rn_op_eltwise *a, void *stream)
{
    (void)be;
    RN_TRY(rn_op_check_eltwise(a));
    RN_CUDA_BY_TYPE(a->dtype, T, eltwise_fwd<T>(a, stream));
}

/* s bytes an element for each tensor that is named; a gradient that is added to counts twice. */
template <typename T> struct eltwise_bwd_body {
    rn_op_eltwise_bwd o;

    __device__ void split(float g, float p, float q, float *da, float *db) const
    {
        *da = o.ca * g, *db = o.cb * g;
        if (o.kind == RN_ELTWISE_PRODUCT)
            *da = g * q, *db = g * p;
        if (o.kind == RN_ELTWISE_MAX)
            *da = first_wins(p, q) ? g : 0, *db = first_wins(p, q) ? 0 : g;
    }
    template <int V> static __device__ void put(void *to, int64_t i, int beta, float (&v)[V])
    {
        float old[V];
        if (beta) {
            rn_load<T, V>((const T *)to + i, old);
            RN_UNROLL
            for (int k = 0; k < V; k++)
                v[k] += old[k];
        }
        rn_store<T, V>((T *)to + i, v);
    }
    template <int V> __device__ void at(int64_t i) const
    {
        float g[V], p[V] = {}, q[V] = {}, da[V], db[V];
        rn_load<T, V>((const T *)o.dy + i, g);
        if (o.relu) {
            rn_load<T, V>((const T *)o.y + i, p);
            RN_UNROLL
            for (int k = 0; k < V; k++)
                g[k] = p[k] > 0 ? g[k] : 0;
        }
        if (o.kind != RN_ELTWISE_SUM) {
            rn_load<T, V>((const T *)o.a + i, p);
            rn_load<T, V>((const T *)o.b + i, q);
        }
        RN_UNROLL
        for (int k = 0; k < V; k++)
            split(g[k], p[k], q[k], &da[k], &db[k]);
        if (o.da)
            put<V>(o.da, i, o.da_beta, da);
        if (o.db) /* after da, which may be the same memory */
            put<V>(o.db, i, o.db_beta, db);
    }
};

template <typename T> static int eltwise_bwd(const rn_op_eltwise_bwd *a, void *stream)
{
    const bool both = a->kind != RN_ELTWISE_SUM;
    const bool wide =
        rn_aligned(16, both ? a->a : NULL, both ? a->b : NULL, a->relu ? a->y : NULL, a->dy, a->da, a->db);
    return rn_point<rn_vec<T>::N>(eltwise_bwd_body<T>{*a}, a->n, wide, stream);
}

int rn_cuda_eltwise_bwd(struct rn_backend *be, const rn_op_eltwise_bwd *a, void *stream)
{
    (void)be;
    RN_TRY(rn_op_check_eltwise_bwd(a));
    RN_CUDA_BY_TYPE(a->dtype, T, eltwise_bwd<T>(a, stream));
}
