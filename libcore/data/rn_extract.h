/* SPDX-License-Identifier: MIT */
/*
 * Archives to files. OUT_DIR/train/<wnid>/ and OUT_DIR/val/<wnid>/ (through the devkit), OUT_DIR/test/, and lists in
 * Caffe's form. A split is built inside OUT_DIR/.rnkit/ and renamed into place when every count and, if asked for, the
 * archive's MD5 is right: OUT_DIR/train that exists is whole. Killed at any moment, the same call goes on: classes (train)
 * and runs of 512 images (val, test) that had reached the disk are neither read nor written again.
 * What was made of an archive whose MD5 turned out wrong is removed again.
 *
 *   .rnkit/lock             held while someone works here
 *   .rnkit/<split>.json     what it is extracted from, and "state": "extracting" or "whole"
 *   .rnkit/<split>/tree/    what will be OUT_DIR/<split>
 *   .rnkit/train/part/      classes being written; renamed into tree/ when on disk
 *   .rnkit/val/done/        a mark for each run of images that is on disk
 */
#ifndef RN_EXTRACT_H
#define RN_EXTRACT_H

#include <stdbool.h>
#include <stdint.h>

enum rn_split { RN_SPLIT_TRAIN = 0, RN_SPLIT_VAL = 1, RN_SPLIT_TEST = 2, RN_NSPLITS = 3 };
extern const char *const rn_split_names[RN_NSPLITS + 1]; /* NULL-terminated */

typedef struct rn_extract_opts {
    unsigned splits; /* bit (1 << enum rn_split) */
    bool verify;     /* MD5 of archive and devkit on the same pass */
    int jobs;
} rn_extract_opts;

typedef struct rn_extract_result {
    bool wanted, already;   /* already: whole before this call */
    int classes;            /* 0 for test */
    uint64_t images, bytes; /* of the images */
    char md5[33];           /* of the archive if verified, now or when it was extracted; else "" */
    double seconds;
} rn_extract_result;

/* RN_E_NOENT: an archive or the devkit is not in raw_dir; RN_E_MISMATCH: wrong MD5, or archive and devkit do not fit;
 * RN_E_NOSPACE. What earlier calls finished stays. */
int rn_extract(const char *raw_dir, const char *out_dir, const rn_extract_opts *opts,
               rn_extract_result result[RN_NSPLITS]);

#endif
