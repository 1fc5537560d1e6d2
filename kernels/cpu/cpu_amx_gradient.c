/* SPDX-License-Identifier: MIT */
/*
 * cpu:amx, bwd_w: wei[oc][tap][ic] = sum over pixels of dst[pixel][oc] * src[pixel + tap][ic].
 *
 * A is dst with its pixels in rows, one for each output channel; B is a strip of src (cpu_amx.h), two positions' channels
 * interleaved. Both are packed once for all taps, and numbered alike, over the rows and images of a strip, so that a tap
 * is again a distance. It is taken off A's position, where any number of positions is an address; B, whose pairs a
 * distance of 1 would tear, stays where it is. dst is 0 at positions that are no pixels.
 *
 * For 32 x 32 channels, a few hundred positions of both lie in the L1 cache while all taps pass over them; the taps' sums
 * wait in the L2 cache meanwhile.
 */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "kernels/cpu/cpu_amx.h"
#include "kernels/cpu/cpu_conv_plan.h"

#define STEP         32 /* positions */
/* Steps that all taps pass over before the next: A and B of 256 positions are 32 KB. */
#define NEAR_STEPS   8
/* Bytes of A and B that the L2 cache holds; or half those of the weights, that they are added to seldom. */
#define STRIP_BYTES  (1 << 20)
/* From so many weights on, threads rather share the output channels than each sum up all of them. */
#define MANY_WEIGHTS 131072
#define PAIR_FLOATS  (4 * RN_AMX_TILE / sizeof(float))

/* ---- geometry -------------------------------------------------------------------------------------------------------- */

static int round_up(int a, int b)
{
    return rn_amx_ceil(a, b) * b;
}

/* Bytes of A and B of `rows` rows of the grid. */
static double packed_bytes(const rn_amx_plan *p, int rows)
{
    return 2.0 * rows * p->pitch * ((double)p->g.oc / p->g.shares + (double)p->nsubs * p->planes * RN_AMX_PAIR);
}

static void choose_shares(rn_amx_plan *p, int threads)
{
    rn_amx_gradient *g = &p->g;

    g->shares = 1;
    for (int s = 2; s <= threads && (double)g->oc * p->ntaps * p->run > MANY_WEIGHTS; s++) {
        if (threads % s == 0 && g->oc_pairs >= 0.85 * s * rn_amx_ceil(g->oc_pairs, s))
            g->shares = s;
    }
    g->parts = threads / g->shares;
}

/* Rows, or whole images, of a strip; so many strips that the parts are alike. */
static void choose_strips(rn_amx_plan *p)
{
    rn_amx_gradient *g = &p->g;
    const double weights = 2.0 * g->oc * p->ntaps * p->run, budget = weights > STRIP_BYTES ? weights : STRIP_BYTES;
    const double whole = packed_bytes(p, g->image_rows);
    int strips;

    p->images = 1;
    p->block = p->gh;
    if (whole > budget || p->mb < g->parts) {
        int blocks = whole > budget ? (int)(whole / budget) + 1 : 1;
        while (p->mb * blocks < g->parts && blocks < p->gh)
            blocks++;
        p->block = rn_amx_ceil(p->gh, rn_amx_min(blocks, p->gh));
        g->image_rows = p->block;
        strips = p->mb * rn_amx_ceil(p->gh, p->block);
    } else {
        strips = round_up(rn_amx_ceil(p->mb, rn_amx_max((int)(budget / whole), 1)), g->parts);
        p->images = rn_amx_ceil(p->mb, rn_amx_min(strips, p->mb));
        strips = rn_amx_ceil(p->mb, p->images);
    }
    g->parts = rn_amx_min(g->parts, strips);
}

static int distance(const rn_amx_plan *p, const rn_amx_tap *t)
{
    return (t->dy - p->dy0) * p->pitch + t->dx - p->dx0;
}

/* Positions from a strip's first pixel to its last. */
static int strip_positions(const rn_amx_plan *p)
{
    return (p->images - 1) * p->g.image_positions + (p->block - 1) * p->pitch + p->gw;
}

void rn_amx_gradient_geometry(rn_amx_plan *p, const rn_conv_desc *d, int threads)
{
    rn_amx_gradient *g = &p->g;
    const int apart = p->gh + p->dy1 - p->dy0, shared = rn_amx_max(p->gh + p->dy1, rn_amx_ceil(p->h, p->sy) - p->dy0);

    g->oc = d->oc;
    g->oc_pairs = rn_amx_ceil(d->oc, RN_AMX_PAIR);
    g->run_pairs = p->planes;
    g->image_rows =
        rn_amx_max(rn_amx_min(apart, shared), p->gh); /* the zeros below an image are those above the next */
    choose_shares(p, threads);
    choose_strips(p);
    g->image_positions = round_up(g->image_rows * p->pitch, 2);
    const int n = strip_positions(p), reach = n + (p->dy1 - p->dy0) * p->pitch + p->dx1 - p->dx0;
    g->reach = round_up(reach, STEP) + STEP;
    g->nsteps = rn_amx_ceil(n + STEP - 1, STEP);
    g->ld = round_up(n, STEP) + 2 * STEP;
    g->ld += g->ld / STEP % 2 ? 0 : STEP; /* an odd number of lines: channels spread over the cache's sets */
    g->a_bytes = (size_t)rn_amx_ceil(g->oc_pairs, g->shares) * RN_AMX_PAIR * (size_t)g->ld * sizeof(uint16_t);
    g->pair_bytes = (size_t)p->nsubs * (size_t)g->reach / STEP * 2 * RN_AMX_TILE;
    g->b_bytes = g->pair_bytes * (size_t)g->run_pairs;
}

/* Numbers of one copy of the weights. */
static size_t copy_floats(const rn_conv_desc *d)
{
    return ((size_t)d->oc * d->kh * d->kw * d->ic + 15) / 16 * 16;
}

/* Of a pixel of dst, in whole lines. */
static size_t pixel_numbers(const rn_amx_plan *p)
{
    return (size_t)p->g.oc_pairs * RN_AMX_PAIR;
}

/* A row of positions and one more of each plane; before, pixels of dst that a prologue was put to, and one of zeros. */
static size_t row_bytes(const rn_amx_plan *p)
{
    const size_t line = (size_t)p->planes * (p->pitch + 1) * RN_AMX_LINE,
                 pixels = (STEP + 1) * pixel_numbers(p) * sizeof(uint16_t);
    return line > pixels ? line : pixels;
}

size_t rn_amx_gradient_thread_bytes(const rn_amx_plan *p)
{
    return row_bytes(p) + p->g.a_bytes + p->g.b_bytes + (size_t)p->ntaps * PAIR_FLOATS * sizeof(float);
}

size_t rn_amx_gradient_workspace(const rn_amx_plan *p, const rn_conv_desc *d)
{
    return rn_amx_gradient_thread_bytes(p) * (size_t)(p->g.shares * p->g.parts) +
           (size_t)(p->g.parts - 1) * copy_floats(d) * sizeof(float);
}

/* Steps begin at B's whole steps; the first one's position is up to 31 before A's first, where A has zeros. */
int rn_amx_gradient_tables(rn_amx_plan *p)
{
    rn_amx_gradient *g = &p->g;

    if (!(g->steps = calloc((size_t)p->ntaps * (size_t)g->nsteps, sizeof *g->steps)) ||
        !(g->counts = calloc((size_t)p->ntaps, sizeof *g->counts)))
        return rn_fail(RN_E_NOMEM, "cpu:amx: out of memory");
    for (int t = 0; t < p->ntaps; t++) {
        const int off = distance(p, &p->taps[t]), first = off / STEP;
        g->counts[t] = rn_amx_ceil(off % STEP + strip_positions(p), STEP);
        for (int i = 0; i < g->counts[t]; i++) {
            const int sub_steps = p->taps[t].sub * (g->reach / STEP);
            g->steps[(size_t)t * g->nsteps + i] = (rn_amx_step){
                (STEP + (first + i) * STEP - off) * (int)sizeof(uint16_t), (sub_steps + first + i) * 2 * RN_AMX_TILE};
        }
    }
    return 0;
}

/* ---- the run ---------------------------------------------------------------------------------------------------------- */

typedef struct gradient {
    const rn_conv_plan *plan;
    const rn_amx_plan *p;
    const rn_conv_args *a;
    rn_amx_read src, dst; /* prologues */
} gradient;

/* One thread's memory. */
typedef struct scratch {
    char *row;
    uint16_t *a;
    char *b;
    float *sums;
} scratch;

static scratch scratch_of(const rn_amx_plan *p, char *mine)
{
    scratch s = {.row = mine, .a = (uint16_t *)(mine + row_bytes(p))};

    s.b = (char *)s.a + p->g.a_bytes;
    s.sums = (float *)(s.b + p->g.b_bytes);
    return s;
}

/* A strip's images n0..n1-1, rows y0..y1-1. */
typedef struct strip {
    int n0, n1, y0, y1;
} strip;

static strip strip_at(const rn_amx_plan *p, int i)
{
    const int blocks = rn_amx_ceil(p->gh, p->block), n0 = i / blocks * p->images, y0 = i % blocks * p->block;

    return (strip){n0, rn_amx_min(n0 + p->images, p->mb), y0, rn_amx_min(y0 + p->block, p->gh)};
}

/* One sub-image of image n, all planes: `left` (even) positions from number q (even) on. A row of them is copied, and
 * interleaved while it is in the L1 cache; of an odd number one is left for the next row. */
static void pack_sub(const gradient *g, const strip *s, int n, int sub, int left, int q, char *row, char *steps)
{
    const rn_amx_plan *p = g->p;
    const int rows = p->block + p->dy1 - p->dy0;
    int have = 0;

    for (int r = 0, pairs; left > 0; r++, q += pairs, left -= pairs, have -= pairs) {
        const int before = have;
        have += p->pitch;
        pairs = rn_amx_min(have, left) / 2 * 2;
        for (int k = 0; k < p->planes; k++) {
            char *at = row + (size_t)k * (p->pitch + 1) * RN_AMX_LINE, *to = at + (size_t)before * RN_AMX_LINE;
            if (r < rows)
                rn_amx_fill_line(p, &g->src, g->a->src, n, s->y0, sub * rows + r, k, to);
            else
                memset(to, 0, (size_t)p->pitch * RN_AMX_LINE);
            rn_amx_interleave(at, pairs, q, steps + (size_t)k * p->g.pair_bytes);
            if (have - pairs == 1)
                memcpy(at, at + (size_t)pairs * RN_AMX_LINE, RN_AMX_LINE);
        }
    }
}

static void pack_b(const gradient *g, const strip *s, const scratch *m)
{
    const rn_amx_plan *p = g->p;
    const int rows = p->block + p->dy1 - p->dy0, positions = p->g.image_positions, all = round_up(rows * p->pitch, 2);
    const int end = (s->n1 - s->n0 - 1) * positions + all, sub_steps = p->g.reach / STEP;

    for (int sub = 0; sub < p->nsubs; sub++) {
        char *steps = m->b + (size_t)sub * sub_steps * 2 * RN_AMX_TILE;
        for (int k = 0; k < p->planes; k++) /* what follows the last image */
            memset(steps + (size_t)k * p->g.pair_bytes + (size_t)(end / STEP) * 2 * RN_AMX_TILE, 0,
                   (size_t)(sub_steps - end / STEP) * 2 * RN_AMX_TILE);
        for (int n = s->n0; n < s->n1; n++)
            pack_sub(g, s, n, sub, n + 1 < s->n1 ? positions : all, (n - s->n0) * positions, m->row, steps);
    }
}

/* A position of A: x, y and number q in image n. */
typedef struct place {
    int n, y, x, q;
} place;

/* 32 positions from `at` on: channel c0 of their pixels of dst, `zeros` where there is none. Returns how many there are. */
static int pixels_at(const gradient *g, const strip *s, place *at, int c0, const uint16_t *zeros, const uint16_t **px)
{
    const rn_amx_plan *p = g->p;
    const rn_conv_desc *d = &g->plan->desc;
    int count = 0;

    for (int j = 0, n; j < STEP; j += n) {
        const bool row = at->n < s->n1 && at->y < s->y1 - s->y0, pixel = row && at->x < p->gw;
        n = !row ? p->g.image_positions - at->q : (pixel ? p->gw : p->pitch) - at->x;
        n = rn_amx_min(n, STEP - j);
        const size_t first = ((size_t)at->n * d->oh + (size_t)(s->y0 + at->y)) * d->ow + (size_t)at->x;
        for (int i = 0; i < n; i++)
            px[j + i] = pixel ? (const uint16_t *)g->a->dst + (first + (size_t)i) * d->oc + c0 : zeros;
        count += pixel ? n : 0;
        at->q += n;
        at->x += row ? n : 0;
        if (at->q == p->g.image_positions)
            *at = (place){.n = at->n + 1};
        else if (at->x == p->pitch)
            at->x = 0, at->y++;
    }
    return count;
}

/* Channels c0..c1-1 of dst; rows up to whole pairs, and the steps before and after, are zeros. */
static void pack_a(const gradient *g, const strip *s, int c0, int c1, const scratch *m)
{
    const rn_amx_plan *p = g->p;
    const uint16_t *dst = g->a->dst, *px[STEP];
    const int channels = c1 - c0, ld = p->g.ld, padded = round_up(channels, RN_AMX_PAIR);
    uint16_t *read = (uint16_t *)m->row, *zeros = read + STEP * pixel_numbers(p);
    place at = {.n = s->n0};

    memset(zeros, 0, pixel_numbers(p) * sizeof *zeros);
    for (int j = 0; j < STEP; j++)
        px[j] = zeros;
    memset(m->a + (size_t)channels * ld, 0, (size_t)(padded - channels) * ld * sizeof *m->a);
    for (int i = 0; i < ld; i += STEP) {
        if (i == 0 || pixels_at(g, s, &at, c0, zeros, px) == 0) {
            for (int c = 0; c < channels; c++)
                memset(m->a + (size_t)c * ld + i, 0, STEP * sizeof *m->a);
            continue;
        }
        for (int j = 0; j < STEP && g->dst.scale; j++) {
            if (px[j] == zeros)
                continue;
            rn_amx_read_pixel(&g->dst, px[j], (size_t)(px[j] - dst), c0, channels, read + (size_t)j * padded);
            px[j] = read + (size_t)j * padded;
        }
        rn_amx_transpose(px, channels, m->a + i, (size_t)ld);
    }
}

/* All taps of 32 x 32 channels: pair `o` of those in A, pair `k` of B. */
static void pair_sums(const gradient *g, const scratch *m, int o, int k, int mt, int nt)
{
    const rn_amx_plan *p = g->p;
    const rn_amx_gradient *e = &p->g;
    const size_t line = (size_t)e->ld * sizeof(uint16_t);
    const char *at = (const char *)m->a + (size_t)o * RN_AMX_PAIR * line, *a[2] = {at, at + RN_AMX_ROWS * line};
    const int near = p->ntaps > 1 ? NEAR_STEPS : e->nsteps;

    for (int i = 0; i < e->nsteps; i += near) {
        for (int t = 0; t < p->ntaps; t++) {
            const int n = rn_amx_min(e->counts[t] - i, near);
            if (n > 0)
                rn_amx_products(mt, nt, a, line, m->b + (size_t)k * e->pair_bytes, e->steps + (size_t)t * e->nsteps + i,
                                n, i > 0, m->sums + (size_t)t * PAIR_FLOATS);
        }
    }
}

/* Pairs o0..o1-1 of the output channels over strips i0..i1-1. */
static void gradient_task(const gradient *g, int o0, int o1, int i0, int i1, const scratch *m, float *out, bool add)
{
    const rn_amx_plan *p = g->p;
    const rn_conv_desc *d = &g->plan->desc;
    const int c0 = o0 * RN_AMX_PAIR, c1 = rn_amx_min(o1 * RN_AMX_PAIR, d->oc);
    const size_t filter = (size_t)d->kh * d->kw * d->ic;

    rn_amx_configure(RN_AMX_ROWS);
    for (int i = i0; i < i1; i++, add = true) {
        const strip s = strip_at(p, i);
        pack_a(g, &s, c0, c1, m);
        pack_b(g, &s, m);
        for (int o = o0; o < o1; o++) {
            const int rows = rn_amx_min(c1 - o * RN_AMX_PAIR, RN_AMX_PAIR);
            for (int k = 0; k < p->g.run_pairs; k++) {
                const int n = rn_amx_min(p->run - k * RN_AMX_PAIR, RN_AMX_PAIR);
                pair_sums(g, m, o - o0, k, rows > 16 ? 2 : 1, n > 16 ? 2 : 1);
                for (int t = 0; t < p->ntaps; t++)
                    rn_amx_put_f32(m->sums + (size_t)t * PAIR_FLOATS, rows, n,
                                   out + (size_t)o * RN_AMX_PAIR * filter +
                                       ((size_t)p->taps[t].r * d->kw + (size_t)p->taps[t].s) * d->ic +
                                       (size_t)k * RN_AMX_PAIR,
                                   filter, add);
            }
        }
    }
    rn_amx_release();
}

void rn_amx_run_gradient(const rn_conv_plan *plan, const rn_conv_args *a, int beta, char *ws)
{
    const rn_amx_plan *p = plan->priv;
    const gradient g = {.plan = plan,
                        .p = p,
                        .a = a,
                        .src = rn_amx_read_src(plan->desc.fuse, a),
                        .dst = rn_amx_read_dst(plan->desc.fuse, a)};
    const int shares = p->g.shares, parts = p->g.parts;
    const int64_t strips = (int64_t)rn_amx_ceil(p->mb, p->images) * rn_amx_ceil(p->gh, p->block), pairs = p->g.oc_pairs;
    const size_t bytes = rn_amx_gradient_thread_bytes(p), stride = copy_floats(&plan->desc);
    float *copies = (float *)(ws + bytes * (size_t)(shares * parts));

#pragma omp parallel for schedule(static, 1) num_threads(plan->be->threads)
    for (int t = 0; t < shares * parts; t++) {
        const int share = t % shares, part = t / shares;
        const scratch m = scratch_of(p, ws + bytes * (size_t)t);
        gradient_task(&g, (int)(pairs * share / shares), (int)(pairs * (share + 1) / shares),
                      (int)(strips * part / parts), (int)(strips * (part + 1) / parts), &m,
                      part == 0 ? (float *)a->wei : copies + (size_t)(part - 1) * stride, part == 0 && beta);
    }
    if (parts > 1)
        rn_conv_add_copies(a->wei, copies, (size_t)plan->desc.oc * plan->desc.kh * plan->desc.kw * plan->desc.ic,
                           stride, parts - 1, plan->be->threads);
}
