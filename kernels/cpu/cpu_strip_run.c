/* SPDX-License-Identifier: MIT */
/* cpu:strip, the run: a block's strips and its part of dst are copied, then multiplied tap by tap. */
#include <string.h>

#include "kernels/cpu/cpu_strip_plan.h"

/* A run a row, and those that are cut. */
#define MOST_RUNS   (RN_STRIP_MOST + 64)
#define MOST_PIECES 64

/* Images v0.., grid rows y0.., columns x0.. */
typedef struct block {
    int v0, vn, y0, yn, x0, xn;
    int gc; /* cells that the images make */
} block;

/* The part of one thread: units u0.., tiles m0.., panels n0.. of the product. */
typedef struct task {
    const rn_strip *s;
    const void *src, *dst;
    const rn_conv_read *read_src, *read_dst; /* NULL: as it is */
    size_t u0, u1;
    int m0, m1, n0, n1;
    float *a, *b, *out;
    size_t ld; /* of out */
} task;

/* dst and src, each with what is added to it. */
#define TENSORS 4

/* What the next block reads, asked for while this one is multiplied: for each of its images, rows of src and of dst. */
typedef struct ahead {
    block k;
    int piece;            /* TENSORS i + j: tensor j of image i */
    const char *at, *end; /* what is left of the current one; NULL: nothing is */
    double share, due;    /* lines to be asked for in a step, to come out even; and by now */
} ahead;

/* Runs of one tap, or window row, cut into pieces of at most RN_STRIP_CHAIN cells: piece i is runs at[i]..at[i + 1] - 1. */
typedef struct pieces {
    ahead ahead;
    int n, at[MOST_PIECES + 1];
    rn_conv_span runs[MOST_RUNS];
} pieces;

/* The block at unit u, of at most end - u units. */
static block block_at(const rn_strip *s, size_t u, size_t end)
{
    const size_t row = u / (size_t)s->parts, group = row / (size_t)s->rows;
    const int part = (int)(u % (size_t)s->parts), y = (int)(row % (size_t)s->rows);
    block k = {.v0 = (int)group * s->group, .y0 = y, .yn = 1, .x0 = rn_part(s->d.ow, s->parts, part)};

    k.xn = rn_part(s->d.ow, s->parts, part + 1) - k.x0;
    k.vn = rn_imin(s->group, s->images - k.v0);
    k.gc = rn_ceil_div(k.vn, s->isa->per);
    if (s->parts == 1) {
        k.yn = rn_imin(s->block_rows, s->rows - y);
        if ((size_t)k.yn > end - u)
            k.yn = (int)(end - u);
    }
    return k;
}

/* ---- copying ------------------------------------------------------------------------------------------------------- */

/* Source row, of the first band, in slot i of the block's strip. */
static int64_t slot_row(const rn_strip *s, const block *k, int i)
{
    const rn_conv_desc *d = &s->d;

    if (d->sh >= d->kh)
        return (int64_t)(k->y0 + i / d->kh) * d->sh - d->ph + i % d->kh;
    return (int64_t)k->y0 * d->sh - d->ph + i;
}

/* Images v0..v0+n-1, of which row `row` (of `all`) of the first band, step rows further of the second, may not exist;
 * `size` elements a row. False: none does. */
static bool image_rows(const rn_strip *s, int v0, int n, int64_t row, int64_t step, int64_t all, int64_t size,
                       rn_conv_cells *c, int64_t *first)
{
    c->nn = n;
    c->first = 0;
    c->last = n;
    c->step_n = (s->bands == 1 ? all : step) * size;
    *first = ((int64_t)(v0 / s->bands) * all + row) * size;
    if (row < 0 || row >= all)
        c->first = 1;
    if (s->bands == 2)
        c->last = row + step >= 0 && row + step < all ? 2 : 1;
    else if (c->first == 1)
        c->last = 0;
    return c->first < c->last;
}

/* `from`, element `at` of tensor `base`, and what it is read through, from channel `column` on. */
static void read_from(const task *t, rn_conv_cells *c, const void *base, int64_t at, const rn_conv_read *read,
                      int column)
{
    c->from = rn_conv_at(base, (size_t)at, t->s->d.dtype);
    c->read = read;
    c->other = read && read->other ? rn_conv_at(read->other, (size_t)at, t->s->d.dtype) : NULL;
    c->column = column;
}

/* Columns o0..o0+m-1 of dst in row y of the block, images i.. of it, n of them. False: these are all missing. */
static rn_conv_cells dst_row(const task *t, const block *k, int y, int i, int n, int o0, int m, int width)
{
    const rn_conv_desc *d = &t->s->d;
    rn_conv_cells c = {.step_x = d->oc, .nx = k->xn, .c = m, .width = width};
    int64_t first;

    image_rows(t->s, k->v0 + i, n, k->y0 + y, t->s->rows, d->oh, (int64_t)d->ow * d->oc, &c, &first);
    read_from(t, &c, t->dst, first + (int64_t)k->x0 * d->oc + o0, t->read_dst, o0);
    return c;
}

/* Tile t of dst: [y][x][image][m]. */
static void copy_dst_tile(const task *t, const block *k, int o0, int m, float *to)
{
    for (int y = 0; y < k->yn; y++, to += (size_t)k->xn * k->gc * m) {
        const rn_conv_cells c = dst_row(t, k, y, 0, k->vn, o0, m, m);
        t->s->isa->copy_cells(&c, to);
    }
}

/* Panel of dst: [image][y][x][width]. */
static void copy_dst_panel(const task *t, const block *k, int o0, int n, int width, float *to)
{
    const int per = t->s->isa->per;

    for (int i = 0; i < k->gc; i++) {
        for (int y = 0; y < k->yn; y++, to += (size_t)k->xn * width) {
            const rn_conv_cells c = dst_row(t, k, y, i * per, rn_imin(per, k->vn - i * per), o0, n, width);
            t->s->isa->copy_cells(&c, to);
        }
    }
}

/* Channels c0..c0+n-1 of the block's source rows: [slot][phase][x][image][width]. What lies in the padding is not written:
 * it is not read. */
static void copy_strip_panel(const task *t, const block *k, int c0, int n, int width)
{
    const rn_strip *s = t->s;
    const rn_conv_desc *d = &s->d;
    const int slots = (int)rn_strip_slots(s, k->yn), columns = (int)rn_strip_columns(s, k->xn);
    const size_t line = (size_t)k->gc * width;

    for (int i = 0; i < slots; i++) {
        rn_conv_cells c = {.step_x = (ptrdiff_t)d->sw * d->ic, .c = n, .width = width};
        int64_t first;
        if (!image_rows(s, k->v0, k->vn, slot_row(s, k, i), (int64_t)s->rows * d->sh, d->ih, (int64_t)d->iw * d->ic, &c,
                        &first))
            continue;
        for (int f = 0; f < s->phases; f++) {
            const int64_t x = (int64_t)k->x0 * d->sw + f - d->pw; /* of column 0 */
            const int lo = rn_conv_clamp(x < 0 ? (-x + d->sw - 1) / d->sw : 0, 0, columns);
            const int hi = rn_conv_clamp(x < d->iw ? (d->iw - 1 - x) / d->sw + 1 : 0, lo, columns);
            if (hi == lo)
                continue;
            c.nx = hi - lo;
            read_from(t, &c, t->src, first + (x + (int64_t)lo * d->sw) * d->ic + c0, t->read_src, c0);
            s->isa->copy_cells(&c, t->b + (((size_t)i * s->phases + f) * columns + lo) * line);
        }
    }
}

/* Few channels: [image][slot][x][channel], with zeros for the padding at the left and right. */
static void copy_strip_rows(const task *t, const block *k)
{
    const rn_strip *s = t->s;
    const rn_conv_desc *d = &s->d;
    const int slots = (int)rn_strip_slots(s, k->yn), per = s->isa->per;
    const int64_t columns = rn_strip_pitch(s, k->xn) * d->sw, x = (int64_t)k->x0 * d->sw - d->pw;
    const int64_t lo = rn_conv_clamp(-x, 0, columns), hi = rn_conv_clamp(d->iw - x, lo, columns);
    float *to = t->a;

    for (int g = 0; g < k->gc; g++) {
        for (int i = 0; i < slots; i++, to += columns * d->ic) {
            /* A row at once, or by pixels, because what they are read through is by channels. */
            const int64_t n = t->read_src ? 1 : hi - lo;
            rn_conv_cells c = {
                .step_x = d->ic, .nx = (int)((hi - lo) / (n ? n : 1)), .c = n * d->ic, .width = n * d->ic};
            int64_t first;
            if (!image_rows(s, k->v0 + g * per, rn_imin(per, k->vn - g * per), slot_row(s, k, i),
                            (int64_t)s->rows * d->sh, d->ih, (int64_t)d->iw * d->ic, &c, &first))
                continue;
            memset(to, 0, (size_t)(lo * d->ic) * sizeof *to);
            if (hi > lo) {
                read_from(t, &c, t->src, first + (x + lo) * d->ic, t->read_src, 0);
                s->isa->copy_cells(&c, to + lo * d->ic);
            }
            memset(to + hi * d->ic, 0, (size_t)((columns - hi) * d->ic) * sizeof *to);
        }
    }
}

/* ---- runs ------------------------------------------------------------------------------------------------------------ */

/* Adds a run, to the last one where it continues that. */
static void add_run(pieces *p, int *n, ptrdiff_t a, ptrdiff_t b, int length)
{
    rn_conv_span *last = *n ? &p->runs[*n - 1] : NULL;

    if (length <= 0)
        return;
    if (last && last->a + last->n == a && last->b + last->n == b)
        last->n += length;
    else
        p->runs[(*n)++] = (rn_conv_span){a, b, length};
}

/* Cuts n runs into even pieces. */
static void cut(pieces *p, int n)
{
    int64_t total = 0, done = 0;

    for (int i = 0; i < n; i++)
        total += p->runs[i].n;
    const int count = (int)((total + RN_STRIP_CHAIN - 1) / RN_STRIP_CHAIN);
    p->n = 0;
    p->at[0] = p->at[1] = 0;
    for (int i = 0; i < n; i++) {
        const int64_t end = total * (p->n + 1) / (count ? count : 1);
        rn_conv_span *r = &p->runs[i];
        if (done + r->n > end) { /* the rest becomes a run of its own */
            const int head = (int)(end - done);
            memmove(r + 1, r, (size_t)(n - i) * sizeof *r);
            r[0].n = head;
            r[1] = (rn_conv_span){r[1].a + head, r[1].b + head, r[1].n - head};
            n++;
        }
        done += r->n;
        if (done == end)
            p->at[++p->n] = i + 1;
    }
}

/* Of tap (r, q): of each grid row, the pixels that it moves to inside the tensor. */
static void tap_runs(const task *t, const block *k, int r, int q, pieces *p)
{
    const rn_strip *s = t->s;
    const rn_conv_desc *d = &s->d;
    const int64_t x = (int64_t)k->x0 * d->sw + q - d->pw, columns = rn_strip_columns(s, k->xn);
    const int lo = rn_conv_clamp(x < 0 ? (-x + d->sw - 1) / d->sw : 0, 0, k->xn);
    const int hi = rn_conv_clamp(x < d->iw ? (d->iw - 1 - x) / d->sw + 1 : 0, lo, k->xn);
    int n = 0;

    for (int y = 0; y < k->yn; y++) {
        const int64_t slot = (int64_t)y * s->row_step + r;
        rn_conv_cells c;
        int64_t first;
        if (!image_rows(s, k->v0, k->vn, slot_row(s, k, (int)slot), (int64_t)s->rows * d->sh, d->ih, 0, &c, &first))
            continue;
        add_run(p, &n, ((ptrdiff_t)y * k->xn + lo) * k->gc,
                (((slot * s->phases + q % d->sw) * columns) + lo + q / d->sw) * k->gc, (hi - lo) * k->gc);
    }
    cut(p, n);
}

/* Few channels, of window row r. */
static void row_runs(const task *t, const block *k, int r, pieces *p)
{
    const rn_strip *s = t->s;
    const int64_t slots = rn_strip_slots(s, k->yn), pitch = rn_strip_pitch(s, k->xn);
    const int per = s->isa->per;
    int n = 0;

    for (int g = 0; g < k->gc; g++) {
        for (int y = 0; y < k->yn; y++) {
            const int64_t slot = (int64_t)y * s->row_step + r;
            rn_conv_cells c;
            int64_t first;
            if (!image_rows(s, k->v0 + g * per, rn_imin(per, k->vn - g * per), slot_row(s, k, (int)slot),
                            (int64_t)s->rows * s->d.sh, s->d.ih, 0, &c, &first))
                continue;
            add_run(p, &n, (g * slots + slot) * pitch, ((ptrdiff_t)g * k->yn + y) * k->xn, k->xn);
        }
    }
    cut(p, n);
}

/* ---- products -------------------------------------------------------------------------------------------------------- */

/* The next rows to be asked for; none: `at` and `end` are NULL. */
static void ahead_next(const task *t, ahead *h)
{
    const rn_strip *s = t->s;
    const rn_conv_desc *d = &s->d;
    const void *const tensors[TENSORS] = {t->dst, t->read_dst ? t->read_dst->other : NULL, t->src,
                                          t->read_src ? t->read_src->other : NULL};
    const void *base = tensors[h->piece % TENSORS];
    const bool src = h->piece % TENSORS >= 2;
    const int v = h->k.v0 + h->piece / TENSORS, all = src ? d->ih : d->oh;
    const size_t row = (size_t)(src ? d->iw : d->ow) * (size_t)(src ? d->ic : d->oc);
    int64_t y = (int64_t)(v % s->bands) * s->rows + h->k.y0, rows = h->k.yn;

    h->at = h->end = NULL;
    h->piece++;
    if (src) {
        y = y * d->sh - d->ph;
        rows = (rows - 1) * d->sh + d->kh;
    }
    const int64_t y0 = y < 0 ? 0 : y, y1 = y + rows < all ? y + rows : all;
    if (base && y1 > y0) {
        const size_t image = (size_t)(v / s->bands) * (size_t)all;
        h->at = rn_conv_at(base, (image + (size_t)y0) * row, d->dtype);
        h->end = rn_conv_at(base, (image + (size_t)y1) * row, d->dtype);
    }
}

/* Lines to be asked for over the steps of this block. */
static void ahead_start(const task *t, ahead *h, const block *now, size_t next)
{
    const rn_strip *s = t->s;
    const rn_conv_desc *d = &s->d;
    const double rows = (double)now->yn * d->sh, steps = (double)now->yn * now->xn * now->gc * (t->m1 - t->m0) *
                                                         (t->n1 - t->n0) * (s->few ? 1 : d->kh * d->kw);
    const double tensors_src = t->read_src && t->read_src->other ? 2 : 1, tensors_dst = t->read_dst ? 2 : 1;
    const double lines = (double)now->vn *
                         (tensors_src * rows * d->iw * d->ic + tensors_dst * now->yn * d->ow * d->oc) *
                         (double)rn_dtype_size(d->dtype) / 64;

    *h = (ahead){.share = 1.1 * lines / steps};
    if (next < t->u1)
        h->k = block_at(s, next, t->u1);
}

/* Piece i of a tap: m rows. */
static void tile(const task *t, int m, pieces *p, int i, rn_conv_tile c)
{
    ahead *h = &p->ahead;
    int64_t steps = 0;

    c.runs = p->runs + p->at[i];
    c.nruns = p->at[i + 1] - p->at[i];
    c.ahead = (const char *)c.a;
    for (int r = 0; r < c.nruns; r++)
        steps += c.runs[r].n;
    h->due += h->share * (double)steps;
    while (h->at >= h->end && h->piece < TENSORS * h->k.vn)
        ahead_next(t, h);
    if (h->at < h->end && h->due >= (double)steps) {
        c.ahead = h->at;
        c.ahead_step = 64;
        h->at += 64 * steps;
        h->due -= (double)steps;
    }
    t->s->isa->tile_runs(m, &c);
}

/* One tap, channels c0.. of it. */
static void tap_product(const task *t, const block *k, pieces *p, float *out, int n, int width, bool acc)
{
    const rn_strip *s = t->s;
    const int tiles = rn_strip_tiles(s), first = rn_part(s->d.oc, tiles, t->m0);
    const size_t cells = (size_t)k->yn * k->xn * k->gc;

    for (int i = 0; i < p->n || (i == 0 && !acc); i++) {
        for (int j = t->m0; j < t->m1; j++) {
            const int o0 = rn_part(s->d.oc, tiles, j), m = rn_part(s->d.oc, tiles, j + 1) - o0;
            tile(t, m, p, i,
                 (rn_conv_tile){.a = t->a + (size_t)(o0 - first) * cells,
                                .lda = m,
                                .b = t->b,
                                .ldb = width,
                                .c = out + (size_t)o0 * t->ld,
                                .ldc = t->ld,
                                .n = n,
                                .acc = acc || i > 0});
        }
    }
}

static void block_product(const task *t, const block *k, pieces *p, bool acc)
{
    const rn_strip *s = t->s;
    const rn_conv_desc *d = &s->d;
    const int tiles = rn_strip_tiles(s), first = rn_part(d->oc, tiles, t->m0), nr = s->isa->nr;
    const size_t cells = (size_t)k->yn * k->xn * k->gc;

    for (int j = t->m0; j < t->m1; j++) {
        const int o0 = rn_part(d->oc, tiles, j), m = rn_part(d->oc, tiles, j + 1) - o0;
        copy_dst_tile(t, k, o0, m, t->a + (size_t)(o0 - first) * cells);
    }
    for (int j = t->n0; j < t->n1; j++) {
        const int n = rn_imin(nr, d->ic - j * nr), width = rn_panel_width(s->isa, d->ic, j);
        copy_strip_panel(t, k, j * nr, n, width);
        for (int q = 0; q < d->kh * d->kw; q++) {
            tap_runs(t, k, q / d->kw, q % d->kw, p);
            tap_product(t, k, p, t->out + (size_t)q * d->ic + (size_t)j * nr, n, width, acc);
        }
    }
}

/* Few channels: the columns of window row r from tiles m0..m1-1 of it, against panels of dst. */
static void row_product(const task *t, const block *k, pieces *p, int r, int m0, int m1, bool acc)
{
    const rn_strip *s = t->s;
    const rn_conv_desc *d = &s->d;
    const int columns = d->kw * d->ic, tiles = rn_ceil_div(columns, s->isa->mr), nr = s->isa->nr;
    const size_t cells = (size_t)k->yn * k->xn * k->gc;

    for (int j = t->n0; j < t->n1; j++) {
        const int n = rn_imin(nr, d->oc - j * nr), width = rn_panel_width(s->isa, d->oc, j);
        for (int i = 0; i < p->n || (i == 0 && !acc); i++) {
            for (int q = m0; q < m1; q++) {
                const int c0 = rn_part(columns, tiles, q), m = rn_part(columns, tiles, q + 1) - c0;
                tile(t, m, p, i,
                     (rn_conv_tile){.a = t->a + c0,
                                    .lda = (ptrdiff_t)d->sw * d->ic,
                                    .b = t->b + (size_t)(j - t->n0) * nr * cells,
                                    .ldb = width,
                                    .c = t->out + ((size_t)r * columns + (size_t)c0) * t->ld + (size_t)j * nr,
                                    .ldc = t->ld,
                                    .n = n,
                                    .acc = acc || i > 0});
            }
        }
    }
}

static void block_product_few(const task *t, const block *k, pieces *p, bool acc)
{
    const rn_strip *s = t->s;
    const int nr = s->isa->nr, tiles = rn_strip_tiles(s) / s->d.kh;
    const size_t cells = (size_t)k->yn * k->xn * k->gc;

    copy_strip_rows(t, k);
    for (int j = t->n0; j < t->n1; j++)
        copy_dst_panel(t, k, j * nr, rn_imin(nr, s->d.oc - j * nr), rn_panel_width(s->isa, s->d.oc, j),
                       t->b + (size_t)(j - t->n0) * nr * cells);
    for (int r = t->m0 / tiles; r * tiles < t->m1; r++) {
        const int m0 = t->m0 > r * tiles ? t->m0 - r * tiles : 0;
        row_runs(t, k, r, p);
        row_product(t, k, p, r, m0, rn_imin(tiles, t->m1 - r * tiles), acc);
    }
}

static void run_task(const task *t, bool acc)
{
    pieces p;
    for (size_t u = t->u0; u < t->u1;) {
        const block k = block_at(t->s, u, t->u1);
        const size_t next = u + (size_t)k.yn;
        ahead_start(t, &p.ahead, &k, next);
        if (t->s->few)
            block_product_few(t, &k, &p, acc);
        else
            block_product(t, &k, &p, acc);
        u = next;
        acc = true;
    }
}

/* ---- the result ------------------------------------------------------------------------------------------------------ */

/* Few channels: rn_conv_add_copies of transposed sums, 16 channels of the output at a time. */
static void transpose_copies(const rn_strip *s, float *wei, const float *copies, int beta, int threads)
{
    const size_t k = (size_t)s->d.kh * s->d.kw * s->d.ic, ld = (size_t)rn_strip_ld(s);
    const int blocks = rn_ceil_div(s->d.oc, 16);

#pragma omp parallel for schedule(static) num_threads(threads)
    for (int b = 0; b < blocks; b++) {
        for (size_t i = 0; i < k; i++) {
            for (int o = b * 16; o < rn_imin(b * 16 + 16, s->d.oc); o++) {
                float sum = beta ? wei[(size_t)o * k + i] : 0;
                for (int c = 0; c < s->pix_groups; c++)
                    sum += copies[(size_t)c * s->copy_cells + i * ld + (size_t)o];
                wei[(size_t)o * k + i] = sum;
            }
        }
    }
}

void rn_strip_run(const rn_strip *s, const rn_conv_args *args, int beta, float *ws)
{
    const int tiles = rn_strip_tiles(s), panels = rn_strip_panels(s),
              threads = s->pix_groups * s->m_groups * s->n_groups;
    const size_t scratch = s->a_cells + s->b_cells;
    float *copies = ws + scratch * (size_t)threads;

#pragma omp parallel for schedule(static, 1) num_threads(threads)
    for (int i = 0; i < threads; i++) {
        const int n = i % s->n_groups, m = i / s->n_groups % s->m_groups, pix = i / s->n_groups / s->m_groups;
        const task t = {.s = s,
                        .src = args->src,
                        .dst = args->dst,
                        .read_src = s->d.fuse & RN_PRO_BN ? &s->read_src : NULL,
                        .read_dst = s->d.fuse & RN_PRO_DBN ? &s->read_dst : NULL,
                        .u0 = s->units * (size_t)pix / (size_t)s->pix_groups,
                        .u1 = s->units * (size_t)(pix + 1) / (size_t)s->pix_groups,
                        .m0 = rn_part(tiles, s->m_groups, m),
                        .m1 = rn_part(tiles, s->m_groups, m + 1),
                        .n0 = rn_part(panels, s->n_groups, n),
                        .n1 = rn_part(panels, s->n_groups, n + 1),
                        .a = ws + scratch * (size_t)i,
                        .b = ws + scratch * (size_t)i + s->a_cells,
                        .out = s->few     ? copies + (size_t)pix * s->copy_cells
                               : pix == 0 ? (float *)args->wei
                                          : copies + (size_t)(pix - 1) * s->copy_cells,
                        .ld = s->few ? (size_t)rn_strip_ld(s) : (size_t)s->d.kh * s->d.kw * s->d.ic};
        run_task(&t, !s->few && pix == 0 && beta);
    }
    if (s->few)
        transpose_copies(s, args->wei, copies, beta, threads);
    else if (s->pix_groups > 1)
        rn_conv_add_copies(args->wei, copies, (size_t)s->d.oc * s->d.kh * s->d.kw * s->d.ic, s->copy_cells,
                           s->pix_groups - 1, threads);
}
