/* SPDX-License-Identifier: MIT */
/*
 * Products by a group of four warps whose operands lie in shared memory, swizzled by 128 bytes (wgmma, sm_90a): D 64 x n += A 64 x 16 B 16 x n,
 * n = 64, 128 or 256, bf16 or f16 into f32. PTX ISA 9.x, "Asynchronous Warpgroup Level Matrix Instructions". A thread's n / 2 sums
 * are those of mma.sync's m16n8 (cuda_mma.h), 8 columns after 8 columns; the warps have 16 rows each.
 *
 * Operands, in patterns of 8 rows of 128 bytes, 1,024 bytes:
 *   along k   a row of a pattern is a row of A, or a column of B, 64 k of it; the next 8 of them in the next pattern, STRIDE on. The next
 *             16 k are 32 bytes on in each row
 *   across k  a row of a pattern is one k, 64 rows of A or columns of B; the next 8 k in the next pattern, STRIDE on, so that the next
 *             16 k are two patterns on; the next 64 rows or columns LEADING on
 * Sums are the products' from the first one until they are waited for; what is written to them before needs rn_wgmma_fence.
 *
 * A may come from registers instead: a warp's 16 x 16 values as mma.sync's m16n8k16 has them (cuda_mma.h), which are the product's until it is
 * waited for; written, they need rn_wgmma_fence_a. across is then B's alone.
 */
#ifndef CUDA_SM90_MMA_H
#define CUDA_SM90_MMA_H

#include "kernels/cuda/cuda_sm90.h"

/* kind: 0 bf16, 1 f16. across: both operands. add: false: D = A B, whatever was there. */
#ifdef RN_CUDA_EMULATED

static inline uint64_t rn_matrix(const void *p, unsigned leading, unsigned stride)
{
    return (rn_emu_shared_address(p) & 0x3ffff) >> 4 | (uint64_t)(leading >> 4) << 16 | (uint64_t)(stride >> 4) << 32 |
           (uint64_t)1 << 62;
}

static inline void rn_wgmma_fence(void)
{
    rn_emu_wgmma_fence();
}

static inline void rn_wgmma_commit(void)
{
    rn_emu_wgmma_commit();
}

template <int pending, int n> static inline void rn_wgmma_wait(float *)
{
    rn_emu_wgmma_wait(pending);
}

template <int n, int kind, bool across> static inline void rn_wgmma(float *d, uint64_t a, uint64_t b, bool add)
{
    rn_emu_wgmma(d, a, b, n, kind, across ? 3 : 0, add);
}

/* What was written to a, 4 registers, as well. */
static inline void rn_wgmma_fence_a(uint32_t *a)
{
    rn_emu_wgmma_fence_a(a);
}

template <int n, int kind, bool across> static inline void rn_wgmma_a(float *d, const uint32_t *a, uint64_t b, bool add)
{
    rn_emu_wgmma_a(d, a, b, n, kind, across ? 2 : 0, add);
}

#elif RN_SM90_CODE

/* Bits 0-13, 16-29 and 32-45: address, leading and stride offset in units of 16 bytes; 49-51, 0: patterns begin at multiples of 1,024
 * bytes; 62-63, 1: swizzled by 128 bytes. */
static __device__ __forceinline__ uint64_t rn_matrix(const void *p, unsigned leading, unsigned stride)
{
    return (uint64_t)((rn_sm90_address(p) & 0x3ffff) >> 4) | (uint64_t)(leading >> 4) << 16 |
           (uint64_t)(stride >> 4) << 32 | (uint64_t)1 << 62;
}

static __device__ __forceinline__ void rn_wgmma_fence()
{
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

static __device__ __forceinline__ void rn_wgmma_commit()
{
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

/* The registers are named, so that no write to them is moved behind it. */
static __device__ __forceinline__ void rn_wgmma_fence_a(uint32_t *a)
{
    asm volatile("wgmma.fence.sync.aligned;" : "+r"(a[0]), "+r"(a[1]), "+r"(a[2]), "+r"(a[3])::"memory");
}

/* Until at most `pending` of the newest groups are under way. With 0 the n sums are the thread's again: no use of them may be moved before
 * this. */
template <int pending, int n> static __device__ __forceinline__ void rn_wgmma_wait(float *d)
{
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(pending) : "memory");
    if (pending == 0) {
        RN_UNROLL
        for (int i = 0; i < n; i++)
            asm volatile("" : "+f"(d[i])::"memory");
    }
}

/* clang-format off */
#define RN_SUMS_32 \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define RN_SUMS_32_OF(d) \
    "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]), \
    "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]), \
    "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), \
    "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31])
#define RN_SUMS_64 \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
    "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
    "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define RN_SUMS_64_OF(d) \
    "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]), \
    "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]), \
    "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), \
    "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]), \
    "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35]), "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39]), \
    "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), "+f"(d[43]), "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]), \
    "+f"(d[48]), "+f"(d[49]), "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]), \
    "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63])
#define RN_SUMS_128 \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
    "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
    "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, " \
    "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, " \
    "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, " \
    "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
    "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define RN_SUMS_128_OF(d) \
    "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]), \
    "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]), \
    "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), \
    "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]), \
    "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35]), "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39]), \
    "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), "+f"(d[43]), "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]), \
    "+f"(d[48]), "+f"(d[49]), "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]), \
    "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63]), \
    "+f"(d[64]), "+f"(d[65]), "+f"(d[66]), "+f"(d[67]), "+f"(d[68]), "+f"(d[69]), "+f"(d[70]), "+f"(d[71]), \
    "+f"(d[72]), "+f"(d[73]), "+f"(d[74]), "+f"(d[75]), "+f"(d[76]), "+f"(d[77]), "+f"(d[78]), "+f"(d[79]), \
    "+f"(d[80]), "+f"(d[81]), "+f"(d[82]), "+f"(d[83]), "+f"(d[84]), "+f"(d[85]), "+f"(d[86]), "+f"(d[87]), \
    "+f"(d[88]), "+f"(d[89]), "+f"(d[90]), "+f"(d[91]), "+f"(d[92]), "+f"(d[93]), "+f"(d[94]), "+f"(d[95]), \
    "+f"(d[96]), "+f"(d[97]), "+f"(d[98]), "+f"(d[99]), "+f"(d[100]), "+f"(d[101]), "+f"(d[102]), "+f"(d[103]), \
    "+f"(d[104]), "+f"(d[105]), "+f"(d[106]), "+f"(d[107]), "+f"(d[108]), "+f"(d[109]), "+f"(d[110]), "+f"(d[111]), \
    "+f"(d[112]), "+f"(d[113]), "+f"(d[114]), "+f"(d[115]), "+f"(d[116]), "+f"(d[117]), "+f"(d[118]), "+f"(d[119]), \
    "+f"(d[120]), "+f"(d[121]), "+f"(d[122]), "+f"(d[123]), "+f"(d[124]), "+f"(d[125]), "+f"(d[126]), "+f"(d[127])
#define RN_WGMMA_ASM(types, sums, matrix_a, matrix_b, across_k, add_to) \
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " add_to ", 0;\n" \
        "wgmma.mma_async.sync.aligned." types " {" RN_SUMS_##sums "}, " \
        matrix_a ", " matrix_b ", p, 1, 1, " across_k ", " across_k ";\n}" \
        : RN_SUMS_##sums##_OF(d) : "l"(a), "l"(b), "n"(across ? 1 : 0), "r"((int)add))
#define RN_WGMMA_A_ASM(types, sums, a0, a1, a2, a3, matrix_b, across_k, add_to) \
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " add_to ", 0;\n" \
        "wgmma.mma_async.sync.aligned." types " {" RN_SUMS_##sums "}, " \
        "{" a0 ", " a1 ", " a2 ", " a3 "}, " matrix_b ", p, 1, 1, " across_k ";\n}" \
        : RN_SUMS_##sums##_OF(d) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "n"(across ? 1 : 0), "r"((int)add))
/* clang-format on */

template <int n, int kind, bool across>
static __device__ __forceinline__ void rn_wgmma(float *d, uint64_t a, uint64_t b, bool add)
{
    static_assert(n == 64 || n == 128 || n == 256, "columns that there is an instruction for here");
    if constexpr (n == 64 && kind == 0)
        RN_WGMMA_ASM("m64n64k16.f32.bf16.bf16", 32, "%32", "%33", "%34", "%35");
    else if constexpr (n == 64)
        RN_WGMMA_ASM("m64n64k16.f32.f16.f16", 32, "%32", "%33", "%34", "%35");
    else if constexpr (n == 128 && kind == 0)
        RN_WGMMA_ASM("m64n128k16.f32.bf16.bf16", 64, "%64", "%65", "%66", "%67");
    else if constexpr (n == 128)
        RN_WGMMA_ASM("m64n128k16.f32.f16.f16", 64, "%64", "%65", "%66", "%67");
    else if constexpr (kind == 0)
        RN_WGMMA_ASM("m64n256k16.f32.bf16.bf16", 128, "%128", "%129", "%130", "%131");
    else
        RN_WGMMA_ASM("m64n256k16.f32.f16.f16", 128, "%128", "%129", "%130", "%131");
}

template <int n, int kind, bool across>
static __device__ __forceinline__ void rn_wgmma_a(float *d, const uint32_t *a, uint64_t b, bool add)
{
    static_assert(n == 64 || n == 128 || n == 256, "columns that there is an instruction for here");
    if constexpr (n == 64 && kind == 0)
        RN_WGMMA_A_ASM("m64n64k16.f32.bf16.bf16", 32, "%32", "%33", "%34", "%35", "%36", "%37", "%38");
    else if constexpr (n == 64)
        RN_WGMMA_A_ASM("m64n64k16.f32.f16.f16", 32, "%32", "%33", "%34", "%35", "%36", "%37", "%38");
    else if constexpr (n == 128 && kind == 0)
        RN_WGMMA_A_ASM("m64n128k16.f32.bf16.bf16", 64, "%64", "%65", "%66", "%67", "%68", "%69", "%70");
    else if constexpr (n == 128)
        RN_WGMMA_A_ASM("m64n128k16.f32.f16.f16", 64, "%64", "%65", "%66", "%67", "%68", "%69", "%70");
    else if constexpr (kind == 0)
        RN_WGMMA_A_ASM("m64n256k16.f32.bf16.bf16", 128, "%128", "%129", "%130", "%131", "%132", "%133", "%134");
    else
        RN_WGMMA_A_ASM("m64n256k16.f32.f16.f16", 128, "%128", "%129", "%130", "%131", "%132", "%133", "%134");
}

#endif
#endif
