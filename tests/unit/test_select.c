/* SPDX-License-Identifier: MIT */
/* The selector: order, pattern, workspace limit, measurement, and what the tuning file keeps. The algorithms here are
 * stand-ins whose speed is known, in front of the real CPU backend's memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_opt.h"
#include "kernels/rn_kernels.h"
#include "op/rn_measure.h"
#include "op/rn_select.h"

static int runs; /* of all stand-ins */

static bool does_all(rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, const char **why)
{
    (void)be, (void)d, (void)dir, (void)why;
    return true;
}

static bool does_fwd(rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, const char **why)
{
    (void)be, (void)d;
    *why = "forward only";
    return dir == RN_FWD;
}

static size_t much(rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir)
{
    (void)be, (void)d, (void)dir;
    return 1 << 20;
}

static int run_slow(rn_conv_plan *plan, const rn_conv_args *a, int beta, void *ws, void *stream)
{
    (void)plan, (void)a, (void)beta, (void)ws, (void)stream;
    runs++;
    usleep(3000);
    return 0;
}

static int run_fast(rn_conv_plan *plan, const rn_conv_args *a, int beta, void *ws, void *stream)
{
    (void)plan, (void)a, (void)beta, (void)stream;
    assert_non_null(ws);
    runs++;
    return 0;
}

static const rn_conv_algo lowprec = {
    .name = "t:lowprec", .flags = RN_ALGO_DETERMINISTIC | RN_ALGO_LOWPREC, .supports = does_all, .run = run_slow};
static const rn_conv_algo slow = {
    .name = "t:slow", .flags = RN_ALGO_DETERMINISTIC, .supports = does_all, .run = run_slow};
static const rn_conv_algo fast = {
    .name = "t:fast", .flags = RN_ALGO_DETERMINISTIC, .supports = does_fwd, .workspace = much, .run = run_fast};
static const rn_conv_algo plain = {
    .name = "ref", .flags = RN_ALGO_DETERMINISTIC | RN_ALGO_REFERENCE, .supports = does_all, .run = run_slow};
static const rn_conv_algo *const list[] = {&lowprec, &slow, &fast, &plain, NULL};

static rn_backend *be;
static rn_conv_desc desc;

static int setup(void **state)
{
    rn_backend_opts opts = {.threads = 1};

    (void)state;
    if (rn_backend_open(rn_backends, "cpu", &opts, &be) < 0 || rn_conv_desc_parse("mb1ic3ih6oc4kh3ph1", &desc) < 0)
        return -1;
    be->conv_algos = list;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rn_backend_close(be);
    return 0;
}

static int pick(const rn_select_policy *policy, rn_conv_dir dir, rn_select_choice *c)
{
    rn_selector *s;

    assert_int_equal(rn_selector_open(be, policy, &s), 0);
    int rc = rn_selector_pick(s, &desc, dir, c);
    rn_selector_close(s);
    return rc;
}

/* The same with a tuning file before and after, as a run has it. */
static int pick_with_file(const char *path, rn_select_policy policy, rn_conv_dir dir, rn_select_choice *c)
{
    assert_int_equal(rn_tuning_open(&policy.tuning), 0);
    assert_int_equal(rn_tuning_read(policy.tuning, path, false), 0);
    int rc = pick(&policy, dir, c);
    assert_int_equal(rn_tuning_write(policy.tuning, path), 0);
    rn_tuning_close(policy.tuning);
    return rc;
}

static bool is_remembered(const rn_select_choice *c)
{
    return c->by == RN_SELECTED_REMEMBERED;
}

static void patterns(void **state)
{
    (void)state;
    assert_true(rn_select_match(NULL, "cpu:im2col"));
    assert_true(rn_select_match("cuda:*,cpu:*", "cpu:im2col"));
    assert_false(rn_select_match("cuda:*,cpu", "cpu:im2col"));
    assert_true(rn_select_match("ref", "ref"));
    assert_false(rn_select_match("cpu:*,!*:winograd", "cpu:winograd"));
    assert_true(rn_select_match("cpu:*,!*:winograd", "cpu:direct"));
    assert_true(rn_select_match("!onednn:*", "ref"));
    assert_false(rn_select_match("!onednn:*", "onednn:auto"));
    assert_true(rn_select_match("!onednn:*,onednn:auto", "onednn:auto"));
    assert_true(rn_select_match("", "ref"));
}

static void order_takes_the_first_that_may(void **state)
{
    rn_select_choice c;

    (void)state;
    assert_int_equal(pick(&(rn_select_policy){.mode = RN_SELECT_ORDER}, RN_FWD, &c), 0);
    assert_ptr_equal(c.algo, &slow);
    assert_int_equal(pick(&(rn_select_policy){.allow_lowprec = true}, RN_FWD, &c), 0);
    assert_ptr_equal(c.algo, &lowprec);
    assert_int_equal(pick(&(rn_select_policy){.pattern = "t:fast,ref"}, RN_BWD_D, &c), 0);
    assert_ptr_equal(c.algo, &plain);
}

static bool suits_small(rn_backend *b, const rn_conv_desc *d, rn_conv_dir dir)
{
    (void)b, (void)dir;
    return d->oc <= 4;
}

static void order_passes_over_what_does_not_suit(void **state)
{
    static const rn_conv_algo special = {.name = "t:special",
                                         .flags = RN_ALGO_DETERMINISTIC,
                                         .supports = does_all,
                                         .run = run_slow,
                                         .suits = suits_small};
    static const rn_conv_algo *const with_slow[] = {&special, &slow, &plain, NULL};
    static const rn_conv_algo *const alone[] = {&special, &plain, NULL};
    static const rn_conv_algo hasty = {.name = "t:hasty", .supports = does_all, .run = run_slow};
    static const rn_conv_algo *const with_hasty[] = {&hasty, &slow, NULL};
    rn_select_choice c;
    const rn_conv_desc small = desc;

    (void)state;
    be->conv_algos = with_slow;
    assert_int_equal(pick(&(rn_select_policy){0}, RN_FWD, &c), 0);
    assert_ptr_equal(c.algo, &special);
    assert_int_equal(rn_conv_desc_parse("mb1ic3ih6oc5kh3ph1", &desc), 0);
    assert_int_equal(pick(&(rn_select_policy){0}, RN_FWD, &c), 0);
    assert_ptr_equal(c.algo, &slow);
    be->conv_algos = alone; /* nothing else fits but the plain loops */
    assert_int_equal(pick(&(rn_select_policy){0}, RN_FWD, &c), 0);
    assert_ptr_equal(c.algo, &special);
    be->conv_algos = with_hasty;
    assert_int_equal(pick(&(rn_select_policy){0}, RN_FWD, &c), 0);
    assert_ptr_equal(c.algo, &slow);
    assert_int_equal(pick(&(rn_select_policy){.allow_nondet = true}, RN_FWD, &c), 0);
    assert_ptr_equal(c.algo, &hasty);
    desc = small;
    be->conv_algos = list;
}

static void a_refusal_gives_every_reason(void **state)
{
    rn_select_choice c;

    (void)state;
    assert_int_equal(pick(&(rn_select_policy){.pattern = "t:fast"}, RN_BWD_W, &c), RN_E_UNSUPPORTED);
    assert_non_null(strstr(rn_error_text(), "t:fast: forward only"));
    assert_non_null(strstr(rn_error_text(), "t:slow: not asked for"));
}

static void measurement_finds_the_fastest(void **state)
{
    rn_select_choice c;

    (void)state;
    assert_int_equal(pick(&(rn_select_policy){.mode = RN_SELECT_QUICK, .budget_s = 0.02}, RN_FWD, &c), 0);
    assert_ptr_equal(c.algo, &fast);
    assert_ptr_equal(c.second, &slow);
    assert_true(c.ms < c.second_ms && c.second_ms >= 3);
    assert_int_equal(c.by, RN_SELECTED_MEASURED);
    assert_false(is_remembered(&c));
    /* Nothing but the reference: taken unmeasured. */
    assert_int_equal(pick(&(rn_select_policy){.mode = RN_SELECT_QUICK, .pattern = "ref"}, RN_FWD, &c), 0);
    assert_ptr_equal(c.algo, &plain);
}

static void the_file_keeps_choices_by_workspace_limit(void **state)
{
    const rn_select_policy policy = {.mode = RN_SELECT_QUICK, .budget_s = 0.02};
    rn_select_choice c;

    (void)state;
    unlink("tune.json");
    assert_int_equal(pick_with_file("tune.json", policy, RN_FWD, &c), 0);
    assert_false(is_remembered(&c));
    runs = 0;
    assert_int_equal(pick_with_file("tune.json", policy, RN_FWD, &c), 0);
    assert_true(is_remembered(&c));
    assert_ptr_equal(c.algo, &fast);
    assert_ptr_equal(c.second, &slow);
    assert_int_equal(runs, 0);
    be->workspace_limit = 1000; /* the fast one needs more: measured anew, and nothing of it stays for later */
    assert_int_equal(pick_with_file("tune.json", policy, RN_FWD, &c), 0);
    assert_ptr_equal(c.algo, &slow);
    be->workspace_limit = 0;
    assert_int_equal(pick_with_file("tune.json", policy, RN_FWD, &c), 0);
    assert_ptr_equal(c.algo, &fast);
    assert_true(is_remembered(&c));
}

/* The file's text with every `from` in it replaced. */
static void edit_file(const char *path, const char *from, const char *to)
{
    char *text = NULL, *at;
    size_t n = 0;
    rn_buf b = {0};

    assert_int_equal(rn_read_file(path, 1 << 20, &text, &n), 0);
    const char *rest = text;
    for (; (at = strstr(rest, from)); rest = at + strlen(from))
        assert_int_equal(rn_buf_printf(&b, "%.*s%s", (int)(at - rest), rest, to), 0);
    assert_ptr_not_equal(rest, text);
    assert_int_equal(rn_buf_printf(&b, "%s", rest), 0);
    assert_int_equal(rn_write_file_atomic(path, b.data, b.n), 0);
    rn_buf_free(&b);
    free(text);
}

static void choices_are_of_one_version_and_type(void **state)
{
    const rn_select_policy policy = {.mode = RN_SELECT_QUICK, .budget_s = 0.02};
    static const char *const edits[][2] = {{"rnkit " RN_VERSION, "rnkit 0.0.1"}, {" f32 fuse", " bf16 fuse"}};
    rn_select_choice c;

    (void)state;
    unlink("keys.json");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pick_with_file("keys.json", policy, RN_FWD, &c), 0);
        assert_false(is_remembered(&c));
        assert_int_equal(pick_with_file("keys.json", policy, RN_FWD, &c), 0);
        assert_true(is_remembered(&c));
        edit_file("keys.json", edits[i][0], edits[i][1]);
    }
    assert_int_equal(pick_with_file("keys.json", policy, RN_FWD, &c), 0);
    assert_false(is_remembered(&c));
}

static void a_broken_file_costs_only_a_measurement(void **state)
{
    const rn_select_policy policy = {.mode = RN_SELECT_QUICK, .budget_s = 0.02};
    rn_select_choice c;

    (void)state;
    assert_int_equal(rn_write_file_atomic("broken.json", "{\"version\": 2, \"entr", 20), 0);
    assert_int_equal(pick_with_file("broken.json", policy, RN_FWD, &c), 0);
    assert_ptr_equal(c.algo, &fast);
    assert_false(is_remembered(&c));
    assert_int_equal(pick_with_file("broken.json", policy, RN_FWD, &c), 0);
    assert_true(is_remembered(&c));
}

/* What one process measured and another took over, without a file between them. */
static void choices_travel_as_text(void **state)
{
    rn_select_policy policy = {.mode = RN_SELECT_QUICK, .budget_s = 0.01};
    rn_select_choice c;
    rn_tuning *first;

    (void)state;
    assert_int_equal(rn_tuning_open(&first), 0);
    policy.tuning = first;
    assert_int_equal(pick(&policy, RN_FWD, &c), 0);
    assert_int_equal(c.by, RN_SELECTED_MEASURED);
    assert_int_equal(pick(&policy, RN_FWD, &c), 0);
    assert_true(is_remembered(&c));
    char *text = rn_tuning_text(first);
    assert_non_null(text);
    rn_tuning_close(first);
    assert_int_equal(rn_tuning_open(&policy.tuning), 0);
    assert_int_equal(rn_tuning_add_text(policy.tuning, text, strlen(text)), 0);
    assert_int_equal(rn_tuning_add_text(policy.tuning, text, strlen(text) / 2), RN_E_FORMAT);
    free(text);
    policy.mode = RN_SELECT_ORDER; /* nothing is measured, what was is taken: not the first row */
    runs = 0;
    assert_int_equal(pick(&policy, RN_FWD, &c), 0);
    assert_true(is_remembered(&c));
    assert_ptr_equal(c.algo, &fast);
    assert_ptr_equal(c.second, &slow);
    assert_int_equal(pick(&policy, RN_BWD_W, &c), 0); /* not in it */
    assert_int_equal(c.by, RN_SELECTED_BY_ORDER);
    assert_int_equal(runs, 0);
    policy.mode = RN_SELECT_FULL; /* a quick measurement is not enough */
    assert_int_equal(pick(&policy, RN_FWD, &c), 0);
    assert_int_equal(c.by, RN_SELECTED_MEASURED);
    assert_true(runs > 0);
    policy.mode = RN_SELECT_QUICK; /* but a full one is */
    assert_int_equal(pick(&policy, RN_FWD, &c), 0);
    assert_true(is_remembered(&c));
    rn_tuning_close(policy.tuning);
}

/* A file that several runs share keeps what each of them needed; one that is something else stays what it is. */
static void files_are_added_to(void **state)
{
    const rn_tuned a = {.algo = "a", .ms = 1}, b = {.algo = "b", .second = "a", .ms = 2, .second_ms = 3};
    rn_tuning *t;
    rn_tuned e;

    (void)state;
    unlink("shared.json");
    assert_int_equal(rn_tuning_open(&t), 0);
    assert_int_equal(rn_tuning_read(t, "shared.json", true), RN_E_IO);
    assert_int_equal(rn_tuning_put(t, "k1", &a), 0);
    assert_int_equal(rn_tuning_write(t, "shared.json"), 0);
    rn_tuning_close(t);
    assert_int_equal(rn_tuning_open(&t), 0); /* knows nothing of the first */
    assert_int_equal(rn_tuning_put(t, "k2", &b), 0);
    assert_int_equal(rn_tuning_write(t, "shared.json"), 0);
    rn_tuning_close(t);
    assert_int_equal(rn_tuning_open(&t), 0);
    assert_int_equal(rn_tuning_read(t, "shared.json", true), 0);
    assert_true(rn_tuning_get(t, "k2", &e) && strcmp(e.algo, "b") == 0 && strcmp(e.second, "a") == 0);
    assert_true(e.ms == 2 && e.second_ms == 3 && !e.full);
    assert_int_equal(rn_tuning_write(t, "part.json"), 0); /* what was asked for, no more */
    rn_tuning_close(t);
    assert_int_equal(rn_tuning_open(&t), 0);
    assert_int_equal(rn_tuning_read(t, "part.json", true), 0);
    assert_false(rn_tuning_get(t, "k1", &e));
    assert_true(rn_tuning_get(t, "k2", &e));
    rn_tuning_close(t);
    assert_int_equal(rn_write_file_atomic("other.json", "[1]", 3), 0);
    assert_int_equal(rn_tuning_open(&t), 0);
    assert_int_equal(rn_tuning_read(t, "other.json", true), RN_E_FORMAT);
    assert_non_null(strstr(rn_error_text(), "other.json"));
    rn_tuning_close(t);
}

static void ties_go_to_the_earlier_row(void **state)
{
    rn_candidate c[4] = {{&slow, 10.2}, {&fast, 10.0}, {&plain, 0}, {&lowprec, 20}};
    int second;

    (void)state;
    assert_int_equal(rn_measure_best(c, 4, &second), 0);
    assert_int_equal(second, 1);
    c[0].ms = 10.4; /* beyond 3 % */
    assert_int_equal(rn_measure_best(c, 4, &second), 1);
    assert_int_equal(second, 0);
    assert_int_equal(rn_measure_best(c + 2, 2, &second), 1);
    assert_int_equal(second, -1);
    assert_int_equal(rn_measure_best(c + 2, 1, &second), -1);
}

/* New weights before each run cost what preparing them costs: one that is quick only once prepared loses. */
static int prepares;

static int prepare_slow(rn_conv_plan *plan, const void *wei, void *stream)
{
    (void)plan, (void)wei, (void)stream;
    prepares++;
    usleep(8000);
    return 0;
}

static void preparing_counts_where_weights_change(void **state)
{
    static const rn_conv_algo packed = {.name = "t:packed",
                                        .flags = RN_ALGO_DETERMINISTIC,
                                        .supports = does_all,
                                        .workspace = much,
                                        .prepare = prepare_slow,
                                        .run = run_fast};
    static const rn_conv_algo *const two[] = {&slow, &packed, NULL};
    rn_select_policy policy = {.mode = RN_SELECT_QUICK, .budget_s = 0.01};
    rn_select_choice c;

    (void)state;
    be->conv_algos = two;
    prepares = 0;
    assert_int_equal(pick(&policy, RN_FWD, &c), 0);
    assert_ptr_equal(c.algo, &packed);
    assert_int_equal(prepares, 1);
    policy.counts_prepare = true;
    assert_int_equal(pick(&policy, RN_FWD, &c), 0);
    assert_ptr_equal(c.algo, &slow);
    assert_true(c.second_ms >= 8);
    assert_int_equal(pick(&policy, RN_BWD_W, &c), 0); /* writes the weights */
    assert_ptr_equal(c.algo, &packed);
    be->conv_algos = list;
}

/* As a library's that plans, and compiles, to find out. */
static int asked;

static bool does_after_a_while(rn_backend *b, const rn_conv_desc *d, rn_conv_dir dir, const char **why)
{
    asked++;
    return does_all(b, d, dir, why);
}

/* What does not suit a case is measured only by the full search, and not asked for by the quick one. */
static void full_measures_what_quick_leaves_out(void **state)
{
    static const rn_conv_algo special = {.name = "t:special",
                                         .flags = RN_ALGO_DETERMINISTIC,
                                         .supports = does_after_a_while,
                                         .workspace = much,
                                         .run = run_fast,
                                         .suits = suits_small};
    static const rn_conv_algo *const two[] = {&slow, &special, NULL};
    const rn_conv_desc small = desc;
    rn_select_choice c;

    (void)state;
    be->conv_algos = two;
    assert_int_equal(rn_conv_desc_parse("mb1ic3ih6oc5kh3ph1", &desc), 0);
    assert_int_equal(pick(&(rn_select_policy){.mode = RN_SELECT_QUICK, .budget_s = 0.01}, RN_FWD, &c), 0);
    assert_ptr_equal(c.algo, &slow);
    assert_int_equal(c.by, RN_SELECTED_ALONE);
    assert_int_equal(asked, 0);
    assert_int_equal(pick(&(rn_select_policy){.mode = RN_SELECT_FULL, .budget_s = 0.01}, RN_FWD, &c), 0);
    assert_ptr_equal(c.algo, &special);
    desc = small;
    be->conv_algos = list;
}

static void plans_keep_to_the_limit(void **state)
{
    rn_conv_plan *plan;

    (void)state;
    be->workspace_limit = 1000;
    assert_int_equal(rn_conv_plan_open(be, &fast, &desc, RN_FWD, &plan), RN_E_UNSUPPORTED);
    assert_non_null(strstr(rn_error_text(), "workspace"));
    be->workspace_limit = 0;
    assert_int_equal(rn_conv_plan_open(be, &fast, &desc, RN_BWD_W, &plan), RN_E_UNSUPPORTED);
    assert_non_null(strstr(rn_error_text(), "forward only"));
    assert_int_equal(rn_conv_plan_open(be, &fast, &desc, RN_FWD, &plan), 0);
    rn_conv_args args = {0};
    assert_int_equal(rn_conv_run(plan, &args, 0, NULL, NULL), RN_E_RANGE); /* no workspace given */
    assert_int_equal(rn_conv_run(plan, &args, 2, &args, NULL), RN_E_RANGE);
    rn_conv_plan_close(plan);
}

static void backends_by_name(void **state)
{
    rn_backend *b;

    (void)state;
    assert_int_equal(rn_backend_open(rn_backends, "tpu", NULL, &b), RN_E_USAGE);
    assert_non_null(strstr(rn_error_text(), "cpu"));
    assert_int_equal(rn_backend_open(rn_backends, "cpu", &(rn_backend_opts){.isa = "sse9"}, &b), RN_E_USAGE);
    assert_non_null(strstr(rn_error_text(), "portable, avx2, avx512, avx512bf16"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns),
        cmocka_unit_test(order_takes_the_first_that_may),
        cmocka_unit_test(order_passes_over_what_does_not_suit),
        cmocka_unit_test(a_refusal_gives_every_reason),
        cmocka_unit_test(measurement_finds_the_fastest),
        cmocka_unit_test(the_file_keeps_choices_by_workspace_limit),
        cmocka_unit_test(choices_are_of_one_version_and_type),
        cmocka_unit_test(a_broken_file_costs_only_a_measurement),
        cmocka_unit_test(choices_travel_as_text),
        cmocka_unit_test(files_are_added_to),
        cmocka_unit_test(ties_go_to_the_earlier_row),
        cmocka_unit_test(preparing_counts_where_weights_change),
        cmocka_unit_test(full_measures_what_quick_leaves_out),
        cmocka_unit_test(plans_keep_to_the_limit),
        cmocka_unit_test(backends_by_name),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
