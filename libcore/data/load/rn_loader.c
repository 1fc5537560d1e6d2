/* SPDX-License-Identifier: MIT */
/*
 * A ring of batches. Workers take short runs of images from the batch that is being handed out, so that all of them
 * work on the one the consumer waits for; the image's place in the batch and its random numbers are fixed before. One
 * lock guards everything but the pixels, which belong to whoever took their run until it reports the run done.
 *
 *   released <= taken <= out     batches in order: given back by the consumer, taken by it, handed out to workers;
 *                                out - released <= depth
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "data/load/rn_loader_impl.h"
#include "data/load/rn_mixup.h"
#include "data/load/rn_sampler.h"

enum { MAX_RUN = 16 };

/* ---- handing out; called with the lock held ------------------------------------------------------------------- */

static rn_loader_slot *slot_of(const rn_loader *l, uint64_t batch)
{
    return &l->slots[batch % (uint64_t)l->o.depth];
}

/* Asks for the order of `epoch`, unless it is there or on its way. */
static void want_order(rn_loader *l, uint32_t epoch)
{
    int b = epoch & 1;
    if (l->order_epoch[b] == epoch && l->order_state[b] != ORDER_NONE)
        return;
    l->order_epoch[b] = epoch;
    l->order_state[b] = ORDER_WANTED;
}

static bool at_end(const rn_loader *l)
{
    return !l->o.train && l->number_at == l->per_epoch;
}

/* Which rows of the whole batch come: s->first, s->n, and one before them where mixup wants it. */
static void fill_rows(rn_loader *l, rn_loader_slot *s, const uint32_t *order)
{
    const uint64_t at = l->from + s->number * (uint64_t)(l->o.train ? l->o.batch : l->rows), left = l->to - at;
    const uint64_t whole = l->o.train ? (uint64_t)l->o.batch : (uint64_t)l->rows, n = left < whole ? left : whole;
    const uint64_t part = l->o.train ? (uint64_t)l->o.part : 0, parts = l->o.train ? (uint64_t)l->o.parts : 1;
    s->first = (int)(n * part / parts);
    s->n = (int)(n * (part + 1) / parts) - s->first;
    s->todo = s->n;
    memcpy(s->index, order + at + s->first, (size_t)s->n * sizeof *s->index);
    if (l->o.mixup > 0 && s->n > 0 && (uint64_t)s->n < n)
        s->index[s->todo++] = order[at + (s->first ? (uint64_t)s->first : n) - 1];
}

/* Opens the next batch for handing out; false when the ring is full, the evaluation over or the order not there yet. */
static bool open_batch(rn_loader *l)
{
    if (at_end(l) || l->out - l->released == (uint64_t)l->o.depth)
        return false;
    uint32_t epoch = l->epoch_at;
    want_order(l, epoch);
    if (l->order_state[epoch & 1] != ORDER_READY)
        return false;
    rn_loader_slot *s = slot_of(l, l->out);
    s->epoch = epoch;
    s->number = l->number_at;
    fill_rows(l, s, l->order[epoch & 1]);
    s->handed = s->done = 0;
    s->whole = s->held = false;
    s->bad = -1;
    s->status = RN_OK;
    size_t rest = (size_t)(l->rows - s->n);
    memset(s->index + s->todo, 0, (size_t)(l->rows + 1 - s->todo) * sizeof *s->index);
    memset(s->labels + s->n, 0, rest * sizeof *s->labels);
    if (s->windows)
        memset(s->windows + s->n, 0, rest * sizeof *s->windows);
    if (l->o.mixup > 0) {
        memset(s->labels2 + s->n, 0, rest * sizeof *s->labels2);
        s->share = rn_mixup_share(l->o.seed, epoch, s->number, l->o.mixup);
    }
    if (s->picks) {
        rn_loader_rest(s->picks, 1);
        rn_loader_rest(s->picks + s->n + 1, l->rows - s->n + 1);
    } else {
        memset(s->images + (size_t)s->n * l->image_bytes, 0, rest * l->image_bytes);
    }
    l->out++;
    if (++l->number_at == l->per_epoch && l->o.train) {
        l->number_at = 0;
        l->epoch_at++;
    }
    if (l->o.train) /* the other order's epoch is over: its room is for the one to come */
        want_order(l, epoch + 1);
    return true;
}

/* ---- workers -------------------------------------------------------------------------------------------------- */

/* Makes a wanted order, outside the lock. False when none is wanted. */
static bool make_order(rn_loader *l)
{
    for (int b = 0; b < 2; b++) {
        if (l->order_state[b] != ORDER_WANTED)
            continue;
        uint32_t epoch = l->order_epoch[b];
        l->order_state[b] = ORDER_MAKING;
        l->busy++;
        pthread_mutex_unlock(&l->lock);
        const rn_sampler s = {.order = l->o.order, .seed = l->o.seed};
        rn_sampler_order(&s, epoch, l->count, l->order[b]);
        pthread_mutex_lock(&l->lock);
        l->busy--;
        l->order_state[b] = ORDER_READY;
        pthread_cond_broadcast(&l->work);
        pthread_cond_broadcast(&l->ready);
        return true;
    }
    return false;
}

static void add_profile(rn_loader *l, rn_loader_profile *p)
{
    l->profile.images += p->images;
    l->profile.bytes += p->bytes;
    l->profile.read_s += p->read_s;
    l->profile.decode_s += p->decode_s;
    l->profile.resize_s += p->resize_s;
    l->profile.augment_s += p->augment_s;
    *p = (rn_loader_profile){0};
}

/* The last of a batch's images has come: whoever brought it mixes them, outside the lock. */
static void finish_batch(rn_loader_worker *w, rn_loader_slot *s)
{
    rn_loader *l = w->l;
    if (l->o.mixup > 0 && s->status == RN_OK) {
        l->busy++;
        pthread_mutex_unlock(&l->lock);
        rn_loader_mix(w, s);
        pthread_mutex_lock(&l->lock);
        l->busy--;
        add_profile(l, &w->profile);
    }
    s->whole = true;
}

/* Takes a run of images and fills it, outside the lock. False when there is none. */
static bool make_images(rn_loader_worker *w)
{
    rn_loader *l = w->l;
    rn_loader_slot *s = l->out > l->released ? slot_of(l, l->out - 1) : NULL;
    if (!s || s->handed == s->todo) {
        if (!open_batch(l))
            return false;
        s = slot_of(l, l->out - 1);
        pthread_cond_broadcast(&l->work);
    }
    int from = s->handed, to = from + l->run < s->todo ? from + l->run : s->todo, rc = RN_OK, i = from;
    s->handed = to;
    l->busy++;
    pthread_mutex_unlock(&l->lock);

    rc = rn_store_renew(w->txn);
    while (rc == RN_OK && i < to && (rc = rn_loader_fill(w, s, i)) == RN_OK)
        i++;

    pthread_mutex_lock(&l->lock);
    l->busy--;
    add_profile(l, &w->profile);
    if (rc < 0 && (s->bad < 0 || i < s->bad)) { /* the first in the batch's order is told, whoever met it first */
        s->bad = i;
        s->status = rc;
        snprintf(s->text, sizeof s->text, "%s", rn_error_text());
    }
    s->done += to - from;
    if (s->done == s->todo)
        finish_batch(w, s);
    if (s->whole || l->paused)
        pthread_cond_broadcast(&l->ready);
    return true;
}

static bool order_wanted(const rn_loader *l)
{
    return l->order_state[0] == ORDER_WANTED || l->order_state[1] == ORDER_WANTED;
}

static void *work(void *arg)
{
    rn_loader_worker *w = arg;
    rn_loader *l = w->l;
    pthread_mutex_lock(&l->lock);
    while (!l->stop) {
        /* looking for images may have found that an order is missing */
        if (l->paused || (!make_order(l) && !make_images(w) && !order_wanted(l)))
            pthread_cond_wait(&l->work, &l->lock);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* ---- opening and closing --------------------------------------------------------------------------------------- */

static void *alloc_copied(const rn_loader *l, size_t bytes)
{
    void *p = NULL;
    if (!l->o.alloc)
        return aligned_alloc(64, (bytes + 63) / 64 * 64);
    return l->o.alloc(l->o.with, bytes, &p) < 0 ? NULL : p;
}

static void free_copied(const rn_loader *l, void *p)
{
    if (p && l->o.alloc)
        l->o.release(l->o.with, p);
    else
        free(p);
}

static int alloc_slots(rn_loader *l)
{
    size_t batch = (size_t)l->rows + (l->o.mixup > 0 && l->o.parts > 1); /* see fill_rows */
    l->slots = calloc((size_t)l->o.depth, sizeof *l->slots);
    for (int b = 0; b < 2; b++)
        l->order[b] = malloc(l->count * sizeof *l->order[b]);
    bool ok = l->slots && l->order[0] && l->order[1];
    for (int i = 0; ok && i < l->o.depth; i++) {
        rn_loader_slot *s = &l->slots[i];
        if (l->o.decoded)
            s->picks = alloc_copied(l, ((size_t)l->rows + 2) * sizeof *s->picks);
        else
            s->images = alloc_copied(l, batch * l->image_bytes);
        s->labels = calloc(batch, sizeof *s->labels);
        s->index = calloc((size_t)l->rows + 1, sizeof *s->index);
        s->labels2 = l->o.mixup > 0 ? calloc(batch, sizeof *s->labels2) : NULL;
        s->windows = rn_loader_windows(&l->o) ? alloc_copied(l, batch * sizeof *s->windows) : NULL;
        if (s->windows)
            memset(s->windows, 0, batch * sizeof *s->windows);
        ok = (s->images || s->picks) && s->labels && s->index && (s->labels2 || !(l->o.mixup > 0)) &&
             (s->windows || !rn_loader_windows(&l->o));
    }
    if (!ok)
        return rn_fail(RN_E_NOMEM, "loader: %d batches of %d images of %zu bytes do not fit in memory: lower the batch",
                       l->o.depth, l->rows, l->image_bytes);
    return RN_OK;
}

static int start_workers(rn_loader *l)
{
    l->workers = calloc((size_t)l->o.workers, sizeof *l->workers);
    if (!l->workers)
        return rn_fail(RN_E_NOMEM, "loader: out of memory");
    for (int i = 0; i < l->o.workers; i++) {
        l->workers[i].l = l;
        RN_TRY(rn_store_begin(l->store, &l->workers[i].txn));
        RN_TRY(rn_renderer_open(&l->workers[i].renderer));
        if (l->o.mixup > 0 && !l->o.decoded && !(l->workers[i].scratch = malloc(l->image_bytes)))
            return rn_fail(RN_E_NOMEM, "loader: out of memory");
    }
    for (; l->started < l->o.workers; l->started++) {
        int err = pthread_create(&l->workers[l->started].thread, NULL, work, &l->workers[l->started]);
        if (err)
            return rn_fail_errno(err, "loader: starting worker %d of %d", l->started + 1, l->o.workers);
    }
    return RN_OK;
}

/* What comes: see rn_loader_opts.parts. */
static void set_span(rn_loader *l)
{
    const uint64_t n = l->count, part = (uint64_t)l->o.part, parts = (uint64_t)l->o.parts;
    l->rows = l->o.train ? (l->o.batch + l->o.parts - 1) / l->o.parts : l->o.batch;
    l->from = l->o.train ? 0 : (uint32_t)(n * part / parts);
    l->to = l->o.train ? l->count : (uint32_t)(n * (part + 1) / parts);
    const uint64_t batch = (uint64_t)(l->o.train ? l->o.batch : l->rows), records = l->to - l->from;
    l->per_epoch = l->o.train && l->o.drop_last ? records / batch : (records + batch - 1) / batch;
}

int rn_loader_open(rn_store *store, const rn_loader_opts *opts, rn_loader **out)
{
    int rc;
    *out = NULL;
    RN_TRY(rn_loader_check(store, opts));
    rn_loader *l = calloc(1, sizeof *l);
    if (!l)
        return rn_fail(RN_E_NOMEM, "loader: out of memory");
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->work, NULL);
    pthread_cond_init(&l->ready, NULL);
    l->store = store;
    rn_loader_resolve(opts, &l->o);
    l->count = rn_store_count(store);
    l->image_bytes = (size_t)l->o.width * (size_t)l->o.height * (size_t)l->o.channels;
    set_span(l);
    l->run = l->rows / (4 * l->o.workers);
    l->run = l->run < 1 ? 1 : l->run > MAX_RUN ? MAX_RUN : l->run;
    RN_GO(rn_resident_open(l->o.resident, &l->resident));
    RN_GO(alloc_slots(l));
    RN_GO(start_workers(l));
    *out = l;
    return RN_OK;
out:
    rn_loader_close(l);
    return rc;
}

void rn_loader_close(rn_loader *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < l->started; i++)
        pthread_join(l->workers[i].thread, NULL);
    for (int i = 0; l->workers && i < l->o.workers; i++) {
        rn_store_end(l->workers[i].txn);
        rn_renderer_close(l->workers[i].renderer);
        free(l->workers[i].scratch);
    }
    for (int i = 0; l->slots && i < l->o.depth; i++) {
        free_copied(l, l->slots[i].images);
        free_copied(l, l->slots[i].picks);
        free(l->slots[i].labels);
        free(l->slots[i].labels2);
        free(l->slots[i].index);
        free_copied(l, l->slots[i].windows);
    }
    rn_resident_close(l->resident);
    free(l->workers);
    free(l->slots);
    free(l->order[0]);
    free(l->order[1]);
    pthread_cond_destroy(&l->ready);
    pthread_cond_destroy(&l->work);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

/* ---- the consumer's side ---------------------------------------------------------------------------------------- */

uint64_t rn_loader_batches(const rn_loader *l)
{
    return l->per_epoch;
}

int rn_loader_rows(const rn_loader *l)
{
    return l->rows;
}

void rn_loader_span(const rn_loader *l, uint32_t *first, uint32_t *count)
{
    *first = l->from;
    *count = l->to - l->from;
}

int rn_loader_seek(rn_loader *l, uint32_t epoch, uint64_t number)
{
    if (number > l->per_epoch)
        return rn_fail(RN_E_RANGE, "%s: batch %llu of an epoch of %llu", rn_store_path(l->store),
                       (unsigned long long)number, (unsigned long long)l->per_epoch);
    if (l->o.train && number == l->per_epoch) {
        epoch++;
        number = 0;
    }
    pthread_mutex_lock(&l->lock);
    l->paused = true;
    while (l->busy)
        pthread_cond_wait(&l->ready, &l->lock);
    l->out = l->taken = l->released = 0;
    l->epoch_at = epoch;
    l->number_at = number;
    for (int b = 0; b < 2; b++)
        if (l->order_state[b] == ORDER_WANTED)
            l->order_state[b] = ORDER_NONE;
    l->paused = false;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
    return RN_OK;
}

/* Waits for the next batch; 0 when there is none, RN_E_*. The lock is held. */
static int wait_batch(rn_loader *l, rn_loader_slot **s)
{
    if (l->taken - l->released == (uint64_t)l->o.depth)
        return rn_fail(RN_E_RANGE, "loader: all %d batches of the ring are held: release one first", l->o.depth);
    while (l->taken == l->out && !at_end(l))
        pthread_cond_wait(&l->ready, &l->lock);
    if (l->taken == l->out)
        return 0;
    *s = slot_of(l, l->taken);
    while (!(*s)->whole)
        pthread_cond_wait(&l->ready, &l->lock);
    return (*s)->status < 0 ? rn_fail((*s)->status, "%s", (*s)->text) : 1;
}

int rn_loader_next(rn_loader *l, rn_batch *out)
{
    rn_loader_slot *s = NULL;
    double start = rn_now();
    pthread_mutex_lock(&l->lock);
    int rc = wait_batch(l, &s);
    if (rc == 1) {
        s->held = true;
        l->taken++;
        *out = (rn_batch){.images = s->images,
                          .picks = s->picks,
                          .labels = s->labels,
                          .index = s->index,
                          .windows = s->windows,
                          .labels2 = s->labels2,
                          .share = s->labels2 ? (float)s->share / 65536 : 1,
                          .n = s->n,
                          .first = s->first,
                          .epoch = s->epoch,
                          .number = s->number,
                          .waited_s = rn_now() - start};
    }
    pthread_mutex_unlock(&l->lock);
    return rc;
}

bool rn_loader_ready(rn_loader *l)
{
    pthread_mutex_lock(&l->lock);
    const bool full = l->taken - l->released == (uint64_t)l->o.depth;
    const bool ready = full || (l->taken == l->out ? at_end(l) : slot_of(l, l->taken)->whole);
    pthread_mutex_unlock(&l->lock);
    return ready;
}

void rn_loader_profiled(rn_loader *l, rn_loader_profile *out)
{
    pthread_mutex_lock(&l->lock);
    *out = l->profile;
    pthread_mutex_unlock(&l->lock);
}

void rn_loader_release(rn_loader *l, const rn_batch *b)
{
    pthread_mutex_lock(&l->lock);
    for (uint64_t i = l->released; i < l->taken; i++)
        if (slot_of(l, i)->labels == b->labels)
            slot_of(l, i)->held = false;
    while (l->released < l->taken && !slot_of(l, l->released)->held)
        l->released++;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
}
