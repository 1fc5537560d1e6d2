/* SPDX-License-Identifier: MIT */
/*
 * RUN_DIR/predictions.json: what an evaluation says beyond its mean, for the report.
 *   {"epoch", "step", "n",
 *    "classes":   [[wnid, words], ...]                      by label
 *    "confusion": [[label, predicted, images], ...]         those that are not 0
 *    "samples":   [{"key", "label", "predicted", "confidence", "image"}, ...]   drawn from a fixed seed
 *    "mistakes":  [...]}                                     the wrong ones of greatest confidence
 * "image" is a data URI of what the network saw, at most SIDE pixels. Written anew by every evaluation.
 */
#include <stdlib.h>
#include <string.h>

#include "base/rn_base64.h"
#include "base/rn_error.h"
#include "base/rn_rng.h"
#include "data/load/rn_augment.h"
#include "run/save/rn_classes.h"
#include "run/train/rn_trainer_impl.h"

enum { SAMPLES = 24, MISTAKES = 12, SIDE = 112, LOSSLESS = 64 /* sides up to this are kept to the bit */ };

/* ---- pictures ---- */

static int put_uri(const rn_image *im, rn_buf *out)
{
    uint8_t *data = NULL;
    size_t cap = 0, n = 0;
    rn_buf png = {0};
    int rc;
    if (im->w <= LOSSLESS) {
        RN_GO(rn_buf_printf(out, "data:image/png;base64,"));
        RN_GO(rn_image_encode_png(im, &png));
        RN_GO(rn_base64_put(out, png.data, png.n));
    } else {
        RN_GO(rn_buf_printf(out, "data:image/jpeg;base64,"));
        RN_GO(rn_image_encode_jpeg(im, 82, &data, &cap, &n));
        RN_GO(rn_base64_put(out, data, n));
    }
    rc = rn_buf_append(out, "", 1);
out:
    rn_buf_free(&png);
    free(data);
    return rc;
}

/* The evaluation's transform, at most SIDE pixels wide. */
static void place(const rn_recipe *r, int w, int h, int side, rn_place *p)
{
    int64_t shorter = r->val_resize;
    if (side < r->image_size) {
        if (!shorter)
            shorter = w < h ? w : h;
        shorter = shorter * side / r->image_size;
        if (shorter < side)
            shorter = side;
    }
    rn_place_eval(w, h, (int)shorter, side, side, p);
}

static int draw(const rn_recipe *r, rn_renderer *rd, const rn_record *rec, const char *name, rn_image *im)
{
    int w = rec->width, h = rec->height;
    rn_place p;
    if (rec->encoded)
        RN_TRY(rn_renderer_begin(rd, rec->data, rec->data_n, name, &w, &h));
    else
        RN_TRY(rn_renderer_begin_raw(rd, rec->data, rec->channels, rec->height, rec->width, name));
    const int side = r->image_size < SIDE ? (int)r->image_size : SIDE;
    place(r, w, h, side, &p);
    RN_TRY(rn_image_alloc(im, side, side, (int)r->channels));
    return rn_renderer_draw(rd, &p, false, side, side, (int)r->channels, im->px);
}

/* ---- which ---- */

/* k of n records, by a permutation's beginning; the same ones at every evaluation of a set. */
static int choose(uint32_t n, int k, uint32_t *out)
{
    uint32_t *all = malloc(n * sizeof *all);
    rn_rng r;
    if (!all)
        return rn_fail(RN_E_NOMEM, "no memory to choose images");
    for (uint32_t i = 0; i < n; i++)
        all[i] = i;
    rn_rng_seed(&r, 1, RN_STREAM_REPORT, 0, 0);
    rn_rng_shuffle_u32(&r, all, n);
    memcpy(out, all, (size_t)k * sizeof *out);
    free(all);
    return RN_OK;
}

/* The wrong ones of greatest confidence, most confident first. */
static int worst(const rn_eval_row *rows, uint32_t n, uint32_t *out)
{
    int have = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (rows[i].predicted == rows[i].label)
            continue;
        if (have == MISTAKES && !(rows[i].confidence > rows[out[have - 1]].confidence))
            continue;
        int at = have < MISTAKES ? have++ : have - 1;
        for (; at > 0 && rows[i].confidence > rows[out[at - 1]].confidence; at--)
            out[at] = out[at - 1];
        out[at] = i;
    }
    return have;
}

/* ---- the file ---- */

static int add_image(const rn_trainer *t, rn_store_txn *txn, rn_renderer *rd, uint32_t index, const rn_eval_row *row,
                     json_t *to)
{
    rn_record rec;
    rn_image im = {0};
    rn_buf uri = {0};
    char name[512];
    int rc;
    RN_GO(rn_store_get(txn, index, &rec));
    snprintf(name, sizeof name, "%.*s", (int)(rec.key_n < sizeof name ? rec.key_n : sizeof name - 1), rec.key);
    RN_GO(draw(t->job->recipe, rd, &rec, name, &im));
    RN_GO(put_uri(&im, &uri));
    json_t *o =
        json_pack("{s:o, s:i, s:i, s:f, s:s}", "key", rn_runlog_text(name), "label", (int)row->label, "predicted",
                  (int)row->predicted, "confidence", (double)row->confidence, "image", (const char *)uri.data);
    if (json_array_append_new(to, o) != 0)
        rc = rn_fail(RN_E_NOMEM, "no memory for a validation image");
out:
    rn_buf_free(&uri);
    rn_image_free(&im);
    return rc;
}

static int add_images(const rn_trainer *t, const rn_eval_row *rows, const uint32_t *index, int n, json_t *to)
{
    rn_store_txn *txn = NULL;
    rn_renderer *rd = NULL;
    int rc;
    RN_GO(rn_store_begin(t->s.val_db, &txn));
    RN_GO(rn_renderer_open(&rd));
    for (int i = 0; i < n; i++)
        RN_GO(add_image(t, txn, rd, index[i], &rows[index[i]], to));
out:
    rn_renderer_close(rd);
    rn_store_end(txn);
    return rc;
}

static int by_pair(const void *a, const void *b)
{
    const rn_eval_row *x = a, *y = b;
    if (x->label != y->label)
        return x->label < y->label ? -1 : 1;
    return (x->predicted > y->predicted) - (x->predicted < y->predicted);
}

static int confusion(const rn_eval_row *rows, uint32_t n, json_t **out)
{
    rn_eval_row *sorted = malloc(n * sizeof *sorted);
    *out = json_array();
    if (!sorted || !*out) {
        free(sorted);
        return rn_fail(RN_E_NOMEM, "no memory for the confusion of classes");
    }
    memcpy(sorted, rows, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_pair);
    for (uint32_t i = 0, j; i < n; i = j) {
        for (j = i; j < n && by_pair(&sorted[i], &sorted[j]) == 0; j++)
            ;
        json_array_append_new(*out,
                              json_pack("[i, i, i]", (int)sorted[i].label, (int)sorted[i].predicted, (int)(j - i)));
    }
    free(sorted);
    return RN_OK;
}

static int class_names(const rn_trainer *t, json_t **out)
{
    rn_buf text = {0};
    int rc = rn_classes_text(t->s.train_db, t->s.val_db, &text);
    if (rc == RN_OK && !(*out = json_loads((const char *)text.data, 0, NULL)))
        rc = rn_fail(RN_E_NOMEM, "no memory for the class names");
    rn_buf_free(&text);
    return rc;
}

static int write_file(const rn_trainer *t, const json_t *o)
{
    char path[PATH_MAX];
    char *text = json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6));
    int rc = text ? rn_rundir_path(t, RN_PREDICTIONS_NAME, path) : rn_fail(RN_E_NOMEM, "no memory for the predictions");
    if (rc == RN_OK)
        rc = rn_write_file_atomic(path, text, strlen(text));
    free(text);
    return rc;
}

int rn_predictions_write(const rn_trainer *t, const rn_eval_row *rows)
{
    const uint32_t n = rn_store_count(t->s.val_db);
    const int nsamples = n < SAMPLES ? (int)n : SAMPLES;
    uint32_t samples[SAMPLES], mistakes[MISTAKES];
    json_t *classes = NULL, *pairs = NULL, *some = json_array(), *wrong = json_array(), *o = NULL;
    int rc;
    RN_GO(class_names(t, &classes));
    RN_GO(confusion(rows, n, &pairs));
    RN_GO(choose(n, nsamples, samples));
    RN_GO(add_images(t, rows, samples, nsamples, some));
    RN_GO(add_images(t, rows, mistakes, worst(rows, n, mistakes), wrong));
    o = json_pack("{s:I, s:I, s:I, s:O, s:O, s:O, s:O}", "epoch", (json_int_t)t->state.epoch, "step",
                  (json_int_t)t->state.step, "n", (json_int_t)n, "classes", classes, "confusion", pairs, "samples",
                  some, "mistakes", wrong);
    rc = o ? write_file(t, o) : rn_fail(RN_E_NOMEM, "no memory for the predictions");
out:
    json_decref(o);
    json_decref(classes);
    json_decref(pairs);
    json_decref(some);
    json_decref(wrong);
    return rc;
}
