/* SPDX-License-Identifier: MIT */
/* The tables of an instruction set that computes in f32: DIRECT(type) names ours, PACKED(type) that of the weights. */
#include "kernels/cpu/cpu_direct_tile.h"

const rn_direct_isa DIRECT(f32) = {.pack = &PACKED(f32), .cell = 4, .tile = tile};
const rn_direct_isa DIRECT(bf16) = {.pack = &PACKED(bf16), .cell = 4, .tile = tile};
const rn_direct_isa DIRECT(f16) = {.pack = &PACKED(f16), .cell = 4, .tile = tile};
