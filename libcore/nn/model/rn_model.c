/* SPDX-License-Identifier: MIT */
#include "nn/model/rn_model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/rn_error.h"
#include "nn/caffe/rn_caffe_net.h"

enum family { RESNET, ALEXNET, CAFFENET, BVLC_ALEXNET, GHIM5 };

static const struct {
    const char *name;
    enum family family;
    rn_resnet_shape shape; /* RESNET */
} models[] = {
    {"resnet18", RESNET, {{2, 2, 2, 2}, false}},
    {"resnet34", RESNET, {{3, 4, 6, 3}, false}},
    {"resnet50", RESNET, {{3, 4, 6, 3}, true}},
    {"resnet101", RESNET, {{3, 4, 23, 3}, true}},
    {"resnet152", RESNET, {{3, 8, 36, 3}, true}},
    {"alexnet", ALEXNET, {{0}, false}},
    {"caffenet", CAFFENET, {{0}, false}},
    {"bvlc-alexnet", BVLC_ALEXNET, {{0}, false}},
    {"ghim5", GHIM5, {{0}, false}},
};

const char *const rn_variant_names[] = {"none", "v1", "b", "c", "d", NULL};

const char *const *rn_model_names(void)
{
    static const char *const names[] = {"resnet18", "resnet34",     "resnet50", "resnet101", "resnet152", "alexnet",
                                        "caffenet", "bvlc-alexnet", "ghim5",    "prototxt",  NULL};
    return names;
}

bool rn_model_is_resnet(const char *arch)
{
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        if (strcmp(models[i].name, arch) == 0)
            return models[i].family == RESNET;
    return false;
}

int rn_model_dropout(rn_graph *g, const rn_model_spec *s, int x, const char *name, double usual)
{
    double p = s->dropout < 0 ? usual : s->dropout;
    return p > 0 ? rn_graph_dropout(g, x, name, (float)p) : x;
}

int rn_model_scaled(int channels, double width)
{
    int s = (int)lround(channels * width / 8) * 8;
    return s < 8 ? 8 : s;
}

static int in_range(const char *what, int value, int lo, int hi)
{
    if (value >= lo && value <= hi)
        return RN_OK;
    return rn_fail(RN_E_RANGE, "model: %s is %d; it must be %d..%d", what, value, lo, hi);
}

static int check_sizes(const rn_model_spec *s, int batch)
{
    RN_TRY(in_range("batch", batch, 1, 1 << 20));
    RN_TRY(in_range("classes", s->classes, 2, 1 << 20));
    RN_TRY(in_range("height", s->height, 1, 1 << 14));
    RN_TRY(in_range("width in pixels", s->width_px ? s->width_px : s->height, 1, 1 << 14));
    if (s->channels != 1 && s->channels != 3)
        return rn_fail(RN_E_RANGE, "model: %d input channels; 1 and 3 are supported", s->channels);
    return RN_OK;
}

static int check_spec(const rn_model_spec *s, int batch)
{
    RN_TRY(check_sizes(s, batch));
    if (s->stem != RN_STEM_IMAGENET && s->stem != RN_STEM_CIFAR)
        return rn_fail(RN_E_RANGE, "model: stem %d is not known", (int)s->stem);
    if (!(s->width > 0 && s->width <= 16))
        return rn_fail(RN_E_RANGE, "model: width multiplier %g; it must be above 0 and at most 16", s->width);
    RN_TRY(in_range("variant", (int)s->variant, RN_VARIANT_NONE, RN_VARIANT_D));
    RN_TRY(in_range("reduction of squeeze and excitation", s->se, 0, 1024));
    RN_TRY(in_range("rounding of squeeze and excitation", s->se_round, 0, 1024));
    if (s->variant == RN_VARIANT_C && s->stem == RN_STEM_CIFAR)
        return rn_fail(RN_E_RANGE, "model: variant c is a deep stem, which the stem for small images has no place for; "
                                   "use variant none or d");
    return RN_OK;
}

/* What only residual nets have. */
static int check_plain(const rn_model_spec *s)
{
    if (s->variant != RN_VARIANT_NONE || s->se || s->stem != RN_STEM_IMAGENET || s->zero_gamma)
        return rn_fail(RN_E_RANGE,
                       "model: %s has neither variants nor squeeze and excitation, another stem or zero gammas",
                       s->arch);
    return RN_OK;
}

static int build_known(const rn_model_spec *spec, enum family family, const rn_resnet_shape *shape, int batch,
                       rn_graph *g)
{
    RN_TRY(check_spec(spec, batch));
    if (family != RESNET)
        RN_TRY(check_plain(spec));
    switch (family) {
    case RESNET:
        rn_resnet_build(g, spec, shape, batch);
        break;
    case ALEXNET:
        rn_alexnet_build(g, spec, batch);
        break;
    case CAFFENET:
    case BVLC_ALEXNET:
        rn_caffenet_build(g, spec, family == BVLC_ALEXNET, batch);
        break;
    case GHIM5:
        rn_ghim5_build(g, spec, batch);
        break;
    }
    rn_init_apply(&spec->init, g);
    return rn_graph_finish(g);
}

/* A net in Caffe's words: read, checked and built anew for each phase and batch. */
static int build_prototxt(const rn_model_spec *spec, int batch, rn_graph *g)
{
    rn_caffe_net *n;
    if (!spec->net_text)
        return rn_fail(RN_E_USAGE, "the architecture 'prototxt' wants a net's text (--net FILE)");
    RN_TRY(check_spec(spec, batch));
    RN_TRY(rn_caffe_net_open(spec->net_file ? spec->net_file : RN_CAFFE_NAME, spec->net_text, &n));
    int rc = rn_caffe_net_build(n, spec->train_phase ? RN_CAFFE_TRAIN : RN_CAFFE_TEST, spec, batch, g);
    if (rc == RN_OK)
        rn_init_apply(&spec->init, g);
    rn_caffe_net_close(n);
    return rc;
}

static int build_described(const rn_model_spec *spec, int batch, rn_graph *g)
{
    RN_TRY(check_sizes(spec, batch));
    RN_TRY(spec->build(spec, batch, g));
    rn_init_apply(&spec->init, g);
    RN_TRY(rn_graph_finish(g));
    const rn_tensor *logits = &g->values[g->logits].t;
    if (logits->nd == 2 && logits->dim[1] == spec->classes)
        return RN_OK;
    return rn_fail(RN_E_RANGE, "model: %s ends in %lld scores; the data have %d classes", spec->arch,
                   (long long)(rn_tensor_count(logits) / logits->dim[0]), spec->classes);
}

int rn_model_build(const rn_model_spec *spec, int batch, rn_graph *g)
{
    if (spec->build)
        return build_described(spec, batch, g);
    const char *arch = spec->arch ? spec->arch : "";
    if (strcmp(arch, "prototxt") == 0)
        return build_prototxt(spec, batch, g);
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        if (strcmp(models[i].name, arch) == 0)
            return build_known(spec, models[i].family, &models[i].shape, batch, g);
    char known[256] = "";
    for (const char *const *name = rn_model_names(); *name; name++)
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", *known ? ", " : "", *name);
    return rn_fail(RN_E_USAGE, "unknown architecture '%s'; known: %s", arch, known);
}
