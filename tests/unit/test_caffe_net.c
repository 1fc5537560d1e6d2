/* SPDX-License-Identifier: MIT */
/* What becomes of a prototxt's layers: counts of well-known nets, nodes that take several layers in, phases, both formats. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "nn/caffe/rn_caffe_net.h"
#include "nn/model/rn_model.h"

#define DATA(crop)                                                                                                     \
    "layer{name:'data' type:'Data' top:'data' top:'label' transform_param{crop_size:" crop                             \
    "} data_param{source:'x' batch_size:2 backend:LMDB}}\n"
#define LAYER(name, type, in, out, rest)                                                                               \
    "layer{name:'" name "' type:'" type "' bottom:'" in "' top:'" out "' " rest "}\n"
#define RELU(x) LAYER(x "_relu", "ReLU", x, x, "")
#define LOSS(x) "layer{name:'loss' type:'SoftmaxWithLoss' bottom:'" x "' bottom:'label'}\n"

static rn_caffe_net *open_net(const char *text)
{
    rn_caffe_net *n = NULL;
    if (rn_caffe_net_open("net", text, &n) < 0)
        fail_msg("%s", rn_error_text());
    return n;
}

/* Builds both phases for inputs of that size; the training graph. */
static void build(const char *text, int side, int channels, int classes, rn_graph *g)
{
    rn_caffe_net *n = open_net(text);
    const rn_model_spec spec = {.arch = "prototxt", .classes = classes, .channels = channels, .height = side};
    rn_graph test = {0};
    *g = (rn_graph){0};
    if (rn_caffe_net_build(n, RN_CAFFE_TRAIN, &spec, 2, g) < 0 ||
        rn_caffe_net_build(n, RN_CAFFE_TEST, &spec, 3, &test) < 0)
        fail_msg("%s", rn_error_text());
    assert_int_equal(g->nparams, test.nparams);
    rn_graph_free(&test);
    rn_caffe_net_close(n);
}

static void refused(const char *text, const char *said)
{
    rn_caffe_net *n = NULL;
    assert_true(rn_caffe_net_open("net", text, &n) < 0);
    if (!strstr(rn_error_text(), said))
        fail_msg("said '%s' and not '%s'", rn_error_text(), said);
    assert_null(n);
}

static const rn_node *node(const rn_graph *g, const char *name)
{
    for (int i = 0; i < g->nnodes; i++)
        if (strcmp(g->nodes[i].name, name) == 0)
            return &g->nodes[i];
    fail_msg("no node %s", name);
    return NULL;
}

static const rn_param *param(const rn_graph *g, const char *name)
{
    for (int i = 0; i < g->nparams; i++)
        if (strcmp(g->params[i].name, name) == 0)
            return &g->params[i];
    fail_msg("no parameter %s", name);
    return NULL;
}

/* ---- ResNet-18 as Caffe's texts have it, without their convolution in the first shortcut ---- */

static size_t put(char *out, size_t at, size_t cap, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static size_t put(char *out, size_t at, size_t cap, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(out + at, cap - at, fmt, ap);
    va_end(ap);
    assert_true(n > 0 && at + (size_t)n < cap);
    return at + (size_t)n;
}

/* Convolution, BatchNorm, Scale. */
static size_t put_conv(char *out, size_t at, size_t cap, const char *in, const char *name, int oc, int k, int stride)
{
    at = put(out, at, cap,
             "layer { name: \"%s\" type: \"Convolution\" bottom: \"%s\" top: \"%s\" convolution_param { num_output: %d "
             "kernel_size: %d "
             "stride: %d pad: %d bias_term: false weight_filler { type: \"msra\" } } }\n",
             name, in, name, oc, k, stride, k / 2);
    at = put(out, at, cap, "layer { name: \"bn_%s\" type: \"BatchNorm\" bottom: \"%s\" top: \"%s\" }\n", name, name,
             name);
    return put(
        out, at, cap,
        "layer { name: \"scale_%s\" type: \"Scale\" bottom: \"%s\" top: \"%s\" scale_param { bias_term: true } }\n",
        name, name, name);
}

static size_t put_relu(char *out, size_t at, size_t cap, const char *x)
{
    return put(out, at, cap, "layer { name: \"%s_relu\" type: \"ReLU\" bottom: \"%s\" top: \"%s\" }\n", x, x, x);
}

static size_t put_block(char *out, size_t at, size_t cap, const char *in, const char *name, int oc, int stride,
                        bool project)
{
    char a[32], b[32], p[32];
    snprintf(a, sizeof a, "%s_branch2a", name);
    snprintf(b, sizeof b, "%s_branch2b", name);
    snprintf(p, sizeof p, "%s_branch1", name);
    if (project)
        at = put_conv(out, at, cap, in, p, oc, 1, stride);
    at = put_relu(out, put_conv(out, at, cap, in, a, oc, 3, stride), cap, a);
    at = put_conv(out, at, cap, a, b, oc, 3, 1);
    at = put(out, at, cap, "layer { name: \"%s\" type: \"Eltwise\" bottom: \"%s\" bottom: \"%s\" top: \"%s\" }\n", name,
             project ? p : in, b, name);
    return put_relu(out, at, cap, name);
}

static void resnet18(void **state)
{
    (void)state;
    enum { CAP = 1 << 16 };
    char *text = malloc(CAP), in[16] = "pool1";
    rn_graph g, ours = {0};
    assert_non_null(text);
    size_t at = put(text, 0, CAP, "%s", DATA("224"));
    at = put_relu(text, put_conv(text, at, CAP, "data", "conv1", 64, 7, 2), CAP, "conv1");
    /* Floor and a pad of 1, as torchvision's; Caffe's texts have neither, which changes no count. */
    at = put(text, at, CAP,
             LAYER("pool1", "Pooling", "conv1", "pool1",
                   "pooling_param { kernel_size: 3 stride: 2 pad: 1 round_mode: FLOOR }"));
    for (int stage = 0; stage < 4; stage++)
        for (int i = 0; i < 2; i++) {
            char name[16];
            snprintf(name, sizeof name, "res%d%c", stage + 2, 'a' + i);
            bool first = stage > 0 && i == 0;
            at = put_block(text, at, CAP, in, name, 64 << stage, first ? 2 : 1, first);
            snprintf(in, sizeof in, "%s", name);
        }
    at = put(text, at, CAP,
             LAYER("pool5", "Pooling", "res5b", "pool5", "pooling_param { pool: AVE kernel_size: 7 stride: 1 }"));
    put(text, at, CAP,
        LAYER("fc1000", "InnerProduct", "pool5", "fc1000", "inner_product_param { num_output: 1000 }") LOSS("fc1000"));
    build(text, 224, 3, 1000, &g);
    assert_int_equal(rn_graph_weights(&g), 11689512); /* torchvision's */

    /* Node for node our own ResNet-18, in the same shapes. */
    const rn_model_spec spec = {.arch = "resnet18", .width = 1, .classes = 1000, .channels = 3, .height = 224};
    assert_int_equal(rn_model_build(&spec, 2, &ours), RN_OK);
    assert_int_equal(g.nnodes, ours.nnodes);
    for (int i = 0; i < g.nnodes; i++) {
        assert_int_equal(g.nodes[i].kind, ours.nodes[i].kind);
        assert_int_equal(g.nodes[i].relu, ours.nodes[i].relu);
        assert_int_equal(g.nodes[i].res >= 0, ours.nodes[i].res >= 0);
        if (g.nodes[i].out >= 0)
            assert_memory_equal(g.values[g.nodes[i].out].t.dim, ours.values[ours.nodes[i].out].t.dim,
                                sizeof ours.values[0].t.dim);
    }
    rn_graph_free(&ours);
    rn_graph_free(&g);
    free(text);
}

/* ---- other well-known nets ---- */

static void lenet(void **state)
{
    (void)state;
    static const char text[] = "layer{name:'m' type:'Data' top:'data' top:'label' transform_param{scale:0.00390625} "
                               "data_param{source:'x' batch_size:64 backend:LMDB}}\n" /* clang-format off */
        LAYER("conv1", "Convolution", "data", "conv1", "convolution_param{num_output:20 kernel_size:5}")
        LAYER("pool1", "Pooling", "conv1", "pool1", "pooling_param{kernel_size:2 stride:2}")
        LAYER("conv2", "Convolution", "pool1", "conv2", "param{lr_mult:1} param{lr_mult:2} convolution_param{num_output:50 kernel_size:5 weight_filler{type:'xavier'}}")
        LAYER("pool2", "Pooling", "conv2", "pool2", "pooling_param{kernel_size:2 stride:2}")
        LAYER("ip1", "InnerProduct", "pool2", "ip1", "inner_product_param{num_output:500}") RELU("ip1")
        LAYER("ip2", "InnerProduct", "ip1", "ip2", "inner_product_param{num_output:10}") LOSS("ip2");
    /* clang-format on */
    rn_graph g;
    build(text, 28, 1, 10, &g);
    assert_int_equal(rn_graph_weights(&g), 431080);
    assert_true(param(&g, "conv2.bias")->lr_mult > 1.9f && param(&g, "conv2.weight")->lr_mult < 1.1f);
    assert_int_equal(param(&g, "conv2.weight")->filler.kind, RN_FILL_SCALED_UNIFORM);
    assert_int_equal(param(&g, "conv1.weight")->filler.kind, RN_FILL_CONSTANT); /* Caffe's default */
    rn_graph_free(&g);
    rn_caffe_net *n = open_net(text);
    const rn_caffe_data *d = rn_caffe_net_data(n, RN_CAFFE_TRAIN);
    assert_int_equal(d->batch, 64);
    assert_int_equal(d->crop, 0);
    assert_true(d->scale > 0.0039 && d->scale < 0.00391);
    rn_caffe_net_close(n);
}

/* 227 -> 55 -> 27 -> 13 -> 6 by pools that round up, two groups, five convolutions: the published 60,965,224. */
static void alexnet(void **state)
{
    (void)state;
    static const char text[] = DATA("227") /* clang-format off */
        LAYER("conv1", "Convolution", "data", "conv1", "convolution_param{num_output:96 kernel_size:11 stride:4}") RELU("conv1")
        LAYER("norm1", "LRN", "conv1", "norm1", "lrn_param{local_size:5 alpha:0.0001 beta:0.75}")
        LAYER("pool1", "Pooling", "norm1", "pool1", "pooling_param{pool:MAX kernel_size:3 stride:2}")
        LAYER("conv2", "Convolution", "pool1", "conv2", "convolution_param{num_output:256 pad:2 kernel_size:5 group:2}") RELU("conv2")
        LAYER("norm2", "LRN", "conv2", "norm2", "lrn_param{local_size:5 alpha:0.0001 beta:0.75}")
        LAYER("pool2", "Pooling", "norm2", "pool2", "pooling_param{pool:MAX kernel_size:3 stride:2}")
        LAYER("conv3", "Convolution", "pool2", "conv3", "convolution_param{num_output:384 pad:1 kernel_size:3}") RELU("conv3")
        LAYER("conv4", "Convolution", "conv3", "conv4", "convolution_param{num_output:384 pad:1 kernel_size:3 group:2}") RELU("conv4")
        LAYER("conv5", "Convolution", "conv4", "conv5", "convolution_param{num_output:256 pad:1 kernel_size:3 group:2}") RELU("conv5")
        LAYER("pool5", "Pooling", "conv5", "pool5", "pooling_param{pool:MAX kernel_size:3 stride:2}")
        LAYER("fc6", "InnerProduct", "pool5", "fc6", "inner_product_param{num_output:4096}") RELU("fc6")
        LAYER("drop6", "Dropout", "fc6", "fc6", "dropout_param{dropout_ratio:0.5}")
        LAYER("fc7", "InnerProduct", "fc6", "fc7", "inner_product_param{num_output:4096}") RELU("fc7")
        LAYER("drop7", "Dropout", "fc7", "fc7", "")
        LAYER("fc8", "InnerProduct", "fc7", "fc8", "inner_product_param{num_output:1000}") LOSS("fc8");
    /* clang-format on */
    rn_graph g;
    build(text, 227, 3, 1000, &g);
    assert_int_equal(rn_graph_weights(&g), 60965224);
    const rn_tensor *t = &g.values[node(&g, "pool5")->out].t;
    assert_int_equal(t->dim[1], 6);
    rn_graph_free(&g);
}

/* ---- what is taken into one node, and what is not ---- */

/* A sum with what was normalised itself is a node of its own; one of other shapes is told at its own line. */
static void sum_with_its_input(void **state)
{
    (void)state;
    static const char text[] = DATA("8") /* clang-format off */
        LAYER("a", "Convolution", "data", "a", "convolution_param{num_output:4 kernel_size:1}")
        LAYER("bn", "BatchNorm", "a", "b", "")
        "layer{name:'sum' type:'Eltwise' bottom:'b' bottom:'a' top:'sum'}\n"
        LAYER("norm", "LRN", "sum", "norm", "lrn_param{local_size:5}") /* wider than the 4 channels */
        LAYER("fc", "InnerProduct", "norm", "fc", "inner_product_param{num_output:2}") LOSS("fc"),
        odd[] = DATA("8")
        LAYER("a", "Convolution", "data", "a", "convolution_param{num_output:4 kernel_size:1}")
        LAYER("c", "Convolution", "data", "c", "convolution_param{num_output:5 kernel_size:1}")
        LAYER("bn", "BatchNorm", "a", "b", "")
        "layer{name:'sum' type:'Eltwise' bottom:'b' bottom:'c' top:'sum'}\n"
        LAYER("fc", "InnerProduct", "sum", "fc", "inner_product_param{num_output:2}") LOSS("fc");
    /* clang-format on */
    const rn_model_spec spec = {.arch = "prototxt", .classes = 2, .channels = 3, .height = 8};
    rn_graph g;
    build(text, 8, 3, 2, &g);
    assert_int_equal(node(&g, "sum")->kind, RN_NODE_ELTWISE);
    assert_true(node(&g, "bn")->res < 0);
    rn_graph_free(&g);
    rn_caffe_net *n = open_net(odd);
    assert_true(rn_caffe_net_build(n, RN_CAFFE_TRAIN, &spec, 2, &g) < 0);
    if (!strstr(rn_error_text(), "net:5: 'sum'"))
        fail_msg("said '%s'", rn_error_text());
    rn_graph_free(&g);
    rn_caffe_net_close(n);
}

static void folding(void **state)
{
    (void)state;
    static const char text[] = DATA("8") /* clang-format off */
        LAYER("a", "Convolution", "data", "a", "convolution_param{num_output:4 kernel_size:1}")
        LAYER("bn", "BatchNorm", "a", "b", "batch_norm_param{eps:0.001 moving_average_fraction:0.9}")
        LAYER("alone", "BatchNorm", "a", "c", "")
        LAYER("sc", "Scale", "b", "b", "scale_param{filler{value:2}}")
        "layer{name:'half' type:'Eltwise' bottom:'b' bottom:'c' top:'half' eltwise_param{coeff:0.5 coeff:0.5}}\n"
        "layer{name:'most' type:'Eltwise' bottom:'half' bottom:'a' top:'most' eltwise_param{operation:MAX}}\n" RELU("most")
        LAYER("pool", "Pooling", "most", "pool", "pooling_param{pool:AVE global_pooling:true}")
        LAYER("d", "Convolution", "pool", "d", "convolution_param{num_output:3 kernel_size:1}")
        LAYER("f", "Flatten", "d", "f", "")
        LAYER("fc", "InnerProduct", "f", "fc", "inner_product_param{num_output:2 bias_term:false}")
        LAYER("prob", "Softmax", "fc", "prob", "include{phase:TEST}") LOSS("fc")
        "layer{name:'acc' type:'Accuracy' bottom:'prob' bottom:'label' top:'acc' include{phase:TEST} accuracy_param{top_k:5}}\n";
    /* clang-format on */
    rn_graph g;
    build(text, 8, 3, 2, &g);
    const rn_node *bn = node(&g, "sc");
    assert_int_equal(bn->kind, RN_NODE_BN);
    assert_true(bn->res < 0 && bn->bn_caffe && bn->bn_eps > 0.0009f && bn->bn_fraction > 0.89f);
    assert_int_equal(param(&g, "sc.weight")->fixed, false);
    assert_true(param(&g, "sc.weight")->filler.a > 1.9);
    assert_int_equal(param(&g, "sc.bias")->fixed, true);
    assert_int_equal(param(&g, "alone.weight")->fixed, true);
    param(&g, "bn.running_mean");
    assert_int_equal(node(&g, "half")->kind, RN_NODE_ELTWISE);
    assert_int_equal(node(&g, "most")->eltwise, RN_ELTWISE_MAX);
    assert_true(node(&g, "most")->relu);
    assert_int_equal(node(&g, "pool")->kind, RN_NODE_AVGPOOL); /* a convolution reads it: no rows */
    assert_int_equal(g.nodes[g.nnodes - 1].kind, RN_NODE_XENT);
    rn_graph_free(&g);
}

/* Layers of one phase alone; other batches; a second name for the scores. */
static void phases(void **state)
{
    (void)state;
    static const char text[] = /* clang-format off */
        "layer{name:'d' type:'Data' top:'data' top:'label' include{phase:TRAIN} data_param{source:'t' batch_size:5 backend:LMDB}}\n"
        "layer{name:'d' type:'Data' top:'data' top:'label' exclude{phase:TRAIN} data_param{source:'v' batch_size:7 backend:LMDB}}\n"
        "layer{name:'deploy' type:'HDF5Data' top:'data' include{stage:'deploy'}}\n"
        LAYER("fc", "InnerProduct", "data", "fc", "inner_product_param{num_output:2}")
        LAYER("drop", "Dropout", "fc", "fc", "include{phase:TRAIN} dropout_param{dropout_ratio:0.4}")
        "layer{name:'loss' type:'SoftmaxWithLoss' bottom:'fc' bottom:'label' include{phase:TRAIN} propagate_down:1 propagate_down:0}\n"
        "layer{name:'acc' type:'Accuracy' bottom:'fc' bottom:'label' include{phase:TEST}}\n";
    /* clang-format on */
    rn_graph g;
    build(text, 4, 1, 2, &g);
    assert_int_equal(node(&g, "drop")->kind, RN_NODE_DROPOUT);
    rn_graph_free(&g);
    rn_caffe_net *n = open_net(text);
    assert_int_equal(rn_caffe_net_data(n, RN_CAFFE_TRAIN)->batch, 5);
    assert_int_equal(rn_caffe_net_data(n, RN_CAFFE_TEST)->batch, 7);
    assert_string_equal(rn_caffe_net_data(n, RN_CAFFE_TEST)->source, "v");
    rn_caffe_net_close(n);
}

static void both_formats(void **state)
{
    (void)state;
    static const char text[] =
        "layers{name:'d' type:DATA top:'data' top:'label' data_param{source:'t' batch_size:5 backend:LMDB "
        "crop_size:8 mirror:true scale:0.5 mean_file:'m'} include{phase:TRAIN}}\n"
        "layers{name:'d' type:DATA top:'data' top:'label' data_param{source:'t' batch_size:5 backend:LMDB "
        "crop_size:8 scale:0.5 mean_file:'m'} include{phase:TEST}}\n"
        "layers{name:'fc' type:INNER_PRODUCT bottom:'data' top:'fc' blobs_lr:1 blobs_lr:2 "
        "weight_decay:1 weight_decay:0 inner_product_param{num_output:2}}\n"
        "layers{name:'loss' type:SOFTMAX_LOSS bottom:'fc' bottom:'label'}\n";
    rn_graph g;
    build(text, 8, 3, 2, &g);
    assert_true(param(&g, "fc.bias")->lr_mult > 1.9f && param(&g, "fc.bias")->decay_mult < 0.1f);
    assert_true(param(&g, "fc.weight")->lr_mult < 1.1f && param(&g, "fc.weight")->decay_mult > 0.9f);
    rn_graph_free(&g);
    rn_caffe_net *n = open_net(text);
    const rn_caffe_data *d = rn_caffe_net_data(n, RN_CAFFE_TRAIN);
    assert_true(d->crop == 8 && d->mirror && d->scale < 0.51);
    assert_string_equal(d->mean_file, "m");
    rn_caffe_net_close(n);
    refused("layers{layer{name:'x'}}", "run Caffe's upgrade_net_proto_text");
    refused("layer{name:'x' type:'ReLU'} layers{name:'y' type:RELU}", "`layer` and `layers` in one text");
}

/* The lines that say whether two nets are the same. */
static void lines(void **state)
{
    (void)state;
    static const char a[] =
        "name:'a' " DATA("8") LAYER("fc", "InnerProduct", "data", "fc", "inner_product_param{num_output:2}") LOSS("fc");
    static const char b[] = "# words\nname:'b' " DATA("8") "\n\n" LAYER(
        "fc", "InnerProduct", "data", "fc", "inner_product_param: <num_output: 0x2>") LOSS("fc");
    static const char c[] =
        DATA("8") LAYER("fc", "InnerProduct", "data", "fc", "inner_product_param{num_output:3}") LOSS("fc");
    const char *texts[3] = {a, b, c};
    rn_buf out[3] = {{0}};
    char names[128];
    for (int i = 0; i < 3; i++) {
        rn_caffe_net *n = open_net(texts[i]);
        assert_int_equal(rn_caffe_net_lines(n, &out[i]), RN_OK);
        rn_caffe_net_close(n);
    }
    assert_int_equal(rn_caffe_lines_diff((char *)out[0].data, (char *)out[1].data, names, sizeof names), 0);
    assert_int_equal(rn_caffe_lines_diff((char *)out[0].data, (char *)out[2].data, names, sizeof names), 1);
    assert_string_equal(names, "'fc' inner_product_param.num_output: 2 -> 'fc' inner_product_param.num_output: 3");
    for (int i = 0; i < 3; i++)
        rn_buf_free(&out[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(resnet18), cmocka_unit_test(lenet),
                                       cmocka_unit_test(alexnet),  cmocka_unit_test(folding),
                                       cmocka_unit_test(phases),   cmocka_unit_test(both_formats),
                                       cmocka_unit_test(lines),    cmocka_unit_test(sum_with_its_input)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
