/* SPDX-License-Identifier: MIT */
/* For the tests of decoding: JPEGs of every kind that libjpeg writes, and PNGs, out of numbers drawn from a seed. */
#ifndef IMAGE_MAKERS_H
#define IMAGE_MAKERS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <jpeglib.h>
#include <png.h>

#include "base/rn_rng.h"

/* ---- makers -------------------------------------------------------------------------------------------------- */

typedef struct blob {
    uint8_t *data;
    unsigned long n;
} blob;

/* Gradients plus noise, c bytes a pixel. */
static inline uint8_t *scene(int w, int h, int c, uint32_t seed)
{
    rn_rng r;
    rn_rng_seed(&r, seed, RN_STREAM_TEST, 0, 0);
    uint8_t *px = malloc((size_t)w * h * c);
    assert_non_null(px);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            for (int k = 0; k < c; k++)
                px[(y * w + x) * c + k] = (uint8_t)(x * (3 + k) + y * (5 - k) + 40 * k + (int)rn_rng_below(&r, 24));
    return px;
}

typedef struct jpeg_kind {
    const char *name;
    int comps;
    J_COLOR_SPACE in, stored;
    int hv[4][2]; /* sampling of each component, across and down; 0: 1 */
    bool progressive, arith;
    int restart;
    bool apart; /* a scan for each component */
    bool bare;  /* neither JFIF nor Adobe marker */
} jpeg_kind;

#define YCC  3, JCS_RGB, JCS_YCbCr
#define RGB  3, JCS_RGB, JCS_RGB
#define GRAY 1, JCS_GRAYSCALE, JCS_GRAYSCALE
#define CMYK 4, JCS_CMYK, JCS_CMYK
#define YCCK 4, JCS_CMYK, JCS_YCCK
static const jpeg_kind kinds[] = {
    {"4:2:0", YCC, .hv = {{2, 2}}},
    {"progressive 4:2:0", YCC, .hv = {{2, 2}}, .progressive = true},
    {"CMYK", CMYK, .hv = {{1, 1}}},
    {"progressive YCCK 4:2:0", YCCK, .hv = {{2, 2}, {1, 1}, {1, 1}, {2, 2}}, .progressive = true},
    {"arithmetic 4:2:0", YCC, .hv = {{2, 2}}, .arith = true},
    {"arithmetic progressive 4:2:2", YCC, .hv = {{2, 1}}, .progressive = true, .arith = true, .restart = 3},
    {"4:4:4", YCC, .hv = {{1, 1}}},
    {"4:2:2, restarts", YCC, .hv = {{2, 1}}, .restart = 3},
    {"4:4:0", YCC, .hv = {{1, 2}}},
    {"4:1:1", YCC, .hv = {{4, 1}}},
    {"4:1:0", YCC, .hv = {{4, 2}}},
    {"4:4:1", YCC, .hv = {{1, 4}}},
    {"thirds", YCC, .hv = {{3, 1}}},
    {"thirds down", YCC, .hv = {{1, 3}}},
    {"Cb across, Cr down", YCC, .hv = {{2, 2}, {2, 1}, {1, 2}}},
    {"chroma finer than luma", YCC, .hv = {{1, 1}, {2, 2}, {2, 2}}},
    {"all 2:1", YCC, .hv = {{2, 1}, {2, 1}, {2, 1}}},
    {"progressive 4:4:0", YCC, .hv = {{1, 2}}, .progressive = true},
    {"4:2:0, a scan a component", YCC, .hv = {{2, 2}}, .apart = true},
    {"4:2:2, a scan a component, restarts", YCC, .hv = {{2, 1}}, .restart = 5, .apart = true},
    {"4:2:0, bare", YCC, .hv = {{2, 2}}, .bare = true},
    {"RGB", RGB, .hv = {{1, 1}}},
    {"RGB 2:2", RGB, .hv = {{2, 2}}},
    {"progressive RGB", RGB, .hv = {{1, 1}}, .progressive = true},
    {"gray", GRAY, .hv = {{1, 1}}},
    {"gray 2:2", GRAY, .hv = {{2, 2}}},
    {"gray 4:2", GRAY, .hv = {{4, 2}}},
    {"progressive gray 3:1", GRAY, .hv = {{3, 1}}, .progressive = true},
    {"arithmetic gray", GRAY, .hv = {{1, 1}}, .arith = true},
    {"CMYK, bare", CMYK, .hv = {{1, 1}}, .bare = true},
    {"YCCK", YCCK, .hv = {{1, 1}}},
    {"YCCK 4:2:2", YCCK, .hv = {{2, 1}, {1, 1}, {1, 1}, {2, 1}}},
};
enum { NKINDS = sizeof kinds / sizeof *kinds, KIND_420 = 0, KIND_PROGRESSIVE, KIND_CMYK, KIND_PROGRESSIVE_YCCK };

static inline blob make_jpeg(const jpeg_kind *kind, int w, int h, uint32_t seed)
{
    blob b = {0};
    uint8_t *px = scene(w, h, kind->comps, seed);
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr err;
    c.err = jpeg_std_error(&err);
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, &b.data, &b.n);
    c.image_width = (JDIMENSION)w;
    c.image_height = (JDIMENSION)h;
    c.input_components = kind->comps;
    c.in_color_space = kind->in;
    jpeg_set_defaults(&c);
    jpeg_set_colorspace(&c, kind->stored);
    jpeg_set_quality(&c, 85, TRUE);
    for (int i = 0; i < kind->comps; i++) {
        c.comp_info[i].h_samp_factor = kind->hv[i][0] ? kind->hv[i][0] : 1;
        c.comp_info[i].v_samp_factor = kind->hv[i][1] ? kind->hv[i][1] : 1;
    }
    if (kind->bare)
        c.write_JFIF_header = c.write_Adobe_marker = FALSE;
    const jpeg_scan_info apart[3] = {{1, {0}, 0, 63, 0, 0}, {1, {1}, 0, 63, 0, 0}, {1, {2}, 0, 63, 0, 0}};
    if (kind->apart) {
        c.scan_info = apart;
        c.num_scans = 3;
    }
    c.arith_code = kind->arith;
    c.restart_interval = (unsigned)kind->restart;
    if (kind->progressive)
        jpeg_simple_progression(&c);
    jpeg_start_compress(&c, TRUE);
    while (c.next_scanline < c.image_height) {
        JSAMPROW row = px + (size_t)c.next_scanline * w * kind->comps;
        jpeg_write_scanlines(&c, &row, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    free(px);
    return b;
}

/* A copy in a block of its own, so that a sanitizer sees any read past its end. */
static inline uint8_t *prefix(const blob *b, unsigned long n)
{
    uint8_t *p = malloc(n ? n : 1);
    assert_non_null(p);
    memcpy(p, b->data, n);
    return p;
}

typedef struct png_kind {
    int type, depth, channels;
    bool interlace;
} png_kind;

static const png_kind pngs[] = {
    {PNG_COLOR_TYPE_GRAY, 1, 1, false},       {PNG_COLOR_TYPE_GRAY, 2, 1, false},
    {PNG_COLOR_TYPE_GRAY, 4, 1, true},        {PNG_COLOR_TYPE_GRAY, 8, 1, false},
    {PNG_COLOR_TYPE_GRAY, 16, 1, true},       {PNG_COLOR_TYPE_GRAY_ALPHA, 8, 2, false},
    {PNG_COLOR_TYPE_RGB, 8, 3, false},        {PNG_COLOR_TYPE_RGB, 8, 3, true},
    {PNG_COLOR_TYPE_RGB, 16, 3, false},       {PNG_COLOR_TYPE_RGB_ALPHA, 8, 4, true},
    {PNG_COLOR_TYPE_RGB_ALPHA, 16, 4, false}, {PNG_COLOR_TYPE_PALETTE, 2, 1, false},
    {PNG_COLOR_TYPE_PALETTE, 8, 1, true},
};
enum { NPNGS = sizeof pngs / sizeof *pngs, WIDE = 37, HIGH = 21 };

static inline void png_append(png_structp png, png_bytep data, size_t n)
{
    blob *b = png_get_io_ptr(png);
    b->data = realloc(b->data, b->n + n);
    assert_non_null(b->data);
    memcpy(b->data + b->n, data, n);
    b->n += n;
}

/* The RGB that pixel x of a raw row means. */
static inline void png_meaning(const png_kind *k, const uint8_t *row, int x, const png_color *palette, uint8_t rgb[3])
{
    int v[4] = {0}, top = (1 << (k->depth < 8 ? k->depth : 8)) - 1;
    for (int c = 0; c < k->channels; c++) {
        int bit = (x * k->channels + c) * k->depth;
        v[c] = k->depth >= 8 ? row[bit / 8] : row[bit / 8] >> (8 - k->depth - bit % 8) & top;
    }
    if (k->type == PNG_COLOR_TYPE_GRAY && k->depth == 16 && v[0] == 0)
        v[0] = row[2 * x + 1]; /* clipped */
    else if (k->type == PNG_COLOR_TYPE_GRAY && k->depth == 16)
        v[0] = 255;
    for (int c = 0; c < 3; c++)
        rgb[c] = (uint8_t)(k->channels >= 3 ? v[c] : v[0] * 255 / top);
    if (k->type == PNG_COLOR_TYPE_PALETTE)
        rgb[0] = palette[v[0]].red, rgb[1] = palette[v[0]].green, rgb[2] = palette[v[0]].blue;
}

/* An image of random bits of the kind, and the RGB it means. */
static inline blob make_png(const png_kind *k, uint8_t *rgb)
{
    blob b = {0};
    rn_rng r;
    rn_rng_seed(&r, 11, RN_STREAM_TEST, 3, (uint32_t)(k - pngs));
    png_color palette[256];
    for (int i = 0; i < 256; i++)
        palette[i] = (png_color){(uint8_t)rn_rng_u32(&r), (uint8_t)rn_rng_u32(&r), (uint8_t)rn_rng_u32(&r)};
    uint8_t raw[HIGH][WIDE * 8];
    png_bytep rows[HIGH];
    for (int y = 0; y < HIGH; y++) {
        rows[y] = raw[y];
        for (int i = 0; i < WIDE * 8; i++)
            raw[y][i] = k->depth == 16 && i % 4 == 0 ? 0 : (uint8_t)rn_rng_u32(&r);
        for (int x = 0; x < WIDE; x++)
            png_meaning(k, raw[y], x, palette, rgb + 3 * (y * WIDE + x));
    }
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    assert_true(png && info);
    png_set_write_fn(png, &b, png_append, NULL);
    png_set_IHDR(png, info, WIDE, HIGH, k->depth, k->type, k->interlace ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (k->type == PNG_COLOR_TYPE_PALETTE)
        png_set_PLTE(png, info, palette, 1 << k->depth);
    png_write_info(png, info);
    png_write_image(png, rows);
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    return b;
}

#endif
