/* SPDX-License-Identifier: MIT */
/* Recipes: what is written out reads back to the same settings; differences are found; wrong combinations are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "data/load/rn_loader.h"
#include "run/recipe/rn_recipe.h"

typedef struct fixture {
    rn_recipe r;
    rn_opt rows[RN_RECIPE_MAX_ROWS];
    rn_opt_spec spec;
    rn_opt_result res;
} fixture;

static void open_fixture(fixture *f)
{
    memset(f, 0, sizeof *f);
    rn_recipe_defaults(&f->r);
    f->spec = (rn_opt_spec){.tool = "test", .opts = f->rows, .nopts = rn_recipe_rows(&f->r, f->rows)};
}

static char *text_of(fixture *f)
{
    rn_buf b = {0};
    assert_int_equal(rn_recipe_text(f->rows, f->spec.nopts, &b), 0);
    return (char *)b.data;
}

/* The tables that rn_recipe_rows fills have room for so many. */
static void has_room(void **state)
{
    (void)state;
    static rn_opt rows[2 * RN_RECIPE_MAX_ROWS];
    rn_recipe r;
    rn_recipe_defaults(&r);
    assert_true(rn_recipe_rows(&r, rows) <= RN_RECIPE_MAX_ROWS);
}

/* As np.interp([epoch], [a, b], [start, end]) rounded to the nearest multiple of 32 (FFCV's rn18 configurations). */
static void images_grow(void **state)
{
    (void)state;
    static const int want[] = {160, 160, 160, 160, 160,
                               160, 192, 192, 192}; /* epochs 9 .. 17 of a ramp from 11 to 19 */
    rn_recipe r;
    int side;
    rn_recipe_defaults(&r);
    assert_int_equal(rn_recipe_side(&r, 5, &side), 0);
    assert_int_equal(side, 224);
    r.start_size = 160;
    r.image_size = 192;
    r.ramp_epochs = "11,19";
    for (int e = 9; e < 18; e++) { /* 14: 172 -> 160 (5.375 x 32); 15: 176 lies half way: the even 6 x 32 */
        assert_int_equal(rn_recipe_side(&r, e, &side), 0);
        assert_int_equal(side, want[e - 9]);
    }
    r.image_size = 200; /* the end is what was asked for, a multiple or not */
    assert_int_equal(rn_recipe_side(&r, 19, &side), 0);
    assert_int_equal(side, 200);
    assert_int_equal(rn_recipe_side(&r, 18, &side), 0);
    assert_int_equal(side, 192);
    r.ramp_epochs = "3,3"; /* at once */
    assert_int_equal(rn_recipe_side(&r, 3, &side), 0);
    assert_int_equal(side, 160);
    assert_int_equal(rn_recipe_side(&r, 4, &side), 0);
    assert_int_equal(side, 200);
    r.start_size = 128, r.image_size = 160, r.ramp_epochs = "0,2"; /* 144 lies half way: np.round(4.5) is 4 */
    assert_int_equal(rn_recipe_side(&r, 1, &side), 0);
    assert_int_equal(side, 128);
}

static void reads_back(void **state)
{
    (void)state;
    fixture a, b;
    open_fixture(&a);
    open_fixture(&b);
    a.r.lr = 0.1 + 0.2; /* needs 17 digits */
    a.r.seed = UINT64_MAX;
    a.r.nesterov = true;
    a.r.schedule = RN_SCHED_MULTISTEP;
    a.r.milestones = "3,7";
    a.r.crop = RN_CROP_PAD;
    a.r.train_db = "a folder/with = and blank.lmdb";
    char *text = text_of(&a);
    if (rn_opt_parse_text(&b.spec, "recipe", text, &b.res) < 0)
        fail_msg("%s", rn_error_text());
    assert_true(b.r.lr == a.r.lr);
    assert_true(b.r.seed == UINT64_MAX);
    assert_true(b.r.nesterov);
    assert_int_equal(b.r.schedule, RN_SCHED_MULTISTEP);
    assert_string_equal(b.r.milestones, "3,7");
    assert_int_equal(b.r.crop, RN_CROP_PAD);
    assert_string_equal(b.r.train_db, a.r.train_db);
    char *again = text_of(&b);
    assert_string_equal(text, again);
    free(text);
    free(again);
    rn_opt_free(&b.res);
}

static void differences(void **state)
{
    (void)state;
    fixture a, b;
    char names[200];
    open_fixture(&a);
    open_fixture(&b);
    a.r.train_db = "here.lmdb";
    b.r.train_db = "there.lmdb"; /* where the data lie is no difference, nor who decodes them */
    b.r.workers = 7;
    char *ta = text_of(&a), *tb = text_of(&b);
    assert_int_equal(rn_recipe_diff(ta, tb, names, sizeof names), 0);
    free(tb);
    b.r.lr = 0.25;
    b.r.algo = "cpu:*";
    tb = text_of(&b);
    assert_int_equal(rn_recipe_diff(ta, tb, names, sizeof names), 2);
    assert_non_null(strstr(names, "lr 0.1 -> 0.25"));
    assert_non_null(strstr(names, "algo (not set) -> cpu:*"));
    assert_int_equal(rn_recipe_diff(tb, ta, names, sizeof names), 2);
    assert_non_null(strstr(names, "algo cpu:* -> (not set)"));
    char first[400], second[400]; /* lists that differ late */
    memset(first, '1', sizeof first - 1);
    first[399] = 0;
    memcpy(second, first, sizeof first);
    second[398] = '2';
    rn_buf one = {0}, two = {0};
    assert_int_equal(rn_buf_printf(&one, "milestones = %s\n", first), 0);
    assert_int_equal(rn_buf_printf(&two, "milestones = %s\n", second), 0);
    assert_int_equal(rn_recipe_diff((const char *)one.data, (const char *)two.data, names, sizeof names), 1);
    assert_int_equal(rn_recipe_diff((const char *)one.data, (const char *)one.data, names, sizeof names), 0);
    rn_buf_free(&one);
    rn_buf_free(&two);
    char few[12]; /* too small for the names: cut, not overrun */
    assert_int_equal(rn_recipe_diff(ta, tb, few, sizeof few), 2);
    free(ta);
    free(tb);
    char many[400]; /* far behind, too */
    memset(many, 'a', sizeof many);
    many[sizeof many - 1] = 0;
    b.r.lr = a.r.lr;
    a.r.algo = b.r.algo = many;
    ta = text_of(&a);
    many[sizeof many - 2] = 'b';
    tb = text_of(&b);
    assert_int_equal(rn_recipe_diff(ta, tb, names, sizeof names), 1);
    free(ta);
    free(tb);
}

static void refused(fixture *f, const char *says)
{
    int rc = rn_recipe_check(&f->r);
    if (rc != RN_E_USAGE || !strstr(rn_error_text(), says))
        fail_msg("wanted '%s', got %d: %s", says, rc, rc < 0 ? rn_error_text() : "accepted");
    rn_recipe_defaults(&f->r);
}

static void combinations(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    assert_int_equal(rn_recipe_check(&f.r), 0);
    f.r.channels = 2;
    refused(&f, "--channels 2");
    f.r.lr = 0;
    refused(&f, "--lr 0");
    f.r.nesterov = true, f.r.momentum = 0;
    refused(&f, "--nesterov");
    f.r.epochs = 5, f.r.warmup_epochs = 5;
    refused(&f, "--warmup-epochs 5");
    f.r.lr_min = 1;
    refused(&f, "--lr-min");
    f.r.val_resize = 200;
    refused(&f, "--val-resize 200");
    f.r.schedule = RN_SCHED_MULTISTEP;
    refused(&f, "needs --milestones");
    f.r.milestones = "3,7";
    refused(&f, "belongs to --schedule multistep");
    f.r.schedule = RN_SCHED_MULTISTEP, f.r.milestones = "7,3";
    refused(&f, "7,3");
    f.r.mean = "0.5,0.5";
    refused(&f, "--mean 0.5,0.5");
    f.r.mean = "0.5,0.5,0.5,0.5";
    refused(&f, "more numbers");
    f.r.std = "0.5,0,0.5";
    refused(&f, "'0' is not a number");
    f.r.std = "0.5,0.5,x";
    refused(&f, "'x' is not a number");
    f.r.color_jitter = "0.4,0.4,0.4";
    refused(&f, "--color-jitter 0.4,0.4,0.4: '' is not a number");
    f.r.color_jitter = "0.4,0.4,0.4,0.6";
    refused(&f, "hue");
    f.r.color_jitter = "0.4,-1,0.4,0.1";
    refused(&f, "'-1' is not a number between 0 and 100 (4 wanted)");
    f.r.lighting = 0.1, f.r.channels = 1;
    refused(&f, "--lighting");
    f.r.mixup = 0.2, f.r.batch = 1;
    refused(&f, "--mixup");
    rn_jitter jitter;
    f.r.color_jitter = "0.25,0,1.5,0.5";
    assert_int_equal(rn_recipe_check(&f.r), 0);
    assert_int_equal(rn_recipe_jitter(&f.r, &jitter), 0);
    assert_true(jitter.range[RN_COLOR_BRIGHTNESS] == 0.25 && jitter.range[RN_COLOR_CONTRAST] == 0);
    assert_true(jitter.range[RN_COLOR_SATURATION] == 1.5 && jitter.range[RN_COLOR_HUE] == 0.5);
    rn_recipe_defaults(&f.r);
    f.r.channels = 1, f.r.mean = "0.286", f.r.std = "0.353";
    assert_int_equal(rn_recipe_check(&f.r), 0);
    float mean[3], std[3];
    assert_int_equal(rn_recipe_pixels(&f.r, mean, std), 0);
    assert_true(mean[0] == 0.286f && std[0] == 0.353f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(has_room), cmocka_unit_test(images_grow),
                                       cmocka_unit_test(reads_back), cmocka_unit_test(differences),
                                       cmocka_unit_test(combinations)};
    return cmocka_run_group_tests_name("recipe", tests, NULL, NULL);
}
