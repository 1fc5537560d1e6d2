/* SPDX-License-Identifier: MIT */
/* rn-bench train: whole training steps and evaluation batches of a recipe's model, without data. */
#include <inttypes.h>
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

#define CEILING_S 0.5 /* for each of the machine's ceilings */

typedef struct train_opts {
    rn_recipe recipe;
    const char *recipe_file;
    int64_t classes;
    double seconds;
    bool by_layer, csv;
    int flops; /* index into flops_words */
} train_opts;

/* Noise and labels: what a step costs does not depend on them, but for values that are not finite. */
static int make_batch(const train_opts *o, int n, uint8_t **images, int32_t **labels)
{
    size_t side = (size_t)o->recipe.image_size, count = side * side * (size_t)o->recipe.channels * (size_t)n;
    rn_rng r;
    *images = malloc(count);
    *labels = malloc((size_t)n * sizeof **labels);
    if (!*images || !*labels)
        return rn_fail(RN_E_NOMEM, "no memory for a batch of %d images", n);
    rn_rng_seed(&r, o->recipe.seed, RN_STREAM_TEST, 0, 0);
    for (size_t i = 0; i < count; i++)
        (*images)[i] = (uint8_t)rn_rng_below(&r, 256);
    for (int i = 0; i < n; i++)
        (*labels)[i] = (int32_t)rn_rng_below(&r, (uint32_t)o->classes);
    return RN_OK;
}

/* A step as the trainer takes it, at a rate so small that the weights stay what they are. */
static int one_step(const rn_session *s, const uint8_t *images, const int32_t *labels)
{
    rn_net_result res;
    const rn_sgd_opts sgd = {.lr = 1e-12f,
                             .momentum = (float)s->r->momentum,
                             .weight_decay = (float)s->r->weight_decay,
                             .grad_scale = 1,
                             .nesterov = s->r->nesterov};
    RN_TRY(rn_net_train_batch(s->net, images, labels, (int)s->r->batch, &res));
    return rn_optim_sgd(s->net, &sgd);
}

static int timed(const rn_session *s, bool train, const uint8_t *images, const int32_t *labels, bench_clock *clock,
                 double *seconds)
{
    rn_net_result res;
    RN_TRY(bench_clock_start(clock));
    RN_TRY(train ? one_step(s, images, labels) : rn_net_eval_batch(s->eval_net, images, labels, s->eval_batch, &res));
    return bench_clock_stop(clock, seconds);
}

static int measure(const rn_session *s, bool train, bool paused, double seconds, const uint8_t *images,
                   const int32_t *labels, bench_timing *out)
{
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
        rc = timed(s, train, images, labels, &clock, &took);
        bench_range(s->be, NULL);
        if (i < 1 + paused) /* meets cold memory, or is captured */
            continue;
        ms[n++] = took * 1e3;
        if (train && rc == RN_OK && !paused)
            rc = bench_split_step(split, ms[n - 1]);
    }
    bench_clock_close(&clock);
    if (rc == RN_OK)
        *out = (bench_timing){.ms = bench_quantile(ms, n, 0.5),
                              .iqr = bench_quantile(ms, n, 0.75) - bench_quantile(ms, n, 0.25),
                              .ms_min = bench_quantile(ms, n, 0),
                              .n = n};
    free(ms);
    return rc;
}

/* As rn-train takes them, and split, which is another thing where a device takes a whole pass as one. */
static int measure_steps(const rn_session *s, double seconds, const uint8_t *images, const int32_t *labels,
                         bench_step *out)
{
    bench_split *split = bench_split_of(s->be);
    out->replayed = bench_split_captures(split);
    if (out->replayed) {
        bench_split_pause(split, true);
        const int rc = measure(s, true, true, seconds, images, labels, &out->train);
        bench_split_pause(split, false);
        RN_TRY(rc);
    }
    RN_TRY(measure(s, true, false, out->replayed ? seconds / 2 : seconds, images, labels, &out->split));
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
    uint8_t *images = NULL;
    int32_t *labels = NULL;
    bench_step step = {.session = &s, .inbounds = o->flops == 1};
    bench_nvml *nvml = NULL;
    int rc;
    RN_TRY(rn_recipe_check(&o->recipe));
    RN_TRY(rn_session_open_bare(&o->recipe, bench_split_backends, rn_jobs(args->common.jobs), (int)o->classes, &s));
    bench_split_count_inbounds(bench_split_of(s.be), step.inbounds);
    RN_GO(make_batch(o, s.eval_batch > o->recipe.batch ? s.eval_batch : (int)o->recipe.batch, &images, &labels));
    if (!(step.machine = bench_machine(s.be)))
        RN_GO(rn_fail(RN_E_NOMEM, "train: out of memory"));
    nvml = bench_nvml_open(s.be);
    rc = measure_steps(&s, o->seconds, images, labels, &step);
    bench_nvml_read(nvml, step.machine); /* while it is still warm from it */
    RN_GO(rc);
    RN_GO(measure(&s, false, false, o->seconds / 4, images, labels, &step.eval));
    RN_GO(bench_split_parts(bench_split_of(s.be), &step.parts, &step.nparts));
    step.arch = rn_model_names()[o->recipe.arch];
    step.dtype = dtypes[o->recipe.precision];
    step.image_size = o->recipe.image_size;
    step.batch = o->recipe.batch;
    for (rn_dtype t = RN_F32; t <= RN_F16; t++)
        RN_GO(bench_peak_gflops(s.be, t, CEILING_S, &step.gflops[t]));
    RN_GO(bench_level_gb_s(s.be, BENCH_LEVELS - 1, false, s.be->threads, CEILING_S, &step.gbytes));
    rc = print(o, &step, args->common.json);
out:
    bench_nvml_close(nvml);
    json_decref(step.machine);
    free(images);
    free(labels);
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
