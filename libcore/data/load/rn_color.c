/* SPDX-License-Identifier: MIT */
/* Sources of the formulas: rn_color.h. Where a product is in float and a sum in double is part of the result. */
#include "data/load/rn_color.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "data/image/rn_codec.h"

const char *const rn_color_names[RN_COLOR_OPS + 1] = {"brightness", "contrast", "saturation", "hue", NULL};

/* ---- blends --------------------------------------------------------------------------------------------------- */

static uint8_t blend(int low, int v, float factor)
{
    float t = (float)low + factor * (float)(v - low);
    return t <= 0.0f ? 0 : t >= 255.0f ? 255 : (uint8_t)t;
}

/* All values towards or away from one. */
static void blend_level(int low, float factor, uint8_t *px, size_t bytes)
{
    uint8_t lut[256];
    for (int v = 0; v < 256; v++)
        lut[v] = blend(low, v, factor);
    for (size_t i = 0; i < bytes; i++)
        px[i] = lut[px[i]];
}

static int gray_of(const uint8_t *rgb)
{
    return (int)((rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 0x8000u) >> 16);
}

static int mean_gray(const uint8_t *px, size_t n, int channels)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (uint64_t)(channels == 3 ? gray_of(px + 3 * i) : px[i]);
    return (int)((double)sum / (double)n + 0.5);
}

static void saturate(float factor, uint8_t *px, size_t n)
{
    for (size_t i = 0; i < n; i++, px += 3) {
        int low = gray_of(px);
        for (int c = 0; c < 3; c++)
            px[c] = blend(low, px[c], factor);
    }
}

/* ---- hue ------------------------------------------------------------------------------------------------------ */

/* What depends on H alone: the sector 0..6 of the colour wheel, and how far into it. */
typedef struct hue_place {
    uint8_t sector;
    float f;
} hue_place;

static void hue_places(int shift, hue_place place[256])
{
    for (int h = 0; h < 256; h++) {
        double at = (double)(float)((h + shift) & 255) * 6.0 / 255.0;
        int sector = (int)floor(at);
        place[h] = (hue_place){(uint8_t)(sector % 6), (float)(at - (double)(float)sector)};
    }
}

/*
 * H of a pixel that is not gray, 0..255. Pillow takes the differences of two of (max - r, max - g, max - b) / range and adds 0, 2
 * or 4, in double, which is exact; of the three one is 0 and one is 1, so that it comes to a whole number plus or minus the
 * third, rounded once. Every pair of differences is tested, with each order of the channels.
 */
static int hue_of(int r, int g, int b, int max, int min)
{
    static const float base[2][3] = {{1, 3, 3}, {-1, 1, 5}}, sign[2][3] = {{-1, -1, 1}, {1, 1, -1}};
    const int top = r == max ? 0 : g == max ? 1 : 2;
    const int low = top == 0 ? g < b : top == 1 ? b < r : g < r; /* which of the other two is the least */
    const float q =
        (float)(2 * max - (r + g + b - min)) / (float)(max - min); /* max less the middle one, of the range */
    const float h = base[low][top] + sign[low][top] * q;
    const double turn = (double)h / 6.0 + 1.0; /* 5/6 .. 11/6: its fraction is exact */
    const float part = (float)(turn >= 1.0 ? turn - 1.0 : turn);
    return (int)((double)part * 255.0);
}

/* round() of what is at least 0, half up; no such value is just below a half (all 2^24 colours are tested). */
static uint32_t level(double v)
{
    return (uint32_t)(int)(v + 0.5);
}

static void turn_pixel(const hue_place place[256], uint8_t *px)
{
    /* where red, green and blue lie in top | t << 8 | p << 16 | q << 24, by sector */
    static const uint8_t order[6][3] = {{0, 8, 16}, {24, 0, 16}, {16, 0, 8}, {16, 24, 0}, {8, 16, 0}, {0, 16, 24}};
    const int r = px[0], g = px[1], b = px[2];
    int max = r > g ? r : g, min = r > g ? g : r;
    max = b > max ? b : max;
    min = b < min ? b : min;
    if (min == max)
        return;
    const int s = (int)((double)((float)(max - min) / (float)max) * 255.0);
    if (s == 0) {
        px[0] = px[1] = px[2] = (uint8_t)max;
        return;
    }
    const hue_place *at = &place[hue_of(r, g, b, max, min)];
    const double v = max;
    const float fs = (float)((double)(float)s / 255.0), f = at->f, part = fs * f;
    const uint32_t p = level(v * (1.0 - (double)fs)), q = level(v * (1.0 - (double)part));
    const uint32_t t = level(v * (1.0 - (double)fs * (1.0 - (double)f)));
    const uint32_t all = (uint32_t)max | t << 8 | p << 16 | q << 24;
    for (int c = 0; c < 3; c++)
        px[c] = (uint8_t)(all >> order[at->sector][c]);
}

static void turn_hue(float factor, uint8_t *px, size_t n)
{
    hue_place place[256];
    hue_places((int)((double)factor * 255), place);
    for (size_t i = 0; i < n; i++)
        turn_pixel(place, px + 3 * i);
}

/* ---- ColorJitter ---------------------------------------------------------------------------------------------- */

void rn_color_adjust(enum rn_color_op op, float factor, uint8_t *px, size_t n, int channels)
{
    if (op == RN_COLOR_HUE) {
        if (channels == 3)
            turn_hue(factor, px, n);
        return;
    }
    if (factor == 1.0f || n == 0)
        return;
    if (op == RN_COLOR_BRIGHTNESS)
        blend_level(0, factor, px, n * (size_t)channels);
    else if (op == RN_COLOR_CONTRAST)
        blend_level(mean_gray(px, n, channels), factor, px, n * (size_t)channels);
    else if (channels == 3)
        saturate(factor, px, n);
}

void rn_jitter_draw(rn_rng *r, const rn_jitter *j, rn_jitter_steps *out)
{
    uint32_t order[RN_COLOR_OPS] = {0, 1, 2, 3};
    float factor[RN_COLOR_OPS] = {0};
    rn_rng_shuffle_u32(r, order, RN_COLOR_OPS);
    for (int op = 0; op < RN_COLOR_OPS; op++) {
        double x = j->range[op], middle = op == RN_COLOR_HUE ? 0 : 1;
        double lo = op != RN_COLOR_HUE && x > 1 ? 0 : middle - x;
        if (x > 0)
            factor[op] = (float)rn_rng_range(r, lo, middle + x);
    }
    out->n = 0;
    for (int i = 0; i < RN_COLOR_OPS; i++)
        if (j->range[order[i]] > 0)
            out->step[out->n++] = (struct rn_jitter_step){(enum rn_color_op)order[i], factor[order[i]]};
}

void rn_jitter_apply(const rn_jitter_steps *s, uint8_t *px, size_t n, int channels)
{
    for (int i = 0; i < s->n; i++)
        rn_color_adjust(s->step[i].op, s->step[i].factor, px, n, channels);
}

/* ---- lighting ------------------------------------------------------------------------------------------------- */

void rn_lighting_draw(rn_rng *r, double std, int shift[3])
{
    static const double value[3] = {0.2175, 0.0188, 0.0045};
    static const double vector[3][3] = {
        {-0.5675, 0.7192, 0.4009}, {-0.5808, -0.0045, -0.8140}, {-0.5836, -0.6948, 0.4203}};
    double alpha[3];
    for (int i = 0; i < 3; i++)
        alpha[i] = std * rn_rng_normal(r);
    for (int c = 0; c < 3; c++) {
        double sum = 0;
        for (int i = 0; i < 3; i++)
            sum += vector[c][i] * alpha[i] * value[i];
        double levels = rint(255 * sum);
        shift[c] = levels > 255 ? 255 : levels < -255 ? -255 : (int)levels;
    }
}

void rn_lighting_apply(const int shift[3], uint8_t *px, size_t n)
{
    uint8_t lut[3][256];
    for (int c = 0; c < 3; c++)
        for (int v = 0; v < 256; v++) {
            int to = v + shift[c];
            lut[c][v] = (uint8_t)(to < 0 ? 0 : to > 255 ? 255 : to);
        }
    for (size_t i = 0; i < n; i++, px += 3)
        for (int c = 0; c < 3; c++)
            px[c] = lut[c][px[c]];
}

/* ---- Cutout --------------------------------------------------------------------------------------------------- */

static void cut(int centre, int half, int size, int *from, int *n)
{
    int end = centre + half < size ? centre + half : size;
    *from = centre > half ? centre - half : 0;
    *n = end - *from;
}

void rn_cutout_draw(rn_rng *r, int w, int h, int side, rn_rect *hole)
{
    int y = (int)rn_rng_below(r, (uint32_t)h), x = (int)rn_rng_below(r, (uint32_t)w);
    cut(y, side / 2, h, &hole->y, &hole->h);
    cut(x, side / 2, w, &hole->x, &hole->w);
}

void rn_cutout_apply(const rn_rect *hole, const uint8_t *fill, uint8_t *px, int w, int channels)
{
    for (int y = hole->y; y < hole->y + hole->h; y++) {
        uint8_t *p = px + ((size_t)y * (size_t)w + (size_t)hole->x) * (size_t)channels;
        for (int x = 0; x < hole->w; x++, p += channels)
            memcpy(p, fill, (size_t)channels);
    }
}
