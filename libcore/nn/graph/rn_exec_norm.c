/* SPDX-License-Identifier: MIT */
/* Normalisations: of pixels, and of batches. */
#include "base/rn_error.h"
#include "nn/graph/rn_exec.h"

/* NOLINTBEGIN(clang-analyzer-core.NullDereference): only the loss has no output, and it is not run by these */
int rn_exec_normalize_fwd(const rn_exec *c)
{
    rn_op_normalize a = {.dtype = c->out->t.dtype,
                         .rows = rn_exec_rows(&c->in->t),
                         .c = (int)c->in->t.dim[3],
                         .src = c->in->t.data,
                         .dst = c->out->t.data,
                         .mul = c->net->device_pixel,
                         .add = c->net->device_pixel + c->in->t.dim[3],
                         .image = c->net->weights->mean_image,
                         .image_h = c->net->opts.mean_h,
                         .image_w = c->net->opts.mean_w,
                         .h = (int)c->in->t.dim[1],
                         .w = (int)c->in->t.dim[2],
                         .windows = c->net->windows};
    return c->net->be->ops->normalize(c->net->be, &a, NULL);
}

static float bn_eps(const rn_exec *c)
{
    return c->node->bn_eps > 0 ? c->node->bn_eps : c->net->opts.bn_eps;
}

/* From the sums of the convolution before: the statistics, and how to read through them. */
static int bn_stats(const rn_exec *c)
{
    const rn_net *net = c->net;
    rn_op_bn_stats a = {.train = c->train,
                        .rows = rn_exec_rows(&c->in->t),
                        .c = (int)c->in->t.dim[c->in->t.nd - 1],
                        .eps = bn_eps(c),
                        .momentum = net->opts.bn_momentum,
                        .momentum_now = rn_net_momentum_now(net, c->index),
                        .sum = rn_net_bn_sums(net, c->index, RN_BN_SUM),
                        .sumsq = rn_net_bn_sums(net, c->index, RN_BN_SUMSQ),
                        .gamma = rn_exec_param(c, 0)->value,
                        .beta = rn_exec_param(c, 1)->value,
                        .running_mean = rn_exec_param(c, 2)->value,
                        .running_var = rn_exec_param(c, 3)->value,
                        .mean = rn_net_bn_aux(net, c->index, RN_BN_MEAN),
                        .var = rn_net_bn_aux(net, c->index, RN_BN_VAR),
                        .inv_std = rn_net_bn_aux(net, c->index, RN_BN_INV_STD),
                        .scale = rn_net_bn_aux(net, c->index, RN_BN_SCALE),
                        .shift = rn_net_bn_aux(net, c->index, RN_BN_SHIFT),
                        .room = (double *)rn_net_bn_aux(net, c->index, RN_BN_ROOM),
                        .comm = rn_net_bn_comm(net)};
    return net->be->ops->bn_stats(net->be, &a, NULL);
}

int rn_exec_bn_fwd(const rn_exec *c)
{
    const rn_net *net = c->net;
    const enum rn_bn_way way = c->node->bn_way;
    int channels = (int)c->in->t.dim[c->in->t.nd - 1];
    float *stats = c->train ? rn_net_slot(net, RN_SLOT_AUX, c->index) : NULL;
    if (way != RN_BN_APART)
        RN_TRY(bn_stats(c));
    if (way == RN_BN_THROUGH)
        return RN_OK;
    const bool given = c->train && way == RN_BN_GIVEN; /* then they are read as an evaluation reads the running ones */
    rn_op_bn_fwd a = {.dtype = c->in->t.dtype,
                      .train = c->train && !given,
                      .relu = c->node->relu,
                      .rows = rn_exec_rows(&c->in->t),
                      .c = channels,
                      .eps = bn_eps(c),
                      .momentum = net->opts.bn_momentum,
                      .momentum_now = rn_net_momentum_now(net, c->index),
                      .x = c->in->t.data,
                      .res = c->res ? c->res->t.data : NULL,
                      .y = c->out->t.data,
                      .gamma = rn_exec_param(c, 0)->value,
                      .beta = rn_exec_param(c, 1)->value,
                      .running_mean = given ? stats : rn_exec_param(c, 2)->value,
                      .running_var = given ? rn_net_bn_aux(net, c->index, RN_BN_VAR) : rn_exec_param(c, 3)->value,
                      .mean = stats,
                      .inv_std = stats ? stats + channels : NULL,
                      .comm = rn_net_bn_comm(net),
                      .mask = c->train ? rn_net_bn_mask(net, c->index) : NULL};
    return net->be->ops->bn_fwd(net->be, &a, NULL);
}

/* From the sums of the convolution behind. */
static int bn_grad_stats(const rn_exec *c)
{
    const rn_net *net = c->net;
    rn_op_bn_grad_stats a = {.rows = rn_exec_rows(&c->in->t),
                             .c = (int)c->in->t.dim[c->in->t.nd - 1],
                             .sum = rn_net_bn_sums(net, c->index, RN_BN_SUM),
                             .sumsq = rn_net_bn_sums(net, c->index, RN_BN_SUMSQ),
                             .gamma = rn_exec_param(c, 0)->value,
                             .mean = rn_net_bn_aux(net, c->index, RN_BN_MEAN),
                             .inv_std = rn_net_bn_aux(net, c->index, RN_BN_INV_STD),
                             .dgamma = rn_exec_param(c, 0)->grad,
                             .dbeta = rn_exec_param(c, 1)->grad,
                             .ka = rn_net_bn_aux(net, c->index, RN_BN_KA),
                             .kb = rn_net_bn_aux(net, c->index, RN_BN_KB),
                             .kc = rn_net_bn_aux(net, c->index, RN_BN_KC),
                             .room = (double *)rn_net_bn_aux(net, c->index, RN_BN_ROOM),
                             .comm = rn_net_bn_comm(net)};
    return net->be->ops->bn_grad_stats(net->be, &a, NULL);
}

static int bn_grad(const rn_exec *c)
{
    const rn_net *net = c->net;
    int channels = (int)c->in->t.dim[c->in->t.nd - 1];
    const float *stats = rn_net_slot(net, RN_SLOT_AUX, c->index);
    rn_op_bn_bwd a = {.dtype = c->in->t.dtype,
                      .relu = c->node->relu,
                      .rows = rn_exec_rows(&c->in->t),
                      .c = channels,
                      .x = c->in->t.data,
                      .y = c->out->t.data,
                      .dy = c->out->grad,
                      .gamma = rn_exec_param(c, 0)->value,
                      .mean = stats,
                      .inv_std = stats + channels,
                      .dx = c->in->needs_grad ? c->in->grad : c->out->grad, /* not wanted: over dy */
                      .dres = c->res ? c->res->grad : NULL,
                      .dx_beta = c->node->dx_beta,
                      .dres_beta = c->node->dres_beta,
                      .dgamma = rn_exec_param(c, 0)->grad,
                      .dbeta = rn_exec_param(c, 1)->grad,
                      .comm = rn_net_bn_comm(net),
                      .mask = rn_net_bn_mask(net, c->index)};
    return net->be->ops->bn_bwd(net->be, &a, NULL);
}

int rn_exec_bn_bwd(const rn_exec *c)
{
    const rn_net *net = c->net;
    RN_TRY(c->node->bn_way == RN_BN_THROUGH ? bn_grad_stats(c) : bn_grad(c));
    for (int k = 0; k < 2;
         k++) { /* gamma and beta that are only there to be 1 and 0 are no part of a gradient's norm */
        const rn_param *p = rn_exec_param(c, k);
        if (p->fixed)
            RN_TRY(net->be->memset(net->be, p->grad, 0, (size_t)p->count * sizeof(float), NULL));
    }
    return RN_OK;
}
/* NOLINTEND(clang-analyzer-core.NullDereference) */
