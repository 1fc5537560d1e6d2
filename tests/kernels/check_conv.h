/* SPDX-License-Identifier: MIT */
/* What the checks of convolutions share: values of the three types, tolerance, which algorithm runs where. */
#ifndef CHECK_CONV_H
#define CHECK_CONV_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_half.h"
#include "check.h"
#include "kernels/cpu/cpu_wino.h"

/* Of the sum of the terms' absolute values. f32 rounding of a sum in any order stays well inside for the sizes here;
 * bf16 or TF32 products fall well outside. */
#define REAL_TOL 0x1p-20
/* Rounding to the nearest integer tells which was meant. */
#define NEAREST  0.499

/* Terms in one sum of the destination. */
static inline double terms(const rn_conv_desc *d, rn_conv_dir dir)
{
    return dir == RN_BWD_W ? (double)d->mb * d->oh * d->ow : (double)d->kh * d->kw * (dir == RN_FWD ? d->ic : d->oc);
}

/* Of the largest sum of absolute terms in the tensor, n to a sum: what Winograd's transforms may lose beyond REAL_TOL, as it is
 * stated in cpu_wino.h. Another library's F(4x4) is held to the bound of its own points, 0, +-1, +-2. */
static inline double winograd_tol(const rn_conv_algo *algo, double n)
{
    if (!(algo->flags & RN_ALGO_WINOGRAD))
        return 0;
    return strcmp(algo->name, "cpu:winograd") == 0             ? RN_WINO_LOSS_4
           : strcmp(algo->name, "cpu:winograd-2x2") == 0       ? RN_WINO_LOSS_2
           : strcmp(algo->name, "cpu:winograd-pairs") == 0     ? RN_WINO_LOSS_PAIRS_4 / sqrt(n)
           : strcmp(algo->name, "cpu:winograd-2x2-pairs") == 0 ? RN_WINO_LOSS_PAIRS_2 / sqrt(n)
                                                               : RN_WINO_LOSS_LAVIN;
}

/* Whether sums of small integers come out exactly, or so nearly that the nearest integer tells: not where what is multiplied has
 * been rounded to bf16, unless, as F(2x2)'s transforms of them, it fits. */
static inline bool knows_integers(const rn_conv_algo *algo)
{
    return !(algo->flags & RN_ALGO_LOWPREC) || strcmp(algo->name, "cpu:winograd-2x2-pairs") == 0;
}

static inline float round_to(rn_dtype t, double x)
{
    return t == RN_BF16 ? rn_f32_of_bf16(rn_bf16_of_f64(x)) : t == RN_F16 ? rn_f32_of_f16(rn_f16_of_f64(x)) : (float)x;
}

/* n values to memory of type t, and back. */
static inline void store(rn_dtype t, void *to, const float *from, size_t n)
{
    const rn_half_kern *k = rn_half_kern_of(RN_ISA_PORTABLE);

    if (t == RN_F32)
        memcpy(to, from, n * sizeof *from);
    else
        (t == RN_BF16 ? k->bf16_of_f32 : k->f16_of_f32)(to, from, n);
}

static inline void load(rn_dtype t, float *to, const void *from, size_t n)
{
    const rn_half_kern *k = rn_half_kern_of(RN_ISA_PORTABLE);

    if (t == RN_F32)
        memcpy(to, from, n * sizeof *to);
    else
        (t == RN_BF16 ? k->f32_of_bf16 : k->f32_of_f16)(to, from, n);
}

/* What rounding a value to type t may cost: half a unit of its last place, at least half the least subnormal. */
static inline double rounding(rn_dtype t, double value)
{
    return t == RN_BF16 ? fmax(0x1p-8 * fabs(value), 0x1p-134) : t == RN_F16 ? fmax(0x1p-11 * fabs(value), 0x1p-25) : 0;
}

/* What an algorithm may make of an exact integer sum that it knows to `loss`, as a value and by how much it may be missed: the
 * integer that is nearest, but where the loss may push a sum across a tie of the type's rounding also the value beyond. */
static inline double exact_bound(rn_dtype t, double sum, double loss, double *want)
{
    const float low = round_to(t, sum - fmin(loss, NEAREST)), high = round_to(t, sum + fmin(loss, NEAREST));

    if (t == RN_F32 || loss == 0) {
        *want = round_to(t, sum);
        return fmin(loss, NEAREST);
    }
    *want = ((double)low + high) / 2;
    return ((double)high - low) / 2;
}

static inline void *xalloc(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size);

    if (!p) {
        fprintf(stderr, "check-kernels: out of memory\n");
        abort();
    }
    return p;
}

/* Only our own kernels obey the cap, those of an instruction set that the type has code for; the others run once, at this
 * CPU's best. */
static inline bool runs_at(const check_run *r, rn_dtype dtype, const rn_conv_algo *algo, int isa)
{
    if (strncmp(algo->name, "cpu:", 4) != 0)
        return isa == r->best;
    if (strcmp(algo->name, "cpu:amx") == 0 || isa == RN_ISA_AMX) /* the others do there what they do without AMX */
        return strcmp(algo->name, "cpu:amx") == 0 && isa == RN_ISA_AMX && dtype == RN_BF16;
    return isa < CHECK_ISAS_ALL || dtype == RN_BF16;
}

#endif
