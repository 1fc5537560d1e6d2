/* SPDX-License-Identifier: MIT */
/* Convolutions that are wrong, each in its own way, and one that is right: what any check must tell apart. */
#ifndef WRONG_CONV_H
#define WRONG_CONV_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/rn_error.h"
#include "kernels/ref/ref_conv.h"

enum wrong_conv {
    ONE_ELEMENT,
    ONE_NAN,
    READS_DST,
    SWAPPED,
    LOW_PRECISION,
    ROUGH,
    STALE_WORKSPACE,
    FAILS,
    RIGHT,
    FAULTS
};
static const char *const wrong_conv_names[FAULTS] = {
    "one-element", "one-nan", "reads-dst", "swapped", "low-prec", "six-per-cent", "stale-workspace", "fails", "right"};

static bool wrong_conv_supports(rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, const char **why)
{
    (void)be, (void)d, (void)dir, (void)why;
    return true;
}

static size_t wrong_conv_workspace(rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir)
{
    (void)be, (void)d, (void)dir;
    return 64;
}

static size_t wrong_conv_elements(const rn_conv_plan *p)
{
    const rn_conv_desc *d = &p->desc;

    return p->dir == RN_FWD     ? (size_t)d->mb * d->oh * d->ow * d->oc
           : p->dir == RN_BWD_D ? (size_t)d->mb * d->ih * d->iw * d->ic
                                : (size_t)d->oc * d->kh * d->kw * d->ic;
}

static int wrong_conv_run(rn_conv_plan *p, const rn_conv_args *a, int beta, void *workspace, void *stream)
{
    float *out = p->dir == RN_FWD ? a->dst : p->dir == RN_BWD_D ? a->src : a->wei, old = out[5];
    const size_t n = wrong_conv_elements(p);
    enum wrong_conv f = 0;

    while (strcmp(wrong_conv_names[f], p->algo->name) != 0)
        f++;
    if (f == FAILS)
        return rn_fail(RN_E_IO, "out of order");
    if (rn_ref_conv.run(p, a, beta, workspace, stream) < 0)
        return -1;
    if (f == ONE_ELEMENT)
        out[n - 2] += 1;
    if (f == ONE_NAN)
        out[n / 2] = NAN;
    if (f == READS_DST)
        out[5] += 0 * old;
    if (f == STALE_WORKSPACE)
        out[3] += 0 * *(float *)workspace;
    for (size_t i = 0; f == SWAPPED && i + 1 < n; i += n) { /* neighbours in memory: channels, or taps */
        float first = out[i];
        out[i] = out[i + 1] + (out[i] == out[i + 1]);
        out[i + 1] = first;
    }
    for (size_t i = 0; f == LOW_PRECISION && i < n; i++) { /* 16 bits of the significand: right for small integers */
        uint32_t u;
        memcpy(&u, &out[i], 4);
        u &= 0xffffff00u;
        memcpy(&out[i], &u, 4);
    }
    for (size_t i = 0; f == ROUGH && i < n; i++)
        out[i] *= i % 2 ? 1.06f : 0.94f;
    return 0;
}

static inline rn_conv_algo wrong_conv(int fault)
{
    return (rn_conv_algo){.name = wrong_conv_names[fault],
                          .supports = wrong_conv_supports,
                          .workspace = wrong_conv_workspace,
                          .run = wrong_conv_run};
}

#endif
