/* SPDX-License-Identifier: MIT */
/* What goes into a set: members of tars found by offset, lists and trees read strictly, files cut short noticed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <archive.h>
#include <archive_entry.h>
#include <cmocka.h>
#include <fcntl.h>
#include <png.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_rng.h"
#include "data/archive/rn_tarscan.h"
#include "data/image/rn_image.h"
#include "data/pack/rn_convert.h"
#include "data/pack/rn_inputs.h"
#include "data/pack/rn_pack.h"
#include "data/store/rn_datum.h"
#include "scratch.h"

static void write_text(const char *path, const char *text)
{
    assert_int_equal(rn_write_file_atomic(path, text, strlen(text)), 0);
}

/* ---- tars --------------------------------------------------------------------------------------------------- */

enum { MEMBERS = 40 };

static size_t member(int i, char name[512], uint8_t data[8192])
{
    size_t n = (size_t)(i * 211 % 5000);
    int long_name = i % 4 == 3 ? 150 : 0; /* beyond ustar's fields: a header of its own in pax and GNU */
    snprintf(name, 512, "m%02d_%0*d.JPEG", i, long_name + 1, i);
    memset(data, i + 1, n);
    return n;
}

static struct archive *new_tar(const char *path, const char *format)
{
    struct archive *a = archive_write_new();
    assert_non_null(a);
    assert_int_equal(archive_write_set_format_by_name(a, format), ARCHIVE_OK);
    assert_int_equal(archive_write_open_filename(a, path), ARCHIVE_OK);
    return a;
}

static void add_entry(struct archive *a, const char *name, mode_t type, const void *data, size_t n)
{
    struct archive_entry *e = archive_entry_new();
    archive_entry_set_pathname(e, name);
    archive_entry_set_filetype(e, type);
    archive_entry_set_perm(e, 0644);
    archive_entry_set_size(e, (la_int64_t)n);
    archive_entry_set_mtime(e, 1600000000, 123456789); /* a fraction of a second makes pax write its own header */
    if (type == AE_IFLNK)
        archive_entry_set_symlink(e, "elsewhere");
    assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
    if (n)
        assert_int_equal(archive_write_data(a, data, n), n);
    archive_entry_free(e);
}

static void write_tar(const char *path, const char *format)
{
    static uint8_t data[8192];
    char name[512];
    struct archive *a = new_tar(path, format);
    add_entry(a, "a-folder/", AE_IFDIR, NULL, 0);
    for (int i = 0; i < MEMBERS; i++) {
        size_t n = member(i, name, data);
        add_entry(a, name, AE_IFREG, data, n);
    }
    assert_int_equal(archive_write_free(a), ARCHIVE_OK);
}

typedef struct seen {
    int fd, n;
} seen;

static int on_member(void *arg, const char *name, uint64_t offset, uint64_t size)
{
    static uint8_t want[8192], got[8192];
    char want_name[512];
    seen *s = arg;
    assert_true(s->n < MEMBERS);
    size_t n = member(s->n++, want_name, want);
    assert_string_equal(name, want_name);
    assert_int_equal(size, n);
    assert_int_equal(pread(s->fd, got, n, (off_t)offset), n);
    assert_memory_equal(got, want, n);
    return 0;
}

static int scan(const char *path, uint64_t start, int64_t bytes, int *n)
{
    seen s = {.fd = open(path, O_RDONLY)};
    assert_true(s.fd >= 0);
    int rc = rn_tar_scan(s.fd, path, start, bytes < 0 ? (uint64_t)rn_file_size(path) - start : (uint64_t)bytes,
                         on_member, &s);
    close(s.fd);
    *n = s.n;
    return rc;
}

static void offsets_lead_to_the_data(void **state)
{
    (void)state;
    static const char *const formats[] = {"gnutar", "pax", "paxr"}; /* ustar cannot hold names that long */
    int n;
    for (size_t f = 0; f < sizeof formats / sizeof *formats; f++) {
        write_tar("t.tar", formats[f]);
        assert_int_equal(scan("t.tar", 0, -1, &n), 0);
        assert_int_equal(n, MEMBERS);
    }
}

static void a_window_of_a_file(void **state)
{
    (void)state;
    char *tar = NULL;
    size_t size = 0;
    rn_buf b = {0};
    int n;
    write_tar("w.tar", "pax");
    assert_int_equal(rn_read_file("w.tar", 0, &tar, &size), 0);
    assert_int_equal(rn_buf_append(&b, "thirteen chars", 13), 0);
    assert_int_equal(rn_buf_append(&b, tar, size), 0);
    assert_int_equal(rn_buf_append(&b, "and something after it", 22), 0);
    assert_int_equal(rn_write_file_atomic("window", b.data, b.n), 0);
    assert_int_equal(scan("window", 13, (int64_t)size, &n), 0);
    assert_int_equal(n, MEMBERS);
    rn_buf_free(&b);
    free(tar);
}

/* Wherever a tar is cut, somebody notices, and every member that was reported is whole. */
static void every_cut_is_noticed(void **state)
{
    (void)state;
    int n;
    write_tar("cut.tar", "gnutar");
    int64_t size = rn_file_size("cut.tar"), end = size;
    char *tar = NULL;
    size_t bytes = 0;
    assert_int_equal(rn_read_file("cut.tar", 0, &tar, &bytes), 0);
    while (end > 0 && tar[end - 1] == 0)
        end--;
    end = (end + 511) / 512 * 512; /* where the closing zeros begin */
    for (int64_t cut = 0; cut < end + 1024; cut += 97)
        if (scan("cut.tar", 0, cut, &n) != RN_E_FORMAT)
            fail_msg("cut at %lld of %lld was not noticed", (long long)cut, (long long)size);
    assert_int_equal(scan("cut.tar", 0, end + 1024, &n), 0);
    free(tar);
}

static int refuse(void *arg, const char *name, uint64_t offset, uint64_t size)
{
    (void)arg, (void)name, (void)offset, (void)size;
    return 0;
}

static void members_that_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        mode_t type;
    } bad[] = {{"/etc/passwd", AE_IFREG},
               {"../up", AE_IFREG},
               {"a/../../b", AE_IFREG},
               {"link", AE_IFLNK},
               {"pipe", AE_IFIFO}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct archive *a = new_tar("bad.tar", "pax");
        add_entry(a, bad[i].name, bad[i].type, "x", bad[i].type == AE_IFREG ? 1 : 0);
        assert_int_equal(archive_write_free(a), ARCHIVE_OK);
        int fd = open("bad.tar", O_RDONLY);
        assert_int_equal(rn_tar_scan(fd, "bad.tar", 0, (uint64_t)rn_file_size("bad.tar"), refuse, NULL), RN_E_FORMAT);
        close(fd);
    }
}

/* Damaged at random: it may be refused or not, but what is reported lies inside the file. */
static int inside(void *arg, const char *name, uint64_t offset, uint64_t size)
{
    const uint64_t *bytes = arg;
    assert_true(name[0] != '\0');
    assert_true(offset <= *bytes && size <= *bytes - offset);
    return 0;
}

static void damage_never_leads_outside(void **state)
{
    (void)state;
    char *tar = NULL;
    size_t n = 0;
    rn_rng r;
    int refused = 0;
    write_tar("d.tar", "pax");
    assert_int_equal(rn_read_file("d.tar", 0, &tar, &n), 0);
    rn_rng_seed(&r, 5, RN_STREAM_TEST, 0, 0);
    int fd = open("d.tar", O_RDWR);
    assert_true(fd >= 0);
    for (int round = 0; round < 400; round++) {
        uint64_t bytes = n;
        off_t at = (off_t)rn_rng_below(&r, (uint32_t)n / 512) * 512 + rn_rng_below(&r, round % 2 ? 512 : 160);
        uint8_t value = (uint8_t)rn_rng_u32(&r);
        assert_int_equal(pwrite(fd, &value, 1, at), 1);
        refused += rn_tar_scan(fd, "d.tar", 0, bytes, inside, &bytes) < 0;
        assert_int_equal(pwrite(fd, tar + at, 1, at), 1);
    }
    assert_true(refused > 20);
    close(fd);
    free(tar);
}

/* ---- trees and lists ---------------------------------------------------------------------------------------- */

static void make_tree(void)
{
    static const char *const files[] = {"tree/b/2.JPEG", "tree/b/10.jpg", "tree/a/x.PNG", "tree/a/notes.txt",
                                        "tree/a/.hidden.jpg"};
    rn_mkdir_p("tree/a");
    rn_mkdir_p("tree/b");
    rn_mkdir_p("tree/empty");
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        write_text(files[i], "abc");
}

static void a_tree_is_sorted_and_numbered(void **state)
{
    (void)state;
    static const char *const want[] = {"a/x.PNG", "b/10.jpg", "b/2.JPEG"};
    rn_inputs *s = NULL;
    rn_buf b = {0};
    make_tree();
    assert_int_equal(rn_inputs_open_tree("tree", &s), 0);
    assert_int_equal(s->n, 3);
    assert_int_equal(s->nclasses, 3); /* an empty folder is a class, too */
    assert_int_equal(s->passed_over, 1);
    for (uint32_t i = 0; i < 3; i++) {
        assert_string_equal(rn_input_path(s, i), want[i]);
        assert_int_equal(s->input[i].label, i > 0);
        assert_int_equal(rn_input_read(s, i, &b), 0);
        assert_int_equal(b.n, 3);
    }
    assert_int_equal(s->classes[1].records, 2);
    rn_inputs_close(s);

    write_text("synset_words.txt", "a first one\nab between\nb last\nempty e\n"); /* beside the tree: it numbers */
    assert_int_equal(rn_inputs_open_tree("tree", &s), 0);
    assert_int_equal(s->nclasses, 4);
    assert_int_equal(s->input[1].label, 2);
    assert_string_equal(s->classes[0].words, "first one");
    rn_inputs_close(s);
    write_text("synset_words.txt", "a\nempty\n");
    assert_int_equal(rn_inputs_open_tree("tree", &s), RN_E_MISMATCH); /* b is not in it */
    write_text("synset_words.txt", "b\na\nempty\n");
    assert_int_equal(rn_inputs_open_tree("tree", &s), RN_E_FORMAT); /* out of order */
    assert_int_equal(unlink("synset_words.txt"), 0);
    rn_buf_free(&b);
}

static int list_rc(const char *text)
{
    rn_inputs *s = NULL;
    write_text("list.txt", text);
    int rc = rn_inputs_open_list("list.txt", "tree", &s);
    rn_inputs_close(s);
    return rc;
}

static void lists_are_read_strictly(void **state)
{
    (void)state;
    rn_inputs *s = NULL;
    make_tree();
    write_text("list.txt", "b/2.JPEG 1\na/with blank.JPEG 0\nb/2.JPEG 12");
    assert_int_equal(rn_inputs_open_list("list.txt", "tree", &s), 0);
    assert_int_equal(s->n, 3);
    assert_int_equal(s->nclasses, 13);
    assert_string_equal(rn_input_path(s, 1), "a/with blank.JPEG");
    assert_int_equal(s->input[2].label, 12);
    rn_inputs_close(s);
    assert_int_equal(list_rc(""), RN_E_NOTHING);
    assert_int_equal(list_rc("a/x.PNG\n"), RN_E_FORMAT);
    assert_int_equal(list_rc("a/x.PNG 1 \n"), RN_E_FORMAT);
    assert_int_equal(list_rc("a/x.PNG 1x\n"), RN_E_FORMAT);
    assert_int_equal(list_rc("a/x.PNG -1\n"), RN_E_FORMAT);
    assert_int_equal(list_rc("a/x.PNG 1000000\n"), RN_E_FORMAT);
    assert_int_equal(list_rc("a/x.PNG 1\r\n"), RN_E_FORMAT);
    assert_int_equal(list_rc(" 1\n"), RN_E_FORMAT);
    assert_int_equal(list_rc("a/x.PNG 1\n\nb/2.JPEG 1\n"), RN_E_FORMAT);
    assert_non_null(strstr(rn_error_text(), "list.txt:2"));
    assert_int_equal(list_rc("../up.JPEG 1\n"), RN_E_FORMAT);
    assert_int_equal(list_rc("/abs.JPEG 1\n"), RN_E_FORMAT);
    char longest[RN_INPUT_PATH_MAX + 8];
    memset(longest, 'x', sizeof longest);
    snprintf(longest + RN_INPUT_PATH_MAX, 4, " 1\n");
    assert_int_equal(list_rc(longest), 0);
    memset(longest, 'x', sizeof longest);
    snprintf(longest + RN_INPUT_PATH_MAX + 1, 4, " 1\n");
    assert_int_equal(list_rc(longest), RN_E_RANGE);
}

/* ---- images ------------------------------------------------------------------------------------------------- */

static void make_image(rn_image *im, int w, int h)
{
    rn_rng r;
    rn_rng_seed(&r, 3, RN_STREAM_TEST, 0, 0);
    assert_int_equal(rn_image_alloc(im, w, h, 3), 0);
    for (int i = 0; i < w * h * 3; i++)
        im->px[i] = (uint8_t)rn_rng_u32(&r);
}

static void every_cut_of_a_jpeg_is_noticed(void **state)
{
    (void)state;
    /* A thumbnail in a comment, with an end marker of its own, must not pass for the image's. */
    static const uint8_t comment[] = {0xff, 0xfe, 0, 8, 0xff, 0xda, 0xff, 0xd9, 0, 0};
    rn_image im = {0};
    uint8_t *jpeg = NULL;
    size_t cap = 0, n = 0;
    rn_buf b = {0};
    make_image(&im, 24, 17);
    assert_int_equal(rn_image_encode_jpeg(&im, 90, &jpeg, &cap, &n), 0);
    assert_int_equal(rn_buf_append(&b, jpeg, 2), 0);
    assert_int_equal(rn_buf_append(&b, comment, sizeof comment), 0);
    assert_int_equal(rn_buf_append(&b, jpeg + 2, n - 2), 0);
    assert_int_equal(rn_convert_check_markers(b.data, b.n, "whole"), 0);
    for (size_t cut = 0; cut < b.n; cut++) {
        uint8_t *exact = malloc(cut ? cut : 1); /* for the sanitizer */
        memcpy(exact, b.data, cut);
        if (rn_convert_check_markers(exact, cut, "cut") != RN_E_FORMAT)
            fail_msg("a JPEG cut at %zu of %zu passed", cut, b.n);
        free(exact);
    }
    assert_int_equal(rn_buf_append(&b, "bytes after the end do not matter", 33), 0);
    assert_int_equal(rn_convert_check_markers(b.data, b.n, "longer"), 0);
    rn_buf_free(&b);
    rn_image_free(&im);
    free(jpeg);
}

static void damaged_images_do_no_harm(void **state)
{
    (void)state;
    rn_image im = {0};
    uint8_t *jpeg = NULL;
    size_t cap = 0, n = 0;
    rn_rng r;
    make_image(&im, 24, 17);
    assert_int_equal(rn_image_encode_jpeg(&im, 90, &jpeg, &cap, &n), 0);
    rn_rng_seed(&r, 6, RN_STREAM_TEST, 0, 0);
    for (int round = 0; round < 3000; round++) {
        size_t cut = 1 + rn_rng_below(&r, (uint32_t)n);
        uint8_t *exact = malloc(cut);
        memcpy(exact, jpeg, cut);
        for (uint32_t k = rn_rng_below(&r, 4); k > 0; k--)
            exact[rn_rng_below(&r, (uint32_t)cut)] = (uint8_t)(rn_rng_below(&r, 2) ? 0xff : rn_rng_u32(&r));
        int rc = rn_convert_check_markers(exact, cut, "damaged");
        assert_true(rc == 0 || rc == RN_E_FORMAT || rc == RN_E_RANGE || rc == RN_E_UNSUPPORTED);
        free(exact);
    }
    rn_image_free(&im);
    free(jpeg);
}

static void every_cut_of_a_png_is_noticed(void **state)
{
    (void)state;
    rn_image im = {0};
    png_image png = {.version = PNG_IMAGE_VERSION, .width = 9, .height = 7, .format = PNG_FORMAT_RGB};
    uint8_t file[4096];
    png_alloc_size_t n = sizeof file;
    make_image(&im, 9, 7);
    assert_true(png_image_write_to_memory(&png, file, &n, 0, im.px, 0, NULL));
    assert_int_equal(rn_convert_check_markers(file, n, "whole"), 0);
    for (size_t cut = 0; cut < n; cut++)
        assert_int_equal(rn_convert_check_markers(file, cut, "cut"), RN_E_FORMAT);
    rn_image_free(&im);
}

static void options_are_parsed_strictly(void **state)
{
    (void)state;
    static const char *const bad_sizes[] = {"",           "short",    "short:",   "short:0",  "short:9000",
                                            "short:2x2",  "exact:5",  "exact:5x", "exact:x5", "exact:5x5x5",
                                            "exact:-1x5", "short: 5", "256",      "None"};
    static const char *const bad_forms[] = {"", "jpeg", "jpeg:", "jpeg:0", "jpeg:101", "jpeg:9.5", "png", "RAW"};
    rn_convert_opts o = {0};
    rn_buf b = {0};
    for (size_t i = 0; i < sizeof bad_sizes / sizeof *bad_sizes; i++)
        if (rn_convert_parse_size(bad_sizes[i], &o) != RN_E_USAGE)
            fail_msg("size '%s' was accepted", bad_sizes[i]);
    for (size_t i = 0; i < sizeof bad_forms / sizeof *bad_forms; i++)
        if (rn_convert_parse_encode(bad_forms[i], &o) != RN_E_USAGE)
            fail_msg("encoding '%s' was accepted", bad_forms[i]);
    o.filter = RN_FILTER_LANCZOS;
    assert_int_equal(rn_convert_parse_size("exact:256x128", &o), 0);
    assert_int_equal(rn_convert_parse_encode("jpeg:90", &o), 0);
    assert_int_equal(o.w * 1000 + o.h, 256128);
    rn_pack_opts p = {.convert = o, .shuffle = true, .seed = UINT64_MAX};
    assert_int_equal(rn_pack_options_text(&p, &b), 0);
    assert_string_equal((char *)b.data,
                        "resize=exact:256x128 filter=lanczos encode=jpeg:90 shuffle=18446744073709551615");
    assert_int_equal(rn_convert_parse_encode("keep", &o), 0);
    assert_int_equal(rn_convert_check(&o), RN_E_USAGE);
    rn_buf_free(&b);
}

/* Raw: the decoded pixels, as planes, blue first; --resize goes through rn_resize. */
static void raw_holds_the_pixels(void **state)
{
    (void)state;
    rn_image im = {0}, decoded = {0}, small = {0};
    rn_convert_opts o = {.size = RN_SIZE_SHORT, .w = 12, .filter = RN_FILTER_BILINEAR, .encode = RN_ENCODE_RAW};
    rn_converter *c = NULL;
    rn_resizer *rs = NULL;
    rn_buf b = {0};
    rn_datum d;
    uint8_t *jpeg = NULL;
    size_t cap = 0, n = 0;
    uint64_t data_n = 0;
    make_image(&im, 48, 24);
    assert_int_equal(rn_image_encode_jpeg(&im, 90, &jpeg, &cap, &n), 0);
    assert_int_equal(rn_converter_open(&o, &c), 0);
    assert_int_equal(rn_converter_run(c, jpeg, n, "x", 4, &b, &data_n), 0);
    assert_int_equal(rn_datum_parse(b.data, b.n, &d), 0);
    assert_int_equal(d.channels * 10000 + d.height * 100 + d.width, 31224);
    assert_int_equal(d.label, 4);
    assert_int_equal(data_n, 3 * 12 * 24);
    assert_int_equal(rn_image_decode(jpeg, n, "x", NULL, &decoded, NULL), 0);
    assert_int_equal(rn_resizer_open(&rs), 0);
    assert_int_equal(rn_resize(rs, &decoded, NULL, RN_FILTER_BILINEAR, 24, 12, &small), 0);
    for (int i = 0; i < 12 * 24; i++)
        for (int k = 0; k < 3; k++)
            assert_int_equal(d.data[(2 - k) * 12 * 24 + i], small.px[3 * i + k]);
    assert_int_equal(rn_converter_run(c, jpeg, n / 2, "x", 4, &b, &data_n), RN_E_FORMAT);
    rn_resizer_close(rs);
    rn_converter_close(c);
    rn_image_free(&im);
    rn_image_free(&decoded);
    rn_image_free(&small);
    rn_buf_free(&b);
    free(jpeg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offsets_lead_to_the_data),    cmocka_unit_test(a_window_of_a_file),
        cmocka_unit_test(every_cut_is_noticed),        cmocka_unit_test(members_that_are_refused),
        cmocka_unit_test(damage_never_leads_outside),  cmocka_unit_test(a_tree_is_sorted_and_numbered),
        cmocka_unit_test(lists_are_read_strictly),     cmocka_unit_test(every_cut_of_a_jpeg_is_noticed),
        cmocka_unit_test(damaged_images_do_no_harm),   cmocka_unit_test(every_cut_of_a_png_is_noticed),
        cmocka_unit_test(options_are_parsed_strictly), cmocka_unit_test(raw_holds_the_pixels),
    };
    return cmocka_run_group_tests(tests, enter_scratch, leave_scratch);
}
