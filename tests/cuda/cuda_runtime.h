/* SPDX-License-Identifier: MIT */
/*
 * Stands for the CUDA toolkit's header where kernels are compiled for the host (RN_CUDA_EMULATED): as much of it as kernels/cuda
 * uses. Every thread of a block is a fiber of one thread of the host; emulate.cpp runs them, and is stricter than a device where
 * that finds mistakes:
 *   - threads and blocks run in a shuffled order (RNKIT_EMULATE_SEED=N; 0: in order), each warp as far as it comes alone, so that
 *     a missing barrier shows;
 *   - a barrier that not all living threads of a block reach, or a warp's instruction that not all 32 lanes do, ends the program;
 *   - device memory is of pages that nobody may touch but kernels and copies: a host that reads a device's pointer ends there and
 *     then; what was not written is NaN, what lies behind an allocation is a guard page;
 *   - kernels and copies happen when they are waited for, and not before; what is captured, when it is launched. Whoever waits,
 *     allocates or copies the host's own memory while a stream is capturing ends the program;
 *   - more shared memory than was allowed, blocks of more than 1,024 threads, grids beyond a device's: the launch fails.
 * It says nothing of speed, of memory ordering between blocks, or of what PTX does: those are in cuda_mma_emulated.h by the book.
 */
#ifndef CUDA_RUNTIME_H
#define CUDA_RUNTIME_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <functional>

#include "emulate_check.h"

#define __global__
#define __device__
#define __host__
#define __constant__    static
#define __shared__      static
#define __forceinline__ inline
#define __noinline__    __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __restrict__ __restrict

#define CUDART_VERSION 13000

/* ---- vectors ---- */

typedef struct __attribute__((aligned(8))) uint2 {
    unsigned x, y;
} uint2;
typedef struct __attribute__((aligned(16))) uint4 {
    unsigned x, y, z, w;
} uint4;
typedef struct __attribute__((aligned(8))) int2 {
    int x, y;
} int2;
typedef struct __attribute__((aligned(16))) int4 {
    int x, y, z, w;
} int4;
typedef struct __attribute__((aligned(8))) float2 {
    float x, y;
} float2;
typedef struct __attribute__((aligned(16))) float4 {
    float x, y, z, w;
} float4;
typedef struct __attribute__((aligned(16))) double2 {
    double x, y;
} double2;

static inline uint2 make_uint2(unsigned x, unsigned y)
{
    return uint2{x, y};
}
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w)
{
    return uint4{x, y, z, w};
}
static inline float2 make_float2(float x, float y)
{
    return float2{x, y};
}
static inline float4 make_float4(float x, float y, float z, float w)
{
    return float4{x, y, z, w};
}

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

/* ---- the runtime ---- */

typedef enum cudaError {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInvalidConfiguration = 9,
    cudaErrorStubLibrary = 34,
    cudaErrorInsufficientDriver = 35,
    cudaErrorNoDevice = 100,
    cudaErrorNotReady = 600,
    cudaErrorSystemNotReady = 802,
    cudaErrorSystemDriverMismatch = 803,
    cudaErrorCompatNotSupportedOnDevice = 804
} cudaError_t;
typedef struct CUstream_st *cudaStream_t;
typedef struct CUevent_st *cudaEvent_t;
typedef struct CUgraph_st *cudaGraph_t;
typedef struct CUgraphExec_st *cudaGraphExec_t;
#define cudaStreamPerThread ((cudaStream_t)0x2)
enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal = 1 };
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2, cudaMemcpyDeviceToDevice = 3 };
enum cudaMemoryType { cudaMemoryTypeUnregistered = 0, cudaMemoryTypeHost = 1, cudaMemoryTypeDevice = 2 };
struct cudaPointerAttributes {
    cudaMemoryType type;
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
enum { cudaStreamNonBlocking = 1, cudaHostAllocDefault = 0, cudaEventDisableTiming = 2 };

enum cudaDriverEntryPointQueryResult { cudaDriverEntryPointSuccess = 0, cudaDriverEntryPointSymbolNotFound = 1 };
enum { cudaEnableDefault = 0 };
struct cudaFuncAttributes {
    int numRegs;
};

struct cudaDeviceProp {
    char name[256];
    struct {
        char bytes[16];
    } uuid;
    size_t totalGlobalMem, sharedMemPerBlockOptin;
    int major, minor, multiProcessorCount, l2CacheSize, pageableMemoryAccess;
};

extern "C" {
cudaError_t cudaGetDeviceCount(int *n);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int device);
cudaError_t cudaDriverGetVersion(int *v);
cudaError_t cudaRuntimeGetVersion(int *v);
const char *cudaGetErrorString(cudaError_t e);
const char *cudaGetErrorName(cudaError_t e);
cudaError_t cudaGetLastError(void);
cudaError_t cudaMalloc(void **out, size_t bytes);
cudaError_t cudaFree(void *p);
cudaError_t cudaMemGetInfo(size_t *free, size_t *total);
cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void *p);
cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t bytes, cudaMemcpyKind kind, cudaStream_t s);
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes *a, const void *p);
cudaError_t cudaMemsetAsync(void *dst, int byte, size_t bytes, cudaStream_t s);
cudaError_t cudaDeviceSynchronize(void);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t s);
cudaError_t cudaStreamSynchronize(cudaStream_t s);
cudaError_t cudaStreamQuery(cudaStream_t s);
cudaError_t cudaEventCreate(cudaEvent_t *e);
cudaError_t cudaEventDestroy(cudaEvent_t e);
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s);
cudaError_t cudaEventSynchronize(cudaEvent_t e);
cudaError_t cudaEventQuery(cudaEvent_t e);
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned flags);
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to);
cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *out);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t g, unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t g, cudaStream_t s);
cudaError_t cudaGraphDestroy(cudaGraph_t g);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t g);
cudaError_t cudaFuncSetAttribute(const void *kernel, cudaFuncAttribute what, int value);
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *a, const void *kernel);
cudaError_t cudaGetDriverEntryPointByVersion(const char *name, void **fn, unsigned version, unsigned long long flags,
                                             cudaDriverEntryPointQueryResult *found);
}

/* ---- the inside of a kernel ---- */

struct rn_emu_place {
    dim3 thread, block, blocks, threads;
};
/* Of the thread that runs. */
extern rn_emu_place rn_emu;

#define threadIdx rn_emu.thread
#define blockIdx  rn_emu.block
#define blockDim  rn_emu.threads
#define gridDim   rn_emu.blocks

void rn_emu_launch(const char *name, const void *kernel, dim3 grid, dim3 block, size_t shared, cudaStream_t s,
                   const std::function<void()> &body);

template <class T> struct rn_emu_same {
    typedef T type;
};
/* A kernel with its arguments, as they are now. */
template <class... P>
static inline std::function<void()> rn_emu_bind(void (*kernel)(P...), typename rn_emu_same<P>::type... p)
{
    return [=]() __attribute__((no_sanitize("thread")))
    {
        kernel(p...);
    };
}
void *rn_emu_shared(void);
void rn_emu_barrier(void);
/* Waits until all 32 lanes of the warp have come to the same `fn`, each with something of its own; then fn(lanes) is called once, lanes[i]
 * being lane i's, and all go on. */
void rn_emu_warp(void (*fn)(void *const *lanes), void *mine);

/* This thread's number in its block; ends the program unless all lanes are meant; what __syncwarp does, lanes being such numbers. */
int rn_emu_thread(void);
void rn_emu_whole_warp(unsigned mask);
void rn_emu_meet(void *const *lanes);

#define __syncthreads() rn_emu_barrier()

static inline void __syncwarp(unsigned mask = 0xffffffffu)
{
    int mine = rn_emu_thread();

    rn_emu_whole_warp(mask);
    rn_emu_warp(rn_emu_meet, &mine);
}

template <typename T> struct rn_emu_exchange {
    T value, got;
    int from; /* lane; out of 0..31: one's own */
};

template <typename T> static void rn_emu_shuffle(void *const *lanes)
{
    for (int i = 0; i < 32; i++) {
        rn_emu_exchange<T> *x = (rn_emu_exchange<T> *)lanes[i];
        x->got = x->from >= 0 && x->from < 32 ? ((const rn_emu_exchange<T> *)lanes[x->from])->value : x->value;
    }
}

static inline int rn_emu_lane(void)
{
    return (int)((threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % 32);
}

template <typename T> static inline T rn_emu_from(T v, int lane)
{
    rn_emu_exchange<T> mine = {v, v, lane};

    rn_emu_warp(rn_emu_shuffle<T>, &mine);
    return mine.got;
}

template <typename T> static inline T __shfl_sync(unsigned mask, T v, int lane)
{
    rn_emu_whole_warp(mask);
    return rn_emu_from(v, lane & 31);
}
template <typename T> static inline T __shfl_down_sync(unsigned mask, T v, unsigned by)
{
    rn_emu_whole_warp(mask);
    return rn_emu_from(v, rn_emu_lane() + (int)by);
}
template <typename T> static inline T __shfl_up_sync(unsigned mask, T v, unsigned by)
{
    rn_emu_whole_warp(mask);
    return rn_emu_from(v, rn_emu_lane() - (int)by);
}
template <typename T> static inline T __shfl_xor_sync(unsigned mask, T v, int other)
{
    rn_emu_whole_warp(mask);
    return rn_emu_from(v, rn_emu_lane() ^ other);
}

static inline float __uint_as_float(unsigned u)
{
    float f;

    memcpy(&f, &u, sizeof f);
    return f;
}
static inline unsigned __float_as_uint(float f)
{
    unsigned u;

    memcpy(&u, &f, sizeof u);
    return u;
}
template <typename T> static inline T __ldg(const T *p)
{
    return *p;
}
template <typename T> static inline T __ldcg(const T *p)
{
    return *p;
}
template <typename T> static inline void __stcg(T *p, T v)
{
    *p = v;
}
static inline unsigned __umulhi(unsigned a, unsigned b)
{
    return (unsigned)((uint64_t)a * b >> 32);
}
static inline float rsqrtf(float x)
{
    return 1 / sqrtf(x);
}
static inline double __dmul_rn(double a, double b)
{
    return a * b;
}
static inline double rsqrt(double x)
{
    return 1 / sqrt(x);
}
static inline int min(int a, int b)
{
    return a < b ? a : b;
}
static inline int max(int a, int b)
{
    return a > b ? a : b;
}
static inline long min(long a, long b)
{
    return a < b ? a : b;
}
static inline long max(long a, long b)
{
    return a > b ? a : b;
}

#endif
