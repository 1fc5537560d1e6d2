/* SPDX-License-Identifier: MIT */
/*
 * The linear layer: by cuBLASLt where it is (cuda_blas_linear.h; the device's description says so), else by one tiled matrix
 * product for its three directions, f32 multiplied and added as f32 (no TF32). A block makes 64 x 64 results, a thread 4 x 4,
 * over 16 terms at a time in shared memory; the terms of a turn are summed on their own and then added, so that the rounding
 * of long sums grows with their sixteenth part.
 */
extern "C" {
#include "base/rn_error.h"
#include "kernels/cuda/cuda_ops.h"
#include "op/rn_op_check.h"
}
#include "kernels/cuda/cuda_blas_linear.h"
#include "kernels/cuda/cuda_rows.h"

enum { SIDE = 64, DEPTH = 16, EACH = 4, DENSE_THREADS = (SIDE / EACH) * (SIDE / EACH), PAD = 4 };

/* A matrix of one side of the product: (outer, depth), strides in elements, one of which is 1. */
typedef struct operand {
    const void *p;
    rn_dtype type;
    int outer;
    int64_t by_outer, by_depth;
} operand;

/* out (a.outer, b.outer) = a b^T [+ bias (b.outer)] [+ out] */
typedef struct product {
    operand a, b;
    int depth;
    const float *bias;
    void *out;
    rn_dtype type;
    int beta;
} product;

static __device__ inline float value(const void *p, rn_dtype t, int64_t i)
{
    return t == RN_F32    ? rn_load1((const float *)p + i)
           : t == RN_BF16 ? rn_load1((const rn_bf16 *)p + i)
                          : rn_load1((const rn_f16 *)p + i);
}

/* DEPTH by SIDE of an operand, in shared memory. */
struct alignas(16) dense_tile {
    float v[DEPTH][SIDE + PAD];
};

/* Neighbours in memory are read by neighbouring threads. What is beyond the operand is 0. */
static __device__ inline void stage(const operand &m, int outer, int depth, int depths, dense_tile &tile)
{
    for (int i = (int)threadIdx.x; i < DEPTH * SIDE; i += DENSE_THREADS) {
        const int o = m.by_depth == 1 ? i / DEPTH : i % SIDE, d = m.by_depth == 1 ? i % DEPTH : i / SIDE;
        const bool in = outer + o < m.outer && depth + d < depths;
        tile.v[d][o] = in ? value(m.p, m.type, (outer + o) * m.by_outer + (depth + d) * m.by_depth) : 0;
    }
}

static __device__ inline void multiply(const dense_tile &a, const dense_tile &b, int row, int column,
                                       float (&sum)[EACH][EACH])
{
    float turn[EACH][EACH] = {};
    RN_UNROLL
    for (int d = 0; d < DEPTH; d++) {
        float x[EACH], y[EACH];
        rn_load<float, EACH>(&a.v[d][row], x);
        rn_load<float, EACH>(&b.v[d][column], y);
        RN_UNROLL
        for (int i = 0; i < EACH; i++) {
            RN_UNROLL
            for (int j = 0; j < EACH; j++)
                turn[i][j] = fmaf(x[i], y[j], turn[i][j]);
        }
    }
    RN_UNROLL
    for (int i = 0; i < EACH; i++) {
        RN_UNROLL
        for (int j = 0; j < EACH; j++)
            sum[i][j] += turn[i][j];
    }
}

template <typename T> static __device__ inline void put_one(const product &p, int row, int column, float sum)
{
    T *to = (T *)p.out + (int64_t)row * p.b.outer + column;
    const float v = sum + (p.bias ? p.bias[column] : 0);
    rn_store1(to, p.beta ? v + rn_load1(to) : v);
}

template <typename T> static __global__ void __launch_bounds__(DENSE_THREADS) product_kernel(product p)
{
    __shared__ dense_tile a, b;
    const int row = (int)threadIdx.x / (SIDE / EACH) * EACH, column = (int)threadIdx.x % (SIDE / EACH) * EACH;
    const int64_t across = ((int64_t)p.b.outer + SIDE - 1) / SIDE,
                  tiles = ((int64_t)p.a.outer + SIDE - 1) / SIDE * across;
    for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        const int top = (int)(tile / across) * SIDE, left = (int)(tile % across) * SIDE;
        float sum[EACH][EACH] = {};
        for (int d = 0; d < p.depth; d += DEPTH) {
            stage(p.a, top, d, p.depth, a);
            stage(p.b, left, d, p.depth, b);
            __syncthreads();
            multiply(a, b, row, column, sum);
            __syncthreads();
        }
        for (int i = 0; i < EACH; i++)
            for (int j = 0; j < EACH; j++)
                if (top + row + i < p.a.outer && left + column + j < p.b.outer)
                    put_one<T>(p, top + row + i, left + column + j, sum[i][j]);
    }
}

template <typename T> static int multiply_as(const product &p, void *stream)
{
    const int64_t tiles = (((int64_t)p.a.outer + SIDE - 1) / SIDE) * (((int64_t)p.b.outer + SIDE - 1) / SIDE);
    const unsigned grid = (unsigned)(tiles < 1 << 20 ? tiles : 1 << 20);
    return RN_CUDA_LAUNCH((product_kernel<T>), grid, DENSE_THREADS, 0, stream, p);
}

static int run_product(const product &p, void *stream)
{
    RN_CUDA_BY_TYPE(p.type, T, multiply_as<T>(p, stream));
}

static int own(const rn_op_linear *a, rn_conv_dir dir, void *stream)
{
    const operand x = {a->x, a->dtype, a->mb, a->ic, 1}, w = {a->w, RN_F32, a->oc, a->ic, 1};
    const operand dy = {a->y, a->y_dtype, a->mb, a->oc, 1}, by_ic = {a->w, RN_F32, a->ic, 1, a->ic};
    const operand dy_by_oc = {a->y, a->y_dtype, a->oc, 1, a->oc}, x_by_ic = {a->x, a->dtype, a->ic, 1, a->ic};

    if (dir == RN_FWD)
        return run_product(product{x, w, a->ic, a->b, a->y, a->y_dtype, 0}, stream);
    if (dir == RN_BWD_D)
        return run_product(product{dy, by_ic, a->oc, NULL, a->x, a->dtype, a->beta}, stream);
    return run_product(product{dy_by_oc, x_by_ic, a->mb, NULL, a->w, RN_F32, 0}, stream);
}

static int either(struct rn_backend *be, const rn_op_linear *a, rn_conv_dir dir, void *stream)
{
    RN_TRY(rn_op_check_linear(a));
    const int done = rn_blas_linear(be, a, dir, stream);
    if (done != 0)
        return done < 0 ? done : RN_OK;
    return own(a, dir, stream);
}

int rn_cuda_linear_fwd(struct rn_backend *be, const rn_op_linear *a, void *stream)
{
    return either(be, a, RN_FWD, stream);
}

int rn_cuda_linear_bwd_d(struct rn_backend *be, const rn_op_linear *a, void *stream)
{
    return either(be, a, RN_BWD_D, stream);
}

int rn_cuda_linear_bwd_w(struct rn_backend *be, const rn_op_linear *a, void *stream)
{
    RN_TRY(either(be, a, RN_BWD_W, stream));
    if (!a->b)
        return RN_OK;
    const rn_op_bias_bwd columns = {a->y_dtype, false, a->mb, a->oc, NULL, a->y, NULL, a->b};
    return rn_cuda_bias_bwd(be, &columns, stream);
}
