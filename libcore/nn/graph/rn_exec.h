/* SPDX-License-Identifier: MIT */
/*
 * Running a node: one function a kind and direction, by family in rn_exec_*.c, in the table of rn_exec.c. Nothing here
 * allocates, and nothing knows an algorithm. For the files of this room only.
 */
#ifndef RN_EXEC_H
#define RN_EXEC_H

#include "nn/graph/rn_net_impl.h"

/* One node, about to run. */
typedef struct rn_exec {
    rn_net *net;
    const rn_node *node;
    int index;                      /* of the node */
    const rn_value *in, *res, *out; /* res, out may be NULL */
    bool train;
    int n; /* images that count; 0 in a backward pass */
} rn_exec;

/* Parameter k of the node. */
static inline const rn_param *rn_exec_param(const rn_exec *c, int k)
{
    return &c->net->graph.params[c->node->param + k];
}

/* A value as rows of its last dimension. */
static inline int64_t rn_exec_rows(const rn_tensor *t)
{
    return rn_tensor_count(t) / t->dim[t->nd - 1];
}

/* The node's weight and bias, or their gradients: this node's part of them. */
static inline float *rn_exec_weight(const rn_exec *c)
{
    return c->net->graph.params[c->node->param].value + c->node->param_at;
}
static inline float *rn_exec_weight_grad(const rn_exec *c)
{
    return c->net->graph.params[c->node->param].grad + c->node->param_at;
}
/* NULL without a bias. */
static inline float *rn_exec_bias(const rn_exec *c)
{
    return c->node->bias < 0 ? NULL : c->net->graph.params[c->node->bias].value + c->node->bias_at;
}
static inline float *rn_exec_bias_grad(const rn_exec *c)
{
    return c->node->bias < 0 ? NULL : c->net->graph.params[c->node->bias].grad + c->node->bias_at;
}

/* Before a watched net runs, and after each node (rn_watch.h). */
int rn_watch_before(rn_net *net);
int rn_watch_forward(const rn_exec *c);
int rn_watch_backward(const rn_exec *c);

int rn_exec_normalize_fwd(const rn_exec *c);
int rn_exec_bn_fwd(const rn_exec *c);
int rn_exec_bn_bwd(const rn_exec *c);
int rn_exec_conv_fwd(const rn_exec *c);
int rn_exec_conv_bwd(const rn_exec *c);
int rn_exec_linear_fwd(const rn_exec *c);
int rn_exec_linear_bwd(const rn_exec *c);
int rn_exec_relu_fwd(const rn_exec *c);
int rn_exec_relu_bwd(const rn_exec *c);
int rn_exec_eltwise_fwd(const rn_exec *c);
int rn_exec_eltwise_bwd(const rn_exec *c);
int rn_exec_sigmoid_fwd(const rn_exec *c);
int rn_exec_sigmoid_bwd(const rn_exec *c);
int rn_exec_dropout_fwd(const rn_exec *c);
int rn_exec_dropout_bwd(const rn_exec *c);
int rn_exec_scale_fwd(const rn_exec *c);
int rn_exec_scale_bwd(const rn_exec *c);
int rn_exec_lrn_fwd(const rn_exec *c);
int rn_exec_lrn_bwd(const rn_exec *c);
int rn_exec_concat_fwd(const rn_exec *c);
int rn_exec_concat_bwd(const rn_exec *c);
int rn_exec_slice_fwd(const rn_exec *c);
int rn_exec_slice_bwd(const rn_exec *c);
int rn_exec_maxpool_fwd(const rn_exec *c);
int rn_exec_maxpool_bwd(const rn_exec *c);
int rn_exec_avgpool_fwd(const rn_exec *c);
int rn_exec_avgpool_bwd(const rn_exec *c);
int rn_exec_gap_fwd(const rn_exec *c);
int rn_exec_gap_bwd(const rn_exec *c);
int rn_exec_xent(const rn_exec *c);

#endif
