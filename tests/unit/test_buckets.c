/* SPDX-License-Identifier: MIT */
/* Gradients in pieces: every one of them in one piece, none of which is sent before all that lies in it is made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rn_error.h"
#include "kernels/rn_kernels.h"
#include "nn/graph/rn_buckets.h"
#include "nn/graph/rn_exec.h"

enum { BATCH = 2, SIDE = 16, CLASSES = 5 };

static void done(int rc)
{
    if (rc < 0)
        fail_msg("%s: %s", rn_status_name(rc), rn_error_text());
}

static rn_net *open_net(rn_backend *be, const char *arch)
{
    const bool caffe = strcmp(arch, "caffenet") == 0;
    const rn_model_spec spec = {.arch = arch,
                                .stem = caffe ? RN_STEM_IMAGENET : RN_STEM_CIFAR,
                                .width = 0.125,
                                .classes = CLASSES,
                                .channels = 3,
                                .height = caffe ? 227 : SIDE,
                                .dropout = -1};
    const rn_net_opts opts = {.batch = BATCH, .train = true};
    rn_net *net;
    done(rn_net_open(be, &spec, &opts, &net));
    done(rn_net_init(net, 1));
    return net;
}

/* Each float once; in the order of the pass. */
static void check_cover(const rn_bucket *b, int count, int64_t split, int64_t n, int64_t most)
{
    unsigned char *seen = calloc((size_t)n, 1);
    assert_non_null(seen);
    for (int i = 0; i < count; i++) {
        assert_true(b[i].count > 0 && b[i].at >= 0 && b[i].at + b[i].count <= n);
        assert_true(b[i].count <= most || b[i].at == split);
        assert_true(i == 0 || b[i].node <= b[i - 1].node);
        for (int64_t k = 0; k < b[i].count; k++)
            seen[b[i].at + k]++;
    }
    for (int64_t k = 0; k < n; k++)
        assert_int_equal(seen[k], 1);
    free(seen);
}

/* As if a pass had come down to node `stop`, for each of them: what nodes before it make is NaN. The bucket is whole from its node
 * on, and not a node earlier. Returns how many were tried. */
static int stop_everywhere(rn_net *net, const rn_bucket *b, float *left)
{
    const rn_weights *w = net->weights;
    const int64_t n = w->n_decay + w->n_spared;
    int nodes = 0;
    for (int stop = net->graph.nnodes; stop >= 0; stop--) {
        memcpy(left, w->grads, (size_t)n * sizeof *left);
        for (int i = 0; i < stop; i++) {
            const rn_node *node = &net->graph.nodes[i];
            const int of[] = {node->param, node->kind == RN_NODE_BN ? node->param + 1 : -1, node->bias};
            for (int k = 0; k < 3; k++)
                if (of[k] >= 0)
                    memset(left + (net->graph.params[of[k]].grad - w->grads), 0xff,
                           (size_t)net->graph.params[of[k]].count * sizeof *left);
        }
        bool whole = true;
        for (int64_t k = 0; k < b->count; k++)
            whole = whole && left[b->at + k] == left[b->at + k];
        assert_int_equal(whole, stop <= b->node);
        nodes++;
    }
    return nodes;
}

static void check_arch(const char *arch)
{
    static const int64_t sizes[] = {16, 1000, 4096, 1 << 30};
    static unsigned char images[BATCH * 227 * 227 * 3];
    const rn_backend_opts bo = {.threads = 1};
    const int32_t labels[BATCH] = {1, 3};
    rn_backend *be;
    rn_net_result res;
    done(rn_backend_open(rn_backends, "cpu", &bo, &be));
    rn_net *net = open_net(be, arch);
    const rn_weights *w = net->weights;
    const int64_t n = w->n_decay + w->n_spared;
    float *left = malloc((size_t)n * sizeof *left);
    assert_non_null(left);
    for (size_t i = 0; i < sizeof images; i++)
        images[i] = (unsigned char)(i * 31 % 251);
    done(rn_net_train_batch(net, images, labels, BATCH, &res));
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        rn_bucket *b;
        int count;
        done(rn_buckets_cut(&net->graph, w->grads, w->n_decay, n, sizes[s], &b, &count));
        assert_int_equal(count, (w->n_decay + sizes[s] - 1) / sizes[s] + (w->n_spared > 0));
        check_cover(b, count, w->n_decay, n, sizes[s]);
        for (int i = 0; i < count; i += 1 + count / 20)
            assert_int_equal(stop_everywhere(net, &b[i], left), net->graph.nnodes + 1);
        if (sizes[s] == 1000) /* most of it goes before the pass is over */
            assert_true(b[count / 2].node > net->graph.nnodes / 4);
        free(b);
    }
    free(left);
    rn_net_close(net);
    rn_backend_close(be);
}

static void test_resnet(void **state)
{
    (void)state;
    check_arch("resnet18");
}

static void test_bottlenecks(void **state)
{
    (void)state;
    check_arch("resnet50");
}

/* A linear layer is larger than all others; a weight belongs to two nodes, one a group. */
static void test_groups(void **state)
{
    (void)state;
    check_arch("caffenet");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resnet),
        cmocka_unit_test(test_bottlenecks),
        cmocka_unit_test(test_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
