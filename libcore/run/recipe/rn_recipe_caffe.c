/* SPDX-License-Identifier: MIT */
#include "run/recipe/rn_recipe_caffe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_log.h"
#include "data/image/rn_image.h"
#include "data/pack/rn_mean.h"
#include "data/store/rn_store.h"

/* ---- what the data say ---- */

typedef struct look {
    int w, h, channels; /* of the first record; 3 channels if any record that was looked at has colour */
} look;

static int look_at(rn_store_txn *t, uint32_t i, look *out)
{
    rn_record r;
    rn_image_info info = {0};
    RN_TRY(rn_store_get(t, i, &r));
    if (r.encoded) {
        RN_TRY(rn_image_peek(r.data, r.data_n, &info));
        r.width = info.w;
        r.height = info.h;
        r.channels = info.components == 1 ? 1 : 3;
    }
    *out = (look){r.width, r.height, r.channels};
    return r.channels == 1 || r.channels == 3
               ? RN_OK
               : rn_fail(RN_E_UNSUPPORTED, "record %u has %d channels; 1 and 3 are supported", i, r.channels);
}

/* Caffe looks at the first record. Sets of colour pictures hold gray ones, though: some more are looked at for colour. */
static int look_into(const char *db, look *out)
{
    rn_store *s = NULL;
    rn_store_txn *t = NULL;
    int rc;
    RN_GO(rn_store_open(db, 0, &s));
    RN_GO(rn_store_begin(s, &t));
    RN_GO(look_at(t, 0, out));
    const uint32_t count = rn_store_count(s), looks = count < 64 ? count : 64;
    for (uint32_t k = 1; k < looks && out->channels == 1; k++) {
        look more;
        RN_GO(look_at(t, (uint32_t)((uint64_t)count * k / looks), &more));
        out->channels = more.channels;
    }
out:
    rn_store_end(t);
    rn_store_close(s);
    return rc < 0 ? rn_fail_prefix(rc, "%s", db) : RN_OK;
}

/* ---- the net ---- */

/* The mean of a file, if all pixels of a channel have the same; otherwise *uniform is false. */
static int read_mean(const char *file, const rn_caffe_data *d, int channels, double mean[3], bool *uniform)
{
    rn_mean m;
    *uniform = true;
    RN_TRY(rn_mean_read(d->mean_file, &m));
    const size_t plane = (size_t)m.height * (size_t)m.width;
    int rc = RN_OK;
    if (m.channels != channels)
        rc = rn_fail(RN_E_MISMATCH, "%s:%d: transform_param.mean_file: %s has %d channels, the images %d", file,
                     d->line, d->mean_file, m.channels, channels);
    for (size_t i = 0; rc == RN_OK && i < plane * (size_t)m.channels; i++) {
        const float first = m.data[i / plane * plane];
        *uniform &= m.data[i] >= first && m.data[i] <= first;
    }
    for (int c = 0; c < channels && rc == RN_OK; c++)
        mean[c] = (double)m.data[(size_t)c * plane];
    free(m.data);
    return rc;
}

/* (pixel - mean) * scale with pixels of 0..255 is (pixel / 255 - mean / 255) / (1 / (255 scale)). */
static int put_pixels(const char *file, const rn_caffe_data *d, int channels, rn_buf *out)
{
    double mean[3] = {0, 0, 0};
    bool uniform = true;
    if (channels != 1 && channels != 3)
        return rn_fail(RN_E_RANGE, "%s: images of %d channels", file, channels);
    if (d->nmean == 3 && channels == 1)
        return rn_fail(RN_E_MISMATCH, "%s:%d: transform_param.mean_value: three values, and the images are gray", file,
                       d->line);
    for (int c = 0; c < channels; c++)
        mean[c] = d->nmean ? d->mean[d->nmean == 3 ? c : 0] : 0;
    if (d->mean_file)
        RN_TRY(read_mean(file, d, channels, mean, &uniform));
    RN_TRY(uniform ? rn_buf_printf(out, "mean = ") : rn_buf_printf(out, "mean-image = %s\n", d->mean_file));
    for (int c = channels - 1; uniform && c >= 0; c--) /* Caffe's are blue first */
        RN_TRY(rn_buf_printf(out, "%.17g%s", mean[c] / 255, c ? "," : "\n"));
    RN_TRY(rn_buf_printf(out, "std = "));
    for (int c = 0; c < channels; c++)
        RN_TRY(rn_buf_printf(out, "%.17g%s", 1 / (255 * d->scale), c + 1 < channels ? "," : "\n"));
    return RN_OK;
}

int rn_recipe_from_net(const char *file, const rn_caffe_net *net, const char *train_db, rn_buf *out)
{
    const rn_caffe_data *a = rn_caffe_net_data(net, RN_CAFFE_TRAIN), *b = rn_caffe_net_data(net, RN_CAFFE_TEST);
    look data = {0};
    int channels = a->gray ? 1 : a->colour || a->nmean == 3 ? 3 : 0;
    RN_TRY(rn_buf_printf(out, "arch = prototxt\nbatch = %d\neval-batch = %d\nval-resize = 0\nno-flip = %s\n", a->batch,
                         b->batch, a->mirror ? "false" : "true"));
    RN_TRY(rn_buf_printf(out, "crop = %s\n", a->crop ? "window" : "none"));
    if (train_db && (!channels || !a->crop)) {
        RN_TRY(look_into(train_db, &data));
        channels = channels ? channels : data.channels;
        if (!a->crop && data.w != data.h)
            return rn_fail(
                RN_E_UNSUPPORTED,
                "%s:%d: without crop_size the images must be square, and the first of %s has %d x %d pixels: give "
                "crop_size, or pack with --resize exact:WxH",
                file, a->line, train_db, data.w, data.h);
    }
    if (a->crop || data.w)
        RN_TRY(rn_buf_printf(out, "image-size = %d\n", a->crop ? a->crop : data.w));
    if (!channels)
        return RN_OK;
    RN_TRY(rn_buf_printf(out, "channels = %d\n", channels));
    return put_pixels(file, a, channels, out);
}

/* ---- the solver ---- */

static int put_schedule(const rn_caffe_solver *s, rn_buf *out)
{
    static const char *const names[] = {"constant", "step", "exp", "inv", "multistep", "poly", "sigmoid"};
    RN_TRY(rn_buf_printf(out, "schedule = %s\nschedule-unit = steps\n", names[s->policy]));
    if (s->policy != RN_CAFFE_FIXED && s->policy != RN_CAFFE_POLY)
        RN_TRY(rn_buf_printf(out, "gamma = %.17g\n", s->gamma));
    if (s->policy == RN_CAFFE_INV || s->policy == RN_CAFFE_POLY)
        RN_TRY(rn_buf_printf(out, "power = %.17g\n", s->power));
    if (s->policy == RN_CAFFE_STEP || s->policy == RN_CAFFE_SIGMOID)
        RN_TRY(rn_buf_printf(out, "step-size = %lld\n", (long long)s->stepsize));
    for (int i = 0; i < s->nsteps; i++)
        RN_TRY(rn_buf_printf(out, "%s%lld%s", i ? "," : "milestones = ", (long long)s->steps[i],
                             i + 1 < s->nsteps ? "" : "\n"));
    return RN_OK;
}

int rn_recipe_from_solver(const rn_caffe_solver *s, rn_buf *out)
{
    RN_TRY(rn_buf_printf(out, "max-steps = %lld\naccumulate = %lld\nlr = %.17g\n", (long long)s->max_iter,
                         (long long)s->iter_size, s->base_lr));
    RN_TRY(rn_buf_printf(
        out, "momentum = %.17g\nmomentum-kind = caffe\nnesterov = %s\nweight-decay = %.17g\nclip-norm = %.17g\n",
        s->momentum, s->nesterov ? "true" : "false", s->weight_decay, s->clip));
    RN_TRY(put_schedule(s, out));
    if (s->seed >= 0)
        RN_TRY(rn_buf_printf(out, "seed = %lld\n", (long long)s->seed));
    if (s->test_interval)
        RN_TRY(rn_buf_printf(out, "epoch-steps = %lld\n", (long long)s->test_interval));
    if (s->display)
        RN_TRY(rn_buf_printf(out, "log-steps = %lld\n", (long long)s->display));
    if (s->snapshot)
        RN_TRY(rn_buf_printf(out, "checkpoint-steps = %lld\n", (long long)s->snapshot));
    return RN_OK;
}

int rn_recipe_note_test(const rn_caffe_solver *s, const rn_caffe_net *net, const char *val_db)
{
    const int64_t batch = rn_caffe_net_data(net, RN_CAFFE_TEST)->batch;
    rn_store *db;
    if (!s->test_iter)
        return RN_OK;
    RN_TRY(rn_store_open(val_db, 0, &db));
    const int64_t n = rn_store_count(db);
    rn_store_close(db);
    if (s->test_iter * batch != n)
        rn_info(
            "test_iter %lld x batch_size %lld would be %lld images; what is told here is of all %lld of %s, each once",
            (long long)s->test_iter, (long long)batch, (long long)(s->test_iter * batch), (long long)n, val_db);
    return RN_OK;
}
