/* SPDX-License-Identifier: MIT */
/* DIR/<class>/<file>: the class-folder tree that ilsvrc-extract writes and torchvision's ImageFolder reads. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/rn_error.h"
#include "base/rn_log.h"
#include "data/pack/rn_inputs.h"

typedef int (*entry_fn)(void *arg, const char *name, const struct stat *st, const char *full);

/* Every entry of a folder but hidden ones, links followed, in whatever order the system has them. */
static int each_entry(const char *dir, entry_fn fn, void *arg)
{
    DIR *d = opendir(dir);
    if (!d)
        return rn_fail_errno(errno, "%s", dir);
    int rc = RN_OK;
    for (struct dirent *e; (errno = 0, e = readdir(d)) != NULL;) {
        char full[4096];
        struct stat st;
        if (e->d_name[0] == '.')
            continue;
        RN_GO(rn_path_join(full, sizeof full, dir, e->d_name));
        if (stat(full, &st) != 0)
            RN_GO(rn_fail_errno(errno, "%s", full));
        RN_GO(fn(arg, e->d_name, &st, full));
    }
    if (errno) /* a folder that cannot be read to its end must not pass for a short one */
        rc = rn_fail_errno(errno, "%s", dir);
out:
    closedir(d);
    return rc;
}

typedef struct folder {
    rn_inputs *s;
    const char *name;
    int label;
} folder;

static int on_file(void *arg, const char *name, const struct stat *st, const char *full)
{
    const folder *f = arg;
    char path[4096];
    (void)full;
    if (!S_ISREG(st->st_mode) || !rn_input_is_image(name)) {
        f->s->passed_over++;
        return RN_OK;
    }
    RN_TRY(rn_path_join(path, sizeof path, f->name, name));
    return rn_inputs_add(f->s, path, 0, (uint64_t)st->st_size, f->label);
}

typedef struct names {
    char **v;
    size_t n;
} names;

static int on_folder(void *arg, const char *name, const struct stat *st, const char *full)
{
    static const char *const ours[] = {RN_PACK_STATE, RN_SEAL_FILE};
    names *list = arg;
    if (!S_ISDIR(st->st_mode))
        return RN_OK;
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) { /* a set packed into the tree is no class of it */
        char file[4096];
        RN_TRY(rn_path_join(file, sizeof file, full, ours[i]));
        if (rn_is_file(file))
            return RN_OK;
    }
    char **more = realloc(list->v, (list->n + 1) * sizeof *more);
    if (more)
        list->v = more;
    if (!more || !(list->v[list->n] = strdup(name)))
        return rn_fail(RN_E_NOMEM, "no memory for %zu folder names", list->n);
    list->n++;
    return RN_OK;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool has(const names *list, const char *name)
{
    for (size_t i = 0; i < list->n; i++)
        if (strcasecmp(list->v[i], name) == 0)
            return true;
    return false;
}

/* Packed as they are, "train" and "val" would be classes, and flat images in val all of one label. */
static int refuse_splits(const char *dir, const names *list)
{
    const char *other = has(list, "val") ? "val" : has(list, "test") ? "test" : NULL;
    if (!has(list, "train") || !other)
        return RN_OK;
    return rn_fail(RN_E_USAGE, "%s: holds splits (train, %s), not classes: pack %s/train and so on, each by itself",
                   dir, other, dir);
}

/* Every folder is a class, also an empty one; where a class list lies beside the tree it decides, so that a split that
 * lacks a class is numbered like the others. */
static int name_classes(rn_inputs *s, const char *dir, const names *list)
{
    char up[4096];
    RN_TRY(rn_path_join(up, sizeof up, dir, ".."));
    const char *const places[] = {dir, up, NULL};
    int found = rn_inputs_find_classes(s, places);
    RN_TRY(found);
    for (size_t i = 0; i < list->n; i++) {
        if (!found)
            RN_TRY(rn_inputs_add_class(s, list->v[i], ""));
        else if (rn_inputs_class(s, list->v[i]) < 0)
            return rn_fail(RN_E_MISMATCH, "%s/%s: no class of that name in the class list beside the tree", dir,
                           list->v[i]);
    }
    return RN_OK;
}

/* A class that lost its images shifts no label, but is seldom meant. */
static void tell_empty(const rn_inputs *s, const char *dir)
{
    int empty = 0, first = 0;
    for (int i = s->nclasses - 1; i >= 0; i--)
        if (s->classes[i].records == 0) {
            first = i;
            empty++;
        }
    if (empty)
        rn_warn("%s: %d of %d classes without an image (%s%s)", dir, empty, s->nclasses, s->classes[first].wnid,
                empty > 1 ? " ..." : "");
}

int rn_inputs_open_tree(const char *dir, rn_inputs **out)
{
    rn_inputs *s = NULL;
    names list = {0};
    int rc;
    *out = NULL;
    RN_GO(rn_inputs_new("tree", dir, &s));
    RN_GO(each_entry(dir, on_folder, &list));
    if (list.n == 0)
        RN_GO(rn_fail(RN_E_NOTHING,
                      "%s: no class folder in it; give a tree of <class>/<image>, or a folder of archives "
                      "with --split train|val; flat images need --list FILE --root DIR",
                      dir));
    qsort(list.v, list.n, sizeof *list.v, by_text);
    RN_GO(refuse_splits(dir, &list));
    RN_GO(name_classes(s, dir, &list));
    for (size_t i = 0; i < list.n; i++) {
        char sub[4096];
        folder f = {.s = s, .name = list.v[i], .label = rn_inputs_class(s, list.v[i])};
        RN_GO(rn_path_join(sub, sizeof sub, dir, list.v[i]));
        RN_GO(each_entry(sub, on_file, &f));
    }
    rn_inputs_sort(s);
    if (s->n == 0)
        RN_GO(rn_fail(RN_E_NOTHING,
                      "%s: no image found right in a class folder (%s/%s/<image>); further down none is looked for",
                      dir, dir, list.v[0]));
    RN_GO(rn_inputs_finish(s));
    tell_empty(s, dir);
    *out = s;
    s = NULL;
out:
    for (size_t i = 0; i < list.n; i++)
        free(list.v[i]);
    free(list.v);
    rn_inputs_close(s);
    return rc;
}
