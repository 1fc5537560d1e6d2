/* SPDX-License-Identifier: MIT */
/* Bias, and two values joined: every type and combination against the reference, in place and not, at several thread counts. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "check_ops.h"
#include "kernels/ref/ref_ops.h"

#define TOL 0x1p-20

static const rn_dtype types[] = {RN_F32, RN_BF16, RN_F16};
enum { NTYPES = sizeof types / sizeof *types };

typedef struct shape {
    int rows, c;
} shape;

/* One and few channels, odd ones, more than one strip and block. */
static const shape shapes[] = {{1, 1}, {7, 3}, {65, 17}, {1000, 1}, {130, 64}, {33, 300}, {9000, 5}, {700, 257}};

/* Fails unless `again` has the bits of `first` at 1 and at 3 threads: run() is called anew. */
typedef void *(*runner)(check_run *r, rn_backend *be, const void *args, size_t *bytes);
static void same_at_any_threads(check_run *r, rn_backend *be, runner run, const void *args)
{
    const int was = be->threads;
    size_t bytes;
    const void *first = run(r, be, args, &bytes);
    for (int t = 1; t <= 3; t += 2) {
        be->threads = t;
        check_bits(r, "threads", run(r, be, args, &bytes), first, bytes);
    }
    be->threads = was;
}

/* ---- bias ---- */

static void *bias_sums(check_run *r, rn_backend *be, const void *args, size_t *bytes)
{
    rn_op_bias_bwd a = *(const rn_op_bias_bwd *)args;
    *bytes = (size_t)a.c * sizeof *a.db;
    a.db = check_f32(r, (size_t)a.c);
    a.dx = NULL;
    check_ran(r, "bias_bwd", be->ops->bias_bwd(be, &a, NULL));
    return a.db;
}

static void bias_once(check_run *r, rn_backend *be, shape s, rn_dtype t, bool relu, int max)
{
    const size_t n = (size_t)s.rows * (size_t)s.c, c = (size_t)s.c;
    void *x = check_act(r, t, n, max), *dy = check_act(r, t, n, max), *place = check_act_copy(r, t, n, dy);
    float *b = check_f32(r, c);
    check_fill_int(r, b, c, 3);
    rn_op_bias f = {t, relu, s.rows, s.c, x, b, check_act_copy(r, t, n, NULL)}, want = f;
    want.y = check_act_copy(r, t, n, NULL);
    check_ran(r, "bias_fwd", be->ops->bias_fwd(be, &f, NULL));
    check_ran(r, "ref", rn_ref_ops.bias_fwd(NULL, &want, NULL));
    check_act_near(r, t, "y", f.y, want.y, NULL, n, max ? 0 : TOL);
    rn_op_bias over = f;
    over.x = over.y = check_act_copy(r, t, n, x);
    check_ran(r, "bias_fwd", be->ops->bias_fwd(be, &over, NULL));
    check_bits(r, "y over x", over.y, f.y, n * rn_dtype_size(t));

    rn_op_bias_bwd g = {t, relu, s.rows, s.c, want.y, dy, check_act_copy(r, t, n, NULL), check_f32(r, c)}, ref = g;
    double *mag = check_bytes(r, c * sizeof *mag);
    for (size_t i = 0; i < c; i++)
        mag[i] = 2.0 * s.rows;
    ref.dx = check_act_copy(r, t, n, NULL);
    ref.db = check_f32(r, c);
    check_ran(r, "bias_bwd", be->ops->bias_bwd(be, &g, NULL));
    check_ran(r, "ref", rn_ref_ops.bias_bwd(NULL, &ref, NULL));
    check_bits(r, "dx", g.dx, ref.dx, n * rn_dtype_size(t));
    check_near(r, "db", g.db, ref.db, mag, c, max ? 0 : TOL);
    g.dy = g.dx = place;
    check_ran(r, "bias_bwd", be->ops->bias_bwd(be, &g, NULL));
    check_bits(r, "dx over dy", place, ref.dx, n * rn_dtype_size(t));
    g.dy = dy;
    same_at_any_threads(r, be, bias_sums, &g);
}

static void bias(check_run *r, rn_backend *be, const void *what)
{
    for (int t = 0; t < NTYPES; t++)
        for (int i = 0; i < 4; i++)
            bias_once(r, be, *(const shape *)what, types[t], i & 1, i & 2 ? 8 : 0);
}

/* ---- two values ---- */

static const int lengths[] = {0, 1, 15, 33, 256, 257, 32769, 70003};

/* Betas 2: the gradient is not wanted. */
static void join_back(check_run *r, rn_backend *be, const rn_op_eltwise *f, const void *dy, int ba, int bb, double tol)
{
    const rn_dtype t = f->dtype;
    const size_t n = (size_t)f->n;
    const void *old = check_act(r, t, n, 4);
    rn_op_eltwise_bwd a = {t, f->kind, f->relu, f->n, f->ca, f->cb, f->a, f->b, f->y, dy, NULL, NULL, ba & 1, bb & 1};
    rn_op_eltwise_bwd want = a;
    if (ba < 2) {
        a.da = check_act_copy(r, t, n, ba ? old : NULL);
        want.da = check_act_copy(r, t, n, ba ? old : NULL);
    }
    if (bb < 2) {
        a.db = check_act_copy(r, t, n, bb ? old : NULL);
        want.db = check_act_copy(r, t, n, bb ? old : NULL);
    }
    check_ran(r, "eltwise_bwd", be->ops->eltwise_bwd(be, &a, NULL));
    check_ran(r, "ref", rn_ref_ops.eltwise_bwd(NULL, &want, NULL));
    if (a.da)
        check_act_near(r, t, "da", a.da, want.da, NULL, n, tol);
    if (a.db)
        check_act_near(r, t, "db", a.db, want.db, NULL, n, tol);
    if (ba == 0) { /* over dy, and b's in its own or in the same place */
        void *place = check_act_copy(r, t, n, dy), *other = a.db && bb ? check_act_copy(r, t, n, old) : a.db;
        rn_op_eltwise_bwd over = a;
        over.dy = over.da = place;
        over.db = other;
        check_ran(r, "eltwise_bwd", be->ops->eltwise_bwd(be, &over, NULL));
        check_bits(r, "da over dy", place, a.da, n * rn_dtype_size(t));
        if (bb == 1) {
            over = want;
            over.dy = dy;
            over.da = over.db = check_act_copy(r, t, n, NULL);
            want.da = want.db = check_act_copy(r, t, n, NULL);
            check_ran(r, "eltwise_bwd", be->ops->eltwise_bwd(be, &over, NULL));
            check_ran(r, "ref", rn_ref_ops.eltwise_bwd(NULL, &want, NULL));
            check_act_near(r, t, "da and db in one", over.da, want.da, NULL, n, tol > 0 ? 4 * tol : 0);
        }
    }
}

static void join_once(check_run *r, rn_backend *be, size_t n, rn_dtype t, int how, int max)
{
    rn_op_eltwise a = {.dtype = t,
                       .kind = (enum rn_eltwise_kind)(how % 3),
                       .relu = how / 3,
                       .n = (int64_t)n,
                       .ca = max ? 2 : 0.3f,
                       .cb = max ? -1 : 1,
                       .a = check_act(r, t, n, max),
                       .b = check_act(r, t, n, max),
                       .y = check_act_copy(r, t, n, NULL)};
    rn_op_eltwise want = a, over = a;
    double *mag = check_bytes(r, n * sizeof *mag);
    for (size_t i = 0; i < n; i++)
        mag[i] = 4;
    want.y = check_act_copy(r, t, n, NULL);
    check_ran(r, "eltwise_fwd", be->ops->eltwise_fwd(be, &a, NULL));
    check_ran(r, "ref", rn_ref_ops.eltwise_fwd(NULL, &want, NULL));
    check_act_near(r, t, "y", a.y, want.y, mag, n, max ? 0 : TOL);
    over.a = over.y = check_act_copy(r, t, n, a.a);
    check_ran(r, "eltwise_fwd", be->ops->eltwise_fwd(be, &over, NULL));
    check_bits(r, "y over a", over.y, a.y, n * rn_dtype_size(t));
    over = a;
    over.b = over.y = check_act_copy(r, t, n, a.b);
    check_ran(r, "eltwise_fwd", be->ops->eltwise_fwd(be, &over, NULL));
    check_bits(r, "y over b", over.y, a.y, n * rn_dtype_size(t));
    const void *dy = check_act(r, t, n, max);
    for (int betas = 0; betas<9; betas += n> 1000 ? 4 : 1) /* of the long ones: both written, added to, unwanted */
        join_back(r, be, &want, dy, betas / 3, betas % 3, max ? 0 : TOL);
}

static void join(check_run *r, rn_backend *be, const void *what)
{
    const size_t n = (size_t) * (const int *)what;
    for (int t = 0; t < NTYPES; t++)
        for (int how = 0; how < 6; how++) {
            join_once(r, be, n, types[t], how, 5); /* ties everywhere */
            if (n < 1000)
                join_once(r, be, n, types[t], how, 0);
        }
}

/* A NaN in any input comes out. */
static void nans(check_run *r, rn_backend *be, const void *what)
{
    (void)what;
    enum { N = 40 };
    float *p = check_f32(r, N), *q = check_f32(r, N), *y = check_f32(r, N), *b = check_f32(r, 1);
    b[0] = 0.5f;
    for (int i = 0; i < N; i++) {
        p[i] = i % 4 == 1 ? NAN : (float)i;
        q[i] = i % 4 == 2 ? NAN : 7;
    }
    for (int how = 0; how < 6; how++) {
        const rn_op_eltwise a = {RN_F32, (enum rn_eltwise_kind)(how % 3), how / 3, N, 1, 1, p, q, y};
        check_ran(r, "eltwise_fwd", be->ops->eltwise_fwd(be, &a, NULL));
        for (int i = 0; i < N; i++)
            if (isnan(y[i]) != (i % 4 == 1 || i % 4 == 2))
                check_fail(r, "kind %d, element %d: a NaN was lost or made", how, i);
    }
    for (int relu = 0; relu < 2; relu++) {
        const rn_op_bias a = {RN_F32, relu, N, 1, p, b, y};
        check_ran(r, "bias_fwd", be->ops->bias_fwd(be, &a, NULL));
        for (int i = 0; i < N; i++)
            if (isnan(y[i]) != (i % 4 == 1))
                check_fail(r, "bias, element %d: a NaN was lost or made", i);
    }
}

static void run(check_run *r)
{
    char cas[32];
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        snprintf(cas, sizeof cas, "rows%dc%d", shapes[i].rows, shapes[i].c);
        check_ops_each(r, "join", cas, "bias", bias, &shapes[i]);
    }
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        snprintf(cas, sizeof cas, "n%d", lengths[i]);
        check_ops_each(r, "join", cas, "eltwise", join, &lengths[i]);
    }
    check_ops_each(r, "join", "nan", "all", nans, NULL);
}

const check_group check_join_group = {"join", run};
