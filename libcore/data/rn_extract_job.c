/* SPDX-License-Identifier: MIT */
#include "data/rn_extract_job.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_io.h"

#define HOLD_MAX (1ull << 30)

int rn_job_hold(rn_job *j, uint64_t n)
{
    pthread_mutex_lock(&j->lock);
    while (j->rc == RN_OK && j->held > 0 && j->held + n > HOLD_MAX)
        pthread_cond_wait(&j->freed, &j->lock);
    if (j->rc == RN_OK)
        j->held += n;
    pthread_mutex_unlock(&j->lock);
    return rn_job_failed(j);
}

void rn_job_release(rn_job *j, uint64_t n)
{
    pthread_mutex_lock(&j->lock);
    j->held -= n;
    pthread_cond_broadcast(&j->freed);
    pthread_mutex_unlock(&j->lock);
}

void rn_job_report(rn_job *j, int rc)
{
    pthread_mutex_lock(&j->lock);
    if (j->rc == RN_OK) {
        j->rc = rc;
        snprintf(j->text, sizeof j->text, "%s", rn_error_text());
    }
    pthread_cond_broadcast(&j->freed);
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
    int committed = rn_commit_wait(j->commit);
    if (committed < 0)
        rn_job_report(j, committed);
    return rn_job_failed(j);
}

int rn_job_write(int dirfd, const char *name, const void *data, size_t n, bool excl, const char *where)
{
    char path[2048];
    int flags = O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | (excl ? O_EXCL : O_TRUNC);
    int fd = openat(dirfd, name, flags, 0666);
    snprintf(path, sizeof path, "%s/%s", where, name);
    if (fd < 0 && errno == EEXIST)
        return rn_fail(RN_E_FORMAT, "%s: twice in its archive", path);
    if (fd < 0)
        return rn_fail_errno(errno, "%s: creating it", path);
    int rc = rn_write_all(fd, data, n, path);
    if (close(fd) < 0 && rc == RN_OK)
        rc = rn_fail_errno(errno, "%s: writing it", path);
    if (rc < 0)
        unlinkat(dirfd, name, 0);
    return rc;
}

int rn_job_folder(int dirfd, const char *name, const char *where, int *fd)
{
    *fd = -1;
    if (mkdirat(dirfd, name, 0777) < 0 && errno != EEXIST)
        return rn_fail_errno(errno, "%s: creating it", where);
    *fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return *fd >= 0 ? RN_OK : rn_fail_errno(errno, "%s: opening it", where);
}
