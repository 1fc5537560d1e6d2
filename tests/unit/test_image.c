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

#include "base/rn_error.h"
#include "base/rn_rng.h"
#include "data/image/rn_image.h"
#include "image_makers.h"

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

static void check_regions(rn_decoder *d, const blob *b, int denom, rn_rng *r)
{
    rn_image all = {0}, part = {0};
    const rn_decode_opts opts = {.denom = denom};
    assert_int_equal(rn_image_decode(b->data, b->n, "x", &opts, &all, NULL), 0);
    const int w = all.w, h = all.h;
    for (int i = 0; i < (denom == 1 ? 40 : 8); i++) {
        rn_rect g = {.w = 1 + (int)rn_rng_below(r, (uint32_t)w), .h = 1 + (int)rn_rng_below(r, (uint32_t)h)};
        g.x = (int)rn_rng_below(r, (uint32_t)(w - g.w + 1));
        g.y = (int)rn_rng_below(r, (uint32_t)(h - g.h + 1));
        assert_int_equal(rn_decoder_begin(d, b->data, b->n, "x", NULL), 0);
        assert_int_equal(rn_decoder_read(d, &opts, &g, &part, NULL), 0);
        assert_true(part.w == g.w && part.h == g.h);
        for (int y = 0; y < g.h; y++)
            assert_memory_equal(part.px + (size_t)y * g.w * 3, all.px + ((size_t)(g.y + y) * w + g.x) * 3,
                                3 * (size_t)g.w);
    }
    const rn_rect outside[] = {{-1, 0, 1, 1}, {0, 0, w + 1, 1}, {1, 0, w, 1}, {0, h, 1, 1}, {0, 0, 0, 1}};
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        assert_int_equal(rn_decoder_begin(d, b->data, b->n, "x", NULL), 0);
        assert_int_equal(rn_decoder_read(d, &opts, &outside[i], &part, NULL), RN_E_RANGE);
    }
    assert_int_equal(rn_decoder_read(d, NULL, NULL, &part, NULL), RN_E_RANGE); /* nothing begun */
    rn_image_free(&all);
    rn_image_free(&part);
}

/* Any region holds exactly the pixels that the full decode of the same scale has there, with one decoder used
 * throughout. */
static void regions_are_exact(void **state)
{
    (void)state;
    rn_decoder *d;
    rn_rng r;
    rn_rng_seed(&r, 5, RN_STREAM_TEST, 1, 0);
    assert_int_equal(rn_decoder_open(&d), 0);
    for (size_t k = 0; k < NKINDS; k++) {
        int w = 100 + (int)rn_rng_below(&r, 150), h = 30 + (int)rn_rng_below(&r, 100);
        blob b = make_jpeg(&kinds[k % NKINDS], w, h, (uint32_t)k);
        for (int denom = 1; denom <= 8; denom *= 2)
            check_regions(d, &b, denom, &r);
        free(b.data);
    }
    rn_decoder_close(d);
}

static void scaled_decode(void **state)
{
    (void)state;
    blob b = make_jpeg(&kinds[KIND_420], 203, 101, 1);
    rn_image im = {0};
    for (int s = 1; s <= 8; s *= 2) {
        assert_int_equal(rn_image_decode(b.data, b.n, "x", &(rn_decode_opts){.denom = s}, &im, NULL), 0);
        assert_int_equal(im.w, (203 + s - 1) / s);
        assert_int_equal(im.h, (101 + s - 1) / s);
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
        cmocka_unit_test(jpeg_kinds_decode),     cmocka_unit_test(regions_are_exact),
        cmocka_unit_test(scaled_decode),         cmocka_unit_test(encode_round_trip),
        cmocka_unit_test(encode_is_libjpegs),    cmocka_unit_test(png_kinds_decode),
        cmocka_unit_test(other_files_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
