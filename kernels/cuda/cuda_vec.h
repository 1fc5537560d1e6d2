/* SPDX-License-Identifier: MIT */
/*
 * Activations in registers: V neighbours of type T as floats. A vector of 16 bytes is one transaction; V = 1 is for what is
 * not aligned, or has not so many channels. Memory is written where it was read by the same thread, so that no op minds
 * that its result lies over an argument. (C++)
 */
#ifndef CUDA_VEC_H
#define CUDA_VEC_H

#include "kernels/cuda/cuda_launch.h"

/* Elements of T in 16 bytes. */
template <typename T> struct rn_vec {
    enum { N = 16 / sizeof(T) };
};

template <int BYTES> struct rn_vec_word;
template <> struct rn_vec_word<1> {
    typedef uint8_t type;
};
template <> struct rn_vec_word<2> {
    typedef uint16_t type;
};
template <> struct rn_vec_word<4> {
    typedef uint32_t type;
};
template <> struct rn_vec_word<8> {
    typedef uint2 type;
};
template <> struct rn_vec_word<16> {
    typedef uint4 type;
};

/* Up to 16 bytes as they are moved and as they are read. */
template <typename T, int N> union rn_vec_pack {
    typename rn_vec_word<(int)sizeof(T) * N>::type word;
    T e[N];
};

/* v = p[0..V-1]; p is aligned to V elements, or to 16 bytes if those are more. */
template <typename T, int V> static __device__ inline void rn_load(const T *p, float (&v)[V])
{
    enum { N = sizeof(T) * V <= 16 ? V : 16 / sizeof(T) };
    for (int k = 0; k < V; k += N) {
        rn_vec_pack<T, N> q;
        q.word = *(const typename rn_vec_word<(int)sizeof(T) * N>::type *)(p + k);
        for (int i = 0; i < N; i++)
            v[k + i] = rn_widen(q.e[i]);
    }
}

/* p[0..V-1] = v, rounded to nearest even. */
template <typename T, int V> static __device__ inline void rn_store(T *p, const float (&v)[V])
{
    enum { N = sizeof(T) * V <= 16 ? V : 16 / sizeof(T) };
    for (int k = 0; k < V; k += N) {
        rn_vec_pack<T, N> q;
        for (int i = 0; i < N; i++)
            q.e[i] = rn_narrow<T>(v[k + i]);
        *(typename rn_vec_word<(int)sizeof(T) * N>::type *)(p + k) = q.word;
    }
}

template <typename T> static __device__ inline float rn_load1(const T *p)
{
    return rn_widen(*p);
}

template <typename T> static __device__ inline void rn_store1(T *p, float v)
{
    *p = rn_narrow<T>(v);
}

/* Whether all that is given (NULL counts as given nothing) is aligned to so many bytes. */
template <typename... P> static inline bool rn_aligned(size_t bytes, P... p)
{
    const uintptr_t at[] = {(uintptr_t)p...};
    uintptr_t all = 0;
    for (uintptr_t a : at)
        all |= a;
    return all % bytes == 0;
}

/* Runs `call` with T the type that `dtype` names; which has been checked to be f32, bf16 or f16. */
#define RN_CUDA_BY_TYPE(dtype, T, call)                                                                                \
    do {                                                                                                               \
        if ((dtype) == RN_F32) {                                                                                       \
            typedef float T;                                                                                           \
            return call;                                                                                               \
        } else if ((dtype) == RN_BF16) {                                                                               \
            typedef rn_bf16 T;                                                                                         \
            return call;                                                                                               \
        } else {                                                                                                       \
            typedef rn_f16 T;                                                                                          \
            return call;                                                                                               \
        }                                                                                                              \
    } while (0)

/*
 * Element by element. A body has
 *     template <int V> __device__ void at(int64_t i) const;        elements i..i+V-1
 * Vectors by a grid that strides over them, then what is left one by one.
 */
enum { RN_POINT_THREADS = 256, RN_POINT_BLOCKS = 1 << 16 };

template <class B, int V> static __global__ void rn_point_kernel(B b, int64_t n)
{
    const int64_t first = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, step = (int64_t)gridDim.x * blockDim.x;
    const int64_t vectors = n / V;
    for (int64_t i = first; i < vectors; i += step)
        b.template at<V>(i * V);
    for (int64_t i = vectors * V + first; V > 1 && i < n; i += step)
        b.template at<1>(i);
}

/* wide: every tensor of the body is aligned to V elements (or 16 bytes). */
template <int V, class B> static int rn_point(const B &b, int64_t n, bool wide, void *stream)
{
    if (n == 0)
        return RN_OK;
    const int64_t blocks = ((wide ? n / V + 1 : n) + RN_POINT_THREADS - 1) / RN_POINT_THREADS;
    const unsigned grid = blocks < RN_POINT_BLOCKS ? (unsigned)blocks : (unsigned)RN_POINT_BLOCKS;
    if (wide)
        return RN_CUDA_LAUNCH((rn_point_kernel<B, V>), grid, RN_POINT_THREADS, 0, stream, b, n);
    return RN_CUDA_LAUNCH((rn_point_kernel<B, 1>), grid, RN_POINT_THREADS, 0, stream, b, n);
}

#endif
