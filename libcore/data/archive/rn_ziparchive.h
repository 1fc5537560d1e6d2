/* SPDX-License-Identifier: MIT */
/* A zip file, as some bounding boxes come in: libarchive reads it, by seeking. rn_archive.h uses it when told to. */
#ifndef RN_ZIPARCHIVE_H
#define RN_ZIPARCHIVE_H

#include "data/archive/rn_archive.h"

typedef struct rn_ziparchive rn_ziparchive;

int rn_ziparchive_open(const char *path, bool raw_names, rn_ziparchive **out);
void rn_ziparchive_close(rn_ziparchive *z); /* accepts NULL */

int rn_ziparchive_next(rn_ziparchive *z, rn_archive_entry *e);          /* as rn_archive_next */
int64_t rn_ziparchive_read_block(rn_ziparchive *z, const void **block); /* as rn_archive_read_block */
uint64_t rn_ziparchive_left(const rn_ziparchive *z);                    /* of the entry's bytes */
uint64_t rn_ziparchive_consumed(const rn_ziparchive *z);                /* of the file's */

#endif
