/* SPDX-License-Identifier: MIT */
/* The laws of the random adjustments, and what each does to pixels. That they are torchvision's: tests/golden/test_color.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "data/load/rn_color.h"

static rn_rng stream(uint32_t i)
{
    rn_rng r;
    rn_rng_seed(&r, 12, RN_STREAM_TEST, 0, i);
    return r;
}

static void jitter_keeps_the_law(void **state)
{
    (void)state;
    enum { N = 24000 };
    const rn_jitter j = {.range = {0.4, 0.3, 1.5, 0.1}};
    static const double lo[] = {0.6, 0.7, 0, -0.1}, hi[] = {1.4, 1.3, 2.5, 0.1};
    int place[4][4] = {{0}}, orders[256] = {0};
    double sum[4] = {0}, square[4] = {0};
    for (uint32_t i = 0; i < N; i++) {
        rn_rng r = stream(i);
        rn_jitter_steps s;
        rn_jitter_draw(&r, &j, &s);
        assert_int_equal(s.n, 4);
        int code = 0;
        for (int k = 0; k < 4; k++) {
            int op = (int)s.step[k].op;
            double f = s.step[k].factor;
            assert_true(f >= (float)lo[op] && f <= (float)hi[op]);
            place[op][k]++;
            code = code * 4 + op;
            sum[op] += f;
            square[op] += f * f;
        }
        orders[code]++;
    }
    int kinds = 0;
    for (int i = 0; i < 256; i++) {
        kinds += orders[i] > 0;
        assert_true(!orders[i] || abs(orders[i] - N / 24) < 160); /* 1000 expected, sigma 31 */
    }
    assert_int_equal(kinds, 24);
    for (int op = 0; op < 4; op++) {
        double mean = (lo[op] + hi[op]) / 2, sigma = (hi[op] - lo[op]) / sqrt(12);
        assert_true(fabs(sum[op] / N - mean) < 5 * sigma / sqrt(N));
        assert_true(fabs(sqrt(square[op] / N - pow(sum[op] / N, 2)) - sigma) < 0.02 * sigma);
    }
}

/* An adjustment of range 0 is left out and changes neither order nor factors of the others' laws. */
static void jitter_leaves_out(void **state)
{
    (void)state;
    for (int mask = 0; mask < 16; mask++) {
        rn_jitter j = {{0}};
        rn_jitter_steps s;
        int n = 0, seen = 0;
        for (int op = 0; op < 4; op++) {
            j.range[op] = mask >> op & 1 ? 0.3 : 0;
            n += mask >> op & 1;
        }
        rn_rng r = stream((uint32_t)mask);
        rn_jitter_draw(&r, &j, &s);
        assert_int_equal(s.n, n);
        for (int k = 0; k < s.n; k++)
            seen |= 1 << s.step[k].op;
        assert_int_equal(seen, mask);
    }
}

static void adjustments_do_something(void **state)
{
    (void)state;
    static const float factor[] = {1.3f, 0.5f, 0.4f, 0.2f};
    const uint8_t px[] = {10, 200, 90, 250, 40, 60};
    for (int op = 0; op < 4; op++) {
        uint8_t got[6], gray[6];
        memcpy(got, px, 6);
        memcpy(gray, px, 6);
        rn_color_adjust((enum rn_color_op)op, factor[op], got, 2, 3);
        assert_memory_not_equal(got, px, 6);
        rn_color_adjust((enum rn_color_op)op, factor[op], gray, 6, 1);
        assert_true((memcmp(gray, px, 6) == 0) == (op >= RN_COLOR_SATURATION));
    }
    rn_color_adjust(RN_COLOR_CONTRAST, 2, NULL, 0, 3);
}

/* The shift's covariance is eigvec diag((255 std eigval)^2) eigvec', plus the 1/12 of rounding. */
static void lighting_has_its_covariance(void **state)
{
    (void)state;
    enum { N = 40000 };
    static const double vec[3][3] = {
        {-0.5675, 0.7192, 0.4009}, {-0.5808, -0.0045, -0.8140}, {-0.5836, -0.6948, 0.4203}};
    static const double val[3] = {0.2175, 0.0188, 0.0045};
    double cov[3][3] = {{0}}, mean[3] = {0};
    for (uint32_t i = 0; i < N; i++) {
        rn_rng r = stream(i);
        int shift[3];
        rn_lighting_draw(&r, 0.5, shift);
        for (int a = 0; a < 3; a++) {
            mean[a] += (double)shift[a] / N;
            for (int b = 0; b < 3; b++)
                cov[a][b] += (double)shift[a] * shift[b] / N;
        }
    }
    for (int a = 0; a < 3; a++)
        for (int b = 0; b < 3; b++) {
            double want = a == b ? 1.0 / 12 : 0;
            for (int k = 0; k < 3; k++)
                want += vec[a][k] * vec[b][k] * pow(255 * 0.5 * val[k], 2);
            assert_true(fabs(mean[a]) < 5 * 16 / sqrt(N));
            assert_true(fabs(cov[a][b] - want) < 0.05 * 250);
        }
    uint8_t px[] = {0, 5, 250, 100, 101, 102};
    rn_lighting_apply((const int[]){-7, 3, 9}, px, 2);
    assert_memory_equal(px, ((const uint8_t[]){0, 8, 255, 93, 104, 111}), 6);
}

static void cutout_covers_the_image(void **state)
{
    (void)state;
    enum { W = 20, H = 12, SIDE = 8, N = 24000 };
    int painted[H][W] = {{0}}, whole = 0;
    for (uint32_t i = 0; i < N; i++) {
        rn_rng r = stream(i);
        rn_rect hole;
        rn_cutout_draw(&r, W, H, SIDE, &hole);
        assert_true(hole.x >= 0 && hole.y >= 0 && hole.x + hole.w <= W && hole.y + hole.h <= H);
        assert_true(hole.w >= SIDE / 2 && hole.w <= SIDE && hole.h >= SIDE / 2 && hole.h <= SIDE);
        whole += hole.w == SIDE && hole.h == SIDE;
        for (int y = hole.y; y < hole.y + hole.h; y++)
            for (int x = hole.x; x < hole.x + hole.w; x++)
                painted[y][x]++;
    }
    /* a pixel is hit by the centres within side / 2 before and after it: fewer of them at the border */
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++) {
            int ny = (y + 4 < H - 1 ? y + 4 : H - 1) - (y - 3 > 0 ? y - 3 : 0) + 1;
            int nx = (x + 4 < W - 1 ? x + 4 : W - 1) - (x - 3 > 0 ? x - 3 : 0) + 1;
            double p = (double)nx * ny / (W * H);
            assert_true(fabs(painted[y][x] - N * p) < 5 * sqrt(N * p * (1 - p)));
        }
    double p = 13.0 * 5 / (W * H); /* centres 4..16 by 4..8 */
    assert_true(fabs(whole - N * p) < 5 * sqrt(N * p * (1 - p)));

    uint8_t px[3 * 4 * 3];
    memset(px, 9, sizeof px);
    rn_cutout_apply(&(rn_rect){2, 1, 2, 2}, (const uint8_t[]){1, 2, 3}, px, 4, 3);
    for (int i = 0; i < 12; i++) {
        bool in = i % 4 >= 2 && i / 4 >= 1;
        assert_memory_equal(px + 3 * i, in ? ((const uint8_t[]){1, 2, 3}) : ((const uint8_t[]){9, 9, 9}), 3);
    }
    rn_rng r = stream(0);
    rn_rect none;
    rn_cutout_draw(&r, W, H, 1, &none); /* half of 1 is 0 */
    assert_true(none.w == 0 && none.h == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jitter_keeps_the_law),     cmocka_unit_test(jitter_leaves_out),
        cmocka_unit_test(adjustments_do_something), cmocka_unit_test(lighting_has_its_covariance),
        cmocka_unit_test(cutout_covers_the_image),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
