/* SPDX-License-Identifier: MIT */
#include "base/rn_term.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/rn_io.h"

#define BAR_MAX 512

/* Process-wide because stderr is. */
static pthread_mutex_t term_lock = PTHREAD_MUTEX_INITIALIZER;
static char bar_text[BAR_MAX];
static int bar_shown; /* columns of the bar on the screen now */

bool rn_term_is_tty(void)
{
    return isatty(STDERR_FILENO) == 1;
}

int rn_term_width(void)
{
    struct winsize ws;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 0)
        return ws.ws_col;
    return 80;
}

/* A message that cannot be written has nowhere else to go, hence the ignored status. */
static void put(const rn_buf *b)
{
    if (b->n)
        (void)rn_write_all(STDERR_FILENO, b->data, b->n, "stderr");
}

/* Everything that one call changes on the screen goes out in one write. */
static void erase_into(rn_buf *b)
{
    if (bar_shown)
        (void)rn_buf_printf(b, "\r%*s\r", bar_shown, "");
    bar_shown = 0;
}

static void draw_into(rn_buf *b)
{
    if (!bar_text[0])
        return;
    (void)rn_buf_printf(b, "\r%s", bar_text);
    bar_shown = (int)strlen(bar_text);
}

void rn_term_line(const char *text)
{
    rn_buf b = {0};
    pthread_mutex_lock(&term_lock);
    erase_into(&b);
    (void)rn_buf_printf(&b, "%s\n", text);
    draw_into(&b);
    put(&b);
    pthread_mutex_unlock(&term_lock);
    rn_buf_free(&b);
}

void rn_term_bar(const char *text)
{
    rn_buf b = {0};
    pthread_mutex_lock(&term_lock);
    snprintf(bar_text, sizeof(bar_text), "%s", text ? text : "");
    int before = bar_shown;
    if (bar_text[0]) {
        draw_into(&b);
        if (bar_shown < before) /* what is left of the longer bar; then back to its end is not needed */
            (void)rn_buf_printf(&b, "%*s", before - bar_shown, "");
        if (bar_shown < before)
            bar_shown = before;
    } else {
        erase_into(&b);
    }
    put(&b);
    pthread_mutex_unlock(&term_lock);
    rn_buf_free(&b);
}
