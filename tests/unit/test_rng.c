/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rn_rng.h"

/* Known answers for philox4x32, 10 rounds, published with the authors' Random123 library. */
static void test_known_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t ctr[4], key[2], want[4];
    } kat[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof(kat) / sizeof(kat[0]); i++) {
        rn_rng r = {.have = 0};
        memcpy(r.ctr, kat[i].ctr, sizeof(r.ctr));
        memcpy(r.key, kat[i].key, sizeof(r.key));
        for (int j = 0; j < 4; j++)
            assert_int_equal(rn_rng_u32(&r), kat[i].want[j]);
    }
}

static void test_counter_carries(void **state)
{
    (void)state;
    rn_rng r = {.key = {1, 2}, .ctr = {0xffffffff, 7, 3, 4}};
    for (int i = 0; i < 4; i++)
        rn_rng_u32(&r);
    rn_rng next = {.key = {1, 2}, .ctr = {0, 8, 3, 4}};
    for (int i = 0; i < 4; i++)
        assert_int_equal(rn_rng_u32(&r), rn_rng_u32(&next));
}

static void test_streams_differ(void **state)
{
    (void)state;
    static const struct {
        uint64_t seed;
        enum rn_rng_stream stream;
        uint32_t a, b;
    } who[] = {
        {1, RN_STREAM_AUGMENT, 0, 0},
        {2, RN_STREAM_AUGMENT, 0, 0},
        {UINT64_C(1) << 32 | 1, RN_STREAM_AUGMENT, 0, 0},
        {1, RN_STREAM_SHUFFLE, 0, 0},
        {1, RN_STREAM_AUGMENT, 1, 0},
        {1, RN_STREAM_AUGMENT, 0, 1},
        {1, RN_STREAM_AUGMENT, 1, 1},
        {1, RN_STREAM_AUGMENT, 1u << 24, 0},
        {1, RN_STREAM_AUGMENT, 0, UINT32_MAX},
    };
    enum { N = sizeof(who) / sizeof(who[0]) };
    uint64_t first[N];
    for (int i = 0; i < N; i++) {
        rn_rng r;
        rn_rng_seed(&r, who[i].seed, who[i].stream, who[i].a, who[i].b);
        first[i] = rn_rng_u64(&r);
        for (int j = 0; j < i; j++)
            assert_true(first[i] != first[j]);
        rn_rng again;
        rn_rng_seed(&again, who[i].seed, who[i].stream, who[i].a, who[i].b);
        assert_true(rn_rng_u64(&again) == first[i]);
    }
}

/* Chi-square against the uniform law; 30 cells: 29 degrees of freedom, P(X > 70) < 1e-4, seed fixed. */
static void test_below_is_uniform(void **state)
{
    (void)state;
    enum { N = 30, DRAWS = 300000 };
    uint32_t count[N] = {0};
    rn_rng r;
    rn_rng_seed(&r, 42, RN_STREAM_TEST, 0, 0);
    for (int i = 0; i < DRAWS; i++) {
        uint32_t v = rn_rng_below(&r, N);
        assert_true(v < N);
        count[v]++;
    }
    double x2 = 0, want = (double)DRAWS / N;
    for (int i = 0; i < N; i++)
        x2 += (count[i] - want) * (count[i] - want) / want;
    assert_true(x2 < 70);
    assert_true(x2 > 8); /* too even would be as wrong */
    for (int i = 0; i < 100; i++)
        assert_int_equal(rn_rng_below(&r, 1), 0);
}

/* With n = 3 * 2^30 a modulo or a multiply without rejection gives some results half the weight of
 * others: of thirds by remainder mod 3, multiply-shift alone would favour one by a quarter. */
static void test_below_rejects(void **state)
{
    (void)state;
    uint32_t n = 3u << 30, thirds[3] = {0};
    rn_rng r;
    rn_rng_seed(&r, 43, RN_STREAM_TEST, 0, 0);
    enum { DRAWS = 90000 };
    for (int i = 0; i < DRAWS; i++)
        thirds[rn_rng_below(&r, n) % 3]++;
    for (int i = 0; i < 3; i++)
        assert_true(fabs(thirds[i] - DRAWS / 3.0) < 5 * sqrt(DRAWS * 2.0 / 9));
}

static void test_reals(void **state)
{
    (void)state;
    enum { N = 200000 };
    rn_rng r;
    rn_rng_seed(&r, 44, RN_STREAM_TEST, 0, 0);
    double sum = 0, square = 0, cube = 0;
    for (int i = 0; i < N; i++) {
        double u = rn_rng_unit(&r), v = rn_rng_range(&r, -3, 5);
        assert_true(u >= 0 && u < 1);
        assert_true(v >= -3 && v < 5);
        double z = rn_rng_normal(&r);
        assert_true(isfinite(z));
        sum += z;
        square += z * z;
        cube += z * z * z;
    }
    assert_true(fabs(sum / N) < 5 / sqrt(N));
    assert_true(fabs(square / N - 1) < 5 * sqrt(2.0 / N));
    assert_true(fabs(cube / N) < 5 * sqrt(15.0 / N));
    /* hi is never reached even where lo + (hi - lo) * u rounds up to it */
    for (int i = 0; i < 10000; i++)
        assert_true(rn_rng_range(&r, 1e16, 1e16 + 2) < 1e16 + 2);
}

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void test_shuffle(void **state)
{
    (void)state;
    enum { N = 1000 };
    uint32_t v[N], w[N];
    for (uint32_t i = 0; i < N; i++)
        v[i] = i;
    rn_rng r;
    rn_rng_seed(&r, 45, RN_STREAM_SHUFFLE, 0, 0);
    rn_rng_shuffle_u32(&r, v, N);
    int fixed = 0;
    for (uint32_t i = 0; i < N; i++)
        fixed += v[i] == i;
    assert_true(fixed < 10); /* Poisson(1) */
    memcpy(w, v, sizeof(v));
    qsort(w, N, sizeof(w[0]), ascending);
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(w[i], i);
    rn_rng_shuffle_u32(&r, v, 0);
    rn_rng_shuffle_u32(&r, v, 1);
    /* all six orders of three come up equally often */
    int orders[27] = {0};
    for (int i = 0; i < 6000; i++) {
        uint32_t t[3] = {0, 1, 2};
        rn_rng_shuffle_u32(&r, t, 3);
        orders[9 * t[0] + 3 * t[1] + t[2]]++;
    }
    int seen = 0;
    for (int i = 0; i < 27; i++) {
        seen += orders[i] > 0;
        assert_true(orders[i] == 0 || abs(orders[i] - 1000) < 150);
    }
    assert_int_equal(seen, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),  cmocka_unit_test(test_counter_carries),
        cmocka_unit_test(test_streams_differ), cmocka_unit_test(test_below_is_uniform),
        cmocka_unit_test(test_below_rejects),  cmocka_unit_test(test_reals),
        cmocka_unit_test(test_shuffle),
    };
    return cmocka_run_group_tests_name("rng", tests, NULL, NULL);
}
