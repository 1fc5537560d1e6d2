/* SPDX-License-Identifier: MIT */
/* The teacher of a distillation: a net of any architecture, opened from its weights file for the session's batches. */
#ifndef RN_TEACHER_H
#define RN_TEACHER_H

#include "base/rn_digest.h"
#include "run/train/rn_session.h"

/*
 * Opens the recipe's --teacher on the session's backend and has the session's training net learn from it. `opts` is
 * the training net's. Fills s->teacher and s->teacher_digest. RN_E_MISMATCH: other classes or channels than the data have;
 * RN_E_FORMAT, RN_E_IO: no such weights.
 */
int rn_teacher_open(rn_session *s, const rn_model_spec *student, const rn_net_opts *opts);

#endif
