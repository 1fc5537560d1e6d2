/* SPDX-License-Identifier: MIT */
#include "data/store/rn_seal.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"

void rn_chain_start(char chain[RN_DIGEST_HEX_MAX])
{
    memset(chain, '0', 64);
    chain[64] = '\0';
}

int rn_chain_record(const void *key, size_t key_n, const void *value, size_t value_n, char hex[RN_DIGEST_HEX_MAX])
{
    rn_digest *d = NULL;
    int rc;
    RN_GO(rn_digest_open(RN_SHA256, &d));
    RN_GO(rn_digest_update(d, key, key_n));
    RN_GO(rn_digest_update(d, "", 1));
    RN_GO(rn_digest_update(d, value, value_n));
    RN_GO(rn_digest_final(d, hex));
out:
    rn_digest_close(d);
    return rc;
}

int rn_chain_add(char chain[RN_DIGEST_HEX_MAX], const char record_hex[RN_DIGEST_HEX_MAX])
{
    char both[128];
    memcpy(both, chain, 64);
    memcpy(both + 64, record_hex, 64);
    return rn_digest_buffer(RN_SHA256, both, sizeof both, chain);
}

/* ---- writing ------------------------------------------------------------------------------------------------ */

/* json_object_set_new takes the value even when it fails, and fails on NULL: one flag is enough to check at the end. */
static void put(json_t *o, const char *key, json_t *value, bool *ok)
{
    *ok &= json_object_set_new(o, key, value) == 0;
}

static json_t *classes_json(const rn_seal *s, bool *ok)
{
    json_t *a = json_array();
    for (int i = 0; i < s->nclasses; i++) {
        json_t *o = json_object();
        put(o, "wnid", json_string(s->classes[i].wnid), ok);
        put(o, "words", json_string(s->classes[i].words), ok);
        put(o, "records", json_integer((json_int_t)s->classes[i].records), ok);
        *ok &= json_array_append_new(a, o) == 0;
    }
    return a;
}

static json_t *sources_json(const rn_seal *s, bool *ok)
{
    json_t *a = json_array();
    for (int i = 0; i < s->nsources; i++) {
        const rn_seal_source *src = &s->sources[i];
        json_t *o = json_object();
        put(o, "file", json_string(src->file), ok);
        put(o, "bytes", json_integer((json_int_t)src->bytes), ok);
        put(o, "md5", src->md5[0] ? json_string(src->md5) : json_null(), ok);
        put(o, "md5_from", json_string(src->md5_from), ok);
        *ok &= json_array_append_new(a, o) == 0;
    }
    return a;
}

int rn_seal_write(const char *dir, rn_seal *s)
{
    char path[4096];
    RN_TRY(rn_path_join(path, sizeof path, dir, RN_SEAL_FILE));
    bool ok = true;
    json_t *o = json_object();
    put(o, "format", json_string(RN_SEAL_FORMAT), &ok);
    put(o, "tool", json_string(s->tool), &ok);
    put(o, "kind", json_string(s->kind), &ok);
    put(o, "options", json_string(s->options), &ok);
    if (s->shard.count)
        put(o, "shard",
            json_pack("{s:I, s:I}", "index", (json_int_t)s->shard.index, "count", (json_int_t)s->shard.count), &ok);
    put(o, "records", json_integer((json_int_t)s->records), &ok);
    put(o, "skipped", json_integer((json_int_t)s->skipped), &ok);
    put(o, "data_bytes", json_integer((json_int_t)s->data_bytes), &ok);
    put(o, "content_sha256", json_string(s->content_sha256), &ok);
    put(o, "list_sha256", json_string(s->list_sha256), &ok);
    put(o, "sources", sources_json(s, &ok), &ok);
    put(o, "classes", classes_json(s, &ok), &ok);
    char *text = ok ? json_dumps(o, JSON_INDENT(1)) : NULL;
    json_decref(o);
    if (!text) /* besides memory: a name that is not UTF-8 cannot stand in JSON */
        return rn_fail(RN_E_FORMAT, "%s: a class or file name is not valid UTF-8, or memory is short", path);
    rn_buf b = {0};
    int rc;
    RN_GO(rn_buf_printf(&b, "%s\n", text));
    RN_GO(rn_digest_buffer(RN_SHA256, b.data, b.n, s->digest));
    RN_GO(rn_write_file_atomic(path, b.data, b.n));
out:
    rn_buf_free(&b);
    free(text);
    return rc;
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

static char *get_text(const json_t *o, const char *key, bool *ok)
{
    const char *t = json_string_value(json_object_get(o, key));
    char *copy = t ? strdup(t) : NULL;
    *ok &= copy != NULL;
    return copy;
}

static uint64_t get_count(const json_t *o, const char *key, bool *ok)
{
    const json_t *v = json_object_get(o, key);
    *ok &= json_is_integer(v) && json_integer_value(v) >= 0;
    return json_is_integer(v) ? (uint64_t)json_integer_value(v) : 0;
}

static void get_fixed(const json_t *o, const char *key, char *out, size_t cap, bool *ok)
{
    const char *t = json_string_value(json_object_get(o, key));
    if (t && strlen(t) < cap)
        memcpy(out, t, strlen(t) + 1);
    else
        *ok = false;
}

static bool get_classes(const json_t *a, rn_seal *s)
{
    size_t n = json_array_size(a);
    bool ok = json_is_array(a) && n > 0 && n <= INT32_MAX;
    s->classes = ok ? calloc(n, sizeof *s->classes) : NULL;
    if (!s->classes)
        return false;
    s->nclasses = (int)n;
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        const json_t *o = json_array_get(a, i);
        s->classes[i].wnid = get_text(o, "wnid", &ok);
        s->classes[i].words = get_text(o, "words", &ok);
        s->classes[i].records = get_count(o, "records", &ok);
        sum += s->classes[i].records;
    }
    return ok && sum == s->records;
}

static bool get_sources(const json_t *a, rn_seal *s)
{
    size_t n = json_array_size(a);
    bool ok = json_is_array(a) && n <= INT32_MAX;
    s->sources = ok ? calloc(n ? n : 1, sizeof *s->sources) : NULL;
    if (!s->sources)
        return false;
    s->nsources = (int)n;
    for (size_t i = 0; i < n; i++) {
        const json_t *o = json_array_get(a, i);
        rn_seal_source *src = &s->sources[i];
        src->file = get_text(o, "file", &ok);
        src->bytes = get_count(o, "bytes", &ok);
        if (!json_is_null(json_object_get(o, "md5")))
            get_fixed(o, "md5", src->md5, sizeof src->md5, &ok);
        get_fixed(o, "md5_from", src->md5_from, sizeof src->md5_from, &ok);
    }
    return ok;
}

/* Sets that are no shards have none. */
static void get_shard(const json_t *o, rn_shard *s, bool *ok)
{
    if (!o)
        return;
    uint64_t index = get_count(o, "index", ok), count = get_count(o, "count", ok);
    *ok &= count >= 1 && count <= RN_SHARDS_MAX && index < count;
    *s = (rn_shard){.index = (uint32_t)index, .count = (uint32_t)count};
}

static bool from_json(const json_t *o, rn_seal *s)
{
    bool ok = true;
    s->tool = get_text(o, "tool", &ok);
    s->kind = get_text(o, "kind", &ok);
    s->options = get_text(o, "options", &ok);
    get_shard(json_object_get(o, "shard"), &s->shard, &ok);
    s->records = get_count(o, "records", &ok);
    s->skipped = get_count(o, "skipped", &ok);
    s->data_bytes = get_count(o, "data_bytes", &ok);
    get_fixed(o, "content_sha256", s->content_sha256, sizeof s->content_sha256, &ok);
    get_fixed(o, "list_sha256", s->list_sha256, sizeof s->list_sha256, &ok);
    ok = ok && get_sources(json_object_get(o, "sources"), s);
    return ok && get_classes(json_object_get(o, "classes"), s);
}

int rn_seal_parse(const void *text, size_t n, const char *path, rn_seal **out)
{
    rn_seal *s = NULL;
    int rc;
    *out = NULL;
    json_error_t err;
    json_t *o = json_loadb(text, n, JSON_REJECT_DUPLICATES, &err);
    const char *format = json_string_value(json_object_get(o, "format"));
    if (!o) {
        rc = rn_fail(RN_E_FORMAT, "%s: not JSON (line %d: %s); pack the set again", path, err.line, err.text);
        goto out;
    }
    if (!format || strcmp(format, RN_SEAL_FORMAT) != 0) {
        rc = rn_fail(RN_E_FORMAT, "%s: format is '%s', this program reads '%s'", path, format ? format : "(none)",
                     RN_SEAL_FORMAT);
        goto out;
    }
    s = calloc(1, sizeof *s);
    if (!s) {
        rc = rn_fail(RN_E_NOMEM, "%s: out of memory", path);
        goto out;
    }
    if (!from_json(o, s)) {
        rc = rn_fail(RN_E_FORMAT, "%s: a field is missing or wrong, or counts do not add up; pack the set again", path);
        goto out;
    }
    RN_GO(rn_digest_buffer(RN_SHA256, text, n, s->digest));
    *out = s;
    s = NULL;
out:
    rn_seal_free(s);
    json_decref(o);
    return rc;
}

int rn_seal_read(const char *dir, rn_seal **out)
{
    char path[4096], *text = NULL;
    size_t n = 0;
    *out = NULL;
    RN_TRY(rn_path_join(path, sizeof path, dir, RN_SEAL_FILE));
    RN_TRY(rn_read_file(path, 1u << 30, &text, &n));
    int rc = rn_seal_parse(text, n, path, out);
    free(text);
    return rc;
}

void rn_seal_free_classes(rn_seal_class *c, int n)
{
    for (int i = 0; i < n; i++) {
        free(c[i].wnid);
        free(c[i].words);
    }
    free(c);
}

void rn_seal_free_sources(rn_seal_source *s, int n)
{
    for (int i = 0; i < n; i++)
        free(s[i].file);
    free(s);
}

void rn_seal_free(rn_seal *s)
{
    if (!s)
        return;
    free(s->tool);
    free(s->kind);
    free(s->options);
    rn_seal_free_classes(s->classes, s->nclasses);
    rn_seal_free_sources(s->sources, s->nsources);
    free(s);
}
