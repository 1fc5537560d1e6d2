/* SPDX-License-Identifier: MIT */
/* A plan's run: the tensors by name, and what is to be done before and after. (C++) */
#ifndef CUDNN_EXECUTE_H
#define CUDNN_EXECUTE_H

#include "kernels/cudnn/cudnn_plan.h"

/* Bytes of workspace of rn_cudnn_run, 64-byte aligned: the plan's own, and tensors that are not the caller's. */
size_t rn_cudnn_workspace(const rn_cudnn_work *w, const rn_cudnn_plan *plan);
/*
 * In the order of `stream`, an rn_stream; nothing waits and nothing is allocated by this function, so that it can be captured. p: whose
 * plan it is; its work may do without `add` where adding is done by the project's own kernels. name: the row's, for errors.
 * RN_E_UNSUPPORTED: a tensor that does not begin at a multiple of 16 bytes.
 */
int rn_cudnn_run(const rn_cudnn_library *l, cudnnHandle_t handle, const rn_cudnn_plans *p, const rn_cudnn_plan *plan,
                 const char *name, const rn_conv_args *a, int beta, void *workspace, void *stream);

#endif
