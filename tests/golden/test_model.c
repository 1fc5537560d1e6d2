/* SPDX-License-Identifier: MIT */
/*
 * Whole models against PyTorch: logits, losses, every gradient, three SGD steps, running statistics. The goldens
 * were computed by torchvision's models in float64 (make_model_goldens.py, which also says how weights and pixels
 * are made from a hash); no Python is needed here. Every algorithm family the CPU backend offers is put through it. With
 * activations in 16 bits the goldens are PyTorch's again, with every rounding that ours does (make_half_goldens.py).
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
#include "tests/device.h"

enum { LOGITS, LOSS, GRAD, DELTA, STAT, KINDS };

/* Largest differences allowed in f32, relative to the largest logit or the norm of the tensor. In 16 bits each number has a
 * bound of its own, from the golden (make_half_goldens.py says how it is made). */
static const double tol_f32[KINDS] = {5e-6, 5e-6, 5e-5, 1e-4, 2e-6};

typedef struct path {
    const char *name, *isa, *pattern;
    int threads;
    bool small_only; /* too slow for the full-width nets */
    rn_dtype dtype;
    enum rn_fuse fuse;
} path;

/* Our algorithms but Winograd's. */
#define DIRECT "cpu:[!w]*"

static const path paths[] = {
    {"portable", "portable", DIRECT, 1, false, RN_F32, RN_FUSE_OFF},
    {"avx2", "avx2", DIRECT, 1, false, RN_F32, RN_FUSE_OFF},
    {"avx512", "avx512", DIRECT, 2, false, RN_F32, RN_FUSE_OFF},
    {"winograd", NULL, "cpu:*", 2, false, RN_F32, RN_FUSE_OFF},
    {"onednn", NULL, "onednn:*", 1, false, RN_F32, RN_FUSE_OFF},
    {"ref", NULL, "ref", 1, true, RN_F32, RN_FUSE_OFF},
    {"bf16", NULL, "cpu:*", 2, true, RN_BF16, RN_FUSE_OFF},
    {"bf16 without its instructions", "avx2", "cpu:*", 2, true, RN_BF16, RN_FUSE_OFF},
    {"f16", NULL, "cpu:*", 2, true, RN_F16, RN_FUSE_OFF},
    {"fused", NULL, "ref", 1, true, RN_F32, RN_FUSE_ON},
    {"fused on avx2", "avx2", DIRECT, 2, true, RN_F32, RN_FUSE_ON},
    {"bf16 fused", NULL, "cpu:im2col", 2, true, RN_BF16, RN_FUSE_ON},
};

/* Of RNKIT_DEVICE, in place of those. */
static const path device_paths[] = {
    {"the device", NULL, NULL, 1, false, RN_F32, RN_FUSE_OFF},
    {"the device, bf16", NULL, NULL, 1, true, RN_BF16, RN_FUSE_OFF},
    {"the device, f16", NULL, NULL, 1, true, RN_F16, RN_FUSE_OFF},
    {"the device, fused", NULL, NULL, 1, true, RN_F32, RN_FUSE_ON},
    {"the device, bf16 fused", NULL, NULL, 1, true, RN_BF16, RN_FUSE_ON},
};

static const struct {
    const char *name;
    bool small;
    bool half; /* in 16 bits, too: there is a golden of that */
} files[] = {{"resnet18", false, false},        {"resnet50", false, false},     {"resnet34_half", false, false},
             {"resnet18_cifar", true, true},    {"resnet50_cifar", true, true}, {"resnet101", true, true},
             {"resnet152", true, false},        {"resnet50_v1", true, false},   {"resnet50_d", true, false},
             {"resnet18_d_cifar", true, false}, {"resnet18_se", false, false},  {"resnet50_se_c", true, false},
             {"resnet34_se_d", true, false},    {"alexnet", true, true},        {"caffenet", true, true},
             {"bvlc_alexnet", true, true},      {"ghim5", true, true}};

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
    rn_st_file *half; /* of 16-bit nets: numbers and bounds; NULL in f32 */
    bool logits_only;
    rn_backend *be;
    rn_net *net;
    rn_model_spec spec;
    int batch, steps;
    uint64_t seed;
    rn_sgd_opts sgd;
    double smoothing, loss_scale;
    uint8_t *images;
    int32_t *labels;
    double worst[KINDS]; /* by kind of comparison, relative to what is allowed */
} run;

static void done(const run *r, int rc)
{
    if (rc < 0)
        fail_msg("%s: %s: %s", r->job->name, rn_status_name(rc), rn_error_text());
}

static double number(const run *r, rn_st_file *file, const char *key)
{
    const char *text = rn_st_meta(file, key);
    double v = 0;
    if (!text || rn_parse_real(text, -1e15, 1e15, &v) < 0)
        fail_msg("%s: the golden has no number '%s'", r->job->name, key);
    return v;
}

static void open_file(const run *r, const char *prefix, rn_st_file **out)
{
    const char *tests = getenv("RNKIT_TESTS");
    char name[1024];
    snprintf(name, sizeof name, "%s/golden/%s_%s.safetensors", tests ? tests : "tests", prefix, r->job->file);
    done(r, rn_st_open(name, out, NULL));
}

static void open_golden(run *r)
{
    open_file(r, "model", &r->golden);
    if (r->job->path->dtype != RN_F32)
        open_file(r, "half", &r->half);
    const char *stem = rn_st_meta(r->golden, "stem");
    r->spec = (rn_model_spec){.arch = rn_st_meta(r->golden, "arch"),
                              .stem = stem && strcmp(stem, "cifar") == 0 ? RN_STEM_CIFAR : RN_STEM_IMAGENET,
                              .width = number(r, r->golden, "width"),
                              .classes = (int)number(r, r->golden, "classes"),
                              .channels = (int)number(r, r->golden, "channels"),
                              .height = (int)number(r, r->golden, "height"),
                              .width_px = (int)number(r, r->golden, "width_px")};
    if (rn_st_meta(r->golden, "variant")) { /* the older goldens do not say */
        for (int i = 0; rn_variant_names[i]; i++)
            if (strcmp(rn_variant_names[i], rn_st_meta(r->golden, "variant")) == 0)
                r->spec.variant = (enum rn_variant)i;
        r->spec.se = (int)number(r, r->golden, "se");
        r->spec.se_round = (int)number(r, r->golden, "se_round");
        r->logits_only = number(r, r->golden, "prints") == 0;
    }
    r->batch = (int)number(r, r->golden, "batch");
    r->steps = (int)number(r, r->golden, "steps");
    r->seed = (uint64_t)number(r, r->golden, "seed");
    r->smoothing = number(r, r->golden, "smoothing");
    r->sgd = (rn_sgd_opts){.lr = (float)number(r, r->golden, "lr"),
                           .momentum = (float)number(r, r->golden, "momentum"),
                           .weight_decay = (float)number(r, r->golden, "weight_decay")};
    r->loss_scale = r->job->path->dtype == RN_F16 ? number(r, r->half, "f16_scale") : 1;
    r->sgd.grad_scale = (float)(1 / r->loss_scale);
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
    done(r, r->be->sync ? r->be->sync(r->be, NULL) : 0);
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
static void compare(run *r, int kind, const char *what, double got, double want, double scale, double tol)
{
    const double off = fabs(got - want);
    const double err = off == 0 ? 0 : off / (tol * scale); /* behind dead ReLUs both are 0, and so is the scale */
    if (!(err <= 1))
        fail_msg("%s: %s is %.9g, PyTorch has %.9g: %.3g of %.3g", r->job->name, what, got, want,
                 fabs(got - want) / scale, tol);
    r->worst[kind] = err > r->worst[kind] ? err : r->worst[kind];
}

static float *golden(const run *r, const char *name, int64_t count)
{
    char full[160];
    snprintf(full, sizeof full, "%s/%s", rn_dtype_name(r->job->path->dtype), name);
    const rn_st_tensor *t = r->half ? rn_st_find(r->half, full) : rn_st_find(r->golden, name);
    if (!t || t->count != count)
        fail_msg("%s: the golden has no %s of %lld values", r->job->name, name, (long long)count);
    float *v = floats(count);
    done(r, rn_st_read_f32(t, v));
    return v;
}

/* Of number i of n, relative. */
static double allowed(const run *r, int kind, const char *name, int i, int n)
{
    char of[160];
    if (!r->half)
        return tol_f32[kind];
    snprintf(of, sizeof of, "%s.allowed", name);
    float *v = golden(r, of, n);
    double tol = (double)v[i];
    free(v);
    return tol;
}

static void compare_logits(run *r, const char *name)
{
    int64_t n = (int64_t)r->batch * r->spec.classes;
    float *want = golden(r, name, n), *got = floats(n);
    done(r, rn_net_outputs(r->net, got, NULL));
    double most = 0, tol = allowed(r, LOGITS, name, 0, 1);
    for (int64_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)want[i]));
    for (int64_t i = 0; i < n; i++)
        compare(r, LOGITS, name, (double)got[i], (double)want[i], most, tol);
    free(want);
    free(got);
}

static void compare_loss(run *r, const char *name, int i, int n, double got)
{
    float *want = golden(r, name, n);
    compare(r, LOSS, name, got, (double)want[i], fabs((double)want[i]), allowed(r, LOSS, name, i, n));
    free(want);
}

enum { ENTRIES = 64, DOTS = 8, ROW = DOTS + 2 /* of 16-bit nets: norm, dot products, bound */ };

/* What of a tensor (less `before`, unless that is NULL) goldens hold: the norm, then dot products with vectors of +-1. */
static void take_prints(const rn_param *p, const float *v, const float *before, double out[1 + DOTS])
{
    static const double signs[] = {1, -1};
    const uint64_t key = fnv1a(p->name, 1);
    double squares = 0;
    memset(out, 0, (1 + DOTS) * sizeof *out);
    for (int64_t i = 0; i < p->count; i++) {
        double x = (double)v[i] - (before ? (double)before[i] : 0);
        uint64_t h = hashed(key, (uint64_t)i);
        squares += x * x;
        for (int j = 0; j < DOTS; j++)
            out[1 + j] += x * signs[(h >> j) & 1]; /* a branch would be guessed wrong half of the times */
    }
    out[0] = sqrt(squares);
}

static double norm_of(const float *v, int64_t n)
{
    double squares = 0;
    for (int64_t i = 0; v && i < n; i++)
        squares += (double)v[i] * v[i];
    return sqrt(squares);
}

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
    const double tol = tol_f32[kind];
    int64_t entries = p->count < ENTRIES ? p->count : ENTRIES;
    float *want = golden(r, name, 1 + DOTS + entries);
    double got[1 + DOTS];
    take_prints(p, v, before, got);
    double scale = (double)want[0] + r->steps * 0x1p-24 * norm_of(before, p->count) / tol_f32[DELTA];
    for (int j = 0; j < 1 + DOTS; j++)
        compare(r, kind, name, got[j], (double)want[j], scale, tol);
    for (int64_t e = 0; e < entries; e++) {
        uint64_t at = p->count <= ENTRIES ? (uint64_t)e : hashed(fnv1a(p->name, 2), (uint64_t)e) % (uint64_t)p->count;
        double x = (double)v[at] - (before ? (double)before[at] : 0);
        compare(r, kind, name, x, (double)want[1 + DOTS + e], scale, tol);
    }
    free(want);
}

/* The same of a 16-bit net, whose golden has a row per tensor; a gradient is that of the scaled loss. */
static void compare_row(run *r, int kind, const char *prefix, const rn_param *p, const float *v, const float *before,
                        const float *row)
{
    char name[160];
    snprintf(name, sizeof name, "%s/%s", prefix, p->name);
    double got[1 + DOTS];
    take_prints(p, v, before, got);
    for (int j = 0; j < 1 + DOTS; j++)
        compare(r, kind, name, got[j] / (kind == GRAD ? r->loss_scale : 1), (double)row[j], (double)row[0],
                (double)row[1 + DOTS]);
}

static bool of_kind(const rn_param *p, int kind)
{
    return (p->kind == RN_PARAM_RUNNING_MEAN || p->kind == RN_PARAM_RUNNING_VAR) == (kind == STAT);
}

static int count_kind(const run *r, int kind)
{
    int n = 0;
    for (int i = 0; i < rn_net_nparams(r->net); i++)
        n += of_kind(rn_net_param(r->net, i), kind);
    return n;
}

static void compare_all(run *r, const char *prefix, int kind)
{
    const int n = count_kind(r, kind);
    int at = 0, stored = 0;
    float *rows = r->half && n > 0 ? golden(r, prefix, (int64_t)n * ROW) : NULL;
    for (int i = 0; i < rn_net_nparams(r->net); i++) {
        const rn_param *p = rn_net_param(r->net, i);
        if (!of_kind(p, kind))
            continue;
        float *v = copy_out(r, p, kind == GRAD ? p->grad : p->value);
        float *before = kind == DELTA ? initial(p, r->seed) : NULL;
        if (rows)
            compare_row(r, kind, prefix, p, v, before, rows + (ptrdiff_t)at++ * ROW);
        else
            compare_fingerprint(r, kind, prefix, p, v, before);
        free(v);
        free(before);
    }
    free(rows);
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
    rn_st_close(r->half);
    free(r->images);
    free(r->labels);
}

static void evaluate(run *r, const char *logits, const char *loss)
{
    rn_net_result res;
    done(r, rn_net_eval_batch(r->net, r->images, r->labels, r->batch, &res));
    compare_logits(r, logits);
    if (loss)
        compare_loss(r, loss, 0, 1, res.loss_sum / r->batch);
}

static void test_model(void **state)
{
    run r = {.job = *state};
    open_golden(&r);
    int rc = rn_backend_open(rn_backends, test_device(),
                             &(rn_backend_opts){.threads = r.job->path->threads, .isa = r.job->path->isa}, &r.be);
    if (rc == RN_E_ABSENT || rc == RN_E_UNSUPPORTED) {
        close_run(&r);
        skip();
    }
    done(&r, rc);
    rn_net_opts opts = {.batch = r.batch,
                        .train = true,
                        .dtype = r.job->path->dtype,
                        .fuse = r.job->path->fuse,
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
    rn_net_set_loss_scale(r.net, (float)r.loss_scale);
    for (int step = 0; step < r.steps; step++) {
        rn_net_result res;
        done(&r, rn_net_train_batch(r.net, r.images, r.labels, r.batch, &res));
        compare_loss(&r, "losses", step, r.steps, res.loss_sum / r.batch);
        if (step == 0) {
            compare_logits(&r, "step1.logits");
            if (!r.logits_only)
                compare_all(&r, "grad", GRAD);
        }
        done(&r, rn_optim_sgd(r.net, &r.sgd));
    }
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
    const bool cpu = strcmp(test_device(), "cpu") == 0;
    const path *const on = cpu ? paths : device_paths;
    const int npaths = cpu ? PATHS : (int)(sizeof device_paths / sizeof *device_paths);
    int n = 0;
    for (int i = 0; i < FILES * npaths; i++) {
        const path *p = &on[i % npaths];
        const int file = i / npaths;
        if ((p->small_only && !files[file].small) || (p->dtype != RN_F32 && !files[file].half))
            continue;
        job *j = &jobs[n];
        j->file = files[file].name;
        j->path = p;
        snprintf(j->name, sizeof j->name, "%s on %s", j->file, p->name);
        tests[n++] = (struct CMUnitTest){.name = j->name, .test_func = test_model, .initial_state = j};
    }
    /* The macro around this wants the array whole; here only the first n are filled. */
    return _cmocka_run_group_tests("models", tests, (size_t)n, NULL, NULL);
}
