/* SPDX-License-Identifier: MIT */
/* cpu:point. See cpu_point.h for the idea. */
#include "kernels/cpu/cpu_point.h"

#include <math.h>
#include <stdlib.h>

#include "base/rn_error.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/cpu_conv_plan.h"

#define RN_POINT_BLOCK 256
/* Most cells of a chunk of dst: 512 KB of the L2 cache, beside what it is copied from and the sums that pass through. */
#define RN_POINT_CHUNK 131072
#define LINE           64
#define MOST_RUNS      32
#define MOST_PIXELS    (1 << 30)
#define SLACK          64 /* cells that copying may clobber, and alignment */

typedef struct point {
    const rn_conv_isa *isa;
    rn_conv_desc d; /* without a stride: one image of one row */
    int pixels, cells;
    int block, chunk;                   /* most cells of a block, most tiles of a chunk */
    int pix_groups, m_groups, n_groups; /* the split: cells, tiles of oc, panels of ic */
    size_t a_cells, b_cells, copy_cells;
    /* Fused work: what src and dst are read through, set at each run; mul is NULL of the one that is read as it is. */
    rn_conv_read read_src, read_dst;
    float *vectors; /* theirs */
} point;

/* Pixels of src, or of dst, which lies without gaps. */
typedef struct side {
    const void *base;
    const rn_conv_read *read; /* NULL: as it is */
    int c, ow, oh, iw, ih, sw, sh;
} side;

/* What is copied next of one of them, `lines` cache lines from byte `from` of each pixel on: a line of a row's pixels at a time. */
typedef struct ahead {
    const side *s;
    int pixel, end, line, lines;
    size_t from;
    const char *at; /* `left` lines, `step` bytes apart */
    ptrdiff_t step;
    int left;
} ahead;

/* Cells k0..k1-1 of tiles m0..m1-1: what one chunk of dst is copied for. */
typedef struct stage {
    int k0, k1, m0, m1;
} stage;

/* The part of one thread: cells k0.., tiles m0.., panels n0.. */
typedef struct task {
    const point *p;
    side src, dst;
    int k0, k1, m0, m1, n0, n1;
    float *a, *b, *out;
    ahead ahead[2]; /* src and dst: asked for while tiles multiply */
} task;

/* ---- the plan -------------------------------------------------------------------------------------------------------- */

static int tiles_of(const point *p)
{
    return rn_ceil_div(p->d.oc, p->isa->mr);
}

static int panels_of(const point *p)
{
    return rn_ceil_div(p->d.ic, p->isa->nr);
}

/* In how many chunks output channels go, given the cells of a block. */
static int chunks_of(int channels, int cells)
{
    return (int)((int64_t)channels * cells / RN_POINT_CHUNK) + 1;
}

/* From one cell of a chunk of dst to the next: an odd number of cache lines, or a tile's cells would fall on each other. */
static int pitch_of(int channels)
{
    return (rn_ceil_div(channels, 16) | 1) * 16;
}

/* Roughly the time of the slowest thread, in vectors multiplied and added. */
static double split_cost(const point *p, int pix, int m, int n)
{
    const int half = p->isa->nr / 2;
    const double vl = half, cells = rn_ceil_div(p->cells, pix), wei = (double)p->d.oc * p->d.ic / vl;
    const double oc = fmin(p->d.oc, rn_ceil_div(tiles_of(p), m) * (double)p->d.oc / tiles_of(p)),
                 ic = fmin(p->d.ic, rn_ceil_div(panels_of(p), n) * (double)p->isa->nr);
    const double product = oc * ic / vl, chunks = chunks_of((int)oc, RN_POINT_BLOCK);
    const double copies = (3 * oc + 4 * ic * (0.5 + 0.5 * chunks)) / vl;
    const double sums = ceil(cells / RN_POINT_BLOCK) * 4 * product;
    const double reduction = pix > 1 ? (pix + 1) * 4 * wei / (pix * m * n) : 0;

    return cells * (product + copies) + sums + reduction;
}

static void split(point *p, int threads)
{
    double best = INFINITY;

    for (int pix = 1; pix <= threads && pix <= p->cells; pix++) {
        for (int n = 1; pix * n <= threads && n <= panels_of(p); n++) {
            for (int m = 1; pix * m * n <= threads && m <= tiles_of(p); m++) {
                const double cost = split_cost(p, pix, m, n);
                if (!(cost < best * 0.9999))
                    continue;
                best = cost;
                p->pix_groups = pix;
                p->m_groups = m;
                p->n_groups = n;
            }
        }
    }
}

static point point_of(const rn_backend *be, const rn_conv_desc *d)
{
    point p = {.isa = rn_conv_isa_of(be, d->dtype),
               .d = *d,
               .pixels = d->mb * d->oh * d->ow,
               .pix_groups = 1,
               .m_groups = 1,
               .n_groups = 1};

    if (d->oh == d->ih && d->ow == d->iw) {
        p.d.mb = p.d.ih = p.d.oh = p.d.sh = p.d.sw = 1;
        p.d.iw = p.d.ow = p.pixels;
    }
    p.cells = rn_ceil_div(p.pixels, p.isa->per);
    split(&p, be->threads);
    const int cells = rn_ceil_div(p.cells, p.pix_groups), tiles = rn_ceil_div(tiles_of(&p), p.m_groups);
    p.block = rn_ceil_div(cells, rn_ceil_div(cells, RN_POINT_BLOCK));
    p.chunk = rn_ceil_div(tiles, chunks_of(rn_imin(tiles * p.isa->mr, d->oc), p.block));
    p.a_cells = ((size_t)pitch_of(rn_imin(p.chunk * p.isa->mr, d->oc)) * p.block + SLACK + 15) / 16 * 16;
    p.b_cells = ((size_t)p.isa->nr * p.block + SLACK + 15) / 16 * 16;
    p.copy_cells = ((size_t)d->oc * d->ic + 15) / 16 * 16;
    return p;
}

static bool supports(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, const char **why)
{
    (void)be;
    *why = dir != RN_BWD_W                                                   ? "bwd_w only"
           : d->dtype != RN_F32 && d->dtype != RN_BF16 && d->dtype != RN_F16 ? "f32, bf16 and f16 only"
           : d->kh * d->kw != 1 || d->ph || d->pw                            ? "1x1 kernels without padding only"
           : (int64_t)d->mb * d->oh * d->ow > MOST_PIXELS
               ? "too many pixels"
               : rn_conv_fuse_refusal(d, dir, RN_PRO_BN | RN_PRO_RELU | RN_PRO_ADD | RN_PRO_DBN);
    return !*why;
}

/* Of few input channels vectors stay half empty: cpu:strip makes them of the output's. */
static bool suits(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir)
{
    const int vl = rn_conv_isa_of(be, d->dtype)->nr / 2;

    (void)dir;
    return rn_ceil_div(d->ic, vl) * vl <= 1.25 * d->ic;
}

static size_t workspace(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir)
{
    const point p = point_of(be, d);
    const size_t threads = (size_t)p.pix_groups * p.m_groups * p.n_groups;

    (void)dir;
    return ((p.a_cells + p.b_cells) * threads + (size_t)(p.pix_groups - 1) * p.copy_cells) * sizeof(float);
}

static void close_plan(struct rn_backend *be, void *priv)
{
    point *p = priv;

    (void)be;
    if (p)
        free(p->vectors);
    free(p);
}

static int open_plan(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, void **priv)
{
    const size_t ic = (size_t)d->ic + RN_CONV_READ_SLACK, oc = (size_t)d->oc + RN_CONV_READ_SLACK;
    point *p = malloc(sizeof *p);

    (void)dir;
    *priv = NULL;
    if (!p)
        return rn_fail(RN_E_NOMEM, "cpu:point: out of memory");
    *p = point_of(be, d);
    if (d->fuse) {
        float *v = p->vectors = calloc(3 * (ic + oc), sizeof *v);
        if (!v) {
            close_plan(be, p);
            return rn_fail(RN_E_NOMEM, "cpu:point: out of memory");
        }
        if (d->fuse & RN_PRO_BN)
            p->read_src = (rn_conv_read){.mul = v, .add = v + ic, .by = v + 2 * ic};
        if (d->fuse & RN_PRO_DBN)
            p->read_dst = (rn_conv_read){.mul = v + 3 * ic, .add = v + 3 * ic + oc, .by = v + 3 * ic + 2 * oc};
    }
    *priv = p;
    return 0;
}

/* ---- copying --------------------------------------------------------------------------------------------------------- */

static size_t pixel_at(const side *s, int pixel)
{
    const size_t x = (size_t)(pixel % s->ow), y = (size_t)(pixel / s->ow % s->oh), n = (size_t)(pixel / s->ow / s->oh);

    return ((n * s->ih + y * s->sh) * s->iw + x * s->sw) * s->c;
}

/* Channels c0..c0+n-1 of `count` pixels, as cells, to each width floats of `to`: what lies in one row at once, and pairs that
 * straddle rows one by one. */
static void copy_pixels(const point *p, const side *s, int pixel, int count, int c0, int n, int width, float *to)
{
    const int per = p->isa->per;

    while (count > 0) {
        const int run = rn_imin(s->ow - pixel % s->ow, count);
        const size_t at = pixel_at(s, pixel) + (size_t)c0;
        rn_conv_cells k = {.from = rn_conv_at(s->base, at, p->d.dtype),
                           .step_x = (ptrdiff_t)per * s->sw * s->c,
                           .step_n = (ptrdiff_t)s->sw * s->c,
                           .nx = run / per,
                           .nn = per,
                           .c = n,
                           .width = width,
                           .read = s->read,
                           .other = s->read && s->read->other ? rn_conv_at(s->read->other, at, p->d.dtype) : NULL,
                           .column = c0};
        if (!k.nx) { /* the last pixel of a row, and the next one's first, if there is one */
            k.nx = 1;
            k.nn = rn_imin(count, per);
            k.step_n = k.nn > 1 ? (ptrdiff_t)(pixel_at(s, pixel + 1) + (size_t)c0 - at) : 0;
        }
        k.last = k.nn;
        p->isa->copy_cells(&k, to);
        pixel += k.nx * k.nn;
        count -= k.nx * k.nn;
        to += (ptrdiff_t)k.nx * width;
    }
}

/* ---- the run --------------------------------------------------------------------------------------------------------- */

/* Asks for channels c0..c0+n-1 of the pixels of cells k0..k1-1. */
static void ahead_start(const point *p, ahead *h, const side *s, int k0, int k1, int c0, int n)
{
    const size_t size = rn_dtype_size(p->d.dtype), from = (size_t)c0 * size / LINE * LINE;
    const int pixel = k0 * p->isa->per, end = rn_imin(k1 * p->isa->per, p->pixels);

    *h = (ahead){.s = s,
                 .pixel = pixel,
                 .end = end,
                 .from = from,
                 .lines = (int)(((size_t)(c0 + n) * size - from + LINE - 1) / LINE)};
    if (end > pixel && s->oh == 1 && n == s->c) { /* one piece of memory */
        h->at = rn_conv_at(s->base, pixel_at(s, pixel), p->d.dtype);
        h->step = LINE;
        h->left = (int)(((size_t)(end - pixel) * (size_t)n * size + LINE - 1) / LINE);
        h->pixel = end;
    }
}

/* The next piece. False: there is none. */
static bool ahead_next(const point *p, ahead *h)
{
    const side *s = h->s;

    if (h->left > 0)
        return true;
    if (h->pixel >= h->end)
        return false;
    const int run = rn_imin(s->ow - h->pixel % s->ow, h->end - h->pixel);
    h->at = (const char *)rn_conv_at(s->base, pixel_at(s, h->pixel), p->d.dtype) + h->from + (size_t)h->line * LINE;
    h->step = (ptrdiff_t)s->sw * s->c * (ptrdiff_t)rn_dtype_size(p->d.dtype);
    h->left = run;
    if (++h->line == h->lines) {
        h->line = 0;
        h->pixel += run;
    }
    return true;
}

/* A tile's runs, each with what it asks for. */
typedef struct steps {
    int n;
    rn_conv_span runs[MOST_RUNS];
    rn_conv_ask asks[MOST_RUNS];
} steps;

static void plan_steps(task *t, int cells, const float *a, steps *s)
{
    int done = 0;

    s->n = 0;
    for (int i = 0; i < 2; i++) {
        ahead *h = &t->ahead[i];
        while (done < cells && s->n < MOST_RUNS - 1 && ahead_next(t->p, h)) {
            const int n = rn_imin(h->left, cells - done);
            s->asks[s->n] = (rn_conv_ask){h->at, h->step};
            s->runs[s->n++] = (rn_conv_span){done, done, n};
            h->at += n * h->step;
            h->left -= n;
            done += n;
        }
    }
    if (done < cells) {
        s->asks[s->n] = (rn_conv_ask){(const char *)a, 0};
        s->runs[s->n++] = (rn_conv_span){done, done, cells - done};
    }
}

/* A stage's panel j against all of its tiles. */
static void panel_product(task *t, const stage *g, int j, bool acc)
{
    const point *p = t->p;
    const rn_conv_desc *d = &p->d;
    const int nr = p->isa->nr, tiles = tiles_of(p), o0 = rn_part(d->oc, tiles, g->m0),
              o1 = rn_part(d->oc, tiles, g->m1), cells = g->k1 - g->k0;
    steps s;

    for (int i = g->m0; i < g->m1; i++) {
        const int r0 = rn_part(d->oc, tiles, i), m = rn_part(d->oc, tiles, i + 1) - r0;
        plan_steps(t, cells, t->b, &s);
        const rn_conv_tile c = {.runs = s.runs,
                                .nruns = s.n,
                                .asks = s.asks,
                                .a = t->a + (r0 - o0),
                                .lda = pitch_of(o1 - o0),
                                .b = t->b,
                                .ldb = rn_panel_width(p->isa, d->ic, j),
                                .c = t->out + (size_t)r0 * d->ic + (size_t)j * nr,
                                .ldc = (size_t)d->ic,
                                .n = rn_imin(nr, d->ic - j * nr),
                                .acc = acc};
        p->isa->tile_runs(m, &c);
    }
}

static int panel_columns(const point *p, int j)
{
    return rn_imin(p->isa->nr, p->d.ic - j * p->isa->nr);
}

/* next: the stage that follows; an empty one after the last. */
static void run_stage(task *t, const stage *g, const stage *next, bool acc)
{
    const point *p = t->p;
    const int nr = p->isa->nr, tiles = tiles_of(p), pixel = g->k0 * p->isa->per,
              count = rn_imin(g->k1 * p->isa->per, p->pixels) - pixel;
    const int o0 = rn_part(p->d.oc, tiles, g->m0), n = rn_part(p->d.oc, tiles, g->m1) - o0;
    const int next_o0 = rn_part(p->d.oc, tiles, next->m0), next_n = rn_part(p->d.oc, tiles, next->m1) - next_o0;

    copy_pixels(p, &t->dst, pixel, count, o0, n, pitch_of(n), t->a);
    ahead_start(p, &t->ahead[1], &t->dst, next->k0, next->k1, next_o0, next_n);
    for (int j = t->n0; j < t->n1; j++) {
        const bool last = j + 1 == t->n1;
        const int ask = last ? t->n0 : j + 1;
        copy_pixels(p, &t->src, pixel, count, j * nr, panel_columns(p, j), rn_panel_width(p->isa, p->d.ic, j), t->b);
        ahead_start(p, &t->ahead[0], &t->src, last ? next->k0 : g->k0, last ? next->k1 : g->k1, ask * nr,
                    panel_columns(p, ask));
        panel_product(t, g, j, acc);
    }
}

static void run_task(task *t, bool acc)
{
    const point *p = t->p;
    const int cells = t->k1 - t->k0, blocks = rn_ceil_div(cells, p->block), tiles = t->m1 - t->m0,
              chunks = rn_ceil_div(tiles, p->chunk);
    stage now = {0};

    for (int i = 0; i <= blocks * chunks; i++) {
        const int b = i / chunks, c = i % chunks;
        stage next = {0};
        if (b < blocks)
            next = (stage){t->k0 + rn_part(cells, blocks, b), t->k0 + rn_part(cells, blocks, b + 1),
                           t->m0 + rn_part(tiles, chunks, c), t->m0 + rn_part(tiles, chunks, c + 1)};
        if (i > 0)
            run_stage(t, &now, &next, acc || i > chunks);
        now = next;
    }
}

static const rn_conv_read *read_of(const rn_conv_read *r)
{
    return r->mul ? r : NULL;
}

static void run_point(const point *p, const rn_conv_args *a, int beta, float *ws)
{
    const int threads = p->pix_groups * p->m_groups * p->n_groups;
    const size_t scratch = p->a_cells + p->b_cells;
    const rn_conv_desc *d = &p->d;
    float *copies = ws + scratch * (size_t)threads;

#pragma omp parallel for schedule(static, 1) num_threads(threads)
    for (int i = 0; i < threads; i++) {
        const int n = i % p->n_groups, m = i / p->n_groups % p->m_groups, pix = i / p->n_groups / p->m_groups;
        task t = {.p = p,
                  .src = {a->src, read_of(&p->read_src), d->ic, d->ow, d->oh, d->iw, d->ih, d->sw, d->sh},
                  .dst = {a->dst, read_of(&p->read_dst), d->oc, p->pixels, 1, p->pixels, 1, 1, 1},
                  .k0 = rn_part(p->cells, p->pix_groups, pix),
                  .k1 = rn_part(p->cells, p->pix_groups, pix + 1),
                  .m0 = rn_part(tiles_of(p), p->m_groups, m),
                  .m1 = rn_part(tiles_of(p), p->m_groups, m + 1),
                  .n0 = rn_part(panels_of(p), p->n_groups, n),
                  .n1 = rn_part(panels_of(p), p->n_groups, n + 1),
                  .a = ws + scratch * (size_t)i,
                  .b = ws + scratch * (size_t)i + p->a_cells,
                  .out = pix == 0 ? (float *)a->wei : copies + (size_t)(pix - 1) * p->copy_cells};
        run_task(&t, pix == 0 && beta);
    }
    if (p->pix_groups > 1)
        rn_conv_add_copies(a->wei, copies, (size_t)p->d.oc * p->d.ic, p->copy_cells, p->pix_groups - 1, threads);
}

static int run(rn_conv_plan *plan, const rn_conv_args *a, int beta, void *ws, void *stream)
{
    point *p = plan->priv;
    const unsigned fuse = p->d.fuse;

    (void)stream;
    if (fuse & RN_PRO_BN)
        rn_conv_read_set(&p->read_src, a->scale, a->shift, NULL, fuse & RN_PRO_ADD ? a->residual : NULL,
                         fuse & RN_PRO_RELU, p->d.ic, p->d.ic);
    if (fuse & RN_PRO_DBN)
        rn_conv_read_set(&p->read_dst, a->ka, a->kc, a->kb, a->x, false, p->d.oc, p->d.oc);
    run_point(p, a, beta, ws);
    return 0;
}

const rn_conv_algo rn_cpu_point = {
    .name = "cpu:point",
    .flags = RN_ALGO_DETERMINISTIC,
    .supports = supports,
    .suits = suits,
    .workspace = workspace,
    .open = open_plan,
    .close = close_plan,
    .run = run,
};
