/* SPDX-License-Identifier: MIT */
/* Inside of rn_net, for the files of this room only. */
#ifndef RN_NET_IMPL_H
#define RN_NET_IMPL_H

#include "nn/graph/rn_net.h"
#include "nn/graph/rn_plan.h"

/*
 * The parameters of a net and of the evaluation nets opened on it (rn_net_open_shared). One device block for
 * values, gradients and momentum, all three laid out alike: convolution and linear weights, then gammas, betas and
 * biases (the group that weight decay may spare), then running statistics, which have neither gradient nor
 * momentum. Every parameter starts on 64 bytes; the gaps are zero and stay zero under SGD, so that one
 * call updates a whole group. With 16-bit activations the convolutions read a copy of their weights in that type, made
 * anew once after each change; everything else reads the f32 masters.
 */
typedef struct rn_weights {
    rn_backend *be;
    int refs;
    float *values, *grads, *momentum;   /* grads, momentum: NULL in an evaluation net */
    int64_t n_decay, n_spared, n_total; /* floats: first group, second group, all with the statistics */
    uint64_t version;                   /* counts changes of the values */
    rn_dtype dtype;                     /* of the copy */
    void *narrow; /* the convolutions' weights in dtype, in the order of the parameters; NULL: f32 */
    int64_t n_narrow;
    uint64_t narrowed; /* version of the values that the copy is of */
    float
        *mean_image; /* rn_net_opts.mean_image on the device: not trained, but shared as the weights are; NULL: none */
} rn_weights;

int rn_weights_open(rn_backend *be, const rn_graph *g, bool train, rn_dtype dtype,
                    rn_weights **out);  /* one reference */
void rn_weights_release(rn_weights *w); /* accepts NULL */
/* Points the graph's parameters into `w`; with `train` their gradients and momentum too. */
void rn_weights_bind(const rn_weights *w, rn_graph *g, bool train);
/* Brings the copy up to date. */
int rn_weights_narrow(const rn_weights *w, const rn_graph *g);
size_t rn_weights_bytes(const rn_weights *w);
int rn_weights_set_mean_image(rn_weights *w, const float *host, size_t count);

/* What follows the pass of a training batch, as a part of it. Its kinds are rn_optim's: */
enum { RN_TAIL_SUM = 1, RN_TAIL_MEAN = 2, RN_TAIL_UPDATE = 4, RN_TAILS = 8 }; /* bits; 0: nothing follows */
typedef struct rn_tail {
    unsigned kind;
    int (*give)(void *with, unsigned kind);  /* the same ops with the same arguments each time */
    int (*given)(void *with, unsigned kind); /* after each time, captured or not */
    void *with;
} rn_tail;

/* rn_pass.c's: all zero before the first batch. */
typedef struct rn_net_pass {
    bool warm[RN_TAILS], warm_alone[RN_TAILS]; /* it has run with the layout as it is */
    rn_capture captured[RN_TAILS][2][2];       /* with pixels or f32 as input, with one label or mixed; NULL: not yet */
    rn_capture alone[RN_TAILS];                /* a tail without a pass */
    bool refused;                              /* it cannot be captured */
} rn_net_pass;

typedef struct rn_input rn_input;

/*
 * Two batches take turns at what goes in and comes out with them beside their pixels, so that the device may be given one while
 * nobody has looked at the results of the one before.
 */
enum { RN_NET_TURNS = 2 };
typedef struct rn_net_turn {
    void *host;     /* page-locked where that matters: what the loss's slot holds, in its order */
    rn_event given; /* the device has come to the end of what was given with it; NULL: whoever waits, waits for all */
    int n;          /* images whose results nobody has asked for */
} rn_net_turn;

enum { RN_MAX_CHANNELS = 4 };

struct rn_net {
    rn_backend *be;
    rn_model_spec spec;        /* arch is a static string */
    rn_net_opts opts;          /* mean, std and mean_image are not kept: see pixel_*, rn_weights */
    char *pattern;             /* opts.select's */
    char *net_text, *net_file; /* spec's */
    float pixel_mul[RN_MAX_CHANNELS], pixel_add[RN_MAX_CHANNELS];
    float *device_pixel;          /* mul[channels], add[channels] on the device */
    rn_origin *windows;           /* (batch) on the device; NULL without a mean image */
    const struct rn_stock *stock; /* rn_net_set_stock's, or NULL */
    struct rn_pick *picks;        /* (batch + 1) on the device; NULL without one */
    int picked;                   /* images that the next batch may have of it; 0: not told yet */
    int placed;                   /* of how many rows of the next batch they are; 0: not told yet */
    rn_graph graph;
    rn_plan plan;
    rn_weights *weights;
    uint64_t prepared; /* version of the weights that the convolution plans hold */
    uint8_t *arena;    /* one block: activations, then whatever else depends on the images' size */
    void *workspace;
    size_t workspace_bytes;
    rn_net_memory memory;     /* but for params */
    rn_conv_plan *(*conv)[3]; /* [node][direction]; NULL where there is none */
    rn_net_choice *choices;
    int nchoices;
    rn_net_fusion *fusions;
    int nfusions;
    int64_t batches; /* training batches so far */
    rn_op_now now;   /* of the next one, as it is told in parts: the step by rn_net_set_step, the update by rn_optim */
    bool mixed;      /* the batch under way has second labels, labels2, and a share of the first */
    const int32_t *labels2;
    rn_distill distill; /* teacher NULL: none */
    float loss_scale;   /* multiplies all gradients */
    bool watched;       /* see rn_watch.h */
    rn_net_pass pass;
    rn_tail tail;             /* of the next training batch; kind 0: none */
    struct rn_reduce *reduce; /* see rn_reduce.h */
    struct rn_input *input;   /* see rn_input.h; NULL: pixels are copied when their turn comes */
    bool overlap;             /* rn_net_set_overlap */
    rn_net_turn turns[RN_NET_TURNS];
    int newest, told; /* turns: of the last batch given to the device; of the last whose results were told */
};

/* A convolution's part of its parameter, in the type of the activations. */
static inline void *rn_net_operand(const rn_net *net, const rn_node *n)
{
    return (uint8_t *)net->graph.params[n->param].operand + n->param_at * (int64_t)rn_dtype_size(net->opts.dtype);
}

/* What lies in one block of device memory begins at such multiples. */
static inline size_t rn_net_aligned(size_t bytes)
{
    return (bytes + 255) / 256 * 256;
}

/* rn_net_layout.c: plans and memory for the graph as it is, its parameters being bound; and their end. */
int rn_net_lay_out(rn_net *net);
void rn_net_drop_layout(rn_net *net); /* of a half-made one, too */

/*
 * rn_net_fuse.c: marks the batch norms that convolutions take over (rn_node.bn_way, bn_in, bn_out; rn_value.stored), by
 * asking the selector. Nothing in an evaluation net.
 */
int rn_net_fuse(rn_net *net, rn_selector *sel);
/* rn_net_fuse_cost.c: has each take the fastest of its ways up to the one it has, by measured costs, which it tells. Returns 1,
 * or 0 with nothing changed when costs are not known. */
int rn_net_fuse_measured(rn_net *net, rn_selector *sel);
/* A batch norm's other way: of its node, of the convolutions beside it and of the values between them. */
void rn_net_set_way(rn_graph *g, int bn, enum rn_bn_way way);
/* The node that makes value v; the one that reads it, if no other does. -1: none. */
int rn_net_maker_of(const rn_graph *g, int v);
int rn_net_reader_of(const rn_graph *g, int v);
/* The descriptor of a convolution in one direction, with the work that falls to it. */
rn_conv_desc rn_net_conv_desc(const rn_graph *g, const rn_node *n, rn_conv_dir dir);

/* Where a slot of the plan lies. */
void *rn_net_slot(const rn_net *net, enum rn_slot_kind kind, int i);

/* A vector of BN node i. */
static inline float *rn_net_bn_aux(const rn_net *net, int i, enum rn_bn_aux which)
{
    const rn_tensor *t = &net->graph.values[net->graph.nodes[i].in].t;
    return (float *)rn_net_slot(net, RN_SLOT_AUX, i) + (int64_t)which * t->dim[t->nd - 1];
}

/* BN node i's mask, behind its vectors; NULL: it keeps none. */
static inline uint8_t *rn_net_bn_mask(const rn_net *net, int i)
{
    const rn_node *n = &net->graph.nodes[i];
    const rn_tensor *t = &net->graph.values[n->in].t;
    return n->bn_mask ? (uint8_t *)rn_net_slot(net, RN_SLOT_AUX, i) + rn_plan_bn_vectors(n, (int)t->dim[t->nd - 1])
                      : NULL;
}

/* One of doubles. */
static inline double *rn_net_bn_sums(const rn_net *net, int i, enum rn_bn_aux which)
{
    return (double *)(void *)rn_net_bn_aux(net, i, which);
}

/* rn_stock.c: the n images that were picked become what the graph's first value holds. */
int rn_net_pick(rn_net *net, int n);

/* Runs node 0, which makes the graph's input of pixels, alone. */
int rn_net_normalize(rn_net *net);

/* Runs the nodes from `first` on. train: batch statistics, and what backward needs is kept. n: rows that count. */
int rn_net_forward(rn_net *net, int first, bool train, int n);
int rn_net_backward(rn_net *net);

/* rn_batch.c: room for what goes in and comes out with a batch beside its images. */
int rn_net_open_io(rn_net *net);
void rn_net_close_io(rn_net *net);
/* What the device was given meanwhile belongs to the last batch, too: whoever waits for its results waits for that. */
int rn_net_extend_turn(rn_net *net);

/* rn_now.c: where a batch's rn_op_now lies on the device, what it is on the host, and behind it the momentum of a BN node (NULL: not
 * one of Caffe's, whose never changes). */
const rn_op_now *rn_net_now(const rn_net *net);
void rn_net_put_now(const rn_net *net, bool train, rn_op_now *host);
const float *rn_net_momentum_now(const rn_net *net, int node);

/* Both, of a whole training batch, and net->tail, which is then none; in one piece where the device can. */
int rn_net_train_pass(rn_net *net, int first);
/* net->tail by itself, likewise. */
int rn_net_tail(rn_net *net);
/* When something has changed that ops are given: memory, plans, what is distilled. */
void rn_net_forget_pass(rn_net *net);

/* What batch norm adds up its sums over; NULL: this net's rows alone. */
rn_comm *rn_net_bn_comm(const rn_net *net);

/* RN_E_MISMATCH, naming the first that differs, unless both have the same parameters in the same order: a prototxt's phases
 * may differ, but not in their weights. */
int rn_net_same_params(const rn_graph *train, const rn_graph *eval);

/* Has the convolutions' plans take over the weights when these have changed since the last time. */
int rn_net_prepare(rn_net *net);
/* The device's part of it, whatever has changed, and the host's, which is to follow each time that the device does that. */
int rn_net_give_params(rn_net *net);
void rn_net_gave_params(rn_net *net);

#endif
