/* SPDX-License-Identifier: MIT */
/*
 * The memory plan: a place in one arena for everything a pass over the graph touches.
 *
 * Time is counted in steps: node i runs forward in step i and, in training, backward in step 2 n - 1 - i (n
 * nodes). A slot lives from the first step that writes it to the last that reads it, both included; within a
 * step everything touched is live. Slots that never live together may share memory. Where an op allows working in
 * place, two slots become one:
 *   evaluation  the output of what works element by element (BN, ReLU, ...) replaces its input
 *   training    the same where no backward pass reads that input again (ReLU behind a pool); and such a node's
 *               input gradient replaces its output's. With a residual, a BN's residual's gradient does so
 * Places are assigned greedily (Pisarchyk & Lee 2020, arXiv 2001.03288, "greedy by size"): largest first, each
 * at the lowest offset that is free during its life; two more orders are tried and the smallest arena wins.
 *
 * The weights, their gradients and the optimizer's state live outside the arena.
 */
#ifndef RN_PLAN_H
#define RN_PLAN_H

#include "nn/graph/rn_graph.h"

enum rn_slot_kind {
    RN_SLOT_VALUE, /* value i */
    RN_SLOT_GRAD,  /* gradient of value i */
    RN_SLOT_AUX /* of node i: BN mean[c], inv_std[c], with convolutions' help all of enum rn_bn_aux, then its mask; MAXPOOL argmax; XENT loss[mb], rank[mb], labels[mb], labels2[mb], rn_op_now, a float for each of Caffe's BNs */
};

/* Vectors of c values that a BN keeps, where they begin, in c floats. Doubles begin at even ones. */
enum rn_bn_aux {
    RN_BN_MEAN,
    RN_BN_INV_STD,
    RN_BN_SUM, /* c doubles, as the next */
    RN_BN_SUMSQ = RN_BN_SUM + 2,
    RN_BN_VAR = RN_BN_SUMSQ + 2,
    RN_BN_SCALE,
    RN_BN_SHIFT,
    RN_BN_KA,
    RN_BN_KB,
    RN_BN_KC,
    RN_BN_ROOM, /* 2 c doubles */
    RN_BN_AUX = RN_BN_ROOM + 4
};

enum { RN_PLAN_ALIGN = 64 }; /* of every offset, in bytes */

typedef struct rn_slot {
    size_t bytes;    /* 0: not used in this pass */
    int first, last; /* steps */
    int root;        /* the slot whose memory this one is; itself unless it works in place */
    size_t offset;   /* in the arena; a multiple of RN_PLAN_ALIGN */
} rn_slot;

typedef struct rn_plan {
    rn_slot *slots;
    int nslots, nsteps;
    size_t bytes;    /* of the arena */
    size_t unshared; /* the same if every slot had memory of its own */
    size_t bound;    /* most bytes live in one step: no plan can be smaller */
} rn_plan;

/* Of the loss's slot: what comes behind the labels (rn_now.c). */
size_t rn_plan_now_bytes(const rn_graph *g);

int rn_plan_index(const rn_graph *g, enum rn_slot_kind kind, int i); /* of a slot */

/* Bytes of a BN's vectors in its slot, before the mask. */
size_t rn_plan_bn_vectors(const rn_node *n, int channels);

int rn_plan_make(const rn_graph *g, bool train, rn_plan *out);
void rn_plan_free(rn_plan *p); /* accepts a zeroed plan */

#endif
