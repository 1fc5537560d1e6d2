/* SPDX-License-Identifier: MIT */
/* cpu:im2col, fwd and bwd_d: im2col(view) * packed weights. */
#include <string.h>

#include "kernels/cpu/cpu_conv_plan.h"

/* Panels of pixels whose output stays in the L2 cache while K is worked off block by block. */
#define CHUNK_PANELS 8

/* A run over one phase. The unit of work of a thread is a chunk of pixels times a group of B's panels. */
typedef struct product {
    const rn_im2col_plan *p;
    const rn_conv_phase *f;
    rn_conv_view view;
    float *out;
    int beta;
    int panels;   /* of B */
    int groups;   /* groups of panels; more than one when there are few pixels */
    size_t chunk; /* pixels; image minor: chunks of one grid position */
    size_t nchunks;
} product;

/* Taps that a chunk needs: window rows r0..r1-1, columns s0..s1-1. */
typedef struct taps {
    int r0, r1, s0, s1;
} taps;

static product product_of(const rn_conv_plan *plan, const rn_conv_phase *f, const float *in, float *out, int beta)
{
    const rn_im2col_plan *p = plan->priv;
    product g = {.p = p, .f = f, .view = f->view, .out = out, .beta = beta, .groups = 1};
    const size_t want = 4 * (size_t)plan->be->threads; /* tasks enough for an even split */
    const size_t mr = (size_t)p->isa->mr;

    g.view.base = in;
    g.panels = rn_ceil_div(p->cols, p->isa->nr);
    if (f->view.image_minor) {
        g.chunk = (size_t)rn_ceil_div(f->view.mb, CHUNK_PANELS * p->isa->mr);
        g.nchunks = g.chunk * (size_t)f->view.gh * (size_t)f->view.gw;
    } else {
        g.chunk = CHUNK_PANELS * mr;
        while (g.chunk > mr && f->pixels / g.chunk < want)
            g.chunk -= mr;
        g.nchunks = (f->pixels + g.chunk - 1) / g.chunk;
    }
    if (g.nchunks < want && plan->be->threads > 1)
        g.groups = rn_imin(g.panels, (int)((want + g.nchunks - 1) / g.nchunks));
    return g;
}

/* First pixel and number of pixels of a chunk. */
static size_t chunk_pixels(const product *g, size_t chunk, int *n)
{
    if (g->view.image_minor) {
        const int parts = (int)g->chunk, part = (int)(chunk % g->chunk), first = rn_part(g->view.mb, parts, part);
        *n = rn_part(g->view.mb, parts, part + 1) - first;
        return chunk / g->chunk * (size_t)g->view.mb + (size_t)first;
    }
    const size_t first = chunk * g->chunk, rest = g->f->pixels - first;
    *n = (int)(rest < g->chunk ? rest : g->chunk);
    return first;
}

static void clip(int64_t first, int k, int size, int *lo, int *hi)
{
    *lo = first < 0 ? (int)(first < -k ? k : -first) : 0;
    *hi = first + k > size ? (int)(size > first ? size - first : 0) : k;
}

static taps chunk_taps(const product *g, rn_conv_pixel px)
{
    const rn_conv_view *v = &g->view;
    taps t = {0, v->kr, 0, v->ks};

    if (v->image_minor) {
        clip((int64_t)px.y * v->sy + v->y0, v->kr, v->h, &t.r0, &t.r1);
        clip((int64_t)px.x * v->sx + v->x0, v->ks, v->w, &t.s0, &t.s1);
    }
    return t;
}

static float *pixel_address(const product *g, rn_conv_pixel px)
{
    const rn_im2col_plan *p = g->p;
    const size_t y = (size_t)px.y * p->step_y + g->f->sub_y, x = (size_t)px.x * p->step_x + g->f->sub_x;

    return g->out + (((size_t)px.n * p->out_h + y) * p->out_w + x) * p->cols;
}

/* Pixels that no tap reaches: their gradient is zero. */
static void zero_pixels(const product *g, rn_conv_pixel px, int n)
{
    for (int i = 0; i < n && !g->beta; i++) {
        memset(pixel_address(g, px), 0, (size_t)g->p->cols * sizeof(float));
        rn_conv_pixel_next(&g->view, &px);
    }
}

/* One panel of pixels, gathered into the L1 cache, against panels j0..j1-1 of B, streamed from the L2 cache. */
static void panel_task(const product *g, rn_conv_pixel px, int m, int k0, int k1, int j0, int j1, float *a, bool acc)
{
    const rn_im2col_plan *p = g->p;
    const int nr = p->isa->nr;
    float *rows[RN_CONV_MR_MAX], *c[RN_CONV_MR_MAX];

    p->isa->gather_rows(&g->view, px, m, k0, k1, a);
    for (int i = 0; i < m; i++) {
        rows[i] = pixel_address(g, px);
        rn_conv_pixel_next(&g->view, &px);
    }
    for (int j = j0; j < j1; j++) {
        const float *b =
            p->b + g->f->b_offset + (size_t)j * g->f->k * nr + (size_t)k0 * rn_panel_width(p->isa, p->cols, j);
        for (int i = 0; i < m; i++)
            c[i] = rows[i] + (size_t)j * nr;
        p->isa->tile_rows(m, k1 - k0, a, b, c, rn_imin(p->cols - j * nr, nr), acc);
    }
}

static void chunk_task(const product *g, size_t chunk, int group)
{
    _Alignas(64) float a[RN_CONV_MR_MAX * RN_CONV_LDA];
    int n;
    const size_t first = chunk_pixels(g, chunk, &n);
    const rn_conv_pixel px = rn_conv_pixel_at(&g->view, first);
    const taps t = chunk_taps(g, px);
    const int j0 = rn_part(g->panels, g->groups, group), j1 = rn_part(g->panels, g->groups, group + 1);
    /* Whole rows of taps follow each other in K; with columns left out, each row is a piece of its own. */
    const int c = g->view.c, run = g->view.ks * c, panels = rn_ceil_div(n, g->p->isa->mr);
    const bool whole = t.s0 == 0 && t.s1 == g->view.ks;
    const int pieces = t.s1 <= t.s0 || t.r1 <= t.r0 ? 0 : whole ? 1 : t.r1 - t.r0;
    const int length = whole ? (t.r1 - t.r0) * run : (t.s1 - t.s0) * c, blocks = rn_ceil_div(length, RN_CONV_KC);

    if (pieces == 0 && group == 0)
        zero_pixels(g, px, n);
    for (int b = 0; b < pieces * blocks; b++) {
        const int base = (t.r0 + b / blocks) * run + t.s0 * c;
        const int k0 = base + rn_part(length, blocks, b % blocks), k1 = base + rn_part(length, blocks, b % blocks + 1);
        for (int i = 0; i < panels; i++) {
            const int p0 = rn_part(n, panels, i), m = rn_part(n, panels, i + 1) - p0;
            panel_task(g, rn_conv_pixel_at(&g->view, first + (size_t)p0), m, k0, k1, j0, j1, a, g->beta || b > 0);
        }
    }
}

/* Each element of the output is summed by one thread in an order that depends only on the descriptor: the same bits at
 * any number of threads. */
void rn_conv_run_product(const rn_conv_plan *plan, const float *in, float *out, int beta)
{
    const rn_im2col_plan *p = plan->priv;

#pragma omp parallel num_threads(plan->be->threads)
    for (int i = 0; i < p->nphases; i++) {
        const product g = product_of(plan, &p->phases[i], in, out, beta);
        const int64_t tasks = (int64_t)g.nchunks * g.groups;
#pragma omp for schedule(dynamic) nowait
        for (int64_t t = 0; t < tasks; t++)
            chunk_task(&g, (size_t)(t / g.groups), (int)(t % g.groups));
    }
}
