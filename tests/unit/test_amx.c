/* SPDX-License-Identifier: MIT */
/*
 * The emulator of AMX that the kernels' checks stand on, against plain C: tiles of every odd shape, addresses of every
 * form, the rounding of products. On a CPU with AMX the same program holds the CPU itself against plain C, and so shows
 * what the emulator claims.
 */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/rn_cpu.h"
#include "base/rn_rng.h"
#include "kernels/cpu/cpu_backend.h"
#include "tests/kernels/amx_emulate.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define TARGET  __attribute__((noinline, target("amx-tile,amx-bf16")))
#define FENCE() __asm__ volatile("" ::: "memory")

typedef struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t colsb[16];
    uint8_t rows[16];
} tile_config;

typedef struct shape {
    int m, n, k; /* rows of the sums, their columns, pairs of terms */
} shape;

/* At the start of a test: cmocka has just set its own handler of SIGILL. Returns whether AMX is emulated. */
static bool need_amx(void)
{
    const bool emulated = amx_emulate_start();

    if (!emulated && rn_isa_best() < RN_ISA_AMX)
        skip();
    return emulated;
}

static tile_config config_of(shape s)
{
    tile_config c = {.palette = 1};

    c.rows[0] = c.rows[1] = (uint8_t)s.m;
    c.rows[2] = (uint8_t)s.k;
    c.colsb[0] = c.colsb[2] = (uint16_t)(4 * s.n);
    c.colsb[1] = (uint16_t)(4 * s.k);
    return c;
}

/* c += a b, with rows 64 + 4 bytes apart in memory; then c once more, through tileloaddt1 and another register. */
TARGET static void multiply(const tile_config *config, float *c, const uint16_t *a, const uint16_t *b,
                            tile_config *seen)
{
    FENCE();
    _tile_loadconfig(config);
    _tile_storeconfig(seen);
    _tile_stream_loadd(0, c, 68);
    _tile_loadd(1, a, 68);
    _tile_loadd(2, b, 68);
    _tile_dpbf16ps(0, 1, 2);
    _tile_stored(0, c, 68);
    _tile_release();
    FENCE();
}

/* ---- plain C ---------------------------------------------------------------------------------------------------------- */

static float flush(float x)
{
    return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x;
}

static float value(uint16_t h)
{
    const uint32_t bits = (uint32_t)h << 16;
    float f;

    memcpy(&f, &bits, sizeof f);
    return flush(f);
}

static float expected(const float *c, const uint16_t *a, const uint16_t *b, shape s, int i, int j)
{
    float sum[2] = {0, 0};

    for (int k = 0; k < s.k; k++) {
        for (int e = 0; e < 2; e++)
            sum[e] = flush(fmaf(value(a[i * 34 + 2 * k + e]), value(b[k * 34 + 2 * j + e]), sum[e]));
    }
    return flush(flush(c[i * 17 + j]) + flush(sum[0] + sum[1]));
}

/* ---- tests ------------------------------------------------------------------------------------------------------------- */

typedef struct operands {
    float c[16 * 17], want[16 * 17];
    uint16_t a[16 * 34], b[16 * 34];
} operands;

/* exponents: of the bf16, around 127; 0 among them makes subnormals */
static void fill(operands *o, rn_rng *rng, int low, int high)
{
    const uint32_t span = (uint32_t)(high - low + 1);

    for (int i = 0; i < 16 * 34; i++) {
        o->a[i] = (uint16_t)((rn_rng_u32(rng) & 0x807f) | (uint32_t)(low + (int)rn_rng_below(rng, span)) << 7);
        o->b[i] = (uint16_t)((rn_rng_u32(rng) & 0x807f) | (uint32_t)(low + (int)rn_rng_below(rng, span)) << 7);
    }
    for (int i = 0; i < 16 * 17; i++)
        o->c[i] = (float)((int)rn_rng_below(rng, 2001) - 1000) * 0x1p-6f;
}

static void check(operands *o, shape s)
{
    const tile_config config = config_of(s);
    tile_config seen;

    memcpy(o->want, o->c, sizeof o->c);
    for (int i = 0; i < s.m; i++) {
        for (int j = 0; j < s.n; j++)
            o->want[i * 17 + j] = expected(o->c, o->a, o->b, s, i, j);
    }
    multiply(&config, o->c, o->a, o->b, &seen);
    assert_memory_equal(&seen, &config, sizeof config);
    for (int i = 0; i < 16 * 17; i++) { /* also: nothing beyond the shape was written */
        if (isnan(o->want[i]))
            assert_true(isnan(o->c[i]));
        else
            assert_memory_equal(&o->c[i], &o->want[i], sizeof(float));
    }
}

static void products_of_every_shape(void **state)
{
    operands o;
    rn_rng rng;

    (void)state;
    need_amx();
    rn_rng_seed(&rng, 1, RN_STREAM_TEST, 0, 0);
    for (int m = 1; m <= 16; m++) {
        for (int n = 1; n <= 16; n += 1 + (m % 3)) {
            for (int k = 1; k <= 16; k += 1 + (n % 4)) {
                fill(&o, &rng, 120, 134);
                check(&o, (shape){m, n, k});
            }
        }
    }
}

static void rounding_and_subnormals(void **state)
{
    const shape whole = {16, 16, 16};
    operands o;
    rn_rng rng;

    (void)state;
    need_amx();
    rn_rng_seed(&rng, 2, RN_STREAM_TEST, 0, 0);
    for (int i = 0; i < 20; i++) {
        fill(&o, &rng, 100, 150); /* sums of which most terms are rounded away */
        check(&o, whole);
        fill(&o, &rng, 0, 2); /* subnormal inputs */
        check(&o, whole);
        fill(&o, &rng, 60, 68); /* subnormal products and sums */
        memset(o.c, 0, sizeof o.c);
        check(&o, whole);
        fill(&o, &rng, 240, 255); /* infinities and NaN */
        check(&o, whole);
    }
}

/* Sums of one tile through all of its other uses: tilezero, reloading, rows that a smaller shape leaves out. */
TARGET static void pass(const tile_config *wide, const tile_config *narrow, const float *in, float *zeros, float *out)
{
    FENCE();
    _tile_loadconfig(wide);
    _tile_loadd(7, in, 64);
    _tile_zero(7);
    _tile_stored(7, zeros, 64);
    _tile_loadd(5, in, 128); /* every other row */
    _tile_stored(5, out, 64);
    _tile_loadconfig(narrow);
    _tile_stored(5, out + 16 * 16, 64); /* a new configuration clears the tiles */
    _tile_loadd(5, in, 64);
    _tile_stored(5, out + 17 * 16, 64);
    _tile_release();
    FENCE();
}

static void tiles_move(void **state)
{
    tile_config wide = {.palette = 1}, narrow = {.palette = 1};
    float in[32 * 16], zeros[16 * 16], out[20 * 16];

    (void)state;
    need_amx();
    wide.rows[7] = wide.rows[5] = 16, wide.colsb[7] = wide.colsb[5] = 64;
    narrow.rows[5] = 1, narrow.colsb[5] = 20;
    for (int i = 0; i < 32 * 16; i++)
        in[i] = (float)(i + 1);
    memset(zeros, 0xff, sizeof zeros);
    memset(out, 0, sizeof out);
    pass(&wide, &narrow, in, zeros, out);
    for (int i = 0; i < 16 * 16; i++) {
        assert_true(zeros[i] == 0);
        assert_true(out[i] == in[i / 16 * 32 + i % 16]);
    }
    for (int i = 0; i < 16; i++) {
        assert_true(out[16 * 16 + i] == 0);
        assert_true(out[17 * 16 + i] == (i < 5 ? in[i] : 0));
    }
}

/* Each of the faults in a child: the CPU raises a signal, the emulator ends the program. */
TARGET static void fault(int which)
{
    tile_config c = config_of((shape){16, 16, 16});
    float memory[16 * 16] = {0};

    if (which == 1)
        c.palette = 2;
    else if (which == 2)
        c.rows[0] = 17;
    else if (which == 3)
        c.colsb[2] = 60;
    else if (which == 4)
        c.reserved[3] = 1;
    FENCE();
    if (which > 0)
        _tile_loadconfig(&c);
    if (which == 5)
        _tile_loadd(6, memory, 64);
    _tile_dpbf16ps(0, 1, 2);
}

static void faults(void **state)
{
    (void)state;
    need_amx();
    for (int which = 0; which <= 6; which++) {
        int status = 0;
        fflush(NULL);
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            if (!freopen("/dev/null", "w", stderr))
                _exit(3);
            fault(which);
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        const bool fine = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        assert_int_equal(fine, which == 6);
    }
}

/* The backend tries the tiles before it relies on them. */
static void tiles_that_do_not_multiply(void **state)
{
    const rn_backend_opts opts = {.threads = 1};
    rn_backend *be = NULL;

    (void)state;
    if (!need_amx())
        skip();
    assert_int_equal(rn_cpu_open_at(&opts, RN_ISA_AMX, &be), 0);
    assert_int_equal(rn_cpu_backend_isa(be), RN_ISA_AMX);
    rn_backend_close(be);
    if (!amx_emulate_skip(true))
        skip();
    assert_int_equal(rn_cpu_open_at(&opts, RN_ISA_AMX, &be), 0);
    assert_int_equal(rn_cpu_backend_isa(be), RN_ISA_AVX512_BF16);
    rn_backend_close(be);
    assert_true(amx_emulate_skip(false));
    assert_int_equal(rn_cpu_open_at(&opts, RN_ISA_AMX, &be), 0);
    assert_int_equal(rn_cpu_backend_isa(be), RN_ISA_AMX);
    rn_backend_close(be);
}

/* What was overwritten is there again: the signal's own action is taken. */
static void stopping(void **state)
{
    int status = 0;

    (void)state;
    if (!need_amx())
        skip();
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const tile_config config = config_of((shape){16, 16, 16});
        tile_config seen;
        operands o = {0};
        signal(SIGILL, SIG_DFL);
        amx_emulate_start();
        multiply(&config, o.c, o.a, o.b, &seen);
        amx_emulate_stop();
        multiply(&config, o.c, o.a, o.b, &seen);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGILL);
}

static void counting(void **state)
{
    const shape s = {7, 16, 16};
    tile_config config = config_of(s), seen;
    operands o = {0};

    (void)state;
    if (!need_amx())
        skip();
    amx_emulate_reset();
    multiply(&config, o.c, o.a, o.b, &seen);
    multiply(&config, o.c, o.a, o.b, &seen);
    const amx_counts c = amx_emulate_counts();
    assert_int_equal(c.tdp, 2);
    assert_int_equal(c.tdp_rows, 14);
    assert_int_equal(c.load, 6);
    assert_int_equal(c.store, 2);
    assert_int_equal(c.config, 2);
    assert_int_equal(c.l2, 0);
    assert_int_equal(c.l1 + c.l3, 2 * (7 + 7 + 16) + c.split); /* cold once, then in the first cache */
    const amx_model m = amx_model_of(&c);
    assert_true(fabs(m.multiply - 2 * 0.58 * 16) < 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_of_every_shape),
        cmocka_unit_test(rounding_and_subnormals),
        cmocka_unit_test(tiles_move),
        cmocka_unit_test(faults),
        cmocka_unit_test(counting),
        cmocka_unit_test(tiles_that_do_not_multiply),
        cmocka_unit_test(stopping),
    };
    const rn_isa best = rn_isa_best();
    printf("# AMX instructions: %s\n", best == RN_ISA_AMX ? "this CPU's own"
                                       : best == RN_ISA_AVX512_BF16
                                           ? "emulated"
                                           : "not there, nor what is emulated with: AVX512_BF16");
    return cmocka_run_group_tests_name("test_amx", tests, NULL, NULL);
}

#else

int main(void)
{
    printf("1..0 # SKIP not an x86-64 CPU\n");
    return 0;
}

#endif
