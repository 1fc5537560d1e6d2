/* SPDX-License-Identifier: MIT */
/* The linear layer's products by cuBLASLt. (C++) */
#ifndef CUDA_BLAS_LINEAR_H
#define CUDA_BLAS_LINEAR_H

extern "C" {
#include "op/rn_backend.h"
#include "op/rn_conv.h"
}

/*
 * The product of a direction, RN_FWD with its bias, RN_BWD_W without the bias's gradient. 1: given to the stream; 0: nothing done,
 * as there is no library, or it has no algorithm for it; RN_E_*.
 */
int rn_blas_linear(struct rn_backend *be, const rn_op_linear *a, rn_conv_dir dir, void *stream);

#endif
