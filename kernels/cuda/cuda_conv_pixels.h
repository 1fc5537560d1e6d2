/* SPDX-License-Identifier: MIT */
/*
 * bwd_w: the operands of a tile, of T::K pixels of dst each: their gradients (A), and what a tap reads for them (B). A thread has
 * the same channels, and the same tap, in some of the pixels, and moves on by T::K pixels at a time.
 */
#ifndef CUDA_CONV_PIXELS_H
#define CUDA_CONV_PIXELS_H

#include "kernels/cuda/cuda_conv_tile.h"

template <class T> struct rn_pixels {
    typedef typename T::type type;
    typedef typename T::store store;
    enum {
        A_PIECES = T::M / T::PIECE, /* of a pixel */
        B_PIECES = T::N / T::PIECE,
        A_STEP = T::THREADS / A_PIECES,
        B_STEP = T::THREADS / B_PIECES,
        A_ROWS = T::K / A_STEP,
        B_ROWS = T::K / B_STEP
    };

    const rn_conv_weights_args &p;
    int64_t pixel, end;       /* the first of this stage; behind the last of this part of the sum */
    int m, r, s, c;           /* first channel of A; tap and channel of B */
    int y[B_ROWS], x[B_ROWS]; /* of pixel + first row of B + i B_STEP */
    int64_t image[B_ROWS];
    rn_piece<type> a[A_ROWS], a_other[A_ROWS], b[B_ROWS], b_other[B_ROWS];
    unsigned inside_a, inside_b;

    __device__ __forceinline__ rn_pixels(const rn_conv_weights_args &args, int64_t first, int64_t behind, int m0,
                                         int n0)
        : p(args), pixel(first), end(behind)
    {
        const int column = n0 + threadIdx.x % B_PIECES * T::PIECE, tap = column / p.d.ic;

        m = m0 + threadIdx.x % A_PIECES * T::PIECE;
        c = column % p.d.ic;
        r = tap / p.d.kw;
        s = tap % p.d.kw;
        for (int i = 0; i < B_ROWS; i++) {
            const int64_t at = first + threadIdx.x / B_PIECES + i * B_STEP, line = at / p.d.ow;
            x[i] = (int)(at % p.d.ow);
            y[i] = (int)(line % p.d.oh);
            image[i] = line / p.d.oh;
        }
    }

    __device__ __forceinline__ void advance()
    {
        pixel += T::K;
        RN_UNROLL
        for (int i = 0; i < B_ROWS; i++) {
            x[i] += p.on_x;
            y[i] += p.on_y;
            image[i] += p.on_images;
            if (x[i] >= p.d.ow) {
                x[i] -= p.d.ow;
                y[i]++;
            }
            if (y[i] >= p.d.oh) {
                y[i] -= p.d.oh;
                image[i]++;
            }
        }
    }
    static __device__ __forceinline__ int a_row(int i)
    {
        return threadIdx.x / A_PIECES + i * A_STEP;
    }
    static __device__ __forceinline__ int b_row(int i)
    {
        return threadIdx.x / B_PIECES + i * B_STEP;
    }
    static __device__ __forceinline__ int a_place(int i)
    {
        return rn_across_k(T::M * (int)sizeof(store), a_row(i), threadIdx.x % A_PIECES);
    }
    static __device__ __forceinline__ int b_place(int i)
    {
        return T::A_BYTES + rn_across_k(T::N * (int)sizeof(store), b_row(i), threadIdx.x % B_PIECES);
    }
    /* Element of dst, -1: none. */
    __device__ __forceinline__ int64_t a_at(int i, int channel) const
    {
        const int64_t row = pixel + a_row(i);

        return row < end && channel < p.d.oc ? row * p.d.oc + channel : -1;
    }
    /* Element of src that a tap reads. */
    __device__ __forceinline__ int64_t b_at(int i, int tap_y, int tap_x, int channel) const
    {
        const int iy = y[i] * p.d.sh - p.d.ph + tap_y, ix = x[i] * p.d.sw - p.d.pw + tap_x;
        const bool valid = pixel + b_row(i) < end && tap_y < p.d.kh && (unsigned)iy < (unsigned)p.d.ih &&
                           (unsigned)ix < (unsigned)p.d.iw;

        return valid ? ((image[i] * p.d.ih + iy) * p.d.iw + ix) * p.d.ic + channel : -1;
    }

    /* Starts the copies of one stage: both wide, and nothing to compute of what is read. */
    __device__ __forceinline__ void copy(rn_async &async, char *stage)
    {
        const store *dst = (const store *)p.dst, *src = (const store *)p.src;

        RN_UNROLL
        for (int i = 0; i < A_ROWS; i++) {
            const int64_t at = a_at(i, m);
            async.copy(stage + a_place(i), at >= 0 ? dst + at : dst, at >= 0);
        }
        RN_UNROLL
        for (int i = 0; i < B_ROWS; i++) {
            const int64_t at = b_at(i, r, s, c);
            async.copy(stage + b_place(i), at >= 0 ? src + at : src, at >= 0);
        }
    }

    /* The same in two steps, with registers between. A tensor that is not wide is left to put. */
    __device__ __forceinline__ void fetch()
    {
        inside_a = inside_b = 0;
        if (p.wide_dst) {
            RN_UNROLL
            for (int i = 0; i < A_ROWS; i++) {
                const int64_t at = a_at(i, m);
                a[i].all = make_uint4(0, 0, 0, 0);
                if (at >= 0) {
                    inside_a |= 1u << i;
                    a[i].all = *(const uint4 *)((const store *)p.dst + at);
                    if (p.read_dst.other)
                        a_other[i].all = *(const uint4 *)((const store *)p.read_dst.other + at);
                }
            }
        }
        if (p.wide_src) {
            RN_UNROLL
            for (int i = 0; i < B_ROWS; i++) {
                const int64_t at = b_at(i, r, s, c);
                b[i].all = make_uint4(0, 0, 0, 0);
                if (at >= 0) {
                    inside_b |= 1u << i;
                    b[i].all = *(const uint4 *)((const store *)p.src + at);
                    if (p.read_src.other)
                        b_other[i].all = *(const uint4 *)((const store *)p.read_src.other + at);
                }
            }
        }
    }
    __device__ __forceinline__ void put(char *stage)
    {
        if (p.wide_dst) {
            RN_UNROLL
            for (int i = 0; i < A_ROWS; i++) {
                if (p.read_dst.mul && (inside_a >> i & 1))
                    rn_read_piece<type>(p.read_dst, a[i], a_other[i], m);
                *(uint4 *)(stage + a_place(i)) = a[i].all;
            }
        } else {
            put_a_singly(stage);
        }
        if (p.wide_src) {
            RN_UNROLL
            for (int i = 0; i < B_ROWS; i++) {
                if (p.read_src.mul && (inside_b >> i & 1))
                    rn_read_piece<type>(p.read_src, b[i], b_other[i], c);
                *(uint4 *)(stage + b_place(i)) = b[i].all;
            }
        } else {
            put_b_singly(stage);
        }
    }
    static __device__ __forceinline__ store read(const void *from, const rn_conv_read &how, int64_t at, int channel)
    {
        const store *by = (const store *)how.other;
        store v = 0;

        if (at >= 0) {
            v = ((const store *)from)[at];
            if (how.mul)
                v = type::narrow(rn_read_one(how, type::widen(v), by ? type::widen(by[at]) : 0, channel));
        }
        return v;
    }
    __device__ __forceinline__ void put_a_singly(char *stage)
    {
        RN_NO_UNROLL
        for (int e = 0; e < T::PIECE; e++) {
            RN_UNROLL
            for (int i = 0; i < A_ROWS; i++)
                ((store *)(stage + a_place(i)))[e] = read(p.dst, p.read_dst, a_at(i, m + e), m + e);
        }
    }
    __device__ __forceinline__ void put_b_singly(char *stage)
    {
        int tap_y = r, tap_x = s, channel = c;

        RN_NO_UNROLL
        for (int e = 0; e < T::PIECE; e++) {
            RN_UNROLL
            for (int i = 0; i < B_ROWS; i++)
                ((store *)(stage + b_place(i)))[e] = read(p.src, p.read_src, b_at(i, tap_y, tap_x, channel), channel);
            if (++channel == p.d.ic) {
                channel = 0;
                if (++tap_x == p.d.kw) {
                    tap_x = 0;
                    tap_y++;
                }
            }
        }
    }
};

#endif
