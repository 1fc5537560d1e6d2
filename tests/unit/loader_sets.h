/* SPDX-License-Identifier: MIT */
/* Small packed sets for the loader's tests, generated. To be included after cmocka.h. */
#ifndef LOADER_SETS_H
#define LOADER_SETS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_rng.h"
#include "data/image/rn_image.h"
#include "data/pack/rn_packdb.h"
#include "data/store/rn_datum.h"
#include "data/store/rn_seal.h"
#include "data/store/rn_store.h"

enum { BAD = 60 };

/* Image i: its size and colour depend on i. */
static void image_of(uint32_t i, rn_image *im)
{
    rn_rng r;
    rn_rng_seed(&r, 2, RN_STREAM_TEST, 0, i);
    assert_int_equal(rn_image_alloc(im, 24 + (int)(i % 17), 26 + (int)(i % 11), 3), 0);
    for (int k = 0; k < im->w * im->h * 3; k++)
        im->px[k] = (uint8_t)(i * 2 + rn_rng_below(&r, 40));
}

/* A record: JPEG, or raw pixels with `as_raw`; four records from BAD on of the set `damaged` are cut short. */
static void put(rn_packdb *db, uint32_t i, bool as_raw, bool damaged)
{
    rn_image im = {0};
    rn_buf b = {0};
    uint8_t *jpeg = NULL, *planar;
    size_t cap = 0, n = 0;
    char key[64], hex[RN_DIGEST_HEX_MAX];
    image_of(i, &im);
    size_t size = (size_t)im.w * (size_t)im.h * 3;
    planar = malloc(size);
    assert_non_null(planar);
    rn_datum_planar_from_rgb(im.px, im.h, im.w, 3, planar);
    assert_int_equal(rn_image_encode_jpeg(&im, 80, &jpeg, &cap, &n), 0);
    if (damaged && i == BAD)
        n -= 2; /* found at the very end */
    if (damaged && i > BAD && i < BAD + 4)
        n = 5; /* found at once */
    if (as_raw)
        assert_int_equal(rn_datum_pack_raw(planar, 3, im.h, im.w, (int32_t)(i % 5), &b), 0);
    else
        assert_int_equal(rn_datum_pack_encoded(jpeg, n, (int32_t)(i % 5), &b), 0);
    snprintf(key, sizeof key, "%08u_c/%u.JPEG", i, i);
    assert_int_equal(rn_chain_record(key, strlen(key), b.data, b.n, hex), 0);
    assert_int_equal(rn_packdb_put(db, key, b.data, b.n, hex, n), 0);
    free(planar);
    free(jpeg);
    rn_buf_free(&b);
    rn_image_free(&im);
}

static rn_store *make_store(const char *dir, uint32_t n, bool as_raw, bool damaged)
{
    rn_packdb *db = NULL;
    rn_store *s = NULL;
    assert_int_equal(rn_packdb_open(dir, "a test's set", &db), 0);
    for (uint32_t i = 0; i < n; i++)
        put(db, i, as_raw, damaged);
    assert_int_equal(rn_packdb_flush(db), 0);
    rn_packdb_close(db);
    assert_int_equal(rn_store_open(dir, RN_STORE_UNSEALED_OK, &s), 0);
    return s;
}

#endif
