/* SPDX-License-Identifier: MIT */
/* ReLU, addition and pixels to numbers: in place and not, odd lengths, more than one block, NaN kept. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/rn_error.h"
#include "check_ops.h"
#include "kernels/ref/ref_ops.h"

#define TOL 0x1p-21

/* One below, on and above a vector of each width, and several blocks of work. */
static const int lengths[] = {0, 1, 3, 7, 8, 15, 16, 17, 31, 33, 100, 1000, 32768, 32769, 100003};

static float *make(check_run *r, size_t n, bool integers)
{
    float *p = check_f32(r, n);
    if (integers)
        check_fill_int(r, p, n, 5);
    else
        check_fill_real(r, p, n, 2);
    return p;
}

static void relu(check_run *r, rn_backend *be, const void *what)
{
    const size_t n = (size_t) * (const int *)what;
    float *x = make(r, n, true), *y = check_f32(r, n), *want = check_f32(r, n);
    for (size_t i = 0; i < n; i += 50)
        x[i] = i % 100 ? NAN : -0.0f;
    for (size_t i = 0; i < n; i++) /* not the reference: the rule itself */
        want[i] = x[i] > 0 || isnan(x[i]) ? x[i] : 0;
    check_ran(r, "relu_fwd", be->ops->relu_fwd(be, &(rn_op_relu){RN_F32, (int64_t)n, x, y}, NULL));
    float *in_place = check_copy(r, x, n);
    check_ran(r, "relu_fwd", be->ops->relu_fwd(be, &(rn_op_relu){RN_F32, (int64_t)n, in_place, in_place}, NULL));
    check_bits(r, "in place", in_place, y, n * sizeof *y);
    for (size_t i = 0; i < n; i++) {
        if (isnan(want[i]) != isnan(y[i]))
            check_fail(r, "element %zu: a NaN was lost or made", i);
        else if (isnan(want[i]))
            want[i] = y[i] = 1;
    }
    check_equal(r, "y", y, want, n);
}

static void relu_bwd(check_run *r, rn_backend *be, const void *what)
{
    const size_t n = (size_t) * (const int *)what;
    float *y = make(r, n, true), *dy = make(r, n, true), *dx = check_f32(r, n), *want = check_f32(r, n);
    for (size_t i = 0; i < n; i++) {
        if (i % 3 == 0) { /* what is blocked must not leak, whatever it is */
            y[i] = 0;
            dy[i] = NAN;
        }
        want[i] = y[i] > 0 ? dy[i] : 0;
    }
    check_ran(r, "relu_bwd", be->ops->relu_bwd(be, &(rn_op_relu_bwd){RN_F32, (int64_t)n, y, dy, dx}, NULL));
    check_equal(r, "dx", dx, want, n);
    check_ran(r, "relu_bwd", be->ops->relu_bwd(be, &(rn_op_relu_bwd){RN_F32, (int64_t)n, y, dy, dy}, NULL));
    check_equal(r, "dx over dy", dy, want, n);
}

static void add(check_run *r, rn_backend *be, const void *what)
{
    const size_t n = (size_t) * (const int *)what;
    float *a = make(r, n, false), *b = make(r, n, false), *y = check_f32(r, n), *want = check_f32(r, n);
    for (size_t i = 0; i < n; i++)
        want[i] = a[i] + b[i];
    check_ran(r, "add", be->ops->add(be, &(rn_op_add){RN_F32, (int64_t)n, a, b, y}, NULL));
    check_equal(r, "y", y, want, n);
    float *over_a = check_copy(r, a, n), *over_b = check_copy(r, b, n);
    check_ran(r, "add", be->ops->add(be, &(rn_op_add){RN_F32, (int64_t)n, over_a, b, over_a}, NULL));
    check_equal(r, "y over a", over_a, want, n);
    check_ran(r, "add", be->ops->add(be, &(rn_op_add){RN_F32, (int64_t)n, a, over_b, over_b}, NULL));
    check_equal(r, "y over b", over_b, want, n);
    check_ran(r, "add", be->ops->add(be, &(rn_op_add){RN_F32, (int64_t)n, a, a, over_a}, NULL));
    for (size_t i = 0; i < n; i++)
        want[i] = 2 * a[i];
    check_equal(r, "a + a", over_a, want, n);
}

typedef struct image {
    int rows, c;
} image;

static const image images[] = {{1, 1},     {7, 3},     {1000, 3},  {1, 100}, {7, 17},
                               {50000, 1}, {50000, 3}, {300, 129}, {2, 4}};

static void normalize(check_run *r, rn_backend *be, const void *what)
{
    const image s = *(const image *)what;
    const size_t n = (size_t)s.rows * (size_t)s.c, c = (size_t)s.c;
    uint8_t *src = check_bytes(r, n);
    float *mul = check_f32(r, c), *add = check_f32(r, c), *got = check_f32(r, n), *want = check_f32(r, n);
    for (size_t i = 0; i < n; i++)
        src[i] = (uint8_t)rn_rng_below(&r->rng, 256);
    for (int exact = 0; exact < 2; exact++) {
        for (size_t i = 0; i < c; i++) {
            mul[i] = exact ? (float)(i + 1) / 8 : 1 / (255 * (0.22f + 0.01f * (float)i));
            add[i] = exact ? -(float)i : -0.48f / (0.22f + 0.01f * (float)i);
        }
        const rn_op_normalize a = {RN_F32, s.rows, s.c, src, got, mul, add};
        rn_op_normalize w = a;
        w.dst = want;
        check_ran(r, "normalize", be->ops->normalize(be, &a, NULL));
        check_ran(r, "ref", rn_ref_ops.normalize(NULL, &w, NULL));
        check_near(r, exact ? "integers" : "reals", got, want, NULL, n, exact ? 0 : 4 * TOL);
        check_poison(got, n * sizeof *got);
    }
}

static void run(check_run *r)
{
    char cas[32];
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        snprintf(cas, sizeof cas, "n%d", lengths[i]);
        check_ops_each(r, "point", cas, "relu_fwd", relu, &lengths[i]);
        check_ops_each(r, "point", cas, "relu_bwd", relu_bwd, &lengths[i]);
        check_ops_each(r, "point", cas, "add", add, &lengths[i]);
    }
    for (size_t i = 0; i < sizeof images / sizeof *images; i++) {
        snprintf(cas, sizeof cas, "rows%dc%d", images[i].rows, images[i].c);
        check_ops_each(r, "point", cas, "normalize", normalize, &images[i]);
    }
}

const check_group check_point_group = {"point", run};
