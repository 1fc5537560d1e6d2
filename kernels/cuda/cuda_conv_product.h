/* SPDX-License-Identifier: MIT */
/* What the host's sides of cuda:implicit-gemm and cuda:implicit-gemm-sm90 have in common: a direction's product in tiles, what its
 * kernels write, and the plan, which keeps the weights turned for bwd_d. */
#ifndef CUDA_CONV_PRODUCT_H
#define CUDA_CONV_PRODUCT_H

#include "kernels/cuda/cuda_conv_args.h"

extern "C" {
#include "op/rn_backend.h"
}

struct rn_conv_tile_size {
    int m, n, k;
};

struct rn_conv_product {
    int columns;
    int64_t tiles_m, tiles_n;
    int64_t blocks_m; /* tiles of rows, over all phases */
    int64_t stages;   /* bwd_w: of all pixels */
    int splits;
    size_t workspace;
};

rn_conv_product rn_conv_product_of(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir,
                                   rn_conv_tile_size tile);
/* Whether a grid has so many blocks, and 32 bits count all that they count. */
bool rn_conv_product_fits(const rn_conv_product *p, const rn_conv_desc *d);

/* 16-byte aligned. */
bool rn_conv_aligned(const void *p);
/* May a tensor of so many channels be read, or written, 16 bytes at a time? */
bool rn_conv_wide(const void *p, int channels, size_t size);

/* src through RN_PRO_BN; all 0 without it. */
rn_conv_read rn_conv_read_src(const rn_conv_desc *d, const rn_conv_args *a);
/* dst through RN_PRO_DBN, likewise. */
rn_conv_read rn_conv_read_dst(const rn_conv_desc *d, const rn_conv_args *a);

/* to: values of `size` bytes. workspace: for an epilogue's sums, block by block. */
rn_conv_write rn_conv_write_of(const rn_conv_desc *d, const rn_conv_args *a, const rn_conv_product *p, void *to,
                               size_t size, int beta, void *workspace);

/* rn_conv_algo's slots. */
int rn_conv_turned_open(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, void **priv);
void rn_conv_turned_close(struct rn_backend *be, void *priv);
int rn_conv_turned_prepare(rn_conv_plan *plan, const void *wei, void *stream);
/* bwd_d: weights as (ic, kh, kw, oc); NULL: another direction. */
const void *rn_conv_turned(const rn_conv_plan *plan);

#endif
