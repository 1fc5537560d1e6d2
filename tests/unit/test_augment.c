/* SPDX-License-Identifier: MIT */
/* rn_augment: the laws of the random places, and that a drawn place is what decoding everything would give. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rn_error.h"
#include "data/load/rn_augment.h"
#include "data/store/rn_datum.h"

static const double scale[2] = {0.08, 1.0}, ratio[2] = {3.0 / 4.0, 4.0 / 3.0};

static rn_image scene(int w, int h, int c, uint32_t seed)
{
    rn_image im = {0};
    rn_rng r;
    rn_rng_seed(&r, seed, RN_STREAM_TEST, 0, 0);
    assert_int_equal(rn_image_alloc(&im, w, h, c), 0);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            for (int k = 0; k < c; k++)
                im.px[(y * w + x) * c + k] =
                    (uint8_t)(128 + 60 * sin(x * .11 + k) + 50 * cos(y * .07 * (k + 1)) + rn_rng_below(&r, 12));
    return im;
}

static void resized_crops_keep_the_law(void **state)
{
    (void)state;
    rn_rng r;
    double area = 0;
    enum { N = 20000, W = 500, H = 375 };
    int moved = 0;
    for (uint32_t i = 0; i < N; i++) {
        rn_rect c;
        rn_rng_seed(&r, 3, RN_STREAM_AUGMENT, 0, i);
        rn_augment_resized_crop(&r, W, H, scale, ratio, &c);
        assert_true(c.x >= 0 && c.y >= 0 && c.w > 0 && c.h > 0 && c.x + c.w <= W && c.y + c.h <= H);
        double a = (double)c.w * c.h / (W * H), asp = (double)c.w / c.h;
        assert_true(a > 0.079 && a <= 1.0);
        assert_true(asp > 0.74 && asp < 1.35);
        area += a;
        moved += c.x != (W - c.w) / 2;
    }
    /* U(.08, 1) has the mean .54, but large areas of unfitting aspect are drawn again; torchvision's mean of 20,000 is
     * .432 */
    assert_true(fabs(area / N - 0.432) < 0.008);
    assert_true(moved > N / 2);
}

static void resized_crop_falls_back(void **state)
{
    (void)state;
    rn_rng r;
    rn_rect c;
    rn_rng_seed(&r, 3, RN_STREAM_AUGMENT, 0, 0);
    rn_augment_resized_crop(&r, 1000, 10, (const double[]){0.9, 1.0}, ratio,
                            &c);                                   /* nothing square is that large in a strip */
    assert_true(c.w == 13 && c.h == 10 && c.x == 493 && c.y == 0); /* 10 * 4/3 = 13.3 */
    rn_augment_resized_crop(&r, 10, 1000, (const double[]){0.9, 1.0}, ratio, &c);
    assert_true(c.w == 10 && c.h == 13 && c.x == 0 && c.y == 493);
    rn_augment_resized_crop(&r, 100, 100, (const double[]){2.0, 2.0}, ratio, &c);
    assert_true(c.w == 100 && c.h == 100 && c.x == 0 && c.y == 0);
}

static void padded_places_cover_all_offsets(void **state)
{
    (void)state;
    int seen[9][9] = {{0}}, flips = 0;
    enum { N = 8100 };
    for (uint32_t i = 0; i < N; i++) {
        rn_rng r;
        rn_place p;
        rn_rng_seed(&r, 5, RN_STREAM_AUGMENT, 1, i);
        assert_int_equal(rn_place_padded(&r, 32, 32, 4, true, 32, 32, &p), 0);
        int left = p.flip ? 32 - p.x - p.window.w : p.x;
        int dx = p.window.x - left, dy = p.window.y - p.y; /* where the output begins in the image */
        assert_true(dx >= -4 && dx <= 4 && dy >= -4 && dy <= 4);
        assert_int_equal(p.window.w, 32 - abs(dx));
        assert_int_equal(p.window.h, 32 - abs(dy));
        seen[dy + 4][dx + 4]++;
        flips += p.flip;
    }
    for (int i = 0; i < 81; i++)
        assert_true(seen[i / 9][i % 9] > 50 && seen[i / 9][i % 9] < 160); /* 100 expected, sigma 10 */
    assert_true(flips > N / 2 - 250 && flips < N / 2 + 250);
    rn_rng r;
    rn_place p;
    rn_rng_seed(&r, 5, RN_STREAM_AUGMENT, 1, 0);
    assert_int_equal(rn_place_padded(&r, 20, 32, 4, true, 32, 32, &p), RN_E_RANGE);
    assert_non_null(strstr(rn_error_text(), "20 x 32"));
    assert_int_equal(rn_place_padded(&r, 32, 32, -1, true, 32, 32, &p), RN_E_RANGE);
}

/* What the place means, done the long way: everything decoded, cropped, resized whole, cut, mirrored. */
static void expect(const rn_image *im, const rn_place *p, int ow, int oh, uint8_t *out)
{
    rn_resizer *rs;
    rn_image whole = {0};
    int c = im->c;
    assert_int_equal(rn_resizer_open(&rs), 0);
    assert_int_equal(rn_resize(rs, im, &p->crop, RN_FILTER_BILINEAR, p->rw, p->rh, &whole), 0);
    memset(out, 0, (size_t)ow * (size_t)oh * (size_t)c);
    for (int y = 0; y < p->window.h; y++)
        for (int x = 0; x < p->window.w; x++) {
            int sx = p->window.x + (p->flip ? p->window.w - 1 - x : x);
            memcpy(out + ((p->y + y) * ow + p->x + x) * c, whole.px + ((p->window.y + y) * p->rw + sx) * c, (size_t)c);
        }
    rn_image_free(&whole);
    rn_resizer_close(rs);
}

static void places_are_drawn(void **state)
{
    (void)state;
    rn_renderer *rd;
    assert_int_equal(rn_renderer_open(&rd), 0);
    for (uint32_t i = 0; i < 120; i++) {
        rn_rng r;
        rn_rng_seed(&r, 9, RN_STREAM_AUGMENT, 2, i);
        int w = 40 + (int)rn_rng_below(&r, 120), h = 40 + (int)rn_rng_below(&r, 120), c = i % 4 ? 3 : 1,
            kind = (int)(i % 3), rw, rh;
        int ow = 32 + (int)rn_rng_below(&r, 9), oh = 32;
        rn_image im = scene(w, h, c, i), decoded = {0};
        uint8_t *jpeg = NULL, *planar = malloc((size_t)w * h * c), want[40 * 32 * 3], got[40 * 32 * 3];
        size_t cap = 0, n = 0;
        rn_place p;
        assert_non_null(planar);
        if (kind == 0)
            rn_place_resized(&r, w, h, scale, ratio, true, ow, oh, &p);
        else if (kind == 1)
            assert_int_equal(rn_place_padded(&r, w, h, 4, true, ow, oh, &p), 0);
        else
            rn_place_eval(w, h, (int)(i % 5) * 10, ow, oh, &p); /* none, and some smaller than the output: padded */
        assert_int_equal(rn_image_encode_jpeg(&im, 90, &jpeg, &cap, &n), 0);
        assert_int_equal(rn_image_decode(jpeg, n, "x", &(rn_decode_opts){.gray = c == 1}, &decoded, NULL), 0);
        expect(&decoded, &p, ow, oh, want);
        memset(got, 77, sizeof got);
        assert_int_equal(rn_renderer_begin(rd, jpeg, n, "x", &rw, &rh), 0);
        assert_true(rw == w && rh == h);
        assert_int_equal(rn_renderer_draw(rd, &p, false, ow, oh, c, got), 0);
        assert_memory_equal(got, want, (size_t)ow * oh * c);

        rn_datum_planar_from_rgb(decoded.px, h, w, c, planar);
        memset(got, 77, sizeof got);
        assert_int_equal(rn_renderer_begin_raw(rd, planar, c, h, w, "x"), 0);
        assert_int_equal(rn_renderer_draw(rd, &p, true, ow, oh, c, got), 0);
        assert_memory_equal(got, want, (size_t)ow * oh * c);
        free(planar);
        free(jpeg);
        rn_image_free(&im);
        rn_image_free(&decoded);
    }
    rn_renderer_close(rd);
}

/* The fast way gives nearly the same picture, for every corner and size a crop may have. */
static void fast_is_close(void **state)
{
    (void)state;
    rn_renderer *rd;
    rn_image im = {0};
    uint8_t *jpeg = NULL, exact[24 * 24 * 3], fast[24 * 24 * 3];
    size_t cap = 0, n = 0;
    int w, h, differ = 0;
    assert_int_equal(rn_renderer_open(&rd), 0);
    assert_int_equal(rn_image_alloc(&im, 515, 389, 3), 0);
    for (int i = 0; i < 515 * 389 * 3; i++) /* waves of 100 pixels and more: 12 and more of an eighth */
        im.px[i] =
            (uint8_t)(128 + 60 * sin(i / 3 % 515 * 0.06 + i % 3) + 60 * cos(i / 3 / 515 * 0.03 * (1 + i % 3 / 2.0)));
    assert_int_equal(rn_image_encode_jpeg(&im, 95, &jpeg, &cap, &n), 0);
    for (uint32_t i = 0; i < 100; i++) {
        rn_rng r;
        rn_place p;
        rn_rng_seed(&r, 10, RN_STREAM_AUGMENT, 2, i);
        rn_place_resized(&r, 515, 389, scale, ratio, true, 24, 24, &p);
        assert_int_equal(rn_renderer_begin(rd, jpeg, n, "x", &w, &h), 0);
        assert_int_equal(rn_renderer_draw(rd, &p, false, 24, 24, 3, exact), 0);
        assert_int_equal(rn_renderer_begin(rd, jpeg, n, "x", &w, &h), 0);
        assert_int_equal(rn_renderer_draw(rd, &p, true, 24, 24, 3, fast), 0);
        double sum = 0;
        for (size_t k = 0; k < sizeof fast; k++)
            sum += abs(fast[k] - exact[k]);
        assert_true(sum / sizeof fast < 8); /* sides moved by up to 4 pixels, on slopes of 3.6 a pixel and axis */
        differ += sum > 0;
    }
    assert_true(differ > 50); /* it was taken */
    free(jpeg);
    rn_image_free(&im);
    rn_renderer_close(rd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resized_crops_keep_the_law),
        cmocka_unit_test(resized_crop_falls_back),
        cmocka_unit_test(padded_places_cover_all_offsets),
        cmocka_unit_test(places_are_drawn),
        cmocka_unit_test(fast_is_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
