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
#include "kernels/rn_kernels.h"
#include "nn/optim/rn_optim.h"
#include "run/train/rn_session.h"

enum { MIN_STEPS = 3, MAX_STEPS = 100000 };

typedef struct train_opts {
    rn_recipe recipe;
    const char *recipe_file;
    int64_t classes;
    double seconds;
} train_opts;

typedef struct timing {
    double ms, iqr; /* median and interquartile range */
    int n;
} timing;

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

static int measure(const rn_session *s, bool train, double seconds, const uint8_t *images, const int32_t *labels,
                   timing *out)
{
    double *ms = malloc(MAX_STEPS * sizeof *ms), end = rn_now() + seconds;
    int n = 0, rc = RN_OK;
    if (!ms)
        return rn_fail(RN_E_NOMEM, "no memory for the times");
    for (int i = 0; rc == RN_OK && n < MAX_STEPS && (n < MIN_STEPS || rn_now() < end); i++) {
        rn_net_result res;
        double from = rn_now();
        rc = train ? one_step(s, images, labels) : rn_net_eval_batch(s->eval_net, images, labels, s->eval_batch, &res);
        if (i > 0) /* the first one meets cold memory */
            ms[n++] = (rn_now() - from) * 1e3;
    }
    if (rc == RN_OK)
        *out = (timing){bench_quantile(ms, n, 0.5), bench_quantile(ms, n, 0.75) - bench_quantile(ms, n, 0.25), n};
    free(ms);
    return rc;
}

static void print(const train_opts *o, const rn_session *s, const timing *t, const timing *e, bool json)
{
    static const char *const dtypes[] = {"f32", "bf16", "f16"};
    const char *arch = rn_model_names()[o->recipe.arch], *dtype = dtypes[o->recipe.precision];
    double train = (double)o->recipe.batch / t->ms * 1e3, eval = (double)s->eval_batch / e->ms * 1e3;
    if (json)
        printf("{\"arch\":\"%s\",\"image_size\":%" PRId64 ",\"batch\":%" PRId64 ",\"eval_batch\":%d,\"dtype\":\"%s\","
               "\"threads\":%d,\"weights\":%" PRId64 ",\"steps\":%d,\"step_ms\":%.4f,\"step_ms_iqr\":%.4f,"
               "\"images_per_s\":%.3f,\"eval_images_per_s\":%.3f}\n",
               arch, o->recipe.image_size, o->recipe.batch, s->eval_batch, dtype, s->threads, rn_net_weights(s->net),
               t->n, t->ms, t->iqr, train, eval);
    else
        printf("%s, %" PRId64 " px, batch %" PRId64 ", %s, %d threads: a step %.2f ms (median of %d, quartiles %.2f ms "
               "apart)\ntraining %.1f images/s, evaluation %.1f images/s\n",
               arch, o->recipe.image_size, o->recipe.batch, dtype, s->threads, t->ms, t->n, t->iqr, train, eval);
}

static int run(train_opts *o, const rn_opt_result *args)
{
    rn_session s = {0};
    uint8_t *images = NULL;
    int32_t *labels = NULL;
    timing train = {0}, eval = {0};
    int rc;
    RN_TRY(rn_recipe_check(&o->recipe));
    RN_TRY(rn_session_open_bare(&o->recipe, rn_backends, rn_jobs(args->common.jobs), (int)o->classes, &s));
    RN_GO(make_batch(o, s.eval_batch > o->recipe.batch ? s.eval_batch : (int)o->recipe.batch, &images, &labels));
    RN_GO(measure(&s, true, o->seconds, images, labels, &train));
    RN_GO(measure(&s, false, o->seconds / 4, images, labels, &eval));
    print(o, &s, &train, &eval, args->common.json);
out:
    free(images);
    free(labels);
    rn_session_close(&s);
    return rc;
}

int bench_train_main(int argc, char **argv)
{
    static train_opts o = {.classes = 1000, .seconds = 10};
    static rn_opt rows[RN_RECIPE_MAX_ROWS + 4];
    const rn_opt own[] = {
        {RN_OPT_GROUP, "What is measured", NULL, NULL, NULL, NULL, 0, 0},
        {RN_OPT_TEXT, "recipe", "FILE", &o.recipe_file, "Settings as rn-train takes them; the command line wins.", NULL,
         0, 0},
        {RN_OPT_INT, "classes", "N", &o.classes, "Classes, which data would tell.", NULL, 2, 1000000},
        {RN_OPT_REAL, "seconds", "X", &o.seconds, "Measure training for about so long, evaluation for a quarter.", NULL,
         0, 86400},
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
            "rn-train would reach if data never had to be waited for. Settings that are about data are passed over.",
        .epilog = "Exit: 0 done, 1 failed, 2 usage, 77 no such device.",
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
