/* SPDX-License-Identifier: MIT */
/* The orders of an epoch: every record once, the same for the same (seed, epoch), and page-local ones near where they lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "data/load/rn_sampler.h"

enum { N = 1000 };

static void is_a_permutation(const uint32_t *order, uint32_t n)
{
    uint8_t *seen = calloc(n + 1, 1);
    assert_non_null(seen);
    for (uint32_t i = 0; i < n; i++) {
        assert_true(order[i] < n);
        assert_int_equal(seen[order[i]]++, 0);
    }
    free(seen);
}

static void random_orders(void **state)
{
    (void)state;
    static uint32_t a[N], b[N];
    rn_sampler_order(&(rn_sampler){.seed = 7}, 0, N, a);
    rn_sampler_order(&(rn_sampler){.seed = 7}, 0, N, b);
    assert_memory_equal(a, b, sizeof a);
    is_a_permutation(a, N);
    int fixed = 0;
    for (uint32_t i = 0; i < N; i++)
        fixed += a[i] == i;
    assert_true(fixed < 10);
    rn_sampler_order(&(rn_sampler){.seed = 7}, 1, N, b);
    assert_memory_not_equal(a, b, sizeof a);
    rn_sampler_order(&(rn_sampler){.seed = 8}, 0, N, b);
    assert_memory_not_equal(a, b, sizeof a);
    rn_sampler_order(&(rn_sampler){.seed = 8}, 3, 0, NULL);
}

static void key_order(void **state)
{
    (void)state;
    static uint32_t a[N];
    rn_sampler_order(&(rn_sampler){.order = RN_ORDER_KEYS, .seed = 8}, 3, N, a);
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(a[i], i);
}

/* All sizes around those of blocks and windows. */
static void page_local_orders_are_permutations(void **state)
{
    (void)state;
    static uint32_t a[N], b[N];
    static const uint32_t blocks[] = {1, 2, 7, 64, 999, 1000, 1001, UINT32_MAX, 0},
                          windows[] = {1, 2, 5, 100, UINT32_MAX, 0};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        for (size_t j = 0; j < sizeof windows / sizeof *windows; j++)
            for (uint32_t n = 0; n <= N; n = n < 20 ? n + 1 : n + 49) {
                rn_sampler s = {.order = RN_ORDER_PAGE_LOCAL, .seed = n, .block = blocks[i], .window = windows[j]};
                rn_sampler_order(&s, n, n, a);
                is_a_permutation(a, n);
                rn_sampler_order(&s, n, n, b);
                assert_memory_equal(a, b, n * sizeof *a);
            }
}

/* What a window promises: at any time its records come from `window` runs of neighbours, and epochs cut elsewhere. */
static void page_local_orders_stay_near(void **state)
{
    (void)state;
    enum { M = 10000, BLOCK = 50, WINDOW = 4 };
    static uint32_t a[M], b[M], sorted[BLOCK * WINDOW];
    const rn_sampler s = {.order = RN_ORDER_PAGE_LOCAL, .seed = 3, .block = BLOCK, .window = WINDOW};
    uint32_t place[M];
    rn_sampler_order(&s, 0, M, a);
    rn_sampler_order(&s, 1, M, b);
    assert_memory_not_equal(a, b, sizeof a);
    for (uint32_t i = 0; i < M; i++)
        place[a[i]] = i;
    int cuts = 0, cuts_other = 0, in_order = 0;
    for (uint32_t i = 0; i + 1 < M; i++) {
        uint32_t apart = place[i] > place[i + 1] ? place[i] - place[i + 1] : place[i + 1] - place[i];
        cuts += apart >= BLOCK * WINDOW; /* only where a block ends */
        in_order += a[i] + 1 == a[i + 1];
    }
    for (uint32_t i = 0; i < M; i++)
        place[b[i]] = i;
    for (uint32_t i = 0; i + 1 < M; i++) {
        uint32_t apart = place[i] > place[i + 1] ? place[i] - place[i + 1] : place[i + 1] - place[i];
        cuts_other += apart >= BLOCK * WINDOW;
    }
    assert_in_range(cuts, M / BLOCK / 2, M / BLOCK + 1);
    assert_in_range(cuts_other, M / BLOCK / 2, M / BLOCK + 1);
    assert_true(in_order < M / 50); /* shuffled inside a window: neighbours follow one another by chance */
    /* A window in the middle holds WINDOW runs: sort its records, count the gaps. It may hold the epoch's two short blocks. */
    memcpy(sorted, a, sizeof sorted);
    for (size_t i = 1; i < BLOCK * WINDOW; i++)
        for (size_t j = i; j > 0 && sorted[j] < sorted[j - 1]; j--) {
            uint32_t t = sorted[j];
            sorted[j] = sorted[j - 1];
            sorted[j - 1] = t;
        }
    int gaps = 0;
    for (size_t i = 1; i < BLOCK * WINDOW; i++)
        gaps += sorted[i] != sorted[i - 1] + 1;
    assert_true(gaps <= 2 * WINDOW);
}

/* Over many epochs every record is in every tenth of the epoch about equally often. */
static void page_local_orders_are_fair(void **state)
{
    (void)state;
    enum { EPOCHS = 2000, M = 500, PARTS = 10 };
    static uint32_t a[M], count[M][PARTS];
    for (uint32_t e = 0; e < EPOCHS; e++) {
        rn_sampler_order(&(rn_sampler){.order = RN_ORDER_PAGE_LOCAL, .seed = 1, .block = 16, .window = 4}, e, M, a);
        for (uint32_t i = 0; i < M; i++)
            count[a[i]][i * PARTS / M]++;
    }
    /* Mean 200, standard deviation 13.4: six of them away in 5,000 cells does not happen by chance. */
    for (int i = 0; i < M; i++)
        for (int k = 0; k < PARTS; k++)
            assert_in_range(count[i][k], 120, 280);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_orders),
        cmocka_unit_test(key_order),
        cmocka_unit_test(page_local_orders_are_permutations),
        cmocka_unit_test(page_local_orders_stay_near),
        cmocka_unit_test(page_local_orders_are_fair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
