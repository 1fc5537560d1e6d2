/* SPDX-License-Identifier: MIT */
#include "data/rn_findings.h"

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

void rn_findings_add(rn_findings *f, const char *fmt, ...)
{
    va_list ap;
    char *text = NULL;
    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        text = NULL; /* it still counts */
    va_end(ap);
    pthread_mutex_lock(&f->lock);
    f->total++;
    if (text && f->n < RN_FINDINGS_KEPT) {
        f->text[f->n++] = text;
        text = NULL;
    }
    pthread_mutex_unlock(&f->lock);
    free(text);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void rn_findings_sort(rn_findings *f)
{
    qsort(f->text, (size_t)f->n, sizeof f->text[0], by_text);
}

void rn_findings_free(rn_findings *f)
{
    for (int i = 0; i < f->n; i++)
        free(f->text[i]);
    pthread_mutex_destroy(&f->lock);
    memset(f, 0, sizeof *f);
}
