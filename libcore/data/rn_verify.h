/* SPDX-License-Identifier: MIT */
/*
 * Is it what it should be? Archives by digest and structure, a tree of images, a packed set. Each call fills a report and
 * returns 0 when it could look at everything, whatever it found; RN_E_* when it could not. `bad` findings make a set
 * wrong; `notes` are oddities that ILSVRC2012 is known to have (a PNG, CMYK JPEGs) or that do no harm.
 */
#ifndef RN_VERIFY_H
#define RN_VERIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "data/rn_devkit.h"
#include "data/rn_findings.h"
#include "data/rn_manifest.h"

/* ---- archives ---------------------------------------------------------------------------------------------- */

enum rn_verdict { RN_UNKNOWN = 0 /* no expected digest */, RN_RIGHT, RN_WRONG, RN_UNREADABLE };

typedef struct rn_verify_archive {
    const char *path;     /* set by the caller, borrowed */
    const char *expected; /* MD5 or NULL; set by the caller, borrowed */
    const char *from;     /* where it comes from */
    bool structure;       /* set by the caller: also walk the tars */
    char md5[RN_DIGEST_HEX_MAX];
    uint64_t bytes;
    enum rn_verdict verdict;
    int classes;                  /* inner tars */
    uint64_t images, least, most; /* in all; in the smallest and largest class */
    rn_findings bad, notes;
    struct rn_class_count {
        char wnid[16];
        uint64_t images;
    } * count; /* classes of them, in the archive's order */
} rn_verify_archive;

/* Several archives at once, `jobs` of them; each is read once. Findings must be initialised. */
int rn_verify_archives(rn_verify_archive *a, int n, int jobs);
/* After that: counts of train and val against the devkit. Adds to the archives' findings. */
void rn_verify_against_devkit(rn_verify_archive *a, int n, const rn_devkit *d, const char *devkit_path);
void rn_verify_archive_free(rn_verify_archive *a);

/* ---- trees and packed sets --------------------------------------------------------------------------------- */

typedef struct rn_verify_set {
    int classes;
    uint64_t images, bytes;
    uint64_t least, most;             /* images in the smallest and largest class */
    uint64_t gray, cmyk, png, warned; /* decoded only */
    uint64_t decoded;
    rn_findings bad, notes;
    struct rn_verify_class {
        char name[64]; /* class, or split/class */
        uint64_t images;
    } * class;
    char digest[RN_DIGEST_HEX_MAX]; /* packed sets: SHA-256 of the seal */
} rn_verify_set;

/* DIR/<class>/files, or DIR/{train,val,test}/ of that (then counts are held against what ilsvrc-extract noted). */
int rn_verify_tree(const char *dir, bool decode, int jobs, rn_verify_set *out);
/* Seal, counts, the content digest over every record; decode: every image. */
int rn_verify_lmdb(const char *path, bool decode, int jobs, rn_verify_set *out);
void rn_verify_set_free(rn_verify_set *s);

#endif
