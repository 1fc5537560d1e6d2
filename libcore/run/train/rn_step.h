/* SPDX-License-Identifier: MIT */
/*
 * One optimizer step of a training session, in this order:
 *   (a) forward and backward of each batch, their gradients added up to a mean
 *   (b) over the ranks of a parallel run: the mean of theirs
 *   (c) the gradients' norm, the loss scale taken out of it, by which all of them are known to be finite
 *   (d) clipping
 *   (e) the update
 *   (f) the running average of the weights
 * A loss or gradient that is not finite fails before (e): weights and momentum are as they were. Weights that the update
 * has made so fail after it. A step whose gradients overflow under a dynamic loss scale is skipped instead: weights,
 * momentum and average stay as they are. Its batches count as seen all the same, by the learning rate's schedule and, as
 * in PyTorch's AMP, by the running statistics of batch norms, which the forward pass has brought up to date by then.
 */
#ifndef RN_STEP_H
#define RN_STEP_H

#include "nn/optim/rn_loss_scale.h"
#include "run/train/rn_session.h"

typedef struct rn_step rn_step;

/* Which step: where its batches stand in the epoch, and its rate. */
typedef struct rn_step_at {
    int64_t step;         /* counted from 0 over the run */
    int64_t epoch, batch; /* of the first batch */
    int batches;          /* 1 to the recipe's accumulate */
    bool more;            /* another step follows at once */
    double lr, momentum;
} rn_step_at;

typedef struct rn_step_result {
    /* over the step's images; seconds is wall time, since the end of the step before where they overlap; waited the part of it
     * spent on the loader while the device had nothing to do */
    rn_sums sums;
    double grad_norm; /* of the gradient that is clipped, before that; not finite when it was skipped */
    bool skipped;
    rn_loss_scale loss_scale; /* the next step's */
    bool not_finite;          /* why it failed: the message says what and where it began */
    bool untouched; /* it failed before its first batch was run: weights and statistics are those of the step before */
} rn_step_result;

int rn_step_open(rn_session *s, rn_step **out); /* a training session, which must outlive it */
void rn_step_close(rn_step *st);                /* accepts NULL */
size_t rn_step_bytes(const rn_step *st);        /* of device memory, beside the nets' */

/* After the session's weights were set from outside, at the start: the average becomes a copy of them. */
int rn_step_start_average(rn_step *st);

/* Before the first step, where the run goes on from one that has found a dynamic loss scale: otherwise it begins as the recipe says. */
int rn_step_start_loss_scale(rn_step *st, const rn_loss_scale *from);

/* Gives back the batches that the last step holds, or has taken for the next: before the session's loader is closed or sought. */
void rn_step_let_go(rn_step *st);

/*
 * A step in parts: what is given to the device, and the look at what came of it, which waits for it. Where steps overlap, the
 * next may begin before the look at this one, so that the device goes on meanwhile; likewise each of a step's batches is looked at
 * while the next one is under way, if the loader has that by now. What comes out is the same to the bit: no step
 * depends on what the host finds in the one before, but that there is one. A step behind one that goes wrong changes no
 * weight, and the run ends with it.
 * Steps and batches do not overlap on backends that compute at once, and between ranks whose host adds up. Where devices of several
 * ranks do, all begin a step ahead or none: each waits for the others'.
 */
bool rn_step_overlaps(const rn_step *st);
/* Its first batch, where the loader must stand. At most two steps are under way, and all of the first one was given then. Fills in
 * why it failed, if it did; nothing is to be looked at then. */
int rn_step_give(rn_step *st, const rn_step_at *at, rn_step_result *out);
/* The oldest step's other batches, if there are any left. Fills in as rn_step_give; a loss or gradient may be found not to be finite. */
int rn_step_rest(rn_step *st, rn_step_result *out);
/* Of the oldest step that was given, and its rest, if nobody has. RN_E_MISMATCH with not_finite: a loss, gradient or weight is not finite. */
int rn_step_look(rn_step *st, rn_step_result *out);
/* All of it. */
int rn_step_run(rn_step *st, const rn_step_at *at, rn_step_result *out);

#endif
