/* SPDX-License-Identifier: MIT */
#include "base/rn_rng.h"

#include <math.h>

#define PI 3.14159265358979323846

static void block(const uint32_t ctr[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = ctr[0], c1 = ctr[1], c2 = ctr[2], c3 = ctr[3], k0 = key[0], k1 = key[1];
    for (int i = 0; i < RN_PHILOX_ROUNDS; i++) {
        uint64_t p0 = (uint64_t)RN_PHILOX_M0 * c0, p1 = (uint64_t)RN_PHILOX_M1 * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += RN_PHILOX_W0;
        k1 += RN_PHILOX_W1;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* Counter words: 0 and 1 count blocks, 2 is b, 3 is stream and the low 24 bits of a. The high 8 bits
 * of a stand in the top of word 1, which no stream can count up to: so no two streams ever meet. */
void rn_rng_seed(rn_rng *r, uint64_t seed, enum rn_rng_stream stream, uint32_t a, uint32_t b)
{
    r->key[0] = (uint32_t)seed;
    r->key[1] = (uint32_t)(seed >> 32);
    r->ctr[0] = 0;
    r->ctr[1] = a & 0xFF000000u;
    r->ctr[2] = b;
    r->ctr[3] = (uint32_t)stream << 24 | (a & 0x00FFFFFFu);
    r->have = 0;
}

uint32_t rn_rng_u32(rn_rng *r)
{
    if (r->have == 0) {
        block(r->ctr, r->key, r->buf);
        r->have = 4;
        if (++r->ctr[0] == 0)
            r->ctr[1]++;
    }
    return r->buf[4 - r->have--];
}

uint64_t rn_rng_u64(rn_rng *r)
{
    uint64_t lo = rn_rng_u32(r);
    return (uint64_t)rn_rng_u32(r) << 32 | lo;
}

double rn_rng_unit(rn_rng *r)
{
    return (double)(rn_rng_u64(r) >> 11) * 0x1p-53;
}

double rn_rng_range(rn_rng *r, double lo, double hi)
{
    double v = lo + (hi - lo) * rn_rng_unit(r);
    return v < hi ? v : nextafter(hi, lo); /* the sum may round up to hi */
}

/* Lemire, "Fast Random Integer Generation in an Interval" (2019): a multiplication, and a rejection
 * of the few draws that would make some results likelier than others. */
uint32_t rn_rng_below(rn_rng *r, uint32_t n)
{
    uint64_t m = (uint64_t)rn_rng_u32(r) * n;
    if ((uint32_t)m < n) {
        uint32_t reject = (0u - n) % n; /* 2^32 mod n */
        while ((uint32_t)m < reject)
            m = (uint64_t)rn_rng_u32(r) * n;
    }
    return (uint32_t)(m >> 32);
}

double rn_rng_normal(rn_rng *r)
{
    double u = 1.0 - rn_rng_unit(r); /* (0,1]: the logarithm stays finite */
    double v = rn_rng_unit(r);
    return sqrt(-2.0 * log(u)) * cos(2.0 * PI * v);
}

void rn_rng_shuffle_u32(rn_rng *r, uint32_t *v, uint32_t n)
{
    for (uint32_t i = n; i > 1; i--) {
        uint32_t j = rn_rng_below(r, i);
        uint32_t t = v[i - 1];
        v[i - 1] = v[j];
        v[j] = t;
    }
}
