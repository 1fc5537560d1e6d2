/* SPDX-License-Identifier: MIT */
/*
 * Batch norms whose ReLU leaves a mask: each bit says of its element what y says, and the backward pass makes the same bits of
 * it without y, which is NaN then. Tiny values are among them, which are positive until they are rounded.
 */
#include <stdio.h>
#include <string.h>

#include "base/rn_error.h"
#include "check_ops.h"

typedef struct mask_case {
    rn_dtype t;
    int rows, c;
} mask_case;

static const mask_case cases[] = {{RN_F32, 1, 4},    {RN_F32, 37, 12},   {RN_F32, 700, 64},  {RN_BF16, 1, 8},
                                  {RN_BF16, 37, 24}, {RN_BF16, 700, 64}, {RN_BF16, 9, 1024}, {RN_F16, 700, 40}};

static float value_of(rn_dtype t, const void *p, size_t i)
{
    return t == RN_F32 ? ((const float *)p)[i] : check_half_value(t, ((const uint16_t *)p)[i]);
}

static float *vector(check_run *r, int c, float value)
{
    float *v = check_f32(r, (size_t)c);
    for (int i = 0; i < c; i++)
        v[i] = value + (float)(i % 3) * 0.25f;
    return v;
}

/* Two channels give what is tiny on both sides of 0, whatever x is. */
static rn_op_bn_fwd forward(check_run *r, const mask_case *s, const void *x)
{
    const size_t n = (size_t)s->rows * (size_t)s->c;
    rn_op_bn_fwd a = {.dtype = s->t,
                      .train = true,
                      .relu = true,
                      .rows = s->rows,
                      .c = s->c,
                      .eps = 1e-5f,
                      .momentum = 0.1f,
                      .x = x,
                      .y = check_act_copy(r, s->t, n, NULL),
                      .running_mean = vector(r, s->c, 0),
                      .running_var = vector(r, s->c, 1),
                      .mean = vector(r, s->c, 0),
                      .inv_std = vector(r, s->c, 0)};
    float *gamma = vector(r, s->c, 0.5f), *beta = vector(r, s->c, -0.25f);
    gamma[0] = gamma[1] = 0;
    beta[0] = 0x1p-26f, beta[1] = 0x1p-140f;
    a.gamma = gamma, a.beta = beta;
    return a;
}

static void see_mask(check_run *r, const rn_op_bn_fwd *a, const char *what)
{
    const size_t n = (size_t)(a->rows * a->c), v = 16 / rn_dtype_size(a->dtype);
    for (size_t i = 0; i < n; i++) {
        const bool bit = a->mask[i / v] >> i % v & 1, above = value_of(a->dtype, a->y, i) > 0;
        if (bit != above) {
            check_fail(r, "%s: y[%zu] is %.9g, its bit %d", what, i, (double)value_of(a->dtype, a->y, i), bit);
            return;
        }
    }
}

static void backward(check_run *r, rn_backend *be, const rn_op_bn_fwd *f, bool with_res)
{
    const size_t n = (size_t)(f->rows * f->c), size = rn_dtype_size(f->dtype), c = (size_t)f->c;
    const void *dy = check_act(r, f->dtype, n, 0), *old = check_act(r, f->dtype, n, 0);
    rn_op_bn_bwd b[2];
    for (int i = 0; i < 2; i++) {
        b[i] = (rn_op_bn_bwd){.dtype = f->dtype,
                              .relu = true,
                              .rows = f->rows,
                              .c = f->c,
                              .x = f->x,
                              .y = i ? check_act_copy(r, f->dtype, n, NULL) : f->y,
                              .dy = dy,
                              .gamma = f->gamma,
                              .mean = f->mean,
                              .inv_std = f->inv_std,
                              .dx = check_act_copy(r, f->dtype, n, old),
                              .dres = with_res ? check_act_copy(r, f->dtype, n, old) : NULL,
                              .dx_beta = 1,
                              .dgamma = check_f32(r, c),
                              .dbeta = check_f32(r, c),
                              .mask = i ? f->mask : NULL};
        check_ran(r, i ? "bn_bwd by the mask" : "bn_bwd by y", be->ops->bn_bwd(be, &b[i], NULL));
    }
    check_bits(r, "dx", b[1].dx, b[0].dx, n * size);
    if (with_res)
        check_bits(r, "dres", b[1].dres, b[0].dres, n * size);
    check_bits(r, "dgamma", b[1].dgamma, b[0].dgamma, c * sizeof(float));
    check_bits(r, "dbeta", b[1].dbeta, b[0].dbeta, c * sizeof(float));
}

static void masks(check_run *r, rn_backend *be, const void *what)
{
    const mask_case *s = what;
    const size_t n = (size_t)s->rows * (size_t)s->c, bytes = rn_op_bn_mask_bytes(s->t, s->rows, s->c);
    const void *x = check_act(r, s->t, n, 0), *res = check_act(r, s->t, n, 0);
    if (!be->bn_masks)
        check_fail(r, "the device has no masks");
    for (int with_res = 0; with_res < 2; with_res++) {
        rn_op_bn_fwd plain = forward(r, s, x), a = forward(r, s, x);
        plain.res = a.res = with_res ? res : NULL;
        a.mask = check_bytes(r, bytes);
        check_ran(r, "bn_fwd", be->ops->bn_fwd(be, &plain, NULL));
        check_ran(r, "bn_fwd with a mask", be->ops->bn_fwd(be, &a, NULL));
        check_bits(r, "y", a.y, plain.y, n * rn_dtype_size(s->t));
        see_mask(r, &a, with_res ? "with a residual" : "alone");
        backward(r, be, &a, with_res);
    }
}

static void refusals(check_run *r, rn_backend *be, const void *what)
{
    (void)what;
    uint8_t mask[8] = {0};
    const void *x = check_act(r, RN_F32, 12, 0);
    const mask_case odd = {RN_F32, 4, 3};
    rn_op_bn_fwd a = forward(r, &odd, x);
    a.mask = mask;
    if (be->ops->bn_fwd(be, &a, NULL) != RN_E_RANGE)
        check_fail(r, "a mask of rows that are no whole 16 bytes was not refused");
    const mask_case even = {RN_F32, 2, 4};
    a = forward(r, &even, (const float *)x + 1);
    a.mask = mask;
    if (be->ops->bn_fwd(be, &a, NULL) != RN_E_RANGE)
        check_fail(r, "a mask of a tensor that is not aligned was not refused");
    a = forward(r, &even, x);
    a.mask = mask, a.relu = false;
    if (be->ops->bn_fwd(be, &a, NULL) != RN_E_RANGE)
        check_fail(r, "a mask without a ReLU was not refused");
}

void check_bn_masks(check_run *r)
{
    static const char *const types[] = {[RN_F32] = "f32", [RN_BF16] = "bf16", [RN_F16] = "f16"};
    char cas[48];
    if (!r->be[CHECK_CUDA]) /* the CPU reads y */
        return;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(cas, sizeof cas, "%s,rows%dc%d", types[cases[i].t], cases[i].rows, cases[i].c);
        check_ops_each(r, "bn", cas, "masks", masks, &cases[i]);
    }
    check_ops_each(r, "bn", "mask", "refusals", refusals, NULL);
}
