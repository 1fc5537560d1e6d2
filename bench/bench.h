/* SPDX-License-Identifier: MIT */
/* Between the files of rn-bench. */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "op/rn_backend.h"

/* ---- commands: each parses its own options; the return value is a status (rn_error.h) ---------------------------- */

int bench_conv_main(int argc, char **argv);
int bench_loader_main(int argc, char **argv);
int bench_peak_main(int argc, char **argv);
int bench_resize_main(int argc, char **argv);
int bench_train_main(int argc, char **argv);

/* ---- lists of shapes (bench_shapes.c) ------------------------------------------------------------------------------- */

typedef struct bench_shape {
    rn_conv_desc desc;
    char name[64]; /* the layer's; may be empty */
    int count;     /* how often the network has it */
    unsigned dirs; /* bit d: training needs direction d */
} bench_shape;

typedef struct bench_shapes {
    bench_shape *v;
    size_t n;
} bench_shapes;

/* The list compiled in under `net`; RN_E_USAGE lists what there is. mb replaces the minibatch where > 0. */
int bench_shapes_net(const char *net, int mb, bench_shapes *out);
int bench_shapes_file(const char *path, int mb, bench_shapes *out);
int bench_shapes_case(const char *text, int mb, bench_shapes *out); /* appends one descriptor */
void bench_shapes_free(bench_shapes *s);
/* "resnet18, resnet34, ..." */
const char *bench_shapes_names(char *buf, size_t cap);

/* ---- measuring (bench_measure.c) ------------------------------------------------------------------------------------ */

typedef struct bench_result {
    const rn_conv_algo *algo;
    const char *refused; /* why not; then nothing below counts */
    bool verified;       /* false: wrong or failed, and no time was taken */
    char failure[256];
    double ms, ms_iqr; /* median, interquartile range over the rounds */
    double ms_min;     /* the quietest round */
    double prepare_ms; /* median of packing weights, apart */
    size_t workspace;
    char impl[96]; /* what a library chose; may be empty */
} bench_result;

typedef struct bench_plan_opts {
    const char *pattern; /* of algorithm names; NULL: all but the reference */
    int rounds;
    uint64_t seed;
} bench_plan_opts;

/*
 * Verifies, then times every algorithm that matches, in interleaved rounds over the same buffers. Verified means: run
 * with beta 0 over a destination of NaN, no NaN is left and sampled elements agree with a double sum to 2^-20 of the
 * sum of their terms' absolute values and, in bf16 and f16, the rounding of the result. *out has one entry an algorithm; the caller frees it.
 */
int bench_measure(rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, const bench_plan_opts *opts,
                  bench_result **out, size_t *n);

/* Sorts v (n >= 1 numbers); the quantile q of 0..1 by linear interpolation between closest ranks. */
double bench_quantile(double *v, int n, double q);

/* ---- the machine's ceiling (bench_peak.c) --------------------------------------------------------------------------- */

/* Multiply-add rate of `be`'s threads and instruction set with everything in registers, GFLOP/s; 0 where it cannot be
 * measured. bf16: of pairs (vdpbf16ps) where the CPU has them; everything else is computed in f32 and has its ceiling.
 * The best of many short windows: a ceiling must not be lowered by a neighbour. */
double bench_peak_gflops(rn_backend *be, rn_dtype dtype, double seconds);
/* Does bf16 have a ceiling of its own? */
bool bench_peak_has_pairs(const rn_backend *be);

/* Runs `iterations` of independent FMA chains; returns the floating-point operations done. *sink keeps the
 * compiler from dropping them. */
double bench_fma_portable(long iterations, float *sink);
double bench_fma_avx2(long iterations, float *sink);
double bench_fma_avx512(long iterations, float *sink);
double bench_fma_avx512bf16(long iterations, float *sink);

#endif
