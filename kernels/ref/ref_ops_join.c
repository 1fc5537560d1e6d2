/* SPDX-License-Identifier: MIT */
/* What joins values: a bias to rows, two values element by element. */
#include <math.h>

#include "base/rn_error.h"
#include "kernels/ref/ref_ops.h"
#include "op/rn_op_check.h"

int ref_bias_fwd(struct rn_backend *be, const rn_op_bias *a, void *stream)
{
    (void)be, (void)stream;
    RN_TRY(rn_op_check_bias(a));
    for (int64_t r = 0; r < a->rows; r++)
        for (int c = 0; c < a->c; c++) {
            const int64_t i = r * a->c + c;
            const double v = ref_get(a->dtype, a->x, i) + a->b[c];
            ref_put(a->dtype, a->y, i, a->relu && v < 0 ? 0 : v);
        }
    return RN_OK;
}

int ref_bias_bwd(struct rn_backend *be, const rn_op_bias_bwd *a, void *stream)
{
    (void)be, (void)stream;
    RN_TRY(rn_op_check_bias_bwd(a));
    for (int c = 0; c < a->c; c++) {
        double sum = 0;
        for (int64_t r = 0; r < a->rows; r++) {
            const int64_t i = r * a->c + c;
            const double g = !a->relu || ref_get(a->dtype, a->y, i) > 0 ? ref_get(a->dtype, a->dy, i) : 0;
            sum += g;
            if (a->dx)
                ref_put(a->dtype, a->dx, i, g);
        }
        a->db[c] = (float)sum;
    }
    return RN_OK;
}

static double joined(const rn_op_eltwise *a, double p, double q)
{
    switch (a->kind) {
    case RN_ELTWISE_SUM:
        return a->ca * p + a->cb * q;
    case RN_ELTWISE_PRODUCT:
        return p * q;
    default:
        return isnan(p) || p > q ? p : q; /* a NaN q is taken as not smaller */
    }
}

int ref_eltwise_fwd(struct rn_backend *be, const rn_op_eltwise *a, void *stream)
{
    (void)be, (void)stream;
    RN_TRY(rn_op_check_eltwise(a));
    for (int64_t i = 0; i < a->n; i++) {
        const double v = joined(a, ref_get(a->dtype, a->a, i), ref_get(a->dtype, a->b, i));
        ref_put(a->dtype, a->y, i, a->relu && v < 0 ? 0 : v);
    }
    return RN_OK;
}

/* What a[i] and b[i] get of g, the gradient before the ReLU. */
static void split(const rn_op_eltwise_bwd *a, int64_t i, double g, double *da, double *db)
{
    *da = a->ca * g, *db = a->cb * g;
    if (a->kind == RN_ELTWISE_SUM)
        return;
    const double p = ref_get(a->dtype, a->a, i), q = ref_get(a->dtype, a->b, i);
    const bool first = isnan(p) || p > q;
    if (a->kind == RN_ELTWISE_PRODUCT)
        *da = g * q, *db = g * p;
    else
        *da = first ? g : 0, *db = first ? 0 : g;
}

int ref_eltwise_bwd(struct rn_backend *be, const rn_op_eltwise_bwd *a, void *stream)
{
    (void)be, (void)stream;
    RN_TRY(rn_op_check_eltwise_bwd(a));
    for (int64_t i = 0; i < a->n; i++) {
        const double g = !a->relu || ref_get(a->dtype, a->y, i) > 0 ? ref_get(a->dtype, a->dy, i)
                                                                    : 0; /* before da or db may overwrite it */
        double to_a, to_b;
        split(a, i, g, &to_a, &to_b);
        if (a->da)
            ref_put(a->dtype, a->da, i, a->da_beta ? ref_get(a->dtype, a->da, i) + to_a : to_a);
        if (a->db)
            ref_put(a->dtype, a->db, i, a->db_beta ? ref_get(a->dtype, a->db, i) + to_b : to_b);
    }
    return RN_OK;
}
