/* SPDX-License-Identifier: MIT */
#include "bench_page.h"

#include <string.h>

#include "base/rn_error.h"
#include "base/rn_opt.h"
#include "bench.h"
#include "bench_conv.h"
#include "run/report/rn_report_impl.h"

/* Beside the report's. */
static const char css[] =
    ".plot text{font-size:12px;fill:var(--muted)}.plot text.c{font-size:11px}.plot text.l{fill:var(--ink)}"
    ".plot text.bad{fill:var(--bad)}"
    ".plot .g{stroke:var(--line);stroke-width:.7;fill:none}.plot .roof{stroke:var(--ink);stroke-width:1.4;fill:none}"
    ".plot "
    ".iqr{stroke:var(--ink);stroke-width:1.6;opacity:.75}.points>*{opacity:.85;stroke:var(--card);stroke-width:.8}"
    ".legend{display:flex;flex-wrap:wrap;gap:4px 18px;font-size:.9rem}.legend "
    "svg{display:inline-block;width:14px;height:14px;"
    "vertical-align:-2px;margin-right:.3em}figure+figure{margin-top:26px}.all{font-size:.8rem}.all td,.all "
    "th{white-space:nowrap}"
    "main{max-width:1240px}header>div{max-width:1240px}\n";

const char *bench_row_text(const json_t *row, const char *key)
{
    const char *s = json_string_value(json_object_get(row, key));
    return s ? s : "";
}

double bench_row_number(const json_t *row, const char *key)
{
    return json_number_value(json_object_get(row, key));
}

/* ---- views ---------------------------------------------------------------------------------------------------------- */

bool bench_view_has(const bench_view *v, const json_t *row)
{
    return strcmp(bench_row_text(row, "dtype"), v->dtype) == 0 && bench_row_number(row, "threads") == v->threads;
}

int bench_view_colour(const bench_view *v, const json_t *row)
{
    int i = 0;

    while (i < v->nalgos && strcmp(v->algos[i], bench_row_text(row, "algo")) != 0)
        i++;
    return i % 7 + 1;
}

/* An algorithm has the same colour in all pictures. */
static void find_algos(bench_view *v)
{
    for (size_t i = 0; i < json_array_size(v->rows); i++) {
        const char *name = bench_row_text(json_array_get(v->rows, i), "algo");
        int k = 0;
        while (k < v->nalgos && strcmp(v->algos[k], name) != 0)
            k++;
        if (k == v->nalgos && k < (int)(sizeof v->algos / sizeof *v->algos))
            v->algos[v->nalgos++] = name;
    }
}

/* Calls `draw` for each type and number of threads there is, in the rows' order. */
static void each_view(rn_html *h, bench_view *v, void (*draw)(rn_html *, const bench_view *))
{
    for (size_t i = 0; i < json_array_size(v->rows); i++) {
        const json_t *row = json_array_get(v->rows, i);
        bool seen = false;
        for (size_t k = 0; k < i && !seen; k++) {
            const json_t *before = json_array_get(v->rows, k);
            seen = strcmp(bench_row_text(before, "dtype"), bench_row_text(row, "dtype")) == 0 &&
                   bench_row_number(before, "threads") == bench_row_number(row, "threads");
        }
        v->dtype = bench_row_text(row, "dtype");
        v->threads = (int)bench_row_number(row, "threads");
        if (!seen)
            draw(h, v);
    }
}

/* ---- totals --------------------------------------------------------------------------------------------------------- */

typedef struct sum {
    double ms[3], all;
    size_t missing[3]; /* cases without a time: then there is no sum */
} sum;

static sum sum_of(const bench_view *v, const char *algo)
{
    sum s = {{0}, 0, {0}};

    for (size_t i = 0; i < json_array_size(v->rows); i++) {
        const json_t *row = json_array_get(v->rows, i);
        if (!bench_view_has(v, row) || strcmp(bench_row_text(row, "algo"), algo) != 0)
            continue;
        const double ms = bench_row_number(row, "ms") * bench_row_number(row, "count");
        for (int d = 0; d < 3; d++) {
            const bool here = strcmp(bench_dir_words[d], bench_row_text(row, "dir")) == 0;
            s.ms[d] += here ? ms : 0;
            s.missing[d] += here && !(ms > 0);
        }
        s.all += ms;
    }
    return s;
}

/* The fastest algorithm of each case, and what all of those take: what a net that chooses gets. */
static void best_of_each(rn_html *h, const bench_view *v)
{
    double ms[3] = {0};
    const size_t n = json_array_size(v->rows);

    for (size_t i = 0; i < n;) {
        const json_t *row = json_array_get(v->rows, i);
        double best = 0;
        size_t k = i;
        for (; k < n && strcmp(bench_row_text(json_array_get(v->rows, k), "case"), bench_row_text(row, "case")) == 0 &&
               strcmp(bench_row_text(json_array_get(v->rows, k), "dir"), bench_row_text(row, "dir")) == 0;
             k++) {
            double t = bench_row_number(json_array_get(v->rows, k), "ms");
            if (bench_view_has(v, json_array_get(v->rows, k)) && t > 0 && (best <= 0 || t < best))
                best = t;
        }
        for (int d = 0; d < 3; d++)
            ms[d] +=
                strcmp(bench_dir_words[d], bench_row_text(row, "dir")) == 0 ? best * bench_row_number(row, "count") : 0;
        i = k;
    }
    rn_html_fmt(h, "<tr><td>the fastest of each</td><td>%s</td><td class=num>%d</td>", v->dtype, v->threads);
    for (int d = 0; d < 3; d++)
        rn_html_fmt(h, "<td class=num>%.3f</td>", ms[d]);
    rn_html_fmt(h, "<td class=num><b>%.3f</b></td><td></td></tr>\n", ms[0] + ms[1] + ms[2]);
}

/* A part of the cases would look fast beside all of them. */
static void total(rn_html *h, double ms)
{
    if (ms > 0)
        rn_html_fmt(h, "<td class=num>%.3f</td>", ms);
    else
        rn_html_raw(h, "<td class=num>-</td>");
}

static void totals(rn_html *h, const bench_view *v)
{
    for (int i = 0; i < v->nalgos; i++) {
        const sum s = sum_of(v, v->algos[i]);
        if (s.all <= 0)
            continue;
        rn_html_fmt(h, "<tr><td><i class='dot' style='background:var(--c%d)'></i>", i % 7 + 1);
        rn_html_text(h, v->algos[i]);
        rn_html_fmt(h, "</td><td>%s</td><td class=num>%d</td>", v->dtype, v->threads);
        const size_t missing = s.missing[0] + s.missing[1] + s.missing[2];
        for (int d = 0; d < 3; d++)
            total(h, s.missing[d] ? 0 : s.ms[d]);
        total(h, missing ? 0 : s.all);
        if (missing)
            rn_html_fmt(h, "<td>without %zu of the cases</td></tr>\n", missing);
        else
            rn_html_raw(h, "<td></td></tr>\n");
    }
    best_of_each(h, v);
}

/* ---- sections ------------------------------------------------------------------------------------------------------- */

static void bars(rn_html *h, const bench_view *v)
{
    for (int d = 0; d < 3; d++)
        bench_page_bars(h, v, bench_dir_words[d]);
}

static void number(rn_html *h, const json_t *row, const char *key, int digits)
{
    const json_t *x = json_object_get(row, key);

    if (json_is_number(x))
        rn_html_fmt(h, "<td class=num>%.*f</td>", digits, json_number_value(x));
    else
        rn_html_raw(h, "<td class=num></td>");
}

static void table_row(rn_html *h, const json_t *row)
{
    static const char *const texts[] = {"layer", "case", "dir", "dtype", "algo"};

    rn_html_raw(h, "<tr>");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        rn_html_tag(h, "td", bench_row_text(row, texts[i]));
    number(h, row, "threads", 0);
    number(h, row, "count", 0);
    if (bench_row_number(row, "ms") <= 0) {
        const bool bad = *bench_row_text(row, "failure");
        rn_html_raw(h, bad ? "<td colspan=9 class=bad>" : "<td colspan=9>");
        rn_html_text(h, bench_row_text(row, "state"));
        rn_html_raw(h, ": ");
        rn_html_text(h, bench_row_text(row, bad ? "failure" : "refused"));
        rn_html_raw(h, "</td></tr>\n");
        return;
    }
    static const struct {
        const char *key;
        int digits;
    } numbers[] = {{"ms", 4},       {"ms_iqr", 4},       {"ms_min", 4},    {"gflops", 1},
                   {"peak_pct", 1}, {"roofline_pct", 1}, {"prepare_ms", 4}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        number(h, row, numbers[i].key, numbers[i].digits);
    rn_html_fmt(h, "<td class=num>%.2f</td>", bench_row_number(row, "workspace") * 1e-6);
    rn_html_tag(h, "td", bench_row_text(row, "impl"));
    rn_html_raw(h, "</tr>\n");
}

static void table(rn_html *h, const json_t *rows)
{
    rn_html_raw(
        h,
        "<div class=wide><table class=all><thead><tr><th>layer<th>case<th>dir<th>type<th>algorithm<th class=num>threads"
        "<th class=num>count<th class=num>ms<th class=num>iqr<th class=num>quietest<th class=num>GFLOP/s"
        "<th class=num>% peak<th class=num>% roof<th class=num>prepare ms<th class=num>workspace MB<th>"
        "implementation</tr></thead><tbody>\n");
    for (size_t i = 0; i < json_array_size(rows); i++)
        table_row(h, json_array_get(rows, i));
    rn_html_raw(h, "</tbody></table></div>\n");
}

static void facts(rn_html *h, const json_t *row)
{
    const char *key;
    json_t *value;

    rn_html_raw(h, "<table class=pairs><tbody>\n");
    json_object_foreach(json_object_get(row, "machine"), key, value)
    {
        if (json_is_string(value))
            rn_html_pair(h, key, json_string_value(value));
        else
            rn_html_pairf(h, key, "%.10g", json_number_value(value));
    }
    json_object_foreach(json_object_get(row, "ceilings"), key, value)
    {
        rn_html_pairf(h, key, "%.5g (measured, %s, %d threads)", json_number_value(value), bench_row_text(row, "dtype"),
                      (int)bench_row_number(row, "threads"));
    }
    rn_html_pair(h, "device", bench_row_text(row, "device"));
    rn_html_pairf(h, "samples", "%d interleaved rounds", (int)bench_row_number(row, "samples"));
    rn_html_pairf(h, "seed of the data", "%.0f", bench_row_number(row, "seed"));
    rn_html_pair(h, "caches", bench_row_text(row, "cache"));
    rn_html_pair(h, "FLOP convention", bench_row_text(row, "flop_convention"));
    rn_html_raw(h, "</tbody></table>\n");
}

/* The first that was timed has all that holds for all. */
static const json_t *a_timed_row(const json_t *rows)
{
    for (size_t i = 0; i < json_array_size(rows); i++) {
        if (bench_row_number(json_array_get(rows, i), "ms") > 0)
            return json_array_get(rows, i);
    }
    return json_array_get(rows, 0);
}

static size_t timed_rows(const json_t *rows)
{
    size_t n = 0;

    for (size_t i = 0; i < json_array_size(rows); i++)
        n += bench_row_number(json_array_get(rows, i), "ms") > 0;
    return n;
}

static void head(rn_html *h, const json_t *row, size_t n)
{
    rn_html_raw(h, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
                   "content=\"width=device-width,initial-scale=1\"><title>Convolutions</title>\n<style>");
    rn_html_raw(h, rn_report_css);
    rn_html_raw(h, css);
    rn_html_raw(h, "</style></head><body>\n<header><div><p class=kicker>rn-bench conv</p>\n<h1>Convolutions on ");
    const json_t *machine = json_object_get(row, "machine");
    rn_html_text(h, bench_row_text(machine, *bench_row_text(machine, "gpu") ? "gpu" : "cpu"));
    if (*bench_row_text(machine, "emulated"))
        rn_html_raw(h, " (emulated)");
    rn_html_fmt(h,
                "</h1>\n<p class=lead>%zu results, each verified before it was timed: over integers every element, "
                "over reals 400 of "
                "them. Medians of %d interleaved rounds, caches %s; GFLOP/s count %s.</p></div></header>\n<main>\n",
                n, (int)bench_row_number(row, "samples"), bench_row_text(row, "cache"),
                strcmp(bench_row_text(row, "flop_convention"), bench_flops_words[1]) == 0
                    ? "only taps inside the image (&ldquo;inbounds&rdquo;)"
                    : "taps in the padding, too (&ldquo;padding-counted&rdquo;)");
}

int bench_page_write(const char *path, const json_t *rows)
{
    const json_t *row = a_timed_row(rows);
    bench_view v = {.rows = rows};
    rn_html h = {0};

    find_algos(&v);
    head(&h, row, timed_rows(rows));
    rn_html_raw(&h, "<section id=roofline><h2>Roofline</h2><p class=note>Every ceiling was measured on this machine "
                    "just before. A point "
                    "above its roof computes less than the convention counts (Winograd, or padding left out), or finds "
                    "its tensors in a "
                    "nearer cache.</p>\n");
    each_view(&h, &v, bench_page_roofline);
    rn_html_raw(
        &h,
        "</section>\n<section id=totals><h2>Whole network</h2><p class=note>Milliseconds, each layer as often as the "
        "network "
        "has it.</p>\n<div class=wide><table><thead><tr><th>algorithm<th>type<th class=num>threads<th class=num>fwd<th "
        "class=num>bwd_d<th class=num>bwd_w<th class=num>all<th></tr></thead><tbody>\n");
    each_view(&h, &v, totals);
    rn_html_raw(&h, "</tbody></table></div></section>\n<section id=layers><h2>Layers</h2><p class=note>GFLOP/s, longer "
                    "is faster; the "
                    "line at a bar's end holds the middle half of the rounds.</p>\n");
    each_view(&h, &v, bars);
    rn_html_raw(&h, "</section>\n<section id=table><h2>All results</h2>\n");
    table(&h, rows);
    rn_html_raw(&h, "</section>\n<section id=machine><h2>Machine and method</h2>\n");
    facts(&h, row);
    rn_html_raw(&h, "</section>\n</main><footer>rnkit " RN_VERSION "</footer></body></html>\n");
    int rc = h.rc < 0 ? h.rc : rn_write_file_atomic(path, h.b.data, h.b.n);
    rn_buf_free(&h.b);
    return rc;
}
