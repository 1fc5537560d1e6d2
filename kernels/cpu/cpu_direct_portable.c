/* SPDX-License-Identifier: MIT */
/* cpu:direct, 4 x 8 tiles. */
#define VL           4
#define MR           4
#define DIRECT(type) rn_direct_portable_##type
#define PACKED(type) rn_conv_isa_portable_##type
#include "kernels/cpu/cpu_direct_types.h"
