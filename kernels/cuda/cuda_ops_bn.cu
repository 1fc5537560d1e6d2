/* SPDX-License-Identifier: MIT */
/*
 * Batch normalisation: one pass that sums (slices of rows, in parts), a small kernel that joins the parts and makes of them
 * the factors of every channel, and one pass that writes. With s the bytes of an activation, an element costs
 *   forward   training 3 s (x twice, y), 4 s with a residual; inference 2 s, 3 s
 *   backward  5 s (x and dy twice, dx), 7 s with a ReLU (y twice), of which a mask in place of y leaves 5.1 (and costs the
 *             forward pass 0.06); a residual's gradient, and each that is added to, s more
 * of which the second reading comes from the L2 where a tensor fits it.
 *
 * Variances are of x less the first row, the pivot: over n rows their sum of squares is at most n + 1 times what is left
 * when the mean's part is taken off (the pivot is one of the values), which double has the bits for, whatever the data are.
 * Within the few rows that a thread takes at once, in f32, it is their own mean, or nearly so: s makes up for what that lacks.
 */
#include "kernels/cuda/cuda_bn.h"

/* ---- forward: sums ---- */

template <typename T> struct moments_body {
    const T *x;
    double *parts;
    int c;
    enum { SUMS = 2, UNROLL = 8 };

    template <int V> struct lane {
        float pivot[V];

        __device__ lane(const moments_body &b, int64_t, int ch)
        {
            rn_load<T, V>(b.x + ch, pivot);
        }
        template <int U> __device__ void rows(const moments_body &b, const rn_rows_at &p, double (&sum)[2][V])
        {
            float v[U][V];
            RN_UNROLL
            for (int u = 0; u < U; u++)
                rn_load<T, V>(b.x + p[u], v[u]);
            RN_UNROLL
            for (int k = 0; k < V; k++) {
                float centre = 0, s = 0, q = 0;
                RN_UNROLL
                for (int u = 0; u < U; u++)
                    centre += v[u][k];
                centre /= U;
                RN_UNROLL
                for (int u = 0; u < U; u++) {
                    const float d = v[u][k] - centre;
                    s += d;
                    q = fmaf(d, d, q);
                }
                const double off = (double)centre - (double)pivot[k];
                sum[0][k] += U * off + (double)s;
                sum[1][k] += off * (U * off + 2 * (double)s) + (double)q;
            }
        }
    };

    __device__ void put(int64_t part, int k, int ch, double sum) const
    {
        parts[(part * 2 + k) * c + ch] = sum;
    }
};

/* ---- forward: factors ---- */

/*
 * y = (x - centre) * scale + shift, where the centre is the mean as f32 has it, and what it lacks is in the shift: with a
 * mean far larger than the deviation nothing is lost.
 */
struct affine {
    rn_op_bn_fwd a;
    float *factors; /* centre, scale, shift (c) */
    double n;       /* rows, of all ranks */

    __device__ void put(int ch, double mean, double var) const
    {
        const double inv_std = 1 / sqrt(var + (double)a.eps), scale = (double)a.gamma[ch] * inv_std;
        const float centre = (float)mean;
        factors[ch] = centre;
        factors[a.c + ch] = (float)scale;
        factors[2 * (int64_t)a.c + ch] = (float)((double)a.beta[ch] - (mean - (double)centre) * scale);
        if (!a.train)
            return;
        const double unbiased = n > 1 ? var * n / (n - 1) : var, was = a.running_mean[ch], old = a.running_var[ch];
        const double momentum = a.momentum_now ? *a.momentum_now : a.momentum;
        a.mean[ch] = centre;
        a.inv_std[ch] = (float)inv_std;
        a.running_mean[ch] = (float)(was + momentum * (mean - was));
        a.running_var[ch] = (float)(old + momentum * (unbiased - old));
    }
};

/* Of the parts: this rank's moments, which are all there is (ALONE), or wait for the other ranks'. */
template <typename T, bool ALONE> struct moments_join {
    affine to;
    double *sums; /* mean, sum of squares around it (c) */

    __device__ void channel(int ch, const double (&sum)[2]) const
    {
        const double rows = (double)to.a.rows, off = sum[0] / rows, left = sum[1] - sum[0] * off;
        const double mean = (double)rn_load1((const T *)to.a.x + ch) + off, m2 = left < 0 ? 0 : left;
        if (ALONE)
            to.put(ch, mean, m2 / rows);
        else
            sums[ch] = mean, sums[to.a.c + ch] = m2;
    }
};

/* Of what all ranks came to; in inference, of the running statistics. */
struct affine_of {
    affine to;
    const double *sums;

    __device__ void channel(int ch) const
    {
        if (to.a.train)
            to.put(ch, sums[ch], sums[to.a.c + ch] / to.n);
        else
            to.put(ch, to.a.running_mean[ch], to.a.running_var[ch]);
    }
};

template <typename T, int V>
static int moments(struct rn_backend *be, const affine &to, const rn_rows_cut &cut, const rn_bn_room &room,
                   void *stream)
{
    const rn_op_bn_fwd *a = &to.a;
    RN_TRY(rn_rows_launch<V>(moments_body<T>{(const T *)a->x, room.parts, a->c}, cut, stream));
    if (!a->comm)
        return rn_join<2>(moments_join<T, true>{to, NULL}, room.parts, cut.slices, a->c, stream);
    RN_TRY(rn_join<2>(moments_join<T, false>{to, room.sums}, room.parts, cut.slices, a->c, stream));
    RN_TRY(rn_bn_exchange(be, a->comm, a->rows, a->c, room.sums, stream));
    return rn_bn_channels(affine_of{to, room.sums}, a->c, stream);
}

/* ---- forward: the writing pass ---- */

template <typename T, bool RES> struct norm_body {
    const T *x, *res;
    T *y;
    uint8_t *mask; /* or NULL */
    const float *factors;
    int c;
    float floor; /* 0, or minus infinity where there is no ReLU; a NaN is below neither */
    enum { SUMS = 0, UNROLL = 4 };

    template <int V> struct lane {
        float centre[V], scale[V], shift[V];

        __device__ lane(const norm_body &b, int64_t, int ch)
        {
            rn_load<float, V>(b.factors + ch, centre);
            rn_load<float, V>(b.factors + b.c + ch, scale);
            rn_load<float, V>(b.factors + 2 * (int64_t)b.c + ch, shift);
        }
        template <int U> __device__ void rows(const norm_body &b, const rn_rows_at &p, double (&)[1][V])
        {
            float v[U][V], r[U][V];
            RN_UNROLL
            for (int u = 0; u < U; u++) {
                rn_load<T, V>(b.x + p[u], v[u]);
                if (RES)
                    rn_load<T, V>(b.res + p[u], r[u]);
            }
            RN_UNROLL
            for (int u = 0; u < U; u++) {
                RN_UNROLL
                for (int k = 0; k < V; k++) {
                    const float t = fmaf(v[u][k] - centre[k], scale[k], shift[k]), y = RES ? t + r[u][k] : t;
                    v[u][k] = y < b.floor ? b.floor : y;
                }
                rn_store<T, V>(b.y + p[u], v[u]);
                if constexpr (V == rn_vec<T>::N) {
                    if (b.mask)
                        b.mask[p[u] / V] = (uint8_t)above_zero(v[u]);
                }
            }
        }
        /* Of what is stored: a positive number may be rounded to 0. */
        static __device__ unsigned above_zero(const float (&v)[V])
        {
            unsigned bits = 0;
            RN_UNROLL
            for (int k = 0; k < V; k++)
                bits |= rn_widen(rn_narrow<T>(v[k])) > 0 ? 1u << k : 0;
            return bits;
        }
    };
};

template <typename T, int V> static int bn_fwd(struct rn_backend *be, const rn_op_bn_fwd *a, void *stream)
{
    const rn_rows_cut cut = rn_rows_cut_of(1, a->rows, a->c, V, moments_body<T>::UNROLL, true);
    rn_bn_room room;
    RN_TRY(rn_bn_room_for(be, a->train ? cut.slices : 0, a->c, &room));
    const affine to = {*a, room.factors, (double)a->rows * (a->train ? rn_comm_size(a->comm) : 1)};
    RN_TRY((a->train ? moments<T, V>(be, to, cut, room, stream) : rn_bn_channels(affine_of{to, NULL}, a->c, stream)));
    const float floor = a->relu ? 0 : -INFINITY;
    const rn_rows_cut wide = rn_rows_cut_of(1, a->rows, a->c, V, 4, false);
    if (!a->res)
        return rn_rows_launch<V>(
            norm_body<T, false>{(const T *)a->x, NULL, (T *)a->y, a->mask, room.factors, a->c, floor}, wide, stream);
    const norm_body<T, true> b = {(const T *)a->x, (const T *)a->res, (T *)a->y, a->mask, room.factors, a->c, floor};
    return rn_rows_launch<V>(b, wide, stream);
}

template <typename T> static int bn_fwd_as(struct rn_backend *be, const rn_op_bn_fwd *a, void *stream)
{
    if (rn_rows_wide<T>(a->c, a->x, a->res, a->y))
        return bn_fwd<T, rn_vec<T>::N>(be, a, stream);
    RN_TRY(rn_bn_refuse_mask("bn_fwd", a->mask));
    return bn_fwd<T, 1>(be, a, stream);
}

int rn_cuda_bn_fwd(struct rn_backend *be, const rn_op_bn_fwd *a, void *stream)
{
    RN_TRY(rn_op_check_bn_fwd(a));
    RN_CUDA_BY_TYPE(a->dtype, T, bn_fwd_as<T>(be, a, stream));
}
