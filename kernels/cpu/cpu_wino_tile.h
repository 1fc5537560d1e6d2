/* SPDX-License-Identifier: MIT */
/*
 * cpu:winograd for one instruction set. The including file defines
 *   VL          floats in a vector: 4, 8 or 16
 *   MR          rows of the register tile: MR * 2 accumulators, 2 vectors of B and 1 of A must fit the registers
 *   TABLE(out)  name of the table for output tiles of that side
 *   PAIRS       products of pairs of bf16, and of all else nothing: no TABLE
 * The code is in the compiler's own vectors; -mavx2 or -mavx512f make the instructions of them.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "base/rn_half.h"
#include "kernels/cpu/cpu_sums.h"
#include "kernels/cpu/cpu_wino_plan.h"

#define NR (2 * VL)
#ifdef PAIRS
#define v_mac(s, x, b) ((s) = _mm512_dpbf16_ps(s, (__m512bh)_mm512_set1_ps(x), (__m512bh)(b)))
#else
#define v_mac(s, x, b) ((s) += (x) * (b))
#endif
#define INLINE static inline __attribute__((always_inline))
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

_Static_assert(NR <= RN_WINO_NR_MAX && RN_WINO_LINE % VL == 0, "tile beyond what the driver allots");

typedef float vec __attribute__((vector_size(4 * VL)));
typedef float vec_in_memory __attribute__((vector_size(4 * VL), aligned(4), may_alias));

INLINE vec v_load(const float *p)
{
    return *(const vec_in_memory *)p;
}

INLINE void v_store(float *p, vec v)
{
    *(vec_in_memory *)p = v;
}

/* past: past the caches, a whole line at an address of whole lines; v_store_end() before others read it. */
INLINE void v_store_either(float *p, vec v, bool past)
{
#if VL == 16 && defined(__AVX512F__)
    if (past) {
        _mm512_stream_ps(p, (__m512)v);
        return;
    }
#endif
    (void)past;
    v_store(p, v);
}

INLINE void v_store_end(void)
{
#if VL == 16 && defined(__AVX512F__)
    _mm_sfence();
#endif
}

/* The first n of VL floats, and zeros. */
INLINE vec v_load_n(const float *p, int n)
{
    float all[VL] = {0};

    memcpy(all, p, (size_t)n * sizeof *p);
    return v_load(all);
}

INLINE void v_store_n(float *p, vec v, int n)
{
    memcpy(p, &v, (size_t)n * sizeof *p);
}

#ifndef PAIRS
/* ---- elements of a tensor ------------------------------------------------------------------------------------------ */

/* All arithmetic is in f32. `type` is a constant in every instance: the way in and out of memory, and nothing else, is of
 * the tensor's type. n: the first n of VL elements; the rest are zeros, or left alone. */

typedef uint32_t bits __attribute__((vector_size(4 * VL)));
typedef int mask __attribute__((vector_size(4 * VL)));
typedef uint16_t halves __attribute__((vector_size(2 * VL)));
typedef uint16_t halves_in_memory __attribute__((vector_size(2 * VL), aligned(2), may_alias));

/* The upper halves are v in bf16, rounded to nearest even; a NaN stays one. */
INLINE bits bf16_bits(vec v)
{
    const bits b = (bits)v, nan = (bits)(v != v); /* NOLINT(misc-redundant-expression): what a NaN is */

    return ((b + (0x7fff + ((b >> 16) & 1))) & ~nan) | ((b | 0x400000) & nan);
}

INLINE size_t e_size(const rn_dtype type)
{
    return type == RN_BF16 ? sizeof(uint16_t) : sizeof(float);
}

INLINE vec e_load(const rn_dtype type, const void *p, int n)
{
    halves h = {0};

    if (type == RN_F32)
        return n >= VL ? v_load(p) : v_load_n(p, n);
    if (n >= VL)
        h = *(const halves_in_memory *)p;
    else
        memcpy(&h, p, (size_t)n * sizeof(uint16_t));
    return (vec)(__builtin_convertvector(h, bits) << 16);
}

INLINE void e_store(const rn_dtype type, void *p, vec v, int n)
{
    if (type == RN_F32) {
        if (n >= VL)
            v_store(p, v);
        else
            v_store_n(p, v, n);
        return;
    }
    const halves h = __builtin_convertvector(bf16_bits(v) >> 16, halves);
    if (n >= VL)
        *(halves_in_memory *)p = h;
    else
        memcpy(p, &h, (size_t)n * sizeof(uint16_t));
}

/* v as e_load reads what e_store has stored. */
INLINE vec e_round(const rn_dtype type, vec v)
{
    return type == RN_F32 ? v : (vec)(bf16_bits(v) & 0xffff0000);
}

INLINE float e_one(const rn_dtype type, const void *p)
{
    return type == RN_F32 ? *(const float *)p : rn_f32_of_bf16(*(const uint16_t *)p);
}

#endif
/* ---- register tiles ------------------------------------------------------------------------------------------------ */

/* m, nv and cols are constants in every instance, so that the accumulators are registers. */
INLINE void tile(const int m, const int nv, const bool cols, const rn_wino_product *p)
{
    vec s[MR][2];
    const float *b = p->b;
    const size_t second = p->b_second, b_step = p->b_step;

    UNROLL
    for (int i = 0; i < m; i++)
        s[i][0] = s[i][1] = (vec){0};
    for (int k0 = 0; k0 < p->k; k0 += RN_WINO_LINE) {
        const int kc = p->k - k0 < RN_WINO_LINE ? p->k - k0 : RN_WINO_LINE;
        const float *a = p->a + (cols ? (size_t)k0 : (size_t)k0 / RN_WINO_LINE) * p->a_step;
        for (int k = 0; k < kc; k++) {
            const vec b0 = v_load(b), b1 = nv == 2 ? v_load(b + second) : b0;
            UNROLL
            for (int i = 0; i < m; i++) {
                const float x = a[cols ? i : i * RN_WINO_LINE];
                v_mac(s[i][0], x, b0);
                if (nv == 2)
                    v_mac(s[i][1], x, b1);
            }
            a += cols ? p->a_step : 1;
            b += b_step;
        }
    }
    UNROLL
    for (int i = 0; i < m; i++) {
        float *c = p->c + (size_t)i * p->c_step;
        v_store(c, p->acc ? s[i][0] + v_load(c) : s[i][0]);
        if (nv == 2)
            v_store(c + VL, p->acc ? s[i][1] + v_load(c + VL) : s[i][1]);
    }
}

#define TILE(m, cols)                                                                                                  \
    case m:                                                                                                            \
        if (p->two)                                                                                                    \
            tile(m, 2, cols, p);                                                                                       \
        else                                                                                                           \
            tile(m, 1, cols, p);                                                                                       \
        break;
#if MR == 14
#define TILES(cols)                                                                                                    \
    TILE(14, cols)                                                                                                     \
    TILE(13, cols)                                                                                                     \
    TILE(12, cols)                                                                                                     \
    TILE(11, cols) TILE(10, cols) TILE(9, cols) TILE(8, cols) TILE(7, cols) TILE(6, cols) TILE(5, cols) TILES4(cols)
#elif MR == 6
#define TILES(cols) TILE(6, cols) TILE(5, cols) TILES4(cols)
#elif MR == 4
#define TILES(cols) TILES4(cols)
#endif
#define TILES4(cols) TILE(4, cols) TILE(3, cols) TILE(2, cols) TILE(1, cols)

static void product_rows(const rn_wino_product *p)
{
    switch (p->m) {
        TILES(false)
    default:
        abort(); /* the driver never asks for more rows than MR */
    }
}

static void product_cols(const rn_wino_product *p)
{
    switch (p->m) {
        TILES(true)
    default:
        abort();
    }
}

#ifndef PAIRS
/* ---- where tiles lie ------------------------------------------------------------------------------------------------ */

/* Is all of a tile of `side` inside the tensor? */
static bool tile_inside(const rn_wino_grid *g, size_t t, int side)
{
    const int y0 = (int)(t / (size_t)g->tw % (size_t)g->th) * g->step + g->y0;
    const int x0 = (int)(t % (size_t)g->tw) * g->step + g->x0;

    return y0 >= 0 && x0 >= 0 && y0 + side <= g->h && x0 + side <= g->w;
}

/* Pixels of a tile of `side`, row by row; NULL outside the tensor. */
static void tile_pixels(const rn_wino_grid *g, size_t t, int side, char *tensor, size_t esize, char **pixel)
{
    const size_t tw = (size_t)g->tw, th = (size_t)g->th;
    const int64_t y0 = (int64_t)(t / tw % th) * g->step + g->y0, x0 = (int64_t)(t % tw) * g->step + g->x0;
    const size_t image = t / tw / th * (size_t)g->h;

    for (int y = 0; y < side; y++) {
        for (int x = 0; x < side; x++) {
            const bool in = y0 + y >= 0 && y0 + y < g->h && x0 + x >= 0 && x0 + x < g->w;
            *pixel++ =
                in ? tensor + ((image + (size_t)(y0 + y)) * (size_t)g->w + (size_t)(x0 + x)) * (size_t)g->c * esize
                   : NULL;
        }
    }
}

/* ---- fused work ----------------------------------------------------------------------------------------------------- */

/* v, but at least `floor`; a NaN stays one. */
INLINE vec v_floor(vec v, vec floor)
{
    const mask below = v < floor;

    return (vec)(((mask)v & ~below) | ((mask)floor & below));
}

/* v where z > 0, else 0 */
INLINE vec v_gate(vec z, vec v)
{
    return (vec)((mask)v & (z > (vec){0}));
}

/* A value of channel c on, n of VL, through `read`. other: NULL, or what lies there beside it. */
INLINE vec read_through(const rn_dtype type, const rn_wino_read *read, vec v, const char *other, int c, int n)
{
    v = v * v_load(read->mul + c) + v_load(read->add + c);
    if (other)
        v += e_load(type, other, n) * v_load(read->by + c);
    const vec floor = (vec){0} + read->floor;
    return e_round(type, v_floor(v, floor));
}

/* ---- weights -------------------------------------------------------------------------------------------------------- */

/* Halves of two vectors, element by element in turn. */
#if VL == 16
#define LOWER(a, b) __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define UPPER(a, b) __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#elif VL == 8
#define LOWER(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define UPPER(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#else
#define LOWER(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define UPPER(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#endif

/* VL rows of VL columns to columns: each step turns the bits of (row, column) by one. */
INLINE void transpose(vec *v)
{
    UNROLL
    for (int step = 1; step < VL; step *= 2) {
        vec t[VL];
        UNROLL
        for (int i = 0; i < VL / 2; i++) {
            t[2 * i] = LOWER(v[i], v[i + VL / 2]);
            t[2 * i + 1] = UPPER(v[i], v[i + VL / 2]);
        }
        UNROLL
        for (int i = 0; i < VL; i++)
            v[i] = t[i];
    }
}

/* The taps of kn input channels from w on, of n output channels which are `row` bytes apart: tap r of input channel k of all of
 * them to to[k][r], and zeros up to VL. pixel: bytes between taps. */
static void taps_across(const rn_dtype type, const char *w, size_t row, size_t pixel, int n, int kn, vec (*to)[9])
{
    for (int r = 0; r < 9; r++, w += pixel) {
        vec v[VL] = {0};
        UNROLL
        for (int i = 0; i < VL; i++) {
            if (i < n)
                v[i] = e_load(type, w + (size_t)i * row, kn);
        }
        transpose(v);
        UNROLL
        for (int k = 0; k < VL; k++)
            to[k][r] = v[k];
    }
}

#define OUT 4
#include "kernels/cpu/cpu_wino_transform.h"
#undef OUT
#define OUT 2
#include "kernels/cpu/cpu_wino_transform.h"
#endif
