/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/rn_error.h"
#include "base/rn_io.h"

static char dir[] = "/tmp/rn-test-io.XXXXXX", home[4096];

static int enter(void **state)
{
    (void)state;
    return !getcwd(home, sizeof(home)) || !mkdtemp(dir) || chdir(dir) < 0;
}

static int leave(void **state)
{
    (void)state;
    char cmd[64];
    snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
    return chdir(home) < 0 || system(cmd) != 0;
}

static void expect_file(const char *path, const char *want, size_t n)
{
    char *data;
    size_t got;
    assert_int_equal(rn_read_file(path, 0, &data, &got), RN_OK);
    assert_int_equal(got, n);
    assert_memory_equal(data, want, n);
    assert_int_equal(data[n], 0);
    free(data);
}

static int entries(const char *path)
{
    int n = 0;
    DIR *d = opendir(path);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static void test_write_and_read(void **state)
{
    (void)state;
    assert_int_equal(rn_write_file_atomic("f", "one", 3), RN_OK);
    expect_file("f", "one", 3);
    assert_int_equal(rn_write_file_atomic("f", "a\0b", 3), RN_OK); /* replaces; bytes are bytes */
    expect_file("f", "a\0b", 3);
    assert_int_equal(rn_write_file_atomic("empty", "", 0), RN_OK);
    expect_file("empty", "", 0);
    assert_int_equal(rn_file_size("f"), 3);
    assert_int_equal(entries("."), 2); /* no temporary is left */
    char *data;
    size_t n;
    assert_int_equal(rn_read_file("f", 2, &data, &n), RN_E_RANGE);
    assert_null(data);
    assert_int_equal(rn_read_file("f", 3, &data, &n), RN_OK);
    free(data);
    assert_int_equal(rn_read_file("none", 0, &data, &n), RN_E_NOENT);
    assert_non_null(strstr(rn_error_text(), "none"));
    assert_int_equal(rn_read_file(".", 0, &data, &n), RN_E_IO);
    /* a size of 0 in stat is no promise */
    assert_int_equal(rn_read_file("/proc/self/status", 0, &data, &n), RN_OK);
    assert_true(n > 100 && strncmp(data, "Name:", 5) == 0);
    free(data);
    assert_int_equal(rn_read_file("/proc/self/status", 10, &data, &n), RN_E_RANGE);
}

static void test_big_file(void **state)
{
    (void)state;
    enum { N = 3000001 };
    char *big = malloc(N);
    assert_non_null(big);
    for (int i = 0; i < N; i++)
        big[i] = (char)(i * 2654435761u >> 13);
    assert_int_equal(rn_write_file_atomic("big", big, N), RN_OK);
    expect_file("big", big, N);
    unlink("big");
    free(big);
}

/* Run in a child: returns the status rn_write_file_atomic gave under a file size limit. */
static int write_limited(const char *path, size_t n)
{
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGXFSZ, SIG_IGN); /* as rn_opt_parse does for every tool */
        struct rlimit lim = {1000, 1000};
        char *data = calloc(1, n);
        int rc = setrlimit(RLIMIT_FSIZE, &lim) == 0 && data ? rn_write_file_atomic(path, data, n) : -99;
        free(data);
        _exit(-rc);
    }
    int st = 0;
    assert_int_equal(waitpid(pid, &st, 0), pid);
    assert_true(WIFEXITED(st));
    return -WEXITSTATUS(st);
}

static void test_full_disk_leaves_the_old_file(void **state)
{
    (void)state;
    assert_int_equal(rn_mkdir_p("full"), RN_OK);
    assert_int_equal(rn_write_file_atomic("full/f", "old", 3), RN_OK);
    assert_int_equal(write_limited("full/f", 5000), RN_E_NOSPACE);
    expect_file("full/f", "old", 3);
    assert_int_equal(entries("full"), 1);
    assert_int_equal(write_limited("full/g", 5000), RN_E_NOSPACE);
    assert_int_equal(entries("full"), 1);
    assert_int_equal(write_limited("full/g", 900), RN_OK); /* the limit itself works */
    assert_int_equal(rn_file_size("full/g"), 900);
}

static void test_devices_links_folders(void **state)
{
    (void)state;
    struct stat st;
    if (stat("/dev/full", &st) == 0 && S_ISCHR(st.st_mode)) {
        assert_int_equal(rn_write_file_atomic("/dev/full", "x", 1), RN_E_NOSPACE);
        assert_non_null(strstr(rn_error_text(), "/dev/full"));
    }
    assert_int_equal(rn_write_file_atomic("/dev/null", "x", 1), RN_OK);
    assert_int_equal(stat("/dev/null", &st), 0);
    assert_true(S_ISCHR(st.st_mode)); /* not replaced by a file */
    assert_int_equal(rn_write_file_atomic("target", "1", 1), RN_OK);
    assert_int_equal(symlink("target", "link"), 0);
    assert_int_equal(rn_write_file_atomic("link", "2", 1), RN_OK);
    assert_int_equal(lstat("link", &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    expect_file("target", "2", 1);
    assert_int_equal(rn_mkdir_p("d"), RN_OK);
    assert_int_equal(rn_write_file_atomic("d", "x", 1), RN_E_IO);
    assert_int_equal(rn_write_file_atomic("nowhere/f", "x", 1), RN_E_NOENT);
    assert_non_null(strstr(rn_error_text(), "nowhere/f"));
}

static void test_text(void **state)
{
    (void)state;
    char *text;
    size_t n;
    assert_int_equal(rn_write_file_atomic("text", "a 0\nb 1\n", 8), RN_OK);
    assert_int_equal(rn_read_text("text", 0, &text, &n), RN_OK);
    assert_int_equal(n, 8);
    assert_string_equal(text, "a 0\nb 1\n");
    free(text);
    assert_int_equal(rn_write_file_atomic("text", "a 0\0\nb 1\n", 9), RN_OK);
    assert_int_equal(rn_read_text("text", 0, &text, &n), RN_E_FORMAT);
    assert_null(text);
    assert_non_null(strstr(rn_error_text(), "text: not a text file"));
}

static void test_mkdir(void **state)
{
    (void)state;
    assert_int_equal(rn_mkdir_p("a/b//c/"), RN_OK);
    assert_true(rn_is_dir("a/b/c"));
    assert_int_equal(rn_mkdir_p("a/b/c"), RN_OK);
    assert_int_equal(rn_mkdir_p("/"), RN_OK);
    assert_int_equal(rn_mkdir_p(""), RN_E_RANGE);
    assert_int_equal(rn_write_file_atomic("a/file", "", 0), RN_OK);
    assert_int_equal(rn_mkdir_p("a/file"), RN_E_IO);
    assert_int_equal(rn_mkdir_p("a/file/x"), RN_E_IO);
    assert_non_null(strstr(rn_error_text(), "a/file"));
    assert_true(rn_is_file("a/file") && !rn_is_dir("a/file") && !rn_is_file("a") && !rn_is_file("b"));
    assert_int_equal(rn_file_size("a"), -1);
    assert_int_equal(rn_file_size("b"), -1);
}

static void test_join(void **state)
{
    (void)state;
    char p[8];
    assert_int_equal(rn_path_join(p, sizeof(p), "a", "b"), RN_OK);
    assert_string_equal(p, "a/b");
    assert_int_equal(rn_path_join(p, sizeof(p), "a/", "b"), RN_OK);
    assert_string_equal(p, "a/b");
    assert_int_equal(rn_path_join(p, sizeof(p), "", "b"), RN_OK);
    assert_string_equal(p, "b");
    assert_int_equal(rn_path_join(p, sizeof(p), "/", "b"), RN_OK);
    assert_string_equal(p, "/b");
    assert_int_equal(rn_path_join(p, sizeof(p), "abc", "def"), RN_OK); /* 7 characters just fit */
    assert_int_equal(rn_path_join(p, sizeof(p), "abcd", "def"), RN_E_RANGE);
}

static void test_buffer(void **state)
{
    (void)state;
    rn_buf b = {0};
    assert_int_equal(rn_buf_append(&b, "abc", 3), RN_OK);
    assert_int_equal(rn_buf_append(&b, NULL, 0), RN_OK);
    assert_int_equal(rn_buf_printf(&b, "%d-%s", 42, "x"), RN_OK);
    assert_int_equal(b.n, 7);
    assert_string_equal((const char *)b.data, "abc42-x");
    for (int i = 0; i < 10000; i++)
        assert_int_equal(rn_buf_printf(&b, "%04d", i), RN_OK);
    assert_int_equal(b.n, 40007);
    assert_memory_equal(b.data + 40003, "9999", 5);
    assert_int_equal(rn_buf_reserve(&b, SIZE_MAX / 2 + 2), RN_E_NOMEM);
    assert_int_equal(b.n, 40007); /* untouched by the failure */
    assert_memory_equal(b.data, "abc", 3);
    rn_buf_free(&b);
    assert_null(b.data);
    rn_buf_free(&b);
}

static void test_clock(void **state)
{
    (void)state;
    double a = rn_now(), b = rn_now();
    assert_true(a > 0 && b >= a && b - a < 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_and_read),
        cmocka_unit_test(test_big_file),
        cmocka_unit_test(test_full_disk_leaves_the_old_file),
        cmocka_unit_test(test_devices_links_folders),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_mkdir),
        cmocka_unit_test(test_join),
        cmocka_unit_test(test_buffer),
        cmocka_unit_test(test_clock),
    };
    return cmocka_run_group_tests_name("io", tests, enter, leave);
}
