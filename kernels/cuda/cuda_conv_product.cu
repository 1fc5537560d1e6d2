/* SPDX-License-Identifier: MIT */
#include "kernels/cuda/cuda_conv_product.h"

#include <stdlib.h>

extern "C" {
#include "base/rn_error.h"
}
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/cuda_conv_gemm_run.h"

/* Blocks of a grid, and stages of a sum: what a 32-bit number counts. */
#define MOST          0x7fffffff
/* bwd_w: stages of a part at least, and parts until every multiprocessor has this many blocks. */
#define STAGES_A_PART 8
#define BLOCKS_EACH   2

typedef struct turned_plan {
    void *turned;
} turned_plan;

static int64_t up(int64_t n, int64_t by)
{
    return (n + by - 1) / by;
}

/* Parts that fill the GPU, of no fewer than some stages each, in the workspace that there is. */
static int splits_of(struct rn_backend *be, const rn_conv_desc *d, const rn_conv_product *p)
{
    const int64_t tiles = p->tiles_m * p->tiles_n, bytes = (int64_t)d->oc * p->columns * 4;
    int64_t n = (int64_t)rn_cuda_multiprocessors(be) * BLOCKS_EACH / tiles;

    if (n > p->stages / STAGES_A_PART)
        n = p->stages / STAGES_A_PART;
    if (be->workspace_limit && n > (int64_t)be->workspace_limit / bytes)
        n = (int64_t)be->workspace_limit / bytes;
    return n > 1 ? (int)n : 1;
}

rn_conv_product rn_conv_product_of(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir,
                                   rn_conv_tile_size tile)
{
    rn_conv_product p = {};

    p.splits = 1;
    if (dir == RN_BWD_W) {
        p.columns = d->kh * d->kw * d->ic;
        p.tiles_m = up(d->oc, tile.m);
        p.tiles_n = up(p.columns, tile.n);
        p.stages = up((int64_t)d->mb * d->oh * d->ow, tile.k);
        p.splits = splits_of(be, d, &p);
        p.blocks_m = p.tiles_m * p.splits;
        p.workspace = p.splits > 1 ? (size_t)p.splits * d->oc * p.columns * sizeof(float) : 0;
        return p;
    }
    const bool back = dir == RN_BWD_D, summed = d->fuse & (RN_EPI_STATS | RN_EPI_DBN);
    const rn_conv_phase phase = rn_conv_phase_of(d, back, 0);
    p.columns = back ? d->ic : d->oc;
    p.tiles_m = up((int64_t)d->mb * phase.rows * phase.columns, tile.m);
    p.tiles_n = up(p.columns, tile.n);
    p.blocks_m = p.tiles_m * rn_conv_phases_y(d, back) * rn_conv_phases_x(d, back);
    p.workspace = summed ? (size_t)p.blocks_m * 2 * p.columns * sizeof(double) : 0;
    return p;
}

bool rn_conv_product_fits(const rn_conv_product *p, const rn_conv_desc *d)
{
    const int64_t turned = up(d->oc, 32) * up(d->ic, 32);

    return p->blocks_m <= MOST / p->tiles_n && p->stages <= MOST && turned <= MOST / ((int64_t)d->kh * d->kw);
}

bool rn_conv_aligned(const void *p)
{
    return (uintptr_t)p % 16 == 0;
}

bool rn_conv_wide(const void *p, int channels, size_t size)
{
    return rn_conv_aligned(p) && channels * size % 16 == 0;
}

rn_conv_read rn_conv_read_src(const rn_conv_desc *d, const rn_conv_args *a)
{
    rn_conv_read r = {};

    if (d->fuse & RN_PRO_BN) {
        r.mul = a->scale;
        r.add = a->shift;
        r.other = d->fuse & RN_PRO_ADD ? a->residual : NULL;
        r.relu = d->fuse & RN_PRO_RELU;
    }
    return r;
}

rn_conv_read rn_conv_read_dst(const rn_conv_desc *d, const rn_conv_args *a)
{
    rn_conv_read r = {};

    if (d->fuse & RN_PRO_DBN) {
        r.mul = a->ka;
        r.add = a->kc;
        r.by = a->kb;
        r.other = a->x;
    }
    return r;
}

rn_conv_write rn_conv_write_of(const rn_conv_desc *d, const rn_conv_args *a, const rn_conv_product *p, void *to,
                               size_t size, int beta, void *workspace)
{
    rn_conv_write w = {};

    w.to = to;
    w.columns = p->columns;
    w.add = beta != 0;
    w.wide = rn_conv_wide(to, p->columns, size);
    w.epilogue = d->fuse & (RN_EPI_STATS | RN_EPI_DBN);
    w.partial = (double *)workspace;
    if (w.epilogue == RN_EPI_STATS)
        w.pivot = a->pivot;
    if (w.epilogue == RN_EPI_DBN) {
        w.scale = a->scale;
        w.shift = a->shift;
        w.mean = a->mean;
        w.raw = a->raw;
        w.wide = w.wide && rn_conv_aligned(a->raw);
    }
    return w;
}

/* ---- the plan ------------------------------------------------------------------------------------------------------------ */

int rn_conv_turned_open(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, void **priv)
{
    turned_plan *p = (turned_plan *)calloc(1, sizeof *p);

    *priv = p;
    if (!p)
        return rn_fail(RN_E_NOMEM, "cuda:implicit-gemm: out of memory");
    if (dir != RN_BWD_D)
        return RN_OK;
    return be->alloc(be, (size_t)d->oc * d->kh * d->kw * d->ic * rn_dtype_size(d->dtype), &p->turned);
}

void rn_conv_turned_close(struct rn_backend *be, void *priv)
{
    turned_plan *p = (turned_plan *)priv;

    if (p)
        be->free(be, p->turned);
    free(p);
}

int rn_conv_turned_prepare(rn_conv_plan *plan, const void *wei, void *stream)
{
    const rn_conv_desc *d = &plan->desc;

    if (plan->dir != RN_BWD_D)
        return RN_OK;
    return rn_conv_turn_weights(((turned_plan *)plan->priv)->turned, wei, d->oc, d->kh * d->kw, d->ic,
                                rn_dtype_size(d->dtype), stream);
}

const void *rn_conv_turned(const rn_conv_plan *plan)
{
    return ((const turned_plan *)plan->priv)->turned;
}
