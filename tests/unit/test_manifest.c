/* SPDX-License-Identifier: MIT */
/* The manifest: what is built in, what goes out and in again, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "data/meta/rn_manifest.h"

static void built_in(void **state)
{
    (void)state;
    const rn_manifest *m = rn_manifest_builtin();
    assert_non_null(m);
    assert_ptr_equal(m, rn_manifest_builtin());
    assert_string_equal(m->name, "ILSVRC2012");
    assert_int_equal(m->narchives, 11);
    const rn_manifest_archive *a = rn_manifest_find(m, "some/where/ILSVRC2012_img_train.tar");
    assert_non_null(a);
    assert_int_equal(a->bytes, 147897477120);
    assert_string_equal(a->md5, "1d675b47d978889d74fa0da5fadfb00e");
    assert_string_equal(a->sha256, "b08200a27a8e34218a0e58fde36b0fe8f73bc377f4acea2d91602057c3ca45bb");
    assert_int_equal(m->shape[a->split].images, 1281167);
    assert_int_equal(m->shape[a->split].classes, 1000);
    assert_int_equal(m->shape[a->split].least, 732);
    assert_int_equal(m->shape[a->split].most, 1300);
    /* Both test archives are right: the set was reissued in 2019. */
    assert_string_equal(rn_manifest_find(m, "ILSVRC2012_img_test.tar")->md5, "fe64ceb247e473635708aed23ab6d839");
    a = rn_manifest_find(m, "ILSVRC2012_img_test_v10102019.tar");
    assert_string_equal(a->md5, "e1b8681fff3d63731c599df9b4b6fc02");
    assert_int_equal(a->bytes, -1);
    assert_int_equal(m->shape[a->split].images, 100000);
    assert_int_equal(m->shape[a->split].classes, -1);
    a = rn_manifest_find(m, "ILSVRC2012_devkit_t3.tar.gz"); /* published without a digest */
    assert_string_equal(a->md5, "");
    assert_string_equal(a->sha256, "");
    assert_int_equal(a->split, -1);
    assert_null(rn_manifest_find(m, "ILSVRC2012_img_train.tar.gz"));
    assert_int_equal(rn_manifest_shape(m, "val")->images, 50000);
    assert_int_equal(m->nknown, 1 + 22 + 1 + 1);
    assert_true(rn_manifest_knows(m, RN_K_PNG, "n02105855/n02105855_2933.JPEG"));
    assert_true(rn_manifest_knows(m, RN_K_CMYK, "ILSVRC2012_val_00019877.JPEG"));
    assert_true(rn_manifest_knows(m, RN_K_EXIF, "n04152593_17460.JPEG"));
    assert_false(rn_manifest_knows(m, RN_K_CMYK, "n02105855_2933.JPEG"));
    assert_false(rn_manifest_knows(m, RN_K_PNG, "n02105855_2934.JPEG"));
    assert_false(rn_manifest_knows(NULL, RN_K_PNG, "n02105855_2933.JPEG"));
}

static const char head[] = "{\"format\":\"rnkit-manifest-1\",\"name\":\"x\",";

static void good(const char *rest, rn_manifest **m)
{
    char text[4096];
    int n = snprintf(text, sizeof text, "%s%s", head, rest);
    if (rn_manifest_parse(text, (size_t)n, "m.json", m) < 0)
        fail_msg("%s: %s", rest, rn_error_text());
}

static void bad_text(const char *text, const char *says)
{
    rn_manifest *m = (void *)text;
    if (rn_manifest_parse(text, strlen(text), "m.json", &m) != RN_E_FORMAT)
        fail_msg("taken, or failed otherwise: %s", text);
    assert_null(m);
    if (!strstr(rn_error_text(), says) || strncmp(rn_error_text(), "m.json:", 7) != 0)
        fail_msg("'%s' is not in: %s", says, rn_error_text());
}

static void bad(const char *rest, const char *says)
{
    char text[4096];
    snprintf(text, sizeof text, "%s%s", head, rest);
    bad_text(text, says);
}

#define MD5 "0123456789abcdef0123456789abcdef"

static void refuses(void **state)
{
    (void)state;
    bad_text("", "m.json:1:");
    bad_text("{\n\"format\":\n]", "m.json:3:");
    bad_text("[]", "format");
    bad_text("{}", "format");
    bad_text("{\"format\":\"rnkit-manifest-2\"}", "must be \"rnkit-manifest-1\"");
    bad_text("{\"format\":\"rnkit-manifest-1\",\"format\":\"rnkit-manifest-1\"}", "duplicate");
    bad("\"archives\":[]}", "archives: must be a list of 1 to 4096");
    bad("\"archives\":{}}", "archives: ");
    bad("\"archives\":[7]}", "archives[0]: must be an object");
    bad("\"archives\":[{}]}", "archives[0].file: is missing");
    bad("\"archives\":[{\"file\":7}]}", "archives[0].file: ");
    bad("\"archives\":[{\"file\":\"\"}]}", "archives[0].file: ");
    bad("\"archives\":[{\"file\":\"a/b\"}]}", "without a folder");
    bad("\"archives\":[{\"file\":\"..\"}]}", "must be a file's name");
    bad("\"archives\":[{\"file\":\"a\\nb\"}]}", "control");
    bad("\"archives\":[{\"file\":\"a\"},{\"file\":\"a\"}]}", "archives[1].file: stands there twice");
    bad("\"archives\":[{\"file\":\"a\",\"md5sum\":\"" MD5 "\"}]}", "archives[0].md5sum: no field of an archive");
    bad("\"archives\":[{\"file\":\"a\",\"md5\":\"" MD5 "0\"}]}", "32 hexadecimal digits");
    bad("\"archives\":[{\"file\":\"a\",\"md5\":\"0123456789abcdef0123456789abcdeg\"}]}", "archives[0].md5: ");
    bad("\"archives\":[{\"file\":\"a\",\"md5\":null}]}", "archives[0].md5: ");
    bad("\"archives\":[{\"file\":\"a\",\"sha256\":\"" MD5 "\"}]}", "64 hexadecimal digits");
    bad("\"archives\":[{\"file\":\"a\",\"bytes\":-1}]}", "archives[0].bytes: ");
    bad("\"archives\":[{\"file\":\"a\",\"bytes\":0}]}", "archives[0].bytes: ");
    bad("\"archives\":[{\"file\":\"a\",\"bytes\":1.0}]}", "archives[0].bytes: ");
    bad("\"archives\":[{\"file\":\"a\",\"bytes\":\"1\"}]}", "archives[0].bytes: ");
    bad("\"archives\":[{\"file\":\"a\",\"bytes\":99999999999999999999}]}", "m.json:1:");
    bad("\"archives\":[{\"file\":\"a\",\"split\":\"train\"}]}", "archives[0].split: must name one of the splits");
    bad("\"archives\":[{\"file\":\"a\"}],\"more\":1}", "more: no field of a manifest");
    bad("\"archives\":[{\"file\":\"a\"}],\"splits\":[]}", "splits: ");
    bad("\"archives\":[{\"file\":\"a\"}],\"splits\":{\"v\":7}}", "splits.v: must be an object");
    bad("\"archives\":[{\"file\":\"a\"}],\"splits\":{\"v\":{\"image\":7}}}", "splits.v.image: no field of a split");
    bad("\"archives\":[{\"file\":\"a\"}],\"splits\":{\"v\":{\"images\":-7}}}", "splits.v.images: ");
    bad("\"archives\":[{\"file\":\"a\"}],\"splits\":{\"v\":{\"least_per_class\":7,\"most_per_class\":6}}}", "above");
    bad("\"archives\":[{\"file\":\"a\"}],\"splits\":{\"v\":{\"per_class\":{\"n\":-1}}}}", "splits.v.per_class.n: ");
    bad("\"archives\":[{\"file\":\"a\"}],\"splits\":{\"v\":{\"per_class\":{\"a/b\":1}}}}", "without a folder");
    bad("\"archives\":[{\"file\":\"a\"}],\"splits\":{\"v\":{\"images\":3,\"per_class\":{\"n\":2}}}}", "add up");
    bad("\"archives\":[{\"file\":\"a\"}],\"splits\":{\"v\":{\"per_class\":{\"n\":9223372036854775807,\"o\":1}}}}",
        "adds up to more");
    bad("\"archives\":[{\"file\":\"a\"}],\"known\":[]}", "known: ");
    bad("\"archives\":[{\"file\":\"a\"}],\"known\":{\"truncated\":[]}}", "known.truncated: no kind of oddity");
    bad("\"archives\":[{\"file\":\"a\"}],\"known\":{\"png\":\"a\"}}", "known.png: must be a list");
    bad("\"archives\":[{\"file\":\"a\"}],\"known\":{\"png\":[\"x/y\"]}}", "known.png[0]: ");
    bad("\"archives\":[{\"file\":\"a\"}],\"known\":{\"png\":[\"y\",\"y\"]}}", "twice");
    bad_text("{\"format\":\"rnkit-manifest-1\",\"archives\":[{\"file\":\"a\"}]}", "name: ");
}

/* A name, a type or a number of thousands of digits or brackets is an error, not a crash. */
static void survives_size(void **state)
{
    (void)state;
    enum { N = 100000 };
    rn_manifest *m;
    char *text = malloc(N + 1);
    assert_non_null(text);
    for (const char *c = "[{\"9-"; *c; c++) {
        memset(text, *c, N);
        assert_int_equal(rn_manifest_parse(text, N, "big", &m), RN_E_FORMAT);
    }
    int at = snprintf(text, N, "%s\"archives\":[{\"", head);
    memset(text + at, 'k', (size_t)(N - at));
    memcpy(text + N - 8, "\":1}]}  ", 8);
    assert_int_equal(rn_manifest_parse(text, N, "big", &m), RN_E_FORMAT);
    assert_non_null(strstr(rn_error_text(), "no field of an archive"));
    free(text);
}

static void goes_out_and_in(void **state)
{
    (void)state;
    rn_manifest *m, *again;
    char *one, *two;
    size_t n1, n2;
    good("\"archives\":[{\"file\":\"b.tar\",\"md5\":\"" MD5 "\",\"bytes\":5,\"split\":\"train\"},{\"file\":\"a.zip\"}],"
         "\"splits\":{\"train\":{\"per_class\":{\"n2\":3,\"n1\":4}},\"e\":{\"annotations\":7}},"
         "\"known\":{\"warning\":[\"w\"],\"png\":[\"q\",\"p\"]}}",
         &m);
    const rn_shape *s = rn_manifest_shape(m, "train");
    assert_int_equal(s->images, 7);
    assert_int_equal(s->classes, 2);
    assert_int_equal(s->least, 3);
    assert_int_equal(s->most, 4);
    assert_string_equal(s->per[0].name, "n1");
    assert_int_equal(rn_manifest_shape(m, "e")->annotations, 7);
    assert_int_equal(rn_manifest_shape(m, "e")->images, -1);
    assert_true(rn_manifest_knows(m, RN_K_PNG, "x/p"));
    assert_int_equal(rn_manifest_write(m, "one.json"), 0);
    assert_int_equal(rn_manifest_read("one.json", &again), 0);
    assert_string_equal(again->from, "one.json");
    assert_int_equal(rn_manifest_write(again, "two.json"), 0);
    assert_int_equal(rn_read_file("one.json", 0, &one, &n1), 0);
    assert_int_equal(rn_read_file("two.json", 0, &two, &n2), 0);
    assert_int_equal(n1, n2);
    assert_memory_equal(one, two, n1);
    /* Every cut of it is refused, none crashes. */
    for (size_t n = 0; n + 2 < n1; n++) {
        rn_manifest *cut;
        assert_int_equal(rn_manifest_parse(one, n, "cut", &cut), RN_E_FORMAT);
    }
    free(one);
    free(two);
    rn_manifest_close(m);
    rn_manifest_close(again);
    assert_int_equal(rn_manifest_read("nowhere.json", &m), RN_E_NOENT);
    assert_int_equal(rn_manifest_write(rn_manifest_builtin(), "builtin.json"), 0);
    assert_int_equal(rn_manifest_read("builtin.json", &m), 0);
    assert_int_equal(m->nknown, rn_manifest_builtin()->nknown);
    rn_manifest_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(built_in),
        cmocka_unit_test(refuses),
        cmocka_unit_test(survives_size),
        cmocka_unit_test(goes_out_and_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
