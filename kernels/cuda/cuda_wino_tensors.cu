/* SPDX-License-Identifier: MIT */
/*
 * cuda:winograd: tensors to frequencies and back. A thread has one channel of a tile, so that neighbours read and write
 * neighbours; a block has LANE channels of some tiles.
 */
#include "kernels/cuda/cuda_conv_types.h"
#include "kernels/cuda/cuda_wino.h"
#include "kernels/cuda/cuda_wino_transform.h"

enum { LANE = 32, LANES = 8, THREADS = LANE * LANES, READ_TILES = 16, WRITE_TILES = RN_WINO_WRITE_TILES };

/* Where a tile begins. */
typedef struct place {
    int64_t image; /* pixels before its image */
    int y, x;
} place;

static __device__ __forceinline__ place place_of(const rn_wino_grid &g, int64_t tile)
{
    const int64_t line = tile / g.tw;

    return place{line / g.th * g.h * g.w, (int)(line % g.th) * g.step + g.y0, (int)(tile % g.tw) * g.step + g.x0};
}

static __device__ __forceinline__ bool inside(const rn_wino_grid &g, int y, int x)
{
    return (unsigned)y < (unsigned)g.h && (unsigned)x < (unsigned)g.w;
}

/* Channels of a line of blocks, and this thread's. */
static __device__ __forceinline__ int channel_of(int padded)
{
    const int across = (padded + LANE - 1) / LANE;

    return (int)(blockIdx.x % across) * LANE + (int)threadIdx.x % LANE;
}

static __device__ __forceinline__ int64_t first_tile(int padded, int tiles)
{
    const int across = (padded + LANE - 1) / LANE;

    return (int64_t)(blockIdx.x / across) * tiles + threadIdx.x / LANE;
}

template <class One>
static __global__ void __launch_bounds__(THREADS)
    read_tiles(const rn_wino_tiles p, const float *tensor, const rn_conv_read through, float *to)
{
    const int c = channel_of(p.padded);
    const int64_t freq = p.count * p.padded, first = first_tile(p.padded, READ_TILES);
    const float *other = (const float *)through.other;

    if (c >= p.padded)
        return;
    for (int64_t t = first; t < first + READ_TILES && t < p.count; t += LANES) {
        const place at = place_of(p.g, p.first + t);
        float x[One::IN][One::IN], o[One::TO][One::TO];
        RN_UNROLL
        for (int i = 0; i < One::IN; i++) {
            RN_UNROLL
            for (int j = 0; j < One::IN; j++) {
                const int64_t i_j = (at.image + (int64_t)(at.y + i) * p.g.w + at.x + j) * p.g.c + c;
                x[i][j] = 0;
                if (c < p.g.c && inside(p.g, at.y + i, at.x + j))
                    x[i][j] = through.mul ? rn_read_one(through, tensor[i_j], other ? other[i_j] : 0, c) : tensor[i_j];
            }
        }
        rn_wino_2d<One>(x, o);
        RN_UNROLL
        for (int f = 0; f < One::TO * One::TO; f++)
            to[f * freq + t * p.padded + c] = o[f / One::TO][f % One::TO];
    }
}

/* What a thread has stored of its channel: sums in f32, those of RN_EPI_STATS about its first value. */
typedef struct stored {
    float sum, sumsq, base;
    int seen;
} stored;

static __device__ __forceinline__ void put(const rn_conv_write &w, int64_t at, int c, float v, stored *s)
{
    float *to = (float *)w.to + at;
    const float raw = w.epilogue == RN_EPI_DBN ? ((const float *)w.raw)[at] : 0;

    if (w.add)
        v += *to;
    if (w.epilogue == RN_EPI_DBN && !(fmaf(raw, w.scale[c], w.shift[c]) > 0))
        v = 0;
    *to = v;
    if (w.epilogue == RN_EPI_STATS) {
        s->base = s->seen ? s->base : v;
        s->sum += v - s->base;
        s->sumsq = fmaf(v - s->base, v - s->base, s->sumsq);
    } else if (w.epilogue == RN_EPI_DBN) {
        s->sum += v;
        s->sumsq = fmaf(v, raw - w.mean[c], s->sumsq);
    }
    s->seen++;
}

/* The block's sums of its channels, in the threads' order, in double about the pivot. */
static __device__ __forceinline__ void put_sums(const rn_conv_write &w, int padded, int c, const stored &s)
{
    __shared__ double lanes[2][LANES][LANE];
    const int lane = threadIdx.x / LANE, x = threadIdx.x % LANE, across = (padded + LANE - 1) / LANE;
    const bool shifted = w.epilogue == RN_EPI_STATS && c < w.columns;
    const double by = shifted ? (double)s.base - (w.pivot ? w.pivot[c] : 0) : 0;
    double *to = w.partial + (int64_t)(blockIdx.x / across) * 2 * w.columns;

    lanes[0][lane][x] = s.sum + s.seen * by;
    lanes[1][lane][x] = s.sumsq + by * (2 * (double)s.sum + s.seen * by);
    __syncthreads();
    if (lane < 2 && c < w.columns) {
        double sum = 0;
        for (int i = 0; i < LANES; i++)
            sum += lanes[lane][i][x];
        to[lane * w.columns + c] = sum;
    }
}

template <class One>
static __global__ void __launch_bounds__(THREADS, 3)
    write_tiles(const rn_wino_tiles p, const float *from, const rn_conv_write w)
{
    const int c = channel_of(p.padded);
    const int64_t freq = p.count * p.padded, first = first_tile(p.padded, WRITE_TILES);
    stored s = {0, 0, 0, 0};

    for (int64_t t = first; t < first + WRITE_TILES && t < p.count && c < p.g.c; t += LANES) {
        const place at = place_of(p.g, p.first + t);
        float m[One::IN][One::IN], o[One::TO][One::TO];
        RN_UNROLL
        for (int f = 0; f < One::IN * One::IN; f++)
            m[f / One::IN][f % One::IN] = from[f * freq + t * p.padded + c];
        rn_wino_2d<One>(m, o);
        RN_UNROLL
        for (int i = 0; i < One::TO; i++) {
            RN_UNROLL
            for (int j = 0; j < One::TO; j++) {
                if (inside(p.g, at.y + i, at.x + j))
                    put(w, (at.image + (int64_t)(at.y + i) * p.g.w + at.x + j) * p.g.c + c, c, o[i][j], &s);
            }
        }
    }
    if (w.epilogue)
        put_sums(w, p.padded, c, s);
}

/* A thread a row and column. */
template <class One>
static __global__ void __launch_bounds__(THREADS)
    weights(const float *wei, int rows, int columns, int padded, bool turned, float *to)
{
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x, freq = (int64_t)rows * padded;
    const int c = (int)(i % padded);
    float g[3][3], o[One::TO][One::TO];

    if (i >= freq)
        return;
    RN_UNROLL
    for (int tap = 0; tap < 9; tap++)
        g[tap / 3][tap % 3] = c < columns ? wei[(i / padded * 9 + (turned ? 8 - tap : tap)) * columns + c] : 0;
    rn_wino_2d<One>(g, o);
    RN_UNROLL
    for (int f = 0; f < One::TO * One::TO; f++)
        to[f * freq + i] = o[f / One::TO][f % One::TO];
}

template <class One>
static __global__ void __launch_bounds__(THREADS)
    gradient(const float *parts, int splits, int oc, int ic, int padded, float *wei, bool add)
{
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x, freq = (int64_t)oc * padded;
    const int64_t o_c = i / ic;
    const int c = (int)(i % ic);
    float m[One::IN][One::IN], g[3][3];

    if (o_c >= oc)
        return;
    RN_UNROLL
    for (int f = 0; f < One::IN * One::IN; f++) {
        float sum = 0;
        for (int split = 0; split < splits; split++)
            sum += parts[((int64_t)split * One::IN * One::IN + f) * freq + o_c * padded + c];
        m[f / One::IN][f % One::IN] = sum;
    }
    rn_wino_2d<One>(m, g);
    RN_UNROLL
    for (int tap = 0; tap < 9; tap++) {
        float *to = wei + (o_c * 9 + tap) * ic + c;
        *to = add ? *to + g[tap / 3][tap % 3] : g[tap / 3][tap % 3];
    }
}

/* ---- the host's side ---------------------------------------------------------------------------------------------------- */

static unsigned blocks_of(const rn_wino_tiles *t, int tiles)
{
    return (unsigned)((t->count + tiles - 1) / tiles * ((t->padded + LANE - 1) / LANE));
}

static unsigned blocks_for(int64_t threads)
{
    return (unsigned)((threads + THREADS - 1) / THREADS);
}

int rn_wino_read(int out, rn_wino_side side, const rn_wino_tiles *t, const void *tensor, const rn_conv_read *through,
                 float *to, void *stream)
{
    const unsigned blocks = blocks_of(t, READ_TILES);
    const float *from = (const float *)tensor;

    if (side == RN_WINO_SRC)
        return out == 4
                   ? RN_CUDA_LAUNCH(read_tiles<rn_wino_src<4>>, blocks, THREADS, 0, stream, *t, from, *through, to)
                   : RN_CUDA_LAUNCH(read_tiles<rn_wino_src<2>>, blocks, THREADS, 0, stream, *t, from, *through, to);
    return out == 4 ? RN_CUDA_LAUNCH(read_tiles<rn_wino_dst<4>>, blocks, THREADS, 0, stream, *t, from, *through, to)
                    : RN_CUDA_LAUNCH(read_tiles<rn_wino_dst<2>>, blocks, THREADS, 0, stream, *t, from, *through, to);
}

int rn_wino_write(int out, const rn_wino_tiles *t, const float *from, const rn_conv_write *w, void *stream)
{
    const unsigned blocks = blocks_of(t, WRITE_TILES);

    return out == 4 ? RN_CUDA_LAUNCH(write_tiles<rn_wino_dst_back<4>>, blocks, THREADS, 0, stream, *t, from, *w)
                    : RN_CUDA_LAUNCH(write_tiles<rn_wino_dst_back<2>>, blocks, THREADS, 0, stream, *t, from, *w);
}

int rn_wino_weights(int out, const float *wei, int rows, int columns, bool turned, float *to, void *stream)
{
    const int padded = rn_wino_padded(columns);
    const unsigned blocks = blocks_for((int64_t)rows * padded);

    return out == 4 ? RN_CUDA_LAUNCH(weights<rn_wino_wei<4>>, blocks, THREADS, 0, stream, wei, rows, columns, padded,
                                     turned, to)
                    : RN_CUDA_LAUNCH(weights<rn_wino_wei<2>>, blocks, THREADS, 0, stream, wei, rows, columns, padded,
                                     turned, to);
}

int rn_wino_gradient(int out, const float *parts, int splits, int oc, int ic, float *wei, bool add, void *stream)
{
    const int padded = rn_wino_padded(ic);
    const unsigned blocks = blocks_for((int64_t)oc * ic);

    return out == 4 ? RN_CUDA_LAUNCH(gradient<rn_wino_wei_back<4>>, blocks, THREADS, 0, stream, parts, splits, oc, ic,
                                     padded, wei, add)
                    : RN_CUDA_LAUNCH(gradient<rn_wino_wei_back<2>>, blocks, THREADS, 0, stream, parts, splits, oc, ic,
                                     padded, wei, add);
}
