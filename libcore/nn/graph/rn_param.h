/* SPDX-License-Identifier: MIT */
/*
 * Parameters in memory and in files. Memory is NHWC's: a convolution's weight (oc, kh, kw, ic), a linear layer's (oc, ic), or
 * (oc, h, w, c) where it reads an image. Files have torch's and Caffe's order: (oc, ic, kh, kw), (oc, ic), and
 * (oc, c * h * w) with c outermost; a linear layer that stands for a 1x1 convolution (oc, ic, 1, 1).
 */
#ifndef RN_PARAM_H
#define RN_PARAM_H

#include "nn/graph/rn_net.h"

/* The shape in files; returns its number of dimensions. */
int rn_param_file_dims(const rn_param *p, int64_t dim[4]);
/* False: the values stand in the same order in both, and need no conversion. */
bool rn_param_permuted(const rn_param *p);
/* p->count values on the host from one order to the other; the two must not overlap. */
void rn_param_to_file(const rn_param *p, const float *mem, float *file);
void rn_param_from_file(const rn_param *p, const float *file, float *mem);

#endif
