/* SPDX-License-Identifier: MIT */
/* What an optimizer does to a run of parameters at once: all of a net's lie in one run, so that each is one launch. */
extern "C" {
#include "base/rn_error.h"
#include "kernels/cuda/cuda_ops.h"
#include "op/rn_op_check.h"
}
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/cuda_vec.h"

enum { FLOATS = rn_vec<float>::N };

/* 20 bytes a parameter: w and v both ways, g. */
struct sgd_body {
    rn_op_sgd a;

    template <int V> __device__ void at(int64_t i) const
    {
        const float scale = a.scale ? *a.scale : a.grad_scale;
        const float lr = a.now ? a.now->lr * a.lr : a.lr, mu = a.now ? a.now->mu : a.mu;
        float w[V], v[V], g[V];
        if (!isfinite(scale)) /* clip has found that this is no step to take */
            return;
        rn_load<float, V>(a.w + i, w);
        rn_load<float, V>(a.v + i, v);
        rn_load<float, V>(a.g + i, g);
        RN_UNROLL
        for (int k = 0; k < V; k++) {
            const float d = fmaf(g[k], scale, a.wd * w[k]), old = mu * v[k];
            v[k] = a.caffe ? fmaf(lr, d, old) : old + d;
            const float u = !a.nesterov ? v[k] : a.caffe ? fmaf(1 + mu, v[k], -old) : fmaf(mu, v[k], d);
            w[k] = a.caffe ? w[k] - u : fmaf(-lr, u, w[k]);
        }
        rn_store<float, V>(a.v + i, v);
        rn_store<float, V>(a.w + i, w);
    }
};

int rn_cuda_sgd(struct rn_backend *be, const rn_op_sgd *a, void *stream)
{
    (void)be;
    RN_TRY(rn_op_check_sgd(a));
    return rn_point<FLOATS>(sgd_body{*a}, a->n, rn_aligned(16, a->w, a->v, a->g), stream);
}

/* 12 bytes a value, 8 where y is not read. */
struct axpby_body {
    rn_op_axpby a;

    template <int V> __device__ void at(int64_t i) const
    {
        const float p = a.ab ? a.ab[0] : a.a, q = a.ab ? a.ab[1] : a.b;
        float x[V], y[V] = {};
        if ((a.ab && isnan(p)) || (a.scale && !isfinite(*a.scale)) || (a.sumsq && !isfinite(*a.sumsq)))
            return;
        rn_load<float, V>(a.x + i, x);
        if (q != 0)
            rn_load<float, V>(a.y + i, y);
        RN_UNROLL
        for (int k = 0; k < V; k++)
            y[k] = fmaf(p, x[k], q * y[k]);
        rn_store<float, V>(a.y + i, y);
    }
};

int rn_cuda_axpby(struct rn_backend *be, const rn_op_axpby *a, void *stream)
{
    (void)be;
    RN_TRY(rn_op_check_axpby(a));
    return rn_point<FLOATS>(axpby_body{*a}, a->n, rn_aligned(16, a->x, a->y), stream);
}

/* ---- the sum of squares ---- */

/*
 * 4 bytes a value. As many blocks as the number of values asks for, each thread's values in a fixed order, and the blocks' sums
 * joined by one: the same bits on every device. Squares are exact in double.
 */
enum { SUMSQ_BLOCKS = 256 /* at most */, SUMSQ_THREADS = 256, SUMSQ_EACH = 16 /* values of a thread, at least */ };

static unsigned sumsq_blocks(int64_t n)
{
    const int64_t blocks = (n + SUMSQ_THREADS * SUMSQ_EACH - 1) / (SUMSQ_THREADS * SUMSQ_EACH);
    return (unsigned)(blocks < 1 ? 1 : blocks < SUMSQ_BLOCKS ? blocks : (int64_t)SUMSQ_BLOCKS);
}

static __device__ inline double sum_of_block(double mine)
{
    __shared__ double room[SUMSQ_THREADS];
    room[threadIdx.x] = mine;
    for (int half = SUMSQ_THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < half)
            room[threadIdx.x] += room[threadIdx.x + half];
    }
    __syncthreads();
    return room[0];
}

template <int V> static __global__ void sumsq_kernel(int64_t n, const float *x, double *parts)
{
    const int64_t first = (int64_t)blockIdx.x * SUMSQ_THREADS + threadIdx.x, vectors = n / V;
    double sum = 0;
    for (int64_t i = first; i < vectors; i += (int64_t)gridDim.x * SUMSQ_THREADS) {
        float v[V];
        rn_load<float, V>(x + i * V, v);
        RN_UNROLL
        for (int k = 0; k < V; k++)
            sum += (double)v[k] * (double)v[k];
    }
    if (V > 1 && first < n - vectors * V)
        sum += (double)x[vectors * V + first] * (double)x[vectors * V + first];
    sum = sum_of_block(sum);
    if (threadIdx.x == 0)
        parts[blockIdx.x] = sum;
}

static __global__ void sumsq_join_kernel(const double *parts, unsigned count, double *sum)
{
    const double all = sum_of_block(threadIdx.x < count ? parts[threadIdx.x] : 0);
    if (threadIdx.x == 0)
        *sum = all;
}

template <int V> static int sumsq(const rn_op_sumsq *a, double *parts, void *stream)
{
    return RN_CUDA_LAUNCH((sumsq_kernel<V>), sumsq_blocks(a->n), SUMSQ_THREADS, 0, stream, a->n, a->x, parts);
}

int rn_cuda_sumsq(struct rn_backend *be, const rn_op_sumsq *a, void *stream)
{
    void *room;
    RN_TRY(rn_op_check_sumsq(a));
    RN_TRY(rn_cuda_scratch(be, SUMSQ_BLOCKS * sizeof(double), &room));
    RN_TRY((rn_aligned(16, a->x) ? sumsq<FLOATS>(a, (double *)room, stream) : sumsq<1>(a, (double *)room, stream)));
    return RN_CUDA_LAUNCH(sumsq_join_kernel, 1, SUMSQ_THREADS, 0, stream, (const double *)room, sumsq_blocks(a->n),
                          a->sum);
}

/* ---- what the gradients are multiplied by ---- */

/* As rn_loss_scale_move of op/rn_op_now.h, bit for bit; false: below the floor. */
static __device__ inline bool move_loss_scale(rn_loss_scale *at, bool overflowed)
{
    rn_loss_scale s = *at;
    s.good = overflowed ? 0 : s.good + 1;
    s.skipped += overflowed;
    if (overflowed)
        s.scale *= 0.5;
    else if (s.good >= RN_LOSS_SCALE_GROWTH) {
        s.good = 0;
        s.scale *= 2;
    }
    *at = s;
    return s.scale >= RN_LOSS_SCALE_FLOOR;
}

/* One block: few losses, and then one number. No product is fused with a sum, so that the host's bits come of it. */
static __global__ void clip_kernel(rn_op_clip a)
{
    rn_loss_scale *moves = a.now ? a.now->loss_scale : NULL;
    const double scale = moves   ? 1 / moves->scale
                         : a.now ? a.now->scale
                                 : a.scale,
                 times = a.now ? a.now->times : a.times;
    double odd = 0, by = 1;
    for (int i = (int)threadIdx.x; i < a.n; i += SUMSQ_THREADS)
        odd += isfinite(a.loss[i]) ? 0 : 1;
    odd = sum_of_block(odd);
    if (threadIdx.x != 0)
        return;
    const double norm = __dmul_rn(__dmul_rn(sqrt(*a.sumsq), scale), times);
    if (a.limit > 0)
        by = a.caffe ? (norm > a.limit ? a.limit / norm : 1) : fmin(1.0, a.limit / (norm + 1e-6));
    const bool after = !a.before || (isfinite(*a.before) && !isnan(*a.out)), overflowed = !isfinite(*a.sumsq);
    if (odd > 0 || !after || (moves ? !move_loss_scale(moves, overflowed) : overflowed))
        *a.out = NAN;
    else
        *a.out = overflowed ? INFINITY : (float)(scale * by);
}

int rn_cuda_clip(struct rn_backend *be, const rn_op_clip *a, void *stream)
{
    (void)be;
    RN_TRY(rn_op_check_clip(a));
    return RN_CUDA_LAUNCH(clip_kernel, 1, SUMSQ_THREADS, 0, stream, *a);
}
