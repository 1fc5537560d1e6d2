/* SPDX-License-Identifier: MIT */
#include "nn/caffe/rn_prototext.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"

/*
 * Strings go into `mem` one after another. Unescaped, none is longer than what it came from but for \u, whose six
 * characters become at most three bytes, and the ends of names and numbers, which need a zero each: one for at least one
 * character of text and a separator, but where two tokens touch ("a:1"). Twice the text is always enough.
 */
typedef struct reader {
    rn_prototext *t;
    const char *p;
    int line;
    size_t at; /* in mem */
} reader;

static int bad(const reader *r, const char *what)
{
    return rn_fail(RN_E_FORMAT, "%s:%d: %s", r->t->file, r->line, what);
}

static bool is_name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name(char c)
{
    return is_name_start(c) || is_digit(c);
}

/* To the next token: blanks and comments. */
static void skip(reader *r)
{
    for (;; r->p++) {
        if (*r->p == '#')
            r->p += strcspn(r->p, "\n");
        if (*r->p == '\n')
            r->line++;
        else if (*r->p != ' ' && *r->p != '\t' && *r->p != '\r' && *r->p != '\v' && *r->p != '\f')
            return;
    }
}

static bool take(reader *r, char c)
{
    if (*r->p != c)
        return false;
    r->p++;
    skip(r);
    return true;
}

static const char *keep(reader *r, const char *from, size_t n)
{
    char *s = r->t->mem + r->at;
    memcpy(s, from, n);
    s[n] = 0;
    r->at += n + 1;
    return s;
}

static int add_node(reader *r, int parent, int *last, const char *name, int line, int *out)
{
    rn_prototext *t = r->t;
    if (t->n == RN_PROTOTEXT_MAX_NODES)
        return rn_fail(RN_E_RANGE, "%s:%d: more than %d fields", t->file, r->line, (int)RN_PROTOTEXT_MAX_NODES);
    if (t->n == t->cap) {
        int cap = t->cap ? 2 * t->cap : 256;
        rn_pt_node *more = realloc(t->nodes, (size_t)cap * sizeof *more);
        if (!more)
            return rn_fail(RN_E_NOMEM, "%s: out of memory", t->file);
        t->nodes = more;
        t->cap = cap;
    }
    int i = t->n++;
    t->nodes[i] = (rn_pt_node){.name = name, .text = "", .line = line, .parent = parent, .child = -1, .next = -1};
    if (*last >= 0)
        t->nodes[*last].next = i;
    else if (parent >= 0)
        t->nodes[parent].child = i;
    *last = *out = i;
    return RN_OK;
}

/* ---- scalars ---- */

static int hex_digit(char c)
{
    return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Up to `most` digits of base 8 or 16; their number, or 0. */
static int digits(reader *r, int base, int most, uint32_t *value)
{
    int n = 0, d;
    for (*value = 0; n < most && (d = hex_digit(*r->p)) >= 0 && d < base; n++, r->p++)
        *value = *value * (uint32_t)base + (uint32_t)d;
    return n;
}

static int put_utf8(reader *r, uint32_t c)
{
    char *s = r->t->mem + r->at;
    if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return bad(r, "the string has a \\u of no character");
    int tail = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const unsigned char lead[4] = {0, 0xc0, 0xe0, 0xf0};
    *s++ = (char)(lead[tail] | (c >> (6 * tail)));
    for (int i = tail - 1; i >= 0; i--)
        *s++ = (char)(0x80 | (c >> (6 * i) & 0x3f));
    r->at += (size_t)tail + 1;
    return RN_OK;
}

/* After the backslash. */
static int escape(reader *r)
{
    static const char from[] = "abfnrtv\\'\"?", to[] = "\a\b\f\n\r\t\v\\'\"?";
    uint32_t v;
    char c = *r->p;
    const char *known = c ? strchr(from, c) : NULL;
    if (known) {
        r->p++;
        r->t->mem[r->at++] = to[known - from];
        return RN_OK;
    }
    if (c == 'u' || c == 'U') {
        r->p++;
        int want = c == 'u' ? 4 : 8;
        return digits(r, 16, want, &v) == want ? put_utf8(r, v) : bad(r, "\\u wants 4 hex digits, \\U 8");
    }
    if (c == 'x' || c == 'X') {
        r->p++;
        if (!digits(r, 16, 2, &v))
            return bad(r, "\\x wants hex digits");
    } else if (!digits(r, 8, 3, &v)) {
        return bad(r, "unknown escape in a string");
    }
    if (v == 0 || v > 255)
        return bad(r, v ? "an octal escape is above \\377" : "a string holds a zero byte");
    r->t->mem[r->at++] = (char)v;
    return RN_OK;
}

/* Adjacent strings are one. */
static int string(reader *r, const char **out)
{
    *out = r->t->mem + r->at;
    while (*r->p == '"' || *r->p == '\'') {
        char quote = *r->p++;
        while (*r->p != quote) {
            if (*r->p == '\n' || *r->p == 0)
                return bad(r, "the string does not end on its line");
            if (*r->p == '\\') {
                r->p++;
                RN_TRY(escape(r));
            } else {
                r->t->mem[r->at++] = *r->p++;
            }
        }
        r->p++;
        skip(r);
    }
    r->t->mem[r->at++] = 0;
    return RN_OK;
}

/* What looks like a number; whether it is one of the field's type, its reader decides. */
static size_t number_length(const char *p)
{
    size_t n = 0;
    while (is_name(p[n]) || p[n] == '.' ||
           ((p[n] == '-' || p[n] == '+') && n && (p[n - 1] | 0x20) == 'e' && p[1] != 'x'))
        n++;
    return n;
}

static int scalar(reader *r, int node)
{
    const char *text, *from = r->p;
    enum rn_pt_kind kind;
    if (*r->p == '"' || *r->p == '\'') {
        RN_TRY(string(r, &text));
        r->t->nodes[node].kind = RN_PT_STRING;
        r->t->nodes[node].text = text;
        return RN_OK;
    }
    bool minus = take(r, '-');
    size_t n = 0;
    if (is_digit(*r->p) || (*r->p == '.' && is_digit(r->p[1]))) {
        kind = RN_PT_NUMBER;
        n = number_length(r->p);
    } else if (is_name_start(*r->p)) {
        kind = RN_PT_WORD;
        while (is_name(r->p[n]))
            n++;
    } else {
        return bad(r, *from ? "a value is missing after ':'" : "the text ends where a value should come");
    }
    char *s = r->t->mem + r->at;
    if (minus)
        r->t->mem[r->at++] = '-';
    keep(r, r->p, n);
    r->p += n;
    skip(r);
    r->t->nodes[node].kind = kind;
    r->t->nodes[node].text = s;
    return RN_OK;
}

/* ---- fields ---- */

static int fields(reader *r, int message, char end, int depth); /* messages hold messages */

static int value(reader *r, int parent, int *last, const char *name, int line, bool colon, int depth)
{
    int node = 0;
    RN_TRY(add_node(r, parent, last, name, line, &node));
    bool brace = *r->p == '{';
    if (brace || *r->p == '<') {
        int opened = r->line;
        r->p++;
        skip(r);
        if (depth == RN_PROTOTEXT_MAX_DEPTH)
            return rn_fail(RN_E_RANGE, "%s:%d: messages nested more than %d deep", r->t->file, r->line,
                           (int)RN_PROTOTEXT_MAX_DEPTH);
        r->t->nodes[node].kind = RN_PT_MESSAGE;
        RN_TRY(fields(r, node, brace ? '}' : '>', depth + 1));
        if (!take(r, brace ? '}' : '>'))
            return rn_fail(RN_E_FORMAT, "%s:%d: the text ends inside '%s %c' of line %d", r->t->file, r->line, name,
                           brace ? '{' : '<', opened);
        return RN_OK;
    }
    if (!colon)
        return rn_fail(RN_E_FORMAT, "%s:%d: '%s' wants ':' and a value, or '{'", r->t->file, r->line, name);
    return scalar(r, node);
}

static int list(reader *r, int parent, int *last, const char *name, bool colon, int depth)
{
    if (take(r, ']'))
        return RN_OK;
    do
        RN_TRY(value(r, parent, last, name, r->line, colon, depth));
    while (take(r, ','));
    return take(r, ']') ? RN_OK : bad(r, "a list wants ',' or ']'");
}

/* The fields up to `end` (0: the end of the text), which is left for the caller. */
static int fields(reader *r, int message, char end, int depth)
{
    int last = -1;
    for (;;) {
        if (*r->p == 0 || *r->p == end)
            return RN_OK;
        if (!is_name_start(*r->p)) {
            char text[80];
            snprintf(text, sizeof text,
                     *r->p == '[' ? "extensions ('[') are not supported" : "a field's name should stand here, not '%c'",
                     *r->p >= ' ' && *r->p < 127 ? *r->p : '?');
            return bad(r, text);
        }
        int line = r->line;
        size_t n = 0;
        while (is_name(r->p[n]))
            n++;
        const char *name = keep(r, r->p, n);
        r->p += n;
        skip(r);
        bool colon = take(r, ':');
        if (take(r, '['))
            RN_TRY(list(r, message, &last, name, colon, depth));
        else
            RN_TRY(value(r, message, &last, name, line, colon, depth));
        if (!take(r, ','))
            take(r, ';');
    }
}

int rn_prototext_parse(const char *file, const char *text, rn_prototext *out)
{
    *out = (rn_prototext){0};
    size_t n = strlen(text);
    if (n > RN_PROTOTEXT_MAX_BYTES)
        return rn_fail(RN_E_RANGE, "%s: %zu bytes of text; at most %d are read", file, n, (int)RN_PROTOTEXT_MAX_BYTES);
    out->file = strdup(file);
    out->mem = malloc(2 * n + 16);
    int rc = out->file && out->mem ? RN_OK : rn_fail(RN_E_NOMEM, "%s: out of memory", file);
    reader r = {.t = out, .p = text, .line = 1};
    int root, last = -1;
    if (rc == RN_OK)
        rc = add_node(&r, -1, &last, "", 1, &root);
    if (rc == RN_OK) {
        skip(&r);
        rc = fields(&r, root, 0, 0);
    }
    if (rc < 0)
        rn_prototext_free(out);
    return rc;
}

void rn_prototext_free(rn_prototext *t)
{
    free(t->file);
    free(t->mem);
    free(t->nodes);
    *t = (rn_prototext){0};
}

/* ---- messages ---- */

static bool is_layer(const rn_pt_node *n)
{
    return strcmp(n->name, "layer") == 0 || strcmp(n->name, "layers") == 0;
}

void rn_pt_path(const rn_prototext *t, int node, char *out, size_t cap)
{
    char tail[256] = "";
    for (int i = node; i > 0; i = t->nodes[i].parent) {
        char more[sizeof tail];
        if (is_layer(&t->nodes[i]) && i != node)
            break;
        snprintf(more, sizeof more, "%.100s%s%.140s", t->nodes[i].name, *tail ? "." : "", tail);
        memcpy(tail, more, sizeof tail);
    }
    snprintf(out, cap, "%s", tail);
}

/* The enclosing layer's name, "" if it has none. */
static const char *layer_name(const rn_prototext *t, int node)
{
    while (node > 0 && !is_layer(&t->nodes[node]))
        node = t->nodes[node].parent;
    if (node > 0)
        for (int i = t->nodes[node].child; i >= 0; i = t->nodes[i].next)
            if (strcmp(t->nodes[i].name, "name") == 0 && t->nodes[i].kind == RN_PT_STRING)
                return t->nodes[i].text;
    return "";
}

int rn_pt_fail(const rn_prototext *t, int node, int code, const char *fmt, ...)
{
    char text[600], path[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    rn_pt_path(t, node, path, sizeof path);
    const char *layer = layer_name(t, node);
    return rn_fail(code, "%s:%d: %s%.80s%s%s%s%s", t->file, t->nodes[node].line, *layer ? "'" : "", layer,
                   *layer ? "' " : "", path, *path ? ": " : "", text);
}
