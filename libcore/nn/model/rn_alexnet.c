/* SPDX-License-Identifier: MIT */
/*
 * Nets without batch norm: AlexNet as torchvision has it (Krizhevsky 2014, arXiv 1404.5997), Caffe's AlexNet and CaffeNet
 * (Krizhevsky et al. 2012 in two groups, as in BVLC's prototxts, with their fillers and multipliers), and the net of five
 * strided convolutions of the GHIM-10k learning-rate study.
 */
#include "base/rn_error.h"
#include "nn/model/rn_model.h"

/* ---- layers of Caffe's kind ---- */

typedef struct layer {
    const char *name;
    int oc, k, stride, pad, groups;
    rn_filler weight;
    double bias;
} layer;

#define GAUSSIAN(std)                                                                                                  \
    {                                                                                                                  \
        RN_FILL_GAUSSIAN, RN_FAN_IN, 0, std                                                                            \
    }

/* Caffe's usual multipliers: biases learn twice as fast and do not decay. */
static int add_bias(rn_graph *g, const layer *l, int oc)
{
    int bias = rn_graph_bias(g, l->name, oc);
    if (bias >= 0) {
        g->params[bias].filler = (rn_filler){RN_FILL_CONSTANT, RN_FAN_IN, l->bias, 0};
        g->params[bias].lr_mult = 2;
        g->params[bias].decay_mult = 0;
    }
    return bias;
}

static int channels_of(const rn_graph *g, int x)
{
    return x >= 0 ? (int)g->values[x].t.dim[g->values[x].t.nd - 1] : 0;
}

static int conv_relu(rn_graph *g, int x, const layer *l, double width)
{
    int oc = rn_model_scaled(l->oc, width),
        w = rn_graph_conv_weight(g, l->name, oc, l->k, channels_of(g, x) / l->groups);
    if (w >= 0)
        g->params[w].filler = l->weight;
    int b = add_bias(g, l, oc);
    return rn_graph_conv_group(g, x, w, b, RN_WINDOW(l->k, l->stride, l->pad), l->groups, true);
}

/* Behind an image or a vector. */
static int linear(rn_graph *g, int x, const layer *l, int oc)
{
    if (x < 0)
        return -1;
    const rn_tensor *t = &g->values[x].t;
    int h = t->nd == 4 ? (int)t->dim[1] : 1, w_px = t->nd == 4 ? (int)t->dim[2] : 1;
    int w = rn_graph_linear_weight(g, l->name, oc, channels_of(g, x), h, w_px);
    if (w >= 0)
        g->params[w].filler = l->weight;
    int b = add_bias(g, l, oc);
    return rn_graph_linear_bias(g, x, w, b);
}

/* ---- CaffeNet and Caffe's AlexNet ---- */

static int pool(rn_graph *g, int x, const char *name)
{
    return rn_graph_pool(g, x, name, true, RN_WINDOW(3, 2, 0), true, false);
}

static int norm(rn_graph *g, int x, const char *name)
{
    return rn_graph_lrn(g, x, name, 5, 1e-4f, 0.75f, 1);
}

void rn_caffenet_build(rn_graph *g, const rn_model_spec *s, bool norm_first, int batch)
{
    double one = norm_first ? 0.1 : 1; /* BVLC's AlexNet starts its non-zero biases at 0.1 */
    const layer conv[5] = {{"conv1", 96, 11, 4, 0, 1, GAUSSIAN(0.01), 0},
                           {"conv2", 256, 5, 1, 2, 2, GAUSSIAN(0.01), one},
                           {"conv3", 384, 3, 1, 1, 1, GAUSSIAN(0.01), 0},
                           {"conv4", 384, 3, 1, 1, 2, GAUSSIAN(0.01), one},
                           {"conv5", 256, 3, 1, 1, 2, GAUSSIAN(0.01), one}};
    const layer fc[3] = {{.name = "fc6", .weight = GAUSSIAN(0.005), .bias = one},
                         {.name = "fc7", .weight = GAUSSIAN(0.005), .bias = one},
                         {.name = "fc8", .weight = GAUSSIAN(0.01)}};
    static const char *const pools[] = {"pool1", "pool2"}, *const norms[] = {"norm1", "norm2"},
                             *const drops[] = {"drop6", "drop7"};
    int x = rn_graph_images(g, batch, s->height, s->width_px ? s->width_px : s->height, s->channels);
    for (int i = 0; i < 5; i++) {
        x = conv_relu(g, x, &conv[i], s->width);
        if (i >= 2)
            continue;
        x = norm_first ? pool(g, norm(g, x, norms[i]), pools[i]) : norm(g, pool(g, x, pools[i]), norms[i]);
    }
    x = pool(g, x, "pool5");
    for (int i = 0; i < 2; i++) {
        x = linear(g, x, &fc[i], rn_model_scaled(4096, s->width));
        x = rn_graph_relu(g, x, i ? "relu7" : "relu6");
        x = rn_model_dropout(g, s, x, drops[i], 0.5);
    }
    rn_graph_xent(g, linear(g, x, &fc[2], s->classes));
}

/* ---- the study's net ---- */

void rn_ghim5_build(rn_graph *g, const rn_model_spec *s, int batch)
{
    static const layer conv[5] = {{"conv1", 64, 3, 2, 1, 1, GAUSSIAN(0.01), 0},
                                  {"conv2", 64, 3, 2, 1, 1, GAUSSIAN(0.01), 0},
                                  {"conv3", 128, 3, 2, 1, 1, GAUSSIAN(0.01), 0},
                                  {"conv4", 128, 3, 2, 1, 1, GAUSSIAN(0.01), 0},
                                  {"conv5", 256, 3, 2, 1, 1, GAUSSIAN(0.01), 0}};
    static const layer fc = {.name = "fc", .weight = {RN_FILL_SCALED_UNIFORM, RN_FAN_IN, 1, 0}};
    int x = rn_graph_images(g, batch, s->height, s->width_px ? s->width_px : s->height, s->channels);
    for (int i = 0; i < 5; i++)
        x = conv_relu(g, x, &conv[i], s->width);
    x = rn_graph_gap(g, x, "pool5");
    x = rn_model_dropout(g, s, x, "dropout", 0);
    rn_graph_xent(g, linear(g, x, &fc, s->classes));
}

/* ---- torchvision's AlexNet ---- */

/* torch.nn's default for weights; the graph's for biases is that already. */
static void torch_default(rn_graph *g, int param)
{
    if (param >= 0)
        g->params[param].filler = (rn_filler){RN_FILL_SCALED_UNIFORM, RN_FAN_IN, 1.0 / 3, 0};
}

/* AdaptiveAvgPool2d(6), for maps that six equal windows part: at 6 pixels, as from an image of 223 to 254, it does nothing. */
static int average_to_six(rn_graph *g, int x)
{
    if (x < 0)
        return -1;
    int h = (int)g->values[x].t.dim[1], w = (int)g->values[x].t.dim[2];
    if (h == 6 && w == 6)
        return x;
    if (h % 6 || w % 6) {
        g->status =
            rn_fail(RN_E_UNSUPPORTED,
                    "alexnet: its last convolution leaves %dx%d pixels, which do not part into 6x6 equal windows; "
                    "give images of 223 to 254 pixels",
                    h, w);
        return -1;
    }
    const rn_window window = {h / 6, w / 6, h / 6, w / 6, 0, 0};
    return rn_graph_pool(g, x, "avgpool", false, &window, false, true);
}

void rn_alexnet_build(rn_graph *g, const rn_model_spec *s, int batch)
{
    static const struct {
        const char *name, *pool; /* pool NULL: none follows */
        int oc, k, stride, pad;
    } conv[5] = {{"features.0", "features.2", 64, 11, 4, 2},
                 {"features.3", "features.5", 192, 5, 1, 2},
                 {"features.6", NULL, 384, 3, 1, 1},
                 {"features.8", NULL, 256, 3, 1, 1},
                 {"features.10", "features.12", 256, 3, 1, 1}};
    static const char *const drop[] = {"classifier.0", "classifier.3"}, *const fc[] = {"classifier.1", "classifier.4"},
                             *const relu[] = {"classifier.2", "classifier.5"};
    int x = rn_graph_images(g, batch, s->height, s->width_px ? s->width_px : s->height, s->channels);
    for (int i = 0; i < 5; i++) {
        int oc = rn_model_scaled(conv[i].oc, s->width);
        int w = rn_graph_conv_weight(g, conv[i].name, oc, conv[i].k, channels_of(g, x));
        torch_default(g, w);
        int b = rn_graph_bias(g, conv[i].name, oc);
        x = rn_graph_conv_bias(g, x, w, b, RN_WINDOW(conv[i].k, conv[i].stride, conv[i].pad), true);
        if (conv[i].pool)
            x = rn_graph_maxpool(g, x, conv[i].pool, 3, 2, 0);
    }
    x = average_to_six(g, x);
    const int hidden = rn_model_scaled(4096, s->width);
    for (int i = 0; i < 2; i++) {
        x = rn_model_dropout(g, s, x, drop[i], 0.5);
        int side = i ? 1 : 6, w = rn_graph_linear_weight(g, fc[i], hidden, channels_of(g, x), side, side);
        x = rn_graph_linear_bias(g, x, w, rn_graph_bias(g, fc[i], hidden));
        x = rn_graph_relu(g, x, relu[i]);
    }
    rn_graph_xent(g, rn_graph_linear(g, x, rn_graph_linear_params(g, "classifier.6", s->classes, hidden)));
}
