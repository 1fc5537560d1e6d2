/* SPDX-License-Identifier: MIT */
/* Private to verification: one image's bytes, decoded or only looked at. */
#ifndef RN_VERIFY_IMAGE_H
#define RN_VERIFY_IMAGE_H

#include "data/rn_image.h"
#include "data/rn_verify.h"

/* Counts by several threads at once. */
typedef struct rn_image_counts {
    _Atomic uint64_t images, bytes, decoded, gray, cmyk, png, warned;
} rn_image_counts;

/* `scratch` is reused between calls of one thread. */
void rn_verify_image(const uint8_t *data, size_t n, const char *name, bool decode, rn_image *scratch,
                     rn_image_counts *counts, rn_verify_set *set);
void rn_verify_take_counts(const rn_image_counts *counts, rn_verify_set *set);

#endif
