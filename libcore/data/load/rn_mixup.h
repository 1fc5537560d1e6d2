/* SPDX-License-Identifier: MIT */
/*
 * mixup (Zhang et al. 2018) on uint8 batches, as FFCV does it: one share a batch, and image i is mixed with image i - 1
 * of the same batch (the first with the last). The order of a training batch being random, so is the partner.
 */
#ifndef RN_MIXUP_H
#define RN_MIXUP_H

#include <stddef.h>
#include <stdint.h>

#include "base/rn_rng.h"

/* A number of Beta(a, b), a, b > 0, from two gammas (Marsaglia & Tsang 2000) in logarithms: exact for small a, too, where the
 * gammas themselves would underflow. */
double rn_mixup_beta(rn_rng *r, double a, double b);

/* The share of batch `number` of `epoch`: Beta(alpha, alpha) rounded to 1/65536, out of RN_STREAM_MIXUP. 0..65536. */
uint32_t rn_mixup_share(uint64_t seed, uint32_t epoch, uint64_t number, double alpha);

/* Rows i = 0..n-1 of `row` bytes: (share * x[i] + (65536 - share) * x[i-1] + 32768) >> 16 in place, all of them of the
 * original rows. `scratch` has room for one row. */
void rn_mixup_rows(uint8_t *x, int n, size_t row, uint32_t share, uint8_t *scratch);
/* The same for rows that follow others: `before` is the original of the row before the first. */
void rn_mixup_rows_after(uint8_t *x, int n, size_t row, uint32_t share, const uint8_t *before);
/* labels2[i] = labels[i-1], the first that of the last. */
void rn_mixup_labels(const int32_t *labels, int n, int32_t *labels2);

#endif
