/* SPDX-License-Identifier: MIT */
#include "data/load/rn_sampler.h"

#include "base/rn_rng.h"

const char *const rn_order_names[] = {"random", "page-local", "keys", 0};

/* The blocks of n records: the first has `first` of them, the others `size`, the last what is left. */
typedef struct blocks {
    uint32_t n, first, size;
} blocks;

static uint32_t count_blocks(const blocks *b)
{
    return 1 + (b->n - b->first) / b->size + ((b->n - b->first) % b->size != 0);
}

static uint32_t begin_of(const blocks *b, uint32_t i)
{
    uint64_t at = i == 0 ? 0 : b->first + (uint64_t)(i - 1) * b->size;
    return at < b->n ? (uint32_t)at : b->n;
}

/*
 * The shuffled blocks' numbers stand in order[0..nblocks-1] and are replaced by their records from the last one on: block k
 * of that row begins at place k or later, since none is empty, so no number is overwritten before its turn.
 */
static void fill_page_local(const rn_sampler *s, uint32_t epoch, uint32_t n, uint32_t *order)
{
    const uint32_t window = s->window ? s->window : RN_SAMPLER_WINDOW;
    blocks b = {.n = n, .size = s->block ? s->block : RN_SAMPLER_BLOCK};
    rn_rng r;
    rn_rng_seed(&r, s->seed, RN_STREAM_SHUFFLE, epoch, RN_ORDER_PAGE_LOCAL);
    b.first = 1 + rn_rng_below(&r, b.size < n ? b.size : n);
    uint32_t nblocks = count_blocks(&b);
    for (uint32_t i = 0; i < nblocks; i++)
        order[i] = i;
    rn_rng_shuffle_u32(&r, order, nblocks);
    for (uint32_t k = nblocks, place = n, window_end = n; k-- > 0;) {
        uint32_t from = begin_of(&b, order[k]);
        for (uint32_t i = begin_of(&b, order[k] + 1); i-- > from;)
            order[--place] = i;
        if (k % window == 0) {
            rn_rng_shuffle_u32(&r, order + place, window_end - place);
            window_end = place;
        }
    }
}

void rn_sampler_order(const rn_sampler *s, uint32_t epoch, uint32_t n, uint32_t *order)
{
    if (s->order == RN_ORDER_PAGE_LOCAL && n > 0) {
        fill_page_local(s, epoch, n, order);
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    if (s->order == RN_ORDER_KEYS)
        return;
    rn_rng r;
    rn_rng_seed(&r, s->seed, RN_STREAM_SHUFFLE, epoch, 0);
    rn_rng_shuffle_u32(&r, order, n);
}
