/* SPDX-License-Identifier: MIT */
/* cpu:winograd: what it supports, its plans, and where it is worth it. See cpu_wino.h for the idea. */
#include <stdlib.h>

#include "base/rn_error.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/cpu_wino_plan.h"

/* Transformed weights of a case may take so much memory and no more. */
#define MOST_WEIGHTS ((size_t)256 << 20)
/* Rows of a panel of weights that one task transforms: an even number. */
#define PACK_ROWS    64

static const rn_wino_isa *isa_of(const rn_backend *be, int out)
{
    static const rn_wino_isa *const tables[][2] = {
        [RN_ISA_PORTABLE] = {&rn_wino_portable_2, &rn_wino_portable_4},
#if defined(__x86_64__)
        [RN_ISA_AVX2] = {&rn_wino_avx2_2, &rn_wino_avx2_4},
        [RN_ISA_AVX512] = {&rn_wino_avx512_2, &rn_wino_avx512_4},
        [RN_ISA_AVX512_BF16] = {&rn_wino_avx512_2, &rn_wino_avx512_4},
        [RN_ISA_AMX] = {&rn_wino_avx512_2, &rn_wino_avx512_4},
#endif
    };
    return tables[rn_cpu_backend_isa(be)][out == 4];
}

static const rn_wino_pairs *pairs_table(void)
{
#if defined(__x86_64__)
    return &rn_wino_avx512_pairs;
#else
    return NULL;
#endif
}

static bool supports(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, int out, bool pairs,
                     const char **why)
{
    const size_t side = (size_t)out + 2;

    if (pairs && d->dtype != RN_BF16) {
        *why = "bf16 only";
        return false;
    }
    if (pairs && rn_cpu_backend_isa(be) < RN_ISA_AVX512_BF16) {
        *why = "needs AVX512_BF16";
        return false;
    }
    if (d->dtype != RN_F32 && d->dtype != RN_BF16) {
        *why = "f32 and bf16 only";
        return false;
    }
    if (d->kh != 3 || d->kw != 3 || d->sh != 1 || d->sw != 1) {
        *why = "3x3 kernels of stride 1 only";
        return false;
    }
    if ((*why = rn_conv_fuse_refusal(d, dir, ~0u)))
        return false;
    if (side * side * (size_t)d->ic * (size_t)d->oc * sizeof(float) > MOST_WEIGHTS) {
        *why = "the transformed weights would take more than 256 MB";
        return false;
    }
    return true;
}

/* ---- plans --------------------------------------------------------------------------------------------------------- */

static rn_wino_grid grid_of(int mb, int h, int w, int c, int step, int y0, int x0)
{
    return (rn_wino_grid){.mb = mb, .h = h, .w = w, .c = c, .step = step, .y0 = y0, .x0 = x0};
}

/* What depends on the case alone: enough for the workspace. */
static rn_wino_plan plan_of(const rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, int out, bool pairs)
{
    rn_wino_plan p = {.isa = isa_of(be, out), .pairs = pairs ? pairs_table() : NULL};

    p.io = &p.isa->io[d->dtype];
    if (dir == RN_BWD_D) {
        p.in = grid_of(d->mb, d->oh, d->ow, d->oc, out, d->ph - 2, d->pw - 2);
        p.out = grid_of(d->mb, d->ih, d->iw, d->ic, out, 0, 0);
    } else {
        p.in = grid_of(d->mb, d->ih, d->iw, d->ic, out, -d->ph, -d->pw);
        p.out = grid_of(d->mb, d->oh, d->ow, d->oc, out, 0, 0);
    }
    p.in.th = p.out.th = (p.out.h + out - 1) / out;
    p.in.tw = p.out.tw = (p.out.w + out - 1) / out;
    p.tiles = (size_t)d->mb * (size_t)p.out.th * (size_t)p.out.tw;
    if (dir == RN_BWD_W)
        rn_wino_split_gradient(&p, be, d);
    else
        rn_wino_split_product(&p, be);
    return p;
}

static size_t workspace(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, int out, bool pairs)
{
    const rn_wino_plan p = plan_of(be, d, dir, out, pairs);

    return dir == RN_BWD_W ? rn_wino_gradient_workspace(&p, be) : rn_wino_product_workspace(&p, be);
}

static void close_plan(struct rn_backend *be, void *priv)
{
    rn_wino_plan *p = priv;

    if (!p)
        return;
    be->free(be, p->u);
    free(p->vectors);
    free(p->partial);
    free(p);
}

static int open_plan(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, int out, bool pairs, void **priv)
{
    rn_wino_plan *p = calloc(1, sizeof *p);
    int rc = 0;

    *priv = NULL;
    if (!p)
        return rn_fail(RN_E_NOMEM, "cpu:winograd: out of memory");
    *p = plan_of(be, d, dir, out, pairs);
    RN_GO(rn_wino_fused_open(p, d, rn_wino_blocks(p) * rn_wino_panels(p)));
    if (dir != RN_BWD_W) {
        p->u_freq = rn_wino_cells(p, (size_t)p->in.c) * (size_t)p->isa->nr + RN_WINO_LINE;
        const size_t floats = rn_wino_panels(p) * rn_wino_freqs(p) * p->u_freq;
        void *u;
        RN_GO(be->alloc(be, floats * sizeof *p->u, &u)); /* in huge pages where they are large */
        p->u = u;
    }
out:
    if (rc < 0)
        close_plan(be, p);
    else
        *priv = p;
    return rc;
}

static int prepare(rn_conv_plan *plan, const void *wei, void *stream)
{
    const rn_wino_plan *p = plan->priv;
    const size_t nr = (size_t)p->isa->nr, k = (size_t)p->in.c, parts = (k + PACK_ROWS - 1) / PACK_ROWS;

    (void)stream;
#pragma omp parallel for schedule(dynamic) num_threads(plan->be->threads)
    for (size_t i = 0; i < rn_wino_panels(p) * parts; i++) {
        const size_t j = i / parts, k0 = i % parts * PACK_ROWS;
        const rn_wino_pack to = {.to = p->u + j * rn_wino_freqs(p) * p->u_freq,
                                 .freq = p->u_freq,
                                 .past = p->shared,
                                 .cells = p->pairs ? p->pairs->cells : NULL};
        (plan->dir == RN_FWD ? p->io->pack_fwd : p->io->pack_bwd_d)(wei, plan->desc.ic, (int)(j * nr),
                                                                    (int)rn_wino_min((j + 1) * nr, (size_t)p->out.c),
                                                                    (int)k0, (int)rn_wino_min(k0 + PACK_ROWS, k), &to);
    }
    return 0;
}

static int run(rn_conv_plan *plan, const rn_conv_args *a, int beta, void *ws, void *stream)
{
    (void)stream;
    rn_wino_fused_begin(plan, a);
    if (plan->dir == RN_BWD_W)
        rn_wino_run_gradient(plan, a, beta, ws);
    else
        rn_wino_run_product(plan, a, beta, ws);
    return 0;
}

/* ---- when it is worth it --------------------------------------------------------------------------------------------- */

/* Of the pixels of whole tiles, those beyond the map are wasted: on 5x5 pixels 39 of 64. */
#define MOST_WASTE     1.8
/* Narrower than this a transform is read by too few products; in bwd_w, which transforms both tensors, also their product. */
#define LEAST_CHANNELS 8
#define LEAST_PAIRS    512
/* Fewer tiles do not pay for transforming the weights, or their gradient, once a step. In fwd, where weights may stay as they
 * are for many batches, it is no matter: and so an image comes to the same bits in any batch. */
#define LEAST_TILES_D  32
#define LEAST_TILES_W  64

static bool worth_it(const rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir)
{
    const rn_wino_plan p = plan_of(be, d, dir, 4, false);
    const double pixels = (double)p.out.mb * p.out.h * p.out.w;

    return d->ic >= LEAST_CHANNELS && d->oc >= LEAST_CHANNELS && (double)p.tiles * 16 <= MOST_WASTE * pixels &&
           p.tiles >= (dir == RN_BWD_W   ? LEAST_TILES_W
                       : dir == RN_BWD_D ? LEAST_TILES_D
                                         : 0) &&
           (dir != RN_BWD_W || (double)d->ic * d->oc >= LEAST_PAIRS);
}

/* Beside direct sums in pairs, at twice the rate of f32's, narrow transforms are read by too few products; and sums in f32 win
 * as long as the weights are small: 0.66 to 0.83 of the time in fwd and bwd_d, 0.78 to 0.9 in bwd_w, and else about the same, but for
 * the weights' transform. */
#define LEAST_BESIDE_PAIRS   32
#define LEAST_BESIDE_PAIRS_W 64
#define MOST_BESIDE_PAIRS_W  128

static int fewest(const rn_conv_desc *d)
{
    return d->ic < d->oc ? d->ic : d->oc;
}

static bool wide_beside_pairs(const rn_conv_desc *d, rn_conv_dir dir)
{
    return fewest(d) >= (dir == RN_BWD_W ? LEAST_BESIDE_PAIRS_W : LEAST_BESIDE_PAIRS);
}

static bool beats_direct_pairs(const rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir)
{
    return wide_beside_pairs(d, dir) && (dir == RN_BWD_W ? d->ic <= MOST_BESIDE_PAIRS_W && d->oc <= MOST_BESIDE_PAIRS_W
                                                         : !plan_of(be, d, dir, 4, false).shared);
}

/* Measured on every 3x3 layer of ResNets for ImageNet and CIFAR and on layers beside them: where this holds
 * F(4x4) took 0.35 to 0.8 of the time of cpu:im2col, the transform of the weights included. */
static bool suits(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir)
{
    return worth_it(be, d, dir) && (d->dtype != RN_BF16 || !rn_cpu_backend_pairs(be) || beats_direct_pairs(be, d, dir));
}

/* The same layers: 0.4 to 0.6 of the time of cpu:direct-pairs in fwd and bwd_d, 0.55 to 0.9 of that of cpu:strip in bwd_w. */
static bool suits_pairs(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir)
{
    return rn_cpu_backend_pairs(be) && wide_beside_pairs(d, dir) && worth_it(be, d, dir);
}

/* F(2x2) is slower than F(4x4) wherever either is worth it, but loses less: for those who ask for it, or measure. */
static bool suits_nothing(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir)
{
    (void)be;
    (void)d;
    (void)dir;
    return false;
}

/* ---- the rows ------------------------------------------------------------------------------------------------------- */

/* The functions of the row for tiles of `out` x `out` pixels. */
#define ROW(name, out, pairs)                                                                                          \
    static bool supports_##name(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, const char **why)       \
    {                                                                                                                  \
        return supports(be, d, dir, out, pairs, why);                                                                  \
    }                                                                                                                  \
    static size_t workspace_##name(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir)                      \
    {                                                                                                                  \
        return workspace(be, d, dir, out, pairs);                                                                      \
    }                                                                                                                  \
    static int open_##name(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, void **priv)                 \
    {                                                                                                                  \
        return open_plan(be, d, dir, out, pairs, priv);                                                                \
    }
ROW(4, 4, false)
ROW(2, 2, false)
ROW(pairs_4, 4, true)
ROW(pairs_2, 2, true)

const rn_conv_algo rn_cpu_winograd = {
    .name = "cpu:winograd",
    .flags = RN_ALGO_DETERMINISTIC | RN_ALGO_WINOGRAD,
    .supports = supports_4,
    .workspace = workspace_4,
    .open = open_4,
    .close = close_plan,
    .prepare = prepare,
    .run = run,
    .suits = suits,
};

const rn_conv_algo rn_cpu_winograd_2x2 = {
    .name = "cpu:winograd-2x2",
    .flags = RN_ALGO_DETERMINISTIC | RN_ALGO_WINOGRAD,
    .supports = supports_2,
    .workspace = workspace_2,
    .open = open_2,
    .close = close_plan,
    .prepare = prepare,
    .run = run,
    .suits = suits_nothing,
};

const rn_conv_algo rn_cpu_winograd_pairs = {
    .name = "cpu:winograd-pairs",
    .flags = RN_ALGO_DETERMINISTIC | RN_ALGO_WINOGRAD | RN_ALGO_LOWPREC,
    .supports = supports_pairs_4,
    .workspace = workspace_pairs_4,
    .open = open_pairs_4,
    .close = close_plan,
    .prepare = prepare,
    .run = run,
    .suits = suits_pairs,
};

const rn_conv_algo rn_cpu_winograd_2x2_pairs = {
    .name = "cpu:winograd-2x2-pairs",
    .flags = RN_ALGO_DETERMINISTIC | RN_ALGO_WINOGRAD | RN_ALGO_LOWPREC,
    .supports = supports_pairs_2,
    .workspace = workspace_pairs_2,
    .open = open_pairs_2,
    .close = close_plan,
    .prepare = prepare,
    .run = run,
    .suits = suits_nothing,
};
