/* SPDX-License-Identifier: MIT */
/*
 * fwd and bwd_d: the operands of a tile, from pixels and weights into shared memory. A thread has one of the 4 pieces along k
 * in some rows of A and some columns of B; where it stands among the taps is the same for all of them, and moves on by 64 bytes
 * of k at a time.
 */
#ifndef CUDA_CONV_GATHER_H
#define CUDA_CONV_GATHER_H

#include "kernels/cuda/cuda_conv_tile.h"

/* Pixel coordinate of a row that is not there: no tap, up to 2^30 away, brings it back into an image. */
#define RN_NOWHERE (-0x40000001)

struct rn_tap {
    int r, s, c;

    /* Back into the channels of one tap. */
    __device__ __forceinline__ void settle(int channels, int taps_x)
    {
        while (c >= channels) {
            c -= channels;
            if (++s == taps_x) {
                s = 0;
                r++;
            }
        }
    }
};

template <class T> struct rn_gather {
    typedef typename T::type type;
    typedef typename T::store store;
    enum { STEP = T::THREADS / 4, A_ROWS = T::M / STEP, B_ROWS = T::N / STEP };

    const rn_conv_gemm_args &p;
    const rn_conv_phase &phase;
    int64_t base[A_ROWS]; /* elements before the row's pixel at tap (0, 0): may point before the tensor */
    int y[A_ROWS], x[A_ROWS];
    int64_t column; /* elements before the first column's weights */
    int columns;    /* of B, from that one on */
    rn_tap tap;
    rn_piece<type> a[A_ROWS], other[A_ROWS], b[B_ROWS]; /* between fetch and put */
    unsigned inside;                                    /* bit i: row i reads a pixel */

    __device__ __forceinline__ rn_gather(const rn_conv_gemm_args &args, const rn_conv_phase &at, int64_t m0, int n0)
        : p(args), phase(at)
    {
        const int first = threadIdx.x / 4;

        for (int i = 0; i < A_ROWS; i++) {
            const int64_t m = m0 + first + i * STEP;
            const int64_t line = m / phase.columns;
            const int gx = (int)(m % phase.columns), gy = (int)(line % phase.rows), n = (int)(line / phase.rows);
            y[i] = n < p.d.mb ? gy * phase.step_y + phase.y0 : RN_NOWHERE;
            x[i] = gx * phase.step_x + phase.x0;
            base[i] = n < p.d.mb ? (((int64_t)n * height() + y[i]) * width() + x[i]) * channels() : 0;
        }
        column = (n0 + first) * column_step();
        columns = p.write.columns - n0 - first;
        tap.r = tap.s = 0;
        tap.c = threadIdx.x % 4 * T::PIECE;
        tap.settle(channels(), phase.taps_x);
    }

    __device__ __forceinline__ int channels() const
    {
        return p.back ? p.d.oc : p.d.ic;
    }
    __device__ __forceinline__ int height() const
    {
        return p.back ? p.d.oh : p.d.ih;
    }
    __device__ __forceinline__ int width() const
    {
        return p.back ? p.d.ow : p.d.iw;
    }
    __device__ __forceinline__ int64_t column_step() const
    {
        return (int64_t)p.d.kh * p.d.kw * channels();
    }
    __device__ __forceinline__ bool reads(int i, const rn_tap &t) const
    {
        const unsigned iy = (unsigned)(y[i] + t.r * phase.turn), ix = (unsigned)(x[i] + t.s * phase.turn);

        return t.r < phase.taps_y && iy < (unsigned)height() && ix < (unsigned)width();
    }
    /* Elements from a row's base to what it reads at a tap. */
    __device__ __forceinline__ int64_t pixel_at(const rn_tap &t) const
    {
        return ((int64_t)t.r * width() + t.s) * phase.turn * channels() + t.c;
    }
    __device__ __forceinline__ int64_t weight_at(const rn_tap &t) const
    {
        return ((int64_t)(phase.tap_y + t.r * phase.tap_step_y) * p.d.kw + phase.tap_x + t.s * phase.tap_step_x) *
                   channels() +
               t.c;
    }
    __device__ __forceinline__ bool has_weights(int i, const rn_tap &t) const
    {
        return i * STEP < columns && t.r < phase.taps_y;
    }
    __device__ __forceinline__ int64_t weight(int i, int64_t at) const
    {
        return column + i * (int64_t)STEP * column_step() + at;
    }
    __device__ __forceinline__ void advance()
    {
        tap.c += T::K;
        tap.settle(channels(), phase.taps_x);
    }
    static __device__ __forceinline__ int place(int i)
    {
        return rn_along_k(threadIdx.x / 4 + i * STEP, threadIdx.x % 4);
    }

    /* Starts the copies of one stage: p.wide, and nothing to compute of what is read. */
    __device__ __forceinline__ void copy(rn_async &async, char *stage)
    {
        const store *in = (const store *)p.in, *wei = (const store *)p.wei;
        const int64_t pixel = pixel_at(tap), at = weight_at(tap);

        RN_UNROLL
        for (int i = 0; i < A_ROWS; i++) {
            const bool valid = reads(i, tap);
            async.copy(stage + place(i), valid ? in + (base[i] + pixel) : in, valid);
        }
        RN_UNROLL
        for (int i = 0; i < B_ROWS; i++) {
            const bool valid = has_weights(i, tap);
            async.copy(stage + T::A_BYTES + place(i), valid ? wei + weight(i, at) : wei, valid);
        }
    }

    /* The same in two steps, with registers between: loads, and later what is computed and stored. Where p.wide is not, all of
     * it is done by put. */
    __device__ __forceinline__ void fetch()
    {
        const int64_t pixel = pixel_at(tap), at = weight_at(tap);

        inside = 0;
        if (!p.wide)
            return;
        RN_UNROLL
        for (int i = 0; i < A_ROWS; i++) {
            a[i].all = make_uint4(0, 0, 0, 0);
            if (reads(i, tap)) {
                inside |= 1u << i;
                a[i].all = *(const uint4 *)((const store *)p.in + (base[i] + pixel));
                if (p.read.other)
                    other[i].all = *(const uint4 *)((const store *)p.read.other + (base[i] + pixel));
            }
        }
        RN_UNROLL
        for (int i = 0; i < B_ROWS; i++) {
            b[i].all = make_uint4(0, 0, 0, 0);
            if (has_weights(i, tap))
                b[i].all = *(const uint4 *)((const store *)p.wei + weight(i, at));
        }
    }
    __device__ __forceinline__ void put(char *stage)
    {
        if (!p.wide) {
            put_singly(stage);
            return;
        }
        RN_UNROLL
        for (int i = 0; i < A_ROWS; i++) {
            if (p.read.mul && (inside >> i & 1))
                rn_read_piece<type>(p.read, a[i], other[i], tap.c);
            *(uint4 *)(stage + place(i)) = a[i].all;
        }
        RN_UNROLL
        for (int i = 0; i < B_ROWS; i++)
            *(uint4 *)(stage + T::A_BYTES + place(i)) = b[i].all;
    }
    /* Value by value: any number of channels, any alignment. */
    __device__ __forceinline__ void put_singly(char *stage)
    {
        const store *in = (const store *)p.in, *wei = (const store *)p.wei, *by = (const store *)p.read.other;
        rn_tap t = tap;

        RN_NO_UNROLL
        for (int e = 0; e < T::PIECE; e++) {
            const int64_t pixel = pixel_at(t), weight_tap = weight_at(t);
            RN_UNROLL
            for (int i = 0; i < A_ROWS; i++) {
                store v = 0;
                if (reads(i, t)) {
                    const int64_t at = base[i] + pixel;
                    v = in[at];
                    if (p.read.mul)
                        v = type::narrow(rn_read_one(p.read, type::widen(v), by ? type::widen(by[at]) : 0, t.c));
                }
                ((store *)(stage + place(i)))[e] = v;
            }
            RN_UNROLL
            for (int i = 0; i < B_ROWS; i++)
                ((store *)(stage + T::A_BYTES + place(i)))[e] =
                    has_weights(i, t) ? wei[weight(i, weight_tap)] : (store)0;
            t.c++;
            t.settle(channels(), phase.taps_x);
        }
    }
};

#endif
