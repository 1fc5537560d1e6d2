/* SPDX-License-Identifier: MIT */
#include "nn/graph/rn_graph.h"

#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"

/* Makes room for one more element and returns it zeroed, or NULL with the graph failed. */
static void *grow(rn_graph *g, void *array, int *n, int *cap, size_t size)
{
    if (g->status < 0)
        return NULL;
    if (*n == *cap) {
        int more = *cap ? *cap * 2 : 64;
        void *p = realloc(*(void **)array, (size_t)more * size);
        if (!p) {
            g->status = rn_fail(RN_E_NOMEM, "graph: out of memory at %d elements", *n);
            return NULL;
        }
        *(void **)array = p;
        *cap = more;
    }
    void *e = *(char **)array + (size_t)*n * size;
    memset(e, 0, size);
    *n += 1;
    return e;
}

static int add_value(rn_graph *g, rn_dtype dtype, int nd, const int64_t dim[4])
{
    rn_value *v = grow(g, &g->values, &g->nvalues, &g->cap_values, sizeof *v);
    if (!v)
        return -1;
    v->t = (rn_tensor){.dtype = dtype, .nd = nd, .dim = {dim[0], dim[1], dim[2], dim[3]}};
    return g->nvalues - 1;
}

/* `name` is a module name or a parameter's name, whose last part is then dropped. */
static rn_node *add_node(rn_graph *g, enum rn_node_kind kind, const char *name, int in)
{
    if (g->status >= 0 && (in < 0 || in >= g->nvalues))
        g->status = rn_fail(RN_E_RANGE, "graph: %s has no input", name);
    rn_node *n = grow(g, &g->nodes, &g->nnodes, &g->cap_nodes, sizeof *n);
    if (!n)
        return NULL;
    n->kind = kind;
    n->in = in;
    n->res = n->out = n->param = -1;
    size_t len = strlen(name);
    const char *dot = strrchr(name, '.');
    if (dot && strcmp(dot, ".weight") == 0)
        len = (size_t)(dot - name);
    if (len >= sizeof n->name)
        len = sizeof n->name - 1;
    memcpy(n->name, name, len);
    return n;
}

/* Fans as PyTorch and Caffe count them, of the stored weights: those of a grouped convolution have ic / groups
 * channels. A bias has its weight's. */
static void set_start(const rn_graph *g, rn_param *p)
{
    const rn_param *before = g->nparams > 1 ? p - 1 : NULL;
    bool mine = before && (before->kind == RN_PARAM_CONV || before->kind == RN_PARAM_LINEAR);
    p->fan_in = p->fan_out = 1;
    switch (p->kind) {
    case RN_PARAM_CONV:
        p->fan_in = p->count / p->dim[0];
        p->fan_out = p->count / p->dim[3];
        p->filler = (rn_filler){RN_FILL_SCALED_NORMAL, RN_FAN_OUT, 2, 0};
        break;
    case RN_PARAM_LINEAR:
        p->fan_in = p->dim[1];
        p->fan_out = p->dim[0];
        p->filler = (rn_filler){RN_FILL_SCALED_UNIFORM, RN_FAN_IN, 1.0 / 3, 0};
        break;
    case RN_PARAM_BIAS:
        p->fan_in = mine ? before->fan_in : 1;
        p->fan_out = mine ? before->fan_out : 1;
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
    rn_param *p = grow(g, &g->params, &g->nparams, &g->cap_params, sizeof *p);
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

int rn_graph_images(rn_graph *g, int batch, int h, int w, int channels)
{
    const int64_t dim[4] = {batch, h, w, channels};
    g->images = add_value(g, RN_U8, 4, dim);
    rn_node *n = add_node(g, RN_NODE_NORMALIZE, "normalize", g->images);
    g->input = add_value(g, RN_F32, 4, dim);
    if (n && g->input >= 0)
        n->out = g->input;
    return g->input;
}

int rn_graph_conv_weight(rn_graph *g, const char *name, int oc, int k, int ic)
{
    return add_param(g, RN_PARAM_CONV, name, ".weight", 4, (const int64_t[4]){oc, k, k, ic});
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
    return add_param(g, RN_PARAM_BIAS, name, ".bias", 1, (const int64_t[4]){oc, 1, 1, 1}) < 0 ? -1 : first;
}

int rn_graph_conv(rn_graph *g, int x, int weight, int stride, int pad)
{
    if (g->status < 0)
        return -1;
    const rn_param *w = &g->params[weight];
    rn_node *n = add_node(g, RN_NODE_CONV, w->name, x);
    if (!n)
        return -1;
    const rn_tensor *t = &g->values[x].t;
    n->param = weight;
    n->conv = (rn_conv_desc){.mb = (int)t->dim[0],
                             .ic = (int)t->dim[3],
                             .ih = (int)t->dim[1],
                             .iw = (int)t->dim[2],
                             .oc = (int)w->dim[0],
                             .kh = (int)w->dim[1],
                             .kw = (int)w->dim[2],
                             .sh = stride,
                             .sw = stride,
                             .ph = pad,
                             .pw = pad,
                             .dtype = t->dtype};
    if (t->dim[3] != w->dim[3]) {
        g->status = rn_fail(RN_E_RANGE, "graph: %s takes %lld channels, its input has %lld", n->name,
                            (long long)w->dim[3], (long long)t->dim[3]);
        return -1;
    }
    int rc = rn_conv_desc_finish(&n->conv);
    if (rc < 0) {
        g->status = rn_fail_prefix(rc, "%s", n->name);
        return -1;
    }
    return n->out = add_value(g, t->dtype, 4, (const int64_t[4]){n->conv.mb, n->conv.oh, n->conv.ow, n->conv.oc});
}

int rn_graph_bn(rn_graph *g, int x, int params, int res, bool relu)
{
    if (g->status < 0)
        return -1;
    rn_node *n = add_node(g, RN_NODE_BN, g->params[params].name, x);
    if (!n)
        return -1;
    const rn_tensor t = g->values[x].t;
    n->param = params;
    n->res = res;
    n->relu = relu;
    bool fits = t.dim[3] == g->params[params].count;
    if (res >= 0)
        fits = fits && memcmp(t.dim, g->values[res].t.dim, sizeof t.dim) == 0;
    if (!fits) {
        g->status = rn_fail(RN_E_RANGE, "graph: the shapes at %s do not fit", n->name);
        return -1;
    }
    return n->out = add_value(g, t.dtype, 4, t.dim);
}

static int add_pool(rn_graph *g, enum rn_node_kind kind, int x, const char *name, int k, int stride, int pad)
{
    rn_node *n = add_node(g, kind, name, x);
    if (!n)
        return -1;
    const rn_tensor *t = &g->values[x].t;
    int ih = (int)t->dim[1], iw = (int)t->dim[2];
    if (k < 1 || stride < 1 || pad < 0 || 2 * pad > k || ih + 2 * pad < k || iw + 2 * pad < k) {
        g->status = rn_fail(RN_E_RANGE, "graph: %s: a window of %d (stride %d, pad %d) does not fit %dx%d pixels", name,
                            k, stride, pad, ih, iw);
        return -1;
    }
    int oh = (ih + 2 * pad - k) / stride + 1, ow = (iw + 2 * pad - k) / stride + 1;
    n->pool = (rn_op_pool){.dtype = t->dtype,
                           .mb = (int)t->dim[0],
                           .c = (int)t->dim[3],
                           .ih = ih,
                           .iw = iw,
                           .oh = oh,
                           .ow = ow,
                           .kh = k,
                           .kw = k,
                           .sh = stride,
                           .sw = stride,
                           .ph = pad,
                           .pw = pad};
    return n->out = add_value(g, t->dtype, 4, (const int64_t[4]){t->dim[0], oh, ow, t->dim[3]});
}

int rn_graph_maxpool(rn_graph *g, int x, const char *name, int k, int stride, int pad)
{
    return add_pool(g, RN_NODE_MAXPOOL, x, name, k, stride, pad);
}

int rn_graph_avgpool(rn_graph *g, int x, const char *name, int k, int stride, int pad, bool count_include_pad)
{
    int out = add_pool(g, RN_NODE_AVGPOOL, x, name, k, stride, pad);
    if (out >= 0)
        g->nodes[g->nnodes - 1].pool.count_include_pad = count_include_pad;
    return out;
}

int rn_graph_gap(rn_graph *g, int x, const char *name)
{
    rn_node *n = add_node(g, RN_NODE_GAP, name, x);
    if (!n)
        return -1;
    const rn_tensor *t = &g->values[x].t;
    return n->out = add_value(g, t->dtype, 2, (const int64_t[4]){t->dim[0], t->dim[3], 1, 1});
}

int rn_graph_linear(rn_graph *g, int x, int params)
{
    if (g->status < 0)
        return -1;
    const rn_param *w = &g->params[params];
    rn_node *n = add_node(g, RN_NODE_LINEAR, w->name, x);
    if (!n)
        return -1;
    const rn_tensor *t = &g->values[x].t;
    n->param = params;
    if (t->nd != 2 || t->dim[1] != w->dim[1]) {
        g->status = rn_fail(RN_E_RANGE, "graph: %s takes rows of %lld values", n->name, (long long)w->dim[1]);
        return -1;
    }
    return n->out = add_value(g, t->dtype, 2, (const int64_t[4]){t->dim[0], w->dim[0], 1, 1});
}

void rn_graph_xent(rn_graph *g, int logits)
{
    if (add_node(g, RN_NODE_XENT, "loss", logits))
        g->logits = logits;
}

/* The first writer of a gradient overwrites it, the next ones add. Not every op can add. */
static int claim(rn_value *v, bool *written, int x, const rn_node *n, bool can_add, int *beta)
{
    *beta = 0;
    if (x < 0 || !v[x].needs_grad)
        return RN_OK;
    *beta = written[x];
    written[x] = true;
    if (*beta && !can_add)
        return rn_fail(RN_E_UNSUPPORTED, "graph: %s cannot add to a gradient; let it come last among the readers",
                       n->name);
    return RN_OK;
}

int rn_graph_finish(rn_graph *g)
{
    if (g->status < 0)
        return g->status;
    if (g->nnodes == 0 || g->nodes[g->nnodes - 1].kind != RN_NODE_XENT)
        return g->status = rn_fail(RN_E_RANGE, "graph: the last node must be the loss");
    for (int i = 0; i < g->nnodes; i++) {
        const rn_node *n = &g->nodes[i];
        g->values[n->in].consumers++;
        if (n->res >= 0)
            g->values[n->res].consumers++;
        if (n->out >= 0)
            g->values[n->out].needs_grad =
                n->param >= 0 || g->values[n->in].needs_grad || (n->res >= 0 && g->values[n->res].needs_grad);
    }
    bool *written = calloc((size_t)g->nvalues, sizeof *written);
    if (!written)
        return g->status = rn_fail(RN_E_NOMEM, "graph: out of memory");
    for (int i = g->nnodes - 1; i >= 0 && g->status >= 0; i--) {
        rn_node *n = &g->nodes[i];
        bool can_add = n->kind == RN_NODE_CONV || n->kind == RN_NODE_BN;
        g->status = claim(g->values, written, n->in, n, can_add, &n->dx_beta);
        if (g->status >= 0)
            g->status = claim(g->values, written, n->res, n, true, &n->dres_beta);
    }
    free(written);
    return g->status;
}

int64_t rn_graph_weights(const rn_graph *g)
{
    int64_t n = 0;
    for (int i = 0; i < g->nparams; i++)
        if (g->params[i].kind != RN_PARAM_RUNNING_MEAN && g->params[i].kind != RN_PARAM_RUNNING_VAR)
            n += g->params[i].count;
    return n;
}

void rn_graph_free(rn_graph *g)
{
    free(g->values);
    free(g->nodes);
    free(g->params);
    *g = (rn_graph){0};
}
