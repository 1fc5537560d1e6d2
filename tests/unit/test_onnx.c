/* SPDX-License-Identifier: MIT */
/* The ONNX file as bytes, read back by a walk over protobuf's wire format: operators, names, shapes, values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "nn/graph/rn_param.h"
#include "nn/model/rn_model.h"
#include "run/use/rn_onnx.h"

/* ---- reading ---- */

typedef struct field {
    int number, type;
    uint64_t v; /* a varint, or a length */
    const uint8_t *data;
} field;

static uint64_t varint(const uint8_t **p, const uint8_t *end)
{
    uint64_t v = 0;
    for (int shift = 0; *p < end && shift < 64; shift += 7) {
        const uint8_t b = *(*p)++;
        v |= (uint64_t)(b & 127) << shift;
        if (!(b & 128))
            return v;
    }
    fail_msg("a varint runs over the end");
    return 0;
}

static bool next(const uint8_t **p, const uint8_t *end, field *f)
{
    if (*p == end)
        return false;
    const uint64_t key = varint(p, end);
    *f = (field){.number = (int)(key >> 3), .type = (int)(key & 7), .data = *p};
    if (f->type == 0) {
        f->v = varint(p, end);
        return true;
    }
    f->v = f->type == 5 ? 4 : varint(p, end);
    assert_true(f->type == 2 || f->type == 5);
    assert_true(f->v <= (uint64_t)(end - *p));
    f->data = *p;
    *p += f->v;
    return true;
}

static bool is_text(const field *f, const char *text)
{
    return f->v == strlen(text) && memcmp(f->data, text, f->v) == 0;
}

/* What field `number` of a message is; type -1 if it is not there. */
static field find(const field *m, int number)
{
    const uint8_t *p = m->data, *end = p + m->v;
    field f;
    while (next(&p, end, &f))
        if (f.number == number)
            return f;
    return (field){.type = -1};
}

/* ---- a model ---- */

static const float mean[3] = {0.5f, 0.25f, 0.125f}, std[3] = {0.25f, 0.5f, 1};

/* Weights that count up, in files' order. */
static rn_st_file *weights_of(const rn_graph *g)
{
    rn_st_writer *w;
    rn_st_file *f;
    rn_buf b = {0};
    float **v = calloc((size_t)g->nparams, sizeof *v);
    assert_non_null(v);
    assert_int_equal(rn_st_writer_open(&w), 0);
    for (int i = 0; i < g->nparams; i++) {
        const rn_param *p = &g->params[i];
        int64_t dim[4];
        v[i] = malloc((size_t)p->count * sizeof **v);
        for (int64_t k = 0; k < p->count; k++)
            v[i][k] = (float)(i + 1) + (float)(k % 1000) / 1024;
        const int nd = rn_param_file_dims(p, dim);
        assert_int_equal(rn_st_add(w, p->name, RN_ST_F32, nd, dim, v[i]), 0);
    }
    assert_int_equal(rn_st_build(w, &b), 0);
    rn_st_writer_close(w);
    for (int i = 0; i < g->nparams; i++)
        free(v[i]);
    free(v);
    assert_int_equal(rn_st_open_memory("test", (char *)b.data, b.n, &f), 0);
    return f;
}

static void build(const rn_model_spec *spec, bool raw, int64_t batch, rn_graph *g, rn_buf *out)
{
    const rn_onnx_meta meta[] = {{"classes", "[]"}};
    const rn_onnx_opts opts = {
        .batch = batch, .raw = raw, .mean = mean, .std = std, .bn_eps = 1e-5f, .meta = meta, .nmeta = 1};
    assert_int_equal(rn_model_build(spec, 1, g), 0);
    rn_st_file *f = weights_of(g);
    assert_int_equal(rn_onnx_build(g, f, &opts, out), 0);
    rn_st_close(f);
}

static int count_ops(const field *graph, const char *op)
{
    const uint8_t *p = graph->data, *end = p + graph->v;
    field f;
    int n = 0;
    while (next(&p, end, &f)) {
        const field type = f.number == 1 ? find(&f, 4) : (field){.type = -1};
        n += type.type == 2 && is_text(&type, op);
    }
    return n;
}

/* Initializer `name` of the graph; fails when it is not there once. */
static field initializer(const field *graph, const char *name)
{
    const uint8_t *p = graph->data, *end = p + graph->v;
    field f, found = {.type = -1};
    while (next(&p, end, &f)) {
        const field its = f.number == 5 ? find(&f, 8) : (field){.type = -1};
        if (its.type == 2 && is_text(&its, name)) {
            assert_int_equal(found.type, -1);
            found = f;
        }
    }
    if (found.type != 2)
        fail_msg("no initializer %s", name);
    return found;
}

static int dims_of(const field *tensor, int64_t out[4])
{
    const uint8_t *p = tensor->data, *end = p + tensor->v;
    field f;
    int n = 0;
    while (next(&p, end, &f))
        if (f.number == 1 && n < 4)
            out[n++] = (int64_t)f.v;
    return n;
}

static const rn_model_spec spec18 = {
    .arch = "resnet18", .stem = RN_STEM_CIFAR, .width = 0.25, .classes = 7, .channels = 3, .height = 16};

/* ---- tests ---- */

static void holds_every_weight(void **state)
{
    (void)state;
    rn_graph g = {0};
    rn_buf out = {0};
    build(&spec18, false, 0, &g, &out);
    const field model = {.type = 2, .v = out.n, .data = out.data}, graph = find(&model, 7);
    assert_int_equal(find(&model, 1).v, 7);
    const field opset = find(&model, 8);
    assert_int_equal(find(&opset, 2).v, 13);
    int64_t bytes = 0;
    for (int i = 0; i < g.nparams; i++) {
        const rn_param *p = &g.params[i];
        const field t = initializer(&graph, p->name);
        const field raw = find(&t, 9);
        int64_t want[4], got[4];
        const int nd = rn_param_file_dims(p, want);
        assert_int_equal(dims_of(&t, got), nd);
        assert_memory_equal(got, want, (size_t)nd * sizeof *got);
        assert_int_equal(raw.v, (size_t)p->count * 4);
        float first, last;
        memcpy(&first, raw.data, 4);
        memcpy(&last, raw.data + raw.v - 4, 4);
        assert_true(first == (float)(i + 1));
        assert_true(last == (float)(i + 1) + (float)((p->count - 1) % 1000) / 1024);
        bytes += (int64_t)raw.v;
    }
    assert_true(bytes < (int64_t)out.n && (int64_t)out.n < bytes + 40000); /* no second copy */
    rn_buf_free(&out);
    rn_graph_free(&g);
}

static void has_the_graphs_layers(void **state)
{
    (void)state;
    rn_graph g = {0};
    rn_buf out = {0};
    build(&spec18, false, 0, &g, &out);
    const field model = {.type = 2, .v = out.n, .data = out.data}, graph = find(&model, 7);
    assert_int_equal(count_ops(&graph, "Conv"), 20);
    assert_int_equal(count_ops(&graph, "BatchNormalization"), 20);
    assert_int_equal(count_ops(&graph, "Add"), 8);
    assert_int_equal(count_ops(&graph, "Relu"), 17);
    assert_int_equal(count_ops(&graph, "GlobalAveragePool"), 1);
    assert_int_equal(count_ops(&graph, "Gemm"), 1);
    assert_int_equal(count_ops(&graph, "Cast"), 0);
    rn_buf_free(&out);
    rn_graph_free(&g);
}

/* The dimensions of the model's input or output: -1 is a symbol. */
static int shape_of(const field *graph, int number, const char *name, int *elem, int64_t out[4])
{
    const field value = find(graph, number), its = find(&value, 1), kind = find(&value, 2), tensor = find(&kind, 1);
    const field shape = find(&tensor, 2);
    const uint8_t *p = shape.data, *end = p + shape.v;
    field d;
    int n = 0;
    assert_true(is_text(&its, name));
    *elem = (int)find(&tensor, 1).v;
    while (next(&p, end, &d) && n < 4) {
        const field size = find(&d, 1);
        out[n++] = size.type == 0 ? (int64_t)size.v : -1;
    }
    return n;
}

static void says_its_shapes(void **state)
{
    (void)state;
    for (int raw = 0; raw < 2; raw++) {
        rn_graph g = {0};
        rn_buf out = {0};
        int elem;
        int64_t dim[4];
        build(&spec18, raw, raw ? 5 : 0, &g, &out);
        const field model = {.type = 2, .v = out.n, .data = out.data}, graph = find(&model, 7);
        const int64_t n = raw ? 5 : -1, in[4] = {n, 3, 16, 16}, logits[2] = {n, 7};
        assert_int_equal(shape_of(&graph, 11, "input", &elem, dim), 4);
        assert_memory_equal(dim, in, sizeof in);
        assert_int_equal(elem, raw ? 2 : 1);
        assert_int_equal(shape_of(&graph, 12, "logits", &elem, dim), 2);
        assert_memory_equal(dim, logits, sizeof logits);
        assert_int_equal(elem, 1);
        if (raw) {
            float mul[3], add[3];
            const field m = initializer(&graph, "normalize/mul"), a = initializer(&graph, "normalize/add");
            memcpy(mul, find(&m, 9).data, sizeof mul);
            memcpy(add, find(&a, 9).data, sizeof add);
            for (int c = 0; c < 3; c++) {
                assert_float_equal(mul[c], 1 / (255 * std[c]), 1e-9);
                assert_float_equal(add[c], -mean[c] / std[c], 1e-9);
            }
        }
        rn_buf_free(&out);
        rn_graph_free(&g);
    }
}

static void names_what_is_missing(void **state)
{
    (void)state;
    rn_graph g = {0}, other = {0};
    rn_buf out = {0};
    rn_model_spec more = spec18;
    const rn_onnx_opts opts = {.mean = mean, .std = std, .bn_eps = 1e-5f};
    more.arch = "resnet34";
    assert_int_equal(rn_model_build(&spec18, 1, &g), 0);
    assert_int_equal(rn_model_build(&more, 1, &other), 0);
    rn_st_file *f = weights_of(&g);
    assert_int_equal(rn_onnx_build(&other, f, &opts, &out), RN_E_MISMATCH);
    assert_non_null(strstr(rn_error_text(), "layer1.2.conv1.weight"));
    g.nodes[3].kind = RN_NODE_KINDS;
    assert_int_equal(rn_onnx_build(&g, f, &opts, &out), RN_E_UNSUPPORTED);
    assert_non_null(strstr(rn_error_text(), g.nodes[3].name));
    assert_null(out.data);
    rn_st_close(f);
    rn_graph_free(&g);
    rn_graph_free(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(holds_every_weight), cmocka_unit_test(has_the_graphs_layers),
                                       cmocka_unit_test(says_its_shapes), cmocka_unit_test(names_what_is_missing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
