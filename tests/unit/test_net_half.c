/* SPDX-License-Identifier: MIT */
/*
 * Nets with 16-bit activations: near the f32 net in scores and gradients, half its memory, f32 masters that learn what 16
 * bits could not hold, evaluation nets that follow, and the scale of the loss that keeps f16's gradients from underflow.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/rn_kernels.h"
#include "nn/graph/rn_graph.h"
#include "tiny_net.h"

static const rn_dtype halves[2] = {RN_BF16, RN_F16};
/* Twice what PyTorch 2's autocast differs by from f32 on nets and batches like these: over four seeds the scores by up to
 * 0.026 in bf16 and 0.0041 in f16, the gradients by up to 0.36 and 0.12 (a ReLU's sign flips with a rounding). */
static const double near_scores[2] = {0.052, 0.0082}, near_grads[2] = {0.72, 0.24}, near_loss[2] = {0.012, 0.002};

static rn_backend *be;

static int open_all(void **state)
{
    (void)state;
    draw_batch();
    return rn_backend_open(rn_backends, "cpu", &(rn_backend_opts){.threads = 2}, &be);
}

static int close_all(void **state)
{
    (void)state;
    rn_backend_close(be);
    return 0;
}

static rn_net *open_net(rn_dtype dtype)
{
    rn_net *net = NULL;
    done(rn_net_open(be, &tiny, &(rn_net_opts){.batch = BATCH, .train = true, .dtype = dtype}, &net));
    done(rn_net_init(net, 1));
    return net;
}

/* |a - b| / |b| in the Euclidean norm. */
static double distance(const float *a, const float *b, int64_t n)
{
    double off = 0, all = 0;
    for (int64_t i = 0; i < n; i++) {
        off += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        all += (double)b[i] * b[i];
    }
    return sqrt(off / all);
}

static void test_near_f32(void **state)
{
    (void)state;
    rn_net *full = open_net(RN_F32);
    float want[BATCH * CLASSES], got[BATCH * CLASSES];
    double loss = train_batch(full);
    done(rn_net_outputs(full, want, NULL));
    for (int h = 0; h < 2; h++) {
        rn_net *net = open_net(halves[h]);
        double off = fabs(train_batch(net) - loss);
        done(rn_net_outputs(net, got, NULL));
        double scores = distance(got, want, BATCH * CLASSES);
        int64_t n;
        const float *a = rn_optim_grads(net, &n), *b = rn_optim_grads(full, &n);
        double grads = distance(a, b, n);
        print_message("%s: loss off by %g, scores by %g, gradients by %g\n", rn_dtype_name(halves[h]), off, scores,
                      grads);
        assert_true(off <= near_loss[h]);
        assert_true(scores <= near_scores[h] && scores > 0); /* 0: it was f32 all along */
        assert_true(grads <= near_grads[h] && grads > 0);
        rn_net_close(net);
    }
    rn_net_close(full);
}

static void test_memory_halves(void **state)
{
    (void)state;
    rn_net_memory full, half;
    rn_net *a = open_net(RN_F32), *b = open_net(RN_BF16);
    rn_net_memory_use(a, &full);
    rn_net_memory_use(b, &half);
    /* What stays f32 are batch norm's vectors, scores and losses; the pixels are bytes in both. */
    assert_true((double)half.activations < 0.56 * (double)full.activations);
    assert_true((double)half.unshared < 0.53 * (double)full.unshared);
    assert_true(half.params > full.params); /* by the copy of the convolutions' weights */
    rn_net_close(a);
    rn_net_close(b);
}

static void test_learns(void **state)
{
    (void)state;
    for (int h = 0; h < 2; h++) {
        rn_net *net = open_net(halves[h]);
        rn_net *eval = NULL;
        done(rn_net_open_shared(net, BATCH, 0, 0, &eval));
        double first = train_step(net), last = 0;
        for (int i = 0; i < 40; i++)
            last = train_step(net);
        print_message("%s: loss %g, then %g\n", rn_dtype_name(halves[h]), first, last);
        assert_true(first > 1.0 && last < 0.03);
        /* The evaluation net has its own activations and the weights of now. */
        rn_net_result a, b;
        float x[BATCH * CLASSES], y[BATCH * CLASSES];
        done(rn_net_eval_batch(net, images, labels, BATCH, &a));
        done(rn_net_outputs(net, x, NULL));
        done(rn_net_eval_batch(eval, images, labels, BATCH, &b));
        done(rn_net_outputs(eval, y, NULL));
        assert_memory_equal(x, y, sizeof x);
        rn_net_close(eval);
        rn_net_close(net);
    }
}

/* Steps far below what bf16 could tell from nothing, 1 / 256 of a weight, add up in the masters. */
static void test_masters_keep_small_steps(void **state)
{
    (void)state;
    rn_net *net = open_net(RN_BF16);
    rn_param *p = rn_net_find(net, "layer1.0.conv1.weight");
    assert_non_null(p);
    float before = p->value[5];
    uint16_t copy = ((const uint16_t *)p->operand)[5], now = copy;
    int steps = 0;
    for (; now == copy && steps < 4000; steps++) {
        int64_t n;
        float *g = rn_optim_grads(net, &n);
        memset(g, 0, (size_t)n * sizeof *g);
        p->grad[5] = before;
        done(rn_optim_sgd(net, &(rn_sgd_opts){.lr = 0x1p-13f}));
        now = ((const uint16_t *)p->operand)[5];
        assert_true(p->value[5] != before);
    }
    assert_true(steps > 1 && steps < 4000); /* the copy follows, when there is something to follow */
    rn_net_close(net);
}

/* The loss is 2^-30 of what it was: in f16 nothing of its gradient is left, unless it is scaled up; the masters' rate
 * takes the factor back. */
static double underflow(rn_dtype dtype, float scale)
{
    rn_net *net = open_net(dtype);
    int64_t n, zeros = 0;
    rn_net_set_loss_scale(net, 0x1p-24f * scale);
    train_batch(net);
    const rn_param *p = rn_net_find(net, "conv1.weight");
    const float *g = p->grad;
    n = p->count;
    for (int64_t i = 0; i < n; i++)
        zeros += g[i] == 0;
    rn_net_close(net);
    return (double)zeros / (double)n;
}

static void test_scale_of_the_loss(void **state)
{
    (void)state;
    assert_true(underflow(RN_F16, 1) > 0.9);
    assert_true(underflow(RN_F16, 0x1p24f) < 0.1);
    assert_true(underflow(RN_BF16, 1) < 0.1); /* has the range of f32 */
}

static void test_scale_multiplies(void **state)
{
    (void)state;
    int64_t n;
    rn_net *a = open_net(RN_F32), *b = open_net(RN_F32);
    rn_net_set_loss_scale(b, 1024);
    double la = train_batch(a), lb = train_batch(b);
    assert_memory_equal(&la, &lb, sizeof la); /* the loss told is the loss */
    const float *x = rn_optim_grads(a, &n), *y = rn_optim_grads(b, &n);
    for (int64_t i = 0; i < n; i++)
        assert_true(y[i] == 1024 * x[i]);
    rn_net_close(a);
    rn_net_close(b);
}

/* All-convolutional: the scores are averages over the map, which a 16-bit net would round to its own type. */
static int build_without_linear(const rn_model_spec *s, int batch, rn_graph *g)
{
    int x = rn_graph_images(g, batch, s->height, s->height, s->channels);
    x = rn_graph_conv(g, x, rn_graph_conv_weight(g, "conv", s->classes, 3, s->channels), 1, 1);
    rn_graph_xent(g, rn_graph_gap(g, x, "average"));
    return rn_graph_finish(g);
}

static void test_scores_of_no_linear_layer(void **state)
{
    (void)state;
    const rn_model_spec spec = {
        .arch = "without", .build = build_without_linear, .classes = CLASSES, .channels = CHANNELS, .height = SIDE};
    rn_net *net = NULL;
    for (int h = 0; h < 2; h++) {
        const rn_net_opts opts = {.batch = BATCH, .train = true, .dtype = halves[h]};
        assert_int_equal(rn_net_open(be, &spec, &opts, &net), RN_E_UNSUPPORTED);
        assert_null(net);
        assert_non_null(strstr(rn_error_text(), "average makes the scores, which are f32 in every precision"));
        assert_non_null(strstr(rn_error_text(), "use f32"));
    }
    done(rn_net_open(be, &spec, &(rn_net_opts){.batch = BATCH, .train = true}, &net)); /* f32 trains it */
    done(rn_net_init(net, 1));
    assert_true(isfinite(train_batch(net)));
    rn_net_close(net);
}

static void test_refusals(void **state)
{
    (void)state;
    rn_net *net = NULL;
    assert_int_equal(rn_net_open(be, &tiny, &(rn_net_opts){.batch = BATCH, .dtype = RN_U8}, &net), RN_E_UNSUPPORTED);
    assert_non_null(strstr(rn_error_text(), "bf16"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_near_f32),
        cmocka_unit_test(test_memory_halves),
        cmocka_unit_test(test_learns),
        cmocka_unit_test(test_masters_keep_small_steps),
        cmocka_unit_test(test_scale_of_the_loss),
        cmocka_unit_test(test_scale_multiplies),
        cmocka_unit_test(test_scores_of_no_linear_layer),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
