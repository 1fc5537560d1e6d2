/* SPDX-License-Identifier: MIT */
/*
 * A set in pieces. The key order of the whole set (sorted or shuffled) is cut into `count` slices that follow one another and
 * whose sizes differ by at most one; shard i holds slice i. Its keys keep their number in the whole set, so that the
 * shards together hold exactly the keys and values of the one set. Each is a set of its own, sealed, with "shard" in
 * its seal; a folder whose subfolders are all of them is opened as one (rn_store_open).
 */
#ifndef RN_SHARD_H
#define RN_SHARD_H

#include <stddef.h>
#include <stdint.h>

enum { RN_SHARDS_MAX = 99999 };

typedef struct rn_shard {
    uint32_t index, count; /* index < count; count 0: not a shard but the whole set */
} rn_shard;

/* "i/n" with 0 <= i < n <= RN_SHARDS_MAX; RN_E_USAGE says what is accepted. */
int rn_shard_parse(const char *text, rn_shard *out);

/* The places first .. end-1 of this shard among n. */
void rn_shard_slice(const rn_shard *s, uint64_t n, uint64_t *first, uint64_t *end);

/* Where pack-lmdb puts it in the folder of a set: `dir`/00001-of-00004. */
int rn_shard_path(char *out, size_t cap, const char *dir, const rn_shard *s);

/* RN_E_USAGE if `dir` is there and holds anything but folders 00000-of-<count> and so on. */
int rn_shard_check_folder(const char *dir, uint32_t count);

#endif
