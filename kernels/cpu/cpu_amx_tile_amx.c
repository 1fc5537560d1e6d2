/* SPDX-License-Identifier: MIT */
/*
 * The tile instructions of cpu:amx. The compiler does not see which memory they read and write: each use stands in a
 * function of its own, not inlined, between two fences. (Inlined into a larger loop, gcc 12 also made them three times
 * slower.)
 */
#include <immintrin.h>

#include "kernels/cpu/cpu_amx.h"
#include "kernels/cpu/cpu_sums.h"

#define FENCE() __asm__ volatile("" ::: "memory")

typedef struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t colsb[16];
    uint8_t rows[16];
} tile_config;

__attribute__((noinline)) void rn_amx_configure(int rows)
{
    tile_config config = {.palette = 1};

    for (int i = 0; i < 8; i++) {
        config.colsb[i] = RN_AMX_LINE;
        config.rows[i] = i < 6 ? (uint8_t)rows : RN_AMX_ROWS;
    }
    FENCE();
    _tile_loadconfig(&config);
    FENCE();
}

void rn_amx_release(void)
{
    _tile_release();
}

#define SUMS_STRIDE (RN_AMX_PAIR * sizeof(float))

/* In all of them: sums are read first if `add`, and begin at 0 if not. */
static __attribute__((noinline)) void products_2x2(const char *a0, const char *a1, size_t stride, const char *b,
                                                   const rn_amx_step *steps, int n, bool add, float *sums)
{
    FENCE();
    if (add) {
        _tile_loadd(0, sums, SUMS_STRIDE);
        _tile_loadd(1, sums + 16, SUMS_STRIDE);
        _tile_loadd(2, sums + 16 * 32, SUMS_STRIDE);
        _tile_loadd(3, sums + 16 * 32 + 16, SUMS_STRIDE);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (int i = 0; i < n; i++) {
        const char *x = b + steps[i].b;
        _tile_loadd(6, x, RN_AMX_LINE);
        _tile_loadd(4, a0 + steps[i].a, stride);
        _tile_loadd(7, x + RN_AMX_TILE, RN_AMX_LINE);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(5, a1 + steps[i].a, stride);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, sums, SUMS_STRIDE);
    _tile_stored(1, sums + 16, SUMS_STRIDE);
    _tile_stored(2, sums + 16 * 32, SUMS_STRIDE);
    _tile_stored(3, sums + 16 * 32 + 16, SUMS_STRIDE);
    FENCE();
}

static __attribute__((noinline)) void products_2x1(const char *a0, const char *a1, size_t stride, const char *b,
                                                   const rn_amx_step *steps, int n, bool add, float *sums)
{
    FENCE();
    if (add) {
        _tile_loadd(0, sums, SUMS_STRIDE);
        _tile_loadd(2, sums + 16 * 32, SUMS_STRIDE);
    } else {
        _tile_zero(0);
        _tile_zero(2);
    }
    for (int i = 0; i < n; i++) {
        _tile_loadd(6, b + steps[i].b, RN_AMX_LINE);
        _tile_loadd(4, a0 + steps[i].a, stride);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(5, a1 + steps[i].a, stride);
        _tile_dpbf16ps(2, 5, 6);
    }
    _tile_stored(0, sums, SUMS_STRIDE);
    _tile_stored(2, sums + 16 * 32, SUMS_STRIDE);
    FENCE();
}

static __attribute__((noinline)) void products_1x2(const char *a0, size_t stride, const char *b,
                                                   const rn_amx_step *steps, int n, bool add, float *sums)
{
    FENCE();
    if (add) {
        _tile_loadd(0, sums, SUMS_STRIDE);
        _tile_loadd(1, sums + 16, SUMS_STRIDE);
    } else {
        _tile_zero(0);
        _tile_zero(1);
    }
    for (int i = 0; i < n; i++) {
        const char *x = b + steps[i].b;
        _tile_loadd(6, x, RN_AMX_LINE);
        _tile_loadd(4, a0 + steps[i].a, stride);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, x + RN_AMX_TILE, RN_AMX_LINE);
        _tile_dpbf16ps(1, 4, 7);
    }
    _tile_stored(0, sums, SUMS_STRIDE);
    _tile_stored(1, sums + 16, SUMS_STRIDE);
    FENCE();
}

static __attribute__((noinline)) void products_1x1(const char *a0, size_t stride, const char *b,
                                                   const rn_amx_step *steps, int n, bool add, float *sums)
{
    FENCE();
    if (add)
        _tile_loadd(0, sums, SUMS_STRIDE);
    else
        _tile_zero(0);
    for (int i = 0; i < n; i++) {
        _tile_loadd(6, b + steps[i].b, RN_AMX_LINE);
        _tile_loadd(4, a0 + steps[i].a, stride);
        _tile_dpbf16ps(0, 4, 6);
    }
    _tile_stored(0, sums, SUMS_STRIDE);
    FENCE();
}

void rn_amx_products(int mt, int nt, const char *const a[2], size_t stride, const char *b, const rn_amx_step *steps,
                     int n, bool add, float *sums)
{
    if (mt == 2 && nt == 2)
        products_2x2(a[0], a[1], stride, b, steps, n, add, sums);
    else if (mt == 2)
        products_2x1(a[0], a[1], stride, b, steps, n, add, sums);
    else if (nt == 2)
        products_1x2(a[0], stride, b, steps, n, add, sums);
    else
        products_1x1(a[0], stride, b, steps, n, add, sums);
}

/* ---- the sums' way out ---------------------------------------------------------------------------------------------- */

static inline __m512 widen(__m256i h)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

/* Whole lines without a mask: masked stores of words are slow on some CPUs. */
static inline void store32(uint16_t *to, __mmask32 mask, __m512i y)
{
    if (mask == 0xffffffff)
        _mm512_storeu_si512(to, y);
    else
        _mm512_mask_storeu_epi16(to, mask, y);
}

static inline __m512i load32(const uint16_t *from, __mmask32 mask)
{
    return mask == 0xffffffff ? _mm512_loadu_si512(from) : _mm512_maskz_loadu_epi16(mask, from);
}

static inline __m512i narrow(__m512 low, __m512 high)
{
    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

static inline void put_run(const float *sums, int rows, __mmask32 mask, uint16_t *to, size_t step, bool add)
{
    for (int i = 0; i < rows; i++, sums += RN_AMX_PAIR, to += step) {
        __m512 low = _mm512_load_ps(sums), high = _mm512_load_ps(sums + 16);
        if (add) {
            const __m512i old = load32(to, mask);
            low = _mm512_add_ps(low, widen(_mm512_castsi512_si256(old)));
            high = _mm512_add_ps(high, widen(_mm512_extracti64x4_epi64(old, 1)));
        }
        store32(to, mask, narrow(low, high));
    }
}

void rn_amx_put(const float *sums, const rn_amx_run *runs, int nruns, int n, uint16_t *out, size_t step, bool add)
{
    const __mmask32 mask = n >= RN_AMX_PAIR ? 0xffffffff : (1u << n) - 1;

    for (int i = 0; i < nruns; i++) {
        const float *from = sums + (size_t)runs[i].row * RN_AMX_PAIR;
        uint16_t *to = out + runs[i].at;
        if (add)
            put_run(from, runs[i].n, mask, to, step, true);
        else if (mask == 0xffffffff)
            put_run(from, runs[i].n, 0xffffffff, to, step, false);
        else
            put_run(from, runs[i].n, mask, to, step, false);
    }
}

/* Sums of at most 32 rows are of f32; beyond that, of double. */
static inline void add_wide(double *to, __m512 x)
{
    const __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(x)),
                  high = _mm512_cvtps_pd(_mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(x), 1)));

    _mm512_storeu_pd(to, _mm512_add_pd(_mm512_loadu_pd(to), low));
    _mm512_storeu_pd(to + 8, _mm512_add_pd(_mm512_loadu_pd(to + 8), high));
}

void rn_amx_put_stats(const float *sums, const rn_amx_run *runs, int nruns, int n, uint16_t *out, size_t step,
                      const float *pivot, double *stats)
{
    const __mmask32 mask = n >= RN_AMX_PAIR ? 0xffffffff : (1u << n) - 1;
    const __mmask16 part[2] = {(__mmask16)mask, (__mmask16)(mask >> 16)};
    __m512 own[2], sum[2], square[2];
    float tile[3][RN_AMX_PAIR];
    int m = 0;

    if (nruns == 0)
        return;
    for (int j = 0; j < 2; j++) {
        __m512 four[4];
        for (int i = 0; i < 4; i++) {
            const rn_amx_run *run = &runs[rn_about_row(nruns, i)];
            const size_t row = (size_t)(run->row + rn_about_row(run->n, i));
            four[i] = _mm512_maskz_loadu_ps(part[j], sums + row * RN_AMX_PAIR + 16 * j);
        }
        const __m512 all = _mm512_add_ps(_mm512_add_ps(four[0], four[1]), _mm512_add_ps(four[2], four[3]));
        own[j] = _mm512_mul_ps(all, _mm512_set1_ps(0.25F));
        sum[j] = square[j] = _mm512_setzero_ps();
    }
    for (int k = 0; k < nruns; k++) {
        const float *from = sums + (size_t)runs[k].row * RN_AMX_PAIR;
        uint16_t *to = out + runs[k].at;
        m += runs[k].n;
        for (int i = 0; i < runs[k].n; i++, from += RN_AMX_PAIR, to += step) {
            const __m512i y = narrow(_mm512_load_ps(from), _mm512_load_ps(from + 16));
            store32(to, mask, y);
            const __m512 f[2] = {widen(_mm512_castsi512_si256(y)), widen(_mm512_extracti64x4_epi64(y, 1))};
            for (int j = 0; j < 2; j++) {
                const __m512 d = _mm512_sub_ps(f[j], own[j]);
                sum[j] = _mm512_add_ps(sum[j], d);
                square[j] = _mm512_fmadd_ps(d, d, square[j]);
            }
        }
    }
    for (int j = 0; j < 2; j++) {
        _mm512_storeu_ps(tile[0] + 16 * j, sum[j]);
        _mm512_storeu_ps(tile[1] + 16 * j, square[j]);
        _mm512_storeu_ps(tile[2] + 16 * j, own[j]);
    }
    rn_add_about(n < RN_AMX_PAIR ? n : RN_AMX_PAIR, m, tile[0], tile[1], tile[2], pivot, stats, stats + RN_AMX_PAIR);
}

void rn_amx_put_dbn(const float *sums, const rn_amx_run *runs, int nruns, int n, uint16_t *out, size_t step,
                    const rn_amx_gate *gate, double *stats)
{
    const __mmask32 mask = n >= RN_AMX_PAIR ? 0xffffffff : (1u << n) - 1;
    const __mmask16 part[2] = {(__mmask16)mask, (__mmask16)(mask >> 16)};
    __m512 scale[2], shift[2], mean[2], sum[2], square[2];

    for (int j = 0; j < 2; j++) {
        scale[j] = _mm512_maskz_loadu_ps(part[j], gate->scale + 16 * j);
        shift[j] = _mm512_maskz_loadu_ps(part[j], gate->shift + 16 * j);
        mean[j] = _mm512_maskz_loadu_ps(part[j], gate->mean + 16 * j);
        sum[j] = square[j] = _mm512_setzero_ps();
    }
    for (int k = 0; k < nruns; k++) {
        const float *from = sums + (size_t)runs[k].row * RN_AMX_PAIR;
        const uint16_t *raw = gate->raw + runs[k].at;
        uint16_t *to = out + runs[k].at;
        for (int i = 0; i < runs[k].n; i++, from += RN_AMX_PAIR, raw += step, to += step) {
            const __m512i r = load32(raw, mask);
            const __m512 x[2] = {widen(_mm512_castsi512_si256(r)), widen(_mm512_extracti64x4_epi64(r, 1))};
            __m512 v[2];
            for (int j = 0; j < 2; j++) {
                const __m512 z = _mm512_fmadd_ps(x[j], scale[j], shift[j]);
                v[j] = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(z, _mm512_setzero_ps(), _CMP_GT_OQ),
                                           _mm512_load_ps(from + 16 * j));
            }
            const __m512i y = narrow(v[0], v[1]);
            store32(to, mask, y);
            const __m512 f[2] = {widen(_mm512_castsi512_si256(y)), widen(_mm512_extracti64x4_epi64(y, 1))};
            for (int j = 0; j < 2; j++) {
                sum[j] = _mm512_add_ps(sum[j], f[j]);
                square[j] = _mm512_fmadd_ps(f[j], _mm512_sub_ps(x[j], mean[j]), square[j]);
            }
        }
    }
    for (int j = 0; j < 2; j++) {
        add_wide(stats + 16 * j, sum[j]);
        add_wide(stats + RN_AMX_PAIR + 16 * j, square[j]);
    }
}

void rn_amx_put_f32(const float *sums, int rows, int n, float *out, size_t ld, bool add)
{
    const __mmask32 mask = n >= RN_AMX_PAIR ? 0xffffffff : (1u << n) - 1;
    const __mmask16 low = (__mmask16)mask, high = (__mmask16)(mask >> 16);

    for (int i = 0; i < rows; i++, sums += RN_AMX_PAIR, out += ld) {
        __m512 x = _mm512_load_ps(sums), y = _mm512_load_ps(sums + 16);
        if (add) {
            x = _mm512_add_ps(x, _mm512_maskz_loadu_ps(low, out));
            y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(high, out + 16));
        }
        _mm512_mask_storeu_ps(out, low, x);
        _mm512_mask_storeu_ps(out + 16, high, y);
    }
}
