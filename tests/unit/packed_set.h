/* SPDX-License-Identifier: MIT */
/* A small sealed set for tests of the store: raw records, some longer than a page, long keys, so that the tree is three deep. */
#ifndef PACKED_SET_H
#define PACKED_SET_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "base/rn_error.h"
#include "base/rn_rng.h"
#include "data/pack/rn_packdb.h"
#include "data/store/rn_datum.h"
#include "data/store/rn_seal.h"
#include "scratch.h"

enum { SET_CLASSES = 5, SET_KEY = 160 };

/* Record i of the whole set: 12x10 pixels, every third 40x30 (an overflow page of its own). */
static inline void set_record(uint32_t i, char key[SET_KEY], rn_buf *value)
{
    static uint8_t px[40 * 30 * 3];
    int w = i % 3 ? 12 : 40, h = i % 3 ? 10 : 30;
    rn_rng r;
    rn_rng_seed(&r, 1, RN_STREAM_TEST, i, 0);
    for (int k = 0; k < w * h * 3; k += 4) {
        uint32_t v = rn_rng_u32(&r);
        memcpy(px + k, &v, 4);
    }
    snprintf(key, SET_KEY, "%08u_class%u/%0*u.JPEG", i, i % SET_CLASSES, 100, i);
    assert_int_equal(rn_datum_pack_raw(px, 3, h, w, (int32_t)(i % SET_CLASSES), value), 0);
}

/* Writes `of` with class counts for records first .. end-1; the rest of the seal may be set before. */
static inline void set_seal(const char *dir, const rn_seal *of, uint32_t first, uint32_t end)
{
    static char wnids[SET_CLASSES][12];
    rn_seal_class cls[SET_CLASSES];
    rn_seal copy = *of, *s = &copy;
    rn_seal_source src = {.file = (char *)"x.tar", .bytes = 7, .md5_from = "none"};
    for (uint32_t c = 0; c < SET_CLASSES; c++) {
        snprintf(wnids[c], sizeof wnids[c], "class%u", c);
        cls[c] = (rn_seal_class){wnids[c], (char *)"", 0};
    }
    for (uint32_t i = first; i < end; i++)
        cls[i % SET_CLASSES].records++;
    s->tool = (char *)"test";
    s->kind = s->kind ? s->kind : (char *)"list";
    s->options = s->options ? s->options : (char *)"none";
    s->nclasses = SET_CLASSES;
    s->classes = cls;
    s->nsources = 1;
    s->sources = &src;
    if (!s->list_sha256[0])
        snprintf(s->list_sha256, sizeof s->list_sha256, "00");
    assert_int_equal(rn_seal_write(dir, s), 0);
}

/* Packs records first .. end-1 into `dir` and seals them as `shard`. Returns the content digest in `chain` (may be NULL). */
static inline void set_make(const char *dir, uint32_t first, uint32_t end, rn_shard shard, char *chain)
{
    char key[SET_KEY], hex[RN_DIGEST_HEX_MAX];
    rn_packdb *db = NULL;
    rn_buf b = {0};
    assert_int_equal(rn_packdb_open(dir, "a test's set", &db), 0);
    for (uint32_t i = first; i < end; i++) {
        set_record(i, key, &b);
        assert_int_equal(rn_chain_record(key, strlen(key), b.data, b.n, hex), 0);
        assert_int_equal(rn_packdb_put(db, key, b.data, b.n, hex, (i % 3 ? 12 * 10 : 40 * 30) * 3), 0);
    }
    assert_int_equal(rn_packdb_flush(db), 0);
    const rn_packdb_state *at = rn_packdb_at(db);
    rn_seal s = {.shard = shard, .records = at->records, .data_bytes = at->data_bytes};
    memcpy(s.content_sha256, at->chain, sizeof s.content_sha256);
    if (chain)
        memcpy(chain, at->chain, RN_DIGEST_HEX_MAX);
    rn_packdb_close(db);
    rn_buf_free(&b);
    set_seal(dir, &s, first, end);
    snprintf(key, sizeof key, "%.100s/%s", dir, RN_PACK_STATE);
    assert_int_equal(unlink(key), 0);
}

#endif
