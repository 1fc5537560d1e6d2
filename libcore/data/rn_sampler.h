/* SPDX-License-Identifier: MIT */
/* The order in which an epoch visits the records of a store. */
#ifndef RN_SAMPLER_H
#define RN_SAMPLER_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Fills order[0..n-1]: with `shuffle` the permutation of (seed, epoch), a Fisher-Yates shuffle of 0..n-1 drawn from
 * RN_STREAM_SHUFFLE; without, key order. Every image comes exactly once an epoch. n may be 0.
 */
void rn_sampler_order(uint64_t seed, uint32_t epoch, bool shuffle, uint32_t n, uint32_t *order);

#endif
