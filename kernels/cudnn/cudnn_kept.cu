/* SPDX-License-Identifier: MIT */
/* A file: a line with a digest of all that follows it, the key's line, the JSON. Its name is a digest of the key. */
#if __has_include(<cudnn.h>)
#include "kernels/cudnn/cudnn_kept.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern "C" {
#include "base/rn_digest.h"
#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_log.h"
}

enum { MOST_BYTES = 64 << 20 };
static const char magic[] = "rnkit cuDNN plan 1 ";

int rn_cudnn_kept_folder(char *out, size_t cap)
{
    const char *named = getenv("RNKIT_CUDNN_PLANS"), *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n = 0;

    *out = 0;
    if (named)
        n = snprintf(out, cap, "%s", named);
    else if (cache && *cache == '/')
        n = snprintf(out, cap, "%s/rnkit/cudnn", cache);
    else if (home && *home == '/')
        n = snprintf(out, cap, "%s/.cache/rnkit/cudnn", home);
    if (n < 0 || (size_t)n >= cap) {
        *out = 0;
        return rn_fail(RN_E_RANGE, "cuDNN's plans: the folder's name is too long");
    }
    return RN_OK;
}

void rn_cudnn_kept_name(const rn_cudnn_target *t, const rn_cudnn_plans *p, int config, int64_t engine,
                        rn_cudnn_kept_key *key)
{
    const rn_cudnn_work *w = &p->work;
    char text[256], fuse[64];

    snprintf(key->text, sizeof key->text,
             "cuDNN %zu | %s | %s %s %s fuse=%s loose=%u%s | configuration %d%s of engine %lld",
             t->library->GetVersion(), t->device, rn_conv_dir_name(w->dir), rn_conv_desc_text(&w->d, text, sizeof text),
             rn_dtype_name(w->d.dtype), rn_conv_fuse_text(w->d.fuse, fuse, sizeof fuse), w->loose, w->add ? " add" : "",
             config, p->fell_back ? " to fall back on" : "", (long long)engine);
}

static int path_of(const rn_cudnn_target *t, const rn_cudnn_kept_key *key, char path[PATH_MAX])
{
    char hex[RN_DIGEST_HEX_MAX], name[RN_DIGEST_HEX_MAX + 8];

    RN_TRY(rn_digest_buffer(RN_SHA256, key->text, strlen(key->text), hex));
    snprintf(name, sizeof name, "%s.plan", hex);
    return rn_path_join(path, PATH_MAX, t->plans, name);
}

/* Where the JSON begins in a file's text; NULL: it is not whole, or of another key. */
static const char *json_of(const char *text, size_t n, const rn_cudnn_kept_key *key)
{
    const size_t begin = sizeof magic - 1, digits = RN_DIGEST_HEX_MAX - 1, line = strlen(key->text);
    char hex[RN_DIGEST_HEX_MAX];

    if (n < begin + digits + 1 + line + 1 || memcmp(text, magic, begin) != 0 || text[begin + digits] != '\n')
        return NULL;
    const char *sealed = text + begin + digits + 1;
    if (rn_digest_buffer(RN_SHA256, sealed, n - (size_t)(sealed - text), hex) < 0 ||
        memcmp(hex, text + begin, digits) != 0)
        return NULL;
    return memcmp(sealed, key->text, line) == 0 && sealed[line] == '\n' ? sealed + line + 1 : NULL;
}

static int plan_from(const rn_cudnn_maker *m, const char *json, size_t n, cudnnBackendDescriptor_t *plan)
{
    RN_TRY(rn_cudnn_plan_descriptor(m, plan));
    RN_TRY(rn_cudnn_set(m, *plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, (int64_t)n, json));
    return rn_cudnn_finalize(m, *plan, "a plan from a file");
}

int rn_cudnn_kept_get(const rn_cudnn_maker *m, const rn_cudnn_kept_key *key, cudnnBackendDescriptor_t *plan)
{
    char path[PATH_MAX], *text = NULL;
    size_t n = 0;
    int rc = RN_E_ABSENT;

    if (!*m->t->plans || path_of(m->t, key, path) < 0 || !rn_is_file(path))
        return RN_E_ABSENT;
    if (rn_read_file(path, MOST_BYTES, &text, &n) == RN_OK) {
        const char *json = json_of(text, n, key);
        if (json && plan_from(m, json, n - (size_t)(json - text), plan) == RN_OK)
            rc = RN_OK;
        else
            rn_warn("%s: %s: compiling the plan again", path,
                    json ? rn_error_text() : "damaged, or not what its name says");
    }
    free(text);
    return rc;
}

static int put(const rn_cudnn_maker *m, const rn_cudnn_kept_key *key, cudnnBackendDescriptor_t plan, rn_buf *b)
{
    const rn_cudnn_library *l = m->t->library;
    const size_t begin = sizeof magic - 1 + RN_DIGEST_HEX_MAX;
    char path[PATH_MAX], hex[RN_DIGEST_HEX_MAX];
    int64_t n = 0, got = 0;

    RN_TRY(rn_cudnn_status(
        l, l->BackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, 0, &n, NULL),
        "a plan's JSON"));
    RN_TRY(rn_buf_printf(b, "%s%0*d\n%s\n", magic, RN_DIGEST_HEX_MAX - 1, 0, key->text));
    RN_TRY(rn_buf_reserve(b, b->n + (size_t)n + 1));
    RN_TRY(rn_cudnn_status(l,
                           l->BackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                                                  n, &got, b->data + b->n),
                           "a plan's JSON"));
    b->n += (size_t)(got < n ? got : n);
    RN_TRY(rn_digest_buffer(RN_SHA256, b->data + begin, b->n - begin, hex));
    memcpy(b->data + sizeof magic - 1, hex, RN_DIGEST_HEX_MAX - 1);
    RN_TRY(rn_mkdir_p(m->t->plans));
    RN_TRY(path_of(m->t, key, path));
    return rn_write_file_atomic(path, b->data, b->n);
}

void rn_cudnn_kept_put(const rn_cudnn_maker *m, const rn_cudnn_kept_key *key, cudnnBackendDescriptor_t plan)
{
    static bool told;
    rn_buf b = {};

    if (*m->t->plans && put(m, key, plan, &b) < 0 && !told) {
        rn_warn("cuDNN's compiled plans are not kept (RNKIT_CUDNN_PLANS names another folder): %s", rn_error_text());
        told = true;
    }
    rn_buf_free(&b);
}
#endif
