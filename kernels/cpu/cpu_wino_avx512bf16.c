/* SPDX-License-Identifier: MIT */
/* cpu:winograd-pairs: 14 x 32 register tiles of vdpbf16ps, and the cells that they take. */
#if defined(__x86_64__)
#include <immintrin.h>

#define VL 16
#define MR 14
#define PAIRS
#include "kernels/cpu/cpu_wino_tile.h"

/* Words 0, 16, 1, 17, ...: two vectors of 16 words side by side, in pairs. */
static inline __m512i pair(__m512 first, __m512 second)
{
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                                           21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(second, first));
}

static void channels(const float *from, size_t lines, size_t freqs, float *to, rn_wino_place place)
{
    const size_t line = freqs * RN_WINO_LINE;

    for (size_t l = 0; l < lines; l += 2, from += 2 * line, to += place.line) {
        for (size_t f = 0; f < freqs; f++) {
            if (place.ask)
                __builtin_prefetch(to + place.line + f * place.freq, 1);
            const __m512 first = _mm512_loadu_ps(from + f * RN_WINO_LINE);
            const __m512 second = l + 1 < lines ? _mm512_loadu_ps(from + line + f * RN_WINO_LINE) : _mm512_setzero_ps();
            _mm512_storeu_si512(to + f * place.freq, (__m512i)_mm512_cvtne2ps_pbh(second, first));
        }
    }
}

static void tiles(const float *first, const float *second, size_t lines, size_t freqs, float *to, rn_wino_place place)
{
    for (size_t l = 0; l < lines; l++, to += place.line) {
        for (size_t f = 0; f < freqs; f++, first += RN_WINO_LINE) {
            if (place.ask)
                __builtin_prefetch(to + place.line + f * place.freq, 1);
            const __m512 other = second ? _mm512_loadu_ps(second) : _mm512_setzero_ps();
            _mm512_storeu_si512(to + f * place.freq, pair(_mm512_loadu_ps(first), other));
            if (second)
                second += RN_WINO_LINE;
        }
    }
}

static void cells(const float *first, const float *second, size_t freqs, float *to, size_t freq, bool past)
{
    for (size_t f = 0; f < freqs; f++, first += VL, to += freq) {
        const __m512 other = second ? _mm512_loadu_ps(second + f * VL) : _mm512_setzero_ps();
        v_store_either(to, (vec)pair(_mm512_loadu_ps(first), other), past);
    }
}

const rn_wino_pairs rn_wino_avx512_pairs = {
    .product_rows = product_rows, .product_cols = product_cols, .channels = channels, .tiles = tiles, .cells = cells};
#else
typedef int rn_wino_no_pairs; /* ISO C wants a declaration in every file */
#endif
