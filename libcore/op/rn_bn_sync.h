/* SPDX-License-Identifier: MIT */
/*
 * Batch normalisation over the rows of all ranks, for backends whose sums are in host memory: what a bn op calls between its
 * reading and its writing pass when its `comm` is set. Every rank has as many rows. Results are the same bits on every rank.
 */
#ifndef RN_BN_SYNC_H
#define RN_BN_SYNC_H

#include <stdint.h>

#include "base/rn_comm.h"

/* mean[c] and m2[c] (sum of squared deviations from it) of `rows` rows: in, this rank's; out, those of all ranks'. */
int rn_bn_sync_moments(rn_comm *comm, int64_t rows, int c, double *mean, double *m2);
/* Sums of two vectors of c, in one exchange. */
int rn_bn_sync_sums(rn_comm *comm, int c, double *a, double *b);

#endif
