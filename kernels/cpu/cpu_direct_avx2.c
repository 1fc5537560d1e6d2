/* SPDX-License-Identifier: MIT */
/* cpu:direct, 6 x 16 tiles. */
#if defined(__x86_64__)
#define VL           8
#define MR           6
#define DIRECT(type) rn_direct_avx2_##type
#define PACKED(type) rn_conv_isa_avx2_##type
#include "kernels/cpu/cpu_direct_types.h"
#else
typedef int rn_direct_no_avx2; /* ISO C wants a declaration in every file */
#endif
