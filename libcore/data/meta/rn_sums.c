/* SPDX-License-Identifier: MIT */
/* MD5SUMS, and what MD5 a file should have. */
#include "data/meta/rn_manifest.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"

static int parse_line(const char *line, struct rn_sum *row)
{
    for (int i = 0; i < 32; i++) {
        if (!isxdigit((unsigned char)line[i]))
            return RN_E_FORMAT;
        row->md5[i] = (char)tolower((unsigned char)line[i]);
    }
    if (line[32] != ' ' || (line[33] != ' ' && line[33] != '*') || !line[34])
        return RN_E_FORMAT;
    const char *name = rn_base_name(line + 34);
    if (!*name || strlen(name) >= sizeof row->name)
        return RN_E_FORMAT;
    snprintf(row->name, sizeof row->name, "%s", name);
    return RN_OK;
}

int rn_sums_parse(char *text, const char *path, rn_sums *out)
{
    char *save = NULL;
    int number = 0, rc = RN_OK;
    memset(out, 0, sizeof *out);
    snprintf(out->path, sizeof out->path, "%s", path);
    for (char *line = text; line; line = save) { /* strtok passes over empty lines, which then would not count */
        save = strchr(line, '\n');
        if (save)
            *save++ = 0;
        number++;
        line[strcspn(line, "\r")] = 0;
        if (!*line || *line == '#')
            continue;
        struct rn_sum *row = realloc(out->row, ((size_t)out->n + 1) * sizeof *row);
        if (!row)
            RN_GO(rn_fail(RN_E_NOMEM, "%s: out of memory", path));
        out->row = row;
        memset(&row[out->n], 0, sizeof *row);
        if (strlen(line) < 35 || parse_line(line, &row[out->n]) < 0)
            RN_GO(rn_fail(RN_E_FORMAT, "%s:%d: not \"MD5  NAME\", as md5sum writes it", path, number));
        out->n++;
    }
out:
    if (rc < 0)
        rn_sums_free(out);
    return rc;
}

int rn_sums_read(const char *path, rn_sums *out)
{
    char *text;
    size_t n;
    memset(out, 0, sizeof *out);
    RN_TRY(rn_read_text(path, 16 << 20, &text, &n));
    int rc = rn_sums_parse(text, path, out);
    free(text);
    return rc;
}

void rn_sums_free(rn_sums *s)
{
    free(s->row);
    s->row = NULL;
    s->n = 0;
}

const char *rn_sums_find(const rn_sums *s, const char *path)
{
    for (int i = 0; s && i < s->n; i++)
        if (strcmp(rn_base_name(path), s->row[i].name) == 0)
            return s->row[i].md5;
    return NULL;
}

const char *rn_expected_md5(const rn_sums *s, const char *path, const char **from)
{
    const char *md5 = rn_sums_find(s, path);
    if (md5) {
        if (from)
            *from = s->path;
        return md5;
    }
    const rn_manifest *published = rn_manifest_builtin();
    const rn_manifest_archive *a = published ? rn_manifest_find(published, path) : NULL;
    if (from)
        *from = a && a->md5[0] ? "the published list" : NULL;
    return a && a->md5[0] ? a->md5 : NULL;
}

int rn_check_md5(const char *path, const char *got, const char *expected, const char *from)
{
    if (strcmp(got, expected) == 0)
        return RN_OK;
    return rn_fail(RN_E_MISMATCH, "%s: MD5 is %s, %s expects %s: download it again", path, got, from, expected);
}
