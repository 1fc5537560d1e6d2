/* SPDX-License-Identifier: MIT */
/*
 * A graph and its weights as an ONNX model, opset 13: NCHW, one input "input", one output "logits" (before the softmax),
 * weights under their names and in torch's layouts. Batch norm is kept, so that the weights can be told in it.
 */
#ifndef RN_ONNX_H
#define RN_ONNX_H

#include "nn/graph/rn_graph.h"
#include "run/save/rn_safetensors.h"

typedef struct rn_onnx_meta {
    const char *key, *text; /* of metadata_props */
} rn_onnx_meta;

typedef struct rn_onnx_opts {
    int64_t batch;           /* 0: any ("N") */
    bool raw;                /* input: uint8 pixels, normalised inside; otherwise f32, normalised by the caller */
    const float *mean, *std; /* raw: per channel, of pixels in 0..1 */
    float bn_eps;            /* of batch norms that name none */
    const rn_onnx_meta *meta;
    int nmeta;
} rn_onnx_opts;

/* `g` is finished, of the evaluation phase; `weights` has all its parameters. RN_E_UNSUPPORTED names a layer that has no
 * equivalent. */
int rn_onnx_build(const rn_graph *g, const rn_st_file *weights, const rn_onnx_opts *opts, rn_buf *out);

#endif
