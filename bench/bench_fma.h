/* SPDX-License-Identifier: MIT */
/* The FMA loop, for each instruction set: the including file defines VL, vec, v_set1(x), v_fma(a, b, c), v_first(v) and
 * NAME; PER, if there is more than one term to a lane. 12 chains: enough for two units of latency 4 to 5 and for 16 registers. */
#include "bench.h"

#define CHAINS 12
#ifndef PER
#define PER 1
#endif

double NAME(long iterations, float *sink)
{
    vec s[CHAINS], x = v_set1(0.999f), y = v_set1(0.001f);
    float total = 0;

#pragma GCC unroll 12
    for (int i = 0; i < CHAINS; i++)
        s[i] = v_set1((float)i);
    for (long n = 0; n < iterations; n++) {
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++)
            s[i] = v_fma(s[i], x, y);
    }
#pragma GCC unroll 12
    for (int i = 0; i < CHAINS; i++)
        total += v_first(s[i]);
    *sink = total;
    return 2.0 * PER * VL * CHAINS * (double)iterations;
}
