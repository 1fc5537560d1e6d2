/* SPDX-License-Identifier: MIT */
/*
 * Whole models against PyTorch: logits, losses, every gradient, three SGD steps, running statistics. The goldens
 * were computed by torchvision's models in float64 (make_model_goldens.py, which also says how weights and pixels
 * are made from a hash); no Python is needed here. Every algorithm family the CPU backend offers is put through it.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rn_error.h"
#include "base/rn_opt.h"
#include "kernels/rn_kernels.h"
#include "nn/graph/rn_net.h"
#include "nn/optim/rn_optim.h"
#include "run/save/rn_safetensors.h"

enum { LOGITS, LOSS, GRAD, DELTA, STAT, KINDS };

/*
 * Largest differences allowed, relative to the largest logit or the norm of the tensor. With 16-bit activations: twice
 * what PyTorch's own autocast (2.15, on the CPU) differs from the same goldens by, the worse of the two nets: scores and
 * statistics by roundings, gradients because a rounding may flip a ReLU, sums of many of them most.
 */
static const double tol_f32[KINDS] = {5e-6, 5e-6, 5e-5, 1e-4, 2e-6}, tol_bf16[KINDS] = {0.014, 0.006, 2, 1.5, 0.0098},
                    tol_f16[KINDS] = {0.0014, 0.002, 0.86, 0.51, 0.0023};

typedef struct path {
    const char *name, *isa, *pattern;
    int threads;
    bool small_only; /* too slow for the full-width nets */
    rn_dtype dtype;
    const double *tol;
} path;

static const path paths[] = {
    {"portable", "portable", "cpu:*", 1, false, RN_F32, tol_f32},
    {"avx2", "avx2", "cpu:*", 1, false, RN_F32, tol_f32},
    {"avx512", "avx512", "cpu:*", 2, false, RN_F32, tol_f32},
    {"onednn", NULL, "onednn:*", 1, false, RN_F32, tol_f32},
    {"ref", NULL, "ref", 1, true, RN_F32, tol_f32},
    {"bf16", NULL, "cpu:*", 2, true, RN_BF16, tol_bf16},
    {"bf16 without its instructions", "avx2", "cpu:*", 2, true, RN_BF16, tol_bf16},
    {"f16", NULL, "cpu:*", 2, true, RN_F16, tol_f16},
};

static const struct {
    const char *name;
    bool small;
    bool half; /* in 16 bits, too: their tolerances are of nets of this depth and these steps */
} files[] = {{"resnet18", false, false},        {"resnet50", false, false},     {"resnet34_half", false, false},
             {"resnet18_cifar", true, true},    {"resnet50_cifar", true, true}, {"resnet101", true, false},
             {"resnet152", true, false},        {"resnet50_v1", true, false},   {"resnet50_d", true, false},
             {"resnet18_d_cifar", true, false}, {"resnet18_se", false, false},  {"resnet50_se_c", true, false},
             {"resnet34_se_d", true, false},    {"alexnet", true, false},       {"caffenet", true, false},
             {"bvlc_alexnet", true, false},     {"ghim5", true, true}};

enum { PATHS = sizeof paths / sizeof *paths, FILES = sizeof files / sizeof *files };

typedef struct job {
    char name[64];
    const char *file;
    const path *path;
} job;

/* ---- the hash, as in make_model_goldens.py ---- */

static uint64_t fnv1a(const char *text, uint64_t seed)
{
    uint64_t h = 0xCBF29CE484222325u ^ seed;
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 0x100000001B3u;
    return h;
}

static uint64_t hashed(uint64_t key, uint64_t i)
{
    uint64_t x = key + (i + 1) * 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

/* Between memory order (OHWI, of convolutions and of linear layers behind an image) and PyTorch's (OIHW). */
static void reorder(const rn_param *p, const float *src, float *dst, bool to_torch)
{
    if (p->nd != 4) {
        memcpy(dst, src, (size_t)p->count * sizeof *dst);
        return;
    }
    int64_t taps = p->dim[1] * p->dim[2], ic = p->dim[3];
    for (int64_t o = 0; o < p->dim[0]; o++)
        for (int64_t c = 0; c < ic; c++)
            for (int64_t t = 0; t < taps; t++) {
                int64_t torch = (o * ic + c) * taps + t, memory = (o * taps + t) * ic + c;
                dst[to_torch ? torch : memory] = src[to_torch ? memory : torch];
            }
}

static float *floats(int64_t n)
{
    float *v = malloc((size_t)n * sizeof *v);
    assert_non_null(v);
    return v;
}

static float parameter(const rn_param *p, double bound, uint64_t key, int64_t i)
{
    double u = (double)(hashed(key, (uint64_t)i) >> 40) * 0x1p-23 - 1;
    switch (p->kind) {
    case RN_PARAM_RUNNING_VAR:
        return (float)(1 + 0.5 * u);
    case RN_PARAM_RUNNING_MEAN:
        return (float)(0.25 * u);
    case RN_PARAM_GAMMA:
        return (float)(0.5 * (1 + 0.25 * u));
    case RN_PARAM_BETA:
    case RN_PARAM_BIAS:
        return (float)((u > 0 ? 1 : u < 0 ? -1 : 0) * (1 + 0.5 * fabs(u)));
    default:
        return (float)(u * bound);
    }
}

/* The parameter's initial values in PyTorch's order; the caller frees. */
static float *initial(const rn_param *p, uint64_t seed)
{
    float *v = floats(p->count);
    uint64_t key = fnv1a(p->name, seed);
    double bound = sqrt(3.0 / (double)(p->count / p->dim[0]));
    for (int64_t i = 0; i < p->count; i++)
        v[i] = parameter(p, bound, key, i);
    return v;
}

/* ---- one run ---- */

typedef struct run {
    const job *job;
    rn_st_file *golden;
    bool logits_only;
    rn_backend *be;
    rn_net *net;
    rn_model_spec spec;
    int batch, steps;
    uint64_t seed;
    rn_sgd_opts sgd;
    double smoothing;
    uint8_t *images;
    int32_t *labels;
    double worst[KINDS]; /* by kind of comparison, relative to what is allowed */
} run;

static void done(const run *r, int rc)
{
    if (rc < 0)
        fail_msg("%s: %s: %s", r->job->name, rn_status_name(rc), rn_error_text());
}

static double number(const run *r, const char *key)
{
    const char *text = rn_st_meta(r->golden, key);
    double v = 0;
    if (!text || rn_parse_real(text, -1e15, 1e15, &v) < 0)
        fail_msg("%s: the golden has no number '%s'", r->job->name, key);
    return v;
}

static void open_golden(run *r)
{
    const char *tests = getenv("RNKIT_TESTS");
    char name[1024];
    snprintf(name, sizeof name, "%s/golden/model_%s.safetensors", tests ? tests : "tests", r->job->file);
    done(r, rn_st_open(name, &r->golden, NULL));
    const char *stem = rn_st_meta(r->golden, "stem");
    r->spec = (rn_model_spec){.arch = rn_st_meta(r->golden, "arch"),
                              .stem = stem && strcmp(stem, "cifar") == 0 ? RN_STEM_CIFAR : RN_STEM_IMAGENET,
                              .width = number(r, "width"),
                              .classes = (int)number(r, "classes"),
                              .channels = (int)number(r, "channels"),
                              .height = (int)number(r, "height"),
                              .width_px = (int)number(r, "width_px")};
    if (rn_st_meta(r->golden, "variant")) { /* the older goldens do not say */
        for (int i = 0; rn_variant_names[i]; i++)
            if (strcmp(rn_variant_names[i], rn_st_meta(r->golden, "variant")) == 0)
                r->spec.variant = (enum rn_variant)i;
        r->spec.se = (int)number(r, "se");
        r->spec.se_round = (int)number(r, "se_round");
        r->logits_only = number(r, "prints") == 0;
    }
    r->batch = (int)number(r, "batch");
    r->steps = (int)number(r, "steps");
    r->seed = (uint64_t)number(r, "seed");
    r->smoothing = number(r, "smoothing");
    r->sgd = (rn_sgd_opts){.lr = (float)number(r, "lr"),
                           .momentum = (float)number(r, "momentum"),
                           .weight_decay = (float)number(r, "weight_decay")};
}

static void make_batch(run *r)
{
    size_t n = (size_t)r->batch * (size_t)r->spec.height * (size_t)r->spec.width_px * (size_t)r->spec.channels;
    r->images = malloc(n);
    r->labels = malloc((size_t)r->batch * sizeof *r->labels);
    assert_non_null(r->images);
    assert_non_null(r->labels);
    uint64_t pixels = fnv1a("pixels", r->seed), labels = fnv1a("labels", r->seed);
    for (size_t i = 0; i < n; i++)
        r->images[i] = (uint8_t)(hashed(pixels, i) >> 56);
    for (int i = 0; i < r->batch; i++)
        r->labels[i] = (int32_t)(hashed(labels, (uint64_t)i) % (uint64_t)r->spec.classes);
}

/* Device values of p's shape, in PyTorch's order; the caller frees. */
static float *copy_out(const run *r, const rn_param *p, const float *device)
{
    float *memory = floats(p->count), *torch = floats(p->count);
    done(r, r->be->copy(r->be, memory, device, (size_t)p->count * sizeof *memory, RN_COPY_D2H, NULL));
    reorder(p, memory, torch, true);
    free(memory);
    return torch;
}

static void load_parameters(run *r)
{
    for (int i = 0; i < rn_net_nparams(r->net); i++) {
        const rn_param *p = rn_net_param(r->net, i);
        float *torch = initial(p, r->seed), *memory = floats(p->count);
        reorder(p, torch, memory, false);
        done(r, r->be->copy(r->be, p->value, memory, (size_t)p->count * sizeof *memory, RN_COPY_H2D, NULL));
        free(torch);
        free(memory);
    }
    done(r, rn_net_params_changed(r->net));
}

/* ---- comparing ---- */

/* `scale`: what the tolerance is relative to. */
static void compare(run *r, int kind, const char *what, double got, double want, double scale)
{
    const double tol = r->job->path->tol[kind], off = fabs(got - want);
    const double err = off == 0 ? 0 : off / (tol * scale); /* behind dead ReLUs both are 0, and so is the scale */
    if (!(err <= 1))
        fail_msg("%s: %s is %.9g, PyTorch has %.9g: %.3g of %.3g", r->job->name, what, got, want,
                 fabs(got - want) / scale, tol);
    r->worst[kind] = err > r->worst[kind] ? err : r->worst[kind];
}

static float *golden(const run *r, const char *name, int64_t count)
{
    const rn_st_tensor *t = rn_st_find(r->golden, name);
    if (!t || t->count != count)
        fail_msg("%s: the golden has no %s of %lld values", r->job->name, name, (long long)count);
    float *v = floats(count);
    done(r, rn_st_read_f32(t, v));
    return v;
}

static void compare_logits(run *r, const char *name)
{
    int64_t n = (int64_t)r->batch * r->spec.classes;
    float *want = golden(r, name, n), *got = floats(n);
    done(r, rn_net_outputs(r->net, got, NULL));
    double most = 0;
    for (int64_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)want[i]));
    for (int64_t i = 0; i < n; i++)
        compare(r, LOGITS, name, (double)got[i], (double)want[i], most);
    free(want);
    free(got);
}

enum { ENTRIES = 64, DOTS = 8 };

/*
 * v: PyTorch's order; before: initial values to subtract, or NULL. See fingerprint() in the maker. A small change of a
 * large value is known no better than the value's own rounding: each step may add half a unit in the last place,
 * 2^-24 of the value, to what the tolerance allows.
 */
static void compare_fingerprint(run *r, int kind, const char *prefix, const rn_param *p, const float *v,
                                const float *before)
{
    char name[160];
    snprintf(name, sizeof name, "%s/%s", prefix, p->name);
    int64_t entries = p->count < ENTRIES ? p->count : ENTRIES;
    float *want = golden(r, name, 1 + DOTS + entries);
    double squares = 0, before_squares = 0, dot[DOTS] = {0}, norm = (double)want[0];
    uint64_t key = fnv1a(p->name, 1);
    for (int64_t i = 0; i < p->count; i++) {
        double b = before ? (double)before[i] : 0, x = (double)v[i] - b;
        uint64_t h = hashed(key, (uint64_t)i);
        squares += x * x;
        before_squares += b * b;
        for (int j = 0; j < DOTS; j++)
            dot[j] += (h >> j) & 1 ? -x : x;
    }
    double scale = norm + r->steps * 0x1p-24 * sqrt(before_squares) / r->job->path->tol[DELTA];
    compare(r, kind, name, sqrt(squares), norm, scale);
    for (int j = 0; j < DOTS; j++)
        compare(r, kind, name, dot[j], (double)want[1 + j], scale);
    for (int64_t e = 0; e < entries; e++) {
        uint64_t at = p->count <= ENTRIES ? (uint64_t)e : hashed(fnv1a(p->name, 2), (uint64_t)e) % (uint64_t)p->count;
        double x = (double)v[at] - (before ? (double)before[at] : 0);
        compare(r, kind, name, x, (double)want[1 + DOTS + e], scale);
    }
    free(want);
}

static void compare_all(run *r, const char *prefix, int kind)
{
    int n = 0, stored = 0;
    for (int i = 0; i < rn_net_nparams(r->net); i++) {
        const rn_param *p = rn_net_param(r->net, i);
        bool buffer = p->kind == RN_PARAM_RUNNING_MEAN || p->kind == RN_PARAM_RUNNING_VAR;
        if (buffer != (kind == STAT))
            continue;
        float *v = copy_out(r, p, kind == GRAD ? p->grad : p->value);
        float *before = kind == DELTA ? initial(p, r->seed) : NULL;
        compare_fingerprint(r, kind, prefix, p, v, before);
        free(v);
        free(before);
        n++;
    }
    for (int i = 0; i < rn_st_count(r->golden); i++)
        stored += strncmp(rn_st_at(r->golden, i)->name, prefix, strlen(prefix)) == 0;
    assert_true(n > 0 || kind == STAT); /* not every net has batch norms */
    assert_int_equal(n, stored);
}

static void close_run(run *r)
{
    rn_net_close(r->net);
    rn_backend_close(r->be);
    rn_st_close(r->golden);
    free(r->images);
    free(r->labels);
}

static void evaluate(run *r, const char *logits, const char *loss)
{
    rn_net_result res;
    done(r, rn_net_eval_batch(r->net, r->images, r->labels, r->batch, &res));
    compare_logits(r, logits);
    if (!loss)
        return;
    float *want = golden(r, loss, 1);
    compare(r, LOSS, loss, res.loss_sum / r->batch, (double)want[0], fabs((double)want[0]));
    free(want);
}

static void test_model(void **state)
{
    run r = {.job = *state};
    open_golden(&r);
    int rc = rn_backend_open(rn_backends, "cpu",
                             &(rn_backend_opts){.threads = r.job->path->threads, .isa = r.job->path->isa}, &r.be);
    if (rc == RN_E_ABSENT || rc == RN_E_UNSUPPORTED) {
        close_run(&r);
        skip();
    }
    done(&r, rc);
    rn_net_opts opts = {.batch = r.batch,
                        .train = true,
                        .dtype = r.job->path->dtype,
                        .select = {.pattern = r.job->path->pattern},
                        .label_smoothing = (float)r.smoothing};
    rc = rn_net_open(r.be, &r.spec, &opts, &r.net);
#ifndef RN_WITH_ONEDNN
    if (rc == RN_E_UNSUPPORTED && strcmp(r.job->path->name, "onednn") == 0) {
        close_run(&r);
        skip();
    }
#endif
    done(&r, rc);
    make_batch(&r);
    load_parameters(&r);
    evaluate(&r, "eval.logits", "eval.loss");
    float *losses = golden(&r, "losses", r.steps);
    for (int step = 0; step < r.steps; step++) {
        rn_net_result res;
        done(&r, rn_net_train_batch(r.net, r.images, r.labels, r.batch, &res));
        compare(&r, LOSS, "losses", res.loss_sum / r.batch, (double)losses[step], fabs((double)losses[step]));
        if (step == 0) {
            compare_logits(&r, "step1.logits");
            if (!r.logits_only)
                compare_all(&r, "grad", GRAD);
        }
        done(&r, rn_optim_sgd(r.net, &r.sgd));
    }
    free(losses);
    if (!r.logits_only) {
        compare_all(&r, "delta", DELTA);
        compare_all(&r, "stat", STAT);
    }
    evaluate(&r, "final.logits", NULL);
    print_message("# %s (%s): worst error, of what is allowed: logits %.2f, loss %.2f, gradient %.2f, change %.2f, "
                  "statistics %.2f\n",
                  r.job->name, rn_net_choice_at(r.net, 5)->choice.algo->name, r.worst[LOGITS], r.worst[LOSS],
                  r.worst[GRAD], r.worst[DELTA], r.worst[STAT]);
    close_run(&r);
}

int main(void)
{
    static job jobs[FILES * PATHS];
    static struct CMUnitTest tests[FILES * PATHS];
    int n = 0;
    for (int i = 0; i < FILES * PATHS; i++) {
        const path *p = &paths[i % PATHS];
        if ((p->small_only && !files[i / PATHS].small) || (p->dtype != RN_F32 && !files[i / PATHS].half))
            continue;
        job *j = &jobs[n];
        j->file = files[i / PATHS].name;
        j->path = p;
        snprintf(j->name, sizeof j->name, "%s on %s", j->file, p->name);
        tests[n++] = (struct CMUnitTest){.name = j->name, .test_func = test_model, .initial_state = j};
    }
    /* The macro around this wants the array whole; here only the first n are filled. */
    return _cmocka_run_group_tests("models", tests, (size_t)n, NULL, NULL);
}
