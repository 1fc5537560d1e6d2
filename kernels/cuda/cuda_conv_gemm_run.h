/* SPDX-License-Identifier: MIT */
/* Between the host's side of cuda:implicit-gemm and its kernels, which are compiled type by type. */
#ifndef CUDA_CONV_GEMM_RUN_H
#define CUDA_CONV_GEMM_RUN_H

#include "kernels/cuda/cuda_conv_args.h"

/* The kernels of one tile and type. */
struct rn_conv_kernels {
    int m, n, k; /* of a tile */
    /* Once a plan: lets the kernels have the shared memory that they need. */
    int (*open)(void);
    /* async: both operands are wide, and nothing is computed of what is read. */
    int (*gemm)(const rn_conv_gemm_args *p, bool async, unsigned blocks, void *stream);
    int (*weights)(const rn_conv_weights_args *p, bool async, unsigned blocks, void *stream);
};

extern const rn_conv_kernels rn_conv_bf16_128x128, rn_conv_bf16_128x64;
extern const rn_conv_kernels rn_conv_f16_128x128, rn_conv_f16_128x64;
extern const rn_conv_kernels rn_conv_f32_128x128, rn_conv_f32_128x64;
extern const rn_conv_kernels rn_conv_tf32_128x128;

/* cuda_conv_parts.cu: to[i] (+)= the sum of parts[0..parts - 1][i], in an order that depends on their number alone. */
int rn_conv_add_parts(float *to, const float *parts, int64_t n, int count, bool add, void *stream);
/* Of parts[count][sum, sumsq][columns], in an order that depends on count alone. */
int rn_conv_add_sums(double *sum, double *sumsq, const double *parts, int columns, int count, void *stream);
/* (oc, taps, ic) to (ic, taps, oc), values of `size` bytes, 2 or 4. */
int rn_conv_turn_weights(void *to, const void *from, int oc, int taps, int ic, size_t size, void *stream);

#endif
