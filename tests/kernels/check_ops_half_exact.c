/* SPDX-License-Identifier: MIT */
/*
 * Ops on bf16 and f16 where nothing has to be rounded: small integers, and quarters and sixteenths of them, fit both types
 * with everything that is computed on the way. Whatever is not equal to the bit is wrong, be it by one rounding too many.
 * The other ops' exact checks in these types are in check_ops_join.c and check_ops_channel.c.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_half.h"
#include "check_ops.h"
#include "kernels/ref/ref_ops.h"

typedef struct exact_case {
    rn_dtype t;
    int c;
} exact_case;

static const exact_case cases[] = {{RN_BF16, 1}, {RN_BF16, 5}, {RN_BF16, 16}, {RN_BF16, 37}, {RN_BF16, 64},
                                   {RN_F16, 1},  {RN_F16, 5},  {RN_F16, 16},  {RN_F16, 37},  {RN_F16, 64}};

static const int backends = 2; /* the one at hand, the reference */

static const rn_ops *ops_of(const rn_backend *be, int i)
{
    return i ? &rn_ref_ops : be->ops;
}

static double value(rn_dtype t, const void *p, size_t i)
{
    const uint16_t *h = p;
    return check_half_value(t, h[i]);
}

/* What plain arithmetic gives, which is held to fit the type. */
static void same(check_run *r, const char *what, rn_dtype t, const void *got, const double *want, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const double g = value(t, got, i), fits = value(t, &(uint16_t){check_half_of(t, (float)want[i])}, 0);
        if (!(fabs(fits - want[i]) <= 0))
            check_fail(r, "%s: element %zu, %.9g, does not fit the type: the check is wrong", what, i, want[i]);
        else if (!(fabs(g - want[i]) <= 0))
            check_fail(r, "%s: element %zu is %.9g instead of %.9g", what, i, g, want[i]);
        else
            continue;
        return;
    }
}

static double *plain(check_run *r, size_t n)
{
    return check_bytes(r, n * sizeof(double));
}

static void point(check_run *r, rn_backend *be, const void *what)
{
    const exact_case *s = what;
    const rn_dtype t = s->t;
    const size_t n = (size_t)s->c * 97;
    const int64_t m = (int64_t)n;
    const void *a = check_act(r, t, n, 99), *b = check_act(r, t, n, 99);
    double *relu = plain(r, n), *back = plain(r, n), *sum = plain(r, n);
    for (size_t i = 0; i < n; i++) {
        const double x = value(t, a, i), y = value(t, b, i);
        relu[i] = x > 0 ? x : 0;
        back[i] = x > 0 ? y : 0;
        sum[i] = x + y;
    }
    for (int i = 0; i < backends; i++) {
        const rn_ops *o = ops_of(be, i);
        void *y = check_act_copy(r, t, n, NULL);
        check_ran(r, "relu", o->relu_fwd(be, &(rn_op_relu){t, m, a, y}, NULL));
        same(r, "relu", t, y, relu, n);
        check_ran(r, "relu_bwd", o->relu_bwd(be, &(rn_op_relu_bwd){t, m, a, b, y}, NULL));
        same(r, "relu_bwd", t, y, back, n);
        check_ran(r, "add", o->add(be, &(rn_op_add){t, m, a, b, y}, NULL));
        same(r, "add", t, y, sum, n);
    }
}

/* 0 is 1/2; far from it, 0 and 1. Halves dropped double the rest, three quarters dropped make it four times as much. */
static void gates(check_run *r, rn_backend *be, const void *what)
{
    const exact_case *s = what;
    const rn_dtype t = s->t;
    const size_t n = (size_t)s->c * 97;
    const int64_t m = (int64_t)n;
    const void *x = check_act(r, t, n, 1), *dy = check_act(r, t, n, 60);
    uint16_t *far = check_bytes(r, n * sizeof *far);
    double *sigmoid = plain(r, n), *back = plain(r, n);
    for (size_t i = 0; i < n; i++) {
        far[i] = check_half_of(t, (float)(200 * value(t, x, i)));
        sigmoid[i] = value(t, x, i) / 2 + 0.5;
        back[i] = value(t, dy, i) * sigmoid[i] * (1 - sigmoid[i]);
    }
    for (int i = 0; i < backends; i++) {
        const rn_ops *o = ops_of(be, i);
        void *y = check_act_copy(r, t, n, NULL), *dx = check_act_copy(r, t, n, NULL);
        check_ran(r, "sigmoid", o->sigmoid_fwd(be, &(rn_op_sigmoid){t, m, far, y}, NULL));
        same(r, "sigmoid", t, y, sigmoid, n);
        check_ran(r, "sigmoid_bwd", o->sigmoid_bwd(be, &(rn_op_sigmoid_bwd){t, m, y, dy, dx}, NULL));
        same(r, "sigmoid_bwd", t, dx, back, n);
        for (int k = 1; k < 3; k++) {
            const float p = k == 1 ? 0.5f : 0.75f;
            rn_rng g;
            rn_rng_seed(&g, 5, RN_STREAM_DROPOUT, 3, 7);
            for (size_t e = 0; e < n; e++)
                back[e] = rn_rng_u32(&g) < (double)p * 0x1p32 ? 0 : value(t, dy, e) * (1 << k);
            check_ran(
                r, "dropout",
                o->dropout(
                    be, &(rn_op_dropout){.dtype = t, .n = m, .p = p, .seed = 5, .node = 3, .step = 7, .x = dy, .y = dx},
                    NULL));
            same(r, "dropout", t, dx, back, n);
        }
        for (size_t e = 0; e < n; e++)
            back[e] = value(t, dy, e) * sigmoid[e] * (1 - sigmoid[e]);
    }
}

/* Averages of four divide by 4, those at the border (padding is not counted) by 2 and 1; sums of gradients fit. */
static void pool(check_run *r, rn_backend *be, const void *what)
{
    const exact_case *s = what;
    const rn_dtype t = s->t;
    const int in = 6, out = 7; /* 2x2, stride 1, pad 1 */
    const size_t ni = (size_t)(2 * in * in * s->c), no = (size_t)(2 * out * out * s->c);
    const void *x = check_act(r, t, ni, 9), *dy = check_act(r, t, no, 9), *old = check_act(r, t, ni, 9);
    rn_op_pool p = {
        .dtype = t, .mb = 2, .c = s->c, .ih = in, .iw = in, .oh = out, .ow = out, .kh = 2, .kw = 2, .sh = 1, .sw = 1};
    p.ph = p.pw = 1;
    for (int k = 0; k < 6; k++) { /* the maximum, averages of two kinds; to an empty place, or added */
        const bool max = k / 2 == 0;
        void *y[2], *dx[2];
        uint8_t *arg[2];
        p.count_include_pad = k / 2 == 2;
        for (int i = 0; i < backends; i++) {
            const rn_ops *o = ops_of(be, i);
            y[i] = check_act_copy(r, t, no, NULL), dx[i] = check_act_copy(r, t, ni, k % 2 ? old : NULL);
            arg[i] = check_bytes(r, no);
            p.src = x, p.dst = y[i], p.argmax = max ? arg[i] : NULL, p.beta = 0;
            check_ran(r, "fwd", max ? o->maxpool_fwd(be, &p, NULL) : o->avgpool_fwd(be, &p, NULL));
            p.src = dy, p.dst = dx[i], p.beta = k % 2;
            check_ran(r, "bwd", max ? o->maxpool_bwd(be, &p, NULL) : o->avgpool_bwd(be, &p, NULL));
        }
        check_act_near(r, t, max ? "maximum" : "average", y[0], y[1], NULL, no, 0);
        check_act_near(r, t, max ? "gradient of a maximum" : "gradient of an average", dx[0], dx[1], NULL, ni, 0);
    }
}

static void gap(check_run *r, rn_backend *be, const void *what)
{
    const exact_case *s = what;
    const rn_dtype t = s->t;
    const size_t c = (size_t)s->c, n = 16 * c;
    const void *x = check_act(r, t, n, 9), *dy = check_act(r, t, c, 9), *old = check_act(r, t, n, 9);
    double *mean = plain(r, c), *back = plain(r, n);
    for (size_t i = 0; i < c; i++) {
        mean[i] = 0;
        for (size_t p = 0; p < 16; p++)
            mean[i] += value(t, x, p * c + i) / 16;
    }
    for (int i = 0; i < backends; i++) {
        void *y = check_act_copy(r, t, c, NULL);
        rn_op_gap a = {.dtype = t, .mb = 1, .hw = 16, .c = s->c, .src = x, .dst = y};
        check_ran(r, "gap", ops_of(be, i)->gap_fwd(be, &a, NULL));
        same(r, "gap", t, y, mean, c);
        for (int add = 0; add < 2; add++) {
            for (size_t e = 0; e < n; e++)
                back[e] = value(t, dy, e % c) / 16 + (add ? value(t, old, e) : 0);
            a.src = dy, a.dst = check_act_copy(r, t, n, add ? old : NULL), a.beta = add;
            check_ran(r, "gap_bwd", ops_of(be, i)->gap_bwd(be, &a, NULL));
            same(r, add ? "gap_bwd, added" : "gap_bwd", t, a.dst, back, n);
        }
    }
}

/* Of size 1 with alpha 15, k 1 and beta 3/4: x = +-1 is divided by 16^(3/4) = 8. With alpha 0 nothing is. */
static void lrn(check_run *r, rn_backend *be, const void *what)
{
    const exact_case *s = what;
    const rn_dtype t = s->t;
    const size_t n = (size_t)s->c * 29;
    uint16_t *x = check_bytes(r, n * sizeof *x);
    const void *any = check_act(r, t, n, 99), *dy = check_act(r, t, n, 9);
    double *y8 = plain(r, n), *same_y = plain(r, n), *d = plain(r, n);
    for (size_t i = 0; i < n; i++) {
        const double sign = value(t, any, i) < 0 ? -1 : 1;
        x[i] = check_half_of(t, (float)sign);
        y8[i] = sign / 8;
        same_y[i] = value(t, any, i);
        d[i] = value(t, dy, i) * (1 / 8.0 - 2 * 15 * 0.75 / 128);
    }
    for (int i = 0; i < backends; i++) {
        const rn_ops *o = ops_of(be, i);
        void *to = check_act_copy(r, t, n, NULL);
        check_ran(r, "lrn", o->lrn_fwd(be, &(rn_op_lrn){t, 29, s->c, 1, 15, 0.75f, 1, x, to}, NULL));
        same(r, "lrn", t, to, y8, n);
        check_ran(r, "lrn_bwd", o->lrn_bwd(be, &(rn_op_lrn_bwd){t, 29, s->c, 1, 15, 0.75f, 1, x, dy, to, 0}, NULL));
        same(r, "lrn_bwd", t, to, d, n);
        check_ran(r, "lrn of 0",
                  o->lrn_fwd(be, &(rn_op_lrn){t, 29, s->c, s->c < 5 ? 1 : 5, 0, 0.75f, 1, any, to}, NULL));
        same(r, "lrn of alpha 0", t, to, same_y, n);
    }
}

/* Sums of at most 64 products of -1..1 by -3..3. */
static void linear(check_run *r, rn_backend *be, const void *what)
{
    const exact_case *s = what;
    const rn_dtype t = s->t;
    const int mb = 6, ic = s->c, oc = 13;
    const size_t nx = (size_t)(mb * ic), nw = (size_t)(oc * ic), ny = (size_t)(mb * oc);
    void *x = check_act(r, t, nx, 3), *dy = check_act(r, t, ny, 3), *y[2], *dx[2];
    float *w = check_act(r, RN_F32, nw, 1), *b = check_act(r, RN_F32, (size_t)oc, 9), *dw[2], *db[2];
    for (int i = 0; i < backends; i++) {
        const rn_ops *o = ops_of(be, i);
        y[i] = check_act_copy(r, t, ny, NULL), dx[i] = check_act_copy(r, t, nx, NULL);
        dw[i] = check_f32(r, nw), db[i] = check_f32(r, (size_t)oc);
        rn_op_linear a = {.dtype = t, .y_dtype = t, .mb = mb, .ic = ic, .oc = oc, .x = x, .w = w, .y = y[i], .b = b};
        check_ran(r, "linear", o->linear_fwd(be, &a, NULL));
        a.y = dy, a.x = dx[i], a.b = NULL;
        check_ran(r, "linear_bwd_d", o->linear_bwd_d(be, &a, NULL));
        a.x = x, a.w = dw[i], a.b = db[i];
        check_ran(r, "linear_bwd_w", o->linear_bwd_w(be, &a, NULL));
    }
    check_act_near(r, t, "y", y[0], y[1], NULL, ny, 0);
    check_act_near(r, t, "dx", dx[0], dx[1], NULL, nx, 0);
    check_equal(r, "dw", dw[0], dw[1], nw);
    check_equal(r, "db", db[0], db[1], (size_t)oc);
}

/* Four of 16 classes share the probability; all others are 200 lower, whose exponential is nothing. */
static void xent(check_run *r, rn_backend *be, const void *what)
{
    enum { ROWS = 8, K = 16 };
    const exact_case *s = what;
    const rn_dtype t = s->t;
    uint16_t *z = check_bytes(r, ROWS * K * sizeof *z);
    int32_t *labels = check_bytes(r, ROWS * sizeof *labels), *rank = check_bytes(r, ROWS * sizeof *rank);
    double want[ROWS * K];
    float *loss = check_f32(r, ROWS);
    const double smoothing = 0.5, scale = 0.125;
    for (int i = 0; i < ROWS; i++) {
        labels[i] = (5 * i + s->c) % K;
        for (int j = 0; j < K; j++) {
            const bool high = j % 4 == i % 4;
            z[i * K + j] = check_half_of(t, (float)(high ? s->c : s->c - 200.0));
            want[i * K + j] = scale * ((high ? 0.25 : 0) - smoothing / K - (j == labels[i] ? 1 - smoothing : 0));
        }
    }
    for (int i = 0; i < backends; i++) {
        const rn_op_xent a = {.dtype = t,
                              .mb = ROWS,
                              .n = ROWS,
                              .k = K,
                              .logits = z,
                              .labels = labels,
                              .smoothing = (float)smoothing,
                              .grad_scale = (float)scale,
                              .dlogits = check_act_copy(r, t, ROWS * K, NULL),
                              .loss = loss,
                              .rank = rank};
        check_ran(r, "xent", ops_of(be, i)->xent(be, &a, NULL));
        same(r, "dlogits", t, a.dlogits, want, ROWS * K);
        for (int row = 0; row < ROWS; row++) {
            const bool high = labels[row] % 4 == row % 4;
            if (rank[row] != (high ? labels[row] / 4 : 4 + labels[row] - labels[row] / 4 - (labels[row] % 4 > row % 4)))
                check_fail(r, "row %d: rank %d", row, rank[row]);
        }
    }
}

void check_half_exact(check_run *r)
{
    static const struct {
        const char *dir;
        check_ops_body body;
    } bodies[] = {{"point-exact", point}, {"gates-exact", gates},   {"pool-exact", pool}, {"gap-exact", gap},
                  {"lrn-exact", lrn},     {"linear-exact", linear}, {"xent-exact", xent}};
    char cas[40];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(cas, sizeof cas, "%s c%d", rn_dtype_name(cases[i].t), cases[i].c);
        for (size_t k = 0; k < sizeof bodies / sizeof *bodies; k++)
            check_ops_each(r, "half", cas, bodies[k].dir, bodies[k].body, &cases[i]);
    }
}
