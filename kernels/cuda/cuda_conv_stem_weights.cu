/* SPDX-License-Identifier: MIT */
/*
 * cuda:direct-stem, bwd_w: the product of dst, turned (oc x pixels), with what the taps read (pixels x k), summed over the tiles
 * that a block goes through. Pixels of dst come in stages of 64, three of them in a ring, copied asynchronously; those of src are
 * read from the patch: a word has two neighbours of k of one pixel, mma wants two pixels of one k, so that two words make the
 * operands of two tiles of columns, one for the even and one for the odd values of k.
 *
 * Warps share a stage: warps_k of them have a range of k each, the others take other 16s of its pixels, and hand their sums
 * over at the end.
 */
#include "kernels/cuda/cuda_conv_stem_patch.h"
#include "kernels/cuda/cuda_conv_tile.h"

enum { TILES = RN_STEM_ROWS / 16, PIECES = RN_STEM_ROWS / 8, EACH = RN_STEM_STAGE * PIECES / RN_STEM_THREADS };

/* What a thread copies: the same 8 channels of every RN_STEM_THREADS / PIECES-th pixel of a stage. */
template <class type> struct stem_dst {
    typedef typename type::store store;

    const rn_stem_args &p;
    int64_t origin; /* the tile's first pixel in dst */
    int count;      /* its pixels */
    int skip;       /* from the end of a line of the tile to the next one's begin */
    int columns;    /* of the tile */
    unsigned divider;
    int c; /* first channel */

    __device__ __forceinline__ stem_dst(const rn_stem_args &args, const rn_stem_columns &x, int m0)
        : p(args), skip(args.d.ow - x.count), columns(x.count), divider(x.count > 1 ? rn_stem_divider(x.count) : 0)
    {
        c = m0 + threadIdx.x % PIECES * 8;
    }
    /* Element of dst of this thread's i-th piece of a stage, -1: none. */
    __device__ __forceinline__ int64_t element(int stage, int i) const
    {
        const int q = stage * RN_STEM_STAGE + row(i);

        if (q >= count || c >= p.d.oc)
            return -1;
        return (origin + q + (int64_t)rn_stem_over(q, divider, columns) * skip) * p.d.oc + c;
    }
    static __device__ __forceinline__ int row(int i)
    {
        return threadIdx.x / PIECES + i * (RN_STEM_THREADS / PIECES);
    }
    static __device__ __forceinline__ char *place(char *buffer, int i)
    {
        return buffer + row(i) * RN_STEM_STAGE_PITCH + threadIdx.x % PIECES * 16;
    }
    /* x of a prologue lies behind all stages. */
    static __device__ __forceinline__ char *other(char *buffer)
    {
        return buffer + RN_STEM_STAGES * RN_STEM_STAGE_BYTES;
    }
    __device__ __forceinline__ void copy(rn_async &async, char *buffer, int stage) const
    {
        if (!p.wide_dst)
            return;
        RN_UNROLL
        for (int i = 0; i < EACH; i++) {
            const int64_t at = element(stage, i);
            const store *dst = (const store *)p.dst, *by = (const store *)p.read.other;
            async.copy(place(buffer, i), at >= 0 ? dst + at : dst, at >= 0);
            if (by)
                async.copy(place(other(buffer), i), at >= 0 ? by + at : by, at >= 0);
        }
    }
    /* Once its own copies are there: through the prologue, in place; or value by value, what was not copied. */
    __device__ __forceinline__ void finish(char *buffer, int stage) const
    {
        if (p.wide_dst && !p.read.mul)
            return;
        RN_NO_UNROLL
        for (int i = 0; i < EACH; i++) {
            const int64_t at = element(stage, i);
            rn_piece<type> v, by;
            v.all = make_uint4(0, 0, 0, 0);
            if (p.wide_dst && at >= 0) {
                v.all = *(const uint4 *)place(buffer, i);
                by.all = *(const uint4 *)place(other(buffer), i);
                rn_read_piece<type>(p.read, v, by, c);
            } else if (at >= 0) {
                RN_UNROLL
                for (int e = 0; e < 8; e++) {
                    if (c + e < p.d.oc)
                        v.one[e] = single(at + e, c + e);
                }
            }
            *(uint4 *)place(buffer, i) = v.all;
        }
    }
    __device__ __forceinline__ store single(int64_t at, int channel) const
    {
        const store v = ((const store *)p.dst)[at];

        if (!p.read.mul)
            return v;
        return type::narrow(
            rn_read_one(p.read, type::widen(v), type::widen(((const store *)p.read.other)[at]), channel));
    }
};

/* This warp's 16s of a stage's pixels. bases: of the stage's first pixel; last: behind it, the tile's last one. taps: of
 * pair g of each 16 of k, the bytes from a pixel to it. */
template <class By, int G>
static __device__ __forceinline__ void stem_add(const char *buffer, const char *patch, const int *bases, int last,
                                                int first, int step, int tiles, const int *taps,
                                                float (*sums)[2][TILES][4])
{
    const int lane = threadIdx.x % 32, t = lane % 4, low = lane & 7, mid = lane >> 3 & 1, high = lane >> 4;

    RN_NO_UNROLL
    for (int m = first * 16; m < RN_STEM_STAGE && m <= last; m += step * 16) {
        const char *pixel[4];
        uint32_t fb[G][4];
        RN_UNROLL
        for (int i = 0; i < 4; i++)
            pixel[i] = patch + bases[min(m + 2 * t + i % 2 + i / 2 * 8, last)];
        RN_UNROLL
        for (int g = 0; g < G; g++) {
            RN_UNROLL
            for (int i = 0; i < 2; i++) {
                const uint32_t one = rn_stem_pair(pixel[2 * i] + taps[g]),
                               two = rn_stem_pair(pixel[2 * i + 1] + taps[g]);
                fb[g][i] = (one & 0xffffu) | two << 16;
                fb[g][2 + i] = one >> 16 | (two & 0xffff0000u);
            }
        }
        RN_UNROLL
        for (int j = 0; j < TILES; j++) {
            if (j < tiles) {
                uint32_t fa[4];
                rn_ldmatrix_trans(fa, buffer + (m + low + 8 * high) * RN_STEM_STAGE_PITCH + (2 * j + mid) * 16);
                RN_UNROLL
                for (int g = 0; g < G; g++) {
                    By::mma(sums[g][0][j], fa, fb[g]);
                    By::mma(sums[g][1][j], fa, fb[g] + 2);
                }
            }
        }
    }
}

/* The sums of warps that share a range of k, in their order, to the first of them. shared: read by nobody any more. */
template <int G>
static __device__ __forceinline__ void stem_join(float *shared, int warps_k, float (*sums)[2][TILES][4])
{
    enum { SUMS = G * 2 * TILES * 4 };
    const int warp = threadIdx.x / 32;
    float *mine = shared + warp % warps_k * SUMS * 32 + threadIdx.x % 32, *all = (float *)sums;

    for (int from = 1; from < RN_STEM_WARPS / warps_k; from++) {
        __syncthreads();
        if (warp / warps_k == from) {
            RN_UNROLL
            for (int i = 0; i < SUMS; i++)
                mine[i * 32] = all[i];
        }
        __syncthreads();
        if (warp < warps_k) {
            RN_UNROLL
            for (int i = 0; i < SUMS; i++)
                all[i] += mine[i * 32];
        }
    }
}

/* One warp's sums to wei, or its part of it. first: its first 16 of k. */
template <int G>
static __device__ __forceinline__ void stem_weights_out(const rn_stem_args &p, float *to, int m0, int first,
                                                        const float (*sums)[2][TILES][4])
{
    const int lane = threadIdx.x % 32;

    RN_UNROLL
    for (int i = 0; i < G * 4; i++) {
        const int g = i / 4, next = i / 2 % 2, odd = i % 2, pair = (first + g) * 8 + lane % 4 * 2 + next;
        const int e = pair % p.cut.pairs_line * 2 + odd - p.cut.shift,
                  column = pair / p.cut.pairs_line * p.cut.line + e;
        RN_UNROLL
        for (int r = 0; r < TILES * 2; r++) {
            const int o = m0 + lane / 4 + r * 8;
            if (pair < p.cut.pairs && e >= 0 && e < p.cut.line && o < p.d.oc) {
                float *at = to + (int64_t)o * p.write.columns + column, v = sums[g][odd][r / 2][r % 2 * 2 + next];
                *at = p.write.add ? *at + v : v;
            }
        }
    }
}

template <class By, int G>
static __global__ void __launch_bounds__(RN_STEM_THREADS, (G > 2 ? 2 : 3)) stem_weights(const rn_stem_args p)
{
    RN_CUDA_SHARED(char, shared);
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int block = (int)(blockIdx.x / p.cut.parts_k / p.cut.parts_n),
              m0 = (int)(blockIdx.x / p.cut.parts_k) % p.cut.parts_n * RN_STEM_ROWS;
    const int first = ((int)(blockIdx.x % p.cut.parts_k) * p.cut.warps_k + warp % p.cut.warps_k) * G;
    const rn_stem_columns x(p, block % p.cut.tiles_x);
    const int rows = min(RN_STEM_ROWS, p.d.oc - m0);
    const int *bases = (const int *)(shared + p.cut.bases_at);
    char *ring = shared + p.cut.stages_at;
    stem_dst<typename By::type> dst(p, x, m0);
    rn_async copies;
    float sums[G][2][TILES][4];
    int taps[G];
    const int64_t tiles = (int64_t)p.d.mb * p.cut.tiles_y;

    RN_UNROLL
    for (int i = 0; i < G; i++) {
        const int pair = (first + i) * 8 + lane / 4;
        taps[i] = pair < p.cut.pairs ? (pair / p.cut.pairs_line * p.cut.pitch + pair % p.cut.pairs_line) * 4 : 0;
    }
    RN_UNROLL
    for (int i = 0; i < G * 2 * TILES * 4; i++)
        (&sums[0][0][0][0])[i] = 0;
    rn_stem_bases(p, x, (int *)(shared + p.cut.bases_at));
    RN_NO_UNROLL
    for (int64_t at = block / p.cut.tiles_x; at < tiles; at += p.cut.row_blocks) {
        const rn_stem_tile tile(p, x, at);
        const int stages = (tile.count + RN_STEM_STAGE - 1) / RN_STEM_STAGE;
        dst.origin = (tile.image * p.d.oh + tile.y) * p.d.ow + x.first;
        dst.count = tile.count;
        __syncthreads();           /* the patch and the stages before are read */
        dst.copy(copies, ring, 0); /* zeros behind the last pixel */
        rn_stem_fill<4>(p, x, tile, (uint16_t *)shared, copies);
        copies.commit();
        dst.copy(copies, ring + RN_STEM_STAGE_BYTES, 1);
        copies.commit();
        if (at + p.cut.row_blocks < tiles)
            rn_stem_ask(p, x, rn_stem_tile(p, x, at + p.cut.row_blocks));
        RN_NO_UNROLL
        for (int i = 0; i < stages; i++) {
            char *now = ring + i % RN_STEM_STAGES * RN_STEM_STAGE_BYTES;
            const int ahead = i + RN_STEM_STAGES - 1;
            copies.template wait<RN_STEM_STAGES - 2>();
            dst.finish(now, i);
            __syncthreads();
            if (ahead < stages)
                dst.copy(copies, ring + ahead % RN_STEM_STAGES * RN_STEM_STAGE_BYTES, ahead);
            copies.commit();
            stem_add<By, G>(now, shared, bases + i * RN_STEM_STAGE, tile.count - 1 - i * RN_STEM_STAGE,
                            warp / p.cut.warps_k, RN_STEM_WARPS / p.cut.warps_k, (rows + 15) / 16, taps, sums);
        }
        copies.template wait<0>();
    }
    stem_join<G>((float *)shared, p.cut.warps_k, sums);
    if (warp < p.cut.warps_k)
        stem_weights_out<G>(p, (float *)p.write.to + (int64_t)block * p.d.oc * p.write.columns, m0, first, sums);
}

/* ---- host --------------------------------------------------------------------------------------------------------------- */

template <class By, int G> struct weights_instance {
    static int open(void)
    {
        return rn_cuda_allow_shared(stem_weights<By, G>, RN_STEM_SHARED_MOST);
    }
    static int run(const rn_stem_args *p, unsigned blocks, void *stream)
    {
        return RN_CUDA_LAUNCH((stem_weights<By, G>), blocks, RN_STEM_THREADS, (size_t)p->cut.bytes, stream, *p);
    }
};

struct weights_kernel {
    int (*open)(void);
    int (*run)(const rn_stem_args *p, unsigned blocks, void *stream);
};

#define KERNEL(By, G)                                                                                                  \
    {                                                                                                                  \
        weights_instance<By, G>::open, weights_instance<By, G>::run                                                    \
    }

/* By type and groups: 2, 3, 5. */
static const weights_kernel kernels[2][3] = {
    {KERNEL(rn_by_bf16, 2), KERNEL(rn_by_bf16, 3), KERNEL(rn_by_bf16, 5)},
    {KERNEL(rn_by_f16, 2), KERNEL(rn_by_f16, 3), KERNEL(rn_by_f16, 5)},
};

int rn_stem_weights_open(rn_dtype type, int groups)
{
    return kernels[type == RN_F16][(groups - 1) / 2].open();
}

int rn_stem_weights(const rn_stem_args *p, unsigned blocks, void *stream)
{
    return kernels[p->d.dtype == RN_F16][(p->cut.groups - 1) / 2].run(p, blocks, stream);
}
