/* SPDX-License-Identifier: MIT */
/* rn-bench's judgement: a wrong kernel gets no time, whatever is wrong with it; intervals have the width that tables say; and
 * lists of layers are those of the networks that are trained. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rn_error.h"
#include "bench/bench.h"
#include "bench/bench_conv.h"
#include "bench/bench_stats.h"
#include "kernels/ref/ref_conv.h"
#include "kernels/rn_kernels.h"
#include "nn/graph/rn_graph.h"
#include "nn/model/rn_model.h"
#include "printed.h"
#include "wrong_conv.h"

/* What `row` looks like; the caller frees. */
static char *told(const json_t *row, enum bench_form form)
{
    const printing p = printed_begin();
    const int rc = bench_conv_print(row, form, true);
    char *text = printed(p);

    assert_int_equal(rc, 0);
    return text;
}

/* ---- wrong kernels -------------------------------------------------------------------------------------------------- */

/* A CPU backend with these algorithms and no others; close it with rn_backend_close. */
static rn_backend *backend_of(const rn_conv_algo *algos, int n, const rn_conv_algo **list)
{
    rn_backend *be = NULL;

    assert_int_equal(rn_backend_open(rn_backends, "cpu", &(rn_backend_opts){.threads = 1}, &be), 0);
    for (int i = 0; i < n; i++)
        list[i] = &algos[i];
    list[n] = NULL;
    be->conv_algos = list;
    return be;
}

/* Each of `algos` on one case, verified and timed once; n results, bench_results_free. */
static bench_result *measured(const rn_conv_algo *algos, int n, const char *text, rn_conv_dir dir)
{
    const rn_conv_algo *list[FAULTS + 1];
    rn_backend *be = backend_of(algos, n, list);
    const bench_plan_opts po = {.rounds = 3, .seed = 7};
    bench_result *r = NULL;
    rn_conv_desc d;
    size_t got = 0;

    assert_int_equal(rn_conv_desc_parse(text, &d), 0);
    assert_int_equal(bench_measure(be, &d, dir, &po, &r, &got), 0);
    assert_int_equal(got, n);
    rn_backend_close(be);
    return r;
}

static void with_flags(rn_conv_algo *algos, const enum wrong_conv *faults, int n, unsigned flags)
{
    for (int i = 0; i < n; i++) {
        algos[i] = wrong_conv(faults[i]);
        algos[i].flags |= flags;
    }
}

static void no_time_for_wrong_results(void **state)
{
    rn_conv_algo algos[FAULTS];

    (void)state;
    for (int i = 0; i < FAULTS; i++)
        algos[i] = wrong_conv(i);
    for (rn_conv_dir dir = RN_FWD; dir <= RN_BWD_W; dir++) {
        bench_result *r = measured(algos, FAULTS, "mb2ic5ih7oc6kh3sh2ph1", dir);
        for (int i = 0; i < FAULTS; i++) {
            if (r[i].verified != (i == RIGHT) || r[i].wrong != (i != RIGHT && i != FAILS))
                fail_msg("%s, %s: verified %d, wrong %d, '%s'", rn_conv_dir_name(dir), wrong_conv_names[i],
                         r[i].verified, r[i].wrong, r[i].failure);
            assert_true(i == RIGHT ? r[i].ms > 0 && r[i].nsamples == 3 : r[i].ms == 0 && *r[i].failure);
        }
        assert_non_null(strstr(r[ONE_ELEMENT].failure, "integers: element"));
        assert_non_null(strstr(r[LOW_PRECISION].failure, "reals: element"));
        assert_non_null(strstr(r[FAILS].failure, "out of order"));
        bench_results_free(r, FAULTS);
    }
}

static int open_fails(rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, void **priv)
{
    (void)be, (void)d, (void)dir, (void)priv;
    return rn_fail(RN_E_UNSUPPORTED, "no primitive for it");
}

static size_t workspace_huge(rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir)
{
    (void)be, (void)d, (void)dir;
    return (size_t)1 << 50;
}

/* What never came to a result is not called wrong, and takes no time from what stands beside it. */
static void failed_is_not_wrong(void **state)
{
    enum { OPEN, WORKSPACE, FINE, N };
    rn_conv_algo algos[N] = {wrong_conv(RIGHT), wrong_conv(RIGHT), wrong_conv(RIGHT)};
    bench_setting s = {.rounds = 3};
    bench_shape shape = {.count = 1};

    (void)state;
    algos[OPEN].open = open_fails;
    algos[WORKSPACE].workspace = workspace_huge;
    bench_result *r = measured(algos, N, "mb2ic5ih7oc6kh3sh2ph1", RN_FWD);
    for (int i = 0; i < N; i++)
        assert_true(!r[i].wrong && !r[i].refused && r[i].verified == (i == FINE) && (r[i].ms > 0) == (i == FINE));
    assert_non_null(strstr(r[OPEN].failure, "no primitive for it"));
    assert_non_null(strstr(r[WORKSPACE].failure, "needs 1048576.00 GiB, "));

    assert_int_equal(rn_backend_open(rn_backends, "cpu", &(rn_backend_opts){.threads = 1}, &s.be), 0);
    assert_int_equal(rn_conv_desc_parse("mb2ic5ih7oc6kh3sh2ph1", &shape.desc), 0);
    assert_non_null(s.machine = json_object());
    json_t *row = bench_conv_row(&s, &shape, RN_FWD, &r[OPEN]);
    char *text = told(row, BENCH_TEXT), *json = told(row, BENCH_JSON);
    assert_non_null(strstr(text, " failed: no primitive for it\n"));
    assert_non_null(strstr(json, "\"state\":\"failed\",\"failure\":\"no primitive for it\",\"verified\":false"));
    free(text);
    free(json);
    json_decref(row);
    json_decref(s.machine);
    rn_backend_close(s.be);
    bench_results_free(r, N);
}

/* Whoever says that he computes in fewer bits gets a time for it, but not for any result. */
static void fewer_bits_by_intent(void **state)
{
    static const enum wrong_conv faults[] = {LOW_PRECISION, ROUGH, ONE_NAN};
    enum { N = sizeof faults / sizeof *faults };
    rn_conv_algo algos[N];

    (void)state;
    with_flags(algos, faults, N, RN_ALGO_LOWPREC);
    bench_result *r = measured(algos, N, "mb2ic5ih17oc16kh3ph1", RN_FWD);
    if (!r[0].verified)
        fail_msg("%s", r[0].failure);
    assert_false(r[1].verified);
    assert_non_null(strstr(r[1].failure, "root mean square"));
    assert_false(r[2].verified);
    bench_results_free(r, N);
}

/* Long sums leave an inexact algorithm some room, and a single element hides in none of it. */
static void inexact_is_not_wrong(void **state)
{
    static const enum wrong_conv faults[] = {ONE_ELEMENT, LOW_PRECISION};
    enum { N = sizeof faults / sizeof *faults };
    rn_conv_algo algos[N];

    (void)state;
    with_flags(algos, faults, N, RN_ALGO_WINOGRAD);
    bench_result *r = measured(algos, N, "mb1ic600ih13oc64kh3ph1", RN_FWD);
    assert_false(r[0].verified);
    assert_non_null(strstr(r[0].failure, "integers: element 10814 of"));
    if (!r[1].verified)
        fail_msg("%s", r[1].failure);
    bench_results_free(r, N);
}

/* Every algorithm of this machine, where the check costs little: exact sums must not refuse what is right. */
static void time_for_right_results(void **state)
{
    static const char *const cases[] = {"mb2ic3ih13oc8kh7sh2ph3", "mb3ic16ih9iw11oc20kh3ph1", "mb2ic70ih5oc33kh1sh2",
                                        "mb1ic600ih4oc16kh3ph1"};
    rn_backend *be = NULL;

    (void)state;
    assert_int_equal(rn_backend_open(rn_backends, "cpu", &(rn_backend_opts){.threads = 2}, &be), 0);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        for (int i = 0; i < 9; i++) {
            const bench_plan_opts po = {.pattern = "*", .rounds = 1, .seed = c};
            bench_result *r = NULL;
            rn_conv_desc d;
            size_t n;
            assert_int_equal(rn_conv_desc_parse(cases[c], &d), 0);
            d.dtype = (rn_dtype)(i % 3);
            assert_int_equal(bench_measure(be, &d, (rn_conv_dir)(i / 3), &po, &r, &n), 0);
            for (size_t k = 0; k < n; k++) {
                if (!r[k].refused && !r[k].verified)
                    fail_msg("%s %s %s: %s", cases[c], rn_conv_dir_name((rn_conv_dir)(i / 3)), r[k].algo->name,
                             r[k].failure);
            }
            bench_results_free(r, n);
        }
    }
    rn_backend_close(be);
}

/* ---- intervals ------------------------------------------------------------------------------------------------------ */

/* Two-sided, 5 %: the tables that textbooks print. */
static void critical_values(void **state)
{
    (void)state;
    assert_int_equal(bench_critical_u(3, 3, 0.05), -1);
    assert_int_equal(bench_critical_u(4, 4, 0.05), 0);
    assert_int_equal(bench_critical_u(5, 5, 0.05), 2);
    assert_int_equal(bench_critical_u(5, 8, 0.05), 6);
    assert_int_equal(bench_critical_u(11, 11, 0.05), 30);
    assert_int_equal(bench_critical_u(20, 20, 0.05), 127);
    assert_int_equal(bench_critical_u(20, 20, 0.01), 105);
    assert_int_equal(bench_critical_signed_rank(5, 0.05), -1);
    assert_int_equal(bench_critical_signed_rank(6, 0.05), 0);
    assert_int_equal(bench_critical_signed_rank(11, 0.05), 10);
    assert_int_equal(bench_critical_signed_rank(20, 0.05), 52);
    assert_int_equal(bench_critical_signed_rank(20, 0.01), 37);
    /* beyond the exact tables: the step to the normal approximation is a small one */
    assert_in_range(bench_critical_u(41, 41, 0.05), bench_critical_u(40, 40, 0.05),
                    bench_critical_u(40, 40, 0.05) + 50);
    assert_in_range(bench_critical_signed_rank(41, 0.05), bench_critical_signed_rank(40, 0.05),
                    bench_critical_signed_rank(40, 0.05) + 20);
}

static void ratios(void **state)
{
    double a[11], b[11];
    bench_ratio r;

    (void)state;
    for (int i = 0; i < 11; i++) {
        double common = 1 + 0.5 * (i % 3); /* a neighbour who disturbs whole rounds */
        a[i] = 10 * common;
        b[i] = 8 * common * (1 + 0.001 * i);
    }
    assert_int_equal(bench_ratio_pairs(a, b, 11, 0.95, &r), 0);
    assert_true(r.has_interval && r.lo > 1.23 && r.lo <= r.ratio && r.ratio <= r.hi && r.hi <= 1.25);
    assert_int_equal(bench_ratio_apart(a, 11, b, 11, 0.95, &r), 0);
    assert_true(r.has_interval && r.lo < 1 && r.hi > 1.4); /* the same samples as if of two runs: nothing is known */
    a[4] = 1e6;
    assert_int_equal(bench_ratio_pairs(a, b, 11, 0.95, &r), 0);
    assert_true(r.ratio > 1.23 && r.ratio < 1.26); /* one round does not move it */
    assert_int_equal(bench_ratio_pairs(a, b, 3, 0.95, &r), 0);
    assert_false(r.has_interval);
    assert_true(r.lo == r.ratio && r.hi == r.ratio);
}

/* ---- lists ---------------------------------------------------------------------------------------------------------- */

static bool same_shape(const rn_conv_desc *a, const rn_conv_desc *b)
{
    char x[256], y[256];

    return strcmp(rn_conv_desc_text(a, x, sizeof x), rn_conv_desc_text(b, y, sizeof y)) == 0;
}

/* Each convolution of the graph that is trained is in the list as often, and in the directions, that it has; nothing else is. */
static void same_as_graph(const char *net, const rn_model_spec *spec)
{
    bench_shapes list = {0};
    rn_graph g = {0};

    assert_int_equal(bench_shapes_net(net, 4, &list), 0);
    if (rn_model_build(spec, 4, &g) < 0)
        fail_msg("%s: %s", net, rn_error_text());
    for (int n = 0; n < g.nnodes; n++) {
        size_t i = 0;
        if (g.nodes[n].kind != RN_NODE_CONV)
            continue;
        while (i < list.n && !same_shape(&list.v[i].desc, &g.nodes[n].conv))
            i++;
        if (i == list.n)
            fail_msg("%s has no %s", net, g.nodes[n].name);
        list.v[i].count--;
        assert_int_equal(list.v[i].dirs, g.values[g.nodes[n].in].needs_grad ? 7 : 1 << RN_FWD | 1 << RN_BWD_W);
    }
    for (size_t i = 0; i < list.n; i++) {
        if (list.v[i].count != 0)
            fail_msg("%s: %s is %d too many", net, list.v[i].name, list.v[i].count);
    }
    rn_graph_free(&g);
    bench_shapes_free(&list);
}

static void lists_are_the_networks(void **state)
{
    static const struct {
        const char *net, *arch;
        int px, channels;
        enum rn_stem stem;
        double width;
    } nets[] = {{"resnet18", "resnet18", 224, 3, RN_STEM_IMAGENET, 1},
                {"resnet34", "resnet34", 224, 3, RN_STEM_IMAGENET, 1},
                {"resnet50", "resnet50", 224, 3, RN_STEM_IMAGENET, 1},
                {"resnet18-128", "resnet18", 128, 3, RN_STEM_IMAGENET, 1},
                {"resnet18-cifar", "resnet18", 32, 3, RN_STEM_CIFAR, 1},
                {"resnet34-cifar", "resnet34", 32, 3, RN_STEM_CIFAR, 1},
                {"resnet50-cifar", "resnet50", 32, 3, RN_STEM_CIFAR, 1},
                {"resnet18-narrow", "resnet18", 28, 1, RN_STEM_CIFAR, 0.25},
                {"alexnet", "alexnet", 224, 3, RN_STEM_IMAGENET, 1},
                {"bvlc-alexnet", "bvlc-alexnet", 227, 3, RN_STEM_IMAGENET, 1}};

    (void)state;
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++)
        same_as_graph(nets[i].net, &(rn_model_spec){.arch = nets[i].arch,
                                                    .stem = nets[i].stem,
                                                    .width = nets[i].width,
                                                    .classes = 10,
                                                    .channels = nets[i].channels,
                                                    .height = nets[i].px});
}

/* ---- forms ---------------------------------------------------------------------------------------------------------- */

/* CSV's head and fields, one after the other, are members of the JSON object with the same digits. */
static void csv_is_json(void **state)
{
    double samples[] = {1.25, 1.0 / 3, 0.125};
    bench_result r = {.algo = &rn_ref_conv,
                      .verified = true,
                      .ms = 1.0 / 3,
                      .ms_q1 = 0.1,
                      .ms_q3 = 1.25,
                      .ms_min = 0.125,
                      .prepare_ms = 2e-5,
                      .samples_ms = samples,
                      .nsamples = 3,
                      .repeats = 7,
                      .workspace = 123456789012,
                      .impl = "a,\"b\""};
    bench_shape shape = {.name = "layer", .count = 3, .dirs = 7};
    bench_setting s = {.ceilings = {.gflops = {100}, .gb_s = {0, 0, 0, 10}}, .rounds = 3, .seed = 9};

    (void)state;
    assert_int_equal(rn_backend_open(rn_backends, "cpu", &(rn_backend_opts){.threads = 1}, &s.be), 0);
    assert_int_equal(rn_conv_desc_parse("mb1ic3ih9oc5kh3ph1", &shape.desc), 0);
    assert_non_null(s.machine = bench_machine(s.be));
    json_t *row = bench_conv_row(&s, &shape, RN_FWD, &r);
    char *csv = told(row, BENCH_CSV), *json = told(row, BENCH_JSON), *fields = strchr(csv, '\n') + 1, *end;
    for (char *head = csv, *field = fields; head < fields; head = end + 1) {
        char want[512];
        end = head + strcspn(head, ",\n");
        size_t n = *field == '"' ? (size_t)(strstr(field + 1, *(end + 1) ? "\"," : "\"\n") - field) + 1
                                 : strcspn(field, ",\n");
        if (n && *field != '"' && !strchr("-0123456789", *field) && strncmp(field, "true,", 5) != 0)
            snprintf(want, sizeof want, "\"%.*s\":\"%.*s\"", (int)(end - head), head, (int)n, field);
        else
            snprintf(want, sizeof want, "\"%.*s\":%.*s", (int)(end - head), head, *field == '"' ? 0 : (int)n, field);
        if (n && !strstr(json, want))
            fail_msg("%s is not in %s", want, json);
        field += n + 1;
    }
    assert_non_null(strstr(csv, ",\"a,\"\"b\"\"\","));
    assert_non_null(strstr(csv, ",0.333333,1.15,0.125,"));
    assert_non_null(strstr(json, "\"samples_ms\":[1.25,0.333333,0.125]"));
    free(csv);
    free(json);
    json_decref(row);
    json_decref(s.machine);
    rn_backend_close(s.be);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_time_for_wrong_results),
        cmocka_unit_test(failed_is_not_wrong),
        cmocka_unit_test(fewer_bits_by_intent),
        cmocka_unit_test(inexact_is_not_wrong),
        cmocka_unit_test(time_for_right_results),
        cmocka_unit_test(critical_values),
        cmocka_unit_test(ratios),
        cmocka_unit_test(lists_are_the_networks),
        cmocka_unit_test(csv_is_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
