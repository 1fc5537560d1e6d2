/* SPDX-License-Identifier: MIT */
/* cuda:implicit-gemm-sm90: its tiles, and the ring of stages that TMA fills and wgmma empties. */
#ifndef CUDA_CONV_SM90_RING_H
#define CUDA_CONV_SM90_RING_H

#include "kernels/cuda/cuda_conv_finish.h"
#include "kernels/cuda/cuda_conv_sm90_args.h"
#include "kernels/cuda/cuda_sm90_mma.h"

/* For cuda_conv_tile.h and cuda_conv_finish.h: a warp of those that multiply has 16 rows and all columns. */
template <class By_, int N_, int STAGES_, int BLOCKS_, bool OTHER_ = false> struct rn_sm90_tile {
    typedef By_ By;
    typedef typename By::type type;
    typedef typename type::store store;
    enum {
        KIND = By::KIND,
        M = RN_SM90_M,
        N = N_,
        K = RN_SM90_K,
        WM = 16,
        WN = N,
        THREADS = 2 * RN_WARPGROUP, /* that multiply */
        BLOCKS = BLOCKS_,           /* that a multiprocessor has room for */
        SHARES = BLOCKS == 1,       /* its threads have other counts of registers than they were launched with */
        ASKING = SHARES ? RN_WARPGROUP : 32,
        BLOCK = THREADS + ASKING,
        SUMS = WM * WN / 32,
        ROW = RN_SWIZZLE_ROW,
        CHUNK = K * ROW, /* bwd_w: 64 k of 64 rows of A or columns of B */
        A_BYTES = M * ROW,
        OTHER = OTHER_, /* A's prologue has a second tensor, whose tile lies behind A's */
        B = OTHER ? 2 * A_BYTES : A_BYTES,
        STAGE_BYTES = B + N * ROW,
        STAGES = STAGES_,
        OUT_STRIDE = N + 8,
        OUT_BYTES = M * OUT_STRIDE * 4,
        RING_BYTES = STAGES * STAGE_BYTES,
        PLACES = OUT_BYTES > RING_BYTES ? OUT_BYTES : RING_BYTES,
        PHASE = PLACES + M * 8,
        BARRIERS = PHASE + 128, /* full[STAGES], empty[STAGES] */
        SHARED_BYTES = BARRIERS + STAGES * 16 + RN_SWIZZLE_PATTERN,
        /* For a prologue, behind the barriers: the rows' pixels, and the channels' factors. */
        PIXELS = BARRIERS + STAGES * 16,
        FACTORS = PIXELS + M * 8,
        READ_MOST = M * 8 + RN_SM90_READ_CHANNELS * (OTHER ? 12 : 8),
        /* Registers of a thread where there is one block: as launched, and as its three groups of four warps share them out. Two
         * blocks of 9 warps, or 5 to a quarter of the multiprocessor, have 96 for each thread. */
        LAUNCHED = 65536 / (3 * RN_WARPGROUP) / 8 * 8,
        FEWER = 40,
        MORE = (LAUNCHED * 3 - FEWER) / 2 / 8 * 8
    };
    static_assert(A_BYTES % RN_SWIZZLE_PATTERN == 0 && STAGE_BYTES % RN_SWIZZLE_PATTERN == 0,
                  "tiles begin at patterns");
    static_assert(SHARED_BYTES + READ_MOST <= 227 * 1024 && (SHARED_BYTES + READ_MOST + 1024) * BLOCKS <= 228 * 1024,
                  "shared memory");
    static_assert(FEWER + 2 * MORE <= 3 * LAUNCHED && MORE >= LAUNCHED && MORE <= 240, "registers");
};

struct rn_sm90_bf16 : rn_by_bf16 {
    enum { KIND = 0 };
};
struct rn_sm90_f16 : rn_by_f16 {
    enum { KIND = 1 };
};

#if RN_SM90_CODE

/* A block's shared memory from its first pattern on. */
static __device__ __forceinline__ char *rn_sm90_begin(char *shared)
{
    return shared + rn_to_pattern(shared);
}

template <class T> struct rn_sm90_ring {
    char *shared;

    __device__ __forceinline__ uint64_t *full(int stage) const
    {
        return (uint64_t *)(shared + T::BARRIERS) + stage;
    }
    __device__ __forceinline__ uint64_t *empty(int stage) const
    {
        return full(T::STAGES + stage);
    }
    __device__ __forceinline__ char *a(int stage) const
    {
        return shared + stage * T::STAGE_BYTES;
    }
    __device__ __forceinline__ char *b(int stage) const
    {
        return a(stage) + T::B;
    }
    /* One thread, before the block's first barrier. */
    __device__ __forceinline__ void init() const
    {
        for (int i = 0; i < T::STAGES; i++) {
            rn_barrier_init(full(i), 1);
            rn_barrier_init(empty(i), T::THREADS / 32);
        }
        rn_barrier_fence();
    }
    /* Until the i-th stage's place is free. */
    __device__ __forceinline__ void wait_free(int i) const
    {
        rn_barrier_wait(empty(i % T::STAGES), (unsigned)(i / T::STAGES + 1) & 1);
    }
    /* The asking thread: the i-th stage's place is free; its bytes are expected. */
    __device__ __forceinline__ int take(int i) const
    {
        const int stage = i % T::STAGES;

        wait_free(i);
        rn_barrier_expect(full(stage), T::STAGE_BYTES);
        return stage;
    }
};

/* Of a stage's k, 16 after 16. */
template <class T, bool across> struct rn_sm90_slices {
    /* 16 k on: 32 bytes of each row, or two patterns, in units of 16 bytes. 64 rows on: so many patterns, or another chunk. */
    enum { ON = (across ? 2 * RN_SWIZZLE_PATTERN : 32) / 16, LEADING = across ? (int)T::CHUNK : 16, COUNT = T::K / 16 };
};

#endif

#endif
