/* SPDX-License-Identifier: MIT */
/*
 * What the CPU's kernels know of their backend. Each kernel asks for the instruction set at run time and calls into
 * the file built for it (*_avx2.c, *_avx512.c); the cap in rn_backend_opts.isa lets a test reach every one of them on
 * one machine.
 */
#ifndef CPU_BACKEND_H
#define CPU_BACKEND_H

#include "base/rn_cpu.h"
#include "op/rn_backend.h"

/* Set in this backend: the CPU's best or the cap given at open (or by RNKIT_ISA), whichever is less. */
rn_isa rn_cpu_backend_isa(const rn_backend *be);
/* True when a cap below this CPU's best was asked for: libraries that choose for themselves must stand aside. */
bool rn_cpu_backend_capped(const rn_backend *be);

/* Memory that the next call may overwrite, 64-byte aligned, at least `bytes`; kept until close and grown only when a
 * larger call comes, so that a training step allocates nothing after its first run. NULL without memory. */
void *rn_cpu_backend_scratch(rn_backend *be, size_t bytes);

int rn_cpu_open(const rn_backend_opts *opts, rn_backend **out);

#endif
