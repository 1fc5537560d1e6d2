/* SPDX-License-Identifier: MIT */
/* The slots of rn_ops on a device: what rn_op.h says of each holds here. */
#ifndef CUDA_OPS_H
#define CUDA_OPS_H

#include "kernels/cuda/cuda_backend.h"

#ifdef __cplusplus
extern "C" {
#endif

int rn_cuda_normalize(struct rn_backend *be, const rn_op_normalize *a, void *stream);
int rn_cuda_convert(struct rn_backend *be, const rn_op_convert *a, void *stream);
int rn_cuda_bn_fwd(struct rn_backend *be, const rn_op_bn_fwd *a, void *stream);
int rn_cuda_bn_bwd(struct rn_backend *be, const rn_op_bn_bwd *a, void *stream);
int rn_cuda_bn_stats(struct rn_backend *be, const rn_op_bn_stats *a, void *stream);
int rn_cuda_bn_grad_stats(struct rn_backend *be, const rn_op_bn_grad_stats *a, void *stream);
int rn_cuda_relu_fwd(struct rn_backend *be, const rn_op_relu *a, void *stream);
int rn_cuda_relu_bwd(struct rn_backend *be, const rn_op_relu_bwd *a, void *stream);
int rn_cuda_add(struct rn_backend *be, const rn_op_add *a, void *stream);
int rn_cuda_bias_fwd(struct rn_backend *be, const rn_op_bias *a, void *stream);
int rn_cuda_bias_bwd(struct rn_backend *be, const rn_op_bias_bwd *a, void *stream);
int rn_cuda_eltwise_fwd(struct rn_backend *be, const rn_op_eltwise *a, void *stream);
int rn_cuda_eltwise_bwd(struct rn_backend *be, const rn_op_eltwise_bwd *a, void *stream);
int rn_cuda_sigmoid_fwd(struct rn_backend *be, const rn_op_sigmoid *a, void *stream);
int rn_cuda_sigmoid_bwd(struct rn_backend *be, const rn_op_sigmoid_bwd *a, void *stream);
int rn_cuda_scale_fwd(struct rn_backend *be, const rn_op_scale *a, void *stream);
int rn_cuda_scale_bwd(struct rn_backend *be, const rn_op_scale_bwd *a, void *stream);
int rn_cuda_dropout(struct rn_backend *be, const rn_op_dropout *a, void *stream);
int rn_cuda_lrn_fwd(struct rn_backend *be, const rn_op_lrn *a, void *stream);
int rn_cuda_lrn_bwd(struct rn_backend *be, const rn_op_lrn_bwd *a, void *stream);
int rn_cuda_part(struct rn_backend *be, const rn_op_part *a, void *stream);
int rn_cuda_maxpool_fwd(struct rn_backend *be, const rn_op_pool *a, void *stream);
int rn_cuda_maxpool_bwd(struct rn_backend *be, const rn_op_pool *a, void *stream);
int rn_cuda_avgpool_fwd(struct rn_backend *be, const rn_op_pool *a, void *stream);
int rn_cuda_avgpool_bwd(struct rn_backend *be, const rn_op_pool *a, void *stream);
int rn_cuda_gap_fwd(struct rn_backend *be, const rn_op_gap *a, void *stream);
int rn_cuda_gap_bwd(struct rn_backend *be, const rn_op_gap *a, void *stream);
int rn_cuda_linear_fwd(struct rn_backend *be, const rn_op_linear *a, void *stream);
int rn_cuda_linear_bwd_d(struct rn_backend *be, const rn_op_linear *a, void *stream);
int rn_cuda_linear_bwd_w(struct rn_backend *be, const rn_op_linear *a, void *stream);
int rn_cuda_xent(struct rn_backend *be, const rn_op_xent *a, void *stream);
int rn_cuda_distill(struct rn_backend *be, const rn_op_distill *a, void *stream);
int rn_cuda_sgd(struct rn_backend *be, const rn_op_sgd *a, void *stream);
int rn_cuda_axpby(struct rn_backend *be, const rn_op_axpby *a, void *stream);
int rn_cuda_sumsq(struct rn_backend *be, const rn_op_sumsq *a, void *stream);
int rn_cuda_clip(struct rn_backend *be, const rn_op_clip *a, void *stream);
int rn_cuda_pick(struct rn_backend *be, const rn_op_pick *a, void *stream);

const rn_ops *rn_cuda_ops(void);
/* RN_OK, or RN_E_UNSUPPORTED naming the first slot of rn_ops that has nothing. */
int rn_cuda_ops_complete(void);
/* Ended by NULL, best first. */
const rn_conv_algo *const *rn_cuda_conv_algos(void);

#ifdef __cplusplus
}
#endif

#endif
