/* SPDX-License-Identifier: MIT */
/* One image of a batch: read, placed, drawn. Everything random comes from (seed, epoch, image). */
#include <stdio.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_log.h"
#include "base/rn_rng.h"
#include "data/load/rn_loader_impl.h"
#include "data/load/rn_mixup.h"

int rn_loader_place(const rn_loader *l, rn_rng *r, int iw, int ih, const char *name, rn_place *p)
{
    const rn_loader_opts *o = &l->o;
    int rc;
    if (rn_loader_windows(o)) {
        if (o->stored_w && (iw != o->stored_w || ih != o->stored_h))
            return rn_fail(RN_E_MISMATCH,
                           "%s: the image has %d x %d pixels, the mean image %d x %d: pack the set anew with --resize "
                           "exact:%dx%d, or take a mean image that was made of it (pack-lmdb --mean)",
                           name, iw, ih, o->stored_w, o->stored_h, o->stored_w, o->stored_h);
        rc = rn_place_window(o->train ? r : NULL, iw, ih, o->crop == RN_CROP_NONE, o->flip, o->width, o->height, p);
        return rc < 0 ? rn_fail_prefix(rc, "%s", name) : RN_OK;
    }
    if (!o->train) {
        rn_place_eval(iw, ih, o->resize_short, o->width, o->height, p);
        return RN_OK;
    }
    if (o->crop == RN_CROP_RESIZED) {
        const double scale[2] = {o->scale_lo, o->scale_hi}, ratio[2] = {o->ratio_lo, o->ratio_hi};
        rn_place_resized(r, iw, ih, scale, ratio, o->flip, o->width, o->height, p);
        return RN_OK;
    }
    rc = rn_place_padded(r, iw, ih, o->pad, o->flip, o->width, o->height, p);
    return rc < 0 ? rn_fail_prefix(rc, "%s", name) : RN_OK;
}

/* What the training transform does after crop and flip; the random numbers go on where the place's ended. */
static void colour(const rn_loader *l, rn_rng *r, uint8_t *px)
{
    const rn_loader_opts *o = &l->o;
    size_t n = (size_t)o->width * (size_t)o->height;
    if (o->jitter.range[0] > 0 || o->jitter.range[1] > 0 || o->jitter.range[2] > 0 || o->jitter.range[3] > 0) {
        rn_jitter_steps steps;
        rn_jitter_draw(r, &o->jitter, &steps);
        rn_jitter_apply(&steps, px, n, o->channels);
    }
    if (o->lighting > 0) {
        int shift[3];
        rn_lighting_draw(r, o->lighting, shift);
        rn_lighting_apply(shift, px, n);
    }
    if (o->cutout > 0) {
        rn_rect hole;
        rn_cutout_draw(r, o->width, o->height, o->cutout, &hole);
        rn_cutout_apply(&hole, o->fill, px, o->width, o->channels);
    }
}

/* What images are taken for in spite of what they are is told once a loader. */
static void tell(rn_loader *l, const char *name, const rn_image_info *info)
{
    const char *set = rn_store_path(l->store);
    if (info->warnings && !atomic_exchange(&l->told_damage, true))
        rn_warn("%s: %s is damaged (%s): what can be decoded is taken, as Pillow does, here and of any other; all are "
                "named by ilsvrc-verify --lmdb %s --decode",
                set, name, info->warning, set);
    if (l->o.channels == 1 && info->components >= 3 && !atomic_exchange(&l->told_colour, true))
        rn_warn("%s: %s has colours: --channels 1 makes it gray, and all others", set, name);
}

static int draw(rn_loader_worker *w, const rn_record *rec, const char *name, rn_loader_slot *s, int i)
{
    const rn_loader *l = w->l;
    const rn_loader_opts *o = &l->o;
    uint8_t *dst = s->images + (size_t)i * l->image_bytes;
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
    rn_rng_seed(&r, o->seed, RN_STREAM_AUGMENT, s->epoch, s->index[i]);
    RN_TRY(rn_loader_place(l, &r, iw, ih, name, &p));
    RN_TRY(rn_renderer_draw(w->renderer, &p, o->train && !o->exact, o->width, o->height, o->channels, dst));
    tell(w->l, name, rn_renderer_info(w->renderer));
    if (s->windows)
        s->windows[i] = (rn_origin){.x = p.window.x, .y = p.window.y, .mirror = p.flip};
    if (o->train) {
        double from = rn_now();
        colour(l, &r, dst);
        w->profile.augment_s += rn_now() - from;
    }
    return RN_OK;
}

static int check_label(const rn_loader *l, const rn_record *rec, const char *name)
{
    const int classes = rn_store_nclasses(l->store);
    if (classes == 0 || (rec->label >= 0 && rec->label < classes))
        return RN_OK;
    return rn_fail(RN_E_MISMATCH, "%s: label %d, and the set has the classes 0 to %d: pack it again", name, rec->label,
                   classes - 1);
}

int rn_loader_fill(rn_loader_worker *w, rn_loader_slot *s, int i)
{
    rn_loader *l = w->l;
    rn_record rec;
    char name[512];
    if (s->picks) {
        w->profile.images++;
        return rn_loader_pick(l, s, i);
    }
    double from = rn_now();
    int rc = rn_store_get(w->txn, s->index[i], &rec);
    if (rc == RN_OK) {
        w->profile.images++;
        w->profile.bytes += rec.data_n;
        w->profile.read_s += rn_now() - from;
        snprintf(name, sizeof name, "%.*s", (int)(rec.key_n < sizeof name ? rec.key_n : sizeof name - 1), rec.key);
        s->labels[i] = rec.label;
        rc = check_label(l, &rec, name);
        if (rc == RN_OK)
            rc = draw(w, &rec, name, s, i);
        rn_resident_note(l->resident, rec.data);
        rn_renderer_times(w->renderer, &w->profile.decode_s, &w->profile.resize_s);
    }
    return rc < 0 ? rn_fail_prefix(rc, "%s", rn_store_path(l->store)) : RN_OK;
}

/* `behind` is the row with the partner from another part, if there is one. */
static void mix_rows(rn_loader_worker *w, rn_loader_slot *s)
{
    const size_t row = w->l->image_bytes;
    uint8_t *behind = s->images + (size_t)s->n * row;
    if (s->todo > s->n) {
        rn_mixup_rows_after(s->images, s->n, row, s->share, behind);
        memset(behind, 0, row);
    } else {
        rn_mixup_rows(s->images, s->n, row, s->share, w->scratch);
    }
}

void rn_loader_mix(rn_loader_worker *w, rn_loader_slot *s)
{
    double from = rn_now();
    if (s->picks)
        rn_loader_mix_picks(s);
    else
        mix_rows(w, s);
    rn_mixup_labels(s->labels, s->n, s->labels2);
    if (s->todo > s->n) { /* the partner was another part's */
        s->labels2[0] = s->labels[s->n];
        s->labels[s->n] = 0;
        s->index[s->n] = 0;
        if (s->picks)
            rn_loader_rest(s->picks + s->n + 1, 1);
        if (s->windows)
            s->windows[s->n] = (rn_origin){0};
    }
    w->profile.augment_s += rn_now() - from;
}
