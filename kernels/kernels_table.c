/* SPDX-License-Identifier: MIT */
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cuda/cuda_module.h"
#include "kernels/rn_kernels.h"

const rn_backend_entry rn_backends[] = {
    {"cpu", rn_cpu_open},
    {"cuda", rn_cuda_open},
    {NULL, NULL},
};
