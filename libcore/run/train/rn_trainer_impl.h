/* SPDX-License-Identifier: MIT */
/* Private to the trainer: the loop (rn_trainer.c), its folder and checkpoints (rn_rundir.c), its log (rn_trainlog.c). */
#ifndef RN_TRAINER_IMPL_H
#define RN_TRAINER_IMPL_H

#include <limits.h>

#include "base/rn_progress.h"
#include "nn/optim/rn_sched.h"
#include "run/log/rn_events.h"
#include "run/log/rn_runlog.h"
#include "run/train/rn_ranks.h"
#include "run/train/rn_step.h"
#include "run/train/rn_trainer.h"

/* What the last evaluation said of every image, for the report: see rn_predictions.c. */
#define RN_PREDICTIONS_NAME "predictions.json"

/* TensorBoard looks for "tfevents" in a name. */
#define RN_EVENTS_NAME "events.out.tfevents.rnkit"

typedef struct rn_trainer {
    const rn_train_job *job;
    rn_session s;
    rn_step *one;        /* takes steps */
    rn_step_at given[2]; /* those under way, which state does not count yet */
    int ahead;           /* how many they are */
    bool stop, due;      /* what was agreed to follow the step under way, while it was: of ranks whose steps overlap */
    rn_run_state state;
    rn_sched sched;
    rn_runlog *log;
    rn_events *events;
    rn_progress *bar;
    char bar_name[48];
    int lock;                                                        /* fd of RUN_DIR/lock, -1: none */
    bool made;                                                       /* RUN_DIR was not there before */
    rn_buf compute;                                                  /* rn_run_texts.compute */
    int64_t batches_per_epoch, steps_per_epoch, total_steps, epochs; /* the last epoch may end in the middle */
    bool dynamic_scale;                                              /* --loss-scale */
    double lr, grad_norm;                                            /* of the last step */
    double last_checkpoint;                                          /* rn_now() */
    char from[PATH_MAX];      /* checkpoint this session began at; "": from the start */
    char last_good[PATH_MAX]; /* newest checkpoint written or begun at */
} rn_trainer;

/* rn_rundir.c */
int rn_rundir_path(const rn_trainer *t, const char *name, char out[PATH_MAX]);
int rn_rundir_lock(rn_trainer *t);
/* Takes a folder that this made away again where no run began. */
void rn_rundir_unlock(rn_trainer *t, bool began);
/* Fills t->compute from the open session. */
int rn_rundir_compute(rn_trainer *t);
/* Decides where to start: clears the folder, or loads a checkpoint into state and nets. */
int rn_rundir_begin(rn_trainer *t);
int rn_rundir_checkpoint(rn_trainer *t);
/* Publishes weights, best weights and result.json. */
int rn_rundir_finish(rn_trainer *t);

/* rn_ranks.c: the above for all ranks, by rank 0; who has begun or written goes on with equal state and weights. */
int rn_ranks_begin(rn_trainer *t);
/* RN_E_USAGE, on every rank, unless all of them have the same recipe, data and version. */
int rn_ranks_check(const rn_trainer *t);
int rn_ranks_checkpoint(rn_trainer *t);

/* rn_predictions.c: rows of the whole validation set, in key order */
int rn_predictions_write(const rn_trainer *t, const rn_eval_row *rows);

/* rn_trainlog.c; of rank 0, the only one to have a log */
int rn_trainlog_open(rn_trainer *t);
int rn_trainlog_window(rn_trainer *t);
int rn_trainlog_epoch(rn_trainer *t, bool evaluated);
void rn_trainlog_note(rn_trainer *t);

/* Where the loader stands before the next step. An epoch of the run is a pass over the data unless --epoch-steps counts otherwise. */
static inline void rn_trainer_position(const rn_trainer *t, int64_t *epoch, int64_t *batch)
{
    const int64_t pass = (int64_t)rn_loader_batches(t->s.train), done = t->state.step * t->job->recipe->accumulate;
    *epoch = t->job->recipe->epoch_steps ? done / pass : t->state.epoch;
    *batch = t->job->recipe->epoch_steps ? done % pass : t->state.batch;
}

/* Images seen after that many steps. */
int64_t rn_trainer_images(const rn_trainer *t, int64_t steps);

static inline bool rn_trainer_finished(const rn_trainer *t)
{
    return t->state.epoch == t->epochs && !t->state.eval_pending;
}

#endif
