/* SPDX-License-Identifier: MIT */
/* Reading the golden files that are lines of numbers: words and numbers from a place that moves on. */
#ifndef GOLDEN_TEXT_H
#define GOLDEN_TEXT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"

/* tests/golden/NAME whole; *at stands after the first line, a comment. The caller frees. */
static inline char *golden_open(const char *name, const char **at)
{
    const char *tests = getenv("RNKIT_TESTS");
    char path[4096], *text;
    size_t n;
    snprintf(path, sizeof path, "%s/golden/%s", tests ? tests : "tests", name);
    if (rn_read_text(path, 0, &text, &n) < 0)
        fail_msg("%s", rn_error_text());
    *at = strchr(text, '\n');
    assert_non_null(*at);
    return text;
}

static inline double golden_number(const char **at)
{
    char *end;
    double v = strtod(*at, &end);
    if (end == *at)
        fail_msg("no number at '%.30s'", *at);
    *at = end;
    return v;
}

/* The next word, of at most 15 letters; false at the end. */
static inline bool golden_word(const char **at, char out[16])
{
    int n = 0;
    if (sscanf(*at, " %15[a-z]%n", out, &n) != 1)
        return false;
    *at += n;
    return true;
}

/* The rest of the next line. */
static inline void golden_line(const char **at, char *out, size_t cap)
{
    *at += strspn(*at, "\n");
    snprintf(out, cap, "%.*s", (int)strcspn(*at, "\n"), *at);
    *at += strcspn(*at, "\n");
}

#endif
