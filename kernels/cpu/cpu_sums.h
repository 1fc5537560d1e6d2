/* SPDX-License-Identifier: MIT */
/* Sums of an epilogue: a few rows in f32, then in double. Compiled with whichever instruction set includes it. */
#ifndef CPU_SUMS_H
#define CPU_SUMS_H

/* Which of m rows the i-th of four is, whose mean the others are taken about: one alone may be far from all others, whose
 * squares then lose digits. Not the first and the last: those at an image's edge are more likely to be unlike the others. */
static inline __attribute__((always_inline)) int rn_about_row(int m, int i)
{
    return m * (2 * i + 1) / 8;
}

/* RN_EPI_STATS: of m values of each of n channels, s = sum (y - own) and q = sum (y - own)^2, own being the mean of some of them,
 * added to sum (y - less) and sum (y - less)^2. Values lie near each other: in f32 nothing cancels, however far off `less` is,
 * and in double that costs no digits that matter. less: NULL is 0. */
static inline __attribute__((always_inline)) void rn_add_about(int n, int m, const float *s, const float *q,
                                                               const float *own, const float *less,
                                                               double *restrict sum, double *restrict sumsq)
{
    for (int j = 0; j < n; j++) {
        const double d = (double)own[j] - (less ? (double)less[j] : 0), shift = m * d;
        sum[j] += (double)s[j] + shift;
        sumsq[j] += (double)q[j] + d * (2 * (double)s[j] + shift);
    }
}

/* RN_EPI_DBN: as they are. */
static inline __attribute__((always_inline)) void rn_add_wide(int n, const float *s, const float *q,
                                                              double *restrict sum, double *restrict sumsq)
{
    for (int j = 0; j < n; j++) {
        sum[j] += (double)s[j];
        sumsq[j] += (double)q[j];
    }
}

#endif
