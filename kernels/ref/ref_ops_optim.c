/* SPDX-License-Identifier: MIT */
/* What an optimizer does to all of a net's parameters at once. */
#include "base/rn_error.h"
#include "kernels/ref/ref_ops.h"
#include "op/rn_op_check.h"

int ref_sgd(struct rn_backend *be, const rn_op_sgd *a, void *stream)
{
    (void)be, (void)stream;
    RN_TRY(rn_op_check_sgd(a));
    for (int64_t i = 0; i < a->n; i++) {
        const double d = (double)a->g[i] * a->grad_scale + (double)a->wd * a->w[i];
        const double old = (double)a->mu * a->v[i], v = old + (a->caffe ? a->lr * d : d);
        const double u = !a->nesterov ? v : a->caffe ? (1 + (double)a->mu) * v - old : d + a->mu * v;
        a->v[i] = (float)v;
        a->w[i] = (float)(a->w[i] - (a->caffe ? u : a->lr * u));
    }
    return RN_OK;
}

int ref_axpby(struct rn_backend *be, const rn_op_axpby *a, void *stream)
{
    (void)be, (void)stream;
    RN_TRY(rn_op_check_axpby(a));
    for (int64_t i = 0; i < a->n; i++) {
        const double ax = (double)a->a * a->x[i];
        a->y[i] = (float)(a->b == 0 ? ax : ax + (double)a->b * a->y[i]);
    }
    return RN_OK;
}

int ref_sumsq(struct rn_backend *be, const rn_op_sumsq *a, void *stream)
{
    (void)be, (void)stream;
    RN_TRY(rn_op_check_sumsq(a));
    double sum = 0;
    for (int64_t i = 0; i < a->n; i++)
        sum += (double)a->x[i] * a->x[i];
    *a->sum = sum;
    return RN_OK;
}
