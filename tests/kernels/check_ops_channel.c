/* SPDX-License-Identifier: MIT */
/* Factors a channel, response normalisation, parts of channels, sigmoid and dropout against the reference. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_rng.h"
#include "check_ops.h"
#include "kernels/ref/ref_ops.h"

#define TOL 0x1p-20

static const rn_dtype types[] = {RN_F32, RN_BF16, RN_F16};
enum { NTYPES = sizeof types / sizeof *types };

/* ---- factors ---- */

typedef struct shape {
    int mb, hw, c;
} shape;

static const shape shapes[] = {{1, 1, 1}, {2, 9, 5}, {3, 49, 17}, {2, 130, 64}, {1, 7, 300}, {5, 700, 16}};

static double *mags(check_run *r, size_t n, double v)
{
    double *m = check_bytes(r, n * sizeof *m);
    for (size_t i = 0; i < n; i++)
        m[i] = v;
    return m;
}

static void scale_back(check_run *r, rn_backend *be, const rn_op_scale *f, bool res, int beta, double tol, int max)
{
    const rn_dtype t = f->dtype;
    const size_t n = (size_t)f->mb * (size_t)f->hw * (size_t)f->c, k = (size_t)f->mb * (size_t)f->c;
    const void *dy = check_act(r, t, n, max), *old = check_act(r, t, n, 4);
    rn_op_scale_bwd a = {t, f->relu, f->mb, f->hw, f->c, f->x, f->s, f->y, dy, NULL, NULL, NULL, beta, beta, beta};
    rn_op_scale_bwd want = a;
    rn_op_scale_bwd *const both[] = {&a, &want};
    for (int i = 0; i < 2; i++) {
        both[i]->dx = check_act_copy(r, t, n, beta ? old : NULL);
        both[i]->ds = check_act_copy(r, t, k, beta ? old : NULL);
        both[i]->dres = res ? check_act_copy(r, t, n, beta ? old : NULL) : NULL;
    }
    check_ran(r, "scale_bwd", be->ops->scale_bwd(be, &a, NULL));
    check_ran(r, "ref", rn_ref_ops.scale_bwd(NULL, &want, NULL));
    check_act_near(r, t, "dx", a.dx, want.dx, mags(r, n, 8), n, tol);
    check_act_near(r, t, "ds", a.ds, want.ds, mags(r, k, 4.0 * f->hw), k, tol);
    if (res)
        check_act_near(r, t, "dres", a.dres, want.dres, mags(r, n, 8), n, tol);
    if (beta)
        return;
    void *place = check_act_copy(r, t, n, dy);
    rn_op_scale_bwd over = a;
    over.dy = place;
    *(res ? &over.dres : &over.dx) = place;
    over.ds = check_act_copy(r, t, k, NULL);
    be->threads = 1;
    check_ran(r, "scale_bwd", be->ops->scale_bwd(be, &over, NULL));
    be->threads = 2;
    check_bits(r, "over dy", place, res ? a.dres : a.dx, n * rn_dtype_size(t));
    check_bits(r, "ds by one thread", over.ds, a.ds, k * rn_dtype_size(t));
}

static void scale(check_run *r, rn_backend *be, const void *what)
{
    const shape s = *(const shape *)what;
    const size_t n = (size_t)s.mb * (size_t)s.hw * (size_t)s.c;
    for (int i = 0; i < NTYPES * 8; i++) {
        const rn_dtype t = types[i / 8];
        const bool relu = i & 1, res = i & 2;
        const int max = i & 4 ? 3 : 0;
        rn_op_scale a = {t,
                         relu,
                         s.mb,
                         s.hw,
                         s.c,
                         check_act(r, t, n, max),
                         check_act(r, t, (size_t)s.mb * (size_t)s.c, max),
                         res ? check_act(r, t, n, max) : NULL,
                         check_act_copy(r, t, n, NULL)};
        rn_op_scale want = a, over = a;
        want.y = check_act_copy(r, t, n, NULL);
        check_ran(r, "scale_fwd", be->ops->scale_fwd(be, &a, NULL));
        check_ran(r, "ref", rn_ref_ops.scale_fwd(NULL, &want, NULL));
        check_act_near(r, t, "y", a.y, want.y, mags(r, n, 6), n, max ? 0 : TOL);
        over.x = over.y = check_act_copy(r, t, n, a.x);
        check_ran(r, "scale_fwd", be->ops->scale_fwd(be, &over, NULL));
        check_bits(r, "y over x", over.y, a.y, n * rn_dtype_size(t));
        const bool exact = max && t == RN_F32; /* the factors' sums are too large for the others */
        for (int beta = 0; beta < 2; beta++)
            scale_back(r, be, &want, res, beta, exact ? 0 : TOL, max);
    }
}

/* ---- response normalisation ---- */

typedef struct lrn_case {
    int rows, c, size;
    float alpha, beta, k;
} lrn_case;

static const lrn_case lrns[] = {
    {1, 1, 1, 1, 0.75f, 1},       {40, 96, 5, 1e-4f, 0.75f, 1}, {300, 17, 5, 0.5f, 0.75f, 2},
    {65, 256, 3, 0.3f, 0.5f, 1},  {7, 33, 4, 0.7f, 0.75f, 1},   {5, 8, 8, 2, 0.6f, 1},
    {9, 300, 31, 1, 1.25f, 0.5f}, {700, 3, 5, 0.4f, 0.75f, 1},  {5, 2, 9, 1, 0.6f, 1}};

static void lrn(check_run *r, rn_backend *be, const void *what)
{
    const lrn_case s = *(const lrn_case *)what;
    const size_t n = (size_t)s.rows * (size_t)s.c;
    for (int i = 0; i < NTYPES; i++) {
        const rn_dtype t = types[i];
        const void *x = check_act(r, t, n, 0), *dy = check_act(r, t, n, 0), *old = check_act(r, t, n, 4);
        rn_op_lrn a = {t, s.rows, s.c, s.size, s.alpha, s.beta, s.k, x, check_act_copy(r, t, n, NULL)}, want = a;
        want.y = check_act_copy(r, t, n, NULL);
        check_ran(r, "lrn_fwd", be->ops->lrn_fwd(be, &a, NULL));
        check_ran(r, "ref", rn_ref_ops.lrn_fwd(NULL, &want, NULL));
        check_act_near(r, t, "y", a.y, want.y, NULL, n, 4 * TOL);
        for (int beta = 0; beta < 2; beta++) {
            rn_op_lrn_bwd g = {t, s.rows, s.c, s.size, s.alpha, s.beta, s.k, x, dy, NULL, beta}, ref = g;
            g.dx = check_act_copy(r, t, n, beta ? old : NULL);
            ref.dx = check_act_copy(r, t, n, beta ? old : NULL);
            check_ran(r, "lrn_bwd", be->ops->lrn_bwd(be, &g, NULL));
            check_ran(r, "ref", rn_ref_ops.lrn_bwd(NULL, &ref, NULL));
            check_act_near(r, t, "dx", g.dx, ref.dx, mags(r, n, 8 + 4 * s.size * (double)s.alpha), n, 8 * TOL);
            rn_op_lrn_bwd one = g;
            one.dx = check_act_copy(r, t, n, beta ? old : NULL);
            be->threads = 1;
            check_ran(r, "lrn_bwd", be->ops->lrn_bwd(be, &one, NULL));
            be->threads = 2;
            check_bits(r, "dx by one thread", one.dx, g.dx, n * rn_dtype_size(t));
        }
    }
    float *x = check_f32(r, n), *y = check_f32(r, n);
    for (size_t i = 0; i < n; i++)
        x[i] = i == n / 2 ? NAN : 1;
    const rn_op_lrn a = {RN_F32, s.rows, s.c, s.size, s.alpha, s.beta, s.k, x, y};
    check_ran(r, "lrn_fwd", be->ops->lrn_fwd(be, &a, NULL));
    if (!isnan(y[n / 2]))
        check_fail(r, "a NaN was lost");
}

/* ---- parts ---- */

typedef struct part_case {
    int rows, c, src_c, src_at, dst_c, dst_at;
} part_case;

static const part_case parts[] = {{1, 1, 1, 0, 1, 0},       {9, 3, 8, 5, 3, 0},     {30, 48, 48, 0, 96, 48},
                                  {700, 48, 96, 48, 48, 0}, {5, 17, 40, 23, 20, 1}, {1000, 64, 64, 0, 130, 3}};

static void part(check_run *r, rn_backend *be, const void *what)
{
    const part_case s = *(const part_case *)what;
    const size_t ns = (size_t)s.rows * (size_t)s.src_c, nd = (size_t)s.rows * (size_t)s.dst_c;
    for (int i = 0; i < NTYPES * 3; i++) { /* overwritten, added to, the rest cleared */
        const rn_dtype t = types[i / 3];
        const bool add = i % 3 == 1, clear = i % 3 == 2;
        const void *old = check_act(r, t, nd, 9);
        rn_op_part a = {t, s.rows, s.c, check_act(r, t, ns, 9), s.src_c, s.src_at, NULL, s.dst_c, s.dst_at, add, clear};
        rn_op_part want = a;
        a.dst = check_act_copy(r, t, nd, clear ? NULL : old);
        want.dst = check_act_copy(r, t, nd, clear ? NULL : old);
        check_ran(r, "part", be->ops->part(be, &a, NULL));
        check_ran(r, "ref", rn_ref_ops.part(NULL, &want, NULL));
        check_bits(r, add ? "added" : clear ? "cleared" : "copied", a.dst, want.dst, nd * rn_dtype_size(t));
    }
}

/* ---- sigmoid, dropout ---- */

static const int lengths[] = {0, 1, 5, 255, 256, 257, 1000, 32769, 70001};

static void sigmoid(check_run *r, rn_backend *be, const void *what)
{
    const size_t n = (size_t) * (const int *)what;
    for (int i = 0; i < NTYPES; i++) {
        const rn_dtype t = types[i];
        const void *x = check_act(r, t, n, 12), *dy = check_act(r, t, n, 0);
        rn_op_sigmoid a = {t, (int64_t)n, x, check_act_copy(r, t, n, NULL)}, want = a;
        want.y = check_act_copy(r, t, n, NULL);
        check_ran(r, "sigmoid_fwd", be->ops->sigmoid_fwd(be, &a, NULL));
        check_ran(r, "ref", rn_ref_ops.sigmoid_fwd(NULL, &want, NULL));
        check_act_near(r, t, "y", a.y, want.y, NULL, n, TOL);
        rn_op_sigmoid_bwd g = {t, (int64_t)n, want.y, dy, check_act_copy(r, t, n, NULL)}, ref = g;
        ref.dx = check_act_copy(r, t, n, NULL);
        check_ran(r, "sigmoid_bwd", be->ops->sigmoid_bwd(be, &g, NULL));
        check_ran(r, "ref", rn_ref_ops.sigmoid_bwd(NULL, &ref, NULL));
        check_act_near(r, t, "dx", g.dx, ref.dx, NULL, n, TOL);
        void *place = check_act_copy(r, t, n, dy);
        g.dy = place;
        g.dx = place;
        check_ran(r, "sigmoid_bwd", be->ops->sigmoid_bwd(be, &g, NULL));
        check_act_near(r, t, "dx over dy", place, ref.dx, NULL, n, TOL);
    }
    float *far = check_copy(r, (const float[]){200, -200, INFINITY, NAN}, 4), *y = check_f32(r, 4);
    check_ran(r, "sigmoid_fwd", be->ops->sigmoid_fwd(be, &(rn_op_sigmoid){RN_F32, 4, far, y}, NULL));
    if (!(y[0] == 1 && y[1] >= 0 && y[1] < 1e-30f && y[2] == 1 && isnan(y[3])))
        check_fail(r, "sigmoid of 200, -200, inf, NaN: %g %g %g %g", (double)y[0], (double)y[1], (double)y[2],
                   (double)y[3]);
}

static rn_op_dropout dropped(rn_dtype t, size_t n, float p, const void *x, void *y)
{
    return (rn_op_dropout){.dtype = t, .n = (int64_t)n, .p = p, .seed = 77, .node = 3, .step = 1000, .x = x, .y = y};
}

static void dropout(check_run *r, rn_backend *be, const void *what)
{
    const size_t n = (size_t) * (const int *)what;
    static const float ps[] = {0, 0.2f, 0.5f, 0.999f, 1e-12f};
    for (int i = 0; i < NTYPES * 5; i++) {
        const rn_dtype t = types[i / 5];
        const size_t size = rn_dtype_size(t);
        const void *x = check_act(r, t, n, 0);
        rn_op_dropout a = dropped(t, n, ps[i % 5], x, check_act_copy(r, t, n, NULL)), want = a;
        want.y = check_act_copy(r, t, n, NULL);
        check_ran(r, "dropout", be->ops->dropout(be, &a, NULL));
        check_ran(r, "ref", rn_ref_ops.dropout(NULL, &want, NULL));
        check_act_near(r, t, "y", a.y, want.y, NULL, n, TOL);
        /* In parts, and in place: the same. */
        void *place = check_act_copy(r, t, n, x);
        const size_t cut = n / 3;
        for (int half = 0; half < 2; half++) {
            rn_op_dropout piece = dropped(t, half ? n - cut : cut, a.p, (char *)place + (half ? cut * size : 0),
                                          (char *)place + (half ? cut * size : 0));
            piece.first = half ? (int64_t)cut : 0;
            check_ran(r, "dropout", be->ops->dropout(be, &piece, NULL));
        }
        check_bits(r, "in two parts, in place", place, a.y, n * size);
    }
}

/* The share that is dropped, that step, node, seed and first matter, and what a kept value is worth. */
static void shares(check_run *r, rn_backend *be, const void *what)
{
    (void)what;
    enum { N = 100000 };
    float *x = check_f32(r, N), *y = check_f32(r, N), *z = check_f32(r, N);
    for (int i = 0; i < N; i++)
        x[i] = 1;
    rn_op_dropout a = dropped(RN_F32, N, 0.3f, x, y);
    check_ran(r, "dropout", be->ops->dropout(be, &a, NULL));
    int zeros = 0;
    for (int i = 0; i < N; i++) {
        zeros += y[i] == 0;
        if (y[i] != 0 && !(fabsf(y[i] - 1 / 0.7f) < 1e-6f))
            check_fail(r, "a kept 1 became %g", (double)y[i]);
    }
    if (zeros < 29400 || zeros > 30600) /* four standard deviations */
        check_fail(r, "%d of %d were dropped with probability 0.3", zeros, N);
    for (int other = 0; other < 4; other++) {
        rn_op_dropout b = dropped(RN_F32, N, 0.3f, x, z);
        b.seed += other == 0;
        b.node += other == 1;
        b.step += other == 2;
        b.first += other == 3;
        check_ran(r, "dropout", be->ops->dropout(be, &b, NULL));
        int same = 0;
        for (int i = 0; i < N; i++)
            same += (y[i] == 0) == (z[i] == 0);
        if (same > 59000) /* 58 of 100 by chance */
            check_fail(r, "another %s drops the same",
                       other == 0   ? "seed"
                       : other == 1 ? "node"
                       : other == 2 ? "step"
                                    : "place");
    }
    x[5] = NAN;
    rn_op_dropout all = dropped(RN_F32, 8, 0.999f, x, y);
    check_ran(r, "dropout", be->ops->dropout(be, &all, NULL));
    if (!isnan(y[5]))
        check_fail(r, "a NaN was dropped");
}

static void refusals(check_run *r, rn_backend *be, const void *what)
{
    (void)what;
    float v[64] = {0}, w[64] = {0};
    rn_op_dropout d = dropped(RN_F32, 8, 1, v, w);
    if (be->ops->dropout(be, &d, NULL) != RN_E_RANGE)
        check_fail(r, "dropping everything was not refused");
    rn_op_lrn l = {RN_F32, 2, 4, 0, 1, 0.75f, 1, v, w};
    if (be->ops->lrn_fwd(be, &l, NULL) != RN_E_RANGE)
        check_fail(r, "a window over nothing was not refused");
    rn_op_part p = {RN_F32, 2, 3, v, 4, 2, w, 3, 0, 0, false};
    if (be->ops->part(be, &p, NULL) != RN_E_RANGE)
        check_fail(r, "channels beyond the row were not refused");
    rn_op_scale s = {RN_I32, false, 1, 1, 1, v, v, NULL, w};
    if (be->ops->scale_fwd(be, &s, NULL) != RN_E_UNSUPPORTED)
        check_fail(r, "integers were not refused");
}

static void run(check_run *r)
{
    char cas[48];
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        snprintf(cas, sizeof cas, "mb%dhw%dc%d", shapes[i].mb, shapes[i].hw, shapes[i].c);
        check_ops_each(r, "channel", cas, "scale", scale, &shapes[i]);
    }
    for (size_t i = 0; i < sizeof lrns / sizeof *lrns; i++) {
        snprintf(cas, sizeof cas, "rows%dc%dsize%d", lrns[i].rows, lrns[i].c, lrns[i].size);
        check_ops_each(r, "channel", cas, "lrn", lrn, &lrns[i]);
    }
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        snprintf(cas, sizeof cas, "rows%dc%dat%d", parts[i].rows, parts[i].c, parts[i].dst_at);
        check_ops_each(r, "channel", cas, "part", part, &parts[i]);
    }
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        snprintf(cas, sizeof cas, "n%d", lengths[i]);
        check_ops_each(r, "channel", cas, "sigmoid", sigmoid, &lengths[i]);
        check_ops_each(r, "channel", cas, "dropout", dropout, &lengths[i]);
    }
    check_ops_each(r, "channel", "shares", "dropout", shares, NULL);
    check_ops_each(r, "channel", "arguments", "refusals", refusals, NULL);
}

const check_group check_channel_group = {"channel", run};
