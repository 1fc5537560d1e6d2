/* SPDX-License-Identifier: MIT */
/* One archive, from nothing or from where it was left, to its folder in place. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_log.h"
#include "data/extract/rn_extract_job.h"

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

/*
 * Tells an ext file system that the folders in here have nothing to do with each other, as chattr +T does, so that each
 * gets a block group of its own. Otherwise the threads, each in its folder, allocate from the same group; and where inodes
 * were freed a short while ago (a tree that was removed before this run) ext4 without a journal steps over all of that
 * group's again for every file it creates: measured, eight times the system time. A hint: other file systems refuse it.
 */
static void spread_folders(int fd)
{
    int flags = 0;
    if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0) {
        flags |= FS_TOPDIR_FL;
        (void)ioctl(fd, FS_IOC_SETFLAGS, &flags);
    }
}

/* ---- begin and end ----------------------------------------------------------------------------------------- */

/* The last step, which a killed run may have left undone: the finished tree gets its name. */
static int publish(rn_job *j)
{
    char tree[1200];
    RN_TRY(rn_path_join(tree, sizeof tree, j->work, "tree"));
    if (rn_is_dir(tree)) {
        char parent[1024];
        snprintf(parent, sizeof parent, "%.*s", (int)(rn_base_name(j->target) - j->target), j->target);
        RN_TRY(rn_mkdir_p(parent));
        int e = rename(tree, j->target) < 0 ? errno : 0;
        if (e == ENOTEMPTY || e == EEXIST || e == ENOTDIR)
            return rn_fail(
                RN_E_MISMATCH,
                "%s: there already, but not made by ilsvrc-extract; move it away and run again: the finished "
                "tree waits in %s",
                j->target, tree);
        if (e)
            return rn_fail_errno(e, "%s: moving the finished tree there", j->target);
    }
    return remove_tree(j->work);
}

int rn_extract_check_place(const rn_job *j)
{
    struct stat st;
    if (lstat(j->target, &st) < 0 || (S_ISDIR(st.st_mode) && is_empty(j->target)))
        return RN_OK;
    return rn_fail(RN_E_MISMATCH,
                   "%s: there already, but not made by ilsvrc-extract; move it away or give another OUT_DIR",
                   j->target);
}

/* A state whose tree someone removed counts for nothing. */
int rn_extract_is_whole(rn_job *j)
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

/* The archive that is there now was changed since the state was noted: what was made before may be of other bytes. */
static bool is_changed(const rn_job *j, const char *modified)
{
    return j->state.modified[0] && strcmp(modified, j->state.modified) != 0;
}

static int begin_anew(rn_job *j, const char source[65], const char modified[32])
{
    RN_TRY(remove_tree(j->work));
    memset(&j->state, 0, sizeof j->state);
    snprintf(j->state.archive, sizeof j->state.archive, "%s", rn_base_name(j->archive));
    memcpy(j->state.source, source, sizeof j->state.source);
    memcpy(j->state.modified, modified, sizeof j->state.modified);
    return rn_state_write(j->state_path, &j->state);
}

/* Begins, or goes on with what an earlier call began from the same archive. */
static int begin(rn_job *j)
{
    char source[65], modified[32];
    int rc = rn_state_read(j->state_path, &j->state);
    bool begun = rc == RN_OK && !j->state.whole;
    if (rc < 0 && rc != RN_E_NOENT)
        return rc;
    RN_TRY(rn_extract_check_place(j));
    RN_TRY(rn_archive_fingerprint(j->archive, j->devkit ? j->devkit_path : "", source));
    RN_TRY(rn_archive_modified(j->archive, modified));
    if (begun && (strcmp(source, j->state.source) != 0 || is_changed(j, modified)))
        return rn_fail(RN_E_MISMATCH,
                       "%s: was begun with another archive or devkit, or this one was changed since; remove it and %s "
                       "to begin again, or give another OUT_DIR",
                       j->work, j->state_path);
    if (!begun)
        RN_TRY(begin_anew(j, source, modified));
    else if (rn_is_dir(j->work))
        rn_info("%s: going on where it was left", rn_split_names[j->split]);
    RN_TRY(open_folder(j->work, "tree", &j->tree));
    RN_TRY(open_folder(j->work, j->by_class ? "part" : "done", &j->part));
    spread_folders(j->by_class ? j->part : j->tree);
    return RN_OK;
}

/* ---- digests ----------------------------------------------------------------------------------------------- */

/* Nothing made of a wrong archive may be gone on with: the right one may have the same size and edges. */
static int discard(rn_job *j)
{
    (void)rn_commit_wait(j->commit);                  /* it moves folders about in there */
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

/* What was hashed and what was unpacked must have been the same bytes. */
static int check_untouched(rn_job *j)
{
    char modified[32];
    RN_TRY(rn_archive_modified(j->archive, modified));
    if (!is_changed(j, modified))
        return RN_OK;
    RN_TRY(discard(j));
    return rn_fail(RN_E_MISMATCH, "%s: was changed while it was extracted; run again when it is complete", j->archive);
}

/* ---- the work ---------------------------------------------------------------------------------------------- */

static int fill(rn_job *j)
{
    rn_archive *a = NULL;
    char what[32], md5[RN_DIGEST_HEX_MAX] = "";
    rn_archive_opts o = {.digest = j->opts->verify ? RN_MD5 : -1, .zip = j->split >= RN_NSPLITS};
    RN_TRY(rn_archive_open(j->archive, &o, &a));
    snprintf(what, sizeof what, "extract %s", rn_split_names[j->split]);
    int64_t bytes = rn_file_size(j->archive);
    j->bar = rn_progress_start(what, NULL, RN_UNIT_BYTES, bytes > 0 ? (uint64_t)bytes : 0);
    int rc = j->by_class ? rn_extract_classes(j, a) : rn_extract_flat(j, a);
    rc = rc < 0 ? explain(j, a, rc) : check_digest(j, a, md5);
    if (rc == RN_OK)
        rc = check_untouched(j);
    rn_progress_done(j->bar);
    rn_archive_close(a);
    memcpy(j->state.md5, md5, sizeof md5);
    return rc;
}

/* t3's inner layout is not known for sure: its first member tells. */
static int find_layout(rn_job *j)
{
    rn_archive *a;
    rn_archive_entry e;
    j->by_class = j->split == RN_SPLIT_TRAIN;
    if (j->split != RN_SPLIT_T3)
        return RN_OK;
    RN_TRY(rn_archive_open(j->archive, &(rn_archive_opts){.digest = -1}, &a));
    int rc = rn_archive_next(a, &e);
    size_t n = rc > 0 ? strlen(e.name) : 0;
    j->by_class = n > 4 && strcmp(e.name + n - 4, ".tar") == 0;
    rn_archive_close(a);
    return rc < 0 ? rc : RN_OK;
}

int rn_extract_fill(rn_job *j)
{
    j->tree = j->part = -1;
    pthread_mutex_init(&j->lock, NULL);
    j->open = true;
    RN_TRY(find_layout(j));
    RN_TRY(begin(j));
    RN_TRY(rn_pool_open(j->opts->jobs, 2, &j->pool));
    RN_TRY(rn_commit_open(j->tree, j->work, &j->commit));
    return fill(j);
}

int rn_extract_finish(rn_job *j)
{
    RN_TRY(rn_commit_wait(j->commit));
    RN_TRY(rn_extract_lists(j, false));
    /* Each piece was on disk before it counted; that it was moved into place must be, too, before all counts. */
    if (syncfs(j->tree) < 0)
        return rn_fail_errno(errno, "%s: writing it to disk", j->work);
    j->state.whole = true;
    RN_TRY(rn_state_write(j->state_path, &j->state));
    return publish(j);
}

void rn_extract_close(rn_job *j)
{
    if (!j->open)
        return;
    j->open = false;
    rn_pool_close(j->pool);
    rn_commit_close(j->commit);
    if (j->tree >= 0)
        close(j->tree);
    if (j->part >= 0)
        close(j->part);
    pthread_mutex_destroy(&j->lock);
}
