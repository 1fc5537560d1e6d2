/* SPDX-License-Identifier: MIT */
/* Checkpoints: to the bit and back, torchvision's layout, damage of any byte noticed, the one before used. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "kernels/rn_kernels.h"
#include "run/save/rn_checkpoint.h"

static rn_backend *be;

static rn_net *open_net(int classes)
{
    const rn_model_spec m = {
        .arch = "resnet18", .stem = RN_STEM_CIFAR, .width = 0.125, .classes = classes, .channels = 3, .height = 8};
    const rn_net_opts o = {.batch = 2, .train = true};
    rn_net *net;
    if (rn_net_open(be, &m, &o, &net) < 0)
        fail_msg("%s", rn_error_text());
    return net;
}

/* Every value of every part different, so that a swap of two would show. */
static void fill(rn_net *net, float from)
{
    for (int i = 0; i < rn_net_nparams(net); i++) {
        rn_param *p = rn_net_param(net, i);
        for (int64_t k = 0; k < p->count; k++) {
            p->value[k] = from++;
            if (p->momentum)
                p->momentum[k] = -from;
        }
    }
}

static void same_nets(rn_net *a, rn_net *b)
{
    assert_int_equal(rn_net_nparams(a), rn_net_nparams(b));
    for (int i = 0; i < rn_net_nparams(a); i++) {
        rn_param *p = rn_net_param(a, i), *q = rn_net_param(b, i);
        assert_string_equal(p->name, q->name);
        assert_memory_equal(p->value, q->value, (size_t)p->count * sizeof(float));
        if (p->momentum)
            assert_memory_equal(p->momentum, q->momentum, (size_t)p->count * sizeof(float));
    }
}

static const rn_run_texts texts = {.recipe = "lr = 0.1\n", .train_seal = "aa", .val_seal = "bb"};

static rn_net *average; /* what write_at saves beside the net; NULL: nothing */

static void write_at(rn_net *net, int64_t epoch, int64_t step, int64_t pending)
{
    rn_run_state s = {.epoch = epoch, .step = step, .eval_pending = pending, .threads = 2, .batches = 3 * step};
    s.window.loss = 0.1 + 0.2;
    s.last.top1 = 1.0 / 3;
    s.log_bytes = INT64_MAX;
    s.plateau = (rn_plateau){.first = 0.1, .lr = 0.1 * 0.3, .best = NAN, .bad = 3, .cooldown = 2};
    s.first_loss = 2.0 / 3;
    s.diverging = 7;
    if (rn_ckpt_write("run", net, average, be, &s, &texts, NULL, 0) < 0)
        fail_msg("%s", rn_error_text());
}

static void fresh(void)
{
    assert_int_equal(system("rm -rf run"), 0);
    assert_int_equal(mkdir("run", 0777), 0);
}

static void to_the_bit(void **state)
{
    (void)state;
    fresh();
    rn_net *a = open_net(3), *b = open_net(3);
    fill(a, 1);
    fill(b, 1000000);
    write_at(a, 2, 40, 0);
    char path[512];
    assert_int_equal(rn_ckpt_latest("run", path, sizeof path), 1);
    assert_string_equal(path, "run/checkpoints/e00002-s0000000040");
    rn_ckpt c;
    assert_int_equal(rn_ckpt_open(path, &c), 0);
    assert_int_equal(c.state.step, 40);
    assert_true(c.state.window.loss == 0.1 + 0.2);
    assert_true(c.state.last.top1 == 1.0 / 3);
    assert_true(c.state.log_bytes == INT64_MAX);
    assert_true(c.state.plateau.first == 0.1 && c.state.plateau.lr == 0.1 * 0.3 && isnan(c.state.plateau.best));
    assert_true(c.state.plateau.bad == 3 && c.state.plateau.cooldown == 2);
    assert_true(c.state.first_loss == 2.0 / 3 && c.state.diverging == 7);
    assert_string_equal(c.texts.recipe, "lr = 0.1\n");
    assert_int_equal(rn_ckpt_restore(&c, b, NULL, be), 0);
    same_nets(a, b);

    /* OIHW in the file: the value at (o, i, y, x) is the memory's at (o, y, x, i). */
    const rn_param *p = rn_net_find(a, "layer1.0.conv1.weight");
    const rn_st_tensor *t = rn_st_find(c.weights, "layer1.0.conv1.weight");
    assert_int_equal(t->dim[2], 3);
    float *file = malloc(t->bytes);
    assert_int_equal(rn_st_read_f32(t, file), 0);
    int64_t ic = p->dim[3], at = ((2 * ic + 5) * 3 + 1) * 3 + 2;
    assert_true(file[at] == p->value[((2 * 3 + 1) * 3 + 2) * ic + 5]);
    free(file);
    int64_t tracked;
    t = rn_st_find(c.weights, "layer4.1.bn2.num_batches_tracked");
    assert_non_null(t);
    assert_int_equal(t->nd, 0);
    memcpy(&tracked, t->data, sizeof tracked);
    assert_int_equal(tracked, 120); /* batches, of which a step had three */
    rn_ckpt_close(&c);
    rn_net_close(a);
    rn_net_close(b);
}

static void flip_byte(const char *path, int64_t at)
{
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, at, SEEK_SET), 0);
    int c = fgetc(f);
    assert_int_equal(fseek(f, at, SEEK_SET), 0);
    fputc(c ^ 1, f);
    fclose(f);
}

static void damage(void **state)
{
    (void)state;
    static const char *const files[] = {"weights.safetensors", "state.safetensors", "digests.json"};
    rn_net *a = open_net(3);
    fill(a, 1);
    char path[512];
    for (int k = 0; k < 3; k++) {
        fresh();
        write_at(a, 0, 5, 0);
        write_at(a, 1, 9, 0);
        char file[512];
        snprintf(file, sizeof file, "run/checkpoints/e00001-s0000000009/%s", files[k]);
        int64_t size = rn_file_size(file);
        assert_true(size > 0);
        flip_byte(file, k == 2 ? 0 : size / 2);
        assert_int_equal(rn_ckpt_latest("run", path, sizeof path), 1);
        assert_string_equal(path, "run/checkpoints/e00000-s0000000005");
        flip_byte(file, k == 2 ? 0 : size / 2);
        assert_int_equal(rn_ckpt_latest("run", path, sizeof path), 1);
        assert_string_equal(path, "run/checkpoints/e00001-s0000000009");
        assert_int_equal(truncate(file, size - 1), 0);
        assert_int_equal(rn_ckpt_verify(path) < 0, 1);
        assert_int_equal(unlink(file), 0);
        assert_int_equal(rn_ckpt_latest("run", path, sizeof path), 1);
        assert_string_equal(path, "run/checkpoints/e00000-s0000000005");
        assert_int_equal(system("rm run/checkpoints/e00000-s0000000005/digests.json"), 0);
        assert_int_equal(rn_ckpt_latest("run", path, sizeof path), RN_E_MISMATCH);
    }
    fresh();
    assert_int_equal(rn_ckpt_latest("run", path, sizeof path), 0);
    /* What cannot be read is not taken for nothing, which would be started over. */
    assert_int_equal(system("mkdir -p run && : >run/checkpoints"), 0);
    assert_true(rn_ckpt_latest("run", path, sizeof path) < 0);
    fresh();
    rn_net_close(a);
}

/* A list that is JSON, but not that of this checkpoint. */
static void damaged_lists(void **state)
{
    (void)state;
    static const char list[] = "run/checkpoints/e00001-s0000000009/digests.json",
                      kept[] = "run/checkpoints/e00000-s0000000005";
    static const char *const lists[] = {"", "null", "[]", "{}",
                                        "{\"weights.safetensors\": 3, \"state.safetensors\": 3}"};
    rn_net *a = open_net(3);
    fill(a, 1);
    char path[512], *text, *bytes;
    size_t n;
    fresh();
    write_at(a, 0, 5, 0);
    write_at(a, 1, 9, 0);
    assert_int_equal(rn_read_text(list, 0, &text, &n), 0);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        assert_int_equal(rn_write_file_atomic(list, lists[i], strlen(lists[i])), 0);
        assert_int_equal(rn_ckpt_verify("run/checkpoints/e00001-s0000000009"), RN_E_FORMAT);
        assert_non_null(strstr(rn_error_text(), "digests.json is damaged"));
        assert_int_equal(rn_ckpt_latest("run", path, sizeof path), 1);
        assert_string_equal(path, kept);
    }
    bytes = strstr(text, "\"bytes\": ");
    assert_non_null(bytes);
    bytes[9] ^= 1; /* another size, the digest as it was */
    assert_int_equal(rn_write_file_atomic(list, text, n), 0);
    assert_int_equal(rn_ckpt_verify("run/checkpoints/e00001-s0000000009"), RN_E_MISMATCH);
    bytes[9] ^= 1;
    assert_int_equal(rn_write_file_atomic(list, text, n), 0);
    assert_int_equal(rn_ckpt_verify("run/checkpoints/e00001-s0000000009"), 0);
    /* An average that the list lacks: it would be left out unseen. */
    assert_int_equal(rn_write_file_atomic("run/checkpoints/e00001-s0000000009/ema.safetensors", "x", 1), 0);
    assert_int_equal(rn_ckpt_verify("run/checkpoints/e00001-s0000000009"), RN_E_FORMAT);
    free(text);

    /* Something else in a checkpoint's place is passed over, and goes when it is written over or not kept. */
    assert_int_equal(rn_write_file_atomic("run/checkpoints/e00001-s0000000010", "x", 1), 0);
    assert_int_equal(symlink("e00000-s0000000005", "run/checkpoints/e00001-s0000000011"), 0);
    assert_int_equal(rn_ckpt_latest("run", path, sizeof path), 1);
    assert_string_equal(path, "run/checkpoints/e00001-s0000000011");
    write_at(a, 1, 10, 0);
    assert_int_equal(rn_ckpt_verify("run/checkpoints/e00001-s0000000010"), 0);
    const rn_run_state s = {.epoch = 1, .step = 8};
    assert_int_equal(rn_ckpt_drop_newer("run", &s), 0);
    assert_int_equal(rn_ckpt_latest("run", path, sizeof path), 1);
    assert_string_equal(path, kept); /* what the link named is as it was */
    rn_net_close(a);
}

/* What is published has been looked at. */
static void publishing(void **state)
{
    (void)state;
    static const char dir[] = "run/checkpoints/e00001-s0000000009";
    rn_net *a = open_net(3);
    fill(a, 1);
    fresh();
    write_at(a, 1, 9, 0);
    assert_int_equal(rn_ckpt_publish(dir, false, "run/weights.safetensors"), 0);
    assert_int_equal(rn_ckpt_publish(dir, false, "run/weights.safetensors"), 0); /* the same file already */
    assert_int_equal(system("cmp run/weights.safetensors run/checkpoints/e00001-s0000000009/weights.safetensors && "
                            "[ -z \"$(find run -name '*.tmp.*')\" ]"),
                     0);
    assert_int_equal(unlink("run/weights.safetensors"), 0);
    flip_byte("run/checkpoints/e00001-s0000000009/weights.safetensors", 5000);
    assert_int_equal(rn_ckpt_publish(dir, false, "run/weights.safetensors"), RN_E_MISMATCH);
    assert_int_equal(rn_file_size("run/weights.safetensors") < 0, 1);
    rn_net_close(a);
}

/* A net of weights alone. */
static rn_net *open_average(void)
{
    const rn_model_spec m = {
        .arch = "resnet18", .stem = RN_STEM_CIFAR, .width = 0.125, .classes = 3, .channels = 3, .height = 8};
    const rn_net_opts o = {.batch = 2};
    rn_net *net;
    if (rn_net_open(be, &m, &o, &net) < 0)
        fail_msg("%s", rn_error_text());
    return net;
}

static void with_an_average(void **state)
{
    (void)state;
    static const char ema[] = "run/checkpoints/e00001-s0000000009/ema.safetensors",
                      digests[] = "run/checkpoints/e00001-s0000000009/digests.json";
    rn_net *a = open_net(3), *b = open_net(3), *other = open_average();
    rn_ckpt c;
    char path[512], *text;
    size_t n;
    fresh();
    average = open_average();
    fill(a, 1);
    fill(average, 5000000);
    fill(b, 3);
    fill(other, 7);
    write_at(a, 0, 5, 0);
    write_at(a, 1, 9, 0);
    assert_int_equal(rn_ckpt_open("run/checkpoints/e00001-s0000000009", &c), 0);
    assert_int_equal(rn_ckpt_restore(&c, b, other, be), 0);
    rn_ckpt_close(&c);
    same_nets(a, b);
    same_nets(average, other);

    /* Any damage of it is seen, and so is its name's: the checkpoint would look like one without an average. */
    int64_t size = rn_file_size(ema);
    flip_byte(ema, size - 1);
    assert_int_equal(rn_ckpt_latest("run", path, sizeof path), 1);
    assert_string_equal(path, "run/checkpoints/e00000-s0000000005");
    flip_byte(ema, size - 1);
    assert_int_equal(rn_read_text(digests, 0, &text, &n), 0);
    const int64_t at = strstr(text, "ema.") - text;
    free(text);
    flip_byte(digests, at);
    assert_int_equal(rn_ckpt_latest("run", path, sizeof path), 1);
    assert_string_equal(path, "run/checkpoints/e00000-s0000000005");
    flip_byte(digests, at);
    assert_int_equal(rn_ckpt_latest("run", path, sizeof path), 1);
    assert_string_equal(path, "run/checkpoints/e00001-s0000000009");

    /* One without leaves the net alone. */
    rn_net *none = average;
    average = NULL;
    write_at(a, 2, 12, 0);
    assert_int_equal(rn_ckpt_open("run/checkpoints/e00002-s0000000012", &c), 0);
    assert_null(c.average);
    assert_int_equal(rn_ckpt_restore(&c, b, other, be), 0);
    rn_ckpt_close(&c);
    same_nets(none, other);
    rn_net_close(none);
    rn_net_close(other);
    rn_net_close(a);
    rn_net_close(b);
}

static void order_and_pruning(void **state)
{
    (void)state;
    fresh();
    rn_net *a = open_net(3);
    fill(a, 1);
    char path[512];
    write_at(a, 1, 10, 0);
    write_at(a, 1, 15, 0);
    write_at(a, 2, 20, 1); /* trained, not yet evaluated: comes before ... */
    assert_int_equal(rn_ckpt_latest("run", path, sizeof path), 1);
    assert_string_equal(path, "run/checkpoints/e00001-s0000000020");
    write_at(a, 2, 20, 0); /* ... the same step with its evaluation */
    assert_int_equal(rn_ckpt_latest("run", path, sizeof path), 1);
    assert_string_equal(path, "run/checkpoints/e00002-s0000000020");
    assert_int_equal(mkdir("run/checkpoints/.tmp-e00002-s0000000025", 0777), 0); /* a write that was killed */
    assert_int_equal(mkdir("run/checkpoints/mine", 0777), 0);                    /* none of ours */
    assert_int_equal(rn_ckpt_prune("run", 2, "e00001-s0000000010"), 0);
    assert_true(rn_is_dir("run/checkpoints/e00001-s0000000010"));
    assert_false(rn_is_dir("run/checkpoints/e00001-s0000000015"));
    assert_true(rn_is_dir("run/checkpoints/e00001-s0000000020"));
    assert_true(rn_is_dir("run/checkpoints/e00002-s0000000020"));
    assert_false(rn_is_dir("run/checkpoints/.tmp-e00002-s0000000025"));
    assert_true(rn_is_dir("run/checkpoints/mine"));
    const rn_run_state s = {.epoch = 1, .step = 10};
    assert_int_equal(rn_ckpt_drop_newer("run", &s), 0);
    assert_int_equal(rn_ckpt_latest("run", path, sizeof path), 1);
    assert_string_equal(path, "run/checkpoints/e00001-s0000000010");
    rn_net_close(a);
}

static void not_finite_is_refused(void **state)
{
    (void)state;
    fresh();
    rn_net *a = open_net(3);
    fill(a, 1);
    rn_net_find(a, "fc.weight")->value[3] = NAN;
    const rn_run_state s = {.step = 1};
    char path[512];
    assert_int_equal(rn_ckpt_write("run", a, NULL, be, &s, &texts, NULL, 0), RN_E_MISMATCH);
    assert_non_null(strstr(rn_error_text(), "fc.weight[3]"));
    assert_int_equal(rn_ckpt_latest("run", path, sizeof path), 0);
    rn_net_close(a);
}

/* The loss of an evaluation may be anything; the run goes on all the same. */
static void any_loss_of_an_evaluation(void **state)
{
    (void)state;
    static const double losses[] = {NAN, INFINITY};
    rn_net *a = open_net(3);
    fill(a, 1);
    for (int i = 0; i < 2; i++) {
        fresh();
        const rn_run_state s = {.epoch = 1, .step = 5, .last = {.n = 10, .top1 = 12.5, .loss = losses[i]}};
        char path[512];
        rn_ckpt c;
        assert_int_equal(rn_ckpt_write("run", a, NULL, be, &s, &texts, NULL, 0), 0);
        assert_int_equal(rn_ckpt_latest("run", path, sizeof path), 1);
        if (rn_ckpt_open(path, &c) < 0)
            fail_msg("%s", rn_error_text());
        assert_true(c.state.last.n == 10 && c.state.last.top1 == 12.5);
        assert_true(isnan(c.state.last.loss));
        rn_ckpt_close(&c);
    }
    rn_net_close(a);
}

static void other_models(void **state)
{
    (void)state;
    fresh();
    rn_net *a = open_net(3), *b = open_net(4);
    fill(a, 1);
    fill(b, 7);
    rn_buf buf = {0};
    assert_int_equal(rn_weightfile_build(a, be, RN_WEIGHTFILE_VALUES, 0, NULL, 0, &buf), 0);
    rn_st_file *f;
    assert_int_equal(rn_st_open_memory("w", (char *)buf.data, buf.n, &f), 0);
    float before = rn_net_param(b, 0)->value[0];
    assert_int_equal(rn_weightfile_load(b, be, RN_WEIGHTFILE_VALUES, f), RN_E_MISMATCH);
    assert_non_null(strstr(rn_error_text(), "fc.weight"));
    assert_non_null(strstr(rn_error_text(), "classes"));
    assert_true(rn_net_param(b, 0)->value[0] == before); /* nothing was half loaded */
    assert_int_equal(rn_weightfile_load(a, be, RN_WEIGHTFILE_VALUES, f), 0);
    rn_st_close(f);
    rn_net_close(a);
    rn_net_close(b);
}

int main(void)
{
    const rn_backend_opts o = {.threads = 1};
    char dir[] = "rn_ckpt_XXXXXX";
    if (rn_backend_open(rn_backends, "cpu", &o, &be) < 0 || !mkdtemp(dir) || chdir(dir) != 0) {
        fprintf(stderr, "cannot start: %s\n", rn_error_text());
        return 1;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(to_the_bit),
                                       cmocka_unit_test(damage),
                                       cmocka_unit_test(damaged_lists),
                                       cmocka_unit_test(publishing),
                                       cmocka_unit_test(with_an_average),
                                       cmocka_unit_test(order_and_pruning),
                                       cmocka_unit_test(not_finite_is_refused),
                                       cmocka_unit_test(any_loss_of_an_evaluation),
                                       cmocka_unit_test(other_models)};
    int failed = cmocka_run_group_tests_name("checkpoint", tests, NULL, NULL);
    rn_backend_close(be);
    return failed;
}
