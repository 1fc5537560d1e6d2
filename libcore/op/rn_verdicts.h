/* SPDX-License-Identifier: MIT */
/* Of rn_select.c: which algorithms were found right on a device and which were not, so that each is tried once a case. */
#ifndef RN_VERDICTS_H
#define RN_VERDICTS_H

#include "op/rn_measure.h"

typedef struct rn_verdict {
    const rn_conv_algo *algo;
    rn_conv_desc d;
    rn_conv_dir dir;
    bool right;
} rn_verdict;

/* Begins as zeros. */
typedef struct rn_verdicts {
    rn_verdict *list;
    int n;
} rn_verdicts;

/* Leaves of n candidates those that are right by rn_measure_agreeing, which is asked of those that it was not asked of before. All of them on a
 * backend that is no device (has no `sync`). */
int rn_verdicts_leave_right(rn_verdicts *v, rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, rn_candidate *c,
                            int *n);
/* Was it tried, and left out? */
bool rn_verdicts_against(const rn_verdicts *v, const rn_conv_algo *algo, const rn_conv_desc *d, rn_conv_dir dir);
void rn_verdicts_free(rn_verdicts *v);

#endif
