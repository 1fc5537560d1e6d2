/* SPDX-License-Identifier: MIT */
/*
 * The register tiles of cpu:im2col, compiled once for each instruction set. The including file defines
 *   VL              cells in a vector `vec`
 *   MR              rows of the register tile: MR * 2 accumulators, 2 vectors of B and 1 of A must fit the registers
 *   v_zero() v_load(p) v_set1(x) v_add(a, b) v_store(p, v)
 *   v_fma(a, b, c)  c + a * b of each cell, which is one number or a pair of them
 *   v_load_n(p, n) v_store_n(p, v, n)   the first n of VL floats, without touching the others
 * and includes this file once, then cpu_conv_gather.h for each type of tensor.
 */
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/cpu_conv.h"

#define NR     (2 * VL)
#define INLINE static inline __attribute__((always_inline))
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 14")
#endif

_Static_assert(MR <= RN_CONV_MR_MAX && NR <= RN_CONV_NR_MAX, "tile beyond what the driver allots");

/* How a tensor is gathered: as it is, or through view->read, with a second tensor or without. */
enum { AS_IS, CHANGED, WITH_OTHER };

/* ---- register tiles ------------------------------------------------------------------------------------------------ */

/* m, nv (vectors of a row: 1 or 2) and cols are constants in every instance, so that the accumulators are registers. */
INLINE void tile(const int m, const int nv, const bool cols, int kc, const float *a, const float *b, float *const *c,
                 int n, bool acc)
{
    vec s[MR][2];

    UNROLL
    for (int i = 0; i < m; i++)
        s[i][0] = s[i][1] = v_zero();
    for (int k = 0; k < kc; k++) {
        vec b0 = v_load(b), b1 = nv == 2 ? v_load(b + VL) : b0;
        UNROLL
        for (int i = 0; i < m; i++) {
            vec x = v_set1(cols ? a[i] : a[i * RN_CONV_LDA]);
            s[i][0] = v_fma(x, b0, s[i][0]);
            if (nv == 2)
                s[i][1] = v_fma(x, b1, s[i][1]);
        }
        a += cols ? m : 1;
        b += nv * VL;
    }
    UNROLL
    for (int i = 0; i < m; i++) {
        float *p = c[i];
        int rest = n;
        if (nv == 2) {
            v_store(p, acc ? v_add(s[i][0], v_load(p)) : s[i][0]);
            p += VL;
            rest -= VL;
        }
        vec last = s[i][nv - 1];
        if (rest == VL)
            v_store(p, acc ? v_add(last, v_load(p)) : last);
        else
            v_store_n(p, acc ? v_add(last, v_load_n(p, rest)) : last, rest);
    }
}

#define TILE(m, cols)                                                                                                  \
    case m:                                                                                                            \
        if (n > VL)                                                                                                    \
            tile(m, 2, cols, kc, a, b, c, n, acc);                                                                     \
        else                                                                                                           \
            tile(m, 1, cols, kc, a, b, c, n, acc);                                                                     \
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

static void tile_rows(int m, int kc, const float *a, const float *b, float *const *c, int n, bool acc)
{
    switch (m) {
        TILES(false)
    default:
        abort(); /* the driver never asks for more rows than MR */
    }
}

static void tile_cols(int m, int kc, const float *a, const float *b, float *const *c, int n, bool acc)
{
    switch (m) {
        TILES(true)
    default:
        abort();
    }
}

/* ---- tiles over runs of pixels ------------------------------------------------------------------------------------- */

/* As tile(), of K in runs that lie apart. */
INLINE void tile_over(const int m, const int nv, const rn_conv_tile *t)
{
    const bool acc = t->acc;
    const ptrdiff_t lda = t->lda, ldb = t->ldb;
    ptrdiff_t step = t->ahead_step;
    const char *ahead = t->ahead;
    float *c = t->c;
    vec s[MR][2];

    UNROLL
    for (int i = 0; i < m; i++)
        s[i][0] = s[i][1] = v_zero();
    for (int i = 0; i < m && acc; i++) { /* c comes from far away while the sums are made */
        __builtin_prefetch(c + (size_t)i * t->ldc, 1);
        __builtin_prefetch(c + (size_t)i * t->ldc + VL, 1);
    }
    for (int r = 0; r < t->nruns; r++) {
        const float *a = t->a + t->runs[r].a * lda, *b = t->b + t->runs[r].b * ldb;
        if (t->asks) {
            ahead = t->asks[r].at;
            step = t->asks[r].step;
        }
        for (int k = t->runs[r].n; k > 0; k--) {
            vec y0 = v_load(b), y1 = nv == 2 ? v_load(b + VL) : y0;
            __builtin_prefetch(ahead, 0, 2);
            UNROLL
            for (int i = 0; i < m; i++) {
                vec x = v_set1(a[i]);
                s[i][0] = v_fma(x, y0, s[i][0]);
                if (nv == 2)
                    s[i][1] = v_fma(x, y1, s[i][1]);
            }
            a += lda;
            b += ldb;
            ahead += step;
        }
    }
    UNROLL
    for (int i = 0; i < m; i++, c += t->ldc) {
        vec last = s[i][nv - 1];
        float *p = c + (nv - 1) * VL;
        const int rest = t->n - (nv - 1) * VL;
        if (nv == 2)
            v_store(c, acc ? v_add(s[i][0], v_load(c)) : s[i][0]);
        if (rest == VL)
            v_store(p, acc ? v_add(last, v_load(p)) : last);
        else
            v_store_n(p, acc ? v_add(last, v_load_n(p, rest)) : last, rest);
    }
}

#undef TILE
#define TILE(m, unused)                                                                                                \
    case m:                                                                                                            \
        if (t->n > VL)                                                                                                 \
            tile_over(m, 2, t);                                                                                        \
        else                                                                                                           \
            tile_over(m, 1, t);                                                                                        \
        break;

static void tile_runs(int m, const rn_conv_tile *t)
{
    switch (m) {
        TILES(unused)
    default:
        abort();
    }
}
