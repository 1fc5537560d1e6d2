/* SPDX-License-Identifier: MIT */
/*
 * Where every file of a plain tar lies: headers are read, data is seeked over, so that members can later be read in any
 * order with pread. Works on a window of a file, hence also on a tar inside a tar. (rn_archive.h streams, with digests and
 * gzip; this one only looks things up.)
 */
#ifndef RN_TARSCAN_H
#define RN_TARSCAN_H

#include <stdint.h>

/* A regular file: its data is `size` bytes at `offset` of the descriptor. A negative return ends the scan with it. */
typedef int (*rn_tar_member_fn)(void *arg, const char *name, uint64_t offset, uint64_t size);

/*
 * Scans the tar in bytes [start, start + n) of fd; `what` names it in messages. It takes and refuses what rn_archive.h does
 * (both stand on rn_tarread.h), but nothing compressed. RN_E_IO when a read fails. Uses pread alone, so scans of one
 * descriptor may nest.
 */
int rn_tar_scan(int fd, const char *what, uint64_t start, uint64_t n, rn_tar_member_fn fn, void *arg);

#endif
