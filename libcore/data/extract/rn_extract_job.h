/* SPDX-License-Identifier: MIT */
/* Private to extraction: one archive being extracted, and what its parts share. */
#ifndef RN_EXTRACT_JOB_H
#define RN_EXTRACT_JOB_H

#include <pthread.h>

#include "base/rn_pool.h"
#include "base/rn_progress.h"
#include "data/archive/rn_archive.h"
#include "data/extract/rn_commit.h"
#include "data/extract/rn_extract.h"
#include "data/extract/rn_extract_state.h"
#include "data/meta/rn_devkit.h"
#include "data/meta/rn_manifest.h"

typedef struct rn_job {
    enum rn_split split;
    const char *archive, *devkit_path, *out_dir;
    const rn_extract_opts *opts;
    const rn_devkit *devkit; /* train and val; else NULL */
    const rn_sums *sums;
    char work[1024], target[1024], state_path[1024];
    rn_split_state state;
    bool open;      /* between fill and close */
    bool by_class;  /* the archive is a tar of one tar a class */
    int tree, part; /* open folders: <work>/tree, and <work>/part (by class) or <work>/done */
    rn_pool *pool;
    rn_commit *commit;
    rn_progress *bar;
    pthread_mutex_t lock;
    int rc; /* first failure of a worker; under `lock` */
    char text[1024];
} rn_job;

/* Workers report here, and always return 0 to the pool: it would drop queued tasks, and the memory they own, after a
 * failure. Later tasks ask rn_job_failed and only clean up. */
void rn_job_report(rn_job *j, int rc);
int rn_job_failed(rn_job *j); /* 0, or the first failure with its message */

/* All workers have ended (marks may still be waiting for the disk): rc, or if that is 0 their first failure. */
int rn_job_drain(rn_job *j, int rc);

/* Creates `name` below dirfd with the current entry of `a`, or with n bytes; excl: it must not be there. `name` may have one
 * folder, which is created if need be. `where` is for messages. Failed, the file is removed. */
int rn_job_copy(int dirfd, const char *name, rn_archive *a, bool excl, const char *where);
int rn_job_write(int dirfd, const char *name, const void *data, size_t n, bool excl, const char *where);

/* Opens, and if need be creates, folder `name` below dirfd (no links followed). */
int rn_job_folder(int dirfd, const char *name, const char *where, int *fd);

/* One archive, from nothing or from where it was left: fill writes its files, finish waits until the disk has them and puts
 * the folder in place. The next archive may be filled in between: the disk is still busy with this one. After a failure of
 * either only close may follow. */
int rn_extract_fill(rn_job *j);
int rn_extract_finish(rn_job *j);
void rn_extract_close(rn_job *j); /* accepts one that was never filled */

/* Is it whole, from an earlier call? 1 yes (and in place), 0 no, RN_E_*. */
int rn_extract_is_whole(rn_job *j);
/* Fails where something that is not from here has the place of the finished tree. */
int rn_extract_check_place(const rn_job *j);

/* Fill <work>/tree and the counts of j->state (by class: as pieces reach the disk); the archive has been read to its end and
 * fits the devkit. */
int rn_extract_classes(rn_job *j, rn_archive *a); /* by class */
int rn_extract_flat(rn_job *j, rn_archive *a);    /* all others */

/* Where a member of a flat archive goes. */
typedef struct rn_place {
    char folder[16]; /* a WNID, or "" */
    char name[256];
    uint64_t key; /* tells places of one archive apart */
} rn_place;
/* 1: there; 0: this member is no matter of ours and is passed over; RN_E_*: it should not be in this archive. `inner` is the
 * WNID an inner archive is named by, or "". */
int rn_extract_place(const rn_job *j, const char *member, const char *inner, rn_place *out);

/* A set of keys, for "twice". Zero-initialise. */
typedef struct rn_keys {
    uint64_t *slot;
    size_t n, cap;
} rn_keys;
int rn_keys_add(rn_keys *s, uint64_t key); /* 1: new, 0: was there, RN_E_NOMEM */
void rn_keys_free(rn_keys *s);

/* OUT_DIR/{train,val,test}.txt, synsets.txt, synset_words.txt from the finished tree (j->tree); for train also its counts.
 * `missing`: only those that are not there. */
int rn_extract_lists(rn_job *j, bool missing);
/* Whether all lists that go with a split are there. */
bool rn_extract_has_lists(const rn_job *j);

/* RN_E_NOSPACE when what n jobs will write plainly does not fit where OUT_DIR is: bytes, or number of files. */
int rn_extract_check_space(const char *out_dir, rn_job *const *jobs, int n);

#endif
