/* SPDX-License-Identifier: MIT */
/*
 * rn-bench conv --bn: a convolution with the batch norm and ReLU that a training step has beside it, done either way.
 *
 *           apart: the convolution, and an op                  fused (rn_conv.h), and what is left to do by channel
 *   fwd     then bn_fwd with ReLU over dst                     pro_bn+pro_relu+epi_stats, bn_stats
 *   bwd_d   after bn_bwd with ReLU, which makes dst            pro_dbn+epi_dbn, bn_grad_stats
 *   bwd_w   (dst has been made)                                pro_bn+pro_relu+pro_dbn
 *
 * Over a net's layers and directions each batch norm is there once, whichever way.
 */
#ifndef BENCH_NORM_H
#define BENCH_NORM_H

#include "bench.h"

/* Vectors: those given, and those that ops write. */
enum {
    NORM_ONES,
    NORM_ZEROES,
    NORM_SCALE, /* RN_PRO_BN, RN_EPI_DBN */
    NORM_SHIFT,
    NORM_PIVOT,
    NORM_MEAN, /* RN_EPI_DBN */
    NORM_KA,
    NORM_KB,
    NORM_KC,
    NORM_GIVEN,
    NORM_RUNNING_MEAN = NORM_GIVEN,
    NORM_RUNNING_VAR,
    NORM_SAVED_MEAN,
    NORM_SAVED_VAR,
    NORM_INV_STD,
    NORM_OUT,
    NORM_VECTORS = NORM_OUT + 5
};

/* Device memory, but for what says otherwise. What the convolution multiplies lies in bench_tensors; here is what that is made of. */
typedef struct bench_norm {
    rn_backend *be;
    rn_conv_desc d;
    rn_conv_dir dir;
    int channels;   /* the more of ic and oc */
    void *in;       /* src before its batch norm and ReLU */
    void *dy, *x;   /* dst's gradient behind the batch norm, and dst as it went into that */
    void *raw;      /* src of the batch norm and ReLU in front, whose gradient is written */
    void *y;        /* dst normalised */
    uint8_t *mask;  /* of y's ReLU, or NULL */
    float *vectors; /* of `channels` each */
    double *sums;   /* 4 of `channels`: sum, sumsq, and an op's room */
    float *told;    /* `vectors` on the host, as far as they are given */
    float *gate;    /* raw on the host */
    double *got;    /* sum and sumsq on the host */
    float *drawn;   /* room on the host for a tensor's values, and */
    void *narrow;   /* for what the device has of them */
} bench_norm;

/* Vector i of `vectors`; elements of tensors shaped as dst and as src. */
float *bench_norm_vector(const bench_norm *n, int i);
size_t bench_norm_dst(const rn_conv_desc *d);
size_t bench_norm_src(const rn_conv_desc *d);

/* What of a direction is fused. */
unsigned bench_norm_fuse(rn_conv_dir dir);
/* Bytes of the host that it takes beside bench_case_bytes; with the device's where that is the host. */
double bench_norm_bytes(const rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir);

int bench_norm_make(rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, bench_norm *n); /* zeroed before */
void bench_norm_free(bench_norm *n);                                                        /* or never made */

/*
 * Draws all that t's operands are not. Then an operand: v, the drawn values of tensor i, is kept as what a prologue reads, and
 * replaced by what that makes of it, before it is rounded to the type. Factors are powers of two, so that this is the same in any order of the
 * operations; with integers the gate is open, as only so is the result a linear function of the operands.
 */
int bench_norm_fill(bench_norm *n, enum bench_values values, double share, uint64_t seed);
int bench_norm_operand(bench_norm *n, int i, enum bench_values values, double share, uint64_t seed, float *v);

/* The arguments of the fused convolution, `plain` being those of the other. */
rn_conv_args bench_norm_args(const bench_norm *n, rn_conv_args plain);
/* bn_fwd with ReLU of x, shaped as dst, to y: what bn_bwd reads. */
int bench_norm_forward(const bench_norm *n, const void *x);
/* What goes before and after the convolution, which has the arguments a. */
int bench_norm_before(const bench_norm *n, bool fused, const rn_conv_args *a);
int bench_norm_after(const bench_norm *n, bool fused, const rn_conv_args *a);

/* The sums become NaN: nobody may read them before they are written. */
int bench_norm_poison(const bench_norm *n);
/* Whether element i of what is written goes through the ReLU. */
bool bench_norm_open(const bench_norm *n, size_t i);
/* The fused convolution's sums over what it wrote, values v, to 2^-19 of the sum of absolute terms, or, with `loose`, to what f32 may lose of
 * them in any order. RN_E_MISMATCH names a channel. */
int bench_norm_verify(const bench_norm *n, const float *v, bool loose);

#endif
