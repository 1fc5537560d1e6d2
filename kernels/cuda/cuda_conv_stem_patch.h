/* SPDX-License-Identifier: MIT */
/* cuda:direct-stem: a tile's patch of src in shared memory, and where in it pixels and pairs lie. */
#ifndef CUDA_CONV_STEM_PATCH_H
#define CUDA_CONV_STEM_PATCH_H

#include "kernels/cuda/cuda_conv_stem.h"
#include "kernels/cuda/cuda_conv_types.h"
#include "kernels/cuda/cuda_mma.h"

/* A block's columns of the output, and what its tiles read of a line of src: all in pixels, but for `values`. */
struct rn_stem_columns {
    int first, count;       /* of dst */
    int before, there, all; /* of the patch: in the padding on the left, in the image, with the padding on the right */
    int64_t from;           /* the first one in the image */
    int lead;               /* values of a line of the patch before its first */

    __device__ __forceinline__ rn_stem_columns(const rn_stem_args &p, int part)
    {
        first = part * p.cut.tile_w;
        count = min(p.cut.tile_w, p.d.ow - first);
        all = (count - 1) * p.d.sw + p.d.kw;
        const int x = first * p.d.sw - p.d.pw;
        before = min(max(-x, 0), all);
        there = max(min(p.d.iw - x, all) - before, 0);
        from = x + before;
        lead = p.cut.aligned ? (int)((unsigned)x * (unsigned)p.d.ic & 7) : 0;
    }
    /* Value `at` of a line of the patch is the first one in the image. */
    __device__ __forceinline__ int begin(const rn_stem_args &p) const
    {
        return lead + before * p.d.ic;
    }
};

/* A tile of rows. */
struct rn_stem_tile {
    int64_t image;
    int y, rows, count; /* of dst; count: of its pixels */

    __device__ __forceinline__ rn_stem_tile(const rn_stem_args &p, const rn_stem_columns &x, int64_t at)
    {
        image = at / p.cut.tiles_y;
        y = (int)(at % p.cut.tiles_y) * p.cut.tile_h;
        rows = min(p.cut.tile_h, p.d.oh - y);
        count = rows * x.count;
    }
};

/* n / by for n, by < 2^16: n times this, its upper 32 bits. by > 1. */
static __device__ __forceinline__ unsigned rn_stem_divider(int by)
{
    return 0xffffffffu / (unsigned)by + 1;
}

static __device__ __forceinline__ int rn_stem_over(int n, unsigned divider, int by)
{
    return by == 1 ? n : (int)__umulhi((unsigned)n, divider);
}

/* A pair of the patch; of pairs that rounding up adds, halves may never have been written, which whoever reads them cuts off. */
#ifdef RN_CUDA_EMULATED
__attribute__((no_sanitize("thread"), noinline)) static uint32_t rn_stem_pair(const void *p)
{
    rn_check_any(p, 4);
    return *(const uint32_t *)p;
}
#else
static __device__ __forceinline__ uint32_t rn_stem_pair(const void *p)
{
    return *(const uint32_t *)p;
}
#endif

/* bases[m]: bytes from the patch to the first pair of pixel m of a tile. */
static __device__ __forceinline__ void rn_stem_bases(const rn_stem_args &p, const rn_stem_columns &x, int *bases)
{
    for (int m = threadIdx.x; m < p.cut.tile_h * x.count; m += RN_STEM_THREADS) {
        const int value = x.lead - p.cut.shift + m % x.count * p.d.sw * p.d.ic;
        bases[m] = (m / x.count * p.d.sh * p.cut.pitch + value / 2 + value % 2 * p.cut.copy) * 4;
    }
}

/* 8 values of src to value `at` of a copy of the patch and on, but those before e0 and from e1 on. */
static __device__ __forceinline__ void rn_stem_put(uint16_t *copy, const rn_piece<rn_type_bf16> &v, int at, int e0,
                                                   int e1)
{
    if (e0 == 0 && e1 == 8 && at % 2 == 0) {
        uint32_t *to = (uint32_t *)(copy + at);
        to[0] = v.all.x, to[1] = v.all.y, to[2] = v.all.z, to[3] = v.all.w;
    } else if (e0 == 0 && e1 == 8) {
        uint32_t *to = (uint32_t *)(copy + at + 1);
        copy[at] = v.one[0];
        to[0] = v.all.x >> 16 | v.all.y << 16, to[1] = v.all.y >> 16 | v.all.z << 16;
        to[2] = v.all.z >> 16 | v.all.w << 16;
        copy[at + 7] = v.one[7];
    } else {
        RN_UNROLL
        for (int e = 0; e < 8; e++) {
            if (e >= e0 && e < e1)
                copy[at + e] = v.one[e];
        }
    }
}

/* What lies in the image, any lines: 16 bytes at a time, each thread BATCH of them before it stores any. */
template <int BATCH>
static __device__ __forceinline__ void rn_stem_copy(const rn_stem_args &p, const rn_stem_columns &x, uint16_t *patch,
                                                    int64_t first, int y, int lines)
{
    const int values = x.there * p.d.ic, pieces = (values + 14) / 8, all = values ? lines * pieces : 0;
    const int64_t step = (int64_t)p.d.iw * p.d.ic, total = step * p.d.ih * p.d.mb;
    const unsigned divider = pieces > 1 ? rn_stem_divider(pieces) : 0;
    const uint16_t *src = (const uint16_t *)p.src;

    RN_NO_UNROLL
    for (int begin = threadIdx.x; begin < all; begin += BATCH * RN_STEM_THREADS) {
        rn_piece<rn_type_bf16> v[BATCH];
        int to[BATCH], e0[BATCH], e1[BATCH];
        RN_UNROLL
        for (int b = 0; b < BATCH; b++) {
            const int i = begin + b * RN_STEM_THREADS, line = rn_stem_over(i, divider, pieces);
            const int64_t at = first + line * step, piece = ((at >> 3) + i - line * pieces) * 8, end = at + values;
            const bool inside = i < all && (unsigned)(y + line) < (unsigned)p.d.ih;
            e0[b] = at > piece ? (int)(at - piece) : 0;
            e1[b] = !inside || piece >= end ? 0 : end - piece < 8 ? (int)(end - piece) : 8;
            to[b] = line * p.cut.pitch * 2 + x.begin(p) + (int)(piece - at);
            if (e1[b] > 0 && p.wide_src && piece + 8 <= total) {
                v[b].all = __ldg((const uint4 *)(src + piece));
            } else {
                RN_UNROLL
                for (int e = 0; e < 8; e++)
                    v[b].one[e] = e >= e0[b] && e < e1[b] ? src[piece + e] : (uint16_t)0;
            }
        }
        RN_UNROLL
        for (int b = 0; b < BATCH; b++) {
            if (e1[b] > 0) {
                rn_stem_put(patch, v[b], to[b], e0[b], e1[b]);
                if (p.cut.copies > 1)
                    rn_stem_put(patch + p.cut.copy * 2, v[b], to[b] - 1, e0[b], e1[b]);
            }
        }
    }
}

/* The same of aligned lines, whole pieces: what they have before the patch and behind it, nobody looks at. */
static __device__ __forceinline__ void rn_stem_start(const rn_stem_args &p, const rn_stem_columns &x, uint16_t *patch,
                                                     int64_t first, int y, int lines, rn_async &async)
{
    const int before = (int)(first & 7), pieces = (before + x.there * p.d.ic + 7) / 8;
    const int all = x.there ? lines * pieces : 0;
    const int64_t step = (int64_t)p.d.iw * p.d.ic;
    const unsigned divider = pieces > 1 ? rn_stem_divider(pieces) : 0;
    const uint16_t *src = (const uint16_t *)p.src + (first - before);

    for (int i = threadIdx.x; i < all; i += RN_STEM_THREADS) {
        const int line = rn_stem_over(i, divider, pieces), piece = (i - line * pieces) * 8;
        if ((unsigned)(y + line) < (unsigned)p.d.ih)
            async.copy(patch + line * p.cut.pitch * 2 + x.begin(p) - before + piece, src + line * step + piece, true);
    }
}

/*
 * All of a tile's patch, a barrier before, as its memory is used. Copies that go on are the caller's to commit and to wait for;
 * then a barrier.
 */
template <int BATCH>
static __device__ __forceinline__ void rn_stem_fill(const rn_stem_args &p, const rn_stem_columns &x,
                                                    const rn_stem_tile &tile, uint16_t *patch, rn_async &async)
{
    const int lines = (tile.rows - 1) * p.d.sh + p.d.kh, y = tile.y * p.d.sh - p.d.ph;
    const int64_t first = ((tile.image * p.d.ih + y) * p.d.iw + x.from) * p.d.ic;

    if (p.cut.aligned && p.wide_src)
        rn_stem_start(p, x, patch, first, y, lines, async);
    else
        rn_stem_copy<BATCH>(p, x, patch, first, y, lines);
    for (int line = threadIdx.x / 32; line < lines; line += RN_STEM_WARPS) {
        const int there = (unsigned)(y + line) < (unsigned)p.d.ih ? x.there * p.d.ic : 0;
        const int before = x.before * p.d.ic, zeros = x.all * p.d.ic - there;
        for (int i = threadIdx.x % 32; i < zeros; i += 32) {
            const int at = line * p.cut.pitch * 2 + x.lead + (i < before ? i : i + there);
            patch[at] = 0;
            if (p.cut.copies > 1)
                patch[p.cut.copy * 2 + at - 1] = 0;
        }
    }
}

/* Has the next tile's lines brought into the L2 cache meanwhile. */
static __device__ __forceinline__ void rn_stem_ask(const rn_stem_args &p, const rn_stem_columns &x,
                                                   const rn_stem_tile &tile)
{
    const int lines = (tile.rows - 1) * p.d.sh + p.d.kh, y = tile.y * p.d.sh - p.d.ph, values = x.there * p.d.ic;

    for (int line = threadIdx.x / 32; line < lines; line += RN_STEM_WARPS) {
        const uint16_t *src = (const uint16_t *)p.src + ((tile.image * p.d.ih + y + line) * p.d.iw + x.from) * p.d.ic;
        for (int i = threadIdx.x % 32 * 64; i < values && (unsigned)(y + line) < (unsigned)p.d.ih; i += 32 * 64)
            rn_prefetch(src + i);
    }
}

#endif
