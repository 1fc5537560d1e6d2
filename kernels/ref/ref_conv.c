/* SPDX-License-Identifier: MIT */
#include "kernels/ref/ref_conv.h"

#include <math.h>
#include <stdlib.h>

#include "base/rn_error.h"
#include "base/rn_half.h"

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
    if (d->dtype != RN_F32 && d->dtype != RN_BF16 && d->dtype != RN_F16) {
        *why = "f32, bf16 and f16 only";
        return false;
    }
    const char *fuse = rn_conv_fuse_refusal(d, dir, ~0u);
    if (fuse)
        *why = fuse;
    return !fuse;
}

/* ---- as an algorithm ------------------------------------------------------------------------------------------------ */

static float get(rn_dtype type, const void *p, size_t i)
{
    const float *f = p;
    const uint16_t *h = p;

    return type == RN_F32 ? f[i] : type == RN_BF16 ? rn_f32_of_bf16(h[i]) : rn_f32_of_f16(h[i]);
}

/* One rounding, of the double. */
static void put(rn_dtype type, void *out, size_t i, double v)
{
    float *f = out;
    uint16_t *h = out;

    if (type == RN_F32)
        f[i] = (float)v;
    else if (type == RN_BF16)
        h[i] = rn_bf16_of_f64(v);
    else
        h[i] = rn_f16_of_f64(v);
}

/* Element i of src through RN_PRO_BN, RN_PRO_ADD, RN_PRO_RELU. */
static double normalised(const rn_conv_desc *d, const rn_conv_args *a, size_t i)
{
    const size_t c = i % (size_t)d->ic;
    double v = (double)get(d->dtype, a->src, i) * a->scale[c] + a->shift[c];

    if (d->fuse & RN_PRO_ADD)
        v += get(d->dtype, a->residual, i);
    return (d->fuse & RN_PRO_RELU) && v < 0 ? 0 : v;
}

/* Element i of dst through RN_PRO_DBN. */
static double normalised_gradient(const rn_conv_desc *d, const rn_conv_args *a, size_t i)
{
    const size_t c = i % (size_t)d->oc;

    return (double)get(d->dtype, a->dst, i) * a->ka[c] + (double)get(d->dtype, a->x, i) * a->kb[c] + a->kc[c];
}

/* What is read as src (tensor 1) or dst (0), as f32. */
static double read_as(const rn_conv_desc *d, const rn_conv_args *a, int tensor, const void *p, size_t i)
{
    if (tensor == RN_BWD_D && (d->fuse & RN_PRO_BN))
        return normalised(d, a, i);
    if (tensor == RN_FWD && (d->fuse & RN_PRO_DBN))
        return normalised_gradient(d, a, i);
    return get(d->dtype, p, i);
}

/* What run() reads of a tensor, as f32: the caller's own memory, or a copy in *own. */
static int widen(const rn_conv_desc *d, const rn_conv_args *a, int tensor, const void *p, size_t n, float **own,
                 const float **out)
{
    uint16_t narrow;

    *out = p;
    if (d->dtype == RN_F32 && !d->fuse)
        return 0;
    if (!(*own = malloc(n * sizeof **own)))
        return rn_fail(RN_E_NOMEM, "ref: %zu bytes: out of memory", n * sizeof **own);
    *out = *own;
    for (size_t i = 0; i < n; i++) {
        const double v = read_as(d, a, tensor, p, i);
        (*own)[i] = (float)v;
        if (d->dtype != RN_F32) { /* as if it had been stored */
            put(d->dtype, &narrow, 0, v);
            (*own)[i] = get(d->dtype, &narrow, 0);
        }
    }
    return 0;
}

/* RN_EPI_DBN: element i of src was let through by the ReLU. */
static bool passed(const rn_conv_desc *d, const rn_conv_args *a, size_t i)
{
    const size_t c = i % (size_t)d->ic;

    return (double)get(d->dtype, a->raw, i) * a->scale[c] + a->shift[c] > 0;
}

/* RN_EPI_STATS, RN_EPI_DBN: the sums of what has been stored, one channel after the other. */
static void add_up(const rn_conv_desc *d, const rn_conv_args *a, size_t n)
{
    const bool stats = d->fuse & RN_EPI_STATS;
    const size_t channels = (size_t)(stats ? d->oc : d->ic);

    for (size_t c = 0; c < channels; c++) {
        double sum = 0, sumsq = 0;
        for (size_t i = c; i < n; i += channels) {
            const double v = (double)get(d->dtype, stats ? a->dst : a->src, i) - (stats && a->pivot ? a->pivot[c] : 0);
            sum += v;
            sumsq += v * (stats ? v : (double)get(d->dtype, a->raw, i) - a->mean[c]);
        }
        a->sum[c] = sum;
        a->sumsq[c] = sumsq;
    }
}

static int run(rn_conv_plan *plan, const rn_conv_args *a, int beta, void *workspace, void *stream)
{
    const rn_conv_desc *d = &plan->desc;
    /* dst, src, wei: indexed by the direction that writes them */
    const size_t n[] = {(size_t)d->mb * d->oh * d->ow * d->oc, (size_t)d->mb * d->ih * d->iw * d->ic,
                        (size_t)d->oc * d->kh * d->kw * d->ic};
    const rn_dtype type = plan->dir == RN_BWD_W ? RN_F32 : d->dtype;
    void *t[] = {a->dst, a->src, a->wei};
    const float *in[3] = {NULL, NULL, NULL};
    float *own[3] = {NULL, NULL, NULL};
    int rc = 0;

    (void)workspace;
    (void)stream;
    for (int i = 0; i < 3; i++) {
        if (i != (int)plan->dir)
            RN_GO(widen(d, a, i, t[i], n[i], &own[i], &in[i]));
    }
    for (size_t i = 0; i < n[plan->dir]; i++) {
        double v = rn_ref_conv_element(d, plan->dir, in[RN_BWD_D], in[RN_BWD_W], in[RN_FWD], i, NULL);
        if ((d->fuse & RN_EPI_DBN) && !passed(d, a, i))
            v = 0;
        put(type, t[plan->dir], i, beta ? v + get(type, t[plan->dir], i) : v);
    }
    if (d->fuse & (RN_EPI_STATS | RN_EPI_DBN))
        add_up(d, a, n[plan->dir]);
out:
    for (int i = 0; i < 3; i++)
        free(own[i]);
    return rc;
}

const rn_conv_algo rn_ref_conv = {
    .name = "ref", .flags = RN_ALGO_DETERMINISTIC | RN_ALGO_REFERENCE, .supports = supports, .run = run};
