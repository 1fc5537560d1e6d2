/* SPDX-License-Identifier: MIT */
/*
 * cuda:direct-stem, fwd. A block keeps its weights; of a tile, a warp takes 32 pixels and all of the block's columns at a time.
 *
 * Column 8 j + c of the product is not channel 8 j + c but the one that makes the sums of a thread neighbours: of 32 columns, a
 * thread has 8 channels of a pixel, and 4 threads all 32, so that they store 16 bytes each, straight from their registers.
 */
#include "kernels/cuda/cuda_conv_stem_patch.h"
#include "kernels/cuda/cuda_conv_tile.h"

/* 16-bit pieces: a warp's pixels, as tiles of 16; a thread has 4 rows of them, row g + 8 i. */
enum { PIXELS = 32, TILES = PIXELS / 16, ROWS = PIXELS / 8 };

/* The channel, of its block's, that is column n of the product. */
static __host__ __device__ __forceinline__ int channel_of(int n)
{
    const int j = n / 8, c = n % 8;

    return j / 4 * 32 + c / 2 * 8 + j % 4 * 2 + c % 2;
}

static __global__ void __launch_bounds__(RN_STEM_THREADS) pack(const rn_stem_args p, uint16_t *to, const uint16_t *wei)
{
    const int64_t i = (int64_t)blockIdx.x * RN_STEM_THREADS + threadIdx.x, row = i / p.cut.k;
    const int k = (int)(i % p.cut.k), pair = k / 2, e = pair % p.cut.pairs_line * 2 + k % 2 - p.cut.shift;
    const int64_t channel = row / p.cut.columns * p.cut.columns + channel_of((int)(row % p.cut.columns));

    if (row >= (int64_t)p.cut.parts_n * p.cut.columns)
        return;
    to[i] = channel < p.d.oc && pair < p.cut.pairs && e >= 0 && e < p.cut.line
                ? wei[(channel * p.d.kh + pair / p.cut.pairs_line) * p.cut.line + e]
                : (uint16_t)0;
}

/* ---- statistics --------------------------------------------------------------------------------------------------------- */

/*
 * RN_EPI_STATS. A thread adds up, in f32, what its channels' values are off the mean of the warp's tile before, over its pixels of
 * one tile, 32 at most; the warp then brings the sums of its 8 rows of threads together, each row being left with an 8th of the
 * channels, and adds them, about the pivot, to doubles.
 */
template <class type, int N, bool STATS> struct stem_stats {
    enum { HAS = N / 4, LEFT = HAS / 8 }; /* channels of a thread, before and behind that */
    float sum[HAS], sumsq[HAS];
    double *total; /* of the warp, in shared memory: N sums and N of squares; each is one thread's */
    float *about;  /* of the warp, there: N values, by channel */
    int seen;      /* pixels of this tile by the warp */
    bool begun;    /* there is something to take values about */

    __device__ __forceinline__ stem_stats(double *shared)
        : total(shared + threadIdx.x / 32 * 2 * N),
          about((float *)(shared + RN_STEM_WARPS * 2 * N) + threadIdx.x / 32 * N), begun(false)
    {
        if constexpr (STATS) {
            RN_UNROLL
            for (int i = 0; i < LEFT; i++)
                total[left(i)] = total[N + left(i)] = 0;
        }
        clear();
    }
    __device__ __forceinline__ void clear()
    {
        seen = 0;
        RN_UNROLL
        for (int i = 0; i < HAS; i++)
            sum[i] = sumsq[i] = 0;
    }
    /* The first sums of all: what values are taken about is the mean of 8 pixels. */
    __device__ __forceinline__ void begin(const float (*sums)[4])
    {
        const int lane = threadIdx.x % 32;

        RN_UNROLL
        for (int i = 0; i < HAS; i++) {
            float v = type::widen(type::narrow(sums[i / 2][i % 2])) * 0.125f;
            v += __shfl_xor_sync(0xffffffffu, v, 16);
            v += __shfl_xor_sync(0xffffffffu, v, 8);
            v += __shfl_xor_sync(0xffffffffu, v, 4);
            if (lane < 4)
                about[i / 8 * 32 + lane * 8 + i % 8] = v;
        }
        __syncwarp();
        begun = true;
    }
    /* 8 stored values: piece s of this thread's channels. */
    __device__ __forceinline__ void add(const rn_piece<type> &v, int s)
    {
        alignas(16) float from[8];

        rn_load_vector<8>(from, about + 32 * s + threadIdx.x % 4 * 8);
        RN_UNROLL
        for (int e = 0; e < 8; e++) {
            const float d = type::widen(v.one[e]) - from[e];
            sum[8 * s + e] += d;
            sumsq[8 * s + e] = fmaf(d, d, sumsq[8 * s + e]);
        }
    }
    /* Half of n values to the thread at the other side of a bit of the lane, whose other half is added to one's own. */
    template <int half, int bit> static __device__ __forceinline__ void halve(float *v)
    {
        const bool upper = threadIdx.x & bit;

        RN_UNROLL
        for (int i = 0; i < half; i++) {
            const float keep = upper ? v[i + half] : v[i], give = upper ? v[i] : v[i + half];
            v[i] = keep + __shfl_xor_sync(0xffffffffu, give, bit);
        }
    }
    static __device__ __forceinline__ void bring_together(float *v)
    {
        halve<HAS / 2, 16>(v);
        halve<HAS / 4, 8>(v);
        halve<HAS / 8, 4>(v);
    }
    /* The i-th channel, of the block's, that this thread is left with. */
    static __device__ __forceinline__ int left(int i)
    {
        const int lane = threadIdx.x % 32;
        const int at = (lane >> 4 & 1) * HAS / 2 + (lane >> 3 & 1) * HAS / 4 + (lane >> 2 & 1) * HAS / 8 + i;

        return at / 8 * 32 + lane % 4 * 8 + at % 8;
    }
    __device__ __forceinline__ void end(const float *pivot, int channels)
    {
        bring_together(sum);
        bring_together(sumsq);
        __syncwarp(); /* all have read what values were taken about: shuffles do not order memory */
        RN_UNROLL
        for (int i = 0; i < LEFT; i++) {
            const int c = left(i);
            const double by = (double)about[c] - (pivot && c < channels ? pivot[c] : 0);
            total[c] += sum[i] + seen * by;
            total[N + c] += sumsq[i] + by * (2 * (double)sum[i] + seen * by);
            about[c] += sum[i] / (float)seen;
        }
        __syncwarp();
        clear();
    }
    /* The block's sums, warp by warp, to its part. shared: that of the block's warps. */
    static __device__ __forceinline__ void out(const double *shared, double *to, int columns, int channels)
    {
        for (int i = threadIdx.x; i < 2 * N; i += RN_STEM_THREADS) {
            double v = 0;
            for (int warp = 0; warp < RN_STEM_WARPS; warp++)
                v += shared[warp * 2 * N + i];
            if (i % N < channels)
                to[(int64_t)(i / N) * columns + i % N] = v;
        }
    }
};

/* ---- products ----------------------------------------------------------------------------------------------------------- */

/* Of a block: its weights, and of each pair of k where its word is and which of its halves count: what rounding up adds must not meet
 * a NaN of a neighbour. */
/* Where pair i is among them: those that a thread reads at once lie beside each other. */
static __device__ __forceinline__ int tap_at(int i)
{
    return i / 8 * 8 + i % 4 * 2 + i / 4 % 2;
}

template <int N> static __device__ __forceinline__ void stem_prepare(const rn_stem_args &p, char *shared, int part)
{
    const int pieces = p.cut.k / 8, pitch = p.cut.k * 2 + 16;
    const uint4 *from = (const uint4 *)p.wei + (int64_t)part * N * pieces;
    uint2 *taps = (uint2 *)(shared + p.cut.taps_at);

    for (int i = threadIdx.x; i < N * pieces; i += RN_STEM_THREADS)
        *(uint4 *)(shared + p.cut.wei_at + i / pieces * pitch + i % pieces * 16) = __ldg(from + i);
    for (int i = threadIdx.x; i < p.cut.k / 2; i += RN_STEM_THREADS) {
        const int r = i / p.cut.pairs_line, pair = i % p.cut.pairs_line, e = 2 * pair - p.cut.shift;
        const bool valid = i < p.cut.pairs;
        taps[tap_at(i)] = make_uint2(valid ? (unsigned)(r * p.cut.pitch + pair) * 4 : 0u,
                                     !valid ? 0u : (e >= 0 ? 0xffffu : 0u) | (e + 1 < p.cut.line ? 0xffff0000u : 0u));
    }
}

/* sums: of PIXELS pixels from m on and N columns. */
template <class By, int N>
static __device__ __forceinline__ void stem_multiply(const rn_stem_args &p, const char *shared, int m, int last,
                                                     float (*sums)[N / 8][4])
{
    const int lane = threadIdx.x % 32, low = lane & 7, mid = lane >> 3 & 1, high = lane >> 4;
    const int pitch = p.cut.k * 2 + 16;
    const int *bases = (const int *)(shared + p.cut.bases_at);
    const uint4 *taps = (const uint4 *)(shared + p.cut.taps_at) + lane % 4;
    const char *wei = shared + p.cut.wei_at + (low + 8 * high) * pitch + mid * 16;
    const char *row[ROWS];

    RN_UNROLL
    for (int i = 0; i < ROWS; i++)
        row[i] = shared + bases[min(m + lane / 4 + 8 * i, last)];
    RN_UNROLL
    for (int i = 0; i < TILES * (N / 8) * 4; i++)
        sums[i / (N / 2)][i / 4 % (N / 8)][i % 4] = 0;
    RN_NO_UNROLL
    for (int k = 0; k < p.cut.k; k += 16) {
        const uint4 tap = taps[k / 4]; /* of pair lane % 4, and of the 4th behind */
        uint32_t fa[4], fb[N / 4];
        RN_UNROLL
        for (int j = 0; j < N / 16; j++)
            rn_ldmatrix(fb + 4 * j, wei + 16 * j * pitch + k * 2);
        RN_UNROLL
        for (int i = 0; i < TILES; i++) {
            fa[0] = rn_stem_pair(row[2 * i] + tap.x) & tap.y;
            fa[1] = rn_stem_pair(row[2 * i + 1] + tap.x) & tap.y;
            fa[2] = rn_stem_pair(row[2 * i] + tap.z) & tap.w;
            fa[3] = rn_stem_pair(row[2 * i + 1] + tap.z) & tap.w;
            RN_UNROLL
            for (int j = 0; j < N / 8; j++)
                By::mma(sums[i][j], fa, fb + 2 * j);
        }
    }
}

/* Row `half` of a tile's sums of this thread: 8 channels at a time, from channel n0 on, to a pixel of dst. */
template <class type, int N, bool STATS>
static __device__ __forceinline__ void stem_store(const rn_conv_write &w, const float (*sums)[4], int half,
                                                  int64_t pixel, int n0, stem_stats<type, N, STATS> &stats)
{
    typedef typename type::store store;

    RN_UNROLL
    for (int s = 0; s < N / 32; s++) {
        const int c = n0 + 32 * s + threadIdx.x % 4 * 8, count = w.columns - c;
        store *to = (store *)w.to + pixel * w.columns + c;
        const bool whole = w.wide && count >= 8;
        rn_piece<type> old, out;
        old.all = make_uint4(0, 0, 0, 0);
        if (w.add && whole) {
            old.all = *(const uint4 *)to;
        } else if (w.add) {
            RN_UNROLL
            for (int e = 0; e < 8; e++)
                old.one[e] = e < count ? to[e] : (store)0;
        }
        RN_UNROLL
        for (int e = 0; e < 8; e++) {
            const float v = sums[4 * s + e / 2][2 * half + e % 2];
            out.one[e] = type::narrow(w.add ? v + type::widen(old.one[e]) : v);
        }
        if (whole) {
            *(uint4 *)to = out.all;
        } else {
            RN_UNROLL
            for (int e = 0; e < 8; e++) {
                if (e < count)
                    to[e] = out.one[e];
            }
        }
        if constexpr (STATS)
            stats.add(out, s);
    }
}

template <class By, int N, bool STATS>
static __global__ void __launch_bounds__(RN_STEM_THREADS, 3) stem_fwd(const rn_stem_args p)
{
    typedef typename By::type type;
    RN_CUDA_SHARED(char, shared);
    const int part = (int)(blockIdx.x % p.cut.parts_n), across = (int)(blockIdx.x / p.cut.parts_n) % p.cut.tiles_x;
    const int first = (int)(blockIdx.x / p.cut.parts_n) / p.cut.tiles_x, n0 = part * N, lane = threadIdx.x % 32;
    const rn_stem_columns x(p, across);
    const unsigned divider = x.count > 1 ? rn_stem_divider(x.count) : 0;
    const int64_t tiles = (int64_t)p.d.mb * p.cut.tiles_y;
    rn_async copies;
    stem_stats<type, N, STATS> stats((double *)(shared + p.cut.stats_at));

    stem_prepare<N>(p, shared, part);
    rn_stem_bases(p, x, (int *)(shared + p.cut.bases_at));
    RN_NO_UNROLL
    for (int64_t at = first; at < tiles; at += p.cut.row_blocks) {
        const rn_stem_tile tile(p, x, at);
        const int64_t origin = (tile.image * p.d.oh + tile.y) * p.d.ow + x.first;
        __syncthreads(); /* the patch before is read */
        rn_stem_fill<STATS ? 4 : 8>(p, x, tile, (uint16_t *)shared, copies);
        copies.commit();
        copies.template wait<0>();
        __syncthreads();
        if (at + p.cut.row_blocks < tiles)
            rn_stem_ask(p, x, rn_stem_tile(p, x, at + p.cut.row_blocks));
        RN_NO_UNROLL
        for (int m = threadIdx.x / 32 * PIXELS; m < tile.count; m += RN_STEM_WARPS * PIXELS) {
            float sums[TILES][N / 8][4];
            stem_multiply<By, N>(p, shared, m, tile.count - 1, sums);
            if constexpr (STATS) {
                if (!stats.begun)
                    stats.begin(sums[0]);
                stats.seen += min(PIXELS, tile.count - m);
            }
            RN_UNROLL
            for (int i = 0; i < ROWS; i++) {
                const int q = m + lane / 4 + 8 * i, line = rn_stem_over(q, divider, x.count);
                const int64_t pixel = origin + q + (int64_t)line * (p.d.ow - x.count);
                if (q < tile.count)
                    stem_store<type, N, STATS>(p.write, sums[i / 2], i % 2, pixel, n0, stats);
            }
        }
        if constexpr (STATS) {
            if (stats.seen)
                stats.end(p.write.pivot ? p.write.pivot + n0 : NULL, p.write.columns - n0);
        }
    }
    if constexpr (STATS) {
        double *to = p.write.partial + ((int64_t)first * p.cut.tiles_x + across) * 2 * p.write.columns + n0;
        __syncthreads();
        stats.out((const double *)(shared + p.cut.stats_at), to, p.write.columns, p.write.columns - n0);
    }
}

/* ---- host --------------------------------------------------------------------------------------------------------------- */

template <class By, int N, bool STATS> struct stem_instance {
    static int open(void)
    {
        return rn_cuda_allow_shared(stem_fwd<By, N, STATS>, RN_STEM_SHARED_MOST);
    }
    static int run(const rn_stem_args *p, unsigned blocks, void *stream)
    {
        return RN_CUDA_LAUNCH((stem_fwd<By, N, STATS>), blocks, RN_STEM_THREADS, (size_t)p->cut.bytes, stream, *p);
    }
};

struct stem_kernel {
    int (*open)(void);
    int (*run)(const rn_stem_args *p, unsigned blocks, void *stream);
};

#define KERNEL(By, N, STATS)                                                                                           \
    {                                                                                                                  \
        stem_instance<By, N, STATS>::open, stem_instance<By, N, STATS>::run                                            \
    }

/* By type, columns and statistics. */
static const stem_kernel kernels[2][2][2] = {
    {{KERNEL(rn_by_bf16, 32, false), KERNEL(rn_by_bf16, 32, true)},
     {KERNEL(rn_by_bf16, 64, false), KERNEL(rn_by_bf16, 64, true)}},
    {{KERNEL(rn_by_f16, 32, false), KERNEL(rn_by_f16, 32, true)},
     {KERNEL(rn_by_f16, 64, false), KERNEL(rn_by_f16, 64, true)}},
};

static const stem_kernel *kernel_of(rn_dtype type, int columns, bool stats)
{
    return &kernels[type == RN_F16][columns == 64][stats];
}

int rn_stem_fwd_open(rn_dtype type, int columns, bool stats)
{
    return kernel_of(type, columns, stats)->open();
}

int rn_stem_fwd(const rn_stem_args *p, unsigned blocks, void *stream)
{
    return kernel_of(p->d.dtype, p->cut.columns, p->write.epilogue != 0)->run(p, blocks, stream);
}

int rn_stem_pack(const rn_stem_args *p, void *to, const void *wei, void *stream)
{
    const int64_t n = (int64_t)p->cut.parts_n * p->cut.columns * p->cut.k;
    const unsigned blocks = (unsigned)((n + RN_STEM_THREADS - 1) / RN_STEM_THREADS);

    return RN_CUDA_LAUNCH(pack, blocks, RN_STEM_THREADS, 0, stream, *p, (uint16_t *)to, (const uint16_t *)wei);
}
