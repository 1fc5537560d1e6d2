/* SPDX-License-Identifier: MIT */
/*
 * The instructions of one warp: products of small matrices (mma.sync), the loads of their operands (ldmatrix), and copies into
 * shared memory that go on while the thread computes (cp.async). PTX for sm_80 and later; where kernels are compiled for the
 * host, C by the layouts that the PTX ISA documents.
 *
 * Layouts, from "Matrix Fragments for mma.m16n8k16 with floating point type", "... for mma.m16n8k8" (.tf32) and "ldmatrix" of
 * the PTX ISA 9.x, with g = lane / 4 and t = lane % 4. A register of 16-bit values holds two neighbours along k, the first in
 * its low half.
 *   A 16 x 16 (16 bit): a[0] = (g, 2t..), a[1] = (g + 8, 2t..), a[2] = (g, 2t + 8..), a[3] = (g + 8, 2t + 8..)   as (row, k)
 *   B 16 x 8  (16 bit): b[0] = (2t.., g), b[1] = (2t + 8.., g)                                                    as (k, column)
 *   A 16 x 8  (tf32):   a[0] = (g, t), a[1] = (g + 8, t), a[2] = (g, t + 4), a[3] = (g + 8, t + 4)
 *   B 8 x 8   (tf32):   b[0] = (t, g), b[1] = (t + 4, g)
 *   C, D 16 x 8 (f32):  d[0] = (g, 2t), d[1] = (g, 2t + 1), d[2] = (g + 8, 2t), d[3] = (g + 8, 2t + 1)
 *   ldmatrix.x4: lane 8 i + j names row j of the i-th matrix, 8 rows of 16 bytes each. r[i] is, of matrix i, the 32 bits at
 *   (row g, 4 t bytes in): two 16-bit values or one of 32 bits; with .trans the 16-bit values (row 2t, column g), (2t + 1, g).
 */
#ifndef CUDA_MMA_H
#define CUDA_MMA_H

#include <stdint.h>

#include "kernels/cuda/cuda_launch.h"

/* Before a loop that is to stay one: the opposite of RN_UNROLL. */
#ifdef RN_CUDA_EMULATED
#define RN_NO_UNROLL
#include "kernels/cuda/cuda_mma_emulated.h"
#else
#define RN_NO_UNROLL _Pragma("unroll 1")

static __device__ __forceinline__ uint32_t rn_shared_address(const void *p)
{
    return (uint32_t)__cvta_generic_to_shared(p);
}

static __device__ __forceinline__ void rn_ldmatrix(uint32_t r[4], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(rn_shared_address(row))
                 : "memory");
}

static __device__ __forceinline__ void rn_ldmatrix_trans(uint32_t r[4], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(rn_shared_address(row))
                 : "memory");
}

#define RN_MMA(name, instruction)                                                                                      \
    static __device__ __forceinline__ void name(float d[4], const uint32_t a[4], const uint32_t b[2])                  \
    {                                                                                                                  \
        asm volatile(instruction " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"                    \
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                                                  \
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));                              \
    }
RN_MMA(rn_mma_bf16, "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32")
RN_MMA(rn_mma_f16, "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32")
RN_MMA(rn_mma_tf32, "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32")

/* To 10 bits of mantissa, ties away from zero: mma.tf32 itself would cut the others off. */
static __device__ __forceinline__ uint32_t rn_tf32(uint32_t f32)
{
    uint32_t out;

    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(out) : "f"(__uint_as_float(f32)));
    return out;
}

/* Asks for 128 bytes of global memory to be brought into the L2 cache. */
static __device__ __forceinline__ void rn_prefetch(const void *p)
{
    asm volatile("prefetch.global.L2 [%0];" ::"l"(__cvta_generic_to_global(p)));
}

/* Copies of 16 bytes, committed in groups. */
struct rn_async {
    /* valid: false stores zeros and reads nothing. */
    __device__ __forceinline__ void copy(void *shared, const void *from, bool valid)
    {
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(rn_shared_address(shared)),
                     "l"(__cvta_generic_to_global(from)), "r"(valid ? 16 : 0)
                     : "memory");
    }
    __device__ __forceinline__ void commit()
    {
        asm volatile("cp.async.commit_group;" ::: "memory");
    }
    /* Until at most `pending` of the newest groups are under way. Then a barrier, for the other threads' copies. */
    template <int pending> __device__ __forceinline__ void wait()
    {
        asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
    }
};

#endif
#endif
