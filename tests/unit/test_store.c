/* SPDX-License-Identifier: MIT */
/* The store: what is written is read back, sets that are not whole say so, one environment per process, the journal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <lmdb.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "data/pack/rn_packdb.h"
#include "data/store/rn_datum.h"
#include "data/store/rn_seal.h"
#include "data/store/rn_store.h"
#include "scratch.h"

static const char WHAT[] = "a test's set";

/* Record i: (i * 37) % 1000 + 1 bytes of value i % 251, label i % 7; every 9th image is longer than a page. */
static size_t image_of(uint64_t i, uint8_t *px)
{
    size_t n = (size_t)(i * 37 % 1000 + 1) + (i % 9 == 0 ? 9000 : 0);
    memset(px, (int)(i % 251), n);
    return n;
}

static int put_one(rn_packdb *db, uint64_t i)
{
    static uint8_t px[16384];
    char key[64], hex[RN_DIGEST_HEX_MAX];
    rn_buf b = {0};
    size_t n = image_of(i, px);
    int rc;
    snprintf(key, sizeof key, "%08llu_c/%llu.JPEG", (unsigned long long)i, (unsigned long long)i);
    RN_GO(rn_datum_pack_encoded(px, n, (int32_t)(i % 7), &b));
    RN_GO(rn_chain_record(key, strlen(key), b.data, b.n, hex));
    RN_GO(rn_packdb_put(db, key, b.data, b.n, hex, n));
out:
    rn_buf_free(&b);
    return rc;
}

/* Goes on to `stop`; input 5 of every 100 is skipped. */
static void fill(const char *dir, uint64_t stop, bool flush, rn_packdb_state *end)
{
    rn_packdb *db = NULL;
    assert_int_equal(rn_packdb_open(dir, WHAT, &db), 0);
    for (uint64_t i = rn_packdb_at(db)->at; i < stop; i++)
        assert_int_equal(i % 100 == 5 ? rn_packdb_skip(db, i, "line one\nline two") : put_one(db, i), 0);
    if (flush)
        assert_int_equal(rn_packdb_flush(db), 0);
    *end = *rn_packdb_at(db);
    rn_packdb_close(db);
}

static void seal(const char *dir, const rn_packdb_state *s, uint64_t records)
{
    char wnids[7][16], words[7][16];
    rn_seal_class cls[7];
    uint64_t left = records;
    for (int i = 0; i < 7; i++) {
        snprintf(wnids[i], sizeof wnids[i], "n%d", i);
        snprintf(words[i], sizeof words[i], "w%d", i);
        cls[i] = (rn_seal_class){wnids[i], words[i], i < 6 ? records / 7 : left};
        left -= cls[i].records;
    }
    rn_seal_source src = {.file = (char *)"x.tar", .bytes = 7, .md5_from = "none"};
    rn_seal k = {.tool = (char *)"test",
                 .kind = (char *)"list",
                 .options = (char *)"none",
                 .nclasses = 7,
                 .classes = cls,
                 .nsources = 1,
                 .sources = &src,
                 .list_sha256 = "00",
                 .records = records,
                 .skipped = s->skipped,
                 .data_bytes = s->data_bytes};
    memcpy(k.content_sha256, s->chain, sizeof k.content_sha256);
    assert_int_equal(rn_seal_write(dir, &k), 0);
    assert_int_equal(strlen(k.digest), 64);
}

static void round_trip(void **state)
{
    (void)state;
    enum { N = 3000 };
    static uint8_t px[16384];
    rn_packdb_state s;
    rn_store *store = NULL, *again = NULL;
    rn_store_txn *t = NULL;
    fill("rt.lmdb", N, true, &s);
    assert_int_equal(s.records, N - N / 100);

    assert_int_equal(rn_store_open("rt.lmdb", 0, &store), RN_E_FORMAT); /* no seal */
    assert_non_null(strstr(rn_error_text(), "not finished"));
    assert_int_equal(rn_store_open("rt.lmdb", RN_STORE_UNSEALED_OK, &store), 0);
    assert_int_equal(rn_store_nclasses(store), 0);
    assert_null(rn_store_wnids(store)[0]);
    rn_store_close(store);
    seal("rt.lmdb", &s, s.records - 1);
    assert_int_equal(rn_store_open("rt.lmdb", 0, &store), RN_E_MISMATCH);
    seal("rt.lmdb", &s, s.records);

    assert_int_equal(rn_store_open("rt.lmdb", 0, &store), 0);
    assert_int_equal(rn_store_open("rt.lmdb", 0, &again), 0); /* shares the environment */
    assert_int_equal(rn_store_count(store), s.records);
    assert_int_equal(rn_store_nclasses(store), 7);
    assert_string_equal(rn_store_wnids(store)[6], "n6");
    assert_null(rn_store_wnids(store)[7]);
    assert_string_equal(rn_store_seal(store)->classes[2].words, "w2");

    assert_int_equal(rn_store_begin(store, &t), 0);
    char chain[RN_DIGEST_HEX_MAX];
    rn_chain_start(chain);
    uint32_t k = 0;
    for (uint64_t i = 0; i < N; i++) {
        if (i % 100 == 5)
            continue;
        char key[64], hex[RN_DIGEST_HEX_MAX];
        rn_record r;
        rn_stored v;
        assert_int_equal(rn_store_get(t, k, &r), 0);
        assert_int_equal(rn_store_get_stored(t, k, &v), 0);
        snprintf(key, sizeof key, "%08llu_c/%llu.JPEG", (unsigned long long)i, (unsigned long long)i);
        assert_int_equal(r.key_n, strlen(key));
        assert_memory_equal(r.key, key, r.key_n);
        assert_int_equal(r.label, i % 7);
        assert_true(r.encoded);
        assert_int_equal(r.channels + r.height + r.width, 0);
        assert_int_equal(r.data_n, image_of(i, px));
        assert_memory_equal(r.data, px, r.data_n);
        assert_int_equal(rn_chain_record(v.key, v.key_n, v.value, v.value_n, hex), 0);
        assert_int_equal(rn_chain_add(chain, hex), 0);
        if (++k % 500 == 0)
            assert_int_equal(rn_store_renew(t), 0);
    }
    assert_string_equal(chain, rn_store_seal(store)->content_sha256);
    rn_record r;
    assert_int_equal(rn_store_get(t, k, &r), RN_E_RANGE);
    rn_store_end(t);
    rn_store_close(store);
    assert_int_equal(rn_store_begin(again, &t), 0); /* still open */
    assert_int_equal(rn_store_get(t, 0, &r), 0);
    rn_store_end(t);
    rn_store_close(again);
}

/* A batch is 1,024 inputs: what is not committed is gone, and going on gives the same chain. */
static void resume_gives_the_same(void **state)
{
    (void)state;
    rn_packdb_state whole, part;
    rn_packdb *db = NULL;
    fill("whole.lmdb", 2500, true, &whole);
    fill("part.lmdb", 1700, false, &part);
    assert_int_equal(part.at, 1700);
    assert_int_equal(rn_packdb_open("part.lmdb", WHAT, &db), 0);
    assert_int_equal(rn_packdb_at(db)->at, 1024);
    rn_packdb *second = NULL;
    assert_int_equal(rn_packdb_open("part.lmdb", WHAT, &second), RN_E_IO); /* it is being written */
    rn_packdb_close(db);
    assert_int_equal(rn_packdb_open("part.lmdb", "another set", &db), RN_E_USAGE);
    assert_non_null(strstr(rn_error_text(), "delete the folder"));
    fill("part.lmdb", 2500, true, &part);
    assert_string_equal(part.chain, whole.chain);
    assert_int_equal(part.records, whole.records);
    assert_int_equal(part.data_bytes, whole.data_bytes);

    char *a = NULL, *b = NULL;
    size_t na = 0, nb = 0;
    assert_int_equal(rn_read_file("whole.lmdb/" RN_PACK_STATE, 0, &a, &na), 0);
    assert_int_equal(rn_read_file("part.lmdb/" RN_PACK_STATE, 0, &b, &nb), 0);
    assert_int_equal(na, nb);
    assert_memory_equal(a, b, na);
    free(a);
    free(b);
}

/* Wherever the journal is cut, the pack goes on at a batch that LMDB holds, or says that it cannot. */
static void a_journal_cut_anywhere(void **state)
{
    (void)state;
    static const char path[] = "jcut.lmdb/" RN_PACK_STATE;
    rn_packdb_state s;
    char *text = NULL;
    size_t n = 0;
    int went_on = 0;
    fill("jcut.lmdb", 2048, true, &s);
    assert_int_equal(rn_read_file(path, 0, &text, &n), 0);
    for (size_t cut = n + 1; cut-- > 0;) {
        rn_packdb *db = NULL;
        assert_int_equal(truncate(path, (off_t)cut), 0);
        int rc = rn_packdb_open("jcut.lmdb", WHAT, &db);
        if (rc == 0) {
            assert_int_equal(rn_packdb_at(db)->at, 2048);
            assert_string_equal(rn_packdb_at(db)->chain, s.chain);
            went_on++;
        } else {
            assert_true(rc == RN_E_MISMATCH || rc == RN_E_USAGE);
        }
        rn_packdb_close(db);
    }
    assert_int_equal(went_on, 1); /* only whole: the last line belongs to the last batch */
    free(text);
}

static int count_skip(void *arg, uint64_t input, const char *reason)
{
    uint64_t *n = arg;
    assert_int_equal(input, *n * 100 + 5);
    assert_string_equal(reason, "line one line two");
    ++*n;
    return 0;
}

static void skips_are_remembered(void **state)
{
    (void)state;
    rn_packdb_state s;
    rn_packdb *db = NULL;
    uint64_t n = 0;
    fill("skip.lmdb", 1500, false, &s);
    fill("skip.lmdb", 1500, true, &s);
    assert_int_equal(rn_packdb_open("skip.lmdb", WHAT, &db), 0);
    assert_int_equal(rn_packdb_skipped(db, count_skip, &n), 0);
    assert_int_equal(n, 15);
    assert_int_equal(rn_packdb_at(db)->skipped, 15);
    rn_packdb_close(db);
}

/* The map starts at 256 MiB: values of 20 MiB must make it grow, and come back whole. */
static void the_map_grows(void **state)
{
    (void)state;
    enum { N = 12, BIG = 20 << 20 };
    uint8_t *px = calloc(1, BIG);
    char key[32], hex[RN_DIGEST_HEX_MAX];
    rn_packdb *db = NULL;
    rn_store *store = NULL;
    rn_store_txn *t = NULL;
    rn_buf b = {0};
    rn_record r;
    assert_non_null(px);
    assert_int_equal(rn_packdb_open("big.lmdb", WHAT, &db), 0);
    for (int i = 0; i < N; i++) {
        px[BIG - 1] = (uint8_t)i;
        snprintf(key, sizeof key, "%08d_x", i);
        assert_int_equal(rn_datum_pack_encoded(px, BIG, i, &b), 0);
        memset(hex, 'a', 64);
        hex[64] = '\0';
        assert_int_equal(rn_packdb_put(db, key, b.data, b.n, hex, BIG), 0);
    }
    assert_int_equal(rn_packdb_flush(db), 0);
    rn_packdb_close(db);
    assert_int_equal(rn_store_open("big.lmdb", RN_STORE_UNSEALED_OK, &store), 0);
    assert_int_equal(rn_store_count(store), N);
    assert_int_equal(rn_store_begin(store, &t), 0);
    assert_int_equal(rn_store_get(t, N - 1, &r), 0);
    assert_int_equal(r.data_n, BIG);
    assert_int_equal(r.data[BIG - 1], N - 1);
    rn_store_end(t);
    rn_store_close(store);
    rn_buf_free(&b);
    free(px);
    assert_int_equal(unlink("big.lmdb/data.mdb"), 0);
}

static void folders_that_are_not_ours(void **state)
{
    (void)state;
    rn_store *s = NULL;
    rn_packdb *db = NULL;
    assert_int_equal(rn_store_open("nowhere", 0, &s), RN_E_NOENT);
    assert_int_equal(mkdir("other", 0777), 0);
    assert_int_equal(rn_write_file_atomic("other/keep", "x", 1), 0);
    assert_int_equal(rn_store_open("other", 0, &s), RN_E_NOENT);
    assert_int_equal(rn_packdb_open("other", WHAT, &db), RN_E_USAGE);
    assert_int_equal(rn_packdb_open("other/keep", WHAT, &db), RN_E_USAGE);
    assert_int_equal(rn_write_file_atomic("other/data.mdb", "not LMDB", 8), 0);
    assert_int_equal(rn_store_open("other", 0, &s), RN_E_FORMAT);
}

static void a_value_that_is_no_datum(void **state)
{
    (void)state;
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_val k = {.mv_size = 10, .mv_data = (char *)"00000000_a"}, v = {.mv_size = 3, .mv_data = (char *)"\xff\xff\xff"};
    assert_int_equal(mkdir("foreign", 0777), 0);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_open(env, "foreign", 0, 0664), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
    assert_int_equal(mdb_put(txn, dbi, &k, &v, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);

    rn_store *s = NULL;
    rn_store_txn *t = NULL;
    rn_record r;
    assert_int_equal(rn_store_open("foreign", 0, &s), RN_E_FORMAT);
    assert_non_null(strstr(rn_error_text(), "no seal.json"));
    assert_int_equal(rn_store_open("foreign", RN_STORE_UNSEALED_OK, &s), 0);
    assert_int_equal(rn_store_begin(s, &t), 0);
    assert_int_equal(rn_store_get(t, 0, &r), RN_E_FORMAT);
    assert_non_null(strstr(rn_error_text(), "00000000_a"));
    rn_store_end(t);
    rn_store_close(s);
}

static void a_data_file_cut_short(void **state)
{
    (void)state;
    rn_packdb_state st;
    rn_store *s = NULL;
    fill("cut.lmdb", 1024, true, &st);
    assert_int_equal(truncate("cut.lmdb/data.mdb", rn_file_size("cut.lmdb/data.mdb") / 2), 0);
    assert_int_equal(rn_store_open("cut.lmdb", RN_STORE_UNSEALED_OK, &s), RN_E_FORMAT);
    assert_non_null(strstr(rn_error_text(), "cut short"));
}

static void seals_that_are_none(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "{", "[]", "{}", "{\"format\": \"rnkit-lmdb-1\"}", "{\"format\": \"rnkit-lmdb-9\"}", "{\"format\": 1}"};
    rn_packdb_state st;
    rn_seal *k = NULL;
    fill("seal.lmdb", 70, true, &st);
    assert_int_equal(rn_seal_read("seal.lmdb", &k), RN_E_NOENT);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(rn_write_file_atomic("seal.lmdb/seal.json", bad[i], strlen(bad[i])), 0);
        assert_int_equal(rn_seal_read("seal.lmdb", &k), RN_E_FORMAT);
        assert_null(k);
    }
    seal("seal.lmdb", &st, st.records);
    assert_int_equal(rn_seal_read("seal.lmdb", &k), 0);
    char hex[RN_DIGEST_HEX_MAX];
    assert_int_equal(rn_digest_file(RN_SHA256, "seal.lmdb/seal.json", hex, NULL), 0);
    assert_string_equal(hex, k->digest);
    rn_seal_free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(resume_gives_the_same),
        cmocka_unit_test(a_journal_cut_anywhere),
        cmocka_unit_test(skips_are_remembered),
        cmocka_unit_test(the_map_grows),
        cmocka_unit_test(folders_that_are_not_ours),
        cmocka_unit_test(a_value_that_is_no_datum),
        cmocka_unit_test(a_data_file_cut_short),
        cmocka_unit_test(seals_that_are_none),
    };
    return cmocka_run_group_tests(tests, enter_scratch, leave_scratch);
}
