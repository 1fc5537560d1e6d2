/* SPDX-License-Identifier: MIT */
/*
 * ILSVRC2012's archives as streams: an outer tar (plain or gzip), and inside it, for the train set,
 * one inner tar per class, read in one pass without a second copy on disk. A digest of the archive's bytes can be
 * computed on the same pass. What is taken for a tar, rn_tarread.h and rn_tarhead.h say; gzip is undone on the way, any
 * other compression is RN_E_UNSUPPORTED.
 *
 * Names are checked where they enter: an entry whose name is absolute, holds "..", stands there for the second time, or
 * that is not a regular file (link, device, fifo, sparse) is RN_E_FORMAT; directories are passed over.
 */
#ifndef RN_ARCHIVE_H
#define RN_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rn_digest.h"

typedef struct rn_archive rn_archive;

typedef struct rn_archive_opts {
    int digest;     /* -1: none; else enum rn_digest_kind: digest of every byte of the file */
    bool raw_names; /* hand over entries that would be refused, with entry.why set (ilsvrc-verify lists them) */
    uint64_t start; /* byte offset of a tar header to start at (resume; plain tars without digest only) */
    bool zip;       /* take a zip file, too (it is read by seeking; its digest by a pass of its own) */
} rn_archive_opts;

/* One regular file of the archive. Texts and data are valid until the next call on the archive. */
typedef struct rn_archive_entry {
    const char *name; /* as stored, leading "./" removed */
    uint64_t size;    /* bytes */
    uint64_t offset;  /* of its tar header in the (uncompressed) archive; for resume */
    uint64_t data;    /* of its data there; with rn_archive_is_plain, where pread finds it in the file */
    const char *why;  /* NULL, or with raw_names why the entry would have been refused ("a link") */
} rn_archive_entry;

/* Opens `path`. A file that is no tar is RN_E_FORMAT: "x.tar: not a tar archive (it begins with ...)". */
int rn_archive_open(const char *path, const rn_archive_opts *opts, rn_archive **out);

/* Next regular file: 1 = entry filled, 0 = clean end, RN_E_FORMAT on truncation or damage (the message names
 * archive and entry). An archive without its end-of-archive blocks counts as truncated. */
int rn_archive_next(rn_archive *a, rn_archive_entry *e);

/* Reads the current entry's whole data into buf (capacity >= size). Unread data is skipped by next. */
int rn_archive_read(rn_archive *a, void *buf, size_t size);

/* The same without a copy: the next bytes of the current entry, valid until the next call; their count, 0 at its end, RN_E_*. */
int64_t rn_archive_read_block(rn_archive *a, const void **block);

/* A tar that is not compressed, read from a file: offsets of entries are offsets in the file. Known after the first next. */
bool rn_archive_is_plain(const rn_archive *a);

/* Bytes of the file consumed so far (for progress). */
uint64_t rn_archive_consumed(const rn_archive *a);

/* Digest of the whole file, once; what has not been read yet is read first, so it can be had of a damaged archive too. */
int rn_archive_digest(rn_archive *a, char hex[RN_DIGEST_HEX_MAX], uint64_t *bytes);

/* The same for its SHA-256, of an archive opened with digest RN_MD5_AND_SHA256 (rn_filestream.h). */
int rn_archive_sha256(rn_archive *a, char hex[RN_DIGEST_HEX_MAX]);

void rn_archive_close(rn_archive *a); /* accepts NULL */

/* An inner tar held in memory (one class of the train set, ~150 MB at most): same iteration. `data` is
 * borrowed and must outlive the handle; `name` is for messages; opts->digest is not looked at. */
int rn_archive_open_memory(const char *name, const void *data, size_t n, const rn_archive_opts *opts, rn_archive **out);

/* A tar in bytes [start, start + n) of fd (an inner tar), read with pread through a buffer of fixed size: any number may be
 * open on one fd at the same time, which stays the caller's. `name` is for messages; of opts (may be NULL) raw_names counts. */
int rn_archive_open_window(const char *name, int fd, uint64_t start, uint64_t n, const rn_archive_opts *opts,
                           rn_archive **out);

/* Checks a member path: relative, no "..", no empty or "." component, no NUL, at most 1,024 bytes. */
bool rn_archive_name_ok(const char *name);

#endif
