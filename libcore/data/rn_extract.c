/* SPDX-License-Identifier: MIT */
#include "data/rn_extract.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_log.h"
#include "data/rn_extract_job.h"

const char *const rn_split_names[RN_NSPLITS + 1] = {"train", "val", "test", NULL};

/* ---- folders ----------------------------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static int remove_tree(const char *path)
{
    if (nftw(path, remove_one, 32, FTW_DEPTH | FTW_PHYS) < 0 && errno != ENOENT)
        return rn_fail_errno(errno, "%s: removing it", path);
    return RN_OK;
}

static bool is_empty(const char *dir)
{
    DIR *d = opendir(dir);
    int n = 0;
    while (d && n < 3 && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n <= 2;
}

static int open_folder(const char *dir, const char *name, int *fd)
{
    char path[1200];
    RN_TRY(rn_path_join(path, sizeof path, dir, name));
    RN_TRY(rn_mkdir_p(path));
    *fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *fd >= 0 ? RN_OK : rn_fail_errno(errno, "%s: opening it", path);
}

/* ---- what a split needs ------------------------------------------------------------------------------------ */

typedef struct context {
    const rn_extract_opts *opts;
    const char *raw_dir, *out_dir;
    rn_raw_set raw;
    rn_sums sums;
    rn_devkit *devkit;
    int lock; /* fd of .rnkit/lock */
} context;

static const char *archive_of(const context *c, enum rn_split split)
{
    return split == RN_SPLIT_TRAIN ? c->raw.train : split == RN_SPLIT_VAL ? c->raw.val : c->raw.test;
}

static int need_devkit(context *c)
{
    const char *from, *want;
    char md5[RN_DIGEST_HEX_MAX];
    if (c->devkit)
        return RN_OK;
    if (!c->raw.devkit[0])
        return rn_fail(RN_E_NOENT, "%s: has no ILSVRC2012_devkit_t12.tar.gz, which holds the classes and labels",
                       c->raw_dir);
    if (c->opts->verify) {
        want = rn_expected_md5(&c->sums, c->raw.devkit, &from);
        RN_TRY(rn_digest_file(RN_MD5, c->raw.devkit, md5, NULL));
        if (want)
            RN_TRY(rn_check_md5(c->raw.devkit, md5, want, from));
    }
    return rn_devkit_open(c->raw.devkit, &c->devkit);
}

static int take_lock(context *c)
{
    static const char *const states[] = {"train.json", "val.json", "test.json", NULL};
    static const char *const lists[] = {"train.txt", "val.txt", "synsets.txt", "synset_words.txt", NULL};
    char dir[1100], path[1200];
    RN_TRY(rn_path_join(dir, sizeof dir, c->out_dir, ".rnkit"));
    RN_TRY(rn_mkdir_p(dir));
    RN_TRY(rn_path_join(path, sizeof path, dir, "lock"));
    c->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (c->lock < 0)
        return rn_fail_errno(errno, "%s: creating it", path);
    if (flock(c->lock, LOCK_EX | LOCK_NB) < 0)
        return rn_fail(RN_E_IO, "%s: another ilsvrc-extract is at work in it", c->out_dir);
    rn_remove_leftovers(dir, states);
    rn_remove_leftovers(c->out_dir, lists);
    return RN_OK;
}

/* ---- one split --------------------------------------------------------------------------------------------- */

static int set_paths(rn_job *j, const context *c)
{
    char name[32];
    RN_TRY(rn_path_join(j->target, sizeof j->target, c->out_dir, rn_split_names[j->split]));
    snprintf(name, sizeof name, ".rnkit/%s", rn_split_names[j->split]);
    RN_TRY(rn_path_join(j->work, sizeof j->work, c->out_dir, name));
    snprintf(name, sizeof name, ".rnkit/%s.json", rn_split_names[j->split]);
    return rn_path_join(j->state_path, sizeof j->state_path, c->out_dir, name);
}

/* The last step, which a killed run may have left undone: the finished tree gets its name. */
static int publish(rn_job *j)
{
    char tree[1200];
    RN_TRY(rn_path_join(tree, sizeof tree, j->work, "tree"));
    if (rn_is_dir(tree) && rename(tree, j->target) < 0)
        return rn_fail_errno(errno, "%s: moving the finished tree there", j->target);
    return remove_tree(j->work);
}

/* Whole already? 1 yes, 0 no. A state whose tree someone removed counts for nothing. */
static int is_whole(rn_job *j)
{
    char tree[1200];
    RN_TRY(rn_path_join(tree, sizeof tree, j->work, "tree"));
    int rc = rn_state_read(j->state_path, &j->state);
    if (rc == RN_E_NOENT || (rc == RN_OK && !j->state.whole))
        return 0;
    RN_TRY(rc);
    if (!rn_is_dir(j->target) && !rn_is_dir(tree))
        return 0;
    RN_TRY(publish(j));
    return 1;
}

static const char *devkit_of(const rn_job *j)
{
    return j->split == RN_SPLIT_TEST ? "" : j->devkit_path;
}

/* The archive that is there now was changed since the state was noted: what was made before may be of other bytes. */
static bool is_changed(const rn_job *j, const char *modified)
{
    return j->state.modified[0] && strcmp(modified, j->state.modified) != 0;
}

/* Begins, or goes on with what an earlier call began from the same archive. */
static int begin(rn_job *j)
{
    char source[65], modified[32];
    int rc = rn_state_read(j->state_path, &j->state);
    bool begun = rc == RN_OK && !j->state.whole;
    if (rc < 0 && rc != RN_E_NOENT)
        return rc;
    if (rn_is_dir(j->target) && !is_empty(j->target))
        return rn_fail(RN_E_MISMATCH,
                       "%s: there already, but not made by ilsvrc-extract; move it away or give another OUT_DIR",
                       j->target);
    RN_TRY(rn_archive_fingerprint(j->archive, devkit_of(j), source));
    RN_TRY(rn_archive_modified(j->archive, modified));
    if (begun && (strcmp(source, j->state.source) != 0 || is_changed(j, modified)))
        return rn_fail(RN_E_MISMATCH,
                       "%s: was begun with another archive or devkit, or this one was changed since; remove it and %s "
                       "to begin again, or give "
                       "another OUT_DIR",
                       j->work, j->state_path);
    if (!begun) {
        RN_TRY(remove_tree(j->work));
        memset(&j->state, 0, sizeof j->state);
        snprintf(j->state.archive, sizeof j->state.archive, "%s", rn_base_name(j->archive));
        memcpy(j->state.source, source, sizeof source);
        memcpy(j->state.modified, modified, sizeof modified);
        RN_TRY(rn_state_write(j->state_path, &j->state));
    } else if (rn_is_dir(j->work)) {
        rn_info("%s: going on where it was left", rn_split_names[j->split]);
    }
    RN_TRY(open_folder(j->work, "tree", &j->tree));
    return open_folder(j->work, j->split == RN_SPLIT_TRAIN ? "part" : "done", &j->part);
}

/* Nothing made of a wrong archive may be gone on with: the right one may have the same size and edges. */
static int discard(rn_job *j)
{
    if (unlink(j->state_path) < 0 && errno != ENOENT) /* first: without it the next call begins anew */
        return rn_fail_errno(errno, "%s: removing it", j->state_path);
    return remove_tree(j->work);
}

static int check_digest(rn_job *j, rn_archive *a, char md5[RN_DIGEST_HEX_MAX])
{
    const char *from, *want = rn_expected_md5(j->sums, j->archive, &from);
    if (!j->opts->verify)
        return RN_OK;
    RN_TRY(rn_archive_digest(a, md5, NULL));
    if (strcmp(md5, want) != 0)
        RN_TRY(discard(j));
    return rn_check_md5(j->archive, md5, want, from);
}

/* A wrong archive is often also a damaged one: its digest says more than where the damage was met. */
static int explain(rn_job *j, rn_archive *a, int rc)
{
    char text[1024], md5[RN_DIGEST_HEX_MAX];
    snprintf(text, sizeof text, "%s", rn_error_text());
    if (rc == RN_E_FORMAT && check_digest(j, a, md5) == RN_E_MISMATCH)
        return rn_fail_prefix(RN_E_MISMATCH, "%s (met while reading: %s)", rn_base_name(j->archive), text);
    return rn_fail(rc, "%s", text);
}

static int fill(rn_job *j)
{
    int rc;
    rn_archive *a = NULL;
    char what[32], md5[RN_DIGEST_HEX_MAX] = "";
    RN_TRY(rn_archive_open(j->archive, &(rn_archive_opts){.digest = j->opts->verify ? RN_MD5 : -1}, &a));
    snprintf(what, sizeof what, "extract %s", rn_split_names[j->split]);
    int64_t bytes = rn_file_size(j->archive);
    j->bar = rn_progress_start(what, NULL, RN_UNIT_BYTES, bytes > 0 ? (uint64_t)bytes : 0);
    rc = j->split == RN_SPLIT_TRAIN ? rn_extract_classes(j, a) : rn_extract_flat(j, a);
    rc = rc < 0 ? explain(j, a, rc) : check_digest(j, a, md5);
    rn_progress_done(j->bar);
    rn_archive_close(a);
    memcpy(j->state.md5, md5, sizeof md5);
    return rc;
}

static int extract(rn_job *j)
{
    int rc;
    j->tree = j->part = -1;
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->freed, NULL);
    RN_GO(begin(j));
    RN_GO(rn_pool_open(j->opts->jobs, 2, &j->pool));
    RN_GO(rn_commit_open(j->tree, j->work, &j->commit));
    RN_GO(fill(j));
    j->state.classes = j->devkit ? j->devkit->nclasses : 0;
    RN_GO(rn_extract_lists(j));
    /* Each piece was on disk before it counted; that it was moved into place must be, too, before all counts. */
    if (syncfs(j->tree) < 0)
        RN_GO(rn_fail_errno(errno, "%s: writing it to disk", j->work));
    j->state.whole = true;
    RN_GO(rn_state_write(j->state_path, &j->state));
    rc = publish(j);
out:
    rn_pool_close(j->pool);
    rn_commit_close(j->commit);
    if (j->tree >= 0)
        close(j->tree);
    if (j->part >= 0)
        close(j->part);
    pthread_mutex_destroy(&j->lock);
    pthread_cond_destroy(&j->freed);
    return rc;
}

/* A whole split of other archives than the ones that are there now must not pass for theirs. */
static int check_source(const rn_job *j)
{
    char source[65];
    if (!j->archive[0] || (j->split != RN_SPLIT_TEST && !j->devkit_path[0]))
        return RN_OK;
    RN_TRY(rn_archive_fingerprint(j->archive, devkit_of(j), source));
    if (strcmp(source, j->state.source) == 0)
        return RN_OK;
    return rn_fail(RN_E_MISMATCH,
                   "%s: was extracted from another archive or devkit than %s; move it away or give another OUT_DIR",
                   j->target, j->archive);
}

/* A whole split that was never verified is so now: the archive is read once more for its digest. */
static int verify_later(rn_job *j)
{
    const char *from, *want = rn_expected_md5(j->sums, j->archive, &from);
    char modified[32], md5[RN_DIGEST_HEX_MAX];
    if (!j->opts->verify || j->state.md5[0])
        return RN_OK;
    RN_TRY(rn_archive_modified(j->archive, modified));
    if (is_changed(j, modified))
        return rn_fail(RN_E_MISMATCH, "%s: %s was changed after it was extracted; move the folder away and run again",
                       j->target, j->archive);
    RN_TRY(rn_digest_file(RN_MD5, j->archive, md5, NULL));
    RN_TRY(rn_check_md5(j->archive, md5, want, from));
    memcpy(j->state.md5, md5, sizeof md5);
    return rn_state_write(j->state_path, &j->state);
}

static int run_split(context *c, enum rn_split split, rn_extract_result *r)
{
    double start = rn_now();
    rn_job j = {.split = split,
                .archive = archive_of(c, split),
                .devkit_path = c->raw.devkit,
                .out_dir = c->out_dir,
                .opts = c->opts,
                .sums = &c->sums};
    RN_TRY(set_paths(&j, c));
    int whole = is_whole(&j);
    RN_TRY(whole);
    if (whole)
        RN_TRY(check_source(&j));
    bool work = !whole || (c->opts->verify && !j.state.md5[0]);
    if (work && !j.archive[0])
        return rn_fail(RN_E_NOENT, "%s: has no archive of the %s set (ILSVRC2012_img_%s.tar)", c->raw_dir,
                       rn_split_names[split], rn_split_names[split]);
    if (work && c->opts->verify && !rn_expected_md5(&c->sums, j.archive, NULL))
        return rn_fail(RN_E_USAGE, "%s: no MD5 is known for it; put an MD5SUMS beside it or leave out --verify",
                       j.archive);
    if (work && split != RN_SPLIT_TEST)
        RN_TRY(need_devkit(c));
    j.devkit = split == RN_SPLIT_TEST ? NULL : c->devkit;
    RN_TRY(whole ? verify_later(&j) : extract(&j));
    *r = (rn_extract_result){.wanted = true,
                             .already = whole,
                             .classes = j.state.classes,
                             .images = j.state.images,
                             .bytes = j.state.bytes,
                             .seconds = rn_now() - start};
    snprintf(r->md5, sizeof r->md5, "%.32s", j.state.md5);
    return RN_OK;
}

int rn_extract(const char *raw_dir, const char *out_dir, const rn_extract_opts *opts,
               rn_extract_result result[RN_NSPLITS])
{
    int rc;
    context c = {.opts = opts, .raw_dir = raw_dir, .out_dir = out_dir, .lock = -1};
    memset(result, 0, RN_NSPLITS * sizeof *result);
    RN_TRY(rn_raw_find(raw_dir, &c.raw));
    if (c.raw.md5sums[0])
        RN_GO(rn_sums_read(c.raw.md5sums, &c.sums));
    RN_GO(rn_mkdir_p(out_dir));
    RN_GO(take_lock(&c));
    for (int split = 0; split < RN_NSPLITS; split++)
        if (opts->splits >> split & 1)
            RN_GO(run_split(&c, (enum rn_split)split, &result[split]));
    rc = RN_OK;
out:
    rn_devkit_close(c.devkit);
    rn_sums_free(&c.sums);
    if (c.lock >= 0)
        close(c.lock);
    return rc;
}
