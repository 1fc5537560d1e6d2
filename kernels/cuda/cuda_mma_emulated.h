/* SPDX-License-Identifier: MIT */
/*
 * cuda_mma.h for the host: what the instructions of a warp do, by their documented layouts. Stricter than a GPU where that
 * may hide a mistake: asynchronous copies are made as late as the waits allow, and sums are rounded towards zero, once an
 * instruction, as tensor cores were found to do (Fasi, Higham, Mikaitis & Pranesh 2021, "Numerical behavior of NVIDIA tensor
 * cores").
 */
#ifndef CUDA_MMA_EMULATED_H
#define CUDA_MMA_EMULATED_H

#include <math.h>
#include <string.h>

extern "C" {
#include "base/rn_half.h"
}

struct rn_mma_lane {
    float *d;
    const uint32_t *a, *b;
};

struct rn_ldmatrix_lane {
    uint32_t *r;
    const void *row;
};

static inline float rn_bits_f32(uint32_t v)
{
    float f;

    memcpy(&f, &v, sizeof f);
    return f;
}

/* The sum in double: exact but for its rounding, which goes towards zero. */
static inline float rn_round_to_zero(double v)
{
    const float f = (float)v;

    return fabs((double)f) > fabs(v) && !isinf(v) ? nextafterf(f, 0) : f;
}

static inline float rn_mma_value(int kind, uint32_t reg, int half)
{
    const uint16_t h = (uint16_t)(half ? reg >> 16 : reg);

    return kind == 0 ? rn_f32_of_bf16(h) : kind == 1 ? rn_f32_of_f16(h) : rn_bits_f32(reg & 0xffffe000u);
}

/* kind: 0 bf16, 1 f16, 2 tf32. Two neighbours along k to a register, or one. */
template <int kind> static void rn_mma_warp(void *const *lanes)
{
    const int pair = kind == 2 ? 1 : 2;
    double a[16][16], b[16][8];

    for (int lane = 0; lane < 32; lane++) {
        const rn_mma_lane *l = (const rn_mma_lane *)lanes[lane];
        const int g = lane / 4, t = lane % 4;
        for (int h = 0; h < pair; h++) {
            for (int i = 0; i < 4; i++)
                a[g + i % 2 * 8][t * pair + h + i / 2 * 4 * pair] = rn_mma_value(kind, l->a[i], h);
            for (int i = 0; i < 2; i++)
                b[t * pair + h + i * 4 * pair][g] = rn_mma_value(kind, l->b[i], h);
        }
    }
    for (int lane = 0; lane < 32; lane++) {
        const rn_mma_lane *l = (const rn_mma_lane *)lanes[lane];
        for (int i = 0; i < 4; i++) {
            const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
            double sum = l->d[i];
            for (int k = 0; k < 8 * pair; k++)
                sum += a[row][k] * b[k][column];
            l->d[i] = rn_round_to_zero(sum);
        }
    }
}

template <bool trans> __attribute__((no_sanitize("thread"))) static void rn_ldmatrix_warp(void *const *lanes)
{
    for (int i = 0; i < 4; i++) {
        uint16_t m[8][8];
        for (int j = 0; j < 8; j++)
            memcpy(m[j], ((const rn_ldmatrix_lane *)lanes[8 * i + j])->row, 16);
        for (int lane = 0; lane < 32; lane++) {
            const int g = lane / 4, t = lane % 4;
            const uint16_t low = trans ? m[2 * t][g] : m[g][2 * t], high = trans ? m[2 * t + 1][g] : m[g][2 * t + 1];
            ((rn_ldmatrix_lane *)lanes[lane])->r[i] = low | (uint32_t)high << 16;
        }
    }
}

template <int kind> static void rn_mma_run(float *d, const uint32_t *a, const uint32_t *b)
{
    rn_mma_lane mine = {d, a, b};

    rn_emu_warp(rn_mma_warp<kind>, &mine);
}

static inline void rn_mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    rn_mma_run<0>(d, a, b);
}

static inline void rn_mma_f16(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    rn_mma_run<1>(d, a, b);
}

static inline void rn_mma_tf32(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    rn_mma_run<2>(d, a, b);
}

static inline void rn_ldmatrix(uint32_t r[4], const void *row)
{
    rn_ldmatrix_lane mine = {r, row};

    rn_check_access(row, 16, 16, false);
    rn_emu_warp(rn_ldmatrix_warp<false>, &mine);
}

static inline void rn_ldmatrix_trans(uint32_t r[4], const void *row)
{
    rn_ldmatrix_lane mine = {r, row};

    rn_check_access(row, 16, 16, false);
    rn_emu_warp(rn_ldmatrix_warp<true>, &mine);
}

/* Ties away from zero; NaN and infinity stay what they are. */
static inline uint32_t rn_tf32(uint32_t v)
{
    return (v & 0x7f800000u) == 0x7f800000u ? v : (v + 0x1000u) & 0xffffe000u;
}

/* Only what may be read may be asked for. */
static inline void rn_prefetch(const void *p)
{
    (void)*(const volatile char *)p;
}

/* One thread's copies, each made when a wait first demands it. */
struct rn_async {
    enum { MOST = 64 };
    struct {
        void *to;
        const void *from;
        bool valid;
        int group;
    } copies[MOST];
    int first = 0, count = 0, groups = 0;

    void copy(void *shared, const void *from, bool valid)
    {
        const int i = (first + count++) % MOST;

        if (count > MOST)
            abort();
        copies[i].to = shared;
        copies[i].from = from;
        copies[i].valid = valid;
        copies[i].group = groups;
        if (valid)
            rn_check_access(from, 16, 16, false);
        rn_check_async(shared, 16);
    }
    void commit()
    {
        groups++;
    }
    template <int pending> void wait()
    {
        for (; count && copies[first].group < groups - pending; first = (first + 1) % MOST, count--) {
            rn_check_async_done(rn_emu_thread(), copies[first].to, 16);
            if (copies[first].valid)
                memcpy(copies[first].to, copies[first].from, 16);
            else
                memset(copies[first].to, 0, 16);
        }
    }
};

#endif
