/* SPDX-License-Identifier: MIT */
#include "nn/model/rn_model.h"

#include <string.h>

#include "base/rn_error.h"

static const struct {
    const char *name;
    rn_resnet_shape shape;
} models[] = {
    {"resnet18", {{2, 2, 2, 2}, false}},
    {"resnet34", {{3, 4, 6, 3}, false}},
    {"resnet50", {{3, 4, 6, 3}, true}},
};

const char *const *rn_model_names(void)
{
    static const char *const names[] = {"resnet18", "resnet34", "resnet50", NULL};
    return names;
}

static int in_range(const char *what, int value, int lo, int hi)
{
    if (value >= lo && value <= hi)
        return RN_OK;
    return rn_fail(RN_E_RANGE, "model: %s is %d; it must be %d..%d", what, value, lo, hi);
}

static int check_spec(const rn_model_spec *s, int batch)
{
    RN_TRY(in_range("batch", batch, 1, 1 << 20));
    RN_TRY(in_range("classes", s->classes, 2, 1 << 20));
    RN_TRY(in_range("height", s->height, 1, 1 << 14));
    RN_TRY(in_range("width in pixels", s->width_px ? s->width_px : s->height, 1, 1 << 14));
    if (s->channels != 1 && s->channels != 3)
        return rn_fail(RN_E_RANGE, "model: %d input channels; 1 and 3 are supported", s->channels);
    if (s->stem != RN_STEM_IMAGENET && s->stem != RN_STEM_CIFAR)
        return rn_fail(RN_E_RANGE, "model: stem %d is not known", (int)s->stem);
    if (!(s->width > 0 && s->width <= 16))
        return rn_fail(RN_E_RANGE, "model: width multiplier %g; it must be above 0 and at most 16", s->width);
    return RN_OK;
}

int rn_model_build(const rn_model_spec *spec, int batch, rn_graph *g)
{
    const char *arch = spec->arch ? spec->arch : "";
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        if (strcmp(models[i].name, arch) != 0)
            continue;
        RN_TRY(check_spec(spec, batch));
        rn_resnet_build(g, spec, &models[i].shape, batch);
        return rn_graph_finish(g);
    }
    return rn_fail(RN_E_USAGE, "unknown architecture '%s'; known: resnet18, resnet34, resnet50", arch);
}
