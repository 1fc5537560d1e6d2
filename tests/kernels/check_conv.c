/* SPDX-License-Identifier: MIT */
/*
 * Convolutions: every algorithm x instruction set x direction x beta against the reference, on small integers
 * (compared exactly: they find wrong indices whatever the order of summation) and on reals (against a double sum:
 * they find lost precision, which integers cannot show). Each run is repeated to hold DETERMINISTIC to its word.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "check.h"
#include "kernels/ref/ref_conv.h"
#include "op/rn_select.h"

/* Of the sum of the terms' absolute values. f32 rounding of a sum in any order stays well inside for the sizes here;
 * bf16 or TF32 products fall well outside. */
#define REAL_TOL 0x1p-20

static const char *const cases[] = {
    /* odd everything */
    "mb1ic1ih5oc1kh3ph1", "mb2ic3ih7oc5kh3ph1", "mb5ic5ih9iw11oc16kh3ph1", "mb1ic16ih13iw17oc31kh3kw1ph1pw0",
    "mb2ic31ih6iw9oc3kh1kw3ph0pw1", "mb2ic64ih8oc64kh3ph1", "mb1ic17ih4oc33kh1", "mb5ic16ih10oc16kh3ph1",
    /* strides, with and without a rest */
    "mb2ic16ih15oc31kh3sh2ph1", "mb2ic5ih16oc16kh3sh2ph1", "mb1ic16ih17iw14oc5kh5sh3ph2", "mb2ic3ih14oc16kh5sh2ph2",
    "mb1ic31ih12oc16kh3sh1sw2ph1", "mb2ic16ih11iw13oc16kh3sh3ph0", "mb1ic3ih10oc5kh2sh3ph0", "mb2ic8ih9oc24kh2sh2ph1",
    /* 1x1 */
    "mb5ic16ih7oc64kh1", "mb2ic64ih14oc31kh1sh2", "mb2ic31ih13oc16kh1sh2", "mb1ic16ih10oc16kh1sh3",
    "mb2ic3ih6oc5kh1ph1",
    /* stems */
    "mb2ic3ih33oc16kh7sh2ph3", "mb1ic1ih28oc16kh3ph1", "mb2ic3ih32iw30oc8kh3ph1", "mb1ic3ih37iw23oc64kh7sh2ph3",
    "mb5ic1ih9oc3kh7ph3",
    /* padding as wide as the kernel and wider, kernel as large as the input */
    "mb2ic5ih4oc5kh5ph4", "mb1ic16ih3oc16kh3ph3", "mb2ic16ih7oc31kh7ph0", "mb1ic5ih2oc3kh1ph2",
    /* strides beyond the input */
    "mb2ic5ih4oc17kh3sh1000000ph1", "mb2ic5ih3oc17kh5sh1000000ph1000000",
    /* long sums: more than one block of K, of pixels, of channels */
    "mb1ic130ih6oc70kh3ph1", "mb2ic300ih5oc16kh3ph1", "mb5ic16ih21oc16kh3ph1", "mb1ic512ih4oc130kh1",
    "mb2ic40ih4oc300kh3ph1", "mb64ic8ih4oc16kh3ph1",
    /* small maps of many images: taps in the padding are left out */
    "mb33ic17ih5oc19kh3ph1", "mb40ic16ih7oc16kh5sh2ph2", "mb30ic5ih3iw4oc36kh3sh1ph2", "mb300ic3ih3oc5kh3ph1",
    "mb28ic50ih3oc300kh3ph1", "mb24ic16ih6iw5oc31kh3sh2ph1", "mb70ic1ih4oc3kh7ph3",
    /* maps and widths of narrow nets */
    "mb1ic16ih28oc32kh3sh2ph1", "mb2ic32ih14oc64kh3sh2ph1", "mb3ic64ih7oc64kh3ph1", "mb1ic24ih14oc40kh3ph1", NULL};

typedef struct regime {
    const char *name;
    bool exact;
    float *t[3];        /* dst, src, wei; the destination's holds what beta 1 adds to */
    double *want, *mag; /* per element of the destination, beta 0; mag: sum of |terms| */
} regime;

typedef struct conv_case {
    const char *text;
    rn_conv_desc d;
    rn_conv_dir dir;
    size_t n[3]; /* elements of dst, src, wei: indexed by the direction that writes them */
    regime reg[2];
} conv_case;

/* Terms in one sum of the destination. */
static double terms(const rn_conv_desc *d, rn_conv_dir dir)
{
    return dir == RN_BWD_W ? (double)d->mb * d->oh * d->ow : (double)d->kh * d->kw * (dir == RN_FWD ? d->ic : d->oc);
}

/* Largest m such that n products of integers in -m..m, and one more integer, stay below 2^24: exact in f32. */
static int int_bound(double n)
{
    int m = 8;

    while (m > 1 && n * m * m + m >= 0x1p24)
        m--;
    return m;
}

static void *xalloc(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size);

    if (!p) {
        fprintf(stderr, "check-kernels: out of memory\n");
        abort();
    }
    return p;
}

/* Data and reference of one case and direction, shared by all algorithms; made when the first of them runs. */
static void prepare_case(check_run *r, conv_case *c)
{
    int m = int_bound(terms(&c->d, c->dir));

    for (int i = 0; i < 2; i++) {
        regime *g = &c->reg[i];
        if (g->want)
            continue;
        g->exact = i == 0;
        g->name = g->exact ? "integers" : "reals";
        for (int j = 0; j < 3; j++) {
            g->t[j] = xalloc(c->n[j], sizeof(float));
            if (g->exact)
                check_fill_int(r, g->t[j], c->n[j], m);
            else
                check_fill_real(r, g->t[j], c->n[j], 1.0f);
        }
        g->want = xalloc(c->n[c->dir], sizeof(double));
        g->mag = xalloc(c->n[c->dir], sizeof(double));
        for (size_t k = 0; k < c->n[c->dir]; k++)
            g->want[k] = rn_ref_conv_element(&c->d, c->dir, g->t[1], g->t[2], g->t[0], k, &g->mag[k]);
    }
}

static void free_case(conv_case *c)
{
    for (int i = 0; i < 2; i++) {
        regime *g = &c->reg[i];
        for (int j = 0; j < 3; j++)
            free(g->t[j]);
        free(g->want);
        free(g->mag);
        *g = (regime){0};
    }
}

static void compare(check_run *r, const conv_case *c, const regime *g, int beta, const float *got)
{
    const float *old = g->t[c->dir];
    size_t n = c->n[c->dir];
    char what[64];
    double *want = xalloc(n, sizeof *want), *mag = xalloc(n, sizeof *mag);

    for (size_t i = 0; i < n; i++) {
        want[i] = g->want[i] + (beta ? (double)old[i] : 0);
        mag[i] = g->mag[i] + (beta ? fabs((double)old[i]) : 0);
    }
    snprintf(what, sizeof what, "%s beta %d", g->name, beta);
    check_close(r, what, got, want, mag, n, g->exact ? 0 : REAL_TOL);
    free(want);
    free(mag);
}

/* One run in fresh guarded buffers; returns the output. */
static float *run_once(check_run *r, rn_conv_plan *plan, const conv_case *c, const regime *g, int beta)
{
    float *t[3];

    for (int j = 0; j < 3; j++) {
        t[j] = check_f32(r, c->n[j]);
        if (j != (int)c->dir || beta) /* else it stays NaN: beta 0 must not read it */
            memcpy(t[j], g->t[j], c->n[j] * sizeof(float));
    }
    void *ws = check_bytes(r, plan->workspace_bytes); /* NaN */
    rn_conv_args args = {.src = t[1], .wei = t[2], .dst = t[0]};
    if (rn_conv_prepare(plan, t[2], NULL) < 0 || rn_conv_run(plan, &args, beta, ws, NULL) < 0)
        check_fail(r, "%s", rn_error_text());
    for (int j = 0; j < 3; j++) {
        if (j != (int)c->dir && memcmp(t[j], g->t[j], c->n[j] * sizeof(float)) != 0)
            check_fail(r, "changed its input");
    }
    return t[c->dir];
}

/* Our own fwd and bwd_d promise the same bits at any number of threads. */
static void check_threads(check_run *r, rn_conv_plan *plan, const conv_case *c, const regime *g, const float *got)
{
    const int was = plan->be->threads;

    for (int threads = 1; threads <= 5; threads += 2) {
        plan->be->threads = threads;
        if (memcmp(got, run_once(r, plan, c, g, 0), c->n[c->dir] * sizeof(float)) != 0)
            check_fail(r, "%d threads gave other bits than %d", threads, was);
    }
    plan->be->threads = was;
}

static void time_plan(check_run *r, rn_conv_plan *plan, const conv_case *c)
{
    const regime *g = &c->reg[1];
    void *ws = check_bytes(r, plan->workspace_bytes);
    float *out = check_f32(r, c->n[c->dir]);
    rn_conv_args args = {.src = g->t[1], .wei = g->t[2], .dst = g->t[0]};
    double best = INFINITY, end = rn_now() + 0.2;

    *(c->dir == RN_FWD ? &args.dst : c->dir == RN_BWD_D ? &args.src : &args.wei) = out;
    for (int i = 0; i < 5 || rn_now() < end; i++) {
        double t = rn_now();
        if (rn_conv_run(plan, &args, 0, ws, NULL) < 0)
            return;
        t = rn_now() - t;
        best = t < best ? t : best;
    }
    printf("# time %s %s %s: %.4f ms, %.1f GFLOP/s (padding counted)\n", c->text, rn_conv_dir_name(c->dir),
           plan->algo->name, best * 1e3, rn_conv_flops(&c->d, false) / best * 1e-9);
}

static void check_algo(check_run *r, conv_case *c, const rn_conv_algo *algo, int isa)
{
    check_id id = {"conv", c->text, rn_conv_dir_name(c->dir), algo->name, check_isa_names[isa]};
    rn_backend *be = r->be[isa];
    rn_conv_plan *plan = NULL;
    const char *why = "";

    if (!check_begin(r, &id))
        return;
    if (!algo->supports(be, &c->d, c->dir, &why)) {
        check_skip(r, why);
        return;
    }
    prepare_case(r, c);
    if (rn_conv_plan_open(be, algo, &c->d, c->dir, &plan) < 0) {
        check_fail(r, "%s", rn_error_text());
        check_end(r);
        return;
    }
    for (int i = 0; i < 4; i++) {
        const regime *g = &c->reg[i / 2];
        int beta = i % 2;
        const float *got = run_once(r, plan, c, g, beta);
        compare(r, c, g, beta, got);
        const float *again = run_once(r, plan, c, g, beta);
        if ((algo->flags & RN_ALGO_DETERMINISTIC) && memcmp(got, again, c->n[c->dir] * sizeof(float)) != 0)
            check_fail(r, "%s beta %d: a second run gave other bits", g->name, beta);
        if (!g->exact && !beta && c->dir != RN_BWD_W && strncmp(algo->name, "cpu:", 4) == 0)
            check_threads(r, plan, c, g, got);
    }
    if (r->time && !r->failed)
        time_plan(r, plan, c);
    rn_conv_plan_close(plan);
    check_end(r);
}

/* The three directions of the reference against each other: <fwd(src, wei), dst> = <src, bwd_d> = <wei, bwd_w>.
 * Exact on integers. */
static void check_adjoint(check_run *r, const conv_case *c)
{
    check_id id = {"conv", c->text, "adjoint", "ref", ""};
    float *t[3];
    double dot[3] = {0, 0, 0};

    if (!check_begin(r, &id))
        return;
    for (int j = 0; j < 3; j++) {
        t[j] = check_f32(r, c->n[j]);
        check_fill_int(r, t[j], c->n[j], 3);
    }
    for (int dir = 0; dir < 3; dir++) {
        for (size_t i = 0; i < c->n[dir]; i++)
            dot[dir] += rn_ref_conv_element(&c->d, (rn_conv_dir)dir, t[1], t[2], t[0], i, NULL) * (double)t[dir][i];
    }
    if (!(dot[0] == dot[1] && dot[0] == dot[2]))
        check_fail(r, "fwd %.17g, bwd_d %.17g, bwd_w %.17g", dot[0], dot[1], dot[2]);
    check_end(r);
}

static void check_case(check_run *r, const char *text)
{
    conv_case c = {.text = text};

    if (rn_conv_desc_parse(text, &c.d) < 0) {
        if (check_begin(r, &(check_id){"conv", text, "", "", ""})) {
            check_fail(r, "%s", rn_error_text());
            check_end(r);
        }
        return;
    }
    c.n[RN_FWD] = (size_t)c.d.mb * c.d.oh * c.d.ow * c.d.oc;
    c.n[RN_BWD_D] = (size_t)c.d.mb * c.d.ih * c.d.iw * c.d.ic;
    c.n[RN_BWD_W] = (size_t)c.d.oc * c.d.kh * c.d.kw * c.d.ic;
    check_adjoint(r, &c);
    for (int dir = 0; dir < 3; dir++) {
        c.dir = (rn_conv_dir)dir;
        for (int isa = 0; isa < CHECK_ISAS; isa++) {
            for (const rn_conv_algo *const *a = r->be[isa] ? r->be[isa]->conv_algos : NULL; a && *a; a++) {
                /* Only our own kernels obey the cap; the others run once, at this CPU's best. */
                if (isa == r->best || strncmp((*a)->name, "cpu:", 4) == 0)
                    check_algo(r, &c, *a, isa);
            }
        }
        free_case(&c);
    }
}

static void run(check_run *r)
{
    rn_conv_desc d;
    bool listed = false;

    for (const char *const *c = cases; *c; c++) {
        check_case(r, *c);
        listed = listed || (r->cas && rn_select_match(r->cas, *c));
    }
    /* A descriptor from the command line that is not in the list. */
    if (r->cas && !listed && rn_select_match(r->group, "conv") && rn_conv_desc_parse(r->cas, &d) == 0)
        check_case(r, r->cas);
}

const check_group check_conv_group = {"conv", run};
