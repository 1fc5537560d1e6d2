/* SPDX-License-Identifier: MIT */
/*
 * Protocol buffers' text format (protobuf.dev/reference/protobuf/textformat-spec) as a tree that knows its lines. It is read
 * without a schema: what the names and values mean is decided by who walks the tree (rn_caffe_schema.h).
 *
 * Read: `name: value`, `name { ... }`, `name: { ... }` and both with < >; lists `name: [a, b]`, which are the field repeated;
 * separators , and ; after a field; comments from # to the end of the line; strings in " or ', with escapes, adjacent ones
 * joined; numbers in decimal, hex and octal, with exponents and an f at the end; inf, nan, names of enums. Extensions and Any
 * ("[a.b] { }") are errors: Caffe has none.
 *
 * Limits, each an error with its line: RN_PROTOTEXT_MAX_BYTES of text, messages nested RN_PROTOTEXT_MAX_DEPTH deep,
 * RN_PROTOTEXT_MAX_NODES fields. A zero byte in a string is an error.
 */
#ifndef RN_PROTOTEXT_H
#define RN_PROTOTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RN_PROTOTEXT_MAX_BYTES = 8 << 20, RN_PROTOTEXT_MAX_DEPTH = 64, RN_PROTOTEXT_MAX_NODES = 1 << 20 };

enum rn_pt_kind {
    RN_PT_MESSAGE,
    RN_PT_STRING, /* was quoted */
    RN_PT_NUMBER, /* text is the token: "-0x1f", "1e-3", ".5f" */
    RN_PT_WORD    /* an identifier, perhaps with a minus: true, MAX, -inf */
};

/* A field. Nodes are numbered in the order of the text; node 0 is the whole, a message without a name. */
typedef struct rn_pt_node {
    const char *name;
    const char *text; /* value of a scalar; "" for messages */
    enum rn_pt_kind kind;
    int line;
    int parent, child, next; /* -1: none. child: first field of a message */
    /* What a schema makes of it (rn_caffe_schema.h); zero until then. */
    const struct rn_caffe_field *field;
    double real;
    int64_t num; /* integers, bools, the place of an enum's word */
    bool used;   /* somebody has asked for it */
} rn_pt_node;

typedef struct rn_prototext {
    char *file; /* for messages */
    char *mem;  /* all strings */
    rn_pt_node *nodes;
    int n, cap;
} rn_prototext;

/* Parses `text`; `file` stands for it in errors. RN_E_FORMAT with FILE:LINE, RN_E_RANGE beyond a limit, RN_E_NOMEM. */
int rn_prototext_parse(const char *file, const char *text, rn_prototext *out);
void rn_prototext_free(rn_prototext *t); /* accepts a zeroed one */

/* "FILE:LINE: conv1 convolution_param.pad: TEXT" as this thread's message, where conv1 is the `name` that an enclosing
 * message has, if any. Returns `code`. */
int rn_pt_fail(const rn_prototext *t, int node, int code, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* The field's names from the outermost message on that is no layer: "convolution_param.pad". */
void rn_pt_path(const rn_prototext *t, int node, char *out, size_t cap);

#endif
