/* SPDX-License-Identifier: MIT */
/* cpu:winograd, bwd_w. */
#include <omp.h>

#include "kernels/cpu/cpu_wino_plan.h"

/* What all threads together transform at a time, of src and dst. */
#define SHARED_BYTES ((size_t)12 << 20)
/* Sums of all channels that a thread may keep to itself, near by, while it goes through tiles of its own; into how many groups
 * tiles are then divided, for any number of threads: each has sums, which are added up in the end. Bytes of tiles that it
 * transforms at a time. */
#define OWN_SUMS     ((size_t)1 << 20)
#define OWN_GROUPS   16
#define OWN_BYTES    ((size_t)700 << 10)
/* Parts in which groups are added up: a part of all of them stays in a cache. */
#define SUM_PARTS    64
/* Tiles that the register tile sums at a time: a panel of them stays in the L1 cache. */
#define MOST_TILES   128
/* Channels of each side in a task. */
#define CHUNK        64

/* Floats between the frequencies of a task's sums. */
static size_t sums_freq(const rn_wino_plan *p)
{
    return (rn_wino_up((size_t)p->oc_chunk * (size_t)p->ic_chunk, RN_WINO_LINE) / RN_WINO_LINE | 1) * RN_WINO_LINE;
}

static size_t chunks_of(int channels, int chunk)
{
    return (size_t)((channels + chunk - 1) / chunk);
}

/* The sums of one group of tiles. */
static size_t sums_floats(const rn_wino_plan *p)
{
    return chunks_of(p->out.c, p->oc_chunk) * chunks_of(p->in.c, p->ic_chunk) * rn_wino_freqs(p) * sums_freq(p);
}

/* Tiles of a cell. */
static size_t cell(const rn_wino_plan *p)
{
    return p->pairs ? 2 : 1;
}

static size_t cell_floats(const rn_wino_plan *p)
{
    return rn_wino_freqs(p) * (rn_wino_up((size_t)p->in.c, RN_WINO_LINE) + rn_wino_rows(p->out.c, 1).tile);
}

static rn_wino_place place_src(const rn_wino_plan *p)
{
    return rn_wino_lines(p->in.c, p->block / cell(p));
}

static rn_wino_place place_dst(const rn_wino_plan *p)
{
    return rn_wino_rows(p->out.c, p->block / cell(p));
}

void rn_wino_split_gradient(rn_wino_plan *p, const rn_backend *be, const rn_conv_desc *d)
{
    (void)be;
    p->ic_chunk = (int)rn_wino_min(CHUNK, rn_wino_up((size_t)d->ic, (size_t)p->isa->nr));
    p->oc_chunk = (int)rn_wino_min(CHUNK, (size_t)d->oc);
    const size_t cells = rn_wino_cells(p, p->tiles);
    const size_t own = rn_wino_max(OWN_BYTES / sizeof(float) / cell_floats(p), 1);
    p->groups = rn_wino_min(OWN_GROUPS, cells / own);
    p->shared = sums_floats(p) * sizeof(float) > OWN_SUMS || p->groups < 2;
    if (p->shared)
        p->groups = 1;
    const size_t fit = p->shared ? rn_wino_max(SHARED_BYTES / sizeof(float) / cell_floats(p), 1) : own;
    const size_t blocks = (cells + fit - 1) / fit;
    p->block = (cells + blocks - 1) / blocks * cell(p);
}

/* A block of transformed tiles, of both tensors. */
static size_t block_floats(const rn_wino_plan *p)
{
    return rn_wino_freqs(p) * (place_src(p).freq + place_dst(p).freq);
}

/* Of one thread: the tiles of a cell. */
static size_t scratch_floats(const rn_wino_plan *p)
{
    return 2 * rn_wino_scratch(p, p->in.c > p->out.c ? p->in.c : p->out.c);
}

size_t rn_wino_gradient_workspace(const rn_wino_plan *p, const rn_backend *be)
{
    const size_t threads = (size_t)be->threads;

    return (sums_floats(p) * p->groups + block_floats(p) * (p->shared ? 1 : threads) + scratch_floats(p) * threads) *
           sizeof(float);
}

typedef struct gradient {
    const rn_wino_plan *p;
    const void *src, *dst;
    float *wei;
    bool add;
    float *sums, *blocks, *scratch; /* each group's; of all threads, or of each; of each */
} gradient;

/* Frequency f of chunk (oc, ic) of the sums over n cells of tiles in `block`, to the sums of all chunks. */
static void multiply(const gradient *g, const float *block, float *all, size_t oc, size_t ic, size_t f, size_t n,
                     bool acc)
{
    const rn_wino_plan *p = g->p;
    const rn_wino_isa *isa = p->isa;
    const rn_wino_place v = place_src(p), y = place_dst(p);
    const size_t mr = (size_t)isa->mr, nr = (size_t)isa->nr;
    const size_t o0 = oc * (size_t)p->oc_chunk, i0 = ic * (size_t)p->ic_chunk;
    const size_t on = rn_wino_min((size_t)p->oc_chunk, (size_t)p->out.c - o0),
                 in = rn_wino_min((size_t)p->ic_chunk, (size_t)p->in.c - i0), parts = (on + mr - 1) / mr;
    const float *dst = block + rn_wino_freqs(p) * v.freq;
    float *sums =
        all + (oc * chunks_of(p->in.c, p->ic_chunk) + ic) * rn_wino_freqs(p) * sums_freq(p) + f * sums_freq(p);

    void (*const product_cols)(const rn_wino_product *) = p->pairs ? p->pairs->product_cols : isa->product_cols;

    for (size_t t = 0; t < n; t += MOST_TILES, acc = true) {
        for (size_t i = 0; i < parts; i++) {
            const size_t r0 = rn_wino_part(on, parts, i), r1 = rn_wino_part(on, parts, i + 1);
            for (size_t c = 0; c < in; c += nr) {
                const size_t line = (i0 + c) / RN_WINO_LINE, at = (i0 + c) % RN_WINO_LINE;
                product_cols(&(rn_wino_product){.m = (int)(r1 - r0),
                                                .k = (int)rn_wino_min(MOST_TILES, n - t),
                                                .a = dst + f * y.freq + t * y.tile + o0 + r0,
                                                .a_step = y.tile,
                                                .b = block + f * v.freq + line * v.line + t * v.tile + at,
                                                .b_step = v.tile,
                                                .b_second = isa->vl == RN_WINO_LINE ? v.line : (size_t)isa->vl,
                                                .c = sums + r0 * (size_t)p->ic_chunk + c,
                                                .c_step = (size_t)p->ic_chunk,
                                                .two = in - c > (size_t)isa->vl,
                                                .acc = acc});
            }
        }
    }
}

/* The tiles of a cell, t and perhaps the one after it, of src or of dst. */
static void transform(const gradient *g, bool src, size_t t, bool alone, float *to)
{
    const rn_wino_plan *p = g->p;
    const rn_wino_grid *grid = src ? &p->in : &p->out;
    const rn_wino_place place = src ? place_src(p) : place_dst(p), lone = rn_wino_scratch_place(p);
    const rn_wino_read *read = rn_wino_read_of(p, src ? 0 : 1);
    const void *tensor = src ? g->src : g->dst;
    const size_t one = rn_wino_scratch(p, grid->c), lines = rn_wino_up((size_t)grid->c, RN_WINO_LINE) / RN_WINO_LINE;
    float *tiles = g->scratch + (size_t)omp_get_thread_num() * scratch_floats(p);

    if (!p->pairs) {
        (src ? p->io->read_src : p->io->read_dst)(grid, tensor, read, t, t + 1, to, place);
        return;
    }
    for (int i = 0; i < (alone ? 1 : 2); i++, t++)
        (src ? p->io->read_src : p->io->read_dst)(grid, tensor, read, t, t + 1, tiles + (size_t)i * one, lone);
    p->pairs->tiles(tiles, alone ? NULL : tiles + one, lines, rn_wino_freqs(p), to, place);
}

/* Cell i of the tiles t0..t1-1. */
static void transform_cell(const gradient *g, float *block, size_t t0, size_t t1, size_t i)
{
    const rn_wino_plan *p = g->p;
    const size_t t = t0 + i * cell(p);

    transform(g, true, t, t + 1 == t1, block + i * place_src(p).tile);
    transform(g, false, t, t + 1 == t1, block + rn_wino_freqs(p) * place_src(p).freq + i * place_dst(p).tile);
}

/* All threads the same tiles t0..t1-1: transformed, then the sums shared out. */
static void add_shared(const gradient *g, size_t t0, size_t t1)
{
    const rn_wino_plan *p = g->p;
    const size_t ics = chunks_of(p->in.c, p->ic_chunk), ocs = chunks_of(p->out.c, p->oc_chunk), fs = rn_wino_freqs(p);
    const size_t n = rn_wino_cells(p, t1 - t0);

#pragma omp for schedule(static)
    for (size_t i = 0; i < n; i++)
        transform_cell(g, g->blocks, t0, t1, i);
#pragma omp for schedule(static)
    for (size_t i = 0; i < ocs * ics * fs; i++)
        multiply(g, g->blocks, g->sums, i / fs / ics, i / fs % ics, i % fs, n, t0 > 0);
}

/* A thread alone: the blocks of a group of tiles. */
static void add_group(const gradient *g, size_t group)
{
    const rn_wino_plan *p = g->p;
    const size_t ics = chunks_of(p->in.c, p->ic_chunk), ocs = chunks_of(p->out.c, p->oc_chunk), fs = rn_wino_freqs(p);
    const size_t blocks = (p->tiles + p->block - 1) / p->block, first = rn_wino_part(blocks, p->groups, group);
    float *block = g->blocks + (size_t)omp_get_thread_num() * block_floats(p), *sums = g->sums + group * sums_floats(p);

    for (size_t b = first; b < rn_wino_part(blocks, p->groups, group + 1); b++) {
        const size_t t0 = b * p->block, t1 = rn_wino_min(t0 + p->block, p->tiles), n = rn_wino_cells(p, t1 - t0);
        for (size_t i = 0; i < n; i++)
            transform_cell(g, block, t0, t1, i);
        for (size_t i = 0; i < ocs * ics * fs; i++)
            multiply(g, block, sums, i / fs / ics, i / fs % ics, i % fs, n, b > first);
    }
}

/* The sums of all groups, in their order, to those of the first: one of `parts` parts. */
static void add_groups(const gradient *g, size_t part, size_t parts)
{
    const size_t n = sums_floats(g->p), from = rn_wino_part(n, parts, part), to = rn_wino_part(n, parts, part + 1);

    for (size_t k = 1; k < g->p->groups; k++) {
        const float *other = g->sums + k * n;
        for (size_t i = from; i < to; i++)
            g->sums[i] += other[i];
    }
}

static void write_row(const gradient *g, size_t o)
{
    const rn_wino_plan *p = g->p;
    const size_t ics = chunks_of(p->in.c, p->ic_chunk), row = o % (size_t)p->oc_chunk;

    for (size_t i = 0; i < ics; i++) {
        const size_t c0 = i * (size_t)p->ic_chunk, c1 = rn_wino_min(c0 + (size_t)p->ic_chunk, (size_t)p->in.c);
        const float *from =
            g->sums + (o / (size_t)p->oc_chunk * ics + i) * rn_wino_freqs(p) * sums_freq(p) + row * (size_t)p->ic_chunk;
        p->isa->write_wei(g->wei, p->in.c, (int)o, (int)c0, (int)c1, from, sums_freq(p), g->add);
    }
}

void rn_wino_run_gradient(const rn_conv_plan *plan, const rn_conv_args *args, int beta, float *ws)
{
    const rn_wino_plan *p = plan->priv;
    gradient g = {.p = p, .src = args->src, .dst = args->dst, .wei = args->wei, .add = beta != 0};

    g.sums = ws;
    g.blocks = g.sums + sums_floats(p) * p->groups;
    g.scratch = g.blocks + block_floats(p) * (p->shared ? 1 : (size_t)plan->be->threads);
#pragma omp parallel num_threads(plan->be->threads)
    {
        for (size_t t = 0; p->shared && t < p->tiles; t += p->block)
            add_shared(&g, t, rn_wino_min(t + p->block, p->tiles));
        if (!p->shared) {
#pragma omp for schedule(dynamic)
            for (size_t i = 0; i < p->groups; i++)
                add_group(&g, i);
#pragma omp for schedule(static)
            for (size_t i = 0; i < SUM_PARTS; i++)
                add_groups(&g, i, SUM_PARTS);
        }
#pragma omp for schedule(static)
        for (size_t o = 0; o < (size_t)p->out.c; o++)
            write_row(&g, o);
    }
}
