/* SPDX-License-Identifier: MIT */
/* Private to verification: what a packed set's keys and labels say, once all have been read. */
#ifndef RN_VERIFY_RECORDS_H
#define RN_VERIFY_RECORDS_H

#include "data/store/rn_seal.h"
#include "data/verify/rn_verify.h"

enum { RN_KEY_TEXT_MAX = 2048 }; /* LMDB's keys are at most 511 bytes, each up to four characters */

typedef struct rn_seen_record {
    const char *key; /* key_n bytes, not terminated; as long-lived as the store */
    size_t key_n;
    bool read; /* it could be read: the label counts */
    int32_t label;
} rn_seen_record;

/* A key as text; control bytes, NUL among them, as \xNN. */
void rn_key_text(const char *key, size_t n, char out[RN_KEY_TEXT_MAX]);

/*
 * Counts per class against the seal (NULL: unsealed) and the manifest; names against what opts->against lists; doubles;
 * labels against the class folders in the keys. Fills out->class. Findings and RN_OK, or RN_E_NOMEM, or why
 * opts->against cannot be read.
 */
int rn_records_check(const char *path, const rn_verify_opts *opts, const rn_seal *seal, const rn_seen_record *record,
                     uint32_t n, rn_verify_set *out);

#endif
