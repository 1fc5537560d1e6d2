/* SPDX-License-Identifier: MIT */
/* Between the files of cpu:im2col: the plan. */
#ifndef CPU_CONV_PLAN_H
#define CPU_CONV_PLAN_H

#include "base/rn_half.h"
#include "kernels/cpu/cpu_conv.h"
#include "op/rn_backend.h"

/* One product im2col(view) * B. fwd and bwd_w have one; bwd_d has one for each phase of the stride: source pixels whose
 * coordinates leave the same rest see the same taps, as a convolution of stride 1. */
typedef struct rn_conv_phase {
    rn_conv_view view; /* base is set at each run */
    int k;             /* columns of the im2col matrix, kr * run; 0: no tap reaches these pixels */
    int sub_y, sub_x;  /* pixel (y, x) of the grid is (y * step_y + sub_y, x * step_x + sub_x) of the output */
    int r0, s0;        /* bwd_d: first tap; window row r is tap r0 + sh * (kr - 1 - r) */
    size_t pixels;
    size_t b_offset; /* cells into the packed weights */
} rn_conv_phase;

typedef struct rn_im2col_plan {
    const rn_conv_isa *isa;
    const rn_half_kern *half;
    int cols;         /* columns of B: oc or ic */
    int out_h, out_w; /* of one image of the output */
    int step_y, step_x;
    int nphases;
    rn_conv_phase *phases;
    float *b; /* fwd, bwd_d: packed weights: for each phase, panels of nr columns, rows of cells, as many as K makes */
    int col_groups, pix_groups;  /* bwd_w: how the threads split the work */
    struct rn_conv_fused *fused; /* cpu_conv_fuse.c; NULL: nothing */
} rn_im2col_plan;

/* Fused work of a plan. */
typedef struct rn_conv_fused {
    rn_conv_read view, dst;                   /* of the tensor that is gathered; bwd_w: of dst. Set at each run */
    const rn_conv_read *read_view, *read_dst; /* NULL: as it is */
    float *vectors;                           /* theirs */
    const float *zeros;                       /* cols */
    double *partial; /* an epilogue's sums: for each part of the pixels sum[cols], sumsq[cols] */
    size_t parts;
} rn_conv_fused;

static inline int rn_imin(int a, int b)
{
    return a < b ? a : b;
}

static inline int rn_ceil_div(int a, int b)
{
    return (a + b - 1) / b;
}

/* n things dealt out evenly over `parts`: the first one of part i. */
static inline int rn_part(int n, int parts, int i)
{
    return (int)((int64_t)n * i / parts);
}

/* Width in memory of panel j of a row of n columns. */
static inline int rn_panel_width(const rn_conv_isa *isa, int n, int j)
{
    return n - j * isa->nr > isa->nr / 2 ? isa->nr : isa->nr / 2;
}

const rn_conv_isa *rn_conv_isa_of(const rn_backend *be, rn_dtype dtype);

/* With p->isa set: what depends on the descriptor; room for packed weights, after that. What they allocate goes with
 * rn_conv_close_phases, also when they fail. */
int rn_conv_open_phases(rn_im2col_plan *p, const rn_conv_desc *d, rn_conv_dir dir);
int rn_conv_open_weights(rn_im2col_plan *p);
void rn_conv_close_phases(rn_im2col_plan *p);

/* The phase of fwd and bwd_w. */
rn_conv_phase rn_conv_fwd_phase(const rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir);

/* Element i of a tensor. */
static inline const void *rn_conv_at(const void *base, size_t i, rn_dtype dtype)
{
    return (const char *)base + i * rn_dtype_size(dtype);
}

/* cpu_conv_weights.c: fwd, bwd_d. wei: (oc, kh, kw, ic) of the descriptor's dtype. */
void rn_conv_pack_weights(const rn_conv_plan *plan, const void *wei);

/* cpu_conv_product.c */
size_t rn_conv_product_workspace(const rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir);
void rn_conv_run_product(const rn_conv_plan *plan, const rn_conv_args *args, int beta, float *ws);
size_t rn_conv_product_chunks(const rn_im2col_plan *p, int threads); /* chunks of pixels, of all phases */

/* cpu_conv_fuse.c, for every algorithm whose plan begins with this one: p's phases are made. parts: in how many an epilogue's
 * sums are kept. `begin` takes over a run's vectors, `end` adds up what the parts left. */
int rn_conv_fused_open(const rn_conv_desc *d, rn_conv_dir dir, size_t parts, rn_im2col_plan *p);
/* Fills r's vectors, which have room: per channel (NULL: ones), over and over for n columns. */
void rn_conv_read_set(rn_conv_read *r, const float *mul, const float *add, const float *by, const void *other,
                      bool relu, int channels, int n);
void rn_conv_fused_close(rn_conv_fused *f); /* accepts NULL */
void rn_conv_fused_begin(const rn_conv_plan *plan, const rn_conv_args *args);
void rn_conv_fused_end(const rn_conv_plan *plan, const rn_conv_args *args);

/* cpu_conv_gradient.c */
void rn_conv_split_gradient(const rn_backend *be, const rn_conv_desc *d, int *col_groups, int *pix_groups);
size_t rn_conv_gradient_workspace(const rn_backend *be, const rn_conv_desc *d);
void rn_conv_run_gradient(const rn_conv_plan *plan, const rn_conv_args *args, int beta, float *ws);
/* out[i] += copies[i], copies[stride + i], ..., in their order, i < n: the private sums of threads that split pixels. For bwd_w of
 * any algorithm. */
void rn_conv_add_copies(float *out, const float *copies, size_t n, size_t stride, int ncopies, int threads);

#endif
