/* SPDX-License-Identifier: MIT */
/*
 * The weights' gradient by strips, "cpu:strip": bwd_w, NHWC, f32, bf16 and f16, any kernel, stride and padding.
 *
 *   wei[oc][r][s][ic] = sum over pixels of dst[pixel][oc] * src[pixel moved by tap (r, s)][ic]
 *
 * A block of pixels is a few grid rows of a few images. Of each source row it reads, a strip is copied once, for all
 * taps, into panels of a register tile's width: [row][phase][x][image][channel], where the columns of one phase are those
 * that leave the same rest by the stride. Tap (r, s) is then a move of whole rows and pixels: what it reads of a grid row
 * is one run of the strip, shortened where the tap falls into the padding, which costs nothing. dst is copied once as well.
 *
 * Images are the minor index so that runs are long on small maps, and so that bf16 pairs are of two images, which
 * no tap tears apart. Of an odd number of images, the halves of an image make the pair if that wastes less.
 *
 * Few channels: there dst makes the vectors and the window's columns (s, channel), which lie side by side in a
 * strip [image][row][x][channel], are what is multiplied by; the result is transposed at the end.
 *
 * Sums are f32, in chains of at most RN_STRIP_CHAIN cells that are added up in a fixed order.
 */
#ifndef CPU_STRIP_H
#define CPU_STRIP_H

#include "kernels/cpu/cpu_conv.h"

extern const rn_conv_algo rn_cpu_strip;

/* Most cells in a chain of f32 sums. */
#define RN_STRIP_CHAIN 256
/* Most cells of a block, and least; in between as many as keep dst's part of it in an eighth of the L2 cache: what it
 * is copied from, that of src, and what the next block reads, which is asked for in time, are there as well. Half of it where
 * the sums do not fit beside that: each block reads and writes them. */
#define RN_STRIP_MOST  1024
#define RN_STRIP_LEAST 128
#define RN_STRIP_L2    262144 /* cells: 1 MB */

/* How a case is worked off. */
typedef struct rn_strip {
    const rn_conv_isa *isa;
    rn_conv_desc d;
    bool few;   /* few channels: dst makes the vectors */
    int bands;  /* 2: an image is seen as two, of half its rows each */
    int images; /* mb * bands */
    int rows;   /* grid rows of one of them; of the last band the last one may be missing */
    int group;  /* images in a block, a multiple of isa->per */
    int parts;  /* parts of a grid row; more than 1: blocks are of one part of one row */
    int block_rows;
    size_t units;                        /* rows of groups, times parts: what threads split */
    int pix_groups, m_groups, n_groups;  /* the split: units, rows and panels of the product */
    int row_step, phases;                /* strip rows from one grid row to the next; phases of columns */
    size_t a_cells, b_cells, copy_cells; /* scratch of a thread; private result of a pixel group */
    /* Fused work: what src and dst are read through, set at each run; NULL mul: as they are. */
    rn_conv_read read_src, read_dst;
    float *vectors; /* theirs */
} rn_strip;

#endif
