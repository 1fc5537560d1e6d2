/* SPDX-License-Identifier: MIT */
/*
 * The instructions of AMX on a CPU that has them not, so that kernels written for them can be checked anywhere: each one
 * is decoded where it is met first (amx_sites.h), and done on tiles kept per thread. Known are
 * ldtilecfg, sttilecfg, tilerelease, tilezero, tileloadd, tileloaddt1, tilestored and tdpbf16ps, as Intel's Software
 * Developer's Manual states them (volume 2, and volume 1 chapter 18). What the CPU would refuse (tiles without a shape,
 * shapes that do not match, a reserved bit) ends the program with a line that says so; an address that is not mapped
 * faults as it would, and the address sanitizer sees the bytes that tiles read and write.
 *
 * It also counts and, from amx_emulate_reset on, runs each line of memory that tiles touch through two caches: the explicit cost
 * model of amx_model. A fraction of a microsecond an instruction; for checks alone.
 */
#ifndef AMX_EMULATE_H
#define AMX_EMULATE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* False, and nothing is changed, where the CPU has AMX itself or the rest that such kernels use is not there (AVX-512
 * with bf16). */
bool amx_emulate_start(void);
void amx_emulate_stop(void); /* the handlers that were there before are back */
/* All instructions that were met so far do nothing, or are done again: what remains is a kernel's other work, to be timed. Not
 * while kernels run. False: not to be had here. */
bool amx_emulate_skip(bool skip);

typedef struct amx_counts {
    uint64_t tdp, tdp_rows; /* products, and the rows of their sums */
    uint64_t zero, config;
    uint64_t load, store; /* tiles */
    uint64_t l1, l2, l3;  /* lines that tiles read, found in a 48 KB first cache, a 2 MB second one, beyond */
    uint64_t split;       /* of them: second halves of rows that straddle lines */
} amx_counts;

void amx_emulate_reset(void);        /* counts become 0, the calling thread's caches cold */
amx_counts amx_emulate_counts(void); /* over all threads since then */

/*
 * Cycles that Emerald Rapids needs for the counts, from figures measured on one: a product of 16 rows 16 cycles, fewer rows
 * proportionally less but not below 0.58 of it; a tile read 8.6 cycles from the first cache, and 8.6 / 16 more for
 * each row that straddles two lines; a tile written 18; 1.1 cycles a line from the second cache, 5.3 beyond it. The unit
 * that multiplies, the ports to memory and the caches work side by side: the largest of the three counts.
 */
typedef struct amx_model {
    double multiply, ports, caches, cycles;
} amx_model;
amx_model amx_model_of(const amx_counts *c);

#endif
