/* SPDX-License-Identifier: MIT */
/* cpu:direct: how the output is cut into tasks, and where their pixels lie. */
#include "kernels/cpu/cpu_direct_plan.h"

/* A strip this long leaves room in the L2 cache for a part of B. */
#define STRIP_BYTES  (192 << 10)
#define B_BYTES      (256 << 10)
/* Pixels of a task: enough to pay for a panel of B that comes from the L3 cache; not so many that few tasks are left. */
#define MOST_PIXELS  448
#define LEAST_PIXELS 96
/* The L1 cache: bytes after which lines fall on each other, and how many of them a tile may put there. */
#define WAY_BYTES    4096
#define WAYS         4
#define LINE         64

int rn_direct_block_rows(const rn_im2col_plan *w, const rn_conv_phase *f)
{
    const int64_t bytes = (int64_t)(f->view.run / w->isa->per) * w->isa->nr * (int64_t)sizeof(float);

    if (!bytes || bytes * f->view.kr <= B_BYTES * 3 / 2)
        return f->view.kr > 0 ? f->view.kr : 1;
    return rn_conv_clamp(B_BYTES / bytes, 1, f->view.kr);
}

/* Do m rows so far apart fall on each other in the cache? */
static bool collide(ptrdiff_t lda, int m)
{
    ptrdiff_t a = lda % WAY_BYTES, b = WAY_BYTES;

    while (a) {
        const ptrdiff_t rest = b % a;
        b = a;
        a = rest;
    }
    return m > WAYS * (WAY_BYTES / (b < LINE ? LINE : b));
}

/* The window of all phases that have taps. */
static void join_windows(rn_direct_cut *c, const rn_im2col_plan *w)
{
    int64_t y0 = INT32_MAX, x0 = INT32_MAX, y1 = INT32_MIN, x1 = INT32_MIN;

    c->by_image = true;
    for (int i = 0; i < w->nphases; i++) {
        const rn_conv_view *v = &w->phases[i].view;
        c->gh = v->gh > c->gh ? v->gh : c->gh;
        c->gw = v->gw > c->gw ? v->gw : c->gw;
        if (!w->phases[i].k)
            continue;
        c->by_image = c->by_image && v->image_minor && v->c % w->isa->per == 0;
        y0 = v->y0 < y0 ? v->y0 : y0;
        x0 = v->x0 < x0 ? v->x0 : x0;
        y1 = v->y0 + v->kr > y1 ? v->y0 + v->kr : y1;
        x1 = v->x0 + v->ks > x1 ? v->x0 + v->ks : x1;
    }
    if (y1 < y0) /* no taps at all */
        y0 = y1 = x0 = x1 = 0;
    c->y0 = (int)y0;
    c->x0 = (int)x0;
    c->kr = (int)(y1 - y0);
    c->ks = (int)(x1 - x0);
}

/* Does the tensor itself serve as the strip? */
static bool reads_in_place(const rn_direct_cut *c, const rn_direct_isa *isa, const rn_conv_view *v,
                           const rn_conv_desc *d)
{
    const ptrdiff_t pitch = (ptrdiff_t)v->c * isa->cell;
    const bool inside = c->x0 >= 0 && (int64_t)(c->gw - 1) * v->sx + c->x0 + c->ks <= v->w;

    /* Of windows that do not touch, a copy is made of what is needed: tiles would wait for each of those lines. */
    const bool touching = c->kr >= v->sy && c->ks >= v->sx;

    if (d->fuse & (RN_PRO_BN | RN_PRO_DBN)) /* what is read through a batch norm lies nowhere */
        return false;
    if ((size_t)isa->cell != rn_dtype_size(d->dtype) || !(inside || c->by_image) || !touching)
        return false;
    return c->by_image ? !collide(pitch * v->h * v->w, rn_imin(isa->pack->mr, c->mb))
                       : !collide(pitch * v->sx, isa->pack->mr);
}

static void set_strides(rn_direct_cut *c, const rn_direct_isa *isa, const rn_conv_view *v)
{
    c->pitch = (ptrdiff_t)v->c * isa->cell;
    if (c->in_place) {
        c->row = c->pitch * v->w;
        c->image = c->row * v->h;
        return;
    }
    if (!c->by_image && collide(c->pitch * c->tx, isa->pack->mr))
        c->pitch += c->pitch % LINE ? 0 : LINE;
    c->row = ((ptrdiff_t)(c->xb - 1) * c->tx + c->ks) * c->pitch;
    c->image = ((ptrdiff_t)(c->yb - 1) * c->ty + c->kr) * c->row;
    c->image = (c->image + LINE - 1) / LINE * LINE;
    c->image += c->image / LINE % 2 ? 0 : LINE; /* an odd number of lines */
    c->strip_bytes = (size_t)c->nb * (size_t)c->image + LINE;
}

static int64_t bytes_of(const rn_direct_cut *c, int64_t pixel, int nb, int yb, int xb)
{
    return pixel * nb * ((int64_t)(yb - 1) * c->ty + c->kr) * ((int64_t)(xb - 1) * c->tx + c->ks);
}

static bool fits(const rn_direct_cut *c, int64_t pixel, int nb, int yb, int xb)
{
    return bytes_of(c, pixel, nb, yb, xb) <= STRIP_BYTES && (int64_t)nb * yb * xb <= MOST_PIXELS;
}

static void count_blocks(rn_direct_cut *c)
{
    c->nblocks = rn_ceil_div(c->mb, c->nb);
    c->yblocks = rn_ceil_div(c->gh, c->yb);
    c->xblocks = rn_ceil_div(c->gw, c->xb);
}

int64_t rn_direct_blocks(const rn_direct_cut *c)
{
    return (int64_t)c->nblocks * c->yblocks * c->xblocks;
}

/* Blocks as large as the caches bear, then smaller while there are too few for the threads. */
static void set_blocks(rn_direct_cut *c, const rn_im2col_plan *w, int64_t pixel, int threads)
{
    const int mr = w->isa->mr, panels = rn_ceil_div(w->cols, w->isa->nr);
    const int64_t want = threads > 1 ? 6 * (int64_t)threads : 1;
    /* A lattice's tasks share nothing and are short: more of them end closer to each other. */
    const int64_t most = threads > 1 && c->xunit > 1 ? 16 * (int64_t)threads : want;

    c->nb = c->by_image ? rn_imin(c->mb, mr) : 1;
    c->yb = 1;
    c->xb = c->gw;
    while (c->xb > mr && !fits(c, pixel, c->nb, 1, c->xb))
        c->xb = (c->xb / 2 + mr - 1) / mr * mr;
    while (c->xb == c->gw && c->yb < c->gh && fits(c, pixel, c->nb, c->yb + 1, c->xb))
        c->yb++;
    if (c->yb == c->gh && c->xb == c->gw) {
        while (c->nb < c->mb && (int64_t)c->nb * c->yb * c->xb < LEAST_PIXELS &&
               fits(c, pixel, c->nb + 1, c->yb, c->xb))
            c->nb++;
    }
    count_blocks(c);
    while (rn_direct_blocks(c) < most) {
        if (!c->by_image && c->nb > 1)
            c->nb = rn_ceil_div(c->nb, 2);
        else if (c->yb * c->xb > 4 * mr && c->yb > 1)
            c->yb = rn_ceil_div(c->yb, 2);
        else if (c->gh == 1 && c->xb > 4 * mr)
            c->xb = (c->xb / 2 + mr - 1) / mr * mr;
        else
            break;
        count_blocks(c);
    }
    /* evenly, as rn_part deals them out */
    c->nb = rn_ceil_div(c->mb, c->nblocks);
    c->yb = rn_ceil_div(c->gh, c->yblocks);
    c->xblocks = rn_imin(c->xblocks, c->gw / c->xunit);
    c->xb = rn_ceil_div(c->gw / c->xunit, c->xblocks) * c->xunit;
    c->groups =
        rn_direct_blocks(c) < want ? rn_imin(panels, (int)((want + rn_direct_blocks(c) - 1) / rn_direct_blocks(c))) : 1;
}

rn_direct_cut rn_direct_cut_of(const rn_direct_isa *isa, const rn_im2col_plan *w, const rn_conv_desc *d,
                               const rn_direct_lattice *l, int threads)
{
    const rn_conv_view *v = &w->phases[0].view;
    rn_direct_cut c = {.mb = v->mb, .gh = 1, .gw = 1};
    bool blocked = false;

    join_windows(&c, w);
    c.ty = rn_imin(v->sy, c.kr);
    c.tx = rn_imin(v->sx, c.ks);
    c.in_place = !l->gathers && reads_in_place(&c, isa, v, d);
    c.reads_lattice = l->gathers && (size_t)isa->cell == rn_dtype_size(d->dtype) && !(d->fuse & RN_PRO_BN) &&
                      !collide((ptrdiff_t)v->c * isa->cell * l->sw, isa->pack->mr);
    c.xunit = l->gathers || l->scatters ? l->ow : 1;
    set_blocks(&c, w, (int64_t)v->c * isa->cell, threads);
    set_strides(&c, isa, v);
    for (int i = 0; i < w->nphases; i++)
        blocked = blocked || rn_direct_block_rows(w, &w->phases[i]) < w->phases[i].view.kr;
    c.result_bytes = l->scatters ? (size_t)c.xb * (size_t)w->cols * rn_dtype_size(d->dtype) : 0;
    c.sums_floats = (size_t)isa->pack->nr * (blocked ? (size_t)c.nb * c.yb * c.xb : (size_t)isa->pack->mr);
    return c;
}
