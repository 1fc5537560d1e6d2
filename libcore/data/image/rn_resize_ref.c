/* SPDX-License-Identifier: MIT */
/* Resize in plain C: what every other way must equal to the bit. */
#include "data/image/rn_resize_kernels.h"

static inline uint8_t settle(int32_t acc)
{
    acc >>= RN_RESIZE_BITS;
    return (uint8_t)(acc < 0 ? 0 : acc > 255 ? 255 : acc);
}

static void part(const rn_pass *p, int c, int i0, int i1, const uint8_t *src, uint8_t *dst)
{
    dst += (size_t)i0 * (size_t)c;
    for (int i = i0; i < i1; i++) {
        const int32_t *k = p->k + (size_t)i * (size_t)p->taps;
        const uint8_t *s = src + (size_t)p->first[i] * (size_t)c;
        for (int ch = 0; ch < c; ch++) {
            int32_t acc = 1 << (RN_RESIZE_BITS - 1);
            for (int t = 0; t < p->count[i]; t++)
                acc += k[t] * s[t * c + ch];
            *dst++ = settle(acc);
        }
    }
}

void rn_resize_part_h_ref(const rn_pass *p, int c, int i0, int i1, const uint8_t *const *src, uint8_t *const *dst)
{
    for (int r = 0; r < RN_RESIZE_QUAD; r++)
        part(p, c, i0, i1, src[r], dst[r]);
}

void rn_resize_rows_h_ref(const rn_pass *p, int c, const uint8_t *const *src, uint8_t *const *dst)
{
    for (int r = 0; r < RN_RESIZE_ROWS && (r == 0 || src[r] != src[r - 1]); r++)
        part(p, c, 0, p->n, src[r], dst[r]);
}

void rn_resize_row_v_ref(const rn_pass *p, int i, const uint8_t *const *rows, int n, uint8_t *dst)
{
    const int32_t *k = p->k + (size_t)i * (size_t)p->taps;
    for (int b = 0; b < n; b++) {
        int32_t acc = 1 << (RN_RESIZE_BITS - 1);
        for (int t = 0; t < p->count[i]; t++)
            acc += k[t] * rows[t][b];
        dst[b] = settle(acc);
    }
}

void rn_resize_cv_part_ref(const rn_pass *p, int c, int i0, int i1, const uint8_t *src, int16_t *line)
{
    line += (size_t)i0 * (size_t)c;
    for (int i = i0; i < i1; i++) {
        const int32_t *k = p->k + (size_t)i * (size_t)p->taps;
        const uint8_t *a = src + (size_t)p->first[i] * (size_t)c, *b = p->count[i] > 1 ? a + c : a;
        for (int ch = 0; ch < c; ch++)
            *line++ = (int16_t)((a[ch] * k[0] + b[ch] * k[1]) >> 4); /* at most 255 * 2^7 */
    }
}

void rn_resize_cv_h_ref(const rn_pass *p, int c, const uint8_t *src, int16_t *line)
{
    rn_resize_cv_part_ref(p, c, 0, p->n, src, line);
}

void rn_resize_cv_v_ref(const int32_t k[2], const int16_t *a, const int16_t *b, int n, uint8_t *dst)
{
    for (int i = 0; i < n; i++)
        dst[i] = (uint8_t)((((k[0] * a[i]) >> 16) + ((k[1] * b[i]) >> 16) + 2) >> 2);
}

void rn_resize_cv_half_ref(const uint8_t *a, const uint8_t *b, int c, int n, uint8_t *dst)
{
    for (int i = 0; i < n; i++, a += c, b += c)
        for (int ch = 0; ch < c; ch++, a++, b++)
            *dst++ = (uint8_t)((a[0] + a[c] + b[0] + b[c] + 2) >> 2);
}
