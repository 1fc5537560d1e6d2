/* SPDX-License-Identifier: MIT */
/* The types that convolutions compute with, and pieces of 16 bytes of them. Kernels are written once for all. */
#ifndef CUDA_CONV_TYPES_H
#define CUDA_CONV_TYPES_H

#include "kernels/cuda/cuda_conv_args.h"

struct rn_type_f32 {
    typedef float store;
    static __device__ __forceinline__ float widen(store v)
    {
        return v;
    }
    static __device__ __forceinline__ store narrow(float v)
    {
        return v;
    }
};

struct rn_type_bf16 {
    typedef uint16_t store;
    static __device__ __forceinline__ float widen(store v)
    {
        return rn_widen(rn_bf16{v});
    }
    static __device__ __forceinline__ store narrow(float v)
    {
        return rn_narrow<rn_bf16>(v).bits;
    }
};

struct rn_type_f16 {
    typedef uint16_t store;
    static __device__ __forceinline__ float widen(store v)
    {
        return rn_widen(rn_f16{v});
    }
    static __device__ __forceinline__ store narrow(float v)
    {
        return rn_narrow<rn_f16>(v).bits;
    }
};

template <class type> union alignas(16) rn_piece {
    enum { COUNT = 16 / (int)sizeof(typename type::store) };
    uint4 all;
    typename type::store one[COUNT];
};

/* f32 vectors of one value per channel: where `wide`, from a multiple of 16 bytes. */
template <int n> static __device__ __forceinline__ void rn_load_vector(float *to, const float *from)
{
    RN_UNROLL
    for (int i = 0; i < n; i += 4)
        *(float4 *)(to + i) = *(const float4 *)(from + i);
}

/* v, that of `other` and a channel, through a prologue. */
static __device__ __forceinline__ float rn_read_one(const rn_conv_read &r, float v, float other, int c)
{
    v = fmaf(v, r.mul[c], r.add[c]);
    if (r.other)
        v = r.by ? fmaf(other, r.by[c], v) : v + other;
    return r.relu && v < 0 ? 0 : v;
}

/* A piece through a prologue, its first channel being c. */
template <class type>
static __device__ __forceinline__ void rn_read_piece(const rn_conv_read &r, rn_piece<type> &v,
                                                     const rn_piece<type> &other, int c)
{
    enum { N = rn_piece<type>::COUNT };
    alignas(16) float mul[N], add[N], by[N];

    rn_load_vector<N>(mul, r.mul + c);
    rn_load_vector<N>(add, r.add + c);
    if (r.by)
        rn_load_vector<N>(by, r.by + c);
    RN_UNROLL
    for (int i = 0; i < N; i++) {
        float x = fmaf(type::widen(v.one[i]), mul[i], add[i]);
        if (r.other)
            x = r.by ? fmaf(type::widen(other.one[i]), by[i], x) : x + type::widen(other.one[i]);
        v.one[i] = type::narrow(r.relu && x < 0 ? 0 : x);
    }
}

#endif
