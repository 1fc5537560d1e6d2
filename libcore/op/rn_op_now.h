/* SPDX-License-Identifier: MIT */
/*
 * For backends whose device memory is the host's: what an argument block of rn_op.h leaves to be read from there (`now` and the like),
 * put into its own fields, so that kernels need not know of it.
 */
#ifndef RN_OP_NOW_H
#define RN_OP_NOW_H

#include "op/rn_op.h"

rn_op_xent rn_op_xent_of_now(const rn_op_xent *a);
rn_op_distill rn_op_distill_of_now(const rn_op_distill *a);
rn_op_dropout rn_op_dropout_of_now(const rn_op_dropout *a);
rn_op_clip rn_op_clip_of_now(const rn_op_clip *a);
/* False: there is nothing to be done. */
bool rn_op_sgd_of_now(const rn_op_sgd *a, rn_op_sgd *out);
bool rn_op_axpby_of_now(const rn_op_axpby *a, rn_op_axpby *out);
/* What clip makes of a loss scale that moves, after a step. False: it has fallen below the floor. */
bool rn_loss_scale_move(rn_loss_scale *s, bool overflowed);
/* clip's result: `stop`, if a loss or what came before is not finite; `taken`, if the step is to be taken. */
float rn_op_clip_result(const rn_op_clip *a, bool stop, float taken);

/* Of a batch norm: `now` is its momentum_now. */
static inline float rn_op_momentum_of_now(const float *now, float momentum)
{
    return now ? *now : momentum;
}

#endif
