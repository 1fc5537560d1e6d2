/* SPDX-License-Identifier: MIT */
/* The loader's augmentations: each does what its own functions do, in order, from (seed, epoch, image) alone; mixup from the
 * batch; none is a no-op; workers do not matter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rn_error.h"
#include "data/load/rn_augment.h"
#include "data/load/rn_loader.h"
#include "data/load/rn_mixup.h"
#include "loader_sets.h"

enum { N = 37, SIDE = 16, BATCH = 10, BYTES = SIDE * SIDE * 3 };

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

static rn_loader_opts plain(int workers)
{
    return (rn_loader_opts){.train = true,
                            .batch = BATCH,
                            .width = SIDE,
                            .height = SIDE,
                            .channels = 3,
                            .seed = 21,
                            .workers = workers,
                            .flip = true,
                            .fill = {124, 116, 104}};
}

/* Variant v: 0 nothing, then one augmentation each, then all. */
enum { VARIANTS = 9 };
static rn_loader_opts variant(int v, int workers)
{
    rn_loader_opts o = plain(workers);
    for (int op = 0; op < 4; op++)
        o.jitter.range[op] = v == 1 + op || v == 8 ? 0.4 : 0;
    o.lighting = v == 5 || v == 8 ? 0.3 : 0;
    o.cutout = v == 6 || v == 8 ? 8 : 0;
    o.mixup = v == 7 || v == 8 ? 0.4 : 0;
    return o;
}

/* Image `index` of `epoch` by the functions themselves. */
static void expect(const rn_loader_opts *o, uint32_t epoch, uint32_t index, uint8_t *px)
{
    const double scale[2] = {0.08, 1}, ratio[2] = {3.0 / 4, 4.0 / 3};
    rn_store_txn *t = NULL;
    rn_renderer *rd = NULL;
    rn_record rec;
    rn_rng r;
    rn_place p;
    int w, h;
    assert_int_equal(rn_store_begin(store, &t), 0);
    assert_int_equal(rn_renderer_open(&rd), 0);
    assert_int_equal(rn_store_get(t, index, &rec), 0);
    assert_int_equal(rn_renderer_begin(rd, rec.data, rec.data_n, "x", &w, &h), 0);
    rn_rng_seed(&r, o->seed, RN_STREAM_AUGMENT, epoch, index);
    rn_place_resized(&r, w, h, scale, ratio, true, SIDE, SIDE, &p);
    assert_int_equal(rn_renderer_draw(rd, &p, true, SIDE, SIDE, 3, px), 0);
    if (o->jitter.range[0] + o->jitter.range[1] + o->jitter.range[2] + o->jitter.range[3] > 0) {
        rn_jitter_steps s;
        rn_jitter_draw(&r, &o->jitter, &s);
        for (int i = 0; i < s.n; i++)
            rn_color_adjust(s.step[i].op, s.step[i].factor, px, SIDE * SIDE, 3);
    }
    if (o->lighting > 0) {
        int shift[3];
        rn_lighting_draw(&r, o->lighting, shift);
        rn_lighting_apply(shift, px, SIDE * SIDE);
    }
    if (o->cutout > 0) {
        rn_rect hole;
        rn_cutout_draw(&r, SIDE, SIDE, o->cutout, &hole);
        rn_cutout_apply(&hole, o->fill, px, SIDE, 3);
    }
    rn_renderer_close(rd);
    rn_store_end(t);
}

static void check_batch(const rn_loader_opts *o, const rn_batch *b)
{
    uint8_t want[BATCH * BYTES] = {0}, scratch[BYTES];
    for (int i = 0; i < b->n; i++) {
        expect(o, b->epoch, b->index[i], want + i * BYTES);
        assert_int_equal(b->labels[i], b->index[i] % 5);
    }
    if (o->mixup > 0) {
        uint32_t share = rn_mixup_share(o->seed, b->epoch, b->number, o->mixup);
        rn_mixup_rows(want, b->n, BYTES, share, scratch);
        assert_true(b->share == (float)(share / 65536.0));
        for (int i = 0; i < BATCH; i++)
            assert_int_equal(b->labels2[i], i >= b->n ? 0 : b->labels[i ? i - 1 : b->n - 1]);
    } else {
        assert_true(b->share == 1 && !b->labels2);
    }
    assert_memory_equal(b->images, want, sizeof want);
}

static uint64_t fold(uint64_t f, const void *data, size_t n)
{
    for (size_t i = 0; i < n; i++)
        f = (f ^ ((const uint8_t *)data)[i]) * 1099511628211u;
    return f;
}

/* Two epochs of variant v, all batches checked when `check`; the fold of their pixels. */
static uint64_t two_epochs(int v, int workers, bool check)
{
    const rn_loader_opts o = variant(v, workers);
    rn_loader *l = NULL;
    uint64_t f = 1469598103934665603u;
    assert_int_equal(rn_loader_open(store, &o, &l), 0);
    for (int i = 0; i < 8; i++) {
        rn_batch b;
        assert_int_equal(rn_loader_next(l, &b), 1);
        if (check)
            check_batch(&o, &b);
        f = fold(f, b.images, BATCH * BYTES);
        f = fold(f, &b.share, sizeof b.share);
        rn_loader_release(l, &b);
    }
    rn_loader_close(l);
    return f;
}

static void each_is_what_it_says(void **state)
{
    (void)state;
    uint64_t seen[VARIANTS];
    for (int v = 0; v < VARIANTS; v++) {
        seen[v] = two_epochs(v, 2, true);
        for (int other = 0; other < v; other++)
            assert_true(seen[v] != seen[other]); /* none is a no-op */
        assert_true(two_epochs(v, 1, false) == seen[v]);
        assert_true(two_epochs(v, 7, false) == seen[v]);
    }
}

/* From any batch on, the same as undisturbed: mixup, too, knows its batch. */
static void seek_finds_every_batch(void **state)
{
    (void)state;
    enum { COUNT = 12 };
    const rn_loader_opts o = variant(8, 3);
    rn_loader *l = NULL;
    uint64_t want[COUNT];
    rn_batch b;
    assert_int_equal(rn_loader_open(store, &o, &l), 0);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(rn_loader_next(l, &b), 1);
        want[i] = fold(i, b.images, BATCH * BYTES);
        rn_loader_release(l, &b);
    }
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(rn_loader_seek(l, (uint32_t)i / 4, (uint64_t)i % 4), 0);
        for (int k = i; k < COUNT; k++) {
            assert_int_equal(rn_loader_next(l, &b), 1);
            assert_true(b.epoch == (uint32_t)k / 4 && b.number == (uint64_t)k % 4);
            assert_true(fold(k, b.images, BATCH * BYTES) == want[k]);
            rn_loader_release(l, &b);
        }
    }
    rn_loader_close(l);
}

/* Evaluation is untouched by all of it. */
static void evaluation_ignores_them(void **state)
{
    (void)state;
    uint64_t f[2];
    for (int v = 0; v < 2; v++) {
        rn_loader_opts o = variant(v * 8, 2);
        rn_loader *l = NULL;
        rn_batch b;
        o.train = false;
        assert_int_equal(rn_loader_open(store, &o, &l), 0);
        assert_int_equal(rn_loader_next(l, &b), 1);
        assert_true(!b.labels2 && b.share == 1);
        f[v] = fold(1, b.images, BATCH * BYTES);
        rn_loader_close(l);
    }
    assert_true(f[0] == f[1]);
}

static void page_local_order_is_another(void **state)
{
    (void)state;
    rn_loader_opts o = plain(2);
    uint32_t index[2][N];
    for (int v = 0; v < 2; v++) {
        rn_loader *l = NULL;
        rn_batch b;
        uint32_t seen[N] = {0}, n = 0;
        o.order = v ? RN_ORDER_PAGE_LOCAL : RN_ORDER_RANDOM;
        assert_int_equal(rn_loader_open(store, &o, &l), 0);
        while (n < N) {
            assert_int_equal(rn_loader_next(l, &b), 1);
            for (int i = 0; i < b.n; i++) {
                seen[b.index[i]]++;
                index[v][n++] = b.index[i];
            }
            rn_loader_release(l, &b);
        }
        for (int i = 0; i < N; i++)
            assert_int_equal(seen[i], 1);
        rn_loader_close(l);
    }
    assert_memory_not_equal(index[0], index[1], sizeof index[0]);
}

static void bad_options_are_refused(void **state)
{
    (void)state;
    rn_loader_opts o[10];
    rn_loader *l = NULL;
    for (int i = 0; i < 10; i++)
        o[i] = plain(1);
    o[0].jitter.range[RN_COLOR_HUE] = 0.6;
    o[1].jitter.range[RN_COLOR_BRIGHTNESS] = -0.1;
    o[2].jitter.range[RN_COLOR_CONTRAST] = 0.0 / 0.0;
    o[3].lighting = -1;
    o[4].lighting = 0.1, o[4].channels = 1;
    o[5].cutout = -2;
    o[6].mixup = -0.2;
    o[7].mixup = 0.0 / 0.0;
    o[8].scale_lo = 0.0 / 0.0;
    o[9].ratio_hi = 0.5;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(rn_loader_open(store, &o[i], &l), RN_E_RANGE);
        assert_null(l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_what_it_says),    cmocka_unit_test(seek_finds_every_batch),
        cmocka_unit_test(evaluation_ignores_them), cmocka_unit_test(page_local_order_is_another),
        cmocka_unit_test(bad_options_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
