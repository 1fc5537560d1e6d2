/* SPDX-License-Identifier: MIT */
/* cpu:winograd: fused work. What tiles are read through is set up here, and what the sums of the blocks come to. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "kernels/cpu/cpu_wino_plan.h"

enum { VECTORS = 7 }; /* mul, add, by of src, the same of dst, zeros */

static size_t line_of(const rn_conv_desc *d)
{
    return rn_wino_up((size_t)(d->ic > d->oc ? d->ic : d->oc), RN_WINO_NR_MAX);
}

static float *vector_of(const rn_wino_plan *p, const rn_conv_desc *d, int i)
{
    return p->vectors + line_of(d) * (size_t)i;
}

static size_t panels_of(const rn_wino_plan *p)
{
    return rn_wino_up((size_t)p->out.c, (size_t)p->isa->nr) / (size_t)p->isa->nr;
}

int rn_wino_fused_open(rn_wino_plan *p, const rn_conv_desc *d, size_t parts)
{
    if (!d->fuse)
        return 0;
    if (!(p->vectors = calloc(VECTORS * line_of(d), sizeof *p->vectors)))
        return rn_fail(RN_E_NOMEM, "cpu:winograd: out of memory");
    if ((d->fuse & (RN_EPI_STATS | RN_EPI_DBN)) &&
        !(p->partial = calloc(parts * 2 * (size_t)p->isa->nr, sizeof *p->partial)))
        return rn_fail(RN_E_NOMEM, "cpu:winograd: sums of %zu panels: out of memory", parts);
    return 0;
}

/* by: NULL is 1. */
static void set_read(rn_wino_plan *p, const rn_conv_desc *d, int tensor, int c, const float *mul, const float *add,
                     const float *by, const void *other, bool relu)
{
    rn_wino_read *r = &p->read[tensor];
    const size_t n = (size_t)c * sizeof(float);

    *r = (rn_wino_read){.mul = vector_of(p, d, 3 * tensor),
                        .add = vector_of(p, d, 3 * tensor + 1),
                        .by = vector_of(p, d, 3 * tensor + 2),
                        .other = other,
                        .floor = relu ? 0 : -INFINITY};
    memcpy(r->mul, mul, n);
    memcpy(r->add, add, n);
    for (int i = 0; i < c; i++)
        r->by[i] = by ? by[i] : 1;
}

void rn_wino_fused_begin(const rn_conv_plan *plan, const rn_conv_args *a)
{
    const rn_conv_desc *d = &plan->desc;
    rn_wino_plan *p = plan->priv;

    if (d->fuse & RN_PRO_BN)
        set_read(p, d, 0, d->ic, a->scale, a->shift, NULL, d->fuse & RN_PRO_ADD ? a->residual : NULL,
                 d->fuse & RN_PRO_RELU);
    if (d->fuse & RN_PRO_DBN)
        set_read(p, d, plan->dir == RN_BWD_W, d->oc, a->ka, a->kc, a->kb, a->x, false);
}

rn_wino_finish rn_wino_finish_of(const rn_conv_plan *plan, const rn_conv_args *a, size_t block, size_t panel)
{
    const rn_wino_plan *p = plan->priv;
    const size_t nr = (size_t)p->isa->nr;
    double *sum = p->partial + (block * panels_of(p) + panel) * 2 * nr;

    memset(sum, 0, 2 * nr * sizeof *sum);
    if (plan->desc.fuse & RN_EPI_DBN)
        return (rn_wino_finish){
            .less = a->mean, .scale = a->scale, .shift = a->shift, .raw = a->raw, .sum = sum, .sumsq = sum + nr};
    return (rn_wino_finish){
        .less = a->pivot ? a->pivot : vector_of(p, &plan->desc, VECTORS - 1), .sum = sum, .sumsq = sum + nr};
}

/* In the blocks' order, in double: the same bits whoever made them. */
void rn_wino_fused_end(const rn_conv_plan *plan, const rn_conv_args *a, size_t blocks)
{
    const rn_wino_plan *p = plan->priv;
    const size_t panels = panels_of(p), nr = (size_t)p->isa->nr, channels = (size_t)p->out.c;

    if (!p->partial)
        return;
#pragma omp parallel for schedule(static) num_threads(plan->be->threads)
    for (size_t c = 0; c < channels; c++) {
        const double *part = p->partial + c / nr * 2 * nr + c % nr;
        double sum = 0, sumsq = 0;
        for (size_t b = 0; b < blocks; b++, part += panels * 2 * nr) {
            sum += part[0];
            sumsq += part[nr];
        }
        a->sum[c] = sum;
        a->sumsq[c] = sumsq;
    }
}
