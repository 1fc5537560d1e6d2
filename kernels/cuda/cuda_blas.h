/* SPDX-License-Identifier: MIT */
/*
 * Products of matrices by NVIDIA's cuBLASLt, loaded when a device is opened; a device without it has the project's own product.
 * (C++)
 */
#ifndef CUDA_BLAS_H
#define CUDA_BLAS_H

#include <stddef.h>

extern "C" {
#include "op/rn_backend.h"
}

/* Scratch that a product may use, 256-byte aligned: what NVIDIA recommends for compute capability 9.0. Less where a test's library
 * fills it with NaN each time. */
#ifdef RN_CUDA_EMULATED
#define RN_BLAS_WORKSPACE ((size_t)1 << 20)
#else
#define RN_BLAS_WORKSPACE ((size_t)32 << 20)
#endif

/*
 * d (n, m) = b (n, k) a^T (k, m) [+ bias (m) in each row] [+ d]. All row by row without gaps; turned: a lies as (k, m), or b
 * as (k, n). a and b are of one type, f32, bf16 or f16; d and bias are f32. Sums are in f32 and products exact: of f32 by FMA,
 * never by TF32 or several 16-bit products, of 16-bit values by the tensor cores. The bits are the same in every run on devices
 * of one architecture and size, by one version of the library: an algorithm is asked for once a shape, and may only add parts
 * up in f32 in a fixed order.
 */
typedef struct rn_blas_product {
    int m, n, k;
    rn_dtype type;
    bool turned_a, turned_b, add;
    const void *a, *b;
    const float *bias; /* NULL: none */
    float *d;
} rn_blas_product;

/* Loads it if it can be had. Adds ", cuBLASLt 13.1.0" or ", no cuBLASLt" to the text (nothing where it was built without). Why not, --verbose tells, or a warning where
 * RNKIT_CUBLASLT_LIBRARY asks for it. */
void rn_blas_describe(struct rn_backend *be, char *text, size_t cap);
void rn_blas_close(struct rn_backend *be);
bool rn_blas_there(const struct rn_backend *be);
/* 1: given to the stream. 0: it has no such algorithm for this product, of which it has warned once; nothing was done. RN_E_*.
 * workspace: RN_BLAS_WORKSPACE bytes. */
int rn_blas_multiply(struct rn_backend *be, const rn_blas_product *p, void *workspace, void *stream);

#endif
