/* SPDX-License-Identifier: MIT */
/* Several runs on one page: a picture a group, the best of each group in one, a table, what all of them share. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_opt.h"
#include "run/report/rn_compare_impl.h"
#include "run/report/rn_plot.h"

enum {
    LINES = RN_PLOT_COLOURS /* in a picture */,
    SPREAD = 20 /* of losses, above which their scale is logarithmic */
};

/* ---- pictures ---- */

typedef struct curve {
    double *x, *y;
    int n;
} curve;

/* One point a line of `lines` that has the key. */
static int collect(const json_t *lines, const char *key, double steps_per_epoch, curve *out)
{
    size_t i, n = json_array_size(lines);
    const json_t *o;
    *out = (curve){.x = calloc(n + 1, sizeof(double)), .y = calloc(n + 1, sizeof(double))};
    if (!out->x || !out->y)
        return rn_fail(RN_E_NOMEM, "no memory for curves");
    json_array_foreach((json_t *)(uintptr_t)lines, i, o)
    {
        double v = rn_report_num(o, key);
        if (!isfinite(v))
            continue;
        out->x[out->n] = rn_report_num(o, "step") / steps_per_epoch;
        out->y[out->n++] = v;
    }
    return RN_OK;
}

/* What a picture shows of each run. */
typedef struct quantity {
    const char *key, *caption, *unit;
    bool windows; /* of the windows of training, not the evaluations */
    enum rn_plot_style style;
    double ymin, ymax; /* both 0: each picture its own */
} quantity;

static int draw(rn_html *h, const rn_compared *const *runs, int n, const quantity *q, const char *caption, int number)
{
    curve curves[LINES] = {{0}};
    rn_plot_series series[LINES];
    char id[32];
    rn_buf svg = {0};
    int rc;
    rn_plot p = {.id = id,
                 .label = q->caption,
                 .xlabel = "epoch",
                 .whole_x = true,
                 .ylabel = q->unit,
                 .ymin = q->ymin,
                 .ymax = q->ymax,
                 .series = series};
    snprintf(id, sizeof id, "%s%d", q->key, number);
    for (int i = 0; i < n; i++) {
        double spe = rn_report_num(runs[i]->run, "steps_per_epoch");
        RN_GO(collect(q->windows ? runs[i]->windows : runs[i]->epochs, q->key, spe >= 1 ? spe : 1, &curves[i]));
        series[i] = (rn_plot_series){.title = runs[i]->name,
                                     .style = q->style,
                                     .colour = i + 1,
                                     .x = curves[i].x,
                                     .y = curves[i].y,
                                     .n = curves[i].n};
        p.nseries += curves[i].n > 0;
    }
    if (strcmp(q->key, "loss") == 0)
        p.log_y = rn_plot_spread(series, n) > SPREAD;
    if (p.nseries < n || !n) { /* a run without a point: gnuplot would draw none of the others */
        rc = RN_OK;
        goto out;
    }
    RN_GO(rn_plot_svg(&p, &svg));
    RN_GO(rn_buf_append(&svg, "", 1));
    rn_html_raw(h, "<figure><figcaption>");
    rn_html_text(h, caption);
    rn_html_raw(h, p.log_y ? " (logarithmic)" : "");
    rn_html_fmt(h, "</figcaption>\n%s</figure>\n", (const char *)svg.data);
    rc = h->rc;
out:
    for (int i = 0; i < LINES; i++) {
        free(curves[i].x);
        free(curves[i].y);
    }
    rn_buf_free(&svg);
    return rc;
}

/* What stands behind the group's name: "0.01" of step-0.01. */
static const char *tail_of(const rn_compared *c)
{
    const size_t n = strlen(c->group);
    return c->name[n] == '-' ? c->name + n + 1 : c->name;
}

/* Numbers by size, others by their bytes. */
static int by_tail(const void *a, const void *b)
{
    const rn_compared *x = *(const rn_compared *const *)a, *y = *(const rn_compared *const *)b;
    char *xe, *ye;
    const char *xt = tail_of(x), *yt = tail_of(y);
    double xv = strtod(xt, &xe), yv = strtod(yt, &ye);
    if (!*xe && !*ye && xe != xt && ye != yt && (xv < yv || yv < xv))
        return xv < yv ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* From the least to the most that any run's evaluations say, with some air: one scale for all pictures of top-1. */
static void scale_of(const rn_compared *runs, int n, quantity *q)
{
    double lo = 100, hi = 0;
    size_t k;
    json_t *o;
    for (int i = 0; i < n; i++)
        json_array_foreach(runs[i].epochs, k, o)
        {
            lo = fmin(lo, rn_report_num(o, "top1"));
            hi = fmax(hi, rn_report_num(o, "top1"));
        }
    if (!(lo <= hi))
        return;
    q->ymin = fmax(0, floor(lo - 0.05 * (hi - lo) - 0.5));
    q->ymax = fmin(100, ceil(hi + 0.05 * (hi - lo) + 0.5));
}

/* Pictures of results and of rates for some runs; in the first set (number 0) of the losses, too. */
static int draw_runs(rn_html *h, const rn_compared **runs, int n, const char *of, int number, const quantity *top1)
{
    static const quantity rate = {"lr", "Learning rate", "", true, RN_PLOT_LINE, 0, 0},
                          train = {"loss", "Training loss", "", true, RN_PLOT_THIN, 0, 0},
                          val = {"loss", "Validation loss", "", false, RN_PLOT_POINTS, 0, 0};
    const quantity *const shown[] = {top1, &rate, &val, &train};
    static const char *const called[] = {"validation top-1", "learning rate", "validation loss", "training loss"};
    char caption[256];
    for (int i = 0; i < (number ? 2 : 4); i++) {
        snprintf(caption, sizeof caption, "%s: %s", of, called[i]);
        RN_TRY(draw(h, runs, n, shown[i], caption, 4 * number + i));
    }
    return RN_OK;
}

static bool first_of_group(const rn_compared *runs, int i)
{
    for (int k = 0; k < i; k++)
        if (strcmp(runs[k].group, runs[i].group) == 0)
            return false;
    return true;
}

/* The runs of a group that have an evaluation (NULL: the best run of each group), the best LINES of them in the order of their tails;
 * `seen` is how many there were. */
static int gather(const rn_compared *runs, int n, const char *group, const rn_compared **some, int *seen)
{
    int k = 0;
    *seen = 0;
    for (int i = 0; i < n; i++) { /* runs are sorted: the first of a group is its best */
        if (!runs[i].last || (group ? strcmp(runs[i].group, group) != 0 : !first_of_group(runs, i)))
            continue;
        ++*seen;
        if (k < LINES)
            some[k++] = &runs[i];
    }
    if (group)
        qsort(some, (size_t)k, sizeof(*some), by_tail);
    return k;
}

static int groups_of(const rn_compared *runs, int n)
{
    int groups = 0;
    for (int i = 0; i < n; i++)
        groups += first_of_group(runs, i);
    return groups;
}

static int draw_groups(rn_html *h, const rn_compared *runs, int n)
{
    const rn_compared *some[LINES];
    const int groups = groups_of(runs, n);
    quantity top1 = {"top1", "Validation top-1", "per cent", false, RN_PLOT_POINTS, 0, 0};
    char of[256];
    int seen, k = gather(runs, n, NULL, some, &seen), number = 0;
    scale_of(runs, n, &top1);
    const char *what = groups == n ? "The runs" : "The best of each";
    snprintf(of, sizeof of, seen > k ? "%s, the best %d of %d" : "%s", what, k, seen);
    RN_TRY(draw_runs(h, some, k, of, number++, &top1));
    for (int i = 0; i < n && groups < n; i++) {
        if (!first_of_group(runs, i))
            continue;
        k = gather(runs, n, runs[i].group, some, &seen);
        snprintf(of, sizeof of, seen > k ? "%s, the best %d of %d" : "%s", runs[i].group, k, seen);
        if (k > 1)
            RN_TRY(draw_runs(h, some, k, of, number++, &top1));
    }
    return RN_OK;
}

static void curves(rn_html *h, const rn_compared *runs, int n)
{
    size_t before = h->b.n;
    rn_html_raw(h, "<section id=curves>\n<h2>Curves</h2>\n<div class=charts>\n");
    int rc = h->rc == RN_OK ? draw_groups(h, runs, n) : h->rc;
    if (rc == RN_OK) {
        rn_html_raw(h, "</div></section>\n");
        return;
    }
    h->b.n = before;
    if (rc != RN_E_ABSENT && rc != RN_E_UNSUPPORTED) {
        h->rc = rc;
        return;
    }
    rn_html_raw(h, "<section id=curves>\n<h2>Curves</h2>\n<p class=note>No curves: ");
    rn_html_text(h, rn_error_text());
    rn_html_raw(h, ". Install gnuplot and compare again; the table below holds the numbers.</p></section>\n");
}

/* ---- groups by what they differ in ---- */

enum { COLUMNS = 12 };

static void grid_row(rn_html *h, const rn_compared *runs, int n, const char *group, const rn_compared *const *columns,
                     int k)
{
    double lo = 100, hi = 0;
    for (int i = 0; i < n; i++)
        if (runs[i].last) {
            lo = fmin(lo, rn_report_num(runs[i].last, "top1"));
            hi = fmax(hi, rn_report_num(runs[i].last, "top1"));
        }
    rn_html_raw(h, "<tr>");
    rn_html_tag(h, "th", group);
    for (int c = 0; c < k; c++) {
        const rn_compared *one = NULL;
        for (int i = 0; i < n && !one; i++)
            if (strcmp(runs[i].group, group) == 0 && strcmp(tail_of(&runs[i]), tail_of(columns[c])) == 0)
                one = &runs[i];
        if (!one || !one->last) {
            rn_html_raw(h, one ? "<td class=bad>none</td>" : "<td></td>");
            continue;
        }
        const double v = rn_report_num(one->last, "top1");
        rn_html_fmt(h, "<td%s style=\"--p:%.0f\">%.2f%s</td>", v >= hi && hi > lo ? " class=top" : "",
                    hi > lo ? 100 * (v - lo) / (hi - lo) : 0, v, one->finished ? "" : "&thinsp;*");
    }
    rn_html_raw(h, "</tr>\n");
}

static int runs_in(const rn_compared *runs, int n, const char *group)
{
    int k = 0;
    for (int i = 0; i < n; i++)
        k += strcmp(runs[i].group, group) == 0;
    return k;
}

/* Rows are groups of more than one run, columns what stands behind the last '-': a study of policies and rates at one look. */
static void grid(rn_html *h, const rn_compared *runs, int n)
{
    const rn_compared *columns[COLUMNS];
    int k = 0;
    int rows = 0;
    for (int i = 0; i < n; i++)
        rows += first_of_group(runs, i) && runs_in(runs, n, runs[i].group) > 1;
    if (rows < 2)
        return;
    for (int i = 0; i < n; i++) {
        bool seen = runs_in(runs, n, runs[i].group) < 2;
        for (int c = 0; c < k && !seen; c++)
            seen = strcmp(tail_of(columns[c]), tail_of(&runs[i])) == 0;
        if (!seen && k == COLUMNS)
            return;
        if (!seen)
            columns[k++] = &runs[i];
    }
    qsort(columns, (size_t)k, sizeof(*columns), by_tail);
    rn_html_raw(h, "<section id=grid>\n<h2>At one look</h2>\n<div class=wide><table class=grid><thead><tr><th></th>");
    for (int c = 0; c < k; c++)
        rn_html_tag(h, "th", tail_of(columns[c]));
    rn_html_raw(h, "</tr></thead><tbody>\n");
    for (int i = 0; i < n; i++)
        if (first_of_group(runs, i) && runs_in(runs, n, runs[i].group) > 1)
            grid_row(h, runs, n, runs[i].group, columns, k);
    rn_html_raw(h,
                "</tbody></table></div>\n<p class=note>Top-1 of the last evaluation, per cent: rows by their best. ");
    if (runs[0].last)
        rn_html_fmt(h, "The standard error of one is about %.2f. ", rn_report_num(runs[0].last, "se_top1"));
    rn_html_raw(h, "none: no evaluation; *: not finished.</p></section>\n");
}

/* ---- what differs ---- */

static const json_t *setting(const rn_compared *c, const char *key)
{
    return json_object_get(json_object_get(c->run, "recipe"), key);
}

/* A value of the recipe as it would be typed. */
static void put_value(rn_html *h, const json_t *v)
{
    if (json_is_string(v))
        rn_html_text(h, json_string_value(v));
    else if (json_is_integer(v))
        rn_html_fmt(h, "%lld", (long long)json_integer_value(v));
    else if (json_is_real(v))
        rn_html_fmt(h, "%g", json_real_value(v));
    else
        rn_html_raw(h, json_is_true(v) ? "true" : json_is_false(v) ? "false" : "not set");
}

static bool differs(const rn_compared *runs, int n, const char *key)
{
    for (int i = 1; i < n; i++) {
        const json_t *a = setting(&runs[0], key), *b = setting(&runs[i], key);
        if ((a || b) && !json_equal(a, b))
            return true;
    }
    return false;
}

/* A key of any run, once each, in the order of the runs' recipes: calls `fn` for those that differ, or for those that do not. */
static void each_key(rn_html *h, const rn_compared *runs, int n, bool different,
                     void (*fn)(rn_html *, const rn_compared *, const char *), const rn_compared *of)
{
    const char *key;
    json_t *v;
    for (int i = 0; i < n; i++)
        json_object_foreach(json_object_get(runs[i].run, "recipe"), key, v)
        {
            bool seen = false;
            for (int k = 0; k < i && !seen; k++)
                seen = setting(&runs[k], key) != NULL;
            if (!seen && differs(runs, n, key) == different)
                fn(h, of, key);
        }
}

static void head_cell(rn_html *h, const rn_compared *c, const char *key)
{
    (void)c;
    rn_html_tag(h, "th", key);
}

static void value_cell(rn_html *h, const rn_compared *c, const char *key)
{
    rn_html_raw(h, "<td>");
    put_value(h, setting(c, key));
    rn_html_raw(h, "</td>");
}

static void shared_pair(rn_html *h, const rn_compared *c, const char *key)
{
    rn_html_raw(h, "<div><dt>");
    rn_html_text(h, key);
    rn_html_raw(h, "</dt><dd>");
    put_value(h, setting(c, key));
    rn_html_raw(h, "</dd></div>\n");
}

/* ---- the table ---- */

static void number_cell(rn_html *h, const json_t *o, const char *key, const char *fmt)
{
    double v = o ? rn_report_num(o, key) : NAN;
    char text[48] = "";
    if (isfinite(v)) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(text, sizeof text, fmt, v);
#pragma GCC diagnostic pop
    }
    rn_html_tag(h, "td class=num", text);
}

static void row(rn_html *h, const rn_compared *runs, int n, const rn_compared *c)
{
    rn_html_raw(h, "<tr>");
    rn_html_tag(h, "th", c->name);
    number_cell(h, c->last, "top1", "%.2f");
    number_cell(h, c->last, "se_top1", "%.2f");
    number_cell(h, c->best, "top1", "%.2f");
    number_cell(h, c->best, "epoch", "%.0f");
    number_cell(h, c->last, "top5", "%.2f");
    number_cell(h, c->last, "loss", "%.4f");
    number_cell(h, c->last, "train_loss", "%.4f");
    rn_html_fmt(h, "<td class=%s>%s", c->finished ? "num" : "bad", c->finished ? "" : "stopped after ");
    rn_html_fmt(h, "%g</td>", c->epochs_done);
    each_key(h, runs, n, true, value_cell, c);
    rn_html_raw(h, "</tr>\n");
}

static void table(rn_html *h, const rn_compared *runs, int n)
{
    rn_html_raw(
        h, "<section id=runs>\n<h2>Runs</h2>\n<div class=wide><table><thead><tr><th>run<th class=num>top-1<th "
           "class=num>s.e."
           "<th class=num>best<th class=num>of epoch<th class=num>top-5<th class=num>val loss<th class=num>train loss"
           "<th class=num>epochs");
    each_key(h, runs, n, true, head_cell, NULL);
    rn_html_raw(h, "</tr></thead><tbody>\n");
    for (int i = 0; i < n; i++)
        row(h, runs, n, &runs[i]);
    rn_html_raw(
        h, "</tbody></table></div>\n<p class=note>Per cent, of the last evaluation; s.e. is the standard error of a "
           "binomial "
           "proportion: of one evaluation, not of another seed. The columns after the epochs are what differs in the "
           "recipes.</p></section>\n");
}

int rn_compare_page(rn_html *h, const rn_compared *runs, int n, const char *title)
{
    rn_html_raw(h, "<!doctype html>\n<html lang=en>\n<head><meta charset=utf-8>\n<meta name=viewport "
                   "content=\"width=device-width,initial-scale=1\">\n<title>");
    rn_html_text(h, title);
    rn_html_raw(h, "</title>\n<style>\n");
    rn_html_raw(h, rn_report_css);
    rn_html_raw(h, "</style></head>\n<body>\n<header><div><p class=kicker>rnkit comparison</p>\n");
    rn_html_tag(h, "h1", title);
    rn_html_fmt(h, "<p class=lead>%d run%s", n, n == 1 ? "" : "s");
    if (runs[0].last) {
        int ties = 0;
        while (ties + 1 < n && runs[ties + 1].last &&
               !(rn_report_num(runs[ties + 1].last, "top1") < rn_report_num(runs[0].last, "top1")))
            ties++;
        rn_html_raw(h, "; the best at its end is <b>");
        rn_html_text(h, runs[0].name);
        rn_html_raw(h, "</b>");
        if (ties)
            rn_html_fmt(h, " (and %d others as good)", ties);
        rn_html_fmt(h, " with %.2f %% top-1 on %.0f images", rn_report_num(runs[0].last, "top1"),
                    rn_report_num(runs[0].last, "n"));
    }
    rn_html_raw(h, ".</p></div></header>\n<main>\n");
    grid(h, runs, n);
    curves(h, runs, n);
    table(h, runs, n);
    rn_html_raw(h, "<section id=recipe>\n<h2>What all of them share</h2>\n<dl>\n");
    each_key(h, runs, n, false, shared_pair, &runs[0]);
    rn_html_raw(
        h, "</dl></section>\n</main>\n<footer><p>Written by rn-train " RN_VERSION
           " from the runs' log.jsonl; the page needs no other file and no network.</p></footer>\n</body></html>\n");
    return h->rc;
}
