/* SPDX-License-Identifier: MIT */
/* cuda:implicit-gemm, the host's side: which cases, in how many parts, and what the kernels are told. */
#include <stdlib.h>

extern "C" {
#include "base/rn_error.h"
#include "op/rn_backend.h"
}
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/cuda_conv.h"
#include "kernels/cuda/cuda_conv_gemm_run.h"

/* Blocks of a grid, and stages of a sum: what a 32-bit number counts. */
#define MOST          0x7fffffff
/* bwd_w: stages of a part at least, and parts until every multiprocessor has this many blocks. */
#define STAGES_A_PART 8
#define BLOCKS_EACH   2

typedef struct gemm_plan {
    void *turned; /* bwd_d: weights as (ic, kh, kw, oc) */
} gemm_plan;

/* The product of a direction, in tiles. */
typedef struct product {
    const rn_conv_kernels *kernels;
    int columns;
    int64_t tiles_m, tiles_n;
    int64_t blocks_m; /* tiles of rows, over all phases */
    int64_t stages;   /* bwd_w: of all pixels */
    int splits;
    size_t workspace;
} product;

static int64_t up(int64_t n, int64_t by)
{
    return (n + by - 1) / by;
}

static bool has_epilogue(const rn_conv_desc *d)
{
    return d->fuse & (RN_EPI_STATS | RN_EPI_DBN);
}

static const rn_conv_kernels *kernels_of(rn_dtype type, bool wide, bool tf32)
{
    if (tf32)
        return &rn_conv_tf32_128x128;
    if (type == RN_F32)
        return wide ? &rn_conv_f32_128x128 : &rn_conv_f32_128x64;
    if (type == RN_BF16)
        return wide ? &rn_conv_bf16_128x128 : &rn_conv_bf16_128x64;
    return wide ? &rn_conv_f16_128x128 : &rn_conv_f16_128x64;
}

/* Parts that fill the GPU, of no fewer than some stages each, in the workspace that there is. */
static int splits_of(struct rn_backend *be, const rn_conv_desc *d, const product *p)
{
    const int64_t tiles = p->tiles_m * p->tiles_n, bytes = (int64_t)d->oc * p->columns * 4;
    int64_t n = (int64_t)rn_cuda_multiprocessors(be) * BLOCKS_EACH / tiles;

    if (n > p->stages / STAGES_A_PART)
        n = p->stages / STAGES_A_PART;
    if (be->workspace_limit && n > (int64_t)be->workspace_limit / bytes)
        n = (int64_t)be->workspace_limit / bytes;
    return n > 1 ? (int)n : 1;
}

static product product_of(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, const rn_conv_kernels *k)
{
    product p = {};

    p.kernels = k;
    p.splits = 1;
    if (dir == RN_BWD_W) {
        p.columns = d->kh * d->kw * d->ic;
        p.tiles_m = up(d->oc, k->m);
        p.tiles_n = up(p.columns, k->n);
        p.stages = up((int64_t)d->mb * d->oh * d->ow, k->k);
        p.splits = splits_of(be, d, &p);
        p.blocks_m = p.tiles_m * p.splits;
        p.workspace = p.splits > 1 ? (size_t)p.splits * d->oc * p.columns * sizeof(float) : 0;
        return p;
    }
    const bool back = dir == RN_BWD_D;
    const rn_conv_phase phase = rn_conv_phase_of(d, back, 0);
    p.columns = back ? d->ic : d->oc;
    p.tiles_m = up((int64_t)d->mb * phase.rows * phase.columns, k->m);
    p.tiles_n = up(p.columns, k->n);
    p.blocks_m = p.tiles_m * rn_conv_phases_y(d, back) * rn_conv_phases_x(d, back);
    p.workspace = has_epilogue(d) ? (size_t)p.blocks_m * 2 * p.columns * sizeof(double) : 0;
    return p;
}

static bool supports(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, const char **why,
                     const rn_conv_kernels *k)
{
    const char *fuse = rn_conv_fuse_refusal(d, dir, ~0u);
    const product p = product_of(be, d, dir, k);
    const int64_t turned = up(d->oc, 32) * up(d->ic, 32);

    *why = fuse ? fuse : "more blocks than a grid has";
    return !fuse && p.blocks_m <= MOST / p.tiles_n && p.stages <= MOST && turned <= MOST / ((int64_t)d->kh * d->kw);
}

static int open_plan(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, void **priv,
                     const rn_conv_kernels *k)
{
    gemm_plan *p = (gemm_plan *)calloc(1, sizeof *p);

    *priv = p;
    if (!p)
        return rn_fail(RN_E_NOMEM, "cuda:implicit-gemm: out of memory");
    if (dir == RN_BWD_D)
        RN_TRY(be->alloc(be, (size_t)d->oc * d->kh * d->kw * d->ic * rn_dtype_size(d->dtype), &p->turned));
    return k->open();
}

static void close_plan(struct rn_backend *be, void *priv)
{
    gemm_plan *p = (gemm_plan *)priv;

    if (p)
        be->free(be, p->turned);
    free(p);
}

static int prepare(rn_conv_plan *plan, const void *wei, void *stream)
{
    const rn_conv_desc *d = &plan->desc;
    const gemm_plan *p = (const gemm_plan *)plan->priv;

    if (plan->dir != RN_BWD_D)
        return RN_OK;
    return rn_conv_turn_weights(p->turned, wei, d->oc, d->kh * d->kw, d->ic, rn_dtype_size(d->dtype), stream);
}

/* ---- what the kernels are told ------------------------------------------------------------------------------------------ */

static bool aligned(const void *p)
{
    return (uintptr_t)p % 16 == 0;
}

/* May a tensor of so many channels be read, or written, 16 bytes at a time? */
static bool wide_of(const void *p, int channels, size_t size)
{
    return aligned(p) && channels * size % 16 == 0;
}

static bool wide_read(const rn_conv_read *r)
{
    return aligned(r->mul) && aligned(r->add) && aligned(r->by) && aligned(r->other);
}

/* src through RN_PRO_BN. */
static rn_conv_read read_src(const rn_conv_desc *d, const rn_conv_args *a)
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

/* dst through RN_PRO_DBN. */
static rn_conv_read read_dst(const rn_conv_desc *d, const rn_conv_args *a)
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

static rn_conv_write write_of(const rn_conv_desc *d, const rn_conv_args *a, const product *p, void *to, size_t size,
                              int beta, void *workspace)
{
    rn_conv_write w = {};

    w.to = to;
    w.columns = p->columns;
    w.add = beta != 0;
    w.wide = wide_of(to, p->columns, size);
    w.epilogue = d->fuse & (RN_EPI_STATS | RN_EPI_DBN);
    w.partial = (double *)workspace;
    if (w.epilogue == RN_EPI_STATS)
        w.pivot = a->pivot;
    if (w.epilogue == RN_EPI_DBN) {
        w.scale = a->scale;
        w.shift = a->shift;
        w.mean = a->mean;
        w.raw = a->raw;
        w.wide = w.wide && aligned(a->raw);
    }
    return w;
}

static int run_gemm(rn_conv_plan *plan, const product *p, const rn_conv_args *a, int beta, void *workspace,
                    void *stream)
{
    const rn_conv_desc *d = &plan->desc;
    const bool back = plan->dir == RN_BWD_D;
    const size_t size = rn_dtype_size(d->dtype);
    rn_conv_gemm_args g = {};

    g.d = *d;
    g.back = back;
    g.in = back ? a->dst : a->src;
    g.wei = back ? ((const gemm_plan *)plan->priv)->turned : a->wei;
    g.read = back ? read_dst(d, a) : read_src(d, a);
    g.write = write_of(d, a, p, back ? a->src : a->dst, size, beta, workspace);
    g.wide = wide_of(g.in, back ? d->oc : d->ic, size) && aligned(g.wei) && wide_read(&g.read);
    g.tiles_m = (int)p->tiles_m;
    g.tiles_n = (int)p->tiles_n;
    RN_TRY(p->kernels->gemm(&g, g.wide && !g.read.mul, (unsigned)(p->blocks_m * p->tiles_n), stream));
    if (!g.write.epilogue)
        return RN_OK;
    return rn_conv_add_sums(a->sum, a->sumsq, (const double *)workspace, p->columns, (int)p->blocks_m, stream);
}

static int run_weights(rn_conv_plan *plan, const product *p, const rn_conv_args *a, int beta, void *workspace,
                       void *stream)
{
    const rn_conv_desc *d = &plan->desc;
    const size_t size = rn_dtype_size(d->dtype);
    rn_conv_weights_args g = {};

    g.d = *d;
    g.src = a->src;
    g.dst = a->dst;
    g.read_src = read_src(d, a);
    g.read_dst = read_dst(d, a);
    g.write = write_of(d, a, p, p->splits > 1 ? workspace : a->wei, sizeof(float), p->splits > 1 ? 0 : beta, NULL);
    g.wide_src = wide_of(g.src, d->ic, size) && wide_read(&g.read_src);
    g.wide_dst = wide_of(g.dst, d->oc, size) && wide_read(&g.read_dst);
    g.tiles_m = (int)p->tiles_m;
    g.tiles_n = (int)p->tiles_n;
    g.splits = p->splits;
    g.pixels = (int64_t)d->mb * d->oh * d->ow;
    g.on_x = p->kernels->k % d->ow;
    g.on_y = p->kernels->k / d->ow % d->oh;
    g.on_images = p->kernels->k / d->ow / d->oh;
    const bool async = g.wide_src && g.wide_dst && !g.read_src.mul && !g.read_dst.mul;
    RN_TRY(p->kernels->weights(&g, async, (unsigned)(p->blocks_m * p->tiles_n), stream));
    if (p->splits == 1)
        return RN_OK;
    return rn_conv_add_parts((float *)a->wei, (const float *)workspace, (int64_t)d->oc * p->columns, p->splits, beta,
                             stream);
}

/* ---- rows --------------------------------------------------------------------------------------------------------------- */

/* One row's functions: its tile's columns, and whether f32 goes by TF32. */
template <bool wide, bool tf32> struct row {
    static bool can(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, const char **why)
    {
        *why = tf32 ? "f32 only" : "f32, bf16 and f16 only";
        if (tf32 ? d->dtype != RN_F32 : d->dtype != RN_F32 && d->dtype != RN_BF16 && d->dtype != RN_F16)
            return false;
        return supports(be, d, dir, why, kernels_of(d->dtype, wide, tf32));
    }
    static size_t workspace(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir)
    {
        return product_of(be, d, dir, kernels_of(d->dtype, wide, tf32)).workspace;
    }
    static int open(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, void **priv)
    {
        return open_plan(be, d, dir, priv, kernels_of(d->dtype, wide, tf32));
    }
    static int run(rn_conv_plan *plan, const rn_conv_args *a, int beta, void *workspace, void *stream)
    {
        const rn_conv_kernels *k = kernels_of(plan->desc.dtype, wide, tf32);
        const product p = product_of(plan->be, &plan->desc, plan->dir, k);

        return (plan->dir == RN_BWD_W ? run_weights : run_gemm)(plan, &p, a, beta, workspace, stream);
    }
    /* Not where half of a tile's columns would be empty. */
    static bool suits(struct rn_backend *, const rn_conv_desc *d, rn_conv_dir dir)
    {
        const int columns = dir == RN_FWD ? d->oc : dir == RN_BWD_D ? d->ic : d->kh * d->kw * d->ic;

        return !wide || columns % 128 == 0 || columns % 128 > 64;
    }
};

#define ROW(name, flags, wide, tf32)                                                                                   \
    {                                                                                                                  \
        name, RN_ALGO_DETERMINISTIC | (flags), row<wide, tf32>::can, row<wide, tf32>::workspace,                       \
            row<wide, tf32>::open, close_plan, prepare, row<wide, tf32>::run, row<wide, tf32>::suits                   \
    }

extern "C" {
const rn_conv_algo rn_cuda_implicit_gemm = ROW("cuda:implicit-gemm", 0, true, false);
const rn_conv_algo rn_cuda_implicit_gemm_64 = ROW("cuda:implicit-gemm-64", 0, false, false);
const rn_conv_algo rn_cuda_implicit_gemm_tf32 = ROW("cuda:implicit-gemm-tf32", RN_ALGO_LOWPREC, true, true);
}
