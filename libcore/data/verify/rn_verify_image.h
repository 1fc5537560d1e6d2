/* SPDX-License-Identifier: MIT */
/* Private to verification: one image's bytes, decoded or only looked at. */
#ifndef RN_VERIFY_IMAGE_H
#define RN_VERIFY_IMAGE_H

#include "data/image/rn_image.h"
#include "data/verify/rn_verify.h"

/* Counts by several threads at once. */
typedef struct rn_image_counts {
    _Atomic uint64_t images, bytes, decoded, gray, cmyk, png, warned;
} rn_image_counts;

/* What is wanted, and where it goes; counts may be NULL. */
typedef struct rn_image_check {
    bool decode;
    const rn_manifest *manifest; /* of known oddities; may be NULL */
    rn_findings *found;
    rn_image_counts *counts;
} rn_image_check;

/* `name` as it stands in the report; known oddities go by its last component. `scratch` is reused between calls of one
 * thread; NULL will do without decode. */
void rn_verify_image(const rn_image_check *check, const uint8_t *data, size_t n, const char *name, rn_image *scratch);

/* An oddity of a kind: known by the manifest, or a note. */
void rn_verify_oddity(const rn_image_check *check, enum rn_kind kind, const char *name, const char *text);

void rn_verify_take_counts(const rn_image_counts *counts, rn_verify_set *set);

#endif
