/* SPDX-License-Identifier: MIT */
/*
 * The learning-rate range test (Smith 2015, arXiv 1506.01186): a fresh net trains while the rate grows exponentially, step by
 * step; where its smoothed loss falls fastest is a good rate, where it explodes is too much. Every setting of the recipe holds
 * but schedule and length. Nothing of a run is touched: DIR gets lr-find.json and lr-find.svg.
 */
#ifndef RN_LRFIND_H
#define RN_LRFIND_H

#include <signal.h>

#include "run/train/rn_session.h"

typedef struct rn_lrfind_job {
    const rn_recipe *recipe;
    const rn_backend_entry *backends;
    const char *out; /* DIR */
    int jobs;
    double lo, hi; /* rates of the first and the last step */
    int64_t steps;
    const volatile sig_atomic_t *stop; /* may be NULL */
} rn_lrfind_job;

/* What a curve suggests; NaN where there is nothing to go by. */
typedef struct rn_lrfind_result {
    double steepest; /* where the smoothed loss falls fastest over the rate's logarithm */
    double valley;   /* two thirds into the longest fall of it */
    double minimum;  /* the rate of the least smoothed loss, for comparison */
    int64_t steps;   /* done */
    bool diverged;   /* it ended before the last step: the loss rose to four times its least, or was not finite */
} rn_lrfind_result;

/* RN_E_USAGE: lo is not below hi; RN_E_INTERRUPTED. */
int rn_lrfind(const rn_lrfind_job *job, rn_lrfind_result *out);

/* The suggestions of a curve of n rates, ascending, and their smoothed losses. The first tenth is left out, where the mean has
 * not settled, and the last five, where it explodes. */
void rn_lrfind_suggest(const double *lr, const double *loss, int n, rn_lrfind_result *out);

#endif
