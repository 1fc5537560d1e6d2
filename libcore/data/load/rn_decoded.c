/* SPDX-License-Identifier: MIT */
#include "data/load/rn_decoded.h"

#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "data/load/rn_augment.h"
#include "data/load/rn_loader.h"

enum { BATCH = 256 };

int rn_decoded_size(rn_store *store, int *width, int *height)
{
    int rc;
    rn_store_txn *txn = NULL;
    rn_renderer *rd = NULL;
    rn_record rec;
    char name[512];
    if (rn_store_count(store) == 0)
        return rn_fail(RN_E_NOTHING, "%s: the set is empty", rn_store_path(store));
    RN_GO(rn_store_begin(store, &txn));
    RN_GO(rn_store_get(txn, 0, &rec));
    *width = rec.width;
    *height = rec.height;
    if (rec.encoded) {
        const size_t n = rec.key_n < sizeof name ? rec.key_n : sizeof name - 1;
        memcpy(name, rec.key, n);
        name[n] = '\0';
        RN_GO(rn_renderer_open(&rd));
        RN_GO(rn_renderer_begin(rd, rec.data, rec.data_n, name, width, height));
    }
out:
    rn_renderer_close(rd);
    if (txn)
        rn_store_end(txn);
    return rc;
}

/* Key order and crop NONE: every image as it is, and of that size or refused. */
static int decode(rn_store *store, const rn_decoded *d, int workers, rn_decoded_put *put, void *with)
{
    const rn_loader_opts o = {.batch = BATCH,
                              .width = d->width,
                              .height = d->height,
                              .channels = d->channels,
                              .workers = workers,
                              .crop = RN_CROP_NONE};
    rn_loader *l;
    rn_batch b;
    uint32_t at = 0;
    RN_TRY(rn_loader_open(store, &o, &l));
    int rc;
    while ((rc = rn_loader_next(l, &b)) > 0) {
        memcpy(d->labels + at, b.labels, (size_t)b.n * sizeof *b.labels);
        rc = put(with, b.images, at, b.n);
        at += (uint32_t)b.n;
        rn_loader_release(l, &b);
        if (rc < 0)
            break;
    }
    rn_loader_close(l);
    return rc;
}

int rn_decoded_open(rn_store *store, int width, int height, int channels, int workers, rn_decoded_put *put, void *with,
                    rn_decoded **out)
{
    *out = NULL;
    rn_decoded *d = calloc(1, sizeof *d);
    if (!d)
        return rn_fail(RN_E_NOMEM, "decoded images: out of memory");
    *d = (rn_decoded){.count = rn_store_count(store), .width = width, .height = height, .channels = channels};
    d->labels = malloc((size_t)d->count * sizeof *d->labels + 1);
    int rc = d->labels ? decode(store, d, workers, put, with) : rn_fail(RN_E_NOMEM, "decoded images: out of memory");
    if (rc < 0) {
        rn_decoded_close(d);
        return rc;
    }
    *out = d;
    return RN_OK;
}

void rn_decoded_close(rn_decoded *d)
{
    if (!d)
        return;
    free(d->labels);
    free(d);
}
