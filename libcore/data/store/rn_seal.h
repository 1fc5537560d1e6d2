/* SPDX-License-Identifier: MIT */
/*
 * seal.json: what a packed set is made of. Written last and atomically, so its presence says that the set is whole. It
 * holds nothing volatile (no times, no paths of this machine): the same input and options give the same bytes, whatever
 * the number of jobs and however often packing was interrupted. Its SHA-256 therefore names the set.
 *
 * Content digest: a chain over the records in key order, hex text throughout,
 *     c(0) = 64 times '0';   c(k) = SHA-256( c(k-1) . SHA-256( key(k) . NUL . value(k) ) )
 * A chain because it can go on after an interruption without reading again what is there, and because the large inner
 * digests can be computed by many workers.
 */
#ifndef RN_SEAL_H
#define RN_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rn_digest.h"
#include "base/rn_io.h"
#include "data/store/rn_shard.h"

#define RN_SEAL_FILE   "seal.json"
#define RN_SEAL_FORMAT "rnkit-lmdb-1"
#define RN_PACK_STATE  "pack.state" /* the journal of a pack; removed when it is sealed */

typedef struct rn_seal_class {
    char *wnid;  /* class name; its index is the label */
    char *words; /* may be "" */
    uint64_t records;
} rn_seal_class;

typedef struct rn_seal_source {
    char *file; /* base name */
    uint64_t bytes;
    char md5[33];      /* "" when unknown */
    char md5_from[12]; /* "computed": on this pass; "declared": by MD5SUMS, not checked here; "none" */
} rn_seal_source;

typedef struct rn_seal {
    char *tool;     /* "pack-lmdb 0.1.0" */
    char *kind;     /* "raw-train", "raw-val", "tree", "list" */
    char *options;  /* "resize=none encode=keep check=markers shuffle=7" (rn_pack_options_text) */
    rn_shard shard; /* {0, 0}: the whole set. Of a shard: counts and content are its own, list and sources the set's */
    int nclasses;
    rn_seal_class *classes;
    int nsources;
    rn_seal_source *sources;
    char list_sha256[RN_DIGEST_HEX_MAX];    /* over "path label size\n" of all inputs, in the order of the source */
    uint64_t records, skipped, data_bytes;  /* data_bytes: sum of the Datums' data */
    char content_sha256[RN_DIGEST_HEX_MAX]; /* the chain's last value */
    char digest[RN_DIGEST_HEX_MAX];         /* SHA-256 of seal.json; set by write and read, not part of the file */
} rn_seal;

/* Writes `dir`/seal.json atomically and sets s->digest. */
int rn_seal_write(const char *dir, rn_seal *s);

/* Reads and checks it. RN_E_NOENT when there is none; RN_E_FORMAT when it is no seal or its sums do not add up. */
int rn_seal_read(const char *dir, rn_seal **out);
int rn_seal_parse(const void *text, size_t n, const char *path, rn_seal **out); /* the same from memory */
void rn_seal_free(rn_seal *s);                      /* a seal from rn_seal_read; accepts NULL */
void rn_seal_free_classes(rn_seal_class *c, int n); /* the array and its texts, all malloc'ed; accepts NULL, 0 */
void rn_seal_free_sources(rn_seal_source *s, int n);

void rn_chain_start(char chain[RN_DIGEST_HEX_MAX]);
int rn_chain_record(const void *key, size_t key_n, const void *value, size_t value_n, char hex[RN_DIGEST_HEX_MAX]);
int rn_chain_add(char chain[RN_DIGEST_HEX_MAX], const char record_hex[RN_DIGEST_HEX_MAX]);

#endif
