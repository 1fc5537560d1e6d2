/* SPDX-License-Identifier: MIT */
#include "run/report/rn_plot.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/rn_error.h"

/* ---- the script ---- */

/* Colours are placeholders, replaced by the page's CSS variables afterwards, so that one picture serves light and dark. */
static int put_frame(rn_buf *b, const rn_plot *p)
{
    double from = INFINITY, to = -INFINITY;
    for (int i = 0; i < p->nseries; i++)
        for (int k = 0; k < p->series[i].n; k++) {
            from = fmin(from, p->series[i].x[k]);
            to = fmax(to, p->series[i].x[k]);
        }
    RN_TRY(rn_buf_printf(b,
                         "set terminal svg size 540,290 dynamic font 'sans-serif,13'\n"
                         "set border %d lc rgb '#010101'\n"
                         "set grid ytics lt 1 lw 0.6 lc rgb '#020202'\n"
                         "set tics nomirror scale 0.4 tc rgb '#010101'\n"
                         "set key above left horizontal Left reverse samplen 1.4 tc rgb '#010101'\n"
                         "set xlabel '%s' tc rgb '#010101'\nset ylabel '%s' tc rgb '#010101'\n"
                         "set offsets graph 0, graph 0, graph 0.04, graph 0\n",
                         p->rlabel ? 11 : 3, p->xlabel, p->ylabel));
    if (p->ymin != p->ymax)
        RN_TRY(rn_buf_printf(b, "set yrange [%g:%g]\nset offsets\n", p->ymin, p->ymax));
    if (p->whole_x && to - from <= 10 && floor(to) > ceil(from))
        RN_TRY(rn_buf_printf(b, "set xtics 1\n"));
    if (p->log_x)
        RN_TRY(rn_buf_printf(b, "set logscale x\nset format x '10^{%%T}'\n"));
    if (p->log_y)
        RN_TRY(rn_buf_printf(b, "set logscale y\nset format y '%%g'\n"));
    if (p->rlabel)
        RN_TRY(rn_buf_printf(b, "set y2label '%s' tc rgb '#010101'\nset y2tics tc rgb '#010101'\nset y2range [%g:%g]\n",
                             p->rlabel, p->rmin, p->rmax));
    return RN_OK;
}

static int put_series(rn_buf *b, const rn_plot_series *s)
{
    static const char *const how[] = {"lines lw 2", "lines lw 1", "linespoints lw 2 ps 0.5 pt", "points ps 1.2 pt"};
    static const int marks[RN_PLOT_COLOURS] = {7,  5, 9, 13,
                                               11, 6, 4}; /* so that colours are not all that tells lines apart */
    RN_TRY(rn_buf_printf(b, "'-' axes x1%s with %s", s->right ? "y2" : "y1", how[s->style]));
    if (s->style >= RN_PLOT_POINTS)
        RN_TRY(rn_buf_printf(b, " %d", marks[s->colour - 1]));
    RN_TRY(rn_buf_printf(b, " lc rgb '#0%d0%d0%d' title '", s->colour + 2, s->colour + 2, s->colour + 2));
    for (const char *c = s->title; *c; c++) /* a title may be a folder's name: no quote ends it, no line break */
        RN_TRY(rn_buf_printf(b, *c == '\'' ? "''" : "%c", (unsigned char)*c < ' ' ? '?' : *c));
    return rn_buf_printf(b, "' noenhanced");
}

static int put_bars(rn_buf *b, const rn_plot_series *s)
{
    return rn_buf_printf(b, ", '-' with vectors nohead lw 1.2 lc rgb '#0%d0%d0%d' notitle", s->colour + 2,
                         s->colour + 2, s->colour + 2);
}

static int put_data(rn_buf *b, const rn_plot_series *s, bool bars)
{
    for (int i = 0; i < s->n; i++) {
        if (!isfinite(s->y[i]))
            continue;
        if (bars)
            RN_TRY(rn_buf_printf(b, "%.10g %.10g 0 %.10g\n", s->x[i], s->y[i] - s->err[i], 2 * s->err[i]));
        else
            RN_TRY(rn_buf_printf(b, "%.10g %.10g\n", s->x[i], s->y[i]));
    }
    return rn_buf_printf(b, "e\n");
}

static int put_script(rn_buf *b, const rn_plot *p)
{
    RN_TRY(put_frame(b, p));
    RN_TRY(rn_buf_printf(b, "plot "));
    for (int i = 0; i < p->nseries; i++) {
        if (i)
            RN_TRY(rn_buf_printf(b, ", "));
        RN_TRY(put_series(b, &p->series[i]));
        if (p->series[i].err)
            RN_TRY(put_bars(b, &p->series[i]));
    }
    RN_TRY(rn_buf_printf(b, "\n"));
    for (int i = 0; i < p->nseries; i++) {
        RN_TRY(put_data(b, &p->series[i], false));
        if (p->series[i].err)
            RN_TRY(put_data(b, &p->series[i], true));
    }
    return RN_OK;
}

/* ---- the process ---- */

static int spawn(int in, int out, pid_t *pid)
{
    char *argv[] = {(char *)"gnuplot", NULL};
    posix_spawn_file_actions_t fa;
    posix_spawn_file_actions_init(&fa);
    posix_spawn_file_actions_adddup2(&fa, in, 0);
    posix_spawn_file_actions_adddup2(&fa, out, 1);
    posix_spawn_file_actions_addopen(&fa, 2, "/dev/null", O_WRONLY, 0);
    int err = posix_spawnp(pid, "gnuplot", &fa, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&fa);
    return err == 0 ? RN_OK : rn_fail(RN_E_ABSENT, "gnuplot cannot be run: %s", strerror(err));
}

static int read_all(int fd, rn_buf *b)
{
    char block[16384];
    for (;;) {
        ssize_t n = read(fd, block, sizeof block);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return rn_fail_errno(errno, "cannot read gnuplot's picture");
        if (n == 0)
            return RN_OK;
        RN_TRY(rn_buf_append(b, block, (size_t)n));
    }
}

/* The script lies in a memory file, so that neither side can wait for the other. */
static int gnuplot(const rn_buf *script, rn_buf *svg)
{
    int in = memfd_create("gnuplot", MFD_CLOEXEC), pipes[2] = {-1, -1}, rc, status;
    pid_t pid;
    if (in < 0 || pipe2(pipes, O_CLOEXEC) != 0)
        RN_GO(rn_fail_errno(errno, "cannot talk to gnuplot"));
    RN_GO(rn_write_all(in, script->data, script->n, "gnuplot's input"));
    if (lseek(in, 0, SEEK_SET) < 0)
        RN_GO(rn_fail_errno(errno, "cannot talk to gnuplot"));
    RN_GO(spawn(in, pipes[1], &pid));
    close(pipes[1]);
    pipes[1] = -1;
    rc = read_all(pipes[0], svg);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (rc == RN_OK && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
        rc = rn_fail(RN_E_UNSUPPORTED, "gnuplot failed");
out:
    if (in >= 0)
        close(in);
    for (int i = 0; i < 2; i++)
        if (pipes[i] >= 0)
            close(pipes[i]);
    return rc;
}

/* ---- the picture ---- */

typedef struct swap {
    const char *from, *to;
} swap;

/* Placeholder colours to variables, ids made unique, one pass. */
static int themed(const char *svg, const rn_plot *p, rn_buf *out)
{
    char id1[64], id2[64], href1[64], href2[64], url[64];
    snprintf(id1, sizeof id1, " id='%s-", p->id);
    snprintf(id2, sizeof id2, " id=\"%s-", p->id);
    snprintf(href1, sizeof href1, "href='#%s-", p->id);
    snprintf(href2, sizeof href2, "href=\"#%s-", p->id);
    snprintf(url, sizeof url, "url(#%s-", p->id);
    const swap swaps[] = {{"rgb(  1,   1,   1)", "var(--muted)"},
                          {"rgb(1,1,1)", "var(--muted)"},
                          {"rgb(  2,   2,   2)", "var(--line)"},
                          {"rgb(  3,   3,   3)", "var(--c1)"},
                          {"rgb(  4,   4,   4)", "var(--c2)"},
                          {"rgb(  5,   5,   5)", "var(--c3)"},
                          {"rgb(  6,   6,   6)", "var(--c4)"},
                          {"rgb(  7,   7,   7)", "var(--c5)"},
                          {"rgb(  8,   8,   8)", "var(--c6)"},
                          {"rgb(  9,   9,   9)", "var(--c7)"},
                          {" id='", id1},
                          {" id=\"", id2},
                          {"href='#", href1},
                          {"href=\"#", href2},
                          {"url(#", url}};
    for (const char *c = svg; *c;) {
        size_t k = 0;
        while (k < sizeof swaps / sizeof *swaps && strncmp(c, swaps[k].from, strlen(swaps[k].from)) != 0)
            k++;
        if (k < sizeof swaps / sizeof *swaps) {
            RN_TRY(rn_buf_append(out, swaps[k].to, strlen(swaps[k].to)));
            c += strlen(swaps[k].from);
        } else {
            RN_TRY(rn_buf_append(out, c++, 1));
        }
    }
    return RN_OK;
}

double rn_plot_spread(const rn_plot_series *s, int n)
{
    double lo = INFINITY, hi = 0;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < s[i].n; k++) {
            lo = fmin(lo, s[i].y[k]);
            hi = fmax(hi, s[i].y[k]);
        }
    return lo > 0 && hi >= lo ? hi / lo : 0;
}

int rn_plot_svg(const rn_plot *p, rn_buf *out)
{
    int rc;
    rn_buf script = {0}, svg = {0};
    RN_GO(put_script(&script, p));
    RN_GO(gnuplot(&script, &svg));
    RN_GO(rn_buf_append(&svg, "", 1));
    char *from = strstr((char *)svg.data, "<svg"), *end = strstr((char *)svg.data, "</svg>");
    if (!from || !end)
        RN_GO(rn_fail(RN_E_UNSUPPORTED, "gnuplot drew no SVG"));
    end[strlen("</svg>")] = 0;
    RN_GO(rn_buf_printf(out, "<svg role=\"img\" aria-label=\"%s\"", p->label));
    rc = themed(from + strlen("<svg"), p, out);
out:
    rn_buf_free(&script);
    rn_buf_free(&svg);
    return rc;
}
