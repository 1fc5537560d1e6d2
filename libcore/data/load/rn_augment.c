/* SPDX-License-Identifier: MIT */
#include "data/load/rn_augment.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "data/image/rn_codec.h"

/* ---- places --------------------------------------------------------------------------------------------------- */

/* A float in [lo, hi), as torch's uniform_ makes it: 24 bits, scaled in float. */
static float uniform(rn_rng *r, float lo, float hi)
{
    return (float)(rn_rng_u32(r) >> 8) * 0x1p-24f * (hi - lo) + lo;
}

/* Python's round(): halves to even, whatever the rounding mode is called by rint in the default environment. */
static int round_even(double v)
{
    return (int)rint(v);
}

/* The largest central crop whose aspect ratio lies inside the bounds. */
static void central_crop(int w, int h, const double ratio[2], rn_rect *crop)
{
    double in_ratio = (double)w / h;
    crop->w = w;
    crop->h = h;
    if (in_ratio < ratio[0])
        crop->h = round_even(w / ratio[0]);
    else if (in_ratio > ratio[1])
        crop->w = round_even(h * ratio[1]);
    crop->x = (w - crop->w) / 2;
    crop->y = (h - crop->h) / 2;
}

void rn_augment_resized_crop(rn_rng *r, int w, int h, const double scale[2], const double ratio[2], rn_rect *crop)
{
    double area = (double)h * w;
    float log_lo = logf((float)ratio[0]), log_hi = logf((float)ratio[1]);
    for (int i = 0; i < 10; i++) {
        double target = area * uniform(r, (float)scale[0], (float)scale[1]);
        double aspect = expf(uniform(r, log_lo, log_hi));
        double cw = rint(sqrt(target * aspect)), ch = rint(sqrt(target / aspect));
        if (cw > 0 && cw <= w && ch > 0 && ch <= h) {
            crop->w = (int)cw;
            crop->h = (int)ch;
            crop->y = (int)rn_rng_below(r, (uint32_t)(h - crop->h + 1));
            crop->x = (int)rn_rng_below(r, (uint32_t)(w - crop->w + 1));
            return;
        }
    }
    central_crop(w, h, ratio, crop);
}

static bool coin(rn_rng *r)
{
    return rn_rng_u32(r) >> 31;
}

void rn_place_resized(rn_rng *r, int w, int h, const double scale[2], const double ratio[2], bool flip, int out_w,
                      int out_h, rn_place *p)
{
    *p = (rn_place){.rw = out_w, .rh = out_h, .window = {0, 0, out_w, out_h}};
    rn_augment_resized_crop(r, w, h, scale, ratio, &p->crop);
    p->flip = flip && coin(r);
}

/* The output covers [from, from + out) of an axis of `size` pixels that may begin before and end after it. */
static void overlap(int size, int from, int out, int *first, int *n, int *to)
{
    int end = from + out < size ? from + out : size;
    *first = from > 0 ? from : 0;
    *to = *first - from;
    *n = end - *first;
}

int rn_place_padded(rn_rng *r, int w, int h, int pad, bool flip, int out_w, int out_h, rn_place *p)
{
    if (pad < 0 || pad >= out_w || pad >= out_h)
        return rn_fail(RN_E_RANGE, "padding of %d pixels: 0 to less than the output (%d x %d) is possible", pad, out_w,
                       out_h);
    if (w + 2 * pad < out_w || h + 2 * pad < out_h)
        return rn_fail(
            RN_E_RANGE,
            "the image of %d x %d pixels, padded by %d, is smaller than the output of %d x %d: use larger padding, "
            "or the resizing crop",
            w, h, pad, out_w, out_h);
    *p = (rn_place){.rw = w, .rh = h, .crop = {0, 0, w, h}};
    int y = (int)rn_rng_below(r, (uint32_t)(h + 2 * pad - out_h + 1)) - pad;
    int x = (int)rn_rng_below(r, (uint32_t)(w + 2 * pad - out_w + 1)) - pad;
    overlap(w, x, out_w, &p->window.x, &p->window.w, &p->x);
    overlap(h, y, out_h, &p->window.y, &p->window.h, &p->y);
    p->flip = flip && coin(r);
    if (p->flip)
        p->x = out_w - p->x - p->window.w;
    return RN_OK;
}

int rn_place_window(rn_rng *r, int w, int h, bool exact, bool flip, int out_w, int out_h, rn_place *p)
{
    if (w < out_w || h < out_h || (exact && (w > out_w || h > out_h)))
        return rn_fail(RN_E_RANGE, "the image has %d x %d pixels, %s%d x %d are wanted: pack the set anew, resized", w,
                       h, exact ? "" : "at least ", out_w, out_h);
    *p = (rn_place){.rw = w, .rh = h, .crop = {0, 0, w, h}, .window = {(w - out_w) / 2, (h - out_h) / 2, out_w, out_h}};
    if (!r)
        return RN_OK;
    p->window.y = (int)rn_rng_below(r, (uint32_t)(h - out_h + 1));
    p->window.x = (int)rn_rng_below(r, (uint32_t)(w - out_w + 1));
    p->flip = flip && coin(r);
    return RN_OK;
}

void rn_place_eval(int w, int h, int resize_short, int out_w, int out_h, rn_place *p)
{
    *p = (rn_place){.rw = w, .rh = h, .crop = {0, 0, w, h}};
    if (resize_short > 0)
        rn_resize_short_size(w, h, resize_short, &p->rw, &p->rh);
    rn_center_crop(p->rw, out_w, &p->window.x, &p->window.w, &p->x);
    rn_center_crop(p->rh, out_h, &p->window.y, &p->window.h, &p->y);
}

/* ---- drawing -------------------------------------------------------------------------------------------------- */

struct rn_renderer {
    rn_decoder *decoder;
    rn_resizer *resizer;
    rn_image part; /* the decoded region */
    rn_image_info info;
    const uint8_t *planar; /* NULL: the image is encoded */
    int planes;
    const char *name;
    double decode_s, resize_s;
};

int rn_renderer_open(rn_renderer **out)
{
    int rc = RN_OK;
    rn_renderer *rd = *out = calloc(1, sizeof *rd);
    if (!rd)
        return rn_fail(RN_E_NOMEM, "image renderer: out of memory");
    RN_GO(rn_decoder_open(&rd->decoder));
    RN_GO(rn_resizer_open(&rd->resizer));
    return RN_OK;
out:
    rn_renderer_close(rd);
    *out = NULL;
    return rc;
}

void rn_renderer_close(rn_renderer *rd)
{
    if (!rd)
        return;
    rn_decoder_close(rd->decoder);
    rn_resizer_close(rd->resizer);
    rn_image_free(&rd->part);
    free(rd);
}

int rn_renderer_begin(rn_renderer *rd, const void *data, size_t n, const char *name, int *w, int *h)
{
    double from = rn_now();
    rd->planar = NULL;
    rd->name = name;
    RN_TRY(rn_decoder_begin(rd->decoder, data, n, name, &rd->info));
    *w = rd->info.w;
    *h = rd->info.h;
    rd->decode_s += rn_now() - from;
    return RN_OK;
}

int rn_renderer_begin_raw(rn_renderer *rd, const uint8_t *planar, int c, int h, int w, const char *name)
{
    if (c != 1 && c != 3)
        return rn_fail(RN_E_UNSUPPORTED, "%s: raw record of %d channels; 1 and 3 are read", name, c);
    RN_TRY(rn_codec_check_size(name, (uint64_t)(w > 0 ? w : 0), (uint64_t)(h > 0 ? h : 0)));
    rd->planar = planar;
    rd->planes = c;
    rd->name = name;
    rd->info = (rn_image_info){.w = w, .h = h, .components = c};
    return RN_OK;
}

/* The region of the planar pixels, interleaved. */
static int gather(rn_renderer *rd, const rn_rect *g, int channels)
{
    RN_TRY(rn_codec_check_region(rd->name, g, rd->info.w, rd->info.h));
    RN_TRY(rn_image_alloc(&rd->part, g->w, g->h, channels));
    size_t plane = rd->planes == 3 ? (size_t)rd->info.w * (size_t)rd->info.h : 0;
    uint8_t *dst = rd->part.px;
    for (int y = g->y; y < g->y + g->h; y++) {
        const uint8_t *b = rd->planar + (size_t)y * (size_t)rd->info.w + (size_t)g->x;
        for (int x = 0; x < g->w; x++, b++, dst += channels) {
            const uint8_t rgb[3] = {b[2 * plane], b[plane], b[0]};
            if (channels == 3)
                memcpy(dst, rgb, 3);
            else
                rn_codec_rgb_to_gray(rgb, dst, 1);
        }
    }
    return RN_OK;
}

/* The largest of 1, 2, 4, 8 by which the crop may shrink before the resize and still be no smaller than its result. */
static int fast_denom(const rn_renderer *rd, const rn_place *p)
{
    int s = 1;
    if (rd->planar || rd->info.format != RN_IMG_JPEG)
        return 1;
    while (s < 8 && p->crop.w / (2 * s) >= p->rw && p->crop.h / (2 * s) >= p->rh)
        s *= 2;
    return s;
}

/* The crop in pixels of the image scaled by 1/s: each side where it lay, to the nearest pixel. */
static rn_rect scaled_crop(const rn_rect *crop, int s)
{
    rn_rect c = {.x = (crop->x + s / 2) / s, .y = (crop->y + s / 2) / s};
    c.w = (crop->x + crop->w + s / 2) / s - c.x;
    c.h = (crop->y + crop->h + s / 2) / s - c.y;
    return c;
}

/* The planned part of the image into rd->part. */
static int decode(rn_renderer *rd, const rn_rect *region, int denom, int channels)
{
    const rn_decode_opts opts = {.gray = channels == 1, .denom = denom};
    if (rd->planar)
        return gather(rd, region, channels);
    return rn_decoder_read(rd->decoder, &opts, region, &rd->part, &rd->info);
}

int rn_renderer_draw(rn_renderer *rd, const rn_place *p, bool fast, int out_w, int out_h, int channels, uint8_t *dst)
{
    const rn_rect *win = &p->window;
    rn_rect need;
    int s = fast ? fast_denom(rd, p) : 1;
    if (p->x < 0 || p->y < 0 || p->x > out_w - win->w || p->y > out_h - win->h)
        return rn_fail(RN_E_RANGE, "%s: a window of %d x %d at %d,%d leaves the output of %d x %d", rd->name, win->w,
                       win->h, p->x, p->y, out_w, out_h);
    double from = rn_now();
    const rn_rect crop = scaled_crop(&p->crop, s);
    RN_TRY(rn_resizer_plan(rd->resizer, RN_FILTER_BILINEAR, crop.w, crop.h, p->rw, p->rh, win, p->flip, &need));
    double planned = rn_now();
    RN_TRY(decode(rd, &(rn_rect){crop.x + need.x, crop.y + need.y, need.w, need.h}, s, channels));
    double decoded = rn_now();
    size_t row = (size_t)out_w * (size_t)channels;
    if (win->w < out_w || win->h < out_h)
        memset(dst, 0, row * (size_t)out_h);
    RN_TRY(rn_resizer_run(rd->resizer, rd->part.px, (size_t)need.w * (size_t)channels, channels,
                          dst + (size_t)p->y * row + (size_t)p->x * (size_t)channels, row));
    rd->decode_s += decoded - planned;
    rd->resize_s += rn_now() - decoded + planned - from;
    return RN_OK;
}

const rn_image_info *rn_renderer_info(const rn_renderer *rd)
{
    return &rd->info;
}

void rn_renderer_times(rn_renderer *rd, double *decode_s, double *resize_s)
{
    *decode_s += rd->decode_s;
    *resize_s += rd->resize_s;
    rd->decode_s = rd->resize_s = 0;
}
