/* SPDX-License-Identifier: MIT */
/* cpu:im2col: plans and packed weights. See cpu_conv.h for the idea. */
#include "kernels/cpu/cpu_conv_plan.h"

#include <stdlib.h>

#include "base/rn_error.h"
#include "kernels/cpu/cpu_backend.h"

/* Part of the taps in the padding from which leaving them out pays: 3x3 on 16x16 pixels; bwd_w: on 7x7. */
#define PADDING_WORTH   0.06
#define PADDING_WORTH_W 0.17
/* Cells of packed weights that the L2 cache holds beside everything else. */
#define SMALL_WEIGHTS   131072
/* bwd_w: images, and pixels of a grid row, between which a block of a row is a good sum to reduce. */
#define MOST_IMAGES     256
#define LEAST_BLOCK     64

const rn_conv_isa *rn_conv_isa_of(const rn_backend *be, rn_dtype dtype)
{
    static const rn_conv_isa *const tables[][3] = {
        [RN_ISA_PORTABLE] = {&rn_conv_isa_portable_f32, &rn_conv_isa_portable_bf16, &rn_conv_isa_portable_f16},
#if defined(__x86_64__)
        [RN_ISA_AVX2] = {&rn_conv_isa_avx2_f32, &rn_conv_isa_avx2_bf16, &rn_conv_isa_avx2_f16},
        [RN_ISA_AVX512] = {&rn_conv_isa_avx512_f32, &rn_conv_isa_avx512_bf16, &rn_conv_isa_avx512_f16},
#endif
    };
    const rn_isa isa = rn_cpu_backend_isa(be);
#if defined(__x86_64__)
    if (dtype == RN_BF16 && rn_cpu_backend_pairs(be))
        return &rn_conv_isa_avx512_pairs;
#endif
    return tables[isa > RN_ISA_AVX512 ? RN_ISA_AVX512 : isa][dtype];
}

static bool supports(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, const char **why)
{
    (void)be;
    if (d->dtype != RN_F32 && d->dtype != RN_BF16 && d->dtype != RN_F16) {
        *why = "f32, bf16 and f16 only";
        return false;
    }
    const char *fuse = rn_conv_fuse_refusal(d, dir, ~0u);
    if (fuse)
        *why = fuse;
    return !fuse;
}

/* What is read through a prologue is read once a tap, and changed as often. In f32 that costs less than a pass over the
 * tensor; 16 bits are gathered twice as fast, multiplied twice as fast, and widened and rounded besides: not with 9 taps. */
static bool suits(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir)
{
    const bool reads = d->fuse & (RN_PRO_BN | RN_PRO_DBN);

    (void)be;
    (void)dir;
    return !reads || d->dtype == RN_F32 || d->kh * d->kw == 1;
}

static size_t workspace(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir)
{
    return dir == RN_BWD_W ? rn_conv_gradient_workspace(be, d) : rn_conv_product_workspace(be, d, dir);
}

/* ---- plans --------------------------------------------------------------------------------------------------------- */

/* Taps inside the tensor, summed over the grid, along one axis. */
static double taps_inside(int size, int grid, int k, int step, int origin)
{
    double n = 0;

    for (int i = 0; i < grid; i++) {
        int64_t first = (int64_t)i * step + origin, lo = first < 0 ? 0 : first,
                hi = first + k > size ? size : first + k;
        n += hi > lo ? (double)(hi - lo) : 0;
    }
    return n;
}

/*
 * As a rule pixels are counted as they lie in memory, (n, y, x). With small maps, however, a good part of the taps falls
 * into the padding: 31 % of a 3x3 kernel on 4x4 pixels. Where it is worth it, and there are images enough, pixels are
 * counted images first, (y, x, n): the same pixel of several images has the same taps inside the tensor, and those
 * outside are left out.
 */
static bool images_first(const rn_conv_isa *isa, const rn_conv_view *v, int cols, rn_conv_dir dir)
{
    const double all = (double)v->gh * v->kr * v->gw * v->ks;
    const double in = taps_inside(v->h, v->gh, v->kr, v->sy, v->y0) * taps_inside(v->w, v->gw, v->ks, v->sx, v->x0);

    if (!(in <
          (1 - (dir == RN_BWD_W ? PADDING_WORTH_W : PADDING_WORTH)) * all)) /* also when there are no taps at all */
        return false;
    if (dir ==
        RN_BWD_W) /* a block is a grid row's worth of pixels: neither too short a sum nor too long; cells of one x */
        return v->mb % isa->per == 0 && v->mb <= MOST_IMAGES && (int64_t)v->mb * v->gw >= LEAST_BLOCK;
    /* B is read once for the images of one pixel: from the L2 cache if it fits, otherwise often enough to pay. */
    const bool fits = (double)v->kr * v->run * cols <= (double)SMALL_WEIGHTS * isa->per;
    return fits ? 2 * v->mb >= isa->mr : v->mb >= isa->mr;
}

/* Columns of a window row, in whole cells. */
static int whole_cells(const rn_conv_isa *isa, int columns)
{
    return (columns + isa->per - 1) / isa->per * isa->per;
}

static rn_conv_phase fwd_phase(const rn_conv_isa *isa, const rn_conv_desc *d, rn_conv_dir dir)
{
    rn_conv_phase f = {
        .view = {.h = d->ih,
                 .w = d->iw,
                 .c = d->ic,
                 .kr = d->kh,
                 .ks = d->kw,
                 .sy = d->sh,
                 .sx = d->sw,
                 .y0 = -d->ph,
                 .x0 = -d->pw,
                 /* in bwd_w they are the columns of the weights' gradient */
                 .run = dir == RN_BWD_W ? d->kw * d->ic : whole_cells(isa, d->kw * d->ic),
                 .gh = d->oh,
                 .gw = d->ow,
                 .mb = d->mb},
        .pixels = (size_t)d->mb * d->oh * d->ow,
    };

    f.k = d->kh * f.view.run;
    f.view.image_minor = images_first(isa, &f.view, d->oc, dir);
    return f;
}

rn_conv_phase rn_conv_fwd_phase(const rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir)
{
    return fwd_phase(rn_conv_isa_of(be, d->dtype), d, dir);
}

static int open_fwd(rn_im2col_plan *p, const rn_conv_desc *d, rn_conv_dir dir)
{
    if (!(p->phases = calloc(1, sizeof *p->phases)))
        return rn_fail(RN_E_NOMEM, "convolution on the CPU: out of memory");
    p->phases[0] = fwd_phase(p->isa, d, dir);
    p->nphases = 1;
    p->cols = d->oc;
    p->out_h = d->oh;
    p->out_w = d->ow;
    p->step_y = p->step_x = 1;
    return 0;
}

/* Taps r = r0, r0 + stride, ... < k reach source coordinate `first + stride * j`; the first of them, last in the
 * window, at dst coordinate j + base. */
static void phase_axis(int first, int stride, int pad, int k, int *r0, int *taps, int *origin)
{
    *r0 = (first + pad) % stride;
    *taps = *r0 < k ? rn_ceil_div(k - *r0, stride) : 0;
    *origin = (first + pad - *r0) / stride - (*taps - 1);
}

/* Cells of a phase's packed weights. */
static size_t panels_cells(const rn_im2col_plan *p, const rn_conv_phase *f)
{
    return (size_t)(f->k / p->isa->per) * rn_ceil_div(p->cols, p->isa->nr) * p->isa->nr;
}

static int open_bwd_d(rn_im2col_plan *p, const rn_conv_desc *d)
{
    size_t offset = 0;

    if (!(p->phases = calloc((size_t)rn_imin(d->sh, d->ih) * rn_imin(d->sw, d->iw), sizeof *p->phases)))
        return rn_fail(RN_E_NOMEM, "convolution on the CPU: out of memory");
    p->cols = d->ic;
    p->out_h = d->ih;
    p->out_w = d->iw;
    p->step_y = d->sh;
    p->step_x = d->sw;
    for (int fy = 0; fy < rn_imin(d->sh, d->ih); fy++) {
        for (int fx = 0; fx < rn_imin(d->sw, d->iw); fx++) {
            rn_conv_phase *f = &p->phases[p->nphases++];
            *f = (rn_conv_phase){
                .view = {.h = d->oh, .w = d->ow, .c = d->oc, .sy = 1, .sx = 1, .mb = d->mb}, .sub_y = fy, .sub_x = fx};
            phase_axis(fy, d->sh, d->ph, d->kh, &f->r0, &f->view.kr, &f->view.y0);
            phase_axis(fx, d->sw, d->pw, d->kw, &f->s0, &f->view.ks, &f->view.x0);
            f->view.gh = rn_ceil_div(d->ih - fy, d->sh);
            f->view.gw = rn_ceil_div(d->iw - fx, d->sw);
            f->view.run = whole_cells(p->isa, f->view.ks * d->oc);
            f->view.image_minor = images_first(p->isa, &f->view, d->ic, RN_BWD_D);
            f->k = f->view.kr * f->view.run;
            f->pixels = (size_t)d->mb * f->view.gh * f->view.gw;
            f->b_offset = offset;
            offset += panels_cells(p, f);
        }
    }
    return 0;
}

int rn_conv_open_phases(rn_im2col_plan *p, const rn_conv_desc *d, rn_conv_dir dir)
{
    return dir == RN_BWD_D ? open_bwd_d(p, d) : open_fwd(p, d, dir);
}

int rn_conv_open_weights(rn_im2col_plan *p)
{
    const rn_conv_phase *last = &p->phases[p->nphases - 1];
    const size_t bytes = (last->b_offset + panels_cells(p, last)) * sizeof(float);

    p->b = aligned_alloc(64, (bytes + 63 + 64) & ~(size_t)63);
    return p->b ? 0 : rn_fail(RN_E_NOMEM, "convolution on the CPU: %zu bytes of packed weights: out of memory", bytes);
}

void rn_conv_close_phases(rn_im2col_plan *p)
{
    free(p->phases);
    free(p->b);
}

static void close_plan(struct rn_backend *be, void *priv)
{
    rn_im2col_plan *p = priv;

    (void)be;
    if (!p)
        return;
    rn_conv_fused_close(p->fused);
    rn_conv_close_phases(p);
    free(p);
}

static int open_plan(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, void **priv)
{
    rn_im2col_plan *p = calloc(1, sizeof *p);
    int rc = 0;

    *priv = NULL;
    if (!p)
        return rn_fail(RN_E_NOMEM, "convolution on the CPU: out of memory");
    p->isa = rn_conv_isa_of(be, d->dtype);
    p->half = rn_half_kern_of(rn_cpu_backend_isa(be));
    RN_GO(rn_conv_open_phases(p, d, dir));
    RN_GO(rn_conv_fused_open(d, dir, dir == RN_BWD_W ? 0 : rn_conv_product_chunks(p, be->threads), p));
    if (dir == RN_BWD_W)
        rn_conv_split_gradient(be, d, &p->col_groups, &p->pix_groups);
    else
        rc = rn_conv_open_weights(p);
out:
    if (rc < 0)
        close_plan(be, p);
    else
        *priv = p;
    return rc;
}

/* ---- running -------------------------------------------------------------------------------------------------------- */

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
    if (plan->dir == RN_BWD_W)
        rn_conv_run_gradient(plan, a, beta, ws);
    else
        rn_conv_run_product(plan, a, beta, ws);
    rn_conv_fused_end(plan, a);
    return 0;
}

const rn_conv_algo rn_cpu_im2col = {
    .name = "cpu:im2col",
    .flags = RN_ALGO_DETERMINISTIC,
    .supports = supports,
    .workspace = workspace,
    .open = open_plan,
    .close = close_plan,
    .prepare = prepare,
    .run = run,
    .suits = suits,
};
