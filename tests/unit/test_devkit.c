/* SPDX-License-Identifier: MIT */
/* The devkit: labels by sorted WNID, ids of any numeric class in compressed or plain files, and every kind of misfit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <matio.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "data/archive/rn_tarwrite.h"
#include "data/meta/rn_devkit.h"
#include "data/meta/rn_mat.h"

#define KIT   "ILSVRC2012_devkit_t12/"
#define META  KIT "data/meta.mat"
#define TRUTH KIT "data/ILSVRC2012_validation_ground_truth.txt"

enum { N = 5, LEAVES = 4 };

static void rows_of(rn_mat_synset rows[N])
{
    static char *const wnid[N] = {"n03000000", "n01000000", "n04000000", "n02000000", "n00001740"};
    static char *const words[N] = {"third, 3rd", "first", "fourth", "second \xc3\xa9t\xc3\xa9", "entity"};
    for (int i = 0; i < N; i++)
        rows[i] = (rn_mat_synset){i + 1, i < LEAVES ? 0 : LEAVES, i < LEAVES ? 10 + i : 0, wnid[i], words[i], words[i]};
}

static rn_buf meta_of(const rn_mat_synset *rows)
{
    static const double all[LEAVES] = {1, 2, 3, 4};
    const double *children[N] = {NULL, NULL, NULL, NULL, all};
    const double heights[N] = {0, 0, 0, 0, 1};
    rn_buf b = {0};
    assert_int_equal(rn_mat_write_synsets(rows, N, children, heights, &b), 0);
    return b;
}

static void pack(const char *path, const char *meta_name, const void *meta, size_t n, const char *truth_name,
                 const char *truth)
{
    rn_tarwrite *w;
    assert_int_equal(rn_tarwrite_file(path, true, &w), 0);
    assert_int_equal(rn_tarwrite_add(w, KIT "readme.txt", "x", 1), 0);
    if (meta_name)
        assert_int_equal(rn_tarwrite_add(w, meta_name, meta, n), 0);
    if (truth_name)
        assert_int_equal(rn_tarwrite_add(w, truth_name, truth, strlen(truth)), 0);
    assert_int_equal(rn_tarwrite_finish(w, NULL, NULL), 0);
    rn_tarwrite_close(w);
}

static int open_kit(const rn_mat_synset *rows, const char *truth, rn_devkit **d)
{
    rn_buf meta = meta_of(rows);
    pack("kit.tar.gz", META, meta.data, meta.n, TRUTH, truth);
    rn_buf_free(&meta);
    return rn_devkit_open("kit.tar.gz", d);
}

static void labels(void **state)
{
    (void)state;
    rn_mat_synset rows[N];
    rn_devkit *d;
    static const int want[] = {2, 0, 3, 1, 1, 2}; /* of ids 1 2 3 4 4 1 */
    rows_of(rows);
    assert_int_equal(open_kit(rows, "1\n2\n3\n4\n4\n1\n", &d), 0);
    assert_int_equal(d->nclasses, LEAVES);
    assert_string_equal(d->synsets[0].wnid, "n01000000");
    assert_string_equal(d->synsets[1].words, "second \xc3\xa9t\xc3\xa9");
    assert_int_equal(d->synsets[2].ilsvrc_id, 1);
    assert_int_equal(d->synsets[3].num_train, 12);
    assert_int_equal(d->nval, 6);
    for (int i = 0; i < 6; i++)
        assert_int_equal(d->val_label[i], want[i]);
    assert_int_equal(rn_devkit_label(d, "n03000000"), 2);
    assert_int_equal(rn_devkit_label(d, "n00001740"), -1); /* not a leaf */
    assert_int_equal(rn_devkit_val_label(d, "ILSVRC2012_val_00000003.JPEG"), 3);
    assert_int_equal(rn_devkit_val_label(d, "val/n0/ILSVRC2012_val_00000002.JPEG"), 0);
    assert_int_equal(rn_devkit_val_label(d, "ILSVRC2012_val_00000006_n03000000.JPEG"), 2);
    assert_int_equal(rn_devkit_val_label(d, "ILSVRC2012_val_00000007.JPEG"), -1);
    assert_int_equal(rn_devkit_val_label(d, "ILSVRC2012_val_00000000.JPEG"), -1);
    assert_int_equal(rn_devkit_val_label(d, "ILSVRC2012_val_000000011.JPEG"), -1);
    assert_int_equal(rn_devkit_val_label(d, "ILSVRC2012_test_00000001.JPEG"), -1);
    rn_devkit_close(d);
    assert_int_equal(open_kit(rows, "1\r\n2\r\n3", &d), 0); /* CRLF, no last newline */
    assert_int_equal(d->nval, 3);
    rn_devkit_close(d);
}

static void truths(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "0\n", "5\n", "1\n\n2\n", "1 \n", "x\n", "-1\n", "1.0\n", "99999999999\n"};
    rn_mat_synset rows[N];
    rn_devkit *d;
    rows_of(rows);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(open_kit(rows, bad[i], &d), RN_E_FORMAT);
        assert_null(d);
        assert_non_null(strstr(rn_error_text(), "validation_ground_truth.txt"));
    }
    assert_non_null(strstr(rn_error_text(), "kit.tar.gz"));
}

static void refused(const rn_mat_synset *rows, const char *text)
{
    rn_devkit *d;
    assert_int_equal(open_kit(rows, "1\n", &d), RN_E_FORMAT);
    if (!strstr(rn_error_text(), text))
        fail_msg("no '%s' in: %s", text, rn_error_text());
}

static void misfits(void **state)
{
    (void)state;
    rn_mat_synset rows[N];
    rows_of(rows);
    rows[1].id = 1;
    refused(rows, "the same id 1");
    rows_of(rows);
    rows[1].id = 9;
    refused(rows, "id 9");
    rows[1].id = 1.5;
    refused(rows, "id 1.5");
    rows[1].id = 0.0 / 0.0;
    refused(rows, "n01000000 has id");
    rows_of(rows);
    rows[1].wnid = rows[0].wnid;
    refused(rows, "n03000000 twice");
    rows[1].wnid = "tench";
    refused(rows, "'tench' is not a WNID");
    rows_of(rows);
    rows[2].num_train = -7;
    refused(rows, "claims -7 training images");
    rows_of(rows);
    static const double none[1] = {1};
    const double *children[N] = {none, none, none, none, none};
    const double heights[N] = {0};
    for (int i = 0; i < N; i++)
        rows[i].num_children = 1;
    rn_buf b = {0};
    rn_devkit *d;
    assert_int_equal(rn_mat_write_synsets(rows, N, children, heights, &b), 0);
    pack("kit.tar.gz", META, b.data, b.n, TRUTH, "1\n");
    rn_buf_free(&b);
    assert_int_equal(rn_devkit_open("kit.tar.gz", &d), RN_E_FORMAT);
    assert_non_null(strstr(rn_error_text(), "is a leaf"));
}

static void members(void **state)
{
    (void)state;
    rn_mat_synset rows[N];
    rn_devkit *d;
    rows_of(rows);
    rn_buf meta = meta_of(rows);
    pack("kit.tar.gz", NULL, NULL, 0, TRUTH, "1\n");
    assert_int_equal(rn_devkit_open("kit.tar.gz", &d), RN_E_FORMAT);
    assert_non_null(strstr(rn_error_text(), "has no data/meta.mat"));
    pack("kit.tar.gz", META, meta.data, meta.n, NULL, NULL);
    assert_int_equal(rn_devkit_open("kit.tar.gz", &d), RN_E_FORMAT);
    assert_non_null(strstr(rn_error_text(), "has no data/ILSVRC2012_validation_ground_truth.txt"));
    pack("kit.tar.gz", META, "hello", 5, TRUTH, "1\n");
    assert_int_equal(rn_devkit_open("kit.tar.gz", &d), RN_E_FORMAT);
    pack("kit.tar.gz", META, meta.data, 0, TRUTH, "1\n");
    assert_int_equal(rn_devkit_open("kit.tar.gz", &d), RN_E_FORMAT);
    for (size_t cut = 130; cut < meta.n; cut += 37) { /* meta.mat cut short at many places */
        pack("kit.tar.gz", META, meta.data, cut, TRUTH, "1\n");
        assert_int_equal(rn_devkit_open("kit.tar.gz", &d), RN_E_FORMAT);
        assert_null(d);
    }
    pack("kit.tar.gz", "other/data/meta.mat", meta.data, meta.n, "data/ILSVRC2012_validation_ground_truth.txt", "1\n");
    assert_int_equal(rn_devkit_open("kit.tar.gz", &d), 0); /* whatever the root folder is called */
    rn_devkit_close(d);
    assert_int_equal(rn_devkit_open("nowhere.tar.gz", &d), RN_E_NOENT);
    rn_buf_free(&meta);
}

/* meta.mat with numbers of one class, and elements compressed or not, written straight through libmatio. */
static void write_meta(enum matio_classes class, enum matio_types type, const void *numbers, size_t each,
                       bool compressed)
{
    static const char *const names[] = {"ILSVRC2012_ID", "WNID", "words", "num_children"};
    static char wnid[3][10] = {"n03000000", "n01000000", "n02000000"};
    size_t dims[2] = {1, 3}, one[2] = {1, 1}, nine[2] = {1, 9};
    matvar_t *s = Mat_VarCreateStruct("synsets", 2, dims, (const char **)(uintptr_t)names, 4);
    char zero[8] = {0};
    assert_non_null(s);
    for (size_t i = 0; i < 3; i++) {
        const char *id = (const char *)numbers + i * each;
        Mat_VarSetStructFieldByName(s, names[0], i, Mat_VarCreate(NULL, class, type, 2, one, (void *)(uintptr_t)id, 0));
        Mat_VarSetStructFieldByName(s, names[1], i, Mat_VarCreate(NULL, MAT_C_CHAR, MAT_T_UTF8, 2, nine, wnid[i], 0));
        Mat_VarSetStructFieldByName(s, names[2], i, Mat_VarCreate(NULL, MAT_C_CHAR, MAT_T_UTF8, 2, nine, wnid[i], 0));
        Mat_VarSetStructFieldByName(s, names[3], i, Mat_VarCreate(NULL, class, type, 2, one, zero, 0));
    }
    mat_t *m = Mat_CreateVer("meta.mat", "MATLAB 5.0 MAT-file", MAT_FT_MAT5);
    assert_non_null(m);
    assert_int_equal(Mat_VarWrite(m, s, compressed ? MAT_COMPRESSION_ZLIB : MAT_COMPRESSION_NONE), 0);
    Mat_Close(m);
    Mat_VarFree(s);
}

static void any_numeric_class(void **state)
{
    (void)state;
    static const double f64[] = {2, 1, 3};
    static const float f32[] = {2, 1, 3};
    static const int8_t i8[] = {2, 1, 3};
    static const uint16_t u16[] = {2, 1, 3};
    static const int32_t i32[] = {2, 1, 3};
    static const uint64_t u64[] = {2, 1, 3};
    const struct {
        enum matio_classes class;
        enum matio_types type;
        const void *v;
        size_t each;
    } kinds[] = {{MAT_C_DOUBLE, MAT_T_DOUBLE, f64, 8}, {MAT_C_SINGLE, MAT_T_SINGLE, f32, 4},
                 {MAT_C_INT8, MAT_T_INT8, i8, 1},      {MAT_C_UINT16, MAT_T_UINT16, u16, 2},
                 {MAT_C_INT32, MAT_T_INT32, i32, 4},   {MAT_C_UINT64, MAT_T_UINT64, u64, 8}};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (int compressed = 0; compressed < 2; compressed++) {
            rn_devkit *d;
            char *data;
            size_t n;
            write_meta(kinds[k].class, kinds[k].type, kinds[k].v, kinds[k].each, compressed);
            assert_int_equal(rn_read_file("meta.mat", 0, &data, &n), 0);
            pack("kit.tar.gz", META, data, n, TRUTH, "1\n2\n3\n");
            free(data);
            assert_int_equal(rn_devkit_open("kit.tar.gz", &d), 0);
            assert_int_equal(d->nclasses, 3);
            assert_int_equal(d->synsets[0].ilsvrc_id, 1); /* n01000000 */
            assert_int_equal(d->synsets[1].ilsvrc_id, 3);
            assert_int_equal(d->synsets[2].num_train, -1);
            assert_int_equal(d->val_label[1], 2); /* id 2 is n03000000 */
            rn_devkit_close(d);
        }
}

static void same_rows_same_bytes(void **state)
{
    (void)state;
    rn_mat_synset rows[N];
    rows_of(rows);
    rn_buf a = meta_of(rows), b = meta_of(rows);
    assert_int_equal(a.n, b.n);
    assert_memory_equal(a.data, b.data, a.n);
    rn_buf_free(&a);
    rn_buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels),
        cmocka_unit_test(truths),
        cmocka_unit_test(misfits),
        cmocka_unit_test(members),
        cmocka_unit_test(any_numeric_class),
        cmocka_unit_test(same_rows_same_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
