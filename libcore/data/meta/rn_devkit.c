/* SPDX-License-Identifier: MIT */
#include "data/meta/rn_devkit.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "data/archive/rn_archive.h"
#include "data/meta/rn_manifest.h"
#include "data/meta/rn_mat.h"

#define META  "data/meta.mat"
#define TRUTH "data/ILSVRC2012_validation_ground_truth.txt"

enum { MEMBER_MAX = 64 << 20 };

/* ---- the two members --------------------------------------------------------------------------------------- */

typedef struct member {
    const char *tail; /* path below the kit's root folder */
    uint8_t *data;
    size_t n;
} member;

/* "ROOT/tail" for any one root, or "tail" itself. */
static bool is_member(const char *name, const char *tail)
{
    const char *slash = strchr(name, '/');
    return strcmp(name, tail) == 0 || (slash && strcmp(slash + 1, tail) == 0);
}

static int read_member(rn_archive *a, const rn_archive_entry *e, const char *path, member *m)
{
    if (m->data)
        return rn_fail(RN_E_FORMAT, "%s: holds %s twice", path, m->tail);
    if (e->size > MEMBER_MAX)
        return rn_fail(RN_E_FORMAT, "%s: %s claims %llu bytes", path, m->tail, (unsigned long long)e->size);
    m->n = (size_t)e->size;
    m->data = malloc(m->n + 1);
    if (!m->data)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", path);
    m->data[m->n] = 0;
    return rn_archive_read(a, m->data, m->n);
}

static int read_members(const char *path, member m[2])
{
    int rc;
    rn_archive *a;
    rn_archive_entry e;
    RN_TRY(rn_archive_open(path, &(rn_archive_opts){.digest = -1}, &a));
    while ((rc = rn_archive_next(a, &e)) > 0)
        for (int i = 0; i < 2; i++)
            if (is_member(e.name, m[i].tail))
                RN_GO(read_member(a, &e, path, &m[i]));
    for (int i = 0; i < 2 && rc == 0; i++)
        if (!m[i].data)
            rc = rn_fail(RN_E_FORMAT, "%s: has no %s; is this ILSVRC2012_devkit_t12.tar.gz?", path, m[i].tail);
out:
    rn_archive_close(a);
    return rc;
}

/* ---- classes ----------------------------------------------------------------------------------------------- */

static int by_wnid(const void *a, const void *b)
{
    return strcmp(((const rn_synset *)a)->wnid, ((const rn_synset *)b)->wnid);
}

static int take_leaf(const rn_mat_synset *row, int nleaves, const char *name, rn_synset *out)
{
    if (!rn_is_wnid(row->wnid))
        return rn_fail(RN_E_FORMAT, "%s: '%.40s' is not a WNID (n and eight digits)", name, row->wnid);
    if (!(row->id >= 1 && row->id <= nleaves) || row->id != (int)row->id)
        return rn_fail(RN_E_FORMAT, "%s: class %s has id %g; %d leaf classes need ids 1..%d", name, row->wnid, row->id,
                       nleaves, nleaves);
    if (!(row->num_train >= -1 && row->num_train <= 1e9) || row->num_train != (int)row->num_train)
        return rn_fail(RN_E_FORMAT, "%s: class %s claims %g training images", name, row->wnid, row->num_train);
    snprintf(out->wnid, sizeof out->wnid, "%s", row->wnid);
    out->ilsvrc_id = (int)row->id;
    out->num_train = (int)row->num_train;
    out->words = strdup(row->words);
    return out->words ? RN_OK : rn_fail(RN_E_NOMEM, "%s: out of memory", name);
}

/* Keeps the leaves, sorts them by WNID, and gives label_of[id] for ids 1..nclasses. */
static int take_classes(rn_devkit *d, const rn_mat_synset *rows, int nrows, const char *name, int **label_of)
{
    int n = 0, k = 0;
    for (int i = 0; i < nrows; i++)
        n += rows[i].num_children == 0;
    if (n == 0)
        return rn_fail(RN_E_FORMAT, "%s: none of its %d synsets is a leaf (num_children == 0)", name, nrows);
    d->synsets = calloc((size_t)n, sizeof *d->synsets);
    *label_of = malloc(((size_t)n + 1) * sizeof **label_of);
    if (!d->synsets || !*label_of)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", name);
    d->nclasses = n;
    for (int i = 0; i < nrows; i++)
        if (rows[i].num_children == 0)
            RN_TRY(take_leaf(&rows[i], n, name, &d->synsets[k++]));
    qsort(d->synsets, (size_t)n, sizeof *d->synsets, by_wnid);
    for (int i = 0; i <= n; i++)
        (*label_of)[i] = -1;
    for (int i = 0; i < n; i++) {
        const rn_synset *s = &d->synsets[i];
        if (i > 0 && strcmp(s->wnid, s[-1].wnid) == 0)
            return rn_fail(RN_E_FORMAT, "%s: holds class %s twice", name, s->wnid);
        if ((*label_of)[s->ilsvrc_id] >= 0)
            return rn_fail(RN_E_FORMAT, "%s: classes %s and %s have the same id %d", name,
                           d->synsets[(*label_of)[s->ilsvrc_id]].wnid, s->wnid, s->ilsvrc_id);
        (*label_of)[s->ilsvrc_id] = i;
    }
    return RN_OK;
}

/* ---- ground truth ------------------------------------------------------------------------------------------ */

static int take_truth(rn_devkit *d, const member *m, const int *label_of, const char *name)
{
    int lines = 0;
    const char *p = (const char *)m->data, *end = p + m->n;
    for (const char *q = p; q < end; q++)
        lines += *q == '\n';
    lines += m->n > 0 && end[-1] != '\n';
    if (lines == 0)
        return rn_fail(RN_E_FORMAT, "%s: empty", name);
    d->val_label = malloc((size_t)lines * sizeof *d->val_label);
    if (!d->val_label)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", name);
    for (d->nval = 0; d->nval < lines; d->nval++) {
        const char *eol = memchr(p, '\n', (size_t)(end - p));
        size_t n = (size_t)((eol ? eol : end) - p);
        long id = 0;
        if (n > 0 && p[n - 1] == '\r')
            n--;
        if (n == 0 || n > 9)
            id = -1;
        for (size_t i = 0; i < n && id >= 0; i++)
            id = isdigit((unsigned char)p[i]) ? id * 10 + (p[i] - '0') : -1;
        if (id < 1 || id > d->nclasses)
            return rn_fail(RN_E_FORMAT, "%s:%d: '%.*s' is not a class id (1..%d)", name, d->nval + 1,
                           (int)(n < 20 ? n : 20), p, d->nclasses);
        d->val_label[d->nval] = label_of[id];
        p = eol ? eol + 1 : end;
    }
    return RN_OK;
}

/* ---- the kit ----------------------------------------------------------------------------------------------- */

int rn_devkit_open(const char *path, rn_devkit **out)
{
    int rc, nrows = 0;
    member m[2] = {{.tail = META}, {.tail = TRUTH}};
    rn_mat_synset *rows = NULL;
    int *label_of = NULL;
    char meta[1200], truth[1200];
    *out = NULL;
    rn_devkit *d = calloc(1, sizeof *d);
    if (!d)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", path);
    snprintf(meta, sizeof meta, "%s: " META, path);
    snprintf(truth, sizeof truth, "%s: " TRUTH, path);
    RN_GO(read_members(path, m));
    RN_GO(rn_mat_read_synsets(m[0].data, m[0].n, meta, &rows, &nrows));
    RN_GO(take_classes(d, rows, nrows, meta, &label_of));
    RN_GO(take_truth(d, &m[1], label_of, truth));
    *out = d;
    d = NULL;
out:
    rn_devkit_close(d);
    rn_mat_free_synsets(rows, nrows);
    free(label_of);
    free(m[0].data);
    free(m[1].data);
    return rc;
}

void rn_devkit_close(rn_devkit *d)
{
    if (!d)
        return;
    for (int i = 0; d->synsets && i < d->nclasses; i++)
        free(d->synsets[i].words);
    free(d->synsets);
    free(d->val_label);
    free(d);
}

int rn_devkit_label(const rn_devkit *d, const char *wnid)
{
    int lo = 0, hi = d->nclasses - 1;
    while (lo <= hi) {
        int mid = lo + (hi - lo) / 2, order = strcmp(wnid, d->synsets[mid].wnid);
        if (order == 0)
            return mid;
        if (order < 0)
            hi = mid - 1;
        else
            lo = mid + 1;
    }
    return -1;
}

int rn_devkit_val_label(const rn_devkit *d, const char *name)
{
    static const char prefix[] = "ILSVRC2012_val_";
    const char *slash = strrchr(name, '/');
    const char *p = slash ? slash + 1 : name;
    long number = 0;
    if (strncmp(p, prefix, sizeof prefix - 1) != 0)
        return -1;
    p += sizeof prefix - 1;
    for (int i = 0; i < 8; i++, p++) {
        if (!isdigit((unsigned char)*p))
            return -1;
        number = number * 10 + (*p - '0');
    }
    if (isalnum((unsigned char)*p) || number < 1 || number > d->nval)
        return -1;
    return d->val_label[number - 1];
}
