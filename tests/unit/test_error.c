/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_log.h"

static void test_fail_keeps_code_and_text(void **state)
{
    (void)state;
    assert_int_equal(rn_fail(RN_E_FORMAT, "%s is %d bytes short", "a.tar", 3), RN_E_FORMAT);
    assert_string_equal(rn_error_text(), "a.tar is 3 bytes short");
    assert_int_equal(rn_fail_prefix(RN_E_MISMATCH, "line %d", 7), RN_E_MISMATCH);
    assert_string_equal(rn_error_text(), "line 7: a.tar is 3 bytes short");
    /* the message may be built from itself */
    assert_int_equal(rn_fail(RN_E_IO, "again: %s", rn_error_text()), RN_E_IO);
    assert_string_equal(rn_error_text(), "again: line 7: a.tar is 3 bytes short");
}

static void test_errno_classes(void **state)
{
    (void)state;
    static const struct {
        int err, want;
    } t[] = {{ENOSPC, RN_E_NOSPACE}, {EDQUOT, RN_E_NOSPACE}, {EFBIG, RN_E_NOSPACE}, {ENOENT, RN_E_NOENT},
             {ENOMEM, RN_E_NOMEM},   {EACCES, RN_E_IO},      {EIO, RN_E_IO}};
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        assert_int_equal(rn_fail_errno(t[i].err, "cannot write %s", "x"), t[i].want);
        assert_memory_equal(rn_error_text(), "cannot write x: ", 16);
        assert_non_null(strstr(rn_error_text(), strerror(t[i].err)));
    }
}

static void test_long_texts_are_cut(void **state)
{
    (void)state;
    char big[5000];
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = 0;
    rn_fail(RN_E_IO, "%s", big);
    assert_in_range(strlen(rn_error_text()), 500, 1023);
    rn_fail_errno(ENOENT, "%s", big);
    assert_in_range(strlen(rn_error_text()), 500, 1023);
    rn_fail_prefix(RN_E_IO, "%s", big);
    assert_in_range(strlen(rn_error_text()), 500, 1023);
}

static void *fail_elsewhere(void *arg)
{
    (void)arg;
    int empty = rn_error_text()[0] == 0;
    rn_fail(RN_E_IO, "other thread");
    return empty ? (void *)1 : NULL;
}

static void test_text_is_per_thread(void **state)
{
    (void)state;
    rn_fail(RN_E_IO, "this thread");
    pthread_t t;
    void *empty;
    assert_int_equal(pthread_create(&t, NULL, fail_elsewhere, NULL), 0);
    assert_int_equal(pthread_join(t, &empty), 0);
    assert_non_null(empty);
    assert_string_equal(rn_error_text(), "this thread");
}

static void test_names_and_exit_codes(void **state)
{
    (void)state;
    static const struct {
        int status, exit;
    } t[] = {{RN_OK, 0},        {1, 0},       {RN_E_USAGE, 2},    {RN_E_NOTHING, 3},
             {RN_E_ABSENT, 77}, {RN_E_IO, 1}, {RN_E_MISMATCH, 1}, {RN_E_INTERRUPTED, 1},
             {RN_E_NOSPACE, 1}};
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
        assert_int_equal(rn_exit_code(t[i].status), t[i].exit);
    for (int a = RN_OK; a >= RN_E_INTERRUPTED; a--) {
        assert_memory_equal(rn_status_name(a), "RN_", 3);
        for (int b = RN_OK; b > a; b--)
            assert_string_not_equal(rn_status_name(a), rn_status_name(b));
    }
    assert_non_null(rn_status_name(-999));
}

static int steps_after;

static int ladder(int status)
{
    int rc;
    RN_GO(status);
    steps_after++;
out:
    return rc;
}

static int direct(int status)
{
    RN_TRY(status);
    steps_after++;
    return RN_OK;
}

static void test_macros(void **state)
{
    (void)state;
    steps_after = 0;
    assert_int_equal(ladder(RN_E_IO), RN_E_IO);
    assert_int_equal(direct(RN_E_IO), RN_E_IO);
    assert_int_equal(steps_after, 0);
    assert_int_equal(ladder(RN_OK), RN_OK);
    assert_int_equal(direct(RN_OK), RN_OK);
    assert_int_equal(steps_after, 2);
}

/* What the log says at each level, through a file in stderr's place. */
static void test_log_levels(void **state)
{
    (void)state;
    static const char *const want[] = {
        "tool: error: e\n",
        "tool: error: e\ntool: warning: w\ntool: i\n",
        "tool: error: e\ntool: warning: w\ntool: i\ntool: v two lines\n",
    };
    for (int level = RN_LOG_QUIET; level <= RN_LOG_VERBOSE; level++) {
        fflush(stderr);
        int keep = dup(STDERR_FILENO);
        FILE *f = tmpfile();
        assert_non_null(f);
        dup2(fileno(f), STDERR_FILENO);
        rn_log_init("tool", (enum rn_log_level)level);
        rn_error("%s", "e");
        rn_warn("w");
        rn_info("i");
        rn_verbose("v %s", "two\nlines"); /* one message is one line */
        dup2(keep, STDERR_FILENO);
        close(keep);
        char text[256] = {0};
        rewind(f);
        size_t n = fread(text, 1, sizeof(text) - 1, f);
        fclose(f);
        assert_int_equal(n, strlen(want[level]));
        assert_string_equal(text, want[level]);
        assert_int_equal(rn_log_level(), level);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fail_keeps_code_and_text),
        cmocka_unit_test(test_errno_classes),
        cmocka_unit_test(test_long_texts_are_cut),
        cmocka_unit_test(test_text_is_per_thread),
        cmocka_unit_test(test_names_and_exit_codes),
        cmocka_unit_test(test_macros),
        cmocka_unit_test(test_log_levels),
    };
    return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
