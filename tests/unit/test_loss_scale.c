/* SPDX-License-Identifier: MIT */
/* The dynamic loss scale: halves, doubles, counts, gives up; and the words for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/rn_error.h"
#include "nn/optim/rn_loss_scale.h"
#include "op/rn_op_now.h"

static void test_moves(void **state)
{
    (void)state;
    rn_loss_scale s = {.scale = RN_LOSS_SCALE_START};
    for (int i = 1; i < RN_LOSS_SCALE_GROWTH; i++)
        assert_true(rn_loss_scale_move(&s, false));
    assert_true(s.scale == 65536 && s.good == 1999);
    assert_true(rn_loss_scale_move(&s, true)); /* one short: from the beginning again */
    assert_true(s.scale == 32768 && s.good == 0 && s.skipped == 1);
    for (int i = 0; i < RN_LOSS_SCALE_GROWTH; i++)
        assert_true(rn_loss_scale_move(&s, false));
    assert_true(s.scale == 65536 && s.good == 0 && s.skipped == 1);
}

static void test_gives_up(void **state)
{
    (void)state;
    rn_loss_scale s = {.scale = RN_LOSS_SCALE_START};
    for (int i = 0; i < 16; i++)
        assert_true(rn_loss_scale_move(&s, true));
    assert_true(s.scale == 1);
    assert_int_equal(rn_loss_scale_check(&s), RN_OK);
    assert_false(rn_loss_scale_move(&s, true));
    assert_int_equal(rn_loss_scale_check(&s), RN_E_MISMATCH);
    assert_non_null(strstr(rn_error_text(), "17 steps left out"));
}

static void test_words(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool f16, dynamic;
        double start;
    } good[] = {{NULL, true, true, 65536},  {NULL, false, false, 1},
                {"none", true, false, 1},   {"dynamic", false, true, 65536},
                {"128", false, false, 128}, {"dynamic:1024", true, true, 1024},
                {"1", true, false, 1}};
    static const char *const bad[] = {"",     "0",        "0.5",       "-2",        "nan", "inf",
                                      "1e30", "dynamic:", "dynamic:0", "dynamical", "12x"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        bool dynamic;
        double start;
        assert_int_equal(rn_loss_scale_parse(good[i].text, good[i].f16, &dynamic, &start), RN_OK);
        assert_int_equal(dynamic, good[i].dynamic);
        assert_true(start == good[i].start);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bool dynamic;
        double start;
        assert_int_equal(rn_loss_scale_parse(bad[i], true, &dynamic, &start), RN_E_USAGE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moves),
        cmocka_unit_test(test_gives_up),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
