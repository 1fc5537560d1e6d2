/* SPDX-License-Identifier: MIT */
/*
 * Is it what it should be? Archives by digest and structure, a tree of images, a packed set. Each call fills a report
 * and returns 0 when it could look at everything, whatever it found; RN_E_* when it could not. RN_BAD findings make a
 * set wrong; RN_NOTE are oddities that do no harm, RN_KNOWN those that a manifest names (a PNG, CMYK JPEGs in
 * ILSVRC2012).
 */
#ifndef RN_VERIFY_H
#define RN_VERIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "data/meta/rn_devkit.h"
#include "data/meta/rn_findings.h"
#include "data/meta/rn_manifest.h"

/* ---- archives -------------------------------------------------------------------------------------------- */

enum rn_verdict {
    RN_UNKNOWN = 0, /* nothing is known to hold it against */
    RN_RIGHT,
    RN_WRONG,      /* another digest or size */
    RN_UNREADABLE, /* the disk or the permissions */
    RN_MISSING     /* listed, but not there */
};

/* What an archive should be; texts are borrowed. */
typedef struct rn_expected {
    const char *md5, *sha256; /* NULL: not known */
    const char *from;         /* where the first of them is from; NULL if both are NULL */
    int64_t bytes;            /* -1: not known */
    const rn_shape *shape;    /* NULL: not known */
} rn_expected;

typedef struct rn_verify_archive {
    /* set by the caller, borrowed */
    const char *path;
    rn_expected expected;
    const rn_manifest *manifest; /* of known oddities; may be NULL */
    bool structure;              /* also walk the archive */
    bool oddities;               /* and look at every image's header on the way */
    bool sha256;                 /* also the SHA-256 */

    char md5[RN_DIGEST_HEX_MAX], sha256_hex[RN_DIGEST_HEX_MAX]; /* "" when it was not computed */
    uint64_t bytes;
    enum rn_verdict verdict;
    uint64_t images, annotations; /* bounding boxes: XML files */
    uint64_t least, most;         /* images (or annotations) in the smallest and largest class */
    int classes;
    struct rn_class_count {
        char wnid[16];
        uint64_t images; /* or annotations */
    } * count;           /* classes of them, in the order of names */
    rn_findings found;
} rn_verify_archive;

/*
 * What is known of a file by its last path component. Of `sums` (given by the user), `m` (given), `beside` (the
 * folder's MD5SUMS) and the built-in manifest, each may be NULL but the last, the first that knows an MD5 wins; what a
 * manifest says besides counts only of the archive of that MD5, since another set's archive may bear the same name.
 */
int rn_expect(const char *path, const rn_sums *sums, const rn_manifest *m, const rn_sums *beside, rn_expected *out);

/* Compares sizes alone: of those that differ the verdict is RN_WRONG and a finding RN_K_SIZE. Costs nothing. */
void rn_verify_sizes(rn_verify_archive *a, int n);

/* Several archives at once, `jobs` of them; each is read once. Findings must be initialised. Those that are RN_MISSING
 * are passed over, and those of more than a gigabyte whose size is wrong already, unless their structure is asked for.
 */
int rn_verify_archives(rn_verify_archive *a, int n, int jobs);
/* After that: counts of train (or of tars of single classes) and val against the devkit. Adds to the archives' findings. */
void rn_verify_against_devkit(rn_verify_archive *a, int n, const rn_devkit *d, const char *devkit_path);
void rn_verify_archive_free(rn_verify_archive *a);

/* A manifest of archives whose structure, oddities and both digests were looked at and found good; `devkit` may be
 * NULL, else it gives val's classes. */
int rn_verify_manifest(const char *name, const rn_verify_archive *a, int n, const rn_devkit *devkit, rn_manifest **out);

/* ---- trees and packed sets ------------------------------------------------------------------------------- */

typedef struct rn_verify_opts {
    bool decode; /* every image in full */
    int jobs;
    const rn_manifest *manifest; /* counts and oddities to hold against; may be NULL: oddities are ILSVRC2012's */
    const char *against;         /* folder of archives or of Caffe's lists: names and labels; may be NULL */
} rn_verify_opts;

typedef struct rn_verify_set {
    int classes;
    uint64_t images, bytes;
    uint64_t least, most;             /* images in the smallest and largest class */
    uint64_t gray, cmyk, png, warned; /* warned: decoded only */
    uint64_t decoded;
    rn_findings found;
    struct rn_verify_class {
        char *name; /* class, or split/class */
        uint64_t images;
    } * class;                      /* classes of them */
    char against[512];              /* what names, counts and labels were held against, for people; "" for nothing */
    char digest[RN_DIGEST_HEX_MAX]; /* packed sets: SHA-256 of the seal; "" when unsealed */
} rn_verify_set;

/* DIR/<class>/files, or DIR/{train,val,test}/ of that (then counts are held against what ilsvrc-extract noted). */
int rn_verify_tree(const char *dir, const rn_verify_opts *opts, rn_verify_set *out);
/* Seal, counts, the content digest over every record; decode: every image. */
int rn_verify_lmdb(const char *path, const rn_verify_opts *opts, rn_verify_set *out);
void rn_verify_set_free(rn_verify_set *s);

/* ---- reports --------------------------------------------------------------------------------------------- */

/* On stdout, for machines (a tool's --json) and for people. A name that is no UTF-8 has its odd bytes as \xNN in JSON.
 */
int rn_verify_archives_json(const rn_verify_archive *a, int n);
void rn_verify_archive_text(const rn_verify_archive *v);
int rn_verify_set_json(const char *what /* "tree", "lmdb" */, const char *path, const rn_verify_opts *opts,
                       const rn_verify_set *s);
void rn_verify_set_text(const char *path, const rn_verify_opts *opts, const rn_verify_set *s);

/* On stderr: what is known, then notes (the first few of each kind, all if the log is verbose), then bad findings as
 * errors. `except`: a kind that is told already, -1 for none. */
void rn_verify_say(const rn_findings *f, int except);

#endif
