/* SPDX-License-Identifier: MIT */
/* Convolution descriptors: what is parsed, printed, counted and refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rn_error.h"
#include "op/rn_conv.h"

static rn_conv_desc parse(const char *text)
{
    rn_conv_desc d;

    if (rn_conv_desc_parse(text, &d) < 0)
        fail_msg("%s", rn_error_text());
    return d;
}

static void defaults_and_squares(void **state)
{
    rn_conv_desc d = parse("ic64ih56oc128kh3sh2ph1");
    char buf[256];

    (void)state;
    assert_int_equal(d.mb, 2);
    assert_int_equal(d.iw, 56);
    assert_int_equal(d.kw, 3);
    assert_int_equal(d.sw, 2);
    assert_int_equal(d.pw, 1);
    assert_int_equal(d.oh, 28);
    assert_int_equal(d.ow, 28);
    assert_int_equal(d.dtype, RN_F32);
    assert_int_equal(d.fuse, 0);
    assert_string_equal(rn_conv_desc_text(&d, buf, sizeof buf), "mb2ic64ih56oc128oh28kh3sh2ph1");
}

static void what_is_printed_parses_to_the_same(void **state)
{
    static const char *const texts[] = {"mb1ic3ih224oc64kh7sh2ph3", "g1mb5_ic5_ih9_iw11_oc16_kh3_kw1_sh1_sw2_ph0_pw1",
                                        "ic3iw17ih12oc5kh2kw4dh0nresnet_18:conv1*4"};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        rn_conv_desc a = parse(texts[i]), b;
        char buf[256], again[256];
        b = parse(rn_conv_desc_text(&a, buf, sizeof buf));
        assert_string_equal(buf, rn_conv_desc_text(&b, again, sizeof again));
        assert_memory_equal(&a, &b, sizeof a);
    }
}

static void refusals_say_what_is_wrong(void **state)
{
    static const struct {
        const char *text;
        int status;
        const char *says;
    } bad[] = {
        {"ih9oc5kh3", RN_E_USAGE, "'ic' is missing"},
        {"ic3ih9oc5", RN_E_USAGE, "'kh' is missing"},
        {"ic3ih9oc5kh3zz1", RN_E_USAGE, "unknown field 'zz'"},
        {"ic3ic4ih9oc5kh3", RN_E_USAGE, "'ic' is given twice"},
        {"ic3ih9oc5kh", RN_E_USAGE, "expected a field and a number"},
        {"ic3ih9oc5kh3 ph1", RN_E_USAGE, "expected a field and a number"},
        {"ic3ih9oc5kh-3", RN_E_USAGE, "expected a field and a number"},
        {"ic99999999999ih9oc5kh3", RN_E_USAGE, "too large"},
        {"g2ic4ih9oc4kh3", RN_E_UNSUPPORTED, "groups"},
        {"ic4ih9oc4kh3dh1", RN_E_UNSUPPORTED, "dilation"},
        {"ic3ih2oc5kh5", RN_E_RANGE, "larger than the padded"},
        {"ic3ih9oc5kh3sh0", RN_E_RANGE, "sh is 0"},
        {"ic0ih9oc5kh3", RN_E_RANGE, "ic is 0"},
        {"ic3ih9oc5oh8kh3ph1", RN_E_RANGE, "the output is 9x9"},
        {"mb1000000000ic1000000000ih9oc1kh1", RN_E_RANGE, "2^40"},
        {"ic1ih1oc1kh1sh2000000000ph2147483647", RN_E_RANGE, "sh is 2000000000"},
        {"ic1ih1oc1kh1sh1000000000ph600000000", RN_E_RANGE, "padded input"},
        {"ic100000ih1000oc1kh1000", RN_E_RANGE, "taps"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        rn_conv_desc d;
        assert_int_equal(rn_conv_desc_parse(bad[i].text, &d), bad[i].status);
        if (!strstr(rn_error_text(), bad[i].says))
            fail_msg("%s: no '%s' in '%s'", bad[i].text, bad[i].says, rn_error_text());
    }
}

/* 3x3 pad 1 on 7x7: 19 of 21 taps are inside along each axis. */
static void flops_of_both_conventions(void **state)
{
    rn_conv_desc d = parse("mb1ic1ih7oc1kh3ph1");

    (void)state;
    assert_true(rn_conv_flops(&d, false) == 2.0 * 21 * 21);
    assert_true(rn_conv_flops(&d, true) == 2.0 * 19 * 19);
    d = parse("mb2ic5ih10iw8oc3kh1sh2");
    assert_true(rn_conv_flops(&d, true) == rn_conv_flops(&d, false));
    assert_true(rn_conv_flops(&d, false) == 2.0 * 2 * 5 * 3 * 5 * 4);
    assert_true(rn_conv_bytes(&d) == 4.0 * (2 * 10 * 8 * 5 + 3 * 5 + 2 * 5 * 4 * 3));
}

static void fused_work_is_named_and_refused_by_part(void **state)
{
    rn_conv_desc d = parse("mb1ic1ih7oc1kh3ph1");
    const unsigned all = RN_PRO_BN | RN_PRO_RELU | RN_PRO_ADD | RN_EPI_STATS | RN_PRO_DBN | RN_EPI_DBN;
    char buf[64];

    (void)state;
    for (unsigned f = 0; f <= all; f++) {
        unsigned back = ~0u;
        assert_int_equal(rn_conv_fuse_parse(rn_conv_fuse_text(f, buf, sizeof buf), &back), 0);
        assert_int_equal(back, f);
    }
    assert_string_equal(rn_conv_fuse_text(RN_PRO_BN | RN_PRO_RELU | RN_EPI_STATS, buf, sizeof buf),
                        "pro_bn+pro_relu+epi_stats");
    static const char *const bad[] = {"", "+", "pro_bn+", "bn", "pro_bnn", "pro_bn,pro_relu"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        unsigned back;
        assert_int_equal(rn_conv_fuse_parse(bad[i], &back), RN_E_USAGE);
    }

    static const struct {
        unsigned fuse, can;
        rn_conv_dir dir;
        const char *says; /* NULL: none */
    } cases[] = {
        {0, 0, RN_FWD, NULL},
        {RN_PRO_BN | RN_PRO_RELU | RN_PRO_ADD | RN_EPI_STATS, ~0u, RN_FWD, NULL},
        {RN_PRO_BN | RN_PRO_RELU | RN_PRO_ADD | RN_PRO_DBN, ~0u, RN_BWD_W, NULL},
        {RN_PRO_DBN | RN_EPI_DBN, ~0u, RN_BWD_D, NULL},
        {RN_PRO_BN, 0, RN_FWD, "(pro_bn)"},
        {RN_PRO_BN | RN_EPI_STATS, RN_PRO_BN, RN_FWD, "(epi_stats)"},
        {RN_PRO_RELU, ~0u, RN_FWD, "pro_relu goes with pro_bn"},
        {RN_PRO_ADD, ~0u, RN_BWD_W, "pro_add goes with pro_bn"},
        {RN_PRO_BN, ~0u, RN_BWD_D, "bwd_d does not read src"},
        {RN_EPI_STATS, ~0u, RN_BWD_W, "epi_stats is for fwd"},
        {RN_PRO_DBN, ~0u, RN_FWD, "fwd does not read dst"},
        {RN_EPI_DBN, ~0u, RN_BWD_W, "epi_dbn is for bwd_d"},
        {64, ~0u, RN_FWD, "not known"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        d.fuse = cases[i].fuse;
        const char *why = rn_conv_fuse_refusal(&d, cases[i].dir, cases[i].can);
        if (!cases[i].says ? why != NULL : !why || !strstr(why, cases[i].says))
            fail_msg("case %zu: '%s'", i, why ? why : "no refusal");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_and_squares),
        cmocka_unit_test(what_is_printed_parses_to_the_same),
        cmocka_unit_test(refusals_say_what_is_wrong),
        cmocka_unit_test(flops_of_both_conventions),
        cmocka_unit_test(fused_work_is_named_and_refused_by_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
