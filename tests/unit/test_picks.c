/* SPDX-License-Identifier: MIT */
/*
 * Batches of picks against batches of pixels: the op makes of the former the very bytes of the latter, for whole epochs, every
 * augmentation that can be picked, ragged batches, parts, and from the middle of an epoch on; what cannot be picked is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_log.h"
#include "data/image/rn_image.h"
#include "data/load/rn_decoded.h"
#include "data/load/rn_loader.h"
#include "data/pack/rn_packdb.h"
#include "data/store/rn_datum.h"
#include "data/store/rn_seal.h"
#include "kernels/ref/ref_ops.h"

enum { N = 45, W = 20, H = 18, BATCH = 12, MOST = BATCH * 32 * 32 * 3 };

typedef struct kept {
    rn_decoded *d;
    uint8_t *pixels;
    size_t image;
} kept;

static rn_store *store, *odd;
static kept rgb, gray;

/* Image i of size w x h: JPEG, or every third raw. */
static void put_even(rn_packdb *db, uint32_t i, int w, int h)
{
    rn_image im = {0};
    rn_buf b = {0};
    rn_rng r;
    uint8_t *jpeg = NULL, planar[W * H * 3];
    size_t cap = 0, n = 0;
    char key[64], hex[RN_DIGEST_HEX_MAX];
    rn_rng_seed(&r, 4, RN_STREAM_TEST, 0, i);
    assert_int_equal(rn_image_alloc(&im, w, h, 3), 0);
    for (int k = 0; k < w * h * 3; k++)
        im.px[k] = (uint8_t)(i + 1 + rn_rng_below(&r, 200));
    rn_datum_planar_from_rgb(im.px, h, w, 3, planar);
    assert_int_equal(rn_image_encode_jpeg(&im, 90, &jpeg, &cap, &n), 0);
    if (i % 3 == 2)
        assert_int_equal(rn_datum_pack_raw(planar, 3, h, w, (int32_t)(i % 5), &b), 0);
    else
        assert_int_equal(rn_datum_pack_encoded(jpeg, n, (int32_t)(i % 5), &b), 0);
    snprintf(key, sizeof key, "%08u_c/%u.JPEG", i, i);
    assert_int_equal(rn_chain_record(key, strlen(key), b.data, b.n, hex), 0);
    assert_int_equal(rn_packdb_put(db, key, b.data, b.n, hex, n), 0);
    free(jpeg);
    rn_buf_free(&b);
    rn_image_free(&im);
}

static rn_store *make_even(const char *dir, bool last_is_odd)
{
    rn_packdb *db = NULL;
    rn_store *s = NULL;
    assert_int_equal(rn_packdb_open(dir, "a test's set", &db), 0);
    for (uint32_t i = 0; i < N; i++)
        put_even(db, i, W - (last_is_odd && i == N - 1), H);
    assert_int_equal(rn_packdb_flush(db), 0);
    rn_packdb_close(db);
    assert_int_equal(rn_store_open(dir, RN_STORE_UNSEALED_OK, &s), 0);
    return s;
}

static int keep_image(void *with, const uint8_t *images, uint32_t first, int n)
{
    const kept *k = with;
    memcpy(k->pixels + first * k->image, images, (size_t)n * k->image);
    return RN_OK;
}

static void decode(kept *k, int channels)
{
    int w = 0, h = 0;
    assert_int_equal(rn_decoded_size(store, &w, &h), RN_OK);
    assert_true(w == W && h == H);
    k->image = (size_t)(W * H * channels);
    k->pixels = malloc(N * k->image);
    assert_non_null(k->pixels);
    assert_int_equal(rn_decoded_open(store, w, h, channels, 2, keep_image, k, &k->d), RN_OK);
    assert_int_equal(k->d->count, N);
}

static int setup(void **state)
{
    (void)state;
    rn_log_init("test_picks", RN_LOG_QUIET); /* images made gray */
    store = make_even("even.lmdb", false);
    odd = make_even("odd.lmdb", true);
    decode(&rgb, 3);
    decode(&gray, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kept *all[] = {&rgb, &gray};
    for (int i = 0; i < 2; i++) {
        rn_decoded_close(all[i]->d);
        free(all[i]->pixels);
    }
    rn_store_close(store);
    rn_store_close(odd);
    return 0;
}

static rn_loader_opts base(bool train)
{
    return (rn_loader_opts){.train = train,
                            .batch = BATCH,
                            .width = W,
                            .height = H,
                            .channels = 3,
                            .seed = 11,
                            .workers = 2,
                            .crop = RN_CROP_PAD,
                            .fill = {124, 7, 201}};
}

static const kept *of(const rn_loader_opts *o)
{
    return o->channels == 3 ? &rgb : &gray;
}

static void open_both(const rn_loader_opts *o, rn_loader **pixels, rn_loader **picks)
{
    rn_loader_opts p = *o;
    p.decoded = of(o)->d;
    assert_int_equal(rn_loader_open(store, o, pixels), RN_OK);
    assert_int_equal(rn_loader_open(store, &p, picks), RN_OK);
}

/* All rows, those behind the batch's end too. */
static void same_batch(const rn_loader_opts *o, int rows, const rn_batch *a, const rn_batch *b)
{
    static uint8_t made[MOST];
    const size_t n = (size_t)rows, bytes = n * (size_t)(o->width * o->height * o->channels);
    rn_op_pick op = {.n = rows,
                     .h = o->height,
                     .w = o->width,
                     .c = o->channels,
                     .count = N,
                     .src_h = H,
                     .src_w = W,
                     .src = of(o)->pixels,
                     .picks = b->picks,
                     .dst = made};
    assert_null(b->images);
    assert_null(a->picks);
    assert_true(bytes <= sizeof made);
    memcpy(op.fill, o->fill, sizeof o->fill);
    memset(made, 0x55, sizeof made);
    assert_int_equal(rn_ref_ops.pick(NULL, &op, NULL), RN_OK);
    assert_memory_equal(made, a->images, bytes);
    assert_true(a->n == b->n && a->first == b->first && a->epoch == b->epoch && a->number == b->number);
    assert_true(a->share == b->share);
    assert_memory_equal(a->labels, b->labels, n * sizeof *a->labels);
    assert_memory_equal(a->index, b->index, n * sizeof *a->index);
    assert_true(!a->labels2 == !b->labels2 && !a->windows == !b->windows);
    if (a->labels2)
        assert_memory_equal(a->labels2, b->labels2, n * sizeof *a->labels2);
    if (a->windows)
        assert_memory_equal(a->windows, b->windows, n * sizeof *a->windows);
}

/* `batches` of them, or to the end of an evaluation; from there on, too. */
static void compare(const rn_loader_opts *o, uint32_t epoch, uint64_t number, int batches)
{
    rn_loader *pixels, *picks;
    rn_batch a, b;
    int got = 1;
    open_both(o, &pixels, &picks);
    assert_int_equal(rn_loader_rows(pixels), rn_loader_rows(picks));
    assert_int_equal(rn_loader_seek(pixels, epoch, number), RN_OK);
    assert_int_equal(rn_loader_seek(picks, epoch, number), RN_OK);
    for (int i = 0; i < batches && got > 0; i++) {
        assert_int_equal(got = rn_loader_next(pixels, &a), rn_loader_next(picks, &b));
        assert_true(got >= 0);
        if (!got)
            break;
        same_batch(o, rn_loader_rows(pixels), &a, &b);
        rn_loader_release(pixels, &a);
        rn_loader_release(picks, &b);
    }
    rn_loader_close(pixels);
    rn_loader_close(picks);
}

/* Each augmentation alone and all together, over three epochs with their last, ragged batches. */
static void test_epochs(void **state)
{
    (void)state;
    for (int v = 0; v < 64; v++) {
        rn_loader_opts o = base(true);
        o.pad = v & 1 ? 4 : 0;
        o.flip = v & 2;
        o.cutout = v & 4 ? 7 : 0;
        o.mixup = v & 8 ? 0.4 : 0;
        o.drop_last = v & 16;
        o.channels = v & 32 ? 1 : 3;
        compare(&o, 0, 0, 12);
    }
}

static void test_crops(void **state)
{
    static const int sides[][2] = {{W, H}, {16, 16}, {9, 18}, {24, 26}, {20, 5}};
    (void)state;
    for (int i = 0; i < 5; i++) {
        rn_loader_opts o = base(true);
        o.width = sides[i][0];
        o.height = sides[i][1];
        o.flip = true;
        o.cutout = 6;
        o.pad = 4;
        compare(&o, 1, 0, 4);
        if (o.width > W)
            continue;
        o.crop = RN_CROP_WINDOW;
        compare(&o, 1, 0, 4);
        o.mixup = 1;
        o.order = RN_ORDER_PAGE_LOCAL;
        compare(&o, 1, 0, 4);
    }
    rn_loader_opts o = base(true);
    o.crop = RN_CROP_NONE;
    o.flip = true;
    compare(&o, 0, 0, 4);
}

/* A run that was broken off, in the middle of an epoch and at its end. */
static void test_resume(void **state)
{
    (void)state;
    rn_loader_opts o = base(true);
    o.pad = 4;
    o.flip = true;
    o.mixup = 0.3;
    compare(&o, 3, 2, 7);
    compare(&o, 0, 4, 3);
    o.drop_last = true;
    compare(&o, 6, 3, 3);
}

static void test_parts(void **state)
{
    (void)state;
    for (int parts = 2; parts <= 4; parts++)
        for (int part = 0; part < parts; part++)
            for (int mixed = 0; mixed < 2; mixed++) {
                rn_loader_opts o = base(true);
                o.part = part;
                o.parts = parts;
                o.pad = 4;
                o.flip = true;
                o.cutout = 8;
                o.mixup = mixed ? 0.5 : 0;
                compare(&o, 0, 0, 9);
                o.train = false;
                compare(&o, 0, 0, 9);
            }
}

static void test_evaluation(void **state)
{
    static const int sides[][2] = {{W, H}, {10, 10}, {26, 24}, {20, 40}, {7, 17}};
    (void)state;
    for (int i = 0; i < 5; i++)
        for (int v = 0; v < 4; v++) {
            rn_loader_opts o = base(false);
            o.width = sides[i][0];
            o.height = sides[i][1];
            o.batch = i == 3 ? 5 : BATCH;
            o.resize_short = v & 1 ? H : 0; /* a resize to what it is */
            o.channels = v & 2 ? 1 : 3;
            compare(&o, 0, 0, 99);
        }
    rn_loader_opts o = base(false);
    o.crop = RN_CROP_WINDOW;
    o.width = 11;
    compare(&o, 0, 0, 99);
}

static void refused(rn_loader_opts o, const char *why)
{
    rn_loader *l = NULL;
    o.decoded = rgb.d;
    const char *said = rn_loader_needs_pixels(&o, W, H);
    assert_non_null(said);
    assert_non_null(strstr(said, why));
    assert_int_equal(rn_loader_open(store, &o, &l), RN_E_UNSUPPORTED);
    assert_null(l);
    assert_non_null(strstr(rn_error_text(), why));
}

static void test_refusals(void **state)
{
    (void)state;
    rn_loader_opts o = base(true);
    assert_null(rn_loader_needs_pixels(&o, W, H));
    o.crop = RN_CROP_RESIZED;
    refused(o, "--crop resized");
    o = base(true);
    o.jitter.range[RN_COLOR_HUE] = 0.1;
    refused(o, "--color-jitter");
    o = base(true);
    o.lighting = 0.1;
    refused(o, "--lighting");
    o = base(false);
    o.resize_short = H + 1;
    refused(o, "--val-resize");

    rn_loader *l = NULL;
    o = base(true);
    o.decoded = gray.d;
    assert_int_equal(rn_loader_open(store, &o, &l), RN_E_MISMATCH);
}

/* One image of another size is found and named. */
static void test_sizes(void **state)
{
    (void)state;
    kept k = {.image = W * H * 3, .pixels = malloc(N * W * H * 3)};
    assert_non_null(k.pixels);
    assert_int_equal(rn_decoded_open(odd, W, H, 3, 2, keep_image, &k, &k.d), RN_E_RANGE);
    assert_null(k.d);
    assert_non_null(strstr(rn_error_text(), "00000044_c/44.JPEG"));
    free(k.pixels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_epochs), cmocka_unit_test(test_crops),      cmocka_unit_test(test_resume),
        cmocka_unit_test(test_parts),  cmocka_unit_test(test_evaluation), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_sizes),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
