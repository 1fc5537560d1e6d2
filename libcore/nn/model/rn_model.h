/* SPDX-License-Identifier: MIT */
/* From a model's name to its graph. One row a model in rn_model.c; one builder a family. */
#ifndef RN_MODEL_H
#define RN_MODEL_H

#include "nn/graph/rn_graph.h"

/* Builds the graph of `spec` for `batch` images into a zeroed `g` and finishes it. On failure the caller still
 * frees g. RN_E_USAGE: unknown architecture; RN_E_RANGE: a number of the spec is out of range. */
int rn_model_build(const rn_model_spec *spec, int batch, rn_graph *g);

/* Channels under the width multiplier: a multiple of 8, at least 8. */
int rn_model_scaled(int channels, double width);

/* Dropout of the spec's probability, or of the usual one where the spec leaves it to the model; none at 0. */
int rn_model_dropout(rn_graph *g, const rn_model_spec *spec, int x, const char *name, double usual);

/* torchvision's AlexNet; CaffeNet, or with norm_first BVLC's AlexNet; the net of the GHIM-10k study. */
void rn_alexnet_build(rn_graph *g, const rn_model_spec *spec, int batch);
void rn_caffenet_build(rn_graph *g, const rn_model_spec *spec, bool norm_first, int batch);
void rn_ghim5_build(rn_graph *g, const rn_model_spec *spec, int batch);

/* Residual networks (He et al. 2015, arXiv 1512.03385), their variants and squeeze and excitation. blocks: per stage. */
typedef struct rn_resnet_shape {
    int blocks[4];
    bool bottleneck; /* 1x1, 3x3, 1x1 with four times the channels; where the stride is: enum rn_variant */
} rn_resnet_shape;
void rn_resnet_build(rn_graph *g, const rn_model_spec *spec, const rn_resnet_shape *shape, int batch);

#endif
