/* SPDX-License-Identifier: MIT */
/*
 * Random numbers that do not depend on who draws them: Philox4x32-10 (Salmon et al., "Parallel
 * Random Numbers: As Easy as 1, 2, 3", SC'11), keyed by (seed, stream) and counted from 0. The
 * augmentation of image i in epoch e is stream(RN_STREAM_AUGMENT, e, i): the same whatever the
 * number of workers, and a resumed run needs no saved state for it.
 */
#ifndef RN_RNG_H
#define RN_RNG_H

#include <stdint.h>

typedef struct rn_rng {
    uint32_t key[2], ctr[4], buf[4];
    int have; /* unread words in buf */
} rn_rng;

enum rn_rng_stream {
    RN_STREAM_INIT = 1,
    RN_STREAM_SHUFFLE = 2,
    RN_STREAM_AUGMENT = 3,
    RN_STREAM_PACK = 4,
    RN_STREAM_TEST = 5,
    RN_STREAM_MIXUP = 6,
    RN_STREAM_DROPOUT = 7,
    RN_STREAM_REPORT = 8
};

/* Key = seed; the counter holds (stream, a, b) above the block number. Two different (stream, a, b)
 * never share a counter block, unless one of them draws 2^56 blocks. */
void rn_rng_seed(rn_rng *r, uint64_t seed, enum rn_rng_stream stream, uint32_t a, uint32_t b);

/* Philox4x32's constants (the paper's table 2): multipliers, and increments of the key; and its rounds. For kernels that
 * draw many blocks of a seeded rn_rng at once: the first block's counter is ctr, the next one's ctr[0] + 1, with a carry
 * into ctr[1]. */
#define RN_PHILOX_M0 0xD2511F53u
#define RN_PHILOX_M1 0xCD9E8D57u
#define RN_PHILOX_W0 0x9E3779B9u
#define RN_PHILOX_W1 0xBB67AE85u
enum { RN_PHILOX_ROUNDS = 10 };

uint32_t rn_rng_u32(rn_rng *r);
uint64_t rn_rng_u64(rn_rng *r);
double rn_rng_unit(rn_rng *r);                               /* [0,1), 53 bits */
double rn_rng_range(rn_rng *r, double lo, double hi);        /* [lo,hi) */
uint32_t rn_rng_below(rn_rng *r, uint32_t n);                /* unbiased 0..n-1; n >= 1 */
double rn_rng_normal(rn_rng *r);                             /* Box-Muller, no cached half */
void rn_rng_shuffle_u32(rn_rng *r, uint32_t *v, uint32_t n); /* Fisher-Yates */

#endif
