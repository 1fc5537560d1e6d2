/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_opt.h"
#include "base/rn_pool.h"
#include "bench.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/rn_kernels.h"

#define MAX_THREADS 256
#define WINDOW_S    200e-6 /* shorter than a scheduler's slice */

typedef struct probe {
    double (*fma)(long, float *);
    double seconds, best; /* FLOP/s */
    float sink;
} probe;

static int probe_task(void *arg, int worker)
{
    probe *p = arg;
    long iterations = 1000;
    double end = rn_now() + p->seconds;

    (void)worker;
    while (rn_now() < end) {
        double t = rn_now(), flops = p->fma(iterations, &p->sink);
        t = rn_now() - t;
        if (t < WINDOW_S / 2)
            iterations *= 2;
        else if (flops / t > p->best)
            p->best = flops / t;
    }
    return 0;
}

bool bench_peak_has_pairs(const rn_backend *be)
{
    return strcmp(be->device, "cpu") == 0 && rn_cpu_backend_isa(be) == RN_ISA_AVX512_BF16;
}

double bench_peak_gflops(rn_backend *be, rn_dtype dtype, double seconds)
{
    static double (*const loops[])(long, float *) = {
        [RN_ISA_PORTABLE] = bench_fma_portable,
#if defined(__x86_64__)
        [RN_ISA_AVX2] = bench_fma_avx2,
        [RN_ISA_AVX512] = bench_fma_avx512,
        [RN_ISA_AVX512_BF16] = bench_fma_avx512,
#endif
    };
    probe probes[MAX_THREADS];
    rn_pool *pool = NULL;
    double total = 0;

    if (strcmp(be->device, "cpu") != 0 || be->threads > MAX_THREADS ||
        rn_pool_open(be->threads, be->threads, &pool) < 0)
        return 0;
    for (int i = 0; i < be->threads; i++) {
        probes[i] = (probe){.fma = loops[rn_cpu_backend_isa(be)], .seconds = seconds};
#if defined(__x86_64__)
        if (dtype == RN_BF16 && bench_peak_has_pairs(be))
            probes[i].fma = bench_fma_avx512bf16;
#endif
        rn_pool_submit(pool, probe_task, &probes[i]);
    }
    rn_pool_wait(pool);
    rn_pool_close(pool);
    for (int i = 0; i < be->threads; i++)
        total += probes[i].best;
    return total * 1e-9;
}

static void print_peak(const rn_backend *be, bool json, double f32, double bf16)
{
    char pairs[64] = "";

    if (bf16 > 0)
        snprintf(pairs, sizeof pairs, json ? "\"bf16_pairs_gflops\": %.1f, " : ", %.1f GFLOP/s in pairs of bf16", bf16);
    if (json)
        printf("{\"peak\": \"f32_fma\", \"threads\": %d, \"gflops\": %.1f, %s\"device\": \"%s\"}\n", be->threads, f32,
               pairs, be->describe);
    else
        printf("%s, %d threads: %.1f GFLOP/s f32 FMA%s\n", be->describe, be->threads, f32, pairs);
}

int bench_peak_main(int argc, char **argv)
{
    const char *isa = NULL;
    int64_t threads = 0;
    const rn_opt opts[] = {
        {RN_OPT_INT, "threads", "N", &threads, "Compute threads; 0: one a core (or --jobs).", NULL, 0, 4096},
        {RN_OPT_TEXT, "isa", "NAME", &isa, "Cap of the instruction set: portable, avx2, avx512, avx512bf16.", NULL, 0,
         0},
    };
    const rn_opt_spec spec = {
        .tool = "rn-bench peak",
        .synopsis = "",
        .summary =
            "Measures the ceilings that convolutions are held against: fused multiply-adds in registers, of f32 and,\n"
            "where the CPU has them, of pairs of bf16.",
        .epilog = "Exit: 0 done, 2 usage, 77 the CPU lacks what --isa asks for.",
        .opts = opts,
        .nopts = sizeof opts / sizeof *opts,
    };
    rn_opt_result res = {0};
    rn_backend *be = NULL;
    int rc = rn_opt_parse(&spec, argc, argv, &res);

    if (rc != 0)
        goto out;
    rn_backend_opts bo = {.threads = (int)(threads ? threads : res.common.jobs), .isa = isa};
    RN_GO(rn_backend_open(rn_backends, "cpu", &bo, &be));
    double f32 = bench_peak_gflops(be, RN_F32, 0.5);
    print_peak(be, res.common.json, f32, bench_peak_has_pairs(be) ? bench_peak_gflops(be, RN_BF16, 0.5) : 0);
out:
    rn_backend_close(be);
    rn_opt_free(&res);
    return rc < 0 ? rc : 0;
}
