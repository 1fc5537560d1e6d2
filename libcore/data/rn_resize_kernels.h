/* SPDX-License-Identifier: MIT */
/* Private to data/rn_resize*.c: one pass of a separable resize, and the rows that each way of computing it makes. */
#ifndef RN_RESIZE_KERNELS_H
#define RN_RESIZE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

enum {
    RN_RESIZE_BITS = 22,     /* Pillow's: 32 - 8 for the pixel - 2 for overshoot */
    RN_RESIZE_LOW_BITS = 11, /* coefficients are also kept as high * 2^11 + low, both int16 */
    RN_RESIZE_MAX_IN = 1 << 16,
    RN_RESIZE_MAX_OUT =
        1 << 28 /* a strip of 1 x 30,000, resized to a short side of 256, is that long before it is cropped */
};

/* Output pixel i is the sum over t < count[i] of k[i * taps + t] times input pixel first[i] + t. */
typedef struct rn_pass {
    int n;          /* output pixels */
    int taps;       /* room per output pixel: a multiple of 4; unused ones are 0 */
    int32_t *first; /* (n), counted from the first pixel needed; owns count's block too */
    int32_t *count; /* (n) */
    int32_t *k;     /* (n, taps); owns the block of low and high too */
    int16_t *low;   /* (n, taps) k & 2047 */
    int16_t *high;  /* (n, taps) k >> 11, arithmetic */
    double *w;      /* (taps) scratch */
    size_t cap_n, cap_k, cap_w;
} rn_pass;

/* One row of pass->n pixels of c bytes. */
typedef void rn_row_h_fn(const rn_pass *pass, const uint8_t *src, int c, uint8_t *dst);
/* Output row i: n bytes out of rows that lie `stride` bytes apart from src on. */
typedef void rn_row_v_fn(const rn_pass *pass, int i, const uint8_t *src, size_t stride, int n, uint8_t *dst);

rn_row_h_fn rn_resize_row_h_ref;
rn_row_v_fn rn_resize_row_v_ref;

#if defined(__x86_64__)
/* For 3 channels. May read (but not use) up to RN_RESIZE_OVERREAD bytes beyond the row's last needed byte. */
enum { RN_RESIZE_OVERREAD = 32 };
rn_row_h_fn rn_resize_row_h3_avx2;
rn_row_v_fn rn_resize_row_v_avx2;
#endif

/*
 * OpenCV's INTER_LINEAR; the axes hold two taps of 11 bits in k (taps is 4), frac's clamping already done. `scratch`
 * has room for 2 * (x->n * c) int32. px, stride as in rn_resizer_run.
 */
void rn_resize_opencv(const rn_pass *x, const rn_pass *y, const uint8_t *px, size_t stride, int c, int32_t *scratch,
                      uint8_t *dst, size_t dst_stride);

#endif
