/* SPDX-License-Identifier: MIT */
/*
 * bwd_w of cuda:implicit-gemm-sm90 with src through a prologue. Only A can come from registers, and src is B of the product in
 * cuda_conv_args.h; so it is turned: a row is a tap and one of ic, a column one of oc. src lies across k, from where ldmatrix turns it; and what
 * is written is turned back on its way through shared memory. A thread's rows keep their channels, so that factors are loaded once; the padding,
 * which differs from pixel to pixel, is told by the asking warp, stage by stage.
 */
#ifndef CUDA_CONV_SM90_TURNED_H
#define CUDA_CONV_SM90_TURNED_H

#include "kernels/cuda/cuda_conv_sm90_read.h"

/* For cuda_conv_finish.h: a tile as it is written, rows of oc, columns of taps and ic. */
template <class T> struct rn_sm90_turned {
    typedef typename T::By By;
    enum {
        M = T::N,
        N = T::M,
        THREADS = T::THREADS,
        BLOCK = T::BLOCK,
        OUT_STRIDE = N + 4, /* f32; the 8 rows of 4 columns that a warp stores at once are in different banks */
        /* Behind the barriers: for each stage, which of its pixels the two chunks of rows see, 16 bits each; then the rows' places. */
        SEEN_BYTES = 2 * T::K * 2,
        SEEN = T::BARRIERS + T::STAGES * 16,
        TURNED_PLACES = SEEN + T::STAGES * SEEN_BYTES,
        BYTES = T::SHARED_BYTES + T::STAGES * SEEN_BYTES + M * 8
    };
    static_assert(M * OUT_STRIDE * 4 <= T::PLACES && BYTES <= T::SHARED_BYTES + T::READ_MOST, "shared memory");
    static_assert(T::M == 128 && T::K == 64, "two chunks; two pixels for each lane of a warp");
};

#if RN_SM90_CODE

/* A tap and 64 of ic, from a column of the weights on. */
struct rn_sm90_chunk {
    bool there; /* not beyond the last column */
    int c, r, s;
};

static __device__ __forceinline__ rn_sm90_chunk rn_sm90_chunk_of(const rn_conv_desc &d, int column)
{
    const int tap = column / d.ic;

    return rn_sm90_chunk{tap < d.kh * d.kw, column % d.ic, tap / d.kw, tap % d.kw};
}

/* The asking warp's lane: pixels 2 l and 2 l + 1 of a stage, of dst. */
struct rn_sm90_two_pixels {
    int64_t pixel; /* the first */
    int x[2], y[2];

    __device__ __forceinline__ rn_sm90_two_pixels(const rn_conv_desc &d, int64_t first)
    {
        pixel = first;
        for (int i = 0; i < 2; i++) {
            x[i] = (int)((first + i) % d.ow);
            y[i] = (int)((first + i) / d.ow % d.oh);
        }
    }
    /* All bits of a half where a tap of that pixel is in the image. */
    __device__ __forceinline__ uint32_t seen(const rn_conv_sm90_weights_args &p, const rn_sm90_chunk &at) const
    {
        uint32_t bits = 0;

        RN_UNROLL
        for (int i = 0; i < 2; i++)
            if (at.there && pixel + i < p.pixels && (unsigned)(y[i] * p.d.sh - p.d.ph + at.r) < (unsigned)p.d.ih &&
                (unsigned)(x[i] * p.d.sw - p.d.pw + at.s) < (unsigned)p.d.iw)
                bits |= 0xffffu << 16 * i;
        return bits;
    }
    /* To the next stage. */
    __device__ __forceinline__ void advance(const rn_conv_sm90_weights_args &p)
    {
        pixel += RN_SM90_K;
        RN_UNROLL
        for (int i = 0; i < 2; i++) {
            const int beyond = x[i] + p.on_x >= p.d.ow;
            x[i] += p.on_x - (beyond ? p.d.ow : 0);
            y[i] += p.on_y + beyond;
            y[i] -= y[i] >= p.d.oh ? p.d.oh : 0;
        }
    }
};

/* The asking warp: as rn_sm90_ask_weights, for the turned product. */
template <class T>
static __device__ __forceinline__ void rn_sm90_ask_turned(const rn_conv_sm90_weights_args &p,
                                                          const rn_sm90_ring<T> &ring, int64_t first, int64_t behind,
                                                          int m0, int n0)
{
    const int lane = threadIdx.x % 32;
    const rn_sm90_chunk chunks[2] = {rn_sm90_chunk_of(p.d, n0), rn_sm90_chunk_of(p.d, n0 + 64)};
    rn_sm90_two_pixels two(p.d, first * T::K + 2 * lane);

    RN_NO_UNROLL
    for (int64_t step = first; step < behind; step++) {
        const int i = (int)(step - first), stage = i % T::STAGES;
        uint32_t *seen = (uint32_t *)(ring.shared + rn_sm90_turned<T>::SEEN + stage * rn_sm90_turned<T>::SEEN_BYTES);
        ring.wait_free(i);
        RN_UNROLL
        for (int c = 0; c < 2; c++)
            seen[c * 32 + lane] = two.seen(p, chunks[c]);
        two.advance(p);
        __syncwarp();
        if (lane == 0) {
            const int64_t pixel = step * T::K, line = pixel / p.d.ow;
            const int x = (int)(pixel % p.d.ow) * p.d.sw - p.d.pw, y = (int)(line % p.d.oh) * p.d.sh - p.d.ph,
                      n = (int)(line / p.d.oh);
            rn_barrier_expect(ring.full(stage), T::STAGE_BYTES);
            RN_UNROLL
            for (int c = 0; c < 2; c++)
                rn_tma_pixels(ring.a(stage) + c * T::CHUNK, &p.src, ring.full(stage),
                              chunks[c].there ? chunks[c].c : p.d.ic, x, y, n, chunks[c].there ? chunks[c].s : 0,
                              chunks[c].there ? chunks[c].r : 0);
            RN_UNROLL
            for (int j = 0; j < T::N / 64; j++)
                rn_tma_tile(ring.b(stage) + j * T::CHUNK, &p.dst, ring.full(stage), m0 + j * 64, (int)pixel);
        }
    }
}

/* Rows are one tap's channels, a chunk to a group of four warps; k are pixels. A thread's rows and k are those of rn_sm90_read_pixels. */
template <class T> struct rn_sm90_read_channels {
    enum { ACROSS = 1 };

    const char *seen; /* of this thread's first pixels, in the first stage */
    float mul[2], add[2];
    uint32_t floor;
    int at;

    __device__ __forceinline__ rn_sm90_read_channels(const rn_conv_sm90_weights_args &p, const char *shared, int n0)
    {
        const int lane = threadIdx.x % 32, group = threadIdx.x / RN_WARPGROUP, warp = threadIdx.x / 32 % 4;
        const rn_sm90_chunk chunk = rn_sm90_chunk_of(p.d, n0 + group * 64);

        seen = shared + rn_sm90_turned<T>::SEEN + group * T::K * 2 + lane % 4 * 4;
        RN_UNROLL
        for (int i = 0; i < 2; i++) {
            const int c = chunk.c + warp * T::WM + lane / 4 + 8 * i;
            mul[i] = p.read.mul[c];
            add[i] = p.read.add[c];
        }
        floor = rn_floor_of<T::KIND>(p.read.relu);
        at = rn_sm90_across_at<T>();
    }
    __device__ __forceinline__ void advance() {}
    /* 16 k of A, the k-th of the stage's, as they are multiplied. */
    __device__ __forceinline__ void load(uint32_t *a, const char *tile, int stage, int k) const
    {
        rn_ldmatrix_trans(a, tile + at + k * 2 * RN_SWIZZLE_PATTERN);
        RN_UNROLL
        for (int i = 0; i < 4; i++) {
            const int row = i % 2;
            a[i] = rn_read_two<T>(a[i], mul[row], add[row], mul[row], add[row], floor) &
                   *(const uint32_t *)(seen + stage * rn_sm90_turned<T>::SEEN_BYTES + (16 * k + i / 2 * 8) * 2);
        }
    }
};

/* As rn_finish_tile: rows of the product become columns of what is written. */
template <class T>
static __device__ __forceinline__ void rn_sm90_finish_turned(const rn_conv_write &w, const float *sums, char *shared,
                                                             int n0)
{
    typedef rn_sm90_turned<T> U;
    const int lane = threadIdx.x % 32, row = threadIdx.x / 32 * T::WM + lane / 4;
    float *out = (float *)shared;
    rn_finish<U, rn_type_f32> f(w, n0);

    rn_tile_barrier<T>(); /* the ring of stages is free */
    RN_UNROLL
    for (int i = 0; i < T::SUMS; i++)
        out[(i / 4 * 8 + lane % 4 * 2 + i % 2) * U::OUT_STRIDE + row + i / 2 % 2 * 8] = sums[i];
    rn_tile_barrier<T>();
    f.rows(out, (const int64_t *)(shared + U::TURNED_PLACES));
}

#endif

/* Blocks: parts of the sum x tiles of oc x tiles of taps and ic. */
template <class T>
__global__ void __launch_bounds__(T::BLOCK, T::BLOCKS)
    rn_conv_sm90_weights_read(const __grid_constant__ rn_conv_sm90_weights_args p)
{
#if RN_SM90_CODE
    RN_CUDA_SHARED(char, unaligned);
    char *shared = rn_sm90_begin(unaligned);
    const rn_sm90_ring<T> ring = {shared};
    const int n0 = (int)(blockIdx.x % p.tiles_n) * T::M, block = (int)(blockIdx.x / p.tiles_n);
    const int m0 = block % p.tiles_m * T::N, split = block / p.tiles_m;
    const int64_t stages = (p.pixels + T::K - 1) / T::K, first = stages * split / p.splits,
                  behind = stages * (split + 1) / p.splits;
    int64_t *places = (int64_t *)(shared + rn_sm90_turned<T>::TURNED_PLACES);

    if (threadIdx.x == T::THREADS) {
        rn_tma_prefetch(&p.dst);
        rn_tma_prefetch(&p.src);
    }
    if (threadIdx.x == 0)
        ring.init();
    for (int i = threadIdx.x; i < T::N; i += T::BLOCK)
        places[i] = m0 + i < p.d.oc ? ((int64_t)split * p.d.oc + m0 + i) * p.write.columns : -1;
    __syncthreads();
    if (threadIdx.x >= T::THREADS) {
        if (T::SHARES)
            rn_fewer_registers<T::FEWER>();
        if (threadIdx.x < T::THREADS + 32)
            rn_sm90_ask_turned<T>(p, ring, first, behind, m0, n0);
        return;
    }
    if (T::SHARES)
        rn_more_registers<T::MORE>();
    float sums[T::SUMS];
    rn_sm90_read_channels<T> read(p, shared, n0);
    rn_sm90_sum_up_read<T>(ring, (int)(behind - first), read, sums);
    rn_sm90_finish_turned<T>(p.write, sums, shared, n0);
#endif
}

#endif
