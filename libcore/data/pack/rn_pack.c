/* SPDX-License-Identifier: MIT */
/* The pack itself: order, what is written, the seal, and proving a set that was sealed before. */
#include "data/pack/rn_pack.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_log.h"
#include "base/rn_opt.h"
#include "base/rn_progress.h"
#include "base/rn_rng.h"
#include "data/pack/rn_pack_flow.h"
#include "data/pack/rn_packdb.h"
#include "data/store/rn_seal.h"

typedef struct pack {
    const rn_inputs *inputs;
    const rn_pack_opts *opts;
    uint32_t *order;     /* order[place] = input */
    uint32_t first, end; /* the places packed here: all, or those of a shard */
    rn_packdb *db;
} pack;

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

static void tear_down(pack *p)
{
    free(p->order);
    rn_packdb_close(p->db);
}

/* ---- writing ------------------------------------------------------------------------------------------------ */

static bool is_bad_image(int rc)
{
    return rc == RN_E_FORMAT || rc == RN_E_RANGE || rc == RN_E_UNSUPPORTED || rc == RN_E_NOENT;
}

static int write_record(void *arg, const rn_flow_record *r)
{
    pack *p = arg;
    if (r->rc >= 0)
        return rn_packdb_put(p->db, r->key, r->value, r->n, r->hex, r->data_n);
    if (!is_bad_image(r->rc))
        return rn_fail(r->rc, "%s", r->why);
    if (!p->opts->skip_bad)
        return rn_fail(r->rc, "%s (--on-bad skip leaves such images out)", r->why);
    rn_verbose("skipped: %s", r->why);
    return rn_packdb_skip(p->db, r->place, r->why);
}

/* Sends the images from place `from` on through `fn`. */
static int flow(pack *p, uint32_t from, const char *verb, rn_flow_fn fn, void *arg)
{
    rn_flow f = {.inputs = p->inputs,
                 .order = p->order,
                 .from = from,
                 .end = p->end,
                 .convert = &p->opts->convert,
                 .jobs = p->opts->jobs,
                 .stop = p->opts->stop};
    f.progress = rn_progress_start(verb, "images", RN_UNIT_ITEMS, p->end - p->first);
    rn_progress_skip(f.progress, from - p->first);
    int rc = rn_flow_run(&f, fn, arg);
    rn_progress_done(f.progress);
    return rc;
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
    if (at->records == 0 && !s.shard.count) /* an empty shard is a part of its set all the same */
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

/* Is the finished set in `dir` what would be made now? */
static int check_seal(const rn_seal *s, const rn_inputs *in, const rn_pack_opts *opts, const char *dir)
{
    rn_buf options = {0};
    char was[48], asked[48];
    int rc;
    RN_GO(rn_pack_options_text(opts, &options));
    bool same = strcmp(s->options, (char *)options.data) == 0 && strcmp(s->kind, in->kind) == 0 &&
                s->shard.index == opts->shard.index && s->shard.count == opts->shard.count &&
                strcmp(s->list_sha256, in->list_sha256) == 0 && same_sources(in, s);
    if (!same)
        rc = rn_fail(RN_E_USAGE,
                     "%s: holds a finished set of other options or another source (%s, %s%s); now asked for: %s, %s%s. "
                     "Name another folder, or delete this one",
                     dir, s->kind, s->options, shard_text(&s->shard, was), in->kind, (char *)options.data,
                     shard_text(&opts->shard, asked));
out:
    rn_buf_free(&options);
    return rc;
}

/* ---- proving ------------------------------------------------------------------------------------------------ */

/* Does the seal say less of the sources than is known now? So it is when --verify meets a set packed without. */
static bool says_less(const rn_seal *s, const rn_inputs *in)
{
    bool less = false;
    for (int i = 0; i < s->nsources; i++)
        less |= strcmp(in->sources[i].md5_from, "computed") == 0 && strcmp(s->sources[i].md5_from, "computed") != 0;
    return less;
}

typedef struct proof {
    char chain[RN_DIGEST_HEX_MAX];
    uint64_t records, skipped;
} proof;

static int prove_record(void *arg, const rn_flow_record *r)
{
    proof *f = arg;
    if (r->rc < 0 && !is_bad_image(r->rc))
        return rn_fail(r->rc, "%s", r->why);
    if (r->rc < 0) {
        f->skipped++;
        return RN_OK;
    }
    f->records++;
    return rn_chain_add(f->chain, r->hex);
}

/*
 * The archives are now known to be right, but the set was made of what lay there then. Everything is read and converted again,
 * and the digest of it must be the seal's; then the seal says what it would had the set been packed with --verify.
 */
static int prove(pack *p, const char *dir, rn_seal *s)
{
    proof f = {.records = 0};
    rn_chain_start(f.chain);
    RN_TRY(flow(p, p->first, "verify", prove_record, &f));
    if (f.records != s->records || f.skipped != s->skipped || strcmp(f.chain, s->content_sha256) != 0)
        return rn_fail(RN_E_MISMATCH,
                       "%s: was not made of these archives (%" PRIu64
                       " images, content %.12s; the archives give %" PRIu64
                       ", %.12s); delete the folder and pack again",
                       dir, s->records, s->content_sha256, f.records, f.chain);
    for (int i = 0; i < s->nsources; i++) {
        memcpy(s->sources[i].md5, p->inputs->sources[i].md5, sizeof s->sources[i].md5);
        memcpy(s->sources[i].md5_from, p->inputs->sources[i].md5_from, sizeof s->sources[i].md5_from);
    }
    return rn_seal_write(dir, s);
}

/* 1: `dir` is sealed and is what would be made now. 0: no seal. */
static int look_for_seal(pack *p, const char *dir, rn_pack_result *out)
{
    rn_seal *s = NULL;
    int rc = rn_seal_read(dir, &s);
    if (rc == RN_E_NOENT)
        return 0;
    RN_TRY(rc);
    RN_GO(check_seal(s, p->inputs, p->opts, dir));
    RN_GO(rn_pack_from_seal(s, dir, out));
    if (says_less(s, p->inputs)) {
        RN_GO(prove(p, dir, s));
        memcpy(out->seal, s->digest, sizeof out->seal);
    }
    remove_state(dir); /* a kill between the seal and the journal's removal leaves it */
    rc = 1;
out:
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
    if (p->db && rn_packdb_at(p->db)->at > p->end - p->first)
        rc = rn_fail(RN_E_MISMATCH, "%s: %s is ahead of its source; delete the folder", dir, RN_PACK_STATE);
out:
    rn_buf_free(&what);
    return rc;
}

/* What the images from place `from` on will take at least, as far as that is known before reading them. */
static uint64_t bytes_to_come(const pack *p, uint32_t from)
{
    const rn_convert_opts *o = &p->opts->convert;
    uint64_t sum = 0;
    if (p->opts->skip_bad)
        return 0; /* the images may all be left out */
    if (o->encode == RN_ENCODE_RAW && o->size == RN_SIZE_EXACT)
        return (uint64_t)(p->end - from) * 3 * (uint64_t)o->w * (uint64_t)o->h;
    for (uint32_t i = from; o->encode == RN_ENCODE_KEEP && i < p->end; i++)
        sum += p->inputs->input[p->order[i]].size;
    return sum;
}

static int pack_all(pack *p, const char *dir, rn_pack_result *out)
{
    uint32_t done = (uint32_t)rn_packdb_at(p->db)->at;
    out->resumed = done;
    if (done)
        rn_info("%s: going on after %" PRIu32 " of %" PRIu32 " images", dir, done, p->end - p->first);
    RN_TRY(rn_packdb_check_room(p->db, bytes_to_come(p, p->first + done)));
    RN_TRY(flow(p, p->first + done, "pack", write_record, p));
    RN_TRY(rn_packdb_flush(p->db));
    out->records = rn_packdb_at(p->db)->records;
    out->skipped = rn_packdb_at(p->db)->skipped;
    out->bytes = rn_packdb_bytes(p->db);
    RN_TRY(write_seal(p, dir, out));
    remove_state(dir);
    return RN_OK;
}

int rn_pack_run(const rn_inputs *inputs, const rn_pack_opts *opts, const char *dir, rn_pack_result *out)
{
    double t0 = rn_now();
    RN_TRY(rn_convert_check(&opts->convert));
    memset(out, 0, sizeof *out);
    pack p = {.inputs = inputs, .opts = opts};
    int rc;
    RN_GO(make_order(&p));
    RN_GO(look_for_seal(&p, dir, out));
    if (rc == 0) {
        RN_GO(begin(&p, dir));
        if (!p.db) /* another process finished it since */
            RN_GO(look_for_seal(&p, dir, out));
    }
    if (p.db)
        RN_GO(pack_all(&p, dir, out));
    out->seconds = rn_now() - t0;
    rc = RN_OK;
out:
    tear_down(&p);
    return rc;
}
