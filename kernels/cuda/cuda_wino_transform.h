/* SPDX-License-Identifier: MIT */
/*
 * The transforms of F(4x4, 3x3) at the points 0, +-3/4, +-3/2 and infinity, and of F(2x2, 3x3) at 0, +-1 and infinity: those of
 * kernels/cpu/cpu_wino_transform.h, a tile to a thread. Each is the same transform in one dimension, along the columns and then
 * the rows.
 */
#ifndef CUDA_WINO_TRANSFORM_H
#define CUDA_WINO_TRANSFORM_H

#include "kernels/cuda/cuda_launch.h"

/* Points, their squares, and one over the product of a point's distances from the others. */
#define RN_WINO_P    0.75f
#define RN_WINO_Q    1.5f
#define RN_WINO_PP   (RN_WINO_P * RN_WINO_P)
#define RN_WINO_QQ   (RN_WINO_Q * RN_WINO_Q)
#define RN_WINO_AT_0 ((float)(1.0 / ((double)RN_WINO_PP * RN_WINO_QQ)))
#define RN_WINO_AT_P ((float)(1.0 / (2.0 * RN_WINO_PP * ((double)RN_WINO_PP - RN_WINO_QQ))))
#define RN_WINO_AT_Q ((float)(1.0 / (2.0 * RN_WINO_QQ * ((double)RN_WINO_QQ - RN_WINO_PP))))

template <int OUT> struct rn_wino_src;      /* B^T d: IN values to TO */
template <int OUT> struct rn_wino_wei;      /* G g */
template <int OUT> struct rn_wino_dst;      /* A y */
template <int OUT> struct rn_wino_wei_back; /* G^T m */
template <int OUT> struct rn_wino_dst_back; /* A^T m */

template <> struct rn_wino_src<4> {
    enum { IN = 6, TO = 6 };
    static __device__ __forceinline__ void apply(const float *d, float *o)
    {
        o[0] = RN_WINO_PP * RN_WINO_QQ * d[0] + (d[4] - (RN_WINO_PP + RN_WINO_QQ) * d[2]);
        o[5] = RN_WINO_PP * RN_WINO_QQ * d[1] + (d[5] - (RN_WINO_PP + RN_WINO_QQ) * d[3]);
        const float p_even = d[4] - RN_WINO_QQ * d[2], p_odd = RN_WINO_P * d[3] - RN_WINO_P * RN_WINO_QQ * d[1];
        const float q_even = d[4] - RN_WINO_PP * d[2], q_odd = RN_WINO_Q * d[3] - RN_WINO_Q * RN_WINO_PP * d[1];
        o[1] = p_even + p_odd;
        o[2] = p_even - p_odd;
        o[3] = q_even + q_odd;
        o[4] = q_even - q_odd;
    }
};

template <> struct rn_wino_wei<4> {
    enum { IN = 3, TO = 6 };
    static __device__ __forceinline__ void apply(const float *g, float *o)
    {
        const float p_even = g[0] + RN_WINO_PP * g[2], q_even = g[0] + RN_WINO_QQ * g[2];
        o[0] = RN_WINO_AT_0 * g[0];
        o[1] = RN_WINO_AT_P * (p_even + RN_WINO_P * g[1]);
        o[2] = RN_WINO_AT_P * (p_even - RN_WINO_P * g[1]);
        o[3] = RN_WINO_AT_Q * (q_even + RN_WINO_Q * g[1]);
        o[4] = RN_WINO_AT_Q * (q_even - RN_WINO_Q * g[1]);
        o[5] = g[2];
    }
};

template <> struct rn_wino_dst<4> {
    enum { IN = 4, TO = 6 };
    static __device__ __forceinline__ void apply(const float *y, float *o)
    {
        const float p_even = y[0] + RN_WINO_PP * y[2], p_odd = RN_WINO_P * y[1] + RN_WINO_P * RN_WINO_PP * y[3];
        const float q_even = y[0] + RN_WINO_QQ * y[2], q_odd = RN_WINO_Q * y[1] + RN_WINO_Q * RN_WINO_QQ * y[3];
        o[0] = y[0];
        o[1] = p_even + p_odd;
        o[2] = p_even - p_odd;
        o[3] = q_even + q_odd;
        o[4] = q_even - q_odd;
        o[5] = y[3];
    }
};

template <> struct rn_wino_wei_back<4> {
    enum { IN = 6, TO = 3 };
    static __device__ __forceinline__ void apply(const float *m, float *o)
    {
        const float p_sum = RN_WINO_AT_P * (m[1] + m[2]), q_sum = RN_WINO_AT_Q * (m[3] + m[4]);
        o[0] = RN_WINO_AT_0 * m[0] + (p_sum + q_sum);
        o[1] = (RN_WINO_AT_P * RN_WINO_P) * (m[1] - m[2]) + (RN_WINO_AT_Q * RN_WINO_Q) * (m[3] - m[4]);
        o[2] = RN_WINO_PP * p_sum + (RN_WINO_QQ * q_sum + m[5]);
    }
};

template <> struct rn_wino_dst_back<4> {
    enum { IN = 6, TO = 4 };
    static __device__ __forceinline__ void apply(const float *m, float *o)
    {
        const float p_sum = m[1] + m[2], p_diff = m[1] - m[2], q_sum = m[3] + m[4], q_diff = m[3] - m[4];
        o[0] = m[0] + (p_sum + q_sum);
        o[1] = RN_WINO_P * p_diff + RN_WINO_Q * q_diff;
        o[2] = RN_WINO_PP * p_sum + RN_WINO_QQ * q_sum;
        o[3] = RN_WINO_P * RN_WINO_PP * p_diff + (RN_WINO_Q * RN_WINO_QQ * q_diff + m[5]);
    }
};

template <> struct rn_wino_src<2> {
    enum { IN = 4, TO = 4 };
    static __device__ __forceinline__ void apply(const float *d, float *o)
    {
        o[0] = d[0] - d[2];
        o[1] = d[1] + d[2];
        o[2] = d[2] - d[1];
        o[3] = d[1] - d[3];
    }
};

template <> struct rn_wino_wei<2> {
    enum { IN = 3, TO = 4 };
    static __device__ __forceinline__ void apply(const float *g, float *o)
    {
        o[0] = g[0];
        o[1] = 0.5f * (g[0] + g[2] + g[1]);
        o[2] = 0.5f * (g[0] + g[2] - g[1]);
        o[3] = g[2];
    }
};

template <> struct rn_wino_dst<2> {
    enum { IN = 2, TO = 4 };
    static __device__ __forceinline__ void apply(const float *y, float *o)
    {
        o[0] = y[0];
        o[1] = y[0] + y[1];
        o[2] = y[0] - y[1];
        o[3] = -y[1];
    }
};

template <> struct rn_wino_wei_back<2> {
    enum { IN = 4, TO = 3 };
    static __device__ __forceinline__ void apply(const float *m, float *o)
    {
        const float sum = 0.5f * (m[1] + m[2]);
        o[0] = m[0] + sum;
        o[1] = 0.5f * (m[1] - m[2]);
        o[2] = sum + m[3];
    }
};

template <> struct rn_wino_dst_back<2> {
    enum { IN = 4, TO = 2 };
    static __device__ __forceinline__ void apply(const float *m, float *o)
    {
        o[0] = m[0] + (m[1] + m[2]);
        o[1] = (m[1] - m[2]) - m[3];
    }
};

/* x (IN, IN) to o (TO, TO) */
template <class One>
static __device__ __forceinline__ void rn_wino_2d(const float (&x)[One::IN][One::IN], float (&o)[One::TO][One::TO])
{
    float t[One::TO][One::IN];

    RN_UNROLL
    for (int j = 0; j < One::IN; j++) {
        float c[One::IN], r[One::TO];
        RN_UNROLL
        for (int i = 0; i < One::IN; i++)
            c[i] = x[i][j];
        One::apply(c, r);
        RN_UNROLL
        for (int i = 0; i < One::TO; i++)
            t[i][j] = r[i];
    }
    RN_UNROLL
    for (int i = 0; i < One::TO; i++)
        One::apply(t[i], o[i]);
}

#endif
