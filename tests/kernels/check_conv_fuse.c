/* SPDX-License-Identifier: MIT */
/*
 * Work fused into convolutions: every algorithm that takes it, against tensors that were normalised beforehand, in double,
 * and given to the plain reference sum. On small integers with factors that are powers of two, compared exactly, and on
 * reals. Where a 0 of the padding would become the shift, the result is wrong at once: shifts are not 0. The sums of an
 * epilogue are held against double sums over what the algorithm itself stored.
 *
 * A case is a convolution's descriptor, a blank, and the fused work.
 */
#include "check_conv.h"

#include "base/rn_error.h"
#include "kernels/ref/ref_conv.h"
#include "op/rn_select.h"

/* Of the terms' absolute values: f32 parts of some hundred terms. */
#define SUM_TOL  0x1p-19
/* f32 arithmetic of a value read, of its terms' absolute values: three roundings. */
#define READ_TOL 0x1p-22

static const char *const cases[] = {
    "mb1ic1ih5oc1kh3ph1", "mb2ic3ih7oc5kh3ph1", "mb1ic16ih13iw17oc31kh3kw1ph1pw0", "mb2ic31ih6iw9oc3kh1kw3ph0pw1",
    "mb2ic64ih8oc64kh3ph1", "mb1ic17ih4oc33kh1", "mb2ic16ih15oc31kh3sh2ph1", "mb1ic16ih17iw14oc5kh5sh3ph2",
    "mb2ic64ih14oc31kh1sh2", "mb1ic16ih10oc16kh1sh3", "mb1ic3ih37iw23oc64kh7sh2ph3", "mb2ic5ih4oc5kh5ph4",
    "mb1ic5ih2oc3kh1ph2", "mb2ic5ih4oc17kh3sh1000000ph1", "mb2ic131ih6oc70kh3ph1", "mb1ic512ih4oc130kh1",
    /* small maps of many images; several blocks of pixels and of channels */
    "mb33ic17ih5oc19kh3ph1", "mb40ic16ih7oc16kh5sh2ph2", "mb300ic3ih3oc5kh3ph1", "mb28ic50ih3oc130kh3ph1",
    "mb24ic16ih6iw5oc31kh3sh2ph1", "mb5ic16ih21oc16kh3ph1", NULL};

/* all: on every case; the others, their parts, on some. */
static const struct {
    rn_conv_dir dir;
    bool all;
    const char *fuse;
} work[] = {
    {RN_FWD, false, "pro_bn"},
    {RN_FWD, false, "pro_bn+pro_relu"},
    {RN_FWD, false, "pro_bn+pro_relu+pro_add"},
    {RN_FWD, false, "epi_stats"},
    {RN_FWD, true, "pro_bn+pro_relu+epi_stats"},
    {RN_BWD_D, false, "pro_dbn"},
    {RN_BWD_D, false, "epi_dbn"},
    {RN_BWD_D, true, "pro_dbn+epi_dbn"},
    {RN_BWD_W, false, "pro_bn+pro_relu"},
    {RN_BWD_W, false, "pro_bn+pro_add"},
    {RN_BWD_W, false, "pro_dbn"},
    {RN_BWD_W, true, "pro_bn+pro_relu+pro_dbn"},
};

enum { DST, SRC, WEI, TENSORS }; /* as the directions that write them */

typedef struct data {
    const char *name;
    bool exact;
    float *t[TENSORS]; /* of the tensors' types; the destination's is what beta 1 adds to */
    float *residual, *x, *raw;
    float *scale, *shift, *mean, *pivot, *ka, *kb, *kc;
    double *want, *loss; /* of the destination, beta 0, before it is rounded; what f32 may lose of it */
    double most;         /* the largest sum of absolute terms */
} data;

typedef struct fuse_case {
    const char *group;
    char text[160], fuse[64];
    rn_conv_desc d;
    rn_conv_dir dir;
    size_t n[TENSORS];
    data of[2];
} fuse_case;

static rn_dtype type_of(const fuse_case *c, int tensor)
{
    return tensor == WEI && c->dir == RN_BWD_W ? RN_F32 : c->d.dtype;
}

/* Channels of the epilogue's sums. */
static size_t channels_of(const fuse_case *c)
{
    return (size_t)(c->d.fuse & RN_EPI_STATS ? c->d.oc : c->d.ic);
}

/* ---- data and what to expect ------------------------------------------------------------------------------------ */

/* Largest m such that products of values read, made of integers in -m..m and factors of at most 2, add up to less than
 * 2^24; f16 stays below its largest. */
static int int_bound(const fuse_case *c)
{
    const rn_conv_desc *d = &c->d;
    const double limit = d->dtype == RN_F16 && c->dir != RN_BWD_W ? 65504 : 0x1p24;
    int m = 8;

    while (m > 1) {
        const double src = c->dir == RN_BWD_D ? m : 3 * m + 2, dst = c->dir == RN_FWD ? m : 4 * m + 2;
        if (terms(d, c->dir) * (c->dir == RN_BWD_W ? src * dst : c->dir == RN_FWD ? src * m : dst * m) + m < limit)
            break;
        m--;
    }
    return m;
}

static float *fill(check_run *r, const data *g, rn_dtype type, size_t n, int m)
{
    float *p = xalloc(n, sizeof *p);

    if (g->exact)
        check_fill_int(r, p, n, m);
    else
        check_fill_real(r, p, n, 1.0f);
    for (size_t i = 0; i < n; i++)
        p[i] = round_to(type, p[i]);
    return p;
}

/* Factors: +-1 and +-2, or reals well away from 0. */
static float *factors(check_run *r, const data *g, size_t n)
{
    float *p = fill(r, g, RN_F32, n, 2);

    for (size_t i = 0; i < n; i++) {
        if (g->exact)
            p[i] = p[i] == 0 ? 1 : p[i];
        else
            p[i] += p[i] < 0 ? -0.5f : 0.5f;
    }
    return p;
}

/* n values of `type` as they are read, and by how much f32 arithmetic may miss them: where it matters, by a rounding. */
static void read_through(const fuse_case *c, const data *g, int tensor, float *value, float *error)
{
    const unsigned fuse = c->d.fuse;
    const rn_dtype type = type_of(c, tensor);
    const float *t = g->t[tensor];

    for (size_t i = 0; i < c->n[tensor]; i++) {
        double v = t[i], mag = 0;
        if (tensor == SRC && (fuse & RN_PRO_BN)) {
            const size_t ch = i % (size_t)c->d.ic;
            const double product = v * g->scale[ch], add = fuse & RN_PRO_ADD ? g->residual[i] : 0;
            v = product + g->shift[ch] + add;
            mag = fabs(product) + fabs((double)g->shift[ch]) + fabs(add);
            if (fuse & RN_PRO_RELU)
                v = v > 0 ? v : 0;
        } else if (tensor == DST && (fuse & RN_PRO_DBN)) {
            const size_t ch = i % (size_t)c->d.oc;
            const double a = v * g->ka[ch], b = (double)g->x[i] * g->kb[ch];
            v = a + b + g->kc[ch];
            mag = fabs(a) + fabs(b) + fabs((double)g->kc[ch]);
        }
        const double e = g->exact ? 0 : READ_TOL * mag;
        value[i] = round_to(type, v);
        error[i] = fmaxf(round_to(type, v + e) - value[i], value[i] - round_to(type, v - e));
    }
}

/* RN_EPI_DBN: 1 where the ReLU let it through, 0 where not, -1 where f32 arithmetic may say either. */
static int gate(const fuse_case *c, const data *g, size_t i)
{
    const size_t ch = i % (size_t)c->d.ic;
    const double product = (double)g->raw[i] * g->scale[ch], z = product + g->shift[ch];

    if (!g->exact && fabs(z) <= READ_TOL * (fabs(product) + fabs((double)g->shift[ch])))
        return -1;
    return z > 0;
}

static void expect(const fuse_case *c, data *g)
{
    float *in[TENSORS], *wide[TENSORS]; /* wide: absolute values, with the errors */
    const size_t n = c->n[c->dir];

    for (int j = 0; j < TENSORS; j++) {
        in[j] = xalloc(c->n[j], sizeof(float));
        wide[j] = xalloc(c->n[j], sizeof(float));
        if (j == (int)c->dir)
            continue;
        read_through(c, g, j, in[j], wide[j]);
        for (size_t i = 0; i < c->n[j]; i++)
            wide[j][i] += fabsf(in[j][i]);
    }
    g->want = xalloc(n, sizeof(double));
    g->loss = xalloc(n, sizeof(double));
    for (size_t i = 0; i < n; i++) {
        double mag;
        g->want[i] = rn_ref_conv_element(&c->d, c->dir, in[SRC], in[WEI], in[DST], i, &mag);
        g->most = fmax(g->most, mag);
        if (!g->exact) {
            const double most = rn_ref_conv_element(&c->d, c->dir, wide[SRC], wide[WEI], wide[DST], i, NULL);
            g->loss[i] = REAL_TOL * mag + fmax(0, most - mag);
        }
        const int let = c->d.fuse & RN_EPI_DBN ? gate(c, g, i) : 1;
        if (let < 0)
            g->loss[i] += fabs(g->want[i]);
        else if (!let)
            g->want[i] = g->loss[i] = 0;
    }
    for (int j = 0; j < TENSORS; j++) {
        free(in[j]);
        free(wide[j]);
    }
}

static void prepare_case(check_run *r, fuse_case *c)
{
    const size_t ic = (size_t)c->d.ic, oc = (size_t)c->d.oc;
    const rn_dtype type = c->d.dtype;
    const int m = int_bound(c);

    for (int i = 0; i < 2; i++) {
        data *g = &c->of[i];
        if (g->want)
            continue;
        g->exact = i == 0;
        g->name = g->exact ? "integers" : "reals";
        for (int j = 0; j < TENSORS; j++)
            g->t[j] = fill(r, g, type_of(c, j), c->n[j], m);
        g->residual = fill(r, g, type, c->n[SRC], m);
        g->x = fill(r, g, type, c->n[DST], m);
        g->raw = fill(r, g, type, c->n[SRC], m);
        g->scale = factors(r, g, ic);
        g->shift = factors(r, g, ic);
        g->mean = fill(r, g, RN_F32, ic, 2);
        g->pivot = fill(r, g, RN_F32, oc, 2);
        g->ka = factors(r, g, oc);
        g->kb = factors(r, g, oc);
        g->kc = factors(r, g, oc);
        expect(c, g);
    }
}

static void free_case(fuse_case *c)
{
    for (int i = 0; i < 2; i++) {
        data *g = &c->of[i];
        for (int j = 0; j < TENSORS; j++)
            free(g->t[j]);
        void *const rest[] = {g->residual, g->x,  g->raw, g->scale, g->shift, g->mean,
                              g->pivot,    g->ka, g->kb,  g->kc,    g->want,  g->loss};
        for (size_t j = 0; j < sizeof rest / sizeof *rest; j++)
            free(rest[j]);
    }
}

/* ---- a run ------------------------------------------------------------------------------------------------------- */

typedef struct output {
    void *t;
    float *sum, *sumsq;
} output;

/* A guarded copy, unless the case does not ask for it: then the algorithm gets no memory to look at. */
static void *given(check_run *r, const fuse_case *c, unsigned bits, rn_dtype type, const float *from, size_t n)
{
    if (!(c->d.fuse & bits))
        return NULL;
    void *p = check_bytes(r, n * rn_dtype_size(type));
    store(type, p, from, n);
    return p;
}

/* One run in fresh guarded buffers. pivot: give one. */
static output run_once(check_run *r, rn_conv_plan *plan, const fuse_case *c, const data *g, int beta, bool pivot)
{
    const size_t ic = (size_t)c->d.ic, oc = (size_t)c->d.oc;
    const rn_dtype type = c->d.dtype;
    const unsigned summed = RN_EPI_STATS | RN_EPI_DBN;
    void *t[TENSORS], *was[TENSORS];

    for (int j = 0; j < TENSORS; j++) {
        const size_t bytes = c->n[j] * rn_dtype_size(type_of(c, j));
        t[j] = check_bytes(r, bytes);
        was[j] = check_bytes(r, bytes);
        store(type_of(c, j), was[j], g->t[j], c->n[j]);
        if (j != (int)c->dir || beta) /* else it stays NaN */
            memcpy(t[j], was[j], bytes);
    }
    void *ws = check_bytes(r, plan->workspace_bytes); /* NaN */
    const rn_conv_args args = {
        .src = t[SRC],
        .wei = t[WEI],
        .dst = t[DST],
        .scale = given(r, c, RN_PRO_BN | RN_EPI_DBN, RN_F32, g->scale, ic),
        .shift = given(r, c, RN_PRO_BN | RN_EPI_DBN, RN_F32, g->shift, ic),
        .residual = given(r, c, RN_PRO_ADD, type, g->residual, c->n[SRC]),
        .sum = c->d.fuse & summed ? check_f32(r, channels_of(c)) : NULL,
        .sumsq = c->d.fuse & summed ? check_f32(r, channels_of(c)) : NULL,
        .pivot = pivot ? given(r, c, RN_EPI_STATS, RN_F32, g->pivot, oc) : NULL,
        .x = given(r, c, RN_PRO_DBN, type, g->x, c->n[DST]),
        .ka = given(r, c, RN_PRO_DBN, RN_F32, g->ka, oc),
        .kb = given(r, c, RN_PRO_DBN, RN_F32, g->kb, oc),
        .kc = given(r, c, RN_PRO_DBN, RN_F32, g->kc, oc),
        .raw = given(r, c, RN_EPI_DBN, type, g->raw, c->n[SRC]),
        .mean = given(r, c, RN_EPI_DBN, RN_F32, g->mean, ic),
    };
    if (rn_conv_prepare(plan, t[WEI], NULL) < 0 || rn_conv_run(plan, &args, beta, ws, NULL) < 0)
        check_fail(r, "%s", rn_error_text());
    for (int j = 0; j < TENSORS; j++) {
        if (j != (int)c->dir && memcmp(t[j], was[j], c->n[j] * rn_dtype_size(type_of(c, j))) != 0)
            check_fail(r, "changed its input");
    }
    return (output){t[c->dir], args.sum, args.sumsq};
}

/* The sums, over what was stored. */
static void compare_sums(check_run *r, const fuse_case *c, const data *g, const float *got, const output *o, bool pivot)
{
    const size_t channels = channels_of(c);
    const bool stats = c->d.fuse & RN_EPI_STATS;
    double *want = xalloc(4 * channels, sizeof *want), *mag = want + channels, *wantsq = mag + channels,
           *magsq = wantsq + channels;

    for (size_t i = 0; i < c->n[c->dir]; i++) {
        const size_t ch = i % channels;
        const double less = !stats ? 0 : pivot ? (double)g->pivot[ch] : 0, v = got[i] - less;
        const double by = stats ? v : (double)g->raw[i] - g->mean[ch];
        const double size = fabs((double)got[i]) + fabs(less);
        want[ch] += v;
        mag[ch] += size;
        wantsq[ch] += v * by;
        magsq[ch] += size * (stats ? size : fabs((double)g->raw[i]) + fabs((double)g->mean[ch]));
    }
    check_close(r, "sum", o->sum, want, mag, channels, SUM_TOL);
    check_close(r, "sumsq", o->sumsq, wantsq, magsq, channels, SUM_TOL);
    free(want);
}

static void compare(check_run *r, const fuse_case *c, const data *g, const rn_conv_algo *algo, int beta, bool pivot,
                    const output *o)
{
    const rn_dtype type = type_of(c, c->dir);
    const size_t n = c->n[c->dir];
    const float *old = g->t[c->dir];
    double *want = xalloc(n, sizeof *want), *bound = xalloc(n, sizeof *bound);
    float *got = xalloc(n, sizeof *got);
    const double extra = winograd_tol(algo, terms(&c->d, c->dir)) * g->most;
    char what[64];

    load(type, got, o->t, n);
    for (size_t i = 0; i < n; i++) {
        const double sum = g->want[i] + (beta ? (double)old[i] : 0);
        const double loss = g->loss[i] + (beta ? REAL_TOL * fabs((double)old[i]) : 0);
        want[i] = sum;
        bound[i] = g->exact && knows_integers(algo) ? exact_bound(type, sum, extra, &want[i])
                                                    : loss + extra + rounding(type, fabs(sum) + loss + extra);
    }
    snprintf(what, sizeof what, "%s beta %d", g->name, beta);
    if (check_close(r, what, got, want, bound, n, 1) && o->sum)
        compare_sums(r, c, g, got, o, pivot);
    free(want);
    free(bound);
    free(got);
}

static bool same(const fuse_case *c, const output *a, const output *b)
{
    const size_t sums = channels_of(c) * sizeof(float);

    return memcmp(a->t, b->t, c->n[c->dir] * rn_dtype_size(type_of(c, c->dir))) == 0 &&
           (!a->sum || (memcmp(a->sum, b->sum, sums) == 0 && memcmp(a->sumsq, b->sumsq, sums) == 0));
}

/* At other numbers of threads it must be right; the bits may be others, of the sums and of bwd_w at least. */
static void check_threads(check_run *r, const rn_conv_plan *with, const fuse_case *c, const data *g)
{
    const int was = with->be->threads;

    for (int threads = 1; threads <= 3; threads += 2) {
        rn_conv_plan *plan = NULL;
        with->be->threads = threads;
        if (rn_conv_plan_open(with->be, with->algo, &c->d, c->dir, &plan) < 0) {
            check_fail(r, "%s", rn_error_text());
            break;
        }
        const output o = run_once(r, plan, c, g, 0, true);
        compare(r, c, g, with->algo, 0, true, &o);
        const output again = run_once(r, plan, c, g, 0, true);
        if ((with->algo->flags & RN_ALGO_DETERMINISTIC) && !same(c, &o, &again))
            check_fail(r, "%d threads: a second run gave other bits", threads);
        rn_conv_plan_close(plan);
    }
    with->be->threads = was;
}

static void check_plan(check_run *r, rn_conv_plan *plan, const fuse_case *c)
{
    const bool epilogue = c->d.fuse & (RN_EPI_STATS | RN_EPI_DBN);

    for (int i = 0; i < 4; i++) {
        const data *g = &c->of[i / 2];
        const int beta = epilogue ? 0 : i % 2; /* an epilogue: with and without a pivot in its place */
        const bool pivot = i % 2 == 0;
        const output o = run_once(r, plan, c, g, beta, pivot);
        compare(r, c, g, plan->algo, beta, pivot, &o);
        if (plan->algo->flags & RN_ALGO_REFERENCE) /* slow, and it has but one order */
            continue;
        const output again = run_once(r, plan, c, g, beta, pivot);
        if ((plan->algo->flags & RN_ALGO_DETERMINISTIC) && !same(c, &o, &again))
            check_fail(r, "%s beta %d: a second run gave other bits", g->name, beta);
        if (!g->exact && i % 2 == 0 && strncmp(plan->algo->name, "cpu:", 4) == 0)
            check_threads(r, plan, c, g);
    }
}

static void check_algo(check_run *r, fuse_case *c, const rn_conv_algo *algo, int isa)
{
    const check_id id = {c->group, c->text, rn_conv_dir_name(c->dir), algo->name, check_isa_names[isa]};
    rn_conv_plan *plan = NULL;
    const char *why = "";

    if (!check_begin(r, &id))
        return;
    if (!algo->supports(r->be[isa], &c->d, c->dir, &why)) {
        check_refuse(r, why);
        return;
    }
    prepare_case(r, c);
    if (rn_conv_plan_open(r->be[isa], algo, &c->d, c->dir, &plan) < 0)
        check_fail(r, "%s", rn_error_text());
    else
        check_plan(r, plan, c);
    rn_conv_plan_close(plan);
    check_end(r);
}

/* ---- the list ------------------------------------------------------------------------------------------------------ */

static void check_case(check_run *r, const char *group, rn_dtype dtype, const char *desc, const char *fuse,
                       rn_conv_dir dir)
{
    fuse_case c = {.group = group, .dir = dir};

    snprintf(c.text, sizeof c.text, "%s %s", desc, fuse);
    if (rn_conv_desc_parse(desc, &c.d) < 0 || rn_conv_fuse_parse(fuse, &c.d.fuse) < 0) {
        if (check_begin(r, &(check_id){group, c.text, "", "", ""})) {
            check_fail(r, "%s", rn_error_text());
            check_end(r);
        }
        return;
    }
    c.d.dtype = dtype;
    c.n[DST] = (size_t)c.d.mb * c.d.oh * c.d.ow * c.d.oc;
    c.n[SRC] = (size_t)c.d.mb * c.d.ih * c.d.iw * c.d.ic;
    c.n[WEI] = (size_t)c.d.oc * c.d.kh * c.d.kw * c.d.ic;
    for (int isa = 0; isa < CHECK_ISAS; isa++) {
        for (const rn_conv_algo *const *a = r->be[isa] ? r->be[isa]->conv_algos : NULL; a && *a; a++) {
            if (runs_at(r, dtype, *a, isa))
                check_algo(r, &c, *a, isa);
        }
    }
    free_case(&c);
}

static void check_list(check_run *r, const char *group, rn_dtype dtype)
{
    r->optional = true;
    for (size_t i = 0; cases[i]; i++) {
        if (dtype == RN_F16 && i % 3 != 1) /* widened and rounded otherwise than bf16, but at the same places */
            continue;
        for (size_t w = 0; w < sizeof work / sizeof *work; w++) {
            if (work[w].all || i % 5 == 1)
                check_case(r, group, dtype, cases[i], work[w].fuse, work[w].dir);
        }
    }
    /* A descriptor from the command line, without fused work: all of it. */
    rn_conv_desc d;
    if (r->cas && rn_select_match(r->group, group) && rn_conv_desc_parse(r->cas, &d) == 0) {
        const char *pattern = r->cas;
        r->cas = NULL;
        for (size_t w = 0; w < sizeof work / sizeof *work; w++)
            check_case(r, group, dtype, pattern, work[w].fuse, work[w].dir);
        r->cas = pattern;
    }
    r->optional = false;
}

static void run_f32(check_run *r)
{
    check_list(r, "conv_fuse", RN_F32);
}

static void run_bf16(check_run *r)
{
    check_list(r, "conv_fuse_bf16", RN_BF16);
}

static void run_f16(check_run *r)
{
    check_list(r, "conv_fuse_f16", RN_F16);
}

const check_group check_conv_fuse_group = {"conv_fuse", run_f32};
const check_group check_conv_fuse_bf16_group = {"conv_fuse_bf16", run_bf16};
const check_group check_conv_fuse_f16_group = {"conv_fuse_f16", run_f16};
