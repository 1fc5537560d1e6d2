/* SPDX-License-Identifier: MIT */
/* cuda:implicit-gemm-sm90, the host's side: which cases, and the tensor maps that the kernels are given. They name tensors by their addresses, so
 * that they are made for each run; a captured launch keeps its own. */
extern "C" {
#include "base/rn_error.h"
#include "op/rn_backend.h"
}
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/cuda_conv.h"
#include "kernels/cuda/cuda_conv_gemm_run.h"
#include "kernels/cuda/cuda_conv_product.h"
#include "kernels/cuda/cuda_conv_sm90_args.h"
#include "kernels/cuda/cuda_tensor_map.h"

/* Bytes of a tensor, and pixels, that maps and coordinates hold. */
#define BYTES_MOST  ((int64_t)1 << 40)
#define PIXELS_MOST 0x7fffff00

static const rn_conv_sm90_kernels *kernels_of(rn_dtype type, int n)
{
    if (type == RN_BF16)
        return n == 64 ? &rn_conv_sm90_bf16_64 : n == 128 ? &rn_conv_sm90_bf16_128 : &rn_conv_sm90_bf16_256;
    return n == 64 ? &rn_conv_sm90_f16_64 : n == 128 ? &rn_conv_sm90_f16_128 : &rn_conv_sm90_f16_256;
}

/* The fused work that there is in a direction. */
static unsigned fuse_of(rn_conv_dir dir)
{
    return dir == RN_FWD     ? RN_PRO_BN | RN_PRO_RELU | RN_PRO_ADD | RN_EPI_STATS
           : dir == RN_BWD_D ? RN_PRO_DBN | RN_EPI_DBN
                             : RN_PRO_BN | RN_PRO_RELU | RN_PRO_DBN;
}

/* bwd_w with src through a prologue, which wants the product turned. */
static bool turned(const rn_conv_desc *d, rn_conv_dir dir)
{
    return dir == RN_BWD_W && (d->fuse & RN_PRO_BN);
}

static rn_conv_product product_of(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, int n)
{
    if (turned(d, dir))
        return rn_conv_product_of(be, d, dir, rn_conv_tile_size{n, RN_SM90_M, RN_SM90_K});
    return rn_conv_product_of(be, d, dir, rn_conv_tile_size{RN_SM90_M, n, RN_SM90_K});
}

/* Where a phase's pixels read at offset 0: of taps that go back, the last one. */
static void sides_of(const rn_conv_desc *d, bool back, const rn_conv_phase *p, rn_map_side *y, rn_map_side *x)
{
    *y = {back ? d->oh : d->ih, back ? p->y0 - (p->taps_y - 1) : p->y0, p->step_y, p->rows};
    *x = {back ? d->ow : d->iw, back ? p->x0 - (p->taps_x - 1) : p->x0, p->step_x, p->columns};
}

static int phases_of(const rn_conv_desc *d, bool back)
{
    const int64_t n = (int64_t)rn_conv_phases_y(d, back) * rn_conv_phases_x(d, back);

    return n <= RN_SM90_PHASES ? (int)n : 0;
}

/* What tensor maps cannot hold of it; NULL: they hold all. */
static const char *map_refusal(const rn_conv_desc *d, rn_conv_dir dir)
{
    const bool back = dir == RN_BWD_D;
    const int phases = phases_of(d, back);

    if ((back ? d->oc : d->ic) % 8 || (dir == RN_BWD_W && d->oc % 8))
        return "channels that are no multiple of 8";
    if (dir == RN_BWD_W && d->ic % RN_MAP_VALUES)
        return "input channels that are no multiple of 64";
    if ((int64_t)d->mb * d->ih * d->iw * d->ic * 2 >= BYTES_MOST ||
        (int64_t)d->mb * d->oh * d->ow * d->oc * 2 >= BYTES_MOST || (int64_t)d->mb * d->oh * d->ow > PIXELS_MOST)
        return "a tensor beyond what tensor maps hold";
    if (!phases)
        return "a stride of more than 9 phases";
    for (int i = 0; i < phases; i++) {
        const rn_conv_phase p = rn_conv_phase_of(d, back, i);
        rn_map_side y, x;
        sides_of(d, back, &p, &y, &x);
        if (p.taps_y && p.taps_x && !(rn_map_side_fits(&y, p.taps_y) && rn_map_side_fits(&x, p.taps_x)))
            return "a stride above 8, or padding or taps beyond what tensor maps hold";
    }
    return NULL;
}

static bool supports(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, const char **why, int n)
{
    *why = "bf16 and f16 only";
    if (d->dtype != RN_BF16 && d->dtype != RN_F16)
        return false;
    *why = "needs compute capability 9.0";
    if (rn_cuda_capability(be) != 90)
        return false;
    *why = "this build has no code for sm_90a (CUDA_ARCH), or this driver no tensor maps";
    if (!kernels_of(d->dtype, n)->built() || !rn_tensor_map_known())
        return false;
    *why = rn_conv_fuse_refusal(d, dir, fuse_of(dir));
    if (*why)
        return false;
    *why = "src and dst through a prologue at once";
    if (turned(d, dir) && (d->fuse & RN_PRO_DBN))
        return false;
    *why = "a prologue of more than 1,664 channels";
    if ((d->fuse & (RN_PRO_BN | RN_PRO_DBN)) && dir != RN_BWD_W &&
        (dir == RN_FWD ? d->ic : d->oc) > RN_SM90_READ_CHANNELS)
        return false;
    *why = map_refusal(d, dir);
    if (*why)
        return false;
    const rn_conv_product p = product_of(be, d, dir, n);
    *why = "more blocks than a grid has";
    return rn_conv_product_fits(&p, d);
}

/* ---- runs ---------------------------------------------------------------------------------------------------------------- */

static int aligned(const char *what, const void *p)
{
    return rn_conv_aligned(p)
               ? RN_OK
               : rn_fail(RN_E_UNSUPPORTED, "cuda:implicit-gemm-sm90: %s does not begin at 16 bytes", what);
}

static int run_gemm(rn_conv_plan *plan, const rn_conv_product *p, int n, const rn_conv_args *a, int beta,
                    void *workspace, void *stream)
{
    const rn_conv_desc *d = &plan->desc;
    const bool back = plan->dir == RN_BWD_D;
    const void *in = back ? a->dst : a->src, *wei = back ? rn_conv_turned(plan) : a->wei;
    const int channels = back ? d->oc : d->ic, box[] = {RN_MAP_VALUES, 1, n};
    const int64_t dims[] = {channels, (int64_t)d->kh * d->kw, p->columns};
    rn_conv_sm90_args g = {};

    g.read = back ? rn_conv_read_dst(d, a) : rn_conv_read_src(d, a);
    RN_TRY(aligned(back ? "dst" : "src", in));
    RN_TRY(aligned(back ? "x" : "residual", g.read.other));
    RN_TRY(aligned("wei", wei));
    RN_TRY(rn_tensor_map_tile(&g.wei, d->dtype, wei, 3, dims, box));
    for (int i = 0; i < phases_of(d, back); i++) {
        const rn_conv_phase phase = rn_conv_phase_of(d, back, i);
        rn_map_side y, x;
        sides_of(d, back, &phase, &y, &x);
        if (phase.taps_y && phase.taps_x)
            RN_TRY(rn_tensor_map_pixels(&g.in[i], d->dtype, in, d->mb, &y, &x, channels, RN_SM90_M));
        if (phase.taps_y && phase.taps_x && g.read.other)
            RN_TRY(rn_tensor_map_pixels(&g.other[i], d->dtype, g.read.other, d->mb, &y, &x, channels, RN_SM90_M));
    }
    g.d = *d;
    g.back = back;
    g.write = rn_conv_write_of(d, a, p, back ? a->src : a->dst, rn_dtype_size(d->dtype), beta, workspace);
    g.tiles_m = (int)p->tiles_m;
    g.tiles_n = (int)p->tiles_n;
    g.stages = (channels + RN_SM90_K - 1) / RN_SM90_K;
    const rn_conv_sm90_kernels *k = kernels_of(d->dtype, n);
    RN_TRY((g.read.other ? k->gemm_other : k->gemm)(&g, (unsigned)(p->blocks_m * p->tiles_n), stream));
    if (!g.write.epilogue)
        return RN_OK;
    return rn_conv_add_sums(a->sum, a->sumsq, (const double *)workspace, p->columns, (int)p->blocks_m, stream);
}

static int run_weights(rn_conv_plan *plan, const rn_conv_product *p, int n, const rn_conv_args *a, int beta,
                       void *workspace, void *stream)
{
    const rn_conv_desc *d = &plan->desc;
    const rn_conv_phase phase = rn_conv_phase_of(d, false, 0);
    const int box[] = {RN_MAP_VALUES, RN_SM90_K};
    const bool parts = p->splits > 1;
    rn_conv_sm90_weights_args g = {};
    rn_map_side y, x;

    g.pixels = (int64_t)d->mb * d->oh * d->ow;
    const int64_t dims[] = {d->oc, g.pixels};
    RN_TRY(aligned("src", a->src));
    RN_TRY(aligned("dst", a->dst));
    sides_of(d, false, &phase, &y, &x);
    RN_TRY(rn_tensor_map_tile(&g.dst, d->dtype, a->dst, 2, dims, box));
    RN_TRY(rn_tensor_map_pixels(&g.src, d->dtype, a->src, d->mb, &y, &x, d->ic, RN_SM90_K));
    g.d = *d;
    g.write = rn_conv_write_of(d, a, p, parts ? workspace : a->wei, sizeof(float), parts ? 0 : beta, NULL);
    g.tiles_m = (int)p->tiles_m;
    g.tiles_n = (int)p->tiles_n;
    g.splits = p->splits;
    g.read = turned(d, RN_BWD_W) ? rn_conv_read_src(d, a) : rn_conv_read_dst(d, a);
    RN_TRY(aligned("x", g.read.other));
    if (g.read.other)
        RN_TRY(rn_tensor_map_tile(&g.other, d->dtype, g.read.other, 2, dims, box));
    g.on_x = RN_SM90_K % d->ow;
    g.on_y = RN_SM90_K / d->ow % d->oh;
    const rn_conv_sm90_kernels *k = kernels_of(d->dtype, n);
    RN_TRY((g.read.other ? k->weights_other : k->weights)(&g, (unsigned)(p->blocks_m * p->tiles_n), stream));
    if (!parts)
        return RN_OK;
    return rn_conv_add_parts((float *)a->wei, (const float *)workspace, (int64_t)d->oc * p->columns, p->splits, beta,
                             stream);
}

/* ---- rows --------------------------------------------------------------------------------------------------------------- */

/* One row's functions; n: its tile's columns. */
template <int n> struct row {
    static bool can(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, const char **why)
    {
        return supports(be, d, dir, why, n);
    }
    static size_t workspace(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir)
    {
        return product_of(be, d, dir, n).workspace;
    }
    static int open(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, void **priv)
    {
        RN_TRY(rn_conv_turned_open(be, d, dir, priv));
        return kernels_of(d->dtype, n)->open();
    }
    static int run(rn_conv_plan *plan, const rn_conv_args *a, int beta, void *workspace, void *stream)
    {
        const rn_conv_product p = product_of(plan->be, &plan->desc, plan->dir, n);

        return (plan->dir == RN_BWD_W ? run_weights : run_gemm)(plan, &p, n, a, beta, workspace, stream);
    }
    /* Not where half of a tile's columns, or some of a stage's channels, would be empty. */
    static bool suits(struct rn_backend *, const rn_conv_desc *d, rn_conv_dir dir)
    {
        const int columns = dir == RN_FWD || turned(d, dir) ? d->oc : dir == RN_BWD_D ? d->ic : d->kh * d->kw * d->ic;

        return (dir == RN_BWD_D ? d->oc : d->ic) % RN_SM90_K == 0 &&
               (n == 64 || columns % n == 0 || columns % n > n / 2);
    }
};

#define ROW(name, n)                                                                                                   \
    {                                                                                                                  \
        name, RN_ALGO_DETERMINISTIC, row<n>::can, row<n>::workspace, row<n>::open, rn_conv_turned_close,               \
            rn_conv_turned_prepare, row<n>::run, row<n>::suits                                                         \
    }

extern "C" {
const rn_conv_algo rn_cuda_implicit_gemm_sm90 = ROW("cuda:implicit-gemm-sm90", 128);
const rn_conv_algo rn_cuda_implicit_gemm_sm90_64 = ROW("cuda:implicit-gemm-sm90-64", 64);
const rn_conv_algo rn_cuda_implicit_gemm_sm90_256 = ROW("cuda:implicit-gemm-sm90-256", 256);
}
