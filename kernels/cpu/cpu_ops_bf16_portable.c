/* SPDX-License-Identifier: MIT */
#define CPU_OPS_KERN  cpu_ops_bf16_portable
#define CPU_OPS_BF16  1
#define CPU_VEC_BYTES 16
#include "kernels/cpu/cpu_ops_kern_impl.h"
