/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/rn_error.h"
#include "base/rn_pool.h"

#define THREADS 4

typedef struct counters {
    atomic_int ran, inside, most;
    int busy[THREADS]; /* not atomic on purpose: a worker index belongs to one thread at a time */
    atomic_int clashes;
} counters;

static void nap(long us)
{
    struct timespec t = {.tv_nsec = us * 1000};
    nanosleep(&t, NULL);
}

static int count(void *arg, int worker)
{
    counters *c = arg;
    int now = atomic_fetch_add(&c->inside, 1) + 1, most = atomic_load(&c->most);
    while (now > most && !atomic_compare_exchange_weak(&c->most, &most, now))
        ;
    if (worker < 0 || worker >= THREADS || c->busy[worker]++ != 0)
        atomic_fetch_add(&c->clashes, 1);
    nap(20);
    c->busy[worker]--;
    atomic_fetch_sub(&c->inside, 1);
    atomic_fetch_add(&c->ran, 1);
    return RN_OK;
}

static void test_all_tasks_run_once(void **state)
{
    (void)state;
    counters c = {0};
    rn_pool *p;
    assert_int_equal(rn_pool_open(THREADS, 2, &p), RN_OK);
    assert_int_equal(rn_pool_threads(p), THREADS);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 500; i++)
            assert_int_equal(rn_pool_submit(p, count, &c), RN_OK);
        assert_int_equal(rn_pool_wait(p), RN_OK);
        assert_int_equal(atomic_load(&c.ran), 500 * (round + 1));
    }
    rn_pool_close(p);
    assert_int_equal(atomic_load(&c.clashes), 0);
    assert_true(atomic_load(&c.most) <= THREADS);
}

static void test_close_waits(void **state)
{
    (void)state;
    counters c = {0};
    rn_pool *p;
    assert_int_equal(rn_pool_open(2, 100, &p), RN_OK);
    for (int i = 0; i < 100; i++)
        assert_int_equal(rn_pool_submit(p, count, &c), RN_OK);
    rn_pool_close(p);
    assert_int_equal(atomic_load(&c.ran), 100);
    rn_pool_close(NULL);
}

static atomic_int gate_open;

static int wait_for_gate(void *arg, int worker)
{
    (void)worker;
    while (!atomic_load(&gate_open))
        nap(100);
    atomic_fetch_add((atomic_int *)arg, 1);
    return RN_OK;
}

static int open_gate_later(void *arg, int worker)
{
    (void)worker;
    nap(30000);
    atomic_store((atomic_int *)arg, 1);
    return RN_OK;
}

/* The queue is what bounds memory: with 1 running and 2 waiting the 4th submit must block until the
 * gate opens. */
static void test_full_queue_blocks(void **state)
{
    (void)state;
    atomic_int done = 0;
    rn_pool *p, *opener;
    atomic_store(&gate_open, 0);
    assert_int_equal(rn_pool_open(1, 2, &p), RN_OK);
    assert_int_equal(rn_pool_open(1, 1, &opener), RN_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(rn_pool_submit(p, wait_for_gate, &done), RN_OK);
    assert_int_equal(rn_pool_submit(opener, open_gate_later, &gate_open), RN_OK);
    assert_int_equal(rn_pool_submit(p, wait_for_gate, &done), RN_OK);
    assert_int_equal(atomic_load(&gate_open), 1); /* it cannot have returned before */
    assert_int_equal(rn_pool_wait(p), RN_OK);
    assert_int_equal(atomic_load(&done), 4);
    rn_pool_close(p);
    rn_pool_close(opener);
}

static int fail_now(void *arg, int worker)
{
    (void)worker;
    return rn_fail(RN_E_FORMAT, "%s is broken", (const char *)arg);
}

static void test_failure_stops_and_clears(void **state)
{
    (void)state;
    counters c = {0};
    rn_pool *p;
    assert_int_equal(rn_pool_open(1, 8, &p), RN_OK);
    atomic_int gate = 0;
    atomic_store(&gate_open, 0);
    assert_int_equal(rn_pool_submit(p, wait_for_gate, &gate), RN_OK);
    assert_int_equal(rn_pool_submit(p, fail_now, "image 7"), RN_OK);
    assert_int_equal(rn_pool_submit(p, fail_now, "image 8"), RN_OK);
    for (int i = 0; i < 5; i++)
        assert_int_equal(rn_pool_submit(p, count, &c), RN_OK); /* behind the failures: must not run */
    atomic_store(&gate_open, 1);
    rn_fail(RN_E_IO, "something older in this thread");
    int rc = RN_OK;
    for (int i = 0; i < 10000 && rc == RN_OK; i++) { /* sooner or later the failure is seen here */
        rc = rn_pool_submit(p, fail_now, "image 9");
        nap(100);
    }
    assert_int_equal(rc, RN_E_FORMAT);
    assert_string_equal(rn_error_text(), "image 7 is broken");
    rn_fail(RN_E_IO, "something else");
    assert_int_equal(rn_pool_wait(p), RN_E_FORMAT);
    assert_string_equal(rn_error_text(), "image 7 is broken");
    assert_int_equal(atomic_load(&c.ran), 0);
    assert_int_equal(rn_pool_submit(p, count, &c), RN_OK);
    assert_int_equal(rn_pool_wait(p), RN_OK);
    assert_int_equal(atomic_load(&c.ran), 1);
    rn_pool_close(p);
}

/* A submitter that waits for a place is woken by a failure. */
static void test_failure_wakes_submitters(void **state)
{
    (void)state;
    rn_pool *p;
    assert_int_equal(rn_pool_open(2, 1, &p), RN_OK);
    int rc = RN_OK, tries = 0;
    while (rc == RN_OK && tries++ < 100000)
        rc = rn_pool_submit(p, fail_now, "x");
    assert_int_equal(rc, RN_E_FORMAT);
    assert_int_equal(rn_pool_wait(p), RN_E_FORMAT);
    rn_pool_close(p);
}

static void test_bad_sizes(void **state)
{
    (void)state;
    rn_pool *p = (rn_pool *)1;
    assert_int_equal(rn_pool_open(0, 1, &p), RN_E_RANGE);
    assert_null(p);
    assert_int_equal(rn_pool_open(1, 0, &p), RN_E_RANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_tasks_run_once),       cmocka_unit_test(test_close_waits),
        cmocka_unit_test(test_full_queue_blocks),        cmocka_unit_test(test_failure_stops_and_clears),
        cmocka_unit_test(test_failure_wakes_submitters), cmocka_unit_test(test_bad_sizes),
    };
    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
