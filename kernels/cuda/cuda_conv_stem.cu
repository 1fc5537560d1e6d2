/* SPDX-License-Identifier: MIT */
/* cuda:direct-stem, the host's side: which cases, how they are cut, and what the kernels are told. */
#include <stdlib.h>

extern "C" {
#include "base/rn_error.h"
#include "op/rn_backend.h"
}
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/cuda_conv.h"
#include "kernels/cuda/cuda_conv_gemm_run.h"
#include "kernels/cuda/cuda_conv_stem.h"

/* Blocks of a grid. */
#define MOST         0x7fffffff
/* Values of k: weights that leave room for a patch. */
#define K_MOST       512
/* Tiles for each block, so that none ends much before the others; of no fewer pixels for that. */
#define ROUNDS       8
#define PIXELS_LEAST 256
/* What the system takes of each block's shared memory. */
#define SYSTEM_BYTES 1024

typedef struct stem_plan {
    struct rn_stem_cut cut;
    void *packed; /* fwd */
} stem_plan;

static int64_t up(int64_t n, int64_t by)
{
    return (n + by - 1) / by;
}

static int round_up(int n, int by)
{
    return (n + by - 1) / by * by;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* ---- how a case is cut -------------------------------------------------------------------------------------------------- */

static bool aligned_lines(const rn_conv_desc *d)
{
    return (int64_t)d->iw * d->ic % 8 == 0 && (int64_t)d->sw * d->ic % 2 == 0;
}

/* With two values behind that nobody reads, or those that fill up its pieces. */
static int64_t pitch_of(const rn_conv_desc *d, int64_t tile_w)
{
    const int64_t values = ((tile_w - 1) * d->sw + d->kw) * d->ic;

    return aligned_lines(d) ? up(values + 8, 8) * 4 : (values + 3) / 2;
}

/* Pixels that begin at odd values need a copy of their own. */
static int copies_of(const rn_conv_desc *d, int64_t tile_w)
{
    return (int64_t)d->sw * d->ic % 2 && tile_w > 1 ? 2 : 1;
}

/* Words of one copy. Two copies begin half of the banks apart: a warp reads neighbours from both. */
static int64_t copy_of(const rn_conv_desc *d, int64_t tile_h, int64_t tile_w)
{
    const int64_t words = ((tile_h - 1) * d->sh + d->kh) * pitch_of(d, tile_w);

    return copies_of(d, tile_w) == 1 ? up(words, 4) * 4 : up(words + 16, 32) * 32 - 16;
}

static bool fits(const rn_conv_desc *d, int64_t tile_h, int64_t tile_w)
{
    return tile_h * tile_w <= RN_STEM_PIXELS && pitch_of(d, tile_w) <= RN_STEM_PATCH_WORDS &&
           copies_of(d, tile_w) * copy_of(d, tile_h, tile_w) <= RN_STEM_PATCH_WORDS;
}

/* The height of tiles, h at most, that makes `wanted` of them of oh lines, but no lower than `low`: all the same but the last. */
static int64_t height_for(int64_t oh, int64_t h, int64_t wanted, int64_t low)
{
    const int64_t tiles = up(oh, h), more = up(oh, wanted < oh ? wanted : oh);

    return tiles >= wanted ? up(oh, tiles) : more > low ? more : least(low, h);
}

/* Tiles as large as fit, of whole lines if one does; smaller ones, until each of `blocks` has ROUNDS of them, or any. */
static bool cut_tiles(const rn_conv_desc *d, int64_t blocks, struct rn_stem_cut *c)
{
    int64_t w = d->ow, h = 1;

    while (w > 1 && !fits(d, 1, w))
        w = up(w, 2);
    if (!fits(d, 1, w))
        return false;
    while (h < d->oh && fits(d, h + 1, w))
        h++;
    const int64_t columns = up(d->ow, w), images = columns * d->mb;
    h = height_for(d->oh, h, up(blocks * ROUNDS, images), up(PIXELS_LEAST, w));
    h = height_for(d->oh, h, up(blocks, images), 1);
    c->tile_w = (int)w;
    c->tile_h = (int)h;
    c->tiles_x = (int)columns;
    c->tiles_y = (int)up(d->oh, h);
    c->pitch = (int)pitch_of(d, w);
    c->copies = copies_of(d, w);
    c->copy = (int)copy_of(d, h, w);
    return true;
}

/* Of the ways in which bwd_w can share k among its warps, the one that reads least of shared memory for 16 pixels: each warp 64 x
 * 16 values of dst, in 16 wavefronts, and about 7 for each of its 16s of k; and dst is written there once. */
static void cut_k(int k, struct rn_stem_cut *c)
{
    static const int groups[] = {2, 3, 5};
    int cost = MOST;

    for (int i = 0; i < 3; i++) {
        for (int warps = 1; warps <= RN_STEM_WARPS; warps *= 2) {
            const int parts = (int)up(k / 16, groups[i] * warps), now = parts * (warps * (16 + 7 * groups[i]) + 16);
            if (now < cost) {
                cost = now;
                c->groups = groups[i];
                c->warps_k = warps;
                c->parts_k = parts;
            }
        }
    }
}

/* Where in shared memory things lie, from the patch on. */
static void cut_shared(const rn_conv_desc *d, rn_conv_dir dir, struct rn_stem_cut *c)
{
    const int patch = c->copies * c->copy * 4, bases = round_up(c->tile_h * c->tile_w * 4, 16);

    if (dir == RN_FWD) {
        c->wei_at = patch;
        c->taps_at = c->wei_at + c->columns * (c->k * 2 + 16);
        c->bases_at = c->taps_at + c->k / 2 * 8;
        c->stats_at = c->bases_at + bases;
        c->bytes = c->stats_at + (d->fuse & RN_EPI_STATS ? RN_STEM_WARPS * c->columns * (2 * 8 + 4) : 0);
    } else {
        c->bases_at = patch;
        c->stages_at = c->bases_at + bases;
        c->bytes = c->stages_at + RN_STEM_STAGES * RN_STEM_STAGE_BYTES * (d->fuse & RN_PRO_DBN ? 2 : 1);
        const int sums = c->warps_k * c->groups * RN_STEM_ROWS * 16 * 4; /* in place of all that */
        c->bytes = c->bytes > sums ? c->bytes : sums;
    }
}

/* Of a multiprocessor. */
static int shared_bytes(struct rn_backend *be)
{
    const int capability = rn_cuda_capability(be);

    return capability == 80 ? 164 << 10 : capability / 10 == 9 || capability / 10 == 10 ? 228 << 10 : 100 << 10;
}

/* Blocks that share the tiles of a range of columns and a part of the channels, so that all run at once. */
static int64_t row_blocks_of(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, const struct rn_stem_cut *c)
{
    const int64_t room = shared_bytes(be) / (c->bytes + SYSTEM_BYTES);
    const int64_t each = least(dir == RN_FWD ? rn_stem_fwd_blocks() : rn_stem_weights_blocks(c->groups), room);
    const int64_t parts = (int64_t)c->parts_n * c->parts_k * c->tiles_x;
    int64_t n = least(rn_cuda_multiprocessors(be) * (each > 1 ? each : 1) / parts, (int64_t)d->mb * c->tiles_y);

    if (dir == RN_BWD_W && be->workspace_limit)
        n = least(n, (int64_t)(be->workspace_limit / ((size_t)d->oc * d->kh * c->line * 4 * c->tiles_x)));
    return n > 1 ? n : 1;
}

/* NULL, or why not. */
static const char *cut_of(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, struct rn_stem_cut *c)
{
    const int64_t line = (int64_t)d->kw * d->ic, shift = aligned_lines(d) ? (int64_t)d->pw * d->ic % 2 : 0;
    const int64_t pairs = d->kh * up(line + shift, 2), k = up(pairs, 8) * 16;

    *c = (struct rn_stem_cut){};
    if (k > K_MOST)
        return "a kernel of more than 512 values";
    c->line = (int)line;
    c->shift = (int)shift;
    c->aligned = aligned_lines(d);
    c->pairs_line = (int)up(line + shift, 2);
    c->pairs = (int)pairs;
    c->k = (int)k;
    c->columns = dir == RN_BWD_W ? RN_STEM_ROWS : d->oc % 64 == 0 || d->oc % 64 > 32 ? 64 : 32;
    c->parts_k = 1;
    if (dir == RN_BWD_W)
        cut_k(c->k, c);
    c->parts_n = (int)up(d->oc, c->columns);
    if (!cut_tiles(d, up((int64_t)rn_cuda_multiprocessors(be) * 3, (int64_t)c->parts_n * c->parts_k), c))
        return "lines of a kernel too far apart for shared memory";
    cut_shared(d, dir, c);
    if (c->bytes > RN_STEM_SHARED_MOST) {
        c->columns = 32; /* fwd: less of the weights at a time */
        c->parts_n = (int)up(d->oc, c->columns);
        cut_shared(d, dir, c);
    }
    c->row_blocks = (int)row_blocks_of(be, d, dir, c);
    return c->row_blocks > MOST / c->tiles_x / c->parts_k / c->parts_n ? "more blocks than a grid has" : NULL;
}

static bool supports(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, const char **why)
{
    const char *fuse = rn_conv_fuse_refusal(d, dir, RN_EPI_STATS | RN_PRO_DBN);
    struct rn_stem_cut cut;

    *why = d->dtype != RN_BF16 && d->dtype != RN_F16 ? "bf16 and f16 only"
           : dir == RN_BWD_D                         ? "fwd and bwd_w only: what a first layer reads has no gradient"
           : d->ic > RN_STEM_CHANNELS                ? "up to 4 input channels only"
           : fuse                                    ? fuse
                                                     : cut_of(be, d, dir, &cut);
    return !*why;
}

/* Parts that are added up behind the kernel: sums of an epilogue, or of weights. */
static int parts_of(const struct rn_stem_cut *c)
{
    return c->row_blocks * c->tiles_x;
}

static size_t workspace(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir)
{
    struct rn_stem_cut c;

    cut_of(be, d, dir, &c);
    if (dir == RN_FWD)
        return d->fuse & RN_EPI_STATS ? (size_t)parts_of(&c) * 2 * d->oc * sizeof(double) : 0;
    return parts_of(&c) > 1 ? (size_t)parts_of(&c) * d->oc * d->kh * c.line * sizeof(float) : 0;
}

/* ---- plans -------------------------------------------------------------------------------------------------------------- */

static int open_plan(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, void **priv)
{
    stem_plan *p = (stem_plan *)calloc(1, sizeof *p);

    *priv = p;
    if (!p)
        return rn_fail(RN_E_NOMEM, "cuda:direct-stem: out of memory");
    cut_of(be, d, dir, &p->cut);
    if (dir == RN_BWD_W)
        return rn_stem_weights_open(d->dtype, p->cut.groups);
    RN_TRY(be->alloc(be, (size_t)p->cut.parts_n * p->cut.columns * p->cut.k * 2, &p->packed));
    return rn_stem_fwd_open(d->dtype, p->cut.columns, d->fuse & RN_EPI_STATS);
}

static void close_plan(struct rn_backend *be, void *priv)
{
    stem_plan *p = (stem_plan *)priv;

    if (p)
        be->free(be, p->packed);
    free(p);
}

static int prepare(rn_conv_plan *plan, const void *wei, void *stream)
{
    const stem_plan *p = (const stem_plan *)plan->priv;
    rn_stem_args a = {};

    if (plan->dir != RN_FWD)
        return RN_OK;
    a.d = plan->desc;
    a.cut = p->cut;
    return rn_stem_pack(&a, p->packed, wei, stream);
}

static bool aligned(const void *p)
{
    return (uintptr_t)p % 16 == 0;
}

static int run_fwd(const rn_conv_plan *plan, rn_stem_args *s, const rn_conv_args *a, int beta, void *sums, void *stream)
{
    const rn_conv_desc *d = &plan->desc;
    const unsigned blocks = (unsigned)parts_of(&s->cut) * (unsigned)s->cut.parts_n;

    s->wei = ((const stem_plan *)plan->priv)->packed;
    s->write.to = a->dst;
    s->write.columns = d->oc;
    s->write.add = beta != 0;
    s->write.wide = aligned(a->dst) && d->oc % 8 == 0;
    s->write.epilogue = d->fuse & RN_EPI_STATS;
    s->write.pivot = a->pivot;
    s->write.partial = (double *)sums;
    RN_TRY(rn_stem_fwd(s, blocks, stream));
    if (!s->write.epilogue)
        return RN_OK;
    return rn_conv_add_sums(a->sum, a->sumsq, (const double *)sums, d->oc, parts_of(&s->cut), stream);
}

static int run_weights(const rn_conv_plan *plan, rn_stem_args *s, const rn_conv_args *a, int beta, void *sums,
                       void *stream)
{
    const rn_conv_desc *d = &plan->desc;
    const int parts = parts_of(&s->cut);
    const unsigned blocks = (unsigned)parts * (unsigned)s->cut.parts_n * (unsigned)s->cut.parts_k;

    s->dst = a->dst;
    s->wide_dst = aligned(a->dst) && d->oc % 8 == 0;
    if (d->fuse & RN_PRO_DBN) {
        s->read.mul = a->ka;
        s->read.add = a->kc;
        s->read.by = a->kb;
        s->read.other = a->x;
        s->wide_dst = s->wide_dst && aligned(a->ka) && aligned(a->kb) && aligned(a->kc) && aligned(a->x);
    }
    s->write.to = parts > 1 ? sums : a->wei;
    s->write.columns = d->kh * s->cut.line;
    s->write.add = parts == 1 && beta;
    RN_TRY(rn_stem_weights(s, blocks, stream));
    if (parts == 1)
        return RN_OK;
    return rn_conv_add_parts((float *)a->wei, (const float *)sums, (int64_t)d->oc * s->write.columns, parts, beta != 0,
                             stream);
}

static int run(rn_conv_plan *plan, const rn_conv_args *a, int beta, void *sums, void *stream)
{
    rn_stem_args s = {};

    s.d = plan->desc;
    s.cut = ((const stem_plan *)plan->priv)->cut;
    s.src = a->src;
    s.wide_src = aligned(a->src);
    return (plan->dir == RN_BWD_W ? run_weights : run_fwd)(plan, &s, a, beta, sums, stream);
}

extern "C" {
const rn_conv_algo rn_cuda_direct_stem = {
    "cuda:direct-stem", RN_ALGO_DETERMINISTIC, supports, workspace, open_plan, close_plan, prepare, run, NULL};
}
