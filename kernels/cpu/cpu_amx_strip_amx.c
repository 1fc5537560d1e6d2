/* SPDX-License-Identifier: MIT */
/* cpu:amx: tensors copied, with their padding, into strips; see cpu_amx.h. */
#include <immintrin.h>
#include <string.h>

#include "kernels/cpu/cpu_amx.h"
#include "kernels/cpu/cpu_interleave.h"

static inline __mmask32 first(int n)
{
    return n >= 32 ? 0xffffffff : n <= 0 ? 0 : (1u << n) - 1;
}

static inline __m512 widen(__m256i h)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

/* Up to 32 numbers at x, of channels c0 on, through the prologue; what the mask leaves out is 0. */
static inline __m512i read32(const rn_amx_read *r, const uint16_t *x, const uint16_t *other, int c0, __mmask32 mask)
{
    const __m512i v = _mm512_maskz_loadu_epi16(mask, x);
    const __mmask16 part[2] = {(__mmask16)mask, (__mmask16)(mask >> 16)};
    __m512 f[2] = {widen(_mm512_castsi512_si256(v)), widen(_mm512_extracti64x4_epi64(v, 1))};
    __m512i o = _mm512_setzero_si512();

    if (!r->scale)
        return v;
    if (r->other)
        o = _mm512_maskz_loadu_epi16(mask, other);
    const __m512 add[2] = {widen(_mm512_castsi512_si256(o)), widen(_mm512_extracti64x4_epi64(o, 1))};
    for (int i = 0; i < 2; i++) {
        f[i] = _mm512_fmadd_ps(f[i], _mm512_maskz_loadu_ps(part[i], r->scale + c0 + 16 * i),
                               _mm512_maskz_loadu_ps(part[i], r->shift + c0 + 16 * i));
        if (r->weight)
            f[i] = _mm512_fmadd_ps(add[i], _mm512_maskz_loadu_ps(part[i], r->weight + c0 + 16 * i), f[i]);
        else if (r->other)
            f[i] = _mm512_add_ps(f[i], add[i]);
        if (r->relu)
            f[i] = _mm512_max_ps(_mm512_setzero_ps(), f[i]); /* in this order a NaN stays */
    }
    return _mm512_maskz_mov_epi16(mask, (__m512i)_mm512_cvtne2ps_pbh(f[1], f[0]));
}

void rn_amx_read_pixel(const rn_amx_read *r, const uint16_t *x, size_t i, int c0, int m, uint16_t *to)
{
    for (int c = 0; c < m; c += RN_AMX_PAIR)
        _mm512_mask_storeu_epi16(to + c, first(m - c),
                                 read32(r, x + c, r->other ? r->other + i + c : NULL, c0 + c, first(m - c)));
}

/* n lines of zeros. */
static inline void zero_lines(char *to, int64_t n)
{
    for (int64_t j = 0; j < n; j++)
        _mm512_store_si512(to + j * RN_AMX_LINE, _mm512_setzero_si512());
}

/* Plane k of one row of a sub-image: 32 channels of the pixels x0, x0 + sx, ... of the tensor's row `from`. */
static void fill_pixels(const rn_amx_plan *p, const rn_amx_read *r, const uint16_t *from, const uint16_t *other,
                        int64_t x0, int k, char *to)
{
    const int64_t before = x0 >= 0 ? 0 : (-x0 + p->sx - 1) / p->sx, left = before < p->pitch ? before : p->pitch;
    const int64_t inside = p->w > x0 ? (p->w - x0 + p->sx - 1) / p->sx : 0, end = inside < p->pitch ? inside : p->pitch;
    const __mmask32 mask = first(p->c - 32 * k);
    const size_t step = (size_t)p->sx * p->c;
    int64_t j = left;

    zero_lines(to, left);
    if (end > left) {
        const ptrdiff_t at = (ptrdiff_t)(x0 + left * p->sx) * p->c + (ptrdiff_t)32 * k;
        from += at;
        other = other ? other + at : NULL;
    }
    if (r->scale) {
        for (; j < end; j++, from += step, other = other ? other + step : NULL)
            _mm512_store_si512(to + j * RN_AMX_LINE, read32(r, from, other, 32 * k, mask));
    } else if (mask == 0xffffffff) {
        for (; j < end; j++, from += step)
            _mm512_store_si512(to + j * RN_AMX_LINE, _mm512_loadu_si512(from));
    } else {
        for (; j < end; j++, from += step)
            _mm512_store_si512(to + j * RN_AMX_LINE, _mm512_maskz_loadu_epi16(mask, from));
    }
    zero_lines(to + j * RN_AMX_LINE, p->pitch - j);
}

/* What the tensor's row has of the 32 numbers from `at` on. */
static inline __mmask32 part_of_row(int64_t at, int64_t end)
{
    __mmask32 mask = 0xffffffff;

    if (at < 0)
        mask = at > -32 ? ~first((int)-at) : 0;
    if (at + 32 > end)
        mask = at < end ? mask & first((int)(end - at)) : 0;
    return mask;
}

/* The same where a position holds a row of the window: numbers 32 k.. of the `run` that start at column x0. */
static void fill_windows(const rn_amx_plan *p, const uint16_t *from, int64_t x0, int k, char *to)
{
    const int64_t end = (int64_t)p->w * p->c, step = (int64_t)p->sx * p->c;
    const __mmask32 whole = first(p->run - 32 * k);
    int64_t at = x0 * p->c + 32 * (int64_t)k;
    int j = 0;

    for (; j < p->pitch && at < 0; j++, at += step)
        _mm512_store_si512(to + (size_t)j * RN_AMX_LINE,
                           _mm512_maskz_loadu_epi16(whole & part_of_row(at, end), from + at));
    for (; j < p->pitch && at + 32 <= end; j++, at += step)
        _mm512_store_si512(to + (size_t)j * RN_AMX_LINE, _mm512_maskz_loadu_epi16(whole, from + at));
    for (; j < p->pitch; j++, at += step)
        _mm512_store_si512(to + (size_t)j * RN_AMX_LINE,
                           _mm512_maskz_loadu_epi16(whole & part_of_row(at, end), from + at));
}

int rn_amx_strip_rows(const rn_amx_plan *p)
{
    return p->nsubs * (p->block + p->dy1 - p->dy0);
}

void rn_amx_fill_line(const rn_amx_plan *p, const rn_amx_read *read, const uint16_t *src, int n, int y0, int i, int k,
                      char *to)
{
    const int rows = p->block + p->dy1 - p->dy0, s = i / rows;
    const int64_t y = ((int64_t)y0 + i % rows + p->dy0) * p->sy + p->subs[s].y;
    const int64_t x = (int64_t)p->dx0 * p->sx + p->subs[s].x;
    const bool inside = y >= 0 && y < p->h;
    const size_t row = inside ? ((size_t)n * p->h + (size_t)y) * p->w * p->c : 0;

    if (!inside)
        memset(to, 0, (size_t)p->pitch * RN_AMX_LINE);
    else if (p->window > 1)
        fill_windows(p, src + row, x, k, to);
    else
        fill_pixels(p, read, src + row, read->other ? read->other + row : NULL, x, k, to);
}

void rn_amx_fill_row(const rn_amx_plan *p, const rn_amx_read *read, const uint16_t *src, int n, int y0, int i,
                     char *strip)
{
    const size_t line = (size_t)p->pitch * RN_AMX_LINE, plane = (size_t)rn_amx_strip_rows(p) * line;

    for (int k = 0; k < p->planes; k++)
        rn_amx_fill_line(p, read, src, n, y0, i, k, strip + (size_t)i * line + (size_t)k * plane);
    /* what the last row's taps read past its end, and tiles past the last position */
    if (i == 0)
        memset(strip + p->planes * plane, 0, p->image - p->planes * plane);
}

/* ---- bwd_w ------------------------------------------------------------------------------------------------------------ */

/* Eight numbers at x, the first ones if the mask is not 255. */
static inline __m128i load8(const uint16_t *x, const __mmask8 mask)
{
    return mask == 0xff ? _mm_loadu_si128((const __m128i *)x) : _mm_maskz_loadu_epi16(mask, x);
}

/* 32 positions x 8 channels: each of the four 128-bit lanes is a square of 8 positions. */
static inline void transpose8(const uint16_t *const *px, int c, const __mmask8 mask, uint16_t *to, size_t ld)
{
    __m512i z[8], t[8], u[8];

#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        z[i] = _mm512_castsi128_si512(load8(px[i] + c, mask));
        z[i] = _mm512_inserti32x4(z[i], load8(px[8 + i] + c, mask), 1);
        z[i] = _mm512_inserti32x4(z[i], load8(px[16 + i] + c, mask), 2);
        z[i] = _mm512_inserti32x4(z[i], load8(px[24 + i] + c, mask), 3);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm512_unpacklo_epi16(z[i], z[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi16(z[i], z[i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) {
        u[i] = _mm512_unpacklo_epi32(t[i], t[i + 2]);
        u[i + 1] = _mm512_unpackhi_epi32(t[i], t[i + 2]);
        u[i + 2] = _mm512_unpacklo_epi32(t[i + 1], t[i + 3]);
        u[i + 3] = _mm512_unpackhi_epi32(t[i + 1], t[i + 3]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        if (mask >> (2 * i) & 1)
            _mm512_store_si512(to + (size_t)(2 * i) * ld, _mm512_unpacklo_epi64(u[i], u[i + 4]));
        if (mask >> (2 * i + 1) & 1)
            _mm512_store_si512(to + (size_t)(2 * i + 1) * ld, _mm512_unpackhi_epi64(u[i], u[i + 4]));
    }
}

void rn_amx_transpose(const uint16_t *const *px, int m, uint16_t *to, size_t ld)
{
    int c = 0;

    for (; c + 8 <= m; c += 8)
        transpose8(px, c, 0xff, to + (size_t)c * ld, ld);
    if (c < m)
        transpose8(px, c, (__mmask8)((1u << (m - c)) - 1), to + (size_t)c * ld, ld);
}

void rn_amx_interleave(const char *plane, int n, int q, char *steps)
{
    for (int i = 0; i < n; i += 2, q += 2, plane += 2 * RN_AMX_LINE) {
        char *to = steps + (size_t)(q / 32) * 2 * RN_AMX_TILE + (size_t)(q % 32 / 2) * RN_AMX_LINE;
        const __m512i one = _mm512_load_si512(plane), two = _mm512_load_si512(plane + RN_AMX_LINE);
        _mm512_store_si512(to, rn_interleave(one, two, 0));
        _mm512_store_si512(to + RN_AMX_TILE, rn_interleave(one, two, 16));
    }
}
