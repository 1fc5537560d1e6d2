/* SPDX-License-Identifier: MIT */
/*
 * What the kernels of cuda:implicit-gemm are given. A convolution is a product of matrices, C (m x n) = A (m x k) B (k x n),
 * whose A is gathered from a tensor of pixels while it is multiplied:
 *   fwd    a row is a pixel of dst, a column one of oc; k runs over taps and ic
 *   bwd_d  a row is a pixel of src, a column one of ic; k runs over taps and oc
 *   bwd_w  a row is one of oc, a column a tap and one of ic; k runs over the pixels of dst, in parts of a split sum
 * bwd_d with a stride: pixels whose place modulo the stride agrees (a phase) meet the same taps, so that each phase is a
 * product of its own in which no zero is multiplied.
 */
#ifndef CUDA_CONV_ARGS_H
#define CUDA_CONV_ARGS_H

#include "kernels/cuda/cuda_launch.h"

extern "C" {
#include "op/rn_conv.h"
}

/* RN_PRO_*: a value v of channel c is read as v mul[c] + other by[c] + add[c], by NULL: 1, other NULL: none. */
struct rn_conv_read {
    const float *mul, *add, *by; /* mul NULL: as it is */
    const void *other;
    bool relu;
};

struct rn_conv_write {
    void *to;
    int columns;
    bool add;                   /* to what is there: beta 1 */
    bool wide;                  /* rows start at multiples of 16 bytes, there and in raw, and have whole ones */
    unsigned epilogue;          /* RN_EPI_STATS, RN_EPI_DBN or 0 */
    const float *pivot;         /* RN_EPI_STATS */
    const float *scale, *shift; /* RN_EPI_DBN, with mean and raw */
    const float *mean;
    const void *raw;
    double *partial; /* [blocks of rows][sum, sumsq][columns] */
};

/* fwd and bwd_d */
struct rn_conv_gemm_args {
    rn_conv_desc d;
    const void *in, *wei; /* dst and weights as (ic, kh, kw, oc) where it goes back */
    struct rn_conv_read read;
    struct rn_conv_write write;
    bool back, wide; /* wide: in, other and wei are read in 16 bytes */
    int tiles_m, tiles_n;
};

/* bwd_w */
struct rn_conv_weights_args {
    rn_conv_desc d;
    const void *src, *dst;
    struct rn_conv_read read_src, read_dst;
    struct rn_conv_write write; /* to: [splits][oc][kh kw ic] */
    bool wide_src, wide_dst;
    int tiles_m, tiles_n, splits;
    int64_t pixels;            /* of dst */
    int on_x, on_y, on_images; /* from a stage's pixels to the next one's: columns, rows, images */
};

/* Where a row of the product reads: grid pixel (y, x) of an image at tap (r, s) is pixel (y step_y + y0 + r turn, ...) of `in`,
 * its weights are those of tap (tap_y + r tap_step_y, ...), and it is pixel (y out_step_y + out_y, ...) of what is written. */
struct rn_conv_phase {
    int rows, columns, taps_y, taps_x;
    int y0, x0, step_y, step_x, turn;
    int tap_y, tap_x, tap_step_y, tap_step_x;
    int out_y, out_x, out_step_y, out_step_x;
};

static inline __host__ __device__ int rn_conv_phases_x(const rn_conv_desc *d, bool back)
{
    return !back ? 1 : d->sw < d->iw ? d->sw : d->iw;
}

static inline __host__ __device__ int rn_conv_phases_y(const rn_conv_desc *d, bool back)
{
    return !back ? 1 : d->sh < d->ih ? d->sh : d->ih;
}

/* Phases begin at the pixels (i / phases_x, i % phases_x); none has more pixels than the first. */
static inline __host__ __device__ struct rn_conv_phase rn_conv_phase_of(const rn_conv_desc *d, bool back, int i)
{
    struct rn_conv_phase p;

    if (!back) {
        p.rows = d->oh, p.columns = d->ow, p.taps_y = d->kh, p.taps_x = d->kw;
        p.y0 = -d->ph, p.x0 = -d->pw, p.step_y = d->sh, p.step_x = d->sw, p.turn = 1;
        p.tap_y = p.tap_x = 0, p.tap_step_y = p.tap_step_x = 1;
        p.out_y = p.out_x = 0, p.out_step_y = p.out_step_x = 1;
        return p;
    }
    const int across = rn_conv_phases_x(d, true), y = i / across, x = i % across;
    p.rows = (d->ih - 1 - y) / d->sh + 1, p.columns = (d->iw - 1 - x) / d->sw + 1;
    p.tap_y = (y + d->ph) % d->sh, p.tap_x = (x + d->pw) % d->sw;
    p.taps_y = p.tap_y < d->kh ? (d->kh - 1 - p.tap_y) / d->sh + 1 : 0;
    p.taps_x = p.tap_x < d->kw ? (d->kw - 1 - p.tap_x) / d->sw + 1 : 0;
    p.y0 = (y + d->ph) / d->sh, p.x0 = (x + d->pw) / d->sw, p.step_y = p.step_x = 1, p.turn = -1;
    p.tap_step_y = d->sh, p.tap_step_x = d->sw;
    p.out_y = y, p.out_x = x, p.out_step_y = d->sh, p.out_step_x = d->sw;
    return p;
}

#endif
