/* SPDX-License-Identifier: MIT */
#include "data/pack/rn_pack_flow.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_pool.h"
#include "data/store/rn_seal.h"

/*
 * Between reading and writing there may be WINDOW images, so that the workers go on while a batch is synced to disk, of which
 * at most HELD_BYTES wait, converted, for the writer: whoever has more waits too, but for what the writer needs next. Small
 * images are handed out in groups, since waking a thread costs more than reading one.
 */
enum { WINDOW = 1024, GROUP_IMAGES = 16, GROUP_BYTES = 256 << 10, GUESS_BYTES = 64 << 10, KEEP_BUFFER = 1 << 20 };
#define HELD_BYTES (64u << 20)

typedef struct line line;

/* One image on its way. */
typedef struct slot {
    line *l;
    uint32_t place; /* in key order */
    uint32_t group; /* in the first of a group: how many images it has */
    bool done;      /* in the first of a group, under l->lock: all of it */
    rn_buf datum;
    uint64_t data_n;
    char key[512], hex[RN_DIGEST_HEX_MAX];
    int rc;
    char why[1024];
} slot;

typedef struct worker {
    rn_converter *converter;
    rn_buf in;
} worker;

struct line {
    const rn_flow *flow;
    rn_pool *pool;
    worker *workers;      /* flow->jobs */
    slot *slots;          /* WINDOW, a ring by place */
    uint32_t submitted;   /* places given to the pool */
    pthread_mutex_t lock; /* guards slot.done and what follows */
    pthread_cond_t ready; /* a group is done */
    pthread_cond_t room;  /* `held` or `head` changed */
    uint64_t held;        /* bytes of Datums that wait to be taken */
    uint32_t head;        /* the place that is taken next */
    bool ending;          /* nothing more will be taken */
};

static slot *slot_of(line *l, uint32_t place)
{
    return &l->slots[place % WINDOW];
}

/* ---- workers ------------------------------------------------------------------------------------------------ */

static int convert(slot *s, worker *w)
{
    const rn_flow *f = s->l->flow;
    uint32_t input = f->order[s->place];
    const char *path = rn_input_path(f->inputs, input);
    RN_TRY(rn_input_read(f->inputs, input, &w->in));
    RN_TRY(rn_converter_run(w->converter, w->in.data, w->in.n, path, f->inputs->input[input].label, &s->datum,
                            &s->data_n));
    snprintf(s->key, sizeof s->key, "%08" PRIu32 "_%s", s->place, path);
    return rn_chain_record(s->key, strlen(s->key), s->datum.data, s->datum.n, s->hex);
}

/* The group that the taker needs next is never held back, and groups begin in order: so this cannot lock up. False: nobody
 * wants it any more. */
static bool wait_for_room(line *l, uint32_t place)
{
    pthread_mutex_lock(&l->lock);
    while (l->held > HELD_BYTES && l->head != place && !l->ending)
        pthread_cond_wait(&l->room, &l->lock);
    bool go = !l->ending;
    pthread_mutex_unlock(&l->lock);
    return go;
}

/* Failures stay in the slot: the taker meets them in key order, so the same one is reported at any number of jobs. */
static int work(void *arg, int index)
{
    slot *first = arg;
    line *l = first->l;
    worker *w = &l->workers[index];
    uint64_t held = 0;
    if (!wait_for_room(l, first->place))
        return RN_OK;
    for (uint32_t i = 0; i < first->group; i++) {
        slot *s = slot_of(l, first->place + i);
        s->rc = convert(s, w);
        if (s->rc < 0)
            snprintf(s->why, sizeof s->why, "%s", rn_error_text());
        held += s->datum.cap;
    }
    if (w->in.cap > KEEP_BUFFER)
        rn_buf_free(&w->in); /* one huge file must not weigh for ever */
    pthread_mutex_lock(&l->lock);
    l->held += held;
    first->done = true;
    pthread_cond_signal(&l->ready);
    pthread_mutex_unlock(&l->lock);
    return RN_OK;
}

/* Fills the slots of the next group, which fits between l->submitted and `end`. */
static slot *make_group(line *l, uint32_t end)
{
    slot *first = slot_of(l, l->submitted);
    uint64_t bytes = 0;
    uint32_t n = 0;
    while (n < GROUP_IMAGES && l->submitted + n < end && (n == 0 || bytes < GROUP_BYTES)) {
        slot *s = slot_of(l, l->submitted + n);
        uint32_t input = l->flow->order[l->submitted + n];
        uint64_t size = l->flow->inputs->input[input].size;
        s->l = l;
        s->place = l->submitted + n++;
        bytes += size ? size : GUESS_BYTES;
        rn_input_prefetch(l->flow->inputs, input);
    }
    first->group = n;
    first->done = false;
    return first;
}

/* Keeps the window full. */
static int submit_more(line *l, uint32_t written)
{
    uint32_t left = l->flow->end - written, end = written + (left < WINDOW ? left : WINDOW);
    while (l->submitted < end) {
        slot *first = make_group(l, end);
        RN_TRY(rn_pool_submit(l->pool, work, first));
        l->submitted += first->group;
    }
    return RN_OK;
}

static void wait_for(line *l, slot *first)
{
    pthread_mutex_lock(&l->lock);
    l->head = first->place;
    pthread_cond_broadcast(&l->room);
    while (!first->done)
        pthread_cond_wait(&l->ready, &l->lock);
    pthread_mutex_unlock(&l->lock);
}

/* ---- taking ------------------------------------------------------------------------------------------------- */

static int take_slot(const slot *s, rn_flow_fn fn, void *arg)
{
    rn_flow_record r = {.place = s->place, .rc = s->rc, .why = s->why};
    if (s->rc >= 0) {
        r.key = s->key;
        r.value = s->datum.data;
        r.n = s->datum.n;
        r.data_n = s->data_n;
        r.hex = s->hex;
    }
    return fn(arg, &r);
}

static int take_group(line *l, slot *first, rn_flow_fn fn, void *arg)
{
    uint64_t freed = 0;
    int rc = RN_OK;
    for (uint32_t i = 0; i < first->group; i++) {
        slot *s = slot_of(l, first->place + i);
        if (rc >= 0)
            rc = take_slot(s, fn, arg);
        freed += s->datum.cap;
        rn_buf_free(&s->datum);
    }
    pthread_mutex_lock(&l->lock);
    l->held -= freed;
    pthread_cond_broadcast(&l->room);
    pthread_mutex_unlock(&l->lock);
    rn_progress_add(l->flow->progress, first->group);
    return rc;
}

static void end_work(line *l)
{
    pthread_mutex_lock(&l->lock);
    l->ending = true;
    pthread_cond_broadcast(&l->room);
    pthread_mutex_unlock(&l->lock);
}

static int take_all(line *l, rn_flow_fn fn, void *arg)
{
    const rn_flow *f = l->flow;
    int rc = RN_OK;
    l->submitted = f->from;
    for (uint32_t done = f->from; done < f->end;) {
        if (f->stop && *f->stop)
            RN_GO(rn_fail(RN_E_INTERRUPTED, "interrupted; the same command goes on from here"));
        RN_GO(submit_more(l, done));
        slot *first = slot_of(l, done);
        wait_for(l, first);
        RN_GO(take_group(l, first, fn, arg));
        done += first->group;
    }
out:
    end_work(l);
    return rc;
}

/* ---- setting up --------------------------------------------------------------------------------------------- */

static int open_line(line *l)
{
    const rn_flow *f = l->flow;
    l->slots = calloc(WINDOW, sizeof *l->slots);
    l->workers = calloc((size_t)f->jobs, sizeof *l->workers);
    if (!l->slots || !l->workers)
        return rn_fail(RN_E_NOMEM, "no memory for %d workers", f->jobs);
    for (int i = 0; i < f->jobs; i++)
        RN_TRY(rn_converter_open(f->convert, &l->workers[i].converter));
    return rn_pool_open(f->jobs, WINDOW, &l->pool);
}

static void close_line(line *l)
{
    rn_pool_close(l->pool); /* waits for what is under way */
    for (int i = 0; l->workers && i < l->flow->jobs; i++) {
        rn_converter_close(l->workers[i].converter);
        rn_buf_free(&l->workers[i].in);
    }
    free(l->workers);
    for (uint32_t i = 0; l->slots && i < WINDOW; i++)
        rn_buf_free(&l->slots[i].datum);
    free(l->slots);
    pthread_cond_destroy(&l->room);
    pthread_cond_destroy(&l->ready);
    pthread_mutex_destroy(&l->lock);
}

int rn_flow_run(const rn_flow *flow, rn_flow_fn fn, void *arg)
{
    line l = {.flow = flow};
    pthread_mutex_init(&l.lock, NULL);
    pthread_cond_init(&l.ready, NULL);
    pthread_cond_init(&l.room, NULL);
    int rc;
    RN_GO(open_line(&l));
    rc = take_all(&l, fn, arg);
out:
    close_line(&l);
    return rc;
}
