/* SPDX-License-Identifier: MIT */
/* One function a type of layer: from fields to numbers. Whatever none of them reads is found afterwards. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/rn_error.h"
#include "nn/caffe/rn_caffe_impl.h"

/* ---- what several types have ---- */

/* -1 where the message is not given: all its fields then have their defaults. */
static int param_of(rn_prototext *t, const rn_caffe_layer *l, const char *name)
{
    return rn_cf_find(t, l->node, name);
}

/* The node that an error about `name` should point at. */
static int at(rn_prototext *t, int message, int layer, const char *name)
{
    int i = rn_cf_find(t, message, name);
    return i >= 0 ? i : message >= 0 ? message : layer;
}

static int in_range(rn_prototext *t, int message, int layer, const char *name, int64_t v, int64_t lo, int64_t hi)
{
    if (v >= lo && v <= hi)
        return RN_OK;
    if (!rn_cf_has(t, message, name))
        return rn_pt_fail(t, message >= 0 ? message : layer, RN_E_FORMAT, "%s is missing", name);
    return rn_pt_fail(t, at(t, message, layer, name), RN_E_RANGE, "%lld; %lld to %lld are possible", (long long)v,
                      (long long)lo, (long long)hi);
}

/* A setting that must be as it is here. */
static int only(rn_prototext *t, int message, const char *name, int64_t dflt, int64_t wanted, const char *why)
{
    int64_t v = rn_cf_int(t, message, name, dflt);
    return v == wanted ? RN_OK
                       : rn_pt_fail(t, rn_cf_find(t, message, name), RN_E_UNSUPPORTED, "not supported (%s)", why);
}

static int blob_counts(rn_prototext *t, const rn_caffe_layer *l, int bottoms, int least_tops, int most_tops)
{
    if (l->nbottom != bottoms)
        return rn_pt_fail(t, l->node, RN_E_FORMAT, "%d `bottom`; this type of layer takes %d", l->nbottom, bottoms);
    if (l->ntop < least_tops || l->ntop > most_tops)
        return rn_pt_fail(t, l->node, RN_E_FORMAT, "%d `top`; this type of layer has %d", l->ntop, most_tops);
    return RN_OK;
}

static int filler(rn_prototext *t, int message, const char *name, double value, rn_filler *out)
{
    static const char *const types[] = {"constant", "gaussian", "uniform", "xavier", "msra", "positive_unitball", NULL};
    static const enum rn_fan fans[] = {RN_FAN_IN, RN_FAN_OUT, RN_FAN_AVG};
    int f = rn_cf_find(t, message, name), type = 0;
    *out = (rn_filler){.kind = RN_FILL_CONSTANT, .a = value};
    if (f < 0)
        return RN_OK;
    const char *word = rn_cf_text(t, f, "type");
    while (word && types[type] && strcmp(word, types[type]) != 0)
        type++;
    switch (type) {
    case 0:
        out->a = rn_cf_real(t, f, "value", 0);
        break;
    case 1:
        *out = (rn_filler){RN_FILL_GAUSSIAN, RN_FAN_IN, rn_cf_real(t, f, "mean", 0), rn_cf_real(t, f, "std", 1)};
        if (!(out->b >= 0))
            return rn_pt_fail(t, at(t, f, f, "std"), RN_E_RANGE, "%g; it must be at least 0", out->b);
        return only(t, f, "sparse", -1, -1, "all weights are drawn");
    case 2:
        *out = (rn_filler){RN_FILL_UNIFORM, RN_FAN_IN, rn_cf_real(t, f, "min", 0), rn_cf_real(t, f, "max", 1)};
        if (!(out->a < out->b))
            return rn_pt_fail(t, f, RN_E_RANGE, "min %g is not below max %g", out->a, out->b);
        break;
    case 3:
    case 4:
        *out = (rn_filler){type == 3 ? RN_FILL_SCALED_UNIFORM : RN_FILL_SCALED_NORMAL,
                           fans[rn_cf_int(t, f, "variance_norm", 0)], type == 3 ? 1 : 2, 0};
        break;
    case 5:
        *out = (rn_filler){.kind = RN_FILL_UNITBALL};
        break;
    default:
        return rn_pt_fail(
            t, at(t, f, f, "type"), RN_E_UNSUPPORTED,
            "\"%.40s\" is not supported; constant, gaussian, uniform, xavier, msra and positive_unitball are", word);
    }
    return rn_caffe_check_used(t, f, "this filler does not use it");
}

/* `param`, once for each of `blobs`; further ones are an error. V1 has blobs_lr and weight_decay instead. */
static int multipliers(rn_prototext *t, rn_caffe_layer *l, int blobs)
{
    bool v1 = strcmp(t->nodes[l->node].name, "layers") == 0;
    for (int i = 0; i < 2; i++)
        l->lr[i] = l->decay[i] = 1;
    const char *const names[] = {v1 ? "blobs_lr" : "param", v1 ? "weight_decay" : NULL};
    for (int k = 0; k < 2 && names[k]; k++) {
        int i = rn_cf_find(t, l->node, names[k]);
        for (int n = 0; i >= 0; n++, i = rn_cf_next(t, i)) {
            if (n == blobs)
                return rn_pt_fail(t, i, RN_E_FORMAT, "one more than the %d parameters of this layer", blobs);
            double lr = v1 ? t->nodes[i].real : rn_cf_real(t, i, "lr_mult", 1);
            double decay = v1 ? lr : rn_cf_real(t, i, "decay_mult", 1);
            if (!(lr >= 0 && lr <= 1e6) || !(decay >= 0 && decay <= 1e6))
                return rn_pt_fail(t, i, RN_E_RANGE, "multipliers must be 0 to 1e6");
            if (k == 0)
                l->lr[n] = lr;
            if (k == 1 || !v1)
                l->decay[n] = decay;
            if (!v1 && rn_cf_text(t, i, "name") && *rn_cf_text(t, i, "name"))
                return rn_pt_fail(t, rn_cf_find(t, i, "name"), RN_E_UNSUPPORTED,
                                  "not supported (parameters are not shared between layers)");
        }
    }
    return RN_OK;
}

/* One of `name` (up to two: height, width) and `name`_h, `name`_w. */
static int pair(rn_prototext *t, int m, int layer, const char *name, const char *h, const char *w, int dflt, int64_t lo,
                int64_t hi, int out[2])
{
    int i = rn_cf_find(t, m, name), n = rn_cf_count(t, m, name);
    bool apart = rn_cf_has(t, m, h) || rn_cf_has(t, m, w);
    if (i >= 0 && apart)
        return rn_pt_fail(t, i, RN_E_FORMAT, "%s and %s, %s: give the one or the others", name, h, w);
    if (n > 2)
        return rn_pt_fail(t, i, RN_E_FORMAT, "%d values; images have height and width", n);
    out[0] = out[1] = dflt;
    if (apart) {
        out[0] = (int)rn_cf_int(t, m, h, dflt);
        out[1] = (int)rn_cf_int(t, m, w, dflt);
        RN_TRY(in_range(t, m, layer, h, out[0], lo, hi));
        return in_range(t, m, layer, w, out[1], lo, hi);
    }
    if (i >= 0) {
        out[0] = out[1] = (int)t->nodes[i].num;
        if (n == 2)
            out[1] = (int)t->nodes[rn_cf_next(t, i)].num;
    }
    RN_TRY(in_range(t, m, layer, name, out[0], lo, hi));
    return in_range(t, m, layer, name, out[1], lo, hi);
}

static int window(rn_prototext *t, int m, int layer, rn_window *out)
{
    int k[2], s[2], p[2];
    RN_TRY(pair(t, m, layer, "kernel_size", "kernel_h", "kernel_w", 0, 1, 255, k));
    RN_TRY(pair(t, m, layer, "stride", "stride_h", "stride_w", 1, 1, 255, s));
    RN_TRY(pair(t, m, layer, "pad", "pad_h", "pad_w", 0, 0, 255, p));
    *out = (rn_window){k[0], k[1], s[0], s[1], p[0], p[1]};
    return RN_OK;
}

/* ---- data ---- */

/* Old texts have them in data_param. */
static int transform(rn_prototext *t, int m, bool param, rn_caffe_data *d)
{
    if (rn_cf_has(t, m, "scale"))
        d->scale = rn_cf_real(t, m, "scale", 1);
    if (rn_cf_has(t, m, "crop_size"))
        d->crop = (int)rn_cf_int(t, m, "crop_size", 0);
    if (rn_cf_has(t, m, "mirror"))
        d->mirror = rn_cf_bool(t, m, "mirror", false);
    if (rn_cf_has(t, m, "mean_file"))
        d->mean_file = rn_cf_text(t, m, "mean_file");
    if (!(d->scale > 0 && d->scale <= 100))
        return rn_pt_fail(t, rn_cf_find(t, m, "scale"), RN_E_RANGE, "%g; it must be above 0 and at most 100", d->scale);
    if (d->crop > 1024 || (d->crop && d->crop < 8))
        return rn_pt_fail(t, rn_cf_find(t, m, "crop_size"), RN_E_RANGE, "%d; 8 to 1024 pixels are possible", d->crop);
    if (!param)
        return RN_OK;
    d->colour |= rn_cf_bool(t, m, "force_color", false);
    d->gray |= rn_cf_bool(t, m, "force_gray", false);
    for (int i = rn_cf_find(t, m, "mean_value"); i >= 0; i = rn_cf_next(t, i)) {
        if (d->nmean == 3)
            return rn_pt_fail(t, i, RN_E_FORMAT, "one more than the three channels");
        d->mean[d->nmean++] = t->nodes[i].real;
        if (!(t->nodes[i].real >= 0 && t->nodes[i].real <= 255))
            return rn_pt_fail(t, i, RN_E_RANGE, "%g; pixels are 0 to 255", t->nodes[i].real);
    }
    if (d->nmean == 2)
        return rn_pt_fail(t, rn_cf_find(t, m, "mean_value"), RN_E_FORMAT,
                          "two values; one, or three (blue, green, red) are possible");
    if (d->nmean && d->mean_file)
        return rn_pt_fail(t, rn_cf_find(t, m, "mean_file"), RN_E_FORMAT, "mean_file and mean_value: give one of them");
    return RN_OK;
}

static int read_transform(rn_prototext *t, rn_caffe_layer *l, int old, rn_caffe_data *d)
{
    int m = param_of(t, l, "transform_param");
    d->scale = 1;
    if (old >= 0)
        RN_TRY(transform(t, old, false, d));
    if (m >= 0)
        RN_TRY(transform(t, m, true, d));
    if (d->colour && d->gray)
        return rn_pt_fail(t, m, RN_E_FORMAT, "force_color and force_gray: give one of them");
    return RN_OK;
}

static int start_data(rn_prototext *t, rn_caffe_layer *l, rn_caffe_data *d)
{
    if (d->given)
        return rn_pt_fail(t, l->node, RN_E_UNSUPPORTED, "a second data layer in this phase (the first in line %d)",
                          d->line);
    if (l->ntop < 1 || l->ntop > 2 || l->nbottom)
        return rn_pt_fail(t, l->node, RN_E_FORMAT, "a data layer has two `top`, images and labels, and no `bottom`");
    *d = (rn_caffe_data){.given = true, .line = t->nodes[l->node].line, .scale = 1};
    return RN_OK;
}

static int read_data(rn_prototext *t, rn_caffe_layer *l, enum rn_caffe_phase phase, rn_caffe_data *d)
{
    int m = param_of(t, l, "data_param");
    (void)phase;
    RN_TRY(start_data(t, l, d));
    if (m < 0)
        return rn_pt_fail(t, l->node, RN_E_FORMAT, "data_param is missing");
    RN_TRY(read_transform(t, l, m, d));
    d->source = rn_cf_text(t, m, "source");
    d->batch = (int)rn_cf_int(t, m, "batch_size", 0);
    d->colour |= rn_cf_bool(t, m, "force_encoded_color", false);
    RN_TRY(in_range(t, m, l->node, "batch_size", d->batch, 1, 65536));
    if (rn_cf_int(t, m, "backend", 0) != 1)
        return rn_pt_fail(t, at(t, m, l->node, "backend"), RN_E_UNSUPPORTED,
                          "%s: LevelDB is not read; pack the images with pack-lmdb and say `backend: LMDB`",
                          rn_cf_has(t, m, "backend") ? "not supported" : "`backend` is missing, which means LEVELDB");
    return RN_OK;
}

static int read_image_data(rn_prototext *t, rn_caffe_layer *l, enum rn_caffe_phase phase, rn_caffe_data *d)
{
    int m = param_of(t, l, "image_data_param");
    (void)phase;
    RN_TRY(start_data(t, l, d));
    if (m < 0)
        return rn_pt_fail(t, l->node, RN_E_FORMAT, "image_data_param is missing");
    RN_TRY(read_transform(t, l, m, d));
    rn_cf_text(t, m, "source"); /* the packed set says where the images are */
    rn_cf_text(t, m, "root_folder");
    rn_cf_bool(t, m, "shuffle", false); /* ours always is, in training */
    d->list = true;
    d->batch = (int)rn_cf_int(t, m, "batch_size", 1);
    d->gray |= !rn_cf_bool(t, m, "is_color", true);
    d->colour = !d->gray;
    for (int i = 0; i < 2; i++) {
        const char *name = i ? "new_width" : "new_height";
        RN_TRY(only(t, m, name, 0, 0, "resize when packing: pack-lmdb --resize exact:WxH"));
    }
    return in_range(t, m, l->node, "batch_size", d->batch, 1, 65536);
}

/* ---- layers with parameters ---- */

static int read_conv(rn_prototext *t, rn_caffe_layer *l, enum rn_caffe_phase phase, rn_caffe_data *d)
{
    int m = param_of(t, l, "convolution_param");
    (void)d, (void)phase;
    RN_TRY(blob_counts(t, l, 1, 1, 1));
    l->outputs = (int)rn_cf_int(t, m, "num_output", 0);
    l->group = (int)rn_cf_int(t, m, "group", 1);
    l->bias_term = rn_cf_bool(t, m, "bias_term", true);
    RN_TRY(in_range(t, m, l->node, "num_output", l->outputs, 1, 1 << 20));
    RN_TRY(in_range(t, m, l->node, "group", l->group, 1, l->outputs));
    RN_TRY(window(t, m, l->node, &l->window));
    for (int i = rn_cf_find(t, m, "dilation"); i >= 0; i = rn_cf_next(t, i))
        if (t->nodes[i].num != 1)
            return rn_pt_fail(t, i, RN_E_UNSUPPORTED, "not supported (only 1 is)");
    RN_TRY(only(t, m, "axis", 1, 1, "only 1, the channels, is"));
    RN_TRY(filler(t, m, "weight_filler", 0, &l->weight));
    RN_TRY(filler(t, m, "bias_filler", 0, &l->bias));
    return multipliers(t, l, l->bias_term ? 2 : 1);
}

static int read_linear(rn_prototext *t, rn_caffe_layer *l, enum rn_caffe_phase phase, rn_caffe_data *d)
{
    int m = param_of(t, l, "inner_product_param");
    (void)d, (void)phase;
    RN_TRY(blob_counts(t, l, 1, 1, 1));
    l->outputs = (int)rn_cf_int(t, m, "num_output", 0);
    l->bias_term = rn_cf_bool(t, m, "bias_term", true);
    RN_TRY(in_range(t, m, l->node, "num_output", l->outputs, 1, 1 << 24));
    RN_TRY(only(t, m, "axis", 1, 1, "only 1, everything but the batch, is"));
    RN_TRY(only(t, m, "transpose", 0, 0, "weights are outputs by inputs"));
    RN_TRY(filler(t, m, "weight_filler", 0, &l->weight));
    RN_TRY(filler(t, m, "bias_filler", 0, &l->bias));
    return multipliers(t, l, l->bias_term ? 2 : 1);
}

/* Caffe's default for use_global_stats is true in TEST alone, which is what is done here.
 * Caffe's three blobs are statistics: it wants their lr_mult to be 0, and passes over all three as a set, which its older
 * versions demanded. */
static int read_batch_norm(rn_prototext *t, rn_caffe_layer *l, enum rn_caffe_phase phase, rn_caffe_data *d)
{
    int m = param_of(t, l, "batch_norm_param"), n = rn_cf_count(t, l->node, "param");
    (void)d;
    RN_TRY(blob_counts(t, l, 1, 1, 1));
    if (rn_cf_bool(t, m, "use_global_stats", phase == RN_CAFFE_TEST) != (phase == RN_CAFFE_TEST))
        return rn_pt_fail(t, rn_cf_find(t, m, "use_global_stats"), RN_E_UNSUPPORTED,
                          phase == RN_CAFFE_TEST
                              ? "not supported in phase TEST (it would be judged by its batch; leave it out)"
                              : "not supported in phase TRAIN (leave it out)");
    l->fraction = rn_cf_real(t, m, "moving_average_fraction", 0.999);
    l->eps = rn_cf_real(t, m, "eps", 1e-5);
    if (!(l->fraction >= 0 && l->fraction < 1))
        return rn_pt_fail(t, at(t, m, l->node, "moving_average_fraction"), RN_E_RANGE,
                          "%g; it must be at least 0 and below 1", l->fraction);
    if (!(l->eps > 0 && l->eps <= 1))
        return rn_pt_fail(t, at(t, m, l->node, "eps"), RN_E_RANGE, "%g; it must be above 0 and at most 1", l->eps);
    for (int i = rn_cf_find(t, l->node, "param"); i >= 0; i = rn_cf_next(t, i)) {
        double lr = rn_cf_real(t, i, "lr_mult", 1);
        rn_cf_real(t, i, "decay_mult", 1);
        if (n != 3 && lr > 0)
            return rn_pt_fail(t, i, RN_E_FORMAT, "BatchNorm's own parameters are statistics: lr_mult must be 0");
    }
    return RN_OK;
}

/* Scale by a second bottom: a factor for each image and channel. */
static int read_gate(rn_prototext *t, rn_caffe_layer *l, int m)
{
    l->kind = RN_CAFFE_GATE;
    RN_TRY(only(t, m, "bias_term", 0, 0, "a Scale by a second bottom has no bias here"));
    if (rn_cf_int(t, m, "axis", 1) != 0)
        return rn_pt_fail(t, at(t, m, l->node, "axis"), RN_E_UNSUPPORTED,
                          "by a second bottom Scale is supported with axis: 0, a factor for each image and channel");
    return blob_counts(t, l, 2, 1, 1);
}

/* SENet's own layer: bottoms are factors, values, and what is added. */
static int read_axpy(rn_prototext *t, rn_caffe_layer *l, enum rn_caffe_phase phase, rn_caffe_data *d)
{
    (void)phase, (void)d;
    RN_TRY(blob_counts(t, l, 3, 1, 1));
    const char *factors = l->bottom[0];
    l->bottom[0] = l->bottom[1];
    l->bottom[1] = factors;
    return RN_OK;
}

static int read_sigmoid(rn_prototext *t, rn_caffe_layer *l, enum rn_caffe_phase phase, rn_caffe_data *d)
{
    (void)phase, (void)d;
    return blob_counts(t, l, 1, 1, 1);
}

static int read_scale(rn_prototext *t, rn_caffe_layer *l, enum rn_caffe_phase phase, rn_caffe_data *d)
{
    int m = param_of(t, l, "scale_param");
    (void)d, (void)phase;
    if (l->nbottom == 2)
        return read_gate(t, l, m);
    RN_TRY(blob_counts(t, l, 1, 1, 1));
    l->bias_term = rn_cf_bool(t, m, "bias_term", false);
    RN_TRY(only(t, m, "axis", 1, 1, "only 1, the channels, is"));
    RN_TRY(only(t, m, "num_axes", 1, 1, "only 1, the channels, is"));
    RN_TRY(filler(t, m, "filler", 1, &l->weight));
    RN_TRY(filler(t, m, "bias_filler", 0, &l->bias));
    return multipliers(t, l, l->bias_term ? 2 : 1);
}

/* ---- layers without ---- */

static int read_relu(rn_prototext *t, rn_caffe_layer *l, enum rn_caffe_phase phase, rn_caffe_data *d)
{
    int m = param_of(t, l, "relu_param");
    (void)d, (void)phase;
    double slope = rn_cf_real(t, m, "negative_slope", 0);
    if (!(slope >= 0 && slope <= 0))
        return rn_pt_fail(t, rn_cf_find(t, m, "negative_slope"), RN_E_UNSUPPORTED, "not supported (only 0 is)");
    return blob_counts(t, l, 1, 1, 1);
}

static int read_pool(rn_prototext *t, rn_caffe_layer *l, enum rn_caffe_phase phase, rn_caffe_data *d)
{
    int m = param_of(t, l, "pooling_param");
    (void)d, (void)phase;
    RN_TRY(blob_counts(t, l, 1, 1, 1));
    int64_t method = rn_cf_int(t, m, "pool", 0);
    if (method > 1)
        return rn_pt_fail(t, rn_cf_find(t, m, "pool"), RN_E_UNSUPPORTED, "not supported (MAX and AVE are)");
    l->max = method == 0;
    l->global = rn_cf_bool(t, m, "global_pooling", false);
    l->floor = rn_cf_int(t, m, "round_mode", 0) == 1;
    if (!l->global)
        return window(t, m, l->node, &l->window);
    static const char *const no[] = {"kernel_size", "kernel_h", "kernel_w"};
    for (int i = 0; i < 3; i++)
        if (rn_cf_has(t, m, no[i]))
            return rn_pt_fail(t, rn_cf_find(t, m, no[i]), RN_E_FORMAT,
                              "global_pooling takes the whole image: leave it out");
    int s[2], p[2];
    RN_TRY(pair(t, m, l->node, "stride", "stride_h", "stride_w", 1, 1, 1, s));
    return pair(t, m, l->node, "pad", "pad_h", "pad_w", 0, 0, 0, p);
}

static int read_lrn(rn_prototext *t, rn_caffe_layer *l, enum rn_caffe_phase phase, rn_caffe_data *d)
{
    int m = param_of(t, l, "lrn_param");
    (void)d, (void)phase;
    l->size = (int)rn_cf_int(t, m, "local_size", 5);
    l->alpha = rn_cf_real(t, m, "alpha", 1);
    l->beta = rn_cf_real(t, m, "beta", 0.75);
    l->k = rn_cf_real(t, m, "k", 1);
    RN_TRY(only(t, m, "norm_region", 0, 0, "only ACROSS_CHANNELS is"));
    if (l->size < 1 || l->size > 255 || l->size % 2 == 0)
        return rn_pt_fail(t, at(t, m, l->node, "local_size"), RN_E_RANGE, "%d; it must be odd, 1 to 255", l->size);
    if (!(l->alpha >= 0 && l->alpha <= 1e6) || !(l->beta >= 0 && l->beta <= 100) || !(l->k > 0 && l->k <= 1e6))
        return rn_pt_fail(t, m, RN_E_RANGE, "alpha %g, beta %g, k %g: alpha and beta must be at least 0, k above 0",
                          l->alpha, l->beta, l->k);
    return blob_counts(t, l, 1, 1, 1);
}

static int read_dropout(rn_prototext *t, rn_caffe_layer *l, enum rn_caffe_phase phase, rn_caffe_data *d)
{
    int m = param_of(t, l, "dropout_param");
    (void)d, (void)phase;
    l->ratio = rn_cf_real(t, m, "dropout_ratio", 0.5);
    if (!(l->ratio >= 0 && l->ratio < 1))
        return rn_pt_fail(t, at(t, m, l->node, "dropout_ratio"), RN_E_RANGE, "%g; it must be at least 0 and below 1",
                          l->ratio);
    return blob_counts(t, l, 1, 1, 1);
}

static int read_eltwise(rn_prototext *t, rn_caffe_layer *l, enum rn_caffe_phase phase, rn_caffe_data *d)
{
    static const enum rn_eltwise_kind ops[] = {RN_ELTWISE_PRODUCT, RN_ELTWISE_SUM, RN_ELTWISE_MAX};
    int m = param_of(t, l, "eltwise_param"), n = 0;
    (void)d, (void)phase;
    if (l->nbottom < 2)
        return rn_pt_fail(t, l->node, RN_E_FORMAT, "%d `bottom`; at least 2 are wanted", l->nbottom);
    l->op = ops[rn_cf_int(t, m, "operation", 1)];
    for (int i = 0; i < l->nbottom; i++)
        l->coeff[i] = 1;
    for (int i = rn_cf_find(t, m, "coeff"); i >= 0; i = rn_cf_next(t, i), n++) {
        if (l->op != RN_ELTWISE_SUM || n == l->nbottom || !(fabs(t->nodes[i].real) <= 1e6))
            return rn_pt_fail(t, i, RN_E_FORMAT,
                              l->op != RN_ELTWISE_SUM ? "only SUM takes it"
                                                      : "one for each `bottom` is wanted, -1e6 to 1e6");
        l->coeff[n] = t->nodes[i].real;
    }
    if (n && n != l->nbottom)
        return rn_pt_fail(t, m, RN_E_FORMAT, "%d `coeff` for %d `bottom`", n, l->nbottom);
    return blob_counts(t, l, l->nbottom, 1, 1);
}

static int read_concat(rn_prototext *t, rn_caffe_layer *l, enum rn_caffe_phase phase, rn_caffe_data *d)
{
    int m = param_of(t, l, "concat_param");
    (void)d, (void)phase;
    RN_TRY(only(t, m, "axis", 1, 1, "only 1, the channels, is"));
    RN_TRY(only(t, m, "concat_dim", 1, 1, "only 1, the channels, is"));
    if (l->nbottom < 1)
        return rn_pt_fail(t, l->node, RN_E_FORMAT, "no `bottom`");
    return blob_counts(t, l, l->nbottom, 1, 1);
}

static int read_flatten(rn_prototext *t, rn_caffe_layer *l, enum rn_caffe_phase phase, rn_caffe_data *d)
{
    int m = param_of(t, l, "flatten_param");
    (void)d, (void)phase;
    RN_TRY(only(t, m, "axis", 1, 1, "only 1 is"));
    RN_TRY(only(t, m, "end_axis", -1, -1, "only -1, the last, is"));
    return blob_counts(t, l, 1, 1, 1);
}

static int read_softmax(rn_prototext *t, rn_caffe_layer *l, enum rn_caffe_phase phase, rn_caffe_data *d)
{
    (void)d, (void)phase;
    RN_TRY(only(t, param_of(t, l, "softmax_param"), "axis", 1, 1, "only 1, the classes, is"));
    return blob_counts(t, l, 1, 1, 1);
}

static int read_loss(rn_prototext *t, rn_caffe_layer *l, enum rn_caffe_phase phase, rn_caffe_data *d)
{
    int m = param_of(t, l, "loss_param"), i;
    (void)d, (void)phase;
    RN_TRY(only(t, param_of(t, l, "softmax_param"), "axis", 1, 1, "only 1, the classes, is"));
    if (rn_cf_has(t, m, "ignore_label"))
        return rn_pt_fail(t, rn_cf_find(t, m, "ignore_label"), RN_E_UNSUPPORTED, "not supported (every image counts)");
    rn_cf_bool(t, m, "normalize", true); /* both divide by the images of a batch where no label is ignored */
    if (rn_cf_int(t, m, "normalization", 1) == 3)
        return rn_pt_fail(t, rn_cf_find(t, m, "normalization"), RN_E_UNSUPPORTED,
                          "not supported (the loss is the mean over the batch, as FULL, VALID and BATCH_SIZE have it)");
    for (i = rn_cf_find(t, l->node, "loss_weight"); i >= 0; i = rn_cf_next(t, i))
        if (!(t->nodes[i].real >= 1 && t->nodes[i].real <= 1))
            return rn_pt_fail(t, i, RN_E_UNSUPPORTED,
                              "not supported (one loss of weight 1 is; auxiliary ones are not)");
    return blob_counts(t, l, 2, 0, 1);
}

static int read_accuracy(rn_prototext *t, rn_caffe_layer *l, enum rn_caffe_phase phase, rn_caffe_data *d)
{
    int m = param_of(t, l, "accuracy_param");
    (void)d, (void)phase;
    int64_t k = rn_cf_int(t, m, "top_k", 1);
    if (k != 1 && k != 5)
        return rn_pt_fail(t, rn_cf_find(t, m, "top_k"), RN_E_UNSUPPORTED,
                          "not supported (1 and 5 are, and always told)");
    if (rn_cf_has(t, m, "ignore_label"))
        return rn_pt_fail(t, rn_cf_find(t, m, "ignore_label"), RN_E_UNSUPPORTED, "not supported (every image counts)");
    RN_TRY(only(t, m, "axis", 1, 1, "only 1, the classes, is"));
    return blob_counts(t, l, 2, 0, 1);
}

static int read_any(rn_prototext *t, rn_caffe_layer *l, enum rn_caffe_phase phase, rn_caffe_data *d)
{
    (void)t, (void)l, (void)d, (void)phase;
    return RN_OK;
}

/* ---- the table ---- */

static const struct {
    const char *type, *v1;
    enum rn_caffe_kind kind;
    int (*read)(rn_prototext *t, rn_caffe_layer *l, enum rn_caffe_phase phase, rn_caffe_data *d);
} types[] = {
    {"Data", "DATA", RN_CAFFE_DATA, read_data},
    {"ImageData", "IMAGE_DATA", RN_CAFFE_DATA, read_image_data},
    {"Convolution", "CONVOLUTION", RN_CAFFE_CONV, read_conv},
    {"BatchNorm", NULL, RN_CAFFE_BATCH_NORM, read_batch_norm},
    {"Scale", NULL, RN_CAFFE_SCALE, read_scale},
    {"Axpy", NULL, RN_CAFFE_GATE, read_axpy},
    {"ReLU", "RELU", RN_CAFFE_RELU, read_relu},
    {"Sigmoid", "SIGMOID", RN_CAFFE_SIGMOID, read_sigmoid},
    {"Pooling", "POOLING", RN_CAFFE_POOL, read_pool},
    {"InnerProduct", "INNER_PRODUCT", RN_CAFFE_LINEAR, read_linear},
    {"LRN", "LRN", RN_CAFFE_LRN, read_lrn},
    {"Dropout", "DROPOUT", RN_CAFFE_DROPOUT, read_dropout},
    {"Eltwise", "ELTWISE", RN_CAFFE_ELTWISE, read_eltwise},
    {"Concat", "CONCAT", RN_CAFFE_CONCAT, read_concat},
    {"Flatten", "FLATTEN", RN_CAFFE_FLATTEN, read_flatten},
    {"Softmax", "SOFTMAX", RN_CAFFE_SOFTMAX, read_softmax},
    {"SoftmaxWithLoss", "SOFTMAX_LOSS", RN_CAFFE_LOSS, read_loss},
    {"Accuracy", "ACCURACY", RN_CAFFE_ACCURACY, read_accuracy},
    {"Silence", "SILENCE", RN_CAFFE_SILENCE, read_any},
    {"Split", "SPLIT", RN_CAFFE_SPLIT, read_any},
};
enum { NTYPES = sizeof types / sizeof *types };

static int unknown_type(const rn_prototext *t, int node, const char *type)
{
    char known[400] = "";
    if (strcmp(type, "Input") == 0 || strcmp(type, "DummyData") == 0 || strcmp(type, "MemoryData") == 0)
        return rn_pt_fail(t, node, RN_E_UNSUPPORTED,
                          "\"%s\" brings no images with labels: give the net for training, with Data layers", type);
    for (int i = 0; i < NTYPES; i++) {
        size_t n = strlen(known);
        snprintf(known + n, sizeof known - n, "%s%s", i ? ", " : "", types[i].type);
    }
    return rn_pt_fail(t, node, RN_E_UNSUPPORTED, "a layer of type \"%.60s\" is not supported; these are: %s", type,
                      known);
}

static int read_names(rn_prototext *t, int layer, const char *field, const char **out, int *n)
{
    *n = 0;
    for (int i = rn_cf_find(t, layer, field); i >= 0; i = rn_cf_next(t, i)) {
        if (*n == RN_CAFFE_MAX_BLOBS)
            return rn_pt_fail(t, i, RN_E_RANGE, "more than %d", (int)RN_CAFFE_MAX_BLOBS);
        out[(*n)++] = t->nodes[i].text;
    }
    return RN_OK;
}

/* false keeps gradients from a bottom. Labels have none. */
static int check_propagation(rn_prototext *t, const rn_caffe_layer *l)
{
    int n = 0;
    for (int i = rn_cf_find(t, l->node, "propagate_down"); i >= 0; i = rn_cf_next(t, i), n++)
        if (!t->nodes[i].num && !(n == 1 && (l->kind == RN_CAFFE_LOSS || l->kind == RN_CAFFE_ACCURACY)))
            return rn_pt_fail(t, i, RN_E_UNSUPPORTED,
                              "not supported (gradients go everywhere; freeze weights by lr_mult: 0)");
    return RN_OK;
}

int rn_caffe_read_layer(rn_prototext *t, int node, enum rn_caffe_phase phase, rn_caffe_layer *l, rn_caffe_side *side)
{
    int type = rn_cf_find(t, node, "type"), i = 0;
    bool v1 = strcmp(t->nodes[node].name, "layers") == 0;
    *l = (rn_caffe_layer){.node = node, .name = rn_cf_text(t, node, "name")};
    if (v1 && rn_cf_has(t, node, "layer"))
        return rn_pt_fail(t, node, RN_E_UNSUPPORTED,
                          "this text is of Caffe's first format: run Caffe's upgrade_net_proto_text on it");
    if (type < 0)
        return rn_pt_fail(t, node, RN_E_FORMAT, "`type` is missing");
    if (!l->name || !*l->name)
        return rn_pt_fail(t, node, RN_E_FORMAT, "`name` is missing");
    const char *word = t->nodes[type].text;
    while (i < NTYPES && (v1 ? !types[i].v1 || strcmp(word, types[i].v1) != 0 : strcmp(word, types[i].type) != 0))
        i++;
    if (i == NTYPES)
        return unknown_type(t, type, word);
    l->kind = types[i].kind;
    RN_TRY(read_names(t, node, "bottom", l->bottom, &l->nbottom));
    RN_TRY(read_names(t, node, "top", l->top, &l->ntop));
    RN_TRY(check_propagation(t, l));
    return types[i].read(t, l, phase, &side->data);
}
