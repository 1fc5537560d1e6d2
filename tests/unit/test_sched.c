/* SPDX-License-Identifier: MIT */
/* Learning-rate schedules against values worked out by hand, and the metrics. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/rn_error.h"
#include "nn/optim/rn_metrics.h"
#include "nn/optim/rn_sched.h"

static void near(double got, double want)
{
    if (!(fabs(got - want) <= 1e-14 * (1 + fabs(want))))
        fail_msg("got %.17g, wanted %.17g", got, want);
}

static const rn_sched base = {.kind = RN_SCHED_CONSTANT, .lr = 0.1, .gamma = 0.1, .steps_per_epoch = 10, .total = 900};

static void test_constant(void **state)
{
    (void)state;
    for (int step = 0; step < 1000; step += 111)
        near(rn_sched_lr(&base, step), 0.1);
}

static void test_step(void **state)
{
    (void)state;
    rn_sched s = base;
    s.kind = RN_SCHED_STEP;
    s.size = 30;
    assert_int_equal(rn_sched_check(&s), RN_OK);
    near(rn_sched_lr(&s, 0), 0.1);
    near(rn_sched_lr(&s, 299), 0.1);
    near(rn_sched_lr(&s, 300), 0.01);
    near(rn_sched_lr(&s, 599), 0.01);
    near(rn_sched_lr(&s, 600), 0.001);
    near(rn_sched_lr(&s, 899), 0.001);
}

static void test_multistep(void **state)
{
    (void)state;
    rn_sched s = base;
    s.kind = RN_SCHED_MULTISTEP;
    s.gamma = 0.5;
    assert_int_equal(rn_sched_parse_milestones("2,5,6", &s), RN_OK);
    assert_int_equal(s.nmilestones, 3);
    assert_int_equal(rn_sched_check(&s), RN_OK);
    near(rn_sched_lr(&s, 19), 0.1);
    near(rn_sched_lr(&s, 20), 0.05);
    near(rn_sched_lr(&s, 50), 0.025);
    near(rn_sched_lr(&s, 60), 0.0125);
    near(rn_sched_lr(&s, 899), 0.0125);
}

static void test_cosine(void **state)
{
    (void)state;
    rn_sched s = base;
    s.kind = RN_SCHED_COSINE;
    s.total = 100;
    s.end = 0.02;
    near(rn_sched_lr(&s, 0), 0.1);
    near(rn_sched_lr(&s, 50), 0.06);                                 /* half-way: the mean of both ends */
    near(rn_sched_lr(&s, 25), 0.06 + 0.04 * 0.70710678118654752440); /* cos(pi/4) */
    near(rn_sched_lr(&s, 100), 0.02);
    near(rn_sched_lr(&s, 5000), 0.02);
}

static void test_warmup(void **state)
{
    (void)state;
    rn_sched s = base;
    s.kind = RN_SCHED_COSINE;
    s.total = 60;
    s.warmup = 20;
    near(rn_sched_lr(&s, 0), 0.1 / 20);
    near(rn_sched_lr(&s, 9), 0.05);
    near(rn_sched_lr(&s, 19), 0.1);
    near(rn_sched_lr(&s, 20), 0.1);  /* the cosine starts where the warm-up ends */
    near(rn_sched_lr(&s, 40), 0.05); /* and is half-way at half of what is left */
    s.warmup_factor = 0.5;
    near(rn_sched_lr(&s, 9), 0.075);
    s.warmup = 5;
    near(rn_sched_lr(&s, 0), 0.1 * (0.5 + 0.5 / 5));
    near(rn_sched_lr(&s, 4), 0.1);
    s.kind = RN_SCHED_STEP;
    s.size = 3;
    s.warmup = 20;
    near(rn_sched_lr(&s, 29), 0.1);
    near(rn_sched_lr(&s, 30), 0.01); /* epochs count from the start of training */
}

static void test_refusals(void **state)
{
    (void)state;
    rn_sched s = base;
    assert_int_equal(rn_sched_check(&s), RN_OK);
#define REFUSED(change)                                                                                                \
    do {                                                                                                               \
        s = base;                                                                                                      \
        change;                                                                                                        \
        assert_int_equal(rn_sched_check(&s), RN_E_RANGE);                                                              \
    } while (0)
    REFUSED(s.lr = 0);
    REFUSED(s.lr = NAN);
    REFUSED(s.lr = INFINITY);
    REFUSED(s.total = 0);
    REFUSED(s.steps_per_epoch = 0);
    REFUSED(s.warmup = 900);
    REFUSED(s.warmup = -1);
    REFUSED(s.warmup_factor = 1.5);
    REFUSED((s.kind = RN_SCHED_STEP, s.size = 0));
    REFUSED((s.kind = RN_SCHED_STEP, s.size = 1, s.gamma = NAN));
    REFUSED((s.kind = RN_SCHED_COSINE, s.end = 0.2));
    REFUSED(s.kind = RN_SCHED_MULTISTEP);
    REFUSED((s.kind = RN_SCHED_MULTISTEP, s.nmilestones = 2, s.milestones[0] = 3, s.milestones[1] = 3));
    const char *const bad[] = {"", ",", "3,", "3,,4", "3,3", "4,3", "0", "-1", "3x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(rn_sched_parse_milestones(bad[i], &s), RN_E_USAGE);
    char many[512] = "1"; /* one more than there is room for */
    for (int i = 2, n = 1; i <= RN_SCHED_MAX_MILESTONES + 1; i++)
        n += snprintf(many + n, sizeof many - (size_t)n, ",%d", i);
    assert_int_equal(rn_sched_parse_milestones(many, &s), RN_E_USAGE);
}

static void test_metrics(void **state)
{
    (void)state;
    rn_metrics m = {0};
    assert_true(isnan(rn_metrics_summary(&m).top1));
    rn_metrics_add(&m, &(rn_net_result){.n = 60, .loss_sum = 30, .top1 = 50, .top5 = 60});
    rn_metrics_add(&m, &(rn_net_result){.n = 40, .loss_sum = 70, .top1 = 30, .top5 = 30});
    rn_summary s = rn_metrics_summary(&m);
    assert_int_equal(s.n, 100);
    near(s.loss, 1.0);
    near(s.top1, 80);
    near(s.top5, 90);
    near(s.se_top1, 4);
    near(s.se_top5, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_constant), cmocka_unit_test(test_step),   cmocka_unit_test(test_multistep),
        cmocka_unit_test(test_cosine),   cmocka_unit_test(test_warmup), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_metrics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
