/* SPDX-License-Identifier: MIT */
/* cpu:winograd, 4 x 8 register tiles. */
#define VL          4
#define MR          4
#define TABLE_(out) rn_wino_portable_##out
#define TABLE(out)  TABLE_(out)

#include "kernels/cpu/cpu_wino_tile.h"
