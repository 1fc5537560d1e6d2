/* SPDX-License-Identifier: MIT */
/*
 * Are products of bf16 pairs (vdpbf16ps) worth having? The instruction does twice the work of an f32 multiply-add, but
 * CPUs differ in how often they start one: as often (AMD since Zen 4: twice the rate), or a quarter as often (Intel's
 * Sapphire and Emerald Rapids: half the rate, and widening to f32 is the faster way).
 */
#include <immintrin.h>

#include "base/rn_io.h"
#include "kernels/cpu/cpu_backend.h"

#define CHAINS  12 /* enough for two units of latency 5 */
#define STEPS   400
#define WINDOWS 9 /* of some microseconds: the quietest counts */

/* Seconds for STEPS of CHAINS vectors. `pairs` is a constant where this is called. */
static inline __attribute__((always_inline)) double window(const bool pairs, float *sink)
{
    __m512 s[CHAINS];
    const __m512 x = _mm512_set1_ps(*sink);
    const double start = rn_now();

#pragma GCC unroll 12
    for (int i = 0; i < CHAINS; i++)
        s[i] = x;
    for (int n = 0; n < STEPS; n++) {
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++)
            s[i] = pairs ? _mm512_dpbf16_ps(s[i], (__m512bh)x, (__m512bh)x) : _mm512_fmadd_ps(x, x, s[i]);
    }
#pragma GCC unroll 12
    for (int i = 1; i < CHAINS; i++)
        s[0] = _mm512_add_ps(s[0], s[i]);
    *sink = _mm512_cvtss_f32(s[0]) > 0 ? 0 : 1;
    return rn_now() - start;
}

double rn_cpu_pairs_rate(void)
{
    double one = 1, two = 1;
    float sink = 0;

    for (int i = 0; i < WINDOWS; i++) {
        const double f32 = window(false, &sink), pairs = window(true, &sink);
        one = f32 < one ? f32 : one;
        two = pairs < two ? pairs : two;
    }
    return 2 * one / two;
}
