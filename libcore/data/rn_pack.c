/* SPDX-License-Identifier: MIT */
/* The pack itself: order, a window of images in work, one writer, the seal. */
#include "data/rn_pack.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_log.h"
#include "base/rn_opt.h"
#include "base/rn_pool.h"
#include "base/rn_progress.h"
#include "base/rn_rng.h"
#include "data/rn_packdb.h"
#include "data/rn_seal.h"

/*
 * Between reading and writing there may be WINDOW images, so that the workers go on while a batch is synced to disk, of which
 * at most HELD_BYTES wait, converted, for the writer: whoever has more waits too, but for what the writer needs next. Small
 * images are handed out in groups, since waking a thread costs more than reading one.
 */
enum { WINDOW = 1024, GROUP_IMAGES = 16, GROUP_BYTES = 256 << 10, GUESS_BYTES = 64 << 10, KEEP_BUFFER = 1 << 20 };
#define HELD_BYTES (128u << 20)

typedef struct pack pack;

/* One image on its way. */
typedef struct slot {
    pack *p;
    uint32_t place; /* in key order */
    uint32_t group; /* in the first of a group: how many images it has */
    bool done;      /* in the first of a group, under p->lock: all of it */
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

struct pack {
    const rn_inputs *inputs;
    const rn_pack_opts *opts;
    uint32_t *order;     /* order[place] = input */
    uint32_t first, end; /* the places packed here: all, or those of a shard */
    rn_packdb *db;
    rn_pool *pool;
    worker *workers;      /* opts->jobs */
    slot *slots;          /* WINDOW, a ring by place */
    uint32_t submitted;   /* places given to the pool */
    pthread_mutex_t lock; /* guards slot.done and what follows */
    pthread_cond_t ready; /* a group is done */
    pthread_cond_t room;  /* `held` or `head` changed */
    uint64_t held;        /* bytes of Datums that wait for the writer */
    uint32_t head;        /* the place that the writer needs next */
    bool ending;          /* nothing more will be written */
    rn_progress *progress;
};

static slot *slot_of(pack *p, uint32_t place)
{
    return &p->slots[place % WINDOW];
}

/* ---- workers ------------------------------------------------------------------------------------------------ */

static int convert(slot *s, worker *w)
{
    pack *p = s->p;
    uint32_t input = p->order[s->place];
    const char *path = rn_input_path(p->inputs, input);
    RN_TRY(rn_input_read(p->inputs, input, &w->in));
    RN_TRY(rn_converter_run(w->converter, w->in.data, w->in.n, path, p->inputs->input[input].label, &s->datum,
                            &s->data_n));
    snprintf(s->key, sizeof s->key, "%08" PRIu32 "_%s", s->place, path);
    return rn_chain_record(s->key, strlen(s->key), s->datum.data, s->datum.n, s->hex);
}

/* The group that the writer needs next is never held back, and groups begin in order: so this cannot lock up. False: nobody
 * wants it any more. */
static bool wait_for_room(pack *p, uint32_t place)
{
    pthread_mutex_lock(&p->lock);
    while (p->held > HELD_BYTES && p->head != place && !p->ending)
        pthread_cond_wait(&p->room, &p->lock);
    bool go = !p->ending;
    pthread_mutex_unlock(&p->lock);
    return go;
}

/* Failures stay in the slot: the writer meets them in key order, so the same one is reported at any number of jobs. */
static int work(void *arg, int index)
{
    slot *first = arg;
    pack *p = first->p;
    worker *w = &p->workers[index];
    uint64_t held = 0;
    if (!wait_for_room(p, first->place))
        return RN_OK;
    for (uint32_t i = 0; i < first->group; i++) {
        slot *s = slot_of(p, first->place + i);
        s->rc = convert(s, w);
        if (s->rc < 0)
            snprintf(s->why, sizeof s->why, "%s", rn_error_text());
        held += s->datum.cap;
    }
    if (w->in.cap > KEEP_BUFFER)
        rn_buf_free(&w->in); /* one huge file must not weigh for ever */
    pthread_mutex_lock(&p->lock);
    p->held += held;
    first->done = true;
    pthread_cond_signal(&p->ready);
    pthread_mutex_unlock(&p->lock);
    return RN_OK;
}

/* Fills the slots of the next group, which fits between p->submitted and `end`. */
static slot *make_group(pack *p, uint32_t end)
{
    slot *first = slot_of(p, p->submitted);
    uint64_t bytes = 0;
    uint32_t n = 0;
    while (n < GROUP_IMAGES && p->submitted + n < end && (n == 0 || bytes < GROUP_BYTES)) {
        slot *s = slot_of(p, p->submitted + n);
        uint32_t input = p->order[p->submitted + n];
        uint64_t size = p->inputs->input[input].size;
        s->p = p;
        s->place = p->submitted + n++;
        bytes += size ? size : GUESS_BYTES;
        rn_input_prefetch(p->inputs, input);
    }
    first->group = n;
    first->done = false;
    return first;
}

/* Keeps the window full. */
static int submit_more(pack *p, uint32_t written)
{
    uint32_t left = p->end - written, end = written + (left < WINDOW ? left : WINDOW);
    while (p->submitted < end) {
        slot *first = make_group(p, end);
        RN_TRY(rn_pool_submit(p->pool, work, first));
        p->submitted += first->group;
    }
    return RN_OK;
}

static void wait_for(pack *p, slot *first)
{
    pthread_mutex_lock(&p->lock);
    p->head = first->place;
    pthread_cond_broadcast(&p->room);
    while (!first->done)
        pthread_cond_wait(&p->ready, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

/* ---- writer ------------------------------------------------------------------------------------------------- */

static bool is_bad_image(int rc)
{
    return rc == RN_E_FORMAT || rc == RN_E_RANGE || rc == RN_E_UNSUPPORTED || rc == RN_E_NOENT;
}

static int write_slot(pack *p, slot *s)
{
    if (s->rc >= 0)
        return rn_packdb_put(p->db, s->key, s->datum.data, s->datum.n, s->hex, s->data_n);
    if (!is_bad_image(s->rc))
        return rn_fail(s->rc, "%s", s->why);
    if (!p->opts->skip_bad)
        return rn_fail(s->rc, "%s (--on-bad skip leaves such images out)", s->why);
    rn_verbose("skipped: %s", s->why);
    return rn_packdb_skip(p->db, s->place, s->why);
}

static int write_group(pack *p, slot *first)
{
    uint64_t freed = 0;
    int rc = RN_OK;
    for (uint32_t i = 0; i < first->group; i++) {
        slot *s = slot_of(p, first->place + i);
        if (rc >= 0)
            rc = write_slot(p, s);
        freed += s->datum.cap;
        rn_buf_free(&s->datum);
    }
    pthread_mutex_lock(&p->lock);
    p->held -= freed;
    pthread_cond_broadcast(&p->room);
    pthread_mutex_unlock(&p->lock);
    rn_progress_add(p->progress, first->group);
    return rc;
}

static void end_work(pack *p)
{
    pthread_mutex_lock(&p->lock);
    p->ending = true;
    pthread_cond_broadcast(&p->room);
    pthread_mutex_unlock(&p->lock);
}

static int write_all(pack *p)
{
    uint32_t done = p->first + (uint32_t)rn_packdb_at(p->db)->at;
    int rc = RN_OK;
    p->submitted = done;
    while (done < p->end) {
        if (p->opts->stop && *p->opts->stop)
            RN_GO(rn_fail(RN_E_INTERRUPTED, "interrupted; the same command goes on from here"));
        RN_GO(submit_more(p, done));
        slot *first = slot_of(p, done);
        wait_for(p, first);
        RN_GO(write_group(p, first));
        done += first->group;
    }
out:
    end_work(p);
    if (rn_pool_wait(p->pool) < 0 && rc >= 0)
        rc = RN_E_NOMEM;
    return rc < 0 ? rc : rn_packdb_flush(p->db);
}

/* ---- setting up --------------------------------------------------------------------------------------------- */

static int make_order(pack *p)
{
    uint32_t n = p->inputs->n;
    uint64_t first, end;
    rn_shard_slice(&p->opts->shard, n, &first, &end);
    p->first = (uint32_t)first;
    p->end = (uint32_t)end;
    if (p->opts->shard.count > n)
        return rn_fail(RN_E_USAGE, "%" PRIu32 " shards of %" PRIu32 " images: there can be at most one an image",
                       p->opts->shard.count, n);
    p->order = malloc(n * sizeof *p->order);
    if (!p->order)
        return rn_fail(RN_E_NOMEM, "no memory for the order of %" PRIu32 " images", n);
    for (uint32_t i = 0; i < n; i++)
        p->order[i] = i;
    if (p->opts->shuffle) {
        rn_rng r;
        rn_rng_seed(&r, p->opts->seed, RN_STREAM_PACK, 0, 0);
        rn_rng_shuffle_u32(&r, p->order, n);
    }
    return RN_OK;
}

static int make_workers(pack *p)
{
    int jobs = p->opts->jobs;
    p->slots = calloc(WINDOW, sizeof *p->slots);
    p->workers = calloc((size_t)jobs, sizeof *p->workers);
    if (!p->slots || !p->workers)
        return rn_fail(RN_E_NOMEM, "no memory for %d workers", jobs);
    for (int i = 0; i < jobs; i++)
        RN_TRY(rn_converter_open(&p->opts->convert, &p->workers[i].converter));
    return rn_pool_open(jobs, WINDOW, &p->pool);
}

static void tear_down(pack *p)
{
    rn_pool_close(p->pool);
    for (int i = 0; p->workers && i < p->opts->jobs; i++) {
        rn_converter_close(p->workers[i].converter);
        rn_buf_free(&p->workers[i].in);
    }
    free(p->workers);
    for (uint32_t i = 0; p->slots && i < WINDOW; i++)
        rn_buf_free(&p->slots[i].datum);
    free(p->slots);
    free(p->order);
    rn_packdb_close(p->db);
    rn_progress_done(p->progress);
    pthread_cond_destroy(&p->room);
    pthread_cond_destroy(&p->ready);
    pthread_mutex_destroy(&p->lock);
}

/* ---- seal --------------------------------------------------------------------------------------------------- */

/* What decides the bytes. --on-bad is not in it: it only decides whether there will be a set, and what was skipped is counted. */
int rn_pack_options_text(const rn_pack_opts *o, rn_buf *b)
{
    RN_TRY(rn_convert_text(&o->convert, b));
    return o->shuffle ? rn_buf_printf(b, " shuffle=%" PRIu64, o->seed) : rn_buf_printf(b, " shuffle=none");
}

/* What stands beside the options: they are the same for all shards of a set. */
static const char *shard_text(const rn_shard *s, char text[48])
{
    text[0] = '\0';
    if (s->count)
        snprintf(text, 48, " shard=%" PRIu32 "/%" PRIu32, s->index, s->count);
    return text;
}

typedef struct skip_note {
    pack *p;
    rn_buf text;            /* skipped.txt */
    rn_seal_class *classes; /* counts to be lowered */
} skip_note;

static int note_skip(void *arg, uint64_t place, const char *reason)
{
    skip_note *n = arg;
    if (place < n->p->first || place >= n->p->end)
        return rn_fail(RN_E_MISMATCH, "%s names image %" PRIu64 ", there are %" PRIu32 " to %" PRIu32, RN_PACK_STATE,
                       place, n->p->first, n->p->end - 1);
    uint32_t input = n->p->order[place];
    n->classes[n->p->inputs->input[input].label].records--;
    return rn_buf_printf(&n->text, "%s\t%s\n", rn_input_path(n->p->inputs, input), reason);
}

static int write_skipped(pack *p, const char *dir, rn_seal_class *classes)
{
    char path[4096];
    skip_note note = {.p = p, .classes = classes};
    int rc;
    RN_GO(rn_packdb_skipped(p->db, note_skip, &note));
    RN_GO(rn_path_join(path, sizeof path, dir, "skipped.txt"));
    if (note.text.n)
        rc = rn_write_file_atomic(path, note.text.data, note.text.n);
out:
    rn_buf_free(&note.text);
    return rc;
}

static int write_seal(pack *p, const char *dir, rn_pack_result *out)
{
    const rn_inputs *in = p->inputs;
    const rn_packdb_state *at = rn_packdb_at(p->db);
    rn_buf options = {0};
    rn_seal s = {.tool = (char *)(uintptr_t) "pack-lmdb " RN_VERSION,
                 .kind = (char *)(uintptr_t)in->kind,
                 .shard = p->opts->shard,
                 .nclasses = in->nclasses,
                 .nsources = in->nsources,
                 .sources = in->sources,
                 .records = at->records,
                 .skipped = at->skipped,
                 .data_bytes = at->data_bytes};
    int rc;
    s.classes = malloc((size_t)in->nclasses * sizeof *s.classes);
    if (!s.classes)
        RN_GO(rn_fail(RN_E_NOMEM, "no memory for %d classes", in->nclasses));
    memcpy(s.classes, in->classes, (size_t)in->nclasses * sizeof *s.classes);
    for (int c = 0; c < in->nclasses; c++)
        s.classes[c].records = 0;
    for (uint32_t i = p->first; i < p->end; i++)
        s.classes[in->input[p->order[i]].label].records++;
    memcpy(s.list_sha256, in->list_sha256, sizeof s.list_sha256);
    memcpy(s.content_sha256, at->chain, sizeof s.content_sha256);
    RN_GO(rn_pack_options_text(p->opts, &options));
    s.options = (char *)options.data;
    RN_GO(write_skipped(p, dir, s.classes));
    if (at->records == 0)
        RN_GO(rn_fail(RN_E_NOTHING, "%s: every image was skipped, see skipped.txt there", dir));
    RN_GO(rn_seal_write(dir, &s));
    memcpy(out->seal, s.digest, sizeof out->seal);
out:
    free(s.classes);
    rn_buf_free(&options);
    return rc;
}

static void remove_state(const char *dir)
{
    char path[4096];
    if (rn_path_join(path, sizeof path, dir, RN_PACK_STATE) == 0)
        (void)unlink(path);
}

int rn_pack_from_seal(const rn_seal *s, const char *dir, rn_pack_result *out)
{
    char data[4096];
    RN_TRY(rn_path_join(data, sizeof data, dir, "data.mdb"));
    int64_t bytes = rn_file_size(data);
    if (bytes < 0 || (uint64_t)bytes < s->data_bytes)
        return rn_fail(RN_E_MISMATCH, "%s: sealed, but data.mdb is gone or cut short; delete the folder and pack again",
                       dir);
    *out = (rn_pack_result){.records = s->records, .skipped = s->skipped, .already = true, .bytes = (uint64_t)bytes};
    memcpy(out->seal, s->digest, sizeof out->seal);
    return RN_OK;
}

/* Where both know a source's MD5 it must be the same; the list has only names, labels and sizes. */
static bool same_sources(const rn_inputs *in, const rn_seal *s)
{
    bool same = in->nsources == s->nsources;
    for (int i = 0; same && i < s->nsources; i++) {
        const char *a = in->sources[i].md5, *b = s->sources[i].md5;
        same = !a[0] || !b[0] || strcmp(a, b) == 0;
    }
    return same;
}

/* 1: `dir` is sealed and is what would be made now. 0: no seal. */
static int is_sealed(const rn_inputs *in, const rn_pack_opts *opts, const char *dir, rn_pack_result *out)
{
    rn_seal *s = NULL;
    rn_buf options = {0};
    int rc = rn_seal_read(dir, &s);
    if (rc == RN_E_NOENT)
        return 0;
    RN_TRY(rc);
    RN_GO(rn_pack_options_text(opts, &options));
    bool same = strcmp(s->options, (char *)options.data) == 0 && strcmp(s->kind, in->kind) == 0 &&
                s->shard.index == opts->shard.index && s->shard.count == opts->shard.count &&
                strcmp(s->list_sha256, in->list_sha256) == 0 && same_sources(in, s);
    if (!same) {
        char was[48], asked[48];
        rc = rn_fail(RN_E_USAGE,
                     "%s: holds a finished set of other options or another source (%s, %s%s); now asked for: %s, %s%s. "
                     "Name another folder, or delete this one",
                     dir, s->kind, s->options, shard_text(&s->shard, was), in->kind, (char *)options.data,
                     shard_text(&opts->shard, asked));
        goto out;
    }
    RN_GO(rn_pack_from_seal(s, dir, out));
    remove_state(dir); /* a kill between the seal and the journal's removal leaves it */
    rc = 1;
out:
    rn_buf_free(&options);
    rn_seal_free(s);
    return rc;
}

/* ---- run ---------------------------------------------------------------------------------------------------- */

static int begin(pack *p, const char *dir)
{
    rn_buf what = {0};
    struct stat st;
    char shard[48];
    int rc;
    RN_GO(rn_buf_printf(&what, "%s %s list=%s ", RN_SEAL_FORMAT, p->inputs->kind, p->inputs->list_sha256));
    RN_GO(rn_pack_options_text(p->opts, &what));
    RN_GO(rn_buf_printf(&what, "%s", shard_text(&p->opts->shard, shard)));
    /* An archive fetched again after damage has the same names and sizes: what came from the other must not be gone on with. */
    if (p->inputs->fd >= 0) {
        if (fstat(p->inputs->fd, &st) < 0)
            RN_GO(rn_fail_errno(errno, "%s: looking at it", p->inputs->root));
        RN_GO(rn_buf_printf(&what, " modified=%lld.%09ld", (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec));
    }
    RN_GO(rn_packdb_open(dir, (char *)what.data, &p->db));
    if (rn_packdb_at(p->db)->at > p->end - p->first)
        rc = rn_fail(RN_E_MISMATCH, "%s: %s is ahead of its source; delete the folder", dir, RN_PACK_STATE);
out:
    rn_buf_free(&what);
    return rc;
}

int rn_pack_run(const rn_inputs *inputs, const rn_pack_opts *opts, const char *dir, rn_pack_result *out)
{
    double t0 = rn_now();
    RN_TRY(rn_convert_check(&opts->convert));
    memset(out, 0, sizeof *out);
    int rc = is_sealed(inputs, opts, dir, out);
    if (rc != 0)
        return rc < 0 ? rc : RN_OK;
    pack p = {.inputs = inputs, .opts = opts};
    pthread_mutex_init(&p.lock, NULL);
    pthread_cond_init(&p.ready, NULL);
    pthread_cond_init(&p.room, NULL);
    RN_GO(make_order(&p));
    RN_GO(begin(&p, dir));
    RN_GO(make_workers(&p));
    out->resumed = rn_packdb_at(p.db)->at;
    if (out->resumed)
        rn_info("%s: going on after %" PRIu64 " of %" PRIu32 " images", dir, out->resumed, p.end - p.first);
    p.progress = rn_progress_start("pack", "images", RN_UNIT_ITEMS, p.end - p.first);
    rn_progress_skip(p.progress, out->resumed);
    RN_GO(write_all(&p));
    out->records = rn_packdb_at(p.db)->records;
    out->skipped = rn_packdb_at(p.db)->skipped;
    out->bytes = rn_packdb_bytes(p.db);
    RN_GO(write_seal(&p, dir, out));
    remove_state(dir);
    out->seconds = rn_now() - t0;
out:
    tear_down(&p);
    return rc;
}
