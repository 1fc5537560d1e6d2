/* SPDX-License-Identifier: MIT */
/*
 * A net and a solver in Caffe's words against PyTorch (make_caffe.py): logits, loss and gradients of the first batch; four
 * iterations of two batches each, with multipliers, decay, clipping and a rate that falls; the running statistics; and logits
 * under these. Initial weights are loaded by their names in files.
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
#include "nn/graph/rn_param.h"
#include "nn/optim/rn_optim.h"
#include "run/recipe/rn_recipe.h"
#include "run/recipe/rn_recipe_caffe.h"
#include "run/save/rn_weightfile.h"
#include "tests/device.h"

enum { BATCH = 4, SIDE = 15, CLASSES = 5, STEPS = 4, ITER_SIZE = 2 };
static const double tol_logits = 1e-5, tol_grad = 5e-5, tol_final = 5e-5;

typedef struct fixture {
    rn_backend *be;
    rn_net *net, *eval;
    rn_optim *optim;
    rn_st_file *golden;
    char *text;
    float *images[2];
    int32_t labels[2][BATCH];
    rn_recipe recipe;
    rn_opt rows[RN_RECIPE_MAX_ROWS];
    rn_opt_result owned;
} fixture;

static void done(int rc)
{
    if (rc < 0)
        fail_msg("%s", rn_error_text());
}

static char *path_of(const char *name, char out[4096])
{
    const char *tests = getenv("RNKIT_TESTS");
    snprintf(out, 4096, "%s/golden/%s", tests ? tests : "tests", name);
    return out;
}

static float *values(const fixture *f, const char *name, int64_t count)
{
    const rn_st_tensor *t = rn_st_find(f->golden, name);
    if (!t || t->count != count)
        fail_msg("the golden has no %s of %lld values", name, (long long)count);
    float *v = malloc((size_t)count * sizeof *v);
    assert_non_null(v);
    done(rn_st_read_f32(t, v));
    return v;
}

/* Largest difference over the largest value, or 0.01: the gradient of a bias before a batch norm is 0 but for rounding. */
static void compare(const fixture *f, const char *name, const float *got, int64_t count, double tol)
{
    float *want = values(f, name, count);
    double most = 0, worst = 0;
    for (int64_t i = 0; i < count; i++) {
        most = fmax(most, fabs((double)want[i]));
        worst = fmax(worst, fabs((double)got[i] - (double)want[i]));
        assert_true(isfinite(got[i]));
    }
    most = fmax(most, 0.01);
    if (!(worst <= tol * most))
        fail_msg("%s differs by %.3g of %.3g from PyTorch's", name, worst, most);
    free(want);
}

static void compare_param(const fixture *f, const char *prefix, const rn_param *p, const float *device, double tol)
{
    char name[160];
    size_t bytes = (size_t)p->count * sizeof(float);
    float *mem = malloc(bytes), *file = malloc(bytes);
    assert_non_null(mem);
    assert_non_null(file);
    done(f->be->copy(f->be, mem, device, bytes, RN_COPY_D2H, NULL));
    done(f->be->sync ? f->be->sync(f->be, NULL) : 0);
    if (rn_param_permuted(p))
        rn_param_to_file(p, mem, file);
    else
        memcpy(file, mem, bytes);
    snprintf(name, sizeof name, "%s/%s", prefix, p->name);
    if (rn_st_find(f->golden, name)) {
        compare(f, name, file, p->count, tol);
    } else { /* what Caffe does not have: a BatchNorm's own gamma and beta stay what they were */
        const bool gamma = p->kind == RN_PARAM_GAMMA;
        for (int64_t i = 0; i < p->count && strcmp(prefix, "final") == 0; i++)
            assert_true(file[i] >= gamma && file[i] <= gamma);
    }
    free(mem);
    free(file);
}

static void compare_logits(const fixture *f, rn_net *net, const char *name)
{
    float logits[BATCH * CLASSES];
    done(rn_net_outputs(net, logits, NULL));
    compare(f, name, logits, BATCH * CLASSES, tol_logits);
}

static void read_solver(fixture *f)
{
    char path[4096], *text;
    size_t n;
    rn_caffe_solver s;
    rn_buf lines = {0};
    rn_recipe_defaults(&f->recipe);
    const rn_opt_spec spec = {.tool = "test", .opts = f->rows, .nopts = rn_recipe_rows(&f->recipe, f->rows)};
    done(rn_read_text(path_of("caffe_solver.prototxt", path), 0, &text, &n));
    done(rn_caffe_solver_read(path, text, &s));
    done(rn_recipe_from_solver(&s, &lines));
    done(rn_opt_parse_text(&spec, path, (const char *)lines.data, &f->owned));
    rn_buf_free(&lines);
    free(text);
    assert_int_equal(f->recipe.accumulate, ITER_SIZE);
    assert_int_equal(f->recipe.max_steps, STEPS);
}

static void open_fixture(fixture *f, const char *pattern)
{
    char path[4096];
    size_t n;
    rn_st_file *init;
    *f = (fixture){0};
    read_solver(f);
    done(rn_backend_open(rn_backends, test_device(), &(const rn_backend_opts){.threads = 2}, &f->be));
    done(rn_read_text(path_of("caffe.prototxt", path), 0, &f->text, &n));
    const rn_model_spec model = {
        .arch = "prototxt", .net_text = f->text, .width = 1, .classes = CLASSES, .channels = 3, .height = SIDE};
    const rn_net_opts opts = {.batch = BATCH, .train = true, .select = {.pattern = pattern}};
    done(rn_net_open(f->be, &model, &opts, &f->net));
    done(rn_net_open_shared(f->net, BATCH, 0, 0, &f->eval));
    done(rn_net_init(f->net, 1));
    done(rn_st_open(path_of("caffe_init.safetensors", path), &init, NULL));
    done(rn_weightfile_load(f->net, f->be, RN_WEIGHTFILE_VALUES, init));
    rn_st_close(init);
    done(rn_optim_open(f->net, true, &f->optim));
    done(rn_st_open(path_of("caffe_steps.safetensors", path), &f->golden, NULL));
    for (int k = 0; k < 2; k++) {
        f->images[k] = values(f, k ? "images1" : "images0", (int64_t)BATCH * SIDE * SIDE * 3);
        float *labels = values(f, k ? "labels1" : "labels0", BATCH);
        for (int i = 0; i < BATCH; i++)
            f->labels[k][i] = (int32_t)labels[i];
        free(labels);
    }
}

static void close_fixture(fixture *f)
{
    rn_optim_close(f->optim);
    rn_net_close(f->eval);
    rn_net_close(f->net);
    rn_backend_close(f->be);
    rn_st_close(f->golden);
    free(f->images[0]);
    free(f->images[1]);
    free(f->text);
    rn_opt_free(&f->owned);
}

/* One iteration, as the trainer takes it. */
static void iterate(fixture *f, const rn_sched *sched, int step, float *losses)
{
    double norm;
    for (int i = 0; i < ITER_SIZE; i++) {
        rn_net_result res;
        const int k = i % 2;
        done(rn_net_train_batch_f32(f->net, f->images[k], f->labels[k], BATCH, &res));
        losses[i] = (float)(res.loss_sum / BATCH);
        if (step == 0 && i == 0) {
            compare_logits(f, f->net, "logits");
            for (int p = 0; p < rn_net_nparams(f->net); p++)
                if (rn_net_param(f->net, p)->grad)
                    compare_param(f, "grad", rn_net_param(f->net, p), rn_net_param(f->net, p)->grad, tol_grad);
        }
        done(rn_optim_accumulate(f->optim, i, ITER_SIZE));
    }
    done(rn_optim_grad_sumsq(f->optim, &norm));
    norm = sqrt(norm) * ITER_SIZE; /* Caffe looks at the sum */
    const rn_sgd_opts sgd = {.lr = (float)rn_sched_lr(sched, step),
                             .momentum = (float)f->recipe.momentum,
                             .weight_decay = (float)f->recipe.weight_decay,
                             .grad_scale = (float)rn_optim_clip(norm, f->recipe.clip_norm, true),
                             .caffe = f->recipe.momentum_kind == RN_MOMENTUM_CAFFE};
    done(rn_optim_sgd(f->net, &sgd));
}

static void train(const char *pattern)
{
    fixture f;
    rn_sched sched;
    rn_net_result res;
    float losses[STEPS * ITER_SIZE];
    open_fixture(&f, pattern);
    done(rn_recipe_sched(&f.recipe, 1000, BATCH * ITER_SIZE, &sched));
    for (int step = 0; step < STEPS; step++)
        iterate(&f, &sched, step, losses + (size_t)step * ITER_SIZE);
    compare(&f, "losses", losses, STEPS * ITER_SIZE, tol_final);
    for (int p = 0; p < rn_net_nparams(f.net); p++)
        compare_param(&f, "final", rn_net_param(f.net, p), rn_net_param(f.net, p)->value, tol_final);
    done(rn_net_eval_batch_f32(f.eval, f.images[0], f.labels[0], BATCH, &res));
    float logits[BATCH * CLASSES];
    done(rn_net_outputs(f.eval, logits, NULL));
    compare(&f, "eval", logits, BATCH * CLASSES, tol_final);
    close_fixture(&f);
}

static void by_the_reference(void **state)
{
    (void)state;
    if (strcmp(test_device(), "cpu") != 0)
        skip();
    train("ref");
}

static void by_the_fast_ones(void **state)
{
    (void)state;
    train(strcmp(test_device(), "cpu") == 0 ? "cpu:*" : NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(by_the_reference), cmocka_unit_test(by_the_fast_ones)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
