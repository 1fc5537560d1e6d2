/* SPDX-License-Identifier: MIT */
/*
 * "cuda:winograd" and "cuda:winograd-2x2": 3x3 kernels of stride 1 in f32 by minimal filtering, F(4x4, 3x3) and F(2x2, 3x3), with
 * the points, the matrices and the rounding error of kernels/cpu/cpu_wino.h, which tells the idea. All directions, all fused work.
 *
 * Three kernels after each other, for as many tiles at a time as the workspace has room for (a chunk; rows of tiles are t, of all
 * images in their order, frequencies f = 0 .. n * n - 1, n = 6 or 4; channels are padded to a multiple of 4 with zeros):
 *   read    tiles of pixels, through a prologue where there is one, to (f, t, c)
 *   product for each f a product of matrices by f32 FMA (cuda_conv_tile.h):
 *             fwd, bwd_d  (t, c) (c, columns) to (f, t, columns); weights are transformed in prepare()
 *             bwd_w       (oc, t) (t, ic), added up over chunks in `splits` parts, to (split, f, oc, ic)
 *   write   tiles back to pixels, with beta and an epilogue; bwd_w: the parts' sum, in their order, back to weights, in the end
 * A sum over channels has one order: in fwd and bwd_d the bits depend on the case alone, in bwd_w on chunks and splits as well, which
 * depend on the device's size and the limit of the workspace.
 */
#ifndef CUDA_WINO_H
#define CUDA_WINO_H

#include "kernels/cuda/cuda_conv_args.h"

/* Tiles of a tensor (mb, h, w, c): tile (n, i, j) has pixels from (i * step + y0, j * step + x0); what is outside counts as 0 and
 * is not written. */
struct rn_wino_grid {
    int mb, h, w, c;
    int th, tw; /* tiles of an image */
    int step;   /* pixels from tile to tile: 4 or 2 */
    int y0, x0;
};

/* One chunk, to (f, count, padded) or from it. */
struct rn_wino_tiles {
    rn_wino_grid g;
    int64_t first, count; /* tiles */
    int padded;           /* channels */
};

enum rn_wino_side { RN_WINO_SRC, RN_WINO_DST }; /* tiles of step + 2 pixels each way, or of step pixels */

/* A product for each f. Rows and columns of the results, terms of a sum, and where the operands of the next f begin. */
struct rn_wino_product {
    const float *a,
        *b; /* along: (rows, terms), (columns, terms); else (terms, rows), (terms, columns), by padded rows */
    struct rn_conv_write write; /* to: (splits, f, rows, padded columns) */
    int64_t rows, terms, a_freq, b_freq;
    int columns, a_line, b_line; /* lines: values from row to row of an operand */
    int freqs, splits;
    int tiles_m, tiles_n;
};

/* Between the files of cuda:winograd; RN_OK or RN_E_*. out: 4 or 2. */
int rn_wino_read(int out, rn_wino_side side, const rn_wino_tiles *t, const void *tensor, const rn_conv_read *through,
                 float *to, void *stream);
/* w: to, add, and an epilogue, whose sums of blocks of RN_WINO_WRITE_TILES tiles go to partial on. */
enum { RN_WINO_WRITE_TILES = 32 };
int rn_wino_write(int out, const rn_wino_tiles *t, const float *from, const rn_conv_write *w, void *stream);
/* Weights (rows, 3, 3, columns) to (f, rows, padded columns); turned: by half a turn. */
int rn_wino_weights(int out, const float *wei, int rows, int columns, bool turned, float *to, void *stream);
/* (splits, f, oc, padded ic) to the gradient (oc, 3, 3, ic). */
int rn_wino_gradient(int out, const float *parts, int splits, int oc, int ic, float *wei, bool add, void *stream);
/* along: fwd, bwd_d. wide: tiles of 128 columns, else 64; of 128 rows. Fills p's tiles. */
int rn_wino_multiply(rn_wino_product *p, bool along, bool wide, void *stream);
int rn_wino_product_open(void);

static inline __host__ __device__ int rn_wino_padded(int channels)
{
    return (channels + 3) / 4 * 4;
}

#endif
