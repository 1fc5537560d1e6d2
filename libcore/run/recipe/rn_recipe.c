/* SPDX-License-Identifier: MIT */
/* What the keys mean together. */
#include "run/recipe/rn_recipe.h"

#include <math.h>
#include <string.h>

#include "base/rn_error.h"
#include "run/recipe/rn_recipe_mean.h"

/* ---- lists ---- */

int rn_recipe_reals(const char *what, const char *list, double lo, double hi, int n, float *out)
{
    const char *p = list;
    for (int i = 0; i < n; i++, p += *p == ',') {
        char word[64];
        double v;
        size_t len = strcspn(p, ",");
        if (len >= sizeof word)
            return rn_fail(RN_E_USAGE, "--%s %s: not a list of numbers", what, list);
        memcpy(word, p, len);
        word[len] = 0;
        if (rn_parse_real(word, lo, hi, &v) < 0)
            return rn_fail(RN_E_USAGE, "--%s %s: '%s' is not a number between %g and %g (%d wanted)", what, list, word,
                           lo, hi, n);
        out[i] = (float)v;
        p += len;
    }
    return *p || (n && p > list && p[-1] == ',')
               ? rn_fail(RN_E_USAGE, "--%s %s: more numbers than the %d wanted", what, list, n)
               : RN_OK;
}

int rn_recipe_pixels(const rn_recipe *r, float mean[3], float std[3])
{
    static const float m3[] = {0.485f, 0.456f, 0.406f}, s3[] = {0.229f, 0.224f, 0.225f};
    int n = (int)r->channels;
    for (int i = 0; i < 3; i++) {
        mean[i] = n == 3 ? m3[i] : 0.449f;
        std[i] = n == 3 ? s3[i] : 0.226f;
    }
    if (r->mean)
        RN_TRY(rn_recipe_reals("mean", r->mean, 0, 1, n, mean));
    if (r->std)
        RN_TRY(rn_recipe_reals("std", r->std, 1e-6, 1e6, n, std));
    return RN_OK;
}

int rn_recipe_jitter(const rn_recipe *r, rn_jitter *out)
{
    float range[RN_COLOR_OPS];
    *out = (rn_jitter){{0}};
    if (!r->color_jitter)
        return RN_OK;
    RN_TRY(rn_recipe_reals("color-jitter", r->color_jitter, 0, 100, RN_COLOR_OPS, range));
    if (range[RN_COLOR_HUE] > 0.5f)
        return rn_fail(RN_E_USAGE, "--color-jitter %s: hue goes round at 0.5; give 0 to 0.5", r->color_jitter);
    for (int op = 0; op < RN_COLOR_OPS; op++)
        out->range[op] = (double)range[op];
    return RN_OK;
}

int rn_recipe_model(const rn_recipe *r, int classes, rn_model_spec *out)
{
    *out = (rn_model_spec){.arch = rn_model_names()[r->arch],
                           .net_text = r->net_text,
                           .net_file = r->net,
                           .variant = (enum rn_variant)r->variant,
                           .se = (int)r->se,
                           .se_round = (int)r->se_round,
                           .stem = (enum rn_stem)r->stem,
                           .width = r->width,
                           .classes = classes,
                           .channels = (int)r->channels,
                           .height = (int)r->image_size,
                           .zero_gamma = r->zero_gamma,
                           .dropout = r->dropout};
    return rn_init_parse(r->init, &out->init);
}

int rn_recipe_side(const rn_recipe *r, int64_t epoch, int *side)
{
    float ramp[2];
    *side = (int)r->image_size;
    if (!r->start_size)
        return RN_OK;
    RN_TRY(rn_recipe_reals("ramp-epochs", r->ramp_epochs, 0, 99999, 2, ramp));
    const double from = (double)ramp[0], to = (double)ramp[1], e = (double)epoch;
    if (e <= from || !(to > from))
        *side = (int)(e < to || e <= from ? r->start_size : r->image_size);
    else if (e < to)
        *side = (int)rint(/* halves to the even multiple, as numpy's round */
                          ((double)r->start_size + (double)(r->image_size - r->start_size) * (e - from) / (to - from)) /
                          32) *
                32;
    return RN_OK;
}

/* ---- checks ---- */

static int check_model(const rn_recipe *r)
{
    rn_model_spec m;
    if (r->channels == 2)
        return rn_fail(RN_E_USAGE, "--channels 2: images have 3 channels, or 1 (gray)");
    if (r->variant == RN_VARIANT_C && r->stem == RN_STEM_CIFAR)
        return rn_fail(RN_E_USAGE, "--variant c is a deep stem, which --stem cifar has no place for; give --variant "
                                   "none or d");
    if (r->dropout < 0 && r->dropout > -1)
        return rn_fail(RN_E_USAGE, "--dropout %g: give 0 to 0.99, or -1 for the model's own", r->dropout);
    const char *arch = rn_model_names()[r->arch];
    if (!rn_model_is_resnet(arch) && (r->variant || r->se || r->zero_gamma || r->stem != RN_STEM_IMAGENET))
        return rn_fail(RN_E_USAGE, "--variant, --se, --stem and --zero-gamma belong to the ResNets, not to --arch %s",
                       arch);
    if (r->se_round > 1 && r->se == 0)
        return rn_fail(RN_E_USAGE, "--se-round belongs to --se");
    return rn_recipe_model(r, 2, &m);
}

static int check_augmentation(const rn_recipe *r)
{
    rn_jitter jitter;
    RN_TRY(rn_recipe_jitter(r, &jitter));
    if (r->lighting > 0 && r->channels == 1)
        return rn_fail(RN_E_USAGE, "--lighting shifts red, green and blue: --channels 1 has none; leave it out");
    if (r->cutout / 2 >= r->image_size)
        return rn_fail(RN_E_USAGE, "--cutout %lld hides all of every image of %lld pixels: half of them are usual",
                       (long long)r->cutout, (long long)r->image_size);
    if (r->mixup > 0 && r->batch < 2)
        return rn_fail(RN_E_USAGE, "--mixup mixes images of one batch: give --batch 2 or more");
    return RN_OK;
}

/* Weights that make a no-op of the labels and the teacher both are refused, as are weights without a teacher. */
static int check_distillation(const rn_recipe *r)
{
    rn_recipe d;
    rn_recipe_defaults(&d);
    bool asked = !(r->kd_temperature == d.kd_temperature && r->kd_weight == d.kd_weight && r->kd_hard == d.kd_hard);
    if (!r->teacher)
        return asked ? rn_fail(RN_E_USAGE, "--kd-temperature, --kd-weight and --kd-hard-weight need --teacher FILE")
                     : RN_OK;
    if (!(r->kd_weight > 0))
        return rn_fail(RN_E_USAGE, "--kd-weight 0: the teacher would not be listened to; leave --teacher out");
    if (r->kd_hard < 0 && r->kd_hard > -1)
        return rn_fail(RN_E_USAGE, "--kd-hard-weight %g: give 0 or more, or -1 for 1 - kd-weight", r->kd_hard);
    if (r->kd_hard < 0 && r->kd_weight > 1)
        return rn_fail(RN_E_USAGE, "--kd-weight %g leaves the labels a share of %g: give --kd-hard-weight, too",
                       r->kd_weight, 1 - r->kd_weight);
    return RN_OK;
}

double rn_recipe_hard_weight(const rn_recipe *r)
{
    return !r->teacher ? 1 : r->kd_hard < 0 ? 1 - r->kd_weight : r->kd_hard;
}

/* A prototxt says all of its architecture. */
static int check_prototxt(const rn_recipe *r)
{
    if (strcmp(rn_model_names()[r->arch], "prototxt") != 0)
        return r->net
                   ? rn_fail(RN_E_USAGE, "--net %s describes the model, and --arch %s another: leave one of them out",
                             r->net, rn_model_names()[r->arch])
                   : RN_OK;
    if (!r->net_text)
        return rn_fail(RN_E_USAGE, "--arch prototxt wants the net: --net FILE");
    if (r->stem != RN_STEM_IMAGENET || r->variant != RN_VARIANT_NONE || r->se || r->zero_gamma ||
        !(r->width >= 1 && r->width <= 1))
        return rn_fail(RN_E_USAGE,
                       "--net describes the whole model: leave --stem, --variant, --se, --width and --zero-gamma out");
    return RN_OK;
}

static int check_resizing(const rn_recipe *r)
{
    int side;
    float ramp[2];
    if (!r->start_size)
        return r->ramp_epochs ? rn_fail(RN_E_USAGE, "--ramp-epochs needs --start-size") : RN_OK;
    if (!r->ramp_epochs)
        return rn_fail(RN_E_USAGE, "--start-size %lld needs --ramp-epochs A,B: the epochs between which images grow",
                       (long long)r->start_size);
    RN_TRY(rn_recipe_reals("ramp-epochs", r->ramp_epochs, 0, 99999, 2, ramp));
    if (ramp[1] < ramp[0])
        return rn_fail(RN_E_USAGE, "--ramp-epochs %s: ends before it begins", r->ramp_epochs);
    if (r->start_size < 8 || r->start_size > r->image_size)
        return rn_fail(RN_E_USAGE, "--start-size %lld: 8 to --image-size (%lld) is possible", (long long)r->start_size,
                       (long long)r->image_size);
    return rn_recipe_side(r, 0, &side);
}

int rn_recipe_check(const rn_recipe *r)
{
    float mean[3], std[3];
    RN_TRY(check_augmentation(r));
    RN_TRY(check_resizing(r));
    RN_TRY(check_model(r));
    RN_TRY(check_distillation(r));
    RN_TRY(check_prototxt(r));
    RN_TRY(rn_recipe_check_mean(r));
    if (r->val_resize && r->val_resize < r->image_size)
        return rn_fail(RN_E_USAGE, "--val-resize %lld is smaller than --image-size %lld: give 0 or at least %lld",
                       (long long)r->val_resize, (long long)r->image_size, (long long)r->image_size);
    RN_TRY(rn_recipe_check_optim(r));
    return rn_recipe_pixels(r, mean, std);
}
