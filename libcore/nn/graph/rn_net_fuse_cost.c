/* SPDX-License-Identifier: MIT */
/*
 * Batch norms by measured costs. A way costs what the batch norm takes by itself and what the convolutions beside it take in all
 * their directions. As a convolution may stand between two batch norms, whose ways it shares, each takes its best way by turns,
 * the others being as they are, until none changes. Where costs are equal but for noise, it stays apart. Of
 * the measurements alone: whoever has the same tuning file chooses the same.
 */
#include <math.h>
#include <stdlib.h>

#include "base/rn_error.h"
#include "nn/graph/rn_net_impl.h"
#include "op/rn_measure.h"

#define MOST_TURNS 6

/* *ms: infinite where an algorithm is lacking. Returns 1, or 0 when a cost is not known. */
static int conv_ms(const rn_net *net, rn_selector *sel, int node, double *ms)
{
    const rn_graph *g = &net->graph;
    const rn_node *n = &g->nodes[node];

    for (int dir = 0; dir < 3; dir++) {
        if (dir == RN_BWD_D && !g->values[n->in].needs_grad)
            continue;
        const rn_conv_desc d = rn_net_conv_desc(g, n, (rn_conv_dir)dir);
        rn_select_choice c;
        const int rc = rn_selector_pick(sel, &d, (rn_conv_dir)dir, &c);
        if (rc == RN_E_UNSUPPORTED || (rc >= 0 && (c.algo->flags & RN_ALGO_REFERENCE)))
            *ms = INFINITY;
        else if (rc < 0)
            return rc;
        else if (!(c.ms > 0) && d.fuse) /* nothing that suits it was there to be measured */
            *ms = INFINITY;
        else if (!(c.ms > 0))
            return 0;
        else
            *ms += c.ms;
    }
    return 1;
}

static int bn_ms(const rn_net *net, rn_selector *sel, int node, double *ms)
{
    const rn_node *n = &net->graph.nodes[node];
    const rn_tensor *t = &net->graph.values[n->in].t;
    rn_bn_case c = {.dtype = t->dtype, .c = (int)t->dim[t->nd - 1], .relu = n->relu, .res = n->res >= 0};
    double took;

    c.rows = rn_tensor_count(t) / c.c;
    for (int pass = 0; pass < 2 && n->bn_way != RN_BN_THROUGH; pass++) {
        c.pass = pass ? RN_BN_BWD : n->bn_way == RN_BN_GIVEN ? RN_BN_APPLY : RN_BN_FWD;
        RN_TRY(rn_selector_bn_ms(sel, &c, &took));
        if (!(took > 0))
            return 0;
        *ms += took;
    }
    return 1;
}

/* The batch norm with what is beside it, as the graph is. */
static int cost_of(const rn_net *net, rn_selector *sel, int bn, double *ms)
{
    const rn_graph *g = &net->graph;
    const int before = rn_net_maker_of(g, g->nodes[bn].in), behind = rn_net_reader_of(g, g->nodes[bn].out);
    int rc;

    *ms = 0;
    if ((rc = bn_ms(net, sel, bn, ms)) != 1 || (rc = conv_ms(net, sel, before, ms)) != 1)
        return rc;
    return behind >= 0 && g->nodes[behind].kind == RN_NODE_CONV ? conv_ms(net, sel, behind, ms) : 1;
}

/* The first within a tie of the least, as of algorithms (rn_measure_best); apart comes first. */
static int best_of(const double *ms, int most)
{
    double least = INFINITY;

    for (int way = 0; way <= most; way++)
        least = ms[way] < least ? ms[way] : least;
    for (int way = 0; way <= most; way++)
        if (ms[way] <= least * (1 + RN_MEASURE_TIE) && isfinite(ms[way]))
            return way;
    return RN_BN_APART; /* algorithms that nobody measures: the reference */
}

/* Leaves the batch norm in its best way, at most `most`. */
static int choose(rn_net *net, rn_selector *sel, int bn, enum rn_bn_way most, rn_net_fusion *f)
{
    double ms[RN_BN_THROUGH + 1] = {0};

    for (int way = RN_BN_APART; way <= (int)most; way++) {
        rn_net_set_way(&net->graph, bn, (enum rn_bn_way)way);
        const int rc = cost_of(net, sel, bn, &ms[way]);
        if (rc != 1)
            return rc;
    }
    const int best = best_of(ms, (int)most);
    rn_net_set_way(&net->graph, bn, (enum rn_bn_way)best);
    *f = (rn_net_fusion){.layer = f->layer, .ms = ms[best], .second_ms = INFINITY};
    for (int way = RN_BN_APART; way <= (int)most; way++) {
        if (way == best || !(ms[way] < f->second_ms))
            continue;
        f->second = (enum rn_bn_way)way;
        f->second_ms = ms[way];
    }
    return 1;
}

int rn_net_fuse_measured(rn_net *net, rn_selector *sel)
{
    rn_graph *g = &net->graph;
    int rc = 1;

    enum rn_bn_way *most = calloc((size_t)g->nnodes, sizeof *most);
    if (!most)
        rc = rn_fail(RN_E_NOMEM, "net: out of memory");
    for (int i = 0; i < g->nnodes && rc == 1; i++)
        most[i] = g->nodes[i].kind == RN_NODE_BN ? g->nodes[i].bn_way : RN_BN_APART;
    bool changed = true;
    for (int turn = 0; turn < MOST_TURNS && changed && rc == 1; turn++) {
        changed = false;
        for (int i = 0, at = 0; i < g->nnodes && rc == 1; i++) {
            if (most[i] == RN_BN_APART)
                continue;
            const enum rn_bn_way was = g->nodes[i].bn_way;
            rc = choose(net, sel, i, most[i], &net->fusions[at++]);
            changed = changed || g->nodes[i].bn_way != was;
        }
    }
    for (int i = 0; i < g->nnodes && most && rc == 0; i++)
        if (most[i] != RN_BN_APART)
            rn_net_set_way(g, i, most[i]);
    for (int i = 0; i < net->nfusions && rc == 0; i++)
        net->fusions[i] = (rn_net_fusion){.layer = net->fusions[i].layer};
    free(most);
    return rc;
}
