/* SPDX-License-Identifier: MIT */
#include "bench_split.h"

#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "bench.h"
#include "kernels/rn_kernels.h"

enum { MAX_ALGOS = 64, MAX_PARTS = 2048 };

/* An algorithm that keeps the time of another. */
typedef struct timed_algo {
    rn_conv_algo algo; /* first: what a plan's `algo` points to */
    const rn_conv_algo *inner;
} timed_algo;

typedef struct entry {
    bench_part part;
    double now; /* seconds in the step under way */
    int calls;
    double *ms; /* by step */
} entry;

typedef struct pair {
    rn_event from, to;
    int entry;
} pair;

/* Where a call began. */
typedef struct mark {
    double at; /* by the host's clock */
    int pair;  /* or by events; -1: none */
} mark;

struct bench_split {
    rn_ops ops; /* first: what a backend's `ops` points to */
    rn_backend *be;
    const rn_ops *inner;
    int (*copy)(rn_backend *, void *, const void *, size_t, enum rn_copy_kind, rn_stream);
    int (*memset)(rn_backend *, void *, int, size_t, rn_stream);
    int (*capture_begin)(rn_backend *);
    bool paused;
    void (*close)(rn_backend *);
    timed_algo algos[MAX_ALGOS];
    const rn_conv_algo *list[MAX_ALGOS + 1];
    bool inbounds;
    entry *entries; /* MAX_PARTS; more kinds than that share the last one's place */
    int nentries, nsteps, cap_steps;
    pair *pairs; /* npairs of the step under way */
    int npairs, cap_pairs, rc;
    double *between; /* by step */
    bench_part *parts;
};

static void split_close(rn_backend *be);

bench_split *bench_split_of(const rn_backend *be)
{
    return be->close == split_close ? (bench_split *)be->ops : NULL;
}

/* ---- counting ------------------------------------------------------------------------------------------------------- */

static bool same_part(const bench_part *a, const bench_part *b)
{
    return strcmp(a->kind, b->kind) == 0 && a->flop == b->flop && a->bytes == b->bytes &&
           (!a->is_conv || memcmp(&a->desc, &b->desc, sizeof a->desc) == 0);
}

/* Two events of a call that the device may not have come to yet. */
static int next_pair(bench_split *s, rn_backend *be)
{
    if (s->npairs < s->cap_pairs)
        return 0;
    pair *v = realloc(s->pairs, (size_t)(s->cap_pairs + 1) * sizeof *v);
    if (!v)
        return rn_fail(RN_E_NOMEM, "no memory for the split of a step");
    s->pairs = v;
    v[s->cap_pairs] = (pair){0};
    RN_TRY(be->event_open(be, &v[s->cap_pairs].from));
    s->cap_pairs++;
    return be->event_open(be, &v[s->cap_pairs - 1].to);
}

static mark begin(bench_split *s, rn_backend *be, rn_stream st)
{
    if (be->event_record && s->rc == 0 && !s->paused) {
        s->rc = next_pair(s, be);
        if (s->rc == 0)
            s->rc = be->event_record(be, s->pairs[s->npairs].from, st);
        return (mark){.pair = s->rc == 0 ? s->npairs++ : -1};
    }
    return (mark){.at = rn_now(), .pair = -1};
}

/* A call that began at `from` has ended, or has been handed to the device. */
static void note(bench_split *s, const bench_part *part, rn_backend *be, mark from, rn_stream st)
{
    int i = 0;
    if (s->paused)
        return;
    while (i < s->nentries && i < MAX_PARTS - 1 && !same_part(&s->entries[i].part, part))
        i++;
    if (i == s->nentries) {
        s->entries[i] = (entry){.part = *part};
        s->nentries++;
    }
    s->entries[i].calls++;
    if (!be->event_record) {
        if (be->sync)
            (void)be->sync(be, NULL);
        s->entries[i].now += rn_now() - from.at;
    } else if (from.pair >= 0 && s->rc == 0) {
        s->pairs[from.pair].entry = i;
        s->rc = be->event_record(be, s->pairs[from.pair].to, st);
    }
}

/* Waits for the events of a step, and adds them up. */
static int settle(bench_split *s)
{
    double ms;

    RN_TRY(s->rc);
    for (int i = 0; i < s->npairs; i++) {
        RN_TRY(s->be->event_ms(s->be, s->pairs[i].from, s->pairs[i].to, &ms));
        s->entries[s->pairs[i].entry].now += ms * 1e-3;
    }
    s->npairs = 0;
    return RN_OK;
}

/* Bytes of n values of type t. */
static double of_type(rn_dtype t, double n)
{
    return n * (double)rn_dtype_size(t);
}

/*
 * A wrapper a slot: what it reads and writes. The arguments are `a`. dx_beta and the like: what is added to is read, too.
 */
#define ROWS          ((double)a->rows * a->c)
#define COUNT         ((double)a->n)
#define IMAGES        ((double)a->mb * a->hw * a->c)
#define POOLED        ((double)a->mb * a->c * a->oh * a->ow)
#define UNPOOLED      ((double)a->mb * a->c * a->ih * a->iw)
#define PRODUCT       (2.0 * a->mb * a->ic * a->oc)
#define ADDS(p, beta) ((p) ? 1 + (beta) : 0)
/* clang-format off */
#define SLOTS(X) \
    X(normalize, rn_op_normalize, a->dtype, 0, ROWS + of_type(a->dtype, ROWS)) \
    X(convert, rn_op_convert, a->from, 0, of_type(a->from, COUNT) + of_type(a->to, COUNT)) \
    X(bn_fwd, rn_op_bn_fwd, a->dtype, 0, of_type(a->dtype, ROWS * (a->res ? 3 : 2))) \
    X(bn_bwd, rn_op_bn_bwd, a->dtype, 0, \
      of_type(a->dtype, ROWS * (2 + a->relu + ADDS(a->dx, a->dx_beta) + ADDS(a->dres, a->dres_beta)))) \
    X(bn_stats, rn_op_bn_stats, RN_F32, 0, of_type(RN_F32, 13.0 * a->c)) \
    X(bn_grad_stats, rn_op_bn_grad_stats, RN_F32, 0, of_type(RN_F32, 12.0 * a->c)) \
    X(relu_fwd, rn_op_relu, a->dtype, 0, of_type(a->dtype, COUNT * 2)) \
    X(relu_bwd, rn_op_relu_bwd, a->dtype, 0, of_type(a->dtype, COUNT * 3)) \
    X(add, rn_op_add, a->dtype, 0, of_type(a->dtype, COUNT * 3)) \
    X(bias_fwd, rn_op_bias, a->dtype, 0, of_type(a->dtype, ROWS * 2)) \
    X(bias_bwd, rn_op_bias_bwd, a->dtype, 0, of_type(a->dtype, ROWS * (1 + a->relu + (a->dx ? 1 : 0)))) \
    X(eltwise_fwd, rn_op_eltwise, a->dtype, 0, of_type(a->dtype, COUNT * 3)) \
    X(eltwise_bwd, rn_op_eltwise_bwd, a->dtype, 0, \
      of_type(a->dtype, COUNT * (1 + a->relu + (a->kind == RN_ELTWISE_SUM ? 0 : 2) + ADDS(a->da, a->da_beta) + \
                                 ADDS(a->db, a->db_beta)))) \
    X(sigmoid_fwd, rn_op_sigmoid, a->dtype, 0, of_type(a->dtype, COUNT * 2)) \
    X(sigmoid_bwd, rn_op_sigmoid_bwd, a->dtype, 0, of_type(a->dtype, COUNT * 3)) \
    X(scale_fwd, rn_op_scale, a->dtype, 0, of_type(a->dtype, IMAGES * (a->res ? 3 : 2))) \
    X(scale_bwd, rn_op_scale_bwd, a->dtype, 0, \
      of_type(a->dtype, IMAGES * (2 + a->relu + ADDS(a->dx, a->dx_beta) + ADDS(a->dres, a->dres_beta)))) \
    X(dropout, rn_op_dropout, a->dtype, 0, of_type(a->dtype, COUNT * 2)) \
    X(lrn_fwd, rn_op_lrn, a->dtype, 0, of_type(a->dtype, ROWS * 2)) \
    X(lrn_bwd, rn_op_lrn_bwd, a->dtype, 0, of_type(a->dtype, ROWS * (3 + a->dx_beta))) \
    X(part, rn_op_part, a->dtype, 0, of_type(a->dtype, ROWS * (2 + a->beta))) \
    X(maxpool_fwd, rn_op_pool, a->dtype, 0, of_type(a->dtype, UNPOOLED + POOLED) + (a->argmax ? POOLED : 0)) \
    X(maxpool_bwd, rn_op_pool, a->dtype, 0, of_type(a->dtype, UNPOOLED * (1 + a->beta) + POOLED) + POOLED) \
    X(avgpool_fwd, rn_op_pool, a->dtype, 0, of_type(a->dtype, UNPOOLED + POOLED)) \
    X(avgpool_bwd, rn_op_pool, a->dtype, 0, of_type(a->dtype, UNPOOLED * (1 + a->beta) + POOLED)) \
    X(gap_fwd, rn_op_gap, a->dtype, 0, of_type(a->dtype, IMAGES)) \
    X(gap_bwd, rn_op_gap, a->dtype, 0, of_type(a->dtype, IMAGES * (1 + a->beta))) \
    X(linear_fwd, rn_op_linear, RN_F32, PRODUCT, linear_bytes(a)) \
    X(linear_bwd_d, rn_op_linear, RN_F32, PRODUCT, linear_bytes(a)) \
    X(linear_bwd_w, rn_op_linear, RN_F32, PRODUCT, linear_bytes(a)) \
    X(xent, rn_op_xent, a->dtype, 0, of_type(a->dtype, (double)a->mb * a->k * (a->dlogits ? 2 : 1))) \
    X(distill, rn_op_distill, RN_F32, 0, of_type(RN_F32, (double)a->mb * a->k * (a->dlogits ? 4 : 2))) \
    X(sgd, rn_op_sgd, RN_F32, 0, of_type(RN_F32, COUNT * 5)) \
    X(axpby, rn_op_axpby, RN_F32, 0, of_type(RN_F32, COUNT * (a->b == 0 ? 2 : 3))) \
    X(sumsq, rn_op_sumsq, RN_F32, 0, of_type(RN_F32, COUNT)) \
    X(clip, rn_op_clip, RN_F32, 0, of_type(RN_F32, COUNT)) \
    X(pick, rn_op_pick, RN_U8, 0, 2.0 * a->n * a->h * a->w * a->c)
/* clang-format on */

static double linear_bytes(const rn_op_linear *a)
{
    return of_type(a->dtype, (double)a->mb * a->ic) + of_type(RN_F32, (double)a->oc * a->ic) +
           of_type(a->y_dtype, (double)a->mb * a->oc);
}

#define WRAPPER(slot, args, dtype_, flop_, bytes_)                                                                     \
    static int timed_##slot(struct rn_backend *be, const args *a, void *stream)                                        \
    {                                                                                                                  \
        bench_split *s = (bench_split *)be->ops;                                                                       \
        const mark from = begin(s, be, stream);                                                                        \
        const int rc = s->inner->slot(be, a, stream);                                                                  \
        note(s, &(bench_part){.kind = #slot, .dtype = (dtype_), .flop = (flop_), .bytes = (bytes_)}, be, from,         \
             stream);                                                                                                  \
        return rc;                                                                                                     \
    }
SLOTS(WRAPPER)
#undef WRAPPER

static void wrap_ops(bench_split *s)
{
    s->ops = *s->inner; /* a slot that is not named above runs, and is found between the calls */
#define TAKE(slot, args, dtype, flop, bytes) s->ops.slot = s->inner->slot ? timed_##slot : NULL;
    SLOTS(TAKE)
#undef TAKE
}

/* ---- convolutions --------------------------------------------------------------------------------------------------- */

static double conv_bytes(const rn_conv_desc *d, rn_conv_dir dir, int beta)
{
    const double src = of_type(d->dtype, (double)d->mb * d->ih * d->iw * d->ic);
    const double dst = of_type(d->dtype, (double)d->mb * d->oh * d->ow * d->oc);
    const double wei = of_type(dir == RN_BWD_W ? RN_F32 : d->dtype, (double)d->oc * d->kh * d->kw * d->ic);
    const double again[] = {[RN_FWD] = dst, [RN_BWD_D] = src, [RN_BWD_W] = wei};
    return src + dst + wei + beta * again[dir] + (d->fuse & RN_PRO_ADD ? src : 0);
}

static int timed_run(rn_conv_plan *plan, const rn_conv_args *a, int beta, void *workspace, void *stream)
{
    static const char *const kinds[] = {[RN_FWD] = "conv_fwd", [RN_BWD_D] = "conv_bwd_d", [RN_BWD_W] = "conv_bwd_w"};
    const timed_algo *t = (const timed_algo *)plan->algo;
    bench_split *s = bench_split_of(plan->be);
    const mark from = begin(s, plan->be, stream);
    plan->algo = t->inner; /* whoever wrote it may look at its plan's row */
    const int rc = t->inner->run(plan, a, beta, workspace, stream);
    plan->algo = &t->algo;
    const bench_part part = {.kind = kinds[plan->dir],
                             .is_conv = true,
                             .desc = plan->desc,
                             .dir = plan->dir,
                             .dtype = plan->desc.dtype,
                             .flop = rn_conv_flops(&plan->desc, s->inbounds),
                             .bytes = conv_bytes(&plan->desc, plan->dir, beta)};
    note(s, &part, plan->be, from, stream);
    return rc;
}

/* Weights read and, in another order, written. */
static int timed_prepare(rn_conv_plan *plan, const void *wei, void *stream)
{
    const timed_algo *t = (const timed_algo *)plan->algo;
    const rn_conv_desc *d = &plan->desc;
    bench_split *s = bench_split_of(plan->be);
    const mark from = begin(s, plan->be, stream);
    plan->algo = t->inner;
    const int rc = t->inner->prepare(plan, wei, stream);
    plan->algo = &t->algo;
    const bench_part part = {
        .kind = "conv_prepare", .dtype = d->dtype, .bytes = of_type(d->dtype, 2.0 * d->oc * d->kh * d->kw * d->ic)};
    note(s, &part, plan->be, from, stream);
    return rc;
}

static int wrap_algos(bench_split *s, const rn_conv_algo *const *list)
{
    int n = 0;
    for (; list[n]; n++) {
        if (n == MAX_ALGOS)
            return rn_fail(RN_E_RANGE, "the split of a step has room for %d algorithms of convolution", MAX_ALGOS);
        timed_algo *t = &s->algos[n];
        *t = (timed_algo){.algo = *list[n], .inner = list[n]};
        t->algo.run = timed_run;
        t->algo.prepare = list[n]->prepare ? timed_prepare : NULL;
        s->list[n] = &t->algo;
    }
    return RN_OK;
}

/* ---- memory --------------------------------------------------------------------------------------------------------- */

static int timed_copy(rn_backend *be, void *dst, const void *src, size_t bytes, enum rn_copy_kind kind, rn_stream st)
{
    bench_split *s = (bench_split *)be->ops;
    const mark from = begin(s, be, st);
    const int rc = s->copy(be, dst, src, bytes, kind, st);
    note(s, &(bench_part){.kind = "copy", .dtype = RN_F32, .bytes = 2 * (double)bytes}, be, from, st);
    return rc;
}

static int timed_memset(rn_backend *be, void *dst, int byte, size_t bytes, rn_stream st)
{
    bench_split *s = (bench_split *)be->ops;
    const mark from = begin(s, be, st);
    const int rc = s->memset(be, dst, byte, bytes, st);
    note(s, &(bench_part){.kind = "memset", .dtype = RN_F32, .bytes = (double)bytes}, be, from, st);
    return rc;
}

/* ---- open and close ------------------------------------------------------------------------------------------------- */

static void split_free(bench_split *s)
{
    for (int i = 0; s->entries && i < s->nentries; i++)
        free(s->entries[i].ms);
    free(s->entries);
    free(s->between);
    free(s->pairs);
    free(s->parts);
    free(s);
}

static void split_close(rn_backend *be)
{
    bench_split *s = (bench_split *)be->ops;
    for (int i = 0; i < s->cap_pairs; i++) {
        be->event_close(be, s->pairs[i].from);
        be->event_close(be, s->pairs[i].to);
    }
    s->close(be);
    split_free(s);
}

static int open_named(const char *device, const rn_backend_opts *opts, rn_backend **out)
{
    rn_backend *be = NULL;
    bench_split *s = calloc(1, sizeof *s);
    int rc = RN_E_NOMEM;
    if (!s || !(s->entries = calloc(MAX_PARTS, sizeof *s->entries))) {
        rc = rn_fail(RN_E_NOMEM, "no memory for the split of a step");
        goto fail;
    }
    rc = rn_backend_open(rn_backends, device, opts, &be);
    if (rc < 0 || (rc = wrap_algos(s, be->conv_algos)) < 0)
        goto fail;
    s->be = be;
    s->inner = be->ops;
    s->copy = be->copy;
    s->memset = be->memset;
    s->close = be->close;
    wrap_ops(s);
    be->ops = &s->ops;
    be->conv_algos = s->list;
    s->capture_begin = be->capture_begin;
    be->capture_begin = NULL; /* an event within one has no time of its own */
    be->rehearse_begin = NULL;
    be->copy = timed_copy;
    be->memset = timed_memset;
    be->close = split_close;
    *out = be;
    return RN_OK;
fail:
    rn_backend_close(be);
    if (s)
        split_free(s);
    return rc;
}

static int open_cpu(const rn_backend_opts *opts, rn_backend **out)
{
    return open_named("cpu", opts, out);
}

static int open_cuda(const rn_backend_opts *opts, rn_backend **out)
{
    return open_named("cuda", opts, out);
}

const rn_backend_entry bench_split_backends[] = {{"cpu", open_cpu}, {"cuda", open_cuda}, {NULL, NULL}};

/* ---- steps ---------------------------------------------------------------------------------------------------------- */

void bench_split_count_inbounds(bench_split *s, bool inbounds)
{
    s->inbounds = inbounds;
}

bool bench_split_captures(const bench_split *s)
{
    return s->capture_begin != NULL;
}

void bench_split_pause(bench_split *s, bool pause)
{
    s->paused = pause;
    s->be->capture_begin = pause ? s->capture_begin : NULL;
}

void bench_split_forget(bench_split *s)
{
    s->npairs = 0;
    for (int i = 0; i < s->nentries; i++) {
        s->entries[i].now = 0;
        s->entries[i].calls = 0;
    }
}

static int grow(double **v, int n)
{
    double *p = realloc(*v, (size_t)n * sizeof *p);
    if (!p)
        return rn_fail(RN_E_NOMEM, "no memory for the times of %d steps", n);
    *v = p;
    return RN_OK;
}

int bench_split_step(bench_split *s, double ms)
{
    RN_TRY(settle(s));
    if (s->nsteps == s->cap_steps) {
        s->cap_steps = s->cap_steps ? 2 * s->cap_steps : 64;
        RN_TRY(grow(&s->between, s->cap_steps));
        for (int i = 0; i < s->nentries; i++)
            if (s->entries[i].ms)
                RN_TRY(grow(&s->entries[i].ms, s->cap_steps));
    }
    double rest = ms;
    for (int i = 0; i < s->nentries; i++) {
        entry *e = &s->entries[i];
        if (!e->ms) { /* first called in this step */
            RN_TRY(grow(&e->ms, s->cap_steps));
            memset(e->ms, 0, (size_t)s->nsteps * sizeof *e->ms);
        }
        if (s->nsteps == 0 || e->calls > e->part.calls)
            e->part.calls = e->calls;
        e->ms[s->nsteps] = e->now * 1e3;
        rest -= e->now * 1e3;
    }
    s->between[s->nsteps++] = rest;
    bench_split_forget(s);
    return RN_OK;
}

int bench_split_parts(bench_split *s, const bench_part **out, int *n)
{
    if (s->nsteps == 0)
        return rn_fail(RN_E_NOTHING, "no step to split");
    bench_part *p = realloc(s->parts, (size_t)(s->nentries + 1) * sizeof *p);
    if (!p)
        return rn_fail(RN_E_NOMEM, "no memory for the parts of a step");
    s->parts = p;
    *n = 0;
    for (int i = 0; i < s->nentries; i++) {
        entry *e = &s->entries[i];
        if (e->part.calls == 0) /* when it was opened, or in evaluation */
            continue;
        e->part.ms = bench_quantile(e->ms, s->nsteps, 0.5);
        p[(*n)++] = e->part;
    }
    p[(*n)++] = (bench_part){.kind = "between", .calls = 1, .ms = bench_quantile(s->between, s->nsteps, 0.5)};
    *out = p;
    return RN_OK;
}
