/* SPDX-License-Identifier: MIT */
/* Rows of f32 into a file: NumPy's format for NAME.npy, the bare bytes for other names. */
#ifndef RN_NPY_H
#define RN_NPY_H

#include <stdint.h>
#include <stdio.h>

/* Opens `path` for (rows, cols) values, which the caller writes with fwrite after what is there. */
int rn_npy_open(const char *path, int64_t rows, int cols, FILE **out);

#endif
