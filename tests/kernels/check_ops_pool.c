/* SPDX-License-Identifier: MIT */
/* Max, average and global average pooling. Integers throughout; averages are exact where the window is a power of two. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/rn_error.h"
#include "check_ops.h"
#include "kernels/ref/ref_ops.h"

#define TOL 0x1p-21

typedef struct pool_case {
    const char *name;
    rn_op_pool p;
} pool_case;

/* mb c ih iw oh ow kh kw sh sw ph pw */
#define CASE(name, ...)                                                                                                \
    {                                                                                                                  \
        name,                                                                                                          \
        {                                                                                                              \
            RN_F32, __VA_ARGS__, false, NULL, NULL, NULL, 0                                                            \
        }                                                                                                              \
    }
static const pool_case cases[] = {
    CASE("stem28c64", 2, 64, 28, 28, 14, 14, 3, 3, 2, 2, 1, 1), CASE("stem14c5", 2, 5, 14, 14, 7, 7, 3, 3, 2, 2, 1, 1),
    CASE("k2s2c17", 3, 17, 8, 6, 4, 3, 2, 2, 2, 2, 0, 0),       CASE("k1c1", 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0),
    CASE("k1s2c3", 2, 3, 7, 7, 4, 4, 1, 1, 2, 2, 0, 0),         CASE("k3s1c100", 1, 100, 5, 9, 5, 9, 3, 3, 1, 1, 1, 1),
    CASE("ceil", 2, 3, 6, 7, 4, 4, 3, 3, 2, 2, 1, 1),           CASE("ceilk2", 1, 64, 7, 5, 4, 3, 2, 2, 2, 2, 0, 0),
    CASE("gaps k2s3", 1, 16, 11, 11, 4, 4, 2, 2, 3, 3, 0, 0),   CASE("oblong", 2, 65, 9, 4, 5, 4, 2, 3, 2, 1, 1, 1),
    CASE("whole k7", 2, 33, 7, 7, 1, 1, 7, 7, 7, 7, 0, 0),      CASE("k15x17", 1, 3, 20, 20, 6, 4, 15, 17, 1, 1, 0, 0),
};

static size_t in_count(const rn_op_pool *p)
{
    return (size_t)p->mb * (size_t)p->ih * (size_t)p->iw * (size_t)p->c;
}

static size_t out_count(const rn_op_pool *p)
{
    return (size_t)p->mb * (size_t)p->oh * (size_t)p->ow * (size_t)p->c;
}

static void max_once(check_run *r, rn_backend *be, rn_op_pool p, const float *x, const float *dy, const char *what)
{
    const size_t ni = in_count(&p), no = out_count(&p);
    char label[64];
    rn_op_pool want = p;
    p.src = want.src = x;
    p.dst = check_f32(r, no);
    want.dst = check_f32(r, no);
    p.argmax = check_bytes(r, no);
    want.argmax = check_bytes(r, no);
    check_ran(r, "fwd", be->ops->maxpool_fwd(be, &p, NULL));
    check_ran(r, "ref", rn_ref_ops.maxpool_fwd(NULL, &want, NULL));
    snprintf(label, sizeof label, "max, %s", what);
    check_bits(r, label, p.dst, want.dst, no * sizeof(float));
    snprintf(label, sizeof label, "argmax, %s", what);
    check_bits(r, label, p.argmax, want.argmax, no);

    rn_op_pool no_argmax = p;
    no_argmax.argmax = NULL;
    no_argmax.dst = check_f32(r, no);
    check_ran(r, "fwd", be->ops->maxpool_fwd(be, &no_argmax, NULL));
    check_bits(r, "max without argmax", no_argmax.dst, want.dst, no * sizeof(float));

    p.src = want.src = dy;
    p.dst = check_f32(r, ni);
    want.dst = check_f32(r, ni);
    check_ran(r, "bwd", be->ops->maxpool_bwd(be, &p, NULL));
    check_ran(r, "ref", rn_ref_ops.maxpool_bwd(NULL, &want, NULL));
    snprintf(label, sizeof label, "gradient, %s", what);
    check_equal(r, label, p.dst, want.dst, ni);
}

static void maxpool(check_run *r, rn_backend *be, const void *what)
{
    const rn_op_pool p = ((const pool_case *)what)->p;
    const size_t ni = in_count(&p), no = out_count(&p);
    float *x = check_f32(r, ni), *dy = check_f32(r, no);
    check_fill_int(r, dy, no, 9);
    check_fill_int(r, x, ni, 1); /* ties everywhere: the first wins */
    max_once(r, be, p, x, dy, "ties");
    check_fill_int(r, x, ni, 1000);
    max_once(r, be, p, x, dy, "integers");
    for (size_t i = 0; i < ni; i++)
        x[i] = i % 2 ? -INFINITY : -1000 + x[i];
    max_once(r, be, p, x, dy, "negative and infinite");
    for (size_t i = 0; i < ni; i += 7)
        x[i] = NAN;
    max_once(r, be, p, x, dy, "NaN");
}

static void avgpool(check_run *r, rn_backend *be, const void *what)
{
    rn_op_pool p = ((const pool_case *)what)->p, want;
    const size_t ni = in_count(&p), no = out_count(&p);
    float *x = check_f32(r, ni), *dy = check_f32(r, no), *abs_dy = check_f32(r, no), *terms = check_f32(r, ni);
    double *mag = check_bytes(r, ni * sizeof *mag); /* of a gradient: the sum of its terms' absolute values */
    check_fill_int(r, x, ni, 100);
    check_fill_int(r, dy, no, 100);
    for (size_t i = 0; i < no; i++)
        abs_dy[i] = fabsf(dy[i]);
    for (int pad = 0; pad < 2; pad++) {
        /* One division of an exact sum, rounded once here and there: equal whatever the window. */
        p.count_include_pad = pad;
        p.src = x;
        p.dst = check_f32(r, no);
        want = p;
        want.dst = check_f32(r, no);
        check_ran(r, "fwd", be->ops->avgpool_fwd(be, &p, NULL));
        check_ran(r, "ref", rn_ref_ops.avgpool_fwd(NULL, &want, NULL));
        check_near(r, pad ? "average with padding" : "average", p.dst, want.dst, NULL, no, TOL / 4);
        want.src = abs_dy;
        want.dst = terms;
        check_ran(r, "ref", rn_ref_ops.avgpool_bwd(NULL, &want, NULL));
        for (size_t i = 0; i < ni; i++)
            mag[i] = terms[i];
        p.src = want.src = dy;
        p.dst = check_f32(r, ni);
        want.dst = check_f32(r, ni);
        check_ran(r, "bwd", be->ops->avgpool_bwd(be, &p, NULL));
        check_ran(r, "ref", rn_ref_ops.avgpool_bwd(NULL, &want, NULL));
        check_near(r, pad ? "gradient with padding" : "gradient", p.dst, want.dst, mag, ni, TOL);
    }
}

typedef struct gap_case {
    int mb, hw, c;
} gap_case;

static const gap_case gaps[] = {{1, 1, 1},    {2, 49, 64},   {3, 7, 5}, {1, 1000, 17},
                                {5, 16, 100}, {16, 64, 130}, {1, 2, 3}};

static void gap(check_run *r, rn_backend *be, const void *what)
{
    const gap_case g = *(const gap_case *)what;
    const size_t wide = (size_t)g.mb * (size_t)g.hw * (size_t)g.c, thin = (size_t)g.mb * (size_t)g.c;
    float *x = check_f32(r, wide), *y = check_f32(r, thin), *want = check_f32(r, wide), *dx = check_f32(r, wide);
    for (int exact = 0; exact < 2; exact++) {
        if (exact)
            check_fill_int(r, x, wide, 100);
        else
            check_fill_real(r, x, wide, 5);
        const bool dyadic = exact && !(g.hw & (g.hw - 1));
        rn_op_gap a = {RN_F32, g.mb, g.hw, g.c, x, y, 0};
        check_ran(r, "gap_fwd", be->ops->gap_fwd(be, &a, NULL));
        a.dst = want;
        check_ran(r, "ref", rn_ref_ops.gap_fwd(NULL, &a, NULL));
        check_near(r, exact ? "integers" : "reals", y, want, NULL, thin, dyadic ? 0 : TOL);
        a.dst = dx;
        check_ran(r, "gap_bwd", be->ops->gap_bwd(be, &a, NULL)); /* the first mb * c values of x */
        a.dst = want;
        check_ran(r, "ref", rn_ref_ops.gap_bwd(NULL, &a, NULL));
        check_near(r, exact ? "integers back" : "reals back", dx, want, NULL, wide, dyadic ? 0 : TOL);
    }
}

static void refusals(check_run *r, rn_backend *be, const void *what)
{
    (void)what;
    float *v = check_values(r, 64, true);
    uint8_t *argmax = check_bytes(r, 64);
    rn_op_pool p = {RN_F32, 1, 1, 4, 4, 2, 2, 2, 2, 2, 2, 0, 0, false, v, v + 32, argmax, 0};
    check_ran(r, "the case itself", be->ops->maxpool_fwd(be, &p, NULL));
    p.oh = 3;
    if (be->ops->maxpool_fwd(be, &p, NULL) != RN_E_RANGE)
        check_fail(r, "a window beyond the input was not refused");
    p.oh = 2;
    p.ph = 2;
    if (be->ops->avgpool_fwd(be, &p, NULL) != RN_E_RANGE)
        check_fail(r, "a window of padding only was not refused");
    p.ph = 0;
    p.argmax = NULL;
    if (be->ops->maxpool_bwd(be, &p, NULL) != RN_E_RANGE)
        check_fail(r, "a backward pass without argmax was not refused");
    p.argmax = argmax;
    p.dtype = RN_I32;
    if (be->ops->maxpool_fwd(be, &p, NULL) != RN_E_UNSUPPORTED)
        check_fail(r, "i32 was not refused");
}

static void run(check_run *r)
{
    char cas[32];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const rn_op_pool *p = &cases[i].p;
        if (p->kh * p->kw <= 255)
            check_ops_each(r, "pool", cases[i].name, "maxpool", maxpool, &cases[i]);
        check_ops_each(r, "pool", cases[i].name, "avgpool", avgpool, &cases[i]);
    }
    for (size_t i = 0; i < sizeof gaps / sizeof *gaps; i++) {
        snprintf(cas, sizeof cas, "mb%dhw%dc%d", gaps[i].mb, gaps[i].hw, gaps[i].c);
        check_ops_each(r, "pool", cas, "gap", gap, &gaps[i]);
    }
    check_ops_each(r, "pool", "arguments", "refusals", refusals, NULL);
}

const check_group check_pool_group = {"pool", run};
