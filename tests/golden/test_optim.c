/* SPDX-License-Identifier: MIT */
/* SGD under changing rates, clipping and running averages against PyTorch in float64 and a rendering of Caffe's order. The
 * file: make_optim.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "golden_text.h"
#include "kernels/ref/ref_ops.h"
#include "kernels/rn_kernels.h"
#include "nn/optim/rn_optim.h"

enum { MOST = 8, BACKENDS = 2 };

typedef struct place {
    rn_backend *be;
    const rn_ops *ops;
} place;

/* The reference, and the CPU's. */
static place places[BACKENDS] = {{NULL, &rn_ref_ops}};

static void read_floats(const char **at, int n, float *out)
{
    for (int i = 0; i < n; i++)
        out[i] = (float)golden_number(at);
}

static void near(const char **at, int n, const char *what, const float *got)
{
    for (int i = 0; i < n; i++) {
        const double want = golden_number(at);
        if (!(fabs((double)got[i] - want) <= 2e-6 * (1 + fabs(want))))
            fail_msg("%s is %.9g, not %.9g", what, (double)got[i], want);
    }
}

static void hold_sgd(const char **from)
{
    const char *start = *from;
    for (int b = 0; b < BACKENDS; b++) {
        const char *at = start;
        float w[MOST], g[MOST], v[MOST] = {0};
        rn_op_sgd a = {.w = w, .v = v, .g = g, .grad_scale = 1};
        a.caffe = golden_number(&at) > 0;
        a.nesterov = golden_number(&at) > 0;
        a.n = (int64_t)golden_number(&at);
        const int n = (int)a.n, steps = (int)golden_number(&at);
        assert_true(n >= 1 && n <= MOST && steps >= 3);
        a.mu = (float)golden_number(&at);
        a.wd = (float)golden_number(&at);
        read_floats(&at, n, w);
        for (int step = 0; step < steps; step++) {
            a.lr = (float)golden_number(&at);
            read_floats(&at, n, g);
            assert_int_equal(places[b].ops->sgd(places[b].be, &a, NULL), 0);
            near(&at, n, "a weight", w);
            near(&at, n, "a momentum", v);
        }
        *from = at;
    }
}

static void hold_clip(const char **at)
{
    const bool caffe = golden_number(at) > 0;
    const double limit = golden_number(at), norm = golden_number(at), want = golden_number(at);
    const double got = rn_optim_clip(norm, limit, caffe);
    if (!(fabs(got - want) <= 1e-12))
        fail_msg("clipping %g to %g multiplies by %.17g, not %.17g", norm, limit, got, want);
}

static void hold_average(const char **from)
{
    const char *start = *from;
    for (int b = 0; b < BACKENDS; b++) {
        const char *at = start;
        float x[MOST], average[MOST];
        const double decay = golden_number(&at);
        const bool warmup = golden_number(&at) > 0;
        const int n = (int)golden_number(&at), steps = (int)golden_number(&at);
        assert_true(n >= 1 && n <= MOST && steps >= 3);
        read_floats(&at, n, average);
        for (int t = 0; t < steps; t++) {
            const double d = rn_optim_decay(decay, warmup, t);
            read_floats(&at, n, x);
            const rn_op_axpby a = {.n = n, .a = (float)(1 - d), .b = (float)d, .x = x, .y = average};
            assert_int_equal(places[b].ops->axpby(places[b].be, &a, NULL), 0);
            near(&at, n, "an average", average);
        }
        *from = at;
    }
}

static void steps_are_pytorchs_and_caffes(void **state)
{
    (void)state;
    const char *at;
    char *text = golden_open("optim.txt", &at), word[16];
    int sgd = 0, clip = 0, ema = 0;
    if (rn_backend_open(rn_backends, "cpu", &(rn_backend_opts){.threads = 2}, &places[1].be) < 0)
        fail_msg("%s", rn_error_text());
    places[1].ops = places[1].be->ops;
    while (golden_word(&at, word)) {
        if (strcmp(word, "sgd") == 0)
            sgd++, hold_sgd(&at);
        else if (strcmp(word, "clip") == 0)
            clip++, hold_clip(&at);
        else if (strcmp(word, "ema") == 0)
            ema++, hold_average(&at);
        else
            fail_msg("what is '%s'?", word);
    }
    assert_int_equal(sgd, 12);
    assert_int_equal(clip, 6);
    assert_int_equal(ema, 3);
    rn_backend_close(places[1].be);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(steps_are_pytorchs_and_caffes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
