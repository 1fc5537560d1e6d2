/* SPDX-License-Identifier: MIT */
/* Parts of batches for several processes: put together they are the whole, byte for byte; every image comes once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rn_error.h"
#include "data/load/rn_loader.h"
#include "loader_sets.h"

enum { N = 41, SIDE = 12, BYTES = SIDE * SIDE * 3 };

static rn_store *store;

static int setup(void **state)
{
    (void)state;
    store = make_store("set.lmdb", N, false, false);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rn_store_close(store);
    return 0;
}

static rn_loader_opts opts_of(bool train, int batch)
{
    return (rn_loader_opts){.train = train,
                            .batch = batch,
                            .width = SIDE,
                            .height = SIDE,
                            .channels = 3,
                            .seed = 5,
                            .workers = 2,
                            .flip = true,
                            .drop_last = true,
                            .jitter = {.range = {0.4, 0.4, 0.4, 0}},
                            .resize_short = train ? 0 : 14};
}

static rn_loader *open_part(rn_loader_opts o, int part, int parts, int workers)
{
    rn_loader *l = NULL;
    o.part = part;
    o.parts = parts;
    o.workers = workers;
    assert_int_equal(rn_loader_open(store, &o, &l), RN_OK);
    return l;
}

/* The rows of `b` are rows at.. of the whole batch `w`. */
static void compare(const rn_batch *b, const rn_batch *w, int at)
{
    assert_memory_equal(b->images, w->images + (size_t)at * BYTES, (size_t)b->n * BYTES);
    assert_memory_equal(b->labels, w->labels + at, (size_t)b->n * sizeof *b->labels);
    assert_memory_equal(b->index, w->index + at, (size_t)b->n * sizeof *b->index);
    assert_int_equal(b->labels2 != NULL, w->labels2 != NULL);
    if (b->labels2) {
        assert_memory_equal(b->labels2, w->labels2 + at, (size_t)b->n * sizeof *b->labels2);
        assert_true(b->share == w->share);
    }
}

/* The rest of a part's batch is padding. */
static void check_padding(const rn_batch *b, int rows)
{
    for (size_t i = (size_t)b->n * BYTES; i < (size_t)rows * BYTES; i++)
        assert_int_equal(b->images[i], 0);
    for (int i = b->n; i < rows; i++)
        assert_true(b->labels[i] == 0 && b->index[i] == 0 && (!b->labels2 || b->labels2[i] == 0));
}

static void check_training(int batch, int parts, double mixup, bool drop_last)
{
    rn_loader_opts o = opts_of(true, batch);
    o.mixup = mixup;
    o.drop_last = drop_last;
    rn_loader *whole = open_part(o, 0, 0, 2), *part[8];
    for (int p = 0; p < parts; p++)
        part[p] = open_part(o, p, parts, 1 + p % 3);
    for (uint64_t k = 0; k < 2 * rn_loader_batches(whole) + 1; k++) {
        rn_batch w, b;
        int at = 0;
        assert_int_equal(rn_loader_next(whole, &w), 1);
        for (int p = 0; p < parts; p++) {
            assert_int_equal(rn_loader_next(part[p], &b), 1);
            assert_int_equal(b.first, at);
            assert_true(b.epoch == w.epoch && b.number == w.number);
            compare(&b, &w, at);
            check_padding(&b, rn_loader_rows(part[p]));
            at += b.n;
            rn_loader_release(part[p], &b);
        }
        assert_int_equal(at, w.n);
        rn_loader_release(whole, &w);
    }
    rn_loader_close(whole);
    for (int p = 0; p < parts; p++)
        rn_loader_close(part[p]);
}

static void test_training(void **state)
{
    (void)state;
    check_training(12, 2, 0, true);
    check_training(12, 3, 0, true);
    check_training(6, 6, 0, true);
    check_training(7, 3, 0, true);   /* not divisible */
    check_training(12, 3, 0, false); /* the last batch has 5 */
    check_training(20, 4, 0, false); /* and here 1: parts without an image */
}

static void test_mixup(void **state)
{
    (void)state;
    check_training(12, 1, 0.4, true);
    check_training(12, 2, 0.4, true);
    check_training(12, 3, 0.4, true);
    check_training(6, 6, 0.4, true); /* every partner is another part's */
    check_training(7, 3, 0.4, false);
    check_training(20, 4, 0.4, false);
}

/* A part can be gone to as the whole can. */
static void test_seek(void **state)
{
    (void)state;
    rn_loader_opts o = opts_of(true, 12);
    rn_batch w, b;
    o.mixup = 0.4;
    rn_loader *whole = open_part(o, 0, 1, 1), *part = open_part(o, 1, 3, 2);
    assert_int_equal(rn_loader_seek(whole, 5, 2), RN_OK);
    assert_int_equal(rn_loader_seek(part, 5, 2), RN_OK);
    assert_int_equal(rn_loader_next(whole, &w), 1);
    assert_int_equal(rn_loader_next(part, &b), 1);
    assert_int_equal(b.first, 4);
    compare(&b, &w, 4);
    rn_loader_close(whole);
    rn_loader_close(part);
}

static void check_evaluation(int batch, int parts)
{
    uint8_t *want = malloc((size_t)N * BYTES);
    rn_loader *whole = open_part(opts_of(false, N), 0, 1, 2);
    rn_batch b;
    uint32_t next = 0, first, count;
    assert_non_null(want);
    assert_int_equal(rn_loader_next(whole, &b), 1);
    memcpy(want, b.images, (size_t)N * BYTES);
    rn_loader_close(whole);
    for (int p = 0; p < parts; p++) {
        rn_loader *l = open_part(opts_of(false, batch), p, parts, 2);
        int more;
        assert_int_equal(rn_loader_rows(l), batch);
        rn_loader_span(l, &first, &count);
        assert_int_equal(first, next);
        for (int round = 0; round < 2; round++) { /* and again after a seek */
            next = first;
            while ((more = rn_loader_next(l, &b)) == 1) {
                for (int i = 0; i < b.n; i++)
                    assert_int_equal(b.index[i], next + (uint32_t)i);
                assert_memory_equal(b.images, want + (size_t)next * BYTES, (size_t)b.n * BYTES);
                next += (uint32_t)b.n;
                rn_loader_release(l, &b);
            }
            assert_int_equal(more, 0);
            assert_int_equal(next, first + count);
            assert_int_equal(rn_loader_seek(l, 0, 0), RN_OK);
        }
        rn_loader_close(l);
    }
    assert_int_equal(next, N);
    free(want);
}

static void test_evaluation(void **state)
{
    (void)state;
    check_evaluation(8, 1);
    check_evaluation(8, 2);
    check_evaluation(8, 3);
    check_evaluation(1, 5);
    check_evaluation(64, 2);
    check_evaluation(64, N + 3); /* more parts than images: some are empty */
}

static void test_refused(void **state)
{
    (void)state;
    static const int bad[][3] = {{-1, 2, 8}, {2, 2, 8}, {0, -1, 8}, {1, 0, 8}, {3, 9, 8}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        rn_loader_opts o = opts_of(true, bad[i][2]);
        rn_loader *l = NULL;
        o.part = bad[i][0];
        o.parts = bad[i][1];
        assert_int_equal(rn_loader_open(store, &o, &l), RN_E_RANGE);
        assert_non_null(strstr(rn_error_text(), "part"));
        assert_null(l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_training), cmocka_unit_test(test_mixup),
                                       cmocka_unit_test(test_seek), cmocka_unit_test(test_evaluation),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
