/* SPDX-License-Identifier: MIT */
/* The linear layer and softmax cross-entropy. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/rn_error.h"
#include "check_ops.h"
#include "kernels/ref/ref_ops.h"

#define TOL 0x1p-20

/* ---- linear ------------------------------------------------------------------------------------------------------- */

typedef struct linear_case {
    int mb, ic, oc;
} linear_case;

static const linear_case linears[] = {{1, 1, 1},     {2, 3, 5},      {7, 17, 10},   {4, 64, 4},
                                      {5, 33, 31},   {1, 512, 1000}, {64, 100, 10}, {33, 64, 65},
                                      {40, 130, 70}, {3, 1000, 2},   {16, 16, 16},  {8, 31, 129}};

/* Row-major (rows, cols) += |a| |b|^T style sums: the sum of the absolute values of an output's terms. */
static double *terms(check_run *r, const linear_case *s, int dir, const float *x, const float *w, const float *y)
{
    const int rows = dir == 2 ? s->oc : s->mb, cols = dir == 0 ? s->oc : s->ic;
    const int depth = dir == 0 ? s->ic : dir == 1 ? s->oc : s->mb;
    double *mag = check_bytes(r, (size_t)rows * (size_t)cols * sizeof *mag);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++) {
            double sum = 1;
            for (int k = 0; k < depth; k++) {
                const double a = dir == 0 ? x[i * s->ic + k] : dir == 1 ? y[i * s->oc + k] : y[k * s->oc + i];
                const double b = dir == 0 ? w[j * s->ic + k] : dir == 1 ? w[k * s->ic + j] : x[k * s->ic + j];
                sum += fabs(a * b);
            }
            mag[i * cols + j] = sum;
        }
    return mag;
}

/* more: with a bias forward, its gradient, and backward into what is there */
static void linear_once(check_run *r, rn_backend *be, const linear_case *s, bool exact, bool more)
{
    const size_t nx = (size_t)s->mb * (size_t)s->ic, nw = (size_t)s->oc * (size_t)s->ic;
    const size_t ny = (size_t)s->mb * (size_t)s->oc, nb = (size_t)s->oc, count[3] = {ny, nx, nw};
    float *t[4] = {check_f32(r, nx), check_f32(r, nw), check_f32(r, ny), check_f32(r, nb)};
    const size_t n[4] = {nx, nw, ny, nb};
    for (int i = 0; i < 4; i++) {
        if (exact)
            check_fill_int(r, t[i], n[i], 8);
        else
            check_fill_real(r, t[i], n[i], 1);
    }
    int (*const got_fn[])(struct rn_backend *, const rn_op_linear *,
                          void *) = {be->ops->linear_fwd, be->ops->linear_bwd_d, be->ops->linear_bwd_w};
    int (*const want_fn[])(struct rn_backend *, const rn_op_linear *,
                           void *) = {rn_ref_ops.linear_fwd, rn_ref_ops.linear_bwd_d, rn_ref_ops.linear_bwd_w};
    static const char *const names[] = {"fwd", "bwd_d", "bwd_w"};
    for (int dir = 0; dir < 3; dir++) {
        rn_op_linear a = {.dtype = RN_F32,
                          .mb = s->mb,
                          .ic = s->ic,
                          .oc = s->oc,
                          .x = t[0],
                          .w = t[1],
                          .y = t[2],
                          .b = more ? t[3] : NULL,
                          .beta = dir == 1 && more},
                     want = a;
        *(dir == 0 ? &a.y : dir == 1 ? &a.x : &a.w) = check_f32(r, count[dir]); /* NaN */
        *(dir == 0 ? &want.y : dir == 1 ? &want.x : &want.w) = check_f32(r, count[dir]);
        if (a.beta) {
            memcpy(a.x, t[0], nx * sizeof *t[0]);
            memcpy(want.x, t[0], nx * sizeof *t[0]);
        }
        if (dir == 2 && more) {
            a.b = check_f32(r, nb);
            want.b = check_f32(r, nb);
        }
        check_ran(r, names[dir], got_fn[dir](be, &a, NULL));
        check_ran(r, "ref", want_fn[dir](NULL, &want, NULL));
        const float *got = dir == 0 ? a.y : dir == 1 ? a.x : a.w, *ref = dir == 0 ? want.y : dir == 1 ? want.x : want.w;
        check_near(r, names[dir], got, ref, terms(r, s, dir, t[0], t[1], t[2]), count[dir], exact ? 0 : TOL);
        if (dir == 2 && more)
            check_near(r, "bias gradient", a.b, want.b, NULL, nb, exact ? 0 : TOL);
    }
}

static void linear(check_run *r, rn_backend *be, const void *what)
{
    for (int i = 0; i < 4; i++)
        linear_once(r, be, what, i & 1, i & 2);
}

/* ---- cross-entropy -------------------------------------------------------------------------------------------------- */

typedef struct xent_case {
    int mb, n, k;
} xent_case;

static const xent_case xents[] = {{1, 1, 1},    {4, 4, 2},      {7, 5, 10}, {3, 0, 5},
                                  {64, 64, 10}, {33, 31, 1000}, {5, 5, 17}};

static rn_op_xent xent_args(check_run *r, const xent_case *s, float *logits, const int32_t *labels)
{
    const size_t mb = (size_t)s->mb, n = mb * (size_t)s->k;
    return (rn_op_xent){.dtype = RN_F32,
                        .mb = s->mb,
                        .n = s->n,
                        .k = s->k,
                        .logits = logits,
                        .labels = labels,
                        .grad_scale = s->n ? 1 / (float)s->n : 1,
                        .dlogits = check_f32(r, n),
                        .loss = check_f32(r, mb),
                        .rank = check_bytes(r, mb * sizeof(int32_t))};
}

static int32_t *xent_labels(check_run *r, const xent_case *s)
{
    int32_t *labels = check_bytes(r, (size_t)s->mb * sizeof *labels);
    for (int i = 0; i < s->mb; i++) /* those of the padding must not be looked at */
        labels[i] = i < s->n ? (int32_t)rn_rng_below(&r->rng, (uint32_t)s->k) : -77;
    return labels;
}

/* `share` below 0: one label; otherwise that of labels beside labels2. */
static void xent_mixed(check_run *r, rn_backend *be, const xent_case *s, const float *logits, const int32_t *labels,
                       const int32_t *labels2, float share, float smoothing, const char *what)
{
    const size_t mb = (size_t)s->mb, n = mb * (size_t)s->k;
    char label[80];
    rn_op_xent a = xent_args(r, s, check_copy(r, logits, n), labels);
    a.smoothing = smoothing;
    a.labels2 = share >= 0 ? labels2 : NULL;
    a.share = share;
    rn_op_xent want = xent_args(r, s, check_copy(r, logits, n), labels);
    want.smoothing = smoothing;
    want.labels2 = a.labels2;
    want.share = share;
    check_ran(r, "xent", be->ops->xent(be, &a, NULL));
    check_ran(r, "ref", rn_ref_ops.xent(NULL, &want, NULL));
    snprintf(label, sizeof label, "loss, %s, smoothing %g, share %g", what, (double)smoothing, (double)share);
    check_near(r, label, a.loss, want.loss, NULL, mb, TOL);
    snprintf(label, sizeof label, "dlogits, %s, smoothing %g, share %g", what, (double)smoothing, (double)share);
    double *mag = check_bytes(r, n * sizeof *mag);
    for (size_t i = 0; i < n; i++)
        mag[i] = a.grad_scale;
    check_near(r, label, a.dlogits, want.dlogits, mag, n, TOL);
    check_bits(r, "rank", a.rank, want.rank, mb * sizeof(int32_t));

    rn_op_xent eval = a, over = a;
    eval.dlogits = NULL;
    eval.loss = check_f32(r, mb);
    check_ran(r, "xent", be->ops->xent(be, &eval, NULL));
    check_bits(r, "loss of evaluation", eval.loss, a.loss, mb * sizeof(float));
    over.logits = over.dlogits = check_copy(r, logits, n);
    check_ran(r, "xent", be->ops->xent(be, &over, NULL));
    check_bits(r, "dlogits over logits", over.dlogits, a.dlogits, n * sizeof(float));

    rn_op_xent now = a;
    rn_op_now *in = check_bytes(r, sizeof *in);
    *in = (rn_op_now){.share = a.share, .grad_scale = a.grad_scale};
    now.now = in;
    now.share = now.grad_scale = NAN; /* not read */
    now.dlogits = check_f32(r, n);
    check_ran(r, "xent", be->ops->xent(be, &now, NULL));
    check_bits(r, "dlogits by what memory says now", now.dlogits, a.dlogits, n * sizeof(float));
    check_bits(r, "and its loss", a.loss, eval.loss, mb * sizeof(float));
}

static void xent_once(check_run *r, rn_backend *be, const xent_case *s, const float *logits, const int32_t *labels,
                      float smoothing, const char *what)
{
    static const float shares[] = {-1, 0, 0.4f, 1};
    const int32_t *labels2 = xent_labels(r, s);
    for (int i = 0; i < 4; i++)
        xent_mixed(r, be, s, logits, labels, labels2, shares[i], smoothing, what);
}

static void xent(check_run *r, rn_backend *be, const void *what)
{
    const xent_case *s = what;
    const size_t n = (size_t)s->mb * (size_t)s->k;
    float *z = check_f32(r, n);
    const int32_t *labels = xent_labels(r, s);
    static const float smoothings[] = {0, 0.1f, 1};
    for (int i = 0; i < 3; i++) {
        check_fill_real(r, z, n, 4);
        xent_once(r, be, s, z, labels, smoothings[i], "reals");
        check_fill_int(r, z, n, 1); /* ties in rank */
        xent_once(r, be, s, z, labels, smoothings[i], "ties");
        check_fill_real(r, z, n, 1e4f); /* exp() of these is out of range */
        for (size_t j = 0; j < n; j++)
            z[j] += 3e4f;
        xent_once(r, be, s, z, labels, smoothings[i], "large");
    }
    for (size_t j = 0; j < n; j++) /* a class that is ruled out; never the label's */
        z[j] = (int)(j % (size_t)s->k) != labels[j / (size_t)s->k] && j % 2 ? -INFINITY : 1;
    xent_mixed(r, be, s, z, labels, NULL, -1, 0, "minus infinity");
}

/* What rn_op.h says of NaN, row by row; the other rows are not touched by it. */
static void xent_nan(check_run *r, rn_backend *be, const void *what)
{
    const xent_case *s = what;
    const size_t k = (size_t)s->k, n = (size_t)s->mb * k;
    float *z = check_f32(r, n);
    check_fill_real(r, z, n, 1);
    const int32_t *labels = xent_labels(r, s);
    for (int i = 0; i < s->n; i++)
        if (i % 2)
            z[(size_t)i * k + (size_t)i % k] = NAN; /* at the label for some, elsewhere for others */
    rn_op_xent a = xent_args(r, s, z, labels);
    check_ran(r, "xent", be->ops->xent(be, &a, NULL));
    for (int i = 0; i < s->mb; i++) {
        const bool nan = i < s->n && i % 2;
        if (nan != (a.rank[i] == s->k) || nan != !!isnan(a.loss[i]))
            check_fail(r, "row %d: rank %d, loss %g", i, (int)a.rank[i], (double)a.loss[i]);
        const float *d = (const float *)a.dlogits + (size_t)i * k;
        for (size_t j = 0; j < k; j++)
            if (nan != !!isnan(d[j]))
                check_fail(r, "row %d: dlogits[%zu] is %g", i, j, (double)d[j]);
    }
}

/* Row 1 names class 2 of 2. In host memory that is refused; a device, which nobody looks into, makes the row NaN. */
static void foreign(check_run *r, rn_backend *be, const rn_op_xent *a, const char *what)
{
    const int rc = be->ops->xent(be, a, NULL);
    if (strcmp(be->device, "cpu") != 0) {
        check_ran(r, what, rc);
        if (isnan(a->loss[0]) || !isnan(a->loss[1]) || a->rank[1] != 2)
            check_fail(r, "%s outside the classes: loss %g, %g, rank %d", what, (double)a->loss[0], (double)a->loss[1],
                       (int)a->rank[1]);
    } else if (rc != RN_E_RANGE || !strstr(rn_error_text(), "label 2 of row 1"))
        check_fail(r, "%s outside the classes: %s", what, rn_error_text());
}

static void refusals(check_run *r, rn_backend *be, const void *what)
{
    (void)what;
    float *z = check_values(r, 4, true), *loss = check_f32(r, 2);
    int32_t *labels = check_bytes(r, 2 * sizeof *labels), *fine = check_bytes(r, 2 * sizeof *fine);
    int32_t *rank = check_bytes(r, 2 * sizeof *rank);
    labels[0] = fine[0] = 0, labels[1] = 2, fine[1] = 1;
    rn_op_xent a = {.dtype = RN_F32,
                    .mb = 2,
                    .n = 2,
                    .k = 2,
                    .logits = z,
                    .labels = labels,
                    .grad_scale = 1,
                    .loss = loss,
                    .rank = rank};
    foreign(r, be, &a, "a label");
    a.n = 1;
    check_ran(r, "the same label in the padding", be->ops->xent(be, &a, NULL));
    a.n = 3;
    if (be->ops->xent(be, &a, NULL) != RN_E_RANGE)
        check_fail(r, "n over mb was not refused");
    a.n = 2;
    a.labels = fine;
    a.labels2 = labels;
    foreign(r, be, &a, "a second label");
    a.labels2 = fine;
    a.share = 1.5f;
    if (be->ops->xent(be, &a, NULL) != RN_E_RANGE)
        check_fail(r, "a share over 1 was not refused");
    a.share = NAN;
    if (be->ops->xent(be, &a, NULL) != RN_E_RANGE)
        check_fail(r, "a share of NaN was not refused");
}

static void run(check_run *r)
{
    char cas[32];
    for (size_t i = 0; i < sizeof linears / sizeof *linears; i++) {
        snprintf(cas, sizeof cas, "mb%dic%doc%d", linears[i].mb, linears[i].ic, linears[i].oc);
        check_ops_each(r, "dense", cas, "linear", linear, &linears[i]);
    }
    for (size_t i = 0; i < sizeof xents / sizeof *xents; i++) {
        snprintf(cas, sizeof cas, "mb%dn%dk%d", xents[i].mb, xents[i].n, xents[i].k);
        check_ops_each(r, "dense", cas, "xent", xent, &xents[i]);
        check_ops_each(r, "dense", cas, "xent_nan", xent_nan, &xents[i]);
    }
    check_ops_each(r, "dense", "arguments", "refusals", refusals, NULL);
}

const check_group check_dense_group = {"dense", run};
