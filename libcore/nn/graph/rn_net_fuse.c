/* SPDX-License-Identifier: MIT */
/*
 * Which batch norms the convolutions around them take over. A BN behind a convolution can have its statistics from it
 * (RN_BN_GIVEN); one that with its ReLU stands between two convolutions and is read by nothing else need not be stored at all
 * (RN_BN_THROUGH). Measured costs decide (rn_net_fuse_cost.c); nobody guesses, for what is saved in passes over tensors and what
 * convolutions take longer are nearly the same. With RN_FUSE_ON a convolution gets fused work where the algorithm that is chosen
 * for it anyway does that too: one that is faster without is not given up for it.
 */
#include <stdlib.h>

#include "base/rn_error.h"
#include "nn/graph/rn_net_impl.h"

const char *const rn_bn_way_names[] = {"apart", "given", "through", NULL};

/* What of the fused work is for the BN before the convolution, and for the one behind it. */
static unsigned fuse_in(const rn_node *n, rn_conv_dir dir)
{
    return n->bn_in < 0 ? 0 : dir == RN_BWD_D ? RN_EPI_DBN : RN_PRO_BN | RN_PRO_RELU;
}

static unsigned fuse_out(const rn_graph *g, const rn_node *n, rn_conv_dir dir)
{
    if (n->bn_out < 0)
        return 0;
    return dir == RN_FWD ? RN_EPI_STATS : g->nodes[n->bn_out].bn_way == RN_BN_THROUGH ? RN_PRO_DBN : 0;
}

rn_conv_desc rn_net_conv_desc(const rn_graph *g, const rn_node *n, rn_conv_dir dir)
{
    rn_conv_desc d = n->conv;
    d.fuse = fuse_in(n, dir) | fuse_out(g, n, dir);
    return d;
}

/* The one node that makes value v; the one that reads it, if no other does. -1: none. */
int rn_net_maker_of(const rn_graph *g, int v)
{
    for (int i = 0; i < g->nnodes; i++)
        if (g->nodes[i].out == v)
            return i;
    return -1;
}

int rn_net_reader_of(const rn_graph *g, int v)
{
    for (int i = 0; i < g->nnodes && g->values[v].consumers == 1; i++)
        if (g->nodes[i].in == v)
            return i;
    return -1;
}

void rn_net_set_way(rn_graph *g, int bn, enum rn_bn_way way)
{
    rn_node *b = &g->nodes[bn];
    const int before = rn_net_maker_of(g, b->in), behind = rn_net_reader_of(g, b->out);
    const bool through = way == RN_BN_THROUGH;
    b->bn_way = way;
    g->nodes[before].bn_out = way == RN_BN_APART ? -1 : bn;
    if (behind >= 0 && g->nodes[behind].kind == RN_NODE_CONV)
        g->nodes[behind].bn_in = through ? bn : -1;
    g->values[b->out].stored = through ? b->in : b->out;
    g->values[b->in].grad_stored = through ? b->out : b->in;
}

/* The most that the graph's shape allows. */
static enum rn_bn_way best_way(const rn_graph *g, int bn)
{
    const rn_node *b = &g->nodes[bn];
    if (b->kind != RN_NODE_BN)
        return RN_BN_APART;
    const int before = rn_net_maker_of(g, b->in), behind = rn_net_reader_of(g, b->out);
    if (before < 0 || g->nodes[before].kind != RN_NODE_CONV || g->nodes[before].bias >= 0 ||
        g->values[b->in].consumers != 1)
        return RN_BN_APART;
    const bool between = behind >= 0 && g->nodes[behind].kind == RN_NODE_CONV;
    return b->relu && b->res < 0 && between ? RN_BN_THROUGH : RN_BN_GIVEN;
}

/* Does the algorithm that is chosen without `fuse` do that as well, and is it worth it there? */
static bool does(rn_backend *be, rn_selector *sel, const rn_node *n, rn_conv_dir dir, unsigned fuse)
{
    rn_conv_desc d = n->conv;
    rn_select_choice plain, fused;
    if (rn_selector_pick(sel, &d, dir, &plain) < 0)
        return false; /* pick() will say so */
    d.fuse = fuse;
    if (rn_selector_pick(sel, &d, dir, &fused) < 0 || fused.algo != plain.algo)
        return false;
    return !fused.algo->suits || fused.algo->suits(be, &d, dir);
}

/* Takes back what a convolution does not do in this direction. Returns whether there was something. */
static bool take_back(rn_net *net, rn_selector *sel, int node, rn_conv_dir dir)
{
    rn_graph *g = &net->graph;
    const rn_node *n = &g->nodes[node];
    const unsigned in = fuse_in(n, dir), out = fuse_out(g, n, dir);
    if (!(in | out) || does(net->be, sel, n, dir, in | out))
        return false;
    /* the BN behind it gives way, unless it is the other part that is not done */
    const int bn = out && (!in || does(net->be, sel, n, dir, in)) ? n->bn_out : n->bn_in;
    rn_net_set_way(g, bn, g->nodes[bn].bn_way - 1);
    return true;
}

/* Without measurements: what the chosen algorithms do. */
static void fuse_by_order(rn_net *net, rn_selector *sel)
{
    rn_graph *g = &net->graph;
    const bool wanted = net->opts.fuse == RN_FUSE_ON;

    for (int i = 0; i < g->nnodes && !wanted; i++)
        if (g->nodes[i].kind == RN_NODE_BN && g->nodes[i].bn_way != RN_BN_APART)
            rn_net_set_way(g, i, RN_BN_APART);
    for (bool changed = true; changed;) {
        changed = false;
        for (int i = 0; i < g->nnodes; i++) {
            if (g->nodes[i].kind != RN_NODE_CONV)
                continue;
            for (int dir = 0; dir < 3; dir++)
                if (dir != RN_BWD_D || g->values[g->nodes[i].in].needs_grad)
                    while (take_back(net, sel, i, (rn_conv_dir)dir))
                        changed = true;
        }
    }
}

int rn_net_fuse(rn_net *net, rn_selector *sel)
{
    rn_graph *g = &net->graph;
    const rn_ops *ops = net->be->ops;
    int *bns = NULL, n = 0, measured = 0;

    if (!net->opts.train || net->opts.fuse == RN_FUSE_OFF || !ops->bn_stats || !ops->bn_grad_stats)
        return RN_OK;
    net->fusions = calloc((size_t)g->nnodes, sizeof *net->fusions);
    bns = calloc((size_t)g->nnodes, sizeof *bns);
    if (!net->fusions || !bns) {
        free(bns);
        return rn_fail(RN_E_NOMEM, "net: out of memory");
    }
    for (int i = 0; i < g->nnodes; i++) {
        const enum rn_bn_way way = best_way(g, i);
        if (way == RN_BN_APART)
            continue;
        rn_net_set_way(g, i, way);
        bns[n] = i;
        net->fusions[n++] = (rn_net_fusion){.layer = g->nodes[i].name};
    }
    net->nfusions = n;
    if (net->opts.fuse == RN_FUSE_AUTO)
        measured = rn_net_fuse_measured(net, sel);
    if (!measured)
        fuse_by_order(net, sel);
    for (int i = 0; i < n; i++)
        net->fusions[i].way = g->nodes[bns[i]].bn_way;
    free(bns);
    return measured < 0 ? measured : RN_OK;
}
