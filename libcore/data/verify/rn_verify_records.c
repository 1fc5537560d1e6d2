/* SPDX-License-Identifier: MIT */
#include "data/verify/rn_verify_records.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "data/verify/rn_verify_labels.h"
#include "data/verify/rn_verify_names.h"
#include "data/verify/rn_verify_shape.h"

typedef struct records {
    const char *path; /* of the set */
    const rn_verify_opts *opts;
    const rn_seal *seal;
    uint32_t n;
    const rn_seen_record *record; /* n, in key order */
    rn_buf texts;                 /* the keys' paths, each with its NUL */
    size_t *at;                   /* n offsets in texts */
    rn_buf names;                 /* class folders' names */
    const char **class;           /* nclasses folders in the order of names */
    int nclasses;
    int32_t *of;       /* n: the folder of each, -1 for none */
    bool part;         /* a shard alone: what is not in it is in another */
    bool labels_known; /* by a list: the folders need not be asked */
    rn_verify_set *set;
} records;

void rn_key_text(const char *key, size_t n, char out[RN_KEY_TEXT_MAX])
{
    size_t at = 0;
    for (size_t i = 0; i < n && at + 5 < RN_KEY_TEXT_MAX; i++) {
        unsigned char c = (unsigned char)key[i];
        if (c >= 0x20 && c != 0x7f)
            out[at++] = key[i];
        else
            at += (size_t)snprintf(out + at, 5, "\\x%02x", c);
    }
    out[at] = 0;
}

/* ---- paths ----------------------------------------------------------------------------------------------- */

static const char *path_of(const records *s, uint32_t i)
{
    return (const char *)s->texts.data + s->at[i];
}

/* "00000012_n01440764/n01440764_10026.JPEG" without its number. */
static int take_paths(records *s)
{
    char text[RN_KEY_TEXT_MAX];
    s->at = calloc((size_t)s->n + 1, sizeof *s->at);
    if (!s->at)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", s->path);
    for (uint32_t i = 0; i < s->n; i++) {
        rn_key_text(s->record[i].key, s->record[i].key_n, text);
        size_t digits = strspn(text, "0123456789");
        const char *path = digits >= 8 && text[digits] == '_' ? text + digits + 1 : text;
        s->at[i] = s->texts.n;
        RN_TRY(rn_buf_append(&s->texts, path, strlen(path) + 1));
    }
    return RN_OK;
}

static int by_path(const void *a, const void *b, void *arg)
{
    const records *s = arg;
    return strcmp(path_of(s, *(const uint32_t *)a), path_of(s, *(const uint32_t *)b));
}

static int find_doubles(records *s)
{
    uint32_t *order = malloc(((size_t)s->n + 1) * sizeof *order);
    if (!order)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", s->path);
    for (uint32_t i = 0; i < s->n; i++)
        order[i] = i;
    qsort_r(order, s->n, sizeof *order, by_path, s);
    for (uint32_t i = 1; i < s->n; i++)
        if (s->record[order[i]].key_n > 0 && strcmp(path_of(s, order[i - 1]), path_of(s, order[i])) == 0)
            rn_findings_add(&s->set->found, RN_BAD, RN_K_DUPLICATE, path_of(s, order[i]), "%s: %s is there twice",
                            s->path, path_of(s, order[i]));
    free(order);
    return RN_OK;
}

/* The folder that holds the file, "" for none. */
static void folder_of(const char *path, char out[RN_KEY_TEXT_MAX])
{
    const char *slash = strrchr(path, '/'), *begin = slash;
    out[0] = 0;
    if (!slash)
        return;
    while (begin > path && begin[-1] != '/')
        begin--;
    snprintf(out, RN_KEY_TEXT_MAX, "%.*s", (int)(slash - begin), begin);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int32_t class_of(const records *s, const char *name)
{
    const char **found = s->nclasses ? bsearch(&name, s->class, (size_t)s->nclasses, sizeof *s->class, by_text) : NULL;
    return found ? (int32_t)(found - s->class) : -1;
}

/* All folders' names, one for each run of records: a set that is not shuffled has few runs, a shuffled one as many as
 * records. */
static int take_folders(records *s)
{
    char folder[RN_KEY_TEXT_MAX], last[RN_KEY_TEXT_MAX] = "";
    size_t runs = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        folder_of(path_of(s, i), folder);
        if (!folder[0] || strcmp(folder, last) == 0)
            continue;
        memcpy(last, folder, sizeof last);
        RN_TRY(rn_buf_append(&s->names, folder, strlen(folder) + 1));
        runs++;
    }
    s->class = calloc(runs + 1, sizeof *s->class);
    s->of = malloc(((size_t)s->n + 1) * sizeof *s->of);
    if (!s->class || !s->of)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", s->path);
    const char *p = (const char *)s->names.data;
    for (size_t i = 0; i < runs; i++, p += strlen(p) + 1)
        s->class[i] = p;
    if (runs)
        qsort(s->class, runs, sizeof *s->class, by_text);
    s->nclasses = 0;
    for (size_t i = 0; i < runs; i++)
        if (i == 0 || strcmp(s->class[s->nclasses - 1], s -> class[i]) != 0)
            s->class[s->nclasses++] = s->class[i];
    for (uint32_t i = 0; i < s->n; i++) {
        folder_of(path_of(s, i), folder);
        s->of[i] = folder[0] && s->record[i].read ? class_of(s, folder) : -1;
    }
    return RN_OK;
}

/* ---- counts ---------------------------------------------------------------------------------------------- */

static int add_class(records *s, const char *name, uint64_t images)
{
    rn_verify_set *set = s->set;
    set->class[set->classes].name = strdup(name);
    if (!set->class[set->classes].name)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", s->path);
    set->class[set->classes++].images = images;
    return RN_OK;
}

/* By label as the seal has them; without a seal by folder. */
static int count_classes(records *s)
{
    int n = s->seal ? s->seal->nclasses : s->nclasses, rc = RN_OK;
    uint64_t *count = calloc((size_t)n + 1, sizeof *count);
    s->set->class = calloc((size_t)n + 1, sizeof *s->set->class);
    if (!count || !s->set->class)
        RN_GO(rn_fail(RN_E_NOMEM, "%s: out of memory", s->path));
    for (uint32_t i = 0; i < s->n; i++) {
        int32_t c = s->seal ? s->record[i].label : s->of[i];
        if (s->record[i].read && c >= 0 && c < n)
            count[c]++;
    }
    for (int c = 0; c < n; c++) {
        const char *name = s->seal ? s->seal->classes[c].wnid : s->class[c];
        RN_GO(add_class(s, name, count[c]));
        if (s->seal && count[c] != s->seal->classes[c].records)
            rn_findings_add(&s->set->found, RN_BAD, RN_K_COUNT, name,
                            "%s: class %s has %llu records, its seal says %llu", s->path, name,
                            (unsigned long long)count[c], (unsigned long long)s->seal->classes[c].records);
    }
out:
    free(count);
    return rc;
}

/* "train" or "val" by the form of the first names, "" for anything else. */
static const char *split_of(const records *s)
{
    if (rn_numbered_name(rn_base_name(path_of(s, 0)), "val") > 0)
        return "val";
    return rn_is_train_name(rn_base_name(path_of(s, 0)), NULL) ? "train" : "";
}

/* ---- labels ---------------------------------------------------------------------------------------------- */

static const char *record_name(const void *arg, uint32_t i)
{
    return path_of(arg, i);
}

static int check_labels(const records *s, const int32_t *of, const char *const *class, int nclasses, bool gaps,
                        enum rn_level level)
{
    int32_t *label = malloc(((size_t)s->n + 1) * sizeof *label);
    if (!label)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", s->path);
    for (uint32_t i = 0; i < s->n; i++)
        label[i] = s->record[i].label;
    int rc = rn_labels_check(&(rn_labelled){.where = s->path,
                                            .class = class,
                                            .nclasses = nclasses,
                                            .n = s->n,
                                            .of = of,
                                            .label = label,
                                            .name = record_name,
                                            .arg = s,
                                            .gaps = gaps,
                                            .level = level},
                             &s->set->found);
    free(label);
    return rc;
}

/* Does the seal name every folder as a class? Then `of` gets their places in the sorted names, `class` (nclasses). */
static bool place_in_seal(const records *s, const char **class, int32_t *of)
{
    records sealed = *s;
    sealed.class = class;
    sealed.nclasses = s->seal->nclasses;
    for (int c = 0; c < sealed.nclasses; c++)
        class[c] = s->seal->classes[c].wnid;
    qsort(class, (size_t)sealed.nclasses, sizeof *class, by_text);
    for (uint32_t i = 0; i < s->n; i++) {
        of[i] = s->of[i] < 0 ? -1 : class_of(&sealed, s->class[s->of[i]]);
        if (s->of[i] >= 0 && of[i] < 0)
            return false;
    }
    return true;
}

/*
 * By folders. The seal may know classes of which no record is here (a shard, or all skipped): then labels are places
 * among its names. Where it does not know the folders (a list without a class file) or is not there, only WNIDs are
 * sure to be classes in order; other folders may be numbered as someone likes.
 */
static int check_by_folders(const records *s)
{
    int rc = RN_OK, sealed = s->seal ? s->seal->nclasses : 0;
    const char **class = calloc((size_t)sealed + 1, sizeof *class);
    int32_t *of = calloc((size_t)s->n + 1, sizeof *of);
    bool wnids = s->nclasses > 1;
    if (!class || !of)
        RN_GO(rn_fail(RN_E_NOMEM, "%s: out of memory", s->path));
    for (int c = 0; c < s->nclasses; c++)
        wnids &= rn_is_wnid(s->class[c]);
    if (s->nclasses == 0)
        goto out;
    if (s->seal && place_in_seal(s, class, of))
        rc = check_labels(s, of, class, sealed, false, RN_BAD);
    else if (wnids)
        rc = check_labels(s, s->of, s->class, s->nclasses, sealed > s->nclasses || !s->seal, RN_BAD);
out:
    free(class);
    free(of);
    return rc;
}

static void check_seal_order(const records *s)
{
    for (int c = 1; s->seal && c < s->seal->nclasses; c++)
        if (strcmp(s->seal->classes[c - 1].wnid, s->seal->classes[c].wnid) >= 0)
            rn_findings_add(&s->set->found, RN_BAD, RN_K_LABEL_ORDER, s->seal->classes[c].wnid,
                            "%s: the seal has class %s after %s; labels are 0..n-1 over the sorted names", s->path,
                            s->seal->classes[c].wnid, s->seal->classes[c - 1].wnid);
}

/* ---- names ----------------------------------------------------------------------------------------------- */

/* What --against lists, and (without it) the numbers of validation images; true labels where the list has them. */
static int check_names(records *s, const rn_name_list *l)
{
    int rc = RN_OK;
    int32_t *of = malloc(((size_t)s->n + 1) * sizeof *of);
    if (!of)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", s->path);
    for (uint32_t i = 0; i < s->n; i++) {
        rn_listed *r = rn_name_list_find(l, path_of(s, i));
        of[i] = r && s->record[i].read && r->label < l->nclasses ? r->label : -1;
        if (s->record[i].key_n == 0) /* it could not be read: told already */
            continue;
        s->labels_known |= of[i] >= 0;
        if (r)
            r->seen = true;
        else
            rn_findings_add(&s->set->found, RN_BAD, RN_K_EXTRA, path_of(s, i), "%s: %s: not in %s", s->path,
                            path_of(s, i), l->from);
    }
    if (!s->seal || (s->seal->skipped == 0 && !s->part)) /* those left out are known, by number at least */
        rn_name_list_missing(l, s->path, &s->set->found);
    if (s->labels_known)
        rc = check_labels(s, of, (const char *const *)l->class, l->nclasses, false, RN_BAD);
    free(of);
    return rc;
}

/* A class list is needed for labels; without one the labels' own numbers are the names. */
static int name_classes(rn_name_list *l)
{
    int32_t most = -1;
    for (uint32_t i = 0; i < l->n; i++)
        most = l->row[i].label > most ? l->row[i].label : most;
    if (l->nclasses > 0 || most < 0)
        return RN_OK;
    l->class = calloc((size_t)most + 2, sizeof *l->class);
    for (int32_t c = 0; l->class && c <= most; c++, l->nclasses++)
        if (asprintf(&l->class[c], "%d", c) < 0)
            break;
    return l->nclasses == most + 1 ? RN_OK : rn_fail(RN_E_NOMEM, "%s: out of memory", l->from);
}

static int compare(records *s)
{
    const char *split = split_of(s);
    rn_verify_set *set = s->set;
    rn_counted c = {.where = s->path, .images = s->n, .nclasses = set->classes, .class = set->class};
    const rn_shape *shape = split[0] && !s->part ? rn_shape_for(s->opts, split, &c) : NULL;
    rn_name_list list = {0};
    int rc = RN_OK;
    if (shape)
        rn_shape_compare(s->opts, shape, &c, s->seal ? s->seal->skipped : 0, &set->found);
    if (split[0])
        RN_GO(rn_name_list_open(s->opts->against, NULL, split, shape ? shape->images : -1, &set->found, &list));
    RN_GO(name_classes(&list));
    if (list.from[0] || shape)
        snprintf(set->against, sizeof set->against, "%.400s%s%s", list.from, list.from[0] && shape ? ", " : "",
                 shape ? "the manifest" : "");
    rc = list.from[0] ? check_names(s, &list) : RN_OK;
out:
    rn_name_list_free(&list);
    return rc;
}

int rn_records_check(const char *path, const rn_verify_opts *opts, const rn_seal *seal, const rn_seen_record *record,
                     uint32_t n, rn_verify_set *out)
{
    int rc;
    records s = {.path = path, .opts = opts, .seal = seal, .n = n, .record = record, .set = out};
    s.part = seal && seal->shard.count > 0;
    RN_GO(take_paths(&s));
    RN_GO(find_doubles(&s));
    RN_GO(take_folders(&s));
    RN_GO(count_classes(&s));
    RN_GO(compare(&s));
    check_seal_order(&s);
    rc = s.labels_known ? RN_OK : check_by_folders(&s);
out:
    rn_buf_free(&s.texts);
    rn_buf_free(&s.names);
    free(s.at);
    free(s.class);
    free(s.of);
    return rc;
}
