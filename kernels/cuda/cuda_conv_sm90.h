/* SPDX-License-Identifier: MIT */
/*
 * The kernels of cuda:implicit-gemm-sm90; instantiated by cuda_conv_sm90_*.cu, one type each. The products of cuda_conv_args.h, tiles of
 * 128 x n: three groups of four warps, of which one asks for tiles, by one thread, and the others have 64 rows each. An mbarrier
 * for each stage of the ring tells that it is full, another one that all warps are done with it.
 */
#ifndef CUDA_CONV_SM90_H
#define CUDA_CONV_SM90_H

#include "kernels/cuda/cuda_conv_sm90_turned.h"

#if RN_SM90_CODE

/* This thread's sums of `steps` stages. While the products of one are under way, those of the one before are waited for, and its place is
 * given back. */
template <class T, bool across>
static __device__ __forceinline__ void rn_sm90_sum_up(const rn_sm90_ring<T> &ring, int steps, float *sums)
{
    typedef rn_sm90_slices<T, across> S;
    const int rows = (int)threadIdx.x / RN_WARPGROUP * (T::A_BYTES / 2);

    static_assert(T::A_BYTES / 2 == T::CHUNK, "a group's rows are a chunk");
    RN_NO_UNROLL
    for (int i = 0; i < steps; i++) {
        const int stage = i % T::STAGES;
        const uint64_t a = rn_matrix(ring.a(stage) + rows, S::LEADING, RN_SWIZZLE_PATTERN),
                       b = rn_matrix(ring.b(stage), S::LEADING, RN_SWIZZLE_PATTERN);
        rn_barrier_wait(ring.full(stage), (unsigned)(i / T::STAGES) & 1);
        __syncwarp(); /* lanes may have left the wait one after another */
        rn_wgmma_fence();
        RN_UNROLL
        for (int k = 0; k < S::COUNT; k++)
            rn_wgmma<T::N, T::KIND, across>(sums, a + (unsigned)(k * S::ON), b + (unsigned)(k * S::ON), i + k > 0);
        rn_wgmma_commit();
        rn_wgmma_wait<1, T::SUMS>(sums);
        if (i > 0 && threadIdx.x % 32 == 0)
            rn_barrier_arrive(ring.empty((i - 1) % T::STAGES));
    }
    rn_wgmma_wait<0, T::SUMS>(sums);
    if (steps == 0) {
        RN_UNROLL
        for (int i = 0; i < T::SUMS; i++)
            sums[i] = 0;
    }
}

/* fwd and bwd_d: what one thread asks for, stage by stage: taps, and in each of them 64 channels after 64. number: the phase's. */
template <class T>
static __device__ __forceinline__ void rn_sm90_ask(const rn_conv_sm90_args &p, const rn_sm90_ring<T> &ring,
                                                   const rn_conv_phase &phase, int number, int64_t m0, int n0)
{
    const int64_t line = m0 / phase.columns;
    /* Where the least offset reads: taps that go back count from the last one. */
    const int back_x = phase.turn < 0 ? phase.taps_x - 1 : 0, back_y = phase.turn < 0 ? phase.taps_y - 1 : 0;
    const int x = (int)(m0 % phase.columns) * phase.step_x + phase.x0 - back_x,
              y = (int)(line % phase.rows) * phase.step_y + phase.y0 - back_y, n = (int)(line / phase.rows);
    const int channels = p.back ? p.d.oc : p.d.ic;
    int i = 0;

    RN_NO_UNROLL
    for (int r = 0; r < phase.taps_y; r++) {
        RN_NO_UNROLL
        for (int s = 0; s < phase.taps_x; s++) {
            const int tap = (phase.tap_y + r * phase.tap_step_y) * p.d.kw + phase.tap_x + s * phase.tap_step_x;
            RN_NO_UNROLL
            for (int c = 0; c < channels; c += T::K) {
                const int stage = ring.take(i++);
                rn_tma_pixels(ring.a(stage), &p.in[number], ring.full(stage), c, x, y, n,
                              phase.turn < 0 ? back_x - s : s, phase.turn < 0 ? back_y - r : r);
                if constexpr (T::OTHER)
                    rn_tma_pixels(ring.a(stage) + T::A_BYTES, &p.other[number], ring.full(stage), c, x, y, n,
                                  phase.turn < 0 ? back_x - s : s, phase.turn < 0 ? back_y - r : r);
                rn_tma_tile(ring.b(stage), &p.wei, ring.full(stage), c, tap, n0);
            }
        }
    }
}

/* bwd_w: dst's pixels from `first` stages on, 64 of oc at a time, and what the taps of the columns read for them, 64 of ic at a time.
 * What is beyond the last of oc, or the last column, is asked for where there are only zeros. */
template <class T>
static __device__ __forceinline__ void rn_sm90_ask_weights(const rn_conv_sm90_weights_args &p,
                                                           const rn_sm90_ring<T> &ring, int64_t first, int64_t behind,
                                                           int m0, int n0)
{
    RN_NO_UNROLL
    for (int64_t step = first; step < behind; step++) {
        const int stage = ring.take((int)(step - first));
        const int64_t pixel = step * T::K, line = pixel / p.d.ow;
        const int x = (int)(pixel % p.d.ow) * p.d.sw - p.d.pw, y = (int)(line % p.d.oh) * p.d.sh - p.d.ph,
                  n = (int)(line / p.d.oh);
        RN_UNROLL
        for (int i = 0; i < T::M / 64; i++)
            rn_tma_tile(ring.a(stage) + i * T::CHUNK, &p.dst, ring.full(stage), m0 + i * 64, (int)pixel);
        RN_UNROLL
        for (int i = 0; T::OTHER && i < T::M / 64; i++)
            rn_tma_tile(ring.a(stage) + T::A_BYTES + i * T::CHUNK, &p.other, ring.full(stage), m0 + i * 64, (int)pixel);
        RN_NO_UNROLL
        for (int i = 0; i < T::N / 64; i++) {
            const int column = n0 + i * 64, tap = column / p.d.ic;
            const bool there = tap < p.d.kh * p.d.kw;
            rn_tma_pixels(ring.b(stage) + i * T::CHUNK, &p.src, ring.full(stage), there ? column % p.d.ic : p.d.ic, x,
                          y, n, there ? tap % p.d.kw : 0, there ? tap / p.d.kw : 0);
        }
    }
}

#endif

/* Blocks: phases x tiles of rows x tiles of columns, the latter fastest: neighbours read the same pixels. reads: through a prologue. */
template <class T, bool reads>
__global__ void __launch_bounds__(T::BLOCK, T::BLOCKS) rn_conv_sm90(const __grid_constant__ rn_conv_sm90_args p)
{
#if RN_SM90_CODE
    RN_CUDA_SHARED(char, unaligned);
    char *shared = rn_sm90_begin(unaligned);
    const rn_sm90_ring<T> ring = {shared};
    const int n0 = (int)(blockIdx.x % p.tiles_n) * T::N, block = (int)(blockIdx.x / p.tiles_n);
    const int64_t m0 = (int64_t)(block % p.tiles_m) * T::M;
    rn_conv_phase &phase = *(rn_conv_phase *)(shared + T::PHASE);
    const int height = p.back ? p.d.ih : p.d.oh, width = p.back ? p.d.iw : p.d.ow;
    int64_t *places = (int64_t *)(shared + T::PLACES);

    if (threadIdx.x == T::THREADS) {
        rn_tma_prefetch(&p.wei);
        if (!p.back) /* phases without taps have none */
            rn_tma_prefetch(p.in);
    }
    if (threadIdx.x == 0) {
        phase = rn_conv_phase_of(&p.d, p.back, block / p.tiles_m);
        ring.init();
    }
    __syncthreads();
    if constexpr (reads) {
        rn_sm90_read_begin<T>(p, phase, shared, m0);
        __syncthreads();
    }
    for (int i = threadIdx.x; i < T::M; i += T::BLOCK) {
        const int64_t line = (m0 + i) / phase.columns, n = line / phase.rows;
        const int64_t y = line % phase.rows * phase.out_step_y + phase.out_y,
                      x = (m0 + i) % phase.columns * phase.out_step_x + phase.out_x;
        places[i] = n < p.d.mb ? ((n * height + y) * width + x) * p.write.columns : -1;
    }
    /* A phase may have fewer tiles than the first one. */
    const bool any = m0 < (int64_t)p.d.mb * phase.rows * phase.columns;
    if (threadIdx.x >= T::THREADS) {
        if (T::SHARES)
            rn_fewer_registers<T::FEWER>();
        if (threadIdx.x == T::THREADS && any)
            rn_sm90_ask<T>(p, ring, phase, block / p.tiles_m, m0, n0);
        return;
    }
    if (T::SHARES)
        rn_more_registers<T::MORE>();
    float sums[T::SUMS];
    const int steps = any ? phase.taps_y * phase.taps_x * p.stages : 0;
    if constexpr (reads) {
        rn_sm90_read_pixels<T> read(p, shared);
        rn_sm90_sum_up_read<T>(ring, steps, read, sums);
    } else {
        rn_sm90_sum_up<T, false>(ring, steps, sums);
    }
    rn_finish_tile<T, typename T::type, true>(p.write, sums, shared, block, n0);
#endif
}

/* bwd_w; with T::OTHER dst through a prologue. Blocks: parts of the sum x tiles of oc x tiles of taps and ic. */
template <class T>
__global__ void __launch_bounds__(T::BLOCK, T::BLOCKS)
    rn_conv_sm90_weights(const __grid_constant__ rn_conv_sm90_weights_args p)
{
#if RN_SM90_CODE
    RN_CUDA_SHARED(char, unaligned);
    char *shared = rn_sm90_begin(unaligned);
    const rn_sm90_ring<T> ring = {shared};
    const int n0 = (int)(blockIdx.x % p.tiles_n) * T::N, block = (int)(blockIdx.x / p.tiles_n);
    const int m0 = block % p.tiles_m * T::M, split = block / p.tiles_m;
    const int64_t stages = (p.pixels + T::K - 1) / T::K, first = stages * split / p.splits,
                  behind = stages * (split + 1) / p.splits;
    int64_t *places = (int64_t *)(shared + T::PLACES);

    if (threadIdx.x == T::THREADS) {
        rn_tma_prefetch(&p.dst);
        rn_tma_prefetch(&p.src);
    }
    if (threadIdx.x == 0)
        ring.init();
    for (int i = threadIdx.x; i < T::M; i += T::BLOCK)
        places[i] = m0 + i < p.d.oc ? ((int64_t)split * p.d.oc + m0 + i) * p.write.columns : -1;
    __syncthreads();
    if (threadIdx.x >= T::THREADS) {
        if (T::SHARES)
            rn_fewer_registers<T::FEWER>();
        if (threadIdx.x == T::THREADS)
            rn_sm90_ask_weights<T>(p, ring, first, behind, m0, n0);
        return;
    }
    if (T::SHARES)
        rn_more_registers<T::MORE>();
    float sums[T::SUMS];
    if constexpr (T::OTHER) {
        rn_sm90_read_rows<T> read(p, m0);
        rn_sm90_sum_up_read<T>(ring, (int)(behind - first), read, sums);
    } else {
        rn_sm90_sum_up<T, true>(ring, (int)(behind - first), sums);
    }
    rn_finish_tile<T, rn_type_f32, true>(p.write, sums, shared, 0, n0);
#endif
}

/* O: the tile of prologues with a second tensor. */
template <class T, class O> struct rn_conv_sm90_instance {
    static bool built(void)
    {
        cudaFuncAttributes a;

        return cudaFuncGetAttributes(&a, (const void *)rn_conv_sm90<T, false>) == cudaSuccess &&
               a.numRegs >= RN_SM90_REGISTERS_LEAST;
    }
    static int open(void)
    {
        RN_TRY(rn_cuda_allow_shared(rn_conv_sm90<T, false>, T::SHARED_BYTES));
        RN_TRY(rn_cuda_allow_shared(rn_conv_sm90<T, true>, T::SHARED_BYTES + T::READ_MOST));
        RN_TRY(rn_cuda_allow_shared(rn_conv_sm90<O, true>, O::SHARED_BYTES + O::READ_MOST));
        RN_TRY(rn_cuda_allow_shared(rn_conv_sm90_weights_read<T>, rn_sm90_turned<T>::BYTES));
        RN_TRY(rn_cuda_allow_shared(rn_conv_sm90_weights<O>, O::SHARED_BYTES));
        return rn_cuda_allow_shared(rn_conv_sm90_weights<T>, T::SHARED_BYTES);
    }
    static int gemm(const rn_conv_sm90_args *p, unsigned blocks, void *stream)
    {
        const int bytes = T::SHARED_BYTES + (T::M + p->stages * T::K) * 8;

        return p->read.mul ? RN_CUDA_LAUNCH((rn_conv_sm90<T, true>), blocks, T::BLOCK, bytes, stream, *p)
                           : RN_CUDA_LAUNCH((rn_conv_sm90<T, false>), blocks, T::BLOCK, T::SHARED_BYTES, stream, *p);
    }
    static int gemm_other(const rn_conv_sm90_args *p, unsigned blocks, void *stream)
    {
        const int bytes = O::SHARED_BYTES + O::M * 8 + p->stages * O::K * 12;

        return RN_CUDA_LAUNCH((rn_conv_sm90<O, true>), blocks, O::BLOCK, bytes, stream, *p);
    }
    static int weights(const rn_conv_sm90_weights_args *p, unsigned blocks, void *stream)
    {
        const int bytes = rn_sm90_turned<T>::BYTES;

        return p->read.mul ? RN_CUDA_LAUNCH(rn_conv_sm90_weights_read<T>, blocks, T::BLOCK, bytes, stream, *p)
                           : RN_CUDA_LAUNCH(rn_conv_sm90_weights<T>, blocks, T::BLOCK, T::SHARED_BYTES, stream, *p);
    }
    static int weights_other(const rn_conv_sm90_weights_args *p, unsigned blocks, void *stream)
    {
        return RN_CUDA_LAUNCH(rn_conv_sm90_weights<O>, blocks, O::BLOCK, O::SHARED_BYTES, stream, *p);
    }
};

#define RN_CONV_SM90_KERNELS(name, T, O)                                                                               \
    extern const rn_conv_sm90_kernels name = {T::N,                                                                    \
                                              rn_conv_sm90_instance<T, O>::built,                                      \
                                              rn_conv_sm90_instance<T, O>::open,                                       \
                                              rn_conv_sm90_instance<T, O>::gemm,                                       \
                                              rn_conv_sm90_instance<T, O>::gemm_other,                                 \
                                              rn_conv_sm90_instance<T, O>::weights,                                    \
                                              rn_conv_sm90_instance<T, O>::weights_other}

#endif
