/* SPDX-License-Identifier: MIT */
/* Pooling. */
#include "nn/graph/rn_exec.h"

/* NOLINTBEGIN(clang-analyzer-core.NullDereference): only the loss has no output, and it is not run by these */
static rn_op_pool pool_args(const rn_exec *c, bool bwd)
{
    rn_op_pool a = c->node->pool;
    a.src = bwd ? c->out->grad : c->in->t.data;
    a.dst = bwd ? c->in->grad : c->out->t.data;
    a.beta = c->node->dx_beta;
    a.argmax = c->train && c->node->kind == RN_NODE_MAXPOOL ? rn_net_slot(c->net, RN_SLOT_AUX, c->index) : NULL;
    return a;
}

static rn_op_gap gap_args(const rn_exec *c, bool bwd)
{
    const rn_tensor *t = &c->in->t;
    return (rn_op_gap){.dtype = t->dtype,
                       .mb = (int)t->dim[0],
                       .hw = (int)(t->dim[1] * t->dim[2]),
                       .c = (int)t->dim[3],
                       .src = bwd ? c->out->grad : t->data,
                       .dst = bwd ? c->in->grad : c->out->t.data,
                       .beta = c->node->dx_beta};
}

int rn_exec_maxpool_fwd(const rn_exec *c)
{
    rn_op_pool a = pool_args(c, false);
    return c->net->be->ops->maxpool_fwd(c->net->be, &a, NULL);
}

int rn_exec_maxpool_bwd(const rn_exec *c)
{
    rn_op_pool a = pool_args(c, true);
    return c->net->be->ops->maxpool_bwd(c->net->be, &a, NULL);
}

int rn_exec_avgpool_fwd(const rn_exec *c)
{
    rn_op_pool a = pool_args(c, false);
    return c->net->be->ops->avgpool_fwd(c->net->be, &a, NULL);
}

int rn_exec_avgpool_bwd(const rn_exec *c)
{
    rn_op_pool a = pool_args(c, true);
    return c->net->be->ops->avgpool_bwd(c->net->be, &a, NULL);
}

int rn_exec_gap_fwd(const rn_exec *c)
{
    rn_op_gap a = gap_args(c, false);
    return c->net->be->ops->gap_fwd(c->net->be, &a, NULL);
}

int rn_exec_gap_bwd(const rn_exec *c)
{
    rn_op_gap a = gap_args(c, true);
    return c->net->be->ops->gap_bwd(c->net->be, &a, NULL);
}
/* NOLINTEND(clang-analyzer-core.NullDereference) */
