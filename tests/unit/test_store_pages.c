/* SPDX-License-Identifier: MIT */
/* What the store reads of LMDB's pages is what liblmdb reads, whatever liblmdb was told to write. */
#include <unistd.h>

#include <lmdb.h>
#include <sys/stat.h>

#include "data/store/rn_store.h"
#include "data/store/rn_store_pages.h"
#include "packed_set.h"

static MDB_env *open_for_writing(const char *dir)
{
    MDB_env *env;
    assert_true(mkdir(dir, 0777) == 0 || access(dir, W_OK) == 0);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_mapsize(env, 1u << 30), 0);
    assert_int_equal(mdb_env_open(env, dir, MDB_NOSYNC, 0664), 0);
    return env;
}

static MDB_dbi begin(MDB_env *env, MDB_txn **txn)
{
    MDB_dbi dbi;
    assert_int_equal(mdb_txn_begin(env, NULL, 0, txn), 0);
    assert_int_equal(mdb_dbi_open(*txn, NULL, 0, &dbi), 0);
    return dbi;
}

/* Record by record, by a cursor of liblmdb and by the store. Returns how many there are. */
static uint32_t compare(const char *dir)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_cursor *cur;
    MDB_val k, v;
    rn_store *s = NULL;
    rn_store_txn *t = NULL;
    rn_stored r;
    uint32_t i = 0;
    int rc = rn_store_open(dir, RN_STORE_UNSEALED_OK, &s);
    if (rc < 0)
        fail_msg("%s", rn_error_text());
    assert_int_equal(rn_store_begin(s, &t), 0);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_open(env, dir, MDB_RDONLY, 0664), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
    assert_int_equal(mdb_cursor_open(txn, dbi, &cur), 0);
    while (mdb_cursor_get(cur, &k, &v, MDB_NEXT) == 0) {
        assert_int_equal(rn_store_get_stored(t, i++, &r), 0);
        assert_int_equal(r.key_n, k.mv_size);
        assert_memory_equal(r.key, k.mv_data, k.mv_size);
        assert_int_equal(r.value_n, v.mv_size);
        assert_memory_equal(r.value, v.mv_data, v.mv_size);
    }
    assert_int_equal(rn_store_count(s), i);
    assert_int_equal(rn_store_get_stored(t, i, &r), RN_E_RANGE);
    mdb_cursor_close(cur);
    mdb_txn_abort(txn);
    mdb_env_close(env);
    rn_store_end(t);
    rn_store_close(s);
    return i;
}

static void empty_and_tiny(void **state)
{
    (void)state;
    MDB_txn *txn;
    MDB_env *env = open_for_writing("tiny");
    MDB_dbi dbi = begin(env, &txn);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
    assert_int_equal(compare("tiny"), 0);
    env = open_for_writing("tiny");
    dbi = begin(env, &txn);
    MDB_val k = {1, (void *)(uintptr_t) "k"}, v = {0, (void *)(uintptr_t) ""};
    assert_int_equal(mdb_put(txn, dbi, &k, &v, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
    assert_int_equal(compare("tiny"), 1);
}

/* Keys of 1 to 511 bytes and values of every length around what fits into a leaf and into so many pages, put in any order, some
 * deleted again, over several transactions: trees of every shape that the library makes. */
static void any_shape(void **state)
{
    (void)state;
    enum { ROUNDS = 6, PUTS = 1500, VALUE = 40000 };
    static const uint32_t edges[] = {0, 1, 1000, 1900, 2000, 2020, 2030, 4060, 4070, 4080, 8170, 8176, 12272};
    uint8_t *value = malloc(VALUE);
    assert_non_null(value);
    for (uint32_t shape = 0; shape < 4; shape++) {
        char dir[16];
        snprintf(dir, sizeof dir, "shape%u", shape);
        rn_rng r;
        rn_rng_seed(&r, 9, RN_STREAM_TEST, shape, 0);
        for (int round = 0; round < ROUNDS; round++) {
            MDB_txn *txn;
            MDB_env *env = open_for_writing(dir);
            MDB_dbi dbi = begin(env, &txn);
            for (int i = 0; i < PUTS; i++) {
                uint8_t key[511];
                MDB_val k = {1 + rn_rng_below(&r, shape % 2 ? 511 : 20), key}, v = {0, value};
                v.mv_size = edges[rn_rng_below(&r, sizeof edges / sizeof *edges)] + rn_rng_below(&r, 40);
                if (rn_rng_below(&r, 100) == 0)
                    v.mv_size = rn_rng_below(&r, VALUE);
                if (shape >= 2)
                    v.mv_size %= 100;
                memset(value, (int)rn_rng_below(&r, 256), v.mv_size);
                for (size_t b = 0; b < k.mv_size; b++)
                    key[b] = (uint8_t)rn_rng_below(&r, b < 2 ? 256 : 2);
                int err = mdb_put(txn, dbi, &k, &v, MDB_NOOVERWRITE);
                assert_true(err == 0 || err == MDB_KEYEXIST);
                if (round > 1 && rn_rng_below(&r, 3) == 0) {
                    MDB_cursor *cur;
                    assert_int_equal(mdb_cursor_open(txn, dbi, &cur), 0);
                    key[0] = (uint8_t)rn_rng_below(&r, 256);
                    if (mdb_cursor_get(cur, &k, &v, MDB_SET_RANGE) == 0)
                        assert_int_equal(mdb_cursor_del(cur, 0), 0);
                    mdb_cursor_close(cur);
                }
            }
            assert_int_equal(mdb_txn_commit(txn), 0);
            mdb_env_close(env);
            assert_true(compare(dir) > PUTS / 2);
        }
    }
    free(value);
}

/* As a pack does it: appended, in batches; four levels deep by long keys. */
static void appended(void **state)
{
    (void)state;
    uint32_t n = 0;
    for (int batch = 0; batch < 8; batch++) {
        MDB_txn *txn;
        MDB_env *env = open_for_writing("appended");
        MDB_dbi dbi = begin(env, &txn);
        for (int i = 0; i < 1000; i++, n++) {
            char key[512];
            uint8_t value[500] = {(uint8_t)n};
            snprintf(key, sizeof key, "%08u_%0400u", n, n);
            MDB_val k = {strlen(key), key}, v = {n % 500, value};
            assert_int_equal(mdb_put(txn, dbi, &k, &v, MDB_APPEND), 0);
        }
        assert_int_equal(mdb_txn_commit(txn), 0);
        mdb_env_close(env);
    }
    assert_int_equal(compare("appended"), n);
    rn_pages p;
    assert_int_equal(rn_pages_open("appended", &p), 0);
    assert_true(p.depth >= 4);
    rn_pages_close(&p);
}

static void other_forms_are_refused(void **state)
{
    (void)state;
    MDB_txn *txn;
    MDB_dbi dbi;
    rn_store *s = NULL;
    MDB_env *env = open_for_writing("dups");
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, NULL, MDB_DUPSORT, &dbi), 0);
    MDB_val k = {1, (void *)(uintptr_t) "k"}, v = {1, (void *)(uintptr_t) "1"};
    assert_int_equal(mdb_put(txn, dbi, &k, &v, 0), 0);
    v.mv_data = (void *)(uintptr_t) "2";
    assert_int_equal(mdb_put(txn, dbi, &k, &v, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
    assert_int_equal(rn_store_open("dups", RN_STORE_UNSEALED_OK, &s), RN_E_UNSUPPORTED);

    assert_int_equal(mkdir("named", 0777), 0);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 2), 0);
    assert_int_equal(mdb_env_open(env, "named", 0, 0664), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, "sub", MDB_CREATE, &dbi), 0);
    assert_int_equal(mdb_put(txn, dbi, &k, &v, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
    assert_int_equal(rn_store_open("named", RN_STORE_UNSEALED_OK, &s), RN_E_FORMAT);
    assert_non_null(strstr(rn_error_text(), "flags that pack-lmdb never sets"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_and_tiny),
        cmocka_unit_test(any_shape),
        cmocka_unit_test(appended),
        cmocka_unit_test(other_forms_are_refused),
    };
    return cmocka_run_group_tests(tests, enter_scratch, leave_scratch);
}
