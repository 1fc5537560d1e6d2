/* SPDX-License-Identifier: MIT */
/*
 * From a phase's layers to a graph. Three layers become one node where that is the same computation: BatchNorm, the Scale
 * that alone reads it, and a sum of two that alone reads that, if its other term is there before; a ReLU behind is
 * fused by rn_graph_finish. Where a global or whole-image average is only read as rows, it is rows.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "nn/caffe/rn_caffe_impl.h"

typedef struct builder {
    const rn_prototext *t;
    const rn_caffe_side *s;
    const rn_model_spec *spec;
    rn_graph *g;
    int batch;
    int *value; /* of a blob; -1: none yet */
    bool *done; /* layers that another one's node has taken in */
} builder;

static const rn_caffe_layer *layer_of(const builder *b, int blob)
{
    return &b->s->layers[b->s->blobs[blob].layer];
}

/* The only needed layer that reads the blob, if it is of that kind. */
static const rn_caffe_layer *sole_reader(const builder *b, int blob, enum rn_caffe_kind kind)
{
    const rn_caffe_blob *x = &b->s->blobs[blob];
    if (x->readers != 1 || blob == b->s->logits)
        return NULL;
    const rn_caffe_layer *l = &b->s->layers[x->reader];
    return l->kind == kind ? l : NULL;
}

static void set_multipliers(builder *b, int param, const rn_caffe_layer *l, int which)
{
    rn_param *p = &b->g->params[param];
    p->lr_mult = (float)l->lr[which];
    p->decay_mult = (float)l->decay[which];
    p->filler = which ? l->bias : l->weight;
}

static int rename_param(builder *b, int param, const char *module, const char *suffix)
{
    rn_param *p = &b->g->params[param];
    int n = snprintf(p->name, sizeof p->name, "%s%s", module, suffix);
    return n > 0 && (size_t)n < sizeof p->name
               ? RN_OK
               : rn_fail(RN_E_RANGE, "the name is too long (%zu characters are possible)",
                         sizeof p->name - strlen(suffix) - 1);
}

/* Sides of an input: (h, w); 1, 1 of rows. */
static void sides(const builder *b, int value, int *h, int *w)
{
    const rn_tensor *t = &b->g->values[value].t;
    *h = t->nd == 4 ? (int)t->dim[1] : 1;
    *w = t->nd == 4 ? (int)t->dim[2] : 1;
}

static int channels(const builder *b, int value)
{
    const rn_tensor *t = &b->g->values[value].t;
    return (int)t->dim[t->nd == 4 ? 3 : 1];
}

static int need_image(const builder *b, const rn_caffe_layer *l, int value)
{
    if (b->g->values[value].t.nd == 4)
        return RN_OK;
    return rn_pt_fail(b->t, l->node, RN_E_UNSUPPORTED, "its input has no height and width any more");
}

/* ---- one function a kind: x is the value of the first bottom; the value of the top, or a status ---- */

static int build_conv(builder *b, const rn_caffe_layer *l, int x)
{
    rn_graph *g = b->g;
    RN_TRY(need_image(b, l, x));
    int c = channels(b, x);
    if (c % l->group != 0 || l->outputs % l->group != 0)
        return rn_pt_fail(b->t, l->node, RN_E_FORMAT, "group %d divides not both %d channels and num_output %d",
                          l->group, c, l->outputs);
    int w = rn_graph_conv_weight_hw(g, l->name, l->outputs, l->window.kh, l->window.kw, c / l->group), bias = -1;
    RN_TRY(w);
    set_multipliers(b, w, l, 0);
    if (l->bias_term) {
        bias = rn_graph_bias(g, l->name, l->outputs);
        RN_TRY(bias);
        set_multipliers(b, bias, l, 1);
    }
    if (l->group > 1)
        return rn_graph_conv_group(g, x, w, bias, &l->window, l->group, false);
    return rn_graph_conv_bias(g, x, w, bias, &l->window, false);
}

static int build_linear(builder *b, const rn_caffe_layer *l, int x)
{
    rn_graph *g = b->g;
    int h, w_px, bias = -1;
    sides(b, x, &h, &w_px);
    int w = rn_graph_linear_weight(g, l->name, l->outputs, channels(b, x), h, w_px);
    RN_TRY(w);
    set_multipliers(b, w, l, 0);
    if (l->bias_term) {
        bias = rn_graph_bias(g, l->name, l->outputs);
        RN_TRY(bias);
        set_multipliers(b, bias, l, 1);
    }
    return rn_graph_linear_bias(g, x, w, bias);
}

/* The sum of two that x, normalised into the blob, goes into and nothing else, if it can be taken in: its other term is
 * there, and is neither x itself nor of another shape (which the sum will complain of). */
static const rn_caffe_layer *residual(const builder *b, int x, int blob, int *other)
{
    const rn_caffe_layer *e = sole_reader(b, blob, RN_CAFFE_ELTWISE);
    if (!e || e->op != RN_ELTWISE_SUM || e->nbottom != 2 || e->in[0] == e->in[1])
        return NULL;
    for (int k = 0; k < 2; k++)
        if (!(e->coeff[k] >= 1 && e->coeff[k] <= 1))
            return NULL;
    *other = e->in[e->in[0] == blob];
    const int v = b->value[*other];
    const rn_value *values = b->g->values;
    return v >= 0 && v != x && memcmp(values[v].t.dim, values[x].t.dim, sizeof values[x].t.dim) == 0 ? e : NULL;
}

static int build_batch_norm(builder *b, const rn_caffe_layer *l, int x)
{
    rn_graph *g = b->g;
    int blob = l->out[0], other = -1;
    const rn_caffe_layer *scale = sole_reader(b, blob, RN_CAFFE_SCALE);
    int p = rn_graph_bn_params(g, scale ? scale->name : l->name, channels(b, x));
    RN_TRY(p);
    /* Without Scale, or without its bias, gamma and beta are what they start as, and stay. */
    const rn_caffe_layer fixed = {.weight = {.kind = RN_FILL_CONSTANT, .a = 1}};
    set_multipliers(b, p, scale ? scale : &fixed, 0);
    set_multipliers(b, p + 1, scale && scale->bias_term ? scale : &fixed, 1);
    g->params[p].fixed = !scale;
    g->params[p + 1].fixed = !scale || !scale->bias_term;
    RN_TRY(rename_param(b, p + 2, l->name, ".running_mean"));
    RN_TRY(rename_param(b, p + 3, l->name, ".running_var"));
    if (scale) {
        b->done[scale - b->s->layers] = true;
        blob = scale->out[0];
    }
    const rn_caffe_layer *sum = residual(b, x, blob, &other);
    int y = rn_graph_bn(g, x, p, sum ? b->value[other] : -1, false);
    RN_TRY(y);
    g->nodes[g->nnodes - 1].bn_eps = (float)l->eps;
    g->nodes[g->nnodes - 1].bn_caffe = true;
    g->nodes[g->nnodes - 1].bn_fraction = (float)l->fraction;
    b->value[blob] = y;
    if (sum) {
        b->done[sum - b->s->layers] = true;
        b->value[sum->out[0]] = y;
    }
    return y;
}

/* What reads the blob takes it as rows of channels. */
static bool only_rows(const builder *b, int blob)
{
    if (blob == b->s->logits)
        return true;
    for (int i = 0; i < b->s->n; i++)
        for (int k = 0; b->s->layers[i].needed && k < b->s->layers[i].nbottom; k++) {
            const rn_caffe_layer *l = &b->s->layers[i];
            if (l->in[k] != blob || l->kind == RN_CAFFE_LINEAR || (l->kind == RN_CAFFE_GATE && k == 1))
                continue;
            bool same = l->kind == RN_CAFFE_RELU || l->kind == RN_CAFFE_SIGMOID || l->kind == RN_CAFFE_DROPOUT ||
                        l->kind == RN_CAFFE_FLATTEN;
            if (!same || !only_rows(b, l->out[0]))
                return false;
        }
    return true;
}

static int build_pool(builder *b, const rn_caffe_layer *l, int x)
{
    rn_window w = l->window;
    int h, w_px;
    RN_TRY(need_image(b, l, x));
    sides(b, x, &h, &w_px);
    if (l->global)
        w = (rn_window){h, w_px, 1, 1, 0, 0};
    bool whole = w.kh == h && w.kw == w_px && w.ph == 0 && w.pw == 0;
    if (whole && !l->max && only_rows(b, l->out[0]))
        return rn_graph_gap(b->g, x, l->name);
    return rn_graph_pool(b->g, x, l->name, l->max, &w, !l->floor, true);
}

static int build_eltwise(builder *b, const rn_caffe_layer *l, int x)
{
    double c = l->coeff[0];
    for (int k = 1; k < l->nbottom && x >= 0; k++) {
        char name[64];
        snprintf(name, sizeof name, k + 1 < l->nbottom ? "%.50s/%d" : "%.60s", l->name, k);
        x = rn_graph_eltwise(b->g, x, b->value[l->in[k]], name, l->op, (float)c, (float)l->coeff[k]);
        c = 1;
    }
    return x;
}

static int build_concat(builder *b, const rn_caffe_layer *l, int x)
{
    int in[RN_CAFFE_MAX_BLOBS];
    for (int k = 0; k < l->nbottom; k++)
        in[k] = b->value[l->in[k]];
    return l->nbottom == 1 ? x : rn_graph_concat(b->g, in, l->nbottom, l->name);
}

/* Images become rows in the order channel, row, column only inside an inner product. */
static int build_flatten(builder *b, const rn_caffe_layer *l, int x)
{
    int h, w;
    sides(b, x, &h, &w);
    if (h * w == 1 || only_rows(b, l->out[0]))
        return x;
    return rn_pt_fail(b->t, l->node, RN_E_UNSUPPORTED, "only inner products may read what it flattens");
}

static int build_layer(builder *b, const rn_caffe_layer *l, int x)
{
    switch (l->kind) {
    case RN_CAFFE_CONV:
        return build_conv(b, l, x);
    case RN_CAFFE_LINEAR:
        return build_linear(b, l, x);
    case RN_CAFFE_BATCH_NORM:
        return build_batch_norm(b, l, x);
    case RN_CAFFE_SCALE:
        return rn_pt_fail(b->t, l->node, RN_E_UNSUPPORTED,
                          "a Scale is supported directly behind a BatchNorm whose output nothing else reads");
    case RN_CAFFE_GATE:
        return rn_graph_scale(b->g, x, b->value[l->in[1]], l->nbottom > 2 ? b->value[l->in[2]] : -1, l->name, false);
    case RN_CAFFE_SIGMOID:
        return rn_graph_sigmoid(b->g, x, l->name);
    case RN_CAFFE_RELU:
        return rn_graph_relu(b->g, x, l->name);
    case RN_CAFFE_POOL:
        return build_pool(b, l, x);
    case RN_CAFFE_LRN:
        return rn_graph_lrn(b->g, x, l->name, l->size, (float)l->alpha, (float)l->beta, (float)l->k);
    case RN_CAFFE_DROPOUT:
        return l->ratio > 0 ? rn_graph_dropout(b->g, x, l->name, (float)l->ratio) : x;
    case RN_CAFFE_ELTWISE:
        return build_eltwise(b, l, x);
    case RN_CAFFE_CONCAT:
        return build_concat(b, l, x);
    case RN_CAFFE_FLATTEN:
        return build_flatten(b, l, x);
    default: /* SPLIT: the same under several names */
        return x;
    }
}

/* The graph's own complaint, behind the layer's line. */
static int at_layer(const builder *b, const rn_caffe_layer *l, int status)
{
    char text[500];
    if (b->g->status >= 0)
        return status;
    snprintf(text, sizeof text, "%s", rn_error_text());
    return rn_pt_fail(b->t, l->node, b->g->status, "%s", text);
}

static int build_layers(builder *b)
{
    const rn_caffe_side *s = b->s;
    int images = -1;
    for (int i = 0; i < s->n; i++) {
        const rn_caffe_layer *l = &s->layers[i];
        if (l->kind == RN_CAFFE_DATA) {
            int side = b->spec->height;
            images =
                rn_graph_images(b->g, b->batch, side, b->spec->width_px ? b->spec->width_px : side, b->spec->channels);
            b->value[l->out[0]] = images;
        }
        if (!l->needed || b->done[i] || l->kind == RN_CAFFE_DATA)
            continue;
        for (int k = 0; k < l->nbottom; k++)
            if (b->value[l->in[k]] < 0)
                return rn_pt_fail(b->t, l->node, RN_E_UNSUPPORTED, "bottom \"%.60s\" holds labels, not values",
                                  l->bottom[k]);
        int y = build_layer(b, l, b->value[l->in[0]]);
        if (y < 0)
            return at_layer(b, l, y);
        for (int k = 0; k < l->ntop; k++)
            b->value[l->out[k]] = y;
    }
    return images;
}

static int check_scores(const builder *b)
{
    const rn_caffe_layer *l = layer_of(b, b->s->logits);
    const rn_tensor *t = &b->g->values[b->value[b->s->logits]].t;
    if (t->nd != 2)
        return rn_pt_fail(b->t, l->node, RN_E_UNSUPPORTED,
                          "the loss reads %lldx%lld scores an image; one of each class is wanted", (long long)t->dim[1],
                          (long long)t->dim[2]);
    if (t->dim[1] != b->spec->classes)
        return rn_pt_fail(b->t, l->node, RN_E_MISMATCH,
                          "%lld scores an image, and the data have %d classes: set num_output to %d",
                          (long long)t->dim[1], b->spec->classes, b->spec->classes);
    return RN_OK;
}

static int build(builder *b)
{
    const rn_caffe_side *s = b->s;
    b->value = malloc(((size_t)s->nblobs + 1) * sizeof *b->value);
    b->done = calloc((size_t)s->n + 1, sizeof *b->done);
    if (!b->value || !b->done)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", b->t->file);
    for (int i = 0; i < s->nblobs; i++)
        b->value[i] = -1;
    RN_TRY(build_layers(b));
    RN_TRY(check_scores(b));
    rn_graph_xent(b->g, b->value[s->logits]);
    int rc = rn_graph_finish(b->g);
    return rc < 0 ? rn_fail_prefix(rc, "%s", b->t->file) : RN_OK;
}

int rn_caffe_net_build(const rn_caffe_net *n, enum rn_caffe_phase phase, const rn_model_spec *spec, int batch,
                       rn_graph *g)
{
    builder b = {.t = &n->text, .s = &n->side[phase], .spec = spec, .g = g, .batch = batch};
    int rc = build(&b);
    free(b.value);
    free(b.done);
    return rc;
}
