/* SPDX-License-Identifier: MIT */
/* Train: each class is an inner tar, read whole into memory by the one reader and unpacked by a worker. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "data/rn_extract_job.h"

typedef struct class_task {
    rn_job *job;
    char wnid[16];
    uint8_t *data;
    size_t n;
} class_task;

/* A class left half-written by a killed run: its files go, so that none of them can survive under a name that is not in
 * the archive. */
static int empty_folder(int dirfd, const char *where)
{
    int fd = dup(dirfd), rc = RN_OK;
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d) {
        rc = rn_fail_errno(errno, "%s: listing it", where);
        if (fd >= 0)
            close(fd);
        return rc;
    }
    rewinddir(d);
    for (struct dirent *e; rc == RN_OK && (e = readdir(d)) != NULL;)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && unlinkat(dirfd, e->d_name, 0) < 0)
            rc = rn_fail_errno(errno, "%s/%s: removing it", where, e->d_name);
    closedir(d);
    return rc;
}

static int write_image(class_task *t, rn_archive *a, const rn_archive_entry *e, int dirfd, rn_buf *buf,
                       const char *where)
{
    /* ILSVRC2012's own are <wnid>_<number>.JPEG; sets cut from it, such as Imagenette, have others. */
    if (!rn_is_image_name(e->name))
        return rn_fail(RN_E_FORMAT, "%s: '%s' in %s.tar is no name of an image (such as %s_10026.JPEG)",
                       t->job->archive, e->name, t->wnid, t->wnid);
    if (e->size > t->n)
        return rn_fail(RN_E_FORMAT, "%s: '%s' in %s.tar claims %llu bytes", t->job->archive, e->name, t->wnid,
                       (unsigned long long)e->size);
    RN_TRY(rn_buf_reserve(buf, (size_t)e->size + 1));
    RN_TRY(rn_archive_read(a, buf->data, (size_t)e->size));
    return rn_job_write(dirfd, e->name, buf->data, (size_t)e->size, true, where);
}

static int unpack_into(class_task *t, int dirfd, const char *where, int *count)
{
    int rc;
    char name[1200];
    rn_archive *a;
    rn_archive_entry e;
    rn_buf buf = {0};
    snprintf(name, sizeof name, "%s: %s.tar", t->job->archive, t->wnid);
    RN_TRY(rn_archive_open_memory(name, t->data, t->n, NULL, &a));
    while ((rc = rn_archive_next(a, &e)) > 0) {
        RN_GO(write_image(t, a, &e, dirfd, &buf, where));
        ++*count;
    }
out:
    rn_archive_close(a);
    rn_buf_free(&buf);
    return rc;
}

static int check_count(const rn_job *j, const char *wnid, int count)
{
    int label = rn_devkit_label(j->devkit, wnid), want = j->devkit->synsets[label].num_train;
    if (want >= 0 && count != want)
        return rn_fail(RN_E_MISMATCH, "%s: class %s has %d images, the devkit %s says %d: they do not belong together",
                       j->archive, wnid, count, j->devkit_path, want);
    return RN_OK;
}

typedef struct mark {
    rn_job *job;
    char wnid[16];
} mark;

static int put_in_place(void *arg)
{
    mark *m = arg;
    int rc = RN_OK;
    if (renameat(m->job->part, m->wnid, m->job->tree, m->wnid) < 0)
        rc = rn_fail_errno(errno, "%s/part/%s: moving it into place", m->job->work, m->wnid);
    free(m);
    return rc;
}

static int unpack(void *arg, int worker)
{
    class_task *t = arg;
    rn_job *j = t->job;
    int rc, dirfd = -1, count = 0;
    char where[1200];
    mark *m = NULL;
    (void)worker;
    RN_GO(rn_job_failed(j));
    snprintf(where, sizeof where, "%s/part/%s", j->work, t->wnid);
    RN_GO(rn_job_folder(j->part, t->wnid, where, &dirfd));
    RN_GO(empty_folder(dirfd, where));
    RN_GO(unpack_into(t, dirfd, where, &count));
    RN_GO(check_count(j, t->wnid, count));
    m = malloc(sizeof *m);
    if (!m)
        RN_GO(rn_fail(RN_E_NOMEM, "out of memory"));
    m->job = j;
    memcpy(m->wnid, t->wnid, sizeof m->wnid);
    RN_GO(rn_commit_add(j->commit, put_in_place, m));
    m = NULL;
out:
    free(m);
    if (dirfd >= 0)
        close(dirfd);
    if (rc < 0)
        rn_job_report(j, rc);
    rn_job_release(j, t->n);
    free(t->data);
    free(t);
    return RN_OK;
}

static int submit(rn_job *j, rn_archive *a, const char *wnid, uint64_t size)
{
    class_task *t;
    RN_TRY(rn_job_hold(j, size));
    t = calloc(1, sizeof *t);
    if (!t) {
        rn_job_release(j, size);
        return rn_fail(RN_E_NOMEM, "out of memory");
    }
    t->job = j;
    t->n = (size_t)size;
    snprintf(t->wnid, sizeof t->wnid, "%s", wnid);
    t->data = malloc(t->n + 1);
    int rc = t->data ? rn_archive_read(a, t->data, t->n)
                     : rn_fail(RN_E_NOMEM, "%s: no memory for %s.tar (%zu bytes)", j->archive, wnid, t->n);
    if (rc == RN_OK)
        rc = rn_pool_submit(j->pool, unpack, t);
    if (rc < 0) { /* a task that was not taken is ours */
        rn_job_release(j, size);
        free(t->data);
        free(t);
    }
    return rc;
}

/* Label of the class an outer entry holds; each once. */
static int take_class(rn_job *j, const rn_archive_entry *e, bool *seen, char wnid[16])
{
    size_t n = strlen(e->name);
    snprintf(wnid, 16, "%.9s", e->name);
    if (n != 13 || !rn_is_wnid(wnid) || strcmp(e->name + 9, ".tar") != 0)
        return rn_fail(RN_E_FORMAT, "%s: '%s' is not a class's tar (n########.tar); is this ILSVRC2012_img_train.tar?",
                       j->archive, e->name);
    int label = rn_devkit_label(j->devkit, wnid);
    if (label < 0)
        return rn_fail(RN_E_MISMATCH, "%s: class %s is unknown to the devkit %s: they do not belong together",
                       j->archive, wnid, j->devkit_path);
    if (seen[label])
        return rn_fail(RN_E_FORMAT, "%s: holds %s.tar twice", j->archive, wnid);
    seen[label] = true;
    return RN_OK;
}

static int read_classes(rn_job *j, rn_archive *a, bool *seen)
{
    int rc;
    char wnid[16];
    rn_archive_entry e;
    while ((rc = rn_archive_next(a, &e)) > 0) {
        RN_TRY(take_class(j, &e, seen, wnid));
        if (faccessat(j->tree, wnid, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
            RN_TRY(submit(j, a, wnid, e.size));
        uint64_t at = rn_archive_consumed(a);
        rn_progress_add(j->bar, at - j->shown);
        j->shown = at;
    }
    return rc;
}

int rn_extract_classes(rn_job *j, rn_archive *a)
{
    bool *seen = calloc((size_t)j->devkit->nclasses, sizeof *seen);
    if (!seen)
        return rn_fail(RN_E_NOMEM, "out of memory");
    int rc = rn_job_drain(j, read_classes(j, a, seen));
    for (int c = 0; rc == RN_OK && c < j->devkit->nclasses; c++)
        if (!seen[c])
            rc = rn_fail(RN_E_MISMATCH, "%s: has no %s.tar, which the devkit %s lists: they do not belong together",
                         j->archive, j->devkit->synsets[c].wnid, j->devkit_path);
    free(seen);
    return rc;
}
