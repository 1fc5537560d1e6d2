/* SPDX-License-Identifier: MIT */
/* Runs the nodes: one function a kind and direction. Nothing here allocates, and nothing knows an algorithm. */
#include "base/rn_error.h"
#include "nn/graph/rn_net_impl.h"

void *rn_net_slot(const rn_net *net, enum rn_slot_kind kind, int i)
{
    return net->arena + net->plan.slots[rn_plan_index(&net->graph, kind, i)].offset;
}

/* A value as rows of its last dimension. */
static int64_t rows_of(const rn_tensor *t)
{
    return rn_tensor_count(t) / (t->nd == 4 ? t->dim[3] : t->dim[1]);
}

typedef struct ctx {
    rn_net *net;
    const rn_node *node;
    int index;                      /* of the node */
    const rn_value *in, *res, *out; /* res, out may be NULL */
    bool train;
    int n;
} ctx;

static ctx make_ctx(rn_net *net, int i, bool train, int n)
{
    const rn_node *node = &net->graph.nodes[i];
    const rn_value *v = net->graph.values;
    return (ctx){.net = net,
                 .node = node,
                 .index = i,
                 .in = &v[node->in],
                 .res = node->res >= 0 ? &v[node->res] : NULL,
                 .out = node->out >= 0 ? &v[node->out] : NULL,
                 .train = train,
                 .n = n};
}

static const rn_param *param(const ctx *c, int k)
{
    return &c->net->graph.params[c->node->param + k];
}

/* NOLINTBEGIN(clang-analyzer-core.NullDereference): only the loss has no output, and it is not run by these */
static int normalize_fwd(const ctx *c)
{
    rn_op_normalize a = {.dtype = c->out->t.dtype,
                         .rows = rows_of(&c->in->t),
                         .c = (int)c->in->t.dim[3],
                         .src = c->in->t.data,
                         .dst = c->out->t.data,
                         .mul = c->net->device_pixel,
                         .add = c->net->device_pixel + c->in->t.dim[3]};
    return c->net->be->ops->normalize(c->net->be, &a, NULL);
}

static int conv_fwd(const ctx *c)
{
    rn_conv_args a = {.src = c->in->t.data, .wei = param(c, 0)->value, .dst = c->out->t.data};
    return rn_conv_run(c->net->conv[c->index][RN_FWD], &a, 0, c->net->workspace, NULL);
}

static int conv_bwd(const ctx *c)
{
    rn_conv_plan *const *plan = c->net->conv[c->index];
    rn_conv_args w = {.src = c->in->t.data, .wei = param(c, 0)->grad, .dst = c->out->grad};
    RN_TRY(rn_conv_run(plan[RN_BWD_W], &w, 0, c->net->workspace, NULL));
    if (!plan[RN_BWD_D])
        return RN_OK;
    rn_conv_args d = {.src = c->in->grad, .wei = param(c, 0)->value, .dst = c->out->grad};
    return rn_conv_run(plan[RN_BWD_D], &d, c->node->dx_beta, c->net->workspace, NULL);
}

static int bn_fwd(const ctx *c)
{
    const rn_net *net = c->net;
    int channels = (int)c->in->t.dim[3];
    float *stats = c->train ? rn_net_slot(net, RN_SLOT_AUX, c->index) : NULL;
    rn_op_bn_fwd a = {.dtype = c->in->t.dtype,
                      .train = c->train,
                      .relu = c->node->relu,
                      .rows = rows_of(&c->in->t),
                      .c = channels,
                      .eps = net->opts.bn_eps,
                      .momentum = net->opts.bn_momentum,
                      .x = c->in->t.data,
                      .res = c->res ? c->res->t.data : NULL,
                      .y = c->out->t.data,
                      .gamma = param(c, 0)->value,
                      .beta = param(c, 1)->value,
                      .running_mean = param(c, 2)->value,
                      .running_var = param(c, 3)->value,
                      .mean = stats,
                      .inv_std = stats ? stats + channels : NULL};
    return net->be->ops->bn_fwd(net->be, &a, NULL);
}

static int bn_bwd(const ctx *c)
{
    const rn_net *net = c->net;
    int channels = (int)c->in->t.dim[3];
    const float *stats = rn_net_slot(net, RN_SLOT_AUX, c->index);
    rn_op_bn_bwd a = {.dtype = c->in->t.dtype,
                      .relu = c->node->relu,
                      .rows = rows_of(&c->in->t),
                      .c = channels,
                      .x = c->in->t.data,
                      .y = c->out->t.data,
                      .dy = c->out->grad,
                      .gamma = param(c, 0)->value,
                      .mean = stats,
                      .inv_std = stats + channels,
                      .dx = c->in->grad,
                      .dres = c->res ? c->res->grad : NULL,
                      .dx_beta = c->node->dx_beta,
                      .dres_beta = c->node->dres_beta,
                      .dgamma = param(c, 0)->grad,
                      .dbeta = param(c, 1)->grad};
    return net->be->ops->bn_bwd(net->be, &a, NULL);
}

static rn_op_pool pool_args(const ctx *c, bool bwd)
{
    rn_op_pool a = c->node->pool;
    a.src = bwd ? c->out->grad : c->in->t.data;
    a.dst = bwd ? c->in->grad : c->out->t.data;
    a.argmax = c->train && c->node->kind == RN_NODE_MAXPOOL ? rn_net_slot(c->net, RN_SLOT_AUX, c->index) : NULL;
    return a;
}

static rn_op_gap gap_args(const ctx *c, bool bwd)
{
    const rn_tensor *t = &c->in->t;
    return (rn_op_gap){.dtype = t->dtype,
                       .mb = (int)t->dim[0],
                       .hw = (int)(t->dim[1] * t->dim[2]),
                       .c = (int)t->dim[3],
                       .src = bwd ? c->out->grad : t->data,
                       .dst = bwd ? c->in->grad : c->out->t.data};
}

static rn_op_linear linear_args(const ctx *c)
{
    const rn_tensor *t = &c->in->t;
    return (rn_op_linear){.dtype = t->dtype,
                          .mb = (int)t->dim[0],
                          .ic = (int)t->dim[1],
                          .oc = (int)c->out->t.dim[1],
                          .x = t->data,
                          .w = param(c, 0)->value,
                          .y = c->out->t.data,
                          .b = param(c, 1)->value};
}

static int linear_bwd(const ctx *c)
{
    rn_backend *be = c->net->be;
    rn_op_linear w = linear_args(c);
    w.w = param(c, 0)->grad;
    w.b = param(c, 1)->grad;
    w.y = c->out->grad;
    RN_TRY(be->ops->linear_bwd_w(be, &w, NULL));
    rn_op_linear d = linear_args(c);
    d.x = c->in->grad;
    d.y = c->out->grad;
    d.b = NULL;
    return be->ops->linear_bwd_d(be, &d, NULL);
}
/* NOLINTEND(clang-analyzer-core.NullDereference) */

static int xent(const ctx *c)
{
    const rn_tensor *t = &c->in->t;
    float *loss = rn_net_slot(c->net, RN_SLOT_AUX, c->index);
    int32_t *rank = (int32_t *)(loss + t->dim[0]);
    rn_op_xent a = {.dtype = t->dtype,
                    .mb = (int)t->dim[0],
                    .n = c->n,
                    .k = (int)t->dim[1],
                    .logits = t->data,
                    .labels = rank + t->dim[0],
                    .labels2 = c->train && c->net->mixed ? rank + 2 * t->dim[0] : NULL,
                    .share = c->net->share,
                    .smoothing = c->train ? c->net->opts.label_smoothing : 0,
                    .grad_scale = 1.0f / (float)c->n,
                    .dlogits = c->train ? c->in->grad : NULL,
                    .loss = loss,
                    .rank = rank};
    return c->net->be->ops->xent(c->net->be, &a, NULL);
}

static int forward_node(const ctx *c)
{
    rn_backend *be = c->net->be;
    rn_op_pool pool;
    rn_op_gap gap;
    rn_op_linear linear;
    switch (c->node->kind) {
    case RN_NODE_NORMALIZE:
        return normalize_fwd(c);
    case RN_NODE_CONV:
        return conv_fwd(c);
    case RN_NODE_BN:
        return bn_fwd(c);
    case RN_NODE_MAXPOOL:
        pool = pool_args(c, false);
        return be->ops->maxpool_fwd(be, &pool, NULL);
    case RN_NODE_AVGPOOL:
        pool = pool_args(c, false);
        return be->ops->avgpool_fwd(be, &pool, NULL);
    case RN_NODE_GAP:
        gap = gap_args(c, false);
        return be->ops->gap_fwd(be, &gap, NULL);
    case RN_NODE_LINEAR:
        linear = linear_args(c);
        return be->ops->linear_fwd(be, &linear, NULL);
    case RN_NODE_XENT:
        return xent(c);
    case RN_NODE_KINDS:
        break;
    }
    return rn_fail(RN_E_UNSUPPORTED, "node kind %d", (int)c->node->kind);
}

static int backward_node(const ctx *c)
{
    rn_backend *be = c->net->be;
    rn_op_pool pool;
    rn_op_gap gap;
    switch (c->node->kind) {
    case RN_NODE_CONV:
        return conv_bwd(c);
    case RN_NODE_BN:
        return bn_bwd(c);
    case RN_NODE_MAXPOOL:
        pool = pool_args(c, true);
        return be->ops->maxpool_bwd(be, &pool, NULL);
    case RN_NODE_AVGPOOL:
        pool = pool_args(c, true);
        return be->ops->avgpool_bwd(be, &pool, NULL);
    case RN_NODE_GAP:
        gap = gap_args(c, true);
        return be->ops->gap_bwd(be, &gap, NULL);
    case RN_NODE_LINEAR:
        return linear_bwd(c);
    default: /* NORMALIZE: pixels need no gradient; XENT: its forward wrote it */
        return RN_OK;
    }
}

int rn_net_forward(rn_net *net, int first, bool train, int n)
{
    for (int i = first; i < net->graph.nnodes; i++) {
        ctx c = make_ctx(net, i, train, n);
        int rc = forward_node(&c);
        if (rc < 0)
            return rn_fail_prefix(rc, "forward of %s", c.node->name);
    }
    return RN_OK;
}

int rn_net_backward(rn_net *net)
{
    for (int i = net->graph.nnodes - 1; i >= 0; i--) {
        ctx c = make_ctx(net, i, true, 0);
        int rc = backward_node(&c);
        if (rc < 0)
            return rn_fail_prefix(rc, "backward of %s", c.node->name);
    }
    return RN_OK;
}
