/* SPDX-License-Identifier: MIT */
/*
 * Before a pack goes on, what it has is read once more: LMDB trusts its pages, the seal will vouch for every record, and a pack
 * that stopped with the machine is the likeliest to have a damaged one. Reading is cheap beside what made it.
 */
#include "data/pack/rn_packdb_check.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_progress.h"
#include "data/store/rn_seal.h"
#include "data/store/rn_store_pages.h"

int rn_packdb_count(const char *dir, uint64_t *records)
{
    char file[4096];
    rn_pages pages;
    *records = 0;
    RN_TRY(rn_path_join(file, sizeof file, dir, "data.mdb"));
    int64_t bytes = rn_file_size(file);
    if (bytes < 0)
        return RN_OK;
    if (bytes < 2 * sysconf(_SC_PAGESIZE)) /* LMDB begins with its two meta pages, in one write */
        return unlink(file) == 0 ? RN_OK : rn_fail(RN_E_IO, "%s: cannot be removed", file);
    int rc = rn_pages_open(dir, &pages);
    if (rc < 0)
        return rn_fail(rc, "%s (an unfinished pack: delete the folder)", rn_error_text());
    *records = pages.entries;
    rn_pages_close(&pages);
    return RN_OK;
}

typedef struct recheck {
    const char *dir;
    const rn_pages *pages;
    const rn_packdb_state *line;
    size_t n, next; /* lines, and which one comes next */
    uint64_t records;
    char chain[RN_DIGEST_HEX_MAX];
    rn_progress *progress;
} recheck;

static int check_line(recheck *c)
{
    for (; c->next < c->n && c->line[c->next].records == c->records; c->next++)
        if (strcmp(c->line[c->next].chain, c->chain) != 0)
            return rn_fail(RN_E_MISMATCH,
                           "%s: records %" PRIu64 " to %" PRIu64
                           " are not what was committed: data.mdb was damaged since "
                           "(look at the disk), delete the folder and pack again",
                           c->dir, c->next ? c->line[c->next - 1].records : 0, c->records - 1);
    return RN_OK;
}

static int on_record(void *arg, uint64_t at, size_t value_n)
{
    recheck *c = arg;
    rn_pages_record r;
    char hex[RN_DIGEST_HEX_MAX];
    (void)value_n;
    if (!rn_pages_record_at(c->pages, at, &r))
        return rn_fail(RN_E_FORMAT,
                       "%s: record %" PRIu64
                       " of data.mdb cannot be read: it was damaged since (look at the disk), delete "
                       "the folder and pack again",
                       c->dir, c->records);
    RN_TRY(rn_chain_record(r.key, r.key_n, r.value, r.value_n, hex));
    RN_TRY(rn_chain_add(c->chain, hex));
    c->records++;
    rn_progress_add(c->progress, 1);
    return check_line(c);
}

int rn_packdb_recheck(const char *dir, const rn_packdb_state *line, size_t n)
{
    rn_pages pages;
    if (n == 0 || line[n - 1].records == 0)
        return RN_OK;
    RN_TRY(rn_pages_open(dir, &pages));
    recheck c = {.dir = dir, .pages = &pages, .line = line, .n = n};
    c.progress = rn_progress_start("check", "records", RN_UNIT_ITEMS, line[n - 1].records);
    rn_chain_start(c.chain);
    int rc = check_line(&c);
    if (rc >= 0)
        rc = rn_pages_walk(&pages, on_record, &c);
    if (rc >= 0 && c.next != n)
        rc = rn_fail(RN_E_MISMATCH, "%s: data.mdb and %s do not fit; delete the folder and pack again", dir,
                     RN_PACK_STATE);
    rn_progress_done(c.progress);
    rn_pages_close(&pages);
    return rc;
}
