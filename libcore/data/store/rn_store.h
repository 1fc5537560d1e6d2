/* SPDX-License-Identifier: MIT */
/*
 * Records on disk: LMDB in Caffe's form. Key "%08d_<path>", value a Datum (protobuf-c). Beside the data lies
 * seal.json, written last: a set without its seal is incomplete and rn_store_open says so. A set may lie in shards
 * (rn_shard.h): a folder of them is one store here, and each of them alone is, too.
 *
 * The file is mapped and read in place, and nothing in it is trusted (rn_store_pages.h says why, and why not by liblmdb): a
 * damaged one is an error, never a crash. No lock file is needed and none is made, so a set may lie on a read-only medium, be
 * opened by any number of processes and threads, and twice by one. The other side of that: whoever writes to a sealed set
 * (nothing of rnkit does) is not held off; reading then stops with an error at the next rn_store_renew. And as with every
 * mapped file, cutting it short or losing the disk while it is read ends the process (SIGBUS).
 */
#ifndef RN_STORE_H
#define RN_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A Datum as its fields lie in the map, valid while the store is open. */
typedef struct rn_record {
    const char *key;
    size_t key_n; /* not NUL-terminated */
    const uint8_t *data;
    size_t data_n; /* the encoded image, or raw planar BGR */
    int label;
    bool encoded;
    int channels, height, width; /* 0 when absent (encoded records) */
} rn_record;

typedef struct rn_store rn_store;         /* an open set; share it between threads */
typedef struct rn_store_txn rn_store_txn; /* one reader; one thread at a time */

struct rn_seal; /* data/store/rn_seal.h */

enum rn_store_flags { RN_STORE_UNSEALED_OK = 1 /* also a set whose seal is missing or damaged: ilsvrc-verify */ };

/*
 * Opens a set, a shard, or a folder whose subfolders are all the shards of one set, and builds the index of its records (in
 * key order; one pass over the B-tree's own pages, which are checked on the way, the images are not touched).
 * RN_E_NOENT: no such set. RN_E_FORMAT: not LMDB, damaged, cut short, or without its seal (the message says whether it is being
 * packed now, or a pack is unfinished). RN_E_MISMATCH: the seal's counts do not fit; a shard is missing, there twice, or of
 * another set (named).
 */
int rn_store_open(const char *path, unsigned flags, rn_store **out);
void rn_store_close(rn_store *s); /* accepts NULL */
uint32_t rn_store_count(const rn_store *s);
/* From the seal: class count, WNIDs in label order (NULL-terminated), the seal's SHA-256 (what a report names). */
int rn_store_nclasses(const rn_store *s);
const char *const *rn_store_wnids(const rn_store *s);
const char *rn_store_seal_digest(const rn_store *s);
const char *rn_store_path(const rn_store *s);
/* NULL for an unsealed set (nclasses 0, digest ""). Of a folder of shards: rn_seal_merge's. */
const struct rn_seal *rn_store_seal(const rn_store *s);

/* The pieces that lie in files of their own: the shards in order, or the set itself. Records first .. first + count - 1. */
typedef struct rn_store_part {
    const char *path;
    uint32_t first, count;
    const struct rn_seal *seal; /* NULL when unsealed */
} rn_store_part;
int rn_store_nparts(const rn_store *s);
rn_store_part rn_store_part_at(const rn_store *s, int i);

/* A reader. Renewing it between batches finds out that somebody writes to the set: RN_E_MISMATCH. */
int rn_store_begin(rn_store *s, rn_store_txn **out);
int rn_store_renew(rn_store_txn *t);
void rn_store_end(rn_store_txn *t); /* accepts NULL */

/* Record i (0..count-1, key order). RN_E_FORMAT with the key: the value is no Datum, or its pages are damaged. */
int rn_store_get(rn_store_txn *t, uint32_t i, rn_record *out);

/* Record i's value as stored, for digests (rn_chain_record); both point into the map. */
typedef struct rn_stored {
    const void *key, *value;
    size_t key_n, value_n;
} rn_stored;
int rn_store_get_stored(rn_store_txn *t, uint32_t i, rn_stored *out);

#endif
