/* SPDX-License-Identifier: MIT */
#include "run/train/rn_data_on.h"

#include <stdio.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_log.h"

/* One set, on its way. */
typedef struct set {
    rn_session *s;
    const char *name;
    rn_store *db;
    const rn_loader_opts *opts;
    rn_held *held;
    int w, h;
    double bytes, left; /* left: of the device's memory; 0: not asked for */
} set;

/* Why the loader has to make its batches; NULL: it need not. */
static const char *needs_loader(const set *d)
{
    return rn_loader_needs_pixels(d->opts, d->w, d->h);
}

/* Why auto leaves them to the loader although it need not; *why NULL: it does not. */
static int prefers_loader(set *d, const char **why, char room[128])
{
    const rn_session *s = d->s;
    size_t left, total;
    *why = NULL;
    if (!s->be->memory || s->be->emulated) {
        *why = "auto is for GPUs";
        return RN_OK;
    }
    if (!s->net) {
        *why = "each image is read once";
        return RN_OK;
    }
    RN_TRY(s->be->memory(s->be, &left, &total));
    d->left = (double)left;
    if (d->bytes <= d->left / RN_DATA_SHARE)
        return RN_OK;
    snprintf(room, 128, "its images take %.1f MB, and auto at most a quarter of the %.1f MB that the device has left",
             d->bytes * 1e-6, d->left * 1e-6);
    *why = room;
    return RN_OK;
}

static void tell(const set *d)
{
    if (rn_comm_rank(d->s->comm) == 0)
        rn_info("%s: batches are made %s", d->name, d->held->how);
}

static int on_host(set *d, const char *why)
{
    snprintf(d->held->how, sizeof d->held->how, "on the host (%s)", why);
    tell(d);
    return RN_OK;
}

static int put(void *with, const uint8_t *images, uint32_t first, int n)
{
    return rn_stock_put(with, images, (int)first, n);
}

static int decode(set *d)
{
    rn_held *held = d->held;
    const int c = d->opts->channels;
    const uint32_t count = rn_store_count(d->db);
    const double from = rn_now();
    if (count > INT32_MAX)
        return rn_fail(RN_E_RANGE, "more than %d images", INT32_MAX);
    RN_TRY(rn_stock_open(d->s->be, (int)count, d->h, d->w, c, &held->stock));
    memcpy(held->stock.fill, d->opts->fill, sizeof d->opts->fill);
    int rc = rn_decoded_open(d->db, d->w, d->h, c, d->s->workers, put, &held->stock, &held->decoded);
    if (rc < 0) {
        rn_data_off(held);
        return rc;
    }
    snprintf(held->how, sizeof held->how, "on the device, of %u images of %dx%dx%d decoded there once (%.1f MB%s)",
             count, d->w, d->h, c, d->bytes * 1e-6, d->s->r->data_on == RN_DATA_AUTO ? ", auto" : "");
    rn_verbose("%s: decoded in %.1f s", d->name, rn_now() - from);
    tell(d);
    return RN_OK;
}

/* Decided and, if that is what came out, decoded. */
static int begin(set *d)
{
    const int way = d->s->r->data_on;
    const char *why;
    char room[128];
    if (way == RN_DATA_HOST)
        return on_host(d, "--data-on host");
    RN_TRY(rn_decoded_size(d->db, &d->w, &d->h));
    d->bytes = (double)rn_store_count(d->db) * d->w * d->h * d->opts->channels;
    why = needs_loader(d);
    if (way == RN_DATA_DEVICE) {
        if (why)
            return rn_fail(RN_E_USAGE, "--data-on device: the %s's batches have to be made on the host: %s", d->name,
                           why);
        const int rc = decode(d);
        return rc < 0 ? rn_fail_prefix(rc, "--data-on device: %s", d->name) : RN_OK;
    }
    if (!why)
        RN_TRY(prefers_loader(d, &why, room));
    if (why)
        return on_host(d, why);
    const int rc = decode(d);
    if (rc == RN_E_RANGE || rc == RN_E_NOMEM) /* images of several sizes; others may have taken the memory meanwhile */
        return on_host(d, rn_error_text());
    return rc;
}

int rn_data_on(rn_session *s, const char *name, rn_store *db, rn_net *net, rn_loader_opts *opts, rn_held *held)
{
    set d = {.s = s, .name = name, .db = db, .opts = opts, .held = held};
    if (!held->how[0])
        RN_TRY(begin(&d));
    if (!held->decoded)
        return RN_OK;
    opts->decoded = held->decoded;
    opts->workers = 1; /* drawing numbers is little work */
    return rn_net_set_stock(net, &held->stock);
}

void rn_data_off(rn_held *held)
{
    rn_stock_close(&held->stock);
    rn_decoded_close(held->decoded);
    *held = (rn_held){0};
}
