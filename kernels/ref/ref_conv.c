/* SPDX-License-Identifier: MIT */
#include "kernels/ref/ref_conv.h"

#include <math.h>

static size_t src_at(const rn_conv_desc *d, int n, int y, int x, int c)
{
    return (((size_t)n * d->ih + y) * d->iw + x) * d->ic + c;
}

static size_t wei_at(const rn_conv_desc *d, int o, int r, int s, int c)
{
    return (((size_t)o * d->kh + r) * d->kw + s) * d->ic + c;
}

static size_t dst_at(const rn_conv_desc *d, int n, int y, int x, int o)
{
    return (((size_t)n * d->oh + y) * d->ow + x) * d->oc + o;
}

typedef struct sum {
    double value, mag;
} sum;

static void add(sum *s, float a, float b)
{
    double t = (double)a * b;
    s->value += t;
    s->mag += fabs(t);
}

/* dst[n][y][x][o] = sum over r, s, c of src[n][y sh - ph + r][x sw - pw + s][c] * wei[o][r][s][c] */
static sum fwd(const rn_conv_desc *d, const float *src, const float *wei, int n, int y, int x, int o)
{
    sum acc = {0, 0};

    for (int r = 0; r < d->kh; r++) {
        for (int s = 0; s < d->kw; s++) {
            int iy = y * d->sh - d->ph + r, ix = x * d->sw - d->pw + s;
            if (iy < 0 || iy >= d->ih || ix < 0 || ix >= d->iw)
                continue;
            for (int c = 0; c < d->ic; c++)
                add(&acc, src[src_at(d, n, iy, ix, c)], wei[wei_at(d, o, r, s, c)]);
        }
    }
    return acc;
}

/* src[n][y][x][c] = sum over r, s, o of dst[n][(y + ph - r) / sh][(x + pw - s) / sw][o] * wei[o][r][s][c], where the
 * divisions leave no rest. */
static sum bwd_d(const rn_conv_desc *d, const float *wei, const float *dst, int n, int y, int x, int c)
{
    sum acc = {0, 0};

    for (int r = 0; r < d->kh; r++) {
        for (int s = 0; s < d->kw; s++) {
            int ty = y + d->ph - r, tx = x + d->pw - s;
            if (ty < 0 || tx < 0 || ty % d->sh || tx % d->sw || ty / d->sh >= d->oh || tx / d->sw >= d->ow)
                continue;
            for (int o = 0; o < d->oc; o++)
                add(&acc, dst[dst_at(d, n, ty / d->sh, tx / d->sw, o)], wei[wei_at(d, o, r, s, c)]);
        }
    }
    return acc;
}

/* wei[o][r][s][c] = sum over n, y, x of dst[n][y][x][o] * src[n][y sh - ph + r][x sw - pw + s][c] */
static sum bwd_w(const rn_conv_desc *d, const float *src, const float *dst, int o, int r, int s, int c)
{
    sum acc = {0, 0};

    for (int n = 0; n < d->mb; n++) {
        for (int y = 0; y < d->oh; y++) {
            int iy = y * d->sh - d->ph + r;
            for (int x = 0; iy >= 0 && iy < d->ih && x < d->ow; x++) {
                int ix = x * d->sw - d->pw + s;
                if (ix >= 0 && ix < d->iw)
                    add(&acc, src[src_at(d, n, iy, ix, c)], dst[dst_at(d, n, y, x, o)]);
            }
        }
    }
    return acc;
}

double rn_ref_conv_element(const rn_conv_desc *d, rn_conv_dir dir, const float *src, const float *wei, const float *dst,
                           size_t i, double *mag)
{
    size_t c = dir == RN_FWD ? (size_t)d->oc : (size_t)d->ic;
    size_t w = dir == RN_FWD ? (size_t)d->ow : dir == RN_BWD_D ? (size_t)d->iw : (size_t)d->kw;
    size_t h = dir == RN_FWD ? (size_t)d->oh : dir == RN_BWD_D ? (size_t)d->ih : (size_t)d->kh;
    int i3 = (int)(i % c), i2 = (int)(i / c % w), i1 = (int)(i / c / w % h), i0 = (int)(i / c / w / h);
    sum s = dir == RN_FWD     ? fwd(d, src, wei, i0, i1, i2, i3)
            : dir == RN_BWD_D ? bwd_d(d, wei, dst, i0, i1, i2, i3)
                              : bwd_w(d, src, dst, i0, i1, i2, i3);

    if (mag)
        *mag = s.mag;
    return s.value;
}

static bool supports(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, const char **why)
{
    (void)be;
    (void)dir;
    if (d->dtype != RN_F32) {
        *why = "f32 only";
        return false;
    }
    if (d->fuse) {
        *why = "no fused prologue or epilogue";
        return false;
    }
    return true;
}

static int run(rn_conv_plan *plan, const rn_conv_args *a, int beta, void *workspace, void *stream)
{
    const rn_conv_desc *d = &plan->desc;
    const size_t n[] = {(size_t)d->mb * d->oh * d->ow * d->oc, (size_t)d->mb * d->ih * d->iw * d->ic,
                        (size_t)d->oc * d->kh * d->kw * d->ic};
    float *out = plan->dir == RN_FWD ? a->dst : plan->dir == RN_BWD_D ? a->src : a->wei;

    (void)workspace;
    (void)stream;
    for (size_t i = 0; i < n[plan->dir]; i++) {
        double v = rn_ref_conv_element(d, plan->dir, a->src, a->wei, a->dst, i, NULL);
        out[i] = (float)(beta ? v + out[i] : v);
    }
    return 0;
}

const rn_conv_algo rn_ref_conv = {
    .name = "ref", .flags = RN_ALGO_DETERMINISTIC | RN_ALGO_REFERENCE, .supports = supports, .run = run};
