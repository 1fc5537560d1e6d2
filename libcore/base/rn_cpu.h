/* SPDX-License-Identifier: MIT */
/*
 * Instruction sets, as far as code here is written for them. Whoever has such code asks at run time and calls into the
 * file built for the answer (*_avx2.c, *_avx512.c, ...). The environment variable RNKIT_ISA (portable, avx2, avx512,
 * avx512bf16, amx) caps what is used, so that every one of them can be tested and timed on one machine. Each one includes
 * those before it: code without a file for the answer calls into the nearest one below.
 */
#ifndef RN_CPU_H
#define RN_CPU_H

#include <stdbool.h>

typedef enum rn_isa {
    RN_ISA_PORTABLE = 0,
    RN_ISA_AVX2,        /* with FMA and F16C */
    RN_ISA_AVX512,      /* F, BW, DQ, VL */
    RN_ISA_AVX512_BF16, /* dot products of bf16 pairs: Cooper Lake, Zen 4 and later */
    RN_ISA_AMX          /* products of tiles of bf16 pairs: Sapphire Rapids and later, Linux 5.16 and later */
} rn_isa;
extern const char *const rn_isa_names[]; /* "portable", "avx2", "avx512", "avx512bf16", "amx", NULL: by rn_isa */

/* Of the CPU this runs on, as far as its operating system saves the registers. Those of AMX it saves only for a process that
 * has asked: where the CPU has them this asks, for good, for this process and those that it forks. */
rn_isa rn_isa_best(void);
bool rn_isa_bytes512(void); /* AVX-512 with VBMI and VNNI too: Ice Lake, Zen 4 and later */

/* The best, or what `cap` names where that is less; cap NULL: what RNKIT_ISA names, if anything. RN_E_USAGE for a word
 * that names none, RN_E_ABSENT for one that this CPU lacks. */
int rn_isa_pick(const char *cap, rn_isa *out);

#endif
