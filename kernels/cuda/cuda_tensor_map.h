/* SPDX-License-Identifier: MIT */
/*
 * Tensor maps of 16-bit tensors, by which copies into shared memory find their way (cuda_sm90.h): rows of 64 values, swizzled by 128 bytes;
 * what lies outside of the tensor is zeros. The driver makes them (cuTensorMapEncodeTiled, cuTensorMapEncodeIm2col of cuda.h, which has
 * what they are refused for); nothing is linked with it. Tensors must begin at multiples of 16 bytes. RN_OK or RN_E_*.
 */
#ifndef CUDA_TENSOR_MAP_H
#define CUDA_TENSOR_MAP_H

#include <cuda.h>

extern "C" {
#include "op/rn_tensor.h"
}

enum { RN_MAP_VALUES = 64 };

/* Whether the driver has what makes them. */
bool rn_tensor_map_known(void);

/* A tensor of `rank` dimensions, 2 or 3, the first of them dense, as they come in memory; copies have 64 values of that, and box[1],
 * box[2] of the others. */
int rn_tensor_map_tile(CUtensorMap *map, rn_dtype type, const void *tensor, int rank, const int64_t *dims,
                       const int *box);

/* One side of pixels that a copy goes over: `count` of them, `step` apart, the first at `first`: of those that are read at offset 0. */
typedef struct rn_map_side {
    int size; /* of the tensor */
    int first, step, count;
} rn_map_side;

/* Whether the limits of tensor maps allow it, with offsets up to `taps` - 1. */
bool rn_map_side_fits(const rn_map_side *s, int taps);

/* A tensor (images, y->size, x->size, channels): copies have 64 channels of `pixels` pixels, which follow each other line by line and image
 * by image. */
int rn_tensor_map_pixels(CUtensorMap *map, rn_dtype type, const void *tensor, int images, const rn_map_side *y,
                         const rn_map_side *x, int channels, int pixels);

#endif
