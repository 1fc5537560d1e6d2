/* SPDX-License-Identifier: MIT */
/* cpu:direct: epilogues. A tile's rows are gated on their way to the destination, and added up while they are in the L1 cache. */
#include "kernels/cpu/cpu_direct_plan.h"

rn_direct_finish rn_direct_finish_of(const rn_conv_plan *plan, const rn_conv_args *a)
{
    const rn_im2col_plan *w = plan->priv;
    const unsigned epilogue = plan->desc.fuse & (RN_EPI_STATS | RN_EPI_DBN);

    if (!epilogue)
        return (rn_direct_finish){0};
    return (rn_direct_finish){.epilogue = epilogue,
                              .isa = w->isa,
                              .args = a,
                              .base = plan->dir == RN_FWD ? a->dst : a->src,
                              .less = epilogue & RN_EPI_DBN ? a->mean
                                      : a->pivot            ? a->pivot
                                                            : w->fused->zeros,
                              .size = rn_dtype_size(plan->desc.dtype)};
}

/* RN_EPI_DBN's tensor has the output's shape. */
static void raw_rows(const rn_direct_finish *f, const rn_direct_rows *r, const void **raw)
{
    const char *at = (const char *)f->args->raw + (r->out - f->base);

    for (int i = 0; i < r->m; i++)
        raw[i] = at + i * r->step;
}

void rn_direct_gate(const rn_direct_finish *f, const rn_direct_rows *r, float *sums, ptrdiff_t ld)
{
    const void *raw[RN_CONV_MR_MAX];
    float *rows[RN_CONV_MR_MAX];

    raw_rows(f, r, raw);
    for (int i = 0; i < r->m; i++)
        rows[i] = sums + i * ld;
    f->isa->gate_rows(rows, raw, r->m, r->n, f->args->scale + r->c0, f->args->shift + r->c0);
}

/* Columns c0..c0+n-1, at most a panel's. */
static void add_up_panel(const rn_direct_finish *f, const rn_direct_rows *r, double *sum, double *sumsq)
{
    const void *raw[RN_CONV_MR_MAX], *out[RN_CONV_MR_MAX];
    const bool dbn = f->epilogue & RN_EPI_DBN;

    if (dbn)
        raw_rows(f, r, raw);
    for (int i = 0; i < r->m; i++)
        out[i] = r->out + i * r->step;
    f->isa->sum_rows(out, dbn ? raw : NULL, r->m, r->n, f->less + r->c0, sum + r->c0, sumsq + r->c0);
}

void rn_direct_add_up(const rn_direct_finish *f, const rn_direct_rows *r, double *sum, double *sumsq)
{
    for (int j = 0; j < r->n; j += RN_CONV_NR_MAX) {
        rn_direct_rows part = *r;
        part.out += (size_t)j * f->size;
        part.c0 += j;
        part.n = rn_imin(r->n - j, RN_CONV_NR_MAX);
        add_up_panel(f, &part, sum, sumsq);
    }
}
