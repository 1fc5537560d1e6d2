/* SPDX-License-Identifier: MIT */
/* Sections of the report out of other tools' JSON, told apart by the keys that they hold. */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "run/report/rn_report_impl.h"

enum { MAX_COLUMNS = 10 };

/* What a tool's JSON is known by, and how it is shown: a table of rows when `columns` is set, pairs otherwise. */
typedef struct kind {
    const char *key, *key2; /* both must be there */
    const char *title;
    const char *columns[MAX_COLUMNS];
} kind;
static const kind kinds[] = {
    {"case",
     "algo",
     "Benchmark of convolutions",
     {"case", "dir", "dtype", "algo", "threads", "ms", "ms_iqr", "gflops", "peak_pct", "verified"}},
    {"md5", "ok", "Verified archives", {"file", "bytes", "md5", "ok"}},
    {"records", "seal", "Packed set", {NULL}},
    {"top1", "se_top1", "Evaluation of the weights", {NULL}},
};
enum { NKINDS = sizeof kinds / sizeof *kinds };

static bool is_kind(const json_t *o, const kind *k)
{
    return json_object_get(o, k->key) && json_object_get(o, k->key2);
}

/* Appends to `rows` every object of that kind: `v` itself, or in arrays below it. */
static void gather(const json_t *v, const kind *k, json_t *rows)
{
    if (is_kind(v, k)) {
        json_array_append(rows, (json_t *)(uintptr_t)v);
        return;
    }
    for (size_t i = 0; i < json_array_size(v); i++)
        gather(json_array_get(v, i), k, rows);
    for (void *it = json_object_iter((json_t *)(uintptr_t)v); it;
         it = json_object_iter_next((json_t *)(uintptr_t)v, it))
        if (json_is_array(json_object_iter_value(it)))
            gather(json_object_iter_value(it), k, rows);
}

/* ---- values ---- */

static void value_text(const json_t *v, char *out, size_t cap)
{
    char *nested;
    switch (v ? json_typeof(v) : JSON_NULL) {
    case JSON_STRING:
        snprintf(out, cap, "%s", json_string_value(v));
        break;
    case JSON_INTEGER:
        snprintf(out, cap, "%lld", (long long)json_integer_value(v));
        break;
    case JSON_REAL:
        snprintf(out, cap, "%.4g", json_real_value(v));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        snprintf(out, cap, "%s", json_is_true(v) ? "yes" : "no");
        break;
    case JSON_NULL:
        snprintf(out, cap, "–");
        break;
    default:
        nested = json_dumps(v, JSON_COMPACT);
        snprintf(out, cap, "%s", nested ? nested : "");
        free(nested);
    }
}

/* A file goes by its name: the folder is the reader's own affair, and wide. */
static void value_cell(rn_report *r, const char *column, const json_t *v)
{
    char text[512];
    value_text(v, text, sizeof text);
    const char *slash = strcmp(column, "file") == 0 ? strrchr(text, '/') : NULL;
    rn_html_tag(&r->h,
                json_is_number(v)  ? "td class=num"
                : json_is_true(v)  ? "td class=ok"
                : json_is_false(v) ? "td class=bad"
                                   : "td",
                slash ? slash + 1 : text);
}

/* ---- sections ---- */

static bool column_used(const json_t *rows, const char *name)
{
    for (size_t i = 0; i < json_array_size(rows); i++)
        if (json_object_get(json_array_get(rows, i), name))
            return true;
    return false;
}

static void table(rn_report *r, const kind *k, const json_t *rows)
{
    rn_html_raw(&r->h, "<div class=wide><table><thead><tr>");
    for (int c = 0; c < MAX_COLUMNS && k->columns[c]; c++)
        if (column_used(rows, k->columns[c]))
            rn_html_tag(&r->h,
                        json_is_number(json_object_get(json_array_get(rows, 0), k->columns[c])) ? "th class=num" : "th",
                        k->columns[c]);
    rn_html_raw(&r->h, "</tr></thead><tbody>\n");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        rn_html_raw(&r->h, "<tr>");
        for (int c = 0; c < MAX_COLUMNS && k->columns[c]; c++)
            if (column_used(rows, k->columns[c]))
                value_cell(r, k->columns[c], json_object_get(json_array_get(rows, i), k->columns[c]));
        rn_html_raw(&r->h, "</tr>\n");
    }
    rn_html_raw(&r->h, "</tbody></table></div>");
}

static void pairs(rn_report *r, const json_t *o)
{
    char text[512];
    rn_html_raw(&r->h, "<table class=pairs><tbody>\n");
    for (void *it = json_object_iter((json_t *)(uintptr_t)o); it;
         it = json_object_iter_next((json_t *)(uintptr_t)o, it)) {
        value_text(json_object_iter_value(it), text, sizeof text);
        rn_html_pair(&r->h, json_object_iter_key(it), text);
    }
    rn_html_raw(&r->h, "</tbody></table>");
}

static void known(rn_report *r, const kind *k, const json_t *rows, const char *name)
{
    char title[PATH_MAX + 64];
    snprintf(title, sizeof title, "%s: %s", k->title, name);
    rn_report_open(r, "extra", title);
    if (k->columns[0])
        table(r, k, rows);
    else
        for (size_t i = 0; i < json_array_size(rows); i++)
            pairs(r, json_array_get(rows, i));
    rn_report_shut(r);
}

static void unknown(rn_report *r, const json_t *v, const char *name)
{
    char *text = json_dumps(v, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
    rn_report_open(r, "extra", name);
    rn_html_raw(&r->h, "<details><summary>JSON</summary><pre>");
    rn_html_text(&r->h, text);
    rn_html_raw(&r->h, "</pre></details>");
    rn_report_shut(r);
    free(text);
}

static int one_file(rn_report *r, const char *path)
{
    json_t *v;
    RN_TRY(rn_report_load(path, &v));
    const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    bool shown = false;
    for (int k = 0; k < NKINDS && !shown; k++) {
        json_t *rows = json_array();
        gather(v, &kinds[k], rows);
        shown = json_array_size(rows) > 0;
        if (shown)
            known(r, &kinds[k], rows, name);
        json_decref(rows);
    }
    if (!shown)
        unknown(r, v, name);
    json_decref(v);
    return r->h.rc;
}

int rn_report_extras(rn_report *r, const char *extra)
{
    for (const char *p = extra;; p++) {
        char path[PATH_MAX];
        size_t n = strcspn(p, ",");
        if (n >= sizeof path)
            return rn_fail(RN_E_RANGE, "--report-extra: a path of %zu bytes", n);
        memcpy(path, p, n);
        path[n] = 0;
        if (n)
            RN_TRY(one_file(r, path));
        p += n;
        if (!*p)
            return RN_OK;
    }
}
