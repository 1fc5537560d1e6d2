/* SPDX-License-Identifier: MIT */
/*
 * Train (and t3, where it has that form): each class is an inner tar. One thread reads the outer tar's headers and seeks
 * from class to class; a worker reads a class by its place in the file and writes it. So no two threads create files in one
 * folder, a class never lies in memory, and bytes go from the page cache to a buffer to the page cache. With a digest the
 * reader goes through every byte, and the workers find behind or before it what the one disk read brought.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "data/extract/rn_extract_job.h"

typedef struct class_task {
    rn_job *job;
    char wnid[16];
    int fd; /* of the archive; borrowed */
    uint64_t at, n;
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

static int unpack_into(const class_task *t, int dirfd, const char *where, int *count, uint64_t *bytes)
{
    int rc;
    char name[1200];
    rn_archive *a;
    rn_archive_entry e;
    snprintf(name, sizeof name, "%s: %s.tar", t->job->archive, t->wnid);
    RN_TRY(rn_archive_open_window(name, t->fd, t->at, t->n, NULL, &a));
    while ((rc = rn_archive_next(a, &e)) > 0) {
        /* ILSVRC2012's own are <wnid>_<number>.JPEG; sets cut from it, such as Imagenette, have others. */
        if (!rn_is_image_name(e.name))
            RN_GO(rn_fail(RN_E_FORMAT, "%s: '%s' in %s.tar is no name of an image (such as %s_10026.JPEG)",
                          t->job->archive, e.name, t->wnid, t->wnid));
        uint64_t size = e.size;
        RN_GO(rn_job_copy(dirfd, e.name, a, true, where));
        ++*count;
        *bytes += size;
    }
out:
    rn_archive_close(a);
    return rc;
}

static int check_count(const rn_job *j, const char *wnid, int count)
{
    int label = j->devkit ? rn_devkit_label(j->devkit, wnid) : -1;
    int want = label >= 0 ? j->devkit->synsets[label].num_train : -1;
    if (want >= 0 && count != want)
        return rn_fail(RN_E_MISMATCH, "%s: class %s has %d images, the devkit %s says %d: they do not belong together",
                       j->archive, wnid, count, j->devkit_path, want);
    return RN_OK;
}

typedef struct mark {
    rn_job *job;
    char wnid[16];
    uint64_t images, bytes;
} mark;

static void count(rn_job *j, uint64_t images, uint64_t bytes)
{
    pthread_mutex_lock(&j->lock);
    j->state.images += images;
    j->state.bytes += bytes;
    pthread_mutex_unlock(&j->lock);
}

/* A class that an earlier call put in place. */
static int count_there(rn_job *j, const char *wnid)
{
    struct dirent **names;
    struct stat st;
    char path[300];
    int n;
    uint64_t bytes = 0;
    int rc = rn_list_folder(j->tree, wnid, &names, &n);
    for (int i = 0; i < n && rc == RN_OK; i++) {
        snprintf(path, sizeof path, "%s/%s", wnid, names[i]->d_name);
        if (fstatat(j->tree, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
            rc = rn_fail_errno(errno, "%s: looking at it", path);
        bytes += (uint64_t)st.st_size;
    }
    rn_free_names(names, n);
    if (rc == RN_OK)
        count(j, (uint64_t)n, bytes);
    return rc < 0 ? rn_fail_prefix(rc, "%s/tree", j->work) : RN_OK;
}

static int put_in_place(void *arg)
{
    mark *m = arg;
    int rc = RN_OK;
    if (renameat(m->job->part, m->wnid, m->job->tree, m->wnid) < 0)
        rc = rn_fail_errno(errno, "%s/part/%s: moving it into place", m->job->work, m->wnid);
    else
        count(m->job, m->images, m->bytes);
    free(m);
    return rc;
}

static int unpack(void *arg, int worker)
{
    class_task *t = arg;
    rn_job *j = t->job;
    int rc, dirfd = -1, images = 0;
    uint64_t bytes = 0;
    char where[1200];
    mark *m = NULL;
    (void)worker;
    RN_GO(rn_job_failed(j));
    snprintf(where, sizeof where, "%s/part/%s", j->work, t->wnid);
    RN_GO(rn_job_folder(j->part, t->wnid, where, &dirfd));
    RN_GO(empty_folder(dirfd, where));
    RN_GO(unpack_into(t, dirfd, where, &images, &bytes));
    RN_GO(check_count(j, t->wnid, images));
    m = malloc(sizeof *m);
    if (!m)
        RN_GO(rn_fail(RN_E_NOMEM, "out of memory"));
    *m = (mark){.job = j, .images = (uint64_t)images, .bytes = bytes};
    memcpy(m->wnid, t->wnid, sizeof m->wnid);
    RN_GO(rn_commit_add(j->commit, put_in_place, m));
    m = NULL;
    rn_progress_add(j->bar, t->n);
out:
    free(m);
    if (dirfd >= 0)
        close(dirfd);
    if (rc < 0)
        rn_job_report(j, rc);
    free(t);
    return RN_OK;
}

typedef struct reader {
    rn_job *job;
    int fd; /* the archive, for the workers */
    rn_keys seen;
} reader;

static int submit(const reader *rd, const char *wnid, uint64_t at, uint64_t n)
{
    RN_TRY(rn_job_failed(rd->job));
    class_task *t = calloc(1, sizeof *t);
    if (!t)
        return rn_fail(RN_E_NOMEM, "out of memory");
    *t = (class_task){.job = rd->job, .fd = rd->fd, .at = at, .n = n};
    memcpy(t->wnid, wnid, sizeof t->wnid);
    int rc = rn_pool_submit(rd->job->pool, unpack, t);
    if (rc < 0) /* a task that was not taken is ours */
        free(t);
    return rc;
}

static uint64_t wnid_key(const char *wnid)
{
    return 1 + strtoul(wnid + 1, NULL, 10);
}

/* The class an outer entry holds; each once. */
static int take_class(reader *rd, const rn_archive_entry *e, char wnid[16])
{
    const rn_job *j = rd->job;
    size_t n = strlen(e->name);
    memset(wnid, 0, 16);
    snprintf(wnid, 16, "%.9s", e->name);
    if (n != 13 || !rn_is_wnid(wnid) || strcmp(e->name + 9, ".tar") != 0)
        return rn_fail(RN_E_FORMAT,
                       "%s: '%s' is not a class's tar (n########.tar); is this ILSVRC2012_img_train%s.tar?", j->archive,
                       e->name, j->split == RN_SPLIT_T3 ? "_t3" : "");
    if (j->devkit && rn_devkit_label(j->devkit, wnid) < 0)
        return rn_fail(RN_E_MISMATCH, "%s: class %s is unknown to the devkit %s: they do not belong together",
                       j->archive, wnid, j->devkit_path);
    int fresh = rn_keys_add(&rd->seen, wnid_key(wnid));
    if (fresh == 0)
        return rn_fail(RN_E_FORMAT, "%s: holds %s.tar twice", j->archive, wnid);
    return fresh;
}

static int read_classes(reader *rd, rn_archive *a)
{
    int rc;
    char wnid[16];
    rn_archive_entry e;
    while ((rc = rn_archive_next(a, &e)) > 0) {
        if (!rn_archive_is_plain(a))
            return rn_fail(RN_E_UNSUPPORTED,
                           "%s: compressed; classes are read by their place in it: decompress it first",
                           rd->job->archive);
        RN_TRY(take_class(rd, &e, wnid));
        if (faccessat(rd->job->tree, wnid, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
            RN_TRY(count_there(rd->job, wnid));
            rn_progress_skip(rd->job->bar, e.size);
        } else {
            RN_TRY(submit(rd, wnid, e.data, e.size));
        }
    }
    return rc;
}

static int check_complete(reader *rd)
{
    const rn_job *j = rd->job;
    for (int c = 0; j->devkit && c < j->devkit->nclasses; c++) {
        int fresh = rn_keys_add(&rd->seen, wnid_key(j->devkit->synsets[c].wnid));
        RN_TRY(fresh);
        if (fresh)
            return rn_fail(RN_E_MISMATCH, "%s: has no %s.tar, which the devkit %s lists: they do not belong together",
                           j->archive, j->devkit->synsets[c].wnid, j->devkit_path);
    }
    return RN_OK;
}

int rn_extract_classes(rn_job *j, rn_archive *a)
{
    reader rd = {.job = j, .fd = open(j->archive, O_RDONLY | O_CLOEXEC)};
    if (rd.fd < 0)
        return rn_fail_errno(errno, "%s: opening it", j->archive);
    j->state.images = j->state.bytes = 0;
    int rc = rn_job_drain(j, read_classes(&rd, a));
    if (rc == RN_OK)
        rc = check_complete(&rd);
    j->state.classes = (int)rd.seen.n;
    rn_keys_free(&rd.seen);
    close(rd.fd);
    return rc;
}
