/* SPDX-License-Identifier: MIT */
/*
 * With --time only: the memory-bound ops at the size of a network's layers, verified once and then timed beside memcpy.
 * GB/s count each tensor once a pass that reads or writes it (batch normalisation reads its input twice), and memcpy's
 * two; the share of memcpy is what there is to win.
 */
#include <stdio.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "check_ops.h"
#include "kernels/ref/ref_ops.h"

typedef struct layer {
    int rows, c; /* mb * h * w at mb 8 */
} layer;

static const layer layers[] = {{100352, 64}, {25088, 256}, {6272, 512}, {1568, 2048}};

typedef struct tensors {
    int64_t n;
    int c;
    float *x, *y, *dy, *dx, *res, *dres, *vec[8]; /* gamma, beta, running mean, var, mean, inv_std, dgamma, dbeta */
    double sum;
} tensors;

typedef enum kind { COPY, RELU, ADD, BN, BN_RES, BN_INFER, BN_BWD, BN_BWD_RES, SGD, AXPBY, SUMSQ, KINDS } kind;

static const struct {
    const char *name;
    int streams;
} kinds[KINDS] = {{"memcpy", 2},
                  {"relu_fwd", 2},
                  {"add", 3},
                  {"bn_fwd, relu", 3},
                  {"bn_fwd, relu, res", 4},
                  {"bn_fwd inference, relu", 2},
                  {"bn_bwd, relu", 7},
                  {"bn_bwd, relu, res", 8},
                  {"sgd", 5},
                  {"axpby", 3},
                  {"sumsq", 1}};

static rn_op_bn_fwd fwd_args(const tensors *t, bool train, bool res)
{
    return (rn_op_bn_fwd){.dtype = RN_F32,
                          .train = train,
                          .relu = true,
                          .rows = t->n / t->c,
                          .c = t->c,
                          .eps = 1e-5f,
                          .momentum = 0.1f,
                          .x = t->x,
                          .res = res ? t->res : NULL,
                          .y = t->y,
                          .gamma = t->vec[0],
                          .beta = t->vec[1],
                          .running_mean = t->vec[2],
                          .running_var = t->vec[3],
                          .mean = t->vec[4],
                          .inv_std = t->vec[5]};
}

static rn_op_bn_bwd bwd_args(const tensors *t, bool res)
{
    return (rn_op_bn_bwd){.dtype = RN_F32,
                          .relu = true,
                          .rows = t->n / t->c,
                          .c = t->c,
                          .x = t->x,
                          .y = t->y,
                          .dy = t->dy,
                          .gamma = t->vec[0],
                          .mean = t->vec[4],
                          .inv_std = t->vec[5],
                          .dx = t->dx,
                          .dres = res ? t->dres : NULL,
                          .dgamma = t->vec[6],
                          .dbeta = t->vec[7]};
}

static void copy(const rn_backend *be, const tensors *t)
{
    const int64_t bytes = t->n * (int64_t)sizeof(float), parts = 4 * be->threads;
#pragma omp parallel for schedule(static) num_threads(be->threads)
    for (int64_t i = 0; i < parts; i++)
        memcpy((char *)t->y + bytes * i / parts, (const char *)t->x + bytes * i / parts,
               (size_t)(bytes * (i + 1) / parts - bytes * i / parts));
}

static int run_kind(rn_backend *be, tensors *t, kind k)
{
    const rn_ops *o = be->ops;
    switch (k) {
    case RELU:
        return o->relu_fwd(be, &(rn_op_relu){RN_F32, t->n, t->x, t->y}, NULL);
    case ADD:
        return o->add(be, &(rn_op_add){RN_F32, t->n, t->x, t->res, t->y}, NULL);
    case BN:
    case BN_RES:
    case BN_INFER: {
        const rn_op_bn_fwd a = fwd_args(t, k != BN_INFER, k == BN_RES);
        return o->bn_fwd(be, &a, NULL);
    }
    case BN_BWD:
    case BN_BWD_RES: {
        const rn_op_bn_bwd a = bwd_args(t, k == BN_BWD_RES);
        return o->bn_bwd(be, &a, NULL);
    }
    case SGD:
        return o->sgd(
            be,
            &(rn_op_sgd){
                .n = t->n, .w = t->dres, .v = t->dx, .g = t->dy, .lr = 1e-9f, .mu = 0.9f, .wd = 1e-4f, .grad_scale = 1},
            NULL);
    case AXPBY:
        return o->axpby(be, &(rn_op_axpby){.n = t->n, .a = 0.001f, .b = 0.999f, .x = t->x, .y = t->y}, NULL);
    case SUMSQ:
        return o->sumsq(be, &(rn_op_sumsq){t->n, t->x, &t->sum}, NULL);
    default:
        copy(be, t);
        return 0;
    }
}

static void verify(check_run *r, rn_backend *be, tensors *t)
{
    float *want = check_f32(r, (size_t)t->n);
    rn_op_bn_fwd f = fwd_args(t, true, true);
    rn_op_bn_bwd b = bwd_args(t, true);
    f.y = want;
    check_ran(r, "ref", rn_ref_ops.bn_fwd(NULL, &f, NULL));
    check_ran(r, "bn_fwd", run_kind(be, t, BN_RES));
    check_near(r, "y", t->y, want, NULL, (size_t)t->n, 0x1p-19);
    b.dx = want;
    check_ran(r, "ref", rn_ref_ops.bn_bwd(NULL, &b, NULL));
    check_ran(r, "bn_bwd", run_kind(be, t, BN_BWD_RES));
    check_near(r, "dx", t->dx, want, NULL, (size_t)t->n, 0x1p-19);
}

/* All kinds in turn, again and again: a disturbance meets them alike. The best of each. */
static void timings(check_run *r, rn_backend *be, const void *what)
{
    const layer *l = what;
    tensors t = {.n = (int64_t)l->rows * l->c, .c = l->c};
    float **const big[] = {&t.x, &t.y, &t.dy, &t.dx, &t.res, &t.dres};
    for (int i = 0; i < 6; i++) {
        *big[i] = check_f32(r, (size_t)t.n);
        check_fill_real(r, *big[i], (size_t)t.n, 1);
    }
    for (int i = 0; i < 8; i++) {
        t.vec[i] = check_f32(r, (size_t)t.c);
        for (int c = 0; c < t.c; c++)
            t.vec[i][c] = 0.5f;
    }
    verify(r, be, &t);
    double best[KINDS] = {0};
    for (int round = 0; round < 30; round++)
        for (int k = 0; k < KINDS; k++) {
            const double start = rn_now();
            check_ran(r, kinds[k].name, run_kind(be, &t, (kind)k));
            const double took = rn_now() - start;
            best[k] = round == 0 || took < best[k] ? took : best[k];
        }
    for (int k = 0; k < KINDS; k++) {
        const double gb = kinds[k].streams * (double)t.n * 4e-9, copied = 2 * (double)t.n * 4e-9 / best[COPY];
        printf("# time %-23s %s %s, %d threads: %.3f ms, %.1f GB/s, %.0f%% of memcpy's\n", kinds[k].name, r->id.cas,
               r->id.isa, be->threads, best[k] * 1e3, gb / best[k], 100 * gb / best[k] / copied);
    }
}

static void run(check_run *r)
{
    char cas[32];
    for (size_t i = 0; r->time && i < sizeof layers / sizeof *layers; i++) {
        snprintf(cas, sizeof cas, "rows%dc%d", layers[i].rows, layers[i].c);
        check_ops_each(r, "time", cas, "ops", timings, &layers[i]);
    }
}

const check_group check_time_group = {"time", run};
