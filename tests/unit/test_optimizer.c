/* SPDX-License-Identifier: MIT */
/*
 * What is done to all parameters of a net at once: each at its own rate and decay whatever the ranges, the mean gradient of
 * several batches, norms, averages, and where numbers stop being finite.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_rng.h"
#include "kernels/rn_kernels.h"
#include "nn/graph/rn_watch.h"
#include "nn/optim/rn_optim.h"

enum { BATCH = 4, SIDE = 8, CLASSES = 3, PIXELS = BATCH * SIDE * SIDE * 3 };

static rn_backend *be;
static uint8_t images[2][PIXELS];
static int32_t labels[BATCH] = {0, 1, 2, 1};

static void done(int rc)
{
    if (rc < 0)
        fail_msg("%s: %s", rn_status_name(rc), rn_error_text());
}

static rn_net *open_net(bool train)
{
    const rn_model_spec m = {
        .arch = "resnet18", .stem = RN_STEM_CIFAR, .width = 0.125, .classes = CLASSES, .channels = 3, .height = SIDE};
    rn_net *net = NULL;
    done(rn_net_open(be, &m, &(rn_net_opts){.batch = BATCH, .train = train}, &net));
    done(rn_net_init(net, 1));
    return net;
}

static int set_up(void **state)
{
    (void)state;
    rn_rng r;
    rn_rng_seed(&r, 5, RN_STREAM_TEST, 0, 0);
    for (int b = 0; b < 2; b++)
        for (int i = 0; i < PIXELS; i++)
            images[b][i] = (uint8_t)rn_rng_below(&r, 256);
    return rn_backend_open(rn_backends, "cpu", &(rn_backend_opts){.threads = 2}, &be);
}

static int tear_down(void **state)
{
    (void)state;
    rn_backend_close(be);
    return 0;
}

static int train_batch(rn_net *net, int which)
{
    rn_net_result r;
    return rn_net_train_batch(net, images[which], labels, BATCH, &r);
}

/* All values, gradients or momenta, one parameter after the other; the caller frees. */
static float *copy_of(rn_net *net, float *(*part)(const rn_param *p))
{
    size_t at = 0, total = 0;
    for (int i = 0; i < rn_net_nparams(net); i++)
        total += (size_t)rn_net_param(net, i)->count;
    float *all = calloc(total, sizeof *all);
    assert_non_null(all);
    for (int i = 0; i < rn_net_nparams(net); i++) {
        const rn_param *p = rn_net_param(net, i);
        if (part(p))
            memcpy(all + at, part(p), (size_t)p->count * sizeof(float));
        at += (size_t)p->count;
    }
    return all;
}

static float *value(const rn_param *p)
{
    return p->value;
}

static float *grad(const rn_param *p)
{
    return p->grad;
}

/* Every third parameter has factors of its own, so that ranges begin and end everywhere. None is 0, which cannot decay. */
static void set_factors(rn_net *net)
{
    for (int i = 0; i < rn_net_nparams(net); i++) {
        rn_param *p = rn_net_param(net, i);
        p->lr_mult = i % 3 == 0 ? 2 : i % 7 == 0 ? 0 : 1;
        p->decay_mult = i % 5 == 0 ? 0.5f : 1;
        for (int64_t k = 0; p->grad && k < p->count; k++)
            p->value[k] += 0.25f;
    }
    rn_optim_spare_norms(net);
}

static void each_at_its_own_rate(void **state)
{
    (void)state;
    const rn_sgd_opts o = {.lr = 0.125f, .momentum = 0.5f, .weight_decay = 0.25f, .grad_scale = 0.5f};
    rn_net *net = open_net(true);
    int kinds = 0;
    set_factors(net);
    done(train_batch(net, 0));
    float *w = copy_of(net, value), *g = copy_of(net, grad);
    done(rn_optim_sgd(net, &o));
    size_t at = 0;
    for (int i = 0; i < rn_net_nparams(net); i++) {
        const rn_param *p = rn_net_param(net, i);
        const bool norm = p->kind == RN_PARAM_GAMMA || p->kind == RN_PARAM_BETA || p->kind == RN_PARAM_BIAS;
        const double lr = 0.125 * (i % 3 == 0 ? 2 : i % 7 == 0 ? 0 : 1), wd = norm ? 0 : 0.25 * (i % 5 == 0 ? 0.5 : 1);
        for (int64_t k = 0; k < p->count; k++, at++) {
            const double d = 0.5 * (double)g[at] + wd * (double)w[at], want = (double)w[at] - lr * d;
            if (!p->grad)
                continue;
            if (!(fabs((double)p->value[k] - want) <= 1e-6 * (1 + fabs(want))))
                fail_msg("%s[%lld] is %g, not %g", p->name, (long long)k, (double)p->value[k], want);
        }
        kinds |= 1 << p->kind;
    }
    assert_true(kinds & 1 << RN_PARAM_BIAS && kinds & 1 << RN_PARAM_GAMMA && kinds & 1 << RN_PARAM_CONV);
    free(w);
    free(g);
    rn_net_close(net);
}

/* The gradients of a batch alone, from the initial weights. */
static float *gradients_of(int which)
{
    rn_net *net = open_net(true);
    done(train_batch(net, which));
    float *g = copy_of(net, grad);
    rn_net_close(net);
    return g;
}

static void means_of_batches(void **state)
{
    (void)state;
    float *a = gradients_of(0), *b = gradients_of(1);
    rn_net *net = open_net(true);
    rn_optim *o = NULL;
    int64_t n;
    double sq, want = 0;
    done(rn_optim_open(net, true, &o));
    for (int i = 0; i < 4; i++) { /* a step before, of which nothing may be left */
        done(train_batch(net, 1));
        done(rn_optim_accumulate(o, i, 4));
    }
    for (int i = 0; i < 3; i++) { /* batches 0, 1, 0 */
        done(train_batch(net, i % 2));
        done(rn_optim_accumulate(o, i, 3));
    }
    float *mean = copy_of(net, grad);
    size_t at = 0;
    for (int i = 0; i < rn_net_nparams(net); i++)
        for (int64_t k = 0; k < rn_net_param(net, i)->count; k++, at++) {
            const double m = (2 * (double)a[at] + (double)b[at]) / 3;
            if (!(fabs((double)mean[at] - m) <= 1e-6 * (fabs((double)a[at]) + fabs((double)b[at]))))
                fail_msg("%s: %g, not %g", rn_net_param(net, i)->name, (double)mean[at], m);
            want += (double)mean[at] * (double)mean[at];
        }
    done(rn_optim_grad_sumsq(o, &sq)); /* the gaps between parameters hold nothing */
    assert_true(fabs(sq - want) <= 1e-12 * want && want > 0);
    assert_non_null(rn_optim_grads(net, &n));
    assert_true(n >= rn_net_weights(net));
    rn_optim_close(o);
    rn_net_close(net);
    free(a);
    free(b);
    free(mean);
}

static void averages_weights_and_statistics(void **state)
{
    (void)state;
    rn_net *net = open_net(true), *average = open_net(false), *shared = NULL;
    rn_optim *o = NULL;
    rn_net_result with, without;
    done(rn_optim_open(net, false, &o));
    done(rn_optim_average(o, 0, average));
    float *before = copy_of(net, value);
    done(train_batch(net, 0));
    done(rn_optim_sgd(net, &(rn_sgd_opts){.lr = 0.5f}));
    done(rn_net_eval_batch(average, images[1], labels, BATCH, &without));
    done(rn_optim_average(o, 0.75, average));
    done(rn_net_eval_batch(average, images[1], labels, BATCH, &with));
    assert_true(with.loss_sum != without.loss_sum); /* the convolutions have noticed */
    size_t at = 0;
    int statistics = 0;
    for (int i = 0; i < rn_net_nparams(net); i++) {
        const rn_param *p = rn_net_param(net, i), *q = rn_net_param(average, i);
        for (int64_t k = 0; k < p->count; k++, at++) {
            const double want = 0.75 * (double)before[at] + 0.25 * (double)p->value[k];
            if (!(fabs((double)q->value[k] - want) <= 1e-6 * (1 + fabs(want))))
                fail_msg("%s[%lld] is %g, not %g", p->name, (long long)k, (double)q->value[k], want);
            statistics += !p->grad && p->value[k] != before[at];
        }
    }
    assert_true(statistics > 0);
    done(rn_net_open_shared(net, BATCH, 0, 0, &shared));
    assert_int_equal(rn_optim_average(o, 0.5, shared), RN_E_RANGE);
    assert_int_equal(rn_optim_open(average, false, &(rn_optim *){NULL}), RN_E_UNSUPPORTED);
    free(before);
    rn_optim_close(o);
    rn_net_close(shared);
    rn_net_close(average);
    rn_net_close(net);
}

/* ---- nets in Caffe's words ---- */

#define DATA                                                                                                           \
    "layer{name:'data' type:'Data' top:'data' top:'label' transform_param{crop_size:8} "                               \
    "data_param{source:'x' batch_size:4 backend:LMDB}}\n"
#define LAYER(name, type, in, out, rest)                                                                               \
    "layer{name:'" name "' type:'" type "' bottom:'" in "' top:'" out "' " rest "}\n"
#define CONV(name, rest) LAYER(name, "Convolution", "data", name, "convolution_param{num_output:4 kernel_size:1} " rest)
#define LOSS             "layer{name:'loss' type:'SoftmaxWithLoss' bottom:'fc' bottom:'label'}\n"

static rn_net *open_text(const char *text, bool train)
{
    const rn_model_spec m = {
        .arch = "prototxt", .net_text = text, .width = 1, .classes = CLASSES, .channels = 3, .height = SIDE};
    rn_net *net = NULL;
    done(rn_net_open(be, &m, &(rn_net_opts){.batch = BATCH, .train = train}, &net));
    done(rn_net_init(net, 1));
    return net;
}

/* The first n values of a parameter; the others become 0. */
static void set_all(rn_net *net, const char *name, int64_t n, float v)
{
    rn_param *p = rn_net_find(net, name);
    assert_non_null(p);
    for (int64_t i = 0; i < p->count; i++)
        p->value[i] = i < n ? v : 0;
    done(rn_net_params_changed(net));
}

/* The same weights in another order are other weights: a copy of the block would mix them up. */
static void average_of_other_phases(void **state)
{
    (void)state;
    static const char text[] = DATA /* clang-format off */
        CONV("a", "include{phase:TRAIN}") CONV("b", "") CONV("a", "include{phase:TEST}")
        "layer{name:'sum' type:'Eltwise' bottom:'a' bottom:'b' top:'sum'}\n"
        LAYER("fc", "InnerProduct", "sum", "fc", "inner_product_param{num_output:3}") LOSS;
    /* clang-format on */
    rn_net *net = open_text(text, true), *average = open_text(text, false);
    rn_optim *o = NULL;
    done(rn_optim_open(net, false, &o));
    assert_int_equal(rn_optim_average(o, 0, average), RN_E_MISMATCH);
    rn_optim_close(o);
    rn_net_close(average);
    rn_net_close(net);
}

static void batch_says(rn_net *net, const char *want)
{
    assert_int_equal(train_batch(net, 0), RN_E_MISMATCH);
    if (!strstr(rn_error_text(), want))
        fail_msg("'%s' says nothing of '%s'", rn_error_text(), want);
}

/* Parameters whose names do not begin with their nodes': groups' weights, a BatchNorm's statistics beside its Scale. */
static void names_all_of_a_node(void **state)
{
    (void)state;
    static const char text[] = DATA /* clang-format off */
        CONV("conv1", "")
        LAYER("bn", "BatchNorm", "conv1", "bn", "") LAYER("sc", "Scale", "bn", "sc", "")
        LAYER("conv2", "Convolution", "sc", "conv2", "convolution_param{num_output:4 kernel_size:1 group:2 bias_term:false}")
        LAYER("pool", "Pooling", "conv2", "pool", "pooling_param{pool:AVE global_pooling:true}")
        LAYER("fc", "InnerProduct", "pool", "fc", "inner_product_param{num_output:3}") LOSS;
    /* clang-format on */
    rn_net *net = open_text(text, true);
    rn_net_watch(net, true);
    set_all(net, "conv1.weight", 12, 0.01f);
    set_all(net, "sc.weight", 4, 1e10f); /* what conv2 reads, and what comes back to it: their product overflows */
    set_all(net, "conv2.weight", 8, 1e-20f);
    set_all(net, "fc.weight", 4, 1e33f);
    batch_says(net, "the gradient of conv2.weight is ");
    set_all(net, "conv1.weight", 12, 1e30f);
    batch_says(net, "the running statistic bn.running_var is inf");
    rn_net_close(net);
}

/* What a watched batch says of a net with one parameter set to `bad`. */
static void says(const char *name, float bad, const char *want)
{
    rn_net *net = open_net(true);
    rn_optim *o = NULL;
    double sq;
    done(rn_optim_open(net, false, &o));
    rn_net_watch(net, true);
    done(train_batch(net, 0)); /* all is well */
    rn_net_watch(net, false);
    done(rn_optim_weight_sumsq(o, &sq));
    assert_true(isfinite(sq));
    rn_param *p = rn_net_find(net, name);
    assert_non_null(p);
    for (int64_t i = 0; i < p->count; i++)
        p->value[i] = bad;
    done(rn_net_params_changed(net));
    done(rn_optim_weight_sumsq(o, &sq));
    assert_int_equal(isfinite(sq), isfinite(bad) != 0);
    assert_int_equal(rn_net_check_weights(net), isfinite(bad) ? RN_OK : RN_E_MISMATCH);
    rn_net_watch(net, true);
    batch_says(net, want);
    rn_optim_close(o);
    rn_net_close(net);
}

static void names_where_it_began(void **state)
{
    (void)state;
    says("layer2.0.bn1.weight", NAN, "the parameter layer2.0.bn1.weight is nan (first of 16 among 16 values)");
    says("fc.bias", -INFINITY, "the parameter fc.bias is -inf (first of 3 among 3 values)");
    says("layer3.1.conv2.weight", 3e38f, "the output of layer3.1.conv2 is ");
    says("layer1.0.bn1.weight", 1e30f, "the running statistic layer1.0.bn2.running_var is inf");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_at_its_own_rate),
        cmocka_unit_test(means_of_batches),
        cmocka_unit_test(averages_weights_and_statistics),
        cmocka_unit_test(average_of_other_phases),
        cmocka_unit_test(names_where_it_began),
        cmocka_unit_test(names_all_of_a_node),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
