/* SPDX-License-Identifier: MIT */
/* rn-bench peak: every ceiling of the machine, with one thread and with all. */
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_opt.h"
#include "bench_nvml.h"
#include "bench_peak.h"
#include "kernels/rn_kernels.h"

#define MOST_SAMPLES 100

typedef struct peak_run {
    rn_backend *be;
    bench_nvml *nvml;
    json_t *machine, *rows;
    double seconds;
    int samples;
    bool json;
} peak_run;

/* A ceiling is the best that was seen; the samples, each the best of its own share of the time, tell how sure that is. */
static int add(peak_run *p, const char *name, const char *unit, int threads, const double *v)
{
    double best = 0, worst = v[0];
    json_t *row = json_pack("{s:s, s:i}", "peak", name, "threads", threads), *samples = json_array();
    char key[32];

    for (int i = 0; i < p->samples; i++) {
        best = v[i] > best ? v[i] : best;
        worst = v[i] < worst ? v[i] : worst;
        if (v[i] > 0)
            json_array_append_new(samples, json_real(v[i]));
    }
    bench_nvml_read(p->nvml, p->machine);
    json_object_set_new(row, unit, best > 0 ? json_real(best) : json_null());
    snprintf(key, sizeof key, "samples_%s", unit);
    json_object_set_new(row, key, samples);
    json_object_set_new(row, "device", json_string(p->be->describe));
    json_object_set_new(row, "machine", json_copy(p->machine));
    if (json_array_append_new(p->rows, row) < 0)
        return rn_fail(RN_E_NOMEM, "peak: out of memory");
    if (!p->json && best > 0)
        printf("%-12s %7d %12.1f %-8s %12.1f\n", name, threads, best, strcmp(unit, "gflops") ? "GB/s" : "GFLOP/s",
               worst);
    else if (!p->json)
        printf("%-12s %7d %12s %-8s %12s\n", name, threads, "-", strcmp(unit, "gflops") ? "GB/s" : "GFLOP/s", "-");
    fflush(stdout);
    return 0;
}

static int units(peak_run *p, int threads)
{
    const char *names[BENCH_MAX_UNITS];
    const int n = bench_units(p->be, names);
    double v[MOST_SAMPLES] = {0};

    for (int u = 0; u < n; u++) {
        int rc = 0;
        for (int i = 0; rc == 0 && i < p->samples; i++)
            rc = bench_unit_gflops(p->be, names[u], threads, p->seconds / p->samples, &v[i]);
        if (rc == 0)
            RN_TRY(add(p, names[u], "gflops", threads, v));
        else if (rc != RN_E_UNSUPPORTED) /* a unit that this device has not */
            return rc;
    }
    return 0;
}

static int levels(peak_run *p, int threads)
{
    double v[MOST_SAMPLES] = {0};

    for (int level = 0; level < BENCH_LEVELS; level++) {
        for (int copy = 0; copy < 2; copy++) {
            char name[32];
            bool known = true;
            for (int i = 0; known && i < p->samples; i++) {
                RN_TRY(bench_level_gb_s(p->be, level, copy, threads, p->seconds / p->samples, &v[i]));
                known = v[i] > 0;
            }
            snprintf(name, sizeof name, "%s_%s", bench_level_names[level], copy ? "copy" : "read");
            if (known || (p->be->emulated && bench_probe_named(p->be, name)))
                RN_TRY(add(p, name, "gb_s", threads, v));
        }
    }
    return 0;
}

static void head(const peak_run *p)
{
    const char *nvml = json_string_value(json_object_get(p->machine, "nvml"));

    printf("# %s", p->be->describe);
    if (strcmp(p->be->device, "cpu") == 0)
        printf("; clock %.2f GHz measured", json_number_value(json_object_get(p->machine, "clock_ghz_measured")));
    printf(". Copies: bytes read and written\n");
    if (nvml)
        printf("# %s\n", nvml);
    if (p->be->emulated)
        printf("# EMULATED: every probe has done its work; how fast says nothing of a device, and is not told\n");
    printf("%-12s %7s %12s %-8s %12s\n", "ceiling", "threads", "best", "", "least of the samples");
}

static int run(peak_run *p)
{
    p->machine = bench_machine(p->be);
    p->rows = json_array();
    if (!p->machine || !p->rows)
        return rn_fail(RN_E_NOMEM, "peak: out of memory");
    p->nvml = bench_nvml_open(p->be);
    bench_nvml_read(p->nvml, p->machine);
    if (!p->json)
        head(p);
    for (int k = 0; k < 2; k++) {
        const int threads = k ? p->be->threads : 1;
        if (k && threads == 1)
            break;
        RN_TRY(units(p, threads));
        RN_TRY(levels(p, threads));
    }
    if (p->json) {
        for (size_t i = 0; i < json_array_size(p->rows); i++) {
            char *line = json_dumps(json_array_get(p->rows, i), JSON_COMPACT | JSON_REAL_PRECISION(6));
            if (!line)
                return rn_fail(RN_E_NOMEM, "peak: out of memory");
            printf("%s%s", i ? ",\n" : "[\n", line);
            free(line);
        }
        puts("\n]");
    }
    return 0;
}

int bench_peak_main(int argc, char **argv)
{
    static const char *const devices[] = {"cpu", "cuda", NULL};
    const char *isa = NULL;
    int device = 0;
    int64_t threads = 0, samples = 5;
    peak_run p = {.seconds = 0.5};
    const rn_opt opts[] = {
        {RN_OPT_ENUM, "device", "NAME", &device, "Device.", devices, 0, 0},
        {RN_OPT_INT, "threads", "N", &threads, "Compute threads; 0: one a core (or --jobs).", NULL, 0, 1024},
        {RN_OPT_TEXT, "isa", "NAME", &isa, "Cap of the instruction set: portable, avx2, avx512, avx512bf16, amx.", NULL,
         0, 0},
        {RN_OPT_REAL, "seconds", "X", &p.seconds, "For each ceiling.", NULL, 0, 3600},
        {RN_OPT_INT, "samples", "N", &samples, "Parts of that time, for each of which the best is kept.", NULL, 1,
         MOST_SAMPLES},
    };
    const rn_opt_spec spec = {
        .tool = "rn-bench peak",
        .synopsis = "",
        .summary =
            "Measures the ceilings that convolutions are held against, with one thread and with all: multiply-adds in "
            "registers, of f32 and whatever else the CPU multiplies, and reading and copying in each level of cache "
            "and in memory. The best of many short windows, as neighbours only ever take away. With --device cuda: "
            "FMA, "
            "tensor cores by mma.sync and wgmma, the second cache and memory, by the device's events; each is seen to "
            "have "
            "done its work before it is timed.",
        .epilog = "Exit: 0 done, 2 usage, 77 no such device, or the CPU lacks what --isa asks for.",
        .opts = opts,
        .nopts = sizeof opts / sizeof *opts,
    };
    rn_opt_result res = {0};
    int rc = rn_opt_parse(&spec, argc, argv, &res);

    if (rc != 0)
        goto out;
    if (device != 0 && (threads || isa))
        RN_GO(rn_fail(RN_E_USAGE, "--%s is of the CPU: leave it out with --device %s", threads ? "threads" : "isa",
                      devices[device]));
    rn_backend_opts bo = {.threads = (int)(threads ? threads : res.common.jobs), .isa = isa};
    RN_GO(rn_backend_open(rn_backends, devices[device], &bo, &p.be));
    p.json = res.common.json;
    p.samples = (int)samples;
    rc = run(&p);
out:
    bench_nvml_close(p.nvml);
    json_decref(p.machine);
    json_decref(p.rows);
    rn_backend_close(p.be);
    rn_opt_free(&res);
    return rc < 0 ? rc : 0;
}
