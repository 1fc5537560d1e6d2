/* SPDX-License-Identifier: MIT */
/*
 * cpu:amx, fwd and bwd_d: strips * packed weights.
 *
 * A thread fills its next strip row by row between the blocks of tiles that it multiplies out of the present one: products queue up
 * at their unit, and what stands between them costs nothing as long as the queue lasts.
 */
#include <omp.h>
#include <string.h>

#include "kernels/cpu/cpu_amx.h"

#define EPILOGUES (RN_EPI_STATS | RN_EPI_DBN)
/* Sums of a strip and a pair of columns. */
#define STATS     ((size_t)2 * RN_AMX_PAIR)

/* One run. A task is a strip and a group of pairs of columns. */
typedef struct product {
    const rn_conv_plan *plan;
    const rn_amx_plan *p;
    const rn_conv_args *a;
    const uint16_t *in;
    uint16_t *out;
    int beta, pairs;
    rn_amx_read read;
    rn_amx_gate gate; /* of RN_EPI_DBN; raw NULL: none */
    double *
        stats; /* an epilogue's, else NULL: for each strip and pair of columns 32 sums and 32 sums of squares or products */
} product;

/* Images n0..n1-1, rows y0..y1-1 of the grid. */
typedef struct strip {
    int n0, n1, y0, y1;
    const char *at; /* of the first image */
    size_t image;   /* bytes between images, */
    size_t stride;  /* and between positions */
} strip;

/* The strip that comes next, of whose rows `done` are filled. `blocks` of the `all_blocks` of the present one are multiplied. */
typedef struct filling {
    strip s;
    char *memory;
    int64_t done, rows, blocks, all_blocks;
} filling;

/* One phase in one image of a strip. */
typedef struct job {
    const rn_amx_phase *f;
    const char *at;
    size_t stride;
    int n, y0, pitch;
    int64_t positions;
    int rows; /* of a tile */
} job;

/* A product of fewer rows costs less, down to about 9 of them: tiles are as even as can be. */
static int tile_rows(int64_t positions)
{
    const int64_t tiles = (positions + RN_AMX_ROWS - 1) / RN_AMX_ROWS;
    return (int)((positions + tiles - 1) / tiles);
}

static bool job_of(const product *g, const strip *s, const rn_amx_phase *f, int n, job *out)
{
    const int rows = rn_amx_min(s->y1, f->gh) - s->y0;

    if (rows <= 0)
        return false;
    *out = (job){.f = f,
                 .at = s->at + (size_t)(n - s->n0) * s->image,
                 .stride = s->stride,
                 .n = n,
                 .y0 = s->y0,
                 .pitch = g->p->pitch};
    out->positions = (int64_t)(rows - 1) * out->pitch + f->gw;
    out->rows = tile_rows(out->positions);
    return true;
}

/* Rows of the grid follow each other in the output without a gap. */
static bool is_dense(const rn_amx_plan *p)
{
    return p->pitch == p->out_w && p->step_x == 1 && p->step_y == 1;
}

/* The pixels of the output of positions m..m+n-1; the first one's sums are in row `row`. Returns how many runs. */
static int runs_of(const rn_amx_plan *p, const job *j, int64_t m, int n, int row, rn_amx_run *runs)
{
    const size_t image = (size_t)j->n * p->out_h, cols = (size_t)p->cols;
    int count = 0, y = (int)(m / j->pitch), x = (int)(m % j->pitch);

    if (m + n > j->positions)
        n = (int)(j->positions - m);
    if (is_dense(p)) {
        runs[0] = (rn_amx_run){row, n, ((image + (size_t)j->y0) * p->out_w + (size_t)m) * cols};
        return n > 0;
    }
    for (; n > 0; x = 0, y++) {
        const int inside = rn_amx_min(j->f->gw - x, n);
        const size_t line = image + ((size_t)j->y0 + (size_t)y) * p->step_y + j->f->sub_y;
        if (inside > 0)
            runs[count++] = (rn_amx_run){row, inside, (line * p->out_w + (size_t)x * p->step_x + j->f->sub_x) * cols};
        row += j->pitch - x;
        n -= j->pitch - x;
    }
    return count;
}

/* From column c on. */
static rn_amx_gate gate_at(const product *g, int c)
{
    if (!g->gate.raw)
        return (rn_amx_gate){0};
    return (rn_amx_gate){g->gate.raw + c, g->gate.scale + c, g->gate.shift + c, g->gate.mean + c};
}

static void fill_rows(const product *g, filling *next, int64_t until)
{
    const int rows = rn_amx_strip_rows(g->p);

    for (; next->done < until; next->done++) {
        const int image = (int)(next->done / rows);
        rn_amx_fill_row(g->p, &g->read, g->in, next->s.n0 + image, next->s.y0, (int)(next->done % rows),
                        next->memory + (size_t)image * g->p->image);
    }
}

/* The next strip's share of one more block. */
static void fill_part(const product *g, filling *next)
{
    next->blocks++;
    if (next->done < next->rows)
        fill_rows(g, next, next->rows * next->blocks / next->all_blocks);
}

/* The job against one pair of columns. */
static void job_pair(const product *g, const job *j, int pair, float *sums, double *stats, filling *next)
{
    const rn_amx_plan *p = g->p;
    const int c = pair * RN_AMX_PAIR, columns = rn_amx_min(p->cols - c, RN_AMX_PAIR);
    const char *b = p->b + j->f->b + (size_t)pair * j->f->nsteps * 2 * RN_AMX_TILE;
    const size_t step = (size_t)p->step_x * p->cols;
    const rn_amx_gate gate = gate_at(g, c);
    rn_amx_run runs[2 * RN_AMX_ROWS];

    for (int64_t m = 0; m < j->positions; m += 2 * j->rows) {
        const int mt = m + j->rows < j->positions ? 2 : 1;
        const char *a[2] = {0};
        int nruns = 0;
        for (int i = 0; i < mt; i++) {
            const int64_t first = m + (int64_t)i * j->rows, last = j->positions - j->rows;
            const int64_t from = p->in_place && first > last ? last : first; /* read nothing past the tensor */
            const int skip = (int)(first - from);
            a[i] = j->at + (size_t)from * j->stride;
            nruns += runs_of(p, j, first, j->rows - skip, i * RN_AMX_ROWS + skip, runs + nruns);
        }
        rn_amx_products(mt, columns > 16 ? 2 : 1, a, j->stride, b, j->f->steps, j->f->nsteps, false, sums);
        fill_part(g, next);
        if (gate.raw)
            rn_amx_put_dbn(sums, runs, nruns, columns, g->out + c, step, &gate, stats);
        else if (stats)
            rn_amx_put_stats(sums, runs, nruns, columns, g->out + c, step, g->a->pivot ? g->a->pivot + c : NULL, stats);
        else
            rn_amx_put(sums, runs, nruns, columns, g->out + c, step, g->beta);
    }
}

/* Pixels that no tap reaches: their gradient is zero. */
static void zero_job(const product *g, const job *j)
{
    const rn_amx_plan *p = g->p;
    const size_t cols = (size_t)p->cols, step = (size_t)p->step_x * cols;
    rn_amx_run runs[RN_AMX_ROWS];

    for (int64_t m = 0; m < j->positions && !g->beta; m += RN_AMX_ROWS) {
        const int nruns = runs_of(p, j, m, RN_AMX_ROWS, 0, runs);
        for (int i = 0; i < nruns; i++) {
            uint16_t *out = g->out + runs[i].at;
            for (int k = 0; k < runs[i].n; k++, out += step)
                memset(out, 0, cols * sizeof *out);
        }
    }
}

/* Pairs of columns of a group. */
static int group_pair(const product *g, int group)
{
    return (int)((int64_t)g->pairs * group / g->p->groups);
}

/* Blocks of tiles of a strip and `pairs` pairs of columns. */
static int64_t blocks_of(const product *g, const strip *s, int pairs)
{
    int64_t blocks = 0;
    job j;

    for (int i = 0; i < g->p->nphases; i++) {
        if (g->p->phases[i].ntaps > 0 && job_of(g, s, &g->p->phases[i], s->n0, &j))
            blocks += (j.positions + 2 * j.rows - 1) / (2 * j.rows);
    }
    return blocks * (s->n1 - s->n0) * pairs;
}

/* B is outermost: a pair of columns of it is read once for all images of the strip. */
static void strip_task(const product *g, const strip *s, int pair0, int pair1, float *sums, double *strip_stats,
                       filling *next)
{
    const rn_amx_plan *p = g->p;
    int rows = 0;
    job j;

    next->all_blocks = blocks_of(g, s, pair1 - pair0);
    if (strip_stats)
        memset(strip_stats + (size_t)pair0 * STATS, 0, (size_t)(pair1 - pair0) * STATS * sizeof *strip_stats);
    for (int i = 0; i < p->nphases; i++) {
        const rn_amx_phase *f = &p->phases[i];
        for (int n = s->n0; n < s->n1 && f->ntaps == 0 && pair0 == 0; n++) {
            if (job_of(g, s, f, n, &j))
                zero_job(g, &j);
        }
        for (int pair = pair0; pair < pair1 && f->ntaps > 0; pair++) {
            double *stats = strip_stats ? strip_stats + (size_t)pair * STATS : NULL;
            for (int n = s->n0; n < s->n1; n++) {
                if (!job_of(g, s, f, n, &j))
                    break;
                if (j.rows != rows)
                    rn_amx_configure(rows = j.rows);
                job_pair(g, &j, pair, sums, stats, next);
            }
        }
    }
    fill_rows(g, next, next->rows);
}

/* Strip t; memory: of the copy. */
static strip strip_of(const product *g, int t, const char *memory)
{
    const rn_amx_plan *p = g->p;
    const int blocks = rn_amx_ceil(p->gh, p->block), n0 = t / blocks * p->images, y0 = t % blocks * p->block;
    strip s = {.n0 = n0,
               .n1 = rn_amx_min(n0 + p->images, p->mb),
               .y0 = y0,
               .y1 = rn_amx_min(y0 + p->block, p->gh),
               .at = memory,
               .image = p->image,
               .stride = RN_AMX_LINE};

    if (p->in_place) {
        s.stride = (size_t)p->c * sizeof *g->in;
        s.image = (size_t)p->h * p->w * s.stride;
        s.at = (const char *)g->in + (size_t)n0 * s.image + (size_t)y0 * p->w * s.stride;
    }
    return s;
}

/* To fill strip t into `memory`; nothing, where there is none or nothing is copied. */
static filling filling_of(const product *g, int t, int strips, char *memory)
{
    if (t >= strips)
        return (filling){0};
    const strip s = strip_of(g, t, memory);
    return (filling){
        .s = s, .memory = memory, .rows = g->p->in_place ? 0 : (int64_t)(s.n1 - s.n0) * rn_amx_strip_rows(g->p)};
}

/* One thread: takes tasks, always one ahead, until there are none. */
static void take_tasks(const product *g, int strips, int *taken, char *memory, float *sums)
{
    const rn_amx_plan *p = g->p;
    const int groups = p->groups, tasks = strips * groups;
    const size_t half = p->thread_bytes / 2;
    int t = __atomic_fetch_add(taken, 1, __ATOMIC_RELAXED), turn = 0;
    filling f = filling_of(g, t / groups, strips, memory);

    fill_rows(g, &f, f.rows);
    while (t < tasks) {
        const int then = __atomic_fetch_add(taken, 1, __ATOMIC_RELAXED), k = t % groups;
        const strip s = f.s;
        turn = !turn;
        f = filling_of(g, then / groups, strips, memory + (turn ? half : 0));
        strip_task(g, &s, group_pair(g, k), group_pair(g, k + 1), sums,
                   g->stats ? g->stats + (size_t)(t / groups) * (size_t)g->pairs * STATS : NULL, &f);
        t = then;
    }
}

static int64_t strips_of(const rn_amx_plan *p)
{
    return (int64_t)rn_amx_ceil(p->mb, p->images) * rn_amx_ceil(p->gh, p->block);
}

size_t rn_amx_product_workspace(const rn_amx_plan *p, const rn_conv_desc *d, int threads)
{
    const size_t stats = (size_t)strips_of(p) * (size_t)rn_amx_ceil(p->cols, RN_AMX_PAIR) * STATS;

    return p->thread_bytes * (size_t)threads + (d->fuse & EPILOGUES ? stats * sizeof(double) : 0);
}

/* The strips' sums, in their order. */
static void add_stats(const product *g)
{
    const rn_amx_plan *p = g->p;
    const size_t stride = (size_t)g->pairs * STATS;

    for (int c = 0; c < p->cols; c++) {
        const double *from = g->stats + (size_t)(c / RN_AMX_PAIR) * STATS + c % RN_AMX_PAIR;
        double sum = 0, square = 0;
        for (int64_t s = 0; s < strips_of(p); s++) {
            sum += from[(size_t)s * stride];
            square += from[(size_t)s * stride + RN_AMX_PAIR];
        }
        g->a->sum[c] = sum;
        g->a->sumsq[c] = square;
    }
}

/* Each element of the output is summed by one thread in an order that depends only on the descriptor: the same bits at
 * any number of threads. */
void rn_amx_run_product(const rn_conv_plan *plan, const rn_conv_args *a, int beta, char *ws)
{
    const rn_amx_plan *p = plan->priv;
    const product g = {
        .plan = plan,
        .p = p,
        .a = a,
        .in = plan->dir == RN_FWD ? a->src : a->dst,
        .out = plan->dir == RN_FWD ? a->dst : a->src,
        .beta = beta,
        .pairs = rn_amx_ceil(p->cols, RN_AMX_PAIR),
        .read = plan->dir == RN_FWD ? rn_amx_read_src(plan->desc.fuse, a) : rn_amx_read_dst(plan->desc.fuse, a),
        .gate = plan->desc.fuse & RN_EPI_DBN ? (rn_amx_gate){a->raw, a->scale, a->shift, a->mean} : (rn_amx_gate){0},
        .stats = plan->desc.fuse & EPILOGUES ? (double *)(ws + p->thread_bytes * (size_t)plan->be->threads) : NULL};
    const int strips = (int)strips_of(p);
    int taken = 0;

#pragma omp parallel num_threads(plan->be->threads)
    {
        _Alignas(64) float sums[4 * RN_AMX_TILE / sizeof(float)];
        take_tasks(&g, strips, &taken, ws + p->thread_bytes * (size_t)omp_get_thread_num(), sums);
        rn_amx_release();
    }
    if (g.stats)
        add_stats(&g);
}
