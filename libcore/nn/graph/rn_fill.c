/* SPDX-License-Identifier: MIT */
#include "nn/graph/rn_fill.h"

#include <math.h>
#include <stdbool.h>

#include "base/rn_error.h"

static double fan_of(const rn_filler *f, const rn_fill_shape *s)
{
    switch (f->fan) {
    case RN_FAN_OUT:
        return (double)s->fan_out;
    case RN_FAN_AVG:
        return ((double)s->fan_in + (double)s->fan_out) / 2;
    case RN_FAN_IN:
        break;
    }
    return (double)s->fan_in;
}

int rn_fill_check(const rn_filler *f, const rn_fill_shape *s, const char *what)
{
    bool ok = isfinite(f->a) && isfinite(f->b) && s->fan_in > 0 && s->fan_out > 0;
    if (f->kind == RN_FILL_UNIFORM)
        ok = ok && f->a <= f->b;
    if (f->kind == RN_FILL_GAUSSIAN)
        ok = ok && f->b >= 0;
    if (f->kind == RN_FILL_SCALED_UNIFORM || f->kind == RN_FILL_SCALED_NORMAL)
        ok = ok && f->a >= 0;
    if (!ok)
        return rn_fail(RN_E_RANGE, "%s: a filler with the numbers %g and %g", what, f->a, f->b);
    if (f->kind == RN_FILL_BILINEAR && s->kh != s->kw)
        return rn_fail(RN_E_RANGE, "%s: a bilinear filler needs a square kernel, this one is %lldx%lld", what,
                       (long long)s->kh, (long long)s->kw);
    return RN_OK;
}

static void uniform(rn_rng *r, double lo, double hi, int64_t n, float *dst)
{
    for (int64_t i = 0; i < n; i++)
        dst[i] = (float)rn_rng_range(r, lo, hi);
}

static void normal(rn_rng *r, double mean, double std, int64_t n, float *dst)
{
    for (int64_t i = 0; i < n; i++)
        dst[i] = (float)(mean + std * rn_rng_normal(r));
}

static void unitball(const rn_fill_shape *s, rn_rng *r, float *dst)
{
    int64_t n = s->kh * s->kw * s->ic;
    for (int64_t o = 0; o < s->outputs; o++, dst += n) {
        double sum = 0;
        uniform(r, 0, 1, n, dst);
        for (int64_t i = 0; i < n; i++)
            sum += (double)dst[i];
        for (int64_t i = 0; i < n && sum > 0; i++)
            dst[i] = (float)((double)dst[i] / sum);
    }
}

/* Weight of tap x of a kernel of that side, after Caffe: a triangle of half width f around its middle. */
static double triangle(int64_t x, int64_t side)
{
    double f = ceil((double)side / 2), c = (2 * f - 1 - fmod(f, 2)) / (2 * f);
    return 1 - fabs((double)x / f - c);
}

static void bilinear(const rn_fill_shape *s, float *dst)
{
    for (int64_t o = 0; o < s->outputs; o++)
        for (int64_t y = 0; y < s->kh; y++)
            for (int64_t x = 0; x < s->kw; x++)
                for (int64_t i = 0; i < s->ic; i++)
                    *dst++ = (float)(triangle(x, s->kw) * triangle(y, s->kh));
}

void rn_fill_draw(const rn_filler *f, const rn_fill_shape *s, rn_rng *r, float *dst)
{
    int64_t n = s->outputs * s->kh * s->kw * s->ic;
    double bound;
    switch (f->kind) {
    case RN_FILL_CONSTANT:
        for (int64_t i = 0; i < n; i++)
            dst[i] = (float)f->a;
        return;
    case RN_FILL_UNIFORM:
        uniform(r, f->a, f->b, n, dst);
        return;
    case RN_FILL_GAUSSIAN:
        normal(r, f->a, f->b, n, dst);
        return;
    case RN_FILL_SCALED_UNIFORM: /* U(-b, b) has the variance b^2 / 3 */
        bound = sqrt(3 * f->a) / sqrt(fan_of(f, s));
        uniform(r, -bound, bound, n, dst);
        return;
    case RN_FILL_SCALED_NORMAL:
        normal(r, 0, sqrt(f->a / fan_of(f, s)), n, dst);
        return;
    case RN_FILL_UNITBALL:
        unitball(s, r, dst);
        return;
    case RN_FILL_BILINEAR:
        bilinear(s, dst);
        return;
    }
}
