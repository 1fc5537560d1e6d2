/* SPDX-License-Identifier: MIT */
/*
 * A net with a teacher: the loss of a batch is what the two nets' own scores come to by the formula, from pixels and
 * from values, with mixed labels; evaluation knows no teacher; a student learns what its teacher says, not the labels.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rn_error.h"
#include "base/rn_rng.h"
#include "kernels/rn_kernels.h"
#include "nn/graph/rn_net.h"
#include "nn/optim/rn_optim.h"

enum { BATCH = 6, SIDE = 16, CLASSES = 5, PIXELS = BATCH * SIDE * SIDE * 3 };

static uint8_t images[PIXELS];
static int32_t labels[BATCH], others[BATCH];

static void done(int rc)
{
    if (rc < 0)
        fail_msg("%s: %s", rn_status_name(rc), rn_error_text());
}

typedef struct pair {
    rn_backend *be;
    rn_net *student, *teacher;
} pair;

static rn_net *open_net(rn_backend *be, const char *arch, bool train, uint64_t seed)
{
    rn_net *net = NULL;
    const rn_model_spec m = {
        .arch = arch, .stem = RN_STEM_CIFAR, .width = 0.125, .classes = CLASSES, .channels = 3, .height = SIDE};
    done(rn_net_open(be, &m, &(rn_net_opts){.batch = BATCH, .train = train}, &net));
    done(rn_net_init(net, seed));
    return net;
}

static pair open_pair(void)
{
    pair p = {0};
    rn_rng r;
    rn_rng_seed(&r, 11, RN_STREAM_TEST, 0, 0);
    for (int i = 0; i < PIXELS; i++)
        images[i] = (uint8_t)rn_rng_below(&r, 256);
    for (int i = 0; i < BATCH; i++) {
        labels[i] = i % CLASSES;
        others[i] = (i + 2) % CLASSES;
    }
    done(rn_backend_open(rn_backends, "cpu", &(rn_backend_opts){.threads = 1}, &p.be));
    p.student = open_net(p.be, "resnet18", true, 1);
    p.teacher = open_net(p.be, "resnet50", false, 2);
    return p;
}

static void close_pair(pair *p)
{
    rn_net_close(p->student);
    rn_net_close(p->teacher);
    rn_backend_close(p->be);
}

static void log_softmax(const float *z, double t, double *out)
{
    double max = (double)z[0], sum = 0;
    for (int j = 1; j < CLASSES; j++)
        max = fmax(max, (double)z[j]);
    for (int j = 0; j < CLASSES; j++)
        sum += exp(((double)z[j] - max) / t);
    for (int j = 0; j < CLASSES; j++)
        out[j] = ((double)z[j] - max) / t - log(sum);
}

/* Sum over the batch, from the scores of both. */
static double expected(const float *z, const float *r, double share, double t, double hard, double soft)
{
    double total = 0;
    for (int i = 0; i < BATCH; i++) {
        double p[CLASSES], ps[CLASSES], rs[CLASSES], kl = 0;
        log_softmax(z + (size_t)i * CLASSES, 1, p);
        log_softmax(z + (size_t)i * CLASSES, t, ps);
        log_softmax(r + (size_t)i * CLASSES, t, rs);
        for (int j = 0; j < CLASSES; j++)
            kl += exp(rs[j]) * (rs[j] - ps[j]);
        total += hard * -(share * p[labels[i]] + (1 - share) * p[others[i]]) + soft * t * t * kl;
    }
    return total;
}

static void loss_is_the_formulas(void **state)
{
    (void)state;
    pair p = open_pair();
    float z[BATCH * CLASSES], r[BATCH * CLASSES];
    rn_net_result res, alone;
    done(rn_net_eval_batch(p.teacher, images, labels, BATCH, &res));
    done(rn_net_outputs(p.teacher, r, NULL));
    done(rn_net_train_batch(p.student, images, labels, BATCH, &alone));
    const rn_distill d = {.teacher = p.teacher, .temperature = 3, .hard = 0.25f, .soft = 0.75f};
    done(rn_net_distill(p.student, &d));
    done(rn_net_train_batch(p.student, images, labels, BATCH, &res));
    done(rn_net_outputs(p.student, z, NULL));
    double want = expected(z, r, 1, 3, 0.25, 0.75);
    assert_true(fabs(res.loss_sum - want) <= 1e-5 * want);
    assert_true(fabs(res.loss_sum - alone.loss_sum) > 0.01 * want);
    done(rn_net_train_batch_mixed(p.student, images, labels, others, 0.7f, BATCH, &res));
    done(rn_net_outputs(p.student, z, NULL));
    want = expected(z, r, 0.7, 3, 0.25, 0.75);
    assert_true(fabs(res.loss_sum - want) <= 1e-5 * want);

    static float values[PIXELS]; /* the same pixels, normalised here */
    static const double mean[] = {0.485, 0.456, 0.406}, std[] = {0.229, 0.224, 0.225};
    for (int i = 0; i < PIXELS; i++)
        values[i] = (float)((images[i] / 255.0 - mean[i % 3]) / std[i % 3]);
    done(rn_net_train_batch_f32(p.student, values, labels, BATCH, &res));
    done(rn_net_outputs(p.student, z, NULL));
    want = expected(z, r, 1, 3, 0.25, 0.75);
    assert_true(fabs(res.loss_sum - want) <= 1e-4 * want);

    rn_net_result with, without;
    done(rn_net_eval_batch(p.student, images, labels, BATCH, &with));
    done(rn_net_distill(p.student, &(rn_distill){0}));
    done(rn_net_eval_batch(p.student, images, labels, BATCH, &without));
    assert_true(with.loss_sum == without.loss_sum);
    close_pair(&p);
}

/* With the teacher alone in the loss, the student's scores come to rank the classes as the teacher's do. */
static void student_learns_the_teacher(void **state)
{
    (void)state;
    pair p = open_pair();
    float z[BATCH * CLASSES], r[BATCH * CLASSES];
    rn_net_result res;
    double first = 0;
    done(rn_net_eval_batch(p.teacher, images, labels, BATCH, &res));
    done(rn_net_outputs(p.teacher, r, NULL));
    const rn_distill d = {.teacher = p.teacher, .temperature = 2, .hard = 0, .soft = 1};
    done(rn_net_distill(p.student, &d));
    for (int i = 0; i < 60; i++) {
        done(rn_net_train_batch(p.student, images, labels, BATCH, &res));
        first = i ? first : res.loss_sum;
        done(rn_optim_sgd(p.student, &(rn_sgd_opts){.lr = 0.05f, .momentum = 0.9f}));
    }
    assert_true(res.loss_sum < 0.05 * first);
    done(rn_net_train_batch(p.student, images, labels, BATCH, &res));
    done(rn_net_outputs(p.student, z, NULL));
    for (int i = 0; i < BATCH; i++) {
        int best_z = 0, best_r = 0;
        for (int j = 1; j < CLASSES; j++) {
            best_z = z[i * CLASSES + j] > z[i * CLASSES + best_z] ? j : best_z;
            best_r = r[i * CLASSES + j] > r[i * CLASSES + best_r] ? j : best_r;
        }
        assert_int_equal(best_z, best_r);
    }
    close_pair(&p);
}

static void unfit_teachers(void **state)
{
    (void)state;
    pair p = open_pair();
    rn_net *other = NULL;
    rn_model_spec m = {.arch = "resnet18",
                       .stem = RN_STEM_CIFAR,
                       .width = 0.125,
                       .classes = CLASSES + 1,
                       .channels = 3,
                       .height = SIDE};
    done(rn_net_open(p.be, &m, &(rn_net_opts){.batch = BATCH}, &other));
    assert_int_equal(rn_net_distill(p.student, &(rn_distill){other, 1, 1, 1}), RN_E_MISMATCH);
    assert_non_null(strstr(rn_error_text(), "6 classes apart, the model 5"));
    rn_net_close(other);
    m.classes = CLASSES;
    m.height = 2 * SIDE;
    done(rn_net_open(p.be, &m, &(rn_net_opts){.batch = BATCH}, &other));
    assert_int_equal(rn_net_distill(p.student, &(rn_distill){other, 1, 1, 1}), RN_E_MISMATCH);
    rn_net_close(other);
    assert_int_equal(rn_net_distill(p.student, &(rn_distill){p.teacher, 0, 1, 1}), RN_E_RANGE);
    assert_int_equal(rn_net_distill(p.student, &(rn_distill){p.teacher, NAN, 1, 1}), RN_E_RANGE);
    close_pair(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(loss_is_the_formulas),
                                       cmocka_unit_test(student_learns_the_teacher), cmocka_unit_test(unfit_teachers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
