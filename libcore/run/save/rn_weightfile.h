/* SPDX-License-Identifier: MIT */
/*
 * A network's parameters as safetensors, under torchvision's names and in its layouts: convolutions OIHW in the file,
 * OHWI in memory; for every batch norm also `num_batches_tracked`, so that
 * torchvision.models.resnet18().load_state_dict(safetensors.torch.load_file(f)) takes the file whole.
 */
#ifndef RN_WEIGHTFILE_H
#define RN_WEIGHTFILE_H

#include "base/rn_io.h"
#include "nn/graph/rn_net.h"
#include "run/save/rn_safetensors.h"

enum rn_weightfile_what { RN_WEIGHTFILE_VALUES = 0, RN_WEIGHTFILE_MOMENTUM = 1 /* of the trained ones, same names */ };

typedef struct rn_weightfile_meta {
    const char *key, *text;
} rn_weightfile_meta;

/* Builds the file in `out`. `batches`, which training has seen, becomes num_batches_tracked. A value that is not finite is RN_E_MISMATCH: such weights
 * are never written. */
int rn_weightfile_build(rn_net *net, rn_backend *be, enum rn_weightfile_what what, int64_t batches,
                        const rn_weightfile_meta *meta, int nmeta, rn_buf *out);

/*
 * Loads every parameter of the net from the file. Missing tensors, ones that the net lacks, and wrong shapes are
 * RN_E_MISMATCH, named, with the remedy. Nothing has changed in the net when it fails on a name or shape.
 */
int rn_weightfile_load(rn_net *net, rn_backend *be, enum rn_weightfile_what what, const rn_st_file *f);

/*
 * What model a file's names and shapes are of, for files without metadata (torchvision's, timm's): a zeroed `out` gets arch,
 * variant, se, se_round, stem, width, channels and classes. The graph of what it is taken for has exactly the file's
 * tensors; what no tensor shows (a stride's place: variant none, not v1; the order of layers: caffenet, not
 * bvlc-alexnet) is the usual one. RN_E_MISMATCH when it is none that is known here, naming a tensor where only some differ.
 */
int rn_weightfile_guess(const rn_st_file *f, rn_model_spec *out);

#endif
