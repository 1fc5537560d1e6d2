/* SPDX-License-Identifier: MIT */
/* rn-bench conv: one result, and how it is told. */
#ifndef BENCH_CONV_H
#define BENCH_CONV_H

#include "bench.h"

#define BENCH_MAX_ALGOS 64

enum { BENCH_DTYPES = 3 };
extern const char *const bench_dtype_words[]; /* indexed by rn_dtype */
extern const char *const bench_dir_words[];   /* indexed by rn_conv_dir */
extern const char *const bench_flops_words[]; /* the conventions: "padding-counted", "inbounds" */

/* What holds for all results of one number of threads. */
typedef struct bench_setting {
    rn_backend *be;
    json_t *machine;
    struct bench_nvml *nvml; /* or NULL */
    bench_ceilings ceilings;
    int flops; /* of bench_flops_words */
    bool cold;
    int rounds;
    uint64_t seed;
} bench_setting;

/* A result with all that is told of it: a row of every table. */
json_t *bench_conv_row(const bench_setting *s, const bench_shape *shape, rn_conv_dir dir, const bench_result *r);

enum bench_form { BENCH_TEXT, BENCH_JSON, BENCH_CSV };

void bench_conv_head(const bench_setting *s, enum bench_form form); /* a setting begins: text only */
int bench_conv_print(const json_t *row, enum bench_form form, bool first);
/* Of rows of one setting: the sums over the list, each shape as often as the network has it. */
int bench_conv_totals(const json_t *rows, size_t from);

#endif
