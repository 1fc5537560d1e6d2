/* SPDX-License-Identifier: MIT */
/* What the backend has: its ops, slot by slot, and its convolutions, best first. */
#include <stddef.h>

#include "kernels/cuda/cuda_conv.h"
#include "kernels/cuda/cuda_ops.h"

extern "C" {
#include "base/rn_error.h"
}

/* In the order of rn_ops: C++17 knows no other. */
static const rn_ops ops = {
    NULL, /* normalize */
    NULL, /* convert */
    NULL, /* bn_fwd */
    NULL, /* bn_bwd */
    NULL, /* bn_stats */
    NULL, /* bn_grad_stats */
    NULL, /* relu_fwd */
    NULL, /* relu_bwd */
    NULL, /* add */
    NULL, /* bias_fwd */
    NULL, /* bias_bwd */
    NULL, /* eltwise_fwd */
    NULL, /* eltwise_bwd */
    NULL, /* sigmoid_fwd */
    NULL, /* sigmoid_bwd */
    NULL, /* scale_fwd */
    NULL, /* scale_bwd */
    NULL, /* dropout */
    NULL, /* lrn_fwd */
    NULL, /* lrn_bwd */
    NULL, /* part */
    NULL, /* maxpool_fwd */
    NULL, /* maxpool_bwd */
    NULL, /* avgpool_fwd */
    NULL, /* avgpool_bwd */
    NULL, /* gap_fwd */
    NULL, /* gap_bwd */
    NULL, /* linear_fwd */
    NULL, /* linear_bwd_d */
    NULL, /* linear_bwd_w */
    NULL, /* xent */
    NULL, /* distill */
    NULL, /* sgd */
    NULL, /* axpby */
    NULL, /* sumsq */
};

static const char *const names[] = {
    "normalize",    "convert",      "bn_fwd",      "bn_bwd",      "bn_stats",    "bn_grad_stats", "relu_fwd",
    "relu_bwd",     "add",          "bias_fwd",    "bias_bwd",    "eltwise_fwd", "eltwise_bwd",   "sigmoid_fwd",
    "sigmoid_bwd",  "scale_fwd",    "scale_bwd",   "dropout",     "lrn_fwd",     "lrn_bwd",       "part",
    "maxpool_fwd",  "maxpool_bwd",  "avgpool_fwd", "avgpool_bwd", "gap_fwd",     "gap_bwd",       "linear_fwd",
    "linear_bwd_d", "linear_bwd_w", "xent",        "distill",     "sgd",         "axpby",         "sumsq",
};

static const rn_conv_algo *const algos[] = {
    &rn_cuda_implicit_gemm, &rn_cuda_implicit_gemm_64, &rn_cuda_implicit_gemm_tf32, &rn_cuda_direct, NULL,
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
