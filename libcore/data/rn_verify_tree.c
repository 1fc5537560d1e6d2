/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_pool.h"
#include "base/rn_progress.h"
#include "data/rn_extract.h"
#include "data/rn_extract_state.h"
#include "data/rn_verify.h"
#include "data/rn_verify_image.h"

enum { TASK_FILES = 128, FILE_MAX = 256 << 20 };

typedef struct walker {
    const char *root;
    bool decode;
    rn_pool *pool;
    rn_progress *bar;
    rn_image *scratch; /* one a worker */
    rn_image_counts counts;
    rn_verify_set *set;
} walker;

/* Some files of one folder, each "<folder>/<name>". */
typedef struct task {
    walker *w;
    int n;
    char *path[TASK_FILES];
} task;

static int look(void *arg, int worker)
{
    task *t = arg;
    walker *w = t->w;
    for (int i = 0; i < t->n; i++) {
        char *data;
        size_t n;
        if (rn_read_file(t->path[i], FILE_MAX, &data, &n) < 0) {
            rn_findings_add(&w->set->bad, "%s", rn_error_text());
        } else {
            rn_verify_image((uint8_t *)data, n, t->path[i], w->decode, &w->scratch[worker], &w->counts, w->set);
            free(data);
        }
        free(t->path[i]);
    }
    rn_progress_add(w->bar, (uint64_t)t->n);
    free(t);
    return RN_OK;
}

static int flush(walker *w, task **t)
{
    task *full = *t;
    *t = NULL;
    int rc = full ? rn_pool_submit(w->pool, look, full) : RN_OK;
    if (rc < 0) {
        for (int i = 0; i < full->n; i++)
            free(full->path[i]);
        free(full);
    }
    return rc;
}

static int add_file(walker *w, task **t, const char *path)
{
    if (!*t)
        *t = calloc(1, sizeof **t);
    char *copy = strdup(path);
    if (!*t || !copy) {
        free(copy);
        return rn_fail(RN_E_NOMEM, "%s: out of memory", path);
    }
    (*t)->w = w;
    (*t)->path[(*t)->n++] = copy;
    return (*t)->n == TASK_FILES ? flush(w, t) : RN_OK;
}

/* Queues every file of `dir`; n counts them. */
static int look_through(walker *w, const char *dir, uint64_t *count)
{
    struct dirent **names;
    struct stat st;
    task *t = NULL;
    char path[4096];
    int rc = RN_OK, n;
    RN_TRY(rn_list_folder(AT_FDCWD, dir, &names, &n));
    for (int i = 0; i < n && rc == RN_OK; i++) {
        rc = rn_path_join(path, sizeof path, dir, names[i]->d_name);
        if (rc < 0)
            break;
        if (lstat(path, &st) < 0 || !S_ISREG(st.st_mode)) {
            rn_findings_add(&w->set->bad, "%s: not a file", path);
            continue;
        }
        rc = add_file(w, &t, path);
        ++*count;
    }
    int rest = flush(w, &t);
    rn_free_names(names, n);
    return rc < 0 ? rc : rest;
}

static int add_class(walker *w, const char *name, uint64_t images)
{
    rn_verify_set *s = w->set;
    struct rn_verify_class *c = realloc(s->class, ((size_t)s->classes + 1) * sizeof *c);
    if (!c)
        return rn_fail(RN_E_NOMEM, "out of memory");
    s->class = c;
    snprintf(c[s->classes].name, sizeof c->name, "%s", name);
    c[s->classes++].images = images;
    if (images == 0)
        rn_findings_add(&s->bad, "%s: class %s has no images", w->root, name);
    return RN_OK;
}

/* A folder of class folders, or (test) of images. */
static int look_at_split(walker *w, const char *dir, const char *label, bool flat, uint64_t *images)
{
    struct dirent **names;
    char path[4096], name[64];
    int rc = RN_OK, n;
    if (flat)
        return look_through(w, dir, images);
    RN_TRY(rn_list_folder(AT_FDCWD, dir, &names, &n));
    for (int i = 0; i < n && rc == RN_OK; i++) {
        uint64_t count = 0;
        rc = rn_path_join(path, sizeof path, dir, names[i]->d_name);
        if (rc < 0)
            break;
        if (!rn_is_dir(path)) {
            rn_findings_add(&w->set->notes, "%s: not a class folder", path);
            continue;
        }
        rc = look_through(w, path, &count);
        snprintf(name, sizeof name, "%s%.50s", label, names[i]->d_name);
        if (rc == RN_OK)
            rc = add_class(w, name, count);
        *images += count;
    }
    rn_free_names(names, n);
    return rc;
}

/* What ilsvrc-extract noted of the split; `there`: its folder is in place. Trees made by others have no note. */
static void compare_state(walker *w, enum rn_split split, bool there, uint64_t images)
{
    char path[2048], name[32];
    rn_split_state st = {0};
    snprintf(name, sizeof name, ".rnkit/%s.json", rn_split_names[split]);
    int rc = rn_path_join(path, sizeof path, w->root, name);
    if (rc == RN_OK)
        rc = rn_state_read(path, &st);
    if (rc == RN_E_NOENT || (rc == RN_OK && st.whole && !there)) /* a split moved elsewhere is no damage */
        return;
    if (rc < 0)
        rn_findings_add(&w->set->bad, "%s", rn_error_text());
    else if (!st.whole)
        rn_findings_add(&w->set->bad, "%s/%s: its extraction is unfinished; run ilsvrc-extract again", w->root,
                        rn_split_names[split]);
    else if (st.images != images)
        rn_findings_add(&w->set->bad, "%s/%s: has %llu images, %llu were extracted", w->root, rn_split_names[split],
                        (unsigned long long)images, (unsigned long long)st.images);
}

static int look_at_all(walker *w)
{
    char path[2048], label[16];
    bool any = false;
    uint64_t images = 0;
    for (int s = 0; s < RN_NSPLITS; s++) {
        RN_TRY(rn_path_join(path, sizeof path, w->root, rn_split_names[s]));
        bool there = rn_is_dir(path);
        images = 0;
        if (!there) {
            compare_state(w, (enum rn_split)s, there, images);
            continue;
        }
        any = true;
        snprintf(label, sizeof label, "%s/", rn_split_names[s]);
        RN_TRY(look_at_split(w, path, label, s == RN_SPLIT_TEST, &images));
        compare_state(w, (enum rn_split)s, there, images);
    }
    return any ? RN_OK : look_at_split(w, w->root, "", false, &images);
}

int rn_verify_tree(const char *dir, bool decode, int jobs, rn_verify_set *out)
{
    int rc;
    walker w = {.root = dir, .decode = decode, .set = out};
    memset(out, 0, sizeof *out);
    rn_findings_init(&out->bad);
    rn_findings_init(&out->notes);
    if (!rn_is_dir(dir))
        return rn_fail(RN_E_NOENT, "%s: no such folder", dir);
    w.scratch = calloc((size_t)jobs, sizeof *w.scratch);
    if (!w.scratch)
        return rn_fail(RN_E_NOMEM, "out of memory");
    RN_GO(rn_pool_open(jobs, 2 * jobs, &w.pool));
    w.bar = rn_progress_start(decode ? "decode" : "look", "images", RN_UNIT_ITEMS, 0);
    rc = look_at_all(&w);
    int waited = rn_pool_wait(w.pool);
    rn_progress_done(w.bar);
    rn_verify_take_counts(&w.counts, out);
    if (rc == RN_OK)
        rc = waited;
    if (rc == RN_OK && out->images == 0)
        rc = rn_fail(RN_E_NOTHING, "%s: no images in it (it needs class folders, or train/, val/ or test/)", dir);
out:
    rn_pool_close(w.pool);
    for (int i = 0; i < jobs; i++)
        rn_image_free(&w.scratch[i]);
    free(w.scratch);
    return rc;
}
