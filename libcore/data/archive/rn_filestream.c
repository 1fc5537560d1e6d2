/* SPDX-License-Identifier: MIT */
#include "data/archive/rn_filestream.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rn_error.h"

/* After a seek a block is small, since most of what follows may be passed over, too; then blocks grow again. */
enum { BLOCK = 1 << 20, AFTER_SKIP = 16 << 10, RING = 8 };

/* One digest and the thread that computes it. */
typedef struct hasher {
    rn_filestream *s;
    rn_digest *digest;
    uint64_t done; /* blocks; under the stream's lock */
    int err;       /* RN_E_* of a failed update */
    pthread_t thread;
} hasher;

/* Block i lives in ring slot i % RING from the moment it is read until all have hashed it and the caller has given it
 * up. */
struct rn_filestream {
    char *path;
    int fd;
    off_t end; /* size of the file when it was opened; 0 if it cannot be told */
    uint8_t *ring;
    size_t size[RING];
    size_t want;                       /* of the next block, without threads */
    uint64_t nread, ntaken, nreleased; /* blocks; under `lock` */
    uint64_t bytes;
    bool eof, stop, threads, lock_ready;
    int err; /* errno of a failed read */
    hasher hash[2];
    int nhash;    /* digests that are open */
    int nstarted; /* of their threads */
    pthread_t reader;
    pthread_mutex_t lock;
    pthread_cond_t change;
};

/* Fills `want` bytes unless the file ends. Returns 0 or errno. */
static int read_block(rn_filestream *s, uint8_t *to, size_t want, size_t *n)
{
    *n = 0;
    while (*n < want) {
        ssize_t k = read(s->fd, to + *n, want - *n);
        if (k == 0)
            break;
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return errno;
        *n += (size_t)k;
    }
    return 0;
}

/* Blocks that nobody needs any more. */
static uint64_t used_up(const rn_filestream *s)
{
    uint64_t n = s->nreleased;
    for (int i = 0; i < s->nhash; i++)
        n = s->hash[i].done < n ? s->hash[i].done : n;
    return n;
}

static void *reader_main(void *arg)
{
    rn_filestream *s = arg;
    pthread_mutex_lock(&s->lock);
    while (!s->eof && !s->err && !s->stop) {
        if (s->nread - used_up(s) == RING) {
            pthread_cond_wait(&s->change, &s->lock);
            continue;
        }
        size_t slot = s->nread % RING, n;
        pthread_mutex_unlock(&s->lock);
        int err = read_block(s, s->ring + slot * BLOCK, BLOCK, &n);
        pthread_mutex_lock(&s->lock);
        s->err = err;
        if (err == 0 && n > 0) {
            s->size[slot] = n;
            s->bytes += n;
            s->nread++;
        }
        if (n < BLOCK)
            s->eof = true;
        pthread_cond_broadcast(&s->change);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static void *hasher_main(void *arg)
{
    hasher *h = arg;
    rn_filestream *s = h->s;
    pthread_mutex_lock(&s->lock);
    while (!s->stop) {
        if (h->done == s->nread) {
            if (s->eof || s->err)
                break;
            pthread_cond_wait(&s->change, &s->lock);
            continue;
        }
        size_t slot = h->done % RING, n = s->size[slot];
        pthread_mutex_unlock(&s->lock);
        int rc = rn_digest_update(h->digest, s->ring + slot * BLOCK, n);
        pthread_mutex_lock(&s->lock);
        if (rc < 0)
            h->err = rc;
        h->done++;
        pthread_cond_broadcast(&s->change);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static void stop_threads(rn_filestream *s)
{
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_cond_broadcast(&s->change);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->reader, NULL);
    while (s->nstarted > 0)
        pthread_join(s->hash[--s->nstarted].thread, NULL);
    s->threads = false;
}

static int start_threads(rn_filestream *s)
{
    int err = pthread_mutex_init(&s->lock, NULL);
    if (err)
        return rn_fail_errno(err, "%s: starting its reader", s->path);
    pthread_cond_init(&s->change, NULL);
    s->lock_ready = true;
    s->threads = true; /* before they start: it lies beside what they read */
    err = pthread_create(&s->reader, NULL, reader_main, s);
    if (err) {
        s->threads = false;
        return rn_fail_errno(err, "%s: starting its reader", s->path);
    }
    for (; s->nstarted < s->nhash; s->nstarted++) {
        hasher *h = &s->hash[s->nstarted];
        h->s = s;
        err = pthread_create(&h->thread, NULL, hasher_main, h);
        if (err) {
            stop_threads(s);
            return rn_fail_errno(err, "%s: starting its digest", s->path);
        }
    }
    return RN_OK;
}

static int open_digests(rn_filestream *s, int digest)
{
    static const enum rn_digest_kind both[] = {RN_MD5, RN_SHA256};
    int n = digest == RN_MD5_AND_SHA256 ? 2 : 1;
    for (; s->nhash < n; s->nhash++)
        RN_TRY(rn_digest_open(n == 2 ? both[s->nhash] : (enum rn_digest_kind)digest, &s->hash[s->nhash].digest));
    return RN_OK;
}

int rn_filestream_open(const char *path, int digest, uint64_t start, rn_filestream **out)
{
    int rc;
    struct stat st;
    *out = NULL;
    if (digest >= 0 && start > 0)
        return rn_fail(RN_E_USAGE, "%s: a digest needs the whole file, not one from byte %llu on", path,
                       (unsigned long long)start);
    rn_filestream *s = calloc(1, sizeof *s);
    if (!s)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", path);
    s->fd = -1;
    s->want = BLOCK;
    s->path = strdup(path);
    s->ring = malloc((size_t)BLOCK * (digest >= 0 ? RING : 1));
    rc = RN_E_NOMEM;
    if (!s->path || !s->ring) {
        rn_fail(rc, "%s: out of memory", path);
        goto fail;
    }
    s->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (s->fd < 0 || fstat(s->fd, &st) < 0) {
        rc = rn_fail_errno(errno, "%s: opening it", path);
        goto fail;
    }
    if (S_ISDIR(st.st_mode)) {
        rc = rn_fail(RN_E_FORMAT, "%s: a folder, not a file", path);
        goto fail;
    }
    s->end = S_ISREG(st.st_mode) ? st.st_size : 0;
    posix_fadvise(s->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    if (start > 0 && lseek(s->fd, (off_t)start, SEEK_SET) < 0) {
        rc = rn_fail_errno(errno, "%s: seeking to byte %llu", path, (unsigned long long)start);
        goto fail;
    }
    if (digest >= 0) {
        rc = open_digests(s, digest);
        if (rc == RN_OK)
            rc = start_threads(s);
        if (rc < 0)
            goto fail;
    }
    *out = s;
    return RN_OK;
fail:
    rn_filestream_close(s);
    return rc;
}

static int64_t read_failed(const rn_filestream *s)
{
    return rn_fail_errno(s->err, "%s: reading it", s->path);
}

static int64_t next_threaded(rn_filestream *s, const void **block)
{
    int64_t rc;
    pthread_mutex_lock(&s->lock);
    s->nreleased = s->ntaken;
    pthread_cond_broadcast(&s->change);
    while (s->ntaken == s->nread && !s->eof && !s->err)
        pthread_cond_wait(&s->change, &s->lock);
    if (s->ntaken < s->nread) {
        size_t slot = s->ntaken++ % RING;
        *block = s->ring + slot * BLOCK;
        rc = (int64_t)s->size[slot];
    } else {
        rc = s->err ? read_failed(s) : 0;
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}

int64_t rn_filestream_next(rn_filestream *s, const void **block)
{
    if (s->threads)
        return next_threaded(s, block);
    size_t n;
    s->err = read_block(s, s->ring, s->want, &n);
    if (s->err)
        return read_failed(s);
    s->want = s->want < BLOCK / 2 ? 2 * s->want : BLOCK;
    s->bytes += n;
    *block = s->ring;
    return (int64_t)n;
}

int64_t rn_filestream_skip(rn_filestream *s, int64_t n)
{
    if (s->threads || n <= 0)
        return 0;
    off_t at = lseek(s->fd, 0, SEEK_CUR);
    if (at < 0 || at > s->end || n > s->end - at || lseek(s->fd, (off_t)n, SEEK_CUR) < 0)
        return 0;
    s->want = AFTER_SKIP;
    return n;
}

static int finish(rn_filestream *s, int which, char hex[RN_DIGEST_HEX_MAX])
{
    const void *block;
    int64_t n;
    hasher *h = &s->hash[which];
    if (which >= s->nhash)
        return rn_fail(RN_E_USAGE, "%s: opened without %s", s->path, which ? "a SHA-256 beside the MD5" : "a digest");
    while ((n = rn_filestream_next(s, &block)) > 0)
        ;
    if (n < 0)
        return (int)n;
    pthread_mutex_lock(&s->lock);
    while (h->done < s->nread)
        pthread_cond_wait(&s->change, &s->lock);
    int rc = h->err;
    pthread_mutex_unlock(&s->lock);
    if (rc < 0)
        return rn_fail(rc, "%s: computing its digest failed", s->path);
    return rn_digest_final(h->digest, hex);
}

int rn_filestream_digest(rn_filestream *s, char hex[RN_DIGEST_HEX_MAX], uint64_t *bytes)
{
    RN_TRY(finish(s, 0, hex));
    if (bytes)
        *bytes = s->bytes;
    return RN_OK;
}

int rn_filestream_sha256(rn_filestream *s, char hex[RN_DIGEST_HEX_MAX])
{
    return finish(s, 1, hex);
}

void rn_filestream_close(rn_filestream *s)
{
    if (!s)
        return;
    if (s->threads)
        stop_threads(s);
    if (s->lock_ready) {
        pthread_cond_destroy(&s->change);
        pthread_mutex_destroy(&s->lock);
    }
    for (int i = 0; i < 2; i++)
        rn_digest_close(s->hash[i].digest);
    if (s->fd >= 0)
        close(s->fd);
    free(s->ring);
    free(s->path);
    free(s);
}
