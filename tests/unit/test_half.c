/* SPDX-License-Identifier: MIT */
/* The 16-bit floats: every value of both, every rounding tie, and each instruction set's arrays against the scalars. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rn_half.h"
#include "base/rn_rng.h"

typedef struct format {
    const char *name;
    int mantissa, bias; /* explicit bits */
    float (*widen)(uint16_t);
    uint16_t (*narrow)(float);
    uint16_t (*narrow64)(double);
} format;

static const format formats[] = {
    {"bf16", 7, 127, rn_f32_of_bf16, rn_bf16_of_f32, rn_bf16_of_f64},
    {"f16", 10, 15, rn_f32_of_f16, rn_f16_of_f32, rn_f16_of_f64},
};

/* From the format's definition, by arithmetic on doubles; not for infinities and NaN. */
static double value_of(const format *f, uint16_t h)
{
    const int exponents = 1 << (15 - f->mantissa), e = (h & 0x7fff) >> f->mantissa, m = h & ((1 << f->mantissa) - 1);
    assert_true(e < exponents - 1);
    const double v = e ? ldexp(1 + ldexp(m, -f->mantissa), e - f->bias) : ldexp(m, 1 - f->bias - f->mantissa);
    return h & 0x8000 ? -v : v;
}

static uint16_t infinity_of(const format *f)
{
    return (uint16_t)(0x7fff >> f->mantissa << f->mantissa);
}

static void test_every_value(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        const format *f = &formats[k];
        const uint16_t inf = infinity_of(f);
        for (uint32_t h = 0; h < 0x10000; h++) {
            const float x = f->widen((uint16_t)h);
            const uint16_t a = h & 0x7fff, quiet = (uint16_t)(1 << (f->mantissa - 1));
            if (a > inf) {
                assert_true(isnan(x));
                assert_int_equal(!!signbit(x), h >> 15);
                assert_int_equal(f->narrow(x), h | quiet);
            } else {
                if (a == inf)
                    assert_true(isinf(x));
                else
                    assert_true((double)x == value_of(f, (uint16_t)h));
                assert_int_equal(!!signbit(x), h >> 15);
                assert_int_equal(f->narrow(x), h);
                assert_int_equal(f->narrow64((double)x), h);
            }
        }
    }
}

/* Between each value and the next: the middle goes to the even one, its neighbours to the nearest. */
static void test_every_tie(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        const format *f = &formats[k];
        const uint16_t inf = infinity_of(f), last = (uint16_t)(inf - 1);
        for (uint16_t h = 0; h < inf; h++) {
            const double lo = value_of(f, h);
            /* after the last one, what would follow if the exponents went on */
            const double hi = h < last ? value_of(f, (uint16_t)(h + 1)) : lo + (lo - value_of(f, (uint16_t)(h - 1)));
            const double mid = (lo + hi) / 2;
            const uint16_t even = h % 2 ? (uint16_t)(h + 1) : h;
            for (int sign = 0; sign < 2; sign++) {
                const double s = sign ? -1 : 1;
                const uint16_t bit = (uint16_t)(sign << 15);
                const float m = (float)(s * mid);
                assert_true((double)m == s * mid); /* f32 has the bits for it */
                assert_int_equal(f->narrow(m), even | bit);
                assert_int_equal(f->narrow(nextafterf(m, 0)), h | bit);
                assert_int_equal(f->narrow(nextafterf(m, (float)s * INFINITY)), (h + 1) | bit);
                assert_int_equal(f->narrow64(s * mid), even | bit);
                /* nearer to the middle than any f32: rounding twice would take it for a tie */
                assert_int_equal(f->narrow64(nextafter(s * mid, 0)), h | bit);
                assert_int_equal(f->narrow64(nextafter(s * mid, s * INFINITY)), (h + 1) | bit);
            }
        }
    }
}

static void test_the_ends(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        const format *f = &formats[k];
        const uint16_t inf = infinity_of(f);
        assert_int_equal(f->narrow(INFINITY), inf);
        assert_int_equal(f->narrow(-INFINITY), inf | 0x8000);
        assert_int_equal(f->narrow(3.4028235e38f), inf);
        assert_int_equal(f->narrow64(1e300), inf);
        assert_int_equal(f->narrow64(-1e300), inf | 0x8000);
        assert_int_equal(f->narrow64(1e-300), 0);
        assert_int_equal(f->narrow(-0.0f), 0x8000);
        assert_true(isnan(f->widen(f->narrow64(NAN))));
        /* a signalling NaN whose payload lies in the bits that are cut off must not become an infinity */
        assert_int_equal(f->narrow(rn_f32_of_bits(0x7f800001)) & ~0x8000, inf | 1 << (f->mantissa - 1));
    }
    assert_int_equal(rn_f16_of_f32(65519.996f), 0x7bff);
    assert_int_equal(rn_f16_of_f32(65520), 0x7c00);
    assert_int_equal(rn_f16_of_f32(0x1p-25f), 0); /* the tie below the least subnormal */
    assert_int_equal(rn_f16_of_f32(0x1.8p-25f), 1);
    assert_int_equal(rn_bf16_of_f32(1.00390625f), 0x3f80);
    assert_int_equal(rn_bf16_of_f32(1.01171875f), 0x3f82);
}

/* ---- arrays --------------------------------------------------------------------------------------------------------- */

/* n is odd: tails. */
static void compare_arrays(const rn_half_kern *k, const float *x, size_t n, uint16_t *h)
{
    k->bf16_of_f32(h, x, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(h[i], rn_bf16_of_f32(x[i]));
    k->f16_of_f32(h, x, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(h[i], rn_f16_of_f32(x[i]));
}

static void test_arrays(void **state)
{
    (void)state;
    enum { MANY = 65536 + 7 };
    uint16_t *h = malloc(MANY * sizeof *h), *all = malloc(MANY * sizeof *all);
    float *x = malloc(MANY * sizeof *x), *wide = malloc(MANY * sizeof *wide);
    rn_rng rng;
    assert_true(h && all && x && wide);
    for (size_t i = 0; i < MANY; i++)
        all[i] = (uint16_t)i;
    for (rn_isa isa = RN_ISA_PORTABLE; isa <= rn_isa_best(); isa++) {
        const rn_half_kern *k = rn_half_kern_of(isa);
        k->f32_of_bf16(wide, all, MANY);
        for (size_t i = 0; i < MANY; i++)
            assert_int_equal(rn_bits_of_f32(wide[i]), rn_bits_of_f32(rn_f32_of_bf16(all[i])));
        k->f32_of_f16(wide, all, MANY);
        for (size_t i = 0; i < MANY; i++)
            assert_int_equal(rn_bits_of_f32(wide[i]), rn_bits_of_f32(rn_f32_of_f16(all[i])));
        rn_rng_seed(&rng, 1, RN_STREAM_TEST, 0, 0);
        for (int round = 0; round < 8; round++) { /* all of f32's patterns alike: also NaN and subnormals */
            for (size_t i = 0; i < MANY; i++)
                x[i] = rn_f32_of_bits(rn_rng_u32(&rng));
            compare_arrays(k, x, MANY, h);
        }
        for (uint32_t step = 0; step < 3; step++) { /* the ties of both and what stands beside them */
            for (size_t i = 0; i < MANY; i++)
                x[i] = rn_f32_of_bits(((uint32_t)i << 16) + 0x8000 + step - 1);
            compare_arrays(k, x, MANY, h);
            for (size_t i = 0; i < MANY; i++)
                x[i] = rn_f32_of_bits((((uint32_t)i & 0x7fff) << 13) + 0x38000fff - 0x6000000 + step);
            compare_arrays(k, x, MANY, h);
        }
        for (size_t n = 0; n < 70; n++) { /* no more than asked for */
            memset(h, 0xa5, 80 * sizeof *h);
            k->f16_of_f32(h, x, n);
            assert_int_equal(h[n], 0xa5a5);
            memset(h, 0xa5, 80 * sizeof *h);
            k->bf16_of_f32(h, x, n);
            assert_int_equal(h[n], 0xa5a5);
            wide[n] = 17;
            k->f32_of_f16(wide, all, n);
            k->f32_of_bf16(wide, all, n);
            assert_true(wide[n] == 17);
        }
    }
    free(h);
    free(all);
    free(x);
    free(wide);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_value),
        cmocka_unit_test(test_every_tie),
        cmocka_unit_test(test_the_ends),
        cmocka_unit_test(test_arrays),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
