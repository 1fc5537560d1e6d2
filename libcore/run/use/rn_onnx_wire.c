/* SPDX-License-Identifier: MIT */
#include "run/use/rn_onnx_wire.h"

#include <string.h>

#include "base/rn_error.h"

enum { VARINT = 0, DELIMITED = 2, FIXED32 = 5 };
enum { ATTR_FLOAT = 1, ATTR_INT = 2, ATTR_INTS = 7 };

static void put(rn_wire *w, const void *data, size_t n)
{
    if (w->rc >= 0)
        w->rc = rn_buf_append(&w->b, data, n);
}

static void put_varint(rn_wire *w, uint64_t v)
{
    uint8_t bytes[10];
    size_t n = 0;
    for (; v > 127; v >>= 7)
        bytes[n++] = (uint8_t)(v | 128);
    bytes[n++] = (uint8_t)v;
    put(w, bytes, n);
}

static void put_key(rn_wire *w, int field, int type)
{
    put_varint(w, (uint64_t)field << 3 | (uint64_t)type);
}

void rn_wire_int(rn_wire *w, int field, int64_t v)
{
    put_key(w, field, VARINT);
    put_varint(w, (uint64_t)v);
}

static void put_float(rn_wire *w, int field, float v)
{
    put_key(w, field, FIXED32);
    put(w, &v, sizeof v);
}

static void put_bytes(rn_wire *w, int field, const void *data, size_t n)
{
    put_key(w, field, DELIMITED);
    put_varint(w, n);
    put(w, data, n);
}

void rn_wire_text(rn_wire *w, int field, const char *text)
{
    put_bytes(w, field, text, strlen(text));
}

void rn_wire_message(rn_wire *w, int field, rn_wire *part)
{
    if (part->rc < 0)
        w->rc = part->rc;
    put_bytes(w, field, part->b.data, part->b.n);
    rn_buf_free(&part->b);
}

/* ---- ONNX ---- */

static rn_wire attribute(const char *name, int type)
{
    rn_wire a = {0};
    rn_wire_text(&a, 1, name);
    rn_wire_int(&a, 20, type);
    return a;
}

void rn_onnx_attr_int(rn_wire *node, const char *name, int64_t v)
{
    rn_wire a = attribute(name, ATTR_INT);
    rn_wire_int(&a, 3, v);
    rn_wire_message(node, 5, &a);
}

void rn_onnx_attr_ints(rn_wire *node, const char *name, const int64_t *v, int n)
{
    rn_wire a = attribute(name, ATTR_INTS);
    for (int i = 0; i < n; i++)
        rn_wire_int(&a, 8, v[i]);
    rn_wire_message(node, 5, &a);
}

void rn_onnx_attr_float(rn_wire *node, const char *name, float v)
{
    rn_wire a = attribute(name, ATTR_FLOAT);
    put_float(&a, 2, v);
    rn_wire_message(node, 5, &a);
}

void rn_onnx_tensor(rn_wire *graph, const char *name, enum rn_onnx_dtype type, int nd, const int64_t *dim,
                    const void *data, size_t bytes)
{
    rn_wire t = {0};
    for (int i = 0; i < nd; i++)
        rn_wire_int(&t, 1, dim[i]);
    rn_wire_int(&t, 2, type);
    rn_wire_text(&t, 8, name);
    put_bytes(&t, 9, data, bytes);
    rn_wire_message(graph, 5, &t);
}

void rn_onnx_value(rn_wire *graph, int field, const char *name, enum rn_onnx_dtype type, int nd, const int64_t *dim)
{
    rn_wire shape = {0}, tensor = {0}, kind = {0}, value = {0};
    for (int i = 0; i < nd; i++) {
        rn_wire d = {0};
        if (dim[i] < 0)
            rn_wire_text(&d, 2, "N");
        else
            rn_wire_int(&d, 1, dim[i]);
        rn_wire_message(&shape, 1, &d);
    }
    rn_wire_int(&tensor, 1, type);
    rn_wire_message(&tensor, 2, &shape);
    rn_wire_message(&kind, 1, &tensor);
    rn_wire_text(&value, 1, name);
    rn_wire_message(&value, 2, &kind);
    rn_wire_message(graph, field, &value);
}
