/* SPDX-License-Identifier: MIT */
#include "op/rn_tensor.h"

#include <string.h>

#include "base/rn_half.h"

const char *rn_dtype_name(rn_dtype t)
{
    switch (t) {
    case RN_F32:
        return "f32";
    case RN_BF16:
        return "bf16";
    case RN_F16:
        return "f16";
    case RN_U8:
        return "u8";
    case RN_I32:
        return "i32";
    }
    return "?";
}

void rn_dtype_widen(rn_dtype from_type, float *to, const void *from, size_t n)
{
    const rn_half_kern *k = rn_half_kern_of(rn_isa_best());

    if (from_type == RN_F32)
        memcpy(to, from, n * sizeof *to);
    else
        (from_type == RN_BF16 ? k->f32_of_bf16 : k->f32_of_f16)(to, from, n);
}

void rn_dtype_narrow(rn_dtype to_type, void *to, const float *from, size_t n)
{
    const rn_half_kern *k = rn_half_kern_of(rn_isa_best());

    if (to_type == RN_F32)
        memcpy(to, from, n * sizeof *from);
    else
        (to_type == RN_BF16 ? k->bf16_of_f32 : k->f16_of_f32)(to, from, n);
}
