/* SPDX-License-Identifier: MIT */
/* The log on a disk that is full for a while: lines wait, none is cut or lost, a sync says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "run/log/rn_runlog.h"

/* Files may have that many bytes: a write beyond is cut short, then fails. */
static void limit(rlim_t bytes)
{
    struct rlimit r;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &r), 0);
    r.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &r), 0);
}

static void line(rn_runlog *log, int i)
{
    assert_int_equal(rn_runlog_line(log, json_pack("{s:i}", "i", i)), RN_OK);
}

static void expect(const char *want)
{
    char *text;
    size_t n;
    assert_int_equal(rn_read_text("full.jsonl", 0, &text, &n), 0);
    assert_string_equal(text, want);
    free(text);
}

static void waits_for_room(void **state)
{
    (void)state;
    rn_runlog *log;
    int64_t bytes = -1;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(rn_runlog_open("full.jsonl", 0, &log), 0);
    line(log, 1);
    assert_int_equal(rn_runlog_sync(log, &bytes), 0);
    assert_int_equal(bytes, 8);
    limit(12); /* half of the next line */
    line(log, 2);
    expect("{\"i\":1}\n");
    line(log, 3);
    bytes = -1;
    assert_int_equal(rn_runlog_sync(log, &bytes), RN_E_NOSPACE);
    assert_int_equal(bytes, -1);
    expect("{\"i\":1}\n");
    limit(1000);
    line(log, 4);
    expect("{\"i\":1}\n{\"i\":2}\n{\"i\":3}\n{\"i\":4}\n");
    limit(32);
    line(log, 5);
    limit(1000);
    assert_int_equal(rn_runlog_sync(log, &bytes), 0); /* it tries, too */
    assert_int_equal(bytes, 40);
    rn_runlog_close(log);
    expect("{\"i\":1}\n{\"i\":2}\n{\"i\":3}\n{\"i\":4}\n{\"i\":5}\n");
    unlink("full.jsonl");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(waits_for_room)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
