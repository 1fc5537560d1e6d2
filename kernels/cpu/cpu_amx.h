/* SPDX-License-Identifier: MIT */
/*
 * Convolution on AMX tiles, "cpu:amx": NHWC, bf16, all three directions, any kernel, stride and padding.
 *
 * A tile holds 16 rows of 64 bytes; tdpbf16ps adds the product of two of them, 16 x 32 by 32 x 16 numbers, to a third, of
 * f32 sums: 16 cycles. A read takes half of that, a write as much: so that nothing else is seen, two tiles are multiplied
 * with two others for four sums, which stay in their registers over all of K.
 *
 *   fwd, bwd_d   sums[pixel][oc or ic] over taps and channels. A: 16 pixels by 32 channels. B: the weights of one tap and
 *                32 channels for 16 columns, packed once by prepare().
 *   bwd_w        sums[oc][ic] of each tap over pixels: cpu_amx_gradient.c.
 *
 * Strips. What is read is first copied, with its padding, into strips small enough for the L2 cache, in planes of 32
 * channels: one plane holds 64 bytes a position, so that a tile is 1 KB in one piece. The positions of a strip's plane
 * are numbered along its padded rows, and pixel x of the row y of the output is position y * pitch + x, whatever the tap:
 * a tap is a distance that all positions have in common. The few positions past the end of an output row are computed and
 * dropped. The zeros right of a row are those left of the next.
 * A stride larger than 1 takes the tensor apart into sub-images, of the pixels whose coordinates leave the same rest: in
 * each, the taps that fall on it have stride 1. The gradient of the input with stride is the converse: its pixels fall
 * into phases (of the same rest), each a convolution of stride 1 with its own taps, over one strip of the output's
 * gradient; nothing is multiplied by inserted zeros.
 * With few channels, a position holds the window's whole row of taps instead of one pixel (7 x 3 numbers of the 32, for
 * the first layer of a ResNet), and taps differ only in their row.
 * With one tap, stride 1 and channels in whole tiles nothing is copied: tiles read the tensor itself.
 *
 * Sums are f32, with the terms of odd and even index added up apart; subnormal inputs count as 0.
 */
#ifndef CPU_AMX_H
#define CPU_AMX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "op/rn_backend.h"
#include "op/rn_conv.h"

extern const rn_conv_algo rn_cpu_amx;

/* A product of four tiles against plain C, in some microseconds. To be asked before AMX is used for anything. */
bool rn_amx_works(void);

#define RN_AMX_ROWS 16
#define RN_AMX_LINE 64   /* bytes of a tile's row */
#define RN_AMX_TILE 1024 /* bytes */
#define RN_AMX_PAIR 32   /* bf16 in a row of a tile, columns of a pair of tiles of f32 */

/* One term of a sum: a tap and 32 channels. Bytes from a position's place in the first plane of the strip, and from
 * the start of a pair of columns in the packed weights. */
typedef struct rn_amx_step {
    int32_t a, b;
} rn_amx_step;

/* The tap (r, s) of the weights reads sub-image `sub`, dy rows and dx columns from the output's position. */
typedef struct rn_amx_tap {
    int sub, dy, dx, r, s;
} rn_amx_tap;

/* Pixels of the output that see the same taps: all of them in fwd. */
typedef struct rn_amx_phase {
    int gh, gw;       /* grid */
    int sub_y, sub_x; /* pixel (y, x) of it is (y * step_y + sub_y, x * step_x + sub_x) of the output */
    int ntaps, nsteps;
    const rn_amx_tap *taps; /* in the plan's list */
    const rn_amx_step *steps;
    size_t b; /* bytes into the packed weights */
} rn_amx_phase;

/* bwd_w: cpu_amx_gradient.c. */
typedef struct rn_amx_gradient {
    int oc, oc_pairs, run_pairs;
    int shares, parts;   /* threads split the output channels into shares, the strips into parts */
    int image_rows;      /* rows between images in a strip's numbering of positions */
    int image_positions; /* positions between them, even */
    int reach;           /* positions of a strip, the last tap's included, in whole steps of 32 */
    int ld;              /* of A: numbers between channels */
    int nsteps;          /* of one tap */
    size_t a_bytes, b_bytes, pair_bytes;
    rn_amx_step *steps; /* of tap t from t * nsteps on, */
    int *counts;        /* so many */
} rn_amx_gradient;

typedef struct rn_amx_sub {
    int y, x; /* pixel (Y, X) of it is (Y * sy + y, X * sx + x) of the tensor */
} rn_amx_sub;

/* The plan of fwd and bwd_d, of which bwd_w has what concerns src. */
typedef struct rn_amx_plan {
    /* the tensor that strips are made of */
    int mb, h, w, c, sy, sx;
    int window;      /* taps of a row that a position holds: 1, or kw */
    int run, planes; /* numbers at a position, and planes of 32 for them */
    bool in_place;
    int nsubs, ntaps, nphases;
    rn_amx_sub *subs;
    rn_amx_tap *taps;
    rn_amx_phase *phases;
    rn_amx_step *steps;
    /* the grid that all phases fit in, and the positions of a strip */
    int gh, gw, dy0, dy1, dx0, dx1, pitch;
    int block;    /* rows of the grid that a strip serves */
    int images;   /* images in a strip: more than one only if block is gh */
    size_t image; /* bytes of an image's strip */
    /* the output */
    int cols, out_h, out_w, step_y, step_x;
    int groups; /* of pairs of columns: tasks when there are few strips */
    char *b;    /* packed weights */
    size_t b_bytes, thread_bytes;
    rn_amx_gradient g;
} rn_amx_plan;

static inline int rn_amx_min(int a, int b)
{
    return a < b ? a : b;
}

static inline int rn_amx_max(int a, int b)
{
    return a > b ? a : b;
}

static inline int rn_amx_ceil(int a, int b)
{
    return (int)(((int64_t)a + b - 1) / b);
}

/* cpu_amx_weights.c: wei (oc, kh, kw, ic) to the plan's B. */
void rn_amx_pack_weights(const rn_conv_plan *plan, const void *wei);
/* Bytes of B of one phase. */
size_t rn_amx_weight_bytes(const rn_amx_plan *p, int nsteps);

/* cpu_amx_product.c */
size_t rn_amx_product_workspace(const rn_amx_plan *p, const rn_conv_desc *d, int threads);
void rn_amx_run_product(const rn_conv_plan *plan, const rn_conv_args *a, int beta, char *ws);

/* cpu_amx_gradient.c: what a plan with `block` and `images` needs; its tables; a run. */
void rn_amx_gradient_geometry(rn_amx_plan *p, const rn_conv_desc *d, int threads);
size_t rn_amx_gradient_thread_bytes(const rn_amx_plan *p);
size_t rn_amx_gradient_workspace(const rn_amx_plan *p, const rn_conv_desc *d);
int rn_amx_gradient_tables(rn_amx_plan *p);
void rn_amx_run_gradient(const rn_conv_plan *plan, const rn_conv_args *a, int beta, char *ws);

/* ---- cpu_amx_tile_amx.c, cpu_amx_strip_amx.c: what is compiled for the instructions ---------------------------------- */

/* Shapes of all tiles, in the calling thread, until rn_amx_release: 0..3 sums of `rows` rows, 4 and 5 A, 6 and 7 B. */
void rn_amx_configure(int rows);
void rn_amx_release(void);

/* sums[i][j] of mt x nt tiles (1 or 2 each): rows of A are `stride` bytes apart, the second tile starts at a[1]; sums: row r
 * of tile (i, j) at sums[(16 i + r) * 32 + 16 j]; add: to what they hold. */
void rn_amx_products(int mt, int nt, const char *const a[2], size_t stride, const char *b, const rn_amx_step *steps,
                     int n, bool add, float *sums);
/* Pixels that follow each other, in the output and in a block of sums. */
typedef struct rn_amx_run {
    int row, n;
    size_t at; /* elements from the output's start to the first one */
} rn_amx_run;

/* Rows of `sums` (32 apart), n columns of them, rounded to out + at, each `step` after the one before. */
void rn_amx_put(const float *sums, const rn_amx_run *runs, int nruns, int n, uint16_t *out, size_t step, bool add);
/* In f32: row i of so many to out + i * ld. */
void rn_amx_put_f32(const float *sums, int rows, int n, float *out, size_t ld, bool add);

/* The same as rn_amx_put without `add`, and of what it stored, y: the sums over the rows of y - pivot[j] added to stats[j], of
 * their squares to stats[32 + j] (cpu_sums.h). pivot NULL: 0. */
void rn_amx_put_stats(const float *sums, const rn_amx_run *runs, int nruns, int n, uint16_t *out, size_t step,
                      const float *pivot, double *stats);

/* RN_EPI_DBN, of a pair of columns: where raw[] * scale + shift is not above 0, 0 is stored instead of the sum. stats: of what
 * was stored, y, the sums over the rows of y to stats[j], of y * (raw - mean[j]) to stats[32 + j]. */
typedef struct rn_amx_gate {
    const uint16_t *raw; /* as `out` */
    const float *scale, *shift, *mean;
} rn_amx_gate;
void rn_amx_put_dbn(const float *sums, const rn_amx_run *runs, int nruns, int n, uint16_t *out, size_t step,
                    const rn_amx_gate *gate, double *stats);

/* A prologue: a value v of channel c is read as v * scale[c] + shift[c] + other * weight[c] (weight NULL: 1; other NULL: 0), then
 * max(., 0) if relu, rounded. scale NULL: as it is. */
typedef struct rn_amx_read {
    const float *scale, *shift, *weight;
    const uint16_t *other; /* a tensor of the same shape */
    bool relu;
} rn_amx_read;

static inline rn_amx_read rn_amx_read_src(unsigned fuse, const rn_conv_args *a)
{
    if (!(fuse & RN_PRO_BN))
        return (rn_amx_read){0};
    return (rn_amx_read){.scale = a->scale,
                         .shift = a->shift,
                         .other = fuse & RN_PRO_ADD ? a->residual : NULL,
                         .relu = fuse & RN_PRO_RELU};
}

static inline rn_amx_read rn_amx_read_dst(unsigned fuse, const rn_conv_args *a)
{
    if (!(fuse & RN_PRO_DBN))
        return (rn_amx_read){0};
    return (rn_amx_read){.scale = a->ka, .shift = a->kc, .weight = a->kb, .other = a->x};
}

/* m channels from channel c0 on of the pixel at x, read so, to `to`; i: which number of the tensor x points to. */
void rn_amx_read_pixel(const rn_amx_read *r, const uint16_t *x, size_t i, int c0, int m, uint16_t *to);

/* The strip of image n for the grid's rows from y0 is filled in so many rows, each by itself; row i; plane k of row i, `pitch`
 * positions, to `to`. */
int rn_amx_strip_rows(const rn_amx_plan *p);
void rn_amx_fill_row(const rn_amx_plan *p, const rn_amx_read *read, const uint16_t *src, int n, int y0, int i,
                     char *strip);
void rn_amx_fill_line(const rn_amx_plan *p, const rn_amx_read *read, const uint16_t *src, int n, int y0, int i, int k,
                      char *to);

/* bwd_w. 32 positions, each `m` channels at px[i], to a row of 32 numbers for each channel, ld apart. */
void rn_amx_transpose(const uint16_t *const *px, int m, uint16_t *to, size_t ld);
/* `n` (even) positions of a strip's plane to pairs of positions: position i, i + 1 of channel c next to each other, in
 * steps of 32 positions of two tiles of 16 channels; q: even number of the first. */
void rn_amx_interleave(const char *plane, int n, int q, char *steps);

#endif
