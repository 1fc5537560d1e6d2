/* SPDX-License-Identifier: MIT */
/* Parameters, in the order of the checkpoint. */
#include <string.h>

#include "base/rn_error.h"
#include "nn/graph/rn_graph_impl.h"

/* Fans as PyTorch and Caffe count them, of the stored weights: those of a grouped convolution have ic / groups
 * channels. A bias has its weight's. */
static void set_start(const rn_graph *g, rn_param *p)
{
    bool mine = g->nparams > 1 && (p[-1].kind == RN_PARAM_CONV || p[-1].kind == RN_PARAM_LINEAR);
    p->fan_in = p->fan_out = 1;
    switch (p->kind) {
    case RN_PARAM_CONV:
        p->fan_in = p->count / p->dim[0];
        p->fan_out = p->count / p->dim[3];
        p->filler = (rn_filler){RN_FILL_SCALED_NORMAL, RN_FAN_OUT, 2, 0};
        break;
    case RN_PARAM_LINEAR:
        p->fan_in = p->count / p->dim[0];
        p->fan_out = p->dim[0];
        p->filler = (rn_filler){RN_FILL_SCALED_UNIFORM, RN_FAN_IN, 1.0 / 3, 0};
        break;
    case RN_PARAM_BIAS:
        p->fan_in = mine ? p[-1].fan_in : 1;
        p->fan_out = mine ? p[-1].fan_out : 1;
        p->filler = (rn_filler){RN_FILL_SCALED_UNIFORM, RN_FAN_IN, 1.0 / 3, 0};
        break;
    case RN_PARAM_GAMMA:
    case RN_PARAM_RUNNING_VAR:
        p->filler.a = 1;
        break;
    case RN_PARAM_BETA:
    case RN_PARAM_RUNNING_MEAN:
        break;
    }
}

static int add_param(rn_graph *g, enum rn_param_kind kind, const char *module, const char *suffix, int nd,
                     const int64_t dim[4])
{
    rn_param *p = rn_graph_grow(g, &g->params, &g->nparams, &g->cap_params, sizeof *p);
    if (!p)
        return -1;
    size_t a = strlen(module), b = strlen(suffix);
    if (a + b >= sizeof p->name) {
        g->status = rn_fail(RN_E_RANGE, "graph: the name %s%s is too long", module, suffix);
        return -1;
    }
    memcpy(p->name, module, a);
    memcpy(p->name + a, suffix, b + 1);
    p->kind = kind;
    p->nd = nd;
    p->count = 1;
    p->lr_mult = p->decay_mult = 1;
    for (int i = 0; i < 4; i++) {
        p->dim[i] = i < nd ? dim[i] : 1;
        p->count *= p->dim[i];
    }
    if (p->count > 0)
        set_start(g, p);
    return g->nparams - 1;
}

int rn_graph_conv_weight_hw(rn_graph *g, const char *name, int oc, int kh, int kw, int ic)
{
    return add_param(g, RN_PARAM_CONV, name, ".weight", 4, (const int64_t[4]){oc, kh, kw, ic});
}

int rn_graph_conv_weight(rn_graph *g, const char *name, int oc, int k, int ic)
{
    return rn_graph_conv_weight_hw(g, name, oc, k, k, ic);
}

int rn_graph_bias(rn_graph *g, const char *name, int c)
{
    return add_param(g, RN_PARAM_BIAS, name, ".bias", 1, (const int64_t[4]){c, 1, 1, 1});
}

int rn_graph_bn_params(rn_graph *g, const char *name, int c)
{
    const int64_t dim[4] = {c, 1, 1, 1};
    int first = add_param(g, RN_PARAM_GAMMA, name, ".weight", 1, dim);
    add_param(g, RN_PARAM_BETA, name, ".bias", 1, dim);
    add_param(g, RN_PARAM_RUNNING_MEAN, name, ".running_mean", 1, dim);
    return add_param(g, RN_PARAM_RUNNING_VAR, name, ".running_var", 1, dim) < 0 ? -1 : first;
}

int rn_graph_linear_params(rn_graph *g, const char *name, int oc, int ic)
{
    int first = add_param(g, RN_PARAM_LINEAR, name, ".weight", 2, (const int64_t[4]){oc, ic, 1, 1});
    return rn_graph_bias(g, name, oc) < 0 ? -1 : first;
}

int rn_graph_linear_1x1_params(rn_graph *g, const char *name, int oc, int ic)
{
    int first = rn_graph_linear_params(g, name, oc, ic);
    if (first >= 0)
        g->params[first].file_1x1 = true;
    return first;
}

int rn_graph_linear_weight(rn_graph *g, const char *name, int oc, int c, int h, int w)
{
    return add_param(g, RN_PARAM_LINEAR, name, ".weight", 4, (const int64_t[4]){oc, h, w, c});
}
