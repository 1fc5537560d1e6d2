/* SPDX-License-Identifier: MIT */
/* 8-bit images in memory: interleaved rows, no padding; decode (libjpeg-turbo, libpng by content) and encode. */
#ifndef RN_IMAGE_H
#define RN_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rn_io.h"

typedef struct rn_image {
    int w, h, c; /* c: 3 RGB or 1 gray */
    uint8_t *px; /* h * w * c, owned; reused when `cap` suffices */
    size_t cap;
} rn_image;
int rn_image_alloc(rn_image *im, int w, int h, int c); /* contents undefined; keeps the buffer if large enough */
void rn_image_free(rn_image *im);                      /* zeroes; accepts a zeroed one */

enum rn_image_format { RN_IMG_UNKNOWN = 0, RN_IMG_JPEG, RN_IMG_PNG };
enum rn_image_format rn_image_sniff(const void *data, size_t n);

/* Facts found on the way, for verification. */
typedef struct rn_image_info {
    enum rn_image_format format;
    int w, h, components; /* as stored */
    int warnings;         /* libjpeg's or libpng's (corrupt data that was decoded all the same) */
    char warning[160];    /* the first one */
    bool cmyk;            /* 4-component JPEG */
} rn_image_info;

/* Size and components from the header alone; sizes beyond the limits below are RN_E_RANGE. */
int rn_image_peek(const void *data, size_t n, rn_image_info *info);

enum rn_image_limits {
    RN_IMAGE_MAX_SIDE = 32768,
    RN_IMAGE_MAX_PIXELS = 178956970, /* Pillow's 2x bomb limit */
    RN_IMAGE_MAX_SCANS = 500         /* of a progressive JPEG, real ones have about 10: each is a pass over the image */
};
/* Pixels that all scans of an image may pass over: 20 times the largest image, some seconds. */
#define RN_IMAGE_MAX_SCANNED (20 * (uint64_t)RN_IMAGE_MAX_PIXELS)

typedef struct rn_decode_opts {
    bool gray;   /* 1 channel wanted (grayscale sets); default RGB */
    bool strict; /* warnings fail (RN_E_FORMAT) */
    int denom;   /* JPEG scaled in the DCT domain by 1/denom: 0, 1, 2, 4 or 8 (not exact) */
} rn_decode_opts;

/*
 * Decodes to RGB the pixels Pillow's Image.open(f).convert("RGB") gives: libjpeg-turbo's defaults (ISLOW, fancy
 * upsampling); grayscale replicated; CMYK/YCCK with Pillow's inversion and MULDIV255; PNG's alpha dropped, palette
 * expanded, of 16 bits the upper 8, but for gray without alpha, which Pillow clips at 255 (so that most of such an image
 * turns white). EXIF orientation ignored. With opts->gray the pixels of convert("L"): (19595 R + 38470 G + 7471 B +
 * 32768) >> 16.
 *
 * A truncated file is RN_E_FORMAT (as in Pillow), huge declared sizes RN_E_RANGE before allocation, as are sizes that
 * the file is too short for (RN_E_FORMAT). `opts` may be NULL.
 * `name` is for messages. `out` is zeroed or was filled before. Thread-safe.
 */
int rn_image_decode(const void *data, size_t n, const char *name, const rn_decode_opts *opts, rn_image *out,
                    rn_image_info *info /* may be NULL */);

/*
 * The same in two steps with state that is kept from image to image: the size is known before the pixels are, so that a
 * training crop decodes only what it needs. One thread at a time. After a failure the decoder is good for the next
 * begin.
 */
typedef struct rn_decoder rn_decoder;
typedef struct rn_rect {
    int x, y, w, h;
} rn_rect;

int rn_decoder_open(rn_decoder **out);
void rn_decoder_close(rn_decoder *d); /* accepts NULL */

/* Reads the header. `data` and `name` must stay until the read. info may be NULL. */
int rn_decoder_begin(rn_decoder *d, const void *data, size_t n, const char *name, rn_image_info *info);

/*
 * Decodes `region` (NULL: all of it) of what begin opened; at most once a begin. The pixels are those a full decode has
 * there, bit for bit; rows below the region are not read, so damage there goes unseen. RN_E_RANGE when it does not lie
 * inside.
 *
 * With opts->denom = s > 1 the region is in pixels of the scaled image: ceil(w / s) x ceil(h / s) for a JPEG, and a PNG
 * is RN_E_UNSUPPORTED. opts may be NULL. info (may be NULL): the warnings too.
 */
int rn_decoder_read(rn_decoder *d, const rn_decode_opts *opts, const rn_rect *region, rn_image *out,
                    rn_image_info *info);

/* Baseline JPEG, 4:2:0 (gray for c == 1), libjpeg-turbo's defaults, optimised Huffman off; quality 1..100. *data is
 * malloc'ed or reused with *cap, as libjpeg's memory destination; *n is the length. */
int rn_image_encode_jpeg(const rn_image *im, int quality, uint8_t **data, size_t *cap, size_t *n);
/* PNG, lossless, appended to out. */
int rn_image_encode_png(const rn_image *im, rn_buf *out);

#endif
