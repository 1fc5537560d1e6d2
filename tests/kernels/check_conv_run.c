/* SPDX-License-Identifier: MIT */
/* The runs of a convolution by one algorithm, each in guarded buffers, held against what must come out. */
#include "check_conv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_cpu.h"
#include "base/rn_error.h"
#include "base/rn_io.h"
#include "kernels/cpu/cpu_wino.h"
#include "kernels/cuda/cuda_conv.h"
#include "op/rn_select.h"

/* Of the terms' absolute values: f32 parts of some hundred terms. */
#define SUM_TOL 0x1p-19
/* Rounding to the nearest integer tells which was meant. */
#define NEAREST 0.499

/* ---- what may be missed ---------------------------------------------------------------------------------------------- */

/* Of the largest sum of absolute terms in the tensor, n to a sum: what Winograd's transforms may lose beyond CHECK_REAL_TOL, as it is
 * stated in cpu_wino.h. Another library's F(4x4) is held to the bound of its own points, 0, +-1, +-2. */
static double winograd_tol(const rn_conv_algo *algo, double n)
{
    if (!(algo->flags & RN_ALGO_WINOGRAD))
        return 0;
    return rn_select_match("cpu:winograd,cuda:winograd", algo->name)           ? RN_WINO_LOSS_4
           : rn_select_match("cpu:winograd-2x2,cuda:winograd-2x2", algo->name) ? RN_WINO_LOSS_2
           : strcmp(algo->name, "cpu:winograd-pairs") == 0                     ? RN_WINO_LOSS_PAIRS_4 / sqrt(n)
           : strcmp(algo->name, "cpu:winograd-2x2-pairs") == 0                 ? RN_WINO_LOSS_PAIRS_2 / sqrt(n)
                                                                               : RN_WINO_LOSS_LAVIN;
}

/* The same of tensor cores, as it is stated in cuda_conv.h. Integers they add up exactly. */
static double tensor_core_tol(const rn_conv_algo *algo, const conv_case *c, double n)
{
    if (c->d.dtype == RN_F32 && rn_select_match("cuda:implicit-gemm-tf32,cudnn:tf32", algo->name))
        return RN_CUDA_TF32_LOSS + RN_CUDA_MMA_LOSS(n, 8);
    if (strcmp(algo->name, "cuda:direct-stem") == 0)
        return RN_CUDA_MMA_LOSS(n + (c->dir == RN_FWD ? 2.0 * c->d.kh : 16.0 * c->d.mb), 16);
    if (c->d.dtype == RN_F32 || !rn_select_match("cuda:implicit-gemm*,cudnn:*", algo->name))
        return 0;
    return RN_CUDA_MMA_LOSS(n, 16);
}

/* Whether sums of small integers come out exactly, or so nearly that the nearest integer tells: not where what is multiplied has
 * been rounded to bf16 or TF32, unless, as F(2x2)'s transforms of them and as they themselves, it fits. */
static bool knows_integers(const rn_conv_algo *algo)
{
    return !(algo->flags & RN_ALGO_LOWPREC) ||
           rn_select_match("cpu:winograd-2x2-pairs,cuda:implicit-gemm-tf32,cudnn:tf32", algo->name);
}

/* What rounding a value to type t may cost: half a unit of its last place, at least half the least subnormal. */
static double rounding(rn_dtype t, double value)
{
    return t == RN_BF16 ? fmax(0x1p-8 * fabs(value), 0x1p-134) : t == RN_F16 ? fmax(0x1p-11 * fabs(value), 0x1p-25) : 0;
}

/* What the algorithm may make of an exact integer sum that it knows to `loss`, as a value and by how much it may be missed: the
 * integer that is nearest, but where the loss may push a sum across a tie of the type's rounding also the value beyond. */
static double exact_bound(rn_dtype t, double sum, double loss, double *want)
{
    const float low = check_conv_round(t, sum - fmin(loss, NEAREST)),
                high = check_conv_round(t, sum + fmin(loss, NEAREST));

    if (t == RN_F32 || loss == 0) {
        *want = check_conv_round(t, sum);
        return fmin(loss, NEAREST);
    }
    *want = ((double)low + high) / 2;
    return ((double)high - low) / 2;
}

/* ---- one run ---------------------------------------------------------------------------------------------------------- */

typedef struct output {
    void *t;
    double *sum, *sumsq;
} output;

static size_t bytes_of(const conv_case *c, int tensor)
{
    return c->n[tensor] * rn_dtype_size(check_conv_type(c, tensor));
}

/* A guarded copy, unless the case does not ask for it: then the algorithm gets no memory to look at. */
static void *given(check_run *r, const conv_case *c, unsigned bits, rn_dtype type, const float *from, size_t n)
{
    if (!(c->d.fuse & bits))
        return NULL;
    void *p = check_bytes(r, n * rn_dtype_size(type));
    check_conv_store(type, p, from, n);
    return p;
}

/* Fresh guarded buffers for one run; the destination stays NaN unless beta says it is read. pivot: give one. */
static rn_conv_args make_args(check_run *r, const conv_case *c, const conv_data *g, int beta, bool pivot)
{
    const size_t ic = (size_t)c->d.ic, oc = (size_t)c->d.oc;
    const rn_dtype type = c->d.dtype;
    const bool summed = c->d.fuse & (RN_EPI_STATS | RN_EPI_DBN);
    void *t[TENSORS];

    for (int j = 0; j < TENSORS; j++) {
        t[j] = check_bytes(r, bytes_of(c, j));
        if (j != (int)c->dir || beta)
            check_conv_store(check_conv_type(c, j), t[j], g->t[j], c->n[j]);
    }
    return (rn_conv_args){
        .src = t[SRC],
        .wei = t[WEI],
        .dst = t[DST],
        .scale = given(r, c, RN_PRO_BN | RN_EPI_DBN, RN_F32, g->scale, ic),
        .shift = given(r, c, RN_PRO_BN | RN_EPI_DBN, RN_F32, g->shift, ic),
        .residual = given(r, c, RN_PRO_ADD, type, g->residual, c->n[SRC]),
        .sum = summed ? check_bytes(r, check_conv_channels(c) * sizeof(double)) : NULL,
        .sumsq = summed ? check_bytes(r, check_conv_channels(c) * sizeof(double)) : NULL,
        .pivot = pivot ? given(r, c, RN_EPI_STATS, RN_F32, g->pivot, oc) : NULL,
        .x = given(r, c, RN_PRO_DBN, type, g->x, c->n[DST]),
        .ka = given(r, c, RN_PRO_DBN, RN_F32, g->ka, oc),
        .kb = given(r, c, RN_PRO_DBN, RN_F32, g->kb, oc),
        .kc = given(r, c, RN_PRO_DBN, RN_F32, g->kc, oc),
        .raw = given(r, c, RN_EPI_DBN, type, g->raw, c->n[SRC]),
        .mean = given(r, c, RN_EPI_DBN, RN_F32, g->mean, ic),
    };
}

static output run_once(check_run *r, rn_conv_plan *plan, const conv_case *c, const conv_data *g, int beta, bool pivot)
{
    const rn_conv_args args = make_args(r, c, g, beta, pivot);
    void *const t[TENSORS] = {args.dst, (void *)args.src, (void *)args.wei};
    void *was[TENSORS], *ws = check_bytes(r, plan->workspace_bytes); /* NaN */

    for (int j = 0; j < TENSORS; j++)
        was[j] = memcpy(check_bytes(r, bytes_of(c, j)), t[j], bytes_of(c, j));
    if (rn_conv_prepare(plan, t[WEI], NULL) < 0 || rn_conv_run(plan, &args, beta, ws, NULL) < 0)
        check_fail(r, "%s", rn_error_text());
    check_wait(r);
    for (int j = 0; j < TENSORS; j++) {
        if (j != (int)c->dir && memcmp(t[j], was[j], bytes_of(c, j)) != 0)
            check_fail(r, "changed its input");
    }
    return (output){t[c->dir], args.sum, args.sumsq};
}

/* Of the terms' absolute values, what an epilogue's sums over n values of a channel may miss. */
static double sum_tol(const rn_conv_algo *algo, size_t n)
{
    return SUM_TOL + (rn_select_match("cudnn:sums32,cudnn:tf32", algo->name) ? RN_CUDA_SUMS32_LOSS((double)n) : 0);
}

/* RN_EPI_STATS: the squares around the mean, of which nothing may be lost to a pivot that is far off; a row whose sums are f32 from
 * beginning to end is held to the squares themselves, magsq. */
static void compare_spread(check_run *r, const conv_case *c, const float *got, const output *o, const double *magsq,
                           double tol)
{
    const size_t channels = check_conv_channels(c), n = c->n[c->dir], rows = n / channels;
    double *mean = check_conv_alloc(3 * channels, sizeof *mean), *want = mean + channels, *mag = want + channels;
    float *spread = check_conv_alloc(channels, sizeof *spread);

    for (size_t i = 0; i < n; i++)
        mean[i % channels] += got[i] / (double)rows;
    for (size_t i = 0; i < n; i++) {
        const double d = got[i] - mean[i % channels];
        want[i % channels] += d * d;
        mag[i % channels] = fmax(mag[i % channels], 4 * (double)rows * d * d); /* twice as far from each other */
    }
    for (size_t ch = 0; ch < channels; ch++) {
        spread[ch] = (float)(o->sumsq[ch] - o->sum[ch] * o->sum[ch] / (double)rows);
        mag[ch] += tol > SUM_TOL ? 3 * magsq[ch] : fabs(o->sumsq[ch]) * 0x1p-48 / tol;
    }
    check_close(r, "squares around the mean", spread, want, mag, channels, tol);
    free(mean);
    free(spread);
}

/* The sums, over what was stored. */
static void compare_sums(check_run *r, const conv_case *c, const conv_data *g, const rn_conv_algo *algo,
                         const float *got, const output *o, bool pivot)
{
    const size_t channels = check_conv_channels(c);
    const double tol = sum_tol(algo, c->n[c->dir] / channels);
    const bool stats = c->d.fuse & RN_EPI_STATS;
    double *want = check_conv_alloc(4 * channels, sizeof *want), *mag = want + channels, *wantsq = mag + channels,
           *magsq = wantsq + channels;
    float *sum = check_conv_alloc(2 * channels, sizeof *sum), *sumsq = sum + channels;

    for (size_t i = 0; i < c->n[c->dir]; i++) {
        const size_t ch = i % channels;
        const double less = !stats ? 0 : pivot ? (double)g->pivot[ch] : 0, v = got[i] - less;
        const double by = stats ? v : (double)g->raw[i] - g->mean[ch];
        const double size = fabs((double)got[i]) + fabs(less);
        want[ch] += v;
        mag[ch] += size;
        wantsq[ch] += v * by;
        magsq[ch] += size * (stats ? size : fabs((double)g->raw[i]) + fabs((double)g->mean[ch]));
    }
    for (size_t ch = 0; ch < channels; ch++) {
        sum[ch] = (float)o->sum[ch];
        sumsq[ch] = (float)o->sumsq[ch];
    }
    check_close(r, "sum", sum, want, mag, channels, tol);
    check_close(r, "sumsq", sumsq, wantsq, magsq, channels, tol);
    if (stats)
        compare_spread(r, c, got, o, magsq, tol);
    free(want);
    free(sum);
}

static void compare(check_run *r, const conv_case *c, const conv_data *g, const rn_conv_algo *algo, int beta,
                    bool pivot, const output *o)
{
    const rn_dtype type = check_conv_type(c, c->dir);
    const size_t n = c->n[c->dir];
    const float *old = g->t[c->dir];
    double *want = check_conv_alloc(n, sizeof *want), *bound = check_conv_alloc(n, sizeof *bound);
    float *got = check_conv_alloc(n, sizeof *got);
    const double terms = check_conv_terms(c);
    const double extra = (winograd_tol(algo, terms) + (g->exact ? 0 : tensor_core_tol(algo, c, terms))) * g->most;
    const bool narrow = strcmp(algo->name, "cudnn:dw16") == 0; /* to its tensors' type, before anything is added */
    char what[64];

    check_conv_load(type, got, o->t, n);
    for (size_t i = 0; i < n; i++) {
        const double sum = g->want[i] + (beta ? (double)old[i] : 0);
        const double narrowed = narrow ? rounding(c->d.dtype, fabs(g->want[i]) + g->loss[i] + extra) : 0;
        const double loss = g->loss[i] + narrowed + (beta ? CHECK_REAL_TOL * fabs((double)old[i]) : 0);
        want[i] = sum;
        bound[i] = g->exact && knows_integers(algo) ? exact_bound(type, sum, extra, &want[i])
                                                    : loss + extra + rounding(type, fabs(sum) + loss + extra);
    }
    snprintf(what, sizeof what, "%s beta %d", g->name, beta);
    if (check_close(r, what, got, want, bound, n, 1) && o->sum)
        compare_sums(r, c, g, algo, got, o, pivot);
    free(want);
    free(bound);
    free(got);
}

static bool same(const conv_case *c, const output *a, const output *b)
{
    const size_t sums = check_conv_channels(c) * sizeof(double);

    return memcmp(a->t, b->t, c->n[c->dir] * rn_dtype_size(check_conv_type(c, c->dir))) == 0 &&
           (!a->sum || (memcmp(a->sum, b->sum, sums) == 0 && memcmp(a->sumsq, b->sumsq, sums) == 0));
}

/* Other numbers of threads. Our own fwd and bwd_d promise the same bits at any; with fused work, and in bwd_w, sums are in
 * another order: right, and for that number the same each time. */
static void check_threads(check_run *r, const rn_conv_plan *with, const conv_case *c, const conv_data *g,
                          const output *got)
{
    const int was = with->be->threads;

    for (int threads = 1; threads <= 3; threads += 2) {
        rn_conv_plan *plan = NULL;
        with->be->threads = threads;
        if (rn_conv_plan_open(with->be, with->algo, &c->d, c->dir, &plan) < 0) {
            check_fail(r, "%s", rn_error_text());
            break;
        }
        const output o = run_once(r, plan, c, g, 0, true);
        if (!c->d.fuse && c->dir != RN_BWD_W) {
            if (!same(c, got, &o))
                check_fail(r, "%d threads gave other bits than %d", threads, was);
        } else {
            compare(r, c, g, with->algo, 0, true, &o);
            const output again = run_once(r, plan, c, g, 0, true);
            if ((with->algo->flags & RN_ALGO_DETERMINISTIC) && !same(c, &o, &again))
                check_fail(r, "%d threads: a second run gave other bits", threads);
        }
        rn_conv_plan_close(plan);
    }
    with->be->threads = was;
}

static void time_plan(check_run *r, rn_conv_plan *plan, const conv_case *c)
{
    const rn_conv_args args = make_args(r, c, &c->of[1], 0, true);
    void *ws = check_bytes(r, plan->workspace_bytes);
    double best = INFINITY, end = rn_now() + 0.2;

    for (int i = 0; i < 5 || rn_now() < end; i++) {
        double t = rn_now();
        if (rn_conv_run(plan, &args, 0, ws, NULL) < 0)
            return;
        check_wait(r);
        t = rn_now() - t;
        best = t < best ? t : best;
    }
    printf("# time %s %s %s: %.4f ms, %.1f GFLOP/s (padding counted)\n", c->text, rn_conv_dir_name(c->dir),
           plan->algo->name, best * 1e3, rn_conv_flops(&c->d, false) / best * 1e-9);
}

/* Integers are exact, so that right is the same bits: only reals, whose order of summation shows, run twice. */
static void check_plan(check_run *r, rn_conv_plan *plan, const conv_case *c)
{
    const bool epilogue = c->d.fuse & (RN_EPI_STATS | RN_EPI_DBN);

    for (int i = 0; i < 4; i++) {
        const conv_data *g = &c->of[i / 2];
        const int beta = epilogue ? 0 : i % 2; /* an epilogue: with and without a pivot in its place */
        const bool pivot = i % 2 == 0;
        const output o = run_once(r, plan, c, g, beta, pivot);
        compare(r, c, g, plan->algo, beta, pivot, &o);
        if (g->exact || (plan->algo->flags & RN_ALGO_REFERENCE)) /* slow, and it has but one order */
            continue;
        const output again = run_once(r, plan, c, g, beta, pivot);
        if ((plan->algo->flags & RN_ALGO_DETERMINISTIC) && !same(c, &o, &again))
            check_fail(r, "%s beta %d: a second run gave other bits", g->name, beta);
        if (i % 2 == 0 && strncmp(plan->algo->name, "cpu:", 4) == 0)
            check_threads(r, plan, c, g, &o);
    }
}

static void check_algo(check_run *r, conv_case *c, const rn_conv_algo *algo, int isa)
{
    const check_id id = {c->group, c->text, rn_conv_dir_name(c->dir), algo->name, check_isa_names[isa]};
    rn_conv_plan *plan = NULL;
    const char *why = "";

    if (!check_begin(r, &id))
        return;
    if (!algo->supports(r->be[isa], &c->d, c->dir, &why)) {
        check_refuse(r, why);
        return;
    }
    check_conv_data_make(r, c);
    if (rn_conv_plan_open(r->be[isa], algo, &c->d, c->dir, &plan) < 0)
        check_fail(r, "%s", rn_error_text());
    else
        check_plan(r, plan, c);
    if (plan && r->time && !r->failed)
        time_plan(r, plan, c);
    rn_conv_plan_close(plan);
    check_end(r);
}

/* Only our own kernels obey the cap, those of an instruction set that the type has code for; the others run once, at this
 * CPU's best. */
static bool runs_at(const check_run *r, rn_dtype dtype, const rn_conv_algo *algo, int isa)
{
    if (isa == CHECK_CUDA)
        return true;
    if (strncmp(algo->name, "cpu:", 4) != 0)
        return isa == r->best;
    if (strcmp(algo->name, "cpu:amx") == 0 || isa == RN_ISA_AMX) /* the others do there what they do without AMX */
        return strcmp(algo->name, "cpu:amx") == 0 && isa == RN_ISA_AMX && dtype == RN_BF16;
    return isa < CHECK_ISAS_ALL || dtype == RN_BF16;
}

void check_conv_case(check_run *r, const char *group, rn_dtype dtype, const char *desc, const char *fuse, unsigned dirs)
{
    char text[192];
    conv_case c = {.group = group, .text = text};

    snprintf(text, sizeof text, "%s%s%s", desc, *fuse ? " " : "", fuse);
    if (rn_conv_desc_parse(desc, &c.d) < 0 || (*fuse && rn_conv_fuse_parse(fuse, &c.d.fuse) < 0)) {
        if (check_begin(r, &(check_id){group, c.text, "", "", ""})) {
            check_fail(r, "%s", rn_error_text());
            check_end(r);
        }
        return;
    }
    c.d.dtype = dtype;
    c.n[DST] = (size_t)c.d.mb * c.d.oh * c.d.ow * c.d.oc;
    c.n[SRC] = (size_t)c.d.mb * c.d.ih * c.d.iw * c.d.ic;
    c.n[WEI] = (size_t)c.d.oc * c.d.kh * c.d.kw * c.d.ic;
    for (c.dir = RN_FWD; c.dir <= RN_BWD_W; c.dir++) {
        for (int isa = 0; (dirs & 1u << c.dir) && isa < CHECK_ISAS; isa++) {
            for (const rn_conv_algo *const *a = r->be[isa] ? r->be[isa]->conv_algos : NULL; a && *a; a++) {
                if (runs_at(r, dtype, *a, isa))
                    check_algo(r, &c, *a, isa);
            }
        }
        check_conv_data_free(&c);
    }
}
