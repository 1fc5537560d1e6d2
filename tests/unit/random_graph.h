/* SPDX-License-Identifier: MIT */
/* Graphs of every kind of node, wired at random: what a plan and the ops must be right for. */
#ifndef RANDOM_GRAPH_H
#define RANDOM_GRAPH_H

#include <stdio.h>

#include "base/rn_rng.h"
#include "nn/graph/rn_graph.h"

static inline int below(rn_rng *r, int n)
{
    return (int)rn_rng_below(r, (uint32_t)n);
}

/* One more value of 8 channels out of one or more of `xs`. */
static inline int random_node(rn_graph *g, rn_rng *r, const int *xs, int n, int i)
{
    int x = xs[below(r, n)], y = xs[below(r, n)];
    char name[32];
    snprintf(name, sizeof name, "n%d", i);
    switch (below(r, 13)) {
    case 0:
        return rn_graph_conv_bias(g, x, rn_graph_conv_weight(g, name, 8, 3, 8), rn_graph_bias(g, name, 8),
                                  RN_WINDOW(3, 1, 1), below(r, 2));
    case 1:
        return rn_graph_conv(g, x, rn_graph_conv_weight(g, name, 8, 1, 8), 1, 0);
    case 2:
        return rn_graph_conv_group(g, x, rn_graph_conv_weight(g, name, 8, 3, 2), -1, RN_WINDOW(3, 1, 1), 4, false);
    case 3:
        return rn_graph_bn(g, x, rn_graph_bn_params(g, name, 8), x != y && below(r, 2) ? y : -1, below(r, 2));
    case 4:
        return rn_graph_relu(g, x, name);
    case 5:
        return rn_graph_add(g, x, y, name, below(r, 2));
    case 6:
        return rn_graph_eltwise(g, x, y, name, RN_ELTWISE_PRODUCT, 1, 1);
    case 7:
        return rn_graph_sigmoid(g, x, name);
    case 8:
        return rn_graph_scale(g, x, rn_graph_sigmoid(g, rn_graph_gap(g, y, name), name), below(r, 2) ? y : -1, name,
                              below(r, 2));
    case 9:
        return rn_graph_dropout(g, x, name, 0.5f);
    case 10:
        return rn_graph_lrn(g, x, name, 5, 1e-4f, 0.75f, 1);
    case 11:
        return rn_graph_concat(g, (int[]){rn_graph_slice(g, x, name, below(r, 4), 3), rn_graph_slice(g, y, name, 2, 5)},
                               2, name);
    default:
        return rn_graph_pool(g, x, name, below(r, 2), RN_WINDOW(3, 1, 1), false, below(r, 2));
    }
}

/* 5 classes; not finished. What nothing reads yet is added up at the end. */
static inline void random_graph(rn_graph *g, uint32_t seed, int batch, int side)
{
    int xs[64], n = 0;
    rn_rng r;
    rn_rng_seed(&r, 5, RN_STREAM_TEST, 2, seed);
    int x = rn_graph_images(g, batch, side, side, 3);
    xs[n++] = rn_graph_conv(g, x, rn_graph_conv_weight(g, "first", 8, 3, 3), 1, 1);
    int more = 3 + below(&r, 20);
    for (int i = 0; i < more; i++, n++)
        xs[n] = random_node(g, &r, xs, n, i);
    bool read[512] = {false};
    for (int i = 0; i < g->nnodes; i++)
        for (int k = 0; k < RN_NODE_INPUTS; k++)
            if (g->nodes[i].ins[k] >= 0)
                read[g->nodes[i].ins[k]] = true;
    x = xs[n - 1];
    for (int i = 0; i < n - 1; i++)
        if (!read[xs[i]])
            x = rn_graph_add(g, x, xs[i], "rest", false);
    rn_graph_xent(g, rn_graph_linear(g, x, rn_graph_linear_weight(g, "fc", 5, 8, side, side)));
}

#endif
