/* SPDX-License-Identifier: MIT */
#include "nn/graph/rn_net.h"

#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "nn/graph/rn_net_impl.h"
#include "nn/model/rn_model.h"

/* ---- opening ---- */

static int check_opts(const rn_model_spec *model, const rn_net_opts *o)
{
    if (o->dtype != RN_F32 && o->dtype != RN_BF16 && o->dtype != RN_F16)
        return rn_fail(RN_E_UNSUPPORTED, "net: activations cannot be %s; use f32, bf16 or f16",
                       rn_dtype_name(o->dtype));
    if (!(o->label_smoothing >= 0 && o->label_smoothing < 1))
        return rn_fail(RN_E_RANGE, "net: label smoothing %g; it must be at least 0 and below 1",
                       (double)o->label_smoothing);
    if (!(o->bn_momentum >= 0 && o->bn_momentum <= 1) || !(o->bn_eps >= 0))
        return rn_fail(RN_E_RANGE, "net: batch norm with momentum %g and eps %g", (double)o->bn_momentum,
                       (double)o->bn_eps);
    for (int i = 0; o->std && i < model->channels && i < RN_MAX_CHANNELS; i++)
        if (!(o->std[i] > 0))
            return rn_fail(RN_E_RANGE, "net: the standard deviation of channel %d is %g; it must be above 0", i,
                           (double)o->std[i]);
    const int64_t h = model->height, w = model->width_px ? model->width_px : h;
    if (o->mean_image && (h > o->mean_h || w > o->mean_w))
        return rn_fail(RN_E_RANGE, "net: images of %lld x %lld pixels are no windows of a mean image of %d x %d",
                       (long long)w, (long long)h, o->mean_w, o->mean_h);
    return RN_OK;
}

/* pixel / 255 normalised is pixel * mul + add. One channel: the mean of ImageNet's three. */
static void set_pixels(rn_net *net, const float *mean, const float *std)
{
    static const float rgb_mean[3] = {0.485f, 0.456f, 0.406f}, rgb_std[3] = {0.229f, 0.224f, 0.225f};
    static const float grey_mean[1] = {0.449f}, grey_std[1] = {0.226f};
    bool grey = net->spec.channels == 1;
    mean = mean ? mean : grey ? grey_mean : rgb_mean;
    std = std ? std : grey ? grey_std : rgb_std;
    /* NOLINTBEGIN(clang-analyzer-core.UndefinedBinaryOperatorResult): 1 or 3 channels, the builder has checked */
    for (int i = 0; i < net->spec.channels; i++) {
        net->pixel_mul[i] = (float)(1.0 / (255.0 * (double)std[i]));
        net->pixel_add[i] = (float)(-(double)mean[i] / (double)std[i]);
    }
    /* NOLINTEND(clang-analyzer-core.UndefinedBinaryOperatorResult) */
}

static int copy_text(const char *s, char **out)
{
    *out = s ? strdup(s) : NULL;
    return s && !*out ? rn_fail(RN_E_NOMEM, "net: out of memory") : RN_OK;
}

/* A single value has no variance to divide by. */
static int check_statistics(const rn_net *net)
{
    for (int i = 0; net->opts.train && i < net->graph.nnodes; i++) {
        const rn_node *n = &net->graph.nodes[i];
        if (n->kind != RN_NODE_BN)
            continue;
        const rn_tensor *t = &net->graph.values[n->in].t;
        if (rn_tensor_count(t) / t->dim[t->nd - 1] * rn_comm_size(rn_net_bn_comm(net)) < 2)
            return rn_fail(RN_E_RANGE,
                           "%s: batch statistics of one value a channel; train with larger batches or images", n->name);
    }
    return RN_OK;
}

int rn_net_same_params(const rn_graph *train, const rn_graph *eval)
{
    for (int i = 0; i < train->nparams || i < eval->nparams; i++) {
        const rn_param *p = i < train->nparams ? &train->params[i] : NULL,
                       *q = i < eval->nparams ? &eval->params[i] : NULL;
        if (!p || !q || strcmp(p->name, q->name) != 0)
            return rn_fail(RN_E_MISMATCH,
                           "parameter %d is %s in training and %s in evaluation: both need the same layers", i + 1,
                           p ? p->name : "not there", q ? q->name : "not there");
        if (memcmp(p->dim, q->dim, sizeof p->dim) != 0)
            return rn_fail(RN_E_MISMATCH, "%s has %lld values in training and %lld in evaluation, or other sides",
                           p->name, (long long)p->count, (long long)q->count);
    }
    return RN_OK;
}

/* `net` has spec, opts and pixel_* set; `owner`: the net whose weights to use, or NULL for new ones. */
static int open_on(rn_net *net, const rn_net *owner)
{
    const float *mean_image = net->opts.mean_image;
    net->opts.mean = net->opts.std = net->opts.mean_image = NULL;
    RN_TRY(copy_text(net->opts.select.pattern, &net->pattern));
    net->opts.select.pattern = net->pattern;
    RN_TRY(copy_text(net->spec.net_text, &net->net_text));
    RN_TRY(copy_text(net->spec.net_file, &net->net_file));
    net->spec.net_text = net->net_text;
    net->spec.net_file = net->net_file;
    net->spec.train_phase = net->opts.train;
    RN_TRY(rn_model_build(&net->spec, net->opts.batch, &net->graph));
    RN_TRY(rn_graph_set_dtype(&net->graph, net->opts.dtype));
    for (const char *const *name = rn_model_names(); *name; name++)
        if (strcmp(*name, net->spec.arch) == 0)
            net->spec.arch = *name; /* the caller's text may go */
    RN_TRY(check_statistics(net));
    if (owner) {
        RN_TRY(rn_net_same_params(&owner->graph, &net->graph));
        owner->weights->refs++;
        net->weights = owner->weights;
    } else {
        RN_TRY(rn_weights_open(net->be, &net->graph, net->opts.train, net->opts.dtype, &net->weights));
        if (mean_image)
            RN_TRY(rn_weights_set_mean_image(net->weights, mean_image,
                                             (size_t)net->opts.mean_h * (size_t)net->opts.mean_w *
                                                 (size_t)net->spec.channels));
    }
    rn_weights_bind(net->weights, &net->graph, net->opts.train);
    RN_TRY(rn_net_lay_out(net));
    return rn_net_open_io(net);
}

static int finish_open(rn_net *net, const rn_net *owner, rn_net **out)
{
    int rc = open_on(net, owner);
    if (rc < 0) {
        rn_net_close(net);
        return rc;
    }
    *out = net;
    return RN_OK;
}

int rn_net_open(rn_backend *be, const rn_model_spec *model, const rn_net_opts *opts, rn_net **out)
{
    RN_TRY(check_opts(model, opts));
    rn_net *net = calloc(1, sizeof *net);
    if (!net)
        return rn_fail(RN_E_NOMEM, "net: out of memory");
    net->be = be;
    net->loss_scale = 1;
    net->spec = *model;
    net->opts = *opts;
    net->opts.bn_momentum = opts->bn_momentum > 0 ? opts->bn_momentum : 0.1f;
    net->opts.bn_eps = opts->bn_eps > 0 ? opts->bn_eps : 1e-5f;
    if (model->channels == 1 || model->channels == 3) /* anything else is refused by the builder */
        set_pixels(net, opts->mean, opts->std);
    return finish_open(net, NULL, out);
}

int rn_net_open_shared(rn_net *owner, int batch, int height, int width_px, rn_net **out)
{
    rn_net *net = calloc(1, sizeof *net);
    if (!net)
        return rn_fail(RN_E_NOMEM, "net: out of memory");
    net->be = owner->be;
    net->loss_scale = 1;
    net->spec = owner->spec;
    if (height > 0) {
        net->spec.height = height;
        net->spec.width_px = width_px;
    }
    net->opts = owner->opts;
    net->opts.batch = batch;
    net->opts.train = false;
    memcpy(net->pixel_mul, owner->pixel_mul, sizeof net->pixel_mul);
    memcpy(net->pixel_add, owner->pixel_add, sizeof net->pixel_add);
    return finish_open(net, owner, out);
}

void rn_net_close(rn_net *net)
{
    if (!net)
        return;
    rn_net_drop_layout(net);
    net->be->free(net->be, net->picks);
    rn_weights_release(net->weights);
    rn_graph_free(&net->graph);
    free(net->pattern);
    free(net->net_text);
    free(net->net_file);
    rn_net_close_io(net);
    free(net);
}

/* ---- parameters ---- */

int rn_net_nparams(const rn_net *net)
{
    return net->graph.nparams;
}

rn_param *rn_net_param(rn_net *net, int i)
{
    return i >= 0 && i < net->graph.nparams ? &net->graph.params[i] : NULL;
}

rn_param *rn_net_find(rn_net *net, const char *name)
{
    for (int i = 0; i < net->graph.nparams; i++)
        if (strcmp(net->graph.params[i].name, name) == 0)
            return &net->graph.params[i];
    return NULL;
}

int64_t rn_net_weights(const rn_net *net)
{
    return rn_graph_weights(&net->graph);
}

void rn_net_set_loss_scale(rn_net *net, float scale)
{
    net->loss_scale = scale;
    net->now.loss_scale = NULL;
}

int64_t rn_net_batches(const rn_net *net)
{
    return net->batches;
}

void rn_net_set_batches(rn_net *net, int64_t batches)
{
    net->batches = batches;
}

int rn_net_params_changed(rn_net *net)
{
    net->weights->version++;
    return rn_net_prepare(net);
}

static int prepare_convs(const rn_net *net)
{
    for (int i = 0; i < net->graph.nnodes; i++) {
        const rn_node *n = &net->graph.nodes[i];
        if (n->kind != RN_NODE_CONV)
            continue;
        const void *wei = rn_net_operand(net, n);
        for (int dir = RN_FWD; dir <= RN_BWD_D; dir++) {
            if (!net->conv[i][dir])
                continue;
            int rc = rn_conv_prepare(net->conv[i][dir], wei, NULL);
            if (rc < 0)
                return rn_fail_prefix(rc, "%s %s", n->name, rn_conv_dir_name(dir));
        }
    }
    return RN_OK;
}

int rn_net_prepare(rn_net *net)
{
    rn_weights *w = net->weights;
    if (net->prepared == w->version)
        return RN_OK;
    if (w->narrowed != w->version) /* it is the copy of other nets, too */
        RN_TRY(rn_weights_narrow(w, &net->graph));
    w->narrowed = w->version;
    RN_TRY(prepare_convs(net));
    net->prepared = w->version;
    return RN_OK;
}

int rn_net_give_params(rn_net *net)
{
    RN_TRY(rn_weights_narrow(net->weights, &net->graph));
    return prepare_convs(net);
}

void rn_net_gave_params(rn_net *net)
{
    net->prepared = net->weights->narrowed = ++net->weights->version;
}

/* ---- what was chosen, what it takes ---- */

int rn_net_nchoices(const rn_net *net)
{
    return net->nchoices;
}

const rn_net_choice *rn_net_choice_at(const rn_net *net, int i)
{
    return i >= 0 && i < net->nchoices ? &net->choices[i] : NULL;
}

int rn_net_nfusions(const rn_net *net)
{
    return net->nfusions;
}

const rn_net_fusion *rn_net_fusion_at(const rn_net *net, int i)
{
    return i >= 0 && i < net->nfusions ? &net->fusions[i] : NULL;
}

void rn_net_memory_use(const rn_net *net, rn_net_memory *out)
{
    *out = net->memory;
    out->params = rn_weights_bytes(net->weights);
}
