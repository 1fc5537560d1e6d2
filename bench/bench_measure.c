/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "bench_norm.h"
#include "op/rn_select.h"
#ifdef RN_WITH_ONEDNN
#include "kernels/onednn/onednn_conv.h"
#endif

#define LEAST_S     2e-3 /* a timing repeats its run until it lasts this long */
#define MAX_REPEATS 1000

typedef struct entrant {
    bench_result *r;
    rn_conv_plan *plan;
    rn_conv_args args;
    const bench_norm *norm; /* what goes before and after; NULL: nothing */
    void *workspace;
    bench_clock *clock;
    rn_capture replay;            /* of r->repeats runs; NULL: each is launched */
    double *prepare_ms, *core_ms; /* one per round */
} entrant;

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

/* ---- timing --------------------------------------------------------------------------------------------------------- */

static int launch(entrant *e, int repeats)
{
    const bool fused = e->r->way == BENCH_FUSED;

    for (int i = 0; i < repeats; i++) {
        if (e->norm)
            RN_TRY(bench_norm_before(e->norm, fused, &e->args));
        RN_TRY(rn_conv_run(e->plan, &e->args, 0, e->workspace, NULL));
        if (e->norm)
            RN_TRY(bench_norm_after(e->norm, fused, &e->args));
    }
    return 0;
}

static int time_runs(entrant *e, int repeats, double *s)
{
    RN_TRY(bench_clock_start(e->clock));
    RN_TRY(launch(e, repeats));
    return bench_clock_stop(e->clock, s);
}

/* Several runs given to the device as one, so that what the host takes to launch them is not in the time. What cannot be captured is
 * launched, as before. */
static void capture(entrant *e)
{
    rn_backend *be = e->clock->be;

    e->r->replayed = false;
    if (e->replay)
        be->capture_close(be, e->replay);
    e->replay = NULL;
    if (e->r->repeats < 2 || !be->capture_begin || be->capture_begin(be) < 0)
        return;
    const int rc = launch(e, e->r->repeats);
    if (be->capture_end(be, rc == 0 ? &e->replay : NULL) < 0 || rc < 0)
        e->replay = NULL;
    e->r->replayed = e->replay != NULL;
}

/* The turn's sample. */
static int time_turn(entrant *e, double *s)
{
    rn_backend *be = e->clock->be;

    for (int tries = 0; e->replay && tries < 2; tries++) {
        RN_TRY(bench_clock_start(e->clock));
        const int rc = be->capture_run(be, e->replay);
        RN_TRY(rc);
        if (rc == 1)
            return bench_clock_stop(e->clock, s);
        capture(e);
    }
    return time_runs(e, e->r->repeats, s);
}

/* Warm: several runs on end are one sample, after one that is not timed, as the round's turn before was another algorithm's; a
 * run of milliseconds warms its caches itself. Cold: one run. */
static int one_round(entrant *e, const bench_plan_opts *opts, int round)
{
    double s;

    RN_TRY(bench_clock_start(e->clock));
    RN_TRY(rn_conv_prepare(e->plan, e->args.wei, NULL));
    RN_TRY(bench_clock_stop(e->clock, &s));
    e->prepare_ms[round] = s * 1e3;
    if (opts->evict)
        RN_TRY(bench_evict_run(opts->evict));
    else if (e->r->repeats > 1)
        RN_TRY(time_runs(e, 1, &s));
    bench_range(e->clock->be, BENCH_RANGE);
    bench_range(e->clock->be, e->r->algo->name);
    const int rc = time_turn(e, &s);
    bench_range(e->clock->be, NULL);
    bench_range(e->clock->be, NULL);
    RN_TRY(rc);
    e->r->samples_ms[round] = s * 1e3 / e->r->repeats;
#ifdef RN_WITH_ONEDNN
    e->core_ms[round] = rn_onednn_core_ms(e->plan);
#endif
    return 0;
}

static int calibrate(entrant *e, bool cold)
{
    double s;

    RN_TRY(time_runs(e, 1, &s));
    e->r->repeats = cold || s >= LEAST_S ? 1 : s > LEAST_S / MAX_REPEATS ? (int)ceil(LEAST_S / s) : MAX_REPEATS;
    capture(e);
    return 0;
}

static int summarise(entrant *e, int rounds)
{
    double *sorted = malloc((size_t)rounds * sizeof *sorted);

    if (!sorted)
        return rn_fail(RN_E_NOMEM, "bench: out of memory");
    memcpy(sorted, e->r->samples_ms, (size_t)rounds * sizeof *sorted);
    e->r->nsamples = rounds;
    e->r->ms = bench_quantile(sorted, rounds, 0.5);
    e->r->ms_q1 = bench_quantile(sorted, rounds, 0.25);
    e->r->ms_q3 = bench_quantile(sorted, rounds, 0.75);
    e->r->ms_min = sorted[0];
    e->r->prepare_ms = bench_quantile(e->prepare_ms, rounds, 0.5);
    e->r->core_ms = bench_quantile(e->core_ms, rounds, 0.5);
    free(sorted);
    return 0;
}

/* It has no result any more: this thread's message says why. */
static void fail(bench_result *r, int rc)
{
    r->verified = false;
    r->wrong = rc == RN_E_MISMATCH;
    snprintf(r->failure, sizeof r->failure, "%s", rn_error_text());
}

static void keep_failure(bench_result *r, int rc)
{
    if (rc < 0)
        fail(r, rc);
}

static int time_all(entrant *e, size_t n, const bench_tensors *t, const bench_plan_opts *opts)
{
    const rn_conv_args plain = bench_tensors_args(t);

    for (size_t i = 0; i < n; i++) {
        if (!e[i].r->verified) /* NOLINT(clang-analyzer-core.NullDereference): enter() gave every entrant one */
            continue;
        e[i].args = e[i].r->way == BENCH_FUSED ? bench_norm_args(t->norm, plain) : plain;
        e[i].norm = t->norm;
        keep_failure(e[i].r, calibrate(&e[i], opts->evict != NULL));
    }
    for (int round = 0; round < opts->rounds; round++) {
        for (size_t i = 0; i < n; i++) {
            if (e[i].r->verified)
                keep_failure(e[i].r, one_round(&e[i], opts, round));
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (e[i].r->verified)
            RN_TRY(summarise(&e[i], opts->rounds));
    }
    return 0;
}

/* ---- entrants ------------------------------------------------------------------------------------------------------- */

static bool wanted(const rn_conv_algo *algo, const char *pattern)
{
    return pattern ? rn_select_match(pattern, algo->name) : !(algo->flags & RN_ALGO_REFERENCE);
}

/* Of memory: what there is, what a case's tensors take, and these with all plans. */
typedef struct budget {
    double available, tensors, taken;
} budget;

/* Is there memory for it, beside what the case and the algorithms before it take? Adds its own. */
static int reserve(rn_backend *be, const rn_conv_algo *algo, const rn_conv_desc *d, rn_conv_dir dir, budget *b)
{
    const double ws = b->tensors <= b->available && algo->workspace ? (double)algo->workspace(be, d, dir) : 0;
    const double plan = bench_plan_bytes(be, algo, d, dir, ws);

    RN_TRY(bench_memory_refusal(b->tensors + plan, b->available, ""));
    RN_TRY(bench_memory_refusal(b->taken + plan, b->available,
                                " beside the algorithms before it (give --algo one at a time)"));
    b->taken += plan;
    return 0;
}

static int open_plan(rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, entrant *e)
{
    RN_TRY(rn_conv_plan_open(be, e->r->algo, d, dir, &e->plan));
    return e->plan->workspace_bytes ? be->alloc(be, e->plan->workspace_bytes, &e->workspace) : 0;
}

/* A refusal is kept in the result, and so is what went wrong; neither is an error of the benchmark. */
static int enter(rn_backend *be, const rn_conv_desc *of, rn_conv_dir dir, int rounds, budget *b, entrant *e)
{
    bench_result *r = e->r;
    const char *why = "no reason given";
    rn_conv_desc d = *of;

    d.fuse = r->way == BENCH_FUSED ? bench_norm_fuse(dir) : 0;
    if (!r->algo->supports(be, &d, dir, &why)) {
        r->refused = why;
        return 0;
    }
    r->samples_ms = calloc((size_t)rounds, sizeof(double));
    e->prepare_ms = calloc((size_t)rounds, sizeof(double));
    e->core_ms = calloc((size_t)rounds, sizeof(double));
    if (!r->samples_ms || !e->prepare_ms || !e->core_ms)
        return rn_fail(RN_E_NOMEM, "bench: out of memory");
    int rc = reserve(be, r->algo, &d, dir, b);
    if (rc == 0)
        rc = open_plan(be, &d, dir, e);
    if (rc < 0) {
        fail(r, rc);
        return 0;
    }
    r->verified = true; /* until something speaks against it */
    r->workspace = e->plan->workspace_bytes;
#ifdef RN_WITH_ONEDNN
    const char *impl = rn_onednn_impl(e->plan);
    snprintf(r->impl, sizeof r->impl, "%s", impl ? impl : "");
#endif
    return 0;
}

static int verify_all(rn_backend *be, const rn_conv_desc *d, entrant *e, size_t n, bench_tensors *t, uint64_t seed)
{
    for (int values = BENCH_INTEGERS; values <= BENCH_REALS; values++) { /* reals last: they are what is timed */
        RN_TRY(bench_tensors_fill(be, d, (enum bench_values)values, seed, t));
        for (size_t i = 0; i < n; i++) {
            bench_result *r = e[i].r;
            if (!r->verified)
                continue;
            keep_failure(r, bench_verify(be, e[i].plan, e[i].workspace, (enum bench_values)values, seed, t));
        }
    }
    return 0;
}

void bench_results_free(bench_result *r, size_t n)
{
    for (size_t i = 0; r && i < n; i++)
        free(r[i].samples_ms);
    free(r);
}

/* A case for which memory is short, whatever was thought before: its algorithms have failed, and the list goes on. */
static int without_memory(int rc, entrant *e, size_t n)
{
    for (size_t i = 0; rc == RN_E_NOMEM && i < n; i++) {
        if (e[i].r->verified)
            fail(e[i].r, rc);
    }
    return rc == RN_E_NOMEM ? 0 : rc;
}

/* Every algorithm that is wanted, in each way that is. */
static int enter_all(rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, const bench_plan_opts *opts,
                     bench_clock *clock, bench_result *r, entrant *e)
{
    const enum bench_way first = opts->bn ? BENCH_APART : BENCH_ALONE, last = opts->bn ? BENCH_FUSED : BENCH_ALONE;
    const double tensors = bench_case_bytes(be, d, dir) + (opts->bn ? bench_norm_bytes(be, d, dir) : 0);
    budget b = {bench_memory_available(), tensors, tensors};

    for (const rn_conv_algo *const *a = be->conv_algos; *a; a++) {
        for (int way = (int)first; wanted(*a, opts->pattern) && way <= (int)last; way++, r++, e++) {
            r->algo = *a;
            r->way = (enum bench_way)way;
            e->r = r;
            e->clock = clock;
            RN_TRY(enter(be, d, dir, opts->rounds, &b, e));
        }
    }
    return 0;
}

int bench_measure(rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, const bench_plan_opts *opts,
                  bench_result **out, size_t *n)
{
    size_t count = 0;
    bench_norm norm = {0};
    bench_tensors t = {.norm = opts->bn ? &norm : NULL};
    bool any = false;
    bench_clock clock = {0};
    int rc = 0;

    for (const rn_conv_algo *const *a = be->conv_algos; *a; a++)
        count += wanted(*a, opts->pattern) ? opts->bn ? 2 : 1 : 0;
    *n = count;
    *out = calloc(count ? count : 1, sizeof **out);
    entrant *e = calloc(count ? count : 1, sizeof *e);
    if (!*out || !e)
        RN_GO(rn_fail(RN_E_NOMEM, "bench: out of memory"));
    RN_GO(enter_all(be, d, dir, opts, &clock, *out, e));
    for (size_t i = 0; i < count; i++)
        any |= (*out)[i].verified;
    if (!any)
        goto out;
    RN_GO(bench_clock_open(be, &clock));
    rc = bench_tensors_make(be, d, dir, &t);
    if (rc == 0 && opts->bn)
        rc = bench_norm_make(be, d, dir, &norm);
    if (rc == 0)
        rc = verify_all(be, d, e, count, &t, opts->seed);
    RN_GO(without_memory(rc, e, count));
    RN_GO(time_all(e, count, &t, opts));
out:
    for (size_t i = 0; e && i < count; i++) {
        if (e[i].replay)
            be->capture_close(be, e[i].replay);
        be->free(be, e[i].workspace);
        rn_conv_plan_close(e[i].plan);
        free(e[i].prepare_ms);
        free(e[i].core_ms);
    }
    free(e);
    bench_clock_close(&clock);
    bench_tensors_free(be, &t);
    bench_norm_free(&norm);
    if (rc < 0) {
        bench_results_free(*out, count);
        *out = NULL;
    }
    return rc;
}
