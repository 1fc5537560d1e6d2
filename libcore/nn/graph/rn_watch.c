/* SPDX-License-Identifier: MIT */
#include "nn/graph/rn_watch.h"

#include <math.h>
#include <stdlib.h>

#include "base/rn_error.h"
#include "base/rn_half.h"
#include "nn/graph/rn_exec.h"

void rn_net_watch(rn_net *net, bool on)
{
    net->watched = on;
}

/* ---- one tensor ---- */

static float at(const void *host, rn_dtype type, int64_t i)
{
    switch (type) {
    case RN_F32:
        return ((const float *)host)[i];
    case RN_BF16:
        return rn_f32_of_bf16(((const uint16_t *)host)[i]);
    case RN_F16:
        return rn_f32_of_f16(((const uint16_t *)host)[i]);
    default: /* bytes are always finite */
        return 0;
    }
}

static int report(const char *what, const char *name, const void *host, rn_dtype type, int64_t n)
{
    int64_t bad = 0;
    float first = 0;
    for (int64_t i = 0; i < n; i++) {
        const float x = at(host, type, i);
        if (!isfinite(x) && bad++ == 0)
            first = x;
    }
    if (!bad)
        return RN_OK;
    return rn_fail(RN_E_MISMATCH, "%s %s is %s (first of %lld among %lld values)", what, name,
                   isnan(first) ? "nan"
                   : first > 0  ? "inf"
                                : "-inf",
                   (long long)bad, (long long)n);
}

static int look(rn_net *net, const char *what, const char *name, const void *device, rn_dtype type, int64_t n)
{
    rn_backend *be = net->be;
    const size_t bytes = (size_t)n * rn_dtype_size(type);
    void *host = malloc(bytes);
    if (!host)
        return rn_fail(RN_E_NOMEM, "no memory to look at %s", name);
    int rc = be->copy(be, host, device, bytes, RN_COPY_D2H, NULL);
    if (rc == RN_OK && be->sync)
        rc = be->sync(be, NULL);
    if (rc == RN_OK)
        rc = report(what, name, host, type, n);
    free(host);
    return rc;
}

static int look_at_value(rn_net *net, const char *what, const char *name, const rn_tensor *t, const void *device)
{
    return look(net, what, name, device, t->dtype, rn_tensor_count(t));
}

/* ---- a pass ---- */

int rn_net_check_weights(rn_net *net)
{
    for (int i = 0; i < net->graph.nparams; i++) {
        const rn_param *p = &net->graph.params[i];
        RN_TRY(look(net, p->grad ? "the parameter" : "the running statistic", p->name, p->value, RN_F32, p->count));
    }
    return RN_OK;
}

/* Is parameter i this node's? Not by name: groups share a weight, and a prototxt names batch norm's statistics apart. */
static bool is_of(int i, const rn_node *node)
{
    const int n = node->kind == RN_NODE_BN ? 4 : 1; /* gamma, beta, mean, variance */
    return (node->param >= 0 && i >= node->param && i < node->param + n) || (node->bias >= 0 && i == node->bias);
}

int rn_watch_before(rn_net *net)
{
    for (int i = 0; i < net->graph.nparams; i++) {
        const rn_param *p = &net->graph.params[i];
        if (p->grad)
            RN_TRY(look(net, "the parameter", p->name, p->value, RN_F32, p->count));
        else /* so that after its node one sees what this batch makes of it */
            RN_TRY(net->be->memset(net->be, p->value, 0, (size_t)p->count * sizeof(float), NULL));
    }
    return RN_OK;
}

int rn_watch_forward(const rn_exec *c)
{
    for (int i = 0; c->train && i < c->net->graph.nparams; i++) {
        const rn_param *p = &c->net->graph.params[i];
        if (!p->grad && is_of(i, c->node))
            RN_TRY(look(c->net, "the running statistic", p->name, p->value, RN_F32, p->count));
    }
    if (c->out)
        return look_at_value(c->net, "the output of", c->node->name, &c->out->t, c->out->t.data);
    RN_TRY(look(c->net, "the loss of", "an image", rn_net_slot(c->net, RN_SLOT_AUX, c->index), RN_F32, c->n));
    if (!c->train)
        return RN_OK;
    return look_at_value(c->net, "the gradient of", "the loss by the scores", &c->in->t, c->in->grad);
}

static int look_at_param_grads(const rn_exec *c)
{
    for (int i = 0; i < c->net->graph.nparams; i++) {
        const rn_param *p = &c->net->graph.params[i];
        if (p->grad && is_of(i, c->node))
            RN_TRY(look(c->net, "the gradient of", p->name, p->grad, RN_F32, p->count));
    }
    return RN_OK;
}

int rn_watch_backward(const rn_exec *c)
{
    RN_TRY(look_at_param_grads(c));
    if (c->in->grad && c->in->needs_grad)
        RN_TRY(look_at_value(c->net, "the gradient of the input of", c->node->name, &c->in->t, c->in->grad));
    if (c->res && c->res->grad && c->res->needs_grad)
        RN_TRY(look_at_value(c->net, "the gradient of the input of", c->node->name, &c->res->t, c->res->grad));
    return RN_OK;
}
