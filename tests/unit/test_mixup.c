/* SPDX-License-Identifier: MIT */
/* mixup: the law of the share, and the mixing of rows and labels. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "data/load/rn_mixup.h"

/* Mean a / (a + b), variance ab / ((a + b)^2 (a + b + 1)), and the fourth central moment of the symmetric law:
 * 3 var^2 (2a + 1) / (2a + 3). */
static void beta_has_its_moments(void **state)
{
    (void)state;
    static const double alphas[][2] = {{0.01, 0.01}, {0.2, 0.2}, {0.4, 0.4}, {1, 1},
                                       {3, 3},       {50, 50},   {0.5, 2},   {7, 2}};
    enum { N = 60000 };
    for (uint32_t i = 0; i < sizeof alphas / sizeof *alphas; i++) {
        const double a = alphas[i][0], b = alphas[i][1], mean = a / (a + b), var = mean * (1 - mean) / (a + b + 1);
        double sum = 0, square = 0, fourth = 0;
        rn_rng r;
        rn_rng_seed(&r, 6, RN_STREAM_TEST, i, 0);
        for (int k = 0; k < N; k++) {
            double v = rn_mixup_beta(&r, a, b), d = v - mean;
            assert_true(v >= 0 && v <= 1);
            sum += v;
            square += d * d;
            fourth += d * d * d * d;
        }
        assert_true(fabs(sum / N - mean) <= 5 * sqrt(var / N));
        assert_true(fabs(square / N - var) <= 5 * sqrt(fourth / N / N));
        if (a == b) {
            const double want = 3 * var * var * (2 * a + 1) / (2 * a + 3);
            assert_true(fabs(fourth / N - want) <= 0.03 * want);
        }
    }
}

/* The quartiles of Beta(1/2, 1/2), the arcsine law, are known: sin^2(pi q / 2). */
static void beta_has_its_quantiles(void **state)
{
    (void)state;
    enum { N = 40000 };
    int below[8] = {0};
    rn_rng r;
    rn_rng_seed(&r, 7, RN_STREAM_TEST, 0, 0);
    for (int k = 0; k < N; k++) {
        double v = rn_mixup_beta(&r, 0.5, 0.5);
        for (int q = 1; q < 8; q++)
            below[q] += v < pow(sin(M_PI * q / 16), 2);
    }
    for (int q = 1; q < 8; q++)
        assert_true(abs(below[q] - N * q / 8) <= 5 * sqrt(N * q / 8.0 * (8 - q) / 8.0));
}

static void share_depends_on_the_batch_alone(void **state)
{
    (void)state;
    const uint32_t first = rn_mixup_share(3, 1, 5, 0.2);
    int differ = 0;
    double sum = 0;
    assert_int_equal(rn_mixup_share(3, 1, 5, 0.2), first);
    for (uint32_t i = 0; i < 1000; i++) {
        uint32_t v = rn_mixup_share(3, i % 10, i / 10, 1.0);
        assert_true(v <= 65536);
        differ += v != rn_mixup_share(3, i / 10, i % 10, 1.0);
        differ += v != rn_mixup_share(4, i % 10, i / 10, 1.0);
        sum += v / 65536.0;
    }
    assert_true(differ > 1950); /* of 2000, less the 10 on the diagonal */
    assert_true(fabs(sum / 1000 - 0.5) < 0.05);
}

static void rows_are_mixed(void **state)
{
    (void)state;
    static const uint32_t shares[] = {0, 1, 20000, 32768, 45000, 65535, 65536};
    enum { ROW = 150, MOST = 5 };
    for (size_t s = 0; s < sizeof shares / sizeof *shares; s++)
        for (int n = 1; n <= MOST; n++) {
            uint8_t x[MOST * ROW], was[MOST * ROW], scratch[ROW];
            rn_rng r;
            rn_rng_seed(&r, 8, RN_STREAM_TEST, (uint32_t)n, (uint32_t)s);
            for (int i = 0; i < MOST * ROW; i++)
                was[i] = x[i] = (uint8_t)rn_rng_below(&r, 256);
            rn_mixup_rows(x, n, ROW, shares[s], scratch);
            for (int i = 0; i < MOST * ROW; i++) {
                int row = i / ROW, other = (row ? row - 1 : n - 1) * ROW + i % ROW;
                double lam = shares[s] / 65536.0;
                int want = row < n ? (int)floor(lam * was[i] + (1 - lam) * was[other] + 0.5) : was[i];
                assert_int_equal(x[i], want);
            }
        }
    int32_t labels[4] = {5, 6, 7, 8}, labels2[4] = {-1, -1, -1, -1};
    rn_mixup_labels(labels, 3, labels2);
    assert_memory_equal(labels2, ((const int32_t[4]){7, 5, 6, -1}), sizeof labels2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(beta_has_its_moments),
        cmocka_unit_test(beta_has_its_quantiles),
        cmocka_unit_test(share_depends_on_the_batch_alone),
        cmocka_unit_test(rows_are_mixed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
