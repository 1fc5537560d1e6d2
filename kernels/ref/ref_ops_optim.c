/* SPDX-License-Identifier: MIT */
/* What an optimizer does to all of a net's parameters at once. */
#include <math.h>

#include "base/rn_error.h"
#include "kernels/ref/ref_ops.h"
#include "op/rn_op_check.h"
#include "op/rn_op_now.h"

int ref_sgd(struct rn_backend *be, const rn_op_sgd *a, void *stream)
{
    (void)be, (void)stream;
    rn_op_sgd now;
    RN_TRY(rn_op_check_sgd(a));
    if (!rn_op_sgd_of_now(a, &now))
        return RN_OK;
    const double lr = now.lr, mu = now.mu, wd = now.wd, scale = now.grad_scale;
    for (int64_t i = 0; i < a->n; i++) {
        const double d = a->g[i] * scale + wd * a->w[i];
        const double old = mu * a->v[i], v = old + (a->caffe ? lr * d : d);
        const double u = !a->nesterov ? v : a->caffe ? (1 + mu) * v - old : d + mu * v;
        a->v[i] = (float)v;
        a->w[i] = (float)(a->w[i] - (a->caffe ? u : lr * u));
    }
    return RN_OK;
}

int ref_axpby(struct rn_backend *be, const rn_op_axpby *a, void *stream)
{
    (void)be, (void)stream;
    rn_op_axpby now;
    RN_TRY(rn_op_check_axpby(a));
    if (!rn_op_axpby_of_now(a, &now))
        return RN_OK;
    for (int64_t i = 0; i < a->n; i++) {
        const double ax = (double)now.a * a->x[i];
        a->y[i] = (float)(now.b == 0 ? ax : ax + (double)now.b * a->y[i]);
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

int ref_clip(struct rn_backend *be, const rn_op_clip *a, void *stream)
{
    (void)be, (void)stream;
    RN_TRY(rn_op_check_clip(a));
    const rn_op_clip now = rn_op_clip_of_now(a);
    const double norm = sqrt(*a->sumsq) * now.scale * now.times;
    double by = 1;
    bool stop = a->before && (!isfinite(*a->before) || isnan(*a->out));
    for (int i = 0; i < a->n; i++)
        stop = stop || !isfinite(a->loss[i]);
    if (a->limit > 0 && !a->caffe)
        by = a->limit / (norm + 1e-6) < 1 ? a->limit / (norm + 1e-6) : 1;
    if (a->limit > 0 && a->caffe && norm > a->limit)
        by = a->limit / norm;
    *a->out = rn_op_clip_result(a, stop, (float)(now.scale * by));
    return RN_OK;
}
