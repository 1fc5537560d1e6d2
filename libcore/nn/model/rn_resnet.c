/* SPDX-License-Identifier: MIT */
/*
 * ResNet-18/34 (basic blocks) and ResNet-50/101/152 (bottlenecks), with torchvision's module names, or timm's for what
 * torchvision does not have.
 *
 * In a block whose input changes shape, the downsample branch is wired before the main branch. In the backward
 * pass the main branch's first convolution then writes the gradient of the block's input, and the strided 1x1
 * adds to the quarter of the pixels it ever read, instead of zero-filling the rest first.
 */
#include "nn/model/rn_model.h"

#include <stdio.h>

typedef struct block {
    int convs;           /* on the main branch: 2 or 3 */
    int k[3], stride[3]; /* kernel and stride of each */
    int conv[3], bn[3];  /* their parameters */
    int se[2];           /* linear layers of squeeze and excitation; -1: none */
    int ds_conv, ds_bn;  /* -1: identity shortcut */
} block;

/* Channels between the two layers. Rounded to the nearest multiple, halves up, as timm's make_divisible does. */
static int squeezed(const rn_model_spec *s, int c)
{
    int q = c / s->se, to = s->se_round;
    if (to > 1)
        q = (int)((double)c / s->se + to / 2.0) / to * to;
    return q < 1 || q < to ? (to > 1 ? to : 1) : q;
}

/* timm's se.fc1 and se.fc2: 1x1 convolutions in files, and started as such. */
static void declare_se(rn_graph *g, const rn_model_spec *s, const char *name, int c, int fc[2])
{
    char text[64];
    int mid = squeezed(s, c);
    for (int i = 0; i < 2; i++) {
        snprintf(text, sizeof text, "%s.se.fc%d", name, i + 1);
        fc[i] = rn_graph_linear_1x1_params(g, text, i ? c : mid, i ? mid : c);
        if (fc[i] >= 0)
            g->params[fc[i]].filler = (rn_filler){RN_FILL_SCALED_NORMAL, RN_FAN_OUT, 2, 0};
    }
}

/* Each channel times what the whole image makes of it, then the shortcut. */
static int wire_se(rn_graph *g, const block *b, const char *name, int x, int res)
{
    char text[64];
    snprintf(text, sizeof text, "%s.se.squeeze", name);
    int s = rn_graph_linear(g, rn_graph_gap(g, x, text), b->se[0]);
    snprintf(text, sizeof text, "%s.se.act", name);
    s = rn_graph_linear(g, rn_graph_relu(g, s, text), b->se[1]);
    snprintf(text, sizeof text, "%s.se.gate", name);
    s = rn_graph_sigmoid(g, s, text);
    snprintf(text, sizeof text, "%s.se", name);
    return rn_graph_scale(g, x, s, res, text, true);
}

/* Parameters first, in the checkpoint's order: main branch, squeeze and excitation, downsample. */
static block declare_block(rn_graph *g, const rn_model_spec *s, const char *name, const rn_resnet_shape *shape, int ic,
                           int planes, int stride)
{
    block b = {.convs = 2, .k = {3, 3, 0}, .stride = {stride, 1, 0}, .ds_conv = -1, .ds_bn = -1};
    int c[4] = {ic, planes, planes, planes};
    if (shape->bottleneck) {
        bool first = s->variant == RN_VARIANT_V1; /* where the stride is */
        b = (block){.convs = 3, .k = {1, 3, 1}, .ds_conv = -1, .ds_bn = -1};
        b.stride[0] = first ? stride : 1;
        b.stride[1] = first ? 1 : stride;
        b.stride[2] = 1;
        c[3] = planes * 4;
    }
    char text[64];
    for (int i = 0; i < b.convs; i++) {
        snprintf(text, sizeof text, "%s.conv%d", name, i + 1);
        b.conv[i] = rn_graph_conv_weight(g, text, c[i + 1], b.k[i], c[i]);
        snprintf(text, sizeof text, "%s.bn%d", name, i + 1);
        b.bn[i] = rn_graph_bn_params(g, text, c[i + 1]);
    }
    int oc = c[b.convs];
    b.se[0] = b.se[1] = -1;
    if (s->se)
        declare_se(g, s, name, oc, b.se);
    if (stride != 1 || ic != oc) {
        int first = s->variant == RN_VARIANT_D; /* timm counts the pool, even where it is none for want of a stride */
        snprintf(text, sizeof text, "%s.downsample.%d", name, first);
        b.ds_conv = rn_graph_conv_weight(g, text, oc, 1, ic);
        snprintf(text, sizeof text, "%s.downsample.%d", name, first + 1);
        b.ds_bn = rn_graph_bn_params(g, text, oc);
    }
    return b;
}

/* What is added at the end: the input, or the input in the output's shape. */
static int wire_shortcut(rn_graph *g, const rn_model_spec *s, const block *b, const char *name, int x, int stride)
{
    if (b->ds_conv < 0)
        return x;
    if (s->variant == RN_VARIANT_D && stride > 1) { /* windows at odd borders hold what there is, as timm's do */
        char text[64];
        snprintf(text, sizeof text, "%s.downsample.0", name);
        int h = x >= 0 ? (int)g->values[x].t.dim[1] : 2, w = x >= 0 ? (int)g->values[x].t.dim[2] : 2;
        const rn_window window = {
            h < 2 ? 1 : 2, w < 2 ? 1 : 2, 2, 2, 0, 0}; /* of one pixel, the average is the pixel */
        x = rn_graph_pool(g, x, text, false, &window, true, false);
        stride = 1;
    }
    x = rn_graph_conv(g, x, b->ds_conv, stride, 0);
    return rn_graph_bn(g, x, b->ds_bn, -1, false);
}

static int wire_block(rn_graph *g, const rn_model_spec *s, const block *b, const char *name, int x, int stride)
{
    int res = wire_shortcut(g, s, b, name, x, stride);
    bool se = b->se[0] >= 0;
    for (int i = 0; i < b->convs; i++) {
        bool last = i == b->convs - 1;
        x = rn_graph_conv(g, x, b->conv[i], b->stride[i], b->k[i] / 2);
        x = rn_graph_bn(g, x, b->bn[i], last && !se ? res : -1, !(last && se));
    }
    if (x >= 0)
        g->nodes[g->nnodes - 1].zero_gamma = s->zero_gamma;
    if (se)
        x = wire_se(g, b, name, x, res);
    return x;
}

/* One convolution of a deep stem and, but for the last, its batch norm: timm's conv1.0, conv1.1, (ReLU), conv1.3, ... */
static int deep_stem(rn_graph *g, const rn_model_spec *s, int x, int c)
{
    int half = rn_model_scaled(32, s->width), ic = s->channels;
    const int oc[3] = {half, half, c};
    int conv[3], bn[3];
    for (int i = 0; i < 3; ic = oc[i++]) {
        char name[16];
        snprintf(name, sizeof name, "conv1.%d", 3 * i);
        conv[i] = rn_graph_conv_weight(g, name, oc[i], 3, ic);
        snprintf(name, sizeof name, "conv1.%d", 3 * i + 1);
        bn[i] = rn_graph_bn_params(g, i < 2 ? name : "bn1", oc[i]);
    }
    for (int i = 0; i < 3; i++) {
        x = rn_graph_conv(g, x, conv[i], i == 0 ? 2 : 1, 1);
        x = rn_graph_bn(g, x, bn[i], -1, true);
    }
    return x;
}

static int build_stem(rn_graph *g, const rn_model_spec *s, int x, int c)
{
    bool small = s->stem == RN_STEM_CIFAR;
    if (!small && (s->variant == RN_VARIANT_C || s->variant == RN_VARIANT_D)) {
        x = deep_stem(g, s, x, c);
    } else {
        int conv = rn_graph_conv_weight(g, "conv1", c, small ? 3 : 7, s->channels);
        int bn = rn_graph_bn_params(g, "bn1", c);
        x = rn_graph_conv(g, x, conv, small ? 1 : 2, small ? 1 : 3);
        x = rn_graph_bn(g, x, bn, -1, true);
    }
    return small ? x : rn_graph_maxpool(g, x, "maxpool", 3, 2, 1);
}

void rn_resnet_build(rn_graph *g, const rn_model_spec *s, const rn_resnet_shape *shape, int batch)
{
    int x = rn_graph_images(g, batch, s->height, s->width_px ? s->width_px : s->height, s->channels);
    int ic = rn_model_scaled(64, s->width);
    x = build_stem(g, s, x, ic);
    for (int stage = 0; stage < 4; stage++) {
        int planes = rn_model_scaled(64 << stage, s->width);
        for (int i = 0; i < shape->blocks[stage]; i++) {
            char name[32];
            snprintf(name, sizeof name, "layer%d.%d", stage + 1, i);
            int stride = stage > 0 && i == 0 ? 2 : 1;
            block b = declare_block(g, s, name, shape, ic, planes, stride);
            x = wire_block(g, s, &b, name, x, stride);
            ic = shape->bottleneck ? planes * 4 : planes;
        }
    }
    x = rn_graph_gap(g, x, "avgpool");
    x = rn_model_dropout(g, s, x, "dropout", 0);
    x = rn_graph_linear(g, x, rn_graph_linear_params(g, "fc", s->classes, ic));
    rn_graph_xent(g, x);
}
