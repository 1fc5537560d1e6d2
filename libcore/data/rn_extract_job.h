/* SPDX-License-Identifier: MIT */
/* Private to extraction: one split being extracted, and what train and flat (val, test) share. */
#ifndef RN_EXTRACT_JOB_H
#define RN_EXTRACT_JOB_H

#include <pthread.h>

#include "base/rn_pool.h"
#include "base/rn_progress.h"
#include "data/rn_archive.h"
#include "data/rn_commit.h"
#include "data/rn_devkit.h"
#include "data/rn_extract.h"
#include "data/rn_extract_state.h"
#include "data/rn_manifest.h"

typedef struct rn_job {
    enum rn_split split;
    const char *archive, *devkit_path, *out_dir;
    const rn_extract_opts *opts;
    const rn_devkit *devkit; /* NULL only for test */
    const rn_sums *sums;
    char work[1024], target[1024], state_path[1024];
    rn_split_state state;
    int tree, part; /* open folders: <work>/tree, and <work>/part (train) or <work>/done (val, test) */
    rn_pool *pool;
    rn_commit *commit;
    rn_progress *bar;
    uint64_t shown; /* bytes of the archive told to the bar */
    /* Memory held by what has been read and not yet written is bounded: */
    pthread_mutex_t lock;
    pthread_cond_t freed;
    uint64_t held;
    int rc; /* first failure of a worker; under `lock` */
    char text[1024];
} rn_job;

/* Waits until `n` more bytes may be held (always true when nothing else is), and the reverse. Hold returns a worker's
 * failure, so that the reader stops. */
int rn_job_hold(rn_job *j, uint64_t n);
void rn_job_release(rn_job *j, uint64_t n);

/* Workers report here, and always return 0 to the pool: it would drop queued tasks, and the memory they own, after a
 * failure. Later tasks ask rn_job_failed and only clean up. */
void rn_job_report(rn_job *j, int rc);
int rn_job_failed(rn_job *j); /* 0, or the first failure with its message */

/* All workers and marks have ended: rc, or if that is 0 their first failure. */
int rn_job_drain(rn_job *j, int rc);

/* Creates `name` (one component) below dirfd with these bytes; excl: it must not be there. `where` is for messages. */
int rn_job_write(int dirfd, const char *name, const void *data, size_t n, bool excl, const char *where);

/* Opens, and if need be creates, folder `name` below dirfd (no links followed). */
int rn_job_folder(int dirfd, const char *name, const char *where, int *fd);

/* Fills <work>/tree and the counts of j->state; the archive has been read to its end and fits the devkit. */
int rn_extract_classes(rn_job *j, rn_archive *a); /* train */
int rn_extract_flat(rn_job *j, rn_archive *a);    /* val, test */

/* OUT_DIR/{train,val}.txt, synsets.txt, synset_words.txt from the finished tree. */
int rn_extract_lists(rn_job *j);

#endif
