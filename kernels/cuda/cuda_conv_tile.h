/* SPDX-License-Identifier: MIT */
/*
 * One block's part of a product of matrices: the shapes of tiles, where their operands lie in shared memory, and their
 * multiplication by tensor cores or by f32 FMA.
 *
 * Operands lie in pieces of 16 bytes whose order within a row is changed by the row's number (swizzled), so that the 8 pieces
 * that a quarter of a warp reads at once are in different banks:
 *   along k   (fwd, bwd_d) a row of the tile is a row of A or a column of B: 4 pieces, 64 bytes
 *   across k  (bwd_w)      a row of the tile is one k: all rows of A, or columns of B, side by side
 */
#ifndef CUDA_CONV_TILE_H
#define CUDA_CONV_TILE_H

#include "kernels/cuda/cuda_conv_types.h"
#include "kernels/cuda/cuda_mma.h"

/* What multiplies. Type: that of the operands in shared memory. */
struct rn_by_bf16 {
    typedef rn_type_bf16 type;
    enum { MMA = 1, ROUNDS = 0 };
    static __device__ __forceinline__ void mma(float *d, const uint32_t *a, const uint32_t *b)
    {
        rn_mma_bf16(d, a, b);
    }
};
struct rn_by_f16 {
    typedef rn_type_f16 type;
    enum { MMA = 1, ROUNDS = 0 };
    static __device__ __forceinline__ void mma(float *d, const uint32_t *a, const uint32_t *b)
    {
        rn_mma_f16(d, a, b);
    }
};
struct rn_by_tf32 {
    typedef rn_type_f32 type;
    enum { MMA = 1, ROUNDS = 1 };
    static __device__ __forceinline__ void mma(float *d, const uint32_t *a, const uint32_t *b)
    {
        rn_mma_tf32(d, a, b);
    }
};
struct rn_by_f32 {
    typedef rn_type_f32 type;
    enum { MMA = 0, ROUNDS = 0 };
    static __device__ __forceinline__ void mma(float *, const uint32_t *, const uint32_t *) {}
};

/* M x N of the product by a block, WM x WN of it by each warp, 64 bytes of k at a time. */
template <class By_, int M_, int N_, int WM_, int WN_> struct rn_tile {
    typedef By_ By;
    typedef typename By::type type;
    typedef typename type::store store;
    enum {
        M = M_,
        N = N_,
        WM = WM_,
        WN = WN_,
        PIECE = 16 / (int)sizeof(store), /* values in 16 bytes */
        K = 4 * PIECE,
        THREADS = M / WM * (N / WN) * 32, /* that multiply */
        BLOCK = THREADS,
        SUMS = WM * WN / 32, /* of one thread */
        A_BYTES = M * 64,
        STAGE_BYTES = (M + N) * 64,
        STAGES = 4,
        OUT_STRIDE = N + 8, /* f32; keeps the 8 rows that a warp stores to in different banks */
        OUT_BYTES = M * OUT_STRIDE * 4,
        RING_BYTES = STAGES * STAGE_BYTES,
        PLACES = OUT_BYTES > RING_BYTES ? OUT_BYTES : RING_BYTES, /* M int64 behind the larger of both */
        PHASE = PLACES + M * 8,
        SHARED_BYTES = PHASE + 128
    };
};

/* A barrier of the threads that multiply, which the block may have others beside. */
template <class T> static __device__ __forceinline__ void rn_tile_barrier()
{
#ifdef RN_CUDA_EMULATED
    __syncthreads(); /* of those that live: the others have gone, or will */
#else
    if constexpr ((int)T::BLOCK == (int)T::THREADS)
        __syncthreads();
    else
        asm volatile("bar.sync 1, %0;" ::"n"((int)T::THREADS) : "memory");
#endif
}

/* ---- operands in shared memory ------------------------------------------------------------------------------------------ */

static __device__ __forceinline__ int rn_along_k(int row, int piece)
{
    return row * 64 + ((piece ^ (row >> 1 & 3)) << 4);
}

/* `bytes` a row, 128 at least. Bits of the row's number are turned, so that four rows' pairs of pieces do not meet either
 * (what single values of tf32 are read as). */
static __device__ __forceinline__ int rn_across_k(int bytes, int row, int piece)
{
    return row * bytes + ((piece ^ ((row << 1 | (row >> 2 & 1)) & 7)) << 4);
}

/* ---- products ----------------------------------------------------------------------------------------------------------- */

template <class T> static __device__ __forceinline__ void rn_round_operands(uint32_t *r, int n)
{
    if constexpr (T::By::ROUNDS) {
        RN_UNROLL
        for (int i = 0; i < n; i++)
            r[i] = rn_tf32(r[i]);
    }
}

/* Two steps along k, each of two pieces: 16 values of 16 bits, 8 of tf32. */
template <class T>
static __device__ __forceinline__ void rn_mma_along_k(const char *a, const char *b, int wm, int wn, float *sums)
{
    const int lane = threadIdx.x % 32, low = lane & 7, mid = lane >> 3 & 1, high = lane >> 4;

    RN_UNROLL
    for (int step = 0; step < 2; step++) {
        uint32_t fb[T::WN / 4], fa[4];
        RN_UNROLL
        for (int j = 0; j < T::WN / 16; j++)
            rn_ldmatrix(fb + 4 * j, b + rn_along_k(wn + 16 * j + low + 8 * high, 2 * step + mid));
        rn_round_operands<T>(fb, T::WN / 4);
        RN_UNROLL
        for (int i = 0; i < T::WM / 16; i++) {
            rn_ldmatrix(fa, a + rn_along_k(wm + 16 * i + low + 8 * mid, 2 * step + high));
            rn_round_operands<T>(fa, 4);
            RN_UNROLL
            for (int j = 0; j < T::WN / 8; j++)
                T::By::mma(sums + (i * (T::WN / 8) + j) * 4, fa, fb + 2 * j);
        }
    }
}

/* Operands of tf32 that lie across k, value by value: ldmatrix.trans moves 16 bits only. */
template <class T>
static __device__ __forceinline__ uint32_t rn_tf32_across_k(const char *tile, int bytes, int k, int at)
{
    return rn_tf32(*(const uint32_t *)(tile + rn_across_k(bytes, k, at / 4) + at % 4 * 4));
}

template <class T>
static __device__ __forceinline__ void rn_tf32_across(const char *a, const char *b, int wm, int wn, float *sums)
{
    const int lane = threadIdx.x % 32, g = lane >> 2, t = lane & 3;

    RN_UNROLL
    for (int step = 0; step < 2; step++) {
        const int k = 8 * step + t;
        uint32_t fb[T::WN / 4], fa[4];
        RN_UNROLL
        for (int j = 0; j < T::WN / 8 * 2; j++)
            fb[j] = rn_tf32_across_k<T>(b, T::N * 4, k + j % 2 * 4, wn + 8 * (j / 2) + g);
        RN_UNROLL
        for (int i = 0; i < T::WM / 16; i++) {
            RN_UNROLL
            for (int r = 0; r < 4; r++)
                fa[r] = rn_tf32_across_k<T>(a, T::M * 4, k + r / 2 * 4, wm + 16 * i + g + r % 2 * 8);
            RN_UNROLL
            for (int j = 0; j < T::WN / 8; j++)
                T::By::mma(sums + (i * (T::WN / 8) + j) * 4, fa, fb + 2 * j);
        }
    }
}

template <class T>
static __device__ __forceinline__ void rn_mma_across_k(const char *a, const char *b, int wm, int wn, float *sums)
{
    const int lane = threadIdx.x % 32, low = lane & 7, mid = lane >> 3 & 1, high = lane >> 4;

    RN_UNROLL
    for (int step = 0; step < 2; step++) {
        uint32_t fb[T::WN / 4], fa[4];
        RN_UNROLL
        for (int j = 0; j < T::WN / 16; j++)
            rn_ldmatrix_trans(fb + 4 * j,
                              b + rn_across_k(T::N * 2, 16 * step + low + 8 * mid, (wn + 16 * j) / 8 + high));
        RN_UNROLL
        for (int i = 0; i < T::WM / 16; i++) {
            rn_ldmatrix_trans(fa, a + rn_across_k(T::M * 2, 16 * step + low + 8 * high, (wm + 16 * i) / 8 + mid));
            RN_UNROLL
            for (int j = 0; j < T::WN / 8; j++)
                T::By::mma(sums + (i * (T::WN / 8) + j) * 4, fa, fb + 2 * j);
        }
    }
}

/* f32: a warp is 4 x 8 threads. Along k, a thread has every 4th row and every 8th column. */
template <class T>
static __device__ __forceinline__ void rn_fma_along_k(const char *a, const char *b, int wm, int wn, float *sums)
{
    const int lane = threadIdx.x % 32, tm = lane >> 3, tn = lane & 7;

    RN_UNROLL
    for (int piece = 0; piece < 4; piece++) {
        float4 fa[T::WM / 4];
        RN_UNROLL
        for (int i = 0; i < T::WM / 4; i++)
            fa[i] = *(const float4 *)(a + rn_along_k(wm + tm + 4 * i, piece));
        RN_UNROLL
        for (int j = 0; j < T::WN / 8; j++) {
            const float4 fb = *(const float4 *)(b + rn_along_k(wn + tn + 8 * j, piece));
            RN_UNROLL
            for (int i = 0; i < T::WM / 4; i++) {
                float *sum = sums + i * (T::WN / 8) + j;
                *sum = fmaf(fa[i].x, fb.x, *sum);
                *sum = fmaf(fa[i].y, fb.y, *sum);
                *sum = fmaf(fa[i].z, fb.z, *sum);
                *sum = fmaf(fa[i].w, fb.w, *sum);
            }
        }
    }
}

/* Across k, it has every 4th piece of 4 rows and every 8th piece of 4 columns. */
template <class T>
static __device__ __forceinline__ void rn_fma_across_k(const char *a, const char *b, int wm, int wn, float *sums)
{
    const int lane = threadIdx.x % 32, tm = lane >> 3, tn = lane & 7;

    RN_UNROLL
    for (int k = 0; k < T::K; k++) {
        alignas(16) float fa[T::WM / 4], fb[T::WN / 8];
        RN_UNROLL
        for (int i = 0; i < T::WM / 16; i++)
            *(float4 *)(fa + 4 * i) = *(const float4 *)(a + rn_across_k(T::M * 4, k, wm / 4 + tm + 4 * i));
        RN_UNROLL
        for (int j = 0; j < T::WN / 32; j++)
            *(float4 *)(fb + 4 * j) = *(const float4 *)(b + rn_across_k(T::N * 4, k, wn / 4 + tn + 8 * j));
        RN_UNROLL
        for (int i = 0; i < T::WM / 4; i++) {
            RN_UNROLL
            for (int j = 0; j < T::WN / 8; j++)
                sums[i * (T::WN / 8) + j] = fmaf(fa[i], fb[j], sums[i * (T::WN / 8) + j]);
        }
    }
}

template <class T> static __device__ __forceinline__ int rn_warp_row(void)
{
    return threadIdx.x / 32 / (T::N / T::WN) * T::WM;
}

template <class T> static __device__ __forceinline__ int rn_warp_column(void)
{
    return threadIdx.x / 32 % (T::N / T::WN) * T::WN;
}

/* Adds the product of one stage, A and behind it B, to this thread's sums. */
template <class T, bool along_k> static __device__ __forceinline__ void rn_multiply(const char *stage, float *sums)
{
    const char *a = stage, *b = stage + T::A_BYTES;
    const int wm = rn_warp_row<T>(), wn = rn_warp_column<T>();

    if constexpr (!T::By::MMA && along_k)
        rn_fma_along_k<T>(a, b, wm, wn, sums);
    else if constexpr (!T::By::MMA)
        rn_fma_across_k<T>(a, b, wm, wn, sums);
    else if constexpr (along_k)
        rn_mma_along_k<T>(a, b, wm, wn, sums);
    else if constexpr (T::By::ROUNDS)
        rn_tf32_across<T>(a, b, wm, wn, sums);
    else
        rn_mma_across_k<T>(a, b, wm, wn, sums);
}

/* This thread's sums to their places in out (M rows of OUT_STRIDE). */
template <class T, bool along_k> static __device__ __forceinline__ void rn_sums_out(const float *sums, float *out)
{
    const int lane = threadIdx.x % 32, wm = rn_warp_row<T>(), wn = rn_warp_column<T>();

    RN_UNROLL
    for (int n = 0; n < T::SUMS; n++) {
        int row, column;
        if constexpr (T::By::MMA) {
            row = n / 4 / (T::WN / 8) * 16 + (n >> 1 & 1) * 8 + (lane >> 2);
            column = n / 4 % (T::WN / 8) * 8 + (n & 1) + 2 * (lane & 3);
        } else {
            const int i = n / (T::WN / 8), j = n % (T::WN / 8), tm = lane >> 3, tn = lane & 7;
            row = along_k ? tm + 4 * i : (tm + i / 4 * 4) * 4 + i % 4;
            column = along_k ? tn + 8 * j : (tn + j / 4 * 8) * 4 + j % 4;
        }
        out[(wm + row) * T::OUT_STRIDE + wn + column] = sums[n];
    }
}

#endif
