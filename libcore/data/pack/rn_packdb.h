/* SPDX-License-Identifier: MIT */
/*
 * The writing side of a packed set: an LMDB environment that grows by itself, and a journal (pack.state) beside it that
 * lets a killed pack go on. One thread writes, in key order.
 *
 * Records go in with MDB_APPEND in batches of at most 1,024 inputs and 64 MiB; every batch is one synced LMDB
 * transaction, announced in the journal before it commits. So a kill at any moment costs at most the open batch, and since
 * the ends of batches depend on the records alone, a resumed pack makes the same transactions as an undisturbed one.
 *
 * Journal: line 1 what is being packed (the caller's text), then
 *   at <inputs> <records> <skipped> <data bytes> <chain>     after each batch
 *   skip <input> <reason>                                    before the line of its batch
 */
#ifndef RN_PACKDB_H
#define RN_PACKDB_H

#include <stddef.h>
#include <stdint.h>

#include "base/rn_digest.h"

typedef struct rn_packdb rn_packdb;

typedef struct rn_packdb_state {
    uint64_t at; /* inputs done: records + skipped */
    uint64_t records, skipped;
    uint64_t data_bytes;
    char chain[RN_DIGEST_HEX_MAX]; /* content digest so far (rn_seal.h) */
} rn_packdb_state;

/*
 * Begins or goes on in `dir` (made if needed). `what` is one line without '\n' that says what is packed, how. On success
 * rn_packdb_at() tells where to go on: at the next input.
 * RN_E_USAGE: `dir` holds something that is not ours, or a pack of something else (the message names the remedy).
 * RN_E_MISMATCH, RN_E_FORMAT: data and journal do not fit, or a record is no longer what was committed (all are read).
 * RN_E_IO: another process packs there. RN_PACKDB_SEALED, which is no failure: the set was finished meanwhile, *out is
 * NULL.
 */
enum { RN_PACKDB_SEALED = 1 };
int rn_packdb_open(const char *dir, const char *what, rn_packdb **out);

const rn_packdb_state *rn_packdb_at(const rn_packdb *db);

/* RN_E_NOSPACE when the folder's file system has less than `need` bytes free; 0 also when that cannot be told. */
int rn_packdb_check_room(const rn_packdb *db, uint64_t need);

/* Appends the next input's record; record_hex is rn_chain_record's digest of it, data_n the length of the Datum's data. */
int rn_packdb_put(rn_packdb *db, const char *key, const void *value, size_t n, const char *record_hex, uint64_t data_n);

/* Notes that the next input (number `input`) is left out; line breaks in `reason` become blanks. */
int rn_packdb_skip(rn_packdb *db, uint64_t input, const char *reason);

/* Calls fn for every skipped input so far, in order (also those of earlier runs). */
typedef int (*rn_packdb_skip_fn)(void *arg, uint64_t input, const char *reason);
int rn_packdb_skipped(rn_packdb *db, rn_packdb_skip_fn fn, void *arg);

/* Commits what is open. Only for the end of the pack: anywhere else it would move the ends of batches. */
int rn_packdb_flush(rn_packdb *db);

/* Bytes of data.mdb in use, after the last commit. */
uint64_t rn_packdb_bytes(const rn_packdb *db);

/* Closes; an open batch is dropped. Accepts NULL. */
void rn_packdb_close(rn_packdb *db);

#endif
