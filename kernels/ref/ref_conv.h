/* SPDX-License-Identifier: MIT */
/* The reference convolution: plain loops, double accumulators, f32 tensors. What every other algorithm is checked
 * against; never fast. Pointers are host memory. */
#ifndef REF_CONV_H
#define REF_CONV_H

#include "op/rn_conv.h"

extern const rn_conv_algo rn_ref_conv; /* "ref" */

/* The value of one destination element (index as in memory) with beta 0, and in *mag, if not NULL, the sum of the
 * absolute values of its terms: the scale that rounding errors are measured against. */
double rn_ref_conv_element(const rn_conv_desc *d, rn_conv_dir dir, const float *src, const float *wei, const float *dst,
                           size_t index, double *mag);

#endif
