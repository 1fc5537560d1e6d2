/* SPDX-License-Identifier: MIT */
/* What ops read from the device's memory instead of their arguments (rn_op_now and the like): the same bits by either way. */
#include <math.h>
#include <stdio.h>

#include "check_ops.h"

/* Less than a vector; some vectors and a bit; more than one block of work. */
static const int lengths[] = {3, 100, 32771};

static rn_op_now *now_of(check_run *r, rn_op_now v)
{
    rn_op_now *now = check_bytes(r, sizeof *now);
    *now = v;
    return now;
}

static void sgd(check_run *r, rn_backend *be, const void *what)
{
    const size_t n = (size_t) * (const int *)what;
    for (int how = 0; how < 4; how++) {
        const float rate = 0.1f / 3, mult = 0.7f, rounded = rate * mult;
        rn_op_sgd a = {.n = (int64_t)n,
                       .w = check_values(r, n, false),
                       .v = check_values(r, n, false),
                       .g = check_values(r, n, false),
                       .lr = rounded,
                       .mu = 0.9f,
                       .wd = 1e-3f,
                       .grad_scale = 0.3f,
                       .nesterov = how & 1,
                       .caffe = how & 2};
        rn_op_sgd b = a;
        b.w = check_copy(r, a.w, n), b.v = check_copy(r, a.v, n);
        b.now = now_of(r, (rn_op_now){.lr = rate, .mu = a.mu});
        b.lr = mult;
        b.mu = NAN; /* not read */
        check_ran(r, "sgd", be->ops->sgd(be, &a, NULL));
        check_ran(r, "sgd", be->ops->sgd(be, &b, NULL));
        check_bits(r, "w", b.w, a.w, n * sizeof *a.w);
        check_bits(r, "v", b.v, a.v, n * sizeof *a.v);
    }
}

/* What is added to, where it is not to change. */
static void unchanged(check_run *r, rn_backend *be, const rn_op_axpby *a, const char *why)
{
    const size_t n = (size_t)a->n;
    const float *before = check_copy(r, a->y, n);
    check_ran(r, "axpby", be->ops->axpby(be, a, NULL));
    check_bits(r, why, a->y, before, n * sizeof *before);
}

static void axpby(check_run *r, rn_backend *be, const void *what)
{
    static const float shares[][2] = {{1, 0}, {1, 1}, {1.0f / 3, 1.0f / 3}, {0.001f, 0.999f}};
    const size_t n = (size_t) * (const int *)what;
    for (int i = 0; i < 4; i++) {
        float *ab = check_copy(r, shares[i], 2), *scale = check_f32(r, 1);
        double *sumsq = check_bytes(r, sizeof *sumsq);
        rn_op_axpby a = {.n = (int64_t)n, .a = ab[0], .b = ab[1], .x = check_values(r, n, false)};
        a.y = check_values(r, n, false);
        for (size_t k = 0; k < n && a.b == 0; k += 5)
            a.y[k] = NAN; /* not read */
        rn_op_axpby b = a;
        b.y = check_copy(r, a.y, n);
        b.a = b.b = NAN; /* not read, either */
        b.ab = ab;
        *scale = 0.5f;
        *sumsq = 7;
        if (i % 2)
            b.scale = scale, b.sumsq = sumsq;
        check_ran(r, "axpby", be->ops->axpby(be, &a, NULL));
        check_ran(r, "axpby", be->ops->axpby(be, &b, NULL));
        check_bits(r, "y", b.y, a.y, n * sizeof *a.y);
        b.scale = scale, b.sumsq = sumsq;
        *scale = NAN;
        unchanged(r, be, &b, "y, after no step");
        *scale = 0.5f;
        *sumsq = i % 2 ? (double)INFINITY : (double)NAN;
        unchanged(r, be, &b, "y, of what is not finite");
        *sumsq = 7;
        ab[0] = NAN;
        unchanged(r, be, &b, "y, when it is not due");
        b.scale = NULL, b.sumsq = NULL;
        unchanged(r, be, &b, "y, when it is not due, whatever else");
    }
}

static void clip(check_run *r, rn_backend *be, const void *what)
{
    (void)what;
    for (int how = 0; how < 8; how++) {
        double *sumsq = check_bytes(r, sizeof *sumsq);
        *sumsq = how & 1 ? 1e8 / 3 : 1e-3;
        rn_op_clip a = {.sumsq = sumsq,
                        .out = check_f32(r, 1),
                        .scale = 1.0 / 3000,
                        .times = how & 2 ? 3 : 1,
                        .limit = 0.5,
                        .caffe = how & 4};
        rn_op_clip b = a;
        b.out = check_f32(r, 1);
        b.now = now_of(r, (rn_op_now){.scale = a.scale, .times = a.times});
        b.scale = b.times = 0; /* not read */
        check_ran(r, "clip", be->ops->clip(be, &a, NULL));
        check_ran(r, "clip", be->ops->clip(be, &b, NULL));
        check_bits(r, "factor", b.out, a.out, sizeof *a.out);
    }
}

/* As libcore/op/rn_op.h says it; false: below the floor. */
static bool moved(rn_loss_scale *s, bool overflowed)
{
    const bool grown = !overflowed && s->good + 1 == RN_LOSS_SCALE_GROWTH;
    s->good = overflowed || grown ? 0 : s->good + 1;
    s->scale = overflowed ? s->scale * 0.5 : grown ? s->scale * 2 : s->scale;
    s->skipped += overflowed ? 1 : 0;
    return s->scale >= 1;
}

/* One step of a loss scale that moves: clip's factor is that of a scale which does not, unless there is nothing to be done. */
static void clip_moving(check_run *r, rn_backend *be, rn_loss_scale from, double squares, unsigned how)
{
    const bool overflowed = !isfinite(squares), stop = how & 7;
    double *sumsq = check_bytes(r, sizeof *sumsq), *before = check_bytes(r, sizeof *before);
    float *loss = check_f32(r, 300), *out = check_f32(r, 1);
    rn_loss_scale *state = check_bytes(r, sizeof *state), want = from;
    *sumsq = squares;
    *before = how & 1 ? INFINITY : 3;
    for (int i = 0; i < 300; i++)
        loss[i] = how & 2 && i == 299 ? INFINITY : 1;
    *out = how & 4 ? NAN : how & 8 ? INFINITY : 1;
    *state = from;
    rn_op_clip a = {.sumsq = sumsq, .before = before, .loss = loss, .n = 300, .out = out, .limit = 0.5};
    rn_op_clip b = {.sumsq = sumsq, .out = check_f32(r, 1), .limit = 0.5, .scale = 1 / from.scale, .times = 3};
    a.now = now_of(r, (rn_op_now){.loss_scale = state, .scale = NAN, .times = 3});
    check_ran(r, "clip", be->ops->clip(be, &a, NULL));
    check_ran(r, "clip", be->ops->clip(be, &b, NULL));
    const bool ends = stop || !moved(&want, overflowed);
    check_bits(r, "scale", &state->scale, stop ? &from.scale : &want.scale, sizeof want.scale);
    check_bits(r, "steps that were good", &state->good, stop ? &from.good : &want.good, sizeof want.good);
    check_bits(r, "steps left out", &state->skipped, stop ? &from.skipped : &want.skipped, sizeof want.skipped);
    if (ends != isnan(*out) || (!ends && overflowed != isinf(*out)))
        check_fail(r, "a factor of %g where it goes on: %d, and overflows: %d", (double)*out, !ends, overflowed);
    if (!ends && !overflowed)
        check_bits(r, "factor of a scale that moves", out, b.out, sizeof *out);
    rn_op_sgd s = {.n = 5, .w = check_values(r, 5, false), .v = check_values(r, 5, false), .lr = 0.1f, .scale = out};
    s.g = check_values(r, 5, false);
    const float *w = check_copy(r, s.w, 5), *v = check_copy(r, s.v, 5);
    if (isfinite(*out))
        return;
    check_ran(r, "sgd", be->ops->sgd(be, &s, NULL));
    check_bits(r, "w, after no step", s.w, w, 5 * sizeof *w);
    check_bits(r, "v, after no step", s.v, v, 5 * sizeof *v);
}

static void scale_of_clip(check_run *r, rn_backend *be, const void *what)
{
    static const double squares[] = {0, 1e-3, 1e8 / 3, INFINITY, NAN}, scales[] = {65536, 1, 1.5, 1e7, 0x1p64};
    static const int64_t good[] = {0, RN_LOSS_SCALE_GROWTH - 2, RN_LOSS_SCALE_GROWTH - 1};
    (void)what;
    for (int i = 0; i < 5; i++)
        for (int k = 0; k < 5; k++)
            for (unsigned how = 0; how < 16; how++)
                clip_moving(r, be, (rn_loss_scale){scales[i], good[(i + k) % 3], 40}, squares[k], how);
}

/* What the losses' gradients are multiplied by: the state's scale, by the rows. */
static void scale_of_losses(check_run *r, rn_backend *be, const void *what)
{
    static const double scales[] = {65536, 1, 1e7, 16777217};
    enum { MB = 3, K = 5 };
    (void)what;
    for (int i = 0; i < 4; i++) {
        rn_loss_scale *state = check_bytes(r, sizeof *state);
        *state = (rn_loss_scale){.scale = scales[i]};
        int32_t *labels = check_bytes(r, MB * sizeof *labels), *rank = check_bytes(r, MB * sizeof *rank);
        for (int k = 0; k < MB; k++)
            labels[k] = k;
        rn_op_xent a = {.dtype = RN_F32, .mb = MB, .n = MB, .k = K, .labels = labels, .rank = rank};
        a.logits = check_values(r, (size_t)MB * K, false);
        a.loss = check_f32(r, MB);
        a.grad_scale = (float)scales[i] / 3;
        a.dlogits = check_f32(r, (size_t)MB * K);
        rn_op_xent b = a;
        b.now = now_of(r, (rn_op_now){.grad_scale = NAN, .rows = 3, .loss_scale = state});
        b.dlogits = check_f32(r, (size_t)MB * K);
        check_ran(r, "xent", be->ops->xent(be, &a, NULL));
        check_ran(r, "xent", be->ops->xent(be, &b, NULL));
        check_bits(r, "gradients of a scale that moves", b.dlogits, a.dlogits, sizeof(float) * MB * K);
        rn_op_distill c = {.mb = MB, .n = MB, .k = K, .temperature = 2, .hard = 0.5f, .soft = 0.5f, .loss = a.loss};
        c.logits = a.logits;
        c.teacher = check_values(r, (size_t)MB * K, false);
        c.grad_scale = a.grad_scale;
        c.dlogits = a.dlogits;
        rn_op_distill d = c;
        d.now = b.now;
        d.dlogits = b.dlogits;
        check_ran(r, "distill", be->ops->distill(be, &c, NULL));
        check_ran(r, "distill", be->ops->distill(be, &d, NULL));
        check_bits(r, "the teacher's, too", d.dlogits, c.dlogits, sizeof(float) * MB * K);
    }
}

/* Parts of every remainder by four, of images whose elements are no multiple of it. */
static void dropout(check_run *r, rn_backend *be, const void *what)
{
    const size_t n = (size_t) * (const int *)what;
    static const rn_dtype types[] = {RN_F32, RN_BF16, RN_F16};
    for (int i = 0; i < 15; i++) {
        const rn_dtype t = types[i % 3];
        rn_op_dropout a = {.dtype = t,
                           .n = (int64_t)n,
                           .p = 0.3f,
                           .seed = 0x123456789abcdefull + (uint64_t)i,
                           .node = 0x2000003,
                           .step = 41 + (uint32_t)i,
                           .first = i < 12 ? 7 * (i / 3) : 7 * ((int64_t)1 << 40),
                           .x = check_act(r, t, n, 0),
                           .y = check_act_copy(r, t, n, NULL)};
        rn_op_dropout b = a;
        b.y = check_act_copy(r, t, n, NULL);
        b.now = now_of(r, (rn_op_now){.seed = a.seed, .step = a.step, .first_image = a.first / 7});
        b.each = 7;
        b.seed = 1, b.step = 2, b.first = 3; /* not read */
        check_ran(r, "dropout", be->ops->dropout(be, &a, NULL));
        check_ran(r, "dropout", be->ops->dropout(be, &b, NULL));
        check_bits(r, "y", b.y, a.y, n * rn_dtype_size(t));
    }
}

enum { C = 9, ROWS = 40, N = ROWS * C };

static float *ones(check_run *r, size_t n)
{
    float *v = check_f32(r, n);
    for (size_t i = 0; i < n; i++)
        v[i] = 1;
    return v;
}

static void bn_fwd(check_run *r, rn_backend *be, const void *what)
{
    (void)what;
    rn_op_bn_fwd a = {.dtype = RN_F32,
                      .train = true,
                      .rows = ROWS,
                      .c = C,
                      .eps = 1e-5f,
                      .momentum = 1.0f / 7,
                      .x = check_values(r, N, false),
                      .y = check_f32(r, N),
                      .gamma = ones(r, C),
                      .beta = check_values(r, C, false),
                      .running_mean = check_values(r, C, false),
                      .running_var = ones(r, C),
                      .mean = check_f32(r, C),
                      .inv_std = check_f32(r, C)};
    rn_op_bn_fwd b = a;
    b.running_mean = check_copy(r, a.running_mean, C), b.running_var = check_copy(r, a.running_var, C);
    b.momentum_now = check_copy(r, &a.momentum, 1);
    b.momentum = NAN; /* not read */
    check_ran(r, "bn_fwd", be->ops->bn_fwd(be, &a, NULL));
    check_ran(r, "bn_fwd", be->ops->bn_fwd(be, &b, NULL));
    check_bits(r, "running_mean", b.running_mean, a.running_mean, C * sizeof(float));
    check_bits(r, "running_var", b.running_var, a.running_var, C * sizeof(float));
    if (!be->ops->bn_stats)
        return;
    double *sum = check_bytes(r, C * sizeof *sum), *sumsq = check_bytes(r, C * sizeof *sumsq);
    for (int ch = 0; ch < C; ch++)
        sum[ch] = ch - 3.5, sumsq[ch] = 1 + sum[ch] * sum[ch];
    rn_op_bn_stats s = {.train = true,
                        .rows = ROWS,
                        .c = C,
                        .eps = 1e-5f,
                        .momentum = 1.0f / 7,
                        .sum = sum,
                        .sumsq = sumsq,
                        .gamma = a.gamma,
                        .beta = a.beta,
                        .running_mean = a.running_mean,
                        .running_var = a.running_var,
                        .mean = a.mean,
                        .var = check_f32(r, C),
                        .inv_std = a.inv_std,
                        .scale = check_f32(r, C),
                        .shift = check_f32(r, C),
                        .room = check_bytes(r, (size_t)2 * C * sizeof(double))};
    rn_op_bn_stats t = s;
    t.running_mean = b.running_mean, t.running_var = b.running_var;
    t.momentum_now = b.momentum_now;
    t.momentum = NAN;
    check_ran(r, "bn_stats", be->ops->bn_stats(be, &s, NULL));
    check_ran(r, "bn_stats", be->ops->bn_stats(be, &t, NULL));
    check_bits(r, "running_mean by sums", b.running_mean, a.running_mean, C * sizeof(float));
    check_bits(r, "running_var by sums", b.running_var, a.running_var, C * sizeof(float));
}

static void run(check_run *r)
{
    char cas[32];
    check_ops_each(r, "now", "factor", "clip", clip, NULL);
    check_ops_each(r, "now", "scale", "clip", scale_of_clip, NULL);
    check_ops_each(r, "now", "scale", "xent", scale_of_losses, NULL);
    check_ops_each(r, "now", "momentum", "bn_fwd", bn_fwd, NULL);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        snprintf(cas, sizeof cas, "n%d", lengths[i]);
        check_ops_each(r, "now", cas, "sgd", sgd, &lengths[i]);
        check_ops_each(r, "now", cas, "axpby", axpby, &lengths[i]);
        check_ops_each(r, "now", cas, "dropout", dropout, &lengths[i]);
    }
}

const check_group check_now_group = {"now", run};
