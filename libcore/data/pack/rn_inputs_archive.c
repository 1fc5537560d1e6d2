/* SPDX-License-Identifier: MIT */
/* One archive of class folders, as most data sets are published, or of CIFAR's binary form. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_progress.h"
#include "data/archive/rn_archive.h"
#include "data/image/rn_image.h"
#include "data/meta/rn_manifest.h"
#include "data/pack/rn_inputs_cifar.h"

typedef struct walk {
    rn_inputs *s;
    rn_archive *a;
    const char *split; /* NULL: none asked for */
    rn_spool spool;    /* fd -1 until something has to be unpacked */
    rn_cifar cifar;
    bool plain, seen_train, seen_val;
    char used[16]; /* the name under which the split was found */
} walk;

/* ---- the nameless file ---- */

static int spool_open(rn_spool *sp, const char *dir)
{
    char name[4096];
    if (sp->fd >= 0)
        return RN_OK;
    sp->fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (sp->fd < 0) { /* a file system that has no such files */
        RN_TRY(rn_path_join(name, sizeof name, dir, ".unpacked-XXXXXX"));
        sp->fd = mkostemp(name, O_CLOEXEC);
        if (sp->fd >= 0)
            (void)unlink(name);
    }
    return sp->fd >= 0 ? RN_OK : rn_fail_errno(errno, "%s: cannot make a file to unpack into", dir);
}

int rn_spool_add(rn_spool *sp, const void *data, size_t n)
{
    RN_TRY(spool_open(sp, sp->dir));
    RN_TRY(rn_write_all(sp->fd, data, n, "the file that the archive is unpacked into"));
    sp->at += n;
    return RN_OK;
}

static int spool_entry(walk *w)
{
    const void *block;
    int64_t n;
    while ((n = rn_archive_read_block(w->a, &block)) > 0)
        RN_TRY(rn_spool_add(&w->spool, block, (size_t)n));
    return (int)n;
}

/* ---- class folders ---- */

/* What a folder's name says: 't', 'v' (train, val), or 0. */
static char split_of(const char *name, size_t n)
{
    static const char *const vals[] = {"val", "test", "validation"};
    if (n == 5 && strncasecmp(name, "train", n) == 0)
        return 't';
    for (size_t i = 0; i < sizeof vals / sizeof *vals; i++)
        if (n == strlen(vals[i]) && strncasecmp(name, vals[i], n) == 0)
            return 'v';
    return 0;
}

/* Whether a member under `name` belongs to what is asked for; *split: the split that its folders name, or 0. */
static bool wanted(walk *w, const char *name, const char *class)
{
    const char *found = NULL;
    size_t n = 0;
    for (const char *p = name; p < class; p += strcspn(p, "/") + 1)
        if (split_of(p, strcspn(p, "/"))) {
            found = p;
            n = strcspn(p, "/");
        }
    char is = found ? split_of(found, n) : 0;
    w->seen_train |= is == 't';
    w->seen_val |= is == 'v';
    if (!w->split)
        return true;
    if (!is || is != (strcmp(w->split, "train") == 0 ? 't' : 'v'))
        return false;
    if (w->used[0] && (strlen(w->used) != n || strncmp(w->used, found, n) != 0)) {
        /* "val" beats "test" in whichever order they come: what was taken of the other is dropped */
        bool better = n == 3 && strncasecmp(found, "val", 3) == 0;
        if (!better)
            return false;
        w->s->n = 0;
        w->s->paths.n = 0;
    }
    snprintf(w->used, sizeof w->used, "%.*s", (int)n, found);
    return true;
}

static int on_member(walk *w, const rn_archive_entry *e)
{
    const char *file = strrchr(e->name, '/');
    if (!file || !rn_input_is_image(e->name)) {
        w->s->passed_over++;
        return RN_OK;
    }
    const char *class = file;
    while (class > e->name && class[-1] != '/')
        class --;
    if (!wanted(w, e->name, class))
        return RN_OK;
    uint64_t at = w->plain ? e->data : w->spool.at;
    RN_TRY(rn_inputs_add(w->s, class, at, e->size, 0)); /* labels come when all classes are known */
    return w->plain ? RN_OK : spool_entry(w);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const rn_seal_class *)a)->wnid, ((const rn_seal_class *)b)->wnid);
}

/* Classes are the folders' names, sorted; a list of classes beside the archive decides where there is one. */
static int label_folders(rn_inputs *s, const char *path)
{
    char dir[4096], class[RN_INPUT_PATH_MAX + 1];
    const char *slash = strrchr(path, '/');
    snprintf(dir, sizeof dir, "%.*s", slash ? (int)(slash - path + 1) : 2, slash ? path : "./");
    const char *const places[] = {dir, NULL};
    int found = rn_inputs_find_classes(s, places);
    RN_TRY(found);
    rn_inputs_sort(s);
    for (uint32_t i = 0; i < s->n && !found; i++) {
        const char *p = rn_input_path(s, i);
        snprintf(class, sizeof class, "%.*s", (int)strcspn(p, "/"), p);
        if (!s->nclasses || strcmp(s->classes[s->nclasses - 1].wnid, class) != 0)
            RN_TRY(rn_inputs_add_class(s, class, ""));
    }
    /* "a-b/x" sorts before "a/x", but class "a" before "a-b" */
    if (!found && s->nclasses)
        qsort(s->classes, (size_t)s->nclasses, sizeof *s->classes, by_name);
    for (uint32_t i = 0; i < s->n; i++) {
        const char *p = rn_input_path(s, i);
        snprintf(class, sizeof class, "%.*s", (int)strcspn(p, "/"), p);
        s->input[i].label = rn_inputs_class(s, class);
        if (s->input[i].label < 0)
            return rn_fail(RN_E_MISMATCH, "%s: no class %s in the class list beside it", path, class);
    }
    return RN_OK;
}

static int check_split(const walk *w, const char *path)
{
    if (w->split && !w->used[0])
        return rn_fail(RN_E_NOTHING, "%s: no image in a folder %s/<class>/; without --split all of it is packed", path,
                       w->split);
    if (w->s->n == 0)
        return rn_fail(RN_E_NOTHING,
                       "%s: no image found in a class folder (<class>/<image>); of ILSVRC2012's own archives give the "
                       "folder that holds them, with --split train or --split val",
                       path);
    if (!w->split && w->seen_train && w->seen_val)
        return rn_fail(RN_E_USAGE, "%s: holds folders of both train and val: add --split train or --split val", path);
    return RN_OK;
}

/* ---- all of it ---- */

static int read_members(walk *w, rn_progress *bar)
{
    rn_archive_entry e;
    uint64_t told = 0;
    for (int more; (more = rn_archive_next(w->a, &e)) != 0;) {
        RN_TRY(more);
        w->plain = rn_archive_is_plain(w->a);
        RN_TRY(rn_cifar_is_member(e.name) ? rn_cifar_take(&w->cifar, w->a, &e) : on_member(w, &e));
        rn_progress_add(bar, rn_archive_consumed(w->a) - told);
        told = rn_archive_consumed(w->a);
    }
    if (!w->cifar.n)
        return RN_OK;
    if (w->s->n)
        return rn_fail(RN_E_FORMAT, "%s: holds both pictures and CIFAR's binary files", w->s->root);
    if (!w->split)
        return rn_fail(RN_E_USAGE, "%s: CIFAR in its binary form: add --split train or --split val", w->s->root);
    return rn_cifar_unpack(&w->cifar, w->s, strcmp(w->split, "train") == 0, &w->spool);
}

static int note_source(walk *w, const char *path, bool verify)
{
    char md5[RN_DIGEST_HEX_MAX], beside[4096];
    uint64_t bytes;
    rn_sums sums = {0};
    int rc;
    RN_TRY(rn_archive_digest(w->a, md5, &bytes));
    const char *slash = strrchr(path, '/');
    snprintf(beside, sizeof beside, "%.*sMD5SUMS", slash ? (int)(slash - path + 1) : 0, path);
    if (rn_is_file(beside))
        RN_GO(rn_sums_read(beside, &sums));
    const char *want = rn_sums_find(&sums, path);
    if (want) /* it costs nothing to look, asked to or not */
        RN_GO(rn_check_md5(path, md5, want, sums.path));
    else if (verify)
        RN_GO(rn_fail(RN_E_USAGE, "%s: no MD5 is known for it; put an MD5SUMS beside it or leave out --verify", path));
    rc = rn_inputs_add_source(w->s, path, bytes, md5, "computed");
out:
    rn_sums_free(&sums);
    return rc;
}

int rn_inputs_open_archive(const char *path, const char *split, const char *spool, bool verify, rn_inputs **out)
{
    const char *kind = !split ? "archive" : strcmp(split, "train") == 0 ? "archive-train" : "archive-val";
    walk w = {.split = split, .spool = {.fd = -1, .dir = spool}};
    rn_progress *bar = NULL;
    int rc;
    *out = NULL;
    RN_GO(rn_inputs_new(kind, path, &w.s));
    RN_GO(rn_archive_open(path, &(rn_archive_opts){.digest = RN_MD5}, &w.a));
    bar = rn_progress_start("look up images", NULL, RN_UNIT_BYTES, (uint64_t)rn_file_size(path));
    RN_GO(read_members(&w, bar));
    RN_GO(note_source(&w, path, verify));
    if (!w.cifar.n) {
        RN_GO(check_split(&w, path));
        RN_GO(label_folders(w.s, path));
    } else {
        rn_inputs_sort(w.s);
    }
    RN_GO(rn_inputs_finish(w.s));
    w.s->fd = w.spool.fd >= 0 ? w.spool.fd : open(path, O_RDONLY | O_CLOEXEC);
    w.spool.fd = -1;
    if (w.s->fd < 0)
        RN_GO(rn_fail_errno(errno, "%s", path));
    *out = w.s;
    w.s = NULL;
out:
    rn_progress_done(bar);
    rn_archive_close(w.a);
    rn_cifar_free(&w.cifar);
    if (w.spool.fd >= 0)
        close(w.spool.fd);
    rn_inputs_close(w.s);
    return rc;
}
