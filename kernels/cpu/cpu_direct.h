/* SPDX-License-Identifier: MIT */
/*
 * Blocked direct convolution, "cpu:direct" and "cpu:direct-pairs": NHWC, fwd and bwd_d, any kernel, stride and padding.
 *
 * The product is cpu:im2col's, im2col(src) * wei^T and per phase of the stride im2col(dst) * flipped wei (cpu_conv.h), with the
 * weights packed as there. The difference is how a register tile reads pixels. cpu:im2col copies every tap of every pixel
 * into a panel; here the rows of the tensor that a task needs are copied once, into a strip that stays in the L2 cache, with
 * zeros beyond the edges, and a tile reads them in place: its rows are pixels of one output row (or the same pixel of
 * several images), all `lda` bytes apart, and a window row of it is one run of ks * c numbers. Where a copy would change
 * nothing, the tensor itself is the strip. Window rows in the padding are left out; where pixels are counted images first,
 * columns are, too.
 *
 * Fused work: what is read through a batch norm is changed once, on its way into the strip, however many taps there are; there
 * always is one then. Finished tiles are added up while they are in the L1 cache, a tile's sums by themselves, then a task's.
 *
 * Numbers in the strip are f32, widened as they are copied ("cpu:direct"), or bf16 as they are, of which the tile multiplies
 * and adds pairs ("cpu:direct-pairs", vdpbf16ps: twice the rate of f32 on AMD's CPUs, half of it on Intel's).
 *
 * Of one tap, pixels are one long row, which a stride thins out (cpu_direct_point.c). With few weights a tile is multiplied by panel
 * after panel in one go, so that the multiplications of the next begin while the sums of the last are rounded; and what will be
 * written is asked for (prefetchw) while they are made.
 *
 * cpu:im2col is kept for bwd_w, and for kernels of one tap with padding. Elsewhere it is the slower one or equal, but for f32 of one
 * tap and stride 2 with 128 channels or more, where it is a few per cent ahead. bf16 pairs on 2 busy cores of Zen 4, GFLOP/s of
 * cpu:im2col and of this: 16 images, 64 -> 128 at 56x56, stride 2, 266 and 373, backwards 151 and 361; 8 images, 256 -> 1024 at
 * 14x14 328 and 382; the 7x7 stem 291 and 353. On small maps with many channels, where pixels are counted images first, the two
 * are equal.
 */
#ifndef CPU_DIRECT_H
#define CPU_DIRECT_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/cpu/cpu_conv.h"

extern const rn_conv_algo rn_cpu_direct, rn_cpu_direct_pairs;

/* c[i][j] = (acc ? c[i][j] : 0) + sum over rows, taps and k < run of a(i) * b, i < m, j < width. Row i of the tile starts at
 * a + i * lda; its numbers are those of `rows` window rows, `row_step` bytes apart, of `taps` runs, `tap_step` apart, of `run`
 * elements that follow each other. */
typedef struct rn_direct_tile {
    const char *a;
    ptrdiff_t lda, row_step, tap_step; /* bytes */
    int rows, taps, run;
    const float *b;  /* cells, `width` a row */
    ptrdiff_t b_row; /* cells from one window row to the next */
    bool half, acc;  /* half: width is nr / 2 */
    float *c;
    ptrdiff_t ldc;     /* floats */
    int panels;        /* of B, one after the other: more than 1 where c is the destination, or with `narrow` */
    ptrdiff_t b_panel; /* cells from one to the next */
    /* Where the rows end up: asked for while the sums are made, or stores would wait for memory. 0 bytes: not yet. */
    char *out;
    ptrdiff_t ld_out, out_bytes; /* of a panel */
    const char *soon, *soon_end; /* what will be written next; or nothing, both the same address */
    bool narrow;                 /* the sums go there instead of to c, rounded to bf16: with a table that `narrows` */
} rn_direct_tile;

typedef struct rn_direct_isa {
    const rn_conv_isa *pack; /* the layout of the packed weights; mr and nr are the tile's, too */
    int cell;                /* bytes of an element in the strip */
    bool narrows;
    void (*tile)(int m, const rn_direct_tile *t);
} rn_direct_isa;

extern const rn_direct_isa rn_direct_portable_f32, rn_direct_portable_bf16, rn_direct_portable_f16;
#if defined(__x86_64__)
extern const rn_direct_isa rn_direct_avx2_f32, rn_direct_avx2_bf16, rn_direct_avx2_f16;
extern const rn_direct_isa rn_direct_avx512_f32, rn_direct_avx512_bf16, rn_direct_avx512_f16;
extern const rn_direct_isa rn_direct_avx512_pairs;
#endif

#endif
