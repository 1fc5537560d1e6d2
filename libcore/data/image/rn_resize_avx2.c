/* SPDX-License-Identifier: MIT */
/*
 * The rows of a resize with AVX2, bit for bit. A coefficient of 23 bits does not fit vpmaddwd's 16, so it is split into
 * high * 2^11 + low; both sums are exact in 32 bits and join to the very integer that the portable code has.
 */
#include "data/image/rn_resize_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

/* low + high * 2^11, rounded and settled to the pixel's scale. */
static inline __m256i join(__m256i lo, __m256i hi)
{
    const __m256i half = _mm256_set1_epi32(1 << (RN_RESIZE_BITS - 1));
    return _mm256_srai_epi32(_mm256_add_epi32(_mm256_add_epi32(lo, half), _mm256_slli_epi32(hi, RN_RESIZE_LOW_BITS)),
                             RN_RESIZE_BITS);
}

static inline int most(int a, int b)
{
    return a > b ? a : b;
}

/* ---- Pillow, horizontal -------------------------------------------------------------------------------------------- */

/* 16 bytes from each place in the two halves. */
static inline __m256i load_two(const uint8_t *a, const uint8_t *b)
{
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)a)),
                                   _mm_loadu_si128((const __m128i *)b), 1);
}

/* The coefficients of two outputs for one group: taps 0 and 1, 2 and 3; low, high; the same for R, G, B. */
typedef struct pair_k {
    __m256i l01, l23, h01, h23;
} pair_k;

static inline pair_k pair_k_of(const rn_pass *p, int i, int g)
{
    const __m256i a = _mm256_setr_epi32(0, 0, 0, 0, 2, 2, 2, 2), b = _mm256_setr_epi32(1, 1, 1, 1, 3, 3, 3, 3);
    size_t at = ((size_t)g * (size_t)p->n + (size_t)i) * 4;
    __m256i l = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(p->low + at)));
    __m256i h = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(p->high + at)));
    return (pair_k){_mm256_permutevar8x32_epi32(l, a), _mm256_permutevar8x32_epi32(l, b),
                    _mm256_permutevar8x32_epi32(h, a), _mm256_permutevar8x32_epi32(h, b)};
}

/* Adds one group's products; a and b are the places of the two outputs' pixels. */
static inline void pair_add(const pair_k *k, const uint8_t *a, const uint8_t *b, __m256i *lo, __m256i *hi)
{
    const __m256i t01 =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1));
    const __m256i t23 =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1));
    __m256i v = load_two(a, b), v01 = _mm256_shuffle_epi8(v, t01), v23 = _mm256_shuffle_epi8(v, t23);
    *lo = _mm256_add_epi32(*lo, _mm256_add_epi32(_mm256_madd_epi16(v01, k->l01), _mm256_madd_epi16(v23, k->l23)));
    *hi = _mm256_add_epi32(*hi, _mm256_add_epi32(_mm256_madd_epi16(v01, k->h01), _mm256_madd_epi16(v23, k->h23)));
}

/* Two settled outputs of four rows to bytes; `exact`: nothing may be written behind them. */
static inline void pair_store(const __m256i s[RN_RESIZE_QUAD], uint8_t *const *dst, size_t at, bool exact)
{
    /* dword r of each half is row r: bring a row's two pixels together, and close the gap between them */
    const __m256i rows = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    const __m128i close = _mm_setr_epi8(0, 1, 2, 4, 5, 6, -1, -1, 8, 9, 10, 12, 13, 14, -1, -1);
    const __m128i zero = _mm_setzero_si128();
    __m256i v = _mm256_packus_epi16(_mm256_packs_epi32(s[0], s[1]), _mm256_packs_epi32(s[2], s[3]));
    v = _mm256_shuffle_epi8(_mm256_permutevar8x32_epi32(v, rows), _mm256_broadcastsi128_si256(close));
    __m128i row[RN_RESIZE_QUAD] = {_mm256_castsi256_si128(v), _mm_unpackhi_epi64(_mm256_castsi256_si128(v), zero),
                                   _mm256_extracti128_si256(v, 1)};
    row[3] = _mm_unpackhi_epi64(row[2], zero);
    if (exact)
        for (int r = 0; r < RN_RESIZE_QUAD; r++)
            memcpy(dst[r] + at, &row[r], 6);
    else
        for (int r = 0; r < RN_RESIZE_QUAD; r++)
            _mm_storel_epi64((__m128i *)(dst[r] + at), row[r]);
}

/* Two outputs of 3 channels, one in each half (dwords R, G, B and an idle one); four rows. `groups`: the pass's where it
 * has few (a constant, once inlined), else 0. */
static inline __attribute__((always_inline)) void rgb_pair(const rn_pass *p, int groups, int i,
                                                           const uint8_t *const *src, uint8_t *const *dst)
{
    const size_t a = 3 * (size_t)p->first[i], b = 3 * (size_t)p->first[i + 1];
    const __m256i zero = _mm256_setzero_si256();
    __m256i s[RN_RESIZE_QUAD];
    if (groups) {
        pair_k k[2];
        for (int g = 0; g < groups; g++)
            k[g] = pair_k_of(p, i, g);
        for (int r = 0; r < RN_RESIZE_QUAD; r++) {
            __m256i lo = zero, hi = zero;
            for (int g = 0; g < groups; g++)
                pair_add(&k[g], src[r] + a + 12 * (size_t)g, src[r] + b + 12 * (size_t)g, &lo, &hi);
            s[r] = join(lo, hi);
        }
    } else {
        __m256i lo[RN_RESIZE_QUAD] = {zero, zero, zero, zero}, hi[RN_RESIZE_QUAD] = {zero, zero, zero, zero};
        for (int g = 0; g < p->groups; g++) {
            const pair_k k = pair_k_of(p, i, g);
            for (int r = 0; r < RN_RESIZE_QUAD; r++)
                pair_add(&k, src[r] + a + 12 * (size_t)g, src[r] + b + 12 * (size_t)g, &lo[r], &hi[r]);
        }
        for (int r = 0; r < RN_RESIZE_QUAD; r++)
            s[r] = join(lo[r], hi[r]);
    }
    pair_store(s, dst, 3 * (size_t)i, i + 2 >= p->n);
}

static inline uint32_t load4(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* Four gray outputs, four rows: 64-bit lanes of four taps. */
static inline void gray_four(const rn_pass *p, int i, const uint8_t *const *src, uint8_t *const *dst)
{
    __m256i lo[RN_RESIZE_QUAD], hi[RN_RESIZE_QUAD];
    for (int r = 0; r < RN_RESIZE_QUAD; r++)
        lo[r] = hi[r] = _mm256_setzero_si256();
    const int32_t *x = p->first + i;
    for (int g = 0; g < p->groups; g++) {
        size_t at = ((size_t)g * (size_t)p->n + (size_t)i) * 4;
        __m256i kl = _mm256_loadu_si256((const __m256i *)(p->low + at));
        __m256i kh = _mm256_loadu_si256((const __m256i *)(p->high + at));
        for (int r = 0; r < RN_RESIZE_QUAD; r++) {
            const uint8_t *s = src[r] + 4 * (size_t)g;
            __m128i v =
                _mm_setr_epi32((int)load4(s + x[0]), (int)load4(s + x[1]), (int)load4(s + x[2]), (int)load4(s + x[3]));
            __m256i w = _mm256_cvtepu8_epi16(v);
            lo[r] = _mm256_add_epi32(lo[r], _mm256_madd_epi16(w, kl));
            hi[r] = _mm256_add_epi32(hi[r], _mm256_madd_epi16(w, kh));
        }
    }
    /* neighbouring dwords are one output's: added, two rows a vector */
    __m256i l01 = _mm256_hadd_epi32(lo[0], lo[1]), h01 = _mm256_hadd_epi32(hi[0], hi[1]);
    __m256i l23 = _mm256_hadd_epi32(lo[2], lo[3]), h23 = _mm256_hadd_epi32(hi[2], hi[3]);
    __m256i words = _mm256_packs_epi32(join(l01, h01), join(l23, h23));
    __m256i bytes = _mm256_packus_epi16(words, words);
    __m128i rows = _mm_unpacklo_epi16(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1));
    uint32_t out[RN_RESIZE_QUAD];
    _mm_storeu_si128((__m128i *)out, rows);
    for (int r = 0; r < RN_RESIZE_QUAD; r++)
        memcpy(dst[r] + i, &out[r], 4);
}

static inline __attribute__((always_inline)) void rows_h(const rn_pass *pass, int c, int groups,
                                                         const uint8_t *const *src, uint8_t *const *dst)
{
    const rn_pass own = *pass, *p = &own; /* copies, which no store of a pixel can change */
    const uint8_t *const from[] = {src[0], src[1], src[2], src[3]};
    uint8_t *const to[] = {dst[0], dst[1], dst[2], dst[3]};
    const int step = c == 3 ? 2 : 4, load = c == 3 ? 16 : 4;
    const int last = (p->in_n - 4 * (p->groups - 1)) * c - load; /* the last byte at which all loads stay in the row */
    for (int i = 0; i < p->n; i += step) {
        if (i + step > p->n)
            i = most(p->n - step, 0); /* some once more */
        int end = i + step < p->n ? i + step : p->n;
        if (end - i < step || most(p->first[i], p->first[end - 1]) * c > last)
            rn_resize_part_h_ref(pass, c, i, end, src, dst);
        else if (c == 3)
            rgb_pair(p, groups, i, from, to);
        else
            gray_four(p, i, from, to);
    }
}

void rn_resize_rows_h_avx2(const rn_pass *p, int c, const uint8_t *const *src, uint8_t *const *dst)
{
    for (int q = 0; q < RN_RESIZE_ROWS && (q == 0 || src[q] != src[q - 1]); q += RN_RESIZE_QUAD)
        if (c == 1)
            rows_h(p, 1, 0, src + q, dst + q);
        else if (p->groups == 1)
            rows_h(p, 3, 1, src + q, dst + q);
        else if (p->groups == 2)
            rows_h(p, 3, 2, src + q, dst + q);
        else
            rows_h(p, 3, 0, src + q, dst + q);
}

/* ---- Pillow, vertical ------------------------------------------------------------------------------------------------ */

static inline __m256i load32(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

static inline void block_v(const rn_pass *p, int i, const uint8_t *const *rows, int b, uint8_t *dst)
{
    const __m256i zero = _mm256_setzero_si256();
    __m256i lo[4] = {zero, zero, zero, zero}, hi[4] = {zero, zero, zero, zero};
    int count = p->count[i];
    for (int t = 0; t < count; t += 2) {
        size_t at = ((size_t)(t / 4) * (size_t)p->n + (size_t)i) * 4 + (size_t)t % 4;
        int32_t l, h;
        memcpy(&l, p->low + at, 4); /* an odd one's partner is 0 */
        memcpy(&h, p->high + at, 4);
        __m256i kl = _mm256_set1_epi32(l), kh = _mm256_set1_epi32(h);
        __m256i va = load32(rows[t] + b), vb = load32(rows[t + 1 < count ? t + 1 : t] + b);
        __m256i first = _mm256_unpacklo_epi8(va, vb), second = _mm256_unpackhi_epi8(va, vb);
        __m256i w[4] = {_mm256_unpacklo_epi8(first, zero), _mm256_unpackhi_epi8(first, zero),
                        _mm256_unpacklo_epi8(second, zero), _mm256_unpackhi_epi8(second, zero)};
        for (int q = 0; q < 4; q++) {
            lo[q] = _mm256_add_epi32(lo[q], _mm256_madd_epi16(w[q], kl));
            hi[q] = _mm256_add_epi32(hi[q], _mm256_madd_epi16(w[q], kh));
        }
    }
    __m256i a = _mm256_packs_epi32(join(lo[0], hi[0]), join(lo[1], hi[1])); /* the unpackings undone */
    __m256i c = _mm256_packs_epi32(join(lo[2], hi[2]), join(lo[3], hi[3]));
    _mm256_storeu_si256((__m256i *)(dst + b), _mm256_packus_epi16(a, c));
}

void rn_resize_row_v_avx2(const rn_pass *p, int i, const uint8_t *const *rows, int n, uint8_t *dst)
{
    if (n < 32) {
        rn_resize_row_v_ref(p, i, rows, n, dst);
        return;
    }
    int b = 0;
    for (; b + 32 <= n; b += 32)
        block_v(p, i, rows, b, dst);
    if (b < n)
        block_v(p, i, rows, n - 32, dst); /* some once more */
}

/* ---- OpenCV ---------------------------------------------------------------------------------------------------------- */

/* Outputs i, i + 1 of 3 channels: dwords R, G, B and an idle one in each half. */
static inline __m256i cv_rgb_pair(const rn_pass *p, int i, const uint8_t *src)
{
    const __m128i taps = _mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1);
    __m128i a = _mm_loadl_epi64((const __m128i *)(src + 3 * (size_t)p->first[i]));
    __m128i b = _mm_loadl_epi64((const __m128i *)(src + 3 * (size_t)p->first[i + 1]));
    __m256i v =
        _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_shuffle_epi8(a, taps)), _mm_shuffle_epi8(b, taps), 1);
    __m256i k = _mm256_castsi128_si256(_mm_loadl_epi64((const __m128i *)(p->pairs + 2 * (size_t)i)));
    k = _mm256_permutevar8x32_epi32(k, _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1));
    return _mm256_srli_epi32(_mm256_madd_epi16(v, k), 4);
}

static inline void cv_rgb_four(const rn_pass *p, int i, const uint8_t *src, int16_t *line)
{
    const __m128i close = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13, -1, -1, -1, -1);
    __m256i w = _mm256_packs_epi32(cv_rgb_pair(p, i, src), cv_rgb_pair(p, i + 2, src)); /* 0, 2 | 1, 3 */
    w = _mm256_shuffle_epi8(_mm256_permute4x64_epi64(w, 0xd8), _mm256_broadcastsi128_si256(close));
    _mm_storeu_si128((__m128i *)(line + 3 * (size_t)i), _mm256_castsi256_si128(w));
    _mm_storeu_si128((__m128i *)(line + 3 * (size_t)i + 6), _mm256_extracti128_si256(w, 1));
}

static inline short load2(const uint8_t *p)
{
    int16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void cv_gray_eight(const rn_pass *p, int i, const uint8_t *src, int16_t *line)
{
    const int32_t *x = p->first + i;
    __m128i v = _mm_setr_epi16(load2(src + x[0]), load2(src + x[1]), load2(src + x[2]), load2(src + x[3]),
                               load2(src + x[4]), load2(src + x[5]), load2(src + x[6]), load2(src + x[7]));
    __m256i k = _mm256_loadu_si256((const __m256i *)(p->pairs + 2 * (size_t)i));
    __m256i d = _mm256_srli_epi32(_mm256_madd_epi16(_mm256_cvtepu8_epi16(v), k), 4);
    __m256i w = _mm256_permute4x64_epi64(_mm256_packs_epi32(d, d), 0xd8);
    _mm_storeu_si128((__m128i *)(line + i), _mm256_castsi256_si128(w));
}

void rn_resize_cv_h_avx2(const rn_pass *p, int c, const uint8_t *src, int16_t *line)
{
    const int step = c == 3 ? 4 : 8, last = p->in_n * c - (c == 3 ? 8 : 2);
    for (int i = 0; i < p->n; i += step) {
        int end = i + step < p->n ? i + step : p->n;
        if (end - i < step || most(p->first[i], p->first[end - 1]) * c > last)
            rn_resize_cv_part_ref(p, c, i, end, src, line);
        else if (c == 3)
            cv_rgb_four(p, i, src, line);
        else
            cv_gray_eight(p, i, src, line);
    }
}

/* k * x >> 16 is what vpmulhw gives. */
static inline __m256i cv_mix(const int16_t *a, const int16_t *b, __m256i ka, __m256i kb)
{
    __m256i va = _mm256_loadu_si256((const __m256i *)a), vb = _mm256_loadu_si256((const __m256i *)b);
    __m256i sum = _mm256_add_epi16(_mm256_mulhi_epi16(va, ka), _mm256_mulhi_epi16(vb, kb));
    return _mm256_srai_epi16(_mm256_add_epi16(sum, _mm256_set1_epi16(2)), 2);
}

void rn_resize_cv_v_avx2(const int32_t k[2], const int16_t *a, const int16_t *b, int n, uint8_t *dst)
{
    const __m256i ka = _mm256_set1_epi16((int16_t)k[0]), kb = _mm256_set1_epi16((int16_t)k[1]);
    int i = 0;
    for (; i + 32 <= n; i += 32) {
        __m256i w = _mm256_packus_epi16(cv_mix(a + i, b + i, ka, kb), cv_mix(a + i + 16, b + i + 16, ka, kb));
        _mm256_storeu_si256((__m256i *)(dst + i), _mm256_permute4x64_epi64(w, 0xd8));
    }
    rn_resize_cv_v_ref(k, a + i, b + i, n - i, dst + i);
}

/* Neighbouring bytes added, in both rows; their means. */
static inline __m256i cv_means(__m256i a, __m256i b)
{
    const __m256i one = _mm256_set1_epi8(1);
    __m256i sum = _mm256_add_epi16(_mm256_maddubs_epi16(a, one), _mm256_maddubs_epi16(b, one));
    return _mm256_srli_epi16(_mm256_add_epi16(sum, _mm256_set1_epi16(2)), 2);
}

void rn_resize_cv_half_avx2(const uint8_t *a, const uint8_t *b, int c, int n, uint8_t *dst)
{
    /* in each half: two outputs of 3 channels out of 12 bytes */
    const __m256i pairs =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11, -1, -1, -1, -1));
    int i = 0;
    for (; c == 3 && i + 5 <= n; i += 4) {
        const uint8_t *pa = a + 6 * (size_t)i, *pb = b + 6 * (size_t)i;
        __m256i w = cv_means(_mm256_shuffle_epi8(load_two(pa, pa + 12), pairs),
                             _mm256_shuffle_epi8(load_two(pb, pb + 12), pairs));
        w = _mm256_packus_epi16(w, w);
        _mm_storel_epi64((__m128i *)(dst + 3 * (size_t)i), _mm256_castsi256_si128(w)); /* 6 count of the 8 bytes */
        _mm_storel_epi64((__m128i *)(dst + 3 * (size_t)i + 6), _mm256_extracti128_si256(w, 1));
    }
    for (; c == 1 && i + 32 <= n; i += 32) {
        const uint8_t *pa = a + 2 * (size_t)i, *pb = b + 2 * (size_t)i;
        __m256i w = _mm256_packus_epi16(cv_means(load32(pa), load32(pb)), cv_means(load32(pa + 32), load32(pb + 32)));
        _mm256_storeu_si256((__m256i *)(dst + i), _mm256_permute4x64_epi64(w, 0xd8));
    }
    const size_t at = (size_t)i * (size_t)c;
    rn_resize_cv_half_ref(a + 2 * at, b + 2 * at, c, n - i, dst + at);
}
#else
typedef int rn_resize_no_avx2; /* an empty translation unit is not ISO C */
#endif
