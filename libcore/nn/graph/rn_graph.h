/* SPDX-License-Identifier: MIT */
/*
 * The graph: values (activations), parameters and an array of nodes in the order of execution. It is plain
 * data: no backend, no memory and no algorithm. The memory plan (rn_plan.h) is computed from it, and rn_net.c
 * binds its values to places in one arena.
 *
 * A builder declares parameters in the order of the checkpoint and wires nodes in the order of execution; the
 * two differ where that saves work. Errors are sticky: after the first failure every call is a no-op and
 * rn_graph_finish returns its status.
 *
 * Backward runs the nodes in reverse. A value with several consumers gets its gradient from all of them: the
 * first writer overwrites (beta 0), later ones accumulate (beta 1), so that gradients are never zeroed and
 * never summed by an extra pass. rn_graph_finish works out who is who.
 */
#ifndef RN_GRAPH_H
#define RN_GRAPH_H

#include "nn/graph/rn_net.h"

enum rn_node_kind {
    RN_NODE_NORMALIZE, /* u8 pixels -> f32 */
    RN_NODE_CONV,
    RN_NODE_BN, /* [+ residual add] [+ ReLU] */
    RN_NODE_MAXPOOL,
    RN_NODE_AVGPOOL,
    RN_NODE_GAP, /* global average pool */
    RN_NODE_LINEAR,
    RN_NODE_XENT, /* softmax cross-entropy: the last node */
    RN_NODE_KINDS
};

typedef struct rn_value {
    rn_tensor t;     /* t.data is set when a net binds the graph */
    void *grad;      /* shape and dtype of t; likewise */
    bool needs_grad; /* false for what comes before the first parameter */
    int consumers;   /* nodes that read it, as input or residual */
} rn_value;

typedef struct rn_node {
    enum rn_node_kind kind;
    char name[96];          /* "layer1.0.conv1", torchvision's module name */
    int in, res, out;       /* values; res is -1 without a residual, out is -1 for XENT */
    int param;              /* first parameter: CONV weight; BN gamma, beta, mean, var; LINEAR weight, bias; else -1 */
    bool relu;              /* BN */
    bool zero_gamma;        /* BN: initialise gamma with 0 (last of a residual block) */
    int dx_beta, dres_beta; /* 0: this node is the first to write that gradient; 1: it adds */
    rn_conv_desc conv;      /* CONV */
    rn_op_pool pool;        /* MAXPOOL, AVGPOOL: geometry only */
} rn_node;

typedef struct rn_graph {
    rn_value *values;
    rn_node *nodes;
    rn_param *params;
    int nvalues, nnodes, nparams;
    int cap_values, cap_nodes, cap_params;
    int images, input, logits; /* values: u8 pixels, normalised pixels, scores */
    int status;                /* 0 or the first failure */
} rn_graph;

/* All of these return an index (value or parameter), or -1 once the graph has failed. `g` starts zeroed.
 * Declared parameters start as PyTorch's and torchvision's ResNets do: convolutions N(0, 2/fan_out), linear weights and biases
 * U(+-1/sqrt(fan_in)), batch norm 1 and 0. A builder that wants it otherwise assigns params[i].filler (rn_fill.h) before
 * rn_graph_finish; a prototxt's fillers go there too. */
int rn_graph_images(rn_graph *g, int batch, int h, int w, int channels); /* adds NORMALIZE; returns its output */

int rn_graph_conv_weight(rn_graph *g, const char *name, int oc, int k, int ic); /* square kernel */
int rn_graph_bn_params(rn_graph *g, const char *name, int c);                   /* first of four */
int rn_graph_linear_params(rn_graph *g, const char *name, int oc, int ic);      /* first of two */

int rn_graph_conv(rn_graph *g, int x, int weight, int stride, int pad);
int rn_graph_bn(rn_graph *g, int x, int params, int res, bool relu); /* res -1: none */
int rn_graph_maxpool(rn_graph *g, int x, const char *name, int k, int stride, int pad);
int rn_graph_avgpool(rn_graph *g, int x, const char *name, int k, int stride, int pad, bool count_include_pad);
int rn_graph_gap(rn_graph *g, int x, const char *name);
int rn_graph_linear(rn_graph *g, int x, int params);
void rn_graph_xent(rn_graph *g, int logits); /* last */

/* Checks the whole and fills consumers, needs_grad, dx_beta and dres_beta. Returns the graph's status. */
int rn_graph_finish(rn_graph *g);
int64_t rn_graph_weights(const rn_graph *g); /* trained values: all parameters but the running statistics */
void rn_graph_free(rn_graph *g);             /* accepts a zeroed or half-built graph */

#endif
