/* SPDX-License-Identifier: MIT */
/* The parts of verification: findings, labels, EXIF, what is expected of an archive, two digests on one pass. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "data/archive/rn_filestream.h"
#include "data/verify/rn_verify.h"
#include "data/verify/rn_verify_exif.h"
#include "data/verify/rn_verify_labels.h"
#include "data/verify/rn_verify_records.h"

/* ---- findings -------------------------------------------------------------------------------------------- */

/* Of a thousand the first 200 by text are kept, in whatever order they come. */
static void keeps_the_first(void **state)
{
    (void)state;
    rn_findings f[2];
    for (int k = 0; k < 2; k++) {
        rn_findings_init(&f[k]);
        for (int i = 0; i < 1000; i++)
            rn_findings_add(&f[k], RN_BAD, RN_K_EMPTY, "x", "file %04d", k ? 999 - i : (i * 7) % 1000);
        rn_findings_add(&f[k], RN_NOTE, RN_K_EMPTY, "y", "a note");
        rn_findings_add(&f[k], RN_BAD, RN_K_DIGEST, "z", "a digest");
        rn_findings_sort(&f[k]);
        assert_int_equal(f[k].count[RN_K_EMPTY][RN_BAD], 1000);
        assert_int_equal(rn_findings_total(&f[k], RN_BAD), 1001);
        assert_int_equal(f[k].n, RN_FINDINGS_KEPT + 2);
        assert_string_equal(f[k].row[0].text, "a digest");
        assert_string_equal(f[k].row[1].text, "file 0000");
        assert_string_equal(f[k].row[RN_FINDINGS_KEPT].text, "file 0199");
        assert_string_equal(f[k].row[RN_FINDINGS_KEPT + 1].text, "a note");
        rn_findings_free(&f[k]);
    }
    for (int k = 0; k < RN_NKINDS; k++) /* words are words, and only oddities are found by theirs */
        assert_int_equal(rn_oddity_kind(rn_kind_name((enum rn_kind)k)), k >= RN_K_PNG ? k : -1);
}

/* ---- labels ---------------------------------------------------------------------------------------------- */

static const char *name_of(const void *arg, uint32_t i)
{
    (void)arg;
    static const char *const names[] = {"i0", "i1", "i2", "i3", "i4", "i5", "i6", "i7", "i8"};
    return names[i];
}

/* Nine images, three a class, bearing `label`: how many findings of each kind, and what they say. */
static void labels(const int32_t label[9], bool gaps, uint64_t order, uint64_t single, const char *says)
{
    static const char *const class[] = {"a", "b", "c"};
    static const int32_t of[9] = {0, 0, 0, 1, 1, 1, 2, 2, 2};
    rn_findings f;
    rn_findings_init(&f);
    rn_labelled s = {.where = "w",
                     .class = class,
                     .nclasses = 3,
                     .n = 9,
                     .of = of,
                     .label = label,
                     .name = name_of,
                     .gaps = gaps,
                     .level = RN_BAD};
    assert_int_equal(rn_labels_check(&s, &f), 0);
    rn_findings_sort(&f);
    assert_int_equal(f.count[RN_K_LABEL_ORDER][RN_BAD], order);
    assert_int_equal(f.count[RN_K_LABEL][RN_BAD], single);
    assert_int_equal(rn_findings_total(&f, RN_BAD), order + single);
    if (says)
        assert_non_null(strstr(f.row[0].text, says));
    rn_findings_free(&f);
}

static void label_order(void **state)
{
    (void)state;
    labels((int32_t[]){0, 0, 0, 1, 1, 1, 2, 2, 2}, false, 0, 0, NULL);
    labels((int32_t[]){2, 2, 2, 0, 0, 0, 1, 1, 1}, false, 3, 0, "another order of the classes");
    labels((int32_t[]){1, 1, 1, 2, 2, 2, 3, 3, 3}, false, 3, 0, "count from 1");
    labels((int32_t[]){0, 0, 0, 1, 1, 2, 2, 2, 2}, false, 0, 1, "i5 has label 2, its class b is 1");
    labels((int32_t[]){0, 0, 0, 5, 5, 1, 2, 2, 2}, false, 1, 0, "class b has label 5, over the sorted names it is 1");
    labels((int32_t[]){0, 0, 0, 7, 8, 9, 2, 2, 2}, false, 0, 3, NULL); /* no majority: each image for itself */
    labels((int32_t[]){0, 0, 0, 4, 4, 4, 9, 9, 9}, true, 0, 0, NULL);
    labels((int32_t[]){0, 0, 0, 4, 4, 9, 9, 9, 9}, true, 0, 1, "i5 has label 9, its class b is 4");
    labels((int32_t[]){4, 4, 4, 0, 0, 0, 9, 9, 9}, true, 3, 0, NULL);
    labels((int32_t[]){1, 1, 1, 2, 2, 2, 3, 3, 3}, true, 3, 0, "count from 1");
}

/* ---- EXIF ------------------------------------------------------------------------------------------------ */

/* Big-endian: one directory of n entries at 8, then `more`. */
static size_t tiff(uint8_t out[64], uint16_t tag, uint16_t type, uint32_t count, uint32_t value)
{
    const uint8_t head[] = {'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1};
    const uint8_t entry[] = {(uint8_t)(tag >> 8),    (uint8_t)tag,           (uint8_t)(type >> 8),  (uint8_t)type,
                             (uint8_t)(count >> 24), (uint8_t)(count >> 16), (uint8_t)(count >> 8), (uint8_t)count,
                             (uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value};
    memset(out, 0, 64);
    memcpy(out, head, sizeof head);
    memcpy(out + sizeof head, entry, sizeof entry);
    return sizeof head + sizeof entry + 4;
}

static void exif(void **state)
{
    (void)state;
    uint8_t t[64];
    size_t n = tiff(t, 0x0112, 3, 1, 6u << 16);
    assert_true(rn_exif_sound(t, n));
    for (size_t cut = 0; cut < n - 4; cut++) /* (the four bytes after the entries are the next directory's place) */
        assert_false(rn_exif_sound(t, cut));
    n = tiff(t, 0x010e, 2, 30, 26);
    assert_true(rn_exif_sound(t, 56));
    assert_false(rn_exif_sound(t, 55));
    n = tiff(t, 0x010e, 5, 0xffffffff, 26); /* 34 GB of rationals */
    assert_false(rn_exif_sound(t, 64));
    n = tiff(t, 0x010e, 2, 5, 0xffffffff);
    assert_false(rn_exif_sound(t, 64));
    n = tiff(t, 0x8769, 4, 1,
             26); /* the camera's directory: empty, then beyond the end, then one that points outside */
    assert_true(rn_exif_sound(t, n + 4));
    assert_false(rn_exif_sound(t, 27));
    t[27] = 9;
    assert_false(rn_exif_sound(t, 64));
    n = tiff(t, 0x0112, 99, 0xffffffff, 0); /* no such type: passed over */
    assert_true(rn_exif_sound(t, n));
    t[0] = 'I';
    assert_false(rn_exif_sound(t, n));
}

/* ---- what is expected ------------------------------------------------------------------------------------ */

#define MD5_A "0123456789abcdef0123456789abcdef"
#define MD5_B "ffffffffffffffffffffffffffffffff"

static void precedence(void **state)
{
    (void)state;
    rn_expected e;
    rn_manifest *m;
    rn_sums given = {0}, beside = {0};
    static const char lines[] = MD5_A "  ILSVRC2012_img_val.tar\n" MD5_A "  x.tar\n";
    static const char json[] = "{\"format\":\"rnkit-manifest-1\",\"name\":\"n\",\"archives\":[{\"file\":\"x.tar\","
                               "\"bytes\":7,\"md5\":\"" MD5_B "\",\"split\":\"s\"}],\"splits\":{\"s\":{\"images\":3}}}";
    assert_int_equal(rn_write_file_atomic("SUMS", lines, sizeof lines - 1), 0);
    assert_int_equal(rn_sums_read("SUMS", &given), 0);
    assert_int_equal(rn_sums_read("SUMS", &beside), 0);
    assert_int_equal(rn_manifest_parse(json, sizeof json - 1, "m.json", &m), 0);

    assert_int_equal(rn_expect("d/ILSVRC2012_img_val.tar", NULL, NULL, NULL, &e), 0);
    assert_string_equal(e.md5, "29b22e2961454d5413ddabcf34fc5622");
    assert_string_equal(e.from, "the published list");
    assert_int_equal(e.bytes, 6744924160);
    assert_int_equal(e.shape->images, 50000);
    /* Another set's archive of the same name: nothing of the published one holds for it. */
    assert_int_equal(rn_expect("d/ILSVRC2012_img_val.tar", NULL, NULL, &beside, &e), 0);
    assert_string_equal(e.md5, MD5_A);
    assert_string_equal(e.from, "SUMS");
    assert_int_equal(e.bytes, -1);
    assert_null(e.sha256);
    assert_null(e.shape);
    assert_int_equal(rn_expect("x.tar", NULL, m, &beside, &e), 0); /* the manifest before MD5SUMS */
    assert_string_equal(e.md5, MD5_B);
    assert_string_equal(e.from, "m.json");
    assert_int_equal(e.bytes, 7);
    assert_int_equal(e.shape->images, 3);
    assert_int_equal(rn_expect("x.tar", &given, m, &beside, &e), 0); /* what was given before all */
    assert_string_equal(e.md5, MD5_A);
    assert_int_equal(e.bytes, -1);
    assert_int_equal(rn_expect("y.tar", &given, m, &beside, &e), 0);
    assert_null(e.md5);
    assert_null(e.from);
    rn_manifest_close(m);
    rn_sums_free(&given);
    rn_sums_free(&beside);
}

/* ---- two digests on one pass ----------------------------------------------------------------------------- */

static void both_digests(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 1 << 20, (1 << 20) + 1, 11 << 20};
    char *data = malloc(11 << 20), md5[RN_DIGEST_HEX_MAX], sha[RN_DIGEST_HEX_MAX], want[RN_DIGEST_HEX_MAX];
    assert_non_null(data);
    for (size_t i = 0; i < 11 << 20; i++)
        data[i] = (char)(i * 2654435761u >> 13);
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        rn_filestream *s;
        const void *block;
        uint64_t bytes;
        assert_int_equal(rn_write_file_atomic("data", data, sizes[k]), 0);
        assert_int_equal(rn_filestream_open("data", RN_MD5_AND_SHA256, 0, &s), 0);
        if (sizes[k] > 1 << 20)
            assert_int_equal(rn_filestream_next(s, &block), 1 << 20);
        assert_int_equal(rn_filestream_digest(s, md5, &bytes), 0);
        assert_int_equal(rn_filestream_sha256(s, sha), 0);
        assert_int_equal(bytes, sizes[k]);
        rn_digest_buffer(RN_MD5, data, sizes[k], want);
        assert_string_equal(md5, want);
        rn_digest_buffer(RN_SHA256, data, sizes[k], want);
        assert_string_equal(sha, want);
        rn_filestream_close(s);
        assert_int_equal(rn_filestream_open("data", RN_MD5, 0, &s), 0);
        assert_int_equal(rn_filestream_sha256(s, sha), RN_E_USAGE);
        rn_filestream_close(s);
        assert_int_equal(rn_filestream_open("data", RN_MD5_AND_SHA256, 0, &s), 0); /* closed while both are at work */
        rn_filestream_close(s);
    }
    free(data);
}

/* ---- the published shape --------------------------------------------------------------------------------- */

/* A JPEG's bare bones: enough for a look without decoding. */
static const uint8_t bones[] = {0xff, 0xd8, 0xff, 0xc0, 0, 11, 8, 0, 8, 0,    8, 1, 1,    0x11,
                                0,    0xff, 0xda, 0,    8, 1,  1, 0, 0, 0x3f, 0, 0, 0xff, 0xd9};

/* 1,000 WNIDs and 50,000 numbered images are ILSVRC2012's val by themselves: what is missing is named without any list.
 */
static void published_shape(void **state)
{
    (void)state;
    char path[128];
    rn_verify_set set;
    assert_int_equal(rn_write_file_atomic("bones", bones, sizeof bones), 0);
    for (int i = 0; i < 50000; i++) {
        int class = i / 50 * 13671 + 1440764;
        snprintf(path, sizeof path, "set/val/n%08d", class);
        if (i % 50 == 0)
            assert_int_equal(rn_mkdir_p(path), 0);
        snprintf(path, sizeof path, "set/val/n%08d/ILSVRC2012_val_%08d.JPEG", class, i + 1);
        if (i != 2 && link("bones", path) < 0) /* a file system that has no such number of links */
            assert_int_equal(rn_write_file_atomic(path, bones, sizeof bones), 0);
    }
    assert_int_equal(rn_verify_tree("set", &(rn_verify_opts){.jobs = 2}, &set), 0);
    assert_int_equal(set.images, 49999);
    assert_int_equal(set.classes, 1000);
    assert_int_equal(set.found.count[RN_K_MISSING][RN_BAD], 1);
    assert_int_equal(set.found.count[RN_K_COUNT][RN_BAD], 2); /* of the class, of all */
    assert_int_equal(rn_findings_total(&set.found, RN_BAD), 3);
    for (int i = 0; i < set.found.n; i++)
        if (set.found.row[i].kind == RN_K_MISSING)
            assert_string_equal(set.found.row[i].name, "ILSVRC2012_val_00000003.JPEG");
    rn_verify_set_free(&set);
    static const rn_manifest none;
    assert_int_equal(rn_verify_tree("set", &(rn_verify_opts){.jobs = 2, .manifest = &none}, &set), 0);
    assert_int_equal(rn_findings_total(&set.found, RN_BAD), 0);
    rn_verify_set_free(&set);
}

/* Keys that other programs wrote: two that differ only behind a NUL are two, and no control byte reaches a terminal. */
static void key_text(void **state)
{
    (void)state;
    char text[RN_KEY_TEXT_MAX], longest[511];
    rn_key_text("00000001_a\0b", 12, text);
    assert_string_equal(text, "00000001_a\\x00b");
    rn_key_text("\x1b[2J\x7f", 5, text);
    assert_string_equal(text, "\\x1b[2J\\x7f");
    memset(longest, 0, sizeof longest);
    rn_key_text(longest, sizeof longest, text);
    assert_int_equal(strlen(text), 4 * sizeof longest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_the_first), cmocka_unit_test(label_order),  cmocka_unit_test(exif),
        cmocka_unit_test(precedence),      cmocka_unit_test(both_digests), cmocka_unit_test(published_shape),
        cmocka_unit_test(key_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
