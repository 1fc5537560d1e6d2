/* SPDX-License-Identifier: MIT */
/* Element by element: ReLU, addition, pixels to numbers. */
#include <math.h>

#include "base/rn_error.h"
#include "base/rn_origin.h"
#include "base/rn_rng.h"
#include "kernels/ref/ref_ops.h"
#include "op/rn_op_check.h"
#include "op/rn_op_now.h"

/* What the mean image has for channel c of pixel row r. */
static double mean_at(const rn_op_normalize *a, int64_t r, int c)
{
    const int64_t pixel = r % ((int64_t)a->h * a->w), y = pixel / a->w, x = pixel % a->w;
    const rn_origin *win = &a->windows[r / ((int64_t)a->h * a->w)];
    const int64_t from_left = win->mirror ? a->w - 1 - x : x;
    return (double)a->image[((y + win->y) * a->image_w + from_left + win->x) * a->c + c];
}

int ref_normalize(struct rn_backend *be, const rn_op_normalize *a, void *stream)
{
    (void)be, (void)stream;
    RN_TRY(rn_op_check_normalize(a));
    for (int64_t r = 0; r < a->rows; r++)
        for (int c = 0; c < a->c; c++) {
            const int64_t i = r * a->c + c;
            ref_put(a->dtype, a->dst, i,
                    a->image ? (a->src[i] - mean_at(a, r, c)) * a->mul[c] : (double)a->src[i] * a->mul[c] + a->add[c]);
        }
    return RN_OK;
}

int ref_relu_fwd(struct rn_backend *be, const rn_op_relu *a, void *stream)
{
    (void)be, (void)stream;
    RN_TRY(rn_op_check_relu(a));
    for (int64_t i = 0; i < a->n; i++) {
        const double x = ref_get(a->dtype, a->x, i);
        ref_put(a->dtype, a->y, i, x < 0 ? 0 : x); /* this way round a NaN stays one */
    }
    return RN_OK;
}

int ref_relu_bwd(struct rn_backend *be, const rn_op_relu_bwd *a, void *stream)
{
    (void)be, (void)stream;
    RN_TRY(rn_op_check_relu_bwd(a));
    for (int64_t i = 0; i < a->n; i++)
        ref_put(a->dtype, a->dx, i, ref_get(a->dtype, a->y, i) > 0 ? ref_get(a->dtype, a->dy, i) : 0);
    return RN_OK;
}

int ref_add(struct rn_backend *be, const rn_op_add *a, void *stream)
{
    (void)be, (void)stream;
    RN_TRY(rn_op_check_add(a));
    for (int64_t i = 0; i < a->n; i++)
        ref_put(a->dtype, a->y, i, ref_get(a->dtype, a->a, i) + ref_get(a->dtype, a->b, i));
    return RN_OK;
}

int ref_sigmoid_fwd(struct rn_backend *be, const rn_op_sigmoid *a, void *stream)
{
    (void)be, (void)stream;
    RN_TRY(rn_op_check_sigmoid(a));
    for (int64_t i = 0; i < a->n; i++)
        ref_put(a->dtype, a->y, i, 1 / (1 + exp(-ref_get(a->dtype, a->x, i))));
    return RN_OK;
}

int ref_sigmoid_bwd(struct rn_backend *be, const rn_op_sigmoid_bwd *a, void *stream)
{
    (void)be, (void)stream;
    RN_TRY(rn_op_check_sigmoid_bwd(a));
    for (int64_t i = 0; i < a->n; i++) {
        const double y = ref_get(a->dtype, a->y, i);
        ref_put(a->dtype, a->dx, i, ref_get(a->dtype, a->dy, i) * y * (1 - y));
    }
    return RN_OK;
}

int ref_dropout(struct rn_backend *be, const rn_op_dropout *a, void *stream)
{
    (void)be, (void)stream;
    RN_TRY(rn_op_check_dropout(a));
    const rn_op_dropout now = rn_op_dropout_of_now(a);
    rn_rng r;
    rn_rng_seed(&r, now.seed, RN_STREAM_DROPOUT, now.node, now.step);
    for (int64_t i = 0; i < now.first; i++)
        rn_rng_u32(&r);
    const double below = (double)a->p * 0x1p32;
    for (int64_t i = 0; i < a->n; i++) {
        const double m = rn_rng_u32(&r) < below ? 0 : 1 / (1 - (double)a->p);
        ref_put(a->dtype, a->y, i, ref_get(a->dtype, a->x, i) * m);
    }
    return RN_OK;
}

int ref_convert(struct rn_backend *be, const rn_op_convert *a, void *stream)
{
    (void)be, (void)stream;
    RN_TRY(rn_op_check_convert(a));
    for (int64_t i = 0; i < a->n; i++)
        ref_put(a->to, a->dst, i, ref_get(a->from, a->src, i));
    return RN_OK;
}
