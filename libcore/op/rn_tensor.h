/* SPDX-License-Identifier: MIT */
/* Dense tensors. Activations are NHWC (dim = {mb, h, w, c}); convolution weights OHWI
 * (dim = {oc, kh, kw, ic}); linear weights {oc, ic}; vectors {c}. No strides: a tensor is packed. */
#ifndef RN_TENSOR_H
#define RN_TENSOR_H

#include <stddef.h>
#include <stdint.h>

typedef enum rn_dtype { RN_F32 = 0, RN_BF16 = 1, RN_F16 = 2, RN_U8 = 3, RN_I32 = 4 } rn_dtype;

static inline size_t rn_dtype_size(rn_dtype t)
{
    return t == RN_F32 || t == RN_I32 ? 4 : t == RN_U8 ? 1 : 2;
}
const char *rn_dtype_name(rn_dtype t); /* "f32" ... */
/* n numbers of f32, bf16 or f16 as f32, and back with one rounding (rn_half.h). No two overlap. */
void rn_dtype_widen(rn_dtype from_type, float *to, const void *from, size_t n);
void rn_dtype_narrow(rn_dtype to_type, void *to, const float *from, size_t n);

typedef struct rn_tensor {
    rn_dtype dtype;
    int nd;         /* 1..4 */
    int64_t dim[4]; /* outermost first; unused ones are 1 */
    void *data;     /* device memory of the backend it belongs to; not owned */
} rn_tensor;

static inline int64_t rn_tensor_count(const rn_tensor *t)
{
    return t->dim[0] * t->dim[1] * t->dim[2] * t->dim[3];
}
static inline size_t rn_tensor_bytes(const rn_tensor *t)
{
    return (size_t)rn_tensor_count(t) * rn_dtype_size(t->dtype);
}

#endif
