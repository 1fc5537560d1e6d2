/* SPDX-License-Identifier: MIT */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_opt.h"
#include "data/verify/rn_verify.h"

/* ---- texts that may be no UTF-8 (names out of an archive) ------------------------------------------------ */

static json_t *text(const char *s)
{
    char *e = rn_utf8_escape(s);
    json_t *j = e ? json_string(e) : NULL;
    free(e);
    return j;
}

static void put(json_t *object, const char *key, json_t *value)
{
    json_object_set_new(object, key, value);
}

static void put_number(json_t *object, const char *key, uint64_t n)
{
    put(object, key, json_integer((json_int_t)n));
}

/* ---- findings -------------------------------------------------------------------------------------------- */

static json_t *texts(const rn_findings *f, enum rn_level level)
{
    json_t *a = json_array();
    for (int i = 0; i < f->n; i++)
        if (f->row[i].level == level)
            json_array_append_new(a, text(f->row[i].text));
    return a;
}

/* {"truncated": {"count", "bad", "notes", "known", "names"}}: all are counted, the first 200 of each level named. */
static json_t *kinds(const rn_findings *f)
{
    json_t *all = json_object();
    for (int k = 0; k < RN_NKINDS; k++) {
        const uint64_t *c = f->count[k];
        if (c[RN_BAD] + c[RN_NOTE] + c[RN_KNOWN] == 0)
            continue;
        json_t *j = json_object(), *names = json_array();
        for (int i = 0; i < f->n; i++)
            if (f->row[i].kind == (enum rn_kind)k)
                json_array_append_new(names, text(f->row[i].name));
        put_number(j, "count", c[RN_BAD] + c[RN_NOTE] + c[RN_KNOWN]);
        put_number(j, "bad", c[RN_BAD]);
        put_number(j, "notes", c[RN_NOTE]);
        put_number(j, "known", c[RN_KNOWN]);
        put(j, "names", names);
        put(all, rn_kind_name((enum rn_kind)k), j);
    }
    return all;
}

static int print(json_t *j)
{
    char *out = j ? json_dumps(j, JSON_INDENT(1)) : NULL;
    json_decref(j);
    if (!out)
        return rn_fail(RN_E_NOMEM, "out of memory");
    puts(out);
    free(out);
    return RN_OK;
}

/* ---- archives -------------------------------------------------------------------------------------------- */

static json_t *archive(const rn_verify_archive *v)
{
    static const char *const status[] = {"unknown", "ok", "wrong", "unreadable", "missing"};
    bool bad = rn_findings_total(&v->found, RN_BAD) > 0;
    const rn_expected *e = &v->expected;
    json_t *j = json_object();
    put(j, "file", text(v->path));
    put_number(j, "bytes", v->bytes);
    put(j, "md5", json_string(v->md5));
    put(j, "expected", e->md5 ? json_string(e->md5) : json_null());
    put(j, "ok", v->verdict == RN_UNKNOWN && !bad ? json_null() : json_boolean(v->verdict == RN_RIGHT && !bad));
    put(j, "status", json_string(v->verdict <= RN_RIGHT && bad ? "damaged" : status[v->verdict]));
    if (v->sha256_hex[0])
        put(j, "sha256", json_string(v->sha256_hex));
    if (e->sha256)
        put(j, "expected_sha256", json_string(e->sha256));
    if (e->bytes >= 0)
        put(j, "expected_bytes", json_integer(e->bytes));
    if (e->from)
        put(j, "from", text(e->from));
    if (v->structure) {
        put_number(j, "classes", (uint64_t)v->classes);
        put_number(j, "images", v->images);
        if (v->annotations)
            put_number(j, "annotations", v->annotations);
        if (v->classes > 0) {
            put_number(j, "least_per_class", v->least);
            put_number(j, "most_per_class", v->most);
        }
        put_number(j, "notes", rn_findings_total(&v->found, RN_NOTE));
    }
    if (bad)
        put(j, "problems", texts(&v->found, RN_BAD));
    if (v->structure || bad)
        put(j, "kinds", kinds(&v->found));
    return j;
}

int rn_verify_archives_json(const rn_verify_archive *a, int n)
{
    json_t *all = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(all, archive(&a[i]));
    return print(all);
}

/* ---- trees and packed sets ------------------------------------------------------------------------------- */

int rn_verify_set_json(const char *what, const char *path, const rn_verify_opts *opts, const rn_verify_set *s)
{
    json_t *j = json_object(), *classes = json_object(), *decoded = json_object();
    for (int i = 0; i < s->classes; i++) {
        char *key = rn_utf8_escape(s->class[i].name);
        if (key)
            put_number(classes, key, s->class[i].images);
        free(key);
    }
    put(j, what, text(path));
    put(j, "ok", json_boolean(rn_findings_total(&s->found, RN_BAD) == 0));
    put_number(j, "images", s->images);
    put_number(j, "bytes", s->bytes);
    put(j, "classes", classes);
    put_number(j, "least_per_class", s->least);
    put_number(j, "most_per_class", s->most);
    put(j, "against", s->against[0] ? text(s->against) : json_null());
    put(j, "problems", texts(&s->found, RN_BAD));
    put(j, "notes", texts(&s->found, RN_NOTE));
    put(j, "known", texts(&s->found, RN_KNOWN));
    put(j, "kinds", kinds(&s->found));
    put_number(decoded, "images", s->decoded);
    put_number(decoded, "gray", s->gray);
    put_number(decoded, "cmyk", s->cmyk);
    put_number(decoded, "png", s->png);
    put_number(decoded, "warnings", s->warned);
    if (opts->decode)
        put(j, "decoded", decoded);
    else
        json_decref(decoded);
    if (s->digest[0])
        put(j, "seal", json_string(s->digest));
    return print(j);
}
