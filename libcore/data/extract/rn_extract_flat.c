/* SPDX-License-Identifier: MIT */
/*
 * All archives but train's: runs of files, in the archive's order, are read by one thread and written by the others. A run
 * that is on disk has a mark; the next call seeks over its members, where the archive lets it. The runs' buffers are a fixed
 * number and go round.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_log.h"
#include "data/extract/rn_extract_job.h"

/* A run ends after so many files or bytes: it depends on the archive alone, so that marks fit the next call's runs. */
enum { RUN_FILES = 256, RUN_BYTES = 4 << 20, FILE_MAX = 64 << 20, INNER_MAX = 256 << 20 };

typedef struct file {
    char path[288];
    size_t at, n; /* in the run's data */
} file;

typedef struct run {
    struct reader *rd;
    struct run *next; /* free ones */
    int index, nfiles;
    file files[RUN_FILES];
    rn_buf data;
} run;

typedef struct reader {
    rn_job *job;
    pthread_mutex_t lock;
    pthread_cond_t freed;
    run *free; /* under `lock` */
    run *run;  /* being filled; NULL in a run that is done */
    int index, nfiles;
    uint64_t bytes, shown; /* of the current run; of the archive, told to the bar */
    bool done;             /* the current run is on disk */
    uint64_t passed;       /* members that are no matter of ours */
    rn_keys seen;
} reader;

/* ---- marks ------------------------------------------------------------------------------------------------- */

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

static int add_mark(rn_job *j, int index)
{
    mark *m = malloc(sizeof *m);
    if (!m)
        return rn_fail(RN_E_NOMEM, "out of memory");
    *m = (mark){j, index};
    int rc = rn_commit_add(j->commit, put_mark, m);
    if (rc < 0)
        free(m);
    return rc;
}

/* ---- runs -------------------------------------------------------------------------------------------------- */

static run *take_run(reader *rd)
{
    pthread_mutex_lock(&rd->lock);
    while (!rd->free)
        pthread_cond_wait(&rd->freed, &rd->lock);
    run *r = rd->free;
    rd->free = r->next;
    pthread_mutex_unlock(&rd->lock);
    r->nfiles = 0;
    r->data.n = 0;
    return r;
}

static void give_run(run *r)
{
    reader *rd = r->rd;
    if (r->data.cap / 4 > RUN_BYTES) /* one huge file must not be paid for by all that follow */
        rn_buf_free(&r->data);
    pthread_mutex_lock(&rd->lock);
    r->next = rd->free;
    rd->free = r;
    pthread_cond_signal(&rd->freed);
    pthread_mutex_unlock(&rd->lock);
}

static int write_run(void *arg, int worker)
{
    run *r = arg;
    rn_job *j = r->rd->job;
    char where[1100];
    (void)worker;
    snprintf(where, sizeof where, "%s/tree", j->work);
    int rc = rn_job_failed(j);
    bool quiet = rc < 0; /* another's failure */
    for (int i = 0; i < r->nfiles && rc == RN_OK; i++)
        rc = rn_job_write(j->tree, r->files[i].path, r->data.data + r->files[i].at, r->files[i].n, false, where);
    if (rc == RN_OK)
        rc = add_mark(j, r->index);
    if (rc < 0 && !quiet)
        rn_job_report(j, rc);
    give_run(r);
    return RN_OK;
}

static int begin_run(reader *rd)
{
    char name[32];
    mark_name(rd->index, name);
    rd->done = faccessat(rd->job->part, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    rd->nfiles = 0;
    rd->bytes = 0;
    if (rd->done)
        return RN_OK;
    RN_TRY(rn_job_failed(rd->job));
    rd->run = take_run(rd);
    rd->run->index = rd->index;
    return RN_OK;
}

static int end_run(reader *rd)
{
    run *r = rd->run;
    rd->run = NULL;
    rd->nfiles = 0;
    rd->index++;
    if (!r)
        return RN_OK;
    int rc = rn_pool_submit(rd->job->pool, write_run, r);
    if (rc < 0)
        give_run(r);
    return rc;
}

static int take_file(reader *rd, rn_archive *a, const rn_archive_entry *e, const rn_place *to)
{
    run *r = rd->run;
    RN_TRY(rn_buf_reserve(&r->data, r->data.n + (size_t)e->size + 1));
    RN_TRY(rn_archive_read(a, r->data.data + r->data.n, (size_t)e->size));
    file *f = &r->files[r->nfiles++];
    snprintf(f->path, sizeof f->path, "%s%s%s", to->folder, to->folder[0] ? "/" : "", to->name);
    f->at = r->data.n;
    f->n = (size_t)e->size;
    r->data.n += f->n;
    return RN_OK;
}

/* ---- reading ----------------------------------------------------------------------------------------------- */

static int read_file(reader *rd, rn_archive *a, const rn_archive_entry *e, const char *inner)
{
    rn_job *j = rd->job;
    rn_place to;
    int ours = rn_extract_place(j, e->name, inner, &to);
    rd->passed += ours == 0;
    if (ours <= 0)
        return ours;
    int fresh = rn_keys_add(&rd->seen, to.key);
    if (fresh == 0)
        return rn_fail(RN_E_FORMAT, "%s: holds '%s' twice", j->archive, e->name);
    RN_TRY(fresh);
    if (e->size > FILE_MAX)
        return rn_fail(RN_E_FORMAT, "%s: '%s' claims %llu bytes", j->archive, e->name, (unsigned long long)e->size);
    if (rd->nfiles == 0)
        RN_TRY(begin_run(rd));
    if (!rd->done)
        RN_TRY(take_file(rd, a, e, &to));
    rd->nfiles++;
    rd->bytes += e->size;
    j->state.images++;
    j->state.bytes += e->size;
    return rd->nfiles == RUN_FILES || rd->bytes >= RUN_BYTES ? end_run(rd) : RN_OK;
}

/* Boxes may come as one inner archive a class. An archive inside that is refused, however deep it would go on. */
static bool is_archive(const char *name)
{
    static const char *const ends[] = {".tar", ".tar.gz", ".tgz", ".zip"};
    size_t n = strlen(name);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (n > strlen(ends[i]) && strcmp(name + n - strlen(ends[i]), ends[i]) == 0)
            return true;
    return false;
}

static int unpack_inner(reader *rd, const char *name, const char *wnid, const rn_buf *data)
{
    int rc;
    rn_archive *a;
    rn_archive_entry e;
    RN_TRY(rn_archive_open_memory(name, data->data, data->n, NULL, &a));
    while ((rc = rn_archive_next(a, &e)) > 0) {
        if (is_archive(e.name))
            RN_GO(rn_fail(RN_E_FORMAT, "%s: '%s' is an archive in an archive in an archive", name, e.name));
        RN_GO(read_file(rd, a, &e, wnid));
    }
out:
    rn_archive_close(a);
    return rc;
}

static int read_inner(reader *rd, rn_archive *a, const rn_archive_entry *e)
{
    const char *base = rn_base_name(e->name);
    char name[2400], wnid[16];
    rn_buf data = {0};
    snprintf(wnid, sizeof wnid, "%.9s", base);
    if (!rn_is_wnid(wnid) || base[9] != '.')
        wnid[0] = 0;
    snprintf(name, sizeof name, "%s: %s", rd->job->archive, e->name);
    if (e->size > INNER_MAX)
        return rn_fail(RN_E_FORMAT, "%s: claims %llu bytes", name, (unsigned long long)e->size);
    int rc = rn_buf_reserve(&data, (size_t)e->size + 1);
    if (rc == RN_OK)
        rc = rn_archive_read(a, data.data, (size_t)e->size);
    data.n = (size_t)e->size;
    if (rc == RN_OK)
        rc = unpack_inner(rd, name, wnid, &data);
    rn_buf_free(&data);
    return rc;
}

static int read_all(reader *rd, rn_archive *a)
{
    int rc;
    rn_archive_entry e;
    rn_job *j = rd->job;
    bool boxes = j->split >= RN_NSPLITS;
    while ((rc = rn_archive_next(a, &e)) > 0) {
        RN_TRY(boxes && is_archive(e.name) ? read_inner(rd, a, &e) : read_file(rd, a, &e, ""));
        uint64_t at = rn_archive_consumed(a);
        rn_progress_add(j->bar, at - rd->shown);
        rd->shown = at;
    }
    RN_TRY(rc);
    return end_run(rd);
}

static int check_counts(const reader *rd)
{
    const rn_job *j = rd->job;
    if (j->split == RN_SPLIT_VAL && j->state.images != (uint64_t)j->devkit->nval)
        return rn_fail(RN_E_MISMATCH, "%s: holds %llu images, the devkit %s %d labels: they do not belong together",
                       j->archive, (unsigned long long)j->state.images, j->devkit_path, j->devkit->nval);
    if (j->state.images == 0)
        return rn_fail(RN_E_FORMAT, "%s: holds no %s", j->archive, j->split < RN_NSPLITS ? "image" : "XML file");
    if (rd->passed > 0)
        rn_warn("%s: passed over %llu files that are not XML", j->archive, (unsigned long long)rd->passed);
    return RN_OK;
}

static int open_runs(reader *rd, run *runs, int n)
{
    for (int i = 0; i < n; i++) {
        runs[i].rd = rd;
        RN_TRY(rn_buf_reserve(&runs[i].data, RUN_BYTES + (RUN_BYTES >> 2)));
        give_run(&runs[i]);
    }
    return RN_OK;
}

int rn_extract_flat(rn_job *j, rn_archive *a)
{
    int n = rn_pool_threads(j->pool) + 2; /* one is being filled, one waits for each thread that is late */
    reader rd = {.job = j};
    run *runs = calloc((size_t)n, sizeof *runs);
    if (!runs)
        return rn_fail(RN_E_NOMEM, "out of memory");
    pthread_mutex_init(&rd.lock, NULL);
    pthread_cond_init(&rd.freed, NULL);
    j->state.images = j->state.bytes = 0;
    int rc = open_runs(&rd, runs, n);
    if (rc == RN_OK)
        rc = read_all(&rd, a);
    rc = rn_job_drain(j, rc);
    if (rc == RN_OK)
        rc = check_counts(&rd);
    for (int i = 0; i < n; i++)
        rn_buf_free(&runs[i].data);
    free(runs);
    rn_keys_free(&rd.seen);
    pthread_cond_destroy(&rd.freed);
    pthread_mutex_destroy(&rd.lock);
    return rc;
}
