/* SPDX-License-Identifier: MIT */
#include "data/pack/rn_mean.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_pool.h"
#include "base/rn_progress.h"
#include "caffe.pb-c.h"
#include "data/image/rn_image.h"
#include "data/store/rn_datum.h"

/* A stripe of the records, summed by one task. */
typedef struct stripe {
    rn_store *store;
    rn_progress *progress;
    uint32_t from, to;
    int c, h, w;   /* what every record must be */
    uint64_t *sum; /* c * h * w, planar BGR */
    rn_image decoded;
    rn_buf planar;
} stripe;

/* Planar BGR pixels of a record; *px points into the map or into scratch. */
static int pixels_of(const rn_record *r, rn_image *decoded, rn_buf *planar, const uint8_t **px, int *c, int *h, int *w)
{
    char name[512];
    if (!r->encoded) {
        *px = r->data;
        *c = r->channels;
        *h = r->height;
        *w = r->width;
        return RN_OK;
    }
    size_t n = r->key_n < sizeof name ? r->key_n : sizeof name - 1;
    memcpy(name, r->key, n);
    name[n] = '\0';
    RN_TRY(rn_image_decode(r->data, r->data_n, name, NULL, decoded, NULL));
    RN_TRY(rn_buf_reserve(planar, (size_t)decoded->c * (size_t)decoded->h * (size_t)decoded->w));
    rn_datum_planar_from_rgb(decoded->px, decoded->h, decoded->w, decoded->c, planar->data);
    *px = planar->data;
    *c = decoded->c;
    *h = decoded->h;
    *w = decoded->w;
    return RN_OK;
}

static int add_record(stripe *s, rn_store_txn *t, uint32_t i)
{
    rn_record r;
    const uint8_t *px;
    int c, h, w;
    RN_TRY(rn_store_get(t, i, &r));
    RN_TRY(pixels_of(&r, &s->decoded, &s->planar, &px, &c, &h, &w));
    if (c != s->c || h != s->h || w != s->w)
        return rn_fail(RN_E_MISMATCH,
                       "%s: %.*s is %dx%dx%d, the first image %dx%dx%d (channels, height, width); a mean image "
                       "needs equal sizes: pack with --resize exact:WxH",
                       rn_store_path(s->store), (int)r.key_n, r.key, c, h, w, s->c, s->h, s->w);
    size_t n = (size_t)c * (size_t)h * (size_t)w;
    for (size_t k = 0; k < n; k++)
        s->sum[k] += px[k];
    return RN_OK;
}

static int sum_stripe(void *arg, int worker)
{
    stripe *s = arg;
    rn_store_txn *t = NULL;
    int rc;
    (void)worker;
    RN_GO(rn_store_begin(s->store, &t));
    for (uint32_t i = s->from; i < s->to; i++) {
        RN_GO(add_record(s, t, i));
        rn_progress_add(s->progress, 1);
    }
out:
    rn_store_end(t);
    rn_image_free(&s->decoded);
    rn_buf_free(&s->planar);
    return rc;
}

/* The first record's shape is the one asked of all. */
static int first_shape(rn_store *store, rn_mean *m)
{
    rn_store_txn *t = NULL;
    rn_record r;
    rn_image decoded = {0};
    rn_buf planar = {0};
    const uint8_t *px;
    int rc;
    RN_GO(rn_store_begin(store, &t));
    RN_GO(rn_store_get(t, 0, &r));
    RN_GO(pixels_of(&r, &decoded, &planar, &px, &m->channels, &m->height, &m->width));
out:
    rn_store_end(t);
    rn_image_free(&decoded);
    rn_buf_free(&planar);
    return rc;
}

static int finish(rn_mean *m, const stripe *s, int jobs, uint32_t count)
{
    size_t plane = (size_t)m->height * (size_t)m->width, n = (size_t)m->channels * plane;
    m->data = malloc(n * sizeof *m->data);
    if (!m->data)
        return rn_fail(RN_E_NOMEM, "no memory for a mean image of %zu values", n);
    for (size_t k = 0; k < n; k++) {
        uint64_t sum = 0;
        for (int j = 0; j < jobs; j++)
            sum += s[j].sum[k];
        m->data[k] = (float)((double)sum / count);
        if (k / plane < 4)
            m->channel[k / plane] += (double)sum / count / (double)plane;
    }
    return RN_OK;
}

int rn_mean_compute(rn_store *store, int jobs, rn_mean *out)
{
    uint32_t count = rn_store_count(store);
    rn_pool *pool = NULL;
    stripe *s = NULL;
    rn_mean m = {0};
    int rc;
    if (count == 0)
        return rn_fail(RN_E_NOTHING, "%s: no record, no mean", rn_store_path(store));
    if ((uint32_t)jobs > count)
        jobs = (int)count;
    RN_TRY(first_shape(store, &m));
    rn_progress *progress = rn_progress_start("mean", "images", RN_UNIT_ITEMS, count);
    s = calloc((size_t)jobs, sizeof *s);
    if (!s)
        RN_GO(rn_fail(RN_E_NOMEM, "no memory for %d workers", jobs));
    RN_GO(rn_pool_open(jobs, jobs, &pool));
    for (int j = 0; j < jobs; j++) {
        s[j] = (stripe){.store = store,
                        .progress = progress,
                        .c = m.channels,
                        .h = m.height,
                        .w = m.width,
                        .from = (uint32_t)((uint64_t)count * (uint64_t)j / (uint64_t)jobs),
                        .to = (uint32_t)((uint64_t)count * (uint64_t)(j + 1) / (uint64_t)jobs)};
        s[j].sum = calloc((size_t)m.channels * (size_t)m.height * (size_t)m.width, sizeof *s[j].sum);
        if (!s[j].sum)
            RN_GO(rn_fail(RN_E_NOMEM, "no memory for the sums of %d workers", jobs));
        RN_GO(rn_pool_submit(pool, sum_stripe, &s[j]));
    }
    RN_GO(rn_pool_wait(pool));
    RN_GO(finish(&m, s, jobs, count));
    *out = m;
out:
    rn_pool_close(pool); /* before the stripes go: it waits for its workers */
    for (int j = 0; s && j < jobs; j++)
        free(s[j].sum);
    free(s);
    rn_progress_done(progress);
    return rc;
}

int rn_mean_write(const rn_mean *m, const char *path)
{
    Rn__BlobProto b = RN__BLOB_PROTO__INIT;
    rn_buf out = {0};
    int rc;
    b.has_num = b.has_channels = b.has_height = b.has_width = 1;
    b.num = 1;
    b.channels = m->channels;
    b.height = m->height;
    b.width = m->width;
    b.n_data = (size_t)m->channels * (size_t)m->height * (size_t)m->width;
    b.data = m->data;
    RN_GO(rn_buf_reserve(&out, rn__blob_proto__get_packed_size(&b)));
    out.n = rn__blob_proto__pack(&b, out.data);
    rc = rn_write_file_atomic(path, out.data, out.n);
out:
    rn_buf_free(&out);
    return rc;
}

/* ---- reading ---- */

/* Newer files have a shape, (1, channels, height, width) or without the 1, in place of the four numbers. */
static void old_shape(Rn__BlobProto *b)
{
    int32_t *const to[4] = {&b->num, &b->channels, &b->height, &b->width};
    if (!b->shape || b->shape->n_dim < 3 || b->shape->n_dim > 4)
        return;
    b->num = 1;
    for (size_t i = 0, skip = 4 - b->shape->n_dim; i < b->shape->n_dim; i++) {
        int64_t d = b->shape->dim[i];
        *to[i + skip] = d >= 0 && d <= INT32_MAX ? (int32_t)d : -1;
    }
}

static int take(Rn__BlobProto *b, const char *path, rn_mean *m)
{
    old_shape(b);
    if (b->num != 1 || (b->channels != 1 && b->channels != 3) || b->height < 1 || b->width < 1 ||
        b->height > RN_IMAGE_MAX_SIDE || b->width > RN_IMAGE_MAX_SIDE)
        return rn_fail(RN_E_FORMAT, "%s: no mean image: num %d, channels %d, height %d, width %d", path, b->num,
                       b->channels, b->height, b->width);
    size_t plane = (size_t)b->height * (size_t)b->width, n = (size_t)b->channels * plane;
    if (b->n_data != n)
        return rn_fail(RN_E_FORMAT, "%s: %zu values for %d x %d x %d (channels, height, width)", path, b->n_data,
                       b->channels, b->height, b->width);
    *m =
        (rn_mean){.channels = b->channels, .height = b->height, .width = b->width, .data = malloc(n * sizeof *m->data)};
    if (!m->data)
        return rn_fail(RN_E_NOMEM, "no memory for a mean image of %zu values", n);
    for (size_t k = 0; k < n; k++) {
        if (!isfinite(b->data[k])) {
            free(m->data);
            return rn_fail(RN_E_FORMAT, "%s: value %zu is not finite", path, k);
        }
        m->data[k] = b->data[k];
        m->channel[k / plane] += (double)b->data[k] / (double)plane;
    }
    return RN_OK;
}

int rn_mean_read(const char *path, rn_mean *out)
{
    char *data;
    size_t n;
    *out = (rn_mean){0};
    RN_TRY(rn_read_file(path, (size_t)1 << 30, &data, &n));
    Rn__BlobProto *b = rn__blob_proto__unpack(NULL, n, (const uint8_t *)data);
    int rc = b ? take(b, path, out) : rn_fail(RN_E_FORMAT, "%s: not a BlobProto", path);
    if (b)
        rn__blob_proto__free_unpacked(b, NULL);
    free(data);
    return rc;
}
