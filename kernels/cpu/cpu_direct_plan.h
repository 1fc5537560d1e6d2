/* SPDX-License-Identifier: MIT */
/* Between the files of cpu:direct: how the work is cut. */
#ifndef CPU_DIRECT_PLAN_H
#define CPU_DIRECT_PLAN_H

#include "kernels/cpu/cpu_conv_plan.h"
#include "kernels/cpu/cpu_direct.h"

/* Most cells of packed weights that a task goes through for each tile: 384 KB. Of one tap, where tiles are short, 1 MB: to
 * come back to a pixel for each panel costs more than to read the panels from the L3 cache. */
#define RN_DIRECT_FEW_CELLS       98304
#define RN_DIRECT_FEW_CELLS_POINT 262144

/* A task is a block of the output's grid (images, rows, columns) and a group of B's panels. In bwd_d it is all phases of the
 * block. Its pixels are read at n * image + y * row + x * pitch bytes, of the strip or of the tensor itself. */
typedef struct rn_direct_cut {
    bool in_place; /* no strip: the tensor is read */
    bool by_image; /* the rows of a tile are one pixel of several images, and columns in the padding are left out */
    int mb, gh, gw;
    int y0, x0, kr, ks; /* the window that holds those of all phases */
    int ty, tx;         /* rows and columns of the strip from one output pixel to the next */
    int nb, yb, xb;     /* most of a block */
    int nblocks, yblocks, xblocks, groups;
    int xunit;                   /* columns that are not torn apart: a lattice's row */
    ptrdiff_t image, row, pitch; /* bytes */
    size_t strip_bytes;          /* of a thread; a multiple of 64 */
    size_t sums_floats;          /* of a thread; a multiple of 16 */
    bool reads_lattice;          /* the tiles of one row need no strip */
    size_t result_bytes;         /* of a thread: a block's pixels, until they go to their places */
} rn_direct_cut;

/* Where the pixels of a flattened case lie in the larger tensor: every sh-th row, every sw-th column. */
typedef struct rn_direct_lattice {
    bool gathers, scatters; /* fwd; bwd_d. Neither: there is no stride */
    int ih, iw, oh, ow, sh, sw;
} rn_direct_lattice;

typedef struct rn_direct_plan {
    rn_im2col_plan w; /* first: what rn_conv_pack_weights reads */
    const rn_direct_isa *isa;
    rn_direct_lattice lattice;
    rn_direct_cut cut;
} rn_direct_plan;

/* cpu_direct_point.c: a case of one tap without padding as one of a single row of pixels, and no stride. False: it is not one, and
 * `flat` is what it was. */
bool rn_direct_flatten(const rn_conv_desc *d, rn_conv_dir dir, rn_conv_desc *flat, rn_direct_lattice *l);
/* Of m pixels from `pixel` on, those of the first row of the grid: column x, row y, `count` of them; in the larger tensor, pixel
 * `at` and each sw-th after it. */
typedef struct rn_direct_segment {
    size_t at;
    int x, y, count;
} rn_direct_segment;
rn_direct_segment rn_direct_segment_at(const rn_direct_lattice *l, int pixel, int m);
/* m pixels of `bytes` bytes: from their places, side by side to `to`; */
void rn_direct_bring(const rn_direct_lattice *l, int pixel, int m, const char *tensor, size_t bytes, char *to);
/* `columns` bytes of each from `column` on, back to their places; */
void rn_direct_scatter(const rn_direct_lattice *l, int pixel, int m, const char *from, size_t bytes, size_t column,
                       size_t columns, char *tensor);
/* zeros to all that the window passes over behind and below them; */
void rn_direct_clear(const rn_direct_lattice *l, int pixel, int m, size_t bytes, char *tensor);
/* asked for, to be read soon. */
void rn_direct_ask_pixels(const rn_direct_lattice *l, int pixel, int m, const char *tensor, size_t bytes);

/* cpu_direct_cut.c. w: with its phases; d: flattened where that is possible. */
rn_direct_cut rn_direct_cut_of(const rn_direct_isa *isa, const rn_im2col_plan *w, const rn_conv_desc *d,
                               const rn_direct_lattice *l, int threads);
int64_t rn_direct_blocks(const rn_direct_cut *c);
/* Window rows whose part of a panel of B stays in the L2 cache beside the strip. */
int rn_direct_block_rows(const rn_im2col_plan *w, const rn_conv_phase *f);

/* cpu_direct_run.c */
size_t rn_direct_workspace(const rn_direct_cut *cut, int threads);
void rn_direct_run(const rn_conv_plan *plan, const rn_conv_args *a, int beta, void *ws);

/* cpu_direct_fuse.c: what becomes of finished sums. */
typedef struct rn_direct_finish {
    unsigned epilogue; /* RN_EPI_STATS, RN_EPI_DBN or 0 */
    const rn_conv_isa *isa;
    const rn_conv_args *args;
    const char *base;  /* of the output */
    const float *less; /* what the second sum's factor is held against, for each column */
    size_t size;       /* of an element */
} rn_direct_finish;

/* m pixels of the output, `step` bytes apart from `out` on, whose columns c0..c0+n-1 are meant. */
typedef struct rn_direct_rows {
    char *out;
    ptrdiff_t step;
    int m, c0, n;
} rn_direct_rows;

rn_direct_finish rn_direct_finish_of(const rn_conv_plan *plan, const rn_conv_args *a);
/* Before the sums are stored; those of a pixel are `ld` floats apart. */
void rn_direct_gate(const rn_direct_finish *f, const rn_direct_rows *r, float *sums, ptrdiff_t ld);
/* After: into sum and sumsq of all columns. */
void rn_direct_add_up(const rn_direct_finish *f, const rn_direct_rows *r, double *sum, double *sumsq);

#endif
