/* SPDX-License-Identifier: MIT */
/* 4 x 8 tiles of the compiler's own vectors: any machine with 16 registers of 4 floats. */
#include <string.h>

#include "base/rn_half.h"

#define VL 4
#define MR 4

typedef float vec __attribute__((vector_size(16)));

static inline vec load_n(const float *p, int n)
{
    vec v = {0, 0, 0, 0};
    memcpy(&v, p, (size_t)n * sizeof *p);
    return v;
}

static inline void store_n(float *p, vec v, int n)
{
    memcpy(p, &v, (size_t)n * sizeof *p);
}

static inline vec load_bf16(const uint16_t *p, int n)
{
    vec v = {0, 0, 0, 0};
    for (int i = 0; i < n; i++)
        v[i] = rn_f32_of_bf16(p[i]);
    return v;
}

static inline vec load_f16(const uint16_t *p, int n)
{
    vec v = {0, 0, 0, 0};
    for (int i = 0; i < n; i++)
        v[i] = rn_f32_of_f16(p[i]);
    return v;
}

static inline vec gate(vec z, vec v)
{
    for (int i = 0; i < VL; i++)
        v[i] = z[i] > 0 ? v[i] : 0;
    return v;
}

static inline vec larger(vec a, vec b)
{
    for (int i = 0; i < VL; i++)
        b[i] = a[i] > b[i] ? a[i] : b[i];
    return b;
}

static inline vec round_bf16(vec v)
{
    for (int i = 0; i < VL; i++)
        v[i] = rn_f32_of_bf16(rn_bf16_of_f32(v[i]));
    return v;
}

static inline vec round_f16(vec v)
{
    for (int i = 0; i < VL; i++)
        v[i] = rn_f32_of_f16(rn_f16_of_f32(v[i]));
    return v;
}

#define v_zero()           ((vec){0, 0, 0, 0})
#define v_load(p)          load_n(p, VL)
#define v_store(p, v)      store_n(p, v, VL)
#define v_set1(x)          ((vec){x, x, x, x})
#define v_fma(a, b, c)     ((a) * (b) + (c))
#define v_add(a, b)        ((a) + (b))
#define v_sub(a, b)        ((a) - (b))
#define v_mad(a, b, c)     ((a) * (b) + (c))
#define v_max(a, b)        larger(a, b)
#define v_gate(z, v)       gate(z, v)
#define v_load_n(p, n)     load_n(p, n)
#define v_store_n(p, v, n) store_n(p, v, n)

#define h_load_bf16(p)      load_bf16(p, VL)
#define h_load_n_bf16(p, n) load_bf16(p, n)
#define h_load_f16(p)       load_f16(p, VL)
#define h_load_n_f16(p, n)  load_f16(p, n)
#define h_round_bf16(v)     round_bf16(v)
#define h_round_f16(v)      round_f16(v)
#define TABLE_OF(type)      rn_conv_isa_portable_##type

#include "kernels/cpu/cpu_conv_tile.h"
#include "kernels/cpu/cpu_conv_types.h"
