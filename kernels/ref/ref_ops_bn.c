/* SPDX-License-Identifier: MIT */
/* Batch normalisation, one channel at a time; the mean first, then the squares around it. */
#include <math.h>

#include "base/rn_error.h"
#include "kernels/ref/ref_ops.h"
#include "op/rn_bn_sync.h"
#include "op/rn_op_check.h"
#include "op/rn_op_now.h"

/* *n: rows that they are of. One exchange a channel: this is the reference. */
static int moments(const rn_op_bn_fwd *a, int ch, double *mean, double *var, double *n)
{
    double sum = 0, sq = 0;
    for (int64_t r = 0; r < a->rows; r++)
        sum += ref_get(a->dtype, a->x, r * a->c + ch);
    *mean = sum / (double)a->rows;
    for (int64_t r = 0; r < a->rows; r++) {
        const double d = ref_get(a->dtype, a->x, r * a->c + ch) - *mean;
        sq += d * d;
    }
    if (a->comm)
        RN_TRY(rn_bn_sync_moments(a->comm, a->rows, 1, mean, &sq));
    *n = (double)a->rows * rn_comm_size(a->comm);
    *var = sq / *n;
    return RN_OK;
}

static int bn_fwd_channel(const rn_op_bn_fwd *a, int ch)
{
    double mean = a->running_mean[ch], var = a->running_var[ch], n = 0;
    if (a->train)
        RN_TRY(moments(a, ch, &mean, &var, &n));
    const double inv_std = 1 / sqrt(var + a->eps);
    for (int64_t i = ch; i < a->rows * a->c; i += a->c) {
        double v = a->gamma[ch] * ((ref_get(a->dtype, a->x, i) - mean) * inv_std) + a->beta[ch];
        if (a->res)
            v += ref_get(a->dtype, a->res, i);
        ref_put(a->dtype, a->y, i, a->relu && v < 0 ? 0 : v);
    }
    if (!a->train)
        return RN_OK;
    const double unbiased = n > 1 ? var * n / (n - 1) : var;
    const float momentum = rn_op_momentum_of_now(a->momentum_now, a->momentum);
    a->mean[ch] = (float)mean;
    a->inv_std[ch] = (float)inv_std;
    a->running_mean[ch] = (float)(a->running_mean[ch] + momentum * (mean - a->running_mean[ch]));
    a->running_var[ch] = (float)(a->running_var[ch] + momentum * (unbiased - a->running_var[ch]));
    return RN_OK;
}

int ref_bn_fwd(struct rn_backend *be, const rn_op_bn_fwd *a, void *stream)
{
    (void)be, (void)stream;
    RN_TRY(rn_op_check_bn_fwd(a));
    for (int ch = 0; ch < a->c; ch++)
        RN_TRY(bn_fwd_channel(a, ch));
    return RN_OK;
}

/* g of element i: dy where the ReLU let it through. */
static double gated(const rn_op_bn_bwd *a, int64_t i)
{
    return !a->relu || ref_get(a->dtype, a->y, i) > 0 ? ref_get(a->dtype, a->dy, i) : 0;
}

static int bn_bwd_channel(const rn_op_bn_bwd *a, int ch)
{
    const double mean = a->mean[ch], inv_std = a->inv_std[ch], n = (double)a->rows * rn_comm_size(a->comm);
    double dbeta = 0, dgamma = 0;
    for (int64_t i = ch; i < a->rows * a->c; i += a->c) {
        const double g = gated(a, i);
        dbeta += g;
        dgamma += g * ((ref_get(a->dtype, a->x, i) - mean) * inv_std);
    }
    a->dgamma[ch] = (float)dgamma;
    a->dbeta[ch] = (float)dbeta;
    if (a->comm)
        RN_TRY(rn_bn_sync_sums(a->comm, 1, &dgamma, &dbeta));
    for (int64_t i = ch; i < a->rows * a->c; i += a->c) {
        const double g = gated(a, i); /* before dx or dres may overwrite dy */
        const double xhat = (ref_get(a->dtype, a->x, i) - mean) * inv_std;
        const double d = a->gamma[ch] * inv_std * (g - dbeta / n - xhat * dgamma / n);
        ref_put(a->dtype, a->dx, i, a->dx_beta ? ref_get(a->dtype, a->dx, i) + d : d);
        if (a->dres)
            ref_put(a->dtype, a->dres, i, a->dres_beta ? ref_get(a->dtype, a->dres, i) + g : g);
    }
    return RN_OK;
}

int ref_bn_bwd(struct rn_backend *be, const rn_op_bn_bwd *a, void *stream)
{
    (void)be, (void)stream;
    RN_TRY(rn_op_check_bn_bwd(a));
    for (int ch = 0; ch < a->c; ch++)
        RN_TRY(bn_bwd_channel(a, ch));
    return RN_OK;
}
