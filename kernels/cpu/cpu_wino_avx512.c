/* SPDX-License-Identifier: MIT */
/* cpu:winograd, 14 x 32 register tiles. */
#define VL          16
#define MR          14
#define TABLE_(out) rn_wino_avx512_##out
#define TABLE(out)  TABLE_(out)

#include "kernels/cpu/cpu_wino_tile.h"
