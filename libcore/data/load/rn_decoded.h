/* SPDX-License-Identifier: MIT */
/*
 * A set whose images are all decoded at once and kept, wherever the caller keeps them: of one size, in key order, by the loader's
 * own decoders. A loader that is given this (rn_loader_opts.decoded) reads no record any more: its batches are picks (base/rn_pick.h)
 * of these images, with the draws, and so the pixels, that it would have come to itself.
 */
#ifndef RN_DECODED_H
#define RN_DECODED_H

#include <stdint.h>

#include "data/store/rn_store.h"

typedef struct rn_decoded {
    uint32_t count;
    int width, height, channels;
    int32_t *labels; /* (count) */
} rn_decoded;

/* Images first.. of the set, n of them, (n, height, width, channels): to be put away before it returns. RN_E_* ends the decoding. */
typedef int rn_decoded_put(void *with, const uint8_t *images, uint32_t first, int n);

/* Size of the set's first image; the others may have another. */
int rn_decoded_size(rn_store *store, int *width, int *height);

/* Decodes all. RN_E_RANGE, naming it: an image has another size than width x height. Others as the loader's. */
int rn_decoded_open(rn_store *store, int width, int height, int channels, int workers, rn_decoded_put *put, void *with,
                    rn_decoded **out);
void rn_decoded_close(rn_decoded *d); /* accepts NULL */

#endif
