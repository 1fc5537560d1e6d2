/* SPDX-License-Identifier: MIT */
/* What joins values: a bias to rows, two values element by element. */
#include "base/rn_error.h"
#include "kernels/cpu/cpu_ops.h"
#include "op/rn_op_check.h"

/* Few channels make a poor vector: rows are taken many at a time, with the bias repeated. */
int cpu_bias_fwd(struct rn_backend *be, const rn_op_bias *a, void *stream)
{
    (void)stream;
    RN_TRY(rn_op_check_bias(a));
    const cpu_ops_kern *k = cpu_ops_kern_of(be, a->dtype);
    const int fold = cpu_ops_fold(a->c), width = a->c * fold;
    float wide[16 * CPU_OPS_FOLD_BELOW];
    for (int i = 0; fold > 1 && i < width; i++)
        wide[i] = a->b[i % a->c];
    const float *b = fold > 1 ? wide : a->b;
    const int64_t rows = a->rows / fold, per = CPU_OPS_SMALL / width + 1, blocks = (rows + per - 1) / per;
    const int nt = cpu_ops_threads(be, a->rows * a->c);
#pragma omp parallel for schedule(static) num_threads(nt) if (nt > 1)
    for (int64_t i = 0; i < blocks; i++) {
        const int64_t n = rows - i * per < per ? rows - i * per : per, o = i * per * width;
        k->bias_fwd(n, width, cpu_ops_at(a->x, a->dtype, o), b, cpu_ops_to(a->y, a->dtype, o), a->relu);
    }
    k->bias_fwd(a->rows % fold, a->c, cpu_ops_at(a->x, a->dtype, rows * width), b,
                cpu_ops_to(a->y, a->dtype, rows * width), a->relu);
    return RN_OK;
}

/* Sums of blocks of rows, then the blocks in order: by the shape alone. */
int cpu_bias_bwd(struct rn_backend *be, const rn_op_bias_bwd *a, void *stream)
{
    (void)stream;
    enum { MOST_BLOCKS = 256 };
    RN_TRY(rn_op_check_bias_bwd(a));
    const cpu_ops_kern *k = cpu_ops_kern_of(be, a->dtype);
    const int64_t floor = CPU_OPS_SMALL / a->c + 1, spread = (a->rows + MOST_BLOCKS - 1) / MOST_BLOCKS;
    const int64_t per = spread > floor ? spread : floor, blocks = (a->rows + per - 1) / per;
    double *sums = rn_cpu_backend_scratch(be, (size_t)blocks * (size_t)a->c * sizeof *sums);
    if (!sums)
        return rn_fail(RN_E_NOMEM, "bias_bwd: no memory for the sums of %d channels", a->c);
    const int nt = cpu_ops_threads(be, a->rows * a->c);
#pragma omp parallel for schedule(static) num_threads(nt) if (nt > 1)
    for (int64_t i = 0; i < blocks; i++) {
        const int64_t n = a->rows - i * per < per ? a->rows - i * per : per, o = i * per * a->c;
        k->bias_grad(n, a->c, a->relu ? cpu_ops_at(a->y, a->dtype, o) : NULL, cpu_ops_at(a->dy, a->dtype, o),
                     a->dx ? cpu_ops_to(a->dx, a->dtype, o) : NULL, sums + i * a->c);
    }
    for (int64_t i = 1; i < blocks; i++)
        for (int c = 0; c < a->c; c++)
            sums[c] += sums[i * a->c + c];
    for (int c = 0; c < a->c; c++)
        a->db[c] = (float)sums[c];
    return RN_OK;
}

int cpu_eltwise_fwd(struct rn_backend *be, const rn_op_eltwise *a, void *stream)
{
    (void)stream;
    RN_TRY(rn_op_check_eltwise(a));
    const cpu_ops_kern *k = cpu_ops_kern_of(be, a->dtype);
    const int nt = cpu_ops_threads(be, a->n);
#pragma omp parallel for schedule(static) num_threads(nt) if (nt > 1)
    for (int64_t b = 0; b < cpu_ops_blocks(a->n); b++)
        k->eltwise_fwd(a, b * CPU_OPS_SMALL, b * CPU_OPS_SMALL + cpu_ops_block_len(a->n, b));
    return RN_OK;
}

int cpu_eltwise_bwd(struct rn_backend *be, const rn_op_eltwise_bwd *a, void *stream)
{
    (void)stream;
    RN_TRY(rn_op_check_eltwise_bwd(a));
    const cpu_ops_kern *k = cpu_ops_kern_of(be, a->dtype);
    const int nt = cpu_ops_threads(be, a->n);
#pragma omp parallel for schedule(static) num_threads(nt) if (nt > 1)
    for (int64_t b = 0; b < cpu_ops_blocks(a->n); b++)
        k->eltwise_bwd(a, b * CPU_OPS_SMALL, b * CPU_OPS_SMALL + cpu_ops_block_len(a->n, b));
    return RN_OK;
}
