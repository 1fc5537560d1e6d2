/* SPDX-License-Identifier: MIT */
/*
 * Convolutions by cuDNN 9's backend API: rows of the CUDA backend's list. cudnn:0, :1 and :2 are the first three deterministic
 * plans that its heuristics offer for a case, so that the selector can time them and a tuning file names the choice, together
 * with cuDNN's version, which is part of the device's description. Nothing is fused; sums of 16-bit tensors are in f32.
 * bwd_w is for f32 alone: no engine of cuDNN 9 makes an f32 gradient of the weights from 16-bit tensors.
 */
#ifndef CUDNN_CONV_H
#define CUDNN_CONV_H

#ifdef __cplusplus
extern "C" {
#endif

#include <stddef.h>

#include "op/rn_conv.h"

extern const rn_conv_algo rn_cudnn_0, rn_cudnn_1, rn_cudnn_2;
/* f32 whose products are rounded to TF32's 10 bits of mantissa: RN_ALGO_LOWPREC. */
extern const rn_conv_algo rn_cudnn_tf32;

/* Writes ", cuDNN 9.19.0", or why there is none, to the end of a device's description. */
void rn_cudnn_describe(struct rn_backend *be, char *text, size_t cap);
void rn_cudnn_close(struct rn_backend *be);

/* The state of these, kept by the backend; it begins as NULL. */
struct rn_cudnn;
struct rn_cudnn **rn_cuda_cudnn(const struct rn_backend *be);

#ifdef __cplusplus
}
#endif

#endif
