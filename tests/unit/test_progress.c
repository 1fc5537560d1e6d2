/* SPDX-License-Identifier: MIT */
/* The progress line on a real pseudo-terminal: a child draws, this process keeps the screen. */
#include <errno.h>
#include <pthread.h>
#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/rn_io.h"
#include "base/rn_log.h"
#include "base/rn_progress.h"

#define COLUMNS 100
static int columns = COLUMNS; /* of the terminal: what is narrower than the screen may not reach its edge */

static void nap(long ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

/* Runs fn in a child whose stderr is a terminal (or a file) and returns all it wrote there. */
static char *capture(void (*fn)(void), int tty, size_t *n)
{
    int master, slave;
    struct winsize ws = {.ws_row = 24, .ws_col = (unsigned short)columns};
    if (tty) {
        assert_int_equal(openpty(&master, &slave, NULL, NULL, &ws), 0);
    } else {
        int fds[2];
        assert_int_equal(pipe(fds), 0);
        master = fds[0];
        slave = fds[1];
    }
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(slave, STDERR_FILENO);
        close(master);
        close(slave);
        fn();
        _exit(0);
    }
    close(slave);
    rn_buf b = {0};
    for (;;) {
        char part[4096];
        ssize_t got = read(master, part, sizeof(part));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) /* a terminal says EIO when its last writer is gone */
            break;
        assert_int_equal(rn_buf_append(&b, part, (size_t)got), 0);
    }
    close(master);
    int st;
    assert_int_equal(waitpid(pid, &st, 0), pid);
    assert_true(WIFEXITED(st) && WEXITSTATUS(st) == 0);
    assert_int_equal(rn_buf_append(&b, "", 1), 0);
    *n = b.n - 1;
    return (char *)b.data;
}

/* A screen of lines: CR, LF and characters, nothing else may come. */
typedef struct screen {
    char line[2000][COLUMNS + 1];
    int row, col, frames; /* frames: carriage returns followed by text */
} screen;

static screen *replay(const char *text, size_t n)
{
    screen *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    memset(s->line, ' ', sizeof(s->line));
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '\r') {
            s->col = 0;
            s->frames += i + 1 < n && text[i + 1] == 'w'; /* every bar here starts with "work" */
        } else if (text[i] == '\n') {
            s->row++;
        } else {
            assert_true((unsigned char)text[i] >= 0x20);
            assert_true(s->col < columns && s->row < 2000); /* the bar never wraps */
            s->line[s->row][s->col++] = text[i];
        }
    }
    for (int r = 0; r <= s->row; r++) {
        int c = COLUMNS;
        while (c > 0 && s->line[r][c - 1] == ' ')
            c--;
        s->line[r][c] = 0;
    }
    return s;
}

static void draw_for_a_second(void)
{
    rn_log_init("tool", RN_LOG_NORMAL);
    rn_progress *p = rn_progress_start("work", "images", RN_UNIT_ITEMS, 1000);
    rn_progress_skip(p, 500);
    for (int i = 0; i < 250; i++) {
        rn_progress_add(p, 2);
        nap(4);
    }
    rn_progress_done(p);
}

static void test_bar_on_a_terminal(void **state)
{
    (void)state;
    size_t n;
    double t = rn_now();
    char *text = capture(draw_for_a_second, 1, &n);
    double took = rn_now() - t;
    assert_non_null(strstr(text, "\rwork [>                       ]   0%  0 / 1000 images"));
    assert_non_null(strstr(text, "work [=============")); /* over half: what an earlier run did counts, ... */
    int rates = 0;
    for (const char *p = text; (p = strstr(p, " / 1000 images  ")) != NULL; p++) {
        double rate;
        if (sscanf(p, " / 1000 images %lf/s", &rate) == 1) {
            assert_true(rate > 0 && rate < 520); /* ... but not as speed: 2 every 4 ms at most */
            rates++;
        }
    }
    assert_true(rates >= 2);
    assert_non_null(strstr(text, " left"));
    screen *s = replay(text, n);
    assert_in_range(s->frames, 3, (int)(6 * took) + 1); /* at most 6 a second */
    assert_string_equal(s->line[0], "");                /* done takes the bar off */
    assert_int_equal(s->row, 0);
    free(s);
    free(text);
}

static void test_auto_is_silent_in_a_file(void **state)
{
    (void)state;
    size_t n;
    char *text = capture(draw_for_a_second, 0, &n);
    assert_int_equal(n, 0);
    free(text);
}

static void always(void)
{
    rn_progress_policy(RN_PROGRESS_ALWAYS);
    draw_for_a_second();
}

static void test_always_writes_lines_to_a_file(void **state)
{
    (void)state;
    size_t n;
    char *text = capture(always, 0, &n);
    assert_null(strchr(text, '\r'));
    assert_true(n > 0 && text[n - 1] == '\n');
    assert_non_null(strstr(text, "work [========================] 100%  1000 / 1000 images"));
    free(text);
}

static void never(void)
{
    rn_progress_policy(RN_PROGRESS_NEVER);
    draw_for_a_second();
}

static void test_never(void **state)
{
    (void)state;
    size_t n;
    char *text = capture(never, 1, &n);
    assert_int_equal(n, 0);
    free(text);
}

enum { TALKERS = 4, LINES = 100 };
static rn_progress *shared;

static void *talk(void *arg)
{
    int who = (int)(intptr_t)arg;
    for (int i = 0; i < LINES; i++) {
        rn_progress_add(shared, 1 << 20);
        rn_info("thread %d says line %d to the end", who, i);
        if (i % 10 == 0) {
            rn_progress_note(shared, i % 20 ? "short" : "a rather longer note to be wiped");
            nap(20);
        }
    }
    return NULL;
}

static void draw_and_talk(void)
{
    rn_log_init("tool", RN_LOG_NORMAL);
    shared = rn_progress_start("work", NULL, RN_UNIT_BYTES, (uint64_t)TALKERS * LINES << 20);
    pthread_t t[TALKERS];
    for (intptr_t i = 0; i < TALKERS; i++)
        pthread_create(&t[i], NULL, talk, (void *)i);
    for (int i = 0; i < TALKERS; i++)
        pthread_join(t[i], NULL);
    rn_progress_done(shared);
}

/* Every line of the log is whole on the screen, and nothing else is. */
static void test_log_lines_are_not_torn(void **state)
{
    (void)state;
    size_t n;
    char *text = capture(draw_and_talk, 1, &n);
    screen *s = replay(text, n);
    assert_true(s->frames >= 1);
    assert_non_null(strstr(text, "B/s"));
    int next[TALKERS] = {0};
    assert_int_equal(s->row, TALKERS * LINES);
    for (int r = 0; r < TALKERS * LINES; r++) {
        char want[COLUMNS];
        int who = -1;
        sscanf(s->line[r], "tool: thread %d", &who);
        assert_in_range(who, 0, TALKERS - 1);
        snprintf(want, sizeof(want), "tool: thread %d says line %d to the end", who, next[who]++);
        assert_string_equal(s->line[r], want);
    }
    assert_string_equal(s->line[s->row], "");
    free(s);
    free(text);
}

static void long_note(void)
{
    rn_progress *p = rn_progress_start("work", "images", RN_UNIT_ITEMS, 0); /* total unknown */
    rn_progress_note(
        p, "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
           "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4");
    nap(400);
    rn_progress_add(p, 1234567);
    rn_progress_done(p);
}

static void test_unknown_total(void **state)
{
    (void)state;
    size_t n;
    char *text = capture(long_note, 1, &n);
    assert_non_null(strstr(text, "work  1.23 M images  "));
    assert_null(strchr(text, '%'));
    assert_null(strstr(text, "left"));
    free(replay(text, n)); /* asserts that it never wraps */
    free(text);
}

static void train_some(void)
{
    rn_progress *p = rn_progress_start("work 12/90", "images", RN_UNIT_ITEMS, 852210);
    rn_progress_skip(p, 104159);
    for (int i = 0; i < 4; i++) {
        nap(180);
        rn_progress_note(p, "loss 2.372  top-1 14.3%  wait 12%  lr 0.0512");
        rn_progress_add(p, 32);
    }
    rn_progress_done(p);
}

/* What is asked of a training's line stands in it at 80 columns, and at 40 what comes first, in whole fields. */
static void test_narrow_terminals(void **state)
{
    (void)state;
    size_t n;
    columns = 80;
    char *text = capture(train_some, 1, &n);
    const char *line = strstr(text, "left  loss 2.372  top-1 14.3%  wait 12%");
    assert_non_null(line);
    assert_null(strstr(text, "852210 images  1")); /* the count has made room for it */
    assert_non_null(strstr(text, "/s  "));
    free(replay(text, n));
    free(text);
    columns = 40;
    text = capture(train_some, 1, &n);
    line = strstr(text, "  loss 2.372");
    assert_non_null(line);
    assert_null(strstr(text, "top-1")); /* not half of it: "top-1 1" would be a lie */
    assert_non_null(strstr(text, "work 12/90  12%  "));
    free(replay(text, n));
    free(text);
    columns = COLUMNS;
}

static void test_null_is_fine(void **state)
{
    (void)state;
    rn_progress_add(NULL, 1);
    rn_progress_skip(NULL, 1);
    rn_progress_note(NULL, "x");
    rn_progress_done(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bar_on_a_terminal),
        cmocka_unit_test(test_auto_is_silent_in_a_file),
        cmocka_unit_test(test_always_writes_lines_to_a_file),
        cmocka_unit_test(test_never),
        cmocka_unit_test(test_log_lines_are_not_torn),
        cmocka_unit_test(test_unknown_total),
        cmocka_unit_test(test_narrow_terminals),
        cmocka_unit_test(test_null_is_fine),
    };
    return cmocka_run_group_tests_name("progress", tests, NULL, NULL);
}
