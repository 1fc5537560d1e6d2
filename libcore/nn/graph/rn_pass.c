/* SPDX-License-Identifier: MIT */
/*
 * A training batch's way forward and back, and what follows it: the gradients' sum, the update. Ops and arguments are the same for
 * every batch: a device that can capture what it is given (rn_backend.h) is given all of it as one from the second time on.
 */
#include "base/rn_error.h"
#include "base/rn_log.h"
#include "nn/graph/rn_net_impl.h"

typedef struct piece {
    int first; /* node of the pass; -1: the tail alone */
    rn_tail tail;
} piece;

static int by_node(rn_net *net, const piece *p)
{
    if (p->first >= 0) {
        RN_TRY(rn_net_forward(net, p->first, true, net->opts.batch));
        RN_TRY(rn_net_backward(net));
    }
    return p->tail.kind ? p->tail.give(p->tail.with, p->tail.kind) : RN_OK;
}

/* What can be captured has to be the same. A watched net looks at each node; between ranks the host may have its part in the pass. */
static bool same_each_time(const rn_net *net, const piece *p)
{
    return !net->pass.refused && (p->first < 0 || (!net->watched && !rn_net_host_ranks(net)));
}

void rn_net_forget_pass(rn_net *net)
{
    rn_backend *be = net->be;
    for (int i = 0; be->capture_close && i < RN_TAILS; i++) {
        for (int k = 0; k < 4; k++)
            be->capture_close(be, net->pass.captured[i][k / 2][k % 2]);
        be->capture_close(be, net->pass.alone[i]);
    }
    net->pass = (rn_net_pass){0};
}

static int capture(rn_net *net, const piece *p, rn_capture *out)
{
    rn_backend *be = net->be;
    if (*out)
        be->capture_close(be, *out);
    *out = NULL;
    RN_TRY(be->capture_begin(be));
    int rc = by_node(net, p);
    if (rc < 0) {
        (void)be->capture_end(be, NULL);
        return rc;
    }
    return be->capture_end(be, out);
}

/*
 * What cannot be captured, as a library's call may be, is given op by op. Between ranks that is a failure: they have to do alike,
 * and others may have captured it.
 */
static int without(rn_net *net, const piece *p, int rc)
{
    if (net->opts.comm)
        return rc;
    rn_warn("a step is given to the device op by op, as it cannot be captured: %s", rn_error_text());
    net->pass.refused = true;
    return by_node(net, p);
}

static int as_one(rn_net *net, const piece *p, bool *warm, rn_capture *captured)
{
    rn_backend *be = net->be;
    int rc = 0;
    if (!*warm) { /* what ops do only once, they do now */
        RN_TRY(by_node(net, p));
        *warm = true;
        return RN_OK;
    }
    if (*captured)
        rc = be->capture_run(be, *captured);
    if (rc != 0)
        return rc < 0 ? rc : RN_OK;
    rc = capture(net, p, captured);
    if (rc < 0)
        return without(net, p, rc);
    rc = be->capture_run(be, *captured);
    return rc < 0 ? rc : RN_OK;
}

static int run(rn_net *net, const piece *p, bool *warm, rn_capture *captured)
{
    const rn_tail *t = &p->tail;
    net->tail = (rn_tail){0};
    RN_TRY(net->be->capture_begin && same_each_time(net, p) ? as_one(net, p, warm, captured) : by_node(net, p));
    return t->kind ? t->given(t->with, t->kind) : RN_OK;
}

int rn_net_train_pass(rn_net *net, int first)
{
    const piece p = {first, net->tail};
    return run(net, &p, &net->pass.warm[p.tail.kind], &net->pass.captured[p.tail.kind][first > 0][net->mixed]);
}

int rn_net_tail(rn_net *net)
{
    const piece p = {-1, net->tail};
    return run(net, &p, &net->pass.warm_alone[p.tail.kind], &net->pass.alone[p.tail.kind]);
}
