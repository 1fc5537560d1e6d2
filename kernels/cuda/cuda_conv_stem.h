/* SPDX-License-Identifier: MIT */
/*
 * cuda:direct-stem: first layers, of up to 4 input channels, by tensor cores. (bf16, f16; fwd and bwd_w)
 *
 * Channels that fill no 16 bytes cannot be copied pixel by pixel. Lines of pixels can: a block copies the lines that a tile of
 * output pixels reads (its patch) into shared memory, with zeros where they are padding, and reads the operands of mma from
 * there. Of a line of the kernel, the kw ic values that an output pixel meets are neighbours in the patch, so that k runs over
 * (line of the kernel, pairs of neighbours): each line is rounded up to whole pairs, all of them to the 16 of an instruction
 * (7 x 7 x 3: 147 values as 7 x 22 = 154 of 160). A pair is one 32-bit word. Where a pixel begins at an odd value (an odd step
 * of sw ic values), its pairs are words of a second copy of the patch, moved by one value.
 *
 * Lines of src that begin at multiples of 16 bytes are copied asynchronously, to such multiples: the patch then begins some
 * values later, its `lead`. Where that is odd, all pixels begin at odd values, and the first pair of a line of the kernel has the
 * value before it, in the place of one behind.
 *
 * A block has one range of columns of the output and goes through tiles of rows of it, in all images.
 */
#ifndef CUDA_CONV_STEM_H
#define CUDA_CONV_STEM_H

#include "kernels/cuda/cuda_conv_args.h"

enum {
    RN_STEM_CHANNELS = 4, /* of src, at most */
    RN_STEM_THREADS = 128,
    RN_STEM_WARPS = RN_STEM_THREADS / 32,
    RN_STEM_PIXELS = 1024,          /* of a tile, at most */
    RN_STEM_PATCH_WORDS = 8192,     /* with its second copy, at most */
    RN_STEM_SHARED_MOST = 96 << 10, /* of a block: what a compute capability of 8.6 has, less what the system takes */
    /* bwd_w */
    RN_STEM_ROWS = 64,  /* of oc: a block's part */
    RN_STEM_STAGE = 64, /* pixels of dst that are copied at a time */
    RN_STEM_STAGES = 3,
    RN_STEM_STAGE_PITCH =
        RN_STEM_ROWS * 2 + 16, /* bytes of a pixel: an odd number of 16s, so that 8 of them meet in no bank */
    RN_STEM_STAGE_BYTES = RN_STEM_STAGE * RN_STEM_STAGE_PITCH
};

/* How a case is cut. Words are pairs of values; `at`s are bytes of shared memory. */
struct rn_stem_cut {
    int line, shift;              /* values of a line of the kernel; 1: its first pair has one before it */
    int pairs_line, pairs, k;     /* of a line, of all of them, and values, up to 16s */
    int tile_h, tile_w;           /* pixels of dst */
    int tiles_y, tiles_x;         /* of an image */
    bool aligned;                 /* lines of src begin at 16 bytes, and are copied to such */
    int pitch, copy, copies;      /* words of a line of the patch and of a copy; 1 or 2 copies */
    int columns;                  /* of oc that a block has: 32 or 64; bwd_w: RN_STEM_ROWS */
    int parts_n;                  /* of oc */
    int groups, warps_k, parts_k; /* bwd_w: 16s of k of a warp, warps that share k, parts of k */
    int row_blocks;               /* blocks that share the tiles of a range of columns */
    int wei_at, taps_at, bases_at, stats_at, stages_at, bytes;
};

struct rn_stem_args {
    rn_conv_desc d;
    rn_stem_cut cut;
    const void *src, *wei, *dst; /* wei: as rn_stem_pack made it; dst: bwd_w */
    rn_conv_read read;           /* bwd_w: dst */
    rn_conv_write write;         /* bwd_w: to [parts][oc][kh kw ic] */
    bool wide_src, wide_dst;     /* src begins at 16 bytes; so does each pixel of dst, and what its prologue reads */
};

/* cuda_conv_stem_fwd.cu, cuda_conv_stem_weights.cu. columns: 32, 64; groups: 2, 3, 5. open: once a plan, what its kernels need. */
int rn_stem_fwd_open(rn_dtype type, int columns, bool stats);
int rn_stem_fwd(const rn_stem_args *p, unsigned blocks, void *stream);
/* Weights as fwd reads them: [parts_n][columns][k], in the order of columns that it wants. */
int rn_stem_pack(const rn_stem_args *p, void *to, const void *wei, void *stream);
int rn_stem_weights_open(rn_dtype type, int groups);
int rn_stem_weights(const rn_stem_args *p, unsigned blocks, void *stream);

/* Blocks of either that have room on a multiprocessor, by registers. */
static inline int rn_stem_fwd_blocks(void)
{
    return 3;
}

static inline int rn_stem_weights_blocks(int groups)
{
    return groups > 2 ? 2 : 3;
}

#endif
