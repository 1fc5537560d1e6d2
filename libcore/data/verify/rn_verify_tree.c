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
#include "data/extract/rn_extract.h"
#include "data/verify/rn_verify.h"
#include "data/verify/rn_verify_image.h"
#include "data/verify/rn_verify_labels.h"
#include "data/verify/rn_verify_names.h"
#include "data/verify/rn_verify_shape.h"
#include "data/verify/rn_verify_state.h"

enum { TASK_FILES = 128, FILE_MAX = 256 << 20, NUMBERS_MAX = 99999999 };

typedef struct walker {
    const char *root;
    const rn_verify_opts *opts;
    rn_image_check check;
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

/* One split's folder; or the root itself, which then holds class folders. */
typedef struct split {
    walker *w;
    const char *dir;    /* "tree/train" */
    const char *name;   /* "train", "val", "test"; "" when it cannot be told */
    const char *prefix; /* of its classes in the report: "train/" */
    rn_name_list list;  /* of what should be there */
    int first;          /* of its classes in the set */
    uint64_t images;
    uint64_t numbered; /* of them, by names as ILSVRC2012's val and test have; */
    rn_buf numbers;    /* without a list: a byte for each number seen */
} split;

static int look(void *arg, int worker)
{
    task *t = arg;
    walker *w = t->w;
    for (int i = 0; i < t->n; i++) {
        char *data;
        size_t n;
        if (rn_read_file(t->path[i], FILE_MAX, &data, &n) < 0) {
            rn_findings_add(&w->set->found, RN_BAD, RN_K_UNREADABLE, t->path[i], "%s", rn_error_text());
            w->counts.images++;
        } else {
            rn_verify_image(&w->check, (uint8_t *)data, n, t->path[i], &w->scratch[worker]);
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

/* Without a list the numbers in names are all there is to say what is missing. */
static void note_number(split *s, const char *name)
{
    int k = rn_numbered_name(name, s->name);
    if (k < 1 || k > NUMBERS_MAX || rn_buf_reserve(&s->numbers, (size_t)k + 1) < 0)
        return;
    if ((size_t)k >= s->numbers.n) {
        memset(s->numbers.data + s->numbers.n, 0, (size_t)k + 1 - s->numbers.n);
        s->numbers.n = (size_t)k + 1;
    }
    s->numbers.data[k] = 1;
    s->numbered++;
}

/* A split that the built-in manifest's counts fit, and whose names are all numbers, lacks those between. */
static void find_gaps(split *s, int64_t want)
{
    char name[64];
    if (s->list.from[0] || s->numbered != s->images || s->numbered < (uint64_t)want / 10 * 9)
        return;
    for (int64_t k = 1; k <= want; k++) {
        if ((size_t)k < s->numbers.n && s->numbers.data[k])
            continue;
        snprintf(name, sizeof name, "ILSVRC2012_%s_%08lld.JPEG", s->name, (long long)k);
        rn_findings_add(&s->w->set->found, RN_BAD, RN_K_MISSING, name, "%s: %s is missing", s->dir, name);
    }
}

/* Is a file listed? `class` is the folder's index among the split's classes, -1 without folders. */
static void look_up(split *s, const char *folder, const char *name, int class)
{
    char path[1024];
    if (!s->list.from[0]) {
        note_number(s, name);
        return;
    }
    snprintf(path, sizeof path, "%s%s%s", folder, *folder ? "/" : "", name);
    rn_listed *r = rn_name_list_find(&s->list, path);
    if (!r) {
        rn_findings_add(&s->w->set->found, RN_BAD, RN_K_EXTRA, path, "%s/%s: not in %s", s->dir, path, s->list.from);
        return;
    }
    if (r->seen)
        rn_findings_add(&s->w->set->found, RN_BAD, RN_K_DUPLICATE, path, "%s/%s: there twice", s->dir, path);
    r->seen = true;
    r->class = class;
}

/* Queues every file of `dir`; n counts them. */
static int look_through(split *s, const char *dir, const char *folder, int class, uint64_t *count)
{
    walker *w = s->w;
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
            rn_findings_add(&w->set->found, RN_BAD, RN_K_ENTRY, path, "%s: not a file", path);
            continue;
        }
        look_up(s, folder, names[i]->d_name, class);
        rc = add_file(w, &t, path);
        ++*count;
    }
    int rest = flush(w, &t);
    rn_free_names(names, n);
    return rc < 0 ? rc : rest;
}

static int add_class(split *s, const char *name, uint64_t images)
{
    rn_verify_set *set = s->w->set;
    struct rn_verify_class *c = realloc(set->class, ((size_t)set->classes + 1) * sizeof *c);
    if (c)
        set->class = c;
    if (!c || asprintf(&c[set->classes].name, "%s%s", s->prefix, name) < 0)
        return rn_fail(RN_E_NOMEM, "out of memory");
    c[set->classes++].images = images;
    if (images == 0)
        rn_findings_add(&set->found, RN_BAD, RN_K_EMPTY, c[set->classes - 1].name, "%s: class %s has no images",
                        s->w->root, c[set->classes - 1].name);
    return RN_OK;
}

/* A folder of class folders, or (test) of images. */
static int look_at_folders(split *s)
{
    walker *w = s->w;
    struct dirent **names;
    char path[4096];
    int rc = RN_OK, n, class = 0;
    if (strcmp(s->name, "test") == 0)
        return look_through(s, s->dir, "", -1, &s->images);
    RN_TRY(rn_list_folder(AT_FDCWD, s->dir, &names, &n));
    for (int i = 0; i < n && rc == RN_OK; i++) {
        uint64_t count = 0;
        rc = rn_path_join(path, sizeof path, s->dir, names[i]->d_name);
        if (rc < 0)
            break;
        if (!rn_is_dir(path)) {
            rn_findings_add(&w->set->found, RN_NOTE, RN_K_ENTRY, path, "%s: not a class folder", path);
            continue;
        }
        rc = look_through(s, path, names[i]->d_name, class ++, &count);
        if (rc == RN_OK)
            rc = add_class(s, names[i]->d_name, count);
        s->images += count;
    }
    rn_free_names(names, n);
    return rc;
}

/* ---- against what should be there ------------------------------------------------------------------------ */

static const char *listed_name(const void *arg, uint32_t i)
{
    return rn_name_list_path(arg, i);
}

/* Labels of the list against the folders that its images lie in. */
static int compare_labels(split *s)
{
    int rc;
    rn_name_list *l = &s->list;
    rn_verify_set *set = s->w->set;
    int n = set->classes - s->first;
    const char **class = calloc((size_t)n + 1, sizeof *class);
    int32_t *of = calloc((size_t)l->n + 1, sizeof *of), *label = calloc((size_t)l->n + 1, sizeof *label);
    if (!class || !of || !label) {
        rc = rn_fail(RN_E_NOMEM, "%s: out of memory", s->dir);
        goto out;
    }
    for (int i = 0; i < n; i++)
        class[i] = set->class[s->first + i].name + strlen(s->prefix);
    for (uint32_t i = 0; i < l->n; i++) {
        of[i] = l->row[i].label < 0 ? -1 : l->row[i].class;
        label[i] = l->row[i].label;
    }
    rc = rn_labels_check(&(rn_labelled){.where = l->from,
                                        .class = class,
                                        .nclasses = n,
                                        .n = l->n,
                                        .of = of,
                                        .label = label,
                                        .name = listed_name,
                                        .arg = l,
                                        .level = RN_BAD},
                         &set->found);
out:
    free(class);
    free(of);
    free(label);
    return rc;
}

/* Classes that the lists name and that have no folder: with one of them gone, all labels above it would shift. */
static bool classes_agree(split *s)
{
    rn_verify_set *set = s->w->set;
    bool agree = true;
    for (int i = s->first, j = 0; j < s->list.nclasses;) {
        int order = i == set->classes ? 1 : strcmp(set->class[i].name + strlen(s->prefix), s->list.class[j]);
        agree &= order == 0;
        if (order > 0)
            rn_findings_add(&set->found, RN_BAD, RN_K_MISSING, s->list.class[j], "%s: class %s is missing; %s has it",
                            s->dir, s->list.class[j], s -> list.from);
        i += order <= 0;
        j += order >= 0;
    }
    return agree && (s->list.nclasses == 0 || s->list.nclasses == set->classes - s->first);
}

static void held_against(rn_verify_set *set, const char *what)
{
    size_t at = strlen(set->against);
    if (!strstr(set->against, what))
        snprintf(set->against + at, sizeof set->against - at, "%s%s", at ? ", " : "", what);
}

static int compare(split *s)
{
    rn_verify_set *set = s->w->set;
    rn_counted c = {.where = s->dir,
                    .images = s->images,
                    .nclasses = set->classes - s->first,
                    .class = set->class + s->first,
                    .prefix = strlen(s->prefix)};
    const rn_shape *shape = rn_shape_for(s->w->opts, s->name, &c);
    if (shape)
        rn_shape_compare(s->w->opts, shape, &c, 0, &set->found);
    if (shape && shape->images > 0)
        find_gaps(s, shape->images);
    if (s->list.from[0])
        held_against(set, s->list.from);
    if (shape)
        held_against(set, "the manifest");
    if (!s->list.from[0])
        return RN_OK;
    rn_name_list_missing(&s->list, s->dir, &set->found);
    return classes_agree(s) && c.nclasses > 0 ? compare_labels(s) : RN_OK;
}

/* ---- all of it ------------------------------------------------------------------------------------------- */

static int look_at_split(walker *w, const char *dir, const char *own, const char *name, const char *prefix,
                         uint64_t *images)
{
    split s = {.w = w, .dir = dir, .name = name, .prefix = prefix, .first = w->set->classes};
    const rn_manifest *m = w->opts->manifest;
    const rn_shape *shape = rn_manifest_shape(m, name);
    if (name[0])
        RN_TRY(rn_name_list_open(w->opts->against, own, name, shape ? shape->images : -1, &w->set->found, &s.list));
    int rc = look_at_folders(&s);
    if (rc == RN_OK)
        rc = compare(&s);
    rn_name_list_free(&s.list);
    rn_buf_free(&s.numbers);
    *images = s.images;
    return rc;
}

/* The root is a split's own folder, "tree/train": lists then lie beside it. */
static int look_at_root(walker *w)
{
    char *real = realpath(w->root, NULL), parent[4096];
    uint64_t images;
    if (!real)
        return rn_fail(RN_E_NOENT, "%s: no such folder", w->root);
    char *slash = strrchr(real, '/');
    const char *name = "";
    for (int s = 0; s < RN_NSPLITS; s++)
        if (strcmp(slash + 1, rn_split_names[s]) == 0)
            name = rn_split_names[s];
    snprintf(parent, sizeof parent, "%.*s", (int)(slash - real), real);
    int rc = look_at_split(w, w->root, *name ? parent : NULL, name, "", &images);
    free(real);
    return rc;
}

static int look_at_all(walker *w)
{
    char path[2048], prefix[16];
    bool any = false;
    for (int s = 0; s < RN_NSPLITS; s++) {
        RN_TRY(rn_path_join(path, sizeof path, w->root, rn_split_names[s]));
        bool there = rn_is_dir(path);
        uint64_t images = 0;
        if (there) {
            any = true;
            snprintf(prefix, sizeof prefix, "%s/", rn_split_names[s]);
            RN_TRY(look_at_split(w, path, w->root, rn_split_names[s], prefix, &images));
        }
        rn_verify_state(w->root, (enum rn_split)s, there, images, &w->set->found);
    }
    RN_TRY(rn_verify_boxes(w->root, &w->set->found));
    return any ? RN_OK : look_at_root(w);
}

int rn_verify_tree(const char *dir, const rn_verify_opts *opts, rn_verify_set *out)
{
    int rc, jobs = opts->jobs;
    walker w = {.root = dir, .opts = opts, .set = out};
    memset(out, 0, sizeof *out);
    rn_findings_init(&out->found);
    w.check = (rn_image_check){.decode = opts->decode,
                               .manifest = opts->manifest ? opts->manifest : rn_manifest_builtin(),
                               .found = &out->found,
                               .counts = &w.counts};
    if (!rn_is_dir(dir))
        return rn_fail(RN_E_NOENT, "%s: no such folder", dir);
    w.scratch = calloc((size_t)jobs, sizeof *w.scratch);
    if (!w.scratch)
        return rn_fail(RN_E_NOMEM, "out of memory");
    RN_GO(rn_pool_open(jobs, 2 * jobs, &w.pool));
    w.bar = rn_progress_start(opts->decode ? "decode" : "look", "images", RN_UNIT_ITEMS, 0);
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
