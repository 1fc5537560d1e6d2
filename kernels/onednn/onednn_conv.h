/* SPDX-License-Identifier: MIT */
/*
 * oneDNN's convolutions, f32 and bf16, as rivals of our own kernels and a fallback; which implementation oneDNN chose is always
 * told. Weights are in whatever layout oneDNN asks for: reordered in prepare(), and back after bwd_w.
 *   onednn:auto      NHWC src and dst as they are; of oneDNN's algorithms the one that it chooses for them
 *   onednn:blocked   direct convolution over oneDNN's own layouts of src and dst
 *   onednn:winograd  Winograd F(4x4, 3x3), f32 of 3x3 and stride 1, over oneDNN's own layouts. x86-64 had it up to oneDNN 3.1
 * The last two reorder src and dst in run(): that is part of their time, as it would be in a net of NHWC tensors;
 * rn_onednn_core_ms tells the time without it.
 */
#ifndef ONEDNN_CONV_H
#define ONEDNN_CONV_H

#include "op/rn_conv.h"

extern const rn_conv_algo rn_onednn_auto, rn_onednn_blocked, rn_onednn_winograd;

/* Name of oneDNN's implementation, such as "brgconv:avx512_core"; NULL when the plan is not of oneDNN.
 * Valid as long as the plan. */
const char *rn_onednn_impl(const rn_conv_plan *plan);
/* Milliseconds that oneDNN's convolution itself took in the plan's last run, without reorders of src, dst and the weights'
 * gradient; 0 before the first. */
double rn_onednn_core_ms(const rn_conv_plan *plan);

/* Version of the library that runs, such as "2.6.3". */
void rn_onednn_version(char *buf, size_t cap);

#endif
