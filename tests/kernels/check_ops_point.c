/* SPDX-License-Identifier: MIT */
/* ReLU, addition and pixels to numbers: in place and not, odd lengths, more than one block, NaN kept. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_origin.h"
#include "check_ops.h"
#include "kernels/ref/ref_ops.h"

#define TOL 0x1p-21

/* One below, on and above a vector of each width, and several blocks of work. */
static const int lengths[] = {0, 1, 3, 7, 8, 15, 16, 17, 31, 33, 100, 1000, 32768, 32769, 100003};

static void relu(check_run *r, rn_backend *be, const void *what)
{
    const size_t n = (size_t) * (const int *)what;
    float *x = check_values(r, n, true), *y = check_f32(r, n), *want = check_f32(r, n);
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
    float *y = check_values(r, n, true), *dy = check_values(r, n, true), *dx = check_f32(r, n), *want = check_f32(r, n);
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
    float *a = check_values(r, n, false), *b = check_values(r, n, false), *y = check_f32(r, n), *want = check_f32(r, n);
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
        const rn_op_normalize a = {
            .dtype = RN_F32, .rows = s.rows, .c = s.c, .src = src, .dst = got, .mul = mul, .add = add};
        rn_op_normalize w = a;
        w.dst = want;
        check_ran(r, "normalize", be->ops->normalize(be, &a, NULL));
        check_ran(r, "ref", rn_ref_ops.normalize(NULL, &w, NULL));
        check_near(r, exact ? "integers" : "reals", got, want, NULL, n, exact ? 0 : 4 * TOL);
        check_poison(got, n * sizeof *got);
    }
}

typedef struct pictures {
    rn_dtype t;
    int n, h, w, c, image_h, image_w;
} pictures;

static const pictures sets[] = {{RN_F32, 1, 1, 1, 1, 1, 1},     {RN_F32, 3, 5, 7, 3, 5, 7},
                                {RN_F32, 3, 5, 7, 3, 9, 8},     {RN_F32, 4, 60, 41, 3, 70, 64},
                                {RN_F32, 2, 33, 30, 1, 34, 99}, {RN_BF16, 3, 20, 17, 3, 31, 19},
                                {RN_F16, 3, 20, 17, 3, 31, 19}};

/* Less a mean image: integers, so that every type has to be equal to the bit; each corner and both directions. */
static void normalize_less(check_run *r, rn_backend *be, const void *what)
{
    const pictures s = *(const pictures *)what;
    const size_t n = (size_t)s.n * (size_t)s.h * (size_t)s.w * (size_t)s.c, size = rn_dtype_size(s.t);
    const size_t nm = (size_t)s.image_h * (size_t)s.image_w * (size_t)s.c;
    uint8_t *src = check_bytes(r, n), *got = check_bytes(r, n * size), *want = check_bytes(r, n * size);
    float *mul = check_f32(r, (size_t)s.c), *image = check_f32(r, nm);
    rn_origin *at = (rn_origin *)(void *)check_bytes(r, (size_t)s.n * sizeof *at);
    for (size_t i = 0; i < n; i++)
        src[i] = (uint8_t)rn_rng_below(&r->rng, 128);
    for (size_t i = 0; i < nm; i++)
        image[i] = (float)rn_rng_below(&r->rng, 128);
    for (int c = 0; c < s.c; c++)
        mul[c] = (float)(1 << c) / 4;
    for (int k = 0; k < 4; k++) {
        for (int i = 0; i < s.n; i++)
            at[i] = (rn_origin){(k + i) & 1 ? s.image_w - s.w : 0, (k + i) & 2 ? s.image_h - s.h : 0, (k + i) % 3 == 1};
        const rn_op_normalize a = {
            s.t, (int64_t)s.n * s.h * s.w, s.c, src, got, mul, NULL, image, s.image_h, s.image_w, s.h, s.w, at};
        rn_op_normalize w = a;
        w.dst = want;
        check_ran(r, "normalize", be->ops->normalize(be, &a, NULL));
        check_ran(r, "ref", rn_ref_ops.normalize(NULL, &w, NULL));
        check_bits(r, "less a mean image", got, want, n * size);
        check_poison(got, n * size);
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
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        snprintf(cas, sizeof cas, "%s-%dx%dx%dx%d", rn_dtype_name(sets[i].t), sets[i].n, sets[i].h, sets[i].w,
                 sets[i].c);
        check_ops_each(r, "point", cas, "normalize_less", normalize_less, &sets[i]);
    }
}

const check_group check_point_group = {"point", run};
