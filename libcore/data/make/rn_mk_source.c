/* SPDX-License-Identifier: MIT */
/* What all sources share: classes and their names. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "data/make/rn_mk.h"

int rn_mk_alloc_classes(rn_mk_source *s, int n)
{
    s->nclasses = 0;
    s->wnid = calloc((size_t)n, sizeof *s->wnid);
    s->words = calloc((size_t)n, sizeof *s->words);
    if (!s->wnid || !s->words)
        return rn_fail(RN_E_NOMEM, "out of memory for %d classes", n);
    s->nclasses = n;
    for (int i = 0; i < n; i++) {
        /* WordNet's offsets end below n16000000: these cannot be taken for real ones. */
        snprintf(s->wnid[i], sizeof s->wnid[i], "n%08d", 90000000 + i);
        if (asprintf(&s->words[i], "class %d", i) < 0) {
            s->words[i] = NULL;
            return rn_fail(RN_E_NOMEM, "out of memory for %d classes", n);
        }
    }
    return RN_OK;
}

static int take_line(rn_mk_source *s, int i, const char *line, const char *path)
{
    if (i >= s->nclasses)
        return rn_fail(RN_E_MISMATCH, "%s: more lines than the %d classes", path, s->nclasses);
    if (strlen(line) < 11 || line[0] != 'n' || strspn(line + 1, "0123456789") != 8 || line[9] != ' ')
        return rn_fail(RN_E_FORMAT, "%s:%d: not a WNID, a space and words", path, i + 1);
    memcpy(s->wnid[i], line, 9);
    if (i > 0 && strcmp(s->wnid[i - 1], s->wnid[i]) >= 0)
        return rn_fail(RN_E_FORMAT, "%s:%d: %s does not ascend; labels are the order of the WNIDs", path, i + 1,
                       s->wnid[i]);
    char *words = strdup(line + 10);
    if (!words)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", path);
    free(s->words[i]);
    s->words[i] = words;
    return RN_OK;
}

int rn_mk_read_classes(rn_mk_source *s, const char *path)
{
    char *data, *save = NULL;
    size_t n;
    int i = 0, rc = RN_OK;
    RN_TRY(rn_read_text(path, 16 << 20, &data, &n));
    for (char *line = strtok_r(data, "\r\n", &save); line && rc == RN_OK; line = strtok_r(NULL, "\r\n", &save))
        rc = take_line(s, i++, line, path);
    if (rc == RN_OK && i != s->nclasses)
        rc = rn_fail(RN_E_MISMATCH, "%s: %d lines for %d classes", path, i, s->nclasses);
    free(data);
    return rc;
}

void rn_mk_close(rn_mk_source *s)
{
    for (int i = 0; s->words && i < s->nclasses; i++)
        free(s->words[i]);
    free(s->words);
    free(s->wnid);
    free(s->label[0]);
    free(s->label[1]);
    if (s->close)
        s->close(s->self);
    memset(s, 0, sizeof *s);
}
