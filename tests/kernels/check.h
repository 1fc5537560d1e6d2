/* SPDX-License-Identifier: MIT */
/*
 * What the checks of check-kernels share. A check is one TAP line: it has an identity (group, case, dir, algo, isa),
 * its own random numbers (seeded from --seed and that identity, so that it gives the same alone as among others) and
 * buffers with canaries on both sides. A file of checks exports one check_group, listed in check_main.c:
 *
 *     if (!check_begin(r, &(check_id){"bn", "rows12c5", "fwd", "cpu", "avx2"}))
 *         return;                                   // not selected, or --list
 *     float *x = check_f32(r, n), *y = check_f32(r, n);
 *     check_fill_real(r, x, n, 1.0f);
 *     check_poison(y, n * sizeof *y);               // NaN: a destination that must not be read
 *     ... run the kernel ...
 *     check_equal(r, "y", y, want, n);              // exact; NaN is never equal
 *     check_close(r, "y", y, want, mag, n, tol);    // !(|y - want| <= tol * mag) fails
 *     check_end(r);                                 // canaries, the TAP line, the repro line; frees the buffers
 */
#ifndef CHECK_H
#define CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rn_rng.h"
#include "op/rn_backend.h"

#define CHECK_ISAS     6
#define CHECK_ISAS_ALL 3 /* those that every type has code for; the other CPUs have it for bf16 only */
#define CHECK_CUDA     5 /* no instruction set, but the device of --device cuda; then it is the only one */

typedef struct check_id {
    const char *group, *cas, *dir, *algo, *isa; /* "" where a word does not apply */
} check_id;

/* What an algorithm did with the selected cases of one group and direction. */
typedef struct check_tally {
    const char *group, *algo, *dir;
    int ran, refused;
    char why[120]; /* the first refusal */
} check_tally;

typedef struct check_run {
    /* from the command line */
    const char *group, *cas, *dir, *algo, *isa; /* comma-separated fnmatch patterns; NULL: all */
    const char *device;
    uint64_t seed, every;
    bool list, time, model;

    /* One CPU backend per instruction set (check_isa_names[i]), slowest first, then the device; NULL where that is not there. */
    rn_backend *be[CHECK_ISAS];
    int best;      /* index of the last one that is there */
    bool emulated; /* be[RN_ISA_AMX] runs on a CPU without AMX, its instructions in software */

    /* the check that is going on */
    check_id id;
    rn_rng rng;
    bool failed;
    int complaints;
    struct check_buffer *buffers;

    check_tally *tally; /* ntallies of them, of convolutions */
    int ntallies;
    struct check_turn *turns; /* --every: whose turn it is */
    int nturns;
    int count, ok, bad, skipped, refused, listed, left_out;
} check_run;

typedef struct check_group {
    const char *name;
    void (*run)(check_run *r);
} check_group;

extern const char *const check_isa_names[CHECK_ISAS];

/* The groups: one row of check_main.c each. */
extern const check_group check_amx_model_group, check_conv_group, check_conv_bf16_group, check_conv_f16_group;
extern const check_group check_conv_fuse_group, check_conv_fuse_bf16_group, check_conv_fuse_f16_group;

/* Does the command line select it? Prints it under --list. False in both cases means: do not run it. */
bool check_begin(check_run *r, const check_id *id);
void check_fail(check_run *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void check_end(check_run *r);
/* Instead of check_end: the algorithm is not for this case, which is no check then; the reason is shown. */
void check_refuse(check_run *r, const char *reason);

/* check_tally.c: who was checked on what, so that nothing goes unchecked unseen. check_end and check_refuse count. */
void check_tally_add(check_run *r, const char *refusal); /* the check that goes on; refusal: NULL when it ran */
/* After all groups. Prints how many cases each algorithm had, by group and direction; then, unless a part was selected, each of
 * our own (cpu:*) must have had some of each, but where its table says that it is not for them: a failed check otherwise.
 * Another library's that took none is a skipped one. Frees the tally. */
void check_tally_close(check_run *r);

/* Buffers live until check_end. Canaries stand on both sides; the content is NaN as f32, bf16 and f16.
 * 64-byte aligned; a device that is checked can read and write them, too. Never NULL: the program stops when memory is short. */
void *check_bytes(check_run *r, size_t bytes);
float *check_f32(check_run *r, size_t n);

void check_fill_int(check_run *r, float *p, size_t n, int max);    /* integers in -max..max */
void check_fill_real(check_run *r, float *p, size_t n, float max); /* uniform in [-max, max) */
void check_poison(void *p, size_t bytes);                          /* NaN in every format */
/* Waits until a device is done, before its results are looked at. */
void check_wait(check_run *r);

/* Exact comparison of n values. Returns whether they agree. */
bool check_equal(check_run *r, const char *what, const float *got, const float *want, size_t n);
/* !(|got - want| <= tol * mag) fails. mag: per element, or NULL for max(1, |want|). */
bool check_close(check_run *r, const char *what, const float *got, const double *want, const double *mag, size_t n,
                 double tol);

#endif
