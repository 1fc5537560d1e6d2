/* SPDX-License-Identifier: MIT */
#include "data/load/rn_mixup.h"

#include <math.h>
#include <string.h>

/* The logarithm of a number of Gamma(a, 1). Below 1: that of a + 1, times U^(1/a). */
static double log_gamma_variate(rn_rng *r, double a)
{
    double boost = 0;
    if (a < 1) {
        boost = log(1 - rn_rng_unit(r)) / a; /* of (0, 1] */
        a += 1;
    }
    double d = a - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        double x = rn_rng_normal(r), v = 1 + c * x;
        if (!(v > 0))
            continue;
        v = v * v * v;
        if (log(1 - rn_rng_unit(r)) < 0.5 * x * x + d - d * v + d * log(v))
            return log(d * v) + boost;
    }
}

double rn_mixup_beta(rn_rng *r, double a, double b)
{
    double x = log_gamma_variate(r, a), y = log_gamma_variate(r, b);
    return 1 / (1 + exp(y - x));
}

uint32_t rn_mixup_share(uint64_t seed, uint32_t epoch, uint64_t number, double alpha)
{
    rn_rng r;
    rn_rng_seed(&r, seed, RN_STREAM_MIXUP, epoch, (uint32_t)number);
    return (uint32_t)lrint(65536 * rn_mixup_beta(&r, alpha, alpha));
}

static uint8_t mix(uint8_t a, uint8_t b, uint32_t share)
{
    return (uint8_t)((share * a + (65536 - share) * b + 32768) >> 16);
}

enum { STRIPE = 64 }; /* bytes: a trip count that the compiler can turn into vectors */

static void mix_row(uint8_t *restrict x, const uint8_t *restrict y, size_t n, uint32_t share)
{
    size_t i = 0;
    for (; i + STRIPE <= n; i += STRIPE)
        for (size_t k = 0; k < STRIPE; k++)
            x[i + k] = mix(x[i + k], y[i + k], share);
    for (; i < n; i++)
        x[i] = mix(x[i], y[i], share);
}

void rn_mixup_rows_after(uint8_t *x, int n, size_t row, uint32_t share, const uint8_t *before)
{
    if (n < 1)
        return;
    for (int i = n - 1; i > 0; i--)
        mix_row(x + (size_t)i * row, x + (size_t)(i - 1) * row, row, share);
    mix_row(x, before, row, share);
}

void rn_mixup_rows(uint8_t *x, int n, size_t row, uint32_t share, uint8_t *scratch)
{
    if (n < 1)
        return;
    memcpy(scratch, x + (size_t)(n - 1) * row, row);
    rn_mixup_rows_after(x, n, row, share, scratch);
}

void rn_mixup_labels(const int32_t *labels, int n, int32_t *labels2)
{
    for (int i = 0; i < n; i++)
        labels2[i] = labels[i > 0 ? i - 1 : n - 1];
}
