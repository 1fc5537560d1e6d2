/* SPDX-License-Identifier: MIT */
/* One archive as a source of pack-lmdb: class folders with and without splits, gzipped or not, and CIFAR's binary form. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>

#include <archive.h>
#include <archive_entry.h>
#include <cmocka.h>

#include "base/rn_error.h"
#include "data/image/rn_image.h"
#include "data/pack/rn_inputs.h"
#include "scratch.h"

typedef struct member {
    const char *name;
    const void *data;
    size_t n;
} member;

static void write_tar(const char *path, bool gzip, const member *m, size_t n)
{
    struct archive *a = archive_write_new();
    struct archive_entry *e = archive_entry_new();
    archive_write_set_format_ustar(a);
    if (gzip)
        archive_write_add_filter_gzip(a);
    assert_int_equal(archive_write_open_filename(a, path), ARCHIVE_OK);
    for (size_t i = 0; i < n; i++) {
        archive_entry_clear(e);
        archive_entry_set_pathname(e, m[i].name);
        archive_entry_set_size(e, (la_int64_t)m[i].n);
        archive_entry_set_filetype(e, AE_IFREG);
        archive_entry_set_perm(e, 0644);
        assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
        assert_int_equal(archive_write_data(a, m[i].data, m[i].n), (la_ssize_t)m[i].n);
    }
    archive_entry_free(e);
    assert_int_equal(archive_write_close(a), ARCHIVE_OK);
    archive_write_free(a);
}

/* Item i is `path` of class `label`, with these bytes. */
static void is_item(const rn_inputs *s, uint32_t i, const char *path, int label, const char *bytes)
{
    rn_buf b = {0};
    assert_true(i < s->n);
    assert_string_equal(rn_input_path(s, i), path);
    assert_int_equal(s->input[i].label, label);
    assert_int_equal(rn_input_read(s, i, &b), 0);
    assert_int_equal(b.n, strlen(bytes));
    assert_memory_equal(b.data, bytes, b.n);
    rn_buf_free(&b);
}

static void fails(int code, const char *path, const char *split, const char *said)
{
    rn_inputs *s;
    assert_int_equal(rn_inputs_open_archive(path, split, ".", false, &s), code);
    assert_null(s);
    if (!strstr(rn_error_text(), said))
        fail_msg("the message does not say '%s': %s", said, rn_error_text());
}

#define M(name, text)                                                                                                  \
    {                                                                                                                  \
        name, text, sizeof(text) - 1                                                                                   \
    }

static void one_split(void **state)
{
    (void)state;
    /* class "a" stands before class "a-b", though "a-b/x" is before "a/x" */
    const member m[] = {M("./a-b/1.jpg", "one"), M("./a/2.png", "two"), M("./readme.txt", "no"),
                        M("./a/0.JPEG", "zero")};
    for (int gzip = 0; gzip < 2; gzip++) {
        rn_inputs *s;
        write_tar("one.tar", gzip, m, 4);
        assert_int_equal(rn_inputs_open_archive("one.tar", NULL, ".", false, &s), 0);
        assert_int_equal(s->n, 3);
        assert_int_equal(s->nclasses, 2);
        assert_int_equal(s->passed_over, 1);
        assert_int_equal(s->classes[0].records, 2);
        is_item(s, 0, "a-b/1.jpg", 1, "one");
        is_item(s, 1, "a/0.JPEG", 0, "zero");
        is_item(s, 2, "a/2.png", 0, "two");
        assert_int_equal(strlen(s->sources[0].md5), 32);
        rn_inputs_close(s);
    }
    fails(RN_E_NOTHING, "one.tar", "train", "no image in a folder train");
}

static void two_splits(void **state)
{
    (void)state;
    const member m[] = {M("set/test/b/9.jpg", "t9"),  M("set/train/b/1.jpg", "b1"), M("set/val/a/3.jpg", "a3"),
                        M("set/train/a/2.jpg", "a2"), M("set/val/b/4.jpg", "b4"),   M("set/test/a/8.jpg", "t8")};
    rn_inputs *s;
    write_tar("two.tar.gz", true, m, 6);
    assert_int_equal(rn_inputs_open_archive("two.tar.gz", "train", ".", false, &s), 0);
    assert_int_equal(s->n, 2);
    is_item(s, 0, "a/2.jpg", 0, "a2");
    is_item(s, 1, "b/1.jpg", 1, "b1");
    rn_inputs_close(s);
    assert_int_equal(rn_inputs_open_archive("two.tar.gz", "val", ".", false, &s), 0);
    assert_int_equal(s->n, 2); /* val beats test */
    is_item(s, 0, "a/3.jpg", 0, "a3");
    is_item(s, 1, "b/4.jpg", 1, "b4");
    rn_inputs_close(s);
    fails(RN_E_USAGE, "two.tar.gz", NULL, "add --split");
    /* a class of the name of a split is a class */
    const member odd[] = {M("train/1.jpg", "x"), M("car/1.jpg", "y")};
    write_tar("odd.tar", false, odd, 2);
    assert_int_equal(rn_inputs_open_archive("odd.tar", NULL, ".", false, &s), 0);
    is_item(s, 1, "train/1.jpg", 1, "x");
    rn_inputs_close(s);
}

enum { PIXELS = 3072 };

static uint8_t pixel(int record, int i)
{
    return (uint8_t)(record * 37 + i * 11 + i / 7);
}

static void cifar_form(int heads, uint8_t *out, int records, int classes)
{
    for (int r = 0; r < records; r++, out += heads + PIXELS) {
        out[0] = 99; /* CIFAR-100's coarse label, which does not count */
        out[heads - 1] = (uint8_t)(r % classes);
        for (int i = 0; i < PIXELS; i++)
            out[heads + i] = pixel(r, i);
    }
}

static void is_picture(const rn_inputs *s, uint32_t i, const char *path, int label, int record)
{
    rn_buf b = {0};
    rn_image im = {0};
    assert_string_equal(rn_input_path(s, i), path);
    assert_int_equal(s->input[i].label, label);
    assert_int_equal(rn_input_read(s, i, &b), 0);
    assert_int_equal(rn_image_decode(b.data, b.n, path, NULL, &im, NULL), 0);
    assert_int_equal(im.w * 1000 + im.h, 32032);
    for (int k = 0; k < 1024; k++)
        for (int c = 0; c < 3; c++)
            assert_int_equal(im.px[3 * k + c], pixel(record, c * 1024 + k));
    rn_image_free(&im);
    rn_buf_free(&b);
}

static void cifar(void **state)
{
    (void)state;
    static uint8_t train[4 * 3073], test[2 * 3073], fine[3 * 3074];
    rn_inputs *s;
    cifar_form(1, train, 4, 3);
    cifar_form(1, test, 2, 3);
    cifar_form(2, fine, 3, 2);
    const member ten[] = {{"c/test_batch.bin", test, sizeof test},
                          M("c/batches.meta.txt", "cat\ndog\nfrog\n\n"),
                          {"c/data_batch_1.bin", train, sizeof train},
                          {"c/data_batch_2.bin", test, sizeof test}};
    write_tar("ten.tar.gz", true, ten, 4);
    assert_int_equal(rn_inputs_open_archive("ten.tar.gz", "train", ".", false, &s), 0);
    assert_int_equal(s->n, 6);
    is_picture(s, 0, "cat/data_batch_1-00000.png", 0, 0);
    is_picture(s, 1, "cat/data_batch_1-00003.png", 0, 3);
    is_picture(s, 5, "frog/data_batch_1-00002.png", 2, 2);
    rn_inputs_close(s);
    assert_int_equal(rn_inputs_open_archive("ten.tar.gz", "val", ".", false, &s), 0);
    assert_int_equal(s->n, 2);
    is_picture(s, 1, "dog/test_batch-00001.png", 1, 1);
    rn_inputs_close(s);
    fails(RN_E_USAGE, "ten.tar.gz", NULL, "--split");

    const member hundred[] = {{"d/train.bin", fine, sizeof fine}, M("d/fine_label_names.txt", "apple\nbee\n")};
    write_tar("hundred.tar", false, hundred, 2);
    assert_int_equal(rn_inputs_open_archive("hundred.tar", "train", ".", false, &s), 0);
    is_picture(s, 2, "bee/train-00001.png", 1, 1);
    rn_inputs_close(s);

    const member cut[] = {{"c/test_batch.bin", test, sizeof test - 1}, M("c/batches.meta.txt", "cat\n")};
    write_tar("cut.tar", false, cut, 2);
    fails(RN_E_FORMAT, "cut.tar", "val", "no whole number of records");
    const member label[] = {{"c/test_batch.bin", test, sizeof test}, M("c/batches.meta.txt", "cat\n")};
    write_tar("label.tar", false, label, 2);
    fails(RN_E_FORMAT, "label.tar", "val", "has label 1");
    write_tar("nameless.tar", false, ten, 1);
    fails(RN_E_FORMAT, "nameless.tar", "val", "batches.meta.txt");
}

static void digests(void **state)
{
    (void)state;
    const member m[] = {M("a/1.jpg", "one"), M("b/1.jpg", "two")};
    rn_inputs *s;
    write_tar("sum.tar", false, m, 2);
    assert_int_equal(rn_inputs_open_archive("sum.tar", NULL, ".", true, &s), RN_E_USAGE);
    assert_int_equal(rn_write_file_atomic("MD5SUMS", "00000000000000000000000000000000  sum.tar\n", 42), 0);
    fails(RN_E_MISMATCH, "sum.tar", NULL, "sum.tar");
    assert_int_equal(unlink("MD5SUMS"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_split),
        cmocka_unit_test(two_splits),
        cmocka_unit_test(cifar),
        cmocka_unit_test(digests),
    };
    return cmocka_run_group_tests(tests, enter_scratch, leave_scratch);
}
