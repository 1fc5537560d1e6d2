/* SPDX-License-Identifier: MIT */
/*
 * gzip undone on the way (zlib): blocks in, blocks out. Length and CRC of every member are checked, which libarchive's
 * filter does not do: a flipped bit in the devkit would otherwise become a wrong label.
 */
#ifndef RN_GUNZIP_H
#define RN_GUNZIP_H

#include <stdint.h>

typedef struct rn_gunzip rn_gunzip;

/* The next block of compressed bytes: its size, 0 at the end, RN_E_*. Valid until the next call. */
typedef int64_t (*rn_pull_fn)(void *arg, const void **block);

int rn_gunzip_open(const char *name, rn_pull_fn pull, void *arg, rn_gunzip **out);

/* The next decompressed block: its size (> 0), 0 at the clean end, or RN_E_*: what pull gave; RN_E_FORMAT when the data
 * are damaged, end too early, or are followed by something other than zeros or another gzip member. */
int64_t rn_gunzip_next(rn_gunzip *g, const void **block);

void rn_gunzip_close(rn_gunzip *g); /* accepts NULL */

#endif
