/* SPDX-License-Identifier: MIT */
/*
 * Products by a group of four warps whose operands lie in shared memory (wgmma, sm_90a alone): D 64 x 256 += A 64 x k B k x 256,
 * k of 32 bytes. From the PTX ISA 9.x, "Asynchronous Warpgroup Level Matrix Instructions". Used by cuda_peak.cu: as a ceiling,
 * which mma.sync does not reach on these devices.
 *
 * Layout without swizzling, both operands along k ("K-major"): core matrices of 8 rows x 16 bytes, 128 bytes on end; the next one
 * along k RN_WGMMA_LEADING bytes on, the next 8 rows RN_WGMMA_STRIDE bytes on.
 */
#ifndef CUDA_WGMMA_H
#define CUDA_WGMMA_H

#include <stdint.h>

#include "kernels/cuda/cuda_launch.h"

enum {
    RN_WGMMA_SUMS = 128,   /* of D, to a thread */
    RN_WGMMA_A = 64 * 32,  /* bytes of A */
    RN_WGMMA_B = 256 * 32, /* of B */
    RN_WGMMA_INNER = 8,    /* products to a round of rn_wgmma_loop */
    RN_WGMMA_LEADING = 128,
    RN_WGMMA_STRIDE = 256
};

#ifdef RN_CUDA_EMULATED
#define RN_WGMMA_BUILT false
#else
#define RN_WGMMA_BUILT true
#endif

#if defined(__CUDA_ARCH_FEAT_SM90_ALL) && !defined(RN_CUDA_EMULATED)

/* Bits 0-13, 16-29 and 32-45: address, leading and stride offset, in units of 16 bytes; 62-63, 0: no swizzling. */
static __device__ __forceinline__ uint64_t rn_wgmma_matrix(const void *p)
{
    const uint64_t at = (uint32_t)__cvta_generic_to_shared(p);

    return (at & 0x3ffff) >> 4 | (uint64_t)(RN_WGMMA_LEADING >> 4) << 16 | (uint64_t)(RN_WGMMA_STRIDE >> 4) << 32;
}

/* What this thread wrote to shared memory is seen by the products, after the barrier that follows. */
static __device__ __forceinline__ void rn_wgmma_ready()
{
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/* clang-format off */
#define RN_WGMMA(name, types, transposes) \
    static __device__ __forceinline__ void name(float d[RN_WGMMA_SUMS], uint64_t a, uint64_t b) \
    { \
        asm volatile("wgmma.mma_async.sync.aligned." types " {" \
            "%0, %1, %2, %3, %4, %5, %6, %7," \
            "%8, %9, %10, %11, %12, %13, %14, %15," \
            "%16, %17, %18, %19, %20, %21, %22, %23," \
            "%24, %25, %26, %27, %28, %29, %30, %31," \
            "%32, %33, %34, %35, %36, %37, %38, %39," \
            "%40, %41, %42, %43, %44, %45, %46, %47," \
            "%48, %49, %50, %51, %52, %53, %54, %55," \
            "%56, %57, %58, %59, %60, %61, %62, %63," \
            "%64, %65, %66, %67, %68, %69, %70, %71," \
            "%72, %73, %74, %75, %76, %77, %78, %79," \
            "%80, %81, %82, %83, %84, %85, %86, %87," \
            "%88, %89, %90, %91, %92, %93, %94, %95," \
            "%96, %97, %98, %99, %100, %101, %102, %103," \
            "%104, %105, %106, %107, %108, %109, %110, %111," \
            "%112, %113, %114, %115, %116, %117, %118, %119," \
            "%120, %121, %122, %123, %124, %125, %126, %127" \
            "}, %128, %129, 1, 1, 1" transposes ";" \
            : \
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
            "+f"(d[120]), "+f"(d[121]), "+f"(d[122]), "+f"(d[123]), "+f"(d[124]), "+f"(d[125]), "+f"(d[126]), "+f"(d[127]) \
            : "l"(a), "l"(b)); \
    }
/* clang-format on */
RN_WGMMA(rn_wgmma_bf16, "m64n256k16.f32.bf16.bf16", ", 0, 0")
RN_WGMMA(rn_wgmma_f16, "m64n256k16.f32.f16.f16", ", 0, 0")
RN_WGMMA(rn_wgmma_tf32, "m64n256k8.f32.tf32.tf32", "")

/* d += times * RN_WGMMA_INNER times A B. kind: 0 bf16, 1 f16, 2 tf32. False: this is another device's code, and does nothing. */
template <int kind>
static __device__ __forceinline__ bool rn_wgmma_loop(float d[RN_WGMMA_SUMS], const void *a, const void *b,
                                                     int64_t times)
{
    const uint64_t ma = rn_wgmma_matrix(a), mb = rn_wgmma_matrix(b);

    _Pragma("unroll 1") for (int64_t t = 0; t < times; t++)
    {
        asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
        RN_UNROLL
        for (int i = 0; i < RN_WGMMA_INNER; i++) {
            if (kind == 0)
                rn_wgmma_bf16(d, ma, mb);
            else if (kind == 1)
                rn_wgmma_f16(d, ma, mb);
            else
                rn_wgmma_tf32(d, ma, mb);
        }
        asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
        asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
    }
    return true;
}

#else

static __device__ __forceinline__ void rn_wgmma_ready() {}

template <int kind> static __device__ __forceinline__ bool rn_wgmma_loop(float *, const void *, const void *, int64_t)
{
    return false;
}

#endif
#endif
