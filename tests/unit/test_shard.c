/* SPDX-License-Identifier: MIT */
/* Shards: how a set is cut, what a launcher says, and the folder of them as one store. */
#include <sys/stat.h>
#include <unistd.h>

#include "base/rn_io.h"
#include "base/rn_launch.h"
#include "data/store/rn_shard.h"
#include "data/store/rn_shard_set.h"
#include "data/store/rn_store.h"
#include "packed_set.h"

static void slices(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {0, 1, 2, 5, 99, 100, 101, 1281167, UINT32_MAX};
    static const uint32_t counts[] = {1, 2, 3, 7, 64, 100, 99999};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t j = 0; j < sizeof counts / sizeof *counts; j++) {
            uint64_t at = 0, least = UINT64_MAX, most = 0;
            for (rn_shard s = {0, counts[j]}; s.index < s.count; s.index++) {
                uint64_t first, end;
                rn_shard_slice(&s, sizes[i], &first, &end);
                assert_int_equal(first, at);
                assert_true(end >= first);
                least = end - first < least ? end - first : least;
                most = end - first > most ? end - first : most;
                at = end;
            }
            assert_int_equal(at, sizes[i]);
            assert_true(most - least <= 1);
        }
    uint64_t first, end;
    rn_shard_slice(&(rn_shard){0}, 10, &first, &end);
    assert_int_equal(first, 0);
    assert_int_equal(end, 10);
}

static void names(void **state)
{
    (void)state;
    static const char *const bad[] = {"",     "/",    "1",     "1/",       "/2",    "2/2",   "-1/2",
                                      "1/2 ", " 1/2", "1/2/3", "0/100000", "0x1/2", "1.0/2", "00000000000000001/2",
                                      "+1/2"};
    rn_shard s;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (rn_shard_parse(bad[i], &s) != RN_E_USAGE)
            fail_msg("'%s' was taken", bad[i]);
    assert_int_equal(rn_shard_parse("12/64", &s), 0);
    assert_int_equal(s.index, 12);
    assert_int_equal(s.count, 64);
    char path[64];
    assert_int_equal(rn_shard_path(path, sizeof path, "a/b", &s), 0);
    assert_string_equal(path, "a/b/00012-of-00064");

    assert_int_equal(rn_shard_check_folder("not-there", 3), 0);
    assert_int_equal(mkdir("f", 0777), 0);
    assert_int_equal(rn_shard_check_folder("f", 3), 0);
    assert_int_equal(mkdir("f/00002-of-00003", 0777), 0);
    assert_int_equal(rn_shard_check_folder("f", 3), 0);
    static const char *const foreign[] = {"00003-of-00003", "00000-of-00004", "0-of-3", "00001-of-00003.old",
                                          "data.mdb"};
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        char sub[64];
        snprintf(sub, sizeof sub, "f/%s", foreign[i]);
        assert_int_equal(mkdir(sub, 0777), 0);
        assert_int_equal(rn_shard_check_folder("f", 3), RN_E_USAGE);
        assert_non_null(strstr(rn_error_text(), foreign[i]));
        assert_int_equal(rmdir(sub), 0);
    }
    assert_int_equal(rn_write_file_atomic("file", "x", 1), 0);
    assert_int_equal(rn_shard_check_folder("file", 3), RN_E_USAGE);
}

static void launchers(void **state)
{
    (void)state;
    static const char *const all[] = {
        "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE",       "PMI_RANK",     "PMI_SIZE", "SLURM_PROCID",
        "SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        unsetenv(all[i]);
    rn_launch l;
    assert_int_equal(rn_launch_find(&l), 0);
    assert_int_equal(l.rank, 0);
    assert_int_equal(l.size, 1);
    assert_null(l.who);
    setenv("SLURM_PROCID", "3", 1); /* of a batch script: no step */
    assert_int_equal(rn_launch_find(&l), 0);
    assert_int_equal(l.size, 1);
    setenv("SLURM_STEP_NUM_TASKS", "8", 1);
    assert_int_equal(rn_launch_find(&l), 0);
    assert_int_equal(l.rank, 3);
    assert_int_equal(l.size, 8);
    assert_string_equal(l.who, "srun");
    assert_int_equal(l.local, -1);
    setenv("SLURM_LOCALID", "1", 1);
    assert_int_equal(rn_launch_find(&l), 0);
    assert_int_equal(l.local, 1);
    setenv("OMPI_COMM_WORLD_RANK", "1", 1); /* mpirun inside a step */
    setenv("OMPI_COMM_WORLD_SIZE", "2", 1);
    assert_int_equal(rn_launch_find(&l), 0);
    assert_int_equal(l.rank, 1);
    assert_int_equal(l.size, 2);
    assert_int_equal(l.local, -1); /* that of another launcher's */
    setenv("OMPI_COMM_WORLD_LOCAL_RANK", "0", 1);
    assert_int_equal(rn_launch_find(&l), 0);
    assert_int_equal(l.local, 0);
    static const char *const bad[] = {"2", "-1", "", "1x", "0x1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        setenv("OMPI_COMM_WORLD_RANK", bad[i], 1);
        assert_int_equal(rn_launch_find(&l), RN_E_USAGE);
    }
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        unsetenv(all[i]);
}

enum { N = 500 };

static void make_shards(const char *dir, uint32_t count)
{
    for (rn_shard s = {0, count}; s.index < count; s.index++) {
        char path[128];
        uint64_t first, end;
        rn_shard_slice(&s, N, &first, &end);
        assert_int_equal(rn_shard_path(path, sizeof path, dir, &s), 0);
        set_make(path, (uint32_t)first, (uint32_t)end, s, NULL);
    }
}

/* Every record of the whole set, at its place, whatever part it is in. */
static void one_store_of_many(void **state)
{
    (void)state;
    static const uint32_t counts[] = {1, 2, 7, 31};
    set_make("one", 0, N, (rn_shard){0}, NULL);
    rn_seal *whole = NULL;
    assert_int_equal(rn_seal_read("one", &whole), 0);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        char dir[32], key[SET_KEY];
        rn_store *s = NULL;
        rn_store_txn *t = NULL;
        rn_buf b = {0};
        rn_stored v;
        snprintf(dir, sizeof dir, "in%u", counts[i]);
        make_shards(dir, counts[i]);
        if (rn_store_open(dir, 0, &s) < 0)
            fail_msg("%s", rn_error_text());
        assert_int_equal(rn_store_count(s), N);
        assert_int_equal(rn_store_nparts(s), counts[i]);
        assert_int_equal(rn_store_begin(s, &t), 0);
        for (uint32_t k = 0; k < N; k++) {
            uint32_t at = k * 7 % N; /* from part to part */
            set_record(at, key, &b);
            assert_int_equal(rn_store_get_stored(t, at, &v), 0);
            assert_int_equal(v.key_n, strlen(key));
            assert_memory_equal(v.key, key, v.key_n);
            assert_int_equal(v.value_n, b.n);
            assert_memory_equal(v.value, b.data, b.n);
        }
        assert_int_equal(rn_store_get_stored(t, N, &v), RN_E_RANGE);
        uint32_t next = 0;
        for (int p = 0; p < rn_store_nparts(s); p++) {
            rn_store_part part = rn_store_part_at(s, p);
            assert_int_equal(part.first, next);
            assert_int_equal(part.seal->shard.index, p);
            next += part.count;
        }
        assert_int_equal(next, N);
        const rn_seal *k = rn_store_seal(s);
        assert_int_equal(k->records, whole->records);
        assert_int_equal(k->data_bytes, whole->data_bytes);
        assert_int_equal(k->shard.count, 0);
        for (int c = 0; c < SET_CLASSES; c++)
            assert_int_equal(k->classes[c].records, whole->classes[c].records);
        assert_string_equal(rn_store_wnids(s)[4], "class4");
        assert_null(rn_store_wnids(s)[5]);
        assert_int_equal(strlen(rn_store_seal_digest(s)), 64);
        rn_store_end(t);
        rn_store_close(s);
        rn_buf_free(&b);
    }
    rn_seal_free(whole);
}

static int open_it(const char *dir, const char *says)
{
    rn_store *s = NULL;
    int rc = rn_store_open(dir, 0, &s);
    if (rc < 0 && !strstr(rn_error_text(), says))
        fail_msg("'%s' does not say '%s'", rn_error_text(), says);
    rn_store_close(s);
    return rc;
}

/* A set's folders, each changed in one thing. */
static void folders_that_are_no_set(void **state)
{
    (void)state;
    const rn_shard one = {1, 3};
    uint64_t first, end;
    rn_shard_slice(&one, N, &first, &end);
    make_shards("set", 3);
    assert_int_equal(open_it("set", ""), 0);
    const struct {
        const char *says;
        rn_seal seal;
    } cases[] = {
        {"whole set, not a shard", {.shard = {0, 0}}},
        {"both shard 0 of 3", {.shard = {0, 3}}},
        {"shard 1 of 4, but", {.shard = {1, 4}}},
        {"the options differ", {.shard = one, .options = (char *)"shuffle=1"}},
        {"the kind of source differ", {.shard = one, .kind = (char *)"tree"}},
        {"the list of images differ", {.shard = one, .list_sha256 = "11"}},
        {"its seal counts 168 images, shard 1 of 3 has 167", {.shard = one, .skipped = 1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rn_seal s = cases[i].seal, *was = NULL;
        assert_int_equal(rn_seal_read("set/00001-of-00003", &was), 0);
        s.records = was->records;
        s.data_bytes = was->data_bytes;
        memcpy(s.content_sha256, was->content_sha256, sizeof s.content_sha256);
        set_seal("set/00001-of-00003", &s, (uint32_t)first, (uint32_t)end);
        assert_int_equal(open_it("set", cases[i].says), RN_E_MISMATCH);
        set_seal("set/00001-of-00003", was, (uint32_t)first, (uint32_t)end);
        rn_seal_free(was);
        assert_int_equal(open_it("set", ""), 0);
    }
    /* As many records of the same sizes, but others' keys. */
    assert_int_equal(rename("set/00001-of-00003", "away"), 0);
    assert_int_equal(open_it("set", "shard 1 of 3 is not there: pack it with --shard 1/3"), RN_E_MISMATCH);
    set_make("set/00001-of-00003", (uint32_t)first - 3, (uint32_t)end - 3, one, NULL);
    assert_int_equal(open_it("set", "its keys do not follow those of"), RN_E_MISMATCH);

    assert_int_equal(mkdir("nothing", 0777), 0);
    assert_int_equal(mkdir("nothing/logs", 0777), 0);
    assert_int_equal(open_it("nothing", "no packed set there"), RN_E_NOENT);
    assert_int_equal(open_it("nowhere", "no packed set there"), RN_E_NOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices),
        cmocka_unit_test(names),
        cmocka_unit_test(launchers),
        cmocka_unit_test(one_store_of_many),
        cmocka_unit_test(folders_that_are_no_set),
    };
    return cmocka_run_group_tests(tests, enter_scratch, leave_scratch);
}
