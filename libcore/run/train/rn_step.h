/* SPDX-License-Identifier: MIT */
/*
 * One optimizer step of a training session, in this order:
 *   (a) forward and backward of each batch, their gradients added up to a mean
 *   (b) over the ranks of a parallel run: the mean of theirs
 *   (c) the gradients' norm, by which all of them are known to be finite
 *   (d) clipping
 *   (e) the update
 *   (f) the running average of the weights
 * A step that fails leaves weights and momentum as they were, unless it says otherwise.
 */
#ifndef RN_STEP_H
#define RN_STEP_H

#include "run/train/rn_session.h"

typedef struct rn_step rn_step;

/* Which step: where its batches stand in the epoch, and its rate. */
typedef struct rn_step_at {
    int64_t epoch, batch; /* of the first batch */
    int batches;          /* >= 1; more than 1 only if the recipe accumulates */
    double lr;
} rn_step_at;

typedef struct rn_step_result {
    rn_sums sums;     /* over the step's images; seconds is wall time, waited the part of it spent on the loader */
    double grad_norm; /* of the mean gradient, before clipping */
} rn_step_result;

int rn_step_open(rn_session *s, rn_step **out); /* a training session, which must outlive it */
void rn_step_close(rn_step *st);                /* accepts NULL */

/* The loader must stand at at->batch. RN_E_MISMATCH: a loss or gradient that is not finite. */
int rn_step_run(rn_step *st, const rn_step_at *at, rn_step_result *out);

#endif
