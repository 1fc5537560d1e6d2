/* SPDX-License-Identifier: MIT */
/* Products of AMX tiles, everything in registers: four sums of two tiles times two. */
#include <immintrin.h>
#include <string.h>

#include "bench.h"

#define ROWS  16
#define BYTES 64 /* of a row: 16 sums, or 32 bf16 */
#define SUMS  4

typedef struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t colsb[16];
    uint8_t rows[16];
} tile_config;

/* The compiler does not see what tile instructions read and write: they stay in one function, between two fences. */
static __attribute__((noinline)) void products(long iterations, const tile_config *config, const uint16_t *in,
                                               float *out)
{
    __asm__ volatile("" ::: "memory");
    _tile_loadconfig(config);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_loadd(4, in, BYTES);
    _tile_loadd(5, in, BYTES);
    _tile_loadd(6, in, BYTES);
    _tile_loadd(7, in, BYTES);
    for (long i = 0; i < iterations; i++) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, out, BYTES);
    _tile_release();
    __asm__ volatile("" ::: "memory");
}

double bench_fma_amx(long iterations, float *sink)
{
    _Alignas(64) uint16_t in[ROWS * BYTES / 2];
    _Alignas(64) float out[ROWS * BYTES / 4];
    tile_config config = {.palette = 1};

    for (int i = 0; i < 8; i++) {
        config.colsb[i] = BYTES;
        config.rows[i] = ROWS;
    }
    for (size_t i = 0; i < sizeof in / sizeof *in; i++)
        in[i] = (uint16_t)(0x3a00 + i % 97); /* bf16 near 0.0005: sums stay finite */
    products(iterations, &config, in, out);
    *sink = out[0];
    const int columns = BYTES / 4, terms = BYTES / 2;
    return 2.0 * ROWS * columns * terms * SUMS * (double)iterations;
}
