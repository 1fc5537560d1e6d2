/* SPDX-License-Identifier: MIT */
/* Values of what stands before and beside a convolution's operands, and whether the sums of fused work are right. */
#include <math.h>
#include <stdlib.h>

#include "base/rn_error.h"
#include "base/rn_rng.h"
#include "bench_norm.h"

#define TOLERANCE 0x1p-19 /* rn_conv.h: f32 over some tens of terms, then double */

static const float *told(const bench_norm *n, int i)
{
    return n->told + (size_t)i * (size_t)n->channels;
}

/* ---- values --------------------------------------------------------------------------------------------------------- */

static int put(bench_norm *n, float *v, size_t count, void *to)
{
    return bench_put(n->be, n->d.dtype, v, count, n->narrow, to);
}

/* +-1/2 or +-1; integers: +-1. */
static float factor(rn_rng *rng, enum bench_values values)
{
    const uint32_t u = rn_rng_u32(rng);

    return (u & 1 ? 1.0F : -1.0F) * (values == BENCH_REALS && u & 2 ? 0.5F : 1.0F);
}

static void tell(bench_norm *n, enum bench_values values, rn_rng *rng)
{
    const bool reals = values == BENCH_REALS;

    for (int c = 0; c < n->channels; c++) {
        float *v = n->told + c;
        const size_t step = (size_t)n->channels;
        v[NORM_ONES * step] = 1;
        v[NORM_ZEROES * step] = 0;
        v[NORM_SCALE * step] = factor(rng, values);
        v[NORM_SHIFT * step] = reals                ? rn_rng_unit(rng) / 2
                               : n->dir == RN_BWD_D ? 8
                                                    : 0; /* half goes through, at least */
        v[NORM_PIVOT * step] = reals ? rn_rng_unit(rng) - 0.5F : 1;
        v[NORM_MEAN * step] = reals ? rn_rng_unit(rng) - 0.5F : 1;
        v[NORM_KA * step] = factor(rng, values);
        v[NORM_KB * step] = factor(rng, values);
        v[NORM_KC * step] = 0; /* a second sum, whose rounding depends on the order */
    }
}

int bench_norm_fill(bench_norm *n, enum bench_values values, double share, uint64_t seed)
{
    rn_backend *be = n->be;
    const size_t c = (size_t)n->channels;
    rn_rng rng;

    rn_rng_seed(&rng, seed, RN_STREAM_TEST, 5, (uint32_t)values);
    tell(n, values, &rng);
    RN_TRY(be->copy(be, n->vectors, n->told, NORM_GIVEN * c * sizeof(float), RN_COPY_H2D, NULL));
    RN_TRY(be->copy(be, bench_norm_vector(n, NORM_RUNNING_MEAN), told(n, NORM_ZEROES), c * sizeof(float), RN_COPY_H2D,
                    NULL));
    RN_TRY(
        be->copy(be, bench_norm_vector(n, NORM_RUNNING_VAR), told(n, NORM_ONES), c * sizeof(float), RN_COPY_H2D, NULL));
    RN_TRY(bench_finish(be));
    if (n->dir != RN_BWD_D)
        return 0;
    bench_draw(&rng, values, share, n->gate, bench_norm_src(&n->d));
    return put(n, n->gate, bench_norm_src(&n->d), n->raw);
}

int bench_norm_operand(bench_norm *n, int i, enum bench_values values, double share, uint64_t seed, float *v)
{
    const size_t count = i == RN_FWD ? bench_norm_dst(&n->d) : bench_norm_src(&n->d), oc = (size_t)n->d.oc,
                 ic = (size_t)n->d.ic;
    rn_rng rng;

    if (i == RN_BWD_W) /* weights are as they are */
        return 0;
    RN_TRY(put(n, v, count, i == RN_FWD ? n->dy : n->in));
    if (i == RN_BWD_D) {
        for (size_t k = 0; k < count; k++)
            v[k] = fmaxf(v[k] * told(n, NORM_SCALE)[k % ic] + told(n, NORM_SHIFT)[k % ic], 0);
        return 0;
    }
    rn_rng_seed(&rng, seed, RN_STREAM_TEST, 6, (uint32_t)values);
    bench_draw(&rng, values, share, n->drawn, count);
    RN_TRY(put(n, n->drawn, count, n->x));
    for (size_t k = 0; k < count; k++)
        v[k] = v[k] * told(n, NORM_KA)[k % oc] + n->drawn[k] * told(n, NORM_KB)[k % oc] + told(n, NORM_KC)[k % oc];
    return n->dir == RN_BWD_D ? bench_norm_forward(n, n->x) : 0;
}

/* ---- verification --------------------------------------------------------------------------------------------------- */

int bench_norm_poison(const bench_norm *n)
{
    return n->be->memset(n->be, n->sums, 0xff, (size_t)4 * (size_t)n->channels * sizeof *n->sums, NULL);
}

bool bench_norm_open(const bench_norm *n, size_t i)
{
    const size_t c = i % (size_t)n->d.ic;

    return !n->gate || n->gate[i] * told(n, NORM_SCALE)[c] + told(n, NORM_SHIFT)[c] > 0;
}

/* What one element adds to a channel's sums, and the size of it. */
static void term(const bench_norm *n, size_t i, size_t c, double v, double add[4])
{
    const double by = n->gate ? (double)told(n, NORM_MEAN)[c] : (double)told(n, NORM_PIVOT)[c];
    const double less = n->gate ? v : v - by, times = n->gate ? (double)n->gate[i] - by : less;
    const double size = fabs(v) + (n->gate ? 0 : fabs(by));

    add[0] += less;
    add[1] += less * times;
    add[2] += size;
    add[3] += size * (n->gate ? fabs((double)n->gate[i]) + fabs(by) : size);
}

static int compare(const bench_norm *n, const double (*want)[4], size_t channels, double tolerance)
{
    for (size_t c = 0; c < channels; c++) {
        const double got[] = {n->got[c], n->got[(size_t)n->channels + c]};
        for (int s = 0; s < 2; s++) {
            if (!(fabs(got[s] - want[c][s]) <= tolerance * want[c][2 + s]))
                return rn_fail(RN_E_MISMATCH, "%s of channel %zu of %zu is %.9g, not %.9g", s ? "sumsq" : "sum", c,
                               channels, got[s], want[c][s]);
        }
    }
    return 0;
}

int bench_norm_verify(const bench_norm *n, const float *v, bool loose)
{
    const size_t channels = (size_t)(n->gate ? n->d.ic : n->d.oc);
    const size_t count = n->gate ? bench_norm_src(&n->d) : bench_norm_dst(&n->d);
    const double rows = (double)count / (double)channels;
    const size_t bytes = (size_t)2 * (size_t)n->channels * sizeof *n->got;

    if (n->dir == RN_BWD_W)
        return 0;
    double(*want)[4] = calloc(channels, sizeof *want);
    if (!want)
        return rn_fail(RN_E_NOMEM, "bench: out of memory");
    for (size_t i = 0; i < count; i++)
        term(n, i, i % channels, (double)v[i], want[i % channels]);
    int rc = n->be->copy(n->be, n->got, n->sums, bytes, RN_COPY_D2H, NULL);
    if (rc == 0)
        rc = bench_finish(n->be);
    if (rc == 0)
        rc = compare(n, want, channels, TOLERANCE + (loose ? 0x1p-24 * rows : 0));
    free(want);
    return rc;
}
