/* SPDX-License-Identifier: MIT */
/* Finding where numbers stop being finite: after the fact, with a batch that is known to go wrong run once more. */
#ifndef RN_WATCH_H
#define RN_WATCH_H

#include "nn/graph/rn_net.h"

/*
 * While on, a training batch is looked through as it runs (slow: every tensor is copied to the host): all trained
 * parameters, then the output of each node and what it adds to running statistics, the loss, and backwards the gradients
 * of each node. The first that holds a NaN or an infinity
 * makes the batch fail with RN_E_MISMATCH, named: "the output of layer1.0.bn2 is nan (first of 12 among 4096 values)".
 * The running statistics begin at 0 with each batch: a watched net is good for nothing else any more.
 */
void rn_net_watch(rn_net *net, bool on);

/* RN_E_MISMATCH naming the first weight or running statistic that is not finite. */
int rn_net_check_weights(rn_net *net);

#endif
