/* SPDX-License-Identifier: MIT */
/*
 * Images of one size in a device's memory, out of which batches are picked there: what travels with a batch is where its pixels
 * are (base/rn_pick.h), some bytes an image.
 */
#ifndef RN_STOCK_H
#define RN_STOCK_H

#include "base/rn_pick.h"
#include "nn/graph/rn_net.h"

typedef struct rn_stock {
    rn_backend *be;
    uint8_t *pixels; /* (count, h, w, c) u8 */
    int count, h, w, c;
    uint8_t fill[4]; /* what holes are painted with, a value a channel */
} rn_stock;

/* Room, not yet filled. RN_E_NOMEM, and what else the backend's alloc says. */
int rn_stock_open(rn_backend *be, int count, int h, int w, int c, rn_stock *out);
int rn_stock_put(const rn_stock *s, const uint8_t *images, int first, int n); /* has read them when it returns */
void rn_stock_close(rn_stock *s);                                             /* accepts a zeroed one */

/*
 * Batches may be picked out of `stock` from now on, which must outlive the net, be on its backend and of its channels: a batch whose
 * `images` are NULL (rn_net_train_batch and those after it) is made of what rn_net_set_picks told last. NULL: no more.
 */
int rn_net_set_stock(rn_net *net, const rn_stock *stock);
/* The next batch: n + 1 picks, a loader's. As the images of a batch, they must stay until its results have been told. */
int rn_net_set_picks(rn_net *net, const rn_pick *picks, int n);

#endif
