/* SPDX-License-Identifier: MIT */
/*
 * What the CPU's kernels know of their backend. Each kernel asks for the instruction set at run time and calls into
 * the file built for it (*_avx2.c, *_avx512.c); the cap in rn_backend_opts.isa lets a test reach every one of them on
 * one machine.
 */
#ifndef CPU_BACKEND_H
#define CPU_BACKEND_H

#include "op/rn_backend.h"

typedef enum rn_cpu_isa {
    RN_ISA_PORTABLE = 0,
    RN_ISA_AVX2 = 1,  /* with FMA */
    RN_ISA_AVX512 = 2 /* F, BW, DQ, VL */
} rn_cpu_isa;

/* Set in this backend: the CPU's best or the cap given at open, whichever is less. */
rn_cpu_isa rn_cpu_backend_isa(const rn_backend *be);
/* True when a cap below this CPU's best was asked for: libraries that choose for themselves must stand aside. */
bool rn_cpu_backend_capped(const rn_backend *be);
rn_cpu_isa rn_cpu_isa_best(void); /* of the CPU this runs on, as far as its operating system saves the registers */

/* Memory that the next call may overwrite, 64-byte aligned, at least `bytes`; kept until close and grown only when a
 * larger call comes, so that a training step allocates nothing after its first run. NULL without memory. */
void *rn_cpu_backend_scratch(rn_backend *be, size_t bytes);

int rn_cpu_open(const rn_backend_opts *opts, rn_backend **out);

#endif
