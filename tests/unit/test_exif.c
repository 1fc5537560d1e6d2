/* SPDX-License-Identifier: MIT */
/* EXIF orientation: the eight ways, both byte orders, every place it may stand, and offsets that lead nowhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rn_io.h"
#include "base/rn_rng.h"
#include "data/image/rn_exif.h"
#include "data/pack/rn_convert.h"
#include "data/store/rn_datum.h"

/* ---- making files ------------------------------------------------------------------------------------------- */

static void put(rn_buf *b, uint64_t v, int bytes, bool big)
{
    for (int i = 0; i < bytes; i++) {
        uint8_t byte = (uint8_t)(v >> 8 * (big ? bytes - 1 - i : i));
        assert_int_equal(rn_buf_append(b, &byte, 1), 0);
    }
}

typedef struct entry {
    unsigned tag, type;
    uint32_t count;
    int size; /* bytes of a value */
    uint64_t value;
} entry;

/* A TIFF with one directory; values that do not fit their entry follow it. */
static void put_tiff(rn_buf *b, bool big, const entry *e, unsigned n)
{
    uint32_t after = 8 + 2 + 12 * n + 4;
    assert_int_equal(rn_buf_append(b, big ? "MM" : "II", 2), 0);
    put(b, 42, 2, big);
    put(b, 8, 4, big);
    put(b, n, 2, big);
    for (unsigned i = 0; i < n; i++) {
        uint32_t bytes = e[i].count * (uint32_t)e[i].size;
        put(b, e[i].tag, 2, big);
        put(b, e[i].type, 2, big);
        put(b, e[i].count, 4, big);
        if (bytes > 4) {
            put(b, after, 4, big);
            after += bytes;
            continue;
        }
        for (uint32_t k = 0; k < e[i].count; k++)
            put(b, k ? 9 : e[i].value, e[i].size, big);
        put(b, 0, (int)(4 - bytes), big);
    }
    put(b, 0, 4, big);
    for (unsigned i = 0; i < n; i++)
        for (uint32_t k = 0; e[i].count * (uint32_t)e[i].size > 4 && k < e[i].count; k++)
            put(b, k ? 9 : e[i].value, e[i].size, big);
}

static void put_app1(rn_buf *jpeg, const void *data, size_t n)
{
    put(jpeg, 0xffe1, 2, true);
    put(jpeg, n + 2, 2, true);
    assert_int_equal(rn_buf_append(jpeg, data, n), 0);
}

/* What every segment of these tests goes into: SOI, the segments, SOS. */
static void begin_jpeg(rn_buf *b)
{
    b->n = 0;
    assert_int_equal(rn_buf_append(b, "\xff\xd8\xff\xe0\x00\x04xx", 8), 0);
}

static int of(rn_buf *b)
{
    assert_int_equal(rn_buf_append(b, "\xff\xda\x00\x02", 4), 0);
    uint8_t *exact = malloc(b->n); /* so that the sanitizer sees a read past the end */
    assert_non_null(exact);
    memcpy(exact, b->data, b->n);
    int o = rn_exif_orientation(exact, b->n);
    free(exact);
    return o;
}

static int of_tiff(const rn_buf *t, const char *prefix, size_t prefix_n)
{
    rn_buf b = {0}, s = {0};
    begin_jpeg(&b);
    assert_int_equal(rn_buf_append(&s, prefix, prefix_n), 0);
    assert_int_equal(rn_buf_append(&s, t->data, t->n), 0);
    put_app1(&b, s.data, s.n);
    int o = of(&b);
    rn_buf_free(&b);
    rn_buf_free(&s);
    return o;
}

static int of_entries(bool big, const entry *e, unsigned n)
{
    rn_buf t = {0};
    put_tiff(&t, big, e, n);
    int o = of_tiff(&t, "Exif\0", 6);
    rn_buf_free(&t);
    return o;
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

/* Expected are the answers of Pillow 13. */
static void every_type_and_order(void **state)
{
    (void)state;
    static const struct {
        unsigned type;
        int size;
        bool counts;
    } types[] = {{1, 1, false}, {2, 1, false}, {3, 2, true},  {4, 4, true},  {6, 1, true},  {7, 1, false},
                 {8, 2, true},  {9, 4, true},  {13, 4, true}, {16, 8, true}, {99, 2, false}};
    for (int big = 0; big < 2; big++)
        for (size_t k = 0; k < sizeof types / sizeof *types; k++)
            for (uint32_t count = 0; count < 4; count++)
                for (unsigned v = 0; v < 11; v++) {
                    const entry e = {0x112, types[k].type, count, types[k].size, v};
                    int want = types[k].counts && count > 0 && v >= 1 && v <= 8 ? (int)v : 1;
                    int got = of_entries(big, &e, 1);
                    if (got != want)
                        fail_msg("type %u, %u values of %u, %s: %d, not %d", types[k].type, count, v,
                                 big ? "big" : "little", got, want);
                }
    const entry others[] = {{0x10f, 2, 20, 1, 'x'}, {0x112, 3, 1, 2, 8}, {0x11a, 5, 1, 8, 72}};
    assert_int_equal(of_entries(true, others, 3), 8);
    const entry twice[] = {{0x112, 3, 1, 2, 3}, {0x112, 3, 1, 2, 6}};
    assert_int_equal(of_entries(false, twice, 2), 3);
    const entry unknown[] = {{0x112, 99, 1, 2, 3}, {0x112, 3, 1, 2, 6}};
    assert_int_equal(of_entries(false, unknown, 2), 6);
    const entry far = {0x112, 3, 1, 2, 0xffff};
    assert_int_equal(of_entries(false, &far, 1), 1);
}

static void every_place(void **state)
{
    (void)state;
    const entry six = {0x112, 3, 1, 2, 6}, three = {0x112, 3, 1, 2, 3}, maker = {0x10f, 2, 4, 1, 'x'};
    static const char xmp[] = "http://ns.adobe.com/xap/1.0/\0<a tiff:Orientation=\"6\"/>";
    static const char element[] =
        "http://ns.adobe.com/xap/1.0/\0tiff:Orientation <tiff:Orientation>5</tiff:Orientation>";
    static const char single[] = "http://ns.adobe.com/xap/1.0/\0<a tiff:Orientation='6'/> tiff:Orientation=\"";
    rn_buf t = {0}, b = {0}, s = {0};
    put_tiff(&t, true, &six, 1);
    assert_int_equal(of_tiff(&t, "Exif\0", 6), 6);
    assert_int_equal(of_tiff(&t, "Exif\0\0Exif\0", 12), 6); /* some write it twice */
    assert_int_equal(of_tiff(&t, "Exif\0\0Exif\0\0Exif\0", 18), 1);
    assert_int_equal(of_tiff(&t, "exif\0", 6), 1);

    begin_jpeg(&b); /* cut in two segments */
    assert_int_equal(rn_buf_append(&s, "Exif\0", 6), 0);
    assert_int_equal(rn_buf_append(&s, t.data, 13), 0);
    put_app1(&b, s.data, s.n);
    s.n = 6;
    assert_int_equal(rn_buf_append(&s, t.data + 13, t.n - 13), 0);
    put_app1(&b, s.data, s.n);
    assert_int_equal(of(&b), 6);

    begin_jpeg(&b); /* XMP alone, and beside EXIF with and without the tag */
    put_app1(&b, xmp, sizeof xmp - 1);
    assert_int_equal(of(&b), 6);
    begin_jpeg(&b);
    put_app1(&b, element, sizeof element - 1);
    assert_int_equal(of(&b), 5);
    begin_jpeg(&b);
    put_app1(&b, single, sizeof single - 1);
    assert_int_equal(of(&b), 1);
    for (int k = 0; k < 2; k++) {
        begin_jpeg(&b);
        put_app1(&b, xmp, sizeof xmp - 1);
        s.n = 6;
        put_tiff(&s, false, k ? &three : &maker, 1);
        put_app1(&b, s.data, s.n);
        assert_int_equal(of(&b), k ? 3 : 6);
    }
    begin_jpeg(&b); /* after the scan's start nothing counts */
    assert_int_equal(rn_buf_append(&b, "\xff\xda\x00\x02", 4), 0);
    put_app1(&b, xmp, sizeof xmp - 1);
    assert_int_equal(of(&b), 1);
    rn_buf_free(&t);
    rn_buf_free(&b);
    rn_buf_free(&s);
}

static void put_chunk(rn_buf *b, const char *type, const rn_buf *data, bool right_crc)
{
    rn_buf c = {0};
    uint32_t crc = 0xffffffffu;
    assert_int_equal(rn_buf_append(&c, type, 4), 0);
    assert_int_equal(rn_buf_append(&c, data->data, data->n), 0);
    for (size_t i = 0; i < c.n; i++)
        for (int k = (crc ^= c.data[i], 0); k < 8; k++)
            crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
    put(b, data->n, 4, true);
    assert_int_equal(rn_buf_append(b, c.data, c.n), 0);
    put(b, right_crc ? ~crc : crc, 4, true);
    rn_buf_free(&c);
}

static void png_has_a_chunk_for_it(void **state)
{
    (void)state;
    static const int want[] = {7, 1, 1, 4};
    const entry e[] = {{0x112, 3, 1, 2, 7}, {0x112, 3, 1, 2, 4}};
    rn_buf b = {0}, t[2] = {{0}, {0}}, none = {0};
    put_tiff(&t[0], true, &e[0], 1);
    put_tiff(&t[1], false, &e[1], 1);
    for (int k = 0; k < 4; k++) {
        b.n = 0;
        assert_int_equal(rn_buf_append(&b, "\x89PNG\r\n\x1a\n", 8), 0);
        if (k != 2)
            put_chunk(&b, "eXIf", &t[0], k != 1);
        put_chunk(&b, "IDAT", &t[1], true);
        if (k == 3)
            put_chunk(&b, "eXIf", &t[1], true); /* the last one counts */
        put_chunk(&b, "IEND", &none, true);
        put_chunk(&b, "eXIf", &t[1], true); /* what follows the end does not */
        assert_int_equal(rn_exif_orientation(b.data, b.n), want[k]);
    }
    for (size_t cut = 8; cut < b.n; cut++)
        (void)rn_exif_orientation(b.data, cut);
    rn_buf_free(&b);
    rn_buf_free(&t[0]);
    rn_buf_free(&t[1]);
}

/* Whatever is damaged or cut, the answer is an orientation and no byte outside is read. */
static void damage_does_no_harm(void **state)
{
    (void)state;
    const entry e[] = {{0x10f, 2, 30, 1, 'x'}, {0x112, 3, 3, 2, 6}};
    rn_buf t = {0};
    rn_rng r;
    int changed = 0;
    put_tiff(&t, true, e, 2);
    rn_rng_seed(&r, 11, RN_STREAM_TEST, 0, 0);
    for (int round = 0; round < 4000; round++) {
        size_t at = rn_rng_below(&r, (uint32_t)t.n), n = round % 3 ? t.n : rn_rng_below(&r, (uint32_t)t.n + 1);
        uint8_t old = t.data[at];
        t.data[at] = (uint8_t)(round % 2 ? rn_rng_u32(&r) : 0xff);
        rn_buf part = {.data = t.data, .n = n};
        int o = of_tiff(&part, "Exif\0", 6);
        assert_in_range(o, 1, 8);
        changed += o != 6;
        t.data[at] = old;
    }
    assert_in_range(changed, 500, 3500);
    rn_buf_free(&t);
}

/* ---- turning ------------------------------------------------------------------------------------------------ */

static void turns_the_right_way(void **state)
{
    (void)state;
    static const char *const want[9] = {NULL,     "ABCDEF", "CBAFED", "FEDCBA", "DEFABC",
                                        "ADBECF", "DAEBFC", "FCEBDA", "CFBEAD"};
    for (int c = 1; c <= 3; c += 2)
        for (int o = 1; o <= 8; o++) {
            rn_image in = {0}, out = {0};
            assert_int_equal(rn_image_alloc(&in, 3, 2, c), 0);
            for (int i = 0; i < 6; i++)
                for (int k = 0; k < c; k++)
                    in.px[i * c + k] = (uint8_t)("ABCDEF"[i] + 32 * k);
            assert_int_equal(rn_exif_turn(&in, o, &out), 0);
            assert_int_equal(out.w * 10 + out.h, o >= 5 ? 23 : 32);
            for (int i = 0; i < 6; i++)
                for (int k = 0; k < c; k++)
                    if (out.px[i * c + k] != (uint8_t)(want[o][i] + 32 * k))
                        fail_msg("orientation %d, pixel %d, channel %d", o, i, k);
            rn_image_free(&in);
            rn_image_free(&out);
        }
}

/* Through the converter: turned before the resize, so short:N is the short side of what is seen; ignored unless asked for. */
static void the_converter_turns_first(void **state)
{
    (void)state;
    const entry six = {0x112, 3, 1, 2, 6};
    rn_image im = {0}, seen = {0}, turned = {0};
    rn_buf jpeg = {0}, s = {0}, datum = {0}, text = {0};
    uint8_t *plain = NULL;
    size_t cap = 0, n = 0;
    uint64_t data_n;
    assert_int_equal(rn_image_alloc(&im, 32, 16, 3), 0);
    for (int i = 0; i < 32 * 16 * 3; i++)
        im.px[i] = (uint8_t)(i * 7);
    assert_int_equal(rn_image_encode_jpeg(&im, 90, &plain, &cap, &n), 0);
    assert_int_equal(rn_buf_append(&jpeg, plain, 2), 0);
    assert_int_equal(rn_buf_append(&s, "Exif\0", 6), 0);
    put_tiff(&s, false, &six, 1);
    put_app1(&jpeg, s.data, s.n);
    assert_int_equal(rn_buf_append(&jpeg, plain + 2, n - 2), 0);
    assert_int_equal(rn_image_decode(jpeg.data, jpeg.n, "x", NULL, &seen, NULL), 0);
    assert_int_equal(rn_exif_turn(&seen, 6, &turned), 0);
    for (int on = 0; on < 2; on++) {
        rn_convert_opts o = {.encode = RN_ENCODE_RAW, .exif_rotate = on};
        rn_converter *c = NULL;
        rn_datum d;
        assert_int_equal(rn_converter_open(&o, &c), 0);
        assert_int_equal(rn_converter_run(c, jpeg.data, jpeg.n, "x", 0, &datum, &data_n), 0);
        assert_int_equal(rn_datum_parse(datum.data, datum.n, &d), 0);
        assert_int_equal(d.width * 100 + d.height, on ? 1632 : 3216);
        const rn_image *want = on ? &turned : &seen;
        for (int i = 0; i < 32 * 16; i++)
            for (int k = 0; k < 3; k++)
                assert_int_equal(d.data[(2 - k) * 32 * 16 + i], want->px[3 * i + k]);
        rn_converter_close(c);
        text.n = 0;
        assert_int_equal(rn_convert_text(&o, &text), 0);
        assert_string_equal((char *)text.data,
                            on ? "resize=none exif-rotate=yes encode=raw" : "resize=none encode=raw");
    }
    rn_image_free(&im);
    rn_image_free(&seen);
    rn_image_free(&turned);
    rn_buf_free(&jpeg);
    rn_buf_free(&s);
    rn_buf_free(&datum);
    rn_buf_free(&text);
    free(plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_and_order),   cmocka_unit_test(every_place),
        cmocka_unit_test(png_has_a_chunk_for_it), cmocka_unit_test(damage_does_no_harm),
        cmocka_unit_test(turns_the_right_way),    cmocka_unit_test(the_converter_turns_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
