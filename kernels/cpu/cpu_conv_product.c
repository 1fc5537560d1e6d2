/* SPDX-License-Identifier: MIT */
/* cpu:im2col, fwd and bwd_d: im2col(view) * packed weights. */
#include <omp.h>
#include <string.h>

#include "kernels/cpu/cpu_conv_plan.h"

/* Panels of pixels whose output stays in the L2 cache while K is worked off block by block. */
#define CHUNK_PANELS 8

/* A run over one phase. The unit of work of a thread is a chunk of pixels times a group of B's panels. */
typedef struct product {
    const rn_im2col_plan *p;
    const rn_conv_phase *f;
    rn_conv_view view;
    rn_dtype dtype;
    const rn_conv_args *args;
    unsigned epilogue; /* RN_EPI_STATS, RN_EPI_DBN or 0 */
    void *out;
    int beta;
    int panels;   /* of B */
    int groups;   /* groups of panels; more than one when there are few pixels */
    size_t chunk; /* pixels; image minor: chunks of one grid position */
    size_t nchunks;
    double *partial; /* of the phase's first chunk, when there is an epilogue */
} product;

/* Taps that a chunk needs: window rows r0..r1-1, columns s0..s1-1. */
typedef struct taps {
    int r0, r1, s0, s1;
} taps;

static void split(product *g, int threads)
{
    const rn_im2col_plan *p = g->p;
    const rn_conv_phase *f = g->f;
    const size_t want = 4 * (size_t)threads; /* tasks enough for an even split */
    const size_t mr = (size_t)p->isa->mr;

    g->groups = 1;
    g->panels = rn_ceil_div(p->cols, p->isa->nr);
    if (f->view.image_minor) {
        g->chunk = (size_t)rn_ceil_div(f->view.mb, CHUNK_PANELS * p->isa->mr);
        g->nchunks = g->chunk * (size_t)f->view.gh * (size_t)f->view.gw;
    } else {
        g->chunk = CHUNK_PANELS * mr;
        while (g->chunk > mr && f->pixels / g->chunk < want)
            g->chunk -= mr;
        g->nchunks = (f->pixels + g->chunk - 1) / g->chunk;
    }
    if (g->nchunks < want && threads > 1)
        g->groups = rn_imin(g->panels, (int)((want + g->nchunks - 1) / g->nchunks));
}

static product product_of(const rn_conv_plan *plan, const rn_conv_phase *f, const rn_conv_args *args, int beta)
{
    const rn_im2col_plan *p = plan->priv;
    const bool fwd = plan->dir == RN_FWD;
    product g = {.p = p,
                 .f = f,
                 .view = f->view,
                 .dtype = plan->desc.dtype,
                 .args = args,
                 .epilogue = plan->desc.fuse & (RN_EPI_STATS | RN_EPI_DBN),
                 .out = fwd ? args->dst : args->src,
                 .beta = beta};

    g.view.base = fwd ? args->src : args->dst;
    g.view.read = p->fused ? p->fused->read_view : NULL;
    split(&g, plan->be->threads);
    return g;
}

size_t rn_conv_product_chunks(const rn_im2col_plan *p, int threads)
{
    size_t n = 0;

    for (int i = 0; i < p->nphases; i++) {
        product g = {.p = p, .f = &p->phases[i]};
        split(&g, threads);
        n += g.nchunks;
    }
    return n;
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
        if (v->c % g->p->isa->per == 0) /* cells must not straddle the cut */
            clip((int64_t)px.x * v->sx + v->x0, v->ks, v->w, &t.s0, &t.s1);
    }
    return t;
}

static void *pixel_address(const product *g, rn_conv_pixel px)
{
    const rn_im2col_plan *p = g->p;
    const size_t y = (size_t)px.y * p->step_y + g->f->sub_y, x = (size_t)px.x * p->step_x + g->f->sub_x;

    return (char *)g->out + (((size_t)px.n * p->out_h + y) * p->out_w + x) * p->cols * rn_dtype_size(g->dtype);
}

/* Rounds n sums of m rows on their way to the destination. */
static void put_rows(const product *g, void *const *out, float *const *sums, int m, int n)
{
    const rn_half_kern *half = g->p->half;
    const bool bf16 = g->dtype == RN_BF16;
    float old[RN_CONV_NR_MAX];

    if (g->p->isa->put_rows) {
        g->p->isa->put_rows(out, sums, m, n, g->beta);
        return;
    }
    for (int i = 0; i < m; i++) {
        for (int j = 0; j < n && g->beta; j += RN_CONV_NR_MAX) {
            const int part = rn_imin(n - j, RN_CONV_NR_MAX);
            (bf16 ? half->f32_of_bf16 : half->f32_of_f16)(old, (uint16_t *)out[i] + j, (size_t)part);
            for (int k = 0; k < part; k++)
                sums[i][j + k] += old[k];
        }
        (bf16 ? half->bf16_of_f32 : half->f16_of_f32)(out[i], sums[i], (size_t)n);
    }
}

/* ---- epilogues ------------------------------------------------------------------------------------------------------ */

/* Where the columns from c0 on of m rows of the output are, and in RN_EPI_DBN's tensor of the same shape. */
static void rows_of(const product *g, rn_conv_pixel px, int m, int c0, void **out, const void **raw)
{
    for (int i = 0; i < m; i++) {
        out[i] = (char *)pixel_address(g, px) + (size_t)c0 * rn_dtype_size(g->dtype);
        if (g->epilogue & RN_EPI_DBN)
            raw[i] = (const char *)g->args->raw + ((char *)out[i] - (char *)g->out);
        rn_conv_pixel_next(&g->view, &px);
    }
}

/* Before the sums are stored. */
static void gate_rows(const product *g, float *const *sums, const void *const *raw, int m, int c0, int n)
{
    if (g->epilogue & RN_EPI_DBN)
        g->p->isa->gate_rows(sums, raw, m, n, g->args->scale + c0, g->args->shift + c0);
}

/* After they are stored: into the chunk's own sums. */
static void sum_rows(const product *g, size_t chunk, void *const *out, const void *const *raw, int m, int c0, int n)
{
    const rn_im2col_plan *p = g->p;
    double *sum = g->partial + chunk * 2 * (size_t)p->cols + c0;
    const float *less = g->epilogue & RN_EPI_DBN ? g->args->mean : g->args->pivot ? g->args->pivot : p->fused->zeros;

    p->isa->sum_rows((const void *const *)out, g->epilogue & RN_EPI_DBN ? raw : NULL, m, n, less + c0, sum,
                     sum + p->cols);
}

static void clear_sums(const product *g, size_t chunk, int c0, int n)
{
    double *sum = g->partial + chunk * 2 * (size_t)g->p->cols + c0;

    memset(sum, 0, (size_t)n * sizeof *sum);
    memset(sum + g->p->cols, 0, (size_t)n * sizeof *sum);
}

/* Pixels that no tap reaches: columns c0.. of the output are zero. */
static void zero_pixels(const product *g, size_t chunk, rn_conv_pixel px, int n, int c0, int columns)
{
    void *out[RN_CONV_MR_MAX];
    const void *raw[RN_CONV_MR_MAX];

    for (int i = 0, m; i < n && !g->beta; i += m) {
        m = rn_imin(n - i, RN_CONV_MR_MAX);
        rows_of(g, px, m, c0, out, raw);
        for (int k = 0; k < m; k++) {
            memset(out[k], 0, (size_t)columns * rn_dtype_size(g->dtype));
            rn_conv_pixel_next(&g->view, &px);
        }
        if (g->epilogue)
            sum_rows(g, chunk, out, raw, m, c0, columns);
    }
}

/* ---- panels --------------------------------------------------------------------------------------------------------- */

/* A block of K for a panel of pixels. */
typedef struct block {
    int k0, k1; /* columns, whole cells */
    bool first, last;
} block;

/* One panel of pixels, gathered into the L1 cache, against panels j0..j1-1 of B, streamed from the L2 cache. sums: NULL, or
 * where the sums of the panel's pixels are kept until the last block. */
static void panel_task(const product *g, size_t chunk, rn_conv_pixel px, int m, const block *k, int j0, int j1,
                       float *a, float *sums)
{
    const rn_im2col_plan *p = g->p;
    const int nr = p->isa->nr, per = p->isa->per, n = rn_imin(p->cols - j0 * nr, (j1 - j0) * nr);
    void *out[RN_CONV_MR_MAX];
    const void *raw[RN_CONV_MR_MAX];
    float *rows[RN_CONV_MR_MAX], *c[RN_CONV_MR_MAX];

    p->isa->gather_rows(&g->view, px, m, k->k0, k->k1, a);
    rows_of(g, px, m, j0 * nr, out, raw);
    for (int i = 0; i < m; i++)
        rows[i] = sums ? sums + (size_t)i * (j1 - j0) * nr : out[i];
    for (int j = j0; j < j1; j++) {
        const float *b = p->b + g->f->b_offset + (size_t)j * (g->f->k / per) * nr +
                         (size_t)(k->k0 / per) * rn_panel_width(p->isa, p->cols, j);
        for (int i = 0; i < m; i++)
            c[i] = rows[i] + (size_t)(j - j0) * nr;
        p->isa->tile_rows(m, (k->k1 - k->k0) / per, a, b, c, rn_imin(p->cols - j * nr, nr),
                          !k->first || (g->beta && !sums));
    }
    if (!k->last)
        return;
    gate_rows(g, rows, raw, m, j0 * nr, n);
    if (sums)
        put_rows(g, out, rows, m, n);
    if (g->epilogue)
        sum_rows(g, chunk, out, raw, m, j0 * nr, n);
}

static void chunk_task(const product *g, size_t chunk, int group, float *sums)
{
    _Alignas(64) float a[RN_CONV_MR_MAX * RN_CONV_LDA];
    int n;
    const size_t first = chunk_pixels(g, chunk, &n);
    const rn_conv_pixel px = rn_conv_pixel_at(&g->view, first);
    const taps t = chunk_taps(g, px);
    const int j0 = rn_part(g->panels, g->groups, group), j1 = rn_part(g->panels, g->groups, group + 1);
    /* Whole rows of taps follow each other in K; with columns left out, each row is a piece of its own. */
    const int c = g->view.c, run = g->view.run, per = g->p->isa->per, panels = rn_ceil_div(n, g->p->isa->mr);
    const bool whole = t.s0 == 0 && t.s1 == g->view.ks;
    const int pieces = t.s1 <= t.s0 || t.r1 <= t.r0 ? 0 : whole ? 1 : t.r1 - t.r0;
    const int cells = (whole ? (t.r1 - t.r0) * run : (t.s1 - t.s0) * c) / per, blocks = rn_ceil_div(cells, RN_CONV_KC);
    const size_t ld = (size_t)(j1 - j0) * g->p->isa->nr;
    const int c0 = j0 * g->p->isa->nr, columns = rn_imin(g->p->cols - c0, (int)ld);

    if (g->epilogue)
        clear_sums(g, chunk, c0, columns);
    if (pieces == 0)
        zero_pixels(g, chunk, px, n, c0, columns);
    for (int b = 0; b < pieces * blocks; b++) {
        const int base = (t.r0 + b / blocks) * run + t.s0 * c;
        const block k = {.k0 = base + rn_part(cells, blocks, b % blocks) * per,
                         .k1 = base + rn_part(cells, blocks, b % blocks + 1) * per,
                         .first = b == 0,
                         .last = b == pieces * blocks - 1};
        for (int i = 0; i < panels; i++) {
            const int p0 = rn_part(n, panels, i), m = rn_part(n, panels, i + 1) - p0;
            /* Complete at once: the same memory for all, which stays in the L1 cache. */
            float *kept = sums ? sums + (k.first && k.last ? 0 : (size_t)p0 * ld) : NULL;
            panel_task(g, chunk, rn_conv_pixel_at(&g->view, first + (size_t)p0), m, &k, j0, j1, a, kept);
        }
    }
}

/* Floats of sums of a thread. */
static size_t sums_floats(const rn_conv_isa *isa, int cols)
{
    return ((size_t)CHUNK_PANELS * isa->mr * rn_ceil_div(cols, isa->nr) * isa->nr + 15) / 16 * 16;
}

size_t rn_conv_product_workspace(const rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir)
{
    const size_t floats = sums_floats(rn_conv_isa_of(be, d->dtype), dir == RN_FWD ? d->oc : d->ic);

    return d->dtype == RN_F32 ? 0 : (size_t)be->threads * floats * sizeof(float);
}

/* Each element of the output is summed by one thread in an order that depends only on the descriptor: the same bits at
 * any number of threads. */
void rn_conv_run_product(const rn_conv_plan *plan, const rn_conv_args *args, int beta, float *ws)
{
    const rn_im2col_plan *p = plan->priv;
    const size_t floats = sums_floats(p->isa, p->cols);

#pragma omp parallel num_threads(plan->be->threads)
    {
        size_t before = 0; /* chunks of earlier phases */
        for (int i = 0; i < p->nphases; i++) {
            product g = product_of(plan, &p->phases[i], args, beta);
            const int64_t tasks = (int64_t)g.nchunks * g.groups;
            g.partial = g.epilogue ? p->fused->partial + before * 2 * (size_t)p->cols : NULL;
            before += g.nchunks;
#pragma omp for schedule(dynamic) nowait
            for (int64_t t = 0; t < tasks; t++)
                chunk_task(&g, (size_t)(t / g.groups), (int)(t % g.groups),
                           g.dtype == RN_F32 ? NULL : ws + floats * (size_t)omp_get_thread_num());
        }
    }
}
