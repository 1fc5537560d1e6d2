/* SPDX-License-Identifier: MIT */
/* cuda:implicit-gemm: what is summed in parts, put together in a fixed order; and weights turned for bwd_d. */
#include "kernels/cuda/cuda_conv_gemm_run.h"

/* MANY: parts of which one thread would wait for one after the other. */
enum { THREADS = 256, WARPS = THREADS / 32, MANY = WARPS };
enum { COLUMNS = 8, LANES = 64, SIDE = 32, LINES = 8 };

static __global__ void __launch_bounds__(THREADS)
    add_parts(float *to, const float *parts, int64_t n, int count, bool add)
{
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;

    if (i < n) {
        float sum = parts[i];
        for (int part = 1; part < count; part++)
            sum += parts[part * n + i];
        to[i] = add ? to[i] + sum : sum;
    }
}

/* The same of many parts: a block has a warp's values, and each warp every WARPS-th part of them. */
static __global__ void __launch_bounds__(THREADS)
    add_many_parts(float *to, const float *parts, int64_t n, int count, bool add)
{
    __shared__ float warps[WARPS][32];
    const int x = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int64_t i = (int64_t)blockIdx.x * 32 + x;
    float sum = 0;

    if (i < n) {
        for (int part = warp; part < count; part += WARPS)
            sum += parts[part * n + i];
    }
    warps[warp][x] = sum;
    __syncthreads();
    if (warp == 0 && i < n) {
        for (int part = 1; part < WARPS; part++)
            sum += warps[part][x];
        to[i] = add ? to[i] + sum : sum;
    }
}

int rn_conv_add_parts(float *to, const float *parts, int64_t n, int count, bool add, void *stream)
{
    const unsigned blocks = (unsigned)((n + THREADS - 1) / THREADS);

    if (count >= MANY)
        return RN_CUDA_LAUNCH(add_many_parts, (unsigned)((n + 31) / 32), THREADS, 0, stream, to, parts, n, count, add);
    return RN_CUDA_LAUNCH(add_parts, blocks, THREADS, 0, stream, to, parts, n, count, add);
}

/* A block has COLUMNS columns, two 32-byte sectors of each part, and LANES threads for each of them. */
static __global__ void __launch_bounds__(COLUMNS *LANES)
    add_sums(double *sum, double *sumsq, const double *parts, int columns, int count)
{
    __shared__ double lanes[LANES][COLUMNS];
    const int x = threadIdx.x % COLUMNS, lane = threadIdx.x / COLUMNS;
    const int64_t column = (int64_t)blockIdx.x * COLUMNS + x;
    double total = 0;

    if (column < 2 * (int64_t)columns) {
        for (int part = lane; part < count; part += LANES)
            total += parts[part * 2 * (int64_t)columns + column];
    }
    lanes[lane][x] = total;
    for (int half = LANES / 2; half > 0; half /= 2) {
        __syncthreads();
        if (lane < half)
            lanes[lane][x] += lanes[lane + half][x];
    }
    if (lane == 0 && column < 2 * (int64_t)columns)
        (column < columns ? sum + column : sumsq + (column - columns))[0] = lanes[0][x];
}

int rn_conv_add_sums(double *sum, double *sumsq, const double *parts, int columns, int count, void *stream)
{
    const unsigned blocks = (unsigned)((2 * (int64_t)columns + COLUMNS - 1) / COLUMNS);

    return RN_CUDA_LAUNCH(add_sums, blocks, COLUMNS * LANES, 0, stream, sum, sumsq, parts, columns, count);
}

/* A square of SIDE x SIDE through shared memory, so that rows are read and written whole. */
template <class store>
static __global__ void __launch_bounds__(SIDE *LINES)
    turn_weights(store *to, const store *from, int oc, int taps, int ic, int across)
{
    __shared__ store square[SIDE][SIDE + 1];
    const int x = threadIdx.x % SIDE, line = threadIdx.x / SIDE, tap = (int)(blockIdx.x % taps);
    const int c0 = (int)(blockIdx.x / taps % across) * SIDE, o0 = (int)(blockIdx.x / taps / across) * SIDE;

    for (int y = line; y < SIDE; y += LINES) {
        if (o0 + y < oc && c0 + x < ic)
            square[y][x] = from[((int64_t)(o0 + y) * taps + tap) * ic + c0 + x];
    }
    __syncthreads();
    for (int y = line; y < SIDE; y += LINES) {
        if (c0 + y < ic && o0 + x < oc)
            to[((int64_t)(c0 + y) * taps + tap) * oc + o0 + x] = square[x][y];
    }
}

int rn_conv_turn_weights(void *to, const void *from, int oc, int taps, int ic, size_t size, void *stream)
{
    const int across = (ic + SIDE - 1) / SIDE;
    const unsigned blocks = (unsigned)((oc + SIDE - 1) / SIDE) * (unsigned)across * (unsigned)taps;

    return size == 4 ? RN_CUDA_LAUNCH(turn_weights<uint32_t>, blocks, SIDE * LINES, 0, stream, (uint32_t *)to,
                                      (const uint32_t *)from, oc, taps, ic, across)
                     : RN_CUDA_LAUNCH(turn_weights<uint16_t>, blocks, SIDE * LINES, 0, stream, (uint16_t *)to,
                                      (const uint16_t *)from, oc, taps, ic, across);
}
