/* SPDX-License-Identifier: MIT */
/* rnkit-manifest-1: read strictly, so that a typing error is an error and not an archive that goes unchecked. */
#include "data/meta/rn_manifest.h"

#include <ctype.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"

enum { MAX_ARCHIVES = 4096, MAX_SHAPES = 4096, MAX_CLASSES = 1 << 20, MAX_KNOWN = 1 << 20, MAX_FILE = 64 << 20 };

typedef struct parser {
    rn_manifest *m;
    char at[3 * RN_MANIFEST_NAME_MAX]; /* the field that is looked at: "archives[2].md5" */
} parser;

static int bad_field(const parser *p, const char *want)
{
    return rn_fail(RN_E_FORMAT, "%s: %s: %s; correct the manifest or write it anew", p->m->from, p->at, want);
}

static void field(parser *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void field(parser *p, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(p->at, sizeof p->at, fmt, ap);
    va_end(ap);
}

/* ---- values ---------------------------------------------------------------------------------------------- */

static int take_count(const parser *p, const json_t *j, json_int_t least, int64_t *out)
{
    if (!json_is_integer(j) || json_integer_value(j) < least)
        return bad_field(p, least > 0 ? "must be a whole number above 0" : "must be a whole number, 0 or above");
    *out = json_integer_value(j);
    return RN_OK;
}

/* A name without a folder, short enough, without control characters. */
static int take_name(const parser *p, const json_t *j, char out[RN_MANIFEST_NAME_MAX + 1])
{
    const char *s = json_string_value(j);
    size_t n = s ? strlen(s) : 0;
    if (!s || n == 0 || n > RN_MANIFEST_NAME_MAX)
        return bad_field(p, "must be a name of 1 to 250 bytes");
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f || s[i] == '/')
            return bad_field(p, "must be a name without a folder and without control characters");
    if (strcmp(s, ".") == 0 || strcmp(s, "..") == 0)
        return bad_field(p, "must be a file's name");
    memcpy(out, s, n + 1);
    return RN_OK;
}

static int take_hex(const parser *p, const json_t *j, size_t digits, char *out)
{
    const char *s = json_string_value(j);
    bool ok = s && strlen(s) == digits;
    for (size_t i = 0; ok && i <= digits; i++) {
        ok = i == digits || isxdigit((unsigned char)s[i]);
        out[i] = (char)tolower((unsigned char)s[i]);
    }
    if (!ok)
        out[0] = 0;
    return ok ? RN_OK : bad_field(p, digits == 32 ? "must be 32 hexadecimal digits" : "must be 64 hexadecimal digits");
}

static void *array_of(const rn_manifest *m, size_t n, size_t size, int *rc)
{
    void *a = calloc(n + 1, size);
    *rc = a ? RN_OK : rn_fail(RN_E_NOMEM, "%s: out of memory", m->from);
    return a;
}

/* ---- splits ---------------------------------------------------------------------------------------------- */

static int by_class(const void *a, const void *b)
{
    return strcmp(((const struct rn_shape_class *)a)->name, ((const struct rn_shape_class *)b)->name);
}

static int take_classes(parser *p, const json_t *j, rn_shape *s)
{
    int rc;
    const char *key;
    json_t *value;
    char where[RN_MANIFEST_NAME_MAX + 32], name[RN_MANIFEST_NAME_MAX + 1];
    if (!json_is_object(j) || json_object_size(j) == 0 || json_object_size(j) > MAX_CLASSES)
        return bad_field(p, "must be an object with a count for each class");
    snprintf(where, sizeof where, "splits.%s.per_class", s->name);
    s->per = array_of(p->m, json_object_size(j), sizeof *s->per, &rc);
    RN_TRY(rc);
    json_object_foreach((json_t *)j, key, value)
    {
        field(p, "%s.%.250s", where, key);
        json_t *text = json_string(key);
        rc = take_name(p, text, name);
        json_decref(text);
        RN_TRY(rc);
        struct rn_shape_class *c = &s->per[s->nper];
        RN_TRY(take_count(p, value, 0, &c->images));
        c->name = strdup(name);
        if (!c->name)
            return rn_fail(RN_E_NOMEM, "%s: out of memory", p->m->from);
        s->nper++;
    }
    qsort(s->per, (size_t)s->nper, sizeof *s->per, by_class);
    return RN_OK;
}

/* What is said twice must agree; what follows from the classes is filled in. */
static int check_shape(parser *p, rn_shape *s)
{
    int64_t sum = 0, least = 0, most = 0, *total = s->annotations >= 0 && s->images < 0 ? &s->annotations : &s->images;
    field(p, "splits.%s", s->name);
    if (s->least >= 0 && s->most >= 0 && s->least > s->most)
        return bad_field(p, "least_per_class is above most_per_class");
    if (s->nper == 0)
        return RN_OK;
    for (int i = 0; i < s->nper; i++) {
        int64_t n = s->per[i].images;
        if (n > INT64_MAX - sum)
            return bad_field(p, "per_class adds up to more than can be");
        sum += n;
        least = i == 0 || n < least ? n : least;
        most = n > most ? n : most;
    }
    if ((*total >= 0 && *total != sum) || (s->classes >= 0 && s->classes != s->nper) ||
        (s->least >= 0 && s->least != least) || (s->most >= 0 && s->most != most))
        return bad_field(p, "per_class does not add up to the counts beside it");
    *total = sum;
    s->classes = s->nper;
    s->least = least;
    s->most = most;
    return RN_OK;
}

/* The count of that name, NULL if a split has no such field. */
static int64_t *count_of(rn_shape *s, const char *key)
{
    return strcmp(key, "images") == 0            ? &s->images
           : strcmp(key, "annotations") == 0     ? &s->annotations
           : strcmp(key, "classes") == 0         ? &s->classes
           : strcmp(key, "least_per_class") == 0 ? &s->least
           : strcmp(key, "most_per_class") == 0  ? &s->most
                                                 : NULL;
}

static int take_shape(parser *p, const char *name, const json_t *j, rn_shape *s)
{
    const char *key;
    json_t *value;
    s->images = s->annotations = s->classes = s->least = s->most = -1;
    field(p, "splits");
    json_t *text = json_string(name);
    int rc = take_name(p, text, s->name);
    json_decref(text);
    RN_TRY(rc);
    field(p, "splits.%s", s->name);
    if (!json_is_object(j))
        return bad_field(p, "must be an object");
    json_object_foreach((json_t *)j, key, value)
    {
        int64_t *count = count_of(s, key);
        field(p, "splits.%s.%.250s", s->name, key);
        if (count)
            RN_TRY(take_count(p, value, 0, count));
        else if (strcmp(key, "per_class") == 0)
            RN_TRY(take_classes(p, value, s));
        else
            return bad_field(p, "no field of a split (images, annotations, classes, least_per_class, most_per_class, "
                                "per_class)");
    }
    return check_shape(p, s);
}

static int take_splits(parser *p, const json_t *j)
{
    int rc;
    const char *key;
    json_t *value;
    rn_manifest *m = p->m;
    field(p, "splits");
    if (!j)
        return RN_OK;
    if (!json_is_object(j) || json_object_size(j) > MAX_SHAPES)
        return bad_field(p, "must be an object of splits");
    m->shape = array_of(m, json_object_size(j), sizeof *m->shape, &rc);
    RN_TRY(rc);
    json_object_foreach((json_t *)j, key, value)
    {
        m->nshapes++; /* first, so that what it holds when it fails is freed */
        RN_TRY(take_shape(p, key, value, &m->shape[m->nshapes - 1]));
    }
    return RN_OK;
}

/* ---- archives -------------------------------------------------------------------------------------------- */

static int take_split(const parser *p, const json_t *j, rn_manifest_archive *a)
{
    const char *s = json_string_value(j);
    const rn_shape *shape = s ? rn_manifest_shape(p->m, s) : NULL;
    if (!shape)
        return bad_field(p, "must name one of the splits");
    a->split = (int)(shape - p->m->shape);
    return RN_OK;
}

static int take_archive(parser *p, size_t i, const json_t *j, rn_manifest_archive *a)
{
    const char *key;
    json_t *value;
    *a = (rn_manifest_archive){.bytes = -1, .split = -1};
    field(p, "archives[%zu]", i);
    if (!json_is_object(j))
        return bad_field(p, "must be an object");
    json_object_foreach((json_t *)j, key, value)
    {
        field(p, "archives[%zu].%.250s", i, key);
        if (strcmp(key, "file") == 0)
            RN_TRY(take_name(p, value, a->file));
        else if (strcmp(key, "split") == 0)
            RN_TRY(take_split(p, value, a));
        else if (strcmp(key, "bytes") == 0)
            RN_TRY(take_count(p, value, 1, &a->bytes));
        else if (strcmp(key, "md5") == 0)
            RN_TRY(take_hex(p, value, 32, a->md5));
        else if (strcmp(key, "sha256") == 0)
            RN_TRY(take_hex(p, value, 64, a->sha256));
        else
            return bad_field(p, "no field of an archive (file, split, bytes, md5, sha256)");
    }
    field(p, "archives[%zu].file", i);
    return a->file[0] ? RN_OK : bad_field(p, "is missing");
}

static int take_archives(parser *p, const json_t *j)
{
    int rc;
    rn_manifest *m = p->m;
    field(p, "archives");
    if (!json_is_array(j) || json_array_size(j) == 0 || json_array_size(j) > MAX_ARCHIVES)
        return bad_field(p, "must be a list of 1 to 4096 archives");
    m->archive = array_of(m, json_array_size(j), sizeof *m->archive, &rc);
    RN_TRY(rc);
    for (size_t i = 0; i < json_array_size(j); i++) {
        RN_TRY(take_archive(p, i, json_array_get(j, i), &m->archive[i]));
        if (rn_manifest_find(m, m->archive[i].file))
            return bad_field(p, "stands there twice");
        m->narchives++;
    }
    return RN_OK;
}

/* ---- oddities -------------------------------------------------------------------------------------------- */

static int by_known(const void *a, const void *b)
{
    const struct rn_known *x = a, *y = b;
    return x->kind != y->kind ? (x->kind < y->kind ? -1 : 1) : strcmp(x->name, y->name);
}

static int take_known_names(parser *p, const char *key, const json_t *j, int kind)
{
    rn_manifest *m = p->m;
    size_t n = json_array_size(j);
    field(p, "known.%.250s", key);
    if (!json_is_array(j) || n > MAX_KNOWN)
        return bad_field(p, "must be a list of names");
    struct rn_known *more = realloc(m->known, ((size_t)m->nknown + n + 1) * sizeof *more);
    if (!more)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", m->from);
    m->known = more;
    for (size_t i = 0; i < n; i++) {
        field(p, "known.%.250s[%zu]", key, i);
        more[m->nknown].kind = (enum rn_kind)kind;
        RN_TRY(take_name(p, json_array_get(j, i), more[m->nknown].name));
        m->nknown++;
    }
    return RN_OK;
}

static int take_known(parser *p, const json_t *j)
{
    const char *key;
    json_t *value;
    rn_manifest *m = p->m;
    field(p, "known");
    if (!j)
        return RN_OK;
    if (!json_is_object(j))
        return bad_field(p, "must be an object");
    json_object_foreach((json_t *)j, key, value)
    {
        int kind = rn_oddity_kind(key);
        field(p, "known.%.250s", key);
        if (kind < 0)
            return bad_field(p, "no kind of oddity (png, cmyk, exif, warning)");
        RN_TRY(take_known_names(p, key, value, kind));
    }
    if (m->nknown)
        qsort(m->known, (size_t)m->nknown, sizeof *m->known, by_known);
    for (int i = 1; i < m->nknown; i++)
        if (by_known(&m->known[i - 1], &m->known[i]) == 0) {
            field(p, "known.%s: %s", rn_kind_name(m->known[i].kind), m->known[i].name);
            return bad_field(p, "stands there twice");
        }
    return RN_OK;
}

/* ---- the whole ------------------------------------------------------------------------------------------- */

static int take_root(parser *p, const json_t *root)
{
    static const char *const fields[] = {"format", "name", "archives", "splits", "known"};
    const char *key, *format = json_string_value(json_object_get(root, "format"));
    json_t *value;
    char name[RN_MANIFEST_NAME_MAX + 1] = "";
    field(p, "format");
    if (!json_is_object(root) || !format || strcmp(format, RN_MANIFEST_FORMAT) != 0)
        return bad_field(p, "must be \"" RN_MANIFEST_FORMAT "\"");
    json_object_foreach((json_t *)root, key, value)
    {
        size_t i = 0;
        while (i < sizeof fields / sizeof *fields && strcmp(key, fields[i]) != 0)
            i++;
        field(p, "%.250s", key);
        if (i == sizeof fields / sizeof *fields)
            return bad_field(p, "no field of a manifest (format, name, archives, splits, known)");
    }
    field(p, "name");
    RN_TRY(take_name(p, json_object_get(root, "name"), name));
    p->m->name = strdup(name);
    if (!p->m->name)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", p->m->from);
    RN_TRY(take_splits(p, json_object_get(root, "splits"))); /* before the archives, which name them */
    RN_TRY(take_archives(p, json_object_get(root, "archives")));
    return take_known(p, json_object_get(root, "known"));
}

int rn_manifest_parse(const char *text, size_t n, const char *from, rn_manifest **out)
{
    int rc = RN_OK;
    json_error_t error;
    json_t *root = NULL;
    *out = NULL;
    parser p = {.m = calloc(1, sizeof *p.m)};
    if (!p.m || !(p.m->from = strdup(from)))
        RN_GO(rn_fail(RN_E_NOMEM, "%s: out of memory", from));
    root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        RN_GO(rn_fail(RN_E_FORMAT, "%s:%d: %s; correct the manifest or write it anew", from, error.line, error.text));
    RN_GO(take_root(&p, root));
    *out = p.m;
    p.m = NULL;
out:
    json_decref(root);
    rn_manifest_close(p.m);
    return rc;
}

int rn_manifest_read(const char *path, rn_manifest **out)
{
    char *text;
    size_t n;
    *out = NULL;
    RN_TRY(rn_read_text(path, MAX_FILE, &text, &n));
    int rc = rn_manifest_parse(text, n, path, out);
    free(text);
    return rc;
}

void rn_manifest_close(rn_manifest *m)
{
    if (!m)
        return;
    for (int i = 0; i < m->nshapes; i++) {
        for (int c = 0; c < m->shape[i].nper; c++)
            free(m->shape[i].per[c].name);
        free(m->shape[i].per);
    }
    free(m->shape);
    free(m->archive);
    free(m->known);
    free(m->name);
    free(m->from);
    free(m);
}

/* ---- questions ------------------------------------------------------------------------------------------- */

const rn_manifest_archive *rn_manifest_find(const rn_manifest *m, const char *path)
{
    for (int i = 0; m && i < m->narchives; i++)
        if (strcmp(rn_base_name(path), m->archive[i].file) == 0)
            return &m->archive[i];
    return NULL;
}

const rn_shape *rn_manifest_shape(const rn_manifest *m, const char *name)
{
    for (int i = 0; m && i < m->nshapes; i++)
        if (strcmp(name, m->shape[i].name) == 0)
            return &m->shape[i];
    return NULL;
}

bool rn_manifest_knows(const rn_manifest *m, enum rn_kind kind, const char *path)
{
    struct rn_known key = {.kind = kind};
    const char *base = rn_base_name(path);
    if (!m || m->nknown == 0 || strlen(base) > RN_MANIFEST_NAME_MAX)
        return false;
    memcpy(key.name, base, strlen(base) + 1);
    return bsearch(&key, m->known, (size_t)m->nknown, sizeof *m->known, by_known) != NULL;
}
