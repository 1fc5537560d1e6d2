/* SPDX-License-Identifier: MIT */
#include "nn/graph/rn_plan.h"

#include <stdlib.h>

#include "base/rn_error.h"
#include "op/rn_op.h"

int rn_plan_index(const rn_graph *g, enum rn_slot_kind kind, int i)
{
    return kind == RN_SLOT_VALUE ? i : kind == RN_SLOT_GRAD ? g->nvalues + i : 2 * g->nvalues + i;
}

static size_t align_up(size_t n)
{
    return (n + RN_PLAN_ALIGN - 1) / RN_PLAN_ALIGN * RN_PLAN_ALIGN;
}

static void touch(rn_plan *p, int slot, size_t bytes, int step)
{
    rn_slot *s = &p->slots[slot];
    if (s->bytes == 0) {
        s->bytes = align_up(bytes);
        s->first = s->last = step;
    }
    s->first = step < s->first ? step : s->first;
    s->last = step > s->last ? step : s->last;
}

static void touch_value(rn_plan *p, const rn_graph *g, int v, int step)
{
    if (v >= 0)
        touch(p, rn_plan_index(g, RN_SLOT_VALUE, g->values[v].stored), rn_tensor_bytes(&g->values[v].t), step);
}

static void touch_grad(rn_plan *p, const rn_graph *g, int v, int step)
{
    if (v >= 0 && g->values[v].needs_grad)
        touch(p, rn_plan_index(g, RN_SLOT_GRAD, g->values[v].grad_stored), rn_tensor_bytes(&g->values[v].t), step);
}

size_t rn_plan_bn_vectors(const rn_node *n, int channels)
{
    return (n->bn_way ? RN_BN_AUX : RN_BN_INV_STD + 1) * sizeof(float) * (size_t)channels;
}

static size_t bn_bytes(const rn_node *n, const rn_tensor *in)
{
    const int c = (int)in->dim[in->nd - 1];
    return rn_plan_bn_vectors(n, c) + (n->bn_mask ? rn_op_bn_mask_bytes(in->dtype, rn_tensor_count(in) / c, c) : 0);
}

/* Bytes of what a node keeps beside its output. */
static size_t aux_bytes(const rn_graph *g, const rn_node *n, bool train)
{
    const rn_tensor *in = &g->values[n->in].t;
    switch (n->kind) {
    case RN_NODE_BN:
        return train ? bn_bytes(n, in) : 0;
    case RN_NODE_MAXPOOL:
        return train ? (size_t)rn_tensor_count(&g->values[n->out].t) : 0;
    case RN_NODE_XENT:
        return (sizeof(float) + 3 * sizeof(int32_t)) * (size_t)in->dim[0] + rn_plan_now_bytes(g);
    default:
        return 0;
    }
}

/* The vectors of the batch norms that a convolution works for. */
static void touch_norms(rn_plan *p, const rn_graph *g, const rn_node *n, int step)
{
    const int norms[] = {n->bn_in, n->bn_out};
    for (int k = 0; k < 2 && n->kind == RN_NODE_CONV; k++)
        if (norms[k] >= 0)
            touch(p, rn_plan_index(g, RN_SLOT_AUX, norms[k]), aux_bytes(g, &g->nodes[norms[k]], true), step);
}

static void forward_step(rn_plan *p, const rn_graph *g, int i, bool train)
{
    const rn_node *n = &g->nodes[i];
    for (int k = 0; k < RN_NODE_INPUTS; k++)
        touch_value(p, g, n->ins[k], i);
    touch_value(p, g, n->out, i);
    touch_norms(p, g, n, i);
    int aux = rn_plan_index(g, RN_SLOT_AUX, i);
    size_t bytes = aux_bytes(g, n, train);
    if (bytes)
        touch(p, aux, bytes, i);
    if (n->kind == RN_NODE_XENT) {
        touch(p, aux, bytes, 0);             /* the labels come in with the pixels */
        touch(p, aux, bytes, p->nsteps - 1); /* and the caller reads losses and logits afterwards */
        touch_value(p, g, n->in, p->nsteps - 1);
        if (train)
            touch_grad(p, g, n->in, i); /* written by the forward op */
    }
}

/* Which values the backward pass of a node reads again. */
static bool reads_input(const rn_node *n)
{
    switch (n->kind) {
    case RN_NODE_CONV:
    case RN_NODE_LINEAR:
    case RN_NODE_BN:
    case RN_NODE_SCALE:
    case RN_NODE_LRN:
        return true;
    case RN_NODE_ELTWISE:
        return n->eltwise != RN_ELTWISE_SUM;
    default:
        return false;
    }
}

/* res is only added: the backward pass does not look at it. */
static bool has_residual(const rn_node *n)
{
    return n->res >= 0 && (n->kind == RN_NODE_BN || n->kind == RN_NODE_SCALE);
}

static bool reads_output(const rn_node *n)
{
    return (n->relu && !n->bn_mask) || n->kind == RN_NODE_RELU || n->kind == RN_NODE_SIGMOID;
}

static void backward_step(rn_plan *p, const rn_graph *g, int i)
{
    const rn_node *n = &g->nodes[i];
    int step = p->nsteps - 1 - i;
    if (n->kind == RN_NODE_NORMALIZE || n->kind == RN_NODE_XENT)
        return;
    touch_grad(p, g, n->out, step);
    for (int k = 0; k < RN_NODE_INPUTS; k++) {
        touch_grad(p, g, n->ins[k], step);
        if (reads_input(n) && !(k == 1 && has_residual(n)))
            touch_value(p, g, n->ins[k], step);
    }
    const bool reads_raw = n->kind == RN_NODE_CONV && n->bn_out >= 0 && g->nodes[n->bn_out].bn_way == RN_BN_THROUGH;
    if (reads_output(n) || reads_raw)
        touch_value(p, g, n->out, step);
    touch_norms(p, g, n, step);
    if (n->kind == RN_NODE_BN || n->kind == RN_NODE_MAXPOOL)
        touch(p, rn_plan_index(g, RN_SLOT_AUX, i), aux_bytes(g, n, true), step);
}

/* Makes slot b live in slot a's memory. */
static void merge(rn_plan *p, int a, int b)
{
    while (p->slots[a].root != a)
        a = p->slots[a].root;
    rn_slot *ra = &p->slots[a], *rb = &p->slots[b];
    rb->root = a;
    ra->first = rb->first < ra->first ? rb->first : ra->first;
    ra->last = rb->last > ra->last ? rb->last : ra->last;
}

/* Ops that may write their output over their input. */
static bool in_place(const rn_node *n)
{
    const enum rn_node_kind kind = n->kind;
    if (kind == RN_NODE_BN && n->bn_way == RN_BN_THROUGH) /* it has no memory of its own */
        return false;
    return kind == RN_NODE_BN || kind == RN_NODE_RELU || kind == RN_NODE_ELTWISE || kind == RN_NODE_SIGMOID ||
           kind == RN_NODE_SCALE || kind == RN_NODE_DROPOUT;
}

/* Forward in evaluation: y may be x when nothing else reads x. */
static void merge_eval(rn_plan *p, const rn_graph *g)
{
    for (int i = 0; i < g->nnodes; i++) {
        const rn_node *n = &g->nodes[i];
        if (in_place(n) && g->values[n->in].consumers == 1)
            merge(p, rn_plan_index(g, RN_SLOT_VALUE, n->in), rn_plan_index(g, RN_SLOT_VALUE, n->out));
    }
}

/* Forward in training: also the backward passes of this node and of the one that made x must do without x. */
static void merge_forward(rn_plan *p, const rn_graph *g)
{
    for (int i = 0; i < g->nnodes; i++) {
        const rn_node *n = &g->nodes[i];
        if (!in_place(n) || reads_input(n) || g->values[n->in].consumers != 1)
            continue;
        bool kept = false;
        for (int k = 0; k < i; k++)
            kept |= g->nodes[k].out == n->in && reads_output(&g->nodes[k]);
        if (!kept)
            merge(p, rn_plan_index(g, RN_SLOT_VALUE, n->in), rn_plan_index(g, RN_SLOT_VALUE, n->out));
    }
}

/* The input whose gradient may lie over the output's, because this node is the first to write it; -1: none. A node with
 * a residual writes dx while it still reads dy, and may use dy's place for the residual's only. */
static int over_dy(const rn_graph *g, const rn_node *n)
{
    if (!in_place(n))
        return -1;
    for (int k = has_residual(n); k < 2; k++)
        if (n->ins[k] >= 0 && n->betas[k] == 0 && g->values[n->ins[k]].needs_grad)
            return n->ins[k];
    return -1;
}

/* Backward. Nodes are visited in the order of the backward pass, so that a chain of blocks passes one buffer on. */
static void merge_backward(rn_plan *p, const rn_graph *g)
{
    for (int i = g->nnodes - 1; i >= 0; i--) {
        int target = over_dy(g, &g->nodes[i]);
        if (target >= 0)
            merge(p, rn_plan_index(g, RN_SLOT_GRAD, g->nodes[i].out), rn_plan_index(g, RN_SLOT_GRAD, target));
    }
}

/* ---- places ---- */

enum order { BY_SIZE, BY_START, BY_LIFE, ORDERS };

typedef struct item {
    size_t key;
    int slot, first;
} item;

static int compare_items(const void *a, const void *b)
{
    const item *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? 1 : -1;
    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    return x->slot < y->slot ? -1 : 1;
}

static size_t order_key(const rn_slot *s, enum order o, int nsteps)
{
    if (o == BY_SIZE)
        return s->bytes;
    if (o == BY_START)
        return (size_t)(nsteps - s->first);
    return (size_t)(s->last - s->first + 1);
}

/* The lowest offset where `bytes` fit between the placed slots that live at the same time. `placed` is sorted by
 * offset. */
static size_t lowest_gap(const rn_slot *slots, const int *placed, int n, const rn_slot *s)
{
    size_t at = 0;
    for (int i = 0; i < n; i++) {
        const rn_slot *o = &slots[placed[i]];
        if (o->last < s->first || s->last < o->first)
            continue;
        if (o->offset >= at + s->bytes)
            break;
        if (o->offset + o->bytes > at)
            at = o->offset + o->bytes;
    }
    return at;
}

/* Gives every root slot an offset; returns the arena's size. items, placed: scratch of nslots each. */
static size_t place(rn_plan *p, enum order o, item *items, int *placed)
{
    int n = 0;
    for (int i = 0; i < p->nslots; i++)
        if (p->slots[i].bytes && p->slots[i].root == i)
            items[n++] = (item){order_key(&p->slots[i], o, p->nsteps), i, p->slots[i].first};
    qsort(items, (size_t)n, sizeof *items, compare_items);
    size_t bytes = 0;
    for (int i = 0; i < n; i++) {
        rn_slot *s = &p->slots[items[i].slot];
        s->offset = lowest_gap(p->slots, placed, i, s);
        int j = i;
        for (; j > 0 && p->slots[placed[j - 1]].offset > s->offset; j--)
            placed[j] = placed[j - 1];
        placed[j] = items[i].slot;
        if (s->offset + s->bytes > bytes)
            bytes = s->offset + s->bytes;
    }
    return bytes;
}

static int assign(rn_plan *p)
{
    item *items = malloc((size_t)p->nslots * sizeof *items);
    int *placed = malloc((size_t)p->nslots * sizeof *placed);
    int rc = items && placed ? RN_OK : rn_fail(RN_E_NOMEM, "memory plan: out of memory");
    if (rc == RN_OK) {
        enum order best = BY_SIZE;
        p->bytes = place(p, BY_SIZE, items, placed);
        for (enum order o = BY_START; o < ORDERS; o++) {
            size_t bytes = place(p, o, items, placed);
            if (bytes < p->bytes) {
                p->bytes = bytes;
                best = o;
            }
        }
        place(p, best, items, placed);
    }
    free(items);
    free(placed);
    return rc;
}

static void account(rn_plan *p)
{
    for (int i = 0; i < p->nslots; i++)
        p->unshared += p->slots[i].bytes;
    for (int step = 0; step < p->nsteps; step++) {
        size_t live = 0;
        for (int i = 0; i < p->nslots; i++) {
            const rn_slot *s = &p->slots[i];
            if (s->root == i && s->bytes && s->first <= step && step <= s->last)
                live += s->bytes;
        }
        p->bound = live > p->bound ? live : p->bound;
    }
}

int rn_plan_make(const rn_graph *g, bool train, rn_plan *out)
{
    rn_plan p = {.nslots = 2 * g->nvalues + g->nnodes, .nsteps = train ? 2 * g->nnodes : g->nnodes};
    p.slots = calloc((size_t)p.nslots, sizeof *p.slots);
    if (!p.slots)
        return rn_fail(RN_E_NOMEM, "memory plan: out of memory");
    for (int i = 0; i < p.nslots; i++)
        p.slots[i].root = i;
    for (int i = 0; i < g->nnodes; i++)
        forward_step(&p, g, i, train);
    for (int i = g->nnodes - 1; train && i >= 0; i--)
        backward_step(&p, g, i);
    if (train) {
        merge_forward(&p, g);
        merge_backward(&p, g);
    } else {
        merge_eval(&p, g);
    }
    account(&p);
    int rc = assign(&p);
    if (rc < 0) {
        rn_plan_free(&p);
        return rc;
    }
    for (int i = 0; i < p.nslots; i++) {
        int r = i;
        while (p.slots[r].root != r)
            r = p.slots[r].root;
        p.slots[i].root = r;
        p.slots[i].offset = p.slots[r].offset;
    }
    *out = p;
    return RN_OK;
}

void rn_plan_free(rn_plan *p)
{
    free(p->slots);
    *p = (rn_plan){0};
}
