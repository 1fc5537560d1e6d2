/* SPDX-License-Identifier: MIT */
/* A manifest out of archives that were looked at. */
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "data/verify/rn_verify.h"

/* "train" for ILSVRC2012_img_train.tar and so on; an archive that is none of these, or a second one, goes by its own
 * name. */
static const char *split_name(const rn_manifest *m, const char *file)
{
    static const char *const splits[][2] = {{"ILSVRC2012_img_train.tar", "train"},
                                            {"ILSVRC2012_img_val.tar", "val"},
                                            {"ILSVRC2012_img_test_v10102019.tar", "test"},
                                            {"ILSVRC2012_img_test.tar", "test"}};
    for (size_t i = 0; i < sizeof splits / sizeof *splits; i++)
        if (strcmp(file, splits[i][0]) == 0 && !rn_manifest_shape(m, splits[i][1]))
            return splits[i][1];
    return file;
}

static int add_per_class(rn_shape *s, const char *name, int64_t images)
{
    s->per[s->nper].name = strdup(name);
    if (!s->per[s->nper].name)
        return rn_fail(RN_E_NOMEM, "out of memory");
    s->per[s->nper++].images = images;
    s->least = s->nper == 1 || images < s->least ? images : s->least;
    s->most = images > s->most ? images : s->most;
    s->classes = s->nper;
    return RN_OK;
}

/* Validation images do not say their class: the devkit does. */
static int take_val_classes(rn_shape *s, const rn_devkit *d)
{
    int64_t *count = calloc((size_t)d->nclasses + 1, sizeof *count);
    s->per = calloc((size_t)d->nclasses + 1, sizeof *s->per);
    int rc = count && s->per ? RN_OK : rn_fail(RN_E_NOMEM, "out of memory");
    for (int i = 0; rc == RN_OK && i < d->nval; i++)
        count[d->val_label[i]]++;
    for (int c = 0; rc == RN_OK && c < d->nclasses; c++)
        rc = add_per_class(s, d->synsets[c].wnid, count[c]);
    free(count);
    return rc;
}

static int take_shape(rn_manifest *m, const rn_verify_archive *v, const rn_devkit *d)
{
    rn_shape *s = &m->shape[m->nshapes];
    const char *name = split_name(m, rn_base_name(v->path));
    *s = (rn_shape){.images = -1, .annotations = -1, .classes = -1, .least = -1, .most = -1};
    memcpy(s->name, name, strlen(name) + 1);
    m->nshapes++;
    if (v->images > 0)
        s->images = (int64_t)v->images;
    if (v->annotations > 0)
        s->annotations = (int64_t)v->annotations;
    if (strcmp(name, "val") == 0 && d && (uint64_t)d->nval == v->images)
        return take_val_classes(s, d);
    if (v->classes == 0 || (v->images > 0 && v->annotations > 0)) /* of both, which is counted a class cannot be said */
        return RN_OK;
    s->per = calloc((size_t)v->classes + 1, sizeof *s->per);
    if (!s->per)
        return rn_fail(RN_E_NOMEM, "out of memory");
    uint64_t sum = 0;
    for (int i = 0; i < v->classes; i++) {
        sum += v->count[i].images;
        RN_TRY(add_per_class(s, v->count[i].wnid, (int64_t)v->count[i].images));
    }
    if (sum == (v->images > 0 ? v->images : v->annotations))
        return RN_OK;
    while (s->nper > 0) /* some images belong to no class: then only the range is known */
        free(s->per[--s->nper].name);
    return RN_OK;
}

static int take_archive(rn_manifest *m, const rn_verify_archive *v, const rn_devkit *d)
{
    const char *file = rn_base_name(v->path);
    rn_manifest_archive *a = &m->archive[m->narchives];
    if (strlen(file) > RN_MANIFEST_NAME_MAX || rn_manifest_find(m, file))
        return rn_fail(RN_E_RANGE, "%s: its name is too long for a manifest, or two archives have it", v->path);
    *a = (rn_manifest_archive){.bytes = (int64_t)v->bytes, .split = -1};
    memcpy(a->file, file, strlen(file) + 1);
    memcpy(a->md5, v->md5, sizeof a->md5);
    memcpy(a->sha256, v->sha256_hex, sizeof a->sha256);
    m->narchives++;
    if (v->images == 0 && v->annotations == 0)
        return RN_OK;
    a->split = m->nshapes;
    return take_shape(m, v, d);
}

static int by_known(const void *a, const void *b)
{
    const struct rn_known *x = a, *y = b;
    return x->kind != y->kind ? (x->kind < y->kind ? -1 : 1) : strcmp(x->name, y->name);
}

/* What rn_findings keeps of each kind: more than 200 of one are no oddities any more, and left out as notes they do no
 * harm. */
static int take_known(rn_manifest *m, const rn_verify_archive *v)
{
    for (int i = 0; i < v->found.n; i++) {
        const rn_finding *f = &v->found.row[i];
        const char *name = rn_base_name(f->name);
        if (f->kind < RN_K_PNG || f->level == RN_BAD || strlen(name) > RN_MANIFEST_NAME_MAX)
            continue;
        struct rn_known *more = realloc(m->known, ((size_t)m->nknown + 1) * sizeof *more);
        if (!more)
            return rn_fail(RN_E_NOMEM, "out of memory");
        m->known = more;
        more[m->nknown].kind = f->kind;
        memcpy(more[m->nknown].name, name, strlen(name) + 1);
        m->nknown++;
    }
    return RN_OK;
}

static void sort_known(rn_manifest *m)
{
    int kept = 0;
    if (m->nknown)
        qsort(m->known, (size_t)m->nknown, sizeof *m->known, by_known);
    for (int i = 0; i < m->nknown; i++)
        if (i == 0 || by_known(&m->known[kept - 1], &m->known[i]) != 0)
            m->known[kept++] = m->known[i];
    m->nknown = kept;
}

int rn_verify_manifest(const char *name, const rn_verify_archive *a, int n, const rn_devkit *devkit, rn_manifest **out)
{
    int rc = RN_OK;
    rn_manifest *m = calloc(1, sizeof *m);
    *out = NULL;
    if (!m)
        return rn_fail(RN_E_NOMEM, "out of memory");
    m->name = strdup(name);
    m->from = strdup("what was looked at");
    m->archive = calloc((size_t)n + 1, sizeof *m->archive);
    m->shape = calloc((size_t)n + 1, sizeof *m->shape);
    if (!m->name || !m->from || !m->archive || !m->shape)
        RN_GO(rn_fail(RN_E_NOMEM, "out of memory"));
    for (int i = 0; i < n; i++) {
        RN_GO(take_archive(m, &a[i], devkit));
        RN_GO(take_known(m, &a[i]));
    }
    sort_known(m);
    *out = m;
    m = NULL;
out:
    rn_manifest_close(m);
    return rc;
}
