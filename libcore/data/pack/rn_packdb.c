/* SPDX-License-Identifier: MIT */
#include "data/pack/rn_packdb.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <lmdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "data/pack/rn_packdb_check.h"
#include "data/store/rn_seal.h"

#define BATCH_INPUTS 1024u
#define BATCH_BYTES  (64u << 20)
#define MAP_FIRST    (256ull << 20)
#define MAP_SLACK    (32ull << 20) /* the tree's own pages, rounding to pages, and pages freed but not yet reused */

static const char busy[] = "%s: another pack-lmdb is writing there; wait for it or stop it";

struct rn_packdb {
    char *dir;
    int folder;  /* descriptor of `dir`, locked; -1 where folders cannot be locked */
    int journal; /* descriptor, positioned at its end, locked */
    MDB_env *env;
    MDB_dbi dbi;
    MDB_txn *txn;         /* of the open batch; NULL before its first record */
    rn_packdb_state done; /* committed */
    rn_packdb_state now;  /* with the open batch */
    uint64_t batch_bytes; /* of values in the open batch */
    rn_buf lines;         /* the open batch's "skip" lines */
};

/* ---- errors ------------------------------------------------------------------------------------------------- */

/* LMDB turns a short write into EIO, and a full disk (or file size limit) shows as a short write first. */
static bool disk_is_full(const rn_packdb *db)
{
    struct statvfs fs;
    if (statvfs(db->dir, &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize < db->batch_bytes + MAP_SLACK)
        return true;
    struct rlimit lim;
    char path[4096];
    if (getrlimit(RLIMIT_FSIZE, &lim) != 0 || lim.rlim_cur == RLIM_INFINITY)
        return false;
    if (rn_path_join(path, sizeof path, db->dir, "data.mdb") < 0)
        return false;
    int64_t size = rn_file_size(path);
    return size < 0 || (uint64_t)size + db->batch_bytes + MAP_SLACK > lim.rlim_cur;
}

static int fail_mdb(const rn_packdb *db, int err, const char *what)
{
    if (err == EIO && disk_is_full(db))
        err = ENOSPC;
    if (err == ENOSPC || err == EFBIG || err == EDQUOT)
        return rn_fail_errno(err,
                             "%s: %s after %" PRIu64 " records (they are kept: make room, then run the same command)",
                             db->dir, what, db->done.records);
    if (err > 0)
        return rn_fail_errno(err, "%s: %s", db->dir, what);
    return rn_fail(RN_E_IO, "%s: %s: %s", db->dir, what, mdb_strerror(err));
}

/* ---- the folder --------------------------------------------------------------------------------------------- */

/* What a pack writes at once, and may leave in pieces when it is killed. */
static const char *const written[] = {RN_PACK_STATE, RN_SEAL_FILE, "skipped.txt", "pack.log.json", NULL};

static int is_empty(const char *dir, bool *empty)
{
    DIR *d = opendir(dir);
    if (!d)
        return rn_fail_errno(errno, "%s", dir);
    *empty = true;
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            *empty = false;
    closedir(d);
    return RN_OK;
}

/*
 * One process packs into a folder. The folder itself is locked, before anything in it is looked at: the journal cannot guard
 * its own beginning, since whoever writes it last replaces the one that another has locked. Where folders cannot be locked
 * (NFS), the journal's lock is all there is.
 */
static int lock_folder(rn_packdb *db)
{
    struct stat st;
    if (stat(db->dir, &st) != 0)
        RN_TRY(rn_mkdir_p(db->dir));
    else if (!S_ISDIR(st.st_mode))
        return rn_fail(RN_E_USAGE, "%s: exists and is not a folder; name another one", db->dir);
    db->folder = open(db->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (db->folder < 0)
        return rn_fail_errno(errno, "%s", db->dir);
    if (flock(db->folder, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return rn_fail(RN_E_IO, busy, db->dir);
    return RN_OK;
}

/* Makes the journal if there is none; the folder must be empty then. */
static int prepare_folder(const char *dir, const char *journal, const char *what)
{
    if (rn_is_file(journal))
        return RN_OK;
    bool empty = false;
    rn_remove_leftovers(dir, written);
    RN_TRY(is_empty(dir, &empty));
    if (!empty)
        return rn_fail(RN_E_USAGE, "%s: the folder holds something else and will not be touched; name another one",
                       dir);
    char chain[RN_DIGEST_HEX_MAX];
    rn_buf b = {0};
    int rc;
    rn_chain_start(chain);
    RN_GO(rn_buf_printf(&b, "%s\nat 0 0 0 0 %s\n", what, chain));
    RN_GO(rn_write_file_atomic(journal, b.data, b.n));
out:
    rn_buf_free(&b);
    return rc;
}

/* ---- the journal -------------------------------------------------------------------------------------------- */

static bool parse_at(const char *line, rn_packdb_state *s)
{
    int end = 0;
    return sscanf(line, "at %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %64[0-9a-f]%n", &s->at, &s->records,
                  &s->skipped, &s->data_bytes, s->chain, &end) == 5 &&
           line[end] == '\0' && strlen(s->chain) == 64 && s->at == s->records + s->skipped;
}

/* The journal's "at" lines that LMDB knows of, too. */
typedef struct ats {
    rn_packdb_state *line;
    size_t n, cap;
    size_t end; /* where the last one ends in the journal */
} ats;

static int add_at(ats *a, const rn_packdb_state *s, size_t end)
{
    if (a->n == a->cap) {
        size_t cap = a->cap ? 2 * a->cap : 64;
        rn_packdb_state *more = realloc(a->line, cap * sizeof *more);
        if (!more)
            return rn_fail(RN_E_NOMEM, "no memory for %zu batches", cap);
        a->line = more;
        a->cap = cap;
    }
    a->line[a->n++] = *s;
    a->end = end;
    return RN_OK;
}

enum { DIFFERENCES_MAX = 600 };

/* Names the words that differ: "shuffle=3, now shuffle=4". */
static void differences(const char *was, const char *now, char text[DIFFERENCES_MAX])
{
    text[0] = 0;
    for (size_t at = 0; (*was || *now) && at < DIFFERENCES_MAX;) {
        int a = (int)strcspn(was, " "), b = (int)strcspn(now, " ");
        if (a != b || strncmp(was, now, (size_t)a) != 0)
            at += (size_t)snprintf(text + at, DIFFERENCES_MAX - at, "%s%.*s, now %.*s", at ? "; " : "", a < 40 ? a : 40,
                                   was, b < 40 ? b : 40, now);
        was += a + (was[a] == ' ');
        now += b + (now[b] == ' ');
    }
}

/* Takes the whole lines up to `records`; what follows was announced but never committed. */
static int scan_journal(char *text, const char *what, uint64_t records, const char *dir, ats *a)
{
    bool first = true;
    for (char *line = text, *nl; (nl = strchr(line, '\n')) != NULL; line = nl + 1) {
        rn_packdb_state at;
        *nl = '\0';
        if (first && strcmp(line, what) != 0) {
            char text[DIFFERENCES_MAX];
            differences(line, what, text);
            return rn_fail(
                RN_E_USAGE,
                "%s: begun with other options or another source, or the archive was changed since (%s); give the "
                "same, or delete the folder",
                dir, text);
        }
        if (!first && parse_at(line, &at) && at.records <= records)
            RN_TRY(add_at(a, &at, (size_t)(nl + 1 - text)));
        first = false;
    }
    if (a->n == 0 || a->line[a->n - 1].records != records)
        return rn_fail(RN_E_MISMATCH,
                       "%s: %" PRIu64 " records in data.mdb, which pack.state does not know; delete the folder", dir,
                       records);
    return RN_OK;
}

/* Where to go on, once what there is has proved whole. */
static int read_journal(rn_packdb *db, const char *path, const char *what, uint64_t records)
{
    char *text = NULL;
    size_t n = 0;
    ats a = {0};
    int rc;
    RN_GO(rn_read_file(path, 0, &text, &n));
    RN_GO(scan_journal(text, what, records, db->dir, &a));
    RN_GO(rn_packdb_recheck(db->dir, a.line, a.n));
    if (ftruncate(db->journal, (off_t)a.end) != 0 || lseek(db->journal, 0, SEEK_END) < 0)
        rc = rn_fail_errno(errno, "%s", path);
    db->now = db->done = a.line[a.n - 1];
out:
    free(a.line);
    free(text);
    return rc;
}

static int lock_journal(rn_packdb *db, const char *path)
{
    db->journal = open(path, O_RDWR | O_CLOEXEC);
    if (db->journal < 0)
        return rn_fail_errno(errno, "%s", path);
    if (flock(db->journal, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            return rn_fail(RN_E_IO, busy, db->dir);
        return rn_fail_errno(errno, "%s", path);
    }
    return RN_OK;
}

/* ---- the environment ---------------------------------------------------------------------------------------- */

static int open_env(rn_packdb *db)
{
    char data[4096];
    MDB_txn *txn = NULL;
    RN_TRY(rn_path_join(data, sizeof data, db->dir, "data.mdb"));
    int err = mdb_env_create(&db->env);
    /* An existing environment brings its own size, so that a resumed pack has the one it had. Without the sync of its own, a
     * batch's meta page goes to disk with the next batch: a power cut then costs one batch more, and the journal knows. */
    if (!err && rn_file_size(data) <= 0)
        err = mdb_env_set_mapsize(db->env, MAP_FIRST);
    if (!err)
        err = mdb_env_open(db->env, db->dir, MDB_NOMETASYNC, 0664);
    if (!err)
        err = mdb_txn_begin(db->env, NULL, 0, &txn);
    if (!err)
        err = mdb_dbi_open(txn, NULL, 0, &db->dbi);
    if (txn)
        mdb_txn_abort(txn); /* the unnamed database's handle outlives it */
    return err ? fail_mdb(db, err, "cannot open LMDB for writing") : RN_OK;
}

/* LMDB recycles page buffers from one transaction to the next, stale bytes in their unused parts and all. Opening afresh for
 * every batch (a millisecond in a second) gives a resumed pack the file of an undisturbed one, to the byte. */
static int reopen_env(rn_packdb *db)
{
    mdb_env_close(db->env);
    db->env = NULL;
    return open_env(db);
}

/* Before a batch: room for all of it, so that MDB_MAP_FULL cannot come in the middle. Doubling an address range that
 * no disk space backs costs nothing. */
static int grow_map(rn_packdb *db, size_t first_value)
{
    MDB_envinfo info;
    MDB_stat stat;
    int err = mdb_env_info(db->env, &info);
    if (!err)
        err = mdb_env_stat(db->env, &stat);
    if (err)
        return fail_mdb(db, err, "cannot read the environment");
    uint64_t used = ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize;
    uint64_t need = used + BATCH_BYTES + first_value + MAP_SLACK, size = info.me_mapsize;
    while (size < need)
        size *= 2;
    if (size != info.me_mapsize && (err = mdb_env_set_mapsize(db->env, size)) != 0)
        return fail_mdb(db, err, "cannot grow the map (is the address space limited?)");
    return RN_OK;
}

static bool is_sealed(const char *dir)
{
    char seal[4096];
    return rn_path_join(seal, sizeof seal, dir, RN_SEAL_FILE) == 0 && rn_is_file(seal);
}

int rn_packdb_open(const char *dir, const char *what, rn_packdb **out)
{
    char journal[4096];
    uint64_t records = 0;
    *out = NULL;
    RN_TRY(rn_path_join(journal, sizeof journal, dir, RN_PACK_STATE));
    rn_packdb *db = calloc(1, sizeof *db);
    if (!db || !(db->dir = strdup(dir))) {
        free(db);
        return rn_fail(RN_E_NOMEM, "%s: out of memory", dir);
    }
    db->folder = db->journal = -1;
    int rc;
    RN_GO(lock_folder(db));
    if (is_sealed(dir)) { /* by another process, since the caller looked */
        rc = RN_PACKDB_SEALED;
        goto out;
    }
    RN_GO(prepare_folder(dir, journal, what));
    RN_GO(lock_journal(db, journal));
    rn_remove_leftovers(dir, written);
    RN_GO(rn_packdb_count(dir, &records));
    RN_GO(read_journal(db, journal, what, records));
    RN_GO(open_env(db)); /* LMDB follows its pages wherever they point: only now are they known to be sound */
    *out = db;
    return RN_OK;
out:
    rn_packdb_close(db);
    return rc;
}

const rn_packdb_state *rn_packdb_at(const rn_packdb *db)
{
    return &db->now;
}

/* Some file systems compress: what they have free says little about what fits. */
static bool may_compress(const char *dir)
{
    enum { BTRFS = 0x9123683e, ZFS = 0x2fc12fc1 };
    struct statfs fs;
    return statfs(dir, &fs) != 0 || (uint32_t)fs.f_type == BTRFS || (uint32_t)fs.f_type == ZFS;
}

int rn_packdb_check_room(const rn_packdb *db, uint64_t need)
{
    struct statvfs fs;
    if (statvfs(db->dir, &fs) != 0 || may_compress(db->dir))
        return RN_OK;
    uint64_t blocks = geteuid() == 0 ? fs.f_bfree : fs.f_bavail, room = blocks * fs.f_frsize;
    if (need <= room)
        return RN_OK;
    return rn_fail(
        RN_E_NOSPACE,
        "%s: at least %.1f MB are still to be written, its file system has %.1f MB free: make room, then run "
        "the same command, or name a folder elsewhere",
        db->dir, (double)need / 1e6, (double)room / 1e6);
}

/* ---- batches ------------------------------------------------------------------------------------------------ */

/* The journal's line is on disk before LMDB commits, so whatever LMDB holds, its line is there. */
static int commit(rn_packdb *db)
{
    if (db->now.at == db->done.at)
        return RN_OK;
    RN_TRY(rn_buf_printf(&db->lines, "at %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %s\n", db->now.at,
                         db->now.records, db->now.skipped, db->now.data_bytes, db->now.chain));
    RN_TRY(rn_write_all(db->journal, db->lines.data, db->lines.n, RN_PACK_STATE));
    if (fdatasync(db->journal) != 0)
        return rn_fail_errno(errno, "%s/%s", db->dir, RN_PACK_STATE);
    if (db->txn) {
        int err = mdb_txn_commit(db->txn);
        db->txn = NULL;
        if (err)
            return fail_mdb(db, err, "cannot write");
        RN_TRY(reopen_env(db));
    }
    db->done = db->now;
    db->batch_bytes = 0;
    db->lines.n = 0;
    return RN_OK;
}

static int end_full_batch(rn_packdb *db)
{
    return db->now.at - db->done.at >= BATCH_INPUTS ? commit(db) : RN_OK;
}

int rn_packdb_put(rn_packdb *db, const char *key, const void *value, size_t n, const char *record_hex, uint64_t data_n)
{
    int err;
    if (db->txn && db->batch_bytes + n > BATCH_BYTES)
        RN_TRY(commit(db));
    if (!db->txn) {
        RN_TRY(grow_map(db, n));
        err = mdb_txn_begin(db->env, NULL, 0, &db->txn);
        if (err)
            return fail_mdb(db, err, "cannot begin writing");
    }
    MDB_val k = {.mv_size = strlen(key), .mv_data = (void *)(uintptr_t)key};
    MDB_val v = {.mv_size = n, .mv_data = (void *)(uintptr_t)value};
    db->batch_bytes += n;
    err = mdb_put(db->txn, db->dbi, &k, &v, MDB_APPEND);
    if (err == MDB_KEYEXIST)
        return rn_fail(RN_E_MISMATCH, "%s: key %s does not follow the keys there; delete the folder", db->dir, key);
    if (err)
        return fail_mdb(db, err, "cannot write");
    RN_TRY(rn_chain_add(db->now.chain, record_hex));
    db->now.at++;
    db->now.records++;
    db->now.data_bytes += data_n;
    return end_full_batch(db);
}

int rn_packdb_skip(rn_packdb *db, uint64_t input, const char *reason)
{
    size_t from = db->lines.n;
    RN_TRY(rn_buf_printf(&db->lines, "skip %" PRIu64 " %s", input, reason));
    for (size_t i = from; i < db->lines.n; i++)
        if (db->lines.data[i] == '\n' || db->lines.data[i] == '\0')
            db->lines.data[i] = ' ';
    RN_TRY(rn_buf_append(&db->lines, "\n", 1));
    db->now.at++;
    db->now.skipped++;
    return end_full_batch(db);
}

int rn_packdb_flush(rn_packdb *db)
{
    RN_TRY(commit(db));
    int err = mdb_env_sync(db->env, 1); /* the last batch's meta page, too: a seal may follow */
    return err ? fail_mdb(db, err, "cannot write") : RN_OK;
}

int rn_packdb_skipped(rn_packdb *db, rn_packdb_skip_fn fn, void *arg)
{
    char path[4096], *text = NULL;
    size_t n = 0;
    int rc;
    RN_TRY(rn_path_join(path, sizeof path, db->dir, RN_PACK_STATE));
    RN_TRY(rn_read_file(path, 0, &text, &n));
    rc = RN_OK;
    for (char *line = text, *nl; rc >= 0 && (nl = strchr(line, '\n')) != NULL; line = nl + 1) {
        uint64_t input;
        int at = 0;
        *nl = '\0';
        if (line != text && sscanf(line, "skip %" SCNu64 " %n", &input, &at) == 1 && at > 0)
            rc = fn(arg, input, line + at);
    }
    free(text);
    return rc;
}

uint64_t rn_packdb_bytes(const rn_packdb *db)
{
    MDB_envinfo info;
    MDB_stat stat;
    if (!db->env || mdb_env_info(db->env, &info) != 0 || mdb_env_stat(db->env, &stat) != 0)
        return 0;
    return ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize;
}

void rn_packdb_close(rn_packdb *db)
{
    if (!db)
        return;
    if (db->txn)
        mdb_txn_abort(db->txn);
    if (db->env)
        mdb_env_close(db->env);
    if (db->journal >= 0)
        close(db->journal);
    if (db->folder >= 0)
        close(db->folder);
    rn_buf_free(&db->lines);
    free(db->dir);
    free(db);
}
