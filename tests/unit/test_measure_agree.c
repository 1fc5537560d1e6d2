/* SPDX-License-Identifier: MIT */
/* On a device nothing that is wrong wins a measurement, however fast it is. The device is the CPU, called one; its kernels are the reference, as
 * it is or spoilt. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rn_error.h"
#include "kernels/ref/ref_conv.h"
#include "kernels/rn_kernels.h"
#include "op/rn_measure.h"
#include "op/rn_select.h"

static bool does_all(rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, const char **why)
{
    (void)be, (void)d, (void)dir, (void)why;
    return true;
}

static int nothing(rn_conv_plan *p, const rn_conv_args *a, int beta, void *workspace, void *stream)
{
    (void)p, (void)a, (void)beta, (void)workspace, (void)stream;
    return RN_OK;
}

static int fails(rn_conv_plan *p, const rn_conv_args *a, int beta, void *workspace, void *stream)
{
    (void)p, (void)a, (void)beta, (void)workspace, (void)stream;
    return rn_fail(RN_E_IO, "launch: out of order");
}

/* The last of 24 channels of the weights is not read. */
static int skips_a_channel(rn_conv_plan *p, const rn_conv_args *a, int beta, void *workspace, void *stream)
{
    uint8_t *const out = p->dir == RN_FWD ? a->dst : p->dir == RN_BWD_D ? a->src : a->wei;
    const size_t size = rn_dtype_size(p->dir == RN_BWD_W ? RN_F32 : p->desc.dtype);
    const size_t n = p->dir == RN_FWD     ? (size_t)p->desc.mb * p->desc.oh * p->desc.ow * p->desc.oc
                     : p->dir == RN_BWD_D ? (size_t)p->desc.mb * p->desc.ih * p->desc.iw * p->desc.ic
                                          : (size_t)p->desc.oc * p->desc.kh * p->desc.kw * p->desc.ic;

    RN_TRY(rn_ref_conv.run(p, a, beta, workspace, stream));
    for (size_t i = 23; i < n; i += 24)
        memset(out + i * size, 0, size);
    return RN_OK;
}

static int right(rn_conv_plan *p, const rn_conv_args *a, int beta, void *workspace, void *stream)
{
    return rn_ref_conv.run(p, a, beta, workspace, stream);
}

static int open_fails(rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, void **priv)
{
    (void)be, (void)d, (void)dir, (void)priv;
    return rn_fail(RN_E_UNSUPPORTED, "no tensor map for it");
}

static const rn_conv_algo writes_nothing = {
    .name = "t:nothing", .flags = RN_ALGO_DETERMINISTIC, .supports = does_all, .run = nothing};
static const rn_conv_algo short_sum = {
    .name = "t:short", .flags = RN_ALGO_DETERMINISTIC, .supports = does_all, .run = skips_a_channel};
static const rn_conv_algo broken = {
    .name = "t:broken", .flags = RN_ALGO_DETERMINISTIC, .supports = does_all, .run = fails};
static const rn_conv_algo closed = {
    .name = "t:closed", .flags = RN_ALGO_DETERMINISTIC, .supports = does_all, .open = open_fails, .run = right};
static const rn_conv_algo good = {.name = "t:good", .flags = RN_ALGO_DETERMINISTIC, .supports = does_all, .run = right};
static const rn_conv_algo library = {
    .name = "lib:nothing", .flags = RN_ALGO_DETERMINISTIC, .supports = does_all, .run = nothing};
static const rn_conv_algo plain = {
    .name = "t:plain", .flags = RN_ALGO_DETERMINISTIC, .supports = does_all, .run = right};

static int synced(rn_backend *be, rn_stream s)
{
    (void)be, (void)s;
    return RN_OK;
}

static rn_backend *device(const rn_conv_algo *const *list)
{
    rn_backend *be = NULL;

    assert_int_equal(rn_backend_open(rn_backends, "cpu", &(rn_backend_opts){.threads = 1}, &be), 0);
    be->conv_algos = list;
    be->sync = synced;
    return be;
}

static const char *picked(const rn_conv_algo *const *list, rn_conv_dir dir, rn_dtype dtype)
{
    rn_backend *be = device(list);
    const rn_select_policy policy = {.mode = RN_SELECT_FULL, .budget_s = 0.01};
    rn_selector *s = NULL;
    rn_select_choice c;
    rn_conv_desc d;

    assert_int_equal(rn_conv_desc_parse("mb4ic24ih6oc24kh3ph1", &d), 0);
    d.dtype = dtype;
    assert_int_equal(rn_selector_open(be, &policy, &s), 0);
    assert_int_equal(rn_selector_pick(s, &d, dir, &c), 0);
    const char *name = c.algo->name;
    rn_selector_close(s);
    rn_backend_close(be);
    return name;
}

/* Which algorithms of `list` are left, in their order. */
static void check_left(const rn_conv_algo *const *list, rn_conv_dir dir, rn_dtype dtype, const char *const *names)
{
    rn_backend *be = device(list);
    rn_candidate c[8] = {{0}};
    rn_conv_desc d;
    int n = 0, left = 0;

    assert_int_equal(rn_conv_desc_parse("mb4ic24ih6oc24kh3ph1", &d), 0);
    d.dtype = dtype;
    for (; list[n]; n++)
        c[n].algo = list[n];
    assert_int_equal(rn_measure_agreeing(be, &d, dir, c, &n), 0);
    for (; left < n && names[left]; left++)
        assert_string_equal(c[left].algo->name, names[left]);
    assert_int_equal(left, n);
    assert_null(names[left]);
    rn_backend_close(be);
}

static void wrong_ones_are_left_out(void **state)
{
    const rn_conv_algo *const list[] = {&writes_nothing, &short_sum, &broken, &closed, &good, &plain, NULL};
    const char *const names[] = {"t:good", "t:plain", NULL};

    (void)state;
    for (rn_conv_dir dir = RN_FWD; dir <= RN_BWD_W; dir++)
        check_left(list, dir, RN_F32, names);
    check_left(list, RN_FWD, RN_BF16, names);
}

/* What writes nothing is faster than any; of the two that are right either may be. */
static void wrong_ones_do_not_win(void **state)
{
    const rn_conv_algo *const list[] = {&writes_nothing, &short_sum, &broken, &closed, &good, &plain, NULL};

    (void)state;
    for (rn_conv_dir dir = RN_FWD; dir <= RN_BWD_W; dir++) {
        const char *name = picked(list, dir, RN_F32);
        assert_true(strcmp(name, "t:good") == 0 || strcmp(name, "t:plain") == 0);
    }
}

/* Nothing else is left. */
static void plain_sums_stay(void **state)
{
    const rn_conv_algo *const list[] = {&writes_nothing, &broken, &plain, NULL};

    (void)state;
    assert_string_equal(picked(list, RN_FWD, RN_F32), "t:plain");
}

/* A library's rows are not held against ours. */
static void libraries_are_believed(void **state)
{
    const rn_conv_algo *const list[] = {&library, &plain, NULL};
    const char *const names[] = {"lib:nothing", "t:plain", NULL};

    (void)state;
    check_left(list, RN_FWD, RN_F32, names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_ones_are_left_out),
        cmocka_unit_test(wrong_ones_do_not_win),
        cmocka_unit_test(plain_sums_stay),
        cmocka_unit_test(libraries_are_believed),
    };

    return cmocka_run_group_tests_name("measure_agree", tests, NULL, NULL);
}
