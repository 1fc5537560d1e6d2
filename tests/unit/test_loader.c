/* SPDX-License-Identifier: MIT */
/* rn_loader: the batches are a function of the options alone, at any number of workers; seek, epochs, errors, shutdown.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rn_error.h"
#include "data/load/rn_augment.h"
#include "data/load/rn_loader.h"
#include "loader_sets.h"

enum { N = 103 };

static rn_store *good, *raw, *bad;

static int setup(void **state)
{
    (void)state;
    good = make_store("good.lmdb", N, false, false);
    raw = make_store("raw.lmdb", N, true, false);
    bad = make_store("bad.lmdb", N, false, true);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rn_store_close(good);
    rn_store_close(raw);
    rn_store_close(bad);
    return 0;
}

static rn_loader_opts training(int workers)
{
    return (rn_loader_opts){.train = true,
                            .batch = 10,
                            .width = 16,
                            .height = 16,
                            .channels = 3,
                            .seed = 4,
                            .workers = workers,
                            .flip = true};
}

/* Takes `count` batches and folds all they say into one number. */
static uint64_t fold(rn_loader *l, int count)
{
    uint64_t f = 1469598103934665603u;
    for (int i = 0; i < count; i++) {
        rn_batch b;
        assert_int_equal(rn_loader_next(l, &b), 1);
        const uint64_t head[] = {b.epoch, b.number, (uint64_t)b.n};
        const uint8_t *parts[] = {(const uint8_t *)head, (const uint8_t *)b.labels, (const uint8_t *)b.index, b.images};
        const size_t sizes[] = {sizeof head, 10 * 4, 10 * 4, 10 * 16 * 16 * 3};
        for (int p = 0; p < 4; p++)
            for (size_t k = 0; k < sizes[p]; k++)
                f = (f ^ parts[p][k]) * 1099511628211u;
        rn_loader_release(l, &b);
    }
    return f;
}

static uint64_t fold_with(rn_store *s, const rn_loader_opts *o, uint32_t epoch, uint64_t number, int count)
{
    rn_loader *l = NULL;
    assert_int_equal(rn_loader_open(s, o, &l), 0);
    if (epoch || number)
        assert_int_equal(rn_loader_seek(l, epoch, number), 0);
    uint64_t f = fold(l, count);
    rn_loader_close(l);
    return f;
}

static void workers_do_not_matter(void **state)
{
    (void)state;
    static const int workers[] = {2, 3, 7};
    for (int crop = 0; crop < 2; crop++) {
        rn_loader_opts o = training(1);
        o.crop = (enum rn_train_crop)crop;
        o.pad = 4;
        uint64_t want = fold_with(good, &o, 0, 0, 35);
        for (size_t i = 0; i < sizeof workers / sizeof *workers; i++)
            for (int depth = 1; depth < 4; depth++) {
                o.workers = workers[i];
                o.depth = depth;
                assert_true(fold_with(good, &o, 0, 0, 35) == want);
            }
        o.seed++;
        assert_true(fold_with(good, &o, 0, 0, 35) != want);
    }
}

/* Every image of a batch is what sampler, place and renderer give for it alone. */
static void batches_hold_what_they_say(void **state)
{
    (void)state;
    rn_loader_opts o = training(2);
    rn_loader *l = NULL;
    rn_renderer *rd = NULL;
    rn_store_txn *t = NULL;
    uint32_t order[N];
    const double scale[2] = {0.08, 1}, ratio[2] = {3.0 / 4, 4.0 / 3};
    assert_int_equal(rn_loader_open(good, &o, &l), 0);
    assert_int_equal(rn_renderer_open(&rd), 0);
    assert_int_equal(rn_store_begin(good, &t), 0);
    assert_int_equal(rn_loader_batches(l), 11);
    for (uint32_t k = 0; k < 22; k++) {
        rn_batch b;
        assert_int_equal(rn_loader_next(l, &b), 1);
        assert_int_equal(b.epoch, k / 11);
        assert_int_equal(b.number, k % 11);
        assert_int_equal(b.n, k % 11 == 10 ? 3 : 10);
        rn_sampler_order(&(rn_sampler){.seed = o.seed}, b.epoch, N, order);
        for (int i = 0; i < 10; i++) {
            uint8_t want[16 * 16 * 3] = {0};
            if (i < b.n) {
                rn_record rec;
                rn_rng r;
                rn_place p;
                int w, h;
                assert_int_equal(b.index[i], order[(k % 11) * 10 + (uint32_t)i]);
                assert_int_equal(rn_store_get(t, b.index[i], &rec), 0);
                rn_rng_seed(&r, o.seed, RN_STREAM_AUGMENT, b.epoch, b.index[i]);
                assert_int_equal(rn_renderer_begin(rd, rec.data, rec.data_n, "x", &w, &h), 0);
                rn_place_resized(&r, w, h, scale, ratio, true, 16, 16, &p);
                assert_int_equal(rn_renderer_draw(rd, &p, true, 16, 16, 3, want), 0);
            }
            assert_int_equal(b.labels[i], i < b.n ? b.index[i] % 5 : 0);
            assert_memory_equal(b.images + (size_t)i * sizeof want, want, sizeof want);
        }
        rn_loader_release(l, &b);
    }
    rn_loader_close(l);
    rn_store_end(t);
    rn_renderer_close(rd);
}

/* What is told of a window is where its pixels are, in training and evaluation, in parts and whole. */
static void windows_are_where_images_lay(void **state)
{
    (void)state;
    int mirrored = 0, moved = 0;
    rn_renderer *rd = NULL;
    rn_store_txn *t = NULL;
    assert_int_equal(rn_renderer_open(&rd), 0);
    assert_int_equal(rn_store_begin(good, &t), 0);
    for (int kind = 0; kind < 4; kind++) {
        rn_loader_opts o = training(2);
        rn_loader *l = NULL;
        rn_batch b;
        o.crop = RN_CROP_WINDOW;
        o.train = kind > 0;
        o.parts = kind == 2 ? 3 : 1;
        o.part = kind == 2;
        o.mixup = kind == 3 ? 1e-6 : 0; /* shares of 0 or 1: the windows are those of the own records */
        assert_int_equal(rn_loader_open(good, &o, &l), 0);
        for (int k = 0; k < 10; k++) {
            assert_int_equal(rn_loader_next(l, &b), 1);
            assert_non_null(b.windows);
            for (int i = 0; i < b.n && (kind < 3 || b.share >= 1); i++) {
                uint8_t want[16 * 16 * 3];
                rn_record rec;
                rn_place p;
                int w, h;
                assert_int_equal(rn_store_get(t, b.index[i], &rec), 0);
                assert_int_equal(rn_renderer_begin(rd, rec.data, rec.data_n, "x", &w, &h), 0);
                p = (rn_place){.crop = {0, 0, w, h}, .rw = w, .rh = h};
                p.window = (rn_rect){b.windows[i].x, b.windows[i].y, 16, 16};
                p.flip = b.windows[i].mirror;
                assert_int_equal(rn_renderer_draw(rd, &p, false, 16, 16, 3, want), 0);
                assert_memory_equal(b.images + (size_t)i * sizeof want, want, sizeof want);
                mirrored += b.windows[i].mirror;
                moved += b.windows[i].x != (w - 16) / 2;
                assert_true(kind > 0 || (b.windows[i].x == (w - 16) / 2 && b.windows[i].y == (h - 16) / 2));
            }
            rn_loader_release(l, &b);
        }
        rn_loader_close(l);
    }
    assert_true(mirrored > 50 && moved > 100);
    rn_store_end(t);
    rn_renderer_close(rd);
}

static void seek_resumes(void **state)
{
    (void)state;
    rn_loader_opts o = training(3);
    rn_loader *l = NULL;
    assert_int_equal(rn_loader_open(good, &o, &l), 0);
    fold(l, 18);
    uint64_t rest = fold(l, 20); /* from epoch 1, batch 7 on */
    rn_loader_close(l);
    assert_true(fold_with(good, &o, 1, 7, 20) == rest);
    o.workers = 1;
    assert_true(fold_with(good, &o, 1, 7, 20) == rest);

    assert_int_equal(rn_loader_open(good, &o, &l), 0);
    for (int i = 0; i < 30; i++) { /* back and forth, with work under way and a batch held */
        rn_batch b;
        assert_int_equal(rn_loader_seek(l, (uint32_t)(i * 7 % 5), (uint64_t)(i % 12)), 0);
        if (i % 3 == 0)
            assert_int_equal(rn_loader_next(l, &b), 1);
    }
    assert_int_equal(rn_loader_seek(l, 1, 7), 0);
    assert_true(fold(l, 20) == rest);
    assert_int_equal(rn_loader_seek(l, 1, 12), RN_E_RANGE);
    assert_int_equal(rn_loader_seek(l, 0, 11), 0); /* the end of an epoch is the start of the next */
    rn_batch b;
    assert_int_equal(rn_loader_next(l, &b), 1);
    assert_true(b.epoch == 1 && b.number == 0);
    rn_loader_close(l);
}

static void evaluation_sees_each_image_once(void **state)
{
    (void)state;
    rn_loader_opts o = {.batch = 10, .width = 16, .height = 16, .channels = 3, .workers = 3, .resize_short = 18};
    rn_loader *l = NULL;
    rn_batch b;
    assert_int_equal(rn_loader_open(good, &o, &l), 0);
    for (int round = 0; round < 2; round++) {
        uint32_t next = 0;
        int more;
        while ((more = rn_loader_next(l, &b)) == 1) {
            for (int i = 0; i < b.n; i++)
                assert_int_equal(b.index[i], next++);
            assert_int_equal(b.epoch, 0);
            rn_loader_release(l, &b);
        }
        assert_int_equal(more, 0);
        assert_int_equal(next, N);
        assert_int_equal(rn_loader_next(l, &b), 0); /* stays at the end */
        assert_int_equal(rn_loader_seek(l, 0, 0), 0);
    }
    assert_int_equal(rn_loader_seek(l, 0, 11), 0);
    assert_int_equal(rn_loader_next(l, &b), 0);
    rn_loader_close(l);
}

static void incomplete_batch_is_dropped(void **state)
{
    (void)state;
    rn_loader_opts o = training(2);
    rn_loader *l = NULL;
    rn_batch b;
    o.drop_last = true;
    assert_int_equal(rn_loader_open(good, &o, &l), 0);
    assert_int_equal(rn_loader_batches(l), 10);
    for (uint32_t i = 0; i < 25; i++) {
        assert_int_equal(rn_loader_next(l, &b), 1);
        assert_int_equal(b.n, 10);
        assert_int_equal(b.epoch, i / 10);
        rn_loader_release(l, &b);
    }
    rn_loader_close(l);
    o.batch = N + 1;
    assert_int_equal(rn_loader_open(good, &o, &l), RN_E_RANGE);
    assert_null(l);
}

/* A raw set gives the same crops, of the pixels before JPEG; gray is gray. */
static void raw_and_gray(void **state)
{
    (void)state;
    rn_loader_opts o = {.batch = 1, .width = 24, .height = 26, .channels = 3, .workers = 2}; /* image 0 as it is */
    for (int c = 3; c > 0; c -= 2) {
        rn_loader *l = NULL;
        rn_batch b;
        rn_image im = {0};
        o.channels = c;
        assert_int_equal(rn_loader_open(raw, &o, &l), 0);
        assert_int_equal(rn_loader_next(l, &b), 1);
        image_of(0, &im);
        for (int i = 0; i < 24 * 26; i++) {
            const uint8_t *p = im.px + 3 * i;
            if (c == 3)
                assert_memory_equal(b.images + 3 * i, p, 3);
            else
                assert_int_equal(b.images[i], (p[0] * 19595 + p[1] * 38470 + p[2] * 7471 + 32768) >> 16);
        }
        rn_loader_close(l);
        rn_image_free(&im);
    }
}

/* The batches before the bad records come, then the first of them is named, whichever worker failed first. */
static void bad_record_is_named(void **state)
{
    (void)state;
    for (int round = 0; round < 60; round++) {
        int workers = 1 + round % 6;
        rn_loader_opts o = {.batch = 10, .width = 16, .height = 16, .channels = 3, .workers = workers};
        rn_loader *l = NULL;
        rn_batch b;
        assert_int_equal(rn_loader_open(bad, &o, &l), 0);
        for (int i = 0; i < 6; i++) {
            assert_int_equal(rn_loader_next(l, &b), 1);
            rn_loader_release(l, &b);
        }
        for (int i = 0; i < 2; i++) {
            assert_int_equal(rn_loader_next(l, &b), RN_E_FORMAT);
            assert_non_null(strstr(rn_error_text(), "bad.lmdb: 00000060_c/60.JPEG: truncated JPEG"));
        }
        assert_int_equal(rn_loader_seek(l, 0, 7), 0); /* beyond it all is well */
        assert_int_equal(rn_loader_next(l, &b), 1);
        rn_loader_close(l);
    }
}

static void several_may_be_held(void **state)
{
    (void)state;
    rn_loader_opts o = training(2);
    rn_loader *l = NULL;
    rn_batch b[4], more;
    o.depth = 4;
    uint64_t want = fold_with(good, &o, 0, 4, 10);
    assert_int_equal(rn_loader_open(good, &o, &l), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(rn_loader_next(l, &b[i]), 1);
    assert_int_equal(rn_loader_next(l, &more), RN_E_RANGE);
    for (int i = 3; i >= 0; i--)
        rn_loader_release(l, &b[i]);
    assert_true(fold(l, 10) == want);
    rn_loader_close(l);
}

static void closes_at_any_time(void **state)
{
    (void)state;
    for (int i = 0; i < 40; i++) {
        rn_loader_opts o = training(1 + i % 4);
        rn_loader *l = NULL;
        assert_int_equal(rn_loader_open(i % 5 ? good : bad, &o, &l), 0);
        rn_batch b;
        for (int k = 0; k < i % 4; k++)
            if (rn_loader_next(l, &b) == 1 && i % 3)
                rn_loader_release(l, &b);
        rn_loader_close(l);
    }
    rn_loader_close(NULL);
}

static void bad_options_are_refused(void **state)
{
    (void)state;
    rn_loader *l = NULL;
    rn_loader_opts o[7];
    for (int i = 0; i < 7; i++)
        o[i] = training(1);
    o[0].batch = 0;
    o[1].width = 0;
    o[2].channels = 4;
    o[3].workers = 0;
    o[4].depth = -1;
    o[5].scale_lo = 0.9, o[5].scale_hi = 0.5;
    o[6].resize_short = -3;
    for (int i = 0; i < 7; i++) {
        assert_int_equal(rn_loader_open(good, &o[i], &l), RN_E_RANGE);
        assert_null(l);
    }
    rn_store *empty = make_store("empty.lmdb", 0, false, false);
    o[0] = training(1);
    assert_int_equal(rn_loader_open(empty, &o[0], &l), RN_E_NOTHING);
    rn_store_close(empty);
    o[0].crop = RN_CROP_PAD; /* without padding 16 x 16 fits into all of them; 64 does not */
    o[0].width = 64;
    rn_batch b;
    assert_int_equal(rn_loader_open(good, &o[0], &l), 0);
    assert_int_equal(rn_loader_next(l, &b), RN_E_RANGE);
    assert_non_null(strstr(rn_error_text(), ".JPEG: the image of"));
    rn_loader_close(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workers_do_not_matter),
        cmocka_unit_test(batches_hold_what_they_say),
        cmocka_unit_test(windows_are_where_images_lay),
        cmocka_unit_test(seek_resumes),
        cmocka_unit_test(evaluation_sees_each_image_once),
        cmocka_unit_test(incomplete_batch_is_dropped),
        cmocka_unit_test(raw_and_gray),
        cmocka_unit_test(bad_record_is_named),
        cmocka_unit_test(several_may_be_held),
        cmocka_unit_test(closes_at_any_time),
        cmocka_unit_test(bad_options_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
