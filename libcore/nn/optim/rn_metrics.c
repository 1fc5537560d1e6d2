/* SPDX-License-Identifier: MIT */
#include "nn/optim/rn_metrics.h"

#include <math.h>

void rn_metrics_add(rn_metrics *m, const rn_net_result *batch)
{
    m->n += batch->n;
    m->top1 += batch->top1;
    m->top5 += batch->top5;
    m->loss_sum += batch->loss_sum;
}

static double standard_error(double p, double n)
{
    return sqrt(p * (1 - p) / n);
}

rn_summary rn_metrics_summary(const rn_metrics *m)
{
    double n = m->n > 0 ? (double)m->n : NAN;
    double p1 = (double)m->top1 / n, p5 = (double)m->top5 / n;
    const double loss = m->loss_sum / n;
    return (rn_summary){.n = m->n,
                        .loss = isnan(loss) ? NAN : loss, /* printed without the sign that a NaN may have */
                        .top1 = 100 * p1,
                        .top5 = 100 * p5,
                        .se_top1 = 100 * standard_error(p1, n),
                        .se_top5 = 100 * standard_error(p5, n)};
}
