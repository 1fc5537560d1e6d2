/* SPDX-License-Identifier: MIT */
/* The backward pass of batch normalisation; cuda_ops_bn.cu says what passes there are and what they move. */
#include "kernels/cuda/cuda_bn.h"

/* ---- backward: sums ---- */

/* What tells where the ReLU let through. */
typedef enum gate { OPEN, BY_Y, BY_MASK } gate;

/* g: dy where the ReLU let it through. */
template <typename T, gate GATE, int U, int V>
static __device__ inline void gated(const T *dy, const T *y, const uint8_t *mask, const rn_rows_at &p, float (&g)[U][V])
{
    float value[U][V];
    unsigned bits[U];
    RN_UNROLL
    for (int u = 0; u < U; u++) {
        rn_load<T, V>(dy + p[u], g[u]);
        if (GATE == BY_Y)
            rn_load<T, V>(y + p[u], value[u]);
        if (GATE == BY_MASK)
            bits[u] = mask[p[u] / V];
    }
    RN_UNROLL
    for (int u = 0; u < U && GATE != OPEN; u++) {
        RN_UNROLL
        for (int k = 0; k < V; k++)
            g[u][k] = (GATE == BY_MASK ? (bits[u] >> k & 1) != 0 : value[u][k] > 0) ? g[u][k] : 0;
    }
}

/* The sums of g and of g * (x - mean). */
template <typename T, gate GATE> struct grad_sums_body {
    const T *x, *y, *dy;
    const uint8_t *mask;
    const float *mean;
    double *parts;
    int c;
    enum { SUMS = 2, UNROLL = 4 };

    template <int V> struct lane {
        float mean[V];

        __device__ lane(const grad_sums_body &b, int64_t, int ch)
        {
            for (int k = 0; k < V; k++)
                mean[k] = b.mean[ch + k];
        }
        template <int U> __device__ void rows(const grad_sums_body &b, const rn_rows_at &p, double (&sum)[2][V])
        {
            float g[U][V], x[U][V];
            gated<T, GATE>(b.dy, b.y, b.mask, p, g);
            RN_UNROLL
            for (int u = 0; u < U; u++)
                rn_load<T, V>(b.x + p[u], x[u]);
            RN_UNROLL
            for (int k = 0; k < V; k++) {
                float s = 0, t = 0;
                RN_UNROLL
                for (int u = 0; u < U; u++) {
                    s += g[u][k];
                    t = fmaf(g[u][k], x[u][k] - mean[k], t);
                }
                sum[0][k] += (double)s;
                sum[1][k] += (double)t;
            }
        }
    };

    __device__ void put(int64_t part, int k, int ch, double sum) const
    {
        parts[(part * 2 + k) * c + ch] = sum;
    }
};

/* ---- backward: factors ---- */

/* dx = gain * g + slope * (x - mean) + level: rn_op.h's formula, with what does not depend on the row taken together. */
struct grad_factors {
    rn_op_bn_bwd a;
    float *factors; /* gain, slope, level (c) */
    double n;

    __device__ void put(int ch, double g, double gx) const
    {
        const double inv_std = a.inv_std[ch], gain = (double)a.gamma[ch] * inv_std;
        factors[ch] = (float)gain;
        factors[a.c + ch] = (float)(-gain * inv_std * inv_std * (gx / n));
        factors[2 * (int64_t)a.c + ch] = (float)(-gain * (g / n));
    }
};

template <bool ALONE> struct grad_join {
    grad_factors to;
    double *sums; /* of g, of g * (x - mean) (c) */

    __device__ void channel(int ch, const double (&sum)[2]) const
    {
        to.a.dbeta[ch] = (float)sum[0];
        to.a.dgamma[ch] = (float)(sum[1] * (double)to.a.inv_std[ch]);
        if (ALONE)
            to.put(ch, sum[0], sum[1]);
        else
            sums[ch] = sum[0], sums[to.a.c + ch] = sum[1];
    }
};

struct grad_factors_of {
    grad_factors to;
    const double *sums;

    __device__ void channel(int ch) const
    {
        to.put(ch, sums[ch], sums[to.a.c + ch]);
    }
};

template <typename T, gate GATE, int V>
static int grad_sums(struct rn_backend *be, const grad_factors &to, const rn_rows_cut &cut, const rn_bn_room &room,
                     void *stream)
{
    const rn_op_bn_bwd *a = &to.a;
    const grad_sums_body<T, GATE> b = {
        (const T *)a->x, (const T *)a->y, (const T *)a->dy, a->mask, a->mean, room.parts, a->c};
    RN_TRY(rn_rows_launch<V>(b, cut, stream));
    if (!a->comm)
        return rn_join<2>(grad_join<true>{to, NULL}, room.parts, cut.slices, a->c, stream);
    RN_TRY(rn_join<2>(grad_join<false>{to, room.sums}, room.parts, cut.slices, a->c, stream));
    RN_TRY(rn_bn_exchange(be, a->comm, 0, a->c, room.sums, stream));
    return rn_bn_channels(grad_factors_of{to, room.sums}, a->c, stream);
}

/* ---- backward: the writing pass ---- */

template <typename T, gate GATE, bool DRES> struct grad_body {
    const T *x, *y, *dy;
    const uint8_t *mask;
    T *dx, *dres;
    const float *mean, *factors;
    int c, dx_beta, dres_beta;
    enum { SUMS = 0, UNROLL = 4 };

    template <int V> struct lane {
        float mean[V], gain[V], slope[V], level[V];

        __device__ lane(const grad_body &b, int64_t, int ch)
        {
            rn_load<float, V>(b.factors + ch, gain);
            rn_load<float, V>(b.factors + b.c + ch, slope);
            rn_load<float, V>(b.factors + 2 * (int64_t)b.c + ch, level);
            for (int k = 0; k < V; k++)
                mean[k] = b.mean[ch + k];
        }
        static __device__ void put(T *to, int beta, float (&v)[V])
        {
            float old[V];
            if (beta) {
                rn_load<T, V>(to, old);
                RN_UNROLL
                for (int k = 0; k < V; k++)
                    v[k] += old[k];
            }
            rn_store<T, V>(to, v);
        }
        template <int U> __device__ void rows(const grad_body &b, const rn_rows_at &p, double (&)[1][V])
        {
            float g[U][V], x[U][V];
            gated<T, GATE>(b.dy, b.y, b.mask, p, g);
            RN_UNROLL
            for (int u = 0; u < U; u++)
                rn_load<T, V>(b.x + p[u], x[u]);
            RN_UNROLL
            for (int u = 0; u < U; u++) {
                RN_UNROLL
                for (int k = 0; k < V; k++)
                    x[u][k] = fmaf(gain[k], g[u][k], fmaf(slope[k], x[u][k] - mean[k], level[k]));
                put(b.dx + p[u], b.dx_beta, x[u]);
                if (DRES)
                    put(b.dres + p[u], b.dres_beta, g[u]);
            }
        }
    };
};

template <typename T, gate GATE, int V> static int bn_bwd(struct rn_backend *be, const rn_op_bn_bwd *a, void *stream)
{
    const rn_rows_cut cut = rn_rows_cut_of(1, a->rows, a->c, V, grad_sums_body<T, GATE>::UNROLL, true);
    rn_bn_room room;
    RN_TRY(rn_bn_room_for(be, cut.slices, a->c, &room));
    const grad_factors to = {*a, room.factors, (double)a->rows * rn_comm_size(a->comm)};
    RN_TRY((grad_sums<T, GATE, V>(be, to, cut, room, stream)));
    const T *x = (const T *)a->x, *y = (const T *)a->y, *dy = (const T *)a->dy;
    const rn_rows_cut wide = rn_rows_cut_of(1, a->rows, a->c, V, 4, false);
    if (!a->dres) {
        const grad_body<T, GATE, false> b = {x,    y,          dy, a->mask, (T *)a->dx, NULL, a->mean, room.factors,
                                             a->c, a->dx_beta, 0};
        return rn_rows_launch<V>(b, wide, stream);
    }
    const grad_body<T, GATE, true> b = {
        x, y, dy, a->mask, (T *)a->dx, (T *)a->dres, a->mean, room.factors, a->c, a->dx_beta, a->dres_beta};
    return rn_rows_launch<V>(b, wide, stream);
}

template <typename T> static int bn_bwd_as(struct rn_backend *be, const rn_op_bn_bwd *a, void *stream)
{
    enum { V = rn_vec<T>::N };
    const void *y = a->relu && !a->mask ? a->y : NULL;
    if (rn_rows_wide<T>(a->c, a->x, y, a->dy, a->dx, a->dres)) {
        if (a->mask)
            return bn_bwd<T, BY_MASK, V>(be, a, stream);
        return a->relu ? bn_bwd<T, BY_Y, V>(be, a, stream) : bn_bwd<T, OPEN, V>(be, a, stream);
    }
    RN_TRY(rn_bn_refuse_mask("bn_bwd", a->mask));
    return a->relu ? bn_bwd<T, BY_Y, 1>(be, a, stream) : bn_bwd<T, OPEN, 1>(be, a, stream);
}

int rn_cuda_bn_bwd(struct rn_backend *be, const rn_op_bn_bwd *a, void *stream)
{
    RN_TRY(rn_op_check_bn_bwd(a));
    RN_CUDA_BY_TYPE(a->dtype, T, bn_bwd_as<T>(be, a, stream));
}
