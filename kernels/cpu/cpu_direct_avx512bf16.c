/* SPDX-License-Identifier: MIT */
/* cpu:direct-pairs, 14 x 32 tiles. */
#if defined(__x86_64__)
#define VL 16
#define MR 14
#define PAIRS
#include "kernels/cpu/cpu_direct_tile.h"

const rn_direct_isa rn_direct_avx512_pairs = {
    .pack = &rn_conv_isa_avx512_pairs, .cell = 2, .narrows = true, .tile = tile};
#else
typedef int rn_direct_no_pairs; /* ISO C wants a declaration in every file */
#endif
