/* SPDX-License-Identifier: MIT */
/*
 * Resizing of interleaved 8-bit images to the bit: Pillow's Image.resize (its five antialiasing filters) and OpenCV's
 * cv::resize(INTER_LINEAR). The geometry around it (short side, centre crop) is torchvision's.
 *
 * Pillow (src/libImaging/Resample.c): coefficients in double, normalised, then rounded to 22 bits; one pass an axis
 * with uint8 in between, so that their order shows in the last bit. Up to Pillow 12 the horizontal pass came first (but
 * for images over 100 times as tall as wide). Pillow 13, which this follows, starts with the vertical one where that
 * pass takes away more than twice as many rows as the other takes columns: in_h - out_h > 2 (in_w - out_w) and out_h <
 * in_h (found by experiment on 13.0.0). When the aspect ratio is kept, as in evaluation, only images over twice as tall
 * as wide differ. A region is *cropped first and resized then*, as torchvision does: no filter reads pixels outside it.
 *
 * OpenCV (modules/imgproc/src/resize.cpp): two taps an axis, no antialiasing, 11-bit coefficients; at exactly 2:1 in
 * both axes the mean of four.
 *
 * Each has ways of computing it with AVX2 and AVX-512, which give the same bits as the plain C.
 */
#ifndef RN_RESIZE_H
#define RN_RESIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rn_cpu.h"
#include "data/image/rn_image.h"

enum rn_filter {
    RN_FILTER_BOX = 0,
    RN_FILTER_BILINEAR, /* torchvision's default */
    RN_FILTER_HAMMING,
    RN_FILTER_BICUBIC,
    RN_FILTER_LANCZOS,
    RN_FILTER_OPENCV_LINEAR,
    RN_FILTER_COUNT
};
/* "box", "bilinear", "hamming", "bicubic", "lanczos", "opencv-linear", NULL: indexed by enum rn_filter. */
extern const char *const rn_filter_names[RN_FILTER_COUNT + 1];

/* Coefficients and scratch rows, kept from image to image: no allocation once they have grown, and no new coefficients
 * for the sizes of the last few images. One thread at a time. */
typedef struct rn_resizer rn_resizer;
int rn_resizer_open(rn_resizer **out); /* RN_E_USAGE, RN_E_ABSENT: what RNKIT_ISA asks for (base/rn_cpu.h) */
void rn_resizer_close(rn_resizer *rs); /* accepts NULL */
/* Keeps to this instruction set, or what there is below it (tests and measurements; the pixels are the same). Plan
 * again afterwards. Returns what will run: AVX-512 code here needs VBMI and VNNI. */
rn_isa rn_resizer_isa(rn_resizer *rs, rn_isa most);

/* `crop` (NULL: all) of src to w x h in dst, which may have the pixels of an earlier image but not src's. */
int rn_resize(rn_resizer *rs, const rn_image *src, const rn_rect *crop, enum rn_filter filter, int w, int h,
              rn_image *dst);

/*
 * The same in two steps, for a caller that wants part of the result and decodes only what that part needs.
 * plan: in_w x in_h is to become out_w x out_h, of which only `window` (NULL: all) will be made, mirrored left to right
 * when `flip`. *need is the part of the input that will be read. RN_E_RANGE for a bad size or window. Sides of the
 * input are at most 2^16, of the output 2^28.
 *
 * run: px is the first pixel of *need, rows `stride` bytes apart, of `channels` (1, 3) bytes a pixel. Writes window.h
 * rows of window.w pixels, `dst_stride` bytes apart. px and dst must not overlap. A plan may be run many times.
 */
int rn_resizer_plan(rn_resizer *rs, enum rn_filter filter, int in_w, int in_h, int out_w, int out_h,
                    const rn_rect *window, bool flip, rn_rect *need);
int rn_resizer_run(rn_resizer *rs, const uint8_t *px, size_t stride, int channels, uint8_t *dst, size_t dst_stride);

/* torchvision's Resize(short): the short side becomes short_side, the other short_side * long / short, truncated. */
void rn_resize_short_size(int w, int h, int short_side, int *ow, int *oh);

/*
 * torchvision's CenterCrop along one axis: of `size` pixels, `crop` are wanted. *from is the first pixel taken, *n how
 * many, *to where they go in the output. A larger image: from = round((size - crop) / 2), halves to even. A smaller one
 * is padded: to = (crop - size) / 2, truncated; the rest is after it.
 */
void rn_center_crop(int size, int crop, int *from, int *n, int *to);

#endif
