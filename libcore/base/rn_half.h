/* SPDX-License-Identifier: MIT */
/*
 * The 16-bit floats: bf16 (8 bits of exponent, 8 of precision: the upper half of an f32) and f16 (IEEE binary16: 5 and
 * 11). Values are held as uint16_t. Narrowing rounds to nearest, ties to even; it overflows to infinity and underflows
 * through the subnormals; a NaN stays one, made quiet, with its sign and the upper bits of its payload. Widening is exact
 * (and makes a NaN of f16 quiet, as F16C does; one of bf16 keeps its bits). Nothing here depends on the state of the
 * floating-point unit but on its rounding to nearest, the default.
 */
#ifndef RN_HALF_H
#define RN_HALF_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/rn_cpu.h"

static inline uint32_t rn_bits_of_f32(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline float rn_f32_of_bits(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static inline float rn_f32_of_bf16(uint16_t h)
{
    return rn_f32_of_bits((uint32_t)h << 16);
}

static inline uint16_t rn_bf16_of_f32(float x)
{
    const uint32_t u = rn_bits_of_f32(x), rounded = (u + 0x7fff + (u >> 16 & 1)) >> 16, quiet = u >> 16 | 0x40;
    return (uint16_t)((u & 0x7fffffff) > 0x7f800000 ? quiet : rounded);
}

static inline float rn_f32_of_f16(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16, a = h & 0x7fff;
    const uint32_t normal = (a << 13) + ((127 - 15) << 23),
                   special = a << 13 | 0x7f800000 | (a > 0x7c00 ? 0x400000 : 0);
    const uint32_t subnormal = rn_bits_of_f32((float)a * 0x1p-24f);
    return rn_f32_of_bits(sign | (a >= 0x7c00 ? special : a < 0x400 ? subnormal : normal));
}

static inline uint16_t rn_f16_of_f32(float x)
{
    const uint32_t u = rn_bits_of_f32(x), sign = u >> 16 & 0x8000, a = u & 0x7fffffff;
    const uint32_t normal = (a - ((127 - 15) << 23) + 0xfff + (a >> 13 & 1)) >> 13;
    const uint32_t subnormal = rn_bits_of_f32(rn_f32_of_bits(a) + 0.5f) - 0x3f000000; /* the sum's last bit is 2^-24 */
    const uint32_t special = a > 0x7f800000 ? 0x7e00 | (a >> 13 & 0x3ff) : 0x7c00;
    return (uint16_t)(sign | (a >= 0x477ff000 ? special : a < 0x38800000 ? subnormal : normal)); /* 65520, 2^-14 */
}

/* A double rounded once, not twice: through the f32 that keeps in its last bit whether anything was cut off. */
static inline float rn_f32_sticky(double x)
{
    const float f = (float)x;
    if (!((double)f != x) || isnan(x))
        return f;
    uint32_t u = rn_bits_of_f32(f);
    if (fabs((double)f) > fabs(x))
        u--; /* towards zero */
    return rn_f32_of_bits(u | 1);
}

static inline uint16_t rn_bf16_of_f64(double x)
{
    return rn_bf16_of_f32(rn_f32_sticky(x));
}

static inline uint16_t rn_f16_of_f64(double x)
{
    return rn_f16_of_f32(rn_f32_sticky(x));
}

/* The same of n numbers, with an instruction set's vectors; `to` and `from` may not overlap. The same bits as above. */
typedef struct rn_half_kern {
    void (*f32_of_bf16)(float *to, const uint16_t *from, size_t n);
    void (*bf16_of_f32)(uint16_t *to, const float *from, size_t n);
    void (*f32_of_f16)(float *to, const uint16_t *from, size_t n);
    void (*f16_of_f32)(uint16_t *to, const float *from, size_t n);
} rn_half_kern;

const rn_half_kern *rn_half_kern_of(rn_isa isa); /* isa: as rn_isa_pick() or the backend gave it */

#endif
