/* SPDX-License-Identifier: MIT */
/* cpu:im2col, bwd_w: dst^T * im2col(src), reduced over pixels. */
#include <omp.h>
#include <string.h>

#include "kernels/cpu/cpu_conv_plan.h"

/* Cells of pixels reduced at a time, and im2col columns gathered at a time (256 x 256 cells: a quarter of 1 MB). */
#define BLOCK_CELLS   256
#define BLOCK_COLUMNS 256
/* A weight tensor of at most this many floats is cheaper to reduce over private copies than to split. */
#define SMALL_WEIGHTS 32768
#define SLACK         64 /* cells that gathering may clobber, and alignment */

#define SCRATCH_B (BLOCK_COLUMNS * BLOCK_CELLS + SLACK)

typedef struct gradient {
    const rn_conv_isa *isa;
    rn_conv_view view; /* of src */
    rn_dtype dtype;    /* of src and dst */
    const void *dst;
    const rn_conv_read *read_dst; /* NULL: as it is */
    int oc, k;                    /* rows and columns of the result; k = kh kw ic */
    int width;                    /* image minor: grid columns in a block, else 0 */
    size_t pixels, nblocks;
} gradient;

/* A block of at most BLOCK_CELLS cells of pixels, all but the last one of whole cells; image minor: of one grid row. */
typedef struct block {
    size_t first;
    int n, y, x0, x1;
} block;

static size_t block_pixels(const rn_conv_isa *isa)
{
    return (size_t)BLOCK_CELLS * isa->per;
}

/* n pixels are so many cells. */
static int cells_of(const rn_conv_isa *isa, int n)
{
    return rn_ceil_div(n, isa->per);
}

static gradient gradient_of(const rn_conv_isa *isa, const rn_conv_phase *f, const rn_conv_desc *d)
{
    gradient g = {.isa = isa, .view = f->view, .dtype = d->dtype, .oc = d->oc, .k = f->k, .pixels = f->pixels};
    const size_t most = block_pixels(isa);

    g.nblocks = (g.pixels + most - 1) / most;
    if (g.view.image_minor) {
        g.width = rn_imin((int)most / d->mb, d->ow);
        g.nblocks = (size_t)d->oh * (size_t)rn_ceil_div(d->ow, g.width);
    }
    return g;
}

static block block_at(const gradient *g, size_t i)
{
    if (!g->width) {
        const size_t most = block_pixels(g->isa), first = i * most, rest = g->pixels - first;
        return (block){.first = first, .n = (int)(rest < most ? rest : most)};
    }
    const int across = rn_ceil_div(g->view.gw, g->width);
    block b = {.y = (int)(i / (size_t)across), .x0 = (int)(i % (size_t)across) * g->width};
    b.x1 = rn_imin(b.x0 + g->width, g->view.gw);
    b.n = (b.x1 - b.x0) * g->view.mb;
    b.first = ((size_t)b.y * (size_t)g->view.gw + (size_t)b.x0) * (size_t)g->view.mb;
    return b;
}

/* floor(a / b) for b > 0 */
static int floor_div(int a, int b)
{
    return a >= 0 ? a / b : -((b - 1 - a) / b);
}

/* Pixels p0..p1-1 of the block have at least one of the columns k0..k1-1 inside the tensor. */
static void block_range(const gradient *g, const block *b, int k0, int k1, int *p0, int *p1)
{
    const rn_conv_view *v = &g->view;
    const int t0 = k0 / v->c, t1 = (k1 - 1) / v->c, r0 = t0 / v->ks, r1 = t1 / v->ks;
    const int s0 = r0 == r1 ? t0 % v->ks : 0, s1 = r0 == r1 ? t1 % v->ks : v->ks - 1;
    const int y = b->y * v->sy + v->y0;

    *p0 = 0;
    *p1 = b->n;
    if (!g->width)
        return;
    int lo = -floor_div(v->x0 + s1, v->sx), hi = floor_div(v->w - 1 - v->x0 - s0, v->sx) + 1;
    lo = lo > b->x0 ? lo : b->x0;
    hi = rn_imin(hi, b->x1);
    if (y + r1 < 0 || y + r0 >= v->h || hi <= lo) {
        *p1 = 0;
        return;
    }
    *p0 = (lo - b->x0) * v->mb;
    *p1 = (hi - b->x0) * v->mb;
}

/* ---- the split ------------------------------------------------------------------------------------------------------ */

/* Threads split the columns of the weight gradient when that balances: no reduction is needed then. Otherwise, or
 * when the tensor is small, some or all of them split the pixels and their sums are added in a fixed order. */
void rn_conv_split_gradient(const rn_backend *be, const rn_conv_desc *d, int *col_groups, int *pix_groups)
{
    const rn_conv_phase f = rn_conv_fwd_phase(be, d, RN_BWD_W);
    const gradient g = gradient_of(rn_conv_isa_of(be, d->dtype), &f, d);
    const int panels = rn_ceil_div(g.k, g.isa->nr), threads = be->threads;
    int best = 1;

    if ((size_t)g.k * d->oc > SMALL_WEIGHTS) {
        for (int c = 2; c <= threads; c++) {
            if (threads % c == 0 && panels >= c && panels >= 0.85 * c * rn_ceil_div(panels, c))
                best = c;
        }
    }
    *col_groups = best;
    *pix_groups = g.nblocks < (size_t)(threads / best) ? (int)g.nblocks : threads / best;
}

/* Cells of scratch of one thread: a block of dst and a block of the im2col matrix. */
static size_t scratch_floats(int oc)
{
    return (size_t)oc * BLOCK_CELLS + SLACK + SCRATCH_B;
}

static size_t copy_floats(const rn_conv_desc *d)
{
    return ((size_t)d->oc * d->kh * d->kw * d->ic + 15) / 16 * 16;
}

size_t rn_conv_gradient_workspace(const rn_backend *be, const rn_conv_desc *d)
{
    int cols, pixs;

    rn_conv_split_gradient(be, d, &cols, &pixs);
    return (scratch_floats(d->oc) * (size_t)be->threads + (size_t)(pixs - 1) * copy_floats(d)) * sizeof(float);
}

/* ---- the run -------------------------------------------------------------------------------------------------------- */

/* A block of pixels against columns c0..c1-1: b is gathered here, a has been packed. */
static void block_columns(const gradient *g, const block *k, int c0, int c1, const float *a, float *b, float *out,
                          bool acc)
{
    const rn_conv_isa *isa = g->isa;
    const int tiles = rn_ceil_div(g->oc, isa->mr), panels = rn_ceil_div(c1 - c0, isa->nr);
    int p0[BLOCK_COLUMNS], p1[BLOCK_COLUMNS];
    float *c[RN_CONV_MR_MAX];

    for (int j = 0; j < panels; j++) {
        const int k0 = c0 + j * isa->nr, k1 = rn_imin(k0 + isa->nr, c1);
        block_range(g, k, k0, k1, &p0[j], &p1[j]);
        isa->gather_panel(&g->view, rn_conv_pixel_at(&g->view, k->first + (size_t)p0[j]), p1[j] - p0[j], k0, k1,
                          rn_panel_width(isa, c1 - c0, j), b + (size_t)j * BLOCK_CELLS * isa->nr);
    }
    for (int t = 0; t < tiles; t++) {
        const int r0 = rn_part(g->oc, tiles, t), m = rn_part(g->oc, tiles, t + 1) - r0;
        for (int j = 0; j < panels; j++) {
            if (p1[j] == p0[j])
                continue;
            for (int i = 0; i < m; i++)
                c[i] = out + (size_t)(r0 + i) * g->k + c0 + (size_t)j * isa->nr;
            isa->tile_cols(m, cells_of(isa, p1[j] - p0[j]),
                           a + (size_t)r0 * cells_of(isa, k->n) + (size_t)(p0[j] / isa->per) * m,
                           b + (size_t)j * BLOCK_CELLS * isa->nr, c, rn_imin(c1 - c0 - j * isa->nr, isa->nr), acc);
        }
    }
}

/* n rows of dst, `stride` elements apart, of m channels from r0 on, from element `at` on. */
static void pack_rows(const gradient *g, size_t at, size_t stride, int n, int r0, int m, float *to)
{
    const void *from = rn_conv_at(g->dst, at + (size_t)r0, g->dtype);

    if (!g->read_dst) {
        g->isa->pack_cols(from, stride, n, m, to);
        return;
    }
    rn_conv_read read = *g->read_dst;
    read.other = rn_conv_at(read.other, at + (size_t)r0, g->dtype);
    g->isa->pack_cols_read(from, stride, n, m, &read, r0, to);
}

/* The block's rows of dst, as tiles of m of the oc columns. Image minor: its rows are those of several images. */
static void pack_dst(const gradient *g, const block *k, float *a)
{
    const rn_conv_isa *isa = g->isa;
    const int tiles = rn_ceil_div(g->oc, isa->mr), mb = g->view.mb;
    const size_t oc = (size_t)g->oc, image = (size_t)g->view.gh * g->view.gw * oc;

    for (int t = 0; t < tiles; t++) {
        const int r0 = rn_part(g->oc, tiles, t), m = rn_part(g->oc, tiles, t + 1) - r0;
        float *to = a + (size_t)r0 * cells_of(isa, k->n);
        if (!g->width) {
            pack_rows(g, k->first * oc, oc, k->n, r0, m, to);
            continue;
        }
        for (int x = k->x0; x < k->x1; x++, to += (size_t)cells_of(isa, mb) * m)
            pack_rows(g, ((size_t)k->y * g->view.gw + x) * oc, image, mb, r0, m, to);
    }
}

/* Blocks i0..i1-1, columns c0..c1-1. */
static void gradient_task(const gradient *g, size_t i0, size_t i1, int c0, int c1, float *scratch, float *out, bool acc)
{
    float *a = scratch, *b = scratch + (size_t)g->oc * BLOCK_CELLS + SLACK;

    if (g->width && !acc) { /* a column may have no pixel in the first block */
        for (int o = 0; o < g->oc; o++)
            memset(out + (size_t)o * g->k + c0, 0, (size_t)(c1 - c0) * sizeof *out);
        acc = true;
    }
    for (size_t i = i0; i < i1; i++) {
        const block k = block_at(g, i);
        pack_dst(g, &k, a);
        for (int c = c0; c < c1; c += BLOCK_COLUMNS)
            block_columns(g, &k, c, rn_imin(c + BLOCK_COLUMNS, c1), a, b, out, acc);
        acc = true;
    }
}

void rn_conv_add_copies(float *out, const float *copies, size_t n, size_t stride, int ncopies, int threads)
{
#pragma omp parallel for schedule(static) num_threads(threads)
    for (size_t i = 0; i < n; i++) {
        float s = out[i];
        for (int c = 0; c < ncopies; c++)
            s += copies[(size_t)c * stride + i];
        out[i] = s;
    }
}

void rn_conv_run_gradient(const rn_conv_plan *plan, const rn_conv_args *args, int beta, float *ws)
{
    const rn_im2col_plan *p = plan->priv;
    const int threads = plan->be->threads, nr = p->isa->nr;
    gradient g = gradient_of(p->isa, &p->phases[0], &plan->desc);
    const int panels = rn_ceil_div(g.k, nr);
    const size_t stride = copy_floats(&plan->desc), cg_n = (size_t)p->col_groups, pg_n = (size_t)p->pix_groups;
    float *copies = ws + scratch_floats(g.oc) * (size_t)threads;

    g.view.base = args->src;
    g.view.read = p->fused ? p->fused->read_view : NULL;
    g.dst = args->dst;
    g.read_dst = p->fused ? p->fused->read_dst : NULL;
#pragma omp parallel for schedule(static, 1) num_threads(threads)
    for (size_t t = 0; t < cg_n * pg_n; t++) {
        const size_t cg = t % cg_n, pg = t / cg_n;
        const int c0 = rn_part(panels, p->col_groups, (int)cg) * nr;
        const int c1 = rn_imin(rn_part(panels, p->col_groups, (int)cg + 1) * nr, g.k);
        float *scratch = ws + scratch_floats(g.oc) * (size_t)omp_get_thread_num();
        float *out = pg == 0 ? (float *)args->wei : copies + (pg - 1) * stride;
        gradient_task(&g, g.nblocks * pg / pg_n, g.nblocks * (pg + 1) / pg_n, c0, c1, scratch, out, pg == 0 && beta);
    }
    if (pg_n > 1)
        rn_conv_add_copies(args->wei, copies, (size_t)g.oc * g.k, stride, (int)pg_n - 1, threads);
}
