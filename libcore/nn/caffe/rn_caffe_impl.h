/* SPDX-License-Identifier: MIT */
/* Inside of rn_caffe_net: layers as they were read, before anything is built of them. */
#ifndef RN_CAFFE_IMPL_H
#define RN_CAFFE_IMPL_H

#include "nn/caffe/rn_caffe_net.h"
#include "nn/caffe/rn_caffe_schema.h"

enum rn_caffe_kind {
    RN_CAFFE_DATA,
    RN_CAFFE_CONV,
    RN_CAFFE_BATCH_NORM,
    RN_CAFFE_SCALE,
    RN_CAFFE_GATE, /* Scale by a second bottom, Axpy: in[0] times in[1], [+ in[2]] */
    RN_CAFFE_RELU,
    RN_CAFFE_SIGMOID,
    RN_CAFFE_POOL,
    RN_CAFFE_LINEAR,
    RN_CAFFE_LRN,
    RN_CAFFE_DROPOUT,
    RN_CAFFE_ELTWISE,
    RN_CAFFE_CONCAT,
    RN_CAFFE_FLATTEN,
    RN_CAFFE_SOFTMAX,
    RN_CAFFE_LOSS,
    RN_CAFFE_ACCURACY,
    RN_CAFFE_SILENCE,
    RN_CAFFE_SPLIT
};

enum { RN_CAFFE_MAX_BLOBS = 32 /* tops or bottoms of a layer */, RN_CAFFE_MAX_LAYERS = 4096 };

typedef struct rn_caffe_layer {
    enum rn_caffe_kind kind;
    int node; /* in the tree */
    const char *name;
    int nbottom, ntop;
    const char *bottom[RN_CAFFE_MAX_BLOBS], *top[RN_CAFFE_MAX_BLOBS];
    int in[RN_CAFFE_MAX_BLOBS], out[RN_CAFFE_MAX_BLOBS]; /* blobs, once linked */
    bool needed;                                         /* leads to the loss */
    double lr[2], decay[2];                              /* multipliers of weight and bias (gamma and beta) */
    rn_filler weight, bias;                              /* CONV, LINEAR, SCALE */
    bool bias_term;                                      /* likewise */
    int outputs, group;                                  /* CONV, LINEAR */
    rn_window window;                                    /* CONV, POOL */
    bool max, global, floor;                             /* POOL */
    double eps, fraction;                                /* BATCH_NORM */
    int size;                                            /* LRN */
    double alpha, beta, k;                               /* LRN */
    double ratio;                                        /* DROPOUT */
    enum rn_eltwise_kind op;                             /* ELTWISE */
    double coeff[RN_CAFFE_MAX_BLOBS];                    /* of a sum */
} rn_caffe_layer;

/* A blob is what a layer wrote: a top that reuses a name (a layer in place) is another blob. */
typedef struct rn_caffe_blob {
    int layer, top; /* who wrote it */
    int readers;    /* layers that are needed and read it */
    int reader;     /* the first of them */
} rn_caffe_blob;

typedef struct rn_caffe_side { /* one phase */
    rn_caffe_layer *layers;
    rn_caffe_blob *blobs;
    int n, nblobs;
    int logits; /* blob */
    rn_caffe_data data;
} rn_caffe_side;

struct rn_caffe_net {
    rn_prototext text;
    rn_caffe_side side[2];
};

/* Reads the layer at `node` for a phase; data layers go into side->data. */
int rn_caffe_read_layer(rn_prototext *t, int node, enum rn_caffe_phase phase, rn_caffe_layer *l, rn_caffe_side *side);

/* Finds out who reads whose tops, where the scores are, and which layers lead there. */
int rn_caffe_link(const rn_prototext *t, enum rn_caffe_phase phase, rn_caffe_side *s);

#endif
