/* SPDX-License-Identifier: MIT */
/*
 * What is to be packed, before a byte of it is read: every image's path (as it will stand in its key), label, and where to
 * find it. Four ways to get there, one list after that:
 *   tree   DIR/<class>/<file>                     sorted by path; labels over the ASCII-sorted class folders
 *   list   lines "path label" (Caffe's), below a root    in the list's own order
 *   archive  one tar, gzipped or not, of .../<class>/<file> or .../<split>/<class>/<file>, or of CIFAR's binary form, whose
 *          pixels become PNG: <class>/<file>, sorted by path
 *   raw    ILSVRC2012's archives, by offset; train: "<wnid>/<name>", val: "<name>" as in Caffe's val.txt; sorted by path
 */
#ifndef RN_INPUTS_H
#define RN_INPUTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rn_io.h"
#include "data/store/rn_seal.h"

typedef struct rn_input {
    size_t path;     /* offset of its text, see rn_input_path */
    uint64_t offset; /* in the archive; 0 for files */
    uint64_t size;   /* bytes, 0 when not known before reading (list) */
    int32_t label;
} rn_input;

typedef struct rn_inputs {
    const char *kind; /* "tree", "list", "archive", "archive-train", "archive-val", "raw-train", "raw-val" */
    uint32_t n;
    rn_input *input; /* n */
    rn_buf paths;    /* texts, each with its NUL */
    size_t cap;
    int nclasses;
    rn_seal_class *classes; /* nclasses, counts filled in */
    int nsources;
    rn_seal_source *sources;
    char list_sha256[RN_DIGEST_HEX_MAX];
    int fd;               /* of the archive, or of what was unpacked of it; -1 for files */
    char *root;           /* folder of the files, or the archive's path (for messages) */
    uint32_t passed_over; /* files of a tree that are no images by their name */
} rn_inputs;

/* All of them: RN_E_NOTHING when there is no image, RN_E_NOENT, RN_E_FORMAT, RN_E_MISMATCH naming file and remedy. */
int rn_inputs_open_tree(const char *dir, rn_inputs **out);
int rn_inputs_open_list(const char *file, const char *root, rn_inputs **out);
/* split: "train" or "val". verify: MD5 of the archives is computed (one more pass over them) and must be what MD5SUMS
 * or the published list says (RN_E_USAGE if neither knows); otherwise what MD5SUMS says is noted as declared. */
int rn_inputs_open_raw(const char *dir, const char *split, bool verify, rn_inputs **out);
/*
 * `path` is a tar or tar.gz. split: "train", "val" (which "test" and "validation" are taken for, where there is no "val") or
 * NULL: everything, which is RN_E_USAGE when there are folders of both. A compressed archive, and CIFAR's pixels, are
 * unpacked into a nameless file below `spool` (a folder with that much room), gone with the inputs. Its MD5 is computed on
 * the way; verify: and must be what an MD5SUMS beside it says.
 */
int rn_inputs_open_archive(const char *path, const char *split, const char *spool, bool verify, rn_inputs **out);
void rn_inputs_close(rn_inputs *s); /* accepts NULL */

static inline const char *rn_input_path(const rn_inputs *s, uint32_t i)
{
    return (const char *)s->paths.data + s->input[i].path;
}

/* Reads image i's bytes (out is overwritten). Thread-safe. RN_E_NOENT: the file is gone; RN_E_FORMAT: empty; RN_E_RANGE: over
 * 1 GiB; RN_E_IO. */
int rn_input_read(const rn_inputs *s, uint32_t i, rn_buf *out);

/* Tells the kernel that image i will be wanted soon, so that a disk can sort its reads. Cheap, never fails. */
void rn_input_prefetch(const rn_inputs *s, uint32_t i);

/* ---- for all the ways ------------------------------------------------------------------------------------- */

enum { RN_INPUT_PATH_MAX = 502 /* LMDB's keys are at most 511 bytes, "%08d_" takes nine */ };

bool rn_input_is_image(const char *name); /* by its ending: .jpeg, .jpg, .png */
int rn_inputs_new(const char *kind, const char *root, rn_inputs **out);
/* Refuses paths that are too long, hold control characters, or are no relative paths. */
int rn_inputs_add(rn_inputs *s, const char *path, uint64_t offset, uint64_t size, int32_t label);
void rn_inputs_sort(rn_inputs *s); /* by path, bytewise */
int rn_inputs_add_class(rn_inputs *s, const char *wnid, const char *words);
int rn_inputs_add_source(rn_inputs *s, const char *path, uint64_t bytes, const char *md5, const char *md5_from);
/* Class of that name, -1. Classes are sorted by name. */
int rn_inputs_class(const rn_inputs *s, const char *wnid);
/* Adds the images of Caffe's "path label" lines; text is cut up; *highest rises to the highest label. */
int rn_inputs_parse_list(rn_inputs *s, const char *file, char *text, int64_t *highest);
/* Reads "wnid words" lines (synset_words.txt) as the classes; they must be in ascending order. */
int rn_inputs_read_classes(rn_inputs *s, const char *file);
int rn_inputs_parse_classes(rn_inputs *s, const char *file, char *text); /* the same from memory; text is cut up */
/* The first of dirs (NULL-terminated) that holds synset_words.txt (or synsets.txt) gives the classes: 1 if there was one. */
int rn_inputs_find_classes(rn_inputs *s, const char *const *dirs);
/* Last step: checks labels and doubles, counts the classes, computes the list's digest. */
int rn_inputs_finish(rn_inputs *s);

#endif
