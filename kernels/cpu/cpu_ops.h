/* SPDX-License-Identifier: MIT */
/*
 * The CPU's ops: host memory, threads of OpenMP, instruction set by the backend (cpu_backend.h). bf16 and f16 are
 * computed in f32 and rounded where they are stored. Work is cut into blocks that depend on the shape alone and their
 * sums are joined in the blocks' order: results are the same bits at any number of threads. Small tensors stay on the
 * calling thread.
 */
#ifndef CPU_OPS_H
#define CPU_OPS_H

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/cpu_ops_kern.h"
#include "op/rn_op.h"

extern const rn_ops rn_cpu_ops; /* every slot is set */

/* The inner loops for this backend's instruction set and activations of type t: RN_F32, RN_BF16 or RN_F16. */
const cpu_ops_kern *cpu_ops_kern_of(const struct rn_backend *be, rn_dtype t);

/* Where element i of an activation lies. */
static inline const void *cpu_ops_at(const void *p, rn_dtype t, int64_t i)
{
    return (const char *)p + i * (int64_t)rn_dtype_size(t);
}

static inline void *cpu_ops_to(void *p, rn_dtype t, int64_t i)
{
    return (char *)p + i * (int64_t)rn_dtype_size(t);
}

/* n values of type t to f32, and back; a copy when t is f32. */
void cpu_ops_widen(const struct rn_backend *be, rn_dtype t, const void *from, float *to, int64_t n);
void cpu_ops_narrow(const struct rn_backend *be, rn_dtype t, const float *from, void *to, int64_t n);

/* Fewer values than this are not worth waking threads for. */
enum { CPU_OPS_SMALL = 32768, CPU_OPS_FOLD_BELOW = 128 };

static inline int cpu_ops_threads(const struct rn_backend *be, int64_t values)
{
    return values <= CPU_OPS_SMALL ? 1 : be->threads;
}

/* True for a tensor of which nothing would be found in the caches by who reads it next. */
static inline bool cpu_ops_past(const struct rn_backend *be, rn_dtype t, int64_t values)
{
    return (size_t)values * rn_dtype_size(t) >= rn_cpu_backend_past(be);
}

/* Long vectors are cut into blocks of CPU_OPS_SMALL values: their number, and how long block b is. */
static inline int64_t cpu_ops_blocks(int64_t n)
{
    return (n + CPU_OPS_SMALL - 1) / CPU_OPS_SMALL;
}

static inline int64_t cpu_ops_block_len(int64_t n, int64_t b)
{
    const int64_t left = n - b * CPU_OPS_SMALL;
    return left < CPU_OPS_SMALL ? left : CPU_OPS_SMALL;
}

/*
 * How many rows of c channels are taken as one, so that a row is at least 128 values and whole vectors: with few
 * channels, the loop over a row would be all start and end. Vectors per channel are then repeated that many times.
 */
static inline int cpu_ops_fold(int c)
{
    if (c >= CPU_OPS_FOLD_BELOW)
        return 1;
    const int power = c & -c, whole = power >= 16 ? 1 : 16 / power; /* rows until a multiple of 16 values */
    return (CPU_OPS_FOLD_BELOW + whole * c - 1) / (whole * c) * whole;
}

/* The table's rows, by file. */
int cpu_normalize(struct rn_backend *, const rn_op_normalize *, void *stream);
int cpu_relu_fwd(struct rn_backend *, const rn_op_relu *, void *stream);
int cpu_relu_bwd(struct rn_backend *, const rn_op_relu_bwd *, void *stream);
int cpu_add(struct rn_backend *, const rn_op_add *, void *stream);
int cpu_sgd(struct rn_backend *, const rn_op_sgd *, void *stream);
int cpu_axpby(struct rn_backend *, const rn_op_axpby *, void *stream);
int cpu_sumsq(struct rn_backend *, const rn_op_sumsq *, void *stream);
int cpu_clip(struct rn_backend *, const rn_op_clip *, void *stream);
int cpu_pick(struct rn_backend *, const rn_op_pick *, void *stream);
int cpu_bias_fwd(struct rn_backend *, const rn_op_bias *, void *stream);
int cpu_bias_bwd(struct rn_backend *, const rn_op_bias_bwd *, void *stream);
int cpu_eltwise_fwd(struct rn_backend *, const rn_op_eltwise *, void *stream);
int cpu_eltwise_bwd(struct rn_backend *, const rn_op_eltwise_bwd *, void *stream);
int cpu_sigmoid_fwd(struct rn_backend *, const rn_op_sigmoid *, void *stream);
int cpu_sigmoid_bwd(struct rn_backend *, const rn_op_sigmoid_bwd *, void *stream);
int cpu_scale_fwd(struct rn_backend *, const rn_op_scale *, void *stream);
int cpu_scale_bwd(struct rn_backend *, const rn_op_scale_bwd *, void *stream);
int cpu_dropout(struct rn_backend *, const rn_op_dropout *, void *stream);
int cpu_lrn_fwd(struct rn_backend *, const rn_op_lrn *, void *stream);
int cpu_lrn_bwd(struct rn_backend *, const rn_op_lrn_bwd *, void *stream);
int cpu_part(struct rn_backend *, const rn_op_part *, void *stream);
int cpu_convert(struct rn_backend *, const rn_op_convert *, void *stream);
int cpu_bn_fwd(struct rn_backend *, const rn_op_bn_fwd *, void *stream);
int cpu_bn_bwd(struct rn_backend *, const rn_op_bn_bwd *, void *stream);
int cpu_maxpool_fwd(struct rn_backend *, const rn_op_pool *, void *stream);
int cpu_maxpool_bwd(struct rn_backend *, const rn_op_pool *, void *stream);
int cpu_avgpool_fwd(struct rn_backend *, const rn_op_pool *, void *stream);
int cpu_avgpool_bwd(struct rn_backend *, const rn_op_pool *, void *stream);
int cpu_gap_fwd(struct rn_backend *, const rn_op_gap *, void *stream);
int cpu_gap_bwd(struct rn_backend *, const rn_op_gap *, void *stream);
int cpu_linear_fwd(struct rn_backend *, const rn_op_linear *, void *stream);
int cpu_linear_bwd_d(struct rn_backend *, const rn_op_linear *, void *stream);
int cpu_linear_bwd_w(struct rn_backend *, const rn_op_linear *, void *stream);
int cpu_distill(struct rn_backend *, const rn_op_distill *, void *stream);
int cpu_xent(struct rn_backend *, const rn_op_xent *, void *stream);

#endif
