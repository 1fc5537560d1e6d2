/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "bench.h"
#include "op/rn_select.h"
#ifdef RN_WITH_ONEDNN
#include "kernels/onednn/onednn_conv.h"
#endif

#define LEAST_S     2e-3 /* a timing repeats its run until it lasts this long */
#define MAX_REPEATS 1000

typedef struct entrant {
    bench_result *r;
    rn_conv_plan *plan;
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

static int launch(entrant *e, const rn_conv_args *args, int repeats)
{
    for (int i = 0; i < repeats; i++)
        RN_TRY(rn_conv_run(e->plan, args, 0, e->workspace, NULL));
    return 0;
}

static int time_runs(entrant *e, const rn_conv_args *args, int repeats, double *s)
{
    RN_TRY(bench_clock_start(e->clock));
    RN_TRY(launch(e, args, repeats));
    return bench_clock_stop(e->clock, s);
}

/* Several runs given to the device as one, so that what the host takes to launch them is not in the time. What cannot be captured is
 * launched, as before. */
static void capture(entrant *e, const rn_conv_args *args)
{
    rn_backend *be = e->clock->be;

    e->r->replayed = false;
    if (e->replay)
        be->capture_close(be, e->replay);
    e->replay = NULL;
    if (e->r->repeats < 2 || !be->capture_begin || be->capture_begin(be) < 0)
        return;
    const int rc = launch(e, args, e->r->repeats);
    if (be->capture_end(be, rc == 0 ? &e->replay : NULL) < 0 || rc < 0)
        e->replay = NULL;
    e->r->replayed = e->replay != NULL;
}

/* The turn's sample. */
static int time_turn(entrant *e, const rn_conv_args *args, double *s)
{
    rn_backend *be = e->clock->be;

    for (int tries = 0; e->replay && tries < 2; tries++) {
        RN_TRY(bench_clock_start(e->clock));
        const int rc = be->capture_run(be, e->replay);
        RN_TRY(rc);
        if (rc == 1)
            return bench_clock_stop(e->clock, s);
        capture(e, args);
    }
    return time_runs(e, args, e->r->repeats, s);
}

/* Warm: several runs on end are one sample, after one that is not timed, as the round's turn before was another algorithm's; a
 * run of milliseconds warms its caches itself. Cold: one run. */
static int one_round(entrant *e, const rn_conv_args *args, const bench_plan_opts *opts, int round)
{
    double s;

    RN_TRY(bench_clock_start(e->clock));
    RN_TRY(rn_conv_prepare(e->plan, args->wei, NULL));
    RN_TRY(bench_clock_stop(e->clock, &s));
    e->prepare_ms[round] = s * 1e3;
    if (opts->evict)
        RN_TRY(bench_evict_run(opts->evict));
    else if (e->r->repeats > 1)
        RN_TRY(time_runs(e, args, 1, &s));
    bench_range(e->clock->be, BENCH_RANGE);
    bench_range(e->clock->be, e->r->algo->name);
    const int rc = time_turn(e, args, &s);
    bench_range(e->clock->be, NULL);
    bench_range(e->clock->be, NULL);
    RN_TRY(rc);
    e->r->samples_ms[round] = s * 1e3 / e->r->repeats;
#ifdef RN_WITH_ONEDNN
    e->core_ms[round] = rn_onednn_core_ms(e->plan);
#endif
    return 0;
}

static int calibrate(entrant *e, const rn_conv_args *args, bool cold)
{
    double s;

    RN_TRY(time_runs(e, args, 1, &s));
    e->r->repeats = cold || s >= LEAST_S ? 1 : s > LEAST_S / MAX_REPEATS ? (int)ceil(LEAST_S / s) : MAX_REPEATS;
    capture(e, args);
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
    const rn_conv_args args = bench_tensors_args(t);

    for (size_t i = 0; i < n; i++) {
        if (e[i].r->verified) /* NOLINT(clang-analyzer-core.NullDereference): enter() gave every entrant one */
            keep_failure(e[i].r, calibrate(&e[i], &args, opts->evict != NULL));
    }
    for (int round = 0; round < opts->rounds; round++) {
        for (size_t i = 0; i < n; i++) {
            if (e[i].r->verified)
                keep_failure(e[i].r, one_round(&e[i], &args, opts, round));
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

/* Is there memory for it, beside what the case and the algorithms before it take? Adds its own. */
static int reserve(rn_backend *be, const rn_conv_algo *algo, const rn_conv_desc *d, rn_conv_dir dir, double available,
                   double *taken)
{
    const double tensors = bench_case_bytes(be, d, dir);
    const double ws = tensors <= available && algo->workspace ? (double)algo->workspace(be, d, dir) : 0;
    const double plan = bench_plan_bytes(be, algo, d, dir, ws);

    RN_TRY(bench_memory_refusal(tensors + plan, available, ""));
    RN_TRY(
        bench_memory_refusal(*taken + plan, available, " beside the algorithms before it (give --algo one at a time)"));
    *taken += plan;
    return 0;
}

static int open_plan(rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, entrant *e)
{
    RN_TRY(rn_conv_plan_open(be, e->r->algo, d, dir, &e->plan));
    return e->plan->workspace_bytes ? be->alloc(be, e->plan->workspace_bytes, &e->workspace) : 0;
}

/* A refusal is kept in the result, and so is what went wrong; neither is an error of the benchmark. */
static int enter(rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, int rounds, double available, double *taken,
                 entrant *e)
{
    bench_result *r = e->r;
    const char *why = "no reason given";

    if (!r->algo->supports(be, d, dir, &why)) {
        r->refused = why;
        return 0;
    }
    r->samples_ms = calloc((size_t)rounds, sizeof(double));
    e->prepare_ms = calloc((size_t)rounds, sizeof(double));
    e->core_ms = calloc((size_t)rounds, sizeof(double));
    if (!r->samples_ms || !e->prepare_ms || !e->core_ms)
        return rn_fail(RN_E_NOMEM, "bench: out of memory");
    int rc = reserve(be, r->algo, d, dir, available, taken);
    if (rc == 0)
        rc = open_plan(be, d, dir, e);
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

int bench_measure(rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, const bench_plan_opts *opts,
                  bench_result **out, size_t *n)
{
    size_t count = 0, k = 0;
    bench_tensors t = {0};
    bool any = false;
    bench_clock clock = {0};
    const double available = bench_memory_available();
    double taken = bench_case_bytes(be, d, dir);
    int rc = 0;

    for (const rn_conv_algo *const *a = be->conv_algos; *a; a++)
        count += wanted(*a, opts->pattern);
    *n = count;
    *out = calloc(count ? count : 1, sizeof **out);
    entrant *e = calloc(count ? count : 1, sizeof *e);
    if (!*out || !e)
        RN_GO(rn_fail(RN_E_NOMEM, "bench: out of memory"));
    for (const rn_conv_algo *const *a = be->conv_algos; *a; a++) {
        if (!wanted(*a, opts->pattern))
            continue;
        (*out)[k].algo = *a;
        e[k].r = &(*out)[k];
        e[k].clock = &clock;
        RN_GO(enter(be, d, dir, opts->rounds, available, &taken, &e[k]));
        any |= e[k].r->verified;
        k++;
    }
    if (!any)
        goto out;
    RN_GO(bench_clock_open(be, &clock));
    rc = bench_tensors_make(be, d, dir, &t);
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
    if (rc < 0) {
        bench_results_free(*out, count);
        *out = NULL;
    }
    return rc;
}
