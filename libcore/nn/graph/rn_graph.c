/* SPDX-License-Identifier: MIT */
#include "nn/graph/rn_graph_impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"

void *rn_graph_grow(rn_graph *g, void *array, int *n, int *cap, size_t size)
{
    if (g->status < 0)
        return NULL;
    if (*n == *cap) {
        int more = *cap ? *cap * 2 : 64;
        void *p = realloc(*(void **)array, (size_t)more * size);
        if (!p) {
            g->status = rn_fail(RN_E_NOMEM, "graph: out of memory at %d elements", *n);
            return NULL;
        }
        *(void **)array = p;
        *cap = more;
    }
    void *e = *(char **)array + (size_t)*n * size;
    memset(e, 0, size);
    *n += 1;
    return e;
}

int rn_graph_add_value(rn_graph *g, rn_dtype dtype, int nd, const int64_t dim[4])
{
    rn_value *v = rn_graph_grow(g, &g->values, &g->nvalues, &g->cap_values, sizeof *v);
    if (!v)
        return -1;
    v->t = (rn_tensor){.dtype = dtype, .nd = nd, .dim = {dim[0], dim[1], dim[2], dim[3]}};
    v->stored = v->grad_stored = g->nvalues - 1;
    return g->nvalues - 1;
}

rn_node *rn_graph_add_node(rn_graph *g, enum rn_node_kind kind, const char *name, int in)
{
    if (g->status >= 0 && (in < 0 || in >= g->nvalues))
        g->status = rn_fail(RN_E_RANGE, "graph: %s has no input", name);
    rn_node *n = rn_graph_grow(g, &g->nodes, &g->nnodes, &g->cap_nodes, sizeof *n);
    if (!n)
        return NULL;
    n->kind = kind;
    for (int i = 0; i < RN_NODE_INPUTS; i++)
        n->ins[i] = i == 0 ? in : -1;
    n->out = n->param = n->bias = n->bn_in = n->bn_out = -1;
    size_t len = strlen(name);
    const char *dot = strrchr(name, '.');
    if (dot && strcmp(dot, ".weight") == 0)
        len = (size_t)(dot - name);
    if (len >= sizeof n->name)
        len = sizeof n->name - 1;
    memcpy(n->name, name, len);
    return n;
}

/* ---- the whole ---- */

/* A node whose ReLU costs nothing more, and whose output only `relu` reads. */
static bool takes_relu(const rn_graph *g, const rn_node *n, const rn_node *relu)
{
    if (n->out != relu->in || n->relu || g->values[n->out].consumers != 1)
        return false;
    return n->kind == RN_NODE_BN || n->kind == RN_NODE_ELTWISE || n->kind == RN_NODE_SCALE ||
           (n->kind == RN_NODE_CONV && n->bias >= 0);
}

static void count_consumers(rn_graph *g)
{
    for (int i = 0; i < g->nvalues; i++)
        g->values[i].consumers = 0;
    for (int i = 0; i < g->nnodes; i++)
        for (int k = 0; k < RN_NODE_INPUTS; k++)
            if (g->nodes[i].ins[k] >= 0)
                g->values[g->nodes[i].ins[k]].consumers++;
}

/* ReLU nodes become part of the node before them, where that can be. */
static void fuse_relu(rn_graph *g)
{
    int kept = 0;
    for (int i = 0; i < g->nnodes; i++) {
        rn_node *n = &g->nodes[i], *with = NULL;
        for (int k = kept - 1; k >= 0 && !with && n->kind == RN_NODE_RELU; k--)
            if (takes_relu(g, &g->nodes[k], n))
                with = &g->nodes[k];
        if (with) {
            with->relu = true;
            with->out = n->out;
        } else {
            g->nodes[kept++] = *n;
        }
    }
    g->nnodes = kept;
}

/* Every value before the last has its node, and what needs a gradient is known. */
static void mark_gradients(rn_graph *g)
{
    for (int i = 0; i < g->nnodes; i++) {
        const rn_node *n = &g->nodes[i];
        bool needs = n->param >= 0;
        for (int k = 0; k < RN_NODE_INPUTS; k++)
            needs |= n->ins[k] >= 0 && g->values[n->ins[k]].needs_grad;
        if (n->out >= 0)
            g->values[n->out].needs_grad = needs;
    }
}

/* The first writer of a gradient overwrites it, the next ones add. */
static int claim_gradients(rn_graph *g)
{
    bool *written = calloc((size_t)g->nvalues, sizeof *written);
    if (!written)
        return rn_fail(RN_E_NOMEM, "graph: out of memory");
    for (int i = g->nnodes - 1; i >= 0; i--) {
        rn_node *n = &g->nodes[i];
        for (int k = 0; k < RN_NODE_INPUTS; k++) {
            int x = n->ins[k];
            if (x < 0 || !g->values[x].needs_grad)
                continue;
            n->betas[k] = written[x];
            written[x] = true;
        }
    }
    free(written);
    return RN_OK;
}

/* Nothing reads it: its gradient would never be written. */
static int check_used(rn_graph *g)
{
    for (int i = 0; i < g->nnodes; i++) {
        const rn_node *n = &g->nodes[i];
        if (n->out >= 0 && g->values[n->out].consumers == 0)
            return rn_fail(RN_E_RANGE, "graph: nothing reads the output of %s", n->name);
    }
    return RN_OK;
}

int rn_graph_finish(rn_graph *g)
{
    if (g->status < 0)
        return g->status;
    if (g->nnodes == 0 || g->nodes[g->nnodes - 1].kind != RN_NODE_XENT)
        return g->status = rn_fail(RN_E_RANGE, "graph: the last node must be the loss");
    count_consumers(g);
    g->status = check_used(g);
    if (g->status < 0)
        return g->status;
    fuse_relu(g);
    count_consumers(g);
    mark_gradients(g);
    return g->status = claim_gradients(g);
}

/* Only the linear layer writes another type than it reads. */
static int check_scores(const rn_graph *g)
{
    for (int i = 0; i < g->nnodes; i++)
        if (g->nodes[i].out == g->logits && g->nodes[i].kind != RN_NODE_LINEAR)
            return rn_fail(RN_E_UNSUPPORTED,
                           "graph: %s makes the scores, which are f32 in every precision; only a linear layer can make "
                           "them of 16-bit activations: use f32",
                           g->nodes[i].name);
    return RN_OK;
}

int rn_graph_set_dtype(rn_graph *g, rn_dtype dtype)
{
    if (dtype != RN_F32)
        RN_TRY(check_scores(g));
    for (int i = 0; i < g->nvalues; i++)
        if (i != g->logits && g->values[i].t.dtype == RN_F32)
            g->values[i].t.dtype = dtype;
    for (int i = 0; i < g->nnodes; i++)
        g->nodes[i].conv.dtype = g->nodes[i].pool.dtype = dtype;
    return RN_OK;
}

int64_t rn_graph_weights(const rn_graph *g)
{
    int64_t n = 0;
    for (int i = 0; i < g->nparams; i++)
        if (!g->params[i].fixed && g->params[i].kind != RN_PARAM_RUNNING_MEAN &&
            g->params[i].kind != RN_PARAM_RUNNING_VAR)
            n += g->params[i].count;
    return n;
}

void rn_graph_free(rn_graph *g)
{
    free(g->values);
    free(g->nodes);
    free(g->params);
    *g = (rn_graph){0};
}
