/* SPDX-License-Identifier: MIT */
/*
 * What every kernel of this room starts from: the launch, shared memory, and 16-bit types. (CUDA C++)
 *
 * The same sources are compiled for the host as well, with RN_CUDA_EMULATED and tests/cuda's headers in place of the toolkit's:
 * a kernel is then a function that an emulator calls for every thread. What has no meaning there (PTX, intrinsics) stands
 * behind a function with a second body, here and in cuda_mma.h; kernels themselves are written once.
 */
#ifndef CUDA_LAUNCH_H
#define CUDA_LAUNCH_H

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <stddef.h>
#include <stdint.h>

extern "C" {
#include "base/rn_error.h"
}

/* RN_OK, or the failure of `what` ("cudaMalloc of 12 bytes") in words. */
extern "C" int rn_cuda_status(cudaError_t err, const char *what);

/*
 * An rn_stream's. The default one is the backend's own, of the device opened last, and waits for none of CUDA's default streams: the
 * old one cannot be captured, and who uses it, a library perhaps, while a stream that waits for it is captured, such as
 * cudaStreamPerThread, breaks the capture off (cudaErrorStreamCaptureImplicit).
 */
extern cudaStream_t rn_cuda_default;
static inline cudaStream_t rn_cuda_stream(void *s)
{
    return s ? (cudaStream_t)s : rn_cuda_default;
}

/*
 * RN_CUDA_LAUNCH(kernel, grid, block, shared_bytes, stream, arguments...): an expression, RN_OK or RN_E_*. Templates with a
 * comma go in parentheses. Returns at once: what a kernel does wrong shows at the next call that waits for it.
 * RN_CUDA_SHARED(type, name): in a kernel, `name` points to its shared_bytes of shared memory, 128-byte aligned.
 */
#ifdef RN_CUDA_EMULATED
#define RN_CUDA_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                                 \
    (rn_emu_launch(#kernel, (const void *)(kernel), dim3(grid), dim3(block), (shared_bytes), rn_cuda_stream(stream),   \
                   rn_emu_bind((kernel), __VA_ARGS__)),                                                                \
     rn_cuda_status(cudaGetLastError(), #kernel))
#define RN_CUDA_SHARED(type, name) type *const name = (type *)rn_emu_shared()
#define RN_UNROLL
#else
/* clang-format off */ /* it would part the brackets of the launch */
#define RN_CUDA_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                                 \
    ((kernel)<<<(grid), (block), (shared_bytes), rn_cuda_stream(stream)>>>(__VA_ARGS__),                               \
     rn_cuda_status(cudaGetLastError(), #kernel))
/* clang-format on */
#define RN_CUDA_SHARED(type, name)                                                                                     \
    extern __shared__ __align__(128) char rn_cuda_shared_bytes[];                                                      \
    type *const name = (type *)rn_cuda_shared_bytes
#define RN_UNROLL _Pragma("unroll")
#endif

/* Lets a kernel have more than 48 KiB of shared memory; once, before its first launch. */
template <class K> static inline int rn_cuda_allow_shared(K *kernel, int bytes)
{
    return rn_cuda_status(
        cudaFuncSetAttribute((const void *)kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes),
        "shared memory for a kernel");
}

/* ---- 16-bit types, as memory holds them ---- */

typedef struct rn_bf16 {
    uint16_t bits;
} rn_bf16;
typedef struct rn_f16 {
    uint16_t bits;
} rn_f16;

static __device__ __forceinline__ float rn_widen(float v)
{
    return v;
}

static __device__ __forceinline__ float rn_widen(rn_bf16 v)
{
    return __uint_as_float((uint32_t)v.bits << 16);
}

static __device__ __forceinline__ float rn_widen(rn_f16 v)
{
    return __half2float(__ushort_as_half(v.bits));
}

/* To nearest even; NaN stays NaN, beyond f16's range is infinity. */
template <typename T> static __device__ __forceinline__ T rn_narrow(float v);

template <> __device__ __forceinline__ float rn_narrow<float>(float v)
{
    return v;
}

template <> __device__ __forceinline__ rn_bf16 rn_narrow<rn_bf16>(float v)
{
    return rn_bf16{__bfloat16_as_ushort(__float2bfloat16_rn(v))};
}

template <> __device__ __forceinline__ rn_f16 rn_narrow<rn_f16>(float v)
{
    return rn_f16{__half_as_ushort(__float2half_rn(v))};
}

#endif
