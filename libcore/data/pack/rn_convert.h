/* SPDX-License-Identifier: MIT */
/* One image file to one Datum: checked, and on request resized, re-encoded, or laid down raw. */
#ifndef RN_CONVERT_H
#define RN_CONVERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rn_io.h"
#include "data/image/rn_resize.h"

enum rn_convert_size {
    RN_SIZE_NONE = 0,
    RN_SIZE_SHORT /* short side = w */,
    RN_SIZE_EXACT /* w x h, warped as Caffe does */
};
enum rn_convert_encode { RN_ENCODE_KEEP = 0, RN_ENCODE_JPEG, RN_ENCODE_RAW };

typedef struct rn_convert_opts {
    enum rn_convert_size size;
    int w, h;
    enum rn_filter filter;
    enum rn_convert_encode encode;
    int quality;       /* RN_ENCODE_JPEG: 1..100 */
    bool exif_rotate;  /* turn the pixels as EXIF says, before the resize (rn_exif.h); not with RN_ENCODE_KEEP */
    bool check_decode; /* RN_ENCODE_KEEP: decode every image instead of looking at its markers alone */
} rn_convert_opts;

/* "none", "short:256", "exact:256x256" and "keep", "jpeg:95", "raw". RN_E_USAGE lists what is accepted. */
int rn_convert_parse_size(const char *text, rn_convert_opts *o);
int rn_convert_parse_encode(const char *text, rn_convert_opts *o);
/* RN_E_USAGE for combinations that make no sense (keep with a size, keep turned). */
int rn_convert_check(const rn_convert_opts *o);
/* The options as one line, "resize=short:256 filter=bilinear encode=jpeg:95": what the seal holds. What does not
 * matter (the filter without a resize, the check where every image is decoded) is left out, so that equal sets say the same. */
int rn_convert_text(const rn_convert_opts *o, rn_buf *out);

/*
 * Is it a whole image, as far as can be told without decoding? JPEG: begins with SOI, its segments up to the first scan
 * hang together, the frame header is readable and of a sane size, and after the scan's beginning there is an EOI marker (a file cut
 * short has none). PNG: signature, readable header, IEND at the end. Anything else is RN_E_FORMAT. Damage inside the
 * compressed data is not seen: that takes check_decode.
 */
int rn_convert_check_markers(const void *data, size_t n, const char *name);

/* Scratch of one worker. */
typedef struct rn_converter rn_converter;
int rn_converter_open(const rn_convert_opts *opts, rn_converter **out);
void rn_converter_close(rn_converter *c); /* accepts NULL */

/* Makes the Datum; *data_n is the length of its data field. RN_E_FORMAT, RN_E_RANGE or RN_E_UNSUPPORTED: a bad image. */
int rn_converter_run(rn_converter *c, const void *image, size_t n, const char *name, int32_t label, rn_buf *datum,
                     uint64_t *data_n);

#endif
