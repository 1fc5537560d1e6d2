/* SPDX-License-Identifier: MIT */
/* SGD of both kinds, a x + b y, and the sum of squares: odd lengths, more than one block, NaN where it may not be read. */
#include <math.h>
#include <stdio.h>

#include "base/rn_error.h"
#include "check_ops.h"
#include "kernels/ref/ref_ops.h"

#define TOL 0x1p-21

/* One below, on and above a vector of each width, and several blocks of work. */
static const int lengths[] = {0, 1, 3, 7, 8, 15, 16, 17, 31, 33, 100, 1000, 32768, 32769, 100003};

/* Three steps with a changing rate, so that the momentum of one enters the next; dyadic numbers are exact. */
static void sgd_steps(check_run *r, rn_backend *be, size_t n, unsigned how)
{
    const bool exact = how & 4;
    rn_op_sgd a = {.n = (int64_t)n,
                   .w = check_values(r, n, exact),
                   .v = check_values(r, n, exact),
                   .mu = exact ? 0.5f : 0.9f,
                   .wd = exact ? 0.125f : 1e-4f,
                   .grad_scale = exact ? 0.5f : 1.0f / 3,
                   .nesterov = how & 1,
                   .caffe = how & 2};
    rn_op_sgd want = a;
    want.w = check_copy(r, a.w, n);
    want.v = check_copy(r, a.v, n);
    for (int step = 0; step < 3; step++) {
        a.lr = want.lr = exact ? (step == 1 ? 0.5f : 0.25f) : 0.1f / (float)(1 + step);
        a.g = want.g = check_values(r, n, exact);
        check_ran(r, "sgd", be->ops->sgd(be, &a, NULL));
        check_ran(r, "ref", rn_ref_ops.sgd(NULL, &want, NULL));
    }
    char what[40];
    snprintf(what, sizeof what, "w%s%s", a.caffe ? ", caffe" : "", a.nesterov ? ", nesterov" : "");
    check_near(r, what, a.w, want.w, NULL, n, exact ? 0 : 8 * TOL);
    what[0] = 'v';
    check_near(r, what, a.v, want.v, NULL, n, exact ? 0 : 8 * TOL);
}

static void sgd(check_run *r, rn_backend *be, const void *what)
{
    const size_t n = (size_t) * (const int *)what;
    for (unsigned how = 0; how < 8; how++)
        sgd_steps(r, be, n, how);
}

static void axpby_with(check_run *r, rn_backend *be, size_t n, float a, float b, bool exact)
{
    float *x = check_values(r, n, exact), *y = check_values(r, n, exact), *want = check_copy(r, y, n);
    for (size_t i = 0; i < n && b == 0; i += 7)
        y[i] = NAN;
    rn_op_axpby p = {.n = (int64_t)n, .a = a, .b = b, .x = x, .y = y}, ref = p;
    ref.y = want;
    check_ran(r, "axpby", be->ops->axpby(be, &p, NULL));
    check_ran(r, "ref", rn_ref_ops.axpby(NULL, &ref, NULL));
    check_near(r, b == 0 ? "a x" : "a x + b y", y, want, NULL, n, exact ? 0 : TOL);
    float *over = check_copy(r, x, n);
    for (size_t i = 0; i < n; i++)
        want[i] = (a + b) * x[i];
    p.x = p.y = over;
    check_ran(r, "axpby", be->ops->axpby(be, &p, NULL));
    check_near(r, "in place", over, want, NULL, n, exact ? 0 : 2 * TOL);
}

static void axpby(check_run *r, rn_backend *be, const void *what)
{
    const size_t n = (size_t) * (const int *)what;
    axpby_with(r, be, n, 1, 1, true);
    axpby_with(r, be, n, 0.25f, 0.25f, true);
    axpby_with(r, be, n, 0.5f, 0, true);
    axpby_with(r, be, n, 0.001f, 0.999f, false);
    axpby_with(r, be, n, 1.0f / 3, 0, false);
}

static double sum_of(check_run *r, rn_backend *be, size_t n, const float *x)
{
    double *sum = check_bytes(r, sizeof *sum);
    check_ran(r, "sumsq", be->ops->sumsq(be, &(rn_op_sumsq){(int64_t)n, x, sum}, NULL));
    return *sum;
}

static void sumsq(check_run *r, rn_backend *be, const void *what)
{
    const size_t n = (size_t) * (const int *)what;
    for (int exact = 0; exact < 2; exact++) {
        float *x = check_values(r, n, exact);
        double want = -1, got = sum_of(r, be, n, x);
        check_ran(r, "ref", rn_ref_ops.sumsq(NULL, &(rn_op_sumsq){(int64_t)n, x, &want}, NULL));
        if (!(fabs(got - want) <= (exact ? 0 : (double)n * 0x1p-53 * want)))
            check_fail(r, "sum of squares %.17g, not %.17g", got, want);
        const int threads = be->threads; /* the bits depend on nobody's number of threads */
        be->threads = threads == 1 ? 3 : 1;
        const double other = sum_of(r, be, n, x);
        be->threads = threads;
        check_bits(r, "other threads", &other, &got, sizeof got);
        /* The largest numbers do not overflow; one that is not finite is seen wherever it stands. */
        for (size_t i = 0; i < n; i++)
            x[i] = 3.4e38f;
        if (!isfinite(sum_of(r, be, n, x)))
            check_fail(r, "the sum of %zu large squares overflowed", n);
        for (size_t at = 0; at < n; at = 2 * at + 1) {
            const float was = x[at];
            x[at] = at % 2 ? NAN : -INFINITY;
            if (isfinite(sum_of(r, be, n, x)))
                check_fail(r, "element %zu is not finite and was not seen", at);
            x[at] = was;
        }
    }
}

/* clip's `by` in front of sgd: as with the factor in sgd's arguments, and where it is NaN nothing at all. */
static void clip_with(check_run *r, rn_backend *be, const rn_op_clip *how, double sumsq, int odd)
{
    const int n = how->n;
    const float was = how->out ? *how->out : NAN;
    rn_op_clip a = *how;
    double *sum = check_bytes(r, sizeof *sum);
    float *loss = check_values(r, (size_t)n, false), want = 0;
    a.sumsq = sum;
    a.loss = loss;
    a.out = check_f32(r, 1);
    *a.out = want = was;
    *sum = sumsq;
    if (a.before) {
        double *before = check_bytes(r, sizeof *before);
        *before = *how->before;
        a.before = before;
    }
    if (odd >= 0)
        loss[odd] = odd % 2 ? INFINITY : NAN;
    check_ran(r, "clip", be->ops->clip(be, &a, NULL));
    rn_op_clip ref = a;
    ref.out = &want;
    check_ran(r, "ref", rn_ref_ops.clip(NULL, &ref, NULL));
    const bool after = !a.before || (isfinite(*a.before) && !isnan(was));
    if (isnan(want) != (odd >= 0 || !isfinite(sumsq) || !after))
        check_fail(r, "%s where it should be so", isnan(want) ? "finite" : "not finite");
    check_bits(r, "factor", a.out, isnan(want) && isnan(*a.out) ? a.out : &want, sizeof want);
    rn_op_sgd s = {.n = 100, .mu = 0.9f, .wd = 1e-4f, .lr = 0.1f, .grad_scale = NAN, .scale = a.out};
    s.w = check_values(r, 100, false), s.v = check_values(r, 100, false), s.g = check_values(r, 100, false);
    rn_op_sgd t = s;
    t.w = check_copy(r, s.w, 100), t.v = check_copy(r, s.v, 100);
    t.scale = NULL;
    t.grad_scale = want;
    check_ran(r, "sgd", be->ops->sgd(be, &s, NULL));
    if (!isnan(want))
        check_ran(r, "sgd", be->ops->sgd(be, &t, NULL));
    check_bits(r, "w", s.w, t.w, 100 * sizeof *s.w);
    check_bits(r, "v", s.v, t.v, 100 * sizeof *s.v);
}

static void clip(check_run *r, rn_backend *be, const void *what)
{
    static const double squares[] = {0, 1e-30, 2, 12345.678, 1e60, INFINITY, NAN};
    (void)what;
    for (unsigned i = 0; i < 2 * 2 * sizeof squares / sizeof *squares; i++) {
        const rn_op_clip a = {.n = i % 2 ? 300 : 1,
                              .scale = i % 3 ? 1 : 0x1p-10,
                              .times = i % 5 ? 1 : 3,
                              .limit = i % 4 ? 0.7 : 0,
                              .caffe = i % 2};
        clip_with(r, be, &a, squares[i / 4], -1);
        clip_with(r, be, &a, squares[i / 4], (int)(i % 2 ? 299 : 0));
    }
    for (unsigned i = 0; i < 2 * 2 * sizeof squares / sizeof *squares; i++) {
        float was = i % 2 ? NAN : 2;
        const rn_op_clip a = {.n = 3, .scale = 1, .times = 1, .before = &squares[i / 4], .out = &was};
        clip_with(r, be, &a, i % 4 < 2 ? 2 : INFINITY, -1);
    }
    rn_op_clip bad = {.scale = 1, .times = 1};
    if (be->ops->clip(be, &bad, NULL) == RN_OK)
        check_fail(r, "no sum of squares was not refused");
}

static void run(check_run *r)
{
    char cas[32];
    check_ops_each(r, "optim", "norms", "clip", clip, NULL);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        snprintf(cas, sizeof cas, "n%d", lengths[i]);
        check_ops_each(r, "optim", cas, "sgd", sgd, &lengths[i]);
        check_ops_each(r, "optim", cas, "axpby", axpby, &lengths[i]);
        check_ops_each(r, "optim", cas, "sumsq", sumsq, &lengths[i]);
    }
    const int many = 1100003; /* more than a device adds up in as many blocks as it likes */
    check_ops_each(r, "optim", "n1100003", "sumsq", sumsq, &many);
}

const check_group check_optim_group = {"optim", run};
