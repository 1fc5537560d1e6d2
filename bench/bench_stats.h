/* SPDX-License-Identifier: MIT */
/*
 * The ratio of two samples of times, with an interval: Hodges and Lehmann's estimate (1963) on logarithms. Nothing is assumed of
 * the times' distribution, which has a long tail on one side; a few disturbed rounds do not move it.
 *   pairs   a[i] and b[i] of the same round: the median of the mean of any two rounds' log ratios; interval from
 *           Wilcoxon's signed ranks (1945). What disturbs a round disturbs both, and cancels.
 *   apart   of different runs: the median of all log(a[i] / b[j]); interval from Mann and Whitney's U (1947).
 * Exact for small samples, the normal approximation beyond.
 */
#ifndef BENCH_STATS_H
#define BENCH_STATS_H

#include <stdbool.h>

typedef struct bench_ratio {
    double ratio, lo, hi; /* of a over b */
    bool has_interval;    /* false: too few samples for the confidence asked for; lo and hi are the ratio */
} bench_ratio;

/* All times above 0; n, m >= 1; confidence in (0, 1), e.g. 0.95. RN_E_NOMEM. */
int bench_ratio_pairs(const double *a, const double *b, int n, double confidence, bench_ratio *out);
int bench_ratio_apart(const double *a, int n, const double *b, int m, double confidence, bench_ratio *out);

/* Largest c with P(statistic <= c) <= alpha / 2 when the two do not differ; -1: there is none. */
int bench_critical_u(int n, int m, double alpha);    /* Mann-Whitney */
int bench_critical_signed_rank(int n, double alpha); /* Wilcoxon */

#endif
