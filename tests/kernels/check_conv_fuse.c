/* SPDX-License-Identifier: MIT */
/* Work fused into convolutions: every algorithm that takes it (check_conv_run.c). A case is a descriptor, a blank, and the fused
 * work. */
#include <string.h>

#include "check_conv.h"

#include "op/rn_select.h"

static const char *const cases[] = {
    "mb1ic1ih5oc1kh3ph1", "mb2ic3ih7oc5kh3ph1", "mb1ic16ih13iw17oc31kh3kw1ph1pw0", "mb2ic31ih6iw9oc3kh1kw3ph0pw1",
    "mb2ic64ih8oc64kh3ph1", "mb1ic17ih4oc33kh1", "mb2ic16ih15oc31kh3sh2ph1", "mb1ic16ih17iw14oc5kh5sh3ph2",
    "mb2ic64ih14oc31kh1sh2", "mb1ic16ih10oc16kh1sh3", "mb1ic3ih37iw23oc64kh7sh2ph3", "mb2ic5ih4oc5kh5ph4",
    "mb1ic5ih2oc3kh1ph2", "mb2ic5ih4oc17kh3sh1000000ph1", "mb2ic131ih6oc70kh3ph1", "mb1ic512ih4oc130kh1",
    /* small maps of many images; several blocks of pixels and of channels */
    "mb33ic17ih5oc19kh3ph1", "mb40ic16ih7oc16kh5sh2ph2", "mb300ic3ih3oc5kh3ph1", "mb28ic50ih3oc130kh3ph1",
    "mb24ic16ih6iw5oc31kh3sh2ph1", "mb5ic16ih21oc16kh3ph1", "mb6ic17ih13oc1030kh1sh2",
    /* whole pieces: what tensor maps are for */
    "mb3ic64ih9iw7oc136kh1sh2", "mb1ic72ih9iw8oc200kh1", "mb2ic64ih6oc72kh1kw3ph0pw1", "mb3ic72ih7oc64kh3sh2ph1",
    "mb1ic64ih6iw7oc24kh3ph1", "mb1ic64ih10oc16kh5sh3ph2", "mb2ic64ih8iw5oc16kh2sh2sw1ph0pw1",
    "mb1ic64ih11iw3oc16kh3sh1sw2ph2pw1", "mb3ic64ih9oc40kh3kw1sh2ph1pw0", NULL};

/* all: on every case; the others, their parts, on some, and on kernels of one tap, which have an algorithm of their own. */
static const struct {
    rn_conv_dir dir;
    bool all;
    const char *fuse;
} work[] = {
    {RN_FWD, false, "pro_bn"},
    {RN_FWD, false, "pro_bn+pro_relu"},
    {RN_FWD, false, "pro_bn+pro_relu+pro_add"},
    {RN_FWD, false, "epi_stats"},
    {RN_FWD, true, "pro_bn+pro_relu+epi_stats"},
    {RN_BWD_D, false, "pro_dbn"},
    {RN_BWD_D, false, "epi_dbn"},
    {RN_BWD_D, true, "pro_dbn+epi_dbn"},
    {RN_BWD_W, false, "pro_bn+pro_relu"},
    {RN_BWD_W, false, "pro_bn+pro_add"},
    {RN_BWD_W, false, "pro_dbn"},
    {RN_BWD_W, true, "pro_bn+pro_relu+pro_dbn"},
};

/* First layers, whose input has no batch norm before it. Of more than a few tens of pixels: sums in f32 about one of so few lose
 * too much where that one is far off. */
static const char *const stems[] = {"mb3ic3ih32iw30oc40kh3ph1",       "mb5ic3ih45oc64kh7sh2ph3",
                                    "mb3ic3ih40oc80kh7sh2ph3",        "mb3ic1ih28oc33kh5ph0",
                                    "mb1ic3ih4iw1501oc8kh3kw2ph1pw0", NULL};

static void check_list(check_run *r, const char *group, rn_dtype dtype)
{
    for (size_t i = 0; cases[i]; i++) {
        if (dtype == RN_F16 && i % 3 != 1) /* widened and rounded otherwise than bf16, but at the same places */
            continue;
        for (size_t w = 0; w < sizeof work / sizeof *work; w++) {
            if (work[w].all || i % 5 == 1 || strstr(cases[i], "kh1"))
                check_conv_case(r, group, dtype, cases[i], work[w].fuse, 1u << work[w].dir);
        }
    }
    for (size_t i = 0; stems[i]; i++) {
        check_conv_case(r, group, dtype, stems[i], "epi_stats", 1u << RN_FWD);
        check_conv_case(r, group, dtype, stems[i], "pro_dbn", 1u << RN_BWD_W);
    }
    /* A descriptor from the command line, without fused work: all of it. */
    rn_conv_desc d;
    if (r->cas && rn_select_match(r->group, group) && rn_conv_desc_parse(r->cas, &d) == 0) {
        const char *pattern = r->cas;
        r->cas = NULL;
        for (size_t w = 0; w < sizeof work / sizeof *work; w++)
            check_conv_case(r, group, dtype, pattern, work[w].fuse, 1u << work[w].dir);
        r->cas = pattern;
    }
}

static void run_f32(check_run *r)
{
    check_list(r, "conv_fuse", RN_F32);
}

static void run_bf16(check_run *r)
{
    check_list(r, "conv_fuse_bf16", RN_BF16);
}

static void run_f16(check_run *r)
{
    check_list(r, "conv_fuse_f16", RN_F16);
}

const check_group check_conv_fuse_group = {"conv_fuse", run_f32};
const check_group check_conv_fuse_bf16_group = {"conv_fuse_bf16", run_bf16};
const check_group check_conv_fuse_f16_group = {"conv_fuse_f16", run_f16};
