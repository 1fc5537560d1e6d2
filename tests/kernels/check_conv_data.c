/* SPDX-License-Identifier: MIT */
/*
 * The data of a check of convolutions, and what must come out: the tensors are normalised beforehand, in double, and given to
 * the plain reference sum.
 */
#include "check_conv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_half.h"
#include "kernels/ref/ref_conv.h"

/* f32 arithmetic of a value read, of its terms' absolute values: three roundings. */
#define READ_TOL 0x1p-22

/* ---- values of the three types -------------------------------------------------------------------------------------- */

float check_conv_round(rn_dtype t, double x)
{
    return t == RN_BF16 ? rn_f32_of_bf16(rn_bf16_of_f64(x)) : t == RN_F16 ? rn_f32_of_f16(rn_f16_of_f64(x)) : (float)x;
}

void check_conv_store(rn_dtype t, void *to, const float *from, size_t n)
{
    const rn_half_kern *k = rn_half_kern_of(RN_ISA_PORTABLE);

    if (t == RN_F32)
        memcpy(to, from, n * sizeof *from);
    else
        (t == RN_BF16 ? k->bf16_of_f32 : k->f16_of_f32)(to, from, n);
}

void check_conv_load(rn_dtype t, float *to, const void *from, size_t n)
{
    const rn_half_kern *k = rn_half_kern_of(RN_ISA_PORTABLE);

    if (t == RN_F32)
        memcpy(to, from, n * sizeof *to);
    else
        (t == RN_BF16 ? k->f32_of_bf16 : k->f32_of_f16)(to, from, n);
}

void *check_conv_alloc(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size);

    if (!p) {
        fprintf(stderr, "check-kernels: out of memory\n");
        abort();
    }
    return p;
}

rn_dtype check_conv_type(const conv_case *c, int tensor)
{
    return tensor == WEI && c->dir == RN_BWD_W ? RN_F32 : c->d.dtype;
}

size_t check_conv_channels(const conv_case *c)
{
    return (size_t)(c->d.fuse & RN_EPI_STATS ? c->d.oc : c->d.ic);
}

double check_conv_terms(const conv_case *c)
{
    const rn_conv_desc *d = &c->d;

    return c->dir == RN_BWD_W ? (double)d->mb * d->oh * d->ow
                              : (double)d->kh * d->kw * (c->dir == RN_FWD ? d->ic : d->oc);
}

/* ---- what to expect -------------------------------------------------------------------------------------------------- */

/* Largest m such that products of values read, made of integers in -m..m and factors of at most 2, add up to less than
 * 2^24; f16 stays below its largest. */
static int int_bound(const conv_case *c)
{
    const rn_conv_desc *d = &c->d;
    const double terms = check_conv_terms(c);
    const double limit = d->dtype == RN_F16 && c->dir != RN_BWD_W ? 65504 : 0x1p24;
    int m = 8;

    while (m > 1) {
        const double src = d->fuse & RN_PRO_BN ? 3 * m + 2 : m, dst = d->fuse & RN_PRO_DBN ? 4 * m + 2 : m;
        if (terms * (c->dir == RN_BWD_W ? src * dst : c->dir == RN_FWD ? src * m : dst * m) + m < limit)
            break;
        m--;
    }
    return m;
}

static float *fill(check_run *r, const conv_data *g, rn_dtype type, size_t n, int m)
{
    float *p = check_conv_alloc(n, sizeof *p);

    if (g->exact)
        check_fill_int(r, p, n, m);
    else
        check_fill_real(r, p, n, 1.0f);
    for (size_t i = 0; i < n; i++)
        p[i] = check_conv_round(type, p[i]);
    return p;
}

/* Factors: +-1 and +-2, or reals well away from 0. */
static float *factors(check_run *r, const conv_data *g, size_t n)
{
    float *p = fill(r, g, RN_F32, n, 2);

    for (size_t i = 0; i < n; i++) {
        if (g->exact)
            p[i] = p[i] == 0 ? 1 : p[i];
        else
            p[i] += p[i] < 0 ? -0.5f : 0.5f;
    }
    return p;
}

/* n values of `type` as they are read, and by how much f32 arithmetic may miss them: where it matters, by a rounding. */
static void read_through(const conv_case *c, const conv_data *g, int tensor, float *value, float *error)
{
    const unsigned fuse = c->d.fuse;
    const rn_dtype type = check_conv_type(c, tensor);
    const float *t = g->t[tensor];

    for (size_t i = 0; i < c->n[tensor]; i++) {
        double v = t[i], mag = 0;
        if (tensor == SRC && (fuse & RN_PRO_BN)) {
            const size_t ch = i % (size_t)c->d.ic;
            const double product = v * g->scale[ch], add = fuse & RN_PRO_ADD ? g->residual[i] : 0;
            v = product + g->shift[ch] + add;
            mag = fabs(product) + fabs((double)g->shift[ch]) + fabs(add);
            if (fuse & RN_PRO_RELU)
                v = v > 0 ? v : 0;
        } else if (tensor == DST && (fuse & RN_PRO_DBN)) {
            const size_t ch = i % (size_t)c->d.oc;
            const double a = v * g->ka[ch], b = (double)g->x[i] * g->kb[ch];
            v = a + b + g->kc[ch];
            mag = fabs(a) + fabs(b) + fabs((double)g->kc[ch]);
        }
        const double e = g->exact ? 0 : READ_TOL * mag;
        value[i] = check_conv_round(type, v);
        error[i] = fmaxf(check_conv_round(type, v + e) - value[i], value[i] - check_conv_round(type, v - e));
    }
}

/* RN_EPI_DBN: 1 where the ReLU let it through, 0 where not, -1 where f32 arithmetic may say either. */
static int gate(const conv_case *c, const conv_data *g, size_t i)
{
    const size_t ch = i % (size_t)c->d.ic;
    const double product = (double)g->raw[i] * g->scale[ch], z = product + g->shift[ch];

    if (!g->exact && fabs(z) <= READ_TOL * (fabs(product) + fabs((double)g->shift[ch])))
        return -1;
    return z > 0;
}

static void expect(const conv_case *c, conv_data *g)
{
    float *in[TENSORS], *wide[TENSORS]; /* wide: absolute values, with the errors */
    const size_t n = c->n[c->dir];
    const bool rounds = c->d.fuse & (RN_PRO_BN | RN_PRO_DBN); /* what is read is computed first */

    for (int j = 0; j < TENSORS; j++) {
        in[j] = check_conv_alloc(c->n[j], sizeof(float));
        wide[j] = check_conv_alloc(c->n[j], sizeof(float));
        if (j == (int)c->dir)
            continue;
        read_through(c, g, j, in[j], wide[j]);
        for (size_t i = 0; i < c->n[j]; i++)
            wide[j][i] += fabsf(in[j][i]);
    }
    g->want = check_conv_alloc(n, sizeof(double));
    g->loss = check_conv_alloc(n, sizeof(double));
    for (size_t i = 0; i < n; i++) {
        double mag;
        g->want[i] = rn_ref_conv_element(&c->d, c->dir, in[SRC], in[WEI], in[DST], i, &mag);
        g->most = fmax(g->most, mag);
        if (!g->exact) {
            const double most =
                rounds ? rn_ref_conv_element(&c->d, c->dir, wide[SRC], wide[WEI], wide[DST], i, NULL) : 0;
            g->loss[i] = CHECK_REAL_TOL * mag + fmax(0, most - mag);
        }
        const int let = c->d.fuse & RN_EPI_DBN ? gate(c, g, i) : 1;
        if (let < 0)
            g->loss[i] += fabs(g->want[i]);
        else if (!let)
            g->want[i] = g->loss[i] = 0;
    }
    for (int j = 0; j < TENSORS; j++) {
        free(in[j]);
        free(wide[j]);
    }
}

void check_conv_data_make(check_run *r, conv_case *c)
{
    const size_t ic = (size_t)c->d.ic, oc = (size_t)c->d.oc;
    const rn_dtype type = c->d.dtype;
    const int m = int_bound(c);

    for (int i = 0; i < 2; i++) {
        conv_data *g = &c->of[i];
        if (g->want)
            continue;
        g->exact = i == 0;
        g->name = g->exact ? "integers" : "reals";
        for (int j = 0; j < TENSORS; j++)
            g->t[j] = fill(r, g, check_conv_type(c, j), c->n[j], m);
        g->residual = fill(r, g, type, c->n[SRC], m);
        g->x = fill(r, g, type, c->n[DST], m);
        g->raw = fill(r, g, type, c->n[SRC], m);
        g->scale = factors(r, g, ic);
        g->shift = factors(r, g, ic);
        g->mean = fill(r, g, RN_F32, ic, 2);
        g->pivot = fill(r, g, RN_F32, oc, 2);
        for (size_t k = 1; k < oc && !g->exact; k += 2)
            g->pivot[k] *= 4096; /* as running means are in the first batches: no digits may be lost by it */
        g->ka = factors(r, g, oc);
        g->kb = factors(r, g, oc);
        g->kc = factors(r, g, oc);
        expect(c, g);
    }
}

void check_conv_data_free(conv_case *c)
{
    for (int i = 0; i < 2; i++) {
        conv_data *g = &c->of[i];
        for (int j = 0; j < TENSORS; j++)
            free(g->t[j]);
        void *const rest[] = {g->residual, g->x,  g->raw, g->scale, g->shift, g->mean,
                              g->pivot,    g->ka, g->kb,  g->kc,    g->want,  g->loss};
        for (size_t j = 0; j < sizeof rest / sizeof *rest; j++)
            free(rest[j]);
        *g = (conv_data){0};
    }
}
