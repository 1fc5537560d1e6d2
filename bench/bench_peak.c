/* SPDX-License-Identifier: MIT */
/* The machine's ceilings, measured: what its multiply-add units do with everything in registers (here), and what its caches
 * and memory give (bench_caches.c). The best of many short windows: a ceiling must not be lowered by a neighbour. */
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_log.h"
#include "bench.h"
#include "bench_peak.h"
#include "kernels/cpu/cpu_backend.h"

#define OF(type) (1u << (type))

/* A unit's later rows need more of the CPU: the last one that it has counts. A new unit is a row, its loop a file. */
static const struct unit {
    const char *name;
    rn_isa isa;      /* at least */
    unsigned dtypes; /* whose values it multiplies: 16 bits may be widened to f32 first */
    double (*fma)(long, float *);
} units[] = {
    {"f32_fma", RN_ISA_PORTABLE, OF(RN_F32) | OF(RN_BF16) | OF(RN_F16), bench_fma_portable},
#if defined(__x86_64__)
    {"f32_fma", RN_ISA_AVX2, OF(RN_F32) | OF(RN_BF16) | OF(RN_F16), bench_fma_avx2},
    {"f32_fma", RN_ISA_AVX512, OF(RN_F32) | OF(RN_BF16) | OF(RN_F16), bench_fma_avx512},
    {"bf16_pairs", RN_ISA_AVX512_BF16, OF(RN_BF16), bench_fma_avx512bf16},
    {"bf16_amx", RN_ISA_AMX, OF(RN_BF16), bench_fma_amx},
#endif
};

enum { NUNITS = sizeof units / sizeof *units };

/* Of one thread; shares no line with another's. */
typedef struct probe {
    _Alignas(128) long iterations;
    double (*fma)(long, float *);
    double flop; /* of the last window */
    float sink;
} probe;

static void multiply(void *arg, int thread)
{
    probe *p = (probe *)arg + thread;

    p->flop = p->fma(p->iterations, &p->sink);
}

/* Windows in which all threads run, and never the sum of what each did at its best: two of them may share a core. */
static double unit_gflops(const struct unit *u, int threads, double seconds)
{
    const int n = bench_at_once(threads);
    const double end = rn_now() + seconds;
    probe *p = aligned_alloc(_Alignof(probe), (size_t)n * sizeof *p);
    double best = 0, t;

    if (!p)
        return 0;
    for (int i = 0; i < n; i++)
        p[i] = (probe){.fma = u->fma, .iterations = 1000};
    do {
        double flop = 0;
        t = bench_window(n, multiply, p);
        for (int i = 0; t > 0 && i < n; i++) {
            flop += p[i].flop;
            p[i].iterations *= t < BENCH_WINDOW_S / 2 ? 2 : 1;
        }
        if (t >= BENCH_WINDOW_S / 2 && flop / t > best)
            best = flop / t;
    } while (rn_now() < end || (best == 0 && t > 0));
    free(p);
    return best * 1e-9;
}

static bool counts(const rn_backend *be, int u)
{
    const rn_isa isa = rn_cpu_backend_isa(be);

    return units[u].isa <= isa &&
           (u + 1 == NUNITS || strcmp(units[u].name, units[u + 1].name) != 0 || units[u + 1].isa > isa);
}

int bench_units(const rn_backend *be, const char *names[BENCH_MAX_UNITS])
{
    int n = 0;

    for (const rn_probe *p = be->probes; p && p->name && n < BENCH_MAX_UNITS; p++) {
        if (p->kind == RN_PROBE_FLOP)
            names[n++] = p->name;
    }
    for (int u = 0; strcmp(be->device, "cpu") == 0 && u < NUNITS; u++) {
        if (counts(be, u))
            names[n++] = units[u].name;
    }
    return n;
}

static int probe_gflops(rn_backend *be, const rn_probe *p, double seconds, double *out)
{
    RN_TRY(bench_probe_best(be, p, seconds, out));
    *out *= 1e-9;
    return 0;
}

int bench_unit_gflops(rn_backend *be, const char *name, int threads, double seconds, double *out)
{
    const rn_probe *p = bench_probe_named(be, name);

    *out = 0;
    if (p)
        return probe_gflops(be, p, seconds, out);
    for (int u = 0; u < NUNITS; u++) {
        if (counts(be, u) && strcmp(units[u].name, name) == 0)
            *out = unit_gflops(&units[u], threads, seconds);
    }
    return 0;
}

int bench_peak_gflops(rn_backend *be, rn_dtype dtype, double seconds, double *out)
{
    *out = 0;
    for (int u = 0; strcmp(be->device, "cpu") == 0 && u < NUNITS; u++) {
        if (!counts(be, u) || !(units[u].dtypes & OF(dtype)))
            continue;
        double g = unit_gflops(&units[u], be->threads, seconds);
        *out = g > *out ? g : *out;
    }
    for (const rn_probe *p = be->probes; p && p->name; p++) {
        double g = 0;
        int rc = p->dtypes & OF(dtype) ? probe_gflops(be, p, seconds, &g) : 0;
        if (rc == RN_E_MISMATCH) /* no ceiling, but no reason not to time what it would be for */
            rn_warn("%s; left out", rn_error_text());
        else if (rc < 0 && rc != RN_E_UNSUPPORTED)
            return rc;
        *out = g > *out ? g : *out;
    }
    return 0;
}

/* What a level holds of a case's tensors. */
static size_t level_holds(const rn_backend *be, int level)
{
    if (!be->probes || level == BENCH_LEVELS - 1)
        return bench_level_bytes(level, bench_at_once(be->threads));
    return strcmp(bench_level_names[level], "L2") == 0 ? be->cache_bytes : 0;
}

int bench_ceilings_measure(rn_backend *be, unsigned dtypes, double seconds, bench_ceilings *out)
{
    *out = (bench_ceilings){0};
    for (rn_dtype t = RN_F32; t <= RN_F16; t++) {
        if (dtypes & OF(t))
            RN_TRY(bench_peak_gflops(be, t, seconds, &out->gflops[t]));
    }
    for (int level = 0; level < BENCH_LEVELS; level++) {
        double read, copy;
        RN_TRY(bench_level_gb_s(be, level, false, be->threads, seconds, &read));
        RN_TRY(bench_level_gb_s(be, level, true, be->threads, seconds, &copy));
        out->gb_s[level] = read > copy ? read : copy;
        out->bytes[level] = level_holds(be, level);
    }
    return 0;
}

double bench_roofline(const bench_ceilings *c, rn_dtype dtype, double flop, double bytes, bool cold, const char **bound)
{
    int level = cold ? BENCH_LEVELS - 1 : 0;

    while (level < BENCH_LEVELS - 1 && (c->gb_s[level] <= 0 || bytes > (double)c->bytes[level]))
        level++;
    const double most = c->gflops[dtype], memory = c->gb_s[level] * flop / bytes;
    if (most <= 0 || memory <= 0) {
        *bound = "unknown";
        return 0;
    }
    *bound = memory < most ? bench_level_names[level] : "compute";
    return memory < most ? memory : most;
}
