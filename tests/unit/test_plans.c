/* SPDX-License-Identifier: MIT */
/* Ten thousand plans, opened, prepared, run and closed, leave the heap as it was: every algorithm, direction and type on every
 * instruction set of this CPU, with 1 to 3 threads; and plans that fail to open, too. Sanitizers see the same from their side. */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/rn_cpu.h"
#include "base/rn_error.h"
#include "kernels/rn_kernels.h"
#include "op/rn_select.h"
#include "sanitized.h"

#define PLANS    10000
#define GROWTH   32768     /* bytes on the whole way: a leak of 4 in each plan shows */
#define RESIDENT (4 << 20) /* of all memory, for what is not the heap's: code that is compiled */

static const char *const shapes[] = {"mb2ic16ih9oc32kh3ph1", "mb1ic3ih11oc16kh7sh2ph3", "mb2ic32ih6oc16kh1sh2",
                                     "mb1ic17ih5oc19kh3ph1"};
enum { NSHAPES = sizeof shapes / sizeof *shapes, BLOCK = 65536 /* bytes; more than any of their tensors */ };

static size_t in_use(void)
{
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

static size_t resident(void)
{
    char text[64] = "";
    FILE *f = fopen("/proc/self/statm", "r");

    if (f && !fgets(text, sizeof text, f))
        *text = 0;
    if (f)
        fclose(f);
    const char *second = strchr(text, ' ');
    return second ? strtoul(second, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE) : 0;
}

/* Is it a plan? What the descriptor's work needs beside the tensors is not asked for. */
static bool one_plan(rn_backend *be, const rn_conv_algo *algo, const rn_conv_desc *d, rn_conv_dir dir,
                     void *const block[3])
{
    const rn_conv_args args = {.src = block[1], .wei = block[2], .dst = block[0]};
    rn_conv_plan *plan;
    void *ws = NULL;

    if (rn_conv_plan_open(be, algo, d, dir, &plan) < 0)
        return false;
    if (plan->workspace_bytes)
        assert_int_equal(be->alloc(be, plan->workspace_bytes, &ws), 0);
    assert_int_equal(rn_conv_prepare(plan, block[2], NULL), 0);
    assert_int_equal(rn_conv_run(plan, &args, 0, ws, NULL), 0);
    be->free(be, ws);
    rn_conv_plan_close(plan);
    return true;
}

/* All shapes, directions, types and algorithms once. */
static int sweep(rn_backend *be, const char *pattern, void *const block[3])
{
    int n = 0;

    for (int s = 0; s < NSHAPES; s++) {
        rn_conv_desc d;
        assert_int_equal(rn_conv_desc_parse(shapes[s], &d), 0);
        for (int t = RN_F32; t <= RN_F16; t++) {
            d.dtype = (rn_dtype)t;
            for (const rn_conv_algo *const *a = be->conv_algos; *a; a++) {
                for (int dir = 0; rn_select_match(pattern, (*a)->name) && dir < 3; dir++)
                    n += one_plan(be, *a, &d, (rn_conv_dir)dir, block);
            }
        }
    }
    return n;
}

enum { MOST_BACKENDS = 3 * 8 };

/* One for each thread count and instruction set. */
static int open_backends(rn_backend *be[MOST_BACKENDS], const char *const isas[])
{
    int n = 0;

    for (int threads = 1; threads <= 3; threads++) {
        for (int i = 0; isas[i] && n < MOST_BACKENDS; i++) {
            const rn_backend_opts opts = {.threads = threads, .isa = isas[i]};
            n += rn_backend_open(rn_backends, "cpu", &opts, &be[n]) == 0; /* or this CPU lacks it */
        }
    }
    return n;
}

static void heap_stays(const char *pattern, const char *const isas[], int wanted)
{
    rn_backend *be[MOST_BACKENDS];
    const int n = open_backends(be, isas);
    void *block[3] = {calloc(1, BLOCK), calloc(1, BLOCK), calloc(1, BLOCK)};
    size_t before = 0, after, resident_before = 0, resident_after;
    int plans = 0, sweeps = 0;

    assert_true(n >= 3 && block[0] && block[1] && block[2]);
    for (; sweeps < 2 || plans < wanted; sweeps++) {
        const int was = plans;
        for (int i = 0; i < n; i++)
            plans += sweep(be[i], pattern, block);
        if (plans == was)
            break; /* nothing of that name in this build */
        if (sweeps == 0) {
            before = in_use(); /* with threads started, scratch grown, tables made */
            resident_before = resident();
            plans = 0;
        }
    }
    after = in_use();
    resident_after = resident();
    print_message("# %s: %d plans on %d backends, heap %+ld bytes, resident %+ld\n", pattern, plans, n,
                  (long)after - (long)before, (long)resident_after - (long)resident_before);
    assert_true(plans == 0 || SANITIZED || resident_after <= resident_before + RESIDENT);
    assert_true(plans == 0 || after <= before + GROWTH);
    for (int i = 0; i < n; i++)
        rn_backend_close(be[i]);
    for (int i = 0; i < 3; i++)
        free(block[i]);
}

static void our_plans_leave_nothing(void **state)
{
    (void)state;
    heap_stays("!onednn:*", rn_isa_names, PLANS);
}

/* It compiles a kernel for each plan: fewer of them. Without its cache, which would hide a leak and keep a thousand. */
static void onednn_plans_leave_nothing(void **state)
{
    rn_isa best = rn_isa_best();
    const char *const names[] = {rn_isa_names[best], NULL};

    (void)state;
    heap_stays("onednn:*", names, 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(our_plans_leave_nothing),
        cmocka_unit_test(onednn_plans_leave_nothing),
    };
    setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "0", 1);
    setenv("DNNL_PRIMITIVE_CACHE_CAPACITY", "0", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
