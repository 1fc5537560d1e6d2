/* SPDX-License-Identifier: MIT */
/*
 * Graphs: published parameter counts, names, shapes. Memory plans: replayed by a simulator of its own, which knows
 * what each op reads and writes and which bytes a write destroys, and nothing of live ranges.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rn_error.h"
#include "nn/graph/rn_plan.h"
#include "nn/model/rn_model.h"
#include "random_graph.h"

static rn_model_spec spec_of(const char *arch, enum rn_stem stem, int pixels)
{
    return (rn_model_spec){
        .arch = arch, .stem = stem, .width = 1, .classes = 1000, .channels = 3, .height = pixels, .zero_gamma = false};
}

static rn_graph build(const rn_model_spec *spec, int batch)
{
    rn_graph g = {0};
    if (rn_model_build(spec, batch, &g) < 0)
        fail_msg("%s", rn_error_text());
    return g;
}

/* ---- graphs ---- */

static const rn_param *find(const rn_graph *g, const char *name)
{
    for (int i = 0; i < g->nparams; i++)
        if (strcmp(g->params[i].name, name) == 0)
            return &g->params[i];
    fail_msg("no parameter %s", name);
    return NULL;
}

static void has_shape(const rn_graph *g, const char *name, int a, int b, int c, int d)
{
    const rn_param *p = find(g, name);
    const int64_t want[4] = {a, b, c, d};
    assert_memory_equal(p->dim, want, sizeof want);
    assert_int_equal(p->count, (int64_t)a * b * c * d);
}

/* torchvision's documentation of ResNet18_Weights, ResNet34_Weights, ResNet50_Weights: num_params. */
static void test_counts(void **state)
{
    (void)state;
    const struct {
        const char *arch;
        int64_t weights;
        int params; /* with two buffers a batch norm */
    } want[] = {{"resnet18", 11689512, 102},
                {"resnet34", 21797672, 182},
                {"resnet50", 25557032, 267},
                {"resnet101", 44549160, 522},
                {"resnet152", 60192808, 777}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        rn_model_spec s = spec_of(want[i].arch, RN_STEM_IMAGENET, 224);
        rn_graph g = build(&s, 2);
        assert_int_equal(rn_graph_weights(&g), want[i].weights);
        assert_int_equal(g.nparams, want[i].params);
        rn_graph_free(&g);
    }
}

/* timm 1.0's resnet18d and so on, seresnet18 and seresnet50; the SE-ResNet-18 whose squeezed channels are not rounded (timm's
 * legacy_seresnet18); torchvision's AlexNet; BVLC's two nets. */
static void test_counts_of_variants(void **state)
{
    (void)state;
    const struct {
        const char *arch;
        enum rn_variant variant;
        int se, se_round, pixels, classes;
        int64_t weights;
    } want[] = {
        {"resnet50", RN_VARIANT_V1, 0, 0, 224, 1000, 25557032},
        {"resnet50", RN_VARIANT_B, 0, 0, 224, 1000, 25557032},
        {"resnet50", RN_VARIANT_C, 0, 0, 224, 1000, 25576264},
        {"resnet18", RN_VARIANT_D, 0, 0, 224, 1000, 11708744},
        {"resnet34", RN_VARIANT_D, 0, 0, 224, 1000, 21816904},
        {"resnet50", RN_VARIANT_D, 0, 0, 224, 1000, 25576264},
        {"resnet101", RN_VARIANT_D, 0, 0, 224, 1000, 44568392},
        {"resnet152", RN_VARIANT_D, 0, 0, 224, 1000, 60212040},
        {"resnet18", RN_VARIANT_NONE, 16, 0, 224, 1000, 11778592},
        {"resnet18", RN_VARIANT_NONE, 16, 8, 224, 1000, 11779624},
        {"resnet50", RN_VARIANT_NONE, 16, 8, 224, 1000, 28088024},
        {"alexnet", RN_VARIANT_NONE, 0, 0, 224, 1000, 61100840},
        {"caffenet", RN_VARIANT_NONE, 0, 0, 227, 1000, 60965224},
        {"bvlc-alexnet", RN_VARIANT_NONE, 0, 0, 227, 1000, 60965224},
        {"ghim5", RN_VARIANT_NONE, 0, 0, 224, 20, 560468},
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        rn_model_spec s = spec_of(want[i].arch, RN_STEM_IMAGENET, want[i].pixels);
        s.variant = want[i].variant;
        s.se = want[i].se;
        s.se_round = want[i].se_round;
        s.classes = want[i].classes;
        rn_graph g = build(&s, 2);
        assert_int_equal(rn_graph_weights(&g), want[i].weights);
        rn_graph_free(&g);
    }
}

static void test_names_and_shapes(void **state)
{
    (void)state;
    rn_model_spec s = spec_of("resnet50", RN_STEM_IMAGENET, 224);
    rn_graph g = build(&s, 2);
    assert_string_equal(g.params[0].name, "conv1.weight");
    assert_string_equal(g.params[1].name, "bn1.weight");
    assert_string_equal(g.params[2].name, "bn1.bias");
    assert_string_equal(g.params[3].name, "bn1.running_mean");
    assert_string_equal(g.params[4].name, "bn1.running_var");
    assert_string_equal(g.params[g.nparams - 1].name, "fc.bias");
    has_shape(&g, "conv1.weight", 64, 7, 7, 3);
    has_shape(&g, "layer1.0.conv1.weight", 64, 1, 1, 64);
    has_shape(&g, "layer1.0.downsample.0.weight", 256, 1, 1, 64);
    has_shape(&g, "layer1.0.downsample.1.running_var", 256, 1, 1, 1);
    has_shape(&g, "layer4.2.conv3.weight", 2048, 1, 1, 512);
    has_shape(&g, "fc.weight", 1000, 2048, 1, 1);
    for (int i = 0; i < g.nnodes; i++) { /* v1.5: the stride is in the 3x3 */
        if (strcmp(g.nodes[i].name, "layer2.0.conv1") == 0)
            assert_int_equal(g.nodes[i].conv.sh, 1);
        if (strcmp(g.nodes[i].name, "layer2.0.conv2") == 0)
            assert_int_equal(g.nodes[i].conv.sh, 2);
    }
    const rn_tensor *last = &g.values[g.nodes[g.nnodes - 3].in].t; /* what the global pool reads */
    assert_int_equal(last->dim[1], 7);
    assert_int_equal(last->dim[3], 2048);
    rn_graph_free(&g);
}

static void test_variants(void **state)
{
    (void)state;
    rn_model_spec s = spec_of("resnet18", RN_STEM_CIFAR, 32);
    s.channels = 1;
    s.classes = 10;
    s.zero_gamma = true;
    rn_graph g = build(&s, 4);
    has_shape(&g, "conv1.weight", 64, 3, 3, 1);
    has_shape(&g, "fc.weight", 10, 512, 1, 1);
    assert_int_equal(g.values[g.nodes[g.nnodes - 3].in].t.dim[1], 4); /* 32 / 8: no pool in the stem */
    int zero = 0;
    for (int i = 0; i < g.nnodes; i++)
        zero += g.nodes[i].zero_gamma;
    assert_int_equal(zero, 8); /* one a block */
    rn_graph_free(&g);

    s.width = 0.25;
    g = build(&s, 4);
    has_shape(&g, "conv1.weight", 16, 3, 3, 1);
    has_shape(&g, "layer4.1.conv2.weight", 128, 3, 3, 128);
    rn_graph_free(&g);
    s.width = 0.01; /* never below 8 channels */
    s.height = 20;
    s.width_px = 33;
    g = build(&s, 4);
    has_shape(&g, "layer4.1.conv2.weight", 8, 3, 3, 8);
    rn_graph_free(&g);
}

static void test_refusals(void **state)
{
    (void)state;
    rn_model_spec s;
    rn_graph g;
#define REFUSED(code, batch, change)                                                                                   \
    do {                                                                                                               \
        s = spec_of("resnet18", RN_STEM_IMAGENET, 64);                                                                 \
        change;                                                                                                        \
        g = (rn_graph){0};                                                                                             \
        assert_int_equal(rn_model_build(&s, batch, &g), code);                                                         \
        rn_graph_free(&g);                                                                                             \
    } while (0)
    REFUSED(RN_E_USAGE, 1, s.arch = "resnet19");
    REFUSED(RN_E_USAGE, 1, s.arch = NULL);
    REFUSED(RN_E_RANGE, 0, (void)0);
    REFUSED(RN_E_RANGE, 1, s.classes = 0);
    REFUSED(RN_E_RANGE, 1, s.channels = 2);
    REFUSED(RN_E_RANGE, 1, s.height = 0);
    REFUSED(RN_E_RANGE, 1, s.width = 0);
    REFUSED(RN_E_RANGE, 1, s.width = 0.0 / 0.0);
}

/* ---- plans ---- */

typedef struct sim {
    const rn_graph *g;
    const rn_plan *p;
    bool *valid; /* by slot: holds what its last writer wrote */
    int *writes; /* by slot */
    int step;
    char why[200]; /* first complaint, empty if none */
} sim;

static int at(const sim *s, enum rn_slot_kind kind, int i)
{
    return rn_plan_index(s->g, kind, i);
}

static bool overlap(const sim *s, int a, int b)
{
    const rn_slot *x = &s->p->slots[a], *y = &s->p->slots[b];
    return x->bytes && y->bytes && x->offset < y->offset + y->bytes && y->offset < x->offset + x->bytes;
}

static void complain(sim *s, const char *what, int a, int b)
{
    if (!s->why[0])
        snprintf(s->why, sizeof s->why, "step %d: %s (slots %d, %d of %d values)", s->step, what, a, b, s->g->nvalues);
}

/* One op: everything read must still hold, nothing written may touch what is read or also written, unless `same`
 * says that out[0] may be exactly in[same]. */
static void op(sim *s, const int *in, int nin, const int *out, int nout, int same)
{
    for (int i = 0; i < nin; i++)
        if (!s->valid[in[i]])
            complain(s, "reads what was overwritten or never written", in[i], -1);
    for (int o = 0; o < nout; o++) {
        if (s->p->slots[out[o]].bytes == 0)
            complain(s, "writes a slot without memory", out[o], -1);
        for (int i = 0; i < nin; i++) {
            bool exact = o == 0 && i == same && s->p->slots[out[o]].offset == s->p->slots[in[i]].offset;
            if (in[i] != out[o] && overlap(s, in[i], out[o]) && !exact)
                complain(s, "writes into its own input", in[i], out[o]);
        }
        for (int q = 0; q < o; q++)
            if (overlap(s, out[o], out[q]))
                complain(s, "writes two outputs to one place", out[o], out[q]);
    }
    for (int o = 0; o < nout; o++) {
        for (int k = 0; k < s->p->nslots; k++)
            if (k != out[o] && overlap(s, k, out[o]))
                s->valid[k] = false;
        s->valid[out[o]] = true;
        s->writes[out[o]]++;
    }
}

static void sim_forward(sim *s, int i, bool train)
{
    const rn_node *n = &s->g->nodes[i];
    int in[RN_NODE_INPUTS + 1], nin = 0, aux = at(s, RN_SLOT_AUX, i);
    int y = n->out >= 0 ? at(s, RN_SLOT_VALUE, n->out) : -1;
    for (int k = 0; k < RN_NODE_INPUTS; k++)
        if (n->ins[k] >= 0)
            in[nin++] = at(s, RN_SLOT_VALUE, n->ins[k]);
    switch (n->kind) {
    case RN_NODE_BN:
        op(s, in, nin, (int[]){y, aux}, train ? 2 : 1, train ? -1 : 0);
        break;
    case RN_NODE_MAXPOOL:
        op(s, in, nin, (int[]){y, aux}, train ? 2 : 1, -1);
        break;
    case RN_NODE_XENT:
        in[nin++] = aux;
        op(s, in, nin, (int[]){aux, at(s, RN_SLOT_GRAD, n->in)}, train ? 2 : 1, -1);
        break;
    case RN_NODE_RELU:
    case RN_NODE_ELTWISE:
    case RN_NODE_SIGMOID:
    case RN_NODE_SCALE:
    case RN_NODE_DROPOUT:
        op(s, in, nin, &y, 1, 0);
        break;
    default:
        op(s, in, nin, &y, 1, -1);
    }
}

/* A first contribution must overwrite and a later one must add. */
static void check_beta(sim *s, int slot, int beta)
{
    if (beta != (s->writes[slot] > 0))
        complain(s, "beta is wrong for this contribution", slot, beta);
}

/* Works over a gradient that is complete. */
static void over(sim *s, const int *in, int nin, int slot)
{
    op(s, in, nin, &slot, 1, 0);
    s->writes[slot]--;
}

/* What the backward pass of node i reads: dy first. */
static int backward_reads(const sim *s, int i, int in[8])
{
    const rn_node *n = &s->g->nodes[i];
    int nin = 0;
    in[nin++] = at(s, RN_SLOT_GRAD, n->out);
    if (n->kind == RN_NODE_CONV || n->kind == RN_NODE_LINEAR || n->kind == RN_NODE_BN || n->kind == RN_NODE_SCALE ||
        n->kind == RN_NODE_LRN || (n->kind == RN_NODE_ELTWISE && n->eltwise != RN_ELTWISE_SUM))
        in[nin++] = at(s, RN_SLOT_VALUE, n->in);
    if (n->kind == RN_NODE_ELTWISE && n->eltwise != RN_ELTWISE_SUM)
        in[nin++] = at(s, RN_SLOT_VALUE, n->res);
    if (n->kind == RN_NODE_SCALE)
        in[nin++] = at(s, RN_SLOT_VALUE, n->ins[2]);
    if (n->relu || n->kind == RN_NODE_RELU || n->kind == RN_NODE_SIGMOID)
        in[nin++] = at(s, RN_SLOT_VALUE, n->out);
    if (n->kind == RN_NODE_BN || n->kind == RN_NODE_MAXPOOL)
        in[nin++] = at(s, RN_SLOT_AUX, i);
    return nin;
}

static void sim_backward(sim *s, int i)
{
    const rn_node *n = &s->g->nodes[i];
    if (n->kind == RN_NODE_NORMALIZE || n->kind == RN_NODE_XENT)
        return;
    int in[8 + RN_NODE_INPUTS], nin = backward_reads(s, i, in), out[RN_NODE_INPUTS], nout = 0;
    bool point = n->kind == RN_NODE_RELU || n->kind == RN_NODE_SIGMOID || n->kind == RN_NODE_DROPOUT;
    bool residual = n->res >= 0 && (n->kind == RN_NODE_BN || n->kind == RN_NODE_SCALE);
    if (n->kind == RN_NODE_CONV && n->relu)
        over(s, in, nin, in[0]); /* the gradient before the ReLU, for the convolution */
    if (n->kind == RN_NODE_CONV || n->kind == RN_NODE_LINEAR)
        op(s, in, nin, NULL, 0, -1); /* the weights' gradient lies elsewhere */
    if (point && n->dx_beta) {       /* over dy, then added */
        over(s, in, nin, in[0]);
        nin = 1;
    }
    int same = -1;
    for (int k = 0; k < RN_NODE_INPUTS; k++) {
        if (n->ins[k] < 0 || !s->g->values[n->ins[k]].needs_grad)
            continue;
        int slot = at(s, RN_SLOT_GRAD, n->ins[k]);
        bool may = point || n->kind == RN_NODE_ELTWISE || residual == (k == 1);
        bool again = false; /* one value read twice: its second part is added at once */
        for (int o = 0; o < nout; o++)
            again |= out[o] == slot;
        if (again) {
            if (!n->betas[k])
                complain(s, "a value read twice is not added to", slot, -1);
            s->writes[slot]++;
            continue;
        }
        check_beta(s, slot, n->betas[k]);
        if (n->betas[k])
            in[nin++] = slot;
        out[nout++] = slot;
        if (may && !n->betas[k] &&
            (point || n->kind == RN_NODE_ELTWISE || n->kind == RN_NODE_BN || n->kind == RN_NODE_SCALE) &&
            s->p->slots[slot].offset == s->p->slots[in[0]].offset) {
            out[nout - 1] = out[0]; /* the one that may lie over dy comes first */
            out[0] = slot;
            same = 0;
        }
    }
    op(s, in, nin, out, nout, same);
}

/* Replays the plan; returns true when nothing is to be complained about. */
static bool replay(const rn_graph *g, const rn_plan *p, bool train, char why[200])
{
    sim s = {.g = g, .p = p};
    s.valid = calloc((size_t)p->nslots, sizeof *s.valid);
    s.writes = calloc((size_t)p->nslots, sizeof *s.writes);
    assert_non_null(s.valid);
    assert_non_null(s.writes);
    int result = at(&s, RN_SLOT_AUX, g->nnodes - 1), logits = at(&s, RN_SLOT_VALUE, g->logits);
    s.valid[at(&s, RN_SLOT_VALUE, g->images)] = s.valid[result] = true;
    for (int k = 0; k < p->nslots; k++)
        if (p->slots[k].offset % RN_PLAN_ALIGN || p->slots[k].offset + p->slots[k].bytes > p->bytes)
            complain(&s, "lies outside the arena or is not aligned", k, -1);
    for (s.step = 0; s.step < g->nnodes; s.step++)
        sim_forward(&s, s.step, train);
    for (int i = g->nnodes - 1; train && i >= 0; i--, s.step++)
        sim_backward(&s, i);
    if (!s.valid[result] || !s.valid[logits])
        complain(&s, "losses or logits are gone at the end", result, logits);
    for (int v = 0; train && v < g->nvalues; v++)
        if (g->values[v].needs_grad &&
            s.writes[at(&s, RN_SLOT_GRAD, v)] != (v == g->logits ? 1 : g->values[v].consumers))
            complain(&s, "a gradient lacks a contribution", v, -1);
    memcpy(why, s.why, sizeof s.why);
    free(s.valid);
    free(s.writes);
    return why[0] == '\0';
}

static void test_plans_replay(void **state)
{
    (void)state;
    const rn_model_spec specs[] = {
        spec_of("resnet18", RN_STEM_IMAGENET, 224), spec_of("resnet34", RN_STEM_IMAGENET, 160),
        spec_of("resnet50", RN_STEM_IMAGENET, 224), spec_of("resnet18", RN_STEM_CIFAR, 32),
        spec_of("resnet50", RN_STEM_CIFAR, 33),
    };
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        for (int train = 0; train < 2; train++) {
            rn_graph g = build(&specs[i], 8);
            rn_plan p;
            char why[200];
            assert_int_equal(rn_plan_make(&g, train, &p), RN_OK);
            if (!replay(&g, &p, train, why))
                fail_msg("%s %s: %s", specs[i].arch, train ? "train" : "eval", why);
            print_message("# %s %s %d px, batch 8: %.1f MB, %.1f unshared, at least %.1f\n", specs[i].arch,
                          train ? "train" : "eval", specs[i].height, (double)p.bytes / 1e6, (double)p.unshared / 1e6,
                          (double)p.bound / 1e6);
            assert_true(p.bytes >= p.bound);
            assert_true((double)p.bytes <= 1.15 * (double)p.bound);
            assert_true(p.bytes < (train ? p.unshared * 3 / 4 : p.unshared / 5));
            rn_plan_free(&p);
            rn_graph_free(&g);
        }
    }
}

/* ---- graphs of everything ---- */

static void test_random_graphs_replay(void **state)
{
    (void)state;
    for (uint32_t seed = 0; seed < 400; seed++) {
        for (int train = 0; train < 2; train++) {
            rn_graph g = {0};
            rn_plan p;
            char why[200];
            random_graph(&g, seed, 4, 8);
            if (rn_graph_finish(&g) < 0)
                fail_msg("graph %u: %s", seed, rn_error_text());
            assert_int_equal(rn_plan_make(&g, train, &p), RN_OK);
            if (!replay(&g, &p, train, why))
                fail_msg("graph %u %s: %s", seed, train ? "train" : "eval", why);
            rn_plan_free(&p);
            rn_graph_free(&g);
        }
    }
}

/* The life of such a slot is that of all it stands for, longer than its own. */
static bool is_shared_root(const rn_plan *p, int k)
{
    for (int i = 0; i < p->nslots; i++)
        if (i != k && p->slots[i].root == k)
            return true;
    return false;
}

/* The simulator is worth something only if it sees a bad plan. */
static void test_replay_sees_damage(void **state)
{
    (void)state;
    rn_model_spec spec = spec_of("resnet18", RN_STEM_IMAGENET, 64);
    for (int train = 0; train < 2; train++) {
        rn_graph g = build(&spec, 4);
        rn_plan p;
        char why[200];
        assert_int_equal(rn_plan_make(&g, train, &p), RN_OK);
        int seen = 0, moved = 0;
        for (int k = 0; k < p.nslots; k++) {
            for (int other = k % 5; other < p.nslots; other += 5) {
                const rn_slot a = p.slots[k], b = p.slots[other];
                if (!a.bytes || !b.bytes || a.root == b.root || a.last <= b.first || b.last <= a.first)
                    continue;
                if (is_shared_root(&p, k) || is_shared_root(&p, other))
                    continue;
                p.slots[k].offset = b.offset; /* two that live at the same time, in more than one step */
                moved++;
                seen += !replay(&g, &p, train, why);
                p.slots[k] = a;
            }
        }
        assert_true(moved > 5);
        assert_int_equal(seen, moved);
        assert_true(replay(&g, &p, train, why));
        for (int i = 0; train && i < g.nnodes; i++) {
            rn_node *n = &g.nodes[i];
            if (n->kind != RN_NODE_CONV || !g.values[n->in].needs_grad)
                continue;
            n->dx_beta = !n->dx_beta;
            assert_false(replay(&g, &p, train, why));
            n->dx_beta = !n->dx_beta;
        }
        rn_plan_free(&p);
        rn_graph_free(&g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_counts_of_variants),
        cmocka_unit_test(test_names_and_shapes),
        cmocka_unit_test(test_variants),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_plans_replay),
        cmocka_unit_test(test_replay_sees_damage),
        cmocka_unit_test(test_random_graphs_replay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
