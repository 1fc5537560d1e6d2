/* SPDX-License-Identifier: MIT */
/* Memory of the device and page-locked memory of the host, copies between them, and the scratch of the ops. */
#include "kernels/cuda/cuda_backend_impl.h"

#include <stdio.h>
#include <stdlib.h>

static int cuda_alloc(rn_backend *be, size_t bytes, void **out)
{
    rn_cuda_device *c = rn_cuda_of(be);
    char what[64];

    *out = NULL;
    if (c->ngiven == c->cap_given) {
        const size_t cap = 2 * c->cap_given + 64;
        rn_cuda_given *more = (rn_cuda_given *)realloc(c->list, cap * sizeof *more);
        if (!more)
            return rn_fail(RN_E_NOMEM, "cuda: out of memory");
        c->list = more;
        c->cap_given = cap;
    }
    snprintf(what, sizeof what, "cudaMalloc of %zu bytes", bytes);
    RN_TRY(rn_cuda_status(cudaMalloc(out, bytes ? bytes : 1), what));
    c->list[c->ngiven++] = rn_cuda_given{*out, bytes};
    be->in_use += bytes;
    return RN_OK;
}

static void cuda_free(rn_backend *be, void *p)
{
    rn_cuda_device *c = rn_cuda_of(be);

    if (!p)
        return;
    for (size_t i = 0; i < c->ngiven; i++) {
        if (c->list[i].at != p)
            continue;
        be->in_use -= c->list[i].bytes;
        c->list[i] = c->list[--c->ngiven];
        break;
    }
    (void)cudaFree(p);
}

static int cuda_memory(rn_backend *be, size_t *free, size_t *total)
{
    (void)be;
    return rn_cuda_status(cudaMemGetInfo(free, total), "the device's free memory");
}

static int cuda_alloc_host(rn_backend *be, size_t bytes, void **out)
{
    char what[64];

    (void)be;
    *out = NULL;
    snprintf(what, sizeof what, "cudaHostAlloc of %zu bytes", bytes);
    return rn_cuda_status(cudaHostAlloc(out, bytes ? bytes : 1, cudaHostAllocDefault), what);
}

static void cuda_free_host(rn_backend *be, void *p)
{
    (void)be;
    if (p)
        (void)cudaFreeHost(p);
}

/*
 * What the host's own memory held has been read when a copy returns (rn_backend.h). The driver's manual, "API synchronization
 * behavior", says no more than that such a copy "might be synchronous with respect to host". Where the device cannot read that
 * memory, the driver has to, before it returns; where it can, nobody promises anything.
 */
static int wait_until_read(rn_backend *be, const void *src, rn_stream s)
{
    cudaPointerAttributes a;

    RN_TRY(rn_cuda_status(cudaPointerGetAttributes(&a, src), "what kind of memory is copied"));
    return a.type == cudaMemoryTypeUnregistered ? be->sync(be, s) : RN_OK;
}

static int cuda_copy(rn_backend *be, void *dst, const void *src, size_t bytes, enum rn_copy_kind kind, rn_stream s)
{
    static const cudaMemcpyKind kinds[] = {cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice};

    if (!bytes)
        return RN_OK;
    RN_TRY(rn_cuda_status(cudaMemcpyAsync(dst, src, bytes, kinds[kind], rn_cuda_stream(s)), "a copy"));
    return kind == RN_COPY_H2D && rn_cuda_of(be)->reads_host ? wait_until_read(be, src, s) : RN_OK;
}

static int cuda_memset(rn_backend *be, void *dst, int byte, size_t bytes, rn_stream s)
{
    (void)be;
    return bytes ? rn_cuda_status(cudaMemsetAsync(dst, byte, bytes, rn_cuda_stream(s)), "memset") : RN_OK;
}

int rn_cuda_scratch(rn_backend *be, size_t bytes, void **out)
{
    rn_cuda_device *c = rn_cuda_of(be);

    if (c->rehearsing) { /* what is given is not done: any address does that is aligned alike */
        c->scratch_wanted = bytes > c->scratch_wanted ? bytes : c->scratch_wanted;
        *out = c->scratch ? c->scratch : (char *)c + (256 - (uintptr_t)c % 256);
        return RN_OK;
    }
    if (bytes > c->scratch_bytes) {
        if (c->capturing)
            return rn_fail(RN_E_UNSUPPORTED,
                           "cuda: an op asks for %zu bytes of scratch that it did not ask for before it was captured; "
                           "RNKIT_CUDA_GRAPH=0 captures nothing",
                           bytes);
        RN_TRY(rn_cuda_status(cudaDeviceSynchronize(), "waiting for those who use the scratch"));
        char what[64];
        (void)cudaFree(c->scratch);
        c->scratch = NULL;
        c->scratch_bytes = 0;
        snprintf(what, sizeof what, "scratch of %zu bytes for the ops", bytes);
        RN_TRY(rn_cuda_status(cudaMalloc(&c->scratch, bytes), what));
        c->scratch_bytes = bytes;
        c->scratch_moves++;
    }
    *out = c->scratch;
    return RN_OK;
}

int rn_cuda_locked(rn_backend *be, size_t bytes, void **out)
{
    rn_cuda_device *c = rn_cuda_of(be);

    if (bytes > c->locked_bytes) {
        RN_TRY(rn_cuda_status(cudaDeviceSynchronize(), "waiting for copies"));
        cuda_free_host(be, c->locked);
        c->locked = NULL;
        c->locked_bytes = 0;
        RN_TRY(cuda_alloc_host(be, bytes, &c->locked));
        c->locked_bytes = bytes;
    }
    *out = c->locked;
    return RN_OK;
}

void rn_cuda_free_rooms(rn_cuda_device *c)
{
    (void)cudaFree(c->scratch);
    cuda_free_host(&c->be, c->locked);
    free(c->list);
}

void rn_cuda_set_memory(rn_backend *be)
{
    be->alloc = cuda_alloc;
    be->free = cuda_free;
    be->alloc_host = cuda_alloc_host;
    be->free_host = cuda_free_host;
    be->copy = cuda_copy;
    be->memset = cuda_memset;
    be->memory = cuda_memory;
}
