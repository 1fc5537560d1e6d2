/* SPDX-License-Identifier: MIT */
#include "base/rn_progress.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_io.h"
#include "base/rn_term.h"

#define TERM_GAP_NS 170000000  /* < 6 redraws a second */
#define FILE_GAP_NS 1000000000 /* --progress=always into a file: one line a second */
#define RATE_MEMORY 8.0        /* seconds after which an old rate counts for 1/e */
#define BAR_COLUMNS 24

/* What a line gives up where the terminal has no room for all of it, step by step, so that the note stays. */
enum fit { FIT_ALL, FIT_SHORT_BAR, FIT_NO_BAR, FIT_NO_COUNT, FIT_NO_RATE };

struct rn_progress {
    char what[64], noun[24];
    enum rn_progress_unit unit;
    bool tty;
    uint64_t total;
    double started;
    _Atomic uint64_t done, skipped;
    _Atomic int64_t due_ns; /* since `started`; whoever moves it forward draws */
    pthread_mutex_t lock;   /* what follows */
    char note[96];
    double rate_at; /* time of the last rate sample */
    uint64_t rate_done;
    double rate_sum, rate_weight; /* exponentially weighted rate = sum / weight */
};

static enum rn_progress_when policy = RN_PROGRESS_AUTO; /* set once by main */

void rn_progress_policy(enum rn_progress_when when)
{
    policy = when;
}

/* ---- one line of text ---- */

/* "1.23 GB", "12.5 MB", "512 B"; "1281", "1.28 M": three digits and decimal prefixes, but whole
 * items below a million, which people like to read exactly. */
static void quantity(double v, enum rn_progress_unit unit, char out[24])
{
    static const char prefix[] = " kMGTPE";
    int i = 0;
    while (prefix[i + 1] && v >= (i == 0 && unit == RN_UNIT_ITEMS ? 999999.5 : 999.5)) {
        int step = i == 0 && unit == RN_UNIT_ITEMS ? 2 : 1;
        v /= step == 2 ? 1e6 : 1e3;
        i += step;
    }
    int digits = i > 0 ? (v < 9.995 ? 2 : v < 99.95 ? 1 : 0) : (v < 99.95 && v != floor(v) ? 1 : 0);
    const char *byte = unit == RN_UNIT_BYTES ? "B" : "";
    if (i > 0)
        snprintf(out, 24, "%.*f %c%s", digits, v, prefix[i], byte);
    else
        snprintf(out, 24, "%.*f%s%s", digits, v, byte[0] ? " " : "", byte);
}

static void clock_text(double s, char out[24])
{
    if (!(s < 359999)) {
        snprintf(out, 24, "--:--");
        return;
    }
    unsigned t = (unsigned)(s + 0.5);
    if (t >= 3600)
        snprintf(out, 24, "%u:%02u:%02u", t / 3600, t / 60 % 60, t % 60);
    else
        snprintf(out, 24, "%u:%02u", t / 60, t % 60);
}

/* Rate of the last seconds, without what an earlier run had done. */
static double sample_rate(rn_progress *p, double now, uint64_t done)
{
    double dt = now - p->rate_at;
    if (dt > 0.01) {
        double keep = exp(-dt / RATE_MEMORY);
        p->rate_sum = keep * p->rate_sum + (1 - keep) * ((double)(done - p->rate_done) / dt);
        p->rate_weight = keep * p->rate_weight + (1 - keep);
        p->rate_at = now;
        p->rate_done = done;
    }
    return p->rate_weight > 0 ? p->rate_sum / p->rate_weight : 0;
}

static void bar_into(rn_buf *b, double share, enum fit fit)
{
    const int columns = fit == FIT_ALL ? BAR_COLUMNS : BAR_COLUMNS / 2;
    char bar[BAR_COLUMNS + 1];
    int full = (int)(share * columns);
    for (int i = 0; i < columns; i++)
        bar[i] = i < full ? '=' : i == full ? '>' : ' ';
    bar[columns] = 0;
    if (fit < FIT_NO_BAR)
        (void)rn_buf_printf(b, " [%s]", bar);
    (void)rn_buf_printf(b, " %3d%%", (int)(share * 100));
}

static void compose(const rn_progress *p, double now, double rate, enum fit fit, rn_buf *b)
{
    uint64_t all = atomic_load(&p->done) + atomic_load(&p->skipped);
    const char *space = p->noun[0] ? " " : "";
    char n[24], of[24], per[24], left[24];
    quantity((double)all, p->unit, n);
    quantity((double)p->total, p->unit, of);
    quantity(rate, p->unit, per);
    (void)rn_buf_printf(b, "%s", p->what);
    if (p->total)
        bar_into(b, all < p->total ? (double)all / (double)p->total : 1, fit);
    if (fit < FIT_NO_COUNT || !p->total)
        (void)rn_buf_printf(b, "  %s%s%s%s%s", n, p->total ? " / " : "", p->total ? of : "", space, p->noun);
    if (rate > 0 && fit < FIT_NO_RATE)
        (void)rn_buf_printf(b, "  %s/s", per);
    if (p->total && all < p->total) {
        clock_text(rate > 0 ? (double)(p->total - all) / rate : INFINITY, left);
        (void)rn_buf_printf(b, fit < FIT_NO_RATE ? "  %s left" : "  %s", left);
    } else {
        clock_text(now - p->started, left);
        (void)rn_buf_printf(b, "  %s", left);
    }
    if (p->note[0])
        (void)rn_buf_printf(b, "  %s", p->note);
}

/* Cuts to the terminal's width: where two blanks part a whole field from the next, or else anywhere but inside a UTF-8 sequence. */
static void cut(char *s, size_t columns)
{
    if (strlen(s) <= columns)
        return;
    for (size_t i = columns + 1; i > 0; i--)
        if (s[i] == ' ' && s[i - 1] == ' ') {
            s[i - 1] = 0;
            return;
        }
    while (columns > 0 && ((unsigned char)s[columns] & 0xC0) == 0x80)
        columns--;
    s[columns] = 0;
}

static void draw(rn_progress *p, double now)
{
    const double rate = sample_rate(p, now, atomic_load(&p->done));
    const int width = rn_term_width();
    const size_t columns = !p->tty ? SIZE_MAX : width > 1 ? (size_t)width - 1 : 1;
    rn_buf b = {0};
    const enum fit last =
        columns < 60 ? FIT_NO_RATE : FIT_NO_COUNT; /* with more room the rate is worth more than a note's end */
    for (enum fit fit = FIT_ALL; fit <= last; fit++) {
        b.n = 0;
        compose(p, now, rate, fit, &b);
        if (b.n <= columns)
            break;
    }
    if (b.data && p->tty) {
        cut((char *)b.data, columns);
        rn_term_bar((char *)b.data);
    } else if (b.data) {
        rn_term_line((char *)b.data);
    }
    rn_buf_free(&b);
}

/* Draws when it is time and no other thread is at it; never waits. */
static void tick(rn_progress *p)
{
    double now = rn_now();
    int64_t at = (int64_t)((now - p->started) * 1e9);
    int64_t due = atomic_load_explicit(&p->due_ns, memory_order_relaxed);
    int64_t next = at + (p->tty ? TERM_GAP_NS : FILE_GAP_NS);
    if (at < due || !atomic_compare_exchange_strong(&p->due_ns, &due, next))
        return;
    if (pthread_mutex_trylock(&p->lock) != 0)
        return;
    draw(p, now);
    pthread_mutex_unlock(&p->lock);
}

rn_progress *rn_progress_start(const char *what, const char *noun, enum rn_progress_unit unit, uint64_t total)
{
    bool tty = rn_term_is_tty();
    if (policy == RN_PROGRESS_NEVER || (policy == RN_PROGRESS_AUTO && !tty))
        return NULL;
    rn_progress *p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    if (pthread_mutex_init(&p->lock, NULL) != 0) {
        free(p);
        return NULL;
    }
    snprintf(p->what, sizeof(p->what), "%s", what);
    snprintf(p->noun, sizeof(p->noun), "%s", noun ? noun : "");
    p->unit = unit;
    p->tty = tty;
    p->total = total;
    p->started = p->rate_at = rn_now();
    tick(p);
    return p;
}

void rn_progress_add(rn_progress *p, uint64_t n)
{
    if (!p)
        return;
    atomic_fetch_add_explicit(&p->done, n, memory_order_relaxed);
    tick(p);
}

void rn_progress_skip(rn_progress *p, uint64_t n)
{
    if (!p)
        return;
    atomic_fetch_add_explicit(&p->skipped, n, memory_order_relaxed);
    tick(p);
}

void rn_progress_note(rn_progress *p, const char *text)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    snprintf(p->note, sizeof(p->note), "%s", text ? text : "");
    pthread_mutex_unlock(&p->lock);
    tick(p);
}

void rn_progress_done(rn_progress *p)
{
    if (!p)
        return;
    if (p->tty)
        rn_term_bar(NULL);
    else
        draw(p, rn_now()); /* the last line of a file says where the work ended */
    pthread_mutex_destroy(&p->lock);
    free(p);
}
