/* SPDX-License-Identifier: MIT */
/*
 * One instruction set's conversions of arrays. The including file defines HALF_KERN, the table's name, and may define
 * F16_STEP, the numbers that f16_widen(to, from) and f16_narrow(to, from) do at a time with instructions of their own.
 */
#include "base/rn_half.h"

static void f32_of_bf16(float *restrict to, const uint16_t *restrict from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = rn_f32_of_bf16(from[i]);
}

static void bf16_of_f32(uint16_t *restrict to, const float *restrict from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = rn_bf16_of_f32(from[i]);
}

static void f32_of_f16(float *restrict to, const uint16_t *restrict from, size_t n)
{
    size_t i = 0;
#ifdef F16_STEP
    for (; i + F16_STEP <= n; i += F16_STEP)
        f16_widen(to + i, from + i);
#endif
    for (; i < n; i++)
        to[i] = rn_f32_of_f16(from[i]);
}

static void f16_of_f32(uint16_t *restrict to, const float *restrict from, size_t n)
{
    size_t i = 0;
#ifdef F16_STEP
    for (; i + F16_STEP <= n; i += F16_STEP)
        f16_narrow(to + i, from + i);
#endif
    for (; i < n; i++)
        to[i] = rn_f16_of_f32(from[i]);
}

const rn_half_kern HALF_KERN = {f32_of_bf16, bf16_of_f32, f32_of_f16, f16_of_f32};
