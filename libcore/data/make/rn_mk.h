/* SPDX-License-Identifier: MIT */
/*
 * Makes archives of exactly ILSVRC2012's form out of other pictures (mkilsvrc): ILSVRC2012_img_train.tar, a tar of one tar
 * per WNID in no particular order; ILSVRC2012_img_val.tar, flat, not in name order; ILSVRC2012_devkit_t12.tar.gz, whose ids
 * are not in WNID order and whose inner nodes follow the leaves; MD5SUMS. The same source, seed and options give the same
 * bytes at any number of threads.
 */
#ifndef RN_MK_H
#define RN_MK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rn_io.h"

enum rn_mk_split { RN_MK_TRAIN = 0, RN_MK_VAL = 1 };

/* Where the pictures come from. Items of a split are numbered 0..n-1 in the source's own order. */
typedef struct rn_mk_source {
    int nclasses;
    char (*wnid)[16]; /* ASCII-sorted: index = label */
    char **words;
    uint32_t n[2];     /* items, by split */
    int32_t *label[2]; /* n labels each */
    char about[512];   /* one line: where they come from, counts; goes into MD5SUMS and the devkit's readme */
    /* JPEG of item i, appended to an empty buffer. Thread-safe. */
    int (*jpeg)(const struct rn_mk_source *s, int split, uint32_t i, int quality, rn_buf *out);
    void (*close)(void *self);
    void *self;
} rn_mk_source;

/* idx files of MNIST's family in `dir`, gzipped or not: train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-... */
int rn_mk_open_idx(const char *dir, rn_mk_source *out);

/* Coloured textures, a class each by hue, grating and shape, with noise: learnable, and generated from (seed, item). */
typedef struct rn_mk_synth_opts {
    int classes, train_per_class, val; /* val in all, spread evenly */
    int width, height;
    int vary; /* per cent: sides are drawn from size * (100 +- vary) / 100 */
    uint64_t seed;
} rn_mk_synth_opts;
int rn_mk_open_synth(const rn_mk_synth_opts *opts, rn_mk_source *out);

/* Folders of class folders. JPEG files go in byte for byte, anything else that decodes is encoded. Class folders named by
 * WNIDs keep them, others get made-up ones in the folders' order. */
int rn_mk_open_tree(const char *train_dir, const char *val_dir, rn_mk_source *out);

/* Takes WNIDs and words from lines "n01440764 tench, Tinca tinca": one a class, WNIDs ascending. */
int rn_mk_read_classes(rn_mk_source *s, const char *path);

void rn_mk_close(rn_mk_source *s); /* accepts a zeroed one */

/* For sources: room for classes with made-up WNIDs n90000000.. and words "class K"; RN_E_NOMEM. */
int rn_mk_alloc_classes(rn_mk_source *s, int n);

typedef struct rn_mk_opts {
    int quality;      /* of what is encoded, 1..100 */
    uint64_t seed;    /* orders, ids, numbers in names */
    int64_t limit[2]; /* per class and split; 0: all */
    int jobs;
    bool force;        /* make them again although they are there */
    const char *truth; /* file for lines "ILSVRC2012_val_00000001.JPEG LABEL WNID", or NULL */
} rn_mk_opts;

typedef struct rn_mk_result {
    uint32_t train, val;
    uint64_t bytes; /* of the archives */
    bool already;   /* the same archives were there already */
} rn_mk_result;

int rn_mk_write(const rn_mk_source *s, const rn_mk_opts *opts, const char *out_dir, rn_mk_result *result);

#endif
