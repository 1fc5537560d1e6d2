/* SPDX-License-Identifier: MIT */
/*
 * Initialisers: moments and bounds of what is drawn against the formulas, fans as PyTorch and Caffe count them, the
 * same bits from the same seed. Tolerances come from statistics: the mean of n draws deviates by s/sqrt(n), their
 * variance by a relative sqrt(kurtosis - 1)/sqrt(n); five of those are allowed.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rn_error.h"
#include "kernels/rn_kernels.h"
#include "nn/graph/rn_graph.h"

enum { OUTPUTS = 96, SIDE = 3, INPUTS = 64, COUNT = OUTPUTS * SIDE * SIDE * INPUTS };

static const rn_fill_shape shape = {.outputs = OUTPUTS,
                                    .kh = SIDE,
                                    .kw = SIDE,
                                    .ic = INPUTS,
                                    .fan_in = INPUTS * SIDE * SIDE,
                                    .fan_out = OUTPUTS * SIDE * SIDE};
static float drawn[COUNT];

static void draw(const rn_filler *f, uint32_t seed)
{
    rn_rng r;
    rn_rng_seed(&r, seed, RN_STREAM_TEST, 1, 0);
    assert_int_equal(rn_fill_check(f, &shape, "test"), 0);
    rn_fill_draw(f, &shape, &r, drawn);
}

/* bound 0: a normal distribution. */
static void hold_moments(const float *v, int64_t n, double mean, double std, double bound)
{
    double sum = 0, squares = 0, fourth = 0, most = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)v[i];
    for (int64_t i = 0; i < n; i++) {
        double d = (double)v[i] - mean;
        squares += d * d;
        fourth += d * d * d * d;
        most = fmax(most, fabs(d));
    }
    double var = squares / (double)n, kurtosis = fourth / (double)n / (var * var), root = sqrt((double)n);
    double expected = bound > 0 ? 1.8 : 3;
    assert_true(fabs(sum / (double)n - mean) <= 5 * std / root);
    assert_true(fabs(var / (std * std) - 1) <= 5 * sqrt(expected - 1) / root);
    assert_true(fabs(kurtosis - expected) <= 5 * (bound > 0 ? 2 : 10) / root);
    if (bound > 0)
        assert_true(most <= bound && most >= bound * (1 - 20 / (double)n));
    else
        assert_true(most > 3.5 * std && most < 8 * std);
}

static void fillers_have_their_moments(void **state)
{
    (void)state;
    const double in = INPUTS * SIDE * SIDE, out = OUTPUTS * SIDE * SIDE;
    const struct {
        rn_filler f;
        double mean, std, bound;
    } want[] = {
        {{RN_FILL_SCALED_NORMAL, RN_FAN_OUT, 2, 0}, 0, sqrt(2 / out), 0},
        {{RN_FILL_SCALED_NORMAL, RN_FAN_IN, 2, 0}, 0, sqrt(2 / in), 0},
        {{RN_FILL_SCALED_NORMAL, RN_FAN_AVG, 1, 0}, 0, sqrt(2 / (in + out)), 0},
        {{RN_FILL_SCALED_UNIFORM, RN_FAN_AVG, 1, 0}, 0, sqrt(2 / (in + out)), sqrt(6 / (in + out))},
        {{RN_FILL_SCALED_UNIFORM, RN_FAN_IN, 1, 0}, 0, sqrt(1 / in), sqrt(3 / in)},
        {{RN_FILL_SCALED_UNIFORM, RN_FAN_OUT, 1, 0}, 0, sqrt(1 / out), sqrt(3 / out)},
        {{RN_FILL_SCALED_UNIFORM, RN_FAN_IN, 1.0 / 3, 0}, 0, sqrt(1 / (3 * in)), 1 / sqrt(in)},
        {{RN_FILL_GAUSSIAN, RN_FAN_IN, 0.5, 0.01}, 0.5, 0.01, 0},
        {{RN_FILL_UNIFORM, RN_FAN_IN, -1, 3}, 1, 4 / sqrt(12), 2},
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        draw(&want[i].f, (uint32_t)i);
        hold_moments(drawn, COUNT, want[i].mean, want[i].std, want[i].bound);
    }
}

static void constant_unitball_bilinear(void **state)
{
    (void)state;
    draw(&(rn_filler){RN_FILL_CONSTANT, RN_FAN_IN, 0.1, 0}, 1);
    for (int i = 0; i < COUNT; i++)
        assert_true(drawn[i] == 0.1f);
    draw(&(rn_filler){RN_FILL_UNITBALL, RN_FAN_IN, 0, 0}, 1);
    for (int o = 0; o < OUTPUTS; o++) {
        double sum = 0;
        for (int i = 0; i < COUNT / OUTPUTS; i++) {
            assert_true(drawn[o * (COUNT / OUTPUTS) + i] >= 0);
            sum += (double)drawn[o * (COUNT / OUTPUTS) + i];
        }
        assert_true(fabs(sum - 1) <= 1e-5);
    }
    /* A 4x4 kernel: 1/4, 3/4, 3/4, 1/4 each way; a 3x3 kernel: 1/4, 3/4, 3/4. By hand from Caffe's formula. */
    static const double four[] = {0.25, 0.75, 0.75, 0.25}, three[] = {0.25, 0.75, 0.75};
    for (int side = 3; side <= 4; side++) {
        const rn_fill_shape s = {.outputs = 2, .kh = side, .kw = side, .ic = 3, .fan_in = 1, .fan_out = 1};
        const double *want = side == 3 ? three : four;
        rn_rng r = {0};
        rn_fill_draw(&(rn_filler){RN_FILL_BILINEAR, RN_FAN_IN, 0, 0}, &s, &r, drawn);
        for (int i = 0; i < 2 * side * side * 3; i++)
            assert_true(fabs((double)drawn[i] - want[i / 3 % side] * want[i / 3 / side % side]) <= 1e-7);
    }
}

static void refused(void **state)
{
    (void)state;
    const rn_fill_shape flat = {.outputs = 2, .kh = 3, .kw = 1, .ic = 3, .fan_in = 9, .fan_out = 6};
    const rn_filler bad[] = {{RN_FILL_BILINEAR, RN_FAN_IN, 0, 0},
                             {RN_FILL_GAUSSIAN, RN_FAN_IN, 0, -1},
                             {RN_FILL_UNIFORM, RN_FAN_IN, 1, 0},
                             {RN_FILL_SCALED_NORMAL, RN_FAN_IN, -2, 0},
                             {RN_FILL_CONSTANT, RN_FAN_IN, (double)NAN, 0}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(rn_fill_check(&bad[i], &flat, "conv1.weight"), RN_E_RANGE);
    assert_non_null(strstr(rn_error_text(), "conv1.weight"));
    static const char *const texts[] = {"",           "Kaiming",     "xavier:1",     "gaussian:", "gaussian:-1",
                                        "gaussian:0", "gaussian:1x", "gaussian:nan", "msra:2",    "gaussian:0.1 "};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        rn_init init;
        assert_int_equal(rn_init_parse(texts[i], &init), RN_E_USAGE);
    }
}

/* ---- through a net ---- */

static void done(int rc)
{
    if (rc < 0)
        fail_msg("%s: %s", rn_status_name(rc), rn_error_text());
}

static rn_net *open_net(rn_backend *be, const char *init)
{
    rn_net *net = NULL;
    rn_model_spec m = {
        .arch = "resnet50", .stem = RN_STEM_CIFAR, .width = 0.25, .classes = 100, .channels = 3, .height = 8};
    done(rn_init_parse(init, &m.init));
    done(rn_net_open(be, &m, &(rn_net_opts){.batch = 1}, &net));
    done(rn_net_init(net, 5));
    return net;
}

static void hold_param(rn_net *net, const char *name, double std, double bound)
{
    const rn_param *p = rn_net_find(net, name);
    assert_non_null(p);
    hold_moments(p->value, p->count, 0, std, bound);
}

/* A convolution of 128 x 128 x 3 x 3, one of 512 x 128, and the linear layer's 100 x 512. CPU memory is host memory. */
static void init_reaches_the_net(void **state)
{
    (void)state;
    const double conv = 128 * 9, wide = 512, narrow = 128, oc = 100, ic = 512;
    const struct {
        const char *text;
        double conv, conv_bound, point, point_bound, fc, fc_bound;
        bool bias; /* drawn */
    } want[] = {
        {NULL, sqrt(2 / conv), 0, sqrt(2 / wide), 0, 1 / sqrt(3 * ic), 1 / sqrt(ic), true},
        {"torchvision", sqrt(2 / conv), 0, sqrt(2 / wide), 0, 1 / sqrt(3 * ic), 1 / sqrt(ic), true},
        {"kaiming-out", sqrt(2 / conv), 0, sqrt(2 / wide), 0, sqrt(2 / oc), 0, false},
        {"kaiming-in", sqrt(2 / conv), 0, sqrt(2 / narrow), 0, sqrt(2 / ic), 0, false},
        {"msra", sqrt(2 / conv), 0, sqrt(2 / narrow), 0, sqrt(2 / ic), 0, false},
        {"xavier", sqrt(1 / conv), sqrt(3 / conv), sqrt(2 / (wide + narrow)), sqrt(6 / (wide + narrow)),
         sqrt(2 / (ic + oc)), sqrt(6 / (ic + oc)), false},
        {"xavier-normal", sqrt(1 / conv), 0, sqrt(2 / (wide + narrow)), 0, sqrt(2 / (ic + oc)), 0, false},
        {"xavier-caffe", sqrt(1 / conv), sqrt(3 / conv), sqrt(1 / narrow), sqrt(3 / narrow), sqrt(1 / ic), sqrt(3 / ic),
         false},
        {"gaussian", 0.01, 0, 0.01, 0, 0.01, 0, false},
        {"gaussian:0.005", 0.005, 0, 0.005, 0, 0.005, 0, false},
    };
    rn_backend *be = NULL;
    done(rn_backend_open(rn_backends, "cpu", &(rn_backend_opts){.threads = 1}, &be));
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        rn_net *net = open_net(be, want[i].text), *again = open_net(be, want[i].text);
        hold_param(net, "layer4.1.conv2.weight", want[i].conv, want[i].conv_bound);
        hold_param(net, "layer4.1.conv3.weight", want[i].point, want[i].point_bound);
        hold_param(net, "fc.weight", want[i].fc, want[i].fc_bound);
        const rn_param *bias = rn_net_find(net, "fc.bias"), *gamma = rn_net_find(net, "bn1.weight");
        double most = 0;
        for (int64_t k = 0; k < bias->count; k++)
            most = fmax(most, fabs((double)bias->value[k]));
        if (want[i].bias)
            assert_true(most <= 1 / sqrt(ic) && most > 0.8 / sqrt(ic));
        else
            assert_true(most == 0);
        assert_true(gamma->value[0] == 1 && gamma->value[gamma->count - 1] == 1);
        for (int k = 0; k < rn_net_nparams(net); k++) {
            const rn_param *a = rn_net_param(net, k), *b = rn_net_param(again, k);
            assert_memory_equal(a->value, b->value, (size_t)a->count * sizeof *a->value);
        }
        rn_net_close(net);
        rn_net_close(again);
    }
    rn_backend_close(be);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fillers_have_their_moments),
        cmocka_unit_test(constant_unitball_bilinear),
        cmocka_unit_test(refused),
        cmocka_unit_test(init_reaches_the_net),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
