/* SPDX-License-Identifier: MIT */
#include "bench_csv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"

/* A field with a comma, a quote or a line break stands in quotes, quotes doubled. */
static void put_text(const char *s)
{
    const bool plain = !s[strcspn(s, ",\"\r\n")];

    if (plain) {
        fputs(s, stdout);
        return;
    }
    putchar('"');
    for (; *s; s++) {
        if (*s == '"')
            putchar('"');
        putchar(*s);
    }
    putchar('"');
}

int bench_csv_row(const char *const *columns, const json_t *row, bool head)
{
    for (int i = 0; head && columns[i]; i++)
        printf("%s%s", columns[i], columns[i + 1] ? "," : "\n");
    for (int i = 0; columns[i]; i++) {
        const json_t *v = json_object_get(row, columns[i]);
        if (json_is_string(v)) {
            put_text(json_string_value(v));
        } else if (v && !json_is_null(v)) {
            char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
            if (!text)
                return rn_fail(RN_E_NOMEM, "bench: out of memory");
            fputs(text, stdout);
            free(text);
        }
        putchar(columns[i + 1] ? ',' : '\n');
    }
    return 0;
}
