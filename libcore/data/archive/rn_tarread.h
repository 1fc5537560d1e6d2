/* SPDX-License-Identifier: MIT */
/*
 * The members of a tar, one after the other, out of any source of bytes: what rn_archive (streams) and rn_tarscan (reads
 * by offset) share, so that both take and refuse the same archives.
 *
 * An archive ends with two blocks of zeros, and nothing but zeros may follow: a tar cut between two members, two joined
 * ones, and garbage behind the end are RN_E_FORMAT.
 */
#ifndef RN_TARREAD_H
#define RN_TARREAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Both move on by what they return, which is less than n only where the bytes end; a negative status is passed on. */
typedef struct rn_tar_source {
    void *arg;
    int64_t (*read)(void *arg, void *buf, size_t n);
    int64_t (*skip)(void *arg, uint64_t n);
    int64_t (*view)(void *arg, uint64_t n,
                    const void **block); /* the same without a copy; 0 only at the end; may be NULL */
} rn_tar_source;

typedef struct rn_tar_member {
    const char *name; /* leading "./" removed; valid until the next call */
    const char *why;  /* NULL, or with `raw` why it would have been refused; as long */
    uint64_t size;    /* bytes of data */
    uint64_t offset;  /* of its first header block, counted from the tar's beginning */
    uint64_t data;    /* of its data */
} rn_tar_member;

typedef struct rn_tarread rn_tarread;

/*
 * `what` names the archive in messages, `start` is the offset of the source's first byte. raw: members that are no plain
 * files, or have a bad name, or a name for the second time, come with `why` set; otherwise they end the reading with
 * RN_E_FORMAT. The first block is read here: RN_E_FORMAT when this is no tar, RN_E_UNSUPPORTED when it is compressed.
 */
int rn_tarread_open(const char *what, rn_tar_source source, uint64_t start, bool raw, rn_tarread **out);
void rn_tarread_close(rn_tarread *t); /* accepts NULL */

/* 1: *m is the next member that is no folder; 0: the archive's clean end; else RN_E_*, and again at every later call. */
int rn_tarread_next(rn_tarread *t, rn_tar_member *m);

/* The next n bytes of the member's data; there must be as many. */
int rn_tarread_data(rn_tarread *t, void *buf, size_t n);
/* The next bytes of its data as they lie in the source, valid until the next call: how many, 0 at the member's end. */
int64_t rn_tarread_view(rn_tarread *t, const void **block);
uint64_t rn_tarread_left(const rn_tarread *t); /* bytes of the member not read yet */

#endif
