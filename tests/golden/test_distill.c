/* SPDX-License-Identifier: MIT */
/* Cross-entropy and distillation together, loss and gradient, against PyTorch in float64. The file: make_distill.py. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "kernels/ref/ref_ops.h"
#include "kernels/rn_kernels.h"
#include "op/rn_op.h"

enum { ROWS = 8, CLASSES = 128 };

typedef struct golden {
    int n, k;
    double temperature, hard, soft, smoothing, loss[ROWS], grad[ROWS * CLASSES];
    float z[ROWS * CLASSES], teacher[ROWS * CLASSES];
    int32_t labels[ROWS];
} golden;

static double number(char **at)
{
    char *end;
    double v = strtod(*at, &end);
    assert_ptr_not_equal(end, *at);
    *at = end;
    return v;
}

static void read_case(char **at, golden *g)
{
    g->n = (int)number(at);
    g->k = (int)number(at);
    assert_true(g->n >= 1 && g->n <= ROWS && g->k >= 2 && g->k <= CLASSES);
    g->temperature = number(at);
    g->hard = number(at);
    g->soft = number(at);
    g->smoothing = number(at);
    for (int i = 0; i < g->n; i++) {
        g->labels[i] = (int32_t)number(at);
        g->loss[i] = number(at);
        for (int j = 0; j < g->k; j++)
            g->z[i * g->k + j] = (float)number(at);
        for (int j = 0; j < g->k; j++)
            g->teacher[i * g->k + j] = (float)number(at);
        for (int j = 0; j < g->k; j++)
            g->grad[i * g->k + j] = number(at);
    }
}

static void hold(rn_backend *be, const rn_ops *ops, const golden *g)
{
    float loss[ROWS], grad[ROWS * CLASSES];
    int32_t rank[ROWS];
    const rn_op_xent a = {.dtype = RN_F32,
                          .mb = g->n,
                          .n = g->n,
                          .k = g->k,
                          .logits = g->z,
                          .labels = g->labels,
                          .smoothing = (float)g->smoothing,
                          .grad_scale = 1 / (float)g->n,
                          .dlogits = grad,
                          .loss = loss,
                          .rank = rank};
    const rn_op_distill d = {.mb = g->n,
                             .n = g->n,
                             .k = g->k,
                             .logits = g->z,
                             .teacher = g->teacher,
                             .temperature = (float)g->temperature,
                             .hard = (float)g->hard,
                             .soft = (float)g->soft,
                             .grad_scale = 1 / (float)g->n,
                             .dlogits = grad,
                             .loss = loss};
    assert_int_equal(ops->xent(be, &a, NULL), 0);
    assert_int_equal(ops->distill(be, &d, NULL), 0);
    for (int i = 0; i < g->n; i++)
        assert_true(fabs(loss[i] - g->loss[i]) <= 1e-6 * (1 + fabs(g->loss[i])));
    for (int i = 0; i < g->n * g->k; i++)
        assert_true(fabs(grad[i] - g->grad[i]) <= 2e-7 * (1 + g->temperature));
}

static void distillation_is_pytorchs(void **state)
{
    (void)state;
    char path[4096], *text, *at, *last;
    size_t n;
    int cases = 0;
    static golden g;
    const char *tests = getenv("RNKIT_TESTS");
    assert_non_null(tests);
    snprintf(path, sizeof path, "%s/golden/distill.txt", tests);
    if (rn_read_text(path, 0, &text, &n) < 0)
        fail_msg("%s", rn_error_text());
    at = strchr(text, '\n');
    last = text + n - 1;
    for (; at && at < last; at += strspn(at, "\n"), cases++) {
        read_case(&at, &g);
        hold(NULL, &rn_ref_ops, &g);
        for (int i = 0; rn_backends[i].device; i++) {
            rn_backend *be = NULL;
            const rn_backend_opts o = {.threads = 2};
            assert_int_equal(rn_backend_open(rn_backends, rn_backends[i].device, &o, &be), 0);
            hold(be, be->ops, &g);
            rn_backend_close(be);
        }
    }
    assert_int_equal(cases, 4);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(distillation_is_pytorchs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
