/* SPDX-License-Identifier: MIT */
#include "op/rn_tensor.h"

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
