/* SPDX-License-Identifier: MIT */
/*
 * The weights' gradient of kernels of one tap without padding, "cpu:point": bwd_w, NHWC, f32, bf16 and f16, any stride.
 *
 *   wei[oc][ic] = sum over pixels of dst[pixel][oc] * src[pixel][ic]
 *
 * Which pixel lies beside which does not matter: all of a batch are one row, of which a stride meets every sw-th pixel of every
 * sh-th row. It is cut into even blocks of at most RN_POINT_BLOCK cells (a cell is one pixel's number as f32 or, for bf16 on CPUs
 * that multiply and add pairs, those of two pixels that follow each other, across rows and images as well). Of a block, the
 * output channels of dst are copied as they lie, a chunk that stays in the L2 cache; then, panel by panel, a register tile's
 * width of src's channels, which stays in the L1 cache while all of the chunk's channels pass by. What is copied next
 * is asked for meanwhile: the lines of a panel lie a pixel or two apart, where no prefetcher of a CPU finds them.
 *
 * Threads split pixels, into private sums that are added up in a fixed order, and output and input channels, whatever costs least:
 * where there are few weights, pixels. Sums are f32, in chains of at most RN_POINT_BLOCK cells.
 */
#ifndef CPU_POINT_H
#define CPU_POINT_H

#include "kernels/cpu/cpu_conv.h"

extern const rn_conv_algo rn_cpu_point;

#endif
