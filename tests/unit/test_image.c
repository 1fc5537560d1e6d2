/* SPDX-License-Identifier: MIT */
/* rn_image: formats by content, every colour kind of JPEG and PNG, regions, damage. All images are made here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <jpeglib.h>
#include <png.h>

#include "base/rn_error.h"
#include "base/rn_rng.h"
#include "data/rn_image.h"

/* ---- makers -------------------------------------------------------------------------------------------------- */

typedef struct blob {
    uint8_t *data;
    unsigned long n;
} blob;

/* Gradients plus noise, c bytes a pixel. */
static uint8_t *scene(int w, int h, int c, uint32_t seed)
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
    int hs, vs; /* sampling of the first component (and of K) */
    bool progressive, arith;
    int restart;
} jpeg_kind;

static const jpeg_kind kinds[] = {
    {"4:2:0", 3, JCS_RGB, JCS_YCbCr, 2, 2, false, false, 0},
    {"4:4:4", 3, JCS_RGB, JCS_YCbCr, 1, 1, false, false, 0},
    {"4:2:2", 3, JCS_RGB, JCS_YCbCr, 2, 1, false, false, 3},
    {"4:4:0", 3, JCS_RGB, JCS_YCbCr, 1, 2, false, false, 0},
    {"4:1:1", 3, JCS_RGB, JCS_YCbCr, 4, 1, false, false, 0},
    {"4:1:0", 3, JCS_RGB, JCS_YCbCr, 4, 2, false, false, 0},
    {"progressive 4:2:0", 3, JCS_RGB, JCS_YCbCr, 2, 2, true, false, 0},
    {"arithmetic 4:2:0", 3, JCS_RGB, JCS_YCbCr, 2, 2, false, true, 0},
    {"arithmetic progressive", 3, JCS_RGB, JCS_YCbCr, 2, 2, true, true, 0},
    {"RGB", 3, JCS_RGB, JCS_RGB, 1, 1, false, false, 0},
    {"gray", 1, JCS_GRAYSCALE, JCS_GRAYSCALE, 1, 1, false, false, 0},
    {"CMYK", 4, JCS_CMYK, JCS_CMYK, 1, 1, false, false, 0},
    {"YCCK", 4, JCS_CMYK, JCS_YCCK, 1, 1, false, false, 0},
    {"progressive YCCK 4:2:0", 4, JCS_CMYK, JCS_YCCK, 2, 2, true, false, 0},
};
enum { NKINDS = sizeof kinds / sizeof *kinds, KIND_420 = 0, KIND_PROGRESSIVE = 6, KIND_CMYK = 11 };

static blob make_jpeg(const jpeg_kind *kind, int w, int h, uint32_t seed)
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
    c.comp_info[0].h_samp_factor = kind->hs;
    c.comp_info[0].v_samp_factor = kind->vs;
    if (kind->stored == JCS_YCCK) {
        c.comp_info[3].h_samp_factor = kind->hs;
        c.comp_info[3].v_samp_factor = kind->vs;
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

/* What libjpeg itself returns, without any of our code: 1 (gray), 3 (RGB) or 4 (CMYK) bytes a pixel. */
static uint8_t *plain_decode(const blob *b, int *comps)
{
    struct jpeg_decompress_struct d;
    struct jpeg_error_mgr err;
    d.err = jpeg_std_error(&err);
    jpeg_create_decompress(&d);
    jpeg_mem_src(&d, b->data, b->n);
    jpeg_read_header(&d, TRUE);
    jpeg_start_decompress(&d);
    *comps = d.output_components;
    size_t row = (size_t)d.output_width * d.output_components;
    uint8_t *px = malloc(row * d.output_height);
    assert_non_null(px);
    while (d.output_scanline < d.output_height) {
        JSAMPROW line = px + row * d.output_scanline;
        jpeg_read_scanlines(&d, &line, 1);
    }
    jpeg_finish_decompress(&d);
    jpeg_destroy_decompress(&d);
    return px;
}

/* The header's formulas in plain arithmetic: exact division by 255, rounded to nearest. */
static void expected_rgb(const uint8_t *px, int comps, uint8_t rgb[3])
{
    for (int k = 0; k < 3; k++)
        rgb[k] = comps == 4 ? (uint8_t)(px[3] - (int)((255.0 - px[k]) * px[3] / 255.0 + 0.5)) : px[comps == 1 ? 0 : k];
}

static uint8_t expected_gray(const uint8_t rgb[3])
{
    return (uint8_t)((19595u * rgb[0] + 38470u * rgb[1] + 7471u * rgb[2] + 32768u) >> 16);
}

/* A copy in a block of its own, so that a sanitizer sees any read past its end. */
static uint8_t *prefix(const blob *b, unsigned long n)
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

static void png_append(png_structp png, png_bytep data, size_t n)
{
    blob *b = png_get_io_ptr(png);
    b->data = realloc(b->data, b->n + n);
    assert_non_null(b->data);
    memcpy(b->data + b->n, data, n);
    b->n += n;
}

/* The RGB that pixel x of a raw row means. */
static void png_meaning(const png_kind *k, const uint8_t *row, int x, const png_color *palette, uint8_t rgb[3])
{
    int v[4] = {0}, top = (1 << (k->depth < 8 ? k->depth : 8)) - 1;
    for (int c = 0; c < k->channels; c++) {
        int bit = (x * k->channels + c) * k->depth;
        v[c] = k->depth >= 8 ? row[bit / 8] : row[bit / 8] >> (8 - k->depth - bit % 8) & top;
    }
    for (int c = 0; c < 3; c++)
        rgb[c] = (uint8_t)(k->channels >= 3 ? v[c] : v[0] * 255 / top);
    if (k->type == PNG_COLOR_TYPE_PALETTE)
        rgb[0] = palette[v[0]].red, rgb[1] = palette[v[0]].green, rgb[2] = palette[v[0]].blue;
}

/* An image of random bits of the kind, and the RGB it means. */
static blob make_png(const png_kind *k, uint8_t *rgb)
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
            raw[y][i] = (uint8_t)rn_rng_u32(&r);
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

/* ---- JPEG ---------------------------------------------------------------------------------------------------- */

static void check_kind(const jpeg_kind *kind, int w, int h)
{
    int comps;
    blob b = make_jpeg(kind, w, h, 1);
    uint8_t *want = plain_decode(&b, &comps);
    rn_image rgb = {0}, gray = {0};
    rn_image_info info;
    assert_int_equal(rn_image_decode(b.data, b.n, "x", NULL, &rgb, &info), 0);
    assert_int_equal(rn_image_decode(b.data, b.n, "x", &(rn_decode_opts){.gray = true}, &gray, NULL), 0);
    assert_int_equal(info.format, RN_IMG_JPEG);
    assert_int_equal(info.components, kind->comps);
    assert_int_equal(info.cmyk, kind->comps == 4);
    assert_int_equal(info.warnings, 0);
    assert_true(rgb.w == w && rgb.h == h && rgb.c == 3 && gray.w == w && gray.h == h && gray.c == 1);
    for (int i = 0; i < w * h; i++) {
        uint8_t e[3];
        expected_rgb(want + (size_t)i * comps, comps, e);
        assert_memory_equal(rgb.px + 3 * i, e, 3);
        assert_int_equal(gray.px[i], expected_gray(e)); /* the weights sum to 65536: gray stays what it is */
    }
    free(want);
    free(b.data);
    rn_image_free(&rgb);
    rn_image_free(&gray);
}

static void jpeg_kinds_decode(void **state)
{
    (void)state;
    static const int sizes[][2] = {{1, 1}, {7, 3}, {16, 16}, {33, 70}, {129, 65}};
    for (size_t k = 0; k < NKINDS; k++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            check_kind(&kinds[k], sizes[s][0], sizes[s][1]);
}

static void check_regions(rn_decoder *d, const blob *b, int w, int h, rn_rng *r)
{
    rn_image all = {0}, part = {0};
    assert_int_equal(rn_image_decode(b->data, b->n, "x", NULL, &all, NULL), 0);
    for (int i = 0; i < 40; i++) {
        rn_rect g = {.w = 1 + (int)rn_rng_below(r, (uint32_t)w), .h = 1 + (int)rn_rng_below(r, (uint32_t)h)};
        g.x = (int)rn_rng_below(r, (uint32_t)(w - g.w + 1));
        g.y = (int)rn_rng_below(r, (uint32_t)(h - g.h + 1));
        assert_int_equal(rn_decoder_begin(d, b->data, b->n, "x", NULL), 0);
        assert_int_equal(rn_decoder_read(d, NULL, &g, &part, NULL), 0);
        assert_true(part.w == g.w && part.h == g.h);
        for (int y = 0; y < g.h; y++)
            assert_memory_equal(part.px + (size_t)y * g.w * 3, all.px + ((size_t)(g.y + y) * w + g.x) * 3,
                                3 * (size_t)g.w);
    }
    const rn_rect outside[] = {{-1, 0, 1, 1}, {0, 0, w + 1, 1}, {1, 0, w, 1}, {0, h, 1, 1}, {0, 0, 0, 1}};
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        assert_int_equal(rn_decoder_begin(d, b->data, b->n, "x", NULL), 0);
        assert_int_equal(rn_decoder_read(d, NULL, &outside[i], &part, NULL), RN_E_RANGE);
    }
    assert_int_equal(rn_decoder_read(d, NULL, NULL, &part, NULL), RN_E_RANGE); /* nothing begun */
    rn_image_free(&all);
    rn_image_free(&part);
}

/* Any region holds exactly the pixels that the full decode has there, with one decoder used throughout. */
static void regions_are_exact(void **state)
{
    (void)state;
    rn_decoder *d;
    rn_rng r;
    rn_rng_seed(&r, 5, RN_STREAM_TEST, 1, 0);
    assert_int_equal(rn_decoder_open(&d), 0);
    for (size_t k = 0; k < 2 * NKINDS; k++) {
        int w = 100 + (int)rn_rng_below(&r, 150), h = 30 + (int)rn_rng_below(&r, 100);
        blob b = make_jpeg(&kinds[k % NKINDS], w, h, (uint32_t)k);
        check_regions(d, &b, w, h, &r);
        free(b.data);
    }
    rn_decoder_close(d);
}

static void scaled_decode(void **state)
{
    (void)state;
    blob b = make_jpeg(&kinds[KIND_420], 203, 101, 1);
    static const int cases[][3] = {
        {51, 102, 51}, {52, 203, 101}, {26, 51, 26}, {1, 26, 13}}; /* 101/2 rounds up to 51 */
    rn_image im = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(rn_image_decode(b.data, b.n, "x", &(rn_decode_opts){.scale_min_side = cases[i][0]}, &im, NULL),
                         0);
        assert_int_equal(im.w, cases[i][1]);
        assert_int_equal(im.h, cases[i][2]);
    }
    rn_decoder *d;
    assert_int_equal(rn_decoder_open(&d), 0);
    rn_rect g = {10, 5, 60, 30};
    assert_int_equal(rn_decoder_begin(d, b.data, b.n, "x", NULL), 0);
    assert_int_equal(rn_decoder_read(d, &(rn_decode_opts){.denom = 2}, &g, &im, NULL), 0);
    assert_true(im.w == 60 && im.h == 30);
    assert_int_equal(rn_decoder_begin(d, b.data, b.n, "x", NULL), 0);
    assert_int_equal(rn_decoder_read(d, &(rn_decode_opts){.denom = 3}, NULL, &im, NULL), RN_E_RANGE);
    free(b.data);
    uint8_t rgb[WIDE * HIGH * 3]; /* a PNG cannot */
    b = make_png(&pngs[0], rgb);
    assert_int_equal(rn_decoder_begin(d, b.data, b.n, "x", NULL), 0);
    assert_int_equal(rn_decoder_read(d, &(rn_decode_opts){.denom = 2}, NULL, &im, NULL), RN_E_UNSUPPORTED);
    rn_decoder_close(d);
    rn_image_free(&im);
    free(b.data);
}

/* Every prefix fails, naming the file and the remedy, and reads nothing beyond its end. */
static void every_truncation_fails(void **state)
{
    (void)state;
    static const size_t which[] = {KIND_420, KIND_PROGRESSIVE, 7, 13};
    for (size_t i = 0; i < sizeof which / sizeof *which; i++) {
        blob b = make_jpeg(&kinds[which[i]], 45, 37, 3);
        rn_image im = {0};
        for (unsigned long n = 0; n < b.n; n++) {
            uint8_t *p = prefix(&b, n);
            assert_int_equal(rn_image_decode(p, n, "some/file.JPEG", NULL, &im, NULL), RN_E_FORMAT);
            assert_non_null(strstr(rn_error_text(), "some/file.JPEG"));
            assert_non_null(strstr(rn_error_text(), "leave it out"));
            free(p);
        }
        assert_int_equal(rn_image_decode(b.data, b.n, "x", NULL, &im, NULL), 0);
        rn_image_free(&im);
        free(b.data);
    }
}

/* Damages the image 150 times; the decoder stays good for the next image. */
static void check_mutations(rn_decoder *d, const jpeg_kind *kind, rn_rng *r, int *failed, int *decoded)
{
    blob good = make_jpeg(kind, 45, 37, 4);
    rn_image want = {0}, im = {0};
    assert_int_equal(rn_image_decode(good.data, good.n, "x", NULL, &want, NULL), 0);
    for (int i = 0; i < 150; i++) {
        uint8_t *bad = prefix(&good, good.n);
        for (int m = 0; m < 1 + i % 4; m++)
            bad[2 + rn_rng_below(r, (uint32_t)good.n - 2)] = (uint8_t)rn_rng_u32(r);
        rn_rect g = {.w = 1 + (int)rn_rng_below(r, 45), .h = 1 + (int)rn_rng_below(r, 37)};
        g.x = (int)rn_rng_below(r, (uint32_t)(46 - g.w));
        g.y = (int)rn_rng_below(r, (uint32_t)(38 - g.h));
        int rc = rn_decoder_begin(d, bad, good.n, "x", NULL);
        if (rc == 0)
            rc = rn_decoder_read(d, NULL, i % 2 ? &g : NULL, &im, NULL);
        assert_true(rc == 0 || rc == RN_E_FORMAT || rc == RN_E_RANGE || rc == RN_E_UNSUPPORTED);
        *(rc ? failed : decoded) += 1;
        free(bad);
    }
    assert_int_equal(rn_decoder_begin(d, good.data, good.n, "x", NULL), 0);
    assert_int_equal(rn_decoder_read(d, NULL, NULL, &im, NULL), 0);
    assert_memory_equal(im.px, want.px, (size_t)45 * 37 * 3);
    rn_image_free(&im);
    rn_image_free(&want);
    free(good.data);
}

static void mutations_are_survived(void **state)
{
    (void)state;
    rn_rng r;
    rn_rng_seed(&r, 8, RN_STREAM_TEST, 2, 0);
    rn_decoder *d;
    assert_int_equal(rn_decoder_open(&d), 0);
    int failed = 0, decoded = 0;
    for (size_t k = 0; k < NKINDS; k++)
        check_mutations(d, &kinds[k], &r, &failed, &decoded);
    rn_decoder_close(d);
    assert_true(failed > 100 && decoded > 100); /* both ways were taken */
}

/* The two size fields (height, width; big-endian) of the frame header. */
static uint8_t *frame_size(const blob *b)
{
    for (unsigned long i = 2; i + 9 < b->n; i++)
        if (b->data[i] == 0xff && (b->data[i + 1] == 0xc0 || b->data[i + 1] == 0xc2))
            return b->data + i + 5;
    return NULL;
}

static void huge_sizes_are_refused(void **state)
{
    (void)state;
    static const unsigned sizes[][2] = {{65500, 1}, {1, 65500}, {32000, 32000}};
    for (size_t k = 0; k < 6; k++) {
        blob b = make_jpeg(&kinds[k % 2 ? KIND_420 : KIND_PROGRESSIVE], 45, 37, 3);
        uint8_t *at = frame_size(&b);
        assert_non_null(at);
        const unsigned *s = sizes[k / 2];
        at[0] = (uint8_t)(s[1] >> 8), at[1] = (uint8_t)s[1];
        at[2] = (uint8_t)(s[0] >> 8), at[3] = (uint8_t)s[0];
        rn_image im = {0};
        rn_image_info info;
        assert_int_equal(rn_image_decode(b.data, b.n, "bomb", NULL, &im, NULL), RN_E_RANGE);
        assert_non_null(strstr(rn_error_text(), "bomb: "));
        assert_null(im.px);
        assert_int_equal(rn_image_peek(b.data, b.n, &info), RN_E_RANGE);
        free(b.data);
    }
}

/* A file of a few kilobytes that asks for 600 passes over the image. */
static void endless_scans_are_refused(void **state)
{
    (void)state;
    blob b = make_jpeg(&kinds[KIND_PROGRESSIVE], 45, 37, 3);
    unsigned long last = 0;
    for (unsigned long i = 0; i + 1 < b.n; i++)
        if (b.data[i] == 0xff && b.data[i + 1] == 0xda)
            last = i;
    unsigned long scan = b.n - 2 - last;
    uint8_t *many = malloc(b.n + 600 * scan);
    assert_non_null(many);
    memcpy(many, b.data, b.n);
    for (unsigned long i = 0; i < 600; i++)
        memcpy(many + b.n - 2 + i * scan, b.data + last, scan);
    memcpy(many + b.n - 2 + 600 * scan, "\xff\xd9", 2);
    rn_image im = {0};
    assert_int_equal(rn_image_decode(many, b.n + 600 * scan, "x", NULL, &im, NULL), RN_E_FORMAT);
    assert_non_null(strstr(rn_error_text(), "500 scans"));
    rn_image_free(&im);
    free(many);
    free(b.data);
}

static void warnings_are_told(void **state)
{
    (void)state;
    enum { JUNK = 100 };
    blob b = make_jpeg(&kinds[KIND_420], 64, 64, 3);
    uint8_t *dirty = malloc(b.n + JUNK);
    assert_non_null(dirty);
    memcpy(dirty, b.data, b.n - 2);
    memset(dirty + b.n - 2, 'x', JUNK); /* before the end of image, more than the decoder's bit buffer swallows */
    memcpy(dirty + b.n + JUNK - 2, "\xff\xd9", 2);
    rn_image im = {0};
    rn_image_info info;
    assert_int_equal(rn_image_decode(dirty, b.n + JUNK, "x", NULL, &im, &info), 0);
    assert_int_equal(info.warnings, 1);
    assert_non_null(strstr(info.warning, "extraneous"));
    assert_int_equal(rn_image_decode(dirty, b.n + JUNK, "x", &(rn_decode_opts){.strict = true}, &im, &info),
                     RN_E_FORMAT);
    assert_non_null(strstr(rn_error_text(), "extraneous"));
    free(dirty);
    free(b.data);
    rn_image_free(&im);
}

static void encode_round_trip(void **state)
{
    (void)state;
    for (int c = 1; c <= 3; c += 2) {
        rn_image im = {.w = 67, .h = 43, .c = c, .px = scene(67, 43, c, 2)}, back = {0};
        uint8_t *data = NULL;
        size_t cap = 0, n = 0;
        assert_int_equal(rn_image_encode_jpeg(&im, 95, &data, &cap, &n), 0);
        size_t first = n;
        assert_int_equal(rn_image_decode(data, n, "x", &(rn_decode_opts){.gray = c == 1}, &back, NULL), 0);
        assert_true(back.w == 67 && back.h == 43 && back.c == c);
        assert_int_equal(rn_image_encode_jpeg(&im, 1, &data, &cap, &n), 0); /* reuses the buffer */
        assert_true(n < first && cap >= first);
        assert_int_equal(rn_image_encode_jpeg(&im, 95, &data, &cap, &n), 0);
        assert_int_equal(n, first);
        assert_int_equal(rn_image_encode_jpeg(&im, 0, &data, &cap, &n), RN_E_RANGE);
        assert_int_equal(rn_image_encode_jpeg(&im, 101, &data, &cap, &n), RN_E_RANGE);
        free(data);
        free(im.px);
        rn_image_free(&back);
    }
}

/* Larger than the encoder's first buffer: the destination grows; the bytes are those of libjpeg's own destination. */
static void encode_is_libjpegs(void **state)
{
    (void)state;
    rn_image im = {.w = 300, .h = 200, .c = 3, .px = scene(300, 200, 3, 6)};
    blob b = make_jpeg(&kinds[KIND_420], 300, 200, 6); /* quality 85 */
    uint8_t *data = NULL;
    size_t cap = 0, n = 0;
    assert_int_equal(rn_image_encode_jpeg(&im, 85, &data, &cap, &n), 0);
    assert_true(n > 16384);
    assert_int_equal(n, b.n);
    assert_memory_equal(data, b.data, n);
    free(data);
    free(b.data);
    free(im.px);
}

/* ---- PNG ----------------------------------------------------------------------------------------------------- */

static void png_kinds_decode(void **state)
{
    (void)state;
    uint8_t want[WIDE * HIGH * 3];
    for (size_t k = 0; k < NPNGS; k++) {
        blob b = make_png(&pngs[k], want);
        rn_image im = {0};
        rn_image_info info;
        assert_int_equal(rn_image_decode(b.data, b.n, "n02105855_2933.JPEG", NULL, &im, &info), 0);
        assert_int_equal(info.format, RN_IMG_PNG);
        assert_int_equal(info.components, pngs[k].channels);
        assert_memory_equal(im.px, want, sizeof want);
        assert_int_equal(rn_image_decode(b.data, b.n, "x", &(rn_decode_opts){.gray = true}, &im, NULL), 0);
        for (int i = 0; i < WIDE * HIGH; i++)
            assert_int_equal(im.px[i], expected_gray(want + 3 * i));
        rn_image_free(&im);
        free(b.data);
    }
}

static void png_damage_fails(void **state)
{
    (void)state;
    uint8_t want[WIDE * HIGH * 3];
    blob b = make_png(&pngs[7], want);
    rn_image im = {0};
    for (unsigned long n = 0; n < b.n; n++) {
        uint8_t *p = prefix(&b, n);
        assert_int_equal(rn_image_decode(p, n, "y.png", NULL, &im, NULL), RN_E_FORMAT);
        assert_non_null(strstr(rn_error_text(), "y.png"));
        free(p);
    }
    int failed = 0;
    rn_rng r;
    rn_rng_seed(&r, 12, RN_STREAM_TEST, 4, 0);
    for (int i = 0; i < 300; i++) {
        uint8_t *p = prefix(&b, b.n);
        p[8 + rn_rng_below(&r, (uint32_t)b.n - 8)] ^= (uint8_t)(1 + rn_rng_below(&r, 255));
        int rc = rn_image_decode(p, b.n, "y.png", NULL, &im, NULL);
        assert_true(rc == 0 || rc == RN_E_FORMAT || rc == RN_E_RANGE);
        failed += rc != 0;
        free(p);
    }
    assert_true(failed > 200); /* the checksums see nearly all of it */
    rn_image_free(&im);
    free(b.data);
}

static void other_files_are_named(void **state)
{
    (void)state;
    rn_image im = {0};
    assert_int_equal(rn_image_decode("", 0, "empty.JPEG", NULL, &im, NULL), RN_E_FORMAT);
    assert_non_null(strstr(rn_error_text(), "empty.JPEG: empty file"));
    assert_int_equal(rn_image_decode("GIF89a..", 8, "x.JPEG", NULL, &im, NULL), RN_E_FORMAT);
    assert_non_null(strstr(rn_error_text(), "x.JPEG: neither JPEG nor PNG (it begins with 47 49 46 38 39 61 2e 2e)"));
    assert_int_equal(rn_image_sniff("\xff\xd8\xff", 3), RN_IMG_JPEG);
    assert_int_equal(rn_image_sniff("\xff\xd8", 2), RN_IMG_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jpeg_kinds_decode),
        cmocka_unit_test(regions_are_exact),
        cmocka_unit_test(scaled_decode),
        cmocka_unit_test(every_truncation_fails),
        cmocka_unit_test(mutations_are_survived),
        cmocka_unit_test(huge_sizes_are_refused),
        cmocka_unit_test(endless_scans_are_refused),
        cmocka_unit_test(warnings_are_told),
        cmocka_unit_test(encode_round_trip),
        cmocka_unit_test(encode_is_libjpegs),
        cmocka_unit_test(png_kinds_decode),
        cmocka_unit_test(png_damage_fails),
        cmocka_unit_test(other_files_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
