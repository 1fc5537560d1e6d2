/* SPDX-License-Identifier: MIT */
/*
 * A training run in RUN_DIR:
 *   recipe               every setting, written out
 *   net.prototxt         the net, with --net
 *   log.jsonl            see rn_runlog.h
 *   sessions.jsonl       one line for each time the run was started: when, on what, from which checkpoint
 *   checkpoints/         see rn_checkpoint.h: the newest ones and the best
 *   predictions.json     of the newest evaluation: who was taken for whom, and some images (for the report)
 *   tune.json            measured algorithm choices (--tune)
 *   weights.safetensors  after the last epoch;  best.safetensors  after the best one
 *   result.json          the last evaluation: these three are there when the run is finished
 * A run killed anywhere goes on from its newest whole checkpoint and ends with the same bits in weights and log as one
 * that was never killed (same binary, machine and thread count). Only the log's speeds differ, being measured.
 */
#ifndef RN_TRAINER_H
#define RN_TRAINER_H

#include <signal.h>

#include "run/train/rn_session.h"

typedef struct rn_train_job {
    const rn_recipe *recipe;
    const char *recipe_text; /* resolved; see rn_recipe_text */
    const rn_backend_entry *backends;
    const char *out;     /* RUN_DIR */
    const char *resume;  /* "auto", "never", or a checkpoint's folder */
    const char *command; /* for the log */
    int jobs;
    int64_t checkpoint_steps;          /* 0: none but at the end of epochs */
    double checkpoint_seconds;         /* 0: likewise */
    int64_t keep;                      /* checkpoints besides the best; >= 1 */
    int64_t log_steps;                 /* steps in a window */
    double diverge;                    /* stop when the loss stays above that many times guessing's; 0: never */
    int64_t stop_after;                /* stop as if interrupted once that many steps are done in all; 0: never */
    bool results;                      /* print a line an epoch on stdout */
    const volatile sig_atomic_t *stop; /* set by SIGINT, SIGTERM */
} rn_train_job;

typedef struct rn_train_result {
    bool was_finished; /* nothing was left to do */
    bool began;        /* its log is open: set on failure too */
    rn_run_state state;
    double images_per_s; /* of training, over all sessions; 0 if nothing was trained */
} rn_train_result;

/*
 * Trains, or goes on training, to the end. RN_E_INTERRUPTED after SIGINT, SIGTERM or stop_after, with a checkpoint
 * written; RN_E_MISMATCH when a loss, gradient or weight is not finite or the loss diverges (names step, place and last good
 * checkpoint), or when RUN_DIR holds a run of
 * another recipe or data; RN_E_USAGE when another process trains in RUN_DIR.
 */
enum { RN_DIVERGED_STEPS = 20 }; /* in a row */
int rn_train(const rn_train_job *job, rn_train_result *out);

#endif
