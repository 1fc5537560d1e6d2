/* SPDX-License-Identifier: MIT */
/* Distillation against the reference: temperatures, weights, padding, ruled-out classes, NaN, refusals. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/rn_error.h"
#include "kernels/ref/ref_ops.h"
#include "tests/kernels/check_ops.h"

#define TOL 2e-6

typedef struct distill_case {
    int mb, n, k;
} distill_case;

static const distill_case cases[] = {{1, 1, 1}, {4, 4, 2}, {7, 5, 10}, {3, 0, 5}, {64, 64, 10}, {33, 31, 1000}};

static const struct {
    float temperature, hard, soft;
} settings[] = {{1, 0.5f, 0.5f}, {4, 0.25f, 0.75f}, {20, 1, 1}, {0.5f, 0, 1}, {3, 1, 0}};

static void hold(check_run *r, rn_backend *be, const distill_case *s, const float *z, const float *t, int set,
                 const char *what)
{
    const size_t mb = (size_t)s->mb, n = mb * (size_t)s->k;
    float *d0 = check_f32(r, n), *l0 = check_f32(r, mb);
    check_fill_real(r, d0, n, 1);
    check_fill_real(r, l0, mb, 3);
    rn_op_distill a = {.mb = s->mb,
                       .n = s->n,
                       .k = s->k,
                       .logits = z,
                       .teacher = t,
                       .temperature = settings[set].temperature,
                       .hard = settings[set].hard,
                       .soft = settings[set].soft,
                       .grad_scale = 0.125f,
                       .dlogits = check_copy(r, d0, n),
                       .loss = check_copy(r, l0, mb)};
    rn_op_distill want = a, eval = a;
    want.dlogits = check_copy(r, d0, n);
    want.loss = check_copy(r, l0, mb);
    eval.dlogits = NULL;
    eval.loss = check_copy(r, l0, mb);
    check_ran(r, "distill", be->ops->distill(be, &a, NULL));
    check_ran(r, "ref", rn_ref_ops.distill(NULL, &want, NULL));
    check_ran(r, "distill", be->ops->distill(be, &eval, NULL));
    char label[80];
    snprintf(label, sizeof label, "loss, %s, T %g", what, (double)a.temperature);
    check_near(r, label, a.loss, want.loss, NULL, mb, TOL);
    snprintf(label, sizeof label, "dlogits, %s, T %g", what, (double)a.temperature);
    double *mag = check_bytes(r, n * sizeof *mag);
    for (size_t i = 0; i < n; i++)
        mag[i] = 1 + (double)(a.temperature * a.grad_scale);
    check_near(r, label, a.dlogits, want.dlogits, mag, n, TOL);
    check_bits(r, "loss without a gradient", eval.loss, a.loss, mb * sizeof(float));
    rn_op_distill now = a;
    rn_op_now *in = check_bytes(r, sizeof *in);
    *in = (rn_op_now){.grad_scale = a.grad_scale};
    now.now = in;
    now.grad_scale = NAN; /* not read */
    now.dlogits = check_copy(r, d0, n);
    now.loss = check_copy(r, l0, mb);
    check_ran(r, "distill", be->ops->distill(be, &now, NULL));
    check_bits(r, "dlogits by what memory says now", now.dlogits, a.dlogits, n * sizeof(float));
    check_bits(r, "rows of padding", a.loss + s->n, l0 + s->n, (mb - (size_t)s->n) * sizeof(float));
    const size_t used = (size_t)s->n * (size_t)s->k;
    check_bits(r, "gradients of padding", (float *)a.dlogits + used, d0 + used, (n - used) * sizeof(float));
}

static void distill(check_run *r, rn_backend *be, const void *what)
{
    const distill_case *s = what;
    const size_t n = (size_t)s->mb * (size_t)s->k;
    float *z = check_f32(r, n), *t = check_f32(r, n);
    for (int set = 0; set < (int)(sizeof settings / sizeof *settings); set++) {
        check_fill_real(r, z, n, 4);
        check_fill_real(r, t, n, 8);
        hold(r, be, s, z, t, set, "reals");
        check_fill_real(r, z, n, 1e3f);
        for (size_t i = 0; i < n; i++)
            t[i] = z[i] + 3e4f; /* the same distribution far away: no divergence, no gradient of it */
        hold(r, be, s, z, t, set, "large");
    }
    for (size_t i = 0; i < n; i++) { /* what the teacher rules out the student may, too */
        bool out = i % (size_t)s->k && i % 3 == 0;
        t[i] = out ? -INFINITY : 1;
        z[i] = 2;
    }
    hold(r, be, s, z, t, 1, "minus infinity");
}

static void distill_nan(check_run *r, rn_backend *be, const void *what)
{
    const distill_case *s = what;
    const size_t k = (size_t)s->k, n = (size_t)s->mb * k;
    for (int which = 0; which < 2; which++) {
        float *z = check_f32(r, n), *t = check_f32(r, n), *d = check_f32(r, n), *loss = check_f32(r, (size_t)s->mb);
        check_fill_real(r, z, n, 1);
        check_fill_real(r, t, n, 1);
        check_fill_real(r, d, n, 1);
        check_fill_real(r, loss, (size_t)s->mb, 1);
        for (int i = 1; i < s->n; i += 2)
            (which ? t : z)[(size_t)i * k + (size_t)i % k] = NAN;
        const rn_op_distill a = {.mb = s->mb,
                                 .n = s->n,
                                 .k = s->k,
                                 .logits = z,
                                 .teacher = t,
                                 .temperature = 2,
                                 .hard = 1,
                                 .soft = 1,
                                 .grad_scale = 1,
                                 .dlogits = d,
                                 .loss = loss};
        check_ran(r, "distill", be->ops->distill(be, &a, NULL));
        for (int i = 0; i < s->mb; i++) {
            bool nan = i < s->n && i % 2;
            if (nan != !!isnan(loss[i]))
                check_fail(r, "row %d: loss %g", i, (double)loss[i]);
            for (size_t j = 0; j < k; j++)
                if (nan != !!isnan(d[(size_t)i * k + j]))
                    check_fail(r, "row %d: dlogits[%zu] is %g", i, j, (double)d[(size_t)i * k + j]);
        }
    }
}

static void refusals(check_run *r, rn_backend *be, const void *what)
{
    (void)what;
    float *z = check_values(r, 4, true), *t = check_values(r, 4, true), *d = check_values(r, 4, true);
    float *loss = check_values(r, 2, true);
    const rn_op_distill good = {.mb = 2,
                                .n = 2,
                                .k = 2,
                                .logits = z,
                                .teacher = t,
                                .temperature = 1,
                                .hard = 1,
                                .soft = 1,
                                .grad_scale = 1,
                                .dlogits = d,
                                .loss = loss};
    check_ran(r, "a good one", be->ops->distill(be, &good, NULL));
    rn_op_distill bad[6];
    for (int i = 0; i < 6; i++)
        bad[i] = good;
    bad[0].n = 3;
    bad[1].temperature = 0;
    bad[2].temperature = NAN;
    bad[3].soft = -1;
    bad[4].hard = INFINITY;
    bad[5].dlogits = z;
    for (int i = 0; i < 6; i++)
        if (be->ops->distill(be, &bad[i], NULL) != RN_E_RANGE || !strstr(rn_error_text(), "distill"))
            check_fail(r, "bad arguments %d were not refused", i);
}

static void run(check_run *r)
{
    char cas[32];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(cas, sizeof cas, "mb%dn%dk%d", cases[i].mb, cases[i].n, cases[i].k);
        check_ops_each(r, "distill", cas, "distill", distill, &cases[i]);
        check_ops_each(r, "distill", cas, "distill_nan", distill_nan, &cases[i]);
    }
    check_ops_each(r, "distill", "arguments", "refusals", refusals, NULL);
}

const check_group check_distill_group = {"distill", run};
