/* SPDX-License-Identifier: MIT */
/*
 * A training batch's way forward and back. Its ops and their arguments are the same for every batch: a device that can capture
 * what it is given (rn_backend.h) is given the whole pass as one from the second batch on.
 */
#include "base/rn_error.h"
#include "nn/graph/rn_net_impl.h"

static int by_node(rn_net *net, int first)
{
    RN_TRY(rn_net_forward(net, first, true, net->opts.batch));
    return rn_net_backward(net);
}

/*
 * What has to be the same. A watched net looks at each node; between ranks the host has its part in the pass; dropout's draws
 * and mixed labels' shares are arguments of their ops.
 */
static bool same_each_time(const rn_net *net)
{
    return !net->watched && !net->opts.comm && !net->mixed && net->graph.ndropouts == 0;
}

void rn_net_forget_pass(rn_net *net)
{
    if (net->pass.captured)
        net->be->capture_close(net->be, net->pass.captured);
    net->pass = (rn_net_pass){0};
}

static int capture(rn_net *net, int first)
{
    rn_backend *be = net->be;
    rn_net_forget_pass(net);
    RN_TRY(be->capture_begin(be));
    int rc = by_node(net, first);
    if (rc < 0) {
        (void)be->capture_end(be, NULL);
        return rc;
    }
    RN_TRY(be->capture_end(be, &net->pass.captured));
    net->pass.warm = true;
    net->pass.first = first;
    net->pass.loss_scale = net->loss_scale;
    return RN_OK;
}

static bool is_captured(const rn_net *net, int first)
{
    const rn_net_pass *p = &net->pass;
    return p->captured && p->first == first && !(p->loss_scale < net->loss_scale) && !(p->loss_scale > net->loss_scale);
}

int rn_net_train_pass(rn_net *net, int first)
{
    rn_backend *be = net->be;
    int rc = 0;
    if (!be->capture_begin || !same_each_time(net))
        return by_node(net, first);
    if (!net->pass.warm) { /* what ops do only once, they do now */
        RN_TRY(by_node(net, first));
        net->pass.warm = true;
        return RN_OK;
    }
    if (is_captured(net, first))
        rc = be->capture_run(be, net->pass.captured);
    if (rc != 0)
        return rc < 0 ? rc : RN_OK;
    RN_TRY(capture(net, first));
    rc = be->capture_run(be, net->pass.captured);
    return rc < 0 ? rc : RN_OK;
}
