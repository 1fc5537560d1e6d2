/* SPDX-License-Identifier: MIT */
/*
 * Gathering the panels of cpu:im2col, compiled for each instruction set and each type of tensor. The including file
 * includes cpu_conv_tile.h first, defines
 *   TABLE           name of the rn_conv_isa
 *   TYPED(name)     name with a suffix of its own
 *   ELEM            type of a tensor's element
 *   PART            type of a panel's element: float, or what PER of make up a cell
 *   PER             1, or 2 for pairs
 *   GL              elements in a vector `gvec`
 *   g_zero() g_load(p) g_store(p, v)     loads read GL of ELEM as GL of PART
 *   g_load_n(p, n) g_store_n(p, v, n)    the first n of them; loads fill up with zeros
 *   PAIRS_IN_PLACE(b, width), PAIR_COLS(a, p, q, m) with PER 2: see below
 *   PUT_ROWS        the table's put_rows
 *   w_load ...      see cpu_conv_fused.h
 * and includes this file, which undefines them.
 */
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/cpu_conv.h"
#include "kernels/cpu/cpu_sums.h"

#include "kernels/cpu/cpu_conv_fused.h"

/* n elements. `spill`: whole vectors may be written, up to GL - 1 elements beyond: masked stores are slow on some CPUs. */
INLINE void TYPED(copy_run)(PART *to, const ELEM *from, int n, bool spill)
{
    int i = 0;

    for (; i + GL <= n; i += GL)
        g_store(to + i, g_load(from + i));
    if (i < n && spill)
        g_store(to + i, g_load_n(from + i, n - i));
    else if (i < n)
        g_store_n(to + i, g_load_n(from + i, n - i), n - i);
}

INLINE void TYPED(zero_run)(PART *to, int n)
{
    int i = 0;

    for (; i + GL <= n; i += GL)
        g_store(to + i, g_zero());
    if (i < n)
        g_store_n(to + i, g_zero(), n - i);
}

/* n elements from column q of a window row on. how: constant in every instance. */
INLINE void TYPED(take_run)(const int how, const rn_conv_view *v, const rn_conv_read *f, PART *to, const ELEM *from,
                            int q, int n, bool spill)
{
    if (how == AS_IS)
        TYPED(copy_run)(to, from, n, spill);
    else
        TYPED(read_run)
    (f, to, from, how == WITH_OTHER ? (const ELEM *)f->other + (from - (const ELEM *)v->base) : NULL, q, n, spill);
}

/* The same for each of `count` pixels. */
INLINE void TYPED(take_rows)(const int how, const rn_conv_view *v, const rn_conv_read *f, PART *to, int ld,
                             const ELEM *from, ptrdiff_t step, int count, int q, int n, bool spill)
{
    if (how == AS_IS && n <= GL && spill) {
        for (int i = 0; i < count; i++, to += ld, from += step)
            g_store(to, g_load_n(from, n));
    } else {
        for (int i = 0; i < count; i++, to += ld, from += step)
            TYPED(take_run)(how, v, f, to, from, q, n, spill);
    }
}

/* Columns q0..q1-1 of a window that starts at column x and reaches over the tensor's edge: filled up with zeros. */
INLINE void TYPED(take_edge)(const int how, const rn_conv_view *v, const rn_conv_read *f, int64_t x, const ELEM *from,
                             int q0, int q1, PART *to)
{
    const int lo = rn_conv_clamp(-x * v->c, q0, q1), hi = rn_conv_clamp((v->w - x) * v->c, lo, q1);

    TYPED(zero_run)(to, q1 - q0);
    if (hi > lo)
        TYPED(take_run)(how, v, f, to + (lo - q0), from + lo, lo, hi - lo, false);
}

/* Columns q0..q1-1 of a window row, of `count` pixels whose windows start at column ix, ix + sx, ...: those that reach
 * over the tensor's edge are filled up with zeros. from: the window of the first. */
INLINE void TYPED(gather_along_x)(const int how, const rn_conv_view *v, const rn_conv_read *f, int64_t ix, int count,
                                  const ELEM *from, int q0, int q1, PART *to, int ld, bool spill)
{
    const int64_t first = ix * v->c + q0, width = (int64_t)v->w * v->c - (q1 - q0);
    const ptrdiff_t step = (ptrdiff_t)v->sx * v->c;
    int lead = 0, inside = count; /* pixels lead..inside-1 are those whose columns all lie in the tensor */

    while (lead < count && first + lead * step < 0)
        lead++;
    while (inside > lead && first + (inside - 1) * step > width)
        inside--;
    TYPED(take_rows)
    (how, v, f, to + (ptrdiff_t)lead * ld, ld, from + lead * step + q0, step, inside - lead, q0, q1 - q0, spill);
    for (int i = 0; i < lead; i++)
        TYPED(take_edge)(how, v, f, ix + (int64_t)i * v->sx, from + i * step, q0, q1, to + (ptrdiff_t)i * ld);
    for (int i = inside; i < count; i++)
        TYPED(take_edge)(how, v, f, ix + (int64_t)i * v->sx, from + i * step, q0, q1, to + (ptrdiff_t)i * ld);
}

/* The same of one pixel of `count` images. */
INLINE void TYPED(gather_along_n)(const int how, const rn_conv_view *v, const rn_conv_read *f, int64_t ix, int count,
                                  const ELEM *from, int q0, int q1, PART *to, int ld, bool spill)
{
    const ptrdiff_t image = (ptrdiff_t)v->h * v->w * v->c;

    if (ix * v->c + q0 >= 0 && ix * v->c + q1 <= (int64_t)v->w * v->c) {
        TYPED(take_rows)(how, v, f, to, ld, from + q0, image, count, q0, q1 - q0, spill);
        return;
    }
    for (int i = 0; i < count; i++)
        TYPED(take_edge)(how, v, f, ix, from + i * image, q0, q1, to + (ptrdiff_t)i * ld);
}

/* Columns q0..q1-1 of window row r of n pixels from p, to to[i * ld]. room: elements that may be written there. */
INLINE void TYPED(gather_strip)(const int how, const rn_conv_view *v, const rn_conv_read *f, rn_conv_pixel p, int n,
                                int r, int q0, int q1, PART *to, int ld, int room)
{
    const bool spill = (q1 - q0 + GL - 1) / GL * GL <= room;

    while (n > 0) {
        const int64_t iy = (int64_t)p.y * v->sy + v->y0 + r, ix = (int64_t)p.x * v->sx + v->x0;
        const int left = v->image_minor ? v->mb - p.n : v->gw - p.x, count = n < left ? n : left;
        if (iy < 0 || iy >= v->h) {
            for (int i = 0; i < count; i++)
                TYPED(zero_run)(to + (ptrdiff_t)i * ld, q1 - q0);
        } else {
            const ELEM *from = (const ELEM *)v->base + (((ptrdiff_t)p.n * v->h + iy) * v->w + ix) * v->c;
            if (v->image_minor)
                TYPED(gather_along_n)(how, v, f, ix, count, from, q0, q1, to, ld, spill);
            else
                TYPED(gather_along_x)(how, v, f, ix, count, from, q0, q1, to, ld, spill);
        }
        to += (ptrdiff_t)count * ld;
        n -= count;
        *(v->image_minor ? &p.n : &p.x) += count - 1;
        rn_conv_pixel_next(v, &p);
    }
}

/* Columns k0..k1-1 of n rows, to to[i * ld]: one strip for each window row they touch. */
INLINE void TYPED(gather_how)(const int how, const rn_conv_view *v, const rn_conv_read *f, rn_conv_pixel p, int n,
                              int k0, int k1, PART *to, int ld)
{
    const int run = v->run, taps = v->ks * v->c;
    int r = k0 / run, q = k0 % run;

    for (int k = k0; k < k1; r++) {
        const int end = k1 - k < run - q ? q + k1 - k : run, last = end < taps ? end : taps;
        TYPED(gather_strip)(how, v, f, p, n, r, q, last, to + (k - k0), ld, ld - (k - k0));
#if PER > 1
        for (int i = 0; i < n && last < end; i++) /* the other half of a last pair */
            to[(ptrdiff_t)i * ld + (k - k0) + (last - q)] = 0;
#endif
        k += end - q;
        q = 0;
    }
}

static void TYPED(gather)(const rn_conv_view *v, rn_conv_pixel p, int n, int k0, int k1, PART *to, int ld)
{
    TYPED(gather_how)(AS_IS, v, NULL, p, n, k0, k1, to, ld);
}

/* The vectors' addresses are copied: stores of vectors may alias anything. */
static void TYPED(gather_changed)(const rn_conv_view *v, rn_conv_pixel p, int n, int k0, int k1, PART *to, int ld)
{
    const rn_conv_read f = *v->read;

    if (f.other)
        TYPED(gather_how)(WITH_OTHER, v, &f, p, n, k0, k1, to, ld);
    else
        TYPED(gather_how)(CHANGED, v, &f, p, n, k0, k1, to, ld);
}

static void TYPED(gather_rows)(const rn_conv_view *v, rn_conv_pixel p, int m, int k0, int k1, float *a)
{
    (v->read ? TYPED(gather_changed) : TYPED(gather))(v, p, m, k0, k1, (PART *)a, PER * RN_CONV_LDA);
}

/* PAIRS_IN_PLACE(b, width): two rows of `width` elements at b become one of pairs; width is GL or GL / 2. */
static void TYPED(gather_panel)(const rn_conv_view *v, rn_conv_pixel p, int n, int k0, int k1, int width, float *panel)
{
    PART *b = (PART *)panel;

    for (int i = 0; i < n && k1 - k0 < width; i++)
        TYPED(zero_run)(b + (ptrdiff_t)i * width, width);
    (v->read ? TYPED(gather_changed) : TYPED(gather))(v, p, n, k0, k1, b, width);
#if PER > 1
    if (n % 2)
        TYPED(zero_run)(b + (ptrdiff_t)n * width, width);
    for (int i = 0; i < n; i += 2)
        PAIRS_IN_PLACE(b + (ptrdiff_t)i * width, width);
#endif
}

/* PAIR_COLS(a, p, q, m): m cells at a, each of an element of p and one of q, or 0 where q is NULL. */
static void TYPED(pack_cols)(const void *from, size_t ld, int n, int m, float *a)
{
    const ELEM *src = from;

#if PER > 1
    for (int i = 0; i < n; i += 2, a += m, src += 2 * ld)
        PAIR_COLS(a, src, i + 1 < n ? src + ld : NULL, m);
#else
    for (int i = 0; i < n; i++)
        TYPED(copy_run)(a + (size_t)i * m, src + (size_t)i * ld, m, true);
#endif
}

/* The same through `f`, whose columns are the channels from `q` on. */
static void TYPED(pack_cols_read)(const void *from, size_t ld, int n, int m, const rn_conv_read *f, int q, float *a)
{
    const rn_conv_read r = *f;
    const ELEM *src = from, *other = r.other;

#if PER > 1
    PART rows[2][RN_CONV_MR_MAX + GL];
    for (int i = 0; i < n; i += 2, a += m) {
        for (int k = 0; k < 2 && i + k < n; k++, src += ld, other += ld)
            TYPED(read_run)(&r, rows[k], src, other, q, m, true);
        PAIR_COLS(a, rows[0], i + 1 < n ? rows[1] : NULL, m);
    }
#else
    for (int i = 0; i < n; i++)
        TYPED(read_run)(&r, a + (size_t)i * m, src + (size_t)i * ld, other + (size_t)i * ld, q, m, true);
#endif
}

/* CELLS(p, q, n): n elements of p, or of p and q (either may be NULL: zeros), as a vector of cells, filled up with 0.
 * PAIR_PANEL(to, p, q) with PER 2: NR cells of p and q. */
INLINE void TYPED(copy_pixels)(const rn_conv_cells *k, const ptrdiff_t c, const ptrdiff_t width, const bool all,
                               float *to)
{
    for (int j = 0; j < k->nx; j++) {
        const ELEM *pixel = (const ELEM *)k->from + j * k->step_x;
        for (int i = 0; i < k->nn; i += PER, to += width) {
            const ELEM *p = all || (i >= k->first && i < k->last) ? pixel + i * k->step_n : NULL, *q = NULL;
#if PER > 1
            q = all || (i + 1 >= k->first && i + 1 < k->last) ? pixel + (i + 1) * k->step_n : NULL;
#endif
            ptrdiff_t v = 0;
#if PER > 1
            for (; all && v + NR <= c; v += NR)
                PAIR_PANEL(to + v, p + v, q + v);
#endif
            for (; v < width; v += VL) {
                const ptrdiff_t rest = c - v;
                const int n = (int)(rest < 0 ? 0 : rest < VL ? rest : VL);
                v_store(to + v, CELLS(p ? p + v : NULL, q ? q + v : NULL, n));
            }
        }
    }
}

#if PER == 1
#define READ_CELLS(p, q) ((void)(q), p)
#define ROUNDED(v)       w_round(v)
#else
#define READ_CELLS(p, q) PAIR_VECS(p, q)
#define ROUNDED(v)       (v)
#endif

/* The same, read through k->read. */
INLINE void TYPED(copy_pixels_read)(const rn_conv_cells *k, const bool two, float *to)
{
    const rn_conv_read f = *k->read;

    for (int j = 0; j < k->nx; j++) {
        for (int i = 0; i < k->nn; i += PER, to += k->width) {
            for (ptrdiff_t v = 0; v < k->c; v += VL) {
                const int n = k->c - v < VL ? (int)(k->c - v) : VL, column = k->column + (int)v;
                vec x[2] = {v_zero(), v_zero()};
                for (int h = 0; h < PER; h++) {
                    const ptrdiff_t at = j * k->step_x + (i + h) * k->step_n + v;
                    if (i + h >= k->first && i + h < k->last)
                        x[h] = ROUNDED(TYPED(read_vec)(&f, (const ELEM *)k->from + at,
                                                       two ? (const ELEM *)k->other + at : NULL, column, n));
                }
                v_store(to + v, READ_CELLS(x[0], x[1]));
            }
        }
    }
}

#undef READ_CELLS
#undef ROUNDED

/* Pixels of less than a vector, all of them there. */
static void TYPED(copy_narrow)(const rn_conv_cells *k, float *to)
{
    const ptrdiff_t width = k->width, step_x = k->step_x, step_n = k->step_n;
    const int n = (int)k->c, nx = k->nx, nn = k->nn;
    const ELEM *pixel = k->from;

    for (int j = 0; j < nx; j++, pixel += step_x) {
        const ELEM *p = pixel;
        for (int i = 0; i < nn; i += PER, to += width, p += PER * step_n)
            v_store(to, CELLS(p, p + (PER - 1) * step_n, n));
    }
}

static void TYPED(copy_cells)(const rn_conv_cells *k, float *to)
{
    const bool all = k->first == 0 && k->last == k->nn && k->nn % PER == 0;

    if (k->read && k->other)
        TYPED(copy_pixels_read)(k, true, to);
    else if (k->read)
        TYPED(copy_pixels_read)(k, false, to);
    else if (all && k->c == NR && k->width == NR)
        TYPED(copy_pixels)(k, NR, NR, true, to);
    else if (all && k->c == VL && k->width == VL)
        TYPED(copy_pixels)(k, VL, VL, true, to);
    else if (all && k->c == k->width && k->width < VL)
        TYPED(copy_narrow)(k, to);
    else if (all)
        TYPED(copy_pixels)(k, k->c, k->width, true, to);
    else
        TYPED(copy_pixels)(k, k->c, k->width, false, to);
}

const rn_conv_isa TABLE = {
    .mr = MR,
    .nr = NR,
    .per = PER,
    .tile_rows = tile_rows,
    .tile_cols = tile_cols,
    .tile_runs = tile_runs,
    .copy_cells = TYPED(copy_cells),
    .gather_rows = TYPED(gather_rows),
    .gather_panel = TYPED(gather_panel),
    .pack_cols = TYPED(pack_cols),
    .put_rows = PUT_ROWS,
    .pack_cols_read = TYPED(pack_cols_read),
    .read_pixels = TYPED(read_pixels),
    .gate_rows = TYPED(gate_rows),
    .sum_rows = TYPED(sum_rows),
};

#undef TABLE
#undef TYPED
#undef ELEM
#undef PART
#undef PUT_ROWS
#undef PER
#undef CELLS
#undef PAIR_VECS
#undef GL
#undef g_zero
#undef g_load
#undef g_store
#undef g_load_n
#undef g_store_n
#undef w_load
#undef w_load_n
#undef w_pack
#undef w_round
