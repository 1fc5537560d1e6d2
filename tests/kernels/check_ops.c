/* SPDX-License-Identifier: MIT */
#include "check_ops.h"

#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_half.h"

void check_ops_each(check_run *r, const char *group, const char *cas, const char *dir, check_ops_body body,
                    const void *what)
{
    for (int i = 0; i < CHECK_ISAS; i++) {
        const char *who = i == CHECK_CUDA ? "cuda:ops" : "cpu:ops";
        if ((i >= CHECK_ISAS_ALL && i != CHECK_CUDA) || !r->be[i] ||
            !check_begin(r, &(check_id){group, cas, dir, who, check_isa_names[i]}))
            continue;
        body(r, r->be[i], what);
        check_end(r);
    }
}

float *check_values(check_run *r, size_t n, bool integers)
{
    float *p = check_f32(r, n);
    if (integers)
        check_fill_int(r, p, n, 5);
    else
        check_fill_real(r, p, n, 2);
    return p;
}

float *check_copy(check_run *r, const float *p, size_t n)
{
    return memcpy(check_f32(r, n), p, n * sizeof *p);
}

void check_ran(check_run *r, const char *what, int rc)
{
    if (rc < 0)
        check_fail(r, "%s: %s", what, rn_error_text());
    check_wait(r);
}

bool check_near(check_run *r, const char *what, const float *got, const float *want, const double *mag, size_t n,
                double tol)
{
    double *wide = check_bytes(r, n * sizeof *wide);
    for (size_t i = 0; i < n; i++)
        wide[i] = want[i];
    return check_close(r, what, got, wide, mag, n, tol);
}

uint16_t check_half_of(rn_dtype t, float x)
{
    return t == RN_BF16 ? rn_bf16_of_f32(x) : rn_f16_of_f32(x);
}

float check_half_value(rn_dtype t, uint16_t h)
{
    return t == RN_BF16 ? rn_f32_of_bf16(h) : rn_f32_of_f16(h);
}

void *check_act(check_run *r, rn_dtype t, size_t n, int max)
{
    float *wide = check_f32(r, n);
    uint16_t *half = t == RN_F32 ? NULL : check_bytes(r, n * sizeof *half);
    if (max)
        check_fill_int(r, wide, n, max);
    else
        check_fill_real(r, wide, n, 2);
    for (size_t i = 0; half && i < n; i++)
        half[i] = check_half_of(t, wide[i]);
    return half ? (void *)half : wide;
}

void *check_act_copy(check_run *r, rn_dtype t, size_t n, const void *from)
{
    void *p = check_bytes(r, n * rn_dtype_size(t)); /* NaN */
    return from ? memcpy(p, from, n * rn_dtype_size(t)) : p;
}

static float *widened(check_run *r, rn_dtype t, const void *p, size_t n)
{
    float *wide = check_f32(r, n);
    for (size_t i = 0; i < n; i++)
        wide[i] = t == RN_F32 ? ((const float *)p)[i] : check_half_value(t, ((const uint16_t *)p)[i]);
    return wide;
}

bool check_act_near(check_run *r, rn_dtype t, const char *what, const void *got, const void *want, const double *mag,
                    size_t n, double tol)
{
    const double unit = t == RN_F32 ? 0 : t == RN_BF16 ? 0x1p-7 : 0x1p-10; /* two neighbours of a rounding */
    return check_near(r, what, widened(r, t, got, n), widened(r, t, want, n), mag, n, tol > 0 ? tol + unit : 0);
}

bool check_bits(check_run *r, const char *what, const void *got, const void *want, size_t bytes)
{
    const uint8_t *a = got, *b = want;
    size_t i = 0;
    while (i < bytes && a[i] == b[i])
        i++;
    if (i < bytes)
        check_fail(r, "%s: other bits, first in byte %zu of %zu", what, i, bytes);
    return i == bytes;
}
