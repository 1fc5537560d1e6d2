/* SPDX-License-Identifier: MIT */
/* 8-bit images in memory: interleaved rows, no padding; decode (libjpeg-turbo, libpng by content) and encode. */
#ifndef RN_IMAGE_H
#define RN_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct rn_image {
    int w, h, c;      /* c: 3 RGB or 1 gray */
    uint8_t *px;      /* h * w * c, owned; reused when `cap` suffices */
    size_t cap;
} rn_image;
int rn_image_alloc(rn_image *im, int w, int h, int c); /* contents undefined; keeps the buffer if large enough */
void rn_image_free(rn_image *im);                      /* zeroes; accepts a zeroed one */

enum rn_image_format { RN_IMG_UNKNOWN = 0, RN_IMG_JPEG, RN_IMG_PNG };
enum rn_image_format rn_image_sniff(const void *data, size_t n);

/* Facts found on the way, for verification. */
typedef struct rn_image_info {
    enum rn_image_format format;
    int w, h, components;     /* as stored */
    int warnings;             /* libjpeg warnings (corrupt data that was decoded all the same) */
    char warning[160];        /* the first one */
    bool cmyk;                /* 4-component JPEG */
} rn_image_info;

/* Size and components from the header alone. */
int rn_image_peek(const void *data, size_t n, rn_image_info *info);

enum rn_image_limits { RN_IMAGE_MAX_SIDE = 32768, RN_IMAGE_MAX_PIXELS = 178956970 /* Pillow's 2x bomb limit */ };

typedef struct rn_decode_opts {
    bool gray;            /* 1 channel wanted (grayscale sets); default RGB */
    int scale_min_side;   /* >0: may decode with DCT scaling to n/8 as long as the short side stays >= this (not exact) */
    bool strict;          /* libjpeg warnings fail (RN_E_FORMAT) */
} rn_decode_opts;

/*
 * Decodes to RGB the pixels Pillow's Image.open(f).convert("RGB") gives: libjpeg-turbo's defaults (ISLOW, fancy upsampling);
 * grayscale replicated; CMYK/YCCK with Pillow's inversion and MULDIV255; PNG's alpha dropped, palette and 16 bit expanded.
 * EXIF orientation ignored. A truncated file is RN_E_FORMAT (as in Pillow), huge declared sizes RN_E_RANGE before allocation.
 * `name` is for messages. Thread-safe.
 */
int rn_image_decode(const void *data, size_t n, const char *name, const rn_decode_opts *opts, rn_image *out,
                    rn_image_info *info /* may be NULL */);

/* Baseline JPEG, 4:2:0 (gray for c == 1), libjpeg-turbo's defaults, optimised Huffman off; quality 1..100. *data is malloc'ed or
 * reused with *cap, as libjpeg's memory destination; *n is the length. */
int rn_image_encode_jpeg(const rn_image *im, int quality, uint8_t **data, size_t *cap, size_t *n);

#endif
