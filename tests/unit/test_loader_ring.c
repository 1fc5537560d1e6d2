/* SPDX-License-Identifier: MIT */
/* The loader's ring: memory that does not grow with the set, epochs that follow without a gap, whole batches before a damaged
 * record, and evaluation in every shape of batch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "base/rn_error.h"
#include "data/load/rn_loader.h"
#include "loader_sets.h"
#include "sanitized.h"

enum { N = 103, SIDE = 16, BYTES = SIDE * SIDE * 3 };

static rn_store *good, *damaged;

static int setup(void **state)
{
    (void)state;
    good = make_store("good.lmdb", N, false, false);
    damaged = make_store("damaged.lmdb", N, false, true);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rn_store_close(good);
    rn_store_close(damaged);
    return 0;
}

static rn_loader_opts options(bool train, int batch, int workers, int depth)
{
    return (rn_loader_opts){.train = train,
                            .batch = batch,
                            .width = SIDE,
                            .height = SIDE,
                            .channels = 3,
                            .seed = 8,
                            .workers = workers,
                            .depth = depth,
                            .flip = true,
                            .resize_short = train ? 0 : 18};
}

/* ---- memory ---------------------------------------------------------------------------------------------------- */

/* A field of /proc/self/status in KiB; -1 where there is none. */
static long status_kib(const char *field)
{
    char line[256];
    long v = -1;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, field, strlen(field)) == 0 && line[strlen(field)] == ':')
            v = strtol(line + strlen(field) + 1, NULL, 10);
    if (f)
        fclose(f);
    return v;
}

/* n records of 192 KiB of raw pixels. */
static rn_store *make_large(const char *dir, uint32_t n)
{
    enum { SIZE = 256 * 256 * 3 };
    static uint8_t px[SIZE];
    rn_packdb *db = NULL;
    rn_store *s = NULL;
    assert_int_equal(rn_packdb_open(dir, "a test's set", &db), 0);
    for (uint32_t i = 0; i < n; i++) {
        rn_buf b = {0};
        char key[64], hex[RN_DIGEST_HEX_MAX];
        memset(px, (int)(i & 255), SIZE);
        assert_int_equal(rn_datum_pack_raw(px, 3, 256, 256, 0, &b), 0);
        snprintf(key, sizeof key, "%08u_c/%u", i, i);
        assert_int_equal(rn_chain_record(key, strlen(key), b.data, b.n, hex), 0);
        assert_int_equal(rn_packdb_put(db, key, b.data, b.n, hex, SIZE), 0);
        rn_buf_free(&b);
    }
    assert_int_equal(rn_packdb_flush(db), 0);
    rn_packdb_close(db);
    assert_int_equal(rn_store_open(dir, RN_STORE_UNSEALED_OK, &s), 0);
    return s;
}

typedef struct peak {
    long anon, file; /* KiB */
} peak;

static peak peak_over(rn_store *s, int workers, int batches)
{
    rn_loader_opts o = options(true, 8, workers, 0);
    rn_loader *l = NULL;
    peak p = {0};
    o.resident = 16 << 20;
    assert_int_equal(rn_loader_open(s, &o, &l), 0);
    for (int i = 0; i < batches; i++) {
        rn_batch b;
        assert_int_equal(rn_loader_next(l, &b), 1);
        rn_loader_release(l, &b);
        long anon = status_kib("RssAnon"), file = status_kib("RssFile");
        p.anon = anon > p.anon ? anon : p.anon;
        p.file = file > p.file ? file : p.file;
    }
    rn_loader_close(l);
    return p;
}

/* Sets of 6, 24 and 96 MiB, two epochs each: neither what the process allocates nor what it maps in grows with them. */
static void memory_does_not_grow_with_the_set(void **state)
{
    (void)state;
    static const int workers[] = {1, 2, 8};
    static const uint32_t sizes[] = {32, 128, 512};
    if (status_kib("RssFile") < 0)
        skip();
    rn_store *sets[3];
    for (int i = 0; i < 3; i++) {
        char dir[32];
        snprintf(dir, sizeof dir, "large%d.lmdb", i);
        sets[i] = make_large(dir, sizes[i]);
    }
    for (int w = 0; w < 3; w++) {
        peak first = {0};
        for (int i = 0; i < 3; i++) {
            peak p = peak_over(sets[i], workers[w], 2 * (int)sizes[i] / 8);
            first = i ? first : p;
            print_message("# %d workers, %3u MiB: anonymous %ld KiB, file %ld KiB\n", workers[w], sizes[i] * 192 / 1024,
                          p.anon, p.file);
            assert_true(SANITIZED || p.anon < first.anon + 2048);
            assert_true(SANITIZED ||
                        p.file < 72 << 10); /* the limit, and what comes with each record between two counts */
        }
    }
    for (int i = 0; i < 3; i++)
        rn_store_close(sets[i]);
}

/* ---- epochs ---------------------------------------------------------------------------------------------------- */

/* Waits until the workers have made `images` images in all; false when they stop short of it. */
static bool made(rn_loader *l, uint64_t images)
{
    rn_loader_profile p;
    for (int i = 0; i < 20000; i++) {
        rn_loader_profiled(l, &p);
        if (p.images == images)
            return true;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return false;
}

/* With the consumer at rest the ring fills to its depth, wherever the epoch ends in it. */
static void ring_is_full_across_epochs(void **state)
{
    (void)state;
    enum { BATCH = 10, DEPTH = 4 }; /* 10 batches an epoch */
    rn_loader_opts o = options(true, BATCH, 2, DEPTH);
    rn_loader *l = NULL;
    rn_batch b;
    o.drop_last = true;
    assert_int_equal(rn_loader_open(good, &o, &l), 0);
    for (uint32_t taken = 0; taken < 32; taken++) {
        assert_true(made(l, (taken + DEPTH) * BATCH));
        assert_int_equal(rn_loader_next(l, &b), 1);
        assert_true(b.epoch == taken / 10 && b.number == taken % 10);
        rn_loader_release(l, &b);
    }
    rn_loader_close(l);
}

static bool soon_ready(rn_loader *l)
{
    for (int i = 0; i < 20000 && !rn_loader_ready(l); i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    return rn_loader_ready(l);
}

/* Who asks first never waits, to the last batch and beyond; nor where the answer is an error. */
static void ready_is_no_wait(void **state)
{
    (void)state;
    rn_loader_opts o = options(false, 10, 2, 3);
    rn_batch held[3], b;
    rn_loader *l = NULL;
    assert_int_equal(rn_loader_open(good, &o, &l), 0);
    assert_int_equal(rn_loader_seek(l, 0, 0), 0);
    for (int i = 0; i < 3; i++) {
        assert_true(soon_ready(l));
        assert_int_equal(rn_loader_next(l, &held[i]), 1);
    }
    assert_true(rn_loader_ready(l));
    assert_int_equal(rn_loader_next(l, &b), RN_E_RANGE);
    for (int i = 0; i < 3; i++)
        rn_loader_release(l, &held[i]);
    for (int left = (N + 9) / 10 - 3; left > 0; left--) {
        assert_true(soon_ready(l));
        assert_int_equal(rn_loader_next(l, &b), 1);
        rn_loader_release(l, &b);
    }
    assert_true(rn_loader_ready(l));
    assert_int_equal(rn_loader_next(l, &b), 0);
    rn_loader_close(l);

    o = options(true, N, 2, 1); /* a batch that takes long, and that holds what is damaged */
    assert_int_equal(rn_loader_open(damaged, &o, &l), 0);
    assert_true(soon_ready(l));
    assert_int_equal(rn_loader_next(l, &b), RN_E_FORMAT);
    rn_loader_close(l);
}

/* ---- a damaged record ------------------------------------------------------------------------------------------ */

/* Batches of the damaged set are those of the good one until the first that holds a bad record, which is named; beyond it,
 * after a seek, they are so again. */
static void no_batch_is_torn(void **state)
{
    (void)state;
    static const int workers[] = {1, 2, 7};
    for (int w = 0; w < 3; w++) {
        rn_loader_opts o = options(true, 10, workers[w], 3);
        rn_loader *g = NULL, *d = NULL;
        int bad = 0, fine = 0;
        assert_int_equal(rn_loader_open(good, &o, &g), 0);
        assert_int_equal(rn_loader_open(damaged, &o, &d), 0);
        for (int i = 0; i < 33; i++) {
            rn_batch want, got;
            uint32_t culprit = UINT32_MAX;
            assert_int_equal(rn_loader_next(g, &want), 1);
            for (int k = want.n - 1; k >= 0; k--)
                culprit = want.index[k] >= BAD && want.index[k] < BAD + 4 ? want.index[k] : culprit;
            int rc = rn_loader_next(d, &got);
            if (culprit != UINT32_MAX && rc == RN_E_FORMAT) {
                char name[64];
                snprintf(name, sizeof name, "damaged.lmdb: %08u_c/%u.JPEG: ", culprit, culprit);
                assert_non_null(strstr(rn_error_text(), name));
                assert_int_equal(rn_loader_seek(d, want.epoch, want.number + 1), 0);
                bad++;
            } else { /* a crop may end above the damage */
                assert_int_equal(rc, 1);
                assert_true(culprit == UINT32_MAX || culprit == BAD);
                assert_true(got.epoch == want.epoch && got.number == want.number && got.n == want.n);
                assert_memory_equal(got.index, want.index, 10 * sizeof *got.index);
                assert_memory_equal(got.labels, want.labels, 10 * sizeof *got.labels);
                assert_memory_equal(got.images, want.images, 10 * BYTES);
                rn_loader_release(d, &got);
                fine++;
            }
            rn_loader_release(g, &want);
        }
        assert_true(bad >= 6 && fine >= 15);
        rn_loader_close(g);
        rn_loader_close(d);
    }
}

/* ---- evaluation ------------------------------------------------------------------------------------------------ */

static void evaluation_is_one_in_every_shape(void **state)
{
    (void)state;
    static const int batches[] = {1, 7, N - 1, N, N + 1, 3 * N}, workers[] = {1, 7}, depths[] = {1, 5};
    static uint8_t want[N * BYTES];
    for (int c = 0; c < 6 * 2 * 2; c++) {
        const int batch = batches[c / 4];
        rn_loader_opts o = options(false, batch, workers[c / 2 % 2], depths[c % 2]);
        rn_loader *l = NULL;
        rn_batch b;
        uint32_t at = 0;
        int more;
        assert_int_equal(rn_loader_open(good, &o, &l), 0);
        assert_int_equal(rn_loader_batches(l), (N + batch - 1) / batch);
        for (; (more = rn_loader_next(l, &b)) == 1; rn_loader_release(l, &b))
            for (int i = 0; i < batch; i++) {
                const uint8_t *px = b.images + (size_t)i * BYTES;
                static const uint8_t nothing[BYTES];
                if (i >= b.n) {
                    assert_memory_equal(px, nothing, BYTES);
                    assert_true(b.labels[i] == 0 && b.index[i] == 0);
                    continue;
                }
                assert_int_equal(b.index[i], at);
                assert_int_equal(b.labels[i], at % 5);
                if (c == 0)
                    memcpy(want + (size_t)at * BYTES, px, BYTES);
                assert_memory_equal(px, want + (size_t)at * BYTES, BYTES);
                at++;
            }
        assert_int_equal(more, 0);
        assert_int_equal(at, N);
        rn_loader_close(l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_does_not_grow_with_the_set),
        cmocka_unit_test(ring_is_full_across_epochs),
        cmocka_unit_test(ready_is_no_wait),
        cmocka_unit_test(no_batch_is_torn),
        cmocka_unit_test(evaluation_is_one_in_every_shape),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
