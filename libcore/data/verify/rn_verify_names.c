/* SPDX-License-Identifier: MIT */
#include "data/verify/rn_verify_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_opt.h"
#include "data/meta/rn_devkit.h"
#include "data/meta/rn_manifest.h"
#include "data/pack/rn_inputs.h"

enum { LABEL_MAX = 999999, PATH_MAX_BYTES = 1024 };

/* ---- building -------------------------------------------------------------------------------------------- */

static int add(rn_name_list *l, const char *path, int64_t label)
{
    if (l->n == l->cap) {
        uint32_t cap = l->cap ? 2 * l->cap : 1024;
        rn_listed *more = cap > l->cap ? realloc(l->row, cap * sizeof *more) : NULL;
        if (!more)
            return rn_fail(RN_E_NOMEM, "%s: out of memory", l->from);
        l->row = more;
        l->cap = cap;
    }
    l->row[l->n] = (rn_listed){.path = l->text.n, .label = (int32_t)label, .class = -1};
    RN_TRY(rn_buf_append(&l->text, path, strlen(path) + 1));
    l->folders |= strchr(path, '/') != NULL;
    l->n++;
    return RN_OK;
}

static int add_class(rn_name_list *l, const char *name)
{
    char **more = realloc(l->class, ((size_t)l->nclasses + 1) * sizeof *more);
    if (more)
        l->class = more;
    if (!more || !(more[l->nclasses] = strdup(name)))
        return rn_fail(RN_E_NOMEM, "%s: out of memory", l->from);
    l->nclasses++;
    return RN_OK;
}

const char *rn_name_list_path(const rn_name_list *l, uint32_t i)
{
    return (const char *)l->text.data + l->row[i].path;
}

static int by_path(const void *a, const void *b, void *text)
{
    return strcmp((const char *)text + ((const rn_listed *)a)->path, (const char *)text + ((const rn_listed *)b)->path);
}

static void sort(rn_name_list *l, rn_findings *f)
{
    if (l->n)
        qsort_r(l->row, l->n, sizeof *l->row, by_path, l->text.data);
    for (uint32_t i = 1; i < l->n; i++)
        if (strcmp(rn_name_list_path(l, i - 1), rn_name_list_path(l, i)) == 0)
            rn_findings_add(f, RN_BAD, RN_K_DUPLICATE, rn_name_list_path(l, i), "%s: '%s' is listed twice", l->from,
                            rn_name_list_path(l, i));
}

void rn_name_list_free(rn_name_list *l)
{
    for (int i = 0; i < l->nclasses; i++)
        free(l->class[i]);
    free(l->class);
    free(l->row);
    rn_buf_free(&l->text);
    memset(l, 0, sizeof *l);
}

/* ---- sources --------------------------------------------------------------------------------------------- */

/* "path label", the label after the last blank. */
static int add_line(rn_name_list *l, int number, char *line)
{
    int64_t label;
    char *blank = strrchr(line, ' ');
    if (!blank || blank == line || !blank[1] || rn_parse_i64(blank + 1, 0, LABEL_MAX, &label) < 0)
        return rn_fail(RN_E_FORMAT, "%s:%d: not \"path label\", as Caffe's lists have it", l->from, number);
    *blank = 0;
    if (strlen(line) > PATH_MAX_BYTES)
        return rn_fail(RN_E_FORMAT, "%s:%d: a path of over %d bytes", l->from, number, PATH_MAX_BYTES);
    return add(l, line, label);
}

static int each_line(rn_name_list *l, const char *path, int (*fn)(rn_name_list *, int, char *))
{
    char *text;
    size_t n;
    int number = 0, rc = RN_OK;
    RN_TRY(rn_read_text(path, 0, &text, &n));
    for (char *line = text, *next; rc == RN_OK && line && *line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        line[strcspn(line, "\r")] = 0;
        rc = fn(l, ++number, line);
    }
    free(text);
    return rc;
}

static int add_class_line(rn_name_list *l, int number, char *line)
{
    line[strcspn(line, " ")] = 0; /* synset_words.txt has words after it */
    return *line ? add_class(l, line) : rn_fail(RN_E_FORMAT, "line %d is empty", number);
}

/* The classes in label order, and whether that order is the one of their names. */
static int read_classes(rn_name_list *l, const char *dir, rn_findings *f)
{
    static const char *const names[] = {"synsets.txt", "synset_words.txt"};
    char path[4096];
    for (size_t i = 0; i < 2; i++) {
        RN_TRY(rn_path_join(path, sizeof path, dir, names[i]));
        if (!rn_is_file(path))
            continue;
        int rc = each_line(l, path, add_class_line);
        if (rc < 0)
            return rn_fail_prefix(rc, "%s", path);
        for (int c = 1; c < l->nclasses; c++)
            if (strcmp(l->class[c - 1], l -> class[c]) >= 0)
                rn_findings_add(f, RN_BAD, RN_K_LABEL_ORDER, l->class[c],
                                "%s: %s stands after %s; labels are 0..n-1 over the sorted names", path, l->class[c],
                                l -> class[c - 1]);
        return RN_OK;
    }
    return RN_OK;
}

/* 1: there is such a list. One that cannot be read is a finding: what is to be verified is the folder. */
static int from_list(const char *dir, const char *split, rn_findings *f, rn_name_list *out)
{
    char path[4096];
    RN_TRY(rn_path_join(path, sizeof path, dir, split));
    RN_TRY(strlen(path) + 5 > sizeof path ? rn_fail(RN_E_RANGE, "%s: too long a path", dir) : RN_OK);
    memcpy(path + strlen(path), ".txt", 5);
    if (!rn_is_file(path))
        return 0;
    snprintf(out->from, sizeof out->from, "%s", path);
    int rc = each_line(out, path, add_line);
    if (rc == RN_OK)
        rc = read_classes(out, dir, f);
    if (rc == RN_E_FORMAT || rc == RN_E_IO) {
        rn_findings_add(f, RN_BAD, RN_K_DAMAGED, path, "%s", rn_error_text());
        rn_name_list_free(out);
        return 1;
    }
    return rc < 0 ? rc : 1;
}

static int from_archives(const char *dir, const char *split, rn_name_list *out)
{
    rn_inputs *in = NULL;
    int rc = RN_OK;
    RN_TRY(rn_inputs_open_raw(dir, split, false, &in));
    snprintf(out->from, sizeof out->from, "%s/ILSVRC2012_img_%s.tar", dir, split);
    for (uint32_t i = 0; i < in->n && rc == RN_OK; i++)
        rc = add(out, rn_input_path(in, i), in->input[i].label);
    for (int c = 0; c < in->nclasses && rc == RN_OK; c++)
        rc = add_class(out, in->classes[c].wnid);
    rn_inputs_close(in);
    return rc;
}

/* Names and labels of val need no more than the devkit. */
static int from_devkit(const char *path, rn_name_list *out)
{
    rn_devkit *d = NULL;
    char name[64];
    int rc = RN_OK;
    RN_TRY(rn_devkit_open(path, &d));
    snprintf(out->from, sizeof out->from, "%s", path);
    for (int i = 0; i < d->nval && rc == RN_OK; i++) {
        snprintf(name, sizeof name, "ILSVRC2012_val_%08d.JPEG", i + 1);
        rc = add(out, name, d->val_label[i]);
    }
    for (int c = 0; c < d->nclasses && rc == RN_OK; c++)
        rc = add_class(out, d->synsets[c].wnid);
    rn_devkit_close(d);
    return rc;
}

static int from_numbers(const char *split, int64_t n, rn_name_list *out)
{
    char name[64];
    snprintf(out->from, sizeof out->from, "the manifest");
    for (int64_t i = 1; i <= n; i++) {
        snprintf(name, sizeof name, "ILSVRC2012_%s_%08lld.JPEG", split, (long long)i);
        RN_TRY(add(out, name, -1));
    }
    return RN_OK;
}

static int open_against(const char *dir, const char *split, rn_findings *f, rn_name_list *out)
{
    rn_raw_set raw;
    if (!rn_is_dir(dir))
        return rn_fail(RN_E_NOENT, "%s: no such folder; --against takes one of archives or of lists", dir);
    RN_TRY(rn_raw_find(dir, &raw));
    if (strcmp(split, "train") == 0 ? raw.train[0] : strcmp(split, "val") == 0 && raw.val[0])
        return from_archives(dir, split, out);
    int rc = from_list(dir, split, f, out);
    if (rc == 0 && strcmp(split, "val") == 0 && raw.devkit[0])
        rc = from_devkit(raw.devkit, out);
    return rc < 0 ? rc : RN_OK;
}

int rn_name_list_open(const char *against, const char *own, const char *split, int64_t numbered, rn_findings *f,
                      rn_name_list *out)
{
    int rc = RN_OK;
    memset(out, 0, sizeof *out);
    if (against)
        RN_GO(open_against(against, split, f, out));
    else if (own)
        RN_GO(from_list(own, split, f, out));
    if (!out->from[0] && numbered > 0 && numbered <= 100000000 && strcmp(split, "train") != 0)
        RN_GO(from_numbers(split, numbered, out));
    sort(out, f);
    rc = RN_OK;
out:
    if (rc < 0)
        rn_name_list_free(out);
    return rc;
}

/* ---- questions ------------------------------------------------------------------------------------------- */

static rn_listed *find(const rn_name_list *l, const char *path)
{
    uint32_t lo = 0, hi = l->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int order = strcmp(rn_name_list_path(l, mid), path);
        if (order == 0)
            return &l->row[mid];
        lo = order < 0 ? mid + 1 : lo;
        hi = order < 0 ? hi : mid;
    }
    return NULL;
}

rn_listed *rn_name_list_find(const rn_name_list *l, const char *path)
{
    rn_listed *r = find(l, path);
    return r || l->folders ? r : find(l, rn_base_name(path));
}

void rn_name_list_missing(const rn_name_list *l, const char *where, rn_findings *f)
{
    for (uint32_t i = 0; i < l->n; i++)
        if (!l->row[i].seen)
            rn_findings_add(f, RN_BAD, RN_K_MISSING, rn_name_list_path(l, i), "%s: %s is missing; %s has it", where,
                            rn_name_list_path(l, i), l->from);
}
