/* SPDX-License-Identifier: MIT */
#ifndef CPU_WINO_H
#define CPU_WINO_H

#include "op/rn_conv.h"

extern const rn_conv_algo rn_cpu_winograd, rn_cpu_winograd_2x2;

#endif
