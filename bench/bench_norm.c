/* SPDX-License-Identifier: MIT */
#include "bench_norm.h"

#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"

float *bench_norm_vector(const bench_norm *n, int i)
{
    return n->vectors + (size_t)i * (size_t)n->channels;
}

unsigned bench_norm_fuse(rn_conv_dir dir)
{
    return dir == RN_FWD     ? RN_PRO_BN | RN_PRO_RELU | RN_EPI_STATS
           : dir == RN_BWD_D ? RN_PRO_DBN | RN_EPI_DBN
                             : RN_PRO_BN | RN_PRO_RELU | RN_PRO_DBN;
}

/* ---- memory --------------------------------------------------------------------------------------------------------- */

size_t bench_norm_dst(const rn_conv_desc *d)
{
    return (size_t)d->mb * d->oh * d->ow * d->oc;
}

size_t bench_norm_src(const rn_conv_desc *d)
{
    return (size_t)d->mb * d->ih * d->iw * d->ic;
}

static int wider(const rn_conv_desc *d)
{
    return d->ic > d->oc ? d->ic : d->oc;
}

static size_t most(const rn_conv_desc *d)
{
    return bench_norm_dst(d) > bench_norm_src(d) ? bench_norm_dst(d) : bench_norm_src(d);
}

double bench_norm_bytes(const rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir)
{
    const double size = (double)rn_dtype_size(d->dtype), src = (double)bench_norm_src(d),
                 dst = (double)bench_norm_dst(d);
    const double device = dir == RN_FWD ? src + dst : dir == RN_BWD_D ? src + 3 * dst : src + 2 * dst;

    return (4 + size) * (double)most(d) + (dir == RN_BWD_D ? 4 * src : 0) +
           (strcmp(be->device, "cpu") == 0 ? size * device : 0);
}

void bench_norm_free(bench_norm *n)
{
    void *const device[] = {n->in, n->dy, n->x, n->raw, n->y, n->mask, n->vectors, n->sums};

    for (size_t i = 0; n->be && i < sizeof device / sizeof *device; i++)
        n->be->free(n->be, device[i]);
    free(n->told);
    free(n->gate);
    free(n->got);
    free(n->drawn);
    free(n->narrow);
}

static int make_tensors(bench_norm *n)
{
    const rn_conv_desc *d = &n->d;
    const size_t size = rn_dtype_size(d->dtype), src = bench_norm_src(d) * size, dst = bench_norm_dst(d) * size;
    const size_t mask = rn_op_bn_mask_bytes(d->dtype, (int64_t)d->mb * d->oh * d->ow, d->oc);
    rn_backend *be = n->be;
    void *p = NULL;

    if (n->dir != RN_BWD_D)
        RN_TRY(be->alloc(be, src, &n->in));
    else
        RN_TRY(be->alloc(be, src, &n->raw));
    if (n->dir != RN_FWD) {
        RN_TRY(be->alloc(be, dst, &n->dy));
        RN_TRY(be->alloc(be, dst, &n->x));
    }
    if (n->dir != RN_BWD_W)
        RN_TRY(be->alloc(be, dst, &n->y));
    if (n->dir != RN_BWD_W && be->bn_masks && mask) {
        RN_TRY(be->alloc(be, mask, &p));
        n->mask = p;
    }
    return 0;
}

int bench_norm_make(rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, bench_norm *n)
{
    const size_t c = (size_t)wider(d);
    void *p = NULL;

    if (!be->ops->bn_stats)
        return rn_fail(RN_E_UNSUPPORTED, "%s takes no fused batch norms", be->describe);
    n->be = be;
    n->d = *d;
    n->dir = dir;
    n->channels = wider(d);
    n->told = calloc(NORM_GIVEN * c, sizeof *n->told);
    n->got = calloc(2 * c, sizeof *n->got);
    n->gate = dir == RN_BWD_D ? malloc(bench_norm_src(d) * sizeof *n->gate) : NULL;
    n->drawn = malloc(most(d) * sizeof *n->drawn);
    n->narrow = malloc(most(d) * rn_dtype_size(d->dtype));
    if (!n->told || !n->got || !n->drawn || !n->narrow || (dir == RN_BWD_D && !n->gate))
        return rn_fail(RN_E_NOMEM, "bench: out of memory");
    RN_TRY(make_tensors(n));
    RN_TRY(be->alloc(be, NORM_VECTORS * c * sizeof *n->vectors, &p));
    n->vectors = p;
    RN_TRY(be->alloc(be, 4 * c * sizeof *n->sums, &p));
    n->sums = p;
    return 0;
}

/* ---- the work ------------------------------------------------------------------------------------------------------- */

int bench_norm_forward(const bench_norm *n, const void *x)
{
    const rn_op_bn_fwd a = {.dtype = n->d.dtype,
                            .train = true,
                            .relu = true,
                            .rows = (int64_t)n->d.mb * n->d.oh * n->d.ow,
                            .c = n->d.oc,
                            .eps = 1e-5F,
                            .momentum = 0.1F,
                            .x = x,
                            .y = n->y,
                            .gamma = bench_norm_vector(n, NORM_ONES),
                            .beta = bench_norm_vector(n, NORM_ZEROES),
                            .running_mean = bench_norm_vector(n, NORM_RUNNING_MEAN),
                            .running_var = bench_norm_vector(n, NORM_RUNNING_VAR),
                            .mean = bench_norm_vector(n, NORM_SAVED_MEAN),
                            .inv_std = bench_norm_vector(n, NORM_INV_STD),
                            .mask = n->mask};

    return n->be->ops->bn_fwd(n->be, &a, NULL);
}

rn_conv_args bench_norm_args(const bench_norm *n, rn_conv_args plain)
{
    rn_conv_args a = plain;

    if (n->in)
        a.src = n->in;
    if (n->dy)
        a.dst = n->dy;
    a.x = n->x;
    a.raw = n->raw;
    a.scale = bench_norm_vector(n, NORM_SCALE);
    a.shift = bench_norm_vector(n, NORM_SHIFT);
    a.pivot = bench_norm_vector(n, NORM_PIVOT);
    a.mean = bench_norm_vector(n, NORM_MEAN);
    a.ka = bench_norm_vector(n, NORM_KA);
    a.kb = bench_norm_vector(n, NORM_KB);
    a.kc = bench_norm_vector(n, NORM_KC);
    a.sum = n->sums;
    a.sumsq = n->sums + n->channels;
    return a;
}

int bench_norm_before(const bench_norm *n, bool fused, const rn_conv_args *a)
{
    if (fused || n->dir != RN_BWD_D)
        return 0;
    const rn_op_bn_bwd back = {.dtype = n->d.dtype,
                               .relu = true,
                               .rows = (int64_t)n->d.mb * n->d.oh * n->d.ow,
                               .c = n->d.oc,
                               .x = n->x,
                               .y = n->y,
                               .dy = n->dy,
                               .gamma = bench_norm_vector(n, NORM_ONES),
                               .mean = bench_norm_vector(n, NORM_SAVED_MEAN),
                               .inv_std = bench_norm_vector(n, NORM_INV_STD),
                               .dx = a->dst,
                               .dgamma = bench_norm_vector(n, NORM_OUT),
                               .dbeta = bench_norm_vector(n, NORM_OUT + 1),
                               .mask = n->mask};
    return n->be->ops->bn_bwd(n->be, &back, NULL);
}

static int stats(const bench_norm *n)
{
    const rn_op_bn_stats a = {.train = true,
                              .rows = (int64_t)n->d.mb * n->d.oh * n->d.ow,
                              .c = n->d.oc,
                              .eps = 1e-5F,
                              .momentum = 0.1F,
                              .sum = n->sums,
                              .sumsq = n->sums + n->channels,
                              .gamma = bench_norm_vector(n, NORM_ONES),
                              .beta = bench_norm_vector(n, NORM_ZEROES),
                              .running_mean = bench_norm_vector(n, NORM_RUNNING_MEAN),
                              .running_var = bench_norm_vector(n, NORM_RUNNING_VAR),
                              .mean = bench_norm_vector(n, NORM_SAVED_MEAN),
                              .var = bench_norm_vector(n, NORM_SAVED_VAR),
                              .inv_std = bench_norm_vector(n, NORM_INV_STD),
                              .scale = bench_norm_vector(n, NORM_OUT),
                              .shift = bench_norm_vector(n, NORM_OUT + 1),
                              .room = n->sums + (size_t)2 * (size_t)n->channels};

    return n->be->ops->bn_stats(n->be, &a, NULL);
}

static int grad_stats(const bench_norm *n)
{
    const rn_op_bn_grad_stats a = {.rows = (int64_t)n->d.mb * n->d.ih * n->d.iw,
                                   .c = n->d.ic,
                                   .sum = n->sums,
                                   .sumsq = n->sums + n->channels,
                                   .gamma = bench_norm_vector(n, NORM_ONES),
                                   .mean = bench_norm_vector(n, NORM_MEAN),
                                   .inv_std = bench_norm_vector(n, NORM_ONES),
                                   .dgamma = bench_norm_vector(n, NORM_OUT),
                                   .dbeta = bench_norm_vector(n, NORM_OUT + 1),
                                   .ka = bench_norm_vector(n, NORM_OUT + 2),
                                   .kb = bench_norm_vector(n, NORM_OUT + 3),
                                   .kc = bench_norm_vector(n, NORM_OUT + 4),
                                   .room = n->sums + (size_t)2 * (size_t)n->channels};

    return n->be->ops->bn_grad_stats(n->be, &a, NULL);
}

int bench_norm_after(const bench_norm *n, bool fused, const rn_conv_args *a)
{
    if (n->dir == RN_FWD)
        return fused ? stats(n) : bench_norm_forward(n, a->dst);
    return n->dir == RN_BWD_D && fused ? grad_stats(n) : 0;
}
