/* SPDX-License-Identifier: MIT */
/*
 * Work on (images, rows, c), NHWC: every op that has something of its own for each channel goes through the one kernel of
 * this file. A block is tx vectors of channels beside each other by ty rows: its warps read whole lines, a thread keeps its
 * channels' factors and sums in registers and walks down the rows, several of them in flight at once. Bodies that only write
 * (SUMS 0) get short slices of rows, as many as there are; those that sum get few long ones.
 *
 * Sums are f32 over UNROLL rows at most, double from there on, and joined in one order, which depends on nothing but the
 * shape and the alignment: no atomics, the same bits on every device.
 *
 * A body B, copied to the kernel by value, has
 *     enum { SUMS, UNROLL };
 *     template <int V> struct lane {                                channels ch..ch+V-1 of an image, by one thread
 *         __device__ lane(const B &b, int64_t image, int ch);
 *         template <int U> __device__ void rows(const B &b, const rn_rows_at &p, double (&sum)[SUMS][V]);
 *     };                                                            U rows: elements p[0], p[1], ...; adds to the sums
 *     __device__ void put(int64_t part, int k, int ch, double sum) const;     part: image * slices + slice
 * where SUMS is 0, sum has one row that is not looked at and put is not called. (C++)
 */
#ifndef CUDA_ROWS_H
#define CUDA_ROWS_H

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/cuda_vec.h"

enum {
    RN_ROWS_THREADS = 256,
    RN_ROWS_BLOCKS =
        256,          /* of sums: two for each multiprocessor of a large device, and no more parts than that to join */
    RN_ROWS_TILE = 32 /* most vectors beside each other */
};

typedef struct rn_rows_cut {
    int64_t images, rows, slice, slices; /* rows: of an image; slice: of a block; slices: of an image */
    int c, tiles, tx, ty;
} rn_rows_cut;

/* Where a thread is. */
struct rn_rows_at {
    int64_t row, at, step; /* the row of its image, the element of the tensor, elements to the thread's next row */
    int rows;              /* rows to the thread's next one */

    __device__ int64_t operator[](int u) const
    {
        return at + u * step;
    }
};

template <class B> struct rn_rows_of {
    enum { K = B::SUMS > 0 ? B::SUMS : 1 };
};

template <class B, int V>
static __device__ void rn_rows_walk(const B &b, const rn_rows_cut &s, int ch, double (&sum)[rn_rows_of<B>::K][V])
{
    const int64_t image = blockIdx.x / s.slices, from = blockIdx.x % s.slices * s.slice;
    const int64_t to = from + s.slice < s.rows ? from + s.slice : s.rows;
    rn_rows_at p = {from + threadIdx.x / s.tx, 0, (int64_t)s.ty * s.c, s.ty};
    typename B::template lane<V> lane(b, image, ch);
    for (p.at = (image * s.rows + p.row) * s.c + ch; p.row + (B::UNROLL - 1) * s.ty < to;
         p.row += B::UNROLL * s.ty, p.at += B::UNROLL * p.step)
        lane.template rows<B::UNROLL>(b, p, sum);
    for (; p.row < to; p.row += s.ty, p.at += p.step)
        lane.template rows<1>(b, p, sum);
}

/* The sums of a block's rows of threads, in their order. */
template <class B, int V>
static __device__ void rn_rows_join(const B &b, const rn_rows_cut &s, int tile,
                                    const double (&sum)[rn_rows_of<B>::K][V])
{
    __shared__ double room[RN_ROWS_THREADS * rn_rows_of<B>::K * V];
    const int tx = (int)threadIdx.x % s.tx, ty = (int)threadIdx.x / s.tx, width = s.tx * V, all = B::SUMS * width;
    for (int k = 0; k < B::SUMS; k++)
        for (int v = 0; v < V; v++)
            room[ty * all + k * width + tx * V + v] = sum[k][v];
    __syncthreads();
    for (int i = (int)threadIdx.x; i < all; i += RN_ROWS_THREADS) {
        double total = 0;
        for (int y = 0; y < s.ty; y++)
            total += room[y * all + i];
        if (tile * width + i % width < s.c)
            b.put(blockIdx.x, i / width, tile * width + i % width, total);
    }
    __syncthreads(); /* the next tile writes here */
}

template <class B, int V> static __global__ void __launch_bounds__(RN_ROWS_THREADS) rn_rows_kernel(B b, rn_rows_cut s)
{
    for (int tile = (int)blockIdx.y; tile < s.tiles; tile += (int)gridDim.y) {
        const int ch = (tile * s.tx + (int)threadIdx.x % s.tx) * V;
        double sum[rn_rows_of<B>::K][V];
        for (int k = 0; k < rn_rows_of<B>::K; k++)
            for (int v = 0; v < V; v++)
                sum[k][v] = 0;
        if (ch < s.c)
            rn_rows_walk<B, V>(b, s, ch, sum);
        if constexpr (B::SUMS > 0)
            rn_rows_join<B, V>(b, s, tile, sum);
    }
}

/* unroll: rows that a thread takes at once; sums: it is one whose slices are to be few. */
static inline rn_rows_cut rn_rows_cut_of(int64_t images, int64_t rows, int c, int v, int unroll, bool sums)
{
    const int vectors = (c + v - 1) / v;
    rn_rows_cut s = {images, rows, 0, 0, c, 0, 1, 0};
    while (s.tx < vectors && s.tx < RN_ROWS_TILE)
        s.tx *= 2;
    s.ty = RN_ROWS_THREADS / s.tx;
    s.tiles = (vectors + s.tx - 1) / s.tx;
    const int64_t turn = (int64_t)s.ty * unroll, turns = (rows + turn - 1) / turn;
    const int64_t most = sums ? RN_ROWS_BLOCKS / s.tiles / images : INT32_MAX / images;
    int64_t slices = sums ? turns : (turns + 1) / 2;
    slices = slices > most ? most : slices;
    slices = slices < 1 ? 1 : slices;
    s.slice = ((rows + slices - 1) / slices + s.ty - 1) / s.ty * s.ty;
    s.slices = (rows + s.slice - 1) / s.slice;
    return s;
}

template <int V, class B> static int rn_rows_launch(const B &b, const rn_rows_cut &s, void *stream)
{
    const dim3 grid((unsigned)(s.images * s.slices), (unsigned)(s.tiles < 65535 ? s.tiles : 65535));
    return RN_CUDA_LAUNCH((rn_rows_kernel<B, V>), grid, RN_ROWS_THREADS, 0, stream, b, s);
}

/* Channels in vectors of 16 bytes: their number allows it and every tensor is aligned. */
template <typename T, typename... P> static inline bool rn_rows_wide(int c, P... p)
{
    return c % rn_vec<T>::N == 0 && rn_aligned(16, p...);
}

/* One that needs no scratch: the cut is nobody's concern. */
template <typename T, class B>
static int rn_rows(const B &b, int64_t images, int64_t rows, int c, bool wide, void *stream)
{
    enum { V = rn_vec<T>::N };
    if (wide)
        return rn_rows_launch<V>(b, rn_rows_cut_of(images, rows, c, V, B::UNROLL, B::SUMS > 0), stream);
    return rn_rows_launch<1>(b, rn_rows_cut_of(images, rows, c, 1, B::UNROLL, B::SUMS > 0), stream);
}

/* ---- parts joined ---- */

enum { RN_JOIN_CHANNELS = 8, RN_JOIN_LANES = 32 };

/*
 * Sums that bodies have put as parts[part][k][c], over the parts, in one order; the body then has
 *     __device__ void channel(int ch, const double (&sum)[K]) const;
 */
template <int K, class B> static __global__ void rn_join_kernel(B b, const double *parts, int64_t count, int c)
{
    __shared__ double room[RN_JOIN_LANES][K][RN_JOIN_CHANNELS];
    const int x = (int)threadIdx.x % RN_JOIN_CHANNELS, lane = (int)threadIdx.x / RN_JOIN_CHANNELS;
    const int64_t ch = (int64_t)blockIdx.x * RN_JOIN_CHANNELS + x;
    double sum[K];
    for (int k = 0; k < K; k++) {
        sum[k] = 0;
        for (int64_t p = lane; ch < c && p < count; p += RN_JOIN_LANES)
            sum[k] += parts[(p * K + k) * c + ch];
        room[lane][k][x] = sum[k];
    }
    __syncthreads();
    if (lane > 0 || ch >= c)
        return;
    for (int k = 0; k < K; k++)
        for (int i = 1; i < RN_JOIN_LANES; i++)
            sum[k] += room[i][k][x];
    b.channel((int)ch, sum);
}

template <int K, class B> static int rn_join(const B &b, const double *parts, int64_t count, int c, void *stream)
{
    const unsigned grid = (unsigned)(((int64_t)c + RN_JOIN_CHANNELS - 1) / RN_JOIN_CHANNELS);
    return RN_CUDA_LAUNCH((rn_join_kernel<K, B>), grid, RN_JOIN_CHANNELS * RN_JOIN_LANES, 0, stream, b, parts, count,
                          c);
}

#endif
