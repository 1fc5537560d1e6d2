/* SPDX-License-Identifier: MIT */
/* A prototxt: what parses is written out and read back as the same tree, whose links and lines hold; then Caffe's schemas look
 * at it. A net that is understood has lines that differ in nothing from themselves, and its phases become graphs or errors. */
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "fuzz.h"
#include "nn/caffe/rn_caffe_net.h"
#include "nn/caffe/rn_caffe_schema.h"
#include "nn/caffe/rn_caffe_solver.h"
#include "nn/caffe/rn_prototext.h"

static void put_string(rn_buf *b, const char *s)
{
    RN_FUZZ_CHECK(rn_buf_printf(b, "\"") == RN_OK);
    for (; *s; s++)
        RN_FUZZ_CHECK(rn_buf_printf(b, "\\%03o", (unsigned char)*s) == RN_OK);
    RN_FUZZ_CHECK(rn_buf_printf(b, "\"\n") == RN_OK);
}

static void put_fields(const rn_prototext *t, int message, rn_buf *b)
{
    for (int i = t->nodes[message].child; i >= 0; i = t->nodes[i].next) {
        const rn_pt_node *n = &t->nodes[i];
        RN_FUZZ_CHECK(n->parent == message && i > message && (n->next < 0 || n->next > i));
        RN_FUZZ_CHECK(n->line >= t->nodes[message].line);
        RN_FUZZ_CHECK(rn_buf_printf(b, "%s: ", n->name) == RN_OK);
        if (n->kind == RN_PT_MESSAGE) {
            RN_FUZZ_CHECK(rn_buf_printf(b, "{\n") == RN_OK);
            put_fields(t, i, b);
            RN_FUZZ_CHECK(rn_buf_printf(b, "}\n") == RN_OK);
        } else if (n->kind == RN_PT_STRING) {
            put_string(b, n->text);
        } else {
            RN_FUZZ_CHECK(rn_buf_printf(b, "%s\n", n->text) == RN_OK);
        }
    }
}

static void same(const rn_prototext *a, const rn_prototext *b)
{
    RN_FUZZ_CHECK(a->n == b->n);
    for (int i = 0; i < a->n; i++) {
        const rn_pt_node *x = &a->nodes[i], *y = &b->nodes[i];
        RN_FUZZ_CHECK(strcmp(x->name, y->name) == 0 && strcmp(x->text, y->text) == 0 && x->kind == y->kind);
        RN_FUZZ_CHECK(x->parent == y->parent && x->child == y->child && x->next == y->next);
    }
}

static void build(const rn_caffe_net *n)
{
    const rn_model_spec spec = {.arch = "prototxt", .classes = 3, .channels = 3, .height = 28};
    for (int phase = RN_CAFFE_TRAIN; phase <= RN_CAFFE_TEST; phase++) {
        rn_graph g = {0};
        if (rn_caffe_net_build(n, (enum rn_caffe_phase)phase, &spec, 2, &g) == RN_OK)
            RN_FUZZ_CHECK(g.nnodes > 1 && g.nodes[g.nnodes - 1].kind == RN_NODE_XENT);
        rn_graph_free(&g);
    }
}

static void read_all(const char *text)
{
    rn_caffe_net *n;
    rn_caffe_solver s;
    char names[64];
    if (rn_caffe_net_open("t", text, &n) == RN_OK) {
        rn_buf lines = {0};
        RN_FUZZ_CHECK(rn_caffe_net_lines(n, &lines) == RN_OK);
        RN_FUZZ_CHECK(rn_caffe_lines_diff((const char *)lines.data, (const char *)lines.data, names, sizeof names) ==
                      0);
        rn_buf_free(&lines);
        build(n);
        rn_caffe_net_close(n);
    }
    if (rn_caffe_solver_read("t", text, &s) == RN_OK)
        RN_FUZZ_CHECK(s.base_lr > 0 && s.max_iter > 0 && s.iter_size > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const rn_caffe_field *const schemas[] = {rn_caffe_net_fields, rn_caffe_solver_fields};
    rn_prototext t, again;
    rn_buf b = {0};
    if (memchr(data, 0, n))
        return 0;
    char *text = strndup((const char *)data, n);
    RN_FUZZ_CHECK(text != NULL);
    if (rn_prototext_parse("t", text, &t) == RN_OK) {
        put_fields(&t, 0, &b);
        RN_FUZZ_CHECK(rn_buf_append(&b, "", 1) == RN_OK);
        RN_FUZZ_CHECK(rn_prototext_parse("t", (const char *)b.data, &again) == RN_OK);
        same(&t, &again);
        for (int i = 0; i < 2; i++)
            if (rn_caffe_check(&again, 0, schemas[i]) == RN_OK)
                rn_caffe_check_used(&again, 0, NULL);
        rn_prototext_free(&again);
        rn_prototext_free(&t);
    }
    read_all(text);
    rn_buf_free(&b);
    free(text);
    return 0;
}
