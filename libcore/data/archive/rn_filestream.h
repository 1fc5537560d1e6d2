/* SPDX-License-Identifier: MIT */
/*
 * A file read once, front to back, in large blocks, with its digest computed on the same pass. With a digest three
 * things overlap: a thread reads ahead, a thread hashes (each digest one of its own), the caller works on the block in
 * its hands. MD5 of one file is one chain, so the hash (about 0.7 GB/s a core) is the ceiling, not the disk.
 */
#ifndef RN_FILESTREAM_H
#define RN_FILESTREAM_H

#include <stddef.h>
#include <stdint.h>

#include "base/rn_digest.h"

typedef struct rn_filestream rn_filestream;

enum { RN_MD5_AND_SHA256 = 2 }; /* beside enum rn_digest_kind: both at once */

/* digest: -1 for none (then no threads), else enum rn_digest_kind or RN_MD5_AND_SHA256. `start`: byte to begin at;
 * without digest only. */
int rn_filestream_open(const char *path, int digest, uint64_t start, rn_filestream **out);

/* The next block: its size (> 0), 0 at the end of the file, or RN_E_IO naming the file. The block is valid until the
 * next call. One thread calls. */
int64_t rn_filestream_next(rn_filestream *s, const void **block);

/* Passes over up to n bytes without reading them; how many (0 with a digest, or where the file would end before). */
int64_t rn_filestream_skip(rn_filestream *s, int64_t n);

/* Reads whatever is left, then gives the digest (of two the MD5) of the whole file and its size (bytes may be NULL);
 * once. */
int rn_filestream_digest(rn_filestream *s, char hex[RN_DIGEST_HEX_MAX], uint64_t *bytes);
/* The same for the SHA-256 of a stream opened with RN_MD5_AND_SHA256; once. */
int rn_filestream_sha256(rn_filestream *s, char hex[RN_DIGEST_HEX_MAX]);

void rn_filestream_close(rn_filestream *s); /* at any time; stops the threads; accepts NULL */

#endif
