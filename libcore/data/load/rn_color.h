/* SPDX-License-Identifier: MIT */
/*
 * What is done to the pixels of a drawn image: torchvision's ColorJitter, fb.resnet.torch's Lighting, Cutout. Drawing the
 * random numbers is apart from applying them. All work in place on n pixels of interleaved uint8, channels 3 (RGB) or 1 (gray).
 * Thread-safe.
 */
#ifndef RN_COLOR_H
#define RN_COLOR_H

#include <stddef.h>
#include <stdint.h>

#include "base/rn_rng.h"
#include "data/image/rn_image.h"

enum rn_color_op { RN_COLOR_BRIGHTNESS = 0, RN_COLOR_CONTRAST, RN_COLOR_SATURATION, RN_COLOR_HUE, RN_COLOR_OPS };
extern const char *const rn_color_names[RN_COLOR_OPS + 1]; /* "brightness", ..., NULL */

/*
 * One adjustment, bit for bit torchvision.transforms.functional's on a PIL image (Pillow's ImageEnhance, PIL/ImageEnhance.py
 * and libImaging/Blend.c; the HSV conversion of libImaging/Convert.c):
 *   brightness, contrast, saturation: low + factor * (pixel - low) in float, cut off to an integer (and, outside factors of
 *     0..1, clipped first), where low is 0; the mean of the gray image, int(mean + 0.5); the pixel's own gray value.
 *     Gray is (19595 R + 38470 G + 7471 B + 32768) >> 16. Factors are at least 0; 1 changes nothing.
 *   hue: RGB to 8-bit HSV, (int)(factor * 255) added to H modulo 256, and back; factor in -0.5..0.5. The way there and back
 *     rounds: factor 0 is not the identity.
 * On a gray image saturation and hue change nothing.
 */
void rn_color_adjust(enum rn_color_op op, float factor, uint8_t *px, size_t n, int channels);

/* ColorJitter's ranges: factors uniform in [max(0, 1 - x), 1 + x), hue in [-x, x). 0: that adjustment is left out. */
typedef struct rn_jitter {
    double range[RN_COLOR_OPS]; /* by enum rn_color_op; >= 0, hue at most 0.5 */
} rn_jitter;

/* The adjustments of one image, in the order in which they are applied. */
typedef struct rn_jitter_steps {
    int n;
    struct rn_jitter_step {
        enum rn_color_op op;
        float factor;
    } step[RN_COLOR_OPS];
} rn_jitter_steps;

/* A uniformly random order of the four (as torchvision, also when some are left out), then the factors. */
void rn_jitter_draw(rn_rng *r, const rn_jitter *j, rn_jitter_steps *out);
void rn_jitter_apply(const rn_jitter_steps *s, uint8_t *px, size_t n, int channels);

/*
 * AlexNet's PCA lighting with fb.resnet.torch's numbers: RGB += eigvec (alpha * eigval), alpha three normals of deviation
 * `std` (usually 0.1), in units of 0..1. Pixels being uint8, the shift of each channel is rounded to whole levels of 255
 * (off by at most half a level, where one deviation is about 3 to 4) and the result clipped.
 */
void rn_lighting_draw(rn_rng *r, double std, int shift[3]);
void rn_lighting_apply(const int shift[3], uint8_t *px, size_t n);

/*
 * Cutout (DeVries & Taylor 2017) with one hole: the centre uniform over the image, y drawn first, the square from side / 2
 * (rounded down) before to as much after it, cut off at the border: an odd side makes a hole of side - 1.
 */
void rn_cutout_draw(rn_rng *r, int w, int h, int side, rn_rect *hole);
/* Paints the hole in an image w wide; fill: one value a channel, what normalises to 0. The hole may be empty. */
void rn_cutout_apply(const rn_rect *hole, const uint8_t *fill, uint8_t *px, int w, int channels);

#endif
