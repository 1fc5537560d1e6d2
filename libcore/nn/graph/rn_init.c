/* SPDX-License-Identifier: MIT */
/*
 * torchvision's initialisation. Convolutions: He et al. 2015 (arXiv 1502.01852), normal, fan_out: the variance is
 * 2 / (oc kh kw). The linear layer is torch.nn.Linear's default, which comes to U(+-1/sqrt(ic)) for weight and
 * bias. Parameter i draws from its own stream, in memory order.
 */
#include <math.h>
#include <stdlib.h>

#include "base/rn_error.h"
#include "base/rn_rng.h"
#include "nn/graph/rn_net_impl.h"

static void fill(const rn_param *p, int index, int64_t fan_in, uint64_t seed, float *dst)
{
    rn_rng r;
    rn_rng_seed(&r, seed, RN_STREAM_INIT, (uint32_t)index, 0);
    double std = sqrt(2.0 / (double)(p->dim[0] * p->dim[1] * p->dim[2])); /* CONV: oc kh kw */
    double bound = 1.0 / sqrt((double)fan_in);
    for (int64_t i = 0; i < p->count; i++) {
        switch (p->kind) {
        case RN_PARAM_CONV:
            dst[i] = (float)(std * rn_rng_normal(&r));
            break;
        case RN_PARAM_LINEAR:
        case RN_PARAM_BIAS:
            dst[i] = (float)rn_rng_range(&r, -bound, bound);
            break;
        case RN_PARAM_GAMMA:
        case RN_PARAM_RUNNING_VAR:
            dst[i] = 1;
            break;
        case RN_PARAM_BETA:
        case RN_PARAM_RUNNING_MEAN:
            dst[i] = 0;
            break;
        }
    }
}

/* The linear layer's bias is drawn with the bound of its weight, the parameter before it. */
static int64_t fan_in(const rn_graph *g, int i)
{
    const rn_param *p = &g->params[g->params[i].kind == RN_PARAM_BIAS && i > 0 ? i - 1 : i];
    return p->nd == 2 ? p->dim[1] : 1;
}

int rn_net_init(rn_net *net, uint64_t seed)
{
    const rn_graph *g = &net->graph;
    rn_backend *be = net->be;
    int64_t most = 0;
    for (int i = 0; i < g->nparams; i++)
        most = g->params[i].count > most ? g->params[i].count : most;
    float *host = malloc((size_t)most * sizeof *host);
    if (!host)
        return rn_fail(RN_E_NOMEM, "initial weights: out of memory");
    int rc = RN_OK;
    for (int i = 0; i < g->nparams; i++) {
        const rn_param *p = &g->params[i];
        fill(p, i, fan_in(g, i), seed, host);
        RN_GO(be->copy(be, p->value, host, (size_t)p->count * sizeof *host, RN_COPY_H2D, NULL));
        RN_GO(be->sync ? be->sync(be, NULL) : RN_OK); /* host is filled again */
    }
    for (int i = 0; i < g->nnodes; i++) {
        const rn_node *n = &g->nodes[i];
        if (n->zero_gamma)
            RN_GO(
                be->memset(be, g->params[n->param].value, 0, (size_t)g->params[n->param].count * sizeof(float), NULL));
    }
    if (net->weights->momentum) {
        const rn_weights *w = net->weights;
        RN_GO(be->memset(be, w->momentum, 0, (size_t)(w->n_decay + w->n_spared) * sizeof(float), NULL));
    }
    rc = rn_net_params_changed(net);
out:
    free(host);
    return rc;
}
