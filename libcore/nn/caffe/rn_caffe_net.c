/* SPDX-License-Identifier: MIT */
/* A text read whole: schema, phases, layers, and what nobody has read. */
#include "nn/caffe/rn_caffe_net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "nn/caffe/rn_caffe_impl.h"

/* ---- phases ---- */

/* Whether a rule holds in this phase, at level 0, without stages. */
static bool met(rn_prototext *t, int rule, enum rn_caffe_phase phase)
{
    bool ok = rn_cf_int(t, rule, "phase", phase) == (int64_t)phase;
    ok &= rn_cf_int(t, rule, "min_level", 0) <= 0;
    ok &= rn_cf_int(t, rule, "max_level", 0) >= 0;
    for (int i = rn_cf_find(t, rule, "stage"); i >= 0; i = rn_cf_next(t, i))
        ok = false;
    for (int i = rn_cf_find(t, rule, "not_stage"); i >= 0; i = rn_cf_next(t, i))
        ; /* no stage is set */
    return ok;
}

static int included(rn_prototext *t, int layer, enum rn_caffe_phase phase, bool *out)
{
    int in = rn_cf_find(t, layer, "include"), ex = rn_cf_find(t, layer, "exclude");
    if (in >= 0 && ex >= 0)
        return rn_pt_fail(t, ex, RN_E_FORMAT, "include and exclude: give one of them");
    if (rn_cf_has(t, layer, "phase"))
        return rn_pt_fail(t, rn_cf_find(t, layer, "phase"), RN_E_UNSUPPORTED,
                          "not supported: say `include { phase: ... }`");
    *out = in < 0;
    for (int i = in; i >= 0; i = rn_cf_next(t, i))
        *out |= met(t, i, phase);
    for (int i = ex; i >= 0; i = rn_cf_next(t, i))
        *out &= !met(t, i, phase);
    return RN_OK;
}

static bool is_layer(const rn_pt_node *n)
{
    return strcmp(n->name, "layer") == 0 || strcmp(n->name, "layers") == 0;
}

static int read_side(rn_caffe_net *net, enum rn_caffe_phase phase)
{
    rn_prototext *t = &net->text;
    rn_caffe_side *s = &net->side[phase];
    int most = rn_cf_count(t, 0, "layer") + rn_cf_count(t, 0, "layers");
    if (most > RN_CAFFE_MAX_LAYERS)
        return rn_fail(RN_E_RANGE, "%s: %d layers; at most %d are possible", t->file, most, (int)RN_CAFFE_MAX_LAYERS);
    s->layers = calloc((size_t)most + 1, sizeof *s->layers);
    if (!s->layers)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", t->file);
    for (int i = t->nodes[0].child; i >= 0; i = t->nodes[i].next) {
        bool in = false;
        if (!is_layer(&t->nodes[i]))
            continue;
        RN_TRY(included(t, i, phase, &in));
        if (!in)
            continue;
        t->nodes[i].used = true;
        RN_TRY(rn_caffe_read_layer(t, i, phase, &s->layers[s->n], s));
        s->n++;
    }
    return RN_OK;
}

/* ---- the whole ---- */

/* What stands in the text outside of layers that are in some phase. */
static int check_used(const rn_prototext *t)
{
    for (int i = t->nodes[0].child; i >= 0; i = t->nodes[i].next)
        if (is_layer(&t->nodes[i]) && t->nodes[i].used)
            RN_TRY(rn_caffe_check_used(t, i, NULL));
    return RN_OK;
}

/* What the net says outside of its layers. */
static int check_top(rn_prototext *t)
{
    if (rn_cf_has(t, 0, "input"))
        return rn_pt_fail(t, rn_cf_find(t, 0, "input"), RN_E_UNSUPPORTED,
                          "this is the net to deploy: give the one for training, with Data layers");
    if (rn_cf_has(t, 0, "layer") && rn_cf_has(t, 0, "layers"))
        return rn_pt_fail(t, rn_cf_find(t, 0, "layers"), RN_E_FORMAT,
                          "`layer` and `layers` in one text: run Caffe's upgrade_net_proto_text on it");
    if (!rn_cf_has(t, 0, "layer") && !rn_cf_has(t, 0, "layers"))
        return rn_fail(RN_E_FORMAT, "%s: no layer", t->file);
    for (int i = t->nodes[0].child; i >= 0; i = t->nodes[i].next) {
        const rn_pt_node *n = &t->nodes[i];
        if (!is_layer(n) && !(n->field->flags & RN_CF_INERT))
            return rn_pt_fail(t, i, RN_E_UNSUPPORTED, "not supported");
    }
    return RN_OK;
}

static bool equal(double a, double b)
{
    return a >= b && a <= b;
}

/* Training and evaluation look at pixels alike: one set of numbers is kept with the weights. */
static int check_data(const rn_caffe_net *n)
{
    const rn_caffe_data *a = &n->side[RN_CAFFE_TRAIN].data, *b = &n->side[RN_CAFFE_TEST].data;
    const char *file = n->text.file;
    bool same_file = !a->mean_file == !b->mean_file && (!a->mean_file || strcmp(a->mean_file, b->mean_file) == 0);
    bool same = a->nmean == b->nmean && same_file && equal(a->scale, b->scale);
    for (int c = 0; c < 3; c++)
        same &= equal(a->mean[c], b->mean[c]);
    if (!same)
        return rn_fail(
            RN_E_UNSUPPORTED,
            "%s:%d: transform_param: mean or scale differ from those of phase TRAIN (line %d): not supported", file,
            b->line, a->line);
    if (a->crop != b->crop)
        return rn_fail(RN_E_UNSUPPORTED,
                       "%s:%d: transform_param.crop_size: %d, but %d in phase TRAIN (line %d): not supported", file,
                       b->line, b->crop, a->crop, a->line);
    if (b->mirror)
        return rn_fail(RN_E_UNSUPPORTED,
                       "%s:%d: transform_param.mirror: not supported in phase TEST (each image is looked at as it is)",
                       file, b->line);
    if (a->colour != b->colour || a->gray != b->gray)
        return rn_fail(RN_E_UNSUPPORTED, "%s:%d: colour in one phase and gray in the other (line %d): not supported",
                       file, b->line, a->line);
    return RN_OK;
}

static int read_net(rn_caffe_net *n, const char *file, const char *text)
{
    RN_TRY(rn_prototext_parse(file, text, &n->text));
    RN_TRY(rn_caffe_check(&n->text, 0, rn_caffe_net_fields));
    RN_TRY(check_top(&n->text));
    for (int phase = RN_CAFFE_TRAIN; phase <= RN_CAFFE_TEST; phase++)
        RN_TRY(read_side(n, (enum rn_caffe_phase)phase));
    RN_TRY(check_used(&n->text));
    for (int phase = RN_CAFFE_TRAIN; phase <= RN_CAFFE_TEST; phase++)
        RN_TRY(rn_caffe_link(&n->text, (enum rn_caffe_phase)phase, &n->side[phase]));
    return check_data(n);
}

int rn_caffe_net_open(const char *file, const char *text, rn_caffe_net **out)
{
    rn_caffe_net *n = calloc(1, sizeof *n);
    *out = NULL;
    if (!n)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", file);
    int rc = read_net(n, file, text);
    if (rc < 0)
        rn_caffe_net_close(n);
    else
        *out = n;
    return rc;
}

void rn_caffe_net_close(rn_caffe_net *n)
{
    if (!n)
        return;
    for (int i = 0; i < 2; i++) {
        free(n->side[i].layers);
        free(n->side[i].blobs);
    }
    rn_prototext_free(&n->text);
    free(n);
}

const rn_caffe_data *rn_caffe_net_data(const rn_caffe_net *n, enum rn_caffe_phase phase)
{
    return &n->side[phase].data;
}

/* ---- as lines ---- */

/* Where the data lie, how the text calls itself, and what decides nothing. */
static bool is_free(const rn_prototext *t, int i)
{
    static const char *const names[] = {"source", "root_folder", "mean_file", NULL};
    if (t->nodes[i].field->flags & RN_CF_INERT)
        return true;
    for (int k = 0; names[k]; k++)
        if (strcmp(t->nodes[i].name, names[k]) == 0)
            return true;
    return false;
}

static const char *name_of(const rn_prototext *t, int layer)
{
    for (int i = t->nodes[layer].child; i >= 0; i = t->nodes[i].next)
        if (strcmp(t->nodes[i].name, "name") == 0)
            return t->nodes[i].text;
    return "";
}

/* The shortest decimal that reads back as the same number. */
static void real_text(double v, char out[40])
{
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(out, 40, "%.*g", digits, v);
        if (!(strtod(out, NULL) > v) && !(strtod(out, NULL) < v))
            return;
    }
}

int rn_caffe_net_lines(const rn_caffe_net *n, rn_buf *out)
{
    const rn_prototext *t = &n->text;
    const char *layer = "";
    for (int i = 1; i < t->n; i++) {
        const rn_pt_node *f = &t->nodes[i];
        char path[256];
        if (f->parent == 0 && is_layer(f))
            layer = name_of(t, i);
        if (f->kind == RN_PT_MESSAGE || is_free(t, i))
            continue;
        rn_pt_path(t, i, path, sizeof path);
        if (f->field->type == RN_CF_REAL) {
            char text[40];
            real_text(f->real, text);
            RN_TRY(rn_buf_printf(out, "'%s' %s: %s\n", layer, path, text));
        } else if (f->field->type == RN_CF_TEXT)
            RN_TRY(rn_buf_printf(out, "'%s' %s: \"%s\"\n", layer, path, f->text));
        else if (f->field->type == RN_CF_ENUM)
            RN_TRY(rn_buf_printf(out, "'%s' %s: %s\n", layer, path, f->field->words[f->num]));
        else
            RN_TRY(rn_buf_printf(out, "'%s' %s: %lld\n", layer, path, (long long)f->num));
    }
    return rn_buf_append(out, "", 1);
}

int rn_caffe_lines_diff(const char *was, const char *now, char *first, size_t cap)
{
    int differ = 0;
    first[0] = 0;
    while (*was || *now) {
        size_t a = strcspn(was, "\n"), b = strcspn(now, "\n");
        if ((a != b || memcmp(was, now, a) != 0) && differ++ == 0)
            snprintf(first, cap, "%.*s -> %.*s", a ? (int)a : 9, a ? was : "(nothing)", b ? (int)b : 9,
                     b ? now : "(nothing)");
        was += a + (was[a] == '\n');
        now += b + (now[b] == '\n');
    }
    return differ;
}
