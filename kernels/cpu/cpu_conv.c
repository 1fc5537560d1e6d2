/* SPDX-License-Identifier: MIT */
/* cpu:im2col: plans, packed weights and the parallel loops. See cpu_conv.h. */
#include "kernels/cpu/cpu_conv.h"

#include <omp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "kernels/cpu/cpu_backend.h"

/* Panels of pixels whose output stays in the L2 cache while K is worked off block by block. */
#define CHUNK_PANELS  8
/* bwd_w: pixels reduced at a time, and im2col columns gathered at a time (256 x 256 floats: a quarter of 1 MB). */
#define BLOCK_PIXELS  256
#define BLOCK_COLUMNS 256
/* bwd_w: a weight tensor of at most this many floats is cheaper to reduce over private copies than to split. */
#define SMALL_WEIGHTS 32768

/* One product im2col(view) * B. fwd has one; bwd_d has one for each phase of the stride: source pixels whose
 * coordinates leave the same rest see the same taps, as a convolution of stride 1. */
typedef struct phase {
    rn_conv_view view; /* base is set at each run */
    int k;             /* columns of the im2col matrix; 0: no tap reaches these pixels */
    int sub_y, sub_x;  /* pixel (y, x) of the grid is (y * step_y + sub_y, x * step_x + sub_x) of the output */
    int r0, s0;        /* bwd_d: first tap; window row r is tap r0 + sh * (kr - 1 - r) */
    size_t pixels;
    size_t b_offset; /* floats into the packed weights */
} phase;

typedef struct im2col_plan {
    const rn_conv_isa *isa;
    int cols;         /* columns of the product: oc, ic or kh kw ic */
    int out_h, out_w; /* of one image of the output */
    int step_y, step_x;
    int nphases;
    phase *phases;
    float *b; /* packed weights: for each phase, panels of nr columns, K rows each */
    /* bwd_w */
    int col_groups, pix_groups;
} im2col_plan;

static const rn_conv_isa *isa_of(const struct rn_backend *be)
{
#if defined(__x86_64__)
    if (rn_cpu_backend_isa(be) == RN_ISA_AVX512)
        return &rn_conv_isa_avx512;
    if (rn_cpu_backend_isa(be) == RN_ISA_AVX2)
        return &rn_conv_isa_avx2;
#else
    (void)be;
#endif
    return &rn_conv_isa_portable;
}

static int imin(int a, int b)
{
    return a < b ? a : b;
}

static int ceil_div(int a, int b)
{
    return (a + b - 1) / b;
}

/* Width in memory of panel j of a row of n columns. */
static int panel_width(const rn_conv_isa *isa, int n, int j)
{
    return n - j * isa->nr > isa->nr / 2 ? isa->nr : isa->nr / 2;
}

static bool supports(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, const char **why)
{
    (void)be;
    (void)dir;
    if (d->dtype != RN_F32) {
        *why = "f32 only";
        return false;
    }
    if (d->fuse) {
        *why = "no fused prologue or epilogue";
        return false;
    }
    return true;
}

/* ---- bwd_w: how the work is split -------------------------------------------------------------------------------- */

/* Threads split the columns of the weight gradient when that balances: no reduction is needed then. Otherwise, or
 * when the tensor is small, some or all of them split the pixels and their sums are added in a fixed order. */
static void split_bwd_w(const struct rn_backend *be, const rn_conv_desc *d, int *col_groups, int *pix_groups)
{
    const int k = d->kh * d->kw * d->ic, panels = ceil_div(k, isa_of(be)->nr), threads = be->threads;
    int best = 1;

    if ((size_t)k * d->oc > SMALL_WEIGHTS) {
        for (int c = 2; c <= threads; c++) {
            if (threads % c == 0 && panels >= c && panels >= 0.85 * c * ceil_div(panels, c))
                best = c;
        }
    }
    const size_t blocks = ((size_t)d->mb * d->oh * d->ow + BLOCK_PIXELS - 1) / BLOCK_PIXELS;
    *col_groups = best;
    *pix_groups = blocks < (size_t)(threads / best) ? (int)blocks : threads / best;
}

/* Floats of a block of gathered panels, for the narrowest of the tables' nr. */
#define SCRATCH_B (BLOCK_COLUMNS * BLOCK_PIXELS + BLOCK_COLUMNS + 64)

/* Floats of scratch of one thread: a block of dst and a block of the im2col matrix. */
static size_t bwd_w_scratch(const rn_conv_desc *d)
{
    return (size_t)d->oc * BLOCK_PIXELS + 64 + SCRATCH_B;
}

static size_t wei_count(const rn_conv_desc *d)
{
    return (size_t)d->oc * d->kh * d->kw * d->ic;
}

static size_t workspace(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir)
{
    int cols, pixs;

    if (dir != RN_BWD_W)
        return 0;
    split_bwd_w(be, d, &cols, &pixs);
    size_t copies = (size_t)(pixs - 1) * ((wei_count(d) + 15) / 16 * 16);
    return (bwd_w_scratch(d) * (size_t)be->threads + copies) * sizeof(float);
}

/* ---- plans --------------------------------------------------------------------------------------------------------- */

static int open_fwd(im2col_plan *p, const rn_conv_desc *d)
{
    if (!(p->phases = calloc(1, sizeof *p->phases)))
        return rn_fail(RN_E_NOMEM, "cpu:im2col: out of memory");
    p->nphases = 1;
    p->cols = d->oc;
    p->out_h = d->oh;
    p->out_w = d->ow;
    p->step_y = p->step_x = 1;
    p->phases[0] = (phase){
        .view = {.h = d->ih,
                 .w = d->iw,
                 .c = d->ic,
                 .kr = d->kh,
                 .ks = d->kw,
                 .sy = d->sh,
                 .sx = d->sw,
                 .y0 = -d->ph,
                 .x0 = -d->pw,
                 .gh = d->oh,
                 .gw = d->ow},
        .k = d->kh * d->kw * d->ic,
        .pixels = (size_t)d->mb * d->oh * d->ow,
    };
    return 0;
}

/* Taps r = r0, r0 + stride, ... < k reach source coordinate `first + stride * j`; the first of them, last in the
 * window, at dst coordinate j + base. */
static void phase_axis(int first, int stride, int pad, int k, int *r0, int *taps, int *origin)
{
    *r0 = (first + pad) % stride;
    *taps = *r0 < k ? ceil_div(k - *r0, stride) : 0;
    *origin = (first + pad - *r0) / stride - (*taps - 1);
}

static int open_bwd_d(im2col_plan *p, const rn_conv_desc *d)
{
    size_t offset = 0;

    if (!(p->phases = calloc((size_t)d->sh * d->sw, sizeof *p->phases)))
        return rn_fail(RN_E_NOMEM, "cpu:im2col: out of memory");
    p->cols = d->ic;
    p->out_h = d->ih;
    p->out_w = d->iw;
    p->step_y = d->sh;
    p->step_x = d->sw;
    for (int fy = 0; fy < imin(d->sh, d->ih); fy++) {
        for (int fx = 0; fx < imin(d->sw, d->iw); fx++) {
            phase *f = &p->phases[p->nphases++];
            *f = (phase){.view = {.h = d->oh, .w = d->ow, .c = d->oc, .sy = 1, .sx = 1}, .sub_y = fy, .sub_x = fx};
            phase_axis(fy, d->sh, d->ph, d->kh, &f->r0, &f->view.kr, &f->view.y0);
            phase_axis(fx, d->sw, d->pw, d->kw, &f->s0, &f->view.ks, &f->view.x0);
            f->view.gh = ceil_div(d->ih - fy, d->sh);
            f->view.gw = ceil_div(d->iw - fx, d->sw);
            f->k = f->view.kr * f->view.ks * d->oc;
            f->pixels = (size_t)d->mb * f->view.gh * f->view.gw;
            f->b_offset = offset;
            offset += (size_t)f->k * ceil_div(d->ic, p->isa->nr) * p->isa->nr;
        }
    }
    return 0;
}

static void close_plan(struct rn_backend *be, void *priv)
{
    im2col_plan *p = priv;

    (void)be;
    if (!p)
        return;
    free(p->phases);
    free(p->b);
    free(p);
}

static int open_plan(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, void **priv)
{
    im2col_plan *p = calloc(1, sizeof *p);
    int rc = 0;

    *priv = NULL;
    if (!p)
        return rn_fail(RN_E_NOMEM, "cpu:im2col: out of memory");
    p->isa = isa_of(be);
    RN_GO(dir == RN_BWD_D ? open_bwd_d(p, d) : open_fwd(p, d));
    if (dir == RN_BWD_W) {
        split_bwd_w(be, d, &p->col_groups, &p->pix_groups);
    } else {
        const phase *last = &p->phases[p->nphases - 1];
        size_t floats = last->b_offset + (size_t)last->k * ceil_div(p->cols, p->isa->nr) * p->isa->nr;
        p->b = aligned_alloc(64, (floats * sizeof(float) + 63 + 64) & ~(size_t)63);
        if (!p->b)
            rc = rn_fail(RN_E_NOMEM, "cpu:im2col: %zu bytes of packed weights: out of memory", floats * sizeof(float));
    }
out:
    if (rc < 0)
        close_plan(be, p);
    else
        *priv = p;
    return rc;
}

/* ---- weights ------------------------------------------------------------------------------------------------------- */

/* Panel j of wei^T: b[k][i] = wei[j nr + i][k]. 16 k at a time: a cache line of each of the rows. */
static void pack_fwd(const im2col_plan *p, const float *wei, int j)
{
    const int k = p->phases[0].k, c0 = j * p->isa->nr, n = imin(p->cols - c0, p->isa->nr);
    const int width = panel_width(p->isa, p->cols, j);
    float *b = p->b + (size_t)j * k * p->isa->nr;

    for (int k0 = 0; k0 < k; k0 += 16) {
        int k1 = imin(k0 + 16, k);
        for (int i = 0; i < width; i++) {
            const float *row = wei + (size_t)(c0 + i) * k;
            for (int q = k0; q < k1; q++)
                b[(size_t)q * width + i] = i < n ? row[q] : 0.0f;
        }
    }
}

/* Panel j of one phase: row (r, s, o) holds wei[o][tap r][tap s][j nr ...], taps in falling order. */
static void pack_bwd_d(const im2col_plan *p, const rn_conv_desc *d, const phase *f, const float *wei, int j)
{
    const int c0 = j * p->isa->nr, n = imin(p->cols - c0, p->isa->nr), width = panel_width(p->isa, p->cols, j);
    float *b = p->b + f->b_offset + (size_t)j * f->k * p->isa->nr;

    for (int r = 0; r < f->view.kr; r++) {
        for (int s = 0; s < f->view.ks; s++) {
            int kr = f->r0 + d->sh * (f->view.kr - 1 - r), ks = f->s0 + d->sw * (f->view.ks - 1 - s);
            for (int o = 0; o < d->oc; o++, b += width) {
                memcpy(b, wei + (((size_t)o * d->kh + kr) * d->kw + ks) * d->ic + c0, (size_t)n * sizeof *b);
                memset(b + n, 0, (size_t)(width - n) * sizeof *b);
            }
        }
    }
}

static int prepare(rn_conv_plan *plan, const void *wei, void *stream)
{
    const im2col_plan *p = plan->priv;
    const int panels = ceil_div(p->cols, p->isa->nr), tasks = panels * p->nphases;

    (void)stream;
#pragma omp parallel for schedule(dynamic) num_threads(plan->be->threads)
    for (int t = 0; t < tasks; t++) {
        if (plan->dir == RN_FWD)
            pack_fwd(p, wei, t);
        else
            pack_bwd_d(p, &plan->desc, &p->phases[t / panels], wei, t % panels);
    }
    return 0;
}

/* ---- fwd and bwd_d -------------------------------------------------------------------------------------------------- */

/* A chunk of pixels times a group of B's panels: the unit of work of a thread. */
typedef struct product {
    const im2col_plan *p;
    const phase *f;
    rn_conv_view view;
    float *out;
    int beta;
    int panels;   /* of B */
    int groups;   /* groups of panels; more than one when there are few pixels */
    size_t chunk; /* pixels */
    size_t nchunks;
} product;

static product product_of(const rn_conv_plan *plan, const phase *f, const float *in, float *out, int beta)
{
    const im2col_plan *p = plan->priv;
    product g = {.p = p, .f = f, .view = f->view, .out = out, .beta = beta, .groups = 1};
    size_t want = 4 * (size_t)plan->be->threads; /* tasks enough for an even split */

    g.view.base = in;
    g.panels = ceil_div(p->cols, p->isa->nr);
    g.chunk = (size_t)CHUNK_PANELS * (size_t)p->isa->mr;
    while (g.chunk > (size_t)p->isa->mr && f->pixels / g.chunk < want)
        g.chunk -= (size_t)p->isa->mr;
    g.nchunks = (f->pixels + g.chunk - 1) / g.chunk;
    if (g.nchunks < want && plan->be->threads > 1)
        g.groups = imin(g.panels, (int)((want + g.nchunks - 1) / g.nchunks));
    return g;
}

/* Pixels of this phase that no tap reaches: their gradient is zero. */
static void zero_pixels(const product *g, rn_conv_pixel px, size_t n)
{
    const im2col_plan *p = g->p;

    for (size_t i = 0; i < n && !g->beta; i++) {
        size_t y = (size_t)px.y * p->step_y + g->f->sub_y, x = (size_t)px.x * p->step_x + g->f->sub_x;
        memset(g->out + (((size_t)px.n * p->out_h + y) * p->out_w + x) * p->cols, 0, (size_t)p->cols * sizeof(float));
        rn_conv_pixel_next(&g->view, &px);
    }
}

static void row_pointers(const product *g, rn_conv_pixel px, int m, float **c)
{
    const im2col_plan *p = g->p;

    for (int i = 0; i < m; i++) {
        size_t y = (size_t)px.y * p->step_y + g->f->sub_y, x = (size_t)px.x * p->step_x + g->f->sub_x;
        c[i] = g->out + (((size_t)px.n * p->out_h + y) * p->out_w + x) * p->cols;
        rn_conv_pixel_next(&g->view, &px);
    }
}

/* One panel of pixels, gathered into the L1 cache, against panels j0..j1-1 of B, streamed from the L2 cache. */
static void panel_task(const product *g, rn_conv_pixel px, int m, int k0, int k1, int j0, int j1, float *a)
{
    const im2col_plan *p = g->p;
    const int nr = p->isa->nr;
    float *rows[RN_CONV_MR_MAX], *c[RN_CONV_MR_MAX];

    p->isa->gather_rows(&g->view, px, m, k0, k1, a);
    row_pointers(g, px, m, rows);
    for (int j = j0; j < j1; j++) {
        const float *b =
            p->b + g->f->b_offset + (size_t)j * g->f->k * nr + (size_t)k0 * panel_width(p->isa, p->cols, j);
        for (int i = 0; i < m; i++)
            c[i] = rows[i] + (size_t)j * nr;
        p->isa->tile_rows(m, k1 - k0, a, b, c, imin(p->cols - j * nr, nr), g->beta || k0 > 0);
    }
}

static void chunk_task(const product *g, size_t chunk, int group)
{
    _Alignas(64) float a[RN_CONV_MR_MAX * RN_CONV_LDA];
    const int mr = g->p->isa->mr, k = g->f->k;
    const size_t first = chunk * g->chunk, end = first + g->chunk < g->f->pixels ? first + g->chunk : g->f->pixels;
    const int j0 = (int)((int64_t)g->panels * group / g->groups),
              j1 = (int)((int64_t)g->panels * (group + 1) / g->groups);

    if (k == 0) {
        if (group == 0)
            zero_pixels(g, rn_conv_pixel_at(&g->view, first), end - first);
        return;
    }
    const int blocks = ceil_div(k, RN_CONV_KC), kc = ceil_div(k, blocks);
    for (int k0 = 0; k0 < k; k0 += kc) {
        for (size_t i = first; i < end; i += (size_t)mr) {
            int m = end - i < (size_t)mr ? (int)(end - i) : mr;
            panel_task(g, rn_conv_pixel_at(&g->view, i), m, k0, imin(k0 + kc, k), j0, j1, a);
        }
    }
}

/* Each element of the output is summed by one thread in an order that depends only on the descriptor: the same bits at
 * any number of threads. */
static void run_product(const rn_conv_plan *plan, const float *in, float *out, int beta)
{
    const im2col_plan *p = plan->priv;

#pragma omp parallel num_threads(plan->be->threads)
    for (int i = 0; i < p->nphases; i++) {
        const product g = product_of(plan, &p->phases[i], in, out, beta);
        const int64_t tasks = (int64_t)g.nchunks * g.groups;
#pragma omp for schedule(dynamic) nowait
        for (int64_t t = 0; t < tasks; t++)
            chunk_task(&g, (size_t)(t / g.groups), (int)(t % g.groups));
    }
}

/* ---- bwd_w ---------------------------------------------------------------------------------------------------------- */

typedef struct gradient {
    const im2col_plan *p;
    const rn_conv_desc *d;
    rn_conv_view view;
    const float *dst;
    int k; /* columns of the result: kh kw ic */
} gradient;

/* Rows of oc are dealt out evenly: 64 = 13 + 13 + 13 + 13 + 12 with tiles of at most 14. */
static int first_row(int oc, int tiles, int i)
{
    return (int)((int64_t)oc * i / tiles);
}

/* A block of pixels against columns c0..c1-1: b is gathered here, a has been packed. */
static void gradient_block(const gradient *g, rn_conv_pixel px, int n, int c0, int c1, const float *a, float *b,
                           float *out, bool acc)
{
    const rn_conv_isa *isa = g->p->isa;
    const int tiles = ceil_div(g->d->oc, isa->mr), cols = c1 - c0;
    float *c[RN_CONV_MR_MAX];

    isa->gather_panels(&g->view, px, n, c0, c1, b);
    for (int t = 0; t < tiles; t++) {
        int r0 = first_row(g->d->oc, tiles, t), m = first_row(g->d->oc, tiles, t + 1) - r0;
        for (int j = 0; j * isa->nr < cols; j++) {
            for (int i = 0; i < m; i++)
                c[i] = out + (size_t)(r0 + i) * g->k + c0 + (size_t)j * isa->nr;
            isa->tile_cols(m, n, a + (size_t)r0 * n, b + (size_t)j * rn_conv_panel_floats(n, isa->nr), c,
                           imin(cols - j * isa->nr, isa->nr), acc);
        }
    }
}

/* Pixels i0..i1-1, columns c0..c1-1. scratch: bwd_w_scratch(). */
static void gradient_task(const gradient *g, size_t i0, size_t i1, int c0, int c1, float *scratch, float *out, bool acc)
{
    const rn_conv_isa *isa = g->p->isa;
    const int oc = g->d->oc, tiles = ceil_div(oc, isa->mr);
    float *a = scratch, *b = scratch + (size_t)oc * BLOCK_PIXELS + 64;

    for (size_t i = i0; i < i1; i += BLOCK_PIXELS) {
        int n = i1 - i < BLOCK_PIXELS ? (int)(i1 - i) : BLOCK_PIXELS;
        for (int t = 0; t < tiles; t++) {
            int r0 = first_row(oc, tiles, t), m = first_row(oc, tiles, t + 1) - r0;
            isa->pack_cols(g->dst + i * (size_t)oc + r0, (size_t)oc, n, m, a + (size_t)r0 * n);
        }
        for (int c = c0; c < c1; c += BLOCK_COLUMNS)
            gradient_block(g, rn_conv_pixel_at(&g->view, i), n, c, imin(c + BLOCK_COLUMNS, c1), a, b, out, acc);
        acc = true;
    }
}

/* out += the private sums of groups 1.., in their order. */
static void add_copies(float *out, const float *copies, size_t n, size_t stride, int ncopies, int threads)
{
#pragma omp parallel for schedule(static) num_threads(threads)
    for (size_t i = 0; i < n; i++) {
        float s = out[i];
        for (int c = 0; c < ncopies; c++)
            s += copies[(size_t)c * stride + i];
        out[i] = s;
    }
}

static void run_gradient(const rn_conv_plan *plan, const rn_conv_args *args, int beta, float *ws)
{
    const im2col_plan *p = plan->priv;
    const rn_conv_desc *d = &plan->desc;
    const int threads = plan->be->threads, k = p->phases[0].k, panels = ceil_div(k, p->isa->nr);
    const size_t n = wei_count(d), stride = (n + 15) / 16 * 16, pixels = p->phases[0].pixels;
    const size_t blocks = (pixels + BLOCK_PIXELS - 1) / BLOCK_PIXELS;
    float *copies = ws + bwd_w_scratch(d) * (size_t)threads;
    gradient g = {.p = p, .d = d, .view = p->phases[0].view, .dst = args->dst, .k = k};

    g.view.base = args->src;
#pragma omp parallel for schedule(static, 1) num_threads(threads)
    for (int t = 0; t < p->col_groups * p->pix_groups; t++) {
        int cg = t % p->col_groups, pg = t / p->col_groups;
        int c0 = (int)((int64_t)panels * cg / p->col_groups) * p->isa->nr;
        int c1 = imin((int)((int64_t)panels * (cg + 1) / p->col_groups) * p->isa->nr, k);
        size_t i0 = blocks * (size_t)pg / (size_t)p->pix_groups * BLOCK_PIXELS;
        size_t i1 = blocks * (size_t)(pg + 1) / (size_t)p->pix_groups * BLOCK_PIXELS;
        float *scratch = ws + bwd_w_scratch(d) * (size_t)omp_get_thread_num();
        float *out = pg == 0 ? (float *)args->wei : copies + (size_t)(pg - 1) * stride;
        gradient_task(&g, i0, i1 < pixels ? i1 : pixels, c0, c1, scratch, out, pg == 0 && beta);
    }
    if (p->pix_groups > 1)
        add_copies(args->wei, copies, n, stride, p->pix_groups - 1, threads);
}

static int run(rn_conv_plan *plan, const rn_conv_args *a, int beta, void *ws, void *stream)
{
    (void)stream;
    if (plan->dir == RN_FWD)
        run_product(plan, a->src, a->dst, beta);
    else if (plan->dir == RN_BWD_D)
        run_product(plan, a->dst, a->src, beta);
    else
        run_gradient(plan, a, beta, ws);
    return 0;
}

const rn_conv_algo rn_cpu_im2col = {
    .name = "cpu:im2col",
    .flags = RN_ALGO_DETERMINISTIC,
    .supports = supports,
    .workspace = workspace,
    .open = open_plan,
    .close = close_plan,
    .prepare = prepare,
    .run = run,
};
