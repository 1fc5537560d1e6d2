/* SPDX-License-Identifier: MIT */
#include "run/use/rn_onnx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_opt.h"
#include "nn/graph/rn_param.h"
#include "run/use/rn_onnx_wire.h"

enum { IR_VERSION = 7, OPSET = 13, NAME = 160 };

typedef struct exporter {
    const rn_graph *g;
    const rn_st_file *f;
    const rn_onnx_opts *o;
    rn_wire graph;
    char (*value)[NAME]; /* the name that each value goes by */
    bool *told;          /* parameters that are in the file already */
    int status;
} exporter;

static void fail(exporter *e, int rc)
{
    if (e->status >= 0)
        e->status = rc;
}

/* ---- nodes ---- */

/* Begins an operator; in1, in2.. may be NULL. finish() ends it. */
static rn_wire begin(const char *const *ins, const char *out)
{
    rn_wire n = {0};
    for (int i = 0; ins[i]; i++)
        rn_wire_text(&n, 1, ins[i]);
    rn_wire_text(&n, 2, out);
    return n;
}
#define BEGIN(out, ...) begin((const char *const[]){__VA_ARGS__, NULL}, out)

static void finish(exporter *e, rn_wire *n, const char *op, const char *name)
{
    rn_wire_text(n, 3, name);
    rn_wire_text(n, 4, op);
    rn_wire_message(&e->graph, 1, n);
}

/* A part of node n: "layer1.0.bn2" and "relu" give "layer1.0.bn2/relu". */
static const char *sub(const rn_node *n, const char *part, char out[NAME])
{
    snprintf(out, NAME, "%s/%s", n->name, part);
    return out;
}

static void constant(exporter *e, const char *name, int nd, const int64_t *dim, const float *v, size_t n)
{
    rn_onnx_tensor(&e->graph, name, RN_ONNX_FLOAT, nd, dim, v, n * sizeof *v);
}

static void integers(exporter *e, const char *name, const int64_t *v, int n)
{
    rn_onnx_tensor(&e->graph, name, RN_ONNX_INT64, 1, (const int64_t[]){n}, v, (size_t)n * sizeof *v);
}

/* ---- weights ---- */

/* Parameter i as it stands in files, or `count` values of it from `at` on as a tensor of dims `dim` (nd > 0); its name. */
static const char *parameter(exporter *e, int i, int64_t at, int64_t count, int nd, const int64_t *dim, char out[NAME])
{
    const rn_param *p = &e->g->params[i];
    const rn_st_tensor *t = rn_st_find(e->f, p->name);
    int64_t whole[4];
    const int whole_nd = rn_param_file_dims(p, whole);
    const bool part = count != p->count;
    snprintf(out, NAME, part ? "%s@%lld" : "%s", p->name, (long long)at);
    if (e->told[i] && !part)
        return out;
    e->told[i] = !part;
    float *v = t && t->count == p->count ? malloc((size_t)p->count * sizeof *v) : NULL;
    if (!v || rn_st_read_f32(t, v) < 0) {
        fail(e, rn_fail(RN_E_MISMATCH, "%s: no memory for %s, or no such tensor", rn_st_path(e->f), p->name));
    } else {
        const bool same = nd == 0;
        constant(e, out, same ? whole_nd : nd, same ? whole : dim, v + at, (size_t)count);
    }
    free(v);
    return out;
}

static const char *all_of(exporter *e, int i, char out[NAME])
{
    return parameter(e, i, 0, e->g->params[i].count, 0, NULL, out);
}

/* ---- kinds ---- */

static const char *in_name(const exporter *e, int value)
{
    return e->value[value];
}

/* Names what comes before a fused residual or ReLU, and adds these. */
typedef struct tail {
    char raw[NAME], sum[NAME];
    const char *first; /* what the node itself writes */
} tail;

static void plan_tail(const exporter *e, const rn_node *n, int res, tail *t)
{
    sub(n, "raw", t->raw);
    sub(n, "sum", t->sum);
    t->first = res >= 0 || n->relu ? t->raw : in_name(e, n->out);
}

static void put_tail(exporter *e, const rn_node *n, int res, const tail *t)
{
    char name[NAME];
    const char *now = t->raw, *out = in_name(e, n->out);
    if (res >= 0) {
        const char *to = n->relu ? t->sum : out;
        rn_wire w = BEGIN(to, now, in_name(e, res));
        finish(e, &w, "Add", sub(n, "add", name));
        now = to;
    }
    if (n->relu) {
        rn_wire w = BEGIN(out, now);
        finish(e, &w, "Relu", sub(n, "relu", name));
    }
}

static void window(rn_wire *w, int kh, int kw, int sh, int sw, const int64_t pads[4])
{
    rn_onnx_attr_ints(w, "kernel_shape", (const int64_t[]){kh, kw}, 2);
    rn_onnx_attr_ints(w, "strides", (const int64_t[]){sh, sw}, 2);
    rn_onnx_attr_ints(w, "pads", pads, 4);
}

static void put_conv(exporter *e, const rn_node *n)
{
    const rn_conv_desc *d = &n->conv;
    const int64_t dim[4] = {d->oc, d->ic, d->kh, d->kw};
    char weight[NAME], bias[NAME];
    tail t;
    plan_tail(e, n, -1, &t);
    parameter(e, n->param, n->param_at, dim[0] * dim[1] * dim[2] * dim[3], 4, dim, weight);
    if (n->bias >= 0)
        parameter(e, n->bias, n->bias_at, d->oc, 1, dim, bias);
    rn_wire w = BEGIN(t.first, in_name(e, n->in), weight, n->bias >= 0 ? bias : NULL);
    window(&w, d->kh, d->kw, d->sh, d->sw, (const int64_t[]){d->ph, d->pw, d->ph, d->pw});
    finish(e, &w, "Conv", n->name);
    put_tail(e, n, -1, &t);
}

static void put_bn(exporter *e, const rn_node *n)
{
    char p[4][NAME];
    tail t;
    plan_tail(e, n, n->res, &t);
    for (int i = 0; i < 4; i++)
        all_of(e, n->param + i, p[i]);
    rn_wire w = BEGIN(t.first, in_name(e, n->in), p[0], p[1], p[2], p[3]);
    rn_onnx_attr_float(&w, "epsilon", n->bn_eps > 0 ? n->bn_eps : e->o->bn_eps);
    finish(e, &w, "BatchNormalization", n->name);
    put_tail(e, n, n->res, &t);
}

/* Rows behind the image that the last window reaches. */
static int reach(int out, int stride, int k, int in, int pad)
{
    const int need = (out - 1) * stride + k - in - pad;
    return need > 0 ? need : 0;
}

/* Inside the image and its padding on both sides, as Caffe and torch divide. */
static int covered(int o, int stride, int k, int in, int pad)
{
    const int from = o * stride - pad, to = from + k;
    return (to < in + pad ? to : in + pad) - from;
}

/* Windows that leave even the padding are divided by what they cover: ONNX divides by k * k, which a factor mends. */
static void mend_mean(exporter *e, const rn_node *n, const char *from)
{
    const rn_op_pool *p = &n->pool;
    char name[NAME], factor[NAME];
    float *v = malloc((size_t)p->oh * (size_t)p->ow * sizeof *v);
    if (!v) {
        fail(e, rn_fail(RN_E_NOMEM, "no memory to export %s", n->name));
        return;
    }
    for (int y = 0; y < p->oh; y++)
        for (int x = 0; x < p->ow; x++)
            v[y * p->ow + x] = (float)(p->kh * p->kw) /
                               (float)(covered(y, p->sh, p->kh, p->ih, p->ph) * covered(x, p->sw, p->kw, p->iw, p->pw));
    constant(e, sub(n, "factor", factor), 4, (const int64_t[]){1, 1, p->oh, p->ow}, v, (size_t)p->oh * (size_t)p->ow);
    free(v);
    rn_wire w = BEGIN(in_name(e, n->out), from, factor);
    finish(e, &w, "Mul", sub(n, "mend", name));
}

static void put_pool(exporter *e, const rn_node *n)
{
    const rn_op_pool *p = &n->pool;
    const int below = reach(p->oh, p->sh, p->kh, p->ih, p->ph), right = reach(p->ow, p->sw, p->kw, p->iw, p->pw);
    const bool max = n->kind == RN_NODE_MAXPOOL;
    const bool mend = !max && p->count_include_pad && (below > p->ph || right > p->pw);
    char raw[NAME];
    rn_wire w = BEGIN(mend ? sub(n, "raw", raw) : in_name(e, n->out), in_name(e, n->in));
    window(&w, p->kh, p->kw, p->sh, p->sw, (const int64_t[]){p->ph, p->pw, below, right});
    if (!max)
        rn_onnx_attr_int(&w, "count_include_pad", p->count_include_pad);
    finish(e, &w, max ? "MaxPool" : "AveragePool", n->name);
    if (mend)
        mend_mean(e, n, raw);
}

static const char *flatten(exporter *e, const rn_node *n, const char *from, const char *to)
{
    char name[NAME];
    rn_wire w = BEGIN(to, from);
    rn_onnx_attr_int(&w, "axis", 1);
    finish(e, &w, "Flatten", sub(n, "flatten", name));
    return to;
}

static void put_gap(exporter *e, const rn_node *n)
{
    char raw[NAME];
    rn_wire w = BEGIN(sub(n, "mean", raw), in_name(e, n->in));
    finish(e, &w, "GlobalAveragePool", n->name);
    flatten(e, n, raw, in_name(e, n->out));
}

static void put_linear(exporter *e, const rn_node *n)
{
    const rn_param *p = &e->g->params[n->param];
    const int64_t dim[2] = {p->dim[0], p->count / p->dim[0]};
    char weight[NAME], bias[NAME], rows[NAME];
    const char *in = in_name(e, n->in);
    if (e->g->values[n->in].t.nd == 4)
        in = flatten(e, n, in, sub(n, "rows", rows));
    parameter(e, n->param, 0, p->count, 2, dim, weight);
    if (n->bias >= 0)
        all_of(e, n->bias, bias);
    rn_wire w = BEGIN(in_name(e, n->out), in, weight, n->bias >= 0 ? bias : NULL);
    rn_onnx_attr_int(&w, "transB", 1);
    finish(e, &w, "Gemm", n->name);
}

/* One of the two of a sum, times its factor. */
static const char *weighted(exporter *e, const rn_node *n, int i, char out[NAME])
{
    char name[NAME], factor[NAME];
    const char *x = in_name(e, n->ins[i]);
    if (n->eltwise != RN_ELTWISE_SUM || n->factor[i] == 1)
        return x;
    constant(e, sub(n, i ? "factor2" : "factor1", factor), 0, NULL, &n->factor[i], 1);
    rn_wire w = BEGIN(sub(n, i ? "second" : "first", out), x, factor);
    finish(e, &w, "Mul", sub(n, i ? "times2" : "times1", name));
    return out;
}

static void put_eltwise(exporter *e, const rn_node *n)
{
    static const char *const ops[] = {"Add", "Mul", "Max"};
    char a[NAME], b[NAME];
    tail t;
    plan_tail(e, n, -1, &t);
    const char *x = weighted(e, n, 0, a), *y = weighted(e, n, 1, b);
    rn_wire w = BEGIN(t.first, x, y);
    finish(e, &w, ops[n->eltwise], n->name);
    put_tail(e, n, -1, &t);
}

static void put_scale(exporter *e, const rn_node *n)
{
    char map[NAME], axes[NAME], name[NAME];
    const int s = n->ins[2];
    const char *factor = in_name(e, s);
    tail t;
    plan_tail(e, n, n->res, &t);
    if (e->g->values[s].t.nd == 2) {
        integers(e, sub(n, "axes", axes), (const int64_t[]){2, 3}, 2);
        rn_wire u = BEGIN(sub(n, "map", map), factor, axes);
        finish(e, &u, "Unsqueeze", sub(n, "unsqueeze", name));
        factor = map;
    }
    rn_wire w = BEGIN(t.first, in_name(e, n->in), factor);
    finish(e, &w, "Mul", n->name);
    put_tail(e, n, n->res, &t);
}

static void put_lrn(exporter *e, const rn_node *n)
{
    rn_wire w = BEGIN(in_name(e, n->out), in_name(e, n->in));
    rn_onnx_attr_float(&w, "alpha", n->lrn.alpha);
    rn_onnx_attr_float(&w, "beta", n->lrn.beta);
    rn_onnx_attr_float(&w, "bias", n->lrn.k);
    rn_onnx_attr_int(&w, "size", n->lrn.size);
    finish(e, &w, "LRN", n->name);
}

static void put_concat(exporter *e, const rn_node *n)
{
    rn_wire w = {0};
    for (int i = 0; i < RN_NODE_INPUTS && n->ins[i] >= 0; i++)
        rn_wire_text(&w, 1, in_name(e, n->ins[i]));
    rn_wire_text(&w, 2, in_name(e, n->out));
    rn_onnx_attr_int(&w, "axis", 1);
    finish(e, &w, "Concat", n->name);
}

static void put_slice(exporter *e, const rn_node *n)
{
    const rn_tensor *t = &e->g->values[n->out].t;
    const int64_t from = n->slice_at, to = from + t->dim[t->nd - 1], axis = 1;
    char a[NAME], b[NAME], c[NAME];
    integers(e, sub(n, "from", a), &from, 1);
    integers(e, sub(n, "to", b), &to, 1);
    integers(e, sub(n, "axis", c), &axis, 1);
    rn_wire w = BEGIN(in_name(e, n->out), in_name(e, n->in), a, b, c);
    finish(e, &w, "Slice", n->name);
}

static void put_plain(exporter *e, const rn_node *n, const char *op)
{
    rn_wire w = BEGIN(in_name(e, n->out), in_name(e, n->in));
    finish(e, &w, op, n->name);
}

/* (pixel / 255 - mean) / std, as one product and one sum. */
static void put_normalize(exporter *e, const rn_node *n)
{
    const int64_t c = e->g->values[n->out].t.dim[3], dim[4] = {1, c, 1, 1};
    float mul[4], add[4];
    if (!e->o->raw)
        return;
    for (int i = 0; i < c; i++) {
        mul[i] = (float)(1.0 / (255.0 * (double)e->o->std[i]));
        add[i] = (float)(-(double)e->o->mean[i] / (double)e->o->std[i]);
    }
    constant(e, "normalize/mul", 4, dim, mul, (size_t)c);
    constant(e, "normalize/add", 4, dim, add, (size_t)c);
    rn_wire w = BEGIN("normalize/float", "input");
    rn_onnx_attr_int(&w, "to", RN_ONNX_FLOAT);
    finish(e, &w, "Cast", "normalize/cast");
    w = BEGIN("normalize/scaled", "normalize/float", "normalize/mul");
    finish(e, &w, "Mul", "normalize/times");
    w = BEGIN(in_name(e, n->out), "normalize/scaled", "normalize/add");
    finish(e, &w, "Add", "normalize");
}

static void put_node(exporter *e, const rn_node *n)
{
    switch (n->kind) {
    case RN_NODE_NORMALIZE:
        put_normalize(e, n);
        break;
    case RN_NODE_CONV:
        put_conv(e, n);
        break;
    case RN_NODE_BN:
        put_bn(e, n);
        break;
    case RN_NODE_MAXPOOL:
    case RN_NODE_AVGPOOL:
        put_pool(e, n);
        break;
    case RN_NODE_GAP:
        put_gap(e, n);
        break;
    case RN_NODE_LINEAR:
        put_linear(e, n);
        break;
    case RN_NODE_RELU:
        put_plain(e, n, "Relu");
        break;
    case RN_NODE_SIGMOID:
        put_plain(e, n, "Sigmoid");
        break;
    case RN_NODE_DROPOUT: /* nothing in evaluation */
        put_plain(e, n, "Identity");
        break;
    case RN_NODE_ELTWISE:
        put_eltwise(e, n);
        break;
    case RN_NODE_SCALE:
        put_scale(e, n);
        break;
    case RN_NODE_LRN:
        put_lrn(e, n);
        break;
    case RN_NODE_CONCAT:
        put_concat(e, n);
        break;
    case RN_NODE_SLICE:
        put_slice(e, n);
        break;
    case RN_NODE_XENT: /* the scores are the result */
        break;
    default:
        fail(e,
             rn_fail(RN_E_UNSUPPORTED, "%s: a layer of kind %d has no equivalent in ONNX here", n->name, (int)n->kind));
    }
}

/* ---- the model ---- */

static void name_values(exporter *e)
{
    const rn_graph *g = e->g;
    for (int i = 0; i < g->nnodes; i++)
        if (g->nodes[i].out >= 0)
            snprintf(e->value[g->nodes[i].out], NAME, "%s/out", g->nodes[i].name);
    snprintf(e->value[g->images], NAME, "input");
    snprintf(e->value[g->input], NAME, e->o->raw ? "normalize/out" : "input");
    snprintf(e->value[g->logits], NAME, "logits");
}

static void put_graph(exporter *e)
{
    const rn_graph *g = e->g;
    const int64_t n = e->o->batch > 0 ? e->o->batch : -1;
    const rn_tensor *in = &g->values[g->input].t, *out = &g->values[g->logits].t;
    rn_wire_text(&e->graph, 2, "rnkit");
    name_values(e);
    for (int i = 0; i < g->nnodes && e->status >= 0; i++)
        put_node(e, &g->nodes[i]);
    rn_onnx_value(&e->graph, 11, "input", e->o->raw ? RN_ONNX_UINT8 : RN_ONNX_FLOAT, 4,
                  (const int64_t[]){n, in->dim[3], in->dim[1], in->dim[2]});
    rn_onnx_value(&e->graph, 12, "logits", RN_ONNX_FLOAT, 2, (const int64_t[]){n, out->dim[out->nd - 1]});
}

static void put_model(exporter *e, rn_wire *model)
{
    rn_wire opset = {0};
    rn_wire_int(model, 1, IR_VERSION);
    rn_wire_text(model, 2, "rnkit");
    rn_wire_text(model, 3, RN_VERSION);
    rn_wire_message(model, 7, &e->graph);
    rn_wire_text(&opset, 1, "");
    rn_wire_int(&opset, 2, OPSET);
    rn_wire_message(model, 8, &opset);
    for (int i = 0; i < e->o->nmeta; i++) {
        rn_wire m = {0};
        rn_wire_text(&m, 1, e->o->meta[i].key);
        rn_wire_text(&m, 2, e->o->meta[i].text);
        rn_wire_message(model, 14, &m);
    }
}

int rn_onnx_build(const rn_graph *g, const rn_st_file *weights, const rn_onnx_opts *opts, rn_buf *out)
{
    exporter e = {.g = g, .f = weights, .o = opts};
    rn_wire model = {0};
    e.value = calloc((size_t)g->nvalues + 1, sizeof *e.value);
    e.told = calloc((size_t)g->nparams + 1, sizeof *e.told);
    if (!e.value || !e.told) {
        e.status = rn_fail(RN_E_NOMEM, "no memory to export the model");
    } else {
        put_graph(&e);
        put_model(&e, &model);
    }
    free(e.value);
    free(e.told);
    if (e.status >= 0 && model.rc < 0)
        e.status = model.rc;
    if (e.status >= 0 && model.b.n > (size_t)INT32_MAX)
        e.status = rn_fail(RN_E_RANGE, "an ONNX file holds 2 GiB at most: the model has %zu bytes", model.b.n);
    if (e.status < 0)
        rn_buf_free(&model.b);
    else
        *out = model.b;
    return e.status;
}
