/* SPDX-License-Identifier: MIT */
#include "run/report/rn_compare.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_opt.h"
#include "run/report/rn_compare_impl.h"

/* ---- runs ---- */

static const char *last_part(const char *path, size_t *n)
{
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    size_t at = end;
    while (at > 0 && path[at - 1] != '/')
        at--;
    *n = end - at;
    return path + at;
}

static int name_run(rn_compared *c, const char *dir)
{
    size_t n;
    const char *name = last_part(dir, &n);
    if (n == 0 || n >= sizeof c->name)
        return rn_fail(RN_E_USAGE, "%s: its last part is no name for a run", dir);
    snprintf(c->name, sizeof c->name, "%.*s", (int)n, name);
    snprintf(c->group, sizeof c->group, "%s", c->name);
    char *dash = strrchr(c->group, '-');
    if (dash && dash > c->group)
        *dash = 0;
    return RN_OK;
}

static void take_line(rn_compared *c, json_t *o)
{
    const char *type = rn_report_str(o, "type");
    if (strcmp(type, "run") == 0 && !c->run)
        c->run = json_incref(o);
    if (strcmp(type, "window") == 0)
        json_array_append(c->windows, o);
    if (strcmp(type, "epoch") != 0)
        return;
    json_array_append(c->epochs, o);
    c->epochs_done = rn_report_num(o, "epoch");
    if (!isfinite(rn_report_num(o, "top1")))
        return;
    c->last = o;
    if (!c->best || rn_report_num(o, "top1") > rn_report_num(c->best, "top1"))
        c->best = o;
}

static int read_run(rn_compared *c, const char *dir)
{
    char path[PATH_MAX];
    json_t *lines, *o;
    size_t i;
    RN_TRY(name_run(c, dir));
    RN_TRY(rn_path_join(path, sizeof path, dir, "log.jsonl"));
    if (!rn_is_file(path))
        return rn_fail(RN_E_NOENT, "%s is not there: %s is not the folder of a run (rn-train --out)", path, dir);
    RN_TRY(rn_report_load_lines(path, &lines));
    c->windows = json_array();
    c->epochs = json_array();
    json_array_foreach(lines, i, o)
    {
        take_line(c, o);
    }
    json_decref(lines);
    if (!c->run || !c->windows || !c->epochs)
        return rn_fail(RN_E_FORMAT, "%s has no line of type \"run\"", path);
    RN_TRY(rn_path_join(path, sizeof path, dir, "result.json"));
    c->finished = rn_is_file(path);
    return RN_OK;
}

/* The better last evaluation first; runs without any come last, by name. NaN is no better than anything. */
static int by_result(const void *a, const void *b)
{
    const rn_compared *x = a, *y = b;
    double p = x->last ? rn_report_num(x->last, "top1") : -1, q = y->last ? rn_report_num(y->last, "top1") : -1;
    if (p > q || q > p)
        return p > q ? -1 : 1;
    return strcmp(x->name, y->name);
}

static void free_runs(rn_compared *runs, int n)
{
    for (int i = 0; runs && i < n; i++) {
        json_decref(runs[i].run);
        json_decref(runs[i].windows);
        json_decref(runs[i].epochs);
    }
    free(runs);
}

/* ---- the command ---- */

static void print_table(const rn_compared *runs, int n)
{
    for (int i = 0; i < n; i++) {
        const rn_compared *c = &runs[i];
        if (!c->last)
            printf("%-32s no evaluation%s\n", c->name, c->finished ? "" : ", not finished");
        else
            printf("%-32s top-1 %6.2f %% +- %.2f after epoch %g, best %6.2f %% after epoch %g%s\n", c->name,
                   rn_report_num(c->last, "top1"), rn_report_num(c->last, "se_top1"), rn_report_num(c->last, "epoch"),
                   rn_report_num(c->best, "top1"), rn_report_num(c->best, "epoch"),
                   c->finished ? "" : ", not finished");
    }
}

static int print_json(const rn_compared *runs, int n)
{
    json_t *all = json_array();
    for (int i = 0; i < n; i++) {
        const rn_compared *c = &runs[i];
        json_array_append_new(all, json_pack("{s:s,s:s,s:b,s:O*,s:O*}", "name", c->name, "group", c->group, "finished",
                                             (int)c->finished, "last", c->last, "best", c->best));
    }
    char *text = json_dumps(all, JSON_INDENT(1));
    json_decref(all);
    if (!text)
        return rn_fail(RN_E_NOMEM, "no memory for the result");
    printf("%s\n", text);
    free(text);
    return RN_OK;
}

static int compare(const rn_opt_result *args, const char *title, const char *out)
{
    const int n = args->noperands;
    rn_html page = {0};
    rn_compared *runs = calloc((size_t)n, sizeof *runs);
    int rc;
    if (!runs)
        return rn_fail(RN_E_NOMEM, "no memory for %d runs", n);
    for (int i = 0; i < n; i++)
        RN_GO(read_run(&runs[i], args->operands[i]));
    qsort(runs, (size_t)n, sizeof *runs, by_result);
    for (int i = 1; i < n; i++)
        for (int k = 0; k < i; k++)
            if (strcmp(runs[i].name, runs[k].name) == 0)
                RN_GO(rn_fail(RN_E_USAGE, "two folders are called %s: give each run a name of its own", runs[i].name));
    if (out) {
        RN_GO(rn_compare_page(&page, runs, n, title));
        RN_GO(rn_write_file_atomic(out, page.b.data, page.b.n));
    }
    if (args->common.json)
        RN_GO(print_json(runs, n));
    else
        print_table(runs, n);
    rc = RN_OK;
out:
    rn_buf_free(&page.b);
    free_runs(runs, n);
    return rc;
}

int rn_compare_main(int argc, char **argv)
{
    const char *title = "Runs compared", *out = NULL;
    const rn_opt rows[] = {
        {RN_OPT_TEXT, "out", "PAGE.html", &out, "Write a page with curves and table.", NULL, 0, 0},
        {RN_OPT_TEXT, "title", "TEXT", &title, "Its title.", NULL, 0, 0},
    };
    const rn_opt_spec spec = {
        .tool = "rn-train compare",
        .synopsis = "RUN_DIR... [--out PAGE.html]",
        .summary =
            "Holds several runs against each other: their results, best first, what differs in their recipes, and "
            "their "
            "curves. Folders that share what stands before the last '-' of their names are drawn in one picture.",
        .epilog = "Example:\n"
                  "  rn-train compare study/step-0.01 study/step-0.1 study/poly-0.1 --out study.html\n"
                  "\nExit codes: 0 done; 1 failed; 2 misuse.",
        .opts = rows,
        .nopts = sizeof rows / sizeof *rows,
        .min_operands = 1,
        .max_operands = -1,
    };
    rn_opt_result args = {0};
    int rc = rn_opt_parse(&spec, argc, argv, &args);
    if (rc == RN_OK)
        rc = compare(&args, title, out);
    return rn_opt_end(&args, rc);
}
