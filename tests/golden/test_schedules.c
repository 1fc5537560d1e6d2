/* SPDX-License-Identifier: MIT */
/* Learning rates, asked for by recipe keys, against PyTorch's schedulers and Caffe's formulas. The file: make_optim.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "golden_text.h"
#include "run/recipe/rn_recipe.h"

typedef struct fixture {
    rn_recipe r;
    rn_opt rows[RN_RECIPE_MAX_ROWS];
    rn_opt_spec spec;
    rn_opt_result res;
} fixture;

/* "key = value; key = value" as a recipe. */
static void read_recipe(fixture *f, char *keys)
{
    memset(f, 0, sizeof *f);
    rn_recipe_defaults(&f->r);
    f->spec = (rn_opt_spec){.tool = "test", .opts = f->rows, .nopts = rn_recipe_rows(&f->r, f->rows)};
    for (char *p = keys; *p; p++)
        if (*p == ';')
            *p = '\n';
    if (rn_opt_parse_text(&f->spec, "golden", keys, &f->res) < 0 || rn_recipe_check(&f->r) < 0)
        fail_msg("%s", rn_error_text());
}

static void near(const char *keys, int64_t step, const char *what, double got, double want)
{
    if (!(fabs(got - want) <= 1e-12 * fabs(want)))
        fail_msg("%s: %s of step %lld is %.17g, not %.17g", keys, what, (long long)step, got, want);
}

static void hold_schedule(const char **at)
{
    const int64_t per_epoch = (int64_t)golden_number(at), images = (int64_t)golden_number(at),
                  steps = (int64_t)golden_number(at);
    const bool cycled = golden_number(at) > 0;
    char keys[512];
    fixture f;
    rn_sched s;
    golden_line(at, keys, sizeof keys);
    read_recipe(&f, keys);
    if (rn_recipe_sched(&f.r, per_epoch, images, &s) < 0)
        fail_msg("%s: %s", keys, rn_error_text());
    assert_int_equal(s.total, steps);
    for (int64_t i = 0; i < steps; i++)
        near(keys, i, "rate", rn_sched_lr(&s, i), golden_number(at));
    for (int64_t i = 0; i < steps; i++)
        near(keys, i, "momentum", rn_sched_momentum(&s, i, 0.9), cycled ? golden_number(at) : 0.9);
    rn_opt_free(&f.res);
}

static void hold_plateau(const char **at)
{
    const int n = (int)golden_number(at);
    char keys[512];
    fixture f;
    rn_sched s;
    rn_plateau p;
    int falls = 0;
    golden_line(at, keys, sizeof keys);
    read_recipe(&f, keys);
    assert_int_equal(rn_recipe_sched(&f.r, 10, 256, &s), 0);
    const rn_plateau_opts o = rn_recipe_plateau(&f.r, &s);
    rn_plateau_start(&p, s.lr);
    for (int i = 0; i < n; i++) {
        const double value = golden_number(at), before = p.lr;
        const bool fell = rn_plateau_step(&o, &p, value);
        near(keys, i, "rate", p.lr, golden_number(at));
        assert_int_equal(fell, p.lr < before);
        falls += fell;
    }
    assert_true(falls > 0);
    rn_opt_free(&f.res);
}

static void rates_are_pytorchs_and_caffes(void **state)
{
    (void)state;
    const char *at;
    char *text = golden_open("schedules.txt", &at), word[16];
    int schedules = 0, plateaus = 0;
    while (golden_word(&at, word)) {
        if (strcmp(word, "sched") == 0) {
            hold_schedule(&at);
            schedules++;
        } else {
            assert_string_equal(word, "plateau");
            hold_plateau(&at);
            plateaus++;
        }
    }
    assert_int_equal(schedules, 25);
    assert_int_equal(plateaus, 6);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rates_are_pytorchs_and_caffes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
