/* SPDX-License-Identifier: MIT */
/*
 * Convolutions: every algorithm x instruction set x direction x beta against the reference (check_conv_run.c). Groups conv (f32:
 * every case), conv_bf16 and conv_f16 (those of `half`): there the data are values of the type, the integers' sums are exact
 * in f32 and rounded once, so that they too must agree bit for bit.
 */
#include "check_conv.h"

#include "kernels/ref/ref_conv.h"
#include "op/rn_select.h"

#define ALL_DIRS (1u << RN_FWD | 1u << RN_BWD_D | 1u << RN_BWD_W)

static const char *const cases[] = {
    /* odd everything */
    "mb1ic1ih5oc1kh3ph1", "mb2ic3ih7oc5kh3ph1", "mb5ic5ih9iw11oc16kh3ph1", "mb1ic16ih13iw17oc31kh3kw1ph1pw0",
    "mb2ic31ih6iw9oc3kh1kw3ph0pw1", "mb2ic64ih8oc64kh3ph1", "mb1ic17ih4oc33kh1", "mb5ic16ih10oc16kh3ph1",
    /* strides, with and without a rest */
    "mb2ic16ih15oc31kh3sh2ph1", "mb2ic5ih16oc16kh3sh2ph1", "mb1ic16ih17iw14oc5kh5sh3ph2", "mb2ic3ih14oc16kh5sh2ph2",
    "mb1ic31ih12oc16kh3sh1sw2ph1", "mb2ic16ih11iw13oc16kh3sh3ph0", "mb1ic3ih10oc5kh2sh3ph0", "mb2ic8ih9oc24kh2sh2ph1",
    /* 1x1 */
    "mb5ic16ih7oc64kh1", "mb2ic64ih14oc31kh1sh2", "mb2ic31ih13oc16kh1sh2", "mb1ic16ih10oc16kh1sh3",
    "mb2ic3ih6oc5kh1ph1", "mb6ic17ih13oc1030kh1sh2", "mb5ic36ih15oc33kh1",
    /* stems */
    "mb2ic3ih33oc16kh7sh2ph3", "mb1ic1ih28oc16kh3ph1", "mb2ic3ih32iw30oc8kh3ph1", "mb1ic3ih37iw23oc64kh7sh2ph3",
    "mb5ic1ih9oc3kh7ph3", "mb1ic3ih43iw51oc96kh11sh4ph2",
    /* padding as wide as the kernel and wider, kernel as large as the input */
    "mb2ic5ih4oc5kh5ph4", "mb1ic16ih3oc16kh3ph3", "mb2ic16ih7oc31kh7ph0", "mb1ic5ih2oc3kh1ph2",
    /* strides beyond the input */
    "mb2ic5ih4oc17kh3sh1000000ph1", "mb2ic5ih3oc17kh5sh1000000ph1000000",
    /* long sums: more than one block of K, of pixels, of channels */
    "mb1ic130ih6oc70kh3ph1", "mb2ic300ih5oc16kh3ph1", "mb5ic16ih21oc16kh3ph1", "mb1ic512ih4oc130kh1",
    "mb2ic40ih4oc300kh3ph1", "mb64ic8ih4oc16kh3ph1", "mb5ic16ih29oc16kh3ph1",
    /* small maps of many images: taps in the padding are left out */
    "mb33ic17ih5oc19kh3ph1", "mb40ic16ih7oc16kh5sh2ph2", "mb30ic5ih3iw4oc36kh3sh1ph2", "mb300ic3ih3oc5kh3ph1",
    "mb28ic50ih3oc300kh3ph1", "mb24ic16ih6iw5oc31kh3sh2ph1", "mb70ic1ih4oc3kh7ph3",
    /* maps and widths of narrow nets */
    "mb1ic16ih28oc32kh3sh2ph1", "mb2ic32ih14oc64kh3sh2ph1", "mb3ic64ih7oc64kh3ph1", "mb1ic24ih14oc40kh3ph1",
    "mb3ic40ih13iw9oc64kh3ph1", NULL};

/* Those that a 16-bit type is checked on: everything it does differently. Odd counts of channels, of images, of pixels
 * and of taps, because bf16 goes in pairs; sums of several blocks; padding left out; strides. */
static const char *const half[] = {
    "mb1ic1ih5oc1kh3ph1", "mb1ic1ih1oc1kh1", "mb2ic3ih7oc5kh3ph1", "mb1ic16ih13iw17oc31kh3kw1ph1pw0",
    "mb2ic31ih6iw9oc3kh1kw3ph0pw1", "mb1ic17ih4oc33kh1", "mb5ic16ih10oc16kh3ph1", "mb2ic16ih15oc31kh3sh2ph1",
    "mb1ic16ih17iw14oc5kh5sh3ph2", "mb1ic31ih12oc16kh3sh1sw2ph1", "mb2ic8ih9oc24kh2sh2ph1", "mb2ic64ih14oc31kh1sh2",
    "mb1ic16ih10oc16kh1sh3", "mb6ic17ih13oc1030kh1sh2", "mb5ic36ih15oc33kh1", "mb2ic3ih6oc5kh1ph1",
    "mb1ic3ih37iw23oc64kh7sh2ph3", "mb5ic1ih9oc3kh7ph3", "mb2ic5ih4oc5kh5ph4", "mb1ic5ih2oc3kh1ph2",
    "mb2ic5ih4oc17kh3sh1000000ph1", "mb2ic131ih6oc70kh3ph1", "mb1ic40ih4oc300kh3ph1", "mb5ic16ih21oc16kh3ph1",
    "mb1ic512ih4oc130kh1", "mb33ic17ih5oc19kh3ph1", "mb40ic16ih7oc16kh5sh2ph2", "mb30ic5ih3iw4oc36kh3sh1ph2",
    "mb300ic3ih3oc5kh3ph1", "mb28ic50ih3oc130kh3ph1", "mb24ic16ih6iw5oc31kh3sh2ph1", "mb3ic64ih7oc64kh3ph1",
    /* stems: 1 to 4 channels, odd and even steps, edges, lines that begin anywhere, several tiles of lines, of columns, of
     * both, of k and of oc */
    "mb3ic3ih32iw30oc40kh3ph1", "mb5ic3ih45oc64kh7sh2ph3", "mb1ic3ih43iw51oc96kh11sh4ph2",
    "mb3ic4ih19iw23oc32kh5kw3sh2sw1ph2pw1", "mb1ic2ih21iw18oc64kh3kw7sh1sw4ph1pw3", "mb3ic1ih28oc33kh5ph0",
    "mb2ic3ih21iw19oc24kh5kw6sh1sw2ph0pw7", "mb1ic3ih4iw1501oc8kh3kw2ph1pw0", "mb1ic4ih5iw1500oc16kh3sh2sw1ph1",
    "mb3ic3ih40oc64kh7sh2ph3", "mb2ic1ih17iw24oc40kh3kw4sh1sw2ph1pw1", "mb1ic3ih16iw40oc33kh5kw3sh2sw4ph2pw1",
    "mb3ic4ih6iw1990oc8kh3sh1sw4ph1pw0",
    /* channels in whole pieces of 16 bytes but not in whole tiles, which devices copy by tensor maps */
    "mb3ic72ih9oc136kh3sh2ph1", "mb1ic64ih10iw7oc200kh3ph1", "mb3ic64ih12iw15oc40kh1", "mb2ic128ih9oc72kh1sh2",
    "mb1ic8ih19oc64kh7sh2ph3", NULL};

/* The three directions of the reference against each other: <fwd(src, wei), dst> = <src, bwd_d> = <wei, bwd_w>.
 * Exact on integers. */
static void check_adjoint(check_run *r, const char *group, const char *text)
{
    const check_id id = {group, text, "adjoint", "ref", ""};
    rn_conv_desc d;
    float *t[3];
    double dot[3] = {0, 0, 0};

    if (rn_conv_desc_parse(text, &d) < 0 || !check_begin(r, &id)) /* check_conv_case tells what is wrong with it */
        return;
    const size_t n[] = {(size_t)d.mb * d.oh * d.ow * d.oc, (size_t)d.mb * d.ih * d.iw * d.ic,
                        (size_t)d.oc * d.kh * d.kw * d.ic};
    for (int j = 0; j < 3; j++) {
        t[j] = check_f32(r, n[j]);
        check_fill_int(r, t[j], n[j], 3);
    }
    for (int dir = 0; dir < 3; dir++) {
        for (size_t i = 0; i < n[dir]; i++)
            dot[dir] += rn_ref_conv_element(&d, (rn_conv_dir)dir, t[1], t[2], t[0], i, NULL) * (double)t[dir][i];
    }
    if (!(dot[0] == dot[1] && dot[0] == dot[2]))
        check_fail(r, "fwd %.17g, bwd_d %.17g, bwd_w %.17g", dot[0], dot[1], dot[2]);
    check_end(r);
}

static void check_case(check_run *r, const check_group *group, rn_dtype dtype, const char *text)
{
    if (dtype == RN_F32)
        check_adjoint(r, group->name, text);
    check_conv_case(r, group->name, dtype, text, "", ALL_DIRS);
}

static void check_list(check_run *r, const check_group *group, rn_dtype dtype, const char *const *list)
{
    rn_conv_desc d;
    bool listed = false;

    for (const char *const *c = list; *c; c++) {
        check_case(r, group, dtype, *c);
        listed = listed || (r->cas && rn_select_match(r->cas, *c));
    }
    /* A descriptor from the command line that is not in the list. */
    if (r->cas && !listed && rn_select_match(r->group, group->name) && rn_conv_desc_parse(r->cas, &d) == 0)
        check_case(r, group, dtype, r->cas);
}

static void run_f32(check_run *r)
{
    check_list(r, &check_conv_group, RN_F32, cases);
}

static void run_bf16(check_run *r)
{
    check_list(r, &check_conv_bf16_group, RN_BF16, half);
}

static void run_f16(check_run *r)
{
    check_list(r, &check_conv_f16_group, RN_F16, half);
}

const check_group check_conv_group = {"conv", run_f32};
const check_group check_conv_bf16_group = {"conv_bf16", run_bf16}, check_conv_f16_group = {"conv_f16", run_f16};
