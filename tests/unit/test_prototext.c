/* SPDX-License-Identifier: MIT */
/* Protobuf's text format: what is read, with which lines, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "nn/caffe/rn_caffe_schema.h"
#include "nn/caffe/rn_prototext.h"

static void open_text(rn_prototext *t, const char *text)
{
    int rc = rn_prototext_parse("net", text, t);
    if (rc < 0)
        fail_msg("%s", rn_error_text());
}

/* Node `i` is a scalar of that name, text and line. */
static void is(const rn_prototext *t, int i, const char *name, enum rn_pt_kind kind, const char *text, int line)
{
    assert_in_range(i, 1, t->n - 1);
    assert_string_equal(t->nodes[i].name, name);
    assert_int_equal(t->nodes[i].kind, kind);
    assert_string_equal(t->nodes[i].text, text);
    assert_int_equal(t->nodes[i].line, line);
}

static void scalars(void **state)
{
    (void)state;
    rn_prototext t;
    open_text(&t, "# a comment\na: 1 b:-2.5e-3, c : MAX;\n\nd: 'x' # no\n  \"y\" e: - inf\nf:0x1F g: .5f h: 1. i:1e+9");
    is(&t, 1, "a", RN_PT_NUMBER, "1", 2);
    is(&t, 2, "b", RN_PT_NUMBER, "-2.5e-3", 2);
    is(&t, 3, "c", RN_PT_WORD, "MAX", 2);
    is(&t, 4, "d", RN_PT_STRING, "xy", 4);
    is(&t, 5, "e", RN_PT_WORD, "-inf", 5);
    is(&t, 6, "f", RN_PT_NUMBER, "0x1F", 6);
    is(&t, 7, "g", RN_PT_NUMBER, ".5f", 6);
    is(&t, 8, "h", RN_PT_NUMBER, "1.", 6);
    is(&t, 9, "i", RN_PT_NUMBER, "1e+9", 6);
    assert_int_equal(t.n, 10);
    rn_prototext_free(&t);
}

static void messages(void **state)
{
    (void)state;
    rn_prototext t;
    open_text(&t, "m { a: 1 n: < b: 2 > } m: {}\nl: [1, 2,\n 3] p [{c: 4}, <d: 5>]; q: []");
    assert_int_equal(t.nodes[1].kind, RN_PT_MESSAGE);
    is(&t, t.nodes[1].child, "a", RN_PT_NUMBER, "1", 1);
    int n = t.nodes[t.nodes[1].child].next;
    assert_string_equal(t.nodes[n].name, "n");
    assert_int_equal(t.nodes[n].next, -1);
    is(&t, t.nodes[n].child, "b", RN_PT_NUMBER, "2", 1);
    int m = t.nodes[1].next;
    assert_string_equal(t.nodes[m].name, "m");
    assert_int_equal(t.nodes[m].child, -1);
    int l = t.nodes[m].next;
    is(&t, l, "l", RN_PT_NUMBER, "1", 2);
    is(&t, l + 1, "l", RN_PT_NUMBER, "2", 2);
    is(&t, l + 2, "l", RN_PT_NUMBER, "3", 3);
    assert_int_equal(t.nodes[l + 2].parent, 0);
    is(&t, t.nodes[l + 3].child, "c", RN_PT_NUMBER, "4", 3);
    assert_int_equal(t.n, l + 7);
    rn_prototext_free(&t);
}

static void strings(void **state)
{
    (void)state;
    rn_prototext t;
    open_text(&t, "a: \"\\n\\t\\\\\\\"'\" b: '\\101\\x42\\u00e9\\U0001F600\"' c: \"\"");
    assert_string_equal(t.nodes[1].text, "\n\t\\\"'");
    assert_string_equal(t.nodes[2].text, "AB\xc3\xa9\xf0\x9f\x98\x80\"");
    assert_string_equal(t.nodes[3].text, "");
    rn_prototext_free(&t);
}

static void refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *said;
    } cases[] = {
        {"a: 1\nb", "net:2: 'b' wants ':' and a value, or '{'"},
        {"a:\n\n", "net:3: the text ends where a value should come"},
        {"a: }", "net:1: a value is missing"},
        {"a: 1 }", "net:1: a field's name should stand here, not '}'"},
        {"m {\n a: 1\n", "net:3: the text ends inside 'm {' of line 1"},
        {"m { a: 1 >", "net:1: a field's name should stand here, not '>'"},
        {"a: \"x\ny\"", "net:1: the string does not end on its line"},
        {"a: 'x", "net:1: the string does not end"},
        {"a: '\\q'", "net:1: unknown escape"},
        {"a: '\\0'", "net:1: a string holds a zero byte"},
        {"a: '\\u12'", "net:1: \\u wants 4 hex digits"},
        {"a: '\\ud800'", "net:1: the string has a \\u of no character"},
        {"a: '\\777'", "net:1: an octal escape is above"},
        {"\n[x.y]: 1", "net:2: extensions"},
        {"a: [1 2]", "net:1: a list wants ',' or ']'"},
        {"a: [1,", "net:1: the text ends where a value should come"},
        {"a [1]", "net:1: 'a' wants ':'"},
        {"\x01", "net:1: a field's name should stand here, not '?'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rn_prototext t;
        assert_int_equal(rn_prototext_parse("net", cases[i].text, &t), RN_E_FORMAT);
        if (!strstr(rn_error_text(), cases[i].said))
            fail_msg("'%s': said '%s' and not '%s'", cases[i].text, rn_error_text(), cases[i].said);
        assert_null(t.nodes);
    }
}

static void deep(void **state)
{
    (void)state;
    rn_prototext t;
    char text[4 * RN_PROTOTEXT_MAX_DEPTH + 64] = "";
    for (int depth = RN_PROTOTEXT_MAX_DEPTH; depth <= RN_PROTOTEXT_MAX_DEPTH + 1; depth++) {
        memset(text, 0, sizeof text);
        for (int i = 0; i < depth; i++)
            strcat(text, "m{");
        for (int i = 0; i < depth; i++)
            strcat(text, "}");
        int rc = rn_prototext_parse("net", text, &t);
        assert_int_equal(rc, depth == RN_PROTOTEXT_MAX_DEPTH ? RN_OK : RN_E_RANGE);
        rn_prototext_free(&t);
    }
}

static void too_long(void **state)
{
    (void)state;
    rn_prototext t;
    size_t n = RN_PROTOTEXT_MAX_BYTES + 1;
    char *text = malloc(n + 1);
    assert_non_null(text);
    memset(text, ' ', n);
    text[n] = 0;
    assert_int_equal(rn_prototext_parse("net", text, &t), RN_E_RANGE);
    text[n - 1] = 0;
    assert_int_equal(rn_prototext_parse("net", text, &t), RN_OK);
    rn_prototext_free(&t);
    for (size_t i = 0; i + 5 < n; i += 4) /* more fields than the limit */
        memcpy(text + i, "a:1 ", 4);
    assert_int_equal(rn_prototext_parse("net", text, &t), RN_E_RANGE);
    free(text);
}

/* ---- the schema ---- */

static int check(const char *text, rn_prototext *t, const rn_caffe_field *fields)
{
    open_text(t, text);
    return rn_caffe_check(t, 0, fields);
}

static void values(void **state)
{
    (void)state;
    rn_prototext t;
    assert_int_equal(check("base_lr: 1e-2 max_iter: 0x10 solver_mode: CPU type: 'SGD' stepvalue: 5 stepvalue: 9 "
                           "snapshot_diff: false weight_decay: .5f solver_type: 1 gamma: -inf",
                           &t, rn_caffe_solver_fields),
                     RN_OK);
    assert_true(rn_cf_real(&t, 0, "base_lr", 0) > 0.00999 && rn_cf_real(&t, 0, "base_lr", 0) < 0.01001);
    assert_int_equal(rn_cf_int(&t, 0, "max_iter", 0), 16);
    assert_int_equal(rn_cf_int(&t, 0, "solver_mode", 1), 0);
    assert_string_equal(rn_cf_text(&t, 0, "type"), "SGD");
    assert_int_equal(rn_cf_count(&t, 0, "stepvalue"), 2);
    assert_int_equal(t.nodes[rn_cf_next(&t, rn_cf_find(&t, 0, "stepvalue"))].num, 9);
    assert_int_equal(rn_cf_int(&t, 0, "solver_type", 0), 1);
    assert_int_equal(rn_cf_int(&t, 0, "display", 7), 7);
    assert_null(rn_cf_text(&t, 0, "net"));
    /* snapshot_diff says its default, weight_decay and gamma say something and nobody asked. */
    assert_int_equal(rn_caffe_check_used(&t, 0, "why"), RN_E_UNSUPPORTED);
    assert_non_null(strstr(rn_error_text(), "weight_decay: not supported (why)"));
    rn_cf_real(&t, 0, "weight_decay", 0);
    rn_cf_real(&t, 0, "gamma", 0);
    assert_int_equal(rn_caffe_check_used(&t, 0, NULL), RN_OK);
    rn_prototext_free(&t);
}

static void wrong_values(void **state)
{
    (void)state;
    static const struct {
        const char *text, *said;
    } cases[] = {
        {"base_lr: 1\n\nbase_rl: 1", "f:3: base_rl: Caffe has no such field here"},
        {"base_lr: 1\nbase_lr: 1", "f:2: base_lr: given for the second time (first in line 1)"},
        {"base_lr: '1'", "f:1: base_lr: a number is wanted, not \"1\""},
        {"base_lr: 1x", "f:1: base_lr: a number is wanted, not 1x"},
        {"base_lr: 010", "f:1: base_lr: a number is wanted"},
        {"base_lr { }", "f:1: base_lr: a number is wanted, not { }"},
        {"max_iter: 1.5", "f:1: max_iter: an integer of 32 bits is wanted, not 1.5"},
        {"max_iter: 2147483648", "f:1: max_iter: an integer"},
        {"max_iter: 99999999999999999999", "f:1: max_iter: an integer"},
        {"solver_mode: TPU", "f:1: solver_mode: one of CPU, GPU is wanted, not TPU"},
        {"solver_mode: 'CPU'", "f:1: solver_mode: one of CPU, GPU is wanted, not \"CPU\""},
        {"snapshot_diff: maybe", "f:1: snapshot_diff: true or false is wanted, not maybe"},
        {"net: net", "f:1: net: a quoted text is wanted, not net"},
        {"train_state: 1", "f:1: train_state: '{' is wanted, not 1"},
        {"train_state {\nlevle: 1 }", "f:2: train_state.levle: Caffe has no such field here"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rn_prototext t;
        assert_int_equal(rn_prototext_parse("f", cases[i].text, &t), RN_OK);
        assert_int_equal(rn_caffe_check(&t, 0, rn_caffe_solver_fields), RN_E_FORMAT);
        if (!strstr(rn_error_text(), cases[i].said))
            fail_msg("'%s': said '%s' and not '%s'", cases[i].text, rn_error_text(), cases[i].said);
        rn_prototext_free(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(scalars), cmocka_unit_test(messages),
                                       cmocka_unit_test(strings), cmocka_unit_test(refused),
                                       cmocka_unit_test(deep),    cmocka_unit_test(too_long),
                                       cmocka_unit_test(values),  cmocka_unit_test(wrong_values)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
