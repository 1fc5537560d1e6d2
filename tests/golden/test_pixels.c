/* SPDX-License-Identifier: MIT */
/* Decoding, resizing, the evaluation transform and the random crop against goldens of Pillow, OpenCV and torchvision,
 * bit for bit. The files and their format: make_pixels.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rn_digest.h"
#include "base/rn_error.h"
#include "base/rn_io.h"
#include "data/load/rn_augment.h"

enum { DECODE = 1, RESIZE, EVAL, CROP, NOISE };

typedef struct golden {
    char *file, *at, *end;
    int32_t kind, a[9];
    const uint8_t *in, *out;
    int32_t in_n, out_n;
} golden;

static void golden_open(golden *g, const char *name)
{
    char path[4096];
    size_t n;
    const char *tests = getenv("RNKIT_TESTS");
    *g = (golden){0};
    assert_non_null(tests);
    snprintf(path, sizeof path, "%s/golden/pixels_%s.bin", tests, name);
    if (rn_read_file(path, 0, &g->file, &n) < 0)
        fail_msg("%s", rn_error_text());
    assert_true(n > 6 && memcmp(g->file, "RNPX2\n", 6) == 0);
    g->end = g->file + n;
    g->at = strchr(g->file + 6, '\n');
    assert_non_null(g->at);
    g->at++;
}

static bool golden_next(golden *g)
{
    int32_t head[12];
    if (g->at == g->end)
        return false;
    assert_true(g->end - g->at >= (ptrdiff_t)sizeof head);
    memcpy(head, g->at, sizeof head); /* little-endian, as every machine this runs on */
    g->at += sizeof head;
    g->kind = head[0];
    memcpy(g->a, head + 1, sizeof g->a);
    if (head[10]) {
        g->in = (const uint8_t *)g->at;
        g->in_n = head[10];
    }
    g->out = (const uint8_t *)g->at + head[10];
    g->out_n = head[11];
    g->at += head[10] + head[11];
    assert_true(g->at <= g->end);
    return true;
}

static void check(const golden *g, const uint8_t *px, size_t n)
{
    if (g->out_n == 32) {
        char hex[RN_DIGEST_HEX_MAX];
        assert_int_equal(rn_digest_buffer(RN_MD5, px, n, hex), 0);
        assert_memory_equal(hex, g->out, 32);
    } else {
        assert_int_equal(n, g->out_n);
        assert_memory_equal(px, g->out, n);
    }
}

static void decode_is_pillows(void **state)
{
    (void)state;
    golden g;
    rn_image im = {0};
    int seen = 0;
    for (golden_open(&g, "decode"); golden_next(&g); seen++) {
        const rn_decode_opts o = {.gray = g.a[0]};
        assert_int_equal(g.kind, DECODE);
        assert_int_equal(rn_image_decode(g.in, (size_t)g.in_n, "golden", &o, &im, NULL), 0);
        assert_true(im.w == g.a[1] && im.h == g.a[2] && im.c == (o.gray ? 1 : 3));
        check(&g, im.px, (size_t)im.w * (size_t)im.h * (size_t)im.c);
    }
    assert_int_equal(seen, 38);
    rn_image_free(&im);
    free(g.file);
}

static void resize_is_pillows_and_opencvs(void **state)
{
    (void)state;
    golden g;
    rn_resizer *rs;
    rn_image dst = {0};
    int seen = 0;
    assert_int_equal(rn_resizer_open(&rs), 0);
    for (golden_open(&g, "resize"); golden_next(&g); seen++) {
        const rn_image src = {
            .w = g.a[1], .h = g.a[2], .c = g.a[3], .px = (uint8_t *)(uintptr_t)g.in, .cap = (size_t)g.in_n};
        assert_int_equal(g.kind, RESIZE);
        for (rn_isa isa = RN_ISA_PORTABLE; isa <= RN_ISA_AVX512; isa++) {
            rn_resizer_isa(rs, isa); /* or the best below it */
            assert_int_equal(rn_resize(rs, &src, NULL, (enum rn_filter)g.a[0], g.a[4], g.a[5], &dst), 0);
            check(&g, dst.px, (size_t)dst.w * (size_t)dst.h * (size_t)dst.c);
        }
    }
    assert_int_equal(seen, 60);
    rn_resizer_close(rs);
    rn_image_free(&dst);
    free(g.file);
}

/* The maker's noise: byte i is a hash of i. */
static void hashed(rn_image *im, int w, int h, int c, uint32_t seed)
{
    assert_int_equal(rn_image_alloc(im, w, h, c), 0);
    for (uint32_t i = 0; i < (uint32_t)(w * h * c); i++) {
        uint32_t x = (i + seed * 0x01000193u) * 0x9e3779b1u;
        x = (x ^ x >> 15) * 0x85ebca77u;
        im->px[i] = (uint8_t)((x ^ x >> 13) >> 24);
    }
}

/* The MD5 of one resize, or of the 200 hammings. */
static void noise_digest(rn_resizer *rs, const golden *g, char hex[RN_DIGEST_HEX_MAX])
{
    rn_image src = {0}, dst = {0};
    rn_digest *d;
    assert_int_equal(rn_digest_open(RN_MD5, &d), 0);
    for (int i = 0; i < (g->a[0] < 0 ? 200 : 1); i++) {
        const int many[] = {40 + 7 * i % 200, 30 + 11 * i % 150, 3, 20 + 13 * i % 300, 25 + 17 * i % 170, i};
        const int one[] = {g->a[1], g->a[2], g->a[3], g->a[4], g->a[5], g->a[6]}, *s = g->a[0] < 0 ? many : one;
        enum rn_filter f = g->a[0] < 0 ? RN_FILTER_HAMMING : (enum rn_filter)g->a[0];
        hashed(&src, s[0], s[1], s[2], (uint32_t)s[5]);
        assert_int_equal(rn_resize(rs, &src, NULL, f, s[3], s[4], &dst), 0);
        rn_digest_update(d, dst.px, (size_t)s[3] * (size_t)s[4] * (size_t)s[2]);
    }
    assert_int_equal(rn_digest_final(d, hex), 0);
    rn_digest_close(d);
    rn_image_free(&src);
    rn_image_free(&dst);
}

static void resize_of_noise_is_theirs(void **state)
{
    (void)state;
    golden g;
    rn_resizer *rs;
    int seen = 0;
    assert_int_equal(rn_resizer_open(&rs), 0);
    for (golden_open(&g, "noise"); golden_next(&g); seen++) {
        assert_int_equal(g.kind, NOISE);
        assert_int_equal(g.out_n, 33);
        for (rn_isa isa = RN_ISA_PORTABLE; isa <= RN_ISA_AVX512; isa++) {
            char hex[RN_DIGEST_HEX_MAX];
            if (rn_resizer_isa(rs, isa) != isa)
                continue;
            noise_digest(rs, &g, hex);
            if (memcmp(hex, g.out, 32) != 0)
                fail_msg("%s, filter %d: %dx%dx%d to %dx%d differs", rn_isa_names[isa], g.a[0], g.a[1], g.a[2], g.a[3],
                         g.a[4], g.a[5]);
        }
    }
    assert_int_equal(seen, 169);
    rn_resizer_close(rs);
    free(g.file);
}

static void evaluation_is_torchvisions(void **state)
{
    (void)state;
    golden g;
    rn_renderer *rd;
    int seen = 0;
    assert_int_equal(rn_renderer_open(&rd), 0);
    for (golden_open(&g, "eval"); golden_next(&g); seen++) {
        int w, h;
        rn_place p;
        size_t n = (size_t)g.a[1] * (size_t)g.a[2] * 3;
        uint8_t *px = malloc(n);
        assert_non_null(px);
        assert_int_equal(g.kind, EVAL);
        assert_int_equal(rn_renderer_begin(rd, g.in, (size_t)g.in_n, "golden", &w, &h), 0);
        rn_place_eval(w, h, g.a[0], g.a[1], g.a[2], &p);
        assert_int_equal(rn_renderer_draw(rd, &p, false, g.a[1], g.a[2], 3, px), 0);
        check(&g, px, n);
        free(px);
    }
    assert_int_equal(seen, 29);
    rn_renderer_close(rd);
    free(g.file);
}

static void random_crops_are_torchvisions(void **state)
{
    (void)state;
    golden g;
    int seen = 0;
    for (golden_open(&g, "crop"); golden_next(&g); seen++) {
        rn_rng r;
        rn_rect c;
        assert_int_equal(g.kind, CROP);
        rn_rng_seed(&r, 11 + (uint64_t)g.a[0] * 0x80000000u, RN_STREAM_AUGMENT, (uint32_t)g.a[1], (uint32_t)g.a[2]);
        rn_augment_resized_crop(&r, g.a[3], g.a[4], (const double[]){0.08, 1.0}, (const double[]){3.0 / 4.0, 4.0 / 3.0},
                                &c);
        assert_true(c.x == g.a[5] && c.y == g.a[6] && c.w == g.a[7] && c.h == g.a[8]);
    }
    assert_int_equal(seen, 500);
    free(g.file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decode_is_pillows),
        cmocka_unit_test(resize_is_pillows_and_opencvs),
        cmocka_unit_test(resize_of_noise_is_theirs),
        cmocka_unit_test(evaluation_is_torchvisions),
        cmocka_unit_test(random_crops_are_torchvisions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
