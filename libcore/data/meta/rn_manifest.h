/* SPDX-License-Identifier: MIT */
/*
 * What is known of a set of archives beforehand: names, sizes, digests, how many images in how many classes, and which
 * images are odd without being damaged. ILSVRC2012's is built in (datasets/ilsvrc2012/manifest.json); any other set of
 * the same form can have one as a file of the same format, "rnkit-manifest-1" in docs/formats.md. What is not known is
 * absent.
 */
#ifndef RN_MANIFEST_H
#define RN_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rn_digest.h"
#include "data/meta/rn_findings.h"

#define RN_MANIFEST_FORMAT "rnkit-manifest-1"

enum { RN_MANIFEST_NAME_MAX = 250 };

typedef struct rn_manifest_archive {
    char file[RN_MANIFEST_NAME_MAX + 1]; /* no folder */
    int64_t bytes;                       /* -1: not known */
    char md5[33], sha256[65];            /* lower-case hex, "": not known */
    int split;                           /* index of its shape, -1: none is known */
} rn_manifest_archive;

/* Counts are -1 where they are not known. */
typedef struct rn_shape {
    char name[RN_MANIFEST_NAME_MAX + 1]; /* "train", "val", "test", or an archive's file name */
    int64_t images, annotations, classes;
    int64_t least, most; /* images (without images: annotations) in the smallest and the largest class */
    int nper;            /* 0: single classes are not known */
    struct rn_shape_class {
        char *name;
        int64_t images; /* or annotations */
    } * per;            /* nper, in the order of names */
} rn_shape;

typedef struct rn_manifest {
    char *name; /* of the set: "ILSVRC2012" */
    char *from; /* file it was read from, "the published list" for the one built in */
    rn_manifest_archive *archive;
    int narchives;
    rn_shape *shape;
    int nshapes;
    struct rn_known {
        enum rn_kind kind;
        char name[RN_MANIFEST_NAME_MAX + 1]; /* of an image, no folder */
    } * known;                               /* in the order of (kind, name) */
    int nknown;
} rn_manifest;

/*
 * Parses n bytes of JSON; `from` stands for the file in messages and is copied. RN_E_FORMAT names the line (no JSON) or
 * the field (unknown, missing, of another type, negative, no hex, a name with a folder, twice the same, counts that
 * contradict each other). Nothing outside the text is looked at. Thread-safe.
 */
int rn_manifest_parse(const char *text, size_t n, const char *from, rn_manifest **out);
int rn_manifest_read(const char *path, rn_manifest **out); /* at most 64 MiB */
void rn_manifest_close(rn_manifest *m);                    /* accepts NULL, and one half built */

/* ILSVRC2012's, parsed at the first call and kept for the life of the process. NULL, with a message, when memory is
 * short. */
const rn_manifest *rn_manifest_builtin(void);

/* Writes it so that rn_manifest_read gives it back; whole or not at all. */
int rn_manifest_write(const rn_manifest *m, const char *path);

/* For the row of a path's last component, or NULL. */
const rn_manifest_archive *rn_manifest_find(const rn_manifest *m, const char *path);
const rn_shape *rn_manifest_shape(const rn_manifest *m, const char *name);
/* Is this oddity of this image (path's last component) known? */
bool rn_manifest_knows(const rn_manifest *m, enum rn_kind kind, const char *path);

/* ---- MD5SUMS --------------------------------------------------------------------------------------------- */

/* A file of "MD5  NAME" lines, as md5sum writes them; lines that start with # are passed over. */
typedef struct rn_sums {
    struct rn_sum {
        char name[256], md5[33];
    } * row;
    int n;
    char path[1024];
} rn_sums;

int rn_sums_read(const char *path, rn_sums *out);
int rn_sums_parse(char *text, const char *path, rn_sums *out); /* the same from memory; text is cut up */
void rn_sums_free(rn_sums *s);                                 /* accepts a zeroed one */

/* What the sums (may be NULL or empty) say of a path's last component, or NULL. */
const char *rn_sums_find(const rn_sums *s, const char *path);

/* Expected MD5 of a file by its last path component: the sums (may be NULL or empty) win over the published ones. NULL
 * if neither knows it. `from` (may be NULL) says where it comes from. */
const char *rn_expected_md5(const rn_sums *s, const char *path, const char **from);

/* Fails with RN_E_MISMATCH and the remedy unless `got` is `expected`. */
int rn_check_md5(const char *path, const char *got, const char *expected, const char *from);

/* ---- names ----------------------------------------------------------------------------------------------- */

bool rn_is_wnid(const char *s);                         /* n and eight digits */
bool rn_is_class_tar(const char *s);                    /* a WNID and .tar */
bool rn_is_train_name(const char *s, const char *wnid); /* <wnid>_<digits>.JPEG; any WNID for NULL */
bool rn_is_image_name(const char *s); /* letters, digits, _ - . and the end .JPEG: safe as a file's name */
/* Number of "ILSVRC2012_<split>_<eight digits>.JPEG", -1 for any other name. */
int rn_numbered_name(const char *s, const char *split);

const char *rn_base_name(const char *path);

#endif
