/* SPDX-License-Identifier: MIT */
/* A tree of text under a schema: types, reading, and what was not read. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/rn_error.h"
#include "nn/caffe/rn_caffe_schema.h"

/* ---- values ---- */

/* Decimal, hex (0x), octal (a leading 0), with a minus. */
static bool parse_int(const rn_pt_node *n, int64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoll(n->text, &end, 0);
    return n->kind == RN_PT_NUMBER && errno == 0 && end > n->text && *end == 0;
}

static bool parse_real(const rn_pt_node *n, double *out)
{
    const char *text = n->text, *digits = text + (*text == '-');
    char *end;
    if (n->kind == RN_PT_WORD) { /* in any case */
        bool inf = strcasecmp(digits, "inf") == 0 || strcasecmp(digits, "infinity") == 0;
        *out = !inf ? (double)NAN : digits > text ? -(double)INFINITY : (double)INFINITY;
        return inf || strcasecmp(digits, "nan") == 0;
    }
    if (n->kind != RN_PT_NUMBER || (*digits == '0' && isalnum((unsigned char)digits[1]) && digits[1] != 'e' &&
                                    digits[1] != 'E' && digits[1] != 'f'))
        return false; /* hex and octal are for integers: what 010 means for a float, readers disagree on */
    *out = strtod(text, &end);
    end += (*end == 'f' || *end == 'F') && end > digits;
    return end > digits && *end == 0;
}

static bool parse_bool(const rn_pt_node *n, int64_t *out)
{
    static const char *const yes[] = {"true", "True", "t", "1"}, *const no[] = {"false", "False", "f", "0"};
    for (int i = 0; i < 4; i++)
        if (strcmp(n->text, yes[i]) == 0 || strcmp(n->text, no[i]) == 0) {
            *out = strcmp(n->text, yes[i]) == 0;
            return n->kind != RN_PT_STRING;
        }
    return false;
}

/* The word's place, or the number that stands for it. */
static bool parse_enum(const rn_pt_node *n, const char *const *words, int64_t *out)
{
    int64_t i;
    for (i = 0; words[i]; i++)
        if (n->kind == RN_PT_WORD && strcmp(n->text, words[i]) == 0) {
            *out = i;
            return true;
        }
    return parse_int(n, out) && *out >= 0 && *out < i && words != rn_caffe_v1_types;
}

static int wrong(const rn_prototext *t, int node, const char *wanted)
{
    const rn_pt_node *n = &t->nodes[node];
    const char *quote = n->kind == RN_PT_STRING ? "\"" : "";
    if (n->kind == RN_PT_MESSAGE)
        return rn_pt_fail(t, node, RN_E_FORMAT, "%s is wanted, not { }", wanted);
    return rn_pt_fail(t, node, RN_E_FORMAT, "%s is wanted, not %s%.60s%s", wanted, quote, n->text, quote);
}

static int wrong_word(const rn_prototext *t, int node, const char *const *words)
{
    char text[200] = "one of";
    for (int i = 0; words[i]; i++) {
        size_t at = strlen(text);
        if (i == 8) {
            snprintf(text + at, sizeof text - at, ", ...");
            break;
        }
        snprintf(text + at, sizeof text - at, "%s %s", i ? "," : "", words[i]);
    }
    return wrong(t, node, text);
}

static int set_value(rn_prototext *t, int node)
{
    rn_pt_node *n = &t->nodes[node];
    switch (n->field->type) {
    case RN_CF_INT:
        if (!parse_int(n, &n->num) || n->num < INT32_MIN || n->num > INT32_MAX)
            return wrong(t, node, "an integer of 32 bits");
        break;
    case RN_CF_UINT:
        if (!parse_int(n, &n->num) || n->num < 0 || n->num > INT32_MAX)
            return wrong(t, node, "an integer from 0 to 2147483647");
        break;
    case RN_CF_REAL:
        if (!parse_real(n, &n->real))
            return wrong(t, node, "a number");
        break;
    case RN_CF_BOOL:
        if (!parse_bool(n, &n->num))
            return wrong(t, node, "true or false");
        break;
    case RN_CF_TEXT:
        if (n->kind != RN_PT_STRING)
            return wrong(t, node, "a quoted text");
        break;
    case RN_CF_ENUM:
        if (!parse_enum(n, n->field->words, &n->num))
            return wrong_word(t, node, n->field->words);
        break;
    case RN_CF_MESSAGE:
    case RN_CF_OPAQUE:
        if (n->kind != RN_PT_MESSAGE)
            return wrong(t, node, "'{'");
        break;
    }
    if (n->field->type != RN_CF_REAL)
        n->real = (double)n->num;
    return RN_OK;
}

static const rn_caffe_field *field_of(const rn_caffe_field *fields, const char *name)
{
    for (; fields->name; fields++)
        if (strcmp(fields->name, name) == 0)
            return fields;
    return NULL;
}

/* Another one of the same name before it, or -1. */
static int earlier(const rn_prototext *t, int node)
{
    for (int i = t->nodes[t->nodes[node].parent].child; i != node; i = t->nodes[i].next)
        if (strcmp(t->nodes[i].name, t->nodes[node].name) == 0)
            return i;
    return -1;
}

int rn_caffe_check(rn_prototext *t, int node, const rn_caffe_field *fields)
{
    for (int i = t->nodes[node].child; i >= 0; i = t->nodes[i].next) {
        rn_pt_node *n = &t->nodes[i];
        n->field = field_of(fields, n->name);
        if (!n->field)
            return rn_pt_fail(t, i, RN_E_FORMAT, "Caffe has no such field here");
        int before = n->field->flags & RN_CF_REPEATED ? -1 : earlier(t, i);
        if (before >= 0)
            return rn_pt_fail(t, i, RN_E_FORMAT, "given for the second time (first in line %d)", t->nodes[before].line);
        RN_TRY(set_value(t, i));
        if (n->field->type == RN_CF_MESSAGE)
            RN_TRY(rn_caffe_check(t, i, n->field->fields));
    }
    return RN_OK;
}

/* ---- reading ---- */

static int find(const rn_prototext *t, int message, const char *name)
{
    if (message < 0)
        return -1;
    for (int i = t->nodes[message].child; i >= 0; i = t->nodes[i].next)
        if (strcmp(t->nodes[i].name, name) == 0)
            return i;
    return -1;
}

int rn_cf_find(rn_prototext *t, int message, const char *name)
{
    int i = find(t, message, name);
    if (i >= 0)
        t->nodes[i].used = true;
    return i;
}

int rn_cf_next(rn_prototext *t, int node)
{
    const char *name = t->nodes[node].name;
    for (int i = t->nodes[node].next; i >= 0; i = t->nodes[i].next)
        if (strcmp(t->nodes[i].name, name) == 0) {
            t->nodes[i].used = true;
            return i;
        }
    return -1;
}

int rn_cf_count(const rn_prototext *t, int message, const char *name)
{
    int n = 0;
    for (int i = message < 0 ? -1 : t->nodes[message].child; i >= 0; i = t->nodes[i].next)
        n += strcmp(t->nodes[i].name, name) == 0;
    return n;
}

bool rn_cf_has(const rn_prototext *t, int message, const char *name)
{
    return find(t, message, name) >= 0;
}

int64_t rn_cf_int(rn_prototext *t, int message, const char *name, int64_t dflt)
{
    int i = rn_cf_find(t, message, name);
    return i >= 0 ? t->nodes[i].num : dflt;
}

double rn_cf_real(rn_prototext *t, int message, const char *name, double dflt)
{
    int i = rn_cf_find(t, message, name);
    return i >= 0 ? t->nodes[i].real : dflt;
}

bool rn_cf_bool(rn_prototext *t, int message, const char *name, bool dflt)
{
    return rn_cf_int(t, message, name, dflt) != 0;
}

const char *rn_cf_text(rn_prototext *t, int message, const char *name)
{
    int i = rn_cf_find(t, message, name);
    return i >= 0 ? t->nodes[i].text : NULL;
}

/* ---- what was not read ---- */

static bool says_default(const rn_pt_node *n)
{
    enum rn_cf_type type = n->field->type;
    bool number = type != RN_CF_TEXT && type != RN_CF_MESSAGE && type != RN_CF_OPAQUE;
    return number && !(n->field->flags & RN_CF_REPEATED) && n->real >= n->field->dflt && n->real <= n->field->dflt;
}

/* A message that was not read is told by the first of its fields that would change something. */
static int first_unused(const rn_prototext *t, int node)
{
    for (int i = t->nodes[node].child; i >= 0; i = t->nodes[i].next) {
        const rn_pt_node *n = &t->nodes[i];
        if (n->field->type == RN_CF_MESSAGE) {
            int inner = first_unused(t, i);
            if (inner >= 0)
                return inner;
        } else if (!n->used && !(n->field->flags & RN_CF_INERT) && !says_default(n)) {
            return i;
        }
    }
    return -1;
}

int rn_caffe_check_used(const rn_prototext *t, int node, const char *why)
{
    int i = first_unused(t, node);
    if (i < 0)
        return RN_OK;
    return rn_pt_fail(t, i, RN_E_UNSUPPORTED, "not supported%s%s%s", why ? " (" : "", why ? why : "", why ? ")" : "");
}
