/* SPDX-License-Identifier: MIT */
/* cpu:direct and cpu:direct-pairs: which cases, and plans. See cpu_direct.h for the idea. */
#include "kernels/cpu/cpu_direct.h"

#include <stdlib.h>

#include "base/rn_error.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/cpu_direct_plan.h"

static const rn_direct_isa *widening(const rn_backend *be, rn_dtype dtype)
{
    static const rn_direct_isa *const tables[][3] = {
        [RN_ISA_PORTABLE] = {&rn_direct_portable_f32, &rn_direct_portable_bf16, &rn_direct_portable_f16},
#if defined(__x86_64__)
        [RN_ISA_AVX2] = {&rn_direct_avx2_f32, &rn_direct_avx2_bf16, &rn_direct_avx2_f16},
        [RN_ISA_AVX512] = {&rn_direct_avx512_f32, &rn_direct_avx512_bf16, &rn_direct_avx512_f16},
#endif
    };
    const rn_isa isa = rn_cpu_backend_isa(be);
    return tables[isa > RN_ISA_AVX512 ? RN_ISA_AVX512 : isa][dtype];
}

static const rn_direct_isa *pairing(void)
{
#if defined(__x86_64__)
    return &rn_direct_avx512_pairs;
#else
    return NULL;
#endif
}

static bool supports(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, const char **why)
{
    (void)be;
    if (dir == RN_BWD_W)
        *why = "fwd and bwd_d only";
    else if (d->dtype != RN_F32 && d->dtype != RN_BF16 && d->dtype != RN_F16)
        *why = "f32, bf16 and f16 only";
    else
        return !(*why = rn_conv_fuse_refusal(d, dir, ~0u));
    return false;
}

static bool supports_pairs(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, const char **why)
{
    if (d->dtype != RN_BF16)
        *why = "bf16 only";
    else if (rn_cpu_backend_isa(be) < RN_ISA_AVX512_BF16)
        *why = "needs AVX512_BF16";
    else
        return supports(be, d, dir, why);
    return false;
}

/* Of one tap, only without padding (cpu_direct_point.c): otherwise cpu:im2col's panels are no copies too many. */
static bool is_better(const rn_conv_desc *d)
{
    return d->kh > 1 || d->kw > 1 || (!d->ph && !d->pw);
}

static bool widening_suits(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir)
{
    (void)dir;
    return is_better(d) && !(d->dtype == RN_BF16 && rn_cpu_backend_pairs(be));
}

static bool pairs_suit(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir)
{
    (void)dir;
    return rn_cpu_backend_pairs(be) && is_better(d);
}

static void close_plan(struct rn_backend *be, void *priv)
{
    rn_direct_plan *p = priv;

    (void)be;
    if (p) {
        rn_conv_fused_close(p->w.fused);
        rn_conv_close_phases(&p->w);
    }
    free(p);
}

/* All but the room for weights. */
static int open_cut(struct rn_backend *be, const rn_direct_isa *isa, const rn_conv_desc *d, rn_conv_dir dir,
                    rn_direct_plan *p)
{
    rn_conv_desc flat;

    *p = (rn_direct_plan){.w = {.isa = isa->pack, .half = rn_half_kern_of(rn_cpu_backend_isa(be))}, .isa = isa};
    rn_direct_flatten(d, dir, &flat, &p->lattice);
    RN_TRY(rn_conv_open_phases(&p->w, &flat, dir));
    p->cut = rn_direct_cut_of(isa, &p->w, &flat, &p->lattice, be->threads);
    return 0;
}

static int open_with(struct rn_backend *be, const rn_direct_isa *isa, const rn_conv_desc *d, rn_conv_dir dir,
                     void **priv)
{
    rn_direct_plan *p = calloc(1, sizeof *p);
    int rc = 0;

    *priv = NULL;
    if (!p)
        return rn_fail(RN_E_NOMEM, "cpu:direct: out of memory");
    RN_GO(open_cut(be, isa, d, dir, p));
    RN_GO(rn_conv_fused_open(d, dir, (size_t)rn_direct_blocks(&p->cut), &p->w));
    RN_GO(rn_conv_open_weights(&p->w));
out:
    if (rc < 0)
        close_plan(be, p);
    else
        *priv = p;
    return rc;
}

static size_t workspace_with(struct rn_backend *be, const rn_direct_isa *isa, const rn_conv_desc *d, rn_conv_dir dir)
{
    rn_direct_plan p;
    const size_t bytes = open_cut(be, isa, d, dir, &p) < 0 ? 0 : rn_direct_workspace(&p.cut, be->threads);

    rn_conv_close_phases(&p.w);
    return bytes;
}

static int open_widening(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, void **priv)
{
    return open_with(be, widening(be, d->dtype), d, dir, priv);
}

static int open_pairing(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, void **priv)
{
    return open_with(be, pairing(), d, dir, priv);
}

static size_t workspace_widening(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir)
{
    return workspace_with(be, widening(be, d->dtype), d, dir);
}

static size_t workspace_pairing(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir)
{
    return workspace_with(be, pairing(), d, dir);
}

static int prepare(rn_conv_plan *plan, const void *wei, void *stream)
{
    (void)stream;
    rn_conv_pack_weights(plan, wei);
    return 0;
}

static int run(rn_conv_plan *plan, const rn_conv_args *a, int beta, void *ws, void *stream)
{
    (void)stream;
    rn_conv_fused_begin(plan, a);
    rn_direct_run(plan, a, beta, ws);
    rn_conv_fused_end(plan, a);
    return 0;
}

const rn_conv_algo rn_cpu_direct = {
    .name = "cpu:direct",
    .flags = RN_ALGO_DETERMINISTIC,
    .supports = supports,
    .workspace = workspace_widening,
    .open = open_widening,
    .close = close_plan,
    .prepare = prepare,
    .run = run,
    .suits = widening_suits,
};

const rn_conv_algo rn_cpu_direct_pairs = {
    .name = "cpu:direct-pairs",
    .flags = RN_ALGO_DETERMINISTIC,
    .supports = supports_pairs,
    .workspace = workspace_pairing,
    .open = open_pairing,
    .close = close_plan,
    .prepare = prepare,
    .run = run,
    .suits = pairs_suit,
};
