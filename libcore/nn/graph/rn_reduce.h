/* SPDX-License-Identifier: MIT */
/*
 * The gradients of a net's ranks on devices, added up. Each bucket, once the backward pass has it ready, goes its way on a stream
 * of its own, behind an event, while the pass goes on:
 *   - from device to device (rn_backend.ranks_sum), in place; the host launches and waits for nothing; or
 *   - through page-locked memory: copied out, added up by rn_comm in the order of ranks, to the bits that the CPU's ranks come
 *     to, copied back. The host does so when all of the pass is launched; where batch norm's statistics go through the host as
 *     well, and it would wait there, bucket by bucket.
 * What is launched after the backward pass waits for all of them: fork and join are both within the pass.
 * For the files of this room only; a rn_reduce is a training net's in several ranks, on a device that has streams.
 */
#ifndef RN_REDUCE_H
#define RN_REDUCE_H

#include "nn/graph/rn_net_impl.h"

typedef struct rn_reduce rn_reduce;

/* net->reduce stays NULL where there is nothing to do: one rank, an evaluation net, the CPU. */
int rn_reduce_open(rn_net *net);
void rn_reduce_close(rn_net *net);

/* Around a backward pass: at its beginning, when node i is launched, and at its end. Nothing is done unless rn_net_set_overlap
 * asked for it; a watched net's batch has been counted before. */
int rn_reduce_begin(rn_net *net);
int rn_reduce_after(rn_net *net, int node);
int rn_reduce_end(rn_net *net);

/* What rn_net_reduce does on a device: all that the backward pass has not; the mean of `n` values over ranks. */
int rn_reduce_all(rn_net *net);
int rn_reduce_mean(rn_net *net, float *v, int64_t n);

#endif
