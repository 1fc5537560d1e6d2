/* SPDX-License-Identifier: MIT */
/* Runs the nodes, forward in order and backward in reverse. */
#include "nn/graph/rn_exec.h"

#include "base/rn_error.h"
#include "nn/graph/rn_reduce.h"

void *rn_net_slot(const rn_net *net, enum rn_slot_kind kind, int i)
{
    return net->arena + net->plan.slots[rn_plan_index(&net->graph, kind, i)].offset;
}

typedef struct runner {
    int (*fwd)(const rn_exec *c);
    int (*bwd)(const rn_exec *c); /* NULL: pixels need no gradient, and the loss wrote its own */
} runner;

static const runner runners[RN_NODE_KINDS] = {
    [RN_NODE_NORMALIZE] = {rn_exec_normalize_fwd, NULL},
    [RN_NODE_CONV] = {rn_exec_conv_fwd, rn_exec_conv_bwd},
    [RN_NODE_BN] = {rn_exec_bn_fwd, rn_exec_bn_bwd},
    [RN_NODE_MAXPOOL] = {rn_exec_maxpool_fwd, rn_exec_maxpool_bwd},
    [RN_NODE_AVGPOOL] = {rn_exec_avgpool_fwd, rn_exec_avgpool_bwd},
    [RN_NODE_GAP] = {rn_exec_gap_fwd, rn_exec_gap_bwd},
    [RN_NODE_LINEAR] = {rn_exec_linear_fwd, rn_exec_linear_bwd},
    [RN_NODE_RELU] = {rn_exec_relu_fwd, rn_exec_relu_bwd},
    [RN_NODE_ELTWISE] = {rn_exec_eltwise_fwd, rn_exec_eltwise_bwd},
    [RN_NODE_SIGMOID] = {rn_exec_sigmoid_fwd, rn_exec_sigmoid_bwd},
    [RN_NODE_SCALE] = {rn_exec_scale_fwd, rn_exec_scale_bwd},
    [RN_NODE_DROPOUT] = {rn_exec_dropout_fwd, rn_exec_dropout_bwd},
    [RN_NODE_LRN] = {rn_exec_lrn_fwd, rn_exec_lrn_bwd},
    [RN_NODE_CONCAT] = {rn_exec_concat_fwd, rn_exec_concat_bwd},
    [RN_NODE_SLICE] = {rn_exec_slice_fwd, rn_exec_slice_bwd},
    [RN_NODE_XENT] = {rn_exec_xent, NULL},
};

static rn_exec make_exec(rn_net *net, int i, bool train, int n)
{
    const rn_node *node = &net->graph.nodes[i];
    const rn_value *v = net->graph.values;
    return (rn_exec){.net = net,
                     .node = node,
                     .index = i,
                     .in = &v[node->in],
                     .res = node->res >= 0 ? &v[node->res] : NULL,
                     .out = node->out >= 0 ? &v[node->out] : NULL,
                     .train = train,
                     .n = n};
}

int rn_net_normalize(rn_net *net)
{
    rn_exec c = make_exec(net, 0, true, net->opts.batch);
    int rc = runners[c.node->kind].fwd(&c);
    return rc < 0 ? rn_fail_prefix(rc, "forward of %s", c.node->name) : RN_OK;
}

int rn_net_forward(rn_net *net, int first, bool train, int n)
{
    if (net->watched)
        RN_TRY(rn_watch_before(net));
    for (int i = first; i < net->graph.nnodes; i++) {
        rn_exec c = make_exec(net, i, train, n);
        int rc = runners[c.node->kind].fwd(&c);
        if (rc < 0)
            return rn_fail_prefix(rc, "forward of %s", c.node->name);
        if (net->watched)
            RN_TRY(rn_watch_forward(&c));
    }
    return RN_OK;
}

int rn_net_backward(rn_net *net)
{
    RN_TRY(rn_reduce_begin(net));
    for (int i = net->graph.nnodes - 1; i >= 0; i--) {
        rn_exec c = make_exec(net, i, true, 0);
        if (!runners[c.node->kind].bwd || !c.out || !c.out->needs_grad)
            continue;
        int rc = runners[c.node->kind].bwd(&c);
        if (rc < 0)
            return rn_fail_prefix(rc, "backward of %s", c.node->name);
        if (net->watched)
            RN_TRY(rn_watch_backward(&c));
        RN_TRY(rn_reduce_after(net, i));
    }
    return rn_reduce_end(net);
}
