/* SPDX-License-Identifier: MIT */
#include "data/rn_sampler.h"

#include "base/rn_rng.h"

void rn_sampler_order(uint64_t seed, uint32_t epoch, bool shuffle, uint32_t n, uint32_t *order)
{
    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    if (!shuffle)
        return;
    rn_rng r;
    rn_rng_seed(&r, seed, RN_STREAM_SHUFFLE, epoch, 0);
    rn_rng_shuffle_u32(&r, order, n);
}
