/* SPDX-License-Identifier: MIT */
#include "data/extract/rn_extract_job.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_io.h"

/* ---- failures of workers ----------------------------------------------------------------------------------- */

void rn_job_report(rn_job *j, int rc)
{
    pthread_mutex_lock(&j->lock);
    if (j->rc == RN_OK) {
        j->rc = rc;
        snprintf(j->text, sizeof j->text, "%s", rn_error_text());
    }
    pthread_mutex_unlock(&j->lock);
}

int rn_job_failed(rn_job *j)
{
    pthread_mutex_lock(&j->lock);
    int rc = j->rc;
    pthread_mutex_unlock(&j->lock);
    return rc < 0 ? rn_fail(rc, "%s", j->text) : RN_OK;
}

int rn_job_drain(rn_job *j, int rc)
{
    if (rc < 0)
        rn_job_report(j, rc);
    int waited = rn_pool_wait(j->pool);
    if (waited < 0)
        rn_job_report(j, waited);
    return rn_job_failed(j);
}

/* ---- files ------------------------------------------------------------------------------------------------- */

typedef struct target {
    int dirfd, fd;
    const char *name, *where;
} target;

static int failed(const target *t, int err, const char *doing)
{
    return rn_fail_errno(err, "%s/%s: %s it", t->where, t->name, doing);
}

/* The folder of a name is there but for its first file, so it is made only when that fails. */
static int make_folder(const target *t)
{
    char folder[256];
    const char *slash = strchr(t->name, '/');
    if (!slash)
        return failed(t, ENOENT, "creating");
    snprintf(folder, sizeof folder, "%.*s", (int)(slash - t->name), t->name);
    if (mkdirat(t->dirfd, folder, 0777) < 0 && errno != EEXIST)
        return rn_fail_errno(errno, "%s/%s: creating it", t->where, folder);
    return RN_OK;
}

static int create(target *t, bool excl)
{
    int flags = O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | (excl ? O_EXCL : O_TRUNC);
    t->fd = openat(t->dirfd, t->name, flags, 0666);
    if (t->fd < 0 && errno == ENOENT) {
        RN_TRY(make_folder(t));
        t->fd = openat(t->dirfd, t->name, flags, 0666);
    }
    if (t->fd < 0 && errno == EEXIST)
        return rn_fail(RN_E_FORMAT, "%s/%s: twice in its archive", t->where, t->name);
    return t->fd < 0 ? failed(t, errno, "creating") : RN_OK;
}

static int put(const target *t, const void *data, size_t n)
{
    const char *p = data;
    while (n > 0) {
        ssize_t k = write(t->fd, p, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return failed(t, errno, "writing");
        p += k;
        n -= (size_t)k;
    }
    return RN_OK;
}

static int finish(target *t, int rc)
{
    if (close(t->fd) < 0 && rc == RN_OK)
        rc = failed(t, errno, "writing");
    if (rc < 0)
        unlinkat(t->dirfd, t->name, 0);
    return rc;
}

int rn_job_write(int dirfd, const char *name, const void *data, size_t n, bool excl, const char *where)
{
    target t = {dirfd, -1, name, where};
    RN_TRY(create(&t, excl));
    return finish(&t, put(&t, data, n));
}

int rn_job_copy(int dirfd, const char *name, rn_archive *a, bool excl, const char *where)
{
    const void *block;
    int64_t n;
    target t = {dirfd, -1, name, where};
    RN_TRY(create(&t, excl));
    int rc = RN_OK;
    while (rc == RN_OK && (n = rn_archive_read_block(a, &block)) != 0)
        rc = n < 0 ? (int)n : put(&t, block, (size_t)n);
    return finish(&t, rc);
}

int rn_job_folder(int dirfd, const char *name, const char *where, int *fd)
{
    *fd = -1;
    if (mkdirat(dirfd, name, 0777) < 0 && errno != EEXIST)
        return rn_fail_errno(errno, "%s: creating it", where);
    *fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return *fd >= 0 ? RN_OK : rn_fail_errno(errno, "%s: opening it", where);
}

/* ---- keys -------------------------------------------------------------------------------------------------- */

static size_t place_of(const rn_keys *s, uint64_t key)
{
    size_t i = (size_t)(key * 0x9e3779b97f4a7c15u) & (s->cap - 1);
    while (s->slot[i] != 0 && s->slot[i] != key)
        i = (i + 1) & (s->cap - 1);
    return i;
}

static int grow(rn_keys *s)
{
    rn_keys wide = {.cap = s->cap ? 2 * s->cap : 1024};
    wide.slot = calloc(wide.cap, sizeof *wide.slot);
    if (!wide.slot)
        return rn_fail(RN_E_NOMEM, "out of memory for %zu names", s->n);
    for (size_t i = 0; i < s->cap; i++)
        if (s->slot[i] != 0)
            wide.slot[place_of(&wide, s->slot[i])] = s->slot[i];
    wide.n = s->n;
    free(s->slot);
    *s = wide;
    return RN_OK;
}

int rn_keys_add(rn_keys *s, uint64_t key)
{
    key += key == 0; /* 0 marks a free slot */
    if (2 * (s->n + 1) > s->cap)
        RN_TRY(grow(s));
    size_t i = place_of(s, key);
    if (s->slot[i] == key)
        return 0;
    s->slot[i] = key;
    s->n++;
    return 1;
}

void rn_keys_free(rn_keys *s)
{
    free(s->slot);
    *s = (rn_keys){0};
}
