/* SPDX-License-Identifier: MIT */
/* Which filler a recipe's --init gives to what, and the drawing. Parameter i draws from its own stream, in memory order. */
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_opt.h"
#include "nn/graph/rn_net_impl.h"

/* ---- --init ---- */

static const struct {
    const char *name;
    enum rn_init_kind kind;
    rn_filler filler; /* of weights; TORCHVISION and GAUSSIAN are special */
} inits[] = {
    {"model", RN_INIT_MODEL, {0}},
    {"torchvision", RN_INIT_TORCHVISION, {RN_FILL_SCALED_NORMAL, RN_FAN_OUT, 2, 0}},
    {"kaiming-out", RN_INIT_KAIMING_OUT, {RN_FILL_SCALED_NORMAL, RN_FAN_OUT, 2, 0}},
    {"kaiming-in", RN_INIT_KAIMING_IN, {RN_FILL_SCALED_NORMAL, RN_FAN_IN, 2, 0}},
    {"xavier", RN_INIT_XAVIER, {RN_FILL_SCALED_UNIFORM, RN_FAN_AVG, 1, 0}},
    {"xavier-normal", RN_INIT_XAVIER_NORMAL, {RN_FILL_SCALED_NORMAL, RN_FAN_AVG, 1, 0}},
    {"xavier-caffe", RN_INIT_XAVIER_CAFFE, {RN_FILL_SCALED_UNIFORM, RN_FAN_IN, 1, 0}},
    {"msra", RN_INIT_MSRA, {RN_FILL_SCALED_NORMAL, RN_FAN_IN, 2, 0}},
    {"gaussian", RN_INIT_GAUSSIAN, {RN_FILL_GAUSSIAN, RN_FAN_IN, 0, 0.01}},
};
enum { NINITS = sizeof inits / sizeof *inits };

int rn_init_parse(const char *text, rn_init *out)
{
    *out = (rn_init){RN_INIT_MODEL, 0.01};
    if (!text)
        return RN_OK;
    size_t len = strcspn(text, ":");
    for (int i = 0; i < NINITS; i++) {
        if (strlen(inits[i].name) != len || memcmp(inits[i].name, text, len) != 0)
            continue;
        out->kind = inits[i].kind;
        if (!text[len])
            return RN_OK;
        if (out->kind != RN_INIT_GAUSSIAN)
            return rn_fail(RN_E_USAGE, "--init %s: only gaussian takes a number (gaussian:0.01)", text);
        if (rn_parse_real(text + len + 1, 0, 100, &out->std) < 0 || !(out->std > 0))
            return rn_fail(RN_E_USAGE, "--init %s: the deviation must be a number above 0 and at most 100", text);
        return RN_OK;
    }
    return rn_fail(RN_E_USAGE,
                   "--init %s: not one of model, torchvision, kaiming-out, kaiming-in, xavier, xavier-normal, "
                   "xavier-caffe, msra, gaussian, gaussian:STD",
                   text);
}

void rn_init_apply(const rn_init *init, rn_graph *g)
{
    if (init->kind == RN_INIT_MODEL || g->status < 0)
        return;
    rn_filler weight = {0};
    for (int i = 0; i < NINITS; i++)
        if (inits[i].kind == init->kind)
            weight = inits[i].filler;
    if (init->kind == RN_INIT_GAUSSIAN)
        weight.b = init->std;
    const rn_filler linear =
        init->kind == RN_INIT_TORCHVISION ? (rn_filler){RN_FILL_SCALED_UNIFORM, RN_FAN_IN, 1.0 / 3, 0} : weight;
    for (int i = 0; i < g->nparams; i++) {
        rn_param *p = &g->params[i];
        if (p->kind == RN_PARAM_CONV)
            p->filler = weight;
        else if (p->kind == RN_PARAM_LINEAR)
            p->filler = linear;
        else if (p->kind == RN_PARAM_BIAS) /* torchvision's: a linear layer's bias like its weight */
            p->filler = init->kind == RN_INIT_TORCHVISION && i > 0 && g->params[i - 1].kind == RN_PARAM_LINEAR
                            ? linear
                            : (rn_filler){0};
    }
}

/* ---- drawing ---- */

static rn_fill_shape shape_of(const rn_param *p)
{
    rn_fill_shape s = {.outputs = 1, .kh = 1, .kw = 1, .ic = p->count, .fan_in = p->fan_in, .fan_out = p->fan_out};
    if (p->nd >= 2) {
        s.outputs = p->dim[0];
        s.ic = p->count / p->dim[0];
    }
    if (p->nd == 4) {
        s.kh = p->dim[1];
        s.kw = p->dim[2];
        s.ic = p->dim[3];
    }
    return s;
}

static int fill_all(rn_net *net, uint64_t seed, float *host)
{
    const rn_graph *g = &net->graph;
    rn_backend *be = net->be;
    for (int i = 0; i < g->nparams; i++) {
        const rn_param *p = &g->params[i];
        const rn_fill_shape s = shape_of(p);
        rn_rng r;
        rn_rng_seed(&r, seed, RN_STREAM_INIT, (uint32_t)i, 0);
        rn_fill_draw(&p->filler, &s, &r, host);
        RN_TRY(be->copy(be, p->value, host, (size_t)p->count * sizeof *host, RN_COPY_H2D, NULL));
        RN_TRY(be->sync ? be->sync(be, NULL) : RN_OK); /* host is filled again */
    }
    for (int i = 0; i < g->nnodes; i++) {
        const rn_node *n = &g->nodes[i];
        if (n->zero_gamma)
            RN_TRY(
                be->memset(be, g->params[n->param].value, 0, (size_t)g->params[n->param].count * sizeof(float), NULL));
    }
    return RN_OK;
}

int rn_net_init(rn_net *net, uint64_t seed)
{
    const rn_graph *g = &net->graph;
    rn_backend *be = net->be;
    int64_t most = 0;
    for (int i = 0; i < g->nparams; i++) {
        const rn_fill_shape s = shape_of(&g->params[i]);
        RN_TRY(rn_fill_check(&g->params[i].filler, &s, g->params[i].name));
        most = g->params[i].count > most ? g->params[i].count : most;
    }
    float *host = malloc((size_t)most * sizeof *host);
    if (!host)
        return rn_fail(RN_E_NOMEM, "initial weights: out of memory");
    int rc;
    RN_GO(fill_all(net, seed, host));
    if (net->weights->momentum) {
        const rn_weights *w = net->weights;
        RN_GO(be->memset(be, w->momentum, 0, (size_t)(w->n_decay + w->n_spared) * sizeof(float), NULL));
    }
    rc = rn_net_params_changed(net);
out:
    free(host);
    return rc;
}
