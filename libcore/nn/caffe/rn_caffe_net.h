/* SPDX-License-Identifier: MIT */
/*
 * A net described in Caffe's prototxt: NetParameter with `layer` (or the older `layers`), both phases in one text.
 * docs/caffe.md says which layers and fields are understood, and what becomes of each.
 *
 * A text is read whole before anything is built: an unknown layer, an unknown field, or a field that is not honoured is an
 * error with its line (rn_caffe_schema.h), in whichever phase it stands.
 *
 * What is Caffe's here and not PyTorch's: pooling rounds up; BatchNorm's running statistics are weighted means over
 * all batches so far (rn_node.bn_caffe); an inner product reads its input as channels, rows, columns. Images come as RGB, while
 * Caffe's loader gives BGR: mean_value's three numbers are blue, green, red, and weights trained by Caffe would need the
 * channels of their first convolution turned round.
 */
#ifndef RN_CAFFE_NET_H
#define RN_CAFFE_NET_H

#include "base/rn_io.h"
#include "nn/graph/rn_graph.h"

enum rn_caffe_phase { RN_CAFFE_TRAIN = 0, RN_CAFFE_TEST = 1 };

/* A phase's data layer. */
typedef struct rn_caffe_data {
    bool given;
    int line;
    const char *source; /* NULL: none */
    bool list;          /* ImageData: source is a list of files */
    int batch;
    int crop; /* side of the square crop; 0: the images as they are */
    bool mirror;
    bool colour; /* force_color, force_encoded_color: three channels whatever the image has */
    bool gray;
    double scale;
    int nmean; /* mean_value: 0, 1 or 3 of them, blue first, of pixels in 0..255 */
    double mean[3];
    const char *mean_file; /* NULL: none */
} rn_caffe_data;

typedef struct rn_caffe_net rn_caffe_net;

/* What errors call a net whose file is not known any more: its text came with the weights. */
#define RN_CAFFE_NAME "prototxt"

/* Reads and checks `text`; `file` stands for it in errors. */
int rn_caffe_net_open(const char *file, const char *text, rn_caffe_net **out);
void rn_caffe_net_close(rn_caffe_net *n); /* accepts NULL */

const rn_caffe_data *rn_caffe_net_data(const rn_caffe_net *n, enum rn_caffe_phase phase);

/* Builds a phase into a zeroed graph and finishes it. Of `spec` the input's size and channels and the classes are used. An
 * error of the graph's own (a shape that does not fit) is told with the layer's line. */
int rn_caffe_net_build(const rn_caffe_net *n, enum rn_caffe_phase phase, const rn_model_spec *spec, int batch,
                       rn_graph *g);

/* All settings that decide what is computed, one a line ("'conv1' convolution_param.num_output: 64"), in the order of the text:
 * without comments, layout and places of data. Two texts of the same net differ in nothing. */
int rn_caffe_net_lines(const rn_caffe_net *n, rn_buf *out);

/* Compares two such texts line by line: how many differ, an inserted one making all behind it do so. The first that does goes
 * into `first` (cap above 0), "" where none does. */
int rn_caffe_lines_diff(const char *was, const char *now, char *first, size_t cap);

#endif
