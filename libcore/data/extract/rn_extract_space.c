/* SPDX-License-Identifier: MIT */
/* Is there room? Asked before the first byte is written: a disk that will be full in an hour is found out at once. */
#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "data/extract/rn_extract_job.h"

typedef struct amount {
    uint64_t bytes, files;
} amount;

/* A tar's size is near what its files need: headers and padding on one side, the file system's rounding up on the other; a
 * twentieth is left for that. Compressed archives need more than this. */
static amount need_of(const rn_job *j)
{
    int64_t bytes = rn_file_size(j->archive);
    amount n = {bytes > 0 ? (uint64_t)bytes / 20 * 19 : 0, 0};
    for (int c = 0; j->split == RN_SPLIT_TRAIN && c < j->devkit->nclasses; c++)
        n.files += j->devkit->synsets[c].num_train > 0 ? (uint64_t)j->devkit->synsets[c].num_train : 0;
    if (j->split == RN_SPLIT_VAL)
        n.files = (uint64_t)j->devkit->nval;
    return n;
}

/* What earlier calls wrote of it. */
static amount have_of(const rn_job *j)
{
    amount have = {0, 0};
    char *const roots[] = {(char *)j->work, NULL};
    FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    for (FTSENT *e; walk && (e = fts_read(walk)) != NULL;)
        if (e->fts_info == FTS_F) {
            have.bytes += (uint64_t)e->fts_statp->st_blocks * 512;
            have.files++;
        }
    if (walk)
        fts_close(walk);
    return have;
}

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

int rn_extract_check_space(const char *out_dir, rn_job *const *jobs, int n)
{
    struct statvfs fs;
    amount need = {0, 0};
    if (statvfs(out_dir, &fs) < 0)
        return rn_fail_errno(errno, "%s: asking for its free space", out_dir);
    uint64_t room = (uint64_t)(geteuid() == 0 ? fs.f_bfree : fs.f_bavail) * fs.f_frsize;
    uint64_t inodes = fs.f_files > 0 ? (uint64_t)fs.f_favail : UINT64_MAX; /* some make them as they need them */
    for (int looked = 0; looked < 2; looked++) {
        need = (amount){0, 0};
        for (int i = 0; i < n; i++) {
            amount one = need_of(jobs[i]), have = looked ? have_of(jobs[i]) : (amount){0, 0};
            need.bytes += less(one.bytes, have.bytes);
            need.files += less(one.files, have.files);
        }
        if (need.bytes <= room && need.files <= inodes)
            return RN_OK; /* as a rule without having walked over what is there */
    }
    if (need.bytes > room)
        return rn_fail(
            RN_E_NOSPACE,
            "%s: needs about %.1f MB more, its file system has %.1f MB free; make room or give another OUT_DIR",
            out_dir, (double)need.bytes / 1e6, (double)room / 1e6);
    return rn_fail(
        RN_E_NOSPACE,
        "%s: needs %llu files more, its file system has room for %llu (inodes); give another OUT_DIR, or pack "
        "the archives straight with pack-lmdb",
        out_dir, (unsigned long long)need.files, (unsigned long long)inodes);
}
