/* SPDX-License-Identifier: MIT */
/* What an optimizer does to all of a net's parameters at once: blocks of CPU_OPS_SMALL values, handed out in order. */
#include <math.h>

#include "base/rn_error.h"
#include "kernels/cpu/cpu_ops.h"
#include "op/rn_op_check.h"
#include "op/rn_op_now.h"

int cpu_sgd(struct rn_backend *be, const rn_op_sgd *a, void *stream)
{
    (void)stream;
    rn_op_sgd now;
    RN_TRY(rn_op_check_sgd(a));
    if (!rn_op_sgd_of_now(a, &now))
        return RN_OK;
    const cpu_ops_kern *k = cpu_ops_kern_of(be, RN_F32);
    const int nt = cpu_ops_threads(be, a->n);
#pragma omp parallel for schedule(static) num_threads(nt) if (nt > 1)
    for (int64_t b = 0; b < cpu_ops_blocks(a->n); b++) {
        const int64_t o = b * CPU_OPS_SMALL;
        k->sgd(&now, o, o + cpu_ops_block_len(a->n, b));
    }
    return RN_OK;
}

int cpu_axpby(struct rn_backend *be, const rn_op_axpby *a, void *stream)
{
    (void)stream;
    rn_op_axpby now;
    RN_TRY(rn_op_check_axpby(a));
    if (!rn_op_axpby_of_now(a, &now))
        return RN_OK;
    const cpu_ops_kern *k = cpu_ops_kern_of(be, RN_F32);
    const int nt = cpu_ops_threads(be, a->n);
#pragma omp parallel for schedule(static) num_threads(nt) if (nt > 1)
    for (int64_t b = 0; b < cpu_ops_blocks(a->n); b++) {
        const int64_t o = b * CPU_OPS_SMALL;
        k->axpby(&now, o, o + cpu_ops_block_len(a->n, b));
    }
    return RN_OK;
}

/* One sum a block, joined in the blocks' order: who computed which does not matter. */
int cpu_sumsq(struct rn_backend *be, const rn_op_sumsq *a, void *stream)
{
    (void)stream;
    RN_TRY(rn_op_check_sumsq(a));
    const cpu_ops_kern *k = cpu_ops_kern_of(be, RN_F32);
    const int64_t blocks = cpu_ops_blocks(a->n);
    const int nt = cpu_ops_threads(be, a->n);
    double *part = rn_cpu_backend_scratch(be, (size_t)(blocks + 1) * sizeof *part), sum = 0;
    if (!part)
        return rn_fail(RN_E_NOMEM, "cpu: sumsq of %lld values: out of memory", (long long)a->n);
#pragma omp parallel for schedule(static) num_threads(nt) if (nt > 1)
    for (int64_t b = 0; b < blocks; b++)
        part[b] = k->sumsq(cpu_ops_block_len(a->n, b), a->x + b * CPU_OPS_SMALL);
    for (int64_t b = 0; b < blocks; b++)
        sum += part[b];
    *a->sum = sum;
    return RN_OK;
}

int cpu_clip(struct rn_backend *be, const rn_op_clip *a, void *stream)
{
    (void)be, (void)stream;
    RN_TRY(rn_op_check_clip(a));
    const rn_op_clip now = rn_op_clip_of_now(a);
    const double norm = sqrt(*a->sumsq) * now.scale * now.times;
    bool stop = a->before && (!isfinite(*a->before) || isnan(*a->out));
    for (int i = 0; i < a->n; i++)
        stop = stop || !isfinite(a->loss[i]);
    const double by = a->limit > 0 ? rn_op_clip_factor(norm, a->limit, a->caffe) : 1;
    *a->out = rn_op_clip_result(a, stop, (float)(now.scale * by));
    return RN_OK;
}
