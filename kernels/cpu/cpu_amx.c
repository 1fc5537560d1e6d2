/* SPDX-License-Identifier: MIT */
/* cpu:amx: plans. See cpu_amx.h for the idea. */
#include "kernels/cpu/cpu_amx.h"

#include <limits.h>
#include <stdlib.h>

#include "base/rn_error.h"
#include "base/rn_half.h"
#include "kernels/cpu/cpu_backend.h"

/* Bytes of strips that leave the L2 cache (2 MB on all CPUs with AMX) room for the weights and the output; more where
 * the weights come from beyond it anyway, so that they come seldom. */
#define STRIP_BYTES      (384 << 10)
#define STRIP_BYTES_MANY (768 << 10)
#define WEIGHTS_FEW      (1 << 20)
/* So many channels or fewer may be better off with a row of taps at a position. */
#define FEW_CHANNELS     16
#define CAN_FUSE         (RN_PRO_BN | RN_PRO_RELU | RN_PRO_ADD | RN_EPI_STATS | RN_PRO_DBN | RN_EPI_DBN)
/* What a plan's tables and offsets hold. */
#define MOST_STEPS       (1 << 16)
#define MOST_STRIP_BYTES (1 << 30)

/* ---- geometry -------------------------------------------------------------------------------------------------------- */

static int floor_div(int a, int b)
{
    return a >= 0 ? a / b : -(int)(((int64_t)b - 1 - a) / b);
}

static int rest(int a, int b)
{
    return (int)(a - (int64_t)floor_div(a, b) * b);
}

/* Whether positions hold rows of the window: if that makes fewer steps. A prologue is by channel. */
static int window_of(const rn_conv_desc *d)
{
    if (d->fuse & RN_PRO_BN || d->ic > FEW_CHANNELS || d->kw > MOST_STEPS)
        return 1;
    return rn_amx_ceil(d->kw * d->ic, RN_AMX_PAIR) < d->kw ? d->kw : 1;
}

static void fwd_geometry(const rn_conv_desc *d, rn_amx_plan *p)
{
    p->h = d->ih, p->w = d->iw, p->c = d->ic, p->sy = d->sh, p->sx = d->sw;
    p->window = window_of(d);
    p->run = p->window * d->ic;
    p->ntaps = d->kh * (p->window > 1 ? 1 : d->kw);
    p->nsubs = rn_amx_min(d->kh, d->sh) * (p->window > 1 ? 1 : rn_amx_min(d->kw, d->sw));
    p->nphases = 1;
    p->gh = d->oh, p->gw = d->ow;
    p->dy0 = floor_div(-d->ph, d->sh), p->dy1 = floor_div(d->kh - 1 - d->ph, d->sh);
    if (p->window == 1)
        p->dx0 = floor_div(-d->pw, d->sw), p->dx1 = floor_div(d->kw - 1 - d->pw, d->sw);
    p->cols = d->oc, p->out_h = d->oh, p->out_w = d->ow, p->step_y = p->step_x = 1;
}

static void bwd_d_geometry(const rn_conv_desc *d, rn_amx_plan *p)
{
    const int fy = rn_amx_min(d->sh, d->ih), fx = rn_amx_min(d->sw, d->iw);

    p->h = d->oh, p->w = d->ow, p->c = d->oc, p->sy = p->sx = 1;
    p->window = 1;
    p->run = d->oc;
    p->ntaps = d->kh * d->kw;
    p->nsubs = 1;
    p->nphases = (int64_t)fy * fx > MOST_STEPS ? MOST_STEPS + 1 : fy * fx;
    p->gh = rn_amx_ceil(d->ih, d->sh), p->gw = rn_amx_ceil(d->iw, d->sw);
    p->dy0 = -floor_div(d->kh - 1 - d->ph, d->sh), p->dy1 = floor_div(fy - 1 + d->ph, d->sh);
    p->dx0 = -floor_div(d->kw - 1 - d->pw, d->sw), p->dx1 = floor_div(fx - 1 + d->pw, d->sw);
    p->cols = d->ic, p->out_h = d->ih, p->out_w = d->iw, p->step_y = d->sh, p->step_x = d->sw;
}

/* Bytes of the strip of `rows` rows of the grid in one image. */
static double strip_bytes(const rn_amx_plan *p, int rows)
{
    return ((double)rows + p->dy1 - p->dy0) * p->nsubs * p->planes * p->pitch * RN_AMX_LINE;
}

/* Positions that the last row's taps and the last tile may read past the strip's end. */
static size_t slack_positions(const rn_amx_plan *p)
{
    return (size_t)(RN_AMX_ROWS + rn_amx_max(p->gw + p->dx1 - p->dx0 - p->pitch, 0));
}

/* With one tap on the tensor's own pixels, and channels in whole tiles. */
static bool is_in_place(const rn_conv_desc *d, const rn_amx_plan *p)
{
    return d->kh == 1 && d->kw == 1 && d->ph == 0 && d->pw == 0 && p->sy == 1 && p->sx == 1 &&
           p->c % RN_AMX_PAIR == 0 && !(d->fuse & ~(unsigned)(RN_EPI_STATS | RN_EPI_DBN));
}

/* Without rows and images: all pixels are one column. */
static void flatten(rn_amx_plan *p)
{
    const int64_t pixels = (int64_t)p->mb * p->h * p->w;

    if (p->step_y != 1 || p->step_x != 1 || pixels > INT_MAX / 2)
        return;
    p->h = p->gh = p->out_h = (int)pixels;
    p->mb = p->w = p->gw = p->out_w = p->pitch = 1;
}

/* Rows and images of a strip: as the budget says, then as evenly over the threads as can be. */
static void choose_strips(rn_amx_plan *p, int threads)
{
    const double weights = (double)p->cols * p->run * p->ntaps * 2;
    const double budget = weights > WEIGHTS_FEW ? STRIP_BYTES_MANY : STRIP_BYTES, whole = strip_bytes(p, p->gh);
    const double row = strip_bytes(p, 1) - strip_bytes(p, 0), halo = strip_bytes(p, 0);
    int blocks = 1, groups = p->mb;

    if (whole > budget)
        p->block = (int)rn_amx_max((int)((budget - halo) / row), rn_amx_min(p->gh, 1 + 2 * (p->dy1 - p->dy0)));
    else
        p->block = p->gh;
    blocks = rn_amx_ceil(p->gh, p->block);
    if (blocks == 1) {
        groups = rn_amx_ceil(p->mb, rn_amx_max((int)(budget / whole), 1));
        groups = rn_amx_min((int)(((int64_t)groups + threads - 1) / threads * threads), p->mb);
    }
    while ((int64_t)blocks * groups < threads && rn_amx_ceil(p->gh, blocks) > 4)
        blocks++;
    p->block = rn_amx_ceil(p->gh, blocks);
    p->images = blocks > 1 ? 1 : rn_amx_ceil(p->mb, groups);
    const int pairs = rn_amx_ceil(p->cols, RN_AMX_PAIR), tasks = (int)rn_amx_min(INT_MAX / pairs, blocks * groups);
    p->groups = rn_amx_min(rn_amx_ceil(threads, tasks), pairs);
}

/* Everything but the tables. Returns why not, or NULL. */
static const char *geometry(const rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, rn_amx_plan *p)
{
    *p = (rn_amx_plan){.mb = d->mb};
    if ((int64_t)d->kh * d->kw > MOST_STEPS)
        return "a window of more than 65536 taps";
    if (dir == RN_BWD_D)
        bwd_d_geometry(d, p);
    else
        fwd_geometry(d, p);
    p->planes = rn_amx_ceil(p->run, RN_AMX_PAIR);
    const int apart = p->gw + p->dx1 - p->dx0;
    const int shared = rn_amx_max(p->gw + p->dx1, rn_amx_ceil(p->w, p->sx) - p->dx0);
    p->pitch = rn_amx_max(p->window > 1 ? p->gw : rn_amx_min(apart, shared), p->gw);
    p->in_place = dir != RN_BWD_W && is_in_place(d, p);
    if (p->in_place)
        flatten(p);
    if ((double)p->ntaps * p->planes > MOST_STEPS || p->nphases > MOST_STEPS)
        return "more steps or phases than its tables hold";
    if (!(strip_bytes(p, 1 + 2 * (p->dy1 - p->dy0)) < MOST_STRIP_BYTES))
        return "rows longer than its strips";
    if (dir == RN_BWD_W) {
        if (!((double)p->mb * (p->gh + p->dy1 - p->dy0 + 1) * p->pitch < MOST_STRIP_BYTES))
            return "more pixels than it numbers";
        rn_amx_gradient_geometry(p, d, be->threads);
    } else {
        choose_strips(p, be->threads);
    }
    if (!p->in_place) {
        p->image = (size_t)strip_bytes(p, p->block) + slack_positions(p) * RN_AMX_LINE;
        p->thread_bytes = 2 * p->image * (size_t)p->images; /* one is filled while the other is multiplied */
    }
    return NULL;
}

/* ---- what the table asks for --------------------------------------------------------------------------------------- */

static bool supports(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, const char **why)
{
    rn_amx_plan p;

    *why = d->dtype != RN_BF16                               ? "bf16 only"
           : rn_cpu_backend_isa(be) < RN_ISA_AMX             ? "needs AMX"
           : (*why = rn_conv_fuse_refusal(d, dir, CAN_FUSE)) ? *why
                                                             : geometry(be, d, dir, &p);
    return !*why;
}

static size_t workspace(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir)
{
    rn_amx_plan p;

    if (geometry(be, d, dir, &p))
        return 0;
    return dir == RN_BWD_W ? rn_amx_gradient_workspace(&p, d) : rn_amx_product_workspace(&p, d, be->threads);
}

/* ---- tables ----------------------------------------------------------------------------------------------------------- */

static int32_t step_a(const rn_amx_plan *p, const rn_amx_tap *t, int plane)
{
    const int rows = p->block + p->dy1 - p->dy0;

    if (p->in_place)
        return plane * RN_AMX_LINE;
    return (((plane * p->nsubs + t->sub) * rows + t->dy - p->dy0) * p->pitch + t->dx - p->dx0) * RN_AMX_LINE;
}

/* The steps of a phase whose taps are set: channels outermost, so that the taps of a plane find it in the L1 cache. */
static void phase_steps(rn_amx_plan *p, rn_amx_phase *f, rn_amx_step *steps)
{
    f->nsteps = f->ntaps * p->planes;
    f->steps = steps;
    for (int i = 0; i < f->nsteps; i++)
        steps[i] = (rn_amx_step){step_a(p, &f->taps[i % f->ntaps], i / f->ntaps), i * 2 * RN_AMX_TILE};
    f->b = p->b_bytes;
    p->b_bytes += rn_amx_weight_bytes(p, f->nsteps);
}

static void fwd_tables(rn_amx_plan *p, const rn_conv_desc *d)
{
    const int across = p->window > 1 ? 1 : rn_amx_min(d->kw, d->sw), kw = p->window > 1 ? 1 : d->kw;

    for (int i = 0; i < p->nsubs; i++)
        p->subs[i] =
            (rn_amx_sub){rest(i / across - d->ph, d->sh), p->window > 1 ? -d->pw : rest(i % across - d->pw, d->sw)};
    for (int i = 0; i < p->ntaps; i++) {
        const int r = i / kw, s = i % kw;
        p->taps[i] = (rn_amx_tap){.sub = r % d->sh * across + (p->window > 1 ? 0 : s % d->sw),
                                  .dy = floor_div(r - d->ph, d->sh),
                                  .dx = p->window > 1 ? 0 : floor_div(s - d->pw, d->sw),
                                  .r = r,
                                  .s = s};
    }
    p->phases[0] = (rn_amx_phase){.gh = p->gh, .gw = p->gw, .ntaps = p->ntaps, .taps = p->taps};
    phase_steps(p, &p->phases[0], p->steps);
}

/* Pixel y * sh + fy of the input is reached by tap r from row y + (fy + ph - r) / sh of the output, where that is whole. */
static void bwd_d_tables(rn_amx_plan *p, const rn_conv_desc *d)
{
    const int across = rn_amx_min(d->sw, d->iw);
    rn_amx_tap *tap = p->taps;
    rn_amx_step *step = p->steps;

    p->subs[0] = (rn_amx_sub){0, 0};
    for (int i = 0; i < p->nphases; i++) {
        const int fy = i / across, fx = i % across;
        rn_amx_phase *f = &p->phases[i];
        *f = (rn_amx_phase){.gh = rn_amx_ceil(d->ih - fy, d->sh),
                            .gw = rn_amx_ceil(d->iw - fx, d->sw),
                            .sub_y = fy,
                            .sub_x = fx,
                            .taps = tap};
        for (int r = rest(fy + d->ph, d->sh); r < d->kh; r += d->sh) {
            for (int s = rest(fx + d->pw, d->sw); s < d->kw; s += d->sw, f->ntaps++)
                *tap++ = (rn_amx_tap){
                    .dy = floor_div(fy + d->ph - r, d->sh), .dx = floor_div(fx + d->pw - s, d->sw), .r = r, .s = s};
        }
        if (p->in_place && p->step_y == 1 && p->step_x == 1)
            f->gh = p->gh, f->gw = p->gw; /* flat */
        phase_steps(p, f, step);
        step += f->nsteps;
    }
}

static void close_plan(struct rn_backend *be, void *priv)
{
    rn_amx_plan *p = priv;

    (void)be;
    if (!p)
        return;
    free(p->subs);
    free(p->taps);
    free(p->phases);
    free(p->steps);
    free(p->b);
    free(p->g.steps);
    free(p->g.counts);
    free(p);
}

static int open_plan(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, void **priv)
{
    rn_amx_plan *p = calloc(1, sizeof *p);
    const char *why = p ? geometry(be, d, dir, p) : NULL;

    *priv = NULL;
    if (why) {
        free(p);
        return rn_fail(RN_E_UNSUPPORTED, "cpu:amx: %s", why);
    }
    if (!p || !(p->subs = calloc((size_t)p->nsubs, sizeof *p->subs)) ||
        !(p->taps = calloc((size_t)p->ntaps, sizeof *p->taps)) ||
        !(p->phases = calloc((size_t)p->nphases, sizeof *p->phases)) ||
        !(p->steps = calloc((size_t)p->ntaps * p->planes, sizeof *p->steps)))
        goto nomem;
    if (dir == RN_BWD_D)
        bwd_d_tables(p, d);
    else
        fwd_tables(p, d);
    if (dir == RN_BWD_W ? rn_amx_gradient_tables(p) < 0 : !(p->b = aligned_alloc(64, p->b_bytes ? p->b_bytes : 64)))
        goto nomem;
    *priv = p;
    return 0;
nomem:
    close_plan(be, p);
    return rn_fail(RN_E_NOMEM, "cpu:amx: out of memory");
}

/* ---- the test ---------------------------------------------------------------------------------------------------------- */

/* Element i of it: small integers, exact in bf16. */
static int test_value(int i)
{
    return i * 7 % 13 - 6;
}

bool rn_amx_works(void)
{
    enum { K = 2 * RN_AMX_PAIR, SIDE = 2 * RN_AMX_ROWS, B = RN_AMX_TILE / 2 };
    _Alignas(64) uint16_t a[SIDE * K], b[2 * 2 * B]; /* rows of K; steps of 32 terms, of two tiles */
    _Alignas(64) float sums[SIDE * SIDE];
    const rn_amx_step steps[2] = {{0, 0}, {RN_AMX_LINE, 2 * RN_AMX_TILE}};
    const char *rows[2] = {(const char *)a, (const char *)(a + RN_AMX_ROWS * K)};
    bool right = true;

    for (int i = 0; i < SIDE * K; i++) {
        const int row = i / K, k = i % K; /* of B: column `row` */
        a[i] = rn_bf16_of_f32((float)test_value(i));
        b[k / 32 * 2 * B + row / 16 * B + k % 32 / 2 * 32 + row % 16 * 2 + k % 2] =
            rn_bf16_of_f32((float)test_value(3 * i + 1));
    }
    for (int i = 0; i < SIDE * SIDE; i++)
        sums[i] = -1e9f; /* not what it comes to */
    rn_amx_configure(RN_AMX_ROWS);
    rn_amx_products(2, 2, rows, K * sizeof *a, (const char *)b, steps, 2, false, sums);
    rn_amx_release();
    for (int i = 0; i < SIDE * SIDE; i++) {
        int want = 0;
        for (int k = 0; k < K; k++)
            want += test_value(i / SIDE * K + k) * test_value(3 * (i % SIDE * K + k) + 1);
        right = right && sums[i] == (float)want;
    }
    return right;
}

/* ---- running ---------------------------------------------------------------------------------------------------------- */

static int prepare(rn_conv_plan *plan, const void *wei, void *stream)
{
    (void)stream;
    rn_amx_pack_weights(plan, wei);
    return 0;
}

static int run(rn_conv_plan *plan, const rn_conv_args *a, int beta, void *ws, void *stream)
{
    (void)stream;
    if (plan->dir == RN_BWD_W)
        rn_amx_run_gradient(plan, a, beta, ws);
    else
        rn_amx_run_product(plan, a, beta, ws);
    return 0;
}

const rn_conv_algo rn_cpu_amx = {
    .name = "cpu:amx",
    .flags = RN_ALGO_DETERMINISTIC,
    .supports = supports,
    .workspace = workspace,
    .open = open_plan,
    .close = close_plan,
    .prepare = prepare,
    .run = run,
};
