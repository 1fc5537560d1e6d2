/* SPDX-License-Identifier: MIT */
/*
 * The factor on the loss that keeps gradients in f16 from underflow (Micikevicius et al. 2018, arXiv 1710.03740), and how
 * it finds itself: a step whose gradients overflow is left out and the factor halved; after `RN_LOSS_SCALE_GROWTH` steps
 * in a row that did not, it is doubled (torch.amp.GradScaler's numbers). Powers of two: neither scaling nor unscaling
 * rounds. The state goes into checkpoints. The op `clip` moves it, where the gradients are.
 *
 * Where every step overflows the factor would fall for ever, and a run that learns nothing look alive (PyTorch's issue
 * 40497): below RN_LOSS_SCALE_FLOOR that is an error.
 */
#ifndef RN_LOSS_SCALE_H
#define RN_LOSS_SCALE_H

#include <stdbool.h>

#include "op/rn_op.h" /* rn_loss_scale */

enum { RN_LOSS_SCALE_START = 65536 };

/* `text`: "none", "dynamic", "dynamic:START" or a number, 1 to 2^64; NULL: dynamic for f16 and none otherwise. RN_E_USAGE for
 * anything else. *dynamic: the scale moves; *start: 1 for none. */
int rn_loss_scale_parse(const char *text, bool f16, bool *dynamic, double *start);

/* After a step. RN_E_MISMATCH: it has fallen below the floor. */
int rn_loss_scale_check(const rn_loss_scale *s);

#endif
