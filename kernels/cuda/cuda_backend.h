/* SPDX-License-Identifier: MIT */
/*
 * The CUDA backend: what its rooms know of it beyond rn_backend.h. Everything runs in the order of its stream; nothing here
 * waits but sync, event_ms and the copies that say so.
 */
#ifndef CUDA_BACKEND_H
#define CUDA_BACKEND_H

#include "op/rn_backend.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Scratch of the ops, device memory, 256-byte aligned, contents undefined; good until the next call of rn_cuda_scratch. One
 * stream at a time uses ops that ask for it. It grows to the largest that was asked for, or would have been by what was rehearsed
 * (rn_backend.h): a net does that when it is laid out, so that no step allocates.
 */
int rn_cuda_scratch(struct rn_backend *be, size_t bytes, void **out);
/* Whether what is given now is only to find out how much that will be (rn_backend.rehearse_begin). */
bool rn_cuda_rehearsing(const struct rn_backend *be);

/*
 * Page-locked memory of the host, contents undefined; good until the next call of rn_cuda_locked, and for copies in one stream.
 * It grows as the scratch does.
 */
int rn_cuda_locked(struct rn_backend *be, size_t bytes, void **out);

int rn_cuda_multiprocessors(const struct rn_backend *be);
/* Where cuda_nccl.cu keeps what it has opened. */
struct rn_nccl **rn_cuda_nccl(const struct rn_backend *be);
/* Where cuda_blas.cu does. */
struct rn_blas **rn_cuda_blas(const struct rn_backend *be);
/* Major * 10 + minor of the compute capability: 80, 90. */
int rn_cuda_capability(const struct rn_backend *be);

#ifdef __cplusplus
}
#endif

#endif
