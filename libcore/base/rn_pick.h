/* SPDX-License-Identifier: MIT */
/*
 * One image of a batch, told by where its pixels lie among images that are all in memory already: which of them, which part, mirrored,
 * with a hole painted over and mixed with the one before. What a loader draws at random for an image, and what
 * the op `pick` (op/rn_op.h) makes pixels of, wherever these images are.
 */
#ifndef RN_PICK_H
#define RN_PICK_H

#include <stdint.h>

#define RN_PICK_NONE  UINT32_MAX /* as a record: all zeros */
#define RN_PICK_WHOLE 65536u     /* as a share: not mixed */

typedef struct rn_pick {
    uint32_t record;
    uint32_t
        share;    /* of 65536 that it has of its own pixels; the rest is of the pick before it in memory (rn_mixup.h) */
    int16_t x, y; /* the output's corner in the stored image, which may lie outside; what does is black */
    int16_t hole_x, hole_y, hole_w, hole_h; /* of the output, mirrored already; sides 0: none */
    uint32_t mirror;                        /* 1: left and right of the output are exchanged */
} rn_pick;

#endif
