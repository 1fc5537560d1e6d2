/* SPDX-License-Identifier: MIT */
/* Over channels: a factor each, local response normalisation, parts of them. */
#include <math.h>

#include "base/rn_error.h"
#include "kernels/ref/ref_ops.h"
#include "op/rn_op_check.h"

int ref_scale_fwd(struct rn_backend *be, const rn_op_scale *a, void *stream)
{
    (void)be, (void)stream;
    RN_TRY(rn_op_check_scale(a));
    const rn_dtype t = a->dtype;
    for (int64_t row = 0; row < (int64_t)a->mb * a->hw; row++)
        for (int c = 0; c < a->c; c++) {
            const int64_t i = row * a->c + c;
            const double s = ref_get(t, a->s, row / a->hw * a->c + c);
            const double v = ref_get(t, a->x, i) * s + (a->res ? ref_get(t, a->res, i) : 0);
            ref_put(t, a->y, i, a->relu && v < 0 ? 0 : v);
        }
    return RN_OK;
}

/* One channel of one image. */
static void scale_bwd_channel(const rn_op_scale_bwd *a, int64_t image, int c)
{
    const rn_dtype t = a->dtype;
    const int64_t at = image * a->c + c;
    const double s = ref_get(t, a->s, at);
    double sum = 0;
    for (int p = 0; p < a->hw; p++) {
        const int64_t i = (image * a->hw + p) * a->c + c;
        /* before dx or dres may overwrite dy */
        const double g = !a->relu || ref_get(t, a->y, i) > 0 ? ref_get(t, a->dy, i) : 0;
        sum += g * ref_get(t, a->x, i);
        if (a->dx)
            ref_put(t, a->dx, i, a->dx_beta ? ref_get(t, a->dx, i) + g * s : g * s);
        if (a->dres)
            ref_put(t, a->dres, i, a->dres_beta ? ref_get(t, a->dres, i) + g : g);
    }
    if (a->ds)
        ref_put(t, a->ds, at, a->ds_beta ? ref_get(t, a->ds, at) + sum : sum);
}

int ref_scale_bwd(struct rn_backend *be, const rn_op_scale_bwd *a, void *stream)
{
    (void)be, (void)stream;
    RN_TRY(rn_op_check_scale_bwd(a));
    for (int64_t image = 0; image < a->mb; image++)
        for (int c = 0; c < a->c; c++)
            scale_bwd_channel(a, image, c);
    return RN_OK;
}

/* s of the channel that is element i. */
static double lrn_base(const rn_op_lrn *a, int64_t i)
{
    const int64_t row = i / a->c * a->c;
    double sum = 0;
    for (int64_t j = i - a->size / 2; j <= i + (a->size - 1) / 2; j++)
        if (j >= row && j < row + a->c)
            sum += ref_get(a->dtype, a->x, j) * ref_get(a->dtype, a->x, j);
    return a->k + (double)a->alpha / a->size * sum;
}

int ref_lrn_fwd(struct rn_backend *be, const rn_op_lrn *a, void *stream)
{
    (void)be, (void)stream;
    RN_TRY(rn_op_check_lrn(a));
    for (int64_t i = 0; i < a->rows * a->c; i++)
        ref_put(a->dtype, a->y, i, ref_get(a->dtype, a->x, i) * pow(lrn_base(a, i), -(double)a->beta));
    return RN_OK;
}

int ref_lrn_bwd(struct rn_backend *be, const rn_op_lrn_bwd *a, void *stream)
{
    (void)be, (void)stream;
    RN_TRY(rn_op_check_lrn_bwd(a));
    const rn_dtype t = a->dtype;
    const rn_op_lrn f = {t, a->rows, a->c, a->size, a->alpha, a->beta, a->k, a->x, NULL};
    const double beta = a->beta, back = 2 * (double)a->alpha * beta / a->size;
    for (int64_t i = 0; i < a->rows * a->c; i++) {
        const int64_t row = i / a->c * a->c;
        double sum = 0;
        for (int64_t j = i - (a->size - 1) / 2; j <= i + a->size / 2; j++)
            if (j >= row && j < row + a->c)
                sum += ref_get(t, a->dy, j) * ref_get(t, a->x, j) * pow(lrn_base(&f, j), -beta - 1);
        const double d = ref_get(t, a->dy, i) * pow(lrn_base(&f, i), -beta) - back * ref_get(t, a->x, i) * sum;
        ref_put(t, a->dx, i, a->dx_beta ? ref_get(t, a->dx, i) + d : d);
    }
    return RN_OK;
}

int ref_part(struct rn_backend *be, const rn_op_part *a, void *stream)
{
    (void)be, (void)stream;
    RN_TRY(rn_op_check_part(a));
    for (int64_t r = 0; r < a->rows; r++) {
        const int64_t from = r * a->src_c + a->src_at, to = r * a->dst_c + a->dst_at;
        for (int64_t i = r * a->dst_c; a->clear && i < (r + 1) * a->dst_c; i++)
            ref_put(a->dtype, a->dst, i, 0);
        for (int i = 0; i < a->c; i++) {
            const double v = ref_get(a->dtype, a->src, from + i);
            ref_put(a->dtype, a->dst, to + i, a->beta ? ref_get(a->dtype, a->dst, to + i) + v : v);
        }
    }
    return RN_OK;
}
