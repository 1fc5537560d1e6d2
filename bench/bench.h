/* SPDX-License-Identifier: MIT */
/* Between the files of rn-bench. */
#ifndef BENCH_H
#define BENCH_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "op/rn_backend.h"

struct rn_rng;

/* ---- commands: each parses its own options; the return value is a status (rn_error.h) ---------------------------- */

int bench_compare_main(int argc, char **argv);
int bench_conv_main(int argc, char **argv);
int bench_loader_main(int argc, char **argv);
int bench_peak_main(int argc, char **argv);
int bench_resize_main(int argc, char **argv);
int bench_train_main(int argc, char **argv);

/* ---- lists of shapes (bench_shapes.c) ------------------------------------------------------------------------------- */

typedef struct bench_shape {
    rn_conv_desc desc;
    char name[64]; /* the layer's; may be empty */
    int count;     /* how often the network has it */
    unsigned dirs; /* bit d: training needs direction d */
} bench_shape;

typedef struct bench_shapes {
    bench_shape *v;
    size_t n;
} bench_shapes;

/* All three append. mb replaces the minibatch where > 0; otherwise the descriptors of a list that name none have 16 images. */

/* The list compiled in under `net`; RN_E_USAGE lists what there is. */
int bench_shapes_net(const char *net, int mb, bench_shapes *out);
/*
 * A line: DESCRIPTOR [*COUNT] [fwd,bwd_d,bwd_w], or one of benchdnn's options, which hold from there on: --batch=FILE (a list
 * inside the list; its path begins where this file is), --mb=N, --dir=FWD_B,BWD_D,BWD_W, --reset. '#' starts a comment.
 * A count inside benchdnn's name of a case (n"resnet_50:res2a*3") is one, too. Anything else is RN_E_FORMAT, with its line.
 */
int bench_shapes_file(const char *path, int mb, bench_shapes *out);
int bench_shapes_cases(const char *list, int mb, bench_shapes *out); /* descriptors with commas between; RN_E_USAGE */
void bench_shapes_free(bench_shapes *s);
/* "resnet18, resnet34, ..." */
const char *bench_shapes_names(char *buf, size_t cap);

/* ---- tensors (bench_tensors.c) and their verification (bench_verify.c) ----------------------------------------------- */

/* The three tensors of a case, on the host and on the device, indexed by the direction that writes them: dst, src, wei. */
typedef struct bench_tensors {
    rn_conv_dir dir;
    size_t n[3];
    rn_dtype type[3];
    float *host[3]; /* values of the type; not of the destination */
    void *dev[3];
    void *raw;             /* room for any of them as the device has it */
    float *got;            /* the destination, copied back */
    double *want, *factor; /* what its sums over channels, times the factors, must be */
    size_t nwant, nfactor;
    struct bench_norm *norm; /* the batch norm beside it, which makes the operands; or NULL */
} bench_tensors;

enum bench_values { BENCH_INTEGERS, BENCH_REALS };

int bench_tensors_make(rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, bench_tensors *t); /* zeroed before */
/* Draws values for what is read and, with integers, works out what the result must sum up to. */
int bench_tensors_fill(rn_backend *be, const rn_conv_desc *d, enum bench_values values, uint64_t seed,
                       bench_tensors *t);
void bench_tensors_free(rn_backend *be, bench_tensors *t);
rn_conv_args bench_tensors_args(const bench_tensors *t);
size_t bench_tensor_bytes(const bench_tensors *t, int i);
/* Terms in one sum of the destination. */
double bench_terms(const rn_conv_desc *d, rn_conv_dir dir);
/* The share of integers that are -1 or 1 and not 0, so that a sum stays within what its type holds exactly: by twelve standard deviations. */
double bench_density(const rn_conv_desc *d, const bench_tensors *t);
/* Integers of -1, 0 and 1, or reals of -1 to 1. */
void bench_draw(struct rn_rng *rng, enum bench_values values, double share, float *v, size_t n);
/* n values to the device; v becomes what it has of them. room: on the host, for n of the type. */
int bench_put(rn_backend *be, rn_dtype type, float *v, size_t n, void *room, void *to);
/* What was given to the device is done. */
int bench_finish(rn_backend *be);

/*
 * Runs `plan` over what was filled in, with beta 0 over a destination and a workspace of NaN. What it fails with is handed
 * on; RN_E_MISMATCH, naming an
 * element, unless every element is finite and
 *   integers: exact sums that every element takes part in come out (of RN_ALGO_WINOGRAD: rounded to
 *             integers, if 2^-16 of a sum's terms is less than a quarter; if not, to 2^-16 of them)
 *   reals: 400 sampled elements agree with a sum in double to 2^-20 of the sum of their terms' absolute values, and the
 *          rounding of the result to 16 bits; by tensor cores, of more than 4,096 terms, to the root of their number / 4,096 times as much.
 * Of a plan of fused work the sums, too, and elements that a ReLU stops are 0.
 */
int bench_verify(rn_backend *be, rn_conv_plan *plan, void *workspace, enum bench_values values, uint64_t seed,
                 bench_tensors *t);

/* ---- time (bench_clock.c) --------------------------------------------------------------------------------------------- */

/* What is given to the default stream between start and stop; stop waits for it. */
typedef struct bench_clock {
    rn_backend *be;
    rn_event from, to; /* NULL: the host's clock */
    double at;
} bench_clock;
int bench_clock_open(rn_backend *be, bench_clock *c);
void bench_clock_close(bench_clock *c); /* accepts one that is zeroed */
int bench_clock_start(bench_clock *c);
int bench_clock_stop(bench_clock *c, double *seconds);

/* Profilers' range "rn-bench" has all that is timed, and nothing else, by name; NULL ends the last one that began. */
#define BENCH_RANGE "rn-bench"
void bench_range(rn_backend *be, const char *name);

/* ---- measuring (bench_measure.c) ------------------------------------------------------------------------------------ */

/* bench_norm.h has the ways to do a convolution and the batch norm beside it. */
enum bench_way { BENCH_ALONE, BENCH_APART, BENCH_FUSED };

typedef struct bench_result {
    const rn_conv_algo *algo;
    enum bench_way way;
    const char *refused; /* why not; then nothing below counts */
    bool verified;       /* false: wrong or failed, and there is no time */
    bool wrong; /* it ran, and its result is not what it should be; without this and with a failure: it did not run */
    char failure[256];
    double ms, ms_q1, ms_q3; /* median and quartiles over the rounds */
    double ms_min;           /* the quietest round */
    double prepare_ms;       /* median of packing weights, apart */
    double core_ms; /* median of a library's own part of ms, without bringing tensors into its layouts; 0: unknown */
    double *samples_ms;    /* by round: those of one index were taken in the same round, whatever the algorithm */
    int nsamples, repeats; /* runs that one sample is the mean of */
    bool replayed;         /* these were captured, and given to the device as one */
    size_t workspace;
    char impl[96]; /* what a library chose; may be empty */
} bench_result;

typedef struct bench_plan_opts {
    const char *pattern; /* of algorithm names; NULL: all but the reference */
    bool bn;             /* each twice, with the batch norm beside the convolution: apart, and fused */
    int rounds;
    uint64_t seed;
    struct bench_evict
        *evict; /* not NULL: cold. Each run is timed alone, after everything was driven out of the caches */
} bench_plan_opts;

/*
 * Verifies (integers, then reals), then times every algorithm that matches, in interleaved rounds over the same buffers of
 * reals. *out has one entry an algorithm; bench_results_free. What goes wrong with a case or an algorithm is kept there, memory
 * that it is short of included; an error is one of the benchmark.
 */
int bench_measure(rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, const bench_plan_opts *opts,
                  bench_result **out, size_t *n);
void bench_results_free(bench_result *r, size_t n); /* accepts NULL */

/* ---- memory (bench_memory.c) ----------------------------------------------------------------------------------------- */

/* Bytes that this process may still take without being ended for it: the least of what the kernel says is there, what its control
 * groups leave, and its limit of addresses (ulimit -v). INFINITY: nothing is known. */
double bench_memory_available(void);
/* Bytes of the host that the tensors of a case and their verification take; with the device's where that is the host. */
double bench_case_bytes(const rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir);
/* ... and that a plan does: its workspace, and at most what it keeps of packed weights. */
double bench_plan_bytes(const rn_backend *be, const rn_conv_algo *algo, const rn_conv_desc *d, rn_conv_dir dir,
                        double workspace);
/* 0, or RN_E_NOMEM with both figures, and after the first one ` for_what`. */
int bench_memory_refusal(double needed, double available, const char *for_what);

/* Sorts v (n >= 1 numbers); the quantile q of 0..1 by linear interpolation between closest ranks. */
double bench_quantile(double *v, int n, double q);

/* Drives caches' contents out: on the CPU by reading more than they hold, with every thread that computes; on a device by writing more than
 * its last cache holds and reading that back, so that no write is left over for who comes next. Zero-initialise. */
typedef struct bench_evict {
    rn_backend *be;
    unsigned char *p; /* the device's, or the host's */
    void *out;        /* of `read` */
    size_t bytes;
    const struct rn_probe *read;
} bench_evict;
int bench_evict_make(rn_backend *be, bench_evict *e);
int bench_evict_run(const bench_evict *e);
void bench_evict_free(bench_evict *e);

/* ---- the machine (bench_machine.c) ------------------------------------------------------------------------------------ */

/* What figures depend on, as far as it can be told: CPU, cores, caches, clock, governor, compiler and flags, libraries. A
 * new reference; NULL when memory is short. */
json_t *bench_machine(const rn_backend *be);
/* Bytes of a data cache of level 1..3, and in *sharers how many cores share one; 0 where unknown. */
size_t bench_cache_bytes(int level, int *sharers);

/* ---- the machine's ceilings (bench_peak.c) ---------------------------------------------------------------------------- */

/* Multiply-add rate of `be`'s threads and instruction set, or of the device, with everything in registers (or, wgmma, in shared
 * memory), GFLOP/s; *out 0 where it cannot be measured. Of the fastest unit that the CPU has for the type: 16 bits may also be widened and multiplied in f32. The best of many
 * short windows: a ceiling must not be lowered by a neighbour. */
int bench_peak_gflops(rn_backend *be, rn_dtype dtype, double seconds, double *out);

enum { BENCH_LEVELS = 4 };
extern const char *const bench_level_names[BENCH_LEVELS]; /* "L1", "L2", "L3", "DRAM" */

typedef struct bench_ceilings {
    double gflops[3];           /* by rn_dtype, of those asked for; 0: unknown */
    double gb_s[BENCH_LEVELS];  /* bytes read, or read and written by a copy, whichever is more; 0: unknown */
    size_t bytes[BENCH_LEVELS]; /* what the level holds for all threads together; DRAM: SIZE_MAX; 0: unknown */
} bench_ceilings;

/* dtypes: bit t of rn_dtype t; seconds: for each measurement. */
int bench_ceilings_measure(rn_backend *be, unsigned dtypes, double seconds, bench_ceilings *out);

/*
 * The most GFLOP/s that a case of so many FLOP and bytes can have: what its type's unit does, or what the memory gives that its
 * tensors come from (the smallest level that holds all of them; cold: DRAM). *bound: which, a static text. 0: unknown.
 */
double bench_roofline(const bench_ceilings *c, rn_dtype dtype, double flop, double bytes, bool cold,
                      const char **bound);

/* ---- loops that do nothing but one kind of work ------------------------------------------------------------------------ */

/* Runs `iterations` of independent multiply-add chains; returns the floating-point operations done. *sink keeps the
 * compiler from dropping them. */
double bench_fma_portable(long iterations, float *sink);
double bench_fma_avx2(long iterations, float *sink);
double bench_fma_avx512(long iterations, float *sink);
double bench_fma_avx512bf16(long iterations, float *sink);
double bench_fma_amx(long iterations, float *sink);

/* One pass over `bytes` (a multiple of 1024) of 64-byte aligned memory. */
typedef struct bench_stream {
    uint64_t (*read)(const void *p, size_t bytes); /* something of all bytes, so that the compiler keeps it */
    void (*copy)(void *to, const void *from, size_t bytes);
} bench_stream;
extern const bench_stream bench_stream_portable, bench_stream_avx2, bench_stream_avx512;

#endif
