/* SPDX-License-Identifier: MIT */
/* Between the files of cpu:strip. */
#ifndef CPU_STRIP_PLAN_H
#define CPU_STRIP_PLAN_H

#include "kernels/cpu/cpu_conv_plan.h"
#include "kernels/cpu/cpu_strip.h"

int rn_strip_tiles(const rn_strip *s);
int rn_strip_panels(const rn_strip *s);

/* Strip rows that `rows` grid rows read. */
static inline int64_t rn_strip_slots(const rn_strip *s, int rows)
{
    return (int64_t)(rows - 1) * s->row_step + s->d.kh;
}

/* Columns of one phase that `n` pixels of a grid row read. */
static inline int64_t rn_strip_columns(const rn_strip *s, int n)
{
    return n + (s->d.kw - 1) / s->d.sw;
}

/* Few channels: steps of sw pixels in a strip row that `n` pixels of a grid row read. */
static inline int64_t rn_strip_pitch(const rn_strip *s, int n)
{
    return n - 1 + rn_ceil_div(s->d.kw, s->d.sw);
}

/* Few channels: cells of a row of the transposed result. */
static inline int rn_strip_ld(const rn_strip *s)
{
    return rn_ceil_div(s->d.oc, 16) * 16;
}

/* ws: see workspace() in cpu_strip.c: scratch of each thread, then the private results. */
void rn_strip_run(const rn_strip *s, const rn_conv_args *args, int beta, float *ws);

#endif
