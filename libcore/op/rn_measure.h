/* SPDX-License-Identifier: MIT */
/* Between rn_select.c and rn_measure.c: what algorithms cost on this machine, side by side. */
#ifndef RN_MEASURE_H
#define RN_MEASURE_H

#include "op/rn_backend.h"

/* Costs within this of the least count as equal: then the earlier row is taken, so that two measurements choose alike. */
#define RN_MEASURE_TIE 0.03

typedef struct rn_candidate {
    const rn_conv_algo *algo;
    double
        ms; /* of one run in the quietest rounds, with the preparing of weights where that is counted; 0: it failed */
} rn_candidate;

typedef struct rn_measure_opts {
    double budget_s;   /* goes on up to six times as long while the choice is not clear */
    bool prepare;      /* each run of fwd and bwd_d comes with new weights */
    double drop_above; /* a candidate that takes so many times the fastest is timed no further */
} rn_measure_opts;

/* Times n candidates, all of which support the case, over the same data in rounds by turns. */
int rn_measure(rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, const rn_measure_opts *opts, rn_candidate *c,
               int n);
/* Index of the one to take: the first that is within RN_MEASURE_TIE of the fastest; -1: all failed. *second: the fastest of
 * the others, or -1. */
int rn_measure_best(const rn_candidate *c, int n, int *second);

#endif
