/* SPDX-License-Identifier: MIT */
/* Over channels: a factor each, local response normalisation, parts of them. Rows in blocks, handed out in order. */
#include <omp.h>

#include "base/rn_error.h"
#include "kernels/cpu/cpu_ops.h"
#include "op/rn_op_check.h"

/* Rows of `width` values to a block, and blocks of so many rows. */
static int64_t rows_per_block(int64_t width)
{
    return CPU_OPS_SMALL / width + 1;
}

static int64_t blocks_in(int64_t rows, int64_t per)
{
    return (rows + per - 1) / per;
}

static int64_t at_most(int64_t v, int64_t hi)
{
    return v < hi ? v : hi;
}

int cpu_scale_fwd(struct rn_backend *be, const rn_op_scale *a, void *stream)
{
    (void)stream;
    RN_TRY(rn_op_check_scale(a));
    const cpu_ops_kern *k = cpu_ops_kern_of(be, a->dtype);
    const int64_t per = rows_per_block(a->c), of_image = blocks_in(a->hw, per), blocks = a->mb * of_image;
    const rn_dtype t = a->dtype;
    const int nt = cpu_ops_threads(be, (int64_t)a->mb * a->hw * a->c);
#pragma omp parallel for schedule(static) num_threads(nt) if (nt > 1)
    for (int64_t b = 0; b < blocks; b++) {
        const int64_t m = b / of_image, row = b % of_image * per, o = (m * a->hw + row) * a->c;
        k->scale_fwd(at_most(a->hw - row, per), a->c, cpu_ops_at(a->x, t, o), cpu_ops_at(a->s, t, m * a->c),
                     a->res ? cpu_ops_at(a->res, t, o) : NULL, cpu_ops_to(a->y, t, o), a->relu);
    }
    return RN_OK;
}

/* An image is one thread's: its factors' gradients are summed in the order of its pixels. */
int cpu_scale_bwd(struct rn_backend *be, const rn_op_scale_bwd *a, void *stream)
{
    (void)stream;
    RN_TRY(rn_op_check_scale_bwd(a));
    const cpu_ops_kern *k = cpu_ops_kern_of(be, a->dtype);
    const int64_t image = (int64_t)a->hw * a->c;
    const rn_dtype t = a->dtype;
    const int nt = cpu_ops_threads(be, a->mb * image);
#pragma omp parallel for schedule(static) num_threads(nt) if (nt > 1)
    for (int64_t m = 0; m < a->mb; m++) {
        const cpu_scale_grad p = {.x = cpu_ops_at(a->x, t, m * image),
                                  .s = cpu_ops_at(a->s, t, m * a->c),
                                  .y = a->relu ? cpu_ops_at(a->y, t, m * image) : NULL,
                                  .dy = cpu_ops_at(a->dy, t, m * image),
                                  .dx = a->dx ? cpu_ops_to(a->dx, t, m * image) : NULL,
                                  .ds = a->ds ? cpu_ops_to(a->ds, t, m * a->c) : NULL,
                                  .dres = a->dres ? cpu_ops_to(a->dres, t, m * image) : NULL,
                                  .dx_add = a->dx_beta,
                                  .ds_add = a->ds_beta,
                                  .dres_add = a->dres_beta};
        k->scale_grad(a->hw, a->c, &p);
    }
    return RN_OK;
}

/* Blocks of rows, each thread with room of its own. */
static int lrn(struct rn_backend *be, rn_dtype t, int64_t rows, const cpu_lrn *a)
{
    const cpu_ops_kern *k = cpu_ops_kern_of(be, t);
    const int64_t per = rows_per_block(8 * (int64_t)a->c), blocks = blocks_in(rows, per);
    const int nt = cpu_ops_threads(be, rows * a->c * 4);
    const size_t each = cpu_lrn_room(a->c, a->size);
    float *room = rn_cpu_backend_scratch(be, (size_t)nt * each * sizeof *room);
    if (!room)
        return rn_fail(RN_E_NOMEM, "lrn: no memory for rows of %d channels", a->c);
#pragma omp parallel for schedule(static) num_threads(nt) if (nt > 1)
    for (int64_t b = 0; b < blocks; b++)
        k->lrn(a, b * per, at_most(rows, (b + 1) * per), room + (size_t)omp_get_thread_num() * each);
    return RN_OK;
}

int cpu_lrn_fwd(struct rn_backend *be, const rn_op_lrn *a, void *stream)
{
    (void)stream;
    RN_TRY(rn_op_check_lrn(a));
    const cpu_lrn p = {a->c, a->size, a->alpha, a->beta, a->k, .x = a->x, .to = a->y};
    return lrn(be, a->dtype, a->rows, &p);
}

int cpu_lrn_bwd(struct rn_backend *be, const rn_op_lrn_bwd *a, void *stream)
{
    (void)stream;
    RN_TRY(rn_op_check_lrn_bwd(a));
    const cpu_lrn p = {a->c, a->size, a->alpha, a->beta, a->k, .x = a->x, .dy = a->dy, .to = a->dx, .add = a->dx_beta};
    return lrn(be, a->dtype, a->rows, &p);
}

int cpu_part(struct rn_backend *be, const rn_op_part *a, void *stream)
{
    (void)stream;
    RN_TRY(rn_op_check_part(a));
    const cpu_ops_kern *k = cpu_ops_kern_of(be, a->dtype);
    const int64_t per = rows_per_block(a->clear ? a->dst_c : a->c), blocks = blocks_in(a->rows, per);
    const int nt = cpu_ops_threads(be, a->rows * a->c);
#pragma omp parallel for schedule(static) num_threads(nt) if (nt > 1)
    for (int64_t b = 0; b < blocks; b++)
        k->part(a, b * per, at_most(a->rows, (b + 1) * per));
    return RN_OK;
}
