/* SPDX-License-Identifier: MIT */
/* rn-bench compare on drawn samples whose true ratio is known: how often it is wrong about a whole table of cases, on a quiet
 * machine and on a disturbed one, and what it still finds. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rn_rng.h"
#include "bench/bench_compare.h"

enum { CASES = 96, ROUNDS = 11, TABLES = 200 };

typedef struct machine {
    double spread;     /* of a round, of its time; one-sided */
    double come, stay; /* a neighbour: the chance that one comes in a round, and that one who is there stays */
    double slower;     /* what he takes, of a round's time */
} machine;

static double uniform(rn_rng *r)
{
    return (rn_rng_u32(r) + 0.5) * 0x1p-32;
}

/* A run of rn-bench: case after case, round after round; neighbours stay over the ends of cases. True times: 10 ms, and in the
 * first `changed` cases 10 ms / speed. */
static void draw(rn_rng *rng, const machine *m, int changed, double speed, bench_record *v, double (*samples)[ROUNDS])
{
    bool there = uniform(rng) < m->come / (m->come + 1 - m->stay);

    for (int c = 0; c < CASES; c++) {
        v[c] = (bench_record){.algo = "cpu:x", .unit = "ms", .less_is_better = true, .device = "", .weight = 1};
        snprintf(v[c].key, sizeof v[c].key, "case %d", c);
        v[c].samples = samples[c];
        v[c].n = ROUNDS;
        for (int i = 0; i < ROUNDS; i++) {
            there = uniform(rng) < (there ? m->stay : m->come);
            samples[c][i] = 10 / (c < changed ? speed : 1) * (1 - m->spread * log(uniform(rng)));
            samples[c][i] *= there ? 1 + m->slower * (0.5 + uniform(rng)) : 1;
        }
        v[c].value = samples[c][ROUNDS / 2];
    }
}

typedef struct outcome {
    int tables_wrong; /* with a verdict on a case that had not changed */
    double found;     /* of the changed cases, the share that was found */
    double same;      /* of the others, the share called the same */
} outcome;

static outcome compare(const machine *m, int changed, double speed, int tables)
{
    static double sa[CASES][ROUNDS], sb[CASES][ROUNDS];
    static bench_record va[CASES], vb[CASES];
    const bench_compare_opts opts = {.tolerance = 0.02, .confidence = 0.95};
    const bench_records a = {.v = va, .n = CASES}, b = {.v = vb, .n = CASES};
    outcome o = {0};
    rn_rng rng;

    rn_rng_seed(&rng, 5, RN_STREAM_TEST, 0, 0);
    for (int t = 0; t < tables; t++) {
        bench_comparison c = {0};
        int wrong = 0;
        draw(&rng, m, 0, 1, va, sa);
        draw(&rng, m, changed, speed, vb, sb);
        assert_int_equal(bench_compare(&a, &b, &opts, &c), 0);
        assert_int_equal(c.n, CASES);
        for (int i = 0; i < CASES; i++) {
            const enum bench_verdict want = speed < 1 ? BENCH_SLOWER : BENCH_FASTER, got = c.v[i].verdict;
            if (i < changed)
                o.found += got == want;
            else
                o.same += got == BENCH_SAME;
            wrong += i < changed ? got == BENCH_SAME || (got != want && got != BENCH_UNCLEAR)
                                 : got == BENCH_FASTER || got == BENCH_SLOWER;
        }
        o.tables_wrong += wrong > 0;
        bench_comparison_free(&c);
    }
    o.found /= changed ? (double)tables * changed : 1;
    o.same /= (double)tables * (CASES - changed);
    print_message("# %d of %d tables wrong, %.3f of the changed found, %.3f called the same\n", o.tables_wrong, tables,
                  o.found, o.same);
    return o;
}

static const machine quiet = {0.004, 0.002, 0.3, 0.5}, busy = {0.01, 0.03, 0.95, 0.6};

/* At most 1 table in 20 by --confidence 95; and a difference of 10 % is found, in however many cases. */
static void on_a_quiet_machine(void **state)
{
    (void)state;
    const outcome none = compare(&quiet, 0, 1, TABLES);
    assert_true(none.tables_wrong <= TABLES / 20 && none.same > 0.9);
    const outcome few = compare(&quiet, 5, 1 / 1.1, TABLES), all = compare(&quiet, CASES / 2, 1.1, TABLES);
    assert_true(few.tables_wrong <= TABLES / 20 && few.found > 0.9);
    assert_true(all.tables_wrong <= TABLES / 20 && all.found > 0.9);
}

/* A neighbour who stays for two cases on the average: rounds are not independent, but no more verdicts are wrong. */
static void on_a_busy_machine(void **state)
{
    (void)state;
    const outcome none = compare(&busy, 0, 1, TABLES), much = compare(&busy, 5, 1 / 3.0, TABLES);
    assert_true(none.tables_wrong <= TABLES / 20);
    assert_true(much.tables_wrong <= TABLES / 20 && much.found > 0.5);
}

/* Two algorithms of one run: a neighbour is in a round of both, and costs no verdict. */
static void in_one_run(void **state)
{
    double sa[4][6], sb[4][6];
    bench_record v[8] = {0};
    const bench_records r = {.v = v, .n = 8};
    const bench_compare_opts opts = {.tolerance = 0.02, .confidence = 0.95, .a_algo = "cpu:a", .b_algo = "cpu:b"};
    bench_comparison c = {0};

    (void)state;
    for (int i = 0; i < 4; i++) {
        v[2 * i] =
            (bench_record){.algo = "cpu:a", .unit = "ms", .less_is_better = true, .value = 10, .n = 6, .weight = 1};
        snprintf(v[2 * i].key, sizeof v[2 * i].key, "case %d", i);
        v[2 * i + 1] = v[2 * i];
        v[2 * i + 1].algo = "cpu:b";
        v[2 * i].samples = sa[i];
        v[2 * i + 1].samples = sb[i];
        for (int k = 0; k < 6; k++) {
            sa[i][k] = 10 + 0.01 * k;
            sb[i][k] = 8 + 0.01 * k;
        }
    }
    /* six pairs tell one case with 95 %, not four at once; as samples of their own, 6 and 6, they tell */
    assert_int_equal(bench_compare(&r, &r, &opts, &c), 0);
    assert_int_equal(c.n, 4);
    assert_true(c.noise == 1 && c.confidence_each > 0.987 && c.confidence_each < 0.988);
    for (int i = 0; i < 4; i++)
        assert_int_equal(c.v[i].verdict, BENCH_FASTER);
    bench_comparison_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_a_quiet_machine),
        cmocka_unit_test(on_a_busy_machine),
        cmocka_unit_test(in_one_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
