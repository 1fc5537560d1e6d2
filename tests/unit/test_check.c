/* SPDX-License-Identifier: MIT */
/* check-kernels' own checks: it fails each convolution that is wrong, and an algorithm that it never came to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "kernels/rn_kernels.h"
#include "printed.h"
#include "tests/kernels/check.h"
#include "wrong_conv.h"

/* What `work` prints, to be freed: its TAP is not this program's. */
static char *told(void (*work)(check_run *r), check_run *r)
{
    const printing p = printed_begin();

    work(r);
    return printed(p);
}

static void run_conv(check_run *r)
{
    check_conv_group.run(r);
    check_tally_close(r);
}

static void open_with(check_run *r, const rn_conv_algo **list)
{
    assert_int_equal(rn_backend_open(rn_backends, "cpu", &(rn_backend_opts){.threads = 1}, &r->be[0]), 0);
    r->be[0]->conv_algos = list;
}

static void wrong_results_fail(void **state)
{
    rn_conv_algo algos[FAULTS];
    const rn_conv_algo *list[FAULTS + 1] = {NULL};
    check_run r = {.seed = 1, .cas = "mb2ic5ih7oc6kh3sh2ph1", .algo = "*-*,swapped,fails,right"};

    (void)state;
    for (int i = 0; i < FAULTS; i++) {
        algos[i] = wrong_conv(i);
        list[i] = &algos[i];
    }
    open_with(&r, list);
    char *text = told(run_conv, &r);
    assert_int_equal(r.count, 3 * FAULTS);
    assert_int_equal(r.ok, 3);
    assert_int_equal(r.bad, 3 * (FAULTS - 1));
    for (int i = 0; i < FAULTS; i++) {
        for (rn_conv_dir dir = RN_FWD; dir <= RN_BWD_W; dir++) {
            char line[128];
            snprintf(line, sizeof line, "%s %d - conv %s %s %s portable\n", i == RIGHT ? "\nok" : "not ok",
                     (int)dir * FAULTS + i + 1, r.cas, rn_conv_dir_name(dir), wrong_conv_names[i]);
            if (!strstr(text, line))
                fail_msg("no '%s' in\n%s", line, text);
        }
    }
    free(text);
    rn_backend_close(r.be[0]);
}

static bool refuses(rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, const char **why)
{
    (void)be, (void)d, (void)dir;
    *why = "not today";
    return false;
}

/* Seen by a group, which it refuses, and not seen by the others: 0 cases in each. */
static void unchecked_fails(void **state)
{
    const rn_conv_algo idle = {.name = "cpu:idle", .supports = refuses},
                       other = {.name = "lib:idle", .supports = refuses};
    const rn_conv_algo *list[] = {&idle, &other, NULL};
    check_run r = {.seed = 1, .every = 1};

    (void)state;
    open_with(&r, list);
    r.algo = "*:*"; /* a selection: then refusing is no failure */
    free(told(run_conv, &r));
    assert_int_equal(r.bad + r.ok + r.skipped, 0);
    assert_true(r.refused > 0);
    r.algo = NULL;
    char *text = told(check_tally_close, &r);
    assert_int_equal(r.bad, 6 * 3);
    assert_int_equal(r.skipped, 6 * 3);
    assert_non_null(strstr(text, "conv_fuse_bf16 cpu:idle bwd_d: no case ran"));
    free(text);
    rn_backend_close(r.be[0]);
}

static void claim(check_run *r)
{
    assert_true(check_begin(r, &(check_id){"conv", "x", "fwd", "cpu:strip", "portable"}));
    check_end(r);
    check_tally_close(r);
}

/* The table of what an algorithm is not for cannot hide what it does. */
static void stale_excuse_fails(void **state)
{
    const rn_conv_algo strip = {.name = "cpu:strip", .supports = refuses}, *list[] = {&strip, NULL};
    check_run r = {.seed = 1, .every = 1};

    (void)state;
    open_with(&r, list);
    char *text = told(claim, &r);
    assert_non_null(strstr(text, "conv cpu:strip fwd: check_tally.c says that it is not for this, but it ran"));
    assert_int_equal(r.bad, 1 + 6);
    free(text);
    rn_backend_close(r.be[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_results_fail),
        cmocka_unit_test(unchecked_fails),
        cmocka_unit_test(stale_excuse_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
