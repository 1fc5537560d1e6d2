/* SPDX-License-Identifier: MIT */
/*
 * From an encoded image to one output of fixed size: where the pixels come from (a "place"), and the drawing of them.
 * A place depends on the image's size and the random numbers alone; all three transforms are one: crop, resize, take a
 * window of that, lay it into a black output, mirror.
 */
#ifndef RN_AUGMENT_H
#define RN_AUGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rn_rng.h"
#include "data/image/rn_image.h"
#include "data/image/rn_resize.h"

typedef struct rn_place {
    rn_rect crop;   /* of the source image */
    int rw, rh;     /* what the crop is resized to */
    rn_rect window; /* the part of the resized crop that is wanted */
    int x, y;       /* where the window's corner goes in the output; the rest of the output is 0 */
    bool flip;      /* the window is mirrored (x already is of the mirrored output) */
} rn_place;

/*
 * The crop of torchvision's RandomResizedCrop.get_params (torchvision/transforms/transforms.py), to the rounding: up to
 * ten tries at area * U(scale) and exp(U(log ratio)) with both uniforms, the logarithms and the exponential in float;
 * sides rounded half to even; then the largest central crop inside the ratios. Draws: 2 a try, then top, then left.
 */
void rn_augment_resized_crop(rn_rng *r, int w, int h, const double scale[2], const double ratio[2], rn_rect *crop);

/* The places. `flip`: mirror with p = 1/2, drawn last. */
void rn_place_resized(rn_rng *r, int w, int h, const double scale[2], const double ratio[2], bool flip, int out_w,
                      int out_h, rn_place *p);
/* torchvision's RandomCrop(out, padding=pad) without resize: top is drawn, then left. RN_E_RANGE when the padded image
 * is smaller than the output. */
int rn_place_padded(rn_rng *r, int w, int h, int pad, bool flip, int out_w, int out_h, rn_place *p);
/* Caffe's crop_size: a window of the image as it is, at random with `flip` (left is drawn after top), or, with r NULL, the one
 * in the middle, rounded down. RN_E_RANGE when the image is smaller, or, with `exact`, of any other size. */
int rn_place_window(rn_rng *r, int w, int h, bool exact, bool flip, int out_w, int out_h, rn_place *p);
/* torchvision's Resize(resize_short) and CenterCrop(out); resize_short 0: no resize. */
void rn_place_eval(int w, int h, int resize_short, int out_w, int out_h, rn_place *p);

/* Draws places: decoder, resizer and buffers, kept from image to image. One thread at a time. */
typedef struct rn_renderer rn_renderer;
int rn_renderer_open(rn_renderer **out);
void rn_renderer_close(rn_renderer *rd); /* accepts NULL */

/* Opens an encoded image; *w x *h is its size. `data` and `name` must stay until the draw. */
int rn_renderer_begin(rn_renderer *rd, const void *data, size_t n, const char *name, int *w, int *h);
/* Opens raw planar pixels as a Datum has them: c (3: blue, green, red; 1: gray) planes of h rows of w bytes. */
int rn_renderer_begin_raw(rn_renderer *rd, const uint8_t *planar, int c, int h, int w, const char *name);

/*
 * Draws into dst (out_h, out_w, channels), channels 3 (RGB) or 1 (gray): Pillow's bilinear resize of the decoded
 * pixels. Only the part of the image that the place needs is decoded; the pixels are the same.
 *
 * `fast`: where the crop is at least twice, four or eight times the resized size in both axes, a JPEG is decoded at a
 * half, quarter or eighth (1/s) of its size in the DCT domain, and the crop's sides move to the nearest multiple of s: cheaper,
 * nearly the same picture, other bits. A crop of less is drawn exactly. Bounds, over all crops decoded at 1/s of 160 full-size
 * ImageNet photographs at outputs of 32 to 224 pixels (tests/unit/test_fast_draw.c):
 *                                                      mean |difference|   PSNR         a channel's mean, deviation
 *   against the exact drawing of the crop so moved     <= 1.7 of 255       >= 38.5 dB   +- 0.15 of 255, +- 0.5 %
 *   against the exact drawing of the crop as drawn     <= 4.2              >= 30.5 dB   the same
 * A picture that is one output pixel off has 9.2 and 23.3 dB.
 */
int rn_renderer_draw(rn_renderer *rd, const rn_place *p, bool fast, int out_w, int out_h, int channels, uint8_t *dst);

/* What was found of the image last begun; after the draw with the decoder's warnings. */
const rn_image_info *rn_renderer_info(const rn_renderer *rd);

/* Adds to *decode_s and *resize_s the seconds of the clock that begin and draw took since the last call. */
void rn_renderer_times(rn_renderer *rd, double *decode_s, double *resize_s);

#endif
