/* SPDX-License-Identifier: MIT */
/*
 * Other processes only ever add to a time. So the cost of a candidate is its second least sample (the least may be a stroke of
 * luck), rounds go over all candidates by turns, so that a slow spell hits them alike, and measuring goes on for longer
 * while noise could still turn the choice.
 */
#include "op/rn_measure.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_log.h"
#include "op/rn_measure_data.h"
#include "op/rn_tuning.h"

#define LEAST_ROUNDS 5
#define MOST_ROUNDS  400
#define LEAST_S      5e-4 /* a sample repeats its run until it lasts this long */
#define MOST_REPEATS 50
#define UNSURE       0.01 /* within this of the tie's border another round may turn the choice */
#define PATIENCE     6    /* budgets that may go into a case whose choice is not clear */
#define KEPT         4    /* least samples that are kept: how far apart they lie tells how loud the machine is */

typedef struct entrant {
    rn_conv_plan *plan;
    void *workspace;
    int repeats, samples;
    double low[KEPT]; /* the least of the samples, ascending; ms */
    bool dropped;
} entrant;

static int finish(rn_backend *be)
{
    return be->sync ? be->sync(be, NULL) : 0;
}

/* One sample: weights prepared if that counts, then the mean of the runs. */
static int sample(rn_backend *be, const entrant *e, const rn_conv_args *args, bool prepare, double *ms)
{
    double t = rn_now(), prepared = 0;

    if (prepare) {
        RN_TRY(rn_conv_prepare(e->plan, args->wei, NULL));
        RN_TRY(finish(be));
        prepared = rn_now() - t;
        t = rn_now();
    }
    for (int i = 0; i < e->repeats; i++)
        RN_TRY(rn_conv_run(e->plan, args, 0, e->workspace, NULL));
    RN_TRY(finish(be));
    *ms = 1e3 * (prepared + (rn_now() - t) / e->repeats);
    return 0;
}

static double cost(const entrant *e)
{
    return e->samples > 1 ? e->low[1] : e->low[0];
}

/* How far the cost may still fall, relative to it. */
static double doubt(const entrant *e)
{
    return e->samples < KEPT ? INFINITY : (e->low[KEPT - 1] - e->low[0]) / e->low[0];
}

static void note(entrant *e, double ms)
{
    int i = e->samples < KEPT ? e->samples : KEPT;

    e->samples++;
    if (i == KEPT && !(ms < e->low[--i]))
        return;
    for (; i > 0 && ms < e->low[i - 1]; i--)
        e->low[i] = e->low[i - 1];
    e->low[i] = ms;
}

/* The first run pays for page faults and starting threads; the second tells how many make a sample. */
static int warm_up(rn_backend *be, entrant *e, const rn_conv_args *args)
{
    double ms;

    e->repeats = 1;
    RN_TRY(rn_conv_prepare(e->plan, args->wei, NULL));
    RN_TRY(sample(be, e, args, false, &ms));
    RN_TRY(sample(be, e, args, false, &ms));
    e->repeats = ms * 1e-3 >= LEAST_S                  ? 1
                 : ms * 1e-3 * MOST_REPEATS <= LEAST_S ? MOST_REPEATS
                                                       : (int)ceil(LEAST_S * 1e3 / ms);
    return 0;
}

double rn_measure_rounded(double ms)
{
    char text[32];

    snprintf(text, sizeof text, "%.*g", RN_TUNING_DIGITS, ms);
    return strtod(text, NULL);
}

static void costs(const entrant *e, rn_candidate *c, int n)
{
    for (int i = 0; i < n; i++)
        c[i].ms = e[i].samples ? rn_measure_rounded(cost(&e[i])) : 0;
}

/* Is nobody so near the border between a tie and a loss that noise could move the choice? */
static bool is_clear(const entrant *e, rn_candidate *c, int n)
{
    int second, best, fastest = 0;

    costs(e, c, n);
    best = rn_measure_best(c, n, &second);
    for (int i = 0; i < n; i++)
        fastest = c[i].ms > 0 && !(c[fastest].ms > 0 && c[fastest].ms <= c[i].ms) ? i : fastest;
    for (int i = 0; i <= best; i++) {
        const double room = fabs(c[i].ms / c[fastest].ms - (1 + RN_MEASURE_TIE));
        if (c[i].ms > 0 && !e[i].dropped && i != fastest && !(room > UNSURE + doubt(&e[i]) + doubt(&e[fastest])))
            return false;
    }
    return true;
}

static int one_round(rn_backend *be, const rn_measure_opts *o, const rn_conv_args *args, entrant *e, int n, int first)
{
    double ms;

    for (int k = 0; k < n; k++) { /* nobody always follows the same one */
        entrant *at = &e[(first + k) % n];
        if (at->dropped)
            continue;
        RN_TRY(sample(be, at, args, o->prepare, &ms));
        note(at, ms);
    }
    return 0;
}

/* Two samples may both be bad luck, hardly by a factor of three and more. */
static void drop_slow(const rn_measure_opts *o, entrant *e, int n)
{
    double least = INFINITY;

    for (int i = 0; i < n; i++)
        least = e[i].samples && e[i].low[0] < least ? e[i].low[0] : least;
    for (int i = 0; i < n; i++) {
        const double factor = e[i].samples >= LEAST_ROUNDS ? o->drop_above : 3 * o->drop_above;
        e[i].dropped = e[i].dropped || (e[i].samples > 1 && e[i].low[0] > factor * least);
    }
}

static void leave_out(entrant *e, const rn_candidate *c)
{
    rn_warn("%s: left out: %s", c->algo->name, rn_error_text());
    e->dropped = true;
}

static int open_entrant(rn_backend *be, const rn_candidate *c, const rn_conv_desc *d, rn_conv_dir dir, entrant *e)
{
    RN_TRY(rn_conv_plan_open(be, c->algo, d, dir, &e->plan));
    return e->plan->workspace_bytes ? be->alloc(be, e->plan->workspace_bytes, &e->workspace) : RN_OK;
}

static int measure_rounds(rn_backend *be, const rn_measure_opts *o, const rn_conv_args *args, entrant *e,
                          rn_candidate *c, int n)
{
    for (int i = 0; i < n; i++) {
        if (!e[i].dropped && warm_up(be, &e[i], args) < 0)
            leave_out(&e[i], &c[i]);
    }
    const double start = rn_now();
    for (int round = 0; round < MOST_ROUNDS; round++) {
        const double spent = rn_now() - start;
        if (round >= LEAST_ROUNDS && spent > o->budget_s && (spent > PATIENCE * o->budget_s || is_clear(e, c, n)))
            break;
        RN_TRY(one_round(be, o, args, e, n, round));
        drop_slow(o, e, n);
    }
    costs(e, c, n);
    return 0;
}

int rn_measure(rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, const rn_measure_opts *opts, rn_candidate *c,
               int n)
{
    rn_measure_data m = {0};
    int rc = RN_OK;
    entrant *e = calloc((size_t)n, sizeof *e);
    if (!e)
        return rn_fail(RN_E_NOMEM, "selector: out of memory");
    RN_GO(rn_measure_data_open(be, d, dir, &m));
    for (int i = 0; i < n; i++) {
        if (open_entrant(be, &c[i], d, dir, &e[i]) < 0)
            leave_out(&e[i], &c[i]);
    }
    const rn_conv_args args = rn_measure_args(&m);
    RN_GO(measure_rounds(be, opts, &args, e, c, n));
out:
    for (int i = 0; i < n; i++) {
        be->free(be, e[i].workspace);
        rn_conv_plan_close(e[i].plan);
    }
    rn_measure_data_close(be, &m);
    free(e);
    return rc;
}

int rn_measure_best(const rn_candidate *c, int n, int *second)
{
    int fastest = -1, best = -1;

    *second = -1;
    for (int i = 0; i < n; i++) {
        if (c[i].ms > 0 && (fastest < 0 || c[i].ms < c[fastest].ms))
            fastest = i;
    }
    for (int i = 0; i < n && best < 0; i++) {
        if (c[i].ms > 0 && c[i].ms <= c[fastest].ms * (1 + RN_MEASURE_TIE))
            best = i;
    }
    for (int i = 0; i < n; i++) {
        if (i != best && c[i].ms > 0 && (*second < 0 || c[i].ms < c[*second].ms))
            *second = i;
    }
    return best;
}
