/* SPDX-License-Identifier: MIT */
/*
 * The losses and their gradients against PyTorch in float64, by every backend: cross-entropy of mixed labels (xent.txt,
 * made by make_xent.py), and with a teacher's softened scores (distill.txt, make_distill.py).
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "golden_text.h"
#include "kernels/ref/ref_ops.h"
#include "kernels/rn_kernels.h"
#include "op/rn_op.h"

enum { ROWS = 8, CLASSES = 128 };

typedef struct golden {
    int n, k;
    bool mixed, taught; /* labels2 and share; teacher and what follows */
    double smoothing, share, temperature, hard, soft, loss[ROWS], grad[ROWS * CLASSES];
    float z[ROWS * CLASSES], teacher[ROWS * CLASSES];
    int32_t labels[ROWS], labels2[ROWS];
} golden;

static void read_row(const char **at, const golden *g, float *row)
{
    for (int j = 0; j < g->k; j++)
        row[j] = (float)golden_number(at);
}

static void read_case(const char **at, golden *g)
{
    g->n = (int)golden_number(at);
    g->k = (int)golden_number(at);
    assert_true(g->n >= 1 && g->n <= ROWS && g->k >= 2 && g->k <= CLASSES);
    if (g->mixed)
        g->share = golden_number(at);
    if (g->taught) {
        g->temperature = golden_number(at);
        g->hard = golden_number(at);
        g->soft = golden_number(at);
    }
    g->smoothing = golden_number(at);
    for (int i = 0; i < g->n; i++) {
        g->labels[i] = (int32_t)golden_number(at);
        if (g->mixed)
            g->labels2[i] = (int32_t)golden_number(at);
        g->loss[i] = golden_number(at);
        read_row(at, g, g->z + i * g->k);
        if (g->taught)
            read_row(at, g, g->teacher + i * g->k);
        for (int j = 0; j < g->k; j++)
            g->grad[i * g->k + j] = golden_number(at);
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
                          .labels2 = g->mixed ? g->labels2 : NULL,
                          .share = (float)g->share,
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
    if (g->taught)
        assert_int_equal(ops->distill(be, &d, NULL), 0);
    for (int i = 0; i < g->n; i++)
        assert_true(fabs(loss[i] - g->loss[i]) <= 1e-6 * (1 + fabs(g->loss[i])));
    for (int i = 0; i < g->n * g->k; i++)
        assert_true(fabs(grad[i] - g->grad[i]) <= 2e-7 * (g->taught ? 1 + g->temperature : 1));
}

/* Every case of a file, by the reference and by the CPU's ops. */
static void hold_file(const char *name, golden *g, int want)
{
    const char *at;
    char *text = golden_open(name, &at);
    const char *last = text + strlen(text) - 1;
    int cases = 0;
    for (; at < last; at += strspn(at, "\n"), cases++) {
        read_case(&at, g);
        hold(NULL, &rn_ref_ops, g);
        rn_backend *be = NULL;
        assert_int_equal(rn_backend_open(rn_backends, "cpu", &(rn_backend_opts){.threads = 2}, &be), 0);
        hold(be, be->ops, g);
        rn_backend_close(be);
    }
    assert_int_equal(cases, want);
    free(text);
}

static void mixed_loss_is_pytorchs(void **state)
{
    (void)state;
    static golden g = {.mixed = true};
    hold_file("xent.txt", &g, 5);
}

static void distillation_is_pytorchs(void **state)
{
    (void)state;
    static golden g = {.taught = true};
    hold_file("distill.txt", &g, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(mixed_loss_is_pytorchs),
                                       cmocka_unit_test(distillation_is_pytorchs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
