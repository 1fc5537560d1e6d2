/* SPDX-License-Identifier: MIT */
/*
 * The mean image of a packed set, as Caffe's compute_image_mean makes it: BlobProto with num = 1, channels, height,
 * width and data, BGR planes, for subtraction before cropping. All images must be of one size. Sums are exact 64-bit integers, so the
 * result depends on neither order nor threads; Caffe adds in float, which over 65,793 images rounds in the last digits.
 */
#ifndef RN_MEAN_H
#define RN_MEAN_H

#include "data/store/rn_store.h"

typedef struct rn_mean {
    int channels, height, width;
    float *data;       /* channels * height * width, planar BGR; free() */
    double channel[4]; /* mean of each plane, blue first */
} rn_mean;

/* Reads (and decodes, where encoded) every record. RN_E_MISMATCH names the first record of another size. */
int rn_mean_compute(rn_store *store, int jobs, rn_mean *out);

/* Reads a BlobProto of one image (num 1, or the newer shape), 1 or 3 channels. RN_E_FORMAT: it is none; values that are not
 * finite. */
int rn_mean_read(const char *path, rn_mean *out);

/* Writes the BlobProto atomically. */
int rn_mean_write(const rn_mean *m, const char *path);

#endif
