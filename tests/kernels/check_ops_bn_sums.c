/* SPDX-License-Identifier: MIT */
/*
 * Batch normalisation from sums that convolutions leave (bn_stats, bn_grad_stats), against the ops that read the rows
 * themselves: the same statistics, and y and dx of the factors that come out.
 */
#include <math.h>
#include <stdio.h>

#include "check_ops.h"
#include "kernels/ref/ref_ops.h"

#define TOL 0x1p-20 /* some roundings of f32 */

typedef struct shape {
    int rows, c;
} shape;

static const shape shapes[] = {{1, 1}, {2, 5}, {7, 17}, {64, 16}, {1000, 3}, {300, 300}};

typedef struct tensors {
    size_t n, c;
    float *x, *dy, *gamma, *beta, *running_mean, *running_var; /* as they are before the step */
} tensors;

static tensors make(check_run *r, shape s)
{
    tensors t = {.n = (size_t)s.rows * (size_t)s.c, .c = (size_t)s.c};
    t.x = check_values(r, t.n, false);
    t.dy = check_values(r, t.n, false);
    t.gamma = check_values(r, t.c, false);
    t.beta = check_values(r, t.c, false);
    t.running_mean = check_values(r, t.c, false);
    t.running_var = check_f32(r, t.c);
    for (size_t i = 0; i < t.c; i++)
        t.running_var[i] = 0.5f + (float)i / (float)t.c;
    return t;
}

/* What RN_EPI_STATS leaves of x (factor NULL), or RN_EPI_DBN of x and g, around pivot. */
static void sums(check_run *r, const tensors *t, const float *g, const float *pivot, double **sum, double **sumsq)
{
    *sum = check_bytes(r, t->c * sizeof **sum);
    *sumsq = check_bytes(r, t->c * sizeof **sumsq);
    for (size_t ch = 0; ch < t->c; ch++) {
        double s = 0, q = 0;
        for (size_t i = ch; i < t->n; i += t->c) {
            const double d = (double)t->x[i] - (double)pivot[ch];
            s += g ? (double)g[i] : d;
            q += g ? (double)g[i] * d : d * d;
        }
        (*sum)[ch] = s;
        (*sumsq)[ch] = q;
    }
}

static rn_op_bn_fwd whole(check_run *r, const tensors *t, bool train)
{
    const rn_op_bn_fwd a = {.dtype = RN_F32,
                            .train = train,
                            .rows = (int64_t)(t->n / t->c),
                            .c = (int)t->c,
                            .eps = 1e-5f,
                            .momentum = 0.1f,
                            .x = t->x,
                            .y = check_f32(r, t->n),
                            .gamma = t->gamma,
                            .beta = t->beta,
                            .running_mean = check_copy(r, t->running_mean, t->c),
                            .running_var = check_copy(r, t->running_var, t->c),
                            .mean = check_f32(r, t->c),
                            .inv_std = check_f32(r, t->c)};
    check_ran(r, "ref", rn_ref_ops.bn_fwd(NULL, &a, NULL));
    return a;
}

static rn_op_bn_stats stats(check_run *r, rn_backend *be, const tensors *t, bool train)
{
    double *sum = NULL, *sumsq = NULL;
    sums(r, t, NULL, t->running_mean, &sum, &sumsq);
    const rn_op_bn_stats a = {.train = train,
                              .rows = (int64_t)(t->n / t->c),
                              .c = (int)t->c,
                              .eps = 1e-5f,
                              .momentum = 0.1f,
                              .sum = train ? sum : NULL,
                              .sumsq = train ? sumsq : NULL,
                              .gamma = t->gamma,
                              .beta = t->beta,
                              .running_mean = check_copy(r, t->running_mean, t->c),
                              .running_var = check_copy(r, t->running_var, t->c),
                              .mean = check_f32(r, t->c),
                              .var = check_f32(r, t->c),
                              .inv_std = check_f32(r, t->c),
                              .scale = check_f32(r, t->c),
                              .shift = check_f32(r, t->c),
                              .room = check_bytes(r, 2 * t->c * sizeof(double))};
    check_ran(r, "bn_stats", be->ops->bn_stats(be, &a, NULL));
    return a;
}

static void forward(check_run *r, rn_backend *be, const void *what)
{
    const shape s = *(const shape *)what;
    for (int train = s.rows == 1 ? 0 : 1; train >= 0; train--) { /* of one row the deviation is eps alone */
        const tensors t = make(r, s);
        const rn_op_bn_fwd want = whole(r, &t, train);
        const rn_op_bn_stats got = stats(r, be, &t, train);
        float *y = check_f32(r, t.n);
        double *mag = check_bytes(r, t.n * sizeof *mag);
        for (size_t i = 0; i < t.n; i++) {
            const size_t ch = i % t.c;
            y[i] = t.x[i] * got.scale[ch] + got.shift[ch];
            mag[i] = 1 + fabs((double)t.x[i] * (double)got.scale[ch]) + fabs((double)got.shift[ch]);
        }
        check_near(r, train ? "y" : "y of inference", y, want.y, mag, t.n, TOL);
        check_near(r, "running_mean", got.running_mean, want.running_mean, NULL, t.c, TOL);
        check_near(r, "running_var", got.running_var, want.running_var, NULL, t.c, TOL);
        if (!train)
            continue;
        check_near(r, "mean", got.mean, want.mean, NULL, t.c, TOL);
        for (size_t i = 0; i < t.c; i++)
            if (!(fabs((double)got.inv_std[i] / (double)want.inv_std[i] - 1) <= TOL))
                check_fail(r, "inv_std %zu is %.9g instead of %.9g", i, (double)got.inv_std[i],
                           (double)want.inv_std[i]);
    }
}

static void backward(check_run *r, rn_backend *be, const void *what)
{
    const tensors t = make(r, *(const shape *)what);
    float *mean = check_values(r, t.c, false), *inv_std = check_f32(r, t.c), *dx = check_f32(r, t.n);
    for (size_t i = 0; i < t.c; i++)
        inv_std[i] = 0.5f + (float)i / (float)t.c;
    const rn_op_bn_bwd want = {.dtype = RN_F32,
                               .rows = (int64_t)(t.n / t.c),
                               .c = (int)t.c,
                               .x = t.x,
                               .dy = t.dy,
                               .gamma = t.gamma,
                               .mean = mean,
                               .inv_std = inv_std,
                               .dx = check_f32(r, t.n),
                               .dgamma = check_f32(r, t.c),
                               .dbeta = check_f32(r, t.c)};
    rn_op_bn_grad_stats a = {.rows = want.rows,
                             .c = want.c,
                             .gamma = t.gamma,
                             .mean = mean,
                             .inv_std = inv_std,
                             .dgamma = check_f32(r, t.c),
                             .dbeta = check_f32(r, t.c),
                             .ka = check_f32(r, t.c),
                             .kb = check_f32(r, t.c),
                             .kc = check_f32(r, t.c),
                             .room = check_bytes(r, 2 * t.c * sizeof(double))};
    double *sum = NULL, *sumsq = NULL;
    sums(r, &t, t.dy, mean, &sum, &sumsq);
    a.sum = sum, a.sumsq = sumsq;
    check_ran(r, "ref", rn_ref_ops.bn_bwd(NULL, &want, NULL));
    check_ran(r, "bn_grad_stats", be->ops->bn_grad_stats(be, &a, NULL));
    double *mag = check_bytes(r, t.n * sizeof *mag), *each = check_bytes(r, t.c * sizeof *each);
    for (size_t i = 0; i < t.c; i++)
        each[i] = 8 * (double)a.rows;
    for (size_t i = 0; i < t.n; i++) {
        const size_t ch = i % t.c;
        dx[i] = a.ka[ch] * t.dy[i] + a.kb[ch] * t.x[i] + a.kc[ch];
        mag[i] = 1 + fabs((double)a.ka[ch] * (double)t.dy[i]) + fabs((double)a.kb[ch] * (double)t.x[i]) +
                 fabs((double)a.kc[ch]);
    }
    check_near(r, "dx", dx, want.dx, mag, t.n, TOL);
    check_near(r, "dgamma", a.dgamma, want.dgamma, each, t.c, TOL);
    check_near(r, "dbeta", a.dbeta, want.dbeta, each, t.c, TOL);
}

void check_bn_sums(check_run *r)
{
    char cas[32];
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        snprintf(cas, sizeof cas, "rows%dc%d", shapes[i].rows, shapes[i].c);
        check_ops_each(r, "bn", cas, "bn_stats", forward, &shapes[i]);
        check_ops_each(r, "bn", cas, "bn_grad_stats", backward, &shapes[i]);
    }
}
