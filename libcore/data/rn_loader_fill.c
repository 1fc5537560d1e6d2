/* SPDX-License-Identifier: MIT */
/* One image of a batch: read, placed, drawn. Everything random comes from (seed, epoch, image). */
#include <stdio.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_rng.h"
#include "data/rn_loader_impl.h"

static int place(const rn_loader *l, rn_rng *r, int iw, int ih, const char *name, rn_place *p)
{
    const rn_loader_opts *o = &l->o;
    if (!o->train) {
        rn_place_eval(iw, ih, o->resize_short, o->width, o->height, p);
        return RN_OK;
    }
    if (o->crop == RN_CROP_RESIZED) {
        rn_place_resized(r, iw, ih, l->scale, l->ratio, o->flip, o->width, o->height, p);
        return RN_OK;
    }
    int rc = rn_place_padded(r, iw, ih, o->pad, o->flip, o->width, o->height, p);
    return rc < 0 ? rn_fail_prefix(rc, "%s", name) : RN_OK;
}

static int draw(rn_loader_worker *w, const rn_record *rec, const char *name, uint32_t epoch, uint32_t index,
                uint8_t *dst)
{
    const rn_loader *l = w->l;
    const rn_loader_opts *o = &l->o;
    int iw, ih;
    rn_rng r;
    rn_place p;
    if (rec->encoded) {
        RN_TRY(rn_renderer_begin(w->renderer, rec->data, rec->data_n, name, &iw, &ih));
    } else {
        RN_TRY(rn_renderer_begin_raw(w->renderer, rec->data, rec->channels, rec->height, rec->width, name));
        iw = rec->width;
        ih = rec->height;
    }
    rn_rng_seed(&r, o->seed, RN_STREAM_AUGMENT, epoch, index);
    RN_TRY(place(l, &r, iw, ih, name, &p));
    return rn_renderer_draw(w->renderer, &p, o->train && !o->exact, o->width, o->height, o->channels, dst);
}

int rn_loader_fill(rn_loader_worker *w, rn_loader_slot *s, int i)
{
    rn_loader *l = w->l;
    rn_record rec;
    char name[512];
    double from = rn_now();
    int rc = rn_store_get(w->txn, s->index[i], &rec);
    if (rc == RN_OK) {
        w->profile.images++;
        w->profile.bytes += rec.data_n;
        w->profile.read_s += rn_now() - from;
        snprintf(name, sizeof name, "%.*s", (int)(rec.key_n < sizeof name ? rec.key_n : sizeof name - 1), rec.key);
        s->labels[i] = rec.label;
        rc = draw(w, &rec, name, s->epoch, s->index[i], s->images + (size_t)i * l->image_bytes);
        rn_renderer_times(w->renderer, &w->profile.decode_s, &w->profile.resize_s);
    }
    return rc < 0 ? rn_fail_prefix(rc, "%s", rn_store_path(l->store)) : RN_OK;
}
