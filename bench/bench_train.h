/* SPDX-License-Identifier: MIT */
/* rn-bench train: what was measured, and how it is told. */
#ifndef BENCH_TRAIN_H
#define BENCH_TRAIN_H

#include "bench.h"
#include "bench_split.h"
#include "run/train/rn_session.h"

typedef struct bench_timing {
    double ms, iqr, ms_min; /* median, interquartile range, the quietest */
    int n;
} bench_timing;

/* A step, its parts and the ceilings that these are held against. */
typedef struct bench_step {
    const rn_session *session;
    const char *arch, *dtype;
    int64_t image_size, batch;
    bench_timing train, eval;
    bench_timing
        split; /* the steps that parts are of: those of `train`, or, where these are replayed, others launched op by op */
    bool replayed;
    const bench_part *parts;
    int nparts;
    double gflops[3]; /* by rn_dtype: measured peaks; 0: none */
    double gbytes;    /* a second: measured bandwidth of memory; 0: none */
    bool inbounds;    /* FLOP without the padding's taps */
    json_t *machine;  /* facts, clocks after the steps included */
} bench_step;

/* The roofline's time of all calls of a part, ms; 0 where there is no ceiling to hold it against. */
double bench_step_roofline(const bench_step *s, const bench_part *p);

void bench_step_text(const bench_step *s, bool by_layer);
int bench_step_json(const bench_step *s);
void bench_step_csv(const bench_step *s);

#endif
