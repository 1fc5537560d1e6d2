/* SPDX-License-Identifier: MIT */
/*
 * bf16 in pairs: the 14 x 32 tiles of AVX-512, each cell a pair, each step (vdpbf16ps) two terms. Each of the two is
 * fused into its f32 sum with one rounding, the odd one first; subnormal inputs count as 0 and subnormal sums become 0.
 */
#include <immintrin.h>
#include <stdint.h>

#include "kernels/cpu/cpu_interleave.h"

#define VL 16
#define MR 14

typedef __m512 vec;
#define v_zero()           _mm512_setzero_ps()
#define v_load(p)          _mm512_loadu_ps(p)
#define v_store(p, v)      _mm512_storeu_ps(p, v)
#define v_set1(x)          _mm512_set1_ps(x)
#define v_fma(a, b, c)     _mm512_dpbf16_ps(c, (__m512bh)(a), (__m512bh)(b))
#define v_add(a, b)        _mm512_add_ps(a, b)
#define v_sub(a, b)        _mm512_sub_ps(a, b)
#define v_mad(a, b, c)     _mm512_fmadd_ps(a, b, c)
#define v_max(a, b)        _mm512_max_ps(a, b)
#define v_gate(z, v)       _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(z, _mm512_setzero_ps(), _CMP_GT_OQ), v)
#define v_mask(n)          ((__mmask16)((1u << (n)) - 1))
#define v_load_n(p, n)     _mm512_maskz_loadu_ps(v_mask(n), p)
#define v_store_n(p, v, n) _mm512_mask_storeu_ps(p, v_mask(n), v)

typedef uint16_t __attribute__((may_alias)) word; /* panels are f32 to everyone else */

static inline void pairs_in_place(word *b, int width)
{
    if (width == 32) {
        const __m512i p = _mm512_loadu_si512(b), q = _mm512_loadu_si512(b + 32);
        _mm512_storeu_si512(b, rn_interleave(p, q, 0));
        _mm512_storeu_si512(b + 32, rn_interleave(p, q, 16));
    } else {
        const __m512i p = _mm512_loadu_si512(b), q = _mm512_castsi256_si512(_mm512_extracti64x4_epi64(p, 1));
        _mm512_storeu_si512(b, rn_interleave(p, q, 0));
    }
}

/* 16 cells at a time, of which the last may be beyond m. */
static inline void pair_cols(float *a, const uint16_t *p, const uint16_t *q, int m)
{
    const __mmask16 mask = (__mmask16)((1u << m) - 1);
    const __m512i x = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, p));
    const __m512i y = q ? _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, q)) : _mm512_setzero_si512();
    _mm512_storeu_si512(a, _mm512_or_si512(x, _mm512_slli_epi32(y, 16)));
}

static inline vec widen(__m256i h)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

/* 32 cells, each of an element of p and one of q. */
static inline void pair_panel(float *to, const uint16_t *p, const uint16_t *q)
{
    const __m512i x = _mm512_loadu_si512(p), y = _mm512_loadu_si512(q);
    _mm512_storeu_si512(to, rn_interleave(x, y, 0));
    _mm512_storeu_si512(to + 16, rn_interleave(x, y, 16));
}

/* 16 elements or the first n of them, each at the low end of a word. */
static inline __m512i low_halves(const uint16_t *p, int n)
{
    if (!p)
        return _mm512_setzero_si512();
    return _mm512_cvtepu16_epi32(n == 16 ? _mm256_loadu_si256((const __m256i *)p)
                                         : _mm256_maskz_loadu_epi16((__mmask16)((1u << n) - 1), p));
}

/* 16 numbers, and 16 more at the high ends. */
static inline vec pair_vecs(vec p, vec q)
{
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                                           21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_castsi512_ps(_mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(q, p)));
}

#define PAIR_VECS(p, q)      pair_vecs(p, q)
#define PAIR_PANEL(to, p, q) pair_panel(to, p, q)
#define CELLS(p, q, n)       _mm512_castsi512_ps(_mm512_or_si512(low_halves(p, n), _mm512_slli_epi32(low_halves(q, n), 16)))

#include "kernels/cpu/cpu_conv_tile.h"

_Static_assert(NR == 32 && MR <= 16, "what pairs_in_place and pair_cols count on");

static void put_rows(void *const *out, float *const *sums, int m, int n, bool add)
{
    for (int i = 0; i < m; i++) {
        uint16_t *to = out[i];
        const float *from = sums[i];
        for (int j = 0; j < n; j += VL) {
            const __mmask16 mask = n - j < VL ? v_mask(n - j) : (__mmask16)-1;
            vec x = _mm512_maskz_loadu_ps(mask, from + j);
            if (add) {
                const __m512i old = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, to + j));
                x = v_add(x, _mm512_castsi512_ps(_mm512_slli_epi32(old, 16)));
            }
            _mm256_mask_storeu_epi16(to + j, mask, (__m256i)_mm512_cvtneps_pbh(x));
        }
    }
}

#define TABLE                    rn_conv_isa_avx512_pairs
#define TYPED(name)              name##_pairs
#define ELEM                     uint16_t
#define PART                     word
#define PER                      2
#define PUT_ROWS                 put_rows
#define GL                       32
#define g_mask(n)                ((__mmask32)((1ull << (n)) - 1))
#define g_zero()                 _mm512_setzero_si512()
#define g_load(p)                _mm512_loadu_si512(p)
#define g_load_n(p, n)           _mm512_maskz_loadu_epi16(g_mask(n), p)
#define g_store(p, v)            _mm512_storeu_si512(p, v)
#define g_store_n(p, v, n)       _mm512_mask_storeu_epi16(p, g_mask(n), v)
#define w_load(p)                widen(_mm256_loadu_si256((const __m256i *)(p)))
#define w_load_n(p, n)           widen(_mm256_maskz_loadu_epi16(v_mask(n), p))
#define w_pack(v0, v1)           ((__m512i)_mm512_cvtne2ps_pbh(v1, v0))
#define PAIRS_IN_PLACE(b, width) pairs_in_place(b, width)
#define PAIR_COLS(a, p, q, m)    pair_cols(a, p, q, m)
#include "kernels/cpu/cpu_conv_gather.h"
