/* SPDX-License-Identifier: MIT */
/* The loss, which writes its gradient on the way forward. */
#include "base/rn_error.h"
#include "nn/graph/rn_exec.h"

int rn_exec_xent(const rn_exec *c)
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
                    .smoothing = c->train ? c->net->opts.label_smoothing : 0,
                    .now = rn_net_now(c->net),
                    .dlogits = c->train ? c->in->grad : NULL,
                    .loss = loss,
                    .rank = rank};
    RN_TRY(c->net->be->ops->xent(c->net->be, &a, NULL));
    const rn_distill *with = &c->net->distill;
    if (!c->train || !with->teacher)
        return RN_OK;
    const rn_graph *other = &with->teacher->graph;
    rn_op_distill d = {.mb = a.mb,
                       .n = a.n,
                       .k = a.k,
                       .logits = a.logits,
                       .teacher = other->values[other->logits].t.data,
                       .temperature = with->temperature,
                       .hard = with->hard,
                       .soft = with->soft,
                       .now = a.now,
                       .dlogits = a.dlogits,
                       .loss = loss};
    return c->net->be->ops->distill(c->net->be, &d, NULL);
}
