/* SPDX-License-Identifier: MIT */
/* cpu:direct, 14 x 32 tiles. */
#if defined(__x86_64__)
#define VL           16
#define MR           14
#define DIRECT(type) rn_direct_avx512_##type
#define PACKED(type) rn_conv_isa_avx512_##type
#include "kernels/cpu/cpu_direct_types.h"
#else
typedef int rn_direct_no_avx512; /* ISO C wants a declaration in every file */
#endif
