/* SPDX-License-Identifier: MIT */
/* The devkit's meta.mat as plain rows: MATLAB 5 through libmatio, compressed or plain, whatever the numeric class. */
#ifndef RN_MAT_H
#define RN_MAT_H

#include <stddef.h>

#include "base/rn_io.h"

/* One element of the struct array `synsets`. Texts are malloc'ed UTF-8. */
typedef struct rn_mat_synset {
    double id, num_children, num_train; /* num_train: -1 when the field is absent */
    char *wnid, *words, *gloss;         /* gloss: "" when absent */
} rn_mat_synset;

/* Reads `synsets` from a MAT file in memory; `name` is for messages. RN_E_FORMAT says what is missing or odd. */
int rn_mat_read_synsets(const void *data, size_t n, const char *name, rn_mat_synset **rows, int *nrows);
void rn_mat_free_synsets(rn_mat_synset *rows, int nrows); /* accepts NULL */

/* Appends to `out` a MAT file with rows as the real devkit has them: N x 1, its eight fields, doubles and chars, elements
 * compressed. children[i] holds rows[i].num_children ids, heights[i] is wordnet_height. Header text and bytes are fixed
 * by the rows. */
int rn_mat_write_synsets(const rn_mat_synset *rows, int nrows, const double *const *children, const double *heights,
                         rn_buf *out);

#endif
