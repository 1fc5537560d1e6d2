/* SPDX-License-Identifier: MIT */
/*
 * What a block of sm_90a lets others do while it goes on: mbarriers, copies into shared memory by tensor maps (TMA), and the sharing out of
 * registers; cuda_sm90_mma.h has the products. PTX ISA 9.x: "Parallel Synchronization and Communication Instructions: mbarrier",
 * "cp.async.bulk.tensor", "setmaxnreg". Where kernels are compiled for the host, tests/cuda/cuda.h does it.
 *
 * Tiles of rows of 128 bytes, swizzled: the 16 bytes numbered i of row r lie at i ^ r % 8, from a multiple of 1,024 bytes on.
 * An mbarrier turns from one phase to the next when as many have arrived as it was initialised for and as many bytes have come as it
 * expects. To wait for parity p is to wait for the end of the first, third... phase (0) or the second... (1); the phase before the first counts
 * as ended.
 */
#ifndef CUDA_SM90_H
#define CUDA_SM90_H

#include <cuda.h>
#include <stdint.h>

#include "kernels/cuda/cuda_launch.h"

/* Whether this pass of the compiler makes code for these instructions: kernels have an empty body in the others. */
#if defined(RN_CUDA_EMULATED) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define RN_SM90_CODE 1
#else
#define RN_SM90_CODE 0
#endif

enum { RN_SWIZZLE_ROW = 128, RN_SWIZZLE_PATTERN = 1024, RN_WARPGROUP = 128 };

#ifdef RN_CUDA_EMULATED

/* Bytes from p to where a pattern may begin. */
static inline unsigned rn_to_pattern(const void *p)
{
    return (0u - rn_emu_shared_address(p)) % RN_SWIZZLE_PATTERN;
}

static inline void rn_barrier_init(uint64_t *barrier, unsigned arrivals)
{
    rn_emu_barrier_init(barrier, arrivals);
}

static inline void rn_barrier_fence(void)
{
    rn_emu_barrier_fence();
}

static inline void rn_barrier_arrive(uint64_t *barrier)
{
    rn_emu_barrier_arrive(barrier);
}

static inline void rn_barrier_expect(uint64_t *barrier, unsigned bytes)
{
    rn_emu_barrier_expect(barrier, bytes);
}

static inline void rn_barrier_wait(uint64_t *barrier, unsigned parity)
{
    rn_emu_barrier_wait(barrier, parity);
}

static inline void rn_tma_prefetch(const CUtensorMap *) {}

static inline void rn_tma_tile(void *to, const CUtensorMap *map, uint64_t *barrier, int x, int y)
{
    const int at[2] = {x, y};

    rn_emu_copy_tile(to, map, barrier, 2, at);
}

static inline void rn_tma_tile(void *to, const CUtensorMap *map, uint64_t *barrier, int x, int y, int z)
{
    const int at[3] = {x, y, z};

    rn_emu_copy_tile(to, map, barrier, 3, at);
}

static inline void rn_tma_pixels(void *to, const CUtensorMap *map, uint64_t *barrier, int c, int x, int y, int n,
                                 int off_x, int off_y)
{
    const int at[4] = {c, x, y, n};

    rn_emu_copy_pixels(to, map, barrier, at, off_x, off_y);
}

template <int count> static inline void rn_fewer_registers(void)
{
    rn_emu_registers(count, false);
}

template <int count> static inline void rn_more_registers(void)
{
    rn_emu_registers(count, true);
}

/* What rn_narrow_two takes: everything below 0 becomes 0, or nothing does. */
template <int kind> static inline uint32_t rn_floor_of(bool relu)
{
    return relu ? 0 : 1;
}

/* Two values to 16 bits, kind 0 bf16, 1 f16, the first in the low half; NaN stays NaN. */
template <int kind> static inline uint32_t rn_narrow_two(float low, float high, uint32_t floor)
{
    const float l = floor == 0 && low < 0 ? 0 : low, h = floor == 0 && high < 0 ? 0 : high;

    return kind == 0 ? rn_narrow<rn_bf16>(l).bits | (uint32_t)rn_narrow<rn_bf16>(h).bits << 16
                     : rn_narrow<rn_f16>(l).bits | (uint32_t)rn_narrow<rn_f16>(h).bits << 16;
}

#elif RN_SM90_CODE

/* Pairs of 0 or of -infinity. */
template <int kind> static __device__ __forceinline__ uint32_t rn_floor_of(bool relu)
{
    return relu ? 0 : kind == 0 ? 0xff80ff80u : 0xfc00fc00u;
}

/* Rounding keeps order, so that what is below 0 may be cut off behind it, two values at a time. */
template <int kind> static __device__ __forceinline__ uint32_t rn_narrow_two(float low, float high, uint32_t floor)
{
    uint32_t v;

    if (kind == 0) {
        asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(v) : "f"(high), "f"(low));
        asm("max.NaN.bf16x2 %0, %1, %2;" : "=r"(v) : "r"(v), "r"(floor));
    } else {
        asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(v) : "f"(high), "f"(low));
        asm("max.NaN.f16x2 %0, %1, %2;" : "=r"(v) : "r"(v), "r"(floor));
    }
    return v;
}

static __device__ __forceinline__ unsigned rn_sm90_address(const void *p)
{
    return (unsigned)__cvta_generic_to_shared(p);
}

static __device__ __forceinline__ unsigned rn_to_pattern(const void *p)
{
    return (0u - rn_sm90_address(p)) % RN_SWIZZLE_PATTERN;
}

static __device__ __forceinline__ void rn_barrier_init(uint64_t *barrier, unsigned arrivals)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(rn_sm90_address(barrier)), "r"(arrivals) : "memory");
}

/* What this thread initialised is seen by copies, and by others behind the block's next barrier. */
static __device__ __forceinline__ void rn_barrier_fence()
{
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

static __device__ __forceinline__ void rn_barrier_arrive(uint64_t *barrier)
{
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(rn_sm90_address(barrier)) : "memory");
}

/* Expects more bytes, and arrives. */
static __device__ __forceinline__ void rn_barrier_expect(uint64_t *barrier, unsigned bytes)
{
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(rn_sm90_address(barrier)), "r"(bytes)
                 : "memory");
}

static __device__ __forceinline__ void rn_barrier_wait(uint64_t *barrier, unsigned parity)
{
    const unsigned at = rn_sm90_address(barrier);
    unsigned done = 0;

    while (!done)
        asm volatile("{\n"
                     ".reg .pred p;\n"
                     "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
                     "selp.u32 %0, 1, 0, p;\n"
                     "}"
                     : "=r"(done)
                     : "r"(at), "r"(parity)
                     : "memory");
}

static __device__ __forceinline__ void rn_tma_prefetch(const CUtensorMap *map)
{
    asm volatile("prefetch.tensormap [%0];" ::"l"((uint64_t)map) : "memory");
}

/* One thread asks; `barrier` is told of the bytes of the whole box, those out of the tensor, which are zeros, included. */
static __device__ __forceinline__ void rn_tma_tile(void *to, const CUtensorMap *map, uint64_t *barrier, int x, int y)
{
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], "
        "[%2];" ::"r"(rn_sm90_address(to)),
        "l"((uint64_t)map), "r"(rn_sm90_address(barrier)), "r"(x), "r"(y)
        : "memory");
}

static __device__ __forceinline__ void rn_tma_tile(void *to, const CUtensorMap *map, uint64_t *barrier, int x, int y,
                                                   int z)
{
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, "
                 "%5}], [%2];" ::"r"(rn_sm90_address(to)),
                 "l"((uint64_t)map), "r"(rn_sm90_address(barrier)), "r"(x), "r"(y), "r"(z)
                 : "memory");
}

/* (x, y) of image n is the first pixel within the map's bounding box, and what is read lies (off_x, off_y) on from each. */
static __device__ __forceinline__ void rn_tma_pixels(void *to, const CUtensorMap *map, uint64_t *barrier, int c, int x,
                                                     int y, int n, int off_x, int off_y)
{
    asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes [%0], [%1, {%3, "
                 "%4, %5, %6}], [%2], {%7, %8};" ::"r"(rn_sm90_address(to)),
                 "l"((uint64_t)map), "r"(rn_sm90_address(barrier)), "r"(c), "r"(x), "r"(y), "r"(n),
                 "h"((uint16_t)off_x), "h"((uint16_t)off_y)
                 : "memory");
}

/* All of a group of four warps: gives up, or waits for, all of a thread's registers beyond `count`. */
template <int count> static __device__ __forceinline__ void rn_fewer_registers()
{
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(count));
}

template <int count> static __device__ __forceinline__ void rn_more_registers()
{
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(count));
}

#endif
#endif
