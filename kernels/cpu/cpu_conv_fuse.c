/* SPDX-License-Identifier: MIT */
/* cpu:im2col and cpu:direct: fused work. What is read through is set up here, and what the tiles' sums come to. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "kernels/cpu/cpu_conv_plan.h"

/* Channels added up at a time: a cache line of f32. */
#define BLOCK 16

static size_t padded(int n)
{
    return ((size_t)n + RN_CONV_READ_SLACK + 15) / 16 * 16;
}

/* Columns of a window row of the tensor that is gathered. */
static int row_columns(const rn_conv_desc *d, rn_conv_dir dir)
{
    return d->kw * (dir == RN_BWD_D ? d->oc : d->ic);
}

void rn_conv_fused_close(rn_conv_fused *f)
{
    if (!f)
        return;
    free(f->vectors);
    free(f->partial);
    free(f);
}

int rn_conv_fused_open(const rn_conv_desc *d, rn_conv_dir dir, size_t parts, rn_im2col_plan *p)
{
    if (!d->fuse)
        return RN_OK;
    rn_conv_fused *f = p->fused = calloc(1, sizeof *f);
    if (!f)
        return rn_fail(RN_E_NOMEM, "fused work of a convolution: out of memory");
    const size_t row = padded(row_columns(d, dir)), dst = padded(d->oc), zeros = padded(p->cols);
    f->parts = d->fuse & (RN_EPI_STATS | RN_EPI_DBN) ? parts : 0;
    f->vectors = calloc(3 * row + 3 * dst + zeros, sizeof(float));
    f->partial = f->parts ? malloc(f->parts * 2 * (size_t)p->cols * sizeof *f->partial) : NULL;
    if (!f->vectors || (f->parts && !f->partial))
        return rn_fail(RN_E_NOMEM, "fused sums of a convolution: out of memory");
    f->view = (rn_conv_read){.mul = f->vectors, .add = f->vectors + row, .by = f->vectors + 2 * row};
    f->dst = (rn_conv_read){
        .mul = f->vectors + 3 * row, .add = f->vectors + 3 * row + dst, .by = f->vectors + 3 * row + 2 * dst};
    f->zeros = f->vectors + 3 * row + 3 * dst;
    return RN_OK;
}

/* `from` (NULL: ones), per channel, for each of n columns. */
static void repeat(const float *to, const float *from, int channels, int n)
{
    float *out = (float *)to; /* the plan's own vectors */

    for (int i = 0; i < n; i++)
        out[i] = from ? from[i % channels] : 1;
}

void rn_conv_read_set(rn_conv_read *r, const float *mul, const float *add, const float *by, const void *other,
                      bool relu, int channels, int n)
{
    repeat(r->mul, mul, channels, n);
    repeat(r->add, add, channels, n);
    repeat(r->by, by, channels, n);
    r->other = other;
    r->floor = relu ? 0 : -INFINITY;
}

void rn_conv_fused_begin(const rn_conv_plan *plan, const rn_conv_args *a)
{
    const rn_conv_desc *d = &plan->desc;
    rn_conv_fused *f = ((rn_im2col_plan *)plan->priv)->fused;
    const int columns = row_columns(d, plan->dir);

    if (!f)
        return;
    f->read_view = f->read_dst = NULL;
    if (d->fuse & RN_PRO_BN) {
        rn_conv_read_set(&f->view, a->scale, a->shift, NULL, d->fuse & RN_PRO_ADD ? a->residual : NULL,
                         d->fuse & RN_PRO_RELU, d->ic, columns);
        f->read_view = &f->view;
    }
    if ((d->fuse & RN_PRO_DBN) && plan->dir == RN_BWD_D) {
        rn_conv_read_set(&f->view, a->ka, a->kc, a->kb, a->x, false, d->oc, columns);
        f->read_view = &f->view;
    } else if (d->fuse & RN_PRO_DBN) {
        rn_conv_read_set(&f->dst, a->ka, a->kc, a->kb, a->x, false, d->oc, d->oc);
        f->read_dst = &f->dst;
    }
}

/* In the parts' order, in double: the same bits whoever made them. */
static void add_up(const rn_conv_fused *f, int cols, int c0, const rn_conv_args *a)
{
    const int n = rn_imin(BLOCK, cols - c0);
    double sum[BLOCK] = {0}, sumsq[BLOCK] = {0};

    for (size_t i = 0; i < f->parts; i++) {
        const double *part = f->partial + i * 2 * (size_t)cols + c0;
        for (int c = 0; c < n; c++) {
            sum[c] += part[c];
            sumsq[c] += part[cols + c];
        }
    }
    for (int c = 0; c < n; c++) {
        a->sum[c0 + c] = sum[c];
        a->sumsq[c0 + c] = sumsq[c];
    }
}

void rn_conv_fused_end(const rn_conv_plan *plan, const rn_conv_args *a)
{
    const rn_im2col_plan *p = plan->priv;

    if (!p->fused || !p->fused->parts)
        return;
#pragma omp parallel for schedule(static) num_threads(plan->be->threads)
    for (int c0 = 0; c0 < p->cols; c0 += BLOCK)
        add_up(p->fused, p->cols, c0, a);
}
