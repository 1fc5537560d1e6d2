/* SPDX-License-Identifier: MIT */
/* What the device can do at most: the rows of rn_backend's probes. */
#ifndef CUDA_PEAK_H
#define CUDA_PEAK_H

#include "op/rn_backend.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Ended by a name of NULL. */
extern const rn_probe rn_cuda_probes[];

#ifdef __cplusplus
}
#endif

#endif
