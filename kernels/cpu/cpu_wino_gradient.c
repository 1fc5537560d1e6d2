/* SPDX-License-Identifier: MIT */
/* cpu:winograd, bwd_w. */
#include <omp.h>

#include "kernels/cpu/cpu_wino_plan.h"

/* What all threads together transform at a time, of src and dst. */
#define SHARED_BYTES ((size_t)12 << 20)
/* Tiles that the register tile sums at a time: a panel of them stays in the L1 cache. */
#define MOST_TILES   128
/* Channels of each side in a task. */
#define CHUNK        64

static size_t freqs_of(const rn_wino_plan *p)
{
    return (size_t)p->isa->n * (size_t)p->isa->n;
}

/* Floats between the frequencies of a task's sums. */
static size_t sums_freq(const rn_wino_plan *p)
{
    return (rn_wino_up((size_t)p->oc_chunk * (size_t)p->ic_chunk, RN_WINO_LINE) / RN_WINO_LINE | 1) * RN_WINO_LINE;
}

static size_t chunks_of(int channels, int chunk)
{
    return (size_t)((channels + chunk - 1) / chunk);
}

static size_t tile_floats(const rn_wino_plan *p)
{
    return freqs_of(p) * (rn_wino_up((size_t)p->in.c, RN_WINO_LINE) + rn_wino_rows(p->out.c, 1).tile);
}

void rn_wino_split_gradient(rn_wino_plan *p, const rn_backend *be, const rn_conv_desc *d)
{
    size_t blocks;

    (void)be;
    p->ic_chunk = (int)rn_wino_min(CHUNK, rn_wino_up((size_t)d->ic, (size_t)p->isa->nr));
    p->oc_chunk = (int)rn_wino_min(CHUNK, (size_t)d->oc);
    p->block = SHARED_BYTES / sizeof(float) / tile_floats(p);
    p->block = rn_wino_min(p->block ? p->block : 1, p->tiles);
    blocks = (p->tiles + p->block - 1) / p->block;
    p->block = (p->tiles + blocks - 1) / blocks;
}

static size_t sums_floats(const rn_wino_plan *p)
{
    return chunks_of(p->out.c, p->oc_chunk) * chunks_of(p->in.c, p->ic_chunk) * freqs_of(p) * sums_freq(p);
}

size_t rn_wino_gradient_workspace(const rn_wino_plan *p, const rn_conv_desc *d)
{
    (void)d;
    return (sums_floats(p) +
            freqs_of(p) * (rn_wino_lines(p->in.c, p->block).freq + rn_wino_rows(p->out.c, p->block).freq)) *
           sizeof(float);
}

typedef struct gradient {
    const rn_wino_plan *p;
    const void *src, *dst;
    float *wei;
    bool add;
    float *v, *y, *sums;
} gradient;

/* Frequency f of chunk (oc, ic) of the sums over n tiles. */
static void multiply(const gradient *g, size_t oc, size_t ic, size_t f, size_t n, bool acc)
{
    const rn_wino_plan *p = g->p;
    const rn_wino_isa *isa = p->isa;
    const rn_wino_place v = rn_wino_lines(p->in.c, p->block), y = rn_wino_rows(p->out.c, p->block);
    const size_t mr = (size_t)isa->mr, nr = (size_t)isa->nr;
    const size_t o0 = oc * (size_t)p->oc_chunk, i0 = ic * (size_t)p->ic_chunk;
    const size_t on = rn_wino_min((size_t)p->oc_chunk, (size_t)p->out.c - o0),
                 in = rn_wino_min((size_t)p->ic_chunk, (size_t)p->in.c - i0), parts = (on + mr - 1) / mr;
    float *sums = g->sums + (oc * chunks_of(p->in.c, p->ic_chunk) + ic) * freqs_of(p) * sums_freq(p) + f * sums_freq(p);

    for (size_t t = 0; t < n; t += MOST_TILES, acc = true) {
        for (size_t i = 0; i < parts; i++) {
            const size_t r0 = rn_wino_part(on, parts, i), r1 = rn_wino_part(on, parts, i + 1);
            for (size_t c = 0; c < in; c += nr) {
                const size_t line = (i0 + c) / RN_WINO_LINE, at = (i0 + c) % RN_WINO_LINE;
                isa->product_cols(&(rn_wino_product){.m = (int)(r1 - r0),
                                                     .k = (int)rn_wino_min(MOST_TILES, n - t),
                                                     .a = g->y + f * y.freq + t * y.tile + o0 + r0,
                                                     .a_step = y.tile,
                                                     .b = g->v + f * v.freq + line * v.line + t * v.tile + at,
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

/* Tiles t0..t1-1: transformed by all threads, then summed. */
static void add_tiles(const gradient *g, size_t t0, size_t t1)
{
    const rn_wino_plan *p = g->p;
    const rn_wino_place v = rn_wino_lines(p->in.c, p->block), y = rn_wino_rows(p->out.c, p->block);
    const size_t ics = chunks_of(p->in.c, p->ic_chunk), ocs = chunks_of(p->out.c, p->oc_chunk), fs = freqs_of(p);

#pragma omp for schedule(static)
    for (size_t t = t0; t < t1; t++) {
        p->io->read_src(&p->in, g->src, rn_wino_read_of(p, 0), t, t + 1, g->v + (t - t0) * v.tile, v);
        p->io->read_dst(&p->out, g->dst, rn_wino_read_of(p, 1), t, t + 1, g->y + (t - t0) * y.tile, y);
    }
#pragma omp for schedule(static)
    for (size_t i = 0; i < ocs * ics * fs; i++)
        multiply(g, i / fs / ics, i / fs % ics, i % fs, t1 - t0, t0 > 0);
}

static void write_row(const gradient *g, size_t o)
{
    const rn_wino_plan *p = g->p;
    const size_t ics = chunks_of(p->in.c, p->ic_chunk), row = o % (size_t)p->oc_chunk;

    for (size_t i = 0; i < ics; i++) {
        const size_t c0 = i * (size_t)p->ic_chunk, c1 = rn_wino_min(c0 + (size_t)p->ic_chunk, (size_t)p->in.c);
        const float *from =
            g->sums + (o / (size_t)p->oc_chunk * ics + i) * freqs_of(p) * sums_freq(p) + row * (size_t)p->ic_chunk;
        p->isa->write_wei(g->wei, p->in.c, (int)o, (int)c0, (int)c1, from, sums_freq(p), g->add);
    }
}

void rn_wino_run_gradient(const rn_conv_plan *plan, const rn_conv_args *args, int beta, float *ws)
{
    const rn_wino_plan *p = plan->priv;
    gradient g = {.p = p, .src = args->src, .dst = args->dst, .wei = args->wei, .add = beta != 0};

    g.sums = ws;
    g.v = g.sums + sums_floats(p);
    g.y = g.v + freqs_of(p) * rn_wino_lines(p->in.c, p->block).freq;
#pragma omp parallel num_threads(plan->be->threads)
    {
        for (size_t t = 0; t < p->tiles; t += p->block)
            add_tiles(&g, t, rn_wino_min(t + p->block, p->tiles));
#pragma omp for schedule(static)
        for (size_t o = 0; o < (size_t)p->out.c; o++)
            write_row(&g, o);
    }
}
