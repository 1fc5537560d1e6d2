/* SPDX-License-Identifier: MIT */
/* Sums over ranks are exact, the same everywhere and in every run; batch norm over ranks is that of the joined rows. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rn_rng.h"
#include "kernels/ref/ref_ops.h"
#include "kernels/rn_kernels.h"
#include "op/rn_backend.h"
#include "thread_ranks.h"

/* ---- sums ---- */

enum { BIG = (1 << 20) + 12345, RANKS = 5 };

typedef struct sums {
    int64_t n;
    int ranks;
    float *in[RANKS], *out[RANKS];
} sums;

static int sum_body(rn_comm *c, void *arg)
{
    sums *s = arg;
    memcpy(s->out[c->rank], s->in[c->rank], (size_t)s->n * sizeof(float));
    return rn_comm_sum_f32(c, s->out[c->rank], s->n);
}

static void check_sums(int64_t n, int ranks)
{
    sums s = {.n = n, .ranks = ranks};
    rn_rng r;
    rn_rng_seed(&r, 7, RN_STREAM_INIT, (uint32_t)n, (uint32_t)ranks);
    for (int k = 0; k < ranks; k++) {
        s.in[k] = malloc((size_t)n * sizeof(float));
        s.out[k] = malloc((size_t)n * sizeof(float));
        for (int64_t i = 0; i < n; i++)
            s.in[k][i] = (float)(rn_rng_normal(&r) * exp2(20 * rn_rng_unit(&r)));
    }
    assert_int_equal(run_ranks(ranks, sum_body, &s), RN_OK);
    for (int64_t i = 0; i < n; i++) {
        double want = 0;
        for (int k = 0; k < ranks; k++)
            want += (double)s.in[k][i];
        for (int k = 0; k < ranks; k++)
            if (s.out[k][i] != (float)want)
                fail_msg("%d ranks, %lld of %lld: rank %d has %.9g, not %.9g", ranks, (long long)i, (long long)n, k,
                         (double)s.out[k][i], want);
    }
    for (int k = 0; k < ranks; k++) {
        free(s.in[k]);
        free(s.out[k]);
    }
}

static void test_sum_f32(void **state)
{
    (void)state;
    for (int ranks = 1; ranks <= RANKS; ranks++) {
        check_sums(1, ranks);
        check_sums(2, ranks);
        check_sums(1000, ranks);
    }
    check_sums(1 << 20, 2); /* one bucket, whole */
    check_sums(BIG, 3);     /* two, the second not divisible */
}

static int small_body(rn_comm *c, void *arg)
{
    (void)arg;
    double v[3] = {c->rank + 1, 0.1 * c->rank, c->rank == 1 ? NAN : 1}, top[3] = {c->rank, -c->rank, v[2]};
    int all[RANKS] = {0}, at = c->rank * c->rank, word = c->rank == 0 ? 41 : 0;
    RN_TRY(rn_comm_sum_f64(c, v, 3));
    RN_TRY(rn_comm_max_f64(c, top, 3));
    RN_TRY(rn_comm_allgather(c, &at, sizeof at, all));
    RN_TRY(rn_comm_bcast(c, &word, sizeof word));
    bool good = v[0] == 10 && fabs(v[1] - 0.6) < 1e-15 && isnan(v[2]) && top[0] == 3 && top[1] == 0 && isnan(top[2]) &&
                all[0] == 0 && all[3] == 9 && word == 41;
    return good ? RN_OK
                : rn_fail(RN_E_MISMATCH, "%g %g %g, %g %g %g, %d %d, %d", v[0], v[1], v[2], top[0], top[1], top[2],
                          all[0], all[3], word);
}

static void test_small(void **state)
{
    (void)state;
    assert_int_equal(run_ranks(4, small_body, NULL), RN_OK);
}

static void test_alone(void **state)
{
    (void)state;
    float f = 3;
    double d = 4, copy = 0;
    int threads = 0;
    assert_int_equal(rn_comm_sum_f32(NULL, &f, 1), RN_OK);
    assert_int_equal(rn_comm_sum_f64(NULL, &d, 1), RN_OK);
    assert_int_equal(rn_comm_allgather(NULL, &d, sizeof d, &copy), RN_OK);
    assert_int_equal(rn_comm_bcast(NULL, &d, sizeof d), RN_OK);
    assert_true(f == 3 && copy == 4);
    assert_int_equal(rn_comm_threads(NULL, 6, &threads), RN_OK);
    assert_int_equal(threads, 6);
    assert_int_equal(rn_comm_size(NULL), 1);
}

/* ---- batch normalisation ---- */

typedef struct bn_case {
    bool reference;
    int64_t rows; /* of all ranks */
    int c, threads;
    bool wrong; /* without the communicator: what must be found out */
    float *x, *dy, *y, *dx, *mean, *inv_std, *running, *dgamma, *dbeta; /* (rows, c), (c); gradients (ranks, c) */
} bn_case;

static int bn_body(rn_comm *c, void *arg)
{
    bn_case *k = arg;
    const rn_backend_opts opts = {.threads = k->threads};
    const int64_t mine = k->rows / rn_comm_size(c), at = mine * rn_comm_rank(c) * k->c;
    float *v = calloc(6 * (size_t)k->c, sizeof *v), *gamma = v, *beta = v + k->c, *run = v + 2 * k->c,
          *stat = v + 4 * k->c;
    rn_backend *be;
    RN_TRY(rn_backend_open(rn_backends, "cpu", &opts, &be));
    for (int i = 0; i < k->c; i++)
        gamma[i] = 1 + 0.25f * (float)i, beta[i] = 0.5f, run[k->c + i] = 1;
    const rn_op_bn_fwd f = {.dtype = RN_F32,
                            .train = true,
                            .relu = true,
                            .rows = mine,
                            .c = k->c,
                            .eps = 1e-5f,
                            .momentum = 0.1f,
                            .x = k->x + at,
                            .y = k->y + at,
                            .gamma = gamma,
                            .beta = beta,
                            .running_mean = run,
                            .running_var = run + k->c,
                            .mean = stat,
                            .inv_std = stat + k->c,
                            .comm = k->wrong ? NULL : c};
    const rn_op_bn_bwd b = {.dtype = RN_F32,
                            .relu = true,
                            .rows = mine,
                            .c = k->c,
                            .x = f.x,
                            .y = f.y,
                            .dy = k->dy + at,
                            .gamma = gamma,
                            .mean = stat,
                            .inv_std = stat + k->c,
                            .dx = k->dx + at,
                            .dgamma = k->dgamma + (ptrdiff_t)rn_comm_rank(c) * k->c,
                            .dbeta = k->dbeta + (ptrdiff_t)rn_comm_rank(c) * k->c,
                            .comm = f.comm};
    const rn_ops *ops = k->reference ? &rn_ref_ops : be->ops;
    int rc = ops->bn_fwd(be, &f, NULL);
    if (rc == RN_OK)
        rc = ops->bn_bwd(be, &b, NULL);
    if (rn_comm_rank(c) == rn_comm_size(c) - 1) { /* any rank's are everybody's */
        memcpy(k->mean, stat, (size_t)k->c * sizeof *stat);
        memcpy(k->inv_std, stat + k->c, (size_t)k->c * sizeof *stat);
        memcpy(k->running, run, 2 * (size_t)k->c * sizeof *run);
    }
    rn_backend_close(be);
    free(v);
    return rc;
}

static bn_case bn_new(bool reference, int64_t rows, int c, int ranks)
{
    const size_t n = (size_t)(rows * c), r = (size_t)(c * ranks);
    float *m = calloc(4 * n + 4 * (size_t)c + 2 * r, sizeof *m);
    bn_case k = {.reference = reference,
                 .rows = rows,
                 .c = c,
                 .threads = 2,
                 .x = m,
                 .dy = m + n,
                 .y = m + 2 * n,
                 .dx = m + 3 * n};
    rn_rng g;
    k.mean = m + 4 * n;
    k.inv_std = k.mean + c;
    k.running = k.inv_std + c;
    k.dgamma = k.running + 2 * (ptrdiff_t)c;
    k.dbeta = k.dgamma + r;
    rn_rng_seed(&g, 3, RN_STREAM_INIT, 1, 1);
    for (size_t i = 0; i < n; i++) {
        k.x[i] = (float)(rn_rng_normal(&g) + 100 * sin((double)i)); /* ranks' means differ, and are large */
        k.dy[i] = (float)rn_rng_normal(&g);
    }
    return k;
}

/* The largest difference, relative to the largest value or, of sums and means, to what their terms come to without sign. */
static double apart(const float *a, const float *b, int64_t n, double terms)
{
    double most = 0, scale = terms;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - (double)b[i]), s = fabs((double)b[i]);
        most = !(d <= most) ? d : most;
        scale = s > scale ? s : scale;
    }
    return most / scale;
}

/* Sums are in double either way, but for stretches of a few dozen rows: what is left is the last bit of f32, once or twice. */
static double joined_and_parted(bool reference, int64_t rows, int c, int ranks, bool wrong)
{
    bn_case whole = bn_new(reference, rows, c, 1), parts = bn_new(reference, rows, c, ranks);
    parts.wrong = wrong;
    assert_int_equal(bn_body(NULL, &whole), RN_OK);
    assert_int_equal(run_ranks(ranks, bn_body, &parts), RN_OK);
    for (int r = 1; r < ranks; r++)
        for (int i = 0; i < c; i++) {
            parts.dgamma[i] += parts.dgamma[r * c + i];
            parts.dbeta[i] += parts.dbeta[r * c + i];
        }
    const double d[] = {apart(parts.y, whole.y, rows * c, 0),
                        apart(parts.dx, whole.dx, rows * c, 0),
                        apart(parts.mean, whole.mean, c, 60),
                        apart(parts.inv_std, whole.inv_std, c, 0),
                        apart(parts.running, whole.running, 2 * (int64_t)c, 0),
                        apart(parts.dgamma, whole.dgamma, c, 0.4 * (double)rows),
                        apart(parts.dbeta, whole.dbeta, c, 0.4 * (double)rows)};
    double most = 0;
    for (size_t i = 0; i < sizeof d / sizeof *d; i++)
        most = !(d[i] <= most) ? d[i] : most;
    free(whole.x);
    free(parts.x);
    return most;
}

static void check_bn(bool ref)
{
    static const struct {
        int rows, c, ranks;
    } cases[] = {{12, 5, 2}, {12, 5, 3}, {4, 3, 4}, {4096, 70, 2}, {6000, 129, 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double d = joined_and_parted(ref, cases[i].rows, cases[i].c, cases[i].ranks, false);
        if (!(d <= 1e-6))
            fail_msg("%d rows of %d channels on %d ranks: %.3g apart", cases[i].rows, cases[i].c, cases[i].ranks, d);
        d = joined_and_parted(ref, cases[i].rows, cases[i].c, cases[i].ranks, true);
        if (!(d > 1e-2))
            fail_msg("%d ranks without a communicator: only %.3g apart; this test could not fail", cases[i].ranks, d);
    }
}

static void test_bn_cpu(void **state)
{
    (void)state;
    check_bn(false);
}

static void test_bn_ref(void **state)
{
    (void)state;
    check_bn(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sum_f32), cmocka_unit_test(test_small),
                                       cmocka_unit_test(test_alone), cmocka_unit_test(test_bn_cpu),
                                       cmocka_unit_test(test_bn_ref)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
