/* SPDX-License-Identifier: MIT */
/* A convolution as cuDNN's graph of one operation, and the plans that its heuristics offer for it. (C++) */
#ifndef CUDNN_PLAN_H
#define CUDNN_PLAN_H

#include "kernels/cudnn/cudnn_library.h"

extern "C" {
#include "op/rn_conv.h"
}

enum { RN_CUDNN_PLANS = 3, RN_CUDNN_DESCRIPTORS = 512 };

/* For whom: a device's handle, or, to see what would be planned, a device's properties (CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR). */
struct rn_cudnn_target {
    const rn_cudnn_library *library;
    cudnnHandle_t handle; /* NULL: by properties */
    cudnnBackendDescriptor_t properties;
};

struct rn_cudnn_plan {
    cudnnBackendDescriptor_t plan;
    int64_t engine, workspace;
};

/* Up to RN_CUDNN_PLANS, best first by the heuristics (mode A; if that has none, those to fall back on); with all that they are made of, which lives as long. */
struct rn_cudnn_plans {
    rn_cudnn_plan v[RN_CUDNN_PLANS];
    int count;
    cudnnBackendDescriptor_t made[RN_CUDNN_DESCRIPTORS];
    int nmade;
};

/* What the tensors are called in a variant pack. */
enum { RN_CUDNN_SRC = 's', RN_CUDNN_WEI = 'w', RN_CUDNN_DST = 'd' };

/*
 * Plans for a convolution without fused work: deterministic ones, and of f32 without tf32 those that use no tensor cores. add: to
 * what is in the destination. count may come out as 0. Close it in any case.
 */
int rn_cudnn_plans_open(const rn_cudnn_target *t, const rn_conv_desc *d, rn_conv_dir dir, bool add, bool tf32,
                        rn_cudnn_plans *out);
void rn_cudnn_plans_close(const rn_cudnn_library *l, rn_cudnn_plans *p);
/* Why no plan is asked for at all, a static text; NULL: one may be. */
const char *rn_cudnn_refusal(const rn_conv_desc *d, rn_conv_dir dir, bool tf32);

#endif
