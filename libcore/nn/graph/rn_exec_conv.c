/* SPDX-License-Identifier: MIT */
/* What multiplies by weights: convolutions and the linear layer. */
#include "base/rn_error.h"
#include "nn/graph/rn_exec.h"

/* NOLINTBEGIN(clang-analyzer-core.NullDereference): only the loss has no output, and it is not run by these */
/* Vectors of the batch norms that this convolution works for. */
static void add_src_norm(const rn_exec *c, rn_conv_args *a)
{
    const int bn = c->node->bn_in;
    if (bn < 0)
        return;
    a->scale = rn_net_bn_aux(c->net, bn, RN_BN_SCALE);
    a->shift = rn_net_bn_aux(c->net, bn, RN_BN_SHIFT);
}

static void add_dst_norm(const rn_exec *c, rn_conv_args *a)
{
    const int bn = c->node->bn_out;
    if (bn < 0 || c->net->graph.nodes[bn].bn_way != RN_BN_THROUGH)
        return;
    a->x = c->out->t.data;
    a->ka = rn_net_bn_aux(c->net, bn, RN_BN_KA);
    a->kb = rn_net_bn_aux(c->net, bn, RN_BN_KB);
    a->kc = rn_net_bn_aux(c->net, bn, RN_BN_KC);
}

int rn_exec_conv_fwd(const rn_exec *c)
{
    rn_backend *be = c->net->be;
    const int bn = c->node->bn_out;
    rn_conv_args a = {.src = c->in->t.data, .wei = rn_net_operand(c->net, c->node), .dst = c->out->t.data};
    add_src_norm(c, &a);
    if (bn >= 0) {
        a.sum = rn_net_bn_sums(c->net, bn, RN_BN_SUM);
        a.sumsq = rn_net_bn_sums(c->net, bn, RN_BN_SUMSQ);
        a.pivot = c->net->graph.params[c->net->graph.nodes[bn].param + 2].value; /* the running mean */
    }
    RN_TRY(rn_conv_run(c->net->conv[c->index][RN_FWD], &a, 0, c->net->workspace, NULL));
    if (c->node->bias < 0)
        return RN_OK;
    rn_op_bias b = {.dtype = c->out->t.dtype,
                    .relu = c->node->relu,
                    .rows = rn_exec_rows(&c->out->t),
                    .c = (int)c->out->t.dim[3],
                    .x = c->out->t.data,
                    .b = rn_exec_bias(c),
                    .y = c->out->t.data};
    return be->ops->bias_fwd(be, &b, NULL);
}

/* The bias first: with a ReLU the gradient behind it is what the convolution needs, and replaces dy. */
static int bias_bwd(const rn_exec *c)
{
    rn_backend *be = c->net->be;
    rn_op_bias_bwd b = {.dtype = c->out->t.dtype,
                        .relu = c->node->relu,
                        .rows = rn_exec_rows(&c->out->t),
                        .c = (int)c->out->t.dim[3],
                        .y = c->out->t.data,
                        .dy = c->out->grad,
                        .dx = c->node->relu ? c->out->grad : NULL,
                        .db = rn_exec_bias_grad(c)};
    return c->node->bias < 0 ? RN_OK : be->ops->bias_bwd(be, &b, NULL);
}

int rn_exec_conv_bwd(const rn_exec *c)
{
    rn_conv_plan *const *plan = c->net->conv[c->index];
    RN_TRY(bias_bwd(c));
    rn_conv_args w = {.src = c->in->t.data, .wei = rn_exec_weight_grad(c), .dst = c->out->grad};
    add_src_norm(c, &w);
    add_dst_norm(c, &w);
    RN_TRY(rn_conv_run(plan[RN_BWD_W], &w, 0, c->net->workspace, NULL));
    if (!plan[RN_BWD_D])
        return RN_OK;
    rn_conv_args d = {.src = c->in->grad, .wei = rn_net_operand(c->net, c->node), .dst = c->out->grad};
    add_src_norm(c, &d);
    add_dst_norm(c, &d);
    if (c->node->bn_in >= 0) {
        d.raw = c->in->t.data;
        d.mean = rn_net_bn_aux(c->net, c->node->bn_in, RN_BN_MEAN);
        d.sum = rn_net_bn_sums(c->net, c->node->bn_in, RN_BN_SUM);
        d.sumsq = rn_net_bn_sums(c->net, c->node->bn_in, RN_BN_SUMSQ);
    }
    return rn_conv_run(plan[RN_BWD_D], &d, c->node->dx_beta, c->net->workspace, NULL);
}

static rn_op_linear linear_args(const rn_exec *c)
{
    const rn_tensor *t = &c->in->t;
    return (rn_op_linear){.dtype = t->dtype,
                          .mb = (int)t->dim[0],
                          .ic = (int)(rn_tensor_count(t) / t->dim[0]),
                          .oc = (int)c->out->t.dim[1],
                          .x = t->data,
                          .w = rn_exec_weight(c),
                          .y = c->out->t.data,
                          .b = rn_exec_bias(c),
                          .y_dtype = c->out->t.dtype};
}

int rn_exec_linear_fwd(const rn_exec *c)
{
    rn_op_linear a = linear_args(c);
    return c->net->be->ops->linear_fwd(c->net->be, &a, NULL);
}

int rn_exec_linear_bwd(const rn_exec *c)
{
    rn_backend *be = c->net->be;
    rn_op_linear w = linear_args(c);
    w.w = rn_exec_weight_grad(c);
    w.b = rn_exec_bias_grad(c);
    w.y = c->out->grad;
    RN_TRY(be->ops->linear_bwd_w(be, &w, NULL));
    if (!c->in->needs_grad)
        return RN_OK;
    rn_op_linear d = linear_args(c);
    d.x = c->in->grad;
    d.y = c->out->grad;
    d.b = NULL;
    d.beta = c->node->dx_beta;
    return be->ops->linear_bwd_d(be, &d, NULL);
}
/* NOLINTEND(clang-analyzer-core.NullDereference) */
