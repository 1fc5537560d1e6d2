/* SPDX-License-Identifier: MIT */
/* Val and test: one flat tar. Runs of images, in the archive's order, are read by the one reader and written by workers. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "data/rn_extract_job.h"

/* A run ends after so many images or bytes: it depends on the archive alone, so that marks fit the next call's runs. */
enum { RUN_IMAGES = 512, RUN_BYTES = 64 << 20 };

typedef struct image {
    int number;   /* from its name */
    size_t at, n; /* in the run's data */
} image;

typedef struct run {
    rn_job *job;
    int index, nimages;
    image images[RUN_IMAGES];
    rn_buf data;
    size_t held;
} run;

typedef struct mark {
    rn_job *job;
    int index;
} mark;

static void mark_name(int index, char name[32])
{
    snprintf(name, 32, "%08d", index);
}

/* The mark is empty: that it exists is all it says, so it cannot be half-written. */
static int put_mark(void *arg)
{
    mark *m = arg;
    char name[32];
    mark_name(m->index, name);
    int fd = openat(m->job->part, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    int rc = fd < 0 ? rn_fail_errno(errno, "%s/done/%s: creating it", m->job->work, name) : RN_OK;
    if (fd >= 0)
        close(fd);
    free(m);
    return rc;
}

static int write_one(rn_job *j, const image *im, const uint8_t *data)
{
    char name[64], where[1200];
    int dirfd = j->tree, rc;
    snprintf(name, sizeof name, "ILSVRC2012_%s_%08d.JPEG", rn_split_names[j->split], im->number);
    if (j->split == RN_SPLIT_TEST)
        return rn_job_write(dirfd, name, data + im->at, im->n, false, j->work);
    const char *wnid = j->devkit->synsets[j->devkit->val_label[im->number - 1]].wnid;
    snprintf(where, sizeof where, "%s/tree/%s", j->work, wnid);
    RN_TRY(rn_job_folder(j->tree, wnid, where, &dirfd));
    rc = rn_job_write(dirfd, name, data + im->at, im->n, false, where);
    close(dirfd);
    return rc;
}

static void free_run(run *r)
{
    if (r) {
        if (r->held > 0)
            rn_job_release(r->job, r->held);
        rn_buf_free(&r->data);
    }
    free(r);
}

static int write_run(void *arg, int worker)
{
    run *r = arg;
    int rc = RN_OK;
    mark *m = NULL;
    (void)worker;
    RN_GO(rn_job_failed(r->job));
    for (int i = 0; i < r->nimages; i++)
        RN_GO(write_one(r->job, &r->images[i], r->data.data));
    m = malloc(sizeof *m);
    if (!m)
        RN_GO(rn_fail(RN_E_NOMEM, "out of memory"));
    *m = (mark){r->job, r->index};
    RN_GO(rn_commit_add(r->job->commit, put_mark, m));
    m = NULL;
out:
    if (rc < 0)
        rn_job_report(r->job, rc);
    free(m);
    free_run(r);
    return RN_OK;
}

static int submit(rn_job *j, run **r)
{
    if (!*r)
        return RN_OK;
    int rc = rn_job_hold(j, (*r)->data.n);
    if (rc == RN_OK) {
        (*r)->held = (*r)->data.n;
        rc = rn_pool_submit(j->pool, write_run, *r);
    }
    if (rc < 0)
        free_run(*r);
    *r = NULL;
    return rc;
}

/* The number in an entry's name; the reissued test archive puts its images below test/. */
static int take_name(const rn_job *j, const char *name)
{
    const char *split = rn_split_names[j->split];
    if (j->split == RN_SPLIT_TEST && strncmp(name, "test/", 5) == 0)
        name += 5;
    int number = rn_numbered_name(name, split);
    if (number < 1)
        return rn_fail(RN_E_FORMAT, "%s: '%s' is no name of a %s image (ILSVRC2012_%s_<8 digits>.JPEG)", j->archive,
                       name, split, split);
    if (j->devkit && j->split == RN_SPLIT_VAL && number > j->devkit->nval)
        return rn_fail(RN_E_MISMATCH,
                       "%s: has '%s', the devkit %s knows %d validation images: they do not belong together",
                       j->archive, name, j->devkit_path, j->devkit->nval);
    return number;
}

typedef struct reader {
    rn_job *job;
    run *run; /* being filled; NULL in a run that is done */
    int index, nimages;
    uint64_t bytes; /* of the current run */
    bool done;      /* the current run is on disk */
    uint8_t *seen;  /* a bit a number */
    size_t nseen;   /* bits */
} reader;

static int see(reader *rd, int number, const char *name)
{
    if ((size_t)number >= rd->nseen) {
        size_t n = ((size_t)number / 65536 + 1) * 65536;
        uint8_t *p = realloc(rd->seen, n / 8);
        if (!p)
            return rn_fail(RN_E_NOMEM, "out of memory");
        memset(p + rd->nseen / 8, 0, (n - rd->nseen) / 8);
        rd->seen = p;
        rd->nseen = n;
    }
    if (rd->seen[number / 8] >> number % 8 & 1)
        return rn_fail(RN_E_FORMAT, "%s: holds '%s' twice", rd->job->archive, name);
    rd->seen[number / 8] |= (uint8_t)(1 << number % 8);
    return RN_OK;
}

static int begin_run(reader *rd)
{
    char name[32];
    mark_name(rd->index, name);
    rd->done = faccessat(rd->job->part, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    rd->nimages = 0;
    rd->bytes = 0;
    if (rd->done)
        return RN_OK;
    rd->run = calloc(1, sizeof *rd->run);
    if (!rd->run)
        return rn_fail(RN_E_NOMEM, "out of memory");
    rd->run->job = rd->job;
    rd->run->index = rd->index;
    return RN_OK;
}

static int read_image(reader *rd, rn_archive *a, const rn_archive_entry *e)
{
    rn_job *j = rd->job;
    int number = take_name(j, e->name);
    RN_TRY(number);
    RN_TRY(see(rd, number, e->name));
    if (e->size > RUN_BYTES)
        return rn_fail(RN_E_FORMAT, "%s: '%s' claims %llu bytes", j->archive, e->name, (unsigned long long)e->size);
    if (rd->nimages == 0)
        RN_TRY(begin_run(rd));
    if (!rd->done) {
        run *r = rd->run;
        RN_TRY(rn_buf_reserve(&r->data, r->data.n + (size_t)e->size + 1));
        RN_TRY(rn_archive_read(a, r->data.data + r->data.n, (size_t)e->size));
        r->images[r->nimages++] = (image){number, r->data.n, (size_t)e->size};
        r->data.n += (size_t)e->size;
    }
    rd->nimages++;
    rd->bytes += e->size;
    j->state.images++;
    j->state.bytes += e->size;
    if (rd->nimages == RUN_IMAGES || rd->bytes >= RUN_BYTES) {
        rd->nimages = 0;
        rd->index++;
        return submit(j, &rd->run);
    }
    return RN_OK;
}

static int read_images(reader *rd, rn_archive *a)
{
    int rc;
    rn_archive_entry e;
    rn_job *j = rd->job;
    while ((rc = rn_archive_next(a, &e)) > 0) {
        RN_TRY(read_image(rd, a, &e));
        uint64_t at = rn_archive_consumed(a);
        rn_progress_add(j->bar, at - j->shown);
        j->shown = at;
    }
    RN_TRY(rc);
    return submit(j, &rd->run);
}

int rn_extract_flat(rn_job *j, rn_archive *a)
{
    reader rd = {.job = j};
    j->state.images = j->state.bytes = 0;
    int rc = rn_job_drain(j, read_images(&rd, a));
    if (rc == RN_OK && j->split == RN_SPLIT_VAL && j->state.images != (uint64_t)j->devkit->nval)
        rc = rn_fail(RN_E_MISMATCH, "%s: holds %llu images, the devkit %s %d labels: they do not belong together",
                     j->archive, (unsigned long long)j->state.images, j->devkit_path, j->devkit->nval);
    if (rd.run)
        free_run(rd.run);
    free(rd.seen);
    return rc;
}
