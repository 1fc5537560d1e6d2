/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_pool.h"
#include "base/rn_progress.h"
#include "data/rn_archive.h"
#include "data/rn_filestream.h"
#include "data/rn_verify.h"

typedef struct task {
    rn_verify_archive *a;
    rn_progress *bar;
    uint64_t shown;
} task;

static void show(task *t, uint64_t at)
{
    rn_progress_add(t->bar, at - t->shown);
    t->shown = at;
}

/* ---- structure --------------------------------------------------------------------------------------------- */

static const char *rest_of_wnid_tar(const char *name)
{
    char wnid[16];
    snprintf(wnid, sizeof wnid, "%.9s", name);
    return rn_is_wnid(wnid) && strcmp(name + 9, ".tar") == 0 ? name + 9 : NULL;
}

/* One class: every entry's name, and that the inner tar is whole. */
static int walk_class(rn_verify_archive *v, const char *name, const rn_buf *data, uint64_t *images)
{
    int rc;
    char where[512], wnid[16];
    rn_archive *in;
    rn_archive_entry e;
    snprintf(where, sizeof where, "%s: %s", rn_base_name(v->path), name);
    snprintf(wnid, sizeof wnid, "%.9s", name);
    RN_TRY(
        rn_archive_open_memory(where, data->data, data->n, &(rn_archive_opts){.digest = -1, .raw_names = true}, &in));
    while ((rc = rn_archive_next(in, &e)) > 0) {
        if (e.why)
            rn_findings_add(&v->bad, "%s: '%s': %s", where, e.name, e.why);
        else if (!rn_is_train_name(e.name, wnid))
            rn_findings_add(&v->notes, "%s: '%s' is not named %s_<number>.JPEG", where, e.name, wnid);
        if (e.size == 0)
            rn_findings_add(&v->bad, "%s: '%s' is empty", where, e.name);
        ++*images;
    }
    rn_archive_close(in);
    return rc;
}

static int add_class(rn_verify_archive *v, const char *name, uint64_t images)
{
    struct rn_class_count *c = realloc(v->count, ((size_t)v->classes + 1) * sizeof *c);
    if (!c)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", v->path);
    v->count = c;
    snprintf(c[v->classes].wnid, sizeof c->wnid, "%.9s", name);
    c[v->classes++].images = images;
    v->images += images;
    v->least = v->classes == 1 || images < v->least ? images : v->least;
    v->most = images > v->most ? images : v->most;
    return RN_OK;
}

static int walk_entry(rn_verify_archive *v, rn_archive *a, const rn_archive_entry *e, rn_buf *inner)
{
    uint64_t images = 0;
    const char *base = rn_base_name(v->path);
    if (e->why) {
        rn_findings_add(&v->bad, "%s: '%s': %s", base, e->name, e->why);
    } else if (rest_of_wnid_tar(e->name)) {
        char name[16];
        snprintf(name, sizeof name, "%s", e->name); /* the entry is gone once its data are read */
        RN_TRY(rn_buf_reserve(inner, (size_t)e->size + 1));
        inner->n = (size_t)e->size;
        RN_TRY(rn_archive_read(a, inner->data, inner->n));
        if (walk_class(v, name, inner, &images) < 0)
            rn_findings_add(&v->bad, "%s", rn_error_text());
        return add_class(v, name, images);
    } else if (rn_numbered_name(e->name, "val") > 0 || rn_numbered_name(rn_base_name(e->name), "test") > 0) {
        v->images++;
        if (e->size == 0)
            rn_findings_add(&v->bad, "%s: '%s' is empty", base, e->name);
    } else if (strstr(e->name, ".JPEG") || strstr(e->name, ".tar")) {
        rn_findings_add(&v->notes, "%s: '%s' is no name of ILSVRC2012", base, e->name);
    }
    return RN_OK;
}

static int walk(task *t)
{
    int rc;
    rn_verify_archive *v = t->a;
    rn_archive *a;
    rn_archive_entry e;
    rn_buf inner = {0};
    RN_TRY(rn_archive_open(v->path, &(rn_archive_opts){.digest = RN_MD5, .raw_names = true}, &a));
    while ((rc = rn_archive_next(a, &e)) > 0) {
        RN_GO(walk_entry(v, a, &e, &inner));
        show(t, rn_archive_consumed(a));
    }
out:
    if (rc < 0)
        rn_findings_add(&v->bad, "%s", rn_error_text());
    rc = rn_archive_digest(a, v->md5, &v->bytes);
    rn_archive_close(a);
    rn_buf_free(&inner);
    return rc;
}

static int hash(task *t)
{
    const void *block;
    rn_filestream *s;
    int64_t n;
    RN_TRY(rn_filestream_open(t->a->path, RN_MD5, 0, &s));
    while ((n = rn_filestream_next(s, &block)) > 0)
        rn_progress_add(t->bar, (uint64_t)n);
    int rc = n < 0 ? (int)n : rn_filestream_digest(s, t->a->md5, &t->a->bytes);
    rn_filestream_close(s);
    return rc;
}

/* ---- archives ---------------------------------------------------------------------------------------------- */

static void judge(rn_verify_archive *v)
{
    const rn_manifest_archive *p = rn_manifest_find(rn_manifest_builtin(), v->path);
    if (!v->expected) {
        v->verdict = RN_UNKNOWN;
        return;
    }
    if (rn_check_md5(v->path, v->md5, v->expected, v->from) == RN_OK) {
        v->verdict = RN_RIGHT;
        return;
    }
    v->verdict = RN_WRONG;
    rn_findings_add(&v->bad, "%s", rn_error_text());
    if (p && p->bytes > (int64_t)v->bytes && strcmp(p->md5, v->expected) == 0)
        rn_findings_add(&v->bad, "%s: has %llu bytes of %llu: the download was cut short", v->path,
                        (unsigned long long)v->bytes, (unsigned long long)p->bytes);
}

/* A file whose digest says nothing may be no archive at all: a web page saved under its name, say. */
static void check_start(rn_verify_archive *v)
{
    const char *base = rn_base_name(v->path);
    rn_archive *a = NULL;
    if (!strstr(base, ".tar") && !strstr(base, ".tgz"))
        return;
    if (rn_archive_open(v->path, &(rn_archive_opts){.digest = -1, .raw_names = true}, &a) == RN_E_FORMAT)
        rn_findings_add(&v->bad, "%s", rn_error_text());
    rn_archive_close(a);
}

static int verify(void *arg, int worker)
{
    task *t = arg;
    rn_verify_archive *v = t->a;
    (void)worker;
    int rc = v->structure ? walk(t) : hash(t);
    if (rc == RN_E_FORMAT && v->structure) { /* no archive at all: it still has a digest */
        rn_findings_add(&v->bad, "%s", rn_error_text());
        rc = hash(t);
    }
    if (rc < 0) {
        v->verdict = RN_UNREADABLE;
        rn_findings_add(&v->bad, "%s", rn_error_text());
    } else {
        judge(v);
        if (!v->structure && v->verdict != RN_RIGHT)
            check_start(v);
    }
    return RN_OK; /* the other archives are looked at all the same */
}

int rn_verify_archives(rn_verify_archive *a, int n, int jobs)
{
    rn_pool *pool;
    uint64_t total = 0;
    task *t = calloc((size_t)n, sizeof *t);
    if (!t)
        return rn_fail(RN_E_NOMEM, "out of memory");
    int rc = rn_pool_open(jobs < n ? jobs : n, n, &pool);
    if (rc < 0) {
        free(t);
        return rc;
    }
    for (int i = 0; i < n; i++) {
        int64_t bytes = rn_file_size(a[i].path);
        total += bytes > 0 ? (uint64_t)bytes : 0;
    }
    rn_progress *bar = rn_progress_start("verify", NULL, RN_UNIT_BYTES, total);
    for (int i = 0; i < n && rc == RN_OK; i++) {
        t[i] = (task){.a = &a[i], .bar = bar};
        rc = rn_pool_submit(pool, verify, &t[i]);
    }
    int waited = rn_pool_wait(pool);
    rn_progress_done(bar);
    rn_pool_close(pool);
    free(t);
    return rc < 0 ? rc : waited;
}

static void compare_train(rn_verify_archive *v, const rn_devkit *d, const char *kit)
{
    const char *base = rn_base_name(v->path);
    if (v->classes != d->nclasses)
        rn_findings_add(&v->bad, "%s: has %d classes, %s lists %d", base, v->classes, kit, d->nclasses);
    for (int i = 0; i < v->classes; i++) {
        int label = rn_devkit_label(d, v->count[i].wnid);
        if (label < 0)
            rn_findings_add(&v->bad, "%s: class %s is unknown to %s", base, v->count[i].wnid, kit);
        else if (d->synsets[label].num_train >= 0 && (uint64_t)d->synsets[label].num_train != v->count[i].images)
            rn_findings_add(&v->bad, "%s: class %s has %llu images, %s says %d", base, v->count[i].wnid,
                            (unsigned long long)v->count[i].images, kit, d->synsets[label].num_train);
    }
}

void rn_verify_against_devkit(rn_verify_archive *a, int n, const rn_devkit *d, const char *devkit_path)
{
    const char *kit = rn_base_name(devkit_path);
    for (int i = 0; i < n; i++) {
        if (!a[i].structure || a[i].verdict == RN_UNREADABLE)
            continue;
        if (strcmp(rn_base_name(a[i].path), "ILSVRC2012_img_train.tar") == 0)
            compare_train(&a[i], d, kit);
        if (strcmp(rn_base_name(a[i].path), "ILSVRC2012_img_val.tar") == 0 && a[i].images != (uint64_t)d->nval)
            rn_findings_add(&a[i].bad, "%s: has %llu images, %s has %d labels", rn_base_name(a[i].path),
                            (unsigned long long)a[i].images, kit, d->nval);
    }
}

void rn_verify_archive_free(rn_verify_archive *a)
{
    rn_findings_free(&a->bad);
    rn_findings_free(&a->notes);
    free(a->count);
}
