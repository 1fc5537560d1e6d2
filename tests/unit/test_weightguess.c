/* SPDX-License-Identifier: MIT */
/* Weights without metadata: every model that is built here is recognised by its tensors, and what is none of them is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rn_error.h"
#include "nn/graph/rn_param.h"
#include "nn/model/rn_model.h"
#include "run/save/rn_weightfile.h"

/* A file of the spec's tensors, all 0; without the one called `but`, and with one more called `also` (both may be NULL). */
static rn_st_file *file_of(const rn_model_spec *spec, const char *but, const char *also)
{
    static const float zeros[1 << 22];
    rn_graph g = {0};
    rn_st_writer *w = NULL;
    rn_buf b = {0};
    rn_st_file *f = NULL;
    if (rn_model_build(spec, 1, &g) < 0)
        fail_msg("%s", rn_error_text());
    assert_int_equal(rn_st_writer_open(&w), 0);
    for (int i = 0; i < g.nparams; i++) {
        int64_t dim[4];
        int nd = rn_param_file_dims(&g.params[i], dim);
        assert_true(g.params[i].count <= 1 << 22);
        if (!but || strcmp(but, g.params[i].name) != 0)
            assert_int_equal(rn_st_add(w, g.params[i].name, RN_ST_F32, nd, dim, zeros), 0);
    }
    if (also)
        assert_int_equal(rn_st_add(w, also, RN_ST_F32, 1, (const int64_t[1]){1}, zeros), 0);
    assert_int_equal(rn_st_build(w, &b), 0);
    rn_st_writer_close(w);
    rn_graph_free(&g);
    assert_int_equal(rn_st_open_memory("weights", (char *)b.data, b.n, &f), 0);
    return f;
}

static const rn_model_spec specs[] = {
    {.arch = "resnet18", .width = 0.0625, .classes = 7, .channels = 3, .height = 64},
    {.arch = "resnet18", .width = 0.25, .classes = 7, .channels = 3, .height = 64},
    {.arch = "resnet34", .width = 0.5, .classes = 10, .channels = 1, .height = 64, .stem = RN_STEM_CIFAR},
    {.arch = "resnet50", .width = 0.125, .classes = 10, .channels = 3, .height = 64, .variant = RN_VARIANT_C},
    {.arch = "resnet50", .width = 0.25, .classes = 10, .channels = 3, .height = 64, .variant = RN_VARIANT_D},
    {.arch = "resnet18",
     .width = 0.25,
     .classes = 9,
     .channels = 3,
     .height = 64,
     .variant = RN_VARIANT_D,
     .stem = RN_STEM_CIFAR},
    {.arch = "resnet101", .width = 0.125, .classes = 10, .channels = 3, .height = 64},
    {.arch = "resnet152", .width = 0.125, .classes = 10, .channels = 3, .height = 64},
    {.arch = "resnet18", .width = 0.5, .classes = 10, .channels = 3, .height = 64, .se = 16, .se_round = 1},
    {.arch = "resnet50", .width = 0.25, .classes = 10, .channels = 3, .height = 64, .se = 16, .se_round = 8},
    {.arch = "resnet34",
     .width = 0.25,
     .classes = 10,
     .channels = 3,
     .height = 64,
     .se = 4,
     .se_round = 1,
     .variant = RN_VARIANT_D},
    {.arch = "alexnet", .width = 0.125, .classes = 5, .channels = 3, .height = 224},
    {.arch = "caffenet", .width = 0.125, .classes = 5, .channels = 3, .height = 227},
    {.arch = "caffenet", .width = 0.25, .classes = 5, .channels = 1, .height = 67},
    {.arch = "ghim5", .width = 1, .classes = 20, .channels = 3, .height = 224},
};
enum { NSPECS = sizeof specs / sizeof *specs };

static void every_model_is_recognised(void **state)
{
    (void)state;
    for (int i = 0; i < NSPECS; i++) {
        const rn_model_spec *s = &specs[i];
        rn_model_spec m = {0};
        rn_st_file *f = file_of(s, NULL, "bn1.num_batches_tracked");
        if (rn_weightfile_guess(f, &m) < 0)
            fail_msg("%s, %d: %s", s->arch, i, rn_error_text());
        assert_string_equal(m.arch, s->arch);
        assert_int_equal(m.variant, s->variant);
        assert_int_equal(m.se, s->se);
        if (s->se)
            assert_int_equal(m.se_round, s->se_round);
        assert_int_equal(m.stem, s->stem);
        assert_true(m.width == s->width);
        assert_int_equal(m.classes, s->classes);
        assert_int_equal(m.channels, s->channels);
        rn_st_close(f);
    }
}

static void refuse(const rn_model_spec *s, const char *but, const char *also, const char *says)
{
    rn_model_spec m = {0};
    rn_st_file *f = file_of(s, but, also);
    assert_int_equal(rn_weightfile_guess(f, &m), RN_E_MISMATCH);
    if (!strstr(rn_error_text(), says))
        fail_msg("'%s' does not say '%s'", rn_error_text(), says);
    rn_st_close(f);
}

static void others_are_not(void **state)
{
    (void)state;
    refuse(&specs[0], "layer3.1.bn2.bias", NULL, "no layer3.1.bn2.bias");
    refuse(&specs[0], NULL, "head.weight", "1 more tensors");
    refuse(&specs[0], "fc.weight", NULL, "blocks 2, 2, 2, 2");
    refuse(&specs[0], "layer1.0.conv1.weight", NULL, "not those of a model");
    refuse(&specs[8], "layer2.0.se.fc2.bias", NULL, "layer2.0.se.fc2.bias");
    refuse(&specs[11], "classifier.1.bias", NULL, "classifier.1.bias");
    refuse(&specs[12], "conv3.bias", NULL, "conv3.bias");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_model_is_recognised), cmocka_unit_test(others_are_not)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
