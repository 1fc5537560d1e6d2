/* SPDX-License-Identifier: MIT */
/* Private to libcore/base: the rows every tool has, shared by the parser and the help printer. */
#ifndef RN_OPT_ROWS_H
#define RN_OPT_ROWS_H

#include <stddef.h>

#include "base/rn_opt.h"

#define RN_OPT_COMMON_ROWS 7
#define RN_OPT_JOBS_MAX    1024

/* Fills rows that write into `c`. */
void rn_opt_common_rows(rn_common_opts *c, rn_opt rows[RN_OPT_COMMON_ROWS]);

/* "none, short:256 and exact:256x256"-like list for messages: "a, b, c". */
void rn_opt_words_text(const char *const *words, char *out, int cap);

/* The row of that name in the tool's own table, -1: none. */
int rn_opt_find(const rn_opt_spec *spec, const char *name, size_t len);

#endif
