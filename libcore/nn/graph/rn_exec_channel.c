/* SPDX-License-Identifier: MIT */
/* Over channels: a factor each, local response normalisation, concatenation and slices. */
#include "base/rn_error.h"
#include "nn/graph/rn_exec.h"

/* NOLINTBEGIN(clang-analyzer-core.NullDereference): only the loss has no output, and it is not run by these */
static const rn_value *factors(const rn_exec *c)
{
    return &c->net->graph.values[c->node->ins[2]];
}

int rn_exec_scale_fwd(const rn_exec *c)
{
    const rn_tensor *t = &c->in->t;
    rn_op_scale a = {.dtype = t->dtype,
                     .relu = c->node->relu,
                     .mb = (int)t->dim[0],
                     .hw = (int)(t->dim[1] * t->dim[2]),
                     .c = (int)t->dim[3],
                     .x = t->data,
                     .s = factors(c)->t.data,
                     .res = c->res ? c->res->t.data : NULL,
                     .y = c->out->t.data};
    return c->net->be->ops->scale_fwd(c->net->be, &a, NULL);
}

int rn_exec_scale_bwd(const rn_exec *c)
{
    const rn_tensor *t = &c->in->t;
    rn_op_scale_bwd a = {.dtype = t->dtype,
                         .relu = c->node->relu,
                         .mb = (int)t->dim[0],
                         .hw = (int)(t->dim[1] * t->dim[2]),
                         .c = (int)t->dim[3],
                         .x = t->data,
                         .s = factors(c)->t.data,
                         .y = c->out->t.data,
                         .dy = c->out->grad,
                         .dx = c->in->grad,
                         .ds = factors(c)->grad,
                         .dres = c->res ? c->res->grad : NULL,
                         .dx_beta = c->node->dx_beta,
                         .ds_beta = c->node->betas[2],
                         .dres_beta = c->node->dres_beta};
    return c->net->be->ops->scale_bwd(c->net->be, &a, NULL);
}

int rn_exec_lrn_fwd(const rn_exec *c)
{
    const rn_tensor *t = &c->in->t;
    rn_op_lrn a = c->node->lrn;
    a.dtype = t->dtype;
    a.rows = rn_exec_rows(t);
    a.c = (int)t->dim[t->nd - 1];
    a.x = t->data;
    a.y = c->out->t.data;
    return c->net->be->ops->lrn_fwd(c->net->be, &a, NULL);
}

int rn_exec_lrn_bwd(const rn_exec *c)
{
    const rn_tensor *t = &c->in->t;
    const rn_op_lrn *p = &c->node->lrn;
    rn_op_lrn_bwd a = {.dtype = t->dtype,
                       .rows = rn_exec_rows(t),
                       .c = (int)t->dim[t->nd - 1],
                       .size = p->size,
                       .alpha = p->alpha,
                       .beta = p->beta,
                       .k = p->k,
                       .x = t->data,
                       .dy = c->out->grad,
                       .dx = c->in->grad,
                       .dx_beta = c->node->dx_beta};
    return c->net->be->ops->lrn_bwd(c->net->be, &a, NULL);
}

/* Every input into its channels of the output. */
int rn_exec_concat_fwd(const rn_exec *c)
{
    const rn_tensor *to = &c->out->t;
    rn_op_part a = {.dtype = to->dtype, .rows = rn_exec_rows(to), .dst = to->data, .dst_c = (int)to->dim[to->nd - 1]};
    for (int k = 0; k < RN_NODE_INPUTS && c->node->ins[k] >= 0; k++) {
        const rn_tensor *t = &c->net->graph.values[c->node->ins[k]].t;
        a.c = a.src_c = (int)t->dim[t->nd - 1];
        a.src = t->data;
        RN_TRY(c->net->be->ops->part(c->net->be, &a, NULL));
        a.dst_at += a.c;
    }
    return RN_OK;
}

int rn_exec_concat_bwd(const rn_exec *c)
{
    const rn_tensor *from = &c->out->t;
    rn_op_part a = {
        .dtype = from->dtype, .rows = rn_exec_rows(from), .src = c->out->grad, .src_c = (int)from->dim[from->nd - 1]};
    for (int k = 0; k < RN_NODE_INPUTS && c->node->ins[k] >= 0; k++) {
        const rn_value *v = &c->net->graph.values[c->node->ins[k]];
        a.c = a.dst_c = (int)v->t.dim[v->t.nd - 1];
        a.dst = v->grad;
        a.beta = c->node->betas[k];
        if (v->needs_grad)
            RN_TRY(c->net->be->ops->part(c->net->be, &a, NULL));
        a.src_at += a.c;
    }
    return RN_OK;
}

int rn_exec_slice_fwd(const rn_exec *c)
{
    const rn_tensor *from = &c->in->t, *to = &c->out->t;
    rn_op_part a = {.dtype = to->dtype,
                    .rows = rn_exec_rows(to),
                    .c = (int)to->dim[to->nd - 1],
                    .src = from->data,
                    .src_c = (int)from->dim[from->nd - 1],
                    .src_at = c->node->slice_at,
                    .dst = to->data,
                    .dst_c = (int)to->dim[to->nd - 1]};
    return c->net->be->ops->part(c->net->be, &a, NULL);
}

/* The first slice to come back clears the channels of the others. */
int rn_exec_slice_bwd(const rn_exec *c)
{
    const rn_tensor *from = &c->out->t, *to = &c->in->t;
    rn_op_part a = {.dtype = to->dtype,
                    .rows = rn_exec_rows(to),
                    .c = (int)from->dim[from->nd - 1],
                    .src = c->out->grad,
                    .src_c = (int)from->dim[from->nd - 1],
                    .dst = c->in->grad,
                    .dst_c = (int)to->dim[to->nd - 1],
                    .dst_at = c->node->slice_at,
                    .beta = c->node->dx_beta,
                    .clear = !c->node->dx_beta};
    return c->net->be->ops->part(c->net->be, &a, NULL);
}
/* NOLINTEND(clang-analyzer-core.NullDereference) */
