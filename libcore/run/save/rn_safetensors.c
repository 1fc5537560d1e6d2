/* SPDX-License-Identifier: MIT */
#include "run/save/rn_safetensors.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_half.h"

static const struct {
    const char *name;
    size_t size;
} dtypes[RN_ST_NDTYPES] = {{"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8}, {"I32", 4}, {"I16", 2},
                           {"I8", 1},  {"U64", 8}, {"U32", 4}, {"U16", 2},  {"U8", 1},  {"BOOL", 1}};

/* ---- reading ---- */

struct rn_st_file {
    char *path;
    char *data; /* the whole file */
    size_t n;
    rn_st_tensor *t;
    int count;
    json_t *header;
};

static int parse_shape(rn_st_file *f, rn_st_tensor *t, json_t *shape)
{
    if (!json_is_array(shape) || json_array_size(shape) > RN_ST_MAX_DIMS)
        return rn_fail(RN_E_FORMAT, "%s: tensor %s: \"shape\" is not a list of at most %d sizes", f->path, t->name,
                       RN_ST_MAX_DIMS);
    t->nd = (int)json_array_size(shape);
    t->count = 1;
    for (int i = 0; i < t->nd; i++) {
        json_t *d = json_array_get(shape, (size_t)i);
        if (!json_is_integer(d) || json_integer_value(d) < 0 ||
            __builtin_mul_overflow(t->count, (int64_t)json_integer_value(d), &t->count))
            return rn_fail(RN_E_FORMAT, "%s: tensor %s: size %d of its shape is no valid size", f->path, t->name, i);
        t->dim[i] = json_integer_value(d);
    }
    return RN_OK;
}

static int parse_dtype(rn_st_file *f, rn_st_tensor *t, json_t *dtype)
{
    if (!json_is_string(dtype))
        return rn_fail(RN_E_FORMAT, "%s: tensor %s has no \"dtype\"", f->path, t->name);
    for (int i = 0; i < RN_ST_NDTYPES; i++)
        if (strcmp(dtypes[i].name, json_string_value(dtype)) == 0) {
            t->dtype = (rn_st_dtype)i;
            return RN_OK;
        }
    return rn_fail(RN_E_FORMAT, "%s: tensor %s has the unknown dtype \"%s\" (save it as F32)", f->path, t->name,
                   json_string_value(dtype));
}

static int parse_tensor(rn_st_file *f, rn_st_tensor *t, const char *name, json_t *v, size_t data_at)
{
    t->name = strdup(name);
    if (!t->name)
        return rn_fail(RN_E_NOMEM, "%s: no memory for its header", f->path);
    if (!json_is_object(v))
        return rn_fail(RN_E_FORMAT, "%s: tensor %s is not described by an object", f->path, name);
    RN_TRY(parse_dtype(f, t, json_object_get(v, "dtype")));
    RN_TRY(parse_shape(f, t, json_object_get(v, "shape")));

    json_t *off = json_object_get(v, "data_offsets");
    json_t *b = json_array_get(off, 0), *e = json_array_get(off, 1);
    if (json_array_size(off) != 2 || !json_is_integer(b) || !json_is_integer(e))
        return rn_fail(RN_E_FORMAT, "%s: tensor %s: \"data_offsets\" is not a pair of offsets", f->path, name);
    int64_t begin = json_integer_value(b), end = json_integer_value(e), room = (int64_t)(f->n - data_at), bytes;
    if (begin < 0 || end < begin || end > room)
        return rn_fail(RN_E_FORMAT, "%s: tensor %s lies at bytes %lld..%lld of %lld: the file is damaged or truncated",
                       f->path, name, (long long)begin, (long long)end, (long long)room);
    if (__builtin_mul_overflow(t->count, (int64_t)dtypes[t->dtype].size, &bytes) || bytes != end - begin)
        return rn_fail(RN_E_FORMAT, "%s: tensor %s takes %lld bytes, but its shape and %s do not give that", f->path,
                       name, (long long)(end - begin), dtypes[t->dtype].name);
    t->data = f->data + data_at + begin;
    t->bytes = (size_t)bytes;
    return RN_OK;
}

static int by_place(const void *pa, const void *pb)
{
    const rn_st_tensor *a = pa, *b = pb;
    if (a->data != b->data)
        return (const char *)a->data < (const char *)b->data ? -1 : 1;
    if (a->bytes != b->bytes) /* empty tensors before the one that starts there */
        return a->bytes < b->bytes ? -1 : 1;
    return strcmp(a->name, b->name);
}

static int check_cover(rn_st_file *f, size_t data_at)
{
    const char *at = f->data + data_at;
    qsort(f->t, (size_t)f->count, sizeof *f->t, by_place);
    for (int i = 0; i < f->count; i++) {
        const rn_st_tensor *t = &f->t[i];
        if ((const char *)t->data < at)
            return rn_fail(RN_E_FORMAT, "%s: tensors %s and %s overlap", f->path, f->t[i - 1].name, t->name);
        if ((const char *)t->data > at)
            return rn_fail(RN_E_FORMAT, "%s: %zu bytes before tensor %s belong to no tensor", f->path,
                           (size_t)((const char *)t->data - at), t->name);
        at = (const char *)t->data + t->bytes;
    }
    if (at != f->data + f->n)
        return rn_fail(RN_E_FORMAT, "%s: %zu bytes at the end belong to no tensor", f->path,
                       (size_t)(f->data + f->n - at));
    return RN_OK;
}

static int check_meta(rn_st_file *f, json_t *meta)
{
    const char *key;
    json_t *v;
    if (!json_is_object(meta))
        return rn_fail(RN_E_FORMAT, "%s: \"__metadata__\" is not an object", f->path);
    json_object_foreach(meta, key, v)
    {
        if (!json_is_string(v))
            return rn_fail(RN_E_FORMAT, "%s: metadata \"%s\" is not a text", f->path, key);
    }
    return RN_OK;
}

static int parse_header(rn_st_file *f)
{
    uint64_t len;
    if (f->n < sizeof len)
        return rn_fail(RN_E_FORMAT, "%s: not a safetensors file: only %zu bytes", f->path, f->n);
    memcpy(&len, f->data, sizeof len);
    if (len > RN_ST_MAX_HEADER || len > f->n - sizeof len || len < 2 || f->data[sizeof len] != '{')
        return rn_fail(RN_E_FORMAT, "%s: not a safetensors file, or truncated: no header of %llu bytes", f->path,
                       (unsigned long long)len);
    json_error_t err;
    f->header = json_loadb(f->data + sizeof len, len, JSON_REJECT_DUPLICATES, &err);
    if (!f->header)
        return rn_fail(RN_E_FORMAT, "%s: its header is no valid JSON: %s", f->path, err.text);

    f->t = calloc(json_object_size(f->header) + 1, sizeof *f->t);
    if (!f->t)
        return rn_fail(RN_E_NOMEM, "%s: no memory for its header", f->path);
    const char *key;
    json_t *v;
    json_object_foreach(f->header, key, v)
    {
        if (strcmp(key, "__metadata__") == 0)
            RN_TRY(check_meta(f, v));
        else
            RN_TRY(parse_tensor(f, &f->t[f->count++], key, v, sizeof len + len));
    }
    return check_cover(f, sizeof len + len);
}

int rn_st_open_memory(const char *name, char *data, size_t n, rn_st_file **out)
{
    *out = NULL;
    rn_st_file *f = calloc(1, sizeof *f);
    if (!f || !(f->path = strdup(name))) {
        free(f);
        free(data);
        return rn_fail(RN_E_NOMEM, "%s: no memory to read it", name);
    }
    f->data = data;
    f->n = n;
    int rc = parse_header(f);
    if (rc < 0) {
        rn_st_close(f);
        return rc;
    }
    *out = f;
    return RN_OK;
}

int rn_st_open(const char *path, rn_st_file **out, char sha256[RN_DIGEST_HEX_MAX])
{
    char *data;
    size_t n;
    *out = NULL;
    RN_TRY(rn_read_file(path, 0, &data, &n));
    if (sha256) {
        int rc = rn_digest_buffer(RN_SHA256, data, n, sha256);
        if (rc < 0) {
            free(data);
            return rc;
        }
    }
    return rn_st_open_memory(path, data, n, out);
}

void rn_st_close(rn_st_file *f)
{
    if (!f)
        return;
    for (int i = 0; i < f->count; i++)
        free(f->t[i].name);
    free(f->t);
    json_decref(f->header);
    free(f->data);
    free(f->path);
    free(f);
}

const char *rn_st_path(const rn_st_file *f)
{
    return f->path;
}

int rn_st_count(const rn_st_file *f)
{
    return f->count;
}

const rn_st_tensor *rn_st_at(const rn_st_file *f, int i)
{
    return &f->t[i];
}

const rn_st_tensor *rn_st_find(const rn_st_file *f, const char *name)
{
    for (int i = 0; i < f->count; i++)
        if (strcmp(f->t[i].name, name) == 0)
            return &f->t[i];
    return NULL;
}

const char *rn_st_meta(const rn_st_file *f, const char *key)
{
    return json_string_value(json_object_get(json_object_get(f->header, "__metadata__"), key));
}

int rn_st_read_f32(const rn_st_tensor *t, float *out)
{
    const char *p = t->data;
    for (int64_t i = 0; i < t->count; i++, p += dtypes[t->dtype].size) {
        uint16_t h;
        double d;
        int64_t k;
        switch (t->dtype) {
        case RN_ST_F32:
            memcpy(out, p, t->bytes);
            return RN_OK;
        case RN_ST_F16:
            memcpy(&h, p, sizeof h);
            out[i] = rn_f32_of_f16(h);
            break;
        case RN_ST_BF16:
            memcpy(&h, p, sizeof h);
            out[i] = rn_f32_of_bf16(h);
            break;
        case RN_ST_F64:
            memcpy(&d, p, sizeof d);
            out[i] = (float)d;
            break;
        case RN_ST_I64:
            memcpy(&k, p, sizeof k);
            out[i] = (float)k;
            break;
        default:
            return rn_fail(RN_E_UNSUPPORTED, "tensor %s holds %s, not real numbers: save it as F32", t->name,
                           dtypes[t->dtype].name);
        }
    }
    return RN_OK;
}

/* ---- writing ---- */

struct rn_st_writer {
    rn_st_tensor *t;
    int count, cap;
    json_t *meta;
};

int rn_st_writer_open(rn_st_writer **out)
{
    rn_st_writer *w = calloc(1, sizeof *w);
    if (!w || !(w->meta = json_object())) {
        free(w);
        return rn_fail(RN_E_NOMEM, "no memory to write a safetensors file");
    }
    *out = w;
    return RN_OK;
}

void rn_st_writer_close(rn_st_writer *w)
{
    if (!w)
        return;
    for (int i = 0; i < w->count; i++)
        free(w->t[i].name);
    free(w->t);
    json_decref(w->meta);
    free(w);
}

int rn_st_add(rn_st_writer *w, const char *name, rn_st_dtype dtype, int nd, const int64_t *dim, const void *data)
{
    if (nd < 0 || nd > RN_ST_MAX_DIMS)
        return rn_fail(RN_E_RANGE, "tensor %s: %d dimensions", name, nd);
    for (int i = 0; i < w->count; i++)
        if (strcmp(w->t[i].name, name) == 0)
            return rn_fail(RN_E_RANGE, "tensor %s was added twice", name);
    if (w->count == w->cap) {
        int cap = w->cap ? 2 * w->cap : 128;
        rn_st_tensor *t = realloc(w->t, (size_t)cap * sizeof *t);
        if (!t)
            return rn_fail(RN_E_NOMEM, "no memory to write tensor %s", name);
        w->t = t;
        w->cap = cap;
    }
    rn_st_tensor *t = &w->t[w->count];
    *t = (rn_st_tensor){.name = strdup(name), .dtype = dtype, .nd = nd, .count = 1, .data = data};
    if (!t->name)
        return rn_fail(RN_E_NOMEM, "no memory to write tensor %s", name);
    w->count++;
    for (int i = 0; i < nd; i++) {
        t->dim[i] = dim[i];
        if (dim[i] < 0 || __builtin_mul_overflow(t->count, dim[i], &t->count))
            return rn_fail(RN_E_RANGE, "tensor %s: size %lld", name, (long long)dim[i]);
    }
    t->bytes = (size_t)t->count * dtypes[dtype].size;
    return RN_OK;
}

int rn_st_add_meta(rn_st_writer *w, const char *key, const char *text)
{
    if (json_object_set_new(w->meta, key, json_string(text)) != 0)
        return rn_fail(RN_E_RANGE, "metadata \"%s\" is not UTF-8", key);
    return RN_OK;
}

/* One header entry; `at` is where its bytes begin. */
static json_t *describe(const rn_st_tensor *t, int64_t at)
{
    json_t *shape = json_array();
    for (int i = 0; i < t->nd; i++)
        json_array_append_new(shape, json_integer(t->dim[i]));
    return json_pack("{s:s, s:o, s:[I,I]}", "dtype", dtypes[t->dtype].name, "shape", shape, "data_offsets",
                     (json_int_t)at, (json_int_t)(at + (int64_t)t->bytes));
}

static const size_t widths[] = {8, 4, 2, 1};

static char *header_text(const rn_st_writer *w, int64_t *data_bytes)
{
    json_t *h = json_object();
    char *text = NULL;
    int64_t at = 0;
    if (json_object_size(w->meta) && json_object_set(h, "__metadata__", w->meta) != 0)
        goto out;
    for (size_t k = 0; k < sizeof widths / sizeof *widths; k++)
        for (int i = 0; i < w->count; i++) {
            if (dtypes[w->t[i].dtype].size != widths[k])
                continue;
            if (json_object_set_new(h, w->t[i].name, describe(&w->t[i], at)) != 0)
                goto out;
            at += (int64_t)w->t[i].bytes;
        }
    *data_bytes = at;
    text = json_dumps(h, JSON_COMPACT | JSON_PRESERVE_ORDER);
out:
    json_decref(h);
    return text;
}

int rn_st_build(const rn_st_writer *w, rn_buf *out)
{
    int rc;
    int64_t data_bytes = 0;
    char *text = header_text(w, &data_bytes);
    if (!text)
        return rn_fail(RN_E_NOMEM, "no memory for a safetensors header (or a tensor's name is not UTF-8)");
    size_t len = strlen(text), padded = (len + 7) & ~(size_t)7; /* the data begin 8-byte aligned */
    uint64_t n64 = padded;
    RN_GO(rn_buf_reserve(out, sizeof n64 + padded + (size_t)data_bytes));
    RN_GO(rn_buf_append(out, &n64, sizeof n64));
    RN_GO(rn_buf_append(out, text, len));
    RN_GO(rn_buf_append(out, "       ", padded - len));
    for (size_t k = 0; k < sizeof widths / sizeof *widths; k++)
        for (int i = 0; i < w->count; i++)
            if (dtypes[w->t[i].dtype].size == widths[k] && w->t[i].bytes)
                RN_GO(rn_buf_append(out, w->t[i].data, w->t[i].bytes));
out:
    free(text);
    return rc;
}
