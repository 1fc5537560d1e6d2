/* SPDX-License-Identifier: MIT */
/* The project's own convolutions on a GPU: rows of the CUDA backend's list. */
#ifndef CUDA_CONV_H
#define CUDA_CONV_H

#ifdef __cplusplus
extern "C" {
#endif

#include "op/rn_conv.h"

/*
 * What tensor cores may lose of a sum of n products beyond the rounding of f32 operations, of the sum of the terms' absolute values. They
 * cut sums to 24 bits instead of rounding them (Fasi, Higham, Mikaitis & Pranesh 2021), once an instruction, of which each adds 16 products
 * of 16-bit values or 8 of TF32: so a loss of 2^-23 each, all in one direction. cuda:direct-stem fills up lines of a kernel to pairs, and images
 * to 16 pixels, which counts as products.
 */
#define RN_CUDA_MMA_LOSS(n, products) (0x1p-23 * ((n) / (products) + 2))
/* The products of TF32, of values rounded to 11 bits. */
#define RN_CUDA_TF32_LOSS             0x1.01p-10
/* What f32 may lose of a sum of n terms, in any order, of the sum of their absolute values: an epilogue's sums of cudnn:sums32 and
 * cudnn:tf32, whose order is the library's. */
#define RN_CUDA_SUMS32_LOSS(n)        (0x1p-24 * (n))

/* Products of matrices by tensor cores (bf16, f16) or f32 FMA; tiles of 128 rows and 128 or 64 columns. All types, all
 * directions, all fused work. */
extern const rn_conv_algo rn_cuda_implicit_gemm, rn_cuda_implicit_gemm_64;
/* f32 whose products are rounded to TF32's 10 bits of mantissa: RN_ALGO_LOWPREC. */
extern const rn_conv_algo rn_cuda_implicit_gemm_tf32;
/* First layers, of up to 4 input channels, by tensor cores: bf16 and f16, fwd and bwd_w; statistics and RN_PRO_DBN. */
extern const rn_conv_algo rn_cuda_direct_stem;
/* 3x3 kernels of stride 1 in f32 by minimal filtering: RN_ALGO_WINOGRAD, with the loss that cpu_wino.h states. */
extern const rn_conv_algo rn_cuda_winograd, rn_cuda_winograd_2x2;
/* bf16 and f16 on devices of compute capability 9.0: wgmma, operands brought by TMA; tiles of 128 rows and 128, 64 or 256 columns. All fused
 * work, but in bwd_w not src and dst through a prologue at once, and no RN_PRO_ADD. */
extern const rn_conv_algo rn_cuda_implicit_gemm_sm90, rn_cuda_implicit_gemm_sm90_64, rn_cuda_implicit_gemm_sm90_256;
/* Plain sums, any shape. */
extern const rn_conv_algo rn_cuda_direct;

#ifdef __cplusplus
}
#endif

#endif
