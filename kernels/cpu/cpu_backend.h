/* SPDX-License-Identifier: MIT */
/*
 * What the CPU's kernels know of their backend. Each kernel asks for the instruction set at run time and calls into
 * the file built for it (*_avx2.c, *_avx512.c); the cap in rn_backend_opts.isa lets a test reach every one of them on
 * one machine.
 *
 * Products of bf16 pairs (vdpbf16ps) are twice as fast as f32 on some CPUs and half as fast on others. Which it is, is
 * measured for some microseconds when a backend with them opens, where nothing in between has been seen; the line that
 * describes the backend says it.
 */
#ifndef CPU_BACKEND_H
#define CPU_BACKEND_H

#include "base/rn_cpu.h"
#include "op/rn_backend.h"

/* Set in this backend: the CPU's best or the cap given at open (or by RNKIT_ISA), whichever is less. */
rn_isa rn_cpu_backend_isa(const rn_backend *be);
/* True when a cap below this CPU's best was asked for: libraries that choose for themselves must stand aside. */
bool rn_cpu_backend_capped(const rn_backend *be);

/* True where bf16 is multiplied faster in pairs than widened to f32. */
bool rn_cpu_backend_pairs(const rn_backend *be);
/* Terms a second in pairs of bf16 / in f32. Only with RN_ISA_AVX512_BF16 or better. */
double rn_cpu_pairs_rate(void);

/* Bytes from which on a tensor is written past the caches: what all cores' last one holds. */
size_t rn_cpu_backend_past(const rn_backend *be);
void rn_cpu_backend_set_past(rn_backend *be, size_t bytes); /* for checks alone: at any size */

/* For checks alone: a backend of `isa`, whatever this CPU has, for a caller that emulates the rest; and pairs as if they
 * had been found so, that both ways can be checked everywhere. */
int rn_cpu_open_at(const rn_backend_opts *opts, rn_isa isa, rn_backend **out);
void rn_cpu_backend_set_pairs(rn_backend *be, bool pairs);

/* Memory that the next call may overwrite, 64-byte aligned, at least `bytes`; kept until close and grown only when a
 * larger call comes, so that a training step allocates nothing after its first run. NULL without memory. */
void *rn_cpu_backend_scratch(rn_backend *be, size_t bytes);

int rn_cpu_open(const rn_backend_opts *opts, rn_backend **out);

#endif
