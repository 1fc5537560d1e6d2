/* SPDX-License-Identifier: MIT */
/* Element by element: ReLU, addition, pixels to numbers. */
#include "base/rn_error.h"
#include "kernels/ref/ref_ops.h"
#include "op/rn_op_check.h"

int ref_normalize(struct rn_backend *be, const rn_op_normalize *a, void *stream)
{
    (void)be, (void)stream;
    RN_TRY(rn_op_check_normalize(a));
    float *dst = a->dst;
    for (int64_t r = 0; r < a->rows; r++)
        for (int c = 0; c < a->c; c++) {
            const int64_t i = r * a->c + c;
            dst[i] = (float)((double)a->src[i] * a->mul[c] + a->add[c]);
        }
    return RN_OK;
}

int ref_relu_fwd(struct rn_backend *be, const rn_op_relu *a, void *stream)
{
    (void)be, (void)stream;
    RN_TRY(rn_op_check_relu(a));
    const float *x = a->x;
    float *y = a->y;
    for (int64_t i = 0; i < a->n; i++)
        y[i] = x[i] < 0 ? 0 : x[i]; /* this way round a NaN stays one */
    return RN_OK;
}

int ref_relu_bwd(struct rn_backend *be, const rn_op_relu_bwd *a, void *stream)
{
    (void)be, (void)stream;
    RN_TRY(rn_op_check_relu_bwd(a));
    const float *y = a->y, *dy = a->dy;
    float *dx = a->dx;
    for (int64_t i = 0; i < a->n; i++)
        dx[i] = y[i] > 0 ? dy[i] : 0;
    return RN_OK;
}

int ref_add(struct rn_backend *be, const rn_op_add *a, void *stream)
{
    (void)be, (void)stream;
    RN_TRY(rn_op_check_add(a));
    const float *p = a->a, *q = a->b;
    float *y = a->y;
    for (int64_t i = 0; i < a->n; i++)
        y[i] = p[i] + q[i];
    return RN_OK;
}
