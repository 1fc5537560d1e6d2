/* SPDX-License-Identifier: MIT */
/*
 * One instruction set's set of inner loops for one type of activations. The including file defines CPU_OPS_KERN, the
 * table's name, CPU_VEC_BYTES, the width of a vector register, and CPU_OPS_BF16 or CPU_OPS_F16 where activations are
 * not f32. Loops marked `omp simd` carry no dependence from one index to the
 * next, also where source and destination are the same memory.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "base/rn_half.h"
#include "kernels/cpu/cpu_ops_kern.h"

#define INLINE static inline __attribute__((always_inline))

/*
 * Activations lie in memory as `act`; get() makes a float of one, put() rounds one to nearest, ties to even. A loop written
 * with them is right for every type, and for f32 they are nothing. The signs are told from the bits.
 */
#if defined(CPU_OPS_BF16) || defined(CPU_OPS_F16)
typedef uint16_t act;

#ifdef CPU_OPS_BF16
enum { ACT_INF = 0x7f80 };
INLINE float get(act v)
{
    return rn_f32_of_bf16(v);
}
INLINE act put(float v)
{
    return rn_bf16_of_f32(v);
}
#else
enum { ACT_INF = 0x7c00 };
INLINE float get(act v)
{
    return rn_f32_of_f16(v);
}
INLINE act put(float v)
{
    return rn_f16_of_f32(v);
}
#endif

INLINE bool above_zero(act v) /* the bits 0x0001..infinity; neither a zero nor a NaN */
{
    return (act)(v - 1) < ACT_INF;
}
INLINE bool below_zero(act v)
{
    return (act)(v - 0x8001) < ACT_INF;
}
#else
typedef float act;

INLINE float get(act v)
{
    return v;
}
INLINE act put(float v)
{
    return v;
}
INLINE bool above_zero(act v)
{
    return v > 0;
}
INLINE bool below_zero(act v)
{
    return v < 0;
}
#endif

/* Each part uses what stands above it. */
/* clang-format off */
#include "kernels/cpu/cpu_ops_lanes_impl.h"
#include "kernels/cpu/cpu_ops_bn_impl.h"
#include "kernels/cpu/cpu_ops_linear_impl.h"
#include "kernels/cpu/cpu_ops_optim_impl.h"
#include "kernels/cpu/cpu_ops_point_impl.h"
#include "kernels/cpu/cpu_ops_join_impl.h"
#include "kernels/cpu/cpu_ops_channel_impl.h"
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
    .normalize_less = normalize_less,
    .bias_fwd = bias_fwd,
    .bias_grad = bias_grad,
    .eltwise_fwd = eltwise_fwd,
    .eltwise_bwd = eltwise_bwd,
    .sigmoid_fwd = sigmoid_fwd,
    .sigmoid_bwd = sigmoid_bwd,
    .dropout = dropout,
    .scale_fwd = scale_fwd,
    .scale_grad = scale_grad,
    .lrn = lrn,
    .part = part,
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
