/* SPDX-License-Identifier: MIT */
/*
 * A model from a file's tensors: a few of them say which family and what sizes it could be; then that graph is built (a
 * graph takes no memory for weights) and every name and shape compared.
 */
#include <stdio.h>
#include <string.h>

#include "base/rn_error.h"
#include "nn/graph/rn_param.h"
#include "nn/model/rn_model.h"
#include "run/save/rn_weightfile.h"

/* Size `i` of a tensor of that many dimensions; 0 where there is none such. */
static int64_t dim_of(const rn_st_file *f, const char *name, int nd, int i)
{
    const rn_st_tensor *t = rn_st_find(f, name);
    return t && t->nd == nd ? t->dim[i] : 0;
}

/* ---- is it that model? ---- */

static bool is_counter(const char *name)
{
    static const char tail[] = ".num_batches_tracked";
    size_t n = strlen(name);
    return n >= sizeof tail && strcmp(name + n - (sizeof tail - 1), tail) == 0;
}

/* Sizes in [1, 2^20], or the spec is none. */
static bool fits_int(int64_t v)
{
    return v >= 1 && v <= 1 << 20;
}

/* The first tensor that differs from the model's goes into why. */
static bool same_tensors(const rn_st_file *f, const rn_graph *g, char *why, size_t cap)
{
    int stored = 0;
    for (int i = 0; i < rn_st_count(f); i++)
        stored += !is_counter(rn_st_at(f, i)->name);
    for (int i = 0; i < g->nparams; i++) {
        const rn_st_tensor *t = rn_st_find(f, g->params[i].name);
        int64_t dim[4];
        int nd = rn_param_file_dims(&g->params[i], dim);
        if (!t || t->nd != nd || memcmp(t->dim, dim, (size_t)nd * sizeof *dim) != 0) {
            snprintf(why, cap, "%s %s", t ? "another shape of" : "no", g->params[i].name);
            return false;
        }
    }
    if (stored != g->nparams)
        snprintf(why, cap, "%d more tensors", stored - g->nparams);
    return stored == g->nparams;
}

/* 1: the file is of that model; 0: it is not; or a failure. */
static int is_model(const rn_st_file *f, const rn_model_spec *m, int pixels, char *why, size_t cap)
{
    rn_graph g = {0};
    rn_model_spec s = *m;
    s.height = pixels;
    s.width_px = 0;
    int rc = rn_model_build(&s, 1, &g);
    if (rc == RN_OK)
        rc = same_tensors(f, &g, why, cap);
    else if (rc != RN_E_NOMEM)
        rc = 0;
    rn_graph_free(&g);
    return rc;
}

/* ---- residual nets ---- */

static int blocks_in(const rn_st_file *f, int layer)
{
    char name[64];
    int n = 0;
    do
        snprintf(name, sizeof name, "layer%d.%d.conv1.weight", layer, n);
    while (rn_st_find(f, name) && n++ < 1000);
    return n;
}

static const char *resnet_of(const rn_st_file *f, const int blocks[4])
{
    static const struct {
        const char *arch;
        bool bottleneck;
        int blocks[4];
    } known[] = {{"resnet18", false, {2, 2, 2, 2}},
                 {"resnet34", false, {3, 4, 6, 3}},
                 {"resnet50", true, {3, 4, 6, 3}},
                 {"resnet101", true, {3, 4, 23, 3}},
                 {"resnet152", true, {3, 8, 36, 3}}};
    bool bottleneck = rn_st_find(f, "layer1.0.conv3.weight") != NULL;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].bottleneck == bottleneck && memcmp(known[i].blocks, blocks, sizeof known[i].blocks) == 0)
            return known[i].arch;
    return NULL;
}

/* The reduction of the widest block; how the narrower ones were rounded, is_model finds out. */
static int reduction(const rn_st_file *f)
{
    int64_t squeezed = dim_of(f, "layer4.0.se.fc1.weight", 4, 0), channels = dim_of(f, "layer4.0.se.fc1.weight", 4, 1);
    return squeezed > 0 && channels / squeezed <= 1024 ? (int)(channels / squeezed) : 0;
}

static int guess_resnet(const rn_st_file *f, rn_model_spec *m, char *why, size_t cap)
{
    const int blocks[4] = {blocks_in(f, 1), blocks_in(f, 2), blocks_in(f, 3), blocks_in(f, 4)};
    bool deep = rn_st_find(f, "conv1.0.weight") != NULL, pooled = dim_of(f, "layer2.0.downsample.1.weight", 4, 0) > 0;
    const char *first = deep ? "conv1.0.weight" : "conv1.weight";
    m->arch = resnet_of(f, blocks);
    snprintf(why, cap, "blocks %d, %d, %d, %d", blocks[0], blocks[1], blocks[2], blocks[3]);
    if (!m->arch || !fits_int(dim_of(f, first, 4, 1)) || !fits_int(dim_of(f, "fc.weight", 2, 0)))
        return 0;
    m->variant = pooled ? RN_VARIANT_D : deep ? RN_VARIANT_C : RN_VARIANT_NONE;
    m->stem = !deep && dim_of(f, first, 4, 2) == 3 ? RN_STEM_CIFAR : RN_STEM_IMAGENET;
    m->width = (double)dim_of(f, "layer4.0.bn1.weight", 1, 0) / 512; /* the widest: channels are rounded */
    m->channels = (int)dim_of(f, first, 4, 1);
    m->classes = (int)dim_of(f, "fc.weight", 2, 0);
    m->se = reduction(f);
    static const int roundings[] = {1, 8, 2, 4, 16};
    char other[160];
    int rc = 0;
    for (size_t i = 0; i < sizeof roundings / sizeof *roundings && rc == 0 && (i == 0 || m->se); i++) {
        m->se_round = roundings[i];
        rc = is_model(f, m, 64, i ? other : why, i ? sizeof other : cap); /* the first guess's difference is told */
    }
    return rc;
}

/* ---- plain nets ---- */

/* `input`: one whose maps the first linear layer of that many inputs fits, of the sizes an image usually has. */
static int try_sizes(const rn_st_file *f, const rn_model_spec *m, char *why, size_t cap)
{
    char other[160];
    static const int pixels[] = {227, 224, 64, 32, 67, 99, 128, 160, 192, 256, 288, 320};
    int rc = 0;
    for (size_t i = 0; i < sizeof pixels / sizeof *pixels && rc == 0; i++)
        rc = is_model(f, m, pixels[i], i ? other : why, i ? sizeof other : cap);
    return rc;
}

static int guess_plain(const rn_st_file *f, rn_model_spec *m, char *why, size_t cap)
{
    static const struct {
        const char *arch, *first, *last, *widest;
        int channels; /* of `widest` at width 1 */
    } known[] = {{"alexnet", "features.0.weight", "classifier.6.weight", "classifier.4.bias", 4096},
                 {"caffenet", "conv1.weight", "fc8.weight", "fc7.bias", 4096},
                 {"ghim5", "conv1.weight", "fc.weight", "conv5.bias", 256}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        int64_t oc = dim_of(f, known[i].widest, 1, 0), ic = dim_of(f, known[i].first, 4, 1),
                classes = dim_of(f, known[i].last, 2, 0);
        if (!fits_int(oc) || !fits_int(ic) || !fits_int(classes))
            continue;
        *m = (rn_model_spec){.arch = known[i].arch,
                             .width = (double)oc / known[i].channels,
                             .channels = (int)ic,
                             .classes = (int)classes};
        return try_sizes(f, m, why, cap);
    }
    return 0;
}

int rn_weightfile_guess(const rn_st_file *f, rn_model_spec *out)
{
    char why[160] = "";
    rn_model_spec m = {0};
    int rc = 0;
    if (rn_st_find(f, "layer1.0.conv1.weight"))
        rc = guess_resnet(f, &m, why, sizeof why);
    else
        rc = guess_plain(f, &m, why, sizeof why);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return rn_fail(RN_E_MISMATCH, "%s: its tensors are not those of a model that is known here%s%s%s",
                       rn_st_path(f), *why ? " (" : "", why, *why ? ")" : "");
    *out = m;
    return RN_OK;
}
