/* SPDX-License-Identifier: MIT */
/*
 * Softmax cross-entropy and distillation: a block takes a row, which it reads three times, the last two from the caches.
 * Rows are few and short beside the layers before them; so that sums are in double, and where a difference of logarithms is
 * what is wanted, these too.
 */
extern "C" {
#include "base/rn_error.h"
#include "kernels/cuda/cuda_ops.h"
#include "op/rn_op_check.h"
}
#include "kernels/cuda/cuda_vec.h"

enum { ROW_THREADS = 128, ROW_BLOCKS = 1 << 16 };

static __device__ inline float grad_scale(const rn_op_now *now)
{
    return now->loss_scale ? (float)now->loss_scale->scale / now->rows : now->grad_scale;
}

/* Of all threads' values, in one order; everyone gets it. */
template <class F> static __device__ inline double of_block(double mine, F join)
{
    __shared__ double room[ROW_THREADS];
    __syncthreads(); /* nobody reads the last one any more */
    room[threadIdx.x] = mine;
    for (int half = ROW_THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < half)
            room[threadIdx.x] = join(room[threadIdx.x], room[threadIdx.x + half]);
    }
    __syncthreads();
    return room[0];
}

struct plus {
    __device__ double operator()(double a, double b) const
    {
        return a + b;
    }
};

/* The larger; a NaN wins. */
struct larger {
    __device__ double operator()(double a, double b) const
    {
        return b > a || isnan(b) ? b : a;
    }
};

template <typename T> static __device__ inline float max_of(const T *z, int k)
{
    double max = -INFINITY;
    for (int j = (int)threadIdx.x; j < k; j += ROW_THREADS)
        max = larger()(max, (double)rn_load1(z + j));
    return (float)of_block(max, larger());
}

/* ---- cross-entropy ---- */

/* q_j: of one label, or of the mixture of two. */
static __device__ inline double target(const rn_op_xent &a, int row, int j)
{
    const double share = a.labels2 ? (double)a.share : 1, peak = 1 - (double)a.smoothing;
    double q = (double)a.smoothing / a.k;
    if (j == a.labels[row])
        q += share * peak;
    if (a.labels2 && j == a.labels2[row])
        q += (1 - share) * peak;
    return q;
}

/* A label that is no class (the host has checked those of a data set) makes loss and gradient NaN; it is not followed. */
static __device__ inline bool labels_fit(const rn_op_xent &a, int row)
{
    return a.labels[row] >= 0 && a.labels[row] < a.k && (!a.labels2 || (a.labels2[row] >= 0 && a.labels2[row] < a.k));
}

template <typename T> static __device__ void pad_row(const rn_op_xent &a, int row)
{
    for (int j = (int)threadIdx.x; a.dlogits && j < a.k; j += ROW_THREADS)
        rn_store1((T *)a.dlogits + (int64_t)row * a.k + j, 0);
    if (threadIdx.x == 0)
        a.loss[row] = 0, a.rank[row] = -1;
}

template <typename T> static __device__ void xent_row(const rn_op_xent &a, int row)
{
    const T *z = (const T *)a.logits + (int64_t)row * a.k;
    T *d = (T *)a.dlogits + (int64_t)row * a.k;
    const bool fit = labels_fit(a, row);
    const int label = fit ? a.labels[row] : 0;
    const float max = max_of(z, a.k), mine = rn_load1(z + label);
    double sum = 0, before = 0, loss = 0;
    for (int j = (int)threadIdx.x; j < a.k; j += ROW_THREADS) {
        const float v = rn_load1(z + j);
        sum += (double)expf(v - max);
        before += v > mine || (v == mine && j < label) ? 1 : 0;
    }
    sum = of_block(sum, plus());
    before = of_block(before, plus());
    const double lse = log(sum);
    const float scale = fit ? (float)(1 / sum) : NAN;
    for (int j = (int)threadIdx.x; j < a.k; j += ROW_THREADS) {
        const float v = rn_load1(z + j);
        const double q = target(a, row, j);
        if (q > 0) /* 0 times an infinite term is nothing */
            loss += q * (lse - (double)(v - max));
        if (a.dlogits) /* its own element alone, which nobody else reads any more: the two may be the same memory */
            rn_store1(d + j, (float)(((double)(expf(v - max) * scale) - q) * (double)a.grad_scale));
    }
    loss = of_block(loss, plus());
    if (threadIdx.x == 0) {
        const bool good = fit && !isnan(max);
        a.loss[row] = good ? (float)loss : NAN;
        a.rank[row] = good ? (int32_t)before : a.k;
    }
}

template <typename T> static __global__ void xent_kernel(rn_op_xent a)
{
    if (a.now)
        a.share = a.now->share, a.grad_scale = grad_scale(a.now);
    for (int row = (int)blockIdx.x; row < a.mb; row += (int)gridDim.x) {
        if (row < a.n)
            xent_row<T>(a, row);
        else
            pad_row<T>(a, row);
    }
}

static unsigned grid_of(int rows)
{
    return (unsigned)(rows < ROW_BLOCKS ? rows : ROW_BLOCKS);
}

template <typename T> static int xent(const rn_op_xent *a, void *stream)
{
    return RN_CUDA_LAUNCH((xent_kernel<T>), grid_of(a->mb), ROW_THREADS, 0, stream, *a);
}

int rn_cuda_xent(struct rn_backend *be, const rn_op_xent *a, void *stream)
{
    (void)be;
    RN_TRY(rn_op_check_xent(a));
    RN_CUDA_BY_TYPE(a->dtype, T, xent<T>(a, stream));
}

/* ---- distillation ---- */

/* Of z / t: the logarithm of the sum of exponentials, less the maximum. */
static __device__ inline double log_sum(const float *z, int k, float max, double t)
{
    double sum = 0;
    for (int j = (int)threadIdx.x; j < k; j += ROW_THREADS)
        sum += exp(((double)z[j] - (double)max) / t);
    return log(of_block(sum, plus()));
}

static __global__ void distill_kernel(rn_op_distill a)
{
    if (a.now)
        a.grad_scale = grad_scale(a.now);
    const double t = (double)a.temperature, hard = (double)a.hard, soft = (double)a.soft;
    for (int row = (int)blockIdx.x; row < a.n; row += (int)gridDim.x) {
        const float *z = a.logits + (int64_t)row * a.k, *of = a.teacher + (int64_t)row * a.k;
        const float max = max_of(z, a.k), max_t = max_of(of, a.k);
        const double lse = log_sum(z, a.k, max, t), lse_t = log_sum(of, a.k, max_t, t);
        double kl = 0;
        for (int j = (int)threadIdx.x; j < a.k; j += ROW_THREADS) {
            const double p = ((double)z[j] - (double)max) / t - lse, r = ((double)of[j] - (double)max_t) / t - lse_t;
            const double share = exp(r);
            if (!(share <= 0)) /* a share of 0 adds nothing; a NaN goes through */
                kl += share * (r - p);
            if (!a.dlogits)
                continue;
            float *d = a.dlogits + (int64_t)row * a.k + j;
            *d = (float)(hard * (double)*d + soft * t * (exp(p) - share) * (double)a.grad_scale);
        }
        kl = of_block(kl, plus());
        if (threadIdx.x == 0)
            a.loss[row] = (float)(hard * (double)a.loss[row] + soft * t * t * kl);
    }
}

int rn_cuda_distill(struct rn_backend *be, const rn_op_distill *a, void *stream)
{
    (void)be;
    RN_TRY(rn_op_check_distill(a));
    return a->n == 0 ? RN_OK : RN_CUDA_LAUNCH(distill_kernel, grid_of(a->n), ROW_THREADS, 0, stream, *a);
}
