/* SPDX-License-Identifier: MIT */
/* Between the host's side of cuda:implicit-gemm-sm90 and its kernels: what they are given, and which there are. */
#ifndef CUDA_CONV_SM90_ARGS_H
#define CUDA_CONV_SM90_ARGS_H

#include <cuda.h>

#include "kernels/cuda/cuda_conv_args.h"

enum {
    RN_SM90_M = 128,    /* rows of a tile */
    RN_SM90_K = 64,     /* values of a row of a stage, 128 bytes */
    RN_SM90_PHASES = 9, /* of bwd_d at most: strides up to 3 */
    /* Of a prologue at most, whose factors each block has in shared memory: beside two blocks' stages there is room for so many. */
    RN_SM90_READ_CHANNELS = 1664,
    RN_SM90_REGISTERS_LEAST = 32
};

/* fwd and bwd_d. Maps: of what is gathered, one for each phase, 128 pixels of 64 channels; of the weights as (columns, taps, channels). */
struct rn_conv_sm90_args {
    CUtensorMap in[RN_SM90_PHASES], other[RN_SM90_PHASES], wei; /* other: read.other, where there is one */
    rn_conv_desc d;
    struct rn_conv_read read;
    struct rn_conv_write write;
    bool back;
    int tiles_m, tiles_n;
    int stages; /* of a tap */
};

/* bwd_w. Maps: of dst as (pixels, oc), 64 of each; of src, 64 pixels of 64 channels. */
struct rn_conv_sm90_weights_args {
    CUtensorMap dst, src, other; /* other: read.other, where there is one, as dst */
    rn_conv_desc d;
    struct rn_conv_read read;   /* of src, or with `other` of dst */
    struct rn_conv_write write; /* to: [splits][oc][kh kw ic] */
    int tiles_m, tiles_n, splits;
    int64_t pixels; /* of dst */
    int on_x, on_y; /* from a stage's pixels to the next one's: columns, and rows modulo the map's */
};

struct rn_conv_sm90_kernels {
    int n; /* columns of a tile */
    /* Whether this build has their code for sm_90a: elsewhere they are empty. */
    bool (*built)(void);
    int (*open)(void);
    int (*gemm)(const rn_conv_sm90_args *p, unsigned blocks, void *stream);
    int (*gemm_other)(const rn_conv_sm90_args *p, unsigned blocks, void *stream); /* a prologue with a second tensor */
    int (*weights)(const rn_conv_sm90_weights_args *p, unsigned blocks, void *stream);
    int (*weights_other)(const rn_conv_sm90_weights_args *p, unsigned blocks, void *stream);
};

extern const rn_conv_sm90_kernels rn_conv_sm90_bf16_64, rn_conv_sm90_bf16_128, rn_conv_sm90_bf16_256;
extern const rn_conv_sm90_kernels rn_conv_sm90_f16_64, rn_conv_sm90_f16_128, rn_conv_sm90_f16_256;

#endif
