/* SPDX-License-Identifier: MIT */
/*
 * Learning-rate schedules. The rate is a pure function of the step (an optimizer step, counted from 0 over the whole
 * run), so that a resumed run needs no saved state for it; what depends on results is in rn_plateau.h.
 *
 * t counts whole epochs (floor(step / steps_per_epoch)) or, with in_steps, steps, from the start of training:
 *   constant   lr                                                                  (Caffe's fixed)
 *   step       lr * gamma^floor(t / size)                                          (torch's StepLR, Caffe)
 *   multistep  lr * gamma^(number of milestones <= t)                              (torch, Caffe)
 *   exp        lr * gamma^t                                                        (torch's ExponentialLR, Caffe)
 *   inv        lr * (1 + gamma * t)^-power                                         (Caffe)
 *   sigmoid    lr / (1 + exp(-gamma * (t - size))): falls for gamma < 0            (Caffe)
 * x is the share of the steps after the warm-up that are done, 0..1, and 1 from the end of training on:
 *   cosine     end + (lr - end) * (1 + cos(pi x)) / 2       (Loshchilov & Hutter 2017, arXiv 1608.03983, no restarts)
 *   poly       end + (lr - end) * (1 - x)^power             (Caffe, whose end is 0)
 *   linear     poly with power 1
 *   one-cycle  torch's OneCycleLR over all steps: from lr / div up to lr at step pct_start * total - 1, then down to
 *              lr / div / final_div at the last one, each by a half cosine or, with linear_anneal, a line; the
 *              momentum, if cycled, goes from high to low and back (Smith & Topin 2017, arXiv 1708.07120)
 *   plateau    lr: whoever runs it sets lr anew after each evaluation, see rn_plateau.h
 *
 * Warm-up (Goyal et al. 2017, arXiv 1706.02677), for all but one-cycle, which has its own: over the first w = `warmup`
 * steps the rate is lr * (f + (1 - f) * (step + 1) / w), f the warmup_factor: it rises linearly and is lr at step w - 1.
 */
#ifndef RN_SCHED_H
#define RN_SCHED_H

#include <stdbool.h>
#include <stdint.h>

enum rn_sched_kind {
    RN_SCHED_CONSTANT = 0,
    RN_SCHED_STEP,
    RN_SCHED_MULTISTEP,
    RN_SCHED_COSINE,
    RN_SCHED_POLY,
    RN_SCHED_LINEAR,
    RN_SCHED_EXP,
    RN_SCHED_INV,
    RN_SCHED_SIGMOID,
    RN_SCHED_ONE_CYCLE,
    RN_SCHED_PLATEAU,
    RN_SCHED_KINDS
};
extern const char *const rn_sched_names[]; /* "constant" ..., in the order of the enum, NULL-terminated */

enum { RN_SCHED_MAX_MILESTONES = 64 };

typedef struct rn_sched {
    enum rn_sched_kind kind;
    double lr;     /* base or peak rate, > 0 */
    double end;    /* COSINE, POLY, LINEAR: last rate, 0..lr */
    double gamma;  /* STEP, MULTISTEP, EXP: above 0 and at most 1; INV: at least 0; SIGMOID: any but 0 */
    double power;  /* POLY: above 0; INV: at least 0 */
    int64_t size;  /* STEP: every so many epochs or steps, >= 1; SIGMOID: where it bends, >= 0 */
    bool in_steps; /* t, size and milestones count steps instead of epochs */
    int64_t milestones[RN_SCHED_MAX_MILESTONES]; /* MULTISTEP: rising from 1 */
    int nmilestones;
    double pct_start, div, final_div;   /* ONE_CYCLE: above 0 and below 1; both at least 1 */
    bool linear_anneal;                 /* ONE_CYCLE */
    bool cycle;                         /* ONE_CYCLE: the momentum too, */
    double momentum_low, momentum_high; /* between these */
    int64_t warmup;                     /* steps; 0: none; less than total */
    double warmup_factor;               /* rate before the first step as a fraction of lr, 0..1 */
    int64_t steps_per_epoch, total;     /* >= 1; steps of the whole run */
} rn_sched;

/* RN_E_RANGE with the field's name when a value is out of range. */
int rn_sched_check(const rn_sched *s);

/* The rate of step 0, 1, ...; needs a schedule that rn_sched_check accepts. */
double rn_sched_lr(const rn_sched *s, int64_t step);

/* The momentum of a step: `given`, unless the schedule cycles it. */
double rn_sched_momentum(const rn_sched *s, int64_t step, double given);

/* "30,60,80" into milestones; RN_E_USAGE when it is not a rising list of 1..64 whole numbers. */
int rn_sched_parse_milestones(const char *text, rn_sched *s);

#endif
