/* SPDX-License-Identifier: MIT */
/* The help text: two columns in 80, made of the same table that is parsed. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/rn_io.h"
#include "base/rn_opt.h"
#include "base/rn_opt_rows.h"

#define COLUMNS     80
#define TEXT_COLUMN 26

static const char *const progress_words[] = {"auto", "always", "never", NULL};

void rn_opt_common_rows(rn_common_opts *c, rn_opt rows[RN_OPT_COMMON_ROWS])
{
    const rn_opt table[RN_OPT_COMMON_ROWS] = {
        {RN_OPT_FLAG, "help", NULL, &c->help, "Print this help and stop.", NULL, 0, 0},
        {RN_OPT_FLAG, "version", NULL, &c->version, "Print version, build options and library versions and stop.", NULL,
         0, 0},
        {RN_OPT_FLAG, "json", NULL, &c->json, "Print results as JSON.", NULL, 0, 0},
        {RN_OPT_INT, "jobs", "N", &c->jobs, "Worker threads; 0: one per available core.", NULL, 0, RN_OPT_JOBS_MAX},
        {RN_OPT_FLAG, "quiet", NULL, &c->quiet, "Print only errors on stderr.", NULL, 0, 0},
        {RN_OPT_FLAG, "verbose", NULL, &c->verbose, "Say more on stderr.", NULL, 0, 0},
        {RN_OPT_ENUM, "progress", "WHEN", &c->progress, "Draw a progress line; auto: when stderr is a terminal.",
         progress_words, 0, 0},
    };
    memcpy(rows, table, sizeof(table));
}

void rn_opt_words_text(const char *const *words, char *out, int cap)
{
    int at = 0;
    out[0] = 0;
    for (int i = 0; words[i] && at < cap; i++)
        at += snprintf(out + at, (size_t)(cap - at), "%s%s", i ? ", " : "", words[i]);
}

/* Breaks `text` at blanks; every line starts in column `indent`; the cursor stands in `column`. */
static void wrap(FILE *out, const char *text, int column, int indent)
{
    bool first = true;
    for (const char *p = text; *p;) {
        if (*p == '\n') {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
            first = true;
            p++;
            continue;
        }
        if (*p == ' ') {
            p++;
            continue;
        }
        int len = (int)strcspn(p, " \n");
        if (!first && column + 1 + len > COLUMNS) {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
            first = true;
        }
        column += fprintf(out, "%s%.*s", first ? "" : " ", len, p);
        first = false;
        p += len;
    }
    fputc('\n', out);
}

static void range_into(rn_buf *b, const rn_opt *o)
{
    bool any = o->lo == 0 && o->hi == 0;
    const char *kind = o->type == RN_OPT_REAL ? "number" : "integer";
    if (any || (isinf(o->lo) && isinf(o->hi)))
        (void)rn_buf_printf(b, "%s", kind);
    else if (isinf(o->hi) || (o->type == RN_OPT_INT && o->hi >= 9.2e18))
        (void)rn_buf_printf(b, "%s, at least %.15g", kind, o->lo);
    else
        (void)rn_buf_printf(b, "%s, %.15g to %.15g", kind, o->lo, o->hi);
}

/* What is accepted, and the default: "(integer, 1 to 64; default 4)". */
static void facts_into(rn_buf *b, const rn_opt *o)
{
    char words[640];
    const char *text;
    switch (o->type) {
    case RN_OPT_INT:
        range_into(b, o);
        (void)rn_buf_printf(b, "; default %" PRId64, *(const int64_t *)o->dst);
        break;
    case RN_OPT_UINT:
        (void)rn_buf_printf(b, "integer, at least 0; default %" PRIu64, *(const uint64_t *)o->dst);
        break;
    case RN_OPT_REAL:
        range_into(b, o);
        if (!isnan(*(const double *)o->dst)) /* NaN: the tool decides */
            (void)rn_buf_printf(b, "; default %.10g", *(const double *)o->dst);
        break;
    case RN_OPT_ENUM:
        rn_opt_words_text(o->words, words, sizeof(words));
        (void)rn_buf_printf(b, "one of %s", words);
        if (*(const int *)o->dst >= 0)
            (void)rn_buf_printf(b, "; default %s", o->words[*(const int *)o->dst]);
        break;
    case RN_OPT_LIST:
        (void)rn_buf_printf(b, "comma list");
        if (o->words) {
            rn_opt_words_text(o->words, words, sizeof(words));
            (void)rn_buf_printf(b, " of %s", words);
        }
        text = *(const char *const *)o->dst;
        if (text)
            (void)rn_buf_printf(b, "; default %s", text);
        break;
    case RN_OPT_TEXT:
        text = *(const char *const *)o->dst;
        if (text)
            (void)rn_buf_printf(b, "default %s", text);
        break;
    case RN_OPT_FLAG:
        if (*(const bool *)o->dst)
            (void)rn_buf_printf(b, "default on");
        break;
    case RN_OPT_GROUP:
        break;
    }
}

static void print_row(const rn_opt *o, FILE *out)
{
    if (o->type == RN_OPT_GROUP) {
        fprintf(out, "\n%s:\n", o->name);
        return;
    }
    rn_buf facts = {0}, text = {0};
    facts_into(&facts, o);
    (void)rn_buf_printf(&text, "%s%s%s%s", o->help, facts.n ? " (" : "", facts.n ? (const char *)facts.data : "",
                        facts.n ? ")" : "");
    const char *arg = o->type == RN_OPT_FLAG ? NULL : o->arg ? o->arg : "VALUE";
    int column = fprintf(out, "  --%s%s%s", o->name, arg ? " " : "", arg ? arg : "");
    if (column >= TEXT_COLUMN - 1) {
        fputc('\n', out);
        column = 0;
    }
    fprintf(out, "%*s", TEXT_COLUMN - column, "");
    wrap(out, text.data ? (const char *)text.data : "", TEXT_COLUMN, TEXT_COLUMN);
    rn_buf_free(&facts);
    rn_buf_free(&text);
}

static void print_usage(const rn_opt_spec *spec, FILE *out)
{
    const char *lead = "Usage:";
    /* a synopsis that says itself where the options go is left as it is */
    const char *options = strstr(spec->synopsis, "[OPTION") ? "" : " [OPTION]...";
    for (const char *p = spec->synopsis;;) {
        int len = (int)strcspn(p, "\n");
        fprintf(out, "%s %s%s%s%.*s\n", lead, spec->tool, options, len ? " " : "", len, p);
        if (p[len] == 0)
            break;
        p += len + 1;
        lead = "      ";
    }
}

void rn_opt_help(const rn_opt_spec *spec, FILE *out)
{
    print_usage(spec, out);
    fputc('\n', out);
    wrap(out, spec->summary, 0, 0);
    if (spec->nopts > 0 && spec->opts[0].type != RN_OPT_GROUP)
        fprintf(out, "\nOptions:\n");
    for (int i = 0; i < spec->nopts; i++)
        print_row(&spec->opts[i], out);
    rn_common_opts defaults = {0};
    rn_opt common[RN_OPT_COMMON_ROWS];
    rn_opt_common_rows(&defaults, common);
    fprintf(out, "\nCommon options:\n");
    for (int i = 0; i < RN_OPT_COMMON_ROWS; i++)
        print_row(&common[i], out);
    if (spec->epilog)
        fprintf(out, "\n%s%s", spec->epilog, spec->epilog[strlen(spec->epilog) - 1] == '\n' ? "" : "\n");
}
