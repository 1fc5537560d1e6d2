/* SPDX-License-Identifier: MIT */
/* What a run of batches adds up to. Starts zeroed. */
#ifndef RN_METRICS_H
#define RN_METRICS_H

#include "nn/graph/rn_net.h"

typedef struct rn_metrics {
    int64_t n, top1, top5; /* images; right at the first guess; right among the first five */
    double loss_sum;
} rn_metrics;

/* Per cent, and their standard errors sqrt(p (1 - p) / n), also in per cent. With up to five classes top5 is
 * 100, but for images whose logits hold a NaN: they are never right. NaN throughout when nothing was added. */
typedef struct rn_summary {
    int64_t n;
    double loss, top1, top5, se_top1, se_top5;
} rn_summary;

void rn_metrics_add(rn_metrics *m, const rn_net_result *batch);
rn_summary rn_metrics_summary(const rn_metrics *m);

#endif
