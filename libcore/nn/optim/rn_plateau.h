/* SPDX-License-Identifier: MIT */
/*
 * The learning rate falls when evaluations no longer get better: torch.optim.lr_scheduler.ReduceLROnPlateau with
 * threshold_mode "rel". Not a function of the step: the state goes into checkpoints. A NaN is never better than
 * anything.
 */
#ifndef RN_PLATEAU_H
#define RN_PLATEAU_H

#include <stdbool.h>
#include <stdint.h>

typedef struct rn_plateau_opts {
    bool max;         /* larger is better (top-1); else smaller (loss) */
    double factor;    /* of the rate at each fall, above 0 and below 1 */
    double threshold; /* better means by more than this share of the best, >= 0 */
    int64_t patience; /* evaluations in a row that may pass without getting better, >= 0 */
    int64_t cooldown; /* evaluations after a fall that do not count, >= 0 */
    double min_lr;    /* >= 0 */
} rn_plateau_opts;

typedef struct rn_plateau {
    double first, lr;      /* the rate it began with, and the one that holds */
    double best;           /* NaN: none yet */
    int64_t bad, cooldown; /* evaluations in a row that were no better; that still do not count */
} rn_plateau;

void rn_plateau_start(rn_plateau *p, double lr);
/* After an evaluation. Returns true when the rate has fallen. */
bool rn_plateau_step(const rn_plateau_opts *o, rn_plateau *p, double value);

#endif
