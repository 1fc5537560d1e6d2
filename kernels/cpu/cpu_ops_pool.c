/* SPDX-License-Identifier: MIT */
/* Pooling: one line of one image of the destination at a time. */
#include "base/rn_error.h"
#include "kernels/cpu/cpu_ops.h"
#include "op/rn_op_check.h"

static int64_t values_in(const rn_op_pool *a)
{
    return (int64_t)a->mb * a->ih * a->iw * a->c;
}

static void by_line(struct rn_backend *be, const rn_op_pool *a, int64_t lines,
                    void (*line)(const rn_op_pool *, int64_t, int64_t))
{
    const int nt = cpu_ops_threads(be, values_in(a));
#pragma omp parallel for schedule(static) num_threads(nt) if (nt > 1)
    for (int64_t i = 0; i < lines; i++)
        line(a, i, i + 1);
}

int cpu_maxpool_fwd(struct rn_backend *be, const rn_op_pool *a, void *stream)
{
    (void)stream;
    RN_TRY(rn_op_check_pool(a, true, false));
    by_line(be, a, (int64_t)a->mb * a->oh, cpu_ops_kern_of(be, a->dtype)->maxpool_fwd);
    return RN_OK;
}

int cpu_maxpool_bwd(struct rn_backend *be, const rn_op_pool *a, void *stream)
{
    (void)stream;
    RN_TRY(rn_op_check_pool(a, true, true));
    const cpu_ops_kern *k = cpu_ops_kern_of(be, a->dtype);
    const int nt = cpu_ops_threads(be, values_in(a));
    const bool past = cpu_ops_past(be, a->dtype, values_in(a));
#pragma omp parallel for schedule(static) num_threads(nt) if (nt > 1)
    for (int64_t i = 0; i < (int64_t)a->mb * a->ih; i++)
        k->maxpool_bwd(a, i, i + 1, past);
    return RN_OK;
}

int cpu_avgpool_fwd(struct rn_backend *be, const rn_op_pool *a, void *stream)
{
    (void)stream;
    RN_TRY(rn_op_check_pool(a, false, false));
    by_line(be, a, (int64_t)a->mb * a->oh, cpu_ops_kern_of(be, a->dtype)->avgpool_fwd);
    return RN_OK;
}

int cpu_avgpool_bwd(struct rn_backend *be, const rn_op_pool *a, void *stream)
{
    (void)stream;
    RN_TRY(rn_op_check_pool(a, false, true));
    by_line(be, a, (int64_t)a->mb * a->ih, cpu_ops_kern_of(be, a->dtype)->avgpool_bwd);
    return RN_OK;
}

int cpu_gap_fwd(struct rn_backend *be, const rn_op_gap *a, void *stream)
{
    (void)stream;
    RN_TRY(rn_op_check_gap(a));
    const cpu_ops_kern *k = cpu_ops_kern_of(be, a->dtype);
    const int64_t image = (int64_t)a->hw * a->c;
    const int nt = cpu_ops_threads(be, a->mb * image);
#pragma omp parallel for schedule(static) num_threads(nt) if (nt > 1)
    for (int64_t m = 0; m < a->mb; m++)
        k->gap_fwd(a->hw, a->c, cpu_ops_at(a->src, a->dtype, m * image), cpu_ops_to(a->dst, a->dtype, m * a->c));
    return RN_OK;
}

int cpu_gap_bwd(struct rn_backend *be, const rn_op_gap *a, void *stream)
{
    (void)stream;
    RN_TRY(rn_op_check_gap(a));
    const cpu_ops_kern *k = cpu_ops_kern_of(be, a->dtype);
    const int64_t image = (int64_t)a->hw * a->c;
    const int nt = cpu_ops_threads(be, a->mb * image);
#pragma omp parallel for schedule(static) num_threads(nt) if (nt > 1)
    for (int64_t m = 0; m < a->mb; m++)
        k->gap_bwd(a->hw, a->c, cpu_ops_at(a->src, a->dtype, m * a->c), cpu_ops_to(a->dst, a->dtype, m * image),
                   a->beta);
    return RN_OK;
}
