/* SPDX-License-Identifier: MIT */
/* `rn-train predict --weights FILE IMAGE...`: the most probable classes of image files. */
#ifndef RN_PREDICT_H
#define RN_PREDICT_H

#include "op/rn_backend.h"

/*
 * The command: options, work, results on stdout. argv[0] is "predict". Images take the evaluation transform of the
 * weights' recipe (short side, centre crop, mean and deviation) and are decoded as the loader decodes; with the same
 * --batch, precision and algorithms their logits are --eval-only's to the bit. An image that cannot be read is
 * one line on stderr, the others are still predicted. Returns the exit code.
 */
int rn_predict_main(int argc, char **argv, const rn_backend_entry *backends);

#endif
