/* SPDX-License-Identifier: MIT */
/*
 * A of cuda:implicit-gemm-sm90 through a prologue: from a tile that TMA has brought, by ldmatrix, into the registers
 * that wgmma takes A from. The other way, to change the tile where it lies, costs shared memory a second pass: of a tile of 128 x 128 with
 * 64 k, 16 KiB read and written, 256 clocks of 128 bytes beside the 384 that wgmma reads in the 512 of its products, and a barrier of all that
 * multiply. Here ldmatrix reads those 16 KiB once, and wgmma no longer does, once for each 16 k and group of warps: 16 KiB as well. What is
 * added is the channels' factors: 64 loads of a warp, 64 bytes each, so 64 clocks, or up to 256 if they are not broadcast.
 *
 * A second tensor (RN_PRO_ADD, RN_PRO_DBN; T::OTHER) has a tile of the same shape behind A's.
 * TMA's zeros in the padding are not what the prologue would make of them: they are masked.
 */
#ifndef CUDA_CONV_SM90_READ_H
#define CUDA_CONV_SM90_READ_H

#include "kernels/cuda/cuda_conv_sm90_ring.h"

#if RN_SM90_CODE

/* Two values of 16 bits through a prologue, of one channel or of two. floor: rn_floor_of. */
template <class T>
static __device__ __forceinline__ uint32_t rn_read_two(uint32_t v, float mul0, float add0, float mul1, float add1,
                                                       uint32_t floor)
{
    typedef typename T::type type;

    return rn_narrow_two<T::KIND>(fmaf(type::widen((uint16_t)v), mul0, add0),
                                  fmaf(type::widen((uint16_t)(v >> 16)), mul1, add1), floor);
}

/* The same and two of a second tensor. f: mul, add, mul, add; by: the second tensor's factors. */
template <class T>
static __device__ __forceinline__ uint32_t rn_read_two(uint32_t v, uint32_t other, const float4 &f, const float2 &by,
                                                       uint32_t floor)
{
    typedef typename T::type type;

    return rn_narrow_two<T::KIND>(
        fmaf(type::widen((uint16_t)other), by.x, fmaf(type::widen((uint16_t)v), f.x, f.y)),
        fmaf(type::widen((uint16_t)(other >> 16)), by.y, fmaf(type::widen((uint16_t)(v >> 16)), f.z, f.w)), floor);
}

/* Between barriers of the block: the factors of the prologue's channels, and 0 to the end of the last stage, for the weights there are 0, and
 * so must be what they are multiplied by; and where the rows' pixels are in the image at tap (0, 0). */
template <class T>
static __device__ __forceinline__ void rn_sm90_read_begin(const rn_conv_sm90_args &p, const rn_conv_phase &phase,
                                                          char *shared, int64_t m0)
{
    const int channels = p.back ? p.d.oc : p.d.ic;
    float2 *factors = (float2 *)(shared + T::FACTORS);
    int2 *pixels = (int2 *)(shared + T::PIXELS);

    for (int c = (int)threadIdx.x; c < p.stages * T::K; c += T::BLOCK) {
        factors[c] = c < channels ? make_float2(p.read.mul[c], p.read.add[c]) : make_float2(0, 0);
        if (T::OTHER)
            ((float *)(factors + p.stages * T::K))[c] = c >= channels ? 0 : p.read.by ? p.read.by[c] : 1;
    }
    for (int i = (int)threadIdx.x; i < T::M; i += T::BLOCK) {
        const int64_t m = m0 + i, line = m / phase.columns;
        pixels[i] = int2{(int)(m % phase.columns) * phase.step_x + phase.x0,
                         (int)(line % phase.rows) * phase.step_y + phase.y0};
    }
}

/* fwd, and bwd_d with a second tensor: rows are pixels, k are channels of a tap. A thread has the rows g and g + 8 of its warp's 16, and of
 * each 16 k the channels 2t, 2t + 1, 2t + 8 and 2t + 9 (cuda_mma.h). There are hardly registers beside the sums: what a tap needs once is in
 * shared memory, or computed anew. */
template <class T> struct rn_sm90_read_pixels {
    enum { ACROSS = 0 };

    const rn_conv_sm90_args &p;
    char *shared;
    int at;             /* of the tile, for ldmatrix: this lane's row, and its piece of the first 16 k */
    int factor;         /* this thread's first one of the stage, in bytes */
    int tap;            /* its line in the high half, its column in the low one */
    uint32_t inside[2]; /* all bits where a row's tap is in the image, or none */

    __device__ __forceinline__ rn_sm90_read_pixels(const rn_conv_sm90_args &args, char *begin) : p(args), shared(begin)
    {
        const int lane = threadIdx.x % 32;

        at = (threadIdx.x / 32 * T::WM + lane % 16) * T::ROW + ((lane / 16 ^ (lane & 7)) << 4);
        tap = 0;
        look();
    }
    __device__ __forceinline__ bool back() const
    {
        return T::OTHER && p.back; /* RN_PRO_DBN has one */
    }
    __device__ __forceinline__ void look()
    {
        const int row = threadIdx.x / 32 * T::WM + threadIdx.x % 32 / 4, turn = back() ? -1 : 1;
        const int r = (tap >> 16) * turn, s = (tap & 0xffff) * turn;
        const unsigned height = back() ? p.d.oh : p.d.ih, width = back() ? p.d.ow : p.d.iw;

        factor = T::FACTORS + threadIdx.x % 4 * 16;
        RN_UNROLL
        for (int i = 0; i < 2; i++) {
            const int2 pixel = *((const int2 *)(shared + T::PIXELS) + row + 8 * i);
            inside[i] = (unsigned)(pixel.y + r) < height && (unsigned)(pixel.x + s) < width ? ~0u : 0;
        }
    }
    /* To the next stage. */
    __device__ __forceinline__ void advance()
    {
        factor += T::K * 8;
        if (factor >= T::FACTORS + p.stages * T::K * 8) {
            const int taps_x = back() ? ((const rn_conv_phase *)(shared + T::PHASE))->taps_x : p.d.kw;
            tap = (tap & 0xffff) + 1 < taps_x ? tap + 1 : (tap | 0xffff) + 1;
            look();
        }
    }
    /* 16 k of A, the k-th of the tile's, as they are multiplied. A piece's number is xored with its row's: 2 k on is a bit of it. */
    __device__ __forceinline__ void load(uint32_t *a, const char *tile, int, int k) const
    {
        const uint32_t floor = rn_floor_of<T::KIND>(p.read.relu);
        uint32_t other[4];

        rn_ldmatrix(a, tile + (at ^ k << 5));
        if (T::OTHER)
            rn_ldmatrix(other, tile + T::A_BYTES + (at ^ k << 5));
        RN_UNROLL
        for (int i = 0; i < 4; i++) {
            const int from = factor + (16 * k + i / 2 * 8) * 8;
            const float4 f = *(const float4 *)(shared + from);
            if constexpr (T::OTHER) {
                const int by = T::FACTORS + p.stages * T::K * 8 + (from - T::FACTORS) / 2;
                a[i] = rn_read_two<T>(a[i], other[i], f, *(const float2 *)(shared + by), floor) & inside[i % 2];
            } else {
                a[i] = rn_read_two<T>(a[i], f.x, f.y, f.z, f.w, floor) & inside[i % 2];
            }
        }
    }
};

/* Bytes into a tile that lies across k, for ldmatrix: this lane's k of the first 16, and its piece of the warp's rows. */
template <class T> static __device__ __forceinline__ int rn_sm90_across_at()
{
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4;

    return (int)threadIdx.x / RN_WARPGROUP * T::CHUNK + (lane % 8 + lane / 16 * 8) * T::ROW +
           (((2 * warp + lane / 8 % 2) ^ (lane & 7)) << 4);
}

/* bwd_w, dst with a second tensor: rows are channels, k are pixels, of which none is padding; behind the last one src is 0. */
template <class T> struct rn_sm90_read_rows {
    enum { ACROSS = 1 };

    float mul[2], add[2], by[2]; /* of the rows g and g + 8 */
    int at;

    __device__ __forceinline__ rn_sm90_read_rows(const rn_conv_sm90_weights_args &p, int m0)
    {
        RN_UNROLL
        for (int i = 0; i < 2; i++) {
            const int c = m0 + threadIdx.x / 32 * T::WM + threadIdx.x % 32 / 4 + 8 * i;
            mul[i] = c < p.d.oc ? p.read.mul[c] : 0;
            add[i] = c < p.d.oc ? p.read.add[c] : 0;
            by[i] = c < p.d.oc ? p.read.by[c] : 0;
        }
        at = rn_sm90_across_at<T>();
    }
    __device__ __forceinline__ void advance() {}
    __device__ __forceinline__ void load(uint32_t *a, const char *tile, int, int k) const
    {
        const uint32_t floor = rn_floor_of<T::KIND>(false);
        uint32_t other[4];

        rn_ldmatrix_trans(a, tile + at + k * 2 * RN_SWIZZLE_PATTERN);
        rn_ldmatrix_trans(other, tile + T::A_BYTES + at + k * 2 * RN_SWIZZLE_PATTERN);
        RN_UNROLL
        for (int i = 0; i < 4; i++) {
            const int row = i % 2;
            a[i] = rn_read_two<T>(a[i], other[i], make_float4(mul[row], add[row], mul[row], add[row]),
                                  make_float2(by[row], by[row]), floor);
        }
    }
};

/* As rn_sm90_sum_up, with A through `read`. */
template <class T, class R>
static __device__ __forceinline__ void rn_sm90_sum_up_read(const rn_sm90_ring<T> &ring, int steps, R &read, float *sums)
{
    typedef rn_sm90_slices<T, R::ACROSS> S;
    /* One is multiplied while the other is prepared. A thread of 128 columns in one of two blocks has registers for one set only: there
     * the other three groups of four warps on the multiprocessor multiply meanwhile. */
    enum { SETS = T::N == 128 && T::BLOCKS == 2 ? 1 : 2 };
    uint32_t sets[SETS][4];
    unsigned parity = 0;
    int stage = 0;

    RN_NO_UNROLL
    for (int i = 0; i < steps; i++) {
        const uint64_t b = rn_matrix(ring.b(stage), S::LEADING, RN_SWIZZLE_PATTERN);
        rn_barrier_wait(ring.full(stage), parity);
        __syncwarp(); /* lanes may have left the wait one after another; and all have read the stage before */
        RN_UNROLL
        for (int k = 0; k < S::COUNT; k++) {
            uint32_t *a = sets[k % SETS];
            rn_wgmma_wait<SETS - 1, T::SUMS>(sums); /* the one that reads these registers */
            if (k == SETS - 1 && i > 0 && threadIdx.x % 32 == 0)
                rn_barrier_arrive(ring.empty(stage ? stage - 1 : T::STAGES - 1));
            read.load(a, ring.a(stage), stage, k);
            rn_wgmma_fence_a(a);
            rn_wgmma_a<T::N, T::KIND, R::ACROSS>(sums, a, b + (unsigned)(k * S::ON), i + k > 0);
            rn_wgmma_commit();
        }
        read.advance();
        if (++stage == T::STAGES) {
            stage = 0;
            parity ^= 1;
        }
    }
    rn_wgmma_wait<0, T::SUMS>(sums);
    if (steps == 0) {
        RN_UNROLL
        for (int i = 0; i < T::SUMS; i++)
            sums[i] = 0;
    }
}

#endif
#endif
