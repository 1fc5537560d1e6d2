/* SPDX-License-Identifier: MIT */
/*
 * Checkpoints: RUN_DIR/checkpoints/e<epochs done>-s<steps done>/ holding
 *   weights.safetensors   the model, in torchvision's form
 *   ema.safetensors       with --ema: the running average of the weights, in the same form
 *   state.safetensors     momentum; the run's position, sums and recipe as metadata
 *   digests.json          bytes and SHA-256 of each, written last
 * A checkpoint is written in a folder of another name, synced, and renamed: it is there whole or not at all. Reading
 * checks every digest; a damaged checkpoint is passed over with a warning and the one before is used.
 */
#ifndef RN_CHECKPOINT_H
#define RN_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "nn/graph/rn_net.h"
#include "nn/optim/rn_loss_scale.h"
#include "nn/optim/rn_plateau.h"
#include "run/save/rn_weightfile.h"

/* Running sums over images. Doubles are saved so that they read back to the bit. */
typedef struct rn_sums {
    int64_t n, top1, top5;
    double loss;            /* sum over images */
    double seconds, waited; /* of training steps; waited is for data */
} rn_sums;

typedef struct rn_eval_result {
    int64_t n;
    double top1, top5, se_top1, loss; /* per cent; mean */
} rn_eval_result;

/* Where a run stands between two steps, and all that it needs to go on as if it had never stopped. */
typedef struct rn_run_state {
    int64_t step;                  /* optimizer steps done */
    int64_t epoch, batch;          /* position of the next batch */
    int64_t eval_pending;          /* 1: epoch `epoch - 1` is trained but not yet evaluated */
    int64_t best_epoch, best_step; /* 1-based epoch of the best evaluation; 0: none yet */
    int64_t log_bytes;             /* length of log.jsonl: what is beyond belongs to no checkpoint */
    int64_t events_bytes;          /* the same for the TensorBoard file */
    int64_t threads;               /* compute threads it ran with */
    int64_t batches;               /* rn_net_batches */
    rn_sums window, epoch_sums;
    rn_eval_result last, best; /* n 0: none yet */
    double train_s, eval_s;    /* over all sessions */
    double first_loss;         /* of the run's first step, and */
    int64_t diverging;         /* for how many steps the loss has been far above it; see rn_trainer.c */
    rn_plateau plateau;        /* of --schedule plateau */
    rn_loss_scale loss_scale;  /* of --loss-scale dynamic */
} rn_run_state;

/* Texts that travel with a checkpoint (state.safetensors' metadata). */
typedef struct rn_run_texts {
    const char *recipe, *train_seal, *val_seal;
    const char *teacher; /* SHA-256 of the teacher's file; "" or NULL: none */
    const char
        *compute; /* what decides on rounding: the device, a line for each convolution's algorithm. May be NULL */
} rn_run_texts;

#define RN_CKPT_NAME_MAX 48
/* "e00003-s0000000412", up to epoch 99,999. Names sort as the run goes: after an evaluation the epoch counts as done. */
void rn_ckpt_name(const rn_run_state *s, char out[RN_CKPT_NAME_MAX]);

/* Writes a checkpoint of net, its average (NULL: none is kept) and state below run_dir. `meta` goes into the weights' files.
 * Refuses values that are not finite (RN_E_MISMATCH). When it fails, nothing of it is left. */
int rn_ckpt_write(const char *run_dir, rn_net *net, rn_net *average, rn_backend *be, const rn_run_state *s,
                  const rn_run_texts *texts, const rn_weightfile_meta *meta, int nmeta);

/* Removes all but the newest `keep` checkpoints and the one named `best` (NULL: none), and leftovers of killed writes. */
int rn_ckpt_prune(const char *run_dir, int keep, const char *best);

/* Removes the checkpoints that come after the one of state `s`. */
int rn_ckpt_drop_newer(const char *run_dir, const rn_run_state *s);

/* Newest checkpoint whose digests hold: its folder in path; 1 found, 0 none there, RN_E_MISMATCH when there are some but all are damaged, RN_E_IO when the folder cannot be read. */
int rn_ckpt_latest(const char *run_dir, char *path, size_t cap);

/* Checks the digests of one checkpoint folder. */
int rn_ckpt_verify(const char *path);

/* An opened checkpoint: verified, parsed, not yet in a net. */
typedef struct rn_ckpt {
    rn_st_file *weights, *momentum, *average; /* average: NULL when none was kept */
    rn_run_state state;
    rn_run_texts texts; /* live as long as the checkpoint */
} rn_ckpt;
int rn_ckpt_open(const char *path, rn_ckpt *c);
void rn_ckpt_close(rn_ckpt *c); /* accepts a zeroed one */
/* average may be NULL; it is left alone when the checkpoint holds none. */
int rn_ckpt_restore(const rn_ckpt *c, rn_net *net, rn_net *average, rn_backend *be);

/* Makes `to` the same file as the weights (averaged: the average) of the checkpoint folder `path`, once its digest has been
 * checked, replacing `to` at once: a hard link, or a copy where there are none. */
int rn_ckpt_publish(const char *path, bool averaged, const char *to);

#endif
