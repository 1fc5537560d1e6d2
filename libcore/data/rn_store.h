/* SPDX-License-Identifier: MIT */
/*
 * Records on disk: LMDB in Caffe's form. Key "%08d_<path>", value a Datum (protobuf-c). Beside the data lies
 * seal.json, written last: a set without its seal is incomplete and rn_store_open says so.
 */
#ifndef RN_STORE_H
#define RN_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A Datum as its fields lie in the mapped page: `data` points into the map, valid while the transaction lives. */
typedef struct rn_record {
    const char *key;
    size_t key_n; /* not NUL-terminated */
    const uint8_t *data;
    size_t data_n; /* the encoded image, or raw planar BGR */
    int label;
    bool encoded;
    int channels, height, width; /* 0 when absent (encoded records) */
} rn_record;

typedef struct rn_store rn_store;         /* one open environment; share it between threads */
typedef struct rn_store_txn rn_store_txn; /* one reader; one thread at a time */

struct rn_seal; /* data/rn_seal.h */

enum rn_store_flags { RN_STORE_UNSEALED_OK = 1 /* open a set without seal; none of the tools does */ };

/*
 * Opens read-only and builds the index of keys (in key order; one pass over the B-tree's leaves, the images are not
 * touched). LMDB forbids one process to open an environment twice: stores of the same folder share it, so opening
 * twice is fine here, from any thread. RN_E_NOENT: no such set. RN_E_FORMAT: not LMDB, cut short, or without its seal
 * (the message says whether a pack is unfinished). RN_E_MISMATCH: the seal's counts do not fit.
 */
int rn_store_open(const char *path, unsigned flags, rn_store **out);
void rn_store_close(rn_store *s); /* accepts NULL */
uint32_t rn_store_count(const rn_store *s);
/* From the seal: class count, WNIDs in label order (NULL-terminated), the seal's SHA-256 (what a report names). */
int rn_store_nclasses(const rn_store *s);
const char *const *rn_store_wnids(const rn_store *s);
const char *rn_store_seal_digest(const rn_store *s);
const char *rn_store_path(const rn_store *s);
const struct rn_seal *rn_store_seal(const rn_store *s); /* NULL for an unsealed set (nclasses 0, digest "") */

/* A read transaction; renew between batches so that it never pins old pages for long. */
int rn_store_begin(rn_store *s, rn_store_txn **out);
int rn_store_renew(rn_store_txn *t);
void rn_store_end(rn_store_txn *t); /* accepts NULL */

/* Record i (0..count-1, key order). A value that is no Datum is RN_E_FORMAT with the key. */
int rn_store_get(rn_store_txn *t, uint32_t i, rn_record *out);

/* Record i's value as stored, for digests (rn_chain_record); the key is as long-lived as the store, the value points into the map. */
typedef struct rn_stored {
    const void *key, *value;
    size_t key_n, value_n;
} rn_stored;
int rn_store_get_stored(rn_store_txn *t, uint32_t i, rn_stored *out);

#endif
