/* SPDX-License-Identifier: MIT */
/* The net as a whole on the CPU backend: it learns, it repeats itself bit by bit, evaluation is what it says. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/rn_kernels.h"
#include "tiny_net.h"

static int make_batch(void **state)
{
    (void)state;
    draw_batch();
    return 0;
}

static rn_backend *open_cpu(int threads)
{
    rn_backend *be = NULL;
    done(rn_backend_open(rn_backends, "cpu", &(rn_backend_opts){.threads = threads}, &be));
    return be;
}

static rn_net *open_net(rn_backend *be, const rn_model_spec *spec, bool train)
{
    rn_net *net = NULL;
    done(rn_net_open(be, spec, &(rn_net_opts){.batch = BATCH, .train = train}, &net));
    done(rn_net_init(net, 1));
    return net;
}

static void eval_logits(rn_net *net, int n, float *logits, float *losses)
{
    rn_net_result r;
    done(rn_net_eval_batch(net, images, labels, n, &r));
    assert_int_equal(r.n, n);
    done(rn_net_outputs(net, logits, losses));
}

static float *read_values(rn_backend *be, const rn_param *p)
{
    float *v = malloc((size_t)p->count * sizeof *v);
    assert_non_null(v);
    done(be->copy(be, v, p->value, (size_t)p->count * sizeof *v, RN_COPY_D2H, NULL));
    return v;
}

/* A net that learns can learn one batch by heart. */
static void test_overfits_one_batch(void **state)
{
    (void)state;
    rn_backend *be = open_cpu(1);
    rn_net *net = open_net(be, &tiny, true);
    double first = train_step(net), last = 0;
    for (int i = 0; i < 40; i++)
        last = train_step(net);
    assert_true(first > 1.0 && first < 5.0);
    assert_true(last < 0.02);
    rn_net_result r;
    done(rn_net_train_batch(net, images, labels, BATCH, &r));
    assert_int_equal(r.top1, BATCH);
    rn_net_close(net);
    rn_backend_close(be);
}

static void test_repeats_bit_by_bit(void **state)
{
    (void)state;
    rn_backend *be = open_cpu(2);
    rn_net *a = open_net(be, &tiny, true), *b = open_net(be, &tiny, true);
    for (int i = 0; i < 4; i++) {
        double la = train_step(a), lb = train_step(b);
        assert_memory_equal(&la, &lb, sizeof la);
    }
    for (int i = 0; i < rn_net_nparams(a); i++) {
        const rn_param *p = rn_net_param(a, i);
        float *x = read_values(be, p), *y = read_values(be, rn_net_param(b, i));
        assert_memory_equal(x, y, (size_t)p->count * sizeof *x);
        free(x);
        free(y);
    }
    rn_net_close(a);
    rn_net_close(b);
    rn_backend_close(be);
}

static void test_partial_batch(void **state)
{
    (void)state;
    rn_backend *be = open_cpu(1);
    rn_net *net = open_net(be, &tiny, true);
    for (int i = 0; i < 3; i++)
        train_step(net);
    float full[BATCH * CLASSES], part[BATCH * CLASSES], loss[BATCH], part_loss[BATCH];
    eval_logits(net, BATCH, full, loss);
    for (int n = 1; n < BATCH; n += 2) {
        eval_logits(net, n, part, part_loss);
        assert_memory_equal(part, full, (size_t)n * CLASSES * sizeof *full);
        assert_memory_equal(part_loss, loss, (size_t)n * sizeof *loss);
    }
    rn_net_close(net);
    rn_backend_close(be);
}

/* However few the classes: a NaN is no guess. */
static void test_nan_is_never_right(void **state)
{
    (void)state;
    rn_backend *be = open_cpu(1);
    rn_model_spec three = tiny;
    three.classes = 3;
    rn_net *net = open_net(be, &three, false);
    const int32_t zeros[BATCH] = {0};
    const float nan = NAN;
    rn_net_result r;
    done(rn_net_eval_batch(net, images, zeros, BATCH, &r));
    assert_int_equal(r.top5, BATCH);
    done(be->copy(be, rn_net_find(net, "fc.bias")->value, &nan, sizeof nan, RN_COPY_H2D, NULL));
    done(rn_net_params_changed(net));
    done(rn_net_eval_batch(net, images, zeros, BATCH, &r));
    assert_int_equal(r.top1, 0);
    assert_int_equal(r.top5, 0);
    assert_true(isnan(r.loss_sum));
    rn_net_close(net);
    rn_backend_close(be);
}

/* The shared net sees every change of the owner's weights, whichever is closed first. */
static void test_shared_evaluation(void **state)
{
    (void)state;
    rn_backend *be = open_cpu(1);
    for (int owner_first = 0; owner_first < 2; owner_first++) {
        rn_net *net = open_net(be, &tiny, true), *eval = NULL, *larger = NULL;
        done(rn_net_open_shared(net, BATCH, 0, 0, &eval));
        done(rn_net_open_shared(net, 2, 24, 20, &larger));
        float want[BATCH * CLASSES], got[BATCH * CLASSES], before[BATCH * CLASSES];
        eval_logits(eval, BATCH, before, NULL);
        for (int i = 0; i < 2; i++) {
            train_step(net);
            eval_logits(net, BATCH, want, NULL);
            eval_logits(eval, BATCH, got, NULL);
            assert_memory_equal(got, want, sizeof want);
            assert_memory_not_equal(got, before, sizeof got);
        }
        rn_net_result r;
        done(rn_net_eval_batch(larger, images, labels, 2, &r)); /* 2 x 24 x 20 x 3 of the same bytes */
        assert_true(isfinite(r.loss_sum));
        assert_int_equal(rn_net_eval_batch(larger, images, labels, 3, &r), RN_E_RANGE);
        rn_net_memory train_use, eval_use;
        rn_net_memory_use(net, &train_use);
        rn_net_memory_use(eval, &eval_use);
        assert_true(eval_use.activations < train_use.activations / 3);
        assert_true(eval_use.activations < eval_use.unshared);
        rn_net_close(owner_first ? net : eval);
        if (owner_first) {
            eval_logits(eval, BATCH, got, NULL);
            assert_memory_equal(got, want, sizeof want);
        }
        rn_net_close(owner_first ? eval : net);
        rn_net_close(larger);
    }
    rn_backend_close(be);
}

static int refuse_alloc(rn_backend *be, size_t bytes, void **out)
{
    (void)be;
    (void)out;
    return rn_fail(RN_E_NOMEM, "%zu bytes in the training loop", bytes);
}

static void test_step_allocates_nothing(void **state)
{
    (void)state;
    rn_backend *be = open_cpu(1);
    rn_net *net = open_net(be, &tiny, true);
    int (*alloc)(rn_backend *, size_t, void **) = be->alloc;
    be->alloc = refuse_alloc;
    for (int i = 0; i < 2; i++)
        train_step(net);
    be->alloc = alloc;
    rn_net_close(net);
    rn_backend_close(be);
}

static void check_init(rn_backend *be, rn_net *net, const char *name, double mean, double std, double bound)
{
    const rn_param *p = rn_net_find(net, name);
    assert_non_null(p);
    float *v = read_values(be, p);
    double sum = 0, squares = 0, n = (double)p->count, most = 0;
    for (int64_t i = 0; i < p->count; i++) {
        sum += (double)v[i];
        squares += (double)v[i] * (double)v[i];
        most = fmax(most, fabs((double)v[i]));
    }
    double m = sum / n, s = sqrt(fmax(0, squares / n - m * m));
    assert_true(fabs(m - mean) <= 4 * std / sqrt(n));
    assert_true(fabs(s - std) <= 4 * std / sqrt(n)); /* s.e. of a deviation: below std / sqrt(n) */
    assert_true(most <= bound);
    free(v);
}

static void test_initialisation(void **state)
{
    (void)state;
    rn_backend *be = open_cpu(1);
    rn_model_spec spec = tiny;
    spec.width = 0.5;
    spec.classes = 100;
    spec.zero_gamma = true;
    rn_net *net = open_net(be, &spec, true);
    double he = sqrt(2.0 / (64 * 9)), linear = 1 / sqrt(256.0);
    check_init(be, net, "layer2.1.conv2.weight", 0, he, 7 * he);
    check_init(be, net, "layer2.0.downsample.0.weight", 0, sqrt(2.0 / 64), 7 * sqrt(2.0 / 64));
    check_init(be, net, "fc.weight", 0, linear / sqrt(3), linear);
    check_init(be, net, "fc.bias", 0, linear / sqrt(3), linear);
    check_init(be, net, "layer3.0.bn1.weight", 1, 0, 1);
    check_init(be, net, "layer3.0.bn2.weight", 0, 0, 0); /* the last of a block */
    check_init(be, net, "layer3.0.bn2.bias", 0, 0, 0);
    check_init(be, net, "layer3.0.bn2.running_mean", 0, 0, 0);
    check_init(be, net, "layer3.0.bn2.running_var", 1, 0, 1);
    assert_null(rn_net_find(net, "layer5.0.bn2.weight"));
    const rn_param *p = rn_net_find(net, "conv1.weight");
    float *one = read_values(be, p);
    done(rn_net_init(net, 2));
    float *two = read_values(be, p);
    done(rn_net_init(net, 1));
    float *again = read_values(be, p);
    assert_memory_not_equal(one, two, (size_t)p->count * sizeof *one);
    assert_memory_equal(one, again, (size_t)p->count * sizeof *one);
    free(one);
    free(two);
    free(again);
    rn_net_close(net);
    rn_backend_close(be);
}

/* Pixels through the device's normalisation, and the same values normalised by hand. */
static void test_pixels_and_values_agree(void **state)
{
    (void)state;
    static const double mean[3] = {0.485, 0.456, 0.406}, std[3] = {0.229, 0.224, 0.225};
    static float input[PIXELS];
    for (int i = 0; i < PIXELS; i++)
        input[i] = (float)((images[i] / 255.0 - mean[i % 3]) / std[i % 3]);
    rn_backend *be = open_cpu(1);
    rn_net *net = open_net(be, &tiny, false);
    float a[BATCH * CLASSES], b[BATCH * CLASSES];
    rn_net_result ra, rb;
    eval_logits(net, BATCH, a, NULL);
    done(rn_net_eval_batch(net, images, labels, BATCH, &ra));
    done(rn_net_eval_batch_f32(net, input, labels, BATCH, &rb));
    done(rn_net_outputs(net, b, NULL));
    for (int i = 0; i < BATCH * CLASSES; i++)
        assert_true(fabsf(a[i] - b[i]) <= 1e-5f * (1 + fabsf(a[i])));
    assert_true(fabs(ra.loss_sum - rb.loss_sum) <= 1e-4);
    assert_int_equal(ra.top1, rb.top1);
    assert_int_equal(ra.top5, BATCH); /* four classes */
    rn_net_close(net);
    rn_backend_close(be);
}

static void test_refusals(void **state)
{
    (void)state;
    rn_backend *be = open_cpu(1);
    rn_net *net = open_net(be, &tiny, true), *eval = open_net(be, &tiny, false), *none = NULL;
    rn_net_result r;
    assert_int_equal(rn_net_train_batch(net, images, labels, BATCH - 1, &r), RN_E_RANGE);
    assert_int_equal(rn_net_eval_batch(net, images, labels, 0, &r), RN_E_RANGE);
    assert_int_equal(rn_net_eval_batch(net, images, labels, BATCH + 1, &r), RN_E_RANGE);
    assert_int_equal(rn_net_train_batch(eval, images, labels, BATCH, &r), RN_E_UNSUPPORTED);
    assert_int_equal(rn_optim_sgd(eval, &sgd), RN_E_UNSUPPORTED);
    int32_t bad[BATCH] = {0, 1, 2, CLASSES};
    assert_int_equal(rn_net_eval_batch(net, images, bad, BATCH, &r), RN_E_RANGE);
    assert_non_null(strstr(rn_error_text(), "label 4 of image 3"));
    bad[3] = -1;
    assert_int_equal(rn_net_train_batch(net, images, bad, BATCH, &r), RN_E_RANGE);

    rn_net_opts o = {.batch = BATCH, .dtype = RN_U8};
    assert_int_equal(rn_net_open(be, &tiny, &o, &none), RN_E_UNSUPPORTED);
    o = (rn_net_opts){.batch = BATCH, .label_smoothing = NAN};
    assert_int_equal(rn_net_open(be, &tiny, &o, &none), RN_E_RANGE);
    o = (rn_net_opts){.batch = BATCH, .std = (const float[3]){1, 0, 1}};
    assert_int_equal(rn_net_open(be, &tiny, &o, &none), RN_E_RANGE);
    o = (rn_net_opts){.batch = BATCH, .select = {.pattern = "no:such*"}};
    assert_int_equal(rn_net_open(be, &tiny, &o, &none), RN_E_UNSUPPORTED);
    assert_non_null(strstr(rn_error_text(), "conv1"));
    rn_model_spec small = tiny;
    small.height = 8; /* 1x1 pixel in the last stage */
    o = (rn_net_opts){.batch = 1, .train = true};
    assert_int_equal(rn_net_open(be, &small, &o, &none), RN_E_RANGE);
    assert_non_null(strstr(rn_error_text(), "layer4.0"));
    o = (rn_net_opts){.batch = 0};
    assert_int_equal(rn_net_open(be, &tiny, &o, &none), RN_E_RANGE);
    assert_null(none);
    rn_net_close(NULL);
    rn_net_close(net);
    rn_net_close(eval);
    rn_backend_close(be);
}

static void test_choices(void **state)
{
    (void)state;
    rn_backend *be = open_cpu(1);
    rn_net *net = NULL;
    rn_net_opts o = {.batch = 2, .train = true, .select = {.pattern = "ref"}};
    done(rn_net_open(be, &tiny, &o, &net));
    int by_dir[3] = {0};
    for (int i = 0; i < rn_net_nchoices(net); i++) {
        const rn_net_choice *c = rn_net_choice_at(net, i);
        assert_string_equal(c->choice.algo->name, "ref");
        assert_false(c->dir == RN_BWD_D && strcmp(c->layer, "conv1") == 0); /* pixels need no gradient */
        by_dir[c->dir]++;
    }
    assert_int_equal(by_dir[RN_FWD], 20);
    assert_int_equal(by_dir[RN_BWD_D], 19);
    assert_int_equal(by_dir[RN_BWD_W], 20);
    assert_null(rn_net_choice_at(net, rn_net_nchoices(net)));
    rn_net_close(net);
    rn_backend_close(be);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overfits_one_batch), cmocka_unit_test(test_repeats_bit_by_bit),
        cmocka_unit_test(test_partial_batch),      cmocka_unit_test(test_nan_is_never_right),
        cmocka_unit_test(test_shared_evaluation),  cmocka_unit_test(test_step_allocates_nothing),
        cmocka_unit_test(test_initialisation),     cmocka_unit_test(test_pixels_and_values_agree),
        cmocka_unit_test(test_refusals),           cmocka_unit_test(test_choices),
    };
    return cmocka_run_group_tests(tests, make_batch, NULL);
}
