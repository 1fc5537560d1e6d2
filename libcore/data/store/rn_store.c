/* SPDX-License-Identifier: MIT */
#include "data/store/rn_store.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "data/store/rn_datum.h"
#include "data/store/rn_seal.h"
#include "data/store/rn_shard_set.h"
#include "data/store/rn_store_pages.h"

/* One data.mdb. */
typedef struct part {
    rn_pages pages;
    uint64_t *at; /* where its records lie (rn_pages_walk) */
    uint32_t first, count;
    uint64_t value_bytes;
} part;

struct rn_store {
    char *path;
    rn_shard_set set;
    part *parts;        /* set.n, in key order */
    uint32_t count;     /* of all */
    const char **wnids; /* nclasses + 1, last NULL; texts belong to the seal */
};

struct rn_store_txn {
    rn_store *store;
};

/* ---- opening ------------------------------------------------------------------------------------------------ */

static int add_record(void *arg, uint64_t at, size_t value_n)
{
    part *p = arg;
    p->at[p->count++] = at;
    p->value_bytes += value_n;
    return RN_OK;
}

static int index_records(part *p)
{
    enum { NODE_MIN = 10 /* bytes that the smallest record takes: head and offset */ };
    uint64_t n = p->pages.entries;
    if (n >= UINT32_MAX || n > p->pages.npages * p->pages.page_size / NODE_MIN)
        return rn_fail(RN_E_FORMAT,
                       "%s: data.mdb counts %" PRIu64 " records, more than can be: it is damaged, pack it again",
                       p->pages.path, n);
    p->at = malloc((size_t)(n + 1) * sizeof *p->at);
    if (!p->at)
        return rn_fail(RN_E_NOMEM, "%s: no memory for the index of %" PRIu64 " records", p->pages.path, n);
    return rn_pages_walk(&p->pages, add_record, p);
}

/* Whether the seal can be this set's, as far as can be told without reading the images. */
static int check_seal(const part *p, const rn_seal *k)
{
    enum { DATUM_MAX = 64 /* what a Datum has beside its data, at most */ };
    const char *path = p->pages.path;
    if (k->records != p->count)
        return rn_fail(RN_E_MISMATCH, "%s: %" PRIu32 " records, but its seal says %" PRIu64 "; pack it again", path,
                       p->count, k->records);
    if (p->value_bytes < k->data_bytes || p->value_bytes - k->data_bytes > (uint64_t)p->count * DATUM_MAX)
        return rn_fail(RN_E_MISMATCH,
                       "%s: records of %" PRIu64 " bytes, but its seal says %" PRIu64
                       " of images: another set's seal? pack it again",
                       path, p->value_bytes, k->data_bytes);
    return RN_OK;
}

/* The last key of one shard and the first of the next must rise, too. */
static int check_order(const part *a, const part *b)
{
    rn_pages_record x, y;
    if (!a->count || !b->count)
        return RN_OK;
    if (!rn_pages_record_at(&a->pages, a->at[a->count - 1], &x) || !rn_pages_record_at(&b->pages, b->at[0], &y))
        return rn_fail(RN_E_FORMAT, "%s: its first record, or the last of %s, is damaged: pack it again", b->pages.path,
                       a->pages.path);
    size_t n = x.key_n < y.key_n ? x.key_n : y.key_n;
    int c = memcmp(x.key, y.key, n);
    if (c > 0 || (c == 0 && x.key_n >= y.key_n))
        return rn_fail(RN_E_MISMATCH, "%s: its keys do not follow those of %s: not shards of one set", b->pages.path,
                       a->pages.path);
    return RN_OK;
}

static int open_parts(rn_store *s)
{
    s->parts = calloc((size_t)s->set.n, sizeof *s->parts);
    if (!s->parts)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", s->path);
    uint64_t total = 0;
    for (int i = 0; i < s->set.n; i++) {
        part *p = &s->parts[i];
        RN_TRY(rn_pages_open(s->set.folder[i].path, &p->pages));
        RN_TRY(index_records(p));
        if (s->set.folder[i].seal)
            RN_TRY(check_seal(p, s->set.folder[i].seal));
        if (i > 0)
            RN_TRY(check_order(p - 1, p));
        p->first = (uint32_t)total;
        total += p->count;
        if (total >= UINT32_MAX)
            return rn_fail(RN_E_RANGE, "%s: %" PRIu64 " records, at most 2^32 - 2 are read", s->path, total);
    }
    s->count = (uint32_t)total;
    return RN_OK;
}

static int list_wnids(rn_store *s)
{
    const rn_seal *k = rn_store_seal(s);
    if (!k)
        return RN_OK;
    s->wnids = calloc((size_t)k->nclasses + 1, sizeof *s->wnids);
    if (!s->wnids)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", s->path);
    for (int i = 0; i < k->nclasses; i++)
        s->wnids[i] = k->classes[i].wnid;
    return RN_OK;
}

int rn_store_open(const char *path, unsigned flags, rn_store **out)
{
    *out = NULL;
    rn_store *s = calloc(1, sizeof *s);
    if (!s || !(s->path = strdup(path))) {
        free(s);
        return rn_fail(RN_E_NOMEM, "%s: out of memory", path);
    }
    int rc;
    RN_GO(rn_shard_set_open(path, flags & RN_STORE_UNSEALED_OK, &s->set));
    RN_GO(open_parts(s));
    RN_GO(list_wnids(s));
    *out = s;
    return RN_OK;
out:
    rn_store_close(s);
    return rc;
}

void rn_store_close(rn_store *s)
{
    if (!s)
        return;
    for (int i = 0; s->parts && i < s->set.n; i++) {
        rn_pages_close(&s->parts[i].pages);
        free(s->parts[i].at);
    }
    free(s->parts);
    rn_shard_set_close(&s->set);
    free(s->wnids);
    free(s->path);
    free(s);
}

uint32_t rn_store_count(const rn_store *s)
{
    return s->count;
}

int rn_store_nclasses(const rn_store *s)
{
    const rn_seal *k = rn_store_seal(s);
    return k ? k->nclasses : 0;
}

const char *const *rn_store_wnids(const rn_store *s)
{
    static const char *const none[] = {NULL};
    return s->wnids ? s->wnids : none;
}

const char *rn_store_seal_digest(const rn_store *s)
{
    const rn_seal *k = rn_store_seal(s);
    return k ? k->digest : "";
}

const char *rn_store_path(const rn_store *s)
{
    return s->path;
}

const rn_seal *rn_store_seal(const rn_store *s)
{
    return s->set.merged ? s->set.merged : s->set.folder[0].seal;
}

int rn_store_nparts(const rn_store *s)
{
    return s->set.n;
}

rn_store_part rn_store_part_at(const rn_store *s, int i)
{
    return (rn_store_part){.path = s->set.folder[i].path,
                           .first = s->parts[i].first,
                           .count = s->parts[i].count,
                           .seal = s->set.folder[i].seal};
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

/* The part that holds record i < count. */
static const part *part_of(const rn_store *s, uint32_t i)
{
    int lo = 0, hi = s->set.n - 1;
    while (lo < hi) {
        int mid = lo + (hi - lo + 1) / 2;
        if (s->parts[mid].first <= i)
            lo = mid;
        else
            hi = mid - 1;
    }
    return &s->parts[lo];
}

int rn_store_begin(rn_store *s, rn_store_txn **out)
{
    rn_store_txn *t = *out = calloc(1, sizeof *t);
    if (!t)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", s->path);
    t->store = s;
    int rc = rn_store_renew(t);
    if (rc < 0) {
        free(t);
        *out = NULL;
    }
    return rc;
}

int rn_store_renew(rn_store_txn *t)
{
    const rn_store *s = t->store;
    for (int i = 0; i < s->set.n; i++)
        if (rn_pages_changed(&s->parts[i].pages))
            return rn_fail(RN_E_MISMATCH,
                           "%s: data.mdb is being written to while it is read; stop that, and verify the set",
                           s->parts[i].pages.path);
    return RN_OK;
}

void rn_store_end(rn_store_txn *t)
{
    free(t);
}

int rn_store_get_stored(rn_store_txn *t, uint32_t i, rn_stored *out)
{
    const rn_store *s = t->store;
    rn_pages_record r = {0};
    if (i >= s->count)
        return rn_fail(RN_E_RANGE, "%s: record %" PRIu32 " of %" PRIu32, s->path, i, s->count);
    const part *p = part_of(s, i);
    if (!rn_pages_record_at(&p->pages, p->at[i - p->first], &r))
        return rn_fail(RN_E_FORMAT,
                       "%s: record %" PRIu32 " (%.*s): its pages in data.mdb are damaged; copy it again, or pack again",
                       p->pages.path, i, (int)r.key_n, r.key ? (const char *)r.key : "");
    *out = (rn_stored){.key = r.key, .key_n = r.key_n, .value = r.value, .value_n = r.value_n};
    return RN_OK;
}

int rn_store_get(rn_store_txn *t, uint32_t i, rn_record *out)
{
    rn_stored v;
    rn_datum d;
    RN_TRY(rn_store_get_stored(t, i, &v));
    int rc = rn_datum_parse(v.value, v.value_n, &d);
    if (rc < 0)
        return rn_fail_prefix(rc, "%s: record %" PRIu32 " (%.*s)", t->store->path, i, (int)v.key_n,
                              (const char *)v.key);
    *out = (rn_record){.key = v.key,
                       .key_n = v.key_n,
                       .data = d.data,
                       .data_n = d.data_n,
                       .label = d.label,
                       .encoded = d.encoded,
                       .channels = d.channels,
                       .height = d.height,
                       .width = d.width};
    return RN_OK;
}
