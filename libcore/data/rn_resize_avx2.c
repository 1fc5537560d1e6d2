/* SPDX-License-Identifier: MIT */
/*
 * Pillow's passes with AVX2, bit for bit. A coefficient of 22 bits does not fit vpmaddwd's 16, so it is split into
 * high * 2^11 + low; both sums are exact in 32 bits and join to the very integer that the portable code has.
 */
#include "data/rn_resize_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

/* 3 channels: four taps a step. Lanes 0..2 of each half are R, G, B; each 32-bit lane multiplies a pair of neighbours.
 */
void rn_resize_row_h3_avx2(const rn_pass *p, const uint8_t *src, int c, uint8_t *dst)
{
    (void)c;
    const __m256i pairs = _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1,    /* taps 0, 1 */
                                           6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1); /* taps 2, 3 */
    const __m256i spread = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
    const __m128i half = _mm_set1_epi32(1 << (RN_RESIZE_BITS - 1));
    for (int i = 0; i < p->n; i++) {
        const int16_t *lo = p->low + (size_t)i * (size_t)p->taps, *hi = p->high + (size_t)i * (size_t)p->taps;
        const uint8_t *s = src + 3 * (size_t)p->first[i];
        __m256i sum_lo = _mm256_setzero_si256(), sum_hi = sum_lo;
        for (int t = 0; t < p->count[i]; t += 4) {
            __m256i v = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(s + 3 * (size_t)t)));
            v = _mm256_shuffle_epi8(v, pairs);
            __m256i kl = _mm256_castsi128_si256(_mm_loadl_epi64((const __m128i *)(lo + t)));
            __m256i kh = _mm256_castsi128_si256(_mm_loadl_epi64((const __m128i *)(hi + t)));
            sum_lo = _mm256_add_epi32(sum_lo, _mm256_madd_epi16(v, _mm256_permutevar8x32_epi32(kl, spread)));
            sum_hi = _mm256_add_epi32(sum_hi, _mm256_madd_epi16(v, _mm256_permutevar8x32_epi32(kh, spread)));
        }
        __m256i sum = _mm256_add_epi32(sum_lo, _mm256_slli_epi32(sum_hi, RN_RESIZE_LOW_BITS));
        __m128i r = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
        r = _mm_srai_epi32(_mm_add_epi32(r, half), RN_RESIZE_BITS);
        r = _mm_packus_epi16(_mm_packs_epi32(r, r), r);
        uint32_t rgb = (uint32_t)_mm_cvtsi128_si32(r);
        memcpy(dst + 3 * (size_t)i, &rgb, 2);
        dst[3 * (size_t)i + 2] = (uint8_t)(rgb >> 16);
    }
}

/* 16 bytes of a row and of the one below: what the pair of taps adds to the four groups of four sums. */
static inline void add_pair(const uint8_t *a, const uint8_t *b, __m256i kl, __m256i kh, __m256i lo[2], __m256i hi[2])
{
    __m256i va = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)a));
    __m256i vb = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)b));
    __m256i first = _mm256_unpacklo_epi16(va, vb), second = _mm256_unpackhi_epi16(va, vb);
    lo[0] = _mm256_add_epi32(lo[0], _mm256_madd_epi16(first, kl));
    lo[1] = _mm256_add_epi32(lo[1], _mm256_madd_epi16(second, kl));
    hi[0] = _mm256_add_epi32(hi[0], _mm256_madd_epi16(first, kh));
    hi[1] = _mm256_add_epi32(hi[1], _mm256_madd_epi16(second, kh));
}

static inline __m256i join(__m256i lo, __m256i hi)
{
    const __m256i half = _mm256_set1_epi32(1 << (RN_RESIZE_BITS - 1));
    return _mm256_srai_epi32(_mm256_add_epi32(_mm256_add_epi32(lo, half), _mm256_slli_epi32(hi, RN_RESIZE_LOW_BITS)),
                             RN_RESIZE_BITS);
}

void rn_resize_row_v_avx2(const rn_pass *p, int i, const uint8_t *src, size_t stride, int n, uint8_t *dst)
{
    const int16_t *low = p->low + (size_t)i * (size_t)p->taps, *high = p->high + (size_t)i * (size_t)p->taps;
    const uint8_t *s = src + (size_t)p->first[i] * stride;
    int b = 0, count = p->count[i];
    for (; b + 16 <= n; b += 16) {
        __m256i lo[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()}, hi[2] = {lo[0], lo[0]};
        for (int t = 0; t < count; t += 2) {
            int32_t kl, kh;
            memcpy(&kl, low + t, 4); /* taps is a multiple of 4: the odd one's partner is 0 */
            memcpy(&kh, high + t, 4);
            const uint8_t *row = s + (size_t)t * stride + (size_t)b;
            add_pair(row, t + 1 < count ? row + stride : row, _mm256_set1_epi32(kl), _mm256_set1_epi32(kh), lo, hi);
        }
        __m256i r = _mm256_packs_epi32(join(lo[0], hi[0]), join(lo[1], hi[1])); /* unpack's order undone */
        __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(r), _mm256_extracti128_si256(r, 1));
        _mm_storeu_si128((__m128i *)(dst + b), bytes);
    }
    const int32_t *k = p->k + (size_t)i * (size_t)p->taps;
    for (; b < n; b++) {
        int32_t acc = 1 << (RN_RESIZE_BITS - 1);
        for (int t = 0; t < count; t++)
            acc += k[t] * s[(size_t)t * stride + (size_t)b];
        acc >>= RN_RESIZE_BITS;
        dst[b] = (uint8_t)(acc < 0 ? 0 : acc > 255 ? 255 : acc);
    }
}
#else
typedef int rn_resize_no_avx2; /* an empty translation unit is not ISO C */
#endif
