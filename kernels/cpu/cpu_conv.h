/* SPDX-License-Identifier: MIT */
/*
 * Convolution as a matrix product, "cpu:im2col": NHWC, f32, all three directions, any kernel, stride and padding.
 *
 * The im2col matrix (one row per output pixel, one column per tap and channel) is never laid out in memory. Panels of
 * it, small enough for the L1 cache, are gathered from the tensor right before the register tile reads them; a row of
 * taps is one contiguous run of an NHWC tensor.
 *
 *   fwd    dst[pixel][oc]  = im2col(src)[pixel][kh kw ic] * wei^T              K = kh kw ic
 *   bwd_d  src[pixel][ic]  = im2col(dst)[pixel][kh kw oc] * flipped wei        K = kh kw oc, per phase of the stride
 *   bwd_w  wei[oc][kh kw ic] = dst^T * im2col(src)[pixel][kh kw ic]            K = pixels
 *
 * What depends on the instruction set is one table, rn_conv_isa: cpu_conv_tile.h compiled by cpu_conv_portable.c,
 * cpu_conv_avx2.c and cpu_conv_avx512.c.
 */
#ifndef CPU_CONV_H
#define CPU_CONV_H

#include <stdbool.h>
#include <stddef.h>

#include "op/rn_conv.h"

extern const rn_conv_algo rn_cpu_im2col;

/* Most columns of the im2col matrix in a panel of rows: with 14 rows, 17 KB: half of a 32 KB L1 cache. A multiple of
 * the 3x3 kernel's 9, so that ResNet's channel counts divide it. */
#define RN_CONV_KC     288
/* Stride of such a panel. An odd number of cache lines: rows must not fall on each other in the cache. */
#define RN_CONV_LDA    304
#define RN_CONV_MR_MAX 14
#define RN_CONV_NR_MAX 32

/* A tensor seen through a kernel window. Pixel (n, y, x) of the output grid reads rows y * sy + y0 + r, r < kr, and
 * columns x * sx + x0 + s, s < ks; outside the tensor there are zeros. Column k of the im2col matrix is
 * (r * ks + s) * c + channel. */
typedef struct rn_conv_view {
    const float *base; /* (mb, h, w, c) */
    int h, w, c;
    int kr, ks, sy, sx, y0, x0;
    int gh, gw; /* output grid of one image */
    int mb;
    bool image_minor; /* pixels are counted (y, x, n), not (n, y, x): see cpu_conv_plan.h */
} rn_conv_view;

typedef struct rn_conv_pixel {
    int n, y, x;
} rn_conv_pixel;

/* Along x, then y. */
static inline void rn_conv_pixel_step(const rn_conv_view *v, rn_conv_pixel *p)
{
    if (++p->x == v->gw) {
        p->x = 0;
        p->y++;
    }
}

static inline void rn_conv_pixel_next(const rn_conv_view *v, rn_conv_pixel *p)
{
    if (!v->image_minor) {
        rn_conv_pixel_step(v, p);
        if (p->y == v->gh) {
            p->y = 0;
            p->n++;
        }
    } else if (++p->n == v->mb) {
        p->n = 0;
        rn_conv_pixel_step(v, p);
    }
}

static inline rn_conv_pixel rn_conv_pixel_at(const rn_conv_view *v, size_t i)
{
    size_t mb = (size_t)v->mb, w = (size_t)v->gw, h = (size_t)v->gh;

    if (v->image_minor)
        return (rn_conv_pixel){(int)(i % mb), (int)(i / mb / w), (int)(i / mb % w)};
    return (rn_conv_pixel){(int)(i / w / h), (int)(i / w % h), (int)(i % w)};
}

typedef struct rn_conv_isa {
    int mr; /* most rows of a register tile, <= RN_CONV_MR_MAX */
    int nr; /* columns of a panel of B, two vectors; a last panel of at most nr / 2 columns is nr / 2 wide */

    /* Register tile: c[i][j] = (acc ? c[i][j] : 0) + sum_k a(i, k) * b[k][j], i < m <= mr, j < n <= nr. c: one pointer
     * a row. b: nr (or nr / 2) floats a row.
     * tile_rows: a(i, k) = a[i * RN_CONV_LDA + k]; tile_cols: a(i, k) = a[k * m + i]. */
    void (*tile_rows)(int m, int kc, const float *a, const float *b, float *const *c, int n, bool acc);
    void (*tile_cols)(int m, int kc, const float *a, const float *b, float *const *c, int n, bool acc);

    /* m rows of the im2col matrix from pixel `p`, columns k0..k1-1, to a[i * RN_CONV_LDA + k - k0]. */
    void (*gather_rows)(const rn_conv_view *v, rn_conv_pixel p, int m, int k0, int k1, float *a);
    /* n rows, columns k0..k1-1, then zeros up to `width`, to b[i * width + k - k0]. */
    void (*gather_panel)(const rn_conv_view *v, rn_conv_pixel p, int n, int k0, int k1, int width, float *b);
    /* n rows of `src` (row stride ld), m columns, to a[i * m + j]; clobbers 16 floats beyond. */
    void (*pack_cols)(const float *src, size_t ld, int n, int m, float *a);
} rn_conv_isa;

extern const rn_conv_isa rn_conv_isa_portable, rn_conv_isa_avx2, rn_conv_isa_avx512;

#endif
