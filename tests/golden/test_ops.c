/* SPDX-License-Identifier: MIT */
/*
 * A net of every kind of node that a ResNet lacks against the same net in PyTorch (make_ops.py): logits, losses and every
 * gradient; parameters and gradients in torch's shapes and order, through rn_param.h.
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
#include "kernels/rn_kernels.h"
#include "nn/graph/rn_graph.h"
#include "nn/graph/rn_param.h"
#include "run/save/rn_safetensors.h"
#include "tests/device.h"

enum { BATCH = 3, H = 19, W = 6, CLASSES = 5 };

static void done(int rc)
{
    if (rc < 0)
        fail_msg("%s: %s", rn_status_name(rc), rn_error_text());
}

/* y * s + x behind a ReLU, s squeezed out of y. */
static int squeeze(rn_graph *g, int y, int x, int fc1, int fc2)
{
    int s = rn_graph_linear(g, rn_graph_gap(g, y, "pool"), fc1);
    s = rn_graph_linear(g, rn_graph_relu(g, s, "fc1.relu"), fc2);
    return rn_graph_scale(g, y, rn_graph_sigmoid(g, s, "fc2.sigmoid"), x, "scale", true);
}

static int build(const rn_model_spec *spec, int batch, rn_graph *g)
{
    int conv1 = rn_graph_conv_weight_hw(g, "conv1", 8, 3, 5, 3), bias1 = rn_graph_bias(g, "conv1", 8);
    int conv2 = rn_graph_conv_weight(g, "conv2", 8, 3, 4), bias2 = rn_graph_bias(g, "conv2", 8);
    int fc1 = rn_graph_linear_1x1_params(g, "fc1", 4, 8), fc2 = rn_graph_linear_1x1_params(g, "fc2", 8, 4);
    int conv3 = rn_graph_conv_weight_hw(g, "conv3", 6, 1, 2, 8);
    int fc = rn_graph_linear_weight(g, "fc", spec->classes, 6, 3, 1), bias = rn_graph_bias(g, "fc", spec->classes);

    int x = rn_graph_images(g, batch, spec->height, spec->width_px, spec->channels);
    x = rn_graph_conv_bias(g, x, conv1, bias1, &(rn_window){3, 5, 2, 1, 1, 2}, true);
    x = rn_graph_lrn(g, x, "norm1", 5, 0.5f, 0.75f, 1);
    x = rn_graph_pool(g, x, "pool1", true, RN_WINDOW(3, 2, 0), true, false);
    int y = rn_graph_conv_group(g, x, conv2, bias2, RN_WINDOW(3, 1, 1), 2, true);
    y = rn_graph_lrn(g, y, "norm2", 4, 0.7f, 0.6f, 2);
    x = squeeze(g, y, x, fc1, fc2);
    int a = rn_graph_pool(g, x, "pool2", false, RN_WINDOW(2, 2, 0), true, false);
    int b = rn_graph_pool(g, x, "pool3", false, RN_WINDOW(3, 2, 1), true, true);
    int both = rn_graph_concat(g, (int[]){a, b}, 2, "both");
    int p = rn_graph_slice(g, both, "p", 5, 8), q = rn_graph_slice(g, both, "q", 1, 8);
    x = rn_graph_eltwise(g, p, q, "product", RN_ELTWISE_PRODUCT, 1, 1);
    int quarter = rn_graph_eltwise(g, q, q, "quarter", RN_ELTWISE_SUM, 0.75f, -0.5f); /* one value twice */
    x = rn_graph_eltwise(g, x, quarter, "maximum", RN_ELTWISE_MAX, 1, 1);
    x = rn_graph_eltwise(g, x, p, "sum", RN_ELTWISE_SUM, 0.5f, -2);
    x = rn_graph_conv_bias(g, x, conv3, -1, &(rn_window){1, 2, 1, 1, 0, 0}, false);
    x = rn_graph_relu(g, x, "relu3");
    rn_graph_xent(g, rn_graph_linear_bias(g, x, fc, bias));
    return RN_OK;
}

static const rn_model_spec spec = {
    .arch = "golden", .classes = CLASSES, .channels = 3, .height = H, .width_px = W, .build = build};

static float *golden(const rn_st_file *f, const char *prefix, const char *name, int64_t count)
{
    char full[160];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    const rn_st_tensor *t = rn_st_find(f, full);
    if (!t || t->count != count)
        fail_msg("ops.safetensors: no tensor %s of %lld values", full, (long long)count);
    float *v = malloc((size_t)count * sizeof *v);
    assert_non_null(v);
    done(rn_st_read_f32(t, v));
    return v;
}

/* The tolerance is of the largest value. */
static void hold(const char *what, const float *got, const float *want, int64_t n, double tol)
{
    double scale = 1e-3;
    for (int64_t i = 0; i < n; i++)
        scale = fmax(scale, fabs((double)want[i]));
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)got[i] - (double)want[i]) <= tol * scale))
            fail_msg("%s[%lld] is %.9g, PyTorch's %.9g", what, (long long)i, (double)got[i], (double)want[i]);
}

static void load(rn_net *net, rn_backend *be, const rn_st_file *f)
{
    for (int i = 0; i < rn_net_nparams(net); i++) {
        rn_param *p = rn_net_param(net, i);
        int64_t dim[4];
        int nd = rn_param_file_dims(p, dim);
        const rn_st_tensor *t = rn_st_find(f, p->name);
        if (!t || t->nd != nd || memcmp(t->dim, dim, (size_t)nd * sizeof *dim) != 0)
            fail_msg("%s has another shape in torch", p->name);
        float *file = golden(f, "", p->name, p->count), *mem = malloc((size_t)p->count * sizeof *mem);
        assert_non_null(mem);
        rn_param_from_file(p, file, mem);
        done(be->copy(be, p->value, mem, (size_t)p->count * sizeof *mem, RN_COPY_H2D, NULL));
        free(file);
        free(mem);
    }
    done(rn_net_params_changed(net));
}

static void hold_gradients(rn_net *net, rn_backend *be, const rn_st_file *f, double tol)
{
    for (int i = 0; i < rn_net_nparams(net); i++) {
        const rn_param *p = rn_net_param(net, i);
        size_t bytes = (size_t)p->count * sizeof(float);
        float *want = golden(f, "grad.", p->name, p->count), *mem = malloc(bytes), *file = malloc(bytes);
        assert_non_null(mem);
        assert_non_null(file);
        done(be->copy(be, mem, p->grad, bytes, RN_COPY_D2H, NULL));
        done(be->sync ? be->sync(be, NULL) : 0);
        rn_param_to_file(p, mem, file);
        hold(p->name, file, want, p->count, tol);
        free(want);
        free(mem);
        free(file);
    }
}

static void run(rn_dtype dtype, int threads, double tol, double grad_tol)
{
    rn_backend *be = NULL;
    rn_net *net = NULL;
    rn_st_file *f = NULL;
    rn_net_result r;
    float logits[BATCH * CLASSES], losses[BATCH];
    int32_t labels[BATCH];
    char path[1024];
    const char *root = getenv("RNKIT_TESTS");
    snprintf(path, sizeof path, "%s/golden/ops.safetensors", root ? root : "tests");
    done(rn_st_open(path, &f, NULL));
    done(rn_backend_open(rn_backends, test_device(), &(rn_backend_opts){.threads = threads}, &be));
    done(rn_net_open(be, &spec, &(rn_net_opts){.batch = BATCH, .train = true, .dtype = dtype}, &net));
    load(net, be, f);
    float *input = golden(f, "", "input", (int64_t)BATCH * H * W * 3), *y = golden(f, "", "labels", BATCH);
    float *want_logits = golden(f, "", "logits", BATCH * CLASSES), *want_losses = golden(f, "", "losses", BATCH);
    for (int i = 0; i < BATCH; i++)
        labels[i] = (int32_t)y[i];
    for (int pass = 0; pass < 2; pass++) { /* what a pass leaves behind must not change the next */
        done(rn_net_train_batch_f32(net, input, labels, BATCH, &r));
        done(rn_net_outputs(net, logits, losses));
        hold("logits", logits, want_logits, BATCH * CLASSES, tol);
        hold("losses", losses, want_losses, BATCH, tol);
        hold_gradients(net, be, f, grad_tol);
        done(rn_net_eval_batch_f32(net, input, labels, BATCH, &r));
        done(rn_net_outputs(net, logits, losses));
        hold("logits in evaluation", logits, want_logits, BATCH * CLASSES, tol);
    }
    rn_net *shared = NULL;
    done(rn_net_open_shared(net, BATCH, 0, 0, &shared)); /* planned for evaluation: values are written over others */
    done(rn_net_eval_batch_f32(shared, input, labels, BATCH, &r));
    done(rn_net_outputs(shared, logits, losses));
    hold("logits of an evaluation net", logits, want_logits, BATCH * CLASSES, tol);
    rn_net_close(shared);
    rn_net_close(net);
    rn_backend_close(be);
    rn_st_close(f);
    free(input);
    free(y);
    free(want_logits);
    free(want_losses);
}

static void test_f32(void **state)
{
    (void)state;
    run(RN_F32, 1, 2e-6, 1e-5);
    run(RN_F32, 2, 2e-6, 1e-5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f32),
    };
    return cmocka_run_group_tests_name("ops", tests, NULL, NULL);
}
