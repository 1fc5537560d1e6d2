/* SPDX-License-Identifier: MIT */
/*
 * Inputs to a sealed set. The key order is the inputs' order, or a seeded shuffle of it; images are read, converted and
 * hashed by a pool, and written by one thread in key order, so the bytes do not depend on the number of jobs. A pack that was
 * killed goes on from its last committed batch when it is started again (rn_packdb.h).
 *
 * The folder then holds data.mdb, lock.mdb (LMDB), seal.json (rn_seal.h), pack.log.json (what is volatile: when, how
 * long, from where), and skipped.txt ("path<TAB>reason") if images were left out.
 */
#ifndef RN_PACK_H
#define RN_PACK_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "data/pack/rn_convert.h"
#include "data/pack/rn_inputs.h"
#include "data/store/rn_shard.h"

typedef struct rn_pack_opts {
    rn_convert_opts convert;
    bool shuffle;
    uint64_t seed;
    rn_shard shard;                    /* only this slice of the order; {0}: all of it */
    bool skip_bad;                     /* leave bad images out (listed, counted) instead of failing */
    int jobs;                          /* >= 1 */
    const volatile sig_atomic_t *stop; /* becomes non-zero: RN_E_INTERRUPTED; may be NULL */
} rn_pack_opts;

typedef struct rn_pack_result {
    uint64_t records, skipped;
    uint64_t bytes;   /* of data.mdb */
    uint64_t resumed; /* inputs that an earlier run had done */
    bool already;     /* the set was sealed before, nothing was done */
    char seal[RN_DIGEST_HEX_MAX];
    double seconds;
} rn_pack_result;

/*
 * Packs all inputs into the folder `dir`. A set that is there already, of the same inputs and options, is left as it
 * is; but where the inputs' archives were verified and the seal only declares them, everything is converted again in
 * memory, compared with the seal's digest, and the seal then says that they were. Bad images (empty, no image, cut
 * short, too large, missing) are RN_E_FORMAT and so on with the image's name, unless skip_bad; a disk that cannot be
 * read is always an error. The first bad image in key order is reported, whatever the number of jobs. RN_E_USAGE:
 * `dir` holds something else (see rn_packdb_open, too), or there are fewer images than shards. Of the images of other
 * shards nothing is read.
 */
int rn_pack_run(const rn_inputs *inputs, const rn_pack_opts *opts, const char *dir, rn_pack_result *out);

/*
 * Is `dir` a sealed set of these options whose archives (`files`, NULL-terminated) have not changed in place, size and time
 * since? 1: yes, out is filled; 0: no, or it cannot be told: rn_pack_run decides. Saves scanning 147 GB of headers.
 */
int rn_pack_is_done(const char *dir, const rn_pack_opts *opts, const char *kind, const char *const *files,
                    rn_pack_result *out);

/* The options that decide the bytes, as one line: "resize=none encode=keep check=markers shuffle=7". */
int rn_pack_options_text(const rn_pack_opts *o, rn_buf *b);
/* The result of a pack that was done before, from its seal. RN_E_MISMATCH when data.mdb is gone or too short for it. */
int rn_pack_from_seal(const rn_seal *s, const char *dir, rn_pack_result *out);

/* Notes in pack.log.json which files a set was made of (for rn_pack_is_done), and how it went. */
int rn_pack_log(const char *dir, const char *const *files, const rn_pack_opts *opts, const rn_pack_result *result);
/* Notes only the files, for a set found finished whose log is missing (a kill right after the seal) or knows older ones. */
int rn_pack_log_files(const char *dir, const char *const *files);

#endif
