/* SPDX-License-Identifier: MIT */
/*
 * Is a result right? Twice: over small integers, whose sums are exact in any order, then over reals.
 *
 * Integers. Comparing every element with plain loops would take longer than all timings. Instead the result is summed
 * with random factors along its channels (the idea of Freivalds 1977 for products of matrices): a convolution is linear, so
 *   fwd    sum over oc of f[oc] dst[pixel][oc] = the convolution of src with the one filter sum over oc of f[oc] wei[oc]
 *   bwd_d  sum over ic of f[ic] src[pixel][ic], likewise with one channel of the weights
 *   bwd_w  sum over oc of f[oc] wei[oc][tap][ic] = the gradient of one filter, of sum over oc of f[oc] dst[..][oc]
 * which costs a convolution of one channel. All is exact in double, so the two sides are equal or the result is wrong. Every
 * element takes part; a single wrong one cannot hide, several in one pixel only with a chance of about 2^-16.
 *
 * Reals show what integers cannot: products or sums in fewer bits. 400 elements, against rn_ref_conv_element. They are all there
 * is of algorithms that compute in fewer bits by intent (RN_ALGO_LOWPREC): their products lose some bits each, of either sign, so
 * that the error grows as the root of the number of terms. What is known of no such algorithm in particular is how many; but
 * together the errors must be small beside the results: without one of nine taps they would be a third, without one of 64
 * channels an eighth, with the weights of a neighbour more than all of them.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_cpu.h"
#include "base/rn_error.h"
#include "base/rn_half.h"
#include "base/rn_rng.h"
#include "bench.h"
#include "kernels/ref/ref_conv.h"

#define SAMPLES            400 /* elements compared with the double sum */
/* Of the sum of the terms' absolute values. f32 in any order stays inside; bf16 or TF32 products, or sums, fall well outside. */
#define TOLERANCE          0x1p-20
/* RN_ALGO_LOWPREC: an element's, of the same over the root of the number of terms; and the error's root mean square, of the results'. */
#define TOLERANCE_LOWPREC  0.5
#define LOWPREC_RMS        0.03
#define NEAR               0.25    /* to an integer */
#define TOLERANCE_WINOGRAD 0x1p-16 /* its transforms are not exact, for integers neither (RN_ALGO_WINOGRAD) */

static int finish(rn_backend *be)
{
    return be->sync ? be->sync(be, NULL) : 0;
}

static size_t bytes_of(const bench_tensors *t, int i)
{
    return t->n[i] * rn_dtype_size(t->type[i]);
}

rn_conv_args bench_tensors_args(const bench_tensors *t)
{
    return (rn_conv_args){.src = t->dev[RN_BWD_D], .wei = t->dev[RN_BWD_W], .dst = t->dev[RN_FWD]};
}

/* ---- types ---------------------------------------------------------------------------------------------------------- */

static void narrow(rn_dtype type, void *to, const float *from, size_t n)
{
    const rn_half_kern *k = rn_half_kern_of(rn_isa_best());

    if (type == RN_F32)
        memcpy(to, from, n * sizeof *from);
    else
        (type == RN_BF16 ? k->bf16_of_f32 : k->f16_of_f32)(to, from, n);
}

static void widen(rn_dtype type, float *to, const void *from, size_t n)
{
    const rn_half_kern *k = rn_half_kern_of(rn_isa_best());

    if (type == RN_F32)
        memcpy(to, from, n * sizeof *to);
    else
        (type == RN_BF16 ? k->f32_of_bf16 : k->f32_of_f16)(to, from, n);
}

/* What the last rounding may cost: half a unit of the last place, at least half the least subnormal. */
static double rounding(rn_dtype type, double value)
{
    return type == RN_BF16  ? fmax(0x1p-8 * fabs(value), 0x1p-134)
           : type == RN_F16 ? fmax(0x1p-11 * fabs(value), 0x1p-25)
                            : 0;
}

/* Integers up to here are values of the type. */
static double exact_limit(rn_dtype type)
{
    return type == RN_BF16 ? 0x1p8 : type == RN_F16 ? 0x1p11 : 0x1p24;
}

/* ---- memory --------------------------------------------------------------------------------------------------------- */

void bench_tensors_free(rn_backend *be, bench_tensors *t)
{
    for (int i = 0; i < 3; i++) {
        free(t->host[i]);
        be->free(be, t->dev[i]);
    }
    free(t->raw);
    free(t->got);
    free(t->want);
    free(t->factor);
}

int bench_tensors_make(rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, bench_tensors *t)
{
    size_t most = 0;

    t->dir = dir;
    t->n[RN_FWD] = (size_t)d->mb * d->oh * d->ow * d->oc;
    t->n[RN_BWD_D] = (size_t)d->mb * d->ih * d->iw * d->ic;
    t->n[RN_BWD_W] = (size_t)d->oc * d->kh * d->kw * d->ic;
    t->nfactor = dir == RN_BWD_D ? (size_t)d->ic : (size_t)d->oc;
    t->nwant = t->n[dir] / t->nfactor;
    for (int i = 0; i < 3; i++) {
        t->type[i] = i == RN_BWD_W && dir == RN_BWD_W ? RN_F32 : d->dtype;
        most = bytes_of(t, i) > most ? bytes_of(t, i) : most;
    }
    t->raw = malloc(most);
    t->got = malloc(t->n[dir] * sizeof(float));
    t->want = malloc(t->nwant * sizeof(double));
    t->factor = malloc(t->nfactor * sizeof(double));
    if (!t->raw || !t->got || !t->want || !t->factor)
        return rn_fail(RN_E_NOMEM, "bench: %zu bytes: out of memory", most);
    for (int i = 0; i < 3; i++) {
        RN_TRY(be->alloc(be, bytes_of(t, i), &t->dev[i]));
        if (i != (int)dir && !(t->host[i] = malloc(t->n[i] * sizeof(float))))
            return rn_fail(RN_E_NOMEM, "bench: %zu bytes: out of memory", t->n[i] * sizeof(float));
    }
    return 0;
}

/* ---- values --------------------------------------------------------------------------------------------------------- */

/* Terms in one sum of the destination. */
static double terms(const rn_conv_desc *d, rn_conv_dir dir)
{
    return dir == RN_BWD_W ? (double)d->mb * d->oh * d->ow : (double)d->kh * d->kw * (dir == RN_FWD ? d->ic : d->oc);
}

/* The share of values that are -1 or 1 and not 0, so that a sum stays within what its type holds exactly: by twelve standard
 * deviations. */
static double density(const rn_conv_desc *d, const bench_tensors *t)
{
    return fmin(2.0 / 3, exact_limit(t->type[t->dir]) / (12 * sqrt(terms(d, t->dir))));
}

static void draw(rn_rng *rng, enum bench_values values, double share, float *v, size_t n)
{
    const uint32_t below = (uint32_t)(share * 0x1p32);

    for (size_t i = 0; i < n; i++) {
        uint32_t u = rn_rng_u32(rng);
        v[i] = values == BENCH_REALS ? (float)(u >> 8) * 0x1p-23f - 1.0f : u >= below ? 0 : u & 1 ? 1.0f : -1.0f;
    }
}

/* The one filter, channel or gradient that the factors make of the operand with several. */
static double *contract(const rn_conv_desc *d, const bench_tensors *t, size_t *n)
{
    const size_t taps = (size_t)d->kh * d->kw, ic = (size_t)d->ic, oc = (size_t)d->oc;

    *n = t->dir == RN_FWD ? taps * ic : t->dir == RN_BWD_D ? oc * taps : t->n[RN_FWD] / oc;
    double *one = calloc(*n ? *n : 1, sizeof *one);
    if (!one)
        return NULL;
    if (t->dir == RN_FWD) {
        for (size_t i = 0; i < t->n[RN_BWD_W]; i++)
            one[i % (taps * ic)] += t->factor[i / (taps * ic)] * t->host[RN_BWD_W][i];
    } else {
        const float *v = t->host[t->dir == RN_BWD_D ? RN_BWD_W : RN_FWD];
        for (size_t i = 0; i < *n; i++) {
            for (size_t c = 0; c < t->nfactor; c++)
                one[i] += t->factor[c] * v[i * t->nfactor + c];
        }
    }
    return one;
}

static void one_tap(const rn_conv_desc *d, bench_tensors *t, const double *one, size_t in, size_t out, size_t tap)
{
    const size_t taps = (size_t)d->kh * d->kw, ic = (size_t)d->ic, oc = (size_t)d->oc;

    if (t->dir == RN_FWD) {
        for (size_t c = 0; c < ic; c++)
            t->want[out] += one[tap * ic + c] * t->host[RN_BWD_D][in * ic + c];
    } else if (t->dir == RN_BWD_D) {
        for (size_t o = 0; o < oc; o++)
            t->want[in] += one[o * taps + tap] * t->host[RN_FWD][out * oc + o];
    } else {
        for (size_t c = 0; c < ic; c++)
            t->want[tap * ic + c] += one[out] * t->host[RN_BWD_D][in * ic + c];
    }
}

static int work_out_sums(const rn_conv_desc *d, bench_tensors *t)
{
    size_t n, out = 0;
    double *one = contract(d, t, &n);

    if (!one)
        return rn_fail(RN_E_NOMEM, "bench: %zu bytes: out of memory", n * sizeof *one);
    for (size_t i = 0; i < t->nwant; i++)
        t->want[i] = 0;
    for (int m = 0; m < d->mb; m++) {
        for (int y = 0; y < d->oh; y++) {
            for (int x = 0; x < d->ow; x++, out++) {
                for (int tap = 0; tap < d->kh * d->kw; tap++) {
                    int64_t iy = (int64_t)y * d->sh - d->ph + tap / d->kw,
                            ix = (int64_t)x * d->sw - d->pw + tap % d->kw;
                    if (iy >= 0 && iy < d->ih && ix >= 0 && ix < d->iw)
                        one_tap(d, t, one, ((size_t)m * d->ih + (size_t)iy) * d->iw + (size_t)ix, out, (size_t)tap);
                }
            }
        }
    }
    free(one);
    return 0;
}

int bench_tensors_fill(rn_backend *be, const rn_conv_desc *d, enum bench_values values, uint64_t seed, bench_tensors *t)
{
    rn_rng rng;

    for (int i = 0; i < 3; i++) {
        if (i == (int)t->dir)
            continue;
        rn_rng_seed(&rng, seed, RN_STREAM_TEST, (uint32_t)i, (uint32_t)values);
        draw(&rng, values, density(d, t), t->host[i], t->n[i]);
        narrow(t->type[i], t->raw, t->host[i], t->n[i]);
        widen(t->type[i], t->host[i], t->raw, t->n[i]);
        RN_TRY(be->copy(be, t->dev[i], t->raw, bytes_of(t, i), RN_COPY_H2D, NULL));
        RN_TRY(finish(be));
    }
    if (values == BENCH_REALS)
        return 0;
    rn_rng_seed(&rng, seed, RN_STREAM_TEST, 4, 0);
    for (size_t i = 0; i < t->nfactor; i++)
        t->factor[i] = 1 + rn_rng_below(&rng, 1 << 16);
    return work_out_sums(d, t);
}

/* ---- verification --------------------------------------------------------------------------------------------------- */

static double true_element(const rn_conv_desc *d, const bench_tensors *t, size_t i, double *mag)
{
    return rn_ref_conv_element(d, t->dir, t->host[RN_BWD_D], t->host[RN_BWD_W], t->host[RN_FWD], i, mag);
}

static bool close_to(const bench_tensors *t, size_t i, double want, double mag, double tolerance)
{
    return fabs(t->got[i] - want) <= tolerance * mag + rounding(t->type[t->dir], fabs(want) + tolerance * mag);
}

static int wrong(const bench_tensors *t, const char *of, size_t i, double want)
{
    return rn_fail(RN_E_MISMATCH, "%s: element %zu of %zu is %.9g, not %.9g", of, i, t->n[t->dir], (double)t->got[i],
                   want);
}

/* Where channel c of sum i lies. */
static size_t element(const bench_tensors *t, size_t i, size_t c)
{
    return t->dir == RN_BWD_W ? c * t->nwant + i : i * t->nfactor + c;
}

/* Is an inexact algorithm near enough to integers that they can be told apart? Then its sums, too, must be exact. */
static bool tells_integers(const rn_conv_desc *d, const bench_tensors *t, double tolerance)
{
    const double share = density(d, t);

    return tolerance * terms(d, t->dir) * share * share < NEAR;
}

static int check_sum(const rn_conv_desc *d, const bench_tensors *t, size_t i, double tolerance)
{
    const bool exact = tells_integers(d, t, tolerance);
    double sum = 0, mag = 0;
    bool near = true;

    for (size_t c = 0; c < t->nfactor; c++) {
        const double v = t->got[element(t, i, c)], whole = nearbyint(v);
        near = near && fabs(v - whole) <= (tolerance > 0 ? NEAR : 0);
        sum += t->factor[c] * (exact ? whole : v);
        mag += t->factor[c];
    }
    if ((near || !exact) && fabs(sum - t->want[i]) <= (exact ? 0 : tolerance * mag * terms(d, t->dir)))
        return 0;
    for (size_t c = 0; c < t->nfactor; c++) {
        double want = true_element(d, t, element(t, i, c), &mag);
        if (!close_to(t, element(t, i, c), want, mag, tolerance))
            return wrong(t, "integers", element(t, i, c), want);
    }
    return rn_fail(RN_E_MISMATCH, "integers: the channels of element %zu sum up to %.17g, not %.17g", element(t, i, 0),
                   sum, t->want[i]);
}

static double tolerance_of(const rn_conv_plan *plan, enum bench_values values)
{
    if (plan->algo->flags & RN_ALGO_LOWPREC)
        return TOLERANCE_LOWPREC / sqrt(terms(&plan->desc, plan->dir));
    if (plan->algo->flags & RN_ALGO_WINOGRAD)
        return TOLERANCE_WINOGRAD;
    return values == BENCH_INTEGERS ? 0 : TOLERANCE;
}

static int check_values(const rn_conv_plan *plan, const bench_tensors *t, enum bench_values values, uint64_t seed)
{
    const rn_conv_desc *d = &plan->desc;
    const bool sums = values == BENCH_INTEGERS && !(plan->algo->flags & RN_ALGO_LOWPREC);
    const double tolerance = tolerance_of(plan, values);
    const size_t n = t->n[t->dir];
    double errors = 0, results = 0; /* squares */
    rn_rng rng;

    for (size_t i = 0; i < n; i++) {
        if (!isfinite(t->got[i]))
            return rn_fail(RN_E_MISMATCH, "element %zu of %zu is %g", i, n, (double)t->got[i]);
    }
    for (size_t i = 0; sums && i < t->nwant; i++)
        RN_TRY(check_sum(d, t, i, tolerance));
    rn_rng_seed(&rng, seed, RN_STREAM_TEST, 3, 0);
    for (int s = 0; values == BENCH_REALS && s < SAMPLES; s++) {
        size_t i = s == 0 ? 0 : s == 1 ? n - 1 : (size_t)(rn_rng_unit(&rng) * (double)n);
        double mag, want = true_element(d, t, i, &mag);
        if (!close_to(t, i, want, mag, tolerance))
            return wrong(t, "reals", i, want);
        errors += (t->got[i] - want) * (t->got[i] - want);
        results += want * want;
    }
    if ((plan->algo->flags & RN_ALGO_LOWPREC) && !(errors <= LOWPREC_RMS * LOWPREC_RMS * results))
        return rn_fail(RN_E_MISMATCH, "reals: the errors' root mean square is %.3g of the results', more than %g",
                       sqrt(errors / results), LOWPREC_RMS);
    return 0;
}

int bench_verify(rn_backend *be, rn_conv_plan *plan, void *workspace, enum bench_values values, uint64_t seed,
                 bench_tensors *t)
{
    const size_t bytes = bytes_of(t, t->dir);
    rn_conv_args args = bench_tensors_args(t);

    RN_TRY(be->memset(be, t->dev[t->dir], 0xff, bytes, NULL)); /* NaN: beta 0 must not read it */
    if (plan->workspace_bytes)
        RN_TRY(be->memset(be, workspace, 0xff, plan->workspace_bytes, NULL));
    RN_TRY(rn_conv_prepare(plan, t->dev[RN_BWD_W], NULL));
    RN_TRY(rn_conv_run(plan, &args, 0, workspace, NULL));
    RN_TRY(finish(be));
    RN_TRY(be->copy(be, t->raw, t->dev[t->dir], bytes, RN_COPY_D2H, NULL));
    RN_TRY(finish(be));
    widen(t->type[t->dir], t->got, t->raw, t->n[t->dir]);
    return check_values(plan, t, values, seed);
}
