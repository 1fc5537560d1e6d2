/* SPDX-License-Identifier: MIT */
/* The kernels of cuda:implicit-gemm; instantiated by cuda_conv_gemm_*.cu, one type each. */
#ifndef CUDA_CONV_GEMM_H
#define CUDA_CONV_GEMM_H

#include "kernels/cuda/cuda_conv_finish.h"
#include "kernels/cuda/cuda_conv_gather.h"
#include "kernels/cuda/cuda_conv_pixels.h"

/*
 * The sum over `steps` stages. With `async`, copies of STAGES - 1 stages are under way while one is multiplied; a barrier tells
 * at once that the next stage is there for all threads and that the one before is free. Otherwise what is read passes through
 * registers: it is loaded before a stage is multiplied, and stored behind that.
 */
template <class T, bool along_k, bool async, class Load>
static __device__ __forceinline__ void rn_sum_up(Load &load, int steps, char *ring, float *sums)
{
    if constexpr (async) {
        rn_async copies;
        RN_NO_UNROLL
        for (int i = 0; i < T::STAGES - 1; i++) {
            if (i < steps) {
                load.copy(copies, ring + i * T::STAGE_BYTES);
                load.advance();
            }
            copies.commit();
        }
        RN_NO_UNROLL
        for (int i = 0; i < steps; i++) {
            copies.template wait<T::STAGES - 2>();
            __syncthreads();
            if (i + T::STAGES - 1 < steps) {
                load.copy(copies, ring + (i + T::STAGES - 1) % T::STAGES * T::STAGE_BYTES);
                load.advance();
            }
            copies.commit();
            rn_multiply<T, along_k>(ring + i % T::STAGES * T::STAGE_BYTES, sums);
        }
        copies.template wait<0>();
    } else {
        if (steps > 0) {
            load.fetch();
            load.put(ring);
            load.advance();
        }
        __syncthreads();
        RN_NO_UNROLL
        for (int i = 0; i < steps; i++) {
            char *now = ring + i % 2 * T::STAGE_BYTES, *next = ring + (i + 1) % 2 * T::STAGE_BYTES;
            if (i + 1 < steps)
                load.fetch();
            rn_multiply<T, along_k>(now, sums);
            if (i + 1 < steps) {
                load.put(next);
                load.advance();
            }
            __syncthreads();
        }
    }
}

/* Blocks that a multiprocessor should have room for, by registers: 512 threads with 128 of them each, or 384 with 170. 256 with
 * 255 where what is read passes through registers, and for f32, whose operands need them. */
template <class T, bool async> struct rn_blocks {
    enum { LEAST = !async || !T::By::MMA || T::By::ROUNDS ? 256 / T::THREADS : T::THREADS == 256 ? 2 : 3 };
};

/* fwd and bwd_d. Blocks: phases x tiles of rows x tiles of columns, the latter fastest: neighbours read the same pixels. */
template <class T, bool async>
__global__ void __launch_bounds__(T::THREADS, (rn_blocks<T, async>::LEAST)) rn_conv_gemm(const rn_conv_gemm_args p)
{
    RN_CUDA_SHARED(char, shared);
    const int n0 = (int)(blockIdx.x % p.tiles_n) * T::N, block = (int)(blockIdx.x / p.tiles_n);
    const int64_t m0 = (int64_t)(block % p.tiles_m) * T::M;
    rn_conv_phase &phase = *(rn_conv_phase *)(shared + T::PHASE); /* not in each thread's registers */
    const int height = p.back ? p.d.ih : p.d.oh, width = p.back ? p.d.iw : p.d.ow;
    int64_t *places = (int64_t *)(shared + T::PLACES);
    float sums[T::SUMS];

    if (threadIdx.x == 0)
        phase = rn_conv_phase_of(&p.d, p.back, block / p.tiles_m);
    __syncthreads();
    for (int i = threadIdx.x; i < T::M; i += T::THREADS) {
        const int64_t line = (m0 + i) / phase.columns, n = line / phase.rows;
        const int64_t y = line % phase.rows * phase.out_step_y + phase.out_y,
                      x = (m0 + i) % phase.columns * phase.out_step_x + phase.out_x;
        places[i] = n < p.d.mb ? ((n * height + y) * width + x) * p.write.columns : -1;
    }
    RN_UNROLL
    for (int i = 0; i < T::SUMS; i++)
        sums[i] = 0;
    rn_gather<T> load(p, phase, m0, n0);
    const int k = phase.taps_y * phase.taps_x * load.channels();
    rn_sum_up<T, true, async>(load, (k + T::K - 1) / T::K, shared, sums);
    rn_finish_tile<T, typename T::type, true>(p.write, sums, shared, block, n0);
}

/* bwd_w. Blocks: parts of the sum x tiles of oc x tiles of taps and ic. */
template <class T, bool async>
__global__ void __launch_bounds__(T::THREADS, (rn_blocks<T, async>::LEAST))
    rn_conv_weights(const rn_conv_weights_args p)
{
    RN_CUDA_SHARED(char, shared);
    const int n0 = (int)(blockIdx.x % p.tiles_n) * T::N, block = (int)(blockIdx.x / p.tiles_n);
    const int m0 = block % p.tiles_m * T::M, split = block / p.tiles_m;
    const int64_t stages = (p.pixels + T::K - 1) / T::K, first = stages * split / p.splits,
                  behind = stages * (split + 1) / p.splits;
    const int64_t last = behind * T::K < p.pixels ? behind * T::K : p.pixels;
    int64_t *places = (int64_t *)(shared + T::PLACES);
    float sums[T::SUMS];

    for (int i = threadIdx.x; i < T::M; i += T::THREADS)
        places[i] = m0 + i < p.d.oc ? ((int64_t)split * p.d.oc + m0 + i) * p.write.columns : -1;
    RN_UNROLL
    for (int i = 0; i < T::SUMS; i++)
        sums[i] = 0;
    rn_pixels<T> load(p, first * T::K, last, m0, n0);
    rn_sum_up<T, false, async>(load, (int)(behind - first), shared, sums);
    rn_finish_tile<T, rn_type_f32, false>(p.write, sums, shared, 0, n0);
}

#endif
