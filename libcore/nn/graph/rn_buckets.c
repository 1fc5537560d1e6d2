/* SPDX-License-Identifier: MIT */
#include "nn/graph/rn_buckets.h"

#include <stdlib.h>

#include "base/rn_error.h"

/* The last node of a backward pass that writes the gradient of parameter p; nnodes: no node does. */
static int last_writer(const rn_graph *g, int p)
{
    for (int i = 0; i < g->nnodes; i++) {
        const rn_node *n = &g->nodes[i];
        const bool gamma_or_beta = n->kind == RN_NODE_BN && p == n->param + 1;
        if (p == n->param || p == n->bias || gamma_or_beta)
            return i;
    }
    return g->nnodes;
}

/* ready[p]: when parameter p is. */
static int ready_at(const rn_graph *g, const int *ready, const float *grads, const rn_bucket *b)
{
    int node = g->nnodes;
    for (int p = 0; p < g->nparams; p++) {
        const rn_param *q = &g->params[p];
        const int64_t from = q->grad ? q->grad - grads : 0, to = q->grad ? from + q->count : 0;
        if (from < b->at + b->count && to > b->at && ready[p] < node)
            node = ready[p];
    }
    return node;
}

/* Those that are ready at the same time stay in their order. */
static void sort(rn_bucket *b, int n)
{
    for (int i = 1; i < n; i++) {
        const rn_bucket one = b[i];
        int to = i;
        for (; to > 0 && b[to - 1].node < one.node; to--)
            b[to] = b[to - 1];
        b[to] = one;
    }
}

int rn_buckets_cut(const rn_graph *g, const float *grads, int64_t split, int64_t n, int64_t most, rn_bucket **out,
                   int *count)
{
    const int64_t pieces = (split + most - 1) / most + (n > split);
    int *ready = malloc(sizeof *ready * (size_t)(g->nparams + 1));
    rn_bucket *b = malloc(sizeof *b * (size_t)(pieces + 1));
    int k = 0;
    if (!ready || !b) {
        free(ready);
        free(b);
        return rn_fail(RN_E_NOMEM, "no memory for %lld pieces of gradients", (long long)pieces);
    }
    for (int p = 0; p < g->nparams; p++)
        ready[p] = last_writer(g, p);
    for (int64_t to = split, from; to > 0; to = from) {
        from = to > most ? to - most : 0;
        b[k++] = (rn_bucket){.at = from, .count = to - from};
    }
    if (n > split)
        b[k++] = (rn_bucket){.at = split, .count = n - split};
    for (int i = 0; i < k; i++)
        b[i].node = ready_at(g, ready, grads, &b[i]);
    sort(b, k);
    free(ready);
    *out = b;
    *count = k;
    return RN_OK;
}
