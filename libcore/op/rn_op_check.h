/* SPDX-License-Identifier: MIT */
/*
 * What a backend may take for granted about an argument block of rn_op.h: every CPU op calls the checker
 * of its block first. Shapes must be at least 1 (n of what goes element by element may be 0), windows of a pool must
 * each hold a pixel, what a mode needs must not be NULL, and activations must be f32, bf16 or f16: other dtypes are
 * RN_E_UNSUPPORTED, everything else RN_E_RANGE. Pointers into device memory are never followed, but for the
 * labels of rn_op_check_labels, which only a backend in host memory calls.
 */
#ifndef RN_OP_CHECK_H
#define RN_OP_CHECK_H

#include "op/rn_op.h"

int rn_op_check_normalize(const rn_op_normalize *a);
int rn_op_check_pick(const rn_op_pick *a);
int rn_op_check_convert(const rn_op_convert *a);
int rn_op_check_bn_fwd(const rn_op_bn_fwd *a);
int rn_op_check_bn_bwd(const rn_op_bn_bwd *a);
int rn_op_check_bn_stats(const rn_op_bn_stats *a);
int rn_op_check_bn_grad_stats(const rn_op_bn_grad_stats *a);
int rn_op_check_relu(const rn_op_relu *a);
int rn_op_check_relu_bwd(const rn_op_relu_bwd *a);
int rn_op_check_add(const rn_op_add *a);
int rn_op_check_bias(const rn_op_bias *a);
int rn_op_check_bias_bwd(const rn_op_bias_bwd *a);
int rn_op_check_eltwise(const rn_op_eltwise *a);
int rn_op_check_eltwise_bwd(const rn_op_eltwise_bwd *a);
int rn_op_check_sigmoid(const rn_op_sigmoid *a);
int rn_op_check_sigmoid_bwd(const rn_op_sigmoid_bwd *a);
int rn_op_check_scale(const rn_op_scale *a);
int rn_op_check_scale_bwd(const rn_op_scale_bwd *a);
int rn_op_check_dropout(const rn_op_dropout *a);
int rn_op_check_lrn(const rn_op_lrn *a);
int rn_op_check_lrn_bwd(const rn_op_lrn_bwd *a);
int rn_op_check_part(const rn_op_part *a);
/* max: the argmax must fit a byte. bwd: needs an argmax where max is set. */
int rn_op_check_pool(const rn_op_pool *a, bool max, bool bwd);
int rn_op_check_gap(const rn_op_gap *a);
int rn_op_check_linear(const rn_op_linear *a);
int rn_op_check_xent(const rn_op_xent *a);
int rn_op_check_labels(const rn_op_xent *a); /* labels[0..n-1] in 0..k-1 */
int rn_op_check_distill(const rn_op_distill *a);
int rn_op_check_sgd(const rn_op_sgd *a);
/* What clip multiplies by, of a norm, where there is a limit. */
double rn_op_clip_factor(double norm, double limit, bool caffe);
int rn_op_check_clip(const rn_op_clip *a);
int rn_op_check_axpby(const rn_op_axpby *a);
int rn_op_check_sumsq(const rn_op_sumsq *a);

#endif
