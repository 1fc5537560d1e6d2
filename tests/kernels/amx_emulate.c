/* SPDX-License-Identifier: MIT */
#include "amx_emulate.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "amx_sites.h"
#include "base/rn_cpu.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define TILES 8
#define ROWS  16
#define BYTES 64 /* of a row */

typedef struct tile {
    _Alignas(64) uint8_t row[ROWS][BYTES];
} tile;

/* Least recently used, by set: way 0 was touched last. */
#define L1_SETS 64 /* x 12 ways x 64 bytes: 48 KB */
#define L1_WAYS 12
#define L2_SETS 2048 /* x 16 x 64: 2 MB */
#define L2_WAYS 16

/* What a thread's tile registers hold. */
static _Thread_local struct {
    bool configured;
    uint8_t config[64]; /* as ldtilecfg read it */
    tile t[TILES];
    uintptr_t l1[L1_SETS][L1_WAYS], l2[L2_SETS][L2_WAYS];
} cpu;

static amx_counts counts; /* by atomic additions */
static bool watching;     /* the caches, too: since amx_emulate_reset */

#define COUNT(what, n) __atomic_fetch_add(&counts.what, (uint64_t)(n), __ATOMIC_RELAXED)

/* ---- what the CPU refuses ----------------------------------------------------------------------------------------- */

static _Noreturn void refuse(const char *why)
{
    static const char before[] = "AMX emulation: the CPU would fault: ";
    ssize_t n = write(STDERR_FILENO, before, sizeof before - 1);
    n += write(STDERR_FILENO, why, strlen(why));
    n += write(STDERR_FILENO, "\n", 1);
    _exit(n > 0 ? 1 : 2);
}

static int colsb(int t)
{
    return cpu.config[16 + 2 * t] | cpu.config[17 + 2 * t] << 8;
}

static int rows(int t)
{
    return cpu.config[48 + t];
}

static void need_shape(int t)
{
    if (!cpu.configured)
        refuse("a tile instruction before ldtilecfg");
    if (t >= TILES || rows(t) == 0)
        refuse("a tile without a shape");
}

/* ---- caches --------------------------------------------------------------------------------------------------------- */

static bool touch(uintptr_t *set, int ways, uintptr_t line)
{
    int i = 0;

    while (i < ways - 1 && set[i] != line)
        i++;
    const bool hit = set[i] == line;
    memmove(set + 1, set, (size_t)i * sizeof *set);
    set[0] = line;
    return hit;
}

static void touch_line(uintptr_t line, bool read)
{
    const bool one = touch(cpu.l1[line % L1_SETS], L1_WAYS, line);
    const bool two = one || touch(cpu.l2[line % L2_SETS], L2_WAYS, line);

    if (!read)
        return;
    if (one)
        COUNT(l1, 1);
    else if (two)
        COUNT(l2, 1);
    else
        COUNT(l3, 1);
}

static void touch_row(const uint8_t *p, int n, bool read)
{
    if (!watching)
        return;
    const uintptr_t first = (uintptr_t)p / BYTES, last = ((uintptr_t)p + (uintptr_t)n - 1) / BYTES;

    touch_line(first, read);
    if (last != first) {
        touch_line(last, read);
        if (read)
            COUNT(split, 1);
    }
}

/* ---- the instructions ----------------------------------------------------------------------------------------------- */

static void release(void)
{
    cpu.configured = false;
    memset(cpu.config, 0, sizeof cpu.config);
    memset(cpu.t, 0, sizeof cpu.t);
}

static void ldtilecfg(const uint8_t *m)
{
    uint8_t c[64];

    memcpy(c, m, sizeof c);
    COUNT(config, 1);
    release();
    if (c[0] == 0)
        return;
    if (c[0] != 1)
        refuse("ldtilecfg: a palette other than 1");
    for (int i = 2; i < 64; i++) {
        if ((i < 16 || (i >= 32 && i < 48) || i >= 56) && c[i] != 0)
            refuse("ldtilecfg: a reserved byte is not 0");
    }
    memcpy(cpu.config, c, sizeof c);
    for (int t = 0; t < TILES; t++) {
        if (rows(t) > ROWS || colsb(t) > BYTES || (rows(t) == 0) != (colsb(t) == 0))
            refuse("ldtilecfg: rows beyond 16, bytes beyond 64, or only one of them 0");
    }
    cpu.configured = true;
}

static void tileload(int t, const uint8_t *p, int64_t stride)
{
    need_shape(t);
    COUNT(load, 1);
    memset(&cpu.t[t], 0, sizeof cpu.t[t]);
    for (int i = 0; i < rows(t); i++) {
        memcpy(cpu.t[t].row[i], p + i * stride, (size_t)colsb(t));
        touch_row(p + i * stride, colsb(t), true);
    }
}

static void tilestore(int t, uint8_t *p, int64_t stride)
{
    need_shape(t);
    COUNT(store, 1);
    for (int i = 0; i < rows(t); i++) {
        memcpy(p + i * stride, cpu.t[t].row[i], (size_t)colsb(t));
        touch_row(p + i * stride, colsb(t), false);
    }
}

/*
 * Even and odd terms are summed apart, each by a fused multiply-add, then added to each other and that to the tile: all
 * with subnormal inputs taken as 0, subnormal results made 0, rounded to nearest even, whatever MXCSR says.
 */
__attribute__((target("avx512f,avx512bw"))) static void products(tile *c, const tile *a, const tile *b, int m, int k)
{
    const unsigned was = _mm_getcsr();

    _mm_setcsr(0x9fc0); /* all exceptions masked, to nearest, FTZ, DAZ */
    for (int i = 0; i < m; i++) {
        const uint16_t *x = (const uint16_t *)a->row[i];
        __m512 even = _mm512_setzero_ps(), odd = even;
        for (int j = 0; j < k; j++) {
            const __m512i pair = _mm512_load_si512(b->row[j]);
            const __m512 y0 = _mm512_castsi512_ps(_mm512_slli_epi32(pair, 16));
            const __m512 y1 = _mm512_castsi512_ps(_mm512_and_si512(pair, _mm512_set1_epi32((int)0xffff0000)));
            const __m512 x0 = _mm512_castsi512_ps(_mm512_set1_epi32((int)((uint32_t)x[2 * j] << 16)));
            const __m512 x1 = _mm512_castsi512_ps(_mm512_set1_epi32((int)((uint32_t)x[2 * j + 1] << 16)));
            even = _mm512_fmadd_ps(x0, y0, even);
            odd = _mm512_fmadd_ps(x1, y1, odd);
        }
        const __m512 old = _mm512_load_ps((const float *)c->row[i]);
        _mm512_store_ps((float *)c->row[i], _mm512_add_ps(old, _mm512_add_ps(even, odd)));
    }
    _mm_setcsr(was);
}

static void tdpbf16ps(int c, int a, int b)
{
    need_shape(c);
    need_shape(a);
    need_shape(b);
    if (c == a || c == b || a == b)
        refuse("tdpbf16ps: the same tile twice");
    if (colsb(c) % 4 || colsb(a) % 4 || colsb(b) % 4 || rows(a) != rows(c) || colsb(a) != 4 * rows(b) ||
        colsb(b) != colsb(c))
        refuse("tdpbf16ps: shapes that do not match");
    COUNT(tdp, 1);
    COUNT(tdp_rows, rows(c));
    products(&cpu.t[c], &cpu.t[a], &cpu.t[b], rows(c), rows(b));
    /* columns beyond the shape: products of zeros, and the sum's own zeros */
}

/* ---- which it is ---------------------------------------------------------------------------------------------------- */

static uint64_t value(const uint64_t *gpr, int reg)
{
    return reg < 0 ? 0 : gpr[reg];
}

/* op, pp and kind of operand say it; false: none of ours. */
static bool execute(const amx_insn *d, const uint64_t *gpr)
{
    uint8_t *address =
        (uint8_t *)(uintptr_t)(value(gpr, d->base) + (uint64_t)d->disp); /* less an index: that is the stride */
    const int64_t stride = (int64_t)(value(gpr, d->index) << d->scale);

    if (d->op == 0x49 && d->memory && (d->reg & 7) == 0 && d->pp < 2) {
        if (d->pp == 0)
            ldtilecfg(address + stride);
        else
            memcpy(address + stride, cpu.config, sizeof cpu.config);
    } else if (d->op == 0x49 && !d->memory && d->pp == 0 && d->reg == 0 && d->rm == 0) {
        release();
    } else if (d->op == 0x49 && !d->memory && d->pp == 3 && d->rm == 0) {
        need_shape(d->reg);
        COUNT(zero, 1);
        memset(&cpu.t[d->reg], 0, sizeof cpu.t[0]);
    } else if (d->op == 0x4b && d->sib && (d->pp == 3 || d->pp == 1)) {
        tileload(d->reg, address, stride);
    } else if (d->op == 0x4b && d->sib && d->pp == 2) {
        tilestore(d->reg, address, stride);
    } else if (d->op == 0x5c && !d->memory && d->pp == 2) {
        tdpbf16ps(d->reg, d->rm, d->vvvv);
    } else {
        return false;
    }
    return true;
}

void amx_execute(const amx_insn *insn, const uint64_t *gpr)
{
    if (!execute(insn, gpr))
        refuse("an instruction of AMX that is not known here");
}

bool amx_emulate_start(void)
{
    return rn_isa_best() == RN_ISA_AVX512_BF16 && amx_sites_start();
}

void amx_emulate_stop(void)
{
    amx_sites_stop();
}

bool amx_emulate_skip(bool skip)
{
    return amx_sites_skip(skip);
}

void amx_emulate_reset(void)
{
    watching = true;
    memset(&counts, 0, sizeof counts);
    memset(cpu.l1, 0, sizeof cpu.l1);
    memset(cpu.l2, 0, sizeof cpu.l2);
}

amx_counts amx_emulate_counts(void)
{
    return counts;
}

#else

bool amx_emulate_start(void)
{
    return false;
}

void amx_emulate_stop(void) {}

bool amx_emulate_skip(bool skip)
{
    (void)skip;
    return false;
}

void amx_emulate_reset(void) {}

amx_counts amx_emulate_counts(void)
{
    return (amx_counts){0};
}

#endif

amx_model amx_model_of(const amx_counts *c)
{
    const double least = 0.58 * 16, rows = c->tdp ? (double)c->tdp_rows / (double)c->tdp : 0;
    amx_model m = {.multiply = (double)c->tdp * (rows > least ? rows : least),
                   .ports = 8.6 * ((double)c->load + (double)c->split / 16) + 18 * (double)c->store,
                   .caches = 1.1 * (double)c->l2 + 5.3 * (double)c->l3};

    m.cycles = m.multiply > m.ports ? m.multiply : m.ports;
    m.cycles = m.cycles > m.caches ? m.cycles : m.caches;
    return m;
}
