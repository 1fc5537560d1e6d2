/* SPDX-License-Identifier: MIT */
/* A small net, a batch it can learn by heart, and how to train on it: for tests of nets as a whole. */
#ifndef TINY_NET_H
#define TINY_NET_H

#include "base/rn_error.h"
#include "base/rn_rng.h"
#include "nn/graph/rn_net.h"
#include "nn/optim/rn_optim.h"

enum { BATCH = 8, SIDE = 16, CHANNELS = 3, CLASSES = 4, PIXELS = BATCH * SIDE * SIDE * CHANNELS };

static const rn_model_spec tiny __attribute__((unused)) = {.arch = "resnet18",
                                                           .stem = RN_STEM_CIFAR,
                                                           .width = 0.125,
                                                           .classes = CLASSES,
                                                           .channels = CHANNELS,
                                                           .height = SIDE};
static const rn_sgd_opts sgd = {.lr = 0.05f, .momentum = 0.9f, .weight_decay = 1e-4f};

static uint8_t images[PIXELS];
static int32_t labels[BATCH];

static void draw_batch(void)
{
    rn_rng r;
    rn_rng_seed(&r, 7, RN_STREAM_TEST, 0, 0);
    for (int i = 0; i < PIXELS; i++)
        images[i] = (uint8_t)rn_rng_below(&r, 256);
    for (int i = 0; i < BATCH; i++)
        labels[i] = i % CLASSES;
}

static void done(int rc)
{
    if (rc < 0)
        fail_msg("%s: %s", rn_status_name(rc), rn_error_text());
}

/* Gradients of the batch; its mean loss. */
static inline double train_batch(rn_net *net)
{
    rn_net_result r;
    done(rn_net_train_batch(net, images, labels, BATCH, &r));
    assert_int_equal(r.n, BATCH);
    return r.loss_sum / r.n;
}

static inline double train_step(rn_net *net)
{
    const double loss = train_batch(net);
    done(rn_optim_sgd(net, &sgd));
    return loss;
}

#endif
