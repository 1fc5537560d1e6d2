/* SPDX-License-Identifier: MIT */
#include "op/rn_tuning.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_log.h"

#define VERSION 2

struct rn_tuning {
    json_t *all, *used; /* key -> entry; used: those looked up or put, of `all` */
};

int rn_tuning_open(rn_tuning **out)
{
    rn_tuning *t = calloc(1, sizeof *t);

    *out = NULL;
    if (t) {
        t->all = json_object();
        t->used = json_object();
    }
    if (!t || !t->all || !t->used) {
        rn_tuning_close(t);
        return rn_fail(RN_E_NOMEM, "tuning: out of memory");
    }
    *out = t;
    return RN_OK;
}

void rn_tuning_close(rn_tuning *t)
{
    if (!t)
        return;
    json_decref(t->all);
    json_decref(t->used);
    free(t);
}

/* ---- entries ---- */

static bool copy_name(const json_t *entry, const char *name, char out[RN_TUNED_NAME_MAX])
{
    const char *s = json_string_value(json_object_get(entry, name));
    const size_t n = s ? strlen(s) : 0;

    if (n >= RN_TUNED_NAME_MAX)
        return false;
    memcpy(out, s ? s : "", n + 1);
    return n > 0;
}

static bool is_entry(const json_t *e)
{
    rn_tuned t;

    return json_is_object(e) && copy_name(e, "algo", t.algo) && json_is_number(json_object_get(e, "ms"));
}

bool rn_tuning_get(rn_tuning *t, const char *key, rn_tuned *out)
{
    json_t *e = json_object_get(t->all, key);

    memset(out, 0, sizeof *out);
    if (!e)
        return false;
    copy_name(e, "algo", out->algo);
    out->ms = json_number_value(json_object_get(e, "ms"));
    if (copy_name(e, "second", out->second))
        out->second_ms = json_number_value(json_object_get(e, "second_ms"));
    out->full = json_is_true(json_object_get(e, "full"));
    json_object_set(t->used, key, e);
    return true;
}

int rn_tuning_put(rn_tuning *t, const char *key, const rn_tuned *e)
{
    json_t *o = json_pack("{s:s, s:f, s:b}", "algo", e->algo, "ms", e->ms, "full", (int)e->full);

    if (o && *e->second) {
        json_object_set_new(o, "second", json_string(e->second));
        json_object_set_new(o, "second_ms", json_real(e->second_ms));
    }
    if (!o || json_object_set(t->all, key, o) != 0 || json_object_set(t->used, key, o) != 0) {
        json_decref(o);
        return rn_fail(RN_E_NOMEM, "tuning: out of memory");
    }
    json_decref(o);
    return RN_OK;
}

/* ---- texts and files ---- */

/* A new reference to the entries of a text; NULL unless every one of them is what it should be. */
static json_t *parse(const char *text, size_t n)
{
    json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL), *entries = json_object_get(root, "entries"), *e;
    bool good = json_is_object(entries) && json_integer_value(json_object_get(root, "version")) == VERSION;
    const char *key;

    if (good) {
        json_object_foreach(entries, key, e)
        {
            good = good && is_entry(e);
        }
    }
    json_incref(good ? entries : NULL);
    json_decref(root);
    return good ? entries : NULL;
}

static char *text_of(json_t *entries)
{
    json_t *root = json_pack("{s:i, s:O}", "version", VERSION, "entries", entries);
    char *text =
        root ? json_dumps(root, JSON_INDENT(1) | JSON_SORT_KEYS | JSON_REAL_PRECISION(RN_TUNING_DIGITS)) : NULL;

    json_decref(root);
    return text;
}

char *rn_tuning_text(const rn_tuning *t)
{
    return text_of(t->all);
}

int rn_tuning_add_text(rn_tuning *t, const char *text, size_t n)
{
    json_t *entries = parse(text, n);

    if (!entries)
        return rn_fail(RN_E_FORMAT, "not a tuning file of this version");
    int bad = json_object_update_missing(t->all, entries);
    json_decref(entries);
    return bad ? rn_fail(RN_E_NOMEM, "tuning: out of memory") : RN_OK;
}

#define FILE_MAX ((size_t)64 << 20)

int rn_tuning_read(rn_tuning *t, const char *path, bool strict)
{
    char *text = NULL;
    size_t n;

    if (!rn_is_file(path))
        return strict ? rn_fail(RN_E_IO, "%s: no such tuning file; --tune quick makes one", path) : RN_OK;
    int rc = rn_read_file(path, FILE_MAX, &text, &n);
    if (rc == RN_OK)
        rc = rn_tuning_add_text(t, text, n);
    free(text);
    if (rc < 0 && !strict) {
        rn_warn("%s: %s; measuring anew", path, rn_error_text());
        return RN_OK;
    }
    return rc < 0 ? rn_fail_prefix(rc, "%s", path) : RN_OK;
}

/* What the file holds now; an empty object when that is nothing of use. */
static json_t *entries_of(const char *path)
{
    char *text = NULL;
    size_t n;
    json_t *entries = NULL;

    if (rn_is_file(path) && rn_read_file(path, FILE_MAX, &text, &n) == RN_OK)
        entries = parse(text, n);
    free(text);
    return entries ? entries : json_object();
}

int rn_tuning_write(const rn_tuning *t, const char *path)
{
    json_t *entries = entries_of(path), *was = json_copy(entries);
    char *text = NULL;
    int rc = RN_OK;

    if (!entries || !was || json_object_update(entries, t->used) != 0)
        rc = rn_fail(RN_E_NOMEM, "%s: out of memory", path);
    else if (!json_equal(entries, was)) {
        text = text_of(entries);
        rc = text ? rn_write_file_atomic(path, text, strlen(text)) : rn_fail(RN_E_NOMEM, "%s: out of memory", path);
    }
    free(text);
    json_decref(entries);
    json_decref(was);
    return rc;
}
