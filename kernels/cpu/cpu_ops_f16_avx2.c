/* SPDX-License-Identifier: MIT */
#if defined(__x86_64__)
#define CPU_OPS_KERN  cpu_ops_f16_avx2
#define CPU_OPS_F16   1
#define CPU_VEC_BYTES 32
#include "kernels/cpu/cpu_ops_kern_impl.h"
#else
typedef int cpu_ops_f16_no_avx2; /* ISO C wants a declaration in every file */
#endif
