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
    RN_NODE_CONV,      /* [+ bias [+ ReLU]] */
    RN_NODE_BN,        /* [+ residual add] [+ ReLU] */
    RN_NODE_MAXPOOL,
    RN_NODE_AVGPOOL,
    RN_NODE_GAP,    /* global average pool */
    RN_NODE_LINEAR, /* [+ bias] */
    RN_NODE_RELU,
    RN_NODE_ELTWISE, /* sum, product or maximum of two [+ ReLU] */
    RN_NODE_SIGMOID,
    RN_NODE_SCALE, /* by ins[2], a factor a channel of each image [+ residual add] [+ ReLU] */
    RN_NODE_DROPOUT,
    RN_NODE_LRN,
    RN_NODE_CONCAT, /* of all ins, along channels */
    RN_NODE_SLICE,  /* of channels */
    RN_NODE_XENT,   /* softmax cross-entropy: the last node */
    RN_NODE_KINDS
};

typedef struct rn_value {
    rn_tensor t;     /* t.data is set when a net binds the graph */
    void *grad;      /* shape and dtype of t; likewise */
    bool needs_grad; /* false for what comes before the first parameter */
    int consumers;   /* nodes that read it, as input or residual */
    /* Itself, unless a batch norm is fused (rn_net_fuse.c): then the value whose memory is read in its place, and the one
     * in whose gradient's memory its own would be. */
    int stored, grad_stored;
} rn_value;

enum { RN_NODE_INPUTS = 32 }; /* most values that a node reads */

typedef struct rn_node {
    enum rn_node_kind kind;
    char name[96]; /* "layer1.0.conv1", torchvision's module name */
    union {        /* values; -1: none */
        struct {
            int in, res; /* res: a residual, the second of two */
        };
        int ins[RN_NODE_INPUTS];
    };
    union { /* of the gradients of ins. 0: this node is the first to write it; 1: it adds */
        struct {
            int dx_beta, dres_beta;
        };
        int betas[RN_NODE_INPUTS];
    };
    int out;                   /* value; -1 for XENT */
    int param;                 /* first parameter: CONV, LINEAR weight; BN gamma, beta, mean, var; else -1 */
    int bias;                  /* parameter: CONV, LINEAR; else -1 */
    int64_t param_at, bias_at; /* values of these parameters that come before this node's part (groups) */
    bool relu;                 /* CONV with bias, BN, ELTWISE, SCALE */
    float bn_eps;              /* BN; 0: the net's */
    enum rn_bn_way bn_way;     /* BN */
    bool bn_mask;              /* BN: a mask is kept (rn_op.h), and y not read again for its own sake */
    int bn_in, bn_out;         /* CONV: the BN node that src is read through, that takes statistics of dst; else -1 */
    bool bn_caffe;             /* BN: running statistics as Caffe's, see rn_exec_norm.c */
    float bn_fraction;         /* BN, with bn_caffe: moving_average_fraction, at least 0 and below 1 */
    bool zero_gamma;           /* BN: initialise gamma with 0 (last of a residual block) */
    rn_conv_desc conv;         /* CONV */
    rn_op_pool pool;           /* MAXPOOL, AVGPOOL: geometry only */
    enum rn_eltwise_kind eltwise; /* ELTWISE */
    float factor[2];              /* ELTWISE, sum: of in and res */
    float dropout;                /* DROPOUT: the probability of 0 */
    int dropout_key;              /* DROPOUT: which one of its graph: part of its random numbers' name */
    int slice_at;                 /* SLICE: first channel */
    rn_op_lrn lrn;                /* LRN: parameters only */
} rn_node;

typedef struct rn_graph {
    rn_value *values;
    rn_node *nodes;
    rn_param *params;
    int nvalues, nnodes, nparams;
    int cap_values, cap_nodes, cap_params;
    int ndropouts;
    int images, input, logits; /* values: u8 pixels, normalised pixels, scores */
    int status;                /* 0 or the first failure */
} rn_graph;

/* A kernel's or window's geometry; sh, sw 0 are taken as 1. */
typedef struct rn_window {
    int kh, kw, sh, sw, ph, pw;
} rn_window;
#define RN_WINDOW(k, stride, pad) (&(const rn_window){k, k, stride, stride, pad, pad}) /* a square one */

/*
 * All of these return an index (value or parameter), or -1 once the graph has failed. `g` starts zeroed. A value is 4-d
 * (mb, h, w, c) or 2-d (mb, c); a parameter's name is the module's, ".weight" and so on are appended.
 *
 * Declared parameters start as PyTorch's and torchvision's ResNets do: convolutions N(0, 2/fan_out), linear weights and
 * biases U(+-1/sqrt(fan_in)), batch norm 1 and 0. A builder that wants it otherwise assigns params[i].filler (rn_fill.h)
 * before rn_graph_finish; a prototxt's fillers go there too.
 */
int rn_graph_images(rn_graph *g, int batch, int h, int w, int channels); /* adds NORMALIZE; returns its output */

int rn_graph_conv_weight(rn_graph *g, const char *name, int oc, int k, int ic); /* square kernel */
int rn_graph_conv_weight_hw(rn_graph *g, const char *name, int oc, int kh, int kw, int ic);
int rn_graph_bias(rn_graph *g, const char *name, int c);                   /* of a convolution */
int rn_graph_bn_params(rn_graph *g, const char *name, int c);              /* first of four */
int rn_graph_linear_params(rn_graph *g, const char *name, int oc, int ic); /* first of two */
/* Of a linear layer that reads a 4-d value: memory (oc, h, w, c); in files (oc, c * h * w) in the order c, h, w, as
 * torch's and Caffe's flattened NCHW values are. Its bias: rn_graph_bias. */
int rn_graph_linear_weight(rn_graph *g, const char *name, int oc, int c, int h, int w);
/* First of two: a linear layer whose weight is a 1x1 convolution's (oc, ic, 1, 1) in files, as timm's SE layers. */
int rn_graph_linear_1x1_params(rn_graph *g, const char *name, int oc, int ic);

int rn_graph_conv(rn_graph *g, int x, int weight, int stride, int pad);
/* bias -1: none. at->kh and at->kw are the weight's. relu: with a bias only (rn_graph_finish fuses a RELU node that
 * can be fused by itself). */
int rn_graph_conv_bias(rn_graph *g, int x, int weight, int bias, const rn_window *at, bool relu);
/* The same in groups: x's channels and the output's are parted into `groups` equal ones, each with its own part of the weight
 * (oc, kh, kw, ic / groups), which stands in files as torch's and Caffe's do. */
int rn_graph_conv_group(rn_graph *g, int x, int weight, int bias, const rn_window *at, int groups, bool relu);
int rn_graph_bn(rn_graph *g, int x, int params, int res, bool relu); /* res -1: none; not x itself */
int rn_graph_relu(rn_graph *g, int x, const char *name);
/* y = a + b [then max(., 0)] */
int rn_graph_add(rn_graph *g, int a, int b, const char *name, bool relu);
/* ca, cb: of a sum (y = ca a + cb b). */
int rn_graph_eltwise(rn_graph *g, int a, int b, const char *name, enum rn_eltwise_kind kind, float ca, float cb);
int rn_graph_sigmoid(rn_graph *g, int x, const char *name);
/* y = x * s [+ res] [then max(., 0)]: x (mb, h, w, c), s (mb, c) or (mb, 1, 1, c); res -1: none. */
int rn_graph_scale(rn_graph *g, int x, int s, int res, const char *name, bool relu);
/* p: of a value to become 0, at least 0 and below 1. In evaluation nothing happens. */
int rn_graph_dropout(rn_graph *g, int x, const char *name, float p);
/* Across channels; Caffe's and torch's alpha, which is divided by size. A window may be wider than there are channels. */
int rn_graph_lrn(rn_graph *g, int x, const char *name, int size, float alpha, float beta, float k);
/* Along channels, all of one image size; 1 <= n <= RN_NODE_INPUTS. */
int rn_graph_concat(rn_graph *g, const int *xs, int n, const char *name);
int rn_graph_slice(rn_graph *g, int x, const char *name, int first, int channels);
int rn_graph_maxpool(rn_graph *g, int x, const char *name, int k, int stride, int pad);
/* ceil: the output size is rounded up, and a last window that would begin beyond the image and its leading padding is
 * dropped: Caffe's pooling, and torch's ceil_mode. count_include_pad (average): Caffe's divisor, and torch's default. */
int rn_graph_pool(rn_graph *g, int x, const char *name, bool max, const rn_window *w, bool ceil,
                  bool count_include_pad);
int rn_graph_gap(rn_graph *g, int x, const char *name); /* 4-d -> 2-d */
/* A 4-d input is read as rows of h * w * c: its weight is rn_graph_linear_weight's. The bias is the parameter
 * that follows the weight, if that is a bias. */
int rn_graph_linear(rn_graph *g, int x, int params);
int rn_graph_linear_bias(rn_graph *g, int x, int weight, int bias); /* bias -1: none */
void rn_graph_xent(rn_graph *g, int logits);                        /* last */

/* Checks the whole and fills consumers, needs_grad, dx_beta and dres_beta. Returns the graph's status. */
int rn_graph_finish(rn_graph *g);
/* Makes every activation of a finished f32 graph one of `dtype`: RN_F32, RN_BF16 or RN_F16. Pixels stay u8, and the scores
 * f32: their softmax wants more than 8 bits. RN_E_UNSUPPORTED when something else than a linear layer makes them. */
int rn_graph_set_dtype(rn_graph *g, rn_dtype dtype);
int64_t rn_graph_weights(const rn_graph *g); /* trained values: all parameters but the running statistics */
void rn_graph_free(rn_graph *g);             /* accepts a zeroed or half-built graph */

#endif
