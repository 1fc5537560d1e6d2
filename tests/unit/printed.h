/* SPDX-License-Identifier: MIT */
/* What a piece of code prints, for tests whose own TAP goes to stdout. */
#ifndef PRINTED_H
#define PRINTED_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct printing {
    FILE *f;
    int keep;
} printing;

/* From here on stdout is kept; printed() ends that. */
static inline printing printed_begin(void)
{
    printing p = {tmpfile(), dup(1)};

    assert_true(p.f && p.keep >= 0);
    fflush(stdout);
    dup2(fileno(p.f), 1);
    return p;
}

/* Something of at most 64 KB that was printed since, to be freed. */
static inline char *printed(printing p)
{
    char *text = calloc(1, 1 << 16);

    fflush(stdout);
    dup2(p.keep, 1);
    close(p.keep);
    rewind(p.f);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 16) - 1, p.f) > 0);
    fclose(p.f);
    return text;
}

#endif
