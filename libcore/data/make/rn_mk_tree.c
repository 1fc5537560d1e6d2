/* SPDX-License-Identifier: MIT */
/* Source: folders of class folders. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "data/image/rn_image.h"
#include "data/make/rn_mk.h"
#include "data/meta/rn_manifest.h"

enum { FILE_MAX = 256 << 20 };

typedef struct tree_set {
    char **path[2]; /* by split and item */
    size_t n[2], cap[2];
} tree_set;

static int add_item(rn_mk_source *s, int split, const char *path, int label)
{
    tree_set *t = s->self;
    if (t->n[split] == t->cap[split]) {
        size_t cap = t->cap[split] ? 2 * t->cap[split] : 1024;
        char **p = realloc(t->path[split], cap * sizeof *p);
        if (p)
            t->path[split] = p;
        int32_t *l = p ? realloc(s->label[split], cap * sizeof *l) : NULL;
        if (!l)
            return rn_fail(RN_E_NOMEM, "%s: out of memory", path);
        s->label[split] = l;
        t->cap[split] = cap;
    }
    char *copy = strdup(path);
    if (!copy)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", path);
    s->label[split][t->n[split]] = label;
    t->path[split][t->n[split]++] = copy;
    s->n[split] = (uint32_t)t->n[split];
    return RN_OK;
}

static int add_class(rn_mk_source *s, int split, const char *dir, const char *class, int label)
{
    struct dirent **names;
    int n, rc;
    char folder[2048], path[4096];
    RN_TRY(rn_path_join(folder, sizeof folder, dir, class));
    if (!rn_is_dir(folder))
        return rn_fail(RN_E_MISMATCH, "%s: no such class folder; train and val must have the same classes", folder);
    RN_TRY(rn_list_folder(AT_FDCWD, folder, &names, &n));
    rc = n > 0 ? RN_OK : rn_fail(RN_E_FORMAT, "%s: no files in it", folder);
    for (int i = 0; i < n && rc == RN_OK; i++) {
        rc = rn_path_join(path, sizeof path, folder, names[i]->d_name);
        if (rc == RN_OK)
            rc = add_item(s, split, path, label);
    }
    rn_free_names(names, n);
    return rc;
}

/* Class folders of the train tree, in the order of their names. */
static int take_classes(rn_mk_source *s, struct dirent **names, int n)
{
    bool wnids = true;
    for (int i = 0; i < n; i++)
        wnids = wnids && rn_is_wnid(names[i]->d_name);
    RN_TRY(rn_mk_alloc_classes(s, n));
    for (int i = 0; i < n; i++) {
        if (wnids)
            memcpy(s->wnid[i], names[i]->d_name, 10);
        char *words = strdup(names[i]->d_name);
        if (!words)
            return rn_fail(RN_E_NOMEM, "out of memory");
        free(s->words[i]);
        s->words[i] = words;
    }
    return RN_OK;
}

static int tree_jpeg(const rn_mk_source *s, int split, uint32_t i, int quality, rn_buf *out)
{
    const tree_set *t = s->self;
    const char *path = t->path[split][i];
    char *data;
    size_t n;
    RN_TRY(rn_read_file(path, FILE_MAX, &data, &n));
    int rc;
    rn_image im = {0};
    if (rn_image_sniff(data, n) == RN_IMG_JPEG) {
        rc = rn_buf_append(out, data, n);
    } else {
        rc = rn_image_decode(data, n, path, &(rn_decode_opts){.strict = true}, &im, NULL);
        if (rc == RN_OK)
            rc = rn_image_encode_jpeg(&im, quality, &out->data, &out->cap, &out->n);
        rn_image_free(&im);
    }
    free(data);
    return rc;
}

static void tree_close(void *self)
{
    tree_set *t = self;
    for (int split = 0; split < 2; split++) {
        for (size_t i = 0; i < t->n[split]; i++)
            free(t->path[split][i]);
        free(t->path[split]);
    }
    free(t);
}

int rn_mk_open_tree(const char *train_dir, const char *val_dir, rn_mk_source *out)
{
    int rc, n = 0;
    struct dirent **names = NULL;
    const char *dir[2] = {train_dir, val_dir};
    memset(out, 0, sizeof *out);
    out->self = calloc(1, sizeof(tree_set));
    if (!out->self)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", train_dir);
    out->close = tree_close;
    out->jpeg = tree_jpeg;
    RN_GO(rn_list_folder(AT_FDCWD, train_dir, &names, &n));
    if (n == 0)
        RN_GO(rn_fail(RN_E_FORMAT, "%s: no class folders in it", train_dir));
    RN_GO(take_classes(out, names, n));
    for (int split = 0; split < 2; split++)
        for (int i = 0; i < n; i++)
            RN_GO(add_class(out, split, dir[split], names[i]->d_name, i));
    snprintf(out->about, sizeof out->about, "folders of class folders, %d classes, %u train and %u val images", n,
             out->n[0], out->n[1]);
    rc = RN_OK;
out:
    rn_free_names(names, n);
    if (rc < 0)
        rn_mk_close(out);
    return rc;
}
