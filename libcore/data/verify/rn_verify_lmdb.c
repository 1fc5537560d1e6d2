/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_pool.h"
#include "base/rn_progress.h"
#include "data/store/rn_resident.h"
#include "data/store/rn_seal.h"
#include "data/store/rn_store.h"
#include "data/verify/rn_verify.h"
#include "data/verify/rn_verify_image.h"
#include "data/verify/rn_verify_records.h"

/* Record digests are computed by all workers, a window of records at a time, and then chained in key order. */
enum { WINDOW = 1 << 15, TASK_RECORDS = 256, RESIDENT = 32 << 20 /* bytes of the file that may stay mapped in */ };

typedef struct walker {
    rn_store *store;
    const rn_seal *seal; /* NULL: unsealed */
    rn_image_check check;
    rn_pool *pool;
    rn_progress *bar;
    rn_resident *resident;
    rn_image *scratch; /* one a worker */
    rn_image_counts counts;
    rn_verify_set *set;
    uint32_t first; /* of the window */
    char (*hex)[RN_DIGEST_HEX_MAX];
    rn_seen_record *seen; /* every record's key and label */
} walker;

typedef struct task {
    walker *w;
    uint32_t from, to;
} task;

static void check_record(walker *w, const rn_record *r, rn_image *scratch)
{
    char name[RN_KEY_TEXT_MAX];
    rn_findings *f = &w->set->found;
    rn_key_text(r->key, r->key_n, name);
    if (r->label < 0 || (w->seal && r->label >= w->seal->nclasses))
        rn_findings_add(f, RN_BAD, RN_K_LABEL, name, "%s: label %d, the seal has %d classes", name, r->label,
                        w->seal ? w->seal->nclasses : 0);
    if (r->encoded) {
        rn_verify_image(&w->check, r->data, r->data_n, name, scratch);
        return;
    }
    w->counts.images++;
    w->counts.bytes += r->data_n;
    w->counts.decoded += w->check.decode; /* raw pixels need none */
    if (r->channels <= 0 || r->height <= 0 || r->width <= 0 ||
        (uint64_t)r->channels * (uint64_t)r->height * (uint64_t)r->width != r->data_n)
        rn_findings_add(f, RN_BAD, RN_K_DAMAGED, name, "%s: %zu bytes for %dx%dx%d pixels", name, r->data_n,
                        r->channels, r->height, r->width);
}

static int look_at(walker *w, rn_store_txn *txn, uint32_t i, rn_image *scratch)
{
    rn_record r;
    rn_stored s;
    char name[RN_KEY_TEXT_MAX];
    rn_chain_start(w->hex[i - w->first]); /* a record that cannot be read has a digest of zeros */
    w->seen[i] = (rn_seen_record){.key = ""};
    if (rn_store_get_stored(txn, i, &s) < 0) {
        rn_findings_add(&w->set->found, RN_BAD, RN_K_DAMAGED, rn_store_path(w->store), "%s", rn_error_text());
        return RN_OK;
    }
    w->seen[i].key = s.key;
    w->seen[i].key_n = s.key_n;
    RN_TRY(rn_chain_record(s.key, s.key_n, s.value, s.value_n, w->hex[i - w->first]));
    if (rn_store_get(txn, i, &r) < 0) {
        rn_key_text(s.key, s.key_n, name);
        rn_findings_add(&w->set->found, RN_BAD, RN_K_DAMAGED, name, "%s", rn_error_text());
    } else {
        w->seen[i].read = true;
        w->seen[i].label = r.label;
        check_record(w, &r, scratch);
    }
    rn_resident_note(w->resident, s.value);
    return RN_OK;
}

static int look(void *arg, int worker)
{
    task *t = arg;
    rn_store_txn *txn;
    RN_TRY(rn_store_begin(t->w->store, &txn));
    int rc = RN_OK;
    for (uint32_t i = t->from; i < t->to && rc == RN_OK; i++)
        rc = look_at(t->w, txn, i, &t->w->scratch[worker]);
    rn_store_end(txn);
    rn_progress_add(t->w->bar, t->to - t->from);
    return rc;
}

static int look_through_window(walker *w, uint32_t n, char chain[RN_DIGEST_HEX_MAX])
{
    static const uint32_t step = TASK_RECORDS;
    task tasks[WINDOW / TASK_RECORDS];
    int rc = RN_OK;
    for (uint32_t i = 0, k = 0; i < n && rc == RN_OK; i += step, k++) {
        tasks[k] = (task){w, w->first + i, w->first + (n - i < step ? n : i + step)};
        rc = rn_pool_submit(w->pool, look, &tasks[k]);
    }
    int waited = rn_pool_wait(w->pool);
    if (rc < 0 || waited < 0)
        return rc < 0 ? rc : waited;
    for (uint32_t i = 0; i < n; i++)
        RN_TRY(rn_chain_add(chain, w->hex[i]));
    return RN_OK;
}

/* Each shard has its own seal, and with it its own chain. */
static int look_through_part(walker *w, const rn_store_part *p)
{
    char chain[RN_DIGEST_HEX_MAX];
    uint32_t end = p->first + p->count;
    rn_chain_start(chain);
    for (w->first = p->first; w->first < end; w->first += WINDOW)
        RN_TRY(look_through_window(w, end - w->first < WINDOW ? end - w->first : WINDOW, chain));
    if (p->seal && strcmp(chain, p->seal->content_sha256) != 0)
        rn_findings_add(&w->set->found, RN_BAD, RN_K_DIGEST, p->path,
                        "%s: its records' digest is %s, the seal says %s: pack it again", p->path, chain,
                        p->seal->content_sha256);
    return RN_OK;
}

static int look_through(walker *w)
{
    for (int i = 0; i < rn_store_nparts(w->store); i++) {
        rn_store_part p = rn_store_part_at(w->store, i);
        RN_TRY(look_through_part(w, &p));
    }
    return RN_OK;
}

/* A set without its seal, or whose seal is damaged, is looked through all the same: that is the first finding. */
static int open_store(const char *path, rn_verify_set *out, rn_store **store)
{
    char why[1024];
    int rc = rn_store_open(path, 0, store);
    if (rc != RN_E_FORMAT)
        return rc;
    snprintf(why, sizeof why, "%s", rn_error_text());
    if (rn_store_open(path, RN_STORE_UNSEALED_OK, store) < 0)
        return rn_fail(rc, "%s", why);
    rn_findings_add(&out->found, RN_BAD, RN_K_SEAL, path, "%s", why);
    return RN_OK;
}

int rn_verify_lmdb(const char *path, const rn_verify_opts *opts, rn_verify_set *out)
{
    int rc, jobs = opts->jobs;
    walker w = {.set = out};
    memset(out, 0, sizeof *out);
    rn_findings_init(&out->found);
    w.check = (rn_image_check){.decode = opts->decode,
                               .manifest = opts->manifest ? opts->manifest : rn_manifest_builtin(),
                               .found = &out->found,
                               .counts = &w.counts};
    RN_TRY(open_store(path, out, &w.store));
    uint32_t n = rn_store_count(w.store);
    w.seal = rn_store_seal(w.store);
    snprintf(out->digest, sizeof out->digest, "%s", w.seal ? rn_store_seal_digest(w.store) : "");
    w.scratch = calloc((size_t)jobs, sizeof *w.scratch);
    w.hex = malloc(WINDOW * sizeof *w.hex);
    w.seen = calloc((size_t)n + 1, sizeof *w.seen);
    if (!w.scratch || !w.hex || !w.seen)
        RN_GO(rn_fail(RN_E_NOMEM, "%s: out of memory", path));
    if (n == 0 && !w.seal) { /* ended before its first batch, which is found already */
        rc = RN_OK;
        goto out;
    }
    if (n == 0)
        RN_GO(rn_fail(RN_E_NOTHING, "%s: no records in it", path));
    RN_GO(rn_resident_open(RESIDENT, &w.resident));
    RN_GO(rn_pool_open(jobs, 2 * jobs, &w.pool));
    w.bar = rn_progress_start("verify records", "records", RN_UNIT_ITEMS, n);
    rc = look_through(&w);
    rn_progress_done(w.bar);
    if (rc == RN_OK)
        rc = rn_records_check(path, opts, w.seal, w.seen, n, out);
    rn_verify_take_counts(&w.counts, out);
out:
    rn_pool_close(w.pool);
    rn_resident_close(w.resident);
    for (int i = 0; w.scratch && i < jobs; i++)
        rn_image_free(&w.scratch[i]);
    free(w.scratch);
    free(w.hex);
    free(w.seen);
    rn_store_close(w.store);
    return rc;
}
