/* SPDX-License-Identifier: MIT */
/*
 * Pooling. A thread makes one pixel's vector of channels: forward it reads the window, backward it gathers from the outputs
 * whose windows cover the pixel, in the order of the outputs: nothing is added by two threads. Neighbours' windows overlap,
 * which the caches serve; memory sees, with s the bytes of an activation,
 *   max      s an input, s + 1 an output (the winning tap), both ways
 *   average  s an input, s an output
 * and s an input more where a gradient is added to. Rows of the cut are pixels: of the output forward, of the input back.
 */
extern "C" {
#include "base/rn_error.h"
#include "kernels/cuda/cuda_ops.h"
#include "op/rn_op_check.h"
}
#include "kernels/cuda/cuda_rows.h"

/* One direction of a window: taps from..to-1 of the input, clipped; tap 0 lies at `start`. */
typedef struct side {
    int start, from, to;
} side;

static __device__ inline side side_at(int out, int in, int k, int s, int p)
{
    side w;
    w.start = out * s - p;
    w.from = w.start > 0 ? w.start : 0;
    w.to = w.start + k < in ? w.start + k : in;
    return w;
}

/* What an average counts in one direction: the pixels, or padding too, but not what ceil mode reaches beyond it. */
static __device__ inline int counted(side w, int in, int k, int p, bool pad)
{
    return pad ? (w.start + k < in + p ? w.start + k : in + p) - w.start : w.to - w.from;
}

/* Outputs first..last whose windows may hold input i. */
static __device__ inline side outputs_of(int i, int out, int k, int s, int p)
{
    side w = {0, i + p - k + 1, (i + p) / s};
    w.from = w.from > 0 ? (w.from + s - 1) / s : 0;
    w.to = w.to < out ? w.to + 1 : out;
    return w;
}

/* V winning taps at once. */
template <int V> union taps {
    typename rn_vec_word<V>::type word;
    uint8_t tap[V];
};

/* ---- forward ---- */

template <typename T, bool MAX> struct pool_body {
    rn_op_pool a;
    enum { SUMS = 0, UNROLL = 1 };

    template <int V> struct lane {
        const T *src; /* the image, at the thread's channels */

        __device__ lane(const pool_body &b, int64_t image, int ch)
            : src((const T *)b.a.src + image * b.a.ih * b.a.iw * b.a.c + ch)
        {
        }
        template <int U> __device__ void rows(const pool_body &b, const rn_rows_at &p, double (&)[1][V])
        {
            const side h = side_at((int)((uint32_t)p.row / (uint32_t)b.a.ow), b.a.ih, b.a.kh, b.a.sh, b.a.ph);
            const side w = side_at((int)((uint32_t)p.row % (uint32_t)b.a.ow), b.a.iw, b.a.kw, b.a.sw, b.a.pw);
            if (MAX)
                maximum(b, h, w, p.at);
            else
                average(b, h, w, p.at);
        }
        __device__ void maximum(const pool_body &b, side h, side w, int64_t at)
        {
            float best[V], v[V];
            taps<V> t;
            rn_load<T, V>(src + ((int64_t)h.from * b.a.iw + w.from) * b.a.c, best);
            RN_UNROLL
            for (int k = 0; k < V; k++)
                t.tap[k] = (uint8_t)((h.from - h.start) * b.a.kw + w.from - w.start);
            for (int y = h.from; y < h.to; y++)
                for (int x = w.from; x < w.to; x++) {
                    rn_load<T, V>(src + ((int64_t)y * b.a.iw + x) * b.a.c, v);
                    RN_UNROLL
                    for (int k = 0; k < V; k++)
                        if (!(v[k] <= best[k]) && !isnan(best[k])) { /* the first NaN wins and stays */
                            best[k] = v[k];
                            t.tap[k] = (uint8_t)((y - h.start) * b.a.kw + x - w.start);
                        }
                }
            rn_store<T, V>((T *)b.a.dst + at, best);
            if (b.a.argmax)
                *(typename rn_vec_word<V>::type *)(b.a.argmax + at) = t.word;
        }
        __device__ void average(const pool_body &b, side h, side w, int64_t at)
        {
            float sum[V] = {}, v[V];
            for (int y = h.from; y < h.to; y++)
                for (int x = w.from; x < w.to; x++) {
                    rn_load<T, V>(src + ((int64_t)y * b.a.iw + x) * b.a.c, v);
                    RN_UNROLL
                    for (int k = 0; k < V; k++)
                        sum[k] += v[k];
                }
            const float by = (float)counted(h, b.a.ih, b.a.kh, b.a.ph, b.a.count_include_pad) *
                             (float)counted(w, b.a.iw, b.a.kw, b.a.pw, b.a.count_include_pad);
            RN_UNROLL
            for (int k = 0; k < V; k++)
                sum[k] /= by;
            rn_store<T, V>((T *)b.a.dst + at, sum);
        }
    };
};

static bool pool_wide(const rn_op_pool *a, int v)
{
    return a->c % v == 0 && rn_aligned(16, a->src, a->dst) && rn_aligned((size_t)v, a->argmax);
}

template <typename T, bool MAX> static int pool_fwd(const rn_op_pool *a, void *stream)
{
    return rn_rows<T>(pool_body<T, MAX>{*a}, a->mb, (int64_t)a->oh * a->ow, a->c, pool_wide(a, rn_vec<T>::N), stream);
}

int rn_cuda_maxpool_fwd(struct rn_backend *be, const rn_op_pool *a, void *stream)
{
    (void)be;
    RN_TRY(rn_op_check_pool(a, true, false));
    RN_CUDA_BY_TYPE(a->dtype, T, (pool_fwd<T, true>(a, stream)));
}

int rn_cuda_avgpool_fwd(struct rn_backend *be, const rn_op_pool *a, void *stream)
{
    (void)be;
    RN_TRY(rn_op_check_pool(a, false, false));
    RN_CUDA_BY_TYPE(a->dtype, T, (pool_fwd<T, false>(a, stream)));
}

/* ---- backward ---- */

template <typename T, bool MAX> struct pool_bwd_body {
    rn_op_pool a;
    enum { SUMS = 0, UNROLL = 1 };

    template <int V> struct lane {
        int64_t out; /* the first of the image's outputs, at the thread's channels */

        __device__ lane(const pool_bwd_body &b, int64_t image, int ch) : out(image * b.a.oh * b.a.ow * b.a.c + ch) {}
        template <int U> __device__ void rows(const pool_bwd_body &b, const rn_rows_at &p, double (&)[1][V])
        {
            const uint32_t pixel = (uint32_t)p.row, iw = (uint32_t)b.a.iw;
            const int y = (int)(pixel / iw), x = (int)(pixel % iw);
            const side oy = outputs_of(y, b.a.oh, b.a.kh, b.a.sh, b.a.ph);
            const side ox = outputs_of(x, b.a.ow, b.a.kw, b.a.sw, b.a.pw);
            float sum[V] = {}, old[V];
            for (int h = oy.from; h < oy.to; h++)
                for (int w = ox.from; w < ox.to; w++)
                    add(b, h, w, y, x, sum);
            T *to = (T *)b.a.dst + p.at;
            if (b.a.beta) {
                rn_load<T, V>(to, old);
                RN_UNROLL
                for (int k = 0; k < V; k++)
                    sum[k] += old[k];
            }
            rn_store<T, V>(to, sum);
        }
        /* What output (h, w) has for input (y, x), which its window holds. */
        __device__ void add(const pool_bwd_body &b, int h, int w, int y, int x, float (&sum)[V])
        {
            const int64_t at = out + ((int64_t)h * b.a.ow + w) * b.a.c;
            const side wy = side_at(h, b.a.ih, b.a.kh, b.a.sh, b.a.ph), wx = side_at(w, b.a.iw, b.a.kw, b.a.sw, b.a.pw);
            float v[V];
            rn_load<T, V>((const T *)b.a.src + at, v);
            if (MAX) {
                const int tap = (y - wy.start) * b.a.kw + x - wx.start;
                taps<V> t;
                t.word = *(const typename rn_vec_word<V>::type *)(b.a.argmax + at);
                RN_UNROLL
                for (int k = 0; k < V; k++)
                    sum[k] += t.tap[k] == tap ? v[k] : 0;
                return;
            }
            const float by = (float)counted(wy, b.a.ih, b.a.kh, b.a.ph, b.a.count_include_pad) *
                             (float)counted(wx, b.a.iw, b.a.kw, b.a.pw, b.a.count_include_pad);
            RN_UNROLL
            for (int k = 0; k < V; k++)
                sum[k] += v[k] / by;
        }
    };
};

template <typename T, bool MAX> static int pool_bwd(const rn_op_pool *a, void *stream)
{
    const bool wide = pool_wide(a, rn_vec<T>::N);
    return rn_rows<T>(pool_bwd_body<T, MAX>{*a}, a->mb, (int64_t)a->ih * a->iw, a->c, wide, stream);
}

int rn_cuda_maxpool_bwd(struct rn_backend *be, const rn_op_pool *a, void *stream)
{
    (void)be;
    RN_TRY(rn_op_check_pool(a, true, true));
    RN_CUDA_BY_TYPE(a->dtype, T, (pool_bwd<T, true>(a, stream)));
}

int rn_cuda_avgpool_bwd(struct rn_backend *be, const rn_op_pool *a, void *stream)
{
    (void)be;
    RN_TRY(rn_op_check_pool(a, false, true));
    RN_CUDA_BY_TYPE(a->dtype, T, (pool_bwd<T, false>(a, stream)));
}

/* ---- the whole image ---- */

/* s bytes an input. An image is one slice, whose sum is the result. */
template <typename T> struct gap_body {
    const T *src;
    T *dst;
    int hw, c;
    enum { SUMS = 1, UNROLL = 8 };

    template <int V> struct lane {
        __device__ lane(const gap_body &, int64_t, int) {}
        template <int U> __device__ void rows(const gap_body &b, const rn_rows_at &p, double (&sum)[1][V])
        {
            float v[U][V];
            RN_UNROLL
            for (int u = 0; u < U; u++)
                rn_load<T, V>(b.src + p[u], v[u]);
            RN_UNROLL
            for (int k = 0; k < V; k++) {
                float s = 0;
                RN_UNROLL
                for (int u = 0; u < U; u++)
                    s += v[u][k];
                sum[0][k] += (double)s;
            }
        }
    };

    __device__ void put(int64_t image, int, int ch, double sum) const
    {
        rn_store1(dst + image * c + ch, (float)(sum / hw));
    }
};

template <typename T, int V> static int gap_fwd(const rn_op_gap *a, void *stream)
{
    rn_rows_cut cut = rn_rows_cut_of(a->mb, a->hw, a->c, V, gap_body<T>::UNROLL, true);
    cut.slices = 1;
    cut.slice = a->hw;
    return rn_rows_launch<V>(gap_body<T>{(const T *)a->src, (T *)a->dst, a->hw, a->c}, cut, stream);
}

template <typename T> static int gap_fwd_as(const rn_op_gap *a, void *stream)
{
    return rn_rows_wide<T>(a->c, a->src) ? gap_fwd<T, rn_vec<T>::N>(a, stream) : gap_fwd<T, 1>(a, stream);
}

int rn_cuda_gap_fwd(struct rn_backend *be, const rn_op_gap *a, void *stream)
{
    (void)be;
    RN_TRY(rn_op_check_gap(a));
    RN_CUDA_BY_TYPE(a->dtype, T, gap_fwd_as<T>(a, stream));
}

/* s bytes an output, 2 s where it is added to. */
template <typename T> struct gap_bwd_body {
    const T *src;
    T *dst;
    int hw, c, beta;
    enum { SUMS = 0, UNROLL = 4 };

    template <int V> struct lane {
        float d[V];

        __device__ lane(const gap_bwd_body &b, int64_t image, int ch)
        {
            rn_load<T, V>(b.src + image * b.c + ch, d);
            RN_UNROLL
            for (int k = 0; k < V; k++)
                d[k] /= (float)b.hw;
        }
        template <int U> __device__ void rows(const gap_bwd_body &b, const rn_rows_at &p, double (&)[1][V])
        {
            float v[U][V] = {};
            RN_UNROLL
            for (int u = 0; u < U; u++)
                if (b.beta)
                    rn_load<T, V>(b.dst + p[u], v[u]);
            RN_UNROLL
            for (int u = 0; u < U; u++) {
                RN_UNROLL
                for (int k = 0; k < V; k++)
                    v[u][k] += d[k];
                rn_store<T, V>(b.dst + p[u], v[u]);
            }
        }
    };
};

template <typename T> static int gap_bwd(const rn_op_gap *a, void *stream)
{
    const gap_bwd_body<T> b = {(const T *)a->src, (T *)a->dst, a->hw, a->c, a->beta};
    return rn_rows<T>(b, a->mb, a->hw, a->c, rn_rows_wide<T>(a->c, a->src, a->dst), stream);
}

int rn_cuda_gap_bwd(struct rn_backend *be, const rn_op_gap *a, void *stream)
{
    (void)be;
    RN_TRY(rn_op_check_gap(a));
    RN_CUDA_BY_TYPE(a->dtype, T, gap_bwd<T>(a, stream));
}
