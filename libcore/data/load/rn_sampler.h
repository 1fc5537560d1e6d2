/* SPDX-License-Identifier: MIT */
/*
 * The order in which an epoch visits the records of a store: a function of (sampler, epoch, n) alone, filled in whole,
 * so that any place of any epoch can be gone to. Every record comes exactly once an epoch. Thread-safe.
 */
#ifndef RN_SAMPLER_H
#define RN_SAMPLER_H

#include <stdint.h>

enum rn_order {
    RN_ORDER_RANDOM = 0, /* a fresh permutation of all records every epoch (Fisher-Yates) */
    RN_ORDER_PAGE_LOCAL, /* blocks of neighbours, see below */
    RN_ORDER_KEYS        /* key order, every epoch the same: evaluation */
};

/*
 * RN_ORDER_PAGE_LOCAL is for sets larger than memory on disks that seek slowly. The records are cut into blocks of `block`
 * neighbours in key order (so, as they lie in the file), the blocks are shuffled, and every `window` blocks that follow one
 * another are shuffled together, record by record. Where a cut falls is drawn anew each epoch. What is read in a while thus
 * lies in `window` stretches of the file: seeks are few and short, and what the kernel reads ahead of one record is wanted
 * soon. (Each record is still asked for by itself: this is no sequential read.)
 *
 * What it gives up: records of one block never come more than window * block places apart, so the order is one of far fewer
 * than n! permutations, and a batch is drawn from window * block records, not from all. When neighbours in the file are
 * alike (a set packed without --shuffle is sorted by class), batches are, too: pack with --shuffle. With it the
 * batches of an epoch are a random sample as before; only the company that a record keeps is narrower from epoch to epoch.
 */
typedef struct rn_sampler {
    enum rn_order order;
    uint64_t seed;
    uint32_t block;  /* records in a block; 0: RN_SAMPLER_BLOCK */
    uint32_t window; /* blocks shuffled together; 0: RN_SAMPLER_WINDOW */
} rn_sampler;

enum { RN_SAMPLER_BLOCK = 256, RN_SAMPLER_WINDOW = 32 };

extern const char *const rn_order_names[]; /* "random", "page-local", "keys", NULL: by enum rn_order */

/* Fills order[0..n-1] with the numbers of the records in the order of `epoch`. n may be 0. Allocates nothing. */
void rn_sampler_order(const rn_sampler *s, uint32_t epoch, uint32_t n, uint32_t *order);

#endif
