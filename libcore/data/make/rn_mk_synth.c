/* SPDX-License-Identifier: MIT */
/* Source: generated pictures. A class fixes base hue, grating angle and pitch, and the form in the middle; an item draws
 * phase, place, size, brightness and noise. No two classes share all three, and none of the three alone tells all classes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_rng.h"
#include "data/image/rn_image.h"
#include "data/make/rn_mk.h"

enum { FORMS = 4, HUES = 7, ANGLES = 5 };

static void hue_colour(double hue, double rgb[3])
{
    for (int c = 0; c < 3; c++)
        rgb[c] = 0.5 + 0.5 * cos(6.283185307179586 * (hue - c / 3.0));
}

static bool form_mask(int form, double x, double y)
{
    switch (form) {
    case 0:
        return x * x + y * y < 1;
    case 1:
        return fabs(x) < 0.85 && fabs(y) < 0.85;
    case 2:
        return fabs(x) + fabs(y) < 1.1;
    default:
        return fabs(x) < 0.35 || fabs(y) < 0.35 ? fabs(x) < 1 && fabs(y) < 1 : false;
    }
}

static int vary_side(rn_rng *r, int side, int vary)
{
    int v = (int)lround(side * rn_rng_range(r, 1 - vary / 100.0, 1 + vary / 100.0));
    return v > 1 ? v : 1;
}

static void paint(rn_rng *r, int label, rn_image *im)
{
    double back[3], fore[3];
    double hue = (label % HUES + 0.3 * (rn_rng_unit(r) - 0.5)) / HUES;
    double angle = (label % ANGLES + 0.2 * (rn_rng_unit(r) - 0.5)) * 3.141592653589793 / ANGLES;
    double pitch = (label / FORMS % 3 + 2) * 3.0, phase = 6.283185307179586 * rn_rng_unit(r);
    double size = rn_rng_range(r, 0.22, 0.34), cx = rn_rng_range(r, 0.35, 0.65), cy = rn_rng_range(r, 0.35, 0.65);
    double light = rn_rng_range(r, 0.75, 1.0), kx = cos(angle) * pitch * 6.283185307179586,
           ky = sin(angle) * pitch * 6.283185307179586;
    hue_colour(hue, back);
    hue_colour(hue + 0.5, fore);
    uint8_t *p = im->px;
    for (int y = 0; y < im->h; y++)
        for (int x = 0; x < im->w; x++) {
            double u = (x + 0.5) / im->w, v = (y + 0.5) / im->h;
            double wave = 0.7 + 0.3 * cos(kx * u + ky * v + phase);
            bool in = form_mask(label % FORMS, (u - cx) / size, (v - cy) / size);
            double noise = 24 * (rn_rng_unit(r) - 0.5);
            for (int c = 0; c < 3; c++) {
                double value = 255 * light * (in ? 0.85 * fore[c] + 0.1 : back[c] * wave) + noise;
                *p++ = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
            }
        }
}

static int synth_jpeg(const rn_mk_source *s, int split, uint32_t i, int quality, rn_buf *out)
{
    const rn_mk_synth_opts *o = s->self;
    rn_rng r;
    rn_image im = {0};
    rn_rng_seed(&r, o->seed, RN_STREAM_TEST, (uint32_t)split, i);
    int w = vary_side(&r, o->width, o->vary), h = vary_side(&r, o->height, o->vary);
    int rc = rn_image_alloc(&im, w, h, 3);
    if (rc == RN_OK) {
        paint(&r, s->label[split][i], &im);
        rc = rn_image_encode_jpeg(&im, quality, &out->data, &out->cap, &out->n);
    }
    rn_image_free(&im);
    return rc;
}

int rn_mk_open_synth(const rn_mk_synth_opts *opts, rn_mk_source *out)
{
    int rc;
    memset(out, 0, sizeof *out);
    rn_mk_synth_opts *o = malloc(sizeof *o);
    if (!o)
        return rn_fail(RN_E_NOMEM, "out of memory");
    *o = *opts;
    out->self = o;
    out->close = free;
    out->jpeg = synth_jpeg;
    if (o->classes < 1 || o->classes > 10000 || o->train_per_class < 1 || o->val < 1)
        RN_GO(rn_fail(RN_E_RANGE, "synthetic set: needs 1..10000 classes, train and val images"));
    RN_GO(rn_mk_alloc_classes(out, o->classes));
    out->n[RN_MK_TRAIN] = (uint32_t)o->classes * (uint32_t)o->train_per_class;
    out->n[RN_MK_VAL] = (uint32_t)o->val;
    for (int split = 0; split < 2; split++) {
        out->label[split] = malloc(out->n[split] * sizeof *out->label[split]);
        if (!out->label[split])
            RN_GO(rn_fail(RN_E_NOMEM, "out of memory"));
        for (uint32_t i = 0; i < out->n[split]; i++)
            out->label[split][i] = (int32_t)(i % (uint32_t)o->classes);
    }
    snprintf(out->about, sizeof out->about,
             "synthetic textures, %dx%d +-%d%%, seed %llu, %d classes, %u train and %u val images", o->width, o->height,
             o->vary, (unsigned long long)o->seed, o->classes, out->n[0], out->n[1]);
    return RN_OK;
out:
    rn_mk_close(out);
    return rc;
}
