/* SPDX-License-Identifier: MIT */
#include "data/meta/rn_findings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const kind_names[RN_NKINDS] = {
    "digest",      "size",      "unreadable", "archive",   "entry",   "name",      "count",       "missing",
    "extra",       "duplicate", "empty",      "truncated", "damaged", "not_image", "unsupported", "label",
    "label_order", "seal",      "unfinished", "png",       "cmyk",    "exif",      "warning",
};

const char *rn_kind_name(enum rn_kind kind)
{
    return kind_names[kind];
}

int rn_oddity_kind(const char *name)
{
    for (int k = RN_K_PNG; k < RN_NKINDS; k++)
        if (strcmp(name, kind_names[k]) == 0)
            return k;
    return -1;
}

void rn_findings_init(rn_findings *f)
{
    memset(f, 0, sizeof *f);
    pthread_mutex_init(&f->lock, NULL);
}

static void free_row(rn_finding *r)
{
    free(r->name);
    free(r->text);
}

/* The place for one more of its kind and level: at the end, or, where 200 are kept, that of the last of them in the
 * order of texts if the new one comes before it. NULL: it is only counted. */
static rn_finding *place(rn_findings *f, const rn_finding *new)
{
    rn_finding *last = NULL;
    if (f->kept[new->kind][new->level] < RN_FINDINGS_KEPT) {
        if (f->n == f->cap) {
            int cap = f->cap ? 2 * f->cap : 16;
            rn_finding *more = realloc(f->row, (size_t)cap * sizeof *more);
            if (!more)
                return NULL;
            f->row = more;
            f->cap = cap;
        }
        f->kept[new->kind][new->level]++;
        return &f->row[f->n++];
    }
    for (int i = 0; i < f->n; i++) {
        rn_finding *r = &f->row[i];
        if (r->kind == new->kind && r->level == new->level && (!last || strcmp(r->text, last->text) > 0))
            last = r;
    }
    if (!last || strcmp(new->text, last->text) >= 0)
        return NULL;
    free_row(last);
    return last;
}

void rn_findings_add(rn_findings *f, enum rn_level level, enum rn_kind kind, const char *name, const char *fmt, ...)
{
    va_list ap;
    rn_finding new = {.kind = kind, .level = level, .name = strdup(name)};
    va_start(ap, fmt);
    if (vasprintf(&new.text, fmt, ap) < 0)
        new.text = NULL; /* it still counts */
    va_end(ap);
    pthread_mutex_lock(&f->lock);
    f->count[kind][level]++;
    rn_finding *to = new.name &&new.text ? place(f, &new) : NULL;
    if (to)
        *to = new;
    pthread_mutex_unlock(&f->lock);
    if (!to)
        free_row(&new);
}

uint64_t rn_findings_total(const rn_findings *f, enum rn_level level)
{
    uint64_t total = 0;
    for (int k = 0; k < RN_NKINDS; k++)
        total += f->count[k][level];
    return total;
}

static int by_text(const void *a, const void *b)
{
    const rn_finding *x = a, *y = b;
    if (x->level != y->level)
        return x->level < y->level ? -1 : 1;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    return strcmp(x->text, y->text);
}

void rn_findings_sort(rn_findings *f)
{
    if (f->n)
        qsort(f->row, (size_t)f->n, sizeof *f->row, by_text);
}

void rn_findings_free(rn_findings *f)
{
    for (int i = 0; i < f->n; i++)
        free_row(&f->row[i]);
    free(f->row);
    pthread_mutex_destroy(&f->lock);
    memset(f, 0, sizeof *f);
}
