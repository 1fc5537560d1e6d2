/* SPDX-License-Identifier: MIT */
/* Private to rn_step: a step's batches (rn_step_batch.c), and what becomes of them together (rn_step.c). */
#ifndef RN_STEP_IMPL_H
#define RN_STEP_IMPL_H

#include "nn/optim/rn_optim.h"
#include "run/train/rn_step.h"

/* A batch that the device was given, and nobody has looked at. */
typedef struct rn_flight {
    rn_step_at at; /* of its step */
    rn_batch batch;
    bool holds;          /* which is the loader's, and has to be given back */
    int64_t first_image; /* where it stands in the step, */
    int64_t batches;     /* and which of the net's it was */
} rn_flight;

/* A step whose last batch nobody has looked at. */
typedef struct rn_step_way {
    rn_step_at at;
    int given;    /* batches of it */
    bool whole;   /* all of them, and what follows */
    rn_sums sums; /* of the batches that were looked at already */
    double began; /* rn_now() */
} rn_step_way;

enum { RN_FLIGHTS = 2 };

struct rn_step {
    rn_session *s;
    const rn_recipe *r;
    rn_optim *optim;
    bool moves;                    /* the loss scale is dynamic: gradients that are not finite are no error */
    rn_loss_scale scale;           /* of the step that is looked at next */
    rn_flight flights[RN_FLIGHTS]; /* oldest first; */
    int n;
    rn_step_way ways[2]; /* so are these: the device may have the first batch of the second */
    int nways;
    rn_batch next;   /* images that travel already, of a batch whose turn comes later; */
    bool has_next;   /* the loader's, too */
    bool not_finite; /* something was */
    bool untouched;  /* no batch of the step has been run yet */
    double looked;   /* when results were looked at last */
};

static inline bool rn_step_is_caffe(const rn_step *st)
{
    return st->r->momentum_kind == RN_MOMENTUM_CAFFE;
}

/* Gives the device the next batch of a step. */
int rn_step_give_batch(rn_step *st, rn_step_way *w);
/* Waits for the oldest batch under way and, unless that was done, adds up its results; *loss: their part of it. */
int rn_step_results(rn_step *st, rn_sums *sums, double *loss);
/* Looks at the oldest batch under way, which is not its step's last, and lets it go. */
int rn_step_look_at_batch(rn_step *st);
/* Forgets the oldest batch under way, if there is one. */
void rn_step_drop_batch(rn_step *st);
/* Gives back all that is held. */
void rn_step_give_back(rn_step *st);

/* Something is not finite: says where that began. */
int rn_step_not_finite(rn_step *st, const char *what);
/* Unless they are, or need not be. */
int rn_step_check_gradients(rn_step *st, double sumsq);

#endif
