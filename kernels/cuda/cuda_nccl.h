/* SPDX-License-Identifier: MIT */
/*
 * Ranks that each have a device of their own: sums from device to device by NCCL, which is loaded when ranks ask for it
 * (libnccl.so.2, or what RNKIT_NCCL_LIBRARY names) and by nobody else. Its identity travels by rn_comm. One communicator for all
 * streams: it does one thing after the other, in the order in which all ranks ask.
 *
 * What is asked of it here is in the order of a stream, of memory that stays where it is, and decided without looking at
 * results: a step of it can be captured, once every size has been asked for.
 */
#ifndef CUDA_NCCL_H
#define CUDA_NCCL_H

#include "op/rn_backend.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The slots of rn_backend. */
int rn_nccl_open(struct rn_backend *be, struct rn_comm *comm, bool vary);
int rn_nccl_sum(struct rn_backend *be, float *v, int64_t n, bool mean, rn_stream s);
void rn_nccl_close(struct rn_backend *be);

/*
 * What has gone wrong, on this rank or another: before something captured is given again, and while the host waits. From the first
 * RN_E_IO on sums are given up, what was under way comes to an end, and nothing that it leaves means anything.
 */
int rn_nccl_check(const struct rn_backend *be);
/* Whether whoever waits for a stream has to ask rn_nccl_check meanwhile. */
bool rn_nccl_waits(const struct rn_backend *be);
/* How often the memory of rn_nccl_gather has moved: what is captured holds on to it. */
uint64_t rn_nccl_moves(const struct rn_backend *be);

/* Whether sums over these ranks go this way. */
bool rn_nccl_joins(const struct rn_backend *be, const struct rn_comm *comm);
/* The n doubles of every rank, in rank order: device memory, good until the next call. */
int rn_nccl_gather(struct rn_backend *be, const double *mine, int64_t n, double **all, void *stream);

#ifdef __cplusplus
}
#endif

#endif
