/* SPDX-License-Identifier: MIT */
/* The tensors of a case, their values, and what integers must sum up to (bench_verify.c says why). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_rng.h"
#include "bench_norm.h"

int bench_finish(rn_backend *be)
{
    return be->sync ? be->sync(be, NULL) : 0;
}

size_t bench_tensor_bytes(const bench_tensors *t, int i)
{
    return t->n[i] * rn_dtype_size(t->type[i]);
}

rn_conv_args bench_tensors_args(const bench_tensors *t)
{
    return (rn_conv_args){.src = t->dev[RN_BWD_D], .wei = t->dev[RN_BWD_W], .dst = t->dev[RN_FWD]};
}

/* ---- types ---------------------------------------------------------------------------------------------------------- */

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
        most = bench_tensor_bytes(t, i) > most ? bench_tensor_bytes(t, i) : most;
    }
    t->raw = malloc(most);
    t->got = malloc(t->n[dir] * sizeof(float));
    t->want = malloc(t->nwant * sizeof(double));
    t->factor = malloc(t->nfactor * sizeof(double));
    if (!t->raw || !t->got || !t->want || !t->factor)
        return rn_fail(RN_E_NOMEM, "bench: %zu bytes: out of memory", most);
    for (int i = 0; i < 3; i++) {
        RN_TRY(be->alloc(be, bench_tensor_bytes(t, i), &t->dev[i]));
        if (i != (int)dir && !(t->host[i] = malloc(t->n[i] * sizeof(float))))
            return rn_fail(RN_E_NOMEM, "bench: %zu bytes: out of memory", t->n[i] * sizeof(float));
    }
    return 0;
}

/* ---- values --------------------------------------------------------------------------------------------------------- */

double bench_terms(const rn_conv_desc *d, rn_conv_dir dir)
{
    return dir == RN_BWD_W ? (double)d->mb * d->oh * d->ow : (double)d->kh * d->kw * (dir == RN_FWD ? d->ic : d->oc);
}

double bench_density(const rn_conv_desc *d, const bench_tensors *t)
{
    return fmin(2.0 / 3, exact_limit(t->type[t->dir]) / (12 * sqrt(bench_terms(d, t->dir))));
}

void bench_draw(struct rn_rng *rng, enum bench_values values, double share, float *v, size_t n)
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

int bench_put(rn_backend *be, rn_dtype type, float *v, size_t n, void *room, void *to)
{
    rn_dtype_narrow(type, room, v, n);
    rn_dtype_widen(type, v, room, n);
    RN_TRY(be->copy(be, to, room, n * rn_dtype_size(type), RN_COPY_H2D, NULL));
    return bench_finish(be);
}

int bench_tensors_fill(rn_backend *be, const rn_conv_desc *d, enum bench_values values, uint64_t seed, bench_tensors *t)
{
    const double share = bench_density(d, t);
    rn_rng rng;

    if (t->norm)
        RN_TRY(bench_norm_fill(t->norm, values, share, seed));
    for (int i = 0; i < 3; i++) {
        if (i == (int)t->dir)
            continue;
        rn_rng_seed(&rng, seed, RN_STREAM_TEST, (uint32_t)i, (uint32_t)values);
        bench_draw(&rng, values, share, t->host[i], t->n[i]);
        if (t->norm)
            RN_TRY(bench_norm_operand(t->norm, i, values, share, seed, t->host[i]));
        RN_TRY(bench_put(be, t->type[i], t->host[i], t->n[i], t->raw, t->dev[i]));
    }
    if (values == BENCH_REALS)
        return 0;
    rn_rng_seed(&rng, seed, RN_STREAM_TEST, 4, 0);
    for (size_t i = 0; i < t->nfactor; i++)
        t->factor[i] = 1 + rn_rng_below(&rng, 1 << 16);
    return work_out_sums(d, t);
}
