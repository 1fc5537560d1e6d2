/* SPDX-License-Identifier: MIT */
#include "kernels/ref/ref_ops.h"

const rn_ops rn_ref_ops = {
    .normalize = ref_normalize,
    .bn_fwd = ref_bn_fwd,
    .bn_bwd = ref_bn_bwd,
    .relu_fwd = ref_relu_fwd,
    .relu_bwd = ref_relu_bwd,
    .add = ref_add,
    .bias_fwd = ref_bias_fwd,
    .bias_bwd = ref_bias_bwd,
    .eltwise_fwd = ref_eltwise_fwd,
    .eltwise_bwd = ref_eltwise_bwd,
    .maxpool_fwd = ref_maxpool_fwd,
    .maxpool_bwd = ref_maxpool_bwd,
    .avgpool_fwd = ref_avgpool_fwd,
    .avgpool_bwd = ref_avgpool_bwd,
    .gap_fwd = ref_gap_fwd,
    .gap_bwd = ref_gap_bwd,
    .linear_fwd = ref_linear_fwd,
    .linear_bwd_d = ref_linear_bwd_d,
    .linear_bwd_w = ref_linear_bwd_w,
    .xent = ref_xent,
    .distill = ref_distill,
    .sgd = ref_sgd,
    .axpby = ref_axpby,
    .sumsq = ref_sumsq,
};
