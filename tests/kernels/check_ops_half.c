/* SPDX-License-Identifier: MIT */
/*
 * Ops on bf16 and f16: the same 16-bit inputs to the op and to the reference, which sums in double and rounds once. The op
 * computes in f32 and rounds once, so that nearly all results are the same number; where its f32 falls on the other side of
 * a rounding's tie, the neighbour. Truncating, or rounding twice, would show at once. Not a number and infinities go
 * through; other numbers of threads give the same bits.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_half.h"
#include "check_ops.h"
#include "kernels/ref/ref_ops.h"

typedef struct half_case {
    rn_dtype t;
    int rows, c;
} half_case;

static const half_case cases[] = {{RN_BF16, 1, 1},     {RN_BF16, 7, 3},   {RN_BF16, 130, 17}, {RN_BF16, 65, 300},
                                  {RN_BF16, 2000, 64}, {RN_F16, 1, 1},    {RN_F16, 7, 3},     {RN_F16, 130, 17},
                                  {RN_F16, 65, 300},   {RN_F16, 2000, 64}};

static uint16_t *make(check_run *r, rn_dtype t, size_t n)
{
    uint16_t *p = check_bytes(r, n * sizeof *p);
    float *f = check_f32(r, n);
    check_fill_real(r, f, n, 3);
    for (size_t i = 0; i < n; i++)
        p[i] = check_half_of(t, f[i]);
    return p;
}

static uint16_t *room(check_run *r, size_t n)
{
    return check_bytes(r, n * sizeof(uint16_t));
}

/* Neighbours at most, and few of them; `slack`: what f32 sums may be off by where terms cancel. */
static void near(check_run *r, const char *what, rn_dtype t, const uint16_t *got, const uint16_t *want, size_t n,
                 double slack)
{
    const double spacing = t == RN_BF16 ? 0x1p-7 : 0x1p-10, least = t == RN_BF16 ? 0x1p-133 : 0x1p-24;
    size_t other = 0;
    for (size_t i = 0; i < n; i++) {
        const double g = check_half_value(t, got[i]), w = check_half_value(t, want[i]);
        if (g == w || (isnan(g) && isnan(w)))
            continue;
        other++;
        if (!(fabs(g - w) <= spacing * fabs(w) + least + slack)) {
            check_fail(r, "%s: element %zu is %.9g, the reference has %.9g", what, i, g, w);
            return;
        }
    }
    if (other > n / 30 + 1)
        check_fail(r, "%s: %zu of %zu are rounded otherwise", what, other, n);
}

static void point(check_run *r, rn_backend *be, const void *what)
{
    const half_case *s = what;
    const size_t n = (size_t)s->rows * (size_t)s->c;
    const int64_t m = (int64_t)n;
    uint16_t *a = make(r, s->t, n), *b = make(r, s->t, n), *got = room(r, n), *want = room(r, n);
    float *wide = check_f32(r, n), *back = check_f32(r, n);
    for (size_t i = 0; i < n; i += 11)
        a[i] = i % 2 ? 0x7fff : 0x8000; /* NaN, -0 */
    check_ran(r, "relu", be->ops->relu_fwd(be, &(rn_op_relu){s->t, m, a, got}, NULL));
    check_ran(r, "ref", rn_ref_ops.relu_fwd(NULL, &(rn_op_relu){s->t, m, a, want}, NULL));
    near(r, "relu", s->t, got, want, n, 0);
    check_ran(r, "relu_bwd", be->ops->relu_bwd(be, &(rn_op_relu_bwd){s->t, m, a, b, got}, NULL));
    check_ran(r, "ref", rn_ref_ops.relu_bwd(NULL, &(rn_op_relu_bwd){s->t, m, a, b, want}, NULL));
    check_bits(r, "relu_bwd", got, want, n * sizeof *got);
    check_ran(r, "add", be->ops->add(be, &(rn_op_add){s->t, m, a, b, got}, NULL));
    check_ran(r, "ref", rn_ref_ops.add(NULL, &(rn_op_add){s->t, m, a, b, want}, NULL));
    near(r, "add", s->t, got, want, n, 0);
    check_ran(r, "widen", be->ops->convert(be, &(rn_op_convert){s->t, RN_F32, m, b, wide}, NULL));
    check_ran(r, "ref", rn_ref_ops.convert(NULL, &(rn_op_convert){s->t, RN_F32, m, b, back}, NULL));
    check_bits(r, "widened", wide, back, n * sizeof *wide);
    for (size_t i = 0; i < n; i++)
        wide[i] *= 1.001f;
    check_ran(r, "narrow", be->ops->convert(be, &(rn_op_convert){RN_F32, s->t, m, wide, got}, NULL));
    check_ran(r, "ref", rn_ref_ops.convert(NULL, &(rn_op_convert){RN_F32, s->t, m, wide, want}, NULL));
    check_bits(r, "narrowed", got, want, n * sizeof *got);
}

static float *vector(check_run *r, int c, float least)
{
    float *v = check_f32(r, (size_t)c);
    check_fill_real(r, v, (size_t)c, 1);
    for (int i = 0; i < c; i++)
        v[i] = fabsf(v[i]) + least;
    return v;
}

static void bn(check_run *r, rn_backend *be, const void *what)
{
    const half_case *s = what;
    const size_t n = (size_t)s->rows * (size_t)s->c;
    const uint16_t *x = make(r, s->t, n), *res = make(r, s->t, n), *dy = make(r, s->t, n);
    float *rm[2] = {vector(r, s->c, 0), NULL}, *rv[2] = {vector(r, s->c, 0.5f), NULL};
    float *mean[2], *inv[2], *dg[2], *db[2];
    uint16_t *y[3], *dx[3], *dres[3];
    rm[1] = check_copy(r, rm[0], (size_t)s->c), rv[1] = check_copy(r, rv[0], (size_t)s->c);
    for (int i = 0; i < 3; i++)
        y[i] = room(r, n), dx[i] = room(r, n), dres[i] = room(r, n);
    for (int i = 0; i < 2; i++)
        mean[i] = vector(r, s->c, 0), inv[i] = vector(r, s->c, 0), dg[i] = vector(r, s->c, 0),
        db[i] = vector(r, s->c, 0);
    rn_op_bn_fwd f = {.dtype = s->t,
                      .rows = s->rows,
                      .c = s->c,
                      .eps = 1e-5f,
                      .momentum = 0.1f,
                      .x = x,
                      .relu = true,
                      .gamma = vector(r, s->c, 0.5f),
                      .beta = vector(r, s->c, 0)};
    const int was = be->threads;
    for (int train = 0; train < 2; train++) {
        f.train = train;
        f.res = train ? res : NULL;
        for (int i = 0; i < 2; i++) {
            f.y = y[i], f.running_mean = rm[i], f.running_var = rv[i], f.mean = mean[i], f.inv_std = inv[i];
            check_ran(r, "bn_fwd", i ? rn_ref_ops.bn_fwd(NULL, &f, NULL) : be->ops->bn_fwd(be, &f, NULL));
        }
        near(r, train ? "y" : "y of inference", s->t, y[0], y[1], n, 0x1p-18);
        if (!train)
            continue;
        check_near(r, "mean", mean[0], mean[1], NULL, (size_t)s->c, 0x1p-20);
        check_near(r, "inv_std", inv[0], inv[1], NULL, (size_t)s->c, s->rows > 1 ? 0x1p-16 : 1);
        check_near(r, "running_var", rv[0], rv[1], NULL, (size_t)s->c, 0x1p-20);
    }
    rn_op_bn_bwd b = {.dtype = s->t,
                      .relu = true,
                      .rows = s->rows,
                      .c = s->c,
                      .x = x,
                      .y = y[1],
                      .dy = dy,
                      .gamma = f.gamma,
                      .mean = mean[1],
                      .inv_std = vector(r, s->c, 0.5f)};
    for (int beta = 0; beta < 2; beta++) {
        b.dx_beta = b.dres_beta = beta;
        for (int i = 0; i < 3; i++) {
            memcpy(dx[i], res, n * sizeof *res);
            memcpy(dres[i], x, n * sizeof *x);
            b.dx = dx[i], b.dres = dres[i], b.dgamma = dg[i % 2], b.dbeta = db[i % 2];
            be->threads = i == 2 ? 3 : 1;
            check_ran(r, "bn_bwd", i == 1 ? rn_ref_ops.bn_bwd(NULL, &b, NULL) : be->ops->bn_bwd(be, &b, NULL));
        }
        be->threads = was;
        near(r, "dx", s->t, dx[0], dx[1], n, 0x1p-16);
        near(r, "dres", s->t, dres[0], dres[1], n, 0);
        check_bits(r, "dx of three threads", dx[2], dx[0], n * sizeof *dx[0]);
        check_near(r, "dgamma", dg[0], dg[1], NULL, (size_t)s->c, 0x1p-12); /* of terms up to 9 that cancel */
        check_near(r, "dbeta", db[0], db[1], NULL, (size_t)s->c, 0x1p-12);
    }
}

static void pool(check_run *r, rn_backend *be, const void *what)
{
    const half_case *s = what;
    const int side = 9, out = 5;
    const size_t ni = (size_t)(2 * side * side * s->c), no = (size_t)(2 * out * out * s->c);
    uint16_t *x = make(r, s->t, ni), *dy = make(r, s->t, no), *y[2] = {room(r, no), room(r, no)};
    uint16_t *dx[2] = {room(r, ni), room(r, ni)};
    uint8_t *arg[2] = {check_bytes(r, no), check_bytes(r, no)};
    x[0] = s->t == RN_BF16 ? 0xff80 : 0xfc00; /* -infinity */
    x[ni / 2] = 0x7fff;
    rn_op_pool p = {.dtype = s->t,
                    .mb = 2,
                    .c = s->c,
                    .ih = side,
                    .iw = side,
                    .oh = out,
                    .ow = out,
                    .kh = 3,
                    .kw = 3,
                    .sh = 2,
                    .sw = 2,
                    .ph = 1,
                    .pw = 1};
    for (int max = 0; max < 2; max++) {
        for (int i = 0; i < 2; i++) {
            const rn_ops *o = i ? &rn_ref_ops : be->ops;
            p.src = x, p.dst = y[i], p.argmax = arg[i];
            check_ran(r, "fwd", max ? o->maxpool_fwd(be, &p, NULL) : o->avgpool_fwd(be, &p, NULL));
            p.src = dy, p.dst = dx[i];
            check_ran(r, "bwd", max ? o->maxpool_bwd(be, &p, NULL) : o->avgpool_bwd(be, &p, NULL));
        }
        near(r, max ? "max" : "average", s->t, y[0], y[1], no, max ? 0 : 0x1p-20);
        near(r, max ? "gradient of max" : "gradient of average", s->t, dx[0], dx[1], ni, 0x1p-20);
    }
    check_bits(r, "argmax", arg[0], arg[1], no);
    rn_op_gap g = {.dtype = s->t, .mb = 2, .hw = out * out, .c = s->c};
    for (int back = 0; back < 2; back++) {
        for (int i = 0; i < 2; i++) {
            const rn_ops *o = i ? &rn_ref_ops : be->ops;
            g.src = dy, g.dst = y[i];
            check_ran(r, "gap", back ? o->gap_bwd(be, &g, NULL) : o->gap_fwd(be, &g, NULL));
        }
        near(r, back ? "gap_bwd" : "gap", s->t, y[0], y[1], back ? no : (size_t)(2 * s->c), 0x1p-20);
    }
}

static void dense(check_run *r, rn_backend *be, const void *what)
{
    const half_case *s = what;
    const int mb = 5, ic = s->c, oc = 13;
    const size_t nx = (size_t)(mb * ic), nw = (size_t)(oc * ic), ny = (size_t)(mb * oc);
    uint16_t *x = make(r, s->t, nx), *dy = make(r, s->t, ny), *y[2], *dx[2], *more[2];
    float *w = check_f32(r, nw), *b = vector(r, oc, 0), *dw[2], *db[2], *wide[2], *dw_wide[2];
    float *scores = check_f32(r, ny);
    check_fill_real(r, w, nw, 0.1f);
    check_fill_real(r, scores, ny, 1);
    for (int i = 0; i < 2; i++) {
        const rn_ops *o = i ? &rn_ref_ops : be->ops;
        y[i] = room(r, ny), dx[i] = room(r, nx), dw[i] = check_f32(r, nw), db[i] = vector(r, oc, 0),
        wide[i] = check_f32(r, ny), dw_wide[i] = check_f32(r, nw);
        rn_op_linear a = {
            .dtype = s->t, .y_dtype = s->t, .mb = mb, .ic = ic, .oc = oc, .x = x, .w = w, .y = y[i], .b = b};
        check_ran(r, "linear", o->linear_fwd(be, &a, NULL));
        a.y = wide[i], a.y_dtype = RN_F32;
        check_ran(r, "linear to f32", o->linear_fwd(be, &a, NULL));
        a.y = dy, a.y_dtype = s->t, a.x = dx[i], a.b = NULL;
        check_ran(r, "linear_bwd_d", o->linear_bwd_d(be, &a, NULL));
        a.x = more[i] = memcpy(room(r, nx), x, nx * sizeof *x), a.beta = 1;
        check_ran(r, "linear_bwd_d that adds", o->linear_bwd_d(be, &a, NULL));
        a.x = x, a.w = dw[i], a.b = db[i];
        check_ran(r, "linear_bwd_w", o->linear_bwd_w(be, &a, NULL));
        a.y = scores, a.y_dtype = RN_F32, a.w = dw_wide[i], a.b = NULL; /* as the last layer's */
        check_ran(r, "linear_bwd_w from f32", o->linear_bwd_w(be, &a, NULL));
    }
    near(r, "y", s->t, y[0], y[1], ny, 0x1p-18);
    near(r, "dx", s->t, dx[0], dx[1], nx, 0x1p-18);
    near(r, "dx added", s->t, more[0], more[1], nx, 0x1p-18);
    check_near(r, "dw from f32", dw_wide[0], dw_wide[1], NULL, nw, 0x1p-18);
    check_near(r, "y in f32", wide[0], wide[1], NULL, ny, 0x1p-18);
    check_near(r, "dw", dw[0], dw[1], NULL, nw, 0x1p-18);
    check_near(r, "db", db[0], db[1], NULL, (size_t)oc, 0x1p-18);
}

static void run(check_run *r)
{
    char cas[40];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(cas, sizeof cas, "%s rows%dc%d", rn_dtype_name(cases[i].t), cases[i].rows, cases[i].c);
        check_ops_each(r, "half", cas, "point", point, &cases[i]);
        check_ops_each(r, "half", cas, "bn", bn, &cases[i]);
        check_ops_each(r, "half", cas, "pool", pool, &cases[i]);
        check_ops_each(r, "half", cas, "dense", dense, &cases[i]);
    }
    check_half_exact(r);
}

const check_group check_half_group = {"half", run};
