/* SPDX-License-Identifier: MIT */
/* cpu:winograd: plans, fwd and bwd_d. See cpu_wino.h for the idea. */
#include <omp.h>
#include <stdlib.h>

#include "base/rn_error.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/cpu_wino_plan.h"

/* Transformed weights of a case may take so much memory and no more. */
#define MOST_WEIGHTS  ((size_t)256 << 20)
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

/* Rows of a panel of weights that one task transforms: an even number. */
#define PACK_ROWS 64

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

static size_t panels_of(const rn_wino_plan *p)
{
    return rn_wino_up((size_t)p->out.c, (size_t)p->isa->nr) / (size_t)p->isa->nr;
}

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

static size_t nblocks(const rn_wino_plan *p)
{
    return (p->tiles + p->block - 1) / p->block;
}

/* Blocks of one superblock: what all threads transform before they multiply. */
static size_t shared_blocks(const rn_wino_plan *p)
{
    const size_t fit = SHARED_BYTES / sizeof(float) / block_floats(p);

    return rn_wino_min(fit ? fit : 1, nblocks(p));
}

/* Small weights are read again for every block and stay in a cache near by; each thread takes blocks of its own. Large
 * ones are read once for as many tiles as possible: all threads transform, then divide the weights' panels. */
static void split_product(rn_wino_plan *p, const rn_backend *be)
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
        split_product(&p, be);
    return p;
}

static size_t workspace(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, int out, bool pairs)
{
    const rn_wino_plan p = plan_of(be, d, dir, out, pairs);

    if (dir == RN_BWD_W)
        return rn_wino_gradient_workspace(&p, be);
    const size_t sums = sums_floats(&p), threads = (size_t)be->threads;
    return ((sums + rn_wino_scratch(&p, p.in.c)) * threads +
            block_floats(&p) * (p.shared ? shared_blocks(&p) : threads)) *
           sizeof(float);
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
    RN_GO(rn_wino_fused_open(p, d, nblocks(p) * panels_of(p)));
    if (dir != RN_BWD_W) {
        p->u_freq = rn_wino_cells(p, (size_t)p->in.c) * (size_t)p->isa->nr + RN_WINO_LINE;
        const size_t floats = panels_of(p) * rn_wino_freqs(p) * p->u_freq;
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
    for (size_t i = 0; i < panels_of(p) * parts; i++) {
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

/* ---- fwd, bwd_d ----------------------------------------------------------------------------------------------------- */

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
    const size_t n = nblocks(p), floats = block_floats(p), stretch = n / (8 * (size_t)threads) + 1;
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
                                panels_of(p) * rn_wino_freqs(p) * parts_of(p, block_end(p, b) - b * p->block));
            transform(g, b * p->block, block_end(p, b), v, place_of(p));
            for (size_t j = 0; j < panels_of(p); j++)
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
        for (size_t i = 0; i < blocks * panels_of(p); i++) /* one after another the blocks of a panel */
            multiply(g, b0 + i % blocks, i / blocks, g->blocks + i % blocks * floats, sums, NULL);
    }
}

static int run(rn_conv_plan *plan, const rn_conv_args *a, int beta, void *ws, void *stream)
{
    const rn_wino_plan *p = plan->priv;
    const int threads = plan->be->threads;

    (void)stream;
    rn_wino_fused_begin(plan, a);
    if (plan->dir == RN_BWD_W) {
        rn_wino_run_gradient(plan, a, beta, ws);
        return 0;
    }
    product g = {.plan = plan,
                 .args = a,
                 .p = p,
                 .in = plan->dir == RN_FWD ? a->src : a->dst,
                 .out = plan->dir == RN_FWD ? a->dst : a->src,
                 .add = beta != 0,
                 .sums = ws};
    g.scratch = g.sums + (size_t)threads * sums_floats(p);
    g.blocks = g.scratch + (size_t)threads * rn_wino_scratch(p, p->in.c);
    if (!p->shared)
        run_blocks(&g, threads);
    for (size_t b = 0, step = shared_blocks(p); p->shared && b < nblocks(p); b += step)
        run_shared(&g, b, rn_wino_min(b + step, nblocks(p)), threads);
    rn_wino_fused_end(plan, a, nblocks(p));
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
