/* SPDX-License-Identifier: MIT */
/* Caches and memory: how large they are, how fast, and how to empty them. */
#include <math.h>
#include <omp.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_log.h"
#include "base/rn_opt.h"
#include "bench_peak.h"
#include "kernels/cpu/cpu_backend.h"

#define PIECE     ((size_t)8 << 20)   /* of a window through memory */
#define LEAST_RAM ((size_t)256 << 20) /* a working set that no cache holds, unless caches are known to be larger */
#define MOST_RAM  ((size_t)2 << 30)
#define GRAIN     ((size_t)1024) /* bench_stream's */

const char *const bench_level_names[BENCH_LEVELS] = {"L1", "L2", "L3", "DRAM"};

/* ---- how large ------------------------------------------------------------------------------------------------------ */

static bool read_line(const char *path, char *line, int cap)
{
    FILE *f = fopen(path, "r");
    bool ok = f && fgets(line, cap, f);

    if (f)
        fclose(f);
    line[ok ? strcspn(line, "\n") : 0] = 0;
    return ok;
}

/* "0-3,8": how many. */
static int count_cpus(const char *list)
{
    int n = 0;

    for (const char *p = list; *p;) {
        char *end;
        long from = strtol(p, &end, 10), to = from;
        if (end == p)
            break;
        if (*end == '-')
            to = strtol(end + 1, &end, 10);
        n += (int)(to - from) + 1;
        p = *end == ',' ? end + 1 : end;
        if (*end != ',')
            break;
    }
    return n > 0 ? n : 1;
}

size_t bench_cache_bytes(int level, int *sharers)
{
    for (int i = 0; i < 8; i++) {
        char path[96], line[256];
        const char *base = "/sys/devices/system/cpu/cpu0/cache/index";
        int64_t k;
        snprintf(path, sizeof path, "%s%d/level", base, i);
        if (!read_line(path, line, sizeof line) || strtol(line, NULL, 10) != level)
            continue;
        snprintf(path, sizeof path, "%s%d/type", base, i);
        if (!read_line(path, line, sizeof line) || strcmp(line, "Instruction") == 0)
            continue;
        snprintf(path, sizeof path, "%s%d/size", base, i);
        if (!read_line(path, line, sizeof line))
            continue;
        line[strcspn(line, "K")] = 0;
        if (rn_parse_i64(line, 1, (int64_t)1 << 32, &k) < 0)
            continue;
        snprintf(path, sizeof path, "%s%d/shared_cpu_list", base, i);
        *sharers = read_line(path, line, sizeof line) ? count_cpus(line) : 1;
        return (size_t)k * 1024;
    }
    static const int names[] = {_SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE};
    long size = sysconf(names[level - 1]);
    *sharers = level == 3 ? rn_jobs(0) : 1;
    return size > 0 ? (size_t)size : 0;
}

size_t bench_level_bytes(int level, int threads)
{
    int sharers;

    if (level == BENCH_LEVELS - 1)
        return SIZE_MAX;
    size_t one = bench_cache_bytes(level + 1, &sharers);
    return one * (size_t)((threads + sharers - 1) / sharers);
}

/* Of all levels, whatever cores the threads run on. */
static size_t all_caches(void)
{
    const int cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
    size_t most = 0;

    for (int level = 0; level < BENCH_LEVELS - 1; level++) {
        size_t n = bench_level_bytes(level, cpus > 0 ? cpus : 1);
        most = n > most ? n : most;
    }
    return most;
}

static size_t beyond_caches(void)
{
    size_t n = 4 * all_caches();

    return n < LEAST_RAM ? LEAST_RAM : n > MOST_RAM ? MOST_RAM : n;
}

/* ---- how fast ------------------------------------------------------------------------------------------------------- */

static const bench_stream *loops(const rn_backend *be)
{
#if defined(__x86_64__)
    if (be && rn_cpu_backend_isa(be) >= RN_ISA_AVX512)
        return &bench_stream_avx512;
    if (be && rn_cpu_backend_isa(be) >= RN_ISA_AVX2)
        return &bench_stream_avx2;
#endif
    (void)be;
    return &bench_stream_portable;
}

/* What one thread goes through: again and again, or in pieces where it is large. Its counters share no line with another's. */
typedef struct walk {
    _Alignas(128) const bench_stream *loop;
    unsigned char *p;
    size_t bytes, piece, at;
    int passes;
    bool copy;
    uint64_t sink;
} walk;

static void walk_on(void *arg, int thread)
{
    walk *w = (walk *)arg + thread;

    for (int i = 0; i < w->passes; i++) {
        if (w->copy)
            w->loop->copy(w->p + w->bytes / 2 + w->at, w->p + w->at, w->piece);
        else
            w->sink |= w->loop->read(w->p + w->at, w->piece);
        w->at = w->at + 2 * w->piece <= w->bytes / (w->copy ? 2 : 1) ? w->at + w->piece : 0;
    }
}

/* OpenMP's barrier may let threads sleep, and wake them one after the other; windows are too short for that. */
static void meet(atomic_int *there, int threads)
{
    atomic_fetch_add(there, 1);
    for (int spins = 0; atomic_load(there) < threads; spins++) {
        if (spins > 10000)
            sched_yield(); /* more threads than cores */
    }
}

double bench_window(int threads, void (*work)(void *arg, int thread), void *arg)
{
    atomic_int there = 0;
    double from = INFINITY, to = 0;
    int team = 0;

#pragma omp parallel num_threads(threads) reduction(min : from) reduction(max : to, team)
    {
        team = omp_get_num_threads();
        if (team == threads) { /* otherwise those that are there would wait for ever */
            meet(&there, threads);
            from = rn_now();
            work(arg, omp_get_thread_num());
            to = rn_now();
        }
    }
    return team == threads ? to - from : 0;
}

static int team_of(int threads)
{
    int team = 1;

#pragma omp parallel num_threads(threads) reduction(max : team)
    team = omp_get_num_threads();
    return team;
}

int bench_at_once(int threads)
{
    const int cores = rn_jobs(0);

    return team_of(threads < cores ? threads : cores);
}

static double best_window(walk *w, int threads, double seconds)
{
    const double end = rn_now() + seconds;
    double best = 0, t;

    do {
        t = bench_window(threads, walk_on, w);
        double bytes = (double)w->piece * w->passes * threads * (w->copy ? 2 : 1);
        if (t < BENCH_WINDOW_S / 2 && w->passes < 1 << 20) {
            for (int i = 0; i < threads; i++)
                w[i].passes *= 2;
        } else if (t > 0 && bytes / t > best) {
            best = bytes / t;
        }
    } while (rn_now() < end || (best == 0 && t > 0));
    return best;
}

/* Bytes for a thread: half of what the level holds for it, but more than the level before does. */
static size_t working_set(int level, int threads)
{
    const size_t all = level == BENCH_LEVELS - 1 ? beyond_caches() : bench_level_bytes(level, threads) / 2;
    const size_t before = level ? bench_level_bytes(level - 1, threads) : 0;
    const size_t own = all / (size_t)threads / (4 * GRAIN) * (4 * GRAIN);

    return all > before ? own : 0;
}

/* 0 for a level that the device has not, or has no probe for. */
static int device_gb_s(rn_backend *be, int level, bool copy, double seconds, double *out)
{
    char name[32];

    snprintf(name, sizeof name, "%s_%s", bench_level_names[level], copy ? "copy" : "read");
    const rn_probe *p = bench_probe_named(be, name);
    const int rc = p ? bench_probe_best(be, p, seconds, out) : 0;
    *out *= 1e-9;
    if (rc == RN_E_MISMATCH)
        rn_warn("%s; left out", rn_error_text());
    return rc == RN_E_UNSUPPORTED || rc == RN_E_MISMATCH ? 0 : rc;
}

int bench_level_gb_s(rn_backend *be, int level, bool copy, int threads, double seconds, double *out)
{
    const bool cpu = strcmp(be->device, "cpu") == 0;
    const size_t bytes = cpu ? working_set(level, threads = bench_at_once(threads)) : 0;
    unsigned char *p = NULL;
    walk *w = NULL;
    int rc = 0;

    *out = 0;
    if (!cpu)
        return device_gb_s(be, level, copy, seconds, out);
    if (bytes == 0 || (double)bytes * threads > bench_memory_available())
        return 0;
    p = aligned_alloc(4096, (bytes * (size_t)threads + 4095) / 4096 * 4096);
    w = aligned_alloc(_Alignof(walk), (size_t)threads * sizeof *w);
    if (!p || !w)
        RN_GO(rn_fail(RN_E_NOMEM, "peak: %zu bytes: out of memory", bytes * (size_t)threads));
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int i = 0; i < threads; i++) {
        const size_t part = copy ? bytes / 2 : bytes;
        w[i] = (walk){loops(be), p + (size_t)i * bytes, bytes, part < PIECE ? part : PIECE, 0, 1, copy, 0};
        memset(w[i].p, 1, bytes); /* its own pages: those never written to are all the same one */
    }
    *out = best_window(w, threads, seconds) * 1e-9;
out:
    free(p);
    free(w);
    return rc;
}

/* ---- empty ---------------------------------------------------------------------------------------------------------- */

static int make_on_device(bench_evict *e)
{
    if (e->be->cache_bytes == 0)
        return rn_fail(RN_E_UNSUPPORTED, "--cache cold: the size of this device's cache is not known");
    e->bytes = (2 * e->be->cache_bytes / RN_PROBE_GRAIN + 1) * RN_PROBE_GRAIN;
    e->read = bench_probe_named(e->be, "DRAM_read");
    RN_TRY(e->be->alloc(e->be, RN_PROBE_OUT, &e->out));
    return e->be->alloc(e->be, e->bytes, (void **)&e->p);
}

int bench_evict_make(rn_backend *be, bench_evict *e)
{
    e->be = be;
    if (strcmp(be->device, "cpu") != 0)
        return make_on_device(e);
    e->bytes = beyond_caches();
    if (bench_memory_refusal((double)e->bytes, bench_memory_available(), " to read between runs") < 0)
        return rn_fail_prefix(RN_E_NOMEM, "--cache cold");
    e->p = aligned_alloc(4096, e->bytes);
    if (!e->p)
        return rn_fail(RN_E_NOMEM, "--cache cold: %zu bytes to read between runs: out of memory", e->bytes);
    memset(e->p, 1, e->bytes);
    return 0;
}

static int run_on_device(const bench_evict *e)
{
    double amount;

    RN_TRY(e->be->memset(e->be, e->p, 0, e->bytes, NULL));
    return e->read ? e->read->run(e->be, 1, e->p, e->bytes, e->out, &amount, NULL) : 0;
}

/* Reading leaves nothing that would have to be written back while the next run is timed. */
int bench_evict_run(const bench_evict *e)
{
    if (e->out)
        return run_on_device(e);
    const int threads = e->be->threads;
    const size_t own = e->bytes / (size_t)threads / GRAIN * GRAIN;
    uint64_t sink = 0;

#pragma omp parallel for num_threads(threads) schedule(static, 1) reduction(| : sink)
    for (int i = 0; i < threads; i++)
        sink |= bench_stream_portable.read(e->p + (size_t)i * own, own);
    if (sink == 0) /* never: all bytes are 1. It keeps the reading. */
        memset(e->p, 1, 1);
    return 0;
}

void bench_evict_free(bench_evict *e)
{
    if (e->out) {
        e->be->free(e->be, e->p);
        e->be->free(e->be, e->out);
    } else {
        free(e->p);
    }
    *e = (bench_evict){0};
}
