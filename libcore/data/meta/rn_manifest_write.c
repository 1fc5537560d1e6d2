/* SPDX-License-Identifier: MIT */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "data/meta/rn_manifest.h"

/* Names that are no UTF-8 make json_string fail, which `ok` remembers to the end. */
static void put(json_t *object, const char *key, json_t *value, bool *ok)
{
    *ok &= json_object_set_new(object, key, value) == 0;
}

static void put_count(json_t *object, const char *key, int64_t n, bool *ok)
{
    if (n >= 0)
        put(object, key, json_integer(n), ok);
}

static json_t *archives_json(const rn_manifest *m, bool *ok)
{
    json_t *list = json_array();
    for (int i = 0; i < m->narchives; i++) {
        const rn_manifest_archive *a = &m->archive[i];
        json_t *j = json_object();
        put(j, "file", json_string(a->file), ok);
        if (a->split >= 0)
            put(j, "split", json_string(m->shape[a->split].name), ok);
        put_count(j, "bytes", a->bytes, ok);
        if (a->md5[0])
            put(j, "md5", json_string(a->md5), ok);
        if (a->sha256[0])
            put(j, "sha256", json_string(a->sha256), ok);
        *ok &= json_array_append_new(list, j) == 0;
    }
    return list;
}

static json_t *shape_json(const rn_shape *s, bool *ok)
{
    json_t *j = json_object();
    put_count(j, "images", s->images, ok);
    put_count(j, "annotations", s->annotations, ok);
    put_count(j, "classes", s->classes, ok);
    put_count(j, "least_per_class", s->least, ok);
    put_count(j, "most_per_class", s->most, ok);
    if (s->nper > 0) {
        json_t *per = json_object();
        for (int i = 0; i < s->nper; i++)
            put(per, s->per[i].name, json_integer(s->per[i].images), ok);
        put(j, "per_class", per, ok);
    }
    return j;
}

static json_t *known_json(const rn_manifest *m, bool *ok)
{
    json_t *j = json_object();
    for (int i = 0; i < m->nknown; i++) {
        const char *kind = rn_kind_name(m->known[i].kind);
        if (!json_object_get(j, kind))
            put(j, kind, json_array(), ok);
        *ok &= json_array_append_new(json_object_get(j, kind), json_string(m->known[i].name)) == 0;
    }
    return j;
}

int rn_manifest_write(const rn_manifest *m, const char *path)
{
    bool ok = true;
    json_t *root = json_object(), *splits = json_object();
    put(root, "format", json_string(RN_MANIFEST_FORMAT), &ok);
    put(root, "name", json_string(m->name), &ok);
    put(root, "archives", archives_json(m, &ok), &ok);
    for (int i = 0; i < m->nshapes; i++)
        put(splits, m->shape[i].name, shape_json(&m->shape[i], &ok), &ok);
    put(root, "splits", splits, &ok);
    put(root, "known", known_json(m, &ok), &ok);
    char *text = ok ? json_dumps(root, JSON_INDENT(2)) : NULL;
    json_decref(root);
    if (!text)
        return rn_fail(RN_E_FORMAT, "%s: not written: a name in it is not UTF-8, or memory is short", path);
    rn_buf b = {0};
    int rc = rn_buf_printf(&b, "%s\n", text);
    free(text);
    if (rc >= 0)
        rc = rn_write_file_atomic(path, b.data, b.n);
    rn_buf_free(&b);
    return rc;
}
