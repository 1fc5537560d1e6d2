/* SPDX-License-Identifier: MIT */
/*
 * check-races NAME: runs a kernel that does one thing wrong, which the emulated device's checker must end the program for; or, with
 * NAME:right, the same kernel as it should be, which must end well (exit 0). Without NAME: prints the names.
 */
#include <stdio.h>
#include <string.h>

#include "kernels/cuda/cuda_launch.h"
#include "kernels/cuda/cuda_mma.h"

enum { THREADS = 64 };

cudaStream_t rn_cuda_default = cudaStreamPerThread;

extern "C" int rn_cuda_status(cudaError_t err, const char *)
{
    return err == cudaSuccess ? 0 : -1;
}

typedef struct given {
    float *to;
    const float *from;
    bool right;
} given;

/* Each thread reads what the one of the other warp wrote. */
static __global__ void no_barrier(given g)
{
    __shared__ float room[THREADS];

    room[threadIdx.x] = g.from[threadIdx.x];
    if (g.right)
        __syncthreads();
    g.to[threadIdx.x] = room[threadIdx.x ^ 32];
}

/* The room is written again before all have read it. */
static __global__ void no_second_barrier(given g)
{
    RN_CUDA_SHARED(float, room);

    for (int i = 0; i < 2; i++) {
        room[threadIdx.x] = g.from[i * THREADS + threadIdx.x];
        __syncthreads();
        g.to[i * THREADS + threadIdx.x] = room[threadIdx.x ^ 1];
        if (g.right)
            __syncthreads();
    }
}

/* Within a warp; a shuffle puts its lanes in step, which is no word about memory. */
static __global__ void no_syncwarp(given g)
{
    __shared__ float room[THREADS];
    float v = g.from[threadIdx.x];

    room[threadIdx.x] = v;
    v = __shfl_xor_sync(0xffffffffu, v, 1);
    if (g.right)
        __syncwarp();
    g.to[threadIdx.x] = v + room[threadIdx.x ^ 1];
}

/* A warp is in step, but the other one is read. */
static __global__ void syncwarp_for_all(given g)
{
    __shared__ float room[THREADS];

    room[threadIdx.x] = g.from[threadIdx.x];
    if (g.right)
        __syncthreads();
    else
        __syncwarp();
    g.to[threadIdx.x] = room[threadIdx.x ^ 33];
}

static __global__ void same_place(given g)
{
    if (g.right ? threadIdx.x == 0 : threadIdx.x < 2)
        g.to[blockIdx.x] = 1;
}

static __global__ void between_blocks(given g)
{
    g.to[(g.right ? blockIdx.x : 0) * THREADS + threadIdx.x] = 1;
}

static __global__ void misaligned(given g)
{
    const float4 v = *(const float4 *)(g.from + 4 * threadIdx.x + (g.right ? 0 : 2));

    g.to[threadIdx.x] = v.x + v.w;
}

static __global__ void misaligned_shared(given g)
{
    RN_CUDA_SHARED(float, room);
    float2 *at = (float2 *)(room + 2 * threadIdx.x + (g.right ? 0 : 1));

    *at = make_float2(g.from[threadIdx.x], 0);
    g.to[threadIdx.x] = at->x;
}

static __global__ void never_written(given g)
{
    __shared__ float room[THREADS];

    if (g.right || threadIdx.x != 63)
        room[threadIdx.x] = 1;
    __syncthreads();
    g.to[threadIdx.x] = room[threadIdx.x];
}

static __global__ void beyond_shared(given g)
{
    RN_CUDA_SHARED(float, room);

    room[threadIdx.x + (g.right ? 0 : THREADS)] = 1;
}

static __global__ void beyond_array(given g)
{
    __shared__ float room[THREADS];

    room[threadIdx.x] = g.from[threadIdx.x];
    __syncthreads();
    g.to[threadIdx.x] = room[threadIdx.x + (g.right ? 0 : 1)];
}

static __global__ void before_allocation(given g)
{
    g.to[threadIdx.x] = g.from[(int)threadIdx.x - (g.right ? 0 : 1)];
}

/* The thread waits for its own copy; the others' are there behind a barrier. */
static __global__ void copies(given g, int pending)
{
    RN_CUDA_SHARED(float, room);
    rn_async async;

    async.copy(room + 4 * threadIdx.x, g.from + 4 * threadIdx.x, true);
    async.commit();
    if (pending == 0)
        async.wait<0>();
    else
        async.wait<1>();
    if (g.right || pending)
        __syncthreads();
    g.to[threadIdx.x] = room[4 * (threadIdx.x ^ 32)];
    async.wait<0>();
}

static __global__ void misaligned_copy(given g)
{
    RN_CUDA_SHARED(float, room);
    rn_async async;

    async.copy(room + 4 * threadIdx.x, g.from + 4 * threadIdx.x + (g.right ? 0 : 1), true);
    async.commit();
    async.wait<0>();
}

/* ldmatrix reads what other lanes have stored. */
static __global__ void matrix(given g)
{
    RN_CUDA_SHARED(float, room);
    uint32_t r[4];

    for (int i = 0; i < 8; i++)
        room[i * THREADS + threadIdx.x] = g.from[threadIdx.x];
    if (g.right)
        __syncthreads();
    rn_ldmatrix(r, room + 4 * threadIdx.x);
    g.to[threadIdx.x] = __uint_as_float(r[0] & r[1] & r[2] & r[3]);
}

static __global__ void matrix_misaligned(given g)
{
    RN_CUDA_SHARED(float, room);
    uint32_t r[4];

    for (int i = 0; i < 8; i++)
        room[i * THREADS + threadIdx.x] = g.from[threadIdx.x];
    __syncthreads();
    rn_ldmatrix(r, room + 4 * threadIdx.x + (g.right ? 0 : 2));
    g.to[threadIdx.x] = __uint_as_float(r[0] & r[1] & r[2] & r[3]);
}

static __global__ void part_of_a_warp(given g)
{
    if (g.right || threadIdx.x % 32 < 16)
        g.to[threadIdx.x] = __shfl_down_sync(g.right ? 0xffffffffu : 0xffffu, g.from[threadIdx.x], 1);
}

static __global__ void writes(float *to, float v)
{
    to[threadIdx.x] = v;
}

/* Two streams, and an event between them or none. */
static int in_two_streams(const given *g)
{
    cudaStream_t a, b;
    cudaEvent_t e;

    if (cudaStreamCreateWithFlags(&a, 0) || cudaStreamCreateWithFlags(&b, 0) || cudaEventCreate(&e))
        return -1;
    int rc = RN_CUDA_LAUNCH(writes, 1, THREADS, 0, a, g->to, 1.0f);
    if (g->right)
        rc |= cudaEventRecord(e, a) | cudaStreamWaitEvent(b, e, 0);
    return rc | RN_CUDA_LAUNCH(writes, 1, THREADS, 0, b, g->to, 2.0f);
}

/* ---- by name ---- */

static const struct {
    const char *name;
    void (*kernel)(given);
    int blocks, floats; /* of shared memory, that is no variable */
} kernels[] = {
    {"no_barrier", no_barrier, 1, 0},
    {"no_second_barrier", no_second_barrier, 1, THREADS},
    {"no_syncwarp", no_syncwarp, 1, 0},
    {"syncwarp_for_all", syncwarp_for_all, 1, 0},
    {"same_place", same_place, 1, 0},
    {"between_blocks", between_blocks, 2, 0},
    {"misaligned", misaligned, 1, 0},
    {"misaligned_shared", misaligned_shared, 1, 2 * THREADS + 2},
    {"never_written", never_written, 1, 0},
    {"beyond_shared", beyond_shared, 1, THREADS},
    {"beyond_array", beyond_array, 1, 0},
    {"before_allocation", before_allocation, 1, 0},
    {"misaligned_copy", misaligned_copy, 1, 4 * THREADS},
    {"matrix", matrix, 1, 8 * THREADS},
    {"matrix_misaligned", matrix_misaligned, 1, 8 * THREADS},
    {"part_of_a_warp", part_of_a_warp, 1, 0},
};
static const char *const others[] = {"copy_without_wait", "copy_without_barrier", "streams", "never_filled"};

static bool is(const char *name, const char *one, size_t length)
{
    return strlen(one) == length && memcmp(name, one, length) == 0;
}

static int run(const char *name, size_t length, const given *g)
{
    for (const auto &k : kernels)
        if (is(name, k.name, length))
            return RN_CUDA_LAUNCH(k.kernel, (unsigned)k.blocks, THREADS, 4 * (size_t)k.floats, NULL, *g);
    if (is(name, "copy_without_wait", length))
        return RN_CUDA_LAUNCH(copies, 1, THREADS, 16 * THREADS, NULL, *g, g->right ? 0 : 1);
    if (is(name, "copy_without_barrier", length))
        return RN_CUDA_LAUNCH(copies, 1, THREADS, 16 * THREADS, NULL, *g, 0);
    if (is(name, "streams", length))
        return in_two_streams(g);
    if (is(name, "never_filled", length)) {
        float *p;
        if (cudaMalloc((void **)&p, 4 * THREADS))
            return -1;
        return RN_CUDA_LAUNCH(no_barrier, 1, THREADS, 0, NULL, given{g->to, g->right ? g->from : p, true});
    }
    fprintf(stderr, "check-races: %s: no such kernel\n", name);
    return -1;
}

int main(int argc, char **argv)
{
    enum { COUNT = 17 * THREADS };
    given g = {NULL, NULL, false};
    float *to, *from;

    if (argc < 2) {
        for (const auto &k : kernels)
            puts(k.name);
        for (const char *name : others)
            puts(name);
        return 0;
    }
    const char *colon = strchr(argv[1], ':');
    const size_t length = colon ? (size_t)(colon - argv[1]) : strlen(argv[1]);
    if (cudaMalloc((void **)&to, COUNT * 4) || cudaMalloc((void **)&from, COUNT * 4) ||
        cudaMemsetAsync(from, 0, COUNT * 4, cudaStreamPerThread))
        return 1;
    g = given{to, from, colon != NULL};
    if (run(argv[1], length, &g) || cudaDeviceSynchronize() || cudaFree(to) || cudaFree(from))
        return 1;
    return 0;
}
