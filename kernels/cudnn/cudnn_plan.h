/* SPDX-License-Identifier: MIT */
/* The plans that cuDNN's heuristics offer for a graph. (C++) */
#ifndef CUDNN_PLAN_H
#define CUDNN_PLAN_H

#include "kernels/cudnn/cudnn_graph.h"

/* MOST: plans that rows ask for. CONFIGS: of engines, that are looked at: the heuristics offer some forty. */
enum { RN_CUDNN_PLANS = 3, RN_CUDNN_CONFIGS = 64 };

struct rn_cudnn_plan {
    cudnnBackendDescriptor_t plan;
    int64_t engine, workspace;
    bool compiled; /* its kernel was made for it, which takes seconds */
    bool kept;     /* ... by an earlier run: it comes from a file */
};

/* Those made so far, and what others would be made of, best first by the heuristics. */
struct rn_cudnn_plans {
    rn_cudnn_work work;
    rn_cudnn_made made; /* with the ids of the tensors that a variant pack has */
    cudnnBackendDescriptor_t graph;
    rn_cudnn_plan v[RN_CUDNN_PLANS];
    int count;
    cudnnBackendDescriptor_t configs[RN_CUDNN_CONFIGS];
    int nconfigs, next;
    bool fell_back; /* configs are those to fall back on: mode A had no plan */
};

/* Describes `work`, which rn_cudnn_refusal says nothing against. Close it in any case. */
int rn_cudnn_plans_open(const rn_cudnn_target *t, const rn_cudnn_work *work, rn_cudnn_plans *out);
/*
 * The n-th plan, from 0, below RN_CUDNN_PLANS, made when it is asked for first; NULL: there are not so many. Deterministic ones, that
 * add up in f32 and, of f32 without RN_CUDNN_TF32, use no tensor cores: by the engines' notes. t: that of the opening.
 */
const rn_cudnn_plan *rn_cudnn_plan_at(const rn_cudnn_target *t, rn_cudnn_plans *p, int n);
void rn_cudnn_plans_close(const rn_cudnn_library *l, rn_cudnn_plans *p);
/* For cudnn_kept.cu: an execution plan's descriptor that knows its device and nothing else. */
int rn_cudnn_plan_descriptor(const rn_cudnn_maker *m, cudnnBackendDescriptor_t *out);

#endif
