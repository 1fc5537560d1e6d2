/* SPDX-License-Identifier: MIT */
/*
 * Archives that somebody else could have made: each seed of the fuzz corpus, written by Python's tarfile or by hand, with
 * what has to become of it, by the stream and by the scan; every cut of a small archive; a hundred megabytes of zeros.
 */
#include <fcntl.h>
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
#include "data/archive/rn_archive.h"
#include "data/archive/rn_tarscan.h"

/* What is wrong, as the message has it, or NULL: then the names of the members, each with a blank behind it. */
static const struct fault {
    const char *file, *wrong, *names;
} faults[] = {
    {"plain.tar", NULL, "n01440764_0.JPEG n01440764_1.JPEG n01440764_2.JPEG n01440764_3.JPEG n01440764_4.JPEG "},
    {"nested.tar", NULL, "n01440764.tar n01443537.tar "},
    {"folders.tar", NULL, "a/b "},
    {"v7.tar", NULL, "old "},
    {"pax-size.tar", NULL, "short "},
    {"pax-global.tar", NULL, "short "},
    {"base256-size.tar", NULL, "big "},
    {"odd-names.tar", NULL,
     "new\nline bell\a \xff\xfe caf\xc3\xa9 "}, /* fit for a message; no tool takes them for images */
    {"zeros.tar", NULL, ""},
    {"pax-size-negative.tar", "a pax header with the size '-4'", NULL},
    {"pax-size-huge.tar", "a pax header with a size of over an exabyte", NULL},
    {"pax-global-path.tar", "one name or size for all members", NULL},
    {"pax-dotdot.tar", "entry '../escaped' is refused: a name that could leave the folder", NULL},
    {"pax-broken.tar", "a pax header that is damaged at its byte 0", NULL},
    {"pax-sparse.tar", "is refused: a sparse file", NULL},
    {"gnu-sparse.tar", "entry 'holes' is refused: a sparse file", NULL},
    {"gnu-long-link.tar", "entry 'l' is refused: a link", NULL},
    {"base256-over-8-gib.tar", "truncated inside 'big'", NULL},
    {"base256-negative.tar", "its size is negative", NULL},
    {"base256-largest.tar", "its size is over an exabyte", NULL},
    {"octal-garbage.tar", "its size is no octal number", NULL},
    {"dotdot.tar", "entry '../escaped' is refused: a name that could leave the folder", NULL},
    {"absolute.tar", "entry '/tmp/escaped' is refused: a name that could leave the folder", NULL},
    {"symlink.tar", "entry 'link' is refused: a link", NULL},
    {"hardlink.tar", "entry 'b' is refused: a link", NULL},
    {"hardlink-with-data.tar", "'b' is a folder, link or device that claims data", NULL},
    {"device.tar", "entry 'null' is refused: a device", NULL},
    {"fifo.tar", "entry 'pipe' is refused: a pipe", NULL},
    {"folder-with-data.tar", "'a/' is a folder, link or device that claims data", NULL},
    {"unknown-type.tar", "entry 'a' is refused: a member of a kind that is neither file nor folder", NULL},
    {"twice.tar", "entry 'a' is refused: its name stands twice, at bytes 0 and 2048", NULL},
    {"zeros-in-the-middle.tar",
     "its end-of-archive mark stands at byte 1536, after 'n01440764_1.JPEG', but more follows", NULL},
    {"one-zero-block.tar", "truncated after 'n01440764_1.JPEG': no end-of-archive mark", NULL},
    {"joined.tar", "damaged, or two archives joined: its end-of-archive mark stands at byte 1536", NULL},
    {"trailing-garbage.tar", "but more follows", NULL},
    {"wrong-magic.tar", "not a tar archive (it begins with \"a\\x00", NULL},
    {"no-checksum.tar", "its checksum does not fit", NULL},
};

/* What makes them what they are is in bytes, not in names: read by the stream alone. */
static const struct fault packed[] = {
    {"plain.tar.gz", NULL, "n01440764_0.JPEG n01440764_1.JPEG n01440764_2.JPEG n01440764_3.JPEG n01440764_4.JPEG "},
    {"two-gzip-members.tar.gz", NULL,
     "n01440764_0.JPEG n01440764_1.JPEG n01440764_2.JPEG n01440764_3.JPEG n01440764_4.JPEG "},
    {"nest-of-40.tar.gz", NULL, "level39.tar "}, /* a tar in it is a member as any other: nothing here opens it */
};

static void corpus_path(const char *file, char path[4096])
{
    const char *tests = getenv("RNKIT_TESTS");
    snprintf(path, 4096, "%s/fuzz/corpus/archive/%s", tests ? tests : "tests", file);
}

static int stream(rn_archive *a, bool read, rn_buf *names)
{
    rn_archive_entry e;
    int rc;
    while ((rc = rn_archive_next(a, &e)) > 0) {
        assert_int_equal(rn_buf_printf(names, "%s ", e.name), 0);
        void *data = malloc((size_t)(read ? e.size : 0) + 1);
        int got = read && data ? rn_archive_read(a, data, (size_t)e.size) : 0;
        free(data);
        if (got < 0) {
            rc = got;
            break;
        }
    }
    rn_archive_close(a);
    return rc;
}

static int by_stream(const char *path, bool read, rn_buf *names)
{
    rn_archive *a;
    names->n = 0;
    assert_int_equal(rn_buf_append(names, "", 1), 0);
    names->n = 0;
    RN_TRY(rn_archive_open(path, &(rn_archive_opts){.digest = -1}, &a));
    return stream(a, read, names);
}

static int on_member(void *arg, const char *name, uint64_t offset, uint64_t size)
{
    (void)offset, (void)size;
    return rn_buf_printf(arg, "%s ", name);
}

static int by_scan(const char *path, uint64_t n, rn_buf *names)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    names->n = 0;
    assert_int_equal(rn_buf_append(names, "", 1), 0);
    names->n = 0;
    int rc = rn_tar_scan(fd, path, 0, n, on_member, names);
    close(fd);
    return rc;
}

static void expect(const struct fault *f, const char *how, int rc, const rn_buf *names)
{
    if (!f->wrong && (rc != 0 || strcmp((const char *)names->data, f->names) != 0))
        fail_msg("%s by %s: %d (%s), members %s", f->file, how, rc, rn_error_text(), (const char *)names->data);
    if (f->wrong && (rc != RN_E_FORMAT || !strstr(rn_error_text(), f->wrong)))
        fail_msg("%s by %s: %d (%s) instead of \"%s\"", f->file, how, rc, rc < 0 ? rn_error_text() : "", f->wrong);
}

static void each_seed_has_its_verdict(void **state)
{
    (void)state;
    char path[4096];
    rn_buf names = {0};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        corpus_path(faults[i].file, path);
        expect(&faults[i], "stream", by_stream(path, true, &names), &names);
        expect(&faults[i], "skipping", by_stream(path, false, &names), &names);
        expect(&faults[i], "scan", by_scan(path, (uint64_t)rn_file_size(path), &names), &names);
    }
    for (size_t i = 0; i < sizeof packed / sizeof *packed; i++) {
        corpus_path(packed[i].file, path);
        expect(&packed[i], "stream", by_stream(path, true, &names), &names);
        assert_int_equal(by_scan(path, (uint64_t)rn_file_size(path), &names), RN_E_UNSUPPORTED);
    }
    rn_buf_free(&names);
}

static void long_names(void **state)
{
    (void)state;
    static const char *const files[] = {"prefix.tar", "gnu-long-name.tar", "pax-long-name.tar"};
    static const size_t lengths[] = {90 + 1 + 90 + 1, 200 + 2 + 1 + 2, 300 + 1 + 2 + 1 + 2};
    char path[4096];
    rn_buf names = {0};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        corpus_path(files[i], path);
        assert_int_equal(by_stream(path, true, &names), 0);
        assert_int_equal(names.n, lengths[i]);
        assert_int_equal(by_scan(path, (uint64_t)rn_file_size(path), &names), 0);
        assert_int_equal(names.n, lengths[i]);
    }
    rn_buf_free(&names);
}

/* With raw names the same archives are gone through to the end, and what is wrong with each entry is told. */
static void verify_sees_all_of_it(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        int members, refused;
    } want[] = {{"twice.tar", 3, 1},  {"hardlink.tar", 2, 1},   {"symlink.tar", 2, 1},     {"device.tar", 1, 1},
                {"dotdot.tar", 1, 1}, {"gnu-sparse.tar", 1, 1}, {"unknown-type.tar", 1, 1}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        char path[4096];
        rn_archive *a;
        rn_archive_entry e;
        int n = 0, refused = 0, rc;
        corpus_path(want[i].file, path);
        assert_int_equal(rn_archive_open(path, &(rn_archive_opts){.digest = -1, .raw_names = true}, &a), 0);
        while ((rc = rn_archive_next(a, &e)) > 0) {
            n++;
            refused += e.why != NULL;
        }
        if (rc != 0 || n != want[i].members || refused != want[i].refused)
            fail_msg("%s: %d after %d members, %d refused", want[i].file, rc, n, refused);
        rn_archive_close(a);
    }
}

static void every_cut_of_a_small_one(void **state)
{
    (void)state;
    static const char *const files[] = {"plain.tar", "pax-long-name.tar", "gnu-long-name.tar"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[4096], *data;
        size_t n;
        rn_buf names = {0};
        corpus_path(files[i], path);
        assert_int_equal(rn_read_file(path, 0, &data, &n), 0);
        for (size_t cut = 0; cut < n; cut += 256) {
            assert_int_equal(rn_write_file_atomic("cut.tar", data, cut), 0);
            for (int read = 0; read < 2; read++)
                if (by_stream("cut.tar", read, &names) != RN_E_FORMAT)
                    fail_msg("%s cut at %zu passes for whole", files[i], cut);
            if (by_scan("cut.tar", cut, &names) != RN_E_FORMAT || by_scan(path, cut, &names) != RN_E_FORMAT)
                fail_msg("%s cut at %zu passes for whole by offset", files[i], cut);
        }
        free(data);
        rn_buf_free(&names);
    }
}

/* All names and data of an archive, one after the other. */
static int contents(const char *path, rn_buf *out)
{
    rn_archive *a;
    rn_archive_entry e;
    const void *block;
    int64_t n = 0;
    int rc;
    out->n = 0;
    RN_TRY(rn_archive_open(path, &(rn_archive_opts){.digest = -1}, &a));
    while ((rc = rn_archive_next(a, &e)) > 0) {
        assert_int_equal(rn_buf_append(out, e.name, strlen(e.name)), 0);
        while ((n = rn_archive_read_block(a, &block)) > 0)
            assert_int_equal(rn_buf_append(out, block, (size_t)n), 0);
        if (n < 0)
            break;
    }
    rn_archive_close(a);
    return n < 0 ? (int)n : rc;
}

/* gzip's own damage: cut anywhere, a flipped bit anywhere, unless deflate has no use for that bit. */
static void gzip_is_checked(void **state)
{
    (void)state;
    char path[4096], *data;
    size_t n;
    int harmless = 0;
    rn_buf want = {0}, got = {0};
    corpus_path("plain.tar.gz", path);
    assert_int_equal(rn_read_file(path, 0, &data, &n), 0);
    assert_int_equal(contents(path, &want), 0);
    for (size_t at = 10; at < n; at++) { /* before lie flags and a time that decide nothing */
        data[at] ^= 4;
        assert_int_equal(rn_write_file_atomic("bad.tar.gz", data, n), 0);
        data[at] ^= 4;
        if (contents("bad.tar.gz", &got) >= 0) {
            assert_true(at < n - 8); /* CRC and length are the last eight bytes */
            assert_int_equal(got.n, want.n);
            assert_memory_equal(got.data, want.data, want.n);
            harmless++;
        }
        assert_int_equal(rn_write_file_atomic("bad.tar.gz", data, at), 0);
        if (contents("bad.tar.gz", &got) >= 0)
            fail_msg("cut at %zu is not noticed", at);
    }
    assert_true(harmless < 4);
    free(data);
    rn_buf_free(&want);
    rn_buf_free(&got);
}

/* 100 MB of zeros, as holes: behind the end they are padding, in the middle they are damage, alone they are no member. */
static void a_hundred_megabytes_of_zeros(void **state)
{
    (void)state;
    enum { ZEROS = 100000000 };
    char path[4096], *data;
    size_t n;
    rn_buf names = {0};
    corpus_path("plain.tar", path);
    assert_int_equal(rn_read_file(path, 0, &data, &n), 0);
    int fd = open("zeros.tar", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    assert_true(fd >= 0 && ftruncate(fd, ZEROS) == 0);
    assert_int_equal(by_stream("zeros.tar", true, &names), 0);
    assert_int_equal(names.n, 0);
    assert_int_equal(by_scan("zeros.tar", ZEROS, &names), 0);
    assert_int_equal(pwrite(fd, data, n, 0), n);
    assert_int_equal(by_stream("zeros.tar", true, &names), 0);
    assert_int_equal(by_scan("zeros.tar", ZEROS, &names), 0);
    off_t end = ZEROS / 512 * 512;
    assert_int_equal(pwrite(fd, data, n, end), n);
    assert_int_equal(by_stream("zeros.tar", true, &names), RN_E_FORMAT);
    assert_non_null(strstr(rn_error_text(), "more follows"));
    assert_int_equal(by_scan("zeros.tar", (uint64_t)end + n, &names), RN_E_FORMAT);
    close(fd);
    free(data);
    rn_buf_free(&names);
}

static void other_compressions(void **state)
{
    (void)state;
    static const char *const magic[] = {"\xfd\x37zXZ", "BZh91AY", "\x28\xb5\x2f\xfd"}, *const name[] = {"xz", "bzip2",
                                                                                                        "zstd"};
    for (int i = 0; i < 3; i++) {
        char block[1024] = "";
        rn_buf names = {0};
        memcpy(block, magic[i], strlen(magic[i]));
        assert_int_equal(rn_write_file_atomic("packed.tar", block, sizeof block), 0);
        assert_int_equal(by_stream("packed.tar", true, &names), RN_E_UNSUPPORTED);
        assert_non_null(strstr(rn_error_text(), name[i]));
        assert_int_equal(by_scan("packed.tar", sizeof block, &names), RN_E_UNSUPPORTED);
        assert_non_null(strstr(rn_error_text(), "decompress it first"));
        rn_buf_free(&names);
    }
}

/* What cannot be read is no damage: a folder gives EISDIR to pread. */
static void a_failing_read_is_no_damage(void **state)
{
    (void)state;
    rn_archive *a;
    rn_buf names = {0};
    int fd = open(".", O_RDONLY | O_CLOEXEC);
    assert_int_equal(rn_tar_scan(fd, "x.tar", 0, 4096, on_member, &names), RN_E_IO);
    assert_non_null(strstr(rn_error_text(), "x.tar: reading it at byte 0: Is a directory"));
    assert_int_equal(rn_archive_open_window("x.tar", fd, 0, 4096, NULL, &a), RN_E_IO);
    close(fd);
    rn_buf_free(&names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_seed_has_its_verdict), cmocka_unit_test(long_names),
        cmocka_unit_test(verify_sees_all_of_it),     cmocka_unit_test(every_cut_of_a_small_one),
        cmocka_unit_test(gzip_is_checked),           cmocka_unit_test(a_hundred_megabytes_of_zeros),
        cmocka_unit_test(other_compressions),        cmocka_unit_test(a_failing_read_is_no_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
