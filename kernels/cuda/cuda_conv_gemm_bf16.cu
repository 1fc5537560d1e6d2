/* SPDX-License-Identifier: MIT */
#include "kernels/cuda/cuda_conv_kernels.h"

typedef rn_tile<rn_by_bf16, 128, 128, 32, 64> wide_tile;
typedef rn_tile<rn_by_bf16, 128, 64, 32, 64> narrow_tile;

RN_CONV_KERNELS(rn_conv_bf16_128x128, wide_tile);
RN_CONV_KERNELS(rn_conv_bf16_128x64, narrow_tile);
