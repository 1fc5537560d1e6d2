/* SPDX-License-Identifier: MIT */
/*
 * Between the tools and the shared object that knows CUDA (rnkit_cuda.so): one symbol. The object uses librnkit's functions as
 * the program that loads it exports them, so that both must be of one build.
 */
#ifndef CUDA_MODULE_H
#define CUDA_MODULE_H

#include "op/rn_backend.h"

#define RN_CUDA_MODULE        "rnkit_cuda.so"
#define RN_CUDA_MODULE_SYMBOL "rnkit_cuda_module"

typedef struct rn_cuda_module {
    const char *version;             /* RN_VERSION */
    size_t backend, ops, algo, desc; /* sizes of what both sides must see alike */
    int (*open)(const rn_backend_opts *opts, rn_backend **out);
} rn_cuda_module;

/* An initialiser's start, on either side. */
#define RN_CUDA_MODULE_SIZES sizeof(rn_backend), sizeof(rn_ops), sizeof(rn_conv_algo), sizeof(rn_conv_desc)

#ifdef __cplusplus
extern "C" {
#endif
/* A row of rn_backends: loads the object and opens its backend. RN_E_ABSENT when the object, a driver or a device is not there. */
int rn_cuda_open(const rn_backend_opts *opts, rn_backend **out);
#ifdef __cplusplus
}
#endif

#endif
