/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/rn_log.h"
#include "data/verify/rn_verify.h"

enum { WIDTH = 100, NAMED = 3, SAID = 5 };

/* ---- archives -------------------------------------------------------------------------------------------- */

static void count_text(const rn_verify_archive *v)
{
    const char *what = v->annotations > v->images ? "annotations" : "images";
    uint64_t n = v->annotations > v->images ? v->annotations : v->images;
    if (v->structure && v->classes > 0)
        printf("  (%d classes, %" PRIu64 " %s, %" PRIu64 "..%" PRIu64 " a class)", v->classes, n, what, v->least,
               v->most);
    else if (v->structure && n > 0)
        printf("  (%" PRIu64 " %s)", n, what);
}

void rn_verify_archive_text(const rn_verify_archive *v)
{
    static const char *const verdicts[] = {"unknown", "ok", "WRONG", "UNREADABLE", "MISSING"};
    bool bad = rn_findings_total(&v->found, RN_BAD) > 0;
    printf("%-10s  %-32s  %15" PRIu64 "  %s", v->verdict <= RN_RIGHT && bad ? "DAMAGED" : verdicts[v->verdict],
           v->md5[0] ? v->md5 : "-", v->bytes, v->path);
    if (v->sha256_hex[0])
        printf("  sha256 %s", v->sha256_hex);
    count_text(v);
    printf("\n");
}

/* ---- trees and packed sets ------------------------------------------------------------------------------- */

/* Counts in as many columns as fit. */
static void class_table(const rn_verify_set *s)
{
    int name = 1, number = 1;
    for (int i = 0; i < s->classes; i++) {
        int n = (int)strlen(s->class[i].name), d = snprintf(NULL, 0, "%" PRIu64, s->class[i].images);
        name = n > name ? n : name;
        number = d > number ? d : number;
    }
    int columns = WIDTH / (name + number + 4);
    columns = columns < 1 ? 1 : columns;
    for (int i = 0; i < s->classes; i++)
        printf("%-*s %*" PRIu64 "%s", name, s->class[i].name, number, s->class[i].images,
               (i + 1) % columns == 0 || i + 1 == s->classes ? "\n" : "   ");
}

static void count_cell(uint64_t n)
{
    if (n)
        printf(" %10" PRIu64, n);
    else
        printf(" %10s", "-");
}

/* What was found, a kind a line, with the first names. */
static void kind_table(const rn_findings *f)
{
    bool headed = false;
    for (int k = 0; k < RN_NKINDS; k++) {
        const uint64_t *c = f->count[k];
        uint64_t total = c[RN_BAD] + c[RN_NOTE] + c[RN_KNOWN], named = 0;
        if (total == 0)
            continue;
        if (!headed)
            printf("%-12s %10s %10s %10s\n", "found", "bad", "note", "known");
        headed = true;
        printf("%-12s", rn_kind_name((enum rn_kind)k));
        count_cell(c[RN_BAD]);
        count_cell(c[RN_NOTE]);
        count_cell(c[RN_KNOWN]);
        for (int i = 0; i < f->n && named < NAMED; i++)
            if (f->row[i].kind == (enum rn_kind)k)
                printf("%s%s", named++ ? ", " : "  ", f->row[i].name);
        if (total > named)
            printf(" and %" PRIu64 " more", total - named);
        printf("\n");
    }
}

void rn_verify_set_text(const char *path, const rn_verify_opts *opts, const rn_verify_set *s)
{
    uint64_t bad = rn_findings_total(&s->found, RN_BAD);
    class_table(s);
    kind_table(&s->found);
    printf("%s  %s: %" PRIu64 " images", bad ? "BAD" : "ok", path, s->images);
    if (s->classes > 0)
        printf(" in %d classes (%" PRIu64 "..%" PRIu64 " a class)", s->classes, s->least, s->most);
    printf(", %.1f MB", (double)s->bytes / 1e6);
    if (opts->decode)
        printf("; %" PRIu64 " decoded: %" PRIu64 " gray, %" PRIu64 " CMYK, %" PRIu64 " PNG, %" PRIu64 " with warnings",
               s->decoded, s->gray, s->cmyk, s->png, s->warned);
    if (s->against[0])
        printf("; held against %s", s->against);
    if (s->digest[0])
        printf("; seal %.16s", s->digest);
    if (bad)
        printf("; %" PRIu64 " problems", bad);
    printf("\n");
}

/* ---- stderr ---------------------------------------------------------------------------------------------- */

/* Of each kind of note the first few, so that many of one do not hide another. */
static void say_level(const rn_findings *f, enum rn_level level, int except)
{
    uint64_t rest = 0, said[RN_NKINDS] = {0};
    uint64_t most = level != RN_NOTE || rn_log_level() >= RN_LOG_VERBOSE ? UINT64_MAX : SAID;
    for (int i = 0; i < f->n; i++) {
        const rn_finding *r = &f->row[i];
        if (r->level != level || (int)r->kind == except || said[r->kind] == most)
            continue;
        said[r->kind]++;
        if (level == RN_BAD)
            rn_error("%s", r->text);
        else
            rn_info("%s: %s", level == RN_KNOWN ? "known" : "note", r->text);
    }
    for (int k = 0; k < RN_NKINDS; k++)
        rest += k == except ? 0 : f->count[k][level] - said[k];
    if (rest > 0 && level == RN_BAD)
        rn_error("and %" PRIu64 " more", rest);
    else if (rest > 0)
        rn_info("%s: and %" PRIu64 " more such", level == RN_KNOWN ? "known" : "note", rest);
}

void rn_verify_say(const rn_findings *f, int except)
{
    say_level(f, RN_KNOWN, except);
    say_level(f, RN_NOTE, except);
    say_level(f, RN_BAD, except);
}
