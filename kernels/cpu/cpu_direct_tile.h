/* SPDX-License-Identifier: MIT */
/*
 * The register tile of cpu:direct, compiled once for each instruction set. The including file defines VL, the floats of a
 * vector, MR, the rows of a tile (MR * 2 accumulators, 2 vectors of B and 1 of A must fit the registers), TABLE(type), and
 * PAIRS where a cell is two bf16.
 */
#include <stdint.h>
#include <stdlib.h>

#ifdef PAIRS
#include <immintrin.h>
#endif

#include "kernels/cpu/cpu_direct.h"

#define INLINE static inline __attribute__((always_inline))
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 14")
#endif

typedef float vec __attribute__((vector_size(4 * VL)));
typedef float vec_in_memory __attribute__((vector_size(4 * VL), aligned(4), may_alias));
typedef float __attribute__((aligned(2), may_alias)) cell_in_memory;

INLINE vec load(const float *p)
{
    return *(const vec_in_memory *)p;
}

#ifdef PAIRS
#define PER 2
INLINE vec multiply_add(vec a, vec b, vec c)
{
    return _mm512_dpbf16_ps(c, (__m512bh)a, (__m512bh)b);
}
/* The last of an odd number: the other half of the cell is the next pixel's, which must not count even times 0. */
INLINE vec one_of_pair(const char *p)
{
    return (vec)_mm512_maskz_set1_epi16(0x55555555, *(const int16_t *)p);
}
INLINE void store_narrow(char *to, vec v)
{
    _mm256_storeu_si256((__m256i *)to, (__m256i)_mm512_cvtneps_pbh(v));
}
#else
#define PER 1
INLINE vec multiply_add(vec a, vec b, vec c)
{
    return a * b + c;
}
INLINE vec one_of_pair(const char *p)
{
    (void)p;
    return (vec){0};
}
#endif

INLINE vec every(const char *p)
{
    return *(const cell_in_memory *)p - (vec){0}; /* -0 stays -0 */
}

/* One cell of each row. Three rows share a pointer, so that all fit the registers. */
INLINE void step(const int m, const int nv, const bool odd, const char *const *p, ptrdiff_t lda, int at, const float *b,
                 vec (*s)[2])
{
    const vec b0 = load(b), b1 = nv == 2 ? load(b + VL) : b0;

    UNROLL
    for (int i = 0; i < m; i++) {
        const char *from = p[i / 3] + (i % 3) * lda + at;
        const vec x = odd ? one_of_pair(from) : every(from);
        s[i][0] = multiply_add(x, b0, s[i][0]);
        if (nv == 2)
            s[i][1] = multiply_add(x, b1, s[i][1]);
    }
}

#ifdef __x86_64__
#define OPAQUE(p) __asm__("" : "+r"(p)) /* or the compiler makes a pointer of each row, and keeps them in memory */
#else
#define OPAQUE(p) (void)(p)
#endif

/* Memory that will be written, asked for a line a step. */
typedef struct soon {
    const char *at, *end;
} soon;

INLINE void ask(soon *w)
{
    __builtin_prefetch(w->at, 1, 3);
    w->at += w->at < w->end ? 64 : 0;
}

/* A run of cells. Returns where B goes on. */
INLINE const float *run_of(const int m, const int nv, const char *a, ptrdiff_t lda, int n, const float *b, soon *w,
                           vec (*s)[2])
{
    const char *p[(MR + 2) / 3];
    int k = n / PER;

    UNROLL
    for (int i = 0; i < (m + 2) / 3; i++) {
        p[i] = a + 3 * i * lda;
        OPAQUE(p[i]);
    }
    for (; k >= 2; k -= 2) {
        ask(w);
        step(m, nv, false, p, lda, 0, b, s);
        ask(w);
        step(m, nv, false, p, lda, 4, b + nv * VL, s);
        b += 2 * nv * VL;
        UNROLL
        for (int i = 0; i < (m + 2) / 3; i++) {
            p[i] += 8;
            OPAQUE(p[i]);
        }
    }
    if (k) {
        step(m, nv, false, p, lda, 0, b, s);
        b += nv * VL;
    }
    if (n % PER) {
        step(m, nv, true, p, lda, 4 * k, b, s);
        b += nv * VL;
    }
    return b;
}

/* Sums to where they end, or are kept. */
INLINE void put(const int m, const int nv, const rn_direct_tile *t, vec (*s)[2], float *c, char *out)
{
    if (t->acc) {
        UNROLL
        for (int i = 0; i < m; i++)
            for (int j = 0; j < nv; j++)
                s[i][j] += load(c + i * t->ldc + j * VL);
    }
#ifdef PAIRS
    if (t->narrow) {
        UNROLL
        for (int i = 0; i < m; i++)
            for (int j = 0; j < nv; j++)
                store_narrow(out + i * t->ld_out + j * 2 * VL, s[i][j]);
        return;
    }
#endif
    (void)out;
    UNROLL
    for (int i = 0; i < m; i++)
        for (int j = 0; j < nv; j++)
            *(vec_in_memory *)(c + i * t->ldc + j * VL) = s[i][j];
}

/* m and nv (vectors of a row: 1 or 2) are constants in every instance, so that the accumulators are registers. */
INLINE void tile_of(const int m, const int nv, const rn_direct_tile *t)
{
    const float *panel = t->b;
    float *c = t->c;
    char *out = t->out;
    soon w = {t->soon, t->soon_end};

    for (int n = t->panels; n > 0; n--, panel += t->b_panel, c += nv * VL, out += t->out_bytes) {
        vec s[MR][2];
        UNROLL
        for (int i = 0; i < m; i++)
            s[i][0] = s[i][1] = (vec){0};
        for (ptrdiff_t at = 0; at < t->out_bytes; at += 64)
            for (int i = 0; i < m; i++)
                __builtin_prefetch(out + i * t->ld_out + at, 1, 3);
        for (int r = 0; r < t->rows; r++) {
            const char *a = t->a + r * t->row_step;
            const float *b = panel + r * t->b_row;
            for (int q = 0; q < t->taps; q++, a += t->tap_step)
                b = run_of(m, nv, a, t->lda, t->run, b, &w, s);
        }
        put(m, nv, t, s, c, out);
    }
}

#define TILE(m)                                                                                                        \
    case m:                                                                                                            \
        if (t->half)                                                                                                   \
            tile_of(m, 1, t);                                                                                          \
        else                                                                                                           \
            tile_of(m, 2, t);                                                                                          \
        break;

static void tile(int m, const rn_direct_tile *t)
{
    switch (m) {
#if MR == 14
        TILE(14)
        TILE(13)
        TILE(12)
        TILE(11)
        TILE(10)
        TILE(9)
        TILE(8)
        TILE(7)
#endif
#if MR >= 6
        TILE(6)
        TILE(5)
#endif
        TILE(4)
        TILE(3)
        TILE(2)
        TILE(1)
    default:
        abort(); /* the driver never asks for more rows than MR */
    }
}
