/* SPDX-License-Identifier: MIT */
/*
 * Caffe's lists of the whole ILSVRC2012, to the byte: archives of the real set's size (50,000 validation and 100,000 test
 * members of one byte, not in name order; 1,000 classes with their real names; labels through a devkit whose ids are another
 * permutation) are extracted, and the lists compared with Caffe's own below RNKIT_DATA/ilsvrc12-aux.
 */
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_rng.h"
#include "data/archive/rn_tarwrite.h"
#include "data/extract/rn_extract.h"
#include "data/make/rn_mk_devkit.h"

enum { CLASSES = 1000, NVAL = 50000, NTEST = 100000 };

static char aux[1024], dir[1024];

static char *slurp(const char *folder, const char *name, size_t *n)
{
    char path[2048], *data;
    assert_int_equal(rn_path_join(path, sizeof path, folder, name), 0);
    assert_int_equal(rn_read_file(path, 0, &data, n), 0);
    return data;
}

/* 0..n-1 in an order drawn from the seed; the caller frees. */
static uint32_t *permutation(uint32_t n, uint64_t seed)
{
    rn_rng r;
    uint32_t *p = malloc(n * sizeof *p);
    assert_non_null(p);
    rn_rng_seed(&r, seed, RN_STREAM_SHUFFLE, 0, 0);
    for (uint32_t i = 0; i < n; i++)
        p[i] = i;
    rn_rng_shuffle_u32(&r, p, n);
    return p;
}

/* Lines "n01440764 tench, Tinca tinca". */
static void read_classes(rn_mk_source *s)
{
    size_t n;
    char *text = slurp(aux, "synset_words.txt", &n), *save = NULL;
    int c = 0;
    assert_int_equal(rn_mk_alloc_classes(s, CLASSES), 0);
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save), c++) {
        assert_true(c < CLASSES && strlen(line) > 10);
        snprintf(s->wnid[c], sizeof s->wnid[c], "%.9s", line);
        free(s->words[c]);
        s->words[c] = strdup(line + 10);
    }
    assert_int_equal(c, CLASSES);
    free(text);
}

/* The ground truth in the devkit's ids, out of Caffe's labels. */
static void add_truth(rn_buf *out, const uint32_t *ids)
{
    size_t n;
    char *text = slurp(aux, "val.txt", &n), *save = NULL;
    int i = 0;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save), i++) {
        long label = strtol(strrchr(line, ' ') + 1, NULL, 10);
        assert_in_range(label, 0, CLASSES - 1);
        assert_int_equal(rn_buf_printf(out, "%u\n", ids[label]), 0);
    }
    assert_int_equal(i, NVAL);
    free(text);
}

static void make_devkit(void)
{
    rn_mk_source s = {0};
    rn_buf meta = {0}, truth = {0};
    rn_tarwrite *w;
    char path[1100];
    uint32_t *ids = permutation(CLASSES, 1), *ntrain = calloc(CLASSES, sizeof *ntrain);
    for (int c = 0; c < CLASSES; c++)
        ids[c]++;
    read_classes(&s);
    assert_int_equal(rn_mk_meta(&s, ids, ntrain, &meta), 0);
    add_truth(&truth, ids);
    snprintf(path, sizeof path, "%s/ILSVRC2012_devkit_t12.tar.gz", dir);
    assert_int_equal(rn_tarwrite_file(path, true, &w), 0);
    assert_int_equal(rn_tarwrite_add(w, "ILSVRC2012_devkit_t12/data/meta.mat", meta.data, meta.n), 0);
    assert_int_equal(
        rn_tarwrite_add(w, "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt", truth.data, truth.n),
        0);
    assert_int_equal(rn_tarwrite_finish(w, NULL, NULL), 0);
    rn_tarwrite_close(w);
    rn_mk_close(&s);
    rn_buf_free(&meta);
    rn_buf_free(&truth);
    free(ids);
    free(ntrain);
}

static void make_images(const char *archive, const char *form, uint32_t n, uint64_t seed)
{
    char path[1100], name[64];
    rn_tarwrite *w;
    uint32_t *order = permutation(n, seed);
    snprintf(path, sizeof path, "%s/%s", dir, archive);
    assert_int_equal(rn_tarwrite_file(path, false, &w), 0);
    for (uint32_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, form, order[i] + 1);
        assert_int_equal(rn_tarwrite_add(w, name, "x", 1), 0);
    }
    assert_int_equal(rn_tarwrite_finish(w, NULL, NULL), 0);
    rn_tarwrite_close(w);
    free(order);
}

static void compare(const char *name)
{
    size_t n, m;
    char out[1100];
    snprintf(out, sizeof out, "%s/out", dir);
    char *got = slurp(out, name, &n), *want = slurp(aux, name, &m);
    assert_int_equal(n, m);
    assert_memory_equal(got, want, n);
    free(got);
    free(want);
}

/* Caffe's test.txt is there compressed. */
static void compare_test_list(void)
{
    size_t n, m;
    char out[1100], command[1200];
    snprintf(out, sizeof out, "%s/out", dir);
    snprintf(command, sizeof command, "gzip -dc '%s/test.txt.gz'", aux);
    char *got = slurp(out, "test.txt", &n), *want = malloc(n + 1);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    m = fread(want, 1, n + 1, f);
    assert_int_equal(pclose(f), 0);
    assert_int_equal(n, m);
    assert_memory_equal(got, want, n);
    free(got);
    free(want);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static void lists_are_caffes(void **state)
{
    (void)state;
    char out[1100];
    const char *data = getenv("RNKIT_DATA");
    rn_extract_result r[RN_NPARTS];
    snprintf(aux, sizeof aux, "%s/ilsvrc12-aux", data ? data : "");
    if (!data || !rn_is_dir(aux)) {
        print_message("RNKIT_DATA has no ilsvrc12-aux\n");
        skip();
    }
    /* In memory where there is room for 150,000 small files: the disk is not what is tested. */
    struct statvfs fs;
    bool shm = access("/dev/shm", W_OK) == 0 && statvfs("/dev/shm", &fs) == 0 && fs.f_bavail * fs.f_frsize > 3u << 30;
    snprintf(dir, sizeof dir, "%s/rnkit-lists.XXXXXX", shm ? "/dev/shm" : ".");
    assert_non_null(mkdtemp(dir));
    make_devkit();
    make_images("ILSVRC2012_img_val.tar", "ILSVRC2012_val_%08u.JPEG", NVAL, 2);
    make_images("ILSVRC2012_img_test_v10102019.tar", "test/ILSVRC2012_test_%08u.JPEG", NTEST, 3);
    snprintf(out, sizeof out, "%s/out", dir);
    rn_extract_opts o = {.splits = 1u << RN_SPLIT_VAL | 1u << RN_SPLIT_TEST, .jobs = 2};
    assert_int_equal(rn_extract(dir, out, &o, r), 0);
    assert_int_equal(r[RN_SPLIT_VAL].images, NVAL);
    assert_int_equal(r[RN_SPLIT_TEST].images, NTEST);
    compare("val.txt");
    compare("synsets.txt");
    compare("synset_words.txt");
    compare_test_list();
    nftw(dir, remove_one, 32, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_caffes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
