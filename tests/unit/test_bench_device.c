/* SPDX-License-Identifier: MIT */
/* rn-bench on a device: time is that of its events, caches are emptied by more than they hold, a ceiling is of work that was seen to be
 * done, profilers get ranges that end. The device is the CPU's backend with slots of its own put over it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rn_error.h"
#include "bench/bench.h"
#include "bench/bench_peak.h"
#include "bench/bench_split.h"
#include "kernels/rn_kernels.h"
#include "wrong_conv.h"

#define CACHE_BYTES ((size_t)1 << 20)
#define EVENT_MS    2.5 /* between any two events */
#define SHORT_MS    0.5

static struct {
    int events, records, depth, ranges;
    size_t emptied; /* bytes of the largest memset */
    int lies;       /* a probe does another thing than it says */
    double event_ms;
    int captures, replays, moved; /* moved: so many replays find that they must be captured anew */
    bool cannot;                  /* capture */
} seen;

static int (*cpu_memset)(rn_backend *, void *, int, size_t, rn_stream);

static int event_open(rn_backend *be, rn_event *out)
{
    (void)be;
    seen.events++;
    *out = malloc(1);
    return 0;
}

static int event_record(rn_backend *be, rn_event e, rn_stream s)
{
    (void)be, (void)s;
    assert_non_null(e);
    seen.records++;
    return 0;
}

static int event_ms(rn_backend *be, rn_event from, rn_event to, double *ms)
{
    (void)be;
    assert_true(from && to && from != to);
    *ms = seen.event_ms;
    return 0;
}

static void event_close(rn_backend *be, rn_event e)
{
    (void)be;
    seen.events -= e != NULL;
    free(e);
}

static void range(rn_backend *be, const char *name)
{
    (void)be;
    if (name && seen.depth == 0)
        assert_string_equal(name, "rn-bench");
    seen.depth += name ? 1 : -1;
    seen.ranges += name != NULL;
    assert_true(seen.depth >= 0);
}

static int device_memset(rn_backend *be, void *dst, int byte, size_t bytes, rn_stream s)
{
    seen.emptied = bytes > seen.emptied ? bytes : seen.emptied;
    return cpu_memset(be, dst, byte, bytes, s);
}

/* ---- captures ---- */

static int capture_begin(rn_backend *be)
{
    (void)be;
    return 0;
}

static int capture_end(rn_backend *be, rn_capture *out)
{
    (void)be;
    assert_non_null(out);
    if (seen.cannot)
        return rn_fail(RN_E_UNSUPPORTED, "something waited");
    seen.captures++;
    *out = malloc(1);
    return 0;
}

static int capture_run(rn_backend *be, rn_capture c)
{
    (void)be;
    assert_non_null(c);
    if (seen.moved-- > 0)
        return 0;
    seen.replays++;
    return 1;
}

static void capture_close(rn_backend *be, rn_capture c)
{
    (void)be;
    seen.captures -= c != NULL;
    free(c);
}

/* ---- probes, each of which may lie ---- */

enum { HONEST, TOO_LITTLE, NOTHING };

static int run_flop(rn_backend *be, int64_t times, void *mem, size_t bytes, void *out, double *amount, rn_stream s)
{
    (void)be, (void)mem, (void)bytes, (void)s;
    *(float *)out = seen.lies == NOTHING ? 0 : 7.5f * (float)(seen.lies == TOO_LITTLE ? 1 : times);
    *amount = 5e6 * (double)times;
    return 0;
}

static int run_read(rn_backend *be, int64_t times, void *mem, size_t bytes, void *out, double *amount, rn_stream s)
{
    const uint32_t *words = mem;
    uint32_t sum = 0;

    (void)be, (void)s;
    for (size_t i = 0; i < bytes / 4 - (seen.lies == TOO_LITTLE); i++)
        sum += words[i];
    ((uint32_t *)out)[3] = sum * (uint32_t)times;
    *amount = (double)bytes * (double)times;
    return 0;
}

static int run_copy(rn_backend *be, int64_t times, void *mem, size_t bytes, void *out, double *amount, rn_stream s)
{
    (void)be, (void)out, (void)s;
    memcpy((char *)mem + bytes / 2, mem, bytes / 2 - (seen.lies == TOO_LITTLE));
    *amount = (double)bytes * (double)times;
    return 0;
}

static const rn_probe probes[] = {{"f32_fma", 1u << RN_F32, RN_PROBE_FLOP, run_flop},
                                  {"L2_read", 0, RN_PROBE_READ, run_read},
                                  {"DRAM_copy", 0, RN_PROBE_COPY, run_copy},
                                  {NULL, 0, RN_PROBE_FLOP, NULL}};

static rn_backend *device(void)
{
    rn_backend *be = NULL;

    memset(&seen, 0, sizeof seen);
    seen.event_ms = EVENT_MS;
    assert_int_equal(rn_backend_open(rn_backends, "cpu", &(rn_backend_opts){.threads = 1}, &be), 0);
    be->device = "device";
    be->cache_bytes = CACHE_BYTES;
    be->probes = probes;
    be->event_open = event_open;
    be->event_record = event_record;
    be->event_ms = event_ms;
    be->event_close = event_close;
    be->range = range;
    cpu_memset = be->memset;
    be->memset = device_memset;
    return be;
}

/* ---- tests ---- */

static void time_is_the_events(void **state)
{
    const rn_conv_algo right = wrong_conv(RIGHT), *list[] = {&right, NULL};

    (void)state;
    for (int cold = 0; cold < 2; cold++) {
        rn_backend *be = device();
        bench_evict evict = {0};
        bench_result *r = NULL;
        rn_conv_desc d;
        size_t n;
        be->conv_algos = list;
        if (cold)
            assert_int_equal(bench_evict_make(be, &evict), 0);
        const bench_plan_opts po = {.rounds = 3, .seed = 7, .evict = cold ? &evict : NULL};
        assert_int_equal(rn_conv_desc_parse("mb2ic5ih7oc6kh3sh2ph1", &d), 0);
        assert_int_equal(bench_measure(be, &d, RN_FWD, &po, &r, &n), 0);
        assert_int_equal(n, 1);
        assert_true(r->verified && r->repeats == 1 && r->nsamples == 3);
        for (int i = 0; i < 3; i++)
            assert_true(r->samples_ms[i] >= EVENT_MS && r->samples_ms[i] <= EVENT_MS);
        assert_int_equal(seen.ranges, 2 * 3);
        assert_int_equal(seen.depth, 0);
        assert_int_equal(seen.emptied > CACHE_BYTES, cold);
        bench_results_free(r, n);
        bench_evict_free(&evict);
        assert_int_equal(seen.events, 0);
        rn_backend_close(be);
    }
}

static void short_runs_are_replayed(void **state)
{
    const rn_conv_algo right = wrong_conv(RIGHT), *list[] = {&right, NULL};
    const bench_plan_opts po = {.rounds = 3, .seed = 7};

    (void)state;
    for (int cannot = 0; cannot < 2; cannot++) {
        rn_backend *be = device();
        bench_result *r = NULL;
        rn_conv_desc d;
        size_t n;
        be->conv_algos = list;
        be->capture_begin = capture_begin;
        be->capture_end = capture_end;
        be->capture_run = capture_run;
        be->capture_close = capture_close;
        seen.event_ms = SHORT_MS;
        seen.moved = 1;
        seen.cannot = cannot;
        assert_int_equal(rn_conv_desc_parse("mb2ic5ih7oc6kh3sh2ph1", &d), 0);
        assert_int_equal(bench_measure(be, &d, RN_FWD, &po, &r, &n), 0);
        assert_true(r->verified && r->repeats == 4 && r->replayed == !cannot);
        assert_int_equal(seen.replays, cannot ? 0 : 3);
        assert_int_equal(seen.captures, 0); /* all closed */
        for (int i = 0; i < 3; i++)
            assert_true(r->samples_ms[i] >= SHORT_MS / 4 && r->samples_ms[i] <= SHORT_MS / 4);
        bench_results_free(r, n);
        rn_backend_close(be);
    }
}

static void ceilings_are_of_work_done(void **state)
{
    rn_backend *be = device();
    bench_ceilings c;
    const char *bound;
    double v;

    (void)state;
    for (const rn_probe *p = probes; p->name; p++) {
        seen.lies = HONEST;
        assert_int_equal(bench_probe_best(be, p, 0, &v), 0);
        assert_true(v > 0);
        seen.lies = TOO_LITTLE;
        assert_int_equal(bench_probe_best(be, p, 0, &v), RN_E_MISMATCH);
        assert_true(v <= 0);
        assert_non_null(strstr(rn_error_text(), p->name));
    }
    seen.lies = NOTHING; /* this build has no code for the device */
    assert_int_equal(bench_probe_best(be, &probes[0], 0, &v), RN_E_UNSUPPORTED);

    seen.lies = HONEST;
    assert_int_equal(bench_ceilings_measure(be, 1u << RN_F32 | 1u << RN_BF16, 0, &c), 0);
    assert_true(c.gflops[RN_F32] > 1.999 && c.gflops[RN_F32] < 2.001); /* 5e6 in 2.5 ms */
    assert_true(c.gflops[RN_BF16] <= 0 && c.gb_s[0] <= 0 && c.gb_s[2] <= 0);
    assert_true(c.gb_s[1] > 0 && c.bytes[1] == CACHE_BYTES && c.gb_s[3] > c.gb_s[1] && c.bytes[3] == SIZE_MAX);
    assert_true(bench_roofline(&c, RN_F32, 1, (double)CACHE_BYTES / 2, false, &bound) > 0);
    assert_string_equal(bound, "L2");
    assert_true(bench_roofline(&c, RN_F32, 1, (double)CACHE_BYTES / 2, true, &bound) > 0);
    assert_string_equal(bound, "DRAM");
    assert_true(bench_roofline(&c, RN_BF16, 1, 1, false, &bound) <= 0);

    seen.lies = TOO_LITTLE; /* no ceiling; what it is for can be timed without */
    assert_int_equal(bench_ceilings_measure(be, 1u << RN_F32, 0, &c), 0);
    assert_true(c.gflops[RN_F32] <= 0 && c.gb_s[1] <= 0 && c.gb_s[3] <= 0);

    seen.lies = HONEST;
    be->emulated = true; /* does the work, and says nothing of it */
    for (const rn_probe *p = probes; p->name; p++) {
        assert_int_equal(bench_probe_best(be, p, 0, &v), 0);
        assert_true(v <= 0);
    }
    assert_int_equal(seen.events, 0);
    rn_backend_close(be);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_is_the_events),
        cmocka_unit_test(short_runs_are_replayed),
        cmocka_unit_test(ceilings_are_of_work_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
