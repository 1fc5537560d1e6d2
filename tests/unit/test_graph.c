/* SPDX-License-Identifier: MIT */
/*
 * The graph's nodes beside ResNet's: geometry, refusals, what finishing does, and nets of them: the memory they share changes no
 * bit, nor does the number of threads; dropout draws by place.
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
#include "nn/graph/rn_net_impl.h"
#include "random_graph.h"

enum { BATCH = 4, SIDE = 8, CLASSES = 5, PIXELS = BATCH * SIDE * SIDE * 3 };

static void done(int rc)
{
    if (rc < 0)
        fail_msg("%s: %s", rn_status_name(rc), rn_error_text());
}

/* ---- geometry ---- */

static int pooled(int in, int k, int stride, int pad, bool ceil)
{
    rn_graph g = {0};
    int x = rn_graph_images(&g, 1, in, in, 3);
    int y = rn_graph_pool(&g, x, "pool", true, RN_WINDOW(k, stride, pad), ceil, false);
    int out = y < 0 ? 0 : (int)g.values[y].t.dim[1];
    rn_graph_free(&g);
    return out;
}

/* AlexNet's and CaffeNet's sizes, torchvision's, and torch.nn.MaxPool2d(ceil_mode=True) where padding is involved. */
static void test_pool_sizes(void **state)
{
    (void)state;
    assert_int_equal(pooled(55, 3, 2, 0, true), 27);
    assert_int_equal(pooled(13, 3, 2, 0, true), 6);
    assert_int_equal(pooled(112, 3, 2, 0, true), 56);
    assert_int_equal(pooled(112, 3, 2, 0, false), 55);
    assert_int_equal(pooled(112, 3, 2, 1, false), 56);
    assert_int_equal(pooled(112, 3, 2, 1, true), 57);
    assert_int_equal(pooled(7, 7, 1, 0, true), 1);
    assert_int_equal(pooled(6, 3, 2, 1, true), 4);
    assert_int_equal(pooled(4, 2, 2, 1, true), 3);
    assert_int_equal(pooled(5, 2, 3, 1, true), 2);
    assert_int_equal(pooled(2, 1, 2, 0, true), 1); /* a second window would begin beyond the image */
    assert_int_equal(pooled(2, 3, 1, 0, true), 0);
    assert_int_equal(pooled(4, 2, 2, 2, false), 0);
}

static void test_shapes(void **state)
{
    (void)state;
    rn_graph g = {0};
    int x = rn_graph_images(&g, 2, 227, 227, 3);
    int w = rn_graph_conv_weight(&g, "conv1", 96, 11, 3), b = rn_graph_bias(&g, "conv1", 96);
    x = rn_graph_conv_bias(&g, x, w, b, RN_WINDOW(11, 4, 0), true);
    assert_int_equal(g.values[x].t.dim[1], 55);
    x = rn_graph_pool(&g, x, "pool1", true, RN_WINDOW(3, 2, 0), true, false);
    int w2 = rn_graph_conv_weight(&g, "conv2", 256, 5, 48), b2 = rn_graph_bias(&g, "conv2", 256);
    x = rn_graph_conv_group(&g, x, w2, b2, RN_WINDOW(5, 1, 2), 2, true);
    assert_int_equal(g.values[x].t.dim[1], 27);
    assert_int_equal(g.values[x].t.dim[3], 256);
    const rn_node *second = &g.nodes[g.nnodes - 2];
    assert_int_equal(second->kind, RN_NODE_CONV);
    assert_string_equal(second->name, "conv2/1");
    assert_int_equal(second->param_at, 128 * 5 * 5 * 48);
    assert_int_equal(second->bias_at, 128);
    assert_int_equal(rn_graph_weights(&g), 96 * 363 + 96 + 256 * 25 * 48 + 256);
    rn_graph_free(&g);
}

/* Each of these fails the graph with a line that names the node. */
static void test_refusals(void **state)
{
    (void)state;
#define REFUSED(name, call)                                                                                            \
    do {                                                                                                               \
        rn_graph g = {0};                                                                                              \
        int x = rn_graph_images(&g, 2, 8, 8, 3), w = rn_graph_conv_weight(&g, "conv", 6, 3, 3);                        \
        int b = rn_graph_bias(&g, "conv", 5), small = rn_graph_maxpool(&g, x, "small", 2, 2, 0);                       \
        (void)w, (void)b, (void)small;                                                                                 \
        assert_int_equal(call, -1);                                                                                    \
        assert_int_equal(g.status, RN_E_RANGE);                                                                        \
        if (!strstr(rn_error_text(), name))                                                                            \
            fail_msg("does not name %s: %s", name, rn_error_text());                                                   \
        assert_int_equal(rn_graph_relu(&g, x, "later"), -1);                                                           \
        rn_graph_free(&g);                                                                                             \
    } while (0)
    REFUSED("conv", rn_graph_conv_bias(&g, x, w, b, RN_WINDOW(3, 1, 1), false)); /* 5 for 6 */
    REFUSED("conv", rn_graph_conv_bias(&g, x, w, -1, RN_WINDOW(3, 1, 1), true)); /* a ReLU on its own */
    REFUSED("conv", rn_graph_conv_bias(&g, x, w, -1, RN_WINDOW(5, 1, 1), false));
    REFUSED("conv", rn_graph_conv_group(&g, x, w, -1, RN_WINDOW(3, 1, 1), 2, false));
    REFUSED("conv", rn_graph_conv_group(&g, x, w, -1, RN_WINDOW(3, 1, 1), 0, false));
    REFUSED("sum", rn_graph_add(&g, x, small, "sum", false));
    REFUSED("sum", rn_graph_add(&g, x, -1, "sum", false));
    REFUSED("scale", rn_graph_scale(&g, x, small, -1, "scale", false));
    REFUSED("drop", rn_graph_dropout(&g, x, "drop", 1));
    REFUSED("drop", rn_graph_dropout(&g, x, "drop", NAN));
    REFUSED("norm", rn_graph_lrn(&g, x, "norm", 0, 1, 0.75f, 1));
    REFUSED("norm", rn_graph_lrn(&g, x, "norm", 3, 1, 0.75f, 0));
    REFUSED("both", rn_graph_concat(&g, (int[]){x, small}, 2, "both"));
    REFUSED("both", rn_graph_concat(&g, (int[]){x}, 0, "both"));
    REFUSED("part", rn_graph_slice(&g, x, "part", 2, 2));
    REFUSED("fc", rn_graph_linear(&g, x, rn_graph_linear_weight(&g, "fc", 4, 3, 8, 7)));
    REFUSED("fc", rn_graph_linear(&g, x, rn_graph_linear_params(&g, "fc", 4, 192))); /* in which order? */
    REFUSED("pool", rn_graph_gap(&g, rn_graph_gap(&g, x, "pool0"), "pool"));
#undef REFUSED
    rn_graph g = {0};
    int x = rn_graph_images(&g, 2, 8, 8, 3);
    rn_graph_relu(&g, x, "idle");
    rn_graph_xent(&g, rn_graph_gap(&g, x, "pool"));
    assert_int_equal(rn_graph_finish(&g), RN_E_RANGE);
    assert_non_null(strstr(rn_error_text(), "idle"));
    rn_graph_free(&g);
}

static void test_relu_is_fused(void **state)
{
    (void)state;
    rn_graph g = {0};
    int x = rn_graph_images(&g, 2, 8, 8, 3);
    int w = rn_graph_conv_weight(&g, "conv", 8, 1, 3), b = rn_graph_bias(&g, "conv", 8),
        v = rn_graph_bn_params(&g, "bn", 8);
    int bare = rn_graph_conv_weight(&g, "bare", 8, 1, 8);
    x = rn_graph_relu(&g, rn_graph_conv_bias(&g, x, w, b, RN_WINDOW(1, 1, 0), false), "relu1"); /* is */
    int y = rn_graph_bn(&g, x, v, -1, false);
    int z = rn_graph_relu(&g, y, "relu2");                                /* is not: y is read by others too */
    x = rn_graph_relu(&g, rn_graph_add(&g, y, z, "sum", false), "relu3"); /* is */
    x = rn_graph_relu(&g, rn_graph_conv(&g, x, bare, 1, 0), "relu4");     /* is not: nothing there to do it */
    rn_graph_xent(&g, rn_graph_gap(&g, x, "pool"));
    assert_int_equal(g.nnodes, 11);
    done(rn_graph_finish(&g));
    assert_int_equal(g.nnodes, 9);
    assert_true(g.nodes[1].relu);
    assert_false(g.nodes[2].relu);
    assert_int_equal(g.nodes[3].kind, RN_NODE_RELU);
    assert_true(g.nodes[4].relu);
    assert_int_equal(g.nodes[6].kind, RN_NODE_RELU);
    rn_graph_free(&g);
}

/* ---- nets ---- */

static int build_random(const rn_model_spec *spec, int batch, rn_graph *g)
{
    random_graph(g, *(const uint32_t *)spec->described, batch, spec->height);
    return g->status;
}

/* Dropout before a linear layer: the images have nothing to do with each other. */
static int build_dropout(const rn_model_spec *spec, int batch, rn_graph *g)
{
    int w = rn_graph_conv_weight(g, "conv", 8, 3, 3), b = rn_graph_bias(g, "conv", 8);
    int fc = rn_graph_linear_weight(g, "fc", spec->classes, 8, spec->height, spec->height);
    int x = rn_graph_images(g, batch, spec->height, spec->height, 3);
    x = rn_graph_conv_bias(g, x, w, b, RN_WINDOW(3, 1, 1), true);
    x = rn_graph_dropout(g, x, "drop", 0.4f);
    rn_graph_xent(g, rn_graph_linear(g, rn_graph_dropout(g, x, "drop2", 0.25f), fc));
    return g->status;
}

static rn_backend *open_cpu(int threads)
{
    rn_backend *be = NULL;
    done(rn_backend_open(rn_backends, "cpu", &(rn_backend_opts){.threads = threads}, &be));
    return be;
}

static rn_net *open_net(rn_backend *be, int (*build)(const rn_model_spec *, int, rn_graph *), const void *described,
                        int batch)
{
    const rn_model_spec spec = {
        .arch = "test", .classes = CLASSES, .channels = 3, .height = SIDE, .build = build, .described = described};
    rn_net *net = NULL;
    done(rn_net_open(be, &spec, &(rn_net_opts){.batch = batch, .train = true}, &net));
    done(rn_net_init(net, 1));
    return net;
}

/* Gives every slot memory of its own. Returns the block in which the net's other things stay, to be freed after the net. */
static void *unshare(rn_net *net)
{
    size_t bytes = 0;
    for (int i = 0; i < net->plan.nslots; i++) {
        rn_slot *s = &net->plan.slots[i];
        s->root = i;
        s->offset = bytes;
        bytes += s->bytes;
    }
    void *p = NULL, *block = net->arena;
    done(net->be->alloc(net->be, bytes, &p));
    net->arena = p;
    memset(p, 0xff, bytes); /* NaN: nothing may be read before it is written */
    for (int i = 0; i < net->graph.nvalues; i++) {
        net->graph.values[i].t.data = rn_net_slot(net, RN_SLOT_VALUE, i);
        if (net->graph.values[i].grad)
            net->graph.values[i].grad = rn_net_slot(net, RN_SLOT_GRAD, i);
    }
    return block;
}

static uint8_t images[PIXELS];
static int32_t labels[BATCH];

static int make_batch(void **state)
{
    (void)state;
    rn_rng r;
    rn_rng_seed(&r, 7, RN_STREAM_TEST, 3, 0);
    for (int i = 0; i < PIXELS; i++)
        images[i] = (uint8_t)rn_rng_below(&r, 256);
    for (int i = 0; i < BATCH; i++)
        labels[i] = i % CLASSES;
    return 0;
}

static double train(rn_net *net, int first, int n)
{
    rn_net_result r;
    done(rn_net_train_batch(net, images + (size_t)first * SIDE * SIDE * 3, labels + first, n, &r));
    return r.loss_sum;
}

static void same_gradients(const rn_net *a, const rn_net *b, uint32_t seed, const char *what)
{
    for (int i = 0; i < a->graph.nparams; i++) {
        const rn_param *p = &a->graph.params[i], *q = &b->graph.params[i];
        if (p->grad && memcmp(p->grad, q->grad, (size_t)p->count * sizeof(float)) != 0)
            fail_msg("graph %u, %s: other bits in the gradient of %s", seed, what, p->name);
        for (int64_t k = 0; p->grad && k < p->count; k++)
            if (!isfinite(p->grad[k]))
                fail_msg("graph %u: the gradient of %s has %g", seed, p->name, (double)p->grad[k]);
    }
}

static void test_sharing_changes_nothing(void **state)
{
    (void)state;
    rn_backend *one = open_cpu(1), *two = open_cpu(2);
    for (uint32_t seed = 1000; seed < 1060; seed++) {
        rn_net *a = open_net(one, build_random, &seed, BATCH), *b = open_net(one, build_random, &seed, BATCH);
        rn_net *c = open_net(two, build_random, &seed, BATCH), *d = open_net(two, build_random, &seed, BATCH);
        void *of_b = unshare(b), *of_d = unshare(d);
        double loss = train(a, 0, BATCH);
        assert_true(isfinite(loss));
        assert_true(train(b, 0, BATCH) == loss);
        assert_true(train(c, 0, BATCH) == loss);
        assert_true(train(d, 0, BATCH) == loss);
        same_gradients(a, b, seed, "memory of its own for everything");
        same_gradients(c, d, seed, "the same with two threads"); /* whose sums may be split otherwise than one's */
        rn_net_close(a);
        rn_net_close(b);
        rn_net_close(c);
        rn_net_close(d);
        one->free(one, of_b);
        two->free(two, of_d);
    }
    rn_backend_close(one);
    rn_backend_close(two);
}

static float *gradient_of(rn_net *net, const char *name, int64_t *n)
{
    const rn_param *p = rn_net_find(net, name);
    assert_non_null(p);
    float *v = malloc((size_t)p->count * sizeof *v);
    assert_non_null(v);
    memcpy(v, p->grad, (size_t)p->count * sizeof *v);
    *n = p->count;
    return v;
}

/* Step and seed decide; two halves of a batch, told where they stand, drop what the whole drops; evaluation drops nothing. */
static void test_dropout(void **state)
{
    (void)state;
    rn_backend *be = open_cpu(1);
    rn_net *whole = open_net(be, build_dropout, NULL, BATCH), *half = open_net(be, build_dropout, NULL, BATCH / 2);
    rn_net_set_step(whole, 9, 100, 0);
    double first = train(whole, 0, BATCH);
    int64_t n;
    float *grad = gradient_of(whole, "conv.weight", &n), *sum = calloc((size_t)n, sizeof *sum);
    assert_non_null(sum);
    rn_net_set_step(whole, 9, 101, 0);
    assert_true(train(whole, 0, BATCH) != first);
    rn_net_set_step(whole, 8, 100, 0);
    assert_true(train(whole, 0, BATCH) != first);
    rn_net_set_step(whole, 9, 100, 0);
    assert_true(train(whole, 0, BATCH) == first);

    double parts = 0;
    for (int i = 0; i < 2; i++) {
        rn_net_set_step(half, 9, 100, i * BATCH / 2);
        parts += train(half, i * BATCH / 2, BATCH / 2);
        float *g = gradient_of(half, "conv.weight", &n);
        for (int64_t k = 0; k < n; k++)
            sum[k] += g[k] / 2;
        free(g);
    }
    assert_true(fabs(parts - first) <= 1e-5 * first);
    for (int64_t k = 0; k < n; k++)
        if (!(fabsf(sum[k] - grad[k]) <= 1e-5f))
            fail_msg("gradient %lld of two halves is %g, of the whole %g", (long long)k, (double)sum[k],
                     (double)grad[k]);

    rn_net_result a, b;
    done(rn_net_eval_batch(whole, images, labels, BATCH, &a));
    rn_net_set_step(whole, 1, 1, 1);
    done(rn_net_eval_batch(whole, images, labels, BATCH, &b));
    assert_true(a.loss_sum == b.loss_sum);
    rn_net *eval = NULL;
    done(rn_net_open_shared(whole, BATCH, 0, 0, &eval)); /* in place */
    done(rn_net_eval_batch(eval, images, labels, BATCH, &b));
    assert_true(a.loss_sum == b.loss_sum);
    rn_net_close(eval);
    rn_net_close(half);
    rn_net_close(whole);
    rn_backend_close(be);
    free(grad);
    free(sum);
}

static int build_short(const rn_model_spec *spec, int batch, rn_graph *g)
{
    rn_graph_xent(g, rn_graph_gap(g, rn_graph_images(g, batch, spec->height, spec->height, 3), "pool"));
    return g->status;
}

/* A net that ends in other scores than the data have classes. */
static void test_described_classes(void **state)
{
    (void)state;
    rn_backend *be = open_cpu(1);
    const rn_model_spec spec = {
        .arch = "short", .classes = CLASSES, .channels = 3, .height = SIDE, .build = build_short};
    rn_net *net = NULL;
    assert_int_equal(rn_net_open(be, &spec, &(rn_net_opts){.batch = 2}, &net), RN_E_RANGE);
    assert_non_null(strstr(rn_error_text(), "short ends in 3 scores"));
    rn_backend_close(be);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pool_sizes),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_relu_is_fused),
        cmocka_unit_test(test_sharing_changes_nothing),
        cmocka_unit_test(test_dropout),
        cmocka_unit_test(test_described_classes),
    };
    return cmocka_run_group_tests_name("graph", tests, make_batch, NULL);
}
