/* SPDX-License-Identifier: MIT */
/* The folders of a set, found and read by their seals: one, or all the shards of it. */
#ifndef RN_SHARD_SET_H
#define RN_SHARD_SET_H

#include <stdbool.h>

#include "data/store/rn_seal.h"

typedef struct rn_shard_folder {
    char *path;
    rn_seal *seal; /* NULL: unsealed, and that was allowed */
} rn_shard_folder;

typedef struct rn_shard_set {
    int n;
    rn_shard_folder *folder; /* in the order of the shards */
    rn_seal *merged;         /* of several (rn_seal_merge); NULL when `path` itself is the set */
} rn_shard_set;

/*
 * Looks at `path`: a set of its own, or a folder whose subfolders (or links to such) are the shards of one, whatever their names.
 * RN_E_NOENT: neither. RN_E_FORMAT: no seal; says whether the set is being packed at this moment, or was left unfinished.
 * RN_E_MISMATCH: a shard is missing, there twice, or of another set.
 */
int rn_shard_set_open(const char *path, bool unsealed_ok, rn_shard_set *out);
void rn_shard_set_close(rn_shard_set *s); /* accepts a zeroed one */

/*
 * The seal of n >= 1 shards as one set. What they have in common is taken over, counts are summed, and
 *     digest = SHA-256 over the shards' digests, content_sha256 = SHA-256 over their content_sha256,
 * in order, in hexadecimal, a '\n' after each. RN_E_MISMATCH names what does not fit; `path` is the folder.
 */
int rn_seal_merge(const char *path, const rn_shard_folder *folder, int n, rn_seal **out);

#endif
