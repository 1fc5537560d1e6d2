/* SPDX-License-Identifier: MIT */
/* Batch normalisation, one channel at a time; the mean first, then the squares around it. */
#include <math.h>

#include "base/rn_error.h"
#include "kernels/ref/ref_ops.h"
#include "op/rn_bn_sync.h"
#include "op/rn_op_check.h"

/* *n: rows that they are of. One exchange a channel: this is the reference. */
static int moments(const rn_op_bn_fwd *a, const float *x, double *mean, double *var, double *n)
{
    double sum = 0, sq = 0;
    for (int64_t r = 0; r < a->rows; r++)
        sum += x[r * a->c];
    *mean = sum / (double)a->rows;
    for (int64_t r = 0; r < a->rows; r++)
        sq += (x[r * a->c] - *mean) * (x[r * a->c] - *mean);
    if (a->comm)
        RN_TRY(rn_bn_sync_moments(a->comm, a->rows, 1, mean, &sq));
    *n = (double)a->rows * rn_comm_size(a->comm);
    *var = sq / *n;
    return RN_OK;
}

static int bn_fwd_channel(const rn_op_bn_fwd *a, int ch)
{
    const float *x = (const float *)a->x + ch, *res = a->res ? (const float *)a->res + ch : NULL;
    float *y = (float *)a->y + ch;
    double mean = a->running_mean[ch], var = a->running_var[ch], n = 0;
    if (a->train)
        RN_TRY(moments(a, x, &mean, &var, &n));
    const double inv_std = 1 / sqrt(var + a->eps);
    for (int64_t r = 0; r < a->rows; r++) {
        double v = a->gamma[ch] * ((x[r * a->c] - mean) * inv_std) + a->beta[ch];
        if (res)
            v += res[r * a->c];
        y[r * a->c] = (float)(a->relu && v < 0 ? 0 : v);
    }
    if (!a->train)
        return RN_OK;
    const double unbiased = n > 1 ? var * n / (n - 1) : var;
    a->mean[ch] = (float)mean;
    a->inv_std[ch] = (float)inv_std;
    a->running_mean[ch] = (float)(a->running_mean[ch] + a->momentum * (mean - a->running_mean[ch]));
    a->running_var[ch] = (float)(a->running_var[ch] + a->momentum * (unbiased - a->running_var[ch]));
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

static int bn_bwd_channel(const rn_op_bn_bwd *a, int ch)
{
    const float *x = (const float *)a->x + ch, *dy = (const float *)a->dy + ch;
    const float *y = a->relu ? (const float *)a->y + ch : NULL;
    float *dx = (float *)a->dx + ch, *dres = a->dres ? (float *)a->dres + ch : NULL;
    const double mean = a->mean[ch], inv_std = a->inv_std[ch], n = (double)a->rows * rn_comm_size(a->comm);
    const int64_t c = a->c;
    double dbeta = 0, dgamma = 0;
    for (int64_t r = 0; r < a->rows; r++) {
        const double g = !y || y[r * c] > 0 ? dy[r * c] : 0;
        dbeta += g;
        dgamma += g * ((x[r * c] - mean) * inv_std);
    }
    a->dgamma[ch] = (float)dgamma;
    a->dbeta[ch] = (float)dbeta;
    if (a->comm)
        RN_TRY(rn_bn_sync_sums(a->comm, 1, &dgamma, &dbeta));
    for (int64_t r = 0; r < a->rows; r++) {
        const double g = !y || y[r * c] > 0 ? dy[r * c] : 0; /* before dx or dres may overwrite dy */
        const double xhat = (x[r * c] - mean) * inv_std;
        const double d = a->gamma[ch] * inv_std * (g - dbeta / n - xhat * dgamma / n);
        dx[r * c] = (float)(a->dx_beta ? dx[r * c] + d : d);
        if (dres)
            dres[r * c] = (float)(a->dres_beta ? dres[r * c] + g : g);
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
