/* SPDX-License-Identifier: MIT */
/* A recipe as text, and what differs between two. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "run/recipe/rn_recipe.h"

/* The shortest decimal that reads back as the same double. */
static int put_real(rn_buf *b, const char *name, double v)
{
    char text[40];
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    return rn_buf_printf(b, "%s = %s\n", name, text);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* A line's form has no quotes: such a value would be read back as another one, or as a line of its own. */
static int put_text(rn_buf *b, const char *name, const char *text)
{
    size_t n = strlen(text);
    if (!rn_utf8_ok(text))
        return rn_fail(RN_E_USAGE,
                       "--%s '%s': not UTF-8, as what stands in checkpoints has to be; give it another name", name,
                       text);
    bool fits = n > 0 && !is_blank(text[0]) && !is_blank(text[n - 1]) && !strchr(text, '\n') && text[0] != '#';
    for (size_t i = 1; i < n && fits; i++)
        fits = text[i] != '#' || !is_blank(text[i - 1]);
    if (!fits)
        return rn_fail(RN_E_USAGE,
                       "--%s '%s': a recipe cannot hold a line break, blanks at the ends, or # after a blank; give it "
                       "another name",
                       name, text);
    return rn_buf_printf(b, "%s = %s\n", name, text);
}

int rn_recipe_text(const rn_opt *opts, int nopts, rn_buf *out)
{
    for (int i = 0; i < nopts; i++) {
        const rn_opt *o = &opts[i];
        const char *text;
        switch (o->type) {
        case RN_OPT_FLAG:
            RN_TRY(rn_buf_printf(out, "%s = %s\n", o->name, *(const bool *)o->dst ? "true" : "false"));
            break;
        case RN_OPT_INT:
            RN_TRY(rn_buf_printf(out, "%s = %lld\n", o->name, (long long)*(const int64_t *)o->dst));
            break;
        case RN_OPT_UINT:
            RN_TRY(rn_buf_printf(out, "%s = %llu\n", o->name, (unsigned long long)*(const uint64_t *)o->dst));
            break;
        case RN_OPT_REAL:
            RN_TRY(put_real(out, o->name, *(const double *)o->dst));
            break;
        case RN_OPT_ENUM:
            RN_TRY(rn_buf_printf(out, "%s = %s\n", o->name, o->words[*(const int *)o->dst]));
            break;
        case RN_OPT_TEXT:
        case RN_OPT_LIST:
            text = *(const char *const *)o->dst;
            if (text)
                RN_TRY(put_text(out, o->name, text));
            break;
        case RN_OPT_GROUP:
            RN_TRY(rn_buf_printf(out, "%s# %s\n", i ? "\n" : "", o->name));
            break;
        }
    }
    return RN_OK;
}

/* ---- comparison ---- */

/* What may differ between a run and its resumption: the seals tell whether the data are the same, a
 * digest whether the teacher is; net and mean image are compared by what they hold; batches are the same bits wherever they are made. */
static const char *const free_keys[] = {"train-db",   "val-db",    "workers", "weights", "teacher", "net",
                                        "mean-image", "tune-file", "comm",    "bucket",  "data-on", NULL};

static bool is_free(const char *key, size_t n)
{
    for (int i = 0; free_keys[i]; i++)
        if (strlen(free_keys[i]) == n && memcmp(free_keys[i], key, n) == 0)
            return true;
    return false;
}

int rn_recipe_portable(const char *text, rn_buf *out)
{
    for (const char *p = text; *p;) {
        size_t n = strcspn(p, "\n");
        n += p[n] == '\n';
        if (!is_free(p, strcspn(p, " =\n")))
            RN_TRY(rn_buf_append(out, p, n));
        p += n;
    }
    return rn_buf_append(out, "", 1);
}

/* The value of `key` (n bytes) in a recipe text and its length: 0 if it is not there. */
static const char *value_of(const char *text, const char *key, size_t n, int *len)
{
    *len = 0;
    for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n')
        if (strncmp(p, key, n) == 0 && strncmp(p + n, " = ", 3) == 0) {
            *len = (int)strcspn(p + n + 3, "\n");
            return p + n + 3;
        }
    return "";
}

/* Keys of `a` that differ in `b`; with `swapped` those alone that `b` lacks. */
static int diff_side(const char *a, const char *b, bool swapped, char *names, size_t cap)
{
    static const char none[] = "(not set)";
    int differ = 0;
    for (const char *p = a; *p; p += strcspn(p, "\n"), p += *p == '\n') {
        const size_t n = strcspn(p, " =\n");
        int na, nb;
        if (!n || *p == '#' || is_free(p, n))
            continue;
        const char *va = value_of(a, p, n, &na), *vb = value_of(b, p, n, &nb);
        if ((na == nb && memcmp(va, vb, (size_t)na) == 0) || (swapped && nb))
            continue;
        const char *was = swapped ? vb : va, *now = swapped ? va : vb;
        const int nwas = swapped ? nb : na, nnow = swapped ? na : nb;
        const size_t at = strlen(names);
        snprintf(names + at, cap - at, "%s%.*s %.*s -> %.*s", at ? ", " : "", (int)n, p, nwas ? nwas : (int)sizeof none,
                 nwas ? was : none, nnow ? nnow : (int)sizeof none, nnow ? now : none);
        differ++;
    }
    return differ;
}

int rn_recipe_diff(const char *was, const char *now, char *names, size_t cap)
{
    names[0] = 0;
    return diff_side(was, now, false, names, cap) + diff_side(now, was, true, names, cap);
}
