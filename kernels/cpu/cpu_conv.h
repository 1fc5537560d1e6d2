/* SPDX-License-Identifier: MIT */
/*
 * Convolution as a matrix product, "cpu:im2col": NHWC, f32, bf16 and f16, all three directions, any kernel, stride and
 * padding.
 *
 * The im2col matrix (one row per output pixel, one column per tap and channel) is never laid out in memory. Panels of
 * it, small enough for the L1 cache, are gathered from the tensor right before the register tile reads them; a row of
 * taps is one contiguous run of an NHWC tensor.
 *
 *   fwd    dst[pixel][oc]  = im2col(src)[pixel][kh kw ic] * wei^T              K = kh kw ic
 *   bwd_d  src[pixel][ic]  = im2col(dst)[pixel][kh kw oc] * flipped wei        K = kh kw oc, per phase of the stride
 *   bwd_w  wei[oc][kh kw ic] = dst^T * im2col(src)[pixel][kh kw ic]            K = pixels
 *
 * Panels, of pixels and of weights, consist of cells of 4 bytes. A cell is one f32, widened from bf16 or f16 as it is
 * gathered; or, for bf16 on CPUs that multiply and add pairs (vdpbf16ps), two bf16 that follow each other along K: as many
 * instructions, twice the terms. In bwd_w, where K counts pixels, two rows are interleaved when their panel is there. So
 * that pairs never straddle window rows, `run` rounds a row's columns up to whole cells; the weights there are 0.
 * Sums are f32 in every case. Where the destination is not, they stay in the workspace until they are complete.
 *
 * What depends on the instruction set and on the type is one table, rn_conv_isa: cpu_conv_tile.h and cpu_conv_gather.h
 * compiled by cpu_conv_portable.c, cpu_conv_avx2.c, cpu_conv_avx512.c and cpu_conv_avx512bf16.c.
 */
#ifndef CPU_CONV_H
#define CPU_CONV_H

#include <stdbool.h>
#include <stddef.h>

#include "op/rn_conv.h"

extern const rn_conv_algo rn_cpu_im2col;

/* Most cells of the im2col matrix in a row of a panel: with 14 rows, 17 KB: half of a 32 KB L1 cache. A multiple of
 * the 3x3 kernel's 9, so that ResNet's channel counts divide it. */
#define RN_CONV_KC     288
/* Stride of such a panel. An odd number of cache lines: rows must not fall on each other in the cache. */
#define RN_CONV_LDA    304
#define RN_CONV_MR_MAX 14
#define RN_CONV_NR_MAX 32

/*
 * Fused work: a tensor whose elements are read as max(floor, base * mul + add [+ other * by]), rounded to its type. mul, add
 * and by: one number for each column of a window row (channels, as often as there are taps) and RN_CONV_READ_SLACK more.
 */
enum { RN_CONV_READ_SLACK = 32 };
typedef struct rn_conv_read {
    const float *mul, *add, *by;
    const void *other; /* of base's shape and type; NULL: none */
    float floor;       /* 0, or minus infinity: no ReLU */
} rn_conv_read;

/* A tensor seen through a kernel window. Pixel (n, y, x) of the output grid reads rows y * sy + y0 + r, r < kr, and
 * columns x * sx + x0 + s, s < ks; outside the tensor there are zeros. Column k of the im2col matrix is
 * r * run + s * c + channel. */
typedef struct rn_conv_view {
    const void *base; /* (mb, h, w, c), of the table's type */
    int h, w, c;
    int kr, ks, sy, sx, y0, x0;
    int run;    /* columns of a window row: ks * c, or one more, of zeros, to make whole cells */
    int gh, gw; /* output grid of one image */
    int mb;
    const rn_conv_read *read; /* NULL: as it is */
    bool image_minor;         /* pixels are counted (y, x, n), not (n, y, x): see cpu_conv_plan.h */
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

static inline int rn_conv_clamp(int64_t x, int64_t lo, int64_t hi)
{
    return (int)(x < lo ? lo : x > hi ? hi : x);
}

/* n steps of K that follow each other: from row a of A, row b of B. */
typedef struct rn_conv_span {
    ptrdiff_t a, b;
    int n;
} rn_conv_span;

/* Memory to be asked for on the way, `step` bytes further each step. */
typedef struct rn_conv_ask {
    const char *at;
    ptrdiff_t step;
} rn_conv_ask;

/* c[i * ldc + j] = (acc ? that : 0) + sum over the steps k of all runs of
 * a[(run.a + k) * lda + i] * b[(run.b + k) * ldb + j], i < m, j < n <= nr. With n <= nr / 2 only nr / 2 cells of b are read. */
typedef struct rn_conv_tile {
    const rn_conv_span *runs;
    int nruns;
    const float *a, *b;
    ptrdiff_t lda, ldb;
    float *c;
    size_t ldc;
    int n;
    bool acc;
    const char *ahead;       /* memory to be asked for on the way, a cache line a step; or any, with */
    int ahead_step;          /* 0 instead of 64 */
    const rn_conv_ask *asks; /* or one for each run; NULL: `ahead` */
} rn_conv_tile;

/* Pixels of several images to be laid out as cells, x by x, image minor: image i of pixel j starts at element
 * i * step_n + j * step_x of `from`. */
typedef struct rn_conv_cells {
    const void *from;
    ptrdiff_t step_x, step_n;
    int nx, nn;      /* pixels, images */
    int first, last; /* images first..last-1 exist; the others count as 0 */
    ptrdiff_t c;     /* elements of a pixel, at least 1 */
    ptrdiff_t
        width; /* cells they become; >= c, filled up with 0, or with anything where the pixel is read through `read` */
    const rn_conv_read *read; /* NULL: as it is */
    const void *other;        /* read->other's place of `from` */
    int column;               /* of `from` in read's vectors */
} rn_conv_cells;

typedef struct rn_conv_isa {
    int mr;  /* most rows of a register tile, <= RN_CONV_MR_MAX */
    int nr;  /* columns of a panel of B, two vectors; a last panel of at most nr / 2 columns is nr / 2 wide */
    int per; /* elements in a cell: 1 or 2 */

    /* Register tile: c[i][j] = (acc ? c[i][j] : 0) + sum_k a(i, k) * b[k][j], i < m <= mr, j < n <= nr, k < kc cells. c:
     * one pointer a row. b: nr (or nr / 2) cells a row.
     * tile_rows: a(i, k) = a[i * RN_CONV_LDA + k]; tile_cols: a(i, k) = a[k * m + i]. */
    void (*tile_rows)(int m, int kc, const float *a, const float *b, float *const *c, int n, bool acc);
    void (*tile_cols)(int m, int kc, const float *a, const float *b, float *const *c, int n, bool acc);

    /* Register tile of m <= mr rows over runs of pixels. */
    void (*tile_runs)(int m, const rn_conv_tile *t);
    /* to[(j * ceil(nn / per) + i) * width ..]: with `per` 2, a cell is of two images. Clobbers nr / 2 cells beyond. */
    void (*copy_cells)(const rn_conv_cells *k, float *to);

    /* m rows of the im2col matrix from pixel `p`, columns k0..k1-1 (whole cells), to a + i * RN_CONV_LDA. */
    void (*gather_rows)(const rn_conv_view *v, rn_conv_pixel p, int m, int k0, int k1, float *a);
    /* n rows, columns k0..k1-1, then zeros up to `width` (nr or nr / 2), to b[i * width + k - k0]; the cells are of `per`
     * rows, the last filled up with zeros. */
    void (*gather_panel)(const rn_conv_view *v, rn_conv_pixel p, int n, int k0, int k1, int width, float *b);
    /* n rows of `src` (row stride ld, of the table's type), m columns, to a[i * m + j], cells as above; clobbers 16 cells
     * beyond. */
    void (*pack_cols)(const void *src, size_t ld, int n, int m, float *a);
    /* n sums of m rows, rounded to the table's type, to `out`; `add`: to what is there. NULL: by rn_half. */
    void (*put_rows)(void *const *out, float *const *sums, int m, int n, bool add);

    /* pack_cols of elements read through `f`, whose columns q.. are the m columns; other: base's place in f->other. */
    void (*pack_cols_read)(const void *src, size_t ld, int n, int m, const rn_conv_read *f, int q, float *a);
    /* n pixels of c elements of the table's type, read through `f` (whose `other` is the place of the first), as elements of
     * panels, to each `pitch` bytes of `to`. */
    void (*read_pixels)(const rn_conv_read *f, const void *from, int n, int c, void *to, ptrdiff_t pitch);
    /* Finished sums of m rows, n columns: 0 where raw * scale + shift is not above 0. */
    void (*gate_rows)(float *const *sums, const void *const *raw, int m, int n, const float *scale, const float *shift);
    /* Stored values of m rows, n columns, added to sum and sumsq, which are those of few rows in f32 and of more in double. raw
     * NULL: d = out - less, and d^2 (cpu_sums.h); else out, and out * (raw - less). */
    void (*sum_rows)(const void *const *out, const void *const *raw, int m, int n, const float *less, double *sum,
                     double *sumsq);
} rn_conv_isa;

extern const rn_conv_isa rn_conv_isa_portable_f32, rn_conv_isa_portable_bf16, rn_conv_isa_portable_f16;
#if defined(__x86_64__)
extern const rn_conv_isa rn_conv_isa_avx2_f32, rn_conv_isa_avx2_bf16, rn_conv_isa_avx2_f16;
extern const rn_conv_isa rn_conv_isa_avx512_f32, rn_conv_isa_avx512_bf16, rn_conv_isa_avx512_f16;
extern const rn_conv_isa rn_conv_isa_avx512_pairs;
#endif

#endif
