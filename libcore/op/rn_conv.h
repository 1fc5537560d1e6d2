/* SPDX-License-Identifier: MIT */
/*
 * Convolution: the descriptor, and what an algorithm is.
 *
 * Shapes (oneDNN's letters): src (mb, ih, iw, ic), wei (oc, kh, kw, ic), dst (mb, oh, ow, oc), with
 * oh = (ih + 2 ph - kh) / sh + 1 and ow alike, rounded down. Cross-correlation, zero padding, no bias
 * (batch normalisation follows), one group.
 *   fwd    dst = conv(src, wei)            (+ dst when beta is 1)
 *   bwd_d  src = d loss / d src, from dst (the gradient of the output) and wei
 *   bwd_w  wei = d loss / d wei, from src and dst (the gradient of the output)
 * beta is 0 or 1. With 0 the destination is never read: it may hold NaN.
 *
 * Types. dtype is that of src, wei and dst alike, gradients included; the one exception is the destination of bwd_w,
 * which is always f32: it goes into f32 masters. With bf16 and f16 the caller hands over weights already narrowed, by
 * rounding its f32 masters to the dtype once after each change of them (the contract of oneDNN and cuDNN, and one copy
 * for fwd and bwd_d). Sums are kept in f32 and rounded once, to nearest even, on their way to the destination; beta 1
 * adds the old value in f32 before that. A sum beyond f16's range becomes an infinity: scaling the loss is the caller's.
 * Instructions for bf16 pairs (vdpbf16ps) take subnormal inputs as 0 and make subnormal sums 0; all else is as in f32.
 */
#ifndef RN_CONV_H
#define RN_CONV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "op/rn_tensor.h"

struct rn_backend;

typedef enum rn_conv_dir { RN_FWD = 0, RN_BWD_D = 1, RN_BWD_W = 2 } rn_conv_dir;
const char *rn_conv_dir_name(rn_conv_dir d); /* "fwd", "bwd_d", "bwd_w" */

/*
 * Work fused into a convolution, asked for in the descriptor: what stands between one convolution and the next in a
 * residual network, done while a tensor is read or written anyway. The arithmetic is in f32, with or without a rounding
 * between a multiplication and an addition. A value read through a prologue stands for a tensor that would have been
 * stored: with bf16 and f16 it is rounded to the dtype before it is multiplied. Pixels in the padding are not read and
 * stay 0, whatever the prologue makes of a 0.
 *
 * Batch normalisation (Ioffe & Szegedy 2015), scale = gamma inv_std, shift = beta - mean scale, read instead of stored:
 *   RN_PRO_BN    fwd, bwd_w: src is read as src * scale[ic] + shift[ic]
 *   RN_PRO_ADD   ... + residual
 *   RN_PRO_RELU  ... then max(., 0); a NaN stays NaN
 * The statistics that the next one needs, of dst as stored (rounded):
 *   RN_EPI_STATS fwd: sum[oc] = sum (dst - pivot[oc]), sumsq[oc] = sum (dst - pivot[oc])^2 over mb, oh, ow.
 *                The variance, E[d^2] - E[d]^2, keeps its digits however far the pivot is from the mean: the running mean is
 *                25 deviations off it in the first batches of some nets.
 * And the backward pass of both. With g = dy where the ReLU let it through, else 0, its input gradient is g ka + x kb + kc:
 *   RN_PRO_DBN   bwd_d, bwd_w: dst is read as dst * ka[oc] + x * kb[oc] + kc[oc]
 *   RN_EPI_DBN   bwd_d: of the BN and ReLU that the forward pass read through RN_PRO_BN | RN_PRO_RELU, raw being the tensor it
 *                read: g = raw * scale[ic] + shift[ic] > 0 ? d loss / d src : 0 is stored in src, and of g as stored
 *                sum[ic] = sum g, sumsq[ic] = sum g * (raw - mean[ic]) over mb, ih, iw.
 * Sums are double and overwritten: in f32 over some tens of terms, which RN_EPI_STATS takes about a value near them, then
 * in double; the same bits for the same thread count.
 * An epilogue's destination is overwritten: beta is 0. A prologue goes with either beta.
 */
enum rn_conv_fuse {
    RN_PRO_BN = 1,
    RN_PRO_RELU = 2, /* with RN_PRO_BN */
    RN_PRO_ADD = 4,  /* with RN_PRO_BN */
    RN_EPI_STATS = 8,
    RN_PRO_DBN = 16,
    RN_EPI_DBN = 32
};

typedef struct rn_conv_desc {
    int mb, ic, ih, iw, oc, oh, ow, kh, kw, sh, sw, ph, pw;
    rn_dtype dtype; /* RN_F32, RN_BF16, RN_F16: of src, wei and dst; bwd_w writes f32 */
    unsigned fuse;  /* enum rn_conv_fuse, those of the direction it is used in: rn_conv_fuse_refusal */
} rn_conv_desc;

/* Fills oh and ow; RN_E_RANGE when the shape is impossible, or so large that an algorithm's counts could overflow: numbers,
 * padded sides and kh kw ic or oc above 2^30, tensors above 2^40 elements. */
int rn_conv_desc_finish(rn_conv_desc *d);
/* "mb32ic64ih56iw56oc64oh56ow56kh3kw3sh1sw1ph1pw1" (square pairs shortened: "mb32ic64ih56oc64oh56kh3sh1ph1").
 * Returns buf. */
const char *rn_conv_desc_text(const rn_conv_desc *d, char *buf, size_t cap);
/* benchdnn's syntax: defaults g1 mb2 sh1 ph0, square promotion, oh deduced, '_' ignored, `nNAME` at the end
 * ignored. dtype becomes f32, fuse 0. */
int rn_conv_desc_parse(const char *text, rn_conv_desc *d);
/* "pro_bn+pro_relu+epi_stats"; nothing: "none". Returns buf; 64 bytes hold any. Not part of a descriptor's text. */
const char *rn_conv_fuse_text(unsigned fuse, char *buf, size_t cap);
/* The same back. RN_E_USAGE: an unknown word. */
int rn_conv_fuse_parse(const char *text, unsigned *fuse);
/* Why an algorithm that can do `can` of enum rn_conv_fuse in this direction does not do d->fuse: a part that the direction has
 * not, that goes with another, or that is not in `can`. A static text naming the part; NULL: it does. For `supports`. */
const char *rn_conv_fuse_refusal(const rn_conv_desc *d, rn_conv_dir dir, unsigned can);
/* 2 mb oc oh ow ic kh kw; with `inbounds` taps that fall in the padding are not counted (benchdnn). */
double rn_conv_flops(const rn_conv_desc *d, bool inbounds);
double rn_conv_bytes(const rn_conv_desc *d); /* each tensor once */

enum rn_conv_flags {
    RN_ALGO_DETERMINISTIC = 1, /* same bits for same inputs and thread count */
    RN_ALGO_LOWPREC = 2,       /* computes with less than the contract above (TF32, sums not in f32) */
    RN_ALGO_WINOGRAD = 8, /* rounding beyond that of a direct sum, though all of it in f32: stated at the algorithm */
    RN_ALGO_REFERENCE = 4 /* plain loops, for checking only: chosen by name or when nothing else fits */
};

/* Vectors are f32, but for the sums. What d->fuse does not ask for is not looked at. No two overlap. */
typedef struct rn_conv_args {
    void *src, *wei, *dst;      /* one of them, by direction, is the destination */
    const float *scale, *shift; /* RN_PRO_BN, RN_EPI_DBN: per ic */
    const void *residual;       /* RN_PRO_ADD: shape and dtype of src */
    double *sum, *sumsq;        /* RN_EPI_STATS: per oc; RN_EPI_DBN: per ic */
    const float *pivot;         /* RN_EPI_STATS: per oc; NULL: 0 */
    const void *x;              /* RN_PRO_DBN: shape and dtype of dst */
    const float *ka, *kb, *kc;  /* RN_PRO_DBN: per oc */
    const void *raw;            /* RN_EPI_DBN: shape and dtype of src */
    const float *mean;          /* RN_EPI_DBN: per ic */
} rn_conv_args;

typedef struct rn_conv_plan rn_conv_plan;

/*
 * One algorithm: one row of a backend's list. All functions are reentrant over different plans.
 */
typedef struct rn_conv_algo {
    const char *name; /* "ref", "cpu:im2col", "onednn:auto", ... */
    unsigned flags;
    /* True when it does this case on this backend; otherwise *why is a static text saying why not. */
    bool (*supports)(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, const char **why);
    /* Bytes of scratch that run() needs; 0 is fine. */
    size_t (*workspace)(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir);
    /* State of a plan (packed weights, primitives); NULL slot: none. *priv is handed to the others. */
    int (*open)(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, void **priv);
    void (*close)(struct rn_backend *be, void *priv);
    /* Repacks weights into the plan; called before the first run and after every change of `wei`
     * (each optimizer step). wei: of the descriptor's dtype. NULL slot: nothing to prepare. Not called for bwd_w. */
    int (*prepare)(rn_conv_plan *plan, const void *wei, void *stream);
    /* workspace: at least workspace() bytes, 64-byte aligned, contents undefined before and after. */
    int (*run)(rn_conv_plan *plan, const rn_conv_args *a, int beta, void *workspace, void *stream);
    /* When nothing is measured: is it worth taking before the rows that follow? A row whose slot says no is passed over
     * unless nothing after it fits, so that a special algorithm can stand first and be taken only where it is clearly faster. Depends on
     * its arguments alone: selection by order is the same in each run. Cheap, and asked of cases that are not supported as well,
     * as supports() may take long (a library that plans): then its answer does not matter. NULL slot: always. */
    bool (*suits)(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir);
} rn_conv_algo;

/* A case bound to an algorithm. Made by rn_select.h, freed by rn_conv_plan_close. */
struct rn_conv_plan {
    struct rn_backend *be;
    const rn_conv_algo *algo;
    rn_conv_desc desc;
    rn_conv_dir dir;
    size_t workspace_bytes;
    void *priv;
};

int rn_conv_plan_open(struct rn_backend *be, const rn_conv_algo *algo, const rn_conv_desc *d, rn_conv_dir dir,
                      rn_conv_plan **out);
void rn_conv_plan_close(rn_conv_plan *plan); /* accepts NULL */
int rn_conv_prepare(rn_conv_plan *plan, const void *wei, void *stream);
int rn_conv_run(rn_conv_plan *plan, const rn_conv_args *a, int beta, void *workspace, void *stream);

#endif
