/* SPDX-License-Identifier: MIT */
/* Element by element. A backward pass that cannot add works over dy, which nobody reads afterwards, and is added. */
#include "base/rn_error.h"
#include "nn/graph/rn_exec.h"

/* NOLINTBEGIN(clang-analyzer-core.NullDereference): only the loss has no output, and it is not run by these */
int rn_exec_relu_fwd(const rn_exec *c)
{
    rn_op_relu a = {c->in->t.dtype, rn_tensor_count(&c->in->t), c->in->t.data, c->out->t.data};
    return c->net->be->ops->relu_fwd(c->net->be, &a, NULL);
}

/* Where the op of a node with one input writes, and what has to be done afterwards. */
static void *dx_place(const rn_exec *c)
{
    return c->node->dx_beta ? c->out->grad : c->in->grad;
}

static int dx_done(const rn_exec *c)
{
    if (!c->node->dx_beta)
        return RN_OK;
    rn_op_add a = {c->in->t.dtype, rn_tensor_count(&c->in->t), c->in->grad, c->out->grad, c->in->grad};
    return c->net->be->ops->add(c->net->be, &a, NULL);
}

int rn_exec_relu_bwd(const rn_exec *c)
{
    rn_op_relu_bwd a = {c->in->t.dtype, rn_tensor_count(&c->in->t), c->out->t.data, c->out->grad, dx_place(c)};
    RN_TRY(c->net->be->ops->relu_bwd(c->net->be, &a, NULL));
    return dx_done(c);
}

int rn_exec_sigmoid_fwd(const rn_exec *c)
{
    rn_op_sigmoid a = {c->in->t.dtype, rn_tensor_count(&c->in->t), c->in->t.data, c->out->t.data};
    return c->net->be->ops->sigmoid_fwd(c->net->be, &a, NULL);
}

int rn_exec_sigmoid_bwd(const rn_exec *c)
{
    rn_op_sigmoid_bwd a = {c->in->t.dtype, rn_tensor_count(&c->in->t), c->out->t.data, c->out->grad, dx_place(c)};
    RN_TRY(c->net->be->ops->sigmoid_bwd(c->net->be, &a, NULL));
    return dx_done(c);
}

/* The same elements both ways: those of this batch's place among all images of the step. */
static int dropout(const rn_exec *c, const void *x, void *y)
{
    const rn_tensor *t = &c->in->t;
    rn_op_dropout a = {.dtype = t->dtype,
                       .n = rn_tensor_count(t),
                       .p = c->node->dropout,
                       .node = (uint32_t)c->node->dropout_key,
                       .x = x,
                       .y = y,
                       .each = rn_tensor_count(t) / t->dim[0],
                       .now = rn_net_now(c->net)};
    return c->net->be->ops->dropout(c->net->be, &a, NULL);
}

int rn_exec_dropout_fwd(const rn_exec *c)
{
    const rn_tensor *t = &c->in->t;
    if (c->train)
        return dropout(c, t->data, c->out->t.data);
    if (t->data == c->out->t.data)
        return RN_OK;
    return c->net->be->copy(c->net->be, c->out->t.data, t->data, rn_tensor_bytes(t), RN_COPY_D2D, NULL);
}

int rn_exec_dropout_bwd(const rn_exec *c)
{
    RN_TRY(dropout(c, c->out->grad, dx_place(c)));
    return dx_done(c);
}

int rn_exec_eltwise_fwd(const rn_exec *c)
{
    rn_op_eltwise a = {.dtype = c->in->t.dtype,
                       .kind = c->node->eltwise,
                       .relu = c->node->relu,
                       .n = rn_tensor_count(&c->in->t),
                       .ca = c->node->factor[0],
                       .cb = c->node->factor[1],
                       .a = c->in->t.data,
                       .b = c->res->t.data,
                       .y = c->out->t.data};
    return c->net->be->ops->eltwise_fwd(c->net->be, &a, NULL);
}

int rn_exec_eltwise_bwd(const rn_exec *c)
{
    rn_op_eltwise_bwd a = {.dtype = c->in->t.dtype,
                           .kind = c->node->eltwise,
                           .relu = c->node->relu,
                           .n = rn_tensor_count(&c->in->t),
                           .ca = c->node->factor[0],
                           .cb = c->node->factor[1],
                           .a = c->in->t.data,
                           .b = c->res->t.data,
                           .y = c->out->t.data,
                           .dy = c->out->grad,
                           .da = c->in->grad,
                           .db = c->res->grad,
                           .da_beta = c->node->dx_beta,
                           .db_beta = c->node->dres_beta};
    return c->net->be->ops->eltwise_bwd(c->net->be, &a, NULL);
}
/* NOLINTEND(clang-analyzer-core.NullDereference) */
