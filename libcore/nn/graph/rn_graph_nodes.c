/* SPDX-License-Identifier: MIT */
/* Nodes, in the order of execution: geometry is worked out and shapes are checked here. */
#include <stdio.h>
#include <string.h>

#include "base/rn_error.h"
#include "nn/graph/rn_graph_impl.h"

static int fail(rn_graph *g, int status)
{
    g->status = status;
    return -1;
}

static bool same_shape(const rn_tensor *a, const rn_tensor *b)
{
    return a->nd == b->nd && memcmp(a->dim, b->dim, sizeof a->dim) == 0;
}

static bool is_value(const rn_graph *g, int x)
{
    return x >= 0 && x < g->nvalues;
}

/* The output of the node just made: a value of its own, shaped as `t`. */
static int out_like(rn_graph *g, rn_node *n, rn_tensor t)
{
    return n->out = rn_graph_add_value(g, t.dtype, t.nd, t.dim);
}

int rn_graph_images(rn_graph *g, int batch, int h, int w, int channels)
{
    const int64_t dim[4] = {batch, h, w, channels};
    g->images = rn_graph_add_value(g, RN_U8, 4, dim);
    rn_node *n = rn_graph_add_node(g, RN_NODE_NORMALIZE, "normalize", g->images);
    g->input = rn_graph_add_value(g, RN_F32, 4, dim);
    if (n && g->input >= 0)
        n->out = g->input;
    return g->input;
}

int rn_graph_bn(rn_graph *g, int x, int params, int res, bool relu)
{
    if (g->status < 0)
        return -1;
    rn_node *n = rn_graph_add_node(g, RN_NODE_BN, g->params[params].name, x);
    if (!n)
        return -1;
    const rn_tensor t = g->values[x].t;
    n->param = params;
    n->res = res;
    n->relu = relu;
    bool fits = rn_graph_channels(&t) == g->params[params].count;
    if (res >= 0) /* its own input could not get two gradients at once: rn_graph_add does that */
        fits = fits && res != x && memcmp(t.dim, g->values[res].t.dim, sizeof t.dim) == 0;
    if (!fits) {
        g->status = rn_fail(RN_E_RANGE, "graph: the shapes at %s do not fit", n->name);
        return -1;
    }
    int y = rn_graph_add_value(g, t.dtype, t.nd, t.dim);
    return n->out = y;
}

/* ---- convolution, linear ---- */

/* A bias of as many values as the weight has outputs. */
static int check_bias(rn_graph *g, int weight, int bias)
{
    const rn_param *w = &g->params[weight];
    if (bias < 0 || (g->params[bias].kind == RN_PARAM_BIAS && g->params[bias].count == w->dim[0]))
        return RN_OK;
    return fail(g, rn_fail(RN_E_RANGE, "graph: %s takes a bias of %lld values", w->name, (long long)w->dim[0]));
}

/* oc: of this node's part of the weight. */
static int add_conv(rn_graph *g, int x, int weight, int bias, const rn_window *at, int oc, bool relu)
{
    if (g->status < 0)
        return -1;
    const rn_param *w = &g->params[weight];
    rn_node *n = rn_graph_add_node(g, RN_NODE_CONV, w->name, x);
    if (!n)
        return -1;
    const rn_tensor *t = &g->values[x].t;
    n->param = weight;
    n->bias = bias;
    n->relu = relu;
    n->conv = (rn_conv_desc){.mb = (int)t->dim[0],
                             .ic = (int)t->dim[3],
                             .ih = (int)t->dim[1],
                             .iw = (int)t->dim[2],
                             .oc = oc,
                             .kh = (int)w->dim[1],
                             .kw = (int)w->dim[2],
                             .sh = at->sh ? at->sh : 1,
                             .sw = at->sw ? at->sw : 1,
                             .ph = at->ph,
                             .pw = at->pw,
                             .dtype = t->dtype};
    if (t->nd != 4 || at->kh != w->dim[1] || at->kw != w->dim[2] || (relu && bias < 0))
        return fail(g, rn_fail(RN_E_RANGE, "graph: %s: the kernel's size, its input or its ReLU do not fit", n->name));
    if (t->dim[3] != w->dim[3])
        return fail(g, rn_fail(RN_E_RANGE, "graph: %s takes %lld channels, its input has %lld", n->name,
                               (long long)w->dim[3], (long long)t->dim[3]));
    int rc = rn_conv_desc_finish(&n->conv);
    if (rc < 0)
        return fail(g, rn_fail_prefix(rc, "%s", n->name));
    const int64_t dim[4] = {n->conv.mb, n->conv.oh, n->conv.ow, n->conv.oc};
    return n->out = rn_graph_add_value(g, t->dtype, 4, dim);
}

int rn_graph_conv_bias(rn_graph *g, int x, int weight, int bias, const rn_window *at, bool relu)
{
    if (g->status < 0 || check_bias(g, weight, bias) < 0)
        return -1;
    return add_conv(g, x, weight, bias, at, (int)g->params[weight].dim[0], relu);
}

/* One group: its channels out of x, and its part of the weight and the bias. */
static int conv_part(rn_graph *g, int x, int weight, int bias, const rn_window *at, int groups, int i, bool relu)
{
    const rn_param w = g->params[weight];
    const int oc = (int)(w.dim[0] / groups), ic = (int)w.dim[3];
    char name[sizeof w.name + 32];
    snprintf(name, sizeof name, "%.*s.slice%d", (int)strcspn(w.name, "."), w.name, i);
    x = rn_graph_slice(g, x, name, i * ic, ic);
    int y = add_conv(g, x, weight, bias, at, oc, relu);
    if (y < 0)
        return -1;
    rn_node *n = &g->nodes[g->nnodes - 1];
    n->param_at = i * (w.count / groups);
    n->bias_at = (int64_t)i * oc;
    size_t len = strlen(n->name);
    snprintf(n->name + len, sizeof n->name - len, "/%d", i);
    return y;
}

int rn_graph_conv_group(rn_graph *g, int x, int weight, int bias, const rn_window *at, int groups, bool relu)
{
    if (groups == 1)
        return rn_graph_conv_bias(g, x, weight, bias, at, relu);
    if (g->status < 0)
        return -1;
    const rn_param *w = &g->params[weight];
    if (groups < 1 || groups > RN_NODE_INPUTS || !is_value(g, x) || w->dim[0] % groups ||
        g->values[x].t.dim[3] != w->dim[3] * groups || (bias >= 0 && g->params[bias].count != w->dim[0]))
        return fail(g, rn_fail(RN_E_RANGE, "graph: %s: %d groups do not fit its channels (at most %d are possible)",
                               w->name, groups, RN_NODE_INPUTS));
    char name[sizeof w->name];
    int ys[RN_NODE_INPUTS];
    snprintf(name, sizeof name, "%s", w->name);
    for (int i = 0; i < groups; i++)
        ys[i] = conv_part(g, x, weight, bias, at, groups, i, relu);
    return rn_graph_concat(g, ys, groups, name);
}

int rn_graph_conv(rn_graph *g, int x, int weight, int stride, int pad)
{
    if (g->status < 0)
        return -1;
    const rn_param *w = &g->params[weight];
    const rn_window at = {(int)w->dim[1], (int)w->dim[2], stride, stride, pad, pad};
    return rn_graph_conv_bias(g, x, weight, -1, &at, false);
}

int rn_graph_linear_bias(rn_graph *g, int x, int weight, int bias)
{
    if (g->status < 0)
        return -1;
    const rn_param *w = &g->params[weight];
    rn_node *n = rn_graph_add_node(g, RN_NODE_LINEAR, w->name, x);
    if (!n)
        return -1;
    const rn_tensor *t = &g->values[x].t;
    n->param = weight;
    n->bias = bias;
    int64_t pixels = t->nd == 4 ? t->dim[1] * t->dim[2] : 1, weights = w->nd == 4 ? w->dim[1] * w->dim[2] : 1;
    bool fits = pixels == 1 && weights == 1 ? rn_tensor_count(t) / t->dim[0] == w->count / w->dim[0]
                                            : memcmp(t->dim + 1, w->dim + 1, 3 * sizeof *t->dim) == 0;
    if (!fits)
        return fail(g,
                    rn_fail(RN_E_RANGE, "graph: %s takes rows of %lldx%lldx%lld values, its input has %lldx%lldx%lld",
                            n->name, (long long)w->dim[1], (long long)w->dim[2], (long long)w->dim[3],
                            (long long)t->dim[1], (long long)t->dim[2], (long long)t->dim[3]));
    if (check_bias(g, weight, bias) < 0)
        return -1;
    const int64_t dim[4] = {t->dim[0], w->dim[0], 1, 1};
    return n->out = rn_graph_add_value(g, t->dtype, 2, dim);
}

int rn_graph_linear(rn_graph *g, int x, int params)
{
    if (g->status < 0)
        return -1;
    bool bias = params + 1 < g->nparams && g->params[params + 1].kind == RN_PARAM_BIAS;
    return rn_graph_linear_bias(g, x, params, bias ? params + 1 : -1);
}

/* ---- pooling ---- */

/* Windows along one side; 0: the shape is impossible. */
static int pooled(int in, int k, int stride, int pad, bool ceil)
{
    if (k < 1 || stride < 1 || pad < 0 || pad >= k || in + 2 * pad < k)
        return 0;
    int n = (in + 2 * pad - k + (ceil ? stride - 1 : 0)) / stride + 1;
    return (n - 1) * stride >= in + pad ? n - 1 : n; /* the last must begin in the image or before it */
}

int rn_graph_pool(rn_graph *g, int x, const char *name, bool max, const rn_window *w, bool ceil, bool count_include_pad)
{
    rn_node *n = rn_graph_add_node(g, max ? RN_NODE_MAXPOOL : RN_NODE_AVGPOOL, name, x);
    if (!n)
        return -1;
    const rn_tensor *t = &g->values[x].t;
    int ih = (int)t->dim[1], iw = (int)t->dim[2], sh = w->sh ? w->sh : 1, sw = w->sw ? w->sw : 1;
    int oh = pooled(ih, w->kh, sh, w->ph, ceil), ow = pooled(iw, w->kw, sw, w->pw, ceil);
    if (t->nd != 4 || oh < 1 || ow < 1)
        return fail(g, rn_fail(RN_E_RANGE,
                               "graph: %s: a window of %dx%d (stride %dx%d, pad %dx%d) does not fit %dx%d pixels", name,
                               w->kh, w->kw, sh, sw, w->ph, w->pw, ih, iw));
    n->pool = (rn_op_pool){.dtype = t->dtype,
                           .mb = (int)t->dim[0],
                           .c = (int)t->dim[3],
                           .ih = ih,
                           .iw = iw,
                           .oh = oh,
                           .ow = ow,
                           .kh = w->kh,
                           .kw = w->kw,
                           .sh = sh,
                           .sw = sw,
                           .ph = w->ph,
                           .pw = w->pw,
                           .count_include_pad = count_include_pad};
    const int64_t dim[4] = {t->dim[0], oh, ow, t->dim[3]};
    return n->out = rn_graph_add_value(g, t->dtype, 4, dim);
}

int rn_graph_maxpool(rn_graph *g, int x, const char *name, int k, int stride, int pad)
{
    return rn_graph_pool(g, x, name, true, RN_WINDOW(k, stride, pad), false, false);
}

int rn_graph_gap(rn_graph *g, int x, const char *name)
{
    rn_node *n = rn_graph_add_node(g, RN_NODE_GAP, name, x);
    if (!n)
        return -1;
    const rn_tensor *t = &g->values[x].t;
    if (t->nd != 4)
        return fail(g, rn_fail(RN_E_RANGE, "graph: %s: its input is not an image", name));
    const int64_t dim[4] = {t->dim[0], t->dim[3], 1, 1};
    return n->out = rn_graph_add_value(g, t->dtype, 2, dim);
}

/* ---- element by element ---- */

int rn_graph_relu(rn_graph *g, int x, const char *name)
{
    rn_node *n = rn_graph_add_node(g, RN_NODE_RELU, name, x);
    return n ? out_like(g, n, g->values[x].t) : -1;
}

int rn_graph_eltwise(rn_graph *g, int a, int b, const char *name, enum rn_eltwise_kind kind, float ca, float cb)
{
    rn_node *n = rn_graph_add_node(g, RN_NODE_ELTWISE, name, a);
    if (!n)
        return -1;
    if (!is_value(g, b) || !same_shape(&g->values[a].t, &g->values[b].t))
        return fail(g, rn_fail(RN_E_RANGE, "graph: the two inputs of %s differ in shape", name));
    n->res = b;
    n->eltwise = kind;
    n->factor[0] = ca;
    n->factor[1] = cb;
    return out_like(g, n, g->values[a].t);
}

int rn_graph_add(rn_graph *g, int a, int b, const char *name, bool relu)
{
    int y = rn_graph_eltwise(g, a, b, name, RN_ELTWISE_SUM, 1, 1);
    if (y >= 0)
        g->nodes[g->nnodes - 1].relu = relu;
    return y;
}

int rn_graph_sigmoid(rn_graph *g, int x, const char *name)
{
    rn_node *n = rn_graph_add_node(g, RN_NODE_SIGMOID, name, x);
    return n ? out_like(g, n, g->values[x].t) : -1;
}

int rn_graph_dropout(rn_graph *g, int x, const char *name, float p)
{
    rn_node *n = rn_graph_add_node(g, RN_NODE_DROPOUT, name, x);
    if (!n)
        return -1;
    if (!(p >= 0 && p < 1))
        return fail(
            g, rn_fail(RN_E_RANGE, "graph: %s: a dropout of %g; it must be at least 0 and below 1", name, (double)p));
    n->dropout = p;
    n->dropout_key = g->ndropouts++;
    return out_like(g, n, g->values[x].t);
}

/* ---- channels ---- */

int rn_graph_scale(rn_graph *g, int x, int s, int res, const char *name, bool relu)
{
    rn_node *n = rn_graph_add_node(g, RN_NODE_SCALE, name, x);
    if (!n)
        return -1;
    const rn_tensor *t = &g->values[x].t;
    bool fits = t->nd == 4 && is_value(g, s) && g->values[s].t.dim[0] == t->dim[0] &&
                rn_tensor_count(&g->values[s].t) == t->dim[0] * t->dim[3];
    if (!fits || (res >= 0 && !(is_value(g, res) && same_shape(t, &g->values[res].t))))
        return fail(g, rn_fail(RN_E_RANGE, "graph: the shapes at %s do not fit", name));
    n->res = res;
    n->ins[2] = s;
    n->relu = relu;
    return out_like(g, n, *t);
}

int rn_graph_lrn(rn_graph *g, int x, const char *name, int size, float alpha, float beta, float k)
{
    rn_node *n = rn_graph_add_node(g, RN_NODE_LRN, name, x);
    if (!n)
        return -1;
    const rn_tensor *t = &g->values[x].t;
    if (size < 1 || size > 65535 || !(k > 0) || !(alpha >= 0) || !(beta >= 0))
        return fail(g, rn_fail(RN_E_RANGE,
                               "graph: %s: a response normalisation over %d of %d channels, alpha %g, beta %g, k %g",
                               name, size, rn_graph_channels(t), (double)alpha, (double)beta, (double)k));
    n->lrn = (rn_op_lrn){.size = size, .alpha = alpha, .beta = beta, .k = k};
    return out_like(g, n, *t);
}

int rn_graph_concat(rn_graph *g, const int *xs, int n, const char *name)
{
    if (g->status >= 0 && (n < 1 || n > RN_NODE_INPUTS))
        return fail(g, rn_fail(RN_E_RANGE, "graph: %s joins %d values; 1 to %d are possible", name, n, RN_NODE_INPUTS));
    rn_node *node = g->status < 0 ? NULL : rn_graph_add_node(g, RN_NODE_CONCAT, name, xs[0]);
    if (!node)
        return -1;
    rn_tensor t = g->values[xs[0]].t;
    int64_t *c = &t.dim[t.nd - 1], total = 0;
    for (int i = 0; i < n; i++) {
        if (is_value(g, xs[i]))
            *c = rn_graph_channels(&g->values[xs[i]].t);
        if (!is_value(g, xs[i]) || !same_shape(&t, &g->values[xs[i]].t))
            return fail(g, rn_fail(RN_E_RANGE, "graph: input %d of %s differs from the first in more than channels",
                                   i + 1, name));
        node->ins[i] = xs[i];
        total += *c;
    }
    *c = total;
    return out_like(g, node, t);
}

int rn_graph_slice(rn_graph *g, int x, const char *name, int first, int channels)
{
    rn_node *n = rn_graph_add_node(g, RN_NODE_SLICE, name, x);
    if (!n)
        return -1;
    rn_tensor t = g->values[x].t;
    if (first < 0 || channels < 1 || first > rn_graph_channels(&t) - channels)
        return fail(g, rn_fail(RN_E_RANGE, "graph: %s: channels %d to %d of %d", name, first, first + channels - 1,
                               rn_graph_channels(&t)));
    n->slice_at = first;
    t.dim[t.nd - 1] = channels;
    return out_like(g, n, t);
}

void rn_graph_xent(rn_graph *g, int logits)
{
    if (rn_graph_add_node(g, RN_NODE_XENT, "loss", logits))
        g->logits = logits;
}
