/* SPDX-License-Identifier: MIT */
/*
 * oneDNN's convolutions as one algorithm, "onednn:auto": f32 and bf16, NHWC activations, weights in whatever layout oneDNN asks
 * for (reordered in prepare(), and back after bwd_w). A rival to our own kernels and a fallback; which implementation
 * oneDNN chose is always told.
 */
#ifndef ONEDNN_CONV_H
#define ONEDNN_CONV_H

#include "op/rn_conv.h"

extern const rn_conv_algo rn_onednn_auto;

/* Name of oneDNN's implementation, such as "brgconv:avx512_core"; NULL when the plan is not of this algorithm.
 * Valid as long as the plan. */
const char *rn_onednn_impl(const rn_conv_plan *plan);

/* Version of the library that runs, such as "2.6.3". */
void rn_onednn_version(char *buf, size_t cap);

#endif
