/* SPDX-License-Identifier: MIT */
/*
 * One instruction set's set of inner loops. The including file defines CPU_OPS_KERN, the table's name, and
 * CPU_VEC_BYTES, the width of a vector register. Loops marked `omp simd` carry no dependence from one index to the
 * next, also where source and destination are the same memory.
 */
#include <stdint.h>
#include <string.h>

#include "kernels/cpu/cpu_ops_kern.h"

#define INLINE static inline __attribute__((always_inline))

/* clang-format off: each part uses what stands above it */
#include "kernels/cpu/cpu_ops_bn_impl.h"
#include "kernels/cpu/cpu_ops_linear_impl.h"
#include "kernels/cpu/cpu_ops_optim_impl.h"
#include "kernels/cpu/cpu_ops_point_impl.h"
#include "kernels/cpu/cpu_ops_join_impl.h"
#include "kernels/cpu/cpu_ops_pool_impl.h"
/* clang-format on */

const cpu_ops_kern CPU_OPS_KERN = {
    .relu_fwd = relu_fwd,
    .relu_bwd = relu_bwd,
    .add = add,
    .sgd = sgd,
    .axpby = axpby,
    .sumsq = sumsq,
    .normalize = normalize,
    .bias_fwd = bias_fwd,
    .bias_grad = bias_grad,
    .eltwise_fwd = eltwise_fwd,
    .eltwise_bwd = eltwise_bwd,
    .bn_moments = bn_moments,
    .bn_apply = bn_apply,
    .bn_grad_sums = bn_grad_sums,
    .bn_grad_apply = bn_grad_apply,
    .maxpool_fwd = maxpool_fwd,
    .maxpool_bwd = maxpool_bwd,
    .avgpool_fwd = avgpool_fwd,
    .avgpool_bwd = avgpool_bwd,
    .gap_fwd = gap_fwd,
    .gap_bwd = gap_bwd,
    .linear_fwd = linear_fwd,
    .gemm_small = gemm_small,
};
