/* SPDX-License-Identifier: MIT */
/* Stands for the CUDA toolkit's header: see cuda_runtime.h beside it. */
#ifndef CUDA_BF16_H
#define CUDA_BF16_H

#include <stdint.h>

extern "C" {
#include "base/rn_half.h"
}

typedef struct __nv_bfloat16 {
    uint16_t bits;
} __nv_bfloat16;

static inline __nv_bfloat16 __float2bfloat16_rn(float v)
{
    return __nv_bfloat16{rn_bf16_of_f32(v)};
}
static inline uint16_t __bfloat16_as_ushort(__nv_bfloat16 v)
{
    return v.bits;
}

#endif
