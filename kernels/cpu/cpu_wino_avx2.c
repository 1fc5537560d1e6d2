/* SPDX-License-Identifier: MIT */
/* cpu:winograd, 6 x 16 register tiles. */
#define VL          8
#define MR          6
#define TABLE_(out) rn_wino_avx2_##out
#define TABLE(out)  TABLE_(out)

#include "kernels/cpu/cpu_wino_tile.h"
