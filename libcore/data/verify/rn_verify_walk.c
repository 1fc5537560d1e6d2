/* SPDX-License-Identifier: MIT */
/* An archive from the inside: images flat, in folders, or in one tar a class; bounding boxes likewise. */
#include "data/verify/rn_verify_walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "data/archive/rn_archive.h"
#include "data/archive/rn_filestream.h"
#include "data/verify/rn_verify_image.h"

enum {
    INNER_MAX = 1 << 30 /* of a compressed archive: it is held in memory */,
    IMAGE_MAX = 256 << 20,
    NUMBERS_MAX = 100000000
};

/* The names of one level, to find doubles and gaps. */
typedef struct names {
    rn_buf text; /* each with its NUL */
    size_t *at;
    size_t n, cap;
} names;

/* One level: the archive itself, or a class's tar in it. */
typedef struct level {
    rn_verify_archive *v;
    const char *where; /* for messages */
    const char *wnid;  /* of the class whose tar this is; "" at the top */
    names names;
    rn_buf *file; /* scratch */
} level;

#define BAD(l, kind, ...)  rn_findings_add(&(l)->v->found, RN_BAD, kind, __VA_ARGS__)
#define NOTE(l, kind, ...) rn_findings_add(&(l)->v->found, RN_NOTE, kind, __VA_ARGS__)

/* ---- names ----------------------------------------------------------------------------------------------- */

static int add_name(names *s, const char *name)
{
    if (s->n == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 256;
        size_t *more = realloc(s->at, cap * sizeof *more);
        if (!more)
            return rn_fail(RN_E_NOMEM, "out of memory");
        s->at = more;
        s->cap = cap;
    }
    s->at[s->n] = s->text.n;
    RN_TRY(rn_buf_append(&s->text, name, strlen(name) + 1));
    s->n++;
    return RN_OK;
}

static const char *name_at(const names *s, size_t i)
{
    return (const char *)s->text.data + s->at[i];
}

static int by_name(const void *a, const void *b, void *text)
{
    return strcmp((const char *)text + *(const size_t *)a, (const char *)text + *(const size_t *)b);
}

static void free_names(names *s)
{
    rn_buf_free(&s->text);
    free(s->at);
}

/* "val" and "test" are numbered from 1 on without a gap, so a missing one can be named. */
static void find_gaps(level *l, const char *split, int64_t want)
{
    uint8_t *seen = want > 0 && want <= NUMBERS_MAX ? calloc((size_t)want + 1, 1) : NULL;
    char name[64];
    int64_t numbered = 0;
    for (size_t i = 0; seen && i < l->names.n; i++) {
        int k = rn_numbered_name(rn_base_name(name_at(&l->names, i)), split);
        numbered += k > 0;
        if (k > 0 && k <= want)
            seen[k] = 1;
        else if (k >= 0)
            BAD(l, RN_K_EXTRA, name_at(&l->names, i), "%s: '%s' is one more than the %lld there should be", l->where,
                name_at(&l->names, i), (long long)want);
    }
    for (int64_t k = 1; numbered > 0 && k <= want; k++)
        if (!seen[k]) {
            snprintf(name, sizeof name, "ILSVRC2012_%s_%08lld.JPEG", split, (long long)k);
            BAD(l, RN_K_MISSING, name, "%s: '%s' is missing", l->where, name);
        }
    free(seen);
}

static void look_at_names(level *l)
{
    names *s = &l->names;
    const rn_shape *shape = l->v->expected.shape;
    if (s->n)
        qsort_r(s->at, s->n, sizeof *s->at, by_name, s->text.data);
    for (size_t i = 1; i < s->n; i++)
        if (strcmp(name_at(s, i - 1), name_at(s, i)) == 0)
            BAD(l, RN_K_DUPLICATE, name_at(s, i), "%s: '%s' is there twice", l->where, name_at(s, i));
    if (!l->wnid[0] && shape && shape->images > 0) {
        find_gaps(l, "val", shape->images);
        find_gaps(l, "test", shape->images);
    }
}

/* ---- counts ---------------------------------------------------------------------------------------------- */

/* One more of a class (n: 1), or its tar, which may be empty (n: 0). */
static int count_class(rn_verify_archive *v, const char *wnid, uint64_t n)
{
    int lo = 0, hi = v->classes;
    while (lo < hi) {
        int mid = (lo + hi) / 2, order = strcmp(v->count[mid].wnid, wnid);
        if (order == 0) {
            v->count[mid].images += n;
            return RN_OK;
        }
        lo = order < 0 ? mid + 1 : lo;
        hi = order < 0 ? hi : mid;
    }
    struct rn_class_count *c = realloc(v->count, ((size_t)v->classes + 1) * sizeof *c);
    if (!c)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", v->path);
    v->count = c;
    memmove(c + lo + 1, c + lo, (size_t)(v->classes - lo) * sizeof *c);
    snprintf(c[lo].wnid, sizeof c->wnid, "%.9s", wnid);
    c[lo].images = n;
    v->classes++;
    return RN_OK;
}

static void take_extremes(rn_verify_archive *v)
{
    for (int i = 0; i < v->classes; i++) {
        uint64_t k = v->count[i].images;
        v->least = i == 0 || k < v->least ? k : v->least;
        v->most = k > v->most ? k : v->most;
    }
}

/* ---- entries --------------------------------------------------------------------------------------------- */

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);
    return n >= k && strcmp(s + n - k, end) == 0;
}

static bool is_archive_name(const char *s)
{
    return ends_with(s, ".tar") || ends_with(s, ".tar.gz") || ends_with(s, ".tgz");
}

/* "n01440764_10040.xml", and its WNID; a folder's name before it does as well. */
static bool wnid_of(const char *name, const char *end, char wnid[16])
{
    const char *base = rn_base_name(name);
    snprintf(wnid, 16, "%.9s", base);
    if (rn_is_wnid(wnid) && base[9] == '_' && ends_with(base, end))
        return true;
    if (base - name < 10)
        return false;
    snprintf(wnid, 16, "%.9s", base - 10);
    return rn_is_wnid(wnid) && (base - name == 10 || base[-11] == '/');
}

static int on_image(level *l, const char *name)
{
    char wnid[16];
    const char *base = rn_base_name(name);
    bool numbered = rn_numbered_name(base, "val") > 0 || rn_numbered_name(base, "test") > 0;
    if (l->wnid[0] ? !rn_is_train_name(name, l->wnid) : !numbered && !rn_is_train_name(base, NULL)) {
        if (l->wnid[0])
            NOTE(l, RN_K_NAME, name, "%s: '%s' is not named %s_<number>.JPEG", l->where, name, l->wnid);
        else
            NOTE(l, RN_K_NAME, name, "%s: '%s' is no name of ILSVRC2012", l->where, name);
    }
    l->v->images++;
    if (l->wnid[0])
        return count_class(l->v, l->wnid, 1);
    return !numbered && wnid_of(name, ".JPEG", wnid) ? count_class(l->v, wnid, 1) : RN_OK;
}

static int on_annotation(level *l, const char *name)
{
    char wnid[16];
    l->v->annotations++;
    if (wnid_of(name, ".xml", wnid))
        return count_class(l->v, wnid, 1);
    if (l->wnid[0])
        return count_class(l->v, l->wnid, 1);
    if (strncmp(rn_base_name(name), "ILSVRC2012_", 11) != 0)
        NOTE(l, RN_K_NAME, name, "%s: '%s' is no name of ILSVRC2012", l->where, name);
    return RN_OK;
}

/* By its name nothing but a split's images, or tars of them. Of t3's layout too little is known. */
static bool holds_only(const level *l, const char *split)
{
    char begin[64];
    int n = snprintf(begin, sizeof begin, "ILSVRC2012_img_%s", split);
    const char *base = rn_base_name(l->v->path);
    return strncmp(base, begin, (size_t)n) == 0 && (base[n] == '.' || strncmp(base + n, "_v", 2) == 0);
}

/* What any entry is told by its name and size. 1: an image, whose bytes may be looked at. */
static int on_entry(level *l, const char *name, uint64_t size, const char *why)
{
    const char *base = rn_base_name(name);
    bool xml = ends_with(base, ".xml"), image = strstr(base, ".JPEG") || strstr(base, ".jpg");
    if (why) {
        BAD(l, strstr(why, "stands twice") ? RN_K_DUPLICATE : RN_K_ENTRY, name, "%s: '%s': %s", l->where, name, why);
        return 0;
    }
    RN_TRY(add_name(&l->names, name));
    if (size == 0 && (l->wnid[0] || image || xml || is_archive_name(base)))
        BAD(l, RN_K_EMPTY, name, "%s: '%s' is empty", l->where, name);
    if (xml)
        return on_annotation(l, name);
    if (!image && !l->wnid[0]) {
        if (holds_only(l, "train") || holds_only(l, "val") ||
            holds_only(l, "test")) /* ilsvrc-extract and pack-lmdb refuse it */
            NOTE(l, RN_K_NAME, name, "%s: '%s' is no name of ILSVRC2012", l->where, name);
        return 0;
    }
    RN_TRY(on_image(l, name));
    return size > 0;
}

static int look_at_image(level *l, rn_archive *a, const char *name, uint64_t size)
{
    rn_image_check check = {.manifest = l->v->manifest, .found = &l->v->found};
    char full[1200];
    if (!l->v->oddities || size > IMAGE_MAX)
        return RN_OK;
    snprintf(full, sizeof full, "%s", name); /* the entry is gone once its data are read */
    RN_TRY(rn_buf_reserve(l->file, (size_t)size + 1));
    RN_TRY(rn_archive_read(a, l->file->data, (size_t)size));
    rn_verify_image(&check, l->file->data, (size_t)size, full, NULL);
    return RN_OK;
}

/* ---- tars ------------------------------------------------------------------------------------------------ */

/* One class: every entry's name, and that the inner tar is whole. */
static int walk_class(level *l, rn_archive *in)
{
    int rc;
    rn_archive_entry e;
    while ((rc = rn_archive_next(in, &e)) > 0) {
        if (!e.why && is_archive_name(e.name)) {
            NOTE(l, RN_K_NAME, e.name, "%s: '%s' is an archive two levels down: not looked into", l->where, e.name);
            continue;
        }
        int image = on_entry(l, e.name, e.size, e.why);
        RN_TRY(image);
        if (image > 0)
            RN_TRY(look_at_image(l, in, e.name, e.size));
    }
    look_at_names(l);
    return rc;
}

/* Where the outer archive is a plain tar, the inner one is a window of the file: read from its headers alone, in little
 * memory, while the stream behind the digest passes over the same bytes. Else it is read whole. */
static int open_inner(const char *where, rn_archive *a, const rn_archive_entry *e, int fd, rn_buf *inner,
                      rn_archive **in)
{
    const rn_archive_opts opts = {.digest = -1, .raw_names = true};
    if (rn_archive_is_plain(a))
        return rn_archive_open_window(where, fd, e->data, e->size, &opts, in);
    if (e->size > INNER_MAX)
        return rn_fail(RN_E_UNSUPPORTED, "%s: %llu bytes; in a compressed archive at most a gigabyte is looked into",
                       where, (unsigned long long)e->size);
    RN_TRY(rn_buf_reserve(inner, (size_t)e->size + 1));
    inner->n = (size_t)e->size;
    RN_TRY(rn_archive_read(a, inner->data, inner->n));
    return rn_archive_open_memory(where, inner->data, inner->n, &opts, in);
}

/* A tar in the archive: by its name a class's. */
static int on_inner(level *top, rn_archive *a, const rn_archive_entry *e, int fd, rn_buf *inner)
{
    char where[1400], wnid[16];
    rn_archive *in = NULL;
    const char *base = rn_base_name(e->name);
    RN_TRY(add_name(&top->names, e->name));
    snprintf(where, sizeof where, "%s: %s", top->where, e->name);
    snprintf(wnid, sizeof wnid, "%.9s", base);
    bool named = rn_is_wnid(wnid) && base[9] == '.';
    const char *bare = strncmp(e->name, "./", 2) == 0 ? e->name + 2 : e->name;
    if (!named || (holds_only(top, "train") && !rn_is_class_tar(bare)))
        NOTE(top, RN_K_NAME, e->name, "%s: '%s' is no name of ILSVRC2012", top->where, e->name);
    if (!named)
        wnid[0] = 0;
    if (wnid[0])
        RN_TRY(count_class(top->v, wnid, 0));
    level l = {.v = top->v, .where = where, .wnid = wnid, .file = top->file};
    int rc = open_inner(where, a, e, fd, inner, &in);
    if (rc == RN_OK)
        rc = walk_class(&l, in);
    if (rc < 0)
        BAD(top, rc == RN_E_IO ? RN_K_UNREADABLE : RN_K_ARCHIVE, where, "%s", rn_error_text());
    rn_archive_close(in);
    free_names(&l.names);
    return rc == RN_E_NOMEM ? rc : RN_OK;
}

static int walk_entries(level *l, rn_archive *a, int fd, rn_walk_progress_fn progress, void *arg)
{
    int rc;
    rn_archive_entry e;
    rn_buf inner = {0};
    while ((rc = rn_archive_next(a, &e)) > 0) {
        if (!e.why && is_archive_name(e.name)) {
            RN_GO(on_inner(l, a, &e, fd, &inner));
        } else {
            int image = on_entry(l, e.name, e.size, e.why);
            RN_GO(image);
            if (image > 0)
                RN_GO(look_at_image(l, a, e.name, e.size));
        }
        progress(arg, rn_archive_consumed(a));
    }
out:
    rn_buf_free(&inner);
    return rc;
}

/* A zip is read by seeking, so its digests are a pass of their own: the one that was published has 33 MB. */
static int take_digests(rn_verify_archive *v, rn_archive *a, bool zip)
{
    if (zip) {
        RN_TRY(rn_digest_file(RN_MD5, v->path, v->md5, &v->bytes));
        return v->sha256 ? rn_digest_file(RN_SHA256, v->path, v->sha256_hex, NULL) : RN_OK;
    }
    RN_TRY(rn_archive_digest(a, v->md5, &v->bytes));
    return v->sha256 ? rn_archive_sha256(a, v->sha256_hex) : RN_OK;
}

static int walk(level *l, rn_walk_progress_fn progress, void *arg)
{
    rn_verify_archive *v = l->v;
    rn_archive *a = NULL;
    bool zip = ends_with(v->path, ".zip");
    int rc, fd = open(v->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return rn_fail_errno(errno, "%s: opening it", v->path);
    const rn_archive_opts opts = {.digest = zip         ? -1
                                            : v->sha256 ? RN_MD5_AND_SHA256
                                                        : RN_MD5,
                                  .raw_names = true,
                                  .zip = zip};
    RN_GO(rn_archive_open(v->path, &opts, &a));
    rc = walk_entries(l, a, fd, progress, arg);
    if (rc < 0 && rc != RN_E_IO) /* that the digest will tell, too: it reads the same file */
        BAD(l, RN_K_ARCHIVE, v->path, "%s", rn_error_text());
    rc = take_digests(v, a, zip);
    progress(arg, v->bytes);
out:
    rn_archive_close(a);
    close(fd);
    return rc;
}

int rn_walk_archive(rn_verify_archive *v, rn_walk_progress_fn progress, void *arg)
{
    rn_buf file = {0};
    char wnid[16] = "";
    if (rn_is_class_tar(rn_base_name(v->path))) /* given by itself */
        snprintf(wnid, sizeof wnid, "%.9s", rn_base_name(v->path));
    level l = {.v = v, .where = rn_base_name(v->path), .wnid = wnid, .file = &file};
    int rc = wnid[0] ? count_class(v, wnid, 0) : RN_OK;
    if (rc == RN_OK)
        rc = walk(&l, progress, arg);
    look_at_names(&l);
    take_extremes(v);
    free_names(&l.names);
    rn_buf_free(&file);
    return rc;
}

/* ---- the shape ------------------------------------------------------------------------------------------- */

static void expect_count(rn_verify_archive *v, const char *what, uint64_t have, int64_t want)
{
    if (want >= 0 && have != (uint64_t)want)
        rn_findings_add(&v->found, RN_BAD, RN_K_COUNT, v->path, "%s: has %llu %s, there should be %lld",
                        rn_base_name(v->path), (unsigned long long)have, what, (long long)want);
}

static void expect_classes(rn_verify_archive *v, const rn_shape *s)
{
    const char *base = rn_base_name(v->path);
    for (int i = 0, j = 0; i < v->classes || j < s->nper;) {
        int order = i == v->classes ? 1 : j == s->nper ? -1 : strcmp(v->count[i].wnid, s->per[j].name);
        if (order < 0)
            rn_findings_add(&v->found, RN_BAD, RN_K_EXTRA, v->count[i].wnid, "%s: class %s should not be there", base,
                            v->count[i].wnid);
        else if (order > 0)
            rn_findings_add(&v->found, RN_BAD, RN_K_MISSING, s->per[j].name, "%s: class %s is missing", base,
                            s->per[j].name);
        else if (v->count[i].images != (uint64_t)s->per[j].images)
            rn_findings_add(&v->found, RN_BAD, RN_K_COUNT, v->count[i].wnid,
                            "%s: class %s has %llu, there should be %lld", base, v->count[i].wnid,
                            (unsigned long long)v->count[i].images, (long long)s->per[j].images);
        i += order <= 0;
        j += order >= 0;
    }
}

void rn_walk_check_shape(rn_verify_archive *v)
{
    const rn_shape *s = v->expected.shape;
    if (!s)
        return;
    expect_count(v, "images", v->images, s->images);
    expect_count(v, "annotations", v->annotations, s->annotations);
    if (v->classes == 0) /* validation and test images say nothing of theirs */
        return;
    expect_count(v, "classes", (uint64_t)v->classes, s->classes);
    expect_count(v, "in its smallest class", v->least, s->least);
    expect_count(v, "in its largest class", v->most, s->most);
    if (s->nper > 0)
        expect_classes(v, s);
}
