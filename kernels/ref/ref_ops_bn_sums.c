/* SPDX-License-Identifier: MIT */
/* Batch normalisation from sums that convolutions have left: some vectors of c values, plain in every backend on a CPU. */
#include <math.h>

#include "base/rn_error.h"
#include "kernels/ref/ref_ops.h"
#include "op/rn_bn_sync.h"
#include "op/rn_op_check.h"
#include "op/rn_op_now.h"

static void put_affine(const rn_op_bn_stats *a, int ch, double mean, double var)
{
    const double inv_std = 1 / sqrt(var + a->eps), scale = a->gamma[ch] * inv_std;

    a->mean[ch] = (float)mean;
    a->var[ch] = (float)var;
    a->inv_std[ch] = (float)inv_std;
    a->scale[ch] = (float)scale;
    a->shift[ch] =
        (float)(a->beta[ch] - mean * a->scale[ch]); /* the rounded one: x near the mean loses nothing by it */
}

int ref_bn_stats(struct rn_backend *be, const rn_op_bn_stats *a, void *stream)
{
    double *mean = a->room, *m2 = a->room + a->c;

    (void)be, (void)stream;
    RN_TRY(rn_op_check_bn_stats(a));
    for (int ch = 0; ch < a->c && !a->train; ch++)
        put_affine(a, ch, a->running_mean[ch], a->running_var[ch]);
    if (!a->train)
        return RN_OK;
    for (int ch = 0; ch < a->c; ch++) {
        const double off = a->sum[ch] / (double)a->rows, sq = a->sumsq[ch] - a->sum[ch] * off;
        mean[ch] = a->running_mean[ch] + off;
        m2[ch] = sq < 0 ? 0 : sq; /* a NaN stays one */
    }
    if (a->comm)
        RN_TRY(rn_bn_sync_moments(a->comm, a->rows, a->c, mean, m2));
    const double n = (double)a->rows * rn_comm_size(a->comm);
    const float momentum = rn_op_momentum_of_now(a->momentum_now, a->momentum);
    for (int ch = 0; ch < a->c; ch++) {
        const double unbiased = n > 1 ? m2[ch] / (n - 1) : 0;
        put_affine(a, ch, mean[ch], m2[ch] / n);
        a->running_mean[ch] = (float)(a->running_mean[ch] + momentum * (mean[ch] - a->running_mean[ch]));
        a->running_var[ch] = (float)(a->running_var[ch] + momentum * (unbiased - a->running_var[ch]));
    }
    return RN_OK;
}

int ref_bn_grad_stats(struct rn_backend *be, const rn_op_bn_grad_stats *a, void *stream)
{
    double *g = a->room, *gx = a->room + a->c;

    (void)be, (void)stream;
    RN_TRY(rn_op_check_bn_grad_stats(a));
    for (int ch = 0; ch < a->c; ch++) {
        g[ch] = a->sum[ch];
        gx[ch] = a->sumsq[ch];
        a->dbeta[ch] = (float)a->sum[ch];
        a->dgamma[ch] = (float)(gx[ch] * a->inv_std[ch]);
    }
    if (a->comm)
        RN_TRY(rn_bn_sync_sums(a->comm, a->c, g, gx));
    const double n = (double)a->rows * rn_comm_size(a->comm);
    for (int ch = 0; ch < a->c; ch++) {
        const double inv_std = a->inv_std[ch], ka = a->gamma[ch] * inv_std, kb = -ka * inv_std * inv_std * gx[ch] / n;
        a->ka[ch] = (float)ka;
        a->kb[ch] = (float)kb;
        a->kc[ch] = (float)(-ka * g[ch] / n - (double)a->mean[ch] * a->kb[ch]);
    }
    return RN_OK;
}
