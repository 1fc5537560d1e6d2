/* SPDX-License-Identifier: MIT */
/* Datum: bytes against Caffe's layout, our parser against protobuf-c, and every kind of damage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rn_error.h"
#include "base/rn_rng.h"
#include "caffe.pb-c.h"
#include "data/store/rn_datum.h"

static void encoded_bytes_are_caffes(void **state)
{
    (void)state;
    static const uint8_t want[] = {0x22, 4, 0xff, 0xd8, 0xff, 0xd9, 0x28, 0xac, 0x02, 0x38, 1};
    rn_buf b = {0};
    assert_int_equal(rn_datum_pack_encoded(want + 2, 4, 300, &b), 0);
    assert_int_equal(b.n, sizeof want);
    assert_memory_equal(b.data, want, sizeof want);
    rn_buf_free(&b);
}

static void raw_bytes_are_caffes(void **state)
{
    (void)state;
    static const uint8_t prefix[] = {8, 3, 0x10, 0x80, 2, 0x18, 0x80, 2, 0x22, 0x80, 0x80, 0x0c};
    static const uint8_t tail[] = {0x28, 0x7f, 0x38, 0};
    enum { N = 3 * 256 * 256 };
    uint8_t *px = malloc(N);
    rn_buf b = {0};
    assert_non_null(px);
    for (int i = 0; i < N; i++)
        px[i] = (uint8_t)(i * 7);
    assert_int_equal(rn_datum_pack_raw(px, 3, 256, 256, 127, &b), 0);
    assert_int_equal(b.n, 196624);
    assert_memory_equal(b.data, prefix, sizeof prefix);
    assert_memory_equal(b.data + sizeof prefix, px, N);
    assert_memory_equal(b.data + b.n - 4, tail, 4);
    assert_int_equal(rn_datum_pack_raw(px, 3, 256, 256, 128, &b), 0);
    assert_int_equal(b.n, 196625);
    rn_datum d;
    assert_int_equal(rn_datum_parse(b.data, b.n, &d), 0);
    assert_int_equal(d.label, 128);
    assert_false(d.encoded);
    assert_int_equal(d.channels * 1000000 + d.height * 1000 + d.width, 3256256);
    assert_int_equal(d.data_n, N);
    rn_buf_free(&b);
    free(px);
}

static void negative_label_takes_ten_bytes(void **state)
{
    (void)state;
    static const uint8_t want[] = {0x22, 1, 'x', 0x28, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 0x38, 1};
    rn_buf b = {0};
    rn_datum d;
    assert_int_equal(rn_datum_pack_encoded("x", 1, -1, &b), 0);
    assert_int_equal(b.n, sizeof want);
    assert_memory_equal(b.data, want, sizeof want);
    assert_int_equal(rn_datum_parse(b.data, b.n, &d), 0);
    assert_int_equal(d.label, -1);
    rn_buf_free(&b);
}

static void shapes_that_do_not_fit(void **state)
{
    (void)state;
    uint8_t px[12] = {0};
    rn_buf b = {0};
    rn_datum d;
    assert_int_equal(rn_datum_pack_raw(px, 0, 2, 2, 0, &b), RN_E_RANGE);
    assert_int_equal(rn_datum_pack_raw(px, 3, 2, 2, 0, &b), 0);
    for (uint8_t wrong = 0; wrong < 8; wrong++) {
        if (wrong == 2)
            continue;
        b.data[3] = wrong; /* height */
        assert_int_equal(rn_datum_parse(b.data, b.n, &d), RN_E_FORMAT);
    }
    rn_buf_free(&b);
}

/* Each is one way in which bytes are no Datum. */
static void damage_is_refused(void **state)
{
    (void)state;
    static const struct {
        size_t n;
        uint8_t b[24];
    } bad[] = {
        {0, {0}},
        {2, {0x38, 1}},                                                             /* no data */
        {3, {0x22, 2, 'x'}},                                                        /* data over the end */
        {7, {0x22, 0xff, 0xff, 0xff, 0xff, 0x0f, 'x'}},                             /* 4 GiB of data */
        {12, {0x22, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 'x'}},          /* a "negative" length */
        {13, {0x22, 0x81, 128, 128, 128, 128, 128, 128, 128, 128, 128, 0, 'x'}},    /* 11-byte varint */
        {14, {0x22, 1, 'x', 0x28, 255, 255, 255, 255, 255, 255, 255, 255, 255, 3}}, /* over 64 bits */
        {4, {0x22, 1, 'x', 0x28}},                                                  /* label without value */
        {5, {0x22, 1, 'x', 0x28, 0x80}},                                            /* cut varint */
        {5, {0x22, 1, 'x', 0x2a, 0}},                                               /* label with the type of bytes */
        {2, {0x20, 1}},                                                             /* data with the type of a number */
        {5, {0x22, 1, 'x', 0x00, 1}},                                               /* field 0 */
        {4, {0x22, 1, 'x', 0x43}},                                                  /* group start */
        {5, {0x22, 1, 'x', 0x45, 1}},                        /* cut fixed32 of an unknown field */
        {5, {0x22, 1, 'x', 0x42, 9}},                        /* unknown bytes over the end */
        {9, {0x22, 1, 'x', 0xf8, 255, 255, 255, 255, 0x7f}}, /* tag over 32 bits */
    };
    rn_datum d;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (rn_datum_parse(bad[i].b, bad[i].n, &d) != RN_E_FORMAT)
            fail_msg("damage %zu was accepted", i);
    static const uint8_t floats[] = {0x35, 0, 0, 0x80, 0x3f};
    assert_int_equal(rn_datum_parse(floats, sizeof floats, &d), RN_E_UNSUPPORTED);
}

static void unknown_fields_and_any_order(void **state)
{
    (void)state;
    static const uint8_t b[] = {0x38, 1, 0x28, 5,    0x40, 9,   0x4a, 1, 'z', 0x55, 0,
                                0,    0, 0,    0x22, 1,    'a', 0x22, 2, 'b', 'c'};
    rn_datum d;
    assert_int_equal(rn_datum_parse(b, sizeof b, &d), 0);
    assert_int_equal(d.label, 5);
    assert_true(d.encoded);
    assert_int_equal(d.data_n, 2); /* the last one wins */
    assert_memory_equal(d.data, "bc", 2);
}

/* Whatever we accept after random damage, protobuf-c reads the same way. */
static void agrees_with_protobuf_c(void **state)
{
    (void)state;
    rn_rng r;
    rn_buf b = {0};
    int accepted = 0;
    rn_rng_seed(&r, 1, RN_STREAM_TEST, 0, 0);
    for (int round = 0; round < 20000; round++) {
        uint8_t px[48];
        for (size_t i = 0; i < sizeof px; i++)
            px[i] = (uint8_t)rn_rng_u32(&r);
        int32_t label = (int32_t)rn_rng_below(&r, 2000) - 10;
        int rc = rn_rng_below(&r, 2) ? rn_datum_pack_raw(px, 3, 4, 4, label, &b)
                                     : rn_datum_pack_encoded(px, 1 + rn_rng_below(&r, sizeof px), label, &b);
        assert_int_equal(rc, 0);
        for (uint32_t k = rn_rng_below(&r, 3); k > 0; k--)
            b.data[rn_rng_below(&r, (uint32_t)b.n)] = (uint8_t)rn_rng_u32(&r);
        uint8_t *exact = malloc(b.n); /* so that the sanitizer sees a read past the end */
        rn_datum d;
        assert_non_null(exact);
        memcpy(exact, b.data, b.n);
        if (rn_datum_parse(exact, b.n, &d) == 0) {
            Rn__Datum *m = rn__datum__unpack(NULL, b.n, exact);
            accepted++;
            if (!m) /* it refuses some unknown fields that we skip */
                goto next;
            assert_int_equal(m->data.len, d.data_n);
            assert_memory_equal(m->data.data, d.data, d.data_n);
            assert_int_equal(m->label, d.label);
            assert_int_equal(m->encoded != 0, d.encoded);
            assert_int_equal(m->channels, d.channels);
            assert_int_equal(m->height, d.height);
            assert_int_equal(m->width, d.width);
            rn__datum__free_unpacked(m, NULL);
        }
    next:
        free(exact);
    }
    assert_true(accepted > 5000);
    rn_buf_free(&b);
}

static void planar_from_rgb(void **state)
{
    (void)state;
    static const uint8_t rgb[] = {1, 2, 3, 4, 5, 6}, want[] = {3, 6, 2, 5, 1, 4};
    uint8_t planar[6];
    rn_datum_planar_from_rgb(rgb, 1, 2, 3, planar);
    assert_memory_equal(planar, want, 6);
    rn_datum_planar_from_rgb(rgb, 2, 3, 1, planar);
    assert_memory_equal(planar, rgb, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encoded_bytes_are_caffes),
        cmocka_unit_test(raw_bytes_are_caffes),
        cmocka_unit_test(negative_label_takes_ten_bytes),
        cmocka_unit_test(shapes_that_do_not_fit),
        cmocka_unit_test(damage_is_refused),
        cmocka_unit_test(unknown_fields_and_any_order),
        cmocka_unit_test(agrees_with_protobuf_c),
        cmocka_unit_test(planar_from_rgb),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
