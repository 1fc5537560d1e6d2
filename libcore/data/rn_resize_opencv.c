/* SPDX-License-Identifier: MIT */
/* The rows of OpenCV's 8-bit INTER_LINEAR. */
#include "data/rn_resize_kernels.h"

/* One source row to n pixels with 11 more bits. */
static void horizontal(const rn_pass *x, const uint8_t *src, int c, int32_t *dst)
{
    for (int i = 0; i < x->n; i++) {
        const int32_t *k = x->k + (long)i * x->taps;
        const uint8_t *a = src + (long)x->first[i] * c, *b = x->count[i] > 1 ? a + c : a;
        for (int ch = 0; ch < c; ch++)
            *dst++ = a[ch] * k[0] + b[ch] * k[1];
    }
}

void rn_resize_opencv(const rn_pass *x, const rn_pass *y, const uint8_t *px, size_t stride, int c, int32_t *scratch,
                      uint8_t *dst, size_t dst_stride)
{
    int n = x->n * c;
    int32_t *line[2] = {scratch, scratch + n};
    int held[2] = {-1, -1}; /* the source rows in them */
    for (int i = 0; i < y->n; i++, dst += dst_stride) {
        const int32_t *k = y->k + (long)i * y->taps;
        const int32_t *l[2];
        for (int t = 0; t < 2; t++) {
            int row = y->first[i] + (t < y->count[i] ? t : 0), at = row & 1;
            if (held[at] != row) {
                horizontal(x, px + (size_t)row * stride, c, line[at]);
                held[at] = row;
            }
            l[t] = line[at];
        }
        for (int b = 0; b < n; b++) /* its own way of rounding: each product loses bits before the sum */
            dst[b] = (uint8_t)((((k[0] * (l[0][b] >> 4)) >> 16) + ((k[1] * (l[1][b] >> 4)) >> 16) + 2) >> 2);
    }
}
