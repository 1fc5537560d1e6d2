/* SPDX-License-Identifier: MIT */
/* What the backend has: its ops, slot by slot, and its convolutions, best first. */
#include <stddef.h>

#include "kernels/cuda/cuda_conv.h"
#include "kernels/cuda/cuda_ops.h"
#ifndef RN_CUDA_EMULATED
#include "kernels/cudnn/cudnn_conv.h"
#endif

extern "C" {
#include "base/rn_error.h"
}

/* In the order of rn_ops: C++17 knows no other. */
static const rn_ops ops = {
    rn_cuda_normalize,     rn_cuda_convert,     rn_cuda_bn_fwd,      rn_cuda_bn_bwd,       rn_cuda_bn_stats,
    rn_cuda_bn_grad_stats, rn_cuda_relu_fwd,    rn_cuda_relu_bwd,    rn_cuda_add,          rn_cuda_bias_fwd,
    rn_cuda_bias_bwd,      rn_cuda_eltwise_fwd, rn_cuda_eltwise_bwd, rn_cuda_sigmoid_fwd,  rn_cuda_sigmoid_bwd,
    rn_cuda_scale_fwd,     rn_cuda_scale_bwd,   rn_cuda_dropout,     rn_cuda_lrn_fwd,      rn_cuda_lrn_bwd,
    rn_cuda_part,          rn_cuda_maxpool_fwd, rn_cuda_maxpool_bwd, rn_cuda_avgpool_fwd,  rn_cuda_avgpool_bwd,
    rn_cuda_gap_fwd,       rn_cuda_gap_bwd,     rn_cuda_linear_fwd,  rn_cuda_linear_bwd_d, rn_cuda_linear_bwd_w,
    rn_cuda_xent,          rn_cuda_distill,     rn_cuda_sgd,         rn_cuda_axpby,        rn_cuda_sumsq,
    rn_cuda_clip,          rn_cuda_pick,
};

static const char *const names[] = {
    "normalize",   "convert",  "bn_fwd",   "bn_bwd",      "bn_stats",     "bn_grad_stats", "relu_fwd",    "relu_bwd",
    "add",         "bias_fwd", "bias_bwd", "eltwise_fwd", "eltwise_bwd",  "sigmoid_fwd",   "sigmoid_bwd", "scale_fwd",
    "scale_bwd",   "dropout",  "lrn_fwd",  "lrn_bwd",     "part",         "maxpool_fwd",   "maxpool_bwd", "avgpool_fwd",
    "avgpool_bwd", "gap_fwd",  "gap_bwd",  "linear_fwd",  "linear_bwd_d", "linear_bwd_w",  "xent",        "distill",
    "sgd",         "axpby",    "sumsq",    "clip",        "pick",
};

/* Which of ours and cuDNN's is faster where, no GPU has said yet: without --tune ours are taken. */
static const rn_conv_algo *const algos[] = {
    &rn_cuda_direct_stem,
    &rn_cuda_implicit_gemm,
    &rn_cuda_implicit_gemm_64,
    &rn_cuda_implicit_gemm_tf32,
    &rn_cuda_winograd,
    &rn_cuda_winograd_2x2,
#ifndef RN_CUDA_EMULATED
    &rn_cudnn_0,
    &rn_cudnn_1,
    &rn_cudnn_2,
    &rn_cudnn_tf32,
    &rn_cudnn_dw16,
    &rn_cudnn_sums32,
#endif
    &rn_cuda_implicit_gemm_sm90, /* measured by nobody: only --tune, or a name, comes here */
    &rn_cuda_implicit_gemm_sm90_64,
    &rn_cuda_implicit_gemm_sm90_256,
    &rn_cuda_direct,
    NULL,
};

const rn_ops *rn_cuda_ops(void)
{
    return &ops;
}

int rn_cuda_ops_complete(void)
{
    typedef int (*slot)(void);
    static_assert(sizeof ops == sizeof names, "a name for each slot");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!((const slot *)&ops)[i])
            return rn_fail(RN_E_UNSUPPORTED, "device cuda: the op %s is not in this version", names[i]);
    }
    return RN_OK;
}

const rn_conv_algo *const *rn_cuda_conv_algos(void)
{
    return algos;
}
