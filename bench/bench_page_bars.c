/* SPDX-License-Identifier: MIT */
/* A bar for each algorithm on each layer, one picture a direction; the middle half of the rounds as a line at its end. */
#include <math.h>
#include <string.h>

#include "bench.h"
#include "bench_page.h"

enum { W = 1000, LABEL = 250, RIGHT = 80, BAR = 13, GAP = 12, TOP = 26 };

static bool in_picture(const bench_view *v, const json_t *row, const char *dir)
{
    return bench_view_has(v, row) && strcmp(bench_row_text(row, "dir"), dir) == 0;
}

/* Bars, and how many of them begin a layer; the longest, GFLOP/s. */
static int count(const bench_view *v, const char *dir, int *layers, double *most)
{
    const char *last = "";
    int n = 0;

    *layers = 0;
    for (size_t i = 0; i < json_array_size(v->rows); i++) {
        const json_t *row = json_array_get(v->rows, i);
        if (!in_picture(v, row, dir))
            continue;
        n++;
        *layers += strcmp(last, bench_row_text(row, "case")) != 0;
        last = bench_row_text(row, "case");
        *most = fmax(*most, bench_row_number(row, "gflops"));
    }
    return n;
}

static void bar(rn_html *h, const json_t *row, double most, int y, int colour)
{
    const double g = bench_row_number(row, "gflops"), ms = bench_row_number(row, "ms"),
                 half = bench_row_number(row, "ms_iqr") / 2;

    if (ms <= 0) {
        const bool bad = *bench_row_text(row, "failure");
        rn_html_fmt(h, "<text class='c%s' x='%d' y='%d'>", bad ? " bad" : "", LABEL + 6, y + BAR - 3);
        rn_html_text(h, bench_row_text(row, "algo"));
        rn_html_raw(h, " ");
        rn_html_text(h, bench_row_text(row, "state"));
        rn_html_raw(h, ": ");
        rn_html_text(h, bench_row_text(row, bad ? "failure" : "refused"));
        rn_html_raw(h, "</text>\n");
        return;
    }
    const double scale = (W - LABEL - RIGHT) / most, fast = fmin(g * ms / fmax(ms - half, ms / 2), most),
                 slow = g * ms / (ms + half);
    rn_html_fmt(h, "<rect x='%d' y='%d' width='%.1f' height='%d' rx='2' style='fill:var(--c%d)'><title>", LABEL, y,
                g * scale, BAR - 2, colour);
    rn_html_text(h, bench_row_text(row, "algo"));
    rn_html_fmt(h, ": %.4f ms (quartiles %.4f apart), %.1f %% of the peak</title></rect>", ms, 2 * half,
                bench_row_number(row, "peak_pct"));
    rn_html_fmt(h, "<path class='iqr' d='M%.1f %.1fH%.1f'/><text class='c' x='%.1f' y='%d'>%.0f</text>\n",
                LABEL + slow * scale, y + (BAR - 2) / 2.0, LABEL + fast * scale, LABEL + fmax(fast, g) * scale + 5,
                y + BAR - 3, g);
}

static void label(rn_html *h, const json_t *row, int y)
{
    const char *layer = bench_row_text(row, "layer");

    rn_html_fmt(h, "<text class='l' x='%d' y='%d' text-anchor='end'>", LABEL - 8, y + BAR - 3);
    rn_html_text(h, *layer ? layer : bench_row_text(row, "case"));
    if (bench_row_number(row, "count") > 1)
        rn_html_fmt(h, " &#215;%.0f", bench_row_number(row, "count"));
    rn_html_raw(h, "<title>");
    rn_html_text(h, bench_row_text(row, "case"));
    rn_html_raw(h, "</title></text>\n");
}

void bench_page_bars(rn_html *h, const bench_view *v, const char *dir)
{
    double most = 0, peak = 0;
    int layers, n = count(v, dir, &layers, &most), y = TOP;
    const char *last = "";

    if (n == 0)
        return;
    for (size_t i = 0; i < json_array_size(v->rows) && peak <= 0; i++) {
        const json_t *row = json_array_get(v->rows, i);
        if (bench_view_has(v, row))
            peak = bench_row_number(json_object_get(row, "ceilings"), "gflops");
    }
    most = fmax(most, peak);
    const double scale = most > 0 ? (W - LABEL - RIGHT) / most : 1;
    const int height = TOP + n * BAR + layers * GAP;
    rn_html_fmt(
        h,
        "<figure><figcaption>%s, %s, %d thread%s: GFLOP/s</figcaption>\n<svg class='plot' role='img' aria-label='%s by "
        "layer' viewBox='0 0 %d %d'>\n",
        dir, v->dtype, v->threads, v->threads == 1 ? "" : "s", dir, W, height);
    if (peak > 0)
        rn_html_fmt(
            h,
            "<path class='roof' d='M%.1f %dV%d'/><text class='c' x='%.1f' y='14' text-anchor='end'>measured peak "
            "%.0f</text>\n",
            LABEL + peak * scale, TOP - 6, height, LABEL + peak * scale, peak);
    for (size_t i = 0; i < json_array_size(v->rows); i++) {
        const json_t *row = json_array_get(v->rows, i);
        if (!in_picture(v, row, dir))
            continue;
        if (strcmp(last, bench_row_text(row, "case")) != 0) {
            y += *last ? GAP : 0;
            label(h, row, y);
        }
        last = bench_row_text(row, "case");
        bar(h, row, most, y, bench_view_colour(v, row));
        y += BAR;
    }
    rn_html_raw(h, "</svg></figure>\n");
}
