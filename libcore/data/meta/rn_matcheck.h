/* SPDX-License-Identifier: MIT */
/*
 * A guard before libmatio, which trusts sizes and counts inside a file more than a download deserves: one variable is taken
 * out of a MATLAB 5 file, inflated within a limit, checked element by element (tags, sizes, dimensions, depth, counts of
 * cells and fields), and laid down alone. libmatio sees only that.
 */
#ifndef RN_MATCHECK_H
#define RN_MATCHECK_H

#include <stddef.h>

#include "base/rn_io.h"

/* Numeric, char, struct and cell arrays, real, of at most 8 dimensions, nested at most 4 deep, at most 64 MiB in all.
 * `name` is for messages. RN_E_FORMAT says what is wrong; *out (empty before) is a whole MAT file. */
int rn_mat_extract(const void *data, size_t n, const char *name, const char *variable, rn_buf *out);

#endif
