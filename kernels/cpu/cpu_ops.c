/* SPDX-License-Identifier: MIT */
#include "kernels/cpu/cpu_ops.h"

const rn_ops rn_cpu_ops = {
    .normalize = cpu_normalize,
    .bn_fwd = cpu_bn_fwd,
    .bn_bwd = cpu_bn_bwd,
    .relu_fwd = cpu_relu_fwd,
    .relu_bwd = cpu_relu_bwd,
    .add = cpu_add,
    .bias_fwd = cpu_bias_fwd,
    .bias_bwd = cpu_bias_bwd,
    .eltwise_fwd = cpu_eltwise_fwd,
    .eltwise_bwd = cpu_eltwise_bwd,
    .maxpool_fwd = cpu_maxpool_fwd,
    .maxpool_bwd = cpu_maxpool_bwd,
    .avgpool_fwd = cpu_avgpool_fwd,
    .avgpool_bwd = cpu_avgpool_bwd,
    .gap_fwd = cpu_gap_fwd,
    .gap_bwd = cpu_gap_bwd,
    .linear_fwd = cpu_linear_fwd,
    .linear_bwd_d = cpu_linear_bwd_d,
    .linear_bwd_w = cpu_linear_bwd_w,
    .xent = cpu_xent,
    .distill = cpu_distill,
    .sgd = cpu_sgd,
    .axpby = cpu_axpby,
    .sumsq = cpu_sumsq,
};

const cpu_ops_kern *cpu_ops_kern_of(const struct rn_backend *be)
{
    switch (rn_cpu_backend_isa(be)) {
#if defined(__x86_64__)
    case RN_ISA_AVX512_BF16:
    case RN_ISA_AVX512:
        return &cpu_ops_kern_avx512;
    case RN_ISA_AVX2:
        return &cpu_ops_kern_avx2;
#endif
    default:
        return &cpu_ops_kern_portable;
    }
}
