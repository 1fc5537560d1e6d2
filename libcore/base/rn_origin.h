/* SPDX-License-Identifier: MIT */
/* Where an image of a batch lay in the one it was cut out of: what its data set's mean image is taken at. */
#ifndef RN_ORIGIN_H
#define RN_ORIGIN_H

#include <stdint.h>

typedef struct rn_origin {
    int32_t x, y;   /* its corner, pixels */
    int32_t mirror; /* 1: left and right were then exchanged */
} rn_origin;

#endif
