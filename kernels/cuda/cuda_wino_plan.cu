/* SPDX-License-Identifier: MIT */
/* cuda:winograd, the host's side: which cases, in what chunks and parts, and one kernel after the other. */
#include <stdlib.h>

extern "C" {
#include "base/rn_error.h"
#include "op/rn_backend.h"
}
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/cuda_conv.h"
#include "kernels/cuda/cuda_conv_gemm_run.h"
#include "kernels/cuda/cuda_wino.h"

/* Transformed weights of a case may take so much memory and no more, as on the CPU. */
#define MOST_WEIGHTS ((size_t)256 << 20)
/* Transformed tiles of a chunk: they stay in the second cache of an H100. bwd_w: stages of a part of a sum at least, and parts
 * until every multiprocessor has so many blocks. On the emulated device there are to be some of each. */
#ifdef RN_CUDA_EMULATED
#define CHUNK_BYTES   ((size_t)1 << 20)
#define STAGES_A_PART 2
#define BLOCKS_EACH   32
#else
#define CHUNK_BYTES   ((size_t)32 << 20)
#define STAGES_A_PART 8
#define BLOCKS_EACH   2
#endif
/* What tiles of a chunk are a multiple of, and where there are as many. */
#define CHUNK_LEAST    ((int64_t)RN_WINO_WRITE_TILES)
#define CHUNK_WHOLE    ((int64_t)128)
/* Where it may be worth while. */
#define LEAST_CHANNELS 32
#define MOST_WASTE     1.8
enum { ROWS = 128, COLUMNS = 64, TERMS = 16 }; /* of a tile of the product; of the wide one twice as many columns */

typedef struct wino_plan {
    float *weights; /* fwd, bwd_d: (f, columns, padded terms) */
    float *turned;  /* bwd_d: weights as (ic, 3, 3, oc) */
} wino_plan;

/* How a case is cut. in: what is read in fwd and bwd_d, src in bwd_w; other: what is written, or dst. */
typedef struct cut {
    rn_wino_grid in, other;
    int out, freqs, in_padded, other_padded, splits;
    bool wide;
    int64_t tiles, chunk;
    size_t in_floats, other_floats, parts, sums; /* of the workspace, in this order; sums: doubles */
} cut;

static int64_t up(int64_t n, int64_t by)
{
    return (n + by - 1) / by;
}

static rn_wino_grid grid_of(int mb, int h, int w, int c, int step, int y0, int x0)
{
    return rn_wino_grid{mb, h, w, c, 0, 0, step, y0, x0};
}

/* Both grids have the tiles of what is computed; in bwd_w, of dst. */
static void lay(cut *c, const rn_conv_desc *d, rn_conv_dir dir)
{
    const int n = c->out;

    if (dir == RN_BWD_D) {
        c->in = grid_of(d->mb, d->oh, d->ow, d->oc, n, d->ph - 2, d->pw - 2);
        c->other = grid_of(d->mb, d->ih, d->iw, d->ic, n, 0, 0);
    } else {
        c->in = grid_of(d->mb, d->ih, d->iw, d->ic, n, -d->ph, -d->pw);
        c->other = grid_of(d->mb, d->oh, d->ow, d->oc, n, 0, 0);
    }
    c->in.th = c->other.th = (int)up(c->other.h, n);
    c->in.tw = c->other.tw = (int)up(c->other.w, n);
    c->tiles = (int64_t)d->mb * c->in.th * c->in.tw;
    c->in_padded = rn_wino_padded(c->in.c);
    c->other_padded = rn_wino_padded(c->other.c);
}

/* Tiles that there is room for. */
static int64_t chunk_of(const cut *c, size_t room)
{
    const size_t tile = (size_t)c->freqs * (size_t)(c->in_padded + c->other_padded) * sizeof(float);
    int64_t n = (int64_t)(room / tile);

    n = n >= CHUNK_WHOLE ? n / CHUNK_WHOLE * CHUNK_WHOLE : n / CHUNK_LEAST * CHUNK_LEAST;
    n = n < CHUNK_LEAST ? CHUNK_LEAST : n;
    return n < c->tiles ? n : c->tiles;
}

/* Parts that fill the GPU, of no fewer than some stages of a chunk each, in half of the workspace. */
static int splits_of(struct rn_backend *be, const cut *c, size_t limit)
{
    const int64_t blocks = c->freqs * up(c->other.c, ROWS) * up(c->in_padded, c->wide ? 2 * COLUMNS : COLUMNS);
    const int64_t stages = up(chunk_of(c, CHUNK_BYTES), TERMS);
    const size_t part = (size_t)c->freqs * c->other.c * c->in_padded * sizeof(float);
    int64_t n = (int64_t)rn_cuda_multiprocessors(be) * BLOCKS_EACH / blocks;

    n = n < stages / STAGES_A_PART ? n : stages / STAGES_A_PART;
    if (limit && n > (int64_t)(limit / 2 / part))
        n = (int64_t)(limit / 2 / part);
    return n > 1 ? (int)n : 1;
}

static cut cut_of(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, int out)
{
    const size_t limit = be->workspace_limit;
    size_t room = CHUNK_BYTES, fixed;
    cut c = {};

    c.out = out;
    c.freqs = (out + 2) * (out + 2);
    lay(&c, d, dir);
    const int columns = dir == RN_BWD_W ? c.in_padded : c.other_padded;
    c.wide = columns % (2 * COLUMNS) == 0 || columns % (2 * COLUMNS) > COLUMNS;
    c.splits = dir == RN_BWD_W ? splits_of(be, &c, limit) : 1;
    c.parts = dir == RN_BWD_W ? (size_t)c.splits * c.freqs * c.other.c * c.in_padded : 0;
    c.sums = d->fuse & (RN_EPI_STATS | RN_EPI_DBN) ? (size_t)up(c.tiles, RN_WINO_WRITE_TILES) * 2 * c.other.c : 0;
    fixed = c.parts * sizeof(float) + c.sums * sizeof(double);
    if (limit && limit < room + fixed)
        room = limit > fixed ? limit - fixed : 0;
    c.chunk = chunk_of(&c, room);
    c.in_floats = (size_t)(c.freqs * c.chunk * c.in_padded);
    c.other_floats = (size_t)(c.freqs * c.chunk * c.other_padded);
    return c;
}

static bool supports(struct rn_backend *, const rn_conv_desc *d, rn_conv_dir dir, const char **why, int out)
{
    const size_t freqs = (size_t)(out + 2) * (size_t)(out + 2);

    *why = "f32 only";
    if (d->dtype != RN_F32)
        return false;
    *why = "3x3 kernels of stride 1 only";
    if (d->kh != 3 || d->kw != 3 || d->sh != 1 || d->sw != 1)
        return false;
    if ((*why = rn_conv_fuse_refusal(d, dir, ~0u)))
        return false;
    *why = "the transformed weights would take more than 256 MB";
    return freqs * (size_t)rn_wino_padded(d->ic) * (size_t)rn_wino_padded(d->oc) * sizeof(float) <= MOST_WEIGHTS;
}

static size_t workspace(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, int out)
{
    const cut c = cut_of(be, d, dir, out);

    return (c.in_floats + c.other_floats + c.parts) * sizeof(float) + c.sums * sizeof(double);
}

static int open_plan(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, void **priv, int out)
{
    wino_plan *p = (wino_plan *)calloc(1, sizeof *p);
    const size_t freqs = (size_t)(out + 2) * (size_t)(out + 2), pairs = (size_t)d->oc * (size_t)d->ic;

    *priv = p;
    if (!p)
        return rn_fail(RN_E_NOMEM, "cuda:winograd: out of memory");
    if (dir == RN_BWD_D)
        RN_TRY(be->alloc(be, 9 * pairs * sizeof(float), (void **)&p->turned));
    if (dir != RN_BWD_W) {
        const size_t cells = dir == RN_FWD ? (size_t)d->oc * (size_t)rn_wino_padded(d->ic)
                                           : (size_t)d->ic * (size_t)rn_wino_padded(d->oc);
        RN_TRY(be->alloc(be, freqs * cells * sizeof(float), (void **)&p->weights));
    }
    return rn_wino_product_open();
}

static void close_plan(struct rn_backend *be, void *priv)
{
    wino_plan *p = (wino_plan *)priv;

    if (p) {
        be->free(be, p->weights);
        be->free(be, p->turned);
    }
    free(p);
}

static int prepare(rn_conv_plan *plan, const void *wei, void *stream, int out)
{
    const rn_conv_desc *d = &plan->desc;
    const wino_plan *p = (const wino_plan *)plan->priv;

    if (plan->dir == RN_FWD)
        return rn_wino_weights(out, (const float *)wei, d->oc, d->ic, false, p->weights, stream);
    RN_TRY(rn_conv_turn_weights(p->turned, wei, d->oc, 9, d->ic, sizeof(float), stream));
    return rn_wino_weights(out, p->turned, d->ic, d->oc, true, p->weights, stream);
}

/* What src is read through (RN_PRO_BN), or dst (RN_PRO_DBN). */
static rn_conv_read through_of(const rn_conv_desc *d, const rn_conv_args *a, bool dst)
{
    rn_conv_read r = {};

    if (dst && d->fuse & RN_PRO_DBN) {
        r.mul = a->ka;
        r.add = a->kc;
        r.by = a->kb;
        r.other = a->x;
    } else if (!dst && d->fuse & RN_PRO_BN) {
        r.mul = a->scale;
        r.add = a->shift;
        r.other = d->fuse & RN_PRO_ADD ? a->residual : NULL;
        r.relu = d->fuse & RN_PRO_RELU;
    }
    return r;
}

static rn_wino_tiles tiles_of(const cut *c, const rn_wino_grid &g, int64_t first)
{
    const int64_t left = c->tiles - first;

    return rn_wino_tiles{g, first, left < c->chunk ? left : c->chunk, rn_wino_padded(g.c)};
}

static rn_conv_write write_of(const rn_conv_desc *d, const rn_conv_args *a, const cut *c, void *to, int beta)
{
    rn_conv_write w = {};

    w.to = to;
    w.columns = c->other.c;
    w.add = beta != 0;
    w.epilogue = d->fuse & (RN_EPI_STATS | RN_EPI_DBN);
    w.pivot = w.epilogue == RN_EPI_STATS ? a->pivot : NULL;
    if (w.epilogue == RN_EPI_DBN) {
        w.scale = a->scale;
        w.shift = a->shift;
        w.mean = a->mean;
        w.raw = a->raw;
    }
    return w;
}

/* fwd and bwd_d */
static int run_tensor(const rn_conv_plan *plan, const cut *c, const rn_conv_args *a, int beta, float *ws, void *stream)
{
    const rn_conv_desc *d = &plan->desc;
    const bool back = plan->dir == RN_BWD_D;
    const rn_conv_read through = through_of(d, a, back);
    rn_conv_write w = write_of(d, a, c, back ? a->src : a->dst, beta);
    float *in = ws, *other = ws + c->in_floats;
    double *const sums = (double *)(void *)(other + c->other_floats);

    for (int64_t t = 0; t < c->tiles; t += c->chunk) {
        const rn_wino_tiles from = tiles_of(c, c->in, t), to = tiles_of(c, c->other, t);
        rn_wino_product p = {};
        p.a = in;
        p.b = ((const wino_plan *)plan->priv)->weights;
        p.rows = from.count;
        p.terms = p.a_line = p.b_line = c->in_padded;
        p.columns = c->other.c;
        p.a_freq = from.count * c->in_padded;
        p.b_freq = (int64_t)c->other.c * c->in_padded;
        p.freqs = c->freqs;
        p.splits = 1;
        p.write.to = other;
        p.write.columns = c->other_padded;
        p.write.wide = true;
        w.partial = sums + t / RN_WINO_WRITE_TILES * 2 * c->other.c;
        RN_TRY(rn_wino_read(c->out, RN_WINO_SRC, &from, back ? a->dst : a->src, &through, in, stream));
        RN_TRY(rn_wino_multiply(&p, true, c->wide, stream));
        RN_TRY(rn_wino_write(c->out, &to, other, &w, stream));
    }
    if (!w.epilogue)
        return RN_OK;
    return rn_conv_add_sums(a->sum, a->sumsq, sums, c->other.c, (int)up(c->tiles, RN_WINO_WRITE_TILES), stream);
}

static int run_weights(const rn_conv_plan *plan, const cut *c, const rn_conv_args *a, int beta, float *ws, void *stream)
{
    const rn_conv_desc *d = &plan->desc;
    const rn_conv_read of_src = through_of(d, a, false), of_dst = through_of(d, a, true);
    float *src = ws, *dst = ws + c->in_floats, *parts = dst + c->other_floats;

    for (int64_t t = 0; t < c->tiles; t += c->chunk) {
        const rn_wino_tiles in = tiles_of(c, c->in, t), other = tiles_of(c, c->other, t);
        rn_wino_product p = {};
        p.a = dst;
        p.b = src;
        p.rows = c->other.c;
        p.terms = in.count;
        p.columns = p.b_line = c->in_padded;
        p.a_line = c->other_padded;
        p.a_freq = in.count * c->other_padded;
        p.b_freq = in.count * c->in_padded;
        p.freqs = c->freqs;
        p.splits = c->splits;
        p.write.to = parts;
        p.write.columns = c->in_padded;
        p.write.wide = true;
        p.write.add = t > 0;
        RN_TRY(rn_wino_read(c->out, RN_WINO_SRC, &in, a->src, &of_src, src, stream));
        RN_TRY(rn_wino_read(c->out, RN_WINO_DST, &other, a->dst, &of_dst, dst, stream));
        RN_TRY(rn_wino_multiply(&p, false, c->wide, stream));
    }
    return rn_wino_gradient(c->out, parts, c->splits, d->oc, d->ic, (float *)a->wei, beta != 0, stream);
}

/* ---- rows --------------------------------------------------------------------------------------------------------------- */

template <int out> struct row {
    static bool can(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, const char **why)
    {
        return supports(be, d, dir, why, out);
    }
    static size_t room(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir)
    {
        return workspace(be, d, dir, out);
    }
    static int open(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, void **priv)
    {
        return open_plan(be, d, dir, priv, out);
    }
    static int turn(rn_conv_plan *plan, const void *wei, void *stream)
    {
        return prepare(plan, wei, stream, out);
    }
    static int run(rn_conv_plan *plan, const rn_conv_args *a, int beta, void *ws, void *stream)
    {
        const cut c = cut_of(plan->be, &plan->desc, plan->dir, out);

        return (plan->dir == RN_BWD_W ? run_weights : run_tensor)(plan, &c, a, beta, (float *)ws, stream);
    }
    /* F(4x4) for --tune quick to measure, where products are long enough and few pixels of tiles are beyond the map; F(2x2) for
     * those who ask for it, or measure everything. No GPU has told yet. */
    static bool suits(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir)
    {
        const cut c = cut_of(be, d, dir, out);

        return out == 4 && d->ic >= LEAST_CHANNELS && d->oc >= LEAST_CHANNELS &&
               (double)c.tiles * out * out <= MOST_WASTE * c.other.mb * c.other.h * c.other.w;
    }
};

#define ROW(name, out)                                                                                                 \
    {                                                                                                                  \
        name, RN_ALGO_DETERMINISTIC | RN_ALGO_WINOGRAD, row<out>::can, row<out>::room, row<out>::open, close_plan,     \
            row<out>::turn, row<out>::run, row<out>::suits                                                             \
    }

extern "C" {
const rn_conv_algo rn_cuda_winograd = ROW("cuda:winograd", 4);
const rn_conv_algo rn_cuda_winograd_2x2 = ROW("cuda:winograd-2x2", 2);
}
