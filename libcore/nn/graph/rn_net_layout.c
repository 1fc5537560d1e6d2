/* SPDX-License-Identifier: MIT */
/* What of a net depends on the size of its images: plans of convolutions, memory for activations; and how to change it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_log.h"
#include "nn/graph/rn_input.h"
#include "nn/graph/rn_net_impl.h"
#include "nn/graph/rn_reduce.h"
#include "nn/model/rn_model.h"

static int pick(rn_net *net, rn_selector *sel, int node, rn_conv_dir dir)
{
    const rn_node *n = &net->graph.nodes[node];
    rn_net_choice *c = &net->choices[net->nchoices];
    *c = (rn_net_choice){.layer = n->name, .desc = rn_net_conv_desc(&net->graph, n, dir), .dir = dir};
    int rc = rn_selector_pick(sel, &c->desc, dir, &c->choice);
    if (rc >= 0)
        rc = rn_conv_plan_open(net->be, c->choice.algo, &c->desc, dir, &net->conv[node][dir]);
    if (rc < 0)
        return rn_fail_prefix(rc, "%s %s", n->name, rn_conv_dir_name(dir));
    net->nchoices++;
    if (net->conv[node][dir]->workspace_bytes > net->workspace_bytes)
        net->workspace_bytes = net->conv[node][dir]->workspace_bytes;
    return RN_OK;
}

/* A plan for every convolution and direction that this net runs. */
static int select_convs(rn_net *net)
{
    const rn_graph *g = &net->graph;
    net->conv = calloc((size_t)g->nnodes, sizeof *net->conv);
    net->choices = calloc((size_t)g->nnodes * 3, sizeof *net->choices);
    if (!net->conv || !net->choices)
        return rn_fail(RN_E_NOMEM, "net: out of memory");
    rn_selector *sel = NULL;
    rn_select_policy policy = net->opts.select;
    int rc = RN_OK;
    policy.times_lone = net->opts.train && net->opts.fuse == RN_FUSE_AUTO;
    policy.counts_prepare = net->opts.train; /* an evaluation's weights stay for all its batches */
    RN_GO(rn_selector_open(net->be, &policy, &sel));
    RN_GO(rn_net_fuse(net, sel));
    for (int i = 0; i < g->nnodes; i++) {
        if (g->nodes[i].kind != RN_NODE_CONV)
            continue;
        RN_GO(pick(net, sel, i, RN_FWD));
        if (net->opts.train)
            RN_GO(pick(net, sel, i, RN_BWD_W));
        if (net->opts.train && g->values[g->nodes[i].in].needs_grad)
            RN_GO(pick(net, sel, i, RN_BWD_D));
    }
out:
    rn_selector_close(sel);
    return rc;
}

/* Places in one block of device memory. */
typedef struct places {
    size_t arena, pixel, windows, rooms, workspace, bytes;
} places;

static size_t take(size_t *at, size_t bytes)
{
    const size_t here = *at;
    *at += rn_net_aligned(bytes);
    return here;
}

/* The workspace comes last: what is written behind it is behind the block. */
static places plan_block(const rn_net *net)
{
    places p = {0};
    p.arena = take(&p.bytes, net->plan.bytes);
    p.pixel = take(&p.bytes, 2 * sizeof(float) * (size_t)net->spec.channels);
    p.windows = take(&p.bytes, net->weights->mean_image ? (size_t)net->opts.batch * sizeof *net->windows : 0);
    p.rooms = take(&p.bytes, rn_input_bytes(net));
    p.workspace = take(&p.bytes, net->workspace_bytes);
    return p;
}

/* All of a device's memory that a net needs is asked for at once, before anything runs. */
static int no_room(const rn_net *net, int rc, size_t bytes)
{
    enum { MIB = 1 << 20 };
    size_t free = 0, total = 0;
    if (rc != RN_E_NOMEM || !net->be->memory || net->be->memory(net->be, &free, &total) < 0)
        return rn_fail_prefix(rc, "%s, batch %d (%zu bytes; a smaller batch takes less)", net->spec.arch,
                              net->opts.batch, bytes);
    const int fits = (int)((double)net->opts.batch * (double)free / (double)bytes);
    char advice[64];
    snprintf(advice, sizeof advice, fits > 0 ? "a batch of about %d would fit" : "no batch would fit", fits);
    return rn_fail(rc,
                   "%s, batch %d: %zu MiB of activations, %zu of pixels, %zu of the convolutions' workspace; %zu of "
                   "the device's %zu MiB are free: %s",
                   net->spec.arch, net->opts.batch, net->memory.activations / MIB, net->memory.pixels / MIB,
                   net->memory.workspace / MIB, free / MIB, total / MIB, advice);
}

static int alloc_device(rn_net *net)
{
    rn_backend *be = net->be;
    const places at = plan_block(net);
    void *p = NULL;
    net->memory.activations = net->plan.bytes;
    net->memory.unshared = net->plan.unshared;
    net->memory.pixels = at.workspace - at.pixel;
    net->memory.workspace = net->workspace_bytes;
    int rc = be->alloc(be, at.bytes, &p);
    if (rc < 0)
        return no_room(net, rc, at.bytes);
    net->arena = p;
    RN_TRY(be->memset(be, p, 0, net->plan.bytes, NULL));
    net->workspace = net->workspace_bytes ? net->arena + at.workspace : NULL;
    const size_t c = (size_t)net->spec.channels, bytes = c * sizeof(float);
    net->device_pixel = (float *)(void *)(net->arena + at.pixel);
    RN_TRY(be->copy(be, net->device_pixel, net->pixel_mul, bytes, RN_COPY_H2D, NULL));
    RN_TRY(be->copy(be, net->device_pixel + c, net->pixel_add, bytes, RN_COPY_H2D, NULL));
    RN_TRY(rn_input_open(net, net->arena + at.rooms));
    if (!net->weights->mean_image)
        return RN_OK;
    net->windows = (rn_origin *)(void *)(net->arena + at.windows);
    /* rows that no batch has filled yet lie in the mean image, too */
    return be->memset(be, net->windows, 0, (size_t)net->opts.batch * sizeof *net->windows, NULL);
}

static void bind_values(rn_net *net)
{
    for (int i = 0; i < net->graph.nvalues; i++) {
        rn_value *v = &net->graph.values[i];
        v->t.data = rn_net_slot(net, RN_SLOT_VALUE, v->stored);
        bool has_grad = net->plan.slots[rn_plan_index(&net->graph, RN_SLOT_GRAD, v->grad_stored)].bytes > 0;
        v->grad = has_grad ? rn_net_slot(net, RN_SLOT_GRAD, v->grad_stored) : NULL;
    }
}

/* Which batch norms keep masks: where the backend has them, the ReLU is the norm's own, and its channels allow it. */
static void choose_masks(rn_net *net)
{
    const rn_graph *g = &net->graph;
    for (int i = 0; i < g->nnodes; i++) {
        rn_node *n = &g->nodes[i];
        const rn_tensor *in = &g->values[n->in].t;
        const int64_t c = in->dim[in->nd - 1];
        n->bn_mask = n->kind == RN_NODE_BN && net->opts.train && net->be->bn_masks && n->relu &&
                     n->bn_way != RN_BN_THROUGH && rn_op_bn_mask_bytes(in->dtype, rn_tensor_count(in) / c, (int)c);
    }
}

/* The ops' scratch, for a pass of this net: alone, as what ranks exchange is none. */
static int rehearse(rn_net *net)
{
    rn_backend *be = net->be;
    rn_comm *comm = net->opts.comm;
    const bool overlap = net->overlap;
    if (!be->rehearse_begin)
        return RN_OK;
    int rc = be->rehearse_begin(be);
    if (rc >= 0) {
        net->opts.comm = NULL;
        net->overlap = false;
        rc = rn_net_forward(net, 0, net->opts.train, net->opts.batch);
        if (rc >= 0 && net->opts.train)
            rc = rn_net_backward(net);
        net->opts.comm = comm;
        net->overlap = overlap;
        const int end = be->rehearse_end(be, &net->memory.scratch);
        rc = rc < 0 ? rc : end;
    }
    if (rc < 0 && rc != RN_E_NOMEM) {
        rn_verbose("scratch is allocated when it is asked for: %s", rn_error_text());
        return RN_OK;
    }
    return rc;
}

int rn_net_lay_out(rn_net *net)
{
    const size_t before = net->be->in_use;
    RN_TRY(select_convs(net));
    net->memory.plans = net->be->in_use - before; /* what measuring took is back */
    choose_masks(net);
    RN_TRY(rn_plan_make(&net->graph, net->opts.train, &net->plan));
    RN_TRY(alloc_device(net));
    bind_values(net);
    net->prepared = 0; /* new plans hold no weights yet */
    RN_TRY(rn_reduce_open(net));
    return rehearse(net);
}

void rn_net_drop_layout(rn_net *net)
{
    rn_backend *be = net->be;
    rn_net_forget_pass(net);
    rn_reduce_close(net);
    rn_input_close(net);
    for (int i = 0; net->conv && i < net->graph.nnodes; i++)
        for (int dir = 0; dir < 3; dir++)
            rn_conv_plan_close(net->conv[i][dir]);
    free(net->conv);
    free(net->choices);
    net->conv = NULL;
    free(net->fusions);
    net->choices = NULL;
    net->nchoices = 0;
    net->fusions = NULL;
    net->nfusions = 0;
    be->free(be, net->arena);
    net->windows = NULL;
    net->placed = 0;
    net->arena = NULL;
    net->workspace = NULL;
    net->workspace_bytes = 0;
    net->device_pixel = NULL;
    rn_plan_free(&net->plan);
}

/* The same model for other images: its parameters have to be the very same. */
static int rebuild(const rn_net *net, int side, rn_graph *g)
{
    rn_model_spec spec = net->spec;
    if (spec.net_text || spec.width_px)
        return rn_fail(RN_E_UNSUPPORTED, "%s: a net of fixed sides cannot take images of %d pixels", spec.arch, side);
    spec.height = side;
    RN_TRY(rn_model_build(&spec, net->opts.batch, g));
    RN_TRY(rn_graph_set_dtype(g, net->opts.dtype));
    bool same = g->nparams == net->graph.nparams;
    for (int i = 0; same && i < g->nparams; i++)
        same = g->params[i].count == net->graph.params[i].count;
    return same ? RN_OK
                : rn_fail(RN_E_UNSUPPORTED, "%s: its weights are for images of %d pixels, not %d", spec.arch,
                          net->spec.height, side);
}

int rn_net_resize(rn_net *net, int side)
{
    rn_graph g = {0};
    if (side == net->spec.height && !net->spec.width_px)
        return RN_OK;
    int rc = rebuild(net, side, &g);
    if (rc < 0) {
        rn_graph_free(&g);
        return rc;
    }
    rn_net_drop_layout(net);
    rn_param *bound = net->graph.params; /* with their places and multipliers */
    net->graph.params = g.params;
    g.params = bound;
    rn_graph_free(&net->graph);
    net->graph = g;
    net->spec.height = side;
    return rn_net_lay_out(net);
}
