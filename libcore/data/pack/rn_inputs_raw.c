/* SPDX-License-Identifier: MIT */
/* ILSVRC2012's archives as they were downloaded: their headers give every image's place, the devkit its label. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_progress.h"
#include "data/archive/rn_filestream.h"
#include "data/archive/rn_tarscan.h"
#include "data/meta/rn_devkit.h"
#include "data/meta/rn_manifest.h"
#include "data/pack/rn_inputs.h"

typedef struct scan {
    rn_inputs *s;
    const rn_devkit *devkit; /* NULL: classes are what the archive holds */
    rn_progress *progress;   /* in bytes of the archive */
    char wnid[RN_INPUT_PATH_MAX + 1];
} scan;

/* ---- digests ------------------------------------------------------------------------------------------------ */

static int compute_md5(const char *path, uint64_t bytes, char md5[RN_DIGEST_HEX_MAX])
{
    rn_filestream *in = NULL;
    const void *block;
    int64_t n;
    rn_progress *progress = rn_progress_start("verify", NULL, RN_UNIT_BYTES, bytes);
    int rc;
    RN_GO(rn_filestream_open(path, RN_MD5, 0, &in));
    while ((n = rn_filestream_next(in, &block)) > 0)
        rn_progress_add(progress, (uint64_t)n);
    RN_GO((int)n);
    rc = rn_filestream_digest(in, md5, NULL);
out:
    rn_filestream_close(in);
    rn_progress_done(progress);
    return rc;
}

/* An archive's MD5 as the seal will name it: computed and right, or, without `verify`, only what MD5SUMS declares. */
static int note_source(rn_inputs *s, const rn_sums *sums, const char *path, bool verify)
{
    const char *from, *want = rn_expected_md5(sums, path, &from);
    char md5[RN_DIGEST_HEX_MAX];
    int64_t bytes = rn_file_size(path);
    if (bytes < 0)
        return rn_fail(RN_E_IO, "%s: its size cannot be told", path);
    if (!verify) {
        bool declared = want && from == sums->path;
        return rn_inputs_add_source(s, path, (uint64_t)bytes, declared ? want : "", declared ? "declared" : "none");
    }
    if (!want)
        return rn_fail(RN_E_USAGE, "%s: no MD5 is known for it; put an MD5SUMS beside it or leave out --verify", path);
    RN_TRY(compute_md5(path, (uint64_t)bytes, md5));
    RN_TRY(rn_check_md5(path, md5, want, from));
    return rn_inputs_add_source(s, path, (uint64_t)bytes, md5, "computed");
}

/* ---- train -------------------------------------------------------------------------------------------------- */

static int on_image(void *arg, const char *name, uint64_t offset, uint64_t size)
{
    scan *c = arg;
    char path[2048];
    RN_TRY(rn_path_join(path, sizeof path, c->wnid, name));
    return rn_inputs_add(c->s, path, offset, size, 0); /* labels come when all classes are known */
}

static int on_class_tar(void *arg, const char *name, uint64_t offset, uint64_t size)
{
    scan *c = arg;
    char what[2048];
    size_t n = strlen(name);
    if (n < 5 || n - 4 >= sizeof c->wnid || strcmp(name + n - 4, ".tar") != 0 || strchr(name, '/'))
        return rn_fail(RN_E_FORMAT, "%s: member %s is not <wnid>.tar; is this the train archive?", c->s->root, name);
    memcpy(c->wnid, name, n - 4);
    c->wnid[n - 4] = '\0';
    if (c->devkit && rn_devkit_label(c->devkit, c->wnid) < 0)
        return rn_fail(RN_E_MISMATCH, "%s: the devkit knows no class %s; archive and devkit do not belong together",
                       c->s->root, c->wnid);
    if (!c->devkit)
        RN_TRY(rn_inputs_add_class(c->s, c->wnid, ""));
    snprintf(what, sizeof what, "%s: %s", c->s->root, name);
    rn_progress_add(c->progress, size);
    return rn_tar_scan(c->s->fd, what, offset, size, on_image, c);
}

static int by_wnid(const void *a, const void *b)
{
    return strcmp(((const rn_seal_class *)a)->wnid, ((const rn_seal_class *)b)->wnid);
}

static int check_train_counts(const rn_inputs *s, const rn_devkit *d)
{
    for (int i = 0; i < d->nclasses; i++) {
        uint64_t have = s->classes[i].records;
        int want = d->synsets[i].num_train;
        if (have == 0 || (want >= 0 && have != (uint64_t)want))
            return rn_fail(RN_E_MISMATCH, "%s: class %s has %llu images, the devkit says %d; verify the archives",
                           s->root, s->classes[i].wnid, (unsigned long long)have, want);
    }
    return RN_OK;
}

static int scan_train(scan *c, uint64_t bytes)
{
    rn_inputs *s = c->s;
    RN_TRY(rn_tar_scan(s->fd, s->root, 0, bytes, on_class_tar, c));
    if (!c->devkit && s->nclasses)
        qsort(s->classes, (size_t)s->nclasses, sizeof *s->classes, by_wnid);
    for (uint32_t i = 0; i < s->n; i++) {
        const char *path = rn_input_path(s, i);
        snprintf(c->wnid, sizeof c->wnid, "%.*s", (int)strcspn(path, "/"), path);
        s->input[i].label = rn_inputs_class(s, c->wnid);
    }
    rn_inputs_sort(s);
    RN_TRY(rn_inputs_finish(s));
    return c->devkit ? check_train_counts(s, c->devkit) : RN_OK;
}

/* ---- val ---------------------------------------------------------------------------------------------------- */

static int on_val_image(void *arg, const char *name, uint64_t offset, uint64_t size)
{
    scan *c = arg;
    int label = rn_devkit_val_label(c->devkit, name);
    if (label < 0)
        return rn_fail(RN_E_MISMATCH, "%s: the devkit has no label for %s (it has %d); is this the val archive?",
                       c->s->root, name, c->devkit->nval);
    return rn_inputs_add(c->s, name, offset, size, label);
}

/* The number in a name is its rank only if none is missing and none is there twice. `s` is sorted. */
static int check_numbers(const rn_inputs *s)
{
    for (uint32_t i = 0; i < s->n; i++) {
        char want[32];
        snprintf(want, sizeof want, "ILSVRC2012_val_%08u", i + 1);
        if (!strstr(rn_input_path(s, i), want))
            return rn_fail(RN_E_MISMATCH, "%s: image %s is missing, %s stands in its place; fetch the archive again",
                           s->root, want, rn_input_path(s, i));
    }
    return RN_OK;
}

static int scan_val(scan *c, uint64_t bytes)
{
    rn_inputs *s = c->s;
    RN_TRY(rn_tar_scan(s->fd, s->root, 0, bytes, on_val_image, c));
    if (s->n != (uint32_t)c->devkit->nval)
        return rn_fail(RN_E_MISMATCH, "%s: %u images, the devkit has %d labels; verify the archives", s->root, s->n,
                       c->devkit->nval);
    rn_inputs_sort(s);
    RN_TRY(check_numbers(s));
    return rn_inputs_finish(s);
}

/* ---- both --------------------------------------------------------------------------------------------------- */

static int open_archive(const rn_raw_set *raw, const char *dir, bool train, bool verify, rn_inputs **out)
{
    const char *path = train ? raw->train : raw->val;
    char advice[256] = "";
    if (!path[0] && train)
        rn_raw_class_tars(dir, advice);
    if (!path[0])
        return rn_fail(RN_E_NOENT, "%s: no ILSVRC2012_img_%s.tar in it%s", dir, train ? "train" : "val", advice);
    if (!train && !raw->devkit[0])
        return rn_fail(RN_E_NOENT, "%s: the labels of val need ILSVRC2012_devkit_t12.tar.gz, which is not there", dir);
    RN_TRY(rn_inputs_new(train ? "raw-train" : "raw-val", path, out));
    rn_inputs *s = *out;
    s->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (s->fd < 0)
        return rn_fail_errno(errno, "%s", path);
    rn_sums sums = {0};
    int rc;
    if (raw->md5sums[0])
        RN_GO(rn_sums_read(raw->md5sums, &sums));
    RN_GO(note_source(s, &sums, path, verify));
    if (raw->devkit[0])
        rc = note_source(s, &sums, raw->devkit, verify);
out:
    rn_sums_free(&sums);
    return rc;
}

int rn_inputs_open_raw(const char *dir, const char *split, bool verify, rn_inputs **out)
{
    bool train = strcmp(split, "train") == 0;
    rn_raw_set raw;
    rn_inputs *s = NULL;
    rn_devkit *devkit = NULL;
    int rc;
    *out = NULL;
    if (!train && strcmp(split, "val") != 0)
        return rn_fail(RN_E_USAGE, "split '%s': train or val can be packed", split);
    RN_TRY(rn_raw_find(dir, &raw));
    RN_GO(open_archive(&raw, dir, train, verify, &s));
    if (raw.devkit[0])
        RN_GO(rn_devkit_open(raw.devkit, &devkit));
    for (int i = 0; devkit && i < devkit->nclasses; i++)
        RN_GO(rn_inputs_add_class(s, devkit->synsets[i].wnid, devkit->synsets[i].words));
    uint64_t bytes = s->sources[0].bytes;
    scan c = {.s = s, .devkit = devkit, .progress = rn_progress_start("look up images", NULL, RN_UNIT_BYTES, bytes)};
    rc = train ? scan_train(&c, bytes) : scan_val(&c, bytes);
    rn_progress_done(c.progress);
    RN_GO(rc);
    *out = s;
    s = NULL;
out:
    rn_devkit_close(devkit);
    rn_inputs_close(s);
    return rc;
}
