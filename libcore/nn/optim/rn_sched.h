/* SPDX-License-Identifier: MIT */
/*
 * Learning-rate schedules. The rate is a pure function of the step (an optimizer step, counted from 0 over the whole
 * run), so that a resumed run needs no saved state for it.
 *
 *   constant   lr
 *   step       lr * gamma^floor(epoch / step_epochs), epoch = floor(step / steps_per_epoch)
 *   multistep  lr * gamma^(number of milestones <= epoch)
 *   cosine     end + (lr - end) * (1 + cos(pi t / T)) / 2, t counted in steps from the end of the warm-up, T the
 *              steps from there to the end of training (Loshchilov & Hutter 2017, arXiv 1608.03983, without
 *              restarts); `end` at and after the end
 *
 * Warm-up (Goyal et al. 2017, arXiv 1706.02677): over the first w = round(warmup_epochs * steps_per_epoch) steps the
 * rate is lr * (f + (1 - f) * (step + 1) / w), f the warmup_factor: it rises linearly and is lr at step w - 1.
 * Epochs of `step` and `multistep` count from the start of training, warm-up included.
 */
#ifndef RN_SCHED_H
#define RN_SCHED_H

#include <stdint.h>

enum rn_sched_kind { RN_SCHED_CONSTANT = 0, RN_SCHED_STEP = 1, RN_SCHED_MULTISTEP = 2, RN_SCHED_COSINE = 3 };
extern const char *const rn_sched_names[]; /* "constant" ..., in the order of the enum, NULL-terminated */

enum { RN_SCHED_MAX_MILESTONES = 16 };

typedef struct rn_sched {
    enum rn_sched_kind kind;
    double lr;                                            /* base rate, > 0 */
    double end;                                           /* COSINE: last rate, 0..lr */
    double gamma;                                         /* STEP, MULTISTEP: factor, above 0 and at most 1 */
    int step_epochs;                                      /* STEP: every so many epochs, >= 1 */
    int milestones[RN_SCHED_MAX_MILESTONES], nmilestones; /* MULTISTEP: epochs, rising */
    double warmup_epochs;                                 /* 0: none; a fraction is fine; less than `epochs` */
    double warmup_factor;                                 /* rate before the first step as a fraction of lr, 0..1 */
    int64_t steps_per_epoch;                              /* >= 1 */
    int epochs;                                           /* of the whole run, >= 1 */
} rn_sched;

/* RN_E_RANGE with the field's name when a value is out of range. */
int rn_sched_check(const rn_sched *s);

/* The rate of step 0, 1, ...; needs a schedule that rn_sched_check accepts. */
double rn_sched_lr(const rn_sched *s, int64_t step);

/* "30,60,80" into milestones; RN_E_USAGE when it is not a rising list of 1..16 epochs. */
int rn_sched_parse_milestones(const char *text, rn_sched *s);

#endif
