/* SPDX-License-Identifier: MIT */
#include "kernels/cuda/cuda_conv_sm90.h"

typedef rn_sm90_tile<rn_sm90_bf16, 64, 4, 2> narrow_tile;
typedef rn_sm90_tile<rn_sm90_bf16, 128, 3, 2> middle_tile;
typedef rn_sm90_tile<rn_sm90_bf16, 256, 4, 1> wide_tile;
typedef rn_sm90_tile<rn_sm90_bf16, 64, 4, 1, true> narrow_two;
typedef rn_sm90_tile<rn_sm90_bf16, 128, 4, 1, true> middle_two;
typedef rn_sm90_tile<rn_sm90_bf16, 256, 3, 1, true> wide_two;

RN_CONV_SM90_KERNELS(rn_conv_sm90_bf16_64, narrow_tile, narrow_two);
RN_CONV_SM90_KERNELS(rn_conv_sm90_bf16_128, middle_tile, middle_two);
RN_CONV_SM90_KERNELS(rn_conv_sm90_bf16_256, wide_tile, wide_two);
