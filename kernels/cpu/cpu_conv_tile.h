/* SPDX-License-Identifier: MIT */
/*
 * The part of cpu:im2col that is compiled once for each instruction set. The including file defines
 *   VL              floats in a vector `vec`
 *   MR              rows of the register tile: MR * 2 accumulators, 2 vectors of B and 1 of A must fit the registers
 *   v_zero() v_load(p) v_set1(x) v_fma(a, b, c) v_add(a, b) v_store(p, v)
 *   v_load_n(p, n) v_store_n(p, v, n)   the first n of VL floats, without touching the others
 *   TABLE           name of the rn_conv_isa
 * and includes this file once.
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

/* ---- gathering ------------------------------------------------------------------------------------------------------ */

/* n floats. `spill`: whole vectors may be written, up to VL - 1 floats beyond: masked stores are slow on some CPUs. */
INLINE void copy_run(float *to, const float *from, int n, bool spill)
{
    int i = 0;

    for (; i + VL <= n; i += VL)
        v_store(to + i, v_load(from + i));
    if (i < n && spill)
        v_store(to + i, v_load_n(from + i, n - i));
    else if (i < n)
        v_store_n(to + i, v_load_n(from + i, n - i), n - i);
}

INLINE void zero_run(float *to, int n)
{
    int i = 0;

    for (; i + VL <= n; i += VL)
        v_store(to + i, v_zero());
    if (i < n)
        v_store_n(to + i, v_zero(), n - i);
}

INLINE int64_t clamp(int64_t x, int64_t lo, int64_t hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

/* Columns q0..q1-1 of a window row, of `count` pixels whose windows start at column ix, ix + sx, ...: those that reach
 * over the tensor's edge are filled up with zeros. from: the window of the first. */
INLINE void gather_along_x(const rn_conv_view *v, int64_t ix, int count, const float *from, int q0, int q1, float *to,
                           int ld, bool spill)
{
    for (int i = 0; i < count; i++, ix += v->sx, from += (ptrdiff_t)v->sx * v->c, to += ld) {
        if (ix * v->c + q0 >= 0 && ix * v->c + q1 <= (int64_t)v->w * v->c) {
            copy_run(to, from + q0, q1 - q0, spill);
            continue;
        }
        const int lo = (int)clamp(-ix * v->c, q0, q1), hi = (int)clamp((v->w - ix) * v->c, lo, q1);
        zero_run(to, q1 - q0);
        if (hi > lo)
            copy_run(to + (lo - q0), from + lo, hi - lo, false);
    }
}

/* The same of one pixel of `count` images. */
INLINE void gather_along_n(const rn_conv_view *v, int64_t ix, int count, const float *from, int q0, int q1, float *to,
                           int ld, bool spill)
{
    const int lo = (int)clamp(-ix * v->c, q0, q1), hi = (int)clamp((v->w - ix) * v->c, lo, q1);
    const ptrdiff_t image = (ptrdiff_t)v->h * v->w * v->c;

    for (int i = 0; i < count; i++, from += image, to += ld) {
        if (hi - lo == q1 - q0) {
            copy_run(to, from + q0, q1 - q0, spill);
            continue;
        }
        zero_run(to, q1 - q0);
        if (hi > lo)
            copy_run(to + (lo - q0), from + lo, hi - lo, false);
    }
}

/* Columns q0..q1-1 of window row r of n pixels from p, to to[i * ld]. room: floats that may be written there. */
static void gather_strip(const rn_conv_view *v, rn_conv_pixel p, int n, int r, int q0, int q1, float *to, int ld,
                         int room)
{
    const bool spill = (q1 - q0 + VL - 1) / VL * VL <= room;

    while (n > 0) {
        const int64_t iy = (int64_t)p.y * v->sy + v->y0 + r, ix = (int64_t)p.x * v->sx + v->x0;
        const int left = v->image_minor ? v->mb - p.n : v->gw - p.x, count = n < left ? n : left;
        if (iy < 0 || iy >= v->h) {
            for (int i = 0; i < count; i++)
                zero_run(to + (ptrdiff_t)i * ld, q1 - q0);
        } else {
            const float *from = v->base + (((ptrdiff_t)p.n * v->h + iy) * v->w + ix) * v->c;
            if (v->image_minor)
                gather_along_n(v, ix, count, from, q0, q1, to, ld, spill);
            else
                gather_along_x(v, ix, count, from, q0, q1, to, ld, spill);
        }
        to += (ptrdiff_t)count * ld;
        n -= count;
        *(v->image_minor ? &p.n : &p.x) += count - 1;
        rn_conv_pixel_next(v, &p);
    }
}

/* Columns k0..k1-1 of n rows, to to[i * ld]: one strip for each window row they touch. */
INLINE void gather(const rn_conv_view *v, rn_conv_pixel p, int n, int k0, int k1, float *to, int ld)
{
    const int run = v->ks * v->c;
    int r = k0 / run, q = k0 % run;

    for (int k = k0; k < k1; r++) {
        const int end = k1 - k < run - q ? q + k1 - k : run;
        gather_strip(v, p, n, r, q, end, to + (k - k0), ld, ld - (k - k0));
        k += end - q;
        q = 0;
    }
}

static void gather_rows(const rn_conv_view *v, rn_conv_pixel p, int m, int k0, int k1, float *a)
{
    gather(v, p, m, k0, k1, a, RN_CONV_LDA);
}

static void gather_panel(const rn_conv_view *v, rn_conv_pixel p, int n, int k0, int k1, int width, float *b)
{
    for (int i = 0; i < n && k1 - k0 < width; i++)
        zero_run(b + (ptrdiff_t)i * width, width);
    gather(v, p, n, k0, k1, b, width);
}

static void pack_cols(const float *src, size_t ld, int n, int m, float *a)
{
    for (int i = 0; i < n; i++)
        copy_run(a + (size_t)i * m, src + (size_t)i * ld, m, true);
}

const rn_conv_isa TABLE = {
    .mr = MR,
    .nr = NR,
    .tile_rows = tile_rows,
    .tile_cols = tile_cols,
    .gather_rows = gather_rows,
    .gather_panel = gather_panel,
    .pack_cols = pack_cols,
};
