/* SPDX-License-Identifier: MIT */
/*
 * Every op's backward pass against central differences of its forward formula, written here once more, in double, and
 * knowing nothing of the backward formulas. Both the reference ops and the CPU's are held to it.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "differences.h"

/* ---- batch normalisation ------------------------------------------------------------------------------------------ */

typedef struct bn_what {
    int rows, c;
    bool relu, res;
    const double *weight; /* of each y in the loss */
} bn_what;

/* p: x, res (rows, c), gamma, beta (c) */
static double bn_loss(const void *what, const double *p)
{
    const bn_what *b = what;
    const int n = b->rows * b->c;
    double loss = 0;
    for (int c = 0; c < b->c; c++) {
        double mean = 0, var = 0;
        for (int i = c; i < n; i += b->c)
            mean += p[i] / b->rows;
        for (int i = c; i < n; i += b->c)
            var += (p[i] - mean) * (p[i] - mean) / b->rows;
        for (int i = c; i < n; i += b->c) {
            double y = p[2 * n + c] * (p[i] - mean) / sqrt(var + (double)1e-5f) + p[2 * n + b->c + c];
            y += b->res ? p[n + i] : 0;
            loss += b->weight[i] * (b->relu && y < 0 ? 0 : y);
        }
    }
    return loss;
}

static void bn_case(const bench *t, int rows, int c, bool relu, bool res)
{
    static double p[3 * MOST], weight[MOST];
    static float f[3 * MOST], dy[MOST], y[MOST], dx[MOST], dres[MOST], small[6][MOST];
    const int n = rows * c;
    const bn_what what = {rows, c, relu, res, weight};
    char who[96];
    rn_rng r;
    seed(&r, (uint32_t)(rows * 1000 + c * 4 + 2 * relu + res));
    fill(&r, p, 2 * n, -2, 3);
    fill(&r, p + 2 * n, c, 0.5, 2);
    fill(&r, p + 2 * n + c, c, -1, 1);
    fill(&r, weight, n, -1, 1);
    narrow(f, p, 2 * n + 2 * c);
    narrow(dy, weight, n);
    for (int i = 0; i < 2; i++) {
        memset(small, 0, sizeof small);
        const rn_op_bn_fwd fwd = {.dtype = RN_F32,
                                  .train = true,
                                  .relu = relu,
                                  .rows = rows,
                                  .c = c,
                                  .eps = 1e-5f,
                                  .momentum = 0.1f,
                                  .x = f,
                                  .res = res ? f + n : NULL,
                                  .y = y,
                                  .gamma = f + 2 * n,
                                  .beta = f + 2 * n + c,
                                  .running_mean = small[0],
                                  .running_var = small[1],
                                  .mean = small[2],
                                  .inv_std = small[3]};
        const rn_op_bn_bwd bwd = {.dtype = RN_F32,
                                  .relu = relu,
                                  .rows = rows,
                                  .c = c,
                                  .x = f,
                                  .y = y,
                                  .dy = dy,
                                  .gamma = f + 2 * n,
                                  .mean = small[2],
                                  .inv_std = small[3],
                                  .dx = dx,
                                  .dres = res ? dres : NULL,
                                  .dgamma = small[4],
                                  .dbeta = small[5]};
        snprintf(who, sizeof who, "%s, bn of %d rows, %d channels%s%s", names[i], rows, c, relu ? ", relu" : "",
                 res ? ", res" : "");
        assert_int_equal(t->ops[i]->bn_fwd(t->cpu, &fwd, NULL), 0);
        assert_int_equal(t->ops[i]->bn_bwd(t->cpu, &bwd, NULL), 0);
        agree(who, y, weight, n, bn_loss(&what, p));
        hold(who, "dx", bn_loss, &what, p, 0, n, dx);
        if (res)
            hold(who, "dres", bn_loss, &what, p, n, n, dres);
        hold(who, "dgamma", bn_loss, &what, p, 2 * n, c, small[4]);
        hold(who, "dbeta", bn_loss, &what, p, 2 * n + c, c, small[5]);
    }
}

static void test_bn(void **state)
{
    for (int i = 0; i < 4; i++) {
        bn_case(*state, 4, 1, i & 1, i & 2); /* of two rows, dx is next to nothing by its nature */
        bn_case(*state, 7, 3, i & 1, i & 2);
        bn_case(*state, 33, 5, i & 1, i & 2);
        bn_case(*state, 9, 130, i & 1, i & 2);
        bn_case(*state, 300, 1, i & 1, i & 2);
    }
}

/* ---- relu ----------------------------------------------------------------------------------------------------------- */

typedef struct relu_what {
    int n;
    const double *weight;
} relu_what;

static double relu_loss(const void *what, const double *p)
{
    const relu_what *w = what;
    double loss = 0;
    for (int i = 0; i < w->n; i++)
        loss += w->weight[i] * (p[i] > 0 ? p[i] : 0);
    return loss;
}

static void test_relu(void **state)
{
    const bench *t = *state;
    enum { N = 401 };
    double p[N], weight[N];
    float x[N], y[N], dy[N], dx[N];
    rn_rng r;
    seed(&r, 1);
    fill(&r, p, N, -1, 1);
    fill(&r, weight, N, -1, 1);
    narrow(x, p, N);
    narrow(dy, weight, N);
    const relu_what what = {N, weight};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(t->ops[i]->relu_fwd(t->cpu, &(rn_op_relu){RN_F32, N, x, y}, NULL), 0);
        assert_int_equal(t->ops[i]->relu_bwd(t->cpu, &(rn_op_relu_bwd){RN_F32, N, y, dy, dx}, NULL), 0);
        agree(names[i], y, weight, N, relu_loss(&what, p));
        hold(names[i], "relu dx", relu_loss, &what, p, 0, N, dx);
    }
}

/* ---- pooling -------------------------------------------------------------------------------------------------------- */

typedef struct pool_what {
    rn_op_pool p;
    bool max;
    const double *weight;
} pool_what;

static double pool_one(const pool_what *w, const double *x, int oh, int ow)
{
    const rn_op_pool *a = &w->p;
    double max = -INFINITY, sum = 0;
    int inside = 0, padded = 0;
    for (int t = 0; t < a->kh * a->kw; t++) {
        const int h = oh * a->sh - a->ph + t / a->kw, v = ow * a->sw - a->pw + t % a->kw;
        padded += h < a->ih + a->ph && v < a->iw + a->pw;
        if (h < 0 || v < 0 || h >= a->ih || v >= a->iw)
            continue;
        inside++;
        sum += x[(h * a->iw + v) * a->c];
        max = fmax(max, x[(h * a->iw + v) * a->c]);
    }
    return w->max ? max : sum / (a->count_include_pad ? padded : inside);
}

static double pool_loss(const void *what, const double *p)
{
    const pool_what *w = what;
    const rn_op_pool *a = &w->p;
    double loss = 0;
    for (int m = 0; m < a->mb; m++)
        for (int oh = 0; oh < a->oh; oh++)
            for (int ow = 0; ow < a->ow; ow++)
                for (int c = 0; c < a->c; c++)
                    loss += w->weight[((m * a->oh + oh) * a->ow + ow) * a->c + c] *
                            pool_one(w, p + m * a->ih * a->iw * a->c + c, oh, ow);
    return loss;
}

static void pool_case(const bench *t, rn_op_pool a, bool max)
{
    static double p[MOST], weight[MOST];
    static float x[MOST], y[MOST], dy[MOST], dx[MOST];
    static uint8_t argmax[MOST];
    const int ni = a.mb * a.ih * a.iw * a.c, no = a.mb * a.oh * a.ow * a.c;
    rn_rng r;
    seed(&r, 2);
    fill(&r, p, ni, -1, 1);
    fill(&r, weight, no, -1, 1);
    narrow(x, p, ni);
    narrow(dy, weight, no);
    const pool_what what = {a, max, weight};
    a.argmax = argmax;
    for (int i = 0; i < 2; i++) {
        const rn_ops *o = t->ops[i];
        a.src = x, a.dst = y;
        assert_int_equal((max ? o->maxpool_fwd : o->avgpool_fwd)(t->cpu, &a, NULL), 0);
        agree(names[i], y, weight, no, pool_loss(&what, p));
        a.src = dy, a.dst = dx;
        assert_int_equal((max ? o->maxpool_bwd : o->avgpool_bwd)(t->cpu, &a, NULL), 0);
        hold(names[i], max ? "max pool dx" : "average pool dx", pool_loss, &what, p, 0, ni, dx);
    }
}

static void test_pools(void **state)
{
    static const rn_op_pool cases[] = {
        {.mb = 2, .c = 3, .ih = 7, .iw = 8, .oh = 4, .ow = 4, .kh = 3, .kw = 3, .sh = 2, .sw = 2, .ph = 1, .pw = 1},
        {.mb = 1, .c = 5, .ih = 6, .iw = 6, .oh = 4, .ow = 4, .kh = 3, .kw = 3, .sh = 2, .sw = 2, .ph = 1, .pw = 1},
        {.mb = 1, .c = 17, .ih = 4, .iw = 5, .oh = 2, .ow = 5, .kh = 2, .kw = 1, .sh = 2, .sw = 1},
        {.mb = 1, .c = 1, .ih = 9, .iw = 9, .oh = 3, .ow = 3, .kh = 2, .kw = 2, .sh = 3, .sw = 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rn_op_pool a = cases[i];
        pool_case(*state, a, true);
        pool_case(*state, a, false);
        a.count_include_pad = true;
        pool_case(*state, a, false);
    }
}

/* Global average pooling is an average over one window as large as the image. */
static void test_gap(void **state)
{
    const bench *t = *state;
    enum { MB = 3, HW = 9, C = 7 };
    double p[MB * HW * C], weight[MB * C];
    float x[MB * HW * C], y[MB * C], dy[MB * C], dx[MB * HW * C];
    rn_rng r;
    seed(&r, 3);
    fill(&r, p, MB * HW * C, -1, 1);
    fill(&r, weight, MB * C, -1, 1);
    narrow(x, p, MB * HW * C);
    narrow(dy, weight, MB * C);
    const pool_what what = {
        {.mb = MB, .c = C, .ih = 3, .iw = 3, .oh = 1, .ow = 1, .kh = 3, .kw = 3, .sh = 1, .sw = 1}, false, weight};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(t->ops[i]->gap_fwd(t->cpu, &(rn_op_gap){RN_F32, MB, HW, C, x, y, 0}, NULL), 0);
        agree(names[i], y, weight, MB * C, pool_loss(&what, p));
        assert_int_equal(t->ops[i]->gap_bwd(t->cpu, &(rn_op_gap){RN_F32, MB, HW, C, dy, dx, 0}, NULL), 0);
        hold(names[i], "gap dx", pool_loss, &what, p, 0, MB * HW * C, dx);
    }
}

/* ---- linear --------------------------------------------------------------------------------------------------------- */

typedef struct linear_what {
    int mb, ic, oc;
    const double *weight;
} linear_what;

/* p: x (mb, ic), w (oc, ic), b (oc) */
static double linear_loss(const void *what, const double *p)
{
    const linear_what *s = what;
    const double *w = p + s->mb * s->ic, *b = w + s->oc * s->ic;
    double loss = 0;
    for (int m = 0; m < s->mb; m++)
        for (int o = 0; o < s->oc; o++) {
            double y = b[o];
            for (int i = 0; i < s->ic; i++)
                y += p[m * s->ic + i] * w[o * s->ic + i];
            loss += s->weight[m * s->oc + o] * y;
        }
    return loss;
}

static void test_linear(void **state)
{
    const bench *t = *state;
    enum { MB = 6, IC = 37, OC = 21, X = MB * IC, W = OC * IC };
    double p[X + W + OC], weight[MB * OC];
    float f[X + W + OC], y[MB * OC], dy[MB * OC], dx[X], dw[W], db[OC];
    rn_rng r;
    seed(&r, 4);
    fill(&r, p, X + W + OC, -1, 1);
    fill(&r, weight, MB * OC, -1, 1);
    narrow(f, p, X + W + OC);
    narrow(dy, weight, MB * OC);
    const linear_what what = {MB, IC, OC, weight};
    for (int i = 0; i < 2; i++) {
        rn_op_linear fwd = {.dtype = RN_F32, .mb = MB, .ic = IC, .oc = OC}, d, w;
        d = w = fwd;
        fwd.x = f, fwd.w = f + X, fwd.y = y, fwd.b = f + X + W;
        d.x = dx, d.w = f + X, d.y = dy;
        w.x = f, w.w = dw, w.y = dy, w.b = db;
        assert_int_equal(t->ops[i]->linear_fwd(t->cpu, &fwd, NULL), 0);
        agree(names[i], y, weight, MB * OC, linear_loss(&what, p));
        assert_int_equal(t->ops[i]->linear_bwd_d(t->cpu, &d, NULL), 0);
        assert_int_equal(t->ops[i]->linear_bwd_w(t->cpu, &w, NULL), 0);
        hold(names[i], "linear dx", linear_loss, &what, p, 0, X, dx);
        hold(names[i], "linear dw", linear_loss, &what, p, X, W, dw);
        hold(names[i], "linear db", linear_loss, &what, p, X + W, OC, db);
    }
}

/* ---- cross-entropy ---------------------------------------------------------------------------------------------------- */

typedef struct xent_what {
    int n, k;
    double smoothing;
    const int32_t *labels, *labels2; /* labels2: NULL, or mixed with share for the first */
    double share;
} xent_what;

/* Mean over n rows of -sum q log softmax. */
static double xent_loss(const void *what, const double *p)
{
    const xent_what *s = what;
    double loss = 0;
    for (int i = 0; i < s->n; i++) {
        const double *z = p + i * s->k;
        double sum = 0;
        for (int j = 0; j < s->k; j++)
            sum += exp(z[j]);
        for (int j = 0; j < s->k; j++) {
            const double share = s->labels2 ? s->share : 1, other = s->labels2 && j == s->labels2[i] ? 1 - share : 0;
            const double q = (1 - s->smoothing) * ((j == s->labels[i] ? share : 0) + other) + s->smoothing / s->k;
            loss -= q * (z[j] - log(sum)) / s->n;
        }
    }
    return loss;
}

static void test_xent(void **state)
{
    const bench *t = *state;
    enum { MB = 8, N = 6, K = 11 };
    static const float smoothings[] = {0, 0.1f, 1};
    double p[MB * K];
    float z[MB * K], dz[MB * K], loss[MB];
    int32_t labels[MB], labels2[MB], rank[MB];
    static const float shares[] = {0, 0.3f, 0.75f, 1};
    rn_rng r;
    seed(&r, 5);
    fill(&r, p, MB * K, -2, 2);
    narrow(z, p, MB * K);
    for (int i = 0; i < MB; i++) {
        labels[i] = (int32_t)rn_rng_below(&r, K);
        labels2[i] = i == 1 ? labels[i] : (int32_t)rn_rng_below(&r, K);
    }
    for (int i = 0; i < 3 * 2 * 5; i++) {
        const int op = i % 2, mixed = i / 6; /* 0: not; else with shares[mixed - 1] */
        const float smoothing = smoothings[i / 2 % 3], share = mixed ? shares[mixed - 1] : 0;
        const rn_op_xent a = {.dtype = RN_F32,
                              .mb = MB,
                              .n = N,
                              .k = K,
                              .logits = z,
                              .labels = labels,
                              .labels2 = mixed ? labels2 : NULL,
                              .share = share,
                              .smoothing = smoothing,
                              .grad_scale = 1.0f / N,
                              .dlogits = dz,
                              .loss = loss,
                              .rank = rank};
        const xent_what what = {N, K, smoothing, labels, a.labels2, share};
        double mean = 0;
        assert_int_equal(t->ops[op]->xent(t->cpu, &a, NULL), 0);
        for (int j = 0; j < MB; j++)
            mean += loss[j] / N; /* the padding's are 0 */
        assert_true(fabs(mean - xent_loss(&what, p)) <= 1e-6);
        hold(names[op], mixed ? "dlogits, mixed" : "dlogits", xent_loss, &what, p, 0, MB * K, dz);
    }
}

/* ---- convolution ------------------------------------------------------------------------------------------------------ */

typedef struct conv_what {
    rn_conv_desc d;
    const double *weight;
} conv_what;

/* p: src, wei */
static double conv_loss(const void *what, const double *p)
{
    const conv_what *w = what;
    const rn_conv_desc *d = &w->d;
    const double *wei = p + d->mb * d->ih * d->iw * d->ic;
    double loss = 0;
    for (int o = 0; o < d->mb * d->oh * d->ow * d->oc; o++) {
        const int oc = o % d->oc, ow = o / d->oc % d->ow, oh = o / d->oc / d->ow % d->oh, m = o / d->oc / d->ow / d->oh;
        double y = 0;
        for (int t = 0; t < d->kh * d->kw; t++) {
            const int h = oh * d->sh - d->ph + t / d->kw, v = ow * d->sw - d->pw + t % d->kw;
            if (h < 0 || v < 0 || h >= d->ih || v >= d->iw)
                continue;
            for (int i = 0; i < d->ic; i++)
                y += p[((m * d->ih + h) * d->iw + v) * d->ic + i] * wei[(oc * d->kh * d->kw + t) * d->ic + i];
        }
        loss += w->weight[o] * y;
    }
    return loss;
}

static void conv_run(rn_backend *be, const rn_conv_algo *algo, const rn_conv_desc *d, rn_conv_dir dir, rn_conv_args *a)
{
    rn_conv_plan *plan;
    void *work;
    assert_int_equal(rn_conv_plan_open(be, algo, d, dir, &plan), 0);
    assert_int_equal(be->alloc(be, plan->workspace_bytes, &work), 0);
    if (dir != RN_BWD_W)
        assert_int_equal(rn_conv_prepare(plan, a->wei, NULL), 0);
    assert_int_equal(rn_conv_run(plan, a, 0, work, NULL), 0);
    be->free(be, work);
    rn_conv_plan_close(plan);
}

/* Every algorithm of the CPU backend, the reference among them, that does this case. */
static void conv_case(const bench *t, const char *text)
{
    static double p[2 * MOST], weight[MOST];
    static float f[2 * MOST], dst[MOST], grad[MOST];
    conv_what what = {.weight = weight};
    assert_int_equal(rn_conv_desc_parse(text, &what.d), 0);
    const rn_conv_desc *d = &what.d;
    const int ns = d->mb * d->ih * d->iw * d->ic, nw = d->oc * d->kh * d->kw * d->ic,
              nd = d->mb * d->oh * d->ow * d->oc;
    assert_true(ns <= MOST && nw <= MOST && nd <= MOST);
    rn_rng r;
    seed(&r, 6);
    fill(&r, p, ns + nw, -1, 1);
    fill(&r, weight, nd, -1, 1);
    narrow(f, p, ns + nw);
    narrow(dst, weight, nd);
    int did = 0;
    for (const rn_conv_algo *const *a = t->cpu->conv_algos; *a; a++)
        for (int dir = RN_BWD_D; dir <= RN_BWD_W; dir++) {
            const char *why;
            char who[160];
            if (!(*a)->supports(t->cpu, d, (rn_conv_dir)dir, &why))
                continue;
            rn_conv_args args = {.src = dir == RN_BWD_D ? grad : f, .wei = dir == RN_BWD_W ? grad : f + ns, .dst = dst};
            conv_run(t->cpu, *a, d, (rn_conv_dir)dir, &args);
            snprintf(who, sizeof who, "%s %s %s", (*a)->name, rn_conv_dir_name((rn_conv_dir)dir), text);
            hold(who, "gradient", conv_loss, &what, p, dir == RN_BWD_D ? 0 : ns, dir == RN_BWD_D ? ns : nw, grad);
            did++;
        }
    assert_true(did >= 2);
}

static void test_conv(void **state)
{
    conv_case(*state, "mb2ic3ih7oc4kh3ph1");
    conv_case(*state, "mb1ic5ih8iw6oc3kh3sh2ph1");
    conv_case(*state, "mb2ic4ih6oc5kh1sh2");
    conv_case(*state, "mb1ic3ih11oc4kh7sh2ph3");
}

/* ---- main ------------------------------------------------------------------------------------------------------------- */

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bn),   cmocka_unit_test(test_relu),   cmocka_unit_test(test_pools),
        cmocka_unit_test(test_gap),  cmocka_unit_test(test_linear), cmocka_unit_test(test_xent),
        cmocka_unit_test(test_conv),
    };
    return cmocka_run_group_tests_name("grad_ops", tests, setup, teardown);
}
