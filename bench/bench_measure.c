/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_half.h"
#include "base/rn_io.h"
#include "base/rn_rng.h"
#include "bench.h"
#include "kernels/ref/ref_conv.h"
#include "op/rn_select.h"
#ifdef RN_WITH_ONEDNN
#include "kernels/onednn/onednn_conv.h"
#endif

#define SAMPLES     400 /* elements compared with the double sum */
#define TOLERANCE   0x1p-20
#define LEAST_S     2e-3 /* a timing repeats its run until it lasts this long */
#define MAX_REPEATS 1000

/* The three tensors, on the host and on the device, indexed by the direction that writes them: dst, src, wei. */
typedef struct tensors {
    size_t n[3];
    rn_dtype type[3];
    float *host[3]; /* values of the type */
    void *dev[3];
    void *raw;  /* room for any of them as the device has it */
    float *got; /* the destination, copied back */
} tensors;

typedef struct entrant {
    bench_result *r;
    rn_conv_plan *plan;
    void *workspace;
    int repeats;
    double *ms, *prepare_ms; /* one per round */
} entrant;

static void tensors_free(rn_backend *be, tensors *t)
{
    for (int i = 0; i < 3; i++) {
        free(t->host[i]);
        be->free(be, t->dev[i]);
    }
    free(t->raw);
    free(t->got);
}

static int finish(rn_backend *be)
{
    return be->sync ? be->sync(be, NULL) : 0;
}

static size_t bytes_of(const tensors *t, int i)
{
    return t->n[i] * rn_dtype_size(t->type[i]);
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

static int tensors_make(rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, uint64_t seed, tensors *t)
{
    rn_rng rng;

    t->n[RN_FWD] = (size_t)d->mb * d->oh * d->ow * d->oc;
    t->n[RN_BWD_D] = (size_t)d->mb * d->ih * d->iw * d->ic;
    t->n[RN_BWD_W] = (size_t)d->oc * d->kh * d->kw * d->ic;
    size_t most = 0;
    for (int i = 0; i < 3; i++) {
        t->type[i] = i == RN_BWD_W && dir == RN_BWD_W ? RN_F32 : d->dtype;
        most = bytes_of(t, i) > most ? bytes_of(t, i) : most;
    }
    if (!(t->raw = malloc(most)) || !(t->got = malloc(t->n[dir] * sizeof(float))))
        return rn_fail(RN_E_NOMEM, "bench: %zu bytes: out of memory", most);
    for (int i = 0; i < 3; i++) {
        RN_TRY(be->alloc(be, bytes_of(t, i), &t->dev[i]));
        if (i == (int)dir)
            continue;
        if (!(t->host[i] = malloc(t->n[i] * sizeof(float))))
            return rn_fail(RN_E_NOMEM, "bench: %zu bytes: out of memory", t->n[i] * sizeof(float));
        rn_rng_seed(&rng, seed, RN_STREAM_TEST, (uint32_t)i, 0);
        for (size_t k = 0; k < t->n[i]; k++)
            t->host[i][k] = (float)(rn_rng_u32(&rng) >> 8) * 0x1p-23f - 1.0f;
        narrow(t->type[i], t->raw, t->host[i], t->n[i]);
        widen(t->type[i], t->host[i], t->raw, t->n[i]);
        RN_TRY(be->copy(be, t->dev[i], t->raw, bytes_of(t, i), RN_COPY_H2D, NULL));
        RN_TRY(finish(be));
    }
    return 0;
}

static rn_conv_args args_of(const tensors *t)
{
    return (rn_conv_args){.src = t->dev[RN_BWD_D], .wei = t->dev[RN_BWD_W], .dst = t->dev[RN_FWD]};
}

/* ---- verification --------------------------------------------------------------------------------------------------- */

static int verify(rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, tensors *t, entrant *e, uint64_t seed)
{
    rn_conv_args args = args_of(t);
    size_t n = t->n[dir], bytes = bytes_of(t, dir);
    rn_rng rng;

    RN_TRY(be->memset(be, t->dev[dir], 0xff, bytes, NULL)); /* NaN: beta 0 must not read it */
    RN_TRY(rn_conv_prepare(e->plan, t->dev[RN_BWD_W], NULL));
    RN_TRY(rn_conv_run(e->plan, &args, 0, e->workspace, NULL));
    RN_TRY(finish(be));
    RN_TRY(be->copy(be, t->raw, t->dev[dir], bytes, RN_COPY_D2H, NULL));
    RN_TRY(finish(be));
    widen(t->type[dir], t->got, t->raw, n);
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(t->got[i]))
            return rn_fail(RN_E_MISMATCH, "element %zu of %zu is %g", i, n, (double)t->got[i]);
    }
    rn_rng_seed(&rng, seed, RN_STREAM_TEST, 3, 0);
    for (int s = 0; s < SAMPLES; s++) {
        size_t i = s == 0 ? 0 : s == 1 ? n - 1 : (size_t)(rn_rng_unit(&rng) * (double)n);
        double mag, want = rn_ref_conv_element(d, dir, t->host[RN_BWD_D], t->host[RN_BWD_W], t->host[RN_FWD], i, &mag);
        if (!(fabs(t->got[i] - want) <= TOLERANCE * mag + rounding(t->type[dir], fabs(want) + TOLERANCE * mag)))
            return rn_fail(RN_E_MISMATCH, "element %zu of %zu is %.9g, not %.9g", i, n, (double)t->got[i], want);
    }
    return 0;
}

/* ---- timing --------------------------------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_quantile(double *v, int n, double q)
{
    qsort(v, (size_t)n, sizeof *v, by_value);
    double at = q * (n - 1);
    int i = (int)at;
    return i + 1 < n ? v[i] + (at - i) * (v[i + 1] - v[i]) : v[i];
}

static int time_runs(rn_backend *be, entrant *e, const rn_conv_args *args, int repeats, double *s)
{
    double t = rn_now();

    for (int i = 0; i < repeats; i++)
        RN_TRY(rn_conv_run(e->plan, args, 0, e->workspace, NULL));
    RN_TRY(finish(be));
    *s = rn_now() - t;
    return 0;
}

static int one_round(rn_backend *be, entrant *e, const rn_conv_args *args, const void *wei, int round)
{
    double s, t = rn_now();

    RN_TRY(rn_conv_prepare(e->plan, wei, NULL));
    RN_TRY(finish(be));
    e->prepare_ms[round] = (rn_now() - t) * 1e3;
    RN_TRY(time_runs(be, e, args, e->repeats, &s));
    e->ms[round] = s * 1e3 / e->repeats;
    return 0;
}

static int calibrate(rn_backend *be, entrant *e, const rn_conv_args *args)
{
    double s;

    RN_TRY(time_runs(be, e, args, 1, &s));
    e->repeats = s >= LEAST_S ? 1 : s > LEAST_S / MAX_REPEATS ? (int)ceil(LEAST_S / s) : MAX_REPEATS;
    return 0;
}

/* ---- entrants ------------------------------------------------------------------------------------------------------- */

static bool wanted(const rn_conv_algo *algo, const char *pattern)
{
    return pattern ? rn_select_match(pattern, algo->name) : !(algo->flags & RN_ALGO_REFERENCE);
}

/* Opens and verifies; a refusal or a wrong result is kept in the result, not returned. */
static int enter(rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, tensors *t, const bench_plan_opts *opts,
                 entrant *e)
{
    bench_result *r = e->r;
    const char *why = "no reason given";

    if (!r->algo->supports(be, d, dir, &why)) {
        r->refused = why;
        return 0;
    }
    e->ms = calloc((size_t)opts->rounds, sizeof(double));
    e->prepare_ms = calloc((size_t)opts->rounds, sizeof(double));
    if (!e->ms || !e->prepare_ms)
        return rn_fail(RN_E_NOMEM, "bench: out of memory");
    int rc = rn_conv_plan_open(be, r->algo, d, dir, &e->plan);
    if (rc == 0 && e->plan->workspace_bytes)
        rc = be->alloc(be, e->plan->workspace_bytes, &e->workspace);
    if (rc == 0)
        rc = verify(be, d, dir, t, e, opts->seed);
    if (rc < 0) {
        snprintf(r->failure, sizeof r->failure, "%s", rn_error_text());
        return 0;
    }
    r->verified = true;
    r->workspace = e->plan->workspace_bytes;
#ifdef RN_WITH_ONEDNN
    const char *impl = rn_onednn_impl(e->plan);
    snprintf(r->impl, sizeof r->impl, "%s", impl ? impl : "");
#endif
    return 0;
}

static int time_all(rn_backend *be, entrant *e, size_t n, const tensors *t, int rounds)
{
    rn_conv_args args = args_of(t);

    for (size_t i = 0; i < n; i++) {
        if (e[i].r->verified) /* NOLINT(clang-analyzer-core.NullDereference): enter() gave every entrant one */
            RN_TRY(calibrate(be, &e[i], &args));
    }
    for (int round = 0; round < rounds; round++) {
        for (size_t i = 0; i < n; i++) {
            if (e[i].r->verified)
                RN_TRY(one_round(be, &e[i], &args, t->dev[RN_BWD_W], round));
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (!e[i].r->verified)
            continue;
        e[i].r->ms = bench_quantile(e[i].ms, rounds, 0.5);
        e[i].r->ms_iqr = bench_quantile(e[i].ms, rounds, 0.75) - bench_quantile(e[i].ms, rounds, 0.25);
        e[i].r->ms_min = e[i].ms[0];
        e[i].r->prepare_ms = bench_quantile(e[i].prepare_ms, rounds, 0.5);
    }
    return 0;
}

int bench_measure(rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, const bench_plan_opts *opts,
                  bench_result **out, size_t *n)
{
    size_t count = 0, k = 0;
    tensors t = {0};
    int rc = 0;

    for (const rn_conv_algo *const *a = be->conv_algos; *a; a++)
        count += wanted(*a, opts->pattern);
    *n = count;
    *out = calloc(count ? count : 1, sizeof **out);
    entrant *e = calloc(count ? count : 1, sizeof *e);
    if (!*out || !e) {
        rc = rn_fail(RN_E_NOMEM, "bench: out of memory");
        goto out;
    }
    if (count == 0)
        goto out;
    RN_GO(tensors_make(be, d, dir, opts->seed, &t));
    for (const rn_conv_algo *const *a = be->conv_algos; *a; a++) {
        if (!wanted(*a, opts->pattern))
            continue;
        (*out)[k].algo = *a;
        e[k].r = &(*out)[k];
        RN_GO(enter(be, d, dir, &t, opts, &e[k]));
        k++;
    }
    RN_GO(time_all(be, e, count, &t, opts->rounds));
out:
    for (size_t i = 0; e && i < count; i++) {
        be->free(be, e[i].workspace);
        rn_conv_plan_close(e[i].plan);
        free(e[i].ms);
        free(e[i].prepare_ms);
    }
    free(e);
    tensors_free(be, &t);
    if (rc < 0) {
        free(*out);
        *out = NULL;
    }
    return rc;
}
