/* SPDX-License-Identifier: MIT */
/* cpu:winograd, bwd_w. */
#include <omp.h>

#include "kernels/cpu/cpu_wino_plan.h"

/* What all threads together transform at a time, of src and dst. */
#define SHARED_BYTES ((size_t)20 << 20)
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
/* Channels of each side in a task: at most, and at least where there are many threads. Where all threads share a block, the sums
 * of a task, of all frequencies, stay in the L2 cache; tasks for each thread. */
#define CHUNK        64
#define LEAST_CHUNK  16
#define TASKS        2

/* Floats between the frequencies of a task's sums. */
static size_t sums_freq(const rn_wino_plan *p)
{
    return (rn_wino_up((size_t)p->oc_chunk * (size_t)p->ic_chunk, RN_WINO_LINE) / RN_WINO_LINE | 1) * RN_WINO_LINE;
}

static size_t chunks_of(int channels, int chunk)
{
    return (size_t)((channels + chunk - 1) / chunk);
}

static size_t tasks_of(const rn_wino_plan *p)
{
    return chunks_of(p->out.c, p->oc_chunk) * chunks_of(p->in.c, p->ic_chunk);
}

/* The sums of a task, of one group of tiles, and of all groups or, where blocks are shared, of each thread's task. */
static size_t task_floats(const rn_wino_plan *p)
{
    return rn_wino_freqs(p) * sums_freq(p);
}

static size_t sums_floats(const rn_wino_plan *p)
{
    return tasks_of(p) * task_floats(p);
}

static size_t all_sums_floats(const rn_wino_plan *p, const rn_backend *be)
{
    return p->shared ? (size_t)be->threads * task_floats(p) : p->groups * sums_floats(p);
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
    rn_wino_place place = rn_wino_lines(p->in.c, p->block / cell(p));

    place.ask = p->shared;
    return place;
}

static rn_wino_place place_dst(const rn_wino_plan *p)
{
    rn_wino_place place = rn_wino_rows(p->out.c, p->block / cell(p));

    place.ask = p->shared;
    return place;
}

void rn_wino_split_gradient(rn_wino_plan *p, const rn_backend *be, const rn_conv_desc *d)
{
    p->ic_chunk = (int)rn_wino_min(CHUNK, rn_wino_up((size_t)d->ic, (size_t)p->isa->nr));
    p->oc_chunk = (int)rn_wino_min(CHUNK, (size_t)d->oc);
    const size_t cells = rn_wino_cells(p, p->tiles);
    const size_t own = rn_wino_max(OWN_BYTES / sizeof(float) / cell_floats(p), 1);
    p->groups = rn_wino_min(OWN_GROUPS, cells / own);
    p->shared = sums_floats(p) * sizeof(float) > OWN_SUMS || p->groups < 2;
    if (p->shared)
        p->groups = 1;
    while (p->shared && tasks_of(p) < TASKS * (size_t)be->threads && p->ic_chunk % (2 * p->isa->nr) == 0)
        p->ic_chunk /= 2;
    while (p->shared && tasks_of(p) < TASKS * (size_t)be->threads && p->oc_chunk / 2 >= LEAST_CHUNK)
        p->oc_chunk /= 2;
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

    return (all_sums_floats(p, be) + block_floats(p) * (p->shared ? 1 : threads) + scratch_floats(p) * threads) *
           sizeof(float);
}

typedef struct gradient {
    const rn_wino_plan *p;
    const void *src, *dst;
    float *wei;
    bool add;
    float *sums, *blocks, *scratch; /* each group's, or each thread's; of all threads, or of each; of each */
} gradient;

/* What the caches are asked for meanwhile: the n cells of frequency f, of the lines of a task. */
typedef struct ahead {
    const float *src, *dst;
    size_t src_lines, dst_lines, n;
} ahead;

/* A part of them. Inlined: see cpu_wino.c. */
static inline __attribute__((always_inline)) void ask(const gradient *g, const ahead *a, size_t part, size_t parts)
{
    const rn_wino_place v = place_src(g->p), y = place_dst(g->p);

    for (size_t t = rn_wino_part(a->n, parts, part), end = rn_wino_part(a->n, parts, part + 1); t < end; t++) {
        for (size_t i = 0; i < a->src_lines; i++)
            __builtin_prefetch(a->src + i * v.line + t * v.tile, 0, 2);
        for (size_t i = 0; i < a->dst_lines; i++)
            __builtin_prefetch(a->dst + i * y.line + t * y.tile, 0, 2);
    }
}

/* Frequency f of chunk (oc, ic) of the sums over n cells of tiles in `block`. near: the block is in a cache near by. */
static void multiply(const gradient *g, const float *block, float *sums, size_t oc, size_t ic, size_t f, size_t n,
                     bool acc, bool near)
{
    const rn_wino_plan *p = g->p;
    const rn_wino_isa *isa = p->isa;
    const rn_wino_place v = place_src(p), y = place_dst(p);
    const size_t mr = (size_t)isa->mr, nr = (size_t)isa->nr;
    const size_t o0 = oc * (size_t)p->oc_chunk, i0 = ic * (size_t)p->ic_chunk;
    const size_t on = rn_wino_min((size_t)p->oc_chunk, (size_t)p->out.c - o0),
                 in = rn_wino_min((size_t)p->ic_chunk, (size_t)p->in.c - i0), parts = (on + mr - 1) / mr;
    const float *dst = block + rn_wino_freqs(p) * v.freq;
    const ahead next = {.src = block + (f + 1) * v.freq + i0 / RN_WINO_LINE * v.line,
                        .dst = dst + (f + 1) * y.freq + o0 / RN_WINO_LINE * y.line,
                        .src_lines = rn_wino_up(in, RN_WINO_LINE) / RN_WINO_LINE,
                        .dst_lines = rn_wino_up(on, RN_WINO_LINE) / RN_WINO_LINE,
                        .n = near || f + 1 == rn_wino_freqs(p) ? 0 : n};
    const size_t calls = (n + MOST_TILES - 1) / MOST_TILES * parts * ((in + nr - 1) / nr);
    size_t call = 0;

    void (*const product_cols)(const rn_wino_product *) = p->pairs ? p->pairs->product_cols : isa->product_cols;

    for (size_t t = 0; t < n; t += MOST_TILES, acc = true) {
        for (size_t i = 0; i < parts; i++) {
            const size_t r0 = rn_wino_part(on, parts, i), r1 = rn_wino_part(on, parts, i + 1);
            for (size_t c = 0; c < in; c += nr) {
                const size_t line = (i0 + c) / RN_WINO_LINE, at = (i0 + c) % RN_WINO_LINE;
                ask(g, &next, call++, calls);
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

/* Row o of a task's gradient. */
static void write_row(const gradient *g, const float *sums, size_t oc, size_t ic, size_t o, bool add)
{
    const rn_wino_plan *p = g->p;
    const size_t c0 = ic * (size_t)p->ic_chunk, c1 = rn_wino_min(c0 + (size_t)p->ic_chunk, (size_t)p->in.c);

    p->isa->write_wei(g->wei, p->in.c, (int)(oc * (size_t)p->oc_chunk + o), (int)c0, (int)c1,
                      sums + o * (size_t)p->ic_chunk, sums_freq(p), add);
}

/* Asks for what row o of a task's gradient is written over: a store that misses makes all later ones wait. Inlined: see cpu_wino.c. */
static inline __attribute__((always_inline)) void ask_row(const gradient *g, size_t oc, size_t ic, size_t o)
{
    const rn_wino_plan *p = g->p;
    const size_t c0 = ic * (size_t)p->ic_chunk, c1 = rn_wino_min(c0 + (size_t)p->ic_chunk, (size_t)p->in.c);
    const float *row = g->wei + (oc * (size_t)p->oc_chunk + o) * 9 * (size_t)p->in.c;

    for (size_t r = 0; r < 9; r++, row += p->in.c) {
        for (size_t c = c0; c < c1; c += RN_WINO_LINE)
            __builtin_prefetch(row + c, 1);
    }
}

static void write_task(const gradient *g, const float *sums, size_t oc, size_t ic, bool add)
{
    const size_t chunk = (size_t)g->p->oc_chunk, rows = rn_wino_min(chunk, (size_t)g->p->out.c - oc * chunk);

    for (size_t o = 0; o < rows; o++) {
        if (o + 1 < rows)
            ask_row(g, oc, ic, o + 1);
        write_row(g, sums, oc, ic, o, add);
    }
}

/* All threads the same tiles t0..t1-1: transformed, then the tasks shared out. What a task sums is transformed back at once,
 * and added to the gradient, a quarter as large. */
static void add_shared(const gradient *g, size_t t0, size_t t1)
{
    const rn_wino_plan *p = g->p;
    const size_t ics = chunks_of(p->in.c, p->ic_chunk), n = rn_wino_cells(p, t1 - t0);
    float *sums = g->sums + (size_t)omp_get_thread_num() * task_floats(p);

#pragma omp for schedule(static)
    for (size_t i = 0; i < n; i++)
        transform_cell(g, g->blocks, t0, t1, i);
#pragma omp for schedule(dynamic)
    for (size_t i = 0; i < tasks_of(p); i++) {
        for (size_t f = 0; f < rn_wino_freqs(p); f++)
            multiply(g, g->blocks, sums + f * sums_freq(p), i / ics, i % ics, f, n, false, false);
        write_task(g, sums, i / ics, i % ics, g->add || t0 > 0);
    }
}

/* A thread alone: the blocks of a group of tiles. */
static void add_group(const gradient *g, size_t group)
{
    const rn_wino_plan *p = g->p;
    const size_t ics = chunks_of(p->in.c, p->ic_chunk), fs = rn_wino_freqs(p);
    const size_t blocks = (p->tiles + p->block - 1) / p->block, first = rn_wino_part(blocks, p->groups, group);
    float *block = g->blocks + (size_t)omp_get_thread_num() * block_floats(p), *sums = g->sums + group * sums_floats(p);

    for (size_t b = first; b < rn_wino_part(blocks, p->groups, group + 1); b++) {
        const size_t t0 = b * p->block, t1 = rn_wino_min(t0 + p->block, p->tiles), n = rn_wino_cells(p, t1 - t0);
        for (size_t i = 0; i < n; i++)
            transform_cell(g, block, t0, t1, i);
        for (size_t i = 0; i < tasks_of(p) * fs; i++)
            multiply(g, block, sums + i * sums_freq(p), i / fs / ics, i / fs % ics, i % fs, n, b > first, true);
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

/* Of all tasks' gradients, row o. */
static void write_rows(const gradient *g, size_t o)
{
    const rn_wino_plan *p = g->p;
    const size_t ics = chunks_of(p->in.c, p->ic_chunk), chunk = (size_t)p->oc_chunk;

    for (size_t i = 0; i < ics; i++)
        write_row(g, g->sums + (o / chunk * ics + i) * task_floats(p), o / chunk, i, o % chunk, g->add);
}

void rn_wino_run_gradient(const rn_conv_plan *plan, const rn_conv_args *args, int beta, float *ws)
{
    const rn_wino_plan *p = plan->priv;
    gradient g = {.p = p, .src = args->src, .dst = args->dst, .wei = args->wei, .add = beta != 0};

    g.sums = ws;
    g.blocks = g.sums + all_sums_floats(p, plan->be);
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
#pragma omp for schedule(static)
            for (size_t o = 0; o < (size_t)p->out.c; o++)
                write_rows(&g, o);
        }
    }
}
