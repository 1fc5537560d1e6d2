/* SPDX-License-Identifier: MIT */
/* What a loader can be asked for, and what is meant where nothing is said. */
#include "base/rn_error.h"
#include "data/load/rn_loader_impl.h"

enum { MAX_BATCH = 1 << 20, MAX_SIDE = 8192, MAX_WORKERS = 1024, MAX_DEPTH = 1024, DEPTH = 4 };

static int check_sizes(const rn_loader_opts *o)
{
    if (o->parts < 0 || o->parts > MAX_BATCH || o->part < 0 || o->part >= (o->parts ? o->parts : 1))
        return rn_fail(RN_E_RANGE, "part %d of %d parts: 0 to parts - 1 are possible", o->part, o->parts);
    if (o->train && o->parts > o->batch)
        return rn_fail(RN_E_RANGE, "a batch of %d images in %d parts: each needs an image", o->batch, o->parts);
    if (o->batch < 1 || o->batch > MAX_BATCH)
        return rn_fail(RN_E_RANGE, "batch of %d images: 1 to %d are possible", o->batch, MAX_BATCH);
    if (o->width < 1 || o->height < 1 || o->width > MAX_SIDE || o->height > MAX_SIDE ||
        (o->channels != 1 && o->channels != 3))
        return rn_fail(RN_E_RANGE, "images of %d x %d x %d: sides of 1 to %d and 1 or 3 channels are possible",
                       o->width, o->height, o->channels, MAX_SIDE);
    if (o->workers < 1 || o->workers > MAX_WORKERS || o->depth < 0 || o->depth > MAX_DEPTH)
        return rn_fail(RN_E_RANGE, "%d workers, %d batches ahead: 1 to %d and 0 to %d are possible", o->workers,
                       o->depth, MAX_WORKERS, MAX_DEPTH);
    if (o->resize_short < 0 || o->resize_short > MAX_SIDE)
        return rn_fail(RN_E_RANGE, "resize to a short side of %d: 0 (none) to %d are possible", o->resize_short,
                       MAX_SIDE);
    return RN_OK;
}

/* A NaN is in no range. */
static bool within(double v, double lo, double hi)
{
    return v >= lo && v <= hi;
}

static int check_crop(const rn_loader_opts *o)
{
    rn_loader_opts r;
    rn_loader_resolve(o, &r);
    if (!within(r.scale_lo, 0, r.scale_hi) || !within(r.scale_hi, r.scale_lo, 1e6) ||
        !within(r.ratio_lo, 0, r.ratio_hi) || !within(r.ratio_hi, r.ratio_lo, 1e6))
        return rn_fail(RN_E_RANGE, "random crop: scale %g to %g, ratio %g to %g: the first must not exceed the second",
                       r.scale_lo, r.scale_hi, r.ratio_lo, r.ratio_hi);
    return RN_OK;
}

static int check_stored(const rn_loader_opts *o)
{
    if ((o->stored_w || o->stored_h) && (!rn_loader_windows(o) || o->stored_w < o->width || o->stored_h < o->height))
        return rn_fail(RN_E_RANGE, "records of %d x %d pixels: images of %d x %d are no windows of them", o->stored_w,
                       o->stored_h, o->width, o->height);
    return RN_OK;
}

static int check_colour(const rn_loader_opts *o)
{
    for (int op = 0; op < RN_COLOR_OPS; op++) {
        double most = op == RN_COLOR_HUE ? 0.5 : 100;
        if (!within(o->jitter.range[op], 0, most))
            return rn_fail(RN_E_RANGE, "colour jitter: %s %g; 0 to %g are possible", rn_color_names[op],
                           o->jitter.range[op], most);
    }
    if (!within(o->lighting, 0, 10))
        return rn_fail(RN_E_RANGE, "lighting of deviation %g: 0 to 10 are possible", o->lighting);
    if (o->lighting > 0 && o->channels != 3)
        return rn_fail(RN_E_RANGE, "lighting shifts red, green and blue, and the images have %d channel: leave it out",
                       o->channels);
    if (o->cutout < 0 || o->cutout > MAX_SIDE)
        return rn_fail(RN_E_RANGE, "cutout of %d pixels: 0 (none) to %d are possible", o->cutout, MAX_SIDE);
    if (!within(o->mixup, 0, 1e6))
        return rn_fail(RN_E_RANGE, "mixup %g: 0 (none) to 1e6 are possible", o->mixup);
    return RN_OK;
}

bool rn_loader_windows(const rn_loader_opts *o)
{
    return o->crop >= RN_CROP_WINDOW && (o->train || !o->resize_short);
}

int rn_loader_check(const rn_store *store, const rn_loader_opts *o)
{
    uint32_t n = rn_store_count(store);
    const char *path = rn_store_path(store);
    if (n == 0)
        return rn_fail(RN_E_NOTHING, "%s: the set is empty", path);
    RN_TRY(check_sizes(o));
    if (o->train && o->drop_last && n < (uint32_t)o->batch)
        return rn_fail(RN_E_RANGE, "%s: %u images do not fill one batch of %d: use a smaller batch", path, n, o->batch);
    RN_TRY(check_crop(o));
    RN_TRY(check_stored(o));
    RN_TRY(check_colour(o));
    return rn_loader_check_decoded(store, o);
}

/* 0 means torchvision's defaults. */
void rn_loader_resolve(const rn_loader_opts *given, rn_loader_opts *out)
{
    *out = *given;
    out->parts = given->parts ? given->parts : 1;
    out->depth = given->depth ? given->depth : DEPTH;
    out->resident = given->resident ? given->resident : (size_t)32 << 20;
    out->scale_lo = given->scale_lo != 0 ? given->scale_lo : 0.08;
    out->scale_hi = given->scale_hi != 0 ? given->scale_hi : 1.0;
    out->ratio_lo = given->ratio_lo != 0 ? given->ratio_lo : 3.0 / 4.0;
    out->ratio_hi = given->ratio_hi != 0 ? given->ratio_hi : 4.0 / 3.0;
    if (!given->train) {
        out->order = RN_ORDER_KEYS;
        out->mixup = 0;
    }
}
