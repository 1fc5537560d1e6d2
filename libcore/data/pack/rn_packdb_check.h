/* SPDX-License-Identifier: MIT */
/* Private to data/pack/rn_packdb*.c: is what an unfinished pack holds still what was committed? */
#ifndef RN_PACKDB_CHECK_H
#define RN_PACKDB_CHECK_H

#include <stddef.h>
#include <stdint.h>

#include "data/pack/rn_packdb.h"

/* How many records `dir`/data.mdb holds, told from its pages alone; 0 when there is none, or no more of it than a kill or a
 * full disk leaves of a new one (that rest is removed). RN_E_FORMAT: damaged. */
int rn_packdb_count(const char *dir, uint64_t *records);

/*
 * Reads every record again and holds their chain against the journal's lines (n of them, ascending; the last one's records are
 * all there are). RN_E_MISMATCH names the batch that differs, RN_E_FORMAT the page that cannot be read. Nothing is written.
 */
int rn_packdb_recheck(const char *dir, const rn_packdb_state *line, size_t n);

#endif
