/* SPDX-License-Identifier: MIT */
#include "run/save/rn_classes.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "data/store/rn_seal.h"
#include "run/log/rn_runlog.h"

static const char *words_of(const rn_store *db, int i)
{
    const rn_seal *seal = db ? rn_store_seal(db) : NULL;
    const char *words = seal && i < seal->nclasses ? seal->classes[i].words : NULL;
    return words ? words : "";
}

int rn_classes_text(const rn_store *train, const rn_store *val, rn_buf *out)
{
    json_t *a = json_array();
    for (int i = 0; i < rn_store_nclasses(val); i++) {
        const char *words = words_of(train, i);
        json_array_append_new(a, json_pack("[o, o]", rn_runlog_text(rn_store_wnids(val)[i]),
                                           rn_runlog_text(words[0] ? words : words_of(val, i))));
    }
    char *text = json_dumps(a, JSON_COMPACT);
    int rc = text ? rn_buf_append(out, text, strlen(text) + 1) : rn_fail(RN_E_NOMEM, "no memory for the class names");
    free(text);
    json_decref(a);
    return rc;
}

/* Copies; NULL stands for "". */
static int add(rn_classes *out, const char *wnid, size_t wnid_n, const char *words)
{
    rn_class *c = realloc(out->c, (size_t)(out->n + 1) * sizeof *c);
    if (!c)
        return rn_fail(RN_E_NOMEM, "no memory for the class names");
    out->c = c;
    c[out->n] = (rn_class){strndup(wnid, wnid_n), strdup(words)};
    if (!c[out->n++].wnid || !c[out->n - 1].words)
        return rn_fail(RN_E_NOMEM, "no memory for the class names");
    return RN_OK;
}

int rn_classes_parse(const char *text, const char *name, rn_classes *out)
{
    json_t *a = json_loads(text, 0, NULL);
    int rc = RN_OK;
    *out = (rn_classes){0};
    if (!json_is_array(a))
        RN_GO(rn_fail(RN_E_FORMAT, "%s: its class names are no JSON array", name));
    for (size_t i = 0; i < json_array_size(a); i++) {
        const char *wnid, *words;
        if (json_unpack(json_array_get(a, i), "[s, s]", &wnid, &words) != 0)
            RN_GO(rn_fail(RN_E_FORMAT, "%s: the names of class %zu are not two texts", name, i));
        RN_GO(add(out, wnid, strlen(wnid), words));
    }
out:
    json_decref(a);
    if (rc < 0)
        rn_classes_free(out);
    return rc;
}

static int parse_wnids(const char *text, rn_classes *out)
{
    for (const char *p = text; *p; p += strspn(p, " ")) {
        size_t n = strcspn(p, " ");
        RN_TRY(add(out, p, n, ""));
        p += n;
    }
    return RN_OK;
}

int rn_classes_of_weights(const rn_st_file *f, rn_classes *out)
{
    const char *text = rn_st_meta(f, "rnkit.classes"), *wnids = rn_st_meta(f, "rnkit.wnids");
    *out = (rn_classes){0};
    if (text)
        return rn_classes_parse(text, rn_st_path(f), out);
    int rc = wnids ? parse_wnids(wnids, out) : RN_OK;
    if (rc < 0)
        rn_classes_free(out);
    return rc;
}

/* "n01440764 " */
static bool begins_with_wnid(const char *line, size_t n)
{
    if (n < 9 || line[0] != 'n' || (n > 9 && line[9] != ' ' && line[9] != '\t'))
        return false;
    for (int i = 1; i < 9; i++)
        if (!isdigit((unsigned char)line[i]))
            return false;
    return true;
}

static int add_line(rn_classes *out, const char *line, size_t n)
{
    char words[512];
    size_t at = begins_with_wnid(line, n) ? 9 : n;
    size_t skip = at + strspn(line + at, " \t");
    if (skip > n)
        skip = n;
    snprintf(words, sizeof words, "%.*s", (int)(n - skip), line + skip);
    return add(out, line, at, words);
}

int rn_classes_of_file(const char *path, rn_classes *out)
{
    char *text;
    size_t n;
    int rc = RN_OK;
    *out = (rn_classes){0};
    RN_TRY(rn_read_text(path, (size_t)64 << 20, &text, &n));
    for (char *p = text; *p;) {
        size_t line = strcspn(p, "\r\n");
        if (line)
            RN_GO(add_line(out, p, line));
        p += line;
        p += strspn(p, "\r\n");
    }
    if (out->n == 0)
        rc = rn_fail(RN_E_FORMAT, "%s names no class: one a line is wanted, in the order of the labels", path);
out:
    free(text);
    if (rc < 0)
        rn_classes_free(out);
    return rc;
}

void rn_classes_free(rn_classes *c)
{
    for (int i = 0; i < c->n; i++) {
        free(c->c[i].wnid);
        free(c->c[i].words);
    }
    free(c->c);
    *c = (rn_classes){0};
}

const char *rn_classes_name(const rn_classes *c, int i, char buf[32])
{
    if (i >= 0 && i < c->n && c->c[i].words[0])
        return c->c[i].words;
    if (i >= 0 && i < c->n && c->c[i].wnid[0])
        return c->c[i].wnid;
    snprintf(buf, 32, "class %d", i);
    return buf;
}
