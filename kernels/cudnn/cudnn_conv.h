/* SPDX-License-Identifier: MIT */
/*
 * Convolutions by cuDNN 9's backend API: rows of the CUDA backend's list. cudnn:0, :1 and :2 are the first three deterministic
 * plans that its heuristics offer for a case, so that the selector can time them and a tuning file names the choice, together
 * with cuDNN's version, which is part of the device's description. Sums of 16-bit tensors are in f32, and bwd_w of them writes f32.
 * Fused: RN_PRO_BN, RN_PRO_ADD and RN_PRO_RELU in fwd, of 16-bit tensors, with the contract's arithmetic; the rest in the rows of
 * RN_ALGO_LOWPREC alone. Where a fused plan adds to its destination, to a copy of it is added: workspace has room for that.
 */
#ifndef CUDNN_CONV_H
#define CUDNN_CONV_H

#ifdef __cplusplus
extern "C" {
#endif

#include <stddef.h>

#include "op/rn_conv.h"

extern const rn_conv_algo rn_cudnn_0, rn_cudnn_1, rn_cudnn_2;
/*
 * RN_ALGO_LOWPREC, each with one plan.
 *   cudnn:tf32    f32 whose products are rounded to TF32's 10 bits of mantissa, and with the sums of cudnn:sums32
 *   cudnn:dw16    bwd_w of 16-bit tensors, rounded to these 16 bits before it is widened to f32 and added
 *   cudnn:sums32  RN_EPI_STATS in fwd (with or without a prologue) and RN_EPI_DBN in bwd_d of 16-bit tensors: the sums, about the
 *                 same pivot, are f32 from beginning to end, and may be of what is stored before it was rounded
 */
extern const rn_conv_algo rn_cudnn_tf32, rn_cudnn_dw16, rn_cudnn_sums32;

/* Writes ", cuDNN 9.19.0", or ", no cuDNN", to the end of a device's description. */
void rn_cudnn_describe(struct rn_backend *be, char *text, size_t cap);
void rn_cudnn_close(struct rn_backend *be);

/* The state of these, kept by the backend; it begins as NULL. */
struct rn_cudnn;
struct rn_cudnn **rn_cuda_cudnn(const struct rn_backend *be);

#ifdef __cplusplus
}
#endif

#endif
