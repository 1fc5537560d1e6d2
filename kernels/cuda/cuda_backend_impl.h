/* SPDX-License-Identifier: MIT */
/* Between cuda_backend.cu, cuda_memory.cu, cuda_streams.cu and cuda_graphs.cu: what a device is to them. (C++) */
#ifndef CUDA_BACKEND_IMPL_H
#define CUDA_BACKEND_IMPL_H

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/cuda_launch.h"

typedef struct rn_cuda_given {
    void *at;
    size_t bytes;
} rn_cuda_given;

typedef struct rn_cuda_device {
    rn_backend be;
    int multiprocessors, capability;
    void *scratch;
    size_t scratch_bytes, scratch_wanted; /* wanted: by what is rehearsed */
    uint64_t scratch_moves;
    rn_cuda_given *list; /* what alloc has given */
    size_t ngiven, cap_given;
    void *locked;
    size_t locked_bytes;
    bool capturing, rehearsing;
    bool reads_host; /* the device reads the host's own memory, too, and not only what is page-locked */
    struct rn_nccl *nccl;
    struct rn_blas *blas;
    struct rn_cudnn *cudnn;
} rn_cuda_device;

static inline rn_cuda_device *rn_cuda_of(const rn_backend *be)
{
    return (rn_cuda_device *)be->priv;
}

/* Each fills in the backend's slots of its room. */
void rn_cuda_set_memory(rn_backend *be);
void rn_cuda_set_streams(rn_backend *be);
void rn_cuda_set_graphs(rn_backend *be);
/* Gives back what the memory's room keeps of its own. */
void rn_cuda_free_rooms(rn_cuda_device *c);

#endif
