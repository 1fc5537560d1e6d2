/* SPDX-License-Identifier: MIT */
/* What a figure depends on beside the code: carried by every result, so that none is ever without it. */
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/rn_cpu.h"
#include "base/rn_io.h"
#include "base/rn_opt.h"
#include "bench.h"
#include "kernels/cpu/cpu_backend.h"
#ifdef RN_WITH_ONEDNN
#include "kernels/onednn/onednn_conv.h"
#endif

#define STR_(x) #x
#define STR(x)  STR_(x)
#ifdef __clang__
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif
#ifndef RN_BUILD_FLAGS
#define RN_BUILD_FLAGS "unknown"
#endif

static void put_text(json_t *o, const char *key, const char *text)
{
    json_object_set_new(o, key, json_string(text));
}

/* The first line of a small file; false when there is none, as in a virtual machine without a governor. */
static bool put_file(json_t *o, const char *key, const char *path)
{
    char *text = NULL;
    size_t n;

    if (rn_read_text(path, 4096, &text, &n) < 0)
        return false;
    text[strcspn(text, "\n")] = 0;
    put_text(o, key, text);
    free(text);
    return true;
}

static void put_model(json_t *o)
{
    char line[512], *colon;
    FILE *f = fopen("/proc/cpuinfo", "r");

    while (f && fgets(line, sizeof line, f)) {
        if (strncmp(line, "model name", 10) != 0 || !(colon = strchr(line, ':')))
            continue;
        line[strcspn(line, "\n")] = 0;
        put_text(o, "cpu", colon + 1 + (colon[1] == ' '));
        break;
    }
    if (f)
        fclose(f);
}

/* A multiplication of integers waits three cycles for the one before, on every x86-64 of the last fifteen years: a chain of them
 * counts cycles. The best of short windows, as the clock a core runs at when it is not disturbed. */
static double clock_ghz(void)
{
#if defined(__x86_64__)
    double best = 0;
    uint64_t v = 3;

    for (int i = 0; i < 50; i++) {
        double t = rn_now();
        for (int k = 0; k < 4000; k++)
            __asm__ volatile("imul %0, %0\n\timul %0, %0\n\timul %0, %0\n\timul %0, %0\n\t"
                             "imul %0, %0\n\timul %0, %0\n\timul %0, %0\n\timul %0, %0"
                             : "+r"(v));
        t = rn_now() - t;
        double ghz = 3.0 * 8 * 4000 / t * 1e-9;
        best = ghz > best ? ghz : best;
    }
    return best;
#else
    return 0;
#endif
}

static void put_caches(json_t *o)
{
    static const char *const keys[] = {"l1d_bytes", "l2_bytes", "l3_bytes"};
    int sharers;

    for (int level = 1; level <= 3; level++) {
        size_t n = bench_cache_bytes(level, &sharers);
        if (n)
            json_object_set_new(o, keys[level - 1], json_integer((json_int_t)n));
    }
}

static void put_software(json_t *o)
{
    struct utsname u;

    if (uname(&u) == 0) {
        char text[sizeof u.sysname + sizeof u.release + 2];
        snprintf(text, sizeof text, "%s %s", u.sysname, u.release);
        put_text(o, "kernel", text);
    }
    put_text(o, "rnkit", RN_VERSION);
    put_text(o, "compiler", COMPILER);
    put_text(o, "flags", RN_BUILD_FLAGS);
#ifdef RN_WITH_ONEDNN
    char version[32];
    rn_onednn_version(version, sizeof version);
    put_text(o, "onednn", version);
#endif
    static const char *const vars[] = {"OMP_PROC_BIND", "OMP_PLACES", "OMP_WAIT_POLICY", "GOMP_CPU_AFFINITY"};
    for (size_t i = 0; i < sizeof vars / sizeof *vars; i++) {
        if (getenv(vars[i]))
            put_text(o, vars[i], getenv(vars[i]));
    }
}

json_t *bench_machine(const rn_backend *be)
{
    json_t *o = json_object();
    const char *cpu0 = "/sys/devices/system/cpu/cpu0/cpufreq/";
    char path[96];

    if (!o)
        return NULL;
    put_model(o);
    json_object_set_new(o, "cores", json_integer(sysconf(_SC_NPROCESSORS_ONLN)));
    json_object_set_new(o, "cores_allowed", json_integer(rn_jobs(0)));
    if (strcmp(be->device, "cpu") == 0)
        put_text(o, "isa", rn_isa_names[rn_cpu_backend_isa(be)]);
    else
        put_text(o, "gpu", be->describe);
    if (be->emulated)
        put_text(o, "emulated", "yes: times are the host's, and say nothing of a device");
    put_caches(o);
    if (clock_ghz() > 0)
        json_object_set_new(o, "clock_ghz_measured", json_real(clock_ghz()));
    snprintf(path, sizeof path, "%sscaling_governor", cpu0);
    if (!put_file(o, "governor", path))
        put_text(o, "governor", "not readable");
    snprintf(path, sizeof path, "%sscaling_max_freq", cpu0);
    (void)put_file(o, "clock_khz_max", path);
    if (!put_file(o, "boost", "/sys/devices/system/cpu/cpufreq/boost"))
        (void)put_file(o, "no_turbo", "/sys/devices/system/cpu/intel_pstate/no_turbo");
    put_software(o);
    return o;
}
