/* SPDX-License-Identifier: MIT */
/*
 * Convolutions: every algorithm x instruction set x direction x beta against the reference, on small integers
 * (compared exactly: they find wrong indices whatever the order of summation) and on reals (against a double sum:
 * they find lost precision, which integers cannot show). Each run is repeated to hold DETERMINISTIC to its word.
 * Groups conv (f32: every case), conv_bf16 and conv_f16 (those of `half`): there the data are values of the type, the
 * integers' sums are exact in f32 and rounded once, so that they too must agree bit for bit.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_half.h"
#include "base/rn_io.h"
#include "check_conv.h"
#include "kernels/ref/ref_conv.h"
#include "op/rn_select.h"

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

/* Those that a 16-bit type is checked on: everything it does differently. Odd counts of channels, of images, of pixels
 * and of taps, because bf16 goes in pairs; sums of several blocks; padding left out; strides. */
static const char *const half[] = {"mb1ic1ih5oc1kh3ph1",
                                   "mb1ic1ih1oc1kh1",
                                   "mb2ic3ih7oc5kh3ph1",
                                   "mb1ic16ih13iw17oc31kh3kw1ph1pw0",
                                   "mb2ic31ih6iw9oc3kh1kw3ph0pw1",
                                   "mb1ic17ih4oc33kh1",
                                   "mb5ic16ih10oc16kh3ph1",
                                   "mb2ic16ih15oc31kh3sh2ph1",
                                   "mb1ic16ih17iw14oc5kh5sh3ph2",
                                   "mb1ic31ih12oc16kh3sh1sw2ph1",
                                   "mb2ic8ih9oc24kh2sh2ph1",
                                   "mb2ic64ih14oc31kh1sh2",
                                   "mb1ic16ih10oc16kh1sh3",
                                   "mb2ic3ih6oc5kh1ph1",
                                   "mb1ic3ih37iw23oc64kh7sh2ph3",
                                   "mb5ic1ih9oc3kh7ph3",
                                   "mb2ic5ih4oc5kh5ph4",
                                   "mb1ic5ih2oc3kh1ph2",
                                   "mb2ic5ih4oc17kh3sh1000000ph1",
                                   "mb2ic131ih6oc70kh3ph1",
                                   "mb1ic40ih4oc300kh3ph1",
                                   "mb5ic16ih21oc16kh3ph1",
                                   "mb1ic512ih4oc130kh1",
                                   "mb33ic17ih5oc19kh3ph1",
                                   "mb40ic16ih7oc16kh5sh2ph2",
                                   "mb30ic5ih3iw4oc36kh3sh1ph2",
                                   "mb300ic3ih3oc5kh3ph1",
                                   "mb28ic50ih3oc130kh3ph1",
                                   "mb24ic16ih6iw5oc31kh3sh2ph1",
                                   "mb3ic64ih7oc64kh3ph1",
                                   NULL};

typedef struct regime {
    const char *name;
    bool exact;
    float *t[3];        /* dst, src, wei, values of their types; the destination's holds what beta 1 adds to */
    double *want, *mag; /* per element of the destination, beta 0; mag: sum of |terms| */
} regime;

typedef struct conv_case {
    const char *text, *group;
    rn_conv_desc d;
    rn_conv_dir dir;
    size_t n[3]; /* elements of dst, src, wei: indexed by the direction that writes them */
    regime reg[2];
} conv_case;

/* Largest m such that n products of integers in -m..m, and one more integer, stay below 2^24: exact in f32. Below f16's
 * largest where they end in it. */
static int int_bound(const rn_conv_desc *d, rn_conv_dir dir)
{
    const double n = terms(d, dir), limit = d->dtype == RN_F16 && dir != RN_BWD_W ? 65504 : 0x1p24;
    int m = 8;

    while (m > 1 && n * m * m + m >= limit)
        m--;
    return m;
}

/* ---- types ---------------------------------------------------------------------------------------------------------- */

static rn_dtype type_of(const conv_case *c, int tensor)
{
    return tensor == RN_BWD_W && c->dir == RN_BWD_W ? RN_F32 : c->d.dtype;
}

/* Data and reference of one case and direction, shared by all algorithms; made when the first of them runs. */
static void prepare_case(check_run *r, conv_case *c)
{
    int m = int_bound(&c->d, c->dir);

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
            for (size_t k = 0; k < c->n[j]; k++)
                g->t[j][k] = round_to(type_of(c, j), g->t[j][k]);
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

/* What an algorithm may lose beside a direct sum: Winograd's, of the largest sum of absolute terms, because a tile's
 * values meet in each of its outputs. */
static double extra_loss(const conv_case *c, const regime *g, const rn_conv_algo *algo)
{
    double most = 0;

    for (size_t i = 0; i < c->n[c->dir]; i++)
        most = fmax(most, g->mag[i]);
    return winograd_tol(algo, terms(&c->d, c->dir)) * most;
}

/* Integers: the sum, rounded once; Winograd's transforms have fractions, but the nearest integer must be the sum. Reals: the sum
 * as exact as f32 sums are, then rounded to the type. */
static void compare(check_run *r, const conv_case *c, const regime *g, const rn_conv_algo *algo, int beta,
                    const void *out)
{
    const float *old = g->t[c->dir];
    const rn_dtype type = type_of(c, c->dir);
    size_t n = c->n[c->dir];
    const double extra = extra_loss(c, g, algo);
    char what[64];
    double *want = xalloc(n, sizeof *want), *bound = xalloc(n, sizeof *bound);
    float *got = xalloc(n, sizeof *got);

    load(type, got, out, n);
    for (size_t i = 0; i < n; i++) {
        const double sum = g->want[i] + (beta ? (double)old[i] : 0);
        const double loss = REAL_TOL * (g->mag[i] + (beta ? fabs((double)old[i]) : 0));
        want[i] = sum;
        bound[i] = g->exact && knows_integers(algo) ? exact_bound(type, sum, extra, &want[i])
                                                    : loss + extra + rounding(type, fabs(sum) + loss + extra);
    }
    snprintf(what, sizeof what, "%s beta %d", g->name, beta);
    check_close(r, what, got, want, bound, n, 1);
    free(want);
    free(bound);
    free(got);
}

static size_t bytes_of(const conv_case *c, int tensor)
{
    return c->n[tensor] * rn_dtype_size(type_of(c, tensor));
}

/* One run in fresh guarded buffers; returns the output. */
static void *run_once(check_run *r, rn_conv_plan *plan, const conv_case *c, const regime *g, int beta)
{
    void *t[3], *was[3];

    for (int j = 0; j < 3; j++) {
        t[j] = check_bytes(r, bytes_of(c, j));
        was[j] = check_bytes(r, bytes_of(c, j));
        store(type_of(c, j), was[j], g->t[j], c->n[j]);
        if (j != (int)c->dir || beta) /* else it stays NaN: beta 0 must not read it */
            memcpy(t[j], was[j], bytes_of(c, j));
    }
    void *ws = check_bytes(r, plan->workspace_bytes); /* NaN */
    rn_conv_args args = {.src = t[1], .wei = t[2], .dst = t[0]};
    if (rn_conv_prepare(plan, t[2], NULL) < 0 || rn_conv_run(plan, &args, beta, ws, NULL) < 0)
        check_fail(r, "%s", rn_error_text());
    for (int j = 0; j < 3; j++) {
        if (j != (int)c->dir && memcmp(t[j], was[j], bytes_of(c, j)) != 0)
            check_fail(r, "changed its input");
    }
    return t[c->dir];
}

/* Our own fwd and bwd_d promise the same bits at any number of threads; bwd_w only to be right. */
static void check_threads(check_run *r, const rn_conv_plan *with, const conv_case *c, const regime *g, const void *got)
{
    const int was = with->be->threads;

    for (int threads = 1; threads <= 3; threads += 2) {
        rn_conv_plan *plan = NULL;
        with->be->threads = threads;
        if (rn_conv_plan_open(with->be, with->algo, &c->d, c->dir, &plan) < 0) {
            check_fail(r, "%s", rn_error_text());
            break;
        }
        const void *other = run_once(r, plan, c, g, 0);
        if (c->dir == RN_BWD_W)
            compare(r, c, g, with->algo, 0, other);
        else if (memcmp(got, other, bytes_of(c, c->dir)) != 0)
            check_fail(r, "%d threads gave other bits than %d", threads, was);
        rn_conv_plan_close(plan);
    }
    with->be->threads = was;
}

static void time_plan(check_run *r, rn_conv_plan *plan, const conv_case *c)
{
    const regime *g = &c->reg[1];
    void *ws = check_bytes(r, plan->workspace_bytes), *t[3];
    double best = INFINITY, end = rn_now() + 0.2;

    for (int j = 0; j < 3; j++) {
        t[j] = check_bytes(r, bytes_of(c, j));
        store(type_of(c, j), t[j], g->t[j], c->n[j]);
    }
    rn_conv_args args = {.src = t[1], .wei = t[2], .dst = t[0]};
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
    check_id id = {c->group, c->text, rn_conv_dir_name(c->dir), algo->name, check_isa_names[isa]};
    rn_backend *be = r->be[isa];
    rn_conv_plan *plan = NULL;
    const char *why = "";

    if (!check_begin(r, &id))
        return;
    if (!algo->supports(be, &c->d, c->dir, &why)) {
        check_refuse(r, why);
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
        const void *got = run_once(r, plan, c, g, beta);
        compare(r, c, g, algo, beta, got);
        const void *again = run_once(r, plan, c, g, beta);
        if ((algo->flags & RN_ALGO_DETERMINISTIC) && memcmp(got, again, bytes_of(c, c->dir)) != 0)
            check_fail(r, "%s beta %d: a second run gave other bits", g->name, beta);
        if (!g->exact && !beta && strncmp(algo->name, "cpu:", 4) == 0)
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
    check_id id = {c->group, c->text, "adjoint", "ref", ""};
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

static void check_case(check_run *r, const check_group *group, rn_dtype dtype, const char *text)
{
    conv_case c = {.text = text, .group = group->name};

    if (rn_conv_desc_parse(text, &c.d) < 0) {
        if (check_begin(r, &(check_id){c.group, text, "", "", ""})) {
            check_fail(r, "%s", rn_error_text());
            check_end(r);
        }
        return;
    }
    c.d.dtype = dtype;
    c.n[RN_FWD] = (size_t)c.d.mb * c.d.oh * c.d.ow * c.d.oc;
    c.n[RN_BWD_D] = (size_t)c.d.mb * c.d.ih * c.d.iw * c.d.ic;
    c.n[RN_BWD_W] = (size_t)c.d.oc * c.d.kh * c.d.kw * c.d.ic;
    if (dtype == RN_F32)
        check_adjoint(r, &c);
    for (int dir = 0; dir < 3; dir++) {
        c.dir = (rn_conv_dir)dir;
        for (int isa = 0; isa < CHECK_ISAS; isa++) {
            for (const rn_conv_algo *const *a = r->be[isa] ? r->be[isa]->conv_algos : NULL; a && *a; a++) {
                if (runs_at(r, c.d.dtype, *a, isa))
                    check_algo(r, &c, *a, isa);
            }
        }
        free_case(&c);
    }
}

static void check_list(check_run *r, const check_group *group, rn_dtype dtype, const char *const *list)
{
    rn_conv_desc d;
    bool listed = false;

    for (const char *const *c = list; *c; c++) {
        check_case(r, group, dtype, *c);
        listed = listed || (r->cas && rn_select_match(r->cas, *c));
    }
    /* A descriptor from the command line that is not in the list. */
    if (r->cas && !listed && rn_select_match(r->group, group->name) && rn_conv_desc_parse(r->cas, &d) == 0)
        check_case(r, group, dtype, r->cas);
}

static void run_f32(check_run *r)
{
    check_list(r, &check_conv_group, RN_F32, cases);
}

static void run_bf16(check_run *r)
{
    check_list(r, &check_conv_bf16_group, RN_BF16, half);
}

static void run_f16(check_run *r)
{
    check_list(r, &check_conv_f16_group, RN_F16, half);
}

const check_group check_conv_group = {"conv", run_f32};
const check_group check_conv_bf16_group = {"conv_bf16", run_bf16}, check_conv_f16_group = {"conv_f16", run_f16};
