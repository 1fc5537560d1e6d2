/* SPDX-License-Identifier: MIT */
/* cpu:im2col, fwd and bwd_d: the weights as panels of cells. */
#include <string.h>

#include "kernels/cpu/cpu_conv_plan.h"

/* Rows of K interleaved at a time: a cache line of f32 from each of the panel's rows. */
#define STEP 16

typedef uint16_t __attribute__((may_alias)) half_word; /* what a cell may hold */

/* How elements become cells: one f32 (what is not f32 is widened) or two bf16. */
enum form { FORM_F32, FORM_BF16, FORM_F16, FORM_PAIRS };

static enum form form_of(const rn_conv_plan *plan, const rn_im2col_plan *p)
{
    return p->isa->per == 2              ? FORM_PAIRS
           : plan->desc.dtype == RN_BF16 ? FORM_BF16
           : plan->desc.dtype == RN_F16  ? FORM_F16
                                         : FORM_F32;
}

/* Cells q0..q1-1 of a row of n elements, to to[q * width]. */
static inline __attribute__((always_inline)) void spread(const enum form form, const void *row, int n, int q0, int q1,
                                                         float *to, int width)
{
    const float *f = row;
    const uint16_t *h = row;

    for (int q = q0; q < q1; q++) {
        float *cell = to + (size_t)q * width;
        if (form == FORM_F32)
            *cell = f[q];
        else if (form == FORM_BF16)
            *cell = rn_f32_of_bf16(h[q]);
        else if (form == FORM_F16)
            *cell = rn_f32_of_f16(h[q]);
        else
            *cell = rn_f32_of_bits(h[2 * q] | (uint32_t)(2 * q + 1 < n ? h[2 * q + 1] : 0) << 16);
    }
}

/* ---- fwd ------------------------------------------------------------------------------------------------------------ */

/* One window row (or several, if they follow each other in K without a gap) of panel j: n elements of each of the
 * panel's output channels, which are `stride` elements apart. */
static inline __attribute__((always_inline)) void spread_rows(const enum form form, const void *wei, size_t stride,
                                                              int n, int channels, int width, float *b)
{
    const size_t esize = form == FORM_F32 ? sizeof(float) : sizeof(uint16_t);
    const int cells = form == FORM_PAIRS ? (n + 1) / 2 : n;

    for (int q0 = 0; q0 < cells; q0 += STEP) {
        const int q1 = rn_imin(q0 + STEP, cells);
        for (int i = 0; i < channels; i++) {
            const char *row = (const char *)wei + (size_t)i * stride * esize;
            /* 32 streams are too many for the hardware */
            __builtin_prefetch(row + (size_t)(q0 + 4 * STEP) * (form == FORM_PAIRS ? 2 * esize : esize));
            spread(form, row, n, q0, q1, b + i, width);
        }
        for (int q = q0; q < q1; q++)
            memset(b + (size_t)q * width + channels, 0, (size_t)(width - channels) * sizeof *b);
    }
}

/* Panel j of wei^T: b[k][i] = wei[j nr + i][k]. */
static void pack_fwd(const rn_conv_plan *plan, const void *wei, int j)
{
    const rn_im2col_plan *p = plan->priv;
    const rn_conv_view *v = &p->phases[0].view;
    const int c0 = j * p->isa->nr, channels = rn_imin(p->cols - c0, p->isa->nr),
              width = rn_panel_width(p->isa, p->cols, j);
    const int taps = v->ks * v->c, rows = v->run == taps ? 1 : v->kr, n = v->run == taps ? v->kr * taps : taps;
    const size_t stride = (size_t)v->kr * taps, cells = (size_t)(p->phases[0].k / p->isa->per);

    for (int r = 0; r < rows; r++) {
        const void *from = rn_conv_at(wei, (size_t)c0 * stride + (size_t)r * taps, plan->desc.dtype);
        float *b = p->b + (size_t)j * cells * p->isa->nr + (size_t)r * (v->run / p->isa->per) * width;
        switch (form_of(plan, p)) {
        case FORM_F32:
            spread_rows(FORM_F32, from, stride, n, channels, width, b);
            break;
        case FORM_BF16:
            spread_rows(FORM_BF16, from, stride, n, channels, width, b);
            break;
        case FORM_F16:
            spread_rows(FORM_F16, from, stride, n, channels, width, b);
            break;
        case FORM_PAIRS:
            spread_rows(FORM_PAIRS, from, stride, n, channels, width, b);
            break;
        }
    }
}

/* ---- bwd_d ---------------------------------------------------------------------------------------------------------- */

/* A row of n cells, from n elements of one output channel, or of two. */
static void copy_cells(const rn_im2col_plan *p, enum form form, const void *one, const void *other, int n, float *b)
{
    if (form == FORM_F32)
        memcpy(b, one, (size_t)n * sizeof *b);
    else if (form == FORM_BF16)
        p->half->f32_of_bf16(b, one, (size_t)n);
    else if (form == FORM_F16)
        p->half->f32_of_f16(b, one, (size_t)n);
    else {
        const uint16_t *x = one, *y = other;
        half_word *to = (half_word *)b;
        for (int i = 0; i < n; i++) {
            to[2 * i] = x[i];
            to[2 * i + 1] = y ? y[i] : 0;
        }
    }
}

/* Element q of window row r of a phase is output channel q % oc of a tap; taps come in falling order. */
static const void *tap_weights(const rn_conv_desc *d, const rn_conv_phase *f, const void *wei, int r, int q, int c0)
{
    const int o = q % d->oc, kr = f->r0 + d->sh * (f->view.kr - 1 - r),
              ks = f->s0 + d->sw * (f->view.ks - 1 - q / d->oc);

    return rn_conv_at(wei, (((size_t)o * d->kh + kr) * d->kw + ks) * d->ic + c0, d->dtype);
}

/* Panel j of one phase: row (r, s, o) holds wei[o][tap r][tap s][j nr ...]. */
static void pack_bwd_d(const rn_conv_plan *plan, const rn_conv_phase *f, const void *wei, int j)
{
    const rn_im2col_plan *p = plan->priv;
    const rn_conv_desc *d = &plan->desc;
    const int c0 = j * p->isa->nr, n = rn_imin(p->cols - c0, p->isa->nr), width = rn_panel_width(p->isa, p->cols, j);
    const int taps = f->view.ks * d->oc;
    float *b = p->b + f->b_offset + (size_t)j * (f->k / p->isa->per) * p->isa->nr;

    for (int r = 0; r < f->view.kr; r++) {
        for (int q = 0; q < taps; q += p->isa->per, b += width) {
            const void *one = tap_weights(d, f, wei, r, q, c0);
            const void *other = p->isa->per == 2 && q + 1 < taps ? tap_weights(d, f, wei, r, q + 1, c0) : NULL;
            copy_cells(p, form_of(plan, p), one, other, n, b);
            memset(b + n, 0, (size_t)(width - n) * sizeof *b);
        }
    }
}

void rn_conv_pack_weights(const rn_conv_plan *plan, const void *wei)
{
    const rn_im2col_plan *p = plan->priv;
    const int panels = rn_ceil_div(p->cols, p->isa->nr), tasks = panels * p->nphases;

#pragma omp parallel for schedule(dynamic) num_threads(plan->be->threads)
    for (int t = 0; t < tasks; t++) {
        if (plan->dir == RN_FWD)
            pack_fwd(plan, wei, t);
        else
            pack_bwd_d(plan, &p->phases[t / panels], wei, t % panels);
    }
}
