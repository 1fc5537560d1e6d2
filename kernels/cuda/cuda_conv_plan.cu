/* SPDX-License-Identifier: MIT */
/* cuda:implicit-gemm, the host's side: which cases, in how many parts, and what the kernels are told. */
extern "C" {
#include "base/rn_error.h"
}
#include "kernels/cuda/cuda_conv.h"
#include "kernels/cuda/cuda_conv_gemm_run.h"
#include "kernels/cuda/cuda_conv_product.h"

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

static rn_conv_product product_of(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir,
                                  const rn_conv_kernels *k)
{
    return rn_conv_product_of(be, d, dir, rn_conv_tile_size{k->m, k->n, k->k});
}

static bool supports(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, const char **why,
                     const rn_conv_kernels *k)
{
    const char *fuse = rn_conv_fuse_refusal(d, dir, ~0u);
    const rn_conv_product p = product_of(be, d, dir, k);

    *why = fuse ? fuse : "more blocks than a grid has";
    return !fuse && rn_conv_product_fits(&p, d);
}

/* ---- what the kernels are told ------------------------------------------------------------------------------------------ */

static bool wide_read(const rn_conv_read *r)
{
    return rn_conv_aligned(r->mul) && rn_conv_aligned(r->add) && rn_conv_aligned(r->by) && rn_conv_aligned(r->other);
}

static int run_gemm(rn_conv_plan *plan, const rn_conv_product *p, const rn_conv_kernels *k, const rn_conv_args *a,
                    int beta, void *workspace, void *stream)
{
    const rn_conv_desc *d = &plan->desc;
    const bool back = plan->dir == RN_BWD_D;
    const size_t size = rn_dtype_size(d->dtype);
    rn_conv_gemm_args g = {};

    g.d = *d;
    g.back = back;
    g.in = back ? a->dst : a->src;
    g.wei = back ? rn_conv_turned(plan) : a->wei;
    g.read = back ? rn_conv_read_dst(d, a) : rn_conv_read_src(d, a);
    g.write = rn_conv_write_of(d, a, p, back ? a->src : a->dst, size, beta, workspace);
    g.wide = rn_conv_wide(g.in, back ? d->oc : d->ic, size) && rn_conv_aligned(g.wei) && wide_read(&g.read);
    g.tiles_m = (int)p->tiles_m;
    g.tiles_n = (int)p->tiles_n;
    RN_TRY(k->gemm(&g, g.wide && !g.read.mul, (unsigned)(p->blocks_m * p->tiles_n), stream));
    if (!g.write.epilogue)
        return RN_OK;
    return rn_conv_add_sums(a->sum, a->sumsq, (const double *)workspace, p->columns, (int)p->blocks_m, stream);
}

static int run_weights(rn_conv_plan *plan, const rn_conv_product *p, const rn_conv_kernels *k, const rn_conv_args *a,
                       int beta, void *workspace, void *stream)
{
    const rn_conv_desc *d = &plan->desc;
    const size_t size = rn_dtype_size(d->dtype);
    rn_conv_weights_args g = {};

    g.d = *d;
    g.src = a->src;
    g.dst = a->dst;
    g.read_src = rn_conv_read_src(d, a);
    g.read_dst = rn_conv_read_dst(d, a);
    g.write =
        rn_conv_write_of(d, a, p, p->splits > 1 ? workspace : a->wei, sizeof(float), p->splits > 1 ? 0 : beta, NULL);
    g.wide_src = rn_conv_wide(g.src, d->ic, size) && wide_read(&g.read_src);
    g.wide_dst = rn_conv_wide(g.dst, d->oc, size) && wide_read(&g.read_dst);
    g.tiles_m = (int)p->tiles_m;
    g.tiles_n = (int)p->tiles_n;
    g.splits = p->splits;
    g.pixels = (int64_t)d->mb * d->oh * d->ow;
    g.on_x = k->k % d->ow;
    g.on_y = k->k / d->ow % d->oh;
    g.on_images = k->k / d->ow / d->oh;
    const bool async = g.wide_src && g.wide_dst && !g.read_src.mul && !g.read_dst.mul;
    RN_TRY(k->weights(&g, async, (unsigned)(p->blocks_m * p->tiles_n), stream));
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
        RN_TRY(rn_conv_turned_open(be, d, dir, priv));
        return kernels_of(d->dtype, wide, tf32)->open();
    }
    static int run(rn_conv_plan *plan, const rn_conv_args *a, int beta, void *workspace, void *stream)
    {
        const rn_conv_kernels *k = kernels_of(plan->desc.dtype, wide, tf32);
        const rn_conv_product p = product_of(plan->be, &plan->desc, plan->dir, k);

        return (plan->dir == RN_BWD_W ? run_weights : run_gemm)(plan, &p, k, a, beta, workspace, stream);
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
            row<wide, tf32>::open, rn_conv_turned_close, rn_conv_turned_prepare, row<wide, tf32>::run,                 \
            row<wide, tf32>::suits                                                                                     \
    }

extern "C" {
const rn_conv_algo rn_cuda_implicit_gemm = ROW("cuda:implicit-gemm", 0, true, false);
const rn_conv_algo rn_cuda_implicit_gemm_64 = ROW("cuda:implicit-gemm-64", 0, false, false);
const rn_conv_algo rn_cuda_implicit_gemm_tf32 = ROW("cuda:implicit-gemm-tf32", RN_ALGO_LOWPREC, true, true);
}
