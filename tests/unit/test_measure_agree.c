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

/* The prologue is not done. */
static int reads_as_stored(rn_conv_plan *p, const rn_conv_args *a, int beta, void *workspace, void *stream)
{
    rn_conv_plan without = *p;

    without.desc.fuse &= RN_EPI_STATS | RN_EPI_DBN;
    return rn_ref_conv.run(&without, a, beta, workspace, stream);
}

/* Sums are made, but the second of the wrong values. */
static int squares_short(rn_conv_plan *p, const rn_conv_args *a, int beta, void *workspace, void *stream)
{
    const int channels = p->dir == RN_FWD ? p->desc.oc : p->desc.ic;

    RN_TRY(rn_ref_conv.run(p, a, beta, workspace, stream));
    for (int c = 0; a->sumsq && c < channels; c++)
        a->sumsq[c] *= 0.75;
    return RN_OK;
}

/* The gradient goes past the ReLU. */
static int not_masked(rn_conv_plan *p, const rn_conv_args *a, int beta, void *workspace, void *stream)
{
    rn_conv_plan without = *p;

    RN_TRY(rn_ref_conv.run(p, a, beta, workspace, stream)); /* the right sums */
    without.desc.fuse &= ~(unsigned)RN_EPI_DBN;
    return rn_ref_conv.run(&without, a, beta, workspace, stream);
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

static const rn_conv_algo unread = {
    .name = "t:unread", .flags = RN_ALGO_DETERMINISTIC, .supports = does_all, .run = reads_as_stored};
static const rn_conv_algo unsummed = {
    .name = "t:unsummed", .flags = RN_ALGO_DETERMINISTIC, .supports = does_all, .run = squares_short};
static const rn_conv_algo unmasked = {
    .name = "t:unmasked", .flags = RN_ALGO_DETERMINISTIC, .supports = does_all, .run = not_masked};

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

static const char *picked(const rn_conv_algo *const *list, enum rn_select_mode mode, rn_conv_dir dir, rn_dtype dtype)
{
    rn_backend *be = device(list);
    const rn_select_policy policy = {.mode = mode, .budget_s = 0.01};
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
static void check_left(const rn_conv_algo *const *list, rn_conv_dir dir, rn_dtype dtype, unsigned fuse,
                       const char *const *names)
{
    rn_backend *be = device(list);
    rn_candidate c[8] = {{0}};
    rn_conv_desc d;
    int n = 0, left = 0;

    assert_int_equal(rn_conv_desc_parse("mb4ic24ih6oc24kh3ph1", &d), 0);
    d.dtype = dtype;
    d.fuse = fuse;
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
        check_left(list, dir, RN_F32, 0, names);
    check_left(list, RN_FWD, RN_BF16, 0, names);
}

/* What writes nothing is faster than any; of the two that are right either may be. */
static void wrong_ones_do_not_win(void **state)
{
    const rn_conv_algo *const list[] = {&writes_nothing, &short_sum, &broken, &closed, &good, &plain, NULL};

    (void)state;
    for (rn_conv_dir dir = RN_FWD; dir <= RN_BWD_W; dir++) {
        const char *name = picked(list, RN_SELECT_FULL, dir, RN_F32);
        assert_true(strcmp(name, "t:good") == 0 || strcmp(name, "t:plain") == 0);
    }
}

/* The first that is right, where nothing is measured. */
static void wrong_ones_are_passed_over(void **state)
{
    const rn_conv_algo *const list[] = {&writes_nothing, &short_sum, &broken, &closed, &good, &plain, NULL};

    (void)state;
    for (rn_conv_dir dir = RN_FWD; dir <= RN_BWD_W; dir++)
        assert_string_equal(picked(list, RN_SELECT_ORDER, dir, RN_F32), "t:good");
}

/* Whoever asks for one by name that is wrong is told so. */
static void wrong_ones_are_refused(void **state)
{
    const rn_conv_algo *const list[] = {&short_sum, &good, &plain, NULL};
    rn_backend *be = device(list);
    rn_selector *s = NULL;
    rn_select_choice c;
    rn_conv_desc d;

    (void)state;
    assert_int_equal(rn_conv_desc_parse("mb4ic24ih6oc24kh3ph1", &d), 0);
    for (int mode = RN_SELECT_ORDER; mode <= RN_SELECT_FULL; mode++) {
        const rn_select_policy policy = {.mode = (enum rn_select_mode)mode, .pattern = "t:short", .budget_s = 0.01};
        assert_int_equal(rn_selector_open(be, &policy, &s), 0);
        assert_int_equal(rn_selector_pick(s, &d, RN_FWD, &c), RN_E_UNSUPPORTED);
        assert_non_null(strstr(rn_error_text(),
                               "t:short: it fails, or its results are wrong, on this device; t:good: not asked for"));
        rn_selector_close(s);
    }
    rn_backend_close(be);
}

/* Work that is fused is held against the same work apart. */
static void fused_work_counts(void **state)
{
    const rn_conv_algo *const list[] = {&unread, &unsummed, &unmasked, &good, &plain, NULL};
    const char *const not_read[] = {"t:unsummed", "t:unmasked", "t:good", "t:plain", NULL};
    const char *const not_summed[] = {"t:unread", "t:unmasked", "t:good", "t:plain", NULL};
    const char *const not_left[] = {"t:unread", "t:good", "t:plain", NULL};
    const char *const right_ones[] = {"t:unmasked", "t:good", "t:plain", NULL};
    const char *const only[] = {"t:good", "t:plain", NULL};
    const unsigned bn = RN_PRO_BN | RN_PRO_RELU;

    (void)state;
    for (rn_dtype dtype = RN_F32; dtype <= RN_F16; dtype++) {
        check_left(list, RN_FWD, dtype, RN_PRO_BN, not_read);
        check_left(list, RN_FWD, dtype, bn, not_read);
        check_left(list, RN_FWD, dtype, bn | RN_PRO_ADD, not_read);
        check_left(list, RN_FWD, dtype, RN_EPI_STATS, not_summed);
        check_left(list, RN_FWD, dtype, bn | RN_EPI_STATS, right_ones);
        check_left(list, RN_BWD_D, dtype, RN_PRO_DBN, not_read);
        check_left(list, RN_BWD_D, dtype, RN_EPI_DBN, not_left);
        check_left(list, RN_BWD_D, dtype, RN_PRO_DBN | RN_EPI_DBN, only);
        check_left(list, RN_BWD_W, dtype, bn, not_read);
        check_left(list, RN_BWD_W, dtype, bn | RN_PRO_ADD, not_read);
        check_left(list, RN_BWD_W, dtype, RN_PRO_DBN, not_read);
        check_left(list, RN_BWD_W, dtype, bn | RN_PRO_DBN, not_read);
    }
}

/* Nothing else is left. */
static void plain_sums_stay(void **state)
{
    const rn_conv_algo *const list[] = {&writes_nothing, &broken, &plain, NULL};

    (void)state;
    assert_string_equal(picked(list, RN_SELECT_FULL, RN_FWD, RN_F32), "t:plain");
}

/* A library's rows are not held against ours. */
static void libraries_are_believed(void **state)
{
    const rn_conv_algo *const list[] = {&library, &plain, NULL};
    const char *const names[] = {"lib:nothing", "t:plain", NULL};

    (void)state;
    check_left(list, RN_FWD, RN_F32, 0, names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_ones_are_left_out),    cmocka_unit_test(wrong_ones_do_not_win),
        cmocka_unit_test(wrong_ones_are_passed_over), cmocka_unit_test(wrong_ones_are_refused),
        cmocka_unit_test(fused_work_counts),          cmocka_unit_test(plain_sums_stay),
        cmocka_unit_test(libraries_are_believed),
    };

    return cmocka_run_group_tests_name("measure_agree", tests, NULL, NULL);
}
