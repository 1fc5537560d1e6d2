/* SPDX-License-Identifier: MIT */
/*
 * Archives to files. OUT_DIR/train/<wnid>/ and OUT_DIR/val/<wnid>/ (through the devkit), OUT_DIR/test/, OUT_DIR/t3/<wnid>/,
 * OUT_DIR/bbox/..., and lists in Caffe's form. What one archive gives is built inside OUT_DIR/.rnkit/ and renamed into
 * place when every count and, if asked for, the archive's MD5 is right: OUT_DIR/train that exists is whole. Killed at any
 * moment, the same call goes on: pieces that had reached the disk (a class of train; a run of images elsewhere) are neither
 * read nor written again, unless the archive is to be verified: its digest needs every byte once more.
 * What was made of an archive whose MD5 turned out wrong is removed again.
 *
 *   .rnkit/lock             held while someone works here
 *   .rnkit/<name>.json      what it is extracted from, and "state": "extracting" or "whole"
 *   .rnkit/<name>/tree/     what will be OUT_DIR/<name>; in <name> of boxes "-" stands for "/"
 *   .rnkit/<name>/part/     classes being written; renamed into tree/ when on disk
 *   .rnkit/<name>/done/     a mark for each run that is on disk
 *
 * Memory: a fixed buffer a job, whatever the size of the archives, and 16 bytes a name in val, test and boxes.
 */
#ifndef RN_EXTRACT_H
#define RN_EXTRACT_H

#include <stdbool.h>
#include <stdint.h>

/* What one archive gives; the first RN_NSPLITS are images. */
enum rn_split {
    RN_SPLIT_TRAIN = 0,
    RN_SPLIT_VAL = 1,
    RN_SPLIT_TEST = 2,
    RN_SPLIT_T3 = 3, /* 120 breeds of dogs, the fine-grained task of 2012 */
    RN_NSPLITS = 4,
    RN_SPLIT_BBOX_TRAIN = 4, /* bounding boxes: XML files */
    RN_SPLIT_BBOX_TRAIN_DOGS = 5,
    RN_SPLIT_BBOX_VAL = 6,
    RN_SPLIT_BBOX_TEST_DOGS = 7,
    RN_NPARTS = 8
};
extern const char
    *const rn_split_names[RN_NPARTS + 1]; /* below OUT_DIR: "train" ... "bbox/test_dogs"; NULL-terminated */

#define RN_SPLITS_BBOX                                                                                                 \
    (1u << RN_SPLIT_BBOX_TRAIN | 1u << RN_SPLIT_BBOX_TRAIN_DOGS | 1u << RN_SPLIT_BBOX_VAL |                            \
     1u << RN_SPLIT_BBOX_TEST_DOGS)

typedef struct rn_extract_opts {
    unsigned splits; /* bit (1 << enum rn_split); of the boxes' archives those that are there are taken, one at least */
    bool verify;     /* MD5 of archive and devkit on the same pass */
    int jobs;
} rn_extract_opts;

typedef struct rn_extract_result {
    bool wanted, already;   /* already: whole before this call */
    int classes;            /* 0 where there are none */
    uint64_t images, bytes; /* of the images, or XML files */
    char md5[33];           /* of the archive if verified, now or when it was extracted; else "" */
    double seconds;
} rn_extract_result;

/* RN_E_NOENT: an archive or the devkit is not in raw_dir; RN_E_MISMATCH: wrong MD5, or archive and devkit do not fit;
 * RN_E_NOSPACE: also before anything is written, when the file system plainly has too little room. What earlier calls
 * finished stays. */
int rn_extract(const char *raw_dir, const char *out_dir, const rn_extract_opts *opts,
               rn_extract_result result[RN_NPARTS]);

#endif
