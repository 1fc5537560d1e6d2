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
/*
 * Leaves of n candidates those whose results are those of the backend's last row, its plain sums, with fused work done apart by the host: on one or two
 * images, to 3 % of them by the root mean square; of an epilogue's sums likewise. A warning names each that is left out. Rows of other families (a
 * library's) stay. For devices.
 */
int rn_measure_agreeing(rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, rn_candidate *c, int *n);
/* Index of the one to take: the first that is within RN_MEASURE_TIE of the fastest; -1: all failed. *second: the fastest of
 * the others, or -1. */
int rn_measure_best(const rn_candidate *c, int n, int *second);

/* A batch norm by itself, as the backend's table runs it. */
typedef enum rn_bn_pass { RN_BN_FWD, RN_BN_APPLY /* with statistics that are known */, RN_BN_BWD } rn_bn_pass;

typedef struct rn_bn_case {
    rn_bn_pass pass;
    rn_dtype dtype;
    int64_t rows;
    int c;
    bool relu, res; /* res: a residual, and in RN_BN_BWD its gradient */
} rn_bn_case;

/* Its cost in quiet rounds, of about budget_s. */
int rn_measure_bn(rn_backend *be, const rn_bn_case *c, double budget_s, double *ms);

/* For both: what tuning files keep of a cost, so that whoever reads one finds the costs that were compared. */
double rn_measure_rounded(double ms);

#endif
