/* SPDX-License-Identifier: MIT */
/* rn-bench conv --bn: fused work that is wrong gets no time, whatever of it is wrong; what is right gets one, in each way and type. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rn_error.h"
#include "bench/bench_norm.h"
#include "kernels/ref/ref_conv.h"
#include "kernels/rn_kernels.h"

enum fault {
    NO_RELU,     /* of the prologue */
    NO_SHIFT,    /* nor a mask's */
    PLAIN_DST,   /* dst read as it is */
    OPEN_GATE,   /* what the ReLU stops is written */
    SUM_OFF,     /* of the last channel, by a thousandth */
    SUMSQ_OFF,   /* the same */
    ABOUT_ZERO,  /* sums without a pivot or a mean */
    NO_SUMS,     /* not written at all */
    ONE_ELEMENT, /* of the result */
    NONE,
    FAULTS
};
/* Where it makes a difference: bit d of direction d. */
static const unsigned shows_in[FAULTS] = {
    [NO_RELU] = 5,   [NO_SHIFT] = 7,   [PLAIN_DST] = 6, [OPEN_GATE] = 2,  [SUM_OFF] = 3,
    [SUMSQ_OFF] = 3, [ABOUT_ZERO] = 3, [NO_SUMS] = 3,   [ONE_ELEMENT] = 7};
static const char *const names[FAULTS] = {"no-relu",   "no-shift",   "plain-dst", "open-gate",   "sum-off",
                                          "sumsq-off", "about-zero", "no-sums",   "one-element", "right"};

static bool supports(rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, const char **why)
{
    (void)be, (void)d, (void)dir, (void)why;
    return true;
}

static const float zeroes[8];

/* The faults of what is read. */
static rn_conv_args misread(enum fault f, const rn_conv_args *given)
{
    rn_conv_args a = *given;

    if (f == NO_SHIFT)
        a.shift = zeroes;
    if (f == ABOUT_ZERO)
        a.pivot = a.mean = zeroes;
    if (f == NO_SUMS) {
        static double elsewhere[2][8];
        a.sum = elsewhere[0];
        a.sumsq = elsewhere[1];
    }
    return a;
}

static int run(rn_conv_plan *p, const rn_conv_args *given, int beta, void *workspace, void *stream)
{
    const size_t channels = (size_t)(p->dir == RN_FWD ? p->desc.oc : p->desc.ic);
    float *out = p->dir == RN_FWD ? given->dst : p->dir == RN_BWD_D ? given->src : given->wei;
    rn_conv_plan plan = *p;
    enum fault f = 0;

    while (strcmp(names[f], p->algo->name) != 0)
        f++;
    const bool fused = p->desc.fuse != 0; /* the other way has no fault: it is timed */
    const rn_conv_args a = fused ? misread(f, given) : *given;
    if (fused && f == NO_RELU)
        plan.desc.fuse &= ~(unsigned)RN_PRO_RELU;
    if (fused && f == PLAIN_DST)
        plan.desc.fuse &= ~(unsigned)RN_PRO_DBN;
    if (rn_ref_conv.run(&plan, &a, beta, workspace, stream) < 0)
        return -1;
    if (fused && f == ONE_ELEMENT)
        out[3] += 1;
    if (fused && f == SUM_OFF && p->dir != RN_BWD_W)
        a.sum[channels - 1] *= 1.001;
    if (fused && f == SUMSQ_OFF && p->dir != RN_BWD_W)
        a.sumsq[channels - 1] *= 1.001;
    const size_t n = (size_t)p->desc.mb * (size_t)p->desc.ih * (size_t)p->desc.iw * channels;
    for (size_t i = 0; fused && f == OPEN_GATE && p->dir == RN_BWD_D && i < n; i++)
        out[i] += out[i] == 0 ? 0.5F : 0;
    return 0;
}

static bench_result *measured(const rn_conv_algo *algos, int n, const char *text, rn_dtype dtype, rn_conv_dir dir,
                              size_t *got)
{
    const rn_conv_algo *list[FAULTS + 1] = {NULL};
    const bench_plan_opts po = {.rounds = 2, .seed = 7, .bn = true};
    rn_backend *be = NULL;
    bench_result *r = NULL;
    rn_conv_desc d;

    assert_int_equal(rn_backend_open(rn_backends, "cpu", &(rn_backend_opts){.threads = 1}, &be), 0);
    const rn_conv_algo *const *own = be->conv_algos;
    for (int i = 0; i < n; i++)
        list[i] = &algos[i];
    if (n > 0)
        be->conv_algos = list;
    assert_int_equal(rn_conv_desc_parse(text, &d), 0);
    d.dtype = dtype;
    assert_int_equal(bench_measure(be, &d, dir, &po, &r, got), 0);
    be->conv_algos = own;
    rn_backend_close(be);
    return r;
}

static void no_time_for_wrong_work(void **state)
{
    rn_conv_algo algos[FAULTS];
    size_t n = 0;

    (void)state;
    for (int i = 0; i < FAULTS; i++)
        algos[i] = (rn_conv_algo){.name = names[i], .supports = supports, .run = run};
    for (rn_conv_dir dir = RN_FWD; dir <= RN_BWD_W; dir++) {
        bench_result *r = measured(algos, FAULTS, "mb2ic5ih7oc6kh3sh2ph1", RN_F32, dir, &n);
        assert_int_equal(n, 2 * FAULTS);
        for (size_t i = 0; i < n; i++) {
            const bool shows = r[i].way == BENCH_FUSED && (shows_in[i / 2] >> dir & 1);
            assert_int_equal(r[i].way, i % 2 ? BENCH_FUSED : BENCH_APART);
            if (r[i].verified == shows || r[i].wrong != shows)
                fail_msg("%s, %s, way %d: verified %d, wrong %d, '%s'", rn_conv_dir_name(dir), names[i / 2], r[i].way,
                         r[i].verified, r[i].wrong, r[i].failure);
            assert_true(shows ? r[i].ms == 0 && *r[i].failure : r[i].ms > 0 && r[i].nsamples == 2);
        }
        bench_results_free(r, n);
    }
}

/* Every kernel of this machine. */
static void right_ones_are_timed(void **state)
{
    static const char *const cases[] = {"mb2ic16ih9oc24kh3ph1", "mb3ic8ih10oc8kh1sh2", "mb1ic3ih21oc16kh7sh2ph3"};
    int fused = 0;

    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        for (int dtype = RN_F32; dtype <= RN_F16; dtype++) {
            for (rn_conv_dir dir = RN_FWD; dir <= RN_BWD_W; dir++) {
                size_t n = 0;
                bench_result *r = measured(NULL, 0, cases[c], (rn_dtype)dtype, dir, &n);
                for (size_t i = 0; i < n; i++) {
                    if (!r[i].refused && !r[i].verified)
                        fail_msg("%s %s %s %s way %d: %s", cases[c], rn_dtype_name((rn_dtype)dtype),
                                 rn_conv_dir_name(dir), r[i].algo->name, r[i].way, r[i].failure);
                    fused += r[i].verified && r[i].way == BENCH_FUSED;
                }
                bench_results_free(r, n);
            }
        }
    }
    assert_true(fused >= 27); /* in each case, type and direction one at least */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_time_for_wrong_work),
        cmocka_unit_test(right_ones_are_timed),
    };

    return cmocka_run_group_tests_name("bench_norm", tests, NULL, NULL);
}
