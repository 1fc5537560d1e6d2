/* SPDX-License-Identifier: MIT */
/* Stands for the CUDA toolkit's header: see cuda_runtime.h beside it. */
#ifndef CUDA_FP16_H
#define CUDA_FP16_H

#include <stdint.h>

extern "C" {
#include "base/rn_half.h"
}

typedef struct __half {
    uint16_t bits;
} __half;

static inline __half __float2half_rn(float v)
{
    return __half{rn_f16_of_f32(v)};
}
static inline uint16_t __half_as_ushort(__half v)
{
    return v.bits;
}
static inline __half __ushort_as_half(uint16_t bits)
{
    return __half{bits};
}
static inline float __half2float(__half v)
{
    return rn_f32_of_f16(v.bits);
}

#endif
