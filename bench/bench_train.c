/* SPDX-License-Identifier: MIT */
/* rn-bench train: whole training steps and evaluation batches of a recipe's model, without data. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_opt.h"
#include "base/rn_rng.h"
#include "bench.h"
#include "bench_nvml.h"
#include "bench_peak.h"
#include "bench_train.h"
#include "nn/optim/rn_optim.h"

enum { MIN_STEPS = 3, MAX_STEPS = 100000 };

#define CEILING_S       0.5 /* for each of the machine's ceilings; but no longer than the training is measured */
#define CEILING_LEAST_S 0.05

typedef struct train_opts {
    rn_recipe recipe;
    const char *recipe_file;
    int64_t classes;
    double seconds;
    bool by_layer, csv;
    int flops; /* index into flops_words */
} train_opts;

/* Noise and labels: what a step costs does not depend on them, but for values that are not finite. The images lie where a device
 * copies them from without the host, as the loader's do. */
static int make_batch(const train_opts *o, rn_backend *be, int n, uint8_t **images, int32_t **labels)
{
    size_t side = (size_t)o->recipe.image_size, count = side * side * (size_t)o->recipe.channels * (size_t)n;
    rn_rng r;
    void *p = NULL;
    int rc = rn_backend_alloc_host(be, count, &p);
    *images = p;
    *labels = malloc((size_t)n * sizeof **labels);
    if (rc < 0 || !*labels)
        return rn_fail(RN_E_NOMEM, "no memory for a batch of %d images", n);
    rn_rng_seed(&r, o->recipe.seed, RN_STREAM_TEST, 0, 0);
    for (size_t i = 0; i < count; i++)
        (*images)[i] = (uint8_t)rn_rng_below(&r, 256);
    for (int i = 0; i < n; i++)
        (*labels)[i] = (int32_t)rn_rng_below(&r, (uint32_t)o->classes);
    return RN_OK;
}

/* What is measured, and with what. */
typedef struct work {
    const rn_session *s;
    rn_optim *optim;
    uint8_t *images;
    int32_t *labels;
} work;

static int open_optim(const rn_session *s, rn_optim **out)
{
    const rn_optim_rule rule = {.weight_decay = (float)s->r->weight_decay, .nesterov = s->r->nesterov};
    RN_TRY(rn_optim_open(s->net, false, out));
    return rn_optim_set_rule(*out, &rule);
}

/* A step as the trainer gives it, at a rate so small that the weights stay what they are. */
static int give_step(const work *w)
{
    const rn_session *s = w->s;
    const rn_optim_now now = {
        .batches = 1, .lr = 1e-12f, .momentum = (float)s->r->momentum, .loss_scale = 1, .decay = (double)NAN};
    rn_optim_before(w->optim, &now);
    return rn_net_train_batch(s->net, w->images, w->labels, (int)s->r->batch, NULL);
}

/* And looked at. */
static int one_step(const work *w)
{
    rn_net_result res;
    RN_TRY(give_step(w));
    return rn_net_results(w->s->net, &res);
}

static int timed(const work *w, bool train, bench_clock *clock, double *seconds)
{
    const rn_session *s = w->s;
    rn_net_result res;
    RN_TRY(bench_clock_start(clock));
    RN_TRY(train ? one_step(w) : rn_net_eval_batch(s->eval_net, w->images, w->labels, s->eval_batch, &res));
    return bench_clock_stop(clock, seconds);
}

static void summarize(double *ms, int n, bench_timing *out)
{
    *out = (bench_timing){.ms = bench_quantile(ms, n, 0.5),
                          .iqr = bench_quantile(ms, n, 0.75) - bench_quantile(ms, n, 0.25),
                          .ms_min = bench_quantile(ms, n, 0),
                          .n = n};
}

static int measure(const work *w, bool train, double seconds, bench_timing *out)
{
    const rn_session *s = w->s;
    bench_split *split = bench_split_of(s->be);
    double *ms = malloc(MAX_STEPS * sizeof *ms), end = rn_now() + seconds;
    bench_clock clock = {0};
    int n = 0, rc = RN_OK;
    if (!ms)
        return rn_fail(RN_E_NOMEM, "no memory for the times");
    rc = bench_clock_open(s->be, &clock);
    for (int i = 0; rc == RN_OK && n < MAX_STEPS && (n < MIN_STEPS || rn_now() < end); i++) {
        double took = 0;
        bench_split_forget(split);
        bench_range(s->be, i ? BENCH_RANGE : "first");
        rc = timed(w, train, &clock, &took);
        bench_range(s->be, NULL);
        if (i < 1) /* meets cold memory */
            continue;
        ms[n++] = took * 1e3;
        if (train && rc == RN_OK)
            rc = bench_split_step(split, ms[n - 1]);
    }
    bench_clock_close(&clock);
    if (rc == RN_OK)
        summarize(ms, n, out);
    free(ms);
    return rc;
}

enum { ENDS = 3, COLD = 2 }; /* the first step meets cold memory, the second is captured */

/*
 * As rn-train gives them to a device: the pass as one, its pixels on their way while the step before is computed, and a step
 * looked at while the next is under way. A step's time is from the device's end of the one before to its own.
 */
static int given(const work *w, double seconds, const rn_event *ends, double *ms, int *n)
{
    rn_backend *be = w->s->be;
    rn_net_result res;
    const double end = rn_now() + seconds;
    for (int i = 0; *n < MAX_STEPS && (*n < MIN_STEPS || rn_now() < end); i++) {
        bench_range(be, i > COLD ? BENCH_RANGE : "first");
        int rc = give_step(w);
        bench_range(be, NULL);
        RN_TRY(rc);
        RN_TRY(be->event_record(be, ends[i % ENDS], NULL));
        if (i > 0)
            RN_TRY(rn_net_results(w->s->net, &res));
        if (i > COLD)
            RN_TRY(be->event_ms(be, ends[(i - 2) % ENDS], ends[(i - 1) % ENDS], &ms[(*n)++]));
    }
    return rn_net_settle(w->s->net);
}

static int measure_given(const work *w, double seconds, bench_timing *out)
{
    rn_backend *be = w->s->be;
    rn_event ends[ENDS] = {NULL};
    double *ms = malloc(MAX_STEPS * sizeof *ms);
    int n = 0, rc = ms ? RN_OK : rn_fail(RN_E_NOMEM, "no memory for the times");
    for (int i = 0; rc == RN_OK && i < ENDS; i++)
        rc = be->event_open(be, &ends[i]);
    if (rc == RN_OK)
        rc = given(w, seconds, ends, ms, &n);
    if (rc == RN_OK)
        summarize(ms, n, out);
    for (int i = 0; i < ENDS; i++)
        be->event_close(be, ends[i]);
    free(ms);
    return rc;
}

/* As rn-train takes them, and split, which is another thing where a device takes a whole pass as one. */
static int measure_steps(const work *w, double seconds, bench_step *out)
{
    bench_split *split = bench_split_of(w->s->be);
    out->replayed = bench_split_captures(split);
    if (out->replayed) {
        bench_split_pause(split, true);
        const int rc = measure_given(w, seconds, &out->train);
        bench_split_pause(split, false);
        RN_TRY(rc);
    }
    RN_TRY(measure(w, true, out->replayed ? seconds / 2 : seconds, &out->split));
    if (!out->replayed)
        out->train = out->split;
    return RN_OK;
}

static int print(const train_opts *o, const bench_step *step, bool json)
{
    if (json)
        return bench_step_json(step);
    if (o->csv)
        bench_step_csv(step);
    else
        bench_step_text(step, o->by_layer);
    return 0;
}

static int run(train_opts *o, const rn_opt_result *args)
{
    static const char *const dtypes[] = {"f32", "bf16", "f16"};
    rn_session s = {0};
    work w = {.s = &s};
    bench_step step = {.session = &s, .inbounds = o->flops == 1};
    bench_nvml *nvml = NULL;
    int rc;
    RN_TRY(rn_recipe_check(&o->recipe));
    RN_TRY(rn_session_open_bare(&o->recipe, bench_split_backends, rn_jobs(args->common.jobs), (int)o->classes, &s));
    bench_split_count_inbounds(bench_split_of(s.be), step.inbounds);
    RN_GO(open_optim(&s, &w.optim));
    RN_GO(make_batch(o, s.be, s.eval_batch > o->recipe.batch ? s.eval_batch : (int)o->recipe.batch, &w.images,
                     &w.labels));
    if (!(step.machine = bench_machine(s.be)))
        RN_GO(rn_fail(RN_E_NOMEM, "train: out of memory"));
    nvml = bench_nvml_open(s.be);
    rc = measure_steps(&w, o->seconds, &step);
    bench_nvml_read(nvml, step.machine); /* while it is still warm from it */
    RN_GO(rc);
    RN_GO(measure(&w, false, o->seconds / 4, &step.eval));
    RN_GO(bench_split_parts(bench_split_of(s.be), &step.parts, &step.nparts));
    step.arch = rn_model_names()[o->recipe.arch];
    step.dtype = dtypes[o->recipe.precision];
    step.image_size = o->recipe.image_size;
    step.batch = o->recipe.batch;
    const double ceiling_s = fmax(CEILING_LEAST_S, fmin(CEILING_S, o->seconds));
    for (rn_dtype t = RN_F32; t <= RN_F16; t++)
        RN_GO(bench_peak_gflops(s.be, t, ceiling_s, &step.gflops[t]));
    RN_GO(bench_level_gb_s(s.be, BENCH_LEVELS - 1, false, s.be->threads, ceiling_s, &step.gbytes));
    rc = print(o, &step, args->common.json);
out:
    bench_nvml_close(nvml);
    json_decref(step.machine);
    if (w.images)
        rn_backend_free_host(s.be, w.images);
    free(w.labels);
    rn_optim_close(w.optim);
    rn_session_close(&s);
    return rc;
}

int bench_train_main(int argc, char **argv)
{
    static train_opts o = {.classes = 1000, .seconds = 10};
    static const char *const flops_words[] = {"padding-counted", "inbounds", NULL};
    static rn_opt rows[RN_RECIPE_MAX_ROWS + 8];
    const rn_opt own[] = {
        {RN_OPT_GROUP, "What is measured", NULL, NULL, NULL, NULL, 0, 0},
        {RN_OPT_TEXT, "recipe", "FILE", &o.recipe_file, "Settings as rn-train takes them; the command line wins.", NULL,
         0, 0},
        {RN_OPT_INT, "classes", "N", &o.classes, "Classes, which data would tell.", NULL, 2, 1000000},
        {RN_OPT_REAL, "seconds", "X", &o.seconds, "Measure training for about so long, evaluation for a quarter.", NULL,
         0, 86400},
        {RN_OPT_ENUM, "flops", "NAME", &o.flops,
         "What FLOP counts: also the taps that fall in the padding, or only those in bounds (benchdnn's way).",
         flops_words, 0, 0},
        {RN_OPT_FLAG, "by-layer", NULL, &o.by_layer,
         "Also a line for each shape of each op, with the algorithm chosen and what the second best cost.", NULL, 0, 0},
        {RN_OPT_FLAG, "csv", NULL, &o.csv, "Comma-separated values, a line for each shape of each op.", NULL, 0, 0},
    };
    memcpy(rows, own, sizeof own);
    rn_recipe_defaults(&o.recipe);
    int n = (int)(sizeof own / sizeof *own);
    n += rn_recipe_rows(&o.recipe, rows + n);
    const rn_opt_spec spec = {
        .tool = "rn-bench train",
        .synopsis = "[--recipe FILE | --arch NAME] [OPTION...]",
        .summary =
            "Times whole training steps (forward, backward, update) and evaluation batches on made-up images: what "
            "rn-train would reach if data never had to be waited for. Settings that are about data are passed over. "
            "The step "
            "is split by op and direction, each part held against the roofline of ceilings measured in the same run.",
        .epilog = "FLOP: 2 a multiply-add of convolutions and linear layers, of the direct convolution whatever the "
                  "algorithm;\n"
                  "other ops count as bytes alone. Bytes: each tensor of a call once, written and read. Roofline: the "
                  "longer of\n"
                  "FLOP at the measured peak and bytes at the measured bandwidth of memory, summed over calls; what a "
                  "cache keeps\n"
                  "between calls can make a part faster than that. Times: medians over the steps; 'between' is all "
                  "that is not a\n"
                  "call into the backend.\n"
                  "Exit: 0 done, 1 failed, 2 usage, 77 no such device.",
        .opts = rows,
        .nopts = n,
    };
    rn_opt_result res = {0};
    int rc = rn_opt_parse(&spec, argc, argv, &res);
    if (rc == 0 && o.recipe_file)
        rc = rn_opt_parse_file(&spec, o.recipe_file, &res);
    if (rc == 0)
        rc = rn_opt_place_error(&spec, &res, run(&o, &res));
    rn_opt_free(&res);
    return rc < 0 ? rc : 0;
}
