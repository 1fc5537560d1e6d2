/* SPDX-License-Identifier: MIT */
#include "data/extract/rn_extract.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_log.h"
#include "data/extract/rn_extract_job.h"

const char *const rn_split_names[RN_NPARTS + 1] = {
    "train", "val", "test", "t3", "bbox/train", "bbox/train_dogs", "bbox/val", "bbox/test_dogs", NULL,
};

/* As published; NULL: rn_raw_find knows. */
static const char *const archive_names[RN_NPARTS] = {
    [RN_SPLIT_T3] = "ILSVRC2012_img_train_t3.tar",
    [RN_SPLIT_BBOX_TRAIN] = "ILSVRC2012_bbox_train_v2.tar.gz",
    [RN_SPLIT_BBOX_TRAIN_DOGS] = "ILSVRC2012_bbox_train_dogs.tar.gz",
    [RN_SPLIT_BBOX_VAL] = "ILSVRC2012_bbox_val_v3.tgz",
    [RN_SPLIT_BBOX_TEST_DOGS] = "ILSVRC2012_bbox_test_dogs.zip",
};

typedef struct context {
    const rn_extract_opts *opts;
    const char *raw_dir, *out_dir;
    rn_raw_set raw;
    char archive[RN_NPARTS][1024]; /* "" where it is not there */
    rn_sums sums;
    rn_devkit *devkit;
    int lock; /* fd of .rnkit/lock */
    rn_job job[RN_NPARTS];
    bool whole[RN_NPARTS];
} context;

/* ---- what there is ----------------------------------------------------------------------------------------- */

static int find_archives(context *c)
{
    const char *found[RN_NPARTS] = {c->raw.train, c->raw.val, c->raw.test};
    for (int s = 0; s < RN_NPARTS; s++) {
        char *path = c->archive[s];
        if (found[s]) {
            snprintf(path, sizeof c->archive[s], "%s", found[s]);
            continue;
        }
        RN_TRY(rn_path_join(path, sizeof c->archive[s], c->raw_dir, archive_names[s]));
        if (!rn_is_file(path))
            path[0] = 0;
    }
    return RN_OK;
}

static bool needs_devkit(int split)
{
    return split == RN_SPLIT_TRAIN || split == RN_SPLIT_VAL;
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
    static const char *const states[] = {
        "train.json",           "val.json",      "test.json",           "t3.json", "bbox-train.json",
        "bbox-train_dogs.json", "bbox-val.json", "bbox-test_dogs.json", NULL};
    static const char *const lists[] = {"train.txt", "val.txt", "test.txt", "synsets.txt", "synset_words.txt", NULL};
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

/* ---- whole before ------------------------------------------------------------------------------------------ */

/* A whole split of other archives than the ones that are there now must not pass for theirs. */
static int check_source(const rn_job *j)
{
    char source[65];
    if (!j->archive[0] || (needs_devkit((int)j->split) && !j->devkit_path[0]))
        return RN_OK;
    RN_TRY(rn_archive_fingerprint(j->archive, needs_devkit((int)j->split) ? j->devkit_path : "", source));
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
    if (j->state.modified[0] && strcmp(modified, j->state.modified) != 0)
        return rn_fail(RN_E_MISMATCH, "%s: %s was changed after it was extracted; move the folder away and run again",
                       j->target, j->archive);
    RN_TRY(rn_digest_file(RN_MD5, j->archive, md5, NULL));
    RN_TRY(rn_check_md5(j->archive, md5, want, from));
    memcpy(j->state.md5, md5, sizeof md5);
    return rn_state_write(j->state_path, &j->state);
}

/* ---- one archive ------------------------------------------------------------------------------------------- */

static int set_paths(rn_job *j)
{
    char key[32], name[64];
    snprintf(key, sizeof key, "%s", rn_split_names[j->split]);
    for (char *p = key; *p; p++)
        *p = *p == '/' ? '-' : *p;
    RN_TRY(rn_path_join(j->target, sizeof j->target, j->out_dir, rn_split_names[j->split]));
    snprintf(name, sizeof name, ".rnkit/%s", key);
    RN_TRY(rn_path_join(j->work, sizeof j->work, j->out_dir, name));
    snprintf(name, sizeof name, ".rnkit/%s.json", key);
    return rn_path_join(j->state_path, sizeof j->state_path, j->out_dir, name);
}

/* What an archive that is to be read must have beside it. */
static int check_inputs(context *c, const rn_job *j)
{
    const char *name = archive_names[j->split];
    if (!j->archive[0] && name)
        return rn_fail(RN_E_NOENT, "%s: has no %s", c->raw_dir, name);
    if (!j->archive[0]) {
        char advice[256] = "";
        if (j->split == RN_SPLIT_TRAIN)
            rn_raw_class_tars(c->raw_dir, advice);
        return rn_fail(RN_E_NOENT, "%s: has no archive of the %s set (ILSVRC2012_img_%s.tar)%s", c->raw_dir,
                       rn_split_names[j->split], rn_split_names[j->split], advice);
    }
    if (c->opts->verify && !rn_expected_md5(&c->sums, j->archive, NULL))
        return rn_fail(RN_E_USAGE, "%s: no MD5 is known for it; put an MD5SUMS beside it or leave out --verify",
                       j->archive);
    return needs_devkit((int)j->split) ? need_devkit(c) : RN_OK;
}

/* The tree is whole, but someone removed a list. */
static int restore_lists(context *c, rn_job *j)
{
    bool kit = needs_devkit((int)j->split);
    if (rn_extract_has_lists(j))
        return RN_OK;
    if (kit && !c->raw.devkit[0]) {
        rn_warn("%s: a list of it is not there, and cannot be written again without the devkit", j->target);
        return RN_OK;
    }
    if (kit)
        RN_TRY(need_devkit(c));
    j->devkit = kit ? c->devkit : NULL;
    j->tree = open(j->target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (j->tree < 0)
        return rn_fail_errno(errno, "%s: opening it", j->target);
    int rc = rn_extract_lists(j, true);
    close(j->tree);
    j->tree = -1;
    return rc;
}

static int prepare(context *c, int split)
{
    rn_job *j = &c->job[split];
    *j = (rn_job){.split = (enum rn_split)split,
                  .archive = c->archive[split],
                  .devkit_path = c->raw.devkit,
                  .out_dir = c->out_dir,
                  .opts = c->opts,
                  .sums = &c->sums};
    RN_TRY(set_paths(j));
    int whole = rn_extract_is_whole(j);
    RN_TRY(whole);
    c->whole[split] = whole;
    if (whole) {
        RN_TRY(check_source(j));
        RN_TRY(restore_lists(c, j));
    } else { /* now, not when those before it are done, hours later */
        RN_TRY(rn_extract_check_place(j));
    }
    if (!whole || (c->opts->verify && !j->state.md5[0]))
        RN_TRY(check_inputs(c, j));
    j->devkit = needs_devkit(split) ? c->devkit : NULL;
    return RN_OK;
}

static void report(const context *c, int split, double seconds, rn_extract_result *r)
{
    const rn_job *j = &c->job[split];
    *r = (rn_extract_result){.wanted = true,
                             .already = c->whole[split],
                             .classes = j->state.classes,
                             .images = j->state.images,
                             .bytes = j->state.bytes,
                             .seconds = seconds};
    snprintf(r->md5, sizeof r->md5, "%.32s", j->state.md5);
}

/* All are filled, then all are finished: while the disk takes what is left of one, the next is being read. One that failed
 * does not keep those before it from being finished. */
static int run_jobs(context *c, unsigned splits, rn_extract_result *result)
{
    int rc = RN_OK, end = 0;
    char text[1024] = "";
    double seconds[RN_NPARTS] = {0};
    for (; end < RN_NPARTS && rc == RN_OK; end++) {
        double start = rn_now();
        if (splits >> end & 1)
            rc = c->whole[end] ? verify_later(&c->job[end]) : rn_extract_fill(&c->job[end]);
        seconds[end] = rn_now() - start;
    }
    if (rc < 0) {
        snprintf(text, sizeof text, "%s", rn_error_text());
        end--;
    }
    for (int s = 0; s < end; s++) {
        double start = rn_now();
        if (!(splits >> s & 1))
            continue;
        int one = c->whole[s] ? RN_OK : rn_extract_finish(&c->job[s]);
        if (one == RN_OK) {
            report(c, s, seconds[s] + rn_now() - start, &result[s]);
        } else if (rc == RN_OK) {
            rc = one;
            snprintf(text, sizeof text, "%s", rn_error_text());
        }
    }
    for (int s = 0; s < RN_NPARTS; s++)
        rn_extract_close(&c->job[s]);
    return rc < 0 ? rn_fail(rc, "%s", text) : RN_OK;
}

/* Of the boxes' archives those that are there (or were, when they were extracted). */
static int choose(const context *c, unsigned *splits)
{
    char path[1200];
    *splits = c->opts->splits;
    for (int s = RN_NSPLITS; s < RN_NPARTS; s++)
        if (*splits >> s & 1 && !c->archive[s][0]) {
            RN_TRY(rn_path_join(path, sizeof path, c->out_dir, rn_split_names[s]));
            if (!rn_is_dir(path))
                *splits &= ~(1u << s);
        }
    if (c->opts->splits & RN_SPLITS_BBOX && !(*splits & RN_SPLITS_BBOX))
        return rn_fail(RN_E_NOENT, "%s: has no archive of bounding boxes (such as %s)", c->raw_dir,
                       archive_names[RN_SPLIT_BBOX_TRAIN]);
    return RN_OK;
}

static int run_all(context *c, rn_extract_result *result)
{
    unsigned splits;
    rn_job *todo[RN_NPARTS];
    int n = 0;
    RN_TRY(choose(c, &splits));
    for (int s = 0; s < RN_NPARTS; s++)
        if (splits >> s & 1) {
            RN_TRY(prepare(c, s));
            if (!c->whole[s])
                todo[n++] = &c->job[s];
        }
    RN_TRY(rn_extract_check_space(c->out_dir, todo, n));
    return run_jobs(c, splits, result);
}

int rn_extract(const char *raw_dir, const char *out_dir, const rn_extract_opts *opts,
               rn_extract_result result[RN_NPARTS])
{
    int rc;
    context *c = calloc(1, sizeof *c);
    memset(result, 0, RN_NPARTS * sizeof *result);
    if (!c)
        return rn_fail(RN_E_NOMEM, "out of memory");
    c->opts = opts;
    c->raw_dir = raw_dir;
    c->out_dir = out_dir;
    c->lock = -1;
    RN_GO(rn_raw_find(raw_dir, &c->raw));
    RN_GO(find_archives(c));
    if (c->raw.md5sums[0])
        RN_GO(rn_sums_read(c->raw.md5sums, &c->sums));
    RN_GO(rn_mkdir_p(out_dir));
    RN_GO(take_lock(c));
    rc = run_all(c, result);
out:
    rn_devkit_close(c->devkit);
    rn_sums_free(&c->sums);
    if (c->lock >= 0)
        close(c->lock);
    free(c);
    return rc;
}
