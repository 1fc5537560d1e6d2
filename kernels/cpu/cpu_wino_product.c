/* SPDX-License-Identifier: MIT */
/* cpu:winograd, fwd and bwd_d. */
#include <omp.h>

#include "kernels/cpu/cpu_wino_plan.h"

/* Bytes of transformed weights that may be read again for each block of a thread's own. */
#define SMALL_WEIGHTS ((size_t)4 << 20)
/* Tiles of a block: as many times the rows of the register tile, at most, and bytes of a thread's tiles and their sums, which
 * share its L2 cache with weights passing through; and what all threads together transform at a time. Weights larger than that are
 * read from memory: once for as many tiles as may be. */
#define BLOCK_ROWS    4
#define NEAR_BYTES    ((size_t)400 << 10)
#define SHARED_ROWS   2
#define SHARED_MOST   8
#define SHARED_BYTES  ((size_t)16 << 20)

static rn_wino_place place_of(const rn_wino_plan *p)
{
    rn_wino_place place = rn_wino_lines((int)rn_wino_cells(p, (size_t)p->in.c), p->block);

    place.ask = p->shared;
    return place;
}

/* Floats of a block of transformed tiles, and of one panel of their products. */
static size_t block_floats(const rn_wino_plan *p)
{
    return rn_wino_freqs(p) * place_of(p).freq;
}

static size_t sums_floats(const rn_wino_plan *p)
{
    return p->block * p->isa->m_tile;
}

/* Blocks of one superblock: what all threads transform before they multiply. */
static size_t shared_blocks(const rn_wino_plan *p)
{
    const size_t fit = SHARED_BYTES / sizeof(float) / block_floats(p);

    return rn_wino_min(fit ? fit : 1, rn_wino_blocks(p));
}

/* Small weights are read again for every block and stay in a cache near by; each thread takes blocks of its own. Large
 * ones are read once for as many tiles as possible: all threads transform, then divide the weights' panels. */
void rn_wino_split_product(rn_wino_plan *p, const rn_backend *be)
{
    const size_t mr = (size_t)p->isa->mr, threads = (size_t)be->threads;
    const size_t weights = rn_wino_freqs(p) * rn_wino_cells(p, (size_t)p->in.c) * (size_t)p->out.c * sizeof(float);

    p->shared = weights > SMALL_WEIGHTS;
    p->block = mr;
    const size_t near = NEAR_BYTES / sizeof(float) / (block_floats(p) + sums_floats(p));
    p->block = mr * (!p->shared               ? rn_wino_min(near ? near : 1, BLOCK_ROWS)
                     : weights > SHARED_BYTES ? SHARED_MOST
                                              : SHARED_ROWS);
    if (!p->shared && p->tiles < p->block * threads)
        p->block = p->tiles / threads;
    p->block = rn_wino_min(p->block ? p->block : 1, p->tiles);
}

size_t rn_wino_product_workspace(const rn_wino_plan *p, const rn_backend *be)
{
    const size_t threads = (size_t)be->threads;

    return ((sums_floats(p) + rn_wino_scratch(p, p->in.c)) * threads +
            block_floats(p) * (p->shared ? shared_blocks(p) : threads)) *
           sizeof(float);
}

typedef struct product {
    const rn_conv_plan *plan;
    const rn_conv_args *args;
    const rn_wino_plan *p;
    const void *in;
    void *out;
    bool add;
    /* In the workspace: blocks of transformed tiles; each thread's panel of products, and tile on its way into cells. */
    float *blocks, *sums, *scratch;
} product;

static size_t block_end(const rn_wino_plan *p, size_t b)
{
    return rn_wino_min((b + 1) * p->block, p->tiles);
}

/* Tiles t0..t1-1, transformed. */
static void transform(const product *g, size_t t0, size_t t1, float *to, rn_wino_place place)
{
    const rn_wino_plan *p = g->p;

    if (!p->pairs) {
        p->io->read_src(&p->in, g->in, rn_wino_read_of(p, 0), t0, t1, to, place);
        return;
    }
    float *tile = g->scratch + (size_t)omp_get_thread_num() * rn_wino_scratch(p, p->in.c);
    for (size_t t = t0; t < t1; t++, to += place.tile) {
        p->io->read_src(&p->in, g->in, rn_wino_read_of(p, 0), t, t + 1, tile, rn_wino_scratch_place(p));
        p->pairs->channels(tile, rn_wino_up((size_t)p->in.c, RN_WINO_LINE) / RN_WINO_LINE, rn_wino_freqs(p), to, place);
    }
}

/* Asks the caches for the pixels of some tiles while something else is computed: a row of a tile at a time, so that few
 * requests are under way at once. */
typedef struct ahead {
    const rn_wino_grid *g;
    const char *tensor, *also; /* also: of the same shape, or NULL */
    size_t pixel, from, bytes; /* of a pixel: all bytes, and which are wanted */
    int skip;                  /* rows and columns that the tiles before have asked for */
    size_t rows, steps, due;   /* so many rows in so many steps */
    size_t image;
    int ty, tx, row;
} ahead;

/* The pixels of n tiles from t0 on, channels c0..c1-1, in so many steps. side: of a tile. */
static ahead look_ahead(const product *g, bool in, size_t t0, size_t n, int c0, int c1, size_t steps)
{
    const rn_wino_grid *grid = in ? &g->p->in : &g->p->out;
    const rn_wino_read *read = rn_wino_read_of(g->p, 0);
    const size_t esize = rn_dtype_size(g->plan->desc.dtype), tw = (size_t)grid->tw, th = (size_t)grid->th;

    return (ahead){.g = grid,
                   .tensor = in ? g->in : g->out,
                   .also = in                                ? (read ? read->other : NULL)
                           : g->plan->desc.fuse & RN_EPI_DBN ? g->args->raw
                                                             : NULL,
                   .pixel = (size_t)grid->c * esize,
                   .from = (size_t)c0 * esize,
                   .bytes = (size_t)(c1 - c0) * esize,
                   .skip = in ? 2 : 0,
                   .rows = n * (size_t)grid->step,
                   .steps = steps,
                   .image = t0 / tw / th,
                   .ty = (int)(t0 / tw % th),
                   .tx = (int)(t0 % tw)};
}

/* Inlined: a compiler takes a function that only prefetches for one that does nothing, and leaves its calls out. */
static inline __attribute__((always_inline)) void ask_row(const ahead *a, const char *tensor)
{
    enum { LINE = 64 };
    const rn_wino_grid *g = a->g;
    const int y = a->ty * g->step + g->y0 + a->skip + a->row, x = a->tx * g->step + g->x0 + a->skip;
    const int x0 = x < 0 ? 0 : x, x1 = x + g->step < g->w ? x + g->step : g->w;

    if (y < 0 || y >= g->h)
        return;
    const char *p = tensor + ((a->image * (size_t)g->h + (size_t)y) * (size_t)g->w) * a->pixel + a->from;
    for (int i = x0; i < x1; i++) {
        for (size_t b = 0; b < a->bytes; b += LINE)
            __builtin_prefetch(p + (size_t)i * a->pixel + b);
    }
}

static void step_ahead(ahead *a)
{
    for (a->due += a->rows; a->due >= a->steps; a->due -= a->steps) {
        ask_row(a, a->tensor);
        if (a->also)
            ask_row(a, a->also);
        if (++a->row < a->g->step)
            continue;
        a->row = 0;
        if (++a->tx < a->g->tw)
            continue;
        a->tx = 0;
        if (++a->ty < a->g->th)
            continue;
        a->ty = 0;
        a->image++;
    }
}

/* Register tiles of rows, of a block of n tiles. */
static size_t parts_of(const rn_wino_plan *p, size_t n)
{
    return (n + (size_t)p->isa->mr - 1) / (size_t)p->isa->mr;
}

/* Panel j of the products of block b, which has been transformed to `v`, and their inverse transform. next: what is
 * asked for meanwhile, or NULL. */
static void multiply(const product *g, size_t b, size_t j, const float *v, float *sums, ahead *next)
{
    const rn_wino_plan *p = g->p;
    const rn_wino_isa *isa = p->isa;
    const rn_wino_place place = place_of(p);
    const size_t t0 = b * p->block, n = block_end(p, b) - t0, nr = (size_t)isa->nr;
    const size_t parts = parts_of(p, n);
    const int c0 = (int)(j * nr), c1 = (int)rn_wino_min((j + 1) * nr, (size_t)p->out.c);
    void (*const product_rows)(const rn_wino_product *) = p->pairs ? p->pairs->product_rows : isa->product_rows;
    ahead out = look_ahead(g, false, t0, n, c0, c1, rn_wino_freqs(p) * parts);

    for (size_t f = 0; f < rn_wino_freqs(p); f++) {
        for (size_t i = 0; i < parts; i++) {
            const size_t r0 = rn_wino_part(n, parts, i), r1 = rn_wino_part(n, parts, i + 1);
            step_ahead(&out);
            if (next)
                step_ahead(next);
            product_rows(&(rn_wino_product){.m = (int)(r1 - r0),
                                            .k = (int)rn_wino_cells(p, (size_t)p->in.c),
                                            .a = v + f * place.freq + r0 * place.tile,
                                            .a_step = place.line,
                                            .b = p->u + (j * rn_wino_freqs(p) + f) * p->u_freq,
                                            .b_step = nr,
                                            .b_second = nr / 2,
                                            .c = sums + r0 * isa->m_tile + f * nr,
                                            .c_step = isa->m_tile,
                                            .two = c1 - c0 > isa->vl});
        }
    }
    if (p->partial) {
        const rn_wino_finish finish = rn_wino_finish_of(g->plan, g->args, b, j);
        p->io->write_dst(&p->out, g->out, c0, c1, t0, t0 + n, sums, g->add, &finish);
    } else {
        p->io->write_dst(&p->out, g->out, c0, c1, t0, t0 + n, sums, g->add, NULL);
    }
}

static size_t take(size_t *taken)
{
    size_t mine;

#pragma omp atomic capture
    mine = (*taken)++;
    return mine;
}

/* Each thread its own blocks, some that follow each other at a time. The next one is known while one is multiplied, and its
 * input asked for. */
static void run_blocks(const product *g, int threads)
{
    const rn_wino_plan *p = g->p;
    const size_t n = rn_wino_blocks(p), floats = block_floats(p), stretch = n / (8 * (size_t)threads) + 1;
    size_t taken = 0;

#pragma omp parallel num_threads(threads)
    {
        const size_t me = (size_t)omp_get_thread_num();
        float *v = g->blocks + me * floats;
        for (size_t b = stretch * take(&taken), next; b < n; b = next) {
            next = (b + 1) % stretch ? b + 1 : stretch * take(&taken);
            ahead in = {0};
            if (next < n)
                in = look_ahead(g, true, next * p->block, block_end(p, next) - next * p->block, 0, p->in.c,
                                rn_wino_panels(p) * rn_wino_freqs(p) * parts_of(p, block_end(p, b) - b * p->block));
            transform(g, b * p->block, block_end(p, b), v, place_of(p));
            for (size_t j = 0; j < rn_wino_panels(p); j++)
                multiply(g, b, j, v, g->sums + me * sums_floats(p), next < n ? &in : NULL);
        }
    }
}

/* All threads the same blocks b0..b1-1: they transform them, then they share out the panels of the products. */
static void run_shared(const product *g, size_t b0, size_t b1, int threads)
{
    const rn_wino_plan *p = g->p;
    const rn_wino_place place = place_of(p);
    const size_t t0 = b0 * p->block, t1 = block_end(p, b1 - 1), floats = block_floats(p), blocks = b1 - b0;

#pragma omp parallel num_threads(threads)
    {
        float *sums = g->sums + (size_t)omp_get_thread_num() * sums_floats(p);
#pragma omp for schedule(static)
        for (size_t t = t0; t < t1; t++) {
            const size_t b = t / p->block;
            transform(g, t, t + 1, g->blocks + (b - b0) * floats + (t - b * p->block) * place.tile, place);
        }
#pragma omp for schedule(dynamic)
        for (size_t i = 0; i < blocks * rn_wino_panels(p); i++) /* one after another the blocks of a panel */
            multiply(g, b0 + i % blocks, i / blocks, g->blocks + i % blocks * floats, sums, NULL);
    }
}

void rn_wino_run_product(const rn_conv_plan *plan, const rn_conv_args *args, int beta, float *ws)
{
    const rn_wino_plan *p = plan->priv;
    const int threads = plan->be->threads;
    product g = {.plan = plan,
                 .args = args,
                 .p = p,
                 .in = plan->dir == RN_FWD ? args->src : args->dst,
                 .out = plan->dir == RN_FWD ? args->dst : args->src,
                 .add = beta != 0,
                 .sums = ws};

    g.scratch = g.sums + (size_t)threads * sums_floats(p);
    g.blocks = g.scratch + (size_t)threads * rn_wino_scratch(p, p->in.c);
    if (!p->shared)
        run_blocks(&g, threads);
    for (size_t b = 0, step = shared_blocks(p); p->shared && b < rn_wino_blocks(p); b += step)
        run_shared(&g, b, rn_wino_min(b + step, rn_wino_blocks(p)), threads);
    rn_wino_fused_end(plan, args, rn_wino_blocks(p));
}
