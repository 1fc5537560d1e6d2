/* SPDX-License-Identifier: MIT */
/* rn-bench compare, between its files. */
#ifndef BENCH_COMPARE_H
#define BENCH_COMPARE_H

#include "bench.h"
#include "bench_stats.h"

/* One figure of a file that rn-bench wrote. */
typedef struct bench_record {
    char key[320];       /* what it is of: "mb16ic64... fwd bf16 2 threads warm"; without the algorithm */
    const char *algo;    /* of a convolution; "" */
    const char *unit;    /* "ms", "images/s", ... */
    bool less_is_better; /* a time */
    double value, iqr;   /* iqr < 0: unknown */
    double *samples;     /* n of them; NULL: none kept */
    int n;
    double weight;         /* how often the network has it */
    const char *no_time;   /* why there is no figure; then value is 0 */
    const char *state;     /* ... "refused", "failed" or "wrong" */
    const json_t *machine; /* or NULL */
    const char *device;    /* or "" */
} bench_record;

typedef struct bench_records {
    bench_record *v;
    size_t n;
    json_t *root; /* owns the texts */
} bench_records;

/*
 * All figures in a file of rn-bench conv, peak, train, loader or resize --json: one array, one object, or several one after
 * the other. RN_E_FORMAT, naming file and record: not JSON, nothing that rn-bench writes, a figure that is missing or no number
 * above 0, the same one twice.
 */
int bench_records_load(const char *path, bool parts, bench_records *out);
void bench_records_free(bench_records *r);

enum bench_verdict { BENCH_FASTER, BENCH_SAME, BENCH_SLOWER, BENCH_UNCLEAR, BENCH_LOST, BENCH_VERDICTS };
extern const char *const bench_verdict_words[];

/* A figure of A beside one of B. */
typedef struct bench_pair {
    const bench_record *a, *b;
    bench_ratio speed; /* of B in units of A's: above 1 B is faster */
    double quiet;      /* the same of the best sample of each: neighbours only ever take away. 0: no samples */
    enum bench_verdict verdict;
} bench_pair;

typedef struct bench_compare_opts {
    double tolerance, confidence; /* shares: 0.05, 0.95; the confidence is that all intervals hold together */
    const char *a_algo, *b_algo;  /* patterns, or NULL: the same algorithm in both */
} bench_compare_opts;

typedef struct bench_comparison {
    bench_pair *v;
    size_t n;
    const bench_record **only_a, **only_b; /* figures that the other has not */
    size_t nonly_a, nonly_b;
    double confidence_each;  /* of each interval: Bonferroni's share */
    double noise;            /* >= 1: two runs' best samples must differ by more, beside the tolerance; 1 in one run */
    double geomean;          /* of the speeds */
    double total_a, total_b; /* ms, each as often as the network has it; 0 where not all are times */
    size_t counts[BENCH_VERDICTS];
} bench_comparison;

/* Pairs what has the same key and judges. With algorithms by pattern, each side of a key is the fastest that matches. */
int bench_compare(const bench_records *a, const bench_records *b, const bench_compare_opts *opts,
                  bench_comparison *out);
void bench_comparison_free(bench_comparison *c);

#endif
