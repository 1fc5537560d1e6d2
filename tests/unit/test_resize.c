/* SPDX-License-Identifier: MIT */
/* rn_resize: the two ways of computing agree, windows and mirrors are parts of the whole, geometry is torchvision's.
 * The bits themselves are held against Pillow in tests/golden/test_pixels.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rn_error.h"
#include "base/rn_rng.h"
#include "data/image/rn_resize.h"

static rn_rng rng;
static rn_resizer *rs;

static int setup(void **state)
{
    (void)state;
    rn_rng_seed(&rng, 1, RN_STREAM_TEST, 0, 0);
    return rn_resizer_open(&rs);
}

static int teardown(void **state)
{
    (void)state;
    rn_resizer_close(rs);
    return 0;
}

static int below(int n)
{
    return (int)rn_rng_below(&rng, (uint32_t)n);
}

static rn_image noise(int w, int h, int c)
{
    rn_image im = {0};
    assert_int_equal(rn_image_alloc(&im, w, h, c), 0);
    for (int i = 0; i < w * h * c; i++)
        im.px[i] = (uint8_t)rn_rng_u32(&rng);
    return im;
}

/* Runs the present plan on a block that holds exactly the needed part, so that a sanitizer sees any other read. */
static uint8_t *run_exact(const rn_image *im, const rn_rect *need, int w, int h)
{
    size_t c = (size_t)im->c, stride = (size_t)need->w * c;
    uint8_t *in = malloc(stride * (size_t)need->h), *out = malloc((size_t)w * (size_t)h * c);
    assert_true(in && out);
    for (int y = 0; y < need->h; y++)
        memcpy(in + (size_t)y * stride, im->px + ((size_t)(need->y + y) * (size_t)im->w + (size_t)need->x) * c, stride);
    assert_int_equal(rn_resizer_run(rs, in, stride, im->c, out, (size_t)w * c), 0);
    free(in);
    return out;
}

/* A window of `whole`, mirrored or not, from only the needed input, by the present instruction set. */
static void check_window(enum rn_filter f, const rn_image *im, const rn_image *whole)
{
    int w = im->w, h = im->h, c = im->c, ow = whole->w, oh = whole->h;
    rn_rect win = {.w = 1 + below(ow), .h = 1 + below(oh)}, need;
    win.x = below(ow - win.w + 1);
    win.y = below(oh - win.h + 1);
    for (int flip = 0; flip < 2; flip++) {
        assert_int_equal(rn_resizer_plan(rs, f, w, h, ow, oh, &win, flip, &need), 0);
        assert_true(need.x >= 0 && need.y >= 0 && need.x + need.w <= w && need.y + need.h <= h);
        uint8_t *part = run_exact(im, &need, win.w, win.h);
        for (int y = 0; y < win.h; y++)
            for (int x = 0; x < win.w; x++) {
                int from = win.x + (flip ? win.w - 1 - x : x);
                if (memcmp(part + (y * win.w + x) * c, whole->px + ((win.y + y) * ow + from) * c, (size_t)c) != 0)
                    fail_msg("%s %dx%dx%d to %dx%d, window %d,%d %dx%d%s: pixel %d,%d", rn_filter_names[f], w, h, c, ow,
                             oh, win.x, win.y, win.w, win.h, flip ? " mirrored" : "", x, y);
            }
        free(part);
    }
}

/* One random case: the whole in plain C, then the same and a window with every instruction set of this CPU. */
static void check_case(enum rn_filter f, int w, int h, int c, int ow, int oh)
{
    rn_image im = noise(w, h, c), a = {0}, b = {0};
    rn_resizer_isa(rs, RN_ISA_PORTABLE);
    assert_int_equal(rn_resize(rs, &im, NULL, f, ow, oh, &a), 0);
    assert_true(a.w == ow && a.h == oh && a.c == c);
    for (rn_isa isa = RN_ISA_PORTABLE; isa <= RN_ISA_AVX512; isa++) {
        if (rn_resizer_isa(rs, isa) != isa)
            continue;
        assert_int_equal(rn_resize(rs, &im, NULL, f, ow, oh, &b), 0);
        if (memcmp(a.px, b.px, (size_t)ow * (size_t)oh * (size_t)c) != 0)
            fail_msg("%s %dx%dx%d to %dx%d: %s differs from plain C", rn_filter_names[f], w, h, c, ow, oh,
                     rn_isa_names[isa]);
        check_window(f, &im, &a);
    }
    rn_image_free(&im);
    rn_image_free(&a);
    rn_image_free(&b);
}

static void ways_and_windows_agree(void **state)
{
    (void)state;
    for (int i = 0; i < 1500; i++) {
        enum rn_filter f = (enum rn_filter)(i % RN_FILTER_COUNT);
        int top = i % 97 == 0 ? 700 : i % 5 ? 50 : 200;
        int w = 1 + below(top), h = 1 + below(top), c = i % 3 ? 3 : 1;
        int ow = i % 11 == 1 ? w : 1 + below(top), oh = i % 13 == 1 ? h : 1 + below(top);
        if (i % 7 == 0) /* strips */
            *(i % 2 ? &w : &h) = 1 + below(3);
        if (i % 17 == 0) /* far fewer pixels than before, and so many taps */
            *(i % 2 ? &ow : &oh) = 1 + below(4);
        check_case(f, w, h, c, ow, oh);
    }
    for (int n = 1; n <= 75; n++) /* its 2:1 */
        check_case(RN_FILTER_OPENCV_LINEAR, 2 * n, 2 * (1 + n % 7), n % 2 ? 3 : 1, n, 1 + n % 7);
    check_case(RN_FILTER_BILINEAR, 30, 100, 3, 30, 20); /* vertical alone */
    check_case(RN_FILTER_BILINEAR, 30, 200, 3, 20, 20); /* vertical first */
    check_case(RN_FILTER_LANCZOS, 1, 1, 3, 50, 50);
}

/* Whole images in blocks of their exact size, all small shapes: what a sanitizer would see the vectors read. */
static void nothing_beyond_is_read(void **state)
{
    (void)state;
    rn_rect need;
    for (int n = 1; n <= 14; n++)
        for (int out = 1; out <= 4; out++)
            for (int axes = 1; axes < 4; axes++) { /* vertical, horizontal, both */
                int w = axes & 2 ? n : 11, h = axes & 1 ? n : 11, ow = axes & 2 ? out : 11, oh = axes & 1 ? out : 11;
                rn_image im = noise(w, h, 3), want = {0};
                rn_resizer_isa(rs, RN_ISA_PORTABLE);
                assert_int_equal(rn_resize(rs, &im, NULL, RN_FILTER_BILINEAR, ow, oh, &want), 0);
                for (rn_isa isa = RN_ISA_AVX2; isa <= RN_ISA_AVX512; isa++) {
                    rn_resizer_isa(rs, isa);
                    assert_int_equal(rn_resizer_plan(rs, RN_FILTER_BILINEAR, w, h, ow, oh, NULL, false, &need), 0);
                    uint8_t *got = run_exact(&im, &need, ow, oh);
                    assert_memory_equal(got, want.px, (size_t)ow * (size_t)oh * 3);
                    free(got);
                }
                rn_image_free(&im);
                rn_image_free(&want);
            }
}

static void crop_comes_first(void **state)
{
    (void)state;
    rn_image im = noise(60, 40, 3), cut = {0}, a = {0}, b = {0};
    const rn_rect crop = {7, 9, 33, 21};
    assert_int_equal(rn_image_alloc(&cut, crop.w, crop.h, 3), 0);
    for (int y = 0; y < crop.h; y++)
        memcpy(cut.px + y * crop.w * 3, im.px + ((crop.y + y) * im.w + crop.x) * 3, (size_t)crop.w * 3);
    assert_int_equal(rn_resize(rs, &im, &crop, RN_FILTER_BICUBIC, 24, 24, &a), 0);
    assert_int_equal(rn_resize(rs, &cut, NULL, RN_FILTER_BICUBIC, 24, 24, &b), 0);
    assert_memory_equal(a.px, b.px, 24 * 24 * 3);
    const rn_rect outside = {30, 0, 31, 40};
    assert_int_equal(rn_resize(rs, &im, &outside, RN_FILTER_BICUBIC, 24, 24, &a), RN_E_RANGE);
    rn_image_free(&im);
    rn_image_free(&cut);
    rn_image_free(&a);
    rn_image_free(&b);
}

/* Small cases worked out by hand. */
static void known_values(void **state)
{
    (void)state;
    uint8_t px[4] = {10, 20, 30, 41};
    rn_image im = {.w = 4, .h = 1, .c = 1, .px = px, .cap = 4}, out = {0};
    assert_int_equal(rn_resize(rs, &im, NULL, RN_FILTER_BOX, 2, 1, &out), 0);
    assert_int_equal(out.px[0], 15); /* (10 + 20) / 2 */
    assert_int_equal(out.px[1], 36); /* 35.5 goes up */
    /* Antialiased 2:1: a triangle 2 wide at 1.0 weighs pixels 0, 1, 2 by .75 .75 .25, of sum 1.75. */
    assert_int_equal(rn_resize(rs, &im, NULL, RN_FILTER_BILINEAR, 2, 1, &out), 0);
    assert_int_equal(out.px[0], 17); /* (7.5 + 15 + 7.5) / 1.75 = 17.14 */
    /* OpenCV without antialiasing, 4 -> 3: taps at 0.1667 and 1.5 (half way between 20 and 30). */
    assert_int_equal(rn_resize(rs, &im, NULL, RN_FILTER_OPENCV_LINEAR, 3, 1, &out), 0);
    assert_int_equal(out.px[0], 12);
    assert_int_equal(out.px[1], 25);
    rn_image_free(&out);
}

static void flat_stays_flat(void **state)
{
    (void)state;
    for (int f = 0; f < RN_FILTER_COUNT; f++)
        for (int v = 0; v < 256; v += 51) {
            rn_image im = noise(37, 91, 3), out = {0};
            memset(im.px, v, im.cap);
            assert_int_equal(rn_resize(rs, &im, NULL, (enum rn_filter)f, 53, 17, &out), 0);
            for (int i = 0; i < 53 * 17 * 3; i++)
                assert_int_equal(out.px[i], v);
            rn_image_free(&im);
            rn_image_free(&out);
        }
}

static void same_size_copies(void **state)
{
    (void)state;
    rn_image im = noise(31, 17, 3), out = {0};
    for (int f = 0; f < RN_FILTER_COUNT; f++) {
        assert_int_equal(rn_resize(rs, &im, NULL, (enum rn_filter)f, 31, 17, &out), 0);
        assert_memory_equal(out.px, im.px, 31 * 17 * 3);
    }
    rn_image_free(&im);
    rn_image_free(&out);
}

static void bad_plans_are_refused(void **state)
{
    (void)state;
    rn_rect need;
    const rn_rect outside = {1, 0, 10, 10};
    assert_int_equal(rn_resizer_plan(rs, RN_FILTER_BOX, 0, 5, 5, 5, NULL, false, &need), RN_E_RANGE);
    assert_int_equal(rn_resizer_plan(rs, RN_FILTER_BOX, 70000, 5, 5, 5, NULL, false, &need), RN_E_RANGE);
    assert_int_equal(rn_resizer_plan(rs, RN_FILTER_BOX, 5, 5, 10, 10, &outside, false, &need), RN_E_RANGE);
    assert_int_equal(rn_resizer_plan(rs, RN_FILTER_COUNT, 5, 5, 10, 10, NULL, false, &need), RN_E_RANGE);
    uint8_t px[3] = {0};
    assert_int_equal(rn_resizer_run(rs, px, 3, 3, px, 3), RN_E_RANGE); /* no plan stands */
}

/* A strip whose resize would be 7 million pixels long: the window alone is made. */
static void only_the_window_costs(void **state)
{
    (void)state;
    rn_image im = noise(1, 30000, 3);
    const rn_rect win = {16, 30000 * 128 - 112, 224, 224};
    rn_rect need;
    assert_int_equal(rn_resizer_plan(rs, RN_FILTER_BILINEAR, 1, 30000, 256, 30000 * 256, &win, false, &need), 0);
    assert_true(need.w == 1 && need.h <= 4);
    free(run_exact(&im, &need, 224, 224));
    rn_image_free(&im);
}

static void short_side(void **state)
{
    (void)state;
    static const int cases[][5] = {{500, 375, 256, 341, 256}, {375, 500, 256, 256, 341}, {400, 400, 256, 256, 256},
                                   {500, 333, 256, 384, 256}, {224, 500, 146, 146, 325}, {100, 301, 50, 50, 150}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int w, h;
        rn_resize_short_size(cases[i][0], cases[i][1], cases[i][2], &w, &h);
        assert_int_equal(w, cases[i][3]);
        assert_int_equal(h, cases[i][4]);
    }
}

static void centre_crop(void **state)
{
    (void)state;
    /* size, wanted, first taken, how many, where to: halves go to even; padding is smaller before than after */
    static const int cases[][5] = {{256, 224, 16, 224, 0}, {257, 224, 16, 224, 0}, {258, 224, 17, 224, 0},
                                   {259, 224, 18, 224, 0}, {225, 224, 0, 224, 0},  {227, 224, 2, 224, 0},
                                   {229, 224, 2, 224, 0},  {231, 224, 4, 224, 0},  {224, 224, 0, 224, 0},
                                   {223, 224, 0, 223, 0},  {221, 224, 0, 221, 1},  {100, 224, 0, 100, 62}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int from, n, to;
        rn_center_crop(cases[i][0], cases[i][1], &from, &n, &to);
        assert_int_equal(from, cases[i][2]);
        assert_int_equal(n, cases[i][3]);
        assert_int_equal(to, cases[i][4]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ways_and_windows_agree),
        cmocka_unit_test(nothing_beyond_is_read),
        cmocka_unit_test(crop_comes_first),
        cmocka_unit_test(known_values),
        cmocka_unit_test(flat_stays_flat),
        cmocka_unit_test(same_size_copies),
        cmocka_unit_test(bad_plans_are_refused),
        cmocka_unit_test(only_the_window_costs),
        cmocka_unit_test(short_side),
        cmocka_unit_test(centre_crop),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
