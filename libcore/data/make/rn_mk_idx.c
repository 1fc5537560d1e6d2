/* SPDX-License-Identifier: MIT */
/* Source: idx files (MNIST, Fashion-MNIST). Layout: two zero bytes, type 8 (uint8), rank, rank big-endian sizes, data. */
#include <archive.h>
#include <archive_entry.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "data/image/rn_image.h"
#include "data/make/rn_mk.h"

typedef struct idx_set {
    rn_buf images[2];
    int width, height;
} idx_set;

enum { IDX_UINT8 = 8, IDX_MAX_SIDE = 4096, IDX_MAX_BYTES = 1 << 30 };

/* Whole file, un-gzipped if it is gzip: libarchive's "raw" format is a file seen as its only entry. */
static int read_maybe_gzip(const char *path, rn_buf *out)
{
    int rc = RN_OK;
    struct archive_entry *entry;
    struct archive *ar = archive_read_new();
    if (!ar)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", path);
    archive_read_support_filter_gzip(ar);
    archive_read_support_format_raw(ar);
    if (archive_read_open_filename(ar, path, 1 << 20) != ARCHIVE_OK ||
        archive_read_next_header(ar, &entry) != ARCHIVE_OK)
        RN_GO(rn_fail(RN_E_IO, "%s: %s", path, archive_error_string(ar)));
    for (;;) {
        RN_GO(rn_buf_reserve(out, out->n + (1 << 20)));
        la_ssize_t k = archive_read_data(ar, out->data + out->n, 1 << 20);
        if (k < 0)
            RN_GO(rn_fail(RN_E_FORMAT, "%s: %s", path, archive_error_string(ar)));
        if (k == 0)
            break;
        out->n += (size_t)k;
        if (out->n > IDX_MAX_BYTES)
            RN_GO(rn_fail(RN_E_RANGE, "%s: over 1 GiB", path));
    }
out:
    archive_read_free(ar);
    return rc;
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Reads PREFIX-KIND-idxR-ubyte[.gz] and checks its header; size[0..rank-1] are its dimensions. */
static int read_idx(const char *dir, const char *prefix, const char *kind, int rank, rn_buf *out, uint32_t size[3])
{
    static const char *const forms[] = {"%s/%s-%s-idx%d-ubyte", "%s/%s-%s-idx%d-ubyte.gz", "%s/%s-%s.idx%d-ubyte"};
    char path[2048];
    bool found = false;
    for (size_t i = 0; i < sizeof forms / sizeof *forms && !found; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(path, sizeof path, forms[i], dir, prefix, kind, rank);
#pragma GCC diagnostic pop
        found = rn_is_file(path);
    }
    if (!found)
        return rn_fail(RN_E_NOENT, "%s: has no %s-%s-idx%d-ubyte or .gz of it", dir, prefix, kind, rank);
    RN_TRY(read_maybe_gzip(path, out));
    size_t head = 4 + 4 * (size_t)rank, want = 1;
    const uint8_t *b = out->data;
    if (out->n < head || b[0] || b[1] || b[2] != IDX_UINT8 || b[3] != rank)
        return rn_fail(RN_E_FORMAT, "%s: not an idx file of bytes with %d dimensions", path, rank);
    for (int i = 0; i < rank; i++) {
        size[i] = be32(b + 4 + (size_t)4 * (size_t)i);
        if (size[i] == 0 || want > IDX_MAX_BYTES / size[i])
            return rn_fail(RN_E_FORMAT, "%s: dimension %d is %u", path, i + 1, size[i]);
        want *= size[i];
    }
    if (out->n != head + want)
        return rn_fail(RN_E_FORMAT, "%s: %zu bytes after the header, %zu expected", path, out->n - head, want);
    return RN_OK;
}

static int idx_jpeg(const rn_mk_source *s, int split, uint32_t i, int quality, rn_buf *out)
{
    const idx_set *d = s->self;
    size_t n = (size_t)d->width * (size_t)d->height;
    rn_image im = {.w = d->width, .h = d->height, .c = 1, .px = d->images[split].data + 16 + n * i, .cap = n};
    return rn_image_encode_jpeg(&im, quality, &out->data, &out->cap, &out->n);
}

static void idx_close(void *self)
{
    idx_set *d = self;
    rn_buf_free(&d->images[0]);
    rn_buf_free(&d->images[1]);
    free(d);
}

static int read_split(const char *dir, int split, idx_set *d, rn_mk_source *s)
{
    static const char *const prefix[2] = {"train", "t10k"};
    rn_buf labels = {0};
    uint32_t size[3], nlabels[3];
    int rc;
    RN_GO(read_idx(dir, prefix[split], "images", 3, &d->images[split], size));
    RN_GO(read_idx(dir, prefix[split], "labels", 1, &labels, nlabels));
    if (size[0] != nlabels[0] || size[1] > IDX_MAX_SIDE || size[2] > IDX_MAX_SIDE)
        RN_GO(rn_fail(RN_E_MISMATCH, "%s: %s has %u images of %ux%u and %u labels", dir, prefix[split], size[0],
                      size[2], size[1], nlabels[0]));
    if (split == RN_MK_VAL && ((int)size[1] != d->height || (int)size[2] != d->width))
        RN_GO(rn_fail(RN_E_MISMATCH, "%s: train and t10k images differ in size", dir));
    d->height = (int)size[1];
    d->width = (int)size[2];
    s->n[split] = size[0];
    s->label[split] = malloc(size[0] * sizeof *s->label[split]);
    if (!s->label[split])
        RN_GO(rn_fail(RN_E_NOMEM, "%s: out of memory", dir));
    for (uint32_t i = 0; i < size[0]; i++) {
        s->label[split][i] = labels.data[8 + i];
        if (s->label[split][i] >= s->nclasses)
            s->nclasses = s->label[split][i] + 1;
    }
    rc = RN_OK;
out:
    rn_buf_free(&labels);
    return rc;
}

int rn_mk_open_idx(const char *dir, rn_mk_source *out)
{
    int rc;
    memset(out, 0, sizeof *out);
    idx_set *d = calloc(1, sizeof *d);
    if (!d)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", dir);
    out->self = d;
    out->close = idx_close;
    out->jpeg = idx_jpeg;
    RN_GO(read_split(dir, RN_MK_TRAIN, d, out));
    RN_GO(read_split(dir, RN_MK_VAL, d, out));
    RN_GO(rn_mk_alloc_classes(out, out->nclasses));
    snprintf(out->about, sizeof out->about, "idx files, %dx%d gray, %d classes, %u train and %u val images", d->width,
             d->height, out->nclasses, out->n[0], out->n[1]);
    return RN_OK;
out:
    rn_mk_close(out);
    return rc;
}
