/* SPDX-License-Identifier: MIT */
/*
 * The rows of a resize with AVX-512, bit for bit. vpermb (VBMI) brings any bytes of a row side by side, and vpdpbusd
 * (VNNI) adds four products of a pixel and a signed byte to a 32-bit sum. A coefficient is three such bytes, d[2] 2^16 +
 * d[1] 2^8 + d[0]; the three sums are shifted and added: modulo 2^32 that is the portable code's sum, which has no
 * overflow, and so is it.
 */
#include "data/image/rn_resize_kernels.h"

#if defined(__x86_64__)
/* beyond what the file's name asks the compiler for; rn_isa_bytes512() */
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512vbmi,avx512vnni"))), apply_to = function)
#else
#pragma GCC target("avx512vbmi,avx512vnni")
#endif
#include <immintrin.h>
#include <string.h>

/* The low n bytes of a vector. */
static inline __mmask64 low_bytes(long n)
{
    return n >= 64 ? ~(__mmask64)0 : n <= 0 ? 0 : ~(__mmask64)0 >> (64 - n);
}

typedef struct sums {
    __m512i d[3];
} sums;

static inline void add_products(sums *s, __m512i px, const __m512i k[3])
{
    for (int i = 0; i < 3; i++)
        s->d[i] = _mm512_dpbusd_epi32(s->d[i], px, k[i]);
}

/* The sum, not yet rounded. */
static inline __m512i join(const sums *s)
{
    __m512i high = _mm512_add_epi32(_mm512_slli_epi32(s->d[2], 8), s->d[1]);
    return _mm512_add_epi32(_mm512_slli_epi32(high, 8), s->d[0]);
}

static inline sums sums_begin(int32_t d0)
{
    return (sums){{_mm512_set1_epi32(d0), _mm512_setzero_si512(), _mm512_setzero_si512()}};
}

enum { HALF = 1 << (RN_RESIZE_BITS - 1) };

static inline __m512i settle(const sums *s)
{
    return _mm512_srai_epi32(join(s), RN_RESIZE_BITS);
}

/* The same for the few groups of most resizes, with all that they read in registers: one sum, shifted on its way. */
static inline __m512i settled(const __m512i *px, const __m512i (*k)[3], int groups)
{
    __m512i s = _mm512_set1_epi32(HALF >> 16);
    for (int d = 2; d >= 0; d--) {
        for (int g = 0; g < groups; g++)
            s = _mm512_dpbusd_epi32(s, px[g], k[g][d]);
        s = d ? _mm512_slli_epi32(s, 8) : _mm512_srai_epi32(s, RN_RESIZE_BITS);
    }
    return s;
}

enum { FEW = 3 }; /* groups: 12 taps, what Lanczos takes to halve an image */

/* ---- Pillow, horizontal: neighbouring outputs in one vector ---------------------------------------------------------- */

/* What the blocks of a row have in common: lane j of 32 bits is channel j % c of the block's output j / c. */
typedef struct lanes {
    __m512i px;   /* j / c */
    __m512i taps; /* in bytes: channel + c * (0, 1, 2, 3) */
    int per;
} lanes;

static inline lanes lanes_of(int c)
{
    if (c == 1)
        return (lanes){_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                       _mm512_set1_epi32(0x03020100), rn_resize_lanes(1)};
    const int r = 0x09060300, g = 0x0a070401, b = 0x0b080502;
    return (lanes){_mm512_setr_epi32(0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 4),
                   _mm512_setr_epi32(r, g, b, r, g, b, r, g, b, r, g, b, r, g, b, b), rn_resize_lanes(3)};
}

/* The first pixel that a block from output i on reads. */
static inline int block_base(const rn_pass *p, int i, int per)
{
    int a = p->first[i], b = p->first[i + per < p->n ? i + per - 1 : p->n - 1];
    return a < b ? a : b;
}

/* Which bytes, counted from the block's first, the lanes of the block from output i on take. */
static inline __m512i block_index(const rn_pass *p, const lanes *l, int c, int i, int base)
{
    const __m512i spread = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12));
    __m512i x = _mm512_permutexvar_epi32(l->px, _mm512_loadu_si512(p->first + i));
    x = _mm512_sub_epi32(x, _mm512_set1_epi32(base));
    x = c == 3 ? _mm512_add_epi32(x, _mm512_slli_epi32(x, 1)) : x;
    return _mm512_add_epi8(_mm512_shuffle_epi8(x, spread), l->taps);
}

/* 16 lanes of four rows to bytes; the last block writes no more than it has. */
static inline void store_rows(const __m512i s[RN_RESIZE_QUAD], uint8_t *const *dst, size_t at, int bytes)
{
    const __m512i rows = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m512i a = _mm512_packs_epi32(s[0], s[1]), b = _mm512_packs_epi32(s[2], s[3]);
    __m512i v = _mm512_permutexvar_epi32(rows, _mm512_packus_epi16(a, b)); /* each row's bytes together */
    __m128i row[RN_RESIZE_QUAD] = {_mm512_castsi512_si128(v), _mm512_extracti32x4_epi32(v, 1),
                                   _mm512_extracti32x4_epi32(v, 2), _mm512_extracti32x4_epi32(v, 3)};
    if (bytes >= 16)
        for (int r = 0; r < RN_RESIZE_QUAD; r++)
            _mm_storeu_si128((__m128i *)(dst[r] + at), row[r]);
    else
        for (int r = 0; r < RN_RESIZE_QUAD; r++)
            _mm_mask_storeu_epi8(dst[r] + at, (__mmask16)low_bytes(bytes), row[r]);
}

/* Group g of the block of outputs from i on: its coefficients, a lane's in each lane. */
static inline void block_k(const rn_pass *p, const lanes *l, int i, int g, __m512i k[3])
{
    for (int d = 0; d < 3; d++)
        k[d] =
            _mm512_permutexvar_epi32(l->px, _mm512_loadu_si512(p->d[d] + ((size_t)g * (size_t)p->n + (size_t)i) * 4));
}

/* A quad of rows of the block, the same for every quad. `groups`: those of the pass where they are few (a constant, once
 * inlined), whose coefficients are at hand in k; else 0. `at` is the block's first byte. */
typedef struct block {
    __m512i index, k[FEW][3];
    __mmask64 there[FEW]; /* what lies behind the row's end is 0, and not read */
    long at, left;        /* the row's bytes from there on */
} block;

static inline void quad_few(const block *b, int c, int groups, const uint8_t *const *src, __m512i *out)
{
    for (int r = 0; r < RN_RESIZE_QUAD; r++) {
        __m512i px[FEW];
        for (int g = 0; g < groups; g++)
            px[g] = _mm512_permutexvar_epi8(b->index,
                                            _mm512_maskz_loadu_epi8(b->there[g], src[r] + b->at + (long)4 * g * c));
        out[r] = settled(px, b->k, groups);
    }
}

static inline void quad_many(const rn_pass *p, const block *b, const lanes *l, int c, int i, const uint8_t *const *src,
                             __m512i *out)
{
    sums s[RN_RESIZE_QUAD];
    for (int r = 0; r < RN_RESIZE_QUAD; r++)
        s[r] = sums_begin(HALF);
    for (int g = 0; g < p->groups; g++) {
        __m512i k[3];
        block_k(p, l, i, g, k);
        const __mmask64 there = low_bytes(b->left - (long)4 * g * c);
        for (int r = 0; r < RN_RESIZE_QUAD; r++) {
            __m512i v = _mm512_maskz_loadu_epi8(there, src[r] + b->at + (long)4 * g * c);
            add_products(&s[r], _mm512_permutexvar_epi8(b->index, v), k);
        }
    }
    for (int r = 0; r < RN_RESIZE_QUAD; r++)
        out[r] = settle(&s[r]);
}

static inline __attribute__((always_inline)) void rows_side_by_side(const rn_pass *pass, int c, int groups,
                                                                    const uint8_t *const *src, uint8_t *const *dst)
{
    const rn_pass own = *pass, *p = &own; /* copies, which no store of a pixel can change */
    const uint8_t *from[RN_RESIZE_ROWS];
    uint8_t *to[RN_RESIZE_ROWS];
    memcpy(from, src, sizeof from);
    memcpy(to, dst, sizeof to);
    const lanes l = lanes_of(c);
    const int rows = from[RN_RESIZE_QUAD] == from[RN_RESIZE_QUAD - 1] ? RN_RESIZE_QUAD : RN_RESIZE_ROWS;
    for (int i = 0; i < p->n; i += l.per) {
        int base = block_base(p, i, l.per);
        block b = {.index = block_index(p, &l, c, i, base), .at = (long)base * c, .left = (long)(p->in_n - base) * c};
        for (int g = 0; g < groups; g++) {
            block_k(p, &l, i, g, b.k[g]);
            b.there[g] = low_bytes(b.left - (long)4 * g * c);
        }
        for (int q = 0; q < rows; q += RN_RESIZE_QUAD) {
            __m512i out[RN_RESIZE_QUAD];
            if (groups)
                quad_few(&b, c, groups, from + q, out);
            else
                quad_many(p, &b, &l, c, i, from + q, out);
            /* 15 bytes count of the 16 that three channels write: the next block sets the last one right */
            store_rows(out, to + q, (size_t)i * (size_t)c, (p->n - i) * c);
        }
    }
}

/* ---- Pillow, horizontal: one output with many taps in one vector ------------------------------------------------------ */

/* Each 128-bit lane's four sums added up: dword r of lane q is row r's. */
static inline __m512i add_lanes(const sums s[RN_RESIZE_QUAD])
{
    __m512i j[RN_RESIZE_QUAD];
    for (int r = 0; r < RN_RESIZE_QUAD; r++)
        j[r] = join(&s[r]);
    __m512i a = _mm512_add_epi32(_mm512_unpacklo_epi32(j[0], j[1]), _mm512_unpackhi_epi32(j[0], j[1]));
    __m512i b = _mm512_add_epi32(_mm512_unpacklo_epi32(j[2], j[3]), _mm512_unpackhi_epi32(j[2], j[3]));
    return _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
}

/* dword 4 ch + r: channel ch of row r. */
static inline void store_pixel(__m512i sum, int c, uint8_t *const *dst, size_t at)
{
    uint8_t px[16];
    sum = _mm512_srai_epi32(_mm512_add_epi32(sum, _mm512_set1_epi32(HALF)), RN_RESIZE_BITS);
    _mm_storeu_si128((__m128i *)px, _mm512_cvtusepi32_epi8(_mm512_max_epi32(sum, _mm512_setzero_si512())));
    for (int r = 0; r < RN_RESIZE_QUAD; r++)
        for (int ch = 0; ch < c; ch++)
            dst[r][at + (size_t)ch] = px[4 * ch + r];
}

/* Lane q of 128 bits is channel q: 16 taps a step. */
static inline void rows_one_by_one_rgb(const rn_pass *p, const uint8_t *const *src, uint8_t *const *dst)
{
    const __m512i step = _mm512_setr_epi32(0, 12, 24, 36, 0, 12, 24, 36, 0, 12, 24, 36, 0, 0, 0, 0);
    const int r0 = 0x09060300, g0 = 0x0a070401, b0 = 0x0b080502;
    const __m512i taps = _mm512_setr_epi32(r0, r0, r0, r0, g0, g0, g0, g0, b0, b0, b0, b0, 0, 0, 0, 0);
    const __m512i spread = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12));
    const __m512i index = _mm512_add_epi8(_mm512_shuffle_epi8(step, spread), taps);
    for (int i = 0; i < p->n; i++) {
        sums s[RN_RESIZE_QUAD];
        for (int r = 0; r < RN_RESIZE_QUAD; r++)
            s[r] = sums_begin(0);
        for (int t = 0; t < p->count[i]; t += 16) {
            size_t k_at = (size_t)i * (size_t)p->groups * 4 + (size_t)t, at = ((size_t)p->first[i] + (size_t)t) * 3;
            __m512i k[3];
            for (int d = 0; d < 3; d++)
                k[d] = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(p->d[d] + k_at)));
            const __mmask64 there = low_bytes((long)(p->count[i] - t < 16 ? p->count[i] - t : 16) * 3);
            for (int r = 0; r < RN_RESIZE_QUAD; r++) {
                __m512i v = _mm512_maskz_loadu_epi8(there, src[r] + at);
                add_products(&s[r], _mm512_permutexvar_epi8(index, v), k);
            }
        }
        store_pixel(add_lanes(s), 3, dst, 3 * (size_t)i);
    }
}

/* 64 taps a step. */
static inline void rows_one_by_one_gray(const rn_pass *p, const uint8_t *const *src, uint8_t *const *dst)
{
    for (int i = 0; i < p->n; i++) {
        sums s[RN_RESIZE_QUAD];
        for (int r = 0; r < RN_RESIZE_QUAD; r++)
            s[r] = sums_begin(0);
        for (int t = 0; t < p->count[i]; t += 64) {
            size_t k_at = (size_t)i * (size_t)p->groups * 4 + (size_t)t, at = (size_t)p->first[i] + (size_t)t;
            __m512i k[3];
            for (int d = 0; d < 3; d++)
                k[d] = _mm512_loadu_si512(p->d[d] + k_at);
            const __mmask64 there = low_bytes(p->count[i] - t);
            for (int r = 0; r < RN_RESIZE_QUAD; r++)
                add_products(&s[r], _mm512_maskz_loadu_epi8(there, src[r] + at), k);
        }
        __m512i sum = add_lanes(s); /* still in four parts */
        sum = _mm512_add_epi32(sum, _mm512_shuffle_i32x4(sum, sum, 0x4e));
        sum = _mm512_add_epi32(sum, _mm512_shuffle_i32x4(sum, sum, 0xb1));
        store_pixel(sum, 1, dst, (size_t)i);
    }
}

void rn_resize_rows_h_avx512(const rn_pass *p, int c, const uint8_t *const *src, uint8_t *const *dst)
{
    if (p->form == RN_FORM_WIDE)
        for (int q = 0; q < RN_RESIZE_ROWS && (q == 0 || src[q] != src[q - 1]); q += RN_RESIZE_QUAD)
            (c == 3 ? rows_one_by_one_rgb : rows_one_by_one_gray)(p, src + q, dst + q);
    else if (c == 1)
        rows_side_by_side(p, 1, 0, src, dst);
    else if (p->groups == 1)
        rows_side_by_side(p, 3, 1, src, dst);
    else if (p->groups == 2)
        rows_side_by_side(p, 3, 2, src, dst);
    else if (p->groups == 3)
        rows_side_by_side(p, 3, 3, src, dst);
    else
        rows_side_by_side(p, 3, 0, src, dst);
}

/* ---- Pillow, vertical ------------------------------------------------------------------------------------------------- */

/* 64 bytes of four rows: sixteen lanes of four taps in each of q, in the order that two packings restore. */
static inline void interleave(const __m512i v[4], __m512i q[4])
{
    __m512i ab0 = _mm512_unpacklo_epi8(v[0], v[1]), ab1 = _mm512_unpackhi_epi8(v[0], v[1]);
    __m512i cd0 = _mm512_unpacklo_epi8(v[2], v[3]), cd1 = _mm512_unpackhi_epi8(v[2], v[3]);
    q[0] = _mm512_unpacklo_epi16(ab0, cd0);
    q[1] = _mm512_unpackhi_epi16(ab0, cd0);
    q[2] = _mm512_unpacklo_epi16(ab1, cd1);
    q[3] = _mm512_unpackhi_epi16(ab1, cd1);
}

/* Group g of output row i, the same in all lanes. */
static inline void row_k(const rn_pass *p, int i, int g, __m512i k[3])
{
    for (int d = 0; d < 3; d++) {
        int32_t four;
        memcpy(&four, p->d[d] + ((size_t)g * (size_t)p->n + (size_t)i) * 4, 4);
        k[d] = _mm512_set1_epi32(four);
    }
}

/* 64 bytes from b on of the rows of group g. Beyond count the coefficients are 0, and any row will do. */
static inline void row_px(const uint8_t *const *rows, int count, int g, size_t b, __mmask64 there, __m512i q[4])
{
    __m512i v[4];
    for (int r = 0; r < 4; r++)
        v[r] = _mm512_maskz_loadu_epi8(there, rows[4 * g + r < count ? 4 * g + r : 4 * g] + b);
    interleave(v, q);
}

static inline __m512i pack(const __m512i v[4])
{
    return _mm512_packus_epi16(_mm512_packs_epi32(v[0], v[1]), _mm512_packs_epi32(v[2], v[3]));
}

static inline __m512i block_many(const rn_pass *p, int i, const uint8_t *const *rows, size_t b, __mmask64 there)
{
    sums s[4];
    __m512i out[4];
    for (int j = 0; j < 4; j++)
        s[j] = sums_begin(HALF);
    for (int g = 0; 4 * g < p->count[i]; g++) {
        __m512i k[3], q[4];
        row_k(p, i, g, k);
        row_px(rows, p->count[i], g, b, there, q);
        for (int j = 0; j < 4; j++)
            add_products(&s[j], q[j], k);
    }
    for (int j = 0; j < 4; j++)
        out[j] = settle(&s[j]);
    return pack(out);
}

static inline __attribute__((always_inline)) __m512i block_few(const __m512i (*k)[3], int groups, int count,
                                                               const uint8_t *const *rows, size_t b, __mmask64 there)
{
    __m512i q[FEW][4], out[4];
    for (int g = 0; g < groups; g++)
        row_px(rows, count, g, b, there, q[g]);
    for (int j = 0; j < 4; j++) {
        __m512i px[FEW];
        for (int g = 0; g < groups; g++)
            px[g] = q[g][j];
        out[j] = settled(px, k, groups);
    }
    return pack(out);
}

static inline __attribute__((always_inline)) void row_v(const rn_pass *p, int i, int groups, const uint8_t *const *rows,
                                                        int n, uint8_t *dst)
{
    int b = 0, count = p->count[i];
    const uint8_t *near[4 * FEW];
    __m512i k[FEW][3];
    for (int g = 0; g < groups; g++)
        row_k(p, i, g, k[g]);
    for (int t = 0; t < 4 * groups; t++)
        near[t] = rows[t < count ? t : 0];
    for (; b < n; b += 64) {
        const __mmask64 there = low_bytes(n - b);
        __m512i v = groups ? block_few(k, groups, 4 * groups, near, (size_t)b, there)
                           : block_many(p, i, rows, (size_t)b, there);
        if (b + 64 <= n)
            _mm512_storeu_si512(dst + b, v);
        else
            _mm512_mask_storeu_epi8(dst + b, there, v);
    }
}

void rn_resize_row_v_avx512(const rn_pass *p, int i, const uint8_t *const *rows, int n, uint8_t *dst)
{
    int groups = (p->count[i] + 3) / 4;
    if (groups == 1)
        row_v(p, i, 1, rows, n, dst);
    else if (groups == 2)
        row_v(p, i, 2, rows, n, dst);
    else if (groups == 3)
        row_v(p, i, 3, rows, n, dst);
    else
        row_v(p, i, 0, rows, n, dst);
}

/* ---- OpenCV ---------------------------------------------------------------------------------------------------------- */

static inline void cv_side_by_side(const rn_pass *p, int c, const uint8_t *src, int16_t *line)
{
    const lanes l = lanes_of(c);
    const __mmask64 words = 0x5555555555555555; /* a byte and a zero: 16 bits */
    const __m512i pick =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1));
    for (int i = 0; i < p->n; i += l.per) {
        int base = block_base(p, i, l.per);
        /* taps 0 and 1 of each lane's four */
        const __m512i index = _mm512_shuffle_epi8(block_index(p, &l, c, i, base), pick);
        __m512i k = _mm512_permutexvar_epi32(l.px, _mm512_loadu_si512(p->pairs + 2 * (size_t)i));
        size_t at = (size_t)base * (size_t)c;
        __m512i v = _mm512_maskz_loadu_epi8(low_bytes((long)p->in_n * c - (long)at), src + at);
        __m512i d = _mm512_madd_epi16(_mm512_maskz_permutexvar_epi8(words, index, v), k);
        _mm256_storeu_si256((__m256i *)(line + (size_t)i * (size_t)c), _mm512_cvtepi32_epi16(_mm512_srli_epi32(d, 4)));
    }
}

void rn_resize_cv_h_avx512(const rn_pass *p, int c, const uint8_t *src, int16_t *line)
{
    if (!p->fits)
        rn_resize_cv_h_avx2(p, c, src, line);
    else if (c == 3)
        cv_side_by_side(p, 3, src, line);
    else
        cv_side_by_side(p, 1, src, line);
}

/* k * x >> 16 is what vpmulhw gives. */
static inline __m512i cv_mix(const int16_t *a, const int16_t *b, __m512i ka, __m512i kb)
{
    __m512i sum =
        _mm512_add_epi16(_mm512_mulhi_epi16(_mm512_loadu_si512(a), ka), _mm512_mulhi_epi16(_mm512_loadu_si512(b), kb));
    return _mm512_srai_epi16(_mm512_add_epi16(sum, _mm512_set1_epi16(2)), 2);
}

void rn_resize_cv_v_avx512(const int32_t k[2], const int16_t *a, const int16_t *b, int n, uint8_t *dst)
{
    const __m512i ka = _mm512_set1_epi16((int16_t)k[0]), kb = _mm512_set1_epi16((int16_t)k[1]);
    int i = 0;
    for (; i + 32 <= n; i += 32)
        _mm256_storeu_si256((__m256i *)(dst + i), _mm512_cvtepi16_epi8(cv_mix(a + i, b + i, ka, kb)));
    rn_resize_cv_v_ref(k, a + i, b + i, n - i, dst + i);
}

/* Neighbouring bytes added, in both rows; their means, 32 bytes. */
static inline __m256i cv_means(__m512i a, __m512i b)
{
    const __m512i one = _mm512_set1_epi8(1);
    __m512i sum = _mm512_add_epi16(_mm512_maddubs_epi16(a, one), _mm512_maddubs_epi16(b, one));
    return _mm512_cvtepi16_epi8(_mm512_srli_epi16(_mm512_add_epi16(sum, _mm512_set1_epi16(2)), 2));
}

void rn_resize_cv_half_avx512(const uint8_t *a, const uint8_t *b, int c, int n, uint8_t *dst)
{
    uint8_t order[64];
    for (int j = 0; j < 64; j++) /* ten outputs of 3 channels, and four bytes to spare */
        order[j] = (uint8_t)(c == 3 ? j / 6 * 6 + j / 2 % 3 + j % 2 * 3 : j);
    const __m512i pairs = _mm512_loadu_si512(order);
    const int step = c == 3 ? 10 : 32, room = c == 3 ? 11 : 32;
    int i = 0;
    for (; i + room <= n; i += step) {
        size_t at = (size_t)i * (size_t)c;
        __m512i va = _mm512_permutexvar_epi8(pairs, _mm512_loadu_si512(a + 2 * at));
        __m512i vb = _mm512_permutexvar_epi8(pairs, _mm512_loadu_si512(b + 2 * at));
        _mm256_storeu_si256((__m256i *)(dst + at), cv_means(va, vb));
    }
    const size_t at = (size_t)i * (size_t)c;
    rn_resize_cv_half_ref(a + 2 * at, b + 2 * at, c, n - i, dst + at);
}

#if defined(__clang__)
#pragma clang attribute pop
#endif
#else
typedef int rn_resize_no_avx512; /* an empty translation unit is not ISO C */
#endif
