/* SPDX-License-Identifier: MIT */
#include "kernels/cpu/cpu_backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/rn_cpu_amx.h"
#include "base/rn_error.h"
#include "base/rn_log.h"
#include "base/rn_opt.h"
#include "kernels/cpu/cpu_amx.h"
#include "kernels/cpu/cpu_conv.h"
#include "kernels/cpu/cpu_direct.h"
#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/cpu_point.h"
#include "kernels/cpu/cpu_strip.h"
#include "kernels/cpu/cpu_wino.h"
#include "kernels/ref/ref_conv.h"
#ifdef RN_WITH_ONEDNN
#include "kernels/onednn/onednn_conv.h"
#endif

typedef struct cpu_backend {
    rn_backend be;
    rn_isa isa;
    bool capped, pairs;
    void *scratch;
    size_t scratch_bytes;
    size_t past;
} cpu_backend;

/* clang-format off */
static const rn_conv_algo *const algos[] = {
#if defined(__x86_64__)
    &rn_cpu_amx,
#endif
    &rn_cpu_winograd_pairs,
    &rn_cpu_winograd_2x2_pairs,
    &rn_cpu_winograd,
    &rn_cpu_winograd_2x2,
    &rn_cpu_direct_pairs,
    &rn_cpu_direct,
    &rn_cpu_point,
    &rn_cpu_strip,
    &rn_cpu_im2col,
#ifdef RN_WITH_ONEDNN
    &rn_onednn_auto,
    &rn_onednn_blocked,
    &rn_onednn_winograd,
#endif
    &rn_ref_conv,
    NULL,
};
/* clang-format on */

rn_isa rn_cpu_backend_isa(const rn_backend *be)
{
    return ((const cpu_backend *)be->priv)->isa;
}

bool rn_cpu_backend_capped(const rn_backend *be)
{
    return ((const cpu_backend *)be->priv)->capped;
}

bool rn_cpu_backend_pairs(const rn_backend *be)
{
    return ((const cpu_backend *)be->priv)->pairs;
}

void rn_cpu_backend_set_pairs(rn_backend *be, bool pairs)
{
    ((cpu_backend *)be->priv)->pairs = pairs;
}

size_t rn_cpu_backend_past(const rn_backend *be)
{
    return ((const cpu_backend *)be->priv)->past;
}

void rn_cpu_backend_set_past(rn_backend *be, size_t bytes)
{
    ((cpu_backend *)be->priv)->past = bytes;
}

/* ---- memory: everything is synchronous, streams are ignored ------------------------------------------------------ */

static void *aligned(size_t to, size_t bytes)
{
    return aligned_alloc(to, (bytes + to - 1) & ~(to - 1));
}

/* An arena is walked through from end to end many times a step: in pages of 4 KiB that is a TLB miss every 64 lines. */
static int cpu_alloc(rn_backend *be, size_t bytes, void **out)
{
    enum { HUGE_PAGE = 2 << 20 };
    (void)be;
    *out = bytes < 4 * (size_t)HUGE_PAGE ? aligned(64, bytes ? bytes : 1) : aligned(HUGE_PAGE, bytes);
    if (!*out)
        return rn_fail(RN_E_NOMEM, "cpu: %zu bytes: out of memory", bytes);
#ifdef MADV_HUGEPAGE
    if (bytes >= 4 * (size_t)HUGE_PAGE)
        (void)madvise(*out, bytes, MADV_HUGEPAGE); /* as good without */
#endif
    return 0;
}

static void cpu_free(rn_backend *be, void *p)
{
    (void)be;
    free(p);
}

static int cpu_copy(rn_backend *be, void *dst, const void *src, size_t bytes, enum rn_copy_kind kind, rn_stream s)
{
    (void)be;
    (void)kind;
    (void)s;
    memcpy(dst, src, bytes);
    return 0;
}

static int cpu_memset(rn_backend *be, void *dst, int byte, size_t bytes, rn_stream s)
{
    (void)be;
    (void)s;
    memset(dst, byte, bytes);
    return 0;
}

void *rn_cpu_backend_scratch(rn_backend *be, size_t bytes)
{
    cpu_backend *c = be->priv;
    if (c->scratch_bytes < bytes) {
        free(c->scratch); /* its contents are nobody's */
        c->scratch_bytes = (bytes + 4095) & ~(size_t)4095;
        c->scratch = aligned_alloc(64, c->scratch_bytes);
        if (!c->scratch)
            c->scratch_bytes = 0;
    }
    return c->scratch;
}

static void cpu_close(rn_backend *be)
{
    cpu_backend *c = be->priv;
    free(c->scratch);
    free(c);
}

/* ---- open --------------------------------------------------------------------------------------------------------- */

static void cpu_model(char *out, size_t cap)
{
    FILE *f = fopen("/proc/cpuinfo", "r");
    char line[256];

    snprintf(out, cap, "CPU");
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon && colon[1] == ' ') {
            colon[strcspn(colon, "\n")] = 0;
            snprintf(out, cap, "%s", colon + 2);
            break;
        }
    }
    if (f)
        fclose(f);
}

static bool measure_pairs(rn_isa isa)
{
#if defined(__x86_64__)
    return isa >= RN_ISA_AVX512_BF16 && rn_cpu_pairs_rate() > 1;
#else
    (void)isa;
    return false;
#endif
}

/* What AMX turns out to be worth: if its tiles do not multiply as they should, the level below. */
static rn_isa proven(rn_isa isa)
{
#if defined(__x86_64__)
    if (isa == RN_ISA_AMX && !rn_amx_works()) {
        rn_warn(
            "cpu: AMX is left alone: the tiles of this CPU, or of what emulates them, do not multiply as they should");
        return RN_ISA_AVX512_BF16;
    }
#endif
    return isa;
}

/* As the C library reads it from the CPU. */
static size_t last_cache(void)
{
    enum { WHERE_UNKNOWN = 32 << 20 };
    long bytes = -1;
#ifdef _SC_LEVEL3_CACHE_SIZE
    bytes = sysconf(_SC_LEVEL3_CACHE_SIZE);
#endif
    return bytes > 0 ? (size_t)bytes : WHERE_UNKNOWN;
}

int rn_cpu_open(const rn_backend_opts *opts, rn_backend **out)
{
    rn_isa isa = RN_ISA_PORTABLE;

    *out = NULL;
    RN_TRY(rn_isa_pick(opts->isa, &isa));
    return rn_cpu_open_at(opts, isa, out);
}

int rn_cpu_open_at(const rn_backend_opts *opts, rn_isa isa, rn_backend **out)
{
    char model[128], dnnl[32] = "";

    *out = NULL;
    cpu_backend *c = calloc(1, sizeof *c);
    if (!c)
        return rn_fail(RN_E_NOMEM, "cpu: out of memory");
    c->isa = isa = proven(isa);
    c->capped = isa < rn_isa_best();
    c->pairs = measure_pairs(isa);
    c->past = last_cache();
    c->be = (rn_backend){.device = "cpu",
                         .threads = rn_jobs(opts->threads),
                         .workspace_limit = opts->workspace_limit,
                         .alloc = cpu_alloc,
                         .free = cpu_free,
                         .copy = cpu_copy,
                         .memset = cpu_memset,
                         .ops = &rn_cpu_ops,
                         .conv_algos = algos,
                         .close = cpu_close,
                         .priv = c};
#ifdef RN_WITH_ONEDNN
    rn_onednn_version(dnnl, sizeof dnnl);
#endif
    cpu_model(model, sizeof model);
    const char *no_amx = isa == RN_ISA_AVX512_BF16 && !c->capped ? rn_isa_no_amx() : NULL;
    snprintf(c->be.describe, sizeof c->be.describe, "%s, %s%s%s%s%s%s", model, rn_isa_names[isa],
             isa < RN_ISA_AVX512_BF16 ? ""
             : c->pairs               ? " (bf16 in pairs)"
                                      : " (bf16 widened to f32, which is faster than in pairs)",
             no_amx ? ", without AMX: " : "", no_amx ? no_amx : "", *dnnl ? ", oneDNN " : "", dnnl);
    *out = &c->be;
    return 0;
}
