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
 * What has to be the same. A watched net looks at each node; between ranks the host has its part in the pass; dropout's draws,
 * and how much Caffe's batch norms take of the first batches, are arguments of their ops.
 */
static bool same_each_time(const rn_net *net)
{
    for (int i = 0; i < net->graph.nnodes; i++)
        if (net->graph.nodes[i].kind == RN_NODE_DROPOUT || net->graph.nodes[i].bn_caffe)
            return false;
    return !net->watched && !net->opts.comm;
}

void rn_net_forget_pass(rn_net *net)
{
    for (int i = 0; i < 4; i++)
        if (net->pass.captured[i / 2][i % 2])
            net->be->capture_close(net->be, net->pass.captured[i / 2][i % 2]);
    net->pass = (rn_net_pass){0};
}

static int capture(rn_net *net, int first, rn_capture *out)
{
    rn_backend *be = net->be;
    if (*out)
        be->capture_close(be, *out);
    *out = NULL;
    RN_TRY(be->capture_begin(be));
    int rc = by_node(net, first);
    if (rc < 0) {
        (void)be->capture_end(be, NULL);
        return rc;
    }
    return be->capture_end(be, out);
}

int rn_net_train_pass(rn_net *net, int first)
{
    rn_backend *be = net->be;
    rn_capture *captured = &net->pass.captured[first > 0][net->mixed];
    int rc = 0;
    if (!be->capture_begin || !same_each_time(net))
        return by_node(net, first);
    if (!net->pass.warm) { /* what ops do only once, they do now */
        RN_TRY(by_node(net, first));
        net->pass.warm = true;
        return RN_OK;
    }
    if (*captured)
        rc = be->capture_run(be, *captured);
    if (rc != 0)
        return rc < 0 ? rc : RN_OK;
    RN_TRY(capture(net, first, captured));
    rc = be->capture_run(be, *captured);
    return rc < 0 ? rc : RN_OK;
}
