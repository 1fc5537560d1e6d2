/* SPDX-License-Identifier: MIT */
/* The roofline (Williams, Waterman & Patterson 2009), both axes logarithmic: what a case can reach by the FLOP it has for a byte, and
 * what it reaches. Every ceiling is measured. */
#include <math.h>
#include <string.h>

#include "bench.h"
#include "bench_page.h"

enum { W = 1000, H = 520, LEFT = 62, RIGHT = 18, TOP = 18, BOTTOM = 52 };

/* A shape for each direction, so that colours can be the algorithms'. */
static const char *const dirs[] = {"fwd", "bwd_d", "bwd_w"};

typedef struct frame {
    double x0, x1, y0, y1; /* ranges, FLOP a byte and GFLOP/s */
    double peak, gb_s[BENCH_LEVELS];
} frame;

static double px(const frame *f, double x)
{
    return LEFT + (W - LEFT - RIGHT) * log(x / f->x0) / log(f->x1 / f->x0);
}

static double py(const frame *f, double y)
{
    return H - BOTTOM - (H - TOP - BOTTOM) * log(y / f->y0) / log(f->y1 / f->y0);
}

static double intensity(const json_t *row)
{
    return bench_row_number(row, "flop") / bench_row_number(row, "bytes");
}

/* False: nothing to draw. */
static bool measure(const bench_view *v, frame *f)
{
    double least = INFINITY, most = 0, low = INFINITY, high = 0;

    *f = (frame){0};
    for (size_t i = 0; i < json_array_size(v->rows); i++) {
        const json_t *row = json_array_get(v->rows, i), *c = json_object_get(row, "ceilings");
        if (!bench_view_has(v, row) || bench_row_number(row, "ms") <= 0)
            continue;
        f->peak = bench_row_number(c, "gflops");
        for (int k = 0; k < BENCH_LEVELS; k++) {
            char key[32];
            snprintf(key, sizeof key, "%s_gb_s", bench_level_names[k]);
            f->gb_s[k] = bench_row_number(c, key);
        }
        least = fmin(least, intensity(row));
        most = fmax(most, intensity(row));
        low = fmin(low, bench_row_number(row, "gflops"));
        high = fmax(high, bench_row_number(row, "gflops"));
    }
    if (most <= 0 || f->peak <= 0)
        return false;
    for (int k = 0; k < BENCH_LEVELS; k++) {
        if (f->gb_s[k] > 0) {
            least = fmin(least, f->peak / f->gb_s[k]);
            most = fmax(most, f->peak / f->gb_s[k]);
        }
    }
    *f = (frame){.x0 = least / 2,
                 .x1 = most * 2,
                 .y0 = fmin(low, f->peak / 8) / 1.6,
                 .y1 = fmax(high, f->peak) * 1.5,
                 .peak = f->peak,
                 .gb_s = {f->gb_s[0], f->gb_s[1], f->gb_s[2], f->gb_s[3]}};
    return true;
}

/* ---- axes and ceilings ---------------------------------------------------------------------------------------------- */

static void ticks(rn_html *h, const frame *f, bool x)
{
    const double lo = x ? f->x0 : f->y0, hi = x ? f->x1 : f->y1;
    static const int steps[] = {1, 2, 5};

    for (int decade = (int)floor(log10(lo)); decade <= (int)floor(log10(hi)); decade++) {
        for (int i = 0; i < 3; i++) {
            double at = pow(10, decade) * steps[i];
            if (at < lo || at > hi)
                continue;
            if (x)
                rn_html_fmt(h,
                            "<path class='g' d='M%.1f %dV%d'/><text x='%.1f' y='%d' text-anchor='middle'>%g</text>\n",
                            px(f, at), TOP, H - BOTTOM, px(f, at), H - BOTTOM + 18, at);
            else
                rn_html_fmt(h, "<path class='g' d='M%d %.1fH%d'/><text x='%d' y='%.1f' text-anchor='end'>%g</text>\n",
                            LEFT, py(f, at), W - RIGHT, LEFT - 8, py(f, at) + 4, at);
        }
    }
}

static void ceilings(rn_html *h, const frame *f)
{
    const double slope = atan2(py(f, f->y0) - py(f, f->y0 * 10), px(f, f->x0 * 10) - px(f, f->x0)) * 180 / acos(-1);

    for (int k = 0; k < BENCH_LEVELS; k++) {
        if (f->gb_s[k] <= 0)
            continue;
        const double ridge = fmin(f->peak / f->gb_s[k], f->x1), from = fmax(f->x0, f->y0 / f->gb_s[k]);
        if (from >= ridge)
            continue;
        rn_html_fmt(h, "<path class='roof' d='M%.1f %.1fL%.1f %.1f'/>\n", px(f, from), py(f, from * f->gb_s[k]),
                    px(f, ridge), py(f, fmin(f->peak, ridge * f->gb_s[k])));
        rn_html_fmt(h,
                    "<text class='c' transform='translate(%.1f %.1f) rotate(%.1f)' x='%d' y='-5'>%s %.0f GB/s</text>\n",
                    px(f, from), py(f, from * f->gb_s[k]), -slope, k == 2 ? 100 : 8, bench_level_names[k], f->gb_s[k]);
    }
    const double first = f->gb_s[0] > 0 ? f->peak / f->gb_s[0] : f->x0;
    rn_html_fmt(
        h,
        "<path class='roof' d='M%.1f %.1fH%d'/>\n<text class='c' x='%d' y='%.1f' text-anchor='end'>%.0f GFLOP/s, "
        "all in registers</text>\n",
        px(f, fmax(first, f->x0)), py(f, f->peak), W - RIGHT, W - RIGHT, py(f, f->peak) - 6, f->peak);
}

/* ---- points --------------------------------------------------------------------------------------------------------- */

static void mark(rn_html *h, int dir, double x, double y, const char *colour)
{
    if (dir == 0)
        rn_html_fmt(h, "<circle cx='%.1f' cy='%.1f' r='5' style='fill:var(--%s)'>", x, y, colour);
    else if (dir == 1)
        rn_html_fmt(h, "<rect x='%.1f' y='%.1f' width='9' height='9' style='fill:var(--%s)'>", x - 4.5, y - 4.5,
                    colour);
    else
        rn_html_fmt(h, "<path d='M%.1f %.1fl6 10h-12z' style='fill:var(--%s)'>", x, y - 6, colour);
}

static int shape_of(const json_t *row)
{
    int dir = 0;

    while (dir < 2 && strcmp(dirs[dir], bench_row_text(row, "dir")) != 0)
        dir++;
    return dir;
}

static void unmark(rn_html *h, int dir)
{
    rn_html_raw(h, dir == 0 ? "</circle>\n" : dir == 1 ? "</rect>\n" : "</path>\n");
}

static void points(rn_html *h, const bench_view *v, const frame *f)
{
    rn_html_raw(h, "<g class='points'>");
    for (size_t i = 0; i < json_array_size(v->rows); i++) {
        const json_t *row = json_array_get(v->rows, i);
        if (!bench_view_has(v, row) || bench_row_number(row, "ms") <= 0)
            continue;
        const int dir = shape_of(row);
        char colour[8];
        snprintf(colour, sizeof colour, "c%d", bench_view_colour(v, row));
        mark(h, dir, px(f, intensity(row)), py(f, bench_row_number(row, "gflops")), colour);
        rn_html_raw(h, "<title>");
        rn_html_text(h, bench_row_text(row, "layer"));
        rn_html_fmt(h, " %s %s, ", bench_row_text(row, "case"), dirs[dir]);
        rn_html_text(h, bench_row_text(row, "algo"));
        rn_html_fmt(h, ": %.1f GFLOP/s, %.1f %% of the roof (%s)</title>", bench_row_number(row, "gflops"),
                    bench_row_number(row, "roofline_pct"), bench_row_text(row, "bound"));
        unmark(h, dir);
    }
    rn_html_raw(h, "</g>");
}

static void legend(rn_html *h, const bench_view *v)
{
    rn_html_raw(h, "<p class='legend'>");
    for (int i = 0; i < v->nalgos; i++) {
        rn_html_fmt(h, "<span><i class='dot' style='background:var(--c%d)'></i>", i % 7 + 1);
        rn_html_text(h, v->algos[i]);
        rn_html_raw(h, "</span> ");
    }
    for (int dir = 0; dir < 3; dir++) {
        rn_html_raw(h, "<span><svg viewBox='0 0 14 14'>");
        mark(h, dir, 7, 7, "muted");
        unmark(h, dir);
        rn_html_fmt(h, "</svg>%s</span> ", dirs[dir]);
    }
    rn_html_raw(h, "</p>\n");
}

void bench_page_roofline(rn_html *h, const bench_view *v)
{
    frame f;

    if (!measure(v, &f))
        return;
    rn_html_fmt(h, "<figure><figcaption>%s, %d thread%s</figcaption>", v->dtype, v->threads,
                v->threads == 1 ? "" : "s");
    legend(h, v);
    rn_html_fmt(h, "<svg class='plot' role='img' aria-label='Roofline of %s' viewBox='0 0 %d %d'>\n", v->dtype, W, H);
    ticks(h, &f, true);
    ticks(h, &f, false);
    ceilings(h, &f);
    points(h, v, &f);
    rn_html_fmt(h, "<text x='%d' y='%d' text-anchor='middle'>FLOP a byte (each tensor once)</text>\n",
                (LEFT + W - RIGHT) / 2, H - 10);
    rn_html_fmt(h,
                "<text transform='translate(14 %d) rotate(-90)' text-anchor='middle'>GFLOP/s</text>\n</svg></figure>\n",
                (TOP + H - BOTTOM) / 2);
}
