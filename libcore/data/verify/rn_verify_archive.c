/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_pool.h"
#include "base/rn_progress.h"
#include "data/archive/rn_archive.h"
#include "data/archive/rn_filestream.h"
#include "data/verify/rn_verify_walk.h"

/* A file whose size is wrong already is read all the same when that takes a second or two: its digest tells which it
 * is. */
enum { SMALL = 1 << 30 };

typedef struct task {
    rn_verify_archive *a;
    rn_progress *bar;
    uint64_t shown;
} task;

static void show(void *arg, uint64_t at)
{
    task *t = arg;
    if (at > t->shown)
        rn_progress_add(t->bar, at - t->shown);
    t->shown = at > t->shown ? at : t->shown;
}

/* ---- what is expected ------------------------------------------------------------------------------------ */

/* A manifest's row, unless the MD5 says that another archive is meant. */
static void take_row(const rn_manifest *m, const rn_manifest_archive *row, rn_expected *out)
{
    if (!row || (out->md5 && row->md5[0] && strcmp(out->md5, row->md5) != 0))
        return;
    if (!out->md5 && row->md5[0])
        out->md5 = row->md5;
    if (row->sha256[0])
        out->sha256 = row->sha256;
    if (!out->from && (out->md5 || out->sha256))
        out->from = m->from;
    out->bytes = row->bytes;
    out->shape = row->split >= 0 ? &m->shape[row->split] : NULL;
}

int rn_expect(const char *path, const rn_sums *sums, const rn_manifest *m, const rn_sums *beside, rn_expected *out)
{
    const rn_manifest *builtin = rn_manifest_builtin();
    const rn_manifest_archive *row = rn_manifest_find(m, path);
    *out = (rn_expected){.bytes = -1};
    if (!builtin)
        return RN_E_NOMEM;
    if (!row) {
        m = builtin;
        row = rn_manifest_find(m, path);
        if (!rn_sums_find(sums, path))
            sums = beside;
    }
    out->md5 = rn_sums_find(sums, path);
    out->from = out->md5 ? sums->path : NULL;
    take_row(m, row, out);
    return RN_OK;
}

void rn_verify_sizes(rn_verify_archive *a, int n)
{
    for (int i = 0; i < n; i++) {
        int64_t bytes = rn_file_size(a[i].path), want = a[i].expected.bytes;
        if (a[i].verdict == RN_MISSING || bytes < 0)
            continue;
        a[i].bytes = (uint64_t)bytes;
        if (want < 0 || bytes == want)
            continue;
        a[i].verdict = RN_WRONG;
        rn_findings_add(&a[i].found, RN_BAD, RN_K_SIZE, a[i].path, "%s: has %lld bytes of %lld: %s; download it again",
                        a[i].path, (long long)bytes, (long long)want, bytes < want ? "cut short" : "too long");
    }
}

/* ---- one archive ----------------------------------------------------------------------------------------- */

static int hash(task *t)
{
    const void *block;
    rn_filestream *s;
    int64_t n;
    rn_verify_archive *v = t->a;
    RN_TRY(rn_filestream_open(v->path, v->sha256 ? RN_MD5_AND_SHA256 : RN_MD5, 0, &s));
    while ((n = rn_filestream_next(s, &block)) > 0)
        rn_progress_add(t->bar, (uint64_t)n);
    int rc = n < 0 ? (int)n : rn_filestream_digest(s, v->md5, &v->bytes);
    if (rc == RN_OK && v->sha256)
        rc = rn_filestream_sha256(s, v->sha256_hex);
    rn_filestream_close(s);
    return rc;
}

static bool differs(rn_verify_archive *v, const char *kind, const char *got, const char *want)
{
    if (!want || !got[0] || strcmp(got, want) == 0)
        return false;
    rn_findings_add(&v->found, RN_BAD, RN_K_DIGEST, v->path, "%s: %s is %s, %s expects %s: download it again", v->path,
                    kind, got, v->expected.from, want);
    return true;
}

static void judge(rn_verify_archive *v)
{
    bool known = v->expected.md5 || (v->expected.sha256 && v->sha256_hex[0]);
    bool wrong = differs(v, "MD5", v->md5, v->expected.md5);
    wrong |= differs(v, "SHA-256", v->sha256_hex, v->expected.sha256);
    v->verdict = wrong || v->verdict == RN_WRONG ? RN_WRONG : known ? RN_RIGHT : RN_UNKNOWN;
}

static void unreadable(rn_verify_archive *v)
{
    v->verdict = RN_UNREADABLE;
    rn_findings_add(&v->found, RN_BAD, RN_K_UNREADABLE, v->path, "%s", rn_error_text());
}

/* A file whose digest says nothing may be no archive at all: a web page saved under its name, say. */
static void check_start(rn_verify_archive *v)
{
    const char *base = rn_base_name(v->path);
    rn_archive *a = NULL;
    if (!strstr(base, ".tar") && !strstr(base, ".tgz"))
        return;
    int rc = rn_archive_open(v->path, &(rn_archive_opts){.digest = -1, .raw_names = true}, &a);
    rn_archive_close(a);
    if (rc == RN_E_FORMAT)
        rn_findings_add(&v->found, RN_BAD, RN_K_ARCHIVE, v->path, "%s", rn_error_text());
    else if (rc < 0)
        unreadable(v);
}

static int verify(void *arg, int worker)
{
    task *t = arg;
    rn_verify_archive *v = t->a;
    (void)worker;
    int rc = v->structure ? rn_walk_archive(v, show, t) : hash(t);
    if (rc == RN_E_FORMAT && v->structure) { /* no archive at all: it still has a digest */
        rn_findings_add(&v->found, RN_BAD, RN_K_ARCHIVE, v->path, "%s", rn_error_text());
        rc = hash(t);
    }
    if (rc < 0) {
        unreadable(v);
        return RN_OK; /* the other archives are looked at all the same */
    }
    judge(v);
    if (v->structure)
        rn_walk_check_shape(v);
    else if (v->verdict != RN_RIGHT)
        check_start(v);
    return RN_OK;
}

/* ---- all of them ----------------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    const task *x = a, *y = b;
    return x->a->bytes != y->a->bytes ? (x->a->bytes > y->a->bytes ? -1 : 1) : (x->a > y->a) - (x->a < y->a);
}

static bool to_be_read(const rn_verify_archive *v)
{
    return v->verdict != RN_MISSING && (v->verdict != RN_WRONG || v->structure || v->bytes <= SMALL);
}

int rn_verify_archives(rn_verify_archive *a, int n, int jobs)
{
    rn_pool *pool;
    uint64_t total = 0;
    int rc, k = 0;
    task *t = calloc((size_t)n + 1, sizeof *t);
    if (!t)
        return rn_fail(RN_E_NOMEM, "out of memory");
    for (int i = 0; i < n; i++) {
        int64_t bytes = rn_file_size(a[i].path);
        a[i].bytes = bytes > 0 ? (uint64_t)bytes : 0;
        if (to_be_read(&a[i])) {
            t[k++].a = &a[i];
            total += a[i].bytes;
        }
    }
    qsort(t, (size_t)k, sizeof *t, by_size); /* the largest first, lest it is begun last and alone */
    rc = rn_pool_open(jobs < k ? jobs : k > 0 ? k : 1, k + 1, &pool);
    if (rc < 0) {
        free(t);
        return rc;
    }
    rn_progress *bar = rn_progress_start("verify", NULL, RN_UNIT_BYTES, total);
    for (int i = 0; i < k && rc == RN_OK; i++) {
        t[i].bar = bar;
        rc = rn_pool_submit(pool, verify, &t[i]);
    }
    int waited = rn_pool_wait(pool);
    rn_progress_done(bar);
    rn_pool_close(pool);
    free(t);
    return rc < 0 ? rc : waited;
}

void rn_verify_archive_free(rn_verify_archive *a)
{
    rn_findings_free(&a->found);
    free(a->count);
}

/* ---- the devkit ------------------------------------------------------------------------------------------ */

static void compare_train(rn_verify_archive *v, const rn_devkit *d, const char *kit)
{
    const char *base = rn_base_name(v->path);
    if (v->classes != d->nclasses)
        rn_findings_add(&v->found, RN_BAD, RN_K_COUNT, v->path, "%s: has %d classes, %s lists %d", base, v->classes,
                        kit, d->nclasses);
    for (int i = 0, j = 0; i < v->classes || j < d->nclasses;) {
        int order = i == v->classes ? 1 : j == d->nclasses ? -1 : strcmp(v->count[i].wnid, d->synsets[j].wnid);
        if (order < 0)
            rn_findings_add(&v->found, RN_BAD, RN_K_EXTRA, v->count[i].wnid, "%s: class %s is unknown to %s", base,
                            v->count[i].wnid, kit);
        else if (order > 0)
            rn_findings_add(&v->found, RN_BAD, RN_K_MISSING, d->synsets[j].wnid, "%s: class %s of %s is not there",
                            base, d->synsets[j].wnid, kit);
        else if (d->synsets[j].num_train >= 0 && (uint64_t)d->synsets[j].num_train != v->count[i].images)
            rn_findings_add(&v->found, RN_BAD, RN_K_COUNT, v->count[i].wnid, "%s: class %s has %llu images, %s says %d",
                            base, v->count[i].wnid, (unsigned long long)v->count[i].images, kit,
                            d->synsets[j].num_train);
        i += order <= 0;
        j += order >= 0;
    }
}

/* One class's tar, given by itself. */
static void compare_class_tar(rn_verify_archive *v, const rn_devkit *d, const char *kit)
{
    const char *base = rn_base_name(v->path);
    char wnid[16];
    snprintf(wnid, sizeof wnid, "%.9s", base);
    int label = rn_devkit_label(d, wnid);
    int want = label < 0 ? -1 : d->synsets[label].num_train;
    if (label < 0)
        rn_findings_add(&v->found, RN_BAD, RN_K_EXTRA, wnid, "%s: class %s is unknown to %s", base, wnid, kit);
    if (want >= 0 && (uint64_t)want != v->images)
        rn_findings_add(&v->found, RN_BAD, RN_K_COUNT, wnid, "%s: has %llu images, %s says %d", base,
                        (unsigned long long)v->images, kit, want);
}

void rn_verify_against_devkit(rn_verify_archive *a, int n, const rn_devkit *d, const char *devkit_path)
{
    const char *kit = rn_base_name(devkit_path);
    for (int i = 0; i < n; i++) {
        const char *base = rn_base_name(a[i].path);
        if (!a[i].structure || a[i].verdict == RN_UNREADABLE || a[i].verdict == RN_MISSING)
            continue;
        if (strcmp(base, "ILSVRC2012_img_train.tar") == 0)
            compare_train(&a[i], d, kit);
        if (rn_is_class_tar(base))
            compare_class_tar(&a[i], d, kit);
        if (strcmp(base, "ILSVRC2012_img_val.tar") == 0 && a[i].images != (uint64_t)d->nval)
            rn_findings_add(&a[i].found, RN_BAD, RN_K_COUNT, a[i].path, "%s: has %llu images, %s has %d labels", base,
                            (unsigned long long)a[i].images, kit, d->nval);
    }
}
