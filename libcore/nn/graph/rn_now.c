/* SPDX-License-Identifier: MIT */
/*
 * What ops read from the device's memory because it may differ from batch to batch (rn_op_now), and how much of a batch goes into
 * each of Caffe's batch norms: at the end of the loss's slot, as on the host.
 */
#include <math.h>

#include "nn/graph/rn_net_impl.h"

size_t rn_plan_now_bytes(const rn_graph *g)
{
    size_t norms = 0;
    for (int i = 0; i < g->nnodes; i++)
        norms += g->nodes[i].bn_caffe;
    return sizeof(rn_op_now) + norms * sizeof(float);
}

const rn_op_now *rn_net_now(const rn_net *net)
{
    const int loss = net->graph.nnodes - 1;
    const rn_tensor *logits = &net->graph.values[net->graph.nodes[loss].in].t;
    const int32_t *words = rn_net_slot(net, RN_SLOT_AUX, loss);
    return (const rn_op_now *)(const void *)(words + 4 * logits->dim[0]);
}

const float *rn_net_momentum_now(const rn_net *net, int node)
{
    const float *at = (const float *)(rn_net_now(net) + 1);
    if (!net->graph.nodes[node].bn_caffe)
        return NULL;
    for (int i = 0; i < node; i++)
        at += net->graph.nodes[i].bn_caffe;
    return at;
}

/*
 * Caffe keeps sums, s = f s + x and n = f n + 1, and divides: the mean of all batches so far, each weighted by f^age. That is
 * running += (x - running) / n with n = (1 - f^t) / (1 - f) at batch t, counted from 1: the first one is taken whole.
 */
static float caffe_momentum(const rn_node *n, int64_t batch)
{
    const double f = (double)n->bn_fraction, t = batch > 1 ? (double)batch : 1;
    return (float)((1 - f) / (1 - pow(f, t)));
}

void rn_net_put_now(const rn_net *net, bool train, rn_op_now *host)
{
    float *momentum = (float *)(host + 1);
    *host = net->now;
    for (int i = 0; i < net->graph.nnodes; i++)
        if (net->graph.nodes[i].bn_caffe)
            *momentum++ = caffe_momentum(&net->graph.nodes[i], net->batches + train);
}
