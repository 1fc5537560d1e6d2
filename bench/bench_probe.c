/* SPDX-License-Identifier: MIT */
/* A device's ceilings, by the probes of its backend (rn_backend.h): each is seen to have done its work before it is timed. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "bench_peak.h"

#define WINDOW_S   2e-3               /* of one timing, at least: a device's clock needs some time to rise */
#define DRAM_CACHE 16                 /* as many caches as DRAM's working set is large */
#define LEAST_DRAM ((size_t)64 << 20) /* where the cache's size is not known */

typedef struct probing {
    rn_backend *be;
    const rn_probe *p;
    void *mem, *out, *host;
    size_t bytes;
    bench_clock clock;
} probing;

const rn_probe *bench_probe_named(const rn_backend *be, const char *name)
{
    for (const rn_probe *p = be->probes; p && p->name; p++) {
        if (strcmp(p->name, name) == 0)
            return p;
    }
    return NULL;
}

static size_t working_set(const rn_backend *be, const rn_probe *p)
{
    size_t n = RN_PROBE_GRAIN;

    if (p->kind != RN_PROBE_FLOP && strncmp(p->name, "DRAM", 4) == 0)
        n = be->cache_bytes ? DRAM_CACHE * be->cache_bytes : LEAST_DRAM;
    else if (p->kind != RN_PROBE_FLOP)
        n = be->cache_bytes / 2;
    return n / (2 * RN_PROBE_GRAIN) * (2 * RN_PROBE_GRAIN);
}

static int run(probing *w, int64_t times, double *amount)
{
    return w->p->run(w->be, times, w->mem, w->bytes, w->out, amount, NULL);
}

/* ---- was it done? --------------------------------------------------------------------------------------------------- */

static int fetch(probing *w, const void *from, size_t bytes)
{
    RN_TRY(w->be->copy(w->be, w->host, from, bytes, RN_COPY_D2H, NULL));
    return w->be->sync ? w->be->sync(w->be, NULL) : 0;
}

static int wrong(const probing *w, double got, double want)
{
    return rn_fail(RN_E_MISMATCH, "peak: %s computes %.9g, not %.9g: its speed would say nothing", w->p->name, got,
                   want);
}

static int result_of(probing *w, int64_t times, float *result)
{
    double amount;

    RN_TRY(w->be->memset(w->be, w->out, 0, RN_PROBE_OUT, NULL));
    RN_TRY(run(w, times, &amount));
    RN_TRY(fetch(w, w->out, sizeof *result));
    memcpy(result, w->host, sizeof *result);
    return 0;
}

static int verify_flop(probing *w)
{
    float once, thrice;

    RN_TRY(result_of(w, 1, &once));
    if (fabsf(once) <= 0) /* code for another device than this one */
        return rn_fail(RN_E_UNSUPPORTED, "peak: %s: nothing for this device in this build", w->p->name);
    RN_TRY(result_of(w, 3, &thrice));
    return once > 0 && fabsf(thrice - 3 * once) <= 0 ? 0 : wrong(w, (double)thrice, 3 * (double)once);
}

static int verify_read(probing *w)
{
    const uint32_t want = (uint32_t)(w->bytes / 4 * 3) * 0x01010101u;
    uint32_t sum = 0;
    double amount;

    RN_TRY(w->be->memset(w->be, w->out, 0, RN_PROBE_OUT, NULL));
    RN_TRY(w->be->memset(w->be, w->mem, 1, w->bytes, NULL));
    RN_TRY(run(w, 3, &amount));
    RN_TRY(fetch(w, w->out, RN_PROBE_OUT));
    for (size_t i = 0; i < RN_PROBE_OUT / 4; i++)
        sum += ((const uint32_t *)w->host)[i];
    return sum == want ? 0 : wrong(w, sum, want);
}

/* The last piece is where a mistake in how much there is would show. */
static int verify_copy(probing *w)
{
    const size_t half = w->bytes / 2;
    double amount;

    RN_TRY(w->be->memset(w->be, w->mem, 0, w->bytes, NULL));
    RN_TRY(w->be->memset(w->be, w->mem, 1, half, NULL));
    RN_TRY(run(w, 1, &amount));
    RN_TRY(fetch(w, (char *)w->mem + w->bytes - RN_PROBE_GRAIN, RN_PROBE_GRAIN));
    for (size_t i = 0; i < RN_PROBE_GRAIN; i++) {
        if (((const unsigned char *)w->host)[i] != 1)
            return wrong(w, ((const unsigned char *)w->host)[i], 1);
    }
    return 0;
}

static int verify(probing *w)
{
    return w->p->kind == RN_PROBE_FLOP ? verify_flop(w) : w->p->kind == RN_PROBE_READ ? verify_read(w) : verify_copy(w);
}

/* ---- how fast? ------------------------------------------------------------------------------------------------------ */

static int best_window(probing *w, double seconds, double *best)
{
    const double end = rn_now() + seconds;
    int64_t times = 1;
    double amount, s;

    do {
        RN_TRY(bench_clock_start(&w->clock));
        RN_TRY(run(w, times, &amount));
        RN_TRY(bench_clock_stop(&w->clock, &s));
        if (s < WINDOW_S && times < (int64_t)1 << 40)
            times *= 2;
        else if (s > 0 && amount / s > *best)
            *best = amount / s;
    } while (rn_now() < end || *best <= 0);
    return 0;
}

int bench_probe_best(rn_backend *be, const rn_probe *p, double seconds, double *out)
{
    probing w = {.be = be, .p = p, .bytes = working_set(be, p)};
    int rc;

    *out = 0;
    if (p->kind == RN_PROBE_FLOP)
        w.bytes = RN_PROBE_GRAIN;
    if (w.bytes == 0)
        return rn_fail(RN_E_UNSUPPORTED, "peak: %s: the size of this device's cache is not known", p->name);
    RN_GO(bench_clock_open(be, &w.clock));
    if (!(w.host = malloc(RN_PROBE_OUT)))
        RN_GO(rn_fail(RN_E_NOMEM, "peak: out of memory"));
    RN_GO(be->alloc(be, RN_PROBE_OUT, &w.out));
    RN_GO(be->alloc(be, w.bytes, &w.mem));
    RN_GO(verify(&w));
    if (!be->emulated)
        RN_GO(best_window(&w, seconds, out));
out:
    bench_clock_close(&w.clock);
    be->free(be, w.mem);
    be->free(be, w.out);
    free(w.host);
    return rc;
}
