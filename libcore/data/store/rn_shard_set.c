/* SPDX-License-Identifier: MIT */
#include "data/store/rn_shard_set.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_io.h"

/* ---- one folder --------------------------------------------------------------------------------------------- */

static bool has(const char *dir, const char *name)
{
    char path[4096];
    return rn_path_join(path, sizeof path, dir, name) == 0 && rn_is_file(path);
}

static bool is_set(const char *dir)
{
    return has(dir, "data.mdb") || has(dir, RN_SEAL_FILE) || has(dir, RN_PACK_STATE);
}

/* Whoever packs holds the journal's lock. */
static bool is_being_packed(const char *dir)
{
    char path[4096];
    int fd = rn_path_join(path, sizeof path, dir, RN_PACK_STATE) < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool held = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    close(fd); /* and with it our lock */
    return held;
}

static int read_seal(const char *dir, bool unsealed_ok, rn_seal **out)
{
    int rc = rn_seal_read(dir, out);
    if (unsealed_ok && (rc == RN_E_NOENT || rc == RN_E_FORMAT))
        return RN_OK;
    if (rc != RN_E_NOENT)
        return rc;
    if (is_being_packed(dir))
        return rn_fail(RN_E_FORMAT, "%s: is being packed at this moment (no seal.json yet): wait for pack-lmdb to end",
                       dir);
    if (has(dir, RN_PACK_STATE))
        return rn_fail(RN_E_FORMAT, "%s: packing is not finished (no seal.json): run the same pack-lmdb command again",
                       dir);
    return rn_fail(RN_E_FORMAT, "%s: no seal.json: the set is incomplete or not packed by pack-lmdb; pack it again",
                   dir);
}

static int add_folder(rn_shard_set *s, const char *path, bool unsealed_ok)
{
    rn_shard_folder *more = realloc(s->folder, ((size_t)s->n + 1) * sizeof *more);
    if (!more)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", path);
    s->folder = more;
    s->folder[s->n] = (rn_shard_folder){.path = strdup(path)};
    if (!s->folder[s->n++].path)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", path);
    return read_seal(path, unsealed_ok, &s->folder[s->n - 1].seal);
}

/* ---- shards of one set -------------------------------------------------------------------------------------- */

static bool same_classes(const rn_seal *a, const rn_seal *b)
{
    bool same = a->nclasses == b->nclasses;
    for (int i = 0; same && i < a->nclasses; i++)
        same = strcmp(a->classes[i].wnid, b->classes[i].wnid) == 0;
    return same;
}

/* A shard may have been packed where MD5SUMS was not at hand: what both know must be equal. */
static bool same_sources(const rn_seal *a, const rn_seal *b)
{
    bool same = a->nsources == b->nsources;
    for (int i = 0; same && i < a->nsources; i++) {
        const rn_seal_source *x = &a->sources[i], *y = &b->sources[i];
        same = strcmp(x->file, y->file) == 0 && x->bytes == y->bytes &&
               (!x->md5[0] || !y->md5[0] || strcmp(x->md5, y->md5) == 0);
    }
    return same;
}

static int check_pair(const rn_shard_folder *a, const rn_shard_folder *b)
{
    const rn_seal *x = a->seal, *y = b->seal;
    const char *what = NULL;
    if (x->shard.count != y->shard.count)
        return rn_fail(RN_E_MISMATCH, "%s: shard %" PRIu32 " of %" PRIu32 ", but %s is one of %" PRIu32, b->path,
                       y->shard.index, y->shard.count, a->path, x->shard.count);
    if (x->shard.index == y->shard.index)
        return rn_fail(RN_E_MISMATCH, "%s and %s are both shard %" PRIu32 " of %" PRIu32 ": take one away", a->path,
                       b->path, y->shard.index, y->shard.count);
    if (strcmp(x->kind, y->kind) != 0)
        what = "kind of source";
    else if (strcmp(x->options, y->options) != 0)
        what = "options";
    else if (strcmp(x->list_sha256, y->list_sha256) != 0)
        what = "list of images";
    else if (!same_sources(x, y))
        what = "sources";
    else if (!same_classes(x, y))
        what = "classes";
    if (what)
        return rn_fail(RN_E_MISMATCH, "%s: not of the same set as %s, the %s differ: see both seal.json", b->path,
                       a->path, what);
    return RN_OK;
}

static int check_shards(const char *path, const rn_shard_folder *f, int n)
{
    uint64_t total = 0, first, end;
    for (int i = 0; i < n; i++) {
        if (!f[i].seal->shard.count)
            return rn_fail(RN_E_MISMATCH, "%s: a whole set, not a shard: name it itself, not the folder it is in",
                           f[i].path);
        if (i > 0)
            RN_TRY(check_pair(&f[i - 1], &f[i]));
        total += f[i].seal->records + f[i].seal->skipped;
    }
    uint32_t count = f[0].seal->shard.count;
    for (uint32_t i = 0; i < count; i++)
        if (i >= (uint32_t)n || f[i].seal->shard.index != i)
            return rn_fail(RN_E_MISMATCH,
                           "%s: shard %" PRIu32 " of %" PRIu32 " is not there: pack it with --shard %" PRIu32
                           "/%" PRIu32 ", or bring its folder here",
                           path, i, count, i, count);
    for (int i = 0; i < n; i++) {
        const rn_seal *s = f[i].seal;
        rn_shard_slice(&s->shard, total, &first, &end);
        if (s->records + s->skipped != end - first)
            return rn_fail(RN_E_MISMATCH,
                           "%s: its seal counts %" PRIu64 " images, shard %" PRIu32 " of %" PRIu32 " has %" PRIu64,
                           f[i].path, s->records + s->skipped, s->shard.index, count, end - first);
    }
    return RN_OK;
}

/* ---- the merged seal ---------------------------------------------------------------------------------------- */

static char *copy(const char *text, bool *ok)
{
    char *t = strdup(text);
    *ok &= t != NULL;
    return t;
}

/* What all shards have in common. */
static bool take_common(const rn_seal *from, rn_seal *s)
{
    bool ok = true;
    s->tool = copy(from->tool, &ok);
    s->kind = copy(from->kind, &ok);
    s->options = copy(from->options, &ok);
    memcpy(s->list_sha256, from->list_sha256, sizeof s->list_sha256);
    s->classes = calloc((size_t)from->nclasses, sizeof *s->classes);
    s->sources = calloc((size_t)from->nsources + 1, sizeof *s->sources);
    if (!ok || !s->classes || !s->sources)
        return false;
    for (; s->nclasses < from->nclasses; s->nclasses++) {
        s->classes[s->nclasses].wnid = copy(from->classes[s->nclasses].wnid, &ok);
        s->classes[s->nclasses].words = copy(from->classes[s->nclasses].words, &ok);
    }
    for (; s->nsources < from->nsources; s->nsources++) {
        s->sources[s->nsources] = from->sources[s->nsources];
        s->sources[s->nsources].file = copy(from->sources[s->nsources].file, &ok);
    }
    return ok;
}

static int take_sums(const rn_shard_folder *f, int n, rn_seal *s)
{
    rn_buf seals = {0}, contents = {0};
    int rc;
    for (int i = 0; i < n; i++) {
        const rn_seal *part = f[i].seal;
        s->records += part->records;
        s->skipped += part->skipped;
        s->data_bytes += part->data_bytes;
        for (int c = 0; c < s->nclasses; c++)
            s->classes[c].records += part->classes[c].records;
        RN_GO(rn_buf_printf(&seals, "%s\n", part->digest));
        RN_GO(rn_buf_printf(&contents, "%s\n", part->content_sha256));
    }
    RN_GO(rn_digest_buffer(RN_SHA256, seals.data, seals.n, s->digest));
    RN_GO(rn_digest_buffer(RN_SHA256, contents.data, contents.n, s->content_sha256));
out:
    rn_buf_free(&seals);
    rn_buf_free(&contents);
    return rc;
}

int rn_seal_merge(const char *path, const rn_shard_folder *folder, int n, rn_seal **out)
{
    int rc;
    *out = NULL;
    RN_TRY(check_shards(path, folder, n));
    rn_seal *s = calloc(1, sizeof *s);
    if (!s || !take_common(folder[0].seal, s))
        RN_GO(rn_fail(RN_E_NOMEM, "%s: out of memory", path));
    RN_GO(take_sums(folder, n, s));
    *out = s;
    return RN_OK;
out:
    rn_seal_free(s);
    return rc;
}

/* ---- finding them ------------------------------------------------------------------------------------------- */

static int by_index(const void *a, const void *b)
{
    uint32_t x = ((const rn_shard_folder *)a)->seal->shard.index, y = ((const rn_shard_folder *)b)->seal->shard.index;
    return (x > y) - (x < y);
}

static int find_shards(const char *path, rn_shard_set *s)
{
    struct dirent **names = NULL;
    int n = 0, rc;
    RN_TRY(rn_list_folder(AT_FDCWD, path, &names, &n));
    for (int i = 0; i < n; i++) {
        char sub[4096];
        RN_GO(rn_path_join(sub, sizeof sub, path, names[i]->d_name));
        if (is_set(sub))
            RN_GO(add_folder(s, sub, false));
    }
    rc = RN_OK;
out:
    rn_free_names(names, n);
    return rc;
}

static int find(const char *path, bool unsealed_ok, rn_shard_set *s)
{
    if (is_set(path))
        return add_folder(s, path, unsealed_ok);
    if (rn_is_dir(path))
        RN_TRY(find_shards(path, s));
    if (s->n == 0)
        return rn_fail(RN_E_NOENT, "%s: no packed set there (no data.mdb); pack-lmdb makes one", path);
    qsort(s->folder, (size_t)s->n, sizeof *s->folder, by_index);
    return rn_seal_merge(path, s->folder, s->n, &s->merged);
}

int rn_shard_set_open(const char *path, bool unsealed_ok, rn_shard_set *out)
{
    *out = (rn_shard_set){0};
    int rc = find(path, unsealed_ok, out);
    if (rc < 0)
        rn_shard_set_close(out);
    return rc;
}

void rn_shard_set_close(rn_shard_set *s)
{
    for (int i = 0; i < s->n; i++) {
        free(s->folder[i].path);
        rn_seal_free(s->folder[i].seal);
    }
    free(s->folder);
    rn_seal_free(s->merged);
    *s = (rn_shard_set){0};
}
