/* SPDX-License-Identifier: MIT */
/* cpu:amx: tensors copied, with their padding, into strips; see cpu_amx.h. */
#include <immintrin.h>
#include <string.h>

#include "kernels/cpu/cpu_amx.h"

static inline __mmask32 first(int n)
{
    return n >= 32 ? 0xffffffff : n <= 0 ? 0 : (1u << n) - 1;
}

/* Plane k of one row of a sub-image: 32 channels of the pixels x0, x0 + sx, ... of the tensor's row `from`. */
static void fill_pixels(const rn_amx_plan *p, const uint16_t *from, int64_t x0, int k, char *to)
{
    const __mmask32 mask = first(p->c - 32 * k);
    const __m512i zero = _mm512_setzero_si512();
    int j = 0;

    for (; j < p->pitch && x0 < 0; j++, x0 += p->sx)
        _mm512_store_si512(to + (size_t)j * RN_AMX_LINE, zero);
    const uint16_t *x = from + x0 * p->c + (ptrdiff_t)32 * k;
    const ptrdiff_t step = (ptrdiff_t)p->sx * p->c;
    for (; j < p->pitch && x0 < p->w; j++, x0 += p->sx, x += step)
        _mm512_store_si512(to + (size_t)j * RN_AMX_LINE, _mm512_maskz_loadu_epi16(mask, x));
    for (; j < p->pitch; j++)
        _mm512_store_si512(to + (size_t)j * RN_AMX_LINE, zero);
}

/* The same where a position holds a row of the window: numbers 32 k.. of the `run` that start at column x0. */
static void fill_windows(const rn_amx_plan *p, const uint16_t *from, int64_t x0, int k, char *to)
{
    const int64_t end = (int64_t)p->w * p->c;

    for (int j = 0; j < p->pitch; j++, x0 += p->sx) {
        const int64_t at = x0 * p->c + 32 * (int64_t)k;
        __mmask32 mask = first(p->run - 32 * k);
        if (at < 0)
            mask = at > -32 ? mask & ~first((int)-at) : 0;
        if (at + 32 > end)
            mask = at < end ? mask & first((int)(end - at)) : 0;
        _mm512_store_si512(to + (size_t)j * RN_AMX_LINE, _mm512_maskz_loadu_epi16(mask, from + at));
    }
}

void rn_amx_fill_strip(const rn_amx_plan *p, const rn_conv_args *a, const uint16_t *src, int n, int y0, char *strip)
{
    const int rows = p->block + p->dy1 - p->dy0;
    const size_t line = (size_t)p->pitch * RN_AMX_LINE, plane = (size_t)p->nsubs * rows * line;

    (void)a;
    for (int s = 0; s < p->nsubs; s++) {
        for (int r = 0; r < rows; r++) {
            const int64_t y = ((int64_t)y0 + r + p->dy0) * p->sy + p->subs[s].y;
            char *to = strip + ((size_t)s * rows + r) * line;
            const bool inside = y >= 0 && y < p->h;
            const uint16_t *from = src + (inside ? ((size_t)n * p->h + (size_t)y) * p->w * p->c : 0);
            const int64_t x = (int64_t)p->dx0 * p->sx + p->subs[s].x;
            for (int k = 0; k < p->planes; k++, to += plane) {
                if (!inside)
                    memset(to, 0, line);
                else if (p->window > 1)
                    fill_windows(p, from, x, k, to);
                else
                    fill_pixels(p, from, x, k, to);
            }
        }
    }
    /* what the last row's taps read past its end, and tiles past the last position */
    memset(strip + p->planes * plane, 0, p->image - p->planes * plane);
}
