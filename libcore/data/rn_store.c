/* SPDX-License-Identifier: MIT */
#include "data/rn_store.h"

#include <errno.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "data/rn_datum.h"
#include "data/rn_seal.h"

enum { MAX_READERS = 1022 /* slots in lock.mdb: one a transaction; counts only where we create the file */ };

/* LMDB must not open the same environment twice in a process (closing one drops the other's locks), so open ones
 * are kept in a list by the identity of their data file and shared. */
typedef struct shared_env {
    dev_t dev;
    ino_t ino;
    int refs;
    MDB_env *env;
    MDB_dbi dbi;
    struct shared_env *next;
} shared_env;

static pthread_mutex_t envs_lock = PTHREAD_MUTEX_INITIALIZER;
static shared_env *envs;

struct rn_store {
    char *path;
    shared_env *shared;
    uint32_t count;
    uint64_t *at;       /* count + 1 offsets into keys */
    rn_buf keys;        /* all keys, one after another, in key order */
    rn_seal *seal;      /* NULL when unsealed */
    const char **wnids; /* nclasses + 1, last NULL; texts belong to the seal */
};

struct rn_store_txn {
    rn_store *store;
    MDB_txn *txn;
};

static int fail_mdb(int err, const char *path, const char *what)
{
    if (err > 0)
        return rn_fail_errno(err, "%s: %s", path, what);
    return rn_fail(RN_E_FORMAT, "%s: %s: %s", path, what, mdb_strerror(err));
}

/* ---- environments ------------------------------------------------------------------------------------------- */

/* A file cut short would only show as SIGBUS on the first read past its end. */
static int check_length(MDB_env *env, const char *path, int64_t bytes)
{
    MDB_envinfo info;
    MDB_stat stat;
    int err = mdb_env_info(env, &info);
    if (!err)
        err = mdb_env_stat(env, &stat);
    if (err)
        return fail_mdb(err, path, "cannot read the environment");
    uint64_t need = ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize;
    if (bytes < 0 || (uint64_t)bytes < need)
        return rn_fail(RN_E_FORMAT, "%s: data.mdb is cut short: %lld of %llu bytes; copy or pack it again", path,
                       (long long)bytes, (unsigned long long)need);
    return RN_OK;
}

static int open_env(const char *path, MDB_env **out)
{
    /* NOTLS: a transaction is bound to its handle, not to a thread. Where lock.mdb cannot be made (read-only file system
     * or folder) there is no writer to keep away from either. */
    static const unsigned tries[] = {MDB_RDONLY | MDB_NOTLS, MDB_RDONLY | MDB_NOTLS | MDB_NOLOCK};
    int err = 0;
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        MDB_env *env = NULL;
        err = mdb_env_create(&env);
        if (!err)
            err = mdb_env_set_maxreaders(env, MAX_READERS);
        if (!err)
            err = mdb_env_open(env, path, tries[i], 0664);
        if (!err) {
            *out = env;
            return RN_OK;
        }
        mdb_env_close(env);
        if (err != EACCES && err != EROFS && err != EPERM)
            break;
    }
    return fail_mdb(err, path, "cannot open LMDB");
}

static int open_dbi(MDB_env *env, const char *path, MDB_dbi *dbi)
{
    MDB_txn *txn = NULL;
    int err = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);
    if (!err)
        err = mdb_dbi_open(txn, NULL, 0, dbi);
    if (!err) {
        err = mdb_txn_commit(txn);
        txn = NULL;
    }
    if (txn)
        mdb_txn_abort(txn);
    return err ? fail_mdb(err, path, "cannot open the database") : RN_OK;
}

static int acquire_locked(const char *path, const struct stat *st, shared_env **out)
{
    for (shared_env *e = envs; e; e = e->next)
        if (e->dev == st->st_dev && e->ino == st->st_ino) {
            e->refs++;
            *out = e;
            return RN_OK;
        }
    shared_env *e = calloc(1, sizeof *e);
    if (!e)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", path);
    int rc;
    RN_GO(open_env(path, &e->env));
    RN_GO(check_length(e->env, path, st->st_size));
    RN_GO(open_dbi(e->env, path, &e->dbi));
    e->dev = st->st_dev;
    e->ino = st->st_ino;
    e->refs = 1;
    e->next = envs;
    envs = e;
    *out = e;
    return RN_OK;
out:
    mdb_env_close(e->env);
    free(e);
    return rc;
}

static int acquire(const char *path, shared_env **out)
{
    char file[4096];
    struct stat st;
    RN_TRY(rn_path_join(file, sizeof file, path, "data.mdb"));
    if (stat(file, &st) != 0) {
        if (errno == ENOENT || errno == ENOTDIR)
            return rn_fail(RN_E_NOENT, "%s: no packed set there (no data.mdb); pack-lmdb makes one", path);
        return rn_fail_errno(errno, "%s", file);
    }
    pthread_mutex_lock(&envs_lock);
    int rc = acquire_locked(path, &st, out);
    pthread_mutex_unlock(&envs_lock);
    return rc;
}

static void release(shared_env *e)
{
    if (!e)
        return;
    pthread_mutex_lock(&envs_lock);
    if (--e->refs == 0) {
        for (shared_env **p = &envs; *p; p = &(*p)->next)
            if (*p == e) {
                *p = e->next;
                break;
            }
        mdb_env_close(e->env);
        free(e);
    }
    pthread_mutex_unlock(&envs_lock);
}

/* ---- opening ------------------------------------------------------------------------------------------------ */

/* The cursor is asked for keys alone, so only the B-tree's own pages are read, not the images. */
static int index_keys(rn_store *s)
{
    MDB_txn *txn = NULL;
    MDB_cursor *cur = NULL;
    MDB_stat stat;
    MDB_val key;
    int rc = RN_OK, err = mdb_txn_begin(s->shared->env, NULL, MDB_RDONLY, &txn);
    if (!err)
        err = mdb_stat(txn, s->shared->dbi, &stat);
    if (!err)
        err = mdb_cursor_open(txn, s->shared->dbi, &cur);
    if (err) {
        rc = fail_mdb(err, s->path, "cannot read");
        goto out;
    }
    if (stat.ms_entries >= UINT32_MAX) {
        rc = rn_fail(RN_E_RANGE, "%s: %zu records, at most 2^32 - 2 are read", s->path, stat.ms_entries);
        goto out;
    }
    s->at = malloc((stat.ms_entries + 1) * sizeof *s->at);
    if (!s->at) {
        rc = rn_fail(RN_E_NOMEM, "%s: no memory for the index of %zu keys", s->path, stat.ms_entries);
        goto out;
    }
    uint32_t n = 0;
    for (err = mdb_cursor_get(cur, &key, NULL, MDB_FIRST); !err && n < stat.ms_entries;
         err = mdb_cursor_get(cur, &key, NULL, MDB_NEXT)) {
        s->at[n++] = s->keys.n;
        RN_GO(rn_buf_append(&s->keys, key.mv_data, key.mv_size));
    }
    s->at[n] = s->keys.n;
    s->count = n;
    if (err != MDB_NOTFOUND || n != stat.ms_entries)
        rc = err && err != MDB_NOTFOUND ? fail_mdb(err, s->path, "cannot read the keys")
                                        : rn_fail(RN_E_FORMAT, "%s: %u keys found, LMDB says %zu: the file is damaged",
                                                  s->path, n, stat.ms_entries);
out:
    if (cur)
        mdb_cursor_close(cur);
    if (txn)
        mdb_txn_abort(txn);
    return rc;
}

static int read_seal(rn_store *s, unsigned flags)
{
    int rc = rn_seal_read(s->path, &s->seal);
    if (rc == RN_E_NOENT) {
        char state[4096];
        if (flags & RN_STORE_UNSEALED_OK)
            return RN_OK;
        RN_TRY(rn_path_join(state, sizeof state, s->path, RN_PACK_STATE));
        if (rn_is_file(state))
            return rn_fail(RN_E_FORMAT,
                           "%s: packing is not finished (no seal.json): run the same pack-lmdb command again", s->path);
        return rn_fail(RN_E_FORMAT, "%s: no seal.json: the set is incomplete or not packed by pack-lmdb; pack it again",
                       s->path);
    }
    RN_TRY(rc);
    s->wnids = calloc((size_t)s->seal->nclasses + 1, sizeof *s->wnids);
    if (!s->wnids)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", s->path);
    for (int i = 0; i < s->seal->nclasses; i++)
        s->wnids[i] = s->seal->classes[i].wnid;
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
    RN_GO(acquire(path, &s->shared));
    RN_GO(read_seal(s, flags));
    RN_GO(index_keys(s));
    if (s->seal && s->seal->records != s->count) {
        rc = rn_fail(RN_E_MISMATCH, "%s: %u records, but its seal says %llu; pack it again", path, s->count,
                     (unsigned long long)s->seal->records);
        goto out;
    }
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
    release(s->shared);
    rn_seal_free(s->seal);
    rn_buf_free(&s->keys);
    free(s->wnids);
    free(s->at);
    free(s->path);
    free(s);
}

uint32_t rn_store_count(const rn_store *s)
{
    return s->count;
}

int rn_store_nclasses(const rn_store *s)
{
    return s->seal ? s->seal->nclasses : 0;
}

const char *const *rn_store_wnids(const rn_store *s)
{
    static const char *const none[] = {NULL};
    return s->wnids ? s->wnids : none;
}

const char *rn_store_seal_digest(const rn_store *s)
{
    return s->seal ? s->seal->digest : "";
}

const char *rn_store_path(const rn_store *s)
{
    return s->path;
}

const rn_seal *rn_store_seal(const rn_store *s)
{
    return s->seal;
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

int rn_store_begin(rn_store *s, rn_store_txn **out)
{
    *out = NULL;
    rn_store_txn *t = calloc(1, sizeof *t);
    if (!t)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", s->path);
    int err = mdb_txn_begin(s->shared->env, NULL, MDB_RDONLY, &t->txn);
    if (err) {
        free(t);
        return fail_mdb(err, s->path, "cannot begin reading");
    }
    t->store = s;
    *out = t;
    return RN_OK;
}

int rn_store_renew(rn_store_txn *t)
{
    mdb_txn_reset(t->txn);
    int err = mdb_txn_renew(t->txn);
    return err ? fail_mdb(err, t->store->path, "cannot go on reading") : RN_OK;
}

void rn_store_end(rn_store_txn *t)
{
    if (!t)
        return;
    mdb_txn_abort(t->txn);
    free(t);
}

int rn_store_get_stored(rn_store_txn *t, uint32_t i, rn_stored *out)
{
    rn_store *s = t->store;
    if (i >= s->count)
        return rn_fail(RN_E_RANGE, "%s: record %u of %u", s->path, i, s->count);
    MDB_val key = {.mv_size = (size_t)(s->at[i + 1] - s->at[i]), .mv_data = s->keys.data + s->at[i]}, value;
    int err = mdb_get(t->txn, s->shared->dbi, &key, &value);
    if (err)
        return rn_fail(RN_E_FORMAT, "%s: record %u (%.*s): %s", s->path, i, (int)key.mv_size, (char *)key.mv_data,
                       mdb_strerror(err));
    *out = (rn_stored){.key = key.mv_data, .key_n = key.mv_size, .value = value.mv_data, .value_n = value.mv_size};
    return RN_OK;
}

int rn_store_get(rn_store_txn *t, uint32_t i, rn_record *out)
{
    rn_stored v;
    rn_datum d;
    RN_TRY(rn_store_get_stored(t, i, &v));
    int rc = rn_datum_parse(v.value, v.value_n, &d);
    if (rc < 0)
        return rn_fail_prefix(rc, "%s: record %u (%.*s)", t->store->path, i, (int)v.key_n, (const char *)v.key);
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
