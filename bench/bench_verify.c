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
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_rng.h"
#include "bench_norm.h"
#include "kernels/ref/ref_conv.h"

#define SAMPLES            400 /* elements compared with the double sum */
/* Of the sum of the terms' absolute values. f32 in any order stays inside; bf16 or TF32 products, or sums, fall well outside. */
#define TOLERANCE          0x1p-20
/*
 * Tensor cores do not round sums, they cut them off: always towards zero, so that what is lost follows the sum on its way and grows as the
 * root of the number of terms. Of 400 sums of reals, in 2^-20 of their terms' absolute values, where 8 addends at a time are cut to 25 bits:
 * 0.2 at most of 2,304 terms, 0.9 of 16,384, 1.8 of 65,536 (computed; no GPU has told). From so many terms on more is allowed, by that root.
 */
#define TENSOR_CORE_TERMS  4096.0
/* RN_ALGO_LOWPREC: an element's, of the same over the root of the number of terms; and the error's root mean square, of the results'. */
#define TOLERANCE_LOWPREC  0.5
#define LOWPREC_RMS        0.03
#define NEAR               0.25    /* to an integer */
#define TOLERANCE_WINOGRAD 0x1p-16 /* its transforms are not exact, for integers neither (RN_ALGO_WINOGRAD) */

/* What the last rounding may cost: half a unit of the last place, at least half the least subnormal. */
static double rounding(rn_dtype type, double value)
{
    return type == RN_BF16  ? fmax(0x1p-8 * fabs(value), 0x1p-134)
           : type == RN_F16 ? fmax(0x1p-11 * fabs(value), 0x1p-25)
                            : 0;
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
    const double share = bench_density(d, t);

    return tolerance * bench_terms(d, t->dir) * share * share < NEAR;
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
    if ((near || !exact) && fabs(sum - t->want[i]) <= (exact ? 0 : tolerance * mag * bench_terms(d, t->dir)))
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
        return TOLERANCE_LOWPREC / sqrt(bench_terms(&plan->desc, plan->dir));
    if (plan->algo->flags & RN_ALGO_WINOGRAD)
        return TOLERANCE_WINOGRAD;
    if (values == BENCH_INTEGERS)
        return 0;
    return plan->desc.dtype != RN_F32 && strcmp(plan->be->device, "cuda") == 0
               ? TOLERANCE * sqrt(fmax(1, bench_terms(&plan->desc, plan->dir) / TENSOR_CORE_TERMS))
               : TOLERANCE;
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
        if (d->fuse && !bench_norm_open(t->norm, i))
            want = mag = 0;
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
    const size_t bytes = bench_tensor_bytes(t, t->dir);
    const bool fused = plan->desc.fuse != 0;
    const rn_conv_args plain = bench_tensors_args(t), args = fused ? bench_norm_args(t->norm, plain) : plain;

    RN_TRY(be->memset(be, t->dev[t->dir], 0xff, bytes, NULL)); /* NaN: beta 0 must not read it */
    if (plan->workspace_bytes)
        RN_TRY(be->memset(be, workspace, 0xff, plan->workspace_bytes, NULL));
    if (fused)
        RN_TRY(bench_norm_poison(t->norm));
    RN_TRY(rn_conv_prepare(plan, t->dev[RN_BWD_W], NULL));
    RN_TRY(rn_conv_run(plan, &args, 0, workspace, NULL));
    RN_TRY(bench_finish(be));
    RN_TRY(be->copy(be, t->raw, t->dev[t->dir], bytes, RN_COPY_D2H, NULL));
    RN_TRY(bench_finish(be));
    rn_dtype_widen(t->type[t->dir], t->got, t->raw, t->n[t->dir]);
    RN_TRY(check_values(plan, t, values, seed));
    return fused ? bench_norm_verify(t->norm, t->got, plan->algo->flags & RN_ALGO_LOWPREC) : 0;
}
