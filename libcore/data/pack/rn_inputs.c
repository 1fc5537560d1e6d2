/* SPDX-License-Identifier: MIT */
/* The list of inputs itself: what tree, list and raw have in common. */
#include "data/pack/rn_inputs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_opt.h"
#include "data/archive/rn_archive.h"

enum { INPUT_MAX = 1 << 30 };

int rn_inputs_new(const char *kind, const char *root, rn_inputs **out)
{
    rn_inputs *s = calloc(1, sizeof *s);
    *out = NULL;
    if (!s || !(s->root = strdup(root))) {
        free(s);
        return rn_fail(RN_E_NOMEM, "%s: out of memory", root);
    }
    s->kind = kind;
    s->fd = -1;
    *out = s;
    return RN_OK;
}

void rn_inputs_close(rn_inputs *s)
{
    if (!s)
        return;
    rn_seal_free_classes(s->classes, s->nclasses);
    rn_seal_free_sources(s->sources, s->nsources);
    if (s->fd >= 0)
        close(s->fd);
    rn_buf_free(&s->paths);
    free(s->input);
    free(s->root);
    free(s);
}

bool rn_input_is_image(const char *name)
{
    static const char *const ends[] = {".jpeg", ".jpg", ".png"};
    size_t n = strlen(name);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        size_t k = strlen(ends[i]);
        if (n > k && strcasecmp(name + n - k, ends[i]) == 0)
            return true;
    }
    return false;
}

/* ---- building ----------------------------------------------------------------------------------------------- */

/* Room for one more element of an array that doubles. */
static int grow(void **array, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return RN_OK;
    size_t want = *cap ? *cap * 2 : 64;
    void *p = realloc(*array, want * size);
    if (!p)
        return rn_fail(RN_E_NOMEM, "no memory for a list of %zu", want);
    *array = p;
    *cap = want;
    return RN_OK;
}

static bool has_control(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            return true;
    return false;
}

int rn_inputs_add(rn_inputs *s, const char *path, uint64_t offset, uint64_t size, int32_t label)
{
    if (strlen(path) > RN_INPUT_PATH_MAX)
        return rn_fail(RN_E_RANGE, "%s: path of %zu bytes; an LMDB key has room for %d: shorten it", path, strlen(path),
                       RN_INPUT_PATH_MAX);
    if (has_control(path))
        return rn_fail(RN_E_FORMAT, "%s: '%s' is no relative path without control characters; rename it", s->root,
                       path);
    if (!rn_archive_name_ok(path))
        return rn_fail(RN_E_FORMAT, "%s: '%s' is no relative path without '.', '..' or '//'; give it as it is below %s",
                       s->root, path, s->root);
    if (s->n >= 100000000)
        return rn_fail(RN_E_RANGE, "%s: over 100,000,000 images; the keys' eight digits end there", s->root);
    RN_TRY(grow((void **)&s->input, s->n, &s->cap, sizeof *s->input));
    s->input[s->n] = (rn_input){.path = s->paths.n, .offset = offset, .size = size, .label = label};
    RN_TRY(rn_buf_append(&s->paths, path, strlen(path) + 1));
    s->n++;
    return RN_OK;
}

static int by_path(const void *a, const void *b, void *texts)
{
    const char *t = texts;
    return strcmp(t + ((const rn_input *)a)->path, t + ((const rn_input *)b)->path);
}

void rn_inputs_sort(rn_inputs *s)
{
    if (s->n)
        qsort_r(s->input, s->n, sizeof *s->input, by_path, s->paths.data);
}

int rn_inputs_add_class(rn_inputs *s, const char *wnid, const char *words)
{
    /* The seal is JSON: better now than when everything has been packed. */
    if (!rn_utf8_ok(wnid) || !rn_utf8_ok(words))
        return rn_fail(RN_E_FORMAT,
                       "%s: the name or words of class '%s' are not UTF-8, which the seal needs; convert them", s->root,
                       wnid);
    rn_seal_class c = {.wnid = strdup(wnid), .words = strdup(words)};
    rn_seal_class *more = realloc(s->classes, ((size_t)s->nclasses + 1) * sizeof *more);
    if (more)
        s->classes = more;
    if (!more || !c.wnid || !c.words) {
        free(c.wnid);
        free(c.words);
        return rn_fail(RN_E_NOMEM, "%s: no memory for class %s", s->root, wnid);
    }
    s->classes[s->nclasses++] = c;
    return RN_OK;
}

int rn_inputs_add_source(rn_inputs *s, const char *path, uint64_t bytes, const char *md5, const char *md5_from)
{
    const char *slash = strrchr(path, '/');
    rn_seal_source src = {.file = strdup(slash ? slash + 1 : path), .bytes = bytes};
    rn_seal_source *more = realloc(s->sources, ((size_t)s->nsources + 1) * sizeof *more);
    if (more)
        s->sources = more;
    if (!more || !src.file) {
        free(src.file);
        return rn_fail(RN_E_NOMEM, "%s: out of memory", path);
    }
    snprintf(src.md5, sizeof src.md5, "%s", md5);
    snprintf(src.md5_from, sizeof src.md5_from, "%s", md5_from);
    s->sources[s->nsources++] = src;
    return RN_OK;
}

static int class_by_name(const void *name, const void *c)
{
    return strcmp(name, ((const rn_seal_class *)c)->wnid);
}

int rn_inputs_class(const rn_inputs *s, const char *wnid)
{
    if (!s->nclasses)
        return -1;
    const rn_seal_class *c = bsearch(wnid, s->classes, (size_t)s->nclasses, sizeof *c, class_by_name);
    return c ? (int)(c - s->classes) : -1;
}

int rn_inputs_parse_classes(rn_inputs *s, const char *file, char *text)
{
    char *save = NULL;
    for (char *line = strtok_r(text, "\r\n", &save); line; line = strtok_r(NULL, "\r\n", &save)) {
        char *blank = strchr(line, ' ');
        if (blank)
            *blank = '\0';
        if (s->nclasses && strcmp(s->classes[s->nclasses - 1].wnid, line) >= 0)
            return rn_fail(RN_E_FORMAT, "%s: %s does not stand in ascending order; labels are given over sorted names",
                           file, line);
        RN_TRY(rn_inputs_add_class(s, line, blank ? blank + 1 : ""));
    }
    return s->nclasses ? RN_OK : rn_fail(RN_E_FORMAT, "%s: holds no class", file);
}

int rn_inputs_read_classes(rn_inputs *s, const char *file)
{
    char *text = NULL;
    size_t n = 0;
    RN_TRY(rn_read_text(file, 64u << 20, &text, &n));
    int rc = rn_inputs_parse_classes(s, file, text);
    free(text);
    return rc;
}

int rn_inputs_find_classes(rn_inputs *s, const char *const *dirs)
{
    static const char *const names[] = {"synset_words.txt", "synsets.txt"};
    for (; *dirs; dirs++)
        for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
            char file[4096];
            RN_TRY(rn_path_join(file, sizeof file, *dirs, names[k]));
            if (!rn_is_file(file))
                continue;
            RN_TRY(rn_inputs_read_classes(s, file));
            return 1;
        }
    return 0;
}

/* "path label size\n" for every input: what a resumed pack compares, and part of the seal. */
static int digest_list(rn_inputs *s)
{
    rn_digest *d = NULL;
    int rc;
    RN_GO(rn_digest_open(RN_SHA256, &d));
    for (uint32_t i = 0; i < s->n; i++) {
        char line[RN_INPUT_PATH_MAX + 64];
        int n = snprintf(line, sizeof line, "%s %" PRId32 " %" PRIu64 "\n", rn_input_path(s, i), s->input[i].label,
                         s->input[i].size);
        RN_GO(rn_digest_update(d, line, (size_t)n));
    }
    RN_GO(rn_digest_final(d, s->list_sha256));
out:
    rn_digest_close(d);
    return rc;
}

int rn_inputs_finish(rn_inputs *s)
{
    if (s->n == 0)
        return rn_fail(RN_E_NOTHING, "%s: no image found", s->root);
    bool sorted = strcmp(s->kind, "list") != 0; /* a list may name an image twice: keys differ by their number */
    for (uint32_t i = 0; i < s->n; i++) {
        int32_t label = s->input[i].label;
        if (label < 0 || label >= s->nclasses)
            return rn_fail(RN_E_RANGE, "%s: label %d of %s, there are %d classes", s->root, label, rn_input_path(s, i),
                           s->nclasses);
        if (sorted && i > 0 && strcmp(rn_input_path(s, i - 1), rn_input_path(s, i)) == 0)
            return rn_fail(RN_E_FORMAT, "%s: %s is there twice", s->root, rn_input_path(s, i));
        s->classes[label].records++;
    }
    return digest_list(s);
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

static int read_at(int fd, const char *name, const char *path, uint64_t offset, uint64_t size, rn_buf *out)
{
    if (size == 0)
        return rn_fail(RN_E_FORMAT, "%s: empty", path);
    if (size > INPUT_MAX)
        return rn_fail(RN_E_RANGE, "%s: %" PRIu64 " bytes, at most 1 GiB is taken for an image", path, size);
    RN_TRY(rn_buf_reserve(out, (size_t)size));
    for (out->n = 0; out->n < size;) {
        ssize_t got = pread(fd, out->data + out->n, (size_t)size - out->n, (off_t)(offset + out->n));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return rn_fail_errno(errno, "%s: %s", name, path);
        if (got == 0)
            return rn_fail(RN_E_IO, "%s: %s: the file became shorter while it was read", name, path);
        out->n += (size_t)got;
    }
    return RN_OK;
}

static int read_file(const rn_inputs *s, const char *path, rn_buf *out)
{
    char full[4096];
    struct stat st;
    RN_TRY(rn_path_join(full, sizeof full, s->root, path));
    int fd = open(full, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return rn_fail_errno(errno, "%s", full);
    int rc;
    if (fstat(fd, &st) != 0)
        rc = rn_fail_errno(errno, "%s", full);
    else if (!S_ISREG(st.st_mode))
        rc = rn_fail(RN_E_FORMAT, "%s: not a regular file", path);
    else
        rc = read_at(fd, s->root, path, 0, (uint64_t)st.st_size, out);
    close(fd);
    return rc;
}

int rn_input_read(const rn_inputs *s, uint32_t i, rn_buf *out)
{
    const rn_input *in = &s->input[i];
    if (s->fd < 0)
        return read_file(s, rn_input_path(s, i), out);
    return read_at(s->fd, s->root, rn_input_path(s, i), in->offset, in->size, out);
}

void rn_input_prefetch(const rn_inputs *s, uint32_t i)
{
    uint8_t byte;
    struct iovec one = {&byte, 1};
    if (s->fd < 0 || preadv2(s->fd, &one, 1, (off_t)s->input[i].offset, RWF_NOWAIT) > 0)
        return; /* in memory already, in all likelihood all of it */
    (void)posix_fadvise(s->fd, (off_t)s->input[i].offset, (off_t)s->input[i].size, POSIX_FADV_WILLNEED);
}
