/* SPDX-License-Identifier: MIT */
/*
 * Batch normalisation: all fusions (ReLU, residual, in place, both betas) on integers made so that the statistics
 * are exact, and on reals against the reference's double sums: plain ones, a mean 100,000 times the deviation, and
 * a first row far from all others (which misleads a variance taken around it).
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/rn_error.h"
#include "check_ops.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/ref/ref_ops.h"
#include "kernels/rn_kernels.h"

/* Of the sum of the absolute values of the terms; a few roundings of f32. */
#define TOL 0x1p-20

typedef struct shape {
    int rows, c;
} shape;

static const shape shapes[] = {{1, 1},     {1, 3},      {1, 17},    {1, 64},    {1, 300},   {2, 1},      {2, 5},
                               {2, 17},    {2, 100},    {7, 1},     {7, 3},     {7, 5},     {7, 17},     {7, 64},
                               {7, 100},   {64, 16},    {512, 8},   {1000, 1},  {1000, 3},  {1000, 5},   {1000, 17},
                               {1000, 64}, {1000, 100}, {2000, 64}, {33000, 3}, {300, 300}, {130, 1030}, {65, 2048}};

typedef enum data { INTEGERS, REALS, LARGE_MEAN, OUTLIER, DATAS } data;
/* The large shapes are there for blocks and threads: one kind of data will do, so that all of it takes seconds. */
static bool wanted(shape s, data d)
{
    return d == REALS || (int64_t)s.rows * s.c <= 20000;
}

static const char *const data_names[] = {"integers", "reals", "mean 1000 std 0.01", "outlier first"};

/* ---- data --------------------------------------------------------------------------------------------------------- */

/* Every channel half an integer + 1, half - 1, in random order: mean that integer, variance 1. Odd rows: variance
 * differs from 1 and the caller compares as reals. */
static void fill_plus_minus(check_run *r, float *x, shape s)
{
    for (int c = 0; c < s.c; c++) {
        int plus = s.rows / 2, left = s.rows;
        const float mean = (float)((int)rn_rng_below(&r->rng, 17) - 8);
        for (int i = 0; i < s.rows; i++, left--) {
            const bool up = (int)rn_rng_below(&r->rng, (uint32_t)left) < plus;
            plus -= up;
            x[i * s.c + c] = mean + (up ? 1 : -1);
        }
    }
}

static float *make_x(check_run *r, shape s, data d)
{
    const size_t n = (size_t)s.rows * (size_t)s.c;
    float *x = check_f32(r, n);
    if (d == INTEGERS) {
        fill_plus_minus(r, x, s);
        return x;
    }
    check_fill_real(r, x, n, d == LARGE_MEAN ? 0.0173f : 3);
    for (size_t i = 0; i < n; i++)
        x[i] += d == LARGE_MEAN ? 1000 : d == OUTLIER && i < (size_t)s.c ? 10000 : 0;
    return x;
}

static float *make(check_run *r, size_t n, bool integers)
{
    float *p = check_f32(r, n);
    if (integers)
        check_fill_int(r, p, n, 4);
    else
        check_fill_real(r, p, n, 2);
    return p;
}

/* ---- forward ------------------------------------------------------------------------------------------------------ */

typedef struct vectors {
    float *running_mean, *running_var, *mean, *inv_std;
} vectors;

static void give(check_run *r, rn_op_bn_fwd *a, const vectors *v)
{
    const size_t c = (size_t)a->c;
    a->running_mean = check_copy(r, v->running_mean, c);
    a->running_var = check_copy(r, v->running_var, c);
    a->mean = a->inv_std = NULL;
    if (a->train) {
        a->mean = check_f32(r, c);
        a->inv_std = check_f32(r, c);
    }
}

/* |gamma xhat| + |beta| + |res|, the terms of y; 1 at least, since ReLU may leave 0. */
static double *y_terms(check_run *r, const rn_op_bn_fwd *a, const float *x)
{
    double *mag = check_bytes(r, (size_t)(a->rows * a->c) * sizeof *mag);
    for (int64_t i = 0; i < a->rows * a->c; i++) {
        const int64_t c = i % a->c;
        const double mean = a->train ? a->mean[c] : a->running_mean[c];
        const double inv = a->train ? a->inv_std[c] : 1 / sqrt((double)a->running_var[c] + a->eps);
        mag[i] = 1 + fabs(a->gamma[c] * (x[i] - mean) * inv) + fabs((double)a->beta[c]) +
                 (a->res ? fabs((double)((const float *)a->res)[i]) : 0);
    }
    return mag;
}

static void compare_fwd(check_run *r, const rn_op_bn_fwd *got, const rn_op_bn_fwd *want, const float *x, bool exact,
                        const char *what)
{
    const size_t n = (size_t)(got->rows * got->c), c = (size_t)got->c;
    char label[128];
    snprintf(label, sizeof label, "y, %s", what);
    check_near(r, label, got->y, want->y, y_terms(r, want, x), n, exact ? 0 : TOL);
    snprintf(label, sizeof label, "running_mean, %s", what);
    check_near(r, label, got->running_mean, want->running_mean, NULL, c, exact ? 0 : TOL);
    snprintf(label, sizeof label, "running_var, %s", what);
    check_near(r, label, got->running_var, want->running_var, NULL, c, TOL); /* rows / (rows - 1) is not dyadic */
    if (!got->train)
        return;
    snprintf(label, sizeof label, "mean, %s", what);
    check_near(r, label, got->mean, want->mean, NULL, c, exact ? 0 : TOL);
    snprintf(label, sizeof label, "inv_std, %s", what);
    check_near(r, label, got->inv_std, want->inv_std, NULL, c, exact ? 0 : TOL);
}

static void fwd_once(check_run *r, rn_backend *be, rn_op_bn_fwd a, const vectors *v, const float *res, int in_place,
                     bool exact, const char *what)
{
    const size_t n = (size_t)(a.rows * a.c);
    const float *x = a.x;
    rn_op_bn_fwd want = a;
    give(r, &want, v);
    want.res = res;
    want.y = check_f32(r, n);
    check_ran(r, "ref", rn_ref_ops.bn_fwd(NULL, &want, NULL));

    give(r, &a, v);
    a.y = check_f32(r, n); /* NaN */
    a.res = res;
    if (in_place && res)
        a.res = a.y = check_copy(r, res, n);
    else if (in_place)
        a.x = a.y = check_copy(r, x, n);
    check_ran(r, "cpu", be->ops->bn_fwd(be, &a, NULL));
    compare_fwd(r, &a, &want, x, exact, what);
}

static void fwd_data(check_run *r, rn_backend *be, shape s, data d)
{
    const size_t n = (size_t)s.rows * (size_t)s.c, c = (size_t)s.c;
    const bool ints = d == INTEGERS;
    const float *x = make_x(r, s, d), *res = make(r, n, ints);
    const vectors v = {.running_mean = make(r, c, ints), .running_var = check_f32(r, c)};
    for (size_t i = 0; i < c; i++)
        v.running_var[i] = ints ? 1 : 0.5f + (float)i / (float)c;
    rn_op_bn_fwd a = {.dtype = RN_F32,
                      .rows = s.rows,
                      .c = s.c,
                      .x = x,
                      .gamma = make(r, c, ints),
                      .beta = make(r, c, ints),
                      .eps = ints ? 0 : 1e-5f,
                      .momentum = ints ? 0.5f : 0.1f};
    for (int bits = 0; bits < 16; bits++) {
        a.train = bits & 1, a.relu = bits & 2;
        const bool with_res = bits & 4, in_place = bits & 8;
        if (in_place && a.train && !with_res)
            continue; /* y may not be x in training */
        char what[96];
        snprintf(what, sizeof what, "%s%s%s%s%s", data_names[d], a.train ? ", train" : ", inference",
                 a.relu ? ", relu" : "", with_res ? ", res" : "", in_place ? ", in place" : "");
        /* Training on integers is exact where every mean of a part of the rows is: with a power of two. */
        const bool exact = ints && (!a.train || !(s.rows & (s.rows - 1)));
        fwd_once(r, be, a, &v, with_res ? res : NULL, in_place, exact, what);
    }
}

static void fwd(check_run *r, rn_backend *be, const void *what)
{
    const shape s = *(const shape *)what;
    for (int d = 0; d < DATAS; d++) {
        if (wanted(s, (data)d) && !(d == INTEGERS && s.rows == 1)) /* variance 0 and eps 0 */
            fwd_data(r, be, s, (data)d);
    }
}

/* ---- backward ----------------------------------------------------------------------------------------------------- */

/* Sums of the terms' absolute values: of dgamma, dbeta and, per element, of dx. */
typedef struct terms {
    double *dgamma, *dbeta, *dx;
} terms;

static terms bwd_terms(check_run *r, const rn_op_bn_bwd *a)
{
    const size_t n = (size_t)(a->rows * a->c), c = (size_t)a->c;
    const float *x = a->x, *dy = a->dy;
    terms t = {check_bytes(r, c * sizeof(double)), check_bytes(r, c * sizeof(double)),
               check_bytes(r, n * sizeof(double))};
    for (size_t i = 0; i < c; i++)
        t.dgamma[i] = t.dbeta[i] = 0;
    for (size_t i = 0; i < n; i++) {
        t.dbeta[i % c] += fabs((double)dy[i]);
        t.dgamma[i % c] += fabs(dy[i] * ((double)x[i] - a->mean[i % c]) * a->inv_std[i % c]);
    }
    for (size_t i = 0; i < n; i++) {
        const size_t ch = i % c;
        const double xhat = fabs(((double)x[i] - a->mean[ch]) * a->inv_std[ch]);
        t.dx[i] = 1 + fabs((double)a->gamma[ch] * a->inv_std[ch]) *
                          (fabs((double)dy[i]) + (t.dbeta[ch] + xhat * t.dgamma[ch]) / (double)a->rows);
    }
    return t;
}

/* Places the outputs: old holds what a beta of 1 adds to. */
static void bwd_outputs(check_run *r, rn_op_bn_bwd *a, const float *old, bool with_res)
{
    const size_t n = (size_t)(a->rows * a->c);
    a->dx = a->dx_beta ? check_copy(r, old, n) : check_f32(r, n);
    a->dres = !with_res ? NULL : a->dres_beta ? check_copy(r, old, n) : check_f32(r, n);
    a->dgamma = check_f32(r, (size_t)a->c);
    a->dbeta = check_f32(r, (size_t)a->c);
}

static void bwd_once(check_run *r, rn_backend *be, rn_op_bn_bwd a, const float *old, bool with_res, bool in_place,
                     bool exact, const terms *t, const char *what)
{
    const size_t n = (size_t)(a.rows * a.c), c = (size_t)a.c;
    rn_op_bn_bwd want = a;
    if (in_place)
        old = a.dy;
    bwd_outputs(r, &want, old, with_res);
    check_ran(r, "ref", rn_ref_ops.bn_bwd(NULL, &want, NULL));
    bwd_outputs(r, &a, old, with_res);
    if (in_place) {
        float *dy = check_copy(r, a.dy, n);
        a.dy = dy;
        *(with_res ? &a.dres : &a.dx) = dy;
    }
    check_ran(r, "cpu", be->ops->bn_bwd(be, &a, NULL));
    char label[128];
    snprintf(label, sizeof label, "dx, %s", what);
    /* Halves, quarters, ... of integers: exact while rows is a power of two. */
    check_near(r, label, a.dx, want.dx, t->dx, n, exact && !(a.rows & (a.rows - 1)) ? 0 : TOL);
    snprintf(label, sizeof label, "dgamma, %s", what);
    check_near(r, label, a.dgamma, want.dgamma, t->dgamma, c, exact ? 0 : TOL);
    snprintf(label, sizeof label, "dbeta, %s", what);
    check_near(r, label, a.dbeta, want.dbeta, t->dbeta, c, exact ? 0 : TOL);
    snprintf(label, sizeof label, "dres, %s", what);
    if (with_res)
        check_equal(r, label, a.dres, want.dres, n);
}

static void bwd_data(check_run *r, rn_backend *be, shape s, data d)
{
    const size_t n = (size_t)s.rows * (size_t)s.c, c = (size_t)s.c;
    const bool ints = d == INTEGERS;
    float *x = make_x(r, s, d), *mean = check_f32(r, c), *inv_std = check_f32(r, c);
    for (size_t i = 0; i < c; i++) {
        mean[i] = ints ? (float)(i % 3) : d == LARGE_MEAN ? 1000 : 0.25f;
        inv_std[i] = ints ? 1 : d == LARGE_MEAN ? 99.5f : 0.75f;
    }
    rn_op_bn_bwd a = {.dtype = RN_F32,
                      .rows = s.rows,
                      .c = s.c,
                      .x = x,
                      .dy = make(r, n, ints),
                      .gamma = make(r, c, ints),
                      .mean = mean,
                      .inv_std = inv_std};
    const float *y = make(r, n, ints), *old = make(r, n, ints);
    const terms t = bwd_terms(r, &a);
    for (int bits = 0; bits < 32; bits++) {
        const bool with_res = bits & 2, in_place = bits & 16;
        a.relu = bits & 1, a.dx_beta = !!(bits & 4), a.dres_beta = !!(bits & 8);
        a.y = a.relu ? y : NULL;
        if (!with_res && a.dres_beta)
            continue;
        char what[96];
        snprintf(what, sizeof what, "%s%s%s, beta %d %d%s", data_names[d], a.relu ? ", relu" : "",
                 with_res ? ", res" : "", a.dx_beta, a.dres_beta, in_place ? ", in place" : "");
        bwd_once(r, be, a, old, with_res, in_place, ints, &t, what);
    }
}

static void bwd(check_run *r, rn_backend *be, const void *what)
{
    const shape s = *(const shape *)what;
    for (int d = 0; d < DATAS; d++) {
        if (wanted(s, (data)d))
            bwd_data(r, be, s, (data)d);
    }
}

/* ---- the same bits at any number of threads ------------------------------------------------------------------------- */

static void threads_once(check_run *r, rn_backend *be, shape s, const float *x, const float *dy, float *out[6])
{
    const size_t n = (size_t)s.rows * (size_t)s.c, c = (size_t)s.c;
    float *gamma = check_f32(r, c), *beta = check_f32(r, c), *rm = check_f32(r, c), *rv = check_f32(r, c);
    for (size_t i = 0; i < c; i++)
        gamma[i] = 1.25f, beta[i] = 0.1f, rm[i] = 0, rv[i] = 1;
    for (int i = 0; i < 6; i++)
        out[i] = check_f32(r, i < 2 ? n : c); /* y, dx, mean, inv_std, dgamma, dbeta */
    const rn_op_bn_fwd f = {.dtype = RN_F32,
                            .train = true,
                            .relu = true,
                            .rows = s.rows,
                            .c = s.c,
                            .eps = 1e-5f,
                            .momentum = 0.1f,
                            .x = x,
                            .y = out[0],
                            .gamma = gamma,
                            .beta = beta,
                            .running_mean = rm,
                            .running_var = rv,
                            .mean = out[2],
                            .inv_std = out[3]};
    const rn_op_bn_bwd b = {.dtype = RN_F32,
                            .relu = true,
                            .rows = s.rows,
                            .c = s.c,
                            .x = x,
                            .y = out[0],
                            .dy = dy,
                            .gamma = gamma,
                            .mean = out[2],
                            .inv_std = out[3],
                            .dx = out[1],
                            .dgamma = out[4],
                            .dbeta = out[5]};
    check_ran(r, "bn_fwd", be->ops->bn_fwd(be, &f, NULL));
    check_ran(r, "bn_bwd", be->ops->bn_bwd(be, &b, NULL));
}

static void threads(check_run *r, rn_backend *be, const void *what)
{
    static const char *const names[] = {"y", "dx", "mean", "inv_std", "dgamma", "dbeta"};
    const shape s = *(const shape *)what;
    const size_t n = (size_t)s.rows * (size_t)s.c;
    float *x = check_f32(r, n), *dy = check_f32(r, n), *one[6], *many[6];
    check_fill_real(r, x, n, 3);
    check_fill_real(r, dy, n, 1);
    const int was = be->threads;
    be->threads = 1;
    threads_once(r, be, s, x, dy, one);
    for (int t = 2; t <= 5; t++) {
        be->threads = t;
        threads_once(r, be, s, x, dy, many);
        for (int i = 0; i < 6; i++)
            check_bits(r, names[i], many[i], one[i], (i < 2 ? n : (size_t)s.c) * sizeof(float));
    }
    be->threads = was;
    if (strcmp(be->device, "cpu") == 0) { /* written past the caches: the same bits */
        const size_t past = rn_cpu_backend_past(be);
        rn_cpu_backend_set_past(be, 0);
        threads_once(r, be, s, x, dy, many);
        rn_cpu_backend_set_past(be, past);
        for (int i = 0; i < 6; i++)
            check_bits(r, names[i], many[i], one[i], (i < 2 ? n : (size_t)s.c) * sizeof(float));
    }
}

/* ---- refusals ------------------------------------------------------------------------------------------------------- */

static void refusals(check_run *r, rn_backend *be, const void *what)
{
    (void)what;
    float v[4] = {0};
    rn_op_bn_fwd f = {.dtype = RN_F32,
                      .train = true,
                      .rows = 1,
                      .c = 1,
                      .x = v,
                      .y = v + 1,
                      .gamma = v,
                      .beta = v,
                      .running_mean = v + 2,
                      .running_var = v + 3};
    if (be->ops->bn_fwd(be, &f, NULL) != RN_E_RANGE)
        check_fail(r, "training without mean and inv_std was not refused");
    f.train = false;
    f.dtype = RN_U8;
    if (be->ops->bn_fwd(be, &f, NULL) != RN_E_UNSUPPORTED)
        check_fail(r, "u8 was not refused");
    f.dtype = RN_F32;
    f.rows = 0;
    if (be->ops->bn_fwd(be, &f, NULL) != RN_E_RANGE)
        check_fail(r, "no rows were not refused");
}

static void run(check_run *r)
{
    char cas[32];
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        snprintf(cas, sizeof cas, "rows%dc%d", shapes[i].rows, shapes[i].c);
        check_ops_each(r, "bn", cas, "bn_fwd", fwd, &shapes[i]);
        check_ops_each(r, "bn", cas, "bn_bwd", bwd, &shapes[i]);
        if ((int64_t)shapes[i].rows * shapes[i].c > 60000)
            check_ops_each(r, "bn", cas, "threads", threads, &shapes[i]);
    }
    check_bn_sums(r);
    check_bn_masks(r);
    check_ops_each(r, "bn", "arguments", "refusals", refusals, NULL);
}

const check_group check_bn_group = {"bn", run};
