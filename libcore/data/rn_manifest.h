/* SPDX-License-Identifier: MIT */
/* What is known of ILSVRC2012's files beforehand: their digests and sizes, and the form of the names inside. */
#ifndef RN_MANIFEST_H
#define RN_MANIFEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rn_digest.h"

typedef struct rn_published {
    const char *name;
    uint64_t bytes; /* 0: not known for sure */
    const char *md5;
} rn_published;

/* The row for a path's last component, or NULL. */
const rn_published *rn_published_find(const char *path);

/* A file of "MD5  NAME" lines, as md5sum writes them; lines that start with # are passed over. */
typedef struct rn_sums {
    struct rn_sum {
        char name[256], md5[33];
    } * row;
    int n;
    char path[1024];
} rn_sums;

int rn_sums_read(const char *path, rn_sums *out);
void rn_sums_free(rn_sums *s); /* accepts a zeroed one */

/* Expected MD5 of a file by its last path component: the sums (may be NULL or empty) win over the published ones. NULL if
 * neither knows it. `from` (may be NULL) says where it comes from. */
const char *rn_expected_md5(const rn_sums *s, const char *path, const char **from);

/* Fails with RN_E_MISMATCH and the remedy unless `got` is `expected`. */
int rn_check_md5(const char *path, const char *got, const char *expected, const char *from);

bool rn_is_wnid(const char *s);                         /* n and eight digits */
bool rn_is_train_name(const char *s, const char *wnid); /* <wnid>_<digits>.JPEG; any WNID for NULL */
bool rn_is_image_name(const char *s); /* letters, digits, _ - . and the end .JPEG: safe as a file's name */
/* Number of "ILSVRC2012_<split>_<eight digits>.JPEG", -1 for any other name. */
int rn_numbered_name(const char *s, const char *split);

const char *rn_base_name(const char *path);

#endif
