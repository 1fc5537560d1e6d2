/* SPDX-License-Identifier: MIT */
#include <math.h>

#include "base/rn_error.h"
#include "kernels/ref/ref_ops.h"
#include "op/rn_op_check.h"
#include "op/rn_op_now.h"

/* log softmax(z / t)_j; a NaN anywhere in the row makes it NaN. */
static double log_share(const float *z, int k, double t, int j)
{
    double max = z[0], sum = 0;
    for (int i = 1; i < k; i++)
        max = z[i] > max || isnan(z[i]) ? z[i] : max;
    for (int i = 0; i < k; i++)
        sum += exp((z[i] - max) / t);
    return (z[j] - max) / t - log(sum);
}

static void distill_row(const rn_op_distill *a, int row)
{
    const int64_t at = (int64_t)row * a->k;
    const double t = (double)a->temperature;
    double kl = 0;
    for (int j = 0; j < a->k; j++) {
        const double p = log_share(a->logits + at, a->k, t, j), r = log_share(a->teacher + at, a->k, t, j);
        if (!(exp(r) <= 0)) /* a share of 0 adds nothing; a NaN goes through */
            kl += exp(r) * (r - p);
        if (a->dlogits)
            a->dlogits[at + j] =
                (float)(a->hard * a->dlogits[at + j] + a->soft * t * (exp(p) - exp(r)) * a->grad_scale);
    }
    a->loss[row] = (float)(a->hard * a->loss[row] + a->soft * t * t * kl);
}

int ref_distill(struct rn_backend *be, const rn_op_distill *a, void *stream)
{
    (void)be, (void)stream;
    RN_TRY(rn_op_check_distill(a));
    const rn_op_distill now = rn_op_distill_of_now(a);
    for (int row = 0; row < a->n; row++)
        distill_row(&now, row);
    return RN_OK;
}
