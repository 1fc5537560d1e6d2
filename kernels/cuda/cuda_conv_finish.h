/* SPDX-License-Identifier: MIT */
/*
 * A tile's sums to where they belong. They pass through shared memory, so that whole pieces of rows are written, and so that
 * each thread sees some rows of some columns only: it adds up those columns' statistics, of what it has stored, in f32 about the first
 * value of its own, and hands them on in double about the caller's pivot.
 */
#ifndef CUDA_CONV_FINISH_H
#define CUDA_CONV_FINISH_H

#include "kernels/cuda/cuda_conv_tile.h"

/* type: of what is written. */
template <class T, class type> struct rn_finish {
    typedef typename type::store store;
    enum {
        PIECE = 16 / (int)sizeof(store),
        PIECES = T::N / PIECE,
        LANES = T::THREADS / PIECES, /* threads that share a piece of columns, each with every LANES-th row */
    };

    const rn_conv_write &w;
    int column, count;                           /* this thread's first, and how many of them there are */
    float sum[PIECE], sumsq[PIECE], base[PIECE]; /* about base; of `seen` rows */
    int seen;

    __device__ __forceinline__ rn_finish(const rn_conv_write &write, int n0) : w(write)
    {
        column = n0 + threadIdx.x % PIECES * PIECE;
        count = w.columns - column;
        seen = 0;
        for (int e = 0; e < PIECE; e++)
            sum[e] = sumsq[e] = base[e] = 0;
    }

    /* What is stored for v, and its part in the sums. */
    __device__ __forceinline__ store value(float v, store old, store raw, int e)
    {
        const int n = column + e;

        if (w.add)
            v += type::widen(old);
        if (w.epilogue == RN_EPI_DBN && !(fmaf(type::widen(raw), w.scale[n], w.shift[n]) > 0))
            v = 0;
        const store out = type::narrow(v);
        if (w.epilogue == RN_EPI_STATS) {
            base[e] = seen ? base[e] : type::widen(out);
            const float d = type::widen(out) - base[e];
            sum[e] += d;
            sumsq[e] = fmaf(d, d, sumsq[e]);
        } else if (w.epilogue == RN_EPI_DBN) {
            const float g = type::widen(out);
            sum[e] += g;
            sumsq[e] = fmaf(g, type::widen(raw) - w.mean[n], sumsq[e]);
        }
        return out;
    }

    __device__ __forceinline__ void row(const float *sums, int64_t at)
    {
        store *to = (store *)w.to + at + column;
        const store *raw = (const store *)w.raw + at + column;
        rn_piece<type> old, r, out;

        old.all = r.all = make_uint4(0, 0, 0, 0);
        if (w.wide && count >= PIECE) {
            if (w.add)
                old.all = *(const uint4 *)to;
            if (w.epilogue == RN_EPI_DBN)
                r.all = *(const uint4 *)raw;
            RN_UNROLL
            for (int e = 0; e < PIECE; e++)
                out.one[e] = value(sums[e], old.one[e], r.one[e], e);
            *(uint4 *)to = out.all;
            return;
        }
        RN_UNROLL
        for (int e = 0; e < PIECE; e++) {
            if (e < count)
                to[e] = value(sums[e], w.add ? to[e] : (store)0, w.epilogue == RN_EPI_DBN ? raw[e] : (store)0, e);
        }
    }

    /* sums: the tile, M rows of OUT_STRIDE; places: where its rows begin, in elements of w.to, -1: nowhere. */
    __device__ __forceinline__ void rows(const float *sums, const int64_t *places)
    {
        const int piece = threadIdx.x % PIECES * PIECE;

        RN_NO_UNROLL
        for (int i = threadIdx.x / PIECES; i < T::M && count > 0; i += LANES) {
            if (places[i] >= 0) {
                row(sums + i * T::OUT_STRIDE + piece, places[i]);
                seen++;
            }
        }
    }

    /* This thread's sums of its e-th column. */
    __device__ __forceinline__ void about_pivot(int e, double *total, double *squares) const
    {
        const bool shifted = w.epilogue == RN_EPI_STATS && e < count;
        const double by = shifted ? (double)base[e] - (w.pivot ? w.pivot[column + e] : 0) : 0;

        *total = sum[e] + seen * by;
        *squares = sumsq[e] + by * (2 * (double)sum[e] + seen * by);
    }

    /* The block's sums, in the threads' order, to its part of w.partial. shared: that of the tile, read by nobody any more. */
    __device__ __forceinline__ void partial(double *shared, int block, int n0)
    {
        double *to = w.partial + (int64_t)block * 2 * w.columns;

        for (int e = 0; e < PIECE; e++) {
            double *mine = shared + threadIdx.x / PIECES * 2 * T::N + threadIdx.x % PIECES * PIECE + e;
            about_pivot(e, mine, mine + T::N);
        }
        rn_tile_barrier<T>();
        for (int i = threadIdx.x; i < 2 * T::N; i += T::THREADS) {
            double v = 0;
            for (int lane = 0; lane < LANES; lane++)
                v += shared[lane * 2 * T::N + i];
            if (n0 + i % T::N < w.columns)
                to[i / T::N * w.columns + n0 + i % T::N] = v;
        }
    }
};

/* All of it. The places must have been written before the last barrier. */
template <class T, class type, bool along_k>
static __device__ __forceinline__ void rn_finish_tile(const rn_conv_write &w, const float *sums, char *shared,
                                                      int block, int n0)
{
    float *out = (float *)shared;
    rn_finish<T, type> f(w, n0);

    rn_tile_barrier<T>(); /* the ring of stages is free */
    rn_sums_out<T, along_k>(sums, out);
    rn_tile_barrier<T>();
    f.rows(out, (const int64_t *)(shared + T::PLACES));
    if (w.epilogue) {
        rn_tile_barrier<T>();
        f.partial((double *)shared, block, n0);
    }
}

#endif
