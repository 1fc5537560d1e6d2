/* SPDX-License-Identifier: MIT */
/*
 * The pages of an LMDB data file, read in place and never trusted. liblmdb takes page numbers, offsets and lengths as it
 * finds them: one flipped bit in a page of its tree and a reader follows it out of the map (SIGSEGV, SIGBUS). A packed set
 * lives for years on disks and crosses networks, so the store reads it by this: every number is held against the file before it
 * is used. What is written stays liblmdb's business, and what it wrote any LMDB program reads.
 *
 * Format (LMDB 0.9, data version 1, as on this machine: 64 bit, little endian; mdb.c's MDB_page, MDB_node, MDB_meta):
 *   page     pgno u64, pad u16, flags u16 (1 branch, 2 leaf, 4 overflow, 8 meta), then lower u16, upper u16 and one u16 offset
 *            a node; of an overflow run instead its length in pages, u32, once
 *   meta     pages 0 and 1, behind the page's header: magic u32, version u32, address u64, map size u64, two databases of
 *            48 bytes (free list and main: pad u32, flags u16, depth u16, branch, leaf and overflow pages, entries, root, u64
 *            each), last page u64, transaction u64. The first database's pad is the page size. The larger transaction counts.
 *   node     lo u16, hi u16, flags u16, key size u16, key; in a leaf lo | hi << 16 is the value's length and the value follows
 *            the key, or (flag 1) the number of the first overflow page that holds it; in a branch lo | hi << 16 | flags << 32 is
 *            the child's page
 * Only what pack-lmdb makes is taken: the unnamed database, no duplicates, no other flags.
 */
#ifndef RN_STORE_PAGES_H
#define RN_STORE_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct rn_pages {
    char *path;         /* the set's folder, for messages */
    const uint8_t *map; /* `npages` pages */
    uint64_t npages;
    uint32_t page_size;
    uint64_t txn; /* the transaction that made what is read */
    uint64_t root, entries, branches, leaves, overflows;
    int depth;
} rn_pages;

/* A record where it lies in the map. */
typedef struct rn_pages_record {
    const uint8_t *key, *value;
    size_t key_n, value_n;
} rn_pages_record;

/* Maps `dir`/data.mdb and checks its meta pages. RN_E_NOENT; RN_E_FORMAT: not LMDB, damaged, cut short; RN_E_UNSUPPORTED: a
 * form of LMDB that pack-lmdb does not make. */
int rn_pages_open(const char *dir, rn_pages *out);
void rn_pages_close(rn_pages *p); /* accepts a zeroed or closed one */

/*
 * Walks the tree once, in key order, and calls `fn` with every record's place; records' own pages are not touched, only the
 * tree's. Checked: every page is what its parent says and has one owner, every node lies in its page, keys rise, branches
 * name keys that divide their children, values lie in the file, and all counts are those of the meta page. Not checked:
 * what the values are (a digest's matter) and the list of free pages (a writer's). RN_E_FORMAT names the page.
 */
typedef int (*rn_pages_fn)(void *arg, uint64_t at, size_t value_n); /* at most `entries` times */
int rn_pages_walk(const rn_pages *p, rn_pages_fn fn, void *arg);

/* The record at a place that a walk gave. Looked at as closely as then, in case the file was changed since; false: it was. */
bool rn_pages_record_at(const rn_pages *p, uint64_t at, rn_pages_record *out);

/* True when somebody has written to the file since it was opened. */
bool rn_pages_changed(const rn_pages *p);

#endif
