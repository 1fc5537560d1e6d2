/* SPDX-License-Identifier: MIT */
/* cpu:direct: a task copies the rows it needs into its strip, and multiplies them by panel after panel of the weights. */
#include <omp.h>
#include <string.h>

#include "kernels/cpu/cpu_direct_plan.h"

typedef struct job {
    const rn_direct_plan *p;
    const rn_direct_cut *cut;
    const char *in;
    char *out;
    rn_dtype dtype;
    int beta;
    const rn_conv_read *read; /* what the tensor is read through, or NULL */
    rn_direct_finish finish;
    double *partial; /* with an epilogue: sum[cols], sumsq[cols] of each block */
} job;

/* A block of the grid, images n0..n1-1, rows y0..y1-1, columns x0..x1-1, by panels j0..j1-1; and a thread's memory. */
typedef struct task {
    int n0, n1, y0, y1, x0, x1, j0, j1;
    char *strip;
    float *sums;
    double *partial; /* with an epilogue: the block's sum[cols], sumsq[cols] */
    /* With a lattice: pixels base.. are read at `from`, in the strip or the tensor, and written to `to`, in `result`, the tensor, or
     * where they always are (NULL). `soon`: memory that is written next. */
    int base;
    char *result, *to;
    const char *from, *soon, *soon_end;
    ptrdiff_t from_step, to_step;
    /* What this thread is likely to read next, fetched into the L2 cache a slice a tile: or the copying of the next strip
     * waits for memory. */
    const char *ahead, *ahead_end;
    size_t slice;
} task;

/* ---- the strip ------------------------------------------------------------------------------------------------------ */

static void copy_run(const job *g, char *to, const char *from, size_t n)
{
    const rn_half_kern *half = g->p->w.half;

    if ((size_t)g->p->isa->cell == rn_dtype_size(g->dtype))
        memcpy(to, from, n * (size_t)g->p->isa->cell);
    else if (g->dtype == RN_BF16)
        half->f32_of_bf16((float *)(void *)to, (const uint16_t *)(const void *)from, n);
    else
        half->f32_of_f16((float *)(void *)to, (const uint16_t *)(const void *)from, n);
}

static void read_pixels(const job *g, char *to, const char *from, int n)
{
    rn_conv_read at = *g->read;

    at.other = at.other ? (const char *)at.other + (from - g->in) : NULL;
    g->p->isa->pack->read_pixels(&at, from, n, g->p->w.phases[0].view.c, to, g->cut->pitch);
}

/* n pixels of row (image, y) of the tensor from column x on, zeros where there are none. */
static void copy_pixels(const job *g, char *to, int image, int64_t y, int64_t x, int n)
{
    const rn_conv_view *v = &g->p->w.phases[0].view;
    const size_t pitch = (size_t)g->cut->pitch, size = rn_dtype_size(g->dtype), c = (size_t)v->c;
    const int lo = rn_conv_clamp(-x, 0, n), hi = rn_conv_clamp(v->w - x, lo, n);
    const char *from = g->in + (((size_t)image * v->h + (size_t)y) * v->w + (size_t)(hi > lo ? x + lo : 0)) * c * size;

    memset(to, 0, (size_t)lo * pitch);
    if (g->read)
        read_pixels(g, to + (size_t)lo * pitch, from, hi - lo);
    else if (pitch == c * (size_t)g->p->isa->cell)
        copy_run(g, to + (size_t)lo * pitch, from, (size_t)(hi - lo) * c);
    else
        for (int i = lo; i < hi; i++, from += c * size)
            copy_run(g, to + (size_t)i * pitch, from, c);
    memset(to + (size_t)hi * pitch, 0, (size_t)(n - hi) * pitch);
}

static void fill_strip(const job *g, const task *t)
{
    const rn_direct_cut *c = g->cut;
    const rn_conv_view *v = &g->p->w.phases[0].view;
    const int rows = (t->y1 - t->y0 - 1) * c->ty + c->kr, columns = t->x1 - t->x0;

    for (int n = t->n0; n < t->n1; n++) {
        for (int q = 0; q < rows; q++) {
            /* where windows do not overlap, what lies between them is left out */
            const int64_t y = c->kr < v->sy ? (int64_t)(t->y0 + q / c->kr) * v->sy + c->y0 + q % c->kr
                                            : (int64_t)t->y0 * v->sy + c->y0 + q;
            char *to = t->strip + (n - t->n0) * c->image + q * c->row;
            if (y < 0 || y >= v->h)
                continue; /* tiles leave these rows out */
            if (c->ks >= v->sx)
                copy_pixels(g, to, n, y, (int64_t)t->x0 * v->sx + c->x0, (columns - 1) * c->tx + c->ks);
            else
                for (int i = 0; i < columns; i++)
                    copy_pixels(g, to + (ptrdiff_t)i * c->ks * c->pitch, n, y, (int64_t)(t->x0 + i) * v->sx + c->x0,
                                c->ks);
        }
    }
}

/* ---- one tap, with a stride ------------------------------------------------------------------------------------------ */

/* Bytes of a pixel of the tensor that is read, and of the one that is written. */
static size_t pixel_in(const job *g)
{
    return (size_t)g->p->w.phases[0].view.c * rn_dtype_size(g->dtype);
}

static size_t pixel_out(const job *g)
{
    return (size_t)g->p->w.cols * rn_dtype_size(g->dtype);
}

/* m pixels from column x on become the strip, or what there was of them before, to be added to, the result; neither, where the
 * pixels of a tile lie in one row and are read and written in their places. */
static void begin_pixels(const job *g, task *t, int x, int m, bool tile)
{
    const rn_direct_lattice *l = &g->p->lattice;
    rn_direct_segment s = rn_direct_segment_at(l, x, m);
    const bool one_row = tile && s.count == m;

    t->base = x;
    t->from = l->gathers ? t->strip : NULL;
    t->from_step = g->cut->pitch;
    t->to = l->scatters ? t->result : NULL;
    t->to_step = (ptrdiff_t)pixel_out(g);
    if (l->scatters && one_row) {
        t->to = g->out + s.at * pixel_out(g);
        t->to_step *= l->sw;
    } else if (l->scatters && g->beta) {
        rn_direct_bring(l, x, m, g->out, pixel_out(g), t->result);
    }
    if (l->gathers && one_row && g->cut->reads_lattice) {
        t->from = g->in + s.at * pixel_in(g);
        t->from_step = (ptrdiff_t)pixel_in(g) * l->sw;
        return;
    }
    char *to = t->strip;
    for (; l->gathers && m > 0; m -= s.count, x += s.count) {
        s = rn_direct_segment_at(l, x, m);
        const char *from = g->in + s.at * pixel_in(g);
        for (int i = 0; i < s.count; i++, to += g->cut->pitch, from += (size_t)l->sw * pixel_in(g)) {
            if (g->read)
                read_pixels(g, to, from, 1);
            else
                copy_run(g, to, from, (size_t)g->p->w.phases[0].view.c);
        }
    }
}

static void end_pixels(const job *g, const task *t, int x, int m)
{
    const rn_direct_lattice *l = &g->p->lattice;
    const size_t bytes = pixel_out(g), column = (size_t)t->j0 * g->p->w.isa->nr * rn_dtype_size(g->dtype),
                 end = (size_t)t->j1 * g->p->w.isa->nr * rn_dtype_size(g->dtype);

    if (!l->scatters)
        return;
    if (t->to == t->result)
        rn_direct_scatter(l, x, m, t->result, bytes, column, (end < bytes ? end : bytes) - column, g->out);
    if (!g->beta && t->j0 == 0)
        rn_direct_clear(l, x, m, bytes, g->out);
}

/* What the task will write, from end to end. */
static void set_soon(const job *g, task *t)
{
    const rn_direct_lattice *l = &g->p->lattice;
    const size_t bytes = pixel_out(g);

    t->soon = g->out + (l->scatters ? rn_direct_segment_at(l, t->x0, 1).at : (size_t)t->x0) * bytes;
    t->soon_end = l->scatters ? g->out + (rn_direct_segment_at(l, t->x1 - 1, 1).at + 1) * bytes
                              : t->soon + (size_t)(t->x1 - t->x0) * bytes;
}

/* ---- the product ---------------------------------------------------------------------------------------------------- */

/* Pixels of one tile, (n, y, x) and those that follow it along x, or along n; which are m. */
typedef struct pixels {
    int n, y, x, m;
} pixels;

/* Panels of B, of a phase: several only if all are `width` wide. Window rows r0..r1-1 of them. */
typedef struct panel {
    const rn_conv_phase *f;
    const float *b;
    int j, count, cols, width; /* cols: of each */
    int r0, r1;
} panel;

static char *pixel_address(const job *g, const task *t, const rn_conv_phase *f, int n, int y, int x)
{
    const rn_im2col_plan *w = &g->p->w;

    if (t->to)
        return t->to + (x - t->base) * t->to_step;
    const size_t oy = (size_t)y * w->step_y + f->sub_y, ox = (size_t)x * w->step_x + f->sub_x;

    return g->out + (((size_t)n * w->out_h + oy) * w->out_w + ox) * w->cols * rn_dtype_size(g->dtype);
}

/* From one pixel of a tile to the next one's, in elements of the output. */
static ptrdiff_t pixel_step(const job *g, const task *t)
{
    const rn_im2col_plan *w = &g->p->w;

    if (t->to)
        return t->to_step / (ptrdiff_t)rn_dtype_size(g->dtype);
    return g->cut->by_image ? (ptrdiff_t)w->out_h * w->out_w * w->cols : (ptrdiff_t)w->step_x * w->cols;
}

/* Rounds the sums of a tile on their way to the destination. */
static void put_tile(const job *g, const task *t, char *out, float *sums, int m, int n)
{
    const rn_half_kern *half = g->p->w.half;
    const size_t step = (size_t)pixel_step(g, t) * rn_dtype_size(g->dtype);
    float old[RN_CONV_NR_MAX];

    for (int i = 0; i < m; i++, out += step, sums += g->p->isa->pack->nr) {
        uint16_t *to = (uint16_t *)(void *)out;
        if (g->dtype == RN_F32) {
            float *c = (float *)(void *)out;
            for (int j = 0; j < n; j++)
                c[j] = g->beta ? c[j] + sums[j] : sums[j];
            continue;
        }
        if (g->beta) {
            (g->dtype == RN_BF16 ? half->f32_of_bf16 : half->f32_of_f16)(old, to, (size_t)n);
            for (int j = 0; j < n; j++)
                sums[j] += old[j];
        }
        (g->dtype == RN_BF16 ? half->bf16_of_f32 : half->f16_of_f32)(to, sums, (size_t)n);
    }
}

/* No tap reaches these pixels. */
static void put_zeros(const job *g, const task *t, char *out, int m, int n)
{
    for (int i = 0; i < m && !g->beta; i++)
        memset(out + i * pixel_step(g, t) * (ptrdiff_t)rn_dtype_size(g->dtype), 0, (size_t)n * rn_dtype_size(g->dtype));
}

/* Pixels that are stored. */
static void add_up(const job *g, const task *t, const rn_direct_rows *r)
{
    if (t->partial)
        rn_direct_add_up(&g->finish, r, t->partial, t->partial + g->p->w.cols);
}

/* Taps lo..hi-1 of k from coordinate `first` on lie in the tensor. */
static void clip(int64_t first, int k, int size, int *lo, int *hi)
{
    *lo = rn_conv_clamp(-first, 0, k);
    *hi = rn_conv_clamp(size - first, *lo, k);
}

/* sums: where this tile's are kept from block to block. */
static void tile_task(const job *g, task *t, const panel *b, pixels px, float *sums)
{
    const rn_direct_cut *c = g->cut;
    const rn_conv_phase *f = b->f;
    const rn_conv_view *v = &f->view;
    const int per = g->p->isa->pack->per, nr = g->p->isa->pack->nr;
    char *out = pixel_address(g, t, f, px.n, px.y, px.x) + (size_t)b->j * nr * rn_dtype_size(g->dtype);
    const ptrdiff_t size = (ptrdiff_t)rn_dtype_size(g->dtype), step = pixel_step(g, t);
    const rn_direct_rows rows = {out, step * size, px.m, b->j * nr, b->cols * b->count};
    int r0, r1, s0 = 0, s1 = v->ks;

    clip((int64_t)px.y * v->sy + v->y0, v->kr, v->h, &r0, &r1);
    if (c->by_image)
        clip((int64_t)px.x * v->sx + v->x0, v->ks, v->w, &s0, &s1);
    if (!f->k || r0 == r1 || s0 == s1) {
        if (b->r0 == 0) {
            put_zeros(g, t, out, px.m, b->cols * b->count);
            add_up(g, t, &rows);
        }
        return;
    }
    const int ra = r0 > b->r0 ? r0 : b->r0, rb = r1 < b->r1 ? r1 : b->r1;
    if (ra >= rb)
        return;
    const bool first = ra == r0, last = rb == r1, dense = c->pitch == (ptrdiff_t)v->c * g->p->isa->cell;
    const bool straight = g->dtype == RN_F32 && b->cols == b->width;
    const bool gated = last && (g->finish.epilogue & RN_EPI_DBN);
    const bool narrow = g->p->isa->narrows && last && b->cols == b->width && !g->beta && !gated;
    const ptrdiff_t n = c->in_place ? px.n : px.n - t->n0,
                    y = c->in_place ? (ptrdiff_t)px.y * v->sy + v->y0
                                    : (ptrdiff_t)(px.y - t->y0) * c->ty + v->y0 - c->y0,
                    x = c->in_place ? (ptrdiff_t)px.x * v->sx + v->x0
                                    : (ptrdiff_t)(px.x - t->x0) * c->tx + v->x0 - c->x0;
    const rn_direct_tile tile = {
        .a = t->from ? t->from + (px.x - t->base) * t->from_step
                     : (c->in_place ? g->in : t->strip) + n * c->image + (y + ra) * c->row + (x + s0) * c->pitch,
        .lda = t->from       ? t->from_step
               : c->by_image ? c->image
                             : c->pitch * (c->in_place ? v->sx : c->tx),
        .row_step = c->row,
        .tap_step = c->pitch,
        .rows = rb - ra,
        .taps = dense ? 1 : s1 - s0,
        .run = dense ? (s1 - s0) * v->c : v->c,
        .b = b->b + ((ptrdiff_t)ra * v->run + (ptrdiff_t)s0 * v->c) / per * b->width,
        .b_row = (ptrdiff_t)v->run / per * b->width,
        .panels = b->count,
        .b_panel = (ptrdiff_t)(f->k / per) * nr,
        .half = b->width < nr,
        .acc = !first || (straight && g->beta),
        .c = straight ? (float *)(void *)out : sums,
        .ldc = straight ? step : nr,
        .out = out,
        .ld_out = step * size,
        .out_bytes = last || straight ? b->cols * size : 0,
        .soon = t->soon ? t->soon : out,
        .soon_end = t->soon ? t->soon_end : out,
        .narrow = narrow,
    };
    g->p->isa->tile(px.m, &tile);
    if (t->soon) {
        t->soon += 64 * (ptrdiff_t)tile.panels * (tile.run / (2 * per)) * 2; /* as many steps as asked for a line */
        t->soon = t->soon < t->soon_end ? t->soon : t->soon_end;
    }
    if (gated)
        rn_direct_gate(&g->finish, &rows, tile.c, tile.ldc);
    if (last && !straight && !narrow)
        put_tile(g, t, out, sums, px.m, b->cols);
    if (last)
        add_up(g, t, &rows);
}

static void fetch_ahead(task *t, int slices)
{
    const size_t part = t->slice * (size_t)slices;
    const char *end = (size_t)(t->ahead_end - t->ahead) > part ? t->ahead + part : t->ahead_end;

    for (; t->ahead < end; t->ahead += 64)
        __builtin_prefetch(t->ahead, 0, 2);
    t->ahead = end;
}

/* From panel j on: as many as a tile can be asked for at once, less than j1. */
static panel panel_of(const job *g, const rn_conv_phase *f, int j, int j1, int r0, int r1)
{
    const rn_im2col_plan *w = &g->p->w;
    const int nr = w->isa->nr, whole = rn_imin(j1, w->cols / nr) - j;
    const bool kept = g->dtype == RN_F32 || (g->p->isa->narrows && !g->beta), gated = g->finish.epilogue & RN_EPI_DBN;

    return (panel){.f = f,
                   .b = w->b + f->b_offset + (size_t)j * (f->k / w->isa->per) * nr,
                   .j = j,
                   .count = r0 == 0 && r1 == f->view.kr && kept && !gated && whole > 1 ? whole : 1,
                   .cols = rn_imin(w->cols - j * nr, nr),
                   .width = rn_panel_width(w->isa, w->cols, j),
                   .r0 = r0,
                   .r1 = r1};
}

/* All pixels of the task against window rows r0..r1-1 of panels j0..j1-1, pixel by pixel. kept: sums between the blocks of
 * one panel; by_tile: a lattice's pixels come and go with each tile. */
static void panels_task(const job *g, task *t, const rn_conv_phase *f, int j0, int j1, int r0, int r1, bool kept,
                        bool by_tile)
{
    const rn_direct_cut *c = g->cut;
    const int mr = g->p->isa->pack->mr, y1 = rn_imin(t->y1, f->view.gh), x1 = rn_imin(t->x1, f->view.gw);
    const int along = c->by_image ? t->n1 - t->n0 : x1 - t->x0, tiles = rn_ceil_div(along, mr);
    const int outer = c->by_image ? x1 - t->x0 : t->n1 - t->n0;
    float *sums = t->sums;

    if (along <= 0)
        return;
    for (int o = 0; o < outer; o++) {
        for (int y = t->y0; y < y1; y++) {
            for (int i = 0; i < tiles; i++) {
                const int p0 = rn_part(along, tiles, i), m = rn_part(along, tiles, i + 1) - p0;
                const pixels px =
                    c->by_image ? (pixels){t->n0 + p0, y, t->x0 + o, m} : (pixels){t->n0 + o, y, t->x0 + p0, m};
                if (by_tile) {
                    begin_pixels(g, t, px.x, m, true);
                    if (g->p->lattice.gathers && px.x + m < t->x1)
                        rn_direct_ask_pixels(&g->p->lattice, px.x + m, rn_imin(m, t->x1 - px.x - m), g->in,
                                             pixel_in(g));
                }
                for (int j = j0; j < j1;) {
                    const panel b = panel_of(g, f, j, j1, r0, r1);
                    tile_task(g, t, &b, px, sums);
                    fetch_ahead(t, b.count);
                    j += b.count;
                }
                if (by_tile)
                    end_pixels(g, t, px.x, m);
                sums += kept ? (size_t)m * g->p->isa->pack->nr : 0;
            }
        }
    }
}

static void run_task(const job *g, task *t)
{
    const rn_im2col_plan *w = &g->p->w;
    const bool lattice = g->p->lattice.gathers || g->p->lattice.scatters;

    if (!g->cut->in_place && g->cut->kr && !g->p->lattice.gathers)
        fill_strip(g, t);
    for (int i = 0; i < w->nphases; i++) {
        const rn_conv_phase *f = &w->phases[i];
        const int rows = rn_direct_block_rows(w, f), kr = f->view.kr;
        /* With few weights all of them stay in the L2 cache, and pixels are written whole. */
        const int64_t most = kr * f->view.ks == 1 ? RN_DIRECT_FEW_CELLS_POINT : RN_DIRECT_FEW_CELLS;
        const bool few = (int64_t)(f->k / w->isa->per) * w->isa->nr * (t->j1 - t->j0) <= most;
        if (rows >= kr && few) {
            if (lattice)
                set_soon(g, t);
            panels_task(g, t, f, t->j0, t->j1, 0, kr, false, lattice);
            continue;
        }
        if (lattice)
            begin_pixels(g, t, t->x0, t->x1 - t->x0, false);
        for (int j = t->j0; j < t->j1; j++) {
            for (int r = 0; r == 0 || r < kr; r += rows)
                panels_task(g, t, f, j, j + 1, r, rn_imin(r + rows, kr), rows < kr, false);
        }
        if (lattice)
            end_pixels(g, t, t->x0, t->x1 - t->x0);
    }
}

/* The block's sums, of the columns of this task. */
static double *clear_partial(const job *g, const task *t, int64_t block)
{
    const rn_im2col_plan *w = &g->p->w;
    const int c0 = t->j0 * w->isa->nr, n = rn_imin(w->cols, t->j1 * w->isa->nr) - c0;
    double *sum = g->partial + (size_t)block * 2 * (size_t)w->cols;

    memset(sum + c0, 0, (size_t)n * sizeof *sum);
    memset(sum + w->cols + c0, 0, (size_t)n * sizeof *sum);
    return sum;
}

size_t rn_direct_workspace(const rn_direct_cut *cut, int threads)
{
    return (size_t)threads * ((cut->strip_bytes + 63) / 64 * 64 + (cut->sums_floats + 15) / 16 * 16 * sizeof(float) +
                              (cut->result_bytes + 63) / 64 * 64);
}

static task task_of(const job *g, int64_t i)
{
    const rn_direct_cut *c = g->cut;
    const int panels = rn_ceil_div(g->p->w.cols, g->p->w.isa->nr);
    const int group = (int)(i % c->groups), x = (int)(i / c->groups % c->xblocks),
              y = (int)(i / c->groups / c->xblocks % c->yblocks), n = (int)(i / c->groups / c->xblocks / c->yblocks);

    return (task){.n0 = rn_part(c->mb, c->nblocks, n),
                  .n1 = rn_part(c->mb, c->nblocks, n + 1),
                  .y0 = rn_part(c->gh, c->yblocks, y),
                  .y1 = rn_part(c->gh, c->yblocks, y + 1),
                  .x0 = rn_part(c->gw / c->xunit, c->xblocks, x) * c->xunit,
                  .x1 = rn_part(c->gw / c->xunit, c->xblocks, x + 1) * c->xunit,
                  .j0 = rn_part(panels, c->groups, group),
                  .j1 = rn_part(panels, c->groups, group + 1)};
}

/* Sets what to fetch for task `next`, where it reads one piece of the tensor. */
static void look_ahead(const job *g, task *t, int64_t next, int64_t tasks)
{
    const rn_direct_cut *c = g->cut;
    const rn_conv_view *v = &g->p->w.phases[0].view;
    const size_t row = (size_t)v->w * v->c * rn_dtype_size(g->dtype);
    const bool flat = c->mb == 1 && c->gh == 1 && c->kr == 1 && c->ks == 1; /* one row: columns are pieces as well */
    const bool one_piece =
        (flat || c->xblocks == 1) && (c->nb == 1 || c->yblocks == 1) && c->kr >= v->sy && c->ks >= v->sx;

    if (next >= tasks || !one_piece || g->p->lattice.gathers)
        return;
    const task to = task_of(g, next);
    const int y0 = rn_conv_clamp((int64_t)to.y0 * v->sy + c->y0, 0, v->h),
              y1 = rn_conv_clamp((int64_t)(to.y1 - 1) * v->sy + c->y0 + c->kr, y0, v->h);
    const size_t tiles = (size_t)rn_ceil_div((t->n1 - t->n0) * (t->y1 - t->y0) * (t->x1 - t->x0), g->p->w.isa->mr) *
                         (size_t)(t->j1 - t->j0);

    t->ahead = g->in + ((size_t)to.n0 * v->h + (size_t)y0) * row;
    t->ahead_end = g->in + ((size_t)(to.n1 - 1) * v->h + (size_t)y1) * row;
    if (flat) {
        t->ahead = g->in + (size_t)to.x0 * pixel_in(g);
        t->ahead_end = g->in + (size_t)to.x1 * pixel_in(g);
    }
    t->slice = ((size_t)(t->ahead_end - t->ahead) / tiles + 127) / 64 * 64;
}

/* Each element of the output is summed by one thread in an order that depends only on the descriptor: the same bits at
 * any number of threads. */
void rn_direct_run(const rn_conv_plan *plan, const rn_conv_args *a, int beta, void *ws)
{
    const rn_direct_plan *p = plan->priv;
    const rn_direct_cut *c = &p->cut;
    const bool fwd = plan->dir == RN_FWD;
    const job g = {.p = p,
                   .cut = c,
                   .in = fwd ? a->src : a->dst,
                   .out = fwd ? a->dst : a->src,
                   .dtype = plan->desc.dtype,
                   .beta = beta,
                   .read = p->w.fused ? p->w.fused->read_view : NULL,
                   .finish = rn_direct_finish_of(plan, a),
                   .partial = p->w.fused ? p->w.fused->partial : NULL};
    const int64_t tasks = rn_direct_blocks(c) * c->groups;
    const size_t bytes = rn_direct_workspace(c, 1);

#pragma omp parallel for schedule(dynamic) num_threads(plan->be->threads)
    for (int64_t i = 0; i < tasks; i++) {
        char *memory = (char *)ws + bytes * (size_t)omp_get_thread_num();
        task t = task_of(&g, i);
        t.strip = memory;
        t.base = t.x0;
        t.sums = (float *)(void *)(memory + (c->strip_bytes + 63) / 64 * 64);
        t.result = c->result_bytes ? (char *)(t.sums + (c->sums_floats + 15) / 16 * 16) : NULL;
        t.partial = g.partial ? clear_partial(&g, &t, i / c->groups) : NULL;
        look_ahead(&g, &t, i + (int64_t)omp_get_num_threads() * c->groups, tasks);
        run_task(&g, &t);
    }
}
