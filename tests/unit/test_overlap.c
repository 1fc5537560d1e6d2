/* SPDX-License-Identifier: MIT */
/*
 * Batches that are given to a device before anybody has looked at the ones before, with more on their way: results and weights are
 * those of one after the other, whatever the device does first, and what comes after a step that is not finite changes
 * nothing. On the CPU, which computes at once, or on RNKIT_DEVICE: tests/cli/test_cuda_overlap.sh runs it on the emulated one.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/rn_kernels.h"
#include "tests/device.h"
#include "tiny_net.h"

enum { BATCHES = 5, HELD = 3 };

static rn_backend *be;

/* Small, as an emulated device is slow. */
static const rn_model_spec little = {
    .arch = "prototxt",
    .net_text =
        "layer { name: 'data' type: 'Data' top: 'data' top: 'label' transform_param { crop_size: 16 scale: 0.017 } "
        "data_param { source: 'none' batch_size: 8 backend: LMDB } } "
        "layer { name: 'conv1' type: 'Convolution' bottom: 'data' top: 'conv1' "
        "convolution_param { num_output: 8 kernel_size: 3 stride: 2 weight_filler { type: 'msra' } } } "
        "layer { name: 'relu1' type: 'ReLU' bottom: 'conv1' top: 'conv1' } "
        "layer { name: 'fc1' type: 'InnerProduct' bottom: 'conv1' top: 'fc1' "
        "inner_product_param { num_output: 4 weight_filler { type: 'xavier' } } } "
        "layer { name: 'loss' type: 'SoftmaxWithLoss' bottom: 'fc1' bottom: 'label' top: 'loss' }",
    .width = 1,
    .classes = CLASSES,
    .channels = CHANNELS,
    .height = SIDE};

static void rule(rn_optim *o, bool blind)
{
    const rn_optim_rule r = {.weight_decay = sgd.weight_decay, .limit = 1, .blind = blind};
    done(rn_optim_set_rule(o, &r));
}

/* Of the next batch, which is number i of a step's n. */
static void part_at(rn_optim *o, int i, int n, float lr)
{
    const rn_optim_now now = {
        .batch = i, .batches = n, .lr = lr, .momentum = sgd.momentum, .loss_scale = 1, .decay = (double)NAN};
    rn_optim_before(o, &now);
}

static void step_at(rn_optim *o, float lr)
{
    part_at(o, 0, 1, lr);
}

static int setup(void **state)
{
    (void)state;
    done(rn_backend_open(rn_backends, test_device(), &(const rn_backend_opts){.threads = 1}, &be));
    draw_batch();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rn_backend_close(be);
    return 0;
}

typedef struct trained {
    double loss[BATCHES], grads[BATCHES];
    float weight[64]; /* some of them, at the end */
} trained;

/* Batch i: other pixels and labels each time. Page-locked, as the loader's. */
static void draw(int i, uint8_t *pixels, int32_t *which)
{
    for (int k = 0; k < PIXELS; k++)
        pixels[k] = (uint8_t)(images[k] * (i + 1) + 31 * i);
    for (int k = 0; k < BATCH; k++)
        which[k] = (labels[k] + i * k) % CLASSES;
}

static void hand_back(rn_backend *on, rn_net *net, float *to)
{
    done(on->copy(on, to, rn_net_find(net, "conv1.weight")->value, 64 * sizeof *to, RN_COPY_D2H, NULL));
    done(rn_net_settle(net));
}

static void look(rn_net *net, rn_optim *o, int i, trained *out)
{
    rn_net_result r;
    done(rn_net_results(net, &r));
    assert_int_equal(r.n, BATCH);
    out->loss[i] = r.loss_sum;
    out->grads[i] = rn_optim_sums(o).grads;
}

/* ahead: batches under way at once; the one behind them travels. odd: which batch's rate makes weights infinite; -1: none. */
static void train(int ahead, int odd, trained *out)
{
    rn_net *net;
    rn_optim *o;
    uint8_t *ring[HELD];
    int32_t which[HELD][BATCH];
    const rn_net_opts opts = {.batch = BATCH, .train = true};
    void *p;
    done(rn_net_open(be, &little, &opts, &net));
    done(rn_net_init(net, 3));
    done(rn_optim_open(net, false, &o));
    rule(o, true);
    for (int i = 0; i < HELD; i++) {
        done(rn_backend_alloc_host(be, PIXELS, &p));
        ring[i] = p;
        draw(i, ring[i], which[i]);
    }
    int looked = 0;
    for (int i = 0; i < BATCHES; i++) {
        step_at(o, i == odd ? INFINITY : sgd.lr);
        done(rn_net_train_batch(net, ring[i % HELD], which[i % HELD], BATCH, NULL));
        if (ahead > 1 && i + 1 < BATCHES) /* whose slot nobody reads any more: HELD is one more than are under way */
            done(rn_net_send(net, ring[(i + 1) % HELD], BATCH));
        while (i - looked >= ahead - 1) {
            look(net, o, looked, out);
            if (looked + HELD < BATCHES)
                draw(looked + HELD, ring[looked % HELD], which[looked % HELD]);
            looked++;
        }
    }
    while (looked < BATCHES)
        look(net, o, looked++, out);
    hand_back(be, net, out->weight);
    for (int i = 0; i < HELD; i++)
        rn_backend_free_host(be, ring[i]);
    rn_optim_close(o);
    rn_net_close(net);
}

static void order_of_looking_changes_no_bit(void **state)
{
    (void)state;
    trained one = {0}, two = {0};
    train(1, -1, &one);
    train(2, -1, &two);
    for (int i = 0; i < BATCHES; i++)
        print_message("# loss %.9g %.9g\n", one.loss[i], two.loss[i]);
    assert_memory_equal(&one, &two, sizeof one);
    assert_true(one.loss[0] != one.loss[1]);
}

/* The second step makes weights infinite: those behind it do nothing, be they finite or not. */
static void nothing_follows_what_is_not_finite(void **state)
{
    (void)state;
    trained one = {0}, two = {0};
    train(1, 1, &one);
    train(2, 1, &two);
    assert_memory_equal(one.weight, two.weight, sizeof one.weight);
    rn_net *net;
    rn_optim *o;
    float was[64], is[64];
    const rn_net_opts opts = {.batch = BATCH, .train = true};
    done(rn_net_open(be, &little, &opts, &net));
    done(rn_net_init(net, 3));
    done(rn_optim_open(net, false, &o));
    for (int i = 0; i < 3; i++) {
        rn_net_result r;
        rn_net_set_loss_scale(net, i == 1 ? INFINITY : 1); /* gradients alone, and of this step alone */
        rule(o, i > 0);
        step_at(o, sgd.lr);
        done(rn_net_train_batch(net, images, labels, BATCH, NULL));
        done(rn_net_results(net, &r));
        assert_true(isfinite(r.loss_sum) && isfinite(rn_optim_sums(o).grads) == (i != 1));
        hand_back(be, net, i ? is : was);
        if (i)
            assert_memory_equal(was, is, sizeof was);
    }
    rule(o, false); /* who has looked may go on */
    step_at(o, sgd.lr);
    done(rn_net_train_batch(net, images, labels, BATCH, NULL));
    hand_back(be, net, is);
    assert_memory_not_equal(was, is, sizeof was);
    rn_optim_close(o);
    rn_net_close(net);
}

/* So large that losses are infinite and gradients are not, or 0. */
static void set_biases(rn_net *net, float size)
{
    const float b[CLASSES] = {size, -size, -size, -size};
    done(be->copy(be, rn_net_find(net, "fc1.bias")->value, b, sizeof b, RN_COPY_H2D, NULL));
    done(rn_net_settle(net));
    done(rn_net_params_changed(net));
}

static bool differ(const void *a, const void *b, size_t bytes)
{
    return memcmp(a, b, bytes) != 0;
}

/* Of a step's two batches the first one's losses are not finite, and nobody looks before the second is given, with the update. */
static void no_loss_of_a_step_is_forgotten(void **state)
{
    (void)state;
    rn_net *net;
    rn_optim *o;
    float was[64], is[64];
    const rn_net_opts opts = {.batch = BATCH, .train = true};
    done(rn_net_open(be, &little, &opts, &net));
    done(rn_net_init(net, 3));
    done(rn_optim_open(net, true, &o));
    rule(o, false);
    hand_back(be, net, was);
    for (int odd = 2; odd >= 0; odd--) { /* which batch it is; the second time round, and 2: none */
        for (int i = 0; i < 4; i++) {
            rn_net_result r;
            set_biases(net, odd < 2 && i == 2 + odd ? 3e38f : 0);
            part_at(o, i % 2, 2, sgd.lr);
            done(rn_net_train_batch(net, images, labels, BATCH, NULL));
            done(rn_net_results(net, &r));
            assert_true(isfinite(r.loss_sum) == !(odd < 2 && i == 2 + odd) && isfinite(rn_optim_sums(o).grads));
            hand_back(be, net, is);
            const bool taken = i == 1 || (i == 3 && odd == 2);
            assert_true(differ(was, is, sizeof was) == taken);
            memcpy(was, is, sizeof was);
        }
    }
    rn_optim_close(o);
    rn_net_close(net);
}

/* The host's own memory is the caller's again when a copy returns (rn_backend.h), also where a device reads it by itself. */
static void what_is_copied_has_been_read(void **state)
{
    int32_t mine[64], back[64];
    void *p;

    (void)state;
    done(be->alloc(be, sizeof mine, &p));
    for (int32_t i = 0; i < 64; i++)
        mine[i] = i;
    done(be->copy(be, p, mine, sizeof mine, RN_COPY_H2D, NULL));
    memset(mine, 0xff, sizeof mine);
    done(be->copy(be, back, p, sizeof back, RN_COPY_D2H, NULL));
    if (be->sync)
        done(be->sync(be, NULL));
    for (int32_t i = 0; i < 64; i++)
        assert_int_equal(back[i], i);
    be->free(be, p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_copied_has_been_read),
        cmocka_unit_test(order_of_looking_changes_no_bit),
        cmocka_unit_test(nothing_follows_what_is_not_finite),
        cmocka_unit_test(no_loss_of_a_step_is_forgotten),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
