/* SPDX-License-Identifier: MIT */
/*
 * What training and evaluation have in common: a recipe turned into open stores, a backend, networks and loaders,
 * and the evaluation of every image exactly once.
 */
#ifndef RN_SESSION_H
#define RN_SESSION_H

#include <signal.h>
#include <stdio.h>

#include "base/rn_digest.h"
#include "data/load/rn_decoded.h"
#include "data/load/rn_loader.h"
#include "nn/graph/rn_stock.h"
#include "run/recipe/rn_recipe.h"
#include "run/save/rn_checkpoint.h"

/* Where a set's batches are made (rn_data_on.h), and what is kept for it. */
typedef struct rn_held {
    char how[256];       /* in words: "on the device, ..."; "" before it is decided */
    rn_decoded *decoded; /* NULL: the loader makes them */
    rn_stock stock;
} rn_held;

typedef struct rn_session {
    const rn_recipe *r;
    rn_comm *comm; /* rn_comm_world(); NULL: one process */
    rn_backend *be;
    rn_store *train_db, *val_db;
    rn_tuning *tuning; /* measured choices of algorithms, or NULL */
    char *tune_path;   /* where the run keeps them, or NULL */
    rn_net *net;       /* training net; NULL when only evaluating */
    rn_net *eval_net;  /* shares the training net's parameters, or holds their average when the recipe keeps one */
    rn_net *teacher;   /* of a distillation, or NULL */
    char teacher_digest[RN_DIGEST_HEX_MAX]; /* SHA-256 of its file; "" without one */
    rn_loader *train, *val;
    rn_held train_held, val_held;
    int threads, workers, classes;
    int batch, eval_batch; /* of this rank: its share of the recipe's; what it evaluates at a time */
    int side;              /* of the training images now */
    int mean_h, mean_w;    /* of the mean image, and so of all stored images; 0: there is none */
} rn_session;

enum rn_session_flags { RN_SESSION_TRAIN = 1 };

/* Opens everything; `tune_file` (may be NULL) keeps measured choices. The stores come first: a missing or unsealed set is told
 * before anything is computed. On failure nothing stays open. */
int rn_session_open(const rn_recipe *r, const rn_backend_entry *backends, int jobs, unsigned flags,
                    const char *tune_file, rn_session *out);
/* The same without data: backend and nets alone, of a training session for `classes` classes, initialised from the recipe's
 * seed. For measuring. */
int rn_session_open_bare(const rn_recipe *r, const rn_backend_entry *backends, int jobs, int classes, rn_session *out);
/* The training net's weights as a run begins with: from the recipe's seed, or from its --weights. */
int rn_session_start_weights(rn_session *s);
/* Trains on images of `side` pixels from now on: net, teacher and loader, which then has to be sought. No batch may be held. */
int rn_session_resize(rn_session *s, int side);
void rn_session_close(rn_session *s); /* accepts a zeroed one */

/* Evaluation over the whole validation set. */
typedef struct rn_eval_opts {
    const volatile sig_atomic_t *stop; /* set: RN_E_INTERRUPTED at the next batch; may be NULL */
    const char *dump_logits; /* .npy: a (n, classes) f32 array; other names: its bare bytes. Key order. May be NULL */
    bool progress;
    /* Room for every image's result, in key order, on every rank; filled on rank 0. NULL: not wanted. */
    struct rn_eval_row *rows;
} rn_eval_opts;

typedef struct rn_eval_row {
    float loss;
    int32_t label, predicted; /* predicted: the largest score's class, of equal ones the first */
    float confidence;         /* its softmax; 0 where a score is NaN */
} rn_eval_row;

/* Per-image losses are added in key order, so that the result does not depend on the batch, nor on the number of ranks:
 * each evaluates its part of the set, all get the result. The file of logits is rank 0's. */
int rn_evaluate(rn_session *s, const rn_eval_opts *o, rn_eval_result *out);

#endif
