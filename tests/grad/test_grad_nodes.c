/* SPDX-License-Identifier: MIT */
/*
 * The ops that ResNets lack, as test_grad_ops.c does it: every backward pass against central differences of a forward formula
 * written here once more. And what may add to a gradient adds.
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

/* ---- bias ---- */

typedef struct rows_what {
    int rows, c;
    bool relu;
    const double *weight; /* of each y in the loss */
} rows_what;

/* p: x (rows, c), b (c) */
static double bias_loss(const void *what, const double *p)
{
    const rows_what *w = what;
    const int n = w->rows * w->c;
    double loss = 0;
    for (int i = 0; i < n; i++) {
        const double y = p[i] + p[n + i % w->c];
        loss += w->weight[i] * (w->relu && y < 0 ? 0 : y);
    }
    return loss;
}

static void bias_case(const bench *t, int rows, int c, bool relu)
{
    static double p[MOST], weight[MOST];
    static float f[MOST], y[MOST], dy[MOST], dx[MOST], db[MOST];
    const int n = rows * c;
    const rows_what what = {rows, c, relu, weight};
    rn_rng r;
    seed(&r, 100 + (uint32_t)c);
    fill(&r, p, n + c, -1, 1);
    fill(&r, weight, n, -1, 1);
    narrow(f, p, n + c);
    narrow(dy, weight, n);
    for (int i = 0; i < 2; i++) {
        const rn_op_bias a = {RN_F32, relu, rows, c, f, f + n, y};
        const rn_op_bias_bwd g = {RN_F32, relu, rows, c, y, dy, dx, db};
        assert_int_equal(t->ops[i]->bias_fwd(t->cpu, &a, NULL), 0);
        agree(names[i], y, weight, n, bias_loss(&what, p));
        assert_int_equal(t->ops[i]->bias_bwd(t->cpu, &g, NULL), 0);
        hold(names[i], "bias dx", bias_loss, &what, p, 0, n, dx);
        hold(names[i], "bias db", bias_loss, &what, p, n, c, db);
    }
}

static void test_bias(void **state)
{
    for (int relu = 0; relu < 2; relu++) {
        bias_case(*state, 7, 3, relu);
        bias_case(*state, 33, 17, relu);
        bias_case(*state, 2, 300, relu);
    }
}

/* ---- two values ---- */

typedef struct join_what {
    int n;
    enum rn_eltwise_kind kind;
    bool relu;
    float ca, cb;
    const double *weight;
} join_what;

/* p: a, b (n) */
static double join_loss(const void *what, const double *p)
{
    const join_what *w = what;
    double loss = 0;
    for (int i = 0; i < w->n; i++) {
        const double a = p[i], b = p[w->n + i];
        const double y = w->kind == RN_ELTWISE_SUM       ? (double)w->ca * a + (double)w->cb * b
                         : w->kind == RN_ELTWISE_PRODUCT ? a * b
                                                         : fmax(a, b);
        loss += w->weight[i] * (w->relu && y < 0 ? 0 : y);
    }
    return loss;
}

static void test_eltwise(void **state)
{
    const bench *t = *state;
    enum { N = 401 };
    double p[2 * N], weight[N];
    float f[2 * N], y[N], dy[N], da[N], db[N];
    rn_rng r;
    seed(&r, 200);
    fill(&r, p, 2 * N, -1, 1);
    fill(&r, weight, N, -1, 1);
    narrow(f, p, 2 * N);
    narrow(dy, weight, N);
    for (int i = 0; i < 12; i++) {
        const rn_ops *o = t->ops[i / 6];
        const join_what what = {N, (enum rn_eltwise_kind)(i % 3), i / 3 % 2, 0.5f, -3, weight};
        const rn_op_eltwise a = {RN_F32, what.kind, what.relu, N, what.ca, what.cb, f, f + N, y};
        const rn_op_eltwise_bwd g = {RN_F32, what.kind, what.relu, N, what.ca, what.cb, f, f + N, y, dy, da, db, 0, 0};
        assert_int_equal(o->eltwise_fwd(t->cpu, &a, NULL), 0);
        agree(names[i / 6], y, weight, N, join_loss(&what, p));
        assert_int_equal(o->eltwise_bwd(t->cpu, &g, NULL), 0);
        hold(names[i / 6], "da", join_loss, &what, p, 0, N, da);
        hold(names[i / 6], "db", join_loss, &what, p, N, N, db);
    }
}

/* ---- sigmoid ---- */

static double sigmoid_loss(const void *what, const double *p)
{
    const rows_what *w = what;
    double loss = 0;
    for (int i = 0; i < w->rows; i++)
        loss += w->weight[i] / (1 + exp(-p[i]));
    return loss;
}

static void test_sigmoid(void **state)
{
    const bench *t = *state;
    enum { N = 301 };
    double p[N], weight[N];
    float x[N], y[N], dy[N], dx[N];
    rn_rng r;
    seed(&r, 300);
    fill(&r, p, N, -6, 6);
    fill(&r, weight, N, -1, 1);
    narrow(x, p, N);
    narrow(dy, weight, N);
    const rows_what what = {N, 1, false, weight};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(t->ops[i]->sigmoid_fwd(t->cpu, &(rn_op_sigmoid){RN_F32, N, x, y}, NULL), 0);
        agree(names[i], y, weight, N, sigmoid_loss(&what, p));
        assert_int_equal(t->ops[i]->sigmoid_bwd(t->cpu, &(rn_op_sigmoid_bwd){RN_F32, N, y, dy, dx}, NULL), 0);
        hold(names[i], "sigmoid dx", sigmoid_loss, &what, p, 0, N, dx);
    }
}

/* ---- a factor a channel ---- */

typedef struct scale_what {
    int mb, hw, c;
    bool relu, res;
    const double *weight;
} scale_what;

/* p: x (mb, hw, c), res (mb, hw, c), s (mb, c) */
static double scale_loss(const void *what, const double *p)
{
    const scale_what *w = what;
    const int n = w->mb * w->hw * w->c;
    double loss = 0;
    for (int i = 0; i < n; i++) {
        const int m = i / (w->hw * w->c), c = i % w->c;
        const double y = p[i] * p[2 * n + m * w->c + c] + (w->res ? p[n + i] : 0);
        loss += w->weight[i] * (w->relu && y < 0 ? 0 : y);
    }
    return loss;
}

static void test_scale(void **state)
{
    const bench *t = *state;
    enum { MB = 3, HW = 10, C = 17, N = MB * HW * C, K = MB * C };
    static double p[2 * N + K], weight[N];
    static float f[2 * N + K], y[N], dy[N], dx[N], dres[N], ds[K];
    rn_rng r;
    seed(&r, 400);
    fill(&r, p, 2 * N + K, -1, 1);
    fill(&r, weight, N, -1, 1);
    narrow(f, p, 2 * N + K);
    narrow(dy, weight, N);
    for (int i = 0; i < 8; i++) {
        const rn_ops *o = t->ops[i / 4];
        const scale_what what = {MB, HW, C, i & 1, i & 2, weight};
        const rn_op_scale a = {RN_F32, what.relu, MB, HW, C, f, f + 2 * N, what.res ? f + N : NULL, y};
        const rn_op_scale_bwd g = {.dtype = RN_F32,
                                   .relu = what.relu,
                                   .mb = MB,
                                   .hw = HW,
                                   .c = C,
                                   .x = f,
                                   .s = f + 2 * N,
                                   .y = y,
                                   .dy = dy,
                                   .dx = dx,
                                   .ds = ds,
                                   .dres = what.res ? dres : NULL};
        assert_int_equal(o->scale_fwd(t->cpu, &a, NULL), 0);
        agree(names[i / 4], y, weight, N, scale_loss(&what, p));
        assert_int_equal(o->scale_bwd(t->cpu, &g, NULL), 0);
        hold(names[i / 4], "scale dx", scale_loss, &what, p, 0, N, dx);
        hold(names[i / 4], "scale ds", scale_loss, &what, p, 2 * N, K, ds);
        if (what.res)
            hold(names[i / 4], "scale dres", scale_loss, &what, p, N, N, dres);
    }
}

/* ---- response normalisation ---- */

typedef struct lrn_what {
    int rows, c, size;
    double alpha, beta, k;
    const double *weight;
} lrn_what;

static double lrn_loss(const void *what, const double *p)
{
    const lrn_what *w = what;
    double loss = 0;
    for (int i = 0; i < w->rows * w->c; i++) {
        double sum = 0;
        for (int d = 0; d < w->size; d++) { /* torch pads size / 2 zeros before, the rest behind */
            const int c = i % w->c + d - w->size / 2;
            sum += c >= 0 && c < w->c ? p[i - i % w->c + c] * p[i - i % w->c + c] : 0;
        }
        loss += w->weight[i] * p[i] / pow(w->k + w->alpha * sum / w->size, w->beta);
    }
    return loss;
}

static void lrn_case(const bench *t, int rows, int c, int size, float alpha, float beta, float k)
{
    static double p[MOST], weight[MOST];
    static float x[MOST], y[MOST], dy[MOST], dx[MOST];
    const int n = rows * c;
    const lrn_what what = {rows, c, size, (double)alpha, (double)beta, (double)k, weight};
    rn_rng r;
    seed(&r, 500 + (uint32_t)c);
    fill(&r, p, n, -2, 2);
    fill(&r, weight, n, -1, 1);
    narrow(x, p, n);
    narrow(dy, weight, n);
    for (int i = 0; i < 2; i++) {
        const rn_op_lrn a = {RN_F32, rows, c, size, alpha, beta, k, x, y};
        const rn_op_lrn_bwd g = {RN_F32, rows, c, size, alpha, beta, k, x, dy, dx, 0};
        assert_int_equal(t->ops[i]->lrn_fwd(t->cpu, &a, NULL), 0);
        agree(names[i], y, weight, n, lrn_loss(&what, p));
        assert_int_equal(t->ops[i]->lrn_bwd(t->cpu, &g, NULL), 0);
        hold(names[i], "lrn dx", lrn_loss, &what, p, 0, n, dx);
    }
}

static void test_lrn(void **state)
{
    lrn_case(*state, 9, 16, 5, 0.5f, 0.75f, 1);
    lrn_case(*state, 3, 33, 4, 1, 0.75f, 2);
    lrn_case(*state, 2, 7, 7, 2, 0.6f, 1.5f);
    lrn_case(*state, 3, 96, 5, 1e-4f, 0.75f, 1);
}

/* ---- linear ones: the backward pass is the forward's transpose, <dy, f(x)> = <f'(dy), x> ---- */

static double dot(const float *a, const float *b, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

static void test_transposes(void **state)
{
    const bench *t = *state;
    enum { ROWS = 13, WIDE = 20, AT = 6, C = 9, N = ROWS * WIDE, K = ROWS * C };
    float x[N], y[N], dy[N], dx[N], before[N];
    double p[2 * N];
    rn_rng r;
    seed(&r, 600);
    fill(&r, p, 2 * N, -1, 1);
    narrow(x, p, N);
    narrow(dy, p + N, N);
    for (int i = 0; i < 2; i++) {
        const rn_op_part slice = {RN_F32, ROWS, C, x, WIDE, AT, y, C, 0, 0, false};
        const rn_op_part back = {RN_F32, ROWS, C, dy, C, 0, dx, WIDE, AT, 0, true};
        assert_int_equal(t->ops[i]->part(t->cpu, &slice, NULL), 0);
        assert_int_equal(t->ops[i]->part(t->cpu, &back, NULL), 0);
        assert_true(fabs(dot(dy, y, K) - dot(dx, x, N)) < 1e-5);
        memcpy(before, dx, sizeof dx);
        rn_op_part more = back;
        more.beta = 1;
        more.clear = false;
        assert_int_equal(t->ops[i]->part(t->cpu, &more, NULL), 0);
        for (int k = 0; k < N; k++)
            assert_true(dx[k] == 2 * before[k]);

        const rn_op_dropout f = {
            .dtype = RN_F32, .n = N, .p = 0.4f, .seed = 5, .node = 2, .step = 17, .first = 1, .x = x, .y = y};
        rn_op_dropout g = f;
        g.x = dy;
        g.y = dx;
        assert_int_equal(t->ops[i]->dropout(t->cpu, &f, NULL), 0);
        assert_int_equal(t->ops[i]->dropout(t->cpu, &g, NULL), 0);
        assert_true(fabs(dot(dy, y, N) - dot(dx, x, N)) < 1e-4);
        int dropped = 0;
        for (int k = 0; k < N; k++)
            dropped += y[k] == 0;
        assert_true(dropped > N / 5 && dropped < N * 3 / 5);
    }
}

/* ---- added to ---- */

/* The ops of ResNets whose gradient may be one of several: with beta 1 the old value is added to. */
static void test_added(void **state)
{
    const bench *t = *state;
    enum { MB = 2, C = 19, HW = 25, N = MB * HW * C, OC = 7 };
    static float dy[N], w[OC * C], once[N], twice[N];
    static uint8_t argmax[N];
    double p[N];
    rn_rng r;
    seed(&r, 700);
    fill(&r, p, N, -1, 1);
    narrow(dy, p, N);
    narrow(w, p, OC * C);
    for (int i = 0; i < 2 * 4; i++) {
        const rn_ops *o = t->ops[i / 4];
        int n = N;
        for (int k = 0; k < N; k++)
            twice[k] = (float)(k % 5);
        for (int beta = 0; beta < 2; beta++) {
            float *to = beta ? twice : once;
            rn_op_pool pool = {
                .mb = MB, .c = C, .ih = 5, .iw = 5, .oh = 3, .ow = 3, .kh = 3, .kw = 3, .sh = 2, .sw = 2};
            pool.ph = pool.pw = 1;
            pool.argmax = argmax;
            pool.src = dy;
            pool.dst = to;
            pool.beta = beta;
            memset(argmax, 4, sizeof argmax); /* the middle one won */
            const rn_op_gap gap = {RN_F32, MB, HW, C, dy, to, beta};
            const rn_op_linear linear = {RN_F32, MB, C, OC, to, w, dy, NULL, beta, RN_F32};
            int rc = i % 4 == 0   ? o->maxpool_bwd(t->cpu, &pool, NULL)
                     : i % 4 == 1 ? o->avgpool_bwd(t->cpu, &pool, NULL)
                     : i % 4 == 2 ? o->gap_bwd(t->cpu, &gap, NULL)
                                  : o->linear_bwd_d(t->cpu, &linear, NULL);
            assert_int_equal(rc, 0);
        }
        n = i % 4 == 3 ? MB * C : N;
        for (int k = 0; k < n; k++)
            if (!(fabsf(twice[k] - (float)(k % 5) - once[k]) <= 1e-6f))
                fail_msg("%s, op %d, element %d: %g and %g", names[i / 4], i % 4, k, (double)once[k], (double)twice[k]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bias),  cmocka_unit_test(test_eltwise), cmocka_unit_test(test_sigmoid),
        cmocka_unit_test(test_scale), cmocka_unit_test(test_lrn),     cmocka_unit_test(test_transposes),
        cmocka_unit_test(test_added),
    };
    return cmocka_run_group_tests_name("grad_nodes", tests, setup, teardown);
}
