/* SPDX-License-Identifier: MIT */
/*
 * Keeps what a reader leaves resident of mapped files bounded. Every page read through a map counts as the process's memory until
 * the kernel wants it back, so that a process that walks over 140 GB seems to hold as much as the machine has. Nothing is lost
 * by unmapping such pages now and then: they stay in the page cache, and a second reading finds them there.
 */
#ifndef RN_RESIDENT_H
#define RN_RESIDENT_H

#include <stddef.h>

typedef struct rn_resident rn_resident;

int rn_resident_open(size_t limit, rn_resident **out);
void rn_resident_close(rn_resident *r); /* accepts NULL */

/*
 * The bytes at `data` were read. Every so many calls the process's resident file pages are counted; when they are over what
 * they were at the opening by more than `limit` bytes, the maps read from are emptied (madvise MADV_DONTNEED), as they are at
 * the end: readers on other threads fault their pages in again. What lies above the limit is what came in between two counts;
 * the kernel may map in up to 2 MiB around a page. Only shared maps that this process cannot write to are touched; the map must
 * stay as long as r is used. Thread-safe. Without /proc nothing happens.
 */
void rn_resident_note(rn_resident *r, const void *data);

#endif
