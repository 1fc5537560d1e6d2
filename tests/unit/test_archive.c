/* SPDX-License-Identifier: MIT */
/* Archives: every cut of a tar is noticed, names are checked, offsets resume, digests are those of the whole file. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>
#include <cmocka.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_rng.h"
#include "data/archive/rn_archive.h"
#include "data/archive/rn_filestream.h"
#include "data/archive/rn_tarwrite.h"
#include "data/meta/rn_manifest.h"

#define FILES 5
static const size_t sizes[FILES] = {0, 1, 511, 512, 70001};

static void fill(uint8_t *p, size_t n, uint32_t what)
{
    rn_rng r;
    rn_rng_seed(&r, 1, RN_STREAM_TEST, what, 0);
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)rn_rng_u32(&r);
}

/* A tar of FILES entries in memory. */
static rn_buf make_tar(void)
{
    rn_buf b = {0};
    rn_tarwrite *w;
    uint8_t data[70001];
    char name[32];
    assert_int_equal(rn_tarwrite_memory(&b, &w), 0);
    for (int i = 0; i < FILES; i++) {
        fill(data, sizes[i], (uint32_t)i);
        snprintf(name, sizeof name, "folder/file%d", i);
        assert_int_equal(rn_tarwrite_add(w, name, data, sizes[i]), 0);
    }
    assert_int_equal(rn_tarwrite_finish(w, NULL, NULL), 0);
    rn_tarwrite_close(w);
    return b;
}

static void save(const char *path, const void *data, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* Reads all entries from number `first` on, checks names and bytes; the last result of next. */
static int read_all(rn_archive *a, int first, int *count)
{
    static uint8_t got[70001], want[70001];
    rn_archive_entry e;
    char name[32];
    int rc;
    *count = 0;
    while ((rc = rn_archive_next(a, &e)) > 0) {
        int i = first + (*count)++;
        snprintf(name, sizeof name, "folder/file%d", i);
        assert_string_equal(e.name, name);
        assert_int_equal(e.size, sizes[i]);
        if (rn_archive_read(a, got, sizeof got) < 0)
            continue;
        fill(want, sizes[i], (uint32_t)i);
        assert_memory_equal(got, want, sizes[i]);
    }
    return rc;
}

static void reads_what_was_written(void **state)
{
    (void)state;
    rn_buf tar = make_tar();
    rn_archive *a;
    int n;
    save("whole.tar", tar.data, tar.n);
    for (int digest = -1; digest <= RN_SHA256; digest++) {
        assert_int_equal(rn_archive_open("whole.tar", &(rn_archive_opts){.digest = digest}, &a), 0);
        assert_int_equal(read_all(a, 0, &n), 0);
        assert_int_equal(n, FILES);
        if (digest >= 0) {
            char got[RN_DIGEST_HEX_MAX], want[RN_DIGEST_HEX_MAX];
            uint64_t bytes;
            assert_int_equal(rn_archive_digest(a, got, &bytes), 0);
            assert_int_equal(rn_digest_buffer((enum rn_digest_kind)digest, tar.data, tar.n, want), 0);
            assert_string_equal(got, want);
            assert_int_equal(bytes, tar.n);
        }
        rn_archive_close(a);
    }
    assert_int_equal(rn_archive_open_memory("mem", tar.data, tar.n, NULL, &a), 0);
    assert_int_equal(read_all(a, 0, &n), 0);
    assert_int_equal(n, FILES);
    rn_archive_close(a);
    rn_buf_free(&tar);
}

/* A tar somewhere in a file, read through a window; blocks without a copy add up to the same bytes. */
static void reads_windows(void **state)
{
    (void)state;
    rn_buf tar = make_tar(), file = {0};
    rn_archive *a[2];
    rn_archive_entry e;
    int n;
    assert_int_equal(rn_buf_append(&file, "0123456789", 10), 0);
    assert_int_equal(rn_buf_append(&file, tar.data, tar.n), 0);
    assert_int_equal(rn_buf_append(&file, tar.data, tar.n), 0);
    save("window.bin", file.data, file.n);
    int fd = open("window.bin", O_RDONLY);
    for (int i = 0; i < 2; i++)
        assert_int_equal(rn_archive_open_window("inner", fd, 10 + (uint64_t)i * tar.n, tar.n, NULL, &a[i]), 0);
    assert_int_equal(read_all(a[0], 0, &n), 0);
    assert_int_equal(n, FILES);
    for (int i = 0; rn_archive_next(a[1], &e) > 0; i++) {
        static uint8_t want[70001];
        const void *block;
        size_t at = 0;
        fill(want, sizes[i], (uint32_t)i);
        for (int64_t k; (k = rn_archive_read_block(a[1], &block)) != 0; at += (size_t)k) {
            assert_true(k > 0 && at + (size_t)k <= sizes[i]);
            assert_memory_equal(block, want + at, k);
        }
        assert_int_equal(at, sizes[i]);
    }
    rn_archive_close(a[0]);
    rn_archive_close(a[1]);
    /* A window that ends inside the tar is a truncated tar, whatever follows in the file. */
    assert_int_equal(rn_archive_open_window("inner", fd, 10, tar.n - 20000, NULL, &a[0]), 0);
    while ((n = rn_archive_next(a[0], &e)) > 0)
        ;
    assert_int_equal(n, RN_E_FORMAT);
    rn_archive_close(a[0]);
    assert_int_equal(rn_archive_open_window("inner", fd, 9, tar.n, NULL, &a[0]), RN_E_FORMAT);
    close(fd);
    rn_buf_free(&file);
    rn_buf_free(&tar);
}

/* Where an entry's data lies in a plain tar's file. */
static void tells_where_data_lies(void **state)
{
    (void)state;
    rn_archive *a;
    rn_archive_entry e;
    static uint8_t got[70001], want[70001];
    int fd = open("whole.tar", O_RDONLY);
    assert_int_equal(rn_archive_open("whole.tar", &(rn_archive_opts){.digest = -1}, &a), 0);
    for (int i = 0; rn_archive_next(a, &e) > 0; i++) {
        assert_true(rn_archive_is_plain(a));
        assert_int_equal(pread(fd, got, sizes[i], (off_t)e.data), sizes[i]);
        fill(want, sizes[i], (uint32_t)i);
        assert_memory_equal(got, want, sizes[i]);
    }
    rn_archive_close(a);
    close(fd);
}

static void make_zip(const char *path)
{
    struct archive *w = archive_write_new();
    struct archive_entry *e = archive_entry_new();
    archive_write_set_format_zip(w);
    assert_int_equal(archive_write_open_filename(w, path), ARCHIVE_OK);
    for (int i = 0; i < FILES; i++) {
        static uint8_t data[70001];
        char name[32];
        snprintf(name, sizeof name, "folder/file%d", i);
        fill(data, sizes[i], (uint32_t)i);
        archive_entry_clear(e);
        archive_entry_set_pathname(e, name);
        archive_entry_set_filetype(e, AE_IFREG);
        archive_entry_set_perm(e, 0644);
        archive_entry_set_size(e, (la_int64_t)sizes[i]);
        assert_int_equal(archive_write_header(w, e), ARCHIVE_OK);
        assert_int_equal(archive_write_data(w, data, sizes[i]), sizes[i]);
    }
    assert_int_equal(archive_write_close(w), ARCHIVE_OK);
    archive_entry_free(e);
    archive_write_free(w);
}

static void reads_zip_when_told(void **state)
{
    (void)state;
    rn_archive *a;
    int n;
    char got[RN_DIGEST_HEX_MAX], want[RN_DIGEST_HEX_MAX];
    make_zip("whole.zip");
    assert_int_equal(rn_archive_open("whole.zip", &(rn_archive_opts){.digest = -1}, &a), RN_E_FORMAT);
    assert_int_equal(rn_archive_open("whole.zip", &(rn_archive_opts){.digest = RN_MD5, .zip = true}, &a), 0);
    assert_int_equal(read_all(a, 0, &n), 0);
    assert_int_equal(n, FILES);
    assert_false(rn_archive_is_plain(a));
    assert_int_equal(rn_archive_digest(a, got, NULL), 0);
    assert_int_equal(rn_digest_file(RN_MD5, "whole.zip", want, NULL), 0);
    assert_string_equal(got, want);
    rn_archive_close(a);
    /* With the directory at its end cut off, it is damaged. */
    assert_int_equal(truncate("whole.zip", 60000), 0);
    n = rn_archive_open("whole.zip", &(rn_archive_opts){.digest = -1, .zip = true}, &a);
    if (n == 0) {
        n = read_all(a, 0, &(int){0});
        rn_archive_close(a);
    }
    assert_int_equal(n, RN_E_FORMAT);
    /* The option does not change what a tar is. */
    assert_int_equal(rn_archive_open("whole.tar", &(rn_archive_opts){.digest = -1, .zip = true}, &a), 0);
    assert_int_equal(read_all(a, 0, &n), 0);
    rn_archive_close(a);
}

static void skips_what_is_not_read(void **state)
{
    (void)state;
    rn_archive *a;
    rn_archive_entry e;
    int n = 0, rc;
    assert_int_equal(rn_archive_open("whole.tar", &(rn_archive_opts){.digest = -1}, &a), 0);
    while ((rc = rn_archive_next(a, &e)) > 0)
        n++;
    assert_int_equal(rc, 0);
    assert_int_equal(n, FILES);
    rn_archive_close(a);
}

/* Wherever a tar ends early, also exactly between two entries or inside the end mark, it must not pass for whole. */
static void every_cut_is_noticed(void **state)
{
    (void)state;
    rn_buf tar = make_tar();
    size_t content = 0; /* headers and padded data */
    for (int i = 0; i < FILES; i++)
        content += 512 + (sizes[i] + 511) / 512 * 512;
    for (size_t cut = 0; cut < content + 1024; cut += cut < 4096 ? 128 : cut > content - 1024 ? 256 : 4999) {
        rn_archive *a;
        int n = 0, rc = rn_archive_open_memory("cut", tar.data, cut, NULL, &a);
        if (rc == RN_OK) {
            rc = read_all(a, 0, &n);
            rn_archive_close(a);
        }
        if (rc != RN_E_FORMAT)
            fail_msg("cut at %zu of %zu gives %d after %d entries", cut, tar.n, rc, n);
    }
    save("cut.tar", tar.data, content + 512);
    rn_archive *a;
    int n;
    assert_int_equal(rn_archive_open("cut.tar", &(rn_archive_opts){.digest = -1}, &a), 0);
    assert_int_equal(read_all(a, 0, &n), RN_E_FORMAT);
    assert_non_null(strstr(rn_error_text(), "cut.tar: truncated after 'folder/file4': no end-of-archive mark"));
    assert_int_equal(n, FILES);
    rn_archive_close(a);
    rn_buf_free(&tar);
}

/* A file cut inside an entry nobody reads: the seek over it must not hide the cut. */
static void cut_inside_a_skipped_entry(void **state)
{
    (void)state;
    enum { N = 5 << 20 };
    rn_buf b = {0};
    rn_tarwrite *w;
    rn_archive *a;
    rn_archive_entry e;
    uint8_t *big = calloc(1, N);
    assert_non_null(big);
    assert_int_equal(rn_tarwrite_memory(&b, &w), 0);
    assert_int_equal(rn_tarwrite_add(w, "big", big, N), 0);
    assert_int_equal(rn_tarwrite_finish(w, NULL, NULL), 0);
    rn_tarwrite_close(w);
    for (size_t cut = b.n - N / 2; cut < b.n - 10240 + 1024; cut += N / 5) {
        save("big.tar", b.data, cut);
        assert_int_equal(rn_archive_open("big.tar", &(rn_archive_opts){.digest = -1}, &a), 0);
        assert_int_equal(rn_archive_next(a, &e), 1);
        assert_int_equal(rn_archive_next(a, &e), RN_E_FORMAT);
        rn_archive_close(a);
    }
    free(big);
    rn_buf_free(&b);
}

static void offsets_resume(void **state)
{
    (void)state;
    rn_archive *a;
    rn_archive_entry e;
    uint64_t at[FILES];
    int n;
    assert_int_equal(rn_archive_open("whole.tar", &(rn_archive_opts){.digest = -1}, &a), 0);
    for (int i = 0; i < FILES; i++) {
        assert_int_equal(rn_archive_next(a, &e), 1);
        at[i] = e.offset;
    }
    rn_archive_close(a);
    for (int i = 0; i < FILES; i++) {
        assert_int_equal(rn_archive_open("whole.tar", &(rn_archive_opts){.digest = -1, .start = at[i]}, &a), 0);
        assert_int_equal(rn_archive_next(a, &e), 1);
        assert_int_equal(e.offset, at[i]);
        rn_archive_close(a);
        assert_int_equal(rn_archive_open("whole.tar", &(rn_archive_opts){.digest = -1, .start = at[i]}, &a), 0);
        assert_int_equal(read_all(a, i, &n), 0);
        assert_int_equal(n, FILES - i);
        rn_archive_close(a);
    }
    assert_int_equal(rn_archive_open("whole.tar", &(rn_archive_opts){.digest = RN_MD5, .start = 512}, &a), RN_E_USAGE);
    assert_int_equal(rn_archive_open("whole.tar", &(rn_archive_opts){.digest = -1, .start = at[4] + 512}, &a),
                     RN_E_FORMAT);
}

static void not_an_archive(void **state)
{
    (void)state;
    rn_archive *a;
    save("page.tar", "<!DOCTYPE html>\n<html>", 22);
    assert_int_equal(rn_archive_open("page.tar", &(rn_archive_opts){.digest = -1}, &a), RN_E_FORMAT);
    assert_non_null(strstr(rn_error_text(), "page.tar: not a tar archive (it begins with \"<!DOCTYPE html>\\x0a"));
    save("none.tar", "", 0);
    assert_int_equal(rn_archive_open("none.tar", &(rn_archive_opts){.digest = -1}, &a), RN_E_FORMAT);
    assert_int_equal(rn_archive_open("missing.tar", &(rn_archive_opts){.digest = -1}, &a), RN_E_NOENT);
    assert_int_equal(rn_archive_open(".", &(rn_archive_opts){.digest = -1}, &a), RN_E_FORMAT);
    assert_null(a);
}

static void damage_in_a_header(void **state)
{
    (void)state;
    rn_buf tar = make_tar();
    rn_archive *a;
    int n;
    tar.data[512 + 512 + 10] ^= 1; /* in the third header's name: its checksum no longer fits */
    tar.data[512 + 1024 + 10] ^= 1;
    assert_int_equal(rn_archive_open_memory("mem", tar.data, tar.n, NULL, &a), 0);
    assert_int_equal(read_all(a, 0, &n), RN_E_FORMAT);
    assert_true(n < FILES);
    rn_archive_close(a);
    rn_buf_free(&tar);
}

static void names(void **state)
{
    (void)state;
    static const char *const good[] = {"a", "a/b", "...", "a..b", "a/.b", "n01440764_1.JPEG"};
    static const char *const bad[] = {"", "/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/../b", "./a", "a/./b"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(rn_archive_name_ok(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(rn_archive_name_ok(bad[i]));
    char name[1026];
    memset(name, 'a', 1025);
    name[1025] = 0;
    assert_false(rn_archive_name_ok(name));
    name[1024] = 0;
    assert_true(rn_archive_name_ok(name));
}

static void evil_names_are_refused(void **state)
{
    (void)state;
    static const char *const evil[] = {"../escaped", "/tmp/escaped", "a/../../escaped"};
    for (size_t i = 0; i < sizeof evil / sizeof *evil; i++) {
        rn_buf b = {0};
        rn_tarwrite *w;
        rn_archive *a;
        rn_archive_entry e;
        assert_int_equal(rn_tarwrite_memory(&b, &w), 0);
        assert_int_equal(rn_tarwrite_add(w, evil[i], "x", 1), 0);
        assert_int_equal(rn_tarwrite_finish(w, NULL, NULL), 0);
        rn_tarwrite_close(w);
        assert_int_equal(rn_archive_open_memory("evil", b.data, b.n, NULL, &a), 0);
        assert_int_equal(rn_archive_next(a, &e), RN_E_FORMAT);
        assert_non_null(strstr(rn_error_text(), evil[i]));
        assert_int_equal(rn_archive_next(a, &e), RN_E_FORMAT); /* and it stays so */
        rn_archive_close(a);
        assert_int_equal(rn_archive_open_memory("evil", b.data, b.n, &(rn_archive_opts){.raw_names = true}, &a), 0);
        assert_int_equal(rn_archive_next(a, &e), 1);
        assert_non_null(e.why);
        rn_archive_close(a);
        rn_buf_free(&b);
    }
}

static void streams(void **state)
{
    (void)state;
    enum { N = (11 << 20) + 12345 }; /* more blocks than the ring holds */
    uint8_t *data = malloc(N);
    char want[RN_DIGEST_HEX_MAX], got[RN_DIGEST_HEX_MAX];
    rn_filestream *s;
    const void *block;
    uint64_t bytes;
    int64_t n;
    size_t at = 0;
    assert_non_null(data);
    fill(data, N, 9);
    save("stream", data, N);
    assert_int_equal(rn_digest_buffer(RN_MD5, data, N, want), 0);
    assert_int_equal(rn_filestream_open("stream", RN_MD5, 0, &s), 0);
    while ((n = rn_filestream_next(s, &block)) > 0) {
        assert_true(at + (size_t)n <= N);
        assert_memory_equal(block, data + at, (size_t)n);
        at += (size_t)n;
    }
    assert_int_equal(n, 0);
    assert_int_equal(at, N);
    assert_int_equal(rn_filestream_digest(s, got, &bytes), 0);
    assert_string_equal(got, want);
    assert_int_equal(bytes, N);
    rn_filestream_close(s);
    for (int taken = 0; taken < 3; taken++) { /* closed or asked for the digest at any point */
        assert_int_equal(rn_filestream_open("stream", RN_MD5, 0, &s), 0);
        for (int i = 0; i < taken; i++)
            assert_true(rn_filestream_next(s, &block) > 0);
        if (taken < 2) {
            assert_int_equal(rn_filestream_digest(s, got, NULL), 0);
            assert_string_equal(got, want);
        }
        rn_filestream_close(s);
    }
    free(data);
}

static void manifest(void **state)
{
    (void)state;
    rn_sums s;
    const char *from;
    static const char text[] = "# made\n0123456789ABCDEF0123456789abcdef  ILSVRC2012_img_val.tar\n\n"
                               "ffffffffffffffffffffffffffffffff *./other.tar\r\n";
    save("MD5SUMS", text, sizeof text - 1);
    assert_int_equal(rn_sums_read("MD5SUMS", &s), 0);
    assert_int_equal(s.n, 2);
    assert_string_equal(rn_expected_md5(&s, "x/ILSVRC2012_img_val.tar", &from), "0123456789abcdef0123456789abcdef");
    assert_string_equal(from, "MD5SUMS");
    assert_string_equal(rn_expected_md5(&s, "other.tar", NULL), "ffffffffffffffffffffffffffffffff");
    assert_string_equal(rn_expected_md5(&s, "ILSVRC2012_img_train.tar", NULL), "1d675b47d978889d74fa0da5fadfb00e");
    assert_null(rn_expected_md5(&s, "unknown.tar", NULL));
    rn_sums_free(&s);
    assert_true(rn_is_wnid("n01440764"));
    assert_false(rn_is_wnid("n0144076"));
    assert_false(rn_is_wnid("n014407644"));
    assert_true(rn_is_train_name("n01440764_10026.JPEG", NULL));
    assert_true(rn_is_train_name("n01440764_10026.JPEG", "n01440764"));
    assert_false(rn_is_train_name("n01440764_10026.JPEG", "n01440765"));
    assert_false(rn_is_train_name("n01440764_.JPEG", NULL));
    assert_false(rn_is_train_name("n01440764_1.jpeg", NULL));
    assert_false(rn_is_train_name("n01440764", "n01440764"));
    assert_int_equal(rn_numbered_name("ILSVRC2012_val_00000017.JPEG", "val"), 17);
    assert_int_equal(rn_numbered_name("ILSVRC2012_val_0000017.JPEG", "val"), -1);
    assert_int_equal(rn_numbered_name("ILSVRC2012_val_00000017.JPEG", "test"), -1);
    assert_false(rn_is_image_name("../n.JPEG"));
    assert_false(rn_is_image_name(".JPEG"));
    assert_true(rn_is_image_name("ILSVRC2012_val_00000293.JPEG"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_was_written),
        cmocka_unit_test(reads_windows),
        cmocka_unit_test(tells_where_data_lies),
        cmocka_unit_test(reads_zip_when_told),
        cmocka_unit_test(skips_what_is_not_read),
        cmocka_unit_test(every_cut_is_noticed),
        cmocka_unit_test(cut_inside_a_skipped_entry),
        cmocka_unit_test(offsets_resume),
        cmocka_unit_test(not_an_archive),
        cmocka_unit_test(damage_in_a_header),
        cmocka_unit_test(names),
        cmocka_unit_test(evil_names_are_refused),
        cmocka_unit_test(streams),
        cmocka_unit_test(manifest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
