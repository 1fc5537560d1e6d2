/* SPDX-License-Identifier: MIT */
/* Names of tops and bottoms become blobs; what leads to the loss is told from what does not. */
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "nn/caffe/rn_caffe_impl.h"

/* The newest blob of that name before layer `end`; -1: none. */
static int newest(const rn_caffe_side *s, const char *name, int end)
{
    for (int i = end - 1; i >= 0; i--)
        for (int k = s->layers[i].ntop - 1; k >= 0; k--)
            if (strcmp(s->layers[i].top[k], name) == 0)
                return s->layers[i].out[k];
    return -1;
}

static bool may_be_in_place(enum rn_caffe_kind k)
{
    return k == RN_CAFFE_RELU || k == RN_CAFFE_SIGMOID || k == RN_CAFFE_DROPOUT || k == RN_CAFFE_BATCH_NORM ||
           k == RN_CAFFE_SCALE || k == RN_CAFFE_SPLIT || k == RN_CAFFE_FLATTEN || k == RN_CAFFE_SOFTMAX;
}

static int link_layer(const rn_prototext *t, rn_caffe_side *s, int i)
{
    rn_caffe_layer *l = &s->layers[i];
    for (int k = 0; k < i; k++)
        if (strcmp(s->layers[k].name, l->name) == 0)
            return rn_pt_fail(t, l->node, RN_E_FORMAT, "the layer in line %d has the same name",
                              t->nodes[s->layers[k].node].line);
    for (int k = 0; k < l->nbottom; k++) {
        l->in[k] = newest(s, l->bottom[k], i);
        if (l->in[k] < 0)
            return rn_pt_fail(t, l->node, RN_E_FORMAT,
                              "bottom \"%.60s\": no layer before it has such a top in this phase", l->bottom[k]);
    }
    for (int k = 0; k < l->ntop; k++) {
        bool in_place = l->nbottom > k && strcmp(l->top[k], l->bottom[k]) == 0;
        int before = newest(s, l->top[k], i);
        if (before >= 0 && !(in_place && may_be_in_place(l->kind)))
            return rn_pt_fail(t, l->node, RN_E_FORMAT, "top \"%.60s\" is already that of the layer in line %d%s",
                              l->top[k], t->nodes[s->layers[s->blobs[before].layer].node].line,
                              in_place ? ", and this type of layer does not work in place" : "");
        for (int m = 0; m < k; m++)
            if (strcmp(l->top[m], l->top[k]) == 0)
                return rn_pt_fail(t, l->node, RN_E_FORMAT, "top \"%.60s\" is given twice", l->top[k]);
        l->out[k] = s->nblobs;
        s->blobs[s->nblobs++] = (rn_caffe_blob){.layer = i, .top = k, .reader = -1};
    }
    return RN_OK;
}

/* The labels must be the data layer's: nothing is trained on anything else. */
static int check_labels(const rn_prototext *t, const rn_caffe_side *s, const rn_caffe_layer *l)
{
    const rn_caffe_blob *b = &s->blobs[l->in[1]];
    if (s->layers[b->layer].kind == RN_CAFFE_DATA && b->top == 1)
        return RN_OK;
    return rn_pt_fail(t, l->node, RN_E_UNSUPPORTED, "the second bottom, \"%.60s\", is not the data layer's labels",
                      l->bottom[1]);
}

/* A softmax changes no order: the accuracy of its output is that of its input. */
static int scores_of(const rn_caffe_side *s, int blob)
{
    const rn_caffe_layer *l = &s->layers[s->blobs[blob].layer];
    return l->kind == RN_CAFFE_SOFTMAX ? l->in[0] : blob;
}

static int find_loss(const rn_prototext *t, enum rn_caffe_phase phase, rn_caffe_side *s)
{
    int loss = -1, accuracy = -1;
    for (int i = 0; i < s->n; i++) {
        const rn_caffe_layer *l = &s->layers[i];
        if (l->kind != RN_CAFFE_LOSS && l->kind != RN_CAFFE_ACCURACY)
            continue;
        RN_TRY(check_labels(t, s, l));
        if (l->kind == RN_CAFFE_LOSS && loss >= 0)
            return rn_pt_fail(t, l->node, RN_E_UNSUPPORTED,
                              "a second loss in this phase (the first in line %d): several losses are not supported",
                              t->nodes[s->layers[loss].node].line);
        if (l->kind == RN_CAFFE_LOSS)
            loss = i;
        else if (accuracy < 0)
            accuracy = i;
    }
    if (phase == RN_CAFFE_TRAIN && loss < 0)
        return rn_fail(RN_E_FORMAT, "%s: no SoftmaxWithLoss in phase TRAIN: there is nothing to train towards",
                       t->file);
    if (loss < 0 && accuracy < 0)
        return rn_fail(RN_E_FORMAT,
                       "%s: neither SoftmaxWithLoss nor Accuracy in phase TEST: there is nothing to evaluate", t->file);
    s->logits = loss >= 0 ? s->layers[loss].in[0] : scores_of(s, s->layers[accuracy].in[0]);
    for (int i = 0; i < s->n; i++) {
        const rn_caffe_layer *l = &s->layers[i];
        if (l->kind == RN_CAFFE_ACCURACY && scores_of(s, l->in[0]) != s->logits)
            return rn_pt_fail(t, l->node, RN_E_UNSUPPORTED, "it looks at \"%.60s\" and not at what the loss looks at",
                              l->bottom[0]);
    }
    return RN_OK;
}

/* What a needed layer reads, some layer before it wrote. */
static void mark_needed(rn_caffe_side *s)
{
    s->layers[s->blobs[s->logits].layer].needed = true;
    for (int i = s->n - 1; i >= 0; i--)
        for (int k = 0; s->layers[i].needed && k < s->layers[i].nbottom; k++) {
            rn_caffe_blob *b = &s->blobs[s->layers[i].in[k]];
            s->layers[b->layer].needed = true;
            b->readers++;
            b->reader = i;
        }
}

/* A layer with weights that leads nowhere would be in the checkpoint and never learn. */
static int check_needed(const rn_prototext *t, const rn_caffe_side *s)
{
    for (int i = 0; i < s->n; i++) {
        const rn_caffe_layer *l = &s->layers[i];
        bool weights = l->kind == RN_CAFFE_CONV || l->kind == RN_CAFFE_LINEAR || l->kind == RN_CAFFE_BATCH_NORM ||
                       l->kind == RN_CAFFE_SCALE;
        if (!l->needed && weights)
            return rn_pt_fail(t, l->node, RN_E_UNSUPPORTED, "nothing of it reaches the loss: take it out");
        if (l->needed && l->kind == RN_CAFFE_SOFTMAX)
            return rn_pt_fail(t, l->node, RN_E_UNSUPPORTED,
                              "a Softmax in the middle of a net is not supported (SoftmaxWithLoss has its own)");
    }
    return RN_OK;
}

int rn_caffe_link(const rn_prototext *t, enum rn_caffe_phase phase, rn_caffe_side *s)
{
    int tops = 0;
    for (int i = 0; i < s->n; i++)
        tops += s->layers[i].ntop;
    s->blobs = calloc((size_t)tops + 1, sizeof *s->blobs);
    if (!s->blobs)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", t->file);
    for (int i = 0; i < s->n; i++)
        RN_TRY(link_layer(t, s, i));
    if (!s->data.given)
        return rn_fail(RN_E_FORMAT, "%s: no data layer in phase %s: give the net for training, not the one to deploy",
                       t->file, phase == RN_CAFFE_TRAIN ? "TRAIN" : "TEST");
    RN_TRY(find_loss(t, phase, s));
    mark_needed(s);
    return check_needed(t, s);
}
