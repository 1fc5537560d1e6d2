/* SPDX-License-Identifier: MIT */
/*
 * ONNX messages as bytes: what of onnx.proto the exporter writes, in protobuf's wire format. By hand, because a message of
 * protobuf-c would hold a second copy of all weights. Field numbers are those of ONNX 1.8's onnx.proto (IR version 7).
 */
#ifndef RN_ONNX_WIRE_H
#define RN_ONNX_WIRE_H

#include "base/rn_io.h"

enum rn_onnx_dtype { RN_ONNX_FLOAT = 1, RN_ONNX_UINT8 = 2, RN_ONNX_INT64 = 7 };

/* Fields of any message; failures stick in rc (RN_E_NOMEM), after which nothing is done. */
typedef struct rn_wire {
    rn_buf b;
    int rc;
} rn_wire;

void rn_wire_int(rn_wire *w, int field, int64_t v);
void rn_wire_text(rn_wire *w, int field, const char *text);
/* Appends `part` as a message and frees it. */
void rn_wire_message(rn_wire *w, int field, rn_wire *part);

/* NodeProto's attributes. */
void rn_onnx_attr_int(rn_wire *node, const char *name, int64_t v);
void rn_onnx_attr_ints(rn_wire *node, const char *name, const int64_t *v, int n);
void rn_onnx_attr_float(rn_wire *node, const char *name, float v);

/* GraphProto's initializers and, for `field` 11 and 12, inputs and outputs. dim -1: the symbol "N". */
void rn_onnx_tensor(rn_wire *graph, const char *name, enum rn_onnx_dtype type, int nd, const int64_t *dim,
                    const void *data, size_t bytes);
void rn_onnx_value(rn_wire *graph, int field, const char *name, enum rn_onnx_dtype type, int nd, const int64_t *dim);

#endif
