/* SPDX-License-Identifier: MIT */
/*
 * Ceilings: loops of one kind of work, everything else kept away from it. Operands are small numbers with some digits, so that
 * sums are exact and show whether all was done (rn_backend.h says how), and so that multipliers are busy with more than zeros.
 */
#include "kernels/cuda/cuda_peak.h"

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/cuda_launch.h"
#include "kernels/cuda/cuda_mma.h"
#include "kernels/cuda/cuda_wgmma.h"

enum { THREADS = 256, INNER = 16 };
enum { FMA_BLOCKS = 8, FMA_CHAINS = 8 }; /* of a multiprocessor: all threads it can have; 8 x 2048 of a latency of 4 */
enum { MMA_BLOCKS = 2, MMA_CHAINS = 8 }; /* four warps to a scheduler */
enum { READ_BLOCKS = 8, READ_UNROLL = 4 };

/* ---- arithmetic ----------------------------------------------------------------------------------------------------- */

static __global__ void __launch_bounds__(THREADS) fma_kernel(int64_t times, float x, float y, float *out)
{
    float s[FMA_CHAINS], ys[FMA_CHAINS];

    RN_UNROLL
    for (int c = 0; c < FMA_CHAINS; c++) {
        s[c] = 0;
        ys[c] = y + 0.125f * c; /* or all chains would be one */
    }
    RN_NO_UNROLL
    for (int64_t t = 0; t < times; t++) {
        RN_UNROLL
        for (int i = 0; i < INNER; i++) {
            RN_UNROLL
            for (int c = 0; c < FMA_CHAINS; c++)
                s[c] = fmaf(x, ys[c], s[c]);
        }
        x = __uint_as_float(__float_as_uint(x) ^ (s[0] < 0 ? 1u : 0u)); /* never: or the product would be taken out */
    }
    float sum = 0;
    RN_UNROLL
    for (int c = 0; c < FMA_CHAINS; c++)
        sum += s[c];
    if (threadIdx.x == 0)
        out[blockIdx.x] = sum;
}

static int run_fma(rn_backend *be, int64_t times, void *, size_t, void *out, double *amount, rn_stream s)
{
    const int blocks = rn_cuda_multiprocessors(be) * FMA_BLOCKS;

    *amount = 2.0 * blocks * THREADS * FMA_CHAINS * INNER * (double)times;
    return RN_CUDA_LAUNCH(fma_kernel, blocks, THREADS, 0, s, times, 1.25f, 0.625f, (float *)out);
}

/* Values of 1 to 1.94, in steps of a sixteenth. */
static __device__ __forceinline__ uint32_t digits(int i)
{
    return ((uint32_t)i * 2654435761u >> 28) & 15u;
}

/* kind: 0 bf16, 1 f16, 2 tf32. */
template <int kind> static __device__ __forceinline__ uint32_t operand(int i)
{
    const uint32_t lo = digits(2 * i), hi = digits(2 * i + 1);

    return kind == 0   ? 0x3f803f80u | lo << 3 | hi << 19
           : kind == 1 ? 0x3c003c00u | lo << 6 | hi << 22
                       : 0x3f800000u | lo << 19;
}

template <int kind> static __global__ void __launch_bounds__(THREADS) mma_kernel(int64_t times, float *out)
{
    float d[MMA_CHAINS][4];
    uint32_t a[4], b[2];

    RN_UNROLL
    for (int i = 0; i < 4; i++)
        a[i] = operand<kind>((int)threadIdx.x % 32 * 4 + i);
    RN_UNROLL
    for (int i = 0; i < 2; i++)
        b[i] = operand<kind>(128 + (int)threadIdx.x % 32 * 2 + i);
    RN_UNROLL
    for (int c = 0; c < MMA_CHAINS; c++)
        d[c][0] = d[c][1] = d[c][2] = d[c][3] = 0;
    RN_NO_UNROLL
    for (int64_t t = 0; t < times; t++) {
        RN_UNROLL
        for (int c = 0; c < MMA_CHAINS; c++) {
            if (kind == 0)
                rn_mma_bf16(d[c], a, b);
            else if (kind == 1)
                rn_mma_f16(d[c], a, b);
            else
                rn_mma_tf32(d[c], a, b);
        }
    }
    float sum = 0;
    RN_UNROLL
    for (int c = 0; c < MMA_CHAINS; c++)
        sum += d[c][0];
    if (threadIdx.x == 0)
        out[blockIdx.x] = sum;
}

template <int kind>
static int run_mma(rn_backend *be, int64_t times, void *, size_t, void *out, double *amount, rn_stream s)
{
    const int blocks = rn_cuda_multiprocessors(be) * MMA_BLOCKS, k = kind == 2 ? 8 : 16;

    *amount = 2.0 * 16 * 8 * k * MMA_CHAINS * (THREADS / 32) * blocks * (double)times;
    return RN_CUDA_LAUNCH(mma_kernel<kind>, blocks, THREADS, 0, s, times, (float *)out);
}

/* Two groups of four warps, each with a product of its own under way while the other waits for its last one. */
template <int kind> static __global__ void __launch_bounds__(THREADS, 1) wgmma_kernel(int64_t times, float *out)
{
    RN_CUDA_SHARED(uint32_t, words);

    for (int i = (int)threadIdx.x; i < (RN_WGMMA_A + RN_WGMMA_B) / 4; i += THREADS)
        words[i] = operand<kind>(i);
    rn_wgmma_ready();
    __syncthreads();
    float d[RN_WGMMA_SUMS];
    RN_UNROLL
    for (int i = 0; i < RN_WGMMA_SUMS; i++)
        d[i] = 0;
    const bool done = rn_wgmma_loop<kind>(d, words, words + RN_WGMMA_A / 4, times);
    if (threadIdx.x == 0)
        out[blockIdx.x] = done ? d[0] : 0;
}

template <int kind>
static int run_wgmma(rn_backend *be, int64_t times, void *, size_t, void *out, double *amount, rn_stream s)
{
    const int blocks = rn_cuda_multiprocessors(be), k = kind == 2 ? 8 : 16;

    if (rn_cuda_capability(be) != 90 || !RN_WGMMA_BUILT)
        return rn_fail(RN_E_UNSUPPORTED, "wgmma: only devices of compute capability 9.0 have it");
    *amount = 2.0 * 64 * 256 * k * RN_WGMMA_INNER * (THREADS / 128) * blocks * (double)times;
    return RN_CUDA_LAUNCH(wgmma_kernel<kind>, blocks, THREADS, RN_WGMMA_A + RN_WGMMA_B, s, times, (float *)out);
}

/* ---- memory --------------------------------------------------------------------------------------------------------- */

static __device__ __forceinline__ uint32_t add_up(uint4 v)
{
    return v.x + v.y + v.z + v.w;
}

/* n: of 16 bytes. Past the first cache, which each multiprocessor has for itself. */
static __global__ void __launch_bounds__(THREADS) read_kernel(int64_t times, const uint4 *mem, int64_t n, uint32_t *out)
{
    const int64_t stride = (int64_t)gridDim.x * THREADS, first = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    uint32_t sum[READ_UNROLL] = {0};

    RN_NO_UNROLL
    for (int64_t t = 0; t < times; t++) {
        int64_t i = first;
        RN_NO_UNROLL
        for (; i + (READ_UNROLL - 1) * stride < n; i += READ_UNROLL * stride) {
            uint4 v[READ_UNROLL];
            RN_UNROLL
            for (int u = 0; u < READ_UNROLL; u++)
                v[u] = __ldcg(mem + i + u * stride);
            RN_UNROLL
            for (int u = 0; u < READ_UNROLL; u++)
                sum[u] += add_up(v[u]);
        }
        RN_NO_UNROLL
        for (; i < n; i += stride)
            sum[0] += add_up(__ldcg(mem + i));
    }
    uint32_t all = sum[0];
    RN_UNROLL
    for (int u = 1; u < READ_UNROLL; u++)
        all += sum[u];
    RN_UNROLL
    for (int by = 16; by; by /= 2)
        all += __shfl_xor_sync(0xffffffffu, all, by);
    if (threadIdx.x % 32 == 0)
        out[first / 32] = all;
}

static int run_read(rn_backend *be, int64_t times, void *mem, size_t bytes, void *out, double *amount, rn_stream s)
{
    const int blocks = rn_cuda_multiprocessors(be) * READ_BLOCKS;

    if ((size_t)blocks * THREADS / 32 * sizeof(uint32_t) > RN_PROBE_OUT)
        return rn_fail(RN_E_UNSUPPORTED, "cuda: more multiprocessors than a probe has room for");
    *amount = (double)bytes * (double)times;
    return RN_CUDA_LAUNCH(read_kernel, blocks, THREADS, 0, s, times, (const uint4 *)mem,
                          (int64_t)(bytes / sizeof(uint4)), (uint32_t *)out);
}

static __global__ void __launch_bounds__(THREADS) copy_kernel(int64_t times, const uint4 *from, uint4 *to, int64_t n)
{
    const int64_t stride = (int64_t)gridDim.x * THREADS, first = (int64_t)blockIdx.x * THREADS + threadIdx.x;

    RN_NO_UNROLL
    for (int64_t t = 0; t < times; t++) {
        int64_t i = first;
        RN_NO_UNROLL
        for (; i + (READ_UNROLL - 1) * stride < n; i += READ_UNROLL * stride) {
            uint4 v[READ_UNROLL];
            RN_UNROLL
            for (int u = 0; u < READ_UNROLL; u++)
                v[u] = __ldcg(from + i + u * stride);
            RN_UNROLL
            for (int u = 0; u < READ_UNROLL; u++)
                __stcg(to + i + u * stride, v[u]);
        }
        RN_NO_UNROLL
        for (; i < n; i += stride)
            __stcg(to + i, __ldcg(from + i));
    }
}

static int run_copy(rn_backend *be, int64_t times, void *mem, size_t bytes, void *, double *amount, rn_stream s)
{
    const size_t half = bytes / 2;

    *amount = (double)bytes * (double)times;
    return RN_CUDA_LAUNCH(copy_kernel, rn_cuda_multiprocessors(be) * READ_BLOCKS, THREADS, 0, s, times,
                          (const uint4 *)mem, (uint4 *)((char *)mem + half), (int64_t)(half / sizeof(uint4)));
}

/* ---- the list ------------------------------------------------------------------------------------------------------- */

#define OF(type) (1u << (type))

const rn_probe rn_cuda_probes[] = {
    {"f32_fma", OF(RN_F32), RN_PROBE_FLOP, run_fma},
    {"bf16_mma", OF(RN_BF16), RN_PROBE_FLOP, run_mma<0>},
    {"f16_mma", OF(RN_F16), RN_PROBE_FLOP, run_mma<1>},
    {"tf32_mma", 0, RN_PROBE_FLOP, run_mma<2>},
    {"bf16_wgmma", OF(RN_BF16), RN_PROBE_FLOP, run_wgmma<0>},
    {"f16_wgmma", OF(RN_F16), RN_PROBE_FLOP, run_wgmma<1>},
    {"tf32_wgmma", 0, RN_PROBE_FLOP, run_wgmma<2>},
    {"L2_read", 0, RN_PROBE_READ, run_read},
    {"L2_copy", 0, RN_PROBE_COPY, run_copy},
    {"DRAM_read", 0, RN_PROBE_READ, run_read},
    {"DRAM_copy", 0, RN_PROBE_COPY, run_copy},
    {NULL, 0, RN_PROBE_FLOP, NULL},
};
