/* SPDX-License-Identifier: MIT */
/*
 * Reference ops: what every other backend is checked against. Plain loops, sums in double, one rounding to the type of
 * the activations at the end, never fast. Host memory, one thread; the backend and the stream are not looked at (NULL is fine).
 */
#ifndef REF_OPS_H
#define REF_OPS_H

#include "base/rn_half.h"
#include "op/rn_op.h"

/* Element i of an activation; one rounding, to nearest even, when it is stored. */
static inline double ref_get(rn_dtype t, const void *p, int64_t i)
{
    if (t == RN_F32)
        return ((const float *)p)[i];
    const uint16_t v = ((const uint16_t *)p)[i];
    return t == RN_BF16 ? rn_f32_of_bf16(v) : rn_f32_of_f16(v);
}

static inline void ref_put(rn_dtype t, void *p, int64_t i, double v)
{
    if (t == RN_F32)
        ((float *)p)[i] = (float)v;
    else
        ((uint16_t *)p)[i] = t == RN_BF16 ? rn_bf16_of_f64(v) : rn_f16_of_f64(v);
}

extern const rn_ops rn_ref_ops; /* every slot is set */

/* The table's rows, by file. */
int ref_normalize(struct rn_backend *, const rn_op_normalize *, void *stream);
int ref_bias_fwd(struct rn_backend *, const rn_op_bias *, void *stream);
int ref_bias_bwd(struct rn_backend *, const rn_op_bias_bwd *, void *stream);
int ref_eltwise_fwd(struct rn_backend *, const rn_op_eltwise *, void *stream);
int ref_eltwise_bwd(struct rn_backend *, const rn_op_eltwise_bwd *, void *stream);
int ref_sigmoid_fwd(struct rn_backend *, const rn_op_sigmoid *, void *stream);
int ref_sigmoid_bwd(struct rn_backend *, const rn_op_sigmoid_bwd *, void *stream);
int ref_scale_fwd(struct rn_backend *, const rn_op_scale *, void *stream);
int ref_scale_bwd(struct rn_backend *, const rn_op_scale_bwd *, void *stream);
int ref_dropout(struct rn_backend *, const rn_op_dropout *, void *stream);
int ref_lrn_fwd(struct rn_backend *, const rn_op_lrn *, void *stream);
int ref_lrn_bwd(struct rn_backend *, const rn_op_lrn_bwd *, void *stream);
int ref_part(struct rn_backend *, const rn_op_part *, void *stream);
int ref_convert(struct rn_backend *, const rn_op_convert *, void *stream);
int ref_bn_fwd(struct rn_backend *, const rn_op_bn_fwd *, void *stream);
int ref_bn_bwd(struct rn_backend *, const rn_op_bn_bwd *, void *stream);
int ref_bn_stats(struct rn_backend *, const rn_op_bn_stats *, void *stream);
int ref_bn_grad_stats(struct rn_backend *, const rn_op_bn_grad_stats *, void *stream);
int ref_relu_fwd(struct rn_backend *, const rn_op_relu *, void *stream);
int ref_relu_bwd(struct rn_backend *, const rn_op_relu_bwd *, void *stream);
int ref_add(struct rn_backend *, const rn_op_add *, void *stream);
int ref_sgd(struct rn_backend *, const rn_op_sgd *, void *stream);
int ref_axpby(struct rn_backend *, const rn_op_axpby *, void *stream);
int ref_sumsq(struct rn_backend *, const rn_op_sumsq *, void *stream);
int ref_clip(struct rn_backend *, const rn_op_clip *, void *stream);
int ref_pick(struct rn_backend *, const rn_op_pick *, void *stream);
int ref_maxpool_fwd(struct rn_backend *, const rn_op_pool *, void *stream);
int ref_maxpool_bwd(struct rn_backend *, const rn_op_pool *, void *stream);
int ref_avgpool_fwd(struct rn_backend *, const rn_op_pool *, void *stream);
int ref_avgpool_bwd(struct rn_backend *, const rn_op_pool *, void *stream);
int ref_gap_fwd(struct rn_backend *, const rn_op_gap *, void *stream);
int ref_gap_bwd(struct rn_backend *, const rn_op_gap *, void *stream);
int ref_linear_fwd(struct rn_backend *, const rn_op_linear *, void *stream);
int ref_linear_bwd_d(struct rn_backend *, const rn_op_linear *, void *stream);
int ref_linear_bwd_w(struct rn_backend *, const rn_op_linear *, void *stream);
int ref_distill(struct rn_backend *, const rn_op_distill *, void *stream);
int ref_xent(struct rn_backend *, const rn_op_xent *, void *stream);

#endif
