/* SPDX-License-Identifier: MIT */
/* cpu:strip: the plan and the split over threads. See cpu_strip.h for the idea. */
#include "kernels/cpu/cpu_strip_plan.h"

#include <math.h>
#include <stdlib.h>

#include "base/rn_error.h"
#include "kernels/cpu/cpu_backend.h"

/* Cells of a run below which images are put side by side. */
#define LEAST_RUN 48
#define SLACK     64 /* cells that copying may clobber, and alignment */

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

/* Most cells of a block, given the output channels and the sums that a thread works on. */
static int most_cells(int oc, double sums)
{
    const int all = sums > RN_STRIP_L2 ? RN_STRIP_L2 / 2 : RN_STRIP_L2 / 8;

    return rn_imin(RN_STRIP_MOST, all / oc > RN_STRIP_LEAST ? all / oc : RN_STRIP_LEAST);
}

static double weights(const rn_conv_desc *d)
{
    return (double)d->oc * d->kh * d->kw * d->ic;
}

/* ---- the split ------------------------------------------------------------------------------------------------------ */

/* Rows of the product: tiles of oc, or of the columns of each window row; and its panels of vectors. */
int rn_strip_tiles(const rn_strip *s)
{
    return s->few ? s->d.kh * rn_ceil_div(s->d.kw * s->d.ic, s->isa->mr) : rn_ceil_div(s->d.oc, s->isa->mr);
}

int rn_strip_panels(const rn_strip *s)
{
    return rn_ceil_div(s->few ? s->d.oc : s->d.ic, s->isa->nr);
}

/* Roughly the time of the slowest thread, in vectors multiplied and added. */
static double split_cost(const rn_strip *s, int pix, int m, int n)
{
    const rn_conv_desc *d = &s->d;
    const int half = s->isa->nr / 2;
    const double vl = half, wei = weights(d);
    const double unit = (double)rn_ceil_div(s->group, s->isa->per) * d->ow / s->parts;
    const double cells = unit * ceil((double)s->units / pix);
    const double tiles = rn_strip_tiles(s), panels = rn_strip_panels(s);
    const double share = ceil(tiles / m) / tiles * ceil(panels / n) / panels;
    const double product = cells * share * wei / vl;
    const double copies = cells * 2.5 / vl *
                          ((double)d->oc / (s->few ? n : m) +
                           1.2 * d->ic * rn_imin(d->sw, d->kw) * rn_imin(d->sh, d->kh) / (s->few ? 1.0 : n));
    const int oc = rn_ceil_div(d->oc, s->few ? n : m);
    const double sums = cells / most_cells(oc, wei * share) * (wei * share > RN_STRIP_L2 ? 8 : 4) * share * wei / vl;
    const double reduction = pix > 1 || s->few ? (pix + 1) * wei * 5 / vl / (pix * m * n) : 0;

    return product + copies + sums + reduction;
}

static void split(rn_strip *s, int threads)
{
    const int tiles = rn_strip_tiles(s), panels = rn_strip_panels(s);
    double best = INFINITY;

    for (int pix = 1; pix <= threads && (size_t)pix <= s->units; pix++) {
        for (int n = 1; pix * n <= threads && n <= panels; n++) {
            for (int m = 1; pix * m * n <= threads && m <= tiles; m++) {
                const double cost = split_cost(s, pix, m, n);
                if (!(cost < best * 0.9999))
                    continue;
                best = cost;
                s->pix_groups = pix;
                s->m_groups = m;
                s->n_groups = n;
            }
        }
    }
}

/* ---- the plan ------------------------------------------------------------------------------------------------------- */

/* Groups of images, parts of rows. */
static void group_images(rn_strip *s)
{
    const rn_conv_desc *d = &s->d;
    const int per = s->isa->per, most = most_cells(d->oc, weights(d));
    const double whole = (double)d->mb / (rn_ceil_div(d->mb, per) * per);

    s->bands = per == 2 && d->oh > 1 && (double)d->oh / (2 * rn_ceil_div(d->oh, 2)) > whole ? 2 : 1;
    s->images = d->mb * s->bands;
    s->rows = rn_ceil_div(d->oh, s->bands);
    s->group = per;
    if (s->bands == 1) {
        /* With few channels images lie behind each other: only the sums grow longer. */
        const size_t row = s->few ? (size_t)d->ow * s->rows : (size_t)d->ow;
        const size_t want = s->few ? RN_STRIP_CHAIN : LEAST_RUN, cells = (want + row - 1) / row;
        const int all = rn_ceil_div(s->images, per);
        int groups = (int)((size_t)all < cells ? (size_t)all : cells);
        if (groups > most)
            groups = most;
        s->group = rn_ceil_div(all, rn_ceil_div(all, groups)) * per;
    }
    s->parts = (int)(((size_t)(s->group / per) * d->ow + most - 1) / most);
    s->parts = rn_imin(s->parts, d->ow);
    s->units = (size_t)rn_ceil_div(s->images, s->group) * s->rows * s->parts;
}

/* Rows in a block, and the memory it takes. */
static void size_blocks(rn_strip *s)
{
    const rn_conv_desc *d = &s->d;
    const size_t gc = (size_t)(s->group / s->isa->per), across = (size_t)rn_ceil_div(d->ow, s->parts),
                 k = (size_t)d->kh * d->kw * d->ic;
    const int most =
        most_cells(rn_ceil_div(d->oc, s->few ? s->n_groups : s->m_groups), weights(d) / (s->m_groups * s->n_groups));
    const size_t fit = (size_t)most / (gc * across);
    const int rows = s->parts > 1 || fit < 1 ? 1 : fit < (size_t)s->rows ? (int)fit : s->rows;

    s->block_rows = rn_ceil_div(s->rows, rn_ceil_div(s->rows, rows));
    const size_t cells = gc * across * (size_t)s->block_rows, slots = (size_t)rn_strip_slots(s, s->block_rows);
    if (s->few) {
        const int panels = rn_ceil_div(rn_strip_panels(s), s->n_groups);
        s->a_cells = gc * slots * rn_strip_pitch(s, (int)across) * (size_t)d->ic * (size_t)d->sw;
        s->b_cells = cells * (size_t)panels * (size_t)s->isa->nr;
        s->copy_cells = k * (size_t)rn_strip_ld(s);
    } else {
        const int tiles = rn_ceil_div(rn_strip_tiles(s), s->m_groups);
        s->a_cells = cells * (size_t)rn_imin(tiles * s->isa->mr, d->oc);
        s->b_cells = slots * (size_t)s->phases * (size_t)rn_strip_columns(s, (int)across) * gc * (size_t)s->isa->nr;
        s->copy_cells = round_up((size_t)d->oc * k, 16);
    }
    s->a_cells = round_up(s->a_cells + SLACK, 16);
    s->b_cells = round_up(s->b_cells + SLACK, 16);
}

static rn_strip strip_of(const rn_backend *be, const rn_conv_desc *d)
{
    rn_strip s = {.isa = rn_conv_isa_of(be, d->dtype),
                  .d = *d,
                  .row_step = rn_imin(d->sh, d->kh),
                  .phases = rn_imin(d->sw, d->kw),
                  .pix_groups = 1,
                  .m_groups = 1,
                  .n_groups = 1};
    const int vl = s.isa->nr / 2;

    /* The side that wastes fewer of its vectors' cells makes them; of equals, the one that fills two of them. */
    const double oc = (double)rn_ceil_div(d->oc, vl) * vl * d->ic, ic = (double)rn_ceil_div(d->ic, vl) * vl * d->oc;
    s.few = d->sw <= d->kw && (oc < 0.95 * ic || (oc <= ic && d->ic <= vl && d->oc > vl && d->kw > 1));
    group_images(&s);
    split(&s, be->threads);
    size_blocks(&s);
    return s;
}

static bool supports(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, const char **why)
{
    (void)be;
    *why = dir != RN_BWD_W ? "bwd_w only"
           : d->dtype != RN_F32 && d->dtype != RN_BF16 && d->dtype != RN_F16
               ? "f32, bf16 and f16 only"
               : rn_conv_fuse_refusal(d, dir, RN_PRO_BN | RN_PRO_RELU | RN_PRO_ADD | RN_PRO_DBN);
    return !*why;
}

/* Measured on 2 cores of Zen 4 over ResNet-18's layers, 224 pixels, 16 images, and 32 pixels, 64 images, against cpu:im2col:
 * 0.97 to 2 times its speed in f32, 0.99 to 1.45 in bf16 pairs of stride 1; but 0.76 to 1.05, mostly below 1, where pairs meet a
 * stride, unless the channels are few. */
static bool suits(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir)
{
    const rn_strip s = strip_of(be, d);

    (void)dir;
    return s.isa->per == 1 || s.few || (d->sh == 1 && d->sw == 1);
}

static size_t workspace(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir)
{
    const rn_strip s = strip_of(be, d);
    const size_t threads = (size_t)s.pix_groups * s.m_groups * s.n_groups;

    (void)dir;
    return ((s.a_cells + s.b_cells) * threads + (size_t)(s.pix_groups - !s.few) * s.copy_cells) * sizeof(float);
}

static void close_plan(struct rn_backend *be, void *priv)
{
    rn_strip *s = priv;

    (void)be;
    if (s)
        free(s->vectors);
    free(s);
}

static int open_plan(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, void **priv)
{
    const size_t ic = (size_t)d->ic + RN_CONV_READ_SLACK, oc = (size_t)d->oc + RN_CONV_READ_SLACK;
    rn_strip *s = malloc(sizeof *s);

    (void)dir;
    *priv = s;
    if (!s)
        return rn_fail(RN_E_NOMEM, "cpu:strip: out of memory");
    *s = strip_of(be, d);
    if (d->fuse) {
        float *v = s->vectors = calloc(3 * (ic + oc), sizeof *v);
        if (!v) {
            close_plan(be, s);
            *priv = NULL;
            return rn_fail(RN_E_NOMEM, "cpu:strip: out of memory");
        }
        s->read_src = (rn_conv_read){.mul = v, .add = v + ic, .by = v + 2 * ic};
        s->read_dst = (rn_conv_read){.mul = v + 3 * ic, .add = v + 3 * ic + oc, .by = v + 3 * ic + 2 * oc};
    }
    return 0;
}

static int run(rn_conv_plan *plan, const rn_conv_args *a, int beta, void *ws, void *stream)
{
    rn_strip *s = plan->priv;
    const unsigned fuse = s->d.fuse;

    (void)stream;
    if (fuse & RN_PRO_BN)
        rn_conv_read_set(&s->read_src, a->scale, a->shift, NULL, fuse & RN_PRO_ADD ? a->residual : NULL,
                         fuse & RN_PRO_RELU, s->d.ic, s->d.ic);
    if (fuse & RN_PRO_DBN)
        rn_conv_read_set(&s->read_dst, a->ka, a->kc, a->kb, a->x, false, s->d.oc, s->d.oc);
    rn_strip_run(s, a, beta, ws);
    return 0;
}

const rn_conv_algo rn_cpu_strip = {
    .name = "cpu:strip",
    .flags = RN_ALGO_DETERMINISTIC,
    .supports = supports,
    .suits = suits,
    .workspace = workspace,
    .open = open_plan,
    .close = close_plan,
    .run = run,
};
