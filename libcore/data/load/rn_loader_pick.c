/* SPDX-License-Identifier: MIT */
/* One image of a batch of picks: the draws of rn_loader_fill.c, written down instead of done to pixels. */
#include <stdio.h>

#include "base/rn_error.h"
#include "data/load/rn_decoded.h"
#include "data/load/rn_loader_impl.h"
#include "data/load/rn_mixup.h"

const char *rn_loader_needs_pixels(const rn_loader_opts *o, int width, int height)
{
    int w = width, h = height;
    if (width > INT16_MAX || height > INT16_MAX)
        return "its images are larger than 32767 pixels";
    if (o->train && o->crop == RN_CROP_RESIZED)
        return "the random resized crop (--crop resized) resizes each image anew";
    if (!o->train && o->resize_short)
        rn_resize_short_size(width, height, o->resize_short, &w, &h);
    if (w != width || h != height)
        return "--val-resize changes the size of its images";
    if (!o->train)
        return NULL;
    for (int op = 0; op < RN_COLOR_OPS; op++)
        if (o->jitter.range[op] > 0)
            return "--color-jitter changes colours";
    return o->lighting > 0 ? "--lighting changes colours" : NULL;
}

int rn_loader_check_decoded(const rn_store *store, const rn_loader_opts *o)
{
    const rn_decoded *d = o->decoded;
    const char *path = rn_store_path(store), *why;
    if (!d)
        return RN_OK;
    if (d->count != rn_store_count(store) || d->channels != o->channels)
        return rn_fail(RN_E_MISMATCH, "%s: %u decoded images of %d channels, of %u records that are to have %d", path,
                       d->count, d->channels, rn_store_count(store), o->channels);
    why = rn_loader_needs_pixels(o, d->width, d->height);
    return why ? rn_fail(RN_E_UNSUPPORTED, "%s: its batches are no picks of decoded images: %s", path, why) : RN_OK;
}

/* A place without a resize: from where the output's corner lies in the image all else follows. */
static rn_pick pick_of(const rn_place *p, int out_w)
{
    const int left =
        p->flip ? out_w - p->x - p->window.w : p->x; /* of the window, in the output before it is mirrored */
    return (rn_pick){.share = RN_PICK_WHOLE,
                     .x = (int16_t)(p->window.x - left),
                     .y = (int16_t)(p->window.y - p->y),
                     .mirror = p->flip};
}

int rn_loader_pick(const rn_loader *l, rn_loader_slot *s, int i)
{
    const rn_loader_opts *o = &l->o;
    const rn_decoded *d = o->decoded;
    const uint32_t record = s->index[i];
    rn_rect hole = {0};
    rn_place p;
    rn_rng r;
    char name[32];
    snprintf(name, sizeof name, "image %u", record);
    rn_rng_seed(&r, o->seed, RN_STREAM_AUGMENT, s->epoch, record);
    RN_TRY(rn_loader_place(l, &r, d->width, d->height, name, &p));
    if (o->train && o->cutout > 0)
        rn_cutout_draw(&r, o->width, o->height, o->cutout, &hole);
    rn_pick *at = &s->picks[i + 1];
    *at = pick_of(&p, o->width);
    at->record = record;
    at->hole_x = (int16_t)hole.x;
    at->hole_y = (int16_t)hole.y;
    at->hole_w = (int16_t)hole.w;
    at->hole_h = (int16_t)hole.h;
    s->labels[i] = d->labels[record];
    if (s->windows)
        s->windows[i] = (rn_origin){.x = p.window.x, .y = p.window.y, .mirror = p.flip};
    return RN_OK;
}

void rn_loader_rest(rn_pick *picks, int n)
{
    for (int i = 0; i < n; i++)
        picks[i] = (rn_pick){.record = RN_PICK_NONE, .share = RN_PICK_WHOLE};
}

void rn_loader_mix_picks(rn_loader_slot *s)
{
    for (int i = 1; i <= s->n; i++)
        s->picks[i].share = s->share;
    s->picks[0] = s->picks[s->todo]; /* the last one, or the partner from another part behind it */
}
