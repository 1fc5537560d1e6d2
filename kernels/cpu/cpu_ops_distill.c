/* SPDX-License-Identifier: MIT */
/*
 * Distillation, row by row. The divergence of two nearly equal distributions is a small difference that T^2 makes large
 * again: the exponentials are taken in double. That is 4 k of them a row, next to two whole networks.
 */
#include <math.h>

#include "base/rn_error.h"
#include "kernels/cpu/cpu_ops.h"
#include "op/rn_op_check.h"
#include "op/rn_op_now.h"

typedef struct soft {
    const float *z;
    double max, log_sum, inv_t;
} soft;

static soft soften(const float *z, int k, double inv_t)
{
    soft s = {.z = z, .max = z[0], .inv_t = inv_t};
    bool nan = false;
    for (int j = 0; j < k; j++) {
        nan |= z[j] != z[j];
        s.max = z[j] > s.max ? z[j] : s.max;
    }
    if (nan)
        s.max = NAN;
    double sum = 0;
    for (int j = 0; j < k; j++)
        sum += exp((z[j] - s.max) * inv_t);
    s.log_sum = log(sum);
    return s;
}

static double log_of(const soft *s, int j)
{
    return (s->z[j] - s->max) * s->inv_t - s->log_sum;
}

static void distill_row(const rn_op_distill *a, int row)
{
    const int64_t at = (int64_t)row * a->k;
    const double t = (double)a->temperature, pull = (double)a->soft * t * (double)a->grad_scale;
    const soft p = soften(a->logits + at, a->k, 1 / t), r = soften(a->teacher + at, a->k, 1 / t);
    float *d = a->dlogits ? a->dlogits + at : NULL;
    double kl = 0;
    for (int j = 0; j < a->k; j++) {
        const double log_r = log_of(&r, j), log_p = log_of(&p, j), share = exp(log_r);
        kl += share > 0 || share != share ? share * (log_r - log_p) : 0;
        if (d)
            d[j] = (float)((double)a->hard * d[j] + pull * (exp(log_p) - share));
    }
    a->loss[row] = (float)((double)a->hard * a->loss[row] + (double)a->soft * t * t * kl);
}

int cpu_distill(struct rn_backend *be, const rn_op_distill *a, void *stream)
{
    (void)stream;
    RN_TRY(rn_op_check_distill(a));
    const rn_op_distill now = rn_op_distill_of_now(a);
    const int nt = cpu_ops_threads(be, (int64_t)a->n * a->k * 32);
#pragma omp parallel for schedule(static) num_threads(nt) if (nt > 1)
    for (int row = 0; row < a->n; row++)
        distill_row(&now, row);
    return RN_OK;
}
