/* SPDX-License-Identifier: MIT */
#include "kernels/cpu/cpu_ops.h"

#include <string.h>

#include "base/rn_half.h"
#include "kernels/ref/ref_ops.h"

const rn_ops rn_cpu_ops = {
    .normalize = cpu_normalize,
    .convert = cpu_convert,
    .bn_fwd = cpu_bn_fwd,
    .bn_bwd = cpu_bn_bwd,
    .bn_stats = ref_bn_stats,
    .bn_grad_stats = ref_bn_grad_stats,
    .relu_fwd = cpu_relu_fwd,
    .relu_bwd = cpu_relu_bwd,
    .add = cpu_add,
    .bias_fwd = cpu_bias_fwd,
    .bias_bwd = cpu_bias_bwd,
    .eltwise_fwd = cpu_eltwise_fwd,
    .eltwise_bwd = cpu_eltwise_bwd,
    .sigmoid_fwd = cpu_sigmoid_fwd,
    .sigmoid_bwd = cpu_sigmoid_bwd,
    .scale_fwd = cpu_scale_fwd,
    .scale_bwd = cpu_scale_bwd,
    .dropout = cpu_dropout,
    .lrn_fwd = cpu_lrn_fwd,
    .lrn_bwd = cpu_lrn_bwd,
    .part = cpu_part,
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
    .clip = cpu_clip,
    .pick = cpu_pick,
};

const cpu_ops_kern *cpu_ops_kern_of(const struct rn_backend *be, rn_dtype t)
{
    static const cpu_ops_kern *const portable[] = {&cpu_ops_kern_portable, &cpu_ops_bf16_portable,
                                                   &cpu_ops_f16_portable};
#if defined(__x86_64__)
    static const cpu_ops_kern *const avx2[] = {&cpu_ops_kern_avx2, &cpu_ops_bf16_avx2, &cpu_ops_f16_avx2};
    static const cpu_ops_kern *const avx512[] = {&cpu_ops_kern_avx512, &cpu_ops_bf16_avx512, &cpu_ops_f16_avx512};
    if (rn_cpu_backend_isa(be) >= RN_ISA_AVX512)
        return avx512[t];
    if (rn_cpu_backend_isa(be) >= RN_ISA_AVX2)
        return avx2[t];
#endif
    return portable[t];
}

void cpu_ops_widen(const struct rn_backend *be, rn_dtype t, const void *from, float *to, int64_t n)
{
    const rn_half_kern *k = rn_half_kern_of(rn_cpu_backend_isa(be));
    if (t == RN_BF16)
        k->f32_of_bf16(to, from, (size_t)n);
    else if (t == RN_F16)
        k->f32_of_f16(to, from, (size_t)n);
    else
        memcpy(to, from, sizeof(float) * (size_t)n);
}

void cpu_ops_narrow(const struct rn_backend *be, rn_dtype t, const float *from, void *to, int64_t n)
{
    const rn_half_kern *k = rn_half_kern_of(rn_cpu_backend_isa(be));
    if (t == RN_BF16)
        k->bf16_of_f32(to, from, (size_t)n);
    else if (t == RN_F16)
        k->f16_of_f32(to, from, (size_t)n);
    else
        memcpy(to, from, sizeof(float) * (size_t)n);
}
