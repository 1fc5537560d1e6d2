/* SPDX-License-Identifier: MIT */
/* Private to data/image/rn_{image,jpeg,png}.c: what a codec offers the decoder. */
#ifndef RN_CODEC_H
#define RN_CODEC_H

#include "data/image/rn_image.h"

/* An encoded image in memory; borrowed. */
typedef struct rn_source {
    const uint8_t *data;
    size_t n;
    const char *name; /* for messages */
} rn_source;

/* What every bad file's message ends with. */
#define RN_BAD_FILE_REMEDY "fetch it again and check its digest, or leave it out"

/* RN_E_RANGE for sizes beyond enum rn_image_limits. */
int rn_codec_check_size(const char *name, uint64_t w, uint64_t h);
/* RN_E_RANGE unless r lies inside w x h. */
int rn_codec_check_region(const char *name, const rn_rect *r, int w, int h);
void rn_codec_rgb_to_gray(const uint8_t *rgb, uint8_t *gray, int n); /* may be in place */

/* JPEG: a decompressor kept from image to image. */
typedef struct rn_jpeg rn_jpeg;
int rn_jpeg_open(rn_jpeg **out);
void rn_jpeg_close(rn_jpeg *j); /* accepts NULL */
int rn_jpeg_begin(rn_jpeg *j, const rn_source *src, rn_image_info *info);
int rn_jpeg_read(rn_jpeg *j, const rn_decode_opts *opts, const rn_rect *region, rn_image *out, rn_image_info *info);

int rn_png_peek(const rn_source *src, rn_image_info *info);
int rn_png_read(const rn_source *src, bool gray, const rn_rect *region, rn_image *out, rn_image_info *info);

#endif
