/* SPDX-License-Identifier: MIT */
/*
 * Damaged sets: whatever is done to data.mdb, the store, the loader and the verifier end, with an error, or with records that
 * the content digest tells from the right ones; never by a signal. The seal missing, another set's, a set in the making.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lmdb.h>

#include "base/rn_io.h"
#include "data/load/rn_loader.h"
#include "data/store/rn_store.h"
#include "data/verify/rn_verify.h"
#include "packed_set.h"

enum { N = 800, PAGE = 4096 };
static const char SET[] = "set.lmdb", FILE_OF_SET[] = "set.lmdb/data.mdb";
static char content[RN_DIGEST_HEX_MAX];
static uint8_t *sound; /* data.mdb as it was packed */
static size_t sound_n;

enum { META_PAGE, BRANCH_PAGE, LEAF_PAGE, OVERFLOW_PAGE, KINDS };
static uint32_t pages[KINDS][1024], npages[KINDS];

static int make_set(void **state)
{
    char *text = NULL;
    if (enter_scratch(state) != 0)
        return -1;
    set_make(SET, 0, N, (rn_shard){0}, content);
    assert_int_equal(rn_read_file(FILE_OF_SET, 0, &text, &sound_n), 0);
    sound = (uint8_t *)text;
    for (uint32_t p = 0; p < sound_n / PAGE; p++) {
        uint16_t flags;
        memcpy(&flags, sound + (size_t)p * PAGE + 10, 2);
        int kind = flags == 8   ? META_PAGE
                   : flags == 1 ? BRANCH_PAGE
                   : flags == 2 ? LEAF_PAGE
                   : flags == 4 ? OVERFLOW_PAGE
                                : -1;
        if (kind >= 0)
            pages[kind][npages[kind]++] = p;
    }
    assert_int_equal(npages[META_PAGE], 2);
    assert_true(npages[BRANCH_PAGE] >= 3); /* three levels */
    assert_true(npages[LEAF_PAGE] > 60);
    assert_true(npages[OVERFLOW_PAGE] > 200);
    return 0;
}

static int drop_set(void **state)
{
    free(sound);
    return leave_scratch(state);
}

static void put_bytes(size_t at, const void *data, size_t n)
{
    int fd = open(FILE_OF_SET, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, n, (off_t)at), n);
    close(fd);
}

static void mend(void)
{
    assert_int_equal(truncate(FILE_OF_SET, (off_t)sound_n), 0);
    put_bytes(0, sound, sound_n);
}

enum outcome { AT_OPEN, AT_GET, BY_DIGEST, HARMLESS };

/* Reads all of the set as the tools do. HARMLESS: every byte of every record is what was packed. */
static enum outcome look(const char *dir)
{
    rn_store *s = NULL;
    rn_store_txn *t = NULL;
    char chain[RN_DIGEST_HEX_MAX], hex[RN_DIGEST_HEX_MAX];
    rn_chain_start(chain);
    int rc = rn_store_open(dir, 0, &s);
    if (rc < 0) {
        assert_null(s);
        assert_true(rc == RN_E_FORMAT || rc == RN_E_MISMATCH || rc == RN_E_UNSUPPORTED);
        assert_non_null(strstr(rn_error_text(), dir));
        return AT_OPEN;
    }
    bool got = true;
    assert_int_equal(rn_store_begin(s, &t), 0);
    for (uint32_t i = 0; i < rn_store_count(s); i++) {
        rn_stored v;
        rn_record r;
        if (rn_store_get_stored(t, i, &v) < 0) {
            got = false;
            continue;
        }
        assert_int_equal(rn_chain_record(v.key, v.key_n, v.value, v.value_n, hex), 0);
        assert_int_equal(rn_chain_add(chain, hex), 0);
        rc = rn_store_get(t, i, &r);
        assert_true(rc == 0 || rc == RN_E_FORMAT || rc == RN_E_UNSUPPORTED);
        got = got && rc == 0;
    }
    rn_store_end(t);
    rn_store_close(s);
    return !got ? AT_GET : strcmp(chain, content) != 0 ? BY_DIGEST : HARMLESS;
}

/* An epoch of the loader ends, or stops with an error. */
static bool loads(const char *dir)
{
    rn_store *s = NULL;
    rn_loader *l = NULL;
    rn_batch b;
    int rc = rn_store_open(dir, 0, &s);
    if (rc < 0)
        return false;
    rn_loader_opts o = {.train = true, .batch = 100, .width = 8, .height = 8, .channels = 3, .workers = 2};
    assert_int_equal(rn_loader_open(s, &o, &l), 0);
    for (uint64_t i = 0; i < rn_loader_batches(l) && rc >= 0; i++) {
        rc = rn_loader_next(l, &b);
        if (rc >= 0)
            rn_loader_release(l, &b);
    }
    rn_loader_close(l);
    rn_store_close(s);
    return rc >= 0;
}

/* True when the verifier finds nothing. */
static bool verifies(const char *dir)
{
    rn_verify_set v;
    int rc = rn_verify_lmdb(dir, &(rn_verify_opts){.decode = true, .jobs = 2}, &v);
    bool clean = rc == 0 && rn_findings_total(&v.found, RN_BAD) == 0;
    rn_verify_set_free(&v);
    return clean;
}

/* ---- damage of every kind, everywhere ------------------------------------------------------------------------------ */

/* One of six ways to damage a page; how much of it there is to read, liblmdb would show by a signal. */
static void damage(rn_rng *r, int kind)
{
    uint8_t page[PAGE];
    size_t at = (size_t)pages[kind][rn_rng_below(r, npages[kind])] * PAGE;
    memcpy(page, sound + at, PAGE);
    size_t head = kind == META_PAGE ? 152 : kind == OVERFLOW_PAGE ? 16 : 64;
    size_t in = rn_rng_below(r, 2) ? rn_rng_below(r, (uint32_t)head) : rn_rng_below(r, PAGE - 16);
    uint64_t any = rn_rng_u64(r);
    switch (rn_rng_below(r, 6)) {
    case 0:
        page[in] ^= (uint8_t)(1u << (any & 7));
        break;
    case 1:
        page[in] = (uint8_t)any;
        break;
    case 2:
        memcpy(page + in, &any, 8);
        break;
    case 3:
        memset(page + in, 0xff, 8);
        break;
    case 4:
        memset(page + in, 0, 16);
        break;
    default:
        memcpy(page, sound + (size_t)pages[kind][any % npages[kind]] * PAGE, PAGE);
        break; /* another of its kind */
    }
    put_bytes(at, page, PAGE);
}

static void damage_anywhere(void **state)
{
    (void)state;
    enum { EACH = 150 };
    int seen[KINDS][4] = {{0}};
    for (int kind = 0; kind < KINDS; kind++)
        for (uint32_t i = 0; i < EACH; i++) {
            rn_rng r;
            rn_rng_seed(&r, 5, RN_STREAM_TEST, (uint32_t)kind, i);
            damage(&r, kind);
            enum outcome is = look(SET);
            seen[kind][is]++;
            if (i % 10 == 0) {
                assert_int_equal(verifies(SET), is == HARMLESS);
                bool whole = loads(SET);
                assert_true(is != HARMLESS || whole);
                assert_false(is == AT_OPEN && whole);
            }
            mend();
        }
    for (int kind = 0; kind < KINDS; kind++)
        print_message("# %s pages: %d found at opening, %d when a record is read, %d by the digest, %d harmless\n",
                      (const char *const[]){"meta", "branch", "leaf", "overflow"}[kind], seen[kind][AT_OPEN],
                      seen[kind][AT_GET], seen[kind][BY_DIGEST], seen[kind][HARMLESS]);
    assert_true(seen[META_PAGE][AT_OPEN] > EACH / 4);
    assert_int_equal(seen[META_PAGE][AT_GET] + seen[META_PAGE][BY_DIGEST], 0);
    assert_true(seen[BRANCH_PAGE][AT_OPEN] > EACH / 2);
    assert_int_equal(seen[BRANCH_PAGE][AT_GET] + seen[BRANCH_PAGE][BY_DIGEST], 0);
    assert_true(seen[LEAF_PAGE][AT_OPEN] > EACH / 3);
    assert_true(seen[OVERFLOW_PAGE][AT_GET] > EACH / 4);
    assert_true(seen[OVERFLOW_PAGE][BY_DIGEST] > EACH / 8);
    assert_int_equal(look(SET), HARMLESS); /* mended */
    assert_true(loads(SET) && verifies(SET));
}

/* Pages of the tree that the walk trusted would lead outside the file or round in circles. */
static void crafted(void **state)
{
    (void)state;
    uint64_t txn[2], root;
    memcpy(&txn[0], sound + 144, 8);
    memcpy(&txn[1], sound + PAGE + 144, 8);
    const size_t meta = txn[1] > txn[0] ? PAGE : 0, main_db = meta + 16 + 24 + 48;
    memcpy(&root, sound + main_db + 40, 8);
    const size_t branch = (size_t)root * PAGE, leaf = (size_t)pages[LEAF_PAGE][10] * PAGE;
    uint16_t node, in_leaf;
    memcpy(&node, sound + branch + 18, 2);
    memcpy(&in_leaf, sound + leaf + 16, 2);
    const uint64_t far = 1ull << 47, huge = UINT64_MAX, last = sound_n / PAGE;
    const struct {
        const char *what;
        size_t at;
        uint64_t value;
        size_t n;
    } cases[] = {
        {"page size 0", meta + 16 + 24, 0, 4},
        {"page size 3000", meta + 16 + 24, 3000, 4},
        {"page size 2 GiB", meta + 16 + 24, 1u << 31, 4},
        {"page size 8192", meta + 16 + 24, 8192, 4},
        {"another version", meta + 20, 2, 4},
        {"flags of the database", main_db + 4, 4, 2},
        {"depth 0", main_db + 6, 0, 2},
        {"depth 2", main_db + 6, 2, 2},
        {"depth 4", main_db + 6, 4, 2},
        {"depth 200", main_db + 6, 200, 2},
        {"no branches", main_db + 8, 0, 8},
        {"one entry", main_db + 32, 1, 8},
        {"2^47 entries", main_db + 32, far, 8},
        {"no root", main_db + 40, huge, 8},
        {"root at 2^47", main_db + 40, far, 8},
        {"root a meta page", main_db + 40, 1, 8},
        {"root behind the end", main_db + 40, last, 8},
        {"last page 2^47", meta + 136, far, 8},
        {"last page -1", meta + 136, huge, 8},
        {"last page 1", meta + 136, 1, 8},
        {"a branch is its own child", branch + node, root, 4},
        {"a child at 2^31", branch + node, 1u << 31, 4},
        {"a child in the third dimension", branch + node + 4, 0xffff, 2},
        {"a branch's offset into its head", branch + 18, 4, 2},
        {"a branch's offset to its end", branch + 18, PAGE - 2, 2},
        {"a branch's key of 65535 bytes", branch + node + 6, 0xffff, 2},
        {"no node in a branch", branch + 12, 16, 2},
        {"2000 nodes in a branch", branch + 12, 4016, 2},
        {"an odd number of offsets", branch + 12, 21, 2},
        {"upper behind the end", leaf + 14, 0xfff0, 2},
        {"a leaf's key of 65535 bytes", leaf + in_leaf + 6, 0xffff, 2},
        {"a leaf's key of none", leaf + in_leaf + 6, 0, 2},
        {"a value of 4 GiB in a leaf", leaf + in_leaf, 0xffffffff, 4},
        {"a node of duplicates", leaf + in_leaf + 4, 4, 2},
        {"a sub-database", leaf + in_leaf + 4, 2, 2},
        {"an offset behind the end", leaf + 16, 0xfffe, 2},
        {"a leaf that is a branch", leaf + 10, 1, 2},
        {"a leaf that is a meta page", leaf + 10, 8, 2},
        {"a leaf of another number", leaf, 3, 8},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_bytes(cases[i].at, &cases[i].value, cases[i].n);
        if (look(SET) != AT_OPEN)
            fail_msg("%s: not found at opening", cases[i].what);
        assert_false(verifies(SET));
        mend();
    }
}

/* A value that claims pages behind the end, another record's, or the tree's. */
static void crafted_runs(void **state)
{
    (void)state;
    const size_t leaf = (size_t)pages[LEAF_PAGE][3] * PAGE;
    size_t node = 0;
    uint16_t lower, key_n = 0;
    memcpy(&lower, sound + leaf + 12, 2);
    for (size_t i = 16; i < lower && !node; i += 2) {
        uint16_t at, flags;
        memcpy(&at, sound + leaf + i, 2);
        memcpy(&flags, sound + leaf + at + 4, 2);
        memcpy(&key_n, sound + leaf + at + 6, 2);
        if (flags == 1)
            node = leaf + at;
    }
    assert_true(node != 0);
    const uint64_t runs[] = {0,
                             1,
                             sound_n / PAGE,
                             sound_n / PAGE + 7,
                             UINT64_MAX,
                             UINT64_MAX - 1,
                             1ull << 60,
                             pages[OVERFLOW_PAGE][0],
                             pages[LEAF_PAGE][0],
                             pages[BRANCH_PAGE][0]};
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        put_bytes(node + 8 + key_n, &runs[i], 8);
        assert_int_equal(look(SET), AT_OPEN);
        mend();
    }
    const uint32_t lengths[] = {0xffffffff, 1u << 30, 4081, 8192};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        put_bytes(node, &lengths[i], 4);
        assert_int_equal(look(SET), AT_OPEN);
        mend();
    }
}

/* ---- files cut short ----------------------------------------------------------------------------------------------- */

static void cut_short(void **state)
{
    (void)state;
    rn_rng r;
    rn_rng_seed(&r, 6, RN_STREAM_TEST, 0, 0);
    for (int i = 0; i < 200; i++) {
        size_t n = i < 20    ? (size_t)i * 10
                   : i < 60  ? sound_n - (size_t)(i - 19)
                   : i < 120 ? (size_t)PAGE * rn_rng_below(&r, (uint32_t)(sound_n / PAGE))
                             : rn_rng_below(&r, (uint32_t)sound_n);
        assert_int_equal(truncate(FILE_OF_SET, (off_t)n), 0);
        assert_int_equal(look(SET), AT_OPEN);
        assert_true(strstr(rn_error_text(), "cut short") || strstr(rn_error_text(), "not LMDB"));
        mend();
    }
    /* Longer than it must be: LMDB may leave it so. */
    put_bytes(sound_n, "abc", 3);
    assert_int_equal(look(SET), HARMLESS);
    mend();
}

/* ---- seals --------------------------------------------------------------------------------------------------------- */

static void move_seal(const char *from, const char *to)
{
    char a[64], b[64];
    snprintf(a, sizeof a, "%s/%s", from, RN_SEAL_FILE);
    snprintf(b, sizeof b, "%s/%s", to, RN_SEAL_FILE);
    assert_int_equal(rename(a, b), 0);
}

static void seals(void **state)
{
    (void)state;
    rn_store *s = NULL;
    assert_int_equal(mkdir("aside", 0777), 0);
    move_seal(SET, "aside");
    assert_int_equal(rn_store_open(SET, 0, &s), RN_E_FORMAT);
    assert_non_null(strstr(rn_error_text(), "no seal.json: the set is incomplete"));
    assert_false(verifies(SET));

    /* Another set's: fewer records; as many of other sizes; as many of the same sizes. */
    set_make("fewer", 0, N - 1, (rn_shard){0}, NULL);
    move_seal("fewer", SET);
    assert_int_equal(rn_store_open(SET, 0, &s), RN_E_MISMATCH);
    assert_non_null(strstr(rn_error_text(), "800 records, but its seal says 799"));
    rn_seal *k = NULL;
    assert_int_equal(rn_seal_read("aside", &k), 0);
    for (int sign = -1; sign <= 1; sign += 2) {
        rn_seal other = {.records = N, .data_bytes = k->data_bytes + (uint64_t)(sign * 100000)};
        memcpy(other.content_sha256, k->content_sha256, sizeof other.content_sha256);
        set_seal(SET, &other, 0, N);
        assert_int_equal(rn_store_open(SET, 0, &s), RN_E_MISMATCH);
        assert_non_null(strstr(rn_error_text(), "another set's seal?"));
    }
    rn_seal other = {.records = N, .data_bytes = k->data_bytes};
    memset(other.content_sha256, 'a', 64);
    set_seal(SET, &other, 0, N);
    assert_true(loads(SET));     /* nothing to see without reading it all, */
    assert_false(verifies(SET)); /* which the verifier does */
    rn_seal_free(k);
    move_seal("aside", SET);
    assert_true(verifies(SET));
    assert_int_equal(unlink(FILE_OF_SET), 0);
    assert_int_equal(rn_store_open(SET, 0, &s), RN_E_NOENT);
    int fd = open(FILE_OF_SET, O_WRONLY | O_CREAT, 0666);
    assert_true(fd >= 0);
    close(fd);
    mend();
    assert_true(verifies(SET));
}

/* ---- others at work ------------------------------------------------------------------------------------------------ */

static void while_it_is_packed(void **state)
{
    (void)state;
    rn_packdb *db = NULL;
    rn_store *s = NULL;
    assert_int_equal(rn_packdb_open("making.lmdb", "a test's set", &db), 0);
    assert_int_equal(rn_store_open("making.lmdb", 0, &s), RN_E_FORMAT);
    assert_non_null(strstr(rn_error_text(), "being packed at this moment"));
    rn_packdb_close(db);
    assert_int_equal(rn_store_open("making.lmdb", 0, &s), RN_E_FORMAT);
    assert_non_null(strstr(rn_error_text(), "packing is not finished"));
    assert_int_equal(rn_packdb_open("making.lmdb", "a test's set", &db), 0); /* the reader's look left no lock */
    rn_packdb_close(db);
}

/* Nothing of ours writes to a sealed set; a foreign program that does is noticed by the next batch. */
static void a_foreign_writer(void **state)
{
    (void)state;
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    rn_store *s = NULL;
    rn_store_txn *t = NULL;
    set_make("written.lmdb", 0, 50, (rn_shard){0}, NULL);
    assert_int_equal(rn_store_open("written.lmdb", 0, &s), 0);
    assert_int_equal(rn_store_begin(s, &t), 0);
    assert_int_equal(rn_store_renew(t), 0);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_open(env, "written.lmdb", 0, 0664), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
    MDB_val k = {1, (void *)(uintptr_t) "x"}, v = {1, (void *)(uintptr_t) "y"};
    assert_int_equal(mdb_put(txn, dbi, &k, &v, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
    assert_int_equal(rn_store_renew(t), RN_E_MISMATCH);
    assert_non_null(strstr(rn_error_text(), "written to while it is read"));
    rn_store_end(t);
    assert_int_equal(rn_store_begin(s, &t), RN_E_MISMATCH);
    assert_null(t);
    rn_store_close(s);
    assert_int_equal(rn_store_open("written.lmdb", 0, &s), RN_E_MISMATCH); /* 51 records, the seal says 50 */
}

/* A record that is no Datum, in a set that its seal vouches for. */
static void a_record_that_is_no_datum(void **state)
{
    (void)state;
    char key[SET_KEY], hex[RN_DIGEST_HEX_MAX];
    rn_packdb *db = NULL;
    rn_buf b = {0};
    assert_int_equal(rn_packdb_open("odd.lmdb", "a test's set", &db), 0);
    for (uint32_t i = 0; i < 10; i++) {
        set_record(i, key, &b);
        if (i == 7)
            memset(b.data, 0xff, b.n);
        assert_int_equal(rn_chain_record(key, strlen(key), b.data, b.n, hex), 0);
        assert_int_equal(rn_packdb_put(db, key, b.data, b.n, hex, b.n - 10), 0);
    }
    assert_int_equal(rn_packdb_flush(db), 0);
    rn_seal k = {.records = 10, .data_bytes = rn_packdb_at(db)->data_bytes};
    memcpy(k.content_sha256, rn_packdb_at(db)->chain, sizeof k.content_sha256);
    rn_packdb_close(db);
    rn_buf_free(&b);
    set_seal("odd.lmdb", &k, 0, 10);

    rn_store *s = NULL;
    rn_store_txn *t = NULL;
    rn_record r;
    assert_int_equal(rn_store_open("odd.lmdb", 0, &s), 0);
    assert_int_equal(rn_store_begin(s, &t), 0);
    assert_int_equal(rn_store_get(t, 6, &r), 0);
    assert_int_equal(rn_store_get(t, 7, &r), RN_E_FORMAT);
    assert_non_null(strstr(rn_error_text(), "odd.lmdb: record 7 (00000007_class2/"));
    rn_store_end(t);
    rn_store_close(s);
    assert_false(loads("odd.lmdb"));
    rn_verify_set v;
    assert_int_equal(rn_verify_lmdb("odd.lmdb", &(rn_verify_opts){.jobs = 1}, &v), 0);
    assert_int_equal(v.found.count[RN_K_DAMAGED][RN_BAD], 1);
    rn_findings_sort(&v.found);
    int named = 0;
    for (int i = 0; i < v.found.n; i++)
        named += v.found.row[i].kind == RN_K_DAMAGED && strstr(v.found.row[i].text, "00000007_class2/");
    assert_int_equal(named, 1);
    rn_verify_set_free(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damage_anywhere),
        cmocka_unit_test(crafted),
        cmocka_unit_test(crafted_runs),
        cmocka_unit_test(cut_short),
        cmocka_unit_test(seals),
        cmocka_unit_test(while_it_is_packed),
        cmocka_unit_test(a_foreign_writer),
        cmocka_unit_test(a_record_that_is_no_datum),
    };
    return cmocka_run_group_tests(tests, make_set, drop_set);
}
