/* SPDX-License-Identifier: MIT */
/*
 * Gradients in pieces ("buckets"), in the order in which a backward pass has them ready: what ranks have to add up can travel
 * while the pass goes on with what comes before.
 */
#ifndef RN_BUCKETS_H
#define RN_BUCKETS_H

#include "nn/graph/rn_graph.h"

typedef struct rn_bucket {
    int64_t at, count; /* floats of the block of gradients */
    int node;          /* ready when the backward pass, which counts down, has done this node */
} rn_bucket;

/*
 * Cuts floats 0..n-1 of the block that g's gradients lie in, from `grads` on: [split, n) is one group (rn_weights: small
 * vectors that are ready last), [0, split) is cut into pieces of `most`, from the back. They come out in the order in which they are ready,
 * each float in one of them. Free *out. RN_E_NOMEM.
 */
int rn_buckets_cut(const rn_graph *g, const float *grads, int64_t split, int64_t n, int64_t most, rn_bucket **out,
                   int *count);

#endif
